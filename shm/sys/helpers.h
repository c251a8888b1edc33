/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_SHM_HELPERS_H
#define RUST_SHM_HELPERS_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/uio.h>

#include "compat/compat.h"

/* flush_dcache_folio() */
void rust_shm_flush_dcache_folio(struct folio *folio);

/*
 * Makes all CPUs give back the free pages that each keeps for itself: drain_all_pages(), which is not exported. The
 * allocator calls it where it is short of memory, but only after it has reclaimed something; and for a zone in which a page
 * is allocated by its place. May sleep, and waits so that it is done at most ten times a second, about. Does nothing without
 * CONFIG_CONTIG_ALLOC.
 */
void rust_shm_drain_cpus(void);

/* Shortens what is left of an iterator to a number of bytes; returns how much it was before. */
size_t rust_shm_iter_limit(struct iov_iter *iter, size_t limit);

/*
 * Adds seals (F_SEAL_*) to an inode of shmem, as memfd_add_seals(), which is not exported. For F_SEAL_WRITE, EBUSY if it is mapped
 * writable, or if a page is pinned: somebody may still write to it without a mapping. May sleep.
 */
int rust_shm_seal(struct inode *inode, unsigned int seals);

/*
 * stat(2) of a segment's file, which root comes to by /proc/PID/map_files, tells the device number that the kernel's own shared memory
 * has: by that, and by the name, CRIU knows an attach. /proc/PID/maps goes on to tell that of the mount.
 */

/* Looks up what it takes, the first time. To be called before the next. May sleep. */
int rust_shm_stat_init(void);

/* For an inode of shmem that is new, on a mount of the module's. */
void rust_shm_stat_as_builtin(struct inode *inode);

/*
 * For all inodes of a mount, on which no more are made: what somebody has open outlives the module, and tells the mount's number from now
 * on. May sleep.
 */
void rust_shm_stat_as_mount(struct vfsmount *mount);

#endif
