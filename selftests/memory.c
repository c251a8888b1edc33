// SPDX-License-Identifier: GPL-2.0
/*
 * Memory: the pages of a segment under everything the kernel does to pages. Every test runs on the built-in and on the module.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>

#include "cgroup.h"
#include "setting.h"
#include "shm_backend.h"
#include "vma.h"

#define PAGES 16

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

FIXTURE(memory) {
	const struct shm_backend *shm;
	size_t page;
	size_t size;	/* of the segment: PAGES pages */
	int id;
	char *addr;
	char *again;	/* the same segment, attached once more */
	struct setting huge;
};

SHM_BOTH(memory)

FIXTURE_SETUP(memory)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->size = PAGES * self->page;
	self->id = self->shm->get(SHM_KEY, self->size, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);
	self->addr = self->shm->attach(self->id, NULL, 0);
	self->again = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	ASSERT_NE(SHM_FAILED, self->again);
}

FIXTURE_TEARDOWN(memory)
{
	setting_restore(&self->huge);
	SHM_LEAVE(self->shm);
}

static long futex(void *word, int op, unsigned int value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/*
 * Synchronisation: a futex in a segment is known by its page's place in the page cache, so that it is the same one at every address.
 */

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	unsigned int word;
	unsigned long counter;
	int turn;
};

static int shared_init(struct shared *shared, int robust)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	return pthread_mutexattr_init(&mutex) ||
	       pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED) ||
	       pthread_mutexattr_setrobust(&mutex, robust) ||
	       pthread_mutex_init(&shared->mutex, &mutex) ||
	       pthread_condattr_init(&cond) ||
	       pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED) ||
	       pthread_cond_init(&shared->cond, &cond);
}

TEST_F(memory, mutex_across_fork)
{
	struct shared *shared = (struct shared *)self->addr;
	pid_t child[4];
	int i, round;

	ASSERT_EQ(0, shared_init(shared, PTHREAD_MUTEX_STALLED));
	for (i = 0; i < 4; i++) {
		SHM_FORK(child[i]) {
			for (round = 0; round < 20000; round++) {
				if (pthread_mutex_lock(&shared->mutex))
					_exit(1);
				shared->counter++;
				if (pthread_mutex_unlock(&shared->mutex))
					_exit(2);
			}
			_exit(0);
		}
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, shm_wait(child[i]));
	EXPECT_EQ(80000, shared->counter);
}

/* Each side attaches for itself, at an address of its own, and they pass a turn to and fro. */
TEST_F(memory, condvar_at_different_addresses)
{
	struct shared *shared = (struct shared *)self->addr;
	int rounds = 500, side, i;
	pid_t child[2];

	ASSERT_EQ(0, shared_init(shared, PTHREAD_MUTEX_STALLED));
	for (side = 0; side < 2; side++) {
		SHM_FORK(child[side]) {
			char *hole = vma_hole(2 * MIB);
			struct shared *mine = self->shm->attach(self->id, hole + side * MIB, 0);

			if (mine == SHM_FAILED || self->shm->detach(self->addr) || self->shm->detach(self->again))
				_exit(1);
			for (i = 0; i < rounds; i++) {
				pthread_mutex_lock(&mine->mutex);
				while (mine->turn != side)
					if (pthread_cond_wait(&mine->cond, &mine->mutex))
						_exit(2);
				mine->turn = !side;
				mine->counter++;
				pthread_cond_broadcast(&mine->cond);
				pthread_mutex_unlock(&mine->mutex);
			}
			_exit(0);
		}
	}
	EXPECT_EQ(0, shm_wait(child[0]));
	EXPECT_EQ(0, shm_wait(child[1]));
	EXPECT_EQ(2UL * rounds, shared->counter);
}

TEST_F(memory, robust_mutex_tells_of_a_dead_owner)
{
	struct shared *shared = (struct shared *)self->addr;
	struct shared *same = (struct shared *)self->again;
	pid_t child;

	ASSERT_EQ(0, shared_init(shared, PTHREAD_MUTEX_ROBUST));
	SHM_FORK(child) {
		pthread_mutex_lock(&shared->mutex);
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(256 + SIGKILL, shm_wait(child));
	ASSERT_EQ(EOWNERDEAD, pthread_mutex_lock(&same->mutex));
	EXPECT_EQ(0, pthread_mutex_consistent(&same->mutex));
	EXPECT_EQ(0, pthread_mutex_unlock(&same->mutex));
	EXPECT_EQ(0, pthread_mutex_lock(&shared->mutex));
	EXPECT_EQ(0, pthread_mutex_unlock(&shared->mutex));
}

TEST_F(memory, futex_wakes_another_process)
{
	unsigned int *word = (unsigned int *)(self->addr + 2 * self->page + 128);
	unsigned int *same = (unsigned int *)(self->again + 2 * self->page + 128);
	struct timespec timeout = { 20, 0 };
	pid_t child;
	long woken = 0;
	int tries;

	SHM_FORK(child)
		_exit(futex(word, FUTEX_WAIT, 0, &timeout) ? errno : 0);
	for (tries = 0; tries < 1000 && !woken; tries++) {
		usleep(5000);
		woken = futex(same, FUTEX_WAKE, 1, NULL);
		ASSERT_LE(0, woken);
	}
	EXPECT_EQ(1, woken);
	EXPECT_EQ(0, shm_wait(child));
}

/* A futex never touched before, and one that is seen through a read-only attach. */
TEST_F(memory, futex_on_untouched_and_read_only_memory)
{
	struct timespec soon = { 0, 10000000 };
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);

	ASSERT_NE(SHM_FAILED, reader);
	EXPECT_ERRNO(ETIMEDOUT, futex(self->addr + 5 * self->page, FUTEX_WAIT, 0, &soon));
	EXPECT_ERRNO(ETIMEDOUT, futex(reader + 6 * self->page, FUTEX_WAIT, 0, &soon));
	EXPECT_EQ(0, futex(reader + 7 * self->page, FUTEX_WAKE, 1, NULL));
	EXPECT_ERRNO(EAGAIN, futex(self->addr, FUTEX_WAIT, 1, &soon));
}

