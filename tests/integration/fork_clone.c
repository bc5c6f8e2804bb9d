/* Children that did not come by fork(3). */
#include "tests/integration/children.h"
#include "tests/integration/fork.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int fork_by_plain_fork(void)
{
	return split(_Fork());
}

int fork_by_clone(void)
{
	return split(clone_plain());
}

/* Each a part that the others leave alone. */
static void change_map(void)
{
	size_t part = page_count / 6;
	char *at = (char *)memory, *moved;

	if (munmap(at, part * PAGE_BYTES) ||
	    madvise(at + part * PAGE_BYTES, part * PAGE_BYTES, MADV_DONTNEED))
		give_up("child: %s", strerror(errno));
	moved = mremap(at + 2 * part * PAGE_BYTES, part * PAGE_BYTES, part * PAGE_BYTES,
		       MREMAP_MAYMOVE | MREMAP_FIXED, at);
	if (moved != at)
		give_up("child: mremap: %s", strerror(errno));
	moved = mmap(at + 3 * part * PAGE_BYTES, part * PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (moved == MAP_FAILED)
		give_up("child: mmap: %s", strerror(errno));
}

static void check_changed_map(void)
{
	size_t part = page_count / 6, page;

	for (page = 0; page < part; page++) /* from what was the third part */
		for (unsigned word = 0; word < PAGE_WORDS; word++)
			if (memory[page * PAGE_WORDS + word] != page_word(2 * part + page, word, 0))
				give_up("child: moved page %zu word %u is %#llx", page, word,
					(unsigned long long)memory[page * PAGE_WORDS + word]);
	for (page = part; page < 2 * part; page++)
		if (page_count_wrong(memory, page, 0) != PAGE_WORDS || memory[page * PAGE_WORDS])
			give_up("child: dropped page %zu is not zeros", page);
	for (page = 3 * part; page < 4 * part; page++)
		if (memory[page * PAGE_WORDS] || memory[(page + 1) * PAGE_WORDS - 1])
			give_up("child: page %zu of another mapping is not zeros", page);
	for (page = 4 * part; page < page_count; page++)
		check_page(page, 0, "child, beside what it changed");
}

/* While its parent's engine fills its memory it changes the map. */
int fork_by_clone_and_change(void)
{
	pid_t pid = clone_plain();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		change_map();
		check_changed_map();
		_exit(0);
	}
	child_await(pid, "child");
	check_all(1, 0, "parent, after its child");
	return 0;
}

/* While its parent's engine fills its memory it makes one itself, which has the same holes. */
int fork_by_clone_and_clone(void)
{
	pid_t pid = clone_plain();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (split(clone_plain()))
			give_up("a child cannot clone: %s", strerror(errno));
		_exit(0);
	}
	live_as_parent(pid);
	return 0;
}

/* Such a child is a program like any other: it forks, and ends as programs do. */
int fork_by_clone_and_fork(void)
{
	pid_t pid = clone_plain();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (split(fork()))
			give_up("a child cannot fork: %s", strerror(errno));
		exit(0);
	}
	live_as_parent(pid);
	return 0;
}
