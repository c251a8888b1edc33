// SPDX-License-Identifier: GPL-2.0

//! A private mount of tmpfs, as DRM drivers have for huge pages (`drm_gem_huge_mnt_create()`).
//!
//! Nobody sees it in a mount table. Files on it hold it: the filesystem stays until the last of
//! them is closed, also when the [`TmpfsMount`] is dropped before.

use crate::shm::sys::{
    bindings,
    compat::CStrExt as _, //
};
use core::{
    ffi::CStr,
    ptr::NonNull, //
};
use kernel::{
    error,
    prelude::*, //
};

/// A mount of tmpfs without a limit of its size.
///
/// # Invariants
///
/// Owns the first reference to a kernel mount of tmpfs.
pub(crate) struct TmpfsMount(NonNull<bindings::vfsmount>);

// SAFETY: Mounts may be used and unmounted from any task.
unsafe impl Send for TmpfsMount {}
// SAFETY: Mounts do their own locking.
unsafe impl Sync for TmpfsMount {}

/// A mount that is being set up (`struct fs_context`).
///
/// # Invariants
///
/// Owns a valid context.
struct Context(NonNull<bindings::fs_context>);

impl Context {
    /// Sets the option `key=value`. `EINVAL` where the kernel does not know or support it.
    fn set(&self, key: &CStr, value: &CStr) -> Result {
        // SAFETY: By the type invariant the context is valid; both strings are, and are copied.
        error::to_result(unsafe {
            bindings::vfs_parse_fs_qstr(self.0.as_ptr(), key.as_char_ptr(), &qstr(value))
        })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the context is ours.
        unsafe { bindings::put_fs_context(self.0.as_ptr()) };
    }
}

/// As `QSTR()`.
fn qstr(text: &CStr) -> bindings::qstr {
    let mut qstr = bindings::qstr {
        name: text.as_char_ptr().cast(),
        ..pin_init::zeroed()
    };
    // CAST: Strings here are short.
    qstr.__bindgen_anon_1.__bindgen_anon_1.len = text.to_bytes().len() as u32;
    qstr
}

/// Translates an error of shmem: `ENOSPC` means that no inode could be allocated, as a mount of the
/// kernel's own has no limit of inodes or blocks (`shmem_fill_super()`).
pub(super) fn shmem_error(e: Error) -> Error {
    if e == ENOSPC {
        ENOMEM
    } else {
        e
    }
}

impl TmpfsMount {
    /// Mounts tmpfs with `huge=` as given: `never`, `within_size` or `always`. A kernel without
    /// transparent huge pages has no such option, and no use for it: there it is left out.
    pub(crate) fn new(huge: &CStr) -> Result<Self> {
        // SAFETY: Mounts are made before there is a file on one.
        error::to_result(unsafe { bindings::rust_shm_stat_init() }).map_err(shmem_error)?;
        // SAFETY: The name is a string.
        let fs_type = unsafe { bindings::get_fs_type(c"tmpfs".as_char_ptr()) };
        if fs_type.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: tmpfs is no module: it is always there. No null is returned.
        // INVARIANT: The context was just made.
        let context = Context(unsafe {
            NonNull::new_unchecked(error::from_err_ptr(bindings::fs_context_for_mount(
                fs_type,
                bindings::RUST_SHM_SB_KERNMOUNT,
            ))?)
        });
        context.set(c"source", c"rust_shm")?;
        match context.set(c"huge", huge) {
            Err(e) if e != EINVAL => return Err(e),
            _ => {}
        }
        // SAFETY: The context is set up. `fc_mount_longterm()` returns no null.
        // INVARIANT: The mount was just made, and its first reference is ours.
        Ok(Self(unsafe {
            NonNull::new_unchecked(
                error::from_err_ptr(bindings::fc_mount_longterm(context.0.as_ptr()))
                    .map_err(shmem_error)?,
            )
        }))
    }

    /// The mount, for C functions.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut bindings::vfsmount {
        self.0.as_ptr()
    }

    /// A number that no other filesystem has.
    pub(crate) fn filesystem(&self) -> usize {
        // SAFETY: By the type invariant. The superblock of a mount never changes.
        unsafe { (*self.0.as_ptr()).mnt_sb as usize }
    }
}

impl Drop for TmpfsMount {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the first reference is ours. Open files have their own. No more files
        // are made: that takes a reference to this.
        unsafe {
            bindings::rust_shm_stat_as_mount(self.0.as_ptr());
            bindings::kern_unmount(self.0.as_ptr());
        };
    }
}