/* A futex is not the one of the same offset in another segment. */
TEST_F(memory, futexes_of_two_segments_are_apart)
{
	struct timespec timeout = { 20, 0 };
	char *other;
	pid_t child;
	int id, tries;

	other = shm_new_segment(self->shm, self->size, NULL, &id);
	ASSERT_NE(SHM_FAILED, other);
	SHM_FORK(child)
		_exit(futex(self->addr, FUTEX_WAIT, 0, &timeout) ? errno : 0);
	for (tries = 0; tries < 40; tries++) {
		usleep(5000);
		ASSERT_EQ(0, futex(other, FUTEX_WAKE, 1, NULL));
	}
	EXPECT_EQ(1, futex(self->again, FUTEX_WAKE, 1, NULL));
	EXPECT_EQ(0, shm_wait(child));
}

/*
 * Access through the kernel.
 */

TEST_F(memory, process_vm_readv_and_writev)
{
	char text[64] = "written from outside";
	struct iovec local = { text, sizeof(text) }, remote = { self->addr + self->page - 10, sizeof(text) };
	struct gate gate;
	pid_t child;

	ASSERT_EQ(0, gate_make(&gate));
	SHM_FORK(child) {
		gate_wait(&gate);
		_exit(0);
	}
	ASSERT_EQ((ssize_t)sizeof(text), process_vm_writev(child, &local, 1, &remote, 1, 0));
	EXPECT_STREQ("written from outside", self->again + self->page - 10);
	strcpy(self->addr + self->page - 10, "and read again");
	ASSERT_EQ((ssize_t)sizeof(text), process_vm_readv(child, &local, 1, &remote, 1, 0));
	EXPECT_STREQ("and read again", text);
	gate_open(&gate);
	EXPECT_EQ(0, shm_wait(child));
}

TEST_F(memory, ptrace_and_proc_mem)
{
	/* Cut to the word of a 32-bit program. */
	const long value = (long)0x1122334455667788ULL;
	long seen = 0;
	char path[64];
	pid_t child;
	int fd;

	SHM_FORK(child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(*(volatile long *)(self->addr + self->page) == value ? 0 : 1);
	}
	ASSERT_EQ(child, waitpid(child, NULL, WUNTRACED));
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, child, self->addr + self->page, value));
	EXPECT_EQ(value, ptrace(PTRACE_PEEKDATA, child, self->addr + self->page, NULL));
	EXPECT_EQ(value, *(long *)(self->again + self->page));
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ((ssize_t)sizeof(seen), pread(fd, &seen, sizeof(seen), (uintptr_t)self->addr + self->page));
	EXPECT_EQ(value, seen);
	EXPECT_EQ((ssize_t)sizeof(value), pwrite(fd, &value, sizeof(value), (uintptr_t)self->addr + 3 * self->page));
	EXPECT_EQ(value, *(long *)(self->again + 3 * self->page));
	close(fd);
	EXPECT_EQ(0, ptrace(PTRACE_CONT, child, NULL, NULL));
	EXPECT_EQ(0, shm_wait(child));
}

TEST_F(memory, read_and_write_of_a_pipe)
{
	char in[4096], out[4096];
	int pipefd[2];

	ASSERT_EQ(0, pipe(pipefd));
	pattern_fill(in, sizeof(in), 77);
	ASSERT_EQ((ssize_t)sizeof(in), write(pipefd[1], in, sizeof(in)));
	/* Into memory that is not there yet, over a page's end. */
	ASSERT_EQ((ssize_t)sizeof(in), read(pipefd[0], self->addr + self->page / 2, sizeof(in)));
	EXPECT_EQ(0, memcmp(in, self->again + self->page / 2, sizeof(in)));
	ASSERT_EQ((ssize_t)sizeof(in), write(pipefd[1], self->again + self->page / 2, sizeof(in)));
	ASSERT_EQ((ssize_t)sizeof(out), read(pipefd[0], out, sizeof(out)));
	EXPECT_EQ(0, memcmp(in, out, sizeof(in)));
}

TEST_F(memory, syscall_into_a_read_only_attach_is_efault)
{
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);
	int pipefd[2];

	ASSERT_NE(SHM_FAILED, reader);
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(5, write(pipefd[1], "hello", 5));
	EXPECT_ERRNO(EFAULT, read(pipefd[0], reader, 5));
	EXPECT_EQ(0, reader[0]);
}

TEST_F(memory, vmsplice_into_a_pipe)
{
	struct iovec iov = { self->addr, 4 * self->page };
	char *out = malloc(4 * self->page);
	int pipefd[2];

	ASSERT_NE(NULL, out);
	ASSERT_EQ(0, pipe(pipefd));
	pattern_fill(self->addr, self->size, 8);
	ASSERT_EQ((ssize_t)iov.iov_len, vmsplice(pipefd[1], &iov, 1, 0));
	ASSERT_EQ((ssize_t)iov.iov_len, read(pipefd[0], out, iov.iov_len));
	EXPECT_EQ(0, memcmp(out, self->again, iov.iov_len));
	free(out);
}

/* The pipe holds pages of the segment, and outlives it. */
TEST_F(memory, vmspliced_pages_outlive_the_segment)
{
	struct iovec iov;
	int pipefd[2], id;
	char *addr, *out = malloc(4 * self->page);

	ASSERT_NE(NULL, out);
	ASSERT_EQ(0, pipe(pipefd));
	addr = shm_new_segment(self->shm, 4 * self->page, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, 4 * self->page, 9);
	iov = (struct iovec) { addr, 4 * self->page };
	ASSERT_EQ((ssize_t)iov.iov_len, vmsplice(pipefd[1], &iov, 1, 0));
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(addr));
	ASSERT_EQ((ssize_t)iov.iov_len, read(pipefd[0], out, iov.iov_len));
	EXPECT_TRUE(pattern_stands(out, 4 * self->page, 9));
	free(out);
}

