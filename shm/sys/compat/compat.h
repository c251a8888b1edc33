/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What headers before those of 7.2 do not have.
 */
#ifndef RUST_SHM_COMPAT_H
#define RUST_SHM_COMPAT_H

#include <linux/mm.h>
#include <linux/shmem_fs.h>

/* The flags of a file of shmem are those of a mapping, in a word. */
#ifndef EMPTY_VMA_FLAGS
#define EMPTY_VMA_FLAGS 0
#endif

/* As are those of its inode. */
#ifndef SHMEM_F_LOCKED
#define SHMEM_F_LOCKED VM_LOCKED
#endif

#endif
