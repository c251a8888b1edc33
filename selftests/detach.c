// SPDX-License-Identifier: GPL-2.0
/*
 * Detach: what shmdt(2) takes, what it leaves, and how the attach count follows. Every test runs on the built-in and on the module.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "shm_backend.h"
#include "vma.h"

#define PAGES 8

FIXTURE(detach) {
	const struct shm_backend *shm;
	size_t page;
	size_t size;	/* of the segment: PAGES pages */
	int id;
	char *addr;	/* where it is attached, with free address space behind it */
	char *aside;	/* more free address space */
};

SHM_BOTH(detach)

FIXTURE_SETUP(detach)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->size = PAGES * self->page;
	self->id = self->shm->get(SHM_KEY, self->size, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);
	self->addr = vma_hole(4 * MIB);
	ASSERT_NE(NULL, self->addr);
	self->aside = self->addr + 2 * MIB;
	ASSERT_EQ(self->addr, self->shm->attach(self->id, self->addr, 0));
	pattern_fill(self->addr, self->size, 1);
}

FIXTURE_TEARDOWN(detach)
{
	SHM_LEAVE(self->shm);
}

/* The attach is all gone, and nothing else is there either. */
#define EXPECT_GONE(addr, size) EXPECT_EQ(0, vma_count(addr, size))

TEST_F(detach, takes_the_attach)
{
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(SIGSEGV, read_signal(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	/* The data stay for the next one. */
	ASSERT_EQ(self->aside, self->shm->attach(self->id, self->aside, SHM_RDONLY));
	EXPECT_TRUE(pattern_stands(self->aside, self->size, 1));
	EXPECT_EQ(0, self->shm->detach(self->aside));
}

TEST_F(detach, twice_is_einval)
{
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, inside_is_einval)
{
	size_t offset;

	for (offset = self->page; offset < self->size; offset += self->page)
		EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + offset));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 1));
}

TEST_F(detach, unaligned_is_einval)
{
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + 1));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr - 1));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + self->page - 1));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 1));
}

TEST_F(detach, around_it_is_einval)
{
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr - self->page));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + self->size));
	EXPECT_ERRNO(EINVAL, self->shm->detach(NULL));
	EXPECT_ERRNO(EINVAL, self->shm->detach((void *)(BEYOND_USER - 16 * self->page)));
	EXPECT_ERRNO(EINVAL, self->shm->detach((void *)BEYOND_USER));
#ifdef __LP64__
	EXPECT_ERRNO(EINVAL, self->shm->detach((void *)0x7fffffff0000UL));
#endif
	EXPECT_ERRNO(EINVAL, self->shm->detach((void *)(0UL - self->page)));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 1));
}

TEST_F(detach, other_mappings_are_einval)
{
	int fd = memfd_create("detach", MFD_CLOEXEC);
	char *private, *shared, *file;
	int on_stack = 1;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, (off_t)self->size));
	private = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	file = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, private);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, file);
	*private = *shared = *file = 'd';
	EXPECT_ERRNO(EINVAL, self->shm->detach(private));
	EXPECT_ERRNO(EINVAL, self->shm->detach(shared));
	EXPECT_ERRNO(EINVAL, self->shm->detach(file));
	EXPECT_ERRNO(EINVAL, self->shm->detach((void *)((uintptr_t)&on_stack & ~(self->page - 1))));
	EXPECT_EQ('d', *private);
	EXPECT_EQ('d', *shared);
	EXPECT_EQ('d', *file);
	close(fd);
}

TEST_F(detach, readonly_and_executable)
{
	ASSERT_EQ(self->aside, self->shm->attach(self->id, self->aside, SHM_RDONLY));
	ASSERT_EQ(self->aside + MIB, self->shm->attach(self->id, self->aside + MIB, SHM_EXEC));
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->aside));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->aside + MIB));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_GONE(self->aside, 2 * MIB);
}

