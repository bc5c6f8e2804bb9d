/*
 * Log lines in somebody else's program. Descriptor 2 is used only as long as it is the file that it
 * was at start: a daemon that has put a database there must not find our words in it.
 */
#include "libpager/host.h"
#include "libpager/voice.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	dev_t device;
	ino_t inode;
	bool known;
	char path[PATH_MAX + sizeof(((struct config *)0)->log_file) + 1];
} out;

static void write_line(int fd, const char *line)
{
	char text[LOG_LINE_BYTES + 16];
	int n = snprintf(text, sizeof(text), "libpager: %s\n", line);

	if (n > 0)
		(void)!write(fd, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void to_descriptor(void *arg UNUSED, enum log_level level UNUSED, const char *line)
{
	struct stat now;
	int saved = errno;

	if (out.known && fstat(STDERR_FILENO, &now) == 0 && now.st_dev == out.device &&
	    now.st_ino == out.inode)
		write_line(STDERR_FILENO, line);
	errno = saved;
}

/* Opened for each line: there are few, and no descriptor is kept. */
static void to_file(void *arg UNUSED, enum log_level level UNUSED, const char *line)
{
	int saved = errno;
	int fd = open(out.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0) {
		write_line(fd, line);
		close(fd);
	}
	errno = saved;
}

static void to_nowhere(void *arg UNUSED, enum log_level level UNUSED, const char *line UNUSED)
{
}

/* What says the lines has another working directory than the program. */
static bool set_path(const char *path)
{
	size_t len = 0;

	if (path[0] != '/') {
		if (!getcwd(out.path, PATH_MAX))
			return false;
		len = strlen(out.path);
		out.path[len++] = '/';
	}
	memcpy(out.path + len, path, strlen(path) + 1);
	return true;
}

void host_log_open(const struct config *config)
{
	struct stat now;

	log_set_level(config->log_level);
	if (config->quiet) {
		voice_set(to_nowhere);
		return;
	}
	if (config->log_file[0] && set_path(config->log_file)) {
		voice_set_apart(to_file);
		return;
	}
	if (fstat(STDERR_FILENO, &now) == 0) {
		out.device = now.st_dev;
		out.inode = now.st_ino;
		out.known = true;
	}
	voice_set(to_descriptor);
}
