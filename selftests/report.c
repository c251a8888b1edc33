// SPDX-License-Identifier: GPL-2.0
/*
 * What root sees: the two files in debugfs, and the module's parameters in sysfs.
 */
#include "kselftest_harness.h"
#include "shm_backend.h"
#include "swap.h"

#include <sys/mount.h>
#include <sys/stat.h>

#define DEBUGFS "/sys/kernel/debug"
#define FILES DEBUGFS "/rust_shm"
/* At most: a PMD of 16 KiB pages is of order 11. */
#define ORDERS 16

/* A line of FILES/segments. */
struct line {
	unsigned int namespace, uid, attaches, detaches, mode, key;
	int id;
	unsigned long size, nattch, rss, folios[ORDERS], swap;
};

FIXTURE(report)
{
	size_t page;
	unsigned int namespace;
};

/* As it is shown: 0 where the kernel has no IPC namespaces. */
static unsigned int this_namespace(void)
{
	struct stat stat_of;

	return stat("/proc/self/ns/ipc", &stat_of) ? 0 : stat_of.st_ino;
}

FIXTURE_SETUP(report)
{
	struct stat stat_of;

	SHM_ENTER(&shm_rust);
	if (stat(FILES, &stat_of))
		ASSERT_EQ(0, mount("debugfs", DEBUGFS, "debugfs", 0, NULL));
	self->page = shm_page_size();
	self->namespace = this_namespace();
}

FIXTURE_TEARDOWN(report)
{
	swap_off();
	SHM_LEAVE(&shm_rust);
}

/* The line of a segment of this namespace; 0, or -1 if there is none. */
static int find_line(unsigned int namespace, int id, struct line *line)
{
	FILE *file = fopen(FILES "/segments", "re");
	int found = -1, orders = 0;
	char text[1024], *at;

	if (!file)
		return -1;
	/* Where there are no huge pages, there is one order. */
	if (fgets(text, sizeof(text), file))
		for (at = text; (at = strstr(at, " o")); at++)
			orders += at[2] >= '0' && at[2] <= '9';
	while (found && fgets(text, sizeof(text), file)) {
		int n = 0, order, more;

		memset(line, 0, sizeof(*line));
		if (sscanf(text, "%u %d %x %lu %o %u %lu %u %u %lu%n", &line->namespace, &line->id, &line->key, &line->size, &line->mode,
			   &line->uid, &line->nattch, &line->attaches, &line->detaches, &line->rss, &n) != 10)
			continue;
		for (order = 0; order < orders && order < ORDERS && sscanf(text + n, "%lu%n", &line->folios[order], &more) == 1; order++)
			n += more;
		if (sscanf(text + n, "%lu", &line->swap) != 1)
			continue;
		if (line->namespace == namespace && line->id == id && order == orders)
			found = 0;
	}
	fclose(file);
	return found;
}

/* A namespace's line: how many segments there are, were made, were removed. */
static int find_namespace(unsigned int namespace, unsigned int *segments, unsigned long *pages, unsigned int *created, unsigned int *removed)
{
	FILE *file = fopen(FILES "/namespaces", "re");
	unsigned int number;
	char text[256];
	int found = -1;

	if (!file)
		return -1;
	while (found && fgets(text, sizeof(text), file)) {
		if (sscanf(text, "%u %u %lu %u %u", &number, segments, pages, created, removed) == 5 && number == namespace)
			found = 0;
	}
	fclose(file);
	return found;
}

TEST_F(report, segment_has_its_line)
{
	int id = shm_rust.get(0x1234, 3 * self->page - 5, IPC_CREAT | 0640);
	struct line line;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_rust.set(id, 1000, 0, 0640));
	ASSERT_EQ(0, find_line(self->namespace, id, &line));
	EXPECT_EQ(0x1234, line.key);
	EXPECT_EQ(3 * self->page - 5, line.size);
	EXPECT_EQ(0640, line.mode);
	EXPECT_EQ(1000, line.uid);
	EXPECT_EQ(0, line.nattch);
	EXPECT_EQ(0, line.attaches);
	EXPECT_EQ(0, line.rss);
	EXPECT_EQ(0, line.swap);
	ASSERT_EQ(0, shm_rust.rmid(id));
	EXPECT_EQ(-1, find_line(self->namespace, id, &line));
}

TEST_F(report, attaches_and_detaches_are_counted)
{
	int id = shm_rust.get(IPC_PRIVATE, 2 * self->page, 0600), i;
	char *memory = NULL;
	struct line line;

	ASSERT_LE(0, id);
	for (i = 0; i < 5; i++) {
		memory = shm_rust.attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		if (i < 4)
			ASSERT_EQ(0, shm_rust.detach(memory));
	}
	/* A fork is an attach, and an exit a detach. */
	SHM_CHILD {
		EXPECT_EQ(0, find_line(self->namespace, id, &line));
		EXPECT_EQ(2, line.nattch);
	}
	ASSERT_EQ(0, find_line(self->namespace, id, &line));
	EXPECT_EQ(1, line.nattch);
	EXPECT_EQ(6, line.attaches);
	EXPECT_EQ(5, line.detaches);
	ASSERT_EQ(0, shm_rust.detach(memory));
}

