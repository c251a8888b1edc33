/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One interface, two implementations of System V shared memory: the kernel's own system calls (the oracle) and /dev/rust_shm.
 *
 * A test written against struct shm_backend runs on both, with one set of expectations: that is how the two are compared.
 *
 *	FIXTURE(get) { const struct shm_backend *shm; };
 *	SHM_BOTH(get)
 *	FIXTURE_SETUP(get) { self->shm = variant->shm; SHM_ENTER(self->shm); }
 *	FIXTURE_TEARDOWN(get) { SHM_LEAVE(self->shm); }
 *
 *	TEST_F(get, makes_a_segment) { ASSERT_LE(0, self->shm->get(IPC_PRIVATE, 4096, 0600)); }
 *
 * Every function returns -1 (attach: (void *)-1) and sets errno when it fails, as the system call does. The neutral structures are
 * those of the module's ABI; the built-in's answers are translated into them.
 */
#ifndef SHM_BACKEND_H
#define SHM_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <linux/rust_shm.h>

/* glibc hides it behind a version check. */
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

#define SHM_FAILED ((void *)-1)

/* An address that no program can map. A 32-bit program under a 64-bit kernel may have nearly all of its 4 GiB. */
#ifdef __LP64__
#define BEYOND_USER 0xffff800000000000UL
#else
#define BEYOND_USER 0xffffe000UL
#endif

/* A key nobody else is likely to use; each test has an IPC namespace of its own anyway. */
#define SHM_KEY 0x52534d31

struct shm_backend {
	const char *name;

	/* The file whose text lists the segments of the caller's namespace. */
	const char *table;

	/* 0 if it can be used here, or an errno: ENOSYS where the kernel has no SYSVIPC, ENOENT where the module is not loaded. */
	int (*missing)(void);

	int (*get)(key_t key, size_t size, int flags);
	void *(*attach)(int id, const void *addr, int flags);
	int (*detach)(const void *addr);

	/* IPC_STAT, SHM_STAT and SHM_STAT_ANY; the latter two take an index and return the id. rss and swap come from the table on the built-in. */
	int (*stat)(int id, struct rust_shm_stat *stat);
	int (*stat_index)(int index, struct rust_shm_stat *stat);
	int (*stat_any)(int index, struct rust_shm_stat *stat);

	/* IPC_SET: mode is passed on as it is, with bits above the nine. */
	int (*set)(int id, uid_t uid, gid_t gid, unsigned int mode);
	int (*rmid)(int id);

	/* IPC_INFO and SHM_INFO; both return the highest index in use. */
	int (*ipc_info)(struct rust_shm_limits *limits);
	int (*shm_info)(struct rust_shm_usage *usage);

	/*
	 * shmctl with any command and any pointer. The pointer's structure is the backend's own: struct shmid64_ds and friends, or struct
	 * rust_shm_stat and friends (arg_size is then the right one for cmd; for a command that has none, that of struct rust_shm_stat).
	 */
	int (*ctl)(int id, int cmd, void *arg);
};

extern const struct shm_backend shm_builtin;
extern const struct shm_backend shm_rust;

/* The descriptor the rust_shm backend uses: opened O_RDWR | O_CLOEXEC when first needed, again after a fork in which it was closed. */
int shm_rust_fd(void);

/* From now on, use this descriptor instead (-1: open one when needed). The old one stays open. */
void shm_rust_use_fd(int fd);

/* One line of the table, field by field. */
struct shm_row {
	int key;
	int id;
	unsigned int mode;
	unsigned long long size;
	unsigned int cpid, lpid;
	unsigned long long nattch;
	unsigned int uid, gid, cuid, cgid;
	unsigned long long atime, dtime, ctime;
	unsigned long long rss, swap;
};

/* The line of a segment, by id: 0, or -1 when it is not there. text may be NULL, else holds the line as it stands, with its newline. */
int shm_table_row(const struct shm_backend *shm, int id, struct shm_row *row, char *text, size_t size);

/* The first line of the table, with its newline. */
int shm_table_header(const struct shm_backend *shm, char *text, size_t size);

/*
 * A new IPC namespace for this process; 0, or an errno. Without CONFIG_IPC_NS there is only one, and it is emptied of this backend's
 * segments instead. Where the limits are the module's parameters, they get their defaults.
 */
int shm_new_namespace(const struct shm_backend *shm);

/* Remove all segments the caller's namespace has, whatever is attached. Returns how many there were. */
int shm_remove_all(const struct shm_backend *shm);

