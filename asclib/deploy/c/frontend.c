/* From samples to the network's input; frontend.h says how it is used. */
#include "frontend.h"

#define FRONTEND_TABLES
#include "frontend_tables.h"

#ifdef __FAST_MATH__
#error "-ffast-math adds in another order on every compiler: leave it out"
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* gcc: -ffp-contract=off */
#endif

#define POINTS (FRONTEND_FFT / 2) /* of the complex transform: even samples + i odd samples */

/* ---- the low-pass ------------------------------------------------------------------------- */

/* Begins at output -early, with input number `first` next and silence before it. */
static void stage_begin(struct frontend_stage *s, int early, int first)
{
    int centre = -((early * s->step + s->phases - 1) / s->phases); /* rounded down */

    for (int i = 0; i < 4 * s->half; i++)
        s->line[i] = 0.0f;
    s->at = 0;
    s->phase = -early * s->step - centre * s->phases;
    s->wait = centre + s->half - first + 1;
}

/* The sum of h[j] (x[-j] + x[j]), j = 0 .. n - 1; n is a multiple of 4. */
static float folded(const float *h, const float *x, int n)
{
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;

    for (int j = 0; j < n; j += 4) {
        a += h[j] * (x[-j] + x[j]);
        b += h[j + 1] * (x[-j - 1] + x[j + 1]);
        c += h[j + 2] * (x[-j - 2] + x[j + 2]);
        d += h[j + 3] * (x[-j - 3] + x[j + 3]);
    }
    return (a + c) + (b + d);
}

static float dot(const float *h, const float *x, int n) /* a multiple of 4 */
{
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;

    for (int j = 0; j < n; j += 4) {
        a += h[j] * x[j];
        b += h[j + 1] * x[j + 1];
        c += h[j + 2] * x[j + 2];
        d += h[j + 3] * x[j + 3];
    }
    return (a + c) + (b + d);
}

/* Takes an input; whether it completes an output. */
static inline int stage_take(struct frontend_stage *s, float x)
{
    int taps = 2 * s->half, at = s->at;

    s->line[at] = s->line[at + taps] = x;
    s->at = at + 1 == taps ? 0 : at + 1;
    return --s->wait == 0;
}

/* The output that is complete. */
static float stage_output(struct frontend_stage *s)
{
    const float *oldest = s->line + s->at;
    float y = s->phases == 1 ? folded(s->taps, oldest + s->half - 1, s->half)
                             : dot(s->taps + s->phase * 2 * s->half, oldest, 2 * s->half);

    s->phase += s->step;
    while (s->phase >= s->phases) {
        s->phase -= s->phases;
        s->wait++;
    }
    return y;
}

/* ---- the spectrum ------------------------------------------------------------------------- */

/* Of 2 pi i / 2048, 0 <= i < 2048. */
static float cosine(int i) { return COSINE[i]; }
static float sine(int i) { return COSINE[(i + FRONTEND_FFT * 3 / 4) & (FRONTEND_FFT - 1)]; }

static int reversed(int k) /* the five digits of k to the base 4, last first */
{
    return (k & 3) << 8 | (k & 12) << 4 | (k & 48) | (k >> 4 & 12) | (k >> 8 & 3);
}

/* Sample n of the frame under half of Hamming's window, the periodic one. Sound begins `before`
   samples into the frame; what lies beyond its ends is reflected. */
static float windowed(const struct frontend *f, int n, int before)
{
    int i = n < before ? before - n : n - before;

    if (i >= f->held)
        i = 2 * (f->held - 1) - i;
    return (f->sound[i] + FRONTEND_EPS) * (0.27f - 0.23f * cosine(n));
}

/* Half the frame, its even samples + i its odd ones, at the places that `transform` wants. */
static void load_frame(struct frontend *f, int before)
{
    for (int n = 0; n < POINTS; n++) {
        float *z = f->spectrum + 2 * reversed(n);

        z[0] = windowed(f, 2 * n, before);
        z[1] = windowed(f, 2 * n + 1, before);
    }
}

/* x times exp(-2 pi i turn / 2048) */
static void rotate(float *re, float *im, const float *x, int turn)
{
    float c = cosine(turn), s = sine(turn);

    *re = x[0] * c + x[1] * s;
    *im = x[1] * c - x[0] * s;
}

