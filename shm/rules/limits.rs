// SPDX-License-Identifier: GPL-2.0

//! The limits of a namespace, and the check of a new segment against them.

/// The size of a page in bytes.
pub(crate) const PAGE_BYTES: usize = 1 << PAGE_BITS;

/// `PAGE_SHIFT`.
#[cfg(not(test))]
const PAGE_BITS: usize = kernel::page::PAGE_SHIFT;
#[cfg(test)]
const PAGE_BITS: usize = 12;

/// The minimum size of a segment in bytes.
pub(crate) const SHMMIN: usize = 1;

/// The limits of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The maximum size of a segment in bytes (`kernel.shmmax`).
    pub(crate) shmmax: usize,
    /// The maximum size of all segments in pages (`kernel.shmall`).
    pub(crate) shmall: usize,
    /// The maximum number of segments (`kernel.shmmni`).
    pub(crate) shmmni: u32,
}

/// Why a segment cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitError {
    /// The size is invalid: `EINVAL`.
    Size,
    /// The namespace is full: `ENOSPC`.
    Full,
}

/// Rounds `bytes` up to pages; `None` if that overflows.
pub(crate) fn pages(bytes: usize) -> Option<usize> {
    Some(bytes.checked_add(PAGE_BYTES - 1)? >> PAGE_BITS)
}

impl Limits {
    /// Checks a new segment of `size` bytes, in the order of `newseg()`, where the existing ones
    /// have `total` pages. Returns its size in pages.
    pub(crate) fn fit(&self, size: usize, total: usize) -> Result<usize, LimitError> {
        if size < SHMMIN || size > self.shmmax {
            return Err(LimitError::Size);
        }
        let pages = pages(size).ok_or(LimitError::Full)?;
        match total.checked_add(pages) {
            Some(sum) if sum <= self.shmall => {}
            _ => return Err(LimitError::Full),
        }
        Ok(pages)
    }
}

/// Checks that a file can have `size` bytes (`MAX_LFS_FILESIZE`), as `shmem_file_setup()`, which
/// `newseg()` calls next for a segment without SHM_HUGETLB.
pub(crate) fn file_fits(size: usize) -> Result<(), LimitError> {
    if size > isize::MAX as usize {
        Err(LimitError::Size)
    } else {
        Ok(())
    }
}
