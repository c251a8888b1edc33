// SPDX-License-Identifier: GPL-2.0

//! The caller's IPC namespace.

use crate::shm::rules::limits::Limits;
#[cfg(CONFIG_IPC_NS)]
use crate::shm::sys::bindings::{
    put_ipc_ns,
    RUST_SHM_NS_LAST_INIT_ID,
    RUST_SHM_OFFSET_NS_REF, //
};
use crate::shm::sys::{
    bindings::{
        ipc_namespace,
        RUST_SHM_OFFSET_NS_ID,
        RUST_SHM_OFFSET_NS_INUM, //
    },
    task::cred::Credentials, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    types::NotThreadSafe, //
};

/// The number of an IPC namespace, unique for as long as the kernel runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NamespaceId {
    number: u64,
    inode: u32,
}

impl NamespaceId {
    /// The number after this one.
    pub(crate) fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            inode: 0,
        }
    }

    /// The inode number of `/proc/PID/ns/ipc`, which is used again when the namespace has ended.
    pub(crate) fn inode(self) -> u32 {
        self.inode
    }
}

impl NamespaceId {
    /// None is before this. It is that of the only one on a kernel without any `struct
    /// ipc_namespace`.
    pub(crate) const FIRST: Self = Self {
        number: 0,
        inode: 0,
    };
}

/// Which of the ids of a namespace are those of segments.
#[cfg(all(CONFIG_SYSVIPC, CONFIG_CHECKPOINT_RESTORE))]
const IPC_SHM_IDS: usize = 2;

/// A capability that counts here, with its number from `<linux/capability.h>`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Capability {
    /// Read and write any segment.
    IpcOwner = bindings::CAP_IPC_OWNER,
    /// Change and remove any segment.
    SysAdmin = bindings::CAP_SYS_ADMIN,
    /// Lock any segment in memory.
    IpcLock = bindings::CAP_IPC_LOCK,
}

/// The IPC namespace of the calling task.
///
/// # Invariants
///
/// `ns` is the namespace of `current`, which holds it: a task's `nsproxy` is changed by the task
/// alone, and this cannot leave it. It is `None` for all tasks, or for none: there is no `struct
/// ipc_namespace` on a kernel with neither SYSVIPC nor POSIX_MQUEUE.
pub(crate) struct CurrentIpcNamespace<'a> {
    ns: Option<NonNull<ipc_namespace>>,
    credentials: Credentials<'a>,
    _task: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

