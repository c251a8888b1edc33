// SPDX-License-Identifier: GPL-2.0

//! A counted `struct pid`.

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    sync::rcu,
    types::NotThreadSafe, //
};

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
        // SAFETY: `current` holds a count on its own pid, so the count is not zero.
        unsafe { Self::get(pid) }
    }

    /// Takes a count.
    ///
    /// # Safety
    ///
    /// `pid` must be null, or valid with a count that is not zero.
    unsafe fn get(pid: *mut bindings::pid) -> Option<Self> {
        let pid = NonNull::new(pid)?;
        // SAFETY: By this function's requirement. As `get_pid()`, which has no Rust helper.
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

/// The thread that made something: it counts as gone when that thread has exited, and it is shown as
/// the process that it belonged to.
pub(crate) struct Creator {
    process: Option<Pid>,
    /// `None` for the first thread of the process, which has the same pid.
    thread: Option<Pid>,
}

impl Creator {
    /// The calling thread.
    pub(crate) fn current() -> Self {
        let process = Pid::current();
        let thread = CurrentThread::with(|thread| {
            if process
                .as_ref()
                .is_some_and(|pid| pid.0.as_ptr() == thread.pid)
            {
                None
            } else {
                // SAFETY: `current` holds a count on its own pid.
                unsafe { Pid::get(thread.pid) }
            }
        });
        Self { process, thread }
    }

    /// The number of the process for the caller, or 0 (`pid_vnr()`).
    pub(crate) fn number(&self) -> i32 {
        self.process.as_ref().map_or(0, Pid::number)
    }

    fn thread(&self) -> *mut bindings::pid {
        let pid = self.thread.as_ref().or(self.process.as_ref());
        pid.map_or(core::ptr::null_mut(), |pid| pid.0.as_ptr())
    }

    /// Whether it is the thread that has this pid.
    pub(crate) fn is(&self, pid: &Pid) -> bool {
        self.thread() == pid.0.as_ptr()
    }

    /// Whether the thread has exited, or is about to.
    pub(crate) fn is_gone(&self) -> bool {
        let _rcu = rcu::read_lock();
        // SAFETY: The pid is null or valid. A task that is found is there until the end of the
        // critical section; its flags are read once.
        unsafe {
            let task = bindings::pid_task(self.thread(), bindings::pid_type_PIDTYPE_PID);
            task.is_null() || (&raw const (*task).flags).read_volatile() & bindings::PF_EXITING != 0
        }
    }

    /// A number from 0 below `count`, the same for the same thread.
    pub(crate) fn choose(&self, count: usize) -> usize {
        choose(self.thread(), count)
    }
}

fn choose(pid: *mut bindings::pid, count: usize) -> usize {
    // As `hash_ptr()`, which is inline.
    ((pid.addr() as u64).wrapping_mul(0x61c8_8646_80b5_83eb) >> 32) as usize % count
}

/// The calling thread.
///
/// # Invariants
///
/// `pid` is the thread's, which it holds, and `task` is `current`.
pub(crate) struct CurrentThread<'a> {
    task: *mut bindings::task_struct,
    pid: *mut bindings::pid,
    _task: PhantomData<&'a ()>,
    _not_send: NotThreadSafe,
}

impl CurrentThread<'_> {
    /// Calls `f` with it.
    pub(crate) fn with<R>(f: impl FnOnce(&CurrentThread<'_>) -> R) -> R {
        // SAFETY: `current` is valid, and holds its pid while it runs.
        // INVARIANT: It does not leave this call.
        let thread = unsafe {
            let task = bindings::get_current();
            CurrentThread {
                task,
                pid: (*task).thread_pid,
                _task: PhantomData,
                _not_send: NotThreadSafe,
            }
        };
        f(&thread)
    }

    /// As [`Creator::choose()`].
    pub(crate) fn choose(&self, count: usize) -> usize {
        choose(self.pid, count)
    }

    /// Whether it exits.
    pub(crate) fn is_exiting(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.task).flags & bindings::PF_EXITING != 0 }
    }

    /// Its pid, to keep.
    pub(crate) fn pid(&self) -> Option<Pid> {
        // SAFETY: By the type invariant the thread holds a count.
        unsafe { Pid::get(self.pid) }
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
