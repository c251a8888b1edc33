// SPDX-License-Identifier: GPL-2.0
/*
 * Attach: where a segment is mapped, with which rights, and what is refused. Every test runs on the built-in and on the module.
 */
/* needs: plain */
#include "kselftest_harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "shm_backend.h"
#include "vma.h"

#define PAGES 4

FIXTURE(attach) {
	const struct shm_backend *shm;
	size_t page;
	size_t size;	/* of the segment: PAGES pages */
	int id;
	char *hole;	/* address space for a few segments, with nothing in it */
};

SHM_BOTH(attach)

FIXTURE_SETUP(attach)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	self->page = page_size();
	self->size = PAGES * self->page;
	self->id = self->shm->get(SHM_KEY, self->size, IPC_CREAT | 0777);
	ASSERT_LE(0, self->id);
	self->hole = vma_hole(4 * MIB);
	ASSERT_NE(NULL, self->hole);
}

FIXTURE_TEARDOWN(attach)
{
	SHM_LEAVE(self->shm);
}

/* To a user that owns nothing and has no capability. */
static int become_nobody(void)
{
	return setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ? -1 : 0;
}

TEST_F(attach, at_zero_the_kernel_chooses)
{
	char *first = self->shm->attach(self->id, NULL, 0);
	char *second = self->shm->attach(self->id, NULL, 0);

	ASSERT_NE(SHM_FAILED, first);
	ASSERT_NE(SHM_FAILED, second);
	EXPECT_NE(NULL, first);
	EXPECT_NE(first, second);
	EXPECT_EQ(0, (uintptr_t)first % self->page);
	EXPECT_EQ(0, (uintptr_t)second % self->page);
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
}

TEST_F(attach, new_memory_is_zero_and_shared)
{
	char *first = self->shm->attach(self->id, NULL, 0);
	char *second = self->shm->attach(self->id, NULL, 0);
	size_t i;

	ASSERT_NE(SHM_FAILED, first);
	ASSERT_NE(SHM_FAILED, second);
	for (i = 0; i < self->size; i++)
		ASSERT_EQ(0, first[i]);
	pattern_fill(first, self->size, 7);
	EXPECT_TRUE(pattern_stands(second, self->size, 7));
}

TEST_F(attach, at_a_given_address)
{
	struct vma vma;

	ASSERT_EQ(self->hole, self->shm->attach(self->id, self->hole, 0));
	ASSERT_TRUE(vma_at(self->hole, &vma));
	EXPECT_EQ((unsigned long)self->hole, vma.start);
	EXPECT_EQ((unsigned long)self->hole + self->size, vma.end);
}

/* Not moved to a rounder place, whatever the alignment of the address and its neighbours. */
TEST_F(attach, given_addresses_are_met_exactly)
{
	char *addr = self->hole + self->page;
	int i;

	for (i = 0; i < 8; i++, addr += self->size)
		ASSERT_EQ(addr, self->shm->attach(self->id, addr, 0));
	EXPECT_EQ(8, shm_nattch(self->shm, self->id));
	EXPECT_EQ(8, vma_count(self->hole, 4 * MIB));
}

TEST_F(attach, unaligned_is_einval)
{
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole + 1, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole + self->page - 1, SHM_RDONLY));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole + 512, SHM_REMAP));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, vma_count(self->hole, 4 * MIB));
}

TEST_F(attach, rnd_rounds_down)
{
	EXPECT_EQ(self->hole, self->shm->attach(self->id, self->hole + 1, SHM_RND));
	EXPECT_EQ(self->hole + MIB, self->shm->attach(self->id, self->hole + MIB + shmlba() - 1, SHM_RND));
}

TEST_F(attach, rnd_leaves_an_aligned_address)
{
	EXPECT_EQ(self->hole + shmlba(), self->shm->attach(self->id, self->hole + shmlba(), SHM_RND));
}

TEST_F(attach, rnd_with_zero_the_kernel_chooses)
{
	void *addr = self->shm->attach(self->id, NULL, SHM_RND);

	EXPECT_NE(SHM_FAILED, addr);
	EXPECT_NE(NULL, addr);
}

/* An address below the first page is rounded to 0, and then means page 0, not "the kernel chooses". */
TEST_F(attach, rnd_down_to_page_zero_is_page_zero)
{
	struct vma vma;

	EXPECT_EQ(NULL, self->shm->attach(self->id, (void *)1, SHM_RND));
	ASSERT_TRUE(vma_at(NULL, &vma));
	EXPECT_EQ(self->size, vma.end);
	EXPECT_EQ(0, self->shm->detach(NULL));
	EXPECT_FALSE(vma_mapped(NULL));
}

TEST_F(attach, rnd_down_to_page_zero_with_remap_is_einval)
{
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, (void *)1, SHM_RND | SHM_REMAP));
}