/* A file for O_DIRECT: the block device of RUST_SHM_TEST_BLOCKDEV, or a file in /mnt/scratch. There must be one. */
static int open_direct(void)
{
	const char *device = getenv("RUST_SHM_TEST_BLOCKDEV");
	int fd;

	if (device)
		return open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	fd = open("/mnt/scratch/rust_shm.direct", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlink("/mnt/scratch/rust_shm.direct");
	return fd;
}

TEST_F(memory, o_direct_write_and_read)
{
	char *private = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open_direct();

	ASSERT_LE(0, fd)
		TH_LOG("neither RUST_SHM_TEST_BLOCKDEV nor /mnt/scratch is there: %s", strerror(errno));
	ASSERT_NE(MAP_FAILED, private);
	/* Out of the segment, seen through private memory. */
	pattern_fill(self->addr, self->size, 31);
	ASSERT_EQ((ssize_t)self->size, pwrite(fd, self->addr, self->size, 0));
	ASSERT_EQ((ssize_t)self->size, pread(fd, private, self->size, 0));
	EXPECT_TRUE(pattern_stands(private, self->size, 31));
	/* And into it. */
	pattern_fill(private, self->size, 32);
	ASSERT_EQ((ssize_t)self->size, pwrite(fd, private, self->size, 0));
	ASSERT_EQ((ssize_t)self->size, pread(fd, self->again, self->size, 0));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 32));
	close(fd);
}

TEST_F(memory, o_direct_into_untouched_memory)
{
	int fd = open_direct(), id;
	char *addr = shm_new_segment(self->shm, self->size, NULL, &id);
	char *reader = self->shm->attach(id, NULL, SHM_RDONLY);

	ASSERT_LE(0, fd)
		TH_LOG("neither RUST_SHM_TEST_BLOCKDEV nor /mnt/scratch is there: %s", strerror(errno));
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(SHM_FAILED, reader);
	pattern_fill(self->addr, self->size, 33);
	ASSERT_EQ((ssize_t)self->size, pwrite(fd, self->addr, self->size, 0));
	ASSERT_EQ((ssize_t)self->size, pread(fd, addr, self->size, 0));
	EXPECT_TRUE(pattern_stands(reader, self->size, 33));
	/* A device must not write where the program may not. */
	EXPECT_ERRNO(EFAULT, pread(fd, reader, self->size, 0));
	close(fd);
}

/*
 * mlock, mincore, madvise and their kin.
 */

TEST_F(memory, mlock_brings_in_and_counts)
{
	unsigned char core[PAGES];
	int i;

	ASSERT_EQ(0, mlock(self->addr, self->size));
	EXPECT_EQ((long)self->size, proc_bytes("/proc/self/status", "VmLck"));
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
	EXPECT_EQ((long)self->size, vma_smaps_bytes(self->addr, "Rss"));
	EXPECT_EQ((long)self->size, vma_smaps_bytes(self->addr, "Locked"));
	ASSERT_EQ(0, mincore(self->addr, self->size, core));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(1, core[i] & 1);
	pattern_fill(self->addr, self->size, 12);
	ASSERT_EQ(0, munlock(self->addr, self->size));
	EXPECT_EQ(0, proc_bytes("/proc/self/status", "VmLck"));
	EXPECT_TRUE(pattern_stands(self->again, self->size, 12));
}

TEST_F(memory, mlock_onfault_waits_for_the_touch)
{
	int id;
	char *addr = shm_new_segment(self->shm, MIB, NULL, &id);

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, syscall(SYS_mlock2, addr, MIB, 1 /* MLOCK_ONFAULT */));
	EXPECT_EQ((long)MIB, proc_bytes("/proc/self/status", "VmLck"));
	EXPECT_EQ(0, shm_rss(self->shm, id));
	addr[0] = 1;
	EXPECT_LT(0, shm_rss(self->shm, id));
	ASSERT_EQ(0, munlock(addr, MIB));
	EXPECT_EQ(0, proc_bytes("/proc/self/status", "VmLck"));
}

TEST_F(memory, mlock_of_a_removed_segment_is_undone_by_exit)
{
	int id;

	SHM_IN_CHILD({
		char *addr = shm_new_segment(self->shm, MIB, NULL, &id);

		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(0, mlock(addr, MIB));
		ASSERT_EQ(0, self->shm->rmid(id));
	});
	EXPECT_EQ(1, shm_count(self->shm));
}

TEST_F(memory, mincore_tells_what_is_there)
{
	unsigned char core[256];
	int id;
	char *addr = shm_new_segment(self->shm, 256 * self->page, NULL, &id);
	size_t i, there = 0;

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, mincore(addr, 256 * self->page, core));
	for (i = 0; i < 256; i++)
		EXPECT_EQ(0, core[i] & 1);
	addr[100 * self->page] = 1;
	ASSERT_EQ(0, mincore(addr, 256 * self->page, core));
	EXPECT_EQ(1, core[100] & 1);
	for (i = 0; i < 256; i++)
		there += core[i] & 1;
	EXPECT_EQ(shm_rss(self->shm, id), (long)(there * self->page));
}

TEST_F(memory, dontneed_keeps_the_data)
{
	pattern_fill(self->addr, self->size, 14);
	ASSERT_EQ(0, madvise(self->addr, self->size, MADV_DONTNEED));
	EXPECT_EQ(0, vma_smaps_bytes(self->addr, "Rss"));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 14));
	EXPECT_TRUE(pattern_stands(self->again, self->size, 14));
}

TEST_F(memory, populate_brings_in)
{
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);

	ASSERT_NE(SHM_FAILED, reader);
	ASSERT_EQ(0, madvise(self->addr, 4 * self->page, MADV_POPULATE_READ));
	EXPECT_LE((long)(4 * self->page), vma_smaps_bytes(self->addr, "Rss"));
	ASSERT_EQ(0, madvise(self->addr, self->size, MADV_POPULATE_WRITE));
	EXPECT_EQ((long)self->size, vma_smaps_bytes(self->addr, "Rss"));
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
	EXPECT_EQ(0, madvise(reader, self->size, MADV_POPULATE_READ));
	EXPECT_ERRNO(EINVAL, madvise(reader, self->size, MADV_POPULATE_WRITE));
}