/* A complex Fourier transform of 1,024 = 4^5 points in place, from digit-reversed places. */
static void transform(float *z)
{
    for (int n = 1; n < POINTS; n *= 4)
        for (int k = 0; k < n; k++)
            for (int j = k; j < POINTS; j += 4 * n) {
                float *a = z + 2 * j, *b = a + 2 * n, *c = b + 2 * n, *d = c + 2 * n;
                float br = b[0], bi = b[1], cr = c[0], ci = c[1], dr = d[0], di = d[1];
                float sr, si, tr, ti, ur, ui, vr, vi;

                if (k) {
                    int turn = k * (FRONTEND_FFT / 4) / n;
                    rotate(&br, &bi, b, turn);
                    rotate(&cr, &ci, c, 2 * turn);
                    rotate(&dr, &di, d, 3 * turn);
                }
                sr = a[0] + cr, si = a[1] + ci; /* a + c */
                tr = a[0] - cr, ti = a[1] - ci; /* a - c */
                ur = br + dr, ui = bi + di;     /* b + d */
                vr = br - dr, vi = bi - di;     /* b - d */
                a[0] = sr + ur, a[1] = si + ui;
                b[0] = tr + vi, b[1] = ti - vr; /* (a - c) - i (b - d) */
                c[0] = sr - ur, c[1] = si - ui;
                d[0] = tr - vi, d[1] = ti + vr;
            }
}

static float magnitude(float re, float im)
{
    float square = re * re + im * im;
    union { float f; uint32_t u; } root = {square};

    root.u = 0x5f3759dfu - (root.u >> 1); /* 1 / sqrt to 3 %, then three steps of Newton's */
    for (int i = 0; i < 3; i++)
        root.f *= 1.5f - 0.5f * square * root.f * root.f;
    return square * root.f;
}

/* The frame's magnitudes at bins 1 to 1,023: that of bin k goes to z[2 k]. */
static void magnitudes(float *z)
{
    for (int k = 1; k < POINTS / 2; k++) {
        float *p = z + 2 * k, *q = z + 2 * (POINTS - k);
        float er = p[0] + q[0], ei = p[1] - q[1];              /* of the even samples */
        float o[2] = {p[1] + q[1], q[0] - p[0]}, re, im;       /* of the odd ones */

        rotate(&re, &im, o, k);
        p[0] = magnitude(er + re, ei + im);
        q[0] = magnitude(er - re, ei - im);
    }
    z[POINTS] = 2.0f * magnitude(z[POINTS], z[POINTS + 1]);
}

/* ---- bands -------------------------------------------------------------------------------- */

static float logarithm(float x) /* natural, of a normal positive number, to 2e-7 or its last bit */
{
    union { float f; uint32_t u; } bits = {x};
    int exponent;
    float s, q;

    if (bits.u >= 0x7f800000u) /* infinite or no number, and so is what it came from */
        return x;
    exponent = (int)(bits.u >> 23) - 127;
    bits.u = (bits.u & 0x007fffffu) | 0x3f800000u; /* 1 <= f < 2 */
    if (bits.f > 1.41421356f) {
        bits.f *= 0.5f;
        exponent++;
    }
    s = (bits.f - 1.0f) / (bits.f + 1.0f); /* ln f = 2 (s + s^3 / 3 + s^5 / 5 + ...) */
    q = s * s;
    q = q * (0.66666667f + q * (0.4f + q * (0.28571429f + q * 0.22222222f)));
    return (float)exponent * 0.69314718f + (2.0f * s + s * q);
}

static int8_t quantised(float x, float scale, int zero_point)
{
    float v = x / scale + (float)zero_point;

    if (!(v > -128.0f)) /* silence, and what is no number */
        return -128;
    if (v >= 127.0f)
        return 127;
    return (int8_t)((v + 12582912.0f) - 12582912.0f); /* 1.5 * 2^23: to the nearest, ties to even */
}

static void make_frame(struct frontend *f, int before)
{
    const float *weight = WEIGHTS;

    load_frame(f, before);
    transform(f->spectrum);
    magnitudes(f->spectrum);
    for (int band = 0; band < FRONTEND_BANDS; band++) {
        const float *bin = f->spectrum + 2 * BANDS[band].first;
        int place = band * FRONTEND_FRAMES + f->frame;
        float sum = 0.0f;

        for (int i = 0; i < BANDS[band].bins; i++)
            sum += *weight++ * bin[2 * i];
        sum = logarithm(sum + FRONTEND_EPS);
#ifdef FRONTEND_NEPERS
        f->nepers[place] = sum;
#endif
        f->picture[place] = quantised(sum, f->scale, f->zero_point);
    }
    f->frame++;
}

