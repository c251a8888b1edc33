// SPDX-License-Identifier: GPL-2.0

//! A NUMA policy that several mappings share.
//!
//! The kernel exports its own store of such policies (`mpol_set_shared_policy()` and its kin) to
//! KVM alone. What a module can do is what that store rests on: hand the kernel a counted
//! `struct mempolicy` with `MPOL_F_SHARED`, of which whoever has asked for it drops a count
//! (`mpol_cond_put()`).
//!
//! The last count may be dropped by the kernel, in `__mpol_put()`, or here. Both free the policy in
//! the same way: by `kfree_rcu()`, which is for objects of `kmalloc()` and of every slab cache.

use core::ptr::NonNull;
use kernel::{
    bindings as kernel_bindings,
    prelude::*, //
};

/// A counted policy with `MPOL_F_SHARED`.
///
/// # Invariants
///
/// Holds one count of a valid `struct mempolicy` that [`SharedPolicy::copy_of`] made.
#[cfg(CONFIG_NUMA)]
pub(crate) struct SharedPolicy(NonNull<crate::shm::sys::bindings::mempolicy>);

/// Without NUMA there is none.
#[cfg(not(CONFIG_NUMA))]
#[derive(Clone)]
pub(crate) enum SharedPolicy {}

#[cfg(CONFIG_NUMA)]
// SAFETY: Policies are counted atomically, and may be put from any context.
unsafe impl Send for SharedPolicy {}
#[cfg(CONFIG_NUMA)]
// SAFETY: But for its count, a policy does not change once it was made.
unsafe impl Sync for SharedPolicy {}

#[cfg(CONFIG_NUMA)]
impl SharedPolicy {
    /// Makes a copy of a policy.
    ///
    /// # Safety
    ///
    /// `policy` must be valid, and nothing but its count may change meanwhile.
    pub(in crate::shm::sys) unsafe fn copy_of(
        policy: NonNull<kernel_bindings::mempolicy>,
    ) -> Result<Self> {
        use crate::shm::sys::bindings::mempolicy;

        // SAFETY: By this function's requirement. It is plain data: what is copied of the count is
        // overwritten before anybody sees it, and `rcu` is in use only once the count is 0.
        let mut copy = unsafe { policy.cast::<mempolicy>().read() };
        copy.refcnt.counter = 1;
        // CAST: A flag.
        copy.flags |= crate::shm::sys::bindings::MPOL_F_SHARED as u16;
        // `kfree_rcu()` in `__mpol_put()` wants what `kmalloc()` returns, which a `KBox` is.
        let copy = KBox::into_raw(KBox::new(copy, GFP_KERNEL_ACCOUNT)?);
        // SAFETY: A box is not null.
        // INVARIANT: The policy was just made, with one count, which is ours.
        Ok(Self(unsafe { NonNull::new_unchecked(copy) }))
    }

    /// The policy, for C functions that take no count.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut kernel_bindings::mempolicy {
        self.0.as_ptr().cast()
    }

    /// The policy, with its count, for who drops that by `mpol_cond_put()`.
    pub(in crate::shm::sys) fn into_raw(self) -> *mut kernel_bindings::mempolicy {
        core::mem::ManuallyDrop::new(self).as_ptr()
    }
}

#[cfg(CONFIG_NUMA)]
impl Clone for SharedPolicy {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant the policy is valid. As `mpol_get()`, which is inline.
        unsafe { kernel_bindings::atomic_inc(&raw mut (*self.0.as_ptr()).refcnt) };
        // INVARIANT: The count was just taken.
        Self(self.0)
    }
}

#[cfg(CONFIG_NUMA)]
impl Drop for SharedPolicy {
    fn drop(&mut self) {
        let policy = self.0.as_ptr();
        // SAFETY: By the type invariant the count is ours, and the policy valid until it is
        // dropped; if it was the last, nobody else has the policy. As `__mpol_put()`.
        unsafe {
            if kernel_bindings::atomic_dec_and_test(&raw mut (*policy).refcnt) {
                kernel_bindings::kvfree_call_rcu((&raw mut (*policy).rcu).cast(), policy.cast());
            }
        }
    }
}
