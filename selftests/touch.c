// SPDX-License-Identifier: GPL-2.0
/*
 * Concurrent first touches of one block by several processes allocate it once. On the built-in and on the module.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <pthread.h>

#include "shm_backend.h"
#include "swap.h"
#include "vma.h"

#define PROCESSES 8
#define BLOCKS 24

FIXTURE(touch) {
	const struct shm_backend *shm;
	size_t page;
	int id;
	char *addr;
	pthread_barrier_t *barrier;
};

SHM_BOTH(touch)

FIXTURE_SETUP(touch)
{
	pthread_barrierattr_t attr;

	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->id = self->shm->get(SHM_KEY, BLOCKS * HUGE_SIZE, IPC_CREAT | 0600);
	self->addr = self->shm->attach(self->id, vma_hole(BLOCKS * HUGE_SIZE), 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	self->barrier = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->barrier);
	ASSERT_EQ(0, pthread_barrierattr_init(&attr));
	ASSERT_EQ(0, pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
	ASSERT_EQ(0, pthread_barrier_init(self->barrier, &attr, PROCESSES));
}

FIXTURE_TEARDOWN(touch)
{
	SHM_LEAVE(self->shm);
}

/* Pages allocated since boot, in all zones. */
static long allocated(void)
{
	static const char *const zones[] = { "pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable" };
	long sum = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(zones); i++)
		sum += vmstat(zones[i]) > 0 ? vmstat(zones[i]) : 0;
	return sum;
}

TEST_F(touch, block_is_allocated_once)
{
	const long pages = HUGE_SIZE / self->page;
	pid_t child[PROCESSES];
	long before = 0, more;
	int i, block;

	for (i = 0; i < PROCESSES; i++) {
		child[i] = fork();
		ASSERT_LE(0, child[i]);
		if (child[i])
			continue;
		/* All touch every page, each from another start. */
		for (block = 0; block < BLOCKS; block++) {
			char *start = self->addr + block * HUGE_SIZE;

			pthread_barrier_wait(self->barrier);
			if (!i && !block)
				before = allocated();
			pthread_barrier_wait(self->barrier);
			for (long n = 0; n < pages; n++)
				start[(n + i * pages / PROCESSES) % pages * self->page] = 1;
		}
		pthread_barrier_wait(self->barrier);
		more = i ? 0 : allocated() - before;
		EXPECT_GE(BLOCKS * pages * 13 / 10, more)
			TH_LOG("%s: %ld pages allocated for %ld", self->shm->name, more, BLOCKS * pages);
		_exit(!__test_passed(_metadata));
	}
	for (i = 0; i < PROCESSES; i++)
		EXPECT_EQ(0, shm_wait(child[i]));
	EXPECT_EQ((long)(BLOCKS * HUGE_SIZE), in_memory(self->shm, self->id));
}

TEST_HARNESS_MAIN
