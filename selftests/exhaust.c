// SPDX-License-Identifier: GPL-2.0
/*
 * Exhaustion: a user without privileges, root in a user namespace of its own, makes as much of one kind as the memory cgroup allows. What
 * that takes is charged to the cgroup, the machine keeps the rest, and all of it is freed when the user's process ends. Every test runs on
 * the built-in and on the module; RUST_SHM_EXHAUST_MIB is memory.max.
 */
#include "kselftest_harness.h"

#include <glob.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "shm_backend.h"
#include "module.h"
#include "swap.h"
#include "user.h"
#include "vma.h"

#define NOBODY 65534

/* What else the machine may take meanwhile. */
#define SLACK (4 * (long)MIB)

struct kind {
	/* Makes the next object. Returns 0, or an errno. */
	int (*make)(const struct shm_backend *shm, unsigned long number);
	/* How it may end, other than by the cgroup's OOM killer. */
	int errors[2];
	/*
	 * What may be used without being charged, in percent of what is charged. The kernel does not charge the cgroup pointers of charged
	 * objects: 16 bytes for one of 64, say.
	 */
	unsigned int uncharged;
};

/* A kernel that looks for leaks has a record of each object, and KASAN keeps freed objects for a while: neither is charged. */
static bool memory_is_plain(void)
{
	return access("/sys/kernel/debug/kmemleak", F_OK);
}

static long may_be_used(const struct kind *kind, long charged)
{
	return memory_is_plain() ? charged + charged / 100 * kind->uncharged + SLACK : LONG_MAX;
}

FIXTURE(exhaust) {
	const struct shm_backend *shm;
	struct cgroup cgroup;
	long max;
	int references;
	bool rcu_is_normal;
};

/*
 * With CONFIG_PREEMPT_RT a namespace takes three grace periods to end, one for each rhashtable (irq_work_sync()), and none is expedited:
 * thousands of namespaces, one after the other, take minutes.
 */
#define RCU_NORMAL "/sys/kernel/rcu_normal"
#define RCU_EXPEDITED "/sys/kernel/rcu_expedited"

SHM_BOTH(exhaust)

FIXTURE_SETUP(exhaust)
{
	const char *mib = getenv("RUST_SHM_EXHAUST_MIB");

	SHM_NEEDS_NAMESPACE("ipc");
	SHM_NEEDS_NAMESPACE("user");
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->max = (mib ? atol(mib) : 64) * (long)MIB;
	self->references = module_references();
	ASSERT_EQ(0, cgroup_make(&self->cgroup, self->max));
	self->rcu_is_normal = number_at(RCU_NORMAL, NULL) == 1;
	ASSERT_EQ(0, shm_write_file(RCU_NORMAL, "0"));
	ASSERT_EQ(0, shm_write_file(RCU_EXPEDITED, "1"));
}

FIXTURE_TEARDOWN(exhaust)
{
	SHM_LEAVE(self->shm);
	EXPECT_EQ(0, shm_write_file(RCU_EXPEDITED, "0"));
	EXPECT_EQ(0, shm_write_file(RCU_NORMAL, self->rcu_is_normal ? "1" : "0"));
	EXPECT_EQ(0, cgroup_remove(&self->cgroup));
}

/* A new IPC namespace; the ones before stay, each by a descriptor. */
static int next_namespace(void)
{
	return open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC) < 0 || unshare(CLONE_NEWIPC) ? errno : 0;
}

/* Segments, as many as the limit allows in each of ever more namespaces. */
static int make_segments(const struct shm_backend *shm, unsigned long number)
{
	int error;

	if (shm->get((key_t)(number + 1), 4096, IPC_CREAT | IPC_EXCL | 0600) >= 0)
		return 0;
	if (errno != ENOSPC)
		return errno;
	error = next_namespace();
	return error ? error : make_segments(shm, number);
}

/* Namespaces with a segment. */
static int make_namespaces(const struct shm_backend *shm, unsigned long number)
{
	return shm->get((key_t)(number + 1), 4096, IPC_CREAT | 0600) < 0 ? errno : next_namespace();
}

/* Segments that somebody is attached to, so that each has an inode. */
static int make_attached_segments(const struct shm_backend *shm, unsigned long number)
{
	int error = make_segments(shm, number), id;

	if (error)
		return error;
	id = shm->get((key_t)(number + 1), 0, 0);
	return id < 0 || shm->attach(id, NULL, 0) == SHM_FAILED ? errno : 0;
}

/* Attaches of one segment; children have those of their parents, and add theirs. */
static int make_attaches(const struct shm_backend *shm, unsigned long number)
{
	static int id = -1;
	pid_t pid;

	if (id < 0)
		id = shm->get(IPC_PRIVATE, 4096, 0600);
	if (id < 0)
		return errno;
	if (number % 1000 == 999) {
		pid = fork();
		if (pid < 0)
			return errno;
		if (!pid)
			for (;;)
				pause();
	}
	return shm->attach(id, NULL, number % 2 ? SHM_RDONLY : 0) == SHM_FAILED ? errno : 0;
}

