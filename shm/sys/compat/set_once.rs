// SPDX-License-Identifier: GPL-2.0

//! `kernel::sync::SetOnce`.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

const EMPTY: u32 = 0;
const WRITING: u32 = 1;
const SET: u32 = 2;

/// A value that is set at most once.
///
/// # Invariants
///
/// `state` never goes back. Who has made it `WRITING` writes the value, alone; while it is `SET` the value
/// is there, and shared.
pub(crate) struct SetOnce<T> {
    state: Atomic<u32>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: It owns the value.
unsafe impl<T: Send> Send for SetOnce<T> {}
// SAFETY: By the type invariant. A value is set by one thread, and may be dropped by another.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self {
            state: Atomic::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The value, if it is set.
    pub(crate) fn as_ref(&self) -> Option<&T> {
        // SAFETY: By the type invariant.
        (self.state.load(Acquire) == SET).then(|| unsafe { &*self.value.get().cast() })
    }

    /// Sets the value, and returns whether this was the first.
    pub(crate) fn populate(&self, value: T) -> bool {
        if self.state.cmpxchg(EMPTY, WRITING, Relaxed).is_err() {
            return false;
        }
        // SAFETY: By the type invariant nobody else does, and nobody reads it yet.
        unsafe { self.value.get().cast::<T>().write(value) };
        self.state.store(SET, Release);
        true
    }
}

impl<T> Drop for SetOnce<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == SET {
            // SAFETY: By the type invariant the value is there; nobody else has it.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}
