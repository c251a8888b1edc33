// SPDX-License-Identifier: GPL-2.0
/*
 * NUMA: policies that all attachers of a segment share, and pages that move between nodes. On the built-in and on the module.
 *
 * needs: numa parallel (two nodes of memory: numa=fake=2 will do)
 */
#include "kselftest_harness.h"

#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "setting.h"
#include "shm_backend.h"
#include "vma.h"

#define PAGES 64

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif

/* Sets of nodes; the kernel is told that they have 64 bits. */
struct nodes {
	unsigned long mask[64 / 8 / sizeof(unsigned long)];
};

#define NODE0 1UL
#define NODE1 2UL
#define BOTH 3UL

FIXTURE(policy) {
	const struct shm_backend *shm;
	size_t page;
	size_t size;	/* of the segment: PAGES pages */
	int id;
	char *addr;
	char *again;	/* the same segment, attached once more */
	struct setting huge;
};

SHM_BOTH(policy)

FIXTURE_SETUP(policy)
{
	self->shm = variant->shm;
	ASSERT_EQ(0, access("/sys/devices/system/node/node1", F_OK))
		TH_LOG("there is one NUMA node only");
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

FIXTURE_TEARDOWN(policy)
{
	setting_restore(&self->huge);
	SHM_LEAVE(self->shm);
}

static long do_mbind(void *addr, size_t size, int mode, unsigned long nodes, unsigned int flags)
{
	struct nodes set = { { nodes } };

	return syscall(SYS_mbind, addr, size, mode, mode == MPOL_DEFAULT || mode == MPOL_LOCAL ? NULL : set.mask, 64L, flags);
}

static long set_mempolicy(int mode, unsigned long nodes)
{
	struct nodes set = { { nodes } };

	return syscall(SYS_set_mempolicy, mode, mode == MPOL_DEFAULT ? NULL : set.mask, 64L);
}

/* The policy at an address as one number: mode and nodes. */
static long policy_at(const void *addr)
{
	unsigned long nodes[16] = { 0 };
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof(nodes), addr, MPOL_F_ADDR))
		return -1;
	return mode * 16 + nodes[0];
}

#define POLICY(mode, nodes) ((mode) * 16L + (nodes))

/* The node of the page at an address, which is brought in. */
static int node_at(const void *addr)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0, addr, MPOL_F_ADDR | MPOL_F_NODE))
		return -1;
	return node;
}

/* What numa_maps says of the policy of the mapping that begins at addr. */
static bool numa_maps_policy(const void *addr, char *policy)
{
	FILE *maps = fopen("/proc/self/numa_maps", "re");
	char line[512];
	unsigned long start;
	bool found = false;

	if (!maps)
		return false;
	while (!found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx %63s", &start, policy) == 2 && start == (unsigned long)addr;
	fclose(maps);
	return found;
}

TEST_F(policy, default_at_first)
{
	char text[64];

	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->addr));
	EXPECT_EQ(0, do_mbind(self->addr, self->size, MPOL_DEFAULT, 0, 0));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->again));
	ASSERT_TRUE(numa_maps_policy(self->addr, text));
	EXPECT_STREQ("default", text);
}

TEST_F(policy, shared_by_all_attaches)
{
	char text[64];
	char *later;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_BIND, 1UL << i, 0));
		EXPECT_EQ(POLICY(MPOL_BIND, 1UL << i), policy_at(self->again));
		later = self->shm->attach(self->id, NULL, SHM_RDONLY);
		ASSERT_NE(SHM_FAILED, later);
		EXPECT_EQ(POLICY(MPOL_BIND, 1UL << i), policy_at(later + self->size - 1));
		ASSERT_TRUE(numa_maps_policy(later, text));
		EXPECT_STREQ(i ? "bind:1" : "bind:0", text);
		SHM_IN_CHILD({
			char *own = self->shm->attach(self->id, NULL, 0);

			EXPECT_EQ(POLICY(MPOL_BIND, 1UL << i), policy_at(own));
			EXPECT_EQ(POLICY(MPOL_BIND, 1UL << i), policy_at(self->addr));
		});
		ASSERT_EQ(0, self->shm->detach(later));
	}
	/* Taken back through the other attach, which has no policy of its own to lose: as the oracle has it, that changes nothing. */
	ASSERT_EQ(0, do_mbind(self->again, self->size, MPOL_DEFAULT, 0, 0));
	EXPECT_EQ(POLICY(MPOL_BIND, NODE1), policy_at(self->addr));
	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_DEFAULT, 0, 0));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->addr));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->again));
}

