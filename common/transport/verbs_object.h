/*
 * Surgery on a loaded ELF object (elf(5)), 64 bits, relocations with addends: x86-64 and arm64. For
 * verbs_memory.c alone, right after loading, while nobody calls the object.
 */
#ifndef COMMON_TRANSPORT_VERBS_OBJECT_H
#define COMMON_TRANSPORT_VERBS_OBJECT_H

#include "common/base/compiler.h"

#include <link.h>

struct verbs_redirect {
	const char *name; /* of a function; NULL ends the table */
	void *to;
};

/* All calls that the object makes of a function of the table, and pointers to it, go elsewhere; and
 * the object's destructors are not called any more. 0, -ENOEXEC, or what mprotect(2) says. */
int verbs_object_redirect(const struct link_map *object,
			  const struct verbs_redirect *table) MUST_CHECK;

/*
 * Puts a shared mapping that is not inherited by fork in the place of the object's private
 * anonymous memory, with the same content.
 */
int verbs_object_share_bss(const struct link_map *object) MUST_CHECK;

#endif
