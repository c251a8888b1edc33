// SPDX-License-Identifier: GPL-2.0
/* Finding and making segments: keys, flags, sizes, ids, and which errno wins. */
/* needs: plain */
#include "kselftest_harness.h"

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "shm_backend.h"

/* An id is a sequence number and an index: see ipcmni_seq_shift(). */
#define INDEX_BITS 15
#define INDEX(id) ((id) & ((1 << INDEX_BITS) - 1))
#define SEQUENCE(id) ((id) >> INDEX_BITS)

/* Indices are handed out in a circle of at least this many: see ipc_min_cycle. */
#define MIN_CYCLE 64

#define STRANGER 54321

FIXTURE(get)
{
	const struct shm_backend *shm;
	size_t page;
};
SHM_BOTH(get)

FIXTURE_SETUP(get)
{
	self->shm = variant->shm;
	self->page = shm_page_size();
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(get)
{
	SHM_LEAVE(self->shm);
}

TEST_F(get, private_makes_a_new_segment_each_time)
{
	int first = self->shm->get(IPC_PRIVATE, 4096, 0600);
	int second = self->shm->get(IPC_PRIVATE, 4096, 0600);
	struct rust_shm_stat stat;

	ASSERT_LE(0, first);
	ASSERT_LE(0, second);
	EXPECT_NE(first, second);
	ASSERT_EQ(0, self->shm->stat(second, &stat));
	EXPECT_EQ(0, stat.key);
	EXPECT_EQ(2, shm_count(self->shm));
}

TEST_F(get, private_needs_no_creat_and_minds_no_excl)
{
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, 0));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, IPC_CREAT));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, IPC_CREAT | IPC_EXCL));
	EXPECT_LE(0, self->shm->get(IPC_PRIVATE, 1, IPC_EXCL));
	EXPECT_EQ(4, shm_count(self->shm));
}

TEST_F(get, key_without_segment_is_enoent)
{
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 4096, 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 4096, IPC_EXCL | 0600));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(get, enoent_wins_over_a_bad_size)
{
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, ULONG_MAX, 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, IPC_EXCL));
}

TEST_F(get, creat_makes_it_once_and_finds_it_then)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);

	ASSERT_LE(0, id);
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 4096, 0600));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 4096, 0));
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(get, excl_refuses_a_key_in_use)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | IPC_EXCL | 0600);

	ASSERT_LE(0, id);
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, 4096, IPC_CREAT | IPC_EXCL | 0600));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 4096, IPC_EXCL | 0600))
		TH_LOG("IPC_EXCL without IPC_CREAT means nothing");
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(get, eexist_wins_over_einval_and_eacces)
{
	ASSERT_LE(0, self->shm->get(SHM_KEY, 4096, IPC_CREAT));
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, 8192, IPC_CREAT | IPC_EXCL | 0600));
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, ULONG_MAX, IPC_CREAT | IPC_EXCL | 0600));
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, 0, IPC_CREAT | IPC_EXCL | 0600));
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(STRANGER, STRANGER, STRANGER));
		EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, 4096, IPC_CREAT | IPC_EXCL | 0600));
	}
}

TEST_F(get, existing_segment_may_not_be_smaller_than_asked)
{
	int id = self->shm->get(SHM_KEY, 5000, IPC_CREAT | 0600);
	struct rust_shm_stat stat;

	ASSERT_LE(0, id);
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 0, 0600));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 1, 0600));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 5000, 0600));
	/* Its pages would hold this much, but its size is what was asked for. */
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 5001, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 8192, IPC_CREAT | 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, ULONG_MAX, 0));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(5000, stat.segsz);
}

TEST_F(get, einval_for_the_size_wins_over_eacces)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT);

	ASSERT_LE(0, id);
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(STRANGER, STRANGER, STRANGER));
		EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 4097, 0600));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 4096, 0600));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600));
		EXPECT_EQ(id, self->shm->get(SHM_KEY, 4096, 0))
			TH_LOG("who asks for nothing is refused nothing");
	}
}

