/* Convolutions of int8 with int8, each output row or position two channels at a time.

   Inputs are unpacked to 16 bits, their zero point taken off, into `work`; weights are unpacked as
   they are read. The weights of channels o and o + 1 alternate, four by four; the four lie in the
   order 0 2 1 3, so that SXTB16 gives them in pairs. `model.c` holds them in that order. */

#ifndef CONVOLUTION_H
#define CONVOLUTION_H

#include "arithmetic.h"

#define MOST_ROWS 3

#if DSP
/* volatile keeps them in this order: a compiler that reads ahead runs out of registers. */
INLINE uint32_t low_pair(uint32_t word)
{
    uint32_t pair;
    __asm__ volatile("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}
INLINE uint32_t high_pair(uint32_t word)
{
    uint32_t pair;
    __asm__ volatile("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}
INLINE int32_t two_products(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t y;
    __asm__ volatile("smlad %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
    return y;
}
/* Numbers of any width were stored there. A memcpy would be a call, as there is no library. */
typedef uint64_t __attribute__((may_alias)) Words;
typedef uint32_t __attribute__((may_alias, aligned(1))) Word;
INLINE void two_words(uint32_t *first, uint32_t *second, const void *from)
{
    __asm__ volatile("ldrd %0, %1, %2" : "=r"(*first), "=r"(*second) : "m"(*(const Words *)from));
}
#endif

/* The sums of two channels in up to three rows: variables of their own, so that each has a register. */
typedef struct {
    int32_t a0, a1, b0, b1, c0, c1;
} Sums;

#ifdef __wasm_simd128__
#include "simd.h"
#else
typedef Sums Running;
INLINE Running begin(Sums sums) { return sums; }
INLINE Sums totals(Running sums) { return sums; }

/* Four inputs times four weights of two channels, added to two sums. */
#if DSP
#define FOUR(x, s0, s1) \
    { \
        uint32_t low, high; \
        two_words(&low, &high, x); \
        s0 = two_products(low, one_low, s0); \
        s1 = two_products(low, two_low, s1); \
        s0 = two_products(high, one_high, s0); \
        s1 = two_products(high, two_high, s1); \
    }
#else
#define FOUR(x, s0, s1) \
    for (int i = 0; i < 4; i++) { \
        s0 = add_product(s0, (x)[i], w[place[i]]); \
        s1 = add_product(s1, (x)[i], w[4 + place[i]]); \
    }
#endif

/* Four inputs of each row, `row` apart, times four weights of two channels, added to the sums. */
INLINE void step(const int16_t *x, int row, int rows, const int8_t *w, Running *sums)
{
#if DSP
    uint32_t one, two;
    two_words(&one, &two, w);
    const uint32_t one_low = low_pair(one), one_high = high_pair(one);
    const uint32_t two_low = low_pair(two), two_high = high_pair(two);
#else
    static const int place[4] = {0, 2, 1, 3};
#endif
    FOUR(x, sums->a0, sums->a1)
    if (rows > 1) FOUR(x + row, sums->b0, sums->b1)
    if (rows > 2) FOUR(x + 2 * row, sums->c0, sums->c1)
}
#endif

/* n int8 less their zero point, as int16; n is a multiple of 4. */
INLINE void unpack(const int8_t *from, int16_t *to, int n, int zero)
{
#if DSP
    uint32_t offset = (uint32_t)(-zero & 0xffff) * 0x10001u;
    for (const int16_t *end = to + n; to < end; to += 4, from += 4) {
        const uint32_t word = *(const Word *)from;
        uint32_t even, odd, first, second;
        __asm__("sxtab16 %0, %1, %2" : "=r"(even) : "r"(offset), "r"(word));
        __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(odd) : "r"(offset), "r"(word));
        __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(first) : "r"(even), "r"(odd));
        __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(second) : "r"(odd), "r"(even));
        ((Word *)to)[0] = first;
        ((Word *)to)[1] = second;
    }
#else
    for (int i = 0; i < n; i++) to[i] = (int16_t)(from[i] - zero);
#endif
}

/* Sizes of a convolution: input, output, kernel, strides, dilations, padding before; zero points
   of input and output, and the range of the output. All are literals in model.c. */
typedef struct {
    int height, width, channels, out_height, out_width, out_channels;
    int kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x, top, left;
    int zero, out_zero, low, high, quick;
} Convolution;

INLINE Sums biases(const Channel *channels)
{
    int32_t one = channels[0].bias, two = channels[1].bias;
    return (Sums){one, two, one, two, one, two};
}

/* The numbers of channels o and o + 1 in each row, `row` apart. */
INLINE void store(Convolution k, const Channel *channels, int o, int rows, int row, Sums sums,
                  int8_t *out)
{
#define NUMBER(sum, c) finish(sum, channels + c, k.quick, k.out_zero, k.low, k.high)
    out[o] = NUMBER(sums.a0, 0);
    if (rows > 1) out[row + o] = NUMBER(sums.b0, 0);
    if (rows > 2) out[2 * row + o] = NUMBER(sums.c0, 0);
    if (o + 1 == k.out_channels) return;
    out[o + 1] = NUMBER(sums.a1, 1);
    if (rows > 1) out[row + o + 1] = NUMBER(sums.b1, 1);
    if (rows > 2) out[2 * row + o + 1] = NUMBER(sums.c1, 1);
#undef NUMBER
}

/* Some output rows at one x, for all channels; `first` is the first input of the uppermost. */
INLINE void column(Convolution k, const int16_t *first, int taps, int skipped, int rows,
                   const int8_t *weights, const Channel *channels, int8_t *out)
{
    const int run = k.width * k.channels, kernel = k.kernel_width * k.channels;
    for (int o = 0; o < k.out_channels; o += 2, weights += 2 * k.kernel_height * kernel) {
        Running sums = begin(biases(channels + o));
        const int16_t *x = first;
        const int8_t *w = weights + 2 * skipped * k.channels;
        for (int ky = 0; ky < k.kernel_height; ky++) {
            for (int kx = 0; kx < taps; kx++) {
                const int16_t *at = x + kx * k.channels;
                const int8_t *with = w + 2 * kx * k.channels;
#pragma GCC unroll 8
                for (int i = 0; i < k.channels; i += 4)
                    step(at + i, k.stride_y * run, rows, with + 2 * i, &sums);
            }
            x += run;
            w += 2 * kernel;
        }
        store(k, channels + o, o, rows, k.out_width * k.out_channels, totals(sums), out);
    }
}

/* `rows` output rows from y on. The input rows they see are unpacked first, with rows of zeros
   above and below the picture; taps to the left and right of it are left out. */
INLINE void strip(Convolution k, int y, int rows, const int8_t *in, const int8_t *weights,
                  const Channel *channels, int8_t *out, int16_t *work)
{
    const int run = k.width * k.channels;
    int16_t *to = work;
    for (int r = 0; r < (rows - 1) * k.stride_y + k.kernel_height; r++, to += run) {
        int from = y * k.stride_y - k.top + r;
        if (from < 0 || from >= k.height) memset(to, 0, (size_t)run * sizeof *to);
        else unpack(in + from * run, to, run, k.zero);
    }
    out += y * k.out_width * k.out_channels;
    for (int x = 0; x < k.out_width; x++, out += k.out_channels) {
        int left = x * k.stride_x - k.left;
        int skipped = left < 0 ? -left : 0;
        int end = k.width - left < k.kernel_width ? k.width - left : k.kernel_width;
        column(k, work + (left + skipped) * k.channels, end - skipped, skipped, rows, weights,
               channels, out);
    }
}

/* A convolution of a multiple of four channels, not dilated, three output rows at a time. */
INLINE void convolve_rows(Convolution k, const int8_t *in, const int8_t *weights,
                          const Channel *channels, int8_t *out, int16_t *work)
{
    int y = 0;
    for (; y + MOST_ROWS <= k.out_height; y += MOST_ROWS)
        strip(k, y, MOST_ROWS, in, weights, channels, out, work);
    for (; y < k.out_height; y++) strip(k, y, 1, in, weights, channels, out, work);
}

/* The input rows that output row y sees, unpacked, with zeros wherever there is no picture. */
INLINE void framed_rows(Convolution k, int y, int span, const int8_t *in, int16_t *to)
{
    for (int ky = 0; ky < k.kernel_height; ky++) {
        const int iy = y * k.stride_y - k.top + ky * k.dilation_y;
        const int8_t *row = in + iy * k.width * k.channels;
        for (int i = 0; i < span; i++) {
            const int ix = i - k.left;
            const int inside = iy >= 0 && iy < k.height && ix >= 0 && ix < k.width;
            for (int c = 0; c < k.channels; c++)
                *to++ = (int16_t)(inside ? row[ix * k.channels + c] - k.zero : 0);
        }
    }
}

/* Any convolution: what each position sees is copied into a row of its own, in the order of the
   weights and filled up with zeros to a multiple of four; three positions at a time. */
INLINE void convolve_patches(Convolution k, const int8_t *in, const int8_t *weights,
                             const Channel *channels, int8_t *out, int16_t *work)
{
    const int seen = k.kernel_height * k.kernel_width * k.channels, padded = (seen + 3) / 4 * 4;
    const int span = (k.out_width - 1) * k.stride_x + (k.kernel_width - 1) * k.dilation_x + 1;
    int16_t *const framed = work + MOST_ROWS * padded;
    memset(work, 0, sizeof *work * (size_t)(MOST_ROWS * padded)); /* what fills up stays 0 */
    for (int y = 0; y < k.out_height; y++) {
        framed_rows(k, y, span, in, framed);
        for (int x = 0; x < k.out_width; x += MOST_ROWS) {
            const int rows = k.out_width - x < MOST_ROWS ? k.out_width - x : MOST_ROWS;
            for (int r = 0; r < rows; r++) {
                const int16_t *from = framed + (x + r) * k.stride_x * k.channels;
                int16_t *to = work + r * padded;
                for (int ky = 0; ky < k.kernel_height; ky++, from += span * k.channels)
                    for (int kx = 0; kx < k.kernel_width; kx++)
                        for (int c = 0; c < k.channels; c++)
                            *to++ = from[kx * k.dilation_x * k.channels + c];
            }
            const int8_t *w = weights;
            for (int o = 0; o < k.out_channels; o += 2) {
                Running sums = begin(biases(channels + o));
                for (int i = 0; i < padded; i += 4, w += 8)
                    step(work + i, padded, MOST_ROWS, w, &sums);
                store(k, channels + o, o, rows, k.out_channels, totals(sums), out);
            }
            out += rows * k.out_channels;
        }
    }
}

/* Taps of a kernel, along one axis, that lie in the picture: from `first` up to, not with, `end`. */
typedef struct {
    int first, end;
} Range;
INLINE Range inside(int start, int taps, int dilation, int size)
{
    Range r = {0, taps};
    while (r.first < r.end && start + r.first * dilation < 0) r.first++;
    while (r.end > r.first && start + (r.end - 1) * dilation >= size) r.end--;
    return r;
}

/* The sums of four neighbouring maps: variables of their own, so that each has a register. */
typedef struct {
    int32_t a, b, c, d;
} Four;

/* One tap of four maps: each has its own product and its own sum. */
INLINE void four_maps(const int8_t *x, const int8_t *w, int zero, Four *sums)
{
#if DSP
    const uint32_t offset = (uint32_t)(-zero & 0xffff) * 0x10001u;
    const uint32_t word = *(const Word *)x, with = *(const Word *)w;
    uint32_t a_c, b_d, weights_a_c, weights_b_d;
    __asm__("sxtab16 %0, %1, %2" : "=r"(a_c) : "r"(offset), "r"(word));
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(b_d) : "r"(offset), "r"(word));
    __asm__("sxtb16 %0, %1" : "=r"(weights_a_c) : "r"(with));
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(weights_b_d) : "r"(with));
    __asm__("smlabb %0, %1, %2, %0" : "+r"(sums->a) : "r"(a_c), "r"(weights_a_c));
    __asm__("smlabb %0, %1, %2, %0" : "+r"(sums->b) : "r"(b_d), "r"(weights_b_d));
    __asm__("smlatt %0, %1, %2, %0" : "+r"(sums->c) : "r"(a_c), "r"(weights_a_c));
    __asm__("smlatt %0, %1, %2, %0" : "+r"(sums->d) : "r"(b_d), "r"(weights_b_d));
#else
    sums->a = add_product(sums->a, x[0] - zero, w[0]);
    sums->b = add_product(sums->b, x[1] - zero, w[1]);
    sums->c = add_product(sums->c, x[2] - zero, w[2]);
    sums->d = add_product(sums->d, x[3] - zero, w[3]);
#endif
}

