// SPDX-License-Identifier: GPL-2.0

//! A counter of pages that small users take from large chunks.
//!
//! A pool neither sleeps nor allocates, so it can be used with a spinlock held: the caller creates
//! chunks before it takes the lock, and drops them after.

use super::limits::PAGE_BYTES;

/// The number of pages in a chunk: 1 MiB. A pool is for users of fewer pages.
pub(crate) const CHUNK_PAGES: usize = (1 << 20) / PAGE_BYTES;

/// A chunk, as an element of a singly linked list.
pub(crate) trait Chunk: Sized {
    /// Returns the link to the next chunk.
    fn next(&mut self) -> &mut Option<Self>;
}

/// A list of chunks, and the number of pages in use.
pub(crate) struct Pool<C> {
    used: usize,
    chunks: Option<C>,
    count: usize,
}

impl<C: Chunk> Pool<C> {
    /// Creates a pool without chunks.
    pub(crate) const fn new() -> Self {
        Self {
            used: 0,
            chunks: None,
            count: 0,
        }
    }

    /// Takes `pages`, fewer than a chunk has; returns `false` if they are not available.
    pub(crate) fn take(&mut self, pages: usize) -> bool {
        let fits = self.used + pages <= self.count * CHUNK_PAGES;
        if fits {
            self.used += pages;
        }
        fits
    }

    /// Adds a chunk.
    pub(crate) fn add(&mut self, mut chunk: C) {
        *chunk.next() = self.chunks.take();
        self.chunks = Some(chunk);
        self.count += 1;
    }

    /// Gives pages back. Returns a chunk that the caller must drop, if more than one is unused: one
    /// stays for the next user.
    pub(crate) fn give_back(&mut self, pages: usize) -> Option<C> {
        self.used -= pages;
        if self.used + 2 * CHUNK_PAGES > self.count * CHUNK_PAGES {
            return None;
        }
        let mut chunk = self.chunks.take()?;
        self.chunks = chunk.next().take();
        self.count -= 1;
        Some(chunk)
    }

    /// Takes the unused chunk, if no page is in use. Called when no further users are expected.
    pub(crate) fn take_spare(&mut self) -> Option<C> {
        if self.used != 0 {
            return None;
        }
        self.count = 0;
        self.chunks.take()
    }
}
