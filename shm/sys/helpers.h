/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_SHM_HELPERS_H
#define RUST_SHM_HELPERS_H

#include <linux/mm.h>

/* flush_dcache_folio() */
void rust_shm_flush_dcache_folio(struct folio *folio);

/*
 * Makes all CPUs give back the free pages that each keeps for itself: drain_all_pages(), which is not exported. The
 * allocator calls it where it is short of memory, but only after it has reclaimed something; and for a zone in which a page
 * is allocated by its place. May sleep, and waits so that it is done at most ten times a second, about. Does nothing without
 * CONFIG_CONTIG_ALLOC.
 */
void rust_shm_drain_cpus(void);

#endif
