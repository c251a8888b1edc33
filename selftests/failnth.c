// SPDX-License-Identifier: GPL-2.0
/*
 * Every failure, one by one: each call, and each path behind it, is made with /proc/thread-self/fail-nth = 1, 2, 3 ..., until nothing
 * fails any more. The n-th allocation of slab or pages, or copy of user memory, fails then; where the kernel or the module tries again with
 * what is left, all later allocations of the call, too. After each:
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
#include <sys/ioctl.h>
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
#define DESCRIPTORS 64		/* for which a process has room: NR_OPEN_DEFAULT */
#define TOLERANCE (512 * (long)KIB)	/* of what the rest of the machine commits meanwhile */

struct run;

/* A call, what must be there before it, and how it is undone. Functions return -1 with errno where they fail. */
struct scenario {
	size_t size;			/* of the segment */
	int flags;			/* for get */
	bool segment, attached, touched;/* what is there before */
	long (*also)(struct run *run);	/* and what else is done then */
	long (*call)(struct run *run);
	long (*undo)(struct run *run);	/* what the call has done; none: it is not undone, but all goes */
	int errnos[3];			/* what it may fail with; none: it does not fail */
	int builtin_errnos[3];		/* and on the built-in alone */
	bool partial;			/* a call that fails may have done a part, which the next one finishes */
	bool allocates_nothing;		/* on the module: there is nothing that can fail */
	bool lasting;			/* after the n-th, all allocations fail */
	bool elsewhere;			/* a child has the failures, and the call says whether it came to one */
};

/* One call that is made, and what is there for it. */
struct run {
	const struct shm_backend *shm;
	const struct scenario *scenario;
	unsigned int n;
	bool hit, serves, entered;
	int id, index, other, fd, other_fd;
	char *at;			/* of the segment; of a call that attaches, its result */
	char *attaches[4];		/* all that are to be detached */
	char *room;			/* twice the size where nothing else is, or something that may go */
	pid_t child, thread;
};

/* What a call that fails leaves as it was. */
struct counts {
	unsigned int ids, mode, uid;
	unsigned long long pages, nattch, other_nattch;
	char contents[2];
};

/* Failures: told to the kernel, and whether it came to one. Such a file is a thread's own. */

static int fail_fd = -1, lasting_fd = -1;

