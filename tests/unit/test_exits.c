#include "pager/exits.h"

#include "tests/suite.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OTHER_ADDRESS UINT64_C(0x7ea000000000)
#define LATER UINT64_C(1000000000000000)

static struct exits exits;
static int nothing_open = -1; /* the first thread is there as long as we are */

static void open_list(void)
{
	memset(&exits, 0, sizeof(exits));
	CU_ASSERT_EQUAL_FATAL(exits_open(&exits), 0);
	CU_ASSERT_FATAL(exits.before_head > 0);
}

/* Where this thread's own word is: what is found must be this. */
static uint32_t *own_word(void)
{
	struct robust_list_head *head;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(syscall(SYS_get_robust_list, 0, &head, &len), 0);
	return (uint32_t *)(void *)((char *)head - exits.before_head);
}

static void *page_of(const void *at)
{
	return (void *)((uintptr_t)at & ~(PAGE_BYTES - 1));
}

static uint32_t find_own(const void *page, uint64_t address)
{
	uint32_t word_at = 0, tid = 0;

	if (!exits_find(&exits, page, address, &word_at, &tid))
		return 0;
	CU_ASSERT_EQUAL(tid, (uint32_t)gettid());
	return word_at;
}

static void *find_word_of_this_thread(void *arg UNUSED)
{
	uint32_t *word = own_word();

	CU_ASSERT_EQUAL(*word, (uint32_t)gettid());
	CU_ASSERT_EQUAL(find_own(page_of(word), (uintptr_t)page_of(word)),
			(uintptr_t)word % PAGE_BYTES);
	return NULL;
}

static void in_a_thread(void *(*run)(void *))
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, NULL), 0);
	CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
}

static void a_threads_word_is_found(void)
{
	open_list();
	find_word_of_this_thread(NULL);
	in_a_thread(find_word_of_this_thread);
}

/* As glibc leaves it to the next thread on the same stack. */
static void *find_cleared_word_of_this_thread(void *arg UNUSED)
{
	static _Alignas(PAGE_BYTES) char copy[PAGE_BYTES];
	uint32_t *word = own_word(), none = 0, word_at = 0, tid = 0;

	memcpy(copy, page_of(word), PAGE_BYTES);
	memcpy(copy + (uintptr_t)word % PAGE_BYTES, &none, sizeof(none));
	CU_ASSERT_TRUE(exits_find(&exits, copy, (uintptr_t)page_of(word), &word_at, &tid));
	CU_ASSERT_EQUAL(word_at, (uintptr_t)word % PAGE_BYTES);
	CU_ASSERT_EQUAL(tid, EXITS_CLEARED);
	CU_ASSERT_FALSE(exits_find(&exits, copy, OTHER_ADDRESS, &word_at, &tid));
	return NULL;
}

static void a_word_that_is_cleared_is_found(void)
{
	open_list();
	in_a_thread(find_cleared_word_of_this_thread);
}

static void a_copy_elsewhere_is_not_a_word(void)
{
	static _Alignas(PAGE_BYTES) char copy[PAGE_BYTES];

	open_list();
	memcpy(copy, page_of(own_word()), PAGE_BYTES);
	CU_ASSERT_EQUAL(find_own(copy, OTHER_ADDRESS), 0);
	CU_ASSERT_EQUAL(find_own(copy, (uintptr_t)copy), 0);
}

static void nothing_is_found_in_other_pages(void)
{
	static _Alignas(PAGE_BYTES) uint64_t page[PAGE_BYTES / sizeof(uint64_t)];

	open_list();
	CU_ASSERT_EQUAL(find_own(page, OTHER_ADDRESS), 0);
	for (unsigned i = 0; i < PAGE_BYTES / sizeof(page[0]); i++)
		page[i] = exits.futex_offset;
	CU_ASSERT_EQUAL(find_own(page, OTHER_ADDRESS), 0);
	memset(page, 0xff, sizeof(page));
	CU_ASSERT_EQUAL(find_own(page, OTHER_ADDRESS), 0);
}

/* The number of a thread that was there. */
static void *note_number(void *arg)
{
	*(uint32_t *)arg = (uint32_t)gettid();
	return NULL;
}

static uint32_t ended_thread(void)
{
	pthread_t thread;
	uint32_t tid = 0;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, note_number, &tid), 0);
	CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
	while (syscall(SYS_tgkill, getpid(), tid, 0) == 0) /* it is joined a moment before */
		usleep(100);
	return tid;
}

static void turn(void)
{
	CU_ASSERT(exits_turn(&exits, nothing_open, LATER) > 0);
}

