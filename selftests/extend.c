// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel booted with ipcmni_extend: kernel.shmmni up to 16 million, ids of 24 bits of index and 7 of sequence number (ipc/util.c).
 */
/* needs: extend */
#include "kselftest_harness.h"

#include <limits.h>

#include "shm_backend.h"

#define INDEX_BITS 24
#define INDEX(id) ((id) & ((1 << INDEX_BITS) - 1))
#define SEQUENCE(id) ((id) >> INDEX_BITS)
#define SEGMENTS_MAX (1 << INDEX_BITS)

/* Indices are handed out in a circle of at least this many: ipc_min_cycle, as ipc_mni_extend() sets it. */
#define MIN_CYCLE 4096

#define MANY 40000

FIXTURE(extend)
{
	const struct shm_backend *shm;
};
SHM_BOTH(extend)

FIXTURE_SETUP(extend)
{
	char text[4096] = "";
	FILE *file = fopen("/proc/cmdline", "re");

	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(text, sizeof(text), file));
	fclose(file);
	ASSERT_NE(NULL, strstr(text, "ipcmni_extend"))
		TH_LOG("boot with ipcmni_extend for this");
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
}

FIXTURE_TEARDOWN(extend)
{
	SHM_LEAVE(self->shm);
}

TEST_F(extend, shmmni_goes_up_to_16_million)
{
	struct rust_shm_limits limits;

	ASSERT_EQ(0, shm_sysctl_write("shmmni", SEGMENTS_MAX));
	ASSERT_EQ(0, self->shm->ipc_info(&limits));
	EXPECT_EQ(SEGMENTS_MAX, limits.shmmni);
	EXPECT_EQ(SEGMENTS_MAX, limits.shmseg);
	EXPECT_ERRNO(EINVAL, shm_sysctl_write("shmmni", SEGMENTS_MAX + 1));
}

/* SHM_STAT_ANY into whatever structure the backend has, without a look at the table. */
static int id_at(const struct shm_backend *shm, int index)
{
	char space[256];

	return shm->ctl(index, SHM_STAT_ANY, space);
}

TEST_F_TIMEOUT(extend, forty_thousand_segments, 90)
{
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	int *ids = calloc(MANY, sizeof(*ids)), i;
	char *addr, line[512];
	int rows = 0;
	FILE *table;

	SHM_NEEDS_NAMESPACE("ipc");
	ASSERT_NE(NULL, ids);
	ASSERT_EQ(0, shm_sysctl_write("shmmni", MANY));
	for (i = 0; i < MANY; i++) {
		ids[i] = self->shm->get(SHM_KEY + i, 4096, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, ids[i])
			TH_LOG("the one at %d: %s", i, strerror(errno));
		ASSERT_EQ(i, ids[i]);
	}
	EXPECT_ERRNO(ENOSPC, self->shm->get(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY + MANY - 1, 4096, IPC_CREAT | IPC_EXCL | 0600));
	EXPECT_EQ(MANY - 1, self->shm->shm_info(&usage));
	EXPECT_EQ(MANY, usage.used_ids);
	EXPECT_EQ(MANY, usage.shm_tot);
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(ids[i], self->shm->get(SHM_KEY + i, 0, 0));
		ASSERT_EQ(ids[i], id_at(self->shm, i));
	}
	EXPECT_ERRNO(EINVAL, id_at(self->shm, MANY));

	table = fopen(self->shm->table, "re");
	ASSERT_NE(NULL, table);
	while (fgets(line, sizeof(line), table))
		rows++;
	fclose(table);
	EXPECT_EQ(MANY + 1, rows);

	/* One beyond what ids of 15 bits can tell apart: it is not the one at its index less 32768. */
	addr = self->shm->attach(ids[32768 + 5], NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	addr[0] = 'h';
	EXPECT_EQ(1, shm_nattch(self->shm, ids[32768 + 5]));
	EXPECT_EQ(0, shm_nattch(self->shm, ids[5]));
	ASSERT_EQ(0, self->shm->stat(ids[32768 + 5], &stat));
	EXPECT_EQ(SHM_KEY + 32768 + 5, stat.key);
	EXPECT_EQ(0, stat.seq);
	EXPECT_EQ(0, self->shm->detach(addr));

	for (i = 0; i < MANY; i++)
		ASSERT_EQ(0, self->shm->rmid(ids[i]));
	EXPECT_EQ(0, self->shm->shm_info(&usage));
	EXPECT_EQ(0, usage.used_ids);
	EXPECT_EQ(0, usage.shm_tot);
	free(ids);
}

/* An index rests until the circle is round; then the sequence number is the next one, and stale ids are refused. */
TEST_F(extend, freed_index_rests_longer)
{
	struct rust_shm_stat stat;
	int i, id;

	SHM_NEEDS_NAMESPACE("ipc");
	for (i = 0; i < MIN_CYCLE; i++) {
		ASSERT_EQ(i, self->shm->get(IPC_PRIVATE, 4096, 0600));
		ASSERT_EQ(0, self->shm->rmid(i));
	}
	id = self->shm->get(IPC_PRIVATE, 4096, 0600);
	EXPECT_EQ(0, INDEX(id));
	EXPECT_EQ(1, SEQUENCE(id));
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(1, stat.seq);
	EXPECT_ERRNO(EINVAL, self->shm->stat(0, &stat));
	EXPECT_ERRNO(EINVAL, self->shm->stat(id + (1 << INDEX_BITS), &stat));
	EXPECT_ERRNO(EINVAL, self->shm->rmid(0));
	EXPECT_EQ(id, self->shm->stat_any(0, &stat));
}

/* Each time round, all ids are new. */
TEST_F_TIMEOUT(extend, ids_of_three_circles, 60)
{
	int made, id;

	SHM_NEEDS_NAMESPACE("ipc");
	for (made = 0; made < 3 * MIN_CYCLE; made++) {
		id = self->shm->get(IPC_PRIVATE, 4096, 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(made % MIN_CYCLE, INDEX(id));
		ASSERT_EQ(made / MIN_CYCLE, SEQUENCE(id));
		ASSERT_EQ(0, self->shm->rmid(id));
	}
}

TEST_HARNESS_MAIN
