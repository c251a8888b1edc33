// SPDX-License-Identifier: GPL-2.0

//! The NUMA policy that all who map an object share.
//!
//! There is one for each inode, owned by it. `mbind(2)` on any mapping changes it for all. On a
//! kernel without NUMA there is nothing in it.

use kernel::{
    bindings,
    prelude::*, //
};

#[cfg(CONFIG_NUMA)]
mod numa {
    use super::*;
    use crate::shm::sys::bindings as extra;
    use core::ptr;
    use kernel::{
        page::PAGE_SHIFT,
        types::Opaque, //
    };

    /// A shared policy, by page.
    ///
    /// # Invariants
    ///
    /// `inner` is initialised.
    #[pin_data(PinnedDrop)]
    pub(crate) struct SharedPolicy {
        #[pin]
        inner: Opaque<extra::shared_policy>,
    }

    // SAFETY: A shared policy has a lock of its own.
    unsafe impl Send for SharedPolicy {}
    // SAFETY: As above.
    unsafe impl Sync for SharedPolicy {}

    impl SharedPolicy {
        /// No policy: the task's own counts.
        pub(crate) fn new() -> impl PinInit<Self> {
            pin_init!(Self {
                // SAFETY: `slot` is valid for writes while the closure runs.
                inner <- Opaque::ffi_init(|slot| unsafe {
                    extra::mpol_shared_policy_init(slot, ptr::null_mut())
                }),
            })
        }

        /// Sets the policy of what `vma` maps.
        ///
        /// # Safety
        ///
        /// As for `vm_ops->set_policy()`, in a mapping of the object.
        pub(in crate::shm::sys) unsafe fn set(
            &self,
            vma: *mut bindings::vm_area_struct,
            policy: *mut bindings::mempolicy,
        ) -> c_int {
            // SAFETY: By the type invariant and this function's requirement.
            unsafe { extra::mpol_set_shared_policy(self.inner.get(), vma, policy.cast()) }
        }

        /// The policy at `address`, for the kernel to keep.
        ///
        /// # Safety
        ///
        /// As for `vm_ops->get_policy()`, in a mapping of the object.
        pub(in crate::shm::sys) unsafe fn get(
            &self,
            vma: *const bindings::vm_area_struct,
            address: usize,
        ) -> *mut bindings::mempolicy {
            // SAFETY: By this function's requirement. As `linear_page_index()`, which is inline.
            let index = unsafe {
                let start = (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start;
                ((address - start) >> PAGE_SHIFT) + (*vma).vm_pgoff
            };
            // SAFETY: By the type invariant.
            unsafe { extra::mpol_shared_policy_lookup(self.inner.get(), index) }.cast()
        }

        /// Calls `f` with the policy of a page, or null.
        pub(in crate::shm::sys) fn with<R>(
            &self,
            index: usize,
            f: impl FnOnce(*mut bindings::mempolicy) -> R,
        ) -> R {
            // SAFETY: By the type invariant.
            let policy = unsafe { extra::mpol_shared_policy_lookup(self.inner.get(), index) };
            let result = f(policy.cast());
            // SAFETY: The look-up took a reference to a shared policy. As `mpol_cond_put()`, which is
            // inline.
            unsafe {
                if !policy.is_null() && u32::from((*policy).flags) & extra::MPOL_F_SHARED != 0 {
                    extra::__mpol_put(policy);
                }
            }
            result
        }
    }

    #[pinned_drop]
    impl PinnedDrop for SharedPolicy {
        fn drop(self: Pin<&mut Self>) {
            // SAFETY: By the type invariant; nobody uses it any more.
            unsafe { extra::mpol_free_shared_policy(self.inner.get()) };
        }
    }
}

#[cfg(CONFIG_NUMA)]
pub(crate) use numa::SharedPolicy;

/// Nothing.
#[cfg(not(CONFIG_NUMA))]
pub(crate) struct SharedPolicy(());

#[cfg(not(CONFIG_NUMA))]
impl SharedPolicy {
    /// Nothing.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init::init_from_value(Self(()))
    }

    /// Calls `f` with null.
    pub(in crate::shm::sys) fn with<R>(
        &self,
        _index: usize,
        f: impl FnOnce(*mut bindings::mempolicy) -> R,
    ) -> R {
        f(core::ptr::null_mut())
    }
}