TEST_F(get, new_segment_may_not_be_empty)
{
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 0, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 0, IPC_CREAT | 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(get, size_is_kept_as_asked_and_counted_in_pages)
{
	const size_t sizes[] = { 1, self->page - 1, self->page, self->page + 1, 3 * self->page };
	const unsigned long pages[] = { 1, 1, 1, 2, 3 };
	struct rust_shm_usage before, after;
	struct rust_shm_stat stat;
	unsigned int i;
	int id;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_LE(0, self->shm->shm_info(&before));
		id = self->shm->get(IPC_PRIVATE, sizes[i], 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(sizes[i], stat.segsz);
		ASSERT_LE(0, self->shm->shm_info(&after));
		EXPECT_EQ(before.shm_tot + pages[i], after.shm_tot);
	}
}

TEST_F(get, absurd_sizes_are_einval)
{
	struct rust_shm_limits limits;
	struct rust_shm_usage usage;

#ifndef __LP64__
	/* Nothing that a 32-bit program can name is absurd to a 64-bit kernel, unless it is told so. */
	ASSERT_EQ(0, shm_sysctl_write("shmmax", LONG_MAX - self->page));
#endif
	ASSERT_LE(0, self->shm->ipc_info(&limits));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, ULONG_MAX, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, limits.shmmax + 1, 0600));
#ifdef __LP64__
	/* Below shmmax, but no file can be as large. */
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, limits.shmmax, 0600));
#endif
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, (size_t)LONG_MAX + 1, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, (size_t)LONG_MAX + 1, IPC_CREAT | 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
}

TEST_F(get, memory_comes_with_the_first_touch)
{
	const size_t size = 64 << 20;
	int id = self->shm->get(IPC_PRIVATE, size, 0600);
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	char *memory;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0, stat.rss);

	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0, stat.rss);

	memory[self->page] = 1;
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_LE(self->page, stat.rss);
	EXPECT_GT(size, stat.rss);
	EXPECT_EQ(0, stat.rss % self->page);
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(stat.rss, usage.shm_rss * self->page);

	ASSERT_EQ(0, self->shm->detach(memory));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_LE(self->page, stat.rss)
		TH_LOG("what was written stays after the last detach");
}

TEST_F(get, permission_bits_become_the_mode)
{
	struct rust_shm_stat stat;
	unsigned int mode;
	int id;

	for (mode = 0; mode <= 0777; mode++) {
		id = self->shm->get(IPC_PRIVATE, 1, IPC_CREAT | IPC_EXCL | mode);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		ASSERT_EQ(mode, stat.mode);
		ASSERT_EQ(0, self->shm->rmid(id));
	}
}

TEST_F(get, new_segment_stat_has_every_field)
{
	time_t before = time(NULL);
	struct rust_shm_stat stat;
	int id;

	/* Of four ids, the effective ones count. */
	ASSERT_EQ(0, setresgid(101, 102, 103));
	ASSERT_EQ(0, setresuid(201, 202, 0));
	id = self->shm->get(SHM_KEY, 12345, IPC_CREAT | 0640);
	ASSERT_LE(0, id);
	memset(&stat, 0xa5, sizeof(stat));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(SHM_KEY, stat.key);
	EXPECT_EQ(202, stat.uid);
	EXPECT_EQ(102, stat.gid);
	EXPECT_EQ(202, stat.cuid);
	EXPECT_EQ(102, stat.cgid);
	EXPECT_EQ(0640, stat.mode);
	EXPECT_EQ(getpid(), stat.cpid);
	EXPECT_EQ(0, stat.lpid);
	EXPECT_EQ(12345, stat.segsz);
	EXPECT_EQ(0, stat.nattch);
	EXPECT_EQ(0, stat.atime);
	EXPECT_EQ(0, stat.dtime);
	EXPECT_LE(before, stat.ctime);
	EXPECT_GE(time(NULL), stat.ctime);
	EXPECT_EQ(0, stat.rss);
	EXPECT_EQ(0, stat.huge);
	EXPECT_EQ(SEQUENCE(id), stat.seq);
	EXPECT_EQ(0, stat.reserved);
	EXPECT_EQ(0, stat.flags);
	EXPECT_EQ(0, stat.reserved2);
}

TEST_F(get, creator_pid_stays_when_the_creator_is_gone)
{
	struct rust_shm_stat stat;
	pid_t pid = fork();
	int id;

	ASSERT_LE(0, pid);
	if (!pid)
		_exit(self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600) < 0);
	ASSERT_EQ(0, shm_wait(pid));
	id = self->shm->get(SHM_KEY, 0, 0);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(pid, stat.cpid);
}

