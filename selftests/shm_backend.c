// SPDX-License-Identifier: GPL-2.0
/* The two implementations of struct shm_backend, and what tests of both share. See shm_backend.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asm/shmbuf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "shm_backend.h"

/*
 * The built-in, by raw system calls: a C library may check arguments on its own, and the kernel's answer is wanted. So the structures
 * are the kernel's too; glibc's struct shmid_ds is another one for a 32-bit program with a 64-bit time_t. On x86 the bytes are the same.
 *
 * Or, with RUST_SHM_THROUGH_LIBC in the environment, by the functions of libc, which tools/preload has put its own before: then what is
 * tested is the module again, but by programs that know nothing of it, against what is expected of the built-in. Whoever makes one of
 * the system calls is killed then.
 *
 * Or, with RUST_SHM_SERVED in the environment, by the same system calls in namespaces that the module serves.
 */

static bool through_libc, served;

/* Where the kernel has a table of its own, that does not show what is served; else the module makes this file. */
static char builtin_table[] = "/proc/sysvipc/shm";

bool shm_is_served(void)
{
	return served;
}

int shm_forbid_builtin(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmget, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmat, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmdt, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmctl, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
#ifdef __i386__
	/* What glibc calls on old kernels, for semaphores and messages too. */
	struct sock_filter old[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ipc, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog old_program = { sizeof(old) / sizeof(*old), old };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &old_program))
		return -1;
#endif
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

__attribute__((constructor)) static void choose(void)
{
	served = getenv("RUST_SHM_SERVED");
	if (served && !access("/proc/sysvipc/msg", F_OK))
		strcpy(builtin_table, RUST_SHM_DEVICE);
	through_libc = getenv("RUST_SHM_THROUGH_LIBC");
	if (through_libc && shm_forbid_builtin()) {
		perror("seccomp");
		_exit(1);
	}
}

static int builtin_get(key_t key, size_t size, int flags)
{
	return through_libc ? shmget(key, size, flags) : syscall(SYS_shmget, key, size, flags);
}

static void *builtin_attach(int id, const void *addr, int flags)
{
	return through_libc ? shmat(id, addr, flags) : (void *)syscall(SYS_shmat, id, addr, flags);
}

static int builtin_detach(const void *addr)
{
	return through_libc ? shmdt(addr) : syscall(SYS_shmdt, addr);
}

static int builtin_ctl(int id, int cmd, void *arg)
{
	return through_libc ? shmctl(id, cmd, arg) : syscall(SYS_shmctl, id, cmd | SHM_STRUCTURES, arg);
}

static int builtin_missing(void)
{
	if (served)
		return shm_can_serve() ? 0 : ENOSYS;
	errno = 0;
	return builtin_ctl(-1, IPC_RMID, NULL) < 0 && errno == ENOSYS ? ENOSYS : 0;
}

/* 32-bit programs get their times in two halves. */
#if __BITS_PER_LONG == 64
#define SHM_TIME(ds, field) ((ds).shm_##field)
#else
#define SHM_TIME(ds, field) ((int64_t)((uint64_t)(ds).shm_##field##_high << 32 | (ds).shm_##field))
#endif

static int builtin_stat_by(int id, int cmd, struct rust_shm_stat *stat)
{
	struct shmid64_ds ds;
	struct shm_row row;
	int result, saved;

	memset(&ds, 0, sizeof(ds));
	result = builtin_ctl(id, cmd, &ds);
	if (result < 0)
		return result;

	*stat = (struct rust_shm_stat) {
		.key = ds.shm_perm.key,
		.uid = ds.shm_perm.uid,
		.gid = ds.shm_perm.gid,
		.cuid = ds.shm_perm.cuid,
		.cgid = ds.shm_perm.cgid,
		.mode = ds.shm_perm.mode,
		.cpid = ds.shm_cpid,
		.lpid = ds.shm_lpid,
		.segsz = ds.shm_segsz,
		.nattch = ds.shm_nattch,
		.atime = SHM_TIME(ds, atime),
		.dtime = SHM_TIME(ds, dtime),
		.ctime = SHM_TIME(ds, ctime),
		.seq = ds.shm_perm.seq,
	};

	/* To read the table takes long where there are many. What nobody has ever attached has no pages. */
	saved = errno;
	if (stat->atime && !shm_table_row(&shm_builtin, cmd == IPC_STAT ? id : result, &row, NULL, 0)) {
		stat->rss = row.rss;
		stat->swap = row.swap;
	}
	errno = saved;
	return result;
}

