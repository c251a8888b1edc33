// SPDX-License-Identifier: GPL-2.0

//! Reads files of procfs.
//!
//! Some sysctls are variables that are not exported; their files are a stable interface. The mount
//! is private to the module, so it does not depend on mount namespaces.

use super::opened;
use crate::shm::sys::compat::CStrExt as _;
use core::{
    ffi::CStr,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// A mount of procfs, unmounted when this is dropped.
///
/// # Invariants
///
/// Owns a kernel mount.
pub(crate) struct Proc(NonNull<bindings::vfsmount>);

// SAFETY: Mounts may be used and unmounted from any task.
unsafe impl Send for Proc {}
// SAFETY: Mounts do their own locking.
unsafe impl Sync for Proc {}

impl Proc {
    /// Mounts procfs. `ENODEV` on a kernel without it.
    pub(crate) fn mount() -> Result<Self> {
        // SAFETY: The name is a string.
        let fs_type = unsafe { bindings::get_fs_type(c"proc".as_char_ptr()) };
        if fs_type.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: procfs is never a module, so `fs_type` stays valid. `kern_mount()` returns no
        // null.
        // INVARIANT: The mount is new.
        Ok(Self(unsafe {
            NonNull::new_unchecked(from_err_ptr(bindings::kern_mount(fs_type))?)
        }))
    }

    /// Opens the file with a path below `/proc` for reading.
    pub(crate) fn open(&self, path: &'static CStr) -> Result<ProcFile> {
        // SAFETY: By the type invariant the mount is valid, and holds its root.
        // INVARIANT: The file is new, and its reference is ours.
        let file = unsafe {
            let root = bindings::path {
                mnt: self.0.as_ptr(),
                dentry: (*self.0.as_ptr()).mnt_root,
            };
            let read = bindings::O_RDONLY as c_int;
            opened(bindings::file_open_root(&root, path.as_char_ptr(), read, 0))
        }?;
        Ok(ProcFile(file))
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the mount is ours. Open files hold their own references.
        unsafe { bindings::kern_unmount(self.0.as_ptr()) };
    }
}

/// An open file of procfs.
///
/// # Invariants
///
/// Owns a reference to a file that is open for reading.
pub(crate) struct ProcFile(ARef<File>);

impl ProcFile {
    /// Reads from the start of the file into `room`, and returns the part read. May sleep.
    pub(crate) fn read<'a>(&self, room: &'a mut [u8]) -> Result<&'a [u8]> {
        let mut done = 0;
        while done < room.len() {
            let rest = room.get_mut(done..).ok_or(EINVAL)?;
            // CAST: Small.
            let mut position = done as i64;
            // SAFETY: By the type invariant; pointer and length are those of `rest`.
            let count = unsafe {
                bindings::kernel_read(
                    self.0.as_ptr(),
                    rest.as_mut_ptr().cast(),
                    rest.len(),
                    &mut position,
                )
            };
            match usize::try_from(count) {
                Ok(0) => break,
                Ok(count) => done += count,
                // CAST: An errno.
                Err(_) => return Err(Error::from_errno(count as c_int)),
            }
        }
        room.get(..done).ok_or(EINVAL)
    }

    /// Reads a file that contains a number.
    pub(crate) fn number(&self) -> Result<u32> {
        let mut room = [0; 16];
        let text = self.read(&mut room)?;
        let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
        text.trim_ascii().parse().map_err(|_| EINVAL)
    }
}
