// SPDX-License-Identifier: GPL-2.0

//! Pages that many small users share, and that come in chunks.
//!
//! A pool never waits and never allocates, so that it may be used with a spinlock held: chunks are
//! made before and dropped after. Plain code, so that it is tested on the host too.

use super::limits::PAGE_BYTES;

/// The pages in a chunk: 1 MiB. Who wants so many or more has no use for a pool.
pub(crate) const CHUNK_PAGES: usize = (1 << 20) / PAGE_BYTES;

/// A chunk that can be in a list.
pub(crate) trait Chunk: Sized {
    /// The chunk after this one.
    fn next(&mut self) -> &mut Option<Self>;
}

/// Some chunks, and how much of them is used.
pub(crate) struct Pool<C> {
    /// In pages.
    used: usize,
    chunks: Option<C>,
    count: usize,
}

impl<C: Chunk> Pool<C> {
    /// One without chunks.
    pub(crate) const fn new() -> Self {
        Self {
            used: 0,
            chunks: None,
            count: 0,
        }
    }

    /// Takes so many pages, less than a chunk; false if there are not so many.
    pub(crate) fn take(&mut self, pages: usize) -> bool {
        let fits = self.used + pages <= self.count * CHUNK_PAGES;
        if fits {
            self.used += pages;
        }
        fits
    }

    /// Adds to what there is.
    pub(crate) fn add(&mut self, mut chunk: C) {
        *chunk.next() = self.chunks.take();
        self.chunks = Some(chunk);
        self.count += 1;
    }

    /// Gives pages back that were taken. One chunk more than is needed is kept for the next user;
    /// what is returned is too much, and goes.
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

    /// The chunk that is kept for the next user, if nobody uses any: when there is to be no next.
    pub(crate) fn take_spare(&mut self) -> Option<C> {
        if self.used != 0 {
            return None;
        }
        self.count = 0;
        self.chunks.take()
    }
}
