// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mutex.

use super::{word::Word, LockResult, OwnerDied};
use crate::{sys::robust, Shared};
use std::{
    fmt,
    marker::PhantomData,
    mem::offset_of,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::{Duration, Instant},
};

/// In the word: others may wait. The kernel has this bit and the next from `<linux/futex.h>`.
pub(super) const WAITERS: u32 = 0x8000_0000;
/// Who had it has died. The kernel sets it, and it stays until somebody says that all is well again.
pub(super) const OWNER_DIED: u32 = 0x4000_0000;
/// The thread that has it, or 0.
pub(super) const OWNER: u32 = 0x3fff_ffff;

/// A mutex in shared memory. [`Memory::view`](crate::Memory::view) gives a reference to one.
///
/// It is [`SIZE`](Mutex::SIZE) bytes, and its offset a multiple of 8. New memory is a mutex that
/// nobody has.
///
/// # When who has it dies
///
/// When a thread or process ends that has it, for whatever reason, the kernel lets it go. Whoever
/// locks it next gets [`OwnerDied`], which holds the guard: the data may be half changed. Put it
/// right, and call [`Guard::mark_consistent`]. Until somebody does, each who locks it is told.
///
/// ```
/// use rshm::{sync::{Mutex, OwnerDied}, Anonymous};
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(4096)?;
/// let mutex: &Mutex = memory.view(0)?;
/// # std::thread::scope(|scope| scope.spawn(|| std::mem::forget(mutex.lock())).join()).unwrap();
/// let guard = mutex.lock().unwrap_or_else(|died: OwnerDied<_>| {
///     // We have it. What others left half done is put right here.
///     let mut guard = died.into_guard();
///     guard.mark_consistent();
///     guard
/// });
/// drop(guard);
/// assert!(mutex.lock().is_ok());
/// # Ok(())
/// # }
/// ```
///
/// A guard that was [forgotten](std::mem::forget) keeps the mutex until its thread ends, and the
/// memory stays mapped as long as the process lives: [`detach`](crate::Attachment::detach) is
/// `EBUSY`.
///
/// # What the kernel cannot know
///
/// - Processes of several pid namespaces can use it. But where two threads have the same number, each
///   in its namespace, and one dies while it waits for the other's mutex, the kernel takes it for the
///   owner.
/// - A thread that is not the first of its process, and calls `execve(2)`, gets the first one's
///   number: then the kernel does not know it as the owner, and nobody gets the mutex any more.
/// - A child that was not made by `fork(3)`, but by `clone(2)` itself or `_Fork(3)`, must not use
///   mutexes if its parent has.
///
/// # Panics
///
/// To lock it panics if the thread has 2048 robust mutexes (the kernel would not find more when it
/// dies); in destructors of thread-local values, when the list of them is gone; where the kernel
/// has no `get_robust_list(2)`; and where the C library has robust mutexes of another layout than
/// glibc's, and a thread has used one before. (musl's: there a thread must not use both.)
#[derive(Shared)]
#[repr(C)]
pub struct Mutex {
    word: AtomicU32,
    unused: [AtomicU32; 5],
    /// The C library writes here where its own mutex comes before this one in the list.
    previous: AtomicU64,
    /// For the kernel: see [`robust`].
    next: AtomicU64,
}

const _: () = assert!(
    offset_of!(Mutex, word) as isize - offset_of!(Mutex, next) as isize == robust::OFFSET
        && offset_of!(Mutex, next) - offset_of!(Mutex, previous) == 8
);

/// Takes the mutex if nobody has it, and says whether who had it has died. Otherwise the word.
///
/// `waiters` is [`WAITERS`] for who has waited, and does not know whether others do.
pub(super) fn try_take(word: &impl Word, thread: u32, waiters: u32) -> Result<bool, u32> {
    let mut seen = word.load(Relaxed);
    loop {
        if seen & OWNER != 0 {
            return Err(seen);
        }
        let new = thread | waiters | (seen & !OWNER);
        match word.replace(seen, new, Acquire) {
            Ok(()) => return Ok(seen & OWNER_DIED != 0),
            Err(now) => seen = now,
        }
    }
}

