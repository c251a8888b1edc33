// SPDX-License-Identifier: GPL-2.0

//! The macros of pin-init, which take less where they are macros by example.

use core::mem::MaybeUninit;
use kernel::prelude::*;

/// [`kernel::try_pin_init!`], which leaves out fields by their `#[cfg]`.
macro_rules! try_pin_init {
    (Self { $($fields:tt)* }) => { $crate::shm::sys::compat::try_pin_init!(@ [] $($fields)*) };
    (@ [$($done:tt)*]) => { ::kernel::try_pin_init!(Self { $($done)* }) };
    (@ [$($done:tt)*] #[cfg($($option:tt)*)] $field:ident $colon:tt $value:expr, $($rest:tt)*) => {{
        #[cfg($($option)*)]
        {
            $crate::shm::sys::compat::try_pin_init!(@ [$($done)* $field $colon $value,] $($rest)*)
        }
        #[cfg(not($($option)*))]
        {
            $crate::shm::sys::compat::try_pin_init!(@ [$($done)*] $($rest)*)
        }
    }};
    (@ [$($done:tt)*] $field:ident $colon:tt $value:expr, $($rest:tt)*) => {
        $crate::shm::sys::compat::try_pin_init!(@ [$($done)* $field $colon $value,] $($rest)*)
    };
}
pub(crate) use try_pin_init;

/// [`kernel::new_spinlock!`] of what an initialiser makes. It is made where the caller is, and moved.
macro_rules! new_spinlock_of {
    ($init:expr, $name:literal) => {
        ::kernel::new_spinlock!($crate::shm::sys::compat::made($init), $name)
    };
}
pub(crate) use new_spinlock_of;

/// What an initialiser makes.
pub(crate) fn made<T>(init: impl Init<T>) -> T {
    let mut slot = MaybeUninit::uninit();
    // SAFETY: The slot is valid for writes, and has a value if that succeeds; it cannot fail.
    unsafe {
        let Ok(()) = init.__init(slot.as_mut_ptr());
        slot.assume_init()
    }
}
