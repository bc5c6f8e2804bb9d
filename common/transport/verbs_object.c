#include "common/transport/verbs_object.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Relocations whose word is the address of a symbol. */
struct kinds {
	Elf64_Half machine;
	uint32_t slot, data, word;
};

static const struct kinds known_kinds[] = {
	{EM_X86_64, R_X86_64_JUMP_SLOT, R_X86_64_GLOB_DAT, R_X86_64_64},
	{EM_AARCH64, R_AARCH64_JUMP_SLOT, R_AARCH64_GLOB_DAT, R_AARCH64_ABS64},
};

struct relocations {
	const Elf64_Rela *at;
	size_t count;
};

static uintptr_t down(uintptr_t address)
{
	return address & ~(uintptr_t)(PAGE_BYTES - 1);
}

static uintptr_t up(uintptr_t address)
{
	return down(address + PAGE_BYTES - 1);
}

/* ---- what the object says of itself ---- */

static const Elf64_Dyn *dynamic(const struct link_map *object, Elf64_Sxword tag)
{
	const Elf64_Dyn *entry;

	for (entry = object->l_ld; entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == tag)
			return entry;
	}
	return NULL;
}

/* The loader may or may not have added the load address already. */
static const void *dynamic_pointer(const struct link_map *object, Elf64_Sxword tag)
{
	const Elf64_Dyn *entry = dynamic(object, tag);
	uintptr_t at;

	if (!entry)
		return NULL;
	at = entry->d_un.d_ptr;
	return (const void *)(at < object->l_addr ? at + object->l_addr : at);
}

static size_t dynamic_value(const struct link_map *object, Elf64_Sxword tag)
{
	const Elf64_Dyn *entry = dynamic(object, tag);

	return entry ? entry->d_un.d_val : 0;
}

static const Elf64_Ehdr *header(const struct link_map *object)
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)object->l_addr;

	if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	return head;
}

/* The n-th program header of this type, or NULL. */
static const Elf64_Phdr *segment(const struct link_map *object, Elf64_Word type, unsigned n)
{
	const Elf64_Ehdr *head = header(object);
	const Elf64_Phdr *at = (const Elf64_Phdr *)((const char *)head + head->e_phoff);
	unsigned i;

	for (i = 0; i < head->e_phnum; i++) {
		if (at[i].p_type == type && n-- == 0)
			return &at[i];
	}
	return NULL;
}

/* ---- redirecting ---- */

static void *find(const struct verbs_redirect *table, const char *name)
{
	for (; table->name; table++) {
		if (strcmp(table->name, name) == 0)
			return table->to;
	}
	return NULL;
}

static const struct kinds *kinds_of(const struct link_map *object)
{
	const Elf64_Ehdr *head = header(object);
	unsigned i;

	for (i = 0; head && i < ARRAY_LEN(known_kinds); i++) {
		if (known_kinds[i].machine == head->e_machine)
			return &known_kinds[i];
	}
	return NULL;
}

static void redirect_some(const struct link_map *object, const struct relocations *relocations,
			  const struct verbs_redirect *table)
{
	const Elf64_Sym *symbols = dynamic_pointer(object, DT_SYMTAB);
	const char *names = dynamic_pointer(object, DT_STRTAB);
	const struct kinds *kinds = kinds_of(object);
	size_t i;

	for (i = 0; i < relocations->count; i++) {
		const Elf64_Rela *relocation = &relocations->at[i];
		uint32_t type = (uint32_t)ELF64_R_TYPE(relocation->r_info);
		const Elf64_Sym *symbol = &symbols[ELF64_R_SYM(relocation->r_info)];
		void *to;

		if (type != kinds->slot && type != kinds->data && type != kinds->word)
			continue;
		to = find(table, names + symbol->st_name);
		if (to)
			*(void **)(object->l_addr + relocation->r_offset) = to;
	}
}

/* The loader looks at the dynamic section again when it is time to call destructors. */
static void drop_destructors(const struct link_map *object)
{
	Elf64_Dyn *size = (Elf64_Dyn *)dynamic(object, DT_FINI_ARRAYSZ);

	if (size)
		size->d_un.d_val = 0;
}

/* What the loader has made read-only after relocating, tables and dynamic section included. */
static int protect(const struct link_map *object, int protection)
{
	const Elf64_Phdr *relro = segment(object, PT_GNU_RELRO, 0);
	uintptr_t start, end;

	if (!relro)
		return 0;
	start = down(object->l_addr + relro->p_vaddr);
	end = down(object->l_addr + relro->p_vaddr + relro->p_memsz);
	return mprotect((void *)start, end - start, protection) < 0 ? -errno : 0;
}

int verbs_object_redirect(const struct link_map *object, const struct verbs_redirect *table)
{
	const struct relocations slots = {
		.at = dynamic_pointer(object, DT_JMPREL),
		.count = dynamic_value(object, DT_PLTRELSZ) / sizeof(Elf64_Rela),
	};
	const struct relocations others = {
		.at = dynamic_pointer(object, DT_RELA),
		.count = dynamic_value(object, DT_RELASZ) / sizeof(Elf64_Rela),
	};
	int err;

	if (!kinds_of(object) || (slots.count && dynamic_value(object, DT_PLTREL) != DT_RELA))
		return -ENOEXEC;
	err = protect(object, PROT_READ | PROT_WRITE);
	if (err)
		return err;
	redirect_some(object, &slots, table);
	redirect_some(object, &others, table);
	drop_destructors(object);
	return protect(object, PROT_READ);
}

/* ---- .bss ---- */

static int share(uintptr_t start, size_t bytes)
{
	void *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int err;

	if (copy == MAP_FAILED)
		return -errno;
	memcpy(copy, (const void *)start, bytes);
	(void)madvise(copy, bytes, MADV_DONTFORK);
	if (mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) ==
	    MAP_FAILED) {
		err = -errno;
		munmap(copy, bytes);
		return err;
	}
	return 0;
}

int verbs_object_share_bss(const struct link_map *object)
{
	const Elf64_Phdr *load;
	uintptr_t start, end;
	unsigned i;
	int err;

	if (!header(object))
		return -ENOEXEC;
	for (i = 0; (load = segment(object, PT_LOAD, i)); i++) {
		if (!(load->p_flags & PF_W))
			continue;
		start = up(object->l_addr + load->p_vaddr + load->p_filesz);
		end = up(object->l_addr + load->p_vaddr + load->p_memsz);
		err = start < end ? share(start, end - start) : 0;
		if (err)
			return err;
	}
	return 0;
}
