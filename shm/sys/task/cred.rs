// SPDX-License-Identifier: GPL-2.0

//! User and group ids of the caller, and their translation between user namespaces.

use crate::shm::rules::permission::{
    Gid,
    Uid, //
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

/// The caller's effective group id (`current_egid()`, which has no Rust helper).
pub(crate) fn egid() -> Gid {
    // SAFETY: `current` may read its own credentials without a lock: only it changes the pointer,
    // and they themselves never change.
    Gid(unsafe { (*(*bindings::get_current()).cred).egid }.val)
}

/// Whether the caller is in a group, by its fsgid or its supplementary groups.
pub(crate) fn in_group(gid: Gid) -> bool {
    // SAFETY: Always safe in the context of a task.
    unsafe { bindings::in_group_p(bindings::kgid_t { val: gid.0 }) != 0 }
}

/// The credentials of the calling task.
///
/// # Invariants
///
/// `cred` is that of `current`, which holds it: only the task itself changes it, and not in a system
/// call of ours. This cannot leave the task.
pub(crate) struct Credentials<'a> {
    cred: NonNull<bindings::cred>,
    _task: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

impl Credentials<'_> {
    /// # Safety
    ///
    /// `task` must be `current`, and what is returned must not leave the system call.
    pub(in crate::shm::sys) unsafe fn of(task: *const bindings::task_struct) -> Self {
        Self {
            // SAFETY: A task has credentials.
            // INVARIANT: By this function's requirement.
            cred: unsafe { NonNull::new_unchecked((*task).cred.cast_mut()) },
            _task: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Effective user id.
    pub(crate) fn euid(&self) -> Uid {
        // SAFETY: By the type invariant; credentials never change.
        Uid(unsafe { (*self.cred.as_ptr()).euid }.val)
    }

    /// The number that the caller's user namespace has for a user, or the overflow id (65534) if it
    /// has none.
    pub(crate) fn uid_to_user(&self, uid: Uid) -> u32 {
        // SAFETY: By the type invariant; credentials hold their user namespace.
        unsafe {
            let user_ns = (*self.cred.as_ptr()).user_ns;
            bindings::from_kuid_munged(user_ns, bindings::kuid_t { val: uid.0 })
        }
    }

    /// The number that the caller's user namespace has for a group, or the overflow id (65534) if it
    /// has none.
    pub(crate) fn gid_to_user(&self, gid: Gid) -> u32 {
        // SAFETY: As above.
        unsafe {
            let user_ns = (*self.cred.as_ptr()).user_ns;
            bindings::from_kgid_munged(user_ns, bindings::kgid_t { val: gid.0 })
        }
    }
}

/// The user that a number means in the caller's user namespace; `EINVAL` if none.
pub(crate) fn uid_from_user(uid: u32) -> Result<Uid> {
    // SAFETY: The caller's credentials hold its user namespace.
    let kuid = unsafe { bindings::make_kuid(bindings::current_user_ns(), uid) };
    // As `uid_valid()`.
    if kuid.val == u32::MAX {
        Err(EINVAL)
    } else {
        Ok(Uid(kuid.val))
    }
}

/// The group that a number means in the caller's user namespace; `EINVAL` if none.
pub(crate) fn gid_from_user(gid: u32) -> Result<Gid> {
    // SAFETY: As above.
    let kgid = unsafe { bindings::make_kgid(bindings::current_user_ns(), gid) };
    // As `gid_valid()`.
    if kgid.val == u32::MAX {
        Err(EINVAL)
    } else {
        Ok(Gid(kgid.val))
    }
}
