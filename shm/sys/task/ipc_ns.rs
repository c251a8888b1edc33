// SPDX-License-Identifier: GPL-2.0

//! IPC namespaces (`struct ipc_namespace`): the caller's, its sysctls, and counted references.

use crate::shm::{
    rules::limits::Limits,
    sys::{
        bindings,
        task::cred::Credentials, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::NotThreadSafe, //
};

/// The number of an IPC namespace, which is never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NamespaceId {
    number: u64,
    inode: u32,
}

impl NamespaceId {
    /// The lowest number, and that of the only namespace on a kernel without `struct
    /// ipc_namespace`.
    pub(crate) const FIRST: Self = Self {
        number: 0,
        inode: 0,
    };

    /// Returns the next number.
    pub(crate) fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            inode: 0,
        }
    }

    /// Returns the number.
    pub(in crate::shm::sys) fn number(self) -> u64 {
        self.number
    }

    /// Returns the inode number of `/proc/PID/ns/ipc`, which may be reused.
    pub(crate) fn inode(self) -> u32 {
        self.inode
    }
}

/// The index of the segments in `ipc_namespace::ids`.
#[cfg(all(CONFIG_SYSVIPC, CONFIG_CHECKPOINT_RESTORE))]
const IPC_SHM_IDS: usize = 2;

/// The capabilities that the module checks.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Capability {
    /// Read and write all segments.
    IpcOwner = bindings::CAP_IPC_OWNER,
    /// Change and remove all segments.
    SysAdmin = bindings::CAP_SYS_ADMIN,
    /// Lock all segments in memory.
    IpcLock = bindings::CAP_IPC_LOCK,
    /// Restore segments.
    CheckpointRestore = bindings::CAP_CHECKPOINT_RESTORE,
}

/// The IPC namespace of the calling task.
///
/// # Invariants
///
/// `ns` is the namespace of `current`, which holds a reference: only the task itself changes its
/// `nsproxy`. The type is not `Send`. `ns` is `None` only on a kernel with neither SYSVIPC nor
/// POSIX_MQUEUE, which has no `struct ipc_namespace`.
pub(crate) struct CurrentIpcNamespace<'a> {
    ns: Option<NonNull<bindings::ipc_namespace>>,
    credentials: Credentials<'a>,
    _task: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

