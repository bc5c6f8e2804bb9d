#include "pager/ctl/elf.h"
#include "pager/ctl/program.h"
#include "tests/suite.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The least that the check looks at: a header, one segment, and the loader's name. */
struct tiny {
	ElfW(Ehdr) header;
	ElfW(Phdr) segment;
	char loader[64];
};

static struct elf_kind ours;

static struct tiny tiny_program(void)
{
	struct tiny tiny = {
		.header =
			{
				.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ours.word,
					    ours.order},
				.e_type = ET_DYN,
				.e_machine = ours.machine,
				.e_phoff = offsetof(struct tiny, segment),
				.e_phentsize = sizeof(ElfW(Phdr)),
				.e_phnum = 1,
			},
		.segment =
			{
				.p_type = PT_INTERP,
				.p_offset = offsetof(struct tiny, loader),
				.p_filesz = sizeof(tiny.loader),
			},
		.loader = "/lib64/ld-linux-x86-64.so.2",
	};

	return tiny;
}

static int check_bytes(const void *bytes, size_t len)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	int verdict;

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, bytes, len), (ssize_t)len);
	verdict = elf_check(fd, &ours);
	close(fd);
	return verdict;
}

static int check(struct tiny tiny)
{
	return check_bytes(&tiny, sizeof(tiny));
}

static void a_dynamic_program_of_ours_is_fine(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CU_ASSERT_EQUAL(check(tiny_program()), ELF_DYNAMIC);
	CU_ASSERT_EQUAL(elf_check(fd, &ours), ELF_DYNAMIC);
	close(fd);
}

static void a_program_without_a_loader_is_static(void)
{
	struct tiny tiny = tiny_program();

	tiny.segment.p_type = PT_LOAD;
	CU_ASSERT_EQUAL(check(tiny), ELF_STATIC);
	tiny.header.e_phnum = 0;
	tiny.header.e_type = ET_EXEC;
	CU_ASSERT_EQUAL(check(tiny), ELF_STATIC);
}

static void another_machine_is_told(void)
{
	struct tiny tiny = tiny_program();

	tiny.header.e_machine ^= 1;
	CU_ASSERT_EQUAL(check(tiny), ELF_OTHER_MACHINE);
	tiny = tiny_program();
	tiny.header.e_ident[EI_CLASS] ^= 3; /* 64 bits to 32 and back */
	CU_ASSERT_EQUAL(check(tiny), ELF_OTHER_MACHINE);
	CU_ASSERT_EQUAL(check_bytes(&tiny, 40), ELF_OTHER_MACHINE);
}

static void another_c_library_is_told(void)
{
	struct tiny tiny = tiny_program();

	strcpy(tiny.loader, "/lib/ld-musl-x86_64.so.1");
	CU_ASSERT_EQUAL(check(tiny), ELF_OTHER_LIBC);
}

static void damage_is_told(void)
{
	struct tiny tiny = tiny_program();

	CU_ASSERT_EQUAL(check_bytes(&tiny, sizeof(tiny.header) - 1), ELF_BROKEN);
	CU_ASSERT_EQUAL(check_bytes(&tiny, sizeof(tiny.header) + 10), ELF_BROKEN);
	CU_ASSERT_EQUAL(check_bytes(&tiny, offsetof(struct tiny, loader) + 3), ELF_BROKEN);
	tiny.header.e_type = ET_CORE;
	CU_ASSERT_EQUAL(check(tiny), ELF_BROKEN);
	tiny = tiny_program();
	tiny.header.e_phentsize = 1;
	CU_ASSERT_EQUAL(check(tiny), ELF_BROKEN);
	tiny = tiny_program();
	tiny.header.e_phoff = (ElfW(Off)) - 1;
	CU_ASSERT_EQUAL(check(tiny), ELF_BROKEN);
	tiny = tiny_program();
	tiny.segment.p_filesz = 0;
	CU_ASSERT_EQUAL(check(tiny), ELF_BROKEN);
	tiny.segment.p_filesz = (ElfW(Xword)) - 1;
	CU_ASSERT_EQUAL(check(tiny), ELF_BROKEN);
	tiny = tiny_program();
	tiny.segment.p_offset = (ElfW(Off)) - 1;
	CU_ASSERT_EQUAL(check(tiny), ELF_BROKEN);
}

static void what_is_no_elf_is_told(void)
{
	CU_ASSERT_EQUAL(check_bytes("", 0), ELF_NOT);
	CU_ASSERT_EQUAL(check_bytes("#!/bin/sh\n", 10), ELF_NOT);
}

/* ---- files ---- */

static char dir[] = "/tmp/test_ctl_program.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *put(const char *name, const void *bytes, size_t len, mode_t mode)
{
	const char *path = in_dir(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(write(fd, bytes, len), (ssize_t)len);
	CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static const char *put_script(const char *name, const char *text)
{
	return put(name, text, strlen(text), 0755);
}

static char why[PROGRAM_WHY_BYTES];

static void a_script_is_judged_by_its_interpreter(void)
{
	struct tiny tiny = tiny_program();
	char text[PATH_MAX + 8];

	CU_ASSERT_EQUAL(program_check(put_script("ok", "#! /bin/sh -e\necho\n"), why), 0);
	CU_ASSERT_EQUAL(program_check(put_script("plain", "echo hello\n"), why), 0);
	tiny.segment.p_type = PT_LOAD;
	snprintf(text, sizeof(text), "#!%s\n", put("static", &tiny, sizeof(tiny), 0755));
	CU_ASSERT_EQUAL(program_check(put_script("script", text), why), -ENOEXEC);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "statically linked"));
	CU_ASSERT_EQUAL(program_check(put_script("gone", "#!/nowhere/sh\n"), why), -ENOEXEC);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "/nowhere/sh"));
	CU_ASSERT_EQUAL(program_check(put_script("empty", "#!\n"), why), -ENOEXEC);
}

