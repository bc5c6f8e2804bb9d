/*
 * Questions and answers on the Unix socket of the shm transport, after the hello of frame.h. A pure
 * codec. One question at a time; all numbers little endian.
 *
 *   question      0        4        8                16
 *                 ┌────────┬────────┬────────────────┐
 *                 │ op     │ zero   │ key            │
 *                 └────────┴────────┴────────────────┘
 *   answer        0        4        8                16
 *                 ┌────────┬────────┬────────────────┐
 *                 │ status │ zero   │ bytes          │      MAP: with the memfd as SCM_RIGHTS
 *                 └────────┴────────┴────────────────┘
 *
 * MAP asks for the memory of a key. UNMAP says that it is no longer mapped here: until then, the
 * donor ends the connection when it takes the memory back, so that the client learns of it.
 */
#ifndef COMMON_TRANSPORT_SHM_FRAME_H
#define COMMON_TRANSPORT_SHM_FRAME_H

#include "common/transport/frame.h"

#define SHM_QUESTION_BYTES 16
#define SHM_ANSWER_BYTES 16

enum shm_op { SHM_MAP = 1, SHM_UNMAP = 2 };

struct shm_question {
	enum shm_op op;
	uint64_t key;
};

struct shm_answer {
	uint32_t status; /* enum frame_status */
	uint64_t bytes;
};

void shm_question_encode(const struct shm_question *question, uint8_t out[SHM_QUESTION_BYTES]);
int shm_question_decode(const uint8_t bytes[SHM_QUESTION_BYTES],
			struct shm_question *out) MUST_CHECK;

void shm_answer_encode(const struct shm_answer *answer, uint8_t out[SHM_ANSWER_BYTES]);
int shm_answer_decode(const uint8_t bytes[SHM_ANSWER_BYTES], struct shm_answer *out) MUST_CHECK;

#endif
