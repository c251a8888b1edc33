// SPDX-License-Identifier: GPL-2.0
/*
 * What a system call does in a namespace that is served, as the functions of ipc/shm.c and ipc/syscall.c: takes what user space gives,
 * has the registry do it (struct rust_shm_calls), and lays out the answer.
 */
#include "served_calls.h"

#include <linux/compat.h>
#include <linux/highuid.h>
#include <linux/ipc.h>
#include <linux/ptrace.h>
#include <linux/shm.h>
#include <linux/uaccess.h>

#include <uapi/linux/shm.h>
#include <uapi/rust_shm.h>

#if RUST_SHM_CAN_SERVE

/* Structures: as copy_shmid_to_user() and its kin in ipc/shm.c, and those for 32-bit programs there and in ipc/compat.c. */

#ifdef CONFIG_COMPAT
struct compat_ipc_perm {
	key_t key;
	__compat_uid_t uid;
	__compat_gid_t gid;
	__compat_uid_t cuid;
	__compat_gid_t cgid;
	compat_mode_t mode;
	unsigned short seq;
};

struct compat_shmid_ds {
	struct compat_ipc_perm shm_perm;
	int shm_segsz;
	old_time32_t shm_atime;
	old_time32_t shm_dtime;
	old_time32_t shm_ctime;
	compat_ipc_pid_t shm_cpid;
	compat_ipc_pid_t shm_lpid;
	unsigned short shm_nattch;
	unsigned short shm_unused;
	compat_uptr_t shm_unused2;
	compat_uptr_t shm_unused3;
};

struct compat_shminfo64 {
	compat_ulong_t shmmax;
	compat_ulong_t shmmin;
	compat_ulong_t shmmni;
	compat_ulong_t shmseg;
	compat_ulong_t shmall;
	compat_ulong_t __unused[4];
};

struct compat_shm_info {
	compat_int_t used_ids;
	compat_ulong_t shm_tot, shm_rss, shm_swp;
	compat_ulong_t swap_attempts, swap_successes;
};
#endif

/* The fields that all layouts have under the same names. A narrower one takes the lower bits. */

#define FILL_STAT(out, from) do {					\
	memset(&(out), 0, sizeof(out));					\
	(out).shm_perm.key = (from)->key;				\
	SET_UID((out).shm_perm.uid, (from)->uid);			\
	SET_GID((out).shm_perm.gid, (from)->gid);			\
	SET_UID((out).shm_perm.cuid, (from)->cuid);			\
	SET_GID((out).shm_perm.cgid, (from)->cgid);			\
	(out).shm_perm.mode = (from)->mode;				\
	(out).shm_perm.seq = (from)->seq;				\
	(out).shm_segsz = (from)->segsz;				\
	(out).shm_atime = (from)->atime;				\
	(out).shm_dtime = (from)->dtime;				\
	(out).shm_ctime = (from)->ctime;				\
	(out).shm_cpid = (from)->cpid;					\
	(out).shm_lpid = (from)->lpid;					\
	(out).shm_nattch = (from)->nattch;				\
} while (0)

#define FILL_LIMITS(out, from, most) do {				\
	memset(&(out), 0, sizeof(out));					\
	(out).shmmax = min_t(u64, (from)->shmmax, (most));		\
	(out).shmmin = (from)->shmmin;					\
	(out).shmmni = (from)->shmmni;					\
	(out).shmseg = (from)->shmseg;					\
	(out).shmall = (from)->shmall;					\
} while (0)

#define FILL_USAGE(out, from) do {					\
	memset(&(out), 0, sizeof(out));					\
	(out).used_ids = (from)->used_ids;				\
	(out).shm_tot = (from)->shm_tot;				\
	(out).shm_rss = (from)->shm_rss;				\
	(out).shm_swp = (from)->shm_swp;				\
} while (0)

#define FILL_SET(to, perm) do {						\
	(to)->uid = (perm).uid;						\
	(to)->gid = (perm).gid;						\
	(to)->mode = (perm).mode;					\
} while (0)

static bool put_stat(void __user *to, const struct rust_shm_stat *from, enum rust_shm_layout layout)
{
	if (layout == NATIVE) {
		struct shmid64_ds out;

		FILL_STAT(out, from);
		return !copy_to_user(to, &out, sizeof(out));
	}
#ifdef CONFIG_COMPAT
	if (layout == COMPAT_64) {
		struct compat_shmid64_ds out;

		FILL_STAT(out, from);
		out.shm_atime_high = upper_32_bits(from->atime);
		out.shm_dtime_high = upper_32_bits(from->dtime);
		out.shm_ctime_high = upper_32_bits(from->ctime);
		return !copy_to_user(to, &out, sizeof(out));
	} else {
		struct compat_shmid_ds out;

		FILL_STAT(out, from);
		return !copy_to_user(to, &out, sizeof(out));
	}
#endif
	return false;
}

