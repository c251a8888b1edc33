// SPDX-License-Identifier: MIT OR Apache-2.0

//! The condition variable.

use super::{word::Word, Guard, LockResult};
use crate::Shared;
use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// A condition variable in shared memory. [`Memory::view`](crate::Memory::view) gives a reference to
/// one.
///
/// It is [`SIZE`](Condvar::SIZE) bytes, and its offset a multiple of 4. New memory is one that nobody
/// waits for.
///
/// # When a process dies
///
/// Who waits leaves nothing behind. But [`notify_one`](Condvar::notify_one) may have woken just the
/// one that is dying, and nobody else; and who dies between his change and the notification has told
/// nobody. Where that matters, wait by [`wait_for`](Condvar::wait_for), and look again.
///
/// ```
/// use rshm::{sync::{Condvar, Mutex}, Anonymous, Shared};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Mailbox {
///     mutex: Mutex,
///     changed: Condvar,
///     letter: AtomicU32,
/// }
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(4096)?;
/// let mailbox: &Mailbox = memory.view(0)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let _guard = mailbox.mutex.lock().unwrap();
///         mailbox.letter.store(1, Relaxed);
///         mailbox.changed.notify_one();
///     });
///     let mut guard = mailbox.mutex.lock().unwrap();
///     while mailbox.letter.load(Relaxed) == 0 {
///         guard = mailbox.changed.wait(guard).unwrap();
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Shared)]
#[repr(C)]
pub struct Condvar(AtomicU32);

/// Runs `unlock`, and waits to be notified.
pub(super) fn wait(number: &impl Word, unlock: impl FnOnce(), deadline: Option<Instant>) {
    // A notification changes the number: one that comes after this is not missed.
    let seen = number.load(Relaxed);
    unlock();
    number.wait(seen, deadline);
}

pub(super) fn notify(number: &impl Word, count: u32) {
    number.add(1, Relaxed);
    number.wake(count);
}

impl Condvar {
    /// How many bytes it takes.
    pub const SIZE: usize = size_of::<Self>();

    /// Lets the mutex go, waits to be notified, takes it again. May return for no reason.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`](super::OwnerDied), as [`Mutex::lock`](super::Mutex::lock).
    pub fn wait<'mutex>(&self, guard: Guard<'mutex>) -> LockResult<Guard<'mutex>> {
        self.wait_until(guard, None)
    }

    /// As [`wait`](Condvar::wait), but waits only for a time; for the mutex it waits as long as it
    /// takes.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    pub fn wait_for<'mutex>(
        &self,
        guard: Guard<'mutex>,
        time: Duration,
    ) -> LockResult<Guard<'mutex>> {
        self.wait_until(guard, Instant::now().checked_add(time))
    }

    pub(crate) fn wait_until<'mutex>(
        &self,
        guard: Guard<'mutex>,
        deadline: Option<Instant>,
    ) -> LockResult<Guard<'mutex>> {
        let mutex = guard.mutex();
        wait(&self.0, || drop(guard), deadline);
        mutex.lock()
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        notify(&self.0, 1);
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        notify(&self.0, i32::MAX as u32);
    }
}
