// SPDX-License-Identifier: GPL-2.0

//! The page cache of a backing inode, and a page fault in it.
//!
//! The pages are nowhere else: they are kept off the LRU lists that reclaim looks at, and marked
//! dirty, so that nothing takes them but the end of the inode.

use crate::shm::sys::{
    bindings::{
        MMF_DISABLE_THP_COMPLETELY,
        MMF_DISABLE_THP_EXCEPT_ADVISED,
        RUST_SHM_FGP_LOCK,
        RUST_SHM_GFP_OPPORTUNISTIC,
        RUST_SHM_GFP_PROMISE,
        RUST_SHM_MAX_FOLIO_ORDER, //
    },
    mm::{
        policy::SharedPolicy,
        vma, //
    }, //
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
    mm::virt::flags,
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
    /// Operations for [`init`](Self::init). A page that the hardware has spoilt is still to be
    /// seen to by who adds `error_remove_folio`.
    pub(in crate::shm::sys) const ADDRESS_SPACE_OPS: bindings::address_space_operations =
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
    /// `mapping` must be valid, and known to nobody else. `operations` must be
    /// [`ADDRESS_SPACE_OPS`](Self::ADDRESS_SPACE_OPS), or more.
    pub(in crate::shm::sys) unsafe fn init(
        mapping: *mut bindings::address_space,
        operations: &'static bindings::address_space_operations,
    ) {
        // SAFETY: By this function's requirement.
        unsafe {
            (*mapping).a_ops = operations;
            // As `mapping_set_unevictable()` and `mapping_set_large_folios()`, which are inline.
            (*mapping).flags |= (1 << bindings::mapping_flags_AS_UNEVICTABLE)
                | (MAX_ORDER as usize) << bindings::mapping_flags_AS_FOLIO_ORDER_MAX;
        }
    }

    /// # Safety
    ///
    /// `mapping` must be as the type invariant says.
    pub(in crate::shm::sys) unsafe fn from_raw(mapping: *mut bindings::address_space) -> Self {
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

    /// Keeps the pages that are there from being taken out, for as long as the guard lives, but for
    /// one that is spoilt. Who allocates a page holds this. `EINTR` for a task that is killed while
    /// it waits.
    pub(crate) fn hold(&self) -> Result<Held<'a>> {
        // SAFETY: By the type invariant. As `filemap_invalidate_lock_shared()`, which is inline,
        // but for the kill.
        to_result(unsafe {
            bindings::down_read_killable(&raw mut (*self.mapping.as_ptr()).invalidate_lock)
        })?;
        // INVARIANT: The lock was just taken.
        Ok(Held(*self))
    }

    /// Keeps everybody from putting pages in, for as long as the guard lives. Who takes pages out
    /// holds this, where they are not spoilt.
    pub(crate) fn exclude(&self) -> Excluded<'a> {
        // SAFETY: By the type invariant. As `filemap_invalidate_lock()`, which is inline.
        unsafe { bindings::down_write(&raw mut (*self.mapping.as_ptr()).invalidate_lock) };
        // INVARIANT: The lock was just taken.
        Excluded(*self)
    }

    /// How many folios of exactly `order` there are.
    pub(crate) fn count_folios(&self, order: u32) -> usize {
        let mut count = 0;
        // No two of them begin in the same block of their size.
        self.each_folio(order, |of| count += usize::from(of == order));
        count
    }

    /// Calls `f` with the order of the first folio in each block of `1 << block` pages; of all folios
    /// where `block` is 0. A task that is killed goes no further.
    pub(crate) fn each_folio(&self, block: u32, mut f: impl FnMut(u32)) {
        let mut at = 0;
        // SAFETY: By the type invariant. Both functions take the RCU lock themselves, and what the
        // first returns is not used as a pointer.
        unsafe {
            let pages = &raw mut (*self.mapping.as_ptr()).i_pages;
            while !bindings::xa_find(pages, &mut at, usize::MAX, bindings::XA_PRESENT).is_null()
                && !vma::is_killed()
            {
                // CAST: An order is small, and not negative.
                let order = bindings::xa_get_order(pages, at) as u32;
                f(order);
                let step = order.max(block);
                let Some(next) = ((at >> step) + 1).checked_mul(1 << step) else {
                    break;
                };
                at = next;
            }
        }
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
            cache: *self,
        })
    }

    /// Puts a new folio of `1 << order` zeroed pages at `index`, which must be a multiple of that,
    /// on a NUMA node of the site's choice. Charges it to the caller's memory cgroup.
    pub(crate) fn insert_zeroed(
        &self,
        index: usize,
        order: u32,
        site: &impl Site,
    ) -> Result<LockedFolio<'a>, InsertError> {
        let mapping = self.mapping.as_ptr();
        // SAFETY: By the type invariant; the mask never changes.
        let mut gfp = unsafe { (*mapping).gfp_mask } | bindings::__GFP_ZERO;
        gfp |= match site.effort() {
            // The caller takes a smaller one.
            Effort::Usual if order > 0 => RUST_SHM_GFP_OPPORTUNISTIC,
            Effort::Usual => 0,
            Effort::Promise => RUST_SHM_GFP_PROMISE,
        };
        let folio = NonNull::new(site.allocate(gfp, order)).ok_or(InsertError::NoMemory)?;
        if !site.is_reserve() {
            // SAFETY: The folio is new: nobody else uses its flags. As `__folio_mark_uptodate()`,
            // which is inline: the zeroes come first.
            unsafe {
                bindings::smp_wmb();
                bindings::__set_bit(
                    bindings::pageflags_PG_uptodate as usize,
                    &raw mut (*folio.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.flags.f,
                );
            }
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
            cache: *self,
        })
    }
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

