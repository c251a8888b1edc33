// SPDX-License-Identifier: GPL-2.0
/*
 * Folios that extend beyond the end of a segment (huge=always), and what makes the kernel split them: holes, reclaim, migration, memory
 * failure. The contents stay, and no counter underflows. Every test runs on the built-in and on the module.
 *
 * needs: numa huge
 */
#include "kselftest_harness.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "setting.h"
#include "shm_backend.h"
#include "swap.h"
#include "vma.h"

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define PAGES 3

/* So many that an underflow of one page each exceeds what other processes do to the counter. */
#define ROUNDS 32

FIXTURE(split) {
	const struct shm_backend *shm;
	struct setting huge;
	size_t page;
	size_t size;	/* of a segment: PAGES pages */
	long dirty;	/* nr_dirty before */
	int id;
	char *addr;
};

SHM_BOTH(split)

/* The signed value of nr_dirty: /proc/vmstat shows 0 for a negative one, and stat_refresh logs it. */
static long nr_dirty(void)
{
	static const char name[] = "vmstat_refresh: nr_dirty ";
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char line[1024], *at;
	long dirty = 0;
	ssize_t length;

	if (log < 0 || lseek(log, 0, SEEK_END) < 0 || shm_write_file("/proc/sys/vm/stat_refresh", "1"))
		return -1000000;
	while ((length = read(log, line, sizeof(line) - 1)) > 0) {
		line[length] = '\0';
		at = strstr(line, name);
		if (at)
			dirty = atol(at + strlen(name));
	}
	close(log);
	return dirty < 0 ? dirty : vmstat("nr_dirty");
}

FIXTURE_SETUP(split)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->size = PAGES * self->page;
	ASSERT_EQ(0, setting_change(&self->huge, huge_setting(self->shm), "always"));
	sync();
	self->dirty = nr_dirty();
}

FIXTURE_TEARDOWN(split)
{
	SHM_LEAVE(self->shm);
	setting_restore(&self->huge);
	EXPECT_LE(self->dirty - ROUNDS / 2, nr_dirty());
	EXPECT_EQ(0, swap_off());
}

static bool begin(const struct shm_backend *shm, int *id, char **addr)
{
	*id = shm->get(IPC_PRIVATE, PAGES * page_size(), 0600);
	*addr = shm->attach(*id, vma_hole(HUGE_SIZE), 0);
	return *addr != SHM_FAILED;
}

static bool end(const struct shm_backend *shm, int id, char *addr)
{
	return !shm->rmid(id) && !shm->detach(addr);
}

TEST_F(split, hole_after_a_read)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
		EXPECT_EQ(0, self->addr[0]);
		ASSERT_EQ(0, madvise(self->addr, self->size, MADV_REMOVE));
		EXPECT_EQ(0, in_memory(self->shm, self->id));
		EXPECT_EQ(0, self->addr[self->size - 1]);
		ASSERT_TRUE(end(self->shm, self->id, self->addr));
	}
}

TEST_F(split, hole_after_a_write)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
		pattern_fill(self->addr, self->size, i);
		ASSERT_EQ(0, madvise(self->addr, self->size, MADV_REMOVE));
		EXPECT_EQ(0, in_memory(self->shm, self->id));
		EXPECT_EQ(0, self->addr[self->size - 1]);
		ASSERT_TRUE(end(self->shm, self->id, self->addr));
	}
}

TEST_F(split, hole_in_one_page)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
		pattern_fill(self->addr, self->size, i);
		ASSERT_EQ(0, madvise(self->addr + 2 * self->page, self->page, MADV_REMOVE));
		EXPECT_TRUE(pattern_stands(self->addr, 2 * self->page, i));
		EXPECT_EQ(0, self->addr[2 * self->page]);
		ASSERT_TRUE(end(self->shm, self->id, self->addr));
	}
}

