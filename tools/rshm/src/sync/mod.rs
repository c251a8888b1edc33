// SPDX-License-Identifier: MIT OR Apache-2.0

//! What processes that share memory wait for each other by.
//!
//! All of these live in the memory: [`Memory::view`](crate::Memory::view) gives a reference, and a
//! structure that derives [`Shared`](trait@crate::Shared) may have them as fields. Memory that is zero, as
//! a new segment's, is one that nobody has, and nobody waits for. So there is nothing to set up, and
//! no moment at which another process finds one half made.
//!
//! A process may be killed at any moment. What then holds:
//!
//! | | who dies | what the others see |
//! |---|---|---|
//! | [`Mutex`] | has it | the next who locks it gets [`OwnerDied`] with the guard |
//! | | waits for it | nothing |
//! | [`RwLock`] | writes | the next who locks it, to read or to write, gets [`OwnerDied`] with the guard |
//! | | reads, or waits | nothing |
//! | [`Condvar`] | waits | nothing; but `notify_one` may have woken just him |
//! | [`Semaphore`] | has a permit | the permit is lost |
//! | | waits | nothing |
//!
//! Nothing that another process writes there is a danger to this one's memory: whatever it is, no
//! pointer there is followed. It can let others wait for ever, as it could by keeping a mutex; who
//! does not trust it waits for a time only, by the functions with `_for`.
//!
//! For the same reason a guard gives no `&mut T`: data is read and written by
//! [`Memory`](crate::Memory)'s copies, and by atomics.
//!
//! ```
//! use rshm::{sync::Mutex, Anonymous};
//!
//! # fn main() -> rshm::Result<()> {
//! let memory = Anonymous::new(4096)?;
//! let mutex: &Mutex = memory.view(0)?;
//! {
//!     let _guard = mutex.lock()?;
//!     memory.write_at(64, memory.read_at::<u64>(64)? + 1)?;
//! }
//! assert!(mutex.try_lock().is_some());
//! # Ok(())
//! # }
//! ```

mod condvar;
// What is modelled is in cells, as only unsafe code has them.
#[allow(unsafe_code)]
#[cfg(test)]
pub(crate) mod models;
mod mutex;
mod rwlock;
mod semaphore;
pub(crate) mod word;

pub use condvar::Condvar;
pub use mutex::{Guard, Mutex};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Permit, Semaphore};

use std::fmt;

/// A guard; and where who had the lock before has died, [`OwnerDied`] with the guard.
pub type LockResult<G> = std::result::Result<G, OwnerDied<G>>;

/// A lock was taken whose owner had died, and nobody has said since that all is well again.
///
/// Dropped, it lets the lock go, and the next one is told the same.
#[must_use = "it holds the guard"]
pub struct OwnerDied<G>(G);

impl<G> OwnerDied<G> {
    /// The lock, which is held. What it guards may be half changed.
    pub fn into_guard(self) -> G {
        self.0
    }
}

/// The guard, where who dies leaves nothing half done.
pub(crate) fn regardless(result: LockResult<Guard<'_>>) -> Guard<'_> {
    result.unwrap_or_else(|died| {
        let mut guard = died.into_guard();
        guard.mark_consistent();
        guard
    })
}

impl<G> fmt::Debug for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerDied").finish_non_exhaustive()
    }
}

impl<G> fmt::Display for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&crate::Error::OwnerDied, f)
    }
}

impl<G> std::error::Error for OwnerDied<G> {}

/// For `?`, where what the lock guards cannot be put right.
impl<G> From<OwnerDied<G>> for crate::Error {
    fn from(_: OwnerDied<G>) -> Self {
        Self::OwnerDied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Anonymous, Shared};
    use std::{
        sync::atomic::AtomicU64,
        time::{Duration, Instant},
    };

