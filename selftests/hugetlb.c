// SPDX-License-Identifier: GPL-2.0
/*
 * SHM_HUGETLB: segments whose pages are all huge, and there from the start.
 *
 * The built-in takes them from a pool, which it reserves from at get and fills in at the touch. The module needs no pool, and allocates at
 * get.
 *
 * needs: huge
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "setting.h"
#include "shm_backend.h"
#include "swap.h"
#include "user.h"
#include "vma.h"

#ifndef SHM_HUGE_SHIFT
#define SHM_HUGE_SHIFT 26
#endif

/* A page size as a flag, by its logarithm. */
#define SIZE(log) ((int)((unsigned int)(log) << SHM_HUGE_SHIFT))

/* That of the default size. */
#define DEFAULT SIZE(__builtin_ctzl(HUGE_SIZE))

/* Huge pages in the built-in's pool. */
#define POOL 8

enum {
	USER = 3001,
	GROUP = 3003,
};

FIXTURE(hugetlb)
{
	const struct shm_backend *shm;
	size_t page;
	bool builtin;
	unsigned long group;	/* vm.hugetlb_shm_group before */
};
SHM_BOTH(hugetlb)

/* A number in a file; ULONG_MAX if it cannot be read. */
static unsigned long number_in(const char *path)
{
	unsigned long value = ULONG_MAX;
	FILE *file = fopen(path, "re");

	if (!file)
		return value;
	if (fscanf(file, "%lu", &value) != 1)
		value = ULONG_MAX;
	fclose(file);
	return value;
}

static int write_number(const char *path, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu\n", value);
	return shm_write_file(path, text);
}

/* A kernel without hugetlbfs has neither a pool nor a group that may use it. */
static bool has_pool(void)
{
	return !access("/proc/sys/vm/nr_hugepages", F_OK);
}

/* HugePages_FIELD of /proc/meminfo: a count. */
static long pool_pages(const char *field)
{
	char name[64];
	long bytes;

	snprintf(name, sizeof(name), "HugePages_%s", field);
	bytes = meminfo(name);
	if (bytes < 0)
		return has_pool() ? bytes : 0;
	return bytes / 1024;
}

static int make(const struct shm_backend *shm, size_t size)
{
	return shm->get(IPC_PRIVATE, size, SHM_HUGETLB | 0600);
}

/* How many times too much the built-in says is in memory: 7.2's takes each page of a huge page for a huge page (shm_add_rss_swap()). */
static size_t excess = 1;

static size_t resident(const struct shm_backend *shm, int id)
{
	struct rust_shm_stat stat;

	return shm->stat(id, &stat) ? SIZE_MAX : stat.rss / excess;
}

/* Whether it is one of the two. Goes on in a new namespace, where no id has been given out. */
static bool learn_excess(const struct shm_backend *shm)
{
	int id = make(shm, HUGE_SIZE);
	char *memory = shm->attach(id, NULL, 0);

	if (memory == SHM_FAILED)
		return false;
	memory[0] = 1;
	excess = resident(shm, id) / HUGE_SIZE;
	return !shm->detach(memory) && !shm->rmid(id) && !unshare(CLONE_NEWIPC) && (excess == 1 || excess == HUGE_SIZE / shm_page_size());
}

FIXTURE_SETUP(hugetlb)
{
	self->shm = variant->shm;
	self->page = shm_page_size();
	self->builtin = self->shm == &shm_builtin;
	SHM_ENTER(self->shm);
	ASSERT_EQ(0, geteuid())
		TH_LOG("these tests change users: run them as root");
	if (!has_pool())
		return;
	self->group = number_in("/proc/sys/vm/hugetlb_shm_group");
	ASSERT_NE(ULONG_MAX, self->group);
	ASSERT_EQ(0, write_number("/proc/sys/vm/hugetlb_shm_group", GROUP));
	ASSERT_EQ(0, write_number("/proc/sys/vm/nr_hugepages", self->builtin ? POOL : 0));
	ASSERT_EQ(self->builtin ? POOL : 0, pool_pages("Free"))
		TH_LOG("this machine has not enough memory in pieces of 2 MiB for the built-in's pool");
	ASSERT_EQ(0, pool_pages("Rsvd"));
	if (self->builtin)
		ASSERT_TRUE(learn_excess(self->shm));
}

FIXTURE_TEARDOWN(hugetlb)
{
	swap_off();
	SHM_LEAVE(self->shm);
	write_number("/proc/sys/vm/nr_hugepages", 0);
	write_number("/proc/sys/vm/hugetlb_shm_group", self->group);
}

/* Nothing is there: no segment, no pages counted. */
static bool nothing_left(const struct shm_backend *shm)
{
	struct rust_shm_usage usage;

	return shm->shm_info(&usage) == 0 && usage.used_ids == 0 && usage.shm_tot == 0 && usage.shm_rss == 0 && pool_pages("Rsvd") == 0;
}

/* The mapping at addr, as long as it is; 0 if there is none. */
static size_t mapped(const void *addr)
{
	struct vma vma;

	return vma_at(addr, &vma) ? vma.end - vma.start : 0;
}

/* How much at addr is mapped by huge page table entries. */
static long huge_mapped(const struct shm_backend *shm, const void *addr)
{
	if (shm == &shm_rust)
		return pmd_mapped(addr);
	return vma_smaps_bytes(addr, "Shared_Hugetlb") + vma_smaps_bytes(addr, "Private_Hugetlb");
}

/* Sizes. */

TEST_F(hugetlb, default_size_is_that_of_a_pmd)
{
	int flags[] = { 0, DEFAULT }, id, i;
	struct rust_shm_stat stat;
	char *memory;

	for (i = 0; i < 2; i++) {
		id = self->shm->get(SHM_KEY, 2 * HUGE_SIZE, IPC_CREAT | IPC_EXCL | SHM_HUGETLB | flags[i] | 0640);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(2 * HUGE_SIZE, stat.segsz);
		EXPECT_EQ(0640, stat.mode);
		memory = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		EXPECT_EQ(2 * HUGE_SIZE, mapped(memory));
		memory[0] = memory[2 * HUGE_SIZE - 1] = 1;
		ASSERT_EQ(0, self->shm->detach(memory));
		ASSERT_EQ(0, self->shm->rmid(id));
	}
	EXPECT_TRUE(nothing_left(self->shm));
}

