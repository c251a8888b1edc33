// SPDX-License-Identifier: GPL-2.0
/* IPC, user and pid namespaces: whose segments, whose numbers, and what the end of a namespace ends. */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <sched.h>

#include "module.h"
#include "proc.h"
#include "shm_backend.h"
#include "user.h"

/* What a user or group id that has no name in a user namespace is shown as. */
#define OVERFLOW_ID 65534

FIXTURE(namespace)
{
	const struct shm_backend *shm;
	int id;			/* SHM_KEY, of 4096 bytes, 0644 */
};
SHM_BOTH(namespace)

FIXTURE_SETUP(namespace)
{
	SHM_NEEDS_NAMESPACE("ipc");
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->id = self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0644);
	ASSERT_LE(0, self->id);
}

FIXTURE_TEARDOWN(namespace)
{
	SHM_LEAVE(self->shm);
}

/* IPC namespaces. */

TEST_F(namespace, segments_are_invisible_elsewhere)
{
	struct rust_shm_stat stat;
	struct shm_row row;

	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
		EXPECT_ERRNO(EINVAL, self->shm->stat(self->id, &stat));
		EXPECT_ERRNO(EINVAL, self->shm->stat_any(self->id, &stat));
		EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, SHM_RDONLY));
		EXPECT_ERRNO(EINVAL, self->shm->set(self->id, 0, 0, 0));
		EXPECT_ERRNO(EINVAL, self->shm->rmid(self->id));
		EXPECT_EQ(0, shm_count(self->shm));
		EXPECT_EQ(-1, shm_table_row(self->shm, self->id, &row, NULL, 0));
	}
	EXPECT_EQ(0, self->shm->stat(self->id, &stat));
}

TEST_F(namespace, ids_and_keys_are_independent)
{
	struct rust_shm_stat stat;
	char *memory, *other;

	memory = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "here");
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(self->id, self->shm->get(SHM_KEY, 8192, IPC_CREAT | IPC_EXCL | 0600))
			TH_LOG("a new namespace counts from the start");
		other = self->shm->attach(self->id, NULL, 0);
		ASSERT_NE(SHM_FAILED, other);
		EXPECT_EQ(0, other[0]);
		strcpy(other, "there");
		EXPECT_STREQ("here", memory);
		EXPECT_EQ(1, shm_nattch(self->shm, self->id));
		EXPECT_EQ(0, self->shm->rmid(self->id));
	}
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(4096, stat.segsz);
	EXPECT_EQ(0644, stat.mode);
	EXPECT_EQ(1, stat.nattch);
	EXPECT_STREQ("here", memory);
}

TEST_F(namespace, going_back_finds_what_was_left)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	char *memory;

	ASSERT_LE(0, home);
	memory = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "left");
	ASSERT_EQ(0, self->shm->detach(memory));

	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	ASSERT_LE(0, self->shm->get(SHM_KEY + 1, 4096, IPC_CREAT | 0600));
	/* Only the descriptor keeps the first namespace now; no process is in it. */
	usleep(200000);
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + 1, 0, 0));
	memory = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_STREQ("left", memory);
}

TEST_F(namespace, attach_survives_the_move_and_is_detached_from_outside)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	char *memory, *second;

	ASSERT_LE(0, home);
	memory = self->shm->attach(self->id, NULL, 0);
	second = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_NE(SHM_FAILED, second);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	strcpy(memory, "moved");
	EXPECT_STREQ("moved", second);
	EXPECT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(0, shm_count(self->shm));
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_STREQ("moved", second);
}

TEST_F(namespace, removed_and_detached_from_outside_is_gone)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	char *memory;

	ASSERT_LE(0, home);
	memory = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->rmid(self->id));
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	ASSERT_EQ(self->id, self->shm->get(SHM_KEY, 4096, IPC_CREAT | 0600));
	EXPECT_EQ(0, self->shm->detach(memory));
	EXPECT_EQ(1, shm_count(self->shm))
		TH_LOG("the wrong namespace lost a segment");
	shm_remove_all(self->shm);
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(namespace, attached_memory_outlives_its_namespace)
{
	char *memory, *shared;
	int i;

	memory = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "outlives");
	/* This process was the only one in it. */
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	for (i = 0; i < 5; i++) {
		EXPECT_STREQ("outlives", memory);
		usleep(50000);
	}
	shared = memory + 100;
	SHM_CHILD {
		EXPECT_STREQ("outlives", memory);
		strcpy(shared, "child");
	}
	EXPECT_STREQ("child", shared);
	memory[4095] = 1;
	EXPECT_EQ(0, self->shm->detach(memory));
	EXPECT_ERRNO(EINVAL, self->shm->detach(memory));
}

