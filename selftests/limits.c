// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.shmmax, kernel.shmall and kernel.shmmni of the caller's IPC namespace, set and changed at run time; and the module's parameters
 * of these names, which take their place on a kernel without SYSVIPC.
 */
#include "kselftest_harness.h"

#include <limits.h>
#include <sched.h>
#include <time.h>

#include "shm_backend.h"

FIXTURE(limits)
{
	const struct shm_backend *shm;
	size_t page;
};
SHM_BOTH(limits)

FIXTURE_SETUP(limits)
{
	self->shm = variant->shm;
	self->page = shm_page_size();
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(limits)
{
	SHM_LEAVE(self->shm);
}

#define LIMIT(name, value) ASSERT_EQ(0, shm_sysctl_write(name, value))

static unsigned long total_pages(const struct shm_backend *shm)
{
	struct rust_shm_usage usage;

	return shm->shm_info(&usage) < 0 ? ULONG_MAX : usage.shm_tot;
}

TEST_F(limits, shmmax_bounds_one_segment)
{
	LIMIT("shmmax", 8192);
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 8193, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 8193, IPC_CREAT | 0600));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 8192, 0600));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 8192, 0600))
		TH_LOG("it bounds each, not the sum");
}

TEST_F(limits, shmmax_is_a_number_of_bytes)
{
	LIMIT("shmmax", 5000);
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 5000, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 5001, 0600));
}

TEST_F(limits, shmmax_does_not_hide_larger_segments_of_before)
{
	int id = self->shm->get(SHM_KEY, 1 << 20, IPC_CREAT | 0600);
	void *memory;

	ASSERT_LE(0, id);
	LIMIT("shmmax", 4096);
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 1 << 20, 0600));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 1 << 20, IPC_CREAT | 0600));
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memset(memory, 1, 1 << 20);
}

TEST_F(limits, shmmax_zero_allows_none)
{
	LIMIT("shmmax", 0);
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 1, 0600));
}

TEST_F(limits, shmmni_bounds_the_number_of_segments)
{
	int ids[3], i;

	LIMIT("shmmni", 3);
	for (i = 0; i < 3; i++) {
		ids[i] = self->shm->get(SHM_KEY + i, 4096, IPC_CREAT | 0600);
		ASSERT_LE(0, ids[i]);
	}
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(SHM_KEY + 3, 4096, IPC_CREAT | 0600));
	EXPECT_EQ(ids[1], self->shm->get(SHM_KEY + 1, 4096, IPC_CREAT | 0600))
		TH_LOG("finding is not making");
	ASSERT_EQ(0, self->shm->rmid(ids[0]));
	EXPECT_LE(0, self->shm->get(SHM_KEY + 3, 4096, IPC_CREAT | 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

/* The least time of a call that makes no segment, as there are so many already; in nanoseconds. */
static long refusal_takes(struct __test_metadata *_metadata, const struct shm_backend *shm, int segments)
{
	struct timespec before, after;
	long least = LONG_MAX, takes;
	int i;

	LIMIT("shmmni", segments);
	for (i = 0; i < segments; i++)
		shm->get(SHM_KEY + i, 4096, IPC_CREAT | 0600);
	for (i = 0; i < 300; i++) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		EXPECT_ERRNO(ENOSPC, shm->get(SHM_KEY + segments, 4096, IPC_CREAT | 0600));
		clock_gettime(CLOCK_MONOTONIC, &after);
		takes = (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec;
		if (takes < least)
			least = takes;
	}
	return least;
}

/* At a power of two, tables grow. */
TEST_F(limits, refusal_takes_as_long_whatever_shmmni_is)
{
	long below = refusal_takes(_metadata, self->shm, 4095), at = refusal_takes(_metadata, self->shm, 4096);

	EXPECT_GT(3 * below, at)
		TH_LOG("%ld ns with 4095 segments, %ld with 4096", below, at);
}

TEST_F(limits, shmmni_counts_removed_segments_until_they_are_gone)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	void *memory;

	LIMIT("shmmni", 1);
	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_ERRNO(ENOSPC, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600));
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_LE(0, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600));
}

