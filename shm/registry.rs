// SPDX-License-Identifier: GPL-2.0

//! The segments of one IPC namespace: ids, keys, limits, totals.
//!
//! There is one [`Registry`] for each namespace that has used the device, made on first use and
//! owned by [`Namespaces`](super::namespace::Namespaces) until the namespace ends; and by each of
//! its segments. Its [`Table`] is guarded by the lock of the [`IdTable`], a spinlock; finding a
//! segment by id takes no lock.

use super::{
    id::{
        Cycle,
        Id,
        Key,
        MAX_SEGMENTS, //
    },
    limits::{
        Limits,
        Misfit, //
    },
    permission::{
        Caller,
        Ownership,
        Request, //
    },
    segment::{
        Life,
        Remains,
        Segment,
        Shared,
        State, //
    },
    sys::{
        id_table::{
            Guard,
            IdTable, //
        },
        module_ref::ModuleRef,
        mount::MountRef,
        published::Withdrawn, //
    },
    uapi, //
};
use core::ops::DerefMut;
use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        UniqueArc, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// What a registry keeps beside the segments themselves.
struct Table {
    /// What a key finds.
    keys: RBTree<Key, Named>,
    /// How many segments there are.
    in_use: u32,
    /// Their size in pages.
    total_pages: usize,
    cycle: Cycle,
}

/// A segment with a key, and what decides who may find it: so that it is found without its lock.
struct Named {
    segment: Arc<Shared>,
    /// That of the segment's state. Both change under the lock of the table.
    ownership: Ownership,
}

type Locked<'a> = Guard<'a, Segment, Table>;

/// The segments of a namespace.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    table: IdTable<Segment, Table>,
    mount: MountRef<Shared>,
    #[pin]
    end: Work<Registry>,
}

impl_has_work! {
    impl HasWork<Self> for Registry { self.end }
}

/// What `get` is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// The key.
    pub(crate) key: Key,
    /// At least so many bytes, or exactly so many of a new one.
    pub(crate) size: usize,
    /// The nine permission bits.
    pub(crate) mode: u32,
    /// IPC_CREAT.
    pub(crate) create: bool,
    /// IPC_EXCL.
    pub(crate) exclusive: bool,
}

impl From<Misfit> for Error {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Size => EINVAL,
            Misfit::Room => ENOSPC,
        }
    }
}

impl Registry {
    /// An empty registry.
    pub(crate) fn new(mount: MountRef<Shared>) -> impl PinInit<Self> {
        let table = Table {
            keys: RBTree::new(),
            in_use: 0,
            total_pages: 0,
            cycle: Cycle::new(),
        };
        pin_init!(Self {
            table <- IdTable::new(table),
            mount,
            end <- new_work!("rust_shm::Registry::end"),
        })
    }

    /// The filesystem for the inodes of its segments.
    pub(crate) fn mount(&self) -> &MountRef<Shared> {
        &self.mount
    }

    /// Finds or makes a segment, as `ipcget()`.
    pub(crate) fn get(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: &Limits,
        wanted: &Wanted,
    ) -> Result<Id> {
        if wanted.key != Key::PRIVATE {
            if let Some(found) = Self::existing(&this.table.lock(), caller, wanted) {
                return found;
            }
            if !wanted.create {
                return Err(ENOENT);
            }
        }
        Self::create(this, caller, limits, wanted)
    }

    /// What `get` says to a segment that has the key; `None` if there is none. In the order of
    /// `ipcget_public()`.
    fn existing(table: &Locked<'_>, caller: &impl Caller, wanted: &Wanted) -> Option<Result<Id>> {
        if wanted.key == Key::PRIVATE {
            return None;
        }
        let named = table.keys.get(&wanted.key)?;
        let allows = |request| named.ownership.allows(caller, request);
        Some(if wanted.create && wanted.exclusive {
            Err(EEXIST)
        } else if named.segment.size() < wanted.size {
            Err(EINVAL)
        } else if !allows(Request::from_mode(wanted.mode)) {
            Err(EACCES)
        } else {
            Ok(named.segment.id())
        })
    }

