/* Attacks by number: connections that come and go, say nothing, or stay. */
#include "tests/integration/hostile.h"

#include "common/base/clock.h"
#include "common/transport/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* How far a connection gets before it goes silent or away. */
enum stage {
	STAGE_NOTHING,
	STAGE_PART_OF_MAGIC,
	STAGE_CONTROL_MAGIC,
	STAGE_PART_OF_HELLO,
	STAGE_DATA_MAGIC,
	STAGE_PART_OF_TOKEN,
	STAGES,
};

static void reach_stage(int fd, enum door door, enum stage stage)
{
	uint32_t data_magic = door == DOOR_TCP ? TP_TCP_MAGIC : TP_SHM_MAGIC;
	static const uint8_t header[] = {34, 0, 0, 0, WIRE_HELLO, 0, 0, 0, 'L', 'P'};
	static const uint8_t token[10] = {FRAME_VERSION};
	bool is_taken = true;

	/* In a crowd, the donor may close any of them at any moment. */
	if (stage == STAGE_PART_OF_MAGIC)
		is_taken = say(fd, "LP", 2);
	if (stage == STAGE_CONTROL_MAGIC || stage == STAGE_PART_OF_HELLO)
		is_taken = say(fd, "LPCR", 4);
	if (stage == STAGE_DATA_MAGIC || stage == STAGE_PART_OF_TOKEN)
		is_taken = say(fd, &(uint32_t){htole32(data_magic)}, 4);
	if (is_taken && stage == STAGE_PART_OF_HELLO)
		is_taken = say(fd, header, sizeof(header));
	if (is_taken && stage == STAGE_PART_OF_TOKEN)
		is_taken = say(fd, token, sizeof(token));
	must(is_taken || errno == EPIPE || errno == ECONNRESET, "stage %u: %s", stage,
	     strerror(errno));
}

/* Every other one ends with a reset; over both doors, at every stage. */
void churn(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		enum door door = i % DOORS;
		int fd = knock(door);

		reach_stage(fd, door, i / DOORS % STAGES);
		if (i & 2)
			slam(fd);
		else
			close(fd);
	}
}

/* Room for so many connections, and the right to have them. */
static int *crowd_alloc(unsigned count)
{
	const struct rlimit limit = {count + 64, count + 64};
	int *fds = calloc(count, sizeof(*fds));

	if (!fds)
		die("no memory");
	must(!setrlimit(RLIMIT_NOFILE, &limit), "%u descriptors: %s", count, strerror(errno));
	return fds;
}

static void be_served(enum door door)
{
	struct visit visit;

	visit_begin(&visit, door);
	visit_lease(&visit);
	visit_renew(&visit);
	visit_end(&visit);
}

/* Connections that stop at some stage are all closed; whoever speaks meanwhile is heard. */
void silence(unsigned count)
{
	int *fds = crowd_alloc(count);
	uint64_t start = clock_ns();

	for (unsigned i = 0; i < count; i++) {
		enum door door = i % DOORS;

		fds[i] = knock(door);
		reach_stage(fds[i], door, i / DOORS % STAGES);
	}
	be_served(DOOR_TCP);
	be_served(DOOR_LOCAL);
	for (unsigned i = 0; i < count; i++)
		must_be_closed(fds[i], PATIENT_MS, "one that says nothing");
	printf("%u silent ones closed within %.1f s\n", count, (double)(clock_ns() - start) / 1e9);
	free(fds);
}

/* Sessions that stay and want nothing, more than are allowed: those are told, the others live. */
void hoard(unsigned count)
{
	struct wire_message message;
	int *fds = crowd_alloc(count);
	unsigned welcome = 0, busy = 0;

	for (unsigned i = 0; i < count; i++) {
		fds[i] = knock(i % DOORS);
		say_hello(fds[i], WIRE_VERSION, WIRE_VERSION);
		hear_message(fds[i], &message);
		if (message.type == WIRE_WELCOME)
			welcome++;
		else if (message.type == WIRE_ERROR && message.error.code == WIRE_E_BUSY)
			busy++;
	}
	must(welcome > 0 && busy > 0 && welcome + busy == count, "%u welcome, %u turned away",
	     welcome, busy);
	printf("%u sessions, %u turned away\n", welcome, busy);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
}

/* Descriptors sent along with what we say must not become the donor's. */
void stray_descriptors(unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char bytes[] = "LPCRLPCR";
	struct iovec iov = {bytes, sizeof(bytes)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	const int mine = STDIN_FILENO;

	for (unsigned i = 0; i < count; i++) {
		int fd = knock(DOOR_LOCAL);
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(mine));
		memcpy(CMSG_DATA(cmsg), &mine, sizeof(mine));
		must(sendmsg(fd, &message, MSG_NOSIGNAL) == sizeof(bytes), "not taken");
		/* Half of them stay until the donor has read them and refused. */
		if (i & 1)
			hear_refusal(fd, WIRE_E_PROTOCOL, "");
		else
			close(fd);
	}
}
