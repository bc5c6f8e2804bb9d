/*
 * Mappings of all kinds, among memory that is out: see ways.h.
 */
#include "tests/integration/ways.h"

#include <fcntl.h>
#include <pthread.h>

#define HALF (PIECE_PAGES / 2)
#define RESERVED_BYTES (UINT64_C(1) << 40)
#define SCATTERED_PAGES 512u
#define SCATTERED_MAX_KIB \
	(64u << 10) /* page tables, the engine's books, and room for other things */

/* ---- reservations ---- */

/* In KiB, of /proc/self/status. */
static uint64_t status_of(const char *key)
{
	static char text[8192];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *at;

	if (n < 0)
		give_up("/proc/self/status: %s", strerror(errno));
	close(fd);
	text[n] = '\0';
	at = strstr(text, key);
	must(at, key);
	return strtoull(at + strlen(key), NULL, 10);
}

static uint64_t cost_kib(void)
{
	return status_of("VmRSS:") + status_of("VmPTE:");
}

static uint64_t *scattered_at(char *reserved, size_t page)
{
	/* An odd distance: no two begin their 2 MiB at the same place. */
	return (void *)(reserved +
			page * (RESERVED_BYTES / SCATTERED_PAGES / PAGE_BYTES - 1) * PAGE_BYTES);
}

static size_t scattered_out(char *reserved)
{
	size_t n = 0;

	for (size_t page = 0; page < SCATTERED_PAGES; page++)
		n += 1 - count_present(scattered_at(reserved, page), 1);
	return n;
}

static void push_scattered_out(char *reserved)
{
	uint64_t deadline = clock_ns() + WAYS_WAIT_NS;
	size_t out;

	while (ways_filler_pages && (out = scattered_out(reserved)) < SCATTERED_PAGES / 2) {
		if (clock_ns() > deadline)
			give_up("%zu of %u pages are out", out, SCATTERED_PAGES);
		change_size();
		push_a_little(PUSH_PAGES * 8);
	}
	if (ways_filler_pages)
		ways_out += scattered_out(reserved);
}

static void reserve(int protection)
{
	uint64_t before_kib, version = version_new();
	char *reserved;

	push_a_little(ways_budget_pages); /* the budget is used up, and the engine ready */
	before_kib = cost_kib();
	reserved = mmap(NULL, RESERVED_BYTES, protection,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(reserved != MAP_FAILED, "mmap");
	/* Where huge pages are the rule each page would be one. */
	must(madvise(reserved, RESERVED_BYTES, MADV_NOHUGEPAGE) == 0 || errno == EINVAL, "madvise");
	for (size_t page = 0; page < SCATTERED_PAGES; page++) {
		must(mprotect(scattered_at(reserved, page), PAGE_BYTES, PROT_READ | PROT_WRITE) ==
			     0,
		     "mprotect");
		words_write(scattered_at(reserved, page), page, 1, version);
	}
	push_scattered_out(reserved);
	if (cost_kib() > before_kib + SCATTERED_MAX_KIB)
		give_up("%u pages cost %llu KiB", SCATTERED_PAGES,
			(unsigned long long)(cost_kib() - before_kib));
	for (size_t page = 0; page < SCATTERED_PAGES; page++)
		words_check(scattered_at(reserved, page), page, 1, version, "scattered");
	must(munmap(reserved, RESERVED_BYTES) == 0, "munmap");
	push_a_little(ways_budget_pages);
}

static void reserve_open(void)
{
	reserve(PROT_READ | PROT_WRITE);
}

static void reserve_closed(void)
{
	reserve(PROT_NONE);
}

/* ---- downwards ---- */

static void grow_down(void)
{
	struct piece whole = {place_new(), PIECE_PAGES, version_new()};
	struct piece top = whole;

	top.at = page_at(&whole, HALF);
	map_at(top.at, HALF, MAP_FIXED_NOREPLACE | MAP_GROWSDOWN);
	words_write(top.at, HALF, HALF, whole.version);
	push_out(top.at, HALF);
	for (size_t page = HALF; page-- > 0;) {
		zeros_check(page_at(&whole, page), 1, "what has grown");
		words_write(page_at(&whole, page), page, 1, whole.version);
	}
	part_check(&whole, HALF, HALF, "what it began with");
	piece_check_again(&whole, "grown down");
	piece_free(&whole);
}

/* ---- what is left alone ---- */

/* Stays where it is, and is right, while what lies next to it goes out and is dropped. */
static void leave_alone(int flags, int fd)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece other = {page_at(&piece, PIECE_PAGES), PIECE_PAGES, version_new()};

	must(mmap(other.at, PIECE_BYTES, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, fd,
		  0) == other.at,
	     "mmap");
	piece_write(&other);
	push_out(piece.at, PIECE_PAGES);
	push_a_little(ways_budget_pages);
	if (count_present(other.at, PIECE_PAGES) != PIECE_PAGES)
		give_up("it was taken out");
	piece_check(&other, "left alone");
	piece_check(&piece, "beside it");
	must(madvise(page_at(&piece, HALF), PIECE_BYTES, MADV_DONTNEED) == 0, "madvise");
	zeros_check(page_at(&piece, HALF), HALF, "dropped beside it");
	if (flags & MAP_SHARED)
		piece_check(&other, "dropped, and still shared");
	else
		zeros_check(other.at, HALF, "dropped, and the file again");
	part_check(&piece, 0, HALF, "beside it");
	words_check(page_at(&other, HALF), HALF, HALF, other.version, "left alone, at the end");
	pages_free(piece.at, 2 * PIECE_PAGES);
	if (fd >= 0)
		close(fd);
}

static int file_new(void)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, PIECE_BYTES) == 0, "memfd");
	return fd;
}

static void share_memory(void)
{
	leave_alone(MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void share_file(void)
{
	leave_alone(MAP_SHARED, file_new());
}

static void write_privately(void)
{
	leave_alone(MAP_PRIVATE, file_new());
}

/* ---- many small ones ---- */

/* Each page a mapping by itself: neighbours differ in a flag. */
static void be_split(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	for (size_t page = 0; page < PIECE_PAGES; page += 2)
		must(madvise(page_at(&piece, page), PAGE_BYTES, MADV_DONTDUMP) == 0, "madvise");
	push_out(piece.at, PIECE_PAGES);
	piece_check(&piece, "split");
	push_out(piece.at, PIECE_PAGES);
	must(madvise(piece.at, PIECE_BYTES, MADV_DODUMP) == 0, "madvise");
	piece_check_again(&piece, "joined");
	piece_free(&piece);
}

static const struct way ways[] = {
	{"noreserve", reserve_open}, {"noreserve-closed", reserve_closed},
	{"growsdown", grow_down},    {"shared", share_memory},
	{"memfd", share_file},	     {"private-file", write_privately},
	{"split", be_split},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
