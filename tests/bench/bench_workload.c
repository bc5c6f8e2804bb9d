/*
 * The measured program: it fills memory, goes over it in one of a few orders, checks what it reads,
 * and prints one JSON line. It knows nothing of libpager or of swap: what is measured is whatever
 * it is run under.
 *
 *	fill ── every page written once, each thread its own part
 *	sweep ── the same once more in sequence, reading (if wanted): all has been out once, sooner
 *	warm ── the order that will be measured, until the memory under it is in a steady state
 *	measure ── each access timed: the first touch of the page, which is where a fault would be
 *	check ── every word of every page, not timed
 *
 * Exit status: 0; 1 for wrong usage or no memory; 3 when a page is not what was written to it.
 */
#include "common/base/clock.h"
#include "common/base/hist.h"
#include "common/base/parse.h"
#include "tests/bench/content.h"
#include "tests/bench/times.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_THREADS 64
#define WRONG_STATUS 3

struct worker;

struct order {
	const char *name;
	uint64_t (*next)(struct worker *worker);
	/* Does the access and checks it; returns when the page was there, in ns. */
	uint64_t (*visit)(struct worker *worker, uint64_t page);
};

struct plan {
	const struct order *order;
	uint64_t bytes, pages;
	uint64_t threads;
	uint64_t ops;		  /* per thread; 0: until the time is over */
	uint64_t warm_ms, run_ms; /* warm_ms counts also where ops are given */
	uint64_t sweeps;	  /* before warming up */
	uint64_t slow_ns;	  /* from here on an access counts as slow */
	uint64_t seed;
	const char *label; /* printed as it is: what this ran under */

	uint64_t *words;    /* the memory under test */
	uint32_t *versions; /* of each page; written by the page's owner */
	pthread_barrier_t barrier;
};

struct worker {
	struct plan *plan;
	pthread_t thread;
	uint64_t first, count; /* pages of its own */
	uint64_t cursor;       /* of orders that go in sequence */
	uint64_t random;       /* state of next_random() */
	uint64_t checked;      /* pages */
	uint64_t begin_ns, end_ns, ops;
	struct hist all, slow;
};

/* ---- pages ---- */

static uint64_t *page_words(const struct plan *plan, uint64_t page)
{
	return plan->words + page * CONTENT_WORDS;
}

static NORETURN void page_wrong(const struct plan *plan, uint64_t page)
{
	const uint64_t *words = page_words(plan, page);
	unsigned word = content_first_wrong(words, plan->seed, page, plan->versions[page]);

	fprintf(stderr, "bench_workload: page %llu, version %u: wrong from word %u on: %016llx\n",
		(unsigned long long)page, plan->versions[page], word,
		(unsigned long long)words[word % CONTENT_WORDS]);
	_exit(WRONG_STATUS);
}

static uint64_t next_random(struct worker *worker)
{
	return xorshift_next(&worker->random);
}

/* In [0, bound): the high half of the product, which needs no division. */
static uint64_t random_below(struct worker *worker, uint64_t bound)
{
	return (uint64_t)((unsigned __int128)next_random(worker) * bound >> 64);
}

/* ---- orders ---- */

static uint64_t next_anywhere(struct worker *worker)
{
	return random_below(worker, worker->plan->pages);
}

static uint64_t next_of_own(struct worker *worker)
{
	return worker->first + random_below(worker, worker->count);
}

static uint64_t next_in_sequence(struct worker *worker)
{
	uint64_t page = worker->first + worker->cursor;

	worker->cursor = worker->cursor + 1 < worker->count ? worker->cursor + 1 : 0;
	return page;
}

static uint64_t touch(const uint64_t *words)
{
	return __atomic_load_n(&words[CONTENT_VERSION_WORD], __ATOMIC_RELAXED);
}

static uint64_t visit_to_read_some(struct worker *worker, uint64_t page)
{
	const struct plan *plan = worker->plan;
	const uint64_t *words = page_words(plan, page);
	uint64_t version = touch(words);
	uint64_t there_ns = clock_ns();

	if (version != plan->versions[page] ||
	    !content_check_some(words, plan->seed, page, version, worker->random))
		page_wrong(plan, page);
	return there_ns;
}

static uint64_t visit_to_read_all(struct worker *worker, uint64_t page)
{
	const struct plan *plan = worker->plan;
	const uint64_t *words = page_words(plan, page);
	uint64_t there_ns;

	touch(words);
	there_ns = clock_ns();
	if (!content_check_sum(words, plan->seed, page, plan->versions[page]))
		page_wrong(plan, page);
	return there_ns;
}

/* The first touch is a write: a fault that finds out only later that it had to write costs twice.
 */
static uint64_t visit_to_write(struct worker *worker, uint64_t page)
{
	struct plan *plan = worker->plan;
	uint64_t *words = page_words(plan, page);
	uint32_t old = plan->versions[page];
	uint64_t found = __atomic_exchange_n(&words[CONTENT_VERSION_WORD], (uint64_t)old + 1,
					     __ATOMIC_RELAXED);
	uint64_t there_ns = clock_ns();

	if (found != old || !content_check_some(words, plan->seed, page, old, worker->random))
		page_wrong(plan, page);
	content_update(words, plan->seed, page, old, (uint64_t)old + 1);
	plan->versions[page] = old + 1;
	return there_ns;
}

