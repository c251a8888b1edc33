// SPDX-License-Identifier: MIT OR Apache-2.0

//! The semaphore.

use super::word::{wait_a_while, Word};
use crate::Shared;
use std::{
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

/// A number of permits in shared memory. [`Memory::view`](crate::Memory::view) gives a reference to
/// one.
///
/// It is [`SIZE`](Semaphore::SIZE) bytes, and its offset a multiple of 4. New memory is a semaphore
/// without permits: [`add`](Semaphore::add) gives it some.
///
/// # When a process dies
///
/// The permits that it has are lost, as those of `sem_wait(3)` are: nobody knows whose they were.
/// Where that must not be, have a [`Mutex`](super::Mutex) for each permit. Who waits leaves nothing
/// behind, and if he was woken for a permit and dies, another takes it soon after.
///
/// ```
/// use rshm::{sync::Semaphore, Anonymous};
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(4096)?;
/// let free: &Semaphore = memory.view(0)?;
/// free.add(2);
/// let first = free.acquire();
/// let second = free.acquire();
/// assert!(free.try_acquire().is_none());
/// drop(first);
/// assert_eq!(free.permits(), 1);
/// second.forget(); // it does not come back
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Shared)]
#[repr(C)]
pub struct Semaphore(AtomicU32);

pub(super) fn try_acquire(count: &impl Word) -> Result<(), ()> {
    let mut seen = count.load(Relaxed);
    while seen != 0 {
        match count.replace(seen, seen - 1, Acquire) {
            Ok(()) => return Ok(()),
            Err(now) => seen = now,
        }
    }
    Err(())
}

pub(super) fn acquire(count: &impl Word, deadline: Option<Instant>) -> Option<()> {
    while try_acquire(count).is_err() {
        if count.is_over(deadline) {
            return None;
        }
        wait_a_while(count, 0, deadline);
    }
    Some(())
}

/// `false` if there would be more than the number can say.
pub(super) fn add(count: &impl Word, more: u32) -> bool {
    let mut seen = count.load(Relaxed);
    loop {
        let Some(new) = seen.checked_add(more) else {
            return false;
        };
        match count.replace(seen, new, Release) {
            Ok(()) => break,
            Err(now) => seen = now,
        }
    }
    count.wake(more.min(i32::MAX as u32));
    true
}

impl Semaphore {
    /// How many bytes it takes.
    pub const SIZE: usize = size_of::<Self>();

    /// Waits until there is a permit, and takes it.
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_until(None)
            .unwrap_or_else(|| unreachable!("there is no deadline"))
    }

    /// As [`acquire`](Semaphore::acquire), but gives up after a time.
    #[must_use = "without the permit it is given back at once"]
    pub fn acquire_for(&self, time: Duration) -> Option<Permit<'_>> {
        self.acquire_until(Instant::now().checked_add(time))
    }

    /// Takes a permit if there is one.
    #[must_use = "without the permit it is given back at once"]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        try_acquire(&self.0).ok().map(|()| Permit(self))
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> Option<Permit<'_>> {
        acquire(&self.0, deadline).map(|()| Permit(self))
    }

    /// Adds permits, and wakes as many who wait.
    ///
    /// # Panics
    ///
    /// If there would be more than `u32::MAX`.
    pub fn add(&self, permits: u32) {
        assert!(add(&self.0, permits), "more than u32::MAX permits");
    }

    /// How many permits there are now.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// A permit of a [`Semaphore`]; dropped, it is given back.
#[derive(Debug)]
#[must_use = "without the permit it is given back at once"]
pub struct Permit<'memory>(&'memory Semaphore);

impl Permit<'_> {
    /// Does not give it back: for semaphores that count what there is to take.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Only if others have written a number there that leaves no room is there nothing to add to.
        add(&self.0 .0, 1);
    }
}
