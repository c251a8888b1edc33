// SPDX-License-Identifier: GPL-2.0
/*
 * Advice: what a process asks of the kernel for the memory of an attach. madvise and its kin, fallocate, and pages that the hardware
 * has spoilt. Every test runs on the built-in and on the module.
 */
#include "kselftest_harness.h"

#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "setting.h"
#include "shm_backend.h"
#include "vma.h"

#define PAGES 16

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#define THP_DISABLE_EXCEPT_ADVISED 2

/* The file below an attach of this size, as /proc/PID/map_files has it. */
static int open_below(const char *addr, size_t size, int flags)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + size);
	return open(path, flags | O_CLOEXEC);
}

FIXTURE(advice) {
	const struct shm_backend *shm;
	size_t page;
	size_t size;	/* of the segment: PAGES pages */
	int id;
	char *addr;
	char *again;	/* the same segment, attached once more */
};

SHM_BOTH(advice)

FIXTURE_SETUP(advice)
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

FIXTURE_TEARDOWN(advice)
{
	SHM_LEAVE(self->shm);
}

/* Each number there is, and some that there are not. */
static bool has_ksm(void)
{
	return !access("/sys/kernel/mm/ksm", F_OK);
}

#define NEEDS_POISON() do { \
	if (meminfo("HardwareCorrupted") < 0) \
		SKIP(return, "this kernel does not handle failures of memory"); \
} while (0)

TEST_F(advice, answers)
{
	static const int bad[] = { 5, 6, 7, MADV_FREE, MADV_WIPEONFORK, 26, 50, 99, 104, 1000, -1 };
	static const int good[] = { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_DONTFORK, MADV_DOFORK,
				    MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP,
				    MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
				    MADV_DONTNEED_LOCKED, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE };
	size_t i;

	pattern_fill(self->addr, self->size, 1);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		bool there = (shm_has_huge() || (good[i] != MADV_HUGEPAGE && good[i] != MADV_NOHUGEPAGE)) &&
			     (has_ksm() || (good[i] != MADV_MERGEABLE && good[i] != MADV_UNMERGEABLE));

		EXPECT_EQ(there ? 0 : -1, madvise(self->addr, self->size, good[i]))
			TH_LOG("advice %d: %s", good[i], strerror(errno));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERRNO(EINVAL, madvise(self->addr, self->size, bad[i]));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 1));
	EXPECT_TRUE(pattern_stands(self->again, self->size, 1));
}

TEST_F(advice, dontfork_is_not_counted)
{
	pid_t child;
	struct gate gate;

	ASSERT_EQ(0, gate_make(&gate));
	ASSERT_EQ(0, madvise(self->addr, self->size, MADV_DONTFORK));
	SHM_FORK(child) {
		gate_wait(&gate);
		_exit(vma_mapped(self->addr) || !vma_mapped(self->again));
	}
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	gate_open(&gate);
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
}

TEST_F(advice, guard_is_of_the_attach)
{
	pattern_fill(self->addr, self->size, 2);
	ASSERT_EQ(0, madvise(self->addr + 3 * self->page, self->page, MADV_GUARD_INSTALL));
	EXPECT_EQ(SIGSEGV, read_signal(self->addr + 3 * self->page));
	EXPECT_EQ(0, read_signal(self->addr + 4 * self->page));
	EXPECT_TRUE(pattern_stands(self->again, self->size, 2));
	ASSERT_EQ(0, madvise(self->addr + 3 * self->page, self->page, MADV_GUARD_REMOVE));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 2));
}

TEST_F(advice, of_another_process)
{
	struct iovec iov = { self->addr, self->size };
	struct gate gate;
	pid_t child;
	int pidfd;

	ASSERT_EQ(0, gate_make(&gate));
	pattern_fill(self->addr, self->size, 3);
	SHM_FORK(child) {
		gate_wait(&gate);
		_exit(!pattern_stands(self->addr, self->size, 3));
	}
	pidfd = syscall(SYS_pidfd_open, child, 0);
	ASSERT_LE(0, pidfd);
	EXPECT_EQ((long)self->size, syscall(SYS_process_madvise, pidfd, &iov, 1L, MADV_COLD, 0));
	EXPECT_EQ((long)self->size, syscall(SYS_process_madvise, pidfd, &iov, 1L, MADV_PAGEOUT, 0));
	EXPECT_EQ((long)self->size, syscall(SYS_process_madvise, pidfd, &iov, 1L, MADV_WILLNEED, 0));
	EXPECT_ERRNO(EINVAL, syscall(SYS_process_madvise, pidfd, &iov, 1L, MADV_DONTNEED, 0));
	gate_open(&gate);
	EXPECT_EQ(0, shm_wait(child));
}

