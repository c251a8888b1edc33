// SPDX-License-Identifier: GPL-2.0
/* RUST_SHM_IOC_RESTORE: segments as they were, and what is refused. */
/* needs: plain */
#include "kselftest_harness.h"

#include <limits.h>
#include <sched.h>
#include <sys/resource.h>

#include "module.h"
#include "shm_backend.h"
#include "user.h"

#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

/* Bits of an id that are an index: the module must not run with ipcmni_extend here. */
#define INDEX_BITS 15

#define GONE 0x3ffffe	/* a process that is not there */

FIXTURE(restore)
{
	size_t page;
	struct rust_shm_restore good;
};

FIXTURE_SETUP(restore)
{
	self->page = shm_page_size();
	SHM_ENTER(&shm_rust);
	self->good = (struct rust_shm_restore) {
		.id = (3 << INDEX_BITS) + 7, .key = SHM_KEY, .size = 12345, .mode = 0641, .uid = 1001, .gid = 1002, .cuid = 1003,
		.cgid = 1004, .cpid = getpid(), .lpid = GONE, .atime = 1000000001, .dtime = 1000000002, .ctime = 5000000003LL,
	};
}

FIXTURE_TEARDOWN(restore)
{
	SHM_LEAVE(&shm_rust);
}

static int restore(const struct rust_shm_restore *restore)
{
	struct rust_shm_restore copy = *restore;

	return shm_rust_ioctl(RUST_SHM_IOC_RESTORE, &copy);
}

/* Every field that was given is there. */
static void expect_restored(struct __test_metadata *_metadata, int id, const struct rust_shm_restore *given)
{
	struct rust_shm_stat stat;
	struct shm_row row;

	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(given->key, stat.key);
	EXPECT_EQ(given->uid, stat.uid);
	EXPECT_EQ(given->gid, stat.gid);
	EXPECT_EQ(given->cuid, stat.cuid);
	EXPECT_EQ(given->cgid, stat.cgid);
	EXPECT_EQ(given->mode, stat.mode);
	EXPECT_EQ(given->cpid, stat.cpid);
	EXPECT_EQ(given->lpid, stat.lpid);
	EXPECT_EQ(given->size, stat.segsz);
	EXPECT_EQ(given->atime, stat.atime);
	EXPECT_EQ(given->dtime, stat.dtime);
	EXPECT_EQ(given->ctime, stat.ctime);
	EXPECT_EQ(given->flags & (RUST_SHM_HUGETLB | RUST_SHM_NORESERVE), stat.flags);
	EXPECT_EQ(0, stat.nattch);
	ASSERT_EQ(0, shm_table_row(&shm_rust, id, &row, NULL, 0));
	EXPECT_EQ(given->cpid, (int)row.cpid);
	EXPECT_EQ(given->lpid, (int)row.lpid);
	EXPECT_EQ(given->ctime, (int64_t)row.ctime);
}

