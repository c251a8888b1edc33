// SPDX-License-Identifier: GPL-2.0

//! What is used of the crates `zerocopy` and `zerocopy_derive`, for the structures of [`uapi`].

use crate::shm::rules::uapi;
use core::{
    mem,
    slice, //
};

/// Any bytes are a value.
///
/// # Safety
///
/// As it says.
pub(crate) unsafe trait FromBytes: Sized {
    /// The value of zeros.
    fn new_zeroed() -> Self {
        // SAFETY: By the requirement of the trait.
        unsafe { mem::zeroed() }
    }
}

/// All bytes of a value are initialised.
///
/// # Safety
///
/// As it says.
pub(crate) unsafe trait IntoBytes: Sized {
    /// The bytes.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: By the requirement of the trait; a value has so many.
        unsafe { slice::from_raw_parts((&raw const *self).cast(), mem::size_of::<Self>()) }
    }

    /// The bytes, which may be changed.
    fn as_mut_bytes(&mut self) -> &mut [u8]
    where
        Self: FromBytes,
    {
        // SAFETY: As above; whatever is written, is a value.
        unsafe { slice::from_raw_parts_mut((&raw mut *self).cast(), mem::size_of::<Self>()) }
    }
}

/// A value does not change through a shared reference.
pub(crate) trait Immutable {}

macro_rules! implement {
    ($($name:ident = $c_name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            const _: () = assert!(mem::size_of::<uapi::$name>() == 0 $(+ size::<$type>())*);
            // SAFETY: It has integers alone.
            unsafe impl FromBytes for uapi::$name {}
            // SAFETY: It has integers alone, and nothing between them.
            unsafe impl IntoBytes for uapi::$name {}
            impl Immutable for uapi::$name {}
        )*
    };
}

/// The size of an integer: nothing else has both traits.
const fn size<T: Into<i128> + TryFrom<u64>>() -> usize {
    mem::size_of::<T>()
}

uapi::structures!(implement);

/// Defines a structure, which [`implement`] knows.
macro_rules! plain {
    ($($structure:tt)*) => { $($structure)* };
}
pub(crate) use plain;
