// SPDX-License-Identifier: GPL-2.0

//! Explores models, as they are, or with a [`Site`] weakened.

use loom::{
    model::Builder,
    sync::{
        atomic::{AtomicBool, AtomicU64},
        Condvar, Mutex,
    },
};
use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeSet, HashMap},
    panic::Location,
    rc::Rc,
};

/// How often threads are interrupted where they could go on. What takes more than this to fail is rare, and the orders of
/// threads are many more.
const PREEMPTIONS: usize = 3;

/// How many atomics a run of a model may use.
const WORDS: usize = 16;

/// A place in the source where something is asked for that makes a difference between threads: an ordering other than
/// `Relaxed`, a barrier, a lock, a wake-up. As FILE:LINE:COLUMN.
pub type Site = String;

/// What one run of a model has. All its threads run in one of the host's.
struct Run {
    /// Words that are 0. They are made before the first thread, as what they are taken for may be made, and first used,
    /// by any.
    unused: Vec<AtomicU64>,
    /// By address of an [`Atomic`](crate::sync::atomic::Atomic).
    used: HashMap<usize, Rc<AtomicU64>>,
    queue: Rc<WaitQueue>,
}

/// Those who wait for a bit, whichever: the kernel hashes them.
pub(crate) struct WaitQueue {
    pub(crate) wakeups: Mutex<usize>,
    pub(crate) woken: Condvar,
    /// Whether somebody waits, for a look without the lock.
    pub(crate) active: AtomicBool,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
    static WEAK: OnceCell<Site> = const { OnceCell::new() };
    static MET: RefCell<BTreeSet<&'static Location<'static>>> = const { RefCell::new(BTreeSet::new()) };
}

fn run<R>(f: impl FnOnce(&mut Run) -> R) -> R {
    RUN.with_borrow_mut(|run| f(run.as_mut().expect("in a model")))
}

pub(crate) fn wait_queue() -> Rc<WaitQueue> {
    run(|run| run.queue.clone())
}

/// The word for an address.
pub(crate) fn word(address: usize) -> Rc<AtomicU64> {
    run(|run| {
        let Run { unused, used, .. } = run;
        let new = || Rc::new(unused.pop().expect("WORDS is enough"));
        used.entry(address).or_insert_with(new).clone()
    })
}

/// Nothing is at an address any more.
pub(crate) fn forget(address: usize) {
    RUN.with_borrow_mut(|run| run.as_mut().map(|run| run.used.remove(&address)));
}

/// Notes the caller's caller, and returns whether it holds.
#[track_caller]
pub(crate) fn holds() -> bool {
    let caller = Location::caller();
    MET.with_borrow_mut(|met| met.insert(caller));
    WEAK.with(|weak| weak.get().is_none_or(|weak| *weak != caller.to_string()))
}

/// Runs a model in all orders of its threads, but for those with more than [`PREEMPTIONS`], and with all values that loads
/// may return. `weak` does not do what it says. Returns the sites that it met. A process explores once: if the model
/// fails, destructors may abort it.
pub fn explore(model: fn(), weak: Site) -> Vec<Site> {
    WEAK.with(|site| site.set(weak).expect("once"));
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(move || {
        let run = Run {
            unused: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
            used: HashMap::new(),
            queue: Rc::new(WaitQueue {
                wakeups: Mutex::new(0),
                woken: Condvar::new(),
                active: AtomicBool::new(false),
            }),
        };
        RUN.set(Some(run));
        model();
        RUN.set(None);
    });
    MET.take().into_iter().map(Location::to_string).collect()
}
