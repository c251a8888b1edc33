// SPDX-License-Identifier: GPL-2.0
/*
 * RUST_SHM_IOC_SERVE: the system calls themselves, in a namespace where they are the module's, and what stays as it is elsewhere. All are
 * made by number, and the program is statically linked: no library can come before them.
 *
 * With RUST_SHM_SERVED in the environment all other programs do what they expect of the built-in by such system calls, too.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <asm/shmbuf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "module.h"
#include "shm_backend.h"
#include "user.h"

/* Whether the kernel has System V shared memory of its own. */
static bool has_builtin(void)
{
	errno = 0;
	return syscall(SYS_shmctl, -1, IPC_RMID, NULL) == -1 && errno != ENOSYS;
}

/* How many functions of the kernel for these system calls are probed; -1 where that cannot be told. */
static int probed(void)
{
	FILE *file;
	char line[512];
	int count = 0;

	if (access("/sys/kernel/tracing/enabled_functions", F_OK))
		mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	file = fopen("/sys/kernel/tracing/enabled_functions", "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		count += !!strstr(line, "_sys_shm") || !!strstr(line, "_sys_ipc");
	fclose(file);
	return count;
}

#define UNPRIVILEGED SHM_PARAMETERS "/unprivileged_serve"

/* That of another process. */
static int enter_ipc_namespace(pid_t pid)
{
	char path[64];
	int fd, result;

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	result = setns(fd, CLONE_NEWIPC);
	close(fd);
	return result;
}

FIXTURE(served) {
	bool on;
};

FIXTURE_SETUP(served)
{
	if (!shm_can_serve())
		SKIP(return, "the module serves no system calls on this kernel");
	SHM_ENTER(&shm_rust);
	ASSERT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
	ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
}

/* It ends with the test's namespace. */
FIXTURE_TEARDOWN(served)
{
	shm_write_file(UNPRIVILEGED, "1");
}

/* What the ioctl says. */

TEST_F(served, asks_and_switches)
{
	struct rust_shm_serve arg = { .op = 3 };

	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
	EXPECT_ERRNO(EINVAL, shm_rust_ioctl(RUST_SHM_IOC_SERVE, &arg));
	arg = (struct rust_shm_serve) { .op = RUST_SHM_SERVE_ASK, .flags = 1 };
	EXPECT_ERRNO(EINVAL, shm_rust_ioctl(RUST_SHM_IOC_SERVE, &arg));
}

TEST_F(served, takes_an_administrator)
{
	SHM_CHILD {
		become(_metadata, 1000, 1000, 0);
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
		EXPECT_ERRNO(EPERM, shm_serve(RUST_SHM_SERVE_OFF));
		EXPECT_ERRNO(EPERM, shm_serve(RUST_SHM_SERVE_ON));
	}
	SHM_CHILD {
		become_with(_metadata, 1000, 1000, CAPABILITY(CAP_SYS_ADMIN));
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	}
	/* Root of a user namespace: in an IPC namespace of that, and not in this one. */
	SHM_CHILD {
		enter_user_namespace(_metadata);
		EXPECT_ERRNO(EPERM, shm_serve(RUST_SHM_SERVE_OFF));
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
		EXPECT_LE(0, syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600));
		EXPECT_EQ(1, shm_count(&shm_rust));
	}
}

TEST_F(served, takes_the_machines_administrator_where_the_parameter_says_so)
{
	EXPECT_ERRNO(EINVAL, shm_write_file(UNPRIVILEGED, "2"));
	ASSERT_EQ(0, shm_write_file(UNPRIVILEGED, "0"));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	SHM_CHILD {
		become_with(_metadata, 1000, 1000, CAPABILITY(CAP_SYS_ADMIN));
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	}
	SHM_CHILD {
		int begun[2], done[2];
		char byte = 0;
		pid_t pid;

		ASSERT_EQ(0, pipe(begun));
		ASSERT_EQ(0, pipe(done));
		SHM_FORK(pid) {
			/* The namespace of an ordinary user. */
			enter_user_namespace_of(_metadata, 1000);
			ASSERT_EQ(0, unshare(CLONE_NEWIPC));
			EXPECT_ERRNO(EPERM, shm_serve(RUST_SHM_SERVE_ON));
			EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
			EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
			ASSERT_EQ(1, write(begun[1], &byte, 1));
			ASSERT_EQ(1, read(done[0], &byte, 1));
			/* Another has switched it on; to switch it off is theirs. */
			EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
			EXPECT_ERRNO(EPERM, shm_serve(RUST_SHM_SERVE_ON));
			EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
			_exit(0);
		}
		ASSERT_EQ(1, read(begun[0], &byte, 1));
		EXPECT_EQ(0, enter_ipc_namespace(pid));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
		ASSERT_EQ(1, write(done[1], &byte, 1));
		EXPECT_EQ(0, shm_wait(pid));
	}
	ASSERT_EQ(0, shm_write_file(UNPRIVILEGED, "1"));
	SHM_CHILD {
		enter_user_namespace_of(_metadata, 1000);
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	}
}

