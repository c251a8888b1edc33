// SPDX-License-Identifier: GPL-2.0

//! Who made segments, and whether that thread is still there (`kernel.shm_rmid_forced`).
//!
//! As in `ipc/shm.c`, a creator is a thread, and it leaves when it exits, or leaves its IPC namespace
//! by `unshare(2)`. A [`Creator`] is one thread as the creator of segments in one namespace; its
//! segments share it, each by a [`CreatorRef`]. There is one [`Creators`], owned by
//! [`Namespaces`](crate::shm::registry::namespace::Namespaces) and by each creator: it has each creator that is
//! there and has segments.

use crate::shm::sys::task::{
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
            Relaxed, //
        },
        Arc,
        SpinLock, //
    }, //
};

/// A moment: the later, the larger. 0 is none.
pub(crate) type Moment = u64;

type Key = (ThreadId, NamespaceId);

/// A thread that has made segments in a namespace.
struct Creator {
    key: Key,
    /// When it left.
    left: Atomic<Moment>,
    /// How many segments of its there are. Changed with its [`Shard`] locked.
    segments: Atomic<u32>,
    home: Arc<Creators>,
}

/// What a segment knows of who made it.
pub(crate) struct CreatorRef(Arc<Creator>);

impl CreatorRef {
    /// Whether the creator has left, at that moment or before.
    pub(crate) fn is_orphan(&self, at: Moment) -> bool {
        (1..=at).contains(&self.0.left.load(Acquire))
    }
}

impl Drop for CreatorRef {
    fn drop(&mut self) {
        let creator = &self.0;
        let mut creators = creator.home.shard(creator.key.0).creators.lock();
        let left = creator.segments.load(Relaxed) - 1;
        creator.segments.store(left, Relaxed);
        // Where it has left, it is not there any more; another thread may have its number.
        let is_there = || {
            let there = creators.get(&creator.key);
            there.is_some_and(|there| Arc::ptr_eq(there, creator))
        };
        let node = if left == 0 && is_there() {
            creators.remove_node(&creator.key)
        } else {
            None
        };
        drop(creators);
        drop(node);
    }
}

/// The creators that are there.
#[pin_data]
pub(crate) struct Creators {
    #[pin]
    shards: [Shard; Self::COUNT],
    clock: Atomic<Moment>,
}

/// Some of them.
#[pin_data]
struct Shard {
    #[pin]
    creators: SpinLock<RBTree<Key, Arc<Creator>>>,
}

impl Creators {
    const COUNT: usize = 64;

    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            shards <- pin_init::pin_init_array_from_fn(|_| Shard::new()),
            clock: Atomic::new(0),
        })
    }

    fn shard(&self, thread: ThreadId) -> &Shard {
        let [first, ..] = &self.shards;
        self.shards.get(thread.choose(Self::COUNT)).unwrap_or(first)
    }

    /// A new moment, later than all before. What was stored before it is seen by who has a later
    /// one.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn moment(&self) -> Moment {
        self.clock.fetch_add(1, kernel::sync::atomic::Full) + 1
    }

    /// A segment is made by the calling thread in a namespace.
    pub(crate) fn add_segment(this: &Arc<Self>, namespace: NamespaceId) -> Result<CreatorRef> {
        let key = (ThreadId::current(), namespace);
        let shard = this.shard(key.0);
        if let Some(creator) = shard.creators.lock().get(&key) {
            let segments = creator.segments.load(Relaxed) + 1;
            creator.segments.store(segments, Relaxed);
            return Ok(CreatorRef(creator.clone()));
        }
        let new = Creator {
            key,
            left: Atomic::new(0),
            segments: Atomic::new(1),
            home: this.clone(),
        };
        let creator = Arc::new(new, GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNode::new(key, creator.clone(), GFP_KERNEL_ACCOUNT)?;
        // Nobody else puts this thread in.
        let before = shard.creators.lock().insert(node);
        drop(before);
        Ok(CreatorRef(creator))
    }

    /// The calling thread leaves: calls `f` with each namespace where it has segments, and a moment
    /// at which it had left. Nothing may sleep; `f` is called without a lock.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn leave(&self, mut f: impl FnMut(NamespaceId, Moment)) {
        let thread = ThreadId::current();
        let shard = self.shard(thread);
        loop {
            let node = {
                let mut creators = shard.creators.lock();
                match creators.cursor_lower_bound_mut(&(thread, NamespaceId::FIRST)) {
                    Some(cursor) if cursor.current().0 .0 == thread => cursor.remove_current().1,
                    _ => return,
                }
            };
            let ((_, namespace), creator) = node.to_key_value();
            creator.left.xchg(self.moment(), kernel::sync::atomic::Full);
            // A later one: who looks for orphans of an earlier moment may not have seen this one.
            f(namespace, self.moment());
        }
    }
}

impl Shard {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            creators <- new_spinlock!(RBTree::new(), "rust_shm::Creators"),
        })
    }
}
