#include "pager/attempt.h"

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/transport/dial.h"
#include "pager/attempt_data.h"
#include "pager/pins.h"
#include "pager/reason.h"
#include "pager/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The resolver's modules want some, and the thread's copy of the program's thread-local variables
 * comes out of it. Only what is touched costs memory. A guess. It is the C library's own mapping:
 * that may be adopted like any stack of the program (nobody who serves a fault waits for an
 * attempt), and is put right in a forked child.
 */
#define STACK_BYTES (2u << 20)

/* Bounds of what a donor may say of its slabs, from wire.h. */
#define LEAST_SLAB (UINT64_C(1) << 20)
#define MOST_SLAB (PAGE_BYTES << STORE_SLAB_SHIFT)

enum state { IDLE, WANTED, RUNNING, ENDED, DONE, ABANDONED };

int attempt_fail(struct attempt *attempt, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(attempt->why, sizeof(attempt->why), fmt, args);
	va_end(args);
	return err;
}

/* ---- control connection ---- */

static int contact(struct attempt *attempt)
{
	const struct config_donor *donor = attempt->donor;
	socklen_t len = sizeof(attempt->address);
	char reason[REASON_BYTES];
	int fd, err;

	if (donor->path[0])
		err = dial_unix(donor->path, attempt->deadline_ns, &fd);
	else
		err = dial_tcp(donor->host, donor->port, attempt->deadline_ns, &fd);
	if (err)
		return attempt_fail(attempt, err, "%s", reason_text(err, reason));
	channel_open(attempt->channel, fd);
	/* a name may have other addresses, and would be looked up again */
	if (getpeername(fd, (struct sockaddr *)&attempt->address, &len))
		attempt->address.ss_family = AF_UNSPEC;
	return 0;
}

/* The running kernel's identity; all zero, which equals nothing, if there is none. */
static void read_host_id(uint8_t out[WIRE_HOST_ID_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[40] = "", *at;
	unsigned digits = 0;

	memset(out, 0, WIRE_HOST_ID_BYTES);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	for (at = text; *at && digits < 2 * WIRE_HOST_ID_BYTES; at++) {
		const char *hex = "0123456789abcdef", *digit = strchr(hex, *at);

		if (!digit)
			continue;
		out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | (digit - hex));
		digits++;
	}
}

static int say_hello(struct attempt *attempt)
{
	struct wire_message message = {.type = WIRE_HELLO};
	struct wire_hello *hello = &message.hello;
	char reason[REASON_BYTES];
	int err;

	hello->version = WIRE_VERSION;
	hello->min_version = WIRE_VERSION;
	hello->pid = (uint32_t)getpid();
	read_host_id(attempt->host_id);
	memcpy(hello->host_id, attempt->host_id, sizeof(hello->host_id));
	snprintf(hello->name, sizeof(hello->name), "%s", program_invocation_short_name);
	err = channel_send_magic(attempt->channel);
	if (!err)
		err = channel_send(attempt->channel, &message);
	if (err)
		return attempt_fail(attempt, err, "%s", reason_text(err, reason));
	return 0;
}

static int refused(struct attempt *attempt, const struct wire_error *error)
{
	if (error->code == WIRE_E_VERSION)
		return attempt_fail(attempt, -EPROTO,
				    "it refuses protocol version %d, which we speak: %s",
				    WIRE_VERSION, error->text);
	return attempt_fail(attempt, -ECONNREFUSED, "it refuses: %s", error->text);
}

static int check_welcome(struct attempt *attempt)
{
	const struct wire_welcome *welcome = &attempt->welcome;
	uint64_t bytes = welcome->slab_bytes;

	if (welcome->version != WIRE_VERSION)
		return attempt_fail(attempt, -EPROTO,
				    "it speaks protocol version %u, and we version %d",
				    welcome->version, WIRE_VERSION);
	if (bytes < LEAST_SLAB || bytes > MOST_SLAB || (bytes & (bytes - 1)))
		return attempt_fail(attempt, -EPROTO, "it lends slabs of %llu bytes",
				    (unsigned long long)bytes);
	if (!welcome->renew_ms || welcome->renew_ms >= welcome->lease_ms)
		return attempt_fail(attempt, -EPROTO,
				    "it wants to hear every %u ms for leases of %u ms",
				    welcome->renew_ms, welcome->lease_ms);
	return 0;
}

