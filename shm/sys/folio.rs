// SPDX-License-Identifier: GPL-2.0

//! The page cache of a backing inode, and a page fault in it.
//!
//! The pages are nowhere else: they are kept off the LRU lists that reclaim looks at, and marked
//! dirty, so that nothing takes them but the end of the inode.

use super::bindings::{
    RUST_SHM_FGP_LOCK,
    RUST_SHM_GFP_OPPORTUNISTIC,
    RUST_SHM_GFP_PROMISE,
    RUST_SHM_MAX_FOLIO_ORDER, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Range,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    page::PAGE_SHIFT,
    prelude::*, //
};

/// The order of a folio of 2 MiB, or what else a PMD maps.
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
pub(crate) const PMD_ORDER: u32 = bindings::PMD_SHIFT - PAGE_SHIFT as u32;
/// The largest order of a folio here.
pub(crate) const MAX_ORDER: u32 = RUST_SHM_MAX_FOLIO_ORDER;
/// Without huge pages, folios are single pages.
#[cfg(not(CONFIG_TRANSPARENT_HUGEPAGE))]
pub(crate) const PMD_ORDER: u32 = 0;

/// The page cache of an inode.
///
/// # Invariants
///
/// `mapping` was set up by [`PageCache::init`], and is valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct PageCache<'a> {
    mapping: NonNull<bindings::address_space>,
    _inode: PhantomData<&'a ()>,
}

impl<'a> PageCache<'a> {
    const ADDRESS_SPACE_OPS: bindings::address_space_operations =
        bindings::address_space_operations {
            dirty_folio: Some(bindings::noop_dirty_folio),
            #[cfg(CONFIG_MIGRATION)]
            migrate_folio: Some(bindings::filemap_migrate_folio),
            ..pin_init::zeroed()
        };

    /// Sets the page cache of a new inode up: large folios, never reclaimed.
    ///
    /// # Safety
    ///
    /// `mapping` must be valid, and known to nobody else.
    pub(super) unsafe fn init(mapping: *mut bindings::address_space) {
        // SAFETY: By this function's requirement.
        unsafe {
            (*mapping).a_ops = &Self::ADDRESS_SPACE_OPS;
            // As `mapping_set_unevictable()` and `mapping_set_large_folios()`, which are inline.
            (*mapping).flags |= (1 << bindings::mapping_flags_AS_UNEVICTABLE)
                | (MAX_ORDER as usize) << bindings::mapping_flags_AS_FOLIO_ORDER_MAX;
        }
    }

    /// # Safety
    ///
    /// `mapping` must be as the type invariant says.
    pub(super) unsafe fn from_raw(mapping: *mut bindings::address_space) -> Self {
        Self {
            // SAFETY: By this function's requirement it is not null.
            // INVARIANT: By this function's requirement.
            mapping: unsafe { NonNull::new_unchecked(mapping) },
            _inode: PhantomData,
        }
    }

    /// How many pages there are now.
    pub(crate) fn resident_pages(&self) -> usize {
        // SAFETY: By the type invariant; the word is read once, as `READ_ONCE()`.
        unsafe { (&raw const (*self.mapping.as_ptr()).nrpages).read_volatile() }
    }