TEST_F(advice, sealed_mapping)
{
	SHM_IN_CHILD({
		ASSERT_EQ(0, syscall(SYS_mseal, self->addr, self->size, 0));
		EXPECT_ERRNO(EPERM, munmap(self->addr, self->size));
		EXPECT_ERRNO(EPERM, mprotect(self->addr, self->size, PROT_READ));
		EXPECT_ERRNO(EPERM, (long)mremap(self->addr, self->size, 2 * self->size, MREMAP_MAYMOVE));
		/* The system call says yes, and does not do it. */
		EXPECT_EQ(0, self->shm->detach(self->addr));
		EXPECT_TRUE(vma_mapped(self->addr));
		EXPECT_EQ(0, write_signal(self->addr));
		EXPECT_EQ(4, shm_nattch(self->shm, self->id));
	});
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
}

TEST_F(advice, merging_leaves_it_alone)
{
	int i;

	if (!has_ksm())
		SKIP(return, "this kernel has no KSM");
	SHM_IN_CHILD({
		ASSERT_EQ(0, prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0));
		for (i = 0; i < PAGES; i++)
			memset(self->addr + i * self->page, 7, self->page);
		char *more = self->shm->attach(self->id, NULL, 0);

		ASSERT_NE(SHM_FAILED, more);
		more[self->page] = 8;
		EXPECT_EQ(7, self->addr[2 * self->page]);
		EXPECT_EQ(8, self->again[self->page]);
	});
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
}

/* Memory of segments cannot be registered. */
TEST_F(advice, userfaultfd)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)self->addr, self->size } };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	static const unsigned long modes[] = { UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_MINOR, UFFDIO_REGISTER_MODE_WP };
	size_t i;

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		reg.mode = modes[i];
		EXPECT_ERRNO(EINVAL, ioctl(uffd, UFFDIO_REGISTER, &reg));
	}
	close(uffd);
	EXPECT_EQ(0, write_signal(self->addr));
}

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* Write-protection that the kernel lifts by itself asks nothing of the memory's owner. */
TEST_F(advice, userfaultfd_write_tracking)
{
	struct uffdio_api known = { .api = UFFD_API }, api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	struct uffdio_register reg = { .range = { (uintptr_t)self->addr, self->size }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = reg.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &known));
	close(uffd);
	if (!(known.features & UFFD_FEATURE_WP_ASYNC))
		SKIP(return, "this kernel has no UFFD_FEATURE_WP_ASYNC");
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	pattern_fill(self->addr, self->size, 4);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_WRITEPROTECT, &wp));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 4));
	pattern_fill(self->addr, self->size, 5);
	EXPECT_TRUE(pattern_stands(self->again, self->size, 5));
	close(uffd);
}

TEST_F(advice, dontneed_of_locked_memory)
{
	ASSERT_EQ(0, mlock(self->addr, self->size));
	pattern_fill(self->addr, self->size, 6);
	EXPECT_ERRNO(EINVAL, madvise(self->addr, self->size, MADV_DONTNEED));
	EXPECT_ERRNO(EINVAL, madvise(self->addr, self->size, MADV_REMOVE));
	EXPECT_EQ(0, madvise(self->addr, self->size, MADV_DONTNEED_LOCKED));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 6));
}

TEST_F(advice, cachestat_of_the_file_below)
{
	struct { uint64_t off, len; } range = { 0, 0 };
	struct { uint64_t cache, dirty, writeback, evicted, recently; } stat = { 0 };
	int fd;

	ASSERT_EQ(0, shm_small_pages(self->addr, self->size));
	memset(self->addr, 1, 5 * self->page);
	fd = open_below(self->addr, self->size, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, syscall(SYS_cachestat, fd, &range, &stat, 0));
	EXPECT_EQ(5, stat.cache);
	EXPECT_EQ(0, stat.writeback);
	EXPECT_EQ(0, stat.evicted);
	close(fd);
}

/*
 * fallocate.
 */

