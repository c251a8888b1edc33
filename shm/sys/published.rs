// SPDX-License-Identifier: GPL-2.0

//! A counted object that readers may find under RCU.
//!
//! A table that shows an object to RCU readers owns a reference to it. When the object is taken out
//! of the table, that reference is dropped only after a grace period; so a reader that found the
//! object may use it, or take a reference of its own, for as long as it stays in its critical
//! section.

use core::ops::Deref;
use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// An object with the room that `call_rcu()` needs. Used as `Arc<Published<T>>`.
///
/// # Invariants
///
/// `head` is in use from [`withdraw()`](Self::withdraw) until its callback has dropped a reference, and at no other time.
#[repr(C)]
#[pin_data]
pub(crate) struct Published<T> {
    #[pin]
    head: Opaque<bindings::callback_head>,
    #[pin]
    value: T,
}

// SAFETY: `head` is touched by `call_rcu()` alone, which may run the callback on any CPU.
unsafe impl<T: Send> Send for Published<T> {}
// SAFETY: As above; a shared reference gives access to `value` alone.
unsafe impl<T: Sync> Sync for Published<T> {}

impl<T: Send + Sync> Published<T> {
    /// Makes an object, not in any table yet.
    pub(crate) fn new(value: impl PinInit<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            head: Opaque::uninit(),
            value <- value,
        })
    }

    /// Drops a reference after a grace period.
    ///
    /// # Safety
    ///
    /// The same object must not be withdrawn again before the reference has been dropped.
    pub(super) unsafe fn withdraw(this: Arc<Self>) {
        let this = Arc::into_raw(this);
        // SAFETY: The object is valid, kept by the count that `this` was. By this function's
        // requirement `head` is free. The callback takes the count over.
        unsafe { bindings::call_rcu((*this).head.get(), Some(Self::grace_period_over)) };
    }

    /// # Safety
    ///
    /// Called by RCU with the `head` of an object that was withdrawn.
    unsafe extern "C" fn grace_period_over(head: *mut bindings::callback_head) {
        // SAFETY: `head` is the first field of a `Self`, whose count `withdraw()` left to us.
        drop(unsafe { Arc::from_raw(head.cast_const().cast::<Self>()) });
    }
}

impl<T> Deref for Published<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
