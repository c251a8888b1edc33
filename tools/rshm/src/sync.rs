// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mutex and a condition variable that live in shared memory.
//!
//! Each is one 32-bit number, which processes wait on by `futex(2)`. Memory that is zero, as a new
//! segment's, is a mutex that nobody has, and a condition variable that nobody waits for. So there
//! is nothing to set up, and no moment at which another process finds one half made.
//!
//! Nothing that another process writes there is a danger to this one: there are no pointers in it,
//! as there are in a `pthread_mutex_t`, and its layout is the same for 32-bit and 64-bit programs.
//! For the same reason a guard gives no `&mut T`: data is read and written by [`Memory`]'s copies.
//!
//! A process that dies while it has the mutex leaves it locked. [`Mutex::lock_for`] gives up after
//! a time.
//!
//! ```
//! use rshm::{sync::Mutex, Anonymous};
//!
//! # fn main() -> rshm::Result<()> {
//! let memory = Anonymous::new(4096)?;
//! let mutex = Mutex::at(&memory, 0)?;
//! {
//!     let _guard = mutex.lock();
//!     memory.write_at(8, memory.read_at::<u64>(8)? + 1)?;
//! }
//! assert!(mutex.try_lock().is_some());
//! # Ok(())
//! # }
//! ```

use crate::{Memory, ReadWrite, Result};
use rustix::thread::futex::{self, Flags, Timespec};
use std::{
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

/// How many bytes a [`Mutex`] or a [`Condvar`] takes. Its offset is a multiple of this.
pub const SIZE: usize = 4;

/// The mutex is free.
const FREE: u32 = 0;
/// Somebody has it.
const LOCKED: u32 = 1;
/// Somebody has it, and others may wait.
const CONTENDED: u32 = 2;

/// Waits until the word is not `value` any more, or woken, or for no reason, or until `deadline`.
fn wait(word: &AtomicU32, value: u32, deadline: Option<Instant>) {
    let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let rest = rest.map(|rest| Timespec {
        tv_sec: rest.as_secs().try_into().unwrap_or(i32::MAX.into()),
        tv_nsec: rest.subsec_nanos().into(),
    });
    // Whatever it returns, the caller looks at the word again.
    let _ = futex::wait(word, Flags::empty(), value, rest.as_ref());
}

fn wake(word: &AtomicU32, count: u32) {
    // The word is there: it cannot fail.
    let _ = futex::wake(word, Flags::empty(), count);
}

/// A mutex in shared memory, as seen from this process.
#[derive(Clone, Copy, Debug)]
pub struct Mutex<'memory>(&'memory AtomicU32);

impl<'memory> Mutex<'memory> {
    /// The mutex at an offset. All processes use the same. As [`Memory::atomic`], this refuses a
    /// place that has been given out as atomics of other than 4 bytes.
    pub fn at(memory: &'memory Memory<ReadWrite>, offset: usize) -> Result<Self> {
        memory.atomic(offset).map(Self)
    }

    /// Waits until it is free, and takes it.
    pub fn lock(&self) -> Guard<'memory> {
        self.lock_until(None)
            .unwrap_or_else(|| unreachable!("there is no deadline"))
    }

    /// As [`lock`](Mutex::lock), but gives up after a time.
    #[must_use = "without the guard it is unlocked at once"]
    pub fn lock_for(&self, time: Duration) -> Option<Guard<'memory>> {
        self.lock_until(Instant::now().checked_add(time))
    }

    /// Takes it if it is free.
    #[must_use = "without the guard it is unlocked at once"]
    pub fn try_lock(&self) -> Option<Guard<'memory>> {
        self.0
            .compare_exchange(FREE, LOCKED, Acquire, Relaxed)
            .ok()
            .map(|_| Guard(*self))
    }

    fn lock_until(&self, deadline: Option<Instant>) -> Option<Guard<'memory>> {
        if let Some(guard) = self.try_lock() {
            return Some(guard);
        }
        // Who has waited does not know whether others do: so for him it is contended.
        while self.0.swap(CONTENDED, Acquire) != FREE {
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return None;
            }
            wait(self.0, CONTENDED, deadline);
        }
        Some(Guard(*self))
    }

    fn unlock(&self) {
        if self.0.swap(FREE, Release) == CONTENDED {
            wake(self.0, 1);
        }
    }
}

/// Holds a [`Mutex`]; dropped, it is free.
#[derive(Debug)]
#[must_use = "without the guard it is unlocked at once"]
pub struct Guard<'memory>(Mutex<'memory>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

