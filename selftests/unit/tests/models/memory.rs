// SPDX-License-Identifier: GPL-2.0

//! Several tasks bring in the pages of a segment.

use crate::shm::{
    segment::memory::{fill, prepare_fault},
    sys::{
        fs::{fault::Fault, shmem::ShmemFile},
        mm::lent::LENT,
        sync::queue::OwnedQueue,
    },
};
use kernel::{prelude::*, sync::atomic::Relaxed};
use loom::thread::spawn;

/// Tasks touch the same block: one places a folio, and all find it.
pub(super) fn faults_of_a_block() {
    let file = ShmemFile::new([false; 2]);
    let fault = move |index| {
        prepare_fault(&Fault(file.view(), index), false);
        assert!(file.view().has(index), "nothing is at the place of a fault");
    };
    let others = [1, 2].map(|index| {
        let fault = fault.clone();
        spawn(move || fault(index))
    });
    fault(0);
    for other in others {
        other.join().unwrap();
    }
}

/// A work item finds no memory: the caller knows it at the end, and has its address space back.
pub(super) fn a_helper_fails() {
    let queue = OwnedQueue::new(true);
    let file = ShmemFile::new([false, true]);
    assert_eq!(fill(&file, &queue), Err(ENOMEM));
    assert_eq!(LENT.load(Relaxed), 0, "a task has the address space still");
    queue.drain();
}
