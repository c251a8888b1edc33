// SPDX-License-Identifier: GPL-2.0

//! Memory that is promised in advance, counted in `Committed_AS` and against the commit limit.
//!
//! The functions that count are not exported. But a shmem file that is made with a size is counted
//! as a segment of the built-in is, for it is one in all but name: so an empty one is held for as
//! long as memory is promised, and the kernel's own rules say whether it can be
//! (`vm.overcommit_memory`).

use crate::shm::sys::bindings::shmem_kernel_file_setup;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*, //
};

/// A number of bytes that is committed, until this is dropped.
///
/// # Invariants
///
/// Owns a count of a shmem file, which nobody else has.
pub(crate) struct Commitment(NonNull<bindings::file>);

// SAFETY: Files are counted atomically, and may be put from any context.
unsafe impl Send for Commitment {}
// SAFETY: There is nothing to call on a shared reference.
unsafe impl Sync for Commitment {}

impl Commitment {
    /// Commits memory to the calling process. `ENOMEM` if the kernel will not; `EINVAL` for more
    /// bytes than a file can have.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let size = i64::try_from(bytes).map_err(|_| EINVAL)?;
        // SAFETY: The name is a string. No flag: the size is counted.
        let file = from_err_ptr(unsafe {
            shmem_kernel_file_setup(
                c"rust_shm".as_char_ptr(),
                size,
                bindings::vma_flags_t::default(),
            )
        })?;
        // SAFETY: `shmem_kernel_file_setup()` returns no null.
        // INVARIANT: The file was just made, and its count is ours.
        Ok(Self(unsafe { NonNull::new_unchecked(file) }))
    }

    /// Leaves it committed, for who gives it back in another way.
    pub(crate) fn leak(self) {
        // SAFETY: By the type invariant the file is valid and nobody else's. An empty file gives
        // nothing back when it goes.
        unsafe { (*(*self.0.as_ptr()).f_inode).i_size = 0 };
    }
}

impl Drop for Commitment {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the count is ours. It is dropped when the task returns to
        // user space, or by a work item: so this may be called from any context.
        unsafe { bindings::fput(self.0.as_ptr()) };
    }
}
