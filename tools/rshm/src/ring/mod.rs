// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rings in shared memory, through which processes hand values to each other in order.
//!
//! | | for | made of |
//! |---|---|---|
//! | [`Producer`] and [`Consumer`] | one that puts in, one that takes out | atomics: no lock, no system call while nobody sleeps |
//! | [`Queue`] | any number of both | a [`Mutex`](crate::sync::Mutex) and two condition variables |
//!
//! A ring lives at an offset of the memory, which is a multiple of 8, and takes
//! [`size`] bytes for its capacity: a power of two. New memory is an empty ring. All processes say
//! the same type and capacity; who says another is refused.
//!
//! Values are copied: types without padding, and of which any bytes are a value
//! ([`Item`]).
//!
//! ```
//! use rshm::{ring::{self, Consumer, Producer, RingError}, Anonymous};
//!
//! # fn main() -> rshm::Result<()> {
//! let memory = Anonymous::new(ring::size::<u64>(1024))?;
//! std::thread::scope(|scope| {
//!     // Most often the two are in two processes, which have the segment attached.
//!     scope.spawn(|| {
//!         let mut producer = Producer::join(&memory, 0, 1024).unwrap();
//!         for number in 1..=1000_u64 {
//!             producer.push(number).unwrap();
//!         }
//!     });
//!     let mut consumer = Consumer::<u64>::join(&memory, 0, 1024).unwrap();
//!     let mut sum = 0;
//!     loop {
//!         match consumer.pop() {
//!             Ok(number) => sum += number,
//!             Err(RingError::Closed) => break,
//!             Err(error) => panic!("{error}"),
//!         }
//!     }
//!     assert_eq!(sum, 500_500);
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # When a process dies
//!
//! What is in the ring is always whole: a value counts when it is all there, by one store. So a
//! process that is killed leaves nothing half done, and the ring goes on.
//!
//! - [`Producer`] and [`Consumer`]: each has its end by a [`Mutex`](crate::sync::Mutex), and the
//!   kernel tells who has died with it. So the other one does not wait for him: [`RingError::PeerDied`],
//!   within a fifth of a second, once all that he has put in is taken out. Another process can join
//!   in his place, and goes on where he stopped.
//! - [`Queue`]: who waits does not know of whom: anybody may come. So who waits for ever may do so
//!   where all others are dead; [`Queue::pop_for`] gives up. No death keeps those who live from each
//!   other: the mutex is the next one's, and a wake-up that has died with a process is
//!   made up for within a fifth of a second.
//! - A value that is taken out when its taker dies is gone with him. One that he was just copying is
//!   the next one's.
//!
//! # Trust
//!
//! Other processes may write anything there. Counts that cannot be are [`RingError::Corrupt`]; values
//! are whatever they are, as all that is read from shared memory.
//!
//! # Why the queue has a lock
//!
//! Queues without one have a moment in which a place is taken, and not filled yet. Who dies
//! just then stops all others for good.

mod core;
mod queue;
mod spsc;

pub use queue::Queue;
pub use spsc::{Consumer, Producer};

use crate::{Error, Memory, ReadWrite, Result, Shared};
use bytemuck::{AnyBitPattern, NoUninit};
use std::{
    marker::PhantomData,
    mem::size_of,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// What can be put into a ring: any type with [`bytemuck`]'s two traits, which can be derived.
pub trait Item: AnyBitPattern + NoUninit {}

impl<T: AnyBitPattern + NoUninit> Item for T {}

/// Why nothing was put in or taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is nothing in it.
    #[error("the ring is empty")]
    Empty,
    /// There is no room in it.
    #[error("the ring is full")]
    Full,
    /// It is empty, and who has put in has left; or full, and who has taken out has left; or
    /// [`Queue::close`] was called.
    #[error("the ring is closed")]
    Closed,
    /// As [`Closed`](RingError::Closed), but the other one did not leave: he died.
    #[error("the process at the other end of the ring has died")]
    PeerDied,
    /// Somebody has written counts there that cannot be.
    #[error("the ring is corrupt: another process has written over it")]
    Corrupt,
}

/// How many bytes a ring takes: either kind.
///
/// # Panics
///
/// If that is more than there are addresses.
#[must_use]
pub const fn size<T: Item>(capacity: u32) -> usize {
    let items = size_of::<T>().checked_mul(capacity as usize);
    let Some(items) = items else {
        panic!("a ring of more bytes than there are addresses")
    };
    HEADER + items
}

/// Where the items begin: both kinds have room for what they need before that.
const HEADER: usize = 256;

/// Item size and capacity, or 0 in new memory.
#[derive(Debug, Shared)]
#[repr(C)]
struct Shape {
    item: AtomicU32,
    capacity: AtomicU32,
}

impl Shape {
    /// Writes it down, or sees whether it is the same. [`Items::new`] has found that there can be such.
    fn agree<T: Item>(&self, capacity: u32) -> Result<()> {
        let wrong = |found: (u32, u32)| Error::OtherRing {
            item: size_of::<T>(),
            capacity,
            other_item: found.0 as usize,
            other_capacity: found.1,
        };
        let item = size_of::<T>() as u32;
        // Two that come at the same time, and one that dies here, do not matter: all write the same.
        for (place, value) in [(&self.item, item), (&self.capacity, capacity)] {
            match place.compare_exchange(0, value, Relaxed, Relaxed) {
                Ok(_) => {}
                Err(found) if found == value => {}
                Err(_) => {
                    return Err(wrong((
                        self.item.load(Relaxed),
                        self.capacity.load(Relaxed),
                    )))
                }
            }
        }
        Ok(())
    }
}

/// The items.
#[derive(Debug)]
struct Items<'memory, T> {
    memory: &'memory Memory<ReadWrite>,
    start: usize,
    mask: u32,
    item: PhantomData<T>,
}

impl<'memory, T: Item> Items<'memory, T> {
    /// Those of the ring at an offset, if there can be one.
    fn new(memory: &'memory Memory<ReadWrite>, offset: usize, capacity: u32) -> Result<Self> {
        let item = size_of::<T>();
        if !capacity.is_power_of_two() || item == 0 || u32::try_from(item).is_err() {
            return Err(Error::NoRing { item, capacity });
        }
        let whole = size::<T>(capacity);
        if offset > memory.len() || whole > memory.len() - offset {
            return Err(Error::OutOfRange {
                offset,
                size: whole,
                length: memory.len(),
            });
        }
        Ok(Self {
            memory,
            start: offset + HEADER,
            mask: capacity - 1,
            item: PhantomData,
        })
    }

    fn place(&self, count: u32) -> usize {
        self.start + (count & self.mask) as usize * size_of::<T>()
    }

    fn read(&self, count: u32) -> T {
        let item = self.memory.read_at(self.place(count));
        item.unwrap_or_else(|_| unreachable!("new() has seen that it is there"))
    }

    fn write(&self, count: u32, item: T) {
        let result = self.memory.write_at(self.place(count), item);
        result.unwrap_or_else(|_| unreachable!("new() has seen that it is there"));
    }

    /// `capacity` as it was said.
    fn capacity(&self) -> u32 {
        self.mask + 1
    }
}
