// SPDX-License-Identifier: GPL-2.0
/*
 * What a segment promises: Committed_AS, vm.overcommit_memory and SHM_NORESERVE.
 *
 * The settings are the machine's: the parent of each test restores them, however the test ends.
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>

#include "shm_backend.h"
#include "user.h"
#include "vma.h"

/* How much the rest of the machine may change, and how roughly the module may count: it does so in steps of up to 1 MiB. */
#define TOLERANCE (4 * (long)MIB)

FIXTURE(commit)
{
	const struct shm_backend *shm;
	size_t page;
	int64_t before;		/* Committed_AS */
	uint64_t memory;	/* and swap */
	unsigned long mode, ratio, kbytes;
	bool saved;
};
SHM_BOTH(commit)

static unsigned long vm_read(const char *name)
{
	char path[64];
	unsigned long value = ULONG_MAX;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	file = fopen(path, "re");
	if (!file)
		return value;
	if (fscanf(file, "%lu", &value) != 1)
		value = ULONG_MAX;
	fclose(file);
	return value;
}

static int vm_write(const char *name, unsigned long value)
{
	char path[64], text[32];

	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	snprintf(text, sizeof(text), "%lu\n", value);
	return shm_write_file(path, text);
}

static int64_t committed(void)
{
	return meminfo("Committed_AS");
}

/* Committed_AS, once it is no more than expected allows, or after 5 seconds. */
static void committed_again(int64_t expected)
{
	int i;

	for (i = 0; i < 250 && committed() > expected + TOLERANCE; i++)
		usleep(20000);
}

/* What the module gives back, it gives back within a second. */
static void wait_for_the_late(const struct shm_backend *shm)
{
	if (shm == &shm_rust)
		usleep(1200000);
}

FIXTURE_SETUP(commit)
{
	self->shm = variant->shm;
	self->page = shm_page_size();
	self->mode = vm_read("overcommit_memory");
	self->ratio = vm_read("overcommit_ratio");
	self->kbytes = vm_read("overcommit_kbytes");
	ASSERT_EQ(0, self->mode)
		TH_LOG("these tests start from vm.overcommit_memory=0");
	ASSERT_NE(ULONG_MAX, self->ratio);
	ASSERT_NE(ULONG_MAX, self->kbytes);
	self->saved = true;
	self->memory = meminfo("MemTotal") + meminfo("SwapTotal");
	SHM_ENTER(self->shm);
	ASSERT_EQ(0, shm_sysctl_write("shmmax", UINT64_MAX));
	ASSERT_EQ(0, shm_sysctl_write("shmall", UINT64_MAX));
	self->before = committed();
	ASSERT_LT(0, self->before);
}

FIXTURE_TEARDOWN_PARENT(commit)
{
	if (!self->saved)
		return;
	vm_write("overcommit_memory", self->mode);
	/* Each of the two sets the other to 0. */
	if (self->kbytes)
		vm_write("overcommit_kbytes", self->kbytes);
	else
		vm_write("overcommit_ratio", self->ratio);
}

/* So much more than at the start is committed. */
#define EXPECT_COMMITTED(bytes) do { \
	int64_t __more = committed() - self->before; \
	EXPECT_LE((int64_t)(bytes) - TOLERANCE, __more); \
	EXPECT_GE((int64_t)(bytes) + TOLERANCE, __more); \
} while (0)

/* The same, where something has been given back: that may take a moment. */
#define EXPECT_COMMITTED_AGAIN(bytes) do { \
	committed_again(self->before + (int64_t)(bytes)); \
	EXPECT_COMMITTED(bytes); \
} while (0)

/* At the end of each test: removes all that is left, and everything is as before. */
#define EXPECT_ALL_BACK() do { \
	shm_remove_all(self->shm); \
	EXPECT_COMMITTED_AGAIN(0); \
} while (0)

/* The module can be asked for as much as one likes, by a program of 32 bits too. */
static int make(const struct shm_backend *shm, uint64_t size, int flags)
{
	struct rust_shm_get get = { .key = IPC_PRIVATE, .flags = flags | 0600, .size = size };

	return shm == &shm_rust ? shm_rust_ioctl(RUST_SHM_IOC_GET, &get) : shm->get(IPC_PRIVATE, size, flags | 0600);
}

