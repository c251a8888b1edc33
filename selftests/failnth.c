// SPDX-License-Identifier: GPL-2.0
/*
 * Every failure, one by one: each call, and each path behind it, is made with /proc/thread-self/fail-nth = 1, 2, 3 ..., until nothing
 * fails any more. The n-th allocation of slab or pages, or copy of user memory, fails then. After each:
 *
 * - a call that fails does so with an errno that the header documents, and tables, counts and contents are what they were;
 * - the same call then works, and can be undone;
 * - in the end nothing is left: segments, references to the module, memory that is committed.
 *
 * The same on the built-in, which shows what is the kernel's own behaviour.
 */
/* needs: fault */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "module.h"
#include "setting.h"
#include "shm_backend.h"
#include "vma.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define DEBUGFS "/sys/kernel/debug"
#define MOST_FAILURES 20000	/* of one call: more is a loop that does not end */
#define TOLERANCE (512 * (long)KIB)	/* of what the rest of the machine commits meanwhile */

struct run;

/* A call, what must be there before it, and how it is undone. Functions return -1 with errno where they fail. */
struct scenario {
	size_t size;			/* of the segment */
	int flags;			/* for get */
	bool segment, attached, touched;/* what is there before */
	int (*also)(struct run *run);	/* and what else is done then */
	long (*call)(struct run *run);
	int (*undo)(struct run *run);	/* what the call has done; none: it is not undone, but all goes */
	int errnos[3];			/* what it may fail with; none: it does not fail */
	int builtin_errnos[2];		/* and on the built-in alone */
	bool partial;			/* a call that fails may have done a part, which the next one finishes */
	bool elsewhere;			/* a child has the failures, and the call says whether it came to one */
};

/* One call that is made, and what is there for it. */
struct run {
	const struct shm_backend *shm;
	const struct scenario *scenario;
	unsigned int n;
	bool hit;
	int id, other, fd;
	char *at;			/* of the segment; of a call that attaches, its result */
	char *attaches[4];		/* all that are to be detached */
	char *room;			/* twice the size where nothing else is, or something that may go */
	pid_t child;
};

/* What a call that fails leaves as it was. */
struct counts {
	unsigned int ids, mode, uid;
	unsigned long long pages, nattch, other_nattch;
	char contents[2];
};

/* Failures: told to the kernel, and whether it came to one. Such a file is a thread's own. */

static int fail_fd = -1;