/* Open files that list the segments, each in the middle of a line. */
static int make_readers_of_the_table(const struct shm_backend *shm, unsigned long number)
{
	char byte;
	int fd;

	if (!number && shm->get(IPC_PRIVATE, 4096, 0600) < 0)
		return errno;
	fd = open(shm->table, O_RDONLY | O_CLOEXEC);
	return fd < 0 || read(fd, &byte, 1) != 1 ? errno : 0;
}

static _Noreturn void consume(const struct shm_backend *shm, const struct cgroup *cgroup, const struct kind *kind)
{
	struct rlimit files = { 500000, 500000 };
	unsigned long number;
	int error = 0;

	if (setrlimit(RLIMIT_NOFILE, &files) || setpgid(0, 0) || cgroup_enter(cgroup))
		_exit(255);
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		_exit(254);
	if (unshare(CLONE_NEWUSER | CLONE_NEWIPC))
		_exit(253);
	shm_rust_use_fd(-1);
	for (number = 0; !error; number++)
		error = kind->make(shm, number);
	/* The end: with all that there is, the process waits to be looked at. */
	raise(SIGSTOP);
	_exit(error < 250 ? error : 252);
}

/* What the kernel has for itself and for the pages of processes. (MemFree says less: it lacks what CPUs keep on lists of free pages.) */
static long used_memory(void)
{
	static const char *const names[] = { "Slab", "KernelStack", "PageTables", "Percpu", "AnonPages", "Shmem" };
	long used = 0;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		used += meminfo(names[i]);
	return used;
}

/* The same, without slabs that are empty. With KASAN, which looks through all freed objects for each kind, that takes half a minute. */
static long settled_memory(void)
{
	glob_t slabs;
	size_t slab;

	if (memory_is_plain() && !glob("/sys/kernel/slab/*/shrink", GLOB_NOSORT, NULL, &slabs)) {
		for (slab = 0; slab < slabs.gl_pathc; slab++)
			shm_write_file(slabs.gl_pathv[slab], "1");
		globfree(&slabs);
	}
	return used_memory();
}

/* References to the module, once they are as many as wanted, or do not become fewer: each namespace with segments has one until it ends. */
static int references_settle(int wanted)
{
	int references, least = INT_MAX;
	unsigned int i;

	for (i = 0; i < 100 * shm_slow() && (references = module_references()) > wanted; i++) {
		if (references < least) {
			least = references;
			i = 0;
		}
		usleep(100000);
	}
	return module_references();
}

/* Waits for the end of what has used memory, and returns how much is not freed, if that can be told. */
static long not_freed(struct __test_metadata *_metadata, FIXTURE_DATA(exhaust) *self, long before)
{
	double begin = shm_now();
	long now, least = LONG_MAX;
	int i;

	/* Namespaces end in a work item, one after the other. That takes its time, but it comes on. */
	for (now = settled_memory() - before, i = 0; i < 100 && memory_is_plain() && now > SLACK; i++) {
		if (now < least - least / 100) {
			least = now;
			i = 0;
		}
		usleep(100000);
		now = settled_memory() - before;
	}
	TH_LOG("%s: %.1f s later, %ld KiB are not freed", self->shm->name, shm_now() - begin, now / 1024);
	if (self->shm == &shm_rust)
		EXPECT_EQ(self->references, references_settle(self->references));
	return memory_is_plain() ? now : 0;
}

/* Runs it to its end, by an error of the kind's or by the cgroup's OOM killer. Returns how much memory is not freed after that. */
static long exhaust_once(struct __test_metadata *_metadata, FIXTURE_DATA(exhaust) *self, const struct kind *kind)
{
	long before, used, now, charged = 0, most = 0, looks = 0;
	int status = 0, kills = -cgroup_read(&self->cgroup, "memory.events", "oom_kill"), i;
	pid_t pid;

	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	before = settled_memory();
	SHM_FORK(pid)
		consume(self->shm, &self->cgroup, kind);
	while (!status) {
		ASSERT_LE(0, waitpid(pid, &status, WNOHANG | WUNTRACED));
		now = cgroup_read(&self->cgroup, "memory.current", NULL);
		used = used_memory() - before;
		/* While the process dies, it is charged for less than what is not freed yet. */
		if (now > charged)
			charged = now;
		if (used > most)
			most = used;
		if (used > may_be_used(kind, charged))
			break;
		looks += charged > self->max / 2;
		usleep(20000);
	}
	EXPECT_LE(used, may_be_used(kind, charged))
		TH_LOG("%ld KiB are used, %ld are charged", used / 1024, charged / 1024);
	kills += cgroup_read(&self->cgroup, "memory.events", "oom_kill");
	TH_LOG("%s: %s; %ld KiB charged, %ld used", self->shm->name, kills ? "killed" : "an error", charged / 1024, most / 1024);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGCONT);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFEXITED(status));
		EXPECT_TRUE(WEXITSTATUS(status) == kind->errors[0] || WEXITSTATUS(status) == kind->errors[1])
			TH_LOG("it ended with %d: %s", WEXITSTATUS(status), strerror(WEXITSTATUS(status)));
		/* It has taken something. */
		EXPECT_LT((long)MIB, charged);
	} else if (status) {
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			TH_LOG("it ended with status %#x", status);
		EXPECT_LT(0, kills);
		EXPECT_LT(0, looks);
	}
	/* Its children too. */
	kill(-pid, SIGKILL);
	if (!status)
		waitpid(pid, &status, 0);
	for (i = 0; i < 500 && cgroup_read(&self->cgroup, "cgroup.events", "populated"); i++)
		usleep(20000);
	return not_freed(_metadata, self, before);
}