/* Advice may be followed or not; it is accepted as on the built-in and loses nothing. */
TEST_F(memory, advice_loses_nothing)
{
	static const int advice[] = { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
				      MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_DONTDUMP, MADV_DODUMP, MADV_COLD, MADV_PAGEOUT };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advice); i++) {
		if ((advice[i] == MADV_MERGEABLE || advice[i] == MADV_UNMERGEABLE) && access("/sys/kernel/mm/ksm", F_OK))
			continue;
		pattern_fill(self->addr, self->size, i);
		if (shm_has_huge() || (advice[i] != MADV_HUGEPAGE && advice[i] != MADV_NOHUGEPAGE))
			EXPECT_EQ(0, madvise(self->addr, self->size, advice[i]))
				TH_LOG("advice %d: %s", advice[i], strerror(errno));
		EXPECT_TRUE(pattern_stands(self->addr, self->size, i));
		EXPECT_TRUE(pattern_stands(self->again, self->size, i));
	}
	EXPECT_ERRNO(EINVAL, madvise(self->addr, self->size, MADV_FREE));
	EXPECT_TRUE(pattern_stands(self->again, self->size, i - 1));
}

/* Without swap, pages of a segment have nowhere to go: no amount of reclaim may drop them. */
TEST_F(memory, drop_caches_and_pageout_lose_nothing)
{
	int id, i;
	char *addr = shm_new_segment(self->shm, 8 * MIB, NULL, &id);

	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, 8 * MIB, 15);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(addr, 8 * MIB, MADV_DONTNEED));
		ASSERT_EQ(0, madvise(addr, 8 * MIB, MADV_COLD));
		ASSERT_EQ(0, madvise(addr, 8 * MIB, MADV_PAGEOUT));
		sync();
		ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	}
	EXPECT_TRUE(pattern_stands(addr, 8 * MIB, 15));
	/* Also while nobody is attached. */
	ASSERT_EQ(0, self->shm->detach(addr));
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	EXPECT_EQ(8L * 1024 * 1024, shm_rss(self->shm, id));
	addr = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_TRUE(pattern_stands(addr, 8 * MIB, 15));
}

TEST_F(memory, compaction_loses_nothing)
{
	int id;
	char *addr = shm_new_segment(self->shm, 4 * MIB, NULL, &id);
	size_t i;

	ASSERT_NE(SHM_FAILED, addr);
	/* Touched backwards and with gaps, so that there is something to compact. */
	for (i = 4 * MIB; i; i -= 2 * self->page)
		addr[i - 1] = 1;
	pattern_fill(addr, 4 * MIB, 16);
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/compact_memory", "1"));
	EXPECT_TRUE(pattern_stands(addr, 4 * MIB, 16));
}

TEST_F(memory, msync_is_accepted)
{
	self->addr[0] = 1;
	EXPECT_EQ(0, msync(self->addr, self->size, MS_SYNC));
	EXPECT_EQ(0, msync(self->addr, self->size, MS_ASYNC | MS_INVALIDATE));
	EXPECT_EQ(1, self->again[0]);
}

/* MADV_REMOVE takes pages out of the segment itself: they read as zeros, for everybody. */
TEST_F(memory, madvise_remove_punches_a_hole)
{
	pattern_fill(self->addr, self->size, 17);
	ASSERT_EQ(0, madvise(self->addr + 4 * self->page, 2 * self->page, MADV_REMOVE))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ((long)(self->size - 2 * self->page), shm_rss(self->shm, self->id));
	EXPECT_EQ(0, self->again[4 * self->page]);
	EXPECT_EQ(0, self->again[6 * self->page - 1]);
	EXPECT_EQ(((uint32_t *)self->addr)[self->page], ((uint32_t *)self->again)[self->page]);
	EXPECT_TRUE(pattern_stands(self->again, 4 * self->page, 17));
}

TEST_F(memory, remap_file_pages_is_emulated)
{
	int i;

	for (i = 0; i < PAGES; i++)
		self->addr[i * self->page] = (char)i;
	ASSERT_EQ(0, syscall(SYS_remap_file_pages, self->addr + 2 * self->page, self->page, 0, 7, 0));
	EXPECT_EQ(7, self->addr[2 * self->page]);
	EXPECT_EQ(1, self->addr[self->page]);
	EXPECT_EQ(2, self->again[2 * self->page]);
	/* Three pieces here, one there. */
	EXPECT_EQ(4, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	/* The page that is out of order is no part of what is detached. */
	EXPECT_EQ(1, vma_count(self->addr, self->size));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
}

/* The policy is the segment's. More of it is in policy.c. */
TEST_F(memory, mbind_is_shared)
{
	unsigned long nodes[64 / sizeof(long) / 8] = { 1 };
	int mode = -1;

	if (!shm_has_numa())
		SKIP(return, "this kernel has no NUMA");
	ASSERT_EQ(0, syscall(SYS_mbind, self->addr, self->size, MPOL_PREFERRED, nodes, 64, 0));
	EXPECT_EQ(0, write_signal(self->addr));
	ASSERT_EQ(0, syscall(SYS_get_mempolicy, &mode, nodes, 64, self->addr, MPOL_F_ADDR));
	EXPECT_EQ(MPOL_PREFERRED, mode);
	ASSERT_EQ(0, syscall(SYS_get_mempolicy, &mode, nodes, 64, self->again, MPOL_F_ADDR));
	EXPECT_EQ(MPOL_PREFERRED, mode);
	EXPECT_EQ(1, nodes[0]);
}

/*
 * Sizes and ends.
 */

TEST_F(memory, first_touch_is_zero_everywhere)
{
	int id;
	char *addr = shm_new_segment(self->shm, 8 * MIB, NULL, &id);
	size_t i;

	ASSERT_NE(SHM_FAILED, addr);
	/* Dirty some memory first, and give it back, so that zeros are not there by luck. */
	memset(addr, 0xff, 8 * MIB);
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(addr));
	addr = shm_new_segment(self->shm, 8 * MIB, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	for (i = 0; i < 8 * MIB / sizeof(long); i++)
		ASSERT_EQ(0, ((long *)addr)[i]);
}

TEST_F(memory, nothing_is_allocated_before_the_touch)
{
	int id;
	char *addr = shm_new_segment(self->shm, 512 * MIB, NULL, &id);

	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_EQ(0, shm_rss(self->shm, id));
	addr[0] = 1;
	EXPECT_LT(0, shm_rss(self->shm, id));
	EXPECT_GE((long)HUGE_SIZE, shm_rss(self->shm, id));
}

TEST_F(memory, rss_is_what_was_touched)
{
	struct rust_shm_usage usage;
	int i;

	ASSERT_EQ(0, shm_rss(self->shm, self->id));
	for (i = 0; i < PAGES; i++)
		self->addr[i * self->page] = 1;
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
	EXPECT_EQ((long)self->size, vma_smaps_bytes(self->addr, "Rss"));
	ASSERT_LE(0, self->shm->shm_info(&usage));
	EXPECT_EQ(PAGES, usage.shm_rss);
	EXPECT_EQ(0, usage.shm_swp);
	/* It is memory of the segment, not of the attach. */
	ASSERT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
}

/* However large the folios: never more than the segment. */
TEST_F(memory, small_segments_take_little)
{
	static const size_t sizes[] = { 1, 4096, 5 * 4096, 64 * KIB, 100 * KIB, MIB };
	size_t i;
	char *addr;
	int id;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t whole = (sizes[i] + self->page - 1) & ~(self->page - 1);

		addr = shm_new_segment(self->shm, sizes[i], NULL, &id);
		ASSERT_NE(SHM_FAILED, addr);
		addr[0] = 1;
		EXPECT_LE((long)self->page, shm_rss(self->shm, id));
		EXPECT_GE((long)whole, shm_rss(self->shm, id));
		memset(addr, 1, whole);
		EXPECT_EQ((long)whole, shm_rss(self->shm, id));
	}
}