    /// Keeps the pages that are there from being taken out, for as long as the guard lives. Who
    /// allocates a page holds this.
    pub(crate) fn hold(&self) -> Held<'a> {
        // SAFETY: By the type invariant. As `filemap_invalidate_lock_shared()`, which is inline.
        unsafe { bindings::down_read(&raw mut (*self.mapping.as_ptr()).invalidate_lock) };
        Held(*self)
    }

    /// Makes a range of bytes read as zeros, and frees its whole pages.
    pub(crate) fn punch(&self, range: Range<usize>) {
        let mapping = self.mapping.as_ptr();
        // SAFETY: The inode is valid by the type invariant. The first and the last line are
        // `filemap_invalidate_lock()` and `_unlock()`, which are inline.
        // CAST: What is beyond `i64::MAX` is beyond every file.
        unsafe {
            bindings::down_write(&raw mut (*mapping).invalidate_lock);
            bindings::truncate_pagecache_range(
                (*mapping).host,
                range.start as i64,
                range.end as i64 - 1,
            );
            bindings::up_write(&raw mut (*mapping).invalidate_lock);
        }
    }

    /// How many folios of exactly `order` there are.
    pub(crate) fn count_folios(&self, order: u32) -> usize {
        let mut count = 0;
        let mut at = 0;
        // SAFETY: By the type invariant. Both functions take the RCU lock themselves, and what the
        // first returns is not used as a pointer.
        unsafe {
            let pages = &raw mut (*self.mapping.as_ptr()).i_pages;
            while !bindings::xa_find(pages, &mut at, usize::MAX, bindings::XA_PRESENT).is_null() {
                // CAST: An order is small.
                if bindings::xa_get_order(pages, at) == order as c_int {
                    count += 1;
                }
                // No two of them begin in the same place.
                let Some(next) = ((at >> order) + 1).checked_mul(1 << order) else {
                    break;
                };
                at = next;
            }
        }
        count
    }

    /// Whether any page from `index` on, `count` pages long, is there.
    pub(crate) fn any_in(&self, index: usize, count: usize) -> bool {
        let mut at = index;
        // SAFETY: By the type invariant. The result is not used as a pointer.
        let entry = unsafe {
            bindings::xa_find(
                &raw mut (*self.mapping.as_ptr()).i_pages,
                &mut at,
                index + count - 1,
                bindings::XA_PRESENT,
            )
        };
        !entry.is_null()
    }

    /// The folio with the page at `index`, locked.
    pub(crate) fn find_locked(&self, index: usize) -> Option<LockedFolio<'a>> {
        // SAFETY: By the type invariant.
        let folio = unsafe {
            bindings::__filemap_get_folio_mpol(
                self.mapping.as_ptr(),
                index,
                RUST_SHM_FGP_LOCK,
                0,
                ptr::null_mut(),
            )
        };
        let folio = from_err_ptr(folio).ok()?;
        // INVARIANT: The folio was found in this page cache, its lock and a reference taken.
        NonNull::new(folio).map(|folio| LockedFolio {
            folio,
            _cache: PhantomData,
        })
    }

    /// Puts a new folio of `1 << order` zeroed pages at `index`, which must be a multiple of that,
    /// on a NUMA node that the policy allows. Charges it to the caller's memory cgroup.
    pub(crate) fn insert_zeroed(
        &self,
        index: usize,
        order: u32,
        policy: Policy<'_>,
        effort: Effort,
    ) -> Result<LockedFolio<'a>, InsertError> {
        let mapping = self.mapping.as_ptr();
        // SAFETY: By the type invariant; the mask never changes.
        let mut gfp = unsafe { (*mapping).gfp_mask } | bindings::__GFP_ZERO;
        gfp |= match effort {
            Effort::Usual => 0,
            Effort::Opportunistic => RUST_SHM_GFP_OPPORTUNISTIC,
            Effort::Promise => RUST_SHM_GFP_PROMISE,
        };
        // SAFETY: The policy is valid, or null: then the task's own is used.
        let folio = unsafe { bindings::filemap_alloc_folio_noprof(gfp, order, policy.0) };
        let folio = NonNull::new(folio).ok_or(InsertError::NoMemory)?;
        // SAFETY: The folio is new: nobody else uses its flags. As `__folio_mark_uptodate()`, which
        // is inline: the zeroes come first.
        unsafe {
            bindings::smp_wmb();
            bindings::__set_bit(
                bindings::pageflags_PG_uptodate as usize,
                &raw mut (*folio.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.flags.f,
            );
        }
        // SAFETY: The folio is new and in no page cache; the mapping is valid by the type
        // invariant.
        let added = unsafe { bindings::filemap_add_folio(mapping, folio.as_ptr(), index, gfp) };
        if let Err(e) = to_result(added) {
            // SAFETY: The folio was not added, so ours is its only reference.
            unsafe { put(folio) };
            return Err(if e == EEXIST {
                InsertError::Exists
            } else {
                InsertError::NoRoom
            });
        }
        // SAFETY: The folio is locked and in this page cache. A dirty page is not dropped by
        // drop_caches.
        unsafe { bindings::folio_mark_dirty(folio.as_ptr()) };
        // INVARIANT: `filemap_add_folio()` locked it; the reference is that of the allocation.
        Ok(LockedFolio {
            folio,
            _cache: PhantomData,
        })
    }
}

/// How hard a folio is tried to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Until the kernel gives up.
    Usual,
    /// Not hard: the caller takes a smaller one.
    Opportunistic,
    /// Hard, but nobody is killed for it.
    Promise,
}