TEST_F(limits, shmmni_lowered_below_what_is_there)
{
	int ids[4], i;

	for (i = 0; i < 4; i++) {
		ids[i] = self->shm->get(SHM_KEY + i, 4096, IPC_CREAT | 0600);
		ASSERT_LE(0, ids[i]);
	}
	LIMIT("shmmni", 2);
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(ids[i], self->shm->get(SHM_KEY + i, 0, 0));
	ASSERT_EQ(0, self->shm->rmid(ids[0]));
	ASSERT_EQ(0, self->shm->rmid(ids[1]));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	LIMIT("shmmni", 3);
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

TEST_F(limits, shmmni_zero_allows_none)
{
	LIMIT("shmmni", 0);
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 0, 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 4096, 0600));
}

TEST_F(limits, shmseg_is_not_enforced)
{
	int id, i;

	LIMIT("shmmni", 1);
	id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	for (i = 0; i < 20; i++)
		ASSERT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
	EXPECT_EQ(20, shm_nattch(self->shm, id));
}

TEST_F(limits, shmall_bounds_the_sum_in_pages)
{
	LIMIT("shmall", 10);
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 10 * self->page + 1, 0600));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 7 * self->page, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 3 * self->page + 1, 0600));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 3 * self->page, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
	EXPECT_EQ(10, total_pages(self->shm));
}

TEST_F(limits, shmall_counts_a_byte_as_a_page)
{
	LIMIT("shmall", 2);
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, 0600));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
}

TEST_F(limits, shmall_comes_back_with_removal)
{
	int id, i;

	LIMIT("shmall", 4);
	for (i = 0; i < 50; i++) {
		id = self->shm->get(SHM_KEY, 4 * self->page, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, id);
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
		ASSERT_EQ(0, self->shm->rmid(id));
		ASSERT_EQ(0, total_pages(self->shm));
	}
}

TEST_F(limits, shmall_comes_back_with_the_last_detach_of_a_removed_segment)
{
	int id = self->shm->get(SHM_KEY, 4 * self->page, IPC_CREAT | 0600);
	void *first, *second;

	LIMIT("shmall", 4);
	ASSERT_LE(0, id);
	first = self->shm->attach(id, NULL, 0);
	second = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, first);
	ASSERT_NE(SHM_FAILED, second);
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_EQ(4, total_pages(self->shm));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
	ASSERT_EQ(0, self->shm->detach(first));
	EXPECT_EQ(4, total_pages(self->shm));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
	ASSERT_EQ(0, self->shm->detach(second));
	EXPECT_EQ(0, total_pages(self->shm));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4 * self->page, 0600));
}

TEST_F(limits, shmall_comes_back_when_the_last_process_exits)
{
	int id = self->shm->get(SHM_KEY, 4 * self->page, IPC_CREAT | 0600);

	LIMIT("shmall", 4);
	ASSERT_LE(0, id);
	SHM_CHILD {
		ASSERT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
		ASSERT_EQ(0, self->shm->rmid(id));
		EXPECT_EQ(4, total_pages(self->shm));
	}
	EXPECT_EQ(0, total_pages(self->shm));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(limits, shmall_changes_at_run_time)
{
	int id = self->shm->get(IPC_PRIVATE, 8 * self->page, 0600);

	ASSERT_LE(0, id);
	LIMIT("shmall", 4);
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
	EXPECT_EQ(8, total_pages(self->shm));
	LIMIT("shmall", 9);
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
	LIMIT("shmall", 0);
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
}

TEST_F(limits, einval_wins_over_enospc)
{
	LIMIT("shmmax", 4096);
	LIMIT("shmall", 0);
	LIMIT("shmmni", 0);
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 4097, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 0, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 4096, 0600));
}

/* A size of 64 bits, whoever asks. */
static int get_large(const struct shm_backend *shm, uint64_t size)
{
	struct rust_shm_get get = { .key = IPC_PRIVATE, .flags = 0600, .size = size };

	return shm == &shm_rust ? shm_rust_ioctl(RUST_SHM_IOC_GET, &get) : shm->get(IPC_PRIVATE, size, 0600);
}

TEST_F(limits, size_that_overflows_in_pages_is_enospc)
{
	if (sizeof(size_t) < sizeof(uint64_t) && self->shm == &shm_builtin)
		SKIP(return, "shmget(2) of a 32-bit program has no room for such a size");
	LIMIT("shmmax", UINT64_MAX);
	LIMIT("shmall", UINT64_MAX);
	EXPECT_ERRNO(ENOSPC, get_large(self->shm, UINT64_MAX));
	EXPECT_ERRNO(ENOSPC, get_large(self->shm, UINT64_MAX - self->page + 2));
	EXPECT_ERRNO(EINVAL, get_large(self->shm, UINT64_MAX - self->page + 1));
	EXPECT_EQ(0, total_pages(self->shm));
}