static int fail_open(void)
{
	static const char *const settings[][2] = {
		{ DEBUGFS "/failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "/failslab/cache-filter", "N" },
		{ DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "/fail_page_alloc/min-order", "0" },
		/* All of a thread that has make-it-fail. */
		{ DEBUGFS "/failslab/task-filter", "Y" },
		{ DEBUGFS "/fail_page_alloc/task-filter", "Y" },
		{ DEBUGFS "/failslab/probability", "100" },
		{ DEBUGFS "/fail_page_alloc/probability", "100" },
		{ DEBUGFS "/failslab/times", "-1" },
		{ DEBUGFS "/fail_page_alloc/times", "-1" },
		{ DEBUGFS "/failslab/verbose_ratelimit_interval_ms", "0" },
		{ DEBUGFS "/fail_page_alloc/verbose_ratelimit_interval_ms", "0" },
		{ DEBUGFS "/fail_usercopy/verbose_ratelimit_interval_ms", "0" },
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
	lasting_fd = open("/proc/thread-self/make-it-fail", O_WRONLY | O_CLOEXEC);
	/* A page that a fault brings back is no part of a call, and would be tried for ever. */
	return fail_fd < 0 || lasting_fd < 0 || mlockall(MCL_CURRENT) ? -1 : 0;
}

static int fail_at(int fd, unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	return pwrite(fd, text, length, 0) == length ? 0 : -1;
}

/* What this thread does from here on has failures. */
static int begin(const struct scenario *scenario, unsigned int n)
{
	if (scenario->lasting && n && pwrite(lasting_fd, "1", 1, 0) != 1)
		return -1;
	return fail_at(fail_fd, n);
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

static bool end(const struct scenario *scenario)
{
	bool hit = fail_end(fail_fd);

	if (scenario->lasting && pwrite(lasting_fd, "0", 1, 0) != 1)
		abort();
	return hit;
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
	struct rust_shm_usage usage;

	if (s->segment) {
		run->id = run->shm->get(SHM_KEY, s->size, s->flags | IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, run->id)
			TH_LOG("get: %s", strerror(errno));
		run->index = run->shm->shm_info(&usage);
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
	if (run->thread > 0) {
		kill(run->thread, SIGKILL);
		waitpid(run->thread, NULL, 0);
	}
	if (geteuid()) {
		EXPECT_EQ(0, seteuid(0));
		EXPECT_EQ(0, setegid(0));
		EXPECT_EQ(0, shm_write_file("/proc/sys/vm/hugetlb_shm_group", "0"));
	}
	shm_remove_all(run->shm);
	if (run->serves) {
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	}
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

	for (i = 0; error && i < 3; i++)
		if (s->errnos[i] == error || (s->builtin_errnos[i] == error && run->shm == &shm_builtin))
			return true;
	return false;
}

static long committed(void)
{
	return meminfo("Committed_AS");
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

	ASSERT_LE(0, references);

	for (n = 0; hit && n < MOST_FAILURES && __test_passed(_metadata); n++) {
		struct run run = { .shm = shm, .scenario = s, .n = n, .id = -1, .other = -1, .fd = -1 };
		struct counts before, after;
		long result;
		int error;

		prepare(_metadata, &run);
		before = count(_metadata, &run);
		errno = 0;
		if (!s->elsewhere) {
			ASSERT_EQ(0, begin(s, n));
		}
		result = s->call(&run);
		error = errno;
		hit = (s->elsewhere ? run.hit : end(s)) || !n;
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
	/* Or the test sees nothing. */
	if (shm == &shm_rust) {
		EXPECT_EQ(s->allocates_nothing, !injected);
		if (s->lasting) {
			EXPECT_EQ(injected, told);
		}
	}
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
	TEST_F_TIMEOUT(fixture, name, 300) \
	{ \
		static const struct scenario scenario = { __VA_ARGS__ }; \
		every_failure(_metadata, self->shm, &scenario); \
	}

#define SEGMENT .segment = true
#define ATTACHED SEGMENT, .attached = true
#define TOUCHED ATTACHED, .touched = true
#define MAY_FAIL(...) .errnos = { __VA_ARGS__ }

/* A step that is one expression. */
#define STEP(name, ...) \
	static long name(struct run *run) \
	{ \
		(void)run; \
		return __VA_ARGS__; \
	}

STEP(nothing, 0)

/* Fork, exit: what the child has of the address space goes again where the rest of it cannot be made. */

static long fork_child(struct run *run)
{
	run->child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!run->child)
		syscall(SYS_exit_group, 0);
	return run->child;
}

STEP(forced, shm_sysctl_write("shm_rmid_forced", 1))

/* A child is at its end: while it has not been waited for, its number can be read. */
static int child_ends(struct run *run)
{
	siginfo_t info;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", run->child);
	if (run->child < 0 || waitid(P_PID, run->child, &info, WEXITED | WNOWAIT))
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	run->hit = fail_end(fd);
	return close(fd);
}

/* A child that has failures as it exits. It may have made a segment. */
static long fork_child_that_fails(struct run *run)
{
	int fd;

	run->child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!run->child) {
		fd = open("/proc/thread-self/fail-nth", O_RDWR);
		if (run->scenario->also == forced && run->shm->get(IPC_PRIVATE, MIB, 0600) < 0)
			syscall(SYS_exit_group, 2);
		syscall(SYS_exit_group, fd < 0 || fail_at(fd, run->n));
	}
	return child_ends(run);
}

STEP(wait_for_child, shm_wait(run->child) ? -1 : 0)
STEP(in_pieces, mprotect(at(run->at, page_size()), page_size(), PROT_READ))

/* A policy of its own for the first page. */
static long set_policy(struct run *run)
{
	unsigned long nodes = 1;

	return syscall(SYS_mbind, run->at, page_size(), MPOL_BIND, &nodes, sizeof(nodes) * 8, 0);
}

/* Two more attaches, one of another segment, and the first in three pieces. */
static long several_attaches(struct run *run)
{
	run->other = run->shm->get(IPC_PRIVATE, MIB, 0600);
	if (run->other < 0 || !attach(run, run->id, NULL, SHM_RDONLY) || !attach(run, run->other, NULL, 0))
		return -1;
	return in_pieces(run) || set_policy(run) ? -1 : 0;
}

#define FORK(...) TOUCHED, .size = 64 * KIB, .call = fork_child, .undo = wait_for_child, MAY_FAIL(ENOMEM, EAGAIN), __VA_ARGS__

SCENARIO(failnth, fork, FORK())
SCENARIO(failnth, fork_with_several_attaches, FORK(.also = several_attaches))
SCENARIO(failnth_module, fork_with_huge, TOUCHED, .size = 4 * MIB, .flags = SHM_HUGETLB, .call = fork_child, .undo = wait_for_child,
	 MAY_FAIL(ENOMEM, EAGAIN))
SCENARIO(failnth, exit, TOUCHED, .size = 64 * KIB, .also = several_attaches, .call = fork_child_that_fails, .undo = wait_for_child,
	 .elsewhere = true)
SCENARIO(failnth, exit_of_a_creator_where_forced, TOUCHED, .size = 64 * KIB, .also = forced, .call = fork_child_that_fails,
	 .undo = wait_for_child, .elsewhere = true)

/* Get. */

static long rmid_id(struct run *run)
{
	int id = run->id;

	run->id = -1;
	return run->shm->rmid(id);
}

/* A member of vm.hugetlb_shm_group, and no more. */
static long member_of_group(struct run *run)
{
	(void)run;
	return shm_write_file("/proc/sys/vm/hugetlb_shm_group", "1000") || setegid(1000) || seteuid(1000) ? -1 : 0;
}

STEP(next_id, shm_sysctl_write("shm_next_id", 1000))
STEP(get_private, run->id = run->shm->get(IPC_PRIVATE, run->scenario->size, run->scenario->flags | 0600))
STEP(find_by_key, run->shm->get(SHM_KEY, 0, 0600))
STEP(get_by_key, run->id = run->shm->get(SHM_KEY, run->scenario->size, IPC_CREAT | 0600))

/* shmget(2) says that there is no room where there is no memory for an inode. */
#define GET(...) .call = get_private, .undo = rmid_id, MAY_FAIL(ENOMEM, EFAULT), .builtin_errnos = { ENOSPC }, __VA_ARGS__

SCENARIO(failnth, get, GET(.size = 4 * KIB))
SCENARIO(failnth, get_large, GET(.size = MIB))
SCENARIO(failnth, get_without_a_reserve, GET(.size = 4 * MIB, .flags = SHM_NORESERVE))
SCENARIO(failnth_module, get_huge, GET(.size = 4 * MIB, .flags = SHM_HUGETLB))
SCENARIO(failnth_module, get_huge_as_group_member, GET(.size = 4 * MIB, .flags = SHM_HUGETLB, .also = member_of_group))
SCENARIO(failnth_module, get_huge_short_of_memory, GET(.size = 4 * MIB, .flags = SHM_HUGETLB, .lasting = true))
SCENARIO(failnth, get_with_next_id, GET(.size = 4 * KIB, .also = next_id))
SCENARIO(failnth, get_new_by_key, .size = 4 * KIB, .call = get_by_key, .undo = rmid_id, MAY_FAIL(ENOMEM, EFAULT),
	 .builtin_errnos = { ENOSPC })
SCENARIO(failnth, find_by_key, SEGMENT, .size = 4 * KIB, .call = find_by_key, .undo = nothing, MAY_FAIL(EFAULT))

/* Restore: at once, and in two calls. */

static long restore_with(struct run *run, unsigned int flags)
{
	struct rust_shm_restore restore = {
		.id = run->id >= 0 ? run->id : 7, .key = SHM_KEY, .size = run->scenario->size, .mode = 0600, .cpid = 1, .lpid = 0x3ffffe,
		.flags = run->scenario->flags | flags,
	};

	if (!(run->scenario->flags & SHM_HUGETLB))
		restore.mode |= RUST_SHM_MODE_LOCKED;
	return shm_rust_ioctl(RUST_SHM_IOC_RESTORE, &restore);
}

STEP(restore, run->id = restore_with(run, 0))
STEP(restore_open, run->id = restore_with(run, RUST_SHM_RESTORE_OPEN))
STEP(restore_close, restore_with(run, RUST_SHM_RESTORE_CLOSE))

#define RESTORE(...) .call = restore, .undo = rmid_id, MAY_FAIL(ENOMEM, EFAULT), __VA_ARGS__

SCENARIO(failnth_module, restore, RESTORE(.size = 4 * KIB))
SCENARIO(failnth_module, restore_large, RESTORE(.size = 2 * MIB))
SCENARIO(failnth_module, restore_huge, RESTORE(.size = 4 * MIB, .flags = SHM_HUGETLB))
SCENARIO(failnth_module, restore_close, .size = 2 * MIB, .also = restore_open, .call = restore_close, MAY_FAIL(ENOMEM, EFAULT))

/* Attach. */

static long attach_at(struct run *run, const void *addr, int flags)
{
	char *at = attach(run, run->id, addr, flags);

	if (!at)
		return -1;
	run->at = at;
	return 0;
}

STEP(attach_anywhere, attach_at(run, NULL, 0))
STEP(attach_read_only, attach_at(run, NULL, SHM_RDONLY))
STEP(attach_over, attach_at(run, run->room, SHM_REMAP))

static long detach_at(struct run *run)
{
	char *at = run->at;

	run->at = NULL;
	return detach(run, at);
}

static long room(struct run *run)
{
	run->room = mmap(NULL, 2 * run->scenario->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return run->room == MAP_FAILED ? -1 : 0;
}

/* It has its inode then, and the module keeps a file. */
STEP(once_attached, attach_anywhere(run) ? -1 : detach_at(run))
STEP(lock, run->shm->ctl(run->id, SHM_LOCK, NULL))
STEP(unlock, run->shm->ctl(run->id, SHM_UNLOCK, NULL))

#define ATTACH(...) SEGMENT, .call = attach_anywhere, .undo = detach_at, MAY_FAIL(ENOMEM, EFAULT), __VA_ARGS__

SCENARIO(failnth, attach_first, ATTACH(.size = 4 * KIB))
SCENARIO(failnth, attach_first_locked, ATTACH(.size = 4 * KIB, .also = lock))
SCENARIO(failnth, attach_first_of_large, ATTACH(.size = 2 * MIB))
SCENARIO(failnth, attach_first_without_a_reserve, ATTACH(.size = 2 * MIB, .flags = SHM_NORESERVE))
SCENARIO(failnth, attach_again, ATTACH(.size = 4 * KIB, .also = once_attached))
SCENARIO(failnth, attach_beside, ATTACH(.size = 4 * KIB, .attached = true))
SCENARIO(failnth, attach_read_only, SEGMENT, .size = 4 * KIB, .call = attach_read_only, .undo = detach_at, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, attach_over_a_mapping, SEGMENT, .size = 64 * KIB, .also = room, .call = attach_over, .undo = detach_at,
	 MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, attach_huge, ATTACH(.size = 4 * MIB, .flags = SHM_HUGETLB))

/* Faults: one that fails is repeated, but for where the kernel has it. */

STEP(touch, write_signal(run->at) || run->at[run->scenario->size - 1] ? -1 : 0)
STEP(look, read_signal(run->at) ? -1 : 0)
STEP(populate, madvise(run->at, run->scenario->size, MADV_POPULATE_WRITE))
STEP(zeros, run->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC))
STEP(read_into, pread(run->fd, run->at, 4 * KIB, 0) == 4 * KIB ? 0 : -1)

#define TOUCH(...) ATTACHED, .call = touch, .undo = nothing, __VA_ARGS__

SCENARIO(failnth, touch_4_KiB, TOUCH(.size = 4 * KIB))
SCENARIO(failnth, touch_64_KiB, TOUCH(.size = 64 * KIB))
SCENARIO(failnth, touch_2_MiB, TOUCH(.size = 2 * MIB))
SCENARIO(failnth, touch_without_a_reserve, TOUCH(.size = 2 * MIB, .flags = SHM_NORESERVE))
SCENARIO(failnth_module, touch_huge, TOUCH(.size = 4 * MIB, .flags = SHM_HUGETLB))
SCENARIO(failnth_module, touch_huge_without_a_reserve, TOUCH(.size = 4 * MIB, .flags = SHM_HUGETLB | SHM_NORESERVE))
SCENARIO(failnth, look, ATTACHED, .size = 64 * KIB, .call = look, .undo = nothing)
SCENARIO(failnth, populate, ATTACHED, .size = 64 * KIB, .call = populate, .undo = nothing, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, read_into, ATTACHED, .size = 64 * KIB, .also = zeros, .call = read_into, .undo = nothing, MAY_FAIL(EFAULT))

/* Detach and removal. */

STEP(rmid, run->shm->rmid(run->id))

static long detach_for_good(struct run *run)
{
	if (detach(run, run->at))
		return -1;
	run->at = NULL;
	return 0;
}

static int pause_forever(void *unused)
{
	while (1)
		pause();
	return !unused;
}

/* Somebody else is in the address space: the module's detaches wait for each other then. */
static long thread(struct run *run)
{
	static char stack[64 * KIB] __attribute__((aligned(16)));

	return run->thread = clone(pause_forever, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
}

#define DETACH(...) TOUCHED, .size = 64 * KIB, .call = detach_for_good, MAY_FAIL(ENOMEM, EFAULT), __VA_ARGS__
#define REMOVE(...) SEGMENT, .call = rmid, MAY_FAIL(EFAULT), __VA_ARGS__

SCENARIO(failnth, detach, DETACH())
SCENARIO(failnth, detach_last_of_removed, DETACH(.also = rmid))
SCENARIO(failnth, detach_last_where_forced, DETACH(.also = forced))
SCENARIO(failnth, detach_beside_a_thread, DETACH(.also = thread))
SCENARIO(failnth, detach_in_pieces, DETACH(.also = in_pieces, .partial = true))
/* shmdt(2) of the built-in says that it has done it, and the attach stays. */
SCENARIO(failnth_module, detach_short_of_memory, DETACH(.lasting = true))
SCENARIO(failnth_module, detach_in_pieces_short_of_memory, DETACH(.also = in_pieces, .partial = true, .lasting = true))
SCENARIO(failnth, remove, REMOVE(.size = 4 * KIB, .also = once_attached))
SCENARIO(failnth, remove_large, REMOVE(.size = 2 * MIB))
SCENARIO(failnth, remove_attached, REMOVE(.size = 4 * KIB, .attached = true, .touched = true))

/* The other commands; raw, as the backend reads the built-in's table, too. */

static long ask(struct run *run, int id, int cmd)
{
	char answer[512];

	return run->shm->ctl(id, cmd, answer);
}

/* A structure that is larger than the module's. */
static long ask_more(struct run *run, int cmd)
{
	char zeros[512] = "";
	struct rust_shm_ctl ctl = { .id = run->id, .cmd = cmd, .arg = (uintptr_t)zeros, .arg_size = sizeof(zeros) };

	return shm_rust_ioctl(RUST_SHM_IOC_CTL, &ctl);
}

STEP(stat_more, ask_more(run, IPC_STAT))
STEP(set_more, ask_more(run, IPC_SET))
STEP(stat_id, ask(run, run->id, IPC_STAT))
STEP(stat_index, ask(run, run->index, SHM_STAT))
STEP(stat_any, ask(run, run->index, SHM_STAT_ANY))
STEP(ipc_info, ask(run, 0, IPC_INFO))
STEP(shm_info, ask(run, 0, SHM_INFO))
STEP(stat_huge, shm_rust_stat_huge(run->id, &(struct rust_shm_stat) {}))
STEP(version, shm_rust_ioctl(RUST_SHM_IOC_VERSION, &(struct rust_shm_version) {}))
STEP(set_owner, run->shm->set(run->id, 1, 1, 0600))
STEP(set_owner_back, run->shm->set(run->id, 0, 0, 0600))

#define ASK(...) TOUCHED, .size = 64 * KIB, .undo = nothing, MAY_FAIL(EFAULT), .call = __VA_ARGS__

SCENARIO(failnth, stat, ASK(stat_id))
SCENARIO(failnth, stat_index, ASK(stat_index))
SCENARIO(failnth, stat_any, ASK(stat_any))
SCENARIO(failnth, ipc_info, ASK(ipc_info))
SCENARIO(failnth, shm_info, ASK(shm_info))
SCENARIO(failnth_module, stat_huge, ASK(stat_huge))
SCENARIO(failnth_module, stat_more, ASK(stat_more))
SCENARIO(failnth_module, version, ASK(version))
SCENARIO(failnth, set, SEGMENT, .size = 4 * KIB, .call = set_owner, .undo = set_owner_back, MAY_FAIL(EFAULT))
SCENARIO(failnth_module, set_more, SEGMENT, .size = 4 * KIB, .call = set_more, .undo = set_owner_back, MAY_FAIL(EFAULT))
SCENARIO(failnth, lock, TOUCHED, .size = 64 * KIB, .call = lock, .undo = unlock, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, unlock, TOUCHED, .size = 64 * KIB, .also = lock, .call = unlock, .undo = lock, MAY_FAIL(EFAULT))

/* Files: the table, the report, the device itself, a parameter. */

/* Opens it and reads it all: whole lines. */
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

static long close_fd(struct run *run)
{
	int fd = run->fd;

	run->fd = -1;
	return close(fd);
}

STEP(table, read_file(run->shm->table))
STEP(segments, read_file(DEBUGFS "/rust_shm/segments"))
STEP(namespaces, read_file(DEBUGFS "/rust_shm/namespaces"))
STEP(open_device, run->fd = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC))
STEP(write_parameter, shm_write_file(SHM_PARAMETERS "/huge", "within_size"))
STEP(read_parameter, read_file(SHM_PARAMETERS "/huge"))

#define READ(...) TOUCHED, .size = 64 * KIB, .undo = nothing, MAY_FAIL(ENOMEM, EFAULT), .call = __VA_ARGS__

SCENARIO(failnth, table, READ(table))
SCENARIO(failnth_module, report_of_segments, READ(segments))
SCENARIO(failnth_module, report_of_namespaces, READ(namespaces))
SCENARIO(failnth_module, open, .call = open_device, .undo = close_fd, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, parameter_is_read, .call = read_parameter, .undo = nothing, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, parameter, .call = write_parameter, .undo = nothing, MAY_FAIL(ENOMEM, EFAULT))

/* What a process does with its attaches. A part of a mapping may have been cut off before a failure. */

static long move(struct run *run)
{
	char *moved = mremap(run->at, run->scenario->size, run->scenario->size, MREMAP_MAYMOVE | MREMAP_FIXED, run->room);

	if (moved == MAP_FAILED)
		return -1;
	run->attaches[0] = run->at = moved;
	return 0;
}

/* The file of shmem's that root gets there. */
static long open_mapping(struct run *run)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)run->at,
		 (unsigned long)at(run->at, run->scenario->size));
	return run->fd = open(path, O_RDWR | O_CLOEXEC);
}

STEP(unmap_part, munmap(at(run->at, page_size()), page_size()))
STEP(remap_pages, remap_file_pages(at(run->at, page_size()), page_size(), 0, 1, 0))
STEP(remove_pages, madvise(at(run->at, page_size()), page_size(), MADV_REMOVE))
STEP(punch, fallocate(run->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page_size(), page_size()))

#define CUT(...) TOUCHED, .size = 64 * KIB, .partial = true, MAY_FAIL(ENOMEM, EFAULT), .call = __VA_ARGS__

SCENARIO(failnth, mbind, CUT(set_policy))
SCENARIO(failnth, munmap_part, CUT(unmap_part))
SCENARIO(failnth, mprotect_part, CUT(in_pieces))
SCENARIO(failnth, remap_file_pages, CUT(remap_pages))
SCENARIO(failnth, mremap, TOUCHED, .size = 64 * KIB, .also = room, .call = move, MAY_FAIL(ENOMEM))
SCENARIO(failnth, madvise_remove, TOUCHED, .size = 2 * MIB, .call = remove_pages, .undo = nothing, MAY_FAIL(ENOMEM))
SCENARIO(failnth_module, madvise_remove_of_huge, TOUCHED, .size = 4 * MIB, .flags = SHM_HUGETLB, .call = remove_pages,
	 .undo = nothing, .allocates_nothing = true)
SCENARIO(failnth, open_map_files, TOUCHED, .size = 64 * KIB, .call = open_mapping, .undo = close_fd, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth, punch, TOUCHED, .size = 2 * MIB, .also = open_mapping, .call = punch, .undo = nothing, MAY_FAIL(ENOMEM))

/* A descriptor, and what is done by it. The filesystem that it is on is mounted for it. */

static long open_descriptor(struct run *run)
{
	struct rust_shm_fd argument = { .id = run->id, .flags = RUST_SHM_FD_RDWR | RUST_SHM_FD_CLOEXEC };

	return run->fd = shm_rust_ioctl(RUST_SHM_IOC_FD, &argument);
}

/* To be opened again, for writing. */
static long open_again(struct run *run)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", run->fd);
	return run->other_fd = open(path, O_RDWR | O_CLOEXEC);
}

