// SPDX-License-Identifier: GPL-2.0

//! What a segment can be restored as.

use super::id::{
    Id,
    Key, //
};

/// Which of the calls that restore a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Makes it, and sets all.
    Whole,
    /// Makes it; its contents follow.
    Open,
    /// Sets the rest.
    Close,
}

impl Step {
    /// Returns the step by its flags; `None` if both are set.
    pub(crate) fn new(open: bool, close: bool) -> Option<Self> {
        match (open, close) {
            (false, false) => Some(Self::Whole),
            (true, false) => Some(Self::Open),
            (false, true) => Some(Self::Close),
            (true, true) => None,
        }
    }
}

/// What is asked for, as far as it does not depend on the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The step.
    pub(crate) step: Step,
    /// The id, or -1.
    pub(crate) id: i32,
    /// The key.
    pub(crate) key: Key,
    /// SHM_HUGETLB.
    pub(crate) is_huge: bool,
    /// SHM_DEST.
    pub(crate) is_destroyed: bool,
    /// SHM_LOCKED.
    pub(crate) is_locked: bool,
    /// The numbers of processes, or 0.
    pub(crate) pids: [i32; 2],
    /// The times, in seconds since 1970, or 0.
    pub(crate) times: [i64; 3],
}

impl Asked {
    /// Returns whether there can be such a segment, and the step is possible.
    pub(crate) fn is_valid(&self) -> bool {
        let id_is_valid = match self.step {
            Step::Close => self.id >= 0,
            Step::Whole | Step::Open => self.id >= -1,
        };
        id_is_valid
            // IPC_RMID takes the key away.
            && !(self.is_destroyed && self.key != Key::PRIVATE)
            // SHM_LOCK does nothing to huge pages.
            && !(self.is_locked && self.is_huge)
            && self.pids.iter().all(|pid| *pid >= 0)
            && self.times.iter().all(|time| *time >= 0)
    }

    /// Returns the id that the segment is to have; `None` for the next free one.
    pub(crate) fn id(&self) -> Option<Id> {
        Id::from_user(self.id)
    }
}