TEST_F(attach, remap_at_zero_is_einval)
{
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, SHM_REMAP));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(attach, remap_replaces_what_is_there)
{
	size_t around = self->size + 2 * self->page;
	char *anon = mmap(self->hole, around, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	char *addr = anon + self->page;

	ASSERT_EQ(self->hole, anon);
	memset(anon, 'a', around);
	ASSERT_EQ(addr, self->shm->attach(self->id, addr, SHM_REMAP));
	EXPECT_EQ('a', addr[-1]);
	EXPECT_EQ(0, addr[0]);
	EXPECT_EQ(0, addr[self->size - 1]);
	EXPECT_EQ('a', addr[self->size]);
	EXPECT_EQ(3, vma_count(anon, around));
	EXPECT_EQ(0, self->shm->detach(addr));
	EXPECT_FALSE(vma_mapped(addr));
	EXPECT_TRUE(vma_mapped(anon));
}

TEST_F(attach, remap_where_nothing_is)
{
	EXPECT_EQ(self->hole, self->shm->attach(self->id, self->hole, SHM_REMAP));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(attach, remap_and_rnd_together)
{
	ASSERT_EQ(self->hole, mmap(self->hole, self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(self->hole, self->shm->attach(self->id, self->hole + 17, SHM_REMAP | SHM_RND));
	EXPECT_EQ(0, read_signal(self->hole));
}

/* Replacing the middle of another attach breaks that one in two; replacing all of it ends it. */
TEST_F(attach, remap_over_another_segment)
{
	int other = self->shm->get(IPC_PRIVATE, self->page, 0600);

	ASSERT_LE(0, other);
	ASSERT_EQ(self->hole, self->shm->attach(self->id, self->hole, 0));
	pattern_fill(self->hole, self->size, 3);
	ASSERT_EQ(self->hole + self->page, self->shm->attach(other, self->hole + self->page, SHM_REMAP));
	EXPECT_EQ(2, shm_nattch(self->shm, self->id));
	EXPECT_EQ(1, shm_nattch(self->shm, other));
	EXPECT_EQ(0, self->hole[self->page]);
	ASSERT_EQ(self->hole, self->shm->attach(self->id, self->hole, SHM_REMAP));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, shm_nattch(self->shm, other));
	EXPECT_TRUE(pattern_stands(self->hole, self->size, 3));
}

TEST_F(attach, overlap_is_einval_and_nothing_is_lost)
{
	char *anon = self->hole + self->size;
	struct rust_shm_stat stat;
	size_t offset;

	ASSERT_EQ(anon, mmap(anon, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	pattern_fill(anon, self->size, 1);
	/* From one page into its head, over all of it, to one page of its tail. */
	for (offset = self->page; offset < 2 * self->size; offset += self->page)
		EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole + offset, 0));
	EXPECT_TRUE(pattern_stands(anon, self->size, 1));
	EXPECT_EQ(1, vma_count(self->hole, 3 * self->size));
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(0, stat.nattch);
	EXPECT_EQ(0, stat.atime);
	EXPECT_EQ(0, stat.lpid);
	/* The two places that only touch it are free. */
	EXPECT_EQ(self->hole, self->shm->attach(self->id, self->hole, 0));
	EXPECT_EQ(self->hole + 2 * self->size, self->shm->attach(self->id, self->hole + 2 * self->size, 0));
}

TEST_F(attach, overlap_with_itself_is_einval)
{
	ASSERT_EQ(self->hole, self->shm->attach(self->id, self->hole, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole + self->page, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole + self->page + 1, SHM_RND));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(attach, rdonly_reads_and_does_not_write)
{
	char *writer = self->shm->attach(self->id, NULL, 0);
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, writer);
	ASSERT_NE(SHM_FAILED, reader);
	pattern_fill(writer, self->size, 5);
	EXPECT_TRUE(pattern_stands(reader, self->size, 5));
	EXPECT_EQ(SIGSEGV, write_signal(reader));
	EXPECT_EQ(SIGSEGV, write_signal(reader + self->size - 1));
	EXPECT_TRUE(pattern_stands(writer, self->size, 5));
	ASSERT_TRUE(vma_at(reader, &vma));
	EXPECT_STREQ("r--s", vma.perms);
}

/* Nobody has written yet: the read-only attach brings the pages in itself. */
TEST_F(attach, rdonly_first_touch)
{
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);
	char *writer;

	ASSERT_NE(SHM_FAILED, reader);
	EXPECT_EQ(0, read_signal(reader));
	EXPECT_EQ(0, reader[0]);
	EXPECT_EQ(SIGSEGV, write_signal(reader));
	EXPECT_EQ(SIGSEGV, write_signal(reader + self->page));
	writer = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, writer);
	writer[0] = 'w';
	EXPECT_EQ('w', reader[0]);
}

TEST_F(attach, rdonly_can_never_be_made_writable)
{
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);
	char *moved;

	ASSERT_NE(SHM_FAILED, reader);
	EXPECT_ERRNO(EACCES, mprotect(reader, self->size, PROT_READ | PROT_WRITE));
	EXPECT_ERRNO(EACCES, mprotect(reader, self->size, PROT_WRITE));
	EXPECT_ERRNO(EACCES, mprotect(reader, self->size, PROT_READ | PROT_WRITE | PROT_EXEC));
	EXPECT_ERRNO(EACCES, mprotect(reader + self->page, self->page, PROT_WRITE));
	EXPECT_EQ(0, mprotect(reader, self->size, PROT_NONE));
	EXPECT_ERRNO(EACCES, mprotect(reader, self->size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mprotect(reader, self->size, PROT_READ));
	moved = mremap(reader, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED, self->hole);
	ASSERT_EQ(self->hole, moved);
	EXPECT_ERRNO(EACCES, mprotect(moved, self->size, PROT_READ | PROT_WRITE));
	SHM_IN_CHILD({
		EXPECT_ERRNO(EACCES, mprotect(moved, self->size, PROT_READ | PROT_WRITE));
	});
	EXPECT_EQ(SIGSEGV, write_signal(moved));
}

/* A writable attach elsewhere lends nothing to a read-only one, nor the other way round. */
TEST_F(attach, rdonly_next_to_writable)
{
	char *reader = self->shm->attach(self->id, self->hole, SHM_RDONLY);
	char *writer = self->shm->attach(self->id, self->hole + self->size, 0);

	ASSERT_EQ(self->hole, reader);
	ASSERT_EQ(self->hole + self->size, writer);
	EXPECT_ERRNO(EACCES, mprotect(reader, self->size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mprotect(writer, self->size, PROT_READ));
	EXPECT_EQ(SIGSEGV, write_signal(writer));
	EXPECT_EQ(0, mprotect(writer, self->size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, write_signal(writer));
	EXPECT_EQ(SIGSEGV, write_signal(reader));
}

/* /proc/self/mem may write past mprotect in a private mapping; a read-only attach is not one. */
/*
 * An attach may get what an earlier one has left (here a file), but never what another one has: neighbours stay apart, each keeps its
 * access, and a detach takes its own.
 */
TEST_F(attach, in_turns_beside_each_other)
{
	char *left = self->hole, *right = self->hole + self->size;
	int i, child_sees;

	ASSERT_EQ(left, self->shm->attach(self->id, left, 0));
	for (i = 0; i < 8; i++) {
		int mine = i & 1 ? SHM_RDONLY : 0, others = i & 2 ? SHM_RDONLY : 0;

		/* Left is attached: this is right's turn, twice. */
		ASSERT_EQ(right, self->shm->attach(self->id, right, others));
		ASSERT_EQ(0, self->shm->detach(right));
		ASSERT_EQ(right, self->shm->attach(self->id, right, mine));
		EXPECT_EQ(2, shm_nattch(self->shm, self->id));
		if (mine == SHM_RDONLY) {
			EXPECT_ERRNO(EACCES, mprotect(right, self->size, PROT_READ | PROT_WRITE));
		} else {
			right[i] = i + 1;
			EXPECT_EQ(i + 1, *(volatile char *)(left + i));
		}
		/* A child has both: its left one goes, and neither its right one nor ours. */
		SHM_CHILD {
			ASSERT_EQ(0, self->shm->detach(left));
			child_sees = ((volatile char *)right)[0];
			EXPECT_EQ(1, child_sees);
			ASSERT_EQ(left, self->shm->attach(self->id, left, others));
			EXPECT_EQ(4, shm_nattch(self->shm, self->id));
			ASSERT_EQ(0, self->shm->detach(right));
			child_sees = ((volatile char *)left)[0];
			EXPECT_EQ(1, child_sees);
			EXPECT_ERRNO(EINVAL, self->shm->detach(right));
		}
		EXPECT_EQ(2, shm_nattch(self->shm, self->id));
		ASSERT_EQ(0, self->shm->detach(left));
		EXPECT_EQ(1, *(volatile char *)right);
		EXPECT_ERRNO(EINVAL, self->shm->detach(left));
		ASSERT_EQ(left, self->shm->attach(self->id, left, 0));
		ASSERT_EQ(0, self->shm->detach(right));
		EXPECT_EQ(1, *(volatile char *)left);
		EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	}
}

TEST_F(attach, rdonly_is_not_written_through_proc_mem)
{
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char byte = 'x';

	ASSERT_NE(SHM_FAILED, reader);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, pread(fd, &byte, 1, (uintptr_t)reader));
	EXPECT_EQ(0, byte);
	byte = 'x';
	EXPECT_ERRNO(EIO, pwrite(fd, &byte, 1, (uintptr_t)reader));
	EXPECT_EQ(0, reader[0]);
	close(fd);
}

TEST_F(attach, exec_maps_executable)
{
	char *code = self->shm->attach(self->id, NULL, SHM_EXEC);
	char *reader = self->shm->attach(self->id, NULL, SHM_EXEC | SHM_RDONLY);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, code);
	ASSERT_NE(SHM_FAILED, reader);
	ASSERT_TRUE(vma_at(code, &vma));
	EXPECT_STREQ("rwxs", vma.perms);
	ASSERT_TRUE(vma_at(reader, &vma));
	EXPECT_STREQ("r-xs", vma.perms);
	put_return(code);
	EXPECT_EQ(0, access_signal(code, access_call));
	EXPECT_EQ(0, access_signal(reader, access_call));
}

TEST_F(attach, without_exec_nothing_runs)
{
	char *data = self->shm->attach(self->id, NULL, 0);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, data);
	ASSERT_TRUE(vma_at(data, &vma));
	EXPECT_STREQ("rw-s", vma.perms);
	put_return(data);
	EXPECT_EQ(SIGSEGV, access_signal(data, access_call));
}

