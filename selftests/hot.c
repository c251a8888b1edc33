// SPDX-License-Identifier: GPL-2.0
/*
 * What happens to pages and to tasks from the outside: pages are moved by compaction and between nodes, or go bad; tasks are killed or
 * frozen in the middle of a long fault. Every test runs on the built-in and on the module. (Limits of memory cgroups: memory.c.)
 */
/* needs: numa parallel */
#include "kselftest_harness.h"

#include <dirent.h>
#include <limits.h>
#include <linux/kernel-page-flags.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "cgroup.h"
#include "shm_backend.h"
#include "vma.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef BUS_MCEERR_AR
#define BUS_MCEERR_AR 4
#endif

#define LARGE (512 * MIB)	/* takes a while to fill */

FIXTURE(hot) {
	const struct shm_backend *shm;
	size_t page;
	int block;	/* of memory, that was made movable; or -1 */
};

SHM_BOTH(hot)

FIXTURE_SETUP(hot)
{
	self->shm = variant->shm;
	self->page = page_size();
	self->block = -1;
	SHM_ENTER(self->shm);
}

static int put_block_back(int block);

FIXTURE_TEARDOWN(hot)
{
	if (self->block >= 0) {
		EXPECT_EQ(0, put_block_back(self->block));
	}
	SHM_LEAVE(self->shm);
}

/* An entry of a file that has one of 8 bytes for each page; 0 if there is none. */
static uint64_t entry_of(const char *path, uint64_t page)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd >= 0 && pread(fd, &entry, sizeof(entry), page * sizeof(entry)) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

/* The page frame at addr, which must be touched; 0 if there is none. */
static uint64_t frame(const void *addr)
{
	uint64_t entry = entry_of("/proc/self/pagemap", (uintptr_t)addr / page_size());

	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* The node of the page at addr, or a negative errno. */
static int node_of(const void *addr)
{
	void *pages[1] = { (void *)(uintptr_t)addr };
	int status = -EIO;

	if (syscall(SYS_move_pages, 0, 1UL, pages, NULL, &status, 0) < 0)
		return -errno;
	return status;
}

/* A child that reads a pattern again and again until it is told to stop; it ends with 0 when the pattern stood all the time. */
static pid_t reader(const char *addr, size_t size, unsigned int seed, volatile bool *stop)
{
	pid_t pid = fork();

	if (!pid) {
		do {
			if (!pattern_stands(addr, size, seed))
				_exit(1);
		} while (!*stop);
		_exit(0);
	}
	return pid;
}

/* A child that counts in a word of each page until it is told to stop, and says in the end how often. */
static pid_t writer(char *addr, size_t size, volatile unsigned int *rounds, volatile bool *stop)
{
	pid_t pid = fork();

	if (!pid) {
		size_t at, page = page_size();

		do {
			for (at = 0; at < size; at += page)
				++*(volatile unsigned int *)(addr + at + page - 8);
			++*rounds;
		} while (!*stop);
		_exit(0);
	}
	return pid;
}

/* Memory for both sides of a fork. */
static void *common(size_t size)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

#define SINGLES 400

/* A child that reads many segments of a page each. */
static pid_t reader_of_many(char *const addr[], unsigned int count, volatile bool *stop)
{
	pid_t pid = fork();

	if (!pid) {
		unsigned int i;

		do {
			for (i = 0; i < count; i++)
				if (!pattern_stands(addr[i], page_size(), i))
					_exit(1);
		} while (!*stop);
		_exit(0);
	}
	return pid;
}

/* Single pages between holes: compaction has something to do. */
TEST_F_TIMEOUT(hot, compaction_moves_pages_and_loses_none, 60)
{
	const size_t holes = 192 * MIB;
	unsigned int i, moved = 0, round;
	bool *stop = common(self->page);
	char *wall, *addr[SINGLES];
	uint64_t before[SINGLES];
	pid_t child;
	size_t at;
	int id;

	ASSERT_NE(NULL, stop);
	/* No huge pages, for they would have no holes. */
	wall = mmap(NULL, holes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, wall);
	ASSERT_EQ(0, shm_small_pages(wall, holes));
	memset(wall, 1, holes);
	/* Every eighth page is free, and a segment takes each of the first of them; then most of the others are free, too. */
	for (at = 0; at < holes; at += 8 * self->page)
		ASSERT_EQ(0, madvise(wall + at, self->page, MADV_DONTNEED));
	for (i = 0; i < SINGLES; i++) {
		id = self->shm->get(IPC_PRIVATE, self->page, 0600);
		ASSERT_LE(0, id);
		addr[i] = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr[i]);
		pattern_fill(addr[i], self->page, i);
		before[i] = frame(addr[i]);
		ASSERT_NE(0, before[i]);
	}
	for (at = 0; at < holes; at += self->page)
		if (at / self->page % 16)
			madvise(wall + at, self->page, MADV_DONTNEED);
	child = reader_of_many(addr, SINGLES, stop);
	ASSERT_LE(0, child);
	for (round = 0; round < 3; round++)
		ASSERT_EQ(0, shm_write_file("/proc/sys/vm/compact_memory", "1"));
	*stop = true;
	EXPECT_EQ(0, shm_wait(child));
	for (i = 0; i < SINGLES; i++) {
		EXPECT_TRUE(pattern_stands(addr[i], self->page, i));
		moved += frame(addr[i]) != before[i];
	}
	/* Whether any are moved is up to where they happened to be: the two tests that follow move all of them. */
	TH_LOG("%u of %u pages were moved", moved, SINGLES);
}