/* Sizes that the built-in knows by the processor, but its pools for them are empty: as 1 GiB, and on arm64 64 KiB. */
static int error_of_size(bool builtin, int log)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB", log < 10 ? 0 : 1ULL << (log - 10));
	return builtin && !access(path, F_OK) ? ENOMEM : EINVAL;
}

TEST_F(hugetlb, other_sizes_are_einval)
{
	int logs[] = { 1, 2, 11, 12, 13, 16, 20, 21, 22, 24, 25, 29, 30, 31, 34, 39, 48, 62, 63 };
	size_t i;

	for (i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		int error = error_of_size(self->builtin, logs[i]);

		if (SIZE(logs[i]) == DEFAULT)
			continue;
		EXPECT_ERRNO(error, self->shm->get(IPC_PRIVATE, HUGE_SIZE, SHM_HUGETLB | SIZE(logs[i]) | 0600));
		EXPECT_ERRNO(error, self->shm->get(SHM_KEY, 1, IPC_CREAT | SHM_HUGETLB | SIZE(logs[i]) | 0600));
	}
	EXPECT_TRUE(nothing_left(self->shm));
}

TEST_F(hugetlb, size_is_kept_and_mapping_is_rounded_up)
{
	size_t sizes[] = { 1, self->page, HUGE_SIZE - 1, HUGE_SIZE, HUGE_SIZE + 1, HUGE_SIZE + MIB }, i, length;
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	struct shm_row row;
	char *memory;
	int id;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		length = (sizes[i] + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1);
		id = make(self->shm, sizes[i]);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(sizes[i], stat.segsz);
		ASSERT_EQ(0, shm_table_row(self->shm, id, &row, NULL, 0));
		EXPECT_EQ(sizes[i], row.size);
		ASSERT_LE(0, self->shm->shm_info(&usage));
		EXPECT_EQ((sizes[i] + self->page - 1) / self->page, usage.shm_tot)
			TH_LOG("what was asked for counts, in small pages");
		memory = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		EXPECT_EQ(length, mapped(memory));
		EXPECT_EQ(0, memory[length - 1]);
		memory[length - 1] = 1;
		EXPECT_EQ(1, memory[length - 1]);
		ASSERT_EQ(0, self->shm->detach(memory));
		EXPECT_FALSE(vma_mapped(memory));
		ASSERT_EQ(0, self->shm->rmid(id));
	}
	EXPECT_TRUE(nothing_left(self->shm));
}

/* The promise: the memory is there, or get fails. */

TEST_F(hugetlb, all_is_there_after_get)
{
	const size_t size = 4 * HUGE_SIZE;
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	char *memory;
	int id;

	id = make(self->shm, size);
	ASSERT_LE(0, id);
	ASSERT_LE(0, self->shm->shm_info(&usage));
	if (self->builtin) {
		EXPECT_EQ(4, pool_pages("Rsvd"));
		EXPECT_EQ(0, usage.shm_rss);
	} else {
		ASSERT_EQ(0, shm_rust_stat_huge(id, &stat));
		EXPECT_EQ(size, stat.rss);
		EXPECT_EQ(size, stat.huge);
		EXPECT_EQ(size / self->page, usage.shm_rss);
	}
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_EQ(0, huge_mapped(self->shm, memory));
	memory[5 * self->page] = 1;
	EXPECT_EQ((long)HUGE_SIZE, huge_mapped(self->shm, memory))
		TH_LOG("one touch maps one huge page, and it is mapped as one");
	memset(memory, 1, size);
	EXPECT_EQ((long)size, huge_mapped(self->shm, memory));
	EXPECT_EQ(size, resident(self->shm, id));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(size / self->page, usage.shm_rss / excess);
}

TEST_F(hugetlb, first_touch_is_zero)
{
	char *memory, *zero = calloc(1, HUGE_SIZE);
	int round, id, i;

	ASSERT_NE(NULL, zero);
	/* The second round is likely to get the memory of the first. */
	for (round = 0; round < 2; round++) {
		id = make(self->shm, 2 * HUGE_SIZE);
		ASSERT_LE(0, id);
		memory = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		for (i = 0; i < 2; i++)
			EXPECT_EQ(0, memcmp(memory + i * HUGE_SIZE, zero, HUGE_SIZE));
		memset(memory, 0xff, 2 * HUGE_SIZE);
		ASSERT_EQ(0, self->shm->detach(memory));
		ASSERT_EQ(0, self->shm->rmid(id));
	}
	free(zero);
}

TEST_F_TIMEOUT(hugetlb, what_cannot_be_had_leaves_nothing, 60)
{
	uint64_t total = meminfo("MemTotal");
	/* The built-in's first ends at its pool, the module's last one at some page in the middle. */
	uint64_t sizes[] = { (POOL + 1) * HUGE_SIZE, 64ULL << 40, 16 * total, total };
	long cached;
	size_t i;
	int id;

	for (i = self->builtin ? 0 : 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rust_shm_get get = { .key = SHM_KEY, .flags = IPC_CREAT | SHM_HUGETLB | 0600, .size = sizes[i] };

		/* Only the module can be asked for as much by a program of 32 bits. */
		if (self->builtin && sizes[i] != (size_t)sizes[i])
			continue;
		cached = meminfo("Cached");
		EXPECT_ERRNO(ENOMEM, self->builtin ? self->shm->get(SHM_KEY, sizes[i], get.flags) : shm_rust_ioctl(RUST_SHM_IOC_GET, &get));
		EXPECT_TRUE(nothing_left(self->shm));
		EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
		EXPECT_GE(cached + 64 * (long)MIB, meminfo("Cached"));
	}
	id = self->shm->get(SHM_KEY, 2 * HUGE_SIZE, IPC_CREAT | SHM_HUGETLB | 0600);
	EXPECT_TRUE(shm_is_first(id))
		TH_LOG("what failed has used no index, and what is free can be had");
}

