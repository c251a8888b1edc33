// SPDX-License-Identifier: GPL-2.0
/* Asking about, changing and removing segments. */
/* needs: plain */
#include "kselftest_harness.h"

#include <grp.h>
#include <limits.h>
#include <time.h>

#include "shm_backend.h"

#define INDEX_BITS 15
#define INDEX(id) ((id) & ((1 << INDEX_BITS) - 1))
#define MIN_CYCLE 64

#define STRANGER 54321

FIXTURE(ctl)
{
	const struct shm_backend *shm;
	size_t page;
};
SHM_BOTH(ctl)

FIXTURE_SETUP(ctl)
{
	self->shm = variant->shm;
	self->page = shm_page_size();
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(ctl)
{
	SHM_LEAVE(self->shm);
}

/* Come back in a later second than the one given. */
static void wait_past(time_t second)
{
	while (time(NULL) <= second)
		usleep(20000);
}

TEST_F(ctl, ids_without_a_segment_are_einval)
{
	const int ids[] = { -1, INT_MIN, 0, 1, 1 << INDEX_BITS, INT_MAX };
	struct rust_shm_stat stat;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_ERRNO(EINVAL, self->shm->stat(ids[i], &stat));
		EXPECT_ERRNO(EINVAL, self->shm->stat_index(ids[i], &stat));
		EXPECT_ERRNO(EINVAL, self->shm->stat_any(ids[i], &stat));
		EXPECT_ERRNO(EINVAL, self->shm->set(ids[i], 0, 0, 0600));
		EXPECT_ERRNO(EINVAL, self->shm->rmid(ids[i]));
	}
}

TEST_F(ctl, unknown_commands_are_einval)
{
	const int cmds[] = {
		4, 5, 6, 7, 8, 9, 10, 16, 17, 99, INT_MAX, -1, INT_MIN,
#ifndef __arm__	/* where 256 is IPC_64, which the built-in knows */
		256 + IPC_STAT, 256 + IPC_RMID,
#endif
	};
	int id = self->shm->get(IPC_PRIVATE, 4096, 0600);
	struct rust_shm_stat stat;
	char space[256];
	unsigned int i;

	ASSERT_LE(0, id);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		EXPECT_ERRNO(EINVAL, self->shm->ctl(id, cmds[i], space));
		EXPECT_ERRNO(EINVAL, self->shm->ctl(id, cmds[i], NULL));
	}
	EXPECT_EQ(0, self->shm->stat(id, &stat));
}

TEST_F(ctl, no_space_for_the_answer_is_efault)
{
	int id = self->shm->get(IPC_PRIVATE, 4096, 0600);

	ASSERT_LE(0, id);
	EXPECT_ERRNO(EFAULT, self->shm->ctl(id, IPC_STAT, NULL));
	EXPECT_ERRNO(EFAULT, self->shm->ctl(INDEX(id), SHM_STAT, NULL));
	EXPECT_ERRNO(EFAULT, self->shm->ctl(INDEX(id), SHM_STAT_ANY, NULL));
	EXPECT_ERRNO(EFAULT, self->shm->ctl(id, IPC_SET, NULL));
	EXPECT_ERRNO(EFAULT, self->shm->ctl(0, IPC_INFO, NULL));
	EXPECT_ERRNO(EFAULT, self->shm->ctl(0, SHM_INFO, NULL));
	EXPECT_EQ(0, self->shm->ctl(id, IPC_RMID, NULL));
}

TEST_F(ctl, einval_wins_over_efault_when_asking)
{
	EXPECT_ERRNO(EINVAL, self->shm->ctl(5, IPC_STAT, NULL));
	EXPECT_ERRNO(EINVAL, self->shm->ctl(5, SHM_STAT, NULL));
	EXPECT_ERRNO(EINVAL, self->shm->ctl(5, SHM_STAT_ANY, NULL));
	EXPECT_ERRNO(EINVAL, self->shm->ctl(-1, IPC_STAT, NULL));
}