/* Number of segments in the caller's namespace, and of attaches of one of them; -1 with errno on error. */
long shm_count(const struct shm_backend *shm);
long shm_nattch(const struct shm_backend *shm, int id);

/*
 * Write a number to, read one from /proc/sys/kernel/NAME; 0 or -1 (shm_sysctl_read: -1 for an error, too). For shmmax, shmall and shmmni
 * it is the module's parameter on a kernel that has no such sysctl, which is one without SYSVIPC.
 */
int shm_sysctl_write(const char *name, unsigned long long value);
unsigned long long shm_sysctl_read(const char *name);

/* Whether that is so. */
bool shm_limits_are_parameters(void);

/* Where the module's parameters are. */
#define SHM_PARAMETERS "/sys/module/rust_shm/parameters"

/* From now on, whoever makes one of the four system calls is killed by SIGSYS: this process and its children. 0, or -1. For root. */
int shm_forbid_builtin(void);

/* RUST_SHM_IOC_SERVE in the caller's namespace. */
int shm_serve(unsigned int op);

/* IPC_64: without it, shmctl(2) of 32-bit arm has the structures of Linux 2.2. Others know only the new ones. */
#ifdef __arm__
#define SHM_STRUCTURES 0x100
#else
#define SHM_STRUCTURES 0
#endif

/* Whether the module can serve system calls on this kernel. */
bool shm_can_serve(void);

/* Whether the kernel is older than a release, as "7.2": for what mm does in another way there. */
bool shm_kernel_before(const char *release);

/* Whether the built-in is the module: RUST_SHM_SERVED is in the environment. See shm_backend.c. */
bool shm_is_served(void);

/* unshare(2); a new IPC namespace is served, too, where that is so. */
int shm_unshare(int flags);

/* Write a string to a file in one write(2); 0 or -1. */
int shm_write_file(const char *path, const char *text);

/* Wait for a child: its exit status, or 256 + the signal that killed it. */
int shm_wait(pid_t pid);

/* As rust_shm's backend does: a raw ioctl on the device. */
int shm_rust_ioctl(unsigned long request, void *arg);

/* IPC_STAT with RUST_SHM_CTL_HUGE, which fills huge too. */
int shm_rust_stat_huge(int id, struct rust_shm_stat *stat);

/* How many times longer than usual things may take here: time limits are multiplied by it. RUST_SHM_SLOW, or 1. */
static inline unsigned int shm_slow(void)
{
	const char *text = getenv("RUST_SHM_SLOW");

	return text && *text ? (unsigned int)atoi(text) : 1;
}

/* Has the kernel transparent huge pages? One with PREEMPT_RT has not. */
static inline bool shm_has_huge(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage", F_OK);
}

/* Whether an id is the first of this IPC namespace. Where the kernel has but one, that was used before, and it may be any. */
static inline bool shm_is_first(int id)
{
	return access("/proc/self/ns/ipc", F_OK) ? id >= 0 : id == 0;
}

/* Has the kernel NUMA policies? */
static inline bool shm_has_numa(void)
{
	return !access("/proc/self/numa_maps", F_OK);
}

/*
 * Whether an ordinary segment can have a folio that a PMD maps. The module gives it none of more than 2 MiB, which pages of 16 KiB or more
 * would make.
 */
static inline bool shm_has_large(void)
{
	return shm_has_huge() && sysconf(_SC_PAGESIZE) == 4096;
}

/* Small pages from here on: a kernel without others has no such advice. */
static inline int shm_small_pages(void *addr, size_t size)
{
	return shm_has_huge() ? madvise(addr, size, MADV_NOHUGEPAGE) : 0;
}

static inline size_t shm_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* What a PMD maps, which is a huge page: 2 MiB with pages of 4 KiB, 32 MiB with pages of 16 KiB. */
#define HUGE_SIZE (shm_page_size() / 8 * shm_page_size())

/* Seconds by the monotonic clock. */
static inline double shm_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* How many bytes of a segment are in memory; -1 with errno on error. */
static inline long shm_rss(const struct shm_backend *shm, int id)
{
	struct rust_shm_stat stat;

	return shm->stat(id, &stat) ? -1 : (long)stat.rss;
}

/* A new private segment of this size, attached at addr. */
static inline char *shm_new_segment(const struct shm_backend *shm, size_t size, void *addr, int *id)
{
	*id = shm->get(IPC_PRIVATE, size, 0600);
	return *id < 0 ? SHM_FAILED : shm->attach(*id, addr, 0);
}

