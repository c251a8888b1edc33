// SPDX-License-Identifier: GPL-2.0

//! Attach: a segment is mapped into the caller's address space, over its whole length. Or it is handed
//! out as a descriptor, which can be mapped.
//!
//! What the kernel does with that mapping later (fork, exec, exit, munmap, mremap, mprotect) it tells
//! by the operations of the mapping ([`MappedObject`](crate::shm::sys::fs::file::MappedObject)).

use crate::shm::{
    registry::Registry,
    rules::{
        address,
        limits,
        permission::Request,
        uapi, //
    },
    segment::{
        memory,
        Segment, //
    },
    sys::{
        fs::{
            descriptor::DescriptorFile,
            mapping::Access, //
        },
        mm::vma,
        task::ipc_ns::CurrentIpcNamespace, //
    }, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

impl From<address::BadAddress> for Error {
    fn from(_: address::BadAddress) -> Self {
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
    pub(crate) placement: address::Placement,
}

impl Mode {
    /// Decodes the flags of `shmat(2)`; others are ignored. `EINVAL` for an address that no attach can have.
    pub(crate) fn new(flags: u32, address: usize, shmlba: usize) -> Result<Self> {
        Ok(Self {
            read_only: flags & uapi::SHM_RDONLY != 0,
            execute: flags & uapi::SHM_EXEC != 0,
            placement: address::Placement::new(
                address,
                shmlba,
                flags & uapi::SHM_RND != 0,
                flags & uapi::SHM_REMAP != 0,
            )?,
        })
    }
}

/// Maps the segment with an id of `registry` into the caller's address space, and returns where. As
/// `do_shmat()`.
pub(crate) fn attach(
    registry: &Registry,
    caller: &CurrentIpcNamespace<'_>,
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
    let pinned = Segment::pin(&segment, caller, request, caller)?;
    let size = segment.mapped_bytes();
    // A file is no longer than that, and no address space has room for it.
    let file = if size > isize::MAX as usize {
        None
    } else {
        Some(pinned.file(access)?)
    };
    if segment.is_huge() && !mode.placement.is_aligned(memory::HUGE_BYTES) {
        // As `hugetlb_get_unmapped_area()`: the mapping would have no huge page.
        return Err(EINVAL);
    }
    let file: Result<_> = file.ok_or(ENOMEM);
    // The size of the file, which root can let grow, and not that of the segment. As `do_shmat()`.
    let exact = file.as_ref().map_or(segment.size(), |file| file.size());
    if let address::Placement::Fixed(place) = mode.placement {
        // Before all that mmap(2) may object to. In whole pages only where they are huge: a last
        // page of the address space counts as one.
        if vma::is_occupied(address::range(place, exact)?)? {
            return Err(EINVAL);
        }
    }
    let file = file?;
    let size = limits::pages(exact).ok_or(ENOMEM)? * PAGE_SIZE;
    let protection = vma::Protection {
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
    Ok(address..address + size)
}

/// A file for a descriptor of the segment with an id of `registry`. Who may attach the segment may have
/// it, with the same errors.
pub(crate) fn descriptor(
    registry: &Registry,
    caller: &CurrentIpcNamespace<'_>,
    id: i32,
    access: Access,
) -> Result<DescriptorFile> {
    let request = match access {
        Access::ReadOnly => Request::READ,
        Access::ReadWrite => Request::READ_WRITE,
    };
    let segment = registry.find(id)?;
    let pinned = Segment::pin(&segment, caller, request, caller)?;
    pinned.descriptor(access)
}