/* Nothing is there, and nothing is counted. */
static void expect_nothing(struct __test_metadata *_metadata)
{
	struct rust_shm_usage usage;

	ASSERT_LE(0, shm_rust.shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
}

TEST_F(restore, every_field_comes_back)
{
	struct rust_shm_usage usage;
	char *memory;

	ASSERT_EQ(self->good.id, restore(&self->good));
	expect_restored(_metadata, self->good.id, &self->good);
	EXPECT_EQ(self->good.id, shm_rust.get(SHM_KEY, 0, 0));
	ASSERT_LE(0, shm_rust.shm_info(&usage));
	EXPECT_EQ(1, usage.used_ids);
	EXPECT_EQ((12345 + self->page - 1) / self->page, usage.shm_tot);
	/* It is one like others. */
	memory = shm_rust.attach(self->good.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_EQ(0, memory[12344]);
	memory[0] = 1;
	ASSERT_EQ(0, shm_rust.detach(memory));
	ASSERT_EQ(0, shm_rust.rmid(self->good.id));
	expect_nothing(_metadata);
}

TEST_F(restore, zeros_and_the_largest_come_back)
{
	const struct rust_shm_restore zeros = { .size = 1 };
	struct rust_shm_restore most = self->good;

	ASSERT_EQ(0, restore(&zeros));
	expect_restored(_metadata, 0, &zeros);
	most.id = INT_MAX;
	most.key = -1;
	most.mode = 0777;
	most.uid = most.gid = most.cuid = most.cgid = UINT_MAX - 1;
	most.lpid = INT_MAX;
	most.atime = most.dtime = most.ctime = INT64_MAX;
	ASSERT_EQ(INT_MAX, restore(&most));
	expect_restored(_metadata, INT_MAX, &most);
	EXPECT_EQ(INT_MAX, shm_rust.get(-1, 0, 0));
}

TEST_F(restore, id_is_exact_or_exists)
{
	struct rust_shm_restore other = { .id = self->good.id, .size = 1 };
	unsigned int i;

	ASSERT_EQ(self->good.id, restore(&self->good));
	EXPECT_ERRNO(EEXIST, restore(&other));
	/* The index counts, not the sequence number. */
	for (i = 0; i < 8; i++) {
		other.id = (i << INDEX_BITS) + 7;
		EXPECT_ERRNO(EEXIST, restore(&other));
	}
	EXPECT_EQ(1, shm_count(&shm_rust));
	ASSERT_EQ(0, shm_rust.rmid(self->good.id));
	/* What failed has not taken the index. */
	other.id = (5 << INDEX_BITS) + 7;
	ASSERT_EQ(other.id, restore(&other));
	ASSERT_EQ(0, shm_rust.rmid(other.id));
}

TEST_F(restore, key_exists)
{
	struct rust_shm_restore other = { .id = -1, .key = SHM_KEY, .size = 1 };

	ASSERT_EQ(self->good.id, restore(&self->good));
	EXPECT_ERRNO(EEXIST, restore(&other));
	other.size = 1 << 20;
	EXPECT_ERRNO(EEXIST, restore(&other));
	EXPECT_EQ(1, shm_count(&shm_rust));
	ASSERT_EQ(0, shm_rust.rmid(self->good.id));
	EXPECT_TRUE(shm_is_first(restore(&other)));
}

TEST_F(restore, next_free_id_is_that_of_the_cycle)
{
	struct rust_shm_restore other = { .id = -1, .size = 1 };

	SHM_NEEDS_NAMESPACE("ipc");
	ASSERT_EQ(0, shm_rust.get(IPC_PRIVATE, 1, 0600));
	EXPECT_EQ(1, restore(&other));
	EXPECT_EQ(2, shm_rust.get(IPC_PRIVATE, 1, 0600));
}

/* Ordinary calls go on as if there were nothing, and come to no id that is taken. */
TEST_F(restore, ordinary_ids_go_on_around_it)
{
	struct rust_shm_stat stat;
	int ids[200], i, j;

	ASSERT_EQ(self->good.id, restore(&self->good));
	for (i = 0; i < 200; i++) {
		ids[i] = shm_rust.get(IPC_PRIVATE, 1, 0600);
		ASSERT_LE(0, ids[i]);
		ASSERT_NE(self->good.id & ((1 << INDEX_BITS) - 1), ids[i] & ((1 << INDEX_BITS) - 1));
		for (j = 0; j < i; j++)
			ASSERT_NE(ids[j], ids[i]);
	}
	EXPECT_EQ(201, shm_count(&shm_rust));
	for (i = 0; i < 200; i++)
		ASSERT_EQ(0, shm_rust.rmid(ids[i]));
	expect_restored(_metadata, self->good.id, &self->good);
	ASSERT_EQ(0, shm_rust.rmid(self->good.id));
	EXPECT_EQ(-1, shm_rust.stat(self->good.id, &stat));
}

TEST_F(restore, bad_values_are_einval_and_change_nothing)
{
	static const struct {
		unsigned int offset, size;
		int64_t value;
	} bad[] = {
#define BAD(field, value) { offsetof(struct rust_shm_restore, field), sizeof(((struct rust_shm_restore *)0)->field), value }
		BAD(id, -2), BAD(id, INT_MIN), BAD(size, 0), BAD(size, -1), BAD(size, INT64_MIN), BAD(mode, 0x800), BAD(mode, 0x80000000),
		BAD(mode, 0x1000), BAD(mode, RUST_SHM_MODE_DEST), BAD(uid, -1), BAD(gid, -1), BAD(cuid, -1), BAD(cgid, -1), BAD(cpid, -1),
		BAD(cpid, INT_MIN), BAD(lpid, -1), BAD(atime, -1), BAD(atime, INT64_MIN), BAD(dtime, -1), BAD(ctime, -1),
		BAD(flags, RUST_SHM_RESTORE_OPEN | RUST_SHM_RESTORE_CLOSE), BAD(flags, RUST_SHM_HUGE_2MB), BAD(flags, 4), BAD(flags, 0100),
		BAD(flags, RUST_SHM_IPC_CREAT), BAD(flags, RUST_SHM_IPC_EXCL), BAD(flags, 0x2000), BAD(flags, 0x80000000),
		BAD(flags, RUST_SHM_RESTORE_CLOSE),
	};
	struct rust_shm_restore given;
	unsigned int i, step;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		/* With OPEN the fields are those of the second call, and looked at all the same. */
		for (step = 0; step < 2; step++) {
			given = self->good;
			memcpy((char *)&given + bad[i].offset, &bad[i].value, bad[i].size);
			given.flags |= step * RUST_SHM_RESTORE_OPEN;
			errno = 0;
			EXPECT_EQ(-1, restore(&given));
			EXPECT_EQ(EINVAL, errno)
				TH_LOG("bad value %u, step %u", i, step);
			expect_nothing(_metadata);
		}
	}
	given = self->good;
	given.flags = RUST_SHM_HUGETLB;
	given.mode |= RUST_SHM_MODE_LOCKED;
	EXPECT_ERRNO(EINVAL, restore(&given));
	given.mode = 0600;
	given.flags |= 20 << RUST_SHM_HUGE_SHIFT;
	EXPECT_ERRNO(EINVAL, restore(&given));
	expect_nothing(_metadata);
	EXPECT_TRUE(shm_is_first(shm_rust.get(SHM_KEY, 1, IPC_CREAT | IPC_EXCL | 0600)));
}

TEST_F(restore, limits_hold)
{
	struct rust_shm_restore given = self->good;

	ASSERT_EQ(0, shm_sysctl_write("shmmax", 12344));
	EXPECT_ERRNO(EINVAL, restore(&given));
	ASSERT_EQ(0, shm_sysctl_write("shmmax", 12345));
	ASSERT_EQ(0, shm_sysctl_write("shmall", (12345 + self->page - 1) / self->page - 1));
	EXPECT_ERRNO(ENOSPC, restore(&given));
	ASSERT_EQ(0, shm_sysctl_write("shmall", 1000));
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 0));
	EXPECT_ERRNO(ENOSPC, restore(&given));
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 1));
	expect_nothing(_metadata);
	ASSERT_EQ(given.id, restore(&given));
	given.id = 0;
	given.key = 0;
	EXPECT_ERRNO(ENOSPC, restore(&given));
}