/*
 * All is freed. After hundreds of megabytes some slabs are left with one object of somebody else's in each: the next time these are used
 * again, while what leaks is lost once more.
 */
static void exhaust(struct __test_metadata *_metadata, FIXTURE_DATA(exhaust) *self, const struct kind *kind)
{
	if (exhaust_once(_metadata, self, kind) > SLACK)
		EXPECT_GE(SLACK, exhaust_once(_metadata, self, kind))
			system("grep -E '^(Slab|KernelStack|PageTables|Percpu|AnonPages|Shmem):' /proc/meminfo | sed 's/^/# /'");
}

#define TEST_KIND(name, uncharged, ...) \
	TEST_F_TIMEOUT(exhaust, name, 300) \
	{ \
		static const struct kind kind = { make_##name, { __VA_ARGS__ }, uncharged }; \
		exhaust(_metadata, self, &kind); \
	}

TEST_KIND(segments, 25, ENOMEM, ENOSPC)
/* The kernel does not charge most of what a namespace itself is, with the built-in in it or not. */
TEST_KIND(namespaces, 200, ENOMEM, ENOSPC)
TEST_KIND(attached_segments, 25, ENOMEM, ENFILE)
TEST_KIND(attaches, 25, ENOMEM, ENFILE)
TEST_KIND(readers_of_the_table, 25, ENOMEM, ENFILE)

/* Time. */

#define NAMESPACES 6000

/* Makes a segment in each, and ends when it is told to. */
static _Noreturn void create_and_leave(const struct shm_backend *shm, const int *namespaces, int count, struct gate *made, struct gate *leave)
{
	int i;

	for (i = 0; i < count; i++)
		if (setns(namespaces[i], CLONE_NEWIPC) || shm->get(IPC_PRIVATE, 4096, 0600) < 0)
			_exit(1);
	gate_open(made);
	gate_wait(leave);
	_exit(0);
}

/* Wakes up many times a millisecond until a child has ended: the longest time between two. */
static double longest_wait(pid_t child, int *status)
{
	double last = shm_now(), longest = 0, now;

	while (!waitpid(child, status, WNOHANG)) {
		usleep(200);
		now = shm_now();
		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	return longest;
}

/*
 * A thread that ends leaves all namespaces in which it has segments, as many as it likes: others get its CPU meanwhile, if they are more
 * urgent. A machine that is busy may stop an emulated CPU for a while, but not each time.
 */
TEST_F_TIMEOUT(exhaust, others_run_while_a_thread_leaves_its_namespaces, 300)
{
	const struct sched_param urgent = { .sched_priority = 10 }, ordinary = {};
	const struct rlimit files = { NAMESPACES + 100, NAMESPACES + 100 };
	static int namespaces[NAMESPACES];
	struct gate made, leave;
	double begin, longest, total, part = 1;
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), count, i, status;
	long before = settled_memory();
	cpu_set_t cpu;
	pid_t child;

	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	/* As many as a machine of this size allows. */
	for (count = 0; count < NAMESPACES && !unshare(CLONE_NEWIPC); count++) {
		namespaces[count] = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, namespaces[count]);
	}
	ASSERT_LT(1000, count);
	for (i = 0; i < 8 && part >= 0.5; i++) {
		ASSERT_EQ(0, gate_make(&made));
		ASSERT_EQ(0, gate_make(&leave));
		SHM_FORK(child)
			create_and_leave(self->shm, namespaces, count, &made, &leave);
		gate_wait(&made);
		ASSERT_EQ(0, sched_setscheduler(0, SCHED_FIFO, &urgent));
		begin = shm_now();
		gate_open(&leave);
		longest = longest_wait(child, &status);
		total = shm_now() - begin;
		ASSERT_EQ(0, sched_setscheduler(0, SCHED_OTHER, &ordinary));
		EXPECT_EQ(0, status);
		TH_LOG("%s: it ends in %.1f ms, and holds its CPU for %.1f ms", self->shm->name, total * 1000, longest * 1000);
		if (longest / total < part)
			part = longest / total;
		gate_close(&made);
		gate_close(&leave);
	}
	EXPECT_GT(0.5, part);
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	for (i = 0; i < count; i++)
		close(namespaces[i]);
	not_freed(_metadata, self, before);
}

TEST_HARNESS_MAIN
