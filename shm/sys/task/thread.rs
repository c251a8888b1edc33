// SPDX-License-Identifier: GPL-2.0

//! The calling thread, and the scheduler.

use kernel::{
    bindings,
    current,
    sync::aref::ARef,
    task::Task, //
};

/// Identifies a thread while it runs. Unlike its pid, the id of a thread survives execve(2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ThreadId(usize);

impl ThreadId {
    /// Returns the id of the calling thread.
    pub(crate) fn current() -> Self {
        Self(current!().as_ptr() as usize)
    }

    /// Hashes the id to a number below `count`.
    pub(crate) fn choose(self, count: usize) -> usize {
        // A `struct task_struct` has about 8 KiB: the low bits carry no information.
        ((self.0 >> 13) ^ (self.0 >> 19)) % count
    }
}

/// Returns whether a task has been killed (`__fatal_signal_pending()`, which is inline).
fn is_killed(task: &Task) -> bool {
    // SAFETY: A task is valid; the word is read once, as `sigismember()` does without a lock.
    let pending = unsafe { (&raw const (*task.as_ptr()).pending.signal.sig[0]).read_volatile() };
    pending & (1 << (bindings::SIGKILL - 1)) != 0
}

/// Returns whether the calling task has been killed.
pub(crate) fn fatal_signal_pending() -> bool {
    is_killed(current!())
}

/// A task, for those that work on its behalf.
pub(crate) struct Client(ARef<Task>);

impl Client {
    /// Returns the calling task.
    pub(crate) fn current() -> Self {
        let task: &Task = current!();
        Self(task.into())
    }

    /// Returns whether it has been killed.
    pub(crate) fn is_killed(&self) -> bool {
        is_killed(&self.0)
    }
}

/// Returns the number of online CPUs.
pub(crate) fn online_cpus() -> usize {
    // SAFETY: The word is read once.
    let count = unsafe { (&raw const bindings::__num_online_cpus.counter).read_volatile() };
    usize::try_from(count).unwrap_or(1)
}