/* Who may. */

static void with_capability(struct __test_metadata *_metadata, unsigned int number)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { };

	ASSERT_EQ(0, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	become(_metadata, 1000, 1000, 0);
	data[number / 32].permitted = data[number / 32].effective = CAPABILITY(number % 32);
	ASSERT_EQ(0, syscall(SYS_capset, &header, data));
}

TEST_F(restore, takes_a_capability)
{
	SHM_IN_CHILD(become(_metadata, 1000, 1000, 0); EXPECT_ERRNO(EPERM, restore(&self->good)));
	/* Before bad values, which would tell something. */
	self->good.size = 0;
	SHM_IN_CHILD(become(_metadata, 1000, 1000, 0); EXPECT_ERRNO(EPERM, restore(&self->good)));
	self->good.size = 12345;
	SHM_IN_CHILD(with_capability(_metadata, CAP_IPC_OWNER); EXPECT_ERRNO(EPERM, restore(&self->good)));
	SHM_IN_CHILD(with_capability(_metadata, CAP_SYS_RESOURCE); EXPECT_ERRNO(EPERM, restore(&self->good)));
	expect_nothing(_metadata);
	SHM_IN_CHILD(with_capability(_metadata, CAP_CHECKPOINT_RESTORE); EXPECT_EQ(self->good.id, restore(&self->good)));
	expect_restored(_metadata, self->good.id, &self->good);
	ASSERT_EQ(0, shm_rust.rmid(self->good.id));
	SHM_IN_CHILD(with_capability(_metadata, CAP_SYS_ADMIN); EXPECT_EQ(self->good.id, restore(&self->good)));
	expect_restored(_metadata, self->good.id, &self->good);
}

