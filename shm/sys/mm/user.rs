// SPDX-License-Identifier: GPL-2.0

//! Copies structures from and to user space.
//!
//! [`kernel::uaccess`] checks each copy at run time; here the size is known at build time.

use crate::shm::sys::compat::{
    FromBytes,
    Immutable,
    IntoBytes, //
};
use core::mem::size_of;
use kernel::{
    bindings,
    prelude::*,
    uaccess::UserPtr, //
};

/// Reads a structure; `EFAULT` on failure.
pub(crate) fn read<T: FromBytes>(from: UserPtr) -> Result<T> {
    let mut value = T::new_zeroed();
    // SAFETY: `value` is valid for writes of its size, and any bytes are a valid `T`.
    // `_copy_from_user()` checks the user address.
    let left = unsafe {
        bindings::_copy_from_user((&raw mut value).cast(), from.as_const_ptr(), size_of::<T>())
    };
    if left == 0 {
        Ok(value)
    } else {
        Err(EFAULT)
    }
}

/// Writes a structure; `EFAULT` on failure.
pub(crate) fn write<T: IntoBytes + Immutable>(to: UserPtr, value: &T) -> Result {
    // SAFETY: `value` is valid for reads of its size, and has no uninitialised bytes.
    // `_copy_to_user()` checks the user address.
    let left = unsafe {
        bindings::_copy_to_user(to.as_mut_ptr(), (&raw const *value).cast(), size_of::<T>())
    };
    if left == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}
