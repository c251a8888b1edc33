// SPDX-License-Identifier: GPL-2.0
/* Who may do what: users, groups and capabilities against the nine bits, and against ownership. */
#include "kselftest_harness.h"

#include "shm_backend.h"
#include "user.h"

/*
 * The cast. The segment is made by CREATOR (of CREATOR_GROUP) and then given to OWNER and OWNER_GROUP. MEMBER is in neither group by
 * its own gid.
 */
enum {
	CREATOR = 1001,
	OWNER = 1002,
	MEMBER = 1003,
	STRANGER = 1004,
	CREATOR_GROUP = 2001,
	OWNER_GROUP = 2002,
	OTHER_GROUP = 2003,
};

FIXTURE(permission)
{
	const struct shm_backend *shm;
	int id;
};
SHM_BOTH(permission)

FIXTURE_SETUP(permission)
{
	self->shm = variant->shm;
	SHM_ENTER(self->shm);
	ASSERT_EQ(0, geteuid())
		TH_LOG("these tests change users: run them as root");
	SHM_CHILD {
		become(_metadata, CREATOR, CREATOR_GROUP, 0);
		ASSERT_LE(0, self->shm->get(SHM_KEY, 4096, IPC_CREAT | IPC_EXCL | 0777));
	}
	self->id = self->shm->get(SHM_KEY, 0, 0);
	ASSERT_LE(0, self->id);
	ASSERT_EQ(0, self->shm->set(self->id, OWNER, OWNER_GROUP, 0777));
}

FIXTURE_TEARDOWN(permission)
{
	SHM_LEAVE(self->shm);
}

#define MODE(mode) ASSERT_EQ(0, self->shm->set(self->id, OWNER, OWNER_GROUP, mode))

/* May the caller attach it so? Undone at once. */
static bool attaches(const struct shm_backend *shm, int id, int flags)
{
	void *memory = shm->attach(id, NULL, flags);

	if (memory == SHM_FAILED)
		return false;
	shm->detach(memory);
	return true;
}

#define EXPECT_READS() do { \
	struct rust_shm_stat __stat; \
	EXPECT_EQ(0, self->shm->stat(self->id, &__stat)); \
	EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0400)); \
	EXPECT_TRUE(attaches(self->shm, self->id, SHM_RDONLY)); \
} while (0)

#define EXPECT_READS_NOT() do { \
	struct rust_shm_stat __stat; \
	EXPECT_ERRNO(EACCES, self->shm->stat(self->id, &__stat)); \
	EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0400)); \
	EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, SHM_RDONLY)); \
} while (0)

#define EXPECT_WRITES() do { \
	EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0200)); \
	EXPECT_TRUE(attaches(self->shm, self->id, 0)); \
} while (0)

#define EXPECT_WRITES_NOT() do { \
	EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0200)); \
	EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, 0)); \
} while (0)

