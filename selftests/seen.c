// SPDX-License-Identifier: GPL-2.0
/*
 * What looks at system calls in a namespace where they are the module's sees them as ever: ptrace, seccomp, audit, the tracepoints of
 * system calls.
 */
#include "kselftest_harness.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "shm_backend.h"

#ifndef PTRACE_SET_SYSCALL_INFO
#define PTRACE_SET_SYSCALL_INFO 0x4212
#endif

#if defined(__i386__)
#define ARCH AUDIT_ARCH_I386
#elif defined(__arm__)
#define ARCH AUDIT_ARCH_ARM
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH AUDIT_ARCH_X86_64
#endif

FIXTURE(seen) {
};

FIXTURE_SETUP(seen)
{
	if (!shm_can_serve())
		SKIP(return, "the module serves no system calls on this kernel");
	SHM_ENTER(&shm_rust);
	ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ON));
}

/* It ends with the test's namespace. */
FIXTURE_TEARDOWN(seen)
{
}

/* Each of the calls once, and one that fails. Returns the id. */
static int call_all(struct __test_metadata *_metadata, void **memory)
{
	int id = syscall(SYS_shmget, SHM_KEY, 5000, IPC_CREAT | 0600);

	EXPECT_LE(0, id);
	*memory = (void *)syscall(SYS_shmat, id, NULL, 0);
	EXPECT_NE(SHM_FAILED, *memory);
	EXPECT_EQ(0, syscall(SYS_shmdt, *memory));
	EXPECT_ERRNO(EINVAL, syscall(SYS_shmdt, *memory));
	EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	return id;
}

/* Ptrace. */

/* A child that stops, does as it is told, and ends; traced. */
#define TRACED(pid, ...) do { \
	int __status; \
 \
	SHM_FORK(pid) { \
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) \
			_exit(1); \
		raise(SIGSTOP); \
		__VA_ARGS__; \
	} \
	ASSERT_EQ(pid, waitpid(pid, &__status, 0)); \
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)); \
} while (0)

/* Goes on to where the call begins or ends. Whether it came there; else the child's status is in info->op. */
static bool next_stop(pid_t pid, int number, struct __ptrace_syscall_info *info)
{
	static bool inside;
	int status = 0;

	while (!ptrace(PTRACE_SYSCALL, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(*info), info) <= 0)
			continue;
		if (info->op == PTRACE_SYSCALL_INFO_ENTRY)
			inside = (int)info->entry.nr == number;
		if (inside && info->op != PTRACE_SYSCALL_INFO_NONE)
			return true;
	}
	info->op = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
	return false;
}

/* The kernel's structure is padded, also for 32-bit programs. */
static int set_info(pid_t pid, const struct __ptrace_syscall_info *info)
{
	char room[128] = "";

	memcpy(room, info, sizeof(*info));
	return ptrace(PTRACE_SET_SYSCALL_INFO, pid, sizeof(room), room);
}

TEST_F(seen, by_ptrace)
{
	struct __ptrace_syscall_info info;
	pid_t pid;

	TRACED(pid, _exit(syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600) < 0));
	ASSERT_TRUE(next_stop(pid, SYS_shmget, &info));
	EXPECT_EQ(PTRACE_SYSCALL_INFO_ENTRY, info.op);
	EXPECT_EQ(ARCH, info.arch);
	EXPECT_EQ(SHM_KEY, info.entry.args[0]);
	EXPECT_EQ(4096, info.entry.args[1]);
	EXPECT_EQ(0, shm_count(&shm_rust));
	ASSERT_TRUE(next_stop(pid, SYS_shmget, &info));
	EXPECT_EQ(PTRACE_SYSCALL_INFO_EXIT, info.op);
	EXPECT_EQ(shm_rust.get(SHM_KEY, 0, 0), info.exit.rval);
	EXPECT_FALSE(info.exit.is_error);
	EXPECT_FALSE(next_stop(pid, SYS_shmget, &info));
	EXPECT_EQ(0, info.op);
}

