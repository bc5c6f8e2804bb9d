#include "common/base/clock.h"
#include "tests/integration/give_up.h"
#include "tests/integration/pages.h"
#include "tests/integration/system_calls.h"
#include "tests/xorshift.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#define WAIT_NS 60000000000u
#define PATIENCE_S 100 /* for a way; it takes one or two */
#define LENT_PAGES 512u
#define ALIGNMENT 16u
#define MAX_PAGES (1u << 20)

unsigned rounds;
const char *directory;

static char *memory, *model;
static size_t page_count; /* the last LENT_PAGES of them are lent */
static size_t lent;
static const char *way = "before all";
static _Atomic size_t out_count;

/* ---- the end, early or late ---- */

void must(bool is_so, const char *what)
{
	if (UNLIKELY(!is_so))
		give_up("%s: %s: %s", way, what, strerror(errno));
}

static void hangs(int sig UNUSED)
{
	static const char why[] = " does not end\n";

	(void)!write(STDERR_FILENO, way, strlen(way));
	(void)!write(STDERR_FILENO, why, sizeof(why) - 1);
	_exit(1);
}

static size_t first_difference(const char *a, const char *b, size_t len)
{
	size_t i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

static size_t count_differences(const volatile char *a, const char *b, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += a[i] != b[i];
	return n;
}

static void compare(const char *got, const char *wanted, size_t len, const char *what)
{
	size_t at, wrong;

	if (LIKELY(memcmp(got, wanted, len) == 0))
		return;
	at = first_difference(got, wanted, len);
	wrong = count_differences(got, wanted, len);
	usleep(10000);
	give_up("%s: %s: byte %zu of %zu is %#x, not %#x; %zu bytes are wrong, and a moment later "
		"%zu",
		way, what, at, len, (unsigned char)got[at], (unsigned char)wanted[at], wrong,
		count_differences(got, wanted, len));
}

/* ---- memory ---- */

static void *map(size_t bytes, int kind)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED, "mmap");
	return at;
}

void *plain_memory(size_t bytes)
{
	return map(bytes, MAP_SHARED);
}

static void fill(char *at, size_t pages)
{
	for (size_t page = 0; page < pages; page++)
		page_write((uint64_t *)(void *)at, page, 0);
}

void memory_check(void)
{
	for (size_t page = 0; page < page_count; page++)
		compare(memory + page * PAGE_BYTES, model + page * PAGE_BYTES, PAGE_BYTES,
			"afterwards");
}

/* No step of a linear generator, or neighbours would be alike. */
uint64_t random_next(void)
{
	static uint64_t state = XORSHIFT_SEED;

	return xorshift_next(&state);
}

const char *news(size_t len)
{
	static uint64_t *bytes;
	static uint64_t version;

	if (!bytes)
		bytes = plain_memory(PIECE_BYTES);
	must(len <= PIECE_BYTES, "too much of news");
	version++;
	for (size_t i = 0; i < (len + 7) / 8; i++)
		bytes[i] = page_word(i / PAGE_WORDS, i % PAGE_WORDS, version << 20);
	return (char *)bytes;
}

/* ---- what is out ---- */

static bool is_out(const void *at, size_t pages)
{
	unsigned char present[LENT_PAGES] = {1};

	must(pages <= LENT_PAGES && !mincore((void *)at, pages * PAGE_BYTES, present), "mincore");
	for (size_t page = 0; page < pages; page++)
		if (present[page] & 1)
			return false;
	return true;
}

static size_t count_out(void)
{
	size_t n = 0;

	for (size_t page = 0; page < page_count; page++)
		n += is_out(memory + page * PAGE_BYTES, 1);
	return n;
}

static void wait_a_little(uint64_t deadline)
{
	if (clock_ns() > deadline)
		give_up("%s: what is waited for does not leave", way);
	usleep(1000);
}

void wait_until_out(const void *at, size_t bytes)
{
	uintptr_t begin = (uintptr_t)at & ~(uintptr_t)(PAGE_BYTES - 1);
	size_t pages = ((uintptr_t)at + bytes - begin + PAGE_BYTES - 1) / PAGE_BYTES;
	uint64_t deadline = clock_ns() + WAIT_NS;
	int saved = errno;

	while (!is_out((void *)begin, pages))
		wait_a_little(deadline);
	atomic_fetch_add(&out_count, pages);
	errno = saved;
}

static size_t pick_out(size_t pages)
{
	uint64_t deadline = clock_ns() + WAIT_NS;

	for (;;) {
		for (unsigned try = 0; try < 1000; try++) {
			size_t page = random_next() % (page_count - LENT_PAGES - pages);

			if (is_out(memory + page * PAGE_BYTES, pages)) {
				atomic_fetch_add(&out_count, pages);
				return page;
			}
		}
		wait_a_little(deadline);
	}
}

static struct piece piece_at(size_t offset, size_t len)
{
	return (struct piece){.at = memory + offset, .holds = model + offset, .len = len};
}