TEST_F(limits, refusal_leaves_no_trace)
{
	int next;

	SHM_NEEDS_NAMESPACE("ipc");
	LIMIT("shmall", 2);
	ASSERT_EQ(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(SHM_KEY, 2 * self->page, IPC_CREAT | 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	LIMIT("shmall", 100);
	LIMIT("shmmni", 1);
	EXPECT_ERRNO(ENOSPC, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_EQ(1, total_pages(self->shm));
	EXPECT_EQ(1, shm_count(self->shm));
	LIMIT("shmmni", 100);
	next = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	EXPECT_EQ(1, next)
		TH_LOG("a refused one took an index");
}

TEST_F(limits, ipc_info_follows_the_settings)
{
	struct rust_shm_limits limits;

	LIMIT("shmmax", 123456);
	LIMIT("shmall", 7890);
	LIMIT("shmmni", 321);
	ASSERT_EQ(0, self->shm->ipc_info(&limits));
	EXPECT_EQ(123456, limits.shmmax);
	EXPECT_EQ(7890, limits.shmall);
	EXPECT_EQ(321, limits.shmmni);
	EXPECT_EQ(321, limits.shmseg);
	EXPECT_EQ(1, limits.shmmin);
	LIMIT("shmmax", 654321);
	ASSERT_EQ(0, self->shm->ipc_info(&limits));
	EXPECT_EQ(654321, limits.shmmax);
}

TEST_F(limits, limits_are_those_of_the_namespace)
{
	struct rust_shm_limits limits;

	SHM_NEEDS_NAMESPACE("ipc");
	LIMIT("shmmni", 2);
	LIMIT("shmmax", 4096);
	LIMIT("shmall", 5);
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, self->shm->ipc_info(&limits));
		if (shm_limits_are_parameters()) {
			/* They are those of all namespaces, and count in each. */
			EXPECT_EQ(2, limits.shmmni);
			EXPECT_EQ(4096, limits.shmmax);
			EXPECT_EQ(5, limits.shmall);
			EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
			EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
			EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
			shm_remove_all(self->shm);
			_exit(0);
		}
		EXPECT_LT(2, limits.shmmni);
		EXPECT_LT(4096, limits.shmmax);
		EXPECT_LT(5, limits.shmall);
		EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 64 << 12, 0600));
		EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
		EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
		LIMIT("shmmni", 3);
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
		shm_remove_all(self->shm);
	}
	ASSERT_EQ(0, self->shm->ipc_info(&limits));
	EXPECT_EQ(2, limits.shmmni);
	EXPECT_EQ(0, shm_count(self->shm));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

TEST_F(limits, limits_bind_root_and_everyone)
{
	LIMIT("shmmni", 1);
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(1000, 1000, 1000));
		ASSERT_LE(0, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0666));
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	}
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

TEST_F(limits, race_for_the_last_place_has_one_winner)
{
	int round, i, status, winners;
	pid_t pids[8];

	LIMIT("shmmni", 1);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 8; i++) {
			SHM_FORK(pids[i]) {
				if (self->shm->get(IPC_PRIVATE, 4096, 0600) >= 0)
					_exit(0);
				_exit(errno == ENOSPC ? 1 : 2);
			}
		}
		for (winners = 0, i = 0; i < 8; i++) {
			status = shm_wait(pids[i]);
			EXPECT_GT(2, status);
			winners += status == 0;
		}
		ASSERT_EQ(1, winners);
		ASSERT_EQ(1, shm_remove_all(self->shm));
	}
}