#define NEEDS_LARGE_SIZES() do { \
	if (sizeof(size_t) < sizeof(uint64_t) && self->shm == &shm_builtin) \
		SKIP(return, "shmget(2) of a 32-bit program has no room for such a size"); \
} while (0)

static bool nothing_left(const struct shm_backend *shm)
{
	struct rust_shm_usage usage;

	return shm->shm_info(&usage) == 0 && usage.used_ids == 0 && usage.shm_tot == 0;
}

/* vm.overcommit_memory=2, with so much to promise beyond what is promised now. */
#define COMMIT_STRICTLY(room) do { \
	ASSERT_EQ(0, vm_write("overcommit_kbytes", (committed() + (long)(room)) / 1024)); \
	ASSERT_EQ(0, vm_write("overcommit_memory", 2)); \
} while (0)

/* What is counted. */

TEST_F(commit, get_promises_and_removal_takes_back)
{
	int first, second;

	first = make(self->shm, 64 * MIB, 0);
	ASSERT_LE(0, first);
	EXPECT_COMMITTED(64 * MIB);
	second = make(self->shm, 96 * MIB, 0);
	ASSERT_LE(0, second);
	EXPECT_COMMITTED(160 * MIB);
	ASSERT_EQ(0, self->shm->rmid(first));
	EXPECT_COMMITTED_AGAIN(96 * MIB);
	ASSERT_EQ(0, self->shm->rmid(second));
	EXPECT_ALL_BACK();
}

TEST_F(commit, many_small_ones_count_too)
{
	enum { NUMBER = 1000 };
	int ids[NUMBER], i;

	for (i = 0; i < NUMBER; i++) {
		ids[i] = make(self->shm, 64 * KIB, 0);
		ASSERT_LE(0, ids[i]);
	}
	EXPECT_COMMITTED(NUMBER * 64 * KIB);
	for (i = 0; i < NUMBER; i += 2)
		ASSERT_EQ(0, self->shm->rmid(ids[i]));
	EXPECT_COMMITTED_AGAIN(NUMBER / 2 * 64 * KIB);
	for (i = 1; i < NUMBER; i += 2)
		ASSERT_EQ(0, self->shm->rmid(ids[i]));
	EXPECT_ALL_BACK();
}

TEST_F(commit, a_byte_counts_as_a_page)
{
	enum { NUMBER = 3000 };
	int ids[NUMBER], i;

	for (i = 0; i < NUMBER; i++) {
		ids[i] = make(self->shm, 1, 0);
		ASSERT_LE(0, ids[i]);
	}
	EXPECT_COMMITTED(NUMBER * self->page);
	for (i = 0; i < NUMBER; i++)
		ASSERT_EQ(0, self->shm->rmid(ids[i]));
	EXPECT_ALL_BACK();
}

TEST_F(commit, attach_touch_and_fork_promise_nothing_more)
{
	const size_t size = 64 * MIB;
	int id = make(self->shm, size, 0);
	char *memory, *second;

	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	second = self->shm->attach(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, memory);
	ASSERT_NE(SHM_FAILED, second);
	EXPECT_COMMITTED(size);
	memset(memory, 1, size / 2);
	EXPECT_COMMITTED(size);
	SHM_CHILD {
		EXPECT_COMMITTED(size);
		memset(memory, 2, size / 2);
	}
	EXPECT_COMMITTED(size);
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_COMMITTED(size);
	ASSERT_EQ(0, self->shm->detach(second));
	EXPECT_COMMITTED(size);
	EXPECT_ALL_BACK();
}

TEST_F(commit, removed_segment_is_promised_until_the_last_detach)
{
	int id = make(self->shm, 64 * MIB, 0);
	void *first, *second;

	ASSERT_LE(0, id);
	first = self->shm->attach(id, NULL, 0);
	second = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, first);
	ASSERT_NE(SHM_FAILED, second);
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_COMMITTED(64 * MIB);
	ASSERT_EQ(0, self->shm->detach(first));
	wait_for_the_late(self->shm);
	EXPECT_COMMITTED(64 * MIB);
	ASSERT_EQ(0, self->shm->detach(second));
	EXPECT_ALL_BACK();
}