TEST_F(ctl, efault_wins_over_einval_when_setting)
{
	EXPECT_ERRNO(EFAULT, self->shm->ctl(5, IPC_SET, NULL));
	/* But a negative id is looked at first. */
	EXPECT_ERRNO(EINVAL, self->shm->ctl(-1, IPC_SET, NULL));
}

TEST_F(ctl, negative_id_is_einval_even_where_the_id_is_ignored)
{
	char space[256];

	EXPECT_ERRNO(EINVAL, self->shm->ctl(-1, IPC_INFO, space));
	EXPECT_ERRNO(EINVAL, self->shm->ctl(-1, SHM_INFO, space));
	EXPECT_ERRNO(EINVAL, self->shm->ctl(INT_MIN, SHM_INFO, space));
	EXPECT_ERRNO(EINVAL, self->shm->ctl(-1, IPC_INFO, NULL));
	EXPECT_EQ(0, self->shm->ctl(INT_MAX, IPC_INFO, space));
	EXPECT_EQ(0, self->shm->ctl(12345, SHM_INFO, space));
}

TEST_F(ctl, eacces_wins_over_efault)
{
	int id = self->shm->get(IPC_PRIVATE, 4096, 0);

	ASSERT_LE(0, id);
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(STRANGER, STRANGER, STRANGER));
		EXPECT_ERRNO(EACCES, self->shm->ctl(id, IPC_STAT, NULL));
		EXPECT_ERRNO(EACCES, self->shm->ctl(INDEX(id), SHM_STAT, NULL));
		EXPECT_ERRNO(EFAULT, self->shm->ctl(INDEX(id), SHM_STAT_ANY, NULL));
		EXPECT_ERRNO(EFAULT, self->shm->ctl(id, IPC_SET, NULL));
	}
}

TEST_F(ctl, stat_follows_attach_and_detach)
{
	int id = self->shm->get(SHM_KEY, 5000, IPC_CREAT | 0600), child_lpid;
	struct rust_shm_stat made, stat;
	time_t before;
	char *memory;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &made));

	wait_past(made.ctime);
	before = time(NULL);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(1, stat.nattch);
	EXPECT_EQ(getpid(), stat.lpid);
	EXPECT_LE(before, stat.atime);
	EXPECT_GE(time(NULL), stat.atime);
	EXPECT_EQ(0, stat.dtime);
	EXPECT_EQ(made.ctime, stat.ctime);

	wait_past(stat.atime);
	before = time(NULL);
	SHM_FORK(child_lpid)
		_exit(self->shm->detach(memory) != 0);
	ASSERT_EQ(0, shm_wait(child_lpid));
	made = stat;
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(1, stat.nattch);
	EXPECT_EQ(child_lpid, stat.lpid);
	EXPECT_LE(before, stat.dtime);
	EXPECT_GE(time(NULL), stat.dtime);
	EXPECT_EQ(made.ctime, stat.ctime);
	EXPECT_EQ(made.cpid, stat.cpid);
	EXPECT_EQ(5000, stat.segsz);
	EXPECT_EQ(SHM_KEY, stat.key);
	EXPECT_EQ(0600, stat.mode);

	ASSERT_EQ(0, self->shm->detach(memory));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0, stat.nattch);
	EXPECT_EQ(getpid(), stat.lpid);
}

TEST_F(ctl, asking_changes_nothing)
{
	int id = self->shm->get(SHM_KEY, 5000, IPC_CREAT | 0600);
	struct rust_shm_stat first, second;
	struct rust_shm_limits limits;
	struct rust_shm_usage usage;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &first));
	wait_past(first.ctime);
	ASSERT_LE(0, self->shm->stat_index(INDEX(id), &second));
	ASSERT_LE(0, self->shm->stat_any(INDEX(id), &second));
	ASSERT_LE(0, self->shm->ipc_info(&limits));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	ASSERT_EQ(0, self->shm->stat(id, &second));
	EXPECT_EQ(0, memcmp(&first, &second, sizeof(first)));
}

