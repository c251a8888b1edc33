// SPDX-License-Identifier: GPL-2.0

//! Files of `/proc`, read as user space reads them.
//!
//! Some settings of the kernel are variables that are not exported. What `/proc` says of them is
//! an interface that does not change. The mount is our own: it does not matter what is mounted
//! where, and in whose namespace.

use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    str::CStr, //
};

/// A mount of proc. It is taken away when this is dropped.
///
/// # Invariants
///
/// Owns the first reference to a kernel mount.
pub(crate) struct Proc(NonNull<bindings::vfsmount>);

// SAFETY: Mounts may be used and unmounted from any task.
unsafe impl Send for Proc {}
// SAFETY: Mounts do their own locking.
unsafe impl Sync for Proc {}

impl Proc {
    /// Mounts it. `ENODEV` on a kernel without.
    pub(crate) fn mount() -> Result<Self> {
        // SAFETY: The name is a string.
        let fs_type = unsafe { bindings::get_fs_type(c"proc".as_char_ptr()) };
        if fs_type.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: proc is no module: it is always there. `kern_mount()` returns no null.
        // INVARIANT: The mount was just made.
        Ok(Self(unsafe {
            NonNull::new_unchecked(from_err_ptr(bindings::kern_mount(fs_type))?)
        }))
    }

    /// Opens a file, by its path in `/proc`, for reading.
    pub(crate) fn open(&self, path: &'static CStr) -> Result<ProcFile> {
        // SAFETY: By the type invariant the mount is valid, and has its root.
        let file = from_err_ptr(unsafe {
            let root = bindings::path {
                mnt: self.0.as_ptr(),
                dentry: (*self.0.as_ptr()).mnt_root,
            };
            bindings::file_open_root(&root, path.as_char_ptr(), bindings::O_RDONLY as c_int, 0)
        })?;
        // SAFETY: `file_open_root()` returns no null.
        // INVARIANT: The file was just opened, and its count is ours.
        Ok(ProcFile(unsafe { NonNull::new_unchecked(file) }))
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the first reference is ours. Open files have their own.
        unsafe { bindings::kern_unmount(self.0.as_ptr()) };
    }
}

/// An open file of proc.
///
/// # Invariants
///
/// Owns a count of a file that is open for reading.
pub(crate) struct ProcFile(NonNull<bindings::file>);

// SAFETY: Files are counted atomically, and may be put from any context.
unsafe impl Send for ProcFile {}
// SAFETY: A read at a position of the caller's changes nothing in the file.
unsafe impl Sync for ProcFile {}

impl ProcFile {
    /// Reads from the beginning, as much as there is room for. May sleep.
    pub(crate) fn read<'a>(&self, room: &'a mut [u8]) -> Result<&'a [u8]> {
        let mut done = 0;
        while done < room.len() {
            let rest = room.get_mut(done..).ok_or(EINVAL)?;
            // CAST: Small.
            let mut position = done as i64;
            // SAFETY: By the type invariant; the room is as long as is said.
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

    /// The number that is all the file says.
    pub(crate) fn number(&self) -> Result<u32> {
        let mut room = [0; 16];
        let text = self.read(&mut room)?;
        let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
        text.trim_ascii().parse().map_err(|_| EINVAL)
    }
}

impl Drop for ProcFile {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the count is ours.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}
