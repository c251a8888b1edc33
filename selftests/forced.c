// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.shm_rmid_forced: no segment outlives both its creator and its last attach. The creator is a task, not a process: a thread that
 * exits counts.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "shm_backend.h"
#include "user.h"
#include "vma.h"

FIXTURE(forced)
{
	const struct shm_backend *shm;
	size_t page;
	int *note;	/* shared with children */
};
SHM_BOTH(forced)

FIXTURE_SETUP(forced)
{
	self->shm = variant->shm;
	self->page = shm_page_size();
	SHM_ENTER(self->shm);
	if (shm_limits_are_parameters())
		SKIP(return, "a kernel without System V shared memory has no kernel.shm_rmid_forced");
	ASSERT_EQ(0, shm_sysctl_read("shm_rmid_forced"))
		TH_LOG("a new namespace starts without it");
	self->note = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->note);
}

FIXTURE_TEARDOWN(forced)
{
	SHM_LEAVE(self->shm);
}

#define FORCE(value) ASSERT_EQ(0, shm_sysctl_write("shm_rmid_forced", value))

/* A child that makes a segment of one page, then waits to be told to exit. */
struct creator {
	pid_t pid;
	int id;
	struct gate made, leave;
};

static struct creator creator_start(struct __test_metadata *_metadata, const struct shm_backend *shm, key_t key, int *note)
{
	struct creator creator;

	EXPECT_EQ(0, gate_make(&creator.made));
	EXPECT_EQ(0, gate_make(&creator.leave));
	SHM_FORK(creator.pid) {
		*note = shm->get(key, shm_page_size(), IPC_CREAT | IPC_EXCL | 0600);
		gate_open(&creator.made);
		gate_wait(&creator.leave);
		_exit(0);
	}
	gate_wait(&creator.made);
	creator.id = *note;
	EXPECT_LE(0, creator.id);
	return creator;
}

static void creator_end(struct __test_metadata *_metadata, struct creator *creator)
{
	gate_open(&creator->leave);
	EXPECT_EQ(0, shm_wait(creator->pid));
	gate_close(&creator->made);
	gate_close(&creator->leave);
}

static bool there(const struct shm_backend *shm, int id)
{
	struct rust_shm_stat stat;

	return shm->stat(id, &stat) == 0;
}

/* The segment is gone, and nothing tells of it. */
#define EXPECT_GONE(id) do { \
	struct rust_shm_stat __stat; \
	struct shm_row __row; \
	EXPECT_ERRNO(EINVAL, self->shm->stat(id, &__stat)); \
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, NULL, 0)); \
	EXPECT_ERRNO(EINVAL, self->shm->rmid(id)); \
	EXPECT_EQ(-1, shm_table_row(self->shm, id, &__row, NULL, 0)); \
} while (0)

#define EXPECT_THERE(id) EXPECT_TRUE(there(self->shm, id))

/* A thread is gone, for good: what it leaves at its exit it has left. */
static void thread_wait(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
	while (!access(path, F_OK))
		usleep(1000);
}

/* The creator's exit. */

