// SPDX-License-Identifier: GPL-2.0

//! The credentials of the caller (`struct cred`), and the mapping of ids by its user namespace.

use crate::shm::rules::permission::{
    Gid,
    Uid, //
};
use crate::shm::sys::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::NotThreadSafe, //
};

/// Returns the caller's effective group id (`current_egid()`).
pub(crate) fn egid() -> Gid {
    // SAFETY: `current` may read its own credentials without a lock: only it changes the pointer,
    // and credentials are immutable.
    Gid(unsafe { (*(*bindings::get_current()).cred).egid }.val)
}

/// Returns whether the caller is in a group, by its fsgid or supplementary groups.
pub(crate) fn in_group(gid: Gid) -> bool {
    // SAFETY: Always safe in the context of a task.
    unsafe { bindings::in_group_p(bindings::kgid_t { val: gid.0 }) != 0 }
}

/// Returns whether the caller has CAP_SYS_ADMIN in the first user namespace: over the machine.
pub(crate) fn is_sys_admin() -> bool {
    // SAFETY: The first user namespace is never freed.
    unsafe {
        bindings::ns_capable(
            &raw mut bindings::init_user_ns,
            bindings::CAP_SYS_ADMIN as i32,
        )
    }
}

/// The credentials of the calling task.
///
/// # Invariants
///
/// `cred` is that of `current`, which holds a reference: only the task itself replaces it, and not
/// during a system call of this module. The type is not `Send`.
pub(crate) struct Credentials<'a> {
    cred: NonNull<bindings::cred>,
    _task: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

impl Credentials<'_> {
    /// # Safety
    ///
    /// `task` must be `current`, and the returned value must not outlive the system call.
    pub(in crate::shm::sys) unsafe fn of(task: *const bindings::task_struct) -> Self {
        Self {
            // SAFETY: A task has credentials.
            // INVARIANT: By this function's requirement.
            cred: unsafe { NonNull::new_unchecked((*task).cred.cast_mut()) },
            _task: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Returns the effective user id.
    pub(crate) fn euid(&self) -> Uid {
        // SAFETY: By the type invariant; credentials are immutable.
        Uid(unsafe { (*self.cred.as_ptr()).euid }.val)
    }

    /// Maps a user id into the caller's user namespace; unmapped ids become the overflow id
    /// (65534).
    pub(crate) fn uid_to_user(&self, uid: Uid) -> u32 {
        // SAFETY: By the type invariant; credentials hold their user namespace.
        unsafe {
            match (*self.cred.as_ptr()).user_ns {
                first if is_first(first) => uid.0,
                inner => bindings::from_kuid_munged(inner, bindings::kuid_t { val: uid.0 }),
            }
        }
    }

    /// The same for a group id.
    pub(crate) fn gid_to_user(&self, gid: Gid) -> u32 {
        // SAFETY: As above.
        unsafe {
            match (*self.cred.as_ptr()).user_ns {
                first if is_first(first) => gid.0,
                inner => bindings::from_kgid_munged(inner, bindings::kgid_t { val: gid.0 }),
            }
        }
    }
}

/// Whether it is the first user namespace, which maps each id to itself.
fn is_first(user_ns: *mut bindings::user_namespace) -> bool {
    user_ns == &raw mut bindings::init_user_ns
}

/// Maps a user id from the caller's user namespace; `EINVAL` if it is unmapped.
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

/// The same for a group id.
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
