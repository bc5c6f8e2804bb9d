/*
 * One attack on a donor, from another process so that nothing of the donor's own code can be kind
 * to it:
 *
 *   prog_hostile PORT PATH ATTACK COUNT
 *
 * PORT of 127.0.0.1 and PATH are the donor's. Status 0 if it withstood, else 1 and a line why not.
 */
#include "tests/integration/hostile.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	void (*run)(unsigned count);
} attacks[] = {
	{"garbage", garbage},
	{"truncation", truncation},
	{"oversize", oversize},
	{"versions", versions},
	{"out_of_turn", out_of_turn},
	{"greed", greed},
	{"foreign_returns", foreign_returns},
	{"deaf_control", deaf_control},
	{"bad_names", bad_names},
	{"tokens", tokens},
	{"bounds", bounds},
	{"bad_requests", bad_requests},
	{"foreign_keys", foreign_keys},
	{"half_writes", half_writes},
	{"deaf_reader", deaf_reader},
	{"slow_sender", slow_sender},
	{"shm_questions", shm_questions},
	{"churn", churn},
	{"silence", silence},
	{"hoard", hoard},
	{"stray_descriptors", stray_descriptors},
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc != 5) {
		fprintf(stderr, "usage: prog_hostile PORT PATH ATTACK COUNT\n");
		return 2;
	}
	target_set(argv[1], argv[2]);
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		if (strcmp(attacks[i].name, argv[3]) == 0) {
			attacks[i].run((unsigned)strtoul(argv[4], NULL, 10));
			return 0;
		}
	}
	fprintf(stderr, "%s is no attack\n", argv[3]);
	return 2;
}
