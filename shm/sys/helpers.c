// SPDX-License-Identifier: GPL-2.0
/*
 * What takes macros and inline functions of the kernel that have no helper in rust/helpers.
 */
#include "helpers.h"

#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

void rust_shm_flush_dcache_folio(struct folio *folio)
{
	flush_dcache_folio(folio);
}

#ifdef CONFIG_CONTIG_ALLOC
/*
 * Whether a page is the first of a free block as large as a pageblock, or larger. It may change at any time.
 */
static bool is_free_block(struct page *page)
{
	return PageBuddy(page) && READ_ONCE(page->private) >= pageblock_order;
}

/*
 * Allocates a page of a zone by its place, and frees it. In a free block nothing stands in the way; where there is none,
 * as few pages as these are tried.
 */
static void drain_zone(struct zone *zone)
{
	int tries = 16;
	bool any;

	for (any = false;; any = true) {
		unsigned long pfn = ALIGN(zone->zone_start_pfn, pageblock_nr_pages);

		for (; pfn < zone_end_pfn(zone); pfn += pageblock_nr_pages) {
			struct page *page = pfn_to_online_page(pfn);

			if (fatal_signal_pending(current))
				return;
			if (!(pfn % (pageblock_nr_pages * 1024)))
				cond_resched();
			if (!page || page_zone(page) != zone || page_count(page) || !(any || is_free_block(page)))
				continue;
			if (!alloc_contig_range(pfn, pfn + 1, ACR_FLAGS_NONE, GFP_KERNEL | __GFP_NOWARN)) {
				free_contig_range(pfn, 1);
				return;
			}
			if (!--tries)
				return;
		}
		if (any)
			return;
	}
}

void rust_shm_drain_cpus(void)
{
	static unsigned long last;
	unsigned long before = READ_ONCE(last);
	long wait = before + HZ / 10 - jiffies;
	int node, index;

	/* It makes work for all CPUs. Two at once do no harm. */
	if (before && wait > 0) {
		schedule_timeout_killable(wait);
		/* Somebody else has done it meanwhile. */
		if (READ_ONCE(last) != before)
			return;
	}
	WRITE_ONCE(last, jiffies);
	for_each_node_state(node, N_MEMORY) {
		for (index = 0; index < MAX_NR_ZONES; index++) {
			struct zone *zone = &NODE_DATA(node)->node_zones[index];

			if (populated_zone(zone) && !zone_is_zone_device(zone))
				drain_zone(zone);
		}
	}
}
#else
void rust_shm_drain_cpus(void)
{
}
#endif
