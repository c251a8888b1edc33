// SPDX-License-Identifier: GPL-2.0

//! The kernel as safe functions: thin wrappers over C, one kernel noun a file. Only this floor has
//! `unsafe`.
//!
//! Nothing here depends on what a segment is: a wrapper gets what it needs from its user as a type
//! with a trait, and the `# Invariants` of a type are what its `unsafe` blocks rely on.
//!
//! | file | noun |
//! |---|---|
//! | `mm/vma.rs` | the caller's address space: map, unmap, find mappings |
//! | `mm/turns.rs` | a turn in an address space, for work that cannot hold `mmap_lock` throughout |
//! | `mm/lent.rs` | the caller's address space, used by work items |
//! | `mm/folio.rs` | a locked folio; the page allocator |
//! | `mm/commit.rs` | memory counted in `Committed_AS` |
//! | `mm/memlock.rs` | memory counted against RLIMIT_MEMLOCK |
//! | `mm/user.rs` | structures in user space |
//! | `fs/mount.rs` | a private mount of tmpfs |
//! | `fs/shmem_file.rs` | a shmem file on it |
//! | `fs/shmem.rs` | the page cache of its inode |
//! | `fs/file.rs` | another `struct file` of its inode for an attach: file and VMA operations |
//! | `fs/mapping.rs` | what these files map, for which use, and where |
//! | `fs/descriptor.rs` | a file for a descriptor of user space |
//! | `fs/descriptor_fs.rs` | the filesystem of those, with an inode for each |
//! | `fs/fault.rs` | a page fault (`struct vm_fault`) in a mapping of that |
//! | `fs/misc.rs` | a misc device with a mode and a context |
//! | `fs/parameter.rs` | a module parameter in sysfs |
//! | `fs/proc.rs` | a file of procfs, for sysctls |
//! | `fs/proc_file.rs` | `/proc/sysvipc/shm`, where the kernel has none |
//! | `fs/debugfs.rs` | a debugfs directory with text files |
//! | `task/cred.rs` | credentials, and ids in user namespaces |
//! | `task/ipc_ns.rs` | an IPC namespace: number, sysctls, capabilities |
//! | `task/pid.rs` | a `struct pid` |
//! | `task/thread.rs` | the calling thread; the scheduler |
//! | `task/time.rs` | wall-clock time |
//! | `task/task_work.rs` | what a task does itself before it returns to user space or ends |
//! | `task/kprobe.rs` | a kprobe, where the kernel has no notifier |
//! | `sync/raw_spinlock.rs` | a spinlock for kprobe handlers, on PREEMPT_RT too |
//! | `sync/rcu_arc.rs` | a reference-counted object that RCU readers can find |
//! | `sync/id_table.rs` | an XArray of those |
//! | `sync/once.rs` | work that one of several concurrent tasks does for all |
//! | `sync/poll_queue.rs` | a queue of those who poll a file |
//! | `sync/queue.rs` | a workqueue |
//! | `sync/module_ref.rs` | a reference to this module |
//! | `served.rs` | the system calls of a namespace, which `served.c` probes and `served_calls.c` decodes |
//! | `events.rs` | tracepoints, which `events.c` makes |
//! | `compat/` | what differs between kernels |
//! | `header.rs` | compile-time checks of the ABI against `include/uapi/rust_shm.h` |
//! | `layout.rs` | compile-time checks of the kernel's structures against its headers |

#![allow(unsafe_code)]

pub(crate) mod compat;
pub(crate) mod events;
pub(crate) mod fs;
mod header;
mod layout;
pub(crate) mod mm;
pub(crate) mod served;
pub(crate) mod sync;
pub(crate) mod task;

/// [`kernel::bindings`], and what it lacks: generated from the headers of the target kernel by the
/// bindgen rule in `Kbuild`.
#[allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
pub(crate) mod bindings {
    pub(crate) use kernel::bindings::*;
    use kernel::ffi;

    include!(env!("RUST_SHM_BINDINGS"));
    // Inline functions without a Rust helper, on kernels without these options. No id here is -1, which
    // the munged ones would change; and no module fails to load once its device is there.
    #[cfg(not(CONFIG_XARRAY_MULTI))]
    pub(crate) unsafe fn xa_get_order(_: *mut xarray, _: usize) -> ffi::c_int {
        0
    }
    #[cfg(not(CONFIG_MODULE_UNLOAD))]
    pub(crate) unsafe fn try_module_get(_: *mut module) -> bool {
        true
    }
    #[cfg(not(CONFIG_MODULE_UNLOAD))]
    pub(crate) unsafe fn module_put(_: *mut module) {}
    #[cfg(not(CONFIG_USER_NS))]
    pub(crate) unsafe fn make_kuid(_: *mut user_namespace, val: uid_t) -> kuid_t {
        kuid_t { val }
    }
    #[cfg(not(CONFIG_USER_NS))]
    pub(crate) unsafe fn make_kgid(_: *mut user_namespace, val: gid_t) -> kgid_t {
        kgid_t { val }
    }
    #[cfg(not(CONFIG_USER_NS))]
    pub(crate) unsafe fn from_kuid_munged(_: *mut user_namespace, id: kuid_t) -> uid_t {
        id.val
    }
    #[cfg(not(CONFIG_USER_NS))]
    pub(crate) unsafe fn from_kgid_munged(_: *mut user_namespace, id: kgid_t) -> gid_t {
        id.val
    }
}