/// Calls `f` with the namespace of the calling task; `ESRCH` if an exiting task has none any more.
pub(crate) fn with_current<R>(f: impl FnOnce(&CurrentIpcNamespace<'_>) -> Result<R>) -> Result<R> {
    // SAFETY: `current` is valid, and reads its own `nsproxy`, which only it changes.
    let (task, nsproxy) = unsafe {
        let task = bindings::get_current();
        (task, (*task).nsproxy)
    };
    if nsproxy.is_null() {
        return Err(ESRCH);
    }
    // SAFETY: A `nsproxy` in use is valid; `f` runs in this system call.
    let (ns, credentials) = unsafe { ((*nsproxy).ipc_ns, Credentials::of(task)) };
    // INVARIANT: `f` runs in this task, and nothing that it calls changes the task's namespaces.
    f(&CurrentIpcNamespace {
        ns: NonNull::new(ns.cast()),
        credentials,
        _task: PhantomData,
        _not_send: NotThreadSafe,
    })
}

impl CurrentIpcNamespace<'_> {
    /// Returns the credentials of the calling task.
    pub(crate) fn credentials(&self) -> &Credentials<'_> {
        &self.credentials
    }

    /// Returns its number.
    pub(crate) fn id(&self) -> NamespaceId {
        match self.ns {
            // SAFETY: By the type invariant.
            Some(ns) => unsafe { id_of(ns.as_ptr()) },
            None => NamespaceId::FIRST,
        }
    }

    /// Returns the current `kernel.shmmax`, `kernel.shmall` and `kernel.shmmni`; `None` on a kernel
    /// without these sysctls.
    pub(crate) fn limits(&self) -> Option<Limits> {
        #[cfg(CONFIG_SYSVIPC)]
        if let Some(ns) = self.ns {
            let ns = ns.as_ptr();
            // SAFETY: By the type invariant. The sysctls may change concurrently; each word is read
            // once, as ipc/shm.c does.
            return Some(unsafe {
                Limits {
                    shmmax: (&raw const (*ns).shm_ctlmax).read_volatile(),
                    shmall: (&raw const (*ns).shm_ctlall).read_volatile(),
                    shmmni: (&raw const (*ns).shm_ctlmni).read_volatile().max(0) as u32,
                }
            });
        }
        None
    }

    /// Takes the id requested for the next segment (`kernel.shm_next_id`), if any. The built-in and
    /// this module share it: the first to create a segment gets it.
    pub(crate) fn take_next_id(&self) -> Option<i32> {
        #[cfg(all(CONFIG_SYSVIPC, CONFIG_CHECKPOINT_RESTORE))]
        if let Some(ns) = self.ns {
            // SAFETY: By the type invariant. The word is read and written once, as
            // `ipc_idr_alloc()` does.
            unsafe {
                let next = &raw mut (*ns.as_ptr()).ids[IPC_SHM_IDS].next_id;
                let id = next.read_volatile();
                if id >= 0 {
                    next.write_volatile(-1);
                    return Some(id);
                }
            }
        }
        None
    }

    /// Returns a reference; `None` on a kernel without `struct ipc_namespace`.
    pub(crate) fn get(&self) -> Option<IpcNamespace> {
        // SAFETY: By the type invariant it is valid, and its count is not zero.
        self.ns.map(|ns| unsafe { IpcNamespace::get(ns) })
    }

    /// Returns the current `kernel.shm_rmid_forced`.
    pub(crate) fn rmid_forced(&self) -> bool {
        match self.ns {
            // SAFETY: By the type invariant. On a kernel without the sysctl the word is 0.
            Some(ns) => unsafe { rmid_forced_of(ns.as_ptr()) },
            None => false,
        }
    }

    /// Returns whether the caller may restore segments (`checkpoint_restore_ns_capable()`).
    pub(crate) fn may_restore(&self) -> bool {
        self.capable(Capability::CheckpointRestore) || self.capable(Capability::SysAdmin)
    }

    /// Returns whether the caller has a capability in the user namespace that owns this namespace
    /// (`ns_capable()`).
    pub(crate) fn capable(&self, capability: Capability) -> bool {
        let owner = match self.ns {
            // SAFETY: By the type invariant.
            Some(ns) => unsafe { (*ns.as_ptr()).user_ns },
            None => &raw mut bindings::init_user_ns,
        };
        // SAFETY: An IPC namespace holds a reference to its user namespace; the initial one is
        // never freed.
        unsafe { bindings::ns_capable(owner, capability as i32) }
    }
}

/// A counted reference to an IPC namespace, which keeps it from ending.
///
/// # Invariants
///
/// Owns one reference to a valid namespace.
pub(crate) struct IpcNamespace(NonNull<bindings::ipc_namespace>);

// SAFETY: Namespaces are counted atomically, and may be put by any task. (Not in an interrupt:
// `put_ipc_ns()` takes plain spinlocks. So an owner must not leave the drop to RCU.)
unsafe impl Send for IpcNamespace {}
// SAFETY: A shared reference gives access to words that are read once.
unsafe impl Sync for IpcNamespace {}

impl IpcNamespace {
    /// Returns the first namespace, which never ends; `None` on a kernel without `struct
    /// ipc_namespace`.
    pub(crate) fn first() -> Option<Self> {
        // SAFETY: Always safe to call; that namespace never ends.
        unsafe { NonNull::new(bindings::rust_shm_first_ipc_ns()).map(|ns| Self::get(ns)) }
    }

