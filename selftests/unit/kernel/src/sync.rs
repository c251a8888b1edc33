// SPDX-License-Identifier: GPL-2.0

//! Locks and waits on loom's, reference counts that are not explored.

use crate::{
    model,
    prelude::{Flags, Pin, PinInit, Result},
};
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};
use loom::{
    cell::{self, MutPtr},
    sync::{Condvar, Mutex as LoomMutex, MutexGuard},
};
use pinned_init::InPlaceInit;
use std::sync::OnceLock;

pub mod atomic;

pub mod barrier {
    pub use super::atomic::smp_mb;
}

pub mod rcu {
    /// What is freed after a grace period is not freed here.
    pub struct Guard(());

    pub fn read_lock() -> Guard {
        Guard(())
    }
}

/// Its own orderings are the kernel's.
pub struct SetOnce<T>(OnceLock<T>);

#[allow(clippy::new_without_default)]
impl<T> SetOnce<T> {
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub fn as_ref(&self) -> Option<&T> {
        self.0.get()
    }

    pub fn populate(&self, value: T) -> bool {
        self.0.set(value).is_ok()
    }
}

/// An `Arc` whose constructors are the kernel's.
pub struct Arc<T>(std::sync::Arc<Pin<Box<T>>>);

impl<T> Arc<T> {
    pub fn new(value: T, _flags: Flags) -> Result<Self> {
        Ok(Self(std::sync::Arc::new(Box::pin(value))))
    }

    pub fn pin_init<E>(init: impl PinInit<T, E>, _flags: Flags) -> Result<Self, E>
    where
        E: From<core::convert::Infallible>,
    {
        Ok(Self(std::sync::Arc::new(Box::try_pin_init(init)?)))
    }

    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.0, &other.0)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A lock. loom's part is made at the first use: most of a hash table is never used.
pub struct Lock<T> {
    lock: OnceLock<LoomMutex<()>>,
    /// Finds accesses to `value` that the lock does not keep apart.
    tracker: OnceLock<cell::UnsafeCell<()>>,
    value: UnsafeCell<T>,
}

pub type SpinLock<T> = Lock<T>;
pub type Mutex<T> = Lock<T>;

// SAFETY: All threads of a model run in one of the host's. What the lock does not keep apart, `tracker` finds.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for Lock<T> {}

pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    access: Option<MutPtr<()>>,
    held: Option<MutexGuard<'a, ()>>,
}

impl<T> Lock<T> {
    pub const fn new(value: T) -> Self {
        Self {
            lock: OnceLock::new(),
            tracker: OnceLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        let lock = self.lock.get_or_init(|| LoomMutex::new(()));
        let held = model::holds().then(|| lock.lock().unwrap());
        Guard {
            lock: self,
            access: Some(self.access()),
            held,
        }
    }

    fn access(&self) -> MutPtr<()> {
        self.tracker
            .get_or_init(|| cell::UnsafeCell::new(()))
            .get_mut()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `access` has found no other.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above.
        unsafe { &mut *self.lock.value.get() }
    }
}

pub struct CondVar(OnceLock<Condvar>);

impl CondVar {
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn condvar(&self) -> &Condvar {
        self.0.get_or_init(Condvar::new)
    }

    /// Returns whether a signal is pending: never.
    pub fn wait_interruptible<T>(&self, guard: &mut Guard<'_, T>) -> bool {
        guard.access = None;
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.condvar().wait(held).unwrap());
        }
        guard.access = Some(guard.lock.access());
        false
    }

    #[track_caller]
    pub fn notify_all(&self) {
        if model::holds() {
            self.condvar().notify_all();
        }
    }
}

impl Default for CondVar {
    fn default() -> Self {
        Self::new()
    }
}

pub struct Completion {
    done: Lock<bool>,
    completed: CondVar,
}

impl Completion {
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> impl PinInit<Self> {
        Self {
            done: Lock::new(false),
            completed: CondVar::new(),
        }
    }

    pub fn complete_all(&self) {
        *self.done.lock() = true;
        self.completed.notify_all();
    }

    pub fn wait_for_completion(&self) {
        let mut done = self.done.lock();
        while !*done {
            self.completed.wait_interruptible(&mut done);
        }
    }
}

#[macro_export]
macro_rules! new_spinlock {
    ($value:expr, $name:literal) => {
        $crate::sync::Lock::new($value)
    };
}

#[macro_export]
macro_rules! new_mutex {
    ($value:expr, $name:literal) => {
        $crate::sync::Lock::new($value)
    };
}

#[macro_export]
macro_rules! new_condvar {
    ($name:literal) => {
        $crate::sync::CondVar::new()
    };
}
