// SPDX-License-Identifier: GPL-2.0

//! Commit accounting: memory counted in `Committed_AS` and against the commit limit.
//!
//! The accounting functions are not exported. But a shmem file is accounted with its size when it
//! is created, by the rules of `vm.overcommit_memory`, as is a segment of the built-in. So an empty
//! shmem file represents the commitment.

use crate::shm::sys::{
    bindings,
    compat::{
        shmem_flags,
        CStrExt as _, //
    },
    fs::opened, //
};
use kernel::{
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// A number of bytes that stays committed until this is dropped.
///
/// # Invariants
///
/// Owns the only reference to a shmem file.
pub(crate) struct Commitment(ARef<File>);

impl Commitment {
    /// Commits memory on behalf of the calling process. `ENOMEM` if the limit is exceeded; `EINVAL`
    /// for more bytes than a file can have.
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let size = i64::try_from(bytes).map_err(|_| EINVAL)?;
        // SAFETY: The name is a string. Without VM_NORESERVE, the size is accounted.
        // INVARIANT: The file is new, and its reference is ours.
        let file = unsafe {
            opened(bindings::shmem_kernel_file_setup(
                c"rust_shm".as_char_ptr(),
                size,
                shmem_flags(false),
            ))
        }?;
        Ok(Self(file))
    }

    /// Keeps the memory committed. The caller is responsible for undoing that.
    pub(crate) fn leak(self) {
        // SAFETY: By the type invariant nobody else has the file. When it is freed, shmem
        // unaccounts its current size.
        unsafe { (*(*self.0.as_ptr()).f_inode).i_size = 0 };
    }
}
