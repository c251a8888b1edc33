// SPDX-License-Identifier: GPL-2.0
/*
 * Lifetime: who keeps a segment alive, and what its attach count is on the way. Every test runs on the built-in and on the module.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <time.h>

#include "shm_backend.h"
#include "vma.h"

#define PAGES 8

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

FIXTURE(lifetime) {
	const struct shm_backend *shm;
	size_t page;
	size_t size;	/* of the segment: PAGES pages */
	int id;
	char *addr;
};

SHM_BOTH(lifetime)

FIXTURE_SETUP(lifetime)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->size = PAGES * self->page;
	self->id = self->shm->get(SHM_KEY, self->size, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);
	self->addr = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, self->addr);
}

FIXTURE_TEARDOWN(lifetime)
{
	SHM_LEAVE(self->shm);
}

/* The count follows an exit only when the dead process's memory has been torn down: give it time, but demand the number. */
static long settled_nattch(const struct shm_backend *shm, int id, long expected)
{
	long nattch = -1;
	int i;

	for (i = 0; i < 500; i++) {
		nattch = shm_nattch(shm, id);
		if (nattch == expected)
			break;
		usleep(10000);
	}
	return nattch;
}

TEST_F(lifetime, fork_doubles_the_count_and_shares_the_data)
{
	self->addr[0] = 'p';
	SHM_IN_CHILD({
		EXPECT_EQ(2, shm_nattch(self->shm, self->id));
		EXPECT_EQ('p', self->addr[0]);
		self->addr[0] = 'c';
		/* Not touched before by anybody. */
		self->addr[self->page] = 'd';
	});
	EXPECT_EQ('c', self->addr[0]);
	EXPECT_EQ('d', self->addr[self->page]);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(lifetime, fork_counts_each_attach_and_each_piece)
{
	ASSERT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, SHM_RDONLY));
	ASSERT_EQ(0, mprotect(self->addr + self->page, self->page, PROT_READ));
	EXPECT_EQ(4, shm_nattch(self->shm, self->id));
	SHM_IN_CHILD({
		EXPECT_EQ(8, shm_nattch(self->shm, self->id));
		SHM_IN_CHILD({
			EXPECT_EQ(12, shm_nattch(self->shm, self->id));
		});
		EXPECT_EQ(8, shm_nattch(self->shm, self->id));
	});
	EXPECT_EQ(4, shm_nattch(self->shm, self->id));
}

TEST_F(lifetime, fork_and_exit_set_pid_and_times)
{
	struct rust_shm_stat stat;
	pid_t child;

	SHM_FORK(child) {
		/* It is the parent that forks. */
		ASSERT_EQ(0, self->shm->stat(self->id, &stat));
		EXPECT_EQ(getppid(), stat.lpid);
		EXPECT_EQ(0, stat.dtime);
		_exit(0);
	}
	ASSERT_EQ(0, shm_wait(child));
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(child, stat.lpid);
	EXPECT_NE(0, stat.dtime);
	EXPECT_EQ(getpid(), stat.cpid);
}

TEST_F(lifetime, dontfork_is_not_inherited)
{
	ASSERT_EQ(0, madvise(self->addr, self->size, MADV_DONTFORK));
	SHM_IN_CHILD({
		EXPECT_EQ(1, shm_nattch(self->shm, self->id));
		EXPECT_EQ(SIGSEGV, read_signal(self->addr));
	});
	ASSERT_EQ(0, madvise(self->addr, self->size, MADV_DOFORK));
	SHM_IN_CHILD({
		EXPECT_EQ(2, shm_nattch(self->shm, self->id));
		EXPECT_EQ(0, read_signal(self->addr));
	});
}

TEST_F(lifetime, wipeonfork_is_einval)
{
	EXPECT_ERRNO(EINVAL, madvise(self->addr, self->size, MADV_WIPEONFORK));
}

