/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Becoming somebody else: users, groups, capabilities, user namespaces. For test programs, which include the harness first; the caller is
 * root, in a child of its own.
 */
#ifndef RUST_SHM_SELFTESTS_USER_H
#define RUST_SHM_SELFTESTS_USER_H

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "shm_backend.h"

#define CAPABILITY(number) (1U << (number))

/* Become someone without privileges, with one supplementary group, or none (0). */
static inline void become(struct __test_metadata *_metadata, uid_t uid, gid_t gid, gid_t supplementary)
{
	ASSERT_EQ(0, setgroups(supplementary ? 1 : 0, &supplementary));
	ASSERT_EQ(0, setresgid(gid, gid, gid));
	ASSERT_EQ(0, setresuid(uid, uid, uid));
}

/* Give up all capabilities but these, of the first 32. */
static inline void only_capabilities(struct __test_metadata *_metadata, unsigned int mask)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	ASSERT_EQ(0, syscall(SYS_capget, &header, data));
	data[0].permitted &= mask;
	data[0].effective = data[0].permitted;
	data[0].inheritable = 0;
	memset(&data[1], 0, sizeof(data[1]));
	ASSERT_EQ(0, syscall(SYS_capset, &header, data));
}

/* Become someone who has just these capabilities. */
static inline void become_with(struct __test_metadata *_metadata, uid_t uid, gid_t gid, unsigned int mask)
{
	ASSERT_EQ(0, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	become(_metadata, uid, gid, 0);
	only_capabilities(_metadata, mask);
}

/*
 * Enter a new user namespace, made by owner, in which the ids 0 to 9 are the ids 1000 to 1009 of here, and become root in it. A helper
 * writes the maps: that takes privileges over the parent namespace.
 */
static inline void enter_user_namespace_of(struct __test_metadata *_metadata, uid_t owner)
{
	int ready[2];
	pid_t self = getpid(), helper;
	char path[64], byte = 0;

	ASSERT_EQ(0, setgroups(0, NULL));
	ASSERT_EQ(0, pipe(ready));
	helper = fork();
	ASSERT_LE(0, helper);
	if (!helper) {
		if (read(ready[0], &byte, 1) != 1)
			_exit(1);
		snprintf(path, sizeof(path), "/proc/%d/uid_map", self);
		if (shm_write_file(path, "0 1000 10\n"))
			_exit(2);
		snprintf(path, sizeof(path), "/proc/%d/gid_map", self);
		_exit(shm_write_file(path, "0 1000 10\n") ? 3 : 0);
	}
	if (owner) {
		ASSERT_EQ(0, setresuid(owner, owner, owner));
	}
	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	ASSERT_EQ(1, write(ready[1], &byte, 1));
	ASSERT_EQ(0, shm_wait(helper));
	close(ready[0]);
	close(ready[1]);
	ASSERT_EQ(0, setresgid(0, 0, 0));
	ASSERT_EQ(0, setresuid(0, 0, 0));
}

static inline void enter_user_namespace(struct __test_metadata *_metadata)
{
	enter_user_namespace_of(_metadata, 0);
}

#endif /* RUST_SHM_SELFTESTS_USER_H */
