// SPDX-License-Identifier: MIT OR Apache-2.0

//! Models of what is made of a [`Word`]: loom runs them in every order that the memory model lets
//! several threads have. A lost wake-up is a deadlock to it.

use super::{
    condvar,
    mutex::{clear_died, give, take, OWNER, OWNER_DIED, WAITERS},
    semaphore,
    word::Word,
};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{fence, AtomicU32},
        Arc, Condvar, Mutex,
    },
    thread,
};
use std::{sync::atomic::Ordering, time::Instant};

/// A number with a queue as the kernel's: the value is compared under its lock. Whoever has a deadline
/// waits until [`Modelled::end_patience`].
pub(crate) struct Modelled {
    value: AtomicU32,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Who sleeps, in the order in which they came.
    sleepers: Vec<u32>,
    came: u32,
    patience_is_over: bool,
}

impl Modelled {
    pub(crate) fn new(value: u32) -> Self {
        Self {
            value: AtomicU32::new(value),
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// All deadlines have passed.
    fn end_patience(&self) {
        self.queue.lock().unwrap().patience_is_over = true;
        self.changed.notify_all();
    }
}

impl Word for Modelled {
    fn load(&self, order: Ordering) -> u32 {
        self.value.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.value.store(value, order);
    }

    fn add(&self, count: u32, order: Ordering) {
        self.value.fetch_add(count, order);
    }

    fn replace(&self, value: u32, new: u32, order: Ordering) -> Result<(), u32> {
        self.value
            .compare_exchange(value, new, order, Ordering::Relaxed)
            .map(drop)
    }

    fn wait(&self, value: u32, deadline: Option<Instant>) {
        let mut queue = self.queue.lock().unwrap();
        // As the kernel, which writes nothing there. (`fetch_add(0)` would not do: to loom that is a
        // store which is in no order with another thread's, and then that one reads it after its own.)
        if self.value.load(Ordering::Relaxed) != value {
            return;
        }
        let this = queue.came;
        queue.came += 1;
        queue.sleepers.push(this);
        while queue.sleepers.contains(&this) && !(deadline.is_some() && queue.patience_is_over) {
            queue = self.changed.wait(queue).unwrap();
        }
        queue.sleepers.retain(|&sleeper| sleeper != this);
    }

    fn wake(&self, count: u32) {
        let mut queue = self.queue.lock().unwrap();
        let woken = queue.sleepers.len().min(count as usize);
        queue.sleepers.drain(..woken);
        self.changed.notify_all();
    }

    fn is_over(&self, deadline: Option<Instant>) -> bool {
        deadline.is_some() && self.queue.lock().unwrap().patience_is_over
    }

    fn barrier() {
        fence(Ordering::SeqCst);
    }
}

/// Data that only one thread may have at a time: loom fails where two have.
struct Guarded {
    word: Modelled,
    data: UnsafeCell<u32>,
}

// SAFETY: `data` is used under the lock, which is what the models are about.
unsafe impl Sync for Guarded {}
// SAFETY: As above.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: Modelled::new(0),
            data: UnsafeCell::new(0),
        })
    }

    fn add(&self) {
        self.data.with_mut(|data| {
            // SAFETY: loom checks that nobody else has it.
            unsafe { *data += 1 }
        });
    }
}

fn with_three(f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(f);
}

#[test]
fn mutex_lets_in_one_at_a_time_and_wakes_all() {
    with_three(|| {
        let guarded = Guarded::new();
        let threads: Vec<_> = (1..3)
            .map(|thread| {
                let guarded = guarded.clone();
                thread::spawn(move || {
                    assert_eq!(take(&guarded.word, thread, None), Some(false));
                    guarded.add();
                    give(&guarded.word, thread);
                })
            })
            .collect();
        assert_eq!(take(&guarded.word, 3, None), Some(false));
        guarded.add();
        give(&guarded.word, 3);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(take(&guarded.word, 4, None), Some(false));
        // SAFETY: As in `add()`.
        guarded.data.with(|data| assert_eq!(unsafe { *data }, 3));
    });
}

/// Whoever gives up may have been woken just before: then the next one must not sleep on.
#[test]
fn mutex_of_one_who_gives_up_goes_on() {
    with_three(|| {
        let word = Arc::new(Modelled::new(3));
        let wait = |thread: u32, deadline: Option<Instant>| {
            let word = word.clone();
            thread::spawn(move || {
                if take(&*word, thread, deadline).is_some() {
                    give(&*word, thread);
                }
            })
        };
        let deadline = Instant::now();
        let waiting = [wait(1, Some(deadline)), wait(2, None)];
        give(&*word, 3);
        // Perhaps before the one that was woken.
        take(&*word, 3, None);
        word.end_patience();
        give(&*word, 3);
        for thread in waiting {
            thread.join().unwrap();
        }
    });
}

/// What the kernel does with the mutex of a thread that dies: `handle_futex_death()`.
fn die(word: &Modelled, thread: u32) {
    let mut seen = word.load(Ordering::SeqCst);
    assert_eq!(seen & OWNER, thread);
    while let Err(now) = word.replace(seen, (seen & WAITERS) | OWNER_DIED, Ordering::SeqCst) {
        seen = now;
    }
    if seen & WAITERS != 0 {
        word.wake(1);
    }
}

#[test]
fn mutex_of_one_who_dies_goes_on() {
    with_three(|| {
        let guarded = Guarded::new();
        let dying = {
            let guarded = guarded.clone();
            thread::spawn(move || {
                take(&guarded.word, 1, None);
                guarded.add();
                die(&guarded.word, 1);
            })
        };
        let waiting = {
            let guarded = guarded.clone();
            thread::spawn(move || {
                let died = take(&guarded.word, 2, None).unwrap();
                guarded.add();
                give(&guarded.word, 2);
                died
            })
        };
        let died = take(&guarded.word, 3, None).unwrap();
        guarded.add();
        give(&guarded.word, 3);
        dying.join().unwrap();
        waiting.join().unwrap();
        // Nobody has said that all is well.
        assert_eq!(take(&guarded.word, 4, None), Some(true));
        clear_died(&guarded.word);
        give(&guarded.word, 4);
        assert_eq!(guarded.word.load(Ordering::Relaxed) & !WAITERS, 0);
        let _ = died;
    });
}

#[test]
fn condvar_loses_no_notification() {
    with_three(|| {
        let shared = Arc::new((Modelled::new(0), Guarded::new()));
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (number, guarded) = &*shared;
                take(&guarded.word, 1, None);
                guarded.add();
                give(&guarded.word, 1);
                condvar::notify(number, 1);
            })
        };
        let (number, guarded) = &*shared;
        take(&guarded.word, 2, None);
        // SAFETY: As in `add()`.
        while guarded.data.with(|data| unsafe { *data }) == 0 {
            condvar::wait(number, || give(&guarded.word, 2), None);
            take(&guarded.word, 2, None);
        }
        give(&guarded.word, 2);
        other.join().unwrap();
    });
}

#[test]
fn semaphore_wakes_one_for_each_permit() {
    with_three(|| {
        let shared = Arc::new((Modelled::new(0), Guarded::new()));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    semaphore::acquire(&shared.0, None).unwrap();
                    // One permit at a time: so it is a lock.
                    shared.1.add();
                    assert!(semaphore::add(&shared.0, 1));
                })
            })
            .collect();
        shared.1.add();
        assert!(semaphore::add(&shared.0, 1));
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(semaphore::try_acquire(&shared.0).is_ok());
        // SAFETY: As in `add()`.
        shared.1.data.with(|data| assert_eq!(unsafe { *data }, 3));
    });
}
