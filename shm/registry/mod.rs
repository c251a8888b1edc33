// SPDX-License-Identifier: GPL-2.0

//! The segments of one IPC namespace: ids, keys, limits, totals.
//!
//! There is one [`Registry`] for each namespace that has used the device, made on first use and
//! owned by [`Namespaces`](namespace::Namespaces) until the namespace ends, and by each of its
//! segments. Its [`Table`] is guarded by the lock of the [`IdTable`], a spinlock; finding a segment
//! by id or by key takes no lock of it.

pub(crate) mod commit;
pub(crate) mod create;
pub(crate) mod namespace;
mod orphans;
pub(crate) mod restore;
pub(crate) mod settings;

use crate::shm::{
    rules::{
        id::{
            Cycle,
            Id,
            IdLayout, //
        },
        permission::{
            Caller,
            Ownership, //
        },
        uapi, //
    },
    segment::{
        memory::Mounts,
        state::{
            Home,
            Life,
            Released,
            State, //
        },
        Segment,
        Shared, //
    },
    sys::{
        events,
        served,
        sync::{
            id_table,
            module_ref::ModuleRef,
            raw_spinlock::{
                new_raw_spinlock,
                RawSpinLock, //
            },
            rcu_arc::RcuDeferred, //
        },
        task::ipc_ns::NamespaceId, //
    }, //
};
use core::ops::DerefMut;
use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    rbtree::RBTreeNode,
    sync::Arc,
    workqueue, //
};

/// What a registry keeps beside the segments themselves.
struct Table {
    /// How many segments there are.
    in_use: u32,
    /// Keeps the module loaded while there is one: all CPUs count in one word, and segments in others.
    module: Option<ModuleRef>,
    /// How many there have been.
    created: u32,
    /// Their size in pages.
    total_pages: usize,
    cycle: Cycle,
    pool: commit::Pool,
}

type Locked<'a> = id_table::Guard<'a, Segment, Table>;

/// The segments of a namespace.
///
/// In this order, what each call reads shares no cache line with what is written when a segment is made
/// or goes: the reference count before it, and the last part of the table.
#[pin_data]
#[repr(C)]
pub(crate) struct Registry {
    /// The node that [`Namespaces`](namespace::Namespaces) had for it, from the end of the namespace until
    /// a work item frees it: a kprobe handler cannot.
    #[pin]
    node: RawSpinLock<Option<RBTreeNode<NamespaceId, Arc<Registry>>>>,
    #[pin]
    end: workqueue::Work<Registry>,
    #[pin]
    sweep_later: workqueue::Work<Registry, 1>,
    #[pin]
    orphans: orphans::Orphans,
    mounts: Arc<Mounts>,
    namespace: NamespaceId,
    id_layout: IdLayout,
    #[pin]
    table: id_table::IdTable<Segment, Table>,
}

impl_has_work! {
    impl HasWork<Self> for Registry { self.end }
    impl HasWork<Self, 1> for Registry { self.sweep_later }
}

/// The segments of a namespace in numbers.
pub(crate) struct Totals {
    /// How many there are.
    pub(crate) in_use: u32,
    /// How many were made.
    pub(crate) created: u32,
    /// Their size in pages.
    pub(crate) total_pages: usize,
}

impl Registry {
    /// An empty registry for a namespace.
    pub(crate) fn new(
        mounts: Arc<Mounts>,
        namespace: NamespaceId,
        id_layout: IdLayout,
    ) -> impl PinInit<Self> {
        let table = Table {
            in_use: 0,
            module: None,
            created: 0,
            total_pages: 0,
            cycle: Cycle::new(),
            pool: commit::Pool::new(),
        };
        pin_init!(Self {
            table <- id_table::IdTable::new(table),
            mounts,
            namespace,
            id_layout,
            orphans <- orphans::Orphans::new(),
            node <- new_raw_spinlock!(None, "rust_shm::Registry::node"),
            end <- new_work!("rust_shm::Registry::end"),
            sweep_later <- new_work!("rust_shm::Registry::sweep_later"),
        })
    }

