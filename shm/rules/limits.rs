// SPDX-License-Identifier: GPL-2.0

//! Limits of a namespace, and what fits them.
//!
//! Plain code on plain values, so that it is tested on the host too.

/// A page, in bytes.
pub(crate) const PAGE_BYTES: usize = 1 << PAGE_BITS;

/// The bits of an address that say where in a page it is.
#[cfg(not(test))]
const PAGE_BITS: usize = kernel::page::PAGE_SHIFT;
#[cfg(test)]
const PAGE_BITS: usize = 12;

/// The smallest segment, in bytes (`SHMMIN`).
pub(crate) const SHMMIN: usize = 1;

/// The limits of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest segment, in bytes (`kernel.shmmax`).
    pub(crate) shmmax: usize,
    /// All segments together, in pages (`kernel.shmall`).
    pub(crate) shmall: usize,
    /// How many segments (`kernel.shmmni`).
    pub(crate) shmmni: u32,
}

/// Why a segment of some size cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitError {
    /// The size is no size for a segment here: `EINVAL`.
    Size,
    /// There is no room for it in the namespace: `ENOSPC`.
    Full,
}

/// How many pages `bytes` take; `None` if that many bytes cannot be rounded up to pages.
pub(crate) fn pages(bytes: usize) -> Option<usize> {
    Some(bytes.checked_add(PAGE_BYTES - 1)? >> PAGE_BITS)
}

impl Limits {
    /// Whether a new segment of `size` bytes fits beside `total` pages; in the order of `newseg()`.
    /// Returns its size in pages.
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

/// Whether a file can be so large: no larger than a signed offset can say. As `shmem_file_setup()`,
/// which `newseg()` calls next for a segment that is not of huge pages.
pub(crate) fn file_fits(size: usize) -> Result<(), LimitError> {
    if size > isize::MAX as usize {
        Err(LimitError::Size)
    } else {
        Ok(())
    }
}
