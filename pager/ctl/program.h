/*
 * The program that `pagerctl run` becomes: where it is, and whether libpager.so would be loaded
 * into it. Whoever asks would rather read why not than wonder why nothing is paged.
 */
#ifndef PAGER_CTL_PROGRAM_H
#define PAGER_CTL_PROGRAM_H

#include "common/base/compiler.h"

#include <limits.h>

#define PROGRAM_WHY_BYTES (2 * PATH_MAX)

/* Searches as execvp() does. -ENOENT; -EACCES: there is one, and it may not be run. */
int program_find(const char *name, char out[PATH_MAX]) MUST_CHECK;

/*
 * 0 if libpager.so will be loaded into it or its interpreter; else a negative errno, with `why` as
 * one line. What cannot be known (a file that may be run and not read) passes.
 */
int program_check(const char *path, char why[PROGRAM_WHY_BYTES]) MUST_CHECK;

/*
 * Finds libpager.so: `given`, or LIBPAGER_SO, or beside this program (a build), or in ../lib of it
 * (an installation). -ENOENT and others with `why`.
 */
int program_find_library(const char *given, char out[PATH_MAX],
			 char why[PROGRAM_WHY_BYTES]) MUST_CHECK;

#endif
