// SPDX-License-Identifier: GPL-2.0
/*
 * SHM_LOCK and SHM_UNLOCK: who may, what RLIMIT_MEMLOCK allows, to whom it is accounted, and when that ends.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "shm_backend.h"
#include "user.h"
#include "vma.h"

/* Nobody else on the machine locks segments under these. Each test leaves nothing accounted to them, and finds nothing. */
enum {
	USER = 3001,
	OTHER = 3002,
	GROUP = 3003,
};

/* The mode bit that tells of it. */
#define LOCKED 02000
#define DEST 01000

FIXTURE(lock)
{
	const struct shm_backend *shm;
	size_t page;
};
SHM_BOTH(lock)

/* The soft limit of the caller, in bytes; the hard one is left where it is. */
static void limit(struct __test_metadata *_metadata, rlim_t bytes)
{
	struct rlimit rlimit;

	ASSERT_EQ(0, getrlimit(RLIMIT_MEMLOCK, &rlimit));
	rlimit.rlim_cur = bytes;
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &rlimit));
}

static int lock(const struct shm_backend *shm, int id)
{
	return shm->ctl(id, SHM_LOCK, NULL);
}

static int unlock(const struct shm_backend *shm, int id)
{
	return shm->ctl(id, SHM_UNLOCK, NULL);
}

/* The mode, as IPC_STAT and the table agree on it; UINT_MAX if they do not. */
static unsigned int mode_of(const struct shm_backend *shm, int id)
{
	struct rust_shm_stat stat;
	struct shm_row row;

	if (shm->stat(id, &stat) < 0 || shm_table_row(shm, id, &row, NULL, 0) || row.mode != stat.mode)
		return UINT_MAX;
	return stat.mode;
}

/*
 * How many pages of locked segments are accounted to a user now, up to 1023; -1 if that cannot be found out. One page more can be locked
 * under just one page more of RLIMIT_MEMLOCK: a helper searches for that limit.
 */
static long accounted(const struct shm_backend *shm, uid_t uid)
{
	struct rlimit rlimit = { .rlim_max = RLIM_INFINITY };
	long low = 1, high = 1024, middle, result = -1;
	int answer[2], id;
	pid_t helper;

	if (pipe(answer))
		return -1;
	helper = fork();
	if (!helper) {
		if (setgroups(0, NULL) || setresuid(uid, uid, uid))
			_exit(1);
		id = shm->get(IPC_PRIVATE, 1, 0600);
		if (id < 0)
			_exit(2);
		while (low < high) {
			middle = (low + high) / 2;
			rlimit.rlim_cur = middle * shm_page_size();
			if (setrlimit(RLIMIT_MEMLOCK, &rlimit))
				_exit(3);
			if (!lock(shm, id)) {
				high = middle;
				if (unlock(shm, id))
					_exit(4);
			} else {
				low = middle + 1;
			}
		}
		if (low < 1024)
			result = low - 1;
		if (shm->rmid(id) || write(answer[1], &result, sizeof(result)) != sizeof(result))
			_exit(5);
		_exit(0);
	}
	close(answer[1]);
	if (read(answer[0], &result, sizeof(result)) != sizeof(result))
		result = -1;
	close(answer[0]);
	return helper < 0 || shm_wait(helper) ? -1 : result;
}

/* What is accounted once it has become that much, or after 5 seconds. */
static long settled(const struct shm_backend *shm, uid_t uid, long expected)
{
	long pages = -1;
	int i;

	for (i = 0; i < 50; i++) {
		pages = accounted(shm, uid);
		if (pages == expected)
			break;
		usleep(100000);
	}
	return pages;
}

FIXTURE_SETUP(lock)
{
	struct rlimit unlimited = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	self->shm = variant->shm;
	self->page = shm_page_size();
	SHM_ENTER(self->shm);
	ASSERT_EQ(0, geteuid())
		TH_LOG("these tests change users: run them as root");
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &unlimited));
	ASSERT_EQ(0, accounted(self->shm, USER));
	ASSERT_EQ(0, accounted(self->shm, OTHER));
}

