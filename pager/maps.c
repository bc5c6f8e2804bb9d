#include "pager/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

/* Hands out the whole lines of [buffer, buffer+len); returns how much is left of the last one. */
static size_t whole_lines(char *buffer, size_t len, maps_fn *fn, void *arg)
{
	char *at = buffer, *end = buffer + len, *newline;
	struct maps_entry entry;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		if (maps_parse_line(at, (size_t)(newline - at), &entry))
			fn(arg, &entry);
		at = newline + 1;
	}
	memmove(buffer, at, (size_t)(end - at));
	return (size_t)(end - at);
}

int maps_each(char *buffer, maps_fn *fn, void *arg)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t got;
	int err = 0;

	if (fd < 0)
		return -errno;
	while (have < MAPS_BUFFER_BYTES) {
		got = read(fd, buffer + have, MAPS_BUFFER_BYTES - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = -errno;
		if (got <= 0)
			break;
		have = whole_lines(buffer, have + (size_t)got, fn, arg);
	}
	close(fd);
	return err;
}

int maps_usage(uint64_t *size_pages, uint64_t *anon_pages)
{
	char line[128];
	struct text text;
	uint64_t resident, shared;
	ssize_t got;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	got = read(fd, line, sizeof(line));
	close(fd);
	if (got <= 0)
		return -EIO;
	text = (struct text){line, line + got};
	if (!number(&text, 10, size_pages) || !expect(&text, ' ') ||
	    !number(&text, 10, &resident) || !expect(&text, ' ') || !number(&text, 10, &shared))
		return -EPROTO;
	*anon_pages = resident > shared ? resident - shared : 0;
	return 0;
}