static int builtin_stat(int id, struct rust_shm_stat *stat)
{
	return builtin_stat_by(id, IPC_STAT, stat);
}

static int builtin_stat_index(int index, struct rust_shm_stat *stat)
{
	return builtin_stat_by(index, SHM_STAT, stat);
}

static int builtin_stat_any(int index, struct rust_shm_stat *stat)
{
	return builtin_stat_by(index, SHM_STAT_ANY, stat);
}

static int builtin_set(int id, uid_t uid, gid_t gid, unsigned int mode)
{
	struct shmid64_ds ds;

	memset(&ds, 0, sizeof(ds));
	ds.shm_perm.uid = uid;
	ds.shm_perm.gid = gid;
	ds.shm_perm.mode = mode;
	return builtin_ctl(id, IPC_SET, &ds);
}

static int builtin_rmid(int id)
{
	return builtin_ctl(id, IPC_RMID, NULL);
}

static int builtin_ipc_info(struct rust_shm_limits *limits)
{
	struct shminfo64 info;
	int result;

	memset(&info, 0, sizeof(info));
	result = builtin_ctl(0, IPC_INFO, &info);
	if (result < 0)
		return result;

	*limits = (struct rust_shm_limits) {
		.shmmax = info.shmmax,
		.shmmin = info.shmmin,
		.shmmni = info.shmmni,
		.shmseg = info.shmseg,
		.shmall = info.shmall,
	};
	return result;
}

static int builtin_shm_info(struct rust_shm_usage *usage)
{
	struct shm_info info;
	int result;

	memset(&info, 0, sizeof(info));
	result = builtin_ctl(0, SHM_INFO, &info);
	if (result < 0)
		return result;

	*usage = (struct rust_shm_usage) {
		.used_ids = info.used_ids,
		.shm_tot = info.shm_tot,
		.shm_rss = info.shm_rss,
		.shm_swp = info.shm_swp,
		.swap_attempts = info.swap_attempts,
		.swap_successes = info.swap_successes,
	};
	return result;
}

const struct shm_backend shm_builtin = {
	.name = "builtin",
	.table = builtin_table,
	.missing = builtin_missing,
	.get = builtin_get,
	.attach = builtin_attach,
	.detach = builtin_detach,
	.stat = builtin_stat,
	.stat_index = builtin_stat_index,
	.stat_any = builtin_stat_any,
	.set = builtin_set,
	.rmid = builtin_rmid,
	.ipc_info = builtin_ipc_info,
	.shm_info = builtin_shm_info,
	.ctl = builtin_ctl,
};

/*
 * The module.
 */

static int rust_fd = -1;

int shm_rust_fd(void)
{
	if (rust_fd < 0 || fcntl(rust_fd, F_GETFD) < 0)
		rust_fd = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC);
	return rust_fd;
}

void shm_rust_use_fd(int fd)
{
	rust_fd = fd;
}

int shm_rust_ioctl(unsigned long request, void *arg)
{
	int fd = shm_rust_fd();

	return fd < 0 ? -1 : ioctl(fd, request, arg);
}

int shm_serve(unsigned int op)
{
	struct rust_shm_serve serve = { .op = op };

	return shm_rust_ioctl(RUST_SHM_IOC_SERVE, &serve);
}

bool shm_can_serve(void)
{
	struct rust_shm_version version;

	return !shm_rust_ioctl(RUST_SHM_IOC_VERSION, &version) && version.features & RUST_SHM_FEATURE_SERVE;
}

bool shm_kernel_before(const char *release)
{
	struct utsname kernel;

	return !uname(&kernel) && strverscmp(kernel.release, release) < 0;
}

