// SPDX-License-Identifier: GPL-2.0
/*
 * The system calls of System V shared memory, in the IPC namespaces that the module serves.
 *
 * ftrace calls send() on entry to the kernel's functions for these system calls, as it calls livepatch's handler. In a namespace that
 * is served it sends the call on to the function of the same kind below, which has the same arguments. What comes before a system call
 * (seccomp, ptrace, audit, tracepoints) sees nothing of that. Nothing is probed while no namespace is served.
 *
 * A call is in an SRCU read-side critical section from end to end. What a namespace that is served has, a reference to this module among
 * it, is freed after a grace period. So the module is never unloaded under a call, however long that sleeps. The few instructions
 * before and after the critical section are never slept in: unregister_ftrace_function(), which comes before the grace period, and
 * rust_shm_end_calls() wait for tasks that are preempted there (synchronize_rcu_tasks()).
 */
#include "served.h"

#include <linux/compat.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/highuid.h>
#include <linux/ipc.h>
#include <linux/ipc_namespace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/shm.h>
#include <linux/srcu.h>
#include <linux/syscalls.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#ifdef CONFIG_ARM64
#include <asm/insn.h>
#endif
#include <uapi/linux/shm.h>
#include <uapi/rust_shm.h>

/* ipc/util.h has it. */
#define IPC_SHM_IDS 2

struct ipc_namespace *rust_shm_first_ipc_ns(void)
{
	return init_task.nsproxy->ipc_ns;
}

#if RUST_SHM_CAN_SERVE

/* struct rust_shm_served by the number of the namespace. */
static DEFINE_XARRAY_FLAGS(served_namespaces, XA_FLAGS_ACCOUNT);

/* The calls in this file. */
DEFINE_STATIC_SRCU(running);

/* What is served in the namespace of the caller, or null. */
static __always_inline struct rust_shm_served *served_here(void)
{
	struct ipc_namespace *ns = current->nsproxy->ipc_ns;

	return xa_load(&served_namespaces, ns ? ns->ns.ns_id : 0);
}

bool rust_shm_serves(u64 number)
{
	const struct rust_shm_served *served;

	/* It is not freed in a critical section. */
	guard(srcu)(&running);
	served = xa_load(&served_namespaces, number);
	return served && smp_load_acquire(&served->is_ready);
}

/* Who waits until a namespace is ready. */
static DECLARE_WAIT_QUEUE_HEAD(ready);

/* The same, for a call: one that is ready, null, or an error for a task that is killed. */
static struct rust_shm_served *served_for_call(void)
{
	struct rust_shm_served *served;

	while ((served = served_here()) && !smp_load_acquire(&served->is_ready))
		if (wait_event_killable(ready, READ_ONCE(served->is_ready) || served_here() != served))
			return ERR_PTR(-EINTR);
	return served;
}

/* Structures: as copy_shmid_to_user() and its kin in ipc/shm.c, and those for 32-bit programs there and in ipc/compat.c. */

enum layout {
	NATIVE,
	COMPAT_64,
	COMPAT_OLD,
};

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

static bool put_stat(void __user *to, const struct rust_shm_stat *from, enum layout layout)
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
static bool get_stat(struct rust_shm_stat *to, const void __user *from, enum layout layout)
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

static bool put_limits(void __user *to, const struct rust_shm_limits *from, enum layout layout)
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

static bool put_usage(void __user *to, const struct rust_shm_usage *from, enum layout layout)
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

/* The calls, as the functions of ipc/shm.c and ipc/syscall.c. */

/* As ksys_shmctl() and compat_ksys_shmctl(). */
static long served_shmctl(const struct rust_shm_served *served, int id, int cmd, void __user *buf, enum layout layout)
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

static long served_shmat(const struct rust_shm_served *served, int id, unsigned long at, int flags, bool compat)
{
	unsigned long address;
	long error = served->calls->attach(served, id, at, flags, compat, &address);

	if (error)
		return error;
	force_successful_syscall_return();
	return address;
}

/*
 * An attach of the built-in's, made before or in another namespace, can be detached here as ever. The built-in says what the error is,
 * too.
 */
static long served_shmdt(const struct rust_shm_served *served, unsigned long at)
{
	long error = served->calls->detach(served, at);

	return IS_ENABLED(CONFIG_SYSVIPC) && error == -EINVAL ? RUST_SHM_PASS : error;
}

#ifdef CONFIG_COMPAT
/* As compat_ksys_old_shmctl(): a flag in the command tells the layout. */
static __maybe_unused long served_old_shmctl(const struct rust_shm_served *served, int id, int cmd, compat_uptr_t buf)
{
	return served_shmctl(served, id, cmd & ~IPC_64, compat_ptr(buf), cmd & IPC_64 ? COMPAT_64 : COMPAT_OLD);
}
#endif

