/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_SHM_HELPERS_H
#define RUST_SHM_HELPERS_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/uio.h>

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

#endif
