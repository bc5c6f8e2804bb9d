#include "tests/contract/hostile.h"

#include "common/base/clock.h"
#include "common/transport/dial.h"
#include "common/transport/frame.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

const struct variant hostile_shm = {"shm", TP_SHM, false}, hostile_tcp = {"tcp", TP_TCP, false};

uint64_t hostile_soon(void)
{
	return clock_ns() + PATIENCE_MS * 1000000ull;
}

struct donor *hostile_donor(const struct variant *variant)
{
	contract_variant = variant;
	return donor_start(variant->kind, DONOR_THREAD);
}

uint32_t hostile_magic(void)
{
	return contract_variant->kind == TP_SHM ? TP_SHM_MAGIC : TP_TCP_MAGIC;
}

int hostile_session(const struct donor *donor)
{
	const struct tp_target target = donor_target(donor, 0);
	int fd = donor_dial(donor);

	CU_ASSERT_EQUAL_FATAL(dial_hello(fd, hostile_magic(), target.token, hostile_soon()), 0);
	return fd;
}

void hostile_send(int fd, const void *bytes, size_t len)
{
	int err = dial_send(fd, bytes, len, hostile_soon());

	CU_ASSERT(err == 0 || err == -ECONNRESET);
}

void hostile_check_hung_up(int fd)
{
	uint8_t byte;

	CU_ASSERT_EQUAL(dial_receive(fd, &byte, 1, hostile_soon()), -ECONNRESET);
	close(fd);
}

void hostile_check_others(const struct donor *donor)
{
	struct client client;
	static uint8_t out[HOSTILE_BLOCK] REGISTERED, in[HOSTILE_BLOCK] REGISTERED;

	client_open(&client, donor, 1, 0);
	pattern_fill(out, HOSTILE_BLOCK, 4);
	CU_ASSERT_EQUAL(client_do(&client, TP_WRITE, 0, 0, out, HOSTILE_BLOCK), 0);
	CU_ASSERT_EQUAL(client_do(&client, TP_READ, 0, 0, in, HOSTILE_BLOCK), 0);
	CU_ASSERT(pattern_matches(in, HOSTILE_BLOCK, 4));
	client_close(&client);
}

unsigned hostile_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

unsigned hostile_descriptors_at_rest(struct donor *donor)
{
	uint64_t deadline = hostile_soon();

	while (donor_stats(donor).connections && clock_ns() < deadline)
		usleep(1000);
	return hostile_descriptors();
}

bool hostile_descriptors_become(unsigned want)
{
	uint64_t deadline = hostile_soon();

	while (hostile_descriptors() != want && clock_ns() < deadline)
		usleep(1000);
	return hostile_descriptors() == want;
}
