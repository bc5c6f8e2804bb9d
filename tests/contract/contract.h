/*
 * What every transport promises (common/transport/transport.h), as tests that run for each of them:
 * shm, tcp, tcp below a flaky wrapper that has no faults, and verbs where there is a device. Here
 * are the helpers for the client's side and the tests by name; donor.h is the other side.
 */
#ifndef TESTS_CONTRACT_CONTRACT_H
#define TESTS_CONTRACT_CONTRACT_H

#include "common/transport/transport.h"
#include "tests/contract/donor.h"
#include "tests/suite.h"

struct variant {
	const char *name;
	enum tp_kind kind;
	bool flaky; /* wrapped, without faults */
};

/* The one the suite runs for now. */
extern const struct variant *contract_variant;

static inline bool contract_is_shm(void)
{
	return contract_variant->kind == TP_SHM;
}

/* Longest wait for what has to happen. Far more than it takes, for loaded machines. */
#define PATIENCE_MS 20000

struct client {
	struct tp *tp;
	struct tp_conn *conn;
	uint32_t handles[DONOR_SLABS]; /* all slabs of the domain */
};

/*
 * Memory that contract_open() registers: local buffers of requests have to lie in it, or the test
 * registers its own.
 */
#define REGISTERED __attribute__((section("contract_buffers"), aligned(64)))

/* Why there can be no tests over verbs here; NULL if there can. */
const char *contract_no_verbs(void);

/* Opens the client side of the variant; ends the program when it cannot. */
struct tp *contract_open(const struct tp_options *options);

/* A client with its own tp, connected, all slabs of the domain attached; depth 0 for the default.
 */
void client_open(struct client *client, const struct donor *donor, unsigned domain, unsigned depth);
void client_close(struct client *client);

/* Polls, sleeping in between, until `want` completions are there or the time is over. */
unsigned client_collect(struct tp_conn *conn, struct tp_completion *out, unsigned want,
			unsigned timeout_ms);

/* One request from post to completion: its status, or what tp_post() said. */
int client_do(struct client *client, enum tp_op op, unsigned slab, uint64_t offset, void *local,
	      uint32_t bytes);

/* Waits until tp_error() is not 0, polling; returns it. */
int client_await_error(struct tp_conn *conn);

/* Fills with bytes that depend on seed and position. */
void pattern_fill(void *to, size_t bytes, uint64_t seed);
bool pattern_matches(const void *from, size_t bytes, uint64_t seed);

/* promises.c */
void what_is_written_is_read(void);
void every_size_and_alignment_goes_through(void);
void every_request_completes_exactly_once(void);
void a_full_queue_accepts_a_prefix(void);
void posting_never_blocks_when_the_peer_does_not_read(void);
void a_completed_write_is_seen_on_every_connection(void);
void a_local_buffer_is_left_alone_after_completion(void);
void nothing_is_allocated_after_connecting(void);
void a_sleeper_is_woken(void);
void no_wake_up_is_lost(void);
void a_donor_at_rest_uses_no_cpu(void);

/* bounds.c */
void an_unknown_token_is_refused(void);
void an_unknown_key_is_refused(void);
void a_key_of_another_domain_is_refused(void);
void what_ends_at_the_boundary_is_allowed(void);
void what_crosses_the_boundary_is_refused(void);
void the_donor_checks_what_the_client_believes(void);
void sizes_out_of_range_are_refused(void);
void a_handle_that_is_not_attached_is_refused(void);
void a_refused_write_changes_nothing(void);
void handles_can_be_detached_and_used_again(void);
void attaching_goes_on_beside_requests(void);

/* ends.c */
void a_killed_donor_completes_everything_once(void);
void the_first_failure_cancels_the_rest(void);
void an_idle_connection_notices_the_end(void);
void a_sleeper_notices_the_end(void);
void disconnecting_in_mid_flight_is_allowed(void);
void a_revoked_key_is_refused_in_mid_flight(void);
void revoking_spares_what_is_not_revoked(void);
void a_cut_ends_connections_and_spares_what_is_exported(void);
void a_returned_key_ends_nothing(void);
void closing_a_domain_ends_its_connections_only(void);

/* connecting.c */
void no_donor_is_an_error_in_time(void);
void a_silent_donor_is_an_error_in_time(void);
void a_domain_has_a_bound_on_connections(void);
void a_forked_child_can_keep_out_of_it(void);

/* stress.c */
void threads_and_connections_read_what_they_wrote(void);

#endif