    /// Whether there is room for a new segment; how many pages it takes.
    fn room(table: &Locked<'_>, limits: &Limits, wanted: &Wanted) -> Result<usize> {
        let pages = limits.fit(wanted.size, table.total_pages)?;
        if table.in_use >= limits.shmmni.min(MAX_SEGMENTS) {
            return Err(ENOSPC);
        }
        Ok(pages)
    }

    fn create(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: &Limits,
        wanted: &Wanted,
    ) -> Result<Id> {
        // What needs no look at the table first: before any memory is spent.
        limits.fit(wanted.size, 0)?;
        let key_node = if wanted.key == Key::PRIVATE {
            None
        } else {
            Some(RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?)
        };
        let segment = Segment::new(
            this.clone(),
            caller.euid(),
            wanted.key,
            wanted.size,
            wanted.mode,
            ModuleRef::get()?,
        );
        let mut segment = UniqueArc::pin_init(Shared::new(segment), GFP_KERNEL_ACCOUNT)?;
        let ownership = segment.lock().ownership;

        let mut table = this.table.lock();
        if let Some(found) = Self::existing(&table, caller, wanted) {
            return found;
        }
        Self::room(&table, limits, wanted)?;
        let last_index = Cycle::last_index(table.in_use);
        let index = table.reserve(last_index)?;
        // The lock may have been given up for a moment.
        let checked = match Self::existing(&table, caller, wanted) {
            Some(found) => Err(found),
            None => Self::room(&table, limits, wanted).map_err(Err),
        };
        let pages = match checked {
            Ok(pages) => pages,
            Err(answer) => {
                table.release(index);
                return answer;
            }
        };
        let id = table.cycle.next(index);
        segment.as_mut().value_mut().set_id(id);
        let segment = table
            .publish(index, segment)
            .inspect_err(|_| table.release(index))?;
        if let Some(node) = key_node {
            let named = Named { segment, ownership };
            table.keys.insert(node.into_node(wanted.key, named));
        }
        table.in_use += 1;
        table.total_pages += pages;
        Ok(id)
    }

    /// Calls `f` with the segment that has an id, without a lock and without sleeping. `EINVAL` if
    /// there is none, as `ipc_obtain_object_check()`.
    pub(crate) fn with<R>(&self, id: i32, f: impl FnOnce(&Segment) -> Result<R>) -> Result<R> {
        let id = Id::from_user(id).ok_or(EINVAL)?;
        self.table
            .with(id.index(), |segment| {
                if segment.id() == id {
                    f(segment)
                } else {
                    Err(EINVAL)
                }
            })
            .unwrap_or(Err(EINVAL))
    }

    /// The same for the segment at the index that a number has, whatever its sequence number: as
    /// `ipc_obtain_object_idr()`.
    pub(crate) fn with_index<R>(
        &self,
        number: i32,
        f: impl FnOnce(&Segment) -> Result<R>,
    ) -> Result<R> {
        let index = Id::from_user(number).ok_or(EINVAL)?.index();
        self.table.with(index, f).unwrap_or(Err(EINVAL))
    }

