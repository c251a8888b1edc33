/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The system calls of System V shared memory, as a namespace that is served has them: served.c, which the calls come to, calls these. Each
 * returns what the system call returns, a negative errno, or RUST_SHM_PASS. They may sleep.
 */
#ifndef RUST_SHM_SERVED_CALLS_H
#define RUST_SHM_SERVED_CALLS_H

#include <linux/compat.h>

#include "served.h"

/* Of the structures of shmctl(2). */
enum rust_shm_layout {
	NATIVE,
	COMPAT_64,
	COMPAT_OLD,
};

/* As ksys_shmctl() and compat_ksys_shmctl(). */
long rust_shm_shmctl(const struct rust_shm_served *served, int id, int cmd, void __user *buf, enum rust_shm_layout layout);

long rust_shm_shmat(const struct rust_shm_served *served, int id, unsigned long at, int flags, bool compat);

/*
 * An attach of the built-in's, made before or in another namespace, can be detached here as ever. The built-in says what the error is,
 * too.
 */
long rust_shm_shmdt(const struct rust_shm_served *served, unsigned long at);

#ifdef CONFIG_COMPAT
/* As compat_ksys_old_shmctl(): a flag in the command tells the layout. */
long rust_shm_old_shmctl(const struct rust_shm_served *served, int id, int cmd, compat_uptr_t buf);
#endif

#ifdef CONFIG_IA32_EMULATION
/* As compat_ksys_ipc(), for SHMAT, SHMDT, SHMGET and SHMCTL alone. */
long rust_shm_ipc(const struct rust_shm_served *served, u32 call, int first, int second, u32 third, u32 ptr);
#endif

#endif