/* Address space taken out of the middle makes two of one; both go. */
TEST_F(detach, hole_in_the_middle)
{
	ASSERT_EQ(0, munmap(self->addr + 2 * self->page, 2 * self->page));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, many_holes)
{
	int i;

	for (i = 1; i < PAGES; i += 2)
		ASSERT_EQ(0, munmap(self->addr + i * self->page, self->page));
	EXPECT_EQ(PAGES / 2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* What somebody else put into the hole is not ours to take. */
TEST_F(detach, hole_with_something_in_it)
{
	char *inside = self->addr + 2 * self->page;

	ASSERT_EQ(inside, mmap(inside, self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*inside = 'i';
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(1, vma_count(self->addr, self->size));
	EXPECT_EQ('i', *inside);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, pieces_made_by_mprotect)
{
	ASSERT_EQ(0, mprotect(self->addr + self->page, self->page, PROT_READ));
	ASSERT_EQ(0, mprotect(self->addr + 4 * self->page, self->page, PROT_NONE));
	EXPECT_EQ(5, vma_count(self->addr, self->size));
	EXPECT_EQ(5, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, pieces_made_by_mlock)
{
	ASSERT_EQ(0, mlock(self->addr + self->page, self->page));
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	EXPECT_EQ((long)self->page, proc_bytes("/proc/self/status", "VmLck"));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, proc_bytes("/proc/self/status", "VmLck"));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* The first page is gone; the rest is still found by the address of the attach, and only by that. */
TEST_F(detach, head_unmapped)
{
	ASSERT_EQ(0, munmap(self->addr, self->page));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + self->page));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, head_replaced)
{
	ASSERT_EQ(self->addr, mmap(self->addr, self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*self->addr = 'h';
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ('h', *self->addr);
	EXPECT_GONE(self->addr + self->page, self->size - self->page);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, head_and_middle_unmapped)
{
	ASSERT_EQ(0, munmap(self->addr, 2 * self->page));
	ASSERT_EQ(0, munmap(self->addr + 4 * self->page, self->page));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, tail_unmapped)
{
	ASSERT_EQ(0, munmap(self->addr + self->page, self->size - self->page));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, all_unmapped_is_einval)
{
	ASSERT_EQ(0, munmap(self->addr, self->size));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr));
}

TEST_F(detach, moved_attach_is_found_at_its_new_place)
{
	ASSERT_EQ(self->aside, mremap(self->addr, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED, self->aside));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr));
	EXPECT_TRUE(pattern_stands(self->aside, self->size, 1));
	EXPECT_EQ(0, self->shm->detach(self->aside));
	EXPECT_GONE(self->aside, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* A page moved away is no longer where the attach put it, and stays; it is known by where its own page 0 would be. */
TEST_F(detach, moved_piece_stays)
{
	char *moved = self->aside + 16 * self->page;

	ASSERT_EQ(moved, mremap(self->addr + 3 * self->page, self->page, self->page, MREMAP_MAYMOVE | MREMAP_FIXED, moved));
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, read_signal(moved));
	EXPECT_ERRNO(EINVAL, self->shm->detach(moved));
	EXPECT_EQ(0, self->shm->detach(moved - 3 * self->page));
	EXPECT_GONE(moved, self->page);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, moved_head)
{
	ASSERT_EQ(self->aside, mremap(self->addr, self->page, self->page, MREMAP_MAYMOVE | MREMAP_FIXED, self->aside));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->aside));
	EXPECT_GONE(self->aside, self->page);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* Grown beyond the segment and broken there: what lies wholly within the segment's size goes, the piece behind it stays. */
TEST_F(detach, grown_attach)
{
	size_t grown = self->size + 4 * self->page;

	ASSERT_EQ(self->addr, mremap(self->addr, self->size, grown, 0));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, grown);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, grown_attach_in_pieces)
{
	size_t grown = self->size + 4 * self->page;
	char *behind = self->addr + self->size + 2 * self->page;

	ASSERT_EQ(self->addr, mremap(self->addr, self->size, grown, 0));
	ASSERT_EQ(0, mprotect(behind, self->page, PROT_READ));
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_GONE(self->addr, self->size + 2 * self->page);
	EXPECT_EQ(2, vma_count(behind, 2 * self->page));
	/* Asked again, the first of what is left is found, and so on. */
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr));
}

TEST_F(detach, adjacent_segment_is_not_touched)
{
	int other = self->shm->get(IPC_PRIVATE, self->size, 0600);

	ASSERT_LE(0, other);
	ASSERT_EQ(self->addr + self->size, self->shm->attach(other, self->addr + self->size, 0));
	pattern_fill(self->addr + self->size, self->size, 2);
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(1, shm_nattch(self->shm, other));
	EXPECT_TRUE(pattern_stands(self->addr + self->size, self->size, 2));
}

