// SPDX-License-Identifier: GPL-2.0

//! Atomics with the interface of the kernel's.

use crate::model;
use core::{marker::PhantomData, ptr};
use loom::sync::atomic::{fence, AtomicU64};
use std::{rc::Rc, sync::atomic::Ordering};

/// A type of orderings.
pub trait Order {
    const ORDER: Ordering;
}

pub struct Relaxed;
pub struct Acquire;
pub struct Release;
pub struct Full;

impl Order for Relaxed {
    const ORDER: Ordering = Ordering::Relaxed;
}
impl Order for Acquire {
    const ORDER: Ordering = Ordering::Acquire;
}
impl Order for Release {
    const ORDER: Ordering = Ordering::Release;
}
impl Order for Full {
    const ORDER: Ordering = Ordering::AcqRel;
}

/// The ordering that the caller's caller has asked for, unless it is weakened.
#[track_caller]
fn order<O: Order>(_: O) -> Ordering {
    if O::ORDER == Ordering::Relaxed || model::holds() {
        O::ORDER
    } else {
        Ordering::Relaxed
    }
}

#[track_caller]
pub fn smp_mb(_: Full) {
    if model::holds() {
        fence(Ordering::SeqCst);
    }
}

/// What an [`Atomic`] may hold.
pub trait Value: Copy {
    fn into_word(self) -> u64;
    fn from_word(word: u64) -> Self;
}

macro_rules! values {
    ($($type:ty: $from:expr;)*) => {
        $(impl Value for $type {
            fn into_word(self) -> u64 {
                self as u64
            }

            fn from_word(word: u64) -> Self {
                let from: fn(u64) -> Self = $from;
                from(word)
            }
        })*
    };
}

values! {
    u64: |word| word;
    u32: |word| word as u32;
    i32: |word| word as i32;
    usize: |word| word as usize;
    bool: |word| word != 0;
}

impl<T> Value for *const T {
    fn into_word(self) -> u64 {
        self.expose_provenance() as u64
    }

    fn from_word(word: u64) -> Self {
        ptr::with_exposed_provenance(word as usize)
    }
}

/// Its word is one of the run's, at the first use, and has the difference to the first value: so this can be made in a
/// constant.
pub struct Atomic<T: Value> {
    first: T,
    _not_unpin: PhantomData<core::marker::PhantomPinned>,
}

impl<T: Value> Atomic<T> {
    pub const fn new(first: T) -> Self {
        Self {
            first,
            _not_unpin: PhantomData,
        }
    }

    pub(crate) fn word(&self) -> Rc<AtomicU64> {
        model::word(ptr::from_ref(self).addr())
    }

    fn encode(&self, value: T) -> u64 {
        value.into_word().wrapping_sub(self.first.into_word())
    }

    fn decode(&self, word: u64) -> T {
        T::from_word(word.wrapping_add(self.first.into_word()))
    }

    #[track_caller]
    pub fn load(&self, ordering: impl Order) -> T {
        self.decode(self.word().load(order(ordering)))
    }

    #[track_caller]
    pub fn store(&self, value: T, ordering: impl Order) {
        self.word().store(self.encode(value), order(ordering));
    }

    #[track_caller]
    pub fn xchg(&self, value: T, ordering: impl Order) -> T {
        let before = self.word().swap(self.encode(value), order(ordering));
        self.decode(before)
    }

    /// One that fails orders nothing.
    #[track_caller]
    pub fn cmpxchg(&self, old: T, new: T, ordering: impl Order) -> Result<T, T> {
        let (old, new) = (self.encode(old), self.encode(new));
        self.word()
            .compare_exchange(old, new, order(ordering), Ordering::Relaxed)
            .map(|before| self.decode(before))
            .map_err(|before| self.decode(before))
    }

    #[track_caller]
    pub fn fetch_add(&self, value: T, ordering: impl Order) -> T {
        let before = self.word().fetch_add(value.into_word(), order(ordering));
        self.decode(before)
    }
}

impl<T: Value> Drop for Atomic<T> {
    fn drop(&mut self) {
        model::forget(ptr::from_ref(self).addr());
    }
}
