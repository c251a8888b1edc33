// SPDX-License-Identifier: GPL-2.0

//! Whether a caller may read, write, own or lock a segment: pure policy, no kernel calls.
//!
//! The rules are those of `ipcperms()` and `ipcctl_obtain_check()` in `ipc/util.c`, of
//! `shmctl_do_lock()` and of `can_do_hugetlb_shm()`. They are plain code on plain values, so that
//! they are tested on the host too.

/// A user, as the kernel numbers it (`kuid_t`): the same in all user namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uid(pub(crate) u32);

/// A group, as the kernel numbers it (`kgid_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gid(pub(crate) u32);

/// The nine permission bits, as in `open(2)`.
pub(crate) const PERMISSION_BITS: u32 = 0o777;

/// What a call wants to do with a segment: one of more of the three bits of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request(u32);

impl Request {
    /// To read: attach read-only, or look at its state.
    pub(crate) const READ: Self = Self(0o4);
    /// To read and write.
    pub(crate) const READ_WRITE: Self = Self(0o6);

    /// What the permission bits of `shmget()` ask of a segment that exists: the three classes
    /// together.
    pub(crate) fn from_mode(mode: u32) -> Self {
        Self((mode >> 6 | mode >> 3 | mode) & 0o7)
    }

    /// To execute too.
    pub(crate) fn with_execute(self) -> Self {
        Self(self.0 | 0o1)
    }
}

/// Who owns a segment, who made it, and what it allows to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// Owner: may be changed by IPC_SET.
    pub(crate) uid: Uid,
    /// The owner's group.
    pub(crate) gid: Gid,
    /// Creator: never changes.
    pub(crate) cuid: Uid,
    /// The creator's group.
    pub(crate) cgid: Gid,
    /// The nine permission bits.
    pub(crate) mode: u32,
}

/// Who calls.
pub(crate) trait Caller {
    /// Effective user id.
    fn euid(&self) -> Uid;
    /// Whether the caller is in a group, by its fsgid or its supplementary groups.
    fn in_group(&self, gid: Gid) -> bool;
    /// CAP_IPC_OWNER in the user namespace that owns the IPC namespace.
    fn has_ipc_owner(&self) -> bool;
    /// CAP_SYS_ADMIN there.
    fn has_sys_admin(&self) -> bool;
    /// CAP_IPC_LOCK there.
    fn has_ipc_lock(&self) -> bool;
    /// Whether RLIMIT_MEMLOCK lets the caller lock any memory at all.
    fn may_lock_memory(&self) -> bool;
    /// CAP_IPC_LOCK in the first user namespace, which lets the caller have huge pages.
    fn may_have_huge_pages(&self) -> bool;
}

impl Ownership {
    fn is_owner(&self, caller: &impl Caller) -> bool {
        let euid = caller.euid();
        euid == self.cuid || euid == self.uid
    }

    /// Whether `caller` may do what it wants, as `ipcperms()`: the bits of the first class that it
    /// belongs to decide, even where another class may more. A capability is asked about last:
    /// asking leaves a mark on the task.
    pub(crate) fn allows(&self, caller: &impl Caller, request: Request) -> bool {
        let granted = if self.is_owner(caller) {
            self.mode >> 6
        } else if caller.in_group(self.cgid) || caller.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        request.0 & !granted & 0o7 == 0 || caller.has_ipc_owner()
    }

    /// Whether `caller` may change or remove the segment, as `ipcctl_obtain_check()`.
    pub(crate) fn allows_control(&self, caller: &impl Caller) -> bool {
        self.is_owner(caller) || caller.has_sys_admin()
    }

    /// Whether `caller` may lock the segment in memory, as `shmctl_do_lock()`, which asks for the
    /// capability first.
    pub(crate) fn allows_lock(&self, caller: &impl Caller) -> bool {
        caller.has_ipc_lock() || (self.is_owner(caller) && caller.may_lock_memory())
    }

    /// Whether `caller` may unlock it, likewise.
    pub(crate) fn allows_unlock(&self, caller: &impl Caller) -> bool {
        caller.has_ipc_lock() || self.is_owner(caller)
    }
}

/// Whether `caller` may have huge pages, as `can_do_hugetlb_shm()`. `group` says which group may
/// (`vm.hugetlb_shm_group`), and is called only where it decides.
pub(crate) fn allows_huge_pages(caller: &impl Caller, group: impl FnOnce() -> Option<Gid>) -> bool {
    caller.may_have_huge_pages() || group().is_some_and(|group| caller.in_group(group))
}
