/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The system calls of System V shared memory in the IPC namespaces that the module serves: between served.c and served.rs.
 */
#ifndef RUST_SHM_SERVED_H
#define RUST_SHM_SERVED_H

#include <linux/rcupdate.h>
#include <linux/types.h>

struct ipc_namespace;
struct rust_shm_limits;
struct rust_shm_served;
struct rust_shm_stat;
struct rust_shm_usage;

/* Other architectures, and kernels without ftrace, answer EOPNOTSUPP. */
#if defined(CONFIG_DYNAMIC_FTRACE_WITH_ARGS) && \
	(defined(CONFIG_X86_64) && defined(CONFIG_KPROBES_ON_FTRACE) || defined(CONFIG_ARM64) && defined(CONFIG_KPROBES))
#define RUST_SHM_CAN_SERVE 1
#else
#define RUST_SHM_CAN_SERVE 0
#endif

/* An answer: the call belongs to the kernel's own function. User space never sees it, and nothing else here answers it. */
#define RUST_SHM_PASS (-ENOIOCTLCMD)

/*
 * The calls, with their arguments as the kernel's own functions have them, and structures as the ioctls have them. Each returns what
 * the system call returns, a negative errno, or RUST_SHM_PASS.
 */
struct rust_shm_calls {
	long (*get)(const struct rust_shm_served *served, int key, size_t size, int flags);
	long (*attach)(const struct rust_shm_served *served, int id, unsigned long at, int flags, bool compat, unsigned long *address);
	long (*detach)(const struct rust_shm_served *served, unsigned long at);
	long (*stat)(const struct rust_shm_served *served, int id, int cmd, struct rust_shm_stat *stat);
	long (*set)(const struct rust_shm_served *served, int id, const struct rust_shm_stat *stat);
	/* IPC_RMID, SHM_LOCK, SHM_UNLOCK. */
	long (*control)(const struct rust_shm_served *served, int id, int cmd);
	long (*limits)(const struct rust_shm_served *served, struct rust_shm_limits *limits);
	long (*usage)(const struct rust_shm_served *served, struct rust_shm_usage *usage);
	/* Called once, when no call can have it any more; must not sleep. */
	void (*free)(struct rust_shm_served *served);
};

/* A namespace that is served. */
struct rust_shm_served {
	const struct rust_shm_calls *calls;
	/* Until then its calls wait. */
	bool is_ready;
	struct rcu_head rcu;
};

/*
 * Serves a namespace from now on; the system calls are probed with the first. -EEXIST if it is served, -EBUSY if the built-in has
 * segments in it, -EOPNOTSUPP if the calls cannot be probed, -EINTR if the caller is killed. May sleep. The caller keeps the namespace from
 * ending. Takes served, and frees it after an error.
 */
int rust_shm_serve(struct ipc_namespace *ns, u64 number, struct rust_shm_served *served);

/* Whether a namespace is served: not before that can no longer fail. */
bool rust_shm_serves(u64 number);

/* No longer serves the namespace with a number. Returns what it had, or null. Does not sleep. */
struct rust_shm_served *rust_shm_end_serving(u64 number);

/* Has that freed when no call is in it any more; the probes are removed with the last. May sleep. */
void rust_shm_free_served(struct rust_shm_served *served);

/* Waits until no call is in what was freed before, up to a second. */
void rust_shm_wait_for_calls(void);

/* Waits until no code of this module runs for a call or to free something. May sleep. */
void rust_shm_end_calls(void);

/* The first IPC namespace. */
struct ipc_namespace *rust_shm_first_ipc_ns(void);

#endif