TEST_F(permission, owner_has_the_owner_bits)
{
	MODE(0600);
	SHM_CHILD {
		become(_metadata, OWNER, OTHER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES();
	}
	MODE(0400);
	SHM_CHILD {
		become(_metadata, OWNER, OTHER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES_NOT();
	}
}

TEST_F(permission, creator_has_the_owner_bits_too)
{
	MODE(0600);
	SHM_CHILD {
		become(_metadata, CREATOR, OTHER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES();
	}
	MODE(0400);
	SHM_CHILD {
		become(_metadata, CREATOR, OTHER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES_NOT();
	}
}

TEST_F(permission, owner_is_not_helped_by_the_other_bits)
{
	MODE(0077);
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, CREATOR_GROUP);
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
	}
	SHM_CHILD {
		become(_metadata, CREATOR, CREATOR_GROUP, OWNER_GROUP);
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
	}
}

TEST_F(permission, group_of_the_owner_has_the_group_bits)
{
	MODE(0040);
	SHM_CHILD {
		become(_metadata, MEMBER, OWNER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES_NOT();
	}
	MODE(0060);
	SHM_CHILD {
		become(_metadata, MEMBER, OWNER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES();
	}
}

TEST_F(permission, group_of_the_creator_has_the_group_bits_too)
{
	MODE(0040);
	SHM_CHILD {
		become(_metadata, MEMBER, CREATOR_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES_NOT();
	}
}

TEST_F(permission, supplementary_groups_count)
{
	MODE(0060);
	SHM_CHILD {
		become(_metadata, MEMBER, OTHER_GROUP, OWNER_GROUP);
		EXPECT_READS();
		EXPECT_WRITES();
	}
	SHM_CHILD {
		become(_metadata, MEMBER, OTHER_GROUP, CREATOR_GROUP);
		EXPECT_READS();
		EXPECT_WRITES();
	}
	SHM_CHILD {
		become(_metadata, MEMBER, OTHER_GROUP, OTHER_GROUP);
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
	}
}

TEST_F(permission, group_is_not_helped_by_the_other_bits)
{
	MODE(0707);
	SHM_CHILD {
		become(_metadata, MEMBER, OWNER_GROUP, 0);
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
	}
	SHM_CHILD {
		become(_metadata, MEMBER, OTHER_GROUP, CREATOR_GROUP);
		EXPECT_READS_NOT();
	}
}

TEST_F(permission, strangers_have_the_other_bits)
{
	MODE(0004);
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_READS();
		EXPECT_WRITES_NOT();
	}
	MODE(0770);
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
	}
}

TEST_F(permission, effective_ids_count_and_real_ones_do_not)
{
	MODE(0600);
	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(OTHER_GROUP, OTHER_GROUP, OTHER_GROUP));
		ASSERT_EQ(0, setresuid(STRANGER, OWNER, STRANGER));
		EXPECT_READS();
		EXPECT_WRITES();
	}
	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(OTHER_GROUP, OTHER_GROUP, OTHER_GROUP));
		ASSERT_EQ(0, setresuid(OWNER, STRANGER, OWNER));
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
	}
	MODE(0060);
	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		ASSERT_EQ(0, setresgid(OWNER_GROUP, OTHER_GROUP, OWNER_GROUP));
		ASSERT_EQ(0, setresuid(MEMBER, MEMBER, MEMBER));
		EXPECT_READS_NOT();
	}
}

TEST_F(permission, writing_needs_reading_too)
{
	MODE(0200);
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_READS_NOT();
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, 0));
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0200))
			TH_LOG("finding it for writing is all that 0200 allows");
	}
}

TEST_F(permission, executing_needs_the_x_bit)
{
	MODE(0600);
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, SHM_EXEC));
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, SHM_EXEC | SHM_RDONLY));
	}
	MODE(0500);
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_TRUE(attaches(self->shm, self->id, SHM_EXEC | SHM_RDONLY));
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, SHM_EXEC));
	}
	MODE(0700);
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_TRUE(attaches(self->shm, self->id, SHM_EXEC));
	}
}

TEST_F(permission, bits_asked_for_in_any_place_mean_the_same)
{
	MODE(0400);
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0004));
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0040));
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0444));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0002));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0420));
		EXPECT_ERRNO(EACCES, self->shm->get(SHM_KEY, 0, 0401));
	}
}

TEST_F(permission, asking_for_nothing_is_always_granted)
{
	MODE(0);
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 0, 0));
		EXPECT_EQ(self->id, self->shm->get(SHM_KEY, 4096, IPC_CREAT));
		EXPECT_READS_NOT();
	}
}

/* What ipcperms() says, in so many words. */
static bool allowed(unsigned int mode, unsigned int asked, unsigned int class)
{
	unsigned int wanted = (asked >> 6 | asked >> 3 | asked) & 7;

	return !(wanted & ~(mode >> class));
}