TEST_F(commit, killed_process_takes_it_back)
{
	int id = make(self->shm, 64 * MIB, 0);
	struct gate gate;
	pid_t child;

	ASSERT_LE(0, id);
	ASSERT_EQ(0, gate_make(&gate));
	SHM_FORK(child) {
		if (self->shm->attach(id, NULL, 0) == SHM_FAILED || self->shm->rmid(id))
			_exit(1);
		gate_open(&gate);
		pause();
		_exit(1);
	}
	gate_wait(&gate);
	EXPECT_COMMITTED(64 * MIB);
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_COMMITTED_AGAIN(0);
}

TEST_F(commit, end_of_the_namespace_takes_it_back)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_LE(0, make(self->shm, 64 * MIB, 0));
		EXPECT_COMMITTED(64 * MIB);
	}
	EXPECT_COMMITTED_AGAIN(0);
}

TEST_F(commit, refused_get_promises_nothing)
{
	int i;

	ASSERT_EQ(0, shm_sysctl_write("shmmni", 1));
	ASSERT_LE(0, self->shm->get(SHM_KEY, self->page, IPC_CREAT | 0600));
	for (i = 0; i < 5; i++) {
		EXPECT_ERRNO(ENOSPC, make(self->shm, 64 * MIB, 0));
		EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, 64 * MIB, IPC_CREAT | IPC_EXCL | 0600));
		EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 64 * MIB, IPC_CREAT | 0600));
		EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY + 1, 64 * MIB, 0600));
	}
	EXPECT_COMMITTED_AGAIN(0);
	EXPECT_ALL_BACK();
}

TEST_F(commit, it_counts_whatever_the_mode)
{
	int id;

	ASSERT_EQ(0, vm_write("overcommit_memory", 1));
	id = make(self->shm, 64 * MIB, 0);
	ASSERT_LE(0, id);
	EXPECT_COMMITTED(64 * MIB);
	COMMIT_STRICTLY(256 * MIB);
	EXPECT_COMMITTED(64 * MIB);
	ASSERT_LE(0, make(self->shm, 32 * MIB, 0));
	EXPECT_COMMITTED(96 * MIB);
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_COMMITTED_AGAIN(32 * MIB);
	EXPECT_ALL_BACK();
}

/*
 * Root has the files of segments mapped, or open, as map_files has them: that keeps the contents, and what is promised for them. A few
 * large segments, and many small ones.
 */

/* Segments of so many bytes each, attached. */
struct below {
	size_t size;
	unsigned int number;
	int flags;
};

static void below_outlives(struct __test_metadata *_metadata, const struct shm_backend *shm, int64_t before, struct below below, bool mapped)
{
	struct { int64_t before; } same = { before }, *self = &same;
	const size_t touched = below.size / 2, promised = below.number * (below.flags & SHM_NORESERVE ? touched : below.size);
	int fds[64];
	char *raw[64], path[96], *memory, seen[4096];
	unsigned int i;

	for (i = 0; i < below.number; i++) {
		int id = make(shm, below.size, below.flags);

		ASSERT_LE(0, id);
		memory = shm->attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		ASSERT_EQ(0, shm_small_pages(memory, below.size));
		pattern_fill(memory, touched, i);
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)memory, (unsigned long)memory + below.size);
		fds[i] = open(path, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fds[i]);
		if (mapped) {
			raw[i] = mmap(NULL, below.size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
			ASSERT_NE(MAP_FAILED, raw[i]);
			ASSERT_EQ(0, close(fds[i]));
		}
		ASSERT_EQ(0, shm->rmid(id));
		ASSERT_EQ(0, shm->detach(memory));
	}
	EXPECT_EQ(0, shm_count(shm));
	wait_for_the_late(shm);
	EXPECT_COMMITTED(promised);
	for (i = 0; i < below.number; i++) {
		if (mapped) {
			ASSERT_TRUE(pattern_stands(raw[i], touched, i));
			EXPECT_EQ(0, raw[i][below.size - 1]);
			ASSERT_EQ(0, munmap(raw[i], below.size));
		} else {
			ASSERT_EQ((ssize_t)sizeof(seen), pread(fds[i], seen, sizeof(seen), 0))
				TH_LOG("file %u", i);
			EXPECT_TRUE(pattern_stands(seen, sizeof(seen), i));
			ASSERT_EQ(0, close(fds[i]));
		}
	}
	EXPECT_COMMITTED_AGAIN(0);
}