FIXTURE_TEARDOWN(lock)
{
	SHM_LEAVE(self->shm);
}

/* A segment of so many pages that belongs to USER. */
static int make(struct __test_metadata *_metadata, const struct shm_backend *shm, size_t pages)
{
	int id = shm->get(IPC_PRIVATE, pages * shm_page_size(), 0600);

	EXPECT_LE(0, id);
	EXPECT_EQ(0, shm->set(id, USER, GROUP, 0600));
	return id;
}

/* What it shows. */

TEST_F(lock, lock_and_unlock_show_in_the_mode)
{
	int id = self->shm->get(SHM_KEY, 3 * self->page, IPC_CREAT | 0640);
	struct rust_shm_stat before, after;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &before));
	ASSERT_EQ(0, lock(self->shm, id));
	EXPECT_EQ(LOCKED | 0640, mode_of(self->shm, id));
	ASSERT_EQ(id, self->shm->stat_index(id, &after));
	EXPECT_EQ(LOCKED | 0640, after.mode);
	ASSERT_EQ(id, self->shm->stat_any(id, &after));
	EXPECT_EQ(LOCKED | 0640, after.mode);
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_EQ(0640, mode_of(self->shm, id));
	ASSERT_EQ(0, self->shm->stat(id, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)))
		TH_LOG("neither is a change in the sense of ctime or lpid");
}

TEST_F(lock, lock_brings_nothing_in)
{
	int id = self->shm->get(IPC_PRIVATE, MIB, 0600);
	struct rust_shm_stat stat;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, lock(self->shm, id));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0, stat.rss);
}

TEST_F(lock, data_are_kept)
{
	int id = self->shm->get(IPC_PRIVATE, MIB, 0600);
	char *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	pattern_fill(memory, MIB / 2, 7);
	ASSERT_EQ(0, lock(self->shm, id));
	EXPECT_TRUE(pattern_stands(memory, MIB / 2, 7));
	pattern_fill(memory, MIB, 8);
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_TRUE(pattern_stands(memory, MIB, 8));
	SHM_CHILD {
		EXPECT_TRUE(pattern_stands(memory, MIB, 8));
	}
	EXPECT_EQ(MIB, (size_t)vma_smaps_bytes(memory, "Rss"));
	EXPECT_EQ(0, vma_smaps_bytes(memory, "Locked"))
		TH_LOG("it is not mlock");
}

/* Unevictable of /proc/meminfo, when all pages are on the list they belong to. */
static long unevictable(struct __test_metadata *_metadata)
{
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/compact_memory", "1"));
	return meminfo("Unevictable");
}

TEST_F(lock, what_is_touched_while_locked_is_unevictable)
{
	const long size = 16 * MIB, about = MIB;
	int id = self->shm->get(IPC_PRIVATE, 2 * size, 0600);
	long before = unevictable(_metadata);
	char *memory;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, lock(self->shm, id));
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memset(memory, 1, size);
	EXPECT_LE(before + size - about, unevictable(_metadata));
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_GE(before + about, unevictable(_metadata));
	ASSERT_EQ(0, lock(self->shm, id));
	memset(memory + size, 1, size);
	EXPECT_LE(before + size - about, unevictable(_metadata));
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_GE(before + about, unevictable(_metadata));
	ASSERT_EQ(0, lock(self->shm, id));
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_GE(before + about, unevictable(_metadata));
}