TEST_F(seen, by_ptrace_where_it_ends_well_and_where_not)
{
	struct __ptrace_syscall_info info;
	pid_t pid;
	int id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);

	TRACED(pid,
		syscall(SYS_shmat, -1, NULL, 0);
		_exit((void *)syscall(SYS_shmat, id, NULL, 0) == SHM_FAILED));
	ASSERT_TRUE(next_stop(pid, SYS_shmat, &info) && next_stop(pid, SYS_shmat, &info));
	EXPECT_EQ(PTRACE_SYSCALL_INFO_EXIT, info.op);
	EXPECT_TRUE(info.exit.is_error);
	EXPECT_EQ(-EINVAL, info.exit.rval);
	ASSERT_TRUE(next_stop(pid, SYS_shmat, &info) && next_stop(pid, SYS_shmat, &info));
	EXPECT_EQ(PTRACE_SYSCALL_INFO_EXIT, info.op);
	EXPECT_FALSE(info.exit.is_error);
	EXPECT_EQ(1, shm_nattch(&shm_rust, id));
	EXPECT_FALSE(next_stop(pid, SYS_shmat, &info));
	EXPECT_EQ(0, info.op);
}

TEST_F(seen, and_changed_by_ptrace)
{
	struct __ptrace_syscall_info info;
	struct rust_shm_stat stat;
	pid_t pid;
	int id;

	TRACED(pid,
		int got = syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);

		_exit(got == 4321 ? 42 : 1));
	ASSERT_TRUE(next_stop(pid, SYS_shmget, &info));
	/* Another key, another size, and another result. */
	info.entry.args[0] = SHM_KEY + 1;
	info.entry.args[1] = 12345;
	ASSERT_EQ(0, set_info(pid, &info));
	ASSERT_TRUE(next_stop(pid, SYS_shmget, &info));
	id = info.exit.rval;
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(12345, stat.segsz);
	EXPECT_EQ(SHM_KEY + 1, stat.key);
	info.exit.rval = 4321;
	ASSERT_EQ(0, set_info(pid, &info));
	EXPECT_FALSE(next_stop(pid, SYS_shmget, &info));
	EXPECT_EQ(42, info.op);
	ASSERT_EQ(0, shm_rust.rmid(id));

	/* No call at all. */
	TRACED(pid, _exit(syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600) < 0 ? errno : 0));
	ASSERT_TRUE(next_stop(pid, SYS_shmget, &info));
	info.entry.nr = -1;
	ASSERT_EQ(0, set_info(pid, &info));
	ASSERT_TRUE(next_stop(pid, SYS_shmget, &info));
	EXPECT_FALSE(next_stop(pid, SYS_shmget, &info));
	EXPECT_EQ(ENOSYS, info.op);
	EXPECT_EQ(0, shm_count(&shm_rust));
}

#ifdef __arm__
#define R0 0
#define ORIG_R0 17

/* Which key a call has, 1 or 2, when a tracer has changed one of the two registers that hold it. */
static int key_taken(struct __test_metadata *_metadata, bool is_served, int changed)
{
	struct __ptrace_syscall_info info;
	struct user_regs registers;
	int status;
	pid_t pid;

	TRACED(pid,
		if (!is_served && unshare(CLONE_NEWIPC))
			_exit(3);
		syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);
		_exit(syscall(SYS_shmget, SHM_KEY, 0, 0) >= 0 ? 1 : syscall(SYS_shmget, SHM_KEY + 1, 0, 0) >= 0 ? 2 : 4));
	EXPECT_TRUE(next_stop(pid, SYS_shmget, &info));
	EXPECT_EQ(0, ptrace(PTRACE_GETREGS, pid, NULL, &registers));
	EXPECT_EQ(SHM_KEY, registers.uregs[changed]);
	registers.uregs[changed] = SHM_KEY + 1;
	EXPECT_EQ(0, ptrace(PTRACE_SETREGS, pid, NULL, &registers));
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	if (is_served)
		shm_rust.rmid(shm_rust.get(SHM_KEY + WEXITSTATUS(status) - 1, 0, 0));
	return WEXITSTATUS(status);
}

/* What one argument's two registers mean differs between kernels, but not between this and the built-in. */
TEST_F(seen, the_register_that_the_kernel_takes)
{
	if (access("/proc/sysvipc/shm", F_OK))
		SKIP(return, "a kernel without System V shared memory");
	EXPECT_EQ(key_taken(_metadata, false, R0), key_taken(_metadata, true, R0));
	EXPECT_EQ(key_taken(_metadata, false, ORIG_R0), key_taken(_metadata, true, ORIG_R0));
}
#endif

/* Seccomp. */

TEST_F(seen, by_seccomp)
{
	int status;
	pid_t pid;

	SHM_FORK(pid) {
		if (shm_forbid_builtin())
			_exit(1);
		syscall(SYS_shmget, SHM_KEY, 4096, IPC_CREAT | 0600);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSYS, WTERMSIG(status));
	EXPECT_EQ(0, shm_count(&shm_rust));
}

