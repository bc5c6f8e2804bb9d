/*
 * A real donord as a process of its own, for tests of those who borrow from it: any free port of
 * 127.0.0.1 and a Unix socket in a directory of its own. The program is the environment's DONORD,
 * or the one built beside the tests. It does not outlive the test program.
 */
#ifndef TESTS_CONTRACT_LENDER_H
#define TESTS_CONTRACT_LENDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lender {
	pid_t pid; /* 0: not running */
	uint16_t port;
	char dir[64];	  /* removed by lender_stop() */
	char path[96];	  /* its Unix socket */
	char address[32]; /* "127.0.0.1:PORT" */
	char local[112];  /* "unix:PATH" */
};

struct lender_options {
	const char *size;	   /* "64M" if NULL */
	const char *slab;	   /* "1M" if NULL */
	const char *lease, *renew; /* donord's own if NULL */
	uint16_t port;		   /* 0: any */
	bool is_remote;		   /* has no Unix socket */
};

/* Waits until it is ready; ends the test program if it does not get so far. */
void lender_start(struct lender *lender, const struct lender_options *options);
/* SIGKILL, SIGSTOP, SIGTERM, … After SIGKILL it is waited for. */
void lender_signal(struct lender *lender, int signal);
/* Ends it, if it still runs, and cleans up. */
void lender_stop(struct lender *lender);

/* A port of 127.0.0.1 on which nobody listens. */
uint16_t lender_free_port(void);

#endif
