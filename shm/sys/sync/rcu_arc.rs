// SPDX-License-Identifier: GPL-2.0

//! A counted object that readers may find under RCU.
//!
//! A table that shows an object to RCU readers owns a reference to it. When the object is taken out
//! of the table, that reference is dropped only after a grace period; so a reader that found the
//! object may use it, or take a reference of its own, for as long as it stays in its critical
//! section.

use core::{
    mem::ManuallyDrop,
    ops::Deref, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    types::Opaque, //
};

/// A reference to an [`RcuObject`].
pub(crate) type RcuArc<T> = Arc<RcuObject<T>>;

/// An object with the room that `call_rcu()` needs. Used as `RcuArc<T>`.
///
/// # Invariants
///
/// `head` is in use from when a [`RcuDeferred`] is dropped until the callback has dropped a
/// reference, and at no other time.
#[repr(C)]
#[pin_data]
pub(crate) struct RcuObject<T> {
    #[pin]
    head: Opaque<bindings::callback_head>,
    #[pin]
    value: T,
}

// SAFETY: `head` is touched by `call_rcu()` alone, which may run the callback on any CPU.
unsafe impl<T: Send> Send for RcuObject<T> {}
// SAFETY: As above; a shared reference gives access to `value` alone.
unsafe impl<T: Sync> Sync for RcuObject<T> {}

impl<T: Send + Sync> RcuObject<T> {
    /// Makes an object, not in any table yet.
    pub(crate) fn new(value: impl PinInit<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            head: Opaque::uninit(),
            value <- value,
        })
    }

    /// The object, while it is not shared yet.
    pub(crate) fn value_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().value
    }

    /// # Safety
    ///
    /// Called by RCU with the `head` of an object that was deferred.
    unsafe extern "C" fn grace_period_over(head: *mut bindings::callback_head) {
        // SAFETY: `head` is the first field of a `Self`, whose count the `RcuDeferred` left to us.
        drop(unsafe { Arc::from_raw(head.cast_const().cast::<Self>()) });
    }
}

impl<T> Deref for RcuObject<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Waits, when this is dropped, for the callbacks of all that was deferred: their code is here.
pub(crate) struct RcuCallbacks;

impl Drop for RcuCallbacks {
    fn drop(&mut self) {
        rcu::rcu_barrier();
    }
}

/// The reference of a table that has shown an object to RCU readers, and does no more. When it is
/// dropped, the object is kept for another grace period.
///
/// # Invariants
///
/// There is no other of the same object, and the callback of none before is pending.
pub(crate) struct RcuDeferred<T: Send + Sync>(ManuallyDrop<RcuArc<T>>);

impl<T: Send + Sync> RcuDeferred<T> {
    /// # Safety
    ///
    /// As the invariant says.
    pub(in crate::shm::sys) unsafe fn new(object: RcuArc<T>) -> Self {
        // INVARIANT: By this function's requirement.
        Self(ManuallyDrop::new(object))
    }
}

impl<T: Send + Sync> Drop for RcuDeferred<T> {
    fn drop(&mut self) {
        let head = self.0.head.get();
        // SAFETY: The object is valid, kept by the count that is not dropped here: the callback
        // takes it over. By the type invariant `head` is free.
        unsafe { bindings::call_rcu(head, Some(RcuObject::<T>::grace_period_over)) };
    }
}