TEST_F(seen, by_seccomp_with_its_arguments)
{
	/* The lower half of the size. */
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmget, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5000, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };

	SHM_CHILD {
		ASSERT_EQ(0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
		EXPECT_ERRNO(EXDEV, syscall(SYS_shmget, SHM_KEY, 5000, IPC_CREAT | 0600));
		EXPECT_LE(0, syscall(SYS_shmget, SHM_KEY, 5001, IPC_CREAT | 0600));
	}
	EXPECT_EQ(1, shm_count(&shm_rust));
}

/* Audit. */

#define AUDIT_KEY "rust_shm"

/* As auditctl does it. Returns 0, or a negative errno. */
static int tell_audit(int fd, int type, const void *data, size_t size)
{
	struct {
		struct nlmsghdr header;
		union {
			char data[sizeof(struct audit_rule_data) + sizeof(AUDIT_KEY)];
			struct nlmsgerr error;
		};
	} message = { .header = { NLMSG_LENGTH(size), type, NLM_F_REQUEST | NLM_F_ACK, 1, 0 } };

	memcpy(message.data, data, size);
	if (send(fd, &message, message.header.nlmsg_len, 0) < 0)
		return -errno;
	do {
		if (recv(fd, &message, sizeof(message), 0) < 0)
			return -errno;
	} while (message.header.nlmsg_type != NLMSG_ERROR);
	return message.error.error;
}

struct rule {
	struct audit_rule_data data;
	char key[sizeof(AUDIT_KEY)];
};

/* The number after a word in a record of a system call: all words begin with a space. */
static long long field(const char *record, const char *word, int base)
{
	const char *at = strstr(record, word);

	return at ? strtoll(at + strlen(word), NULL, base) : -9999;
}

TEST_F(seen, by_audit)
{
	static const int numbers[] = { SYS_shmget, SYS_shmat, SYS_shmdt, SYS_shmdt, SYS_shmctl };
	struct sockaddr_nl readers = { .nl_family = AF_NETLINK, .nl_groups = 1 << (AUDIT_NLGRP_READLOG - 1) };
	struct audit_status on = { .mask = AUDIT_STATUS_ENABLED, .enabled = 1 }, off = { .mask = AUDIT_STATUS_ENABLED };
	struct rule rule = { .data = { .flags = AUDIT_FILTER_EXIT, .action = AUDIT_ALWAYS, .field_count = 2 } };
	int control = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT), log, id = -1, calls = 0, i;
	size_t size = sizeof(rule.data) + strlen(AUDIT_KEY);
	void *memory = NULL;
	int results[2];
	char record[8192];

	if (control < 0)
		SKIP(return, "this kernel has no audit, or was booted with audit=0");
	log = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
	ASSERT_EQ(0, bind(log, (struct sockaddr *)&readers, sizeof(readers)));
	rule.data.fields[0] = AUDIT_ARCH;
	rule.data.fieldflags[0] = AUDIT_EQUAL;
	rule.data.values[0] = ARCH;
	rule.data.fields[1] = AUDIT_FILTERKEY;
	rule.data.fieldflags[1] = AUDIT_EQUAL;
	rule.data.values[1] = rule.data.buflen = strlen(AUDIT_KEY);
	memcpy(rule.data.buf, AUDIT_KEY, strlen(AUDIT_KEY));
	for (i = 0; i < 5; i++)
		rule.data.mask[AUDIT_WORD(numbers[i])] |= AUDIT_BIT(numbers[i]);
	ASSERT_EQ(0, tell_audit(control, AUDIT_SET, &on, sizeof(on)));
	i = tell_audit(control, AUDIT_ADD_RULE, &rule, size);
	if (i == -EINVAL) {
		EXPECT_EQ(0, tell_audit(control, AUDIT_SET, &off, sizeof(off)));
		SKIP(return, "this kernel has no CONFIG_AUDITSYSCALL");
	}
	ASSERT_EQ(0, i);
	/* A task that was there before is not audited. */
	ASSERT_EQ(0, pipe(results));
	SHM_CHILD {
		id = call_all(_metadata, &memory);
		EXPECT_EQ(sizeof(id), write(results[1], &id, sizeof(id)));
		EXPECT_EQ(sizeof(memory), write(results[1], &memory, sizeof(memory)));
	}
	EXPECT_EQ(sizeof(id), read(results[0], &id, sizeof(id)));
	EXPECT_EQ(sizeof(memory), read(results[0], &memory, sizeof(memory)));
	EXPECT_EQ(0, tell_audit(control, AUDIT_DEL_RULE, &rule, size));
	while (calls < 5 && poll(&(struct pollfd) { log, POLLIN, 0 }, 1, 5000 * shm_slow()) == 1) {
		struct nlmsghdr *header = (struct nlmsghdr *)record;
		ssize_t length = recv(log, record, sizeof(record) - 1, 0);
		const char *text = NLMSG_DATA(header);

		ASSERT_LT(0, length);
		record[length] = 0;
		if (header->nlmsg_type != AUDIT_SYSCALL || !strstr(text, " key=\"" AUDIT_KEY "\""))
			continue;
		EXPECT_EQ(ARCH, (unsigned int)field(text, "arch=", 16));
		EXPECT_EQ(numbers[calls], field(text, " syscall=", 10));
		EXPECT_EQ(calls == 3, !!strstr(text, " success=no")) TH_LOG("%s", text);
		switch (calls++) {
		case 0:
			EXPECT_EQ(id, field(text, " exit=", 10));
			EXPECT_EQ(SHM_KEY, field(text, " a0=", 16));
			EXPECT_EQ(5000, field(text, " a1=", 16));
			break;
		case 1:
			/* The kernel writes what a 32-bit program gets with or without a sign. */
			EXPECT_EQ((unsigned long)memory, (unsigned long)field(text, " exit=", 10));
			EXPECT_EQ(id, field(text, " a0=", 16));
			break;
		case 2:
			EXPECT_EQ(0, field(text, " exit=", 10));
			EXPECT_EQ((unsigned long)memory, field(text, " a0=", 16));
			break;
		case 3:
			EXPECT_EQ(-EINVAL, field(text, " exit=", 10));
			break;
		default:
			EXPECT_EQ(0, field(text, " exit=", 10));
			EXPECT_EQ(id, field(text, " a0=", 16));
		}
	}
	EXPECT_EQ(5, calls);
	EXPECT_EQ(0, tell_audit(control, AUDIT_SET, &off, sizeof(off)));
}

