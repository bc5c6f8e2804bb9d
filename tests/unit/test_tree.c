#include "pager/tree.h"

#include "common/base/clock.h"
#include "tests/suite.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOTAL 65536u
#define LEAST 2048u
#define LATER_NS UINT64_C(2000000000)

static char path[TREE_PATH_BYTES];

/* A process maps the file of one tree only, so each test is one. */
static void in_a_process(void (*run)(void))
{
	int status;
	pid_t pid = fork();

	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		unsigned before = CU_get_number_of_failures();

		run();
		_exit(CU_get_number_of_failures() == before ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
}

static bool is_there(const char *file)
{
	return access(file, F_OK) == 0;
}

static void join(struct tree *tree)
{
	memset(tree, 0, sizeof(*tree));
	CU_ASSERT_EQUAL_FATAL(tree_join(tree, path), 0);
}

static uint64_t turn_at(struct tree *tree, uint64_t used, uint64_t now_ns)
{
	struct tree_news news = {.used = used};

	return tree_turn(tree, &news, TOTAL, LEAST, now_ns);
}

static uint64_t turn(struct tree *tree, uint64_t used)
{
	return turn_at(tree, used, clock_ns());
}

/* ---- one process ---- */

static void alone(void)
{
	struct tree tree;

	CU_ASSERT_EQUAL_FATAL(tree_create(path), 0);
	CU_ASSERT_TRUE(is_there(path));
	join(&tree);
	CU_ASSERT_EQUAL(turn(&tree, 100), TOTAL);
	tree_leave(&tree);
	CU_ASSERT_FALSE(is_there(path));
}

static void one_process_has_all_of_it_and_leaves_nothing(void)
{
	in_a_process(alone);
}

/* As after execve(2): a seat is ours already. */
static void two_seats_in_turn(void)
{
	struct tree first, second;

	CU_ASSERT_EQUAL_FATAL(tree_create(path), 0);
	join(&first);
	CU_ASSERT_EQUAL(turn(&first, 1000), TOTAL);
	join(&second);
	CU_ASSERT_PTR_EQUAL(first.seat, second.seat);
	CU_ASSERT_EQUAL(turn(&second, 0), TOTAL);
	tree_leave(&second);
	CU_ASSERT_FALSE(is_there(path));
}

static void a_process_keeps_its_seat(void)
{
	in_a_process(two_seats_in_turn);
}

static void join_nothing(void)
{
	char other[] = "/tmp/libpager-test-tree-XXXXXX";
	int fd = mkstemp(other);
	struct tree tree = {0};

	CU_ASSERT_EQUAL(tree_join(&tree, "/nowhere/tree-1-1"), -ENOENT);
	CU_ASSERT_EQUAL(tree_join(&tree, other), -EPROTO);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 1 << 20), 0);
	CU_ASSERT_EQUAL(tree_join(&tree, other), -EPROTO);
	close(fd);
	unlink(other);
	CU_ASSERT_EQUAL(turn(&tree, 100), TOTAL);
	tree_leave(&tree);
}

static void who_cannot_join_has_all_for_itself(void)
{
	in_a_process(join_nothing);
}

/* ---- several ---- */

/* A child that does this, and then waits for its end. Sets *said to what that returned. */
static pid_t start_child(char (*begin)(void), char *said)
{
	int ready[2];
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		char result = begin();

		(void)!write(ready[1], &result, 1);
		for (;;)
			pause();
	}
	CU_ASSERT_EQUAL(read(ready[0], said, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static uint64_t child_used;

static char say_what_is_used(void)
{
	struct tree tree;

	join(&tree);
	(void)turn(&tree, child_used);
	(void)turn(&tree, child_used); /* it does not grow any more */
	return 'y';
}

static pid_t start_child_with(uint64_t used)
{
	char said;

	child_used = used;
	return start_child(say_what_is_used, &said);
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
}

static void with_children(void)
{
	struct tree tree;
	pid_t one, two;

	CU_ASSERT_EQUAL_FATAL(tree_create(path), 0);
	join(&tree);
	one = start_child_with(10000);
	two = start_child_with(20000);
	CU_ASSERT_EQUAL(turn(&tree, 100), TOTAL - 30000);
	end_child(one);
	end_child(two);
	/* Not at once: nobody looks for who was heard of a moment ago. */
	CU_ASSERT_EQUAL(turn_at(&tree, 100, clock_ns() + LATER_NS), TOTAL);
	tree_leave(&tree);
	CU_ASSERT_FALSE(is_there(path));
}

static void what_others_have_is_not_there_until_they_are_killed(void)
{
	in_a_process(with_children);
}

static void leave_first(void)
{
	struct tree tree;
	pid_t child;

	CU_ASSERT_EQUAL_FATAL(tree_create(path), 0);
	join(&tree);
	child = start_child_with(10000);
	tree_leave(&tree);
	CU_ASSERT_TRUE(is_there(path));
	end_child(child);
	CU_ASSERT_TRUE(is_there(path)); /* who is killed removes nothing */
}

static void sweep(void)
{
	char old[TREE_PATH_BYTES];

	leave_first();
	strcpy(old, path);
	CU_ASSERT_EQUAL_FATAL(tree_create(path), 0);
	CU_ASSERT_FALSE(is_there(old));
	CU_ASSERT_TRUE(is_there(path));
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void what_killed_ones_leave_goes_with_the_next_tree(void)
{
	in_a_process(sweep);
}

/* ---- no seat ---- */

#define MORE_THAN_SEATS 600u

static char find_a_seat(void)
{
	struct tree tree = {0};

	return tree_join(&tree, path) == 0 ? 'y' : 'n';
}

static void crowd(void)
{
	static pid_t children[MORE_THAN_SEATS];
	char found = 'y';
	unsigned n = 0;

	CU_ASSERT_EQUAL_FATAL(tree_create(path), 0);
	while (n < MORE_THAN_SEATS && found == 'y')
		children[n++] = start_child(find_a_seat, &found);
	CU_ASSERT_EQUAL(found, 'n');
	while (n)
		end_child(children[--n]);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void who_finds_no_seat_is_told(void)
{
	in_a_process(crowd);
}

int main(void)
{
	static const struct suite_test tests[] = {
		SUITE_TEST(one_process_has_all_of_it_and_leaves_nothing),
		SUITE_TEST(a_process_keeps_its_seat),
		SUITE_TEST(who_cannot_join_has_all_for_itself),
		SUITE_TEST(what_others_have_is_not_there_until_they_are_killed),
		SUITE_TEST(what_killed_ones_leave_goes_with_the_next_tree),
		SUITE_TEST(who_finds_no_seat_is_told),
		SUITE_END,
	};

	return suite_run("tree", tests);
}
