// SPDX-License-Identifier: GPL-2.0
/*
 * What takes macros and inline functions of the kernel that have no helper in rust/helpers.
 */
#include "helpers.h"

#include <linux/fcntl.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>

void rust_shm_flush_dcache_folio(struct folio *folio)
{
	flush_dcache_folio(folio);
}

size_t rust_shm_iter_limit(struct iov_iter *iter, size_t limit)
{
	size_t count = iov_iter_count(iter);

	iov_iter_truncate(iter, limit);
	return count;
}

/*
 * As folio_maybe_dma_pinned(), which takes 1024 mappings of a small folio for a pin.
 */
static bool is_pinned(struct folio *folio)
{
	if (folio_has_pincount(folio))
		return atomic_read(&folio->_pincount) > 0;
	return folio_ref_count(folio) - folio_mapcount(folio) >= GUP_PIN_COUNTING_BIAS;
}

/*
 * Whether a page is pinned for direct access. memfd_wait_for_pins() also looks for other references, but most of them are those of the
 * lists of CPUs, and what drains these is not exported.
 */
static bool has_pins(struct address_space *mapping)
{
	struct folio_batch batch;
	pgoff_t index = 0;
	bool found = false;
	unsigned int i;

	folio_batch_init(&batch);
	while (!found && filemap_get_folios(mapping, &index, -1, &batch)) {
		for (i = 0; i < folio_batch_count(&batch); i++)
			found |= is_pinned(batch.folios[i]);
		folio_batch_release(&batch);
		cond_resched();
	}
	return found;
}

int rust_shm_seal(struct inode *inode, unsigned int seals)
{
	struct shmem_inode_info *info = SHMEM_I(inode);
	int error = 0;

	/* Writes and hole punching hold it. */
	inode_lock(inode);
	if ((seals & F_SEAL_WRITE) && !(info->seals & F_SEAL_WRITE)) {
		error = mapping_deny_writable(inode->i_mapping);
		if (!error && has_pins(inode->i_mapping)) {
			mapping_allow_writable(inode->i_mapping);
			error = -EBUSY;
		}
	}
	if (!error)
		info->seals |= seals;
	inode_unlock(inode);
	return error;
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

/* What shmem has for a regular file, that with another getattr, and the number that it tells. */
static const struct inode_operations *shmem_operations __ro_after_init;
static struct inode_operations segment_operations __ro_after_init;
static dev_t builtin_device __ro_after_init;

/* Does not sleep: see rust_shm_stat_as_mount(). So it is not shmem's, which takes a lock to count blocks again. */
static int segment_getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat, u32 wanted, unsigned int flags)
{
	generic_fillattr(idmap, wanted, d_inode(path->dentry), stat);
	stat->dev = builtin_device;
	return 0;
}

int rust_shm_stat_init(void)
{
	struct file *file;

	if (shmem_operations)
		return 0;
	/* Where the built-in's segments are. */
	file = shmem_file_setup("rust_shm", 0, EMPTY_VMA_FLAGS);
	if (IS_ERR(file))
		return PTR_ERR(file);
	shmem_operations = file_inode(file)->i_op;
	segment_operations = *shmem_operations;
	segment_operations.getattr = segment_getattr;
	builtin_device = file_inode(file)->i_sb->s_dev;
	fput(file);
	return 0;
}

void rust_shm_stat_as_builtin(struct inode *inode)
{
	/* Without one of these, nothing waits for a task that is preempted there. */
	if (IS_ENABLED(CONFIG_TASKS_RCU) || !IS_ENABLED(CONFIG_PREEMPTION))
		inode->i_op = &segment_operations;
}

void rust_shm_stat_as_mount(struct vfsmount *mount)
{
	struct super_block *sb = mount->mnt_sb;
	struct inode *inode;
	bool found = false;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if (inode->i_op != &segment_operations)
			continue;
		WRITE_ONCE(inode->i_op, shmem_operations);
		found = true;
	}
	spin_unlock(&sb->s_inode_list_lock);
	/* Who stats one holds it, and does not sleep between the look at its operations and the end of segment_getattr(). */
	if (found)
		synchronize_rcu_tasks();
}
