// SPDX-License-Identifier: GPL-2.0

//! Attach and detach: a segment in an address space.
//!
//! An attach is a mapping of the segment's inode, from its start, over its whole length. What the
//! kernel does with that mapping later (fork, exec, exit, munmap, mremap, mprotect) it tells by the
//! calls of [`MappedObject`], and they count.

use crate::shm::{
    registry::Registry,
    rules::{
        address::{
            self,
            BadAddress,
            Placement, //
        },
        limits,
        permission::Request, //
    },
    segment::{
        memory,
        Segment,
        Shared, //
    },
    sys::{
        fs::{
            file::{
                Access,
                MappedObject, //
            },
            mount::MountRef, //
        },
        mm::{
            folio::{
                Fault,
                FaultError,
                PageCache, //
            },
            policy::SharedPolicy,
            vma::{
                self,
                MmId,
                Protection,
                Rest, //
            }, //
        },
        task::ipc_ns::CurrentIpcNamespace, //
    }, //
};
use core::ops::{
    Range,
    RangeInclusive, //
};
use kernel::{
    new_condvar,
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        ArcBorrow,
        CondVar,
        SpinLock, //
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
    let size = segment.memory().bytes();
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
    if let Placement::Fixed(place) = mode.placement {
        // Before all that mmap(2) may object to. By the size of the file, which is in whole pages only
        // where they are huge: a last page of the address space counts as one.
        let exact = if segment.is_huge() {
            size
        } else {
            segment.size()
        };
        if vma::is_occupied(address::range(place, exact)?)? {
            return Err(EINVAL);
        }
    }
    let file = file.ok_or(ENOMEM)?;
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
    Ok(address..address + size)
}

/// One detach at a time in an address space: without it, of two threads that detach the same
/// attach, the slower could unmap what a third has mapped there meanwhile. (The built-in holds the
/// lock of the address space throughout, but a module cannot unmap under it.)
///
/// What is shared with other address spaces is a spinlock, and held for a moment only.
#[pin_data]
pub(crate) struct DetachTurns {
    #[pin]
    shares: [Share; Self::COUNT],
}

/// The turns of some address spaces.
#[pin_data]
struct Share {
    #[pin]
    taken: SpinLock<RBTree<MmId, ()>>,
    #[pin]
    given_back: CondVar,
}

/// A turn of an address space. It ends when this is dropped.
struct Turn<'a> {
    share: &'a Share,
    mm: MmId,
}

impl DetachTurns {
    const COUNT: usize = 64;

    /// Makes them.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shares <- pin_init::pin_init_array_from_fn(|_| Share::new()),
        })
    }

    /// Waits for the turn of the caller's address space. `ERESTARTSYS` where a signal comes first.
    fn take(&self) -> Result<Turn<'_>> {
        let mm = MmId::current();
        let share = self.shares.get(mm.choose(Self::COUNT)).ok_or(EINVAL)?;
        // Gone when the call is: no cgroup need account for it, or be too full for a detach.
        let node = RBTreeNode::new(mm, (), GFP_KERNEL)?;
        let mut taken = share.taken.lock();
        while taken.get(&mm).is_some() {
            if share.given_back.wait_interruptible(&mut taken) {
                return Err(ERESTARTSYS);
            }
        }
        taken.insert(node);
        Ok(Turn { share, mm })
    }
}

impl Share {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            taken <- new_spinlock!(RBTree::new(), "rust_shm::DetachTurns"),
            given_back <- new_condvar!("rust_shm::DetachTurns"),
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let node = self.share.taken.lock().remove_node(&self.mm);
        self.share.given_back.notify_all();
        drop(node);
    }
}

/// Unmaps all that is left of an attach at `address`. As `ksys_shmdt()`.
pub(crate) fn detach(mount: &MountRef<Shared>, turns: &DetachTurns, address: usize) -> Result {
    if address % PAGE_SIZE != 0 {
        return Err(EINVAL);
    }
    let _turn = turns.take()?;
    let first = vma::find_fragment(mount, address, address, None)?.ok_or(EINVAL)?;
    let mut end = first.range.end;
    unmap(first.range)?;
    let rest = Rest {
        file: &first.file,
        size: limits::pages(first.file.size()).ok_or(EINVAL)? * PAGE_SIZE,
    };
    // No part of the attach is further than this.
    while end - address < rest.size {
        let Some(fragment) = vma::find_fragment(mount, address, end, Some(&rest))? else {
            break;
        };
        end = fragment.range.end;
        unmap(fragment.range)?;
    }
    Ok(())
}

/// Unmaps a fragment. One that is sealed, say, stays, and that is no error, as `ksys_shmdt()` has
/// it; but a task that is killed goes no further.
fn unmap(range: Range<usize>) -> Result {
    match vma::unmap(range) {
        Err(e) if e == EINTR => Err(e),
        _ => Ok(()),
    }
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

    fn alignment(&self) -> usize {
        if self.is_huge() {
            memory::HUGE_BYTES
        } else {
            PAGE_SIZE
        }
    }

    fn fault(&self, fault: Fault<'_>) -> Result<(), FaultError> {
        self.memory().fault(fault, self.is_huge())
    }

    fn punch(&self, cache: PageCache<'_>, range: Range<usize>) {
        self.memory().punch(cache, range);
    }

    fn reserve(&self, cache: PageCache<'_>, range: Range<usize>) -> Result {
        self.memory().reserve(cache, range, self.is_huge())
    }

    fn poisoned(&self, index: usize) -> Result {
        self.memory().poisoned(index)
    }

    fn set_policy(&self, pages: RangeInclusive<usize>, policy: Option<SharedPolicy>) -> Result {
        self.memory().set_policy(pages, policy)
    }

    fn policy(&self, page: usize) -> Option<SharedPolicy> {
        self.memory().policy(page)
    }

    fn evicted(&self) {
        self.memory().forget();
    }
}