/* exec leaves all attaches behind; the new program is the same process, alive and without them. */
TEST_F(lifetime, exec_detaches)
{
	struct gate stdin_gate;
	int execed[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, gate_make(&stdin_gate));
	ASSERT_EQ(0, pipe2(execed, O_CLOEXEC));
	SHM_FORK(child) {
		dup2(stdin_gate.fd[0], STDIN_FILENO);
		close(stdin_gate.fd[0]);
		close(stdin_gate.fd[1]);
		dup2(execed[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", "echo; read line; exit 7", (char *)NULL);
		_exit(126);
	}
	close(execed[1]);
	/* The program itself says that it runs: descriptors are closed before the address space goes. */
	ASSERT_EQ(1, read(execed[0], &byte, 1));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	ASSERT_EQ(0, kill(child, 0));
	ASSERT_EQ(1, write(stdin_gate.fd[1], "\n", 1));
	EXPECT_EQ(7, shm_wait(child));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(lifetime, exec_frees_a_removed_segment)
{
	pid_t child;

	SHM_FORK(child) {
		int id = self->shm->get(SHM_KEY + 1, self->size, IPC_CREAT | 0600);

		if (self->shm->attach(id, NULL, 0) == SHM_FAILED || self->shm->rmid(id) || shm_count(self->shm) != 2)
			_exit(125);
		execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
		_exit(126);
	}
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(lifetime, kill_detaches)
{
	struct gate gate;
	pid_t child;

	ASSERT_EQ(0, gate_make(&gate));
	SHM_FORK(child) {
		if (self->shm->attach(self->id, NULL, 0) == SHM_FAILED)
			_exit(1);
		self->addr[0] = 'k';
		gate_open(&gate);
		for (;;)
			pause();
	}
	gate_wait(&gate);
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_EQ(1, settled_nattch(self->shm, self->id, 1));
	EXPECT_EQ('k', self->addr[0]);
}

TEST_F(lifetime, kill_in_the_middle_of_writing)
{
	pid_t child[8];
	int i;

	for (i = 0; i < 8; i++) {
		SHM_FORK(child[i]) {
			for (;;) {
				char *addr = self->shm->attach(self->id, NULL, 0);

				memset(addr, i, self->size);
				self->shm->detach(addr);
			}
		}
	}
	usleep(300000);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, kill(child[i], SIGKILL));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(256 + SIGKILL, shm_wait(child[i]));
	EXPECT_EQ(1, settled_nattch(self->shm, self->id, 1));
}

/* A vfork child lives in its parent's memory: nothing is attached and nothing detached. */
TEST_F(lifetime, vfork_counts_nothing)
{
	volatile long inside = -1;
	pid_t child;

	child = vfork();
	ASSERT_LE(0, child);
	if (!child) {
		inside = shm_nattch(self->shm, self->id);
		_exit(3);
	}
	EXPECT_EQ(3, shm_wait(child));
	EXPECT_EQ(1, inside);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, write_signal(self->addr));
}

struct attacher {
	const struct shm_backend *shm;
	int id;
	void *addr;
};

static void *attach_in_a_thread(void *arg)
{
	struct attacher *attacher = arg;

	attacher->addr = attacher->shm->attach(attacher->id, NULL, 0);
	return NULL;
}

/* Attaches belong to the address space, not to the thread that made them. */
TEST_F(lifetime, thread_exit_detaches_nothing)
{
	struct attacher attacher = { self->shm, self->id, SHM_FAILED };
	struct rust_shm_stat stat;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, attach_in_a_thread, &attacher));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_NE(SHM_FAILED, attacher.addr);
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(2, stat.nattch);
	EXPECT_EQ(getpid(), stat.lpid);
	self->addr[1] = 't';
	EXPECT_EQ('t', ((char *)attacher.addr)[1]);
	EXPECT_EQ(0, self->shm->detach(attacher.addr));
}

TEST_F(lifetime, rmid_without_attaches_is_the_end)
{
	ASSERT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(1, shm_count(self->shm));
	EXPECT_EQ(0, self->shm->rmid(self->id));
	EXPECT_EQ(0, shm_count(self->shm));
	EXPECT_ERRNO(EINVAL, self->shm->rmid(self->id));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, 0));
	EXPECT_ERRNO(EINVAL, shm_nattch(self->shm, self->id));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
}