TEST_F(served, is_not_switched_under_segments)
{
	int id = syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);

	ASSERT_LE(0, id);
	EXPECT_ERRNO(EBUSY, shm_serve(RUST_SHM_SERVE_OFF));
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	/* Those of the device are no obstacle. */
	id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	EXPECT_EQ(id, syscall(SYS_shmget, SHM_KEY, 0, 0));
	EXPECT_EQ(0, shm_rust.rmid(id));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	if (!has_builtin())
		return;
	id = syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	EXPECT_EQ(0, shm_count(&shm_rust));
	EXPECT_ERRNO(EBUSY, shm_serve(RUST_SHM_SERVE_ON));
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
	EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
}

/* Switches it on as often as it says; whether each time was EBUSY. */
static void *switch_on_in_vain(void *arg)
{
	long times = (long)arg;

	while (times && shm_serve(RUST_SHM_SERVE_ON) == -1 && errno == EBUSY)
		times--;
	return (void *)times;
}

static void *switch_on(void *arg)
{
	(void)arg;
	return (void *)(long)shm_serve(RUST_SHM_SERVE_ON);
}

/* Who comes second does not hear of a success that the first may still miss. */
TEST_F(served, is_on_for_nobody_before_that_is_sure)
{
	pthread_t threads[3];
	int id, i, seen = 0;
	void *left;

	if (shm_serve(RUST_SHM_SERVE_OFF) || !has_builtin())
		SKIP(return, "a kernel without System V shared memory has no segments of its own");
	id = syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, switch_on_in_vain, (void *)5));
	for (i = 0; i < 100; i++) {
		seen += shm_serve(RUST_SHM_SERVE_ASK);
		usleep(1000);
	}
	EXPECT_EQ(0, seen);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &left));
		EXPECT_EQ(NULL, left);
	}
	/* The module's own are no obstacle, and of three at a time each succeeds. */
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, switch_on, NULL));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &left));
		EXPECT_EQ(1, (long)left);
	}
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
}

/* With a segment of the module's, it cannot be switched off: neither while it is being switched on, which takes a while. */
TEST_F(served, is_not_switched_off_on_its_way)
{
	pthread_t thread;
	void *result;
	int id, i, off;

	id = shm_rust.get(IPC_PRIVATE, 4096, 0600);
	ASSERT_LE(0, id);
	EXPECT_ERRNO(EBUSY, shm_serve(RUST_SHM_SERVE_OFF));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, shm_rust.rmid(id));
		ASSERT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
		id = shm_rust.get(IPC_PRIVATE, 4096, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, pthread_create(&thread, NULL, switch_on, NULL));
		while (!(off = shm_serve(RUST_SHM_SERVE_OFF)))
			sched_yield();
		EXPECT_EQ(EBUSY, errno);
		ASSERT_EQ(0, pthread_join(thread, &result));
		EXPECT_EQ(1, (long)result);
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
	}
	ASSERT_EQ(0, shm_rust.rmid(id));
}

/* Whose the calls are. */