TEST_F(memory, tail_behind_a_huge_page)
{
	int id;
	size_t size = HUGE_SIZE + self->page;
	char *addr = shm_new_segment(self->shm, size, NULL, &id);

	ASSERT_NE(SHM_FAILED, addr);
	addr[HUGE_SIZE] = 't';
	EXPECT_EQ((long)self->page, shm_rss(self->shm, id));
	memset(addr, 1, HUGE_SIZE);
	EXPECT_EQ((long)size, shm_rss(self->shm, id));
	EXPECT_EQ('t', addr[HUGE_SIZE]);
	EXPECT_EQ(0, addr[HUGE_SIZE + 1]);
	EXPECT_EQ(0, addr[size - 1]);
}

TEST_F(memory, last_page_is_whole)
{
	int id;
	char *addr = shm_new_segment(self->shm, 1, NULL, &id);
	size_t i;

	ASSERT_NE(SHM_FAILED, addr);
	for (i = 0; i < self->page; i++)
		ASSERT_EQ(0, addr[i]);
	memset(addr, 'w', self->page);
	EXPECT_EQ('w', addr[self->page - 1]);
}

TEST_F(memory, beyond_the_end_is_sigbus)
{
	static const size_t pages[] = { 1, 3, 16, 512, 513 };
	struct gate gate;
	size_t i, size;
	char *addr;
	int id;

	ASSERT_EQ(0, gate_make(&gate));
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		size = pages[i] * self->page;
		addr = shm_new_segment(self->shm, size, vma_hole(8 * MIB), &id);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(addr, mremap(addr, size, size + 4 * self->page, 0));
		EXPECT_EQ(0, write_signal(addr + size - 1));
		EXPECT_EQ(SIGBUS, read_signal(addr + size));
		EXPECT_EQ(SIGBUS, write_signal(addr + size));
		EXPECT_EQ(SIGBUS, write_signal(addr + size + 3 * self->page));
		EXPECT_EQ(SIGSEGV, read_signal(addr + size + 4 * self->page));
		/* The kernel finds nothing there either. */
		EXPECT_ERRNO(EFAULT, write(gate.fd[1], addr + size, 1));
		EXPECT_ERRNO(EFAULT, madvise(addr + size, self->page, MADV_POPULATE_READ));
		ASSERT_EQ(0, self->shm->rmid(id));
		ASSERT_EQ(0, self->shm->detach(addr));
	}
	EXPECT_EQ(1, shm_count(self->shm));
}

/* Everything that breaks a huge mapping: its pages, its rights and its data survive. */
TEST_F(memory, huge_mappings_are_broken_and_whole_again)
{
	int id;
	char *hole = vma_hole(8 * MIB), *addr = shm_new_segment(self->shm, 4 * MIB, hole, &id), *again;

	ASSERT_NE(SHM_FAILED, addr);
	again = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, again);
	pattern_fill(addr, 4 * MIB, 41);
	ASSERT_EQ(0, mprotect(addr + MIB, self->page, PROT_READ));
	EXPECT_EQ(SIGSEGV, write_signal(addr + MIB));
	EXPECT_EQ(0, write_signal(addr + MIB - 1));
	EXPECT_EQ(0, write_signal(addr + MIB + self->page));
	ASSERT_EQ(0, mprotect(addr + MIB, self->page, PROT_READ | PROT_WRITE));
	pattern_fill(addr, 4 * MIB, 42);
	ASSERT_EQ(0, madvise(addr + 3 * self->page, self->page, MADV_DONTNEED));
	ASSERT_EQ(0, munmap(addr + 3 * MIB, self->page));
	ASSERT_EQ(0, mlock(addr + 5 * self->page, self->page));
	/* To a place where it cannot be mapped by huge pages. */
	strcpy(addr + MIB / 2, "moved");
	ASSERT_EQ(hole + 4 * MIB + self->page,
		  mremap(addr + MIB / 2, MIB / 4, MIB / 4, MREMAP_MAYMOVE | MREMAP_FIXED, hole + 4 * MIB + self->page));
	EXPECT_STREQ("moved", hole + 4 * MIB + self->page);
	pattern_fill(addr + 2 * MIB, self->page, 43);
	SHM_IN_CHILD({
		EXPECT_TRUE(pattern_stands(again, MIB / 2, 42));
		EXPECT_STREQ("moved", again + MIB / 2);
		EXPECT_TRUE(pattern_stands(again + 2 * MIB, self->page, 43));
		memset(addr + 2 * MIB, 'c', self->page);
	});
	EXPECT_EQ('c', again[2 * MIB]);
	EXPECT_EQ((long)(4 * MIB), shm_rss(self->shm, id));
}

