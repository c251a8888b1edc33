// SPDX-License-Identifier: GPL-2.0
/*
 * The IPC namespaces that the module serves, and how the system calls of System V shared memory come to it there.
 *
 * ftrace calls send() on entry to the kernel's functions for these system calls, as it calls livepatch's handler. In a namespace that
 * is served it sends the call on to the function of the same kind below, which has the same arguments and calls those of served_calls.c.
 * What comes before a system call (seccomp, ptrace, audit, tracepoints) sees nothing of that. Nothing is probed while no namespace is
 * served.
 *
 * A call is in an SRCU read-side critical section from end to end. What a namespace that is served has, a reference to this module among
 * it, is freed after a grace period. So the module is never unloaded under a call, however long that sleeps. The few instructions
 * before and after the critical section are never slept in: unregister_ftrace_function(), which comes before the grace period, and
 * rust_shm_end_calls() wait for tasks that are preempted there (synchronize_rcu_tasks()).
 */
#include "served_calls.h"

#include <linux/compat.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/ipc.h>
#include <linux/ipc_namespace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/srcu.h>
#include <linux/syscalls.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#ifdef CONFIG_ARM64
#include <asm/insn.h>
#endif

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
		if (result == RUST_SHM_PASS) {                                                 \
			/* It may sleep as long as its user wants: who unloads gets EBUSY. */  \
			bool is_held = try_module_get(THIS_MODULE);                            \
                                                                                               \
			result = rust_shm_pass(regs, at_##name);                               \
			if (is_held)                                                           \
				module_put(THIS_MODULE);                                       \
		}                                                                              \
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
SERVED(native_shmat, rust_shm_shmat(served, A0, A1, A2, false))
SERVED(native_shmdt, rust_shm_shmdt(served, A0))
SERVED(native_shmctl, rust_shm_shmctl(served, A0, A1, (void __user *)A2, NATIVE))
#ifdef CONFIG_IA32_EMULATION
SERVED(ia32_shmget, served->calls->get(served, regs->bx, (u32)regs->cx, regs->dx))
SERVED(ia32_shmat, rust_shm_shmat(served, regs->bx, (u32)regs->cx, regs->dx, true))
SERVED(ia32_shmdt, rust_shm_shmdt(served, (u32)regs->bx))
SERVED(ia32_shmctl, rust_shm_shmctl(served, regs->bx, regs->cx, compat_ptr(regs->dx), COMPAT_64))
SERVED(ia32_ipc, rust_shm_ipc(served, regs->bx, regs->cx, regs->dx, regs->si, regs->di))
#elif defined(CONFIG_ARM64) && defined(CONFIG_COMPAT)
SERVED(arm_shmat, rust_shm_shmat(served, regs->regs[0], (u32)A1, A2, true))
SERVED(arm_shmctl, rust_shm_old_shmctl(served, regs->regs[0], A1, A2))
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

#ifdef CONFIG_IA32_EMULATION
/* Semaphores and messages are not ours. */
static __always_inline bool is_shm_call(u32 call)
{
	call &= 0xffff;
	return call >= SHMAT && call <= SHMCTL;
}
#endif

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
	/* A call that is passed on holds the module; one that could no longer take it may still be on its way out. */
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
