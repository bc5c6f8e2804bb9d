/*
 * What a transport costs by itself, next to the floor of bench_floor: one JSON line a case. The
 * donor is a process on the other CPU; both spin where their code does. What is read is verified.
 *
 *	read-4k-spin    one page at a time, polled for without sleeping
 *	read-4k-sleep   the same, asleep until the socket is readable
 *	read-4k-cold    asleep, and after a pause that has put the donor to sleep as well
 *	…-64            64 requests in flight, time per request
 *	…-256k          the largest request, two in flight
 */
#include "common/base/clock.h"
#include "common/base/hist.h"
#include "common/base/parse.h"
#include "tests/bench/times.h"
#include "tests/contract/donor.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_IN_FLIGHT 64u
#define BUFFERS_BYTES ((size_t)MOST_IN_FLIGHT * TP_MAX_BYTES)
#define PAUSE_US 1000 /* ten times what a donor spins */

struct bench_case {
	const char *name;
	enum tp_op op;
	uint32_t bytes;
	unsigned in_flight;
	bool sleeps;
	unsigned pause_us; /* between requests, not counted */
};

static const struct bench_case cases[] = {
	{"read-4k-spin", TP_READ, 4096, 1, false, 0},
	{"read-4k-sleep", TP_READ, 4096, 1, true, 0},
	{"read-4k-cold", TP_READ, 4096, 1, true, PAUSE_US},
	{"write-4k-spin", TP_WRITE, 4096, 1, false, 0},
	{"read-4k-64", TP_READ, 4096, 64, false, 0},
	{"write-4k-64", TP_WRITE, 4096, 64, false, 0},
	{"read-256k", TP_READ, TP_MAX_BYTES, 2, false, 0},
	{"write-256k", TP_WRITE, TP_MAX_BYTES, 2, false, 0},
};

struct bench {
	const struct bench_case *what;
	struct donor *donor;
	struct tp_conn *conn;
	uint32_t handles[DONOR_SLABS];
	uint64_t random;
	uint64_t count, begun_ns[MOST_IN_FLIGHT], place[MOST_IN_FLIGHT];
	struct hist took_ns;
	uint8_t *buffers; /* BUFFERS_BYTES */
};

