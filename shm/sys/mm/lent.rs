// SPDX-License-Identifier: GPL-2.0

//! The caller's address space, lent to work items that work on its behalf.

use crate::shm::sys::bindings;
use kernel::{
    current,
    mm::MmWithUser,
    sync::aref::ARef, //
};

/// An address space that kernel threads may use: what they allocate is charged to its owner's memory
/// cgroup.
#[derive(Clone)]
pub(crate) struct LentMm(ARef<MmWithUser>);

impl LentMm {
    /// That of the calling task. `None` where what the task allocates follows rules that do not come
    /// with its address space: a NUMA policy, or a cpuset with less than all memory.
    pub(crate) fn of_current() -> Option<Self> {
        #[cfg(CONFIG_NUMA)]
        // SAFETY: `current` reads its own policy, which only it changes, and nodes that are words
        // which are read once each.
        unsafe {
            let task = bindings::get_current();
            let allowed = (&raw const (*task).mems_allowed.bits).read_volatile();
            let all = (&raw const bindings::node_states[bindings::node_states_N_MEMORY as usize]
                .bits)
                .read_volatile();
            if !(*task).mempolicy.is_null()
                || allowed
                    .iter()
                    .zip(all)
                    .any(|(allowed, all)| all & !allowed != 0)
            {
                return None;
            }
        }
        current!().mm().map(|mm| Self(mm.into()))
    }

    /// Calls `f` with the address space as that of the calling kernel thread, which has none. To be
    /// called by a work item. `from_any_node` sets a NUMA policy that prefers all nodes: shmem then takes a
    /// huge page from the nearest that has one. Without a policy it tries only the node of the CPU.
    pub(crate) fn with(&self, from_any_node: bool, f: impl FnOnce()) {
        let mm = self.0.as_raw();
        #[cfg(not(CONFIG_NUMA))]
        let _ = from_any_node;
        // SAFETY: The address space has a user, and keeps it meanwhile. A work item runs in a kernel
        // thread that has no address space of its own; in a task that has one nothing is done.
        unsafe {
            if !(*bindings::get_current()).mm.is_null() {
                f();
                return;
            }
            bindings::kthread_use_mm(mm);
            #[cfg(CONFIG_NUMA)]
            let mut policy = from_any_node.then(all_nodes);
            #[cfg(CONFIG_NUMA)]
            set_policy(policy.as_mut());
            f();
            #[cfg(CONFIG_NUMA)]
            set_policy(None);
            bindings::kthread_unuse_mm(mm);
        }
    }
}

/// A policy that prefers all nodes (MPOL_PREFERRED_MANY): the nearest that has memory is taken.
#[cfg(CONFIG_NUMA)]
fn all_nodes() -> bindings::mempolicy {
    // SAFETY: A policy may be all zeros; the nodes are words, which are read once each.
    unsafe {
        let mut policy: bindings::mempolicy = core::mem::zeroed();
        // CAST: A small number.
        policy.mode = bindings::RUST_SHM_MPOL_PREFERRED_MANY;
        policy.home_node = bindings::NUMA_NO_NODE;
        let all = &raw const bindings::node_states[bindings::node_states_N_MEMORY as usize];
        policy.nodes = all.read_volatile();
        policy
    }
}

/// Gives the calling thread a policy, or takes that away.
///
/// # Safety
///
/// The thread must be a kernel thread, which has no policy but by this function; and one that is given
/// must stay until it is taken away. Others reach it under the lock alone: a cpuset, which writes
/// `cpuset_mems_allowed` (`mpol_rebind_preferred()`), and the OOM killer. procfs shows no policy of a kernel thread (`get_task_mm()`). Nobody
/// counts it, and its count of 0 never frees it.
#[cfg(CONFIG_NUMA)]
unsafe fn set_policy(policy: Option<&mut bindings::mempolicy>) {
    let policy = policy.map_or(core::ptr::null_mut(), core::ptr::from_mut);
    // SAFETY: `current` is valid, and by this function's requirement so is the policy.
    unsafe {
        let task = bindings::get_current();
        bindings::spin_lock(&raw mut (*task).alloc_lock);
        (*task).mempolicy = policy.cast();
        bindings::spin_unlock(&raw mut (*task).alloc_lock);
    }
}
