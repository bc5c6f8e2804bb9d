#include "pager/ctl/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* 0, -ENODATA if the file ends before, or what read says. */
static int read_at(int fd, void *out, size_t len, uint64_t offset)
{
	ssize_t n;

	if (offset > INT64_MAX - len)
		return -ENODATA;
	n = pread(fd, out, len, (off_t)offset);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -ENODATA;
}

static bool is_elf(const ElfW(Ehdr) * header)
{
	return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0;
}

static struct elf_kind kind_of(const ElfW(Ehdr) * header)
{
	struct elf_kind kind = {
		.word = header->e_ident[EI_CLASS],
		.order = header->e_ident[EI_DATA],
		.machine = header->e_machine,
	};

	return kind;
}

int elf_own_kind(struct elf_kind *out)
{
	ElfW(Ehdr) header;
	int err;
	int fd;

	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = read_at(fd, &header, sizeof(header), 0);
	close(fd);
	if (err)
		return err;
	*out = kind_of(&header);
	return 0;
}

/* A loader of ours is glibc's; musl's cannot load a library that was linked against glibc. */
static int check_loader(int fd, const ElfW(Phdr) * segment)
{
	char loader[PATH_MAX];
	int err;

	if (segment->p_filesz == 0 || segment->p_filesz >= sizeof(loader))
		return ELF_BROKEN;
	err = read_at(fd, loader, segment->p_filesz, segment->p_offset);
	if (err)
		return err == -ENODATA ? ELF_BROKEN : err;
	loader[segment->p_filesz] = '\0';
	return strstr(loader, "ld-musl") ? ELF_OTHER_LIBC : ELF_DYNAMIC;
}

static int check_segments(int fd, const ElfW(Ehdr) * header)
{
	ElfW(Phdr) segment;
	unsigned i;
	int err;

	if (header->e_phentsize != sizeof(segment))
		return ELF_BROKEN;
	for (i = 0; i < header->e_phnum; i++) {
		uint64_t offset;

		if (__builtin_add_overflow(header->e_phoff, i * sizeof(segment), &offset))
			return ELF_BROKEN;
		err = read_at(fd, &segment, sizeof(segment), offset);
		if (err)
			return err == -ENODATA ? ELF_BROKEN : err;
		if (segment.p_type == PT_INTERP)
			return check_loader(fd, &segment);
	}
	return ELF_STATIC;
}

int elf_check(int fd, const struct elf_kind *ours)
{
	ElfW(Ehdr) header = {.e_type = ET_NONE};
	struct elf_kind kind;
	int err;

	err = read_at(fd, &header, sizeof(header), 0);
	if (err && err != -ENODATA)
		return err;
	if (!is_elf(&header))
		return ELF_NOT;
	kind = kind_of(&header);
	/* Before the length: a whole 32-bit file may be shorter than a 64-bit header. */
	if (kind.word != ours->word || kind.order != ours->order || kind.machine != ours->machine)
		return ELF_OTHER_MACHINE;
	if (err || (header.e_type != ET_EXEC && header.e_type != ET_DYN))
		return ELF_BROKEN;
	return check_segments(fd, &header);
}

const char *elf_verdict_text(enum elf_verdict verdict)
{
	static const char *const texts[] = {
		[ELF_DYNAMIC] = "a dynamic program",
		[ELF_NOT] = "not a program",
		[ELF_STATIC] = "statically linked, so nothing can be preloaded into it: "
			       "link it dynamically, or use pager.h in it",
		[ELF_OTHER_MACHINE] = "for another processor or word size than libpager.so: "
				      "use a build of both for the same one",
		[ELF_OTHER_LIBC] = "linked against musl, and libpager.so needs glibc: "
				   "use a build for glibc",
		[ELF_BROKEN] = "a damaged ELF file",
	};

	return texts[verdict];
}
