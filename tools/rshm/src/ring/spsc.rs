// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ring of one producer and one consumer.

use super::{
    core::{End, Ends},
    Item, Items, RingError, Shape, HEADER,
};
use crate::{
    sync::{regardless, Guard, Mutex},
    Error, Memory, ReadWrite, Result, Shared,
};
use std::{
    fmt,
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

#[derive(Debug, Shared)]
#[repr(C)]
struct Header {
    shape: Shape,
    producer: Side,
    consumer: Side,
}

const _: () = assert!(size_of::<Header>() <= HEADER);

/// What there is of each end. The two are in different cache lines.
#[derive(Debug, Shared)]
#[repr(C)]
struct Side {
    /// Whoever has this is the producer, or the consumer.
    seat: Mutex,
    /// Not 0: somebody has joined.
    came: AtomicU32,
    /// Not 0: the last one has left, and did not die.
    left: AtomicU32,
    count: AtomicU32,
    other_sleeps: AtomicU32,
    unused: [AtomicU32; 16],
}

impl Side {
    fn join(&self) -> Result<Guard<'_>> {
        let guard = regardless(self.seat.try_lock().ok_or(Error::EndTaken)?);
        self.left.store(0, Relaxed);
        self.came.store(1, Release);
        Ok(guard)
    }

    /// What to say of an end that is not there.
    fn gone(&self) -> Option<RingError> {
        if self.came.load(Acquire) == 0 || self.seat.is_locked() {
            return None;
        }
        let left = self.left.load(Acquire) != 0;
        match left {
            true => Some(RingError::Closed),
            // Another one may have joined just now.
            false => (!self.seat.is_locked()).then_some(RingError::PeerDied),
        }
    }

    fn end(&self) -> End<'_, AtomicU32> {
        End {
            count: &self.count,
            other_sleeps: &self.other_sleeps,
        }
    }
}

impl Header {
    fn ends(&self, capacity: u32) -> Ends<'_, AtomicU32> {
        Ends {
            put: self.producer.end(),
            taken: self.consumer.end(),
            capacity,
        }
    }
}

/// An end of the ring that this thread has.
struct Joined<'memory, T> {
    header: &'memory Header,
    items: Items<'memory, T>,
    side: &'memory Side,
    // Let go when all else is done.
    guard: Guard<'memory>,
}

impl<'memory, T: Item> Joined<'memory, T> {
    fn new(
        memory: &'memory Memory<ReadWrite>,
        offset: usize,
        capacity: u32,
        side: impl FnOnce(&Header) -> &Side,
    ) -> Result<Self> {
        let header: &Header = memory.view(offset)?;
        let items = Items::new(memory, offset, capacity)?;
        header.shape.agree::<T>(capacity)?;
        let side = side(header);
        let guard = side.join()?;
        Ok(Self {
            header,
            items,
            side,
            guard,
        })
    }

    fn ends(&self) -> Ends<'memory, AtomicU32> {
        self.header.ends(self.items.capacity())
    }
}

impl<T> Drop for Joined<'_, T> {
    fn drop(&mut self) {
        if self.guard.is_held() {
            self.side.left.store(1, Release);
        }
    }
}

impl<T> fmt::Debug for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.header, f)
    }
}

/// The end of a ring where values are put in. One at a time has it; it stays in its thread.
///
/// Dropped, it closes the ring: who takes out finds what is in it, and then
/// [`RingError::Closed`]. Another producer opens it again.
#[derive(Debug)]
pub struct Producer<'memory, T>(Joined<'memory, T>);

/// The end of a ring where values are taken out. One at a time has it; it stays in its thread.
///
/// Dropped, it closes the ring: who puts in finds [`RingError::Closed`] when it is full. Another
/// consumer goes on where this one has stopped.
#[derive(Debug)]
pub struct Consumer<'memory, T>(Joined<'memory, T>);

impl<'memory, T: Item> Producer<'memory, T> {
    /// Takes this end of the ring at an offset, which is made if there is none yet.
    ///
    /// # Errors
    ///
    /// [`Error::EndTaken`] if another thread has it, and lives. [`Error::OtherRing`] if there is a
    /// ring of another capacity, or size of items; [`Error::NoRing`] if the capacity is no power of
    /// two, or items have no bytes. What [`Memory::view`] has.
    pub fn join(memory: &'memory Memory<ReadWrite>, offset: usize, capacity: u32) -> Result<Self> {
        Joined::new(memory, offset, capacity, |header| &header.producer).map(Self)
    }

    /// Puts a value in if there is room.
    ///
    /// # Errors
    ///
    /// [`RingError::Full`], [`RingError::Corrupt`].
    pub fn try_push(&mut self, item: T) -> std::result::Result<(), RingError> {
        self.0
            .ends()
            .try_push(|count| self.0.items.write(count, item))
    }

    /// Puts a value in, and waits until there is room: as long as the consumer lives, or has not
    /// come yet.
    ///
    /// # Errors
    ///
    /// If it is full, [`RingError::Closed`] or [`RingError::PeerDied`]; or [`RingError::Corrupt`].
    pub fn push(&mut self, item: T) -> std::result::Result<(), RingError> {
        self.push_until(item, None)
    }

    /// As [`push`](Producer::push), but waits for a time only.
    ///
    /// # Errors
    ///
    /// As [`push`](Producer::push), and [`RingError::Full`] after that time.
    pub fn push_for(&mut self, item: T, time: Duration) -> std::result::Result<(), RingError> {
        self.push_until(item, Instant::now().checked_add(time))
    }

    fn push_until(
        &mut self,
        item: T,
        deadline: Option<Instant>,
    ) -> std::result::Result<(), RingError> {
        let write = |count| self.0.items.write(count, item);
        let gone = || self.0.header.consumer.gone();
        self.0.ends().push(write, gone, deadline)
    }
}

impl<'memory, T: Item> Consumer<'memory, T> {
    /// Takes this end of the ring at an offset, which is made if there is none yet.
    ///
    /// # Errors
    ///
    /// As [`Producer::join`].
    pub fn join(memory: &'memory Memory<ReadWrite>, offset: usize, capacity: u32) -> Result<Self> {
        Joined::new(memory, offset, capacity, |header| &header.consumer).map(Self)
    }

    /// Takes a value out if there is one.
    ///
    /// # Errors
    ///
    /// [`RingError::Empty`], [`RingError::Corrupt`].
    pub fn try_pop(&mut self) -> std::result::Result<T, RingError> {
        self.0.ends().try_pop(|count| self.0.items.read(count))
    }

    /// Takes a value out, and waits for one: as long as the producer lives, or has not come yet.
    ///
    /// # Errors
    ///
    /// If it is empty, [`RingError::Closed`] or [`RingError::PeerDied`]; or [`RingError::Corrupt`].
    pub fn pop(&mut self) -> std::result::Result<T, RingError> {
        self.pop_until(None)
    }

    /// As [`pop`](Consumer::pop), but waits for a time only.
    ///
    /// # Errors
    ///
    /// As [`pop`](Consumer::pop), and [`RingError::Empty`] after that time.
    pub fn pop_for(&mut self, time: Duration) -> std::result::Result<T, RingError> {
        self.pop_until(Instant::now().checked_add(time))
    }

    fn pop_until(&mut self, deadline: Option<Instant>) -> std::result::Result<T, RingError> {
        let read = |count| self.0.items.read(count);
        let gone = || self.0.header.producer.gone();
        self.0.ends().pop(read, gone, deadline)
    }
}