/* Memory that is reserved and never used goes with the segment, and moves. */
TEST_F(advice, fallocate_and_no_use)
{
	int id, fd;
	char *addr = shm_new_segment(self->shm, 8 * MIB, vma_hole(8 * MIB), &id);

	ASSERT_NE(SHM_FAILED, addr);
	fd = open_below(addr, 8 * MIB, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fallocate(fd, 0, 0, 8 * MIB));
	EXPECT_EQ((long)(8 * MIB), shm_rss(self->shm, id));
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/compact_memory", "1"));
	ASSERT_EQ(0, shm_write_file("/proc/sys/vm/drop_caches", "3"));
	EXPECT_EQ((long)(8 * MIB), shm_rss(self->shm, id));
	EXPECT_EQ(0, addr[5 * MIB]);
	addr[6 * MIB] = 1;
	close(fd);
	ASSERT_EQ(0, self->shm->detach(addr));
	ASSERT_EQ(0, self->shm->rmid(id));
}

TEST_F(advice, fallocate_refuses)
{
	static const int modes[] = { FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_INSERT_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_UNSHARE_RANGE };
	size_t i;
	int fd;

	fd = open_below(self->addr, self->size, O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(modes); i++)
		EXPECT_ERRNO(EOPNOTSUPP, fallocate(fd, modes[i], 0, self->page));
	EXPECT_ERRNO(EINVAL, fallocate(fd, 0, 0, 0));
	EXPECT_ERRNO(EINVAL, fallocate(fd, 0, -1, self->page));
	EXPECT_ERRNO(EFBIG, fallocate(fd, 0, INT64_MAX - 1, self->page));
	EXPECT_EQ(0, shm_rss(self->shm, self->id));
	close(fd);
	fd = open_below(self->addr, self->size, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_ERRNO(EBADF, fallocate(fd, 0, 0, self->page));
	close(fd);
}

/* The file below grows, which no attach can see. */
TEST_F(advice, fallocate_beyond_the_end)
{
	static const int modes[] = { FALLOC_FL_KEEP_SIZE, 0 };
	struct rust_shm_stat stat;
	struct stat file;
	size_t i;
	int fd;

	fd = open_below(self->addr, self->size, O_RDWR);
	ASSERT_LE(0, fd);
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		EXPECT_EQ(0, fallocate(fd, modes[i], self->size - self->page, 2 * self->page));
		ASSERT_EQ(0, fstat(fd, &file));
		EXPECT_EQ(self->size + i * self->page, file.st_size);
		EXPECT_LE((long)(2 * self->page), shm_rss(self->shm, self->id));
	}
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(self->size, stat.segsz);
	/* All of it goes with a hole that is as large as the file. */
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * self->size));
	EXPECT_EQ(0, shm_rss(self->shm, self->id));
	close(fd);
}

/* The file below is one that can be read and written, and lends its pages. */
TEST_F(advice, file_below_is_read_and_written)
{
	char text[16] = "by the file", seen[16];
	int fd;

	pattern_fill(self->addr, self->size, 7);
	fd = open_below(self->addr, self->size, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)sizeof(text), pwrite(fd, text, sizeof(text), 9 * self->page - 8));
	EXPECT_STREQ(text, self->again + 9 * self->page - 8);
	strcpy(self->addr + self->page, "by the attach");
	ASSERT_EQ((ssize_t)sizeof(seen), pread(fd, seen, sizeof(seen), self->page));
	EXPECT_STREQ("by the attach", seen);
	EXPECT_EQ(0, pread(fd, seen, sizeof(seen), self->size));
	EXPECT_TRUE(pattern_stands(self->addr, self->page, 7));
	close(fd);
}

/*
 * Pages that the hardware has spoilt, or is about to.
 */

static volatile int bus_errors;

static void count_bus_error(int sig)
{
	(void)sig;
	bus_errors++;
}

/* Spoils a page. The answer of madvise(2); who has the page mapped may get a SIGBUS by that, which is no harm here. */
static int poison(char *page)
{
	struct sigaction sa = { .sa_handler = count_bus_error }, old;
	int result, error;

	sigaction(SIGBUS, &sa, &old);
	result = madvise(page, page_size(), MADV_HWPOISON);
	error = errno;
	sigaction(SIGBUS, &old, NULL);
	errno = error;
	return result;
}

static long corrupted(void)
{
	return meminfo("HardwareCorrupted");
}