/* Root in a user namespace has no say in the IPC namespace of its parent, and in one of its own sees its own ids. */
TEST_F(restore, in_a_user_namespace)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_NEEDS_NAMESPACE("user");
	SHM_CHILD {
		struct rust_shm_restore given = self->good;
		struct rust_shm_stat stat;

		enter_user_namespace(_metadata);
		EXPECT_ERRNO(EPERM, restore(&given));
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		/* 1001 is nobody here. */
		EXPECT_ERRNO(EINVAL, restore(&given));
		given.uid = 1;
		given.gid = 2;
		given.cuid = 3;
		EXPECT_ERRNO(EINVAL, restore(&given));
		given.cgid = 9;
		expect_nothing(_metadata);
		ASSERT_EQ(given.id, restore(&given));
		ASSERT_EQ(0, shm_rust.stat(given.id, &stat));
		EXPECT_EQ(1, stat.uid);
		EXPECT_EQ(9, stat.cgid);
		expect_restored(_metadata, given.id, &given);
		ASSERT_EQ(0, shm_rust.rmid(given.id));
	}
	expect_nothing(_metadata);
}

/* Contents: open, write, close. */

TEST_F(restore, open_is_the_callers_until_it_is_closed)
{
	struct rust_shm_restore given = self->good;
	struct rust_shm_stat stat;
	char *memory;

	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	ASSERT_EQ(0, shm_rust.stat(given.id, &stat));
	EXPECT_EQ(0600, stat.mode);
	EXPECT_EQ(0, stat.uid);
	EXPECT_EQ(0, stat.gid);
	EXPECT_EQ(0, stat.cuid);
	EXPECT_EQ(0, stat.cgid);
	EXPECT_EQ(given.cpid, stat.cpid);
	EXPECT_EQ(0, stat.atime);
	/* Its owner to be, and others, do not come to what is not complete. */
	SHM_CHILD {
		become(_metadata, 1001, 1002, 0);
		EXPECT_ERRNO(EACCES, shm_rust.get(SHM_KEY, 0, 0400));
		EXPECT_ERRNO(EACCES, shm_rust.attach(given.id, NULL, SHM_RDONLY));
		EXPECT_ERRNO(EPERM, shm_rust.rmid(given.id));
	}
	EXPECT_ERRNO(EEXIST, restore(&given));
	memory = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memset(memory, 0x5a, 12345);
	ASSERT_EQ(0, shm_rust.detach(memory));
	given.flags = RUST_SHM_RESTORE_CLOSE;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	SHM_CHILD {
		become(_metadata, 1001, 1002, 0);
		memory = shm_rust.attach(given.id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		EXPECT_EQ(0x5a, memory[0]);
		EXPECT_EQ(0x5a, memory[12344]);
	}
	/* Once only. */
	EXPECT_ERRNO(EINVAL, restore(&given));
}

TEST_F(restore, close_refuses_what_it_cannot)
{
	struct rust_shm_restore given = self->good, bad;
	int ordinary = shm_rust.get(IPC_PRIVATE, 1, 0600);

	ASSERT_TRUE(shm_is_first(ordinary));
	given.flags = RUST_SHM_RESTORE_CLOSE;
	EXPECT_ERRNO(EINVAL, restore(&given));
	given.id = ordinary;
	EXPECT_ERRNO(EINVAL, restore(&given));
	given = self->good;
	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	given.flags = RUST_SHM_RESTORE_CLOSE;
	bad = given;
	bad.id += 1 << INDEX_BITS;
	EXPECT_ERRNO(EINVAL, restore(&bad));
	bad = given;
	bad.atime = -1;
	EXPECT_ERRNO(EINVAL, restore(&bad));
	bad = given;
	bad.id = -1;
	EXPECT_ERRNO(EINVAL, restore(&bad));
	/* The capability alone changes nobody else's. */
	SHM_IN_CHILD(with_capability(_metadata, CAP_CHECKPOINT_RESTORE); EXPECT_ERRNO(EPERM, restore(&given)));
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
}

TEST_F(restore, open_that_is_removed_is_gone)
{
	struct rust_shm_restore given = self->good;
	char *memory;

	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	ASSERT_EQ(0, shm_rust.rmid(given.id));
	expect_nothing(_metadata);
	ASSERT_EQ(given.id, restore(&given));
	memory = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, shm_rust.rmid(given.id));
	given.flags = RUST_SHM_RESTORE_CLOSE;
	EXPECT_ERRNO(EINVAL, restore(&given));
	ASSERT_EQ(0, shm_rust.detach(memory));
	expect_nothing(_metadata);
}

