#include "pager/maps.h"

#include "common/base/compiler.h"
#include "tests/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAP "55d0c8a2e000-55d0c8a4f000 rw-p 00000000 00:00 0                          [heap]"
#define ANON "7f1b2c000000-7f1b2c021000 rw-p 00000000 00:00 0 "
#define LIBC "7f1b34a26000-7f1b34a4c000 r--p 00000000 fd:01 1314583 /lib/libc.so.6"
#define DATA "7f1b34bfb000-7f1b34bfd000 rw-p 001d4000 fd:01 1314583 /lib/libc.so.6"

static bool parse(const char *line, struct maps_entry *out)
{
	return maps_parse_line(line, strlen(line), out);
}

static bool has_name(const struct maps_entry *entry, const char *name)
{
	return entry->name_len == strlen(name) && memcmp(entry->name, name, entry->name_len) == 0;
}

static void a_line_is_read_into_its_parts(void)
{
	struct maps_entry entry;

	CU_ASSERT_TRUE_FATAL(parse(HEAP, &entry));
	CU_ASSERT(entry.start == 0x55d0c8a2e000 && entry.end == 0x55d0c8a4f000);
	CU_ASSERT(entry.read && entry.write && !entry.exec && !entry.shared);
	CU_ASSERT(entry.inode == 0 && has_name(&entry, "[heap]"));
	CU_ASSERT_TRUE_FATAL(parse(LIBC, &entry));
	CU_ASSERT(entry.read && !entry.write && !entry.exec && !entry.shared);
	CU_ASSERT(entry.inode == 1314583);
	CU_ASSERT(has_name(&entry, "/lib/libc.so.6"));
	CU_ASSERT_TRUE_FATAL(parse("1000-2000 --xs 00000000 00:01 42 /dev/a b (deleted)", &entry));
	CU_ASSERT(!entry.read && !entry.write && entry.exec && entry.shared);
	CU_ASSERT(has_name(&entry, "/dev/a b (deleted)"));
}

static void a_mapping_without_a_name_has_an_empty_one(void)
{
	struct maps_entry entry;

	CU_ASSERT_TRUE(parse(ANON, &entry) && entry.name_len == 0);
	CU_ASSERT_TRUE(parse("1000-2000 rw-p 00000000 00:00 0", &entry) && entry.name_len == 0);
}

static void the_highest_addresses_are_read(void)
{
	struct maps_entry entry;

	CU_ASSERT_TRUE_FATAL(parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0"
				   "                  [vsyscall]",
				   &entry));
	CU_ASSERT(entry.start == 0xffffffffff600000 && entry.end == 0xffffffffff601000);
}

static void what_is_no_line_is_refused_and_nothing_written(void)
{
	static const char *const wrong[] = {
		"",
		"Size:                132 kB",
		"VmFlags: rd wr mr mw me ac sd",
		"-2000 rw-p 00000000 00:00 0",
		"1000 2000 rw-p 00000000 00:00 0",
		"1000-2000rw-p 00000000 00:00 0",
		"1000-2000 rw-p",
		"1000-2000 rw-pp 00000000 00:00 0",
		"1000-2000 rw-p 00000000 0000 0",
		"1000-2000 rw-p 00000000 00:00 x",
		"1000-2000 rw-p 0000000g 00:00 0",
		"2000-1000 rw-p 00000000 00:00 0",
		"2000-2000 rw-p 00000000 00:00 0",
		" 1000-2000 rw-p 00000000 00:00 0",
	};
	struct maps_entry entry, before;

	memset(&entry, 0, sizeof(entry));
	entry.start = 77;
	before = entry;
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		CU_ASSERT_FALSE(parse(wrong[i], &entry));
		CU_ASSERT(entry.start == before.start && entry.end == before.end);
		CU_ASSERT(entry.name == before.name && entry.inode == before.inode);
	}
}

/* The copy is as long as the text, so that the sanitizer sees a read behind it. */
static void check_cut(const char *line, size_t len, const struct maps_entry *whole)
{
	char *copy = malloc(len ? len : 1);
	struct maps_entry entry;

	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	memcpy(copy, line, len);
	if (maps_parse_line(copy, len, &entry)) {
		CU_ASSERT(entry.start == whole->start && entry.end == whole->end);
		CU_ASSERT(entry.read == whole->read && entry.write == whole->write);
		CU_ASSERT(entry.exec == whole->exec && entry.shared == whole->shared);
		CU_ASSERT((entry.inode == 0) == (whole->inode == 0));
		CU_ASSERT(entry.name + entry.name_len == copy + len);
		CU_ASSERT(entry.name_len <= whole->name_len);
	}
	free(copy);
}

