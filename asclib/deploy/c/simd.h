/* Four inputs times four weights of two channels on WebAssembly's vectors: one product of eight. */

#ifndef SIMD_H
#define SIMD_H

#include <wasm_simd128.h>

/* Of each row four sums, the first two of one channel and the others of the next. */
typedef struct {
    v128_t a, b, c;
} Running;

INLINE Running begin(Sums s)
{
    return (Running){wasm_i32x4_make(s.a0, 0, s.a1, 0), wasm_i32x4_make(s.b0, 0, s.b1, 0),
                     wasm_i32x4_make(s.c0, 0, s.c1, 0)};
}

INLINE v128_t products(v128_t sums, const int16_t *x, v128_t weights)
{
    return wasm_i32x4_add(sums, wasm_i32x4_dot_i16x8(wasm_v128_load64_splat(x), weights));
}

/* As in convolution.h; the weights' order 0 2 1 3 is undone. */
INLINE void step(const int16_t *x, int row, int rows, const int8_t *w, Running *sums)
{
    v128_t weights = wasm_i16x8_load8x8(w);
    weights = wasm_i16x8_shuffle(weights, weights, 0, 2, 1, 3, 4, 6, 5, 7);
    sums->a = products(sums->a, x, weights);
    if (rows > 1) sums->b = products(sums->b, x + row, weights);
    if (rows > 2) sums->c = products(sums->c, x + 2 * row, weights);
}

INLINE int32_t lanes(v128_t v, int second)
{
    uint32_t one = (uint32_t)(second ? wasm_i32x4_extract_lane(v, 2) : wasm_i32x4_extract_lane(v, 0));
    uint32_t two = (uint32_t)(second ? wasm_i32x4_extract_lane(v, 3) : wasm_i32x4_extract_lane(v, 1));
    return (int32_t)(one + two);
}

INLINE Sums totals(Running s)
{
    return (Sums){lanes(s.a, 0), lanes(s.a, 1), lanes(s.b, 0), lanes(s.b, 1), lanes(s.c, 0),
                  lanes(s.c, 1)};
}

#endif