    #[test]
    fn one_at_a_time() {
        let memory = Anonymous::new(4096).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mutex: &Mutex = memory.view(8).unwrap();
                    for _ in 0..2000 {
                        let _guard = mutex.lock();
                        let count: u64 = memory.read_at(1024).unwrap();
                        memory.write_at(1024, count + 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(memory.read_at::<u64>(1024).unwrap(), 8000);
        assert_eq!(memory.read_at::<u32>(8).unwrap() & !mutex::WAITERS, 0);
    }

    #[test]
    fn no_other_atomics_at_the_place() {
        let memory = Anonymous::new(4096).unwrap();
        memory.atomic::<AtomicU64>(0).unwrap();
        assert!(memory.view::<Mutex>(0).is_err());
        memory.view::<Mutex>(8).unwrap();
        memory.view::<Mutex>(8).unwrap();
        memory.view::<Condvar>(8).unwrap();
        assert!(memory.atomic::<AtomicU64>(8).is_err());
        assert!(memory.view::<Mutex>(52).is_err(), "not aligned");
        // What was refused has left nothing behind.
        memory.atomic::<AtomicU64>(48).unwrap();
    }

    #[test]
    #[should_panic(expected = "wait for itself")]
    fn twice_by_the_same_thread() {
        let memory = Anonymous::new(4096).unwrap();
        let mutex: &Mutex = memory.view(0).unwrap();
        let _guard = mutex.lock();
        let _ = mutex.lock();
    }

    #[test]
    fn patience_ends() {
        const SOON: Duration = Duration::from_millis(30);
        let memory = Anonymous::new(4096).unwrap();
        let mutex: &Mutex = memory.view(0).unwrap();
        let guard = mutex.lock().unwrap();
        assert!(mutex.try_lock().is_none());
        let start = Instant::now();
        assert!(mutex.lock_for(SOON).is_none());
        assert!(start.elapsed() >= SOON);
        drop(guard);
        let guard = mutex.lock_for(Duration::ZERO).unwrap().unwrap();
        let changed: &Condvar = memory.view(64).unwrap();
        let start = Instant::now();
        let guard = changed.wait_for(guard, SOON);
        assert!(start.elapsed() >= SOON);
        assert!(mutex.try_lock().is_none());
        drop(guard);
    }

    /// What is said to one is heard by one: a ball that goes back and forth.
    #[test]
    fn to_and_fro() {
        const ROUNDS: u32 = 500;
        #[derive(Shared)]
        #[repr(C)]
        struct Court {
            mutex: Mutex,
            changed: Condvar,
            ball: std::sync::atomic::AtomicU32,
        }
        let memory = Anonymous::new(4096).unwrap();
        let court: &Court = memory.view(0).unwrap();
        let ball = || court.ball.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            for side in 0..2 {
                scope.spawn(move || {
                    let mut guard = court.mutex.lock().unwrap();
                    while ball() < ROUNDS {
                        if ball() % 2 == side {
                            court
                                .ball
                                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            court.changed.notify_all();
                        } else {
                            guard = court.changed.wait(guard).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(ball(), ROUNDS);
    }

    #[test]
    fn many_read_and_one_writes() {
        let memory = Anonymous::new(8192).unwrap();
        let lock: &RwLock = memory.view(0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _guard = lock.write().unwrap();
                        for offset in [4096, 4104] {
                            let count: u64 = memory.read_at(offset).unwrap();
                            memory.write_at(offset, count + 1).unwrap();
                        }
                    }
                });
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _guard = lock.read().unwrap();
                        let pair: [u64; 2] = memory.read_at(4096).unwrap();
                        assert_eq!(pair[0], pair[1]);
                    }
                });
            }
        });
        assert_eq!(memory.read_at::<u64>(4096).unwrap(), 1000);
        let readers: Vec<_> = (0..RwLock::READERS).map(|_| lock.try_read()).collect();
        assert!(readers.iter().all(Option::is_some));
        assert!(lock.try_read().is_none());
        assert!(lock.try_write().is_none());
        assert!(lock.write_for(Duration::from_millis(5)).is_none());
        drop(readers);
        let _guard = lock.write().unwrap();
        assert!(lock.read_for(Duration::from_millis(5)).is_none());
    }

    #[test]
    fn permits() {
        let memory = Anonymous::new(4096).unwrap();
        let free: &Semaphore = memory.view(0).unwrap();
        assert!(free.acquire_for(Duration::from_millis(5)).is_none());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        free.acquire().forget();
                        free.add(1);
                        let _permit = free.acquire();
                    }
                });
            }
            free.add(2);
        });
        assert_eq!(free.permits(), 2);
        free.add(u32::MAX - 2);
        assert!(std::panic::catch_unwind(|| free.add(1)).is_err());
        assert_eq!(free.permits(), u32::MAX);
    }

    /// Whatever another process leaves there, nothing breaks but the mutex.
    #[test]
    fn nonsense() {
        let memory = Anonymous::new(4096).unwrap();
        let mutex: &Mutex = memory.view(0).unwrap();
        for word in [3, u32::MAX, 0x8000_0001] {
            memory.write_at(0, word).unwrap();
            assert!(mutex.try_lock().is_none());
            assert!(mutex.lock_for(Duration::from_millis(1)).is_none());
        }
        memory.write_at(0, 0_u32).unwrap();
        let guard = mutex.lock().unwrap();
        memory.write_at(0, 1_u32).unwrap();
        drop(guard);
        assert_eq!(memory.read_at::<u32>(0).unwrap(), 1, "it was another's");
    }
}