/* Set by another process, and still there when nobody is attached. */
TEST_F(policy, of_the_segment_not_of_the_process)
{
	SHM_IN_CHILD({
		ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_INTERLEAVE, BOTH, 0));
	});
	EXPECT_EQ(POLICY(MPOL_INTERLEAVE, BOTH), policy_at(self->addr));
	ASSERT_EQ(0, self->shm->detach(self->addr));
	ASSERT_EQ(0, self->shm->detach(self->again));
	self->addr = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	EXPECT_EQ(POLICY(MPOL_INTERLEAVE, BOTH), policy_at(self->addr));
	/* A new segment has none. */
	ASSERT_EQ(0, self->shm->rmid(self->id));
	ASSERT_EQ(0, self->shm->detach(self->addr));
	self->id = self->shm->get(SHM_KEY, self->size, IPC_CREAT | 0600);
	self->addr = self->shm->attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, self->addr);
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->addr));
}

TEST_F(policy, every_mode)
{
	static const struct { int mode; unsigned long nodes; const char *text; } modes[] = {
		{ MPOL_PREFERRED, NODE1, "prefer:1" },
		{ MPOL_BIND, BOTH, "bind:0-1" },
		{ MPOL_INTERLEAVE, NODE1, "interleave:1" },
		{ MPOL_LOCAL, 0, "local" },
		{ MPOL_PREFERRED_MANY, BOTH, "prefer (many):0-1" },
		{ MPOL_WEIGHTED_INTERLEAVE, BOTH, "weighted interleave:0-1" },
		{ MPOL_BIND | MPOL_F_STATIC_NODES, NODE1, "bind=static:1" },
		{ MPOL_BIND | MPOL_F_RELATIVE_NODES, NODE0, "bind=relative:0" },
	};
	char text[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		ASSERT_EQ(0, do_mbind(self->addr, self->size, modes[i].mode, modes[i].nodes, 0))
			TH_LOG("%s: %s", modes[i].text, strerror(errno));
		EXPECT_EQ(POLICY(modes[i].mode, modes[i].nodes), policy_at(self->again));
		ASSERT_TRUE(numa_maps_policy(self->again, text));
		EXPECT_EQ(0, strncmp(text, modes[i].text, strcspn(modes[i].text, " ")))
			TH_LOG("%s, expected %s", text, modes[i].text);
		EXPECT_EQ(0, write_signal(self->again + i * self->page));
	}
}

TEST_F(policy, errors)
{
	EXPECT_ERRNO(EINVAL, do_mbind(self->addr, self->size, MPOL_BIND, 0, 0));
	EXPECT_ERRNO(EINVAL, do_mbind(self->addr, self->size, MPOL_BIND, 1UL << 30, 0));
	EXPECT_ERRNO(EINVAL, do_mbind(self->addr, self->size, 99, BOTH, 0));
	EXPECT_ERRNO(EINVAL, do_mbind(self->addr + 1, self->size, MPOL_BIND, BOTH, 0));
	EXPECT_ERRNO(EINVAL, do_mbind(self->addr, self->size, MPOL_BIND, BOTH, 1 << 10));
	EXPECT_ERRNO(EFAULT, do_mbind(vma_hole(self->size), self->size, MPOL_BIND, BOTH, 0));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->again));
}

TEST_F(policy, home_node)
{
	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_BIND, BOTH, 0));
	ASSERT_EQ(0, syscall(SYS_set_mempolicy_home_node, self->addr, self->size, 1L, 0L));
	EXPECT_EQ(POLICY(MPOL_BIND, BOTH), policy_at(self->again));
	EXPECT_EQ(1, node_at(self->again));
}