TEST_F(get, finding_changes_nothing)
{
	int id = self->shm->get(SHM_KEY, 5000, IPC_CREAT | 0640);
	struct rust_shm_stat before, after;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &before));
	SHM_CHILD {
		sleep(1);
		EXPECT_EQ(id, self->shm->get(SHM_KEY, 1, IPC_CREAT | 0777));
	}
	ASSERT_EQ(0, self->shm->stat(id, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_F(get, every_number_is_a_key)
{
	const key_t keys[] = { 1, -1, INT_MAX, INT_MIN, 0x7f000000, -2, 0x80 };
	struct rust_shm_stat stat;
	unsigned int i, j;
	int ids[ARRAY_SIZE(keys)];

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		ids[i] = self->shm->get(keys[i], 4096, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, ids[i]);
		ASSERT_EQ(0, self->shm->stat(ids[i], &stat));
		EXPECT_EQ(keys[i], stat.key);
		for (j = 0; j < i; j++)
			EXPECT_NE(ids[j], ids[i]);
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		EXPECT_EQ(ids[i], self->shm->get(keys[i], 0, 0));
}

TEST_F(get, a_thousand_keys_are_found_until_removed)
{
	enum { COUNT = 1000 };
	int ids[COUNT], i;

	for (i = 0; i < COUNT; i++) {
		ids[i] = self->shm->get(SHM_KEY + i, 1 + i, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, ids[i]);
	}
	EXPECT_EQ(COUNT, shm_count(self->shm));
	for (i = 0; i < COUNT; i += 2)
		ASSERT_EQ(0, self->shm->rmid(ids[i]));
	for (i = 0; i < COUNT; i++) {
		if (i % 2) {
			ASSERT_EQ(ids[i], self->shm->get(SHM_KEY + i, 1 + i, 0600));
		} else {
			EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + i, 0, 0));
		}
	}
	EXPECT_EQ(COUNT / 2, shm_count(self->shm));
}

TEST_F(get, removal_frees_the_key_at_once)
{
	int first = self->shm->get(SHM_KEY, 4096, IPC_CREAT | IPC_EXCL | 0600), second;

	ASSERT_LE(0, first);
	ASSERT_EQ(0, self->shm->rmid(first));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	second = self->shm->get(SHM_KEY, 4096, IPC_CREAT | IPC_EXCL | 0600);
	ASSERT_LE(0, second);
	EXPECT_NE(first, second);
}

TEST_F(get, removal_frees_the_key_while_attached)
{
	int first = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600), second;
	char *old, *new;

	ASSERT_LE(0, first);
	old = self->shm->attach(first, NULL, 0);
	ASSERT_NE(SHM_FAILED, old);
	strcpy(old, "old");
	ASSERT_EQ(0, self->shm->rmid(first));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));

	second = self->shm->get(SHM_KEY, 8192, IPC_CREAT | IPC_EXCL | 0600);
	ASSERT_LE(0, second);
	EXPECT_NE(first, second);
	new = self->shm->attach(second, NULL, 0);
	ASSERT_NE(SHM_FAILED, new);
	EXPECT_EQ(0, new[0]);
	EXPECT_STREQ("old", old);

	/* The end of the old one leaves the new one its key. */
	ASSERT_EQ(0, self->shm->detach(old));
	EXPECT_EQ(second, self->shm->get(SHM_KEY, 0, 0));
}

