// SPDX-License-Identifier: GPL-2.0

//! What the module's files map, for which use, and where.

use super::{
    fault::Fault,
    shmem::Shmem,
    shmem_file::ShmemRef, //
};
use crate::shm::sys::{
    bindings,
    compat, //
};
use core::ops::Range;
use kernel::{
    mm::virt::flags,
    prelude::*,
    sync::ArcBorrow, //
};

#[cfg(doc)]
use super::file::AttachFile;
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
use kernel::page::PAGE_SIZE;

/// What an [`AttachFile`] maps.
///
/// `mapped` and `opened` are called with the lock of the address space held for writing, `closed`
/// with it held.
pub(crate) trait MappedObject: Send + Sync + Sized + 'static {
    /// Counts a mapping that is being made, and returns the file with its pages. An error refuses
    /// the mapping. It may take away that the mapping can be made writable later.
    fn mapped(&self, use_of: &mut Use) -> Result<ShmemRef>;

    /// Counts a mapping that was made by copying or splitting another.
    fn opened(&self, use_of: Use);

    /// Counts a mapping that goes.
    fn closed(this: ArcBorrow<'_, Self>, use_of: Use);

    /// What the address of a mapping should be a multiple of, in bytes: a page or more.
    fn alignment(&self) -> usize;

    /// Prepares a fault that shmem serves next.
    fn fault(&self, fault: &Fault<'_>);

    /// Makes a change. `EPERM` if that is sealed.
    fn write(&self, change: &mut dyn Change) -> Result<isize>;

    /// Prepares that shmem frees a range of bytes, and returns what of it shmem is to free.
    fn punch(&self, pages: Shmem<'_>, bytes: Range<usize>) -> Range<usize>;
}

/// What writes to the pages of an object, or frees some: a closure.
///
/// Not `dyn FnMut`: rustc 1.85 gives a closure and its caller different types for `CONFIG_CFI`.
pub(crate) trait Change {
    /// Makes the change.
    fn make(&mut self) -> Result<isize>;
}

impl<F: FnMut() -> Result<isize>> Change for F {
    fn make(&mut self) -> Result<isize> {
        self()
    }
}

/// What a file may be mapped for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading. `mprotect(2)` cannot add writing.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// What a mapping can do to the object's pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Read them. Writing is not allowed, or goes to private copies.
    Read,
    /// Read them, and write after `mprotect(2)`.
    MayWrite,
    /// Write to them.
    Write,
}

impl Use {
    /// By the flags of a VMA. They stay, but that `mprotect(2)` makes one of the last two into the
    /// other.
    pub(super) fn of(vm_flags: bindings::vm_flags_t) -> Self {
        const MAY_WRITE: bindings::vm_flags_t = flags::SHARED | flags::MAYWRITE;

        if vm_flags & MAY_WRITE != MAY_WRITE {
            Self::Read
        } else if vm_flags & flags::WRITE == 0 {
            Self::MayWrite
        } else {
            Self::Write
        }
    }

    /// Whether the mapping writes, or may.
    pub(crate) fn may_write(self) -> bool {
        self != Self::Read
    }
}

/// `fallocate(2)` that frees pages, and leaves the size as it is.
pub(super) const PUNCH_HOLE: u32 = bindings::FALLOC_FL_PUNCH_HOLE | bindings::FALLOC_FL_KEEP_SIZE;

impl Access {
    /// The flags of `open(2)`.
    pub(super) fn flags(self) -> u32 {
        match self {
            Self::ReadOnly => bindings::O_RDONLY,
            Self::ReadWrite => bindings::O_RDWR,
        }
    }
}

/// Finds a place for a mapping where folios that a PMD maps can be mapped by one. The usual function
/// does not do that for a 32-bit program, nor where there is little room: for an object that was
/// promised such folios it is done here.
///
/// # Safety
///
/// Called by mm for a file that maps an object with this alignment, and that its caller holds.
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
pub(super) unsafe fn find_area(
    file: *mut bindings::file,
    alignment: usize,
    address: c_ulong,
    length: c_ulong,
    offset: c_ulong,
    flags: c_ulong,
) -> c_ulong {
    match length.checked_add(alignment - PAGE_SIZE) {
        Some(wanted) if alignment > PAGE_SIZE && address == 0 && offset == 0 => {
            // SAFETY: By this function's requirement.
            let found = unsafe { compat::unmapped_area(file, wanted, flags) };
            // As `IS_ERR_VALUE()`: an address is a multiple of a page, an error is not.
            if found % PAGE_SIZE == 0 {
                found.next_multiple_of(alignment)
            } else {
                found
            }
        }
        // SAFETY: By this function's requirement.
        _ => unsafe { bindings::thp_get_unmapped_area(file, address, length, offset, flags) },
    }
}
