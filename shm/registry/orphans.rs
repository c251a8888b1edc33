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
    /// Orphans of creators that left by then have been removed.
    done: Atomic<Moment>,
    /// Creators that could not read the sysctl had left by then.
    undecided: Atomic<Moment>,
    /// The sysctl was read for creators that left by then.
    decided: Atomic<Moment>,
    /// Held while orphans are removed.
    #[pin]
    sweeping: Mutex<()>,
}

impl Orphans {
    /// Creates the state of a registry without orphans.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            due: Atomic::new(0),
            done: Atomic::new(0),
            undecided: Atomic::new(0),
            decided: Atomic::new(0),
            sweeping <- new_mutex!((), "rust_shm::Orphans::sweeping"),
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

    /// Returns whether there is nothing to do. Reads first what has been decided: since then it is
    /// due.
    fn is_idle(&self) -> bool {
        self.undecided.load(Relaxed) == self.decided.load(Acquire)
            && self.due.load(Relaxed) == self.done.load(Acquire)
    }
}

impl Registry {
    /// Requests the removal of the orphans of creators that have left by `moment`. Does not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_are_due(&self, moment: Moment) {
        Orphans::advance(&self.orphans.due, moment);
    }

    /// The same, provided that the sysctl is set, which the next call checks. Does not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_may_be_due(&self, moment: Moment) {
        Orphans::advance(&self.orphans.undecided, moment);
    }

    /// Removes orphans as requested. Must be called before the table is used, by a task in the
    /// namespace. May sleep.
    pub(crate) fn destroy_orphaned(&self, namespace: &CurrentIpcNamespace<'_>) {
        let orphans = &self.orphans;
        if orphans.is_idle() {
            return;
        }
        let _sweeping = orphans.sweeping.lock();
        let undecided = orphans.undecided.load(Acquire);
        if undecided != orphans.decided.load(Relaxed) {
            if namespace.rmid_forced() {
                Orphans::advance(&orphans.due, undecided);
            }
            orphans.decided.store(undecided, Release);
        }
        self.sweep();
    }

    /// Removes the orphans that are due. Must be called with `sweeping` held.
    fn sweep(&self) {
        let orphans = &self.orphans;
        let due = orphans.due.load(Acquire);
        if due == orphans.done.load(Relaxed) {
            return;
        }
        let mut index = 0;
        while let Some((at, segment)) = self.first_from(index) {
            self.remove_orphan(&segment, due);
            index = at + 1;
        }
        orphans.done.store(due, Release);
    }

    /// Removes a segment if its creator had left by `due`, and nobody is attached.
    fn remove_orphan(&self, segment: &Segment, due: Moment) {
        let is_orphan = |state: &State| state.is_orphan(due) && !state.is_attached();
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
        let _sweeping = this.orphans.sweeping.lock();
        this.sweep();
    }
}
