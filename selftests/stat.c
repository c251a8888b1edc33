// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of IPC_STAT, SHM_STAT and SHM_STAT_ANY does not depend on the number of resident pages. On the built-in and on the module.
 */
#include "kselftest_harness.h"

#include <limits.h>
#include <time.h>

#include <asm/shmbuf.h>

#include "shm_backend.h"
#include "vma.h"

#define SIZE (64 * MIB)
#define CALLS 250
#define ROUNDS 16

FIXTURE(stat) {
	const struct shm_backend *shm;
};

SHM_BOTH(stat)

FIXTURE_SETUP(stat)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(stat)
{
	SHM_LEAVE(self->shm);
}

/* The plain call, without flags that the backend may set. */
static int plain_stat(const struct shm_backend *shm, int id, int cmd)
{
	union {
		struct shmid64_ds builtin;
		struct rust_shm_stat rust;
	} stat;
	struct rust_shm_ctl ctl = { .id = id, .cmd = cmd, .arg = (uintptr_t)&stat, .arg_size = sizeof(stat.rust) };

	return shm == &shm_rust ? shm_rust_ioctl(RUST_SHM_IOC_CTL, &ctl) : shm->ctl(id, cmd, &stat);
}

/* Returns the nanoseconds of CALLS calls, or -1 if one fails. */
static long cost(const struct shm_backend *shm, int id, int cmd)
{
	struct timespec start, stop;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (i = 0; i < CALLS; i++)
		if (plain_stat(shm, id, cmd) < 0)
			return -1;
	clock_gettime(CLOCK_MONOTONIC, &stop);
	return (stop.tv_sec - start.tv_sec) * 1000000000L + stop.tv_nsec - start.tv_nsec;
}

TEST_F_TIMEOUT(stat, costs_the_same_for_a_full_segment, 120)
{
	static const int cmds[] = { IPC_STAT, SHM_STAT, SHM_STAT_ANY };
	int empty = self->shm->get(IPC_PRIVATE, SIZE, 0600), full = self->shm->get(IPC_PRIVATE, SIZE, 0600), round;
	char *addr = self->shm->attach(full, NULL, 0);
	size_t i;

	ASSERT_LE(0, empty);
	ASSERT_NE(SHM_FAILED, addr);
	/* Small folios only: as many as possible. */
	ASSERT_EQ(0, shm_small_pages(addr, SIZE));
	memset(addr, 1, SIZE);
	/* Where an index is wanted, the low bits of an id are one. */
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		long best[2] = { LONG_MAX, LONG_MAX };

		for (round = 0; round < ROUNDS; round++) {
			long costs[] = { cost(self->shm, empty, cmds[i]), cost(self->shm, full, cmds[i]) };

			ASSERT_LT(0, costs[0]);
			ASSERT_LT(0, costs[1]);
			best[0] = costs[0] < best[0] ? costs[0] : best[0];
			best[1] = costs[1] < best[1] ? costs[1] : best[1];
		}
		EXPECT_GT(2 * best[0], best[1])
			TH_LOG("%s, command %d: %ld ns for an empty segment, %ld ns for a full one", self->shm->name, cmds[i],
			       best[0] / CALLS, best[1] / CALLS);
	}
}

TEST_HARNESS_MAIN
