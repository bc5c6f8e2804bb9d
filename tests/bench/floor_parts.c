#include "tests/bench/floor_parts.h"

#include "tests/bench/times.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void floor_fail(const char *what)
{
	fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
	_exit(1);
}

void floor_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		floor_fail("sched_setaffinity");
}

void floor_unpin(void)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	if (sched_setaffinity(0, sizeof(set), &set))
		floor_fail("sched_setaffinity");
}

uint8_t *floor_map(uint64_t pages)
{
	void *base = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		floor_fail("mmap");
	madvise(base, pages * PAGE_BYTES, MADV_NOHUGEPAGE);
	return base;
}

int floor_uffd(uint64_t features, int flags)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		floor_fail("userfaultfd");
	return uffd;
}

void floor_register(int uffd, uint8_t *base, uint64_t pages)
{
	struct uffdio_register reg = {
		.range = {(uintptr_t)base, pages * PAGE_BYTES},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &reg))
		floor_fail("UFFDIO_REGISTER");
}

void floor_place(int uffd, uint8_t *to, const void *from, unsigned pages)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)to,
		.src = (uintptr_t)from,
		.len = pages * PAGE_BYTES,
	};

	if (ioctl(uffd, UFFDIO_COPY, &copy))
		floor_fail("UFFDIO_COPY");
}

void floor_on_sigbus(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};

	if (sigaction(SIGBUS, &action, NULL))
		floor_fail("sigaction");
}

void floor_print(const struct floor_result *result, const char *more)
{
	printf("{\"under\": \"floor\", \"floor\": \"%s\", \"case\": \"%s\", \"threads\": %u",
	       result->name, result->order, result->threads);
	printf(", \"ns_per_op\": %.1f", result->ns_per_op);
	times_print("access", result->all);
	if (result->slow)
		times_print("slow", result->slow);
	printf("%s}\n", more);
	fflush(stdout);
}