static int fail_open(void)
{
	static const char *const settings[][2] = {
		{ DEBUGFS "/failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "/failslab/cache-filter", "N" },
		{ DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "/fail_page_alloc/min-order", "0" },
		{ DEBUGFS "/failslab/verbose", NULL },
		{ DEBUGFS "/fail_page_alloc/verbose", NULL },
		{ DEBUGFS "/fail_usercopy/verbose", NULL },
	};
	const char *verbose = getenv("FAILNTH_VERBOSE");	/* 2: where each failure is goes to the kernel's log */
	unsigned int i;

	if (access(settings[0][0], F_OK) && mount("debugfs", DEBUGFS, "debugfs", 0, NULL))
		return -1;
	for (i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (shm_write_file(settings[i][0], settings[i][1] ? settings[i][1] : verbose ? verbose : "0"))
			return -1;
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return fail_fd < 0 ? -1 : 0;
}

static int fail_at(int fd, unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	return pwrite(fd, text, length, 0) == length ? 0 : -1;
}

/* Whether something has failed; from here on nothing does. The copy of the number may be what fails: then nothing else has. */
static bool fail_end(int fd)
{
	char text[16] = "";
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	while (fail_at(fd, 0))
		;
	return length > 0 && !atoi(text);
}

/* What is there before a call, and after it. */

static char *attach(struct run *run, int id, const void *addr, int flags)
{
	char *at = run->shm->attach(id, addr, flags);
	int i = 0;

	if (at == SHM_FAILED)
		return NULL;
	while (run->attaches[i])
		i++;
	run->attaches[i] = at;
	return at;
}

static int detach(struct run *run, char *at)
{
	int i;

	if (run->shm->detach(at))
		return -1;
	for (i = 0; i < 4; i++)
		if (run->attaches[i] == at)
			run->attaches[i] = NULL;
	return 0;
}

static void prepare(struct __test_metadata *_metadata, struct run *run)
{
	const struct scenario *s = run->scenario;

	if (s->segment) {
		run->id = run->shm->get(SHM_KEY, s->size, s->flags | IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, run->id)
			TH_LOG("get: %s", strerror(errno));
	}
	if (s->attached) {
		run->at = attach(run, run->id, NULL, 0);
		ASSERT_NE(NULL, run->at)
			TH_LOG("attach: %s", strerror(errno));
	}
	if (s->touched)
		memset(run->at, 1, s->size);
	if (s->also) {
		ASSERT_LE(0, s->also(run))
			TH_LOG("also: %s", strerror(errno));
	}
}

static void clean(struct __test_metadata *_metadata, struct run *run)
{
	int i;

	for (i = 0; i < 4; i++)
		if (run->attaches[i]) {
			EXPECT_EQ(0, detach(run, run->attaches[i]));
		}
	if (run->room)
		munmap(run->room, 2 * run->scenario->size);
	if (run->fd >= 0)
		close(run->fd);
	shm_remove_all(run->shm);
}

static struct counts count(struct __test_metadata *_metadata, const struct run *run)
{
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	struct counts counts;

	memset(&counts, 0, sizeof(counts));	/* they are compared as bytes */
	EXPECT_LE(0, run->shm->shm_info(&usage));
	counts.ids = usage.used_ids;
	counts.pages = usage.shm_tot;
	if (run->id >= 0 && !run->shm->stat(run->id, &stat)) {
		counts.nattch = stat.nattch;
		counts.mode = stat.mode;
		counts.uid = stat.uid;
	}
	if (run->other >= 0 && !run->shm->stat(run->other, &stat))
		counts.other_nattch = stat.nattch;
	if (run->scenario->touched && run->at && vma_mapped(run->at)) {
		counts.contents[0] = run->at[0];
		counts.contents[1] = run->at[run->scenario->size - 1];
	}
	return counts;
}

/* Whether all is as it was; says what is not. */
static bool same(struct __test_metadata *_metadata, const struct counts *was, const struct counts *is)
{
	if (!memcmp(was, is, sizeof(*was)))
		return true;
	TH_LOG("segments %u, was %u; pages %llu, was %llu; attaches %llu, was %llu; of the other %llu, was %llu; mode %o, was %o; contents %d %d, was %d %d",
	       is->ids, was->ids, is->pages, was->pages, is->nattch, was->nattch, is->other_nattch, was->other_nattch, is->mode,
	       was->mode, is->contents[0], is->contents[1], was->contents[0], was->contents[1]);
	return false;
}

static bool documented(const struct run *run, int error)
{
	const struct scenario *s = run->scenario;
	int i;

	for (i = 0; i < 3; i++)
		if (s->errnos[i] == error)
			return true;
	for (i = 0; i < 2; i++)
		if (s->builtin_errnos[i] == error)
			return run->shm == &shm_builtin;
	return false;
}

static long committed(void)
{
	return proc_bytes("/proc/meminfo", "Committed_AS");
}

/* What is given back may take a moment. */
static long settled(long most)
{
	int i;

	for (i = 0; i < 250 && committed() > most; i++)
		usleep(20000);
	return committed();
}

/* What a failure that is not as it should be is called. */
#define AT(format, ...) TH_LOG("failure %u: " format, n, ##__VA_ARGS__)

/* Makes a call with every failure that it can have. The first time there is none: caches fill. */
static void every_failure(struct __test_metadata *_metadata, const struct shm_backend *shm, const struct scenario *s)
{
	unsigned int n, injected = 0, told = 0;
	int references = module_references();
	long promised = 0;
	bool hit = true;

	for (n = 0; hit && n < MOST_FAILURES && __test_passed(_metadata); n++) {
		struct run run = { .shm = shm, .scenario = s, .n = n, .id = -1, .other = -1, .fd = -1 };
		struct counts before, after;
		long result;
		int error;

		prepare(_metadata, &run);
		before = count(_metadata, &run);
		errno = 0;
		if (!s->elsewhere) {
			ASSERT_EQ(0, fail_at(fail_fd, n));
		}
		result = s->call(&run);
		error = errno;
		hit = !n || (s->elsewhere ? run.hit : fail_end(fail_fd));
		injected += n && hit;
		if (result < 0) {
			told++;
			EXPECT_TRUE(n && hit && documented(&run, error))
				AT("%s", strerror(error));
			after = count(_metadata, &run);
			EXPECT_TRUE(s->partial || same(_metadata, &before, &after))
				AT("%s", strerror(error));
			result = s->call(&run);
			EXPECT_LE(0, result)
				AT("it does not work after that: %s", strerror(errno));
		}
		if (result >= 0 && s->undo) {
			EXPECT_LE(0, s->undo(&run))
				AT("it cannot be undone: %s", strerror(errno));
			after = count(_metadata, &run);
			EXPECT_TRUE(same(_metadata, &before, &after))
				AT("undone");
		}
		clean(_metadata, &run);
		run.id = run.other = -1;
		run.at = NULL;
		after = count(_metadata, &run);
		EXPECT_EQ(0, after.ids)
			AT("%u segments are left", after.ids);
		EXPECT_EQ(references, module_settles(references))
			AT("something of the module is left");
		if (!n)
			promised = committed();
	}
	EXPECT_LT(n, MOST_FAILURES);
	promised += TOLERANCE;
	EXPECT_GE(promised, settled(promised))
		TH_LOG("memory is committed still");
	ksft_print_msg("%u failures injected, %u of them told\n", injected, told);
}

FIXTURE(failnth) {
	const struct shm_backend *shm;
};

SHM_BOTH(failnth)

FIXTURE_SETUP(failnth)
{
	self->shm = variant->shm;
	ASSERT_EQ(0, fail_open())
		TH_LOG("this kernel has no CONFIG_FAULT_INJECTION with all its parts: %s", strerror(errno));
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(failnth)
{
	SHM_LEAVE(self->shm);
}

/* What the module alone has. */
FIXTURE(failnth_module) {
	const struct shm_backend *shm;
};

FIXTURE_SETUP(failnth_module)
{
	self->shm = &shm_rust;
	ASSERT_EQ(0, fail_open());
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(failnth_module)
{
	SHM_LEAVE(self->shm);
}

/* SCENARIO(fixture, name, .field = value, ...) */
#define SCENARIO(fixture, name, ...) \
	TEST_F_TIMEOUT(fixture, name, 250) \
	{ \
		static const struct scenario scenario = { __VA_ARGS__ }; \
		every_failure(_metadata, self->shm, &scenario); \
	}

#define SEGMENT .segment = true
#define ATTACHED SEGMENT, .attached = true
#define TOUCHED ATTACHED, .touched = true
#define MAY_FAIL(...) .errnos = { __VA_ARGS__ }

static int undo_nothing(struct run *run)
{
	(void)run;
	return 0;
}

/* Fork, exit: what the child has of the address space goes again where the rest of it cannot be made. */

static long call_fork(struct run *run)
{
	run->child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!run->child)
		syscall(SYS_exit_group, 0);
	return run->child;
}

static int undo_fork(struct run *run)
{
	return shm_wait(run->child) ? -1 : 0;
}

/* Two more attaches, one of another segment, and the first in three pieces. */
static int also_several_attaches(struct run *run)
{
	run->other = run->shm->get(IPC_PRIVATE, MIB, 0600);
	if (run->other < 0 || !attach(run, run->id, NULL, SHM_RDONLY) || !attach(run, run->other, NULL, 0))
		return -1;
	return mprotect(at(run->at, page_size()), page_size(), PROT_READ);
}

static long call_exit(struct run *run)
{
	siginfo_t info;
	char path[64];
	int fd;

	run->child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!run->child) {
		fd = open("/proc/thread-self/fail-nth", O_RDWR);
		if (fd < 0 || fail_at(fd, run->n))
			abort();
		syscall(SYS_exit_group, 0);
	}
	/* Of a child that has not been waited for, there is the number still. */
	snprintf(path, sizeof(path), "/proc/%d/fail-nth", run->child);
	if (run->child < 0 || waitid(P_PID, run->child, &info, WEXITED | WNOWAIT))
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC);
	run->hit = fail_end(fd);
	close(fd);
	return 0;
}

SCENARIO(failnth, fork, .size = 64 * KIB, TOUCHED, .call = call_fork, .undo = undo_fork, MAY_FAIL(ENOMEM, EAGAIN))
SCENARIO(failnth, fork_with_several_attaches, .size = 64 * KIB, TOUCHED, .also = also_several_attaches, .call = call_fork,
	 .undo = undo_fork, MAY_FAIL(ENOMEM, EAGAIN))
SCENARIO(failnth, exit, .size = 64 * KIB, TOUCHED, .also = also_several_attaches, .call = call_exit, .undo = undo_fork, .elsewhere = true)


/* Get. */

static long call_get(struct run *run)
{
	return run->id = run->shm->get(IPC_PRIVATE, run->scenario->size, run->scenario->flags | 0600);
}

static long call_get_by_key(struct run *run)
{
	return run->id = run->shm->get(SHM_KEY, run->scenario->size, run->scenario->flags | IPC_CREAT | 0600);
}

static int undo_get(struct run *run)
{
	int id = run->id;

	run->id = -1;
	return run->shm->rmid(id);
}

/* shmget(2) says that there is no room where there is no memory for an inode. */
#define GET(...) .call = call_get, .undo = undo_get, MAY_FAIL(ENOMEM, EFAULT), .builtin_errnos = { ENOSPC }, __VA_ARGS__

SCENARIO(failnth, get, GET(.size = 4 * KIB))
SCENARIO(failnth, get_large, GET(.size = MIB))
SCENARIO(failnth, get_without_a_reserve, GET(.size = 4 * MIB, .flags = SHM_NORESERVE))
SCENARIO(failnth_module, get_huge, GET(.size = 4 * MIB, .flags = SHM_HUGETLB))
SCENARIO(failnth, get_by_key, .size = 4 * KIB, .call = call_get_by_key, .undo = undo_get, MAY_FAIL(ENOMEM, EFAULT),
	 .builtin_errnos = { ENOSPC })
SCENARIO(failnth, find, SEGMENT, .size = 4 * KIB, .call = call_get_by_key, .undo = undo_nothing, MAY_FAIL(EFAULT))

/* Attach. */

static long attach_there(struct run *run, const void *addr, int flags)
{
	char *at = attach(run, run->id, addr, flags);

	if (!at)
		return -1;
	run->at = at;
	return 0;
}

static long call_attach(struct run *run)
{
	return attach_there(run, NULL, 0);
}

static long call_attach_read_only(struct run *run)
{
	return attach_there(run, NULL, SHM_RDONLY);
}

static long call_attach_over(struct run *run)
{
	return attach_there(run, run->room, SHM_REMAP);
}

static int undo_attach(struct run *run)
{
	char *at = run->at;

	run->at = NULL;
	return detach(run, at);
}

static int also_room(struct run *run)
{
	run->room = mmap(NULL, 2 * run->scenario->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return run->room == MAP_FAILED ? -1 : 0;
}

/* It has its inode, and the module keeps a file. */
static int also_once_attached(struct run *run)
{
	return call_attach(run) ? -1 : undo_attach(run);
}

static int also_locked(struct run *run)
{
	return run->shm->ctl(run->id, SHM_LOCK, NULL);
}

#define ATTACH(...) SEGMENT, .undo = undo_attach, MAY_FAIL(ENOMEM, EFAULT), __VA_ARGS__

SCENARIO(failnth, attach_first, ATTACH(.size = 4 * KIB, .call = call_attach))
SCENARIO(failnth, attach_first_locked, ATTACH(.size = 4 * KIB, .also = also_locked, .call = call_attach))
SCENARIO(failnth, attach_first_of_large, ATTACH(.size = 2 * MIB, .call = call_attach))
SCENARIO(failnth, attach_first_without_a_reserve, ATTACH(.size = 2 * MIB, .flags = SHM_NORESERVE, .call = call_attach))
SCENARIO(failnth, attach_again, ATTACH(.size = 4 * KIB, .also = also_once_attached, .call = call_attach))
SCENARIO(failnth, attach_beside, ATTACH(.size = 4 * KIB, .attached = true, .call = call_attach))
SCENARIO(failnth, attach_read_only, ATTACH(.size = 4 * KIB, .call = call_attach_read_only))
SCENARIO(failnth, attach_over_another_mapping, ATTACH(.size = 64 * KIB, .also = also_room, .call = call_attach_over))
SCENARIO(failnth_module, attach_huge, ATTACH(.size = 4 * MIB, .flags = SHM_HUGETLB, .call = call_attach))

/* Faults: one that fails is repeated, but where the kernel has it. */

static long call_touch(struct run *run)
{
	return write_signal(run->at) || run->at[run->scenario->size - 1] ? -1 : 0;
}

static long call_look(struct run *run)
{
	return read_signal(run->at) ? -1 : 0;
}

static long call_populate(struct run *run)
{
	return madvise(run->at, run->scenario->size, MADV_POPULATE_WRITE);
}

static long call_read_into(struct run *run)
{
	return pread(run->fd, run->at, 4 * KIB, 0) == 4 * KIB ? 0 : -1;
}

static int also_zeros(struct run *run)
{
	run->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return run->fd;
}

SCENARIO(failnth, touch_4_KiB, ATTACHED, .size = 4 * KIB, .call = call_touch, .undo = undo_nothing)
SCENARIO(failnth, touch_64_KiB, ATTACHED, .size = 64 * KIB, .call = call_touch, .undo = undo_nothing)
SCENARIO(failnth, touch_2_MiB, ATTACHED, .size = 2 * MIB, .call = call_touch, .undo = undo_nothing)
SCENARIO(failnth, touch_without_a_reserve, ATTACHED, .size = 2 * MIB, .flags = SHM_NORESERVE, .call = call_touch, .undo = undo_nothing)
SCENARIO(failnth_module, touch_huge, ATTACHED, .size = 4 * MIB, .flags = SHM_HUGETLB, .call = call_touch, .undo = undo_nothing)
SCENARIO(failnth_module, touch_huge_without_a_reserve, ATTACHED, .size = 4 * MIB, .flags = SHM_HUGETLB | SHM_NORESERVE,
	 .call = call_touch, .undo = undo_nothing)
SCENARIO(failnth, look, ATTACHED, .size = 64 * KIB, .call = call_look, .undo = undo_nothing)
SCENARIO(failnth, populate, ATTACHED, .size = 3 * MIB, .call = call_populate, .undo = undo_nothing, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, read_into, ATTACHED, .size = 64 * KIB, .also = also_zeros, .call = call_read_into, .undo = undo_nothing, MAY_FAIL(EFAULT))

/* Detach and removal. */

static long call_detach(struct run *run)
{
	if (detach(run, run->at))
		return -1;
	run->at = NULL;
	return 0;
}

static long call_rmid(struct run *run)
{
	return run->shm->rmid(run->id);
}

static int also_removed(struct run *run)
{
	return call_rmid(run);
}

static int also_in_pieces(struct run *run)
{
	return mprotect(at(run->at, page_size()), page_size(), PROT_READ);
}

static int also_forced(struct run *run)
{
	(void)run;
	return shm_sysctl_write("shm_rmid_forced", 1);
}

#define DETACH(...) TOUCHED, .size = 64 * KIB, .call = call_detach, MAY_FAIL(ENOMEM, EFAULT), __VA_ARGS__

SCENARIO(failnth, detach, DETACH())
SCENARIO(failnth, detach_last_of_removed, DETACH(.also = also_removed))
SCENARIO(failnth, detach_last_where_forced, DETACH(.also = also_forced))
SCENARIO(failnth, detach_in_pieces, DETACH(.also = also_in_pieces, .partial = true))
SCENARIO(failnth, remove, SEGMENT, .size = 4 * KIB, .also = also_once_attached, .call = call_rmid, MAY_FAIL(EFAULT))
SCENARIO(failnth, remove_large, SEGMENT, .size = 2 * MIB, .call = call_rmid, MAY_FAIL(EFAULT))
SCENARIO(failnth, remove_attached, TOUCHED, .size = 4 * KIB, .call = call_rmid, MAY_FAIL(EFAULT))

/* The other commands. */

static long call_lock(struct run *run)
{
	return run->shm->ctl(run->id, SHM_LOCK, NULL);
}

static long call_unlock(struct run *run)
{
	return run->shm->ctl(run->id, SHM_UNLOCK, NULL);
}

static int undo_lock(struct run *run)
{
	return call_unlock(run);
}

static int undo_unlock(struct run *run)
{
	return call_lock(run);
}

static long call_set(struct run *run)
{
	return run->shm->set(run->id, 1, 1, 0600);
}

static int undo_set(struct run *run)
{
	return run->shm->set(run->id, 0, 0, 0600);
}

/* Raw, as the backend reads the built-in's table, too. */
static long ask(struct run *run, int id, int cmd)
{
	char answer[512];

	return run->shm->ctl(id, cmd, answer);
}

static long call_stat(struct run *run)
{
	return ask(run, run->id, IPC_STAT);
}

static long call_stat_index(struct run *run)
{
	return ask(run, 0, SHM_STAT);
}

static long call_stat_any(struct run *run)
{
	return ask(run, 0, SHM_STAT_ANY);
}

static long call_ipc_info(struct run *run)
{
	return ask(run, 0, IPC_INFO);
}

static long call_shm_info(struct run *run)
{
	return ask(run, 0, SHM_INFO);
}

static long call_stat_huge(struct run *run)
{
	struct rust_shm_stat stat;

	return shm_rust_stat_huge(run->id, &stat);
}

static long call_version(struct run *run)
{
	struct rust_shm_version version;

	(void)run;
	return shm_rust_ioctl(RUST_SHM_IOC_VERSION, &version);
}

#define ASK(name, which) \
	SCENARIO(which, name, TOUCHED, .size = 64 * KIB, .call = call_##name, .undo = undo_nothing, MAY_FAIL(EFAULT))

ASK(stat, failnth)
ASK(stat_index, failnth)
ASK(stat_any, failnth)
ASK(ipc_info, failnth)
ASK(shm_info, failnth)
ASK(stat_huge, failnth_module)
ASK(version, failnth_module)
SCENARIO(failnth, set, SEGMENT, .size = 4 * KIB, .call = call_set, .undo = undo_set, MAY_FAIL(EFAULT))
SCENARIO(failnth, lock, TOUCHED, .size = 64 * KIB, .call = call_lock, .undo = undo_lock, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, unlock, TOUCHED, .size = 64 * KIB, .also = also_locked, .call = call_unlock, .undo = undo_unlock, MAY_FAIL(EFAULT))

/* Files: the table, the report, the device itself, a parameter. */

/* Opens it and reads it all: what comes is whole lines, the last of which is that of the newest segment. */
static long read_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	ssize_t length = 0, part = 0;

	if (fd < 0)
		return -1;
	do {
		length += part;
		part = read(fd, text + length, sizeof(text) - length);
	} while (part > 0);
	if (part < 0)
		error = errno;
	else if (!length || text[length - 1] != '\n')
		error = EBADMSG;
	close(fd);
	errno = error;
	return error ? -1 : 0;
}

static long call_table(struct run *run)
{
	return read_file(run->shm->table);
}

static long call_segments(struct run *run)
{
	(void)run;
	return read_file(DEBUGFS "/rust_shm/segments");
}

static long call_namespaces(struct run *run)
{
	(void)run;
	return read_file(DEBUGFS "/rust_shm/namespaces");
}

static long call_open(struct run *run)
{
	return run->fd = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC);
}

static int undo_open(struct run *run)
{
	int fd = run->fd;

	run->fd = -1;
	return close(fd);
}

static long call_parameter(struct run *run)
{
	(void)run;
	return shm_write_file(SHM_PARAMETERS "/huge", "within_size");
}

SCENARIO(failnth, table, TOUCHED, .size = 64 * KIB, .call = call_table, .undo = undo_nothing, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, report_of_segments, TOUCHED, .size = 64 * KIB, .call = call_segments, .undo = undo_nothing, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, report_of_namespaces, TOUCHED, .size = 64 * KIB, .call = call_namespaces, .undo = undo_nothing,
	 MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, open, .call = call_open, .undo = undo_open, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, parameter, .call = call_parameter, .undo = undo_nothing, MAY_FAIL(ENOMEM, EFAULT))

/* What a process does with its attaches. A part of a mapping may have been cut off before a failure. */

static long call_policy(struct run *run)
{
	unsigned long nodes = 1;

	return syscall(SYS_mbind, run->at, page_size(), MPOL_BIND, &nodes, sizeof(nodes) * 8, 0);
}

static long call_move(struct run *run)
{
	char *moved = mremap(run->at, run->scenario->size, run->scenario->size, MREMAP_MAYMOVE | MREMAP_FIXED, run->room);

	if (moved == MAP_FAILED)
		return -1;
	run->attaches[0] = run->at = moved;
	return 0;
}

static long call_unmap_a_part(struct run *run)
{
	return munmap(at(run->at, page_size()), page_size());
}

static long call_protect_a_part(struct run *run)
{
	return mprotect(at(run->at, page_size()), page_size(), PROT_READ);
}

static long call_remap_pages(struct run *run)
{
	return remap_file_pages(run->at, page_size(), 0, 3, 0);
}

static long call_remove_pages(struct run *run)
{
	return madvise(at(run->at, page_size()), page_size(), MADV_REMOVE);
}

static long call_open_mapping(struct run *run)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)run->at,
		 (unsigned long)run->at + (unsigned long)run->scenario->size);
	return run->fd = open(path, O_RDWR | O_CLOEXEC);
}