/* SHM_EXEC is about the mapping's first rights; mprotect gives the right to execute later, too, as on the built-in. */
TEST_F(attach, mprotect_makes_it_executable_later)
{
	char *data = self->shm->attach(self->id, NULL, 0);
	char *reader = self->shm->attach(self->id, NULL, SHM_RDONLY);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, data);
	ASSERT_NE(SHM_FAILED, reader);
	EXPECT_EQ(0, mprotect(data, self->size, PROT_READ | PROT_WRITE | PROT_EXEC));
	ASSERT_TRUE(vma_at(data, &vma));
	EXPECT_STREQ("rwxs", vma.perms);
	EXPECT_EQ(0, mprotect(reader, self->size, PROT_READ | PROT_EXEC));
	ASSERT_TRUE(vma_at(reader, &vma));
	EXPECT_STREQ("r-xs", vma.perms);
	put_return(data);
	EXPECT_EQ(0, access_signal(data, access_call));
	EXPECT_EQ(0, access_signal(reader, access_call));
}

/* READ_IMPLIES_EXEC gives mappings that may be read the right to execute, also here. */
TEST_F(attach, personality_read_implies_exec)
{
	SHM_IN_CHILD({
		struct vma vma;
		char *addr;

		ASSERT_LE(0, syscall(__NR_personality, 0x0400000));
		addr = self->shm->attach(self->id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_TRUE(vma_at(addr, &vma));
		EXPECT_STREQ("rwxs", vma.perms);
	});
}

TEST_F(attach, exec_needs_the_execute_permission)
{
	int id = self->shm->get(IPC_PRIVATE, self->size, 0666);

	ASSERT_LE(0, id);
	SHM_IN_CHILD({
		ASSERT_EQ(0, become_nobody());
		EXPECT_ERRNO(EACCES, self->shm->attach(id, NULL, SHM_EXEC));
		EXPECT_ERRNO(EACCES, self->shm->attach(id, NULL, SHM_EXEC | SHM_RDONLY));
		EXPECT_NE(SHM_FAILED, self->shm->attach(id, NULL, 0));
		EXPECT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, SHM_EXEC));
	});
}