static long close_again(struct run *run)
{
	return close(run->other_fd);
}

static long map_descriptor(struct run *run)
{
	char *mapped = mmap(NULL, run->scenario->size, PROT_READ | PROT_WRITE, MAP_SHARED, run->fd, 0);

	if (mapped == MAP_FAILED)
		return -1;
	run->at = mapped;
	return 0;
}

/* In a child whose table of descriptors is full: it has to grow, each time. */
static long open_descriptor_in_full_table(struct run *run)
{
	int fd, copy, error;

	run->child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!run->child) {
		fd = open("/proc/thread-self/fail-nth", O_RDWR);
		do
			copy = dup(fd);
		while (copy >= 0 && copy != DESCRIPTORS - 1);
		if (copy < 0 || fail_at(fd, run->n))
			syscall(SYS_exit_group, EIO);
		syscall(SYS_exit_group, open_descriptor(run) < 0 ? errno : 0);
	}
	run->n = 0;
	if (child_ends(run))
		return -1;
	error = shm_wait(run->child);
	errno = error;
	return error ? -1 : 0;
}

STEP(unmap_descriptor, munmap(run->at, run->scenario->size))
STEP(allocate_by_descriptor, fallocate(run->fd, 0, 0, run->scenario->size))
STEP(write_by_descriptor, pwrite(run->fd, "x", 1, 0) == 1 ? 0 : -1)
STEP(seal, ioctl(run->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE))
STEP(stat_descriptor, fstat(run->fd, &(struct stat){ 0 }))

