// SPDX-License-Identifier: GPL-2.0

//! A counted reference to this module.
//!
//! A [`ModuleRef`] keeps the module loaded: `rmmod` is EBUSY while one lives. Whoever drops one
//! must know of something else that keeps the module's code in place until the drop has returned:
//! an open file, a mapping, or the module's own exit that waits.

use crate::LocalModule;
use kernel::{
    bindings,
    module::this_module,
    prelude::*, //
};

/// The version that `modinfo(8)` and `/sys/module/rust_shm/version` show. `module!` has no field for
/// it: this is what `MODULE_VERSION()` makes.
#[used]
#[link_section = ".modinfo"]
static VERSION: [u8; 14] = *b"version=0.1.0\0";

/// A reference to this module.
///
/// # Invariants
///
/// Holds one count of the module's reference count.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference. Fails with `ENODEV` when the module is on its way out.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: The pointer is to the `struct module` of this module, which is there while its
        // code runs.
        if unsafe { bindings::try_module_get(this_module::<LocalModule>().as_ptr()) } {
            // INVARIANT: `try_module_get()` took the count.
            Ok(Self(()))
        } else {
            Err(ENODEV)
        }
    }

    /// Gives the count away to a kernel object that will drop it by itself (`fops_put()`).
    pub(crate) fn into_raw(self) {
        core::mem::forget(self);
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this count is ours to drop.
        unsafe { bindings::module_put(this_module::<LocalModule>().as_ptr()) };
    }
}