TEST_F(served, the_calls_are_the_modules)
{
	struct rust_shm_stat stat;
	struct shmid64_ds ds;
	char *memory;
	int id;

	id = syscall(SYS_shmget, SHM_KEY, 5000, IPC_CREAT | 0640);
	ASSERT_LE(0, id);
	EXPECT_EQ(id, shm_rust.get(SHM_KEY, 0, 0));
	memory = (char *)syscall(SYS_shmat, id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "here");
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(1, stat.nattch);
	EXPECT_EQ(5000, stat.segsz);
	memset(&ds, 0xff, sizeof(ds));
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_STAT | SHM_STRUCTURES, &ds));
	EXPECT_EQ(SHM_KEY, ds.shm_perm.key);
	EXPECT_EQ(0640, ds.shm_perm.mode);
	EXPECT_EQ(stat.seq & 0xffff, ds.shm_perm.seq);
	EXPECT_EQ(5000, ds.shm_segsz);
	EXPECT_EQ(1, ds.shm_nattch);
	EXPECT_EQ(getpid(), ds.shm_cpid);
	EXPECT_EQ(getpid(), ds.shm_lpid);
	/* A child, with what it inherits. */
	SHM_CHILD {
		EXPECT_STREQ("here", memory);
		EXPECT_EQ(0, syscall(SYS_shmdt, memory));
		EXPECT_ERRNO(EINVAL, syscall(SYS_shmdt, memory));
	}
	EXPECT_EQ(0, syscall(SYS_shmdt, memory));
	EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	EXPECT_ERRNO(EINVAL, syscall(SYS_shmctl, id, IPC_STAT | SHM_STRUCTURES, &ds));
	EXPECT_EQ(0, shm_count(&shm_rust));
	/* Flags that the ioctl does not know are nothing to shmget(2) and shmat(2). */
	id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0x80000000 | 0600);
	ASSERT_LE(0, id);
	memory = (char *)syscall(SYS_shmat, id, NULL, 0x10000000);
	EXPECT_NE(SHM_FAILED, memory);
	EXPECT_ERRNO(EFAULT, syscall(SYS_shmctl, id, IPC_STAT | SHM_STRUCTURES, 8));
	EXPECT_ERRNO(EFAULT, syscall(SYS_shmctl, -1U >> 1, IPC_SET, 8));
	EXPECT_ERRNO(EINVAL, syscall(SYS_shmctl, -1, IPC_SET, 8));
	EXPECT_ERRNO(EINVAL, syscall(SYS_shmctl, id, 77, NULL));
}

TEST_F(served, elsewhere_nothing_is_changed)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), id;

	ASSERT_LE(0, home);
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
		if (has_builtin()) {
			id = syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);
			EXPECT_LE(0, id);
			EXPECT_EQ(0, shm_count(&shm_rust));
			EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
		} else {
			EXPECT_ERRNO(ENOSYS, syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600));
		}
		ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
		EXPECT_LE(0, syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600));
		EXPECT_EQ(1, shm_count(&shm_rust));
	}
}

/* An attach of the built-in's that was made in another namespace goes as it always went. */
TEST_F(served, attaches_of_the_builtin_are_detached)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), id;
	struct shmid64_ds ds;
	char *memory;

	if (shm_serve(RUST_SHM_SERVE_OFF) || !has_builtin())
		SKIP(return, "a kernel without System V shared memory has none of its own");
	ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	id = syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);
	memory = (char *)syscall(SYS_shmat, id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	SHM_CHILD {
		ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
		ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
		EXPECT_EQ(0, syscall(SYS_shmdt, memory));
		EXPECT_ERRNO(EINVAL, syscall(SYS_shmdt, memory));
		EXPECT_ERRNO(EINVAL, syscall(SYS_shmdt, memory + 1));
	}
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_STAT | SHM_STRUCTURES, &ds));
	EXPECT_EQ(1, ds.shm_nattch);
	EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
}

/* Tables for 32-bit programs. */

#if defined(__i386__) || defined(__arm__)
/* As Linux 2.2 had it. */
struct old_shmid_ds {
	int key;
	unsigned short uid, gid, cuid, cgid, mode, seq;
	int segsz, atime, dtime, ctime;
	unsigned short cpid, lpid, nattch, unused;
	uint32_t unused2, unused3;
};
#endif

