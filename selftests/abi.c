// SPDX-License-Identifier: GPL-2.0
/* The device and its ioctls as such: layouts, numbers, bad pointers, unknown flags, and the table that read(2) gives. */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <time.h>

#include "shm_backend.h"

FIXTURE(abi)
{
	size_t page;
	int fd;
	int id;			/* a segment with SHM_KEY, of two pages */
	char *half;		/* a page, with nothing mapped behind it */
	char *readonly;		/* a page that can be read only */
};

FIXTURE_SETUP(abi)
{
	self->page = shm_page_size();
	SHM_ENTER(&shm_rust);
	self->fd = shm_rust_fd();
	ASSERT_LE(0, self->fd);
	self->id = shm_rust.get(SHM_KEY, 2 * self->page, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);

	self->half = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->half);
	ASSERT_EQ(0, munmap(self->half + self->page, self->page));
	/* Keep the hole: nothing that is mapped later shall land there. */
	ASSERT_NE(MAP_FAILED, mmap(self->half + self->page, self->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	self->readonly = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->readonly);
}

FIXTURE_TEARDOWN(abi)
{
	SHM_LEAVE(&shm_rust);
}

static const unsigned long requests[] = {
	RUST_SHM_IOC_VERSION, RUST_SHM_IOC_GET, RUST_SHM_IOC_ATTACH, RUST_SHM_IOC_DETACH, RUST_SHM_IOC_CTL,
	RUST_SHM_IOC_FD, RUST_SHM_IOC_RESTORE,
	RUST_SHM_IOC_SERVE,
};

/* The size of struct rust_shm_stat in revision 1. */
#define STAT_1 offsetof(struct rust_shm_stat, swap)

/* Commands that have a structure, with its size now and in revision 1. */
static const struct {
	unsigned int cmd, size, least;
} commands[] = {
	{ RUST_SHM_IPC_STAT, sizeof(struct rust_shm_stat), STAT_1 },
	{ RUST_SHM_STAT, sizeof(struct rust_shm_stat), STAT_1 },
	{ RUST_SHM_STAT_ANY, sizeof(struct rust_shm_stat), STAT_1 },
	{ RUST_SHM_IPC_SET, sizeof(struct rust_shm_stat), STAT_1 },
	{ RUST_SHM_IPC_INFO, sizeof(struct rust_shm_limits), sizeof(struct rust_shm_limits) },
	{ RUST_SHM_INFO, sizeof(struct rust_shm_usage), sizeof(struct rust_shm_usage) },
};

/* Those that fill a struct rust_shm_stat come first. */
#define STAT_COMMANDS 3

/* The argument as it travels: 64 bits, also from a 32-bit program. */
static int ctl_raw(int fd, int id, unsigned int cmd, uint64_t arg, unsigned int size)
{
	struct rust_shm_ctl ctl = { .id = id, .cmd = cmd, .arg = arg, .arg_size = size };

	return ioctl(fd, RUST_SHM_IOC_CTL, &ctl);
}

static int ctl(int fd, int id, unsigned int cmd, const void *arg, unsigned int size)
{
	return ctl_raw(fd, id, cmd, (uintptr_t)arg, size);
}

/* How many mappings of segments this process has. */
static int mapped_segments(void)
{
	char line[512];
	int count = 0;
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return -1;
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "SYSV") != NULL;
	fclose(maps);
	return count;
}

#define EXPECT_OFFSET(type, field, offset) EXPECT_EQ(offset, offsetof(struct type, field))

