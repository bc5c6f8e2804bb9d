#include "donor/slab.h"

#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "donor/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Nodes that a mask can name; the kernel's own limit is 1024. */
#define MASK_NODES 1024
#define MASK_BITS (CHAR_BIT * sizeof(unsigned long))

static int memfd_make(const struct slab_kind *kind, int *out)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (kind->huge)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	if (FAULT_POINT())
		return -EMFILE;
	fd = memfd_create("donord-slab", flags);
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}

static int map(int fd, uint64_t bytes, void **out)
{
	void *base;

	if (FAULT_POINT())
		return -ENOMEM;
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	*out = base;
	return 0;
}

/*
 * The policy of a shared mapping is kept with its file, where fallocate() heeds it. mbind(2) by
 * number: libnuma would be one more library for one call.
 */
static int bind_to_node(void *base, const struct slab_kind *kind)
{
	unsigned long mask[MASK_NODES / MASK_BITS] = {0};

	if (kind->node == HOST_NO_NODE)
		return 0;
	mask[(unsigned)kind->node / MASK_BITS] = 1ul << ((unsigned)kind->node % MASK_BITS);
	if (syscall(SYS_mbind, base, kind->bytes, MPOL_BIND, mask, MASK_NODES, 0))
		return -errno;
	return 0;
}

/* Memory now, not at first touch: a client must never find out by SIGBUS that there was none. */
static int allocate(int fd, uint64_t bytes)
{
	if (FAULT_POINT())
		return -ENOMEM;
	while (fallocate(fd, 0, 0, (off_t)bytes)) {
		if (errno != EINTR)
			return errno == ENOSPC ? -ENOMEM : -errno;
	}
	return 0;
}

/* Seals come last: a client that has the descriptor can change neither size nor seals. */
static int fill_and_seal(const struct slab_kind *kind, struct slab *slab)
{
	int err;

	err = bind_to_node(slab->base, kind);
	if (err)
		return err;
	err = allocate(slab->memfd, kind->bytes);
	if (err)
		return err;
	if (fcntl(slab->memfd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -errno;
	return 0;
}

static bool is_affordable(const struct slab_kind *kind)
{
	if (kind->huge)
		return host_huge_free() >= kind->bytes / HOST_HUGE_BYTES;
	return host_ram_spare(kind->node) >= kind->bytes;
}

int slab_make(const struct slab_kind *kind, struct slab **out)
{
	struct slab *slab;
	int err;

	if (!is_affordable(kind))
		return -ENOMEM;
	slab = FAULT_POINT() ? NULL : calloc(1, sizeof(*slab));
	if (!slab)
		return -ENOMEM;
	err = memfd_make(kind, &slab->memfd);
	if (err)
		goto err_free;
	if (ftruncate(slab->memfd, (off_t)kind->bytes)) {
		err = -errno;
		goto err_close;
	}
	err = map(slab->memfd, kind->bytes, &slab->base);
	if (err)
		goto err_close;
	slab->bytes = kind->bytes;
	err = fill_and_seal(kind, slab);
	if (err)
		goto err_unmap;
	*out = slab;
	return 0;

err_unmap:
	munmap(slab->base, kind->bytes);
err_close:
	close(slab->memfd);
err_free:
	free(slab);
	return err;
}

void slab_destroy(struct slab *slab)
{
	if (!slab)
		return;
	if (fallocate(slab->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)slab->bytes))
		log_warn("memory of a slab is not released: %s", strerror(errno));
	munmap(slab->base, slab->bytes);
	close(slab->memfd);
	free(slab);
}
