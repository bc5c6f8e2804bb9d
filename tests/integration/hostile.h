/*
 * Attacks on a donor, for prog_hostile.c, and the small talk they are made of. One attack a
 * process: whatever is not as it must be ends it with one line, so nothing here returns an error.
 */
#ifndef TESTS_INTEGRATION_HOSTILE_H
#define TESTS_INTEGRATION_HOSTILE_H

#include "common/base/compiler.h"
#include "common/transport/transport.h"
#include "common/wire/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer than any patience of the donor's, so that being late is told from never. */
#define PATIENT_MS 20000
/* For what a donor does at once. On a machine that does much else, too. */
#define AT_ONCE_MS 3000

/* ---- talk: hostile_talk.c ---- */

enum door { DOOR_TCP, DOOR_LOCAL, DOORS };

/* Where the donor is. Once, before everything else. */
void target_set(const char *port, const char *path);

NORETURN void die(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Dies unless it is so. */
void must(bool is_so, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same numbers in every run. */
uint64_t random_next(void);

/* A connected blocking socket. */
int knock(enum door door);
/* Closes it without a farewell: the peer sees a reset. */
void slam(int fd);

/* False if the donor has closed it. */
bool say(int fd, const void *bytes, size_t len);
void say_message(int fd, const struct wire_message *message);
void say_magic(int fd, uint32_t magic);
void say_hello(int fd, unsigned low, unsigned high);

/* All of it, or dies. */
void hear(int fd, void *out, size_t len);
/* The next message, or dies. */
void hear_message(int fd, struct wire_message *out);
/* Dies unless it is an ERROR of that code, with the text in it, and the end. */
void hear_refusal(int fd, enum wire_error_code code, const char *text);
/* Reads away what comes; whether the donor closes it within the time. */
bool is_closed_within(int fd, int ms);
/* And closes it here. */
void must_be_closed(int fd, int ms, const char *what);

struct visit {
	int fd; /* control */
	enum door door;
	struct wire_welcome welcome;
};

/* A session, as a good client opens it. */
void visit_begin(struct visit *visit, enum door door);
void visit_end(struct visit *visit);
uint64_t visit_lease(struct visit *visit);
void visit_return(struct visit *visit, uint64_t key);
void visit_renew(struct visit *visit);

/* A data connection whose hello says this; returns what the donor answered in *status. */
int data_knock(enum door door, uint16_t version, const uint8_t *token, unsigned *status);
/* One that is welcome. */
int data_open(const struct visit *visit, enum door door);

/* ---- attacks; count: how often, or how many ---- */

/* hostile_control.c */
void garbage(unsigned count);
void truncation(unsigned count);
void oversize(unsigned count);
void versions(unsigned count);
void out_of_turn(unsigned count);
void greed(unsigned count);
void foreign_returns(unsigned count);
void deaf_control(unsigned count);
void bad_names(unsigned count);

/* hostile_data.c */
void tokens(unsigned count);
void bounds(unsigned count);
void bad_requests(unsigned count);
void foreign_keys(unsigned count);
void half_writes(unsigned count);
void deaf_reader(unsigned count);
void slow_sender(unsigned count);
void shm_questions(unsigned count);

/* hostile_crowd.c */
void churn(unsigned count);
void silence(unsigned count);
void hoard(unsigned count);
void stray_descriptors(unsigned count);

#endif
