// SPDX-License-Identifier: GPL-2.0

//! The caller's address space: map a backing file into it, unmap, find what is mapped.

use super::{
    bindings::{
        MAP_FIXED,
        MAP_FIXED_NOREPLACE,
        MAP_SHARED,
        PROT_EXEC,
        PROT_READ,
        PROT_WRITE, //
    },
    file::{
        BackingFile,
        MappedObject, //
    },
    mount::MountRef, //
};
use crate::shm::address::Placement;
use core::ops::Range;
use kernel::{
    bindings,
    mm::MmWithUser,
    page::PAGE_SHIFT,
    prelude::*,
    task::Task, //
};

/// What a mapping allows, beside reading.
#[derive(Clone, Copy)]
pub(crate) struct Protection {
    /// Writing.
    pub(crate) write: bool,
    /// Executing.
    pub(crate) execute: bool,
}

/// Calls `f` with the caller's address space; `ESRCH` for a task without one.
fn with_current_mm<R>(f: impl FnOnce(&MmWithUser) -> Result<R>) -> Result<R> {
    // SAFETY: The reference does not leave this function, which runs in the current task.
    let task = unsafe { Task::current() };
    f(task.mm().ok_or(ESRCH)?)
}

/// Maps `length` bytes of a file, from its start, shared, and returns the address. As `vm_mmap()`,
/// with its errors; `EEXIST` if something is mapped at a fixed place.
pub(crate) fn map<T: MappedObject>(
    file: &BackingFile<T>,
    length: usize,
    protection: Protection,
    placement: Placement,
) -> Result<usize> {
    let (address, flags) = match placement {
        Placement::Anywhere => (0, 0),
        Placement::Fixed(address) => (address, MAP_FIXED_NOREPLACE),
        Placement::Replace(address) => (address, MAP_FIXED),
    };
    let mut prot = PROT_READ;
    if protection.write {
        prot |= PROT_WRITE;
    }
    if protection.execute {
        prot |= PROT_EXEC;
    }
    // SAFETY: The file is valid; `vm_mmap()` takes and drops the lock of the address space, and
    // takes its own reference to the file.
    let address = unsafe {
        bindings::vm_mmap(
            file.as_ptr(),
            address,
            length,
            prot as usize,
            (MAP_SHARED | flags) as usize,
            0,
        )
    };
    // As `IS_ERR_VALUE()`.
    match address as isize {
        e @ -4095..=-1 => Err(Error::from_errno(e as c_int)),
        _ => Ok(address),
    }
}

/// Unmaps a range, whatever is there. As `vm_munmap()`, with its errors.
pub(crate) fn unmap(range: Range<usize>) -> Result {
    // SAFETY: `vm_munmap()` checks its arguments, and takes and drops the lock of the address
    // space. What user space loses is its own.
    kernel::error::to_result(unsafe { bindings::vm_munmap(range.start, range.end - range.start) })
}

/// Whether anything is mapped in a range.
pub(crate) fn is_occupied(range: Range<usize>) -> Result<bool> {
    with_current_mm(|mm| {
        let _lock = mm.mmap_read_lock();
        // SAFETY: The address space is locked. The result is not used as a pointer.
        let vma = unsafe { bindings::find_vma_intersection(mm.as_raw(), range.start, range.end) };
        Ok(!vma.is_null())
    })
}

/// A mapping of a backing file.
pub(crate) struct Mapping<T: MappedObject> {
    /// Where it is.
    pub(crate) range: Range<usize>,
    /// Of what.
    pub(crate) file: BackingFile<T>,
}

impl<T: MappedObject> Mapping<T> {
    /// The size of the file in bytes.
    pub(crate) fn file_size(&self) -> usize {
        self.file.size()
    }
}

/// The first mapping that is left of an attach at `address`: of a file on `mount`, at the place
/// that the attach put that part of the file. With `last`, only mappings of that file count, as
/// long as they end at most that many bytes above `address`.
///
/// This is the walk of `ksys_shmdt()`.
pub(crate) fn find_fragment<T: MappedObject>(
    mount: &MountRef<T>,
    address: usize,
    last: Option<(&BackingFile<T>, usize)>,
) -> Result<Option<Mapping<T>>> {
    with_current_mm(|mm| {
        let _lock = mm.mmap_read_lock();
        let mut at = address;
        loop {
            // SAFETY: The address space is locked.
            let vma = unsafe { bindings::find_vma(mm.as_raw(), at) };
            if vma.is_null() {
                return Ok(None);
            }
            // SAFETY: The VMA is in the address space, which is locked: it stays, and so do its
            // fields.
            let (start, end, pgoff, file) = unsafe {
                let bounds = (*vma).__bindgen_anon_1.__bindgen_anon_1;
                (
                    bounds.vm_start,
                    bounds.vm_end,
                    (*vma).vm_pgoff,
                    (*vma).vm_file,
                )
            };
            if last.is_some_and(|(_, size)| end - address > size) {
                return Ok(None);
            }
            if start.wrapping_sub(address) >> PAGE_SHIFT == pgoff {
                // SAFETY: The VMA holds its file.
                if let Some(file) = unsafe { BackingFile::from_raw(file, mount) } {
                    if last.is_none_or(|(wanted, _)| *wanted == file) {
                        return Ok(Some(Mapping {
                            range: start..end,
                            file,
                        }));
                    }
                }
            }
            at = end;
        }
    })
}

/// A number that tells address spaces apart, for choosing a lock.
pub(crate) fn current_mm_hash() -> usize {
    // SAFETY: The reference does not leave this function, which runs in the current task.
    let task = unsafe { Task::current() };
    task.mm().map_or(0, |mm| {
        let address = mm.as_raw() as usize;
        // An address space is some 2 KiB: the low bits say nothing.
        (address >> 11) ^ (address >> 17)
    })
}
