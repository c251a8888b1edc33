// SPDX-License-Identifier: GPL-2.0

//! Structures from and to user space.
//!
//! [`kernel::uaccess`] goes through a check for each copy that these need not: their size is known
//! when the module is built.

use core::mem::size_of;
use kernel::{
    bindings,
    prelude::*,
    uaccess::UserPtr, //
};

/// Reads a structure; `EFAULT` where it cannot be read.
pub(crate) fn read<T: FromBytes>(from: UserPtr) -> Result<T> {
    let mut value = T::new_zeroed();
    // SAFETY: `value` is valid for writes of its size, and any bytes make a `T`. What user space
    // gives as an address is checked by `_copy_from_user()`.
    let left = unsafe {
        bindings::_copy_from_user((&raw mut value).cast(), from.as_const_ptr(), size_of::<T>())
    };
    if left == 0 {
        Ok(value)
    } else {
        Err(EFAULT)
    }
}

/// Writes a structure; `EFAULT` where it cannot be written.
pub(crate) fn write<T: IntoBytes + zerocopy::Immutable>(to: UserPtr, value: &T) -> Result {
    // SAFETY: `value` is valid for reads of its size, and has no bytes that are not initialised.
    // What user space gives as an address is checked by `_copy_to_user()`.
    let left = unsafe {
        bindings::_copy_to_user(to.as_mut_ptr(), (&raw const *value).cast(), size_of::<T>())
    };
    if left == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}