static int await_welcome(struct attempt *attempt)
{
	struct wire_message message;
	char reason[REASON_BYTES];
	int err = channel_wait(attempt->channel, attempt->deadline_ns, &message);

	if (err == -ECONNRESET)
		return attempt_fail(attempt, err, "it hung up without a greeting");
	if (err < 0)
		return attempt_fail(attempt, err, "%s", reason_text(err, reason));
	if (message.type == WIRE_ERROR)
		return refused(attempt, &message.error);
	if (message.type != WIRE_WELCOME)
		return attempt_fail(attempt, -EPROTO, "%s", reason_text(-EPROTO, reason));
	attempt->welcome = message.welcome;
	return check_welcome(attempt);
}

/* ---- the whole ---- */

static int reach(struct attempt *attempt)
{
	bool is_remote = attempt->transport == CONFIG_TCP || attempt->transport == CONFIG_VERBS;
	int err;

	if (is_remote && attempt->donor->path[0])
		return attempt_fail(
			attempt, -EINVAL,
			"a Unix socket is of use over shm only, and the transport is %s",
			attempt->transport == CONFIG_TCP ? "tcp" : "verbs");
	err = contact(attempt);
	if (err)
		return err;
	attempt->greeted_ns = clock_ns();
	err = say_hello(attempt);
	if (!err)
		err = await_welcome(attempt);
	if (!err)
		err = attempt_connect_data(attempt);
	if (err)
		channel_close(attempt->channel);
	return err;
}

void attempt_undo(struct attempt *attempt)
{
	unsigned lane;

	if (attempt->err)
		return;
	pins_begin();
	for (lane = 0; lane < STORE_LANES; lane++) {
		tp_disconnect(attempt->conns[lane]);
		attempt->conns[lane] = NULL;
	}
	pins_end();
	if (attempt->mode == ATTEMPT_WHOLE)
		channel_close(attempt->channel);
}

void attempt_carry_out(struct attempt *attempt)
{
	bool is_whole = attempt->mode == ATTEMPT_WHOLE;
	uint32_t running = RUNNING;

	attempt->err = is_whole ? reach(attempt) : attempt_connect_again(attempt);
	if (atomic_compare_exchange_strong(&attempt->state, &running, is_whole ? ENDED : DONE))
		attempt->wake(attempt->arg);
	else
		attempt_undo(attempt);
}

static void *run(void *arg)
{
	thread_begin_errand();
	attempt_carry_out(arg);
	thread_end_errand();
	return NULL;
}

static int start_thread(struct attempt *attempt)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* a signal of the program's must not run on a thread it knows nothing of */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = FAULT_POINT() ? EAGAIN : pthread_create(&attempt->thread, &attr, run, attempt);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

static void clear(struct attempt *attempt)
{
	attempt->err = 0;
	attempt->why[0] = '\0';
	memset(attempt->conns, 0, sizeof(attempt->conns));
}

void attempt_prepare(struct attempt *attempt)
{
	clear(attempt);
	atomic_store(&attempt->state, RUNNING);
}

bool attempt_has_ended(const struct attempt *attempt)
{
	return atomic_load(&attempt->state) == ENDED;
}

void attempt_want(struct attempt *attempt)
{
	clear(attempt);
	attempt->mode = ATTEMPT_WHOLE;
	atomic_store(&attempt->state, WANTED);
	attempt->wake(attempt->arg);
}

/* False if there is no thread to be had. */
static bool start(struct attempt *attempt)
{
	char reason[REASON_BYTES];
	int err;

	atomic_store(&attempt->state, RUNNING);
	err = start_thread(attempt);
	if (err)
		attempt->err = attempt_fail(attempt, err, "%s", reason_text(err, reason));
	return !err;
}

bool attempt_attend(struct attempt *attempt)
{
	uint32_t state = atomic_load(&attempt->state);

	if (state != WANTED && state != ENDED)
		return false;
	if (state == ENDED)
		pthread_join(attempt->thread, NULL);
	else if (start(attempt))
		return false;
	atomic_store(&attempt->state, DONE);
	attempt->wake(attempt->arg);
	return true;
}

bool attempt_is_done(const struct attempt *attempt)
{
	return atomic_load(&attempt->state) == DONE;
}

void attempt_collect(struct attempt *attempt)
{
	atomic_store(&attempt->state, IDLE);
}

bool attempt_abandon(struct attempt *attempt)
{
	uint32_t state = RUNNING;

	if (atomic_compare_exchange_strong(&attempt->state, &state, ABANDONED)) {
		if (attempt->mode == ATTEMPT_WHOLE)
			pthread_detach(attempt->thread);
		return false;
	}
	if (state == ENDED)
		pthread_join(attempt->thread, NULL);
	if (state == ENDED || state == DONE)
		attempt_undo(attempt);
	atomic_store(&attempt->state, IDLE);
	return true;
}