#define DESCRIPTOR(...) SEGMENT, .size = 64 * KIB, .also = open_descriptor, __VA_ARGS__
#define ALLOCATE(...) DESCRIPTOR(.call = allocate_by_descriptor, .undo = nothing, MAY_FAIL(ENOMEM), __VA_ARGS__)

SCENARIO(failnth_module, descriptor, SEGMENT, .size = 64 * KIB, .call = open_descriptor, .undo = close_fd, MAY_FAIL(ENOMEM, EFAULT))
SCENARIO(failnth_module, descriptor_again, DESCRIPTOR(.call = open_again, .undo = close_again, MAY_FAIL(ENOMEM, EFAULT)))
SCENARIO(failnth_module, descriptor_mmap, DESCRIPTOR(.call = map_descriptor, .undo = unmap_descriptor, MAY_FAIL(ENOMEM)))
SCENARIO(failnth_module, descriptor_write, DESCRIPTOR(.call = write_by_descriptor, .undo = nothing, MAY_FAIL(ENOMEM, EFAULT)))
SCENARIO(failnth_module, descriptor_fallocate, ALLOCATE())
SCENARIO(failnth_module, descriptor_fallocate_short_of_memory, ALLOCATE(.lasting = true))
SCENARIO(failnth_module, descriptor_in_full_table, SEGMENT, .size = 64 * KIB, .call = open_descriptor_in_full_table, .undo = nothing,
	 MAY_FAIL(ENOMEM, EFAULT), .elsewhere = true)