static void the_word_of_one_that_is_gone_is_cleared(void)
{
	static _Atomic uint32_t words[2];

	open_list();
	words[0] = words[1] = ended_thread();
	exits_note(&exits, (uintptr_t)&words[0], words[0]);
	CU_ASSERT_EQUAL(exits.count, 1);
	turn();
	CU_ASSERT_EQUAL(words[0], 0);
	CU_ASSERT_NOT_EQUAL(words[1], 0);
	CU_ASSERT_EQUAL(exits.count, 0);
}

static void *wait_for_zero(void *arg)
{
	_Atomic uint32_t *word = arg;
	uint32_t seen;

	while ((seen = atomic_load(word)))
		syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL);
	return NULL;
}

static void who_waits_for_it_is_woken(void)
{
	static _Atomic uint32_t word;
	pthread_t waiter;

	open_list();
	word = ended_thread();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&waiter, NULL, wait_for_zero, &word), 0);
	usleep(20000);
	exits_note(&exits, (uintptr_t)&word, word);
	turn();
	CU_ASSERT_EQUAL(pthread_join(waiter, NULL), 0);
}

/* The kernel has cleared it, and then the page was gone. */
static void *sleep_on_zero(void *arg)
{
	return (void *)syscall(SYS_futex, arg, FUTEX_WAIT, 0, NULL);
}

static void check_woken_on_zero(uint32_t tid)
{
	static _Atomic uint32_t word;
	pthread_t waiter;
	void *got;

	open_list();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&waiter, NULL, sleep_on_zero, &word), 0);
	usleep(20000);
	exits_note(&exits, (uintptr_t)&word, tid);
	turn();
	CU_ASSERT_EQUAL(pthread_join(waiter, &got), 0);
	CU_ASSERT_PTR_NULL(got);
	CU_ASSERT_EQUAL(word, 0);
	CU_ASSERT_EQUAL(exits.count, 0);
}

static void who_waits_for_a_word_that_is_cleared_is_woken(void)
{
	check_woken_on_zero(EXITS_CLEARED);
	check_woken_on_zero(ended_thread());
}

static void who_is_there_is_left_alone(void)
{
	uint32_t first = (uint32_t)getpid(), kept = first;

	open_list();
	exits_note(&exits, (uintptr_t)&kept, first);
	turn();
	CU_ASSERT_EQUAL(kept, first);
	CU_ASSERT_EQUAL(exits.count, 1);
}

static void a_word_that_is_another_by_now_is_left_alone(void)
{
	uint32_t tid = ended_thread(), word = tid + 1;

	open_list();
	exits_note(&exits, (uintptr_t)&word, tid);
	turn();
	CU_ASSERT_EQUAL(word, tid + 1);
	CU_ASSERT_EQUAL(exits.count, 0);
}

static void a_word_that_is_unmapped_by_now_is_forgotten(void)
{
	uint32_t tid = ended_thread();
	uint32_t *word =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_FATAL(word != MAP_FAILED);
	*word = tid;
	munmap(word, PAGE_BYTES);
	open_list();
	exits_note(&exits, (uintptr_t)word, tid);
	turn();
	CU_ASSERT_EQUAL(exits.count, 0);
}

static void a_word_is_noted_once_with_its_last_thread(void)
{
	uint32_t tid = ended_thread(), word = tid;

	open_list();
	exits_note(&exits, (uintptr_t)&word, tid);
	exits_note(&exits, (uintptr_t)&word, (uint32_t)getpid());
	CU_ASSERT_EQUAL(exits.count, 1);
	turn();
	CU_ASSERT_EQUAL(word, tid);
	CU_ASSERT_EQUAL(exits.count, 1);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_threads_word_is_found),
		SUITE_TEST(a_word_that_is_cleared_is_found),
		SUITE_TEST(a_copy_elsewhere_is_not_a_word),
		SUITE_TEST(nothing_is_found_in_other_pages),
		SUITE_TEST(the_word_of_one_that_is_gone_is_cleared),
		SUITE_TEST(who_waits_for_it_is_woken),
		SUITE_TEST(who_waits_for_a_word_that_is_cleared_is_woken),
		SUITE_TEST(who_is_there_is_left_alone),
		SUITE_TEST(a_word_that_is_another_by_now_is_left_alone),
		SUITE_TEST(a_word_that_is_unmapped_by_now_is_forgotten),
		SUITE_TEST(a_word_is_noted_once_with_its_last_thread),
		SUITE_END,
	};

	return suite_run("exits", tests);
}
