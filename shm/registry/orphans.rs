// SPDX-License-Identifier: GPL-2.0

//! `kernel.shm_rmid_forced`: segments without attaches are removed when their creators leave.
//!
//! A kprobe reports that in atomic context, where the table cannot be searched. So it only records
//! by which [`Moment`] creators had left, and a work item or the next call, whichever is first,
//! removes their segments. No call finds a segment that must be gone.

use super::Registry;
use crate::shm::{
    segment::{
        creator::Moment,
        state::State,
        Segment, //
    },
    sys::task::ipc_ns::CurrentIpcNamespace, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
    workqueue::WorkItem, //
};

/// What is to be removed from a registry, and what has been.
#[pin_data]
pub(super) struct Orphans {
    /// Orphans of creators that left by then must be removed.
    due: Atomic<Moment>,
    /// Creators that could not read the sysctl had left by then.
    undecided: Atomic<Moment>,
    /// How often something was asked for: to see that there is nothing to do.
    asked: Atomic<u64>,
    /// What was asked for up to then is done.
    settled: Atomic<u64>,
    /// Held while orphans are removed.
    #[pin]
    done: Mutex<Done>,
}

/// What has been done of the same name.
struct Done {
    due: Moment,
    undecided: Moment,
}

impl Orphans {
    /// Creates the state of a registry without orphans.
    pub(super) fn new() -> impl PinInit<Self> {
        let done = Done {
            due: 0,
            undecided: 0,
        };
        pin_init!(Self {
            due: Atomic::new(0),
            undecided: Atomic::new(0),
            asked: Atomic::new(0),
            settled: Atomic::new(0),
            done <- new_mutex!(done, "rust_shm::Orphans::done"),
        })
    }

    /// Sets `to` to the later of its value and `moment`.
    fn advance(to: &Atomic<Moment>, moment: Moment) {
        let mut now = to.load(Relaxed);
        while now < moment {
            match to.cmpxchg(now, moment, Full) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
    }

    /// Asks for what `to` says, by `moment`.
    #[cfg(CONFIG_SYSVIPC)]
    fn ask(&self, to: &Atomic<Moment>, moment: Moment) {
        Self::advance(to, moment);
        self.asked.fetch_add(1, Release);
    }
}

impl Registry {
    /// Requests the removal of the orphans of creators that have left by `moment`. Does not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_are_due(&self, moment: Moment) {
        self.orphans.ask(&self.orphans.due, moment);
    }

    /// The same, provided that the sysctl is set, which the next call checks. Does not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_may_be_due(&self, moment: Moment) {
        self.orphans.ask(&self.orphans.undecided, moment);
    }

    /// Removes orphans as requested. Must be called before the table is used, by a task in the
    /// namespace. May sleep.
    pub(crate) fn destroy_orphaned(&self, namespace: &CurrentIpcNamespace<'_>) {
        let orphans = &self.orphans;
        if orphans.asked.load(Relaxed) != orphans.settled.load(Acquire) {
            self.destroy_as_asked(namespace);
        }
    }

    #[cold]
    fn destroy_as_asked(&self, namespace: &CurrentIpcNamespace<'_>) {
        let orphans = &self.orphans;
        let mut done = orphans.done.lock();
        let asked = orphans.asked.load(Acquire);
        let undecided = orphans.undecided.load(Relaxed);
        if undecided != done.undecided {
            if namespace.rmid_forced() {
                Orphans::advance(&orphans.due, undecided);
            }
            done.undecided = undecided;
        }
        self.sweep(&mut done);
        orphans.settled.store(asked, Release);
    }

    /// Removes the orphans that are due.
    fn sweep(&self, done: &mut Done) {
        let due = self.orphans.due.load(Acquire);
        if due == done.due {
            return;
        }
        let mut index = 0;
        while let Some((at, segment)) = self.first_from(index) {
            self.remove_orphan(&segment, due);
            index = at + 1;
        }
        done.due = due;
    }

    /// Removes a segment if its creator had left by `due`, and nobody holds it.
    fn remove_orphan(&self, segment: &Segment, due: Moment) {
        let is_orphan = |state: &State| state.is_orphan(due) && !state.is_held();
        if !is_orphan(&segment.lock()) {
            return;
        }
        let mut table = self.table.lock();
        let state = segment.lock();
        // Checked again: `end()` drops the creator, so a segment that is gone is no orphan.
        if is_orphan(&state) {
            let removed = self.take_out(&mut table, segment, state);
            drop(table);
            drop(removed);
        }
    }
}

/// Removes the orphans that are due.
impl WorkItem<1> for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.sweep(&mut this.orphans.done.lock());
    }
}
