#include "common/base/clock.h"
#include "tests/integration/system_calls.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8u
#define DEATH_S 1 /* how long an owner's death may take to be told */

typedef _Atomic uint32_t futex_word;

static long futex(futex_word *word, int op, uint32_t value, uintptr_t time_or_value,
		  futex_word *other, uint32_t value3)
{
	return syscall(SYS_futex, word, op, value, time_or_value, other, value3);
}

/* ---- futex words ---- */

/* Every word in a page of its own; half of them in the way that other processes may share. */
struct words {
	futex_word *word[THREADS];
	futex_word *seen; /* not paged: how many the other thread has met */
};

static struct words words_make(uint32_t value)
{
	struct words words = {.seen = plain_memory(sizeof(futex_word))};

	for (unsigned i = 0; i < THREADS; i++) {
		words.word[i] = borrow(PAGE_BYTES);
		memset(words.word[i], 0, PAGE_BYTES);
		atomic_store(words.word[i], value);
	}
	return words;
}

static void words_wait_until_out(const struct words *words)
{
	for (unsigned i = 0; i < THREADS; i++)
		wait_until_out(words->word[i], PAGE_BYTES);
}

static int flag_of(unsigned i)
{
	return i % 2 ? FUTEX_PRIVATE_FLAG : 0;
}

/* The first word leaves while we sleep on it, the others are out when we begin to. */
static void *wait_on_each(void *arg)
{
	struct words *words = arg;

	for (unsigned i = 0; i < THREADS; i++) {
		while (atomic_load(words->seen) == 2 * i)
			futex(words->word[i], FUTEX_WAIT | flag_of(i), 0, 0, NULL, 0);
		must(atomic_load(words->word[i]) == i + 1, "the word that was waited for");
		atomic_fetch_add(words->seen, 1);
	}
	return NULL;
}

int way_futex(void)
{
	struct words words = words_make(0);
	pthread_t waiter = thread_start(wait_on_each, &words);

	words_wait_until_out(&words);
	for (unsigned i = 0; i < THREADS; i++) {
		usleep(2000);
		atomic_store(words.word[i], i + 1);
		atomic_fetch_add(words.seen, 1);
		while (atomic_load(words.seen) == 2 * i + 1) {
			must(futex(words.word[i], FUTEX_WAKE | flag_of(i), 1, 0, NULL, 0) >= 0,
			     "FUTEX_WAKE");
			usleep(100);
		}
	}
	pthread_join(waiter, NULL);
	return 0;
}

/* ---- futex words that the kernel itself compares or writes ---- */

/*
 * Writing it does not wait for a word that is out, unless other processes may share it: it fails
 * with EFAULT, and has done nothing. When the program has touched the word, all is as usual.
 */
static int add_five(futex_word *word, futex_word *other, int flag)
{
	uint32_t add = (uint32_t)FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0);
	uint32_t was = 7;
	int err = 0;

	if (futex(word, FUTEX_WAKE_OP | flag, 0, 0, other, add) < 0) {
		err = -errno;
		must(err == -EFAULT && flag, "FUTEX_WAKE_OP");
		must(atomic_compare_exchange_strong(other, &was, 7), "a word after EFAULT");
		must(futex(word, FUTEX_WAKE_OP | flag, 0, 0, other, add) == 0,
		     "FUTEX_WAKE_OP of what is here");
	}
	must(atomic_load(other) == 12, "what FUTEX_WAKE_OP wrote");
	atomic_store(other, 7);
	return err;
}

int way_futex_op(void)
{
	struct words words = words_make(7);
	int err = 0;

	for (unsigned i = 0; i + 1 < THREADS; i += 2) {
		futex_word *a = words.word[i], *b = words.word[i + 1];
		int flag = flag_of(i / 2), failed;

		words_wait_until_out(&words);
		must(futex(a, FUTEX_CMP_REQUEUE | flag, 0, 0, b, 7) == 0, "FUTEX_CMP_REQUEUE");
		must(futex(b, FUTEX_CMP_REQUEUE | flag, 0, 0, a, 8) < 0 && errno == EAGAIN,
		     "FUTEX_CMP_REQUEUE of another value");
		words_wait_until_out(&words);
		failed = add_five(a, b, flag);
		err = failed ? failed : err;
	}
	return err;
}

struct contest {
	futex_word *word;
	int flag;
};

static void *take_and_give(void *arg)
{
	struct contest *contest = arg;
	futex_word *word = contest->word;

	must(futex(word, FUTEX_LOCK_PI | contest->flag, 0, 0, NULL, 0) == 0,
	     "FUTEX_LOCK_PI by another");
	must((atomic_load(word) & FUTEX_TID_MASK) == (uint32_t)gettid(), "the other as owner");
	must(futex(word, FUTEX_UNLOCK_PI | contest->flag, 0, 0, NULL, 0) == 0,
	     "FUTEX_UNLOCK_PI by another");
	return NULL;
}

