// SPDX-License-Identifier: GPL-2.0

//! What files of the module use of the kernel's crate, on [loom](https://docs.rs/loom): atomics, locks and waits are
//! loom's, so that [`model::explore()`] runs a model in every order that the memory model allows.
//!
//! Of what the kernel promises this has no more than C11 does: `Full` is acquire and release, where the kernel's is a
//! full barrier.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod bindings;
pub mod error;
pub mod model;
pub mod prelude;
pub mod rbtree;
pub mod sync;
pub mod workqueue;

pub use core::fmt;

#[doc(hidden)]
pub use pinned_init as __pinned_init;

/// 4 KiB.
pub mod page {
    pub const PAGE_SHIFT: usize = 12;
    pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
}

/// A jiffy is a millisecond.
pub mod time {
    pub fn msecs_to_jiffies(msecs: u32) -> usize {
        msecs as usize
    }
}