/*
 * Races.
 */

/* Two processes touch the same new page at the same time: each sees what the other wrote. */
TEST_F_TIMEOUT(memory, first_touch_by_two, 60)
{
	enum { ROUNDS = 200 };
	unsigned int *start = (unsigned int *)self->addr, round;
	int id;
	char *addr = shm_new_segment(self->shm, ROUNDS * self->page, NULL, &id);
	pid_t child;

	ASSERT_NE(SHM_FAILED, addr);
	*start = 0;
	child = fork();
	ASSERT_LE(0, child);
	for (round = 0; round < ROUNDS; round++) {
		__atomic_fetch_add(start, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(start, __ATOMIC_SEQ_CST) < 2 * (round + 1))
			sched_yield();
		__atomic_fetch_add((unsigned int *)(addr + round * self->page), child ? 1 : 0x100, __ATOMIC_SEQ_CST);
	}
	if (!child)
		_exit(0);
	EXPECT_EQ(0, shm_wait(child));
	for (round = 0; round < ROUNDS; round++)
		ASSERT_EQ(0x101, *(unsigned int *)(addr + round * self->page));
	EXPECT_EQ((long)(ROUNDS * self->page), shm_rss(self->shm, id));
}

#define STRESSED (32 * MIB)

/* Processes fault random pages, throw their mappings away and fault again; each owns every fourth word of a page. */
TEST_F_TIMEOUT(memory, stress_faults, 90)
{
	int id;
	char *addr = shm_new_segment(self->shm, STRESSED, NULL, &id);
	size_t pages = STRESSED / self->page, i;
	double end = shm_now() + 2;
	unsigned int worker;
	pid_t child[4];

	ASSERT_NE(SHM_FAILED, addr);
	for (worker = 0; worker < 4; worker++) {
		SHM_FORK(child[worker]) {
			unsigned int random = worker * 7919 + 1, round = 0;
			char *mine = self->shm->attach(id, NULL, 0);

			if (mine == SHM_FAILED)
				_exit(1);
			while (round++ % 64 || shm_now() < end) {
				size_t page = (random = random * 1103515245 + 12345) / 65536 % pages;
				unsigned int *word = (unsigned int *)(mine + page * self->page) + worker;

				if (*word && *word != page + 1)
					_exit(2);
				*word = page + 1;
				if (!(random >> 8 & 63))
					madvise(mine + page * self->page, 16 * self->page, MADV_DONTNEED);
				if (!(random >> 16 & 4095)) {
					if (self->shm->detach(mine))
						_exit(3);
					mine = self->shm->attach(id, NULL, 0);
					if (mine == SHM_FAILED)
						_exit(4);
				}
			}
			_exit(0);
		}
	}
	for (worker = 0; worker < 4; worker++)
		EXPECT_EQ(0, shm_wait(child[worker]));
	for (i = 0; i < pages; i++) {
		for (worker = 0; worker < 4; worker++) {
			unsigned int word = ((unsigned int *)(addr + i * self->page))[worker];

			ASSERT_TRUE(!word || word == i + 1);
		}
	}
	EXPECT_GE((long)STRESSED, shm_rss(self->shm, id));
}

struct toucher {
	char *addr;
	size_t size;
	int stop;
};

static void *touch_on_and_on(void *arg)
{
	struct toucher *toucher = arg;
	size_t i;

	while (!__atomic_load_n(&toucher->stop, __ATOMIC_RELAXED))
		for (i = 0; i < toucher->size; i += 4096)
			access_store(toucher->addr + i);
	return NULL;
}

/* Threads touch while the main thread unmaps pieces and moves others in and out: no crash, no lost count. */
TEST_F_TIMEOUT(memory, stress_faults_against_protection, 60)
{
	int id;
	char *addr = shm_new_segment(self->shm, 4 * MIB, vma_hole(4 * MIB), &id);
	struct toucher toucher = { addr, 4 * MIB, 0 };
	pthread_t thread[2];
	double end = shm_now() + 1;

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, touch_on_and_on, &toucher));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, touch_on_and_on, &toucher));
	while (shm_now() < end) {
		ASSERT_EQ(0, madvise(addr, 4 * MIB, MADV_DONTNEED));
		ASSERT_EQ(addr, self->shm->attach(id, addr, SHM_REMAP));
		ASSERT_EQ(0, mprotect(addr + MIB, MIB, PROT_READ | PROT_WRITE | PROT_EXEC));
		ASSERT_EQ(0, mprotect(addr + MIB, MIB, PROT_READ | PROT_WRITE));
	}
	__atomic_store_n(&toucher.stop, 1, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread[0], NULL));
	ASSERT_EQ(0, pthread_join(thread[1], NULL));
	EXPECT_EQ(vma_count(addr, 4 * MIB), shm_nattch(self->shm, id));
	EXPECT_EQ((long)(4 * MIB), shm_rss(self->shm, id));
}

/*
 * Memory control groups.
 */

TEST_F(memory, charged_to_the_toucher)
{
	long before, after;
	struct cgroup group;
	char *addr;
	int id;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	addr = shm_new_segment(self->shm, 16 * MIB, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	before = cgroup_read(&group, "memory.current", NULL);
	ASSERT_LE(0, before);
	/* The creator is outside; only who touches it is inside. */
	SHM_IN_CHILD({
		ASSERT_EQ(0, cgroup_enter(&group));
		memset(addr, 1, 16 * MIB);
	});
	after = cgroup_read(&group, "memory.current", NULL);
	EXPECT_LE(before + (long)(15 * MIB), after);
	ASSERT_EQ(0, self->shm->detach(addr));
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_GT((long)(8 * MIB), cgroup_read(&group, "memory.current", NULL));
	EXPECT_EQ(0, cgroup_remove(&group));
}

#define EXPECT_ABOUT(expected, seen) do { \
	long __about = (seen); \
	EXPECT_LE((long)(expected) - (long)MIB, __about); \
	EXPECT_GE((long)(expected) + (long)MIB, __about); \
} while (0)