TEST_F(namespace, every_new_namespace_starts_empty)
{
	int i;

	/* The kernel uses the memory of an ended namespace again: a registry found by address alone would be a stale one. */
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, shm_count(self->shm));
		ASSERT_EQ(0, self->shm->get(SHM_KEY, 4096 * (1 + i % 3), IPC_CREAT | IPC_EXCL | 0600));
		if (i % 4 == 0) {
			ASSERT_NE(SHM_FAILED, self->shm->attach(0, NULL, 0));
		}
	}
}

TEST_F(namespace, end_of_the_namespace_frees_its_memory)
{
	const size_t size = 96 << 20;
	int64_t full;
	char *memory;
	int big, i;

	big = self->shm->get(IPC_PRIVATE, size, 0600);
	ASSERT_LE(0, big);
	memory = self->shm->attach(big, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memset(memory, 1, size);
	ASSERT_EQ(0, self->shm->detach(memory));
	/*
	 * The page cache: both the built-in and the module keep their pages there. (MemFree follows slowly: freed pages stay on the lists
	 * of their processor for seconds.)
	 */
	full = meminfo("Cached");
	ASSERT_LE((int64_t)size, full);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	for (i = 0; i < 100 * (int)shm_slow() && meminfo("Cached") > full - (int64_t)size / 2; i++)
		usleep(50000);
	EXPECT_GE(full - (int64_t)size / 2, meminfo("Cached"))
		TH_LOG("half of what the segment held should be free by now");
}

/* User namespaces. */

TEST_F(namespace, owners_are_shown_as_the_reader_knows_them)
{
	struct rust_shm_stat stat;
	struct shm_row row;

	SHM_NEEDS_NAMESPACE("user");
	ASSERT_EQ(0, self->shm->set(self->id, 1003, 1004, 0644));
	SHM_CHILD {
		enter_user_namespace(_metadata);
		ASSERT_EQ(0, self->shm->stat(self->id, &stat));
		EXPECT_EQ(3, stat.uid);
		EXPECT_EQ(4, stat.gid);
		EXPECT_EQ(OVERFLOW_ID, stat.cuid)
			TH_LOG("root of the parent has no id here");
		EXPECT_EQ(OVERFLOW_ID, stat.cgid);
		ASSERT_EQ(0, shm_table_row(self->shm, self->id, &row, NULL, 0));
		EXPECT_EQ(3, row.uid);
		EXPECT_EQ(4, row.gid);
		EXPECT_EQ(OVERFLOW_ID, row.cuid);
		EXPECT_EQ(OVERFLOW_ID, row.cgid);
	}
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(1003, stat.uid);
	EXPECT_EQ(0, stat.cuid);
}

TEST_F(namespace, creators_of_a_user_namespace_are_known_outside)
{
	struct rust_shm_stat stat;
	int id;

	SHM_NEEDS_NAMESPACE("user");
	SHM_CHILD {
		enter_user_namespace(_metadata);
		id = self->shm->get(SHM_KEY + 1, 4096, IPC_CREAT | 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(0, stat.uid);
		EXPECT_EQ(0, stat.cgid);
		/* Given to 5 in here, which is 1005 out there. */
		ASSERT_EQ(0, self->shm->set(id, 5, 6, 0600));
	}
	id = self->shm->get(SHM_KEY + 1, 0, 0);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(1005, stat.uid);
	EXPECT_EQ(1006, stat.gid);
	EXPECT_EQ(1000, stat.cuid);
	EXPECT_EQ(1000, stat.cgid);
}

TEST_F(namespace, set_takes_only_ids_the_caller_has_names_for)
{
	struct rust_shm_stat before, after;

	SHM_NEEDS_NAMESPACE("user");
	ASSERT_EQ(0, self->shm->set(self->id, 1000, 1000, 0644));
	ASSERT_EQ(0, self->shm->stat(self->id, &before));
	SHM_CHILD {
		enter_user_namespace(_metadata);
		EXPECT_ERRNO(EINVAL, self->shm->set(self->id, 10, 0, 0777));
		EXPECT_ERRNO(EINVAL, self->shm->set(self->id, 0, 1000, 0777));
		EXPECT_ERRNO(EINVAL, self->shm->set(self->id, OVERFLOW_ID, 0, 0777));
	}
	ASSERT_EQ(0, self->shm->stat(self->id, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_F(namespace, root_of_a_user_namespace_is_nobody_in_the_parents)
{
	struct rust_shm_stat stat;

	SHM_NEEDS_NAMESPACE("user");
	ASSERT_EQ(0, self->shm->set(self->id, 1003, 1003, 0600));
	SHM_CHILD {
		enter_user_namespace(_metadata);
		ASSERT_EQ(0, geteuid());
		EXPECT_ERRNO(EACCES, self->shm->stat(self->id, &stat));
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, SHM_RDONLY));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0400));
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, 0, 0, 0777));
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
	}
	EXPECT_EQ(0, self->shm->stat(self->id, &stat));
}

