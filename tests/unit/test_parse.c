#include "common/base/parse.h"
#include "tests/suite.h"

#include <errno.h>
#include <string.h>

#define KEPT 4711u

static void check_size(const char *text, uint64_t expected)
{
	uint64_t got = 0;

	CU_ASSERT_EQUAL(parse_size(text, &got), 0);
	CU_ASSERT_EQUAL(got, expected);
}

static void refuse_size(const char *text, int expected)
{
	uint64_t got = KEPT;

	CU_ASSERT_EQUAL(parse_size(text, &got), expected);
	CU_ASSERT_EQUAL(got, KEPT);
}

static void sizes_are_powers_of_1024(void)
{
	check_size("0", 0);
	check_size("4096", 4096);
	check_size("4096B", 4096);
	check_size("64K", 64u << 10);
	check_size("512M", 512ull << 20);
	check_size("4G", 4ull << 30);
	check_size("1T", 1ull << 40);
	check_size("007K", 7u << 10);
}

static void units_are_read_in_any_spelling(void)
{
	check_size("2k", 2048);
	check_size("2KB", 2048);
	check_size("2KiB", 2048);
	check_size("2kiB", 2048);
	check_size("3g", 3ull << 30);
}

static void malformed_sizes_are_refused(void)
{
	static const char *const texts[] = {
		"",    " ",  "K",    "-1",   "+1",  "1 K", " 1",  "1K ", "1.5G",  "0x10",
		"1iB", "1i", "1KiX", "1KBB", "1KK", "1P",  "1bb", "ten", "1,000", "1\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		refuse_size(texts[i], -EINVAL);
}

static void sizes_end_where_64_bits_end(void)
{
	check_size("18446744073709551615", UINT64_MAX);
	refuse_size("18446744073709551616", -ERANGE);
	refuse_size("99999999999999999999999999999999", -ERANGE);
	check_size("16777215T", 16777215ull << 40);
	refuse_size("16777216T", -ERANGE);
	refuse_size("18446744073709551615K", -ERANGE);
}

static void check_duration(const char *text, uint32_t expected)
{
	uint32_t got = 0;

	CU_ASSERT_EQUAL(parse_duration_ms(text, &got), 0);
	CU_ASSERT_EQUAL(got, expected);
}

static void refuse_duration(const char *text, int expected)
{
	uint32_t got = KEPT;

	CU_ASSERT_EQUAL(parse_duration_ms(text, &got), expected);
	CU_ASSERT_EQUAL(got, KEPT);
}

static void durations_come_out_in_milliseconds(void)
{
	check_duration("500ms", 500);
	check_duration("5s", 5000);
	check_duration("2m", 120000);
	check_duration("7", 7000);
	check_duration("0", 0);
}

static void durations_end_at_a_day(void)
{
	check_duration("86400000ms", 86400000);
	check_duration("86400", 86400000);
	check_duration("1440m", 86400000);
	refuse_duration("86400001ms", -ERANGE);
	refuse_duration("86401s", -ERANGE);
	refuse_duration("1441m", -ERANGE);
	refuse_duration("18446744073709551615m", -ERANGE);
}

static void malformed_durations_are_refused(void)
{
	static const char *const texts[] = {"",	    "s",    "-1s",  "5 s", "5h",
					    "5sec", "1.5s", "5mss", "5S"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		refuse_duration(texts[i], -EINVAL);
}

static void a_number_is_held_to_its_range(void)
{
	uint64_t got = KEPT;

	CU_ASSERT_EQUAL(parse_number("9", 10, 20, &got), -ERANGE);
	CU_ASSERT_EQUAL(parse_number("21", 10, 20, &got), -ERANGE);
	CU_ASSERT_EQUAL(parse_number("18446744073709551616", 0, UINT64_MAX, &got), -ERANGE);
	CU_ASSERT_EQUAL(parse_number("", 0, 20, &got), -EINVAL);
	CU_ASSERT_EQUAL(parse_number("12x", 10, 20, &got), -EINVAL);
	CU_ASSERT_EQUAL(got, KEPT);
	CU_ASSERT_EQUAL(parse_number("10", 10, 20, &got), 0);
	CU_ASSERT_EQUAL(got, 10);
	CU_ASSERT_EQUAL(parse_number("20", 10, 20, &got), 0);
	CU_ASSERT_EQUAL(got, 20);
}

static void check_address(const char *text, const char *expected_host, unsigned expected_port)
{
	char host[PARSE_HOST_BYTES] = "untouched";
	uint16_t port = 1;

	CU_ASSERT_EQUAL(parse_host_port(text, 7471, host, &port), 0);
	CU_ASSERT_STRING_EQUAL(host, expected_host);
	CU_ASSERT_EQUAL(port, expected_port);
}

static void refuse_address(const char *text, uint16_t default_port, int expected)
{
	char host[PARSE_HOST_BYTES] = "untouched";
	uint16_t port = 1;

	CU_ASSERT_EQUAL(parse_host_port(text, default_port, host, &port), expected);
	CU_ASSERT_STRING_EQUAL(host, "untouched");
	CU_ASSERT_EQUAL(port, 1);
}

static void addresses_have_host_port_or_both(void)
{
	check_address("donor1:80", "donor1", 80);
	check_address("donor-1.lan_a", "donor-1.lan_a", 7471);
	check_address("10.0.0.7:65535", "10.0.0.7", 65535);
	check_address(":9", "", 9);
}

static void v6_addresses_wear_brackets(void)
{
	check_address("[::1]:80", "::1", 80);
	check_address("[fe80::1%eth0]", "fe80::1%eth0", 7471);
	refuse_address("::1", 7471, -EINVAL);
	refuse_address("fe80::1:80", 7471, -EINVAL);
	refuse_address("[::1", 7471, -EINVAL);
	refuse_address("[]:80", 7471, -EINVAL);
	refuse_address("[::1]80", 7471, -EINVAL);
	refuse_address("[donor1]:80", 7471, -EINVAL);
	refuse_address("[fe%eth0]:80", 7471, -EINVAL);
}

static void malformed_addresses_are_refused(void)
{
	static const char *const texts[] = {
		"",    ":",	     "host:",  "host:x",  "host: 80",	 "host:80 ", "ho st",
		"a,b", "host:80:90", "/run/x", "host:-1", "h\xc3\xb6st", "host:8a",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		refuse_address(texts[i], 7471, -EINVAL);
	refuse_address("host:65536", 7471, -ERANGE);
}

static void port_0_needs_a_default_of_0(void)
{
	char host[PARSE_HOST_BYTES];
	uint16_t port = 1;

	refuse_address("host:0", 7471, -ERANGE);
	CU_ASSERT_EQUAL(parse_host_port("host:0", 0, host, &port), 0);
	CU_ASSERT_EQUAL(port, 0);
	CU_ASSERT_EQUAL(parse_host_port("host", 0, host, &port), 0);
	CU_ASSERT_EQUAL(port, 0);
}

static void the_longest_name_fits_and_a_longer_one_does_not(void)
{
	char text[PARSE_HOST_BYTES + 1];

	memset(text, 'a', sizeof(text));
	text[PARSE_HOST_BYTES] = '\0';
	refuse_address(text, 7471, -ERANGE);
	text[PARSE_HOST_BYTES - 1] = '\0';
	check_address(text, text, 7471);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(sizes_are_powers_of_1024),
		SUITE_TEST(units_are_read_in_any_spelling),
		SUITE_TEST(malformed_sizes_are_refused),
		SUITE_TEST(sizes_end_where_64_bits_end),
		SUITE_TEST(durations_come_out_in_milliseconds),
		SUITE_TEST(durations_end_at_a_day),
		SUITE_TEST(malformed_durations_are_refused),
		SUITE_TEST(a_number_is_held_to_its_range),
		SUITE_TEST(addresses_have_host_port_or_both),
		SUITE_TEST(v6_addresses_wear_brackets),
		SUITE_TEST(malformed_addresses_are_refused),
		SUITE_TEST(port_0_needs_a_default_of_0),
		SUITE_TEST(the_longest_name_fits_and_a_longer_one_does_not),
		SUITE_END,
	};

	return suite_run("parse", tests);
}