int shm_unshare(int flags)
{
	int result = unshare(flags), saved = errno;

	/* Who may not switch it on has a namespace without. */
	if (!result && served && flags & CLONE_NEWIPC)
		shm_serve(RUST_SHM_SERVE_ON);
	errno = saved;
	return result;
}

static int rust_missing(void)
{
	struct rust_shm_version version;

	return shm_rust_ioctl(RUST_SHM_IOC_VERSION, &version) < 0 ? errno : 0;
}

static int rust_get(key_t key, size_t size, int flags)
{
	struct rust_shm_get get = { .key = key, .flags = flags, .size = size };

	return shm_rust_ioctl(RUST_SHM_IOC_GET, &get);
}

static void *rust_attach(int id, const void *addr, int flags)
{
	struct rust_shm_attach attach = { .id = id, .flags = flags, .addr = (uintptr_t)addr };

	if (shm_rust_ioctl(RUST_SHM_IOC_ATTACH, &attach) < 0)
		return SHM_FAILED;
	return (void *)(uintptr_t)attach.addr;
}

static int rust_detach(const void *addr)
{
	struct rust_shm_detach detach = { .addr = (uintptr_t)addr };

	return shm_rust_ioctl(RUST_SHM_IOC_DETACH, &detach);
}

static int rust_ctl(int id, int cmd, void *arg)
{
	struct rust_shm_ctl ctl = { .id = id, .cmd = cmd, .arg = (uintptr_t)arg };

	switch (cmd) {
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		ctl.arg_size = 0;
		break;
	case IPC_INFO:
		ctl.arg_size = sizeof(struct rust_shm_limits);
		break;
	case SHM_INFO:
		ctl.arg_size = sizeof(struct rust_shm_usage);
		break;
	default:
		ctl.arg_size = sizeof(struct rust_shm_stat);
		break;
	}
	return shm_rust_ioctl(RUST_SHM_IOC_CTL, &ctl);
}

int shm_rust_stat_huge(int id, struct rust_shm_stat *stat)
{
	struct rust_shm_ctl ctl = {
		.id = id, .cmd = IPC_STAT, .arg = (uintptr_t)stat, .arg_size = sizeof(*stat), .flags = RUST_SHM_CTL_HUGE,
	};

	return shm_rust_ioctl(RUST_SHM_IOC_CTL, &ctl);
}

static int rust_stat(int id, struct rust_shm_stat *stat)
{
	return rust_ctl(id, IPC_STAT, stat);
}

static int rust_stat_index(int index, struct rust_shm_stat *stat)
{
	return rust_ctl(index, SHM_STAT, stat);
}

static int rust_stat_any(int index, struct rust_shm_stat *stat)
{
	return rust_ctl(index, SHM_STAT_ANY, stat);
}

static int rust_set(int id, uid_t uid, gid_t gid, unsigned int mode)
{
	struct rust_shm_stat stat = { .uid = uid, .gid = gid, .mode = mode };

	return rust_ctl(id, IPC_SET, &stat);
}

static int rust_rmid(int id)
{
	return rust_ctl(id, IPC_RMID, NULL);
}

static int rust_ipc_info(struct rust_shm_limits *limits)
{
	return rust_ctl(0, IPC_INFO, limits);
}

static int rust_usage(struct rust_shm_usage *usage)
{
	return rust_ctl(0, SHM_INFO, usage);
}

const struct shm_backend shm_rust = {
	.name = "rust_shm",
	.table = RUST_SHM_DEVICE,
	.missing = rust_missing,
	.get = rust_get,
	.attach = rust_attach,
	.detach = rust_detach,
	.stat = rust_stat,
	.stat_index = rust_stat_index,
	.stat_any = rust_stat_any,
	.set = rust_set,
	.rmid = rust_rmid,
	.ipc_info = rust_ipc_info,
	.shm_info = rust_usage,
	.ctl = rust_ctl,
};

/*
 * What tests of both share.
 */

