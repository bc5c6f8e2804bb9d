#include "donor/options.h"

#include "donor/host.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEE_HELP "see donord --help"
#define SIZE_HINT "give a number with M, G or T, such as --size 4G"
#define LISTEN_HINT \
	"give ADDR:PORT, such as --listen 0.0.0.0:7471, an IPv6 address in brackets, or none"

#define SLAB_BYTES_DEFAULT (32ull << 20)
/* What a WELCOME may say; see wire.h. */
#define SLAB_BYTES_MIN (1ull << 20)
#define SLAB_BYTES_MAX (64ull << 20)
#define LEASE_MS_DEFAULT 10000
/* Below this a busy host would miss its own deadlines. A guess. */
#define RENEW_MS_MIN 50
#define SESSIONS_DEFAULT 1024
#define SESSIONS_MAX 65536
#define NODES_MAX 1023

enum option_key {
	KEY_SIZE = 256, /* beyond every character: no short options */
	KEY_LISTEN,
	KEY_LOCAL_SOCKET,
	KEY_RDMA,
	KEY_SLAB_SIZE,
	KEY_HUGE_PAGES,
	KEY_NUMA_NODE,
	KEY_LEASE,
	KEY_RENEW,
	KEY_MAX_SESSIONS,
	KEY_LOG,
	KEY_VERSION,
	KEY_HELP,
};

/* clang-format off */
static const struct argp_option options_known[] = {
	{"size", KEY_SIZE, "SIZE", 0, "RAM to lend, such as 4G (required)", 0},
	{"listen", KEY_LISTEN, "ADDR:PORT", 0,
	 "where to listen, or none; may be repeated (127.0.0.1:7471)", 0},
	{"local-socket", KEY_LOCAL_SOCKET, "PATH", 0,
	 "Unix socket for programs on this host, or none (donord-PORT.sock in /run or $XDG_RUNTIME_DIR)", 0},
	{"rdma", KEY_RDMA, "WHEN", 0,
	 "over RDMA devices, too: auto, off or required (auto)", 0},
	{"slab-size", KEY_SLAB_SIZE, "SIZE", 0, "unit of lending, a power of two (32M)", 0},
	{"huge-pages", KEY_HUGE_PAGES, NULL, 0, "lend reserved huge pages of 2 MiB", 0},
	{"numa-node", KEY_NUMA_NODE, "N", 0, "lend RAM of this NUMA node only", 0},
	{"lease", KEY_LEASE, "TIME", 0, "a silent client loses its slabs after this time (10s)", 0},
	{"renew", KEY_RENEW, "TIME", 0, "ask clients for a sign of life this often (half the lease)", 0},
	{"max-sessions", KEY_MAX_SESSIONS, "N", 0, "clients at the same time (1024)", 0},
	{"log", KEY_LOG, "LEVEL", 0, "debug, info, warn or error (info)", 0},
	{"version", KEY_VERSION, NULL, 0, "print the version", 0},
	{"help", KEY_HELP, NULL, 0, "print this list", 0},
	{NULL, 0, NULL, 0, NULL, 0},
};
/* clang-format on */

static error_t parse_key(int key, char *text, struct argp_state *state);

static const struct argp parser = {
	.options = options_known,
	.parser = parse_key,
	.doc = "Lends this host's idle RAM to programs that run under libpager."
	       "\vExample: donord --size 4G --listen 0.0.0.0:7471\nManual: donord(8)",
};

struct parsing {
	struct donor_options *options;
	char *why; /* DONOR_WHY_BYTES; "" until something is wrong */
};

/* Keeps the first complaint: the later ones are often its consequences. */
static int PRINTF_LIKE(2, 3) complain(char *why, const char *fmt, ...)
{
	va_list args;

	if (*why)
		return -EINVAL;
	va_start(args, fmt);
	vsnprintf(why, DONOR_WHY_BYTES, fmt, args);
	va_end(args);
	return -EINVAL;
}

static int parse_slab_size(struct parsing *p, const char *text)
{
	uint64_t bytes;

	if (parse_size(text, &bytes) || bytes < SLAB_BYTES_MIN || bytes > SLAB_BYTES_MAX ||
	    (bytes & (bytes - 1)))
		return complain(p->why,
				"--slab-size %s: not a power of two from 1M to 64M, such as "
				"--slab-size 32M",
				text);
	p->options->slab_bytes = bytes;
	return 0;
}

