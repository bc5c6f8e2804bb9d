#include "pager/exits.h"

#include "common/base/clock.h"
#include "pager/own.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Its struct begins at a multiple of this, as glibc's does (TCB_ALIGNMENT), so words repeat. */
#define APART 64u
#define STRUCT_MAX 4096u
#define SEARCH_BYTES 128u /* how far before the head the word may be */
/* A word has so many places, by its address; whoever finds none is not looked after. */
#define PLACES 8u
#define SETS 2048u
#define LOOK_NS 100000000u
#define IDLE_NS 1000000000u

/* ---- what it looks like ---- */

static uint64_t head_of(pid_t tid)
{
	struct robust_list_head *head = NULL;
	size_t len;

	return syscall(SYS_get_robust_list, tid, &head, &len) ? 0 : (uintptr_t)head;
}

static uint32_t word_before(uint64_t head)
{
	pid_t tid = gettid(), seen;

	for (uint32_t before = sizeof(tid); before <= SEARCH_BYTES; before += sizeof(tid)) {
		memcpy(&seen, (const void *)(uintptr_t)(head - before), sizeof(seen));
		if (seen == tid)
			return before;
	}
	return 0;
}

int exits_open(struct exits *exits)
{
	uint64_t self = (uint64_t)pthread_self(), head = head_of(0);

	exits->list = own_reserve(SETS * PLACES * sizeof(*exits->list));
	if (!exits->list)
		return -ENOMEM;
	if (head < self || head - self > STRUCT_MAX || self % APART)
		return 0;
	exits->before_head = word_before(head);
	exits->head_at = head % APART;
	memcpy(&exits->futex_offset,
	       (const char *)(uintptr_t)head + offsetof(struct robust_list_head, futex_offset),
	       sizeof(exits->futex_offset));
	return 0;
}

/* Whether the list is empty, or that of a thread which is there. */
static bool is_head(uint64_t address, uint64_t next, uint32_t tid)
{
	return next == address || (tid && head_of((pid_t)tid) == address);
}

bool exits_find(const struct exits *exits, const void *page, uint64_t address, uint32_t *word_at,
		uint32_t *tid)
{
	const char *bytes = page;

	if (!exits->before_head)
		return false;
	for (uint32_t head = exits->head_at; head < PAGE_BYTES; head += APART) {
		struct robust_list_head found;

		if (head < exits->before_head || head + sizeof(found) > PAGE_BYTES)
			continue;
		memcpy(&found, bytes + head, sizeof(found));
		if (LIKELY((uint64_t)found.futex_offset != exits->futex_offset))
			continue;
		*word_at = head - exits->before_head;
		memcpy(tid, bytes + *word_at, sizeof(*tid));
		if (*tid > INT32_MAX || !is_head(address + head, (uintptr_t)found.list.next, *tid))
			continue;
		*tid = *tid ? *tid : EXITS_CLEARED;
		return true;
	}
	return false;
}

/* ---- the list ---- */

static struct exits_word *set_of(struct exits *exits, uint64_t address)
{
	uint64_t mixed = (address >> PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15);

	return exits->list + (mixed >> 32) % SETS * PLACES;
}

void exits_note(struct exits *exits, uint64_t address, uint32_t tid)
{
	struct exits_word *set = set_of(exits, address), *place = NULL;

	lock_acquire(&exits->lock);
	for (unsigned i = 0; i < PLACES; i++) {
		bool is_it = set[i].tid && set[i].address == address;

		if (is_it || (!set[i].tid && !place))
			place = &set[i];
	}
	if (place) {
		exits->count += !place->tid;
		*place = (struct exits_word){address, tid};
	}
	lock_release(&exits->lock);
}

/* ---- who is gone ---- */

/* The first thread is not gone as long as others are there, but is nothing any more. */
static bool first_has_ended(int status_fd)
{
	char status[512];
	ssize_t got = pread(status_fd, status, sizeof(status) - 1, 0);

	status[got > 0 ? got : 0] = '\0';
	return strstr(status, "\nState:\tZ") != NULL;
}

static bool is_gone(const struct exits_word *word, pid_t pid, int status_fd)
{
	if (word->tid == EXITS_CLEARED)
		return true;
	if (word->tid == (uint32_t)pid)
		return first_has_ended(status_fd);
	return syscall(SYS_tgkill, pid, word->tid, 0) && errno == ESRCH;
}

/* Compares, and does no more; the page comes home for it. */
static bool is_still(const struct exits_word *word)
{
	uint32_t *at = (uint32_t *)(uintptr_t)word->address, unused = 0;

	return word->tid != EXITS_CLEARED &&
	       syscall(SYS_futex, at, FUTEX_CMP_REQUEUE, 0, 0, &unused, word->tid) >= 0;
}

/*
 * As the kernel does it, with its own means: the page may be out, or unmapped by now. If the word
 * is something else then it has been cleared by the kernel, which may have found the page gone when
 * it came to waking; or it is no such word any more, and whoever waits for what is there now can
 * tell that it was woken for nothing, as futex(2) demands. False if the page has left again in
 * between.
 */
static bool clear(const struct exits_word *word)
{
	uint32_t *at = (uint32_t *)(uintptr_t)word->address;

	if (is_still(word))
		return syscall(SYS_futex, at, FUTEX_WAKE_OP, 1, 0, at,
			       FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)) >= 0;
	(void)syscall(SYS_futex, at, FUTEX_WAKE, 1);
	return true;
}

static struct exits_word read_place(struct exits *exits, const struct exits_word *place)
{
	struct exits_word word;

	lock_acquire(&exits->lock);
	word = *place;
	lock_release(&exits->lock);
	return word;
}

static void forget(struct exits *exits, struct exits_word *place, const struct exits_word *word)
{
	lock_acquire(&exits->lock);
	if (place->address == word->address && place->tid == word->tid) {
		place->tid = 0;
		exits->count--;
	}
	lock_release(&exits->lock);
}

uint64_t exits_turn(struct exits *exits, int status_fd, uint64_t now)
{
	struct exits_word word;
	pid_t pid;

	if (!exits->count)
		return IDLE_NS;
	if (now < exits->next_ns)
		return exits->next_ns - now;
	pid = getpid();
	for (uint32_t i = 0; i < SETS * PLACES; i++) {
		word = read_place(exits, &exits->list[i]);
		if (!word.tid || !is_gone(&word, pid, status_fd))
			continue;
		if (clear(&word))
			forget(exits, &exits->list[i], &word);
	}
	exits->next_ns = clock_ns() + LOOK_NS;
	return LOOK_NS;
}
