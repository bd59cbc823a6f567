/* From samples to the network's input: one second of sound becomes a picture of bands x frames.

   The numbers are those of asclib.features.LogMel (its formula, frames, window and padding), second
   by second: each second is a clip of its own, as in training, with silence before and after it.

       struct frontend f;
       frontend_start(&f, 48000, scale, zero_point);
       while (n) {
           size_t taken = frontend_int16(&f, samples, n);
           samples += taken, n -= taken;
           if (f.ready) { ... f.picture ... }
       }

   A picture is whole with the last sample of its second, and stays until FRONTEND_HOP samples of
   8 kHz (0.128 s) of the next one have come. Chunks of any size give the same bits, and so does
   every processor, when compiled as FLAGS in asclib/deploy/frontend.py says. No memory but the
   struct is used, and about 200 bytes of stack.

   With FRONTEND_NEPERS defined, the picture is there in floats as well. */
#ifndef FRONTEND_H
#define FRONTEND_H

#include <stddef.h>
#include <stdint.h>

#include "frontend_tables.h" /* written by asclib.deploy.frontend */

#define FRONTEND_RATE 8000 /* samples a second of the spectrum */
#define FRONTEND_FFT 2048
#define FRONTEND_HOP 1024
#define FRONTEND_FRAMES (FRONTEND_RATE / FRONTEND_HOP + 1)

/* A low-pass that keeps fewer samples: output n lies at input n * step / phases. */
struct frontend_stage {
    const float *taps; /* at one phase, those from the centre on, the centre halved */
    float *line;       /* the last 2 half inputs, each twice, so that they lie in a row */
    int half, phases, step;
    int at;    /* where the next input goes */
    int wait;  /* inputs until the next output */
    int phase; /* of the next output */
};

struct frontend {
    int8_t picture[FRONTEND_BANDS * FRONTEND_FRAMES]; /* band after band, as NHWC has it */
#ifdef FRONTEND_NEPERS
    float nepers[FRONTEND_BANDS * FRONTEND_FRAMES];
#endif
    int ready; /* the picture is whole */
    float scale;
    int zero_point;
    int32_t rate, taken; /* samples of a second, and those of this one taken so far */
    int made, held;      /* 8 kHz samples of this second, and those of them in `sound` */
    int frame;           /* the next one */
    float sound[FRONTEND_FFT];
    float spectrum[FRONTEND_FFT];
    const struct plan *plan;
    struct frontend_stage stage[2]; /* to 16 kHz, and from there */
    float line[4 * (FRONTEND_FIRST_HALF + FRONTEND_SECOND_HALF)];
#if FRONTEND_EDGES
    int fed; /* samples that count for the edge */
    float edge[FRONTEND_EDGES];
#endif
};

/* Begins. int8 = nepers / scale + zero_point, to the nearest, ties to even, within -128 to 127.
   Returns 0, or -1 when there are no tables for this rate in hertz. */
int frontend_start(struct frontend *f, int32_t rate, float scale, int zero_point);

/* Takes samples up to the end of the second; returns how many. Sets `ready` when it is whole. */
size_t frontend_int16(struct frontend *f, const int16_t *samples, size_t n);

/* The same from floats, full scale at 1. */
size_t frontend_float(struct frontend *f, const float *samples, size_t n);

#endif
