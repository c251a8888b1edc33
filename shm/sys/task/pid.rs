// SPDX-License-Identifier: GPL-2.0

//! A counted `struct pid`.

use core::ptr::NonNull;
use kernel::bindings;

/// A process, by a `struct pid` that outlives it: a number that is used again for another process
/// is not mistaken for this one.
///
/// # Invariants
///
/// Holds one count of a valid `struct pid`.
pub(crate) struct Pid(NonNull<bindings::pid>);

// SAFETY: A `struct pid` is counted atomically, and may be put from any context.
unsafe impl Send for Pid {}
// SAFETY: Its numbers never change.
unsafe impl Sync for Pid {}

impl Pid {
    /// The calling process (`task_tgid(current)`), or `None` in the rare context that has none.
    pub(crate) fn current() -> Option<Self> {
        // SAFETY: `current` is valid, and so is its `signal` for as long as it runs. The pids of
        // `current` itself are changed by no other task. As `task_tgid()`, which has no Rust
        // helper.
        let pid = unsafe {
            let signal = (*bindings::get_current()).signal;
            (*signal).pids[bindings::pid_type_PIDTYPE_TGID as usize]
        };
        let pid = NonNull::new(pid)?;
        // SAFETY: `current` holds a count on its own pid, so the count is not zero. As `get_pid()`,
        // which has no Rust helper.
        unsafe { bindings::refcount_inc(&raw mut (*pid.as_ptr()).count) };
        // INVARIANT: The count was just taken.
        Some(Self(pid))
    }

    /// The number that the caller's pid namespace knows the process by, or 0 if it knows it not
    /// (`pid_vnr()`).
    pub(crate) fn number(&self) -> i32 {
        // SAFETY: By the type invariant the pid is valid; `current` keeps its own pid namespace.
        unsafe { bindings::pid_vnr(self.0.as_ptr()) }
    }

    /// Whether this is the calling process.
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: As in `current()`; the pointer is compared, not used.
        let pid = unsafe {
            (*(*bindings::get_current()).signal).pids[bindings::pid_type_PIDTYPE_TGID as usize]
        };
        pid == self.0.as_ptr()
    }
}

impl Drop for Pid {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this count is ours to drop.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

/// Notes the calling process in `slot`, as `ipc_update_pid()`: the counts are touched only when it
/// is another one than before.
pub(crate) fn update(slot: &mut Option<Pid>) {
    if !slot.as_ref().is_some_and(Pid::is_current) {
        *slot = Pid::current();
    }
}
