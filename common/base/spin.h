/*
 * What a thread does between two looks at something that another CPU is about to change: tells the
 * processor that this is a waiting loop. Every such loop has a bound.
 */
#ifndef COMMON_BASE_SPIN_H
#define COMMON_BASE_SPIN_H

#if defined(__x86_64__) || defined(__i386__)
#define spin_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define spin_pause() __asm__ volatile("yield" ::: "memory")
#else
#define spin_pause() __asm__ volatile("" ::: "memory")
#endif

#endif