/* With the capability alone, the whole of it. */
TEST_F(restore, contents_by_a_user)
{
	struct rust_shm_restore given = self->good;

	SHM_CHILD {
		char *memory;

		with_capability(_metadata, CAP_CHECKPOINT_RESTORE);
		given.flags = RUST_SHM_RESTORE_OPEN;
		ASSERT_EQ(given.id, restore(&given));
		memory = shm_rust.attach(given.id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		strcpy(memory, "by a user");
		ASSERT_EQ(0, shm_rust.detach(memory));
		given.flags = RUST_SHM_RESTORE_CLOSE;
		ASSERT_EQ(given.id, restore(&given));
	}
	expect_restored(_metadata, given.id, &given);
}

/* kernel.shm_rmid_forced: neither what is open goes, nor what has no creator. */
TEST_F(restore, rmid_forced_waits_for_a_detach)
{
	struct rust_shm_restore given = self->good;
	struct rust_shm_stat stat;
	char *memory;

	if (shm_sysctl_write("shm_rmid_forced", 1))
		SKIP(return, "this kernel has no kernel.shm_rmid_forced");
	SHM_CHILD {
		given.flags = RUST_SHM_RESTORE_OPEN;
		ASSERT_EQ(given.id, restore(&given));
		memory = shm_rust.attach(given.id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		memory[0] = 1;
		ASSERT_EQ(0, shm_rust.detach(memory));
		given.flags = RUST_SHM_RESTORE_CLOSE;
		ASSERT_EQ(given.id, restore(&given));
	}
	ASSERT_EQ(0, shm_rust.stat(given.id, &stat));
	memory = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_EQ(1, memory[0]);
	ASSERT_EQ(0, shm_rust.detach(memory));
	expect_nothing(_metadata);
}

/* SHM_DEST: there until somebody was attached. */

TEST_F(restore, removed_goes_with_the_next_last_detach)
{
	struct rust_shm_restore given = self->good;
	char *first, *second;

	given.key = 0;
	given.mode |= RUST_SHM_MODE_DEST;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	first = shm_rust.attach(given.id, NULL, 0);
	second = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, first);
	ASSERT_NE(SHM_FAILED, second);
	ASSERT_EQ(0, shm_rust.detach(first));
	EXPECT_EQ(1, shm_count(&shm_rust));
	ASSERT_EQ(0, shm_rust.detach(second));
	expect_nothing(_metadata);
	/* Or with IPC_RMID. */
	ASSERT_EQ(given.id, restore(&given));
	ASSERT_EQ(0, shm_rust.rmid(given.id));
	expect_nothing(_metadata);
}

TEST_F(restore, removed_with_contents)
{
	struct rust_shm_restore given = self->good;
	char *memory;

	given.key = 0;
	given.mode |= RUST_SHM_MODE_DEST;
	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	memory = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memory[5] = 5;
	ASSERT_EQ(0, shm_rust.detach(memory));
	given.flags = RUST_SHM_RESTORE_CLOSE;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	memory = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_EQ(5, memory[5]);
	ASSERT_EQ(0, shm_rust.detach(memory));
	expect_nothing(_metadata);
}

/* One that was made with a key, and is removed in the end: the key is free. */
TEST_F(restore, removed_gives_its_key_back)
{
	struct rust_shm_restore given = self->good;

	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	given.key = 0;
	given.mode |= RUST_SHM_MODE_DEST;
	given.flags = RUST_SHM_RESTORE_CLOSE;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	EXPECT_ERRNO(ENOENT, shm_rust.get(SHM_KEY, 0, 0));
	EXPECT_LE(0, shm_rust.get(SHM_KEY, 1, IPC_CREAT | IPC_EXCL | 0600));
	ASSERT_EQ(0, shm_rust.rmid(given.id));
	EXPECT_EQ(1, shm_count(&shm_rust));
	EXPECT_LE(0, shm_rust.get(SHM_KEY, 1, 0600));
}

/* The end of the namespace takes all of them. */
TEST_F(restore, end_of_the_namespace_takes_them)
{
	int before = module_references();

	SHM_NEEDS_NAMESPACE("ipc");
	SHM_CHILD {
		struct rust_shm_restore given = self->good;

		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(given.id, restore(&given));
		given.key = 0;
		given.id = 1;
		given.mode |= RUST_SHM_MODE_DEST;
		ASSERT_EQ(1, restore(&given));
		given.id = 2;
		given.flags = RUST_SHM_RESTORE_OPEN;
		ASSERT_EQ(2, restore(&given));
	}
	EXPECT_EQ(before, module_settles(before));
}

/* SHM_LOCKED, SHM_NORESERVE, SHM_HUGETLB. */

TEST_F(restore, locked_counts_for_the_caller)
{
	struct rust_shm_restore given = self->good;
	struct rlimit none = { 0, 0 };

	given.mode |= RUST_SHM_MODE_LOCKED;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	ASSERT_EQ(0, shm_rust.ctl(given.id, SHM_UNLOCK, NULL));
	given.mode &= ~RUST_SHM_MODE_LOCKED;
	expect_restored(_metadata, given.id, &given);
	ASSERT_EQ(0, shm_rust.rmid(given.id));
	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
		with_capability(_metadata, CAP_CHECKPOINT_RESTORE);
		given.mode |= RUST_SHM_MODE_LOCKED;
		EXPECT_ERRNO(ENOMEM, restore(&given));
		given.flags = RUST_SHM_RESTORE_OPEN;
		ASSERT_EQ(given.id, restore(&given));
		given.flags = RUST_SHM_RESTORE_CLOSE;
		EXPECT_ERRNO(ENOMEM, restore(&given));
		given.mode &= ~RUST_SHM_MODE_LOCKED;
		ASSERT_EQ(given.id, restore(&given));
	}
	given.flags = 0;
	expect_restored(_metadata, given.id, &given);
}

