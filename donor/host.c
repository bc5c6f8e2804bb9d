#include "donor/host.h"

#include "common/base/group.h"
#include "common/base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NODES "/sys/devices/system/node"
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define HUGE_RESERVED "/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages"

/* Left to the host when all else is lent: a fiftieth of its RAM, 64 MiB at least. A guess. */
#define RESERVE_SHARE 50
#define RESERVE_MIN (64ull << 20)

/* The value of a "Name:   123 kB" line, in bytes. */
static uint64_t kib_field(const char *text, const char *name)
{
	return text_number_after(text, name) << 10;
}

static uint64_t meminfo_field(const char *name)
{
	char text[TEXT_FILE_BYTES];

	text_read("/proc/meminfo", text, sizeof(text));
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
	char path[64], text[TEXT_FILE_BYTES];

	node_path(node, "meminfo", path, sizeof(path));
	text_read(path, text, sizeof(text));
	return kib_field(text, " MemFree:") + kib_field(text, " Inactive(file):");
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t less(uint64_t value, uint64_t reserve)
{
	return value > reserve ? value - reserve : 0;
}

uint64_t host_ram_spare(int node)
{
	uint64_t reserve = host_ram_total() / RESERVE_SHARE;
	uint64_t available = host_ram_available();
	struct group_scratch scratch;

	if (reserve < RESERVE_MIN)
		reserve = RESERVE_MIN;
	if (node != HOST_NO_NODE)
		available = at_most(available, node_available(node));
	return at_most(less(available, reserve),
		       less(group_ram(GROUP_IDLE_CACHE, &scratch).left, RESERVE_MIN));
}

uint64_t host_huge_free(void)
{
	uint64_t free_pages, reserved;

	if (!text_read_number(HUGE_FREE, &free_pages) ||
	    !text_read_number(HUGE_RESERVED, &reserved))
		return 0;
	return less(free_pages, reserved);
}

bool host_node_exists(int node)
{
	char path[64];

	node_path(node, "meminfo", path, sizeof(path));
	return access(path, R_OK) == 0;
}

void host_node_list(char *out, size_t room)
{
	size_t len = text_read(NODES "/online", out, room);

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

	text_read("/proc/sys/kernel/random/boot_id", text, sizeof(text));
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