TEST_F(commit, mapped_file_outlives_a_large_segment)
{
	below_outlives(_metadata, self->shm, self->before, (struct below) { 32 * MIB, 2, 0 }, true);
}

TEST_F(commit, mapped_file_outlives_small_segments)
{
	below_outlives(_metadata, self->shm, self->before, (struct below) { MIB / 2, 64, 0 }, true);
}

TEST_F(commit, mapped_file_outlives_segments_without_reserve)
{
	below_outlives(_metadata, self->shm, self->before, (struct below) { 32 * MIB, 2, SHM_NORESERVE }, true);
	below_outlives(_metadata, self->shm, self->before, (struct below) { MIB / 2, 64, SHM_NORESERVE }, true);
}

TEST_F(commit, open_file_outlives_a_large_segment)
{
	below_outlives(_metadata, self->shm, self->before, (struct below) { 32 * MIB, 2, 0 }, false);
}

TEST_F(commit, open_file_outlives_small_segments)
{
	below_outlives(_metadata, self->shm, self->before, (struct below) { MIB / 2, 64, 0 }, false);
}

/* SHM_NORESERVE. */

TEST_F(commit, noreserve_promises_nothing)
{
	int id = self->shm->get(SHM_KEY, 64 * MIB, IPC_CREAT | SHM_NORESERVE | 0640);
	struct rust_shm_stat stat;
	void *memory;

	ASSERT_LE(0, id);
	EXPECT_COMMITTED(0);
	ASSERT_EQ(0, self->shm->stat(id, &stat));
	EXPECT_EQ(0640, stat.mode);
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 64 * MIB, SHM_NORESERVE | 0640));
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 64 * MIB, 0640));
	EXPECT_ERRNO(EEXIST, self->shm->get(SHM_KEY, 1, IPC_CREAT | IPC_EXCL | SHM_NORESERVE | 0640));
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	EXPECT_COMMITTED(0);
	ASSERT_EQ(0, self->shm->detach(memory));
	ASSERT_EQ(0, self->shm->rmid(id));
	EXPECT_COMMITTED_AGAIN(0);
	/* The flag only says how to make one. */
	id = make(self->shm, 64 * MIB, 0);
	ASSERT_LE(0, id);
	EXPECT_COMMITTED(64 * MIB);
	EXPECT_ALL_BACK();
}

TEST_F(commit, noreserve_counts_what_is_touched)
{
	const size_t size = 64 * MIB;
	int id = make(self->shm, size, SHM_NORESERVE);
	char *memory;

	ASSERT_LE(0, id);
	memory = self->shm->attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	memset(memory, 1, size / 2);
	EXPECT_COMMITTED(size / 2);
	ASSERT_EQ(0, madvise(memory, size / 4, MADV_REMOVE));
	EXPECT_COMMITTED_AGAIN(size / 4);
	ASSERT_EQ(0, self->shm->rmid(id));
	ASSERT_EQ(0, self->shm->detach(memory));
	EXPECT_ALL_BACK();
}

TEST_F(commit, noreserve_is_charged_where_nothing_may_be_overcommitted)
{
	int early = make(self->shm, 512 * MIB, SHM_NORESERVE), late;

	ASSERT_LE(0, early);
	COMMIT_STRICTLY(256 * MIB);
	EXPECT_COMMITTED(0);
	late = make(self->shm, 64 * MIB, SHM_NORESERVE);
	ASSERT_LE(0, late);
	EXPECT_COMMITTED(64 * MIB);
	EXPECT_ERRNO(ENOMEM, make(self->shm, 512 * MIB, SHM_NORESERVE));
	/* Each gives back what it has promised, under the mode of its own time. */
	ASSERT_EQ(0, self->shm->rmid(early));
	wait_for_the_late(self->shm);
	EXPECT_COMMITTED(64 * MIB);
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	ASSERT_EQ(0, self->shm->rmid(late));
	EXPECT_ALL_BACK();
}

/* What is refused. */