static int also_open_mapping(struct run *run)
{
	return call_open_mapping(run);
}

static long call_punch(struct run *run)
{
	return fallocate(run->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page_size(), page_size());
}

SCENARIO(failnth, mbind, TOUCHED, .size = 64 * KIB, .call = call_policy, .partial = true, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, mremap, TOUCHED, .size = 64 * KIB, .also = also_room, .call = call_move, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, munmap_a_part, TOUCHED, .size = 64 * KIB, .call = call_unmap_a_part, .partial = true, MAY_FAIL(ENOMEM))
SCENARIO(failnth, mprotect_a_part, TOUCHED, .size = 64 * KIB, .call = call_protect_a_part, .partial = true, MAY_FAIL(ENOMEM))
SCENARIO(failnth, remap_file_pages, TOUCHED, .size = 64 * KIB, .call = call_remap_pages, .partial = true, MAY_FAIL(ENOMEM))
SCENARIO(failnth, madvise_remove, TOUCHED, .size = 2 * MIB, .call = call_remove_pages, .undo = undo_nothing, MAY_FAIL(ENOMEM))
SCENARIO(failnth, open_map_files, TOUCHED, .size = 64 * KIB, .call = call_open_mapping, .undo = undo_open, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, punch, TOUCHED, .size = 2 * MIB, .also = also_open_mapping, .call = call_punch, .undo = undo_nothing, MAY_FAIL(ENOMEM))
SCENARIO(failnth_module, madvise_remove_of_huge, TOUCHED, .size = 4 * MIB, .flags = SHM_HUGETLB, .call = call_remove_pages,
	 .undo = undo_nothing, MAY_FAIL(ENOMEM))