TEST_F_TIMEOUT(hot, move_pages_between_nodes, 60)
{
	const size_t size = 4 * MIB + 3 * self->page, count = size / self->page;
	void **pages = calloc(count, sizeof(*pages));
	int *nodes = calloc(count, sizeof(*nodes)), *status = calloc(count, sizeof(*status)), id, round, node;
	struct { bool stop; unsigned int rounds; } *say = common(self->page);
	char *addr, *again;
	pid_t child;
	size_t i;

	ASSERT_NE(NULL, say);
	id = self->shm->get(IPC_PRIVATE, size, 0600);
	ASSERT_LE(0, id);
	addr = self->shm->attach(id, NULL, 0);
	again = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(SHM_FAILED, again);
	pattern_fill(addr, size, 11);
	for (i = 0; i < count; i++) {
		/* Where the writer counts there is no pattern. */
		*(unsigned int *)(addr + i * self->page + self->page - 8) = 0;
		pages[i] = addr + i * self->page;
	}
	ASSERT_LE(0, node_of(addr));
	child = writer(again, size, &say->rounds, &say->stop);
	ASSERT_LE(0, child);
	for (round = 0; round < 6; round++) {
		int there = 0;

		node = !(round & 1);
		for (i = 0; i < count; i++) {
			nodes[i] = node;
			status[i] = -EIO;
		}
		/* A page that is being looked at may have to be asked for again. */
		for (i = 0; i < 20 && there < (int)count; i++) {
			size_t k;

			ASSERT_LE(0, syscall(SYS_move_pages, 0, count, pages, nodes, status, MPOL_MF_MOVE_ALL));
			ASSERT_EQ(0, syscall(SYS_move_pages, 0, count, pages, NULL, status, 0));
			for (k = 0, there = 0; k < count; k++)
				there += status[k] == node;
		}
		EXPECT_EQ((int)count, there)
			TH_LOG("to node %d, round %d", node, round);
	}
	say->stop = true;
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_LT(0, say->rounds);
	for (i = 0; i < count; i++) {
		const char *page = addr + i * self->page;
		unsigned int k;

		/* Nothing that was written while the page moved is lost. */
		ASSERT_EQ(say->rounds, *(unsigned int *)(page + self->page - 8));
		for (k = 0; k < (self->page - 8) / 4; k++)
			ASSERT_EQ((uint32_t)((i * self->page / 4 + k) * 2654435761u) ^ 11, ((uint32_t *)page)[k]);
	}
	free(pages);
	free(nodes);
	free(status);
}