TEST_F(hugetlb, memory_comes_back)
{
	const size_t size = POOL * HUGE_SIZE;
	char *memory;
	int i, id;

	/* The built-in's pool is enough for one at a time only. */
	for (i = 0; i < 3; i++) {
		id = make(self->shm, size);
		ASSERT_LE(0, id);
		memory = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		if (self->builtin) {
			EXPECT_ERRNO(ENOMEM, make(self->shm, 1));
		}
		memory[HUGE_SIZE] = 1;
		ASSERT_EQ(0, self->shm->rmid(id));
		EXPECT_EQ(1, shm_count(self->shm));
		EXPECT_EQ(1, memory[HUGE_SIZE]);
		ASSERT_EQ(0, self->shm->detach(memory));
		EXPECT_EQ(0, shm_count(self->shm));
	}
	EXPECT_TRUE(nothing_left(self->shm));
	EXPECT_EQ(self->builtin ? POOL : 0, pool_pages("Free"));
}

TEST_F_TIMEOUT(hugetlb, memory_of_a_removed_segment_is_freed, 60)
{
	const size_t size = 64 * MIB;
	long full;
	int i, id;

	if (self->builtin) {
		ASSERT_EQ(0, write_number("/proc/sys/vm/nr_hugepages", size / HUGE_SIZE));
	}
	id = make(self->shm, size);
	ASSERT_LE(0, id);
	if (self->builtin) {
		EXPECT_EQ((long)(size / HUGE_SIZE), pool_pages("Rsvd"));
		ASSERT_EQ(0, self->shm->rmid(id));
		EXPECT_EQ(0, pool_pages("Rsvd"));
	} else {
		full = meminfo("Cached");
		ASSERT_LE((long)size, full);
		ASSERT_EQ(0, self->shm->rmid(id));
		for (i = 0; i < 100 && meminfo("Cached") > full - (long)size / 2; i++)
			usleep(50000);
		EXPECT_GE(full - (long)size / 2, meminfo("Cached"));
	}
}

/* Addresses. */

TEST_F(hugetlb, kernel_chooses_a_multiple)
{
	int id = make(self->shm, HUGE_SIZE + 1), i;
	char *memory;

	ASSERT_LE(0, id);
	for (i = 0; i < 3; i++) {
		memory = self->shm->attach(id, NULL, i == 1 ? SHM_RDONLY : 0);
		ASSERT_NE(SHM_FAILED, memory);
		EXPECT_EQ(0, (uintptr_t)memory % HUGE_SIZE);
	}
	EXPECT_EQ(3, shm_nattch(self->shm, id));
}

TEST_F(hugetlb, address_is_a_multiple_of_the_huge_page)
{
	int id = make(self->shm, HUGE_SIZE);
	char *hole = vma_hole(4 * HUGE_SIZE);

	ASSERT_LE(0, id);
	ASSERT_NE(NULL, hole);
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + self->page, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + HUGE_SIZE / 2, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + HUGE_SIZE - self->page, SHM_RDONLY));
	/* SHM_RND rounds down to a small page. */
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + shmlba() + 1, SHM_RND));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + shmlba(), SHM_RND));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + self->page, SHM_REMAP));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + 1, 0));
	EXPECT_EQ(0, shm_nattch(self->shm, id));
	EXPECT_EQ(hole + HUGE_SIZE, self->shm->attach(id, hole + HUGE_SIZE, 0));
	EXPECT_EQ(hole + 2 * HUGE_SIZE, self->shm->attach(id, hole + 2 * HUGE_SIZE + self->page - 1, SHM_RND));
	EXPECT_EQ(2, shm_nattch(self->shm, id));
}

TEST_F(hugetlb, remap_at_a_wrong_address_leaves_what_is_there)
{
	int id = make(self->shm, HUGE_SIZE), small = self->shm->get(IPC_PRIVATE, 2 * HUGE_SIZE, 0600);
	char *hole = vma_hole(2 * HUGE_SIZE);

	ASSERT_LE(0, id);
	ASSERT_NE(NULL, hole);
	ASSERT_EQ(hole, self->shm->attach(small, hole, 0));
	hole[0] = 's';
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole + self->page, SHM_REMAP));
	EXPECT_EQ(1, shm_nattch(self->shm, small));
	EXPECT_EQ('s', hole[0]);
	EXPECT_EQ(hole, self->shm->attach(id, hole, SHM_REMAP));
	EXPECT_EQ(0, hole[0]);
}

TEST_F(hugetlb, whole_of_the_mapping_must_fit)
{
	int id = make(self->shm, 1);
	char *hole = vma_hole(2 * HUGE_SIZE), *beside;

	ASSERT_LE(0, id);
	ASSERT_NE(NULL, hole);
	beside = mmap(hole + HUGE_SIZE - self->page, self->page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ(hole + HUGE_SIZE - self->page, beside);
	/* What is in the way lies beyond the one byte of the segment, but not of its mapping. */
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, hole, 0));
	ASSERT_EQ(0, munmap(beside, self->page));
	EXPECT_EQ(hole, self->shm->attach(id, hole, 0));
}

TEST_F(hugetlb, maps_line)
{
	int id = self->shm->get(SHM_KEY, HUGE_SIZE, IPC_CREAT | SHM_HUGETLB | 0600);
	char *memory = self->shm->attach(id, NULL, 0);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_TRUE(vma_at(memory, &vma));
	EXPECT_EQ((unsigned long)id, vma.inode);
	EXPECT_STREQ("/SYSV52534d31 (deleted)", vma.name);
	EXPECT_STREQ("rw-s", vma.perms);
}

/* Pieces. */