TEST_F(forced, without_it_segments_stay)
{
	struct creator creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	void *memory;

	creator_end(_metadata, &creator);
	EXPECT_THERE(creator.id);
	memory = self->shm->attach(creator.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_THERE(creator.id);
	EXPECT_EQ(creator.id, self->shm->get(SHM_KEY, 0, 0));
}

TEST_F(forced, segment_goes_with_its_creator)
{
	struct rust_shm_usage usage;
	struct creator creator;

	FORCE(1);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	EXPECT_THERE(creator.id);
	creator_end(_metadata, &creator);
	EXPECT_GONE(creator.id);
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
	EXPECT_EQ(0, usage.shm_rss);
}

TEST_F(forced, segment_goes_with_a_killed_creator)
{
	struct creator creator;

	FORCE(1);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	ASSERT_EQ(0, kill(creator.pid, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(creator.pid));
	EXPECT_GONE(creator.id);
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
}

TEST_F(forced, a_zombie_has_no_segments)
{
	struct creator creator;
	siginfo_t info;

	FORCE(1);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	gate_open(&creator.leave);
	ASSERT_EQ(0, waitid(P_PID, creator.pid, &info, WEXITED | WNOWAIT));
	EXPECT_GONE(creator.id);
	EXPECT_EQ(0, shm_wait(creator.pid));
}

TEST_F(forced, segments_of_others_stay)
{
	struct creator first, second;
	int mine;

	FORCE(1);
	mine = self->shm->get(IPC_PRIVATE, self->page, 0600);
	ASSERT_LE(0, mine);
	first = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	second = creator_start(_metadata, self->shm, SHM_KEY + 1, self->note);
	creator_end(_metadata, &first);
	EXPECT_GONE(first.id);
	EXPECT_THERE(second.id);
	EXPECT_THERE(mine);
	EXPECT_EQ(second.id, self->shm->get(SHM_KEY + 1, 0, 0));
	creator_end(_metadata, &second);
	EXPECT_GONE(second.id);
	EXPECT_THERE(mine);
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(forced, all_of_many_go)
{
	struct rust_shm_usage usage;
	int i;

	FORCE(1);
	SHM_CHILD {
		for (i = 0; i < 100; i++)
			ASSERT_LE(0, self->shm->get(i % 2 ? IPC_PRIVATE : SHM_KEY + i, (1 + i % 5) * self->page, IPC_CREAT | 0600));
		EXPECT_EQ(100, shm_count(self->shm));
	}
	EXPECT_EQ(0, shm_count(self->shm));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.shm_tot);

	/* Those of a child go at its exit, those of the parent at the parent's. */
	SHM_CHILD {
		for (i = 0; i < 20; i++)
			ASSERT_LE(0, self->shm->get(SHM_KEY + i, self->page, IPC_CREAT | 0600));
		SHM_CHILD {
			for (i = 20; i < 40; i++)
				ASSERT_LE(0, self->shm->get(SHM_KEY + i, self->page, IPC_CREAT | 0600));
		}
		EXPECT_EQ(20, shm_count(self->shm));
	}
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(forced, place_is_free_at_once)
{
	int i;

	FORCE(1);
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 1));
	ASSERT_EQ(0, shm_sysctl_write("shmall", 1));
	for (i = 0; i < 20; i++) {
		SHM_CHILD {
			ASSERT_LE(0, self->shm->get(SHM_KEY, self->page, IPC_CREAT | IPC_EXCL | 0600));
			EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, self->page, 0600));
		}
	}
	EXPECT_LE(0, self->shm->get(SHM_KEY, self->page, IPC_CREAT | IPC_EXCL | 0600));
}

TEST_F(forced, new_owner_makes_no_difference)
{
	struct creator creator;
	int mine;

	FORCE(1);
	mine = self->shm->get(IPC_PRIVATE, self->page, 0600);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	ASSERT_EQ(0, self->shm->set(creator.id, 3001, 3001, 0666));
	ASSERT_EQ(0, self->shm->set(mine, 3001, 3001, 0666));
	creator_end(_metadata, &creator);
	EXPECT_GONE(creator.id);
	SHM_CHILD {
		become(_metadata, 3001, 3001, 0);
		EXPECT_THERE(mine);
	}
	EXPECT_THERE(mine);
}

TEST_F(forced, finding_makes_no_creator)
{
	int id;

	FORCE(1);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	SHM_CHILD {
		EXPECT_EQ(id, self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600));
	}
	EXPECT_THERE(id);
}

TEST_F(forced, a_fork_is_no_creator)
{
	int mine;

	FORCE(1);
	mine = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, mine);
	SHM_CHILD {
		EXPECT_THERE(mine);
	}
	EXPECT_THERE(mine);

	/* And the creator's segment goes though its child lives on. */
	struct gate made, leave;

	ASSERT_EQ(0, gate_make(&made));
	ASSERT_EQ(0, gate_make(&leave));
	SHM_CHILD {
		pid_t child;

		*self->note = self->shm->get(SHM_KEY + 1, self->page, IPC_CREAT | 0600);
		SHM_FORK(child) {
			gate_open(&made);
			gate_wait(&leave);
			_exit(0);
		}
		gate_wait(&made);
	}
	EXPECT_GONE(*self->note);
	gate_open(&leave);
}