/*
 * For test programs, which include the harness first: let a child do something, and wait for it. Its EXPECT_ and ASSERT_ lines count,
 * and so does its death. Do not leave the block by return or break.
 *
 *	SHM_CHILD {
 *		ASSERT_EQ(0, setuid(1000));
 *		EXPECT_ERRNO(EACCES, self->shm->stat(id, &stat));
 *	}
 */
#ifdef __KSELFTEST_HARNESS_H
/* For a test of huge pages. */
#define SHM_NEEDS_HUGE() \
do { \
	if (!shm_has_huge()) \
		SKIP(return, "this kernel has no transparent huge pages"); \
} while (0)

/* For a test with a namespace of its own: "ipc" (also where the first ids matter), "pid", "user". A kernel may be built without. */
#define SHM_NEEDS_NAMESPACE(name) \
do { \
	if (access("/proc/self/ns/" name, F_OK)) \
		SKIP(return, "this kernel has no " name " namespaces"); \
} while (0)

/* For a test of ordinary segments with large folios. */
#define SHM_NEEDS_LARGE() \
do { \
	if (!shm_has_large()) \
		SKIP(return, "an ordinary segment has single pages on this kernel"); \
} while (0)

static inline pid_t shm_child_begin(struct __test_metadata *_metadata)
{
	pid_t pid = fork();

	EXPECT_LE(0, pid);
	return pid;
}

static inline pid_t shm_child_end(struct __test_metadata *_metadata, pid_t pid)
{
	if (!pid)
		_exit(0);
	EXPECT_EQ(0, shm_wait(pid))
		TH_LOG("the child did not come to its end");
	return -1;
}

/* Whether this is the child now; the test ends where there is none. */
static inline bool shm_is_child(struct __test_metadata *_metadata, pid_t *pid)
{
	*pid = fork();
	ASSERT_LE(0, *pid);
	return !*pid;
}

#define unshare shm_unshare

/* The harness's, with time limits for this machine. */
static inline int shm_harness_run(int argc, char **argv)
{
	struct __fixture_metadata *fixture;
	struct __test_metadata *test;

	for (fixture = __fixture_list; fixture; fixture = fixture->next)
		for (test = fixture->tests; test; test = test->next)
			test->timeout *= shm_slow();
	return test_harness_run(argc, argv);
}

#undef TEST_HARNESS_MAIN
#define TEST_HARNESS_MAIN int main(int argc, char **argv) { return shm_harness_run(argc, argv); }
#endif

#define SHM_CHILD \
	for (pid_t __child = shm_child_begin(_metadata); __child >= 0; __child = shm_child_end(_metadata, __child)) \
		if (!__child)

/* A child that runs beside the test; it must not leave the block, and somebody waits for pid. */
#define SHM_FORK(pid) \
	if (shm_is_child(_metadata, &(pid)))

/* SHM_CHILD, with the body as an argument. */
#define SHM_IN_CHILD(...) do { \
	SHM_CHILD { \
		__VA_ARGS__; \
	} \
} while (0)

/* Declare FIXTURE_VARIANT(fixture) and its two variants. */
#define SHM_BOTH(fixture) \
	FIXTURE_VARIANT(fixture) { const struct shm_backend *shm; }; \
	FIXTURE_VARIANT_ADD(fixture, builtin) { .shm = &shm_builtin }; \
	FIXTURE_VARIANT_ADD(fixture, rust_shm) { .shm = &shm_rust };

/* In FIXTURE_SETUP: skip without the oracle, fail without the module, and enter an IPC namespace of one's own. */
#define SHM_ENTER(backend) do { \
	int __missing = (backend)->missing(); \
	if (__missing == ENOSYS && (backend) == &shm_builtin) \
		SKIP(return, "this kernel has no System V shared memory of its own"); \
	ASSERT_EQ(0, __missing) \
		TH_LOG("%s cannot be used: %s", (backend)->name, strerror(__missing)); \
	ASSERT_EQ(0, shm_new_namespace(backend)); \
} while (0)

/* In FIXTURE_TEARDOWN: leave nothing behind. */
#define SHM_LEAVE(backend) shm_remove_all(backend)

/* The call fails with this errno: ids and results are ints, or an attach's pointer. */
#define EXPECT_ERRNO(expected, call) do { \
	long __result; \
	errno = 0; \
	__result = (long)(call); \
	EXPECT_EQ(-1, __result) \
		TH_LOG("%s did not fail", #call); \
	if (__result == -1) { \
		EXPECT_EQ(expected, errno) \
			TH_LOG("%s: %s", #call, strerror(errno)); \
	} \
} while (0)

#endif /* SHM_BACKEND_H */