TEST_F(permission, every_mode_for_every_class)
{
	const struct {
		uid_t uid;
		gid_t gid, supplementary;
		unsigned int class;
	} callers[] = {
		{ OWNER, OTHER_GROUP, 0, 6 },
		{ CREATOR, OTHER_GROUP, 0, 6 },
		{ MEMBER, OWNER_GROUP, 0, 3 },
		{ MEMBER, CREATOR_GROUP, 0, 3 },
		{ MEMBER, OTHER_GROUP, OWNER_GROUP, 3 },
		{ MEMBER, OTHER_GROUP, CREATOR_GROUP, 3 },
		{ STRANGER, OTHER_GROUP, 0, 0 },
	};
	const struct shm_backend *shm = self->shm;
	int ids[512];
	unsigned int i, mode;

	SHM_CHILD {
		become(_metadata, CREATOR, CREATOR_GROUP, 0);
		for (mode = 0; mode <= 0777; mode++)
			ASSERT_LE(0, shm->get(SHM_KEY + 1 + mode, 1, IPC_CREAT | mode));
	}
	for (mode = 0; mode <= 0777; mode++) {
		ids[mode] = shm->get(SHM_KEY + 1 + mode, 0, 0);
		ASSERT_LE(0, ids[mode]);
		ASSERT_EQ(0, shm->set(ids[mode], OWNER, OWNER_GROUP, mode));
	}
	for (i = 0; i < ARRAY_SIZE(callers); i++) {
		unsigned int class = callers[i].class;

		SHM_CHILD {
			become(_metadata, callers[i].uid, callers[i].gid, callers[i].supplementary);
			for (mode = 0; mode <= 0777; mode++) {
				key_t key = SHM_KEY + 1 + mode;
				struct rust_shm_stat stat;

				ASSERT_EQ(allowed(mode, 0400, class), shm->stat(ids[mode], &stat) == 0);
				ASSERT_EQ(allowed(mode, 0400, class), shm->get(key, 0, 0400) == ids[mode]);
				ASSERT_EQ(allowed(mode, 0200, class), shm->get(key, 0, 0200) == ids[mode]);
				ASSERT_EQ(allowed(mode, 0100, class), shm->get(key, 0, 0100) == ids[mode]);
			}
		}
	}
	/* Afterwards: the built-in's stat takes long for what was ever attached, as it reads the table. */
	for (i = 0; i < ARRAY_SIZE(callers); i++) {
		unsigned int class = callers[i].class;

		SHM_CHILD {
			become(_metadata, callers[i].uid, callers[i].gid, callers[i].supplementary);
			for (mode = 0; mode <= 0777; mode++) {
				ASSERT_EQ(allowed(mode, 0400, class), attaches(shm, ids[mode], SHM_RDONLY));
				ASSERT_EQ(allowed(mode, 0600, class), attaches(shm, ids[mode], 0));
				ASSERT_EQ(allowed(mode, 0700, class), attaches(shm, ids[mode], SHM_EXEC));
			}
		}
	}
}

TEST_F(permission, ipc_owner_capability_overrides_the_bits)
{
	struct rust_shm_stat stat;

	MODE(0);
	SHM_CHILD {
		become_with(_metadata, STRANGER, OTHER_GROUP, CAPABILITY(CAP_IPC_OWNER));
		EXPECT_READS();
		EXPECT_WRITES();
		EXPECT_TRUE(attaches(self->shm, self->id, SHM_EXEC));
		EXPECT_LE(0, self->shm->stat_index(self->id, &stat));
	}
}

TEST_F(permission, ipc_owner_capability_makes_no_owner)
{
	struct rust_shm_stat stat;

	SHM_CHILD {
		become_with(_metadata, STRANGER, OTHER_GROUP, CAPABILITY(CAP_IPC_OWNER));
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, STRANGER, OTHER_GROUP, 0777));
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
	}
	EXPECT_EQ(0, self->shm->stat(self->id, &stat));
}

TEST_F(permission, sys_admin_capability_sets_and_removes)
{
	struct rust_shm_stat stat;

	SHM_CHILD {
		become_with(_metadata, STRANGER, OTHER_GROUP, CAPABILITY(CAP_SYS_ADMIN));
		EXPECT_EQ(0, self->shm->set(self->id, OWNER, OWNER_GROUP, 0));
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
		EXPECT_EQ(0, self->shm->rmid(self->id));
	}
	EXPECT_ERRNO(EINVAL, self->shm->stat(self->id, &stat));
}