static const struct order orders[] = {
	{"random-read", next_anywhere, visit_to_read_some},
	{"random-write", next_of_own, visit_to_write},
	{"sequential-read", next_in_sequence, visit_to_read_all},
};

static const struct order *order_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(orders); i++)
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	return NULL;
}

/* ---- phases ---- */

static void fill(struct worker *worker)
{
	struct plan *plan = worker->plan;

	for (uint64_t page = worker->first; page < worker->first + worker->count; page++)
		content_fill(page_words(plan, page), plan->seed, page, 0);
}

static void sweep(struct worker *worker)
{
	for (uint64_t page = worker->first; page < worker->first + worker->count; page++)
		visit_to_read_all(worker, page);
	worker->checked += worker->count;
}

/* Until the ops are done (0: no bound) or the time is over (0: no bound). */
static void run(struct worker *worker, uint64_t ops, uint64_t time_ns)
{
	const struct order *order = worker->plan->order;
	uint64_t now = clock_ns();
	uint64_t done;

	worker->begin_ns = now;
	for (done = 0; (!ops || done < ops) && (!time_ns || now - worker->begin_ns < time_ns);
	     done++) {
		uint64_t page = order->next(worker);
		uint64_t took;

		now = clock_ns();
		took = order->visit(worker, page) - now;
		hist_add(&worker->all, took);
		if (took >= worker->plan->slow_ns)
			hist_add(&worker->slow, took);
	}
	worker->end_ns = clock_ns();
	worker->ops = done;
	worker->checked += done;
}

static void forget_times(struct worker *worker)
{
	memset(&worker->all, 0, sizeof(worker->all));
	memset(&worker->slow, 0, sizeof(worker->slow));
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct plan *plan = worker->plan;

	fill(worker);
	pthread_barrier_wait(&plan->barrier);
	for (uint64_t i = 0; i < plan->sweeps; i++)
		sweep(worker);
	if (plan->warm_ms)
		run(worker, 0, plan->warm_ms * 1000000);
	forget_times(worker);
	pthread_barrier_wait(&plan->barrier); /* filled and warm: main looks at its usage */
	pthread_barrier_wait(&plan->barrier);
	run(worker, plan->ops, plan->ops ? 0 : plan->run_ms * 1000000);
	pthread_barrier_wait(&plan->barrier);
	return NULL;
}

static uint64_t check_all(const struct plan *plan)
{
	for (uint64_t page = 0; page < plan->pages; page++)
		if (content_first_wrong(page_words(plan, page), plan->seed, page,
					plan->versions[page]) != CONTENT_WORDS)
			page_wrong(plan, page);
	return plan->pages;
}

/* ---- result ---- */

