// SPDX-License-Identifier: GPL-2.0

//! A workqueue owned by the module.
//!
//! The system's workqueues do not suffice: the module must not be unloaded before its last work
//! item has returned, and only the owner of a queue can wait for that.

use crate::shm::sys::compat::CStrExt as _;
use core::{
    ffi::CStr,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    workqueue::Queue, //
};

/// A workqueue that is drained and destroyed when it is dropped.
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
    /// Creates an unbound queue, whose items may run concurrently.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: The format takes one string, and one is given.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(
                c"%s".as_char_ptr(),
                bindings::wq_flags_WQ_UNBOUND,
                // The default maximum of concurrent items.
                0,
                name.as_char_ptr(),
            )
        };
        // INVARIANT: The queue is new, and ours.
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
        // SAFETY: By the type invariant the queue is ours. This waits for its items.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