/* Attaches. */

TEST_F(forced, attached_segment_stays_until_the_last_detach)
{
	struct rust_shm_stat stat;
	struct creator creator;
	char *first, *second;

	FORCE(1);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	first = self->shm->attach(creator.id, NULL, 0);
	second = self->shm->attach(creator.id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, first);
	ASSERT_NE(SHM_FAILED, second);
	strcpy(first, "kept");
	creator_end(_metadata, &creator);
	ASSERT_EQ(0, self->shm->stat(creator.id, &stat));
	EXPECT_EQ(2, stat.nattch);
	EXPECT_EQ(SHM_KEY, stat.key);
	EXPECT_EQ(0600, stat.mode)
		TH_LOG("it is not marked as removed");
	EXPECT_EQ(creator.id, self->shm->get(SHM_KEY, 0, 0));
	ASSERT_EQ(0, self->shm->detach(first));
	EXPECT_THERE(creator.id);
	EXPECT_STREQ("kept", second);
	first = self->shm->attach(creator.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, first);
	ASSERT_EQ(0, self->shm->detach(second));
	EXPECT_STREQ("kept", first);
	ASSERT_EQ(0, self->shm->detach(first));
	EXPECT_GONE(creator.id);
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(forced, last_detach_ends_it_though_the_creator_lives)
{
	char *memory;
	int id, i;

	FORCE(1);
	id = self->shm->get(SHM_KEY, 4 * self->page, IPC_CREAT | 0600);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memory[0] = 1;
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_GONE(id);
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));

	/* In pieces, by munmap. */
	id = self->shm->get(SHM_KEY, 4 * self->page, IPC_CREAT | 0600);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	for (i = 0; i < 4; i++) {
		EXPECT_THERE(id);
		ASSERT_EQ(0, munmap(memory + i * self->page, self->page));
	}
	EXPECT_GONE(id);

	/* By something else that takes its place. */
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(memory, mmap(memory, self->page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_GONE(id);
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(forced, exit_of_the_last_attacher_ends_it)
{
	int id;

	FORCE(1);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	SHM_CHILD {
		ASSERT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
	}
	EXPECT_GONE(id);
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
}

TEST_F(forced, creator_that_has_it_attached)
{
	int id;

	FORCE(1);
	SHM_CHILD {
		*self->note = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		ASSERT_NE(SHM_FAILED, self->shm->attach(*self->note, NULL, 0));
		ASSERT_NE(SHM_FAILED, self->shm->attach(*self->note, NULL, SHM_RDONLY));
	}
	EXPECT_GONE(*self->note);

	/* An attach that a child has inherited holds it. */
	struct gate made, leave;
	pid_t heir;

	ASSERT_EQ(0, gate_make(&made));
	ASSERT_EQ(0, gate_make(&leave));
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	SHM_CHILD {
		id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		ASSERT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
		self->note[0] = id;
		SHM_FORK(heir) {
			gate_open(&made);
			gate_wait(&leave);
			_exit(0);
		}
		self->note[1] = heir;
		gate_wait(&made);
	}
	EXPECT_EQ(1, shm_nattch(self->shm, self->note[0]));
	gate_open(&leave);
	EXPECT_EQ(0, shm_wait(self->note[1]));
	EXPECT_GONE(self->note[0]);
}

TEST_F(forced, failed_attach_is_a_detach_too)
{
	char *taken = mmap(NULL, self->page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int id;

	ASSERT_NE(MAP_FAILED, taken);
	FORCE(1);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	/* What is refused before the segment is looked at does nothing. */
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, taken + 1, 0));
	EXPECT_THERE(id);
	SHM_CHILD {
		become(_metadata, 3001, 3001, 0);
		EXPECT_ERRNO(EACCES, self->shm->attach(id, NULL, 0));
	}
	EXPECT_THERE(id);
	/* What is refused for its address has been attached for a moment. */
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, taken, 0));
	EXPECT_GONE(id);
}

