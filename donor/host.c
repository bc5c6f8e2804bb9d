#include "donor/host.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES "/sys/devices/system/node"
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define HUGE_RESERVED "/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages"

/* Files of /proc and /sys that we read are shorter; a longer one is cut, and still text. */
#define FILE_BYTES 8192

/* Left to the host when all else is lent: a fiftieth of its RAM, 64 MiB at least. A guess. */
#define RESERVE_SHARE 50
#define RESERVE_MIN (64ull << 20)

/* Reads a small file as text. Returns its length, 0 if there is nothing to be read. */
static size_t read_text(const char *path, char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	out[0] = '\0';
	if (fd < 0)
		return 0;
	while (len < room - 1) {
		ssize_t n = read(fd, out + len, room - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	out[len] = '\0';
	return len;
}

static uint64_t read_number(const char *path)
{
	char text[32];

	return read_text(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* The value of a "Name:   123 kB" line, in bytes. */
static uint64_t kib_field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) << 10 : 0;
}

static uint64_t meminfo_field(const char *name)
{
	char text[FILE_BYTES];

	read_text("/proc/meminfo", text, sizeof(text));
	return kib_field(text, name);
}

uint64_t host_ram_total(void)
{
	return meminfo_field("MemTotal:");
}

uint64_t host_ram_available(void)
{
	return meminfo_field("MemAvailable:");
}

static void node_path(int node, const char *file, char *out, size_t room)
{
	snprintf(out, room, NODES "/node%d/%s", node, file);
}

/* The kernel has no estimate for one node: what is free, and cache that is not in use. */
static uint64_t node_available(int node)
{
	char path[64], text[FILE_BYTES];

	node_path(node, "meminfo", path, sizeof(path));
	read_text(path, text, sizeof(text));
	return kib_field(text, " MemFree:") + kib_field(text, " Inactive(file):");
}

uint64_t host_ram_spare(int node)
{
	uint64_t available = host_ram_available();
	uint64_t reserve = host_ram_total() / RESERVE_SHARE;

	if (node != HOST_NO_NODE && node_available(node) < available)
		available = node_available(node);
	if (reserve < RESERVE_MIN)
		reserve = RESERVE_MIN;
	return available > reserve ? available - reserve : 0;
}

uint64_t host_huge_free(void)
{
	uint64_t free_pages = read_number(HUGE_FREE);
	uint64_t reserved = read_number(HUGE_RESERVED);

	return free_pages > reserved ? free_pages - reserved : 0;
}

bool host_node_exists(int node)
{
	char path[64];

	node_path(node, "meminfo", path, sizeof(path));
	return access(path, R_OK) == 0;
}

void host_node_list(char *out, size_t room)
{
	size_t len = read_text(NODES "/online", out, room);

	if (len && out[len - 1] == '\n')
		out[len - 1] = '\0';
}

/* 0 to 15 for a hexadecimal digit, or -1. */
static int hex_value(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

int host_boot_id(uint8_t out[16])
{
	uint8_t id[16] = {0};
	unsigned digits = 0;
	char text[64];

	read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text));
	for (const char *at = text; *at && digits < 32; at++) {
		int value = hex_value(*at);

		if (value < 0)
			continue;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
		digits++;
	}
	if (digits < 32)
		return -EIO;
	memcpy(out, id, sizeof(id));
	return 0;
}

const char *host_bytes_text(uint64_t bytes, char *out)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes / 1024;
	unsigned unit = 0;

	while (value >= 1024 && unit < ARRAY_LEN(units) - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(out, HOST_BYTES_TEXT, unit < 2 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return out;
}
