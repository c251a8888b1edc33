// SPDX-License-Identifier: GPL-2.0

//! An object that RCU readers can find. Here they are never freed.

use super::key_table::Link;

pub(crate) struct RcuObject<T> {
    link: Link<T>,
    value: T,
}

impl<T> RcuObject<T> {
    pub(super) fn new(link: Link<T>, value: T) -> Self {
        Self { link, value }
    }

    pub(super) fn link(&self) -> &Link<T> {
        &self.link
    }
}

impl<T> core::ops::Deref for RcuObject<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