/* Does it, if need be once more when the word is here; whether that was the need. */
static int lock_or_unlock(futex_word *word, int op, const char *what)
{
	int err;

	wait_until_out(word, PAGE_BYTES);
	if (futex(word, op, 0, 0, NULL, 0) == 0)
		return 0;
	err = -errno;
	must(err == -EFAULT && op & FUTEX_PRIVATE_FLAG, what);
	atomic_fetch_or(word, 0);
	must(futex(word, op, 0, 0, NULL, 0) == 0, what);
	return err;
}

/* The kernel writes the owner's number: when it is free, and when somebody else waits. */
static int contest_for(futex_word *word, int flag)
{
	struct contest contest = {word, flag};
	pthread_t other;
	int locked, unlocked;

	locked = lock_or_unlock(word, FUTEX_LOCK_PI | flag, "FUTEX_LOCK_PI");
	must(atomic_load(word) == (uint32_t)gettid(), "the owner");
	other = thread_start(take_and_give, &contest);
	while (!(atomic_load(word) & FUTEX_WAITERS))
		usleep(1000);
	unlocked = lock_or_unlock(word, FUTEX_UNLOCK_PI | flag, "FUTEX_UNLOCK_PI");
	pthread_join(other, NULL);
	must((atomic_load(word) & FUTEX_TID_MASK) == 0, "a word that is nobody's");
	return locked ? locked : unlocked;
}

int way_futex_pi(void)
{
	struct words words = words_make(0);
	int shared = contest_for(words.word[0], 0);
	int own = contest_for(words.word[1], FUTEX_PRIVATE_FLAG);

	return shared ? shared : own;
}

/* ---- mutexes and conditions ---- */

struct pair {
	pthread_mutex_t mutex;
	pthread_cond_t condition;
	unsigned turns; /* odd: the other thread's */
};

static void *answer_turns(void *arg)
{
	struct pair *pair = arg;

	pthread_mutex_lock(&pair->mutex);
	while (pair->turns < 4) {
		if (pair->turns % 2) {
			pair->turns++;
			pthread_cond_signal(&pair->condition);
		} else {
			pthread_cond_wait(&pair->condition, &pair->mutex);
		}
	}
	pthread_mutex_unlock(&pair->mutex);
	return NULL;
}

static void take_turn(struct pair *pair)
{
	unsigned turns;

	pthread_mutex_lock(&pair->mutex);
	turns = ++pair->turns;
	pthread_cond_signal(&pair->condition);
	while (pair->turns == turns)
		pthread_cond_wait(&pair->condition, &pair->mutex);
	must(pair->turns == turns + 1, "turns");
	pthread_mutex_unlock(&pair->mutex);
}

int way_mutex(void)
{
	struct pair *pairs[THREADS];
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		pairs[i] = borrow(PAGE_BYTES);
		*pairs[i] = (struct pair){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
		threads[i] = thread_start(answer_turns, pairs[i]);
	}
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < THREADS; i++)
			wait_until_out(pairs[i], sizeof(*pairs[i]));
		for (unsigned i = 0; i < THREADS; i++)
			take_turn(pairs[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* ---- an owner that dies ---- */

struct robust {
	pthread_mutex_t mutex; /* in a page of its own, which is out when its owner ends */
	int go;		       /* its owner's: a pipe that tells it to end */
};

static void *die_as_owner(void *arg)
{
	struct robust *robust = arg;
	char byte;
	int go = robust->go;

	pthread_mutex_lock(&robust->mutex);
	must(read(go, &byte, 1) == 1, "read");
	return NULL;
}

/*
 * The kernel tells the heirs, while the owner's thread ends; such a thread does not wait for a page
 * that is out. So nobody is told then.
 */
int way_robust(void)
{
	struct robust *robust = borrow(PAGE_BYTES);
	pthread_mutexattr_t attributes;
	struct timespec until;
	pthread_t owner;
	int fds[2], err;

	must(!pipe(fds), "pipe");
	robust->go = fds[0];
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	must(!pthread_mutex_init(&robust->mutex, &attributes), "pthread_mutex_init");
	owner = thread_start(die_as_owner, robust);
	wait_until_out(robust, sizeof(*robust));
	must(write(fds[1], "x", 1) == 1, "write");
	pthread_join(owner, NULL);
	must(!clock_gettime(CLOCK_REALTIME, &until), "clock_gettime");
	until.tv_sec += DEATH_S;
	err = pthread_mutex_timedlock(&robust->mutex, &until);
	close(fds[0]);
	close(fds[1]);
	if (err == ETIMEDOUT)
		return -err;
	must(err == EOWNERDEAD, "a mutex whose owner has ended");
	must(!pthread_mutex_consistent(&robust->mutex) && !pthread_mutex_unlock(&robust->mutex),
	     "afterwards");
	return 0;
}
