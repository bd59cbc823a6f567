/* Sound in, a scene a second out, on a computer.

       ./listen.out [-r HERTZ] [-b BYTES] [FILE]

   FILE, or standard input, is a wav of 16 bits or raw int16, least byte first, of one channel. The
   channels of a wav are averaged. With -b the picture and the logits of each second go to the file
   BYTES, as they are. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static uint32_t number(const uint8_t *bytes, int n) /* least byte first */
{
    uint32_t value = 0;

    while (n--) value = value << 8 | bytes[n];
    return value;
}

static int skip(FILE *from, uint32_t n)
{
    while (n--)
        if (getc(from) == EOF) return -1;
    return 0;
}

/* Reads a wav's header behind its first four bytes, up to its samples. Returns 0, or -1. */
static int wav(FILE *from, long *rate, int *channels, uint32_t *bytes)
{
    uint8_t head[8], format[16];

    *channels = 0;
    if (fread(head, 1, 8, from) != 8 || memcmp(head + 4, "WAVE", 4)) return -1;
    while (fread(head, 1, 8, from) == 8) {
        uint32_t size = number(head + 4, 4);

        if (!memcmp(head, "data", 4)) {
            *bytes = size;
            return *channels ? 0 : -1;
        }
        if (!memcmp(head, "fmt ", 4)) {
            uint32_t kind;

            if (size < 16 || fread(format, 1, 16, from) != 16) return -1;
            kind = number(format, 2);
            if ((kind != 1 && kind != 0xFFFE) || number(format + 14, 2) != 16) return -1;
            *channels = (int)number(format + 2, 2);
            *rate = (long)number(format + 4, 4);
            size -= 16;
        }
        if (skip(from, size + (size & 1))) return -1;
    }
    return -1;
}

/* The next sample, its channels averaged; whether there is one. `first` are bytes read already. */
static int sample(FILE *from, const uint8_t *first, int *used, int channels, int16_t *x)
{
    long sum = 0;

    for (int i = 0; i < channels; i++) {
        uint8_t bytes[2];

        for (int j = 0; j < 2; j++) {
            int c = *used < 4 ? first[(*used)++] : getc(from);
            if (c == EOF) return 0;
            bytes[j] = (uint8_t)c;
        }
        sum += (int16_t)(uint16_t)number(bytes, 2);
    }
    *x = (int16_t)(sum / channels);
    return 1;
}

int main(int count, char **arguments)
{
    static struct frontend f;
    static struct scene answer;
    static char text[SCENE_TEXT];
    uint8_t first[4];
    int channels = 1, used = 4;
    long rate = 48000;
    uint32_t left = 0xFFFFFFFFu; /* bytes of samples, where that is known */
    unsigned second = 0;
    int16_t x;
    FILE *from = stdin, *bytes = NULL;

    for (int i = 1; i < count; i++) {
        FILE **file = &from;

        if (!strcmp(arguments[i], "-r") && i + 1 < count) {
            rate = atol(arguments[++i]);
            continue;
        }
        if (!strcmp(arguments[i], "-b") && i + 1 < count) file = &bytes, i++;
        if (!(*file = fopen(arguments[i], file == &bytes ? "wb" : "rb"))) {
            perror(arguments[i]);
            return 1;
        }
    }
    if (fread(first, 1, 4, from) != 4) {
        fprintf(stderr, "no sound\n");
        return 1;
    }
    if (memcmp(first, "RIFF", 4)) used = 0;
    else if (wav(from, &rate, &channels, &left)) {
        fprintf(stderr, "not a wav of 16 bits: convert it first\n");
        return 1;
    }
    if (frontend_start(&f, (int32_t)rate, MODEL_INPUT_SCALE, MODEL_INPUT_ZERO_POINT)) {
        fprintf(stderr, "%ld samples a second: resample to 44100 or 48000 first\n", rate);
        return 1;
    }
    fwrite(text, 1, (size_t)scene_head(text), stdout);
    for (; left >= 2u * (unsigned)channels && sample(from, first, &used, channels, &x);
         left -= left == 0xFFFFFFFFu ? 0 : 2u * (unsigned)channels) {
        frontend_int16(&f, &x, 1);
        if (!f.ready) continue;
        scene_answer(f.picture, &answer);
        fwrite(text, 1, (size_t)scene_text(&answer, second++, text), stdout);
        fflush(stdout);
        if (!bytes) continue;
        fwrite(f.picture, 1, sizeof f.picture, bytes);
        fwrite(answer.logits, 1, sizeof answer.logits, bytes);
    }
    if (!f.ready && f.taken)
        fprintf(stderr, "%ld samples at the end are no whole second\n", (long)f.taken);
    return (bytes && fclose(bytes)) || fflush(stdout) || ferror(stdout);
}
