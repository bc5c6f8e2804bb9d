#include "libpager/require.h"

#include "pager/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than the engine would let its program run unpaged: here the choice is not to run at all.
 */
#define WAIT_MS 5000
#define YES 'y'

static bool ask(const struct config *config)
{
	struct store_events events = {0};
	struct store *store = NULL;
	int err = store_open(config, &events, WAIT_MS, &store);

	store_close(store);
	return !err;
}

static void NORETURN ask_in_child(const struct config *config, int answer)
{
	const char yes = YES;

	if (ask(config))
		(void)!write(answer, &yes, 1);
	_exit(0);
}

/* Its end is its answer, too. The status would be lost where SIGCHLD is ignored. */
static bool hear_child(int answer)
{
	char said = 0;
	ssize_t got;

	do
		got = read(answer, &said, 1);
	while (got < 0 && errno == EINTR);
	return got == 1 && said == YES;
}

/*
 * In a child: nothing that a connection needs may stay in a program whose engine is yet to start,
 * and the RDMA libraries are bound to the table of descriptors in which they were first used, which
 * has to be the engine's.
 */
bool require_donor_answers(const struct config *config)
{
	int answer[2];
	bool answers;
	pid_t pid;

	if (pipe2(answer, O_CLOEXEC))
		return ask(config);
	pid = fork();
	if (pid == 0)
		ask_in_child(config, answer[1]);
	close(answer[1]);
	answers = pid > 0 && hear_child(answer[0]);
	close(answer[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return answers;
}
