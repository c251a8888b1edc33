// SPDX-License-Identifier: GPL-2.0

//! A folio of a page cache, locked; and what the page allocator does.

use crate::shm::sys::bindings;
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::page::PAGE_SIZE;

/// The order of the folio that a PMD maps, which is a huge page: 2 MiB with pages of 4 KiB, 32 MiB with
/// 16 KiB. 0 where there are no huge pages: a kernel that does not have them, or 512 MiB with 64 KiB.
pub(crate) const PMD_ORDER: u32 =
    if cfg!(CONFIG_TRANSPARENT_HUGEPAGE) && bindings::RUST_SHM_PMD_SHIFT <= 25 {
        bindings::RUST_SHM_PMD_SHIFT - kernel::page::PAGE_SHIFT as u32
    } else {
        0
    };

/// Whether shmem's large folios, which are as large as [`PMD_ORDER`], are worth it for memory that
/// nobody has asked to be huge: up to 2 MiB. It has no limit that a module can set.
pub(crate) const LARGE_FOLIOS: bool = bindings::RUST_SHM_PMD_SHIFT <= 21;

/// How many pages there are (`totalram_pages()`).
pub(crate) fn all_pages() -> usize {
    // SAFETY: The word is read once.
    unsafe { (&raw const bindings::_totalram_pages.counter).read_volatile() as usize }
}

/// How many pages can be allocated, about (`si_mem_available()`); without those that CPUs keep for
/// themselves.
pub(crate) fn available_pages() -> usize {
    // SAFETY: Always safe to call.
    usize::try_from(unsafe { bindings::si_mem_available() }).unwrap_or(0)
}

/// Whether the page allocator clears all pages that it gives out (`want_init_on_alloc(0)`).
pub(crate) fn allocator_clears() -> bool {
    // SAFETY: It is a static key of the kernel's, whose count is read once, as `static_key_count()`
    // does. While it is being switched the count is negative, which says no.
    unsafe { (&raw const bindings::init_on_alloc.key.enabled.counter).read_volatile() > 0 }
}

/// Makes the allocator find a free block of [`PMD_ORDER`], by reclaim and compaction where there is
/// none; nobody is killed for it. Returns whether there was one. It is free again, for who allocates
/// next on this CPU.
pub(crate) fn find_free_block() -> bool {
    // SAFETY: Any flags and order may be asked for; what was allocated is freed with its order.
    unsafe {
        let page = bindings::alloc_pages(bindings::RUST_SHM_GFP_PROMISED, PMD_ORDER);
        if page.is_null() {
            return false;
        }
        bindings::__free_pages(page, PMD_ORDER);
    }
    true
}

/// Makes all CPUs give back the free pages that each keeps for itself, at most ten times a second: may
/// wait for its turn. See `helpers.h`.
pub(crate) fn drain_cpus() {
    // SAFETY: It may be called where the caller may sleep.
    unsafe { bindings::rust_shm_drain_cpus() };
}

/// A locked folio.
///
/// # Invariants
///
/// Holds the lock of a valid folio that is in the page cache `mapping`, and a reference to it.
pub(crate) struct LockedFolio {
    folio: NonNull<bindings::folio>,
    mapping: NonNull<bindings::address_space>,
}

impl LockedFolio {
    /// # Safety
    ///
    /// As the type invariant says; lock and reference are the caller's to give.
    pub(in crate::shm::sys) unsafe fn from_raw(
        folio: NonNull<bindings::folio>,
        mapping: NonNull<bindings::address_space>,
    ) -> Self {
        // INVARIANT: By this function's requirement.
        Self { folio, mapping }
    }

