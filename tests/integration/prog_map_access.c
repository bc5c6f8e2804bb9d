/*
 * Protects and locks memory that is out, and takes the signals that come of it: see ways.h.
 */
#include "tests/integration/resident.h"
#include "tests/integration/ways.h"

#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

#define HALF (PIECE_PAGES / 2)
#define QUARTER (PIECE_PAGES / 4)

static void protect(const void *at, size_t pages, int protection)
{
	must(mprotect((void *)(uintptr_t)at, pages * PAGE_BYTES, protection) == 0, "mprotect");
}

/* ---- a handler that opens what was touched, as collectors of garbage do ---- */

static struct piece watched;
static int opens_to;
static volatile size_t signals, wrong_signals;
static volatile bool touched[PIECE_PAGES];

static void on_access(int number UNUSED, siginfo_t *info, void *context UNUSED)
{
	size_t page = ((uintptr_t)info->si_addr - (uintptr_t)watched.at) / PAGE_BYTES;

	signals = signals + 1;
	if (info->si_code != SEGV_ACCERR || page >= PIECE_PAGES || touched[page]) {
		wrong_signals = wrong_signals + 1;
		if (page >= PIECE_PAGES)
			give_up("a signal at %p, code %d", info->si_addr, info->si_code);
	}
	touched[page] = true;
	if (mprotect(page_at(&watched, page), PAGE_BYTES, opens_to))
		give_up("mprotect in a handler: %s", strerror(errno));
}

static void watch(const struct piece *piece, int protection, int opening)
{
	struct sigaction action = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO};

	watched = *piece;
	opens_to = opening;
	signals = wrong_signals = 0;
	for (size_t page = 0; page < PIECE_PAGES; page++)
		touched[page] = false;
	must(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
	protect(piece->at, piece->pages, protection);
}

static void watched_right(size_t want)
{
	struct sigaction old;

	must(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_access,
	     "the handler was exchanged");
	must(signal(SIGSEGV, SIG_DFL) != SIG_ERR, "signal");
	if (signals != want || wrong_signals)
		give_up("%zu signals, %zu of them wrong; not %zu", signals, wrong_signals, want);
}

static void open_when_touched(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	watch(&piece, PROT_NONE, PROT_READ | PROT_WRITE);
	for (size_t page = 0; page < PIECE_PAGES; page += 2)
		part_check(&piece, page, 1, "opened by the handler");
	watched_right(HALF);
	protect(piece.at, PIECE_PAGES, PROT_READ | PROT_WRITE);
	piece_check_again(&piece, "open again");
	piece_free(&piece);
}

/* Written without having been read: which page is written is noted by the handler. */
static void mark_cards(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	uint64_t version = version_new();

	watch(&piece, PROT_READ, PROT_READ | PROT_WRITE);
	part_check(&piece, 0, QUARTER, "read-only");
	for (size_t page = 1; page < PIECE_PAGES; page += 3)
		words_write(page_at(&piece, page), page, 1, version);
	watched_right((PIECE_PAGES + 1) / 3);
	push_a_little(ways_budget_pages);
	for (size_t page = 0; page < PIECE_PAGES; page++) {
		words_check(page_at(&piece, page), page, 1, page % 3 == 1 ? version : piece.version,
			    "marked and read");
		must(touched[page] == (page % 3 == 1), "another page was marked");
	}
	piece_free(&piece);
}

/* The kernel's own accesses get EFAULT instead of a signal, or what is there. */
static void pass_to_kernel(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	static uint64_t copy[PAGE_WORDS];
	int fds[2];

	must(pipe(fds) == 0, "pipe");
	protect(page_at(&piece, QUARTER), QUARTER, PROT_NONE);
	must(write(fds[1], page_at(&piece, QUARTER), PAGE_BYTES) < 0 && errno == EFAULT,
	     "write of what is protected");
	for (size_t page = HALF; page < HALF + QUARTER; page++) {
		must(write(fds[1], page_at(&piece, page), PAGE_BYTES) == (ssize_t)PAGE_BYTES &&
			     read(fds[0], copy, PAGE_BYTES) == (ssize_t)PAGE_BYTES,
		     "through a pipe");
		words_check(copy, page, 1, piece.version, "through a pipe");
	}
	protect(page_at(&piece, QUARTER), QUARTER, PROT_READ | PROT_WRITE);
	piece_check_again(&piece, "open again");
	piece_free(&piece);
	close(fds[0]);
	close(fds[1]);
}

/* Read-only memory is taken out, too, and stays read-only. */
static void be_read_only(void)
{
	struct piece piece = piece_new(PIECE_PAGES, 0);

	piece_write(&piece);
	push_out(piece.at, PIECE_PAGES);
	watch(&piece, PROT_READ, PROT_READ | PROT_WRITE);
	piece_check(&piece, "read-only");
	push_a_little(ways_budget_pages);
	piece_check(&piece, "read-only, a while later");
	watched_right(0);
	protect(piece.at, PIECE_PAGES, PROT_READ | PROT_WRITE);
	piece.version = version_new();
	piece_write(&piece);
	piece_check_again(&piece, "written again");
	piece_free(&piece);
}

