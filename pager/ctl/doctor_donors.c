#include "pager/ctl/doctor.h"

#include "pager/ctl/format.h"
#include "pager/ctl/probe.h"

#include <errno.h>
#include <stdlib.h>

static const char *fix_for(const struct probe *probe, enum config_transport transport)
{
	switch (probe->result) {
	case PROBE_FULL:
		return "start it with a larger --size, or add a donor";
	case PROBE_BROKEN:
		return "see the log of donord there, and check the firewall between the hosts";
	default:
		break;
	}
	/* What the attempt says when the donor is not one for this transport. */
	if ((transport == CONFIG_SHM && probe->err == -EHOSTUNREACH) ||
	    (transport == CONFIG_TCP && probe->err == -EINVAL))
		return "use --transport auto";
	/* What it said was not for us: another program, or another version of this one. */
	if (probe->err == -EPROTO)
		return "check that it is a donord that listens there, of the same version as here";
	return "check name and port, that donord runs there, and the firewall between the hosts";
}

static void add_trouble(struct report *report, const struct config_donor *donor,
			const struct probe *probe, enum report_status status, const char *fix)
{
	if (probe->result == PROBE_FULL)
		report_add(report, status, "donor", fix, "%s: full: all of its %llu slabs are lent",
			   donor->text, (unsigned long long)probe->welcome.slabs);
	else
		report_add(report, status, "donor", fix, "%s: cannot be used: %s", donor->text,
			   probe->why);
}

static void add_working(struct report *report, const struct config_donor *donor,
			const struct probe *probe)
{
	const struct wire_welcome *welcome = &probe->welcome;
	uint64_t p50 = format_percentile(&probe->round_trip, 0.50);
	uint64_t p99 = format_percentile(&probe->round_trip, 0.99);
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
		one_works |= probes[i].result == PROBE_WORKS;
	}
	/* Some donor that answers is enough: then the others are a pity, and no obstacle. */
	for (i = 0; i < config->donor_count; i++) {
		const struct config_donor *donor = &config->donors[i];

		if (probes[i].result == PROBE_WORKS)
			add_working(report, donor, &probes[i]);
		else
			add_trouble(report, donor, &probes[i], one_works ? REPORT_WARN : REPORT_BAD,
				    fix_for(&probes[i], config->transport));
		report_text(report, "donor", donor->text);
	}
	free(probes);
}