    /// The segment that has an id, to keep. `EINVAL` if there is none.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<Shared>> {
        let id = Id::from_user(id).ok_or(EINVAL)?;
        self.table
            .get(id.index())
            .filter(|segment| segment.id() == id)
            .ok_or(EINVAL)
    }

    /// The first segment at `index` or above, and where it is.
    pub(crate) fn first_from(&self, index: u32) -> Option<(u32, Arc<Shared>)> {
        self.table.first_from(index)
    }

    /// Sets owner and mode of the segment that has an id (IPC_SET). `EINVAL` if there is none;
    /// `EPERM`.
    pub(crate) fn set(&self, caller: &impl Caller, id: i32, new: &uapi::Stat) -> Result {
        let segment = self.find(id)?;
        let mut table = self.table.lock();
        let (key, ownership) = segment.set(caller, new)?;
        if let Some(named) = table.keys.get_mut(&key) {
            named.ownership = ownership;
        }
        Ok(())
    }

    /// Removes the segment that has an id, at once or with its last detach (IPC_RMID). `EINVAL` if
    /// there is none; `EPERM`.
    pub(crate) fn remove(&self, caller: &impl Caller, id: i32) -> Result {
        let segment = self.find(id)?;
        if !segment.lock().ownership.allows_control(caller) {
            return Err(EPERM);
        }
        self.doom(&segment)
    }

    /// Takes the key of a segment away, and the segment itself if nobody is attached:
    /// `do_shm_rmid()`. `EIDRM` if it is gone.
    fn doom(&self, segment: &Segment) -> Result {
        let mut table = self.table.lock();
        let mut state = segment.lock();
        if state.life == Life::Gone {
            return Err(EIDRM);
        }
        if state.is_attached() {
            let key = core::mem::replace(&mut state.key, Key::PRIVATE);
            state.life = Life::Doomed;
            drop(state);
            let name = table.forget_key(key);
            drop(table);
            drop(name);
        } else {
            let taken = Self::take_out(&mut table, segment, state);
            drop(table);
            drop(taken);
        }
        Ok(())
    }

    /// Takes a segment out whose last mapping is gone, if it was to go then and is not attached
    /// again. Called by segments.
    pub(crate) fn reap(&self, segment: &Segment) {
        let mut table = self.table.lock();
        let state = segment.lock();
        if state.is_over() {
            let taken = Self::take_out(&mut table, segment, state);
            drop(table);
            drop(taken);
        }
    }

    /// Takes a segment out of the table, for good.
    fn take_out(
        table: &mut Locked<'_>,
        segment: &Segment,
        mut state: impl DerefMut<Target = State>,
    ) -> TakenOut {
        let key = state.key;
        let remains = state.end();
        drop(state);
        table.in_use -= 1;
        table.total_pages -= segment.memory().pages();
        TakenOut {
            _remains: remains,
            _name: table.forget_key(key),
            _withdrawn: table.remove(segment.id().index()),
        }
    }

    /// How much there is now (SHM_INFO), and the highest index in use.
    pub(crate) fn usage(&self) -> (uapi::Usage, u32) {
        let (used_ids, total_pages, highest) = {
            let table = self.table.lock();
            (table.in_use, table.total_pages, Self::highest(&table))
        };
        let mut resident_pages = 0;
        let mut index = 0;
        while let Some((at, segment)) = self.first_from(index) {
            resident_pages += segment.resident_pages() as u64;
            index = at + 1;
        }
        let usage = uapi::Usage {
            used_ids,
            reserved: 0,
            shm_tot: total_pages as u64,
            shm_rss: resident_pages,
            shm_swp: 0,
            swap_attempts: 0,
            swap_successes: 0,
        };
        (usage, highest)
    }

    /// The highest index in use.
    pub(crate) fn highest_index(&self) -> u32 {
        Self::highest(&self.table.lock())
    }

    fn highest(table: &Locked<'_>) -> u32 {
        table.highest(MAX_SEGMENTS - 1).unwrap_or(0)
    }
}

impl Table {
    fn forget_key(&mut self, key: Key) -> Option<RBTreeNode<Key, Named>> {
        if key == Key::PRIVATE {
            None
        } else {
            self.keys.remove_node(&key)
        }
    }
}

/// What is left when a segment has been taken out of the table; to be dropped without a lock held.
struct TakenOut {
    _remains: Remains,
    _name: Option<RBTreeNode<Key, Named>>,
    _withdrawn: Option<Withdrawn<Segment>>,
}

/// The namespace has ended: what nobody is attached to goes, the rest with its last detach
/// (`shm_exit_ns()`).
impl WorkItem for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut index = 0;
        while let Some((at, segment)) = this.first_from(index) {
            // One that is gone meanwhile is fine.
            let _ = this.doom(&segment);
            index = at + 1;
        }
    }
}