/* Ranges replace what they overlap, and only that. */
TEST_F(policy, ranges)
{
	static const struct { int first, last; unsigned long nodes; } steps[] = {
		{ 0, 63, NODE0 },	/* all */
		{ 10, 19, NODE1 },	/* in the middle of one */
		{ 5, 12, BOTH },	/* over an end of two */
		{ 12, 12, NODE0 },	/* one page, at the end of one */
		{ 0, 0, NODE1 },
		{ 63, 63, NODE1 },
		{ 8, 30, 0 },		/* none, over many */
		{ 20, 20, BOTH },	/* in a hole */
		{ 18, 22, NODE0 },	/* around one */
		{ 0, 63, 0 },
		{ 1, 1, NODE1 },
		{ 3, 3, NODE1 },
		{ 2, 2, NODE1 },
		{ 0, 4, NODE0 },
	};
	unsigned long model[PAGES] = { 0 };
	unsigned int random = 1, round, first, count;
	unsigned long nodes;
	size_t i;
	int page;

	for (round = 0; round < ARRAY_SIZE(steps) + 150; round++) {
		if (round < ARRAY_SIZE(steps)) {
			first = steps[round].first;
			count = steps[round].last - first + 1;
			nodes = steps[round].nodes;
		} else {
			random = random * 1103515245 + 12345;
			first = (random >> 16) % PAGES;
			count = 1 + (random >> 8) % (PAGES - first);
			nodes = (random >> 24) % 4;
		}
		ASSERT_EQ(0, do_mbind(self->addr + first * self->page, count * self->page, nodes ? MPOL_BIND : MPOL_DEFAULT, nodes, 0));
		for (i = first; i < first + count; i++)
			model[i] = nodes;
		for (page = 0; page < PAGES; page++)
			ASSERT_EQ(model[page] ? POLICY(MPOL_BIND, model[page]) : POLICY(MPOL_DEFAULT, 0), policy_at(self->again + page * self->page))
				TH_LOG("round %u (%u, %u, %lu), page %d", round, first, count, nodes, page);
	}
}

/* An attach whose parts were moved and cut still means the same pages. */
TEST_F(policy, by_page_not_by_address)
{
	char *to = vma_hole(2 * MIB);

	ASSERT_EQ(to, mremap(self->addr + 16 * self->page, 8 * self->page, 8 * self->page, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	ASSERT_EQ(0, do_mbind(to + self->page, self->page, MPOL_BIND, NODE1, 0));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->again + 16 * self->page));
	EXPECT_EQ(POLICY(MPOL_BIND, NODE1), policy_at(self->again + 17 * self->page));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->again + 18 * self->page));
	ASSERT_EQ(0, munmap(to, 8 * self->page));
	EXPECT_EQ(POLICY(MPOL_BIND, NODE1), policy_at(self->again + 17 * self->page));
}

/* Whoever touches a page: it is where the policy says. */
TEST_F(policy, pages_are_where_it_says)
{
	int page;

	/* By the attach that mbind(2) was called on: here, and in a child. */
	ASSERT_EQ(0, do_mbind(self->addr, self->size / 2, MPOL_BIND, NODE1, 0));
	ASSERT_EQ(0, do_mbind(self->addr + self->size / 2, self->size / 2, MPOL_BIND, NODE0, 0));
	for (page = 0; page < PAGES; page += 3)
		self->addr[page * self->page] = 1;
	SHM_IN_CHILD({
		memset(self->addr, 2, self->size);
	});
	for (page = 0; page < PAGES; page++) {
		ASSERT_EQ(page < PAGES / 2 ? 1 : 0, node_at(self->addr + page * self->page))
			TH_LOG("page %d", page);
	}
}

