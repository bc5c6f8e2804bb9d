#include "tests/contract/contract.h"
#include "tests/xorshift.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 3u
#define CONNS 2u /* a thread */
#define ROUNDS 4000u
#define BLOCKS 32u
#define BLOCK_BYTES (DONOR_SLAB_BYTES / BLOCKS)

/* A piece of remote memory that holds the pattern of its version; one request at a time. */
struct block {
	uint64_t version;
	uint32_t bytes; /* of the pattern; 0: nothing written yet */
	enum tp_op op;	/* in flight */
	bool busy;
	uint8_t local[BLOCK_BYTES];
};

/* A slab of its own, all connections of the thread go there. */
struct worker {
	const struct donor *donor;
	unsigned slab;
	uint64_t random;
	unsigned errors, completed, in_flight[CONNS];
	struct client clients[CONNS];
	struct block blocks[BLOCKS];
};

static uint64_t next_random(struct worker *worker)
{
	return xorshift_next(&worker->random);
}

static uint32_t random_size(struct worker *worker)
{
	uint64_t r = next_random(worker);

	return 1 + (uint32_t)(r % (r & 0x100000 ? BLOCK_BYTES : 4096));
}

static void prepare(struct worker *worker, unsigned at, struct tp_request *request)
{
	struct block *block = &worker->blocks[at];

	block->busy = true;
	block->op = block->bytes && next_random(worker) % 2 ? TP_READ : TP_WRITE;
	if (block->op == TP_WRITE) {
		block->version = next_random(worker);
		block->bytes = random_size(worker);
		pattern_fill(block->local, block->bytes, block->version);
	} else {
		memset(block->local, 0, block->bytes);
	}
	*request = (struct tp_request){
		.op = block->op,
		.offset = at * BLOCK_BYTES,
		.local = block->local,
		.bytes = block->bytes,
		.cookie = at,
	};
}

static void post_some(struct worker *worker, unsigned conn)
{
	struct client *client = &worker->clients[conn];
	struct tp_request batch[BLOCKS];
	unsigned i, n = 0, most = 1 + (unsigned)(next_random(worker) % BLOCKS);
	int accepted;

	for (i = 0; i < BLOCKS && n < most; i++) {
		if (worker->blocks[i].busy)
			continue;
		prepare(worker, i, &batch[n]);
		batch[n++].handle = client->handles[worker->slab];
	}
	accepted = tp_post(client->conn, batch, n);
	if (accepted < 0) {
		worker->errors++;
		accepted = 0;
	}
	worker->in_flight[conn] += (unsigned)accepted;
	/* Not accepted: a WRITE did not happen, so nothing is known to be there. */
	for (i = (unsigned)accepted; i < n; i++) {
		struct block *block = &worker->blocks[batch[i].cookie];

		block->busy = false;
		block->bytes = block->op == TP_WRITE ? 0 : block->bytes;
	}
}

static void take_some(struct worker *worker, unsigned conn)
{
	struct tp_completion done[BLOCKS];
	int i, n = tp_poll(worker->clients[conn].conn, done, BLOCKS);

	for (i = 0; i < n; i++) {
		struct block *block = &worker->blocks[done[i].cookie];

		if (done[i].status || !block->busy ||
		    !pattern_matches(block->local, block->bytes, block->version))
			worker->errors++;
		block->busy = false;
		worker->completed++;
		worker->in_flight[conn]--;
	}
}

static bool finished(const struct worker *worker)
{
	unsigned i;

	for (i = 0; i < CONNS; i++) {
		if (worker->in_flight[i])
			return false;
	}
	return worker->completed >= ROUNDS;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	unsigned i;

	for (i = 0; i < CONNS; i++) {
		client_open(&worker->clients[i], worker->donor, 0, 16);
		if (tp_register(worker->clients[i].tp, worker->blocks, sizeof(worker->blocks)))
			worker->errors++;
	}
	for (i = 0; !finished(worker) && !worker->errors; i++) {
		if (worker->completed < ROUNDS)
			post_some(worker, i % CONNS);
		take_some(worker, i % CONNS);
		if (worker->in_flight[i % CONNS] == 0 || i % 64)
			continue;
		sched_yield();
	}
	for (i = 0; i < CONNS; i++)
		client_close(&worker->clients[i]);
	return NULL;
}

void threads_and_connections_read_what_they_wrote(void)
{
	struct donor *donor = donor_start(contract_variant->kind, DONOR_THREAD);
	struct worker *workers = calloc(THREADS, sizeof(*workers));
	pthread_t threads[THREADS];
	unsigned i;

	for (i = 0; i < THREADS; i++) {
		workers[i].donor = donor;
		workers[i].slab = i;
		workers[i].random = 88172645463325252u + i;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		CU_ASSERT_EQUAL(workers[i].errors, 0);
		CU_ASSERT(workers[i].completed >= ROUNDS);
	}
	free(workers);
	donor_stop(donor);
}
