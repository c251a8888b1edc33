// SPDX-License-Identifier: GPL-2.0

//! The pages of one segment: found or allocated when they are touched, the largest folio first.
//!
//! There is one [`Memory`] in each segment. The pages themselves are in the page cache of the
//! segment's inode, and go away with it. A fault takes the lock of a folio, and before it allocates
//! one the `invalidate_lock` of the page cache; none of ours.

use super::sys::{
    folio::{
        self,
        Effort,
        Fault,
        FaultError,
        InsertError,
        LockedFolio,
        PageCache,
        Policy,
        MAX_ORDER,
        PMD_ORDER, //
    },
    task, //
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

    /// How many bytes there can be, in whole pages.
    pub(crate) fn bytes(&self) -> usize {
        self.pages * PAGE_SIZE
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
            match cache.insert_zeroed(first, order, policy, Effort::Opportunistic) {
                Ok(folio) => return Ok(folio),
                // No such folio to be had, or somebody was faster with a part of it: a smaller one
                // will do.
                Err(InsertError::NoMemory | InsertError::Exists) => {}
                // Near its limit, a memory cgroup takes time to say no, and the folio was zeroed
                // for nothing: not again and again.
                Err(InsertError::NoRoom) => break,
            }
        }
        cache.insert_zeroed(index, 0, policy, Effort::Usual)
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

/// The size of a huge page, in bytes.
pub(crate) const HUGE_BYTES: usize = PAGE_SIZE << PMD_ORDER;

/// How many bytes a segment of `size` bytes takes in huge pages of a size given by its logarithm, 0
/// for the usual one; `None` if there are no such pages.
pub(crate) fn huge_bytes_for(size: usize, size_log: u32) -> Option<usize> {
    let log = HUGE_BYTES.ilog2();
    if PMD_ORDER == 0 || MAX_ORDER < PMD_ORDER || (size_log != 0 && size_log != log) {
        return None;
    }
    size.checked_next_multiple_of(HUGE_BYTES)
        .filter(|bytes| isize::try_from(*bytes).is_ok())
}

/// Fills an empty page cache with huge pages, all of them; `ENOMEM` if there are not enough. A task
/// that is killed goes no further.
pub(crate) fn fill(cache: PageCache<'_>, bytes: usize) -> Result {
    let pages = bytes / PAGE_SIZE;
    // What cannot be is not begun: it would take the memory from everybody else.
    if pages > folio::available_pages() {
        return Err(ENOMEM);
    }
    for index in (0..pages).step_by(1 << PMD_ORDER) {
        if task::is_killed() {
            return Err(EINTR);
        }
        cache
            .insert_zeroed(index, PMD_ORDER, Policy::NONE, Effort::Promise)
            .map_err(|_| ENOMEM)?;
    }
    Ok(())
}

/// How many bytes are in huge pages: folios that a PMD can map. They are counted, which takes time
/// in proportion to what is resident: the kernel splits such folios without telling.
pub(crate) fn huge_bytes(cache: PageCache<'_>) -> usize {
    if PMD_ORDER == 0 {
        return 0;
    }
    cache.count_folios(PMD_ORDER) * HUGE_BYTES
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