#ifdef CONFIG_IA32_EMULATION
/* As compat_ksys_ipc(), for what is_shm_call() lets through. */
static long served_ipc(const struct rust_shm_served *served, u32 call, int first, int second, u32 third, u32 ptr)
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
		return served_shmdt(served, ptr);
	case SHMGET:
		return served->calls->get(served, first, (unsigned int)second, third);
	default:
		return served_old_shmctl(served, first, second, ptr);
	}
}

static bool is_shm_call(u32 call)
{
	call &= 0xffff;
	return call >= SHMAT && call <= SHMCTL;
}
#endif

/*
 * The kernel's own function for call number at: send() sends this there, past its entry. While nothing is probed any more it is the
 * function itself that is called the next time: have the system call made anew, as after a signal.
 */
noinline long rust_shm_pass(const struct pt_regs *regs, unsigned long at);
noinline long rust_shm_pass(const struct pt_regs *regs, unsigned long at)
{
	long error = -ERESTARTNOINTR;

	/* Nothing about this function is known where it is called. */
	asm volatile("" : "+r"(error), "+r"(regs), "+r"(at) : : "memory");
	set_thread_flag(TIF_SIGPENDING);
	return error;
}

/*
 * The functions that the kernel's are replaced by. The name is that of the kernel's. Nothing sleeps between the last look at what is
 * served and the kernel's own function: has_segments() waits for what is on its way there.
 */
#define SERVED(name, call)                                                                     \
	static long name(const struct pt_regs *regs)                                           \
	{                                                                                      \
		int section = srcu_read_lock(&running);                                        \
		const struct rust_shm_served *served;                                          \
		long result;                                                                   \
                                                                                               \
		do {                                                                           \
			served = served_for_call();                                            \
			result = !served ? RUST_SHM_PASS :                                     \
				 IS_ERR(served) ? PTR_ERR(served) : (call);                    \
		} while (result == RUST_SHM_PASS && served != served_here());                  \
		if (result == RUST_SHM_PASS)                                                   \
			result = rust_shm_pass(regs, at_##name);                               \
		srcu_read_unlock(&running, section);                                           \
		return result;                                                                 \
	}

/* The registers with the first arguments, and the names of the kernel's functions. */
#ifdef CONFIG_X86_64
#define PREFIX "__x64_sys_"
#define A0 (regs->di)
#define A1 (regs->si)
#define A2 (regs->dx)
#else
#define PREFIX "__arm64_sys_"
/* What seccomp and audit have seen; which of two registers that is, differs between kernels. */
#define A0 (SC_ARM64_REGS_TO_ARGS(1))
#define A1 (regs->regs[1])
#define A2 (regs->regs[2])
#endif

enum {
	at_native_shmget,
	at_native_shmat,
	at_native_shmdt,
	at_native_shmctl,
#ifdef CONFIG_IA32_EMULATION
	at_ia32_shmget,
	at_ia32_shmat,
	at_ia32_shmdt,
	at_ia32_shmctl,
	at_ia32_ipc,
#elif defined(CONFIG_ARM64) && defined(CONFIG_COMPAT)
	at_arm_shmat,
	at_arm_shmctl,
#endif
	AT_PASS,
	PROBES,
};

SERVED(native_shmget, served->calls->get(served, A0, A1, A2))
SERVED(native_shmat, served_shmat(served, A0, A1, A2, false))
SERVED(native_shmdt, served_shmdt(served, A0))
SERVED(native_shmctl, served_shmctl(served, A0, A1, (void __user *)A2, NATIVE))
#ifdef CONFIG_IA32_EMULATION
SERVED(ia32_shmget, served->calls->get(served, regs->bx, (u32)regs->cx, regs->dx))
SERVED(ia32_shmat, served_shmat(served, regs->bx, (u32)regs->cx, regs->dx, true))
SERVED(ia32_shmdt, served_shmdt(served, (u32)regs->bx))
SERVED(ia32_shmctl, served_shmctl(served, regs->bx, regs->cx, compat_ptr(regs->dx), COMPAT_64))
SERVED(ia32_ipc, served_ipc(served, regs->bx, regs->cx, regs->dx, regs->si, regs->di))
#elif defined(CONFIG_ARM64) && defined(CONFIG_COMPAT)
SERVED(arm_shmat, served_shmat(served, regs->regs[0], (u32)A1, A2, true))
SERVED(arm_shmctl, served_old_shmctl(served, regs->regs[0], A1, A2))
#endif

static struct {
	const char *name;
	long (*ours)(const struct pt_regs *regs);
	/* Where ftrace's call is, in the kernel's function. */
	unsigned long ip;
} probes[PROBES] = {
	[at_native_shmget] = { PREFIX "shmget", native_shmget },
	[at_native_shmat] = { PREFIX "shmat", native_shmat },
	[at_native_shmdt] = { PREFIX "shmdt", native_shmdt },
	[at_native_shmctl] = { PREFIX "shmctl", native_shmctl },
#ifdef CONFIG_IA32_EMULATION
	[at_ia32_shmget] = { "__ia32_sys_shmget", ia32_shmget },
	[at_ia32_shmat] = { "__ia32_compat_sys_shmat", ia32_shmat },
	[at_ia32_shmdt] = { "__ia32_sys_shmdt", ia32_shmdt },
	[at_ia32_shmctl] = { "__ia32_compat_sys_shmctl", ia32_shmctl },
	[at_ia32_ipc] = { "__ia32_compat_sys_ipc", ia32_ipc },
#elif defined(CONFIG_ARM64) && defined(CONFIG_COMPAT)
	/* 32-bit programs share the other two, as the kernel's own. */
	[at_arm_shmat] = { "__arm64_compat_sys_shmat", arm_shmat },
	[at_arm_shmctl] = { "__arm64_compat_sys_old_shmctl", arm_shmctl },
#endif
	[AT_PASS] = { "rust_shm_pass" },
};

/* Called by ftrace on entry to a probed function. Decides by the caller's namespace alone, which only the caller itself changes. */
static void notrace send(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	int at = 0;

	if (ip == probes[AT_PASS].ip) {
		at = ftrace_regs_get_argument(fregs, 1);
		ftrace_regs_set_instruction_pointer(fregs, probes[at].ip + MCOUNT_INSN_SIZE);
		return;
	}
	if (!served_here())
		return;
	while (ip != probes[at].ip)
		if (++at == AT_PASS)
			return;
#ifdef CONFIG_IA32_EMULATION
	/* Semaphores and messages are not ours. */
	if (at == at_ia32_ipc && !is_shm_call(((const struct pt_regs *)ftrace_regs_get_argument(fregs, 0))->bx))
		return;
#endif
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)probes[at].ours);
}