TEST_F(detach, second_attach_right_behind_is_not_touched)
{
	ASSERT_EQ(self->addr + self->size, self->shm->attach(self->id, self->addr + self->size, 0));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(2, vma_count(self->addr, 2 * self->size));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr + self->size, self->size, 1));
	EXPECT_EQ(0, self->shm->detach(self->addr + self->size));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(detach, second_attach_right_before_is_not_touched)
{
	char *before = self->addr - self->size;

	ASSERT_EQ(before, self->shm->attach(self->id, before, 0));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(before, self->size, 1));
}

/* Two attaches are two files: a page of one, moved into the hole of the other at just the same offset, still is not its own. */
TEST_F(detach, piece_of_another_attach_in_the_hole)
{
	size_t offset = 3 * self->page;

	ASSERT_EQ(self->aside, self->shm->attach(self->id, self->aside, 0));
	ASSERT_EQ(self->addr + offset, mremap(self->aside + offset, self->page, self->page, MREMAP_MAYMOVE | MREMAP_FIXED, self->addr + offset));
	EXPECT_EQ(5, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(3, shm_nattch(self->shm, self->id));
	EXPECT_EQ(1, vma_count(self->addr, self->size));
	EXPECT_TRUE(vma_mapped(self->addr + offset));
	EXPECT_EQ(0, self->shm->detach(self->aside));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(detach, piece_of_another_segment_in_the_hole)
{
	int other = self->shm->get(IPC_PRIVATE, self->size, 0600);
	size_t offset = 3 * self->page;

	ASSERT_LE(0, other);
	ASSERT_EQ(self->aside, self->shm->attach(other, self->aside, 0));
	ASSERT_EQ(self->addr + offset, mremap(self->aside + offset, self->page, self->page, MREMAP_MAYMOVE | MREMAP_FIXED, self->addr + offset));
	EXPECT_EQ(3, shm_nattch(self->shm, other));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_EQ(3, shm_nattch(self->shm, other));
	EXPECT_TRUE(vma_mapped(self->addr + offset));
}

/* The hole's first page is another segment's page 0: both answer to this address, the lower one first. */
TEST_F(detach, segment_attached_over_the_head)
{
	int other = self->shm->get(IPC_PRIVATE, self->page, 0600);

	ASSERT_LE(0, other);
	ASSERT_EQ(self->addr, self->shm->attach(other, self->addr, SHM_REMAP));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, other));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr));
}

TEST_F(detach, segment_attached_over_the_middle)
{
	int other = self->shm->get(IPC_PRIVATE, self->page, 0600);
	char *inside = self->addr + 2 * self->page;

	ASSERT_LE(0, other);
	ASSERT_EQ(inside, self->shm->attach(other, inside, SHM_REMAP));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_EQ(1, shm_nattch(self->shm, other));
	EXPECT_EQ(0, write_signal(inside));
	EXPECT_EQ(0, self->shm->detach(inside));
}

TEST_F(detach, time_and_pid)
{
	struct rust_shm_stat before, after;
	time_t start = time(NULL);

	ASSERT_EQ(0, self->shm->stat(self->id, &before));
	EXPECT_EQ(0, before.dtime);
	SHM_IN_CHILD({
		ASSERT_EQ(0, self->shm->detach(self->addr));
		ASSERT_EQ(0, self->shm->stat(self->id, &after));
		EXPECT_EQ(getpid(), after.lpid);
	});
	ASSERT_EQ(0, self->shm->stat(self->id, &after));
	EXPECT_NE(getpid(), after.lpid);
	ASSERT_EQ(0, self->shm->detach(self->addr));
	ASSERT_EQ(0, self->shm->stat(self->id, &after));
	EXPECT_LE(start - 1, after.dtime);
	EXPECT_GE(time(NULL) + 1, after.dtime);
	EXPECT_EQ(getpid(), after.lpid);
	EXPECT_EQ(getpid(), after.cpid);
	EXPECT_EQ(before.ctime, after.ctime);
	EXPECT_EQ(0, after.nattch);
}

/* A refused detach leaves no trace. */
TEST_F(detach, failure_changes_nothing)
{
	struct rust_shm_stat before, after;

	ASSERT_EQ(0, self->shm->stat(self->id, &before));
	SHM_IN_CHILD({
		/* fork sets lpid, this must not. */
		EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + self->page));
		EXPECT_ERRNO(EINVAL, self->shm->detach(self->addr + 1));
		ASSERT_EQ(0, self->shm->stat(self->id, &after));
		EXPECT_EQ(before.lpid, after.lpid);
		EXPECT_EQ(0, after.dtime);
	});
}