TEST_F(advice, poisoned_page_is_sigbus_for_all)
{
	char *bad = self->addr + 3 * self->page, *same = self->again + 3 * self->page, *later;
	long before = corrupted();
	int pipefd[2], fd;

	NEEDS_POISON();
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_EQ(0, shm_small_pages(self->addr, self->size));
	pattern_fill(self->addr, self->size, 1);
	EXPECT_TRUE(pattern_stands(self->again, self->size, 1));
	ASSERT_EQ(0, poison(bad))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(before + (long)self->page, corrupted());
	EXPECT_EQ(SIGBUS, read_signal(bad));
	EXPECT_EQ(SIGBUS, write_signal(bad));
	EXPECT_EQ(SIGBUS, read_signal(same));
	EXPECT_ERRNO(EFAULT, write(pipefd[1], bad, 1));
	/* The kernel itself: EHWPOISON. */
	EXPECT_ERRNO(133, madvise(bad, self->page, MADV_POPULATE_READ));
	SHM_IN_CHILD({
		EXPECT_EQ(SIGBUS, read_signal(bad));
		EXPECT_EQ(0, read_signal(bad + self->page));
	});
	later = self->shm->attach(self->id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, later);
	EXPECT_EQ(SIGBUS, read_signal(later + 3 * self->page));
	/* The pages around it are not touched. */
	EXPECT_TRUE(pattern_stands(self->addr, 3 * self->page, 1));
	EXPECT_EQ(((uint32_t *)self->addr)[self->page], ((uint32_t *)later)[self->page]);
	EXPECT_EQ(0, write_signal(self->addr + 4 * self->page));
	/* No zeros come in its place by other ways either. */
	fd = open_below(self->addr, self->size, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, fallocate(fd, 0, 0, self->size));
	EXPECT_EQ(SIGBUS, read_signal(same));
	ASSERT_EQ(0, madvise(self->again, self->size, MADV_DONTNEED));
	EXPECT_EQ(SIGBUS, read_signal(same));
	/* But where a hole is made, there is a new page, for who did not have the old one mapped when it went. */
	ASSERT_EQ(0, madvise(self->addr + 2 * self->page, 3 * self->page, MADV_REMOVE));
	EXPECT_EQ(0, read_signal(later + 3 * self->page));
	EXPECT_EQ(0, later[3 * self->page]);
	SHM_IN_CHILD({
		char *own = self->shm->attach(self->id, NULL, 0);

		own[3 * self->page] = 2;
	});
	EXPECT_EQ(2, later[3 * self->page]);
	close(fd);
}

TEST_F(advice, poisoned_page_of_a_removed_segment)
{
	int id;
	char *addr = shm_new_segment(self->shm, 4 * self->page, NULL, &id);

	NEEDS_POISON();
	ASSERT_NE(SHM_FAILED, addr);
	memset(addr, 1, 4 * self->page);
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, poison(addr + self->page));
	EXPECT_EQ(SIGBUS, read_signal(addr + self->page));
	ASSERT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(1, shm_count(self->shm));
}

/* A page that is going bad is replaced, and nobody notices. */
TEST_F(advice, soft_offline_moves_the_page)
{
	int i;

	NEEDS_POISON();
	pattern_fill(self->addr, self->size, 3);
	for (i = 0; i < PAGES; i += 5) {
		ASSERT_EQ(0, madvise(self->addr + i * self->page, self->page, MADV_SOFT_OFFLINE))
			TH_LOG("%s", strerror(errno));
		EXPECT_TRUE(pattern_stands(self->addr, self->size, 3));
	}
	EXPECT_TRUE(pattern_stands(self->again, self->size, 3));
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
}

/*
 * Huge pages, as a setting has it: the module's parameter, or shmem_enabled.
 */

FIXTURE(huge) {
	const struct shm_backend *shm;
	size_t page;
	const char *path;
	char old[64];
};

SHM_BOTH(huge)

FIXTURE_SETUP(huge)
{
	SHM_NEEDS_LARGE();
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->path = huge_setting(self->shm);
	ASSERT_TRUE(read_setting(self->path, self->old, sizeof(self->old)));
}

FIXTURE_TEARDOWN(huge)
{
	shm_write_file(self->path, self->old);
	SHM_LEAVE(self->shm);
}

/* Of a segment of some size, what the touch of the byte at an offset brings in. */
static long touched(const struct shm_backend *shm, size_t size, size_t offset, int advice)
{
	char *hole = vma_hole(8 * MIB), *addr;
	long bytes;
	int id;

	addr = shm_new_segment(shm, size, hole, &id);
	if (addr == SHM_FAILED || (advice >= 0 && madvise(addr, size, advice)))
		return -1;
	addr[offset] = 1;
	bytes = shm_rss(shm, id);
	return shm->rmid(id) || shm->detach(addr) ? -1 : bytes;
}

