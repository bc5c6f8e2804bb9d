/* What a stranger sends on the Unix socket of the shm transport, and what a donor answers there. */
#include "common/transport/shm_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is_so)
{
	if (!is_so)
		abort();
}

static void check_question(const uint8_t *data)
{
	uint8_t again[SHM_QUESTION_BYTES];
	struct shm_question question;
	int err = shm_question_decode(data, &question);

	if (err) {
		must(err == -EPROTO);
		return;
	}
	must(question.op == SHM_MAP || question.op == SHM_UNMAP);
	shm_question_encode(&question, again);
	must(!memcmp(again, data, sizeof(again)));
}

static void check_answer(const uint8_t *data)
{
	uint8_t again[SHM_ANSWER_BYTES];
	struct shm_answer answer;
	int err = shm_answer_decode(data, &answer);

	if (err) {
		must(err == -EPROTO);
		return;
	}
	must((frame_status_errno(answer.status) == 0) == (answer.status == FRAME_OK));
	shm_answer_encode(&answer, again);
	must(!memcmp(again, data, sizeof(again)));
}

static void check_hello(const uint8_t *data)
{
	uint8_t again[FRAME_HELLO_BYTES];
	struct frame_hello hello;

	if (frame_hello_decode(TP_SHM_MAGIC, data, &hello))
		return;
	frame_hello_encode(TP_SHM_MAGIC, &hello, again);
	must(!memcmp(again, data, sizeof(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= SHM_QUESTION_BYTES)
		check_question(data);
	if (size >= SHM_ANSWER_BYTES)
		check_answer(data);
	if (size >= FRAME_HELLO_BYTES)
		check_hello(data);
	return 0;
}