TEST_F(ctl, set_changes_owner_mode_and_ctime_only)
{
	int id = self->shm->get(SHM_KEY, 5000, IPC_CREAT | 0600);
	struct rust_shm_stat before, after;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &before));
	wait_past(before.ctime);
	ASSERT_EQ(0, self->shm->set(id, 1001, 2002, 0123));
	ASSERT_EQ(0, self->shm->stat(id, &after));
	EXPECT_EQ(1001, after.uid);
	EXPECT_EQ(2002, after.gid);
	EXPECT_EQ(0123, after.mode);
	EXPECT_LT(before.ctime, after.ctime);
	EXPECT_GE(time(NULL), after.ctime);

	after.uid = before.uid;
	after.gid = before.gid;
	after.mode = before.mode;
	after.ctime = before.ctime;
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_F(ctl, set_takes_nine_bits_of_mode)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	struct rust_shm_stat stat;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->set(id, 0, 0, 0177777));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0777, stat.mode);
	ASSERT_EQ(0, self->shm->set(id, 0, 0, 07000));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0, stat.mode);
	EXPECT_EQ(SHM_KEY, stat.key);
}

TEST_F(ctl, set_leaves_the_mark_of_removal)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	struct rust_shm_stat stat;
	void *memory;

	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->set(id, 7, 8, 0640));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(RUST_SHM_MODE_DEST | 0640, stat.mode);
	EXPECT_EQ(7, stat.uid);
	EXPECT_EQ(8, stat.gid);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(ctl, set_refuses_an_owner_that_cannot_be)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	struct rust_shm_stat before, after;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &before));
	wait_past(before.ctime);
	EXPECT_ERRNO(EINVAL, self->shm->set(id, -1, 0, 0777));
	EXPECT_ERRNO(EINVAL, self->shm->set(id, 0, -1, 0777));
	ASSERT_EQ(0, self->shm->stat(id, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)))
		TH_LOG("a refused IPC_SET left something changed");
}

TEST_F(ctl, set_applies_to_the_next_get)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->set(id, 0, 0, 0604));
	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(STRANGER, STRANGER, STRANGER));
		ASSERT_EQ(0, setresuid(STRANGER, STRANGER, STRANGER));
		EXPECT_EQ(id, self->shm->get(SHM_KEY, 0, 0400));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0600));
	}
}

TEST_F(ctl, rmid_without_attach_removes_at_once)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;

	ASSERT_LE(0, id);
	EXPECT_EQ(0, self->shm->rmid(id));
	EXPECT_ERRNO(EINVAL, self->shm->stat(id, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat_any(INDEX(id), &stat));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, NULL, 0));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
	EXPECT_EQ(0, usage.shm_rss);
}

TEST_F(ctl, rmid_twice_is_einval)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);

	ASSERT_LE(0, id);
	EXPECT_EQ(0, self->shm->rmid(id));
	EXPECT_ERRNO(EINVAL, self->shm->rmid(id));
}

TEST_F(ctl, rmid_waits_for_the_last_detach)
{
	int id = self->shm->get(SHM_KEY, 5000, IPC_CREAT | 0600);
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	char *first, *second;

	ASSERT_LE(0, id);
	first = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, first);
	strcpy(first, "still here");

	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(RUST_SHM_MODE_DEST | 0600, stat.mode);
	EXPECT_EQ(0, stat.key);
	EXPECT_EQ(1, stat.nattch);
	EXPECT_EQ(5000, stat.segsz);
	EXPECT_EQ(1, shm_count(self->shm));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ((5000 + self->page - 1) / self->page, usage.shm_tot);
	EXPECT_EQ(0, self->shm->rmid(id))
		TH_LOG("while attached it may be removed again");

	/* Linux lets whoever knows the id attach it even now. */
	second = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, second);
	EXPECT_STREQ("still here", second);
	EXPECT_EQ(2, shm_nattch(self->shm, id));

	ASSERT_EQ(0, self->shm->detach(first));
	EXPECT_EQ(1, shm_nattch(self->shm, id));
	EXPECT_STREQ("still here", second);
	ASSERT_EQ(0, self->shm->detach(second));
	EXPECT_ERRNO(EINVAL, self->shm->stat(id, &stat));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
}

