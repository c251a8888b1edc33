// SPDX-License-Identifier: GPL-2.0

//! The pages of one segment: found or allocated when they are touched, the largest folio first.
//!
//! The pages are in the page cache of the segment's inode, and go away with it. A fault takes the
//! folio lock, and no lock of ours.

use super::sys::folio::{
    Fault,
    FaultError,
    LockedFolio,
    PageCache,
    PMD_ORDER, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// The size of a huge page in bytes.
pub(crate) const HUGE_PAGE_BYTES: u64 = (PAGE_SIZE as u64) << PMD_ORDER;

/// The largest order of a folio that holds the page at `index`, is aligned to its own size, and
/// lies within `pages` pages.
fn largest_order(index: usize, pages: usize) -> u32 {
    let mut order = 0;
    while order < PMD_ORDER && (index >> (order + 1) << (order + 1)) + (1 << (order + 1)) <= pages {
        order += 1;
    }
    order
}

/// Allocates a folio for the page at `index`, which is not there. `EEXIST` if it is there now;
/// `ENOMEM`.
fn allocate<'a>(
    cache: PageCache<'a>,
    index: usize,
    pages: usize,
) -> Result<(LockedFolio<'a>, u32)> {
    for order in (1..=largest_order(index, pages)).rev() {
        let first = index >> order << order;
        if cache.any_in(first, 1 << order) {
            continue;
        }
        // No such folio to be had, or somebody was faster with a part of it: a smaller one will do.
        if let Ok(folio) = cache.insert_zeroed(first, order) {
            return Ok((folio, order));
        }
    }
    Ok((cache.insert_zeroed(index, 0)?, 0))
}

/// Serves a fault in a segment of `pages` pages. Returns the order of the folio if one was
/// allocated for it.
pub(crate) fn fault(pages: usize, fault: Fault<'_>) -> Result<Option<u32>, FaultError> {
    let index = fault.index();
    if index >= pages {
        return Err(FaultError::BeyondEnd);
    }
    let cache = fault.cache();
    loop {
        if let Some(folio) = cache.find_locked(index) {
            fault.serve(folio);
            return Ok(None);
        }
        match allocate(cache, index, pages) {
            Ok((folio, order)) => {
                fault.serve(folio);
                return Ok(Some(order));
            }
            // Somebody was faster: the page is there to be found.
            Err(e) if e == EEXIST => {}
            Err(_) => return Err(FaultError::OutOfMemory),
        }
    }
}
