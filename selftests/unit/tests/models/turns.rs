// SPDX-License-Identifier: GPL-2.0

//! Of the threads of an address space, one at a time has the turn, and all come to theirs.

use crate::shm::sys::mm::turns::MmTurns;
use kernel::{prelude::*, sync::Arc};
use loom::{cell::UnsafeCell, thread::spawn};

pub(super) fn one_at_a_time() {
    let turns = Arc::pin_init(MmTurns::new(), GFP_KERNEL).unwrap();
    let mapped = Arc::new(UnsafeCell::new(()), GFP_KERNEL).unwrap();
    let detach = move || {
        let turn = turns.take().unwrap();
        assert!(turn.is_some());
        mapped.with_mut(|_| ());
    };
    let others = [(); 2].map(|()| spawn(detach.clone()));
    detach();
    for other in others {
        other.join().unwrap();
    }
}