TEST_F(limits, going_down_and_up_again_leaves_what_is_there)
{
	struct rust_shm_stat before, after;
	int large, small, i;
	char *memory;

	large = self->shm->get(SHM_KEY, 8 * self->page, IPC_CREAT | 0600);
	small = self->shm->get(SHM_KEY + 1, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, large);
	ASSERT_LE(0, small);
	for (i = 0; i < 3; i++) {
		LIMIT("shmmax", self->page - 1);
		LIMIT("shmall", 1);
		LIMIT("shmmni", 1);
		EXPECT_EQ(9, total_pages(self->shm));
		EXPECT_EQ(2, shm_count(self->shm));
		memory = self->shm->attach(large, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		EXPECT_EQ(i, memory[7 * self->page]);
		memory[7 * self->page]++;
		ASSERT_EQ(0, self->shm->detach(memory));
		EXPECT_EQ(large, self->shm->get(SHM_KEY, 8 * self->page, IPC_CREAT | 0600));
		EXPECT_EQ(0, self->shm->set(small, 1000 + i, 1000, 0640));
		EXPECT_EQ(0, self->shm->stat(small, &before));
		EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, self->page, 0600));
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));

		LIMIT("shmmax", 8 * self->page);
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 8 * self->page, 0600));
		LIMIT("shmall", 17);
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 8 * self->page, 0600));
		LIMIT("shmmni", 3);
		EXPECT_LE(0, self->shm->get(SHM_KEY + 2, 8 * self->page, IPC_CREAT | IPC_EXCL | 0600));
		EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 1, 0600));
		EXPECT_EQ(0, self->shm->stat(small, &after));
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
		ASSERT_EQ(0, self->shm->rmid(self->shm->get(SHM_KEY + 2, 0, 0)));
	}
	ASSERT_EQ(0, self->shm->rmid(large));
	ASSERT_EQ(0, self->shm->rmid(small));
	EXPECT_EQ(0, total_pages(self->shm));
}

/* What the lines of the table add up to. */
static struct rust_shm_usage table_sum(const struct shm_backend *shm)
{
	struct rust_shm_usage sum = { 0 };
	unsigned long size, rss, swap;
	FILE *file = fopen(shm->table, "re");
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*d %*d %*o %lu %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %lu %lu", &size, &rss, &swap) != 3)
			continue;
		sum.used_ids++;
		sum.shm_tot += (size + shm_page_size() - 1) / shm_page_size();
		sum.shm_rss += rss / shm_page_size();
		sum.shm_swp += swap / shm_page_size();
	}
	if (file)
		fclose(file);
	return sum;
}

/* A segment as the model below knows it. */
struct known {
	int id;
	size_t pages;
	int attaches;
	void *addr[4];
	bool removed;
	unsigned int mode;
};

