// SPDX-License-Identifier: GPL-2.0

//! The threads that created segments (`shm_creator`), for `kernel.shm_rmid_forced`.
//!
//! As in `ipc/shm.c`, a creator is a thread. It leaves when it exits, or leaves its IPC namespace
//! by `unshare(2)`. There is one [`Creator`] for a thread and a namespace; each of its segments has
//! a [`CreatorRef`]. There is one [`Creators`], the map of those that have segments. A spinlock that
//! kprobe handlers take, too, protects each shard of it.

use crate::shm::sys::{
    sync::raw_spinlock::{
        new_raw_spinlock,
        RawSpinLock, //
    },
    task::{
        ipc_ns::NamespaceId,
        task_work::WithWork,
        thread::ThreadId, //
    }, //
};
use kernel::{
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
        Arc, //
    }, //
};

/// A logical time: larger is later. 0 is never.
pub(crate) type Moment = u64;

/// The thread, the namespace, and when it left.
type Key = (ThreadId, NamespaceId, Moment);

/// A thread that created segments in a namespace; with room for what the thread does when it leaves.
pub(crate) type CreatorWithWork = WithWork<Creator>;

/// A thread that created segments in a namespace.
pub(crate) struct Creator {
    thread: ThreadId,
    namespace: NamespaceId,
    /// When it left, or 0. Changed only with the lock of its [`Shard`] held.
    left: Atomic<Moment>,
    /// The number of its segments. Changed only with the lock of its [`Shard`] held.
    segments: Atomic<u32>,
    home: Arc<Creators>,
}

/// The reference of a segment to its creator.
pub(crate) struct CreatorRef(Arc<CreatorWithWork>);

impl CreatorRef {
    /// Returns whether the creator left at `at` or before.
    pub(crate) fn is_orphan(&self, at: Moment) -> bool {
        (1..=at).contains(&self.0.left.load(Relaxed))
    }
}

impl Drop for CreatorRef {
    fn drop(&mut self) {
        let creator = &self.0;
        let mut creators = creator.home.shard(creator.thread).creators.lock();
        let segments = creator.segments.load(Relaxed) - 1;
        creator.segments.store(segments, Relaxed);
        let node = if segments == 0 {
            creators.remove(creator)
        } else {
            None
        };
        drop(creators);
        // Memory is freed without the lock, see `RawSpinLock`.
        drop(node);
    }
}

/// The creators, by thread.
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
    creators: RawSpinLock<Map>,
}

/// The creators of a shard.
struct Map {
    /// Those that have not left.
    present: RBTree<Key, Arc<CreatorWithWork>>,
    /// Those that have left, until their last segment goes: only for the memory of their nodes, which a
    /// kprobe handler cannot free.
    left: RBTree<Key, Arc<CreatorWithWork>>,
}

impl Map {
    /// Returns the first creator of a thread that has not left.
    #[cfg(CONFIG_SYSVIPC)]
    fn next(&mut self, thread: ThreadId) -> Option<Arc<CreatorWithWork>> {
        let first = (thread, NamespaceId::FIRST, 0);
        let cursor = self.present.cursor_lower_bound(&first)?;
        let creator = cursor.current().1;
        (creator.thread == thread).then(|| creator.clone())
    }

    /// Moves a creator of a thread that has not left to those that have left at `moment`, and returns
    /// its namespace: `own`, if there is such a one, or else the first.
    #[cfg(CONFIG_SYSVIPC)]
    fn leave(
        &mut self,
        thread: ThreadId,
        own: Option<NamespaceId>,
        moment: impl FnOnce() -> Moment,
    ) -> Option<NamespaceId> {
        // The map has a reference to each: to drop one of these frees nothing.
        let first = self.next(thread)?;
        let own = own.and_then(|own| self.present.get(&(thread, own, 0)).cloned());
        let creator = own.unwrap_or(first);
        let namespace = creator.namespace;
        let memory = self.remove(&creator)?.into_reservation();
        let moment = moment();
        creator.left.store(moment, Relaxed);
        let node = memory.into_node((thread, namespace, moment), creator);
        // No two have the same moment, so there is none before.
        self.left.insert(node);
        Some(namespace)
    }

    fn remove(&mut self, creator: &Creator) -> Option<RBTreeNode<Key, Arc<CreatorWithWork>>> {
        let left = creator.left.load(Relaxed);
        let from = if left == 0 {
            &mut self.present
        } else {
            &mut self.left
        };
        from.remove_node(&(creator.thread, creator.namespace, left))
    }
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
        let thread = ThreadId::current();
        let key = (thread, namespace, 0);
        let shard = this.shard(thread);
        if let Some(creator) = shard.creators.lock().present.get(&key) {
            let segments = creator.segments.load(Relaxed) + 1;
            creator.segments.store(segments, Relaxed);
            return Ok(CreatorRef(creator.clone()));
        }
        let new = Creator {
            thread,
            namespace,
            left: Atomic::new(0),
            segments: Atomic::new(1),
            home: this.clone(),
        };
        let creator = Arc::new(WithWork::new(new), GFP_KERNEL_ACCOUNT)?;
        let node = RBTreeNode::new(key, creator.clone(), GFP_KERNEL_ACCOUNT)?;
        // Only the thread itself inserts its creator: there is none before.
        let before = shard.creators.lock().present.insert(node);
        drop(before);
        Ok(CreatorRef(creator))
    }

    /// Marks the calling thread as having left. Calls `f`, without a lock held, for each namespace
    /// in which it has segments, `own` first, but not for more than `most`, with a moment at which it
    /// had left. Returns whether there are no more. Does not sleep, allocate or free memory, and `f`
    /// must not.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn leave(
        &self,
        most: usize,
        own: Option<NamespaceId>,
        mut f: impl FnMut(NamespaceId, Moment),
    ) -> bool {
        let thread = ThreadId::current();
        let shard = self.shard(thread);
        for _ in 0..most {
            let mut creators = shard.creators.lock();
            let namespace = creators.leave(thread, own, || self.moment());
            drop(creators);
            let Some(namespace) = namespace else {
                return true;
            };
            // A later moment: a removal up to an earlier one may not have seen this store.
            f(namespace, self.moment());
        }
        false
    }

    /// Returns what is left of the calling thread, if it has not left all namespaces. Does not sleep,
    /// allocate or free memory; to drop the result may free memory.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn next(&self) -> Option<Arc<CreatorWithWork>> {
        let thread = ThreadId::current();
        let creators = &mut *self.shard(thread).creators.lock();
        creators.next(thread)
    }
}

impl Shard {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            creators <- new_raw_spinlock!(
                Map {
                    present: RBTree::new(),
                    left: RBTree::new(),
                },
                "rust_shm::Creators"
            ),
        })
    }
}
