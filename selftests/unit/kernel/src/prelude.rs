// SPDX-License-Identifier: GPL-2.0

//! What every file has.

pub use crate::{
    error::{code::*, Error, Result},
    try_pin_init,
};
pub use core::{
    ffi::{c_int, CStr},
    pin::Pin,
};
pub use pinned_init::{pin_data, pin_init, PinInit};

/// Allocations do not fail here.
#[derive(Clone, Copy)]
pub struct Flags;

pub const GFP_KERNEL: Flags = Flags;
pub const GFP_KERNEL_ACCOUNT: Flags = Flags;
pub const __GFP_NOWARN: Flags = Flags;

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, _: Self) -> Self {
        self
    }
}

/// A vector with the constructors of the kernel's.
pub struct KVVec<T>(Vec<T>);

impl<T> KVVec<T> {
    pub fn with_capacity(capacity: usize, _flags: Flags) -> Result<Self> {
        Ok(Self(Vec::with_capacity(capacity)))
    }

    pub fn push_within_capacity(&mut self, value: T) -> Result<(), T> {
        if self.0.len() == self.0.capacity() {
            return Err(value);
        }
        self.0.push(value);
        Ok(())
    }
}

impl<T> core::ops::Deref for KVVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// As the kernel's, which knows the error.
#[macro_export]
macro_rules! try_pin_init {
    ($($init:tt)*) => {
        $crate::__pinned_init::try_pin_init!($($init)*? $crate::error::Error)
    };
}