TEST_F_TIMEOUT(hot, migrate_pages_takes_them_along, 60)
{
	const size_t size = 2 * MIB + 5 * self->page;
	unsigned long from[64 / sizeof(long) / 8] = { 1 }, to[64 / sizeof(long) / 8] = { 2 };
	bool *stop = common(self->page);
	int id, node, round;
	char *addr;
	pid_t child;
	size_t at;

	ASSERT_NE(NULL, stop);
	id = self->shm->get(IPC_PRIVATE, size, 0600);
	ASSERT_LE(0, id);
	addr = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, size, 21);
	child = reader(addr, size, 21, stop);
	ASSERT_LE(0, child);
	for (round = 0; round < 4; round++) {
		unsigned int there = 0, try;

		node = !(round & 1);
		from[0] = node ? 1 : 2;
		to[0] = node ? 2 : 1;
		for (try = 0; try < 20 && there * self->page < size; try++) {
			ASSERT_LE(0, syscall(SYS_migrate_pages, 0, 64, from, to));
			for (there = 0, at = 0; at < size; at += self->page)
				there += node_of(addr + at) == node;
		}
		EXPECT_EQ(size / self->page, there)
			TH_LOG("to node %d", node);
	}
	*stop = true;
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_TRUE(pattern_stands(addr, size, 21));
}

/*
 * Memory that is taken away: a block of it goes offline, and what is in it has to move.
 */

#define BLOCKS "/sys/devices/system/memory/"

/* A number in a file of sysfs, hexadecimal; 0 if there is none. */
static uint64_t sysfs_hex(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strtoull(text, NULL, 16);
}

static int set_block(int block, const char *state)
{
	char path[64];

	snprintf(path, sizeof(path), BLOCKS "memory%d/state", block);
	return shm_write_file(path, state);
}

static int put_block_back(int block)
{
	set_block(block, "offline");
	return set_block(block, "online");
}

/* Makes a block one that has movable pages alone, and says its node; -1 if its pages cannot move now. */
static int make_movable(int block)
{
	char path[64];
	int node;

	/* The last one would come back in another zone. */
	snprintf(path, sizeof(path), BLOCKS "memory%d", block + 1);
	if (access(path, F_OK) || set_block(block, "offline") || set_block(block, "online_movable")) {
		set_block(block, "online");
		return -1;
	}
	for (node = 0; node < 64; node++) {
		snprintf(path, sizeof(path), BLOCKS "memory%d/node%d", block, node);
		if (!access(path, F_OK))
			return node;
	}
	return 0;
}

/* How many pages of a mapping lie in a block. */
static size_t in_block(const char *addr, size_t size, uint64_t first, uint64_t count)
{
	size_t found = 0;

	for (size_t at = 0; at < size; at += page_size())
		found += frame(addr + at) - first < count;
	return found;
}

#if defined(__aarch64__) || defined(__arm__)
#define ON_ARM true
#else
#define ON_ARM false
#endif

TEST_F_TIMEOUT(hot, memory_that_goes_offline, 60)
{
	const uint64_t pages = sysfs_hex(BLOCKS "block_size_bytes") / self->page;
	const size_t size = 48 * MIB + 3 * self->page;
	int node = -1, id, offline = -1, block;
	bool *stop = common(self->page);
	unsigned long mask;
	char *addr;
	pid_t child;

	if (ON_ARM)
		SKIP(return, "arm64 lets no memory go offline that was there at the boot");
	ASSERT_NE(0, pages);
	ASSERT_NE(NULL, stop);
	for (block = 64; block > 0 && node < 0; )
		node = make_movable(--block);
	ASSERT_LE(0, node)
		TH_LOG("no block of memory can go offline");
	self->block = block;
	id = self->shm->get(IPC_PRIVATE, size, 0600);
	ASSERT_LE(0, id);
	addr = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	mask = 1UL << node;
	ASSERT_EQ(0, syscall(SYS_mbind, addr, size, MPOL_PREFERRED, &mask, 8 * sizeof(mask), 0));
	pattern_fill(addr, size, 61);
	/* What can move is placed there first. */
	EXPECT_LT(size / self->page / 2, in_block(addr, size, block * pages, pages));
	child = reader(addr, size, 61, stop);
	ASSERT_LE(0, child);
	/* A page that is being looked at may have to be asked for again. */
	for (int try = 0; try < 20 && offline; try++) {
		offline = set_block(block, "offline");
		usleep(10000);
	}
	EXPECT_EQ(0, offline)
		TH_LOG("block %d: %s", block, strerror(errno));
	EXPECT_EQ(0, in_block(addr, size, block * pages, pages));
	*stop = true;
	EXPECT_EQ(0, shm_wait(child));
	EXPECT_TRUE(pattern_stands(addr, size, 61));
}