TEST_F(namespace, owner_keeps_its_rights_in_a_user_namespace)
{
	SHM_NEEDS_NAMESPACE("user");
	ASSERT_EQ(0, self->shm->set(self->id, 1000, 1000, 0600));
	SHM_CHILD {
		enter_user_namespace(_metadata);
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0600));
		EXPECT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, 0));
		EXPECT_EQ(0, self->shm->set(self->id, 0, 0, 0640));
		EXPECT_EQ(0, self->shm->rmid(self->id));
	}
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(namespace, root_of_a_user_namespace_rules_its_own_ipc_namespace)
{
	struct rust_shm_stat stat;
	int id;

	SHM_NEEDS_NAMESPACE("user");
	SHM_CHILD {
		enter_user_namespace(_metadata);
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		SHM_CHILD {
			ASSERT_EQ(0, setresgid(5, 5, 5));
			ASSERT_EQ(0, setresuid(5, 5, 5));
			ASSERT_LE(0, self->shm->get(SHM_KEY, 4096, IPC_CREAT));
		}
		id = self->shm->get(SHM_KEY, 0, 0);
		ASSERT_LE(0, id);
		EXPECT_EQ(0, self->shm->stat(id, &stat))
			TH_LOG("CAP_IPC_OWNER over this namespace");
		EXPECT_EQ(5, stat.uid);
		EXPECT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
		EXPECT_EQ(0, self->shm->set(id, 6, 6, 0600))
			TH_LOG("CAP_SYS_ADMIN over this namespace");
		SHM_CHILD {
			ASSERT_EQ(0, setresuid(7, 7, 7));
			EXPECT_ERRNO(EPERM, self->shm->rmid(id));
		}
		EXPECT_EQ(0, self->shm->rmid(id));
	}
}

/* Pid namespaces. */

TEST_F(namespace, pids_are_shown_as_the_reader_knows_them)
{
	struct rust_shm_stat stat;
	pid_t outside;
	char *memory;
	int id;

	SHM_NEEDS_NAMESPACE("pid");
	memory = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(getpid(), stat.cpid);
	EXPECT_EQ(getpid(), stat.lpid);

	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWPID));
		SHM_FORK(outside) {
			ASSERT_EQ(1, getpid());
			ASSERT_EQ(0, self->shm->stat(self->id, &stat));
			EXPECT_EQ(0, stat.cpid)
				TH_LOG("who made it cannot be seen from here");
			EXPECT_EQ(0, stat.lpid);

			id = self->shm->get(SHM_KEY + 1, 4096, IPC_CREAT | 0600);
			ASSERT_LE(0, id);
			ASSERT_EQ(0, self->shm->detach(memory));
			ASSERT_EQ(0, self->shm->stat(self->id, &stat));
			EXPECT_EQ(0, stat.cpid);
			EXPECT_EQ(1, stat.lpid);
			ASSERT_EQ(0, self->shm->stat(id, &stat));
			EXPECT_EQ(1, stat.cpid);
			EXPECT_EQ(0, stat.lpid);
			_exit(0);
		}
		EXPECT_EQ(0, shm_wait(outside));
		/* The same two seen from outside. */
		ASSERT_EQ(0, self->shm->stat(self->id, &stat));
		EXPECT_EQ(outside, stat.lpid);
		id = self->shm->get(SHM_KEY + 1, 0, 0);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(outside, stat.cpid);
	}
}

