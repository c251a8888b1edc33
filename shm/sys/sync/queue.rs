// SPDX-License-Identifier: GPL-2.0

//! A workqueue that is drained when it is dropped.
//!
//! The system's workqueues will not do: a module may not go away before the last instruction of its
//! last work item, and only the owner of a queue can wait for that.

use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    str::CStr,
    workqueue::Queue, //
};

/// A workqueue of our own.
///
/// # Invariants
///
/// Owns a valid workqueue.
pub(crate) struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed from any task.
unsafe impl Send for OwnedQueue {}
// SAFETY: Workqueues do their own locking.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a queue whose items run side by side, bound to no CPU.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The format takes one string, and one is given.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                bindings::wq_flags_WQ_UNBOUND,
                // As many as is usual.
                0,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: A queue that is not null is ours.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant the queue is valid for as long as `self` is.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is ours. This waits for all its items.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
