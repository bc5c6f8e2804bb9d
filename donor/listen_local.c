#include "donor/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Anybody on this host may borrow, as anybody may over the TCP address. */
#define SOCKET_MODE 0666

static const char *default_directory(void)
{
	const char *own = getenv("XDG_RUNTIME_DIR");

	if (access("/run", W_OK) == 0)
		return "/run";
	return own && own[0] == '/' ? own : NULL;
}

static int default_path(uint16_t port, char out[WIRE_PATH_BYTES])
{
	const char *directory = default_directory();

	if (!directory) {
		out[0] = '\0';
		return 0;
	}
	if (port)
		return snprintf(out, WIRE_PATH_BYTES, "%s/donord-%u.sock", directory, port);
	return snprintf(out, WIRE_PATH_BYTES, "%s/donord.sock", directory);
}

static int absolute_path(const char *path, char out[WIRE_PATH_BYTES])
{
	char directory[4096];

	if (path[0] == '/')
		return snprintf(out, WIRE_PATH_BYTES, "%s", path);
	if (!strncmp(path, "./", 2))
		path += 2;
	if (!getcwd(directory, sizeof(directory)))
		return -errno;
	return snprintf(out, WIRE_PATH_BYTES, "%s/%s", directory, path);
}

int listen_local_path(const struct donor_options *options, uint16_t port, char out[WIRE_PATH_BYTES],
		      char why[DONOR_WHY_BYTES])
{
	int n;

	if (options->local == DONOR_LOCAL_AUTO)
		n = default_path(port, out);
	else
		n = absolute_path(options->local_path, out);
	if (n >= 0 && n < WIRE_PATH_BYTES)
		return 0;
	snprintf(why, DONOR_WHY_BYTES,
		 "--local-socket %s: its full path is longer than the %d characters of a socket's: "
		 "give a shorter one",
		 options->local_path, WIRE_PATH_BYTES - 1);
	return -ENAMETOOLONG;
}

static void fill_address(const char *path, struct sockaddr_un *out)
{
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	strncpy(out->sun_path, path, sizeof(out->sun_path) - 1);
}

/* Nobody listens on the socket file any more: -ECONNREFUSED; 0: somebody does; or what else. */
static int try_to_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	close(fd);
	return err == -EAGAIN ? 0 : err; /* a full backlog is somebody's */
}

static int remove_stale(const struct sockaddr_un *address, char why[DONOR_WHY_BYTES])
{
	const char *path = address->sun_path;
	struct stat st;

	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		snprintf(why, DONOR_WHY_BYTES,
			 "cannot listen on %s: there is a file that is no socket: remove it, or "
			 "choose another --local-socket",
			 path);
		return -EEXIST;
	}
	if (try_to_connect(address) != -ECONNREFUSED) {
		snprintf(why, DONOR_WHY_BYTES,
			 "cannot listen on %s: another program is listening there: end it, or "
			 "choose another --local-socket",
			 path);
		return -EADDRINUSE;
	}
	if (unlink(path) && errno != ENOENT) {
		int err = -errno;

		snprintf(why, DONOR_WHY_BYTES, "cannot replace %s: %s", path, strerror(-err));
		return err;
	}
	return 0;
}

static int bind_address(int fd, const struct sockaddr_un *address, char why[DONOR_WHY_BYTES])
{
	int err;

	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	err = -errno;
	if (err == -EADDRINUSE) {
		err = remove_stale(address, why);
		if (err)
			return err;
		if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
			return 0;
		err = -errno;
	}
	snprintf(why, DONOR_WHY_BYTES,
		 "cannot listen on %s: %s: choose another --local-socket, or none",
		 address->sun_path, strerror(-err));
	return err;
}

int listen_bind_local(const char *path, int *out, char why[DONOR_WHY_BYTES])
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int err;

	if (fd < 0) {
		err = -errno;
		snprintf(why, DONOR_WHY_BYTES, "cannot make a socket: %s", strerror(-err));
		return err;
	}
	fill_address(path, &address);
	err = bind_address(fd, &address, why);
	if (err) {
		close(fd);
		return err;
	}
	if (chmod(path, SOCKET_MODE))
		log_warn("only its owner can use %s: %s", path, strerror(errno));
	*out = fd;
	return 0;
}
