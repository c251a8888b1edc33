// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a ring of one producer and one consumer is made of: two counts, and who sleeps.
//!
//! It is written for any [`Word`], as `sync` is, and for any place where items are: the models at
//! the end run it on loom's.

use super::RingError;
use crate::sync::word::{wait_a_while, Word};
use std::{
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
    time::Instant,
};

/// One end's count, which the other one waits on, and whether he does.
pub(super) struct End<'memory, W> {
    /// How many items this end has put in, or taken out, ever; modulo 2^32.
    pub count: &'memory W,
    /// Not 0: the other end sleeps, until the count changes.
    pub other_sleeps: &'memory W,
}

pub(super) struct Ends<'memory, W> {
    pub put: End<'memory, W>,
    pub taken: End<'memory, W>,
    pub capacity: u32,
}

impl<W: Word> End<'_, W> {
    /// Counts one more, and wakes the other end.
    fn advance(&self, count: u32) {
        self.count.store(count.wrapping_add(1), Release);
        // Either we see that he sleeps, or he sees the count before he does.
        W::barrier();
        if self.other_sleeps.load(Relaxed) != 0 {
            self.count.wake(1);
        }
    }

    /// Sleeps until the count is another one, or for a while.
    fn sleep(&self, count: u32, deadline: Option<Instant>) {
        self.other_sleeps.store(1, Relaxed);
        W::barrier();
        wait_a_while(self.count, count, deadline);
        self.other_sleeps.store(0, Relaxed);
    }
}

impl<W: Word> Ends<'_, W> {
    /// Puts an item in: `write` is told which one it is.
    pub(super) fn try_push(&self, write: impl FnOnce(u32)) -> Result<(), RingError> {
        let put = self.put.count.load(Relaxed);
        // What was read from the place is read before we write there.
        match put.wrapping_sub(self.taken.count.load(Acquire)) {
            used if used == self.capacity => Err(RingError::Full),
            used if used > self.capacity => Err(RingError::Corrupt),
            _ => {
                write(put);
                self.put.advance(put);
                Ok(())
            }
        }
    }

    /// Takes an item out: `read` is told which one it is.
    pub(super) fn try_pop<T>(&self, read: impl FnOnce(u32) -> T) -> Result<T, RingError> {
        let taken = self.taken.count.load(Relaxed);
        match self.put.count.load(Acquire).wrapping_sub(taken) {
            0 => Err(RingError::Empty),
            used if used > self.capacity => Err(RingError::Corrupt),
            _ => {
                let item = read(taken);
                self.taken.advance(taken);
                Ok(item)
            }
        }
    }

    /// Puts an item in, and waits for room. `gone` says what there is to say if it is full and the
    /// other end is not there.
    pub(super) fn push(
        &self,
        mut write: impl FnMut(u32),
        gone: impl Fn() -> Option<RingError>,
        deadline: Option<Instant>,
    ) -> Result<(), RingError> {
        wait_for(
            RingError::Full,
            &self.taken,
            || self.try_push(&mut write),
            // That count which a full ring has.
            || self.put.count.load(Relaxed).wrapping_sub(self.capacity),
            gone,
            deadline,
        )
    }

    /// Takes an item out, and waits for one. `gone` as for [`push`](Self::push).
    pub(super) fn pop<T>(
        &self,
        mut read: impl FnMut(u32) -> T,
        gone: impl Fn() -> Option<RingError>,
        deadline: Option<Instant>,
    ) -> Result<T, RingError> {
        wait_for(
            RingError::Empty,
            &self.put,
            || self.try_pop(&mut read),
            || self.taken.count.load(Relaxed),
            gone,
            deadline,
        )
    }
}

/// Tries until it is not for the reason `wait` that it does not work. `stuck` is the count that the
/// other end then has.
fn wait_for<T, W: Word>(
    wait: RingError,
    other: &End<'_, W>,
    mut attempt: impl FnMut() -> Result<T, RingError>,
    stuck: impl Fn() -> u32,
    gone: impl Fn() -> Option<RingError>,
    deadline: Option<Instant>,
) -> Result<T, RingError> {
    loop {
        match attempt() {
            Err(error) if error == wait => {}
            result => return result,
        }
        if let Some(gone) = gone() {
            // What he has done before he went counts.
            return match attempt() {
                Err(error) if error == wait => Err(gone),
                result => result,
            };
        }
        if other.count.is_over(deadline) {
            return Err(wait);
        }
        other.sleep(stuck(), deadline);
    }
}

#[allow(unsafe_code)]
#[cfg(test)]
mod models {
    use super::*;
    use crate::sync::models::Modelled;
    use loom::{cell::UnsafeCell, sync::Arc, thread};

    struct Ring {
        words: [Modelled; 4],
        /// loom fails where one end writes what the other one reads.
        items: Vec<UnsafeCell<u32>>,
    }

    // SAFETY: Who may use an item is what the model is about.
    unsafe impl Sync for Ring {}
    // SAFETY: As above.
    unsafe impl Send for Ring {}

    impl Ring {
        fn ends(&self) -> Ends<'_, Modelled> {
            let [put, consumer_sleeps, taken, producer_sleeps] = &self.words;
            Ends {
                put: End {
                    count: put,
                    other_sleeps: consumer_sleeps,
                },
                taken: End {
                    count: taken,
                    other_sleeps: producer_sleeps,
                },
                capacity: self.items.len() as u32,
            }
        }

        fn item(&self, count: u32) -> &UnsafeCell<u32> {
            &self.items[count as usize % self.items.len()]
        }
    }

    /// All items come through, in order, whole, and nobody sleeps for ever: also where the counts go
    /// around.
    #[test]
    fn one_puts_in_and_one_takes_out() {
        const ITEMS: u32 = 3;
        for capacity in [1, 2] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(3);
            model.check(move || {
                let start = u32::MAX;
                let ring = Arc::new(Ring {
                    words: [start, 0, start, 0].map(Modelled::new),
                    items: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
                });
                let producer = {
                    let ring = ring.clone();
                    thread::spawn(move || {
                        for number in 1..=ITEMS {
                            let write = |count| {
                                // SAFETY: loom checks that nobody else uses it.
                                ring.item(count).with_mut(|item| unsafe { *item = number });
                            };
                            ring.ends().push(write, || None, None).unwrap();
                        }
                    })
                };
                for number in 1..=ITEMS {
                    // SAFETY: As above.
                    let read = |count| ring.item(count).with(|item| unsafe { *item });
                    assert_eq!(ring.ends().pop(read, || None, None), Ok(number));
                }
                producer.join().unwrap();
            });
        }
    }
}