TEST_F(detach, munmap_counts_as_detach)
{
	struct rust_shm_stat stat;

	ASSERT_EQ(0, munmap(self->addr, self->size));
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(0, stat.nattch);
	EXPECT_NE(0, stat.dtime);
	EXPECT_EQ(getpid(), stat.lpid);
}

TEST_F(detach, parent_keeps_what_the_child_detaches)
{
	SHM_IN_CHILD({
		EXPECT_EQ(2, shm_nattch(self->shm, self->id));
		ASSERT_EQ(0, self->shm->detach(self->addr));
		EXPECT_EQ(1, shm_nattch(self->shm, self->id));
		EXPECT_EQ(SIGSEGV, read_signal(self->addr));
	});
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 1));
}

struct detacher {
	const struct shm_backend *shm;
	void *addr;
	int result;
};

struct round_detacher {
	pthread_t thread;
	const struct shm_backend *shm;
	int id, error;
	size_t size;
	double until;
	unsigned long rounds;
};

static void *detach_in_a_thread(void *arg)
{
	struct detacher *detacher = arg;

	detacher->result = detacher->shm->detach(detacher->addr);
	return NULL;
}

TEST_F(detach, another_thread_may_do_it)
{
	struct detacher detacher = { self->shm, self->addr, -1 };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, detach_in_a_thread, &detacher));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, detacher.result);
	EXPECT_GONE(self->addr, self->size);
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

/* Of several threads that detach the same address, one does it. */
TEST_F(detach, only_one_of_many_threads_does_it)
{
	struct detacher detacher[8];
	pthread_t thread[8];
	int round, i, done;

	ASSERT_EQ(0, self->shm->detach(self->addr));
	for (round = 0; round < 50; round++) {
		/* Anywhere: the threads' stacks need places, too. */
		void *addr = self->shm->attach(self->id, NULL, 0);

		ASSERT_NE(SHM_FAILED, addr);
		for (i = 0; i < 8; i++) {
			detacher[i] = (struct detacher) { self->shm, addr, -1 };
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, detach_in_a_thread, &detacher[i]));
		}
		for (i = done = 0; i < 8; i++) {
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
			done += !detacher[i].result;
		}
		ASSERT_EQ(1, done);
		ASSERT_EQ(0, shm_nattch(self->shm, self->id));
	}
}

static void ignore(int signal)
{
	(void)signal;
}

/* Attaches, breaks the attach into pieces, which take time to detach, and detaches. */
static void *detach_without_end(void *arg)
{
	struct round_detacher *me = arg;
	size_t page = page_size(), at;

	while (!me->error && shm_now() < me->until) {
		char *addr = me->shm->attach(me->id, NULL, 0);

		for (at = page; addr != SHM_FAILED && at < me->size; at += 2 * page)
			if (mprotect(addr + at, page, PROT_READ)) {
				me->error = errno;
				return NULL;
			}
		if (addr == SHM_FAILED || me->shm->detach(addr))
			me->error = errno;
		me->rounds++;
	}
	return NULL;
}

/* shmdt(2) knows no EINTR, whatever the handler of the signal says of SA_RESTART. */
TEST_F(detach, no_signal_interrupts_it)
{
	struct sigaction action = { .sa_handler = ignore };
	struct round_detacher detachers[4];
	size_t size = 64 * self->page;
	double until = shm_now() + shm_slow();
	int id = self->shm->get(IPC_PRIVATE, size, 0600), i;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	for (i = 0; i < 4; i++) {
		detachers[i] = (struct round_detacher) { .shm = self->shm, .id = id, .size = size, .until = until };
		ASSERT_EQ(0, pthread_create(&detachers[i].thread, NULL, detach_without_end, &detachers[i]));
	}
	while (shm_now() < until) {
		for (i = 0; i < 4; i++)
			pthread_kill(detachers[i].thread, SIGUSR1);
		usleep(200);
	}
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(detachers[i].thread, NULL));
		EXPECT_EQ(0, detachers[i].error)
			TH_LOG("%s, after %lu rounds", strerror(detachers[i].error), detachers[i].rounds);
		EXPECT_LT(0, detachers[i].rounds);
	}
	EXPECT_EQ(0, shm_nattch(self->shm, id));
}

