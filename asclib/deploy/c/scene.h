/* A picture in, a scene out: what the front end has made of a second goes through the model. */
#ifndef SCENE_H
#define SCENE_H

#include "frontend.h"
#include "model.h"

#include "listening.h" /* written by asclib.deploy.sound: CLASSES */

struct scene {
    int8_t logits[MODEL_OUTPUT_SIZE];
    float probabilities[MODEL_OUTPUT_SIZE]; /* the softmax of the logits */
    int best;                               /* the class of the largest logit, the first of equals */
};

/* Answers a picture, which the model leaves as it is. */
void scene_answer(const int8_t *picture, struct scene *answer);

enum { SCENE_TEXT = 64 + 32 * (MODEL_OUTPUT_SIZE + 1) }; /* characters of a line, at most */

/* Lines of a table: its head, and second, scene and probabilities in thousandths.
   Both return the number of characters, the new line included. */
int scene_head(char *text);
int scene_text(const struct scene *answer, unsigned second, char *text);

#endif