    /// Keeps the node that the map of registries had for it, and returns the registry, as the namespace has
    /// ended. Called by a kprobe handler.
    #[cfg(CONFIG_IPC_NS)]
    fn ended(self: Arc<Self>, node: Option<RBTreeNode<NamespaceId, Arc<Self>>>) -> Arc<Self> {
        *self.node.lock() = node;
        self
    }

    /// Calls `f` with a segment, without a lock and without sleeping. `EINVAL` if there is none. `exactly`
    /// that with this id, as `ipc_obtain_object_check()`, or the one at the id's index, whatever its
    /// sequence number, as `ipc_obtain_object_idr()`.
    pub(crate) fn with<R>(
        &self,
        id: i32,
        exactly: bool,
        f: impl FnOnce(&Segment) -> Result<R>,
    ) -> Result<R> {
        let id = Id::from_user(id).ok_or(EINVAL)?;
        self.table
            .with(self.id_layout.index(id), |segment| {
                if exactly && segment.id() != id {
                    return Err(EINVAL);
                }
                f(segment)
            })
            .unwrap_or(Err(EINVAL))
    }

    /// The sequence number in an id.
    pub(crate) fn sequence(&self, id: Id) -> u32 {
        self.id_layout.sequence(id)
    }

    /// A reference to the segment that has an id. `EINVAL` if there is none.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<Shared>> {
        let id = Id::from_user(id).ok_or(EINVAL)?;
        self.table
            .get(self.id_layout.index(id))
            .filter(|segment| segment.id() == id)
            .ok_or(EINVAL)
    }

    /// Calls `f` with each segment at `index` or above and where it is, until it answers; without a lock
    /// and without sleeping.
    pub(crate) fn walk<R>(
        &self,
        index: u32,
        mut f: impl FnMut(u32, &Segment) -> Option<R>,
    ) -> Option<R> {
        let last = self.id_layout.max_segments() - 1;
        self.table
            .walk(index, last, |index, segment| f(index, &segment))
    }

    /// The first segment at `index` or above, and where it is.
    pub(crate) fn first_from(&self, index: u32) -> Option<(u32, Arc<Shared>)> {
        self.table.first_from(index)
    }

    /// Sets owner and mode of the segment that has an id (IPC_SET). `EINVAL` if there is none;
    /// `EPERM`.
    pub(crate) fn set(&self, caller: &impl Caller, id: i32, new: &uapi::Stat) -> Result {
        self.find(id)?.set(caller, new)
    }

    /// Locks the segment that has an id in memory, or unlocks it (SHM_LOCK, SHM_UNLOCK). `EINVAL`
    /// if there is none; `EPERM`, `ENOMEM`.
    pub(crate) fn lock_in_memory(&self, caller: &impl Caller, id: i32, lock: bool) -> Result {
        self.find(id)?.lock_in_memory(caller, lock)
    }

    /// Removes the segment that has an id, at once or with its last detach (IPC_RMID). `EINVAL` if
    /// there is none; `EPERM`.
    pub(crate) fn remove(&self, caller: &impl Caller, id: i32) -> Result {
        let segment = self.find(id)?;
        self.mark_destroyed(&segment, |ownership| ownership.allows_control(caller))
    }

    /// Takes the key of a segment away, and the segment itself if nobody holds it:
    /// `do_shm_rmid()`. `EINVAL` if it is gone, `EPERM` if it may not.
    fn mark_destroyed(&self, segment: &Segment, may: impl FnOnce(&Ownership) -> bool) -> Result {
        let mut table = self.table.lock();
        let mut state = segment.lock();
        if state.life == Life::Gone {
            return Err(EINVAL);
        }
        if !may(&state.ownership) {
            return Err(EPERM);
        }
        if state.is_held() {
            state.mark_destroyed();
            drop(state);
            table.forget_key(self.id_layout.index(segment.id()));
        } else {
            let removed = self.take_out(&mut table, segment, state);
            drop(table);
            drop(removed);
        }
        Ok(())
    }

    /// Takes a segment out of the table, for good.
    fn take_out(
        &self,
        table: &mut Locked<'_>,
        segment: &Segment,
        mut state: impl DerefMut<Target = State>,
    ) -> Removed {
        let released = state.end();
        drop(state);
        let pages = segment.pages();
        events::remove(|| {
            let size = segment.size() as u64;
            (self.namespace.inode(), segment.id().number(), size)
        });
        table.in_use -= 1;
        table.total_pages -= pages;
        Removed {
            _released: released,
            _module: (table.in_use == 0).then(|| table.module.take()).flatten(),
            _deferred: table.remove(self.id_layout.index(segment.id())),
            _surplus: segment
                .is_pooled()
                .then(|| table.pool.give_back(pages))
                .flatten(),
        }
    }

    /// Ends that the system calls of the namespace are served. `EBUSY` while there are segments.
    pub(crate) fn end_serving(&self) -> Result {
        let ended = {
            let table = self.table.lock();
            // What another task is switching on is on after this.
            if !served::serves(self.namespace) {
                return Ok(());
            }
            if table.in_use != 0 {
                return Err(EBUSY);
            }
            // With the lock: a call that makes a segment looks after this, or its segment was seen.
            served::end(self.namespace)
        };
        if let Some(ended) = ended {
            ended.wait();
        }
        Ok(())
    }

    /// How many segments there are and have been, and their size.
    pub(crate) fn totals(&self) -> Totals {
        let table = self.table.lock();
        Totals {
            in_use: table.in_use,
            created: table.created,
            total_pages: table.total_pages,
        }
    }

    /// How much there is now (SHM_INFO), and the highest index in use.
    pub(crate) fn usage(&self) -> (uapi::Usage, u32) {
        let (used_ids, total_pages, highest) = {
            let table = self.table.lock();
            (table.in_use, table.total_pages, self.highest(&table))
        };
        /// Readers do not wait for more.
        const AT_ONCE: u32 = 64;
        let (mut shm_rss, mut shm_swp) = (0, 0);
        let mut next = Some(0);
        while let Some(from) = next {
            let mut left = AT_ONCE;
            next = self.walk(from, |index, segment| {
                let (rss, swap) = segment.rss_and_swap();
                shm_rss += rss as u64;
                shm_swp += swap as u64;
                left -= 1;
                (left == 0).then_some(index + 1)
            });
        }
        let usage = uapi::Usage {
            used_ids,
            reserved: 0,
            shm_tot: total_pages as u64,
            shm_rss,
            shm_swp,
            swap_attempts: 0,
            swap_successes: 0,
        };
        (usage, highest)
    }

    /// The highest index in use.
    pub(crate) fn highest_index(&self) -> u32 {
        self.highest(&self.table.lock())
    }

    fn highest(&self, table: &Locked<'_>) -> u32 {
        let last = self.id_layout.max_segments() - 1;
        table.highest(last).unwrap_or(0)
    }
}

