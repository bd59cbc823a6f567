/* Fixed-point arithmetic of TensorFlow Lite's reference kernels, in plain C99.

   Every function is inlined into model.c, where shapes and zero points are literals. On a
   processor with the DSP instructions of Armv7E-M two products are one instruction. */

#ifndef ARITHMETIC_H
#define ARITHMETIC_H

#include <stddef.h>
#include <stdint.h>

/* No library is needed but these two; start.c has them where there is none. */
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define OUTLINE static __attribute__((noinline))
#else
#define OUTLINE static __attribute__((noipa)) /* a layer, compiled without a look at its callers */
#endif
#define ALIGNED __attribute__((aligned(8)))
#else
#define INLINE static inline
#define OUTLINE static
#define ALIGNED
#endif

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && !defined(MODEL_PORTABLE)
#define DSP 1
#else
#define DSP 0
#endif

/* What one channel adds and is multiplied by: multiplier / 2^31 * 2^shift. In the quick form
   (see `rescale_quick`) shift is the number of bits to go right before the last one. */
typedef struct {
    int32_t bias, multiplier, shift;
} Channel;

INLINE int32_t clamp(int32_t x, int32_t low, int32_t high)
{
#if DSP
    if (low == -128 && high == 127) {
        int32_t y;
        __asm__("ssat %0, #8, %1" : "=r"(y) : "r"(x));
        return y;
    }
#endif
    return x < low ? low : x > high ? high : x;
}

/* a * b / 2^31, rounded; half a step goes up. b is not negative. */
INLINE int32_t high_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x / 2^bits, rounded; half a step goes away from zero. 0 <= bits <= 31. */
INLINE int32_t rounding_shift(int32_t x, int bits)
{
    int32_t mask = (int32_t)((1u << bits) - 1u);
    return (x >> bits) + ((x & mask) > (mask >> 1) + (x < 0));
}

/* x * multiplier / 2^31 * 2^shift, rounded twice. */
INLINE int32_t rescale(int32_t x, int32_t multiplier, int32_t shift)
{
    int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    return rounding_shift(high_product((int32_t)((uint32_t)x << left), multiplier), right);
}

/* The same for |x| < 2^30 and a shift of -1 - `bits`. */
INLINE int32_t rescale_quick(int32_t x, int32_t multiplier, int32_t bits)
{
    int32_t y;
#if DSP
    __asm__("smmulr %0, %1, %2" : "=r"(y) : "r"(x * 2), "r"(multiplier));
#else
    y = high_product(x, multiplier);
#endif
    y = (y + (y >> 31)) >> bits;
    return (y + 1) >> 1;
}

/* One number of an output from its sum. */
INLINE int8_t finish(int32_t sum, const Channel *channel, int quick, int zero, int low, int high)
{
    int32_t y = quick ? rescale_quick(sum, channel->multiplier, channel->shift)
                      : rescale(sum, channel->multiplier, channel->shift);
    return (int8_t)clamp(y + zero, low, high);
}

/* sum + a * b, going round past 2^31 as a processor does. */
INLINE int32_t add_product(int32_t sum, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(a * b));
}

#endif
