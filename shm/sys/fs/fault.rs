// SPDX-License-Identifier: GPL-2.0

//! A page fault in a mapping of an attach file.

use super::shmem::Shmem;
use crate::shm::sys::bindings;
use core::{
    marker::PhantomData,
    ops::Range, //
};
use kernel::{
    mm::virt::flags,
    page::PAGE_SHIFT, //
};

/// A page fault that is being served.
///
/// # Invariants
///
/// It is a fault under way, with its VMA locked, in a mapping of an inode of shmem.
pub(crate) struct Fault<'a>(*mut bindings::vm_fault, PhantomData<&'a ()>);

impl<'a> Fault<'a> {
    /// # Safety
    ///
    /// `vmf` must be as the type invariant says, for `'a`.
    pub(in crate::shm::sys) unsafe fn from_raw(vmf: *mut bindings::vm_fault) -> Self {
        // INVARIANT: By this function's requirement.
        Self(vmf, PhantomData)
    }

    /// The index of the page that is wanted.
    pub(crate) fn index(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { (*self.0).__bindgen_anon_1.pgoff }
    }

    /// The pages of the object.
    pub(crate) fn pages(&self) -> Shmem<'a> {
        // SAFETY: By the type invariant. The VMA holds its file, and that its inode.
        unsafe {
            let vma = (*self.0).__bindgen_anon_1.vma;
            Shmem::from_raw((*(*vma).vm_file).f_inode)
        }
    }

    /// Which pages of the object the mapping has.
    pub(crate) fn mapped(&self) -> Range<usize> {
        // SAFETY: By the type invariant the VMA is locked: its bounds stay.
        unsafe {
            let vma = (*self.0).__bindgen_anon_1.vma;
            let bounds = (*vma).__bindgen_anon_1.__bindgen_anon_1;
            let first = (*vma).vm_pgoff;
            first..first + ((bounds.vm_end - bounds.vm_start) >> PAGE_SHIFT)
        }
    }

    /// Whether it is another process's fault that the caller serves (`get_user_pages_remote()`).
    pub(crate) fn is_remote(&self) -> bool {
        // SAFETY: By the type invariant the VMA is valid; the pointers are compared, not used.
        unsafe { (*(*self.0).__bindgen_anon_1.vma).vm_mm != (*bindings::get_current()).mm }
    }

    /// Whether the mapping, or its process, wants no large folios (MADV_NOHUGEPAGE,
    /// PR_SET_THP_DISABLE). As `vma_thp_disabled()`, which is inline.
    pub(crate) fn wants_small(&self) -> bool {
        // SAFETY: By the type invariant the VMA is locked: its flags stay, and it is of an address
        // space that is valid. The word of that is read once, as `mm_flags_test()` does.
        let (vma, mm) = unsafe {
            let vma = (*self.0).__bindgen_anon_1.vma;
            let word = &raw const (*(*vma).vm_mm).__bindgen_anon_1.flags.__mm_flags;
            (
                (*vma).__bindgen_anon_2.vm_flags,
                word.cast::<usize>().read_volatile(),
            )
        };
        let unless_advised = 1 << bindings::MMF_DISABLE_THP_EXCEPT_ADVISED;
        vma & flags::NOHUGEPAGE != 0
            || mm & (1 << bindings::MMF_DISABLE_THP_COMPLETELY) != 0
            || (vma & flags::HUGEPAGE == 0 && mm & unless_advised != 0)
    }
}