TEST_F(permission, other_capabilities_do_not_help)
{
	unsigned int rest = ~(CAPABILITY(CAP_IPC_OWNER) | CAPABILITY(CAP_SYS_ADMIN) | CAPABILITY(CAP_SETPCAP));

	MODE(0);
	SHM_CHILD {
		become_with(_metadata, STRANGER, OTHER_GROUP, rest);
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, STRANGER, OTHER_GROUP, 0777));
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
	}
}

TEST_F(permission, root_without_capabilities_is_nobody_special)
{
	int own;

	MODE(0770);
	SHM_CHILD {
		ASSERT_EQ(0, setgroups(0, NULL));
		own = self->shm->get(IPC_PRIVATE, 4096, 0600);
		ASSERT_LE(0, own);
		only_capabilities(_metadata, 0);
		ASSERT_EQ(0, geteuid());
		EXPECT_READS_NOT();
		EXPECT_WRITES_NOT();
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, 0, 0, 0777));
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
		EXPECT_EQ(0, self->shm->rmid(own))
			TH_LOG("its own segment is its own by uid");
	}
}

TEST_F(permission, owner_sets_and_removes)
{
	MODE(0);
	SHM_CHILD {
		become(_metadata, OWNER, OTHER_GROUP, 0);
		EXPECT_EQ(0, self->shm->set(self->id, OWNER, OWNER_GROUP, 0640));
		EXPECT_READS();
		EXPECT_EQ(0, self->shm->rmid(self->id));
	}
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(permission, creator_sets_and_removes)
{
	MODE(0);
	SHM_CHILD {
		become(_metadata, CREATOR, OTHER_GROUP, 0);
		EXPECT_EQ(0, self->shm->set(self->id, OWNER, OWNER_GROUP, 0640));
		EXPECT_READS();
		EXPECT_EQ(0, self->shm->rmid(self->id));
	}
	EXPECT_EQ(0, shm_count(self->shm));
}

TEST_F(permission, groups_and_strangers_neither_set_nor_remove)
{
	const struct {
		uid_t uid;
		gid_t gid, supplementary;
	} callers[] = {
		{ MEMBER, OWNER_GROUP, 0 },
		{ MEMBER, CREATOR_GROUP, 0 },
		{ MEMBER, OTHER_GROUP, OWNER_GROUP },
		{ STRANGER, OTHER_GROUP, 0 },
	};
	struct rust_shm_stat before, after;
	unsigned int i;

	ASSERT_EQ(0, self->shm->stat(self->id, &before));
	for (i = 0; i < ARRAY_SIZE(callers); i++) {
		SHM_CHILD {
			become(_metadata, callers[i].uid, callers[i].gid, callers[i].supplementary);
			EXPECT_WRITES();
			EXPECT_ERRNO(EPERM, self->shm->set(self->id, callers[i].uid, callers[i].gid, 0777));
			EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
		}
	}
	ASSERT_EQ(0, self->shm->stat(self->id, &after));
	EXPECT_EQ(OWNER, after.uid);
	EXPECT_EQ(before.mode, after.mode);
	EXPECT_EQ(before.ctime, after.ctime);
	EXPECT_EQ(SHM_KEY, after.key);
}

TEST_F(permission, creator_keeps_power_over_what_was_given_away)
{
	/* Given on, by the creator itself, to someone who then owns it; the owner of before has nothing left. */
	SHM_CHILD {
		become(_metadata, CREATOR, CREATOR_GROUP, 0);
		ASSERT_EQ(0, self->shm->set(self->id, MEMBER, OTHER_GROUP, 0600));
		EXPECT_READS();
		EXPECT_WRITES();
		EXPECT_EQ(0, self->shm->set(self->id, MEMBER, OTHER_GROUP, 0600));
	}
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_READS_NOT();
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, OWNER, OWNER_GROUP, 0600));
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
	}
	SHM_CHILD {
		become(_metadata, MEMBER, OTHER_GROUP, 0);
		EXPECT_READS();
		EXPECT_EQ(0, self->shm->set(self->id, MEMBER, OTHER_GROUP, 0400));
	}
	SHM_CHILD {
		become(_metadata, CREATOR, CREATOR_GROUP, 0);
		EXPECT_EQ(0, self->shm->rmid(self->id));
	}
}