/* Namespaces: one is made, used for the first time, left. What is in it when it ends goes by a work item, which has no failures. */

static int also_here(struct run *run)
{
	return run->fd = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
}

static int also_new_namespace(struct run *run)
{
	return also_here(run) < 0 ? -1 : unshare(CLONE_NEWIPC);
}

static int also_segment_in_a_new_namespace(struct run *run)
{
	return also_new_namespace(run) || run->shm->get(IPC_PRIVATE, MIB, 0600) < 0 ? -1 : 0;
}

static long call_unshare(struct run *run)
{
	(void)run;
	return unshare(CLONE_NEWIPC);
}

static long call_return(struct run *run)
{
	return setns(run->fd, CLONE_NEWIPC);
}

static int undo_unshare(struct run *run)
{
	return call_return(run);
}

static long call_first_get(struct run *run)
{
	return run->shm->get(IPC_PRIVATE, 4 * KIB, 0600);
}

SCENARIO(failnth, unshare, .also = also_here, .call = call_unshare, .undo = undo_unshare, MAY_FAIL(ENOMEM, ENOSPC))
SCENARIO(failnth, first_get_in_a_namespace, .also = also_new_namespace, .call = call_first_get, MAY_FAIL(ENOMEM, EFAULT),
	 .builtin_errnos = { ENOSPC })
