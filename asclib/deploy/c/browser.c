/* What the listening page calls: samples in, then a picture, then answers.

       start(48000)
       until all are pushed: write up to 4,096 floats to samples(), push(how many) -> how many taken
       when ready(): run(), and the answers lie at answers()

   Frames of the picture are there as soon as their sound is: frames() counts them. */
#include "frontend.h"
#include "model.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define CHUNK 4096

/* The picture is what the model takes. */
typedef char same_size[MODEL_INPUT_SIZE == FRONTEND_BANDS * FRONTEND_FRAMES ? 1 : -1];

static struct frontend frontend;
static float chunk[CHUNK];
static int8_t outputs[MODEL_OUTPUT_SIZE];

EXPORT(start) int start(int rate)
{
    return frontend_start(&frontend, rate, MODEL_INPUT_SCALE, MODEL_INPUT_ZERO_POINT);
}

EXPORT(push) int push(int n)
{
    return n < 0 || n > CHUNK ? 0 : (int)frontend_float(&frontend, chunk, (size_t)n);
}

EXPORT(run) void run(void) { model_run(frontend.picture, outputs); }

EXPORT(ready) int ready(void) { return frontend.ready; }
EXPORT(frames) int frames(void) { return frontend.frame; }

/* Where things lie in memory. */
EXPORT(samples) float *samples(void) { return chunk; }
EXPORT(nepers) float *nepers(void) { return frontend.nepers; }
EXPORT(picture) int8_t *picture(void) { return frontend.picture; }
EXPORT(answers) int8_t *answers(void) { return outputs; }

/* Sizes; and value = scale * (int8 - zero). */
EXPORT(chunk_size) int chunk_size(void) { return CHUNK; }
EXPORT(bands) int bands(void) { return FRONTEND_BANDS; }
EXPORT(frames_of_second) int frames_of_second(void) { return FRONTEND_FRAMES; }
EXPORT(classes) int classes(void) { return MODEL_OUTPUT_SIZE; }
EXPORT(input_scale) float input_scale(void) { return MODEL_INPUT_SCALE; }
EXPORT(input_zero) int input_zero(void) { return MODEL_INPUT_ZERO_POINT; }
EXPORT(output_scale) float output_scale(void) { return MODEL_OUTPUT_SCALE; }
EXPORT(output_zero) int output_zero(void) { return MODEL_OUTPUT_ZERO_POINT; }

/* There is no library that has them. */
void *memcpy(void *to, const void *from, size_t n)
{
    char *t = to;
    const char *f = from;
    while (n--) *t++ = *f++;
    return to;
}

void *memset(void *to, int value, size_t n)
{
    char *t = to;
    while (n--) *t++ = (char)value;
    return to;
}