/* One number, or four of neighbouring maps, of a depthwise output; `in` is the input of the taps
   `down` and `across` at the upper left, `weights` and `channels` are those of the first map. */
INLINE void maps_at(Convolution k, int maps, int down, int across, const int8_t *in,
                    const int8_t *weights, const Channel *channels, int8_t *out)
{
    const int row = k.dilation_y * k.width * k.channels, column = k.dilation_x * k.channels;
    Four sums = {channels[0].bias, 0, 0, 0};
    if (maps == 4) {
        sums.b = channels[1].bias;
        sums.c = channels[2].bias;
        sums.d = channels[3].bias;
    }
    for (; down > 0; down--, in += row, weights += k.kernel_width * k.out_channels) {
        const int8_t *x = in, *w = weights;
        for (int n = across; n > 0; n--, x += column, w += k.out_channels) {
            if (maps == 4) four_maps(x, w, k.zero, &sums);
            else sums.a = add_product(sums.a, *x - k.zero, *w);
        }
    }
#define NUMBER(sum, c) finish(sum, channels + c, k.quick, k.out_zero, k.low, k.high)
    out[0] = NUMBER(sums.a, 0);
    if (maps == 1) return;
    out[1] = NUMBER(sums.b, 1);
    out[2] = NUMBER(sums.c, 2);
    out[3] = NUMBER(sums.d, 3);
#undef NUMBER
}

