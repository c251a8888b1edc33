// SPDX-License-Identifier: GPL-2.0

//! The segments of one IPC namespace: ids, keys, limits, totals.
//!
//! There is one [`Registry`] for each namespace that has used the device, made on first use and
//! owned by [`Namespaces`](crate::shm::registry::namespace::Namespaces) until the namespace ends; and by each of
//! its segments. Its [`Table`] is guarded by the lock of the [`IdTable`], a spinlock; finding a
//! segment by id takes no lock.

pub(crate) mod commit;
pub(crate) mod namespace;
pub(crate) mod settings;

use crate::shm::{
    registry::{
        commit::{
            Chunk,
            Pool, //
            CHUNK_PAGES,
        },
        settings::Settings, //
    },
    rules::{
        id::{
            Cycle,
            Id,
            Key,
            Numbering, //
        },
        limits::{
            self,
            Limits,
            Misfit, //
        },
        permission::{
            self,
            Caller,
            Ownership,
            Request, //
        },
        uapi, //
    },
    segment::{
        self,
        creator::{
            Creators,
            Moment, //
        },
        memory,
        Life,
        Plan,
        Remains,
        Segment,
        Shared,
        State, //
    },
    sys::{
        fs::{
            file::Ownerless,
            mount::MountRef, //
        },
        mm::commit::Commitment,
        sync::{
            id_table::{
                Guard,
                IdTable, //
            },
            module_ref::ModuleRef,
            published::Withdrawn, //
        },
        task::ipc_ns::{
            CurrentIpcNamespace,
            NamespaceId, //
        }, //
    }, //
};
use core::ops::DerefMut;
use kernel::{
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex,
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
    /// How many there have been.
    created: u32,
    /// Their size in pages.
    total_pages: usize,
    cycle: Cycle,
    pool: Pool,
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
    namespace: NamespaceId,
    numbering: Numbering,
    #[pin]
    orphans: Orphans,
    #[pin]
    end: Work<Registry>,
    #[pin]
    sweep_later: Work<Registry, 1>,
}

impl_has_work! {
    impl HasWork<Self> for Registry { self.end }
    impl HasWork<Self, 1> for Registry { self.sweep_later }
}

/// What `kernel.shm_rmid_forced` needs: segments that nobody is attached to go with their creators.
///
/// That they are to go is told in atomic context, where the table cannot be gone through. So that is
/// only noted, and done by a work item, or by the next call: whichever is first. No call sees a
/// segment that should be gone.
#[pin_data]
struct Orphans {
    /// Those of creators that had left at this moment are to go.
    due: Atomic<Moment>,
    /// So far, that is done.
    done: Atomic<Moment>,
    /// Creators had left at this moment that could not see the sysctl.
    undecided: Atomic<Moment>,
    /// So far, that is decided.
    decided: Atomic<Moment>,
    /// Held by who removes them.
    #[pin]
    sweeping: Mutex<()>,
}

impl Orphans {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            due: Atomic::new(0),
            done: Atomic::new(0),
            undecided: Atomic::new(0),
            decided: Atomic::new(0),
            sweeping <- new_mutex!((), "rust_shm::Orphans::sweeping"),
        })
    }

    /// Moves a moment on; it never goes back.
    fn move_on(to: &Atomic<Moment>, moment: Moment) {
        let mut now = to.load(Relaxed);
        while now < moment {
            match to.cmpxchg(now, moment, Full) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
    }

    /// Whether nothing is to be done.
    fn are_settled(&self) -> bool {
        self.due.load(Acquire) == self.done.load(Acquire)
            && self.undecided.load(Acquire) == self.decided.load(Acquire)
    }
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
    /// SHM_HUGETLB, with the size of the pages: its logarithm, or 0.
    pub(crate) huge: Option<u32>,
    /// SHM_NORESERVE.
    pub(crate) no_reserve: bool,
}

/// The segments of a namespace in numbers.
pub(crate) struct Census {
    /// How many there are.
    pub(crate) in_use: u32,
    /// How many were made.
    pub(crate) created: u32,
    /// Their size in pages.
    pub(crate) total_pages: usize,
}

/// What `get` needs of the module.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// What the administrator has set.
    pub(crate) settings: &'a Settings,
    /// Who has made segments.
    pub(crate) creators: &'a Arc<Creators>,
}

/// What a new segment has before it is in the table.
#[derive(Default)]
struct Provision<'a> {
    /// The pages of a segment with SHM_HUGETLB, and a reference to the module for their inode.
    pages: Option<(Ownerless<Shared>, ModuleRef)>,
    /// What a large segment commits.
    commitment: Option<Commitment>,
    /// What a small one commits.
    share: Option<PoolShare<'a>>,
}