TEST_F(ctl, last_detach_without_rmid_keeps_the_segment)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	char *memory;

	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "kept");
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 0, 0));
	memory = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_STREQ("kept", memory);
}

TEST_F(ctl, ipc_info_tells_the_limits)
{
	struct rust_shm_limits limits;

	memset(&limits, 0xa5, sizeof(limits));
	ASSERT_EQ(0, self->shm->ipc_info(&limits));
#ifndef __LP64__
	/* The system call has no room for them there: copy_compat_shminfo_to_user(). */
	if (self->shm == &shm_builtin) {
		EXPECT_EQ(INT_MAX, limits.shmmax);
		EXPECT_EQ((unsigned long)shm_sysctl_read("shmall"), limits.shmall);
	} else
#endif
	{
		EXPECT_EQ(shm_sysctl_read("shmmax"), limits.shmmax);
		EXPECT_EQ(shm_sysctl_read("shmall"), limits.shmall);
	}
	EXPECT_EQ(shm_sysctl_read("shmmni"), limits.shmmni);
	EXPECT_EQ(limits.shmmni, limits.shmseg);
	EXPECT_EQ(1, limits.shmmin);
}

TEST_F(ctl, both_infos_return_the_highest_index)
{
	struct rust_shm_limits limits;
	struct rust_shm_usage usage;
	int ids[4], i;

	SHM_NEEDS_NAMESPACE("ipc");
	EXPECT_EQ(0, self->shm->ipc_info(&limits));
	EXPECT_EQ(0, self->shm->shm_info(&usage));
	for (i = 0; i < 4; i++) {
		ids[i] = self->shm->get(IPC_PRIVATE, 4096, 0600);
		ASSERT_LE(0, ids[i]);
		EXPECT_EQ(i, self->shm->ipc_info(&limits));
		EXPECT_EQ(i, self->shm->shm_info(&usage));
	}
	ASSERT_EQ(0, self->shm->rmid(ids[1]));
	EXPECT_EQ(3, self->shm->shm_info(&usage));
	ASSERT_EQ(0, self->shm->rmid(ids[3]));
	EXPECT_EQ(2, self->shm->shm_info(&usage));
	ASSERT_EQ(0, self->shm->rmid(ids[2]));
	EXPECT_EQ(0, self->shm->shm_info(&usage))
		TH_LOG("the hole at 1 is passed over");
	EXPECT_EQ(0, self->shm->ipc_info(&limits));
	ASSERT_EQ(0, self->shm->rmid(ids[0]));
	EXPECT_EQ(0, self->shm->shm_info(&usage));
}