/* A depthwise convolution: each input channel has out_channels / channels kernels of its own. Where
   that is one, four neighbouring maps are made at once. Taps beside the picture are left out.
   weights (kernel_height, kernel_width, out_channels) */
INLINE void convolve_depthwise(Convolution k, const int8_t *in, const int8_t *weights,
                               const Channel *channels, int8_t *out)
{
    const int many = k.out_channels / k.channels, fours = many == 1 ? k.channels / 4 * 4 : 0;
    for (int y = 0; y < k.out_height; y++) {
        const int top = y * k.stride_y - k.top;
        const Range down = inside(top, k.kernel_height, k.dilation_y, k.height);
        for (int x = 0; x < k.out_width; x++, out += k.out_channels) {
            const int left = x * k.stride_x - k.left;
            const Range across = inside(left, k.kernel_width, k.dilation_x, k.width);
            const int iy = top + down.first * k.dilation_y, ix = left + across.first * k.dilation_x;
            const int8_t *from = in + (iy * k.width + ix) * k.channels;
            const int8_t *w = weights + (down.first * k.kernel_width + across.first) * k.out_channels;
            for (int o = 0; o < k.out_channels; o += o < fours ? 4 : 1)
                maps_at(k, o < fours ? 4 : 1, down.end - down.first, across.end - across.first,
                        from + o / many, w + o, channels + o, out + o);
        }
    }
}

/* A depthwise convolution of one tap, such as a normalisation: in place where out is in. */
INLINE void scale_channels(int places, int n, int zero, int out_zero, int low, int high, int quick,
                           const int8_t *in, const int8_t *weights, const Channel *channels,
                           int8_t *out)
{
    for (int c = 0; c < n; c++) {
        const Channel channel = channels[c];
        const int32_t weight = weights[c];
        for (int i = c; i < places * n; i += n)
            out[i] = finish(add_product(channel.bias, in[i] - zero, weight), &channel, quick,
                            out_zero, low, high);
    }
}

#endif
