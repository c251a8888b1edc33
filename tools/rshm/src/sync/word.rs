// SPDX-License-Identifier: MIT OR Apache-2.0

//! A number that threads wait on.
//!
//! What is made of it is written for any [`Word`]: in shared memory it is an [`AtomicU32`] with
//! `futex(2)`, and in the models (`models.rs`) one of loom's, which tries all orders.

use rustix::thread::futex::{self, Flags, Timespec};
use std::{
    sync::atomic::{self, AtomicU32, Ordering},
    time::{Duration, Instant},
};

pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn add(&self, count: u32, order: Ordering);
    /// Replaces a value, or gives the one that is there instead. On success the order is `order`.
    fn replace(&self, value: u32, new: u32, order: Ordering) -> Result<(), u32>;
    /// Waits until woken, or for no reason, or until `deadline`; not if the value is another one.
    fn wait(&self, value: u32, deadline: Option<Instant>);
    fn wake(&self, count: u32);
    fn is_over(&self, deadline: Option<Instant>) -> bool {
        is_over(deadline)
    }
    /// Nothing is moved across it: `fence(SeqCst)`.
    fn barrier();
}

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn add(&self, count: u32, order: Ordering) {
        self.fetch_add(count, order);
    }

    fn replace(&self, value: u32, new: u32, order: Ordering) -> Result<(), u32> {
        self.compare_exchange(value, new, order, Ordering::Relaxed)
            .map(drop)
    }

    fn wait(&self, value: u32, deadline: Option<Instant>) {
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let rest = rest.map(|rest| Timespec {
            tv_sec: rest.as_secs().try_into().unwrap_or(i32::MAX.into()),
            tv_nsec: rest.subsec_nanos().into(),
        });
        // Whatever it returns, the caller looks at the word again.
        let _ = futex::wait(self, Flags::empty(), value, rest.as_ref());
    }

    fn wake(&self, count: u32) {
        // The word is there: it cannot fail.
        let _ = futex::wake(self, Flags::empty(), count);
    }

    fn barrier() {
        atomic::fence(Ordering::SeqCst);
    }
}

/// A process can die just when it was woken, and nobody else is. So where that would leave others
/// asleep they do not sleep longer than this, and look again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// As [`Word::wait`], but not for longer than [`LOOK_AGAIN`].
pub(crate) fn wait_a_while(word: &impl Word, value: u32, deadline: Option<Instant>) {
    let soon = Instant::now() + LOOK_AGAIN;
    word.wait(
        value,
        Some(deadline.map_or(soon, |deadline| deadline.min(soon))),
    );
}

pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}
