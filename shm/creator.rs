// SPDX-License-Identifier: GPL-2.0

//! Who made segments, and whether that thread is still there (`kernel.shm_rmid_forced`).
//!
//! As in `ipc/shm.c`, a creator is a thread, and it leaves when it exits, or leaves its IPC namespace
//! by `unshare(2)`. A [`Creator`] is one thread as the creator of segments in one namespace; its
//! segments share it. There is one [`Creators`], in [`Namespaces`](super::namespace::Namespaces): it
//! has each creator from its first segment until it leaves.

use super::sys::{
    ipc_ns::NamespaceId,
    thread::ThreadId, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        SpinLock, //
    }, //
};

/// A moment: the later, the larger. 0 is none.
pub(crate) type Moment = u64;

/// A thread that has made segments in a namespace.
pub(crate) struct Creator {
    left: Atomic<Moment>,
}

impl Creator {
    /// Whether it has left, at that moment or before.
    pub(crate) fn had_left(&self, at: Moment) -> bool {
        (1..=at).contains(&self.left.load(Acquire))
    }
}

type Key = (ThreadId, NamespaceId);

/// The creators that are there.
#[pin_data]
pub(crate) struct Creators {
    #[pin]
    shares: [Share; Self::COUNT],
    clock: Atomic<Moment>,
}

/// Some of them.
#[pin_data]
struct Share {
    #[pin]
    creators: SpinLock<RBTree<Key, Arc<Creator>>>,
}

impl Creators {
    const COUNT: usize = 64;

    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shares <- pin_init::pin_init_array_from_fn(|_| Share::new()),
            clock: Atomic::new(0),
        })
    }

    fn share(&self, thread: ThreadId) -> Result<&Share> {
        self.shares.get(thread.choose(Self::COUNT)).ok_or(EINVAL)
    }

    /// A new moment, later than all before.
    pub(crate) fn moment(&self) -> Moment {
        self.clock.fetch_add(1, Relaxed) + 1
    }

    /// The calling thread as a creator in a namespace.
    pub(crate) fn current(&self, namespace: NamespaceId) -> Result<Arc<Creator>> {
        let key = (ThreadId::current(), namespace);
        let share = self.share(key.0)?;
        if let Some(creator) = share.creators.lock().get(&key) {
            return Ok(creator.clone());
        }
        let new = Creator {
            left: Atomic::new(0),
        };
        let creator = Arc::new(new, GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNode::new(key, creator.clone(), GFP_KERNEL_ACCOUNT)?;
        // Nobody else puts this thread in.
        let before = share.creators.lock().insert(node);
        drop(before);
        Ok(creator)
    }

    /// The calling thread leaves: calls `f` with each namespace where it is a creator, and the
    /// moment. Nothing may sleep, and `f` is called without a lock.
    #[cfg_attr(not(CONFIG_SYSVIPC), expect(dead_code))]
    pub(crate) fn leave(&self, mut f: impl FnMut(NamespaceId, Moment)) {
        let thread = ThreadId::current();
        let Ok(share) = self.share(thread) else {
            return;
        };
        loop {
            let node = {
                let mut creators = share.creators.lock();
                match creators.cursor_lower_bound_mut(&(thread, NamespaceId::FIRST)) {
                    Some(cursor) if cursor.current().0 .0 == thread => cursor.remove_current().1,
                    _ => return,
                }
            };
            let ((_, namespace), creator) = node.to_key_value();
            let moment = self.moment();
            creator.left.store(moment, Release);
            f(namespace, moment);
        }
    }
}

impl Share {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            creators <- new_spinlock!(RBTree::new(), "rust_shm::Creators"),
        })
    }
}