static void a_line_cut_short_is_refused_or_harmless(void)
{
	static const char *const lines[] = {HEAP, ANON, LIBC, DATA};
	struct maps_entry whole, entry;

	for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
		CU_ASSERT_TRUE_FATAL(parse(lines[i], &whole));
		for (size_t len = 0; len < strlen(lines[i]); len++)
			check_cut(lines[i], len, &whole);
	}
	CU_ASSERT_FALSE(maps_parse_line(DATA, strcspn(DATA, ":"), &entry));
}

static bool is_adoptable(const char *line)
{
	struct maps_entry entry;

	CU_ASSERT_TRUE_FATAL(parse(line, &entry));
	return maps_is_adoptable(&entry);
}

static void private_anonymous_memory_is_adoptable(void)
{
	CU_ASSERT_TRUE(is_adoptable(HEAP));
	CU_ASSERT_TRUE(is_adoptable(ANON));
	CU_ASSERT_TRUE(is_adoptable("1000-2000 rw-p 00000000 00:00 0      [anon:glibc: malloc]"));
}

static void everything_else_is_not(void)
{
	static const char *const lines[] = {
		LIBC,
		DATA,
		"1000-2000 rw-s 00000000 00:00 0 ",
		"1000-2000 rw-s 00000000 00:01 1033            /dev/zero (deleted)",
		"1000-2000 rw-s 00000000 00:01 1034            [anon_shmem:name]",
		"1000-2000 rw-p 00000000 00:05 4               /dev/zero",
		"1000-2000 rw-p 00000000 00:0f 0               /memfd:x (deleted)",
		"1000-2000 r--p 00000000 00:00 0 ",
		"1000-2000 -w-p 00000000 00:00 0 ",
		"1000-2000 ---p 00000000 00:00 0 ",
		"1000-2000 rwxp 00000000 00:00 0 ",
		"1000-2000 rwxp 00000000 00:00 0               [heap]",
		"7ffc3a8e1000-7ffc3a902000 rw-p 00000000 00:00 0         [stack]",
		"7ffc3a9d5000-7ffc3a9d7000 r-xp 00000000 00:00 0         [vdso]",
		"7ffc3a9d5000-7ffc3a9d7000 rw-p 00000000 00:00 0         [vdso]",
		"7ffc3a9d1000-7ffc3a9d5000 r--p 00000000 00:00 0         [vvar]",
		"7fff00000000-7fff00001000 rw-p 00000000 00:00 0         [uprobes]",
	};

	for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
		CU_ASSERT_FALSE(is_adoptable(lines[i]));
}

/* ---- this process ---- */

static char buffer[MAPS_BUFFER_BYTES + MAPS_NAME_BYTES];
static int map_fd;

struct search {
	uint64_t address, last_end;
	unsigned found;
	bool is_adoptable, is_stack, is_ordered;
};

static void look(void *arg, const struct maps_entry *entry)
{
	struct search *search = arg;

	search->is_ordered &= entry->start >= search->last_end;
	search->last_end = entry->end;
	if (search->address < entry->start || search->address >= entry->end)
		return;
	search->found++;
	search->is_adoptable = maps_is_adoptable(entry);
	search->is_stack = has_name(entry, "[stack]");
}

static struct search find(const void *address)
{
	struct search search = {.address = (uintptr_t)address, .is_ordered = true};

	CU_ASSERT_EQUAL(maps_each(map_fd, buffer, look, &search), 0);
	CU_ASSERT_TRUE(search.is_ordered);
	CU_ASSERT_EQUAL(search.found, 1);
	return search;
}

