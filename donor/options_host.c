#include "donor/options.h"

#include "donor/host.h"

#include <errno.h>
#include <stdio.h>

static int check_node(const struct donor_options *options, char *why)
{
	char nodes[64];

	if (options->numa_node == HOST_NO_NODE || host_node_exists(options->numa_node))
		return 0;
	host_node_list(nodes, sizeof(nodes));
	snprintf(why, DONOR_WHY_BYTES, "--numa-node %d: this host has no such node: it has %s",
		 options->numa_node, *nodes ? nodes : "none");
	return -EINVAL;
}

/* All of them now: a grant is a promise, and huge pages are seldom to be had later. */
static int check_huge_pages(const struct donor_options *options, char *why)
{
	uint64_t needed = options->slabs * (options->slab_bytes / HOST_HUGE_BYTES);
	uint64_t there = host_huge_free();

	if (!options->huge_pages || there >= needed)
		return 0;
	snprintf(why, DONOR_WHY_BYTES,
		 "--huge-pages: %llu huge pages of 2 MiB are needed and %llu are free: reserve "
		 "them with `sysctl vm.nr_hugepages=%llu`, or lend less",
		 (unsigned long long)needed, (unsigned long long)there, (unsigned long long)needed);
	return -EINVAL;
}

static int check_ram(const struct donor_options *options, char *why)
{
	char size[HOST_BYTES_TEXT], ram[HOST_BYTES_TEXT];

	host_bytes_text(options->size, size);
	host_bytes_text(host_ram_total(), ram);
	if (options->size > host_ram_total()) {
		snprintf(why, DONOR_WHY_BYTES,
			 "--size: %s is more than the %s of RAM this host has: lend less", size,
			 ram);
		return -EINVAL;
	}
	if (!options->huge_pages && options->size > host_ram_available())
		log_warn("%s is more than what is free now, %s: clients get what there is at the "
			 "time",
			 size, host_bytes_text(host_ram_available(), ram));
	return 0;
}

int donor_options_check_host(const struct donor_options *options, char why[DONOR_WHY_BYTES])
{
	if (check_ram(options, why) || check_node(options, why) || check_huge_pages(options, why))
		return -EINVAL;
	return 0;
}
