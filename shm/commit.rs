// SPDX-License-Identifier: GPL-2.0

//! What the segments of a namespace commit the kernel to, as `shmem_acct_size()`.
//!
//! A large segment has a [`Commitment`] of its own. Small ones share what a [`Pool`] has, which
//! grows and shrinks by [`CHUNK_PAGES`]: so a small segment costs a sum. There is one pool in each
//! registry's table, guarded by its lock.

use super::sys::commit::Commitment;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// Segments of so many pages and more have their own commitment; the pool takes so many at once.
pub(crate) const CHUNK_PAGES: usize = (1 << 20) / PAGE_SIZE;

/// What is committed to all small segments together.
pub(crate) struct Pool {
    /// In pages.
    used: usize,
    chunks: Option<KBox<Chunk>>,
    count: usize,
}

/// [`CHUNK_PAGES`] that are committed.
pub(crate) struct Chunk {
    _commitment: Commitment,
    next: Option<KBox<Chunk>>,
}

impl Chunk {
    /// Commits them. `ENOMEM` if the kernel will not.
    pub(crate) fn new() -> Result<KBox<Self>> {
        let chunk = Self {
            _commitment: Commitment::new(CHUNK_PAGES * PAGE_SIZE)?,
            next: None,
        };
        Ok(KBox::new(chunk, GFP_KERNEL_ACCOUNT)?)
    }
}

impl Pool {
    /// Nothing is committed yet.
    pub(crate) const fn new() -> Self {
        Self {
            used: 0,
            chunks: None,
            count: 0,
        }
    }

    /// Takes so many pages; false if there are not so many.
    pub(crate) fn take(&mut self, pages: usize) -> bool {
        let fits = self.used + pages <= self.count * CHUNK_PAGES;
        if fits {
            self.used += pages;
        }
        fits
    }

    /// Adds to what there is.
    pub(crate) fn add(&mut self, mut chunk: KBox<Chunk>) {
        chunk.next = self.chunks.take();
        self.chunks = Some(chunk);
        self.count += 1;
    }

    /// Gives pages back that were taken. One chunk more than is needed is kept for the next
    /// segment; what is returned goes, after the lock.
    pub(crate) fn give_back(&mut self, pages: usize) -> Option<KBox<Chunk>> {
        self.used -= pages;
        if self.used + 2 * CHUNK_PAGES > self.count * CHUNK_PAGES {
            return None;
        }
        let mut chunk = self.chunks.take()?;
        self.chunks = chunk.next.take();
        self.count -= 1;
        Some(chunk)
    }
}