/* First one page, for which a large folio is split, then all. */
TEST_F(split, reclaim)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT };
	int i, tries;
	size_t kind;

	ASSERT_EQ(0, swap_on(64 * MIB))
		TH_LOG("there is no swap on zram: %s", strerror(errno));
	for (i = 0; i < ROUNDS; i++) {
		for (kind = 0; kind < ARRAY_SIZE(advice); kind++) {
			ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
			pattern_fill(self->addr, self->size, i);
			ASSERT_EQ(0, madvise(self->addr + self->page, self->page, advice[kind]));
			EXPECT_TRUE(pattern_stands(self->addr, self->size, i));
			ASSERT_EQ(0, madvise(self->addr, self->size, advice[kind]));
			for (tries = 0; tries < 20 && advice[kind] == MADV_PAGEOUT && swapped(self->shm, self->id) < (long)self->size; tries++) {
				usleep(1000);
				ASSERT_EQ(0, madvise(self->addr, self->size, MADV_PAGEOUT));
			}
			EXPECT_LE(advice[kind] == MADV_PAGEOUT ? (long)self->size : 0, swapped(self->shm, self->id));
			EXPECT_TRUE(pattern_stands(self->addr, self->size, i));
			ASSERT_TRUE(end(self->shm, self->id, self->addr));
		}
	}
}

/* To one node and to the other, by move_pages() and by mbind(). */
TEST_F(split, migration)
{
	void *pages[PAGES];
	int nodes[PAGES], status[PAGES], i, j;
	unsigned long mask;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
		pattern_fill(self->addr, self->size, i);
		for (j = 0; j < PAGES; j++) {
			pages[j] = self->addr + j * self->page;
			nodes[j] = i % 2;
		}
		/* The status of pages in the same folio is EBUSY although they move, so it is queried afterwards. */
		ASSERT_EQ(0, syscall(SYS_move_pages, 0, (long)PAGES, pages, nodes, status, MPOL_MF_MOVE));
		ASSERT_EQ(0, syscall(SYS_move_pages, 0, (long)PAGES, pages, NULL, status, 0));
		for (j = 0; j < PAGES; j++)
			EXPECT_EQ(i % 2, status[j]);
		EXPECT_TRUE(pattern_stands(self->addr, self->size, i));
		/* The middle page only. */
		mask = 1UL << !(i % 2);
		ASSERT_EQ(0, syscall(SYS_mbind, pages[1], self->page, MPOL_BIND, &mask, 8 * sizeof(mask), MPOL_MF_MOVE | MPOL_MF_STRICT))
			TH_LOG("%s", strerror(errno));
		ASSERT_EQ(0, syscall(SYS_move_pages, 0, (long)PAGES, pages, NULL, status, 0));
		EXPECT_EQ(!(i % 2), status[1]);
		EXPECT_TRUE(pattern_stands(self->addr, self->size, i));
		ASSERT_TRUE(end(self->shm, self->id, self->addr));
	}
}

TEST_F(split, soft_offline)
{
	int i;

	for (i = 0; i < 6; i++) {
		ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
		pattern_fill(self->addr, self->size, i);
		ASSERT_EQ(0, madvise(self->addr + i % PAGES * self->page, self->page, MADV_SOFT_OFFLINE))
			TH_LOG("%s", strerror(errno));
		EXPECT_TRUE(pattern_stands(self->addr, self->size, i));
		ASSERT_TRUE(end(self->shm, self->id, self->addr));
	}
}

static int poisoned;

/* May raise SIGBUS in processes that map the page. */
static void poison(volatile char *page)
{
	poisoned = madvise((void *)(uintptr_t)page, page_size(), MADV_HWPOISON);
}

TEST_F(split, memory_failure)
{
	int i, j, bad;

	for (i = 0; i < 6; i++) {
		bad = i % PAGES;
		ASSERT_TRUE(begin(self->shm, &self->id, &self->addr));
		pages_fill(self->addr, self->size, i);
		ASSERT_TRUE(access_signal(self->addr + bad * self->page, poison) == SIGBUS || !poisoned)
			TH_LOG("%s", strerror(errno));
		for (j = 0; j < PAGES; j++) {
			EXPECT_EQ(j == bad ? SIGBUS : 0, read_signal(self->addr + j * self->page));
			if (j != bad)
				EXPECT_TRUE(pages_stand(self->addr + j * self->page, self->page, i + j));
		}
		ASSERT_TRUE(end(self->shm, self->id, self->addr));
	}
}

TEST_HARNESS_MAIN
