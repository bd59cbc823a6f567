/* The model on an emulated Cortex-M4, which reaches the host's files by semihosting.

   Clips of int8 come from clips.bin, answers go to answers.bin, and what was counted to
   counts.txt: instructions of each layer in the first clip, of the whole clip, and bytes of stack. */

#include "model.h"
#include "semihosting.h"

static uint32_t after[MODEL_LAYERS + 1];

void model_layer(int number)
{
    after[number + 1] = ticks();
}

int main(void)
{
    static int8_t input[MODEL_INPUT_SIZE], output[MODEL_OUTPUT_SIZE];
    static uint32_t first[MODEL_LAYERS + 1];
    MARK_STACK();
    intptr_t from = open_file("clips.bin", 9, 1), to = open_file("answers.bin", 11, 5);
    intptr_t report = open_file("counts.txt", 10, 4);
    int clips = 0;
    for (; transfer(READ, from, input, sizeof input) == 0; clips++) {
        start_ticks();
        after[0] = ticks();
        model_run(input, output);
        if (clips == 0)
            for (int i = 0; i <= MODEL_LAYERS; i++) first[i] = after[i];
        transfer(WRITE, to, output, sizeof output);
    }
    for (int i = 0; i < MODEL_LAYERS; i++)
        write_number(report, between(first[i], first[i + 1]));
    write_number(report, between(first[0], first[MODEL_LAYERS]));
    write_number(report, stack_used());
    host(CLOSE, &from), host(CLOSE, &to), host(CLOSE, &report);
    end();
    return 0;
}