TEST_F(hugetlb, whole_huge_pages_are_unmapped_and_protected)
{
	int id = make(self->shm, 4 * HUGE_SIZE);
	char *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	memory[0] = memory[HUGE_SIZE] = memory[3 * HUGE_SIZE] = 'a';
	ASSERT_EQ(0, munmap(memory + HUGE_SIZE, HUGE_SIZE));
	EXPECT_EQ(2, shm_nattch(self->shm, id));
	EXPECT_EQ(SIGSEGV, read_signal(memory + HUGE_SIZE));
	ASSERT_EQ(0, mprotect(memory + 3 * HUGE_SIZE, HUGE_SIZE, PROT_READ));
	EXPECT_EQ(3, shm_nattch(self->shm, id));
	EXPECT_EQ(SIGSEGV, write_signal(memory + 3 * HUGE_SIZE));
	EXPECT_EQ('a', memory[3 * HUGE_SIZE]);
	ASSERT_EQ(0, mprotect(memory + 3 * HUGE_SIZE, HUGE_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, write_signal(memory + 3 * HUGE_SIZE));
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(0, shm_nattch(self->shm, id));
	memory = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_EQ('a', memory[HUGE_SIZE])
		TH_LOG("unmapped, not lost");
	EXPECT_EQ(SIGSEGV, write_signal(memory));
}

TEST_F(hugetlb, a_mapping_begins_with_a_huge_page)
{
	int id = make(self->shm, 2 * HUGE_SIZE);
	char *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	/* It takes away what is there before it asks. */
	EXPECT_ERRNO(EINVAL, syscall(SYS_remap_file_pages, memory, HUGE_SIZE, 0, 14, 0));
	EXPECT_EQ(SIGSEGV, read_signal(memory));
	EXPECT_EQ(1, shm_nattch(self->shm, id));
	ASSERT_EQ(0, syscall(SYS_remap_file_pages, memory + HUGE_SIZE, HUGE_SIZE, 0, 0, 0));
	EXPECT_EQ(1, shm_nattch(self->shm, id));
}

TEST_F(hugetlb, parts_of_a_huge_page)
{
	int id = make(self->shm, 2 * HUGE_SIZE);
	char *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	pattern_fill(memory, 2 * HUGE_SIZE, 3);
	EXPECT_ERRNO(EINVAL, munmap(memory + self->page, self->page));
	EXPECT_ERRNO(EINVAL, mprotect(memory + self->page, self->page, PROT_READ));
	/* A mapping that cannot be locked is not cut for that either. */
	if (self->shm == &shm_builtin) {
		EXPECT_EQ(0, mlock(memory + self->page, self->page));
	} else {
		EXPECT_ERRNO(EINVAL, mlock(memory + self->page, self->page));
	}
	EXPECT_EQ(1, shm_nattch(self->shm, id));
	/* A whole one may be taken out. */
	ASSERT_EQ(0, munmap(memory + HUGE_SIZE, HUGE_SIZE));
	ASSERT_EQ(0, self->shm->detach(memory));
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_TRUE(pattern_stands(memory, 2 * HUGE_SIZE, 3));
	EXPECT_EQ(2 * (long)HUGE_SIZE, huge_mapped(self->shm, memory));
}

static bool zeros(const char *from, const char *to)
{
	for (; from < to; from++)
		if (*from)
			return false;
	return true;
}

/* A hole frees whole huge pages, and clears what it has of others. */
TEST_F(hugetlb, remove_frees_whole_pages_and_clears_parts)
{
	const size_t size = 4 * HUGE_SIZE;
	char *memory, *again, *whole = malloc(size);
	int id = make(self->shm, size);

	ASSERT_NE(NULL, whole);
	memory = self->shm->attach(id, NULL, 0);
	again = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_NE(SHM_FAILED, again);
	pattern_fill(whole, size, 4);
	pattern_fill(memory, size, 4);
	/* Within one, */
	ASSERT_EQ(0, madvise(memory + self->page, 2 * self->page, MADV_REMOVE))
		TH_LOG("%s", strerror(errno));
	memset(whole + self->page, 0, 2 * self->page);
	EXPECT_EQ(0, memcmp(again, whole, size));
	EXPECT_EQ(size, resident(self->shm, id));
	EXPECT_EQ((long)size, huge_mapped(self->shm, again));
	/* over the end of one, */
	ASSERT_EQ(0, madvise(memory + HUGE_SIZE - self->page, 2 * self->page, MADV_REMOVE));
	memset(whole + HUGE_SIZE - self->page, 0, 2 * self->page);
	EXPECT_EQ(0, memcmp(again, whole, size));
	EXPECT_EQ(size, resident(self->shm, id));
	EXPECT_EQ((long)size, huge_mapped(self->shm, again));
	/* and over all of one, and parts of both its neighbours. */
	ASSERT_EQ(0, madvise(memory + 2 * HUGE_SIZE - self->page, HUGE_SIZE + 2 * self->page, MADV_REMOVE));
	memset(whole + 2 * HUGE_SIZE - self->page, 0, HUGE_SIZE + 2 * self->page);
	EXPECT_EQ(3 * HUGE_SIZE, resident(self->shm, id));
	EXPECT_EQ(3 * (long)HUGE_SIZE, huge_mapped(self->shm, memory));
	EXPECT_EQ(0, memcmp(memory, whole, size));
	EXPECT_EQ(size, resident(self->shm, id));
	EXPECT_EQ((long)size, huge_mapped(self->shm, memory))
		TH_LOG("what was freed came back as a huge page");
	ASSERT_EQ(0, madvise(memory, size, MADV_REMOVE));
	EXPECT_EQ(0, resident(self->shm, id));
	EXPECT_TRUE(zeros(again, again + size));
	free(whole);
}

/* While others write beside the hole: nothing of theirs is lost. */
TEST_F_TIMEOUT(hugetlb, remove_beside_a_writer, 60)
{
	int id = make(self->shm, 2 * HUGE_SIZE), round, status;
	char *memory = self->shm->attach(id, NULL, 0);
	volatile unsigned int *word, seen;
	pid_t child;

	ASSERT_NE(SHM_FAILED, memory);
	word = (volatile unsigned int *)(memory + HUGE_SIZE - 64);
	SHM_FORK(child) {
		for (seen = 0; ; seen++) {
			if (*word != seen)
				_exit(1);
			*word = seen + 1;
		}
	}
	for (round = 0; round < 1000; round++) {
		memory[self->page] = 1;
		ASSERT_EQ(0, madvise(memory + self->page, HUGE_SIZE - 2 * self->page, MADV_REMOVE));
		EXPECT_EQ(0, memory[self->page]);
	}
	EXPECT_EQ(0, waitpid(child, &status, WNOHANG))
		TH_LOG("the writer has lost what it wrote");
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_LT(0, *word);
	EXPECT_EQ(2 * HUGE_SIZE, resident(self->shm, id) + (self->builtin ? HUGE_SIZE : 0));
}

/* No advice, and nobody who is short of memory, takes a huge page or breaks it. */
TEST_F_TIMEOUT(hugetlb, advice_leaves_huge_pages_whole, 60)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT };
	const size_t size = 4 * HUGE_SIZE;
	int id = make(self->shm, size), answers;
	char *memory = self->shm->attach(id, NULL, 0);
	size_t i;

	ASSERT_NE(SHM_FAILED, memory);
	pattern_fill(memory, size, 6);
	ASSERT_EQ(0, swap_on(64 * MIB))
		TH_LOG("no swap on zram: %s", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(advice); i++) {
		/* The built-in refuses both. */
		answers = !madvise(memory, size, advice[i]);
		answers += !madvise(memory + self->page, self->page, advice[i]);
		answers += !madvise(memory + HUGE_SIZE - self->page, HUGE_SIZE + 2 * self->page, advice[i]);
		EXPECT_EQ(self->builtin ? 0 : 3, answers);
		EXPECT_EQ(size, resident(self->shm, id));
		EXPECT_EQ((long)size, huge_mapped(self->shm, memory));
	}
	ASSERT_EQ(0, access("/sys/fs/cgroup/memory.reclaim", W_OK));
	shm_write_file("/sys/fs/cgroup/memory.reclaim", "1G");
	EXPECT_EQ(size, resident(self->shm, id));
	EXPECT_EQ(0, swapped(self->shm, id));
	EXPECT_TRUE(pattern_stands(memory, size, 6));
	EXPECT_EQ((long)size, huge_mapped(self->shm, memory));
	EXPECT_EQ(0, swap_off());
}

