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

/// As the kernel's, which knows the error.
#[macro_export]
macro_rules! try_pin_init {
    ($($init:tt)*) => {
        $crate::__pinned_init::try_pin_init!($($init)*? $crate::error::Error)
    };
}