/* The built-in ignores flags it does not know; the module keeps them for later. */
TEST_F(attach, unknown_flags)
{
	static const int unknown[] = { 1, 0600, 01000, 02000, 04000, 0200000, 0x40000000, (int)0x80000000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		if (self->shm == &shm_rust)
			EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, unknown[i]));
		else
			EXPECT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, unknown[i]));
	}
	EXPECT_EQ(self->shm == &shm_rust ? 0 : (long)ARRAY_SIZE(unknown), shm_nattch(self->shm, self->id));
}

TEST_F(attach, no_such_id_is_einval)
{
	EXPECT_ERRNO(EINVAL, self->shm->attach(-1, NULL, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(INT32_MIN, NULL, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach((self->id & 0x7fff) + 1000, NULL, 0));
	ASSERT_EQ(0, self->shm->rmid(self->id));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, 0));
}

/* When the index has a new tenant, the old id is told apart by its sequence number: EINVAL, as ipc_obtain_object_check(). */
TEST_F(attach, stale_id_is_einval)
{
	int id = -1, tries;
	char *addr;

	ASSERT_EQ(0, self->shm->rmid(self->id));
	for (tries = 0; tries < 40000; tries++) {
		id = self->shm->get(IPC_PRIVATE, self->page, 0600);
		ASSERT_LE(0, id);
		ASSERT_NE(self->id, id);
		if ((id & 0x7fff) == (self->id & 0x7fff))
			break;
		ASSERT_EQ(0, self->shm->rmid(id));
	}
	ASSERT_EQ(self->id & 0x7fff, id & 0x7fff);
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole, SHM_RDONLY));
	EXPECT_EQ(0, shm_nattch(self->shm, id));
	addr = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_EQ(0, addr[0]);
}

TEST_F(attach, maps_line)
{
	static const struct {
		key_t key;
		const char *name;
	} cases[] = {
		{ SHM_KEY + 1, "/SYSV52534d32 (deleted)" },
		{ IPC_PRIVATE, "/SYSV00000000 (deleted)" },
		{ (key_t)0xfedcba98, "/SYSVfedcba98 (deleted)" },
		{ 0xab, "/SYSV000000ab (deleted)" },
	};
	struct vma vma;
	char *addr;
	size_t i;
	int id;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		id = self->shm->get(cases[i].key, 3 * self->page - 1, IPC_CREAT | 0600);
		ASSERT_LE(0, id);
		addr = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_TRUE(vma_at(addr, &vma));
		EXPECT_EQ((unsigned long)addr, vma.start);
		EXPECT_EQ((unsigned long)addr + 3 * self->page, vma.end);
		EXPECT_STREQ("rw-s", vma.perms);
		EXPECT_EQ(0, vma.offset);
		EXPECT_EQ((unsigned long)id, vma.inode);
		EXPECT_STREQ(cases[i].name, vma.name);
	}
}

/*
 * How many mappings of a segment a process has, found as lsof or a person would: by the id as inode number, and the key in the name. The
 * id alone would not do, for any file may have that inode number.
 */
static int attaches_of(pid_t pid, int id, key_t key)
{
	char path[64], line[512], name[64];
	struct vma vma;
	int count = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	snprintf(name, sizeof(name), "/SYSV%08x (deleted)", key);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps))
		count += vma_parse(line, &vma) && vma.inode == (unsigned long)id && !strcmp(vma.name, name);
	if (maps)
		fclose(maps);
	return count;
}