TEST_F(get, ids_count_up_from_zero)
{
	int i;

	SHM_NEEDS_NAMESPACE("ipc");
	for (i = 0; i < 10; i++)
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

TEST_F(get, freed_index_rests_until_the_circle_is_round)
{
	int i;

	SHM_NEEDS_NAMESPACE("ipc");
	for (i = 0; i < MIN_CYCLE; i++) {
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
		ASSERT_EQ(0, self->shm->rmid(i));
	}
	/* Round: the indices begin again, with the next sequence number. */
	for (i = 0; i < 3; i++)
		ASSERT_EQ((1 << INDEX_BITS) + i, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

TEST_F(get, circle_leaves_out_what_is_in_use)
{
	int kept = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600), i, id;

	SHM_NEEDS_NAMESPACE("ipc");
	ASSERT_EQ(0, kept);
	for (i = 1; i < MIN_CYCLE; i++) {
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
		ASSERT_EQ(0, self->shm->rmid(i));
	}
	id = self->shm->get(IPC_PRIVATE, 4096, 0600);
	EXPECT_EQ(1, INDEX(id));
	EXPECT_EQ(1, SEQUENCE(id));
	EXPECT_EQ(kept, self->shm->get(SHM_KEY, 0, 0));
}

TEST_F(get, circle_grows_with_the_number_of_segments)
{
	int i, id;

	SHM_NEEDS_NAMESPACE("ipc");
	/* 100 in use: the circle is 150 long, and 50 more come before the first index is used again. */
	for (i = 0; i < 100; i++)
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
	ASSERT_EQ(0, self->shm->rmid(0));
	for (i = 100; i < 148; i++) {
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
		ASSERT_EQ(0, self->shm->rmid(i));
	}
	id = self->shm->get(IPC_PRIVATE, 4096, 0600);
	EXPECT_EQ(0, INDEX(id));
	EXPECT_EQ(1, SEQUENCE(id));
}

TEST_F(get, stale_id_is_einval_when_its_index_is_used_again)
{
	struct rust_shm_stat stat;
	int i, stale, fresh;

	stale = self->shm->get(IPC_PRIVATE, 4096, 0600);
	ASSERT_LE(0, stale);
	ASSERT_EQ(0, self->shm->rmid(stale));
	for (i = 0; i < 1000; i++) {
		fresh = self->shm->get(IPC_PRIVATE, 4096, 0600);
		ASSERT_LE(0, fresh);
		if (INDEX(fresh) == INDEX(stale))
			break;
		ASSERT_EQ(0, self->shm->rmid(fresh));
	}
	ASSERT_EQ(INDEX(stale), INDEX(fresh));
	ASSERT_NE(stale, fresh);

	EXPECT_ERRNO(EINVAL, self->shm->stat(stale, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->attach(stale, NULL, 0));
	EXPECT_ERRNO(EINVAL, self->shm->set(stale, 0, 0, 0600));
	EXPECT_ERRNO(EINVAL, self->shm->rmid(stale));
	EXPECT_EQ(0, self->shm->stat(fresh, &stat));
	EXPECT_EQ(SEQUENCE(stale) + 1, stat.seq);
}

TEST_F(get, id_with_another_sequence_number_is_einval)
{
	int id = self->shm->get(IPC_PRIVATE, 4096, 0600);
	struct rust_shm_stat stat;

	ASSERT_LE(0, id);
	EXPECT_ERRNO(EINVAL, self->shm->stat(id + (1 << INDEX_BITS), &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat(id + (0xffff << INDEX_BITS), &stat));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id + (1 << INDEX_BITS), NULL, 0));
	EXPECT_ERRNO(EINVAL, self->shm->rmid(id + (1 << INDEX_BITS)));
	EXPECT_EQ(1, shm_count(self->shm));
}

/* Eight processes at the same key at the same time; each reports through a pipe what it got. */
static void race(struct __test_metadata *_metadata, const struct shm_backend *shm, int flags, int ids[8])
{
	int go[2], report[2], i, result;
	char byte;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(report));
	for (i = 0; i < 8; i++) {
		pid_t pid;

		SHM_FORK(pid) {
			close(go[1]);
			/* Returns for all when the parent closes its end. */
			result = read(go[0], &byte, 1);
			result = shm->get(SHM_KEY, 4096, flags);
			if (result < 0)
				result = -errno;
			_exit(write(report[1], &result, sizeof(result)) != sizeof(result));
		}
	}
	close(go[1]);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(sizeof(ids[i]), read(report[0], &ids[i], sizeof(ids[i])));
	for (i = 0; i < 8; i++)
		ASSERT_LT(0, wait(NULL));
	close(go[0]);
	close(report[0]);
	close(report[1]);
}

TEST_F(get, one_of_many_wins_the_exclusive_race)
{
	int ids[8], round, i, winner, winners;

	for (round = 0; round < 20; round++) {
		race(_metadata, self->shm, IPC_CREAT | IPC_EXCL | 0600, ids);
		for (winners = 0, winner = -1, i = 0; i < 8; i++) {
			if (ids[i] >= 0) {
				winners++;
				winner = ids[i];
			} else {
				EXPECT_EQ(-EEXIST, ids[i]);
			}
		}
		ASSERT_EQ(1, winners);
		ASSERT_EQ(1, shm_count(self->shm));
		ASSERT_EQ(0, self->shm->rmid(winner));
	}
}

TEST_F(get, all_of_many_get_the_same_segment)
{
	int ids[8], round, i;

	for (round = 0; round < 20; round++) {
		race(_metadata, self->shm, IPC_CREAT | 0600, ids);
		for (i = 0; i < 8; i++)
			EXPECT_EQ(ids[0], ids[i]);
		ASSERT_EQ(1, shm_count(self->shm));
		ASSERT_EQ(0, self->shm->rmid(ids[0]));
	}
}

/* Others come and go meanwhile, so many that a table of keys has to grow, and with keys that look alike. */
TEST_F(get, found_while_others_come_and_go)
{
	enum { STAY = 100, OTHERS = 3000, FINDERS = 3 };
	int ids[STAY], others[OTHERS], i, finder, status;
	pid_t finders[FINDERS];

	for (i = 0; i < STAY; i++) {
		ids[i] = self->shm->get(SHM_KEY + (i << 16), 4096, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, ids[i]);
	}
	for (finder = 0; finder < FINDERS; finder++) {
		finders[finder] = fork();
		ASSERT_LE(0, finders[finder]);
		if (finders[finder])
			continue;
		/* Until it is killed, or has missed one, or found another. */
		for (i = 0; ; i = (i + 1) % STAY) {
			if (self->shm->get(SHM_KEY + (i << 16), 0, 0) != ids[i])
				_exit(1);
			if (self->shm->get(SHM_KEY + (i << 16), 4096, IPC_CREAT | IPC_EXCL | 0600) != -1 || errno != EEXIST)
				_exit(2);
		}
	}
	for (i = 0; i < OTHERS; i++) {
		others[i] = self->shm->get(SHM_KEY + 1 + (i << 4), 4096, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, others[i]);
		if (i >= 50 && i % 3 == 0)
			ASSERT_EQ(0, self->shm->rmid(others[i - 50]));
	}
	for (i = 0; i < OTHERS; i++) {
		bool removed = (i + 50) % 3 == 0 && i + 50 < OTHERS;

		if (removed)
			EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + 1 + (i << 4), 0, 0));
		else
			EXPECT_EQ(others[i], self->shm->get(SHM_KEY + 1 + (i << 4), 0, 0));
	}
	for (i = 0; i < OTHERS; i++)
		self->shm->rmid(others[i]);
	for (finder = 0; finder < FINDERS; finder++) {
		kill(finders[finder], SIGKILL);
		ASSERT_EQ(finders[finder], waitpid(finders[finder], &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	EXPECT_EQ(STAY, shm_count(self->shm));
}

/* The sysctl that says what id the next segment is to have, as a checkpoint that is restored needs it. */
TEST_F(get, next_id_is_obeyed_once)
{
	int id, other;

	if (shm_limits_are_parameters())
		SKIP(return, "there is no kernel.shm_next_id");
	ASSERT_EQ(0, shm_sysctl_write("shm_next_id", (7 << INDEX_BITS) + 40));
	id = self->shm->get(IPC_PRIVATE, 4096, 0600);
	EXPECT_EQ((7 << INDEX_BITS) + 40, id);
	EXPECT_EQ(-1ULL, shm_sysctl_read("shm_next_id"));
	EXPECT_EQ(0, self->shm->get(IPC_PRIVATE, 4096, 0600));
	/* Its index is taken: the next free one, with the sequence number that was asked for. */
	ASSERT_EQ(0, shm_sysctl_write("shm_next_id", (9 << INDEX_BITS) + 40));
	other = self->shm->get(IPC_PRIVATE, 4096, 0600);
	EXPECT_EQ((9 << INDEX_BITS) + 41, other);
	/* The cycle goes on where it was. */
	EXPECT_EQ(1, self->shm->get(IPC_PRIVATE, 4096, 0600));
	/* A call that makes none does not use it up. */
	ASSERT_EQ(0, shm_sysctl_write("shm_next_id", 50));
	EXPECT_ERRNO(EINVAL, self->shm->get(IPC_PRIVATE, 0, 0600));
	EXPECT_EQ(50, self->shm->get(IPC_PRIVATE, 4096, 0600));
}

/* On purpose stricter than the built-in, which takes any flag. */
FIXTURE(get_flags)
{
	int found;
};

FIXTURE_SETUP(get_flags)
{
	SHM_ENTER(&shm_rust);
	self->found = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, self->found);
}

FIXTURE_TEARDOWN(get_flags)
{
	SHM_LEAVE(&shm_rust);
}

TEST_F(get_flags, unknown_flags_are_einval)
{
	int bit;

	for (bit = 13; bit < 32; bit++) {
		EXPECT_ERRNO(EINVAL, shm_rust.get(IPC_PRIVATE, 4096, (int)(1U << bit) | 0600));
		EXPECT_ERRNO(EINVAL, shm_rust.get(SHM_KEY, 4096, (int)(1U << bit) | 0600));
		EXPECT_ERRNO(EINVAL, shm_rust.get(SHM_KEY + 1, 4096, (int)(1U << bit) | IPC_CREAT | 0600));
	}
	/* The size of a huge page, where no huge page is asked for. */
	EXPECT_ERRNO(EINVAL, shm_rust.get(IPC_PRIVATE, 2 << 20, (21 << 26) | 0600));
	EXPECT_ERRNO(EINVAL, shm_rust.get(IPC_PRIVATE, 2 << 20, (1 << 25) | SHM_HUGETLB | 0600));
	EXPECT_EQ(1, shm_count(&shm_rust));
}

TEST_HARNESS_MAIN
