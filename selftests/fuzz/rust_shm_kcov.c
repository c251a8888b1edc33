// SPDX-License-Identifier: GPL-2.0
/*
 * KCOV for a kernel that is built without it: which places of an instrumented module a thread runs through, by the same ioctls and the same
 * file (Documentation/dev-tools/kcov.rst). What it lacks: comparisons, remote coverage, and an end at the exit of a thread.
 *
 * `make RUST_SHM_COVERAGE=1` instruments rust_shm for it.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/kcov.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#define SLOT_BITS 6
#define PROBES 8

/*
 * What a thread runs through. It may do so while another closes the file, and may not be made to wait where user memory is accessed: so a
 * buffer is used again, and freed only with this module, which rust_shm keeps.
 */
struct buffer {
	struct list_head node;
	bool open;
	u64 *area;		/* how many places, and then these */
	unsigned long words;
};

static LIST_HEAD(buffers);
static DEFINE_MUTEX(buffers_lock);

/* A thread that is traced. */
static struct slot {
	struct task_struct *task;
	struct buffer *buffer;
} slots[1 << SLOT_BITS];
static DEFINE_SPINLOCK(slots_lock);

static struct slot *slot_at(const struct task_struct *task, int probe)
{
	return &slots[(hash_ptr(task, SLOT_BITS) + probe) % ARRAY_SIZE(slots)];
}

void __sanitizer_cov_trace_pc(void);
void notrace __sanitizer_cov_trace_pc(void)
{
	int probe;

	if (!in_task())
		return;
	for (probe = 0; probe < PROBES; probe++) {
		struct slot *slot = slot_at(current, probe);
		struct buffer *buffer;
		u64 count;

		if (smp_load_acquire(&slot->task) != current)
			continue;
		buffer = READ_ONCE(slot->buffer);
		if (!buffer)
			break;
		count = READ_ONCE(buffer->area[0]) + 1;
		if (count < buffer->words) {
			WRITE_ONCE(buffer->area[0], count);
			WRITE_ONCE(buffer->area[count], _RET_IP_);
		}
		break;
	}
}
EXPORT_SYMBOL(__sanitizer_cov_trace_pc);

static void disable(struct buffer *buffer)
{
	unsigned int i;

	spin_lock(&slots_lock);
	for (i = 0; i < ARRAY_SIZE(slots); i++)
		if (slots[i].buffer == buffer) {
			WRITE_ONCE(slots[i].task, NULL);
			WRITE_ONCE(slots[i].buffer, NULL);
		}
	spin_unlock(&slots_lock);
}

static int enable(struct buffer *buffer)
{
	int probe, result = -EBUSY;

	disable(buffer);
	spin_lock(&slots_lock);
	for (probe = 0; probe < PROBES && result; probe++) {
		struct slot *slot = slot_at(current, probe);

		if (slot->task && slot->task != current)
			continue;
		WRITE_ONCE(slot->buffer, buffer);
		smp_store_release(&slot->task, current);
		result = 0;
	}
	spin_unlock(&slots_lock);
	return result;
}

static long kcov_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct buffer *buffer = file->private_data;

	if (cmd == KCOV_INIT_TRACE) {
		u64 *area;

		if (buffer->words)
			return arg == buffer->words ? 0 : -EBUSY;
		if (arg < 2 || arg > 1 << 20)
			return -EINVAL;
		area = vmalloc_user(arg * sizeof(u64));
		if (!area)
			return -ENOMEM;
		if (cmpxchg(&buffer->area, NULL, area)) {
			vfree(area);
			return -EBUSY;
		}
		smp_store_release(&buffer->words, arg);
		return 0;
	}
	if (cmd == KCOV_ENABLE)
		return arg == KCOV_TRACE_PC && smp_load_acquire(&buffer->words) ? enable(buffer) : -EINVAL;
	if (cmd == KCOV_DISABLE) {
		disable(buffer);
		return 0;
	}
	return -ENOTTY;
}

static int kcov_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct buffer *buffer = file->private_data;

	return smp_load_acquire(&buffer->words) ? remap_vmalloc_range(vma, buffer->area, vma->vm_pgoff) : -EINVAL;
}

static int kcov_open(struct inode *inode, struct file *file)
{
	struct buffer *buffer;

	guard(mutex)(&buffers_lock);
	list_for_each_entry(buffer, &buffers, node)
		if (!buffer->open)
			goto found;
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	list_add(&buffer->node, &buffers);
found:
	buffer->open = true;
	file->private_data = buffer;
	return 0;
}

static int kcov_release(struct inode *inode, struct file *file)
{
	struct buffer *buffer = file->private_data;

	disable(buffer);
	guard(mutex)(&buffers_lock);
	buffer->open = false;
	return 0;
}

static const struct file_operations kcov_fops = {
	.owner = THIS_MODULE,
	.open = kcov_open,
	.release = kcov_release,
	.unlocked_ioctl = kcov_ioctl,
	.mmap = kcov_mmap,
};

static struct dentry *kcov_file;

static int __init kcov_start(void)
{
	kcov_file = debugfs_create_file_unsafe("kcov", 0600, NULL, NULL, &kcov_fops);
	return PTR_ERR_OR_ZERO(kcov_file);
}

static void __exit kcov_end(void)
{
	struct buffer *buffer, *next;

	debugfs_remove(kcov_file);
	list_for_each_entry_safe(buffer, next, &buffers, node) {
		vfree(buffer->area);
		kfree(buffer);
	}
}

module_init(kcov_start);
module_exit(kcov_end);
MODULE_DESCRIPTION("KCOV of instrumented modules on a kernel without CONFIG_KCOV");
MODULE_LICENSE("GPL");
