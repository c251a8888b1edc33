// SPDX-License-Identifier: GPL-2.0

//! What the segments of a namespace commit the kernel to, as `shmem_acct_size()`.
//!
//! A large segment has a [`Commitment`] of its own. Small ones share what a [`Pool`] has, which
//! grows and shrinks by [`CHUNK_PAGES`]: so a small segment costs a sum. There is one pool in each
//! registry's table, guarded by its lock.

use crate::shm::{
    rules::{
        limits::PAGE_BYTES,
        pool, //
    },
    sys::mm::commit::Commitment, //
};
use kernel::prelude::*;

pub(crate) use crate::shm::rules::pool::CHUNK_PAGES;

/// What is committed to all small segments together: those of less than [`CHUNK_PAGES`].
pub(crate) type Pool = pool::Pool<KBox<Chunk>>;

/// [`CHUNK_PAGES`] that are committed.
pub(crate) struct Chunk {
    _commitment: Commitment,
    next: Option<KBox<Chunk>>,
}

impl Chunk {
    /// Commits them. `ENOMEM` if the kernel will not.
    pub(crate) fn new() -> Result<KBox<Self>> {
        let chunk = Self {
            _commitment: Commitment::new(CHUNK_PAGES * PAGE_BYTES)?,
            next: None,
        };
        Ok(KBox::new(chunk, GFP_KERNEL_ACCOUNT)?)
    }
}

impl pool::Chunk for KBox<Chunk> {
    fn next(&mut self) -> &mut Option<Self> {
        &mut self.next
    }
}
