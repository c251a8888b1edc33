// SPDX-License-Identifier: GPL-2.0

//! One at a time in an address space, where its own lock cannot be held throughout.
//!
//! What is shared with other address spaces is a spinlock, and held for a moment only.

use super::vma::MmId;
use kernel::{
    new_condvar,
    new_spinlock,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        CondVar,
        SpinLock, //
    }, //
};

/// The turns of all address spaces.
#[pin_data]
pub(crate) struct MmTurns {
    #[pin]
    shares: [Share; Self::COUNT],
}

/// The turns of some address spaces; on a cache line of their own.
#[pin_data]
#[repr(align(64))]
struct Share {
    #[pin]
    taken: SpinLock<RBTree<MmId, ()>>,
    #[pin]
    given_back: CondVar,
}

/// A turn of an address space. It ends when this is dropped.
pub(crate) struct Turn<'a> {
    share: &'a Share,
    mm: MmId,
}

impl MmTurns {
    const COUNT: usize = 64;

    /// Makes them.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shares <- pin_init::pin_init_array_from_fn(|_| Share::new()),
        })
    }

    /// Waits for the turn of the caller's address space; a caller that shares it with nobody needs
    /// none. `ERESTARTNOINTR` where a signal comes first: the call begins anew after its handler, as
    /// `shmdt(2)` knows no `EINTR`.
    pub(crate) fn take(&self) -> Result<Option<Turn<'_>>> {
        if MmId::is_exclusive() {
            return Ok(None);
        }
        let mm = MmId::current();
        let share = self.shares.get(mm.choose(Self::COUNT)).ok_or(EINVAL)?;
        // Gone when the call is: no cgroup need account for it, or be too full for a detach.
        let node = RBTreeNode::new(mm, (), GFP_KERNEL)?;
        let mut taken = share.taken.lock();
        while taken.get(&mm).is_some() {
            if share.given_back.wait_interruptible(&mut taken) {
                return Err(ERESTARTNOINTR);
            }
        }
        taken.insert(node);
        Ok(Some(Turn { share, mm }))
    }
}

impl Share {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            taken <- new_spinlock!(RBTree::new(), "rust_shm::MmTurns"),
            given_back <- new_condvar!("rust_shm::MmTurns"),
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