#ifdef __arm__
TEST_F(served, with_old_structures)
{
	struct rust_shm_stat stat;
	struct old_shmid_ds old;
	int id = syscall(SYS_shmget, SHM_KEY, 5000, IPC_CREAT | 0640);

	ASSERT_LE(0, id);
	memset(&old, 0xff, sizeof(old));
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_STAT, &old));
	EXPECT_EQ(SHM_KEY, old.key);
	EXPECT_EQ(0640, old.mode);
	EXPECT_EQ(5000, old.segsz);
	EXPECT_EQ((unsigned short)getpid(), old.cpid);
	EXPECT_EQ(0, old.unused3);
	old.mode = 0604;
	old.uid = 5;
	old.gid = 6;
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_SET, &old));
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(0604, stat.mode);
	EXPECT_EQ(5, stat.uid);
	EXPECT_EQ(6, stat.gid);
}
#endif

#ifdef __i386__
#define SEMGET 2
#define SHMAT 21
#define SHMDT 22
#define SHMGET 23
#define SHMCTL 24

TEST_F(served, by_ipc)
{
	struct rust_shm_stat stat;
	struct old_shmid_ds old;
	struct shmid64_ds ds;
	unsigned long address = 0;
	int id, info[5];

	id = syscall(SYS_ipc, SHMGET, SHM_KEY, 5000, IPC_CREAT | 0640, NULL, 0);
	ASSERT_LE(0, id);
	EXPECT_EQ(id, shm_rust.get(SHM_KEY, 0, 0));
	EXPECT_ERRNO(EINVAL, syscall(SYS_ipc, 1 << 16 | SHMAT, id, 0, &address, NULL, 0));
	ASSERT_EQ(0, syscall(SYS_ipc, SHMAT, id, 0, &address, NULL, 0));
	strcpy((char *)address, "here");
	EXPECT_ERRNO(EFAULT, syscall(SYS_ipc, SHMAT, id, 0, 4, NULL, 0));
	/* It is attached all the same, as with the built-in. */
	EXPECT_EQ(2, shm_nattch(&shm_rust, id));
	memset(&old, 0xff, sizeof(old));
	ASSERT_EQ(0, syscall(SYS_ipc, SHMCTL, id, IPC_STAT, 0, &old, 0));
	EXPECT_EQ(SHM_KEY, old.key);
	EXPECT_EQ(0640, old.mode);
	EXPECT_EQ(5000, old.segsz);
	EXPECT_EQ(2, old.nattch);
	EXPECT_EQ((unsigned short)getpid(), old.cpid);
	EXPECT_EQ(0, old.unused3);
	ASSERT_EQ(0, syscall(SYS_ipc, SHMCTL, id, IPC_STAT | 0x100, 0, &ds, 0));
	EXPECT_EQ(5000, ds.shm_segsz);
	EXPECT_EQ(2, ds.shm_nattch);
	EXPECT_EQ(getpid(), ds.shm_cpid);
	old.mode = 0604;
	old.uid = 5;
	old.gid = 6;
	ASSERT_EQ(0, syscall(SYS_ipc, SHMCTL, id, IPC_SET, 0, &old, 0));
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(0604, stat.mode);
	EXPECT_EQ(5, stat.uid);
	EXPECT_EQ(6, stat.gid);
	/* An id that has no room is the one for those. */
	ASSERT_EQ(0, shm_rust.set(id, 70000, 70001, 0600));
	ASSERT_EQ(0, syscall(SYS_ipc, SHMCTL, id, IPC_STAT, 0, &old, 0));
	EXPECT_EQ(65534, old.uid);
	EXPECT_EQ(65534, old.gid);
	EXPECT_LE(0, syscall(SYS_ipc, SHMCTL, 0, IPC_INFO, 0, info, 0));
	EXPECT_EQ(INT32_MAX, info[0]);
	EXPECT_EQ(1, info[1]);
	EXPECT_EQ(0, syscall(SYS_ipc, SHMDT, 0, 0, 0, address, 0));
	EXPECT_EQ(0, syscall(SYS_ipc, SHMCTL, id, IPC_RMID, 0, NULL, 0));
	/* Semaphores stay the kernel's. */
	id = syscall(SYS_ipc, SEMGET, IPC_PRIVATE, 1, 0600, NULL, 0);
	if (id < 0) {
		EXPECT_EQ(ENOSYS, errno);
	} else {
		EXPECT_EQ(0, syscall(SYS_semctl, id, 0, IPC_RMID, 0));
	}
}
#endif

/* What comes and goes with it. */