TEST_F(abi, layout_is_as_published)
{
	EXPECT_OFFSET(rust_shm_version, abi, 0);
	EXPECT_OFFSET(rust_shm_version, reserved, 4);
	EXPECT_OFFSET(rust_shm_version, features, 8);
	EXPECT_EQ(16, sizeof(struct rust_shm_version));

	EXPECT_OFFSET(rust_shm_get, key, 0);
	EXPECT_OFFSET(rust_shm_get, flags, 4);
	EXPECT_OFFSET(rust_shm_get, size, 8);
	EXPECT_EQ(16, sizeof(struct rust_shm_get));

	EXPECT_OFFSET(rust_shm_attach, id, 0);
	EXPECT_OFFSET(rust_shm_attach, flags, 4);
	EXPECT_OFFSET(rust_shm_attach, addr, 8);
	EXPECT_OFFSET(rust_shm_attach, length, 16);
	EXPECT_EQ(24, sizeof(struct rust_shm_attach));

	EXPECT_OFFSET(rust_shm_detach, addr, 0);
	EXPECT_OFFSET(rust_shm_detach, flags, 8);
	EXPECT_OFFSET(rust_shm_detach, reserved, 12);
	EXPECT_EQ(16, sizeof(struct rust_shm_detach));

	EXPECT_OFFSET(rust_shm_ctl, id, 0);
	EXPECT_OFFSET(rust_shm_ctl, cmd, 4);
	EXPECT_OFFSET(rust_shm_ctl, arg, 8);
	EXPECT_OFFSET(rust_shm_ctl, arg_size, 16);
	EXPECT_OFFSET(rust_shm_ctl, flags, 20);
	EXPECT_EQ(24, sizeof(struct rust_shm_ctl));

	EXPECT_OFFSET(rust_shm_stat, key, 0);
	EXPECT_OFFSET(rust_shm_stat, uid, 4);
	EXPECT_OFFSET(rust_shm_stat, gid, 8);
	EXPECT_OFFSET(rust_shm_stat, cuid, 12);
	EXPECT_OFFSET(rust_shm_stat, cgid, 16);
	EXPECT_OFFSET(rust_shm_stat, mode, 20);
	EXPECT_OFFSET(rust_shm_stat, cpid, 24);
	EXPECT_OFFSET(rust_shm_stat, lpid, 28);
	EXPECT_OFFSET(rust_shm_stat, segsz, 32);
	EXPECT_OFFSET(rust_shm_stat, nattch, 40);
	EXPECT_OFFSET(rust_shm_stat, atime, 48);
	EXPECT_OFFSET(rust_shm_stat, dtime, 56);
	EXPECT_OFFSET(rust_shm_stat, ctime, 64);
	EXPECT_OFFSET(rust_shm_stat, rss, 72);
	EXPECT_OFFSET(rust_shm_stat, huge, 80);
	EXPECT_OFFSET(rust_shm_stat, seq, 88);
	EXPECT_OFFSET(rust_shm_stat, reserved, 92);
	EXPECT_OFFSET(rust_shm_stat, swap, 96);
	EXPECT_OFFSET(rust_shm_stat, flags, 104);
	EXPECT_OFFSET(rust_shm_stat, reserved2, 108);
	EXPECT_EQ(112, sizeof(struct rust_shm_stat));

	EXPECT_OFFSET(rust_shm_limits, shmmax, 0);
	EXPECT_OFFSET(rust_shm_limits, shmmin, 8);
	EXPECT_OFFSET(rust_shm_limits, shmmni, 16);
	EXPECT_OFFSET(rust_shm_limits, shmseg, 24);
	EXPECT_OFFSET(rust_shm_limits, shmall, 32);
	EXPECT_EQ(40, sizeof(struct rust_shm_limits));

	EXPECT_OFFSET(rust_shm_usage, used_ids, 0);
	EXPECT_OFFSET(rust_shm_usage, reserved, 4);
	EXPECT_OFFSET(rust_shm_usage, shm_tot, 8);
	EXPECT_OFFSET(rust_shm_usage, shm_rss, 16);
	EXPECT_OFFSET(rust_shm_usage, shm_swp, 24);
	EXPECT_OFFSET(rust_shm_usage, swap_attempts, 32);
	EXPECT_OFFSET(rust_shm_usage, swap_successes, 40);
	EXPECT_EQ(48, sizeof(struct rust_shm_usage));

	EXPECT_OFFSET(rust_shm_fd, id, 0);
	EXPECT_OFFSET(rust_shm_fd, flags, 4);
	EXPECT_EQ(8, sizeof(struct rust_shm_fd));

	EXPECT_OFFSET(rust_shm_restore, id, 0);
	EXPECT_OFFSET(rust_shm_restore, key, 4);
	EXPECT_OFFSET(rust_shm_restore, size, 8);
	EXPECT_OFFSET(rust_shm_restore, flags, 16);
	EXPECT_OFFSET(rust_shm_restore, mode, 20);
	EXPECT_OFFSET(rust_shm_restore, uid, 24);
	EXPECT_OFFSET(rust_shm_restore, gid, 28);
	EXPECT_OFFSET(rust_shm_restore, cuid, 32);
	EXPECT_OFFSET(rust_shm_restore, cgid, 36);
	EXPECT_OFFSET(rust_shm_restore, cpid, 40);
	EXPECT_OFFSET(rust_shm_restore, lpid, 44);
	EXPECT_OFFSET(rust_shm_restore, atime, 48);
	EXPECT_OFFSET(rust_shm_restore, dtime, 56);
	EXPECT_OFFSET(rust_shm_restore, ctime, 64);
	EXPECT_EQ(72, sizeof(struct rust_shm_restore));

	EXPECT_OFFSET(rust_shm_serve, op, 0);
	EXPECT_OFFSET(rust_shm_serve, flags, 4);
	EXPECT_EQ(8, sizeof(struct rust_shm_serve));
}

TEST_F(abi, numbers_are_as_published)
{
	EXPECT_EQ(0x8010d500UL, RUST_SHM_IOC_VERSION);
	EXPECT_EQ(0x4010d501UL, RUST_SHM_IOC_GET);
	EXPECT_EQ(0xc018d502UL, RUST_SHM_IOC_ATTACH);
	EXPECT_EQ(0x4010d503UL, RUST_SHM_IOC_DETACH);
	EXPECT_EQ(0x4018d504UL, RUST_SHM_IOC_CTL);
	EXPECT_EQ(0x4008d506UL, RUST_SHM_IOC_FD);
	EXPECT_EQ(0xd520UL, RUST_SHM_FD_ADD_SEALS);
	EXPECT_EQ(0xd521UL, RUST_SHM_FD_GET_SEALS);
	EXPECT_EQ(0x4048d507UL, RUST_SHM_IOC_RESTORE);
	EXPECT_EQ(0x4008d505UL, RUST_SHM_IOC_SERVE);
}

TEST_F(abi, constants_are_those_of_the_c_library)
{
	EXPECT_EQ(IPC_PRIVATE, RUST_SHM_IPC_PRIVATE);
	EXPECT_EQ(IPC_CREAT, RUST_SHM_IPC_CREAT);
	EXPECT_EQ(IPC_EXCL, RUST_SHM_IPC_EXCL);
	EXPECT_EQ(SHM_HUGETLB, RUST_SHM_HUGETLB);
	EXPECT_EQ(SHM_NORESERVE, RUST_SHM_NORESERVE);
	EXPECT_EQ(SHM_RDONLY, RUST_SHM_RDONLY);
	EXPECT_EQ(SHM_RND, RUST_SHM_RND);
	EXPECT_EQ(SHM_REMAP, RUST_SHM_REMAP);
	EXPECT_EQ(SHM_EXEC, RUST_SHM_EXEC);
	EXPECT_EQ(IPC_RMID, RUST_SHM_IPC_RMID);
	EXPECT_EQ(IPC_SET, RUST_SHM_IPC_SET);
	EXPECT_EQ(IPC_STAT, RUST_SHM_IPC_STAT);
	EXPECT_EQ(IPC_INFO, RUST_SHM_IPC_INFO);
	EXPECT_EQ(SHM_LOCK, RUST_SHM_LOCK);
	EXPECT_EQ(SHM_UNLOCK, RUST_SHM_UNLOCK);
	EXPECT_EQ(SHM_STAT, RUST_SHM_STAT);
	EXPECT_EQ(SHM_INFO, RUST_SHM_INFO);
	EXPECT_EQ(SHM_STAT_ANY, RUST_SHM_STAT_ANY);
	EXPECT_EQ(SHM_DEST, RUST_SHM_MODE_DEST);
	EXPECT_EQ(SHM_LOCKED, RUST_SHM_MODE_LOCKED);
}

