// SPDX-License-Identifier: GPL-2.0

//! A box that is made when it is first needed. Until then it takes the room of a pointer.

use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    alloc::KBox,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full, //
    }, //
};

/// A box that is made once, or never.
///
/// # Invariants
///
/// `value` is null, or comes from [`KBox::into_raw`] of a pinned box that this owns. Once it is not
/// null it does not change.
pub(crate) struct LazyBox<T> {
    value: Atomic<*mut T>,
    _owns: PhantomData<KBox<T>>,
}

impl<T: Send + Sync> LazyBox<T> {
    /// Makes none.
    pub(crate) const fn new() -> Self {
        // INVARIANT: It is null.
        Self {
            value: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// The value, if it was made.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: By the type invariant it is null or valid, and stays for as long as `self`. The
        // store that this load has seen the result of was ordered after the making of the value.
        unsafe { self.value.load(Acquire).as_ref() }
    }

    /// The value, which is made if there is none.
    pub(crate) fn get_or_make<E>(&self, init: impl PinInit<T, E>) -> Result<&T>
    where
        Error: From<E>,
    {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let made = KBox::pin_init(init, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: It is not moved out of its box: `drop()` below makes the same box of it again.
        let made = KBox::into_raw(unsafe { Pin::into_inner_unchecked(made) });
        match self.value.cmpxchg(ptr::null_mut(), made, Full) {
            // INVARIANT: It was null, and is a box now that nobody else owns.
            //
            // SAFETY: The box is valid for as long as `self` owns it.
            Ok(_) => Ok(unsafe { &*made }),
            Err(other) => {
                // SAFETY: Nobody else has seen what was made here.
                drop(unsafe { KBox::from_raw(made) });
                // SAFETY: By the type invariant, as it is not null.
                Ok(unsafe { &*other })
            }
        }
    }
}

impl<T> Drop for LazyBox<T> {
    fn drop(&mut self) {
        let value = *self.value.get_mut();
        if !value.is_null() {
            // SAFETY: By the type invariant. The value was never moved.
            drop(unsafe { KBox::from_raw(value) });
        }
    }
}
