// SPDX-License-Identifier: GPL-2.0
/*
 * Holes in huge pages while other processes read beside them: data outside of the hole stays. Every test runs on the built-in and on the
 * module. RUST_SHM_HOLE_ROUNDS=100000 sets the number of rounds.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <linux/falloc.h>

#include "setting.h"
#include "shm_backend.h"
#include "vma.h"

#define PAGES 512
#define READERS 3

FIXTURE(hole) {
	const struct shm_backend *shm;
	struct setting huge;
	size_t page;
	int rounds;
	int id;
	char *addr;
	int fd;		/* the segment's file, from map_files */
	pid_t reader[READERS];
};

SHM_BOTH(hole)

FIXTURE_SETUP(hole)
{
	const char *rounds = getenv("RUST_SHM_HOLE_ROUNDS");
	char path[96];

	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->rounds = rounds ? atoi(rounds) : 100;
	ASSERT_EQ(0, huge_change(&self->huge, self->shm, "within_size"));
	self->id = self->shm->get(SHM_KEY, PAGES * self->page, IPC_CREAT | 0600);
	self->addr = self->shm->attach(self->id, vma_hole(HUGE_SIZE), 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)self->addr, (unsigned long)self->addr + HUGE_SIZE);
	self->fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(hole)
{
	SHM_LEAVE(self->shm);
	setting_restore(&self->huge);
}

static int punch_by_madvise(int fd, char *addr, size_t offset, size_t size)
{
	(void)fd;
	return madvise(addr + offset, size, MADV_REMOVE);
}

static int punch_by_fallocate(int fd, char *addr, size_t offset, size_t size)
{
	(void)addr;
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

/* The first word of a page. */
#define WORD(n) (*(volatile unsigned long *)(addr + (n) * page_size()))

/*
 * In each round, writes a new huge page and punches pages [from, to), while other processes read pages [first, last) every
 * millisecond: all the time loses data in as many rounds, and takes the CPUs from the rounds. All pages of the hole are read in
 * every eighth round only, as that takes most of a round's time.
 */
static void rounds_of(struct __test_metadata *_metadata, FIXTURE_DATA(hole) *self, int (*punch)(int, char *, size_t, size_t),
		      int from, int to, int first, int last)
{
	char *addr = self->addr;
	int round, i, lost = -1;

	for (i = 0; i < READERS; i++) {
		self->reader[i] = fork();
		ASSERT_LE(0, self->reader[i]);
		while (!self->reader[i]) {
			for (int n = first; n < last; n++)
				(void)WORD(n);
			usleep(1000);
		}
	}
	for (round = 1; round <= self->rounds && lost < 0; round++) {
		for (i = 0; i < PAGES; i++)
			WORD(i) = (unsigned long)round << 16 | i;
		ASSERT_EQ(0, punch(self->fd, addr, from * self->page, (to - from) * self->page));
		for (i = 0; i < PAGES && lost < 0; i++) {
			bool in_hole = i >= from && i < to;

			if (in_hole && i != from && i != to - 1 && round % 8)
				continue;
			if (WORD(i) != (in_hole ? 0 : (unsigned long)round << 16 | i))
				lost = i;
		}
		ASSERT_EQ(0, punch(self->fd, addr, 0, PAGES * self->page));
	}
	for (i = 0; i < READERS; i++) {
		kill(self->reader[i], SIGKILL);
		EXPECT_EQ(256 + SIGKILL, shm_wait(self->reader[i]));
	}
	EXPECT_EQ(-1, lost)
		TH_LOG("round %d: page %d is not what it was", round - 1, lost);
}

#define ROUNDS_OF(...) rounds_of(_metadata, self, __VA_ARGS__)

TEST_F_TIMEOUT(hole, its_end_within_a_huge_page, 7200)
{
	ROUNDS_OF(punch_by_madvise, 1, 300, 400, PAGES);
}

TEST_F_TIMEOUT(hole, its_start_within_a_huge_page, 7200)
{
	ROUNDS_OF(punch_by_madvise, 300, PAGES, 0, 112);
}

TEST_F_TIMEOUT(hole, by_fallocate, 7200)
{
	ROUNDS_OF(punch_by_fallocate, 1, 300, 400, PAGES);
}

TEST_HARNESS_MAIN
