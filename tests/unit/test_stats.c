#include "pager/stats.h"

#include "common/base/log.h"
#include "pager/rundir.h"
#include "tests/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A user that nobody has, for what is only met between two users. */
#define STRANGER 51966

static struct stats_page copy;

static void file_path(char *out, size_t room, uid_t user, pid_t pid)
{
	snprintf(out, room, RUNDIR "%u/%d", user, pid);
}

static struct stats_page *create(void)
{
	struct stats_page *page = NULL;

	CU_ASSERT_EQUAL_FATAL(stats_create(&page), 0);
	return page;
}

/* Runs fn in a child and returns what it returned. */
static int in_child(int (*fn)(void))
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(fn());
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A pid that was just free. */
static pid_t dead_pid(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void a_reader_sees_what_the_writer_counts(void)
{
	struct stats_page *page = create();

	atomic_store(&page->major, 7);
	hist_add(&page->major_ns, 5000);
	atomic_store(&page->donor_count, 1);
	strcpy(page->donors[0].name, "donor:7471");
	CU_ASSERT_EQUAL_FATAL(stats_read((uint32_t)getpid(), &copy), 0);
	CU_ASSERT_EQUAL(copy.pid, (uint32_t)getpid());
	CU_ASSERT_NSTRING_EQUAL(copy.program, program_invocation_short_name, 10);
	CU_ASSERT_EQUAL(copy.major, 7);
	CU_ASSERT_EQUAL(hist_count(&copy.major_ns), 1);
	CU_ASSERT_STRING_EQUAL(copy.donors[0].name, "donor:7471");
	stats_remove(page);
}

static void the_file_is_for_its_user_alone(void)
{
	struct stats_page *page = create();
	char path[64];
	struct stat st;

	file_path(path, sizeof(path), geteuid(), getpid());
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	/* Its memory is there already: a full file system cannot become a SIGBUS. */
	CU_ASSERT(st.st_blocks * 512 >= (off_t)sizeof(struct stats_page));
	snprintf(path, sizeof(path), RUNDIR "%u", geteuid());
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
	stats_remove(page);
}

static void a_removed_page_is_not_found_but_counts_on(void)
{
	struct stats_page *page = create();
	char path[64];

	stats_remove(page);
	atomic_fetch_add(&page->major, 1);
	file_path(path, sizeof(path), geteuid(), getpid());
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), -ENOENT);
	stats_remove(NULL);
}

static void a_dead_process_is_not_found(void)
{
	CU_ASSERT_EQUAL(stats_read((uint32_t)dead_pid(), &copy), -ESRCH);
}

static struct stats_page *of_parent;

static int child_page_is_gone(void)
{
	unsigned char resident;

	return mincore(of_parent, 1, &resident) == -1 && errno == ENOMEM ? 0 : 1;
}

static void a_forked_child_does_not_count_for_its_parent(void)
{
	of_parent = create();
	CU_ASSERT_EQUAL(in_child(child_page_is_gone), 0);
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), 0);
	stats_remove(of_parent);
}

static void what_a_program_left_by_exec_is_not_believed(void)
{
	struct stats_page *page = create();
	char path[64];

	/* As execve() does: the mapping goes, the file stays, pid and start are the same. */
	CU_ASSERT_EQUAL(munmap(page, sizeof(*page)), 0);
	file_path(path, sizeof(path), geteuid(), getpid());
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), -ENOENT);
	/* And the new program's engine takes its place. */
	page = create();
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), 0);
	stats_remove(page);
}

static void another_version_is_refused(void)
{
	struct stats_page *page = create();

	page->version = STATS_VERSION + 1;
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), -EPROTO);
	stats_remove(page);
}

static void a_short_file_is_refused(void)
{
	struct stats_page *page = create();
	char path[64];

	file_path(path, sizeof(path), geteuid(), getpid());
	CU_ASSERT_EQUAL_FATAL(truncate(path, 64), 0);
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), -EPROTO);
	CU_ASSERT_EQUAL_FATAL(truncate(path, 0), 0);
	CU_ASSERT_EQUAL(stats_read((uint32_t)getpid(), &copy), -ENOENT);
	munmap(page, sizeof(*page));
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void hostile_content_stays_within_bounds(void)
{
	struct stats_page *page = create();

	page->donor_count = UINT32_MAX;
	memset(page->program, 'x', sizeof(page->program));
	memset(page->donors[0].name, 'x', sizeof(page->donors[0].name));
	CU_ASSERT_EQUAL_FATAL(stats_read((uint32_t)getpid(), &copy), 0);
	CU_ASSERT_EQUAL(copy.donor_count, STATS_MAX_DONORS);
	CU_ASSERT_EQUAL(strlen(copy.program), sizeof(copy.program) - 1);
	CU_ASSERT_EQUAL(strlen(copy.donors[0].name), sizeof(copy.donors[0].name) - 1);
	stats_remove(page);
}

