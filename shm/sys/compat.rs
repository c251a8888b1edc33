// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernels that the module is built for, so that no other file has to ask.
//!
//! A difference that C hides, as the place of a field or the number behind a name, is no difference
//! here: `bindings.h` takes it from the headers.

use crate::shm::sys::bindings;
use kernel::{
    prelude::*,
    sync::atomic::Full, //
};

/// Returns `THIS_MODULE`. The kernel crate has moved its own.
pub(crate) const fn this_module() -> *mut bindings::module {
    &raw mut bindings::__this_module
}

/// A full memory barrier between CPUs. The one of 7.2's kernel crate takes no ordering.
pub(crate) fn smp_mb(_: Full) {
    // SAFETY: Always safe to call.
    unsafe { bindings::smp_mb() };
}

/// Returns `EIDRM`, which the prelude has since 7.3.
pub(crate) fn eidrm() -> Error {
    Error::from_errno(-(bindings::EIDRM as c_int))
}

/// Returns `EOPNOTSUPP`, which the prelude has since 7.3.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}