TEST_F(attach, attached_processes_are_found_in_maps)
{
	/* How often each child attaches the one and the other. */
	static const int often[4][2] = { { 1, 0 }, { 2, 1 }, { 0, 1 }, { 0, 0 } };
	int ids[2] = { self->id, self->shm->get(IPC_PRIVATE, self->size, 0600) };
	key_t keys[2] = { SHM_KEY, IPC_PRIVATE };
	int found[4][2] = { 0 }, sum[2] = { 0 };
	struct gate made, leave;
	struct dirent *entry;
	pid_t pids[4];
	int i, j, k;
	DIR *proc;

	ASSERT_LE(0, ids[1]);
	ASSERT_EQ(0, gate_make(&made));
	ASSERT_EQ(0, gate_make(&leave));
	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		for (j = 0; j < 2; j++)
			for (k = 0; k < often[i][j]; k++)
				if (self->shm->attach(ids[j], NULL, k ? SHM_RDONLY : 0) == SHM_FAILED)
					_exit(1);
		gate_open(&made);
		gate_wait(&leave);
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		gate_wait(&made);

	proc = opendir("/proc");
	ASSERT_NE(NULL, proc);
	while ((entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		for (j = 0; pid && j < 2; j++) {
			int count = attaches_of(pid, ids[j], keys[j]);

			sum[j] += count;
			for (i = 0; i < 4; i++)
				if (pid == pids[i])
					found[i][j] = count;
		}
	}
	closedir(proc);
	for (j = 0; j < 2; j++) {
		for (i = 0; i < 4; i++)
			EXPECT_EQ(often[i][j], found[i][j]);
		EXPECT_EQ(shm_nattch(self->shm, ids[j]), sum[j])
			TH_LOG("nobody else, and nobody missing");
	}
	/* The key is gone with removal, the name in maps is not. */
	ASSERT_EQ(0, self->shm->rmid(ids[0]));
	EXPECT_EQ(2, attaches_of(pids[1], ids[0], SHM_KEY));
	for (i = 0; i < 4; i++)
		gate_open(&leave);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, shm_wait(pids[i]));
}

/* Removal takes the key away, but not the name and the number the mapping has. */
TEST_F(attach, maps_line_after_rmid)
{
	char *addr = self->shm->attach(self->id, NULL, 0);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, self->shm->rmid(self->id));
	ASSERT_TRUE(vma_at(addr, &vma));
	EXPECT_STREQ("/SYSV52534d31 (deleted)", vma.name);
	EXPECT_EQ((unsigned long)self->id, vma.inode);
}

TEST_F(attach, maps_offset_of_a_piece)
{
	char *addr = self->shm->attach(self->id, NULL, 0);
	struct vma vma;

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, munmap(addr, self->page));
	ASSERT_TRUE(vma_at(addr + self->page, &vma));
	EXPECT_EQ(self->page, vma.offset);
	EXPECT_STREQ("/SYSV52534d31 (deleted)", vma.name);
}

/* The same line of maps, but for the address, the device and the id, on both. */
TEST_F(attach, map_files_link)
{
	char *addr = self->shm->attach(self->id, NULL, 0);
	char path[96], target[128];
	ssize_t len;

	ASSERT_NE(SHM_FAILED, addr);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + self->size);
	len = readlink(path, target, sizeof(target) - 1);
	ASSERT_LT(0, len);
	target[len] = '\0';
	EXPECT_STREQ("/SYSV52534d31 (deleted)", target);
}

/* CRIU knows an attach by its name, and by the device number that anonymous shared memory has; and its segment by the inode's number. */
TEST_F(attach, map_files_is_on_the_device_of_shared_memory)
{
	char *addr = self->shm->attach(self->id, NULL, 0), path[96];
	void *anonymous = mmap(NULL, self->page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stat of_attach, of_anonymous;

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(MAP_FAILED, anonymous);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + self->size);
	ASSERT_EQ(0, stat(path, &of_attach));
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)anonymous, (unsigned long)anonymous + self->page);
	ASSERT_EQ(0, stat(path, &of_anonymous));
	EXPECT_EQ(of_anonymous.st_dev, of_attach.st_dev);
	EXPECT_EQ((ino_t)self->id, of_attach.st_ino);
	EXPECT_EQ((off_t)self->size, of_attach.st_size);
	EXPECT_TRUE(S_ISREG(of_attach.st_mode));
	EXPECT_EQ(0, munmap(anonymous, self->page));
}