static int parse_row(const char *text, struct shm_row *row)
{
	int fields = sscanf(text, "%d %d %o %llu %u %u %llu %u %u %u %u %llu %llu %llu %llu %llu", &row->key, &row->id, &row->mode, &row->size,
			    &row->cpid, &row->lpid, &row->nattch, &row->uid, &row->gid, &row->cuid, &row->cgid, &row->atime,
			    &row->dtime, &row->ctime, &row->rss, &row->swap);

	return fields == 16 ? 0 : -1;
}

int shm_table_row(const struct shm_backend *shm, int id, struct shm_row *row, char *text, size_t size)
{
	char line[512];
	int result = -1;
	FILE *file = fopen(shm->table, "re");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (!parse_row(line, row) && row->id == id) {
			if (text)
				snprintf(text, size, "%s", line);
			result = 0;
			break;
		}
	}
	fclose(file);
	return result;
}

int shm_table_header(const struct shm_backend *shm, char *text, size_t size)
{
	FILE *file = fopen(shm->table, "re");
	int result;

	if (!file)
		return -1;
	result = fgets(text, size, file) ? 0 : -1;
	fclose(file);
	return result;
}

static const struct {
	const char *name;
	unsigned long long value;
} limits[] = {
	{ "shmmax", ULLONG_MAX - (1 << 24) },
	{ "shmall", ULLONG_MAX - (1 << 24) },
	{ "shmmni", 4096 },
};

bool shm_limits_are_parameters(void)
{
	return access("/proc/sys/kernel/shmmni", F_OK) && errno == ENOENT;
}

/* What a new namespace would have, where the limits are those of all. */
static int reset_limits(void)
{
	unsigned int i;

	if (!shm_limits_are_parameters())
		return 0;
	for (i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		if (shm_sysctl_read(limits[i].name) != limits[i].value && shm_sysctl_write(limits[i].name, limits[i].value))
			return errno;
	}
	return 0;
}

int shm_new_namespace(const struct shm_backend *shm)
{
	if (!shm_unshare(CLONE_NEWIPC)) {
		if (served && shm == &shm_builtin && shm_serve(RUST_SHM_SERVE_ASK) != 1)
			return EOPNOTSUPP;
		return reset_limits();
	}
	if (errno != EINVAL)
		return errno;
	shm_remove_all(shm);
	return reset_limits();
}

int shm_remove_all(const struct shm_backend *shm)
{
	struct rust_shm_usage usage;
	struct rust_shm_stat stat;
	int highest, index, id, removed = 0;

	highest = shm->shm_info(&usage);
	for (index = 0; index <= highest; index++) {
		id = shm->stat_any(index, &stat);
		if (id >= 0 && !shm->rmid(id))
			removed++;
	}
	return removed;
}

long shm_count(const struct shm_backend *shm)
{
	struct rust_shm_usage usage;

	return shm->shm_info(&usage) < 0 ? -1 : (long)usage.used_ids;
}

long shm_nattch(const struct shm_backend *shm, int id)
{
	struct rust_shm_stat stat;

	return shm->stat(id, &stat) < 0 ? -1 : (long)stat.nattch;
}

int shm_write_file(const char *path, const char *text)
{
	ssize_t length = strlen(text);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;
	int saved;

	if (fd < 0)
		return -1;
	written = write(fd, text, length);
	saved = errno;
	close(fd);
	errno = saved;
	return written == length ? 0 : -1;
}

static void sysctl_path(char *path, size_t size, const char *name)
{
	const char *directory = "/proc/sys/kernel";
	unsigned int i;

	for (i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		if (!strcmp(name, limits[i].name) && shm_limits_are_parameters())
			directory = SHM_PARAMETERS;
	}
	snprintf(path, size, "%s/%s", directory, name);
}

int shm_sysctl_write(const char *name, unsigned long long value)
{
	char path[128], text[32];

	sysctl_path(path, sizeof(path), name);
	snprintf(text, sizeof(text), "%llu\n", value);
	return shm_write_file(path, text);
}

unsigned long long shm_sysctl_read(const char *name)
{
	char path[128], text[32];
	unsigned long long value = -1;
	FILE *file;

	sysctl_path(path, sizeof(path), name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fgets(text, sizeof(text), file))
		value = strtoull(text, NULL, 10);
	fclose(file);
	return value;
}

int shm_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}