TEST_F(abi, version_fills_the_whole_structure)
{
	struct rust_shm_version version;

	memset(&version, 0xa5, sizeof(version));
	ASSERT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_VERSION, &version));
	EXPECT_EQ(RUST_SHM_ABI_VERSION, version.abi);
	EXPECT_EQ(0, version.reserved);
	EXPECT_EQ(RUST_SHM_FEATURE_FD | RUST_SHM_FEATURE_RESTORE, version.features & ~RUST_SHM_FEATURE_SERVE);
}

TEST_F(abi, bad_pointers_are_efault)
{
	const unsigned long pointers[] = {
		0, 1, 4095, (unsigned long)self->half + self->page, BEYOND_USER, -4096UL, -1UL,
#ifdef __LP64__
		0x7ffffffff000UL, 0x800000000000UL, 0xffff888000000000UL, 0xffffffff81000000UL,
#endif
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		for (j = 0; j < ARRAY_SIZE(pointers); j++) {
			EXPECT_ERRNO(EFAULT, ioctl(self->fd, requests[i], pointers[j]));
		}
	}
	EXPECT_EQ(1, shm_count(&shm_rust));
	EXPECT_EQ(0, shm_nattch(&shm_rust, self->id));
}

TEST_F(abi, structure_that_runs_off_its_page_is_efault)
{
	unsigned int i, cut;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		for (cut = 1; cut < _IOC_SIZE(requests[i]); cut++) {
			memset(self->half, 0, self->page);
			EXPECT_ERRNO(EFAULT, ioctl(self->fd, requests[i], self->half + self->page - cut));
		}
	}
	EXPECT_EQ(1, shm_count(&shm_rust));
	EXPECT_EQ(0, shm_nattch(&shm_rust, self->id));
	EXPECT_EQ(0, mapped_segments());
}

TEST_F(abi, structure_may_end_where_its_page_ends)
{
	struct rust_shm_attach *attach = (void *)(self->half + self->page - sizeof(*attach));
	struct rust_shm_detach *detach = (void *)(self->half + self->page - sizeof(*detach));
	struct rust_shm_get *get = (void *)(self->half + self->page - sizeof(*get));
	struct rust_shm_ctl *ctl = (void *)(self->half + self->page - sizeof(*ctl));
	struct rust_shm_stat *stat = (void *)(self->half + self->page - sizeof(*ctl) - sizeof(*stat));
	__u64 addr;

	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_VERSION, self->half + self->page - sizeof(struct rust_shm_version)));
	*get = (struct rust_shm_get) { .key = SHM_KEY };
	EXPECT_EQ(self->id, ioctl(self->fd, RUST_SHM_IOC_GET, get));
	*attach = (struct rust_shm_attach) { .id = self->id };
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_ATTACH, attach));
	EXPECT_EQ(2 * self->page, attach->length);
	addr = attach->addr;
	*detach = (struct rust_shm_detach) { .addr = addr };
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_DETACH, detach));
	*ctl = (struct rust_shm_ctl) { .id = self->id, .cmd = IPC_STAT, .arg = (uintptr_t)stat, .arg_size = sizeof(*stat) };
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_CTL, ctl));
	EXPECT_EQ(SHM_KEY, stat->key);
}

TEST_F(abi, structures_may_lie_at_odd_addresses)
{
	struct rust_shm_get get = { .key = SHM_KEY };
	struct rust_shm_stat stat;

	memcpy(self->half + 1, &get, sizeof(get));
	EXPECT_EQ(self->id, ioctl(self->fd, RUST_SHM_IOC_GET, self->half + 1));
	EXPECT_EQ(0, ctl(self->fd, self->id, IPC_STAT, self->half + 3, sizeof(stat)));
	memcpy(&stat, self->half + 3, sizeof(stat));
	EXPECT_EQ(SHM_KEY, stat.key);
}

TEST_F(abi, attach_that_cannot_answer_does_not_attach)
{
	struct rust_shm_attach attach = { .id = self->id };
	struct rust_shm_stat before, after;

	ASSERT_EQ(0, shm_rust.stat(self->id, &before));
	memcpy(self->readonly, &attach, sizeof(attach));
	ASSERT_EQ(0, mprotect(self->readonly, self->page, PROT_READ));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, RUST_SHM_IOC_ATTACH, self->readonly));
	ASSERT_EQ(0, shm_rust.stat(self->id, &after));
	EXPECT_EQ(0, after.nattch);
	EXPECT_EQ(0, mapped_segments());
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)))
		TH_LOG("nothing has been done, says the header");
	/* And it does not keep the segment from going away. */
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_EQ(0, shm_count(&shm_rust));
}

TEST_F(abi, attach_whose_answer_is_cut_does_not_attach)
{
	struct rust_shm_attach attach = { .id = self->id };
	char *two = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Readable all over, writable to the middle of addr. */
	ASSERT_NE(MAP_FAILED, two);
	memcpy(two + self->page - 12, &attach, sizeof(attach));
	ASSERT_EQ(0, mprotect(two + self->page, self->page, PROT_READ));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, RUST_SHM_IOC_ATTACH, two + self->page - 12));
	EXPECT_EQ(0, shm_nattch(&shm_rust, self->id));
	EXPECT_EQ(0, mapped_segments());
}

TEST_F(abi, read_only_memory_is_enough_to_ask)
{
	struct rust_shm_get get = { .key = SHM_KEY };

	memcpy(self->readonly, &get, sizeof(get));
	ASSERT_EQ(0, mprotect(self->readonly, self->page, PROT_READ));
	EXPECT_EQ(self->id, ioctl(self->fd, RUST_SHM_IOC_GET, self->readonly));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd, RUST_SHM_IOC_VERSION, self->readonly));
}

