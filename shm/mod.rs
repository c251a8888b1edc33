// SPDX-License-Identifier: GPL-2.0

//! The map of the module.
//!
//! A call comes in at the top of this list, and goes down it.
//!
//! - [`device`]: the misc device. Decodes an ioctl, calls one function, encodes the answer.
//!   [`uapi`] has the numbers and structures, [`table`] the text that `read(2)` gives.
//! - [`namespace`]: from the caller's IPC namespace to its registry; the end of a namespace.
//! - [`report`]: what root sees of all namespaces, in debugfs.
//! - [`registry`]: the segments of a namespace: find, make, remove; ids, keys, totals.
//! - [`attach`]: a segment in an address space: attach, detach, and what the kernel tells of a
//!   mapping.
//! - [`segment`]: one segment: life, attach count, times, process ids, owner.
//! - [`creator`]: who made segments, and whether that thread is still there.
//! - [`memory`]: the pages of one segment: find, allocate (huge first).
//! - [`policy`]: on which NUMA nodes they are allocated.
//! - [`commit`]: what segments commit the kernel to.
//! - [`settings`]: what the administrator has set for the whole machine.
//! - [`sys`]: the kernel, as safe functions. The only place with `unsafe`.
//!
//! Pure policy on plain values, tested on the host too: [`permission`] (who may read, write, own),
//! [`id`] (what an id is made of), [`limits`] (what fits), [`address`] (where an attach goes),
//! [`pool`] (pages that small segments share), [`command_line`] (what the kernel was booted with).
//!
//! # Who owns what
//!
//! Module -> [`Namespaces`](namespace::Namespaces) -> [`Registry`](registry::Registry) ->
//! [`Segment`](segment::Segment) -> its file -> its inode -> the pages, and the segment in turn.
//! The last circle is what keeps a segment alive; removal opens it. A VMA holds a file, and so the
//! inode, and so the segment: what is attached lives on. Each segment, file and open device holds a
//! reference to the module, so that there is nothing left when it is unloaded.
//!
//! # Lock order
//!
//! 1. The caller's turn in [`DetachTurns`](attach::DetachTurns), one for each address space. Only
//!    `detach` takes one; what is shared with others is a spinlock that nothing is taken under.
//! 2. The `mmap_lock` of the caller's address space. Held when a mapping is made, copied or closed.
//! 3. The `i_rwsem` of a segment's inode (`fallocate(2)` and `MADV_REMOVE`), then the
//!    `invalidate_lock` of its page cache, then the lock of a folio (also a fault), then the
//!    spinlocks of what is rare about its memory: policies, spoilt pages. Nothing below is taken
//!    under them.
//! 4. The spinlock of [`Namespaces`](namespace::Namespaces), and those of
//!    [`Creators`](creator::Creators). Nothing below is taken under them.
//! 5. The spinlock of a [`Registry`](registry::Registry)'s table.
//! 6. The spinlock of a [`Segment`](segment::Segment)'s state.
//!
//! The mutexes of an open device's [`Cursor`](table::Cursor) and of who removes orphans are taken
//! before 5 and 6. User space is not touched under them, nor under any of the spinlocks.

pub(crate) mod call;
pub(crate) mod registry;
pub(crate) mod rules;
pub(crate) mod segment;
pub(crate) mod sys;