/// A page cache from which nothing is taken out that is not spoilt.
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

/// A page cache into which nothing is put.
///
/// # Invariants
///
/// Holds the mapping's `invalidate_lock` for writing.
pub(crate) struct Excluded<'a>(PageCache<'a>);

impl Excluded<'_> {
    /// Makes a range of bytes read as zeros, and frees its whole pages.
    pub(crate) fn punch(&self, range: Range<usize>) {
        // SAFETY: The inode is valid by the type invariant.
        // CAST: What is beyond `i64::MAX` is beyond every file.
        unsafe {
            bindings::truncate_pagecache_range(
                (*self.0.mapping.as_ptr()).host,
                range.start as i64,
                range.end as i64 - 1,
            );
        }
    }
}

impl Drop for Excluded<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::up_write(&raw mut (*self.0.mapping.as_ptr()).invalidate_lock) };
    }
}

/// Where and why a folio is allocated.
pub(crate) trait Site {
    /// Whether nobody is waiting for the folio: it is kept in reserve (see
    /// [`LockedFolio::is_reserve`]).
    fn is_reserve(&self) -> bool;

    /// How hard it is tried to be had.
    fn effort(&self) -> Effort {
        Effort::Usual
    }

    /// Allocates one, or returns null.
    fn allocate(&self, gfp: bindings::gfp_t, order: u32) -> *mut bindings::folio;
}

/// How hard a folio is tried to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// A single page, until the kernel gives up; a larger folio not hard.
    Usual,
    /// Hard, but nobody is killed for it.
    Promise,
}

/// Memory that an object was promised, by the task's policy.
pub(crate) struct Promise;

impl Site for Promise {
    fn is_reserve(&self) -> bool {
        false
    }

    fn effort(&self) -> Effort {
        Effort::Promise
    }

    fn allocate(&self, gfp: bindings::gfp_t, order: u32) -> *mut bindings::folio {
        Reserve(None).allocate(gfp, order)
    }
}

impl Site for Fault<'_> {
    fn is_reserve(&self) -> bool {
        false
    }

    /// By the policy that the mapping has at the faulting address (`get_policy` of its operations,
    /// then the task's); interleaved by the place in the object.
    fn allocate(&self, gfp: bindings::gfp_t, order: u32) -> *mut bindings::folio {
        // SAFETY: By the type invariant the VMA is valid and locked, and the address in it.
        #[cfg(CONFIG_NUMA)]
        unsafe {
            let vmf = self.vmf.as_ptr();
            // CAST: An order is small.
            bindings::vma_alloc_folio_noprof(
                gfp,
                order as c_int,
                (*vmf).__bindgen_anon_1.vma,
                (*vmf).__bindgen_anon_1.address,
            )
        }
        // SAFETY: It takes any mask and order.
        #[cfg(not(CONFIG_NUMA))]
        unsafe {
            bindings::folio_alloc_noprof(gfp, order)
        }
    }
}

/// Memory that is reserved for an object, by a policy of its own or else by the task's.
pub(crate) struct Reserve(pub(crate) Option<SharedPolicy>);

impl Site for Reserve {
    fn is_reserve(&self) -> bool {
        true
    }

