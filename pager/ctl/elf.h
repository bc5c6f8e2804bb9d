/*
 * What kind of program a file is, as far as LD_PRELOAD cares: whether the dynamic loader of our C
 * library will run in it. Reads a few bytes of a file that may be anything.
 */
#ifndef PAGER_CTL_ELF_H
#define PAGER_CTL_ELF_H

#include "common/base/compiler.h"

#include <stdint.h>

enum elf_verdict {
	ELF_DYNAMIC,	   /* a dynamic program of our kind: fine */
	ELF_NOT,	   /* no ELF file at all: a script, or nothing that runs */
	ELF_STATIC,	   /* names no loader: nothing can be preloaded */
	ELF_OTHER_MACHINE, /* other word size, byte order or processor */
	ELF_OTHER_LIBC,	   /* its loader is another C library's */
	ELF_BROKEN,	   /* begins like one, and is cut short or contradicts itself */
};

/* Word size, byte order and processor, as in the first bytes of an ELF file. */
struct elf_kind {
	uint8_t word, order;
	uint16_t machine;
};

/* Of the program that runs this code. */
int elf_own_kind(struct elf_kind *out) MUST_CHECK;

/* Negative errno if the file cannot be read, else an elf_verdict. Does not move the offset. */
int elf_check(int fd, const struct elf_kind *ours) MUST_CHECK;

/* The clause of a message, for everything but ELF_DYNAMIC. */
const char *elf_verdict_text(enum elf_verdict verdict);

#endif
