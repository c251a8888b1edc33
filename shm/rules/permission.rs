// SPDX-License-Identifier: GPL-2.0

//! Permission checks: the rules of `ipcperms()` and `ipcctl_obtain_check()` in `ipc/util.c`, of
//! `shmctl_do_lock()` and of `can_do_hugetlb_shm()`.

/// A user id of the kernel (`kuid_t`), independent of user namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uid(pub(crate) u32);

/// A group id of the kernel (`kgid_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gid(pub(crate) u32);

/// The nine permission bits (`S_IRWXUGO`).
pub(crate) const PERMISSION_BITS: u32 = 0o777;

/// The access that a call requests: read, write and execute bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request(u32);

impl Request {
    /// Read: attach read-only, IPC_STAT.
    pub(crate) const READ: Self = Self(0o4);
    /// Read and write.
    pub(crate) const READ_WRITE: Self = Self(0o6);

    /// Returns the access that the permission bits of `shmget()` request from an existing segment:
    /// the union of the three classes.
    pub(crate) fn from_mode(mode: u32) -> Self {
        Self((mode >> 6 | mode >> 3 | mode) & 0o7)
    }

    /// Adds execute.
    pub(crate) fn with_execute(self) -> Self {
        Self(self.0 | 0o1)
    }
}

/// Owner, creator and mode of a segment (`struct kern_ipc_perm`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// The owner, which IPC_SET can change.
    pub(crate) uid: Uid,
    /// The owner's group.
    pub(crate) gid: Gid,
    /// The creator, which never changes.
    pub(crate) cuid: Uid,
    /// The creator's group.
    pub(crate) cgid: Gid,
    /// The nine permission bits.
    pub(crate) mode: u32,
}

/// The calling task.
pub(crate) trait Caller {
    /// Returns the effective user id.
    fn euid(&self) -> Uid;
    /// Returns whether the caller is in a group, by its fsgid or supplementary groups.
    fn in_group(&self, gid: Gid) -> bool;
    /// Returns whether it has CAP_IPC_OWNER in the user namespace that owns the IPC namespace.
    fn has_ipc_owner(&self) -> bool;
    /// The same for CAP_SYS_ADMIN.
    fn has_sys_admin(&self) -> bool;
    /// The same for CAP_IPC_LOCK.
    fn has_ipc_lock(&self) -> bool;
    /// Returns whether RLIMIT_MEMLOCK is not 0.
    fn may_lock_memory(&self) -> bool;
    /// Returns whether it has CAP_IPC_LOCK in the initial user namespace, which allows SHM_HUGETLB.
    fn may_have_huge_pages(&self) -> bool;
}

impl Ownership {
    fn is_owner(&self, caller: &impl Caller) -> bool {
        let euid = caller.euid();
        euid == self.cuid || euid == self.uid
    }

    /// Checks a request, as `ipcperms()`: only the bits of the first class that the caller belongs
    /// to count. The capability is checked last, since a successful check sets PF_SUPERPRIV.
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

    /// Returns whether the caller may do IPC_SET and IPC_RMID, as `ipcctl_obtain_check()`.
    pub(crate) fn allows_control(&self, caller: &impl Caller) -> bool {
        self.is_owner(caller) || caller.has_sys_admin()
    }

    /// Returns whether the caller may do SHM_LOCK. The capability is checked first, as in
    /// `shmctl_do_lock()`.
    pub(crate) fn allows_lock(&self, caller: &impl Caller) -> bool {
        caller.has_ipc_lock() || (self.is_owner(caller) && caller.may_lock_memory())
    }

    /// Returns whether the caller may do SHM_UNLOCK.
    pub(crate) fn allows_unlock(&self, caller: &impl Caller) -> bool {
        caller.has_ipc_lock() || self.is_owner(caller)
    }
}

/// Returns whether the caller may use SHM_HUGETLB, as `can_do_hugetlb_shm()`. `group` returns
/// `vm.hugetlb_shm_group`; it is called only if the capability is missing, and its error returned.
pub(crate) fn allows_huge_pages<E>(
    caller: &impl Caller,
    group: impl FnOnce() -> Result<Option<Gid>, E>,
) -> Result<bool, E> {
    Ok(caller.may_have_huge_pages() || group()?.is_some_and(|group| caller.in_group(group)))
}