/* The same for a small one, which the module gives no file before the first attach. */
TEST_F(lock, locked_before_the_first_attach)
{
	enum { NUMBER = 64 };
	const long size = MIB / 4, about = MIB;
	long before = unevictable(_metadata);
	int ids[NUMBER], i;

	for (i = 0; i < NUMBER; i++) {
		char *memory;

		ids[i] = self->shm->get(IPC_PRIVATE, size, 0600);
		ASSERT_LE(0, ids[i]);
		ASSERT_EQ(0, lock(self->shm, ids[i]));
		memory = self->shm->attach(ids[i], NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		memset(memory, 1, size);
		ASSERT_EQ(0, self->shm->detach(memory));
	}
	EXPECT_LE(before + NUMBER * size - about, unevictable(_metadata));
	for (i = 0; i < NUMBER; i++)
		ASSERT_EQ(0, unlock(self->shm, ids[i]));
	EXPECT_GE(before + about, unevictable(_metadata));
}

TEST_F(lock, twice_is_once)
{
	int id = make(_metadata, self->shm, 5);

	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 5 * self->page);
		ASSERT_EQ(0, unlock(self->shm, id))
			TH_LOG("unlocked already");
		ASSERT_EQ(0, lock(self->shm, id));
		ASSERT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(LOCKED | 0600, mode_of(self->shm, id));
	EXPECT_EQ(5, accounted(self->shm, USER));
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_EQ(0, accounted(self->shm, USER));
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_EQ(0600, mode_of(self->shm, id));
	EXPECT_EQ(0, accounted(self->shm, USER));
}

TEST_F(lock, set_neither_locks_nor_unlocks)
{
	int id = self->shm->get(IPC_PRIVATE, self->page, 0600);

	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->set(id, USER, GROUP, LOCKED | 0600));
	EXPECT_EQ(0600, mode_of(self->shm, id));
	ASSERT_EQ(0, lock(self->shm, id));
	ASSERT_EQ(0, self->shm->set(id, OTHER, GROUP, 0640));
	EXPECT_EQ(LOCKED | 0640, mode_of(self->shm, id));
	ASSERT_EQ(0, unlock(self->shm, id));
	EXPECT_EQ(0640, mode_of(self->shm, id));
}

TEST_F(lock, pointer_is_not_looked_at)
{
	int id = self->shm->get(IPC_PRIVATE, self->page, 0600);

	ASSERT_LE(0, id);
	EXPECT_EQ(0, self->shm->ctl(id, SHM_LOCK, (void *)8));
	EXPECT_EQ(0, self->shm->ctl(id, SHM_UNLOCK, (void *)-1L));
}

/* Who may. */

TEST_F(lock, owner_and_creator_may)
{
	int id;

	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		ASSERT_LE(0, self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0));
	}
	id = self->shm->get(SHM_KEY, 0, 0);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->set(id, USER, GROUP, 0));
	SHM_CHILD {
		become(_metadata, USER, USER, 0);
		EXPECT_EQ(0, lock(self->shm, id))
			TH_LOG("the nine bits have no say in it");
		EXPECT_EQ(0, unlock(self->shm, id));
	}
	SHM_CHILD {
		become(_metadata, OTHER, OTHER, 0);
		EXPECT_EQ(0, lock(self->shm, id));
		EXPECT_EQ(0, unlock(self->shm, id));
	}
	EXPECT_EQ(0, mode_of(self->shm, id));
}

TEST_F(lock, others_may_not)
{
	int id = make(_metadata, self->shm, 1);

	ASSERT_EQ(0, self->shm->set(id, USER, GROUP, 0777));
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, GROUP);
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
		EXPECT_ERRNO(EPERM, unlock(self->shm, id));
	}
	EXPECT_EQ(0777, mode_of(self->shm, id));
	ASSERT_EQ(0, lock(self->shm, id));
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, GROUP);
		/* Locked already, and yet not for them. */
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
		EXPECT_ERRNO(EPERM, unlock(self->shm, id));
	}
	EXPECT_EQ(LOCKED | 0777, mode_of(self->shm, id));
}

TEST_F(lock, ipc_lock_capability_may)
{
	int id = make(_metadata, self->shm, 100);

	SHM_CHILD {
		become_with(_metadata, OTHER, OTHER, CAPABILITY(CAP_IPC_LOCK));
		limit(_metadata, 0);
		EXPECT_EQ(0, lock(self->shm, id))
			TH_LOG("whatever the limit");
	}
	EXPECT_EQ(LOCKED | 0600, mode_of(self->shm, id));
	EXPECT_EQ(100, accounted(self->shm, OTHER));
	EXPECT_EQ(0, accounted(self->shm, USER));
	SHM_CHILD {
		become_with(_metadata, USER + 100, OTHER, CAPABILITY(CAP_IPC_LOCK));
		EXPECT_EQ(0, unlock(self->shm, id));
	}
	EXPECT_EQ(0, accounted(self->shm, OTHER));
}

