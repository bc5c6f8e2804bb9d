/* The contract of common/transport/transport.h, for every transport there is. */
#include "tests/contract/contract.h"

#include <string.h>

static const struct suite_test tests[] = {
	SUITE_TEST(what_is_written_is_read),
	SUITE_TEST(every_size_and_alignment_goes_through),
	SUITE_TEST(every_request_completes_exactly_once),
	SUITE_TEST(a_full_queue_accepts_a_prefix),
	SUITE_TEST(posting_never_blocks_when_the_peer_does_not_read),
	SUITE_TEST(a_completed_write_is_seen_on_every_connection),
	SUITE_TEST(a_local_buffer_is_left_alone_after_completion),
	SUITE_TEST(nothing_is_allocated_after_connecting),
	SUITE_TEST(a_sleeper_is_woken),
	SUITE_TEST(no_wake_up_is_lost),
	SUITE_TEST(a_donor_at_rest_uses_no_cpu),
	SUITE_TEST(an_unknown_token_is_refused),
	SUITE_TEST(an_unknown_key_is_refused),
	SUITE_TEST(a_key_of_another_domain_is_refused),
	SUITE_TEST(what_ends_at_the_boundary_is_allowed),
	SUITE_TEST(what_crosses_the_boundary_is_refused),
	SUITE_TEST(the_donor_checks_what_the_client_believes),
	SUITE_TEST(sizes_out_of_range_are_refused),
	SUITE_TEST(a_handle_that_is_not_attached_is_refused),
	SUITE_TEST(a_refused_write_changes_nothing),
	SUITE_TEST(handles_can_be_detached_and_used_again),
	SUITE_TEST(attaching_goes_on_beside_requests),
	SUITE_TEST(a_killed_donor_completes_everything_once),
	SUITE_TEST(the_first_failure_cancels_the_rest),
	SUITE_TEST(an_idle_connection_notices_the_end),
	SUITE_TEST(a_sleeper_notices_the_end),
	SUITE_TEST(a_revoked_key_is_refused_in_mid_flight),
	SUITE_TEST(revoking_spares_what_is_not_revoked),
	SUITE_TEST(a_cut_ends_connections_and_spares_what_is_exported),
	SUITE_TEST(a_returned_key_ends_nothing),
	SUITE_TEST(closing_a_domain_ends_its_connections_only),
	SUITE_TEST(no_donor_is_an_error_in_time),
	SUITE_TEST(a_silent_donor_is_an_error_in_time),
	SUITE_TEST(disconnecting_in_mid_flight_is_allowed),
	SUITE_TEST(a_domain_has_a_bound_on_connections),
	SUITE_TEST(a_forked_child_can_keep_out_of_it),
	SUITE_TEST(threads_and_connections_read_what_they_wrote),
	SUITE_END,
};

static const struct variant variants[] = {
	{"transport over shm", TP_SHM, false},
	{"transport over tcp", TP_TCP, false},
	{"transport over tcp below flaky without faults", TP_TCP, true},
	{"transport over verbs", TP_VERBS, false},
};

/* The same tests, all inactive for this reason. */
static const struct suite_test *without(const char *reason)
{
	static struct suite_test inactive[ARRAY_LEN(tests)];

	memcpy(inactive, tests, sizeof(tests));
	suite_set_inactive(inactive, reason);
	return inactive;
}

static const struct suite_test *tests_of(const struct variant *variant)
{
	const char *why = variant->kind == TP_VERBS ? contract_no_verbs() : NULL;

	return why ? without(why) : tests;
}

/* An argument, such as "verbs", is the only kind that is wanted. */
int main(int argc, char **argv)
{
	int failed = 0;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(variants); i++) {
		if (argc > 1 && strcmp(argv[1], tp_kind_name(variants[i].kind)) != 0)
			continue;
		contract_variant = &variants[i];
		failed |= suite_run(variants[i].name, tests_of(&variants[i]));
	}
	return failed;
}