/* As livepatch has it: ftrace cannot be switched off meanwhile (kernel.ftrace_enabled). */
static struct ftrace_ops send_ops = {
	.func = send,
	.flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT,
};

/* Where ftrace's call is in the function at an address, or 0. */
static unsigned long ftrace_call_of(const struct kprobe *function)
{
	unsigned long ip = (unsigned long)function->addr;

#ifdef CONFIG_X86_64
	/* A kprobe on entry is past the landing pad. */
	return function->flags & KPROBE_FLAG_FTRACE ? ip : 0;
#else
	/* As ftrace_call_adjust(): perhaps a landing pad, MOV X9, LR, and the call. ftrace_set_filter_ip() checks it. */
	if (aarch64_insn_is_bti(le32_to_cpu(function->opcode)))
		ip += AARCH64_INSN_SIZE;
	return ip + AARCH64_INSN_SIZE;
#endif
}

/* The same by name. ftrace finds functions by name, too, but looks at all that there are. */
static int find_ftrace_call(const char *name, unsigned long *ip)
{
	/* A disabled kprobe changes nothing: it knows the address. */
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	int error = register_kprobe(&probe);

	if (error)
		return error;
	*ip = ftrace_call_of(&probe);
	unregister_kprobe(&probe);
	return *ip ? 0 : -EOPNOTSUPP;
}

static int probe(void)
{
	int error = 0, at, tries;

	for (at = 0; at < PROBES && !error; at++) {
		error = find_ftrace_call(probes[at].name, &probes[at].ip);
		if (!error)
			error = ftrace_set_filter_ip(&send_ops, probes[at].ip, 0, 0);
		if (error && error != -ENOMEM)
			pr_err_ratelimited("rust_shm: %s cannot be probed (%d)\n", probes[at].name, error);
	}
	if (!error) {
		/* A BPF trampoline that changes at this moment is -EAGAIN. */
		for (tries = 0; (error = register_ftrace_function(&send_ops)) == -EAGAIN && tries < 10; tries++)
			msleep(1);
		if (error && error != -ENOMEM)
			pr_err_ratelimited("rust_shm: the system calls cannot be probed (%d)\n", error);
	}
	if (error) {
		ftrace_free_filter(&send_ops);
		/* Somebody else's live patch, or kernel.ftrace_enabled=0. */
		return error == -ENOMEM ? error : -EOPNOTSUPP;
	}
	return 0;
}

static void unprobe(void)
{
	/* It fails where ftrace has failed before, and still calls send() then. */
	if (WARN_ON(unregister_ftrace_function(&send_ops)))
		__module_get(THIS_MODULE);
	else
		ftrace_free_filter(&send_ops);
}

/* How many namespaces are served, and how many were and are not freed: the system calls are probed for them. */
static unsigned int in_use;
static DEFINE_MUTEX(in_use_lock);