TEST_F(detach, last_one_of_a_removed_segment_frees_it)
{
	ASSERT_EQ(0, munmap(self->addr + self->page, self->page));
	ASSERT_EQ(0, self->shm->rmid(self->id));
	EXPECT_EQ(1, shm_count(self->shm));
	EXPECT_EQ(0, self->shm->detach(self->addr));
	EXPECT_EQ(0, shm_count(self->shm));
	EXPECT_ERRNO(EINVAL, shm_nattch(self->shm, self->id));
}

/* Each kind of shared memory knows its own attaches only. */
FIXTURE(detach_both) {
	size_t size;
	int builtin, rust;
	char *addr;
};

FIXTURE_SETUP(detach_both)
{
	SHM_ENTER(&shm_builtin);
	SHM_ENTER(&shm_rust);
	self->size = 4 * page_size();
	self->builtin = shm_builtin.get(SHM_KEY, self->size, IPC_CREAT | 0600);
	self->rust = shm_rust.get(SHM_KEY, self->size, IPC_CREAT | 0600);
	ASSERT_LE(0, self->builtin);
	ASSERT_LE(0, self->rust);
	self->addr = vma_hole(2 * self->size);
	ASSERT_NE(NULL, self->addr);
}

FIXTURE_TEARDOWN(detach_both)
{
	SHM_LEAVE(&shm_builtin);
	SHM_LEAVE(&shm_rust);
}

TEST_F(detach_both, keys_and_attaches_are_apart)
{
	ASSERT_EQ(self->addr, shm_builtin.attach(self->builtin, self->addr, 0));
	ASSERT_EQ(self->addr + self->size, shm_rust.attach(self->rust, self->addr + self->size, 0));
	self->addr[0] = 'b';
	EXPECT_EQ(0, self->addr[self->size]);
	EXPECT_EQ(1, shm_nattch(&shm_builtin, self->builtin));
	EXPECT_EQ(1, shm_nattch(&shm_rust, self->rust));
}

TEST_F(detach_both, shmdt_is_not_for_the_modules)
{
	ASSERT_EQ(self->addr, shm_rust.attach(self->rust, self->addr, 0));
	EXPECT_ERRNO(EINVAL, shm_builtin.detach(self->addr));
	EXPECT_EQ(1, shm_nattch(&shm_rust, self->rust));
	EXPECT_EQ(0, write_signal(self->addr));
	EXPECT_EQ(0, shm_rust.detach(self->addr));
}

TEST_F(detach_both, the_modules_is_not_for_shmat)
{
	ASSERT_EQ(self->addr, shm_builtin.attach(self->builtin, self->addr, 0));
	EXPECT_ERRNO(EINVAL, shm_rust.detach(self->addr));
	EXPECT_EQ(1, shm_nattch(&shm_builtin, self->builtin));
	EXPECT_EQ(0, write_signal(self->addr));
	EXPECT_EQ(0, shm_builtin.detach(self->addr));
}

/* One attached into the hole of the other, so that the walk passes it. */
TEST_F(detach_both, one_inside_the_other)
{
	size_t page = page_size();
	int small_rust = shm_rust.get(IPC_PRIVATE, page, 0600);
	int small_builtin = shm_builtin.get(IPC_PRIVATE, page, 0600);

	ASSERT_LE(0, small_rust);
	ASSERT_LE(0, small_builtin);
	ASSERT_EQ(self->addr, shm_builtin.attach(self->builtin, self->addr, 0));
	ASSERT_EQ(self->addr + page, shm_rust.attach(small_rust, self->addr + page, SHM_REMAP));
	ASSERT_EQ(0, shm_builtin.detach(self->addr));
	EXPECT_EQ(1, vma_count(self->addr, self->size));
	EXPECT_EQ(1, shm_nattch(&shm_rust, small_rust));
	ASSERT_EQ(0, shm_rust.detach(self->addr + page));

	ASSERT_EQ(self->addr, shm_rust.attach(self->rust, self->addr, 0));
	ASSERT_EQ(self->addr + page, shm_builtin.attach(small_builtin, self->addr + page, SHM_REMAP));
	ASSERT_EQ(0, shm_rust.detach(self->addr));
	EXPECT_EQ(1, vma_count(self->addr, self->size));
	EXPECT_EQ(1, shm_nattch(&shm_builtin, small_builtin));
	EXPECT_EQ(0, shm_nattch(&shm_rust, self->rust));
	ASSERT_EQ(0, shm_builtin.detach(self->addr + page));
}

TEST_HARNESS_MAIN
