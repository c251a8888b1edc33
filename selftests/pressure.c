// SPDX-License-Identifier: GPL-2.0
/*
 * Memory pressure: segments larger than the machine's memory, on the built-in and on the module. Their size follows from the memory that is
 * available: about 1000 MiB in a guest of 1 GiB.
 *
 * needs: small
 */
#include "kselftest_harness.h"

#include <time.h>

#include "setting.h"
#include "shm_backend.h"
#include "swap.h"
#include "vma.h"

#define SEGMENTS 8

/* What is available on a slow kernel. */
#define LITTLE (160 * (long)MIB)

FIXTURE(pressure) {
	const struct shm_backend *shm;
	struct setting reserve, inodes;
	size_t page;
	long memory;	/* available */
	void *ballast;	/* what must stay available to nobody, until the test ends */
	size_t size;	/* of each segment */
	int id[SEGMENTS];
	char *addr[SEGMENTS];
};

SHM_BOTH(pressure)

FIXTURE_SETUP(pressure)
{
	long total = meminfo("MemTotal");
	char text[32];

	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	/* Reclaim allocates from this reserve for zram. With the default, swap_cluster_alloc_table() finds nothing left, and warns. */
	snprintf(text, sizeof(text), "%ld", total / 16 / (long)KIB);
	ASSERT_EQ(0, setting_change(&self->reserve, "/proc/sys/vm/min_free_kbytes", text));
	/* virtiofs, the guest's root, allocates with __GFP_NOFAIL when an inode is evicted, and the allocator warns. */
	ASSERT_EQ(0, setting_change(&self->inodes, "/proc/sys/vm/vfs_cache_pressure", "0"));
	self->memory = meminfo("MemAvailable");
	/* With KASAN, zram takes an hour for all of it. */
	if (shm_slow() > 1 && self->memory > LITTLE) {
		self->ballast = mmap(NULL, self->memory - LITTLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, self->ballast);
		ASSERT_EQ(0, mlock(self->ballast, self->memory - LITTLE));
		self->memory = LITTLE;
	}
	self->size = self->memory / 3 * 4 / SEGMENTS / MIB * MIB;
	ASSERT_EQ(0, swap_on(total / 2 * 3 / MIB * MIB))
		TH_LOG("there is no swap on zram: %s", strerror(errno));
}

FIXTURE_TEARDOWN(pressure)
{
	SHM_LEAVE(self->shm);
	EXPECT_EQ(0, swap_off());
	setting_restore(&self->reserve);
	setting_restore(&self->inodes);
}

/* Whether some of it is swapped, and rss and swap add up to what was filled: in the table and in SHM_INFO. */
static bool adds_up(const struct shm_backend *shm, const int *id, size_t size)
{
	struct rust_shm_usage usage;
	bool well;
	int i;

	well = shm->shm_info(&usage) >= 0 && usage.shm_swp > 0 && (usage.shm_rss + usage.shm_swp) * page_size() == SEGMENTS * size;
	for (i = 0; i < SEGMENTS; i++) {
		struct shm_row row;

		well = well && !shm_table_row(shm, id[i], &row, NULL, 0) && row.rss + row.swap == size;
	}
	return well;
}

/* The counters are not read atomically, so kswapd may change them in between. */
static bool adds_up_soon(const struct shm_backend *shm, const int *id, size_t size)
{
	int tries;

	for (tries = 0; tries < 50; tries++) {
		if (adds_up(shm, id, size))
			return true;
		usleep(100000);
	}
	return false;
}

TEST_F_TIMEOUT(pressure, more_than_memory_is_read_back, 600)
{
	size_t pages = self->size / self->page;
	long killed = vmstat("oom_kill"), most = 0;
	double start = shm_now();
	int i;

	ASSERT_LE(0, killed);
	for (i = 0; i < SEGMENTS; i++) {
		self->id[i] = self->shm->get(IPC_PRIVATE, self->size, 0600);
		ASSERT_LE(0, self->id[i]);
		self->addr[i] = self->shm->attach(self->id[i], NULL, 0);
		ASSERT_NE(SHM_FAILED, self->addr[i]);
		pages_fill(self->addr[i], self->size, i * pages);
	}
	EXPECT_TRUE(adds_up_soon(self->shm, self->id, self->size));
	for (i = 0; i < SEGMENTS; i++) {
		most = swapped(self->shm, self->id[i]) > most ? swapped(self->shm, self->id[i]) : most;
		EXPECT_TRUE(pages_stand(self->addr[i], self->size, i * pages))
			TH_LOG("segment %d", i);
	}
	EXPECT_LT(0, most);
	EXPECT_TRUE(adds_up_soon(self->shm, self->id, self->size));
	EXPECT_EQ(killed, vmstat("oom_kill"));
	TH_LOG("%s: %d x %zu MiB in %ld MiB filled and read back in %.1f s", self->shm->name, SEGMENTS, self->size / MIB,
	       self->memory / (long)MIB, shm_now() - start);
	for (i = 0; i < SEGMENTS; i++) {
		EXPECT_EQ(0, self->shm->rmid(self->id[i]));
		EXPECT_EQ(0, self->shm->detach(self->addr[i]));
	}
}

TEST_HARNESS_MAIN