/* So much is mapped by PMDs; where it can be asked, that is also what IPC_STAT counts. */
static void expect_huge(struct __test_metadata *_metadata, const struct shm_backend *shm, int id, const char *addr, size_t bytes)
{
	struct rust_shm_stat stat;

	EXPECT_EQ((long)bytes, pmd_mapped(addr))
		TH_LOG("attached at %p", addr);
	if (shm != &shm_rust)
		return;
	ASSERT_EQ(0, shm_rust_stat_huge(id, &stat));
	EXPECT_EQ(bytes, stat.huge);
}

TEST_F(huge, setting_and_advice)
{
	static const struct { const char *setting; int advice; bool huge; } cases[] = {
		{ "never", -1, false }, { "never", MADV_HUGEPAGE, false }, { "never", MADV_NOHUGEPAGE, false },
		{ "within_size", -1, true }, { "within_size", MADV_HUGEPAGE, true }, { "within_size", MADV_NOHUGEPAGE, false },
		{ "always", -1, true }, { "always", MADV_HUGEPAGE, true }, { "always", MADV_NOHUGEPAGE, false },
	};
	char now[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ASSERT_EQ(0, shm_write_file(self->path, cases[i].setting));
		ASSERT_TRUE(read_setting(self->path, now, sizeof(now)));
		ASSERT_STREQ(cases[i].setting, now);
		EXPECT_EQ(cases[i].huge ? (long)HUGE_SIZE : (long)self->page, touched(self->shm, 4 * MIB, 3 * MIB, cases[i].advice))
			TH_LOG("%s, advice %d", cases[i].setting, cases[i].advice);
	}
}

TEST_F(huge, within_size)
{
	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	EXPECT_EQ((long)self->page, touched(self->shm, HUGE_SIZE + 5 * self->page, HUGE_SIZE + 4 * self->page, -1));
	EXPECT_EQ((long)self->page, touched(self->shm, 1, 0, -1));
	EXPECT_EQ((long)self->page, touched(self->shm, 1, 0, MADV_HUGEPAGE));
	/* Where the module serves the built-in's calls, they are the module's. */
	if (self->shm != &shm_rust && !shm_is_served() && shm_kernel_before("7.2"))
		SKIP(return, "the built-in of kernels before 7.2 has huge pages and single ones, and nothing between");
	EXPECT_EQ((long)MIB, touched(self->shm, 3 * MIB, 2 * MIB + 5, -1));
	EXPECT_EQ((long)(4 * self->page), touched(self->shm, HUGE_SIZE + 5 * self->page, HUGE_SIZE + self->page, -1));
}

/* Of the file below, which no advice is for: what is asked for, or the largest blocks around it. */
TEST_F(huge, fallocate_brings_in)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE };
	const size_t size = PAGES * self->page;
	char *addr, *again;
	int id, fd, blocks;
	size_t i;

	for (blocks = 0; blocks < 2; blocks++) {
		ASSERT_EQ(0, shm_write_file(self->path, blocks ? "within_size" : "never"));
		addr = shm_new_segment(self->shm, size, NULL, &id);
		ASSERT_NE(SHM_FAILED, addr);
		again = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, again);
		fd = open_below(addr, size, O_RDWR);
		ASSERT_LE(0, fd);
		addr[5 * self->page] = 'x';
		ASSERT_EQ(0, madvise(addr, size, MADV_REMOVE));
		ASSERT_EQ(0, shm_rss(self->shm, id));
		for (i = 0; i < ARRAY_SIZE(modes); i++) {
			ASSERT_EQ(0, fallocate(fd, modes[i], 3 * self->page, 4 * self->page));
			EXPECT_EQ((long)(blocks ? size : 4 * self->page), shm_rss(self->shm, id));
			EXPECT_EQ(0, vma_smaps_bytes(addr, "Rss"));
			EXPECT_EQ(0, addr[5 * self->page]);
			strcpy(addr + 5 * self->page, "kept");
			/* Parts of pages are whole pages; what is there stays. */
			ASSERT_EQ(0, fallocate(fd, modes[i], 7 * self->page - 1, 2));
			EXPECT_EQ((long)(blocks ? size : 5 * self->page), shm_rss(self->shm, id));
			ASSERT_EQ(0, fallocate(fd, modes[i], 0, size));
			EXPECT_EQ((long)size, shm_rss(self->shm, id));
			EXPECT_STREQ("kept", again + 5 * self->page);
			EXPECT_EQ(0, again[15 * self->page]);
			ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size));
			EXPECT_EQ(0, shm_rss(self->shm, id));
			EXPECT_EQ(0, again[5 * self->page]);
			ASSERT_EQ(0, madvise(addr, size, MADV_REMOVE));
		}
		close(fd);
	}
}

