/*
 * The one engine of this process: started by the preload constructor or by pager_start(), carried
 * over forks.
 */
#ifndef LIBPAGER_HOST_H
#define LIBPAGER_HOST_H

#include "common/base/compiler.h"
#include "pager/config.h"
#include "pager/engine.h"

/* Starts it. -EALREADY, or what engine_start() says. Registers the fork handlers the first time. */
int host_start(const struct config *config) MUST_CHECK;

/* NULL if there is none, as in a child that did not come by fork(3). */
struct engine *host_engine(void);

/*
 * For what the kernel permits to a process of one thread only: ends all threads of ours if the
 * caller is the only one besides them, and as long as nothing is paged. False if they stay. After
 * true host_return() starts them again. All signals blocked.
 */
bool host_withdraw(void) MUST_CHECK;
void host_return(void);

/* Where lines go: descriptor 2 as it was at start, or the file of the configuration. */
void host_log_open(const struct config *config);

#endif