/*
 * Bad memory.
 */

static sigjmp_buf bus_escape;
static volatile int bus_code;
static void *volatile bus_addr;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	bus_code = info->si_code;
	bus_addr = info->si_addr;
	siglongjmp(bus_escape, 1);
}

/* Reads a byte, and gives the code of the SIGBUS that came of it, or 0. */
static int bus_code_of_read(const char *addr)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO }, old;

	bus_code = 0;
	bus_addr = NULL;
	sigaction(SIGBUS, &sa, &old);
	if (!sigsetjmp(bus_escape, 1))
		(void)*(volatile const char *)addr;
	sigaction(SIGBUS, &old, NULL);
	return bus_code;
}

/* In a child, for the signal goes to who does it: makes the page at addr a bad one. */
static int poison(char *addr)
{
	pid_t pid = fork();

	if (!pid) {
		struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

		sigaction(SIGBUS, &sa, NULL);
		if (!sigsetjmp(bus_escape, 1) && madvise(addr, page_size(), MADV_HWPOISON))
			_exit(errno);
		_exit(0);
	}
	return shm_wait(pid);
}

/* In two sizes: a page of its own, and one in the middle of what may be a huge page. */
static void poisoned(struct __test_metadata *_metadata, const struct shm_backend *shm, size_t size, size_t bad)
{
	const size_t page = page_size();
	struct rust_shm_stat stat;
	char *addr, *again, *later;
	pid_t child;
	size_t at;
	int id;

	id = shm->get(SHM_KEY, size, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	addr = shm->attach(id, NULL, 0);
	again = shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(SHM_FAILED, again);
	pattern_fill(addr, size, 31);
	ASSERT_TRUE(pattern_stands(again, size, 31));
	ASSERT_EQ(0, poison(addr + bad));

	/* Who had it mapped, by each mapping, and who maps it later. */
	EXPECT_EQ(BUS_MCEERR_AR, bus_code_of_read(addr + bad + 100));
	EXPECT_EQ(addr + bad, (char *)((uintptr_t)bus_addr & ~(page - 1)));
	EXPECT_EQ(BUS_MCEERR_AR, bus_code_of_read(again + bad));
	later = shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, later);
	EXPECT_EQ(BUS_MCEERR_AR, bus_code_of_read(later + bad + page - 1));
	EXPECT_EQ(SIGBUS, write_signal(later + bad));
	SHM_FORK(child) {
		char *mine = shm->attach(id, NULL, 0);

		if (mine == SHM_FAILED)
			_exit(1);
		if (bus_code_of_read(mine + bad) != BUS_MCEERR_AR)
			_exit(2);
		_exit(bus_code_of_read(addr + bad) == BUS_MCEERR_AR ? 0 : 3);
	}
	EXPECT_EQ(0, shm_wait(child));

	/* Nobody else. */
	for (at = 0; at < size; at += page) {
		size_t k;

		if (at == bad)
			continue;
		for (k = 0; k < page / 4; k++)
			ASSERT_EQ((uint32_t)((at / 4 + k) * 2654435761u) ^ 31, ((uint32_t *)(again + at))[k])
				TH_LOG("page %zu, and %zu is bad", at / page, bad / page);
		ASSERT_EQ(0, write_signal(later + at));
	}
	EXPECT_EQ(0, shm->stat(id, &stat));
	EXPECT_EQ(3, stat.nattch);
	EXPECT_GE((size + page - 1) / page * page, stat.rss);

	EXPECT_EQ(0, shm->rmid(id));
	EXPECT_EQ(0, shm->detach(later));
	EXPECT_EQ(0, shm->detach(again));
	EXPECT_EQ(0, shm->detach(addr));
	EXPECT_EQ(0, shm_count(shm));
	/* The key begins anew, with memory that is good. */
	id = shm->get(SHM_KEY, size, IPC_CREAT | IPC_EXCL | 0600);
	ASSERT_LE(0, id);
	addr = shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_EQ(0, bus_code_of_read(addr + bad));
	pattern_fill(addr, size, 32);
	EXPECT_TRUE(pattern_stands(addr, size, 32));
}

