#include "pager/fifo.h"

#include "pager/own.h"
#include "tests/suite.h"

#include <stdlib.h>

/* Ids in a block, which is a page with a header of two words. */
#define BLOCK ((uint32_t)(PAGE_BYTES / sizeof(uint32_t)) - 2)

static struct fifo *fifo;

static void open_queue(void)
{
	CU_ASSERT_EQUAL_FATAL(fifo_open(&fifo), 0);
}

static void push_range(uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		CU_ASSERT_TRUE_FATAL(fifo_push(fifo, first + i));
}

static void pop_range(uint32_t first, uint32_t n)
{
	uint32_t id;

	for (uint32_t i = 0; i < n; i++) {
		CU_ASSERT_TRUE_FATAL(fifo_peek(fifo, &id));
		CU_ASSERT_EQUAL_FATAL(id, first + i);
		CU_ASSERT_TRUE_FATAL(fifo_pop(fifo, &id));
		CU_ASSERT_EQUAL_FATAL(id, first + i);
	}
}

static void an_empty_queue_gives_nothing(void)
{
	uint32_t id = 77;

	open_queue();
	CU_ASSERT_FALSE(fifo_peek(fifo, &id));
	CU_ASSERT_FALSE(fifo_pop(fifo, &id));
	push_range(1, 1);
	pop_range(1, 1);
	id = 77;
	CU_ASSERT_FALSE(fifo_peek(fifo, &id));
	CU_ASSERT_FALSE(fifo_pop(fifo, &id));
	CU_ASSERT_EQUAL(id, 77);
	CU_ASSERT_EQUAL(fifo_length(fifo), 0);
	fifo_close(fifo);
	fifo_close(NULL);
}

static void what_went_in_first_comes_out_first(void)
{
	uint32_t id;

	open_queue();
	CU_ASSERT_TRUE(fifo_push(fifo, UINT32_MAX));
	CU_ASSERT_TRUE(fifo_push(fifo, 0));
	CU_ASSERT_TRUE(fifo_push(fifo, UINT32_MAX)); /* the same again is another entry */
	CU_ASSERT_EQUAL(fifo_length(fifo), 3);
	CU_ASSERT_TRUE(fifo_pop(fifo, &id) && id == UINT32_MAX);
	CU_ASSERT_TRUE(fifo_pop(fifo, &id) && id == 0);
	CU_ASSERT_TRUE(fifo_pop(fifo, &id) && id == UINT32_MAX);
	CU_ASSERT_EQUAL(fifo_length(fifo), 0);
	fifo_close(fifo);
}

/* Around each multiple of a block: one less, exactly, one more; drained to nothing each time. */
static void block_boundaries_are_not_noticed(void)
{
	open_queue();
	for (uint32_t n = BLOCK - 1; n <= 3 * BLOCK + 1; n += n % BLOCK == 1 ? BLOCK - 2 : 1) {
		push_range(n, n);
		CU_ASSERT_EQUAL(fifo_length(fifo), n);
		pop_range(n, n);
		CU_ASSERT_EQUAL(fifo_length(fifo), 0);
	}
	fifo_close(fifo);
}

/* The front and the back meet in every position of a block. */
static void front_and_back_may_meet_anywhere(void)
{
	open_queue();
	for (uint32_t held = 0; held < 3; held++) {
		push_range(0, held);
		for (uint32_t i = 0; i < 3 * BLOCK; i++) {
			push_range(held + i, 1);
			pop_range(i, 1);
		}
		pop_range(3 * BLOCK, held);
	}
	fifo_close(fifo);
}

static void memory_follows_the_length(void)
{
	uint64_t empty;

	open_queue();
	empty = fifo_bytes(fifo);
	push_range(0, 1);
	CU_ASSERT_EQUAL(fifo_bytes(fifo), empty + PAGE_BYTES);
	push_range(1, BLOCK - 1);
	CU_ASSERT_EQUAL(fifo_bytes(fifo), empty + PAGE_BYTES);
	push_range(BLOCK, 9 * BLOCK);
	CU_ASSERT_EQUAL(fifo_bytes(fifo), empty + 10 * PAGE_BYTES);
	pop_range(0, 5 * BLOCK - 1);
	CU_ASSERT_EQUAL(fifo_bytes(fifo), empty + 6 * PAGE_BYTES);
	pop_range(5 * BLOCK - 1, 5 * BLOCK + 1);
	CU_ASSERT_EQUAL(fifo_bytes(fifo), empty);
	fifo_close(fifo);
}

/* Blocks freed in front serve the back: a long walk of a short queue costs two blocks. */
static void popping_frees_what_pushing_needs(void)
{
	uint64_t most = 0;

	open_queue();
	push_range(0, BLOCK);
	for (uint32_t i = 0; i < 50 * BLOCK; i++) {
		push_range(BLOCK + i, 1);
		most = fifo_bytes(fifo) > most ? fifo_bytes(fifo) : most;
		pop_range(i, 1);
	}
	CU_ASSERT(most <= PAGE_BYTES + 2 * PAGE_BYTES);
	pop_range(50 * BLOCK, BLOCK);
	fifo_close(fifo);
}

/* ---- against an array ---- */

#define MODEL_IDS (64u * 1024)

static unsigned seed = 4711;

static void it_agrees_with_an_array_whatever_happens(void)
{
	static uint32_t model[MODEL_IDS];
	uint32_t in = 0, out = 0, id;

	open_queue();
	while (in < MODEL_IDS) {
		uint32_t pushes = (uint32_t)rand_r(&seed) % 3000;
		uint32_t pops = (uint32_t)rand_r(&seed) % 3000;

		for (; pushes && in < MODEL_IDS; pushes--) {
			model[in] = (uint32_t)rand_r(&seed);
			CU_ASSERT_TRUE_FATAL(fifo_push(fifo, model[in++]));
		}
		for (; pops && out < in; pops--) {
			CU_ASSERT_TRUE_FATAL(fifo_pop(fifo, &id));
			CU_ASSERT_EQUAL_FATAL(id, model[out++]);
		}
		CU_ASSERT_EQUAL_FATAL(fifo_length(fifo), in - out);
	}
	while (fifo_pop(fifo, &id))
		CU_ASSERT_EQUAL_FATAL(id, model[out++]);
	CU_ASSERT_EQUAL(out, in);
	fifo_close(fifo);
}

static void closing_gives_everything_back(void)
{
	size_t before = own_bytes();

	open_queue();
	push_range(0, 3 * BLOCK);
	fifo_close(fifo);
	CU_ASSERT_EQUAL(own_bytes(), before);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(an_empty_queue_gives_nothing),
		SUITE_TEST(what_went_in_first_comes_out_first),
		SUITE_TEST(block_boundaries_are_not_noticed),
		SUITE_TEST(front_and_back_may_meet_anywhere),
		SUITE_TEST(memory_follows_the_length),
		SUITE_TEST(popping_frees_what_pushing_needs),
		SUITE_TEST(it_agrees_with_an_array_whatever_happens),
		SUITE_TEST(closing_gives_everything_back),
		SUITE_END,
	};

	return suite_run("fifo", tests);
}
