// SPDX-License-Identifier: GPL-2.0

//! Counted references to this module.
//!
//! While a [`ModuleRef`] exists, unloading fails with EBUSY. Until its drop has returned, something
//! else must keep the code loaded: an open file, a mapping, or the module's exit function that
//! waits.

use crate::shm::sys::{
    bindings,
    compat::this_module, //
};
use kernel::prelude::*;

/// The version in `modinfo(8)` and `/sys/module/rust_shm/version`, as `MODULE_VERSION()` defines
/// it. `module!` has no field for it.
#[used(compiler)]
#[link_section = ".modinfo"]
static VERSION: [u8; 14] = *b"version=0.1.0\0";

/// A reference to this module.
///
/// # Invariants
///
/// Owns one count of the module's reference count.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference. `ENODEV` if the module is being unloaded.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: The `struct module` of this module is valid while its code runs.
        if unsafe { bindings::try_module_get(this_module()) } {
            // INVARIANT: `try_module_get()` took the count.
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }

    /// Passes the reference to a kernel object, which drops it (`fops_put()`).
    pub(crate) fn into_raw(self) {
        core::mem::forget(self);
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::module_put(this_module()) };
    }
}