static NORETURN void fail(const char *what, int err)
{
	fprintf(stderr, "bench_transport: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void pin_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("a processor for the program and one for the donor are needed", -errno);
}

/* Every word of the donor's memory says where it is. */
static void fill(const struct donor *donor)
{
	unsigned slab;
	uint64_t i;

	for (slab = 0; slab < DONOR_SLABS; slab++) {
		uint64_t *words = (uint64_t *)(void *)donor_memory(donor, 0, slab);

		for (i = 0; i < DONOR_SLAB_BYTES / sizeof(*words); i++)
			words[i] = slab * DONOR_SLAB_BYTES + i;
	}
}

/*
 * Whole pages, as the engine's are, and there before time is taken: a copy between addresses that
 * differ by a few bytes modulo 4096 took ten times as long as one between pages.
 */
static uint8_t *buffers_new(void)
{
	void *buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (buffers == MAP_FAILED)
		fail("buffers", -errno);
	return buffers;
}

static uint8_t *buffer_of(const struct bench *bench, unsigned i)
{
	return bench->buffers + (size_t)i * TP_MAX_BYTES;
}

static uint64_t word_at(uint64_t place, uint64_t at)
{
	uint64_t offset = place % DONOR_SLAB_BYTES;

	return place - offset + (offset + at) / sizeof(uint64_t);
}

/* The words at both ends of each page: more would be measured, not the transport. */
static void verify(const struct bench *bench, unsigned i)
{
	const uint8_t *buffer = buffer_of(bench, i);
	uint64_t at, word;

	for (at = 0; at < bench->what->bytes; at += 4088 - at % 4096 ? 4088 - at % 4096 : 8) {
		memcpy(&word, buffer + at, sizeof(word));
		if (word != word_at(bench->place[i], at))
			fail("a wrong word was read", -EIO);
	}
}

static void prepare(struct bench *bench, unsigned i, struct tp_request *request)
{
	const struct bench_case *what = bench->what;
	uint64_t places = DONOR_SLABS * DONOR_SLAB_BYTES / what->bytes;

	bench->random = bench->random * 6364136223846793005u + 1442695040888963407u;
	bench->place[i] = (bench->random >> 33) % places * what->bytes;
	*request = (struct tp_request){
		.op = what->op,
		.handle = bench->handles[bench->place[i] / DONOR_SLAB_BYTES],
		.offset = bench->place[i] % DONOR_SLAB_BYTES,
		.local = buffer_of(bench, i),
		.bytes = what->bytes,
		.cookie = i,
	};
	bench->begun_ns[i] = clock_ns();
}

static void post(struct bench *bench, const struct tp_request *batch, unsigned n)
{
	int posted = tp_post(bench->conn, batch, n);

	if (posted != (int)n)
		fail("post", posted < 0 ? posted : -ENOBUFS);
}

static unsigned collect(struct bench *bench, struct tp_completion *done)
{
	struct pollfd pfd;
	int n;

	while ((n = tp_poll(bench->conn, done, MOST_IN_FLIGHT)) == 0) {
		if (bench->what->sleeps && tp_arm(bench->conn, &pfd.fd, &pfd.events) == 0)
			(void)poll(&pfd, 1, 1000);
	}
	if (n < 0)
		fail("poll", n);
	return (unsigned)n;
}

static void finish(struct bench *bench, const struct tp_completion *done)
{
	unsigned i = (unsigned)done->cookie;

	if (done->status)
		fail("completion", done->status);
	hist_add(&bench->took_ns, clock_ns() - bench->begun_ns[i]);
	bench->count++;
	if (bench->what->op == TP_READ)
		verify(bench, i);
}

static unsigned finish_some(struct bench *bench, struct tp_completion *done)
{
	unsigned i, n = collect(bench, done);

	for (i = 0; i < n; i++)
		finish(bench, &done[i]);
	return n;
}

/* Pauses if the case does; returns for how long. */
static uint64_t pause_between(const struct bench *bench)
{
	uint64_t before = clock_ns();

	if (!bench->what->pause_us)
		return 0;
	usleep(bench->what->pause_us);
	return clock_ns() - before;
}

/* Keeps in_flight requests in flight until the time is over. Returns how long it took. */
static uint64_t run(struct bench *bench, uint64_t run_ns)
{
	struct tp_request batch[MOST_IN_FLIGHT];
	struct tp_completion done[MOST_IN_FLIGHT];
	uint64_t start = clock_ns(), paused_ns = 0;
	unsigned i, n = bench->what->in_flight;

	for (i = 0; i < n; i++)
		prepare(bench, i, &batch[i]);
	post(bench, batch, n);
	while (clock_ns() - start < run_ns) {
		n = finish_some(bench, done);
		paused_ns += pause_between(bench);
		for (i = 0; i < n; i++)
			prepare(bench, (unsigned)done[i].cookie, &batch[i]);
		post(bench, batch, n);
	}
	/* What is in flight at the end would write into the memory of the next case. */
	for (n = 0; n < bench->what->in_flight;)
		n += finish_some(bench, done);
	return clock_ns() - start - paused_ns;
}

static struct tp *connect_to(struct bench *bench, enum tp_kind kind)
{
	const struct tp_target target = donor_target(bench->donor, 0);
	struct tp *tp;
	unsigned i;
	int err;

	err = tp_open(kind, NULL, &tp);
	if (err)
		fail("open", err);
	err = tp_connect(tp, &target, &bench->conn);
	for (i = 0; i < DONOR_SLABS && !err; i++) {
		const struct tp_remote remote = donor_remote(bench->donor, 0, i);

		err = tp_attach(bench->conn, &remote, &bench->handles[i]);
	}
	if (err)
		fail("connect", err);
	return tp;
}

static void print_case(const struct bench *bench, enum tp_kind kind, uint64_t took)
{
	printf("{\"under\": \"transport\", \"transport\": \"%s\", \"case\": \"%s\"",
	       tp_kind_name(kind), bench->what->name);
	printf(", \"ns_per_op\": %.1f", (double)took / (double)bench->count);
	printf(", \"mib_per_s\": %.0f",
	       (double)bench->count * bench->what->bytes / 1048576.0 / ((double)took / 1e9));
	times_print("latency", &bench->took_ns);
	printf("}\n");
}

static void run_case(struct donor *donor, enum tp_kind kind, const struct bench_case *what,
		     uint64_t run_ns)
{
	struct bench bench = {.what = what, .donor = donor, .random = 1};
	struct tp *tp;

	fill(donor);
	bench.buffers = buffers_new();
	tp = connect_to(&bench, kind);
	print_case(&bench, kind, run(&bench, run_ns));
	tp_disconnect(bench.conn);
	tp_close(tp);
	munmap(bench.buffers, BUFFERS_BYTES);
}

int main(int argc, char **argv)
{
	static const enum tp_kind kinds[] = {TP_SHM, TP_TCP};
	uint32_t i, j, ms = 500;

	if (argc > 2 || (argc > 1 && parse_duration_ms(argv[1], &ms))) {
		fprintf(stderr, "usage: bench_transport [TIME]\n");
		return 1;
	}
	for (i = 0; i < ARRAY_LEN(kinds); i++) {
		struct donor *donor;

		/* The donor inherits the CPU it is started on. */
		pin_to(1);
		donor = donor_start(kinds[i], DONOR_PROCESS);
		pin_to(0);
		for (j = 0; j < ARRAY_LEN(cases); j++)
			run_case(donor, kinds[i], &cases[j], ms * 1000000ull);
		donor_stop(donor);
	}
	return 0;
}
