// SPDX-License-Identifier: GPL-2.0

//! A segment: whose it is, and whether it is there.

use crate::shm::segment::creator::CreatorRef;
use kernel::sync::{
    atomic::{Atomic, Relaxed},
    Lock,
};

pub(crate) mod state {
    use crate::shm::segment::creator::{CreatorRef, Moment};

    pub(crate) struct State {
        pub(crate) creator: Option<CreatorRef>,
    }

    impl State {
        pub(crate) fn is_orphan(&self, at: Moment) -> bool {
            self.creator
                .as_ref()
                .is_some_and(|creator| creator.is_orphan(at))
        }

        pub(crate) fn is_held(&self) -> bool {
            false
        }
    }
}

pub(crate) struct Segment {
    state: Lock<state::State>,
    /// Whether the table has it: looked at without a lock, as RCU readers do.
    pub(crate) is_gone: Atomic<bool>,
}

impl Segment {
    pub(crate) fn new(creator: CreatorRef) -> Self {
        let state = Lock::new(state::State {
            creator: Some(creator),
        });
        Self {
            state,
            is_gone: Atomic::new(false),
        }
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> kernel::sync::Guard<'_, state::State> {
        self.state.lock()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }
}