/* Reads what IPC_SET sets. */
static bool get_stat(struct rust_shm_stat *to, const void __user *from, enum rust_shm_layout layout)
{
	memset(to, 0, sizeof(*to));
	if (layout == NATIVE) {
		struct shmid64_ds in;

		if (copy_from_user(&in, from, sizeof(in)))
			return false;
		FILL_SET(to, in.shm_perm);
		return true;
	}
#ifdef CONFIG_COMPAT
	/* The rest of the structure is not read. */
	if (layout == COMPAT_64) {
		struct compat_ipc64_perm in;

		if (copy_from_user(&in, from, sizeof(in)))
			return false;
		FILL_SET(to, in);
		return true;
	} else {
		struct compat_ipc_perm in;

		if (copy_from_user(&in, from, sizeof(in)))
			return false;
		FILL_SET(to, in);
		return true;
	}
#endif
	return false;
}

static bool put_limits(void __user *to, const struct rust_shm_limits *from, enum rust_shm_layout layout)
{
	if (layout == NATIVE) {
		struct shminfo64 out;

		FILL_LIMITS(out, from, U64_MAX);
		return !copy_to_user(to, &out, sizeof(out));
	}
#ifdef CONFIG_COMPAT
	if (layout == COMPAT_64) {
		struct compat_shminfo64 out;

		FILL_LIMITS(out, from, INT_MAX);
		return !copy_to_user(to, &out, sizeof(out));
	} else {
		struct shminfo out;

		FILL_LIMITS(out, from, INT_MAX);
		return !copy_to_user(to, &out, sizeof(out));
	}
#endif
	return false;
}

static bool put_usage(void __user *to, const struct rust_shm_usage *from, enum rust_shm_layout layout)
{
	if (layout == NATIVE) {
		struct shm_info out;

		FILL_USAGE(out, from);
		return !copy_to_user(to, &out, sizeof(out));
	}
#ifdef CONFIG_COMPAT
	{
		struct compat_shm_info out;

		FILL_USAGE(out, from);
		return !copy_to_user(to, &out, sizeof(out));
	}
#endif
	return false;
}

long rust_shm_shmctl(const struct rust_shm_served *served, int id, int cmd, void __user *buf, enum rust_shm_layout layout)
{
	const struct rust_shm_calls *calls = served->calls;
	union {
		struct rust_shm_stat stat;
		struct rust_shm_limits limits;
		struct rust_shm_usage usage;
	} u;
	long result;

	if (cmd < 0 || id < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
		result = calls->limits(served, &u.limits);
		if (result >= 0 && !put_limits(buf, &u.limits, layout))
			result = -EFAULT;
		return result;
	case SHM_INFO:
		result = calls->usage(served, &u.usage);
		if (result >= 0 && !put_usage(buf, &u.usage, layout))
			result = -EFAULT;
		return result;
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		result = calls->stat(served, id, cmd, &u.stat);
		if (result >= 0 && !put_stat(buf, &u.stat, layout))
			result = -EFAULT;
		return result;
	case IPC_SET:
		if (!get_stat(&u.stat, buf, layout))
			return -EFAULT;
		return calls->set(served, id, &u.stat);
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		return calls->control(served, id, cmd);
	default:
		return -EINVAL;
	}
}

long rust_shm_shmat(const struct rust_shm_served *served, int id, unsigned long at, int flags, bool compat)
{
	unsigned long address;
	long error = served->calls->attach(served, id, at, flags, compat, &address);

	if (error)
		return error;
	force_successful_syscall_return();
	return address;
}

long rust_shm_shmdt(const struct rust_shm_served *served, unsigned long at)
{
	long error = served->calls->detach(served, at);

	return IS_ENABLED(CONFIG_SYSVIPC) && error == -EINVAL ? RUST_SHM_PASS : error;
}

#ifdef CONFIG_COMPAT
long rust_shm_old_shmctl(const struct rust_shm_served *served, int id, int cmd, compat_uptr_t buf)
{
	return rust_shm_shmctl(served, id, cmd & ~IPC_64, compat_ptr(buf), cmd & IPC_64 ? COMPAT_64 : COMPAT_OLD);
}
#endif

#ifdef CONFIG_IA32_EMULATION
long rust_shm_ipc(const struct rust_shm_served *served, u32 call, int first, int second, u32 third, u32 ptr)
{
	unsigned long address;
	long error;

	switch (call & 0xffff) {
	case SHMAT:
		if (call >> 16 == 1)
			return -EINVAL;
		error = served->calls->attach(served, first, ptr, second, true, &address);
		if (error)
			return error;
		return put_user(address, (compat_ulong_t __user *)compat_ptr(third));
	case SHMDT:
		return rust_shm_shmdt(served, ptr);
	case SHMGET:
		return served->calls->get(served, first, (unsigned int)second, third);
	default:
		return rust_shm_old_shmctl(served, first, second, ptr);
	}
}
#endif

#endif