struct piece piece_out(void)
{
	size_t pages = 1 + random_next() % PIECE_PAGES;
	size_t page = pick_out(pages);
	size_t skip = random_next() % (PAGE_BYTES / 2);
	size_t less = random_next() % (PAGE_BYTES / 2);

	return piece_at(page * PAGE_BYTES + skip, pages * PAGE_BYTES - skip - less);
}

struct piece piece_out_whole(void)
{
	size_t pages = 1 + random_next() % PIECE_PAGES;

	return piece_at(pick_out(pages) * PAGE_BYTES, pages * PAGE_BYTES);
}

/* Across the border between two pages where it can be. */
struct piece piece_out_struct(size_t len)
{
	size_t border = (pick_out(2) + 1) * PAGE_BYTES;
	size_t before = random_next() % (len + 1) & ~(size_t)(ALIGNMENT - 1);

	must(len <= PAGE_BYTES, "too large a struct");
	return piece_at(border - before, len);
}

void piece_must_be(const struct piece *piece, const void *bytes)
{
	compare(bytes, piece->holds, piece->len, "what was read");
}

void piece_must_have(const struct piece *piece, const void *bytes)
{
	size_t begin = (size_t)(piece->at - memory);
	size_t end = (begin + piece->len + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);

	memcpy(model + begin, bytes, piece->len);
	begin &= ~(PAGE_BYTES - 1);
	compare(memory + begin, model + begin, end - begin, "what was written");
}

void piece_adopt(const struct piece *piece)
{
	piece_must_have(piece, piece->at);
}

void *borrow(size_t bytes)
{
	size_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;

	must(lent + pages <= LENT_PAGES, "too much is borrowed");
	lent += pages;
	return memory + (page_count - lent) * PAGE_BYTES;
}

/* ---- other threads ---- */

bool kernel_is(unsigned major, unsigned minor)
{
	unsigned has_major = 0, has_minor = 0;
	struct utsname name;

	must(uname(&name) == 0 && sscanf(name.release, "%u.%u", &has_major, &has_minor) == 2,
	     "uname");
	return has_major > major || (has_major == major && has_minor >= minor);
}

pthread_t thread_start(void *(*run)(void *), void *arg)
{
	pthread_t thread = 0;

	errno = pthread_create(&thread, NULL, run, arg);
	must(!errno, "pthread_create");
	return thread;
}

/* Goes through memory of its own, twice what may stay, from here to there, and changes some. */
static void *keep_busy(void *arg)
{
	size_t pages = *(size_t *)arg;
	uint64_t *own = map(pages * PAGE_BYTES, MAP_PRIVATE);
	uint64_t random = 1;
	uint8_t *versions = plain_memory(pages);
	sigset_t all;

	/* Handlers are the other thread's: some wait for what this one does. */
	sigfillset(&all);
	must(!pthread_sigmask(SIG_SETMASK, &all, NULL), "pthread_sigmask");
	fill((char *)own, pages);
	for (;;) {
		char story[PAGE_STORY_BYTES];
		unsigned word;
		size_t page;

		random = random * 6364136223846793005u + 1442695040888963407u;
		page = (random >> 33) % pages;
		word = page_first_wrong(own, page, versions[page]);
		if (UNLIKELY(word < PAGE_WORDS))
			give_up("%s: the other thread: %s", way,
				page_story(own, page, word, versions[page], story));
		if (random >> 62 == 0)
			page_write(own, page, ++versions[page]);
	}
	return NULL;
}

void memory_make(size_t mib)
{
	static size_t others;
	uint64_t deadline = clock_ns() + WAIT_NS;

	page_count = (mib << 20) / PAGE_BYTES;
	must(page_count > 4 * LENT_PAGES, "too little memory");
	others = page_count / 2;
	memory = map(page_count * PAGE_BYTES, MAP_PRIVATE);
	model = plain_memory(page_count * PAGE_BYTES);
	fill(memory, page_count);
	fill(model, page_count);
	thread_start(keep_busy, &others);
	while (count_out() < page_count / 2)
		wait_a_little(deadline);
}

int scratch_file(int flags)
{
	char *path;
	int fd;

	must(asprintf(&path, "%s/scratch", directory) > 0, "asprintf");
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
	if (fd >= 0)
		unlink(path);
	else
		must(flags & O_DIRECT && (unlink(path), errno == EINVAL), path);
	free(path);
	return fd;
}

/* ---- ways ---- */

void way_begin(const char *name)
{
	way = name;
	atomic_store(&out_count, 0);
	signal(SIGALRM, hangs);
	alarm(PATIENCE_S);
}

void way_end(size_t *out)
{
	size_t begin = (page_count - lent) * PAGE_BYTES;

	*out = atomic_load(&out_count);
	memcpy(memory + begin, model + begin, lent * PAGE_BYTES);
	lent = 0;
	memory_check();
	alarm(0);
}
