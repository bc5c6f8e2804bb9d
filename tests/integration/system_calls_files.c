#include "tests/integration/system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES 4u /* of a vector */

void file_put(int fd, const char *bytes, size_t len)
{
	must(pwrite(fd, bytes, len, 0) == (ssize_t)len, "pwrite of what is here");
	must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
}

void file_must_have(int fd, const struct piece *piece)
{
	static char *got;

	if (!got)
		got = plain_memory(PIECE_BYTES);
	must(pread(fd, got, piece->len, 0) == (ssize_t)piece->len, "pread to what is here");
	piece_must_be(piece, got);
	must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
}

/* ---- into memory ---- */

int way_read(void)
{
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		const char *bytes = news(piece.len);

		file_put(fd, bytes, piece.len);
		must(read(fd, piece.at, piece.len) == (ssize_t)piece.len, "read");
		piece_must_have(&piece, bytes);
	}
	close(fd);
	return 0;
}

int way_pread(void)
{
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();
		const char *bytes = news(piece.len);

		file_put(fd, bytes, piece.len);
		must(pread(fd, piece.at, piece.len, 0) == (ssize_t)piece.len, "pread");
		piece_must_have(&piece, bytes);
	}
	close(fd);
	return 0;
}

static bool is_apart(const struct piece *piece, const struct piece *others, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (labs(piece->at - others[i].at) < (long)PIECE_BYTES)
			return false;
	return true;
}

/* Parts that may lie across a border, wherever, but no two in one page. */
static size_t choose_vector(struct piece pieces[PIECES], struct iovec vector[PIECES])
{
	size_t len = 0;

	for (unsigned i = 0; i < PIECES; i++) {
		do
			pieces[i] = piece_out_struct(2000 + 8 * i);
		while (!is_apart(&pieces[i], pieces, i));
		vector[i] = (struct iovec){pieces[i].at, pieces[i].len};
		len += pieces[i].len;
	}
	return len;
}

int way_readv(void)
{
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece pieces[PIECES];
		struct iovec vector[PIECES];
		size_t len = choose_vector(pieces, vector);
		const char *bytes = news(len);

		file_put(fd, bytes, len);
		must(readv(fd, vector, PIECES) == (ssize_t)len, "readv");
		for (unsigned j = 0; j < PIECES; bytes += pieces[j++].len)
			piece_must_have(&pieces[j], bytes);
	}
	close(fd);
	return 0;
}

/* ---- out of memory ---- */

int way_write(void)
{
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();

		must(write(fd, piece.at, piece.len) == (ssize_t)piece.len, "write");
		file_must_have(fd, &piece);
	}
	close(fd);
	return 0;
}

int way_pwrite(void)
{
	int fd = scratch_file(0);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out();

		must(pwrite(fd, piece.at, piece.len, 0) == (ssize_t)piece.len, "pwrite");
		file_must_have(fd, &piece);
	}
	close(fd);
	return 0;
}

int way_writev(void)
{
	int fd = scratch_file(0);
	char *got = plain_memory(PIECE_BYTES);

	for (unsigned i = 0; i < rounds; i++) {
		struct piece pieces[PIECES];
		struct iovec vector[PIECES];
		ssize_t len = (ssize_t)choose_vector(pieces, vector);
		const char *bytes = got;

		must(pwritev(fd, vector, PIECES, 0) == len, "pwritev");
		must(pread(fd, got, (size_t)len, 0) == len, "pread to what is here");
		for (unsigned j = 0; j < PIECES; bytes += pieces[j++].len)
			piece_must_be(&pieces[j], bytes);
	}
	close(fd);
	return 0;
}

/* ---- past the page cache: the kernel holds on to the pages themselves ---- */

static int open_direct(void)
{
	int fd = scratch_file(O_DIRECT);

	if (fd < 0)
		return -EINVAL;
	return fd;
}

int way_direct_read(void)
{
	int fd = open_direct();

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out_whole();
		const char *bytes = news(piece.len);

		file_put(fd, bytes, piece.len);
		must(pread(fd, piece.at, piece.len, 0) == (ssize_t)piece.len, "pread, O_DIRECT");
		piece_must_have(&piece, bytes);
	}
	close(fd);
	return 0;
}

int way_direct_write(void)
{
	int fd = open_direct();

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < rounds; i++) {
		struct piece piece = piece_out_whole();

		must(pwrite(fd, piece.at, piece.len, 0) == (ssize_t)piece.len, "pwrite, O_DIRECT");
		file_must_have(fd, &piece);
	}
	close(fd);
	return 0;
}

/* ---- names ---- */

/* Each is out when it is used for the first time; the kernel writes the last, of a link. */
int way_paths(void)
{
	char *names = borrow(8 * PAGE_BYTES), *made = names, *linked = names + 2 * PAGE_BYTES,
	     *moved = names + 4 * PAGE_BYTES, *target = names + 6 * PAGE_BYTES;
	char plain[PAGE_BYTES];
	struct stat *stat_out = borrow(sizeof(*stat_out)), here;
	ssize_t len;
	int fd;

	must(snprintf(plain, sizeof(plain), "%s/made", directory) > 0, "snprintf");
	len = (ssize_t)strlen(plain);
	snprintf(made, PAGE_BYTES, "%s", plain);
	snprintf(linked, PAGE_BYTES, "%s/linked", directory);
	snprintf(moved, PAGE_BYTES, "%s/moved", directory);
	wait_until_out(names, 8 * PAGE_BYTES);
	wait_until_out(stat_out, sizeof(*stat_out));

	fd = open(made, O_RDWR | O_CREAT | O_EXCL, 0600);
	must(fd >= 0 && access(plain, R_OK) == 0, "open");
	must(symlink(plain, linked) == 0, "symlink");
	must(readlink(linked, target, PAGE_BYTES) == len && memcmp(target, plain, (size_t)len) == 0,
	     "readlink");
	must(stat(linked, stat_out) == 0 && fstat(fd, &here) == 0 &&
		     memcmp(stat_out, &here, sizeof(here)) == 0,
	     "stat");
	must(rename(plain, moved) == 0 && access(plain, R_OK) != 0, "rename");
	must(unlink(moved) == 0 && unlink(linked) == 0, "unlink");
	close(fd);
	return 0;
}