TEST_F(ctl, highest_index_has_no_sequence_number)
{
	struct rust_shm_usage usage;
	int i, id;

	SHM_NEEDS_NAMESPACE("ipc");
	for (i = 0; i < MIN_CYCLE; i++) {
		id = self->shm->get(IPC_PRIVATE, 4096, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->rmid(id));
	}
	for (i = 0; i < 3; i++)
		ASSERT_LE(1 << INDEX_BITS, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_EQ(2, self->shm->shm_info(&usage));
}

TEST_F(ctl, shm_info_is_the_sum_of_all_segments)
{
	const size_t sizes[] = { 1, 4096, 4097, 100000, 3 << 20 };
	unsigned long pages = 0, rss = 0;
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	int ids[ARRAY_SIZE(sizes)];
	void *memory;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ids[i] = self->shm->get(SHM_KEY + i, sizes[i], IPC_CREAT | 0600);
		ASSERT_LE(0, ids[i]);
		pages += (sizes[i] + self->page - 1) / self->page;
		/* Touch all of every second one. */
		if (i % 2 == 0) {
			memory = self->shm->attach(ids[i], NULL, 0);
			ASSERT_NE(SHM_FAILED, memory);
			memset(memory, 1, sizes[i]);
			ASSERT_EQ(0, self->shm->detach(memory));
		}
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, self->shm->stat(ids[i], &stat));
		if (i % 2) {
			EXPECT_EQ(0, stat.rss);
		} else {
			EXPECT_LE(sizes[i], stat.rss);
			EXPECT_GE((sizes[i] + self->page - 1) / self->page * self->page, stat.rss);
		}
		EXPECT_GE(stat.rss, stat.huge);
		rss += stat.rss;
	}
	memset(&usage, 0xa5, sizeof(usage));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(ARRAY_SIZE(sizes), usage.used_ids);
	EXPECT_EQ(pages, usage.shm_tot);
	EXPECT_EQ(rss, usage.shm_rss * self->page);
	EXPECT_EQ(0, usage.shm_swp);
	EXPECT_EQ(0, usage.swap_attempts);
	EXPECT_EQ(0, usage.swap_successes);
	EXPECT_EQ(0, usage.reserved);

	EXPECT_EQ(ARRAY_SIZE(sizes), shm_remove_all(self->shm));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
	EXPECT_EQ(0, usage.shm_rss);
}

TEST_F(ctl, shm_stat_returns_the_whole_id)
{
	struct rust_shm_stat by_id, by_index, any;
	int i, id;

	SHM_NEEDS_NAMESPACE("ipc");
	for (i = 0; i < MIN_CYCLE + 5; i++) {
		id = self->shm->get(SHM_KEY, 12345, IPC_CREAT | 0640);
		ASSERT_LE(0, id);
		if (i < MIN_CYCLE + 4) {
			ASSERT_EQ(0, self->shm->rmid(id));
		}
	}
	ASSERT_EQ((1 << INDEX_BITS) + 4, id);
	EXPECT_EQ(id, self->shm->stat_index(4, &by_index));
	EXPECT_EQ(id, self->shm->stat_any(4, &any));
	ASSERT_EQ(0, self->shm->stat(id, &by_id));
	EXPECT_EQ(0, memcmp(&by_id, &by_index, sizeof(by_id)));
	EXPECT_EQ(0, memcmp(&by_id, &any, sizeof(by_id)));
	EXPECT_EQ(1, by_id.seq);
	/* An index is no id. */
	EXPECT_ERRNO(EINVAL, self->shm->stat(4, &by_id));
}

TEST_F(ctl, shm_stat_looks_at_the_index_in_any_id)
{
	int id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
	struct rust_shm_stat stat;

	SHM_NEEDS_NAMESPACE("ipc");
	/* The built-in takes the low bits of the number and does not check the rest. */
	ASSERT_EQ(0, id);
	EXPECT_EQ(id, self->shm->stat_index(1 << INDEX_BITS, &stat));
	EXPECT_EQ(id, self->shm->stat_any(7 << INDEX_BITS, &stat));
	EXPECT_EQ(SHM_KEY, stat.key);
}