static char *map(size_t bytes, int prot, int flags)
{
	char *at = mmap(NULL, bytes, prot, flags | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_PTR_NOT_EQUAL_FATAL(at, MAP_FAILED);
	return at;
}

static void its_own_memory_is_told_apart(void)
{
	static const char text[] = "read only";
	char *anon = map(PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *shared = map(PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	int local;

	CU_ASSERT_TRUE(find(anon).is_adoptable);
	CU_ASSERT_FALSE(find(shared).is_adoptable);
	CU_ASSERT_FALSE(find(text).is_adoptable);
	CU_ASSERT_TRUE(find(&local).is_stack);
	CU_ASSERT_FALSE(find(&local).is_adoptable);
	munmap(anon, PAGE_BYTES);
	munmap(shared, PAGE_BYTES);
}

static void its_own_heap_is_adoptable(void)
{
	char *heap = malloc(1000);

	CU_ASSERT_PTR_NOT_NULL_FATAL(heap);
	memset(heap, 1, 1000);
	CU_ASSERT_TRUE(find(heap).is_adoptable);
	free(heap);
}

#define MANY 3000u

/* Many mappings: pages of changing rights, as neighbours do not join then. Several buffers' worth.
 */
static void a_map_larger_than_the_buffer_is_read_whole(void)
{
	char *at = map(MANY * PAGE_BYTES, PROT_READ, MAP_PRIVATE);

	for (size_t i = 0; i < MANY; i += 2)
		CU_ASSERT_EQUAL_FATAL(
			mprotect(at + i * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
	for (size_t i = 0; i < MANY; i += 177)
		CU_ASSERT_EQUAL(find(at + i * PAGE_BYTES).is_adoptable, i % 2 == 0);
	munmap(at, MANY * PAGE_BYTES);
}

static void a_reservation_is_told_apart(void)
{
	static const char *const others[] = {HEAP,
					     ANON,
					     LIBC,
					     "1000-2000 ---s 00000000 00:00 0 ",
					     "1000-2000 ---p 00001000 fd:01 1314583 /lib/libc.so.6",
					     "1000-2000 --xp 00000000 00:00 0 ",
					     "1000-2000 r--p 00000000 00:00 0 [vvar]"};
	struct maps_entry entry;

	CU_ASSERT_TRUE_FATAL(parse("1000-2000 ---p 00000000 00:00 0 ", &entry));
	CU_ASSERT_TRUE(maps_is_reserved(&entry));
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		CU_ASSERT_TRUE_FATAL(parse(others[i], &entry));
		CU_ASSERT_FALSE(maps_is_reserved(&entry));
	}
}

static void what_is_closed_for_writing_is_told_by_its_kind(void)
{
	static const char *const ours[] = {"1000-2000 r--p 00000000 00:00 0 ",
					   "1000-2000 r--p 00000000 00:00 0 [heap]",
					   "1000-2000 r--p 00000000 00:00 0 [anon:cage]"};
	static const char *const others[] = {HEAP,
					     ANON,
					     "1000-2000 ---p 00000000 00:00 0 ",
					     "1000-2000 r--s 00000000 00:00 0 ",
					     "1000-2000 r-xp 00000000 00:00 0 ",
					     "1000-2000 r--p 00000000 00:00 0 [vvar]",
					     "1000-2000 r--p 00001000 fd:01 1314583 /lib/libc.so"};
	struct maps_entry entry;

	for (unsigned i = 0; i < ARRAY_LEN(ours); i++) {
		CU_ASSERT_TRUE_FATAL(parse(ours[i], &entry));
		CU_ASSERT_TRUE(maps_is_read_only(&entry));
	}
	for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
		CU_ASSERT_TRUE_FATAL(parse(others[i], &entry));
		CU_ASSERT_FALSE(maps_is_read_only(&entry));
	}
}

static void what_children_have_empty_is_told_by_its_flags(void)
{
	static const char *const lines[] = {"VmFlags: rd wr mr mw me wf ac ",
					    "VmFlags: rd wr mr mw me ac ", "WipeFlags: rd wf ",
					    "VmFlags:", ""};

	CU_ASSERT_TRUE(maps_parse_wiped(lines[0], strlen(lines[0])));
	for (unsigned i = 1; i < ARRAY_LEN(lines); i++)
		CU_ASSERT_FALSE(maps_parse_wiped(lines[i], strlen(lines[i])));
}

static uint64_t wiped_start, wiped_end;
static unsigned wiped_count;

static void note_wiped(void *arg, const struct maps_entry *entry)
{
	if (entry->start > (uintptr_t)arg || entry->end <= (uintptr_t)arg)
		return;
	wiped_start = entry->start;
	wiped_end = entry->end;
	wiped_count++;
}

static void mappings_that_children_have_empty_are_found(void)
{
	char *at = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = maps_open_smaps();

	CU_ASSERT_FATAL(fd >= 0 && at != MAP_FAILED);
	CU_ASSERT_EQUAL(maps_each_wiped(fd, buffer, note_wiped, at + 4096), 0);
	CU_ASSERT_EQUAL(wiped_count, 0);
	CU_ASSERT_EQUAL_FATAL(madvise(at + 4096, 4096, MADV_WIPEONFORK), 0);
	CU_ASSERT_EQUAL(maps_each_wiped(fd, buffer, note_wiped, at + 4096), 0);
	CU_ASSERT_EQUAL(wiped_count, 1);
	CU_ASSERT_EQUAL(wiped_start, (uintptr_t)at + 4096);
	CU_ASSERT_EQUAL(wiped_end, (uintptr_t)at + 8192);
	munmap(at, 3 * 4096);
	close(fd);
}

/* What is asked for by address is what reading all of the map shows. */
static void a_mapping_is_found_by_an_address_in_it_or_before_it(void)
{
	char *at = map(4 * PAGE_BYTES, PROT_NONE, MAP_PRIVATE);
	struct maps_entry entry;
	int local;

	munmap(at + PAGE_BYTES, PAGE_BYTES);
	CU_ASSERT_EQUAL_FATAL(mprotect(at + 2 * PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
	for (unsigned page = 1; page < 3; page++) { /* the hole, and what is behind it */
		CU_ASSERT_EQUAL_FATAL(
			maps_find(map_fd, buffer, (uintptr_t)at + page * PAGE_BYTES, &entry), 0);
		CU_ASSERT_EQUAL(entry.start, (uintptr_t)at + 2 * PAGE_BYTES);
		CU_ASSERT_EQUAL(entry.end, (uintptr_t)at + 3 * PAGE_BYTES);
		CU_ASSERT_TRUE(maps_is_adoptable(&entry));
	}
	CU_ASSERT_EQUAL_FATAL(maps_find(map_fd, buffer, (uintptr_t)&local, &entry), 0);
	CU_ASSERT_TRUE(maps_is_stack(&entry));
	CU_ASSERT_EQUAL_FATAL(maps_find(map_fd, buffer, (uintptr_t)&find, &entry), 0);
	CU_ASSERT(entry.exec && entry.inode && !entry.shared && !maps_is_adoptable(&entry));
	CU_ASSERT(entry.name_len > 0 && entry.name[0] == '/');
	CU_ASSERT_EQUAL(maps_find(map_fd, buffer, ~(uint64_t)0 >> 1, &entry), -ENOENT);
	munmap(at, 4 * PAGE_BYTES);
}

#define TOUCHED ((size_t)16 << 20)

/* The kernel keeps these figures per processor and may be a few pages behind. */
static void usage_grows_with_what_is_touched(void)
{
	uint64_t size[3], anon[3], pages = TOUCHED / PAGE_BYTES;
	int fd = maps_open_usage();
	char *at;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(maps_usage(fd, &size[0], &anon[0]), 0);
	at = map(TOUCHED, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CU_ASSERT_EQUAL_FATAL(maps_usage(fd, &size[1], &anon[1]), 0);
	memset(at, 1, TOUCHED);
	CU_ASSERT_EQUAL_FATAL(maps_usage(fd, &size[2], &anon[2]), 0);
	munmap(at, TOUCHED);
	close(fd);
	CU_ASSERT_EQUAL(size[1] - size[0], pages);
	CU_ASSERT_EQUAL(size[2], size[1]);
	CU_ASSERT(anon[0] > 0);
	CU_ASSERT(anon[1] < anon[0] + pages / 4);
	CU_ASSERT(anon[2] > anon[1] + pages / 4 * 3);
}

static uint64_t pinned_of(const char *status)
{
	return maps_parse_kib(status, strlen(status), MAPS_PINNED);
}

static void pinned_memory_is_read_from_its_line(void)
{
	CU_ASSERT_EQUAL(pinned_of("Name:\tx\nVmLck:\t 4 kB\nVmPin:\t      64 kB\nVmHWM:"), 64);
	CU_ASSERT_EQUAL(pinned_of("Name:\tx\nVmLck:\t 4 kB\nVmPin:\t       0 kB\nVmHWM:"), 0);
	CU_ASSERT_EQUAL(pinned_of("Name:\tx\nVmPin:\t"), 0);
	CU_ASSERT_EQUAL(pinned_of("Name:\tVmPin: 64 kB\n"), 0);
	CU_ASSERT_EQUAL(pinned_of(""), 0);
}

static void this_process_has_pinned_nothing(void)
{
	int fd = maps_open_status();

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(maps_kib(fd, MAPS_PINNED), 0);
	close(fd);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(a_line_is_read_into_its_parts),
		SUITE_TEST(a_mapping_without_a_name_has_an_empty_one),
		SUITE_TEST(the_highest_addresses_are_read),
		SUITE_TEST(what_is_no_line_is_refused_and_nothing_written),
		SUITE_TEST(a_line_cut_short_is_refused_or_harmless),
		SUITE_TEST(private_anonymous_memory_is_adoptable),
		SUITE_TEST(everything_else_is_not),
		SUITE_TEST(its_own_memory_is_told_apart),
		SUITE_TEST(its_own_heap_is_adoptable),
		SUITE_TEST(a_map_larger_than_the_buffer_is_read_whole),
		SUITE_TEST(a_reservation_is_told_apart),
		SUITE_TEST(what_is_closed_for_writing_is_told_by_its_kind),
		SUITE_TEST(what_children_have_empty_is_told_by_its_flags),
		SUITE_TEST(mappings_that_children_have_empty_are_found),
		SUITE_TEST(a_mapping_is_found_by_an_address_in_it_or_before_it),
		SUITE_TEST(usage_grows_with_what_is_touched),
		SUITE_TEST(pinned_memory_is_read_from_its_line),
		SUITE_TEST(this_process_has_pinned_nothing),
		SUITE_END,
	};

	map_fd = maps_open();
	return suite_run("maps", tests);
}