/// Pages taken from the pool of a registry, until this is dropped. Not to be dropped with the table
/// locked.
struct PoolShare<'a> {
    registry: &'a Registry,
    pages: usize,
}

impl PoolShare<'_> {
    /// The segment has them now.
    fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for PoolShare<'_> {
    fn drop(&mut self) {
        let surplus = self.registry.table.lock().pool.give_back(self.pages);
        drop(surplus);
    }
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
    /// An empty registry for a namespace.
    pub(crate) fn new(
        mount: MountRef<Shared>,
        namespace: NamespaceId,
        numbering: Numbering,
    ) -> impl PinInit<Self> {
        let table = Table {
            keys: RBTree::new(),
            in_use: 0,
            created: 0,
            total_pages: 0,
            cycle: Cycle::new(),
            pool: Pool::new(),
        };
        pin_init!(Self {
            table <- IdTable::new(table),
            mount,
            namespace,
            numbering,
            orphans <- Orphans::new(),
            end <- new_work!("rust_shm::Registry::end"),
            sweep_later <- new_work!("rust_shm::Registry::sweep_later"),
        })
    }

    /// How its ids are made up.
    pub(crate) fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// The filesystem for the inodes of its segments.
    pub(crate) fn mount(&self) -> &MountRef<Shared> {
        &self.mount
    }

    /// Finds or makes a segment, as `ipcget()`. `next_id` is called when a segment is made, for the
    /// id that it is to have; without one, the registry chooses.
    pub(crate) fn get(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: &Limits,
        surroundings: &Surroundings<'_>,
        wanted: &Wanted,
        next_id: impl FnOnce() -> Option<i32>,
    ) -> Result<Id> {
        if wanted.key != Key::PRIVATE {
            if let Some(found) = Self::existing(&this.table.lock(), caller, wanted) {
                return found;
            }
            if !wanted.create {
                return Err(ENOENT);
            }
        }
        Self::create(this, caller, limits, surroundings, wanted, next_id)
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

    /// Whether there is room for a new segment.
    fn room(&self, table: &Locked<'_>, limits: &Limits, wanted: &Wanted) -> Result<usize> {
        let pages = limits.fit(wanted.size, table.total_pages)?;
        if table.in_use >= limits.shmmni.min(self.numbering.max_segments()) {
            return Err(ENOSPC);
        }
        Ok(pages)
    }

    /// Takes pages from the pool, and commits more to it when it has too few. `ENOMEM` if the
    /// kernel will not.
    fn take_from_pool(&self, pages: usize) -> Result<PoolShare<'_>> {
        let mut chunk = None;
        loop {
            let mut table = self.table.lock();
            if let Some(chunk) = chunk.take() {
                table.pool.add(chunk);
            }
            if table.pool.take(pages) {
                return Ok(PoolShare {
                    registry: self,
                    pages,
                });
            }
            drop(table);
            chunk = Some(Chunk::new()?);
        }
    }

    /// Provides what a new segment needs, in the order of `newseg()`.
    fn provide(
        &self,
        caller: &impl Caller,
        limits: &Limits,
        settings: &Settings,
        wanted: &Wanted,
    ) -> Result<Provision<'_>> {
        let total_pages = self.table.lock().total_pages;
        let pages = limits.fit(wanted.size, total_pages)?;
        let mut provision = Provision::default();
        if let Some(size_log) = wanted.huge {
            if !memory::has_huge_pages(size_log) {
                return Err(EINVAL);
            }
            if !permission::allows_huge_pages(caller, || settings.hugetlb_shm_group()) {
                return Err(EPERM);
            }
            let bytes = memory::in_huge_pages(wanted.size).ok_or(ENOMEM)?;
            let file = segment::new_file(&self.mount, wanted.key, bytes)?;
            if !wanted.no_reserve {
                memory::fill(file.page_cache(), bytes)?;
            }
            provision.pages = Some((file, ModuleRef::get()?));
            return Ok(provision);
        }
        limits::file_fits(wanted.size)?;
        if !wanted.no_reserve || settings.overcommit_never() {
            if pages < CHUNK_PAGES {
                provision.share = self.take_from_pool(pages).ok();
            }
            // Also for a small one, where there is not enough for all that the pool takes at once.
            if provision.share.is_none() {
                provision.commitment = Some(Commitment::new(wanted.size)?);
            }
        }
        Ok(provision)
    }

    fn create(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: &Limits,
        surroundings: &Surroundings<'_>,
        wanted: &Wanted,
        next_id: impl FnOnce() -> Option<i32>,
    ) -> Result<Id> {
        // All that is made here is older than the lock, and so dropped after it where it was made
        // in vain.
        let mut provision = this.provide(caller, limits, surroundings.settings, wanted)?;
        let key_node = if wanted.key == Key::PRIVATE {
            None
        } else {
            Some(RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?)
        };
        let segment = Segment::new(Plan {
            registry: this.clone(),
            made: Creators::make(surroundings.creators, this.namespace)?,
            uid: caller.euid(),
            key: wanted.key,
            size: wanted.size,
            huge: provision.pages.as_ref().map(|(file, _)| file.size()),
            mode: wanted.mode,
            is_pooled: provision.share.is_some(),
            commitment: provision.commitment.take(),
            module: ModuleRef::get()?,
        });
        let mut segment = UniqueArc::pin_init(Shared::new(segment), GFP_KERNEL_ACCOUNT)?;
        let ownership = segment.lock().ownership;

        let mut table = this.table.lock();
        if let Some(found) = Self::existing(&table, caller, wanted) {
            return found;
        }
        this.room(&table, limits, wanted)?;
        let numbering = this.numbering;
        let next_id = next_id().and_then(Id::from_user);
        let index = match next_id {
            Some(id) => table.reserve_from(numbering.index(id), numbering.max_segments() - 1)?,
            None => {
                let last_index = numbering.last_index(table.in_use);
                table.reserve(last_index)?
            }
        };
        // The lock may have been given up for a moment.
        let checked = match Self::existing(&table, caller, wanted) {
            Some(found) => Err(found),
            None => this.room(&table, limits, wanted).map_err(Err),
        };
        let pages = match checked {
            Ok(pages) => pages,
            Err(answer) => {
                table.release(index);
                return answer;
            }
        };
        let id = match next_id {
            Some(id) => Cycle::asked_for(numbering, id, index),
            None => table.cycle.next(numbering, index),
        };
        segment.as_mut().value_mut().set_id(id);
        let segment = table.publish(index, segment, |segment| {
            if let Some((pages, module)) = provision.pages.take() {
                segment.provide(pages.give(id.number(), segment.clone(), module));
            }
        });
        if let Some(node) = key_node {
            let named = Named { segment, ownership };
            table.keys.insert(node.into_node(wanted.key, named));
        }
        table.in_use += 1;
        table.created = table.created.wrapping_add(1);
        table.total_pages += pages;
        if let Some(share) = provision.share.take() {
            share.keep();
        }
        Ok(id)
    }

    /// Calls `f` with the segment that has an id, without a lock and without sleeping. `EINVAL` if
    /// there is none, as `ipc_obtain_object_check()`.
    pub(crate) fn with<R>(&self, id: i32, f: impl FnOnce(&Segment) -> Result<R>) -> Result<R> {
        let id = Id::from_user(id).ok_or(EINVAL)?;
        self.table
            .with(self.numbering.index(id), |segment| {
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
        let id = Id::from_user(number).ok_or(EINVAL)?;
        self.table
            .with(self.numbering.index(id), f)
            .unwrap_or(Err(EINVAL))
    }

    /// The segment that has an id, to keep. `EINVAL` if there is none.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<Shared>> {
        let id = Id::from_user(id).ok_or(EINVAL)?;
        self.table
            .get(self.numbering.index(id))
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

    /// Locks the segment that has an id in memory, or unlocks it (SHM_LOCK, SHM_UNLOCK). `EINVAL`
    /// if there is none; `EPERM`, `ENOMEM`.
    pub(crate) fn lock_in_memory(&self, caller: &impl Caller, id: i32, lock: bool) -> Result {
        self.find(id)?.lock_in_memory(caller, lock)
    }

    /// Removes the segment that has an id, at once or with its last detach (IPC_RMID). `EINVAL` if
    /// there is none; `EPERM`.
    pub(crate) fn remove(&self, caller: &impl Caller, id: i32) -> Result {
        let segment = self.find(id)?;
        self.doom(&segment, |ownership| ownership.allows_control(caller))
    }

    /// Takes the key of a segment away, and the segment itself if nobody is attached:
    /// `do_shm_rmid()`. `EINVAL` if it is gone, `EPERM` if it may not.
    fn doom(&self, segment: &Segment, may: impl FnOnce(&Ownership) -> bool) -> Result {
        let mut table = self.table.lock();
        let mut state = segment.lock();
        if state.life == Life::Gone {
            return Err(EINVAL);
        }
        if !may(&state.ownership) {
            return Err(EPERM);
        }
        if state.is_attached() {
            let key = core::mem::replace(&mut state.key, Key::PRIVATE);
            state.life = Life::Doomed;
            drop(state);
            let name = table.forget_key(key);
            drop(table);
            drop(name);
        } else {
            let taken = self.take_out(&mut table, segment, state);
            drop(table);
            drop(taken);
        }
        Ok(())
    }

    /// Takes a segment out whose last mapping is gone, if it was to go then and is not attached
    /// again. Called by segments.
    pub(crate) fn reap(&self, segment: &Segment) {
        let mut table = self.table.lock();
        let mut state = segment.lock();
        if state.is_over() {
            let taken = self.take_out(&mut table, segment, state);
            drop(table);
            drop(taken);
        } else {
            let namespace = state.let_namespace_go();
            drop(state);
            drop(table);
            drop(namespace);
        }
    }

    /// Takes a segment out of the table, for good.
    fn take_out(
        &self,
        table: &mut Locked<'_>,
        segment: &Segment,
        mut state: impl DerefMut<Target = State>,
    ) -> TakenOut {
        let key = state.key;
        let remains = state.end();
        drop(state);
        let pages = segment.pages();
        table.in_use -= 1;
        table.total_pages -= pages;
        TakenOut {
            _remains: remains,
            _name: table.forget_key(key),
            _withdrawn: table.remove(self.numbering.index(segment.id())),
            _surplus: segment
                .is_pooled()
                .then(|| table.pool.give_back(pages))
                .flatten(),
        }
    }

    /// The number of its namespace.
    pub(crate) fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    /// Segments of creators that had left at a moment are to go. It may not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_are_due(&self, moment: Moment) {
        Orphans::move_on(&self.orphans.due, moment);
    }

    /// The same, if the sysctl is set: it is for the next call to see. It may not sleep.
    #[cfg(CONFIG_SYSVIPC)]
    pub(crate) fn orphans_may_be_due(&self, moment: Moment) {
        Orphans::move_on(&self.orphans.undecided, moment);
    }

    /// Removes what `kernel.shm_rmid_forced` says is to go: to be called before the table is looked
    /// at, by a task in the namespace. May sleep.
    pub(crate) fn settle(&self, namespace: &CurrentIpcNamespace<'_>) {
        let orphans = &self.orphans;
        if orphans.are_settled() {
            return;
        }
        let _sweeping = orphans.sweeping.lock();
        let undecided = orphans.undecided.load(Acquire);
        if undecided != orphans.decided.load(Relaxed) {
            if namespace.removal_forced() {
                Orphans::move_on(&orphans.due, undecided);
            }
            orphans.decided.store(undecided, Release);
        }
        self.sweep();
    }

    /// Removes what is due. To be called with `sweeping` locked.
    fn sweep(&self) {
        let orphans = &self.orphans;
        let due = orphans.due.load(Acquire);
        if due == orphans.done.load(Relaxed) {
            return;
        }
        let mut index = 0;
        while let Some((at, segment)) = self.first_from(index) {
            self.remove_orphan(&segment, due);
            index = at + 1;
        }
        orphans.done.store(due, Release);
    }

    /// Removes a segment if its creator had left at a moment, and nobody is attached to it.
    fn remove_orphan(&self, segment: &Segment, due: Moment) {
        let is_orphan = |state: &State| state.is_orphan(due) && !state.is_attached();
        if !is_orphan(&segment.lock()) {
            return;
        }
        let mut table = self.table.lock();
        let state = segment.lock();
        // One that is gone meanwhile is nobody's orphan.
        if is_orphan(&state) {
            let taken = self.take_out(&mut table, segment, state);
            drop(table);
            drop(taken);
        }
    }

    /// How many segments there are and have been, and their size.
    pub(crate) fn census(&self) -> Census {
        let table = self.table.lock();
        Census {
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
        self.highest(&self.table.lock())
    }

    fn highest(&self, table: &Locked<'_>) -> u32 {
        let last = self.numbering.max_segments() - 1;
        table.highest(last).unwrap_or(0)
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
    _surplus: Option<KBox<Chunk>>,
}

/// The namespace has ended: what nobody is attached to goes, the rest with its last detach
/// (`shm_exit_ns()`).
impl WorkItem for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut index = 0;
        while let Some((at, segment)) = this.first_from(index) {
            // One that is gone meanwhile is fine.
            let _ = this.doom(&segment, |_| true);
            index = at + 1;
        }
        // Open devices may hold the registry for long.
        let spare = this.table.lock().pool.take_spare();
        drop(spare);
    }
}

/// Creators have left: what nobody else is attached to goes.
impl WorkItem<1> for Registry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let _sweeping = this.orphans.sweeping.lock();
        this.sweep();
    }
}