static int parse_total_size(struct parsing *p, const char *text)
{
	if (parse_size(text, &p->options->size) || !p->options->size)
		return complain(p->why, "--size %s: not a size: " SIZE_HINT, text);
	return 0;
}

static int parse_listen(struct parsing *p, const char *text)
{
	struct donor_options *options = p->options;
	struct donor_address *address = &options->listen[options->listen_count];

	if (!strcmp(text, "none")) {
		options->listen_none = true;
		return 0;
	}
	if (options->listen_count == DONOR_MAX_LISTEN)
		return complain(p->why, "--listen %s: one too many: at most %d are possible", text,
				DONOR_MAX_LISTEN);
	/* Port 0 is read only where it is also the default. */
	if (parse_host_port(text, WIRE_DEFAULT_PORT, address->host, &address->port) &&
	    parse_host_port(text, 0, address->host, &address->port))
		return complain(p->why, "--listen %s: not an address: " LISTEN_HINT, text);
	options->listen_count++;
	return 0;
}

static int parse_local_socket(struct parsing *p, const char *text)
{
	struct donor_options *options = p->options;

	if (!strcmp(text, "none")) {
		options->local = DONOR_LOCAL_NONE;
		return 0;
	}
	if (!*text || strlen(text) >= sizeof(options->local_path))
		return complain(p->why,
				"--local-socket %s: a socket's path has 1 to %zu characters: "
				"give a shorter one, such as /run/donord.sock, or none",
				text, sizeof(options->local_path) - 1);
	options->local = DONOR_LOCAL_PATH;
	strcpy(options->local_path, text);
	return 0;
}

static int parse_rdma(struct parsing *p, const char *text)
{
	static const char *const names[] = {"auto", "off", "required"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(text, names[i])) {
			p->options->rdma = (enum donor_rdma)i;
			return 0;
		}
	}
	return complain(p->why, "--rdma %s: not one of auto, off, required", text);
}

static int parse_time(struct parsing *p, const char *name, const char *text, uint32_t *out)
{
	if (parse_duration_ms(text, out) || !*out)
		return complain(p->why,
				"--%s %s: not a time: give a number with ms, s or m, such as "
				"--%s 10s, at most a day",
				name, text, name);
	return 0;
}

static int parse_node(struct parsing *p, const char *text)
{
	uint64_t node;

	if (parse_number(text, 0, NODES_MAX, &node))
		return complain(p->why,
				"--numa-node %s: not the number of a node, such as --numa-node 0",
				text);
	p->options->numa_node = (int)node;
	return 0;
}

static int parse_max_sessions(struct parsing *p, const char *text)
{
	uint64_t n;

	if (parse_number(text, 1, SESSIONS_MAX, &n))
		return complain(p->why, "--max-sessions %s: not a number from 1 to %d", text,
				SESSIONS_MAX);
	p->options->max_sessions = (unsigned)n;
	return 0;
}

static int parse_log(struct parsing *p, const char *text)
{
	if (log_level_parse(text, &p->options->log_level))
		return complain(p->why, "--log %s: not one of debug, info, warn, error", text);
	return 0;
}

/* argp has only told that the word before state->next is no good. */
static int explain_bad_word(struct parsing *p, const struct argp_state *state)
{
	const char *word = state->next > 0 ? state->argv[state->next - 1] : "";
	const struct argp_option *option;

	for (option = options_known; option->name; option++) {
		if (!strncmp(word, "--", 2) && !strcmp(word + 2, option->name))
			return complain(p->why, "%s needs a value: %s %s; " SEE_HELP, word, word,
					option->arg);
	}
	return complain(p->why, "option %s is not known or not complete: " SEE_HELP, word);
}

NORETURN static void print_help(void)
{
	argp_help(&parser, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, "donord");
	exit(0);
}

NORETURN static void print_version(void)
{
	puts("donord " LIBPAGER_VERSION);
	exit(0);
}

