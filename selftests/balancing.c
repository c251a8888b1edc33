// SPDX-License-Identifier: GPL-2.0
/*
 * NUMA balancing: pages of a segment migrate to the node of the CPU that uses them. On the built-in and on the module.
 *
 * needs: numa balancing parallel
 */
#include "kselftest_harness.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>

#include "setting.h"
#include "shm_backend.h"
#include "swap.h"
#include "vma.h"

#define SIZE (8 * MIB)
#define DEBUGFS "/sys/kernel/debug"
#define SCHED DEBUGFS "/sched/numa_balancing/"

/* Scan early, and everything at once. */
static const struct { const char *path, *value; } settings[] = {
	{ "/proc/sys/kernel/numa_balancing", "1" },
	{ SCHED "scan_delay_ms", "10" },
	{ SCHED "scan_period_min_ms", "10" },
	{ SCHED "scan_period_max_ms", "100" },
	{ SCHED "scan_size_mb", "256" },
};

FIXTURE(balancing) {
	const struct shm_backend *shm;
	struct setting changed[ARRAY_SIZE(settings)];
	size_t page;
	int here, there;	/* this CPU's node, and the other one */
	int id;
	char *addr;
};

SHM_BOTH(balancing)

static long set_mempolicy(int mode, unsigned long nodes)
{
	return syscall(SYS_set_mempolicy, mode, nodes ? &nodes : NULL, nodes ? 8 * sizeof(nodes) : 0);
}

FIXTURE_SETUP(balancing)
{
	unsigned int cpu, node;
	cpu_set_t cpus;
	size_t i;

	self->shm = variant->shm;
	ASSERT_EQ(0, access("/sys/devices/system/node/node1", F_OK))
		TH_LOG("there is one NUMA node only");
	SHM_ENTER(self->shm);
	if (access(SCHED, F_OK))
		ASSERT_EQ(0, mount("debugfs", DEBUGFS, "debugfs", 0, NULL));
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		ASSERT_EQ(0, setting_change(&self->changed[i], settings[i].path, settings[i].value))
			TH_LOG("%s: %s", settings[i].path, strerror(errno));
	self->page = page_size();
	ASSERT_EQ(0, syscall(SYS_getcpu, &cpu, NULL, NULL));
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	ASSERT_EQ(0, syscall(SYS_getcpu, &cpu, &node, NULL));
	self->here = node;
	self->there = !node;
	self->id = self->shm->get(SHM_KEY, SIZE, IPC_CREAT | 0600);
	self->addr = self->shm->attach(self->id, vma_hole(SIZE), 0);
	ASSERT_NE(SHM_FAILED, self->addr);
}

FIXTURE_TEARDOWN(balancing)
{
	size_t i;

	SHM_LEAVE(self->shm);
	for (i = 0; i < ARRAY_SIZE(settings); i++)
		setting_restore(&self->changed[i]);
}

/* Returns how many bytes of the segment are on a node. */
static long bytes_on(char *addr, int node)
{
	static void *pages[SIZE / 4096];
	static int status[SIZE / 4096];
	long count = SIZE / page_size(), i, there = 0;

	for (i = 0; i < count; i++)
		pages[i] = addr + i * page_size();
	if (syscall(SYS_move_pages, 0, count, pages, NULL, status, 0))
		return -1;
	for (i = 0; i < count; i++)
		there += status[i] == node;
	return there * page_size();
}

/* Logs the mapping's line of numa_maps. */
static void show_numa_maps(struct __test_metadata *_metadata, const char *what, const char *addr)
{
	FILE *maps = fopen("/proc/self/numa_maps", "re");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strtoul(line, NULL, 16) == (unsigned long)addr)
			TH_LOG("%s: %.*s", what, (int)strcspn(line, "\n"), line);
	if (maps)
		fclose(maps);
}

/* Fills the segment on the other node, and uses it from this one until its pages have migrated, for at most 20 s. */
static void use_from_other_node(struct __test_metadata *_metadata, FIXTURE_DATA(balancing) *self)
{
	time_t end = time(NULL) + 20;
	size_t offset;
	long before;

	/* vma_policy_mof() there is false for a mapping with get_policy, unless that gives a policy. */
	if (shm_kernel_before("7.2"))
		SKIP(return, "kernels before 7.2 balance no shared memory");
	ASSERT_EQ(0, set_mempolicy(MPOL_BIND, 1UL << self->there));
	pattern_fill(self->addr, SIZE, 1);
	ASSERT_EQ(0, set_mempolicy(MPOL_DEFAULT, 0));
	before = vmstat("numa_pages_migrated");
	show_numa_maps(_metadata, self->shm->name, self->addr);
	EXPECT_LE((long)SIZE / 10 * 9, bytes_on(self->addr, self->there));
	while (bytes_on(self->addr, self->here) < (long)SIZE / 10 * 9 && time(NULL) < end)
		for (offset = 0; offset < 100 * SIZE; offset += self->page)
			*(volatile char *)(self->addr + offset % SIZE);
	show_numa_maps(_metadata, self->shm->name, self->addr);
	EXPECT_LE((long)SIZE / 10 * 9, bytes_on(self->addr, self->here));
	EXPECT_LT(before, vmstat("numa_pages_migrated"));
	EXPECT_TRUE(pattern_stands(self->addr, SIZE, 1));
}

TEST_F_TIMEOUT(balancing, pages_migrate_to_their_user, 60)
{
	use_from_other_node(_metadata, self);
}

TEST_F_TIMEOUT(balancing, small_pages_migrate_too, 60)
{
	ASSERT_EQ(0, madvise(self->addr, SIZE, MADV_NOHUGEPAGE));
	use_from_other_node(_metadata, self);
}

TEST_HARNESS_MAIN