TEST_F(forced, removal_as_ever)
{
	void *memory;
	int id;

	FORCE(1);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_GONE(id);
	SHM_CHILD {
		*self->note = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		memory = self->shm->attach(*self->note, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		ASSERT_EQ(0, self->shm->rmid(*self->note));
		EXPECT_THERE(*self->note);
		ASSERT_EQ(0, self->shm->rmid(self->shm->get(IPC_PRIVATE, self->page, 0600)));
	}
	EXPECT_GONE(*self->note);
	EXPECT_EQ(0, shm_count(self->shm));
}

/* The switch. */

TEST_F(forced, switching_on_sweeps_orphans)
{
	struct creator dead = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	struct creator living = creator_start(_metadata, self->shm, SHM_KEY + 1, self->note);
	struct creator attached = creator_start(_metadata, self->shm, SHM_KEY + 2, self->note);
	int mine = self->shm->get(IPC_PRIVATE, self->page, 0600);
	char *memory = self->shm->attach(attached.id, NULL, 0);

	ASSERT_LE(0, mine);
	ASSERT_NE(SHM_FAILED, memory);
	creator_end(_metadata, &dead);
	creator_end(_metadata, &attached);
	EXPECT_EQ(4, shm_count(self->shm));
	FORCE(1);
	EXPECT_GONE(dead.id);
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_THERE(living.id);
	EXPECT_THERE(mine);
	EXPECT_EQ(1, shm_nattch(self->shm, attached.id));
	creator_end(_metadata, &living);
	EXPECT_GONE(living.id);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_GONE(attached.id);
	EXPECT_EQ(1, shm_count(self->shm));
	EXPECT_THERE(mine);
}

TEST_F(forced, every_switching_on_sweeps_and_off_does_not)
{
	struct creator creator;
	int i;

	for (i = 0; i < 3; i++) {
		FORCE(0);
		creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
		creator_end(_metadata, &creator);
		EXPECT_THERE(creator.id);
		FORCE(0);
		EXPECT_THERE(creator.id);
		FORCE(1);
		EXPECT_GONE(creator.id);
		FORCE(1);
	}
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(forced, unused_segment_of_a_living_creator_is_no_orphan)
{
	int id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	void *memory = self->shm->attach(id, NULL, 0);

	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->detach(memory));
	FORCE(1);
	EXPECT_THERE(id);
	FORCE(0);
	FORCE(1);
	EXPECT_THERE(id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_GONE(id);
}

TEST_F(forced, switched_off_it_is_over)
{
	struct creator creator;
	void *memory;

	FORCE(1);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	FORCE(0);
	creator_end(_metadata, &creator);
	EXPECT_THERE(creator.id);
	memory = self->shm->attach(creator.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_THERE(creator.id);
	/* An orphan that is attached and detached while it is on again. */
	memory = self->shm->attach(creator.id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	FORCE(1);
	EXPECT_THERE(creator.id);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_GONE(creator.id);
}

/* Threads. */

struct thread {
	const struct shm_backend *shm;
	int id;
	pid_t tid;
	struct gate made, leave;
};

static void *thread_creates(void *arg)
{
	struct thread *thread = arg;

	thread->tid = syscall(SYS_gettid);
	thread->id = thread->shm->get(IPC_PRIVATE, shm_page_size(), 0600);
	gate_open(&thread->made);
	gate_wait(&thread->leave);
	return NULL;
}

static pthread_t thread_start(struct __test_metadata *_metadata, const struct shm_backend *shm, struct thread *thread)
{
	pthread_t id;

	thread->shm = shm;
	EXPECT_EQ(0, gate_make(&thread->made));
	EXPECT_EQ(0, gate_make(&thread->leave));
	EXPECT_EQ(0, pthread_create(&id, NULL, thread_creates, thread));
	gate_wait(&thread->made);
	EXPECT_LE(0, thread->id);
	return id;
}

static void thread_end(struct thread *thread, pthread_t id)
{
	gate_open(&thread->leave);
	pthread_join(id, NULL);
	thread_wait(thread->tid);
}

TEST_F(forced, segment_goes_with_the_thread_that_made_it)
{
	struct thread thread, other;
	pthread_t id, other_id;
	int mine;

	FORCE(1);
	mine = self->shm->get(IPC_PRIVATE, self->page, 0600);
	id = thread_start(_metadata, self->shm, &thread);
	other_id = thread_start(_metadata, self->shm, &other);
	EXPECT_THERE(thread.id);
	thread_end(&thread, id);
	EXPECT_GONE(thread.id);
	EXPECT_THERE(other.id);
	EXPECT_THERE(mine);
	thread_end(&other, other_id);
	EXPECT_GONE(other.id);
	EXPECT_THERE(mine);
}

TEST_F(forced, segment_of_a_thread_that_exited_is_an_orphan)
{
	struct thread thread;
	pthread_t id;

	id = thread_start(_metadata, self->shm, &thread);
	FORCE(1);
	EXPECT_THERE(thread.id);
	FORCE(0);
	thread_end(&thread, id);
	EXPECT_THERE(thread.id);
	FORCE(1);
	EXPECT_GONE(thread.id);
}

struct survivor {
	const struct shm_backend *shm;
	int id;
	pid_t leader;
};

static void *thread_survives(void *arg)
{
	struct survivor *survivor = arg;
	char path[64], line[256];
	bool zombie = false;
	int i;

	/* The first thread stays as a zombie until the process ends. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", survivor->leader);
	for (i = 0; i < 1000 && !zombie; i++) {
		FILE *file = fopen(path, "re");

		zombie = file && fgets(line, sizeof(line), file) && strstr(line, ") Z");
		if (file)
			fclose(file);
		usleep(5000);
	}
	if (!zombie)
		_exit(1);
	_exit(there(survivor->shm, survivor->id) ? 2 : 0);
}

TEST_F(forced, segment_goes_with_the_first_thread_though_others_live)
{
	pid_t child;

	FORCE(1);
	SHM_FORK(child) {
		struct survivor survivor = { .shm = self->shm, .leader = getpid() };
		pthread_t id;

		survivor.id = self->shm->get(IPC_PRIVATE, self->page, 0600);
		if (survivor.id < 0 || pthread_create(&id, NULL, thread_survives, &survivor))
			_exit(3);
		syscall(SYS_exit, 0);
	}
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_EQ(0, shm_count(self->shm));
}

/* Other ways to part. */

/* In a child: become a shell that says "x", and waits for its input to end. */
static void become_a_shell(struct gate *up, struct gate *down)
{
	dup2(up->fd[0], 0);
	dup2(down->fd[1], 1);
	gate_close(up);
	gate_close(down);
	execl("/bin/sh", "sh", "-c", "printf x; read -r line; exit 0", NULL);
	_exit(127);
}

TEST_F(forced, exec_is_no_exit)
{
	struct gate up, down;
	pid_t child;

	FORCE(1);
	ASSERT_EQ(0, gate_make(&up));
	ASSERT_EQ(0, gate_make(&down));
	SHM_FORK(child) {
		self->note[0] = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		self->note[1] = self->shm->get(SHM_KEY + 1, self->page, IPC_CREAT | 0600);
		if (self->shm->attach(self->note[1], NULL, 0) == SHM_FAILED)
			_exit(1);
		become_a_shell(&up, &down);
	}
	gate_wait(&down);
	EXPECT_THERE(self->note[0])
		TH_LOG("it is the same task");
	EXPECT_GONE(self->note[1]);
	ASSERT_EQ(1, write(up.fd[1], "\n", 1));
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_GONE(self->note[0]);
}

struct executor {
	struct gate *up, *down;
};

static void *thread_executes(void *arg)
{
	struct executor *executor = arg;

	become_a_shell(executor->up, executor->down);
	return NULL;
}

TEST_F(forced, exec_by_another_thread_ends_the_creator)
{
	struct gate up, down;
	pid_t child;

	FORCE(1);
	ASSERT_EQ(0, gate_make(&up));
	ASSERT_EQ(0, gate_make(&down));
	SHM_FORK(child) {
		struct executor executor = { &up, &down };
		pthread_t id;

		self->note[0] = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		if (self->note[0] < 0 || pthread_create(&id, NULL, thread_executes, &executor))
			_exit(1);
		for (;;)
			pause();
	}
	gate_wait(&down);
	EXPECT_GONE(self->note[0]);
	ASSERT_EQ(1, write(up.fd[1], "\n", 1));
	EXPECT_EQ(0, shm_wait(child));
}

TEST_F(forced, exec_by_another_thread_makes_an_orphan)
{
	struct gate up, down;
	pid_t child;

	ASSERT_EQ(0, gate_make(&up));
	ASSERT_EQ(0, gate_make(&down));
	SHM_FORK(child) {
		struct executor executor = { &up, &down };
		pthread_t id;

		self->note[0] = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		if (self->note[0] < 0 || pthread_create(&id, NULL, thread_executes, &executor))
			_exit(1);
		for (;;)
			pause();
	}
	gate_wait(&down);
	EXPECT_THERE(self->note[0]);
	/* The thread that has the process's id now is not the one that had it. */
	FORCE(1);
	EXPECT_GONE(self->note[0]);
	ASSERT_EQ(1, write(up.fd[1], "\n", 1));
	EXPECT_EQ(0, shm_wait(child));
}

struct maker {
	const struct shm_backend *shm;
	int *note;
	struct executor executor;
};

static void *thread_makes_and_executes(void *arg)
{
	struct maker *maker = arg;

	*maker->note = maker->shm->get(SHM_KEY, shm_page_size(), IPC_CREAT | 0600);
	return thread_executes(&maker->executor);
}

TEST_F(forced, exec_by_the_thread_that_made_it_is_no_exit)
{
	struct gate up, down;
	pid_t child;

	FORCE(1);
	ASSERT_EQ(0, gate_make(&up));
	ASSERT_EQ(0, gate_make(&down));
	SHM_FORK(child) {
		struct maker maker = { self->shm, self->note, { &up, &down } };
		pthread_t id;

		if (pthread_create(&id, NULL, thread_makes_and_executes, &maker))
			_exit(1);
		for (;;)
			pause();
	}
	gate_wait(&down);
	/* It has another id now, that of the process, but it lives. */
	EXPECT_THERE(self->note[0]);
	ASSERT_EQ(1, write(up.fd[1], "\n", 1));
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_GONE(self->note[0]);
}

TEST_F(forced, unshare_counts_as_exit)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), id;

	ASSERT_LE(0, home);
	FORCE(1);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_GONE(id);
}

TEST_F(forced, unshare_makes_an_orphan)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), id;

	ASSERT_LE(0, home);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
	EXPECT_THERE(id);
	FORCE(1);
	EXPECT_GONE(id);
}

TEST_F(forced, unshare_of_something_else_does_not)
{
	int id;

	FORCE(1);
	id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, unshare(CLONE_NEWUTS | CLONE_FILES | CLONE_NEWNS));
	EXPECT_THERE(id);
}

