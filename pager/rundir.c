#include "pager/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 64

int rundir_open(uid_t user)
{
	char path[PATH_BYTES];
	struct stat st;
	int err;
	int fd;

	snprintf(path, sizeof(path), RUNDIR "%u", user);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		err = -errno;
		goto err_close;
	}
	if (st.st_uid != user || (st.st_mode & 077)) {
		err = -EPERM;
		goto err_close;
	}
	return fd;

err_close:
	close(fd);
	return err;
}

int rundir_make(void)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), RUNDIR "%u", geteuid());
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	return rundir_open(geteuid());
}

int rundir_file(int dir, const char *name, size_t bytes)
{
	int err;
	int fd;

	if (unlinkat(dir, name, 0) && errno != ENOENT)
		return -errno;
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fallocate(fd, 0, 0, (off_t)bytes)) {
		err = -errno;
		goto err_unlink;
	}
	return fd;

err_unlink:
	close(fd);
	unlinkat(dir, name, 0);
	return err;
}
