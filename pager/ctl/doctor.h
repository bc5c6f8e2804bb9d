/* The two halves of `pagerctl doctor`: this host, and the donors. Each finding goes to a report. */
#ifndef PAGER_CTL_DOCTOR_H
#define PAGER_CTL_DOCTOR_H

#include "pager/config.h"
#include "pager/ctl/report.h"

void doctor_check_kernel(struct report *report);       /* its version */
void doctor_check_userfaultfd(struct report *report);  /* permitted, and what it can do */
void doctor_check_library(struct report *report);      /* libpager.so is where run looks */
void doctor_check_uring(struct report *report);	       /* io_uring, for a donord here */
void doctor_check_memory_lock(struct report *report);  /* RLIMIT_MEMLOCK */
void doctor_check_rdma(struct report *report);	       /* devices, by name */
void doctor_check_memory_group(struct report *report); /* limit of the memory cgroup */
void doctor_check_huge_pages(struct report *report);   /* transparent ones */
void doctor_check_statistics(struct report *report);   /* /dev/shm */

/* First line of a small file, without its end; "" if there is none. */
void doctor_read_line(const char *path, char *out, int room);

/* What it costs to wake a thread on an idle CPU; takes about a tenth of a second at most. */
void doctor_check_cpu_latency(struct report *report);

/*
 * What is said of a median of p50_ns. `obstacle` is 0 if this user may keep idle CPUs awake,
 * -ENODEV if nothing can on this kernel, or why opening /dev/cpu_dma_latency failed.
 */
void doctor_judge_latency(struct report *report, uint64_t p50_ns, int obstacle);

/* Each donor: reachable, same protocol, free slabs, transport, round trip. */
void doctor_check_donors(struct report *report, const struct config *config);

#endif