/// Calls `f` with the namespace of the calling task; `ESRCH` for a task that is past having one.
pub(crate) fn with_current<R>(f: impl FnOnce(&CurrentIpcNamespace<'_>) -> Result<R>) -> Result<R> {
    // SAFETY: `current` is valid, and reads its own `nsproxy`, which only it changes.
    let (task, nsproxy) = unsafe {
        let task = bindings::get_current();
        (task, (*task).nsproxy)
    };
    if nsproxy.is_null() {
        return Err(ESRCH);
    }
    // SAFETY: A `nsproxy` in use is valid.
    let ns = NonNull::new(unsafe { (*nsproxy).ipc_ns }.cast());
    // INVARIANT: `f` runs in this task, and nothing that it calls changes the task's namespaces.
    f(&CurrentIpcNamespace {
        ns,
        // SAFETY: As above.
        credentials: unsafe { Credentials::of(task) },
        _task: PhantomData,
        _not_send: NotThreadSafe,
    })
}

impl CurrentIpcNamespace<'_> {
    /// The credentials of the calling task.
    pub(crate) fn credentials(&self) -> &Credentials<'_> {
        &self.credentials
    }

    /// Its number.
    pub(crate) fn id(&self) -> NamespaceId {
        match self.ns {
            // SAFETY: By the type invariant.
            Some(ns) => unsafe { id_of(ns.as_ptr()) },
            None => NamespaceId::FIRST,
        }
    }

    /// Its `kernel.shmmax`, `kernel.shmall` and `kernel.shmmni`, as they are now; `None` on a kernel
    /// that has no such sysctls.
    pub(crate) fn limits(&self) -> Option<Limits> {
        #[cfg(CONFIG_SYSVIPC)]
        if let Some(ns) = self.ns {
            let ns = ns.as_ptr();
            // SAFETY: By the type invariant. The sysctls may change under us; they are words that
            // are read once each, as ipc/shm.c does.
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

    /// Takes the id that the next segment is to have, if there is one (`kernel.shm_next_id`). The
    /// next segment, that is of the built-in or of ours: whichever comes first.
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

    /// A reference to it, or `None` where there is no `struct ipc_namespace` at all.
    pub(crate) fn get(&self) -> Option<IpcNamespace> {
        let ns = self.ns?;
        // As `get_ipc_ns()`, which is inline: the first namespace is not counted.
        #[cfg(CONFIG_IPC_NS)]
        if self.id().number > RUST_SHM_NS_LAST_INIT_ID {
            // SAFETY: By the type invariant it is valid, and its count is not zero.
            unsafe {
                let count = ns.as_ptr().byte_add(RUST_SHM_OFFSET_NS_REF);
                bindings::refcount_inc(count.cast::<bindings::refcount_t>());
            }
        }
        // INVARIANT: The count was just taken, or is not needed.
        Some(IpcNamespace(ns))
    }

    /// Its `kernel.shm_rmid_forced`, as it is now.
    pub(crate) fn rmid_forced(&self) -> bool {
        match self.ns {
            // SAFETY: By the type invariant. On a kernel without the sysctl the word is 0.
            Some(ns) => unsafe { rmid_forced_of(ns.as_ptr()) },
            None => false,
        }
    }

    /// Whether the caller has a capability over the user namespace that owns this one
    /// (`ns_capable()`).
    pub(crate) fn capable(&self, capability: Capability) -> bool {
        let owner = match self.ns {
            // SAFETY: By the type invariant.
            Some(ns) => unsafe { (*ns.as_ptr()).user_ns },
            None => &raw mut bindings::init_user_ns,
        };
        // SAFETY: An IPC namespace holds the user namespace that owns it; the first one of all is
        // always there.
        unsafe { bindings::ns_capable(owner, capability as i32) }
    }
}

/// A counted reference to an IPC namespace: it does not end while there is one.
///
/// # Invariants
///
/// Holds a count of the namespace, which is valid.
pub(crate) struct IpcNamespace(NonNull<ipc_namespace>);

// SAFETY: Namespaces are counted atomically, and may be put by any task. (Not in an interrupt:
// `put_ipc_ns()` takes plain spinlocks. Who has one does not leave it to RCU.)
unsafe impl Send for IpcNamespace {}
// SAFETY: A shared reference gives access to words that are read once.
unsafe impl Sync for IpcNamespace {}

impl IpcNamespace {
    /// Its `kernel.shm_rmid_forced`, as it is now.
    pub(crate) fn rmid_forced(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { rmid_forced_of(self.0.as_ptr()) }
    }
}

impl Drop for IpcNamespace {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the count is ours.
        #[cfg(CONFIG_IPC_NS)]
        unsafe {
            put_ipc_ns(self.0.as_ptr())
        };
    }
}

/// A reference to the calling task's namespace, if that is `id`.
pub(crate) fn get_current_if(id: NamespaceId) -> Option<IpcNamespace> {
    with_current(|namespace| Ok((namespace.id() == id).then(|| namespace.get()).flatten()))
        .ok()
        .flatten()
}

/// `kernel.shm_rmid_forced` of the namespace `id`, if that is the calling task's.
#[cfg(CONFIG_SYSVIPC)]
pub(crate) fn rmid_forced_in(id: NamespaceId) -> Option<bool> {
    // SAFETY: As in `with_current()`; a task holds its namespaces until it has exited from them.
    unsafe {
        let nsproxy = (*bindings::get_current()).nsproxy;
        if nsproxy.is_null() {
            return None;
        }
        let ns = (*nsproxy).ipc_ns.cast::<ipc_namespace>();
        (!ns.is_null() && id_of(ns) == id).then(|| rmid_forced_of(ns))
    }
}

/// # Safety
///
/// `ns` must point to a `struct ipc_namespace` that is not freed during the call.
unsafe fn rmid_forced_of(ns: *const ipc_namespace) -> bool {
    // SAFETY: By this function's requirement; a word that is read once.
    unsafe { (&raw const (*ns).shm_rmid_forced).read_volatile() != 0 }
}

/// The number of a namespace.
///
/// # Safety
///
/// `ns` must point to a `struct ipc_namespace` that is not freed during the call.
pub(in crate::shm::sys) unsafe fn id_of(ns: *const ipc_namespace) -> NamespaceId {
    // SAFETY: By this function's requirement; the numbers never change while the namespace is
    // there.
    unsafe {
        NamespaceId {
            number: *ns.byte_add(RUST_SHM_OFFSET_NS_ID).cast::<u64>(),
            inode: *ns.byte_add(RUST_SHM_OFFSET_NS_INUM).cast::<u32>(),
        }
    }
}