/* Nor what was promised, and nobody has touched. */
TEST_F(hugetlb, untouched_pages_stay)
{
	const size_t size = 4 * HUGE_SIZE;
	int id = make(self->shm, size);
	char *memory;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	EXPECT_EQ(self->builtin ? 0 : size, resident(self->shm, id));
	memory = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_TRUE(zeros(memory, memory + size));
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	EXPECT_EQ(size, resident(self->shm, id));
	EXPECT_EQ((long)size, huge_mapped(self->shm, memory));
}

/* Nor does who wants no huge pages get others of such a segment. */
TEST_F(hugetlb, touched_by_who_wants_small_pages)
{
	int id = self->shm->get(IPC_PRIVATE, 3 * HUGE_SIZE, SHM_HUGETLB | SHM_NORESERVE | 0600);
	char *memory = self->shm->attach(id, NULL, 0);
	struct rust_shm_stat stat;
	unsigned long node = 1;

	ASSERT_NE(SHM_FAILED, memory);
	SHM_CHILD {
		ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
		memory[self->page] = 1;
		EXPECT_EQ(HUGE_SIZE, resident(self->shm, id));
	}
	ASSERT_EQ(0, madvise(memory, 3 * HUGE_SIZE, MADV_NOHUGEPAGE));
	memory[HUGE_SIZE + self->page] = 1;
	EXPECT_EQ(2 * HUGE_SIZE, resident(self->shm, id));
	/* Also where a NUMA policy is set. */
	if (shm_has_numa())
		ASSERT_EQ(0, syscall(SYS_mbind, memory, 3 * HUGE_SIZE, MPOL_PREFERRED, &node, 8 * sizeof(node), 0));
	memory[2 * HUGE_SIZE + self->page] = 1;
	EXPECT_EQ(3 * HUGE_SIZE, resident(self->shm, id));
	if (!self->builtin) {
		ASSERT_EQ(0, shm_rust_stat_huge(id, &stat));
		EXPECT_EQ(3 * HUGE_SIZE, stat.huge);
	}
}

/* Processes. */

TEST_F(hugetlb, data_are_shared)
{
	const size_t size = 3 * HUGE_SIZE;
	char *memory, *other;
	int id;

	id = self->shm->get(SHM_KEY, size, IPC_CREAT | SHM_HUGETLB | 0600);
	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	SHM_CHILD {
		EXPECT_EQ(2, shm_nattch(self->shm, id));
		pattern_fill(memory, size, 11);
		EXPECT_EQ(0, self->shm->detach(memory));
		EXPECT_EQ(1, shm_nattch(self->shm, id));
		/* By key, without the flag, and as small pages see it. */
		EXPECT_EQ(id, self->shm->get(SHM_KEY, size, 0600));
		other = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, other);
		EXPECT_TRUE(pattern_stands(other, size, 11));
		other[size - 1] = 'x';
	}
	EXPECT_EQ('x', memory[size - 1]);
	EXPECT_EQ(1, shm_nattch(self->shm, id));
	ASSERT_EQ(0, self->shm->detach(memory));
	SHM_CHILD {
		other = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, other);
		EXPECT_EQ('x', other[size - 1])
			TH_LOG("nobody had it attached meanwhile");
	}
}

