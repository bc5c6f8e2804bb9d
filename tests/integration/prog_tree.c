/*
 * prog_tree MIB SECONDS: two processes with so much memory each, of which first one works, then the
 * other, for so long each. Who works reads and writes pages at random and checks what they hold.
 * Prints what each has resident at the end of each turn, in KiB: "turn N: working W, idle I".
 */
#include "common/base/clock.h"
#include "tests/integration/children.h"
#include "tests/integration/give_up.h"
#include "tests/integration/pages.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TURNS 2u

static struct {
	pthread_barrier_t barrier;
	uint64_t kib[TURNS][2]; /* by turn and process */
} * shared;

static uint64_t *memory;
static uint32_t *versions; /* by page */
static size_t pages;

static void *map(size_t bytes, int flags)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (at == MAP_FAILED)
		give_up("mmap: %s", strerror(errno));
	return at;
}

static void meet(void)
{
	pthread_barrier_wait(&shared->barrier);
}

static void open_shared(void)
{
	pthread_barrierattr_t attr;

	shared = map(sizeof(*shared), MAP_SHARED);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->barrier, &attr, 2);
}

static uint64_t resident_now(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	uint64_t kib = 0;
	char line[256];

	if (!file)
		give_up("status: %s", strerror(errno));
	while (fgets(line, sizeof(line), file) && sscanf(line, "RssAnon: %" SCNu64, &kib) != 1)
		;
	fclose(file);
	return kib;
}

static void check(size_t page)
{
	unsigned word = page_first_wrong(memory, page, versions[page]);

	if (word < PAGE_WORDS)
		give_up("page %zu, word %u is wrong", page, word);
}

static void work(uint64_t end_ns, uint64_t *random)
{
	while (clock_ns() < end_ns) {
		size_t page = xorshift_next(random) % pages;

		check(page);
		page_write(memory, page, ++versions[page]);
	}
}

static void live(unsigned self, uint64_t turn_ns)
{
	uint64_t random = self + 1;

	memory = map(pages * PAGE_BYTES, MAP_PRIVATE);
	versions = map(pages * sizeof(versions[0]), MAP_SHARED);
	for (size_t page = 0; page < pages; page++)
		page_write(memory, page, 0);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		meet();
		if (turn % 2 == self)
			work(clock_ns() + turn_ns, &random);
		meet();
		shared->kib[turn][self] = resident_now();
	}
	meet();
	for (size_t page = 0; page < pages; page++)
		check(page);
}

int main(int argc, char **argv)
{
	pid_t pid;

	if (argc != 3)
		give_up("usage: prog_tree MIB SECONDS");
	pages = ((size_t)atoi(argv[1]) << 20) / PAGE_BYTES;
	open_shared();
	pid = fork();
	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	live(pid == 0, (uint64_t)atoi(argv[2]) * UINT64_C(1000000000));
	if (pid == 0)
		_exit(0);
	child_await(pid, "the other one");
	for (unsigned turn = 0; turn < TURNS; turn++)
		printf("turn %u: working %" PRIu64 ", idle %" PRIu64 "\n", turn,
		       shared->kib[turn][turn % 2], shared->kib[turn][1 - turn % 2]);
	return 0;
}
