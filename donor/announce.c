#include "donor/announce.h"

#include "common/base/log.h"
#include "donor/donor.h"
#include "donor/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Does nothing unless NOTIFY_SOCKET is set. */
static void notify(const char *state)
{
	int err = sd_notify(0, state);

	if (err < 0)
		log_warn("systemd is not told: %s", strerror(-err));
}

static const char *separator(unsigned i, unsigned count)
{
	if (i == 0)
		return "";
	return i + 1 == count ? " and " : ", ";
}

static void print_ready(const struct donor *donor)
{
	const struct listeners *listeners = &donor->listeners;
	const struct donor_options *options = donor->options;
	char size[HOST_BYTES_TEXT];

	printf("donord ready: %s in %u slabs on ",
	       host_bytes_text(options->slabs * options->slab_bytes, size), options->slabs);
	for (unsigned i = 0; i < listeners->count; i++)
		printf("%s%s", separator(i, listeners->count), listeners->each[i].text);
	putchar('\n');
	if (fflush(stdout))
		log_warn("nobody reads that donord is ready: %s", strerror(errno));
}

void announce_ready(const struct donor *donor)
{
	print_ready(donor);
	notify("READY=1");
}

void announce_stopping(void)
{
	notify("STOPPING=1");
}