TEST_F(forced, setns_is_no_exit)
{
	int home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC), away;

	ASSERT_LE(0, home);
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		away = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, away);
		ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
		FORCE(1);
		self->note[0] = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		ASSERT_LE(0, self->note[0]);
		ASSERT_EQ(0, setns(away, CLONE_NEWIPC));
		EXPECT_EQ(0, shm_sysctl_read("shm_rmid_forced"));
		SHM_CHILD {
			ASSERT_EQ(0, setns(home, CLONE_NEWIPC));
			EXPECT_THERE(self->note[0]);
		}
	}
	/* The exit is, wherever the creator is by then. */
	EXPECT_GONE(self->note[0]);
}

TEST_F(forced, other_namespaces_are_not_concerned)
{
	struct gate made, leave;
	struct creator creator;
	pid_t child;

	ASSERT_EQ(0, gate_make(&made));
	ASSERT_EQ(0, gate_make(&leave));
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	creator_end(_metadata, &creator);
	SHM_FORK(child) {
		int id, id_of_child;

		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		id = self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600);
		ASSERT_LE(0, id);
		SHM_CHILD {
			ASSERT_LE(0, self->shm->get(SHM_KEY + 1, self->page, IPC_CREAT | 0600));
		}
		id_of_child = self->shm->get(SHM_KEY + 1, 0, 0);
		gate_open(&made);
		gate_wait(&leave);
		EXPECT_THERE(id);
		EXPECT_THERE(id_of_child);
		FORCE(1);
		EXPECT_THERE(id);
		EXPECT_GONE(id_of_child);
		_exit(0);
	}
	gate_wait(&made);
	EXPECT_THERE(creator.id);
	FORCE(1);
	EXPECT_GONE(creator.id);
	FORCE(0);
	creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
	creator_end(_metadata, &creator);
	gate_open(&leave);
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_THERE(creator.id);
}

