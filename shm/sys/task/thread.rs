// SPDX-License-Identifier: GPL-2.0

//! Which thread is calling.

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
