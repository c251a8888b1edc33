// SPDX-License-Identifier: GPL-2.0

//! Files, and what the module shows as files.

#[cfg(CONFIG_DEBUG_FS)]
pub(crate) mod debugfs;
pub(crate) mod descriptor;
mod descriptor_fs;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod mapping;
pub(crate) mod misc;
pub(crate) mod mount;
pub(crate) mod parameter;
pub(crate) mod proc;
#[cfg(all(CONFIG_PROC_FS, not(CONFIG_SYSVIPC)))]
pub(crate) mod proc_file;
pub(crate) mod shmem;
pub(crate) mod shmem_file;

use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// The file that a function has opened, or its error.
///
/// # Safety
///
/// `file` must be what such a function has returned: an error pointer, or a file that no descriptor
/// has, with a reference for the caller.
pub(in crate::shm::sys) unsafe fn opened(file: *mut bindings::file) -> Result<ARef<File>> {
    let file = NonNull::new(from_err_ptr(file)?.cast()).ok_or(ENOMEM)?;
    // SAFETY: By this function's requirement. Without a descriptor there is no `fdget_pos()`.
    Ok(unsafe { ARef::from_raw(file) })
}
