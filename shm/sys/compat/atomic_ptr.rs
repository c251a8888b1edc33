// SPDX-License-Identifier: GPL-2.0

//! `Atomic<*const T>`, where the kernel crate has atomic integers alone.

use core::marker::PhantomData;
use kernel::sync::atomic::{
    ordering::{
        AcquireOrRelaxed,
        ReleaseOrRelaxed, //
    },
    Atomic, //
};

/// A pointer that is read and written whole.
pub(crate) struct AtomicPtr<T>(Atomic<usize>, PhantomData<fn() -> *const T>);

impl<T> AtomicPtr<T> {
    /// One that is null: a constant has no other address.
    pub(crate) const fn new(null: *const T) -> Self {
        assert!(null.is_null());
        Self(Atomic::new(0), PhantomData)
    }

    /// As [`Atomic::load()`].
    pub(crate) fn load(&self, ordering: impl AcquireOrRelaxed) -> *const T {
        core::ptr::with_exposed_provenance(self.0.load(ordering))
    }

    /// As [`Atomic::store()`].
    pub(crate) fn store(&self, pointer: *const T, ordering: impl ReleaseOrRelaxed) {
        self.0.store(pointer.expose_provenance(), ordering);
    }
}