    /// Takes a reference. As `get_ipc_ns()`, which is inline: the first namespace is not counted, but
    /// where it is as all others.
    ///
    /// # Safety
    ///
    /// `ns` must be valid, and its count not zero.
    unsafe fn get(ns: NonNull<bindings::ipc_namespace>) -> Self {
        #[cfg(CONFIG_IPC_NS)]
        // SAFETY: By this function's requirement.
        unsafe {
            if crate::shm::sys::compat::is_counted(id_of(ns.as_ptr()).number) {
                let count = ns.as_ptr().byte_add(bindings::RUST_SHM_OFFSET_NS_REF);
                bindings::refcount_inc(count.cast::<bindings::refcount_t>());
            }
        }
        // INVARIANT: The count was just taken, or is not needed.
        Self(ns)
    }

    /// Returns its number.
    pub(crate) fn id(&self) -> NamespaceId {
        // SAFETY: By the type invariant.
        unsafe { id_of(self.0.as_ptr()) }
    }

    /// Returns it for C, which may use it until this is dropped.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut bindings::ipc_namespace {
        self.0.as_ptr()
    }

    /// Returns the current `kernel.shm_rmid_forced`.
    pub(crate) fn rmid_forced(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { rmid_forced_of(self.0.as_ptr()) }
    }
}

impl Drop for IpcNamespace {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        #[cfg(CONFIG_IPC_NS)]
        unsafe {
            bindings::put_ipc_ns(self.0.as_ptr())
        };
    }
}

/// Returns a reference to the namespace of the calling task, if its number is `id`.
pub(crate) fn get_current_if(id: NamespaceId) -> Option<IpcNamespace> {
    with_current(|namespace| Ok((namespace.id() == id).then(|| namespace.get()).flatten()))
        .ok()
        .flatten()
}

/// Returns the namespace of the calling task, which holds it until it leaves its namespaces.
#[cfg(CONFIG_SYSVIPC)]
fn of_current() -> Option<NonNull<bindings::ipc_namespace>> {
    // SAFETY: As in `with_current()`.
    let ns = unsafe {
        let nsproxy = (*bindings::get_current()).nsproxy;
        if nsproxy.is_null() {
            return None;
        }
        (*nsproxy).ipc_ns
    };
    NonNull::new(ns.cast())
}

/// Returns the number of the namespace of the calling task, if it has one still.
#[cfg(CONFIG_SYSVIPC)]
pub(crate) fn current_id() -> Option<NamespaceId> {
    // SAFETY: By `of_current()`.
    of_current().map(|ns| unsafe { id_of(ns.as_ptr()) })
}

/// Returns `kernel.shm_rmid_forced` of the namespace `id`, if it is that of the calling task.
#[cfg(CONFIG_SYSVIPC)]
pub(crate) fn rmid_forced_in(id: NamespaceId) -> Option<bool> {
    let ns = of_current()?.as_ptr();
    // SAFETY: By `of_current()`.
    unsafe { (id_of(ns) == id).then(|| rmid_forced_of(ns)) }
}

/// # Safety
///
/// `ns` must point to a `struct ipc_namespace` that is not freed during the call.
unsafe fn rmid_forced_of(ns: *const bindings::ipc_namespace) -> bool {
    // SAFETY: By this function's requirement; a word that is read once.
    unsafe { (&raw const (*ns).shm_rmid_forced).read_volatile() != 0 }
}

/// Returns the number of a namespace.
///
/// # Safety
///
/// `ns` must point to a `struct ipc_namespace` that is not freed during the call.
pub(in crate::shm::sys) unsafe fn id_of(ns: *const bindings::ipc_namespace) -> NamespaceId {
    // SAFETY: By this function's requirement; the numbers of a namespace never change.
    unsafe {
        NamespaceId {
            number: *ns.byte_add(bindings::RUST_SHM_OFFSET_NS_ID).cast::<u64>(),
            inode: *ns.byte_add(bindings::RUST_SHM_OFFSET_NS_INUM).cast::<u32>(),
        }
    }
}