SCENARIO(failnth, leave_a_namespace, .also = also_segment_in_a_new_namespace, .call = call_return, MAY_FAIL(ENOMEM))

/* Load: what fails leaves nothing, and the module can be loaded after it. */

FIXTURE(failnth_load) {
	int fd;
};

FIXTURE_SETUP(failnth_load)
{
	char bytes[65536];
	ssize_t length;
	int from;

	ASSERT_EQ(0, fail_open());
	ASSERT_NE(NULL, getenv("RUST_SHM_KO"))
		TH_LOG("RUST_SHM_KO does not say where the module is");
	/* From memory: the file system that it is on has failures, too. */
	from = open(getenv("RUST_SHM_KO"), O_RDONLY | O_CLOEXEC);
	self->fd = syscall(SYS_memfd_create, "rust_shm.ko", 1U);
	while ((length = read(from, bytes, sizeof(bytes))) > 0)
		ASSERT_EQ(length, write(self->fd, bytes, length));
	close(from);
	ASSERT_EQ(0, module_settles(0))
		TH_LOG("somebody uses the module already");
	ASSERT_EQ(0, module_unload());
}

FIXTURE_TEARDOWN_PARENT(failnth_load)
{
	struct stat st;

	if (module_references() < 0)
		EXPECT_EQ(0, module_load());
	EXPECT_TRUE(device_appears(&st));
}

TEST_F_TIMEOUT(failnth_load, load, 290)
{
	unsigned int n, told = 0;
	char path[64];
	bool hit = true;
	int result;

	/* A file that is open for writing is no module. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	self->fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	for (n = 1; hit && n < MOST_FAILURES && __test_passed(_metadata); n++) {
		ASSERT_EQ(0, fail_at(fail_fd, n));
		result = syscall(SYS_finit_module, self->fd, "", 0);
		hit = fail_end(fail_fd);
		if (result) {
			told++;
			EXPECT_TRUE(hit && (errno == ENOMEM || errno == EFAULT))
				AT("%s", strerror(errno));
			EXPECT_EQ(-1, module_references());
			EXPECT_NE(0, access(DEBUGFS "/rust_shm", F_OK));
		} else {
			EXPECT_EQ(0, module_unload_soon())
				AT("%s", strerror(errno));
		}
	}
	EXPECT_LT(n, MOST_FAILURES);
	ksft_print_msg("%u failures injected, %u of them told\n", n - 2, told);
	EXPECT_EQ(0, syscall(SYS_finit_module, self->fd, "", 0));
}

TEST_HARNESS_MAIN
