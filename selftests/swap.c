// SPDX-License-Identifier: GPL-2.0
/*
 * Swap: the pages of a segment are swapped out, come back intact, and are freed with it. Every test runs on the built-in and on the module.
 */
#include "kselftest_harness.h"

#include "shm_backend.h"
#include "swap.h"
#include "vma.h"

#define SIZE (4 * MIB)
#define SEED 3

/* Tells an exec'd process which segment to check: backend and id. */
#define READER "RUST_SHM_TEST_READER"

FIXTURE(swap) {
	const struct shm_backend *shm;
	size_t page;
	int id;
	char *addr;
};

SHM_BOTH(swap)

/* Runs before main(): with READER set, the process exits with 0 if the pattern is intact. */
__attribute__((constructor)) static void read_after_exec(void)
{
	const char *what = getenv(READER);
	const struct shm_backend *shm;
	char name[16], *addr;
	int id;

	if (!what)
		return;
	if (sscanf(what, "%15s %d", name, &id) != 2)
		_exit(2);
	shm = strcmp(name, shm_rust.name) ? &shm_builtin : &shm_rust;
	addr = shm->attach(id, NULL, SHM_RDONLY);
	_exit(addr == SHM_FAILED ? 3 : !pattern_stands(addr, SIZE, SEED));
}

FIXTURE_SETUP(swap)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	ASSERT_EQ(0, swap_on(128 * MIB))
		TH_LOG("there is no swap on zram: %s", strerror(errno));
	self->id = self->shm->get(SHM_KEY, SIZE, IPC_CREAT | 0600);
	/* At an unaligned address, as 32-bit programs get, MADV_PAGEOUT splits huge pages and stops there: on both. */
	self->addr = self->shm->attach(self->id, vma_hole(SIZE), 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	pattern_fill(self->addr, SIZE, SEED);
}

FIXTURE_TEARDOWN(swap)
{
	SHM_LEAVE(self->shm);
	EXPECT_EQ(0, swap_off());
}

#define SWAP_OUT() \
	ASSERT_EQ((long)SIZE, swap_out(self->shm, self->id, self->addr, SIZE))

TEST_F(swap, pageout_is_counted)
{
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;

	EXPECT_EQ(0, swapped(self->shm, self->id));
	EXPECT_EQ((long)SIZE, in_memory(self->shm, self->id));
	SWAP_OUT();
	EXPECT_EQ(0, in_memory(self->shm, self->id));
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(0, stat.rss);
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.shm_rss);
	EXPECT_EQ(SIZE / self->page, usage.shm_swp);
	/* One page comes back, perhaps with its neighbours. */
	EXPECT_EQ(((uint32_t *)self->addr)[0], SEED);
	EXPECT_LE((long)self->page, in_memory(self->shm, self->id));
	EXPECT_EQ((long)SIZE, in_memory(self->shm, self->id) + swapped(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
	EXPECT_EQ(0, swapped(self->shm, self->id));
	EXPECT_EQ((long)SIZE, in_memory(self->shm, self->id));
}

TEST_F(swap, comes_back_after_fork)
{
	SWAP_OUT();
	SHM_IN_CHILD({
		EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
		pattern_fill(self->addr, SIZE, SEED + 1);
	});
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED + 1));
	SWAP_OUT();
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED + 1));
}

TEST_F(swap, comes_back_after_exec)
{
	char what[64];

	SWAP_OUT();
	snprintf(what, sizeof(what), "%s %d", self->shm->name, self->id);
	SHM_IN_CHILD({
		ASSERT_EQ(0, setenv(READER, what, 1));
		execl("/proc/self/exe", "reader", NULL);
		EXPECT_TRUE(false);
	});
}