TEST_F(hugetlb, futex_between_attaches)
{
	int id = make(self->shm, HUGE_SIZE), *first, *second;

	ASSERT_LE(0, id);
	first = self->shm->attach(id, NULL, 0);
	second = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, (void *)first);
	ASSERT_NE(SHM_FAILED, (void *)second);
	first += HUGE_SIZE / sizeof(int) / 2;
	second += HUGE_SIZE / sizeof(int) / 2;
	SHM_CHILD {
		pid_t waiter = fork();
		struct timespec limit = { .tv_sec = 10 };
		int i, woken = 0;

		ASSERT_LE(0, waiter);
		if (!waiter)
			_exit(syscall(SYS_futex, second, FUTEX_WAIT, 0, &limit, NULL, 0) ? 1 : 0);
		for (i = 0; i < 500 && !woken; i++) {
			usleep(10000);
			woken = syscall(SYS_futex, first, FUTEX_WAKE, 1, NULL, NULL, 0);
		}
		EXPECT_EQ(1, woken);
		EXPECT_EQ(0, shm_wait(waiter));
	}
}

TEST_F(hugetlb, removed_segment_goes_with_a_killed_process)
{
	int id = make(self->shm, HUGE_SIZE);
	struct gate gate;
	pid_t child;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, gate_make(&gate));
	SHM_FORK(child) {
		char *memory = self->shm->attach(id, NULL, 0);

		if (memory == SHM_FAILED)
			_exit(1);
		memory[0] = 1;
		gate_open(&gate);
		pause();
		_exit(1);
	}
	gate_wait(&gate);
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_EQ(1, shm_count(self->shm));
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_EQ(0, shm_count(self->shm));
	EXPECT_TRUE(nothing_left(self->shm));
}

TEST_F(hugetlb, noreserve_is_accepted)
{
	int id = self->shm->get(IPC_PRIVATE, HUGE_SIZE, SHM_HUGETLB | SHM_NORESERVE | 0600);
	char *memory;

	ASSERT_LE(0, id);
	EXPECT_EQ(0, pool_pages("Rsvd"));
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	pattern_fill(memory, HUGE_SIZE, 5);
	EXPECT_TRUE(pattern_stands(memory, HUGE_SIZE, 5));
	EXPECT_EQ((long)HUGE_SIZE, huge_mapped(self->shm, memory));
}

/* Whatever else is set, also where fallocate(2) brings them in. */
TEST_F(hugetlb, fallocate_brings_in_huge_pages)
{
	struct setting huge;
	int id = self->shm->get(IPC_PRIVATE, 2 * HUGE_SIZE, SHM_HUGETLB | SHM_NORESERVE | 0600);
	char *memory, path[96];
	int fd;

	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)memory, (unsigned long)memory + 2 * HUGE_SIZE);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setting_change(&huge, huge_setting(&shm_rust), "never"));
	EXPECT_EQ(0, fallocate(fd, FALLOC_FL_KEEP_SIZE, HUGE_SIZE + self->page, self->page));
	setting_restore(&huge);
	memory[HUGE_SIZE] = 1;
	EXPECT_EQ((long)HUGE_SIZE, huge_mapped(self->shm, memory));
	close(fd);
}

TEST_F(hugetlb, nothing_is_committed)
{
	const long size = POOL * HUGE_SIZE;
	long before, after;
	int id;

	before = meminfo("Committed_AS");
	id = make(self->shm, size);
	ASSERT_LE(0, id);
	after = meminfo("Committed_AS");
	EXPECT_GE(before + size / 2, after)
		TH_LOG("the memory is taken: there is nothing left to promise");
}

/* SHM_LOCK. */

TEST_F(hugetlb, lock_does_nothing)
{
	int id = make(self->shm, HUGE_SIZE);
	struct rlimit rlimit = { .rlim_cur = self->page, .rlim_max = self->page };
	struct rust_shm_stat stat;

	ASSERT_LE(0, id);
	EXPECT_EQ(0, self->shm->ctl(id, SHM_LOCK, NULL));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0600, stat.mode);
	EXPECT_EQ(0, self->shm->ctl(id, SHM_UNLOCK, NULL));
	ASSERT_EQ(0, self->shm->set(id, USER, GROUP, 0600));
	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &rlimit));
		become(_metadata, USER + 1, GROUP, 0);
		EXPECT_ERRNO(EPERM, self->shm->ctl(id, SHM_LOCK, NULL));
		EXPECT_ERRNO(EPERM, self->shm->ctl(id, SHM_UNLOCK, NULL));
	}
	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &rlimit));
		become(_metadata, USER, GROUP, 0);
		EXPECT_EQ(0, self->shm->ctl(id, SHM_LOCK, NULL))
			TH_LOG("no limit where nothing is locked");
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(0600, stat.mode);
		rlimit.rlim_cur = 0;
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &rlimit));
		EXPECT_ERRNO(EPERM, self->shm->ctl(id, SHM_LOCK, NULL));
		EXPECT_EQ(0, self->shm->ctl(id, SHM_UNLOCK, NULL));
	}
}

/* Who may. */

TEST_F(hugetlb, not_everybody_may)
{
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
		EXPECT_ERRNO(EPERM, self->shm->get(SHM_KEY, HUGE_SIZE, IPC_CREAT | SHM_HUGETLB | DEFAULT | 0600));
	}
	SHM_CHILD {
		become_with(_metadata, USER, USER, ~CAPABILITY(CAP_IPC_LOCK));
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
	}
	SHM_CHILD {
		only_capabilities(_metadata, 0);
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
	}
	EXPECT_TRUE(nothing_left(self->shm));
}

TEST_F(hugetlb, ipc_lock_capability_may)
{
	SHM_CHILD {
		become_with(_metadata, USER, USER, CAPABILITY(CAP_IPC_LOCK));
		EXPECT_LE(0, make(self->shm, HUGE_SIZE));
	}
}

TEST_F(hugetlb, group_of_the_sysctl_may)
{
	if (!has_pool())
		SKIP(return, "this kernel has no vm.hugetlb_shm_group");
	SHM_CHILD {
		become(_metadata, USER, USER, GROUP);
		EXPECT_LE(0, make(self->shm, HUGE_SIZE));
	}
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		EXPECT_LE(0, make(self->shm, HUGE_SIZE));
	}
	ASSERT_EQ(0, write_number("/proc/sys/vm/hugetlb_shm_group", GROUP + 1));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
	}
	SHM_CHILD {
		become(_metadata, USER, GROUP, GROUP + 1);
		EXPECT_LE(0, make(self->shm, HUGE_SIZE));
	}
	EXPECT_EQ(3, shm_remove_all(self->shm));
}