/// As [`try_take`], but waits: for ever, or until a deadline.
pub(super) fn take(word: &impl Word, thread: u32, deadline: Option<Instant>) -> Option<bool> {
    let mut waiters = 0;
    loop {
        let seen = match try_take(word, thread, waiters) {
            Ok(died) => return Some(died),
            Err(seen) => seen,
        };
        let noted = seen | WAITERS;
        if seen == noted || word.replace(seen, noted, Relaxed).is_ok() {
            // Not before it is noted: whoever woke this thread has cleared it, and others may wait.
            if word.is_over(deadline) {
                return None;
            }
            word.wait(noted, deadline);
            waiters = WAITERS;
        }
    }
}

/// Lets the mutex go; not if others have written something else there.
pub(super) fn give(word: &impl Word, thread: u32) {
    let mut seen = word.load(Relaxed);
    while seen & OWNER == thread {
        match word.replace(seen, seen & OWNER_DIED, Release) {
            Ok(()) => {
                if seen & WAITERS != 0 {
                    word.wake(1);
                }
                return;
            }
            Err(now) => seen = now,
        }
    }
}

pub(super) fn clear_died(word: &impl Word) {
    let mut seen = word.load(Relaxed);
    while let Err(now) = word.replace(seen, seen & !OWNER_DIED, Relaxed) {
        seen = now;
    }
}

impl Mutex {
    /// How many bytes it takes.
    pub const SIZE: usize = size_of::<Self>();

    /// Waits until it is free, and takes it.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`], with the guard.
    ///
    /// # Panics
    ///
    /// If this thread has it already. (Not where it has the segment attached twice, and this is the
    /// other one: then this waits for ever.)
    pub fn lock(&self) -> LockResult<Guard<'_>> {
        if let Some(result) = self.try_lock() {
            return result;
        }
        assert!(
            !robust::has(&self.next),
            "this thread would wait for itself: it has the mutex"
        );
        self.lock_until(None)
            .unwrap_or_else(|| unreachable!("there is no deadline"))
    }

    /// As [`lock`](Mutex::lock), but gives up after a time: then it is `None`.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`], with the guard.
    #[must_use = "without the guard it is unlocked at once"]
    pub fn lock_for(&self, time: Duration) -> Option<LockResult<Guard<'_>>> {
        self.lock_until(Instant::now().checked_add(time))
    }

    /// Takes it if it is free.
    ///
    /// # Errors
    ///
    /// [`OwnerDied`], with the guard.
    #[must_use = "without the guard it is unlocked at once"]
    pub fn try_lock(&self) -> Option<LockResult<Guard<'_>>> {
        self.lock_by(|thread| try_take(&self.word, thread, 0).ok())
    }

    pub(crate) fn lock_until(&self, deadline: Option<Instant>) -> Option<LockResult<Guard<'_>>> {
        self.lock_by(|thread| take(&self.word, thread, deadline))
    }

    fn lock_by(&self, take: impl FnOnce(u32) -> Option<bool>) -> Option<LockResult<Guard<'_>>> {
        let (died, owner) = robust::lock(&self.next, take)?;
        let guard = Guard {
            mutex: self,
            owner,
            of_thread: PhantomData,
        };
        Some(if died {
            Err(OwnerDied(guard))
        } else {
            Ok(guard)
        })
    }

    /// Whether a thread has it, of any process, that is alive.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.word.load(Acquire) & OWNER != 0
    }
}

impl fmt::Debug for Mutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.load(Relaxed);
        f.debug_struct("Mutex")
            .field("owner", &(word & OWNER))
            .field("owner_died", &(word & OWNER_DIED != 0))
            .finish_non_exhaustive()
    }
}

/// Holds a [`Mutex`]; dropped, it is free. It stays in its thread, which the kernel knows as the
/// owner.
///
/// In a child that is forked off meanwhile it holds nothing.
#[derive(Debug)]
#[must_use = "without the guard it is unlocked at once"]
pub struct Guard<'memory> {
    mutex: &'memory Mutex,
    owner: robust::Owner,
    of_thread: PhantomData<*const ()>,
}

impl<'memory> Guard<'memory> {
    /// After [`OwnerDied`]: what the mutex guards is as it should be.
    pub fn mark_consistent(&mut self) {
        if self.is_held() {
            clear_died(&self.mutex.word);
        }
    }

    /// Whether this thread has the mutex by this guard: not in a child that was forked off.
    pub(crate) fn is_held(&self) -> bool {
        robust::is_owner(self.owner)
    }

    pub(super) fn mutex(&self) -> &'memory Mutex {
        self.mutex
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        robust::unlock(&self.mutex.next, self.owner, |thread| {
            give(&self.mutex.word, thread);
        });
    }
}
