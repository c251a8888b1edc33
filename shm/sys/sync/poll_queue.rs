// SPDX-License-Identifier: GPL-2.0

//! A queue of those who wait for an event of an open file, by `poll(2)` or epoll.
//!
//! [`kernel::sync::poll::PollCondVar`] waits for a grace period when it is dropped, as it may go before
//! the files that are polled. Here, such a file keeps it.

use crate::shm::sys::{
    bindings,
    compat::CStrExt as _, //
};
use core::{
    ffi::CStr,
    ptr, //
};
use kernel::{
    fs::File,
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// A `wait_queue_head_t` whose waiters are removed before it goes.
///
/// # Invariants
///
/// It is initialised, and pinned.
#[pin_data]
pub(crate) struct PollQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue may be used from any task.
unsafe impl Send for PollQueue {}
// SAFETY: A wait queue does its own locking.
unsafe impl Sync for PollQueue {}

impl PollQueue {
    /// An empty queue, with its name and lock class for lockdep.
    pub(crate) fn new(
        name: &'static CStr,
        class: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|slot| {
                // It is nothing but the key.
                let key = (&raw const *class).cast_mut().cast();
                // SAFETY: The slot is valid, and pinned; name and class live for ever.
                unsafe {
                    bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key)
                }
            }),
        })
    }

    /// Makes all who wait look again. Does not sleep.
    pub(crate) fn wake(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::__wake_up(self.head.get(), bindings::TASK_NORMAL, 0, ptr::null_mut()) };
    }

    /// Adds who polls `file` to the queue, if the call may wait. To be called before the state is
    /// read (`poll_wait()`).
    ///
    /// # Safety
    ///
    /// `file` must keep this queue for as long as it is open; `table` must be what its `poll` operation
    /// was given.
    pub(in crate::shm::sys) unsafe fn add(&self, file: &File, table: *mut bindings::poll_table) {
        // SAFETY: By this function's requirements. Who polls a file holds it until it has left the
        // queue; epoll leaves it when the file is closed, before its `release` operation.
        unsafe { bindings::poll_wait(file.as_ptr(), self.head.get(), table) };
    }
}