impl Home for Registry {
    fn reap(&self, segment: &Segment) {
        let mut table = self.table.lock();
        let mut state = segment.lock();
        if state.may_destroy() {
            let removed = self.take_out(&mut table, segment, state);
            drop(table);
            drop(removed);
        } else {
            let namespace = state.release_namespace();
            drop(state);
            drop(table);
            drop(namespace);
        }
    }

    fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    fn mounts(&self) -> &Mounts {
        &self.mounts
    }
}

impl Table {
    /// Keeps the module loaded from now on, until the last segment goes. `ENODEV` if it is being
    /// unloaded.
    fn keep_module(&mut self) -> Result {
        if self.module.is_none() {
            self.module = Some(ModuleRef::get()?);
        }
        Ok(())
    }
}

/// What is left when a segment has been taken out of the table; to be dropped without a lock held.
struct Removed {
    _released: Released,
    _deferred: Option<RcuDeferred<Segment>>,
    _surplus: Option<KBox<commit::Chunk>>,
    _module: Option<ModuleRef>,
}

/// The namespace has ended: what nobody holds goes, the rest with its last detach
/// (`shm_exit_ns()`).
impl workqueue::WorkItem for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let node = this.node.lock().take();
        drop(node);
        let mut index = 0;
        while let Some((at, segment)) = this.first_from(index) {
            // One that is gone meanwhile is fine.
            let _ = this.mark_destroyed(&segment, |_| true);
            index = at + 1;
        }
        // Open devices may hold the registry for long.
        let spare = this.table.lock().pool.take_spare();
        drop(spare);
        drop(served::end(this.namespace));
    }
}