/* What only the module has: a descriptor, a reference count, and a table of its own. */

FIXTURE(device_namespace)
{
	int fd;
	int baseline;		/* the module's reference count with no segment anywhere */
};

/* The reference count, once it has stood still for half a second: namespaces of earlier tests end in their own time. */
static int settled_references(void)
{
	int last = -2, same = 0, i, now;

	for (i = 0; i < 200 && same < 10; i++) {
		now = module_references();
		same = now == last ? same + 1 : 0;
		last = now;
		usleep(50000);
	}
	return last;
}

/* Does it come down to this within so many seconds, or longer where things are slow? */
static bool references_fall_within(int seconds, int count)
{
	int i;

	for (i = 0; i < 20 * seconds * (int)shm_slow(); i++) {
		if (module_references() <= count)
			return true;
		usleep(50000);
	}
	return false;
}

static bool references_fall_to(int count)
{
	return references_fall_within(5, count);
}

FIXTURE_SETUP(device_namespace)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_ENTER(&shm_rust);
	self->fd = shm_rust_fd();
	self->baseline = settled_references();
	ASSERT_LE(0, self->baseline)
		TH_LOG("/sys/module/rust_shm/refcnt cannot be read");
}

FIXTURE_TEARDOWN(device_namespace)
{
	SHM_LEAVE(&shm_rust);
}

TEST_F(device_namespace, descriptor_acts_for_its_caller)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), id;

	ASSERT_LE(0, home);
	id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);

	/* One descriptor, used here and there by turns. */
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	ASSERT_EQ(self->fd, shm_rust_fd());
	EXPECT_ERRNO(ENOENT, shm_rust.get(SHM_KEY, 0, 0));
	EXPECT_LE(0, shm_rust.get(SHM_KEY + 1, 4096, IPC_CREAT | 0600));
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_EQ(id, shm_rust.get(SHM_KEY, 0, 0));
	EXPECT_ERRNO(ENOENT, shm_rust.get(SHM_KEY + 1, 0, 0));
}

TEST_F(device_namespace, one_descriptor_serves_two_namespaces_at_once)
{
	int i;

	ASSERT_EQ(0, shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600));
	SHM_CHILD {
		pid_t inside;

		SHM_FORK(inside) {
			ASSERT_EQ(0, unshare(CLONE_NEWIPC));
			ASSERT_EQ(0, shm_rust.get(SHM_KEY + 1, 8192, IPC_CREAT | 0600));
			for (i = 0; i < 20000; i++)
				ASSERT_EQ(0, shm_rust.get(SHM_KEY + 1, 8192, 0600));
			_exit(0);
		}
		for (i = 0; i < 20000; i++)
			ASSERT_EQ(-1, shm_rust.get(SHM_KEY + 1, 0, 0));
		EXPECT_EQ(0, shm_wait(inside));
	}
	EXPECT_EQ(0, shm_rust.get(SHM_KEY, 0, 0));
}

TEST_F(device_namespace, table_is_that_of_the_caller)
{
	char text[1024];
	ssize_t length;

	ASSERT_LE(0, shm_rust.get(0x1234567, 4096, IPC_CREAT | 0600));
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	ASSERT_LE(0, shm_rust.get(0x7654321, 4096, IPC_CREAT | 0600));
	length = read(self->fd, text, sizeof(text) - 1);
	ASSERT_LT(0, length);
	text[length] = 0;
	EXPECT_NE(NULL, strstr(text, "124076833"));
	EXPECT_EQ(NULL, strstr(text, "19088743"));
}