SCENARIO(failnth_module, descriptor_punch, TOUCHED, .size = 2 * MIB, .also = open_descriptor, .call = punch, .undo = nothing,
	 MAY_FAIL(ENOMEM))
SCENARIO(failnth_module, descriptor_stat, DESCRIPTOR(.call = stat_descriptor, .undo = nothing, MAY_FAIL(EFAULT)))
SCENARIO(failnth_module, descriptor_seal, DESCRIPTOR(.call = seal, .undo = nothing, .allocates_nothing = true))

/* Namespaces: one is made, used for the first time, left. What is in it when it ends goes by a work item, which has no failures. */

STEP(this_namespace, run->fd = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC))
STEP(unshare_ipc, unshare(CLONE_NEWIPC))
STEP(go_back, setns(run->fd, CLONE_NEWIPC))
STEP(new_namespace, this_namespace(run) < 0 ? -1 : unshare_ipc(run))
STEP(new_namespace_and_segment, new_namespace(run) || run->shm->get(IPC_PRIVATE, MIB, 0600) < 0 ? -1 : 0)

STEP(serve_on, shm_serve(RUST_SHM_SERVE_ON) == 1 ? 0 : -1)
STEP(serve_off, shm_serve(RUST_SHM_SERVE_OFF))

/* Much of what it takes is ftrace's, which does not always say that memory is short. To switch it off takes none. */
SCENARIO(failnth_module, serve, .call = serve_on, .undo = serve_off, MAY_FAIL(ENOMEM, EFAULT, EOPNOTSUPP))

