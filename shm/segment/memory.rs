// SPDX-License-Identifier: GPL-2.0

//! The pages of one segment: found or allocated when they are touched, the largest folio first.
//!
//! There is one [`Memory`] in each segment. The pages themselves are in the page cache of the
//! segment's inode, and go away with it. A fault takes the lock of a folio, and before it allocates
//! one the `invalidate_lock` of the page cache. Ours are the spinlocks of what few segments have
//! ([`Rare`]), which nothing is taken under.

use crate::shm::{
    rules::limits,
    segment::policy::Policies,
    sys::{
        fs::parameter::{
            parameter,
            Setting, //
        },
        mm::{
            folio::{
                self,
                Fault,
                FaultError,
                InsertError,
                LockedFolio,
                PageCache,
                Promise,
                Reserve,
                Site, //
                MAX_ORDER,
                PMD_ORDER,
            },
            policy::SharedPolicy,
            vma, //
        },
        sync::lazy::LazyBox, //
    }, //
};
use core::ops::{
    Range,
    RangeInclusive, //
};
use kernel::{
    fmt,
    new_spinlock,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::SpinLock, //
};

/// Which folios of more than one page are made. The names are those of tmpfs's mount option `huge=`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Huge {
    /// None.
    Never,
    /// Those that lie in the segment.
    WithinSize,
    /// The largest, also over the end of the segment; but there none that a PMD can map. The kernel
    /// would map such a one (MADV_COLLAPSE) for who has made his mapping longer than the segment.
    Always,
}

impl Setting for Huge {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "never" => Ok(Self::Never),
            "within_size" => Ok(Self::WithinSize),
            "always" => Ok(Self::Always),
            _ => Err(EINVAL),
        }
    }

    fn into_word(self) -> u64 {
        self as u64
    }

    fn from_word(word: u64) -> Self {
        [Self::Never, Self::WithinSize]
            .into_iter()
            .find(|huge| huge.into_word() == word)
            .unwrap_or(Self::Always)
    }
}

impl fmt::Display for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::WithinSize => "within_size",
            Self::Always => "always",
        })
    }
}

parameter! {
    /// What pages that are touched from now on are made of.
    static HUGE: Huge = Huge::WithinSize, "huge", 0o644,
        "Large folios: always, within_size, never (within_size)";
}

/// The pages of a segment.
pub(crate) struct Memory {
    /// How many there can be.
    pages: usize,
    rare: LazyBox<Rare>,
}

/// What few segments have.
#[pin_data]
struct Rare {
    #[pin]
    policies: Policies,
    /// The pages that the hardware has spoilt. They are in the page cache no more, and come back
    /// only where a hole is punched.
    #[pin]
    poisoned: SpinLock<RBTree<usize, ()>>,
}

impl Rare {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            policies <- Policies::new(),
            poisoned <- new_spinlock!(RBTree::new(), "rust_shm::Rare::poisoned"),
        })
    }

    fn any_poisoned(&self, pages: &Range<usize>) -> bool {
        let poisoned = self.poisoned.lock();
        poisoned
            .cursor_lower_bound(&pages.start)
            .is_some_and(|cursor| *cursor.current().0 < pages.end)
    }
}