/* A privileged process can open the file behind an attach; whatever it does to it, the segment's life is not disturbed. */
TEST_F(attach, map_files_open_does_no_harm)
{
	char *addr = self->shm->attach(self->id, NULL, 0);
	char path[96], buf[64];
	void *map;
	int fd;

	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, self->size, 11);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + self->size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, buf, sizeof(buf)) == sizeof(buf))
			EXPECT_EQ(0, memcmp(buf, addr, sizeof(buf)));
		map = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map != MAP_FAILED) {
			EXPECT_EQ(0, memcmp(map, addr, self->size));
			EXPECT_EQ(0, munmap(map, self->size));
		}
		close(fd);
	}
	EXPECT_TRUE(pattern_stands(addr, self->size, 11));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->rmid(self->id));
	EXPECT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(attach, counts_time_and_pid)
{
	struct rust_shm_stat before, after;
	time_t start = time(NULL);
	pid_t pid = getpid();

	ASSERT_EQ(0, self->shm->stat(self->id, &before));
	EXPECT_EQ(0, before.nattch);
	EXPECT_EQ(0, before.atime);
	EXPECT_EQ(0, before.lpid);
	ASSERT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, 0));
	ASSERT_EQ(0, self->shm->stat(self->id, &after));
	EXPECT_EQ(1, after.nattch);
	EXPECT_LE(start - 1, after.atime);
	EXPECT_GE(time(NULL) + 1, after.atime);
	EXPECT_EQ(pid, after.lpid);
	EXPECT_EQ(pid, after.cpid);
	EXPECT_EQ(0, after.dtime);
	EXPECT_EQ(before.ctime, after.ctime);
	SHM_IN_CHILD({
		ASSERT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, SHM_RDONLY));
		ASSERT_EQ(0, self->shm->stat(self->id, &after));
		EXPECT_EQ(getpid(), after.lpid);
		EXPECT_EQ(pid, after.cpid);
		/* The parent's, the one that fork copied, and this one. */
		EXPECT_EQ(3, after.nattch);
	});
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
}

TEST_F(attach, many_attaches_of_one_segment)
{
	enum { MANY = 1000 };
	char *addr[MANY];
	int i;

	for (i = 0; i < MANY; i++) {
		addr[i] = self->shm->attach(self->id, NULL, i & 1 ? SHM_RDONLY : 0);
		ASSERT_NE(SHM_FAILED, addr[i]);
	}
	EXPECT_EQ(MANY, shm_nattch(self->shm, self->id));
	addr[0][self->page] = 'm';
	for (i = 0; i < MANY; i++)
		ASSERT_EQ('m', addr[i][self->page]);
	for (i = 0; i < MANY; i += 2)
		ASSERT_EQ(0, self->shm->detach(addr[i]));
	EXPECT_EQ(MANY / 2, shm_nattch(self->shm, self->id));
	for (i = 1; i < MANY; i += 2)
		ASSERT_EQ(0, self->shm->detach(addr[i]));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(attach, again_and_again)
{
	char *addr;
	int i;

	for (i = 0; i < 1000; i++) {
		addr = self->shm->attach(self->id, self->hole, 0);
		ASSERT_EQ(self->hole, addr);
		ASSERT_EQ(i ? (char)(i - 1) : 0, addr[0]);
		addr[0] = (char)i;
		ASSERT_EQ(0, self->shm->detach(addr));
	}
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, vma_count(self->hole, 4 * MIB));
}

TEST_F(attach, size_is_rounded_up_to_pages)
{
	int id = self->shm->get(IPC_PRIVATE, self->page + 1, 0600);
	struct rust_shm_stat stat;
	struct vma vma;
	char *addr;

	ASSERT_LE(0, id);
	addr = self->shm->attach(id, self->hole, 0);
	ASSERT_EQ(self->hole, addr);
	ASSERT_TRUE(vma_at(addr, &vma));
	EXPECT_EQ(2 * self->page, vma.end - vma.start);
	EXPECT_EQ(0, write_signal(addr + 2 * self->page - 1));
	EXPECT_EQ(0, addr[self->page + 1]);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(self->page + 1, stat.segsz);
}

/* What only the module answers: how much was mapped. */
TEST_F(attach, length_is_reported)
{
	struct rust_shm_attach attach = { .length = 12345 };

	if (self->shm != &shm_rust)
		SKIP(return, "the system call has no such answer");
	attach.id = self->shm->get(IPC_PRIVATE, self->page + 1, 0600);
	ASSERT_LE(0, attach.id);
	ASSERT_EQ(0, shm_rust_ioctl(RUST_SHM_IOC_ATTACH, &attach));
	EXPECT_EQ(2 * self->page, attach.length);
	EXPECT_NE(0, attach.addr);
	EXPECT_EQ(0, self->shm->detach((void *)(uintptr_t)attach.addr));
}

TEST_F(attach, rlimit_as_is_enomem)
{
	SHM_IN_CHILD({
		struct rlimit limit = { 64 * MIB, 64 * MIB };
		int id = self->shm->get(IPC_PRIVATE, 128 * MIB, 0600);

		ASSERT_LE(0, id);
		ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
		EXPECT_ERRNO(ENOMEM, self->shm->attach(id, NULL, 0));
		EXPECT_ERRNO(ENOMEM, self->shm->attach(id, NULL, SHM_RDONLY));
		EXPECT_EQ(0, shm_nattch(self->shm, id));
		EXPECT_NE(SHM_FAILED, self->shm->attach(self->id, NULL, 0));
	});
}

TEST_F(attach, above_the_address_space)
{
	/* x86-64 with four or five levels, arm64, i386: all of these lie above what a program may use. */
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, (void *)BEYOND_USER, 0));
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, (void *)(BEYOND_USER - self->page), 0));
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, (void *)BEYOND_USER, SHM_REMAP));
#ifdef __LP64__
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, (void *)0xffffffff80000000UL, 0));
#endif
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