TEST_F(lifetime, rmid_of_a_segment_never_attached)
{
	int id = self->shm->get(SHM_KEY + 1, self->size, IPC_CREAT | 0600);

	ASSERT_LE(0, id);
	EXPECT_EQ(0, self->shm->rmid(id));
	EXPECT_ERRNO(EINVAL, self->shm->attach(id, NULL, 0));
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(lifetime, rmid_with_attaches_takes_only_the_key)
{
	struct rust_shm_stat stat;
	int next;

	pattern_fill(self->addr, self->size, 9);
	ASSERT_EQ(0, self->shm->rmid(self->id));
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(IPC_PRIVATE, stat.key);
	EXPECT_EQ(0600 | RUST_SHM_MODE_DEST, stat.mode);
	EXPECT_EQ(1, stat.nattch);
	EXPECT_EQ(self->size, stat.segsz);
	EXPECT_EQ(1, shm_count(self->shm));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	/* The key is free, and its next segment is another one. */
	next = self->shm->get(SHM_KEY, self->size, IPC_CREAT | IPC_EXCL | 0600);
	ASSERT_LE(0, next);
	EXPECT_NE(self->id, next);
	EXPECT_EQ(next, self->shm->get(SHM_KEY, 0, 0));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 9));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_ERRNO(EINVAL, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, shm_nattch(self->shm, next));
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(lifetime, rmid_twice_is_no_error_while_attached)
{
	EXPECT_EQ(0, self->shm->rmid(self->id));
	EXPECT_EQ(0, self->shm->rmid(self->id));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_ERRNO(EINVAL, self->shm->rmid(self->id));
}

/* Linux lets a removed segment be attached by its id as long as somebody is. */
TEST_F(lifetime, removed_segment_can_be_attached_by_id)
{
	char *second;

	self->addr[0] = 'r';
	ASSERT_EQ(0, self->shm->rmid(self->id));
	second = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, second);
	EXPECT_EQ('r', second[0]);
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	/* The first goes, the second keeps it. */
	EXPECT_EQ('r', second[0]);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(second));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, 0));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(lifetime, removed_segment_lives_on_in_a_child)
{
	struct gate go, done;
	pid_t child;

	ASSERT_EQ(0, gate_make(&go));
	ASSERT_EQ(0, gate_make(&done));
	pattern_fill(self->addr, self->size, 4);
	ASSERT_EQ(0, self->shm->rmid(self->id));
	SHM_FORK(child) {
		gate_wait(&go);
		EXPECT_EQ(1, shm_nattch(self->shm, self->id));
		EXPECT_TRUE(pattern_stands(self->addr, self->size, 4));
		gate_open(&done);
		for (;;)
			pause();
	}
	ASSERT_EQ(0, self->shm->detach(self->addr));
	gate_open(&go);
	gate_wait(&done);
	EXPECT_EQ(1, shm_count(self->shm));
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_EQ(-1, settled_nattch(self->shm, self->id, -1));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(lifetime, removed_segment_goes_with_its_last_piece)
{
	ASSERT_EQ(0, self->shm->rmid(self->id));
	ASSERT_EQ(0, munmap(self->addr + 2 * self->page, self->page));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	ASSERT_EQ(0, munmap(self->addr, 2 * self->page));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	ASSERT_EQ(0, munmap(self->addr, self->size - self->page));
	EXPECT_EQ(1, shm_count(self->shm));
	ASSERT_EQ(0, munmap(self->addr, self->size));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(lifetime, data_survive_their_creator)
{
	int id;

	SHM_IN_CHILD({
		char *addr;

		id = self->shm->get(SHM_KEY + 1, self->size, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, id);
		addr = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		pattern_fill(addr, self->size, 21);
	});
	/* No attach and no creator is left. */
	SHM_IN_CHILD({
		struct rust_shm_stat stat;
		char *addr;

		id = self->shm->get(SHM_KEY + 1, 0, 0);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, self->shm->stat(id, &stat));
		EXPECT_EQ(0, stat.nattch);
		EXPECT_LT(0, stat.cpid);
		addr = self->shm->attach(id, NULL, SHM_RDONLY);
		ASSERT_NE(SHM_FAILED, addr);
		EXPECT_TRUE(pattern_stands(addr, self->size, 21));
		ASSERT_EQ(0, self->shm->rmid(id));
	});
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + 1, 0, 0));
}

/* Two that have nothing in common but the key talk to each other, each at an address of its own. */
TEST_F(lifetime, unrelated_processes_meet_by_key)
{
	struct gate ping, pong;
	pid_t first, second;

	ASSERT_EQ(0, self->shm->detach(self->addr));
	ASSERT_EQ(0, gate_make(&ping));
	ASSERT_EQ(0, gate_make(&pong));
	SHM_FORK(first) {
		int id = self->shm->get(SHM_KEY, self->size, IPC_CREAT | 0600);
		char *addr = self->shm->attach(id, vma_hole(self->size), 0);

		ASSERT_NE(SHM_FAILED, addr);
		strcpy(addr, "hello from the first");
		gate_open(&ping);
		gate_wait(&pong);
		EXPECT_STREQ("hello from the second", addr + self->page);
		_exit(0);
	}
	SHM_FORK(second) {
		int id;
		char *addr;

		gate_wait(&ping);
		id = self->shm->get(SHM_KEY, 0, 0);
		addr = self->shm->attach(id, (char *)vma_hole(self->size) + MIB, 0);
		ASSERT_NE(SHM_FAILED, addr);
		EXPECT_EQ(2, shm_nattch(self->shm, id));
		EXPECT_STREQ("hello from the first", addr);
		strcpy(addr + self->page, "hello from the second");
		gate_open(&pong);
		_exit(0);
	}
	EXPECT_EQ(0, shm_wait(first));
	EXPECT_EQ(0, shm_wait(second));
	EXPECT_EQ(0, settled_nattch(self->shm, self->id, 0));
}

