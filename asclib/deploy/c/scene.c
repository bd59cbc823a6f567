/* A picture in, a scene out; scene.h says how it is used. No library is needed. */
#include "scene.h"

/* exp of a number from 0 downwards, to its last bits: 2^n times a polynomial. */
static float exponential(float x)
{
    union { float f; uint32_t u; } power;
    int n;
    float r;

    if (!(x > -80.0f))
        return 0.0f;
    n = (int)(x * 1.44269504f - 0.5f);                        /* to the nearest */
    r = (x - (float)n * 0.693359375f) + (float)n * 2.12194440e-4f; /* ln 2 in two parts */
    power.u = (uint32_t)(127 + n) << 23;
    return power.f * (1.0f + r * (1.0f + r * (0.5f + r * (0.16666667f + r * (0.041666668f
                    + r * (0.0083333338f + r * 0.0013888889f))))));
}

void scene_answer(const int8_t *picture, struct scene *answer)
{
    float sum = 0.0f;

    model_run(picture, answer->logits);
    answer->best = 0;
    for (int i = 1; i < MODEL_OUTPUT_SIZE; i++)
        if (answer->logits[i] > answer->logits[answer->best])
            answer->best = i;
    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) {
        int below = answer->logits[i] - answer->logits[answer->best];
        sum += answer->probabilities[i] = exponential(MODEL_OUTPUT_SCALE * (float)below);
    }
    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++)
        answer->probabilities[i] /= sum;
}

static int put_string(char *text, const char *from)
{
    int n = 0;

    for (; from[n]; n++) text[n] = from[n];
    return n;
}

static int put_number(char *text, unsigned number, int digits) /* at least so many digits */
{
    char backwards[10];
    int n = 0;

    do backwards[n++] = (char)('0' + number % 10);
    while ((number /= 10) || n < digits);
    for (int i = 0; i < n; i++) text[i] = backwards[n - 1 - i];
    return n;
}

int scene_head(char *text)
{
    int n = put_string(text, "second,scene");

    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) {
        text[n++] = ',';
        n += put_string(text + n, CLASSES[i]);
    }
    text[n++] = '\n';
    return n;
}

int scene_text(const struct scene *answer, unsigned second, char *text)
{
    int n = put_number(text, second, 1);

    text[n++] = ',';
    n += put_string(text + n, CLASSES[answer->best]);
    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) {
        unsigned thousandths = (unsigned)(answer->probabilities[i] * 1000.0f + 0.5f);

        text[n++] = ',';
        n += put_number(text + n, thousandths / 1000, 1);
        text[n++] = '.';
        n += put_number(text + n, thousandths % 1000, 3);
    }
    text[n++] = '\n';
    return n;
}