TEST_F(swap, comes_back_after_mremap)
{
	char *to = vma_hole(SIZE), *half = self->addr + SIZE / 2;

	SWAP_OUT();
	ASSERT_EQ(to, mremap(half, SIZE / 2, SIZE / 2, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_EQ(half, mremap(to, SIZE / 2, SIZE / 2, MREMAP_MAYMOVE | MREMAP_FIXED, half));
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
}

TEST_F(swap, comes_back_after_detach)
{
	SWAP_OUT();
	ASSERT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ((long)SIZE, swapped(self->shm, self->id));
	self->addr = self->shm->attach(self->id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, self->addr);
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
}

TEST_F(swap, hole_in_swapped_pages_is_zero)
{
	char *hole = self->addr + 10 * self->page;

	SWAP_OUT();
	ASSERT_EQ(0, madvise(hole, 100 * self->page, MADV_REMOVE));
	/* A large folio that was swapped out in one piece is swapped in to be truncated. */
	EXPECT_EQ((long)(SIZE - 100 * self->page), in_memory(self->shm, self->id) + swapped(self->shm, self->id));
	EXPECT_EQ(0, hole[0]);
	EXPECT_EQ(0, hole[100 * self->page - 1]);
	EXPECT_TRUE(pattern_stands(self->addr, 10 * self->page, SEED));
	EXPECT_EQ((uint32_t)(110 * self->page / 4 * 2654435761u) ^ SEED, *(uint32_t *)(self->addr + 110 * self->page));
}

TEST_F(swap, swapoff_brings_all_back)
{
	SWAP_OUT();
	ASSERT_EQ(0, swap_off());
	EXPECT_EQ(0, swapped(self->shm, self->id));
	EXPECT_EQ((long)SIZE, in_memory(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
}

/* The segment is not attached. */
TEST_F(swap, swapoff_finds_the_unattached)
{
	SWAP_OUT();
	ASSERT_EQ(0, self->shm->detach(self->addr));
	ASSERT_EQ(0, swap_off());
	EXPECT_EQ((long)SIZE, in_memory(self->shm, self->id));
	self->addr = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
}

static long used_swap(void)
{
	return meminfo("SwapTotal") - meminfo("SwapFree");
}

TEST_F(swap, removed_segment_frees_its_swap)
{
	long before = used_swap();
	int tries;

	SWAP_OUT();
	ASSERT_LE(before + (long)SIZE, used_swap());
	ASSERT_EQ(0, self->shm->rmid(self->id));
	EXPECT_TRUE(pattern_stands(self->addr, SIZE / 2, SEED));
	ASSERT_EQ(0, self->shm->detach(self->addr));
	/* Swap may be freed a little later. */
	for (tries = 0; tries < 50 && used_swap() > before; tries++)
		usleep(20000);
	EXPECT_GE(before, used_swap());
}

/*
 * SHM_LOCK: pages in memory, and pages touched later, are not swapped until SHM_UNLOCK.
 */

TEST_F(swap, locked_pages_stay)
{
	long before = meminfo("Unevictable");

	ASSERT_EQ(0, self->shm->ctl(self->id, SHM_LOCK, NULL));
	ASSERT_EQ(0, madvise(self->addr, SIZE, MADV_PAGEOUT));
	ASSERT_EQ(0, madvise(self->addr, SIZE / 2, MADV_REMOVE));
	pattern_fill(self->addr, SIZE, SEED);
	ASSERT_EQ(0, madvise(self->addr, SIZE, MADV_PAGEOUT));
	EXPECT_EQ(0, swapped(self->shm, self->id));
	EXPECT_EQ((long)SIZE, in_memory(self->shm, self->id));
	EXPECT_LE(before + (long)SIZE / 2, meminfo("Unevictable"));
	ASSERT_EQ(0, self->shm->ctl(self->id, SHM_UNLOCK, NULL));
	SWAP_OUT();
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
}

/* What was swapped before is brought back by touches only. */
TEST_F(swap, lock_brings_nothing_back)
{
	SWAP_OUT();
	ASSERT_EQ(0, self->shm->ctl(self->id, SHM_LOCK, NULL));
	EXPECT_EQ((long)SIZE, swapped(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, SEED));
	ASSERT_EQ(0, madvise(self->addr, SIZE, MADV_PAGEOUT));
	EXPECT_EQ(0, swapped(self->shm, self->id));
	ASSERT_EQ(0, self->shm->ctl(self->id, SHM_UNLOCK, NULL));
	SWAP_OUT();
}

/*
 * A memory cgroup with memory.max below what its process fills.
 */

#define LIMIT (24 * MIB)
#define LARGE (48 * MIB)

FIXTURE(memcg) {
	const struct shm_backend *shm;
	struct cgroup cgroup;
	int id;
};

SHM_BOTH(memcg)

FIXTURE_SETUP(memcg)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	ASSERT_EQ(0, swap_on(128 * MIB))
		TH_LOG("there is no swap on zram: %s", strerror(errno));
	ASSERT_EQ(0, cgroup_make(&self->cgroup, LIMIT));
	self->id = self->shm->get(SHM_KEY, LARGE, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);
}

FIXTURE_TEARDOWN(memcg)
{
	SHM_LEAVE(self->shm);
	EXPECT_EQ(0, cgroup_remove(&self->cgroup));
	EXPECT_EQ(0, swap_off());
}

#define CGROUP(file, name) cgroup_read(&self->cgroup, file, name)

TEST_F_TIMEOUT(memcg, more_than_the_limit_is_read_back, 120)
{
	SHM_IN_CHILD({
		char *addr = self->shm->attach(self->id, NULL, 0);

		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(0, cgroup_enter(&self->cgroup));
		pages_fill(addr, LARGE, 0);
		EXPECT_TRUE(pages_stand(addr, LARGE, 0));
	});
	EXPECT_EQ(0, CGROUP("memory.events", "oom_kill"));
	EXPECT_LE((long)(LARGE - LIMIT), CGROUP("memory.swap.current", NULL));
	EXPECT_LE((long)(LARGE - LIMIT), swapped(self->shm, self->id));
	EXPECT_GE((long)LIMIT, in_memory(self->shm, self->id));
	EXPECT_LT(0, CGROUP("memory.stat", "shmem"));
	EXPECT_EQ((long)LARGE, in_memory(self->shm, self->id) + swapped(self->shm, self->id));
}

TEST_F_TIMEOUT(memcg, locked_segment_stays_beside_another, 120)
{
	int locked = self->shm->get(IPC_PRIVATE, LIMIT / 3, 0600);

	ASSERT_LE(0, locked);
	ASSERT_EQ(0, self->shm->ctl(locked, SHM_LOCK, NULL));
	SHM_IN_CHILD({
		char *addr = self->shm->attach(self->id, NULL, 0);
		char *kept = self->shm->attach(locked, NULL, 0);

		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_NE(SHM_FAILED, kept);
		ASSERT_EQ(0, cgroup_enter(&self->cgroup));
		pages_fill(kept, LIMIT / 3, LARGE);
		pages_fill(addr, LARGE, 0);
		EXPECT_EQ(0, swapped(self->shm, locked));
		EXPECT_EQ((long)LIMIT / 3, in_memory(self->shm, locked));
		EXPECT_TRUE(pages_stand(addr, LARGE, 0));
		EXPECT_TRUE(pages_stand(kept, LIMIT / 3, LARGE));
		/* Now it is evictable, and the least recently used. */
		ASSERT_EQ(0, self->shm->ctl(locked, SHM_UNLOCK, NULL));
		pages_fill(addr, LARGE, 1);
		EXPECT_TRUE(pages_stand(addr, LARGE, 1));
		EXPECT_LT(0, swapped(self->shm, locked));
		EXPECT_TRUE(pages_stand(kept, LIMIT / 3, LARGE));
	});
	EXPECT_EQ(0, CGROUP("memory.events", "oom_kill"));
}

TEST_HARNESS_MAIN
