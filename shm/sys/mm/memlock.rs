// SPDX-License-Identifier: GPL-2.0

//! Memory that a user has locked, counted against RLIMIT_MEMLOCK.
//!
//! The counts are those that `user_shm_lock()` keeps, which is not exported: so what a user has
//! locked here and in the kernel's own segments is one sum.

use kernel::{
    bindings,
    cred::Credential,
    prelude::*,
    sync::aref::ARef, //
};

/// Which count of a user it is.
const MEMLOCK: usize = bindings::rlimit_type_UCOUNT_RLIMIT_MEMLOCK as usize;

/// Pages that are counted as locked by a user, until this is dropped.
///
/// # Invariants
///
/// `pages` were added to the counts of the user that `credentials` are of, and of those above.
pub(crate) struct LockedPages {
    /// Hold the user's counts.
    credentials: ARef<Credential>,
    pages: i64,
}

/// The soft limit of the calling process, in bytes (`rlimit(RLIMIT_MEMLOCK)`).
fn limit() -> usize {
    // SAFETY: `current` is valid, and so is its `signal` while it runs. The word is read once, as
    // `task_rlimit()` does, which is inline.
    unsafe {
        let signal = (*bindings::get_current()).signal;
        (&raw const (*signal).rlim[bindings::RLIMIT_MEMLOCK as usize].rlim_cur).read_volatile()
    }
}

/// Whether the calling process may lock any memory.
pub(crate) fn is_allowed() -> bool {
    limit() != 0
}

/// Whether the caller may lock any amount of memory: CAP_IPC_LOCK in the first user namespace.
pub(crate) fn is_unlimited() -> bool {
    // SAFETY: Always safe in the context of a task.
    unsafe { bindings::capable(bindings::CAP_IPC_LOCK as c_int) }
}

impl LockedPages {
    /// Counts `pages` for the calling user. `ENOMEM` if that is more than the process may lock, and
    /// it has no CAP_IPC_LOCK. As `user_shm_lock()`.
    ///
    /// Of two callers that get to the limit at the same time, both may be refused.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        let pages = i64::try_from(pages).map_err(|_| ENOMEM)?;
        let limit = match limit() {
            usize::MAX => i64::MAX,
            // CAST: Less than 2^52 pages.
            bytes => (bytes / kernel::page::PAGE_SIZE) as i64,
        };
        // SAFETY: `current` holds its credentials, which are counted.
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
        // By the type invariant, they were added.
        add(&self.credentials, -self.pages);
    }
}

/// Adds to the counts of the user that has these credentials, and of the owners of the user
/// namespaces around it; `None` where that is more than one of those may have. As
/// `inc_rlimit_ucounts()` and `dec_rlimit_ucounts()`.
fn add(credentials: &Credential, pages: i64) -> Option<i64> {
    let mut max = isize::MAX;
    let mut sum = None;
    let mut fits = true;
    // SAFETY: Credentials hold the counts of their user, those hold their user namespace, and that
    // those of its owner, up to the first. The words change under us; each is read once.
    unsafe {
        let mut counts = (*credentials.as_ptr()).ucounts;
        while !counts.is_null() {
            let count = bindings::atomic64_add_return(pages, &raw mut (*counts).rlimit[MEMLOCK]);
            // CAST: A `long` is as wide as these.
            fits &= (0..=max as i64).contains(&count);
            sum.get_or_insert(count);
            max = (&raw const (*(*counts).ns).rlimit_max[MEMLOCK]).read_volatile();
            counts = (*(*counts).ns).ucounts;
        }
    }
    sum.filter(|_| fits)
}
