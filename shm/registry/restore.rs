// SPDX-License-Identifier: GPL-2.0

//! Restore: makes a segment as it was. The two calls for one with contents, too.

use super::{
    create::{
        Context,
        NewId,
        Wanted, //
    },
    Registry, //
};
use crate::shm::{
    rules::{
        id::{
            Id,
            Key, //
        },
        limits::Limits,
        permission::Caller, //
    },
    segment::{
        restore::Record,
        state::Life, //
    },
    sys::{
        mm::memlock::LockedPages,
        task::pid::Recorded, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// As what a segment is made anew.
pub(crate) struct Restored {
    /// Its id, or the next free one.
    pub(crate) id: Option<Id>,
    /// Who made it.
    pub(crate) made_by: Option<Recorded>,
    /// The rest; none if it stays open for its contents.
    pub(crate) record: Option<Record>,
}

impl Registry {
    /// Makes a segment, which `wanted` describes as one that must not exist. `EEXIST` if there is one with
    /// the key, or at the index of the id.
    pub(crate) fn restore(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: &Limits,
        context: &Context<'_>,
        wanted: &Wanted,
        restored: Restored,
    ) -> Result<Id> {
        let key = this.hash(wanted.key);
        if let Some(found) = this.existing_for_sure(caller, wanted, key) {
            return found;
        }
        let id = match restored.id {
            Some(id) => NewId::Exactly(id),
            None => NewId::Next,
        };
        let restored = Some(restored);
        Self::create(this, caller, limits, context, wanted, key, || id, restored)
    }

    /// Sets the rest of a segment that was made open. `EINVAL` if there is none; then `EPERM`; `ENOMEM` as
    /// SHM_LOCK.
    pub(crate) fn close(&self, caller: &impl Caller, id: i32, mut record: Record) -> Result<Id> {
        let segment = self.find(id)?;
        if record.is_locked && segment.is_huge() {
            return Err(EINVAL);
        }
        // Allocated before the locks are taken, and freed after them.
        let room = record
            .is_locked
            .then(|| KBox::new_uninit(GFP_KERNEL_ACCOUNT))
            .transpose()?;
        let mut table = self.table.lock();
        let mut state = segment.lock();
        // One that is removed meanwhile stays so.
        if state.life != Life::Live || !state.is_open {
            return Err(EINVAL);
        }
        if !state.ownership.allows_control(caller) {
            return Err(EPERM);
        }
        if record.is_locked && !state.is_locked() {
            let pages = LockedPages::new(segment.pages())?;
            record.locked = room.map(|room| room.write(pages));
        }
        state.restore(&mut record);
        drop(state);
        if record.is_destroyed && segment.first_key() != Key::PRIVATE {
            table.forget_key(self.id_layout.index(segment.id()));
        }
        Ok(segment.id())
    }
}
