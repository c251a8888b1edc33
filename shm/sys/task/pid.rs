// SPDX-License-Identifier: GPL-2.0

//! Process ids (`struct pid`).

use core::ptr::NonNull;
use kernel::{
    bindings,
    pid_namespace::PidNamespace,
    prelude::*,
    sync::aref::ARef, //
};

/// A counted reference to a `struct pid`. It outlives the process, and is unaffected by reuse of
/// the number.
///
/// # Invariants
///
/// Owns one reference to a valid `struct pid`.
pub(crate) struct Pid(NonNull<bindings::pid>);

// SAFETY: A `struct pid` is counted atomically, and may be put from any context.
unsafe impl Send for Pid {}
// SAFETY: Its numbers never change.
unsafe impl Sync for Pid {}

/// The pid of the calling process, or null. As `task_tgid()`, which has no Rust helper.
fn of_current() -> *mut bindings::pid {
    // SAFETY: `current` is valid, and so is its `signal` while it runs. No other task changes the pids
    // of `current`.
    unsafe {
        let signal = (*bindings::get_current()).signal;
        (*signal).pids[bindings::pid_type_PIDTYPE_TGID as usize]
    }
}

impl Pid {
    /// Returns the pid of the calling process (`task_tgid(current)`); `None` in a context without
    /// one.
    pub(crate) fn current() -> Option<Self> {
        let pid = NonNull::new(of_current())?;
        // SAFETY: `current` holds a reference to its own pid, so the count is not zero. As
        // `get_pid()`, which has no Rust helper.
        unsafe { bindings::refcount_inc(&raw mut (*pid.as_ptr()).count) };
        // INVARIANT: The reference was just taken.
        Some(Self(pid))
    }

    /// Returns the pid with a number in the caller's pid namespace (`find_get_pid()`); `None` if there
    /// is none.
    fn find(number: i32) -> Option<Self> {
        // SAFETY: May be called by any task, which has a pid namespace.
        // INVARIANT: The function has taken a reference.
        NonNull::new(unsafe { bindings::find_get_pid(number) }).map(Self)
    }

    /// Returns the number in the caller's pid namespace, or 0 if it has none there (`pid_vnr()`).
    pub(crate) fn number(&self) -> i32 {
        // SAFETY: By the type invariant the pid is valid; `current` keeps its own pid namespace.
        unsafe { bindings::pid_vnr(self.0.as_ptr()) }
    }

    /// Returns whether this is the pid of the calling process.
    pub(crate) fn is_current(&self) -> bool {
        of_current() == self.0.as_ptr()
    }
}

impl Drop for Pid {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

/// A process that something is recorded of.
pub(crate) enum Recorded {
    /// By its pid.
    Pid(Pid),
    /// By the number that it had in a pid namespace, if it was gone when that was told.
    Number(i32, ARef<PidNamespace>),
}

impl Recorded {
    /// Returns the calling process; `None` in a context without one.
    pub(crate) fn current() -> Option<Self> {
        Pid::current().map(Self::Pid)
    }

    /// Returns the process that has, or had, a number in the caller's pid namespace; `None` for 0.
    pub(crate) fn from_user(number: i32) -> Option<Self> {
        if number == 0 {
            return None;
        }
        let gone = || Some(Self::Number(number, current!().active_pid_ns()?.into()));
        Pid::find(number).map(Self::Pid).or_else(gone)
    }

    /// Returns the number in the caller's pid namespace, or 0 if it has none there or none is known.
    pub(crate) fn number(&self) -> i32 {
        match self {
            Self::Pid(pid) => pid.number(),
            Self::Number(number, of) => match current!().active_pid_ns() {
                Some(namespace) if core::ptr::eq(namespace, &**of) => *number,
                _ => 0,
            },
        }
    }
}

/// Stores the pid of the calling process in `slot`, as `ipc_update_pid()`: reference counts are
/// untouched if it is there already.
pub(crate) fn update(slot: &mut Option<Recorded>) {
    if !matches!(slot, Some(Recorded::Pid(pid)) if pid.is_current()) {
        *slot = Recorded::current();
    }
}