TEST_F(huge, at_an_aligned_address)
{
	int id;
	char *addr;

	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	addr = shm_new_segment(self->shm, 4 * MIB, vma_hole(4 * MIB), &id);
	ASSERT_NE(SHM_FAILED, addr);
	memset(addr, 1, 4 * MIB);
	expect_huge(_metadata, self->shm, id, addr, 4 * MIB);
	EXPECT_EQ((long)(4 * MIB), shm_rss(self->shm, id));
}

/* An attach without an address is placed where huge pages fit. */
TEST_F(huge, at_a_chosen_address)
{
	int id, i;
	char *addr;

	if (sizeof(void *) < 8)
		SKIP(return, "the kernel does not spend a 32-bit program's addresses on alignment: thp_get_unmapped_area()");
	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	for (i = 0; i < 4; i++) {
		/* Knock the next free address off its alignment. */
		mmap(NULL, self->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		addr = shm_new_segment(self->shm, 4 * MIB + (i & 1) * self->page, NULL, &id);
		ASSERT_NE(SHM_FAILED, addr);
		memset(addr, 1, 4 * MIB);
		expect_huge(_metadata, self->shm, id, addr, 4 * MIB);
	}
}

/* The first touch of one byte brings in the whole huge page, and the next attach maps it in one go. */
TEST_F(huge, by_one_touch)
{
	char *addr, *again;
	int id;

	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	addr = shm_new_segment(self->shm, 4 * MIB, vma_hole(4 * MIB), &id);
	ASSERT_NE(SHM_FAILED, addr);
	addr[3 * MIB] = 'h';
	EXPECT_EQ((long)(2 * MIB), shm_rss(self->shm, id));
	expect_huge(_metadata, self->shm, id, addr, 2 * MIB);
	again = self->shm->attach(id, vma_hole(4 * MIB), SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, again);
	EXPECT_EQ('h', again[3 * MIB]);
	EXPECT_EQ((long)(2 * MIB), pmd_mapped(again));
	EXPECT_EQ(SIGSEGV, write_signal(again + 3 * MIB));
}

/* Small segments have no huge pages, and say so. */
TEST_F(huge, none_where_none_fits)
{
	int id;
	char *addr;

	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	addr = shm_new_segment(self->shm, HUGE_SIZE - self->page, vma_hole(HUGE_SIZE), &id);
	ASSERT_NE(SHM_FAILED, addr);
	memset(addr, 1, HUGE_SIZE - self->page);
	EXPECT_EQ((long)(HUGE_SIZE - self->page), shm_rss(self->shm, id));
	expect_huge(_metadata, self->shm, id, addr, 0);
}

/* The module's parameter is looked at when a segment gets its file: by get from 1 MiB on, else by the first attach. */
TEST_F(huge, parameter_holds_for_new_files)
{
	static const char *const settings[] = { "never", "within_size" };
	int id, i;
	char *addr;

	if (self->shm != &shm_rust)
		SKIP(return, "shmem_enabled holds for all segments at once");
	for (i = 0; i < 4; i++) {
		size_t size = i / 2 ? 4 * MIB : MIB / 2;
		bool large = i / 2 ? i % 2 : !(i % 2);
		long block = !large ? self->page : size < HUGE_SIZE ? size : HUGE_SIZE;

		ASSERT_EQ(0, shm_write_file(self->path, settings[i % 2]));
		id = self->shm->get(IPC_PRIVATE, size, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(0, shm_write_file(self->path, settings[!(i % 2)]));
		addr = self->shm->attach(id, vma_hole(size), 0);
		ASSERT_NE(SHM_FAILED, addr);
		addr[0] = 1;
		EXPECT_EQ(block, shm_rss(self->shm, id));
		/* And so it stays, whatever is set later, also while nobody is attached. */
		ASSERT_EQ(0, madvise(addr, size, MADV_REMOVE));
		ASSERT_EQ(0, self->shm->detach(addr));
		ASSERT_EQ(0, shm_write_file(self->path, settings[i % 2]));
		addr = self->shm->attach(id, vma_hole(size), 0);
		ASSERT_NE(SHM_FAILED, addr);
		addr[0] = 1;
		EXPECT_EQ(block, shm_rss(self->shm, id));
	}
}

TEST_F(huge, disabled_for_a_process)
{
	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	SHM_IN_CHILD({
		ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
		EXPECT_EQ((long)self->page, touched(self->shm, HUGE_SIZE, 0, -1));
		EXPECT_EQ((long)self->page, touched(self->shm, HUGE_SIZE, 0, MADV_HUGEPAGE));
		ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
		EXPECT_EQ((long)HUGE_SIZE, touched(self->shm, HUGE_SIZE, 0, -1));
		if (!prctl(PR_SET_THP_DISABLE, 1, THP_DISABLE_EXCEPT_ADVISED, 0, 0)) {
			EXPECT_EQ((long)self->page, touched(self->shm, HUGE_SIZE, 0, -1));
			EXPECT_EQ((long)HUGE_SIZE, touched(self->shm, HUGE_SIZE, 0, MADV_HUGEPAGE));
		}
	});
}

/* What others have brought in in one piece can be advised against, and stands. */
TEST_F(huge, advice_that_comes_late)
{
	int id;
	char *addr;

	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	addr = shm_new_segment(self->shm, 4 * MIB, vma_hole(4 * MIB), &id);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, 4 * MIB, 1);
	ASSERT_EQ(0, shm_small_pages(addr, 4 * MIB));
	EXPECT_TRUE(pattern_stands(addr, 4 * MIB, 1));
	ASSERT_EQ(0, madvise(addr, 4 * MIB, MADV_DONTNEED));
	EXPECT_TRUE(pattern_stands(addr, 4 * MIB, 1));
	EXPECT_EQ((long)(4 * MIB), shm_rss(self->shm, id));
}

/* A huge page in place of small ones that are there. */
TEST_F(huge, collapse)
{
	int id;
	char *addr;

	ASSERT_EQ(0, shm_write_file(self->path, "never"));
	addr = shm_new_segment(self->shm, 4 * MIB, vma_hole(4 * MIB), &id);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, 4 * MIB, 5);
	ASSERT_EQ(0, pmd_mapped(addr));
	EXPECT_EQ(0, madvise(addr, 4 * MIB, MADV_COLLAPSE))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ((long)(4 * MIB), pmd_mapped(addr));
	EXPECT_TRUE(pattern_stands(addr, 4 * MIB, 5));
	EXPECT_EQ((long)(4 * MIB), shm_rss(self->shm, id));
	/* Where they are huge already, there is nothing to do. */
	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	ASSERT_EQ(0, madvise(addr, 4 * MIB, MADV_REMOVE));
	pattern_fill(addr, 4 * MIB, 6);
	EXPECT_EQ(0, madvise(addr, 4 * MIB, MADV_COLLAPSE));
	EXPECT_TRUE(pattern_stands(addr, 4 * MIB, 6));
	EXPECT_EQ((long)(4 * MIB), pmd_mapped(addr));
}