    /// Its first page in the file, and its order: it has 2^order pages.
    fn place(&self) -> (usize, u32) {
        // SAFETY: By the type invariant the folio is valid, locked and in the cache: its index and
        // its size do not change, and the cache has its order.
        unsafe {
            let first = (*self.folio.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_2
                .index;
            let pages = &raw mut (*self.mapping.as_ptr()).i_pages;
            // CAST: An order is small, and not negative.
            (first, bindings::xa_get_order(pages, first) as u32)
        }
    }

    /// How large it is: 2^order pages.
    pub(crate) fn order(&self) -> u32 {
        self.place().1
    }

    /// Which pages of the file it has.
    pub(crate) fn pages(&self) -> Range<usize> {
        let (first, order) = self.place();
        first..first + (1 << order)
    }

    fn flags(&self) -> *mut usize {
        // SAFETY: By the type invariant the folio is valid.
        unsafe {
            &raw mut (*self.folio.as_ptr())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .flags
                .f
        }
    }

    /// Marks its content valid. It must have been cleared, or written.
    pub(crate) fn mark_uptodate(&self) {
        // SAFETY: By the type invariant. As `folio_mark_uptodate()`, which is inline: the content
        // is written before the mark.
        unsafe {
            bindings::smp_wmb();
            bindings::set_bit(
                bindings::pageflags_PG_uptodate as usize,
                self.flags().cast(),
            );
        }
    }

    /// Whether its content is valid.
    pub(crate) fn is_uptodate(&self) -> bool {
        // SAFETY: By the type invariant; the word is read once.
        let flags = unsafe { self.flags().read_volatile() };
        flags & (1 << bindings::pageflags_PG_uptodate) != 0
    }

    /// Clears those of the bytes of a file that it has.
    pub(crate) fn clear(&self, bytes: Range<usize>) {
        let pages = self.pages();
        for index in pages.clone() {
            let start = bytes.start.max(index * PAGE_SIZE);
            let end = bytes.end.min((index + 1) * PAGE_SIZE);
            if start >= end {
                continue;
            }
            // SAFETY: By the type invariant. The pages of a folio are contiguous in the memory map,
            // and this is one of them; the range is within it.
            unsafe {
                let page = self.folio.as_ptr().cast::<bindings::page>();
                let address = bindings::kmap_local_page(page.add(index - pages.start));
                address
                    .cast::<u8>()
                    .add(start % PAGE_SIZE)
                    .write_bytes(0, end - start);
                bindings::kunmap_local(address);
            }
        }
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_shm_flush_dcache_folio(self.folio.as_ptr()) };
        self.mark_dirty();
    }

    /// Marks it dirty: it is written to swap before its memory is used for something else.
    pub(crate) fn mark_dirty(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::folio_mark_dirty(self.folio.as_ptr()) };
    }

    /// Whether a page of it is hwpoisoned (`folio_test_has_hwpoisoned()`, which is inline); false for
    /// a folio of one page, which the allocator knows to keep.
    pub(crate) fn is_hwpoisoned(&self) -> bool {
        if self.pages().len() == 1 {
            return false;
        }
        // SAFETY: By the type invariant the folio is valid, and has a second page, whose flags are
        // about all of it; the word is read once.
        let flags = unsafe {
            let second = self.folio.as_ptr().cast::<bindings::page>().add(1);
            (&raw const (*second).flags.f).read_volatile()
        };
        flags & (1 << bindings::pageflags_PG_has_hwpoisoned) != 0
    }

    /// Gives its memory up for good.
    pub(crate) fn isolate(self) {
        // SAFETY: By the type invariant. The reference stays, and so the memory is never freed.
        unsafe { bindings::folio_unlock(self.folio.as_ptr()) };
        core::mem::forget(self);
    }

    /// Takes it out of the page cache, whoever has it mapped.
    pub(crate) fn remove(self) {
        // SAFETY: By the type invariant. The inode is a regular file's, so this does not fail. (It
        // is `truncate_inode_folio()`, exported.)
        unsafe {
            bindings::generic_error_remove_folio(self.mapping.as_ptr(), self.folio.as_ptr());
        }
    }
}

impl Drop for LockedFolio {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock and the reference are ours. The latter is dropped
        // as `folio_put()` does, which is inline.
        unsafe {
            bindings::folio_unlock(self.folio.as_ptr());
            if bindings::atomic_dec_and_test(
                &raw mut (*self.folio.as_ptr())
                    .__bindgen_anon_1
                    .__bindgen_anon_1
                    ._refcount,
            ) {
                bindings::__folio_put(self.folio.as_ptr());
            }
        }
    }
}