TEST_F(permission, owner_who_gives_it_away_has_given_it_away)
{
	SHM_CHILD {
		become(_metadata, OWNER, OWNER_GROUP, 0);
		EXPECT_EQ(0, self->shm->set(self->id, STRANGER, OTHER_GROUP, 0600));
		EXPECT_READS_NOT();
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, OWNER, OWNER_GROUP, 0600));
		EXPECT_ERRNO(EPERM, self->shm->rmid(self->id));
	}
}

TEST_F(permission, einval_wins_over_eperm_for_an_unknown_id)
{
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_ERRNO(EINVAL, self->shm->rmid(self->id + 1));
		EXPECT_ERRNO(EINVAL, self->shm->set(self->id + 1, 0, 0, 0));
		EXPECT_ERRNO(EINVAL, self->shm->rmid(-1));
	}
}

TEST_F(permission, eperm_wins_over_a_bad_owner)
{
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_ERRNO(EPERM, self->shm->set(self->id, -1, -1, 0));
	}
	SHM_CHILD {
		become(_metadata, OWNER, OTHER_GROUP, 0);
		EXPECT_ERRNO(EINVAL, self->shm->set(self->id, -1, -1, 0));
	}
}

TEST_F(permission, einval_wins_over_eacces_for_a_bad_address)
{
	MODE(0);
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, (void *)0x10000001, 0));
		EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, NULL, SHM_REMAP));
		EXPECT_ERRNO(EINVAL, self->shm->attach(self->id + 1, NULL, 0));
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, 0));
	}
}

TEST_F(permission, eacces_wins_over_an_occupied_address)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	MODE(0);
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, page, 0));
	}
	EXPECT_ERRNO(EINVAL, self->shm->attach(self->id, page, 0));
}

TEST_F(permission, refused_attach_leaves_no_trace)
{
	struct rust_shm_stat stat;

	MODE(0);
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, 0));
	}
	ASSERT_EQ(0, self->shm->stat(self->id, &stat));
	EXPECT_EQ(0, stat.nattch);
	EXPECT_EQ(0, stat.atime);
	EXPECT_EQ(0, stat.lpid);
}

TEST_F(permission, what_is_attached_stays_attached)
{
	char *memory;

	MODE(0666);
	SHM_CHILD {
		become_with(_metadata, STRANGER, OTHER_GROUP, CAPABILITY(CAP_SYS_ADMIN));
		memory = self->shm->attach(self->id, NULL, 0);
		ASSERT_NE(SHM_FAILED, memory);
		ASSERT_EQ(0, self->shm->set(self->id, OWNER, OWNER_GROUP, 0));
		memory[0] = 'x';
		EXPECT_EQ('x', memory[0]);
		EXPECT_ERRNO(EACCES, self->shm->attach(self->id, NULL, SHM_RDONLY));
		EXPECT_EQ(0, self->shm->detach(memory))
			TH_LOG("detaching asks for no permission");
	}
}

TEST_F(permission, unprivileged_users_share_by_key)
{
	int id;

	SHM_CHILD {
		become(_metadata, MEMBER, OTHER_GROUP, 0);
		id = self->shm->get(SHM_KEY + 1, 4096, IPC_CREAT | 0666);
		ASSERT_LE(0, id);
		strcpy(self->shm->attach(id, NULL, 0), "hello");
	}
	SHM_CHILD {
		become(_metadata, STRANGER, OTHER_GROUP, 0);
		id = self->shm->get(SHM_KEY + 1, 4096, 0666);
		ASSERT_LE(0, id);
		EXPECT_STREQ("hello", (char *)self->shm->attach(id, NULL, SHM_RDONLY));
		EXPECT_ERRNO(EPERM, self->shm->rmid(id));
	}
}

TEST_HARNESS_MAIN