/// A condition variable in shared memory, as seen from this process.
///
/// ```
/// use rshm::{sync::{Condvar, Mutex}, Anonymous};
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(4096)?;
/// let (mutex, changed) = (Mutex::at(&memory, 0)?, Condvar::at(&memory, 4)?);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let _guard = mutex.lock();
///         memory.write_at(8, 1_u32).unwrap();
///         changed.notify_one();
///     });
///     let mut guard = mutex.lock();
///     while memory.read_at::<u32>(8).unwrap() == 0 {
///         guard = changed.wait(guard);
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Condvar<'memory>(&'memory AtomicU32);

impl<'memory> Condvar<'memory> {
    /// The condition variable at an offset. All processes use the same. It refuses what
    /// [`Mutex::at`] does.
    pub fn at(memory: &'memory Memory<ReadWrite>, offset: usize) -> Result<Self> {
        memory.atomic(offset).map(Self)
    }

    /// Lets the mutex go, waits to be notified, takes it again. May return for no reason.
    pub fn wait<'mutex>(&self, guard: Guard<'mutex>) -> Guard<'mutex> {
        self.wait_until(guard, None)
    }

    /// As [`wait`](Condvar::wait), but waits only for a time; for the mutex it waits as long as it
    /// takes.
    pub fn wait_for<'mutex>(&self, guard: Guard<'mutex>, time: Duration) -> Guard<'mutex> {
        self.wait_until(guard, Instant::now().checked_add(time))
    }

    fn wait_until<'mutex>(&self, guard: Guard<'mutex>, deadline: Option<Instant>) -> Guard<'mutex> {
        let mutex = guard.0;
        // A notification changes the number: one that comes after this is not missed.
        let number = self.0.load(Relaxed);
        drop(guard);
        wait(self.0, number, deadline);
        mutex.lock()
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.notify(i32::MAX as u32);
    }

    fn notify(&self, count: u32) {
        self.0.fetch_add(1, Relaxed);
        wake(self.0, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Anonymous;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn one_at_a_time() {
        let memory = Anonymous::new(4096).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mutex = Mutex::at(&memory, 4).unwrap();
                    for _ in 0..2000 {
                        let _guard = mutex.lock();
                        let count: u64 = memory.read_at(1024).unwrap();
                        memory.write_at(1024, count + 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(memory.read_at::<u64>(1024).unwrap(), 8000);
        assert_eq!(memory.read_at::<u32>(4).unwrap(), FREE);
    }

    #[test]
    fn no_other_atomics_at_the_place() {
        let memory = Anonymous::new(4096).unwrap();
        memory.atomic::<AtomicU64>(0).unwrap();
        assert!(Mutex::at(&memory, 4).is_err());
        Mutex::at(&memory, 8).unwrap();
        Condvar::at(&memory, 8).unwrap();
        assert!(memory.atomic::<AtomicU64>(8).is_err());
    }

    #[test]
    fn patience_ends() {
        let memory = Anonymous::new(4096).unwrap();
        let mutex = Mutex::at(&memory, 0).unwrap();
        let guard = mutex.lock();
        assert!(mutex.try_lock().is_none());
        let start = Instant::now();
        assert!(mutex.lock_for(Duration::from_millis(30)).is_none());
        assert!(start.elapsed() >= Duration::from_millis(30));
        drop(guard);
        let guard = mutex.lock_for(Duration::ZERO).unwrap();
        let changed = Condvar::at(&memory, 8).unwrap();
        let start = Instant::now();
        let guard = changed.wait_for(guard, Duration::from_millis(30));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(mutex.try_lock().is_none());
        drop(guard);
    }

    /// What is said to one is heard by one: a ball that goes back and forth.
    #[test]
    fn to_and_fro() {
        const ROUNDS: u32 = 500;
        let memory = Anonymous::new(4096).unwrap();
        std::thread::scope(|scope| {
            for side in 0..2 {
                let memory = &memory;
                scope.spawn(move || {
                    let (mutex, changed) = (
                        Mutex::at(memory, 0).unwrap(),
                        Condvar::at(memory, 4).unwrap(),
                    );
                    let mut guard = mutex.lock();
                    loop {
                        let ball: u32 = memory.read_at(8).unwrap();
                        if ball >= ROUNDS {
                            break;
                        }
                        if ball % 2 == side {
                            memory.write_at(8, ball + 1).unwrap();
                            changed.notify_all();
                        } else {
                            guard = changed.wait(guard);
                        }
                    }
                    drop(guard);
                });
            }
        });
        assert_eq!(memory.read_at::<u32>(8).unwrap(), ROUNDS);
    }

    /// Whatever another process leaves there, nothing breaks but the mutex.
    #[test]
    fn nonsense() {
        let memory = Anonymous::new(4096).unwrap();
        let mutex = Mutex::at(&memory, 0).unwrap();
        for word in [3, u32::MAX, CONTENDED] {
            memory.write_at(0, word).unwrap();
            assert!(mutex.try_lock().is_none());
            assert!(mutex.lock_for(Duration::from_millis(1)).is_none());
        }
    }
}
