// SPDX-License-Identifier: GPL-2.0

//! `kernel::str::CStrExt`, where the kernel crate has a type of its own for strings.

use core::ffi::CStr;
use kernel::prelude::c_char;

/// Pointers to characters as C has them: those of the kernel are unsigned.
pub(crate) trait CStrExt {
    /// The string that `pointer` points to.
    ///
    /// # Safety
    ///
    /// As for [`CStr::from_ptr()`].
    unsafe fn from_char_ptr<'a>(pointer: *const c_char) -> &'a Self;

    /// A pointer to the string.
    fn as_char_ptr(&self) -> *const c_char;
}

#[allow(clippy::disallowed_methods)]
impl CStrExt for CStr {
    unsafe fn from_char_ptr<'a>(pointer: *const c_char) -> &'a Self {
        // SAFETY: By this function's requirement.
        unsafe { Self::from_ptr(pointer.cast()) }
    }

    fn as_char_ptr(&self) -> *const c_char {
        self.as_ptr().cast()
    }
}