/* And by any other, if the pages are small. Of the module's large folios, the policy of the first page counts there. */
TEST_F(policy, pages_touched_by_another_attach)
{
	int large, page, id;
	char *addr, *again;

	for (large = 0; large < (self->shm == &shm_rust && shm_has_large() ? 2 : 1); large++) {
		setting_restore(&self->huge);
		ASSERT_EQ(0, huge_change(&self->huge, self->shm, large ? "within_size" : "never"));
		id = self->shm->get(IPC_PRIVATE, self->size, 0600);
		ASSERT_LE(0, id);
		addr = self->shm->attach(id, NULL, 0);
		again = self->shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_NE(SHM_FAILED, again);
		ASSERT_EQ(0, do_mbind(addr, self->size / 2, MPOL_BIND, NODE1, 0));
		ASSERT_EQ(0, do_mbind(addr + self->size / 2, self->size / 2, MPOL_BIND, NODE0, 0));
		for (page = PAGES - 1; page > 0; page -= 3)
			again[page * self->page] = 1;
		SHM_IN_CHILD({
			char *own = self->shm->attach(id, NULL, 0);

			memset(own, 2, self->size);
		});
		for (page = 0; page < PAGES; page++) {
			ASSERT_EQ(large || page < PAGES / 2 ? 1 : 0, node_at(addr + page * self->page))
				TH_LOG("%s pages, page %d", large ? "large" : "small", page);
		}
	}
}

TEST_F(policy, else_that_of_the_task)
{
	ASSERT_EQ(0, do_mbind(self->addr + self->page, self->page, MPOL_BIND, NODE0, 0));
	ASSERT_EQ(0, shm_small_pages(self->addr, self->size));
	ASSERT_EQ(0, set_mempolicy(MPOL_BIND, NODE1));
	self->addr[0] = 1;
	self->addr[self->page] = 1;
	EXPECT_EQ(1, node_at(self->addr));
	EXPECT_EQ(0, node_at(self->addr + self->page));
	ASSERT_EQ(0, set_mempolicy(MPOL_BIND, NODE0));
	self->addr[2 * self->page] = 1;
	EXPECT_EQ(0, node_at(self->addr + 2 * self->page));
	EXPECT_EQ(POLICY(MPOL_DEFAULT, 0), policy_at(self->addr));
}

/* Interleaved by the place in the segment, not by the order of touching. */
TEST_F(policy, interleave)
{
	int page, first;

	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_INTERLEAVE, BOTH, 0));
	ASSERT_EQ(0, shm_small_pages(self->addr, self->size));
	for (page = 0; page < PAGES; page += 2)
		self->addr[page * self->page] = 1;
	for (page = PAGES - 1; page > 0; page -= 2)
		self->addr[page * self->page] = 1;
	first = node_at(self->addr);
	for (page = 0; page < PAGES; page++)
		EXPECT_EQ((first + page) % 2, node_at(self->addr + page * self->page));
}

/* Huge pages obey, and none lies across two policies. */
TEST_F(policy, huge_pages)
{
	size_t offset;
	char *addr;
	int id;

	SHM_NEEDS_LARGE();
	id = self->shm->get(IPC_PRIVATE, 6 * MIB, 0600);
	addr = self->shm->attach(id, vma_hole(6 * MIB), 0);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, do_mbind(addr, 2 * MIB, MPOL_BIND, NODE1, 0));
	ASSERT_EQ(0, do_mbind(addr + 3 * MIB, 3 * MIB, MPOL_BIND, NODE0, 0));
	ASSERT_EQ(0, set_mempolicy(MPOL_BIND, NODE1));
	for (offset = 0; offset < 6 * MIB; offset += self->page)
		addr[offset] = 1;
	for (offset = 0; offset < 6 * MIB; offset += self->page) {
		ASSERT_EQ(offset < 3 * MIB, node_at(addr + offset))
			TH_LOG("offset %zu", offset);
	}
	EXPECT_EQ((long)(6 * MIB), shm_rss(self->shm, id));
	EXPECT_EQ(self->shm == &shm_rust ? (long)(4 * MIB) : 0, pmd_mapped(addr) + pmd_mapped(addr + 3 * MIB));
}

/*
 * Moving.
 */