/* The creator, or who is attached, is in another namespace by the time. */

/* A child that makes a segment, goes to another namespace, and then waits to be told to exit. */
static struct creator creator_goes_away(struct __test_metadata *_metadata, const struct shm_backend *shm, int *note)
{
	struct creator creator;
	int home, away;

	EXPECT_EQ(0, gate_make(&creator.made));
	EXPECT_EQ(0, gate_make(&creator.leave));
	SHM_FORK(creator.pid) {
		home = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
		if (home < 0 || unshare(CLONE_NEWIPC))
			_exit(1);
		away = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
		if (away < 0 || setns(home, CLONE_NEWIPC))
			_exit(2);
		*note = shm->get(IPC_PRIVATE, shm_page_size(), 0600);
		if (setns(away, CLONE_NEWIPC))
			_exit(3);
		gate_open(&creator.made);
		gate_wait(&creator.leave);
		_exit(0);
	}
	gate_wait(&creator.made);
	creator.id = *note;
	EXPECT_LE(0, creator.id);
	return creator;
}

TEST_F(forced, creator_exits_elsewhere)
{
	struct creator creator;

	FORCE(1);
	creator = creator_goes_away(_metadata, self->shm, self->note);
	EXPECT_THERE(creator.id);
	creator_end(_metadata, &creator);
	EXPECT_GONE(creator.id);
}

