// SPDX-License-Identifier: GPL-2.0

//! Segments whose creators have left, where `kernel.shm_rmid_forced` is set.

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

/// What `kernel.shm_rmid_forced` needs: segments that nobody is attached to go with their creators.
///
/// That they are to go is told in atomic context, where the table cannot be gone through. So that is
/// only noted, and done by a work item, or by the next call: whichever is first. No call sees a
/// segment that should be gone.
#[pin_data]
pub(super) struct Orphans {
    /// Those of creators that had left at this moment are to go.
    due: Atomic<Moment>,
    /// So far, that is done.
    done: Atomic<Moment>,
    /// Creators had left at this moment that could not see the sysctl.
    undecided: Atomic<Moment>,
    /// So far, that is decided.
    decided: Atomic<Moment>,
    /// Held by who removes them.
    #[pin]
    sweeping: Mutex<()>,
}

impl Orphans {
    /// None.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            due: Atomic::new(0),
            done: Atomic::new(0),
            undecided: Atomic::new(0),
            decided: Atomic::new(0),
            sweeping <- new_mutex!((), "rust_shm::Orphans::sweeping"),
        })
    }

    /// Moves a moment on; it never goes back.
    fn advance(to: &Atomic<Moment>, moment: Moment) {
        let mut now = to.load(Relaxed);
        while now < moment {
            match to.cmpxchg(now, moment, Full) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
    }

    /// Whether nothing is to be done.
    fn is_idle(&self) -> bool {
        self.due.load(Acquire) == self.done.load(Acquire)
            && self.undecided.load(Acquire) == self.decided.load(Acquire)
    }
}

impl Registry {
    /// Segments of creators that had left at a moment are to go. It may not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_are_due(&self, moment: Moment) {
        Orphans::advance(&self.orphans.due, moment);
    }

    /// The same, if the sysctl is set: it is for the next call to see. It may not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_may_be_due(&self, moment: Moment) {
        Orphans::advance(&self.orphans.undecided, moment);
    }

    /// Removes what `kernel.shm_rmid_forced` says is to go: to be called before the table is looked
    /// at, by a task in the namespace. May sleep.
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

    /// Removes what is due. To be called with `sweeping` locked.
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

    /// Removes a segment if its creator had left at a moment, and nobody is attached to it.
    fn remove_orphan(&self, segment: &Segment, due: Moment) {
        let is_orphan = |state: &State| state.is_orphan(due) && !state.is_attached();
        if !is_orphan(&segment.lock()) {
            return;
        }
        let mut table = self.table.lock();
        let state = segment.lock();
        // One that is gone meanwhile is nobody's orphan.
        if is_orphan(&state) {
            let removed = self.take_out(&mut table, segment, state);
            drop(table);
            drop(removed);
        }
    }
}

/// Creators have left: what nobody else is attached to goes.
impl WorkItem<1> for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _sweeping = this.orphans.sweeping.lock();
        this.sweep();
    }
}
