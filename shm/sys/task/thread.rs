// SPDX-License-Identifier: GPL-2.0

//! The calling thread, and the scheduler.

use kernel::{
    bindings,
    cpu::nr_cpu_ids,
    current,
    prelude::*,
    sync::{
        aref::ARef,
        static_lock_class, //
    },
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

/// A CPU.
///
/// # Invariants
///
/// It is, or was, online.
pub(crate) struct Cpu(c_uint);

/// Returns the CPUs that are online.
pub(crate) fn online_cpus() -> impl Iterator<Item = Cpu> {
    const BITS: usize = usize::BITS as usize;
    let is_online = |cpu: &c_uint| {
        let cpu = *cpu as usize;
        // SAFETY: The mask has a bit for each possible CPU. The word is read once.
        let word = unsafe {
            let words = (&raw const bindings::__cpu_online_mask.bits).cast::<usize>();
            words.add(cpu / BITS).read_volatile()
        };
        word & (1 << (cpu % BITS)) != 0
    };
    // INVARIANT: It is online, or was.
    (0..nr_cpu_ids()).filter(is_online).map(Cpu)
}

impl Cpu {
    /// Calls `f` on it, or elsewhere if it is now offline, and returns what it returns. May sleep.
    #[cfg(CONFIG_SMP)]
    pub(crate) fn call<F: Fn() -> usize + Sync>(&self, f: &F) -> usize {
        /// # Safety
        ///
        /// `f` must be an `F`.
        unsafe extern "C" fn call<F: Fn() -> usize>(f: *mut c_void) -> c_long {
            // SAFETY: By this function's requirement.
            let f = unsafe { &*f.cast::<F>() };
            // CAST: As wide.
            f() as c_long
        }

        // SAFETY: By the type invariant the CPU has been online. This waits until `call` has returned.
        let returned = unsafe {
            bindings::work_on_cpu_key(
                // CAST: The number of a CPU.
                self.0 as c_int,
                Some(call::<F>),
                core::ptr::from_ref(f).cast_mut().cast(),
                static_lock_class!().as_ptr(),
            )
        };
        // CAST: As wide.
        returned as usize
    }

    /// Calls `f` on the only one.
    #[cfg(not(CONFIG_SMP))]
    pub(crate) fn call<F: Fn() -> usize + Sync>(&self, f: &F) -> usize {
        f()
    }
}
