// SPDX-License-Identifier: GPL-2.0

//! The calling thread.

use kernel::bindings;

/// A number that is that of a thread alone, for as long as it runs. A task keeps it when it executes
/// another program, which may give it another pid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ThreadId(usize);

impl ThreadId {
    /// That of the caller.
    pub(crate) fn current() -> Self {
        // SAFETY: Always safe in the context of a task. The pointer is not used as one.
        Self(unsafe { bindings::get_current() } as usize)
    }

    /// A number below `count`, for choosing one of so many things.
    pub(crate) fn choose(self, count: usize) -> usize {
        // A `struct task_struct` is some 8 KiB: the low bits say nothing.
        ((self.0 >> 13) ^ (self.0 >> 19)) % count
    }
}

/// Whether the calling task is to die (`fatal_signal_pending()`, which is inline).
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: `current` is valid; the word is read once, as `sigismember()` does without a lock.
    let pending = unsafe {
        let task = bindings::get_current();
        (&raw const (*task).pending.signal.sig[0]).read_volatile()
    };
    pending & (1 << (bindings::SIGKILL - 1)) != 0
}

/// Lets others run, where the kernel does not preempt (`cond_resched()`).
pub(crate) fn cond_resched() {
    kernel::task::might_sleep();
    // SAFETY: May be called where it is allowed to sleep.
    #[cfg(not(CONFIG_PREEMPTION))]
    unsafe {
        bindings::__cond_resched()
    };
}

/// How many CPUs are online.
pub(crate) fn online_cpus() -> usize {
    // SAFETY: The word is read once.
    let count = unsafe { (&raw const bindings::__num_online_cpus.counter).read_volatile() };
    usize::try_from(count).unwrap_or(1)
}
