// SPDX-License-Identifier: GPL-2.0

//! Accounting of locked memory against RLIMIT_MEMLOCK.
//!
//! `user_shm_lock()` is not exported. This uses the same counters, so that segments of the built-in
//! and of this module count together.

use crate::shm::sys::bindings;
use kernel::{
    cred::Credential,
    prelude::*,
    sync::aref::ARef, //
};

/// The index of the counter in `struct ucounts`.
const MEMLOCK: usize = bindings::rlimit_type_UCOUNT_RLIMIT_MEMLOCK as usize;

/// Pages that count as locked by a user until this is dropped.
///
/// # Invariants
///
/// `pages` are included in the counters of the user of `credentials`, and of its ancestors.
pub(crate) struct LockedPages {
    /// Keep the counters alive.
    credentials: ARef<Credential>,
    pages: i64,
}

/// Returns the soft limit of the calling process in bytes (`rlimit(RLIMIT_MEMLOCK)`).
fn limit() -> usize {
    // SAFETY: `current` is valid, and so is its `signal` while it runs. The word is read once, as
    // `task_rlimit()` does, which is inline.
    unsafe {
        let signal = (*bindings::get_current()).signal;
        (&raw const (*signal).rlim[bindings::RLIMIT_MEMLOCK as usize].rlim_cur).read_volatile()
    }
}

/// Returns whether the calling process may lock memory at all.
pub(crate) fn is_allowed() -> bool {
    limit() != 0
}

/// Returns whether the caller has CAP_IPC_LOCK in the initial user namespace, and so no limit.
pub(crate) fn is_unlimited() -> bool {
    // SAFETY: Always safe in the context of a task.
    unsafe { bindings::capable(bindings::CAP_IPC_LOCK as c_int) }
}

impl LockedPages {
    /// Counts `pages` for the calling user, as `user_shm_lock()`. `ENOMEM` if that exceeds the
    /// limit and the caller has no CAP_IPC_LOCK.
    ///
    /// If two callers reach the limit concurrently, both may fail.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        let pages = i64::try_from(pages).map_err(|_| ENOMEM)?;
        let limit = match limit() {
            usize::MAX => i64::MAX,
            // CAST: Less than 2^52 pages.
            bytes => (bytes / kernel::page::PAGE_SIZE) as i64,
        };
        // SAFETY: `current` holds a reference to its credentials.
        let credentials: ARef<Credential> = unsafe {
            let cred = (*bindings::get_current()).cred;
            Credential::from_ptr(cred).into()
        };
        let sum = add(&credentials, pages);
        // INVARIANT: Just added.
        let this = Self { credentials, pages };
        if sum.is_none_or(|sum| sum > limit) && !is_unlimited() {
            return Err(ENOMEM);
        }
        Ok(this)
    }
}

impl Drop for LockedPages {
    fn drop(&mut self) {
        // By the type invariant, the pages are included.
        add(&self.credentials, -self.pages);
    }
}

/// Adds `pages` to the counters of the user of `credentials`, and of the owners of its ancestor
/// user namespaces, as `inc_rlimit_ucounts()` and `dec_rlimit_ucounts()`. Returns the user's new
/// count; `None` if the limit of a namespace is exceeded.
fn add(credentials: &Credential, pages: i64) -> Option<i64> {
    let mut max = isize::MAX;
    let mut sum = None;
    let mut fits = true;
    // SAFETY: Credentials hold a reference to their `ucounts`, these to their user namespace, and
    // that one to the `ucounts` of its owner. The offsets are C's: bindgen does not lay out a user
    // namespace of 7.2. The words change concurrently; each is read once.
    unsafe {
        let mut counts = (*credentials.as_ptr()).ucounts;
        while !counts.is_null() {
            let count = bindings::atomic64_add_return(pages, &raw mut (*counts).rlimit[MEMLOCK]);
            // CAST: A `long` is as wide as these.
            fits &= (0..=max as i64).contains(&count);
            sum.get_or_insert(count);
            let ns = (*counts).ns;
            let limits = ns.byte_add(bindings::RUST_SHM_OFFSET_USER_NS_RLIMIT_MAX);
            max = limits.cast::<isize>().add(MEMLOCK).read_volatile();
            counts = *ns
                .byte_add(bindings::RUST_SHM_OFFSET_USER_NS_UCOUNTS)
                .cast();
        }
    }
    sum.filter(|_| fits)
}
