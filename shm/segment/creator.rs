// SPDX-License-Identifier: GPL-2.0

//! The threads that created segments (`shm_creator`), for `kernel.shm_rmid_forced`.
//!
//! As in `ipc/shm.c`, a creator is a thread. It leaves when it exits, or leaves its IPC namespace
//! by `unshare(2)`. There is one [`Creator`] for a thread and a namespace; each of its segments has
//! a [`CreatorRef`]. There is one [`Creators`], the map of those that have segments and have not
//! left. A spinlock protects each shard of it.

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
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock, //
    }, //
};

/// A logical time: larger is later. 0 is never.
pub(crate) type Moment = u64;

type Key = (ThreadId, NamespaceId);

/// A thread that created segments in a namespace.
struct Creator {
    key: Key,
    /// When it left, or 0.
    left: Atomic<Moment>,
    /// The number of its segments. Changed only with the lock of its [`Shard`] held.
    segments: Atomic<u32>,
    home: Arc<Creators>,
}

/// The reference of a segment to its creator.
pub(crate) struct CreatorRef(Arc<Creator>);

impl CreatorRef {
    /// Returns whether the creator left at `at` or before.
    pub(crate) fn is_orphan(&self, at: Moment) -> bool {
        (1..=at).contains(&self.0.left.load(Relaxed))
    }
}

impl Drop for CreatorRef {
    fn drop(&mut self) {
        let creator = &self.0;
        let mut creators = creator.home.shard(creator.key.0).creators.lock();
        let segments = creator.segments.load(Relaxed) - 1;
        creator.segments.store(segments, Relaxed);
        // A creator that has left is not in the map; another thread may have its id now.
        let is_present = || {
            let present = creators.get(&creator.key);
            present.is_some_and(|present| Arc::ptr_eq(present, creator))
        };
        let node = if segments == 0 && is_present() {
            creators.remove_node(&creator.key)
        } else {
            None
        };
        drop(creators);
        drop(node);
    }
}

/// The creators that have not left, by thread.
#[pin_data]
pub(crate) struct Creators {
    #[pin]
    shards: [Shard; Self::COUNT],
    clock: Atomic<Moment>,
}

/// The creators whose thread ids have the same hash; on a cache line of their own.
#[pin_data]
#[repr(align(64))]
struct Shard {
    #[pin]
    creators: SpinLock<RBTree<Key, Arc<Creator>>>,
}

impl Creators {
    const COUNT: usize = 64;

    /// Creates an empty map.
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

    /// Returns a new moment, later than all before. A task that gets a later one sees what was
    /// stored before this call.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn moment(&self) -> Moment {
        self.clock.fetch_add(1, kernel::sync::atomic::Full) + 1
    }

    /// Counts a new segment of the calling thread in a namespace.
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
        // Only the thread itself inserts its creator: there is none before.
        let before = shard.creators.lock().insert(node);
        drop(before);
        Ok(CreatorRef(creator))
    }

    /// Marks the calling thread as having left. Calls `f`, without a lock held, for each namespace
    /// in which it has segments, but not for more than `most`, with a moment at which it had left.
    /// Returns whether there are no more. Does not sleep, and `f` must not.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn leave(&self, most: usize, mut f: impl FnMut(NamespaceId, Moment)) -> bool {
        let thread = ThreadId::current();
        let shard = self.shard(thread);
        for _ in 0..most {
            let node = {
                let mut creators = shard.creators.lock();
                match creators.cursor_lower_bound_mut(&(thread, NamespaceId::FIRST)) {
                    Some(cursor) if cursor.current().0 .0 == thread => cursor.remove_current().1,
                    _ => return true,
                }
            };
            let ((_, namespace), creator) = node.to_key_value();
            creator.left.store(self.moment(), Relaxed);
            // A later moment: a removal up to an earlier one may not have seen this store.
            f(namespace, self.moment());
        }
        false
    }
}

impl Shard {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            creators <- new_spinlock!(RBTree::new(), "rust_shm::Creators"),
        })
    }
}