/// How many pages there are to be had, about (`si_mem_available()`).
pub(crate) fn available_pages() -> usize {
    // SAFETY: Always safe to call.
    usize::try_from(unsafe { bindings::si_mem_available() }).unwrap_or(0)
}

/// Why no folio was put into a page cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum InsertError {
    /// A page is there.
    Exists,
    /// There is no such folio to be had.
    NoMemory,
    /// The memory cgroup has no room for it, or the page cache none for its entry.
    NoRoom,
}

/// A page cache from which nothing is taken out.
///
/// # Invariants
///
/// Holds the mapping's `invalidate_lock` for reading.
pub(crate) struct Held<'a>(PageCache<'a>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::up_read(&raw mut (*self.0.mapping.as_ptr()).invalidate_lock) };
    }
}

/// Drops a reference to a folio (`folio_put()`, which is inline).
///
/// # Safety
///
/// The reference must be the caller's.
unsafe fn put(folio: NonNull<bindings::folio>) {
    // SAFETY: By this function's requirement the folio is valid until its last reference is
    // dropped.
    unsafe {
        if bindings::atomic_dec_and_test(
            &raw mut (*folio.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                ._refcount,
        ) {
            bindings::__folio_put(folio.as_ptr());
        }
    }
}

/// A folio in the page cache of an inode, locked.
///
/// # Invariants
///
/// Holds the lock of a valid folio, and a reference to it.
pub(crate) struct LockedFolio<'a> {
    folio: NonNull<bindings::folio>,
    _cache: PhantomData<&'a ()>,
}

impl Drop for LockedFolio<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock and the reference are ours.
        unsafe {
            bindings::folio_unlock(self.folio.as_ptr());
            put(self.folio);
        }
    }
}

/// Why a fault cannot be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FaultError {
    /// Beyond the end of the object: SIGBUS.
    BeyondEnd,
    /// No memory, or none left to the memory cgroup: the kernel reclaims, kills, and tries again.
    OutOfMemory,
}

/// A NUMA policy, or none.
///
/// # Invariants
///
/// Null, or valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Policy<'a>(*mut bindings::mempolicy, PhantomData<&'a ()>);

impl Policy<'_> {
    /// The task's own.
    pub(crate) const NONE: Self = Self(ptr::null_mut(), PhantomData);
}

/// A page fault that is being served.
///
/// # Invariants
///
/// `vmf` is a fault under way, in a mapping of `cache`.
pub(crate) struct Fault<'a> {
    vmf: NonNull<bindings::vm_fault>,
    cache: PageCache<'a>,
}

impl<'a> Fault<'a> {
    /// # Safety
    ///
    /// The arguments must be as the type invariant says, for `'a`.
    pub(super) unsafe fn from_raw(vmf: *mut bindings::vm_fault, cache: PageCache<'a>) -> Self {
        Self {
            // SAFETY: By this function's requirement it is not null.
            vmf: unsafe { NonNull::new_unchecked(vmf) },
            cache,
        }
    }

    /// Which page of the object is wanted.
    pub(crate) fn index(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.vmf.as_ptr()).__bindgen_anon_1.pgoff }
    }

    /// The NUMA policy of the mapping, as mbind(2) set it.
    pub(crate) fn policy(&self) -> Policy<'_> {
        #[cfg(CONFIG_NUMA)]
        // SAFETY: By the type invariant the VMA is locked: its policy stays, and it holds it.
        let policy = unsafe { (*(*self.vmf.as_ptr()).__bindgen_anon_1.vma).vm_policy };
        #[cfg(not(CONFIG_NUMA))]
        let policy = ptr::null_mut();
        Policy(policy, PhantomData)
    }

    /// The pages of the object.
    pub(crate) fn cache(&self) -> PageCache<'a> {
        self.cache
    }

    /// Serves the fault from a folio, which must hold the page that is wanted. The kernel unlocks
    /// it when it has mapped it.
    pub(crate) fn serve(self, folio: LockedFolio<'a>) {
        let folio = ManuallyDrop::new(folio).folio;
        // SAFETY: By the type invariants both are valid, and the folio is locked: its index does
        // not change. The pages of a folio are contiguous in the memory map, and the one at `index`
        // is among them, so this is `folio_file_page()`, which is inline.
        unsafe {
            let first = (*folio.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_2
                .index;
            let page = folio
                .as_ptr()
                .cast::<bindings::page>()
                .add(self.index() - first);
            (*self.vmf.as_ptr()).page = page;
        }
    }
}