TEST_F(abi, unknown_numbers_are_enotty)
{
	struct rust_shm_stat space = { 0 };
	unsigned int nr, i, size;

	for (nr = 5; nr < 256; nr++) {
		EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IO(RUST_SHM_IOC_TYPE, nr), &space));
		EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IOWR(RUST_SHM_IOC_TYPE, nr, struct rust_shm_attach), &space));
	}
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		unsigned int right = requests[i];

		nr = _IOC_NR(right);
		for (size = 0; size <= 64; size++) {
			if (size != _IOC_SIZE(right)) {
				EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IOC(_IOC_DIR(right), RUST_SHM_IOC_TYPE, nr, size), &space));
			}
		}
		/* The type and the direction are part of the number. */
		EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IOC(_IOC_DIR(right), 0xd4, nr, _IOC_SIZE(right)), &space));
		EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IOC(_IOC_DIR(right) ^ _IOC_READ, RUST_SHM_IOC_TYPE, nr, _IOC_SIZE(right)), &space));
		EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IOC(0, RUST_SHM_IOC_TYPE, nr, _IOC_SIZE(right)), &space));
	}
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, 0x5401 /* TCGETS */, &space));
	EXPECT_EQ(1, shm_count(&shm_rust));
}

TEST_F(abi, attach_refuses_unknown_flags)
{
	int bit;

	for (bit = 0; bit < 32; bit++) {
		struct rust_shm_attach attach = { .id = self->id, .flags = 1U << bit };

		if (bit < 12 || bit > 15) {
			EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_ATTACH, &attach));
		}
	}
	EXPECT_EQ(0, shm_nattch(&shm_rust, self->id));
	EXPECT_EQ(0, mapped_segments());
}

TEST_F(abi, detach_refuses_flags_and_reserved)
{
	void *memory = shm_rust.attach(self->id, NULL, 0);
	struct rust_shm_detach detach;
	int bit;

	ASSERT_NE(SHM_FAILED, memory);
	for (bit = 0; bit < 32; bit++) {
		detach = (struct rust_shm_detach) { .addr = (uintptr_t)memory, .flags = 1U << bit };
		EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_DETACH, &detach));
		detach = (struct rust_shm_detach) { .addr = (uintptr_t)memory, .reserved = 1U << bit };
		EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_DETACH, &detach));
	}
	EXPECT_EQ(1, shm_nattch(&shm_rust, self->id));
	EXPECT_EQ(0, shm_rust.detach(memory));
}

TEST_F(abi, ctl_refuses_flags)
{
	struct rust_shm_stat stat = { .mode = 0777, .uid = 5 };
	unsigned int i;
	int bit;

	for (bit = 0; bit < 32; bit++) {
		struct rust_shm_ctl ctl = { .id = self->id, .cmd = IPC_RMID, .flags = 1U << bit };

		EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_CTL, &ctl));
		ctl.cmd = SHM_LOCK;
		EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_CTL, &ctl));
		ctl.cmd = SHM_UNLOCK;
		EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_CTL, &ctl));
		for (i = 0; i < ARRAY_SIZE(commands); i++) {
			ctl.cmd = commands[i].cmd;
			ctl.arg = (uintptr_t)&stat;
			ctl.arg_size = commands[i].size;
			if (i < STAT_COMMANDS) {
				/* This one bit has a meaning with these, but does not bring others in. */
				if (ctl.flags == RUST_SHM_CTL_HUGE)
					continue;
				ctl.flags |= RUST_SHM_CTL_HUGE;
			} else {
				ctl.flags = 1U << bit;
			}
			EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_IOC_CTL, &ctl));
		}
	}
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0600, stat.mode);
	EXPECT_EQ(1, shm_count(&shm_rust));
}

TEST_F(abi, huge_is_told_to_those_who_ask)
{
	const size_t size = HUGE_SIZE;
	struct rust_shm_stat plain, asked;
	unsigned int i;
	int id, index;

	SHM_NEEDS_HUGE();
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	/* Of huge pages, whatever the parameter says. */
	id = shm_rust.get(IPC_PRIVATE, size, IPC_CREAT | SHM_HUGETLB | 0600);
	ASSERT_LE(0, id);
	/* It is alone. */
	index = shm_rust.shm_info((struct rust_shm_usage *)self->half);
	ASSERT_LE(0, index);
	for (i = 0; i < STAT_COMMANDS; i++) {
		struct rust_shm_ctl ctl = {
			.id = commands[i].cmd == IPC_STAT ? id : index, .cmd = commands[i].cmd, .arg = (uintptr_t)&asked,
			.arg_size = sizeof(asked), .flags = RUST_SHM_CTL_HUGE,
		};
		int result = commands[i].cmd == IPC_STAT ? 0 : id;

		memset(&asked, 0xa5, sizeof(asked));
		EXPECT_EQ(result, ioctl(self->fd, RUST_SHM_IOC_CTL, &ctl));
		EXPECT_EQ(size, asked.rss);
		EXPECT_EQ(size, asked.huge);
		ctl.arg = (uintptr_t)&plain;
		ctl.flags = 0;
		EXPECT_EQ(result, ioctl(self->fd, RUST_SHM_IOC_CTL, &ctl));
		EXPECT_EQ(0, plain.huge);
		/* All else is the same. */
		plain.huge = asked.huge;
		EXPECT_EQ(0, memcmp(&plain, &asked, sizeof(plain)));
	}
}

TEST_F(abi, set_refuses_a_reserved_field)
{
	struct rust_shm_stat stat = { .mode = 0777, .reserved = 1 };

	EXPECT_ERRNO(EINVAL, ctl(self->fd, self->id, IPC_SET, &stat, sizeof(stat)));
	stat.reserved = 0;
	stat.reserved2 = 1;
	EXPECT_ERRNO(EINVAL, ctl(self->fd, self->id, IPC_SET, &stat, sizeof(stat)));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0600, stat.mode);
}

