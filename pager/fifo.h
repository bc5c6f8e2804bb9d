/*
 * The order in which resident pages are taken out: first in, first out, of page numbers. What has
 * been asked for again after it was taken out comes in anew at the back, so the queue and the
 * staging area behind it together make a second chance (the idea of S3-FIFO, SOSP 2023, without its
 * ghosts). Memory grows in blocks and shrinks with use; popping frees what pushing needs.
 */
#ifndef PAGER_FIFO_H
#define PAGER_FIFO_H

#include "common/base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct fifo;

int fifo_open(struct fifo **out) MUST_CHECK;
void fifo_close(struct fifo *fifo);

/* False when the queue is full (a terabyte of pages). */
bool fifo_push(struct fifo *fifo, uint32_t id) MUST_CHECK;
/* False when there is nothing. */
bool fifo_pop(struct fifo *fifo, uint32_t *out) MUST_CHECK;
/* What fifo_pop() would give. */
bool fifo_peek(const struct fifo *fifo, uint32_t *out) MUST_CHECK;

uint64_t fifo_length(const struct fifo *fifo);
uint64_t fifo_bytes(const struct fifo *fifo);

#endif
