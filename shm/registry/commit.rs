// SPDX-License-Identifier: GPL-2.0

//! Commit accounting for small segments, as `shmem_acct_size()`.
//!
//! The file of a large segment accounts for itself. Small segments share a [`Pool`], which grows
//! and shrinks by [`CHUNK_PAGES`], so that most of them only change a counter. Each registry's
//! table has a pool, protected by its lock.

use crate::shm::{
    rules::{
        limits::PAGE_BYTES,
        pool, //
    },
    sys::mm::commit::Commitment, //
};
use kernel::prelude::*;

pub(crate) use crate::shm::rules::pool::CHUNK_PAGES;

/// The memory committed for the segments of less than [`CHUNK_PAGES`].
pub(crate) type Pool = pool::Pool<KBox<Chunk>>;

/// A commitment of [`CHUNK_PAGES`].
pub(crate) struct Chunk {
    _commitment: Commitment,
    next: Option<KBox<Chunk>>,
}

impl Chunk {
    /// Commits the pages. `ENOMEM` if the commit limit is exceeded.
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
