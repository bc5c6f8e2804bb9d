#include "pager/ctl/program.h"

#include "pager/ctl/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Scripts whose interpreters are scripts: the kernel follows four. */
#define MAX_SCRIPTS 4
/* What the kernel reads of the first line of a script (BINPRM_BUF_SIZE). */
#define SCRIPT_LINE_BYTES 256

/* ---- finding ---- */

/* 0, -ENOENT, or -EACCES for what is there and cannot be run. */
static int try_file(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == EACCES ? -EACCES : -ENOENT;
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return -EACCES;
	return 0;
}

static int search(const char *dirs, const char *name, char out[PATH_MAX])
{
	int result = -ENOENT;

	for (;;) {
		size_t len = strcspn(dirs, ":");
		int n = snprintf(out, PATH_MAX, "%.*s%s%s", (int)len, dirs, len ? "/" : "./", name);
		int err = n < PATH_MAX ? try_file(out) : -ENOENT;

		if (!err)
			return 0;
		if (err == -EACCES)
			result = err;
		if (!dirs[len])
			return result;
		dirs += len + 1;
	}
}

int program_find(const char *name, char out[PATH_MAX])
{
	const char *dirs = getenv("PATH");

	if (!name[0] || strlen(name) >= PATH_MAX)
		return -ENOENT;
	if (strchr(name, '/')) {
		strcpy(out, name);
		return try_file(name);
	}
	return search(dirs ? dirs : "/bin:/usr/bin", name, out);
}

/* ---- checking ---- */

/*
 * The loader ignores LD_PRELOAD where a program gets rights that its user has not: by a set-user-ID
 * or set-group-ID bit that changes anything, or by capabilities of the file (root has them
 * already).
 */
static bool gains_rights(int fd, const struct stat *st)
{
	if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
		return true;
	if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != getgid())
		return true;
	return getuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static int check_elf(int fd, const char *path, enum elf_verdict verdict,
		     char why[PROGRAM_WHY_BYTES])
{
	struct stat st;

	if (verdict != ELF_DYNAMIC) {
		snprintf(why, PROGRAM_WHY_BYTES, "%s: %s", path, elf_verdict_text(verdict));
		return -ENOEXEC;
	}
	if (fstat(fd, &st))
		return -errno;
	if (gains_rights(fd, &st)) {
		snprintf(why, PROGRAM_WHY_BYTES,
			 "%s: runs with more rights than yours (set-user-ID, set-group-ID or "
			 "capabilities), so nothing can be preloaded into it: run it as its owner, "
			 "or use a copy without",
			 path);
		return -EPERM;
	}
	return 0;
}

/* The interpreter of "#! INTERPRETER [ARGUMENT]"; what has no such line is run by the shell. */
static int read_interpreter(int fd, char out[SCRIPT_LINE_BYTES])
{
	char line[SCRIPT_LINE_BYTES];
	const char *start;
	ssize_t n;
	size_t len;

	n = pread(fd, line, sizeof(line) - 1, 0);
	if (n < 0)
		return -errno;
	line[n] = '\0';
	if (line[0] != '#' || line[1] != '!') {
		strcpy(out, "/bin/sh");
		return 0;
	}
	start = line + 2 + strspn(line + 2, " \t");
	len = strcspn(start, " \t\n");
	if (!len)
		return -ENOEXEC;
	memcpy(out, start, len);
	out[len] = '\0';
	return 0;
}

/* Looks at one file. 0; 1 if it is a script, with the interpreter's path; or an error. */
static int check_file(const char *path, const struct elf_kind *ours,
		      char interpreter[SCRIPT_LINE_BYTES], char why[PROGRAM_WHY_BYTES])
{
	int verdict;
	int err;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EACCES)
		return 0; /* may be run and not read */
	if (fd < 0) {
		err = -errno;
		snprintf(why, PROGRAM_WHY_BYTES, "%s: %s", path, strerror(-err));
		return err;
	}
	verdict = elf_check(fd, ours);
	if (verdict == ELF_NOT) {
		err = read_interpreter(fd, interpreter);
		if (!err)
			err = 1;
	} else {
		err = verdict < 0 ? verdict : check_elf(fd, path, (enum elf_verdict)verdict, why);
	}
	close(fd);
	return err;
}

int program_check(const char *path, char why[PROGRAM_WHY_BYTES])
{
	char interpreter[SCRIPT_LINE_BYTES];
	char here[SCRIPT_LINE_BYTES];
	struct elf_kind ours;
	int scripts;
	int err;

	snprintf(why, PROGRAM_WHY_BYTES, "%s: cannot be run", path);
	err = elf_own_kind(&ours);
	if (err)
		return err;
	for (scripts = 0; scripts <= MAX_SCRIPTS; scripts++) {
		err = check_file(path, &ours, interpreter, why);
		if (err <= 0)
			return err;
		strcpy(here, interpreter);
		path = here;
		if (try_file(path)) {
			snprintf(why, PROGRAM_WHY_BYTES,
				 "the script's interpreter %s cannot be run", path);
			return -ENOEXEC;
		}
	}
	snprintf(why, PROGRAM_WHY_BYTES, "%s: a script of scripts of scripts", path);
	return -ELOOP;
}

/* ---- the library ---- */

/* LD_PRELOAD separates by blanks and colons, and knows no way to quote. */
static int check_library(const char *path, char why[PROGRAM_WHY_BYTES])
{
	int err;

	if (strpbrk(path, " \t\n:$")) {
		snprintf(why, PROGRAM_WHY_BYTES,
			 "%s: LD_PRELOAD takes no path with blanks, colons or dollars: move it",
			 path);
		return -EINVAL;
	}
	if (access(path, R_OK)) {
		err = -errno;
		snprintf(why, PROGRAM_WHY_BYTES, "%s: %s", path, strerror(-err));
		return err;
	}
	return 0;
}

static int find_beside_us(char out[PATH_MAX])
{
	static const char *const places[] = {"libpager.so", "../lib/libpager.so"};
	char place[2 * PATH_MAX];
	char self[PATH_MAX];
	ssize_t n;
	size_t i;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return -errno;
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	for (i = 0; i < ARRAY_LEN(places); i++) {
		snprintf(place, sizeof(place), "%s/%s", self, places[i]);
		if (realpath(place, out))
			return 0;
	}
	return -ENOENT;
}

int program_find_library(const char *given, char out[PATH_MAX], char why[PROGRAM_WHY_BYTES])
{
	int err;

	if (!given || !given[0])
		given = getenv("LIBPAGER_SO");
	if (given && given[0]) {
		if (!realpath(given, out)) {
			err = -errno;
			snprintf(why, PROGRAM_WHY_BYTES, "%s: %s", given, strerror(-err));
			return err;
		}
		return check_library(out, why);
	}
	err = find_beside_us(out);
	if (err) {
		snprintf(why, PROGRAM_WHY_BYTES,
			 "libpager.so is neither beside pagerctl nor in ../lib");
		return err;
	}
	return check_library(out, why);
}