/* Where touched memory is counted: for the process, its group and the machine; small pages, and huge ones. */
TEST_F_TIMEOUT(memory, counted_as_shmem, 60)
{
	static const char *const settings[] = { "never", "within_size" };
	static const char *const fields[] = { "Shmem", "Cached", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped", "Unevictable" };
	enum { SHMEM, CACHED, SHMEM_HUGE, SHMEM_PMD, FILE_HUGE, FILE_PMD, UNEVICTABLE, FIELDS };
	const long size = 16 * MIB;
	long before[FIELDS], rss_file;
	struct cgroup group;
	int huge, i;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	for (huge = 0; huge < 1 + shm_has_large(); huge++) {
		const long pmd = huge ? size : 0;
		char *addr;
		int id;

		if (huge)
			setting_restore(&self->huge);
		ASSERT_EQ(0, huge_change(&self->huge, self->shm, settings[huge]));
		addr = shm_new_segment(self->shm, 2 * size, vma_hole(2 * size), &id);
		ASSERT_NE(SHM_FAILED, addr);
		for (i = 0; i < FIELDS; i++)
			before[i] = meminfo(fields[i]);
		rss_file = proc_bytes("/proc/self/status", "RssFile");
		SHM_CHILD {
			ASSERT_EQ(0, cgroup_enter(&group));
			memset(addr + size / 2, 1, size);
			EXPECT_ABOUT(size, proc_bytes("/proc/self/status", "RssShmem"));
			EXPECT_ABOUT(rss_file, proc_bytes("/proc/self/status", "RssFile"));
			EXPECT_EQ(size, vma_smaps_bytes(addr, "Rss"));
			EXPECT_EQ(pmd, pmd_mapped(addr));
			EXPECT_EQ(0, vma_smaps_bytes(addr, "FilePmdMapped"));
			EXPECT_ABOUT(pmd, meminfo(fields[SHMEM_PMD]) - before[SHMEM_PMD]);
			EXPECT_EQ(before[FILE_PMD], meminfo(fields[FILE_PMD]));
		}
		EXPECT_ABOUT(size, meminfo(fields[SHMEM]) - before[SHMEM]);
		EXPECT_ABOUT(size, meminfo(fields[CACHED]) - before[CACHED]);
		EXPECT_ABOUT(pmd, meminfo(fields[SHMEM_HUGE]) - before[SHMEM_HUGE]);
		EXPECT_EQ(before[FILE_HUGE], meminfo(fields[FILE_HUGE]));
		EXPECT_ABOUT(0, meminfo(fields[UNEVICTABLE]) - before[UNEVICTABLE]);
		EXPECT_ABOUT(size, cgroup_read(&group, "memory.current", NULL));
		EXPECT_ABOUT(size, cgroup_read(&group, "memory.stat", "shmem"));
		EXPECT_ABOUT(size, cgroup_read(&group, "memory.stat", "file"));
		if (shm_has_huge()) {
			EXPECT_ABOUT(pmd, cgroup_read(&group, "memory.stat", "shmem_thp"));
			EXPECT_EQ(0, cgroup_read(&group, "memory.stat", "file_thp"));
		}
		ASSERT_EQ(0, self->shm->detach(addr));
		ASSERT_EQ(0, self->shm->rmid(id));
		EXPECT_ABOUT(0, meminfo(fields[SHMEM]) - before[SHMEM]);
		EXPECT_ABOUT(0, cgroup_read(&group, "memory.stat", "shmem"));
	}
	EXPECT_EQ(0, cgroup_remove(&group));
}

/* Beyond its group's limit a process is killed or gets SIGBUS; everybody else lives on with the data. */
TEST_F_TIMEOUT(memory, limit_of_the_toucher, 60)
{
	struct cgroup group;
	int id, status;
	pid_t child;
	char *addr;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	ASSERT_EQ(0, cgroup_write(&group, "memory.max", "32M"));
	cgroup_write(&group, "memory.swap.max", "0");
	addr = shm_new_segment(self->shm, 64 * MIB, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	SHM_FORK(child) {
		struct rlimit none = { 0, 0 };

		/* A dump of what it has touched would only be in the way. */
		if (setrlimit(RLIMIT_CORE, &none) || cgroup_enter(&group))
			_exit(1);
		pattern_fill(addr, 64 * MIB, 51);
		_exit(0);
	}
	status = shm_wait(child);
	EXPECT_TRUE(status == 256 + SIGKILL || status == 256 + SIGBUS)
		TH_LOG("the child ended with %d", status);
	EXPECT_LT((long)(16 * MIB), shm_rss(self->shm, id));
	EXPECT_GE((long)(32 * MIB), shm_rss(self->shm, id));
	EXPECT_TRUE(pattern_stands(addr, 16 * MIB, 51));
	/* The parent has no such limit. */
	EXPECT_EQ(0, write_signal(addr + 64 * MIB - 1));
	EXPECT_EQ(1, shm_nattch(self->shm, id));
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, cgroup_remove(&group));
}

/* Reclaim in a group finds nothing to take from a segment without swap, and loses nothing. */
TEST_F_TIMEOUT(memory, reclaim_in_a_group_loses_nothing, 60)
{
	struct cgroup group;
	char *addr;
	int id;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	addr = shm_new_segment(self->shm, 16 * MIB, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	SHM_IN_CHILD({
		ASSERT_EQ(0, cgroup_enter(&group));
		pattern_fill(addr, 16 * MIB, 61);
	});
	cgroup_write(&group, "memory.reclaim", "16M");
	EXPECT_EQ((long)(16 * MIB), shm_rss(self->shm, id));
	EXPECT_TRUE(pattern_stands(addr, 16 * MIB, 61));
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, cgroup_remove(&group));
}

/* fallocate of more than its group may have: all is given back but what is in use. */
TEST_F_TIMEOUT(memory, limit_undoes_fallocate, 60)
{
	struct cgroup group;
	char path[96];
	struct rlimit none = { 0, 0 };
	int id, fd, status;
	pid_t child;
	char *addr;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	ASSERT_EQ(0, cgroup_write(&group, "memory.max", "16M"));
	cgroup_write(&group, "memory.swap.max", "0");
	addr = shm_new_segment(self->shm, 64 * MIB, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, shm_small_pages(addr, 64 * MIB));
	strcpy(addr + 5 * self->page, "in use");
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + 64 * MIB);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	SHM_FORK(child) {
		if (setrlimit(RLIMIT_CORE, &none) || cgroup_enter(&group))
			_exit(1);
		_exit(!fallocate(fd, 0, 0, 64 * MIB) ? 2 : errno != ENOMEM && errno != EINTR ? 3 : 0);
	}
	status = shm_wait(child);
	EXPECT_TRUE(!status || status == 256 + SIGKILL)
		TH_LOG("the child ended with %d", status);
	EXPECT_EQ((long)self->page, shm_rss(self->shm, id));
	EXPECT_STREQ("in use", addr + 5 * self->page);
	/* Who is in no such group can have it. */
	ASSERT_EQ(0, fallocate(fd, 0, 0, 64 * MIB));
	EXPECT_EQ((long)(64 * MIB), shm_rss(self->shm, id));
	EXPECT_STREQ("in use", addr + 5 * self->page);
	close(fd);
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, cgroup_remove(&group));
}