TEST_F(lock, other_capabilities_do_not_help)
{
	int id = make(_metadata, self->shm, 2);

	SHM_CHILD {
		become_with(_metadata, OTHER, OTHER, ~CAPABILITY(CAP_IPC_LOCK));
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
		EXPECT_ERRNO(EPERM, unlock(self->shm, id));
	}
	SHM_CHILD {
		become_with(_metadata, USER, OTHER, ~CAPABILITY(CAP_IPC_LOCK));
		limit(_metadata, self->page);
		EXPECT_ERRNO(ENOMEM, lock(self->shm, id));
		limit(_metadata, 0);
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
	}
	EXPECT_EQ(0600, mode_of(self->shm, id));
}

TEST_F(lock, effective_id_permits_and_real_id_pays)
{
	int id = make(_metadata, self->shm, 4);

	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresuid(USER, OTHER, OTHER));
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
	}
	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresuid(OTHER, USER, USER));
		limit(_metadata, 4 * self->page);
		EXPECT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(4, accounted(self->shm, OTHER));
	EXPECT_EQ(0, accounted(self->shm, USER));
}

/* The limit. */

TEST_F(lock, limit_of_zero_forbids_locking_only)
{
	int id = make(_metadata, self->shm, 1);

	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 0);
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
		EXPECT_EQ(0, unlock(self->shm, id));
		limit(_metadata, self->page - 1);
		/* It holds no page, but is not zero. */
		EXPECT_ERRNO(ENOMEM, lock(self->shm, id));
		limit(_metadata, self->page);
		EXPECT_EQ(0, lock(self->shm, id));
		limit(_metadata, 0);
		/* Locked already. */
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
		EXPECT_EQ(0, unlock(self->shm, id));
	}
	EXPECT_EQ(0, accounted(self->shm, USER));
}

TEST_F(lock, limit_holds_for_the_sum)
{
	int first = make(_metadata, self->shm, 4), second = make(_metadata, self->shm, 3), third = make(_metadata, self->shm, 2);

	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 8 * self->page);
		EXPECT_EQ(0, lock(self->shm, first));
		EXPECT_EQ(0, lock(self->shm, second));
		EXPECT_ERRNO(ENOMEM, lock(self->shm, third));
		EXPECT_EQ(0600, mode_of(self->shm, third));
		EXPECT_EQ(0, lock(self->shm, first));
		EXPECT_EQ(0, unlock(self->shm, third))
			TH_LOG("what was not locked gives nothing back");
		EXPECT_ERRNO(ENOMEM, lock(self->shm, third));
		EXPECT_EQ(0, unlock(self->shm, second));
		EXPECT_EQ(0, lock(self->shm, third));
		EXPECT_ERRNO(ENOMEM, lock(self->shm, second));
	}
	EXPECT_EQ(6, accounted(self->shm, USER));
	EXPECT_EQ(3, shm_remove_all(self->shm));
	EXPECT_EQ(0, accounted(self->shm, USER));
}

TEST_F(lock, limit_is_met_exactly)
{
	int id = self->shm->get(IPC_PRIVATE, 4 * self->page + 1, 0600);

	ASSERT_EQ(0, self->shm->set(id, USER, GROUP, 0600));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 5 * self->page - 1);
		EXPECT_ERRNO(ENOMEM, lock(self->shm, id));
		limit(_metadata, 5 * self->page);
		EXPECT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(5, accounted(self->shm, USER));
}