TEST_F(hugetlb, memlock_limit_is_no_permission)
{
	struct rlimit unlimited = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &unlimited));
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
	}
}

TEST_F(hugetlb, root_of_a_user_namespace_may_not)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_NEEDS_NAMESPACE("user");
	SHM_CHILD {
		enter_user_namespace(_metadata);
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
	}
	if (!has_pool())
		return;
	/* But the group is the group: 3 in there is 1003 out here. */
	ASSERT_EQ(0, write_number("/proc/sys/vm/hugetlb_shm_group", 1003));
	SHM_CHILD {
		gid_t group = 3;
		int id;

		enter_user_namespace(_metadata);
		ASSERT_EQ(0, setgroups(1, &group));
		id = make(self->shm, HUGE_SIZE);
		EXPECT_LE(0, id);
		EXPECT_EQ(0, self->shm->rmid(id));
	}
}

TEST_F(hugetlb, finding_is_for_everybody)
{
	int id = self->shm->get(SHM_KEY, HUGE_SIZE, IPC_CREAT | SHM_HUGETLB | 0666);
	int small = self->shm->get(SHM_KEY + 1, HUGE_SIZE, IPC_CREAT | 0666);

	ASSERT_LE(0, id);
	ASSERT_LE(0, small);
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_EQ(id, self->shm->get(SHM_KEY, HUGE_SIZE, SHM_HUGETLB | 0666));
		EXPECT_EQ(id, self->shm->get(SHM_KEY, 0, IPC_CREAT | SHM_HUGETLB | DEFAULT | 0666));
		/* The flag says how to make one; what is there may be of either kind. */
		EXPECT_EQ(small, self->shm->get(SHM_KEY + 1, HUGE_SIZE, SHM_HUGETLB | 0666));
		EXPECT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
	}
}

/* Which error. */

TEST_F(hugetlb, order_of_errors)
{
	int id = self->shm->get(SHM_KEY, HUGE_SIZE, IPC_CREAT | SHM_HUGETLB | 0600);

	ASSERT_LE(0, id);
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, HUGE_SIZE, IPC_CREAT | IPC_EXCL | SHM_HUGETLB | 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + 1, HUGE_SIZE, SHM_HUGETLB | 0600));
	/* One byte more than asked for is too much, though the mapping has it. */
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_LE(0, self->shm->get(SHM_KEY, HUGE_SIZE - 1, IPC_CREAT | SHM_HUGETLB | 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, HUGE_SIZE, SHM_HUGETLB | 0600));
	EXPECT_ERRNO(EINVAL, make(self->shm, 0));
	ASSERT_EQ(0, shm_sysctl_write("shmmax", HUGE_SIZE + MIB));
	EXPECT_ERRNO(EINVAL, make(self->shm, HUGE_SIZE + MIB + 1));
	EXPECT_LE(0, make(self->shm, HUGE_SIZE + MIB));
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_ERRNO(EINVAL, make(self->shm, 0));
		EXPECT_ERRNO(EINVAL, make(self->shm, 2 * HUGE_SIZE));
		EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, HUGE_SIZE, SHM_HUGETLB | SIZE(12) | 0600));
		EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + 1, HUGE_SIZE, SHM_HUGETLB | 0600));
	}
	/* The number of segments is looked at last, their sum first. */
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 2));
	EXPECT_ERRNO(ENOSPC, make(self->shm, HUGE_SIZE));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, HUGE_SIZE, SHM_HUGETLB | SIZE(12) | 0600));
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_ERRNO(EPERM, make(self->shm, HUGE_SIZE));
	}
	ASSERT_EQ(0, shm_sysctl_write("shmall", 1));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, HUGE_SIZE, SHM_HUGETLB | SIZE(12) | 0600));
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_ERRNO(ENOSPC, make(self->shm, HUGE_SIZE));
	}
}

TEST_F(hugetlb, refused_for_the_number_of_segments_leaves_nothing)
{
	int id = self->shm->get(IPC_PRIVATE, 1, 0600), i;
	struct rust_shm_usage usage;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 1));
	for (i = 0; i < 3; i++)
		EXPECT_ERRNO(ENOSPC, make(self->shm, POOL * HUGE_SIZE));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(1, usage.shm_tot);
	EXPECT_EQ(0, pool_pages("Rsvd"));
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 2));
	EXPECT_LE(0, make(self->shm, POOL * HUGE_SIZE));
}

TEST_F(hugetlb, shmall_counts_what_was_asked_for)
{
	ASSERT_EQ(0, shm_sysctl_write("shmall", 3));
	EXPECT_LE(0, make(self->shm, self->page));
	EXPECT_LE(0, make(self->shm, 1));
	EXPECT_ERRNO(ENOSPC, make(self->shm, self->page + 1));
	EXPECT_LE(0, make(self->shm, 1));
	EXPECT_ERRNO(ENOSPC, make(self->shm, 1));
}

/* The module alone: shmat tells no length. */
TEST(attach_tells_the_whole_length)
{
	struct rust_shm_attach attach;

	SHM_ENTER(&shm_rust);
	attach = (struct rust_shm_attach) { .id = make(&shm_rust, HUGE_SIZE + MIB) };
	ASSERT_LE(0, attach.id);
	ASSERT_EQ(0, shm_rust_ioctl(RUST_SHM_IOC_ATTACH, &attach));
	EXPECT_EQ(2 * HUGE_SIZE, attach.length);
	SHM_LEAVE(&shm_rust);
}

#define LARGE (512 * MIB)