/* One page of a huge one: it is split, and the others stay. */
TEST_F(huge, poisoned_page)
{
	int id;
	char *addr, *again;
	size_t offset;

	NEEDS_POISON();
	ASSERT_EQ(0, shm_write_file(self->path, "within_size"));
	addr = shm_new_segment(self->shm, 4 * MIB, vma_hole(4 * MIB), &id);
	again = self->shm->attach(id, vma_hole(4 * MIB), 0);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(SHM_FAILED, again);
	pattern_fill(addr, 4 * MIB, 2);
	EXPECT_TRUE(pattern_stands(again, 4 * MIB, 2));
	EXPECT_EQ((long)(4 * MIB), pmd_mapped(addr));
	ASSERT_EQ(0, poison(addr + MIB))
		TH_LOG("%s", strerror(errno));
	for (offset = 0; offset < 4 * MIB; offset += self->page) {
		ASSERT_EQ(offset == MIB ? SIGBUS : 0, read_signal(addr + offset))
			TH_LOG("offset %zu", offset);
		ASSERT_EQ(offset == MIB ? SIGBUS : 0, read_signal(again + offset));
	}
	EXPECT_TRUE(pattern_stands(again, MIB, 2));
	EXPECT_EQ((long)(2 * MIB), pmd_mapped(addr));
	/* What is given back and touched again does not bring it back in a larger folio. */
	ASSERT_EQ(0, madvise(addr, MIB, MADV_REMOVE));
	ASSERT_EQ(0, madvise(addr + MIB + self->page, MIB - self->page, MADV_REMOVE));
	for (offset = 0; offset < 2 * MIB; offset += self->page)
		ASSERT_EQ(offset == MIB ? SIGBUS : 0, write_signal(addr + offset));
}