TEST_F(abi, set_reads_owner_and_mode_only)
{
	struct rust_shm_stat stat, before, after;

	ASSERT_EQ(0, shm_rust.stat(self->id, &before));
	memset(&stat, 0xa5, sizeof(stat));
	stat.uid = 11;
	stat.gid = 12;
	stat.mode = 0640;
	stat.reserved = stat.reserved2 = 0;
	ASSERT_EQ(0, ctl(self->fd, self->id, IPC_SET, &stat, sizeof(stat)));
	ASSERT_EQ(0, shm_rust.stat(self->id, &after));
	EXPECT_EQ(11, after.uid);
	EXPECT_EQ(12, after.gid);
	EXPECT_EQ(0640, after.mode);
	after.uid = before.uid;
	after.gid = before.gid;
	after.mode = before.mode;
	after.ctime = before.ctime;
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_F(abi, too_small_an_arg_size_is_einval)
{
	struct rust_shm_stat space, untouched;
	unsigned int i, size;

	memset(&untouched, 0xa5, sizeof(untouched));
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		for (size = 0; size < commands[i].least; size++) {
			space = untouched;
			ASSERT_EQ(-1, ctl(self->fd, self->id, commands[i].cmd, &space, size))
				TH_LOG("command %u took %u bytes", commands[i].cmd, size);
			ASSERT_EQ(EINVAL, errno);
			ASSERT_EQ(0, memcmp(&space, &untouched, sizeof(space)));
		}
	}
	ASSERT_EQ(0, shm_rust.stat(self->id, &space));
	EXPECT_EQ(0600, space.mode);
}

TEST_F(abi, structure_of_an_earlier_revision_gets_what_it_has)
{
	struct rust_shm_stat whole, part;
	unsigned char expected[sizeof(part)];
	unsigned int i, size;

	ASSERT_EQ(0, shm_rust.stat(self->id, &whole));
	for (i = 0; i < STAT_COMMANDS; i++) {
		for (size = STAT_1; size <= sizeof(part); size++) {
			memset(&part, 0xa5, sizeof(part));
			memset(expected, 0xa5, sizeof(expected));
			memcpy(expected, &whole, size);
			/* The low bits of its id are its index. */
			ASSERT_LE(0, ctl(self->fd, self->id, commands[i].cmd, &part, size));
			ASSERT_EQ(0, memcmp(expected, &part, sizeof(part)))
				TH_LOG("command %u, %u bytes", commands[i].cmd, size);
		}
	}
	part.reserved = part.reserved2 = 0;
	for (size = STAT_1; size <= sizeof(part); size++) {
		part.mode = size;
		ASSERT_EQ(0, ctl(self->fd, self->id, IPC_SET, &part, size));
		ASSERT_EQ(0, shm_rust.stat(self->id, &whole));
		ASSERT_EQ(size, whole.mode);
	}
}

TEST_F(abi, larger_arg_size_is_filled_with_zeros)
{
	const unsigned int sizes[] = { 113, 120, 128, 1000, 4096 };
	unsigned char space[8192];
	unsigned int i, j, k;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd == IPC_SET)
			continue;
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			memset(space, 0xa5, sizeof(space));
			ASSERT_LE(0, ctl(self->fd, self->id, commands[i].cmd, space, sizes[j]));
			for (k = commands[i].size; k < sizes[j]; k++)
				ASSERT_EQ(0, space[k]);
			for (; k < sizeof(space); k++)
				ASSERT_EQ(0xa5, space[k]);
		}
	}
}

TEST_F(abi, arg_size_beyond_a_page_is_e2big)
{
	static char space[3 * 4096];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		EXPECT_ERRNO(E2BIG, ctl(self->fd, self->id, commands[i].cmd, space, 4097));
		EXPECT_ERRNO(E2BIG, ctl(self->fd, self->id, commands[i].cmd, space, 8192));
		EXPECT_ERRNO(E2BIG, ctl(self->fd, self->id, commands[i].cmd, space, UINT_MAX));
	}
}

TEST_F(abi, set_with_a_larger_structure_wants_zeros)
{
	union {
		struct rust_shm_stat stat;
		unsigned char bytes[4096];
	} big = { .stat = { .uid = 21, .gid = 22, .mode = 0604 } };
	const unsigned int places[] = { 112, 113, 119, 200, 4095 };
	struct rust_shm_stat stat;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		big.bytes[places[i]] = 1;
		EXPECT_ERRNO(E2BIG, ctl(self->fd, self->id, IPC_SET, &big, places[i] + 1));
		EXPECT_ERRNO(E2BIG, ctl(self->fd, self->id, IPC_SET, &big, sizeof(big)));
		big.bytes[places[i]] = 0;
	}
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0600, stat.mode);
	EXPECT_EQ(0, ctl(self->fd, self->id, IPC_SET, &big, sizeof(big)));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(21, stat.uid);
	EXPECT_EQ(22, stat.gid);
	EXPECT_EQ(0604, stat.mode);
}

TEST_F(abi, bad_arg_pointers_are_efault)
{
	const uint64_t pointers[] = {
		0, 1, (uintptr_t)self->half + self->page, 0x7ffffffff000ULL, 0x800000000000ULL,
		0xffff888000000000ULL, 0xffffffff81000000ULL, -4096ULL, -1ULL, 0x100000000ULL,
	};
	struct rust_shm_stat stat;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		for (j = 0; j < ARRAY_SIZE(pointers); j++) {
			EXPECT_ERRNO(EFAULT, ctl_raw(self->fd, self->id, commands[i].cmd, pointers[j], commands[i].size));
		}
		/* The structure fits, its continuation does not. */
		EXPECT_ERRNO(EFAULT, ctl(self->fd, self->id, commands[i].cmd, self->half + self->page - commands[i].size + 1,
					 commands[i].size));
		memset(self->half, 0, self->page);
		EXPECT_ERRNO(EFAULT, ctl(self->fd, self->id, commands[i].cmd, self->half + self->page - commands[i].size,
					 commands[i].size + 8));
	}
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0600, stat.mode);
}

TEST_F(abi, answer_into_read_only_memory_is_efault)
{
	unsigned int i;

	ASSERT_EQ(0, mprotect(self->readonly, self->page, PROT_READ));
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd != IPC_SET) {
			EXPECT_ERRNO(EFAULT, ctl(self->fd, self->id, commands[i].cmd, self->readonly, commands[i].size));
		}
	}
	EXPECT_EQ(0, ctl(self->fd, self->id, IPC_SET, self->readonly, sizeof(struct rust_shm_stat)));
}