TEST_F(forced, creator_exits_elsewhere_before_it_is_switched_on)
{
	struct creator creator = creator_goes_away(_metadata, self->shm, self->note);

	creator_end(_metadata, &creator);
	EXPECT_THERE(creator.id);
	FORCE(1);
	EXPECT_GONE(creator.id);
}

TEST_F(forced, creator_exits_elsewhere_after_it_was_switched_on)
{
	struct creator creator = creator_goes_away(_metadata, self->shm, self->note);

	FORCE(1);
	EXPECT_THERE(creator.id);
	creator_end(_metadata, &creator);
	EXPECT_GONE(creator.id);
}

TEST_F(forced, creator_exits_elsewhere_after_it_was_switched_off)
{
	struct creator creator;

	FORCE(1);
	creator = creator_goes_away(_metadata, self->shm, self->note);
	FORCE(0);
	creator_end(_metadata, &creator);
	EXPECT_THERE(creator.id);
}

/* A child attaches the segment, leaves the namespace, and detaches: by itself, or by its exit. */
static void detach_elsewhere(struct __test_metadata *_metadata, const struct shm_backend *shm, int id, bool by_exit)
{
	SHM_CHILD {
		void *memory = shm->attach(id, NULL, 0);

		ASSERT_NE(SHM_FAILED, memory);
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		if (!by_exit) {
			ASSERT_EQ(0, shm->detach(memory));
		}
	}
}

/* Namespaces in which one thread makes a segment: more than are left at once. */
#define MANY 200

/* Enters ever new namespaces with shm_rmid_forced, and makes a segment in each. */
static void make_everywhere(struct __test_metadata *_metadata, const struct shm_backend *shm, int *namespaces, int *ids)
{
	int i;

	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, setns(namespaces[i], CLONE_NEWIPC));
		ids[i] = shm->get(IPC_PRIVATE, shm_page_size(), 0600);
		ASSERT_LE(0, ids[i]);
	}
}

