// SPDX-License-Identifier: GPL-2.0

//! A table of which there are only the lock and the keys.

use super::key_table::{KeyTable, Link, Room};
pub(crate) use super::rcu_arc::RcuObject;
use kernel::{
    prelude::*,
    sync::{self, Arc, Lock},
};

pub(crate) struct IdTable<T, S> {
    state: Lock<S>,
    keys: KeyTable<T>,
}

pub(crate) struct Guard<'a, T, S> {
    table: &'a IdTable<T, S>,
    _held: sync::Guard<'a, S>,
}

impl<T: Send + Sync, S> IdTable<T, S> {
    pub(crate) fn new(state: S) -> Self {
        Self {
            state: Lock::new(state),
            keys: KeyTable::new(),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T, S> {
        Guard {
            table: self,
            _held: self.state.lock(),
        }
    }

    pub(crate) fn with_key<R>(&self, key: u32, f: impl FnMut(&T) -> Option<R>) -> Option<R> {
        self.keys.search(self.keys.hash(key), f)
    }

    /// As the module does it for a new segment.
    pub(crate) fn add(&self, key: u32, value: T) -> Arc<RcuObject<T>> {
        let mut room: Room<T> = self.keys.room(u32::MAX).unwrap();
        let object = RcuObject::new(Link::new(Some(self.keys.hash(key))), value);
        let object = Arc::new(object, GFP_KERNEL).unwrap();
        self.lock().insert_key(&object, &mut room);
        object
    }
}

impl<T: Send + Sync, S> Guard<'_, T, S> {
    pub(crate) fn remove(&mut self, object: &RcuObject<T>) {
        self.remove_key(object);
    }

    pub(super) fn keys(&self) -> &KeyTable<T> {
        &self.table.keys
    }
}