/* Which error wins: the segment's and the caller's before that of the limit. */
TEST_F(restore, close_asks_before_it_counts)
{
	struct rust_shm_restore given = self->good;
	struct rlimit none = { 0, 0 };

	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	given.mode |= RUST_SHM_MODE_LOCKED;
	given.flags = RUST_SHM_RESTORE_CLOSE;
	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
		with_capability(_metadata, CAP_CHECKPOINT_RESTORE);
		EXPECT_ERRNO(EPERM, restore(&given));
	}
	ASSERT_EQ(given.id, restore(&given));
	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
		with_capability(_metadata, CAP_CHECKPOINT_RESTORE);
		EXPECT_ERRNO(EINVAL, restore(&given));
	}
}

/* What SHM_LOCK has counted is not counted twice, not even for a moment. */
TEST_F(restore, locked_while_it_is_open_counts_once)
{
	struct rust_shm_restore given = self->good;
	struct rlimit one = { 16 * self->page, 16 * self->page };

	given.size = one.rlim_cur;
	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &one));
		with_capability(_metadata, CAP_CHECKPOINT_RESTORE);
		given.flags = RUST_SHM_RESTORE_OPEN;
		ASSERT_EQ(given.id, restore(&given));
		ASSERT_EQ(0, shm_rust.ctl(given.id, SHM_LOCK, NULL));
		given.mode |= RUST_SHM_MODE_LOCKED;
		given.flags = RUST_SHM_RESTORE_CLOSE;
		ASSERT_EQ(given.id, restore(&given));
	}
	given.mode |= RUST_SHM_MODE_LOCKED;
	given.flags = 0;
	expect_restored(_metadata, given.id, &given);
}