    fn allocate(&self, gfp: bindings::gfp_t, order: u32) -> *mut bindings::folio {
        #[cfg(CONFIG_NUMA)]
        let policy = self
            .0
            .as_ref()
            .map_or(ptr::null_mut(), SharedPolicy::as_ptr);
        #[cfg(not(CONFIG_NUMA))]
        let policy = ptr::null_mut();
        // SAFETY: The policy is valid for as long as `self`, or null.
        unsafe { bindings::filemap_alloc_folio_noprof(gfp, order, policy) }
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
/// Holds the lock of a valid folio that is in `cache`, and a reference to it.
pub(crate) struct LockedFolio<'a> {
    folio: NonNull<bindings::folio>,
    cache: PageCache<'a>,
}

impl LockedFolio<'_> {
    /// Whether it is there in reserve: zeroed, mapped by nobody yet, and to be given up if all
    /// that was to be reserved cannot be had. These are the folios that are not up to date.
    pub(crate) fn is_reserve(&self) -> bool {
        // SAFETY: By the type invariant the folio is valid; the word is read once.
        let flags = unsafe {
            (&raw const (*self.folio.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .flags
                .f)
                .read_volatile()
        };
        flags & (1 << bindings::pageflags_PG_uptodate) == 0
    }

    /// Makes it no reserve any more.
    #[inline]
    fn put_to_use(&self) {
        if self.is_reserve() {
            // SAFETY: By the type invariant. As `folio_mark_uptodate()`, which is inline: the
            // zeroes, which came with its allocation, come first.
            unsafe {
                bindings::smp_wmb();
                bindings::set_bit(
                    bindings::pageflags_PG_uptodate as usize,
                    &raw mut (*self.folio.as_ptr())
                        .__bindgen_anon_1
                        .__bindgen_anon_1
                        .flags
                        .f,
                );
            }
        }
    }

    /// The pages of the cache that it is.
    pub(crate) fn pages(&self) -> Range<usize> {
        // SAFETY: By the type invariant the folio is valid, locked and in the cache: its index and
        // its size do not change, and the cache has its order.
        unsafe {
            let folio = self.folio.as_ptr();
            let first = (*folio)
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_2
                .index;
            let pages = &raw mut (*self.cache.mapping.as_ptr()).i_pages;
            first..first + (1 << bindings::xa_get_order(pages, first))
        }
    }

    /// Takes it out of the cache, whoever has it mapped.
    pub(crate) fn remove(self) {
        // SAFETY: By the type invariant the folio is locked, and in this cache; the inode is a
        // regular file's, so this does not fail. (It is `truncate_inode_folio()`, exported.)
        unsafe {
            bindings::generic_error_remove_folio(self.cache.mapping.as_ptr(), self.folio.as_ptr())
        };
    }
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
    /// The hardware has spoilt the page: SIGBUS.
    Poisoned,
    /// The task was killed while it waited.
    Killed,
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
    pub(in crate::shm::sys) unsafe fn from_raw(
        vmf: *mut bindings::vm_fault,
        cache: PageCache<'a>,
    ) -> Self {
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

    /// Whether the mapping, or its process, wants no large folios (MADV_NOHUGEPAGE,
    /// PR_SET_THP_DISABLE). As `vma_thp_disabled()`, which is inline.
    pub(crate) fn wants_small(&self) -> bool {
        // SAFETY: By the type invariant the VMA is locked: its flags stay, and it is of an address
        // space that is valid. The word of that is read once, as `mm_flags_test()` does.
        let (vma, mm) = unsafe {
            let vma = (*self.vmf.as_ptr()).__bindgen_anon_1.vma;
            let word = &raw const (*(*vma).vm_mm).__bindgen_anon_1.flags.__mm_flags;
            (
                (*vma).__bindgen_anon_2.vm_flags,
                word.cast::<usize>().read_volatile(),
            )
        };
        let unless_advised = 1 << MMF_DISABLE_THP_EXCEPT_ADVISED;
        vma & flags::NOHUGEPAGE != 0
            || mm & (1 << MMF_DISABLE_THP_COMPLETELY) != 0
            || (vma & flags::HUGEPAGE == 0 && mm & unless_advised != 0)
    }

    /// The pages of the object.
    pub(crate) fn cache(&self) -> PageCache<'a> {
        self.cache
    }

    /// Serves the fault from a folio, which must hold the page that is wanted. The kernel unlocks
    /// it when it has mapped it.
    pub(crate) fn serve(self, folio: LockedFolio<'a>) {
        folio.put_to_use();
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
