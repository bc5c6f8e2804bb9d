/* An engine that goes away while its process stays. */
#include "pager/ending.h"

#include "pager/own.h"
#include "pager/thread.h"
#include "tests/suite.h"

#include <sys/stat.h>

#define TIMES 20u
#define LARGE (UINT64_C(1) << 40) /* a budget that nobody comes near */

static struct engine *begin(void)
{
	struct engine *engine = NULL;
	struct config config;
	char why[CONFIG_WHY_BYTES];

	config_init(&config);
	config.local = CONFIG_LOCAL_SIZE;
	config.local_bytes = LARGE;
	CU_ASSERT_EQUAL_FATAL(config_add_donors(&config, "127.0.0.1:1", why), 0);
	CU_ASSERT_EQUAL_FATAL(engine_start(&config, &engine), 0);
	return engine;
}

static void end(struct engine *engine)
{
	CU_ASSERT_FATAL(thread_await_end(0));
	thread_forget();
	engine_free(engine);
}

static unsigned count_tasks(void)
{
	struct stat tasks;

	CU_ASSERT_EQUAL(stat("/proc/self/task", &tasks), 0);
	return (unsigned)tasks.st_nlink - 2;
}

/* The kernel has no thread of its any more, and all its memory is free. */
static void one_that_watches_goes_at_once(void)
{
	unsigned before = count_tasks();
	size_t bytes = own_bytes();

	for (unsigned i = 0; i < TIMES; i++) {
		struct engine *engine = begin();

		CU_ASSERT_EQUAL(thread_count(), 1);
		CU_ASSERT_EQUAL(count_tasks(), before + 1);
		CU_ASSERT_EQUAL(ending_withdraw(engine), ENDING_SOON);
		end(engine);
		CU_ASSERT_EQUAL(thread_count(), 0);
		CU_ASSERT_EQUAL(count_tasks(), before);
		CU_ASSERT_EQUAL(own_bytes(), bytes);
	}
}

/* Where paging was found to be impossible the thread has gone by itself. */
static void one_that_is_unpaged_has_gone_before(void)
{
	struct engine *engine = begin();

	atomic_store(&engine->phase, ENGINE_UNPAGED);
	engine_wake_control(engine);
	CU_ASSERT(thread_await_end(0));
	CU_ASSERT_EQUAL(ending_withdraw(engine), ENDING_WAS);
	CU_ASSERT_EQUAL(ending_withdraw(engine), ENDING_WAS);
	end(engine);
}

/* Nobody answers: it is asked for in vain, and may be asked for again. */
static void one_that_does_not_answer_stays(void)
{
	struct engine silent = {.phase = ENGINE_ACTIVE};

	CU_ASSERT_EQUAL(ending_withdraw(&silent), ENDING_NOT);
	CU_ASSERT_EQUAL(ending_withdraw(&silent), ENDING_NOT);
	CU_ASSERT_FALSE(ending_turn(&silent));
}

static void goodbye_is_said_once(void)
{
	struct engine *engine = begin();

	ending_goodbye(engine);
	ending_goodbye(engine);
	CU_ASSERT_EQUAL(ending_withdraw(engine), ENDING_SOON);
	end(engine);
}

#ifdef __SANITIZE_THREAD__
#define WHY_NOT "this sanitizer's threads want larger stacks"
#else
#define WHY_NOT NULL
#endif

int main(void)
{
	struct suite_test tests[] = {
		SUITE_TEST(one_that_watches_goes_at_once),
		SUITE_TEST(one_that_is_unpaged_has_gone_before),
		SUITE_TEST(one_that_does_not_answer_stays),
		SUITE_TEST(goodbye_is_said_once),
		SUITE_END,
	};

	suite_set_inactive(tests, WHY_NOT);
	return suite_run("ending", tests);
}
