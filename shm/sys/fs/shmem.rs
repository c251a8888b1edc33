// SPDX-License-Identifier: GPL-2.0

//! The pages of an inode of shmem.
//!
//! The kernel does the most of it: swap, reclaim, memory cgroups, NUMA policies, holes, hwpoison,
//! migration, huge pages that are split and collapsed.

use crate::shm::sys::{
    bindings,
    mm::folio::{
        self,
        LockedFolio,
        PMD_ORDER, //
    },
    task::thread, //
};
use core::{
    marker::PhantomData,
    ops::Range,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// The pages of a [`ShmemFile`](super::shmem_file::ShmemFile), by its inode.
///
/// # Invariants
///
/// The inode is one of shmem's regular files, and valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Shmem<'a>(*mut bindings::inode, PhantomData<&'a ()>);

impl Shmem<'_> {
    /// # Safety
    ///
    /// `inode` must be as the type invariant says.
    pub(in crate::shm::sys) unsafe fn from_raw(inode: *mut bindings::inode) -> Self {
        // INVARIANT: By this function's requirement.
        Self(inode, PhantomData)
    }

    fn mapping(&self) -> NonNull<bindings::address_space> {
        // SAFETY: By the type invariant; an inode's mapping is never null.
        unsafe { NonNull::new_unchecked((*self.0).i_mapping) }
    }

    /// A word of `struct shmem_inode_info`, by where it is.
    fn field(&self, offset: usize) -> *mut usize {
        // SAFETY: By the type invariant the inode is the field `vfs_inode` of such a structure.
        unsafe {
            self.0
                .byte_sub(bindings::RUST_SHM_OFFSET_SHMEM_INODE)
                .byte_add(offset)
                .cast()
        }
    }

    /// The value of such a word.
    fn read(&self, offset: usize) -> usize {
        // SAFETY: The word is valid, and read once.
        unsafe { self.field(offset).read_volatile() }
    }

    /// A number that no other inode has while this one is there.
    pub(crate) fn address(&self) -> usize {
        self.0 as usize
    }

    /// The [`filesystem()`](TmpfsMount::filesystem) of the mount that it is on.
    pub(crate) fn filesystem(&self) -> usize {
        // SAFETY: By the type invariant; the superblock of an inode never changes.
        unsafe { (*self.0).i_sb as usize }
    }

    /// The size of the file in bytes (`i_size`).
    pub(crate) fn size(&self) -> usize {
        // SAFETY: By the type invariant; the word is read once.
        let size = unsafe { (&raw const (*self.0).i_size).read_volatile() };
        // CAST: A size is not negative.
        size as usize
    }

    /// The flags of the mapping (`enum mapping_flags`).
    fn mapping_flags(&self) -> usize {
        // SAFETY: By the type invariant; the word is read once.
        unsafe { (&raw const (*self.mapping().as_ptr()).flags).read_volatile() }
    }

    /// As `ShmemFile::promise_huge()`, which says when it may be called.
    pub(super) fn promise_huge(&self) {
        self.set_locked(true);
        // As `mapping_set_folio_min_order()`, which is inline.
        // SAFETY: By the type invariant the mapping is valid; it is nobody else's yet.
        unsafe {
            (*self.mapping().as_ptr()).flags |=
                (PMD_ORDER as usize) << bindings::mapping_flags_AS_FOLIO_ORDER_MIN;
        }
    }

    /// Whether [`promise_huge()`](Self::promise_huge) was called.
    pub(super) fn is_promised(&self) -> bool {
        let orders = self.mapping_flags() >> bindings::mapping_flags_AS_FOLIO_ORDER_MIN;
        orders % (1 << bindings::mapping_flags_AS_FOLIO_ORDER_BITS) != 0
    }

    /// How many pages are in memory. As `shm_add_rss_swap()`, and so the next.
    pub(crate) fn resident_pages(&self) -> usize {
        // SAFETY: By the type invariant; the word is read once.
        unsafe { (&raw const (*self.mapping().as_ptr()).nrpages).read_volatile() }
    }

    /// How many pages are swapped out.
    pub(crate) fn swapped_pages(&self) -> usize {
        self.read(bindings::RUST_SHM_OFFSET_SHMEM_SWAPPED)
    }

    /// Whether any page has a NUMA policy of its own (`mbind(2)`): the root of a tree.
    pub(crate) fn has_policy(&self) -> bool {
        bindings::RUST_SHM_OFFSET_SHMEM_POLICY != 0
            && self.read(bindings::RUST_SHM_OFFSET_SHMEM_POLICY) != 0
    }

    /// Whether the page at `index` is there: in memory, or in swap.
    pub(crate) fn has(&self, index: usize) -> bool {
        // SAFETY: By the type invariant. The result is not used as a pointer.
        let entry =
            unsafe { bindings::xa_load(&raw mut (*self.mapping().as_ptr()).i_pages, index) };
        !entry.is_null()
    }

    /// Whether somebody frees or brings in a range of pages at this moment (`fallocate(2)`, which
    /// leaves word in `i_private`).
    pub(crate) fn is_changing(&self) -> bool {
        // SAFETY: By the type invariant; the word is read once.
        unsafe { !(&raw const (*self.0).i_private).read_volatile().is_null() }
    }

    /// The folio with the page at `index`. What `how` says is done where it is not there.
    fn folio(&self, index: usize, how: bindings::sgp_type) -> Result<LockedFolio> {
        let mut folio = ptr::null_mut();
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::shmem_get_folio(self.0, index, 0, &mut folio, how) })?;
        let folio = NonNull::new(folio).ok_or(ENOENT)?;
        // SAFETY: `shmem_get_folio()` has locked it and taken a reference, and its mapping is that
        // of the inode.
        Ok(unsafe { LockedFolio::from_raw(folio, self.mapping()) })
    }

    /// Allocates a folio for the page at `index`, of the largest order for which there is room and
    /// memory, and clears it once. A plain fault of shmem clears what the allocator has cleared
    /// already. `Ok` also where the page was there.
    pub(crate) fn place(&self, index: usize) -> Result<LockedFolio> {
        if index >= self.size().div_ceil(PAGE_SIZE) {
            return Err(EINVAL);
        }
        let how = if folio::allocator_clears() {
            bindings::sgp_type_SGP_FALLOC
        } else {
            bindings::sgp_type_SGP_CACHE
        };
        let folio = self.folio(index, how)?;
        // What was there before is up to date; by SGP_FALLOC, what is new is not.
        if !folio.is_uptodate() {
            folio.mark_uptodate();
        }
        Ok(folio)
    }

    /// Puts a folio of [`PMD_ORDER`] at `index`, where no page is and nobody else looks. `ENOMEM` if
    /// there is none.
    pub(crate) fn place_huge(&self, index: usize) -> Result {
        /// So often somebody else may take a block that was found free.
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            let folio = self.place(index).map_err(|_| ENOMEM)?;
            if folio.pages().len() == 1 << PMD_ORDER {
                // A clean page is dropped by `drop_caches`.
                folio.mark_dirty();
                return Ok(());
            }
            // shmem does not try hard, and takes a smaller one.
            folio.remove();
            if !folio::find_free_block() {
                break;
            }
        }
        Err(ENOMEM)
    }

    /// Lets an allocation for the file fail before anybody is killed for it, or not.
    pub(crate) fn forbid_oom(&self, forbid: bool) {
        // SAFETY: By the type invariant the mapping is valid, and nobody else's: the file is being
        // filled.
        let mask = unsafe { &mut (*self.mapping().as_ptr()).gfp_mask };
        if forbid {
            *mask |= bindings::RUST_SHM_GFP_NO_OOM;
        } else {
            *mask &= !bindings::RUST_SHM_GFP_NO_OOM;
        }
    }

    /// Keeps huge pages that are hwpoisoned from being given out again, before a range of pages is
    /// freed: memory-failure.c cannot split them, and the allocator looks at single pages alone.
    pub(crate) fn isolate_poisoned(&self, pages: Range<usize>) {
        let mut index = pages.start;
        while let Some((at, _)) = self.next_entry(index).filter(|(at, _)| *at < pages.end) {
            index = (at | ((1 << PMD_ORDER) - 1)) + 1;
            if let Ok(folio) = self.folio(at, bindings::sgp_type_SGP_NOALLOC) {
                if folio.is_hwpoisoned() {
                    folio.isolate();
                }
            }
        }
    }

    /// Clears a range of bytes, where there are pages.
    pub(crate) fn clear(&self, bytes: Range<usize>) {
        let mut at = bytes.start;
        while at < bytes.end {
            let index = at >> PAGE_SHIFT;
            at = match self.folio(index, bindings::sgp_type_SGP_NOALLOC) {
                Ok(folio) => {
                    folio.clear(bytes.clone());
                    folio.pages().end << PAGE_SHIFT
                }
                Err(_) => (index + 1) << PAGE_SHIFT,
            };
        }
    }

    /// Keeps what is in memory there, and what comes in later, or not any more: as `shmem_lock()`,
    /// which is not exported, without the count. Calls for one inode must exclude each other. What is
    /// in memory can be reclaimed after [`rescue()`](Self::rescue).
    pub(crate) fn set_locked(&self, locked: bool) {
        let bit = bindings::mapping_flags_AS_UNEVICTABLE as usize;
        // SAFETY: The field is valid, and written by the holder of the object's lock alone; the
        // mapping is valid. As `mapping_set_unevictable()` and its inverse, which are inline.
        unsafe {
            let flags = self.field(bindings::RUST_SHM_OFFSET_SHMEM_FLAGS);
            let mapping_flags = (&raw mut (*self.mapping().as_ptr()).flags).cast();
            if locked {
                *flags |= bindings::RUST_SHM_SHMEM_F_LOCKED;
                bindings::set_bit(bit, mapping_flags);
            } else {
                *flags &= !bindings::RUST_SHM_SHMEM_F_LOCKED;
                bindings::clear_bit(bit, mapping_flags);
            }
        }
    }

    /// Adds seals (`F_SEAL_*`) to the inode. `EBUSY` for F_SEAL_WRITE, if it is mapped writable, or a
    /// page is pinned. May sleep.
    pub(crate) fn seal(&self, seals: u32) -> Result {
        // SAFETY: By the type invariant.
        to_result(unsafe { bindings::rust_shm_seal(self.0, seals) })
    }

    /// Moves pages that were unevictable to the lists that reclaim looks at, as
    /// `shmem_unlock_mapping()`, which is not exported.
    pub(crate) fn rescue(&self) {
        let mapping = self.mapping().as_ptr();
        let mut batch = bindings::folio_batch::default();
        let mut index = 0;
        let locked = || self.mapping_flags() & (1 << bindings::mapping_flags_AS_UNEVICTABLE) != 0;
        // SAFETY: By the type invariant. The batch is ours, and has references to what is in it
        // until it is released.
        unsafe {
            while !locked()
                && bindings::filemap_get_folios(mapping, &mut index, usize::MAX, &mut batch) != 0
            {
                bindings::check_move_unevictable_folios(&mut batch);
                bindings::__folio_batch_release(&mut batch);
            }
        }
    }

    /// The index of the first page at `index` or above that is there, and whether it is in swap.
    fn next_entry(&self, index: usize) -> Option<(usize, bool)> {
        /// As `xa_is_value()`.
        const VALUE: usize = 1;
        let mut at = index;
        // SAFETY: By the type invariant. It takes the RCU lock itself, and what it returns is not
        // used as a pointer.
        let entry = unsafe {
            let pages = &raw mut (*self.mapping().as_ptr()).i_pages;
            bindings::xa_find(pages, &mut at, usize::MAX, bindings::XA_PRESENT)
        };
        (!entry.is_null()).then_some((at, entry as usize & VALUE != 0))
    }

    /// Calls `f` with the order of each folio in memory. A task that is killed goes no
    /// further.
    pub(crate) fn each_folio(&self, mut f: impl FnMut(u32)) {
        let mut index = 0;
        while let Some((at, is_swapped)) = self.next_entry(index) {
            if thread::fatal_signal_pending() {
                break;
            }
            // SAFETY: By the type invariant; it takes the RCU lock itself.
            // CAST: An order is small, and not negative.
            let order = unsafe {
                bindings::xa_get_order(&raw mut (*self.mapping().as_ptr()).i_pages, at) as u32
            };
            if !is_swapped {
                f(order);
            }
            let Some(next) = ((at >> order) + 1).checked_mul(1 << order) else {
                break;
            };
            index = next;
        }
    }
}