TEST_F(commit, strictly_what_fits_fits)
{
	int first, second;

	SHM_NEEDS_NAMESPACE("ipc");
	COMMIT_STRICTLY(256 * MIB);
	EXPECT_ERRNO(ENOMEM, make(self->shm, 512 * MIB, 0));
	EXPECT_TRUE(nothing_left(self->shm));
	first = make(self->shm, 100 * MIB, 0);
	second = make(self->shm, 100 * MIB, 0);
	EXPECT_EQ(0, first)
		TH_LOG("what was refused has used no index");
	EXPECT_EQ(1, second);
	EXPECT_ERRNO(ENOMEM, make(self->shm, 100 * MIB, 0));
	EXPECT_COMMITTED(200 * MIB);
	ASSERT_EQ(0, self->shm->rmid(first));
	EXPECT_COMMITTED_AGAIN(100 * MIB);
	EXPECT_LE(0, make(self->shm, 100 * MIB, 0));
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	EXPECT_ALL_BACK();
}

TEST_F(commit, strictly_many_small_ones_come_to_an_end)
{
	int ids[2000], i;

	COMMIT_STRICTLY(64 * MIB);
	for (i = 0; i < 2000; i++) {
		ids[i] = make(self->shm, 64 * KIB, 0);
		if (ids[i] < 0)
			break;
	}
	EXPECT_EQ(ENOMEM, errno);
	/* 64 MiB of 64 KiB each, but for the reserves and what this process itself has taken. */
	EXPECT_GE(1024 + 128, i);
	EXPECT_LE(1024 - 256, i);
	EXPECT_EQ(i, shm_count(self->shm));
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	while (i--)
		ASSERT_EQ(0, self->shm->rmid(ids[i]));
	EXPECT_ALL_BACK();
}

TEST_F(commit, strictly_key_stays_free)
{
	int id;

	COMMIT_STRICTLY(128 * MIB);
	EXPECT_ERRNO(ENOMEM, self->shm->get(SHM_KEY, 512 * MIB, IPC_CREAT | 0600));
	EXPECT_ERRNO(ENOENT, self->shm->get(SHM_KEY, 0, 0));
	id = self->shm->get(SHM_KEY, 16 * MIB, IPC_CREAT | IPC_EXCL | 0600);
	ASSERT_LE(0, id);
	/* Finding promises nothing. */
	EXPECT_EQ(id, self->shm->get(SHM_KEY, 16 * MIB, IPC_CREAT | 0600));
	EXPECT_ERRNO(EINVAL, self->shm->get(SHM_KEY, 512 * MIB, IPC_CREAT | 0600));
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	EXPECT_ALL_BACK();
}

TEST_F(commit, by_guess_one_larger_than_memory_is_refused)
{
	NEEDS_LARGE_SIZES();
	EXPECT_ERRNO(ENOMEM, make(self->shm, self->memory + 2 * MIB, 0));
	EXPECT_ERRNO(ENOMEM, make(self->shm, 16 * self->memory, 0));
	EXPECT_TRUE(nothing_left(self->shm));
	EXPECT_COMMITTED(0);
	EXPECT_LE(0, make(self->shm, self->memory - 2 * MIB, 0));
	EXPECT_LE(0, make(self->shm, self->memory - 2 * MIB, 0))
		TH_LOG("each for itself");
	EXPECT_COMMITTED(2 * (self->memory - 2 * MIB));
	EXPECT_LE(0, make(self->shm, 16 * self->memory, SHM_NORESERVE));
	EXPECT_ALL_BACK();
}

TEST_F(commit, always_means_always)
{
	NEEDS_LARGE_SIZES();
	ASSERT_EQ(0, vm_write("overcommit_memory", 1));
	EXPECT_LE(0, make(self->shm, 16 * self->memory, 0));
	EXPECT_COMMITTED(16 * self->memory);
	EXPECT_LE(0, make(self->shm, 16 * self->memory, SHM_NORESERVE));
	EXPECT_COMMITTED(16 * self->memory);
	EXPECT_ALL_BACK();
}

TEST_F(commit, users_are_refused_as_root_is)
{
	NEEDS_LARGE_SIZES();
	SHM_CHILD {
		become(_metadata, 3001, 3001, 0);
		EXPECT_ERRNO(ENOMEM, make(self->shm, 16 * self->memory, 0));
		EXPECT_LE(0, make(self->shm, self->memory - 2 * MIB, 0));
	}
	COMMIT_STRICTLY(256 * MIB);
	SHM_CHILD {
		become(_metadata, 3001, 3001, 0);
		EXPECT_ERRNO(ENOMEM, make(self->shm, 512 * MIB, 0));
		EXPECT_LE(0, make(self->shm, 100 * MIB, 0));
		EXPECT_ERRNO(ENOMEM, make(self->shm, 400 * MIB, SHM_NORESERVE));
	}
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	EXPECT_ALL_BACK();
}

