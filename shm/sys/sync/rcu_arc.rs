// SPDX-License-Identifier: GPL-2.0

//! Reference-counted objects that RCU readers can find.
//!
//! A table that RCU readers search owns a reference to each of its objects, and drops it only after
//! a grace period ([`RcuDeferred`]). So a reader may use an object that it has found until the end
//! of its read-side critical section, or take a reference.

use super::key_table::Link;
use core::mem::ManuallyDrop;
use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A reference to an [`RcuObject`].
pub(crate) type RcuArc<T> = Arc<RcuObject<T>>;

/// An object with the `struct rcu_head` that `call_rcu()` needs. Used as [`RcuArc<T>`].
///
/// # Invariants
///
/// `head` is in use from the drop of an [`RcuDeferred`] until its callback has run, and at no other
/// time.
#[repr(C)]
#[pin_data]
pub(crate) struct RcuObject<T> {
    #[pin]
    head: Opaque<bindings::callback_head>,
    /// What its key is found by.
    link: Link<T>,
    #[pin]
    value: T,
}

// SAFETY: Only `call_rcu()` uses `head`, and it may run the callback on any CPU. `link` points to
// objects of the same kind, which are shared.
unsafe impl<T: Send + Sync> Send for RcuObject<T> {}
// SAFETY: As above; a shared reference gives access to `value`, and to `link`, which is atomic where it
// changes.
unsafe impl<T: Send + Sync> Sync for RcuObject<T> {}

impl<T: Send + Sync> RcuObject<T> {
    /// Creates an object.
    pub(crate) fn new(value: impl PinInit<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            head: Opaque::uninit(),
            link: Link::new(None),
            value <- value,
        })
    }

    /// Returns the value of an object that is not shared yet.
    pub(crate) fn value_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().value
    }

    /// What its key is found by.
    pub(super) fn link(&self) -> &Link<T> {
        &self.link
    }

    /// Sets that of an object that is not shared yet.
    pub(super) fn set_link(self: Pin<&mut Self>, link: Link<T>) {
        *self.project().link = link;
    }

    /// # Safety
    ///
    /// Called by RCU with the `head` of an object whose [`RcuDeferred`] was dropped.
    unsafe extern "C" fn grace_period_over(head: *mut bindings::callback_head) {
        // SAFETY: `head` is the first field of a `Self`, and the `RcuDeferred` left us its
        // reference.
        drop(unsafe { Arc::from_raw(head.cast_const().cast::<Self>()) });
    }
}

impl<T> core::ops::Deref for RcuObject<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Waits for the callbacks of all [`RcuDeferred`]s when it is dropped: they are code of this
/// module.
pub(crate) struct RcuCallbacks;

impl Drop for RcuCallbacks {
    fn drop(&mut self) {
        // SAFETY: It may sleep here, where the module ends.
        unsafe { bindings::rcu_barrier() };
    }
}

/// The reference of a table to an object that it has removed. Dropping it drops the reference after
/// a grace period.
///
/// # Invariants
///
/// There is no other for the same object, and no callback of an earlier one is pending.
pub(crate) struct RcuDeferred<T: Send + Sync>(ManuallyDrop<RcuArc<T>>);

impl<T: Send + Sync> RcuDeferred<T> {
    /// # Safety
    ///
    /// As the invariant says.
    pub(in crate::shm::sys) unsafe fn new(object: RcuArc<T>) -> Self {
        // INVARIANT: By this function's requirement.
        Self(ManuallyDrop::new(object))
    }

    /// The object.
    pub(super) fn object(&self) -> &RcuObject<T> {
        &self.0
    }
}

impl<T: Send + Sync> Drop for RcuDeferred<T> {
    fn drop(&mut self) {
        let head = self.0.head.get();
        // SAFETY: The object is valid: the reference is not dropped here, but by the callback. By
        // the type invariant `head` is unused.
        unsafe { bindings::call_rcu(head, Some(RcuObject::<T>::grace_period_over)) };
    }
}
