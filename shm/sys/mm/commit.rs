// SPDX-License-Identifier: GPL-2.0

//! Commit accounting: memory counted in `Committed_AS` and against the commit limit.
//!
//! The accounting functions are not exported. But a shmem file is accounted with its size when it
//! is created, by the rules of `vm.overcommit_memory`, as is a segment of the built-in. So an empty
//! shmem file represents the commitment.

use crate::shm::sys::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};

/// A number of bytes that stays committed until this is dropped.
///
/// # Invariants
///
/// Owns the only reference to a shmem file.
pub(crate) struct Commitment(NonNull<bindings::file>);

// SAFETY: Files are counted atomically, and may be put from any context.
unsafe impl Send for Commitment {}
// SAFETY: There is nothing to call on a shared reference.
unsafe impl Sync for Commitment {}

impl Commitment {
    /// Commits memory on behalf of the calling process. `ENOMEM` if the limit is exceeded; `EINVAL`
    /// for more bytes than a file can have.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let size = i64::try_from(bytes).map_err(|_| EINVAL)?;
        // SAFETY: The name is a string. Without VM_NORESERVE, the size is accounted.
        let file = from_err_ptr(unsafe {
            bindings::shmem_kernel_file_setup(
                c"rust_shm".as_char_ptr(),
                size,
                bindings::vma_flags_t::default(),
            )
        })?;
        // SAFETY: `shmem_kernel_file_setup()` returns no null.
        // INVARIANT: The file is new, and its reference is ours.
        Ok(Self(unsafe { NonNull::new_unchecked(file) }))
    }

    /// Keeps the memory committed. The caller is responsible for undoing that.
    pub(crate) fn leak(self) {
        // SAFETY: By the type invariant nobody else has the file. When it is freed, shmem
        // unaccounts its current size.
        unsafe { (*(*self.0.as_ptr()).f_inode).i_size = 0 };
    }
}

impl Drop for Commitment {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours. `fput()` may be called from any
        // context: it frees the file later.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}
