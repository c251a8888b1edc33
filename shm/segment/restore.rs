// SPDX-License-Identifier: GPL-2.0

//! What a segment has that is restored, beside what it is made with and its contents.

use super::state::State;
use crate::shm::{
    rules::permission::Ownership,
    sys::{
        mm::memlock::LockedPages,
        task::pid::Recorded, //
    }, //
};
use kernel::prelude::*;

/// What is restored.
pub(crate) struct Record {
    /// Owner, creator and the nine permission bits.
    pub(crate) ownership: Ownership,
    /// Whether it is removed (SHM_DEST).
    pub(crate) is_destroyed: bool,
    /// Whether it is locked in memory (SHM_LOCKED).
    pub(crate) is_locked: bool,
    /// Its pages, counted for the caller.
    pub(crate) locked: Option<KBox<LockedPages>>,
    /// Who attached or detached last.
    pub(crate) last_user: Option<Recorded>,
    /// The last attach.
    pub(crate) attached: i64,
    /// The last detach.
    pub(crate) detached: i64,
    /// The last change.
    pub(crate) changed: i64,
}

impl Record {
    /// Counts `pages` as locked by the caller, if they are to be locked. `ENOMEM` as SHM_LOCK. Must be
    /// called without a lock held.
    pub(crate) fn lock(&mut self, pages: usize) -> Result {
        if self.is_locked {
            self.locked = Some(KBox::new(LockedPages::new(pages)?, GFP_KERNEL_ACCOUNT)?);
        }
        Ok(())
    }
}

impl State {
    /// Sets what is restored. What is not needed of it stays there, to be dropped without a lock held. Of
    /// a removed segment, the caller takes the key out of the table.
    pub(crate) fn restore(&mut self, record: &mut Record) {
        self.is_open = false;
        self.ownership = record.ownership;
        core::mem::swap(&mut self.last_user, &mut record.last_user);
        self.attached = record.attached;
        self.detached = record.detached;
        self.changed = record.changed;
        if record.is_destroyed {
            self.mark_destroyed();
        }
        if let Some(locked) = record.locked.take() {
            self.lock_in_memory(locked);
        }
    }

    /// Locks what is counted (SHM_LOCK).
    pub(super) fn lock_in_memory(&mut self, locked: KBox<LockedPages>) {
        self.locked = Some(locked);
        if let Some(pages) = &self.pages {
            pages.view().set_locked(true);
        }
    }

    /// Whether it is locked.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked.is_some()
    }
}
