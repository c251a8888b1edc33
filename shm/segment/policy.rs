// SPDX-License-Identifier: GPL-2.0

//! The NUMA policies of one segment, as `mbind(2)` has set them: by ranges of pages, and for all who
//! are attached.
//!
//! There is one [`Policies`] in a segment that `mbind(2)` was called on. It is what `struct
//! shared_policy` is to shmem.

use crate::shm::sys::mm::policy::SharedPolicy;
use core::ops::RangeInclusive;
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::SpinLock, //
};

/// A range of pages with a policy. The tree has it by its last page.
struct Piece {
    first: usize,
    policy: SharedPolicy,
}

/// The policies of a segment. What is in no piece has none.
#[pin_data]
pub(crate) struct Policies {
    /// Pieces that do not overlap.
    #[pin]
    pieces: SpinLock<RBTree<usize, Piece>>,
}

impl Policies {
    /// No policy anywhere.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            pieces <- new_spinlock!(RBTree::new(), "rust_shm::Policies"),
        })
    }

    /// Gives a range a policy, or none, whatever its parts had. As `mpol_set_shared_policy()`.
    pub(crate) fn set(&self, pages: RangeInclusive<usize>, policy: Option<SharedPolicy>) -> Result {
        let (first, last) = pages.into_inner();
        // All that may be needed is made before the lock.
        let new = policy
            .map(|policy| RBTreeNode::new(last, Piece { first, policy }, GFP_KERNEL_ACCOUNT))
            .transpose()?;
        let mut spare = Some(RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?);

        let mut pieces = self.pieces.lock();
        while let Some(mut cursor) = pieces.cursor_lower_bound_mut(&first) {
            let (&piece_last, piece) = cursor.current_mut();
            if piece.first > last {
                break;
            }
            // What is left of it before the range. Only the first piece has such a part.
            let head = (piece.first < first).then(|| Piece {
                first: piece.first,
                policy: piece.policy.clone(),
            });
            let is_last = piece_last > last;
            if is_last {
                piece.first = last + 1;
            } else {
                drop(cursor.remove_current());
            }
            if let Some((head, spare)) = head.zip(spare.take()) {
                pieces.insert(spare.into_node(first - 1, head));
            }
            if is_last {
                break;
            }
        }
        if let Some(new) = new {
            pieces.insert(new);
        }
        Ok(())
    }

    /// The policy of a page.
    pub(crate) fn of(&self, page: usize) -> Option<SharedPolicy> {
        let pieces = self.pieces.lock();
        let cursor = pieces.cursor_lower_bound(&page)?;
        let (_, piece) = cursor.current();
        (piece.first <= page).then(|| piece.policy.clone())
    }

    /// The pages around a page that have the same policy as it, or none as it has none.
    pub(crate) fn alike(&self, page: usize) -> RangeInclusive<usize> {
        let pieces = self.pieces.lock();
        let before = |last: Option<&usize>| last.map_or(0, |last| last + 1);
        let Some(cursor) = pieces.cursor_lower_bound(&page) else {
            let cursor = pieces.cursor_back();
            return before(cursor.as_ref().map(|cursor| cursor.current().0))..=usize::MAX;
        };
        let (&last, piece) = cursor.current();
        if piece.first <= page {
            piece.first..=last
        } else {
            before(cursor.peek_prev().map(|(last, _)| last))..=piece.first - 1
        }
    }

    /// Drops them all.
    pub(crate) fn clear(&self) {
        let pieces = core::mem::take(&mut *self.pieces.lock());
        drop(pieces);
    }
}