TEST_F(lock, limit_holds_across_processes_and_namespaces)
{
	int first = make(_metadata, self->shm, 5), second = make(_metadata, self->shm, 4), third;

	SHM_NEEDS_NAMESPACE("ipc");
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		ASSERT_EQ(0, lock(self->shm, first));
	}
	/* The locker is gone, its lock is not. */
	EXPECT_EQ(5, accounted(self->shm, USER));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 8 * self->page);
		EXPECT_ERRNO(ENOMEM, lock(self->shm, second));
	}
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 8 * self->page);
		third = self->shm->get(IPC_PRIVATE, 4 * self->page, 0600);
		ASSERT_LE(0, third);
		EXPECT_ERRNO(ENOMEM, lock(self->shm, third));
		limit(_metadata, 9 * self->page);
		EXPECT_EQ(0, lock(self->shm, third));
		EXPECT_EQ(0, self->shm->rmid(third));
	}
	EXPECT_EQ(5, accounted(self->shm, USER));
}

TEST_F(lock, users_are_apart)
{
	int mine = make(_metadata, self->shm, 4), theirs = make(_metadata, self->shm, 4);

	ASSERT_EQ(0, self->shm->set(theirs, OTHER, GROUP, 0600));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 4 * self->page);
		ASSERT_EQ(0, lock(self->shm, mine));
	}
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		limit(_metadata, 4 * self->page);
		EXPECT_EQ(0, lock(self->shm, theirs));
	}
	EXPECT_EQ(4, accounted(self->shm, USER));
	EXPECT_EQ(4, accounted(self->shm, OTHER));
}

TEST_F(lock, limit_may_change_meanwhile)
{
	int first = make(_metadata, self->shm, 6), second = make(_metadata, self->shm, 1);

	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 6 * self->page);
		ASSERT_EQ(0, lock(self->shm, first));
		limit(_metadata, 3 * self->page);
		EXPECT_EQ(LOCKED | 0600, mode_of(self->shm, first));
		EXPECT_ERRNO(ENOMEM, lock(self->shm, second));
		EXPECT_EQ(0, lock(self->shm, first))
			TH_LOG("it is locked: that takes no room");
		limit(_metadata, 7 * self->page);
		EXPECT_EQ(0, lock(self->shm, second));
		limit(_metadata, self->page);
		EXPECT_EQ(0, unlock(self->shm, first));
		EXPECT_ERRNO(ENOMEM, lock(self->shm, first));
		limit(_metadata, RLIM_INFINITY);
		EXPECT_EQ(0, lock(self->shm, first));
	}
	EXPECT_EQ(7, accounted(self->shm, USER));
}

TEST_F(lock, mlock_is_accounted_elsewhere)
{
	int id = make(_metadata, self->shm, 4);

	SHM_CHILD {
		char *memory;

		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 4 * self->page);
		memory = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		ASSERT_EQ(0, mlock(memory, 4 * self->page));
		EXPECT_EQ(0, lock(self->shm, id));
		EXPECT_EQ((long)(4 * self->page), proc_bytes("/proc/self/status", "VmLck"));
		ASSERT_EQ(0, munlock(memory, 4 * self->page));
		EXPECT_EQ(0, mlock(memory, 4 * self->page));
		EXPECT_EQ(0, unlock(self->shm, id));
		EXPECT_EQ((long)(4 * self->page), proc_bytes("/proc/self/status", "VmLck"));
	}
}

TEST_F(lock, root_is_accounted_without_a_limit)
{
	int id = make(_metadata, self->shm, 50), mine = self->shm->get(IPC_PRIVATE, 3 * self->page, 0600);

	ASSERT_LE(0, mine);
	limit(_metadata, self->page);
	ASSERT_EQ(0, lock(self->shm, id));
	EXPECT_EQ(0, accounted(self->shm, USER))
		TH_LOG("it is the locker who pays, not the owner");
	SHM_CHILD {
		only_capabilities(_metadata, 0);
		limit(_metadata, 52 * self->page);
		EXPECT_ERRNO(ENOMEM, lock(self->shm, mine));
	}
	ASSERT_EQ(0, unlock(self->shm, id));
	SHM_CHILD {
		only_capabilities(_metadata, 0);
		limit(_metadata, 52 * self->page);
		EXPECT_EQ(0, lock(self->shm, mine));
	}
}

/* More than one locker. */