TEST_F(hot, bad_page_hurts_its_users_only)
{
	poisoned(_metadata, self->shm, 3 * self->page, self->page);
}

TEST_F(hot, bad_page_in_a_huge_one_hurts_its_users_only)
{
	poisoned(_metadata, self->shm, 4 * MIB, 3 * MIB + 7 * self->page);
}

/* A hole takes a bad page out, and who attaches next gets new memory there. */
TEST_F(hot, bad_page_can_be_punched_out)
{
	const size_t size = 8 * self->page;
	char *addr, *later;
	int id, code;

	id = self->shm->get(IPC_PRIVATE, size, 0600);
	ASSERT_LE(0, id);
	addr = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, size, 41);
	ASSERT_EQ(0, poison(addr + self->page));
	ASSERT_EQ(BUS_MCEERR_AR, bus_code_of_read(addr + self->page));
	ASSERT_EQ(0, madvise(addr + self->page, self->page, MADV_REMOVE));
	/*
	 * Who had the page mapped may keep the mark of it (unmap_mapping_range() without even_cows), unless it was part of a larger
	 * folio: then it was unmapped for the split, and is touched anew.
	 */
	code = bus_code_of_read(addr + self->page);
	EXPECT_TRUE(code == BUS_MCEERR_AR || code == 0)
		TH_LOG("code %d", code);
	later = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, later);
	ASSERT_EQ(0, bus_code_of_read(later + self->page));
	EXPECT_EQ(0, later[self->page]);
	EXPECT_EQ(0, write_signal(later + self->page));
	EXPECT_TRUE(pattern_stands(later, self->page, 41));
	EXPECT_TRUE(pattern_stands(addr, self->page, 41));
}

/* What the kernel says of a page frame (include/uapi/linux/kernel-page-flags.h). */
static uint64_t frame_flags(uint64_t frame)
{
	return entry_of("/proc/kpageflags", frame);
}

/* The module alone: the built-in's pool would lose the page. A huge page is not split, and is kept from the allocator as a whole. */
TEST(bad_huge_page_is_not_given_out_again)
{
	const size_t size = 4 * HUGE_SIZE, bad = HUGE_SIZE + 3 * page_size();
	struct rust_shm_stat stat;
	uint64_t first;
	char *addr;
	int id;

	SHM_NEEDS_HUGE();
	SHM_ENTER(&shm_rust);
	for (int round = 0; round < 2; round++) {
		id = shm_rust.get(IPC_PRIVATE, size, SHM_HUGETLB | 0600);
		ASSERT_LE(0, id)
			TH_LOG("%s", strerror(errno));
		addr = shm_rust.attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		pattern_fill(addr, size, 51);
		first = frame(addr + HUGE_SIZE);
		ASSERT_NE(0, first);
		poison(addr + bad);
		EXPECT_TRUE(frame_flags(first + 3) & (1 << KPF_HWPOISON));
		EXPECT_TRUE(pattern_stands(addr, HUGE_SIZE, 51));
		EXPECT_EQ(0, shm_rust.stat(id, &stat));
		EXPECT_EQ(size, stat.rss);
		/* By a hole, and with the segment. */
		if (round)
			ASSERT_EQ(0, madvise(addr + HUGE_SIZE, HUGE_SIZE, MADV_REMOVE));
		ASSERT_EQ(0, shm_rust.rmid(id));
		ASSERT_EQ(0, shm_rust.detach(addr));
		/* A free block has no head: neither in the lists of the allocator, nor in those of a CPU. */
		EXPECT_TRUE(frame_flags(first) & (1 << KPF_COMPOUND_HEAD));
	}
	SHM_LEAVE(&shm_rust);
}

/* What a node has altogether, in bytes; -1 if there is no such node. */
static long node_bytes(int node)
{
	char path[64], field[32];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
	snprintf(field, sizeof(field), "Node %d MemTotal", node);
	return proc_bytes(path, field);
}

