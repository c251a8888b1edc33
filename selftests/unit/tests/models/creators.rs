// SPDX-License-Identifier: GPL-2.0

//! A creator is in the map while it has segments and has not left.

use crate::shm::{
    segment::creator::Creators,
    sys::task::{
        ipc_ns::NamespaceId,
        thread::{ThreadId, CURRENT},
    },
};
use kernel::{prelude::*, sync::Arc};
use loom::thread::spawn;

const NAMESPACE: NamespaceId = NamespaceId::FIRST;

/// A thread creates segments and exits, while another removes them, and does the same.
pub(super) fn come_and_go() {
    let creators = Arc::pin_init(Creators::new(), GFP_KERNEL).unwrap();
    let first = Creators::add_segment(&creators, NAMESPACE).unwrap();
    let other = spawn({
        let creators = creators.clone();
        move || {
            CURRENT.with(|current| current.set(ThreadId(1)));
            let own = Creators::add_segment(&creators, NAMESPACE).unwrap();
            drop(first);
            drop(own);
            assert!(creators.leave(1, None, |_, _| unreachable!(
                "without segments there is no creator"
            )));
        }
    });
    let second = Creators::add_segment(&creators, NAMESPACE).unwrap();
    let mut left = 0;
    assert!(creators.next().is_some());
    assert!(
        !creators.leave(1, Some(NAMESPACE), |_, at| left = at),
        "there may be more"
    );
    assert!(creators.next().is_none());
    assert!(second.is_orphan(left));
    other.join().unwrap();
    assert!(creators.leave(1, None, |_, _| unreachable!("it has left")));
}