TEST_F(lock, second_locker_pays_nothing)
{
	int id;

	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		ASSERT_LE(0, self->shm->get(SHM_KEY, 6 * self->page, IPC_CREAT | 0666));
	}
	id = self->shm->get(SHM_KEY, 0, 0);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->set(id, USER, GROUP, 0666));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		ASSERT_EQ(0, lock(self->shm, id));
	}
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		limit(_metadata, self->page);
		EXPECT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(6, accounted(self->shm, USER));
	EXPECT_EQ(0, accounted(self->shm, OTHER));
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		limit(_metadata, 0);
		EXPECT_EQ(0, unlock(self->shm, id));
	}
	EXPECT_EQ(0, accounted(self->shm, USER))
		TH_LOG("it goes back to the locker, whoever unlocks");
	EXPECT_EQ(0, accounted(self->shm, OTHER));
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		EXPECT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(0, accounted(self->shm, USER));
	EXPECT_EQ(6, accounted(self->shm, OTHER));
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_EQ(0, accounted(self->shm, OTHER));
}

/* The end. */

TEST_F(lock, ends_with_the_segment)
{
	int id = make(_metadata, self->shm, 9);

	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		ASSERT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(9, accounted(self->shm, USER));
	/* By root, who has not locked it. */
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_EQ(0, accounted(self->shm, USER));
	EXPECT_ERRNO(EINVAL, unlock(self->shm, id));
	EXPECT_ERRNO(EINVAL, lock(self->shm, id));
}

TEST_F(lock, ends_with_the_last_detach)
{
	int id = make(_metadata, self->shm, 9);
	char *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		ASSERT_EQ(0, lock(self->shm, id));
	}
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_EQ(LOCKED | DEST | 0600, mode_of(self->shm, id));
	EXPECT_EQ(9, accounted(self->shm, USER));
	memory[0] = 1;
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(0, settled(self->shm, USER, 0));
}

TEST_F(lock, ends_with_a_killed_process)
{
	int id = make(_metadata, self->shm, 9);
	struct gate gate;
	pid_t child;

	ASSERT_EQ(0, gate_make(&gate));
	SHM_FORK(child) {
		char *memory = self->shm->attach(id, NULL, 0);

		become(_metadata, USER, GROUP, 0);
		ASSERT_NE(SHM_FAILED, memory);
		ASSERT_EQ(0, lock(self->shm, id));
		ASSERT_EQ(0, self->shm->rmid(id));
		memory[0] = 1;
		gate_open(&gate);
		pause();
		_exit(1);
	}
	gate_wait(&gate);
	EXPECT_EQ(9, accounted(self->shm, USER));
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_EQ(0, settled(self->shm, USER, 0));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(lock, ends_with_a_creator_where_removal_is_forced)
{
	int id;

	if (shm_limits_are_parameters())
		SKIP(return, "a kernel without System V shared memory has no kernel.shm_rmid_forced");
	ASSERT_EQ(0, shm_sysctl_write("shm_rmid_forced", 1));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		id = self->shm->get(IPC_PRIVATE, 9 * self->page, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(0, settled(self->shm, USER, 0));
}

TEST_F(lock, ends_with_the_namespace)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_CHILD {
		int id, attached;

		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		become(_metadata, USER, GROUP, 0);
		id = self->shm->get(IPC_PRIVATE, 9 * self->page, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, lock(self->shm, id));
		attached = self->shm->get(IPC_PRIVATE, 4 * self->page, 0600);
		ASSERT_LE(0, attached);
		ASSERT_NE(SHM_FAILED, self->shm->attach(attached, NULL, 0));
		ASSERT_EQ(0, lock(self->shm, attached));
	}
	EXPECT_EQ(0, settled(self->shm, USER, 0));
}

TEST_F(lock, removed_segment_is_locked_by_id)
{
	int id = make(_metadata, self->shm, 3);
	char *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->rmid(id));
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		EXPECT_EQ(0, lock(self->shm, id));
	}
	EXPECT_EQ(LOCKED | DEST | 0600, mode_of(self->shm, id));
	EXPECT_EQ(3, accounted(self->shm, USER));
	EXPECT_EQ(0, unlock(self->shm, id));
	EXPECT_EQ(DEST | 0600, mode_of(self->shm, id));
	EXPECT_EQ(0, accounted(self->shm, USER));
	EXPECT_EQ(0, lock(self->shm, id));
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(0, shm_count(self->shm));
}

