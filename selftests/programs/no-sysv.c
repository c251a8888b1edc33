// SPDX-License-Identifier: GPL-2.0-only
/*
 * no-sysv PROGRAM [ARGUMENT...]: runs a program as on a kernel without System V shared memory: shmget, shmat, shmctl and shmdt are ENOSYS,
 * in it and in all that it starts, as 64-bit programs and as 32-bit ones. What has shared memory nevertheless has it from elsewhere.
 *
 * no-sysv --verify: succeeds where that is so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define AND(bits) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Unless it is the value, skips so many instructions. */
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define DENY(value) UNLESS(value, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)

/* In numbers, for <sys/syscall.h> has only those of one kind of program. In the order shmget, shmat, shmctl, shmdt. */
static struct sock_filter filter[] = {
	LOAD(arch),
#if defined(__aarch64__) || defined(__arm__)
	UNLESS(AUDIT_ARCH_AARCH64, 10),
	LOAD(nr),
	DENY(194), DENY(196), DENY(195), DENY(197),
	ALLOW,

	LOAD(nr), /* 32-bit arm */
	DENY(307), DENY(305), DENY(308), DENY(306),
#else
	UNLESS(AUDIT_ARCH_X86_64, 11),
	LOAD(nr),
	AND(~0x40000000u), /* x32 */
	DENY(29), DENY(30), DENY(31), DENY(67),
	ALLOW,

	LOAD(nr), /* i386 */
	DENY(395), DENY(397), DENY(396), DENY(398),
	UNLESS(117, 10), /* ipc(2) is all of them in one, with a version above */
	LOAD(args[0]),
	AND(0xffff),
	DENY(23), DENY(21), DENY(24), DENY(22),
#endif
	ALLOW,
};

static int is_there(const char *name, long result)
{
	if (result == -1 && errno == ENOSYS)
		return 0;
	fprintf(stderr, "no-sysv: %s is there\n", name);
	return 1;
}

static int verify(void)
{
	int found = is_there("shmget", syscall(SYS_shmget, 0, 0, 0)) + is_there("shmat", syscall(SYS_shmat, -1, 0, 0)) +
		    is_there("shmctl", syscall(SYS_shmctl, -1, 0, 0)) + is_there("shmdt", syscall(SYS_shmdt, 1));
#ifdef SYS_ipc
	for (int call = 21; call <= 24; call++)
		found += is_there("a call of ipc", syscall(SYS_ipc, call | 1 << 16, -1, 0, 0, 0, 0));
#endif
	return found ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (argc < 2) {
		fprintf(stderr, "usage: no-sysv PROGRAM [ARGUMENT...] | --verify\n");
		return 2;
	}
	if (!strcmp(argv[1], "--verify"))
		return verify();
	/* Who may not do it so must first give up all that set-user-id programs give. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) &&
	    (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))) {
		perror("no-sysv: seccomp");
		return 125;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