TEST_F(report, folios_are_told_by_order)
{
	const size_t size = (2 << 20) + 3 * self->page;
	int id = shm_rust.get(IPC_PRIVATE, size, 0600);
	char *memory = shm_rust.attach(id, NULL, 0);
	unsigned long sum = 0;
	struct line line;
	int order;

	ASSERT_NE(SHM_FAILED, memory);
	memory[0] = 1;
	memory[(2 << 20)] = 1;
	memory[(2 << 20) + 2 * self->page] = 1;
	ASSERT_EQ(0, find_line(self->namespace, id, &line));
	/* The first block, where memory has it in one piece; then two pages in one, then one. */
	for (order = 0; order < ORDERS; order++)
		sum += line.folios[order] << order;
	EXPECT_EQ(line.rss, sum * self->page);
	if (!shm_has_huge()) {
		EXPECT_EQ(3, line.folios[0]);
		return;
	}
	EXPECT_EQ(1, line.folios[0]);
	EXPECT_EQ(1, line.folios[1]);
	if (line.rss == size) {
		EXPECT_EQ(1, line.folios[9]);
	} else {
		TH_LOG("there was no block of 2 MiB");
	}
	ASSERT_EQ(0, shm_rust.detach(memory));
}

TEST_F(report, swapped_pages_are_no_folios)
{
	const size_t size = 256 * self->page;
	int id = shm_rust.get(IPC_PRIVATE, size, 0600);
	char *memory = shm_rust.attach(id, NULL, 0);
	struct line line;
	unsigned long sum = 0;
	int order;

	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_EQ(0, shm_small_pages(memory, size));
	pattern_fill(memory, size, 1);
	ASSERT_EQ(0, swap_on(64 * MIB))
		TH_LOG("no swap on zram: %s", strerror(errno));
	EXPECT_EQ(0, madvise(memory, size / 2, MADV_PAGEOUT));
	EXPECT_EQ(0, find_line(self->namespace, id, &line));
	EXPECT_LT(0, line.swap);
	EXPECT_EQ(size, line.rss + line.swap);
	for (order = 0; order < ORDERS; order++)
		sum += line.folios[order] << order;
	EXPECT_EQ(line.rss, sum * self->page);
	EXPECT_EQ(0, swap_off());
	ASSERT_EQ(0, find_line(self->namespace, id, &line));
	EXPECT_EQ(0, line.swap);
	EXPECT_EQ(size, line.rss);
	EXPECT_TRUE(pattern_stands(memory, size, 1));
}

TEST_F(report, namespaces_are_all_there)
{
	unsigned int segments, created, removed, created_before = 0, removed_before = 0;
	unsigned long pages;
	int first = -1, id, i;

	/* Where the kernel has but one namespace, others have used it. */
	if (find_namespace(self->namespace, &segments, &pages, &created_before, &removed_before))
		created_before = removed_before = 0;
	for (i = 0; i < 3; i++) {
		id = shm_rust.get(IPC_PRIVATE, 2 * self->page, 0600);
		ASSERT_LE(0, id);
		first = i ? first : id;
	}
	id = shm_rust.get(IPC_PRIVATE, 5 * self->page, 0600);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_rust.rmid(id));
	ASSERT_EQ(0, find_namespace(self->namespace, &segments, &pages, &created, &removed));
	EXPECT_EQ(3, segments);
	EXPECT_EQ(6, pages);
	EXPECT_EQ(4, created - created_before);
	EXPECT_EQ(1, removed - removed_before);
	/* From another one too. */
	SHM_CHILD {
		struct line line;

		if (!shm_limits_are_parameters() || this_namespace() != self->namespace)
			ASSERT_EQ(0, shm_new_namespace(&shm_builtin));
		ASSERT_EQ(0, find_namespace(self->namespace, &segments, &pages, &created, &removed));
		EXPECT_EQ(3, segments);
		EXPECT_EQ(0, find_line(self->namespace, first, &line));
	}
}

TEST_F(report, is_for_root)
{
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(1000, 1000, 1000));
		EXPECT_EQ(NULL, fopen(FILES "/segments", "r"));
		EXPECT_EQ(EACCES, errno);
	}
}

TEST_F(report, stays_in_order_while_segments_come_and_go)
{
	pid_t child = fork();
	struct line line;
	int id, i;

	ASSERT_LE(0, child);
	if (!child) {
		for (;;) {
			id = shm_rust.get(IPC_PRIVATE, self->page, 0600);
			if (id >= 0)
				shm_rust.rmid(id);
		}
	}
	id = shm_rust.get(IPC_PRIVATE, 7 * self->page, 0600);
	EXPECT_LE(0, id);
	for (i = 0; i < 50; i++) {
		EXPECT_EQ(0, find_line(self->namespace, id, &line));
		EXPECT_EQ(7 * self->page, line.size);
	}
	kill(child, SIGKILL);
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
}

TEST(device_mode_is_told)
{
	char text[16] = "";
	FILE *file = fopen(SHM_PARAMETERS "/device_mode", "re");
	struct stat stat_of;

	ASSERT_NE(NULL, file);
	EXPECT_NE(NULL, fgets(text, sizeof(text), file));
	fclose(file);
	ASSERT_EQ(0, stat("/dev/rust_shm", &stat_of));
	EXPECT_EQ(stat_of.st_mode & 0777, strtoul(text, NULL, 8));
	/* It is for the moment when the device is made. */
	EXPECT_EQ(-1, shm_write_file(SHM_PARAMETERS "/device_mode", "0600"));
}

TEST_HARNESS_MAIN