#ifdef __LP64__
/* The end of the addresses that programs have: on arm64 the kernel is built for a number of bits. */
static char *end_of_addresses(void)
{
#ifdef __x86_64__
	return (char *)0x7ffffffff000UL;
#else
	static const int bits[] = { 36, 39, 42, 47 };
	char *end, *probe;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		end = (char *)(1UL << bits[i]);
		probe = mmap(end, shm_page_size(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (probe == MAP_FAILED && errno == ENOMEM)
			return end;
		if (probe != MAP_FAILED)
			munmap(probe, shm_page_size());
	}
	return (char *)(1UL << 48);
#endif
}

/* On x86 the last page below the non-canonical hole is kept free. A segment must end below the end. */
TEST_F(attach, at_the_end_of_the_address_space)
{
	char *end = end_of_addresses();
	char *probe = mmap(end, self->page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *top;

	if (probe != MAP_FAILED)
		SKIP(return, "page tables of more levels: no end here");
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, end, 0));
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, end - self->page, 0));
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, end - self->size + self->page, 0));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
	top = end - self->size;
	if (vma_count(top, self->size))
		SKIP(return, "the last pages are taken");
	EXPECT_EQ(top, self->shm->attach(self->id, top, 0));
	EXPECT_EQ(0, write_signal(end - 1));
	EXPECT_EQ(0, self->shm->detach(top));
}
#endif

TEST_F(attach, address_plus_size_overflows)
{
	void *last = (void *)(0UL - self->page);
	/* In the 64 bits that the kernel reckons with, the sum of a 32-bit program is only too large. */
	const int overflow = sizeof(void *) < 8 ? ENOMEM : EINVAL;

	EXPECT_ERRNO(overflow, self->shm->attach(self->id, last, 0));
	EXPECT_ERRNO(overflow, self->shm->attach(self->id, (void *)(0UL - 1), SHM_RND));
	/* With SHM_REMAP, the sum is not looked at before the address. */
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, last, SHM_REMAP));
	EXPECT_EQ(0, shm_nattch(self->shm, self->id));
}

TEST_F(attach, below_mmap_min_addr)
{
	FILE *file = fopen("/proc/sys/vm/mmap_min_addr", "re");
	unsigned long min = 0;
	void *lowest;

	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%lu", &min));
	fclose(file);
	lowest = (void *)((min + self->page - 1) / self->page * self->page);
	ASSERT_LT(0, min)
		TH_LOG("vm.mmap_min_addr is 0: there is nothing to test");
	SHM_IN_CHILD({
		ASSERT_EQ(0, become_nobody());
		EXPECT_ERRNO(EPERM, self->shm->attach(self->id, (void *)1, SHM_RND));
		EXPECT_ERRNO(EPERM, self->shm->attach(self->id, (void *)(min - 1), SHM_RND));
		if (min > self->page) {
			EXPECT_ERRNO(EPERM, self->shm->attach(self->id, (void *)self->page, 0));
			EXPECT_ERRNO(EPERM, self->shm->attach(self->id, (void *)(min - self->page), SHM_REMAP));
		}
		EXPECT_EQ(0, shm_nattch(self->shm, self->id));
		EXPECT_EQ(lowest, self->shm->attach(self->id, lowest, 0));
	});
	/* The privileged are let. */
	EXPECT_EQ((void *)0, self->shm->attach(self->id, (void *)1, SHM_RND));
}

/* Right below a mapping that grows down there is room: no check keeps the stack's gap, and the stack then no longer grows. */
TEST_F(attach, below_a_stack)
{
	char *stack = self->hole + 2 * MIB;

	ASSERT_EQ(stack, mmap(stack, self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, stack - self->size + self->page, 0));
	ASSERT_EQ(stack - self->size, self->shm->attach(self->id, stack - self->size, 0));
	EXPECT_EQ(0, write_signal(stack - 1));
	EXPECT_EQ(0, self->shm->detach(stack - self->size));
	/* With some free pages in between, but fewer than the gap: growing fails rather than closing up on the attach. */
	ASSERT_EQ(stack - 2 * self->size, self->shm->attach(self->id, stack - 2 * self->size, 0));
	EXPECT_EQ(SIGSEGV, write_signal(stack - 1));
}

/* Everything attached from now on is locked: that is also brought into memory. */
TEST_F(attach, mlockall_future_brings_it_in)
{
	SHM_IN_CHILD({
		unsigned char core[PAGES];
		char *addr;

		ASSERT_EQ(0, mlockall(MCL_FUTURE));
		addr = self->shm->attach(self->id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(0, mincore(addr, self->size, core));
		EXPECT_EQ(1, core[0] & 1);
		EXPECT_EQ(1, core[PAGES - 1] & 1);
		EXPECT_EQ((long)self->size, vma_smaps_bytes(addr, "Locked"));
		EXPECT_EQ(0, self->shm->detach(addr));
	});
}

TEST_F(attach, mlockall_future_obeys_the_limit)
{
	SHM_IN_CHILD({
		struct rlimit limit = { 64 * KIB, 64 * KIB };
		int id = self->shm->get(IPC_PRIVATE, MIB, 0666);

		ASSERT_LE(0, id);
		ASSERT_EQ(0, mlockall(MCL_FUTURE | MCL_ONFAULT));
		ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
		ASSERT_EQ(0, become_nobody());
		EXPECT_ERRNO(EAGAIN, self->shm->attach(id, NULL, 0));
		EXPECT_EQ(0, shm_nattch(self->shm, id));
	});
}

/* A failed attach leaves no count behind that would keep a removed segment alive. */
TEST_F(attach, failure_keeps_nothing_alive)
{
	char *addr = self->shm->attach(self->id, self->hole, 0);

	ASSERT_EQ(self->hole, addr);
	ASSERT_EQ(0, self->shm->rmid(self->id));
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, self->hole, 0));
	EXPECT_ERRNO(ENOMEM, self->shm->attach(self->id, (void *)BEYOND_USER, 0));
	EXPECT_EQ(1, shm_nattch(self->shm, self->id));
	EXPECT_EQ(0, self->shm->detach(addr));
	EXPECT_EQ(0, shm_count(self->shm));
}

