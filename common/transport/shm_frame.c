#include "common/transport/shm_frame.h"

#include <errno.h>

void shm_question_encode(const struct shm_question *question, uint8_t out[SHM_QUESTION_BYTES])
{
	frame_put32(out, question->op);
	frame_put32(out + 4, 0);
	frame_put64(out + 8, question->key);
}

int shm_question_decode(const uint8_t bytes[SHM_QUESTION_BYTES], struct shm_question *out)
{
	uint32_t op = frame_get32(bytes);

	if ((op != SHM_MAP && op != SHM_UNMAP) || frame_get32(bytes + 4) != 0)
		return -EPROTO;
	out->op = (enum shm_op)op;
	out->key = frame_get64(bytes + 8);
	return 0;
}

void shm_answer_encode(const struct shm_answer *answer, uint8_t out[SHM_ANSWER_BYTES])
{
	frame_put32(out, answer->status);
	frame_put32(out + 4, 0);
	frame_put64(out + 8, answer->bytes);
}

int shm_answer_decode(const uint8_t bytes[SHM_ANSWER_BYTES], struct shm_answer *out)
{
	if (frame_get32(bytes + 4) != 0)
		return -EPROTO;
	out->status = frame_get32(bytes);
	out->bytes = frame_get64(bytes + 8);
	return 0;
}