TEST_F(ctl, shm_stat_of_a_hole_is_einval)
{
	struct rust_shm_stat stat;
	int i;

	SHM_NEEDS_NAMESPACE("ipc");
	for (i = 0; i < 3; i++)
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
	ASSERT_EQ(0, self->shm->rmid(1));
	EXPECT_EQ(0, self->shm->stat_index(0, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat_index(1, &stat));
	EXPECT_EQ(2, self->shm->stat_index(2, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat_index(3, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat_any(1, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat_any(32767, &stat));
}

TEST_F(ctl, indices_up_to_the_highest_find_every_segment)
{
	bool seen[200] = { false };
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	int i, id, highest, count = 0;

	for (i = 0; i < 200; i++)
		ASSERT_LE(0, self->shm->get(SHM_KEY + i, 4096, IPC_CREAT | 0600));
	for (i = 0; i < 200; i += 3)
		ASSERT_EQ(0, self->shm->rmid(self->shm->get(SHM_KEY + i, 0, 0)));
	highest = self->shm->shm_info(&usage);
	for (i = 0; i <= highest; i++) {
		id = self->shm->stat_index(i, &stat);
		if (id < 0)
			continue;
		ASSERT_LE(SHM_KEY, stat.key);
		ASSERT_GT(SHM_KEY + 200, stat.key);
		EXPECT_FALSE(seen[stat.key - SHM_KEY]);
		seen[stat.key - SHM_KEY] = true;
		count++;
	}
	EXPECT_EQ(usage.used_ids, count);
	for (i = 0; i < 200; i++)
		EXPECT_EQ(i % 3 != 0, seen[i]);
}

TEST_F(ctl, stat_any_needs_no_permission)
{
	int id = self->shm->get(SHM_KEY, 12345, IPC_CREAT);
	struct rust_shm_stat root, any, stat;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &root));
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(STRANGER, STRANGER, STRANGER));
		EXPECT_ERRNO(EACCES, self->shm->stat(id, &stat));
		EXPECT_ERRNO(EACCES, self->shm->stat_index(INDEX(id), &stat));
		EXPECT_EQ(id, self->shm->stat_any(INDEX(id), &any));
		EXPECT_EQ(0, memcmp(&root, &any, sizeof(any)));
	}
}

TEST_F(ctl, infos_need_no_permission)
{
	struct rust_shm_limits limits;
	struct rust_shm_usage usage;

	ASSERT_LE(0, self->shm->get(SHM_KEY, 12345, IPC_CREAT));
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(STRANGER, STRANGER, STRANGER));
		EXPECT_LE(0, self->shm->ipc_info(&limits));
		EXPECT_LE(0, self->shm->shm_info(&usage));
		EXPECT_EQ(1, usage.used_ids);
	}
}

TEST_F(ctl, table_says_what_stat_says)
{
	int id = self->shm->get(SHM_KEY, 12345, IPC_CREAT | 0600);
	struct rust_shm_stat stat;
	struct shm_row row;
	char *memory;

	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memory[5000] = 1;
	ASSERT_EQ(0, self->shm->set(id, 1001, 2002, 0640));
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	ASSERT_EQ(0, shm_table_row(self->shm, id, &row, NULL, 0));
	EXPECT_EQ(stat.key, row.key);
	EXPECT_EQ(id, row.id);
	EXPECT_EQ(01640, row.mode);
	EXPECT_EQ(12345, row.size);
	EXPECT_EQ(stat.cpid, row.cpid);
	EXPECT_EQ(stat.lpid, row.lpid);
	EXPECT_EQ(1, row.nattch);
	EXPECT_EQ(1001, row.uid);
	EXPECT_EQ(2002, row.gid);
	EXPECT_EQ(stat.cuid, row.cuid);
	EXPECT_EQ(stat.cgid, row.cgid);
	EXPECT_EQ(stat.atime, row.atime);
	EXPECT_EQ(stat.dtime, row.dtime);
	EXPECT_EQ(stat.ctime, row.ctime);
	EXPECT_EQ(stat.rss, row.rss);
	EXPECT_LT(0, row.rss);
	EXPECT_EQ(0, row.swap);
}

TEST_F(ctl, two_removers_do_not_trip_over_each_other)
{
	int round, i, id;
	pid_t pids[4];

	for (round = 0; round < 50; round++) {
		int winners = 0;

		id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600);
		ASSERT_LE(0, id);
		for (i = 0; i < 4; i++) {
			SHM_FORK(pids[i]) {
				if (!self->shm->rmid(id))
					_exit(0);
				_exit(errno == EINVAL ? 1 : 2);
			}
		}
		for (i = 0; i < 4; i++) {
			int status = shm_wait(pids[i]);

			EXPECT_GT(2, status);
			winners += status == 0;
		}
		ASSERT_EQ(1, winners);
		ASSERT_EQ(0, shm_count(self->shm));
	}
}

TEST_HARNESS_MAIN
