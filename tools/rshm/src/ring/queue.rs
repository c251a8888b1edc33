// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ring of any number of producers and consumers.

use super::{Item, Items, RingError, Shape, HEADER};
use crate::{
    sync::{
        regardless,
        word::{is_over, LOOK_AGAIN},
        Condvar, Guard, Mutex,
    },
    Memory, ReadWrite, Result, Shared,
};
use std::{
    sync::atomic::{
        AtomicU32,
        Ordering::{Relaxed, Release},
    },
    time::{Duration, Instant},
};

#[derive(Debug, Shared)]
#[repr(C)]
struct Header {
    shape: Shape,
    mutex: Mutex,
    // The mutex guards these. Each change is one store, after all that it stands for: so who dies
    // with the mutex leaves nothing half done.
    put: AtomicU32,
    taken: AtomicU32,
    closed: AtomicU32,
    filled: Condvar,
    emptied: Condvar,
    unused: AtomicU32,
}

const _: () = assert!(size_of::<Header>() <= HEADER);

/// A ring that any number of threads of any processes put values into, and take them out of.
///
/// ```
/// use rshm::{ring::{self, Queue, RingError}, Anonymous};
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(ring::size::<[u32; 4]>(64))?;
/// let queue = Queue::<[u32; 4]>::join(&memory, 0, 64)?;
/// queue.push([1, 2, 3, 4])?;
/// assert_eq!(queue.len(), 1);
/// queue.close();
/// assert_eq!(queue.pop()?, [1, 2, 3, 4]);
/// assert_eq!(queue.pop(), Err(RingError::Closed));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Queue<'memory, T> {
    header: &'memory Header,
    items: Items<'memory, T>,
}

type Outcome<T> = std::result::Result<T, RingError>;

impl<'memory, T: Item> Queue<'memory, T> {
    /// The queue at an offset, which is made if there is none yet.
    ///
    /// # Errors
    ///
    /// [`Error::OtherRing`](crate::Error::OtherRing) if there is one of another capacity, or size of
    /// items; [`Error::NoRing`](crate::Error::NoRing) if the capacity is no power of two, or items
    /// have no bytes. What [`Memory::view`] has.
    pub fn join(memory: &'memory Memory<ReadWrite>, offset: usize, capacity: u32) -> Result<Self> {
        let header: &Header = memory.view(offset)?;
        let items = Items::new(memory, offset, capacity)?;
        header.shape.agree::<T>(capacity)?;
        Ok(Self { header, items })
    }

    /// Puts a value in if there is room.
    ///
    /// # Errors
    ///
    /// [`RingError::Full`], [`RingError::Closed`], [`RingError::Corrupt`].
    pub fn try_push(&self, item: T) -> Outcome<()> {
        self.push_locked(&self.lock(), item)
    }

    /// Puts a value in, and waits until there is room.
    ///
    /// # Errors
    ///
    /// [`RingError::Closed`], [`RingError::Corrupt`].
    pub fn push(&self, item: T) -> Outcome<()> {
        self.push_until(item, None)
    }

    /// As [`push`](Queue::push), but waits for a time only.
    ///
    /// # Errors
    ///
    /// As [`push`](Queue::push), and [`RingError::Full`] after that time.
    pub fn push_for(&self, item: T, time: Duration) -> Outcome<()> {
        self.push_until(item, Instant::now().checked_add(time))
    }

    /// Takes a value out if there is one.
    ///
    /// # Errors
    ///
    /// [`RingError::Empty`], [`RingError::Closed`], [`RingError::Corrupt`].
    pub fn try_pop(&self) -> Outcome<T> {
        self.pop_locked(&self.lock())
    }

    /// Takes a value out, and waits for one.
    ///
    /// # Errors
    ///
    /// [`RingError::Closed`] once it is empty, [`RingError::Corrupt`].
    pub fn pop(&self) -> Outcome<T> {
        self.pop_until(None)
    }

    /// As [`pop`](Queue::pop), but waits for a time only.
    ///
    /// # Errors
    ///
    /// As [`pop`](Queue::pop), and [`RingError::Empty`] after that time.
    pub fn pop_for(&self, time: Duration) -> Outcome<T> {
        self.pop_until(Instant::now().checked_add(time))
    }

    /// Lets nobody put in any more, for good. What is in it can be taken out.
    pub fn close(&self) {
        let guard = self.lock();
        self.header.closed.store(1, Relaxed);
        drop(guard);
        self.header.filled.notify_all();
        self.header.emptied.notify_all();
    }

    /// How many values are in it now.
    #[must_use]
    pub fn len(&self) -> usize {
        let _guard = self.lock();
        self.used() as usize
    }

    /// Whether there are none in it now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn used(&self) -> u32 {
        let put = self.header.put.load(Relaxed);
        put.wrapping_sub(self.header.taken.load(Relaxed))
    }

    fn lock(&self) -> Guard<'memory> {
        regardless(self.header.mutex.lock())
    }

    fn push_until(&self, item: T, deadline: Option<Instant>) -> Outcome<()> {
        let attempt = |guard: &Guard<'_>| self.push_locked(guard, item);
        self.wait_for(RingError::Full, &self.header.emptied, attempt, deadline)
    }

    fn pop_until(&self, deadline: Option<Instant>) -> Outcome<T> {
        let attempt = |guard: &Guard<'_>| self.pop_locked(guard);
        self.wait_for(RingError::Empty, &self.header.filled, attempt, deadline)
    }

    /// Tries until it is not for the reason `wait` that it does not work.
    fn wait_for<R>(
        &self,
        wait: RingError,
        changed: &Condvar,
        attempt: impl Fn(&Guard<'_>) -> Outcome<R>,
        deadline: Option<Instant>,
    ) -> Outcome<R> {
        let mut guard = self.lock();
        loop {
            match attempt(&guard) {
                Err(error) if error == wait => {}
                result => return result,
            }
            if is_over(deadline) {
                return Err(wait);
            }
            let soon = Instant::now() + LOOK_AGAIN;
            let soon = deadline.map_or(soon, |deadline| deadline.min(soon));
            guard = regardless(changed.wait_until(guard, Some(soon)));
        }
    }

    fn push_locked(&self, _: &Guard<'_>, item: T) -> Outcome<()> {
        let put = self.header.put.load(Relaxed);
        if self.header.closed.load(Relaxed) != 0 {
            return Err(RingError::Closed);
        }
        match self.used() {
            used if used == self.items.capacity() => Err(RingError::Full),
            used if used > self.items.capacity() => Err(RingError::Corrupt),
            _ => {
                self.items.write(put, item);
                self.header.put.store(put.wrapping_add(1), Release);
                self.header.filled.notify_one();
                Ok(())
            }
        }
    }

    fn pop_locked(&self, _: &Guard<'_>) -> Outcome<T> {
        let taken = self.header.taken.load(Relaxed);
        match self.used() {
            0 if self.header.closed.load(Relaxed) != 0 => Err(RingError::Closed),
            0 => Err(RingError::Empty),
            used if used > self.items.capacity() => Err(RingError::Corrupt),
            _ => {
                let item = self.items.read(taken);
                self.header.taken.store(taken.wrapping_add(1), Release);
                self.header.emptied.notify_one();
                Ok(item)
            }
        }
    }
}