TEST_F(policy, mbind_moves_what_is_there)
{
	int page;

	/* Mapped once, as pages that others have mapped stay. */
	ASSERT_EQ(0, self->shm->detach(self->again));
	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_BIND, NODE0, 0));
	pattern_fill(self->addr, self->size, 3);
	EXPECT_EQ(0, node_at(self->addr + 5 * self->page));
	EXPECT_ERRNO(EIO, do_mbind(self->addr, self->size, MPOL_BIND, NODE1, MPOL_MF_STRICT));
	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_BIND, NODE1, MPOL_MF_MOVE | MPOL_MF_STRICT))
		TH_LOG("%s", strerror(errno));
	for (page = 0; page < PAGES; page++)
		EXPECT_EQ(1, node_at(self->addr + page * self->page));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 3));
	EXPECT_EQ((long)self->size, shm_rss(self->shm, self->id));
}

TEST_F(policy, mbind_moves_what_others_map)
{
	int page;

	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_BIND, NODE0, 0));
	pattern_fill(self->addr, self->size, 4);
	EXPECT_TRUE(pattern_stands(self->again, self->size, 4));
	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_BIND, NODE1, MPOL_MF_MOVE_ALL | MPOL_MF_STRICT))
		TH_LOG("%s", strerror(errno));
	for (page = 0; page < PAGES; page++)
		EXPECT_EQ(1, node_at(self->again + page * self->page));
	EXPECT_TRUE(pattern_stands(self->again, self->size, 4));
}

TEST_F(policy, move_pages_to_and_fro)
{
	int nodes[PAGES], status[PAGES], page, round;
	void *addrs[PAGES];

	ASSERT_EQ(0, self->shm->detach(self->again));
	/* move_pages(2) moves folios: of one page each. */
	ASSERT_EQ(0, shm_small_pages(self->addr, self->size));
	pattern_fill(self->addr, self->size, 5);
	for (round = 0; round < 4; round++) {
		for (page = 0; page < PAGES; page++) {
			addrs[page] = self->addr + page * self->page;
			nodes[page] = (page + round) % 2;
			status[page] = -1;
		}
		ASSERT_EQ(0, syscall(SYS_move_pages, 0, (long)PAGES, addrs, nodes, status, MPOL_MF_MOVE));
		for (page = 0; page < PAGES; page++) {
			EXPECT_EQ((page + round) % 2, node_at(addrs[page]))
				TH_LOG("status %d", status[page]);
		}
		EXPECT_TRUE(pattern_stands(self->addr, self->size, 5));
	}
}

TEST_F(policy, migrate_pages_of_a_process)
{
	struct nodes from = { { NODE0 } }, to = { { NODE1 } };
	int page;

	ASSERT_EQ(0, self->shm->detach(self->again));
	ASSERT_EQ(0, do_mbind(self->addr, self->size, MPOL_PREFERRED, NODE0, 0));
	pattern_fill(self->addr, self->size, 6);
	EXPECT_EQ(0, node_at(self->addr));
	EXPECT_LE(0, syscall(SYS_migrate_pages, 0, 64L, from.mask, to.mask));
	for (page = 0; page < PAGES; page++)
		EXPECT_EQ(1, node_at(self->addr + page * self->page));
	EXPECT_TRUE(pattern_stands(self->addr, self->size, 6));
}

/* A huge page moves in one piece. */
TEST_F(policy, huge_pages_move)
{
	char *addr;
	int id;

	SHM_NEEDS_LARGE();
	ASSERT_EQ(0, setting_change(&self->huge, huge_setting(self->shm), "within_size"));
	id = self->shm->get(IPC_PRIVATE, 4 * MIB, 0600);
	addr = self->shm->attach(id, vma_hole(4 * MIB), 0);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, do_mbind(addr, 4 * MIB, MPOL_BIND, NODE0, 0));
	pattern_fill(addr, 4 * MIB, 7);
	ASSERT_EQ(0, do_mbind(addr, 4 * MIB, MPOL_BIND, NODE1, MPOL_MF_MOVE | MPOL_MF_STRICT))
		TH_LOG("%s", strerror(errno));
	EXPECT_EQ(1, node_at(addr));
	EXPECT_EQ(1, node_at(addr + 4 * MIB - 1));
	EXPECT_TRUE(pattern_stands(addr, 4 * MIB, 7));
	EXPECT_EQ((long)(4 * MIB), pmd_mapped(addr));
}