/* Which error. */

TEST_F(lock, ids_are_checked_first)
{
	int id = make(_metadata, self->shm, 2), stale;

	stale = make(_metadata, self->shm, 1);
	ASSERT_EQ(0, self->shm->rmid(stale));
	SHM_CHILD {
		become(_metadata, OTHER, GROUP, 0);
		limit(_metadata, 0);
		EXPECT_ERRNO(EINVAL, lock(self->shm, -1));
		EXPECT_ERRNO(EINVAL, unlock(self->shm, -1));
		EXPECT_ERRNO(EINVAL, lock(self->shm, INT_MIN));
		EXPECT_ERRNO(EINVAL, lock(self->shm, stale));
		EXPECT_ERRNO(EINVAL, unlock(self->shm, stale));
		EXPECT_ERRNO(EINVAL, lock(self->shm, id + 4000));
		/* Another sequence number. */
		EXPECT_ERRNO(EINVAL, lock(self->shm, id ^ 1 << 16));
		EXPECT_ERRNO(EINVAL, lock(self->shm, INT_MAX));
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
		EXPECT_ERRNO(EPERM, unlock(self->shm, id));
		limit(_metadata, self->page);
		/* EPERM wins over ENOMEM. */
		EXPECT_ERRNO(EPERM, lock(self->shm, id));
	}
}

/* User namespaces. */

TEST_F(lock, root_of_a_user_namespace_is_nobody_in_the_parents)
{
	int theirs = make(_metadata, self->shm, 1), mine = make(_metadata, self->shm, 1);

	SHM_NEEDS_NAMESPACE("user");
	ASSERT_EQ(0, self->shm->set(mine, 1000, 1000, 0600));
	SHM_CHILD {
		enter_user_namespace(_metadata);
		EXPECT_ERRNO(EPERM, lock(self->shm, theirs));
		EXPECT_ERRNO(EPERM, unlock(self->shm, theirs));
		EXPECT_EQ(0, lock(self->shm, mine))
			TH_LOG("it owns this one");
		EXPECT_EQ(0, unlock(self->shm, mine));
		limit(_metadata, 0);
		EXPECT_ERRNO(EPERM, lock(self->shm, mine));
	}
}

TEST_F(lock, root_of_a_user_namespace_may_in_its_own_but_is_bound)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_NEEDS_NAMESPACE("user");
	SHM_CHILD {
		int id;

		enter_user_namespace(_metadata);
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		id = self->shm->get(IPC_PRIVATE, 4 * self->page, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->set(id, 5, 5, 0600));
		SHM_CHILD {
			ASSERT_EQ(0, setresuid(6, 6, 6));
			EXPECT_ERRNO(EPERM, lock(self->shm, id));
		}
		limit(_metadata, 4 * self->page);
		EXPECT_EQ(0, lock(self->shm, id))
			TH_LOG("CAP_IPC_LOCK over this IPC namespace");
		EXPECT_EQ(0, unlock(self->shm, id));
		limit(_metadata, 3 * self->page);
		/* CAP_IPC_LOCK over the machine is what lifts the limit. */
		EXPECT_ERRNO(ENOMEM, lock(self->shm, id));
		limit(_metadata, 0);
		EXPECT_ERRNO(ENOMEM, lock(self->shm, id));
		EXPECT_EQ(0, self->shm->rmid(id));
	}
}

