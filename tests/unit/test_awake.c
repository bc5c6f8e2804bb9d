#include "pager/awake.h"
#include "tests/suite.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define US 1000ull
#define MS 1000000ull
#define MANY 100u /* measurements */

/* What the engine has asked of the kernel lies in a file here. */
static struct awake awake;
static uint64_t now, faults;

static void begin(void)
{
	memset(&awake, 0, sizeof(awake));
	awake.fd = memfd_create("latency", MFD_CLOEXEC);
	CU_ASSERT_FATAL(awake.fd >= 0);
	now = 1000 * MS;
	faults = 0;
}

static void end(void)
{
	close(awake.fd);
}

/* The last request; -1 if there was none. */
static int32_t asked(void)
{
	off_t bytes = lseek(awake.fd, 0, SEEK_END);
	int32_t latency_us;

	if (bytes < (off_t)sizeof(latency_us))
		return -1;
	CU_ASSERT_EQUAL_FATAL(
		pread(awake.fd, &latency_us, sizeof(latency_us), bytes - (off_t)sizeof(latency_us)),
		sizeof(latency_us));
	return latency_us;
}

/* One turn of the control thread, a ms after the last one; `came` faults since then. */
static void turn(uint64_t wake_ns, uint64_t came)
{
	now += MS;
	faults += came;
	if (awake_measure(&awake, now))
		awake_note(&awake, now + wake_ns);
	awake_turn(&awake, faults, now);
}

static void turns(unsigned n, uint64_t wake_ns, uint64_t came)
{
	while (n--)
		turn(wake_ns, came);
}

static void nothing_is_asked_where_wake_ups_are_cheap(void)
{
	begin();
	turns(MANY, 8 * US, 50);
	CU_ASSERT_EQUAL(asked(), -1);
	CU_ASSERT_FALSE(awake.held);
	end();
}

static void a_late_one_now_and_then_decides_nothing(void)
{
	begin();
	for (unsigned i = 0; i < MANY; i++) {
		turn(300 * US, 50);
		turns(5, 5 * US, 50);
	}
	CU_ASSERT_EQUAL(asked(), -1);
	end();
}

static void dear_ones_are_ended_while_faults_come(void)
{
	begin();
	turns(10, 80 * US, 50);
	CU_ASSERT_TRUE(awake.held);
	CU_ASSERT_EQUAL(asked(), 0);
	end();
}

static void so_are_dear_ones_among_some_cheap_ones(void)
{
	begin();
	for (unsigned i = 0; i < 10; i++) {
		turn(80 * US, 50);
		turn(5 * US, 50);
	}
	CU_ASSERT_TRUE(awake.held);
	end();
}

static void nothing_is_asked_without_faults(void)
{
	begin();
	turns(MANY, 80 * US, 0);
	CU_ASSERT_EQUAL(asked(), -1);
	turns(MANY, 80 * US, 1); /* nor for a few */
	CU_ASSERT_EQUAL(asked(), -1);
	end();
}

static void it_is_taken_back_when_faults_cease_and_made_again(void)
{
	begin();
	turns(10, 80 * US, 50);
	turns(20, 80 * US, 0);
	CU_ASSERT_TRUE(awake.held); /* for a moment longer */
	turns(MANY, 80 * US, 0);
	CU_ASSERT_FALSE(awake.held);
	CU_ASSERT_EQUAL(asked(), 2000000000);
	turns(1, 80 * US, 50);
	CU_ASSERT_TRUE(awake.held);
	CU_ASSERT_EQUAL(asked(), 0);
	end();
}

static void measuring_ends_when_nothing_happens(void)
{
	unsigned asked_for = 0;

	begin();
	for (unsigned i = 0; i < MANY; i++) {
		now += MS;
		if (awake_measure(&awake, now)) {
			asked_for++;
			awake_note(&awake, now + 5 * US);
		}
		awake_turn(&awake, faults, now);
	}
	CU_ASSERT(asked_for > 0);
	CU_ASSERT(asked_for < MANY / 2);
	end();
}

static void a_measurement_that_gets_lost_is_given_up(void)
{
	begin();
	now += MS;
	CU_ASSERT_TRUE(awake_measure(&awake, now));
	CU_ASSERT_FALSE(awake_measure(&awake, now + MS));
	CU_ASSERT_FALSE(awake_measure(&awake, now + 30 * MS)); /* forgets it */
	CU_ASSERT_TRUE(awake_measure(&awake, now + 31 * MS));
	end();
}

static void without_permission_nothing_is_measured(void)
{
	begin();
	end();
	awake.fd = -1;
	CU_ASSERT_FALSE(awake_measure(&awake, now));
	awake_turn(&awake, 1000, now);
	CU_ASSERT_FALSE(awake.held);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(nothing_is_asked_where_wake_ups_are_cheap),
		SUITE_TEST(a_late_one_now_and_then_decides_nothing),
		SUITE_TEST(dear_ones_are_ended_while_faults_come),
		SUITE_TEST(so_are_dear_ones_among_some_cheap_ones),
		SUITE_TEST(nothing_is_asked_without_faults),
		SUITE_TEST(it_is_taken_back_when_faults_cease_and_made_again),
		SUITE_TEST(measuring_ends_when_nothing_happens),
		SUITE_TEST(a_measurement_that_gets_lost_is_given_up),
		SUITE_TEST(without_permission_nothing_is_measured),
		SUITE_END,
	};

	return suite_run("awake", tests);
}