TEST_F(restore, locked_with_contents)
{
	struct rust_shm_restore given = self->good;
	char *memory;

	given.size = 1 << 20;
	given.mode |= RUST_SHM_MODE_LOCKED;
	given.flags = RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	memory = shm_rust.attach(given.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memset(memory, 3, given.size);
	ASSERT_EQ(0, shm_rust.detach(memory));
	given.flags = RUST_SHM_RESTORE_CLOSE;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	ASSERT_EQ(0, shm_rust.ctl(given.id, SHM_UNLOCK, NULL));
	ASSERT_EQ(0, shm_rust.rmid(given.id));
}

TEST_F(restore, noreserve_is_one)
{
	struct rust_shm_restore given = self->good;
	struct rust_shm_stat stat;
	int id;

	given.flags = RUST_SHM_NORESERVE;
	given.size = 1 << 20;
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	/* The ordinary call tells it, too. */
	id = shm_rust.get(IPC_PRIVATE, 1, SHM_NORESERVE | 0600);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(RUST_SHM_NORESERVE, stat.flags);
}

TEST_F(restore, huge_is_one)
{
	struct rust_shm_restore given = self->good;
	struct rust_shm_stat stat;

	SHM_NEEDS_HUGE();
	given.flags = RUST_SHM_HUGETLB;
	SHM_IN_CHILD(with_capability(_metadata, CAP_CHECKPOINT_RESTORE); EXPECT_ERRNO(EPERM, restore(&given)));
	expect_nothing(_metadata);
	ASSERT_EQ(given.id, restore(&given));
	expect_restored(_metadata, given.id, &given);
	ASSERT_EQ(0, shm_rust.stat(given.id, &stat));
	EXPECT_EQ(HUGE_SIZE, stat.rss);
	ASSERT_EQ(0, shm_rust.rmid(given.id));
	given.flags = RUST_SHM_HUGETLB | RUST_SHM_NORESERVE | RUST_SHM_RESTORE_OPEN;
	ASSERT_EQ(given.id, restore(&given));
	ASSERT_EQ(0, shm_rust.stat(given.id, &stat));
	EXPECT_EQ(0, stat.rss);
	given.mode |= RUST_SHM_MODE_LOCKED;
	given.flags = RUST_SHM_RESTORE_CLOSE;
	EXPECT_ERRNO(EINVAL, restore(&given));
	given.mode &= ~RUST_SHM_MODE_LOCKED;
	ASSERT_EQ(given.id, restore(&given));
	given.flags = RUST_SHM_HUGETLB | RUST_SHM_NORESERVE;
	expect_restored(_metadata, given.id, &given);
}

/* Numbers of processes: of one that lives, each pid namespace has its own; of one that is gone, this one alone. */
TEST_F(restore, pids_in_another_pid_namespace)
{
	struct rust_shm_restore given = self->good;

	SHM_NEEDS_NAMESPACE("pid");
	given.cpid = getpid();
	given.lpid = GONE;
	given.mode = 0666;
	ASSERT_EQ(given.id, restore(&given));
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWPID));
		SHM_CHILD {
			struct rust_shm_stat stat;

			ASSERT_EQ(1, getpid());
			ASSERT_EQ(0, shm_rust.stat(given.id, &stat));
			EXPECT_EQ(0, stat.cpid);
			EXPECT_EQ(0, stat.lpid);
			given.id = 1;
			given.key = 0;
			given.cpid = 1;
			given.lpid = 12345;
			ASSERT_EQ(1, restore(&given));
			expect_restored(_metadata, 1, &given);
		}
	}
	{
		struct rust_shm_stat stat;

		ASSERT_EQ(0, shm_rust.stat(1, &stat));
		EXPECT_LT(1, stat.cpid);
		EXPECT_NE(12345, stat.cpid);
		EXPECT_EQ(0, stat.lpid);
	}
	expect_restored(_metadata, given.id, &given);
}

/* Many at once for one id: one of them has it. */
TEST_F(restore, one_of_many_gets_the_id)
{
	struct rust_shm_restore given = self->good;
	int i, made = 0;
	pid_t pids[8];

	given.key = 0;
	for (i = 0; i < 8; i++) {
		SHM_FORK(pids[i]) {
			int result = restore(&given);

			_exit(result == given.id ? 1 : result == -1 && errno == EEXIST ? 0 : 2);
		}
	}
	for (i = 0; i < 8; i++) {
		int status = shm_wait(pids[i]);

		EXPECT_GE(1, status);
		made += status;
	}
	EXPECT_EQ(1, made);
	EXPECT_EQ(1, shm_count(&shm_rust));
}

TEST_HARNESS_MAIN