static int parse_one(struct parsing *p, int key, const char *text)
{
	switch (key) {
	case KEY_HELP:
		print_help();
	case KEY_VERSION:
		print_version();
	case KEY_SIZE:
		return parse_total_size(p, text);
	case KEY_LISTEN:
		return parse_listen(p, text);
	case KEY_LOCAL_SOCKET:
		return parse_local_socket(p, text);
	case KEY_RDMA:
		return parse_rdma(p, text);
	case KEY_SLAB_SIZE:
		return parse_slab_size(p, text);
	case KEY_HUGE_PAGES:
		p->options->huge_pages = true;
		return 0;
	case KEY_NUMA_NODE:
		return parse_node(p, text);
	case KEY_LEASE:
		return parse_time(p, "lease", text, &p->options->lease_ms);
	case KEY_RENEW:
		return parse_time(p, "renew", text, &p->options->renew_ms);
	case KEY_MAX_SESSIONS:
		return parse_max_sessions(p, text);
	case KEY_LOG:
		return parse_log(p, text);
	case ARGP_KEY_ARG:
		return complain(p->why, "%s is not an option: " SEE_HELP, text);
	default:
		return -ENOSYS;
	}
}

static error_t parse_key(int key, char *text, struct argp_state *state)
{
	struct parsing *p = state->input;
	int err;

	if (key == ARGP_KEY_ERROR)
		err = explain_bad_word(p, state);
	else
		err = parse_one(p, key, text);
	return err == -ENOSYS ? ARGP_ERR_UNKNOWN : -err;
}

static int settle_times(struct donor_options *options, char *why)
{
	if (!options->renew_ms)
		options->renew_ms = options->lease_ms / 2;
	if (options->renew_ms < RENEW_MS_MIN)
		return complain(why,
				"--renew: %u ms is too short: at least %d ms are needed, and "
				"--lease must be longer",
				options->renew_ms, RENEW_MS_MIN);
	if (options->renew_ms >= options->lease_ms)
		return complain(why,
				"--renew must be shorter than --lease: %u ms and %u ms would end "
				"leases of clients that live",
				options->renew_ms, options->lease_ms);
	return 0;
}

static int settle_slabs(struct donor_options *options, char *why)
{
	uint64_t slabs = options->size / options->slab_bytes;
	char slab[HOST_BYTES_TEXT];

	host_bytes_text(options->slab_bytes, slab);
	if (!options->size)
		return complain(why, "--size is missing: " SIZE_HINT);
	if (!slabs)
		return complain(why,
				"--size %llu bytes is less than one slab of %s: lend more, or "
				"choose a smaller --slab-size",
				(unsigned long long)options->size, slab);
	if (slabs > UINT32_MAX / 2)
		return complain(why, "--size has too many slabs of %s: " SIZE_HINT, slab);
	if (options->huge_pages && options->slab_bytes < HOST_HUGE_BYTES)
		return complain(why, "--slab-size %s is less than a huge page of 2 MiB", slab);
	options->slabs = (unsigned)slabs;
	return 0;
}

static int settle_listen(struct donor_options *options, char *why)
{
	if (options->listen_none && options->listen_count)
		return complain(why, "--listen none and --listen with an address exclude each "
				     "other: leave one of them out");
	if (options->listen_none && options->rdma == DONOR_RDMA_REQUIRED)
		return complain(why, "--rdma required and --listen none exclude each other: give "
				     "an address that an RDMA device has");
	if (options->listen_none && options->local == DONOR_LOCAL_NONE)
		return complain(why, "--listen none and --local-socket none leave nobody to lend "
				     "to: leave one of them out");
	if (options->listen_none || options->listen_count)
		return 0;
	strcpy(options->listen[0].host, "127.0.0.1");
	options->listen[0].port = WIRE_DEFAULT_PORT;
	options->listen_count = 1;
	return 0;
}

static int settle(struct donor_options *options, char *why)
{
	if (settle_slabs(options, why) || settle_times(options, why) || settle_listen(options, why))
		return -EINVAL;
	return 0;
}

int donor_options_parse(int argc, char **argv, struct donor_options *out, char why[DONOR_WHY_BYTES])
{
	struct donor_options options = {
		.slab_bytes = SLAB_BYTES_DEFAULT,
		.numa_node = HOST_NO_NODE,
		.lease_ms = LEASE_MS_DEFAULT,
		.max_sessions = SESSIONS_DEFAULT,
		.log_level = LOG_INFO,
	};
	struct parsing parsing = {&options, why};

	why[0] = '\0';
	/* Its own complaints take several lines and do not say what was expected. */
	if (argp_parse(&parser, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &parsing))
		return complain(why, "the command line cannot be read: " SEE_HELP);
	if (settle(&options, why))
		return -EINVAL;
	*out = options;
	return 0;
}
