// SPDX-License-Identifier: GPL-2.0

//! The caller's address space: map an attach file into it, unmap, find what is mapped.

use crate::shm::rules::address::Placement;
use crate::shm::sys::{
    bindings,
    fs::{
        file::AttachFile,
        mapping::MappedObject,
        mount::TmpfsMount, //
    },
    task::thread, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    types::NotThreadSafe, //
};

/// What a mapping allows, beside reading.
#[derive(Clone, Copy)]
pub(crate) struct Protection {
    /// Writing.
    pub(crate) write: bool,
    /// Executing.
    pub(crate) execute: bool,
}

/// That of the calling task; null for a kernel thread.
fn own_mm() -> *mut bindings::mm_struct {
    // SAFETY: A task may read its own `mm`: only it changes it.
    unsafe { (*bindings::get_current()).mm }
}

/// The caller's address space, locked for reading.
///
/// # Invariants
///
/// `mm` is that of the calling task, which keeps it, and its lock is held. This cannot leave the task.
struct LockedMm {
    mm: NonNull<bindings::mm_struct>,
    _not_send: NotThreadSafe,
}

impl LockedMm {
    /// Locks it. `ESRCH` for a task without one; `EINTR` for one that is killed while it waits.
    fn current() -> Result<Self> {
        let mm = NonNull::new(own_mm()).ok_or(ESRCH)?;
        // SAFETY: The address space is valid. As `mmap_read_lock_killable()`, which is inline, but
        // for its tracepoints.
        to_result(unsafe {
            bindings::down_read_killable(&raw mut (*mm.as_ptr()).__bindgen_anon_1.mmap_lock)
        })?;
        // INVARIANT: The lock was just taken.
        Ok(Self {
            mm,
            _not_send: NotThreadSafe,
        })
    }

    /// The first VMA that ends above `address`.
    fn find(&self, address: usize) -> Option<NonNull<bindings::vm_area_struct>> {
        // SAFETY: By the type invariant.
        NonNull::new(unsafe { bindings::find_vma(self.mm.as_ptr(), address) })
    }
}

impl Drop for LockedMm {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::mmap_read_unlock(self.mm.as_ptr()) };
    }
}

/// Maps `length` bytes of a file, from its start, shared, and returns the address. As `vm_mmap()`,
/// with its errors; `EEXIST` if something is mapped at a fixed place.
pub(crate) fn map<T: MappedObject>(
    file: &AttachFile<T>,
    length: usize,
    protection: Protection,
    placement: Placement,
) -> Result<usize> {
    let (address, flags) = match placement {
        Placement::Anywhere => (0, 0),
        Placement::Fixed(address) => (address, bindings::MAP_FIXED_NOREPLACE),
        Placement::Replace(address) => (address, bindings::MAP_FIXED),
    };
    let mut prot = bindings::PROT_READ;
    if protection.write {
        prot |= bindings::PROT_WRITE;
    }
    if protection.execute {
        prot |= bindings::PROT_EXEC;
    }
    // SAFETY: The file is valid; `vm_mmap()` takes and drops the lock of the address space, and
    // takes its own reference to the file.
    let address = unsafe {
        bindings::vm_mmap(
            file.as_ptr(),
            address,
            length,
            prot as usize,
            (bindings::MAP_SHARED | flags) as usize,
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
    to_result(unsafe { bindings::vm_munmap(range.start, range.end - range.start) })
}

/// Whether anything is mapped in a range.
pub(crate) fn is_occupied(range: Range<usize>) -> Result<bool> {
    let mm = LockedMm::current()?;
    // SAFETY: The address space is locked. The result is not used as a pointer.
    let vma = unsafe { bindings::find_vma_intersection(mm.mm.as_ptr(), range.start, range.end) };
    Ok(!vma.is_null())
}

/// A mapping of an attach file.
pub(crate) struct Mapping<T: MappedObject> {
    /// Where it is.
    pub(crate) range: Range<usize>,
    /// Of what.
    pub(crate) file: AttachFile<T>,
}

/// Of which mappings of an attach [`find_fragment`] looks for the next.
pub(crate) struct Rest<'a, T: MappedObject> {
    /// Of this file.
    pub(crate) file: &'a AttachFile<T>,
    /// Ending at most so many bytes above the address of the attach.
    pub(crate) size: usize,
}

/// The first mapping at `from` or above that is left of an attach at `address`: of a file on
/// one of `mounts`, at the place where the attach put that part of the file.
///
/// This is the walk of `ksys_shmdt()`. `EINTR` for a task that is killed while it waits or walks.
pub(crate) fn find_fragment<T: MappedObject>(
    mounts: &[TmpfsMount],
    address: usize,
    from: usize,
    rest: Option<&Rest<'_, T>>,
) -> Result<Option<Mapping<T>>> {
    let mm = LockedMm::current()?;
    let mut at = from;
    while let Some(vma) = mm.find(at) {
        // SAFETY: The VMA is in the address space, which is locked: it stays, and so do its fields.
        let (start, end, pgoff, file) = unsafe {
            let vma = vma.as_ptr();
            let bounds = (*vma).__bindgen_anon_1.__bindgen_anon_1;
            (
                bounds.vm_start,
                bounds.vm_end,
                (*vma).vm_pgoff,
                (*vma).vm_file,
            )
        };
        if rest.is_some_and(|rest| end - address > rest.size) {
            break;
        }
        if start.wrapping_sub(address) >> PAGE_SHIFT == pgoff {
            // SAFETY: The VMA holds its file.
            if let Some(file) = unsafe { AttachFile::from_raw(file, mounts) } {
                if rest.is_none_or(|rest| rest.file.as_ptr() == file.as_ptr()) {
                    return Ok(Some(Mapping {
                        range: start..end,
                        file,
                    }));
                }
            }
        }
        if thread::fatal_signal_pending() {
            return Err(EINTR);
        }
        at = end;
    }
    Ok(None)
}

/// A number that is that of the caller's address space alone, for as long as the caller runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MmId(usize);

impl MmId {
    /// That of the caller.
    pub(crate) fn current() -> Self {
        Self(own_mm() as usize)
    }

    /// Whether the caller has its address space for itself: no other thread, nobody who looks at it.
    pub(crate) fn is_exclusive() -> bool {
        let mm = own_mm();
        // SAFETY: It is null, or the caller's, which keeps it; the count is read once. It is 1 for as
        // long as the caller neither makes a thread nor is looked at.
        unsafe {
            !mm.is_null()
                && (&raw const (*mm).__bindgen_anon_1.mm_users.counter).read_volatile() == 1
        }
    }

    /// A number below `count`, for choosing one of so many things.
    pub(crate) fn choose(self, count: usize) -> usize {
        // A `struct mm_struct` is some 2 KiB: the low bits say nothing.
        ((self.0 >> 11) ^ (self.0 >> 17)) % count
    }
}