/* The same, again and again, while others put to use what is reserved: nothing that they have written is given up. */
TEST_F_TIMEOUT(memory, stress_fallocate, 90)
{
	struct cgroup group;
	char path[96];
	struct rlimit none = { 0, 0 };
	size_t pages = 32 * MIB / self->page, i;
	int id, fd, round, status;
	pid_t child;
	char *addr;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	ASSERT_EQ(0, cgroup_write(&group, "memory.max", "8M"));
	cgroup_write(&group, "memory.swap.max", "0");
	addr = shm_new_segment(self->shm, 32 * MIB, NULL, &id);
	ASSERT_NE(SHM_FAILED, addr);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + 32 * MIB);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, shm_small_pages(addr, 32 * MIB));
	for (round = 0; round < 6; round++) {
		SHM_FORK(child) {
			if (setrlimit(RLIMIT_CORE, &none) || cgroup_enter(&group))
				_exit(1);
			for (i = 0; i < 4; i++)
				if (!fallocate(fd, 0, 0, 32 * MIB))
					_exit(2);
			_exit(0);
		}
		/* Every 16th page, so that it never gets all. */
		for (i = round; i < pages; i += 16)
			*(unsigned int *)(addr + i * self->page) = i + 1;
		status = shm_wait(child);
		EXPECT_TRUE(!status || status == 256 + SIGKILL)
			TH_LOG("the child ended with %d", status);
		for (i = 0; i < pages; i++)
			ASSERT_EQ((int)(i % 16) <= round ? i + 1 : 0, *(unsigned int *)(addr + i * self->page))
				TH_LOG("page %zu", i);
		/* What was only read is taken out again. */
		for (i = 0; i < pages; i++)
			if ((int)(i % 16) > round)
				ASSERT_EQ(0, madvise(addr + i * self->page, self->page, MADV_REMOVE));
	}
	close(fd);
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, cgroup_remove(&group));
}

/*
 * Tasks that stop in the middle of a fault.
 */

static void touch_and_punch(char *addr, size_t size)
{
	size_t i;

	for (;;) {
		for (i = 0; i < size; i += 4096)
			addr[i] = 1;
		madvise(addr, size, MADV_REMOVE);
	}
}

TEST_F_TIMEOUT(memory, killed_in_a_fault, 60)
{
	int id, round;
	char *addr = shm_new_segment(self->shm, 8 * MIB, NULL, &id);
	pid_t child[2];

	ASSERT_NE(SHM_FAILED, addr);
	for (round = 0; round < 25; round++) {
		child[0] = fork();
		if (!child[0])
			touch_and_punch(addr, 8 * MIB);
		child[1] = fork();
		if (!child[1])
			touch_and_punch(self->shm->attach(id, NULL, 0), 8 * MIB);
		ASSERT_LT(0, child[0]);
		ASSERT_LT(0, child[1]);
		usleep(1000 + round * 3777 % 20000);
		kill(child[0], SIGKILL);
		kill(child[1], SIGKILL);
		EXPECT_EQ(256 + SIGKILL, shm_wait(child[0]));
		EXPECT_EQ(256 + SIGKILL, shm_wait(child[1]));
		/* Nothing that they held is in the way. */
		memset(addr, 1, 8 * MIB);
		ASSERT_EQ(0, madvise(addr, 8 * MIB, MADV_REMOVE));
	}
	EXPECT_EQ(1, shm_nattch(self->shm, id));
	EXPECT_EQ(0, shm_rss(self->shm, id));
}

TEST_F_TIMEOUT(memory, frozen_in_a_fault, 60)
{
	struct cgroup group;
	int id, round;
	char *addr = shm_new_segment(self->shm, 8 * MIB, NULL, &id);
	pid_t child;

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no memory control group: %s", strerror(errno));
	SHM_FORK(child) {
		if (cgroup_enter(&group))
			_exit(1);
		touch_and_punch(addr, 8 * MIB);
	}
	for (round = 0; round < 25; round++) {
		usleep(1000 + round * 3777 % 20000);
		ASSERT_EQ(0, cgroup_write(&group, "cgroup.freeze", "1"));
		memset(addr, 1, 8 * MIB);
		ASSERT_EQ(0, madvise(addr, 8 * MIB, MADV_REMOVE));
		ASSERT_EQ(0, cgroup_write(&group, "cgroup.freeze", "0"));
	}
	kill(child, SIGKILL);
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_EQ(0, cgroup_remove(&group));
}

TEST_HARNESS_MAIN