static void a_script_that_interprets_itself_ends(void)
{
	char text[PATH_MAX + 8];

	snprintf(text, sizeof(text), "#!%s\n", in_dir("self"));
	CU_ASSERT_EQUAL(program_check(put_script("self", text), why), -ELOOP);
}

/* Bits that give nothing the user has not: the loader goes on preloading. */
static void set_id_bits_without_effect_are_fine(void)
{
	struct tiny tiny = tiny_program();

	CU_ASSERT_EQUAL(program_check(put("own", &tiny, sizeof(tiny), 06755), why), 0);
}

static void a_program_with_more_rights_is_refused(void)
{
	struct tiny tiny = tiny_program();
	const char *path = put("rights", &tiny, sizeof(tiny), 0755);

	CU_ASSERT_EQUAL(chown(path, 51966, 51966), 0);
	CU_ASSERT_EQUAL(program_check(path, why), 0);
	CU_ASSERT_EQUAL(chmod(path, 04755), 0);
	CU_ASSERT_EQUAL(program_check(path, why), -EPERM);
	CU_ASSERT_EQUAL(chmod(path, 02755), 0);
	CU_ASSERT_EQUAL(program_check(path, why), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "more rights"));
}

static void a_search_passes_over_what_cannot_run(void)
{
	char found[PATH_MAX];

	put("data", "x", 1, 0644);
	put_script("tool", "#!/bin/sh\n");
	CU_ASSERT_EQUAL(setenv("PATH", "/nowhere::/bin", 1), 0);
	CU_ASSERT_EQUAL(program_find("sh", found), 0);
	CU_ASSERT_STRING_EQUAL(found, "/bin/sh");
	CU_ASSERT_EQUAL(program_find("no-such-tool-here", found), -ENOENT);
	CU_ASSERT_EQUAL(program_find("", found), -ENOENT);
	CU_ASSERT_EQUAL(setenv("PATH", dir, 1), 0);
	CU_ASSERT_EQUAL(program_find("tool", found), 0);
	CU_ASSERT_STRING_EQUAL(found, in_dir("tool"));
	CU_ASSERT_EQUAL(program_find("data", found), -EACCES);
	CU_ASSERT_EQUAL(program_find(dir, found), -EACCES);
	CU_ASSERT_EQUAL(program_find(in_dir("nothing"), found), -ENOENT);
}

static void a_library_that_cannot_be_preloaded_is_told(void)
{
	char found[PATH_MAX];

	CU_ASSERT_EQUAL(unsetenv("LIBPAGER_SO"), 0);
	CU_ASSERT_EQUAL(program_find_library(in_dir("nothing"), found, why), -ENOENT);
	CU_ASSERT_EQUAL(program_find_library(put("a b.so", "x", 1, 0644), found, why), -EINVAL);
	CU_ASSERT_EQUAL(program_find_library(put("fine.so", "x", 1, 0644), found, why), 0);
	CU_ASSERT_STRING_EQUAL(found, in_dir("fine.so"));
	CU_ASSERT_EQUAL(setenv("LIBPAGER_SO", in_dir("nothing"), 1), 0);
	CU_ASSERT_EQUAL(program_find_library(NULL, found, why), -ENOENT);
	CU_ASSERT_EQUAL(program_find_library(in_dir("fine.so"), found, why), 0);
}

static void remove_dir(void)
{
	static const char *const names[] = {"ok",    "plain",  "static", "script", "gone",
					    "empty", "self",   "own",	 "data",   "rights",
					    "tool",  "a b.so", "fine.so"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlink(in_dir(names[i]));
	rmdir(dir);
}

int main(void)
{
	const struct suite_test tests[] = {
		SUITE_TEST(a_dynamic_program_of_ours_is_fine),
		SUITE_TEST(a_program_without_a_loader_is_static),
		SUITE_TEST(another_machine_is_told),
		SUITE_TEST(another_c_library_is_told),
		SUITE_TEST(damage_is_told),
		SUITE_TEST(what_is_no_elf_is_told),
		SUITE_TEST(a_script_is_judged_by_its_interpreter),
		SUITE_TEST(a_script_that_interprets_itself_ends),
		SUITE_TEST(set_id_bits_without_effect_are_fine),
		{"a_program_with_more_rights_is_refused", a_program_with_more_rights_is_refused,
		 geteuid() ? "giving files away needs root" : NULL},
		SUITE_TEST(a_search_passes_over_what_cannot_run),
		SUITE_TEST(a_library_that_cannot_be_preloaded_is_told),
		SUITE_END,
	};
	int status;

	if (elf_own_kind(&ours) || !mkdtemp(dir))
		return 2;
	status = suite_run("ctl_program", tests);
	remove_dir();
	return status;
}
