#include "pager/allowance.h"

#include "common/base/group.h"
#include "pager/budget.h"

#define HUNDRED 100u

static void host_ram(struct group_ram *ram, char text[TEXT_FILE_BYTES])
{
	text_read("/proc/meminfo", text, TEXT_FILE_BYTES);
	ram->limit = text_number_after(text, "MemTotal:") * 1024;
	ram->left = text_number_after(text, "MemAvailable:") * 1024;
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

uint64_t allowance_of(const struct config *config, uint64_t own, uint64_t limit, uint64_t left)
{
	uint64_t bytes = config->local_bytes;

	if (config->local == CONFIG_LOCAL_PERCENT)
		bytes = limit / HUNDRED * config->local_percent;
	else if (config->local == CONFIG_LOCAL_AUTO)
		bytes = budget_within(at_most(own + left, limit));
	return bytes < CONFIG_MIN_LOCAL ? CONFIG_MIN_LOCAL : bytes;
}

uint64_t allowance(const struct config *config, uint64_t own)
{
	struct group_scratch scratch;
	struct group_ram ram;

	if (!allowance_moves(config))
		return config->local_bytes;
	ram = group_ram(GROUP_ALL_CACHE, &scratch);
	if (ram.limit == GROUP_NO_LIMIT)
		host_ram(&ram, scratch.text);
	return allowance_of(config, own, ram.limit, ram.left);
}
