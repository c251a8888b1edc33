// SPDX-License-Identifier: GPL-2.0

//! A map with the interface of the kernel's red-black tree.

use crate::prelude::{Flags, Result};
use std::{collections::BTreeMap, marker::PhantomData, ops::Bound};

pub struct RBTree<K, V>(BTreeMap<K, V>);

pub struct RBTreeNode<K, V>(Box<(K, V)>);

pub struct RBTreeNodeReservation<K, V>(PhantomData<(K, V)>);

impl<K, V> RBTreeNode<K, V> {
    pub fn new(key: K, value: V, _flags: Flags) -> Result<Self> {
        Ok(Self(Box::new((key, value))))
    }

    pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
        RBTreeNodeReservation(PhantomData)
    }
}

impl<K, V> RBTreeNodeReservation<K, V> {
    pub fn into_node(self, key: K, value: V) -> RBTreeNode<K, V> {
        RBTreeNode(Box::new((key, value)))
    }
}

impl<K: Ord + Copy, V> RBTree<K, V> {
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Returns the node that had the key.
    pub fn insert(&mut self, node: RBTreeNode<K, V>) -> Option<RBTreeNode<K, V>> {
        let (key, value) = *node.0;
        let before = self.0.insert(key, value)?;
        Some(RBTreeNode(Box::new((key, before))))
    }

    pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>> {
        Some(RBTreeNode(Box::new(self.0.remove_entry(key)?)))
    }

    pub fn cursor_lower_bound(&self, from: &K) -> Option<Cursor<'_, K, V>> {
        self.0
            .range((Bound::Included(from), Bound::Unbounded))
            .next()
            .map(|(key, value)| Cursor(key, value))
    }
}

impl<K: Ord + Copy, V> Default for RBTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

pub struct Cursor<'a, K, V>(&'a K, &'a V);

impl<'a, K, V> Cursor<'a, K, V> {
    pub fn current(&self) -> (&'a K, &'a V) {
        (self.0, self.1)
    }
}