TEST_F(served, the_kernel_is_probed_only_meanwhile)
{
	int others;

	ASSERT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	others = probed();
	if (others < 0)
		SKIP(return, "this kernel does not tell what is probed");
	ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	EXPECT_LE(others + 4, probed());
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	}
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	/* The other namespace ends in its own time. */
	for (int i = 0; i < 500 * (int)shm_slow() && probed() != others; i++)
		usleep(10000);
	EXPECT_EQ(others, probed());
}

TEST_F(served, ends_with_the_namespace)
{
	int references = module_references();

	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
		EXPECT_LE(0, syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600));
		EXPECT_LT(references, module_references());
	}
	EXPECT_EQ(references, module_settles(references));
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
}

/* Others call without end while it is switched. */

static _Atomic bool stop;

struct caller {
	pthread_t thread;
	unsigned long calls, served;
	int error;	/* of a call that may not fail, and where */
	int line;
};

#define MUST(condition) do { \
	if (!(condition)) { \
		me->error = errno ? errno : -1; \
		me->line = __LINE__; \
		return NULL; \
	} \
} while (0)

/* A segment that is made is the maker's until it is removed, whoever has it. */
static void *call_without_end(void *arg)
{
	struct caller *me = arg;
	struct shmid64_ds ds;
	struct rust_shm_stat stat;

	while (!stop) {
		void *memory;
		int id;

		errno = 0;
		id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);
		if (id < 0 && errno == ENOSYS)
			continue;
		MUST(id >= 0);
		memory = (void *)syscall(SYS_shmat, id, NULL, 0);
		MUST(memory != SHM_FAILED);
		*(volatile char *)memory = 1;
		MUST(!syscall(SYS_shmctl, id, IPC_STAT | SHM_STRUCTURES, &ds));
		MUST(ds.shm_nattch == 1);
		me->served += !shm_rust.stat(id, &stat);
		errno = 0;
		MUST(!syscall(SYS_shmdt, memory));
		MUST(!syscall(SYS_shmctl, id, IPC_RMID, NULL));
		me->calls++;
		/* It is switched off only where nobody has a segment. */
		usleep(rand() % 50000);
	}
	return NULL;
}

TEST_F(served, is_switched_while_others_call)
{
	struct caller callers[3] = {};
	bool is_on = true;
	int i, switched = 0;
	double end = shm_now() + 20 * shm_slow();

	stop = false;
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&callers[i].thread, NULL, call_without_end, &callers[i]));
	while (switched < 20 && shm_now() < end) {
		int result = shm_serve(is_on ? RUST_SHM_SERVE_OFF : RUST_SHM_SERVE_ON);

		ASSERT_TRUE(result == !is_on || (result == -1 && errno == EBUSY));
		if (result >= 0) {
			is_on = result;
			switched++;
		}
	}
	stop = true;
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pthread_join(callers[i].thread, NULL));
		EXPECT_EQ(0, callers[i].line)
			TH_LOG("caller %d, line %d: %s, after %lu rounds", i, callers[i].line,
			       strerror(callers[i].error), callers[i].calls);
	}
	EXPECT_LT(4, switched);
	/* Nobody has anything now. */
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
	EXPECT_EQ(0, shm_count(&shm_rust));
}

/* The module makes the file where the kernel has none. */
TEST_F(served, is_in_proc_on_a_kernel_without)
{
	char text[512];
	struct stat st;
	FILE *file;
	int id;

	if (!access("/proc/sysvipc/msg", F_OK))
		SKIP(return, "the kernel has a /proc/sysvipc/shm of its own");
	id = syscall(SYS_shmget, SHM_KEY, 5000, IPC_CREAT | 0640);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, stat("/proc/sysvipc/shm", &st));
	EXPECT_EQ(S_IFREG | 0444, st.st_mode);
	file = fopen("/proc/sysvipc/shm", "re");
	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(text, sizeof(text), file));
	EXPECT_NE(NULL, strstr(text, "shmid perms"));
	ASSERT_NE(NULL, fgets(text, sizeof(text), file));
	EXPECT_EQ(SHM_KEY, atoi(text));
	EXPECT_EQ(NULL, fgets(text, sizeof(text), file));
	rewind(file);
	ASSERT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	ASSERT_NE(NULL, fgets(text, sizeof(text), file));
	EXPECT_EQ(NULL, fgets(text, sizeof(text), file));
	fclose(file);
}

TEST_HARNESS_MAIN