TEST_F_TIMEOUT(forced, creator_of_segments_in_many_namespaces_leaves, 120)
{
	struct gate left, leave;
	int namespaces[MANY], i, by_exit;
	pid_t child;

	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		FORCE(1);
		namespaces[i] = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, namespaces[i]);
	}
	for (by_exit = 0; by_exit < 2; by_exit++) {
		ASSERT_EQ(0, gate_make(&left));
		ASSERT_EQ(0, gate_make(&leave));
		SHM_FORK(child) {
			make_everywhere(_metadata, self->shm, namespaces, self->note);
			for (i = 0; i < MANY; i++) {
				ASSERT_EQ(0, setns(namespaces[i], CLONE_NEWIPC));
				EXPECT_THERE(self->note[i]);
			}
			if (!by_exit) {
				ASSERT_EQ(0, unshare(CLONE_NEWIPC));
				gate_open(&left);
				gate_wait(&leave);
			}
			_exit(!__test_passed(_metadata));
		}
		/* Here, a zombie's are gone too. */
		if (by_exit) {
			ASSERT_EQ(0, waitid(P_PID, child, &(siginfo_t){}, WEXITED | WNOWAIT));
		} else {
			gate_wait(&left);
		}
		/* In its own, that is decided when it exits. */
		ASSERT_EQ(0, setns(namespaces[MANY - 1], CLONE_NEWIPC));
		FORCE(0);
		EXPECT_GONE(self->note[MANY - 1]);
		FORCE(1);
		for (i = 0; i < MANY; i++) {
			ASSERT_EQ(0, setns(namespaces[i], CLONE_NEWIPC));
			EXPECT_GONE(self->note[i]);
		}
		gate_open(&leave);
		EXPECT_EQ(0, shm_wait(child));
		gate_close(&left);
		gate_close(&leave);
	}
}

TEST_F(forced, last_detach_elsewhere)
{
	int i, id;

	for (i = 0; i < 2; i++) {
		FORCE(1);
		id = self->shm->get(IPC_PRIVATE, self->page, 0600);
		ASSERT_LE(0, id);
		detach_elsewhere(_metadata, self->shm, id, i);
		EXPECT_GONE(id);
		FORCE(0);
		id = self->shm->get(IPC_PRIVATE, self->page, 0600);
		ASSERT_LE(0, id);
		detach_elsewhere(_metadata, self->shm, id, i);
		EXPECT_THERE(id);
	}
}

/* Soon after another. */

TEST_F(forced, exit_right_after_switching_on)
{
	struct creator creator;
	int i;

	for (i = 0; i < 30; i++) {
		/* What has once been switched on might be known from then on: so in a new namespace each time. */
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
		FORCE(1);
		if (i % 3)
			EXPECT_THERE(creator.id);
		creator_end(_metadata, &creator);
		if (i % 2)
			usleep(2000);
		ASSERT_FALSE(there(self->shm, creator.id))
			TH_LOG("in round %d", i);
		ASSERT_EQ(0, shm_count(self->shm));
	}
}

TEST_F(forced, exit_right_after_switching_off)
{
	struct creator creator;
	int i;

	for (i = 0; i < 30; i++) {
		FORCE(0);
		creator = creator_start(_metadata, self->shm, SHM_KEY, self->note);
		FORCE(1);
		/* Somebody goes, and takes a segment along. */
		SHM_CHILD {
			ASSERT_LE(0, self->shm->get(IPC_PRIVATE, self->page, 0600));
		}
		FORCE(0);
		creator_end(_metadata, &creator);
		ASSERT_TRUE(there(self->shm, creator.id))
			TH_LOG("in round %d", i);
		ASSERT_EQ(1, shm_count(self->shm));
		ASSERT_EQ(0, self->shm->rmid(creator.id));
	}
}

/* At once. */

TEST_F_TIMEOUT(forced, nothing_is_left_after_a_race, 60)
{
	struct rust_shm_usage usage;
	pid_t pids[4];
	int i, j, id;
	void *memory;

	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		for (j = 0; j < 15; j++) {
			SHM_CHILD {
				id = self->shm->get(SHM_KEY + j % 3, self->page, IPC_CREAT | 0600);
				if ((i + j) % 3 == 0)
					self->shm->get(IPC_PRIVATE, 2 * self->page, 0600);
				if (id >= 0 && (i + j) % 2) {
					memory = self->shm->attach(id, NULL, 0);
					if (memory != SHM_FAILED && j % 4)
						self->shm->detach(memory);
				}
				if (j % 5 == 4)
					self->shm->rmid(id);
			}
		}
		_exit(0);
	}
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, shm_sysctl_write("shm_rmid_forced", i % 2));
		usleep(3000);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, shm_wait(pids[i]));
	FORCE(1);
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
}

TEST_HARNESS_MAIN
