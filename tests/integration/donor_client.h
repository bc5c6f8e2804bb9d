/*
 * A session with donord, and what prog_donor_client.c can do with it: each command takes its
 * argument or NULL, prints a line and returns 0, or a negative errno.
 */
#ifndef TESTS_INTEGRATION_DONOR_CLIENT_H
#define TESTS_INTEGRATION_DONOR_CLIENT_H

#include "common/base/compiler.h"
#include "common/transport/transport.h"
#include "common/wire/channel.h"

#include <stdint.h>

#define PATIENCE_NS (10ull * 1000000000)
#define MAX_KEYS 4096

struct client {
	const char *where;
	struct channel channel;
	struct wire_welcome welcome;
	uint32_t requests;
	unsigned count;
	struct tp_remote slabs[MAX_KEYS]; /* oldest first */
	uint64_t names[MAX_KEYS]; /* what is written there begins with: the key when it was new */
	uint32_t handles[MAX_KEYS];
	unsigned attached; /* the first so many have handles */
	struct tp *tp;
	struct tp_conn *conn;
};

/* A connection of its own: the descriptor. */
int client_dial(const char *where) MUST_CHECK;
int client_open(struct client *client, const char *where) MUST_CHECK;

/* Waits for a message of this type; anything else is said. */
int client_await(struct client *client, uint16_t type, struct wire_message *out) MUST_CHECK;
int client_greet(struct client *client) MUST_CHECK;
int client_renew(struct client *client, struct wire_message *message) MUST_CHECK;
/* One more lease. */
void client_keep(struct client *client, const struct wire_slab *slab);

/* donor_client_control.c */
int do_hello(struct client *client, const char *versions);
int do_ask(struct client *client, const char *number);
int do_lease(struct client *client, const char *number);
int do_return(struct client *client, const char *number);
int do_renew(struct client *client, const char *unused);
int do_expect(struct client *client, const char *unused);
int do_bye(struct client *client, const char *unused);

/* donor_client_data.c */
int do_data(struct client *client, const char *kind_name);
int do_zeros(struct client *client, const char *unused);
int do_write(struct client *client, const char *unused);
int do_check(struct client *client, const char *unused);
int do_thief(struct client *client, const char *unused);

#endif