/*
 * Races: policies come and go while others allocate by them, look at them and lose the segment.
 */

struct racer {
	char *addr;
	size_t size;
	int stop;
};

static void *look_on_and_on(void *arg)
{
	struct racer *racer = arg;
	char text[64];

	while (!__atomic_load_n(&racer->stop, __ATOMIC_RELAXED)) {
		policy_at(racer->addr + racer->size / 2);
		node_at(racer->addr + racer->size / 3);
		numa_maps_policy(racer->addr, text);
	}
	return NULL;
}

static void *touch_on_and_on(void *arg)
{
	struct racer *racer = arg;
	size_t i;

	while (!__atomic_load_n(&racer->stop, __ATOMIC_RELAXED)) {
		for (i = 0; i < racer->size; i += 4096)
			racer->addr[i] = 1;
		madvise(racer->addr, racer->size, MADV_REMOVE);
	}
	return NULL;
}

TEST_F_TIMEOUT(policy, races, 60)
{
	struct racer racer = { self->again, self->size, 0 };
	pthread_t thread[2];
	pid_t child;
	int round;

	SHM_FORK(child) {
		struct racer own = { self->shm->attach(self->id, NULL, 0), self->size, 0 };

		alarm(50 * shm_slow());
		touch_on_and_on(&own);
	}
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, look_on_and_on, &racer));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, touch_on_and_on, &racer));
	for (round = 0; round < 600; round++) {
		size_t first = round * 7 % PAGES, count = 1 + round * 5 % (PAGES - first);

		ASSERT_EQ(0, do_mbind(self->addr + first * self->page, count * self->page,
				      round % 3 ? round % 5 ? MPOL_BIND : MPOL_INTERLEAVE : MPOL_DEFAULT, 1 + round % 3,
				      round % 4 ? 0 : MPOL_MF_MOVE_ALL));
	}
	ASSERT_EQ(0, self->shm->rmid(self->id));
	kill(child, SIGKILL);
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	__atomic_store_n(&racer.stop, 1, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread[0], NULL));
	ASSERT_EQ(0, pthread_join(thread[1], NULL));
	ASSERT_EQ(0, self->shm->detach(self->addr));
	ASSERT_EQ(0, self->shm->detach(self->again));
	EXPECT_EQ(0, shm_count(self->shm));
}

/* Of two that attach first. */
struct first {
	const struct shm_backend *shm;
	pthread_barrier_t barrier;
	int id, rounds;
};

static void *attach_first(void *arg)
{
	struct first *first = arg;
	char *addr;
	int round;

	for (round = 0; round < first->rounds; round++) {
		pthread_barrier_wait(&first->barrier);
		addr = first->shm->attach(first->id, NULL, 0);
		pthread_barrier_wait(&first->barrier);
		if (addr != SHM_FAILED)
			first->shm->detach(addr);
		pthread_barrier_wait(&first->barrier);
	}
	return NULL;
}

/* The slower one has nothing to take back, and it takes nothing back. */
TEST_F_TIMEOUT(policy, stays_when_two_attach_first, 60)
{
	struct first first = { .shm = self->shm, .rounds = 500 };
	pthread_t thread;
	int round;

	pthread_barrier_init(&first.barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, attach_first, &first));
	for (round = 0; round < first.rounds; round++) {
		char *addr;

		first.id = self->shm->get(IPC_PRIVATE, self->page, 0600);
		ASSERT_LE(0, first.id);
		pthread_barrier_wait(&first.barrier);
		addr = self->shm->attach(first.id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(0, do_mbind(addr, self->page, MPOL_BIND, NODE1, 0));
		pthread_barrier_wait(&first.barrier);
		EXPECT_EQ(POLICY(MPOL_BIND, NODE1), policy_at(addr))
			TH_LOG("round %d", round);
		ASSERT_EQ(0, self->shm->detach(addr));
		pthread_barrier_wait(&first.barrier);
		ASSERT_EQ(0, self->shm->rmid(first.id));
	}
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_HARNESS_MAIN
