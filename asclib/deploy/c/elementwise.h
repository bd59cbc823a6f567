/* Pooling, mean, dense layers and arithmetic, element by element. */

#ifndef ELEMENTWISE_H
#define ELEMENTWISE_H

#include "arithmetic.h"

typedef struct {
    int height, width, channels, out_height, out_width;
    int kernel_height, kernel_width, stride_y, stride_x, top, left, low, high;
} Pool;

/* The largest or, where `average`, the mean number of each window; padding is not counted. */
INLINE void pool(Pool k, int average, const int8_t *in, int8_t *out)
{
    for (int y = 0; y < k.out_height; y++)
        for (int x = 0; x < k.out_width; x++) {
            int y0 = y * k.stride_y - k.top, x0 = x * k.stride_x - k.left;
            int y1 = y0 + k.kernel_height, x1 = x0 + k.kernel_width;
            y0 = y0 < 0 ? 0 : y0, x0 = x0 < 0 ? 0 : x0;
            y1 = y1 > k.height ? k.height : y1, x1 = x1 > k.width ? k.width : x1;
            int count = (y1 - y0) * (x1 - x0);
            for (int c = 0; c < k.channels; c++) {
                int32_t most = -128, sum = 0;
                for (int iy = y0; iy < y1; iy++)
                    for (int ix = x0; ix < x1; ix++) {
                        int32_t value = in[(iy * k.width + ix) * k.channels + c];
                        sum += value;
                        most = value > most ? value : most;
                    }
                if (average)
                    most = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
                *out++ = (int8_t)clamp(most, k.low, k.high);
            }
        }
}

/* The mean over n numbers, `inner` apart, of each of outer * inner. */
INLINE void mean(int outer, int n, int inner, int zero, int32_t multiplier, int32_t shift,
                 int out_zero, const int8_t *in, int8_t *out)
{
    for (int o = 0; o < outer; o++, in += n * inner)
        for (int c = 0; c < inner; c++) {
            int32_t sum = -zero * n;
            for (int i = c; i < n * inner; i += inner) sum += in[i];
            *out++ = (int8_t)clamp(rescale(sum, multiplier, shift) + out_zero, -128, 127);
        }
}

/* weights (outputs, inputs), in their own order */
INLINE void dense(int inputs, int outputs, int zero, int out_zero, int low, int high, int quick,
                  const int8_t *in, const int8_t *weights, const Channel *channels, int8_t *out)
{
    for (int o = 0; o < outputs; o++) {
        int32_t sum = channels[o].bias;
        for (int i = 0; i < inputs; i++) sum = add_product(sum, in[i] - zero, *weights++);
        out[o] = finish(sum, channels + o, quick, out_zero, low, high);
    }
}

/* Another scale and zero point, and a smaller range: QUANTIZE, RELU, RELU6. */
INLINE void requantize(int n, int zero, int32_t multiplier, int32_t shift, int out_zero, int low,
                       int high, const int8_t *in, int8_t *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (int8_t)clamp(rescale(in[i] - zero, multiplier, shift) + out_zero, low, high);
}

/* Two operands, of which the second may be shorter and is then repeated. */
typedef struct {
    int n, m, sign, other_sign, zero, other_zero, out_zero, low, high;
    int32_t multiplier, shift, other_multiplier, other_shift, out_multiplier, out_shift;
} Pairwise;

INLINE void multiply(Pairwise k, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (int i = 0; i < k.n; i++) {
        int32_t product = (a[i] - k.zero) * (b[i % k.m] - k.other_zero);
        int32_t y = rescale(product, k.out_multiplier, k.out_shift) + k.out_zero;
        out[i] = (int8_t)clamp(y, k.low, k.high);
    }
}

INLINE void add(Pairwise k, const int8_t *a, const int8_t *b, int8_t *out)
{
    for (int i = 0; i < k.n; i++) {
        int32_t x = rescale((a[i] - k.zero) * (1 << 20), k.multiplier, k.shift);
        int32_t y = rescale((b[i % k.m] - k.other_zero) * (1 << 20), k.other_multiplier,
                            k.other_shift);
        int32_t sum = rescale(k.sign * x + k.other_sign * y, k.out_multiplier,
                              k.out_shift) + k.out_zero;
        out[i] = (int8_t)clamp(sum, k.low, k.high);
    }
}

/* Axes in another order: the lengths of the output's, and how far apart each lies in the input. */
INLINE void transpose(int a, int b, int c, int d, int step_a, int step_b, int step_c, int step_d,
                      const int8_t *in, int8_t *out)
{
    for (int i = 0; i < a; i++)
        for (int j = 0; j < b; j++)
            for (int k = 0; k < c; k++)
                for (int l = 0; l < d; l++)
                    *out++ = in[i * step_a + j * step_b + k * step_c + l * step_d];
}

/* Rows of n numbers to where rows are `length` long: one of the parts that are joined. */
INLINE void copy_rows(int rows, int n, int length, const int8_t *in, int8_t *out)
{
    for (int r = 0; r < rows; r++) memcpy(out + r * length, in + r * n, (size_t)n);
}

/* A frame of zero points around an input (a, b, c, d), whose first number goes to place `before` of
   `size`; in the output a step along c, b and a is a row, a plane and a block. */
INLINE void pad(int a, int b, int c, int d, int before, int row, int plane, int block, int size,
                int zero, const int8_t *in, int8_t *out)
{
    memset(out, zero, (size_t)size);
    out += before;
    for (int i = 0; i < a; i++)
        for (int j = 0; j < b; j++)
            for (int k = 0; k < c; k++, in += d)
                memcpy(out + i * block + j * plane + k * row, in, (size_t)d);
}

#endif