/* In a cgroup of its own, a child makes a large segment; it is killed after so many microseconds, if not 0. Its answer, as shm_wait(). */
static int make_in(const struct cgroup *cgroup, unsigned int kill_after)
{
	pid_t child = fork();

	if (!child) {
		if (cgroup_enter(cgroup))
			_exit(1);
		_exit(make(&shm_rust, LARGE) >= 0 ? 0 : errno);
	}
	if (kill_after) {
		usleep(kill_after);
		kill(child, SIGKILL);
	}
	return shm_wait(child);
}

/* The module alone: work items that help are charged to who asked for it. */
TEST(charged_to_the_creator)
{
	struct cgroup cgroup;
	unsigned int delay;
	long current;
	int i;

	SHM_ENTER(&shm_rust);
	ASSERT_EQ(0, cgroup_make(&cgroup, 2 * LARGE));
	ASSERT_EQ(0, make_in(&cgroup, 0));
	EXPECT_EQ(1, shm_count(&shm_rust));
	current = cgroup_read(&cgroup, "memory.current", NULL);
	EXPECT_LE((long)LARGE, current);
	EXPECT_GE((long)(LARGE + 8 * MIB), current);
	EXPECT_EQ((long)LARGE, cgroup_read(&cgroup, "memory.stat", "shmem"));
	EXPECT_EQ((long)LARGE, cgroup_read(&cgroup, "memory.stat", "shmem_thp"));
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/compact_memory", "1"));
	EXPECT_EQ((long)LARGE, cgroup_read(&cgroup, "memory.stat", "unevictable"));
	EXPECT_EQ(1, shm_remove_all(&shm_rust));
	/* Killed in the middle, it leaves nothing. */
	for (delay = 5000; delay <= 80000; delay *= 2) {
		int status = make_in(&cgroup, delay);

		EXPECT_TRUE(status == 256 + SIGKILL || status == 0)
			TH_LOG("after %u us: %d", delay, status);
		EXPECT_EQ(status == 0, shm_remove_all(&shm_rust) == 1);
		for (i = 0; i < 100 && cgroup_read(&cgroup, "memory.stat", "shmem"); i++)
			usleep(20000);
		EXPECT_EQ(0, cgroup_read(&cgroup, "memory.stat", "shmem"));
	}
	/* What it may not have it does not get, and nobody is killed for it. */
	ASSERT_EQ(0, shm_write_file(cgroup_file(&cgroup, "memory.max"), "268435456"));
	EXPECT_EQ(ENOMEM, make_in(&cgroup, 0));
	EXPECT_EQ(0, cgroup_read(&cgroup, "memory.events", "oom_kill"));
	EXPECT_TRUE(nothing_left(&shm_rust));
	for (i = 0; i < 100 && cgroup_read(&cgroup, "memory.stat", "shmem"); i++)
		usleep(20000);
	EXPECT_EQ(0, cgroup_read(&cgroup, "memory.stat", "shmem"));
	SHM_LEAVE(&shm_rust);
	EXPECT_EQ(0, cgroup_remove(&cgroup));
}

/* Makes and removes one on a CPU; returns whether there was memory. */
static bool can_be_made_on(int cpu, size_t size)
{
	cpu_set_t cpus;
	int id;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return false;
	id = make(&shm_rust, size);
	return id >= 0 && !shm_rust.rmid(id);
}

FIXTURE(lists) { int unused; };
FIXTURE_SETUP(lists) {}
FIXTURE_TEARDOWN(lists) {}

/* The module alone: a CPU keeps what it has freed for itself (the allocator's per-CPU lists), for seconds. A pool has no such lists. */
TEST_F_TIMEOUT(lists, what_other_cpus_keep_is_found, 180)
{
	const size_t left = 256 * MIB, spare = 16 * MIB;
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), i, id, ballast;
	size_t size;
	char *addr;

	SHM_ENTER(&shm_rust);
	ASSERT_LT(1, cpus);
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/compact_memory", "1"));
	size = proc_bytes("/proc/meminfo", "MemAvailable") / HUGE_SIZE * HUGE_SIZE;
	while (size > 2 * left && !can_be_made_on(0, size))
		size -= 16 * MIB;
	ASSERT_LT(2 * left, size);
	/* All but so much is taken. */
	ballast = make(&shm_rust, size - left);
	ASSERT_LE(0, ballast);
	for (i = 0; i < 8; i++) {
		id = shm_rust.get(IPC_PRIVATE, left - spare, 0600);
		addr = shm_rust.attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		memset(addr, 1, left - spare);
		ASSERT_EQ(0, shm_rust.detach(addr));
		ASSERT_EQ(0, shm_rust.rmid(id));
		EXPECT_TRUE(can_be_made_on((i + 1) % cpus, left - spare))
			TH_LOG("round %d: %s", i, strerror(errno));
	}
	EXPECT_EQ(0, shm_rust.rmid(ballast));
	SHM_LEAVE(&shm_rust);
}

/* The module alone: the built-in allocates nothing at get. */
TEST(killed_while_it_allocates)
{
	uint64_t total = meminfo("MemAvailable");
	struct rust_shm_get get = { .flags = RUST_SHM_HUGETLB | 0600, .size = total / 4 * 3 };
	long cached = meminfo("Cached");
	int i, status;
	pid_t child;

	SHM_ENTER(&shm_rust);
	for (i = 0; i < 3; i++) {
		SHM_FORK(child)
			_exit(shm_rust_ioctl(RUST_SHM_IOC_GET, &get) < 0 ? 1 : 0);
		usleep(30000 * (i + 1));
		ASSERT_EQ(0, kill(child, SIGKILL));
		status = shm_wait(child);
		/* It may have come to its end, one way or the other, before it was killed. */
		EXPECT_TRUE(status == 256 + SIGKILL || status == 0 || status == 1);
		EXPECT_LE(shm_count(&shm_rust), status == 1 ? 0 : 1);
		shm_remove_all(&shm_rust);
		EXPECT_TRUE(nothing_left(&shm_rust));
	}
	for (i = 0; i < 100 && meminfo("Cached") > cached + 64 * (long)MIB; i++)
		usleep(50000);
	EXPECT_GE(cached + 64 * (long)MIB, meminfo("Cached"));
}

TEST_HARNESS_MAIN