SCENARIO(failnth, unshare, .also = this_namespace, .call = unshare_ipc, .undo = go_back, MAY_FAIL(ENOMEM, ENOSPC))
SCENARIO(failnth, leave_a_namespace, .also = new_namespace_and_segment, .call = go_back, MAY_FAIL(ENOMEM))

/* The first call in a namespace, which the module does not know yet: in a new one each time. The same call is made there after a failure. */
static long enter_new(struct run *run, long (*before)(struct run *run))
{
	if (run->entered)
		return before(run);
	run->entered = true;
	end(run->scenario);
	return unshare(CLONE_NEWIPC) || before(run) < 0 ? -1 : begin(run->scenario, run->n);
}

#define FIRST_SCENARIO(name, function, ...) \
	SCENARIO(failnth_module, name, .size = 4 * KIB, .also = this_namespace, .call = function, .undo = forget_and_go_back, \
		 MAY_FAIL(ENOMEM, EFAULT), ##__VA_ARGS__)

/* FIRST(name, what comes before, the right answer if that is an errno, call) */
#define FIRST(name, before, answer, ...) \
	static long name(struct run *run) \
	{ \
		long result; \
		\
		if (enter_new(run, before) < 0) \
			return -1; \
		result = (long)(__VA_ARGS__); \
		return answer && result < 0 && errno == answer ? 0 : result; \
	} \
	FIRST_SCENARIO(name, name)

static long forget_and_go_back(struct run *run)
{
	run->id = -1;
	return go_back(run);
}

FIRST(first_get, nothing, 0, get_private(run))
FIRST(first_get_by_key, nothing, 0, get_by_key(run))
FIRST(first_get_with_next_id, next_id, 0, get_private(run))
FIRST(first_restore, nothing, 0, restore(run))
FIRST_SCENARIO(first_get_by_key_short_of_memory, first_get_by_key, .lasting = true)
FIRST_SCENARIO(first_get_with_next_id_short_of_memory, first_get_with_next_id, .lasting = true)
FIRST_SCENARIO(first_restore_short_of_memory, first_restore, .lasting = true)
FIRST(first_attach, nothing, EINVAL, run->shm->attach(0, NULL, 0))
FIRST(first_descriptor, nothing, EINVAL, shm_rust_ioctl(RUST_SHM_IOC_FD, &(struct rust_shm_fd){ .flags = RUST_SHM_FD_RDWR }))
FIRST(first_stat, nothing, EINVAL, ask(run, 0, IPC_STAT))
FIRST(first_ipc_info, nothing, 0, ipc_info(run))
FIRST(first_shm_info, nothing, 0, shm_info(run))
FIRST(first_set, nothing, EINVAL, run->shm->set(0, 0, 0, 0600))
FIRST(first_lock, nothing, EINVAL, run->shm->ctl(0, SHM_LOCK, NULL))
FIRST(first_remove, nothing, EINVAL, run->shm->rmid(0))

/* By the system calls of a namespace that is served. */

static long serve(struct run *run)
{
	run->serves = true;
	return serve_on(run);
}

static long attach_by_system_call(struct run *run)
{
	char *at = shm_builtin.attach(run->id, NULL, 0);

	if (at == SHM_FAILED)
		return -1;
	run->attaches[0] = run->at = at;
	return 0;
}

STEP(get_by_system_call, run->id = shm_builtin.get(IPC_PRIVATE, run->scenario->size, 0600))

SCENARIO(failnth_module, attach_by_system_call, SEGMENT, .size = 4 * KIB, .also = serve, .call = attach_by_system_call, .undo = detach_at,
	 MAY_FAIL(ENOMEM))
SCENARIO(failnth_module, get_by_system_call, .size = 4 * KIB, .also = serve, .call = get_by_system_call, .undo = rmid_id,
	 MAY_FAIL(ENOMEM))

/* Load: what fails leaves nothing, and the module can be loaded after it. The same for programs of 32 bits, so it is not theirs. */
#ifdef __LP64__

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

/* With the parameter serve=1, the first IPC namespace is served. Where that fails, the module is loaded all the same. */
static void load(struct __test_metadata *_metadata, int memory, const char *parameters)
{
	struct rust_shm_version version;
	unsigned int n, told = 0;
	struct stat st;
	char path[64];
	bool hit = true;
	int result, module;

	/* A file that is open for writing is no module. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	module = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, module);
	for (n = 1; hit && n < MOST_FAILURES && __test_passed(_metadata); n++) {
		ASSERT_EQ(0, fail_at(fail_fd, n));
		result = syscall(SYS_finit_module, module, parameters, 0);
		hit = fail_end(fail_fd);
		if (result) {
			told++;
			EXPECT_TRUE(hit && (errno == ENOMEM || errno == EFAULT))
				AT("%s", strerror(errno));
			EXPECT_EQ(-1, module_references());
			EXPECT_NE(0, access(DEBUGFS "/rust_shm", F_OK));
		} else {
			ASSERT_TRUE(device_appears(&st));
			EXPECT_EQ(0, shm_rust_ioctl(RUST_SHM_IOC_VERSION, &version));
			if (*parameters) {
				EXPECT_TRUE(hit || shm_serve(RUST_SHM_SERVE_ASK) == 1);
				EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
			}
			close_device();
			EXPECT_EQ(0, module_unload_soon())
				AT("%s", strerror(errno));
		}
	}
	EXPECT_LT(n, MOST_FAILURES);
	EXPECT_LT(0, told);
	ksft_print_msg("%u failures injected, %u of them told\n", n - 2, told);
	EXPECT_EQ(0, syscall(SYS_finit_module, module, "", 0));
}

TEST_F_TIMEOUT(failnth_load, load, 600)
{
	load(_metadata, self->fd, "");
}

TEST_F_TIMEOUT(failnth_load, load_that_serves, 600)
{
	int first = open("/proc/1/ns/ipc", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, first);
	ASSERT_EQ(0, setns(first, CLONE_NEWIPC));
	ASSERT_EQ(0, shm_count(&shm_builtin))
		TH_LOG("somebody else has segments there, so it cannot be served");
	load(_metadata, self->fd, "serve=1");
}
#endif

TEST_HARNESS_MAIN