/* The module alone: the built-in's pool is from all nodes. A segment is larger than any node. */
TEST(huge_pages_come_from_all_nodes)
{
	const long node[2] = { node_bytes(0), node_bytes(1) };
	const size_t most = node[0] > node[1] ? node[0] : node[1], size = (most / HUGE_SIZE + 1) * HUGE_SIZE;
	unsigned long mask = 1;
	bool seen[2] = { false, false };
	char *addr;
	int id;

	SHM_NEEDS_HUGE();
	SHM_ENTER(&shm_rust);
	ASSERT_LT(0, node[1])
		TH_LOG("this machine has one node");
	id = shm_rust.get(IPC_PRIVATE, size, SHM_HUGETLB | 0600);
	ASSERT_LE(0, id)
		TH_LOG("%zu MiB of nodes of %ld and %ld MiB: %s", size / MIB, node[0] / (long)MIB, node[1] / (long)MIB, strerror(errno));
	addr = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	for (size_t at = 0; at < size; at += HUGE_SIZE) {
		int on;

		ASSERT_EQ(0, write_signal(addr + at));
		on = node_of(addr + at);
		ASSERT_TRUE(on == 0 || on == 1);
		seen[on] = true;
	}
	EXPECT_TRUE(seen[0] && seen[1]);
	ASSERT_EQ(0, shm_rust.rmid(id));
	ASSERT_EQ(0, shm_rust.detach(addr));

	/* Who may use one node only has no more than there is. */
	ASSERT_EQ(0, syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 8 * sizeof(mask)));
	EXPECT_ERRNO(ENOMEM, shm_rust.get(IPC_PRIVATE, size, SHM_HUGETLB | 0600));
	id = shm_rust.get(IPC_PRIVATE, 160 * MIB, SHM_HUGETLB | 0600);
	ASSERT_LE(0, id);
	addr = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	for (size_t at = 0; at < 160 * MIB; at += HUGE_SIZE) {
		ASSERT_EQ(0, write_signal(addr + at));
		ASSERT_EQ(0, node_of(addr + at));
	}
	SHM_LEAVE(&shm_rust);
}

/*
 * Tasks that are killed or frozen while they bring in pages.
 */

/* What others can do with a segment whoever is in the middle of whatever; not in longer than they would need alone. */
static void others_go_on(struct __test_metadata *_metadata, const struct shm_backend *shm, int id, char *addr, size_t size)
{
	double begin = shm_now();
	struct rust_shm_stat stat;
	struct rust_shm_usage usage;
	char *mine = shm->attach(id, NULL, 0);
	size_t at;

	ASSERT_NE(SHM_FAILED, mine);
	/* All over the place: also where the other is at work. */
	for (at = 0; at < size; at += size / 64) {
		EXPECT_EQ(0, write_signal(addr + at + 64));
		EXPECT_EQ(1, mine[at + 64]);
	}
	EXPECT_EQ(0, madvise(mine, 2 * MIB, MADV_REMOVE));
	EXPECT_EQ(0, mine[64]);
	EXPECT_EQ(0, shm->stat(id, &stat));
	EXPECT_LT(0, shm->shm_info(&usage) + 1);
	EXPECT_EQ(0, shm->set(id, 0, 0, 0640));
	EXPECT_EQ(0, shm->detach(mine));
	EXPECT_GT(20 * shm_slow(), shm_now() - begin);
}

enum way { BY_ADVICE, BY_MLOCK, BY_TOUCH };

static pid_t filler(char *addr, size_t size, enum way way, struct gate *gate)
{
	pid_t pid = fork();

	if (!pid) {
		size_t at;

		gate_open(gate);
		switch (way) {
		case BY_ADVICE:
			madvise(addr, size, MADV_POPULATE_WRITE);
			break;
		case BY_MLOCK:
			mlock(addr, size);
			break;
		case BY_TOUCH:
			for (at = 0; at < size; at += page_size())
				addr[at] = 1;
			break;
		}
		pause();
		_exit(0);
	}
	return pid;
}

static long resident(const struct shm_backend *shm, int id)
{
	struct rust_shm_stat stat;

	return shm->stat(id, &stat) ? -1 : (long)stat.rss;
}