TEST_F(abi, rmid_ignores_arg)
{
	EXPECT_EQ(0, ctl(self->fd, self->id, IPC_RMID, (void *)-1UL, UINT_MAX));
	EXPECT_EQ(0, shm_count(&shm_rust));
}

TEST_F(abi, commands_are_32_bits_wide)
{
	struct rust_shm_stat stat;

	EXPECT_ERRNO(EINVAL, ctl(self->fd, self->id, UINT_MAX, &stat, sizeof(stat)));
	EXPECT_ERRNO(EINVAL, ctl(self->fd, self->id, 0x80000000 + IPC_STAT, &stat, sizeof(stat)));
	EXPECT_ERRNO(EINVAL, ctl(self->fd, self->id, 0x100 + IPC_STAT, &stat, sizeof(stat)));
	EXPECT_ERRNO(EINVAL, ctl(self->fd, self->id, 0x10000 + IPC_RMID, &stat, sizeof(stat)));
	EXPECT_EQ(1, shm_count(&shm_rust));
}

TEST_F(abi, attach_tells_where_and_how_much)
{
	struct rust_shm_attach attach = { .id = self->id, .length = ~0ULL };
	int odd = shm_rust.get(IPC_PRIVATE, self->page + 1, 0600);
	char *memory;

	ASSERT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_ATTACH, &attach));
	EXPECT_EQ(self->id, attach.id);
	EXPECT_EQ(0, attach.flags);
	EXPECT_EQ(2 * self->page, attach.length);
	EXPECT_EQ(0, attach.addr % self->page);
	memory = (char *)(uintptr_t)attach.addr;
	memory[0] = memory[attach.length - 1] = 1;
	ASSERT_EQ(0, shm_rust.detach(memory));

	attach = (struct rust_shm_attach) { .id = odd };
	ASSERT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_ATTACH, &attach));
	EXPECT_EQ(2 * self->page, attach.length);
}

TEST_F(abi, descriptor_need_not_be_writable_or_stay_open)
{
	int reader = open(RUST_SHM_DEVICE, O_RDONLY | O_CLOEXEC), writer = open(RUST_SHM_DEVICE, O_WRONLY | O_CLOEXEC), id;
	char *memory, byte;

	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	shm_rust_use_fd(writer);
	id = shm_rust.get(SHM_KEY + 1, 4096, IPC_CREAT | 0600);
	EXPECT_LE(0, id);
	EXPECT_ERRNO(EBADF, read(writer, &byte, 1));
	shm_rust_use_fd(reader);
	memory = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, memory);
	strcpy(memory, "alive");

	close(reader);
	close(writer);
	close(self->fd);
	shm_rust_use_fd(-1);
	EXPECT_STREQ("alive", memory);
	EXPECT_EQ(1, shm_nattch(&shm_rust, id));
	EXPECT_EQ(id, shm_rust.get(SHM_KEY + 1, 0, 0));
	EXPECT_EQ(0, shm_rust.detach(memory));
}

TEST_F(abi, path_descriptor_is_good_for_nothing)
{
	struct rust_shm_version version;
	int fd = open(RUST_SHM_DEVICE, O_PATH | O_CLOEXEC);
	char byte;

	ASSERT_LE(0, fd);
	EXPECT_ERRNO(EBADF, ioctl(fd, RUST_SHM_IOC_VERSION, &version));
	EXPECT_ERRNO(EBADF, read(fd, &byte, 1));
}

TEST_F(abi, device_is_open_to_everyone)
{
	SHM_CHILD {
		ASSERT_EQ(0, setresgid(54321, 54321, 54321));
		ASSERT_EQ(0, setresuid(54321, 54321, 54321));
		close(self->fd);
		shm_rust_use_fd(-1);
		EXPECT_LE(0, shm_rust.get(SHM_KEY + 1, 4096, IPC_CREAT | 0600));
	}
}

TEST_F(abi, write_mmap_and_poll)
{
	struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN | POLLOUT };

	EXPECT_ERRNO(EINVAL, write(self->fd, "hello", 5));
	EXPECT_ERRNO(ENODEV, mmap(NULL, self->page, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_ERRNO(ENODEV, mmap(NULL, self->page, PROT_READ, MAP_PRIVATE, self->fd, 0));
	EXPECT_ERRNO(ENODEV, mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0));
	EXPECT_LE(0, poll(&poll_fd, 1, 0));
	EXPECT_EQ(0, poll_fd.revents & (POLLERR | POLLNVAL | POLLHUP));
	EXPECT_EQ(self->id, shm_rust.get(SHM_KEY, 0, 0));
}

