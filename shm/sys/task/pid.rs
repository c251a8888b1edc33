// SPDX-License-Identifier: GPL-2.0

//! Process ids (`struct pid`).

use core::ptr::NonNull;
use kernel::bindings;

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

/// Stores the pid of the calling process in `slot`, as `ipc_update_pid()`: reference counts are
/// untouched if it is there already.
pub(crate) fn update(slot: &mut Option<Pid>) {
    if !slot.as_ref().is_some_and(Pid::is_current) {
        *slot = Pid::current();
    }
}