/* Sizes at the edge: the largest file is one byte short of 2^63. */
TEST_F(commit, enormous_sizes)
{
	const uint64_t half = 1ULL << 63, page = self->page;
	/* All are larger than an address space: 2^48 bytes on arm64. */
	const uint64_t fits[] = { half >> 14, half >> 1, half - page };
	const uint64_t never[] = { half, half + page, -16 * page, -2 * page };
	int i, mode, id;

	NEEDS_LARGE_SIZES();

	for (mode = 0; mode < 3; mode++) {
		ASSERT_EQ(0, vm_write("overcommit_memory", mode));
		for (i = 0; i < 3; i++) {
			if (mode == 1) {
				id = make(self->shm, fits[i], 0);
				EXPECT_LE(0, id);
				EXPECT_ERRNO(ENOMEM, self->shm->attach(id, NULL, 0));
				EXPECT_EQ(0, self->shm->rmid(id));
			} else {
				EXPECT_ERRNO(ENOMEM, make(self->shm, fits[i], 0));
			}
			if (mode == 2) {
				EXPECT_ERRNO(ENOMEM, make(self->shm, fits[i], SHM_NORESERVE));
			} else {
				id = make(self->shm, fits[i], SHM_NORESERVE);
				EXPECT_LE(0, id);
				EXPECT_ERRNO(ENOMEM, self->shm->attach(id, NULL, 0));
				EXPECT_EQ(0, self->shm->rmid(id));
			}
		}
		for (i = 0; i < 4; i++) {
			EXPECT_ERRNO(EINVAL, make(self->shm, never[i], 0));
			EXPECT_ERRNO(EINVAL, make(self->shm, never[i], SHM_NORESERVE));
		}
		EXPECT_ERRNO(ENOSPC, make(self->shm, UINT64_MAX, 0));
		EXPECT_TRUE(nothing_left(self->shm));
	}
	ASSERT_EQ(0, vm_write("overcommit_memory", 0));
	EXPECT_ALL_BACK();
}

TEST_F(commit, order_of_errors)
{
	const uint64_t large = 16 * self->memory;

	NEEDS_LARGE_SIZES();
	ASSERT_EQ(0, shm_sysctl_write("shmmni", 0));
	/* Memory is asked for before the place in the table, */
	EXPECT_ERRNO(ENOMEM, make(self->shm, large, 0));
	EXPECT_ERRNO(ENOSPC, make(self->shm, self->page, 0));
	EXPECT_ERRNO(EINVAL, make(self->shm, 1ULL << 63, 0));
	/* after the sum, */
	ASSERT_EQ(0, shm_sysctl_write("shmall", 1));
	EXPECT_ERRNO(ENOSPC, make(self->shm, large, 0));
	EXPECT_ERRNO(ENOSPC, make(self->shm, 1ULL << 63, 0));
	/* and after the largest size. */
	ASSERT_EQ(0, shm_sysctl_write("shmmax", self->page));
	EXPECT_ERRNO(EINVAL, make(self->shm, large, 0));
	EXPECT_ALL_BACK();
}

TEST_F(commit, nothing_is_lost_in_a_race)
{
	pid_t pids[4];
	int i, j;

	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		for (j = 0; j < 200; j++) {
			size_t size = (j % 7 ? 64 * KIB : 16 * MIB) + ((i * 31 + j * 17) % 97) * self->page;
			int id = make(self->shm, size, j % 5 ? 0 : SHM_NORESERVE);
			void *memory;

			if (id < 0)
				_exit(1);
			memory = j % 3 ? NULL : self->shm->attach(id, NULL, 0);
			if (memory == SHM_FAILED || self->shm->rmid(id) || (memory && self->shm->detach(memory)))
				_exit(2);
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, shm_wait(pids[i]));
	EXPECT_TRUE(nothing_left(self->shm));
	EXPECT_COMMITTED_AGAIN(0);
}

TEST_HARNESS_MAIN