#ifdef __x86_64__
/* As a 32-bit program would call: ioctl is 54 there, and its pointers have 32 bits. */
static int ioctl_32(int fd, unsigned int request, void *arg)
{
	int result;

	asm volatile("int $0x80" : "=a"(result) : "a"(54), "b"(fd), "c"(request), "d"((unsigned int)(uintptr_t)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return result;
}

TEST_F(abi, thirty_two_bit_programs_need_no_translation)
{
	struct {
		struct rust_shm_version version;
		struct rust_shm_get get;
		struct rust_shm_attach attach;
		struct rust_shm_detach detach;
		struct rust_shm_ctl ctl;
		struct rust_shm_stat stat;
	} *low;
	pid_t pid;
	int status;

	low = mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, low);
	SHM_FORK(pid)
		_exit(ioctl_32(-1, 0, NULL) != -EBADF);
	status = shm_wait(pid);
	if (status)
		SKIP(return, "this kernel takes no 32-bit system calls");

	EXPECT_EQ(0, ioctl_32(self->fd, RUST_SHM_IOC_VERSION, &low->version));
	EXPECT_EQ(RUST_SHM_ABI_VERSION, low->version.abi);
	low->get = (struct rust_shm_get) { .key = SHM_KEY, .size = 2 * self->page };
	EXPECT_EQ(self->id, ioctl_32(self->fd, RUST_SHM_IOC_GET, &low->get));
	low->get.size = 1ULL << 33;
	EXPECT_EQ(-EINVAL, ioctl_32(self->fd, RUST_SHM_IOC_GET, &low->get))
		TH_LOG("the size lost its upper half");
	low->attach = (struct rust_shm_attach) { .id = self->id };
	ASSERT_EQ(0, ioctl_32(self->fd, RUST_SHM_IOC_ATTACH, &low->attach));
	EXPECT_GT(1ULL << 32, low->attach.addr)
		TH_LOG("a 32-bit program cannot reach that");
	EXPECT_EQ(2 * self->page, low->attach.length);
	low->ctl = (struct rust_shm_ctl) {
		.id = self->id, .cmd = IPC_STAT, .arg = (uintptr_t)&low->stat, .arg_size = sizeof(low->stat),
	};
	EXPECT_EQ(0, ioctl_32(self->fd, RUST_SHM_IOC_CTL, &low->ctl));
	EXPECT_EQ(SHM_KEY, low->stat.key);
	EXPECT_EQ(1, low->stat.nattch);
	EXPECT_EQ(2 * self->page, low->stat.segsz);
	low->detach = (struct rust_shm_detach) { .addr = low->attach.addr };
	EXPECT_EQ(0, ioctl_32(self->fd, RUST_SHM_IOC_DETACH, &low->detach));
	EXPECT_EQ(-ENOTTY, ioctl_32(self->fd, RUST_SHM_IOC_DETACH + 100, &low->detach));
	EXPECT_EQ(-EFAULT, ioctl_32(self->fd, RUST_SHM_IOC_GET, NULL));
}
#endif

/* Some of them switch system calls on, which waits until every task that is ready to run has had its turn. */
TEST_F_TIMEOUT(abi, random_structures_do_no_harm, 150)
{
	struct rust_shm_stat good;
	unsigned int round, i;
	union {
		unsigned int words[24];
		struct rust_shm_attach attach;
		struct rust_shm_ctl ctl;
	} u;

	/* In a child with a time limit: whatever it attaches, and wherever, goes with it. */
	SHM_CHILD {
		alarm(120 * shm_slow());
		srandom(1);
		for (round = 0; round < 20000; round++) {
			unsigned long request = requests[round % ARRAY_SIZE(requests)];
			int result;

			for (i = 0; i < ARRAY_SIZE(u.words); i++) {
				switch (random() % 4) {
				case 0:
					u.words[i] = random() % 16;
					break;
				case 1:
					u.words[i] = 1U << (random() % 32);
					break;
				case 2:
					u.words[i] = 0;
					break;
				default:
					u.words[i] = random() * 2 + random() % 2;
				}
			}
			if (request == RUST_SHM_IOC_ATTACH)
				u.attach.flags &= ~SHM_REMAP;
			if (request == RUST_SHM_IOC_CTL) {
				u.ctl.arg = (uintptr_t)&good;
				if (u.ctl.arg_size > sizeof(good))
					u.ctl.arg_size = sizeof(good);
			}
			result = ioctl(self->fd, request, &u);
			if (result < 0) {
				ASSERT_TRUE(errno == EINVAL || errno == ENOENT || errno == EEXIST || errno == ENOSPC || errno == ENOMEM ||
					    errno == EPERM || errno == EACCES || errno == EIDRM ||
					    ((errno == EBUSY || (errno == EOPNOTSUPP && !shm_can_serve())) && request == RUST_SHM_IOC_SERVE))
					TH_LOG("ioctl %lx gave errno %d", request, errno);
			} else if (request == RUST_SHM_IOC_ATTACH) {
				struct rust_shm_detach detach = { .addr = u.attach.addr };

				ASSERT_EQ(0, ioctl(self->fd, RUST_SHM_IOC_DETACH, &detach));
			}
		}
	}
	EXPECT_LE(0, shm_rust.shm_info((struct rust_shm_usage *)self->half));
}

/* The text that read(2) gives. */

static const char header[] = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime"
	"      ctime                   rss                  swap\n";

/* All of a file from here to its end, asking for this much at a time. */
static ssize_t read_all(int fd, char *text, size_t size, size_t step)
{
	size_t length = 0;
	ssize_t got;

	do {
		got = read(fd, text + length, step < size - length ? step : size - length);
		if (got < 0)
			return -1;
		length += got;
	} while (got > 0 && length < size);
	return length;
}

TEST_F(abi, table_without_segments_is_its_header)
{
	char text[1024];

	ASSERT_EQ(0, shm_rust.rmid(self->id));
	ASSERT_EQ(sizeof(header) - 1, read_all(self->fd, text, sizeof(text), sizeof(text)));
	EXPECT_EQ(0, memcmp(header, text, sizeof(header) - 1));
}

TEST_F(abi, table_rows_have_the_format_of_sysvipc)
{
	char line[512], expected[512];
	struct rust_shm_stat stat;
	int id;

	for (id = 0; id < 3; id++) {
		struct rust_shm_get get = {
			.key = id == 0 ? IPC_PRIVATE : -id,
			/* The large one is more than there is memory for. */
			.flags = 0604 | IPC_CREAT | (id == 2 ? SHM_NORESERVE : 0),
			.size = id == 2 ? 1ULL << 35 : 5000,
		};
		int made = ioctl(self->fd, RUST_SHM_IOC_GET, &get);
		struct shm_row row;

		ASSERT_LE(0, made);
		ASSERT_EQ(0, shm_rust.set(made, 123456, 4294967294U, 0021));
		if (id == 1) {
			((char *)shm_rust.attach(made, NULL, 0))[0] = 1;
			ASSERT_EQ(0, shm_rust.rmid(made));
		}
		ASSERT_EQ(0, shm_rust.stat(made, &stat));
		ASSERT_EQ(0, shm_table_row(&shm_rust, made, &row, line, sizeof(line)));
		snprintf(expected, sizeof(expected),
			 "%10d %10d  %4o %21llu %5u %5u  %5llu %5u %5u %5u %5u %10llu %10llu %10llu %21llu %21llu\n",
			 stat.key, made, stat.mode, (unsigned long long)stat.segsz, stat.cpid, stat.lpid, (unsigned long long)stat.nattch,
			 stat.uid, stat.gid, stat.cuid, stat.cgid, (unsigned long long)stat.atime, (unsigned long long)stat.dtime,
			 (unsigned long long)stat.ctime, (unsigned long long)stat.rss, (unsigned long long)stat.swap);
		EXPECT_STREQ(expected, line);
	}
}

TEST_F(abi, table_and_that_of_the_builtin_agree)
{
	const struct shm_backend *both[] = { &shm_builtin, &shm_rust };
	char lines[2][512], headers[2][512];
	struct shm_row rows[2];
	unsigned int i;
	time_t second;

	if (shm_builtin.missing())
		SKIP(return, "this kernel has no System V shared memory of its own");
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	do {
		second = time(NULL);
		for (i = 0; i < 2; i++) {
			int id = both[i]->get(SHM_KEY + 1, 5000, IPC_CREAT | 0640);
			char *memory;

			ASSERT_LE(0, id);
			memory = both[i]->attach(id, NULL, 0);
			ASSERT_NE(SHM_FAILED, memory);
			memset(memory, 1, 5000);
			ASSERT_EQ(0, both[i]->set(id, 17, 18, 0604));
			ASSERT_EQ(0, shm_table_header(both[i], headers[i], sizeof(headers[i])));
			ASSERT_EQ(0, shm_table_row(both[i], id, &rows[i], lines[i], sizeof(lines[i])));
			ASSERT_EQ(0, both[i]->detach(memory));
			ASSERT_EQ(0, both[i]->rmid(id));
		}
	} while (time(NULL) != second);
	EXPECT_STREQ(headers[0], headers[1]);
	/* But for the id, which tells of earlier segments, the line is the same to the letter. */
	for (i = 0; i < 2; i++)
		memset(lines[i] + 11, '#', 10);
	EXPECT_STREQ(lines[0], lines[1]);
}

TEST_F(abi, table_can_be_read_in_small_pieces)
{
	static char whole[65536], pieces[65536];
	const size_t steps[] = { 1, 7, 100, 4096 };
	ssize_t length;
	unsigned int i;
	int ids[301] = { self->id };

	for (i = 0; i < 300; i++) {
		ids[i + 1] = shm_rust.get(SHM_KEY + 1 + i, 4096 * (i + 1), IPC_CREAT | 0600);
		ASSERT_LE(0, ids[i + 1]);
	}
	length = read_all(self->fd, whole, sizeof(whole), sizeof(whole));
	/* The header, and 301 lines. */
	ASSERT_LT(300 * 150, length);
	ASSERT_EQ('\n', whole[length - 1]);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
		ASSERT_EQ(length, read_all(self->fd, pieces, sizeof(pieces), steps[i]));
		ASSERT_EQ(0, memcmp(whole, pieces, length));
	}
	for (i = 0; i < 301; i++) {
		struct shm_row row;

		ASSERT_EQ(0, shm_table_row(&shm_rust, ids[i], &row, NULL, 0));
		EXPECT_EQ(SHM_KEY + (int)i, row.key);
	}
}