static unsigned int next_random(unsigned int *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/*
 * Hundreds of random steps, the same in each run. A model in a few lines says what each must answer, and what is used after it.
 */
TEST_F(limits, totals_never_drift)
{
	enum { STEPS = 700, MOST = 40 };
	struct known known[MOST];
	unsigned long total = 0, max_pages = 64, all = 300, number = MOST;
	struct rust_shm_usage usage, sum;
	struct rust_shm_stat stat;
	unsigned int random = 20260923;
	int count = 0, step, seen[8] = { 0 };

	LIMIT("shmmax", max_pages * self->page);
	LIMIT("shmall", all);
	LIMIT("shmmni", number);
	for (step = 0; step < STEPS; step++) {
		unsigned int what = next_random(&random) % 16, mode = next_random(&random) & 0777;
		struct known *one = count ? &known[next_random(&random) % count] : NULL;
		size_t pages = 1 + next_random(&random) % 70;
		bool gone = false;

		if (what < 6 || !one) {
			int expected = pages > max_pages ? EINVAL : total + pages > all || (unsigned long)count >= number ? ENOSPC : 0;
			int id = self->shm->get(IPC_PRIVATE, pages * self->page - step % 100, mode);

			/* A few bytes less than the largest size may be just what fits. */
			if (expected == EINVAL && pages * self->page - step % 100 <= max_pages * self->page)
				expected = total + pages > all || (unsigned long)count >= number ? ENOSPC : 0;
			if (expected) {
				ASSERT_EQ(-1, id);
				ASSERT_EQ(expected, errno);
				seen[expected == EINVAL ? 0 : 1]++;
			} else {
				ASSERT_LE(0, id);
				known[count++] = (struct known) { .id = id, .pages = pages, .mode = mode };
				total += pages;
				seen[2]++;
			}
		} else if (what < 9 && one->attaches < 4) {
			char *memory = self->shm->attach(one->id, NULL, what == 7 ? SHM_RDONLY : 0);

			ASSERT_NE(SHM_FAILED, memory);
			one->addr[one->attaches++] = memory;
			if (what == 8)
				memory[(pages % one->pages) * self->page] = 1;
			seen[3]++;
		} else if (what < 11 && one->attaches) {
			ASSERT_EQ(0, self->shm->detach(one->addr[--one->attaches]));
			gone = one->removed && !one->attaches;
			seen[4]++;
		} else if (what == 11 && !one->removed) {
			ASSERT_EQ(0, self->shm->rmid(one->id));
			one->removed = true;
			one->mode |= 01000;
			gone = !one->attaches;
			seen[5]++;
		} else if (what == 12) {
			ASSERT_EQ(0, self->shm->set(one->id, step, step, mode));
			one->mode = (one->mode & ~0777) | mode;
			seen[6]++;
		} else if (what == 13) {
			ASSERT_EQ(0, self->shm->ctl(one->id, one->mode & 02000 ? SHM_UNLOCK : SHM_LOCK, NULL));
			one->mode ^= 02000;
			seen[7]++;
		} else if (what == 14) {
			max_pages = 1 + pages;
			LIMIT("shmmax", max_pages * self->page);
			all = 100 + 4 * pages;
			LIMIT("shmall", all);
		} else if (what == 15) {
			number = pages % MOST;
			LIMIT("shmmni", number);
		}
		if (gone) {
			total -= one->pages;
			EXPECT_ERRNO(EINVAL, self->shm->stat(one->id, &stat));
			*one = known[--count];
		} else if (one && what >= 6) {
			ASSERT_EQ(0, self->shm->stat(one->id, &stat));
			ASSERT_EQ(one->mode, stat.mode);
			ASSERT_EQ(one->attaches, (int)stat.nattch);
		}
		ASSERT_LE(0, self->shm->shm_info(&usage));
		ASSERT_EQ(count, (int)usage.used_ids);
		ASSERT_EQ(total, usage.shm_tot);
		if (step % 10 == 0) {
			sum = table_sum(self->shm);
			ASSERT_EQ(sum.used_ids, usage.used_ids);
			ASSERT_EQ(sum.shm_tot, usage.shm_tot);
			ASSERT_EQ(sum.shm_rss, usage.shm_rss);
			ASSERT_EQ(sum.shm_swp, usage.shm_swp);
		}
	}
	/* All kinds of steps were among them, often. */
	for (step = 0; step < 8; step++)
		EXPECT_LE(10, seen[step]);
	while (count--) {
		if (!known[count].removed)
			ASSERT_EQ(0, self->shm->rmid(known[count].id));
		while (known[count].attaches)
			ASSERT_EQ(0, self->shm->detach(known[count].addr[--known[count].attaches]));
	}
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
	EXPECT_EQ(0, usage.shm_rss);
}

/* The parameters. */

FIXTURE(parameters) {
};

FIXTURE_SETUP(parameters)
{
	SHM_ENTER(&shm_rust);
}

FIXTURE_TEARDOWN(parameters)
{
	/* Also where they are not the limits. */
	shm_write_file(SHM_PARAMETERS "/shmmax", "18446744073692774399");
	shm_write_file(SHM_PARAMETERS "/shmall", "18446744073692774399");
	shm_write_file(SHM_PARAMETERS "/shmmni", "4096");
	SHM_LEAVE(&shm_rust);
}

/* A number of 64 bits, for 32-bit programs too. */
static unsigned long long parameter(const char *name)
{
	unsigned long long value = 0;
	char path[128], end = 0;
	FILE *file;

	snprintf(path, sizeof(path), SHM_PARAMETERS "/%s", name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu%c", &value, &end) != 2 || end != '\n' || fgetc(file) != EOF)
		value = 0;
	fclose(file);
	return value;
}

TEST_F(parameters, begin_with_the_defaults_of_the_sysctls)
{
	EXPECT_EQ(ULLONG_MAX - (1 << 24), parameter("shmmax"));
	EXPECT_EQ(ULLONG_MAX - (1 << 24), parameter("shmall"));
	EXPECT_EQ(4096, parameter("shmmni"));
}

TEST_F(parameters, take_numbers_within_their_bounds)
{
	static const char *const bad[] = { "-1", "x", "1x", "", " ", "18446744073709551616" };
	static const char *const names[] = { SHM_PARAMETERS "/shmmax", SHM_PARAMETERS "/shmall", SHM_PARAMETERS "/shmmni" };
	unsigned int i, j;

	for (i = 0; i < 3; i++) {
		for (j = 0; j < 6; j++) {
			/* A write of nothing is none. */
			if (*bad[j])
				EXPECT_EQ(-1, shm_write_file(names[i], bad[j]))
					TH_LOG("\"%s\" to %s", bad[j], names[i]);
		}
		EXPECT_EQ(0, shm_write_file(names[i], "0x11\n"));
	}
	EXPECT_EQ(17, parameter("shmmax"));
	EXPECT_EQ(17, parameter("shmall"));
	EXPECT_EQ(17, parameter("shmmni"));
	EXPECT_EQ(0, shm_write_file(names[0], "18446744073709551615"));
	EXPECT_EQ(0, shm_write_file(names[1], "18446744073709551615"));
	EXPECT_EQ(ULLONG_MAX, parameter("shmmax"));
	EXPECT_EQ(ULLONG_MAX, parameter("shmall"));
	/* No namespace can have more segments than ids. */
	EXPECT_EQ(0, shm_write_file(names[2], "32768"));
	EXPECT_ERRNO(EINVAL, shm_write_file(names[2], "16777217"));
	EXPECT_ERRNO(EINVAL, shm_write_file(names[2], "4294967297"));
	EXPECT_EQ(32768, parameter("shmmni"));
}

TEST_F(parameters, are_for_root_to_write_and_for_all_to_read)
{
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(1000, 1000, 1000));
		EXPECT_ERRNO(EACCES, shm_write_file(SHM_PARAMETERS "/shmmni", "5"));
		EXPECT_EQ(4096, parameter("shmmni"));
	}
}