/* The answer is where it really is, also when the address space has only one hole left near by. */
/* Who asks for the build ID of a mapping has the kernel read its file: an attach has none, and the kernel does not warn of it. */
TEST_F(attach, has_no_build_id)
{
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct procmap_query query = { .size = sizeof(query) };
	char id[64], line[1024];
	ssize_t length;
	char *addr = self->shm->attach(self->id, NULL, 0);

	ASSERT_NE(SHM_FAILED, addr);
	memset(addr, 1, self->size);
	ASSERT_LE(0, maps);
	ASSERT_LE(0, lseek(log, 0, SEEK_END));
	query.query_addr = (uintptr_t)addr;
	query.build_id_addr = (uintptr_t)id;
	query.build_id_size = sizeof(id);
	ASSERT_EQ(0, ioctl(maps, PROCMAP_QUERY, &query));
	EXPECT_EQ((uintptr_t)addr, query.vma_start);
	EXPECT_EQ(0, query.build_id_size);
	while ((length = read(log, line, sizeof(line) - 1)) > 0) {
		line[length] = '\0';
		EXPECT_EQ(NULL, strstr(line, "read not supported"))
			TH_LOG("%s", line);
	}
	close(maps);
	close(log);
}

TEST_F(attach, fills_the_only_hole)
{
	char *anon = mmap(self->hole, 3 * self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	ASSERT_EQ(self->hole, anon);
	ASSERT_EQ(0, munmap(anon + self->size, self->size));
	ASSERT_EQ(anon + self->size, self->shm->attach(self->id, anon + self->size, 0));
	EXPECT_EQ(0, write_signal(anon + self->size));
	EXPECT_EQ(0, write_signal(anon + 2 * self->size - 1));
	EXPECT_EQ(SIGSEGV, read_signal(anon + self->size - 1));
	EXPECT_EQ(SIGSEGV, read_signal(anon + 2 * self->size));
}

/* What is compared needs both at once. */
FIXTURE(attach_compare) {
	int builtin;
	int rust;
	size_t size;
};

FIXTURE_SETUP(attach_compare)
{
	SHM_ENTER(&shm_builtin);
	SHM_ENTER(&shm_rust);
	self->size = 2 * page_size();
	self->builtin = shm_builtin.get(SHM_KEY, self->size, IPC_CREAT | 0700);
	self->rust = shm_rust.get(SHM_KEY, self->size, IPC_CREAT | 0700);
	ASSERT_LE(0, self->builtin);
	ASSERT_LE(0, self->rust);
}

FIXTURE_TEARDOWN(attach_compare)
{
	SHM_LEAVE(&shm_builtin);
	SHM_LEAVE(&shm_rust);
}

TEST_F(attach_compare, vm_flags)
{
	static const int flags[] = { 0, SHM_RDONLY, SHM_EXEC, SHM_RDONLY | SHM_EXEC };
	char builtin[128], rust[128];
	char *at_builtin, *at_rust;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		at_builtin = shm_builtin.attach(self->builtin, NULL, flags[i]);
		at_rust = shm_rust.attach(self->rust, NULL, flags[i]);
		ASSERT_NE(SHM_FAILED, at_builtin);
		ASSERT_NE(SHM_FAILED, at_rust);
		ASSERT_TRUE(vma_smaps(at_builtin, "VmFlags", builtin, sizeof(builtin)));
		ASSERT_TRUE(vma_smaps(at_rust, "VmFlags", rust, sizeof(rust)));
		EXPECT_STREQ(builtin, rust)
			TH_LOG("attach flags %#o: the built-in has '%s', rust_shm '%s'", flags[i], builtin, rust);
	}
}

/* All of the line but addresses, device and inode. */
TEST_F(attach_compare, maps_line)
{
	char *at_builtin = shm_builtin.attach(self->builtin, NULL, 0);
	char *at_rust = shm_rust.attach(self->rust, NULL, 0);
	struct vma builtin, rust;

	ASSERT_NE(SHM_FAILED, at_builtin);
	ASSERT_NE(SHM_FAILED, at_rust);
	ASSERT_TRUE(vma_at(at_builtin, &builtin));
	ASSERT_TRUE(vma_at(at_rust, &rust));
	EXPECT_STREQ(builtin.name, rust.name);
	EXPECT_STREQ(builtin.perms, rust.perms);
	EXPECT_EQ(builtin.offset, rust.offset);
	EXPECT_EQ(builtin.end - builtin.start, rust.end - rust.start);
	EXPECT_EQ((unsigned long)self->builtin, builtin.inode);
	EXPECT_EQ((unsigned long)self->rust, rust.inode);
}

TEST_HARNESS_MAIN