static void note_self(void *arg, uint32_t pid)
{
	if (pid == (uint32_t)getpid())
		*(int *)arg += 1;
}

static void a_walk_finds_the_living_and_removes_the_dead(void)
{
	struct stats_page *page = create();
	char path[64];
	int found = 0;
	int fd;

	file_path(path, sizeof(path), geteuid(), dead_pid());
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	CU_ASSERT_EQUAL(stats_each(note_self, &found), 0);
	CU_ASSERT_EQUAL(found, 1);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	stats_remove(page);
}

static void a_new_page_sweeps_away_the_dead(void)
{
	struct stats_page *page;
	char path[64];
	int fd;

	stats_remove(create()); /* the directory is there */
	file_path(path, sizeof(path), geteuid(), dead_pid());
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	page = create();
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	CU_ASSERT(stats_is_by(page, (uint32_t)getpid()));
	CU_ASSERT_FALSE(stats_is_by(page, (uint32_t)getppid()));
	stats_remove(page);
}

/* ---- two users: needs root to become one of them ---- */

static int stranger_creates_in_secret(void)
{
	struct stats_page *page;

	if (setresgid(STRANGER, STRANGER, STRANGER) || setresuid(STRANGER, STRANGER, STRANGER))
		return 2;
	log_set_level(LOG_ERROR);
	if (stats_create(&page))
		return 3;
	atomic_store(&page->major, 1);
	if (stats_read((uint32_t)getpid(), &copy) == 0)
		return 4;
	stats_remove(page);
	return 0;
}

static void a_directory_of_somebody_else_is_not_used(void)
{
	char path[64];

	snprintf(path, sizeof(path), RUNDIR "%u", STRANGER);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0777), 0);
	CU_ASSERT_EQUAL(chmod(path, 0777), 0);
	CU_ASSERT_EQUAL(in_child(stranger_creates_in_secret), 0);
	CU_ASSERT_EQUAL(rmdir(path), 0);
}

static void a_link_instead_of_the_directory_is_not_followed(void)
{
	char path[64];

	snprintf(path, sizeof(path), RUNDIR "%u", STRANGER);
	CU_ASSERT_EQUAL_FATAL(symlink("/tmp", path), 0);
	CU_ASSERT_EQUAL(in_child(stranger_creates_in_secret), 0);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static int stranger_reads_parent(void)
{
	if (setresuid(STRANGER, STRANGER, STRANGER))
		return 2;
	return stats_read((uint32_t)getppid(), &copy) == -EACCES ? 0 : 1;
}

static void a_stranger_may_not_read(void)
{
	struct stats_page *page = create();

	CU_ASSERT_EQUAL(in_child(stranger_reads_parent), 0);
	stats_remove(page);
}

int main(void)
{
	const char *two_users = geteuid() ? "becoming another user needs root" : NULL;
	const struct suite_test tests[] = {
		SUITE_TEST(a_reader_sees_what_the_writer_counts),
		SUITE_TEST(the_file_is_for_its_user_alone),
		SUITE_TEST(a_removed_page_is_not_found_but_counts_on),
		SUITE_TEST(a_dead_process_is_not_found),
		SUITE_TEST(a_forked_child_does_not_count_for_its_parent),
		SUITE_TEST(what_a_program_left_by_exec_is_not_believed),
		SUITE_TEST(another_version_is_refused),
		SUITE_TEST(a_short_file_is_refused),
		SUITE_TEST(hostile_content_stays_within_bounds),
		SUITE_TEST(a_walk_finds_the_living_and_removes_the_dead),
		SUITE_TEST(a_new_page_sweeps_away_the_dead),
		{"a_directory_of_somebody_else_is_not_used",
		 a_directory_of_somebody_else_is_not_used, two_users},
		{"a_link_instead_of_the_directory_is_not_followed",
		 a_link_instead_of_the_directory_is_not_followed, two_users},
		{"a_stranger_may_not_read", a_stranger_may_not_read, two_users},
		SUITE_END,
	};

	return suite_run("stats", tests);
}
