// SPDX-License-Identifier: GPL-2.0

//! Attach and detach: a segment in an address space.
//!
//! An attach is a mapping of the segment's inode, from its start, over its whole length. What the
//! kernel does with that mapping later (fork, exec, exit, munmap, mremap, mprotect) it tells by the
//! calls of [`MappedObject`], and they count.

use super::{
    address::{
        self,
        BadAddress,
        Placement, //
    },
    limits,
    permission::{
        Caller,
        Request, //
    },
    registry::Registry,
    segment::{
        Segment,
        Shared, //
    },
    sys::{
        file::{
            Access,
            MappedObject, //
        },
        folio::{
            Fault,
            FaultError,
            PageCache, //
        },
        mount::MountRef,
        vma::{
            self,
            Protection, //
        }, //
    }, //
};
use core::ops::Range;
use kernel::{
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        ArcBorrow,
        Mutex, //
    }, //
};

impl From<BadAddress> for Error {
    fn from(_: BadAddress) -> Self {
        EINVAL
    }
}

/// How to attach.
pub(crate) struct Mode {
    /// SHM_RDONLY.
    pub(crate) read_only: bool,
    /// SHM_EXEC.
    pub(crate) execute: bool,
    /// Where.
    pub(crate) placement: Placement,
}

/// Maps the segment with an id of `registry` into the caller's address space, and returns where. As
/// `do_shmat()`.
pub(crate) fn attach(
    registry: &Registry,
    caller: &impl Caller,
    id: i32,
    mode: &Mode,
) -> Result<Range<usize>> {
    let (access, mut request) = if mode.read_only {
        (Access::ReadOnly, Request::READ)
    } else {
        (Access::ReadWrite, Request::READ_WRITE)
    };
    if mode.execute {
        request = request.with_execute();
    }
    let segment = registry.find(id)?;
    let pinned = Segment::pin(&segment, caller, request)?;
    let file = pinned.file(access)?;
    let size = segment.size();
    if let Placement::Fixed(place) = mode.placement {
        // Before all that mmap(2) may object to.
        if vma::is_occupied(address::range(place, size)?)? {
            return Err(EINVAL);
        }
    }
    let protection = Protection {
        write: !mode.read_only,
        execute: mode.execute,
    };
    let address = vma::map(&file, size, protection, mode.placement).map_err(|e| {
        // Another thread was there between the look above and the mapping.
        if e == EEXIST {
            EINVAL
        } else {
            e
        }
    })?;
    let length = limits::pages(size).ok_or(EINVAL)? * PAGE_SIZE;
    Ok(address..address + length)
}

/// One detach at a time in an address space: without it, of two threads that detach the same
/// attach, the slower could unmap what a third has mapped there meanwhile. (The built-in holds the
/// lock of the address space throughout, but a module cannot unmap under it.) An address space
/// always takes the same of these locks; others rarely do.
#[pin_data]
pub(crate) struct DetachLocks {
    #[pin]
    locks: [Mutex<()>; Self::COUNT],
}

impl DetachLocks {
    const COUNT: usize = 64;

    /// Makes them.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            locks <- pin_init::pin_init_array_from_fn(|_| new_mutex!((), "rust_shm::DetachLocks")),
        })
    }

    fn of_current(&self) -> &Mutex<()> {
        let [first, ..] = &self.locks;
        self.locks
            .get(vma::current_mm_hash() % Self::COUNT)
            .unwrap_or(first)
    }
}

/// Unmaps all that is left of an attach at `address`. As `ksys_shmdt()`.
pub(crate) fn detach(mount: &MountRef<Shared>, locks: &DetachLocks, address: usize) -> Result {
    if address % PAGE_SIZE != 0 {
        return Err(EINVAL);
    }
    let _one_at_a_time = locks.of_current().lock();
    let first = vma::find_fragment(mount, address, None)?.ok_or(EINVAL)?;
    let size = limits::pages(first.file_size()).ok_or(EINVAL)? * PAGE_SIZE;
    let mut end = first.range.end;
    vma::unmap(first.range)?;
    // No part of the attach is further than this.
    while end - address < size {
        match vma::find_fragment(mount, address, Some((&first.file, size)))? {
            Some(fragment) => {
                end = fragment.range.end;
                vma::unmap(fragment.range)?;
            }
            None => break,
        }
    }
    Ok(())
}

impl MappedObject for Shared {
    fn mapped(&self) -> Result {
        Segment::mapped(self)
    }

    fn opened(&self) {
        Segment::opened(self);
    }

    fn closed(this: ArcBorrow<'_, Self>) {
        Segment::closed(&this);
    }

    fn fault(&self, fault: Fault<'_>) -> Result<(), FaultError> {
        self.memory().fault(fault)
    }

    fn punch(&self, cache: PageCache<'_>, range: Range<usize>) {
        self.memory().punch(cache, range);
    }
}