static void be_executable(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	protect(page_at(&piece, QUARTER), HALF, PROT_READ | PROT_EXEC);
	piece_check(&piece, "executable");
	push_a_little(ways_budget_pages);
	protect(page_at(&piece, QUARTER), HALF, PROT_READ | PROT_WRITE);
	piece_check_again(&piece, "not executable any more");
	piece_free(&piece);
}

/* What cannot be touched at first and is opened bit by bit, as arenas are. */
static void open_bit_by_bit(void)
{
	struct piece piece = {place_new(), PIECE_PAGES, version_new()};

	must(mmap(piece.at, PIECE_BYTES, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == piece.at,
	     "mmap");
	for (size_t page = 0; page < PIECE_PAGES; page += 32) {
		protect(page_at(&piece, page), 32, PROT_READ | PROT_WRITE);
		zeros_check(page_at(&piece, page), 16, "just opened");
		words_write(page_at(&piece, page), page, 32, piece.version);
		push_a_little(ways_filler_pages ? 128 : 0);
	}
	push_out(piece.at, PIECE_PAGES);
	piece_check_again(&piece, "opened");
	piece_free(&piece);
}

/* ---- locked ---- */

static void all_present(const void *at, size_t pages, const char *what)
{
	size_t present = count_present(at, pages);

	if (present < pages)
		give_up("%s: %zu of %zu pages are not here", what, pages - present, pages);
}

static void stays_locked(const struct piece *piece, size_t first, size_t pages)
{
	all_present(page_at(piece, first), pages, "locked");
	push_a_little(ways_budget_pages);
	all_present(page_at(piece, first), pages, "locked, a while later");
	piece_check(piece, "locked");
	must(munlock(piece->at, piece->pages * PAGE_BYTES) == 0, "munlock");
	piece_check_again(piece, "unlocked");
	piece_free(piece);
}

static void lock_some(void)
{
	struct piece piece = piece_out(PIECE_PAGES);

	must(mlock(page_at(&piece, QUARTER), HALF * PAGE_BYTES) == 0, "mlock");
	stays_locked(&piece, QUARTER, HALF);
}

static void lock_when_touched(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	size_t present = count_present(piece.at, PIECE_PAGES);

	must(mlock2(piece.at, PIECE_BYTES, MLOCK_ONFAULT) == 0, "mlock2");
	must(!ways_filler_pages || count_present(piece.at, PIECE_PAGES) <= present + HALF,
	     "mlock2 brought in what was not touched");
	part_check(&piece, HALF, QUARTER, "touched");
	stays_locked(&piece, HALF, QUARTER);
}

static void map_locked_over(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct piece over = {page_at(&piece, QUARTER), HALF, version_new()};

	map_at(over.at, HALF, MAP_FIXED | MAP_LOCKED);
	zeros_check(over.at, HALF, "mapped over, locked");
	part_check(&piece, 0, QUARTER, "before");
	part_check(&piece, QUARTER + HALF, QUARTER, "behind");
	piece_write(&over);
	push_a_little(ways_budget_pages);
	all_present(over.at, HALF, "mapped locked, a while later");
	must(munlock(over.at, HALF * PAGE_BYTES) == 0, "munlock");
	piece_check_again(&over, "unlocked");
	piece_free(&piece);
}

/* ---- all of it ---- */

#define SOON_NS 5000000000u /* what was just leaving comes back */

static void all_present_soon(const struct piece *piece, const char *what)
{
	uint64_t deadline = clock_ns() + SOON_NS;

	while (count_present(piece->at, piece->pages) < piece->pages && clock_ns() < deadline)
		usleep(1000);
	all_present(piece->at, piece->pages, what);
}

/*
 * What was locked when the kernel locked the engine's own area with it may still leave, until that
 * is unlocked and all is brought home: 50 ms later (pager/locked.h), and more on a busy host.
 */
#define ALL_LOCKED_US 500000u

static void lock_everything(int flags)
{
	struct piece piece = piece_out(PIECE_PAGES), later;

	must(mlockall(MCL_CURRENT | flags) == 0, "mlockall");
	if (flags & MCL_ONFAULT)
		sleep(2); /* until it is noticed */
	else
		all_present_soon(&piece, "all locked");
	usleep(ALL_LOCKED_US);
	part_check(&piece, QUARTER, HALF, "all locked");
	later = piece_new(PIECE_PAGES, 0);
	if (flags & MCL_FUTURE)
		all_present(later.at, PIECE_PAGES, "mapped when all is locked");
	piece_write(&later);
	engine_is_small();
	push_a_little(2 * ways_budget_pages);
	all_present(page_at(&piece, QUARTER), HALF, "all locked, a while later");
	if (flags & MCL_FUTURE)
		all_present(later.at, PIECE_PAGES, "all locked, a while later");
	must(munlockall() == 0, "munlockall");
	piece_check_again(&later, "mapped when all was locked");
	piece_check_again(&piece, "unlocked");
	piece_free(&later);
	piece_free(&piece);
}

static void lock_all_there_is(void)
{
	lock_everything(0);
}

static void lock_all_when_touched(void)
{
	lock_everything(MCL_ONFAULT);
}

static void lock_all_to_come(void)
{
	lock_everything(MCL_FUTURE);
}

/* ---- signals of other kinds ---- */

static sigjmp_buf back;
static siginfo_t caught;

static void on_signal(int number UNUSED, siginfo_t *info, void *context UNUSED)
{
	caught = *info;
	siglongjmp(back, 1);
}

static void expect_signal(int number, int code, const uint64_t *at)
{
	if (sigsetjmp(back, 1) == 0)
		give_up("%p can be read: %#llx", (const void *)at,
			(unsigned long long)*(const volatile uint64_t *)at);
	if (caught.si_signo != number || caught.si_code != code || caught.si_addr != at)
		give_up("signal %d, code %d, at %p; not %d, %d, %p", caught.si_signo,
			caught.si_code, caught.si_addr, number, code, (const void *)at);
}

/* The end of a file that was cut off, amid memory that is out. */
static void cut_a_file(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, seen;
	struct piece piece = piece_out(PIECE_PAGES);
	int fd = memfd_create("file", MFD_CLOEXEC);

	must(fd >= 0 && ftruncate(fd, PIECE_BYTES) == 0, "memfd");
	must(sigaction(SIGBUS, &action, NULL) == 0, "sigaction");
	must(mmap(page_at(&piece, QUARTER), QUARTER * PAGE_BYTES, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED, fd, 0) == page_at(&piece, QUARTER),
	     "mmap");
	must(ftruncate(fd, QUARTER / 2 * PAGE_BYTES) == 0, "ftruncate");
	zeros_check(page_at(&piece, QUARTER), QUARTER / 2, "the file");
	for (size_t page = QUARTER + QUARTER / 2; page < HALF; page++)
		expect_signal(SIGBUS, BUS_ADRERR, page_at(&piece, page));
	part_check(&piece, 0, QUARTER, "before the file");
	part_check(&piece, HALF, HALF, "behind the file");
	must(sigaction(SIGBUS, NULL, &seen) == 0 && seen.sa_sigaction == on_signal,
	     "the handler was exchanged");
	must(signal(SIGBUS, SIG_DFL) != SIG_ERR, "signal");
	piece_free(&piece);
	close(fd);
}

/* What is gone, and what is closed, one page after the other, each with its own address. */
static void fault_for_ever(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct piece piece = piece_out(PIECE_PAGES);

	must(sigaction(SIGSEGV, &action, NULL) == 0, "sigaction");
	pages_free(page_at(&piece, QUARTER), QUARTER);
	protect(page_at(&piece, HALF), QUARTER, PROT_NONE);
	for (size_t page = QUARTER; page < HALF; page++)
		expect_signal(SIGSEGV, SEGV_MAPERR, page_at(&piece, page));
	for (size_t page = HALF; page < HALF + QUARTER; page++)
		expect_signal(SIGSEGV, SEGV_ACCERR, page_at(&piece, page) + page);
	protect(page_at(&piece, HALF), QUARTER, PROT_READ);
	part_check(&piece, 0, QUARTER, "before");
	part_check(&piece, HALF, HALF, "behind");
	must(signal(SIGSEGV, SIG_DFL) != SIG_ERR, "signal");
	piece_free(&piece);
}

/* Nobody but the program has set a handler. */
static void find_no_handlers(void)
{
	struct piece piece = piece_out(PIECE_PAGES);
	struct sigaction seen;

	for (int number = 1; number < NSIG; number++)
		if (sigaction(number, NULL, &seen) == 0 && seen.sa_handler != SIG_DFL &&
		    seen.sa_handler != SIG_IGN)
			give_up("signal %d has a handler", number);
	piece_check(&piece, "afterwards");
	piece_free(&piece);
}

static const struct way ways[] = {
	{"no-handlers", find_no_handlers},
	{"mprotect-none", open_when_touched},
	{"mprotect-cards", mark_cards},
	{"mprotect-kernel", pass_to_kernel},
	{"mprotect-read", be_read_only},
	{"mprotect-exec", be_executable},
	{"mprotect-open", open_bit_by_bit},
	{"sigsegv", fault_for_ever},
	{"sigbus", cut_a_file},
	{"mlock", lock_some},
	{"mlock-onfault", lock_when_touched},
	{"mmap-locked", map_locked_over},
	{"mlockall", lock_all_there_is},
	{"mlockall-onfault", lock_all_when_touched},
	{"mlockall-future", lock_all_to_come},
};

int main(int argc, char **argv)
{
	return ways_main(ways, ARRAY_LEN(ways), argc, argv);
}