/* What the kernel counts as this program's own anonymous memory in RAM. */
static uint64_t resident_bytes(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *file = fopen("/proc/self/status", "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

struct result {
	struct hist all, slow;
	uint64_t ops, checked;
	double seconds, fill_seconds;
	uint64_t resident; /* at the end of the measurement */
	long major;	   /* faults that the kernel calls so: swap, not libpager */
};

static void print_result(const struct plan *plan, const struct result *result)
{
	double ops = (double)result->ops;

	printf("{\"under\": \"%s\", \"case\": \"%s\", \"threads\": %llu, \"bytes\": %llu",
	       plan->label, plan->order->name, (unsigned long long)plan->threads,
	       (unsigned long long)plan->bytes);
	printf(", \"ops\": %llu, \"seconds\": %.6f, \"fill_seconds\": %.6f",
	       (unsigned long long)result->ops, result->seconds, result->fill_seconds);
	printf(", \"ns_per_op\": %.1f, \"bytes_per_second\": %.0f",
	       result->seconds * 1e9 * (double)plan->threads / ops,
	       ops * (double)PAGE_BYTES / result->seconds);
	times_print("access", &result->all);
	times_print("slow", &result->slow);
	printf(", \"verified\": %llu, \"major_faults\": %ld, \"resident_bytes\": %llu}\n",
	       (unsigned long long)result->checked, result->major,
	       (unsigned long long)result->resident);
}

/* Hist and counts of all workers; the time from the first that began to the last that ended. */
static void sum_up(const struct worker *workers, uint64_t n, struct result *out)
{
	uint64_t begin_ns = UINT64_MAX, end_ns = 0;

	for (uint64_t i = 0; i < n; i++) {
		hist_merge(&out->all, &workers[i].all);
		hist_merge(&out->slow, &workers[i].slow);
		out->ops += workers[i].ops;
		out->checked += workers[i].checked;
		begin_ns = workers[i].begin_ns < begin_ns ? workers[i].begin_ns : begin_ns;
		end_ns = workers[i].end_ns > end_ns ? workers[i].end_ns : end_ns;
	}
	out->seconds = (double)(end_ns - begin_ns) / 1e9;
}

/* ---- the whole ---- */

static int plan_prepare(struct plan *plan)
{
	plan->pages = plan->bytes / PAGE_BYTES;
	plan->words = aligned_alloc(PAGE_BYTES, plan->pages * PAGE_BYTES);
	plan->versions = calloc(plan->pages, sizeof(*plan->versions));
	if (!plan->words || !plan->versions)
		return -ENOMEM;
	return -pthread_barrier_init(&plan->barrier, NULL, (unsigned)plan->threads + 1);
}

static void start_workers(struct plan *plan, struct worker *workers)
{
	uint64_t share = plan->pages / plan->threads;

	for (uint64_t i = 0; i < plan->threads; i++) {
		struct worker *worker = &workers[i];

		worker->plan = plan;
		worker->first = i * share;
		worker->count = i + 1 < plan->threads ? share : plan->pages - worker->first;
		worker->random = content_mix(plan->seed + i) | 1;
		if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
			fprintf(stderr, "bench_workload: no thread to be had\n");
			exit(1);
		}
	}
}

static void measure(struct plan *plan, struct worker *workers, struct result *out)
{
	uint64_t begin_ns = clock_ns();
	struct rusage before, after;

	start_workers(plan, workers);
	pthread_barrier_wait(&plan->barrier);
	out->fill_seconds = (double)(clock_ns() - begin_ns) / 1e9;
	pthread_barrier_wait(&plan->barrier);
	getrusage(RUSAGE_SELF, &before);
	pthread_barrier_wait(&plan->barrier);
	pthread_barrier_wait(&plan->barrier);
	getrusage(RUSAGE_SELF, &after);
	out->resident = resident_bytes();
	out->major = after.ru_majflt - before.ru_majflt;
	for (uint64_t i = 0; i < plan->threads; i++)
		pthread_join(workers[i].thread, NULL);
	sum_up(workers, plan->threads, out);
}

static NORETURN void usage(const char *why, const char *what)
{
	fprintf(stderr, "bench_workload: %s%s\n", why, what);
	fprintf(stderr, "usage: bench_workload --case random-read|random-write|sequential-read\n"
			"	[--bytes 256M] [--threads 1] [--time 2s | --ops N] [--warm 1s]\n"
			"	[--sweeps 0] [--slow NANOSECONDS] [--seed N] [--label TEXT]\n");
	exit(1);
}

static void set_option(struct plan *plan, int option, const char *text)
{
	uint32_t ms = 0;
	int err = 0;

	if (option == 'c')
		err = (plan->order = order_find(text)) ? 0 : -EINVAL;
	else if (option == 'b')
		err = parse_size(text, &plan->bytes);
	else if (option == 't')
		err = parse_number(text, 1, MAX_THREADS, &plan->threads);
	else if (option == 'o')
		err = parse_number(text, 1, UINT64_MAX, &plan->ops);
	else if (option == 's')
		err = parse_number(text, 0, UINT64_MAX, &plan->seed);
	else if (option == 'p')
		err = parse_number(text, 0, UINT64_MAX, &plan->sweeps);
	else if (option == 'n')
		err = parse_number(text, 1, UINT64_MAX, &plan->slow_ns);
	else if (option == 'l')
		plan->label = text;
	else
		err = parse_duration_ms(text, &ms);
	if (err)
		usage("cannot use ", text);
	if (option == 'r')
		plan->run_ms = ms;
	else if (option == 'w')
		plan->warm_ms = ms;
}

static void plan_read(struct plan *plan, int argc, char **argv)
{
	static const struct option options[] = {
		{"case", required_argument, NULL, 'c'},
		{"bytes", required_argument, NULL, 'b'},
		{"threads", required_argument, NULL, 't'},
		{"ops", required_argument, NULL, 'o'},
		{"time", required_argument, NULL, 'r'},
		{"warm", required_argument, NULL, 'w'},
		{"seed", required_argument, NULL, 's'},
		{"label", required_argument, NULL, 'l'},
		{"slow", required_argument, NULL, 'n'},
		{"sweeps", required_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			usage("see usage", "");
		set_option(plan, option, optarg);
	}
	if (optind < argc)
		usage("unexpected ", argv[optind]);
	if (!plan->order)
		usage("--case is missing", "");
	if (plan->bytes / PAGE_BYTES < plan->threads || (!plan->ops && !plan->run_ms))
		usage("nothing to do", "");
}

int main(int argc, char **argv)
{
	static struct plan plan = {.bytes = 256 << 20,
				   .threads = 1,
				   .run_ms = 2000,
				   .warm_ms = 1000,
				   .slow_ns = TIMES_SLOW_NS,
				   .seed = 1};
	static struct worker workers[MAX_THREADS];
	static struct result result;

	plan.label = "?";
	plan_read(&plan, argc, argv);
	if (plan_prepare(&plan)) {
		fprintf(stderr, "bench_workload: no memory for %llu bytes\n",
			(unsigned long long)plan.bytes);
		return 1;
	}
	measure(&plan, workers, &result);
	result.checked += check_all(&plan);
	print_result(&plan, &result);
	return 0;
}
