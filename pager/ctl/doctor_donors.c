#include "pager/ctl/doctor.h"

#include "pager/ctl/format.h"
#include "pager/ctl/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Some donor that answers is enough: then the others are a pity, and no obstacle. */
static void add_trouble(struct report *report, const struct config_donor *donor, bool others_work,
			const char *fix, const char *what, const char *cause)
{
	report_add(report, others_work ? REPORT_WARN : REPORT_BAD, "donor", fix, "%s: %s: %s",
		   donor->text, what, cause);
}

static void add_refusal(struct report *report, const struct config_donor *donor, bool others_work,
			const struct wire_error *refusal)
{
	if (refusal->code == WIRE_E_VERSION)
		add_trouble(report, donor, others_work,
			    "install the same version of libpager on both hosts",
			    "speaks another version of the protocol", refusal->text);
	else
		add_trouble(report, donor, others_work, "see the log of donord there", "refuses",
			    refusal->text);
}

/* Before a welcome, and after it when the data connection fails. */
static void add_failure(struct report *report, const struct config_donor *donor, bool others_work,
			const struct probe *probe)
{
	const char *cause = strerror(-probe->err);

	if (probe->refusal.code)
		add_refusal(report, donor, others_work, &probe->refusal);
	else if (probe->step == PROBE_CONNECT)
		add_trouble(report, donor, others_work,
			    "start donord there; check name, port and firewall", "not reachable",
			    cause);
	else if (probe->step == PROBE_HELLO)
		add_trouble(report, donor, others_work,
			    "check that it is a donord that listens there",
			    "does not answer as a donor", cause);
	else if (probe->step == PROBE_LEASE)
		add_trouble(report, donor, others_work, "see the log of donord there",
			    "lends nothing", cause);
	else if (probe->err == -ENOTSUP)
		add_trouble(report, donor, others_work, "use --transport auto", "no shm to it",
			    "it is not on this host, or has no local socket");
	else
		add_trouble(report, donor, others_work, "check the firewall between the hosts",
			    "no data connection", cause);
}

static void add_full(struct report *report, const struct config_donor *donor, bool others_work,
		     const struct wire_welcome *welcome)
{
	report_add(report, others_work ? REPORT_WARN : REPORT_BAD, "donor",
		   "start it with a larger --size, or add a donor",
		   "%s: full: all of its %llu slabs are lent", donor->text,
		   (unsigned long long)welcome->slabs);
}

static void add_working(struct report *report, const struct config_donor *donor,
			const struct probe *probe)
{
	const struct wire_welcome *welcome = &probe->welcome;
	uint64_t p50 = hist_percentile(&probe->round_trip, 0.50);
	uint64_t p99 = hist_percentile(&probe->round_trip, 0.99);
	char free_text[FORMAT_BYTES], p50_text[FORMAT_BYTES], p99_text[FORMAT_BYTES];
	uint64_t free_bytes;

	if (__builtin_mul_overflow(welcome->slabs_free, welcome->slab_bytes, &free_bytes))
		free_bytes = UINT64_MAX;
	report_add(report, REPORT_OK, "donor", NULL,
		   "%s: %s free, over %s, 4 KiB in %s (99%% within %s)", donor->text,
		   format_size(free_bytes, free_text), tp_kind_name(probe->kind),
		   format_duration(p50, p50_text), format_duration(p99, p99_text));
	report_text(report, "transport", tp_kind_name(probe->kind));
	report_number(report, "free_bytes", free_bytes);
	report_number(report, "slab_bytes", welcome->slab_bytes);
	report_number(report, "slabs", welcome->slabs);
	report_number(report, "slabs_free", welcome->slabs_free);
	report_number(report, "round_trip_p50_ns", p50);
	report_number(report, "round_trip_p99_ns", p99);
}

static void add_donor(struct report *report, const struct config_donor *donor, bool others_work,
		      const struct probe *probe)
{
	if (probe->step == PROBE_DONE)
		add_working(report, donor, probe);
	else if (probe->step == PROBE_LEASE && probe->err == -ENOSPC)
		add_full(report, donor, others_work, &probe->welcome);
	else
		add_failure(report, donor, others_work, probe);
	report_text(report, "donor", donor->text);
}

void doctor_check_donors(struct report *report, const struct config *config)
{
	struct probe *probes;
	bool one_works = false;
	unsigned i;

	if (!config->donor_count) {
		report_add(report, REPORT_WARN, "donor", "name one: --donor HOST:PORT",
			   "none given, so none was asked");
		return;
	}
	probes = calloc(config->donor_count, sizeof(*probes));
	if (!probes) {
		report_add(report, REPORT_BAD, "donor", NULL, "no memory to ask them");
		return;
	}
	for (i = 0; i < config->donor_count; i++) {
		probe_donor(&config->donors[i], config->transport, &probes[i]);
		one_works |= probes[i].step == PROBE_DONE;
	}
	for (i = 0; i < config->donor_count; i++)
		add_donor(report, &config->donors[i], one_works, &probes[i]);
	free(probes);
}