/* The suite runs on both kinds of kernels. */
TEST_F(parameters, hold_where_there_are_no_sysctls)
{
	bool hold = shm_limits_are_parameters();
	struct rust_shm_limits limits;

	EXPECT_EQ(hold, shm_builtin.missing() == ENOSYS);
	ASSERT_EQ(0, shm_write_file(SHM_PARAMETERS "/shmmax", "4096"));
	EXPECT_EQ(hold ? -1 : 0, shm_rust.get(IPC_PRIVATE, 4097, 0600));
	ASSERT_EQ(0, shm_write_file(SHM_PARAMETERS "/shmall", "1"));
	ASSERT_EQ(0, shm_write_file(SHM_PARAMETERS "/shmmni", "1"));
	ASSERT_EQ(0, shm_rust.ipc_info(&limits));
	if (hold) {
		EXPECT_EQ(4096, limits.shmmax);
		EXPECT_EQ(1, limits.shmall);
		EXPECT_EQ(1, limits.shmmni);
		EXPECT_LE(0, shm_rust.get(IPC_PRIVATE, 4096, 0600));
		EXPECT_ERRNO(ENOSPC, shm_rust.get(IPC_PRIVATE, 4096, 0600));
	} else {
		EXPECT_EQ(shm_sysctl_read("shmmax"), limits.shmmax);
		EXPECT_EQ(shm_sysctl_read("shmall"), limits.shmall);
		EXPECT_EQ(shm_sysctl_read("shmmni"), limits.shmmni);
		EXPECT_LE(0, shm_rust.get(IPC_PRIVATE, 4096, 0600));
	}
}

/*
 * Whether the oracle is there is a matter of the kernel, and of nothing else: where its functions are, its calls work, and where they
 * are not, all of them are ENOSYS. RUST_SHM_SYSVIPC, y or n, is what who runs the tests takes the kernel for.
 */
TEST(the_builtin_is_missing_only_where_the_kernel_has_none)
{
	const char *expected = getenv("RUST_SHM_SYSVIPC");
	bool there = false, read = false;
	char line[512];
	FILE *file = fopen("/proc/kallsyms", "re");

	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		read = true;
		there = there || strstr(line, " ksys_shmget\n");
	}
	fclose(file);
	ASSERT_TRUE(read);
	if (expected)
		EXPECT_EQ(*expected == 'y', there);
	EXPECT_EQ(there, !shm_limits_are_parameters());
	if (there) {
		EXPECT_EQ(0, shm_builtin.missing());
	} else {
		EXPECT_ERRNO(ENOSYS, shm_builtin.get(IPC_PRIVATE, 4096, 0600));
		EXPECT_ERRNO(ENOSYS, shm_builtin.attach(0, NULL, 0));
		EXPECT_ERRNO(ENOSYS, shm_builtin.detach(NULL));
		EXPECT_ERRNO(ENOSYS, shm_builtin.ctl(0, IPC_RMID, NULL));
		/* The module makes a shm in that directory. */
		EXPECT_ERRNO(ENOENT, access("/proc/sysvipc/msg", F_OK));
	}
}

TEST_HARNESS_MAIN