impl Memory {
    /// No page yet, of a segment of `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            pages: bytes.div_ceil(PAGE_SIZE),
            rare: LazyBox::new(),
        }
    }

    /// How many bytes there can be, in whole pages.
    pub(crate) fn bytes(&self) -> usize {
        self.pages * PAGE_SIZE
    }

    /// Serves a fault. `is_huge` says that the segment is one of huge pages, whatever else is set.
    pub(crate) fn fault(&self, fault: Fault<'_>, is_huge: bool) -> Result<(), FaultError> {
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
            let _held = cache.hold().map_err(|_| FaultError::Killed)?;
            if self.any_poisoned(&(index..index + 1)) {
                return Err(FaultError::Poisoned);
            }
            let blocks = if is_huge {
                0..self.pages
            } else {
                self.blocks(fault.wants_small())
            };
            match self.allocate(cache, index, &blocks, &fault) {
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

    /// Where folios of more than one page may lie.
    fn blocks(&self, wants_small: bool) -> Range<usize> {
        let end = match HUGE.value() {
            _ if wants_small => 0,
            Huge::Never => 0,
            Huge::WithinSize => self.pages,
            // A size is no more than `isize::MAX` bytes.
            Huge::Always => self.pages.next_multiple_of(1 << MAX_ORDER),
        };
        0..end
    }

    /// Allocates a folio for the page at `index`, which is not there; of more than one page only in
    /// `blocks`.
    fn allocate<'a>(
        &self,
        cache: PageCache<'a>,
        index: usize,
        blocks: &Range<usize>,
        site: &impl Site,
    ) -> Result<LockedFolio<'a>, InsertError> {
        let blocks = self.alike(index, blocks);
        for order in (1..=self.largest_order(index, &blocks)).rev() {
            let first = index >> order << order;
            if cache.any_in(first, 1 << order) || self.any_poisoned(&(first..first + (1 << order)))
            {
                continue;
            }
            match self.insert(cache, first, order, site) {
                Ok(folio) => return Ok(folio),
                // No such folio to be had, or somebody was faster with a part of it: a smaller one
                // will do.
                Err(InsertError::NoMemory | InsertError::Exists) => {}
                // Near its limit, a memory cgroup takes time to say no, and the folio was zeroed
                // for nothing: not again and again.
                Err(InsertError::NoRoom) => break,
            }
        }
        self.insert(cache, index, 0, site)
    }

    fn insert<'a>(
        &self,
        cache: PageCache<'a>,
        first: usize,
        order: u32,
        site: &impl Site,
    ) -> Result<LockedFolio<'a>, InsertError> {
        let folio = cache.insert_zeroed(first, order, site)?;
        // Since the caller has looked, a page may have come, and be gone again as it was spoilt.
        if self.any_poisoned(&(first..first + (1 << order))) {
            folio.remove();
            return Err(InsertError::Exists);
        }
        Ok(folio)
    }

    /// The part of `blocks` around `index` in which all pages have the same NUMA policy: a folio is
    /// on one node.
    fn alike(&self, index: usize, blocks: &Range<usize>) -> Range<usize> {
        let Some(rare) = self.rare.get() else {
            return blocks.clone();
        };
        let (first, last) = rare.policies.alike(index).into_inner();
        // Beyond the end of the segment nothing has a policy.
        let end = if last >= self.pages - 1 {
            blocks.end
        } else {
            blocks.end.min(last + 1)
        };
        blocks.start.max(first)..end
    }

    /// The largest order of a folio that holds the page at `index`, is aligned to its own size, and
    /// lies in `blocks`.
    fn largest_order(&self, index: usize, blocks: &Range<usize>) -> u32 {
        let fits = |order: &u32| {
            let folio = 1 << *order;
            let first = index & !(folio - 1);
            first >= blocks.start
                && first + folio <= blocks.end
                && (*order < PMD_ORDER || first + folio <= self.pages)
        };
        (1..=MAX_ORDER).take_while(fits).last().unwrap_or(0)
    }

    fn any_poisoned(&self, pages: &Range<usize>) -> bool {
        self.rare.get().is_some_and(|rare| rare.any_poisoned(pages))
    }

    /// Makes a range of bytes read as zeros, and frees its whole pages (MADV_REMOVE).
    pub(crate) fn punch(&self, cache: PageCache<'_>, bytes: Range<usize>) {
        // Beyond the end there is nothing.
        let end = bytes.end.min(self.pages << PAGE_SHIFT);
        if bytes.start >= end {
            return;
        }
        let excluded = cache.exclude();
        excluded.punch(bytes.start..end);
        if let Some(rare) = self.rare.get() {
            let (first, end) = (bytes.start.div_ceil(PAGE_SIZE), end >> PAGE_SHIFT);
            let mut poisoned = rare.poisoned.lock();
            while let Some(cursor) = poisoned.cursor_lower_bound_mut(&first) {
                if *cursor.current().0 >= end {
                    break;
                }
                drop(cursor.remove_current());
            }
        }
    }

    /// Brings the pages of a range of bytes in, or none of them (`fallocate(2)`). As
    /// `shmem_fallocate()`, of a file that may not grow. `is_huge` is as in [`Self::fault()`].
    pub(crate) fn reserve(
        &self,
        cache: PageCache<'_>,
        bytes: Range<usize>,
        is_huge: bool,
    ) -> Result {
        let pages = bytes.start >> PAGE_SHIFT..bytes.end.div_ceil(PAGE_SIZE);
        if pages.end > self.pages {
            return Err(EPERM);
        }
        let blocks = if is_huge {
            0..self.pages
        } else if HUGE.value() == Huge::Never {
            0..0
        } else {
            pages.clone()
        };
        let mut index = pages.start;
        while index < pages.end {
            match self.reserve_at(cache, index, &blocks) {
                Ok(next) => index = next,
                Err(e) => {
                    self.unreserve(cache, pages.start..index);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// Brings the page at `index` in. Returns the index of the first page after its folio.
    fn reserve_at(
        &self,
        cache: PageCache<'_>,
        index: usize,
        blocks: &Range<usize>,
    ) -> Result<usize> {
        loop {
            if vma::is_killed() {
                return Err(EINTR);
            }
            if let Some(folio) = cache.find_locked(index) {
                return Ok(folio.pages().end);
            }
            let _held = cache.hold()?;
            if self.any_poisoned(&(index..index + 1)) {
                return Ok(index + 1);
            }
            match self.allocate(cache, index, blocks, &Reserve(self.policy(index))) {
                Ok(folio) => return Ok(folio.pages().end),
                Err(InsertError::Exists) => {}
                Err(_) => return Err(ENOMEM),
            }
        }
    }

    /// Gives up what was reserved and not used yet.
    fn unreserve(&self, cache: PageCache<'_>, pages: Range<usize>) {
        let _excluded = cache.exclude();
        let mut index = pages.start;
        while index < pages.end {
            let Some(folio) = cache.find_locked(index) else {
                index += 1;
                continue;
            };
            index = folio.pages().end;
            if folio.is_reserve() {
                folio.remove();
            }
        }
    }

    /// The page at `index` is spoilt by the hardware.
    pub(crate) fn poisoned(&self, index: usize) -> Result {
        let node = RBTreeNode::new(index, (), GFP_KERNEL)?;
        let old = self
            .rare
            .get_or_make(Rare::new())?
            .poisoned
            .lock()
            .insert(node);
        drop(old);
        Ok(())
    }

    /// Gives a range of pages a NUMA policy, or none.
    pub(crate) fn set_policy(
        &self,
        pages: RangeInclusive<usize>,
        policy: Option<SharedPolicy>,
    ) -> Result {
        if policy.is_none() && self.rare.get().is_none() {
            return Ok(());
        }
        self.rare
            .get_or_make(Rare::new())?
            .policies
            .set(pages, policy)
    }

    /// The NUMA policy of a page.
    pub(crate) fn policy(&self, page: usize) -> Option<SharedPolicy> {
        self.rare.get()?.policies.of(page)
    }

    /// Drops what there may be much of, when there are no pages any more and nobody is attached.
    pub(crate) fn forget(&self) {
        if let Some(rare) = self.rare.get() {
            rare.policies.clear();
            let poisoned = core::mem::take(&mut *rare.poisoned.lock());
            drop(poisoned);
        }
    }
}

/// The size of a huge page, in bytes.
pub(crate) const HUGE_BYTES: usize = PAGE_SIZE << PMD_ORDER;

/// Whether there are huge pages of a size given by its logarithm, 0 for the usual one.
pub(crate) fn has_huge_pages(size_log: u32) -> bool {
    PMD_ORDER > 0 && MAX_ORDER >= PMD_ORDER && (size_log == 0 || size_log == HUGE_BYTES.ilog2())
}

/// How many bytes a segment of `size` bytes takes in huge pages; `None` if that is too much for a
/// file.
pub(crate) fn in_huge_pages(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(HUGE_BYTES)
        .filter(|bytes| limits::file_fits(*bytes).is_ok())
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
        if vma::is_killed() {
            return Err(EINTR);
        }
        cache
            .insert_zeroed(index, PMD_ORDER, &Promise)
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
