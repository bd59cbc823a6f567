/* The model on a computer: clips of int8 from standard input, answers to standard output. */

#include <stdio.h>

#include "model.h"

int main(void)
{
    static int8_t input[MODEL_INPUT_SIZE], output[MODEL_OUTPUT_SIZE];
    while (fread(input, 1, sizeof input, stdin) == sizeof input) {
        model_run(input, output);
        if (fwrite(output, 1, sizeof output, stdout) != sizeof output) return 1;
    }
    return 0;
}