/* One namespace less. */
static void put(void)
{
	guard(mutex)(&in_use_lock);
	if (!--in_use)
		unprobe();
}

/* One more. */
static int get(void)
{
	int error;

	guard(mutex)(&in_use_lock);
	if (!in_use) {
		error = probe();
		if (error)
			return error;
	}
	in_use++;
	return 0;
}

#ifdef CONFIG_SYSVIPC
/* Whether the built-in has segments in a namespace, or will: of calls that are in it. New ones do not come any more. */
static bool has_segments(struct ipc_namespace *ns)
{
	struct ipc_ids *ids = &ns->ids[IPC_SHM_IDS];
	bool any, wait;
	int i = 0;

	/* newseg() is called with the semaphore held. Who is on the way there is preempted, and comes on, or waits for the semaphore. */
	synchronize_rcu_tasks();
	do {
		down_write(&ids->rwsem);
		any = ids->in_use;
		/* With PREEMPT_RT it always looks so. Nobody overtakes there. */
		wait = !any && rwsem_is_contended(&ids->rwsem);
		up_write(&ids->rwsem);
		if (wait)
			msleep(1);
	} while (wait && ++i < 100);
	return any;
}
#else
static bool has_segments(struct ipc_namespace *ns)
{
	return false;
}
#endif

/* Inserts served, or waits until what another thread has inserted before is ready (-EEXIST), or gone. */
static int insert(u64 number, struct rust_shm_served *served)
{
	struct rust_shm_served *other;
	int error;

	while ((error = xa_insert(&served_namespaces, number, served, GFP_KERNEL)) == -EBUSY) {
		other = xa_load(&served_namespaces, number);
		if (!other)
			continue;
		if (wait_event_killable(ready, smp_load_acquire(&other->is_ready) || xa_load(&served_namespaces, number) != other))
			return -EINTR;
		if (smp_load_acquire(&other->is_ready))
			return -EEXIST;
	}
	return error;
}

/* Serves a namespace. Returns whether it takes served, also where it fails. */
static bool serve(struct ipc_namespace *ns, u64 number, struct rust_shm_served *served, int *error)
{
	*error = -EEXIST;
	if (rust_shm_serves(number))
		return false;
	*error = get();
	if (*error)
		return false;
	*error = insert(number, served);
	if (*error) {
		put();
		return false;
	}
	/* From here on another thread may end it, but it is not freed in a critical section. */
	if (!has_segments(ns)) {
		smp_store_release(&served->is_ready, true);
		wake_up_all(&ready);
		return true;
	}
	*error = -EBUSY;
	if (xa_cmpxchg(&served_namespaces, number, served, NULL, 0) == served)
		rust_shm_free_served(served);
	return true;
}

int rust_shm_serve(struct ipc_namespace *ns, u64 number, struct rust_shm_served *served)
{
	int section = srcu_read_lock(&running);
	bool is_taken;
	int error;

	is_taken = serve(ns, number, served, &error);
	srcu_read_unlock(&running, section);
	if (!is_taken)
		served->calls->free(served);
	return error;
}

struct rust_shm_served *rust_shm_end_serving(u64 number)
{
	return xa_erase(&served_namespaces, number);
}

/* How many namespaces are served no longer, and have calls. */
static atomic_t ending;

static void free_served(struct rcu_head *rcu)
{
	struct rust_shm_served *served = container_of(rcu, struct rust_shm_served, rcu);

	served->calls->free(served);
	atomic_dec(&ending);
}

void rust_shm_free_served(struct rust_shm_served *served)
{
	/* Who waits for this one passes. */
	wake_up_all(&ready);
	put();
	atomic_inc(&ending);
	call_srcu(&running, &served->rcu, free_served);
}

void rust_shm_wait_for_calls(void)
{
	int i;

	/* srcu_barrier() would wait for what others end meanwhile, without a limit. */
	for (i = 0; i < 100 && atomic_read(&ending) && !fatal_signal_pending(current); i++)
		msleep(10);
}

void rust_shm_end_calls(void)
{
	/* A call that has found that its namespace is served no longer may still be in the kernel's own function. */
	synchronize_srcu(&running);
	srcu_barrier(&running);
	synchronize_rcu_tasks();
}

#else

int rust_shm_serve(struct ipc_namespace *ns, u64 number, struct rust_shm_served *served)
{
	served->calls->free(served);
	return -EOPNOTSUPP;
}

bool rust_shm_serves(u64 number)
{
	return false;
}

struct rust_shm_served *rust_shm_end_serving(u64 number)
{
	return NULL;
}

void rust_shm_free_served(struct rust_shm_served *served)
{
}

void rust_shm_wait_for_calls(void)
{
}

void rust_shm_end_calls(void)
{
}

#endif
