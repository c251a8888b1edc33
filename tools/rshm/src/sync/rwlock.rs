// SPDX-License-Identifier: MIT OR Apache-2.0

//! The lock for many readers or one writer.

use super::{
    mutex::{Guard, Mutex},
    regardless, LockResult, OwnerDied,
};
use crate::Shared;
use std::{
    fmt,
    sync::atomic::{
        AtomicU32, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

const READERS: usize = 16;

/// A lock in shared memory that many readers have at a time, or one writer.
/// [`Memory::view`](crate::Memory::view) gives a reference to one.
///
/// It is [`SIZE`](RwLock::SIZE) bytes, and its offset a multiple of 8. New memory is a lock that
/// nobody has.
///
/// It is made of [`READERS`](RwLock::READERS) mutexes: a reader locks any of them, and a writer all,
/// one after the other. More readers wait for each other. So reading costs as much as a mutex,
/// without waiting for other readers, and writing as much as all of them.
/// A writer that waits keeps the mutexes that it has: so readers that come and go do not hold it up
/// for ever.
///
/// # When a process dies
///
/// - It reads: nothing. It has changed nothing, and the kernel has its mutex unlocked.
/// - It writes: whoever comes next gets [`OwnerDied`] with the guard, readers too, until somebody
///   who writes calls [`WriteGuard::mark_consistent`].
/// - It waits: nothing.
///
/// ```
/// use rshm::{sync::RwLock, Anonymous};
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(4096)?;
/// let lock: &RwLock = memory.view(0)?;
/// {
///     let _one = lock.read()?;
///     assert!(lock.try_write().is_none());
/// }
/// let _guard = lock.write()?;
/// memory.write_at(RwLock::SIZE, 7_u64)?;
/// # Ok(())
/// # }
/// ```
#[derive(Shared)]
#[repr(C)]
pub struct RwLock {
    /// Not 0 while a writer has the lock; or a dead one had it.
    writing: AtomicU32,
    unused: AtomicU32,
    mutexes: [Mutex; READERS],
}

impl RwLock {
    /// How many bytes it takes.
    pub const SIZE: usize = size_of::<Self>();
    /// How many readers may have it at a time.
    pub const READERS: usize = READERS;

    /// Waits until no writer has it, and takes it for reading.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`], with the guard, if a writer has died.
    ///
    /// # Panics
    ///
    /// As [`Mutex::lock`].
    pub fn read(&self) -> LockResult<ReadGuard<'_>> {
        self.read_until(None)
            .unwrap_or_else(|| unreachable!("there is no deadline"))
    }

    /// As [`read`](RwLock::read), but gives up after a time: then it is `None`.
    ///
    /// # Errors
    ///
    /// As [`read`](RwLock::read).
    #[must_use = "without the guard it is unlocked at once"]
    pub fn read_for(&self, time: Duration) -> Option<LockResult<ReadGuard<'_>>> {
        self.read_until(Instant::now().checked_add(time))
    }

    /// Takes it for reading if no writer has it, nor waits for it, and not all
    /// [`READERS`](RwLock::READERS) do.
    ///
    /// # Errors
    ///
    /// As [`read`](RwLock::read).
    #[must_use = "without the guard it is unlocked at once"]
    pub fn try_read(&self) -> Option<LockResult<ReadGuard<'_>>> {
        let first = Self::first();
        (0..Self::READERS)
            .map(|index| &self.mutexes[(first + index) % Self::READERS])
            .find_map(Mutex::try_lock)
            .map(|result| self.reading(result))
    }

    fn read_until(&self, deadline: Option<Instant>) -> Option<LockResult<ReadGuard<'_>>> {
        if let Some(result) = self.try_read() {
            return Some(result);
        }
        let mutex = &self.mutexes[Self::first()];
        let result = match deadline {
            None => mutex.lock(),
            deadline => mutex.lock_until(deadline)?,
        };
        Some(self.reading(result))
    }

    /// Where this thread looks for a free mutex first: so that not all take the same one.
    fn first() -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static FIRST: usize = THREADS.fetch_add(1, Relaxed).wrapping_add(std::process::id() as usize);
        }
        FIRST.with(|first| first % RwLock::READERS)
    }

    fn reading<'memory>(
        &self,
        result: LockResult<Guard<'memory>>,
    ) -> LockResult<ReadGuard<'memory>> {
        // A dead reader has changed nothing, and a dead writer is known by `writing`.
        let guard = ReadGuard(regardless(result));
        // No writer has all mutexes, as this one is ours: so he is none that lives.
        if self.writing.load(Acquire) == 0 {
            Ok(guard)
        } else {
            Err(OwnerDied(guard))
        }
    }

    /// Waits until nobody else has it, and takes it for writing.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`], with the guard, if a writer has died.
    ///
    /// # Panics
    ///
    /// As [`Mutex::lock`].
    pub fn write(&self) -> LockResult<WriteGuard<'_>> {
        self.write_by(|mutex| Some(mutex.lock()))
            .unwrap_or_else(|| unreachable!("there is no deadline"))
    }

    /// As [`write`](RwLock::write), but gives up after a time: then it is `None`.
    ///
    /// # Errors
    ///
    /// As [`write`](RwLock::write).
    #[must_use = "without the guard it is unlocked at once"]
    pub fn write_for(&self, time: Duration) -> Option<LockResult<WriteGuard<'_>>> {
        let deadline = Instant::now().checked_add(time);
        self.write_by(|mutex| mutex.lock_until(deadline))
    }

    /// Takes it for writing if nobody else has it.
    ///
    /// # Errors
    ///
    /// As [`write`](RwLock::write).
    #[must_use = "without the guard it is unlocked at once"]
    pub fn try_write(&self) -> Option<LockResult<WriteGuard<'_>>> {
        self.write_by(Mutex::try_lock)
    }

    fn write_by<'memory>(
        &'memory self,
        lock: impl Fn(&'memory Mutex) -> Option<LockResult<Guard<'memory>>>,
    ) -> Option<LockResult<WriteGuard<'memory>>> {
        // All writers begin with the same: two never wait for each other.
        let mut guards = Vec::with_capacity(Self::READERS);
        for mutex in &self.mutexes {
            guards.push(regardless(lock(mutex)?));
        }
        let died = self.writing.load(Acquire) != 0;
        self.writing.store(1, Relaxed);
        let guard = WriteGuard {
            lock: self,
            consistent: !died,
            guards,
        };
        Some(if died {
            Err(OwnerDied(guard))
        } else {
            Ok(guard)
        })
    }
}

impl fmt::Debug for RwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("writing", &(self.writing.load(Relaxed) != 0))
            .finish_non_exhaustive()
    }
}

/// Holds a [`RwLock`] for reading; dropped, it does not. It stays in its thread.
#[derive(Debug)]
#[must_use = "without the guard it is unlocked at once"]
pub struct ReadGuard<'memory>(
    // It is held, and nothing else.
    #[allow(dead_code)] Guard<'memory>,
);

/// Holds a [`RwLock`] for writing; dropped, it is free. It stays in its thread.
#[derive(Debug)]
#[must_use = "without the guard it is unlocked at once"]
pub struct WriteGuard<'memory> {
    lock: &'memory RwLock,
    consistent: bool,
    guards: Vec<Guard<'memory>>,
}

impl WriteGuard<'_> {
    /// After [`OwnerDied`]: what the lock guards is as it should be.
    pub fn mark_consistent(&mut self) {
        self.consistent = true;
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        // A child that was forked off meanwhile has a copy of this, but not the lock.
        if self.consistent && self.guards.iter().all(Guard::is_held) {
            self.lock.writing.store(0, Release);
        }
    }
}