/* Also of who reads on, in the middle of a row, where another namespace's reader has stopped. */
TEST_F(device_namespace, table_is_that_of_whoever_reads_on)
{
	char text[1024];
	char *end_of_header;
	ssize_t length;

	ASSERT_LE(0, shm_rust.get(SHM_KEY, 12345, IPC_CREAT | 0600));
	length = pread(self->fd, text, sizeof(text) - 1, 0);
	ASSERT_LT(0, length);
	text[length] = 0;
	ASSERT_NE(NULL, strstr(text, "12345"));
	end_of_header = strchr(text, '\n');
	ASSERT_NE(NULL, end_of_header);
	ASSERT_EQ(end_of_header + 10 - text, read(self->fd, text, end_of_header + 10 - text));
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_EQ(0, read(self->fd, text, sizeof(text) - 1))
		TH_LOG("there is nothing in this namespace");
	ASSERT_LE(0, shm_rust.get(SHM_KEY, 54321, IPC_CREAT | 0600));
	length = read(self->fd, text, sizeof(text) - 1);
	ASSERT_LT(0, length);
	text[length] = 0;
	EXPECT_NE(NULL, strstr(text, "54321"));
	EXPECT_EQ(NULL, strstr(text, "12345"));
}

TEST_F(device_namespace, table_shows_pids_as_the_reader_knows_them)
{
	struct shm_row row;
	pid_t pid;
	int id;

	SHM_NEEDS_NAMESPACE("pid");
	id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	SHM_FORK(pid) {
		ASSERT_NE(SHM_FAILED, shm_rust.attach(id, NULL, 0));
		ASSERT_EQ(0, shm_table_row(&shm_rust, id, &row, NULL, 0));
		EXPECT_EQ(0, row.cpid);
		EXPECT_EQ(1, row.lpid);
		_exit(0);
	}
	EXPECT_EQ(0, shm_wait(pid));
	ASSERT_EQ(0, shm_table_row(&shm_rust, id, &row, NULL, 0));
	EXPECT_EQ(getpid(), row.cpid);
	EXPECT_EQ(pid, row.lpid);
}

TEST_F(device_namespace, segment_holds_the_module)
{
	int id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);

	ASSERT_LE(0, id);
	EXPECT_LT(self->baseline, module_references());
	ASSERT_EQ(0, shm_rust.rmid(id));
	EXPECT_TRUE(references_fall_to(self->baseline));
}

TEST_F(device_namespace, end_of_the_namespace_ends_its_segments)
{
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_LE(0, shm_rust.get(SHM_KEY + i, 4096, IPC_CREAT | 0600));
	ASSERT_LT(self->baseline, module_references());
	/* The open descriptor stays, and knows the registry that goes. */
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_TRUE(references_fall_to(self->baseline))
		TH_LOG("%d references, %d before", module_references(), self->baseline);
	EXPECT_EQ(0, shm_count(&shm_rust));
}

TEST_F(device_namespace, namespace_ends_with_its_last_process)
{
	pid_t pid = fork();
	int i;

	ASSERT_LE(0, pid);
	if (!pid) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		for (i = 0; i < 10; i++)
			ASSERT_LE(0, shm_rust.get(SHM_KEY + i, 4096, IPC_CREAT | 0600));
		ASSERT_NE(SHM_FAILED, shm_rust.attach(0, NULL, 0));
		raise(SIGKILL);
	}
	ASSERT_EQ(256 + SIGKILL, shm_wait(pid));
	EXPECT_TRUE(references_fall_to(self->baseline))
		TH_LOG("%d references, %d before", module_references(), self->baseline);
}

TEST_F(device_namespace, attach_holds_the_module_after_its_namespace)
{
	int id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);
	char *memory;

	ASSERT_LE(0, id);
	memory = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "held");
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	EXPECT_FALSE(references_fall_within(2, self->baseline));
	EXPECT_STREQ("held", memory);
	ASSERT_EQ(0, shm_rust.detach(memory));
	EXPECT_TRUE(references_fall_to(self->baseline))
		TH_LOG("%d references, %d before", module_references(), self->baseline);
}

TEST_F(device_namespace, hundred_namespaces_leave_nothing)
{
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600));
		if (i % 3 == 0) {
			void *memory = shm_rust.attach(0, NULL, 0);

			ASSERT_NE(SHM_FAILED, memory);
			*(char *)memory = 1;
			if (i % 2) {
				ASSERT_EQ(0, munmap(memory, 4096));
			} else {
				ASSERT_EQ(0, shm_rust.detach(memory));
			}
		}
	}
	ASSERT_EQ(1, shm_remove_all(&shm_rust));
	EXPECT_TRUE(references_fall_to(self->baseline))
		TH_LOG("%d references, %d before", module_references(), self->baseline);
}

TEST_HARNESS_MAIN
