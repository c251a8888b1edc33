// SPDX-License-Identifier: GPL-2.0

//! The pages of one segment: found or allocated when they are touched, the largest folio first.
//!
//! There is one [`Memory`] in each segment. The pages themselves are in the page cache of the
//! segment's inode, and go away with it. A fault takes the lock of a folio, and before it allocates
//! one the `invalidate_lock` of the page cache; none of ours.

use super::sys::folio::{
    Fault,
    FaultError,
    InsertError,
    LockedFolio,
    PageCache,
    MAX_ORDER,
    PMD_ORDER, //
};
use core::ops::Range;
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// The pages of a segment.
pub(crate) struct Memory {
    /// How many there can be.
    pages: usize,
}

impl Memory {
    /// No page yet, of a segment of `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            pages: bytes.div_ceil(PAGE_SIZE),
        }
    }

    /// How many pages there can be.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Serves a fault.
    pub(crate) fn fault(&self, fault: Fault<'_>) -> Result<(), FaultError> {
        let index = fault.index();
        if index >= self.pages {
            return Err(FaultError::BeyondEnd);
        }
        let cache = fault.cache();
        loop {
            if let Some(folio) = cache.find_locked(index) {
                fault.serve(folio);
                return Ok(());
            }
            let _held = cache.hold();
            match self.allocate(&fault, index) {
                Ok(folio) => {
                    fault.serve(folio);
                    return Ok(());
                }
                // Somebody was faster: the page is there to be found.
                Err(InsertError::Exists) => {}
                Err(_) => return Err(FaultError::OutOfMemory),
            }
        }
    }

    /// Allocates a folio for the page at `index`, which is not there.
    fn allocate<'a>(
        &self,
        fault: &Fault<'a>,
        index: usize,
    ) -> Result<LockedFolio<'a>, InsertError> {
        let (cache, policy) = (fault.cache(), fault.policy());
        for order in (1..=largest_order(index, self.pages)).rev() {
            let first = index >> order << order;
            if cache.any_in(first, 1 << order) {
                continue;
            }
            match cache.insert_zeroed(first, order, policy) {
                Ok(folio) => return Ok(folio),
                // No such folio to be had, or somebody was faster with a part of it: a smaller one
                // will do.
                Err(InsertError::NoMemory | InsertError::Exists) => {}
                // Near its limit, a memory cgroup takes time to say no, and the folio was zeroed
                // for nothing: not again and again.
                Err(InsertError::NoRoom) => break,
            }
        }
        cache.insert_zeroed(index, 0, policy)
    }

    /// Makes a range of bytes read as zeros, and frees its whole pages (MADV_REMOVE).
    pub(crate) fn punch(&self, cache: PageCache<'_>, bytes: Range<usize>) {
        // Beyond the end there is nothing.
        let end = bytes.end.min(self.pages << PAGE_SHIFT);
        if bytes.start < end {
            cache.punch(bytes.start..end);
        }
    }
}

/// How many bytes are in huge pages: folios that a PMD can map. They are counted, which takes time
/// in proportion to what is resident: the kernel splits such folios without telling.
pub(crate) fn huge_bytes(cache: PageCache<'_>) -> usize {
    if PMD_ORDER == 0 {
        return 0;
    }
    cache.count_folios(PMD_ORDER) * (PAGE_SIZE << PMD_ORDER)
}

/// Whether there can be huge pages among so many.
pub(crate) fn may_be_huge(resident_pages: usize) -> bool {
    PMD_ORDER > 0 && resident_pages >= 1 << PMD_ORDER
}

/// The largest order of a folio that holds the page at `index`, is aligned to its own size, and
/// lies within `pages` pages.
fn largest_order(index: usize, pages: usize) -> u32 {
    let fits = |order: &u32| {
        let folio = 1 << *order;
        (index & !(folio - 1)) + folio <= pages
    };
    (1..=MAX_ORDER).take_while(fits).last().unwrap_or(0)
}