TEST_F(lifetime, mremap_grows_shrinks_and_moves_one_attach)
{
	char *hole = vma_hole(4 * MIB), *addr;

	pattern_fill(self->addr, self->size, 2);
	addr = mremap(self->addr, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED, hole);
	ASSERT_EQ(hole, addr);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(addr, self->size, 2));
	ASSERT_EQ(addr, mremap(addr, self->size, 2 * self->page, 0));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(SIGSEGV, read_signal(addr + 2 * self->page));
	ASSERT_EQ(addr, mremap(addr, 2 * self->page, self->size, 0));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(addr, self->size, 2));
	ASSERT_EQ(addr, mremap(addr, self->size, 2 * self->size, 0));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(SIGBUS, read_signal(addr + self->size));
	EXPECT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* An old size of 0 makes a second mapping of the same pages: one more attach. */
TEST_F(lifetime, mremap_of_nothing_attaches_again)
{
	char *second = mremap(self->addr, 0, self->size, MREMAP_MAYMOVE);

	ASSERT_NE(MAP_FAILED, second);
	EXPECT_NE(self->addr, second);
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	self->addr[0] = 'n';
	EXPECT_EQ('n', second[0]);
	EXPECT_EQ(0, self->shm->detach(second));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(lifetime, mremap_dontunmap_attaches_again)
{
	char *second;

	self->addr[0] = 'u';
	second = mremap(self->addr, self->size, self->size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, second);
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ('u', second[0]);
	/* It is still mapped, and shared memory comes back at the next touch. */
	EXPECT_EQ('u', self->addr[0]);
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, self->shm->detach(second));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(lifetime, one_munmap_of_many_attaches)
{
	char *hole = vma_hole(4 * MIB);
	int i;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(hole + i * self->size, self->shm->attach(self->id, hole + i * self->size, 0));
	EXPECT_EQ(9, shm_nattch(self->shm, self->id));
	/* From the middle of the second to the middle of the last. */
	ASSERT_EQ(0, munmap(hole + self->size + self->page, 6 * self->size));
	EXPECT_EQ(4, shm_nattch(self->shm, self->id));
	ASSERT_EQ(0, munmap(hole, 8 * self->size));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

/* mmap over an attach takes it away like munmap does. */
TEST_F(lifetime, mmap_fixed_over_it_detaches)
{
	ASSERT_EQ(self->addr, mmap(self->addr, self->size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->addr[0]);
}

/* Whether or not the kernel joins pieces that are equal again: the count is the number of mappings. */
TEST_F(lifetime, pieces_made_equal_again)
{
	ASSERT_EQ(0, mprotect(self->addr + self->page, self->page, PROT_READ));
	ASSERT_EQ(0, mprotect(self->addr + self->page, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(vma_count(self->addr, self->size), shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* The device carries calls; it holds nothing. */
TEST_F(lifetime, closing_the_device_detaches_nothing)
{
	int fd;

	if (self->shm != &shm_rust)
		SKIP(return, "the built-in has no device");
	fd = shm_rust_fd();
	pattern_fill(self->addr, self->size, 6);
	ASSERT_EQ(0, close(fd));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 6));
	self->addr[0] = 'w';
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
}

/* What the page cache holds, segments of both kinds included. */
static long cached(void)
{
	return meminfo("Cached");
}

/* Whether the page cache falls below so many bytes again, given a moment. */
static bool cached_falls_below(long bytes)
{
	int i;

	for (i = 0; i < 200; i++) {
		if (cached() < bytes)
			return true;
		usleep(10000);
	}
	return false;
}

#define BIG (64L * 1024 * 1024)
#define HALF (BIG / 2)

/* How the last user of a segment goes. */
enum ending {
	RMID_LAST,	/* detached first, then removed */
	DETACH_LAST,	/* removed first, then detached */
	KILLED,		/* removed first, then its process killed */
};

static int touch_and_wait(const struct shm_backend *shm, struct gate *touched, struct gate *go, enum ending ending)
{
	int id = shm->get(IPC_PRIVATE, BIG, 0600);
	char *addr = shm->attach(id, NULL, 0);

	if (addr == SHM_FAILED)
		return 1;
	memset(addr, 1, BIG);
	if (ending == RMID_LAST ? shm->detach(addr) : shm->rmid(id))
		return 2;
	gate_open(touched);
	gate_wait(go);
	return ending == RMID_LAST ? shm->rmid(id) : shm->detach(addr);
}

/*
 * Whether the page cache grows by a segment that is touched, still holds it while one user is left, and shrinks when that one goes.
 * Others use the page cache, too: a difference of half the segment decides, and the caller may try again.
 */
static bool memory_comes_and_goes(const struct shm_backend *shm, enum ending ending)
{
	long before = cached(), during;
	struct gate touched, go;
	int expected = 0;
	pid_t child;
	bool gone;

	if (gate_make(&touched) || gate_make(&go))
		return false;
	child = fork();
	if (!child)
		_exit(touch_and_wait(shm, &touched, &go, ending));
	gate_wait(&touched);
	during = cached();
	if (ending == KILLED) {
		kill(child, SIGKILL);
		expected = 256 + SIGKILL;
	} else {
		gate_open(&go);
	}
	if (shm_wait(child) != expected)
		return false;
	gone = cached_falls_below(before + HALF);
	gate_close(&touched);
	gate_close(&go);
	return during > before + HALF && gone;
}

static bool memory_comes_and_goes_once_in(int tries, const struct shm_backend *shm, enum ending ending)
{
	while (tries--)
		if (memory_comes_and_goes(shm, ending))
			return true;
	return false;
}

TEST_F(lifetime, rmid_gives_the_memory_back)
{
	EXPECT_TRUE(memory_comes_and_goes_once_in(5, self->shm, RMID_LAST));
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(lifetime, last_detach_gives_the_memory_back)
{
	EXPECT_TRUE(memory_comes_and_goes_once_in(5, self->shm, DETACH_LAST));
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(lifetime, kill_gives_the_memory_back)
{
	EXPECT_TRUE(memory_comes_and_goes_once_in(5, self->shm, KILLED));
	EXPECT_EQ(1, shm_count(self->shm));
}

/* Many of them, one after the other: pages that leave the cache must really be free again. */
TEST_F_TIMEOUT(lifetime, segments_come_and_go, 180)
{
	long free = meminfo("MemFree"), used;
	char *addr;
	int id;

	for (used = 0; used < 8 * BIG; used += BIG) {
		id = self->shm->get(IPC_PRIVATE, BIG, 0600);
		ASSERT_LE(0, id);
		addr = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		memset(addr, 1, BIG);
		ASSERT_EQ(0, self->shm->rmid(id));
		ASSERT_EQ(0, self->shm->detach(addr));
	}
	/* Whatever else runs here does not take half as much meanwhile. */
	EXPECT_LT(free - used / 2, meminfo("MemFree"));
}

#define MARKED 512

/* The marker's bytes are computed one by one, so that only the segment ever holds them in a row. */
static inline unsigned char marker_byte(size_t i)
{
	return (unsigned char)((i * i * 31 + i * 7 + 129) >> 1);
}

static bool marker_within(const unsigned char *text, size_t size)
{
	size_t at, i;

	/* Segments start on page boundaries in a dump, but where the first one starts is up to its header. */
	for (at = 0; at + MARKED <= size; at++) {
		for (i = 0; i < MARKED && text[at + i] == marker_byte(i); i++)
			;
		if (i == MARKED)
			return true;
	}
	return false;
}

/* Dumps core in a child with the given coredump_filter, and says whether the marker in the segment is in the dump; -1 for no dump. */
static int core_holds_marker(const char *dir, char *addr, size_t size, const char *filter, int advice)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	int held = -1, status, fd;
	unsigned char *text;
	char path[256];
	struct stat st;
	pid_t child;

	child = fork();
	if (!child) {
		if (setrlimit(RLIMIT_CORE, &limit) || shm_write_file("/proc/self/coredump_filter", filter))
			_exit(1);
		if (advice && madvise(addr, size, advice))
			_exit(2);
		signal(SIGABRT, SIG_DFL);
		kill(getpid(), SIGABRT);
		_exit(3);
	}
	status = shm_wait(child);
	snprintf(path, sizeof(path), "%s/core.%d", dir, child);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (status == 256 + SIGABRT && !fstat(fd, &st) && st.st_size) {
		text = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (text != MAP_FAILED) {
			held = marker_within(text, st.st_size);
			munmap(text, st.st_size);
		}
	}
	close(fd);
	unlink(path);
	return held;
}

/* A segment is shared memory without a name: bit 1 of coredump_filter speaks for it, not bit 3, which is for mapped files. */
TEST_F_TIMEOUT(lifetime, core_dump, 60)
{
	char dir[] = "/tmp/rust_shm.core.XXXXXX", before[256] = "", wanted[256];
	int standard, anonymous, files, dontdump;
	FILE *file;
	size_t i;

	file = fopen("/proc/sys/kernel/core_pattern", "re");
	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(before, sizeof(before), file));
	fclose(file);
	ASSERT_NE(NULL, mkdtemp(dir));
	snprintf(wanted, sizeof(wanted), "%s/core.%%P", dir);
	for (i = 0; i < MARKED; i++)
		self->addr[3 * self->page + i] = (char)marker_byte(i);

	ASSERT_EQ(0, shm_write_file("/proc/sys/kernel/core_pattern", wanted));
	standard = core_holds_marker(dir, self->addr, self->size, "0x33", 0);
	anonymous = core_holds_marker(dir, self->addr, self->size, "0x2", 0);
	files = core_holds_marker(dir, self->addr, self->size, "0x3d", 0);
	dontdump = core_holds_marker(dir, self->addr, self->size, "0x33", MADV_DONTDUMP);
	EXPECT_EQ(0, shm_write_file("/proc/sys/kernel/core_pattern", before));
	EXPECT_EQ(0, rmdir(dir));

	EXPECT_EQ(1, standard);
	EXPECT_EQ(1, anonymous);
	EXPECT_EQ(0, files);
	EXPECT_EQ(0, dontdump);
	EXPECT_EQ(1, settled_nattch(self->shm, self->id, 1));
}

/* Runs a worker in several processes for a while, and expects each of them to end well. */
#define WORKERS 4

TEST_F_TIMEOUT(lifetime, stress_attach_fork_exit, 60)
{
	pid_t worker[WORKERS], child;
	double end = shm_now() + 1.5;
	int i;

	for (i = 0; i < WORKERS; i++) {
		SHM_FORK(worker[i]) {
			while (shm_now() < end) {
				char *addr = self->shm->attach(self->id, NULL, 0);

				ASSERT_NE(SHM_FAILED, addr);
				addr[i] = (char)i;
				SHM_FORK(child) {
					munmap(addr + self->page, self->page);
					_exit(addr[i] != i);
				}
				ASSERT_EQ(0, self->shm->detach(addr));
				ASSERT_EQ(0, shm_wait(child));
			}
			_exit(0);
		}
	}
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, shm_wait(worker[i]));
	EXPECT_EQ(1, settled_nattch(self->shm, self->id, 1));
}

/* Makers, finders and removers of the same few keys: whatever the order, nobody sees a wrong errno and nothing is left over. */
TEST_F_TIMEOUT(lifetime, stress_get_attach_rmid, 60)
{
	pid_t worker[WORKERS];
	double end = shm_now() + 1.5;
	int i;

	for (i = 0; i < WORKERS; i++) {
		SHM_FORK(worker[i]) {
			unsigned int round = 0;

			while (shm_now() < end) {
				int id = self->shm->get(SHM_KEY + 1 + round++ % 3, self->size, IPC_CREAT | 0600);
				char *addr;

				ASSERT_LE(0, id);
				addr = self->shm->attach(id, NULL, 0);
				if (addr == SHM_FAILED) {
					ASSERT_TRUE(errno == EINVAL || errno == EIDRM);
					continue;
				}
				addr[0]++;
				if (self->shm->rmid(id))
					ASSERT_EQ(EINVAL, errno);
				ASSERT_EQ(0, self->shm->detach(addr));
			}
			_exit(0);
		}
	}
	for (i = 0; i < WORKERS; i++)
		EXPECT_EQ(0, shm_wait(worker[i]));
	for (i = 0; i < 3; i++) {
		int id = self->shm->get(SHM_KEY + 1 + i, 0, 0);

		if (id >= 0)
			EXPECT_EQ(0, self->shm->rmid(id));
	}
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_HARNESS_MAIN
