/* Sound in, a scene a second out, on an emulated Cortex-M4.

   Samples come from sound.bin, int16 at LISTENING_RATE. The table goes to the host's standard
   output, picture and logits of each second to answers.bin, and what was counted to counts.txt: of
   the first second the instructions of the front end, the most of them in SLICE samples, those of
   the model, softmax and all, and bytes of stack.

   `samples` is what a microphone's DMA would fill while the model runs: half a second. Here the
   file fills it, whenever it is empty. */

#include "scene.h"
#include "semihosting.h"

enum { SLICE = LISTENING_RATE / 500 }; /* samples taken at once: 2 ms */

static int16_t samples[LISTENING_RATE / 2];
static struct frontend f;
static struct scene answer;
static char text[SCENE_TEXT];

int main(void)
{
    uint32_t front = 0, most = 0, model = 0;
    unsigned second = 0;
    intptr_t left = 0;
    MARK_STACK();
    intptr_t from = open_file("sound.bin", 9, 1), to = open_file("answers.bin", 11, 5);
    intptr_t report = open_file("counts.txt", 10, 4), screen = open_file(":tt", 3, 4);
    frontend_start(&f, LISTENING_RATE, MODEL_INPUT_SCALE, MODEL_INPUT_ZERO_POINT);
    transfer(WRITE, screen, text, scene_head(text));
    start_ticks();
    while (left == 0) { /* bytes of the last reading that were not there */
        left = transfer(READ, from, samples, sizeof samples);
        int n = (int)(sizeof samples - (uint32_t)left) / 2;
        for (int at = 0, taken; at < n; at += taken) {
            uint32_t start = ticks(), spent;
            taken = (int)frontend_int16(&f, samples + at, (size_t)(n - at < SLICE ? n - at : SLICE));
            spent = between(start, ticks());
            if (second == 0) {
                front += spent;
                most = spent > most ? spent : most;
            }
            if (!f.ready) continue;
            start = ticks();
            scene_answer(f.picture, &answer);
            if (second == 0) model = between(start, ticks());
            transfer(WRITE, screen, text, scene_text(&answer, second++, text));
            transfer(WRITE, to, f.picture, sizeof f.picture);
            transfer(WRITE, to, answer.logits, sizeof answer.logits);
        }
    }
    write_number(report, front);
    write_number(report, most);
    write_number(report, model);
    write_number(report, stack_used());
    host(CLOSE, &from), host(CLOSE, &to), host(CLOSE, &report), host(CLOSE, &screen);
    end();
    return 0;
}