/* The tracepoints of system calls. A 64-bit kernel has none for 32-bit programs. */
#if __BITS_PER_LONG == 64

#define TRACING "/sys/kernel/tracing/instances/rust_shm"

static const char *const events[] = { "shmget", "shmat", "shmdt", "shmctl" };

static int switch_event(const char *when, const char *name, const char *on)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "/events/syscalls/sys_%s_%s/enable", when, name);
	return shm_write_file(path, on);
}

TEST_F(seen, by_tracepoints)
{
	static const char *const expected[] = { "shmget(", "shmget -> ", "shmat(", "shmat -> ", "shmdt(", "shmdt -> 0x0",
						"shmdt(", "shmdt -> 0xffffffffffffffea", "shmctl(", "shmctl -> 0x0" };
	char line[512], first[64];
	unsigned int seen = 0;
	void *memory;
	FILE *file;
	int i;

	if (access("/sys/kernel/tracing/instances", F_OK))
		mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	if (access("/sys/kernel/tracing/events/syscalls/sys_enter_shmget", F_OK))
		SKIP(return, "this kernel has no CONFIG_FTRACE_SYSCALLS");
	rmdir(TRACING);
	ASSERT_EQ(0, mkdir(TRACING, 0700));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, switch_event("enter", events[i], "1"));
		ASSERT_EQ(0, switch_event("exit", events[i], "1"));
	}
	SHM_CHILD {
		call_all(_metadata, &memory);
	}
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, switch_event("enter", events[i], "0"));
		EXPECT_EQ(0, switch_event("exit", events[i], "0"));
	}
	file = fopen(TRACING "/trace", "re");
	ASSERT_NE(NULL, file);
	snprintf(first, sizeof(first), "sys_shmget(key: 0x%x, size: 0x1388, shmflg: 0x380)", SHM_KEY);
	while (fgets(line, sizeof(line), file)) {
		const char *call = strstr(line, ": sys_shm");

		if (!call)
			continue;
		call += strlen(": sys_");
		ASSERT_GT(sizeof(expected) / sizeof(*expected), seen) TH_LOG("%s", line);
		EXPECT_EQ(0, strncmp(call, expected[seen], strlen(expected[seen]))) TH_LOG("%s", line);
		if (!seen++) {
			EXPECT_NE(NULL, strstr(line, first)) TH_LOG("%s", line);
		}
	}
	fclose(file);
	EXPECT_EQ(sizeof(expected) / sizeof(*expected), seen);
	EXPECT_EQ(0, rmdir(TRACING));
}
#endif

TEST_HARNESS_MAIN