TEST_F(abi, table_can_be_read_from_any_offset)
{
	static char whole[4096];
	char piece[64];
	ssize_t length;
	off_t offset;

	length = read_all(self->fd, whole, sizeof(whole), sizeof(whole));
	ASSERT_LT(200, length);
	EXPECT_EQ(length, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(0, read(self->fd, piece, sizeof(piece)))
		TH_LOG("the end is not the end");
	for (offset = length - 1; offset >= 0; offset -= 13) {
		ssize_t expected = length - offset < 20 ? length - offset : 20;

		ASSERT_EQ(expected, pread(self->fd, piece, 20, offset));
		ASSERT_EQ(0, memcmp(whole + offset, piece, expected));
	}
	EXPECT_EQ(length, lseek(self->fd, 0, SEEK_CUR))
		TH_LOG("pread(2) moved the offset");
	ASSERT_EQ(50, lseek(self->fd, 50, SEEK_SET));
	ASSERT_EQ(10, read(self->fd, piece, 10));
	EXPECT_EQ(0, memcmp(whole + 50, piece, 10));
	EXPECT_EQ(0, pread(self->fd, piece, sizeof(piece), length));
	EXPECT_EQ(0, pread(self->fd, piece, sizeof(piece), 1 << 30));
	EXPECT_EQ(0, read(self->fd, piece, 0));
	EXPECT_ERRNO(EINVAL, pread(self->fd, piece, sizeof(piece), -1));
}

TEST_F(abi, table_is_read_afresh_from_the_start)
{
	char text[4096];
	ssize_t one, two;

	one = read_all(self->fd, text, sizeof(text), sizeof(text));
	ASSERT_LE(0, shm_rust.get(SHM_KEY + 1, 4096, IPC_CREAT | 0600));
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	two = read_all(self->fd, text, sizeof(text), sizeof(text));
	EXPECT_LT(one, two);
	ASSERT_EQ(2, shm_remove_all(&shm_rust));
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	EXPECT_EQ(sizeof(header) - 1, read_all(self->fd, text, sizeof(text), sizeof(text)));
}

TEST_F(abi, table_into_bad_memory_is_efault)
{
	EXPECT_ERRNO(EFAULT, read(self->fd, self->half + self->page, 100));
	ASSERT_EQ(0, mprotect(self->readonly, self->page, PROT_READ));
	EXPECT_ERRNO(EFAULT, pread(self->fd, self->readonly, 100, 0));
}

TEST_F(abi, table_needs_no_permission)
{
	struct shm_row row;

	ASSERT_EQ(0, shm_rust.set(self->id, 0, 0, 0));
	SHM_CHILD {
		ASSERT_EQ(0, setresuid(54321, 54321, 54321));
		EXPECT_EQ(0, shm_table_row(&shm_rust, self->id, &row, NULL, 0));
		EXPECT_EQ(SHM_KEY, row.key);
	}
}

TEST_HARNESS_MAIN