/* ---- the second --------------------------------------------------------------------------- */

static void second_begin(struct frontend *f)
{
    f->taken = f->made = f->held = f->frame = f->ready = 0;
    stage_begin(&f->stage[0], FRONTEND_EARLY, 0); /* what the first filter rings beforehand */
    stage_begin(&f->stage[1], 0, -FRONTEND_EARLY);
#if FRONTEND_EDGES
    f->fed = 0;
    for (int i = 0; i < FRONTEND_EDGES; i++)
        f->edge[i] = 0.0f;
#endif
}

/* Frame k spans the 8 kHz samples from 1024 (k - 1) on: half of frame 0 lies before the second. */
static void take_sound(struct frontend *f, float y)
{
    f->sound[f->held++] = y;
    f->made++;
    if (f->frame == 0 && f->held == FRONTEND_HOP + 1)
        make_frame(f, FRONTEND_HOP);
    else if (f->held == FRONTEND_FFT || f->made == FRONTEND_RATE) {
        make_frame(f, 0);
        f->held = FRONTEND_FFT - FRONTEND_HOP;
        for (int i = 0; i < f->held; i++)
            f->sound[i] = f->sound[i + FRONTEND_HOP];
    }
}

static void take(struct frontend *f, float x)
{
#if FRONTEND_EDGES
    if (f->fed < FRONTEND_EDGE_INPUTS) {
        for (int i = 0; i < FRONTEND_EDGES; i++)
            f->edge[i] += f->plan->edge_inputs[i * FRONTEND_EDGE_INPUTS + f->fed] * x;
        f->fed++;
    }
#endif
    if (!stage_take(&f->stage[0], x))
        return;
    x = stage_output(&f->stage[0]);
    if (!stage_take(&f->stage[1], x))
        return;
    x = stage_output(&f->stage[1]);
#if FRONTEND_EDGES
    if (f->made < FRONTEND_EDGE_OUTPUTS)
        for (int i = 0; i < FRONTEND_EDGES; i++)
            x += f->edge[i] * f->plan->edge_outputs[i * FRONTEND_EDGE_OUTPUTS + f->made];
#endif
    take_sound(f, x);
}

/* How many of n samples this second still wants; begins the next one after a whole one. */
static size_t wanted(struct frontend *f, size_t n)
{
    size_t left;

    if (n && f->ready)
        second_begin(f);
    left = (size_t)(f->rate - f->taken);
    return n < left ? n : left;
}

static void took(struct frontend *f, size_t n)
{
    f->taken += (int32_t)n;
    if (f->taken < f->rate)
        return;
    while (f->made < FRONTEND_RATE)
        take(f, 0.0f);
    f->ready = 1;
}

size_t frontend_int16(struct frontend *f, const int16_t *samples, size_t n)
{
    n = wanted(f, n);
    for (size_t i = 0; i < n; i++)
        take(f, samples[i] * (1.0f / 32768.0f));
    took(f, n);
    return n;
}

size_t frontend_float(struct frontend *f, const float *samples, size_t n)
{
    n = wanted(f, n);
    for (size_t i = 0; i < n; i++)
        take(f, samples[i]);
    took(f, n);
    return n;
}

int frontend_start(struct frontend *f, int32_t rate, float scale, int zero_point)
{
    for (size_t i = 0; i < sizeof PLANS / sizeof *PLANS; i++) {
        const struct plan *p = PLANS + i;

        if (p->rate != rate)
            continue;
        f->rate = rate;
        f->scale = scale;
        f->zero_point = zero_point;
        f->plan = p;
        f->stage[0] = (struct frontend_stage){p->first, f->line, p->half, p->phases, p->step, 0, 0, 0};
        f->stage[1] = (struct frontend_stage){
            p->second, f->line + 4 * p->half, FRONTEND_SECOND_HALF, 1, 2, 0, 0, 0};
        second_begin(f);
        return 0;
    }
    return -1;
}
