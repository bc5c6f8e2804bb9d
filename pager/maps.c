#include "pager/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FLAGS "VmFlags:"

struct text {
	const char *at, *end;
};

static bool number(struct text *text, unsigned base, uint64_t *out)
{
	const char *begin = text->at;
	uint64_t value = 0;

	for (; text->at < text->end; text->at++) {
		char c = *text->at;
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (base == 16 && c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else
			break;
		value = value * base + digit;
	}
	*out = value;
	return text->at > begin;
}

static bool expect(struct text *text, char c)
{
	if (text->at == text->end || *text->at != c)
		return false;
	text->at++;
	return true;
}

static bool flag(struct text *text, char set)
{
	return text->at < text->end && *text->at++ == set;
}

bool maps_parse_line(const char *line, size_t len, struct maps_entry *out)
{
	struct text text = {line, line + len};
	struct maps_entry entry;
	uint64_t ignored;

	if (!number(&text, 16, &entry.start) || !expect(&text, '-') ||
	    !number(&text, 16, &entry.end) || !expect(&text, ' ') || text.end - text.at < 4)
		return false;
	entry.read = flag(&text, 'r');
	entry.write = flag(&text, 'w');
	entry.exec = flag(&text, 'x');
	entry.shared = flag(&text, 's');
	if (!expect(&text, ' ') || !number(&text, 16, &ignored) || !expect(&text, ' ') ||
	    !number(&text, 16, &ignored) || !expect(&text, ':') || !number(&text, 16, &ignored) ||
	    !expect(&text, ' ') || !number(&text, 10, &entry.inode))
		return false;
	while (text.at < text.end && *text.at == ' ')
		text.at++;
	entry.name = text.at;
	entry.name_len = (size_t)(text.end - text.at);
	if (entry.start >= entry.end)
		return false;
	*out = entry;
	return true;
}

static bool name_begins(const struct maps_entry *entry, const char *with)
{
	size_t len = strlen(with);

	return entry->name_len >= len && memcmp(entry->name, with, len) == 0;
}

bool maps_is_adoptable(const struct maps_entry *entry)
{
	if (!entry->read || !entry->write || entry->exec || entry->shared || entry->inode)
		return false;
	return entry->name_len == 0 || name_begins(entry, "[heap]") || name_begins(entry, "[anon:");
}

bool maps_is_reserved(const struct maps_entry *entry)
{
	if (entry->read || entry->write || entry->exec || entry->shared || entry->inode)
		return false;
	return entry->name_len == 0 || name_begins(entry, "[anon:");
}

bool maps_is_read_only(const struct maps_entry *entry)
{
	if (!entry->read || entry->write || entry->exec || entry->shared || entry->inode)
		return false;
	return entry->name_len == 0 || name_begins(entry, "[heap]") || name_begins(entry, "[anon:");
}

bool maps_is_stack(const struct maps_entry *entry)
{
	return name_begins(entry, "[stack]");
}

typedef void line_fn(void *arg, const char *line, size_t len);

/* Hands out the whole lines of [buffer, buffer+len); returns how much is left of the last one. */
static size_t whole_lines(char *buffer, size_t len, line_fn *fn, void *arg)
{
	char *at = buffer, *end = buffer + len, *newline;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		fn(arg, at, (size_t)(newline - at));
		at = newline + 1;
	}
	memmove(buffer, at, (size_t)(end - at));
	return (size_t)(end - at);
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int maps_open(void)
{
	return open_file("/proc/self/maps");
}

static int read_all(int fd, char *buffer, line_fn *fn, void *arg)
{
	size_t have = 0;
	ssize_t got;
	int err = lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;

	while (!err && have < MAPS_BUFFER_BYTES) {
		got = read(fd, buffer + have, MAPS_BUFFER_BYTES - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = -errno;
		if (got <= 0)
			break;
		have = whole_lines(buffer, have + (size_t)got, fn, arg);
	}
	return err;
}

struct each {
	maps_fn *fn;
	void *arg;
	struct maps_entry entry; /* the one whose lines are being read; without its name */
};

static void each_line(void *arg, const char *line, size_t len)
{
	const struct each *each = arg;
	struct maps_entry entry;

	if (maps_parse_line(line, len, &entry))
		each->fn(each->arg, &entry);
}

int maps_each(int fd, char *buffer, maps_fn *fn, void *arg)
{
	struct each each = {.fn = fn, .arg = arg};

	return read_all(fd, buffer, each_line, &each);
}

bool maps_parse_wiped(const char *line, size_t len)
{
	return len > strlen(FLAGS) && memcmp(line, FLAGS, strlen(FLAGS)) == 0 &&
	       memmem(line, len, " wf", 3);
}

static void each_wiped_line(void *arg, const char *line, size_t len)
{
	struct each *each = arg;

	if (maps_parse_line(line, len, &each->entry)) {
		each->entry.name = "";
		each->entry.name_len = 0;
	} else if (maps_parse_wiped(line, len)) {
		each->fn(each->arg, &each->entry);
	}
}

int maps_each_wiped(int smaps_fd, char *buffer, maps_fn *fn, void *arg)
{
	struct each each = {.fn = fn, .arg = arg};

	return read_all(smaps_fd, buffer, each_wiped_line, &each);
}

/* Newer than the headers of Debian 12; from include/uapi/linux/fs.h of Linux 6.11. */
struct procmap_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
#define QUERY_READABLE 0x01u
#define QUERY_WRITABLE 0x02u
#define QUERY_EXECUTABLE 0x04u
#define QUERY_SHARED 0x08u
#define QUERY_COVERING_OR_NEXT 0x10u
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)

int maps_query(int fd, char *buffer, uint64_t address, struct maps_entry *out)
{
	struct procmap_query query = {
		.size = sizeof(query),
		.query_flags = QUERY_COVERING_OR_NEXT,
		.query_addr = address,
		.vma_name_size = MAPS_NAME_BYTES,
		.vma_name_addr = (uintptr_t)buffer,
	};

	if (ioctl(fd, PROCMAP_QUERY, &query))
		return -errno;
	*out = (struct maps_entry){
		.start = query.vma_start,
		.end = query.vma_end,
		.read = query.vma_flags & QUERY_READABLE,
		.write = query.vma_flags & QUERY_WRITABLE,
		.exec = query.vma_flags & QUERY_EXECUTABLE,
		.shared = query.vma_flags & QUERY_SHARED,
		.inode = query.inode,
		.name = buffer,
		.name_len = query.vma_name_size ? query.vma_name_size - 1 : 0,
	};
	return 0;
}

struct search {
	uint64_t address;
	char *name;
	struct maps_entry found; /* found.end is 0 until it is */
};

static void search_entry(void *arg, const struct maps_entry *entry)
{
	struct search *search = arg;

	if (search->found.end || entry->end <= search->address)
		return;
	search->found = *entry;
	search->found.name = search->name;
	if (search->found.name_len > MAPS_NAME_BYTES)
		search->found.name_len = MAPS_NAME_BYTES;
	memcpy(search->name, entry->name, search->found.name_len);
}

/* The name is kept behind the lines. */
static int search_all(int fd, char *buffer, uint64_t address, struct maps_entry *out)
{
	struct search search = {
		.address = address,
		.name = buffer + MAPS_BUFFER_BYTES,
	};
	int err;

	err = maps_each(fd, buffer, search_entry, &search);
	if (!err && !search.found.end)
		err = -ENOENT;
	if (!err)
		*out = search.found;
	return err;
}

int maps_find(int fd, char *buffer, uint64_t address, struct maps_entry *out)
{
	int err = maps_query(fd, buffer, address, out);

	return err == -ENOTTY ? search_all(fd, buffer, address, out) : err;
}

int maps_open_smaps(void)
{
	return open_file("/proc/self/smaps");
}

int maps_open_usage(void)
{
	return open_file("/proc/self/statm");
}

int maps_usage(int usage_fd, uint64_t *size_pages, uint64_t *anon_pages)
{
	char line[128];
	struct text text;
	uint64_t resident, shared;
	ssize_t got;

	got = pread(usage_fd, line, sizeof(line), 0);
	if (got <= 0)
		return -EIO;
	text = (struct text){line, line + got};
	if (!number(&text, 10, size_pages) || !expect(&text, ' ') ||
	    !number(&text, 10, &resident) || !expect(&text, ' ') || !number(&text, 10, &shared))
		return -EPROTO;
	*anon_pages = resident > shared ? resident - shared : 0;
	return 0;
}

int maps_open_status(void)
{
	return open_file("/proc/self/status");
}

uint64_t maps_parse_kib(const char *status, size_t len, const char *name)
{
	struct text text = {status, status + len};
	uint64_t kib;

	text.at = memmem(status, len, name, strlen(name));
	if (!text.at)
		return 0;
	text.at += strlen(name);
	while (text.at < text.end && (*text.at == ' ' || *text.at == '\t'))
		text.at++;
	return number(&text, 10, &kib) ? kib : 0;
}

uint64_t maps_kib(int status_fd, const char *name)
{
	char status[2048];
	ssize_t got = pread(status_fd, status, sizeof(status), 0);

	return got > 0 ? maps_parse_kib(status, (size_t)got, name) : 0;
}