TEST_F(lock, user_namespace_counts_towards_who_made_it)
{
	int first, second;

	SHM_NEEDS_NAMESPACE("user");
	SHM_CHILD {
		/*
		 * The limit at the making of the namespace holds for all of it. Linux takes its number of bytes for one of pages.
		 */
		limit(_metadata, 8);
		enter_user_namespace_of(_metadata, USER);
		limit(_metadata, 100 * self->page);
		first = self->shm->get(SHM_KEY, 6 * self->page, IPC_CREAT | 0600);
		ASSERT_LE(0, first);
		EXPECT_EQ(0, lock(self->shm, first));
		SHM_CHILD {
			ASSERT_EQ(0, setresuid(5, 5, 5));
			second = self->shm->get(SHM_KEY + 1, 3 * self->page, IPC_CREAT | 0600);
			ASSERT_LE(0, second);
			EXPECT_ERRNO(ENOMEM, lock(self->shm, second));
		}
	}
	EXPECT_EQ(6, accounted(self->shm, USER));
	EXPECT_EQ(0, accounted(self->shm, 1000))
		TH_LOG("that is the same user, but not in the same namespace");
	ASSERT_EQ(0, self->shm->rmid(self->shm->get(SHM_KEY, 0, 0)));
	EXPECT_EQ(0, accounted(self->shm, USER));
}

/* At once. */

TEST_F(lock, nothing_is_lost_in_a_race)
{
	int ids[3], i, j, id, outcome;
	pid_t pids[4];

	for (i = 0; i < 3; i++)
		ids[i] = make(_metadata, self->shm, 10 + i);
	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 22 * self->page);
		for (j = 0; j < 400; j++) {
			id = ids[(i + j) % 3];
			outcome = (i * 7 + j * 5) % 3 ? unlock(self->shm, id) : lock(self->shm, id);
			if (outcome && errno != ENOMEM)
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, shm_wait(pids[i]));
	outcome = 0;
	for (i = 0; i < 3; i++)
		if (mode_of(self->shm, ids[i]) & LOCKED)
			outcome += 10 + i;
	EXPECT_EQ(outcome, accounted(self->shm, USER));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, unlock(self->shm, ids[i]));
	EXPECT_EQ(0, accounted(self->shm, USER));
}

TEST_F(lock, removal_in_a_race_gives_back)
{
	int id, round, i;
	pid_t pids[3];

	for (round = 0; round < 10; round++) {
		id = make(_metadata, self->shm, 5);
		for (i = 0; i < 3; i++) {
			pids[i] = fork();
			ASSERT_LE(0, pids[i]);
			if (pids[i])
				continue;
			become(_metadata, USER, GROUP, 0);
			if (i == 2) {
				usleep(500 * round);
				_exit(self->shm->rmid(id) ? 1 : 0);
			}
			while (!lock(self->shm, id) && (i || !unlock(self->shm, id)))
				;
			_exit(errno == EINVAL || errno == EIDRM ? 0 : 2);
		}
		for (i = 0; i < 3; i++)
			EXPECT_EQ(0, shm_wait(pids[i]));
	}
	EXPECT_EQ(0, accounted(self->shm, USER));
}

/* Both at once: what a user has locked is one sum. */
TEST(the_builtin_and_the_module_count_together)
{
	struct rlimit unlimited = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
	int builtin, rust;

	SHM_ENTER(&shm_builtin);
	ASSERT_EQ(0, shm_rust.missing());
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &unlimited));
	builtin = make(_metadata, &shm_builtin, 5);
	rust = make(_metadata, &shm_rust, 4);
	SHM_CHILD {
		become(_metadata, USER, GROUP, 0);
		limit(_metadata, 8 * shm_page_size());
		EXPECT_EQ(0, lock(&shm_builtin, builtin));
		EXPECT_ERRNO(ENOMEM, lock(&shm_rust, rust));
		EXPECT_EQ(0, unlock(&shm_builtin, builtin));
		EXPECT_EQ(0, lock(&shm_rust, rust));
		EXPECT_ERRNO(ENOMEM, lock(&shm_builtin, builtin));
		limit(_metadata, 9 * shm_page_size());
		EXPECT_EQ(0, lock(&shm_builtin, builtin));
	}
	EXPECT_EQ(9, accounted(&shm_builtin, USER));
	EXPECT_EQ(9, accounted(&shm_rust, USER));
	EXPECT_EQ(0, shm_builtin.rmid(builtin));
	EXPECT_EQ(0, shm_rust.rmid(rust));
	EXPECT_EQ(0, accounted(&shm_rust, USER));
}

TEST_HARNESS_MAIN