/* A mapping has room for a block over the end of the segment, or has not; then nothing of a block can be seen there. */
TEST_F(huge, always_over_the_end)
{
	static const size_t pages[] = { 1, 3, 512, 513, 1000 };
	bool longer;
	size_t i;

	ASSERT_EQ(0, shm_write_file(self->path, "always"));
	for (i = 0; i < 2 * ARRAY_SIZE(pages); i++) {
		size_t size = pages[i / 2] * self->page, length = 3 * HUGE_SIZE;
		size_t blocks = (size + HUGE_SIZE - 1) / HUGE_SIZE * HUGE_SIZE;
		char *addr, *raw;
		int id, fd;

		longer = i % 2;
		addr = shm_new_segment(self->shm, size, vma_hole(12 * MIB), &id);
		ASSERT_NE(SHM_FAILED, addr);
		if (longer) {
			ASSERT_EQ(addr, mremap(addr, size, length, 0));
			EXPECT_EQ(SIGBUS, read_signal(addr + size));
			EXPECT_EQ(SIGBUS, write_signal(addr + blocks));
		}
		pattern_fill(addr, size, i);
		if (longer) {
			EXPECT_EQ((long)blocks, shm_rss(self->shm, id));
		} else {
			ASSERT_EQ(addr, mremap(addr, size, length, 0));
			EXPECT_EQ(SIGBUS, read_signal(addr + size))
				TH_LOG("%zu pages", pages[i / 2]);
		}
		EXPECT_EQ(SIGBUS, read_signal(addr + blocks));
		ASSERT_EQ(0, madvise(addr, length, MADV_DONTNEED));
		EXPECT_TRUE(pattern_stands(addr, size, i));
		EXPECT_ERRNO(EFAULT, madvise(addr + blocks, self->page, MADV_POPULATE_READ));
		/* By the file below. */
		fd = open_below(addr, length, O_RDWR);
		ASSERT_LE(0, fd);
		raw = mmap(vma_hole(length), length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, raw);
		EXPECT_TRUE(pattern_stands(raw, size, i));
		EXPECT_EQ(SIGBUS, read_signal(raw + blocks));
		ASSERT_EQ(0, munmap(raw, length));
		close(fd);
		/* A hole in it, for which it is split: what is over the end goes. And one over all of it. */
		if (pages[i / 2] > 2) {
			ASSERT_EQ(0, madvise(addr + self->page, self->page, MADV_REMOVE));
			EXPECT_EQ(0, addr[self->page]);
			EXPECT_TRUE(pattern_stands(addr, self->page, i));
			if (pages[i / 2] < 512)
				EXPECT_EQ(SIGBUS, read_signal(addr + size));
		}
		ASSERT_EQ(0, madvise(addr, length, MADV_REMOVE));
		EXPECT_EQ(0, shm_rss(self->shm, id));
		EXPECT_EQ(SIGBUS, read_signal(addr + size));
		EXPECT_EQ(0, addr[size - 1]);
		ASSERT_EQ(0, self->shm->rmid(id));
		ASSERT_EQ(0, self->shm->detach(addr));
		munmap(addr, length);
	}
	EXPECT_EQ(0, shm_count(self->shm));
}

/* The parameter is text that root may write. */
TEST_F(huge, parameter_is_checked)
{
	static const char *const bad[] = { "", "\n", "Always", "always ever", "within size", "1", "advise", "neverr", "never\nalways" };
	char now[64];
	size_t i;

	if (self->shm != &shm_rust)
		SKIP(return, "the module's parameter");
	EXPECT_STREQ("within_size", self->old);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (*bad[i])
			EXPECT_ERRNO(EINVAL, shm_write_file(self->path, bad[i]));
	ASSERT_EQ(0, shm_write_file(self->path, "never\n"));
	ASSERT_TRUE(read_setting(self->path, now, sizeof(now)));
	EXPECT_STREQ("never", now);
	EXPECT_ERRNO(EINVAL, shm_write_file(self->path, "alwayss"));
	ASSERT_TRUE(read_setting(self->path, now, sizeof(now)));
	EXPECT_STREQ("never", now);
	SHM_IN_CHILD({
		ASSERT_EQ(0, setuid(1000));
		EXPECT_ERRNO(EACCES, shm_write_file(self->path, "always"));
		EXPECT_TRUE(read_setting(self->path, now, sizeof(now)));
	});
}

TEST_HARNESS_MAIN