TEST_F_TIMEOUT(hot, killed_in_the_middle_leaves_no_lock, 120)
{
	enum way way;
	unsigned int middle = 0;

	for (way = BY_ADVICE; way <= BY_TOUCH; way++) {
		struct gate gate;
		double begin;
		char *addr;
		pid_t child;
		int id, i;

		id = self->shm->get(IPC_PRIVATE, LARGE, 0600);
		ASSERT_LE(0, id);
		addr = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(0, gate_make(&gate));
		child = filler(addr, LARGE, way, &gate);
		ASSERT_LE(0, child);
		gate_wait(&gate);
		/* It has begun. */
		for (i = 0; i < 10000 && resident(self->shm, id) <= 0; i++)
			usleep(100);
		ASSERT_EQ(0, kill(child, SIGKILL));
		begin = shm_now();
		EXPECT_EQ(256 + SIGKILL, shm_wait(child));
		EXPECT_GT(20 * shm_slow(), shm_now() - begin);
		middle += resident(self->shm, id) < (long)LARGE;
		others_go_on(_metadata, self->shm, id, addr, LARGE);
		EXPECT_EQ(1, shm_nattch(self->shm, id));
		EXPECT_EQ(0, self->shm->rmid(id));
		EXPECT_EQ(0, self->shm->detach(addr));
		EXPECT_EQ(0, shm_count(self->shm));
		gate_close(&gate);
	}
	EXPECT_LT(0, middle)
		TH_LOG("all of them were faster than the signal");
}

/* Frozen it holds nothing that others need, and goes on where it was, or can be killed as it is. */
TEST_F_TIMEOUT(hot, frozen_in_the_middle_holds_up_nobody, 120)
{
	const size_t size = LARGE / 2;
	struct cgroup group;
	char text[16];
	enum way way;

	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("%s: %s", group.path, strerror(errno));
	for (way = BY_ADVICE; way <= BY_TOUCH; way++) {
		struct gate gate;
		pid_t child;
		char *addr;
		int id, i;

		id = self->shm->get(IPC_PRIVATE, size, 0600);
		ASSERT_LE(0, id);
		addr = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(0, gate_make(&gate));
		child = filler(addr, size, way, &gate);
		ASSERT_LE(0, child);
		gate_wait(&gate);
		snprintf(text, sizeof(text), "%d", child);
		ASSERT_EQ(0, cgroup_write(&group, "cgroup.procs", text));
		for (i = 0; i < 10000 && resident(self->shm, id) <= 0; i++)
			usleep(100);
		ASSERT_EQ(0, cgroup_write(&group, "cgroup.freeze", "1"));
		/* On its way to a halt ... */
		others_go_on(_metadata, self->shm, id, addr, size);
		/* ... and there. A system call comes to its end first. */
		for (i = 0; i < 3000 && cgroup_read(&group, "cgroup.events", "frozen") != 1; i++)
			usleep(10000);
		EXPECT_EQ(1, cgroup_read(&group, "cgroup.events", "frozen"));
		if (way == BY_TOUCH)
			TH_LOG("frozen with %ld MiB of %lu", resident(self->shm, id) / (long)MIB, size / MIB);
		others_go_on(_metadata, self->shm, id, addr, size);
		EXPECT_EQ(2, shm_nattch(self->shm, id));
		EXPECT_EQ(0, self->shm->rmid(id));
		EXPECT_EQ(0, self->shm->detach(addr));
		EXPECT_EQ(1, shm_nattch(self->shm, id));
		if (way == BY_MLOCK) {
			/* It goes on, to the end of what it has to do. */
			ASSERT_EQ(0, cgroup_write(&group, "cgroup.freeze", "0"));
			for (i = 0; i < 3000 && resident(self->shm, id) < (long)size - 2 * (long)MIB; i++)
				usleep(10000);
			EXPECT_LE((long)size - 2 * (long)MIB, resident(self->shm, id));
		}
		ASSERT_EQ(0, kill(child, SIGKILL));
		EXPECT_EQ(256 + SIGKILL, shm_wait(child));
		EXPECT_EQ(0, shm_count(self->shm));
		cgroup_write(&group, "cgroup.freeze", "0");
		gate_close(&gate);
	}
	EXPECT_EQ(0, cgroup_remove(&group));
}

TEST_HARNESS_MAIN
