// SPDX-License-Identifier: GPL-2.0

//! Get: finds a segment by its key, or makes one. As `ipcget()` and `newseg()`.

use super::{
    commit,
    restore::Restored,
    settings::Settings,
    Locked,
    Registry, //
};
use crate::shm::{
    rules::{
        id::{
            Cycle,
            Id,
            Key, //
        },
        limits::{
            self,
            LimitError, //
            Limits,
        },
        permission::{
            self,
            Caller, //
        }, //
    },
    segment::{
        self,
        creator::Creators,
        memory,
        state::Life,
        NewSegment,
        Segment,
        Shared, //
    },
    sys::{
        events,
        fs::shmem_file::{
            Commit,
            ShmemFile, //
        },
        served,
        sync::{
            id_table::{
                Hash,
                Room, //
            },
            queue::OwnedQueue, //
        },
        task::{
            cred,
            pid::Recorded, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    }, //
};

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
    /// It is a system call: makes a segment only while the namespace is served.
    pub(crate) if_served: bool,
}

/// Which id a new segment gets.
#[derive(Clone, Copy)]
pub(crate) enum NewId {
    /// The next by the registry's cycle.
    Next,
    /// This one, or the next free index after it (`kernel.shm_next_id`).
    From(Id),
    /// This one.
    Exactly(Id),
}

/// What `get` needs of the module.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// What the administrator has set.
    pub(crate) settings: &'a Settings,
    /// The threads that have made segments.
    pub(crate) creators: &'a Arc<Creators>,
    /// For work that is done in parallel.
    pub(crate) queue: &'a OwnedQueue,
}

/// What a new segment has before it is in the table.
struct Provision<'a> {
    /// Its file, where that is made now: of huge pages, or one that commits the whole size itself.
    pages: Option<ShmemFile>,
    /// What the file commits.
    commit: Commit,
    /// What a small segment commits instead.
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

/// A key as the table has it.
fn bits(key: Key) -> u32 {
    // CAST: Of the same size.
    key.0 as u32
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Size => EINVAL,
            LimitError::Full => ENOSPC,
        }
    }
}

impl Registry {
    /// Finds or makes a segment, as `ipcget()`. `limits` and `next_id` are called when a segment is
    /// made, for those that hold and for the id that it is to have; without one, the registry chooses.
    pub(crate) fn get(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: impl FnOnce() -> Limits,
        context: &Context<'_>,
        wanted: &Wanted,
        next_id: impl FnOnce() -> Option<i32>,
    ) -> Result<Id> {
        let key = this.hash(wanted.key);
        if key.is_some() {
            // Without the lock of the table it may be missed.
            let found = this.existing(caller, wanted, key);
            if let Some(found) = found.or_else(|| this.existing_for_sure(caller, wanted, key)) {
                return found;
            }
            if !wanted.create {
                return Err(ENOENT);
            }
        }
        let new_id = || {
            next_id()
                .and_then(Id::from_user)
                .map_or(NewId::Next, NewId::From)
        };
        Self::create(this, caller, &limits(), context, wanted, key, new_id, None)
    }

    /// What a key is found by; `None` for IPC_PRIVATE.
    pub(super) fn hash(&self, key: Key) -> Option<Hash> {
        (key != Key::PRIVATE).then(|| self.table.hash(bits(key)))
    }

    /// What `get` says to a segment that has the key; `None` if there is none, or if one was missed,
    /// which happens only without the lock of the table.
    fn existing(
        &self,
        caller: &impl Caller,
        wanted: &Wanted,
        key: Option<Hash>,
    ) -> Option<Result<Id>> {
        self.table
            .with_key(key?, |segment| Self::answer(segment, caller, wanted))
    }

    /// The same, where nothing is missed.
    pub(super) fn existing_for_sure(
        &self,
        caller: &impl Caller,
        wanted: &Wanted,
        key: Option<Hash>,
    ) -> Option<Result<Id>> {
        let _locked = self.table.lock();
        self.existing(caller, wanted, key)
    }

    /// What `get` says to a segment, if that is the one with the key. In the order of
    /// `ipcget_public()`.
    fn answer(segment: &Segment, caller: &impl Caller, wanted: &Wanted) -> Option<Result<Id>> {
        if segment.first_key() != wanted.key {
            return None;
        }
        let state = segment.lock();
        if state.life != Life::Live {
            return None;
        }
        Some(if wanted.create && wanted.exclusive {
            Err(EEXIST)
        } else if segment.size() < wanted.size {
            Err(EINVAL)
        } else if !state
            .ownership
            .allows(caller, permission::Request::from_mode(wanted.mode))
        {
            Err(EACCES)
        } else {
            Ok(segment.id())
        })
    }

    /// How many segments there may be.
    fn most(&self, limits: &Limits) -> u32 {
        limits.shmmni.min(self.id_layout.max_segments())
    }

    /// Whether there is room for a new segment. `PASS` for a system call in a namespace that is not served
    /// any more: `end_serving()` has seen that there was no segment.
    fn room(&self, table: &Locked<'_>, limits: &Limits, wanted: &Wanted) -> Result<usize> {
        if wanted.if_served && !served::serves(self.namespace) {
            return Err(served::PASS);
        }
        let pages = limits.fit(wanted.size, table.total_pages)?;
        if table.in_use >= self.most(limits) {
            return Err(ENOSPC);
        }
        Ok(pages)
    }

    /// Looks whether the size fits, and takes what a small segment commits from the pool; `None`
    /// where a segment is not small, or the kernel does not commit as much as the pool takes at once.
    fn take_from_pool(&self, limits: &Limits, size: usize) -> Result<Option<PoolShare<'_>>> {
        let mut chunk = None;
        loop {
            let mut table = self.table.lock();
            let pages = limits.fit(size, table.total_pages)?;
            if let Some(chunk) = chunk.take() {
                table.pool.add(chunk);
            }
            if pages >= commit::CHUNK_PAGES {
                return Ok(None);
            }
            if table.pool.take(pages) {
                return Ok(Some(PoolShare {
                    registry: self,
                    pages,
                }));
            }
            drop(table);
            chunk = match commit::Chunk::new() {
                Ok(chunk) => Some(chunk),
                Err(_) => return Ok(None),
            };
        }
    }

    /// Provides what a new segment needs, in the order of `newseg()`.
    fn provide(
        &self,
        caller: &impl Caller,
        limits: &Limits,
        context: &Context<'_>,
        wanted: &Wanted,
    ) -> Result<Provision<'_>> {
        let mut provision = Provision {
            pages: None,
            commit: Commit::ByOwner,
            share: None,
        };
        let new_file =
            |mount, bytes, commit| segment::new_file(mount, wanted.key, bytes, commit).map(Some);
        if let Some(size_log) = wanted.huge {
            limits.fit(wanted.size, self.totals().total_pages)?;
            if !memory::has_huge_pages(size_log) {
                return Err(EINVAL);
            }
            if !permission::allows_huge_pages(caller, || context.settings.hugetlb_shm_group())? {
                return Err(EPERM);
            }
            let bytes = memory::in_huge_pages(wanted.size).ok_or(ENOMEM)?;
            // As on the built-in, such a segment does not count against the commit limit.
            provision.pages = new_file(self.mounts.huge(), bytes, provision.commit)?;
            if let Some(file) = &provision.pages {
                file.promise_huge();
                if !wanted.no_reserve {
                    memory::fill(file, context.queue)?;
                }
            }
        } else if wanted.no_reserve && !context.settings.overcommit_never()? {
            limits.fit(wanted.size, self.totals().total_pages)?;
            limits::file_fits(wanted.size)?;
            provision.commit = Commit::Touched;
        } else {
            provision.share = self.take_from_pool(limits, wanted.size)?;
            limits::file_fits(wanted.size)?;
            if provision.share.is_none() {
                provision.commit = Commit::WholeSize;
                provision.pages = new_file(self.mounts.current(), wanted.size, provision.commit)?;
            }
        }
        Ok(provision)
    }

    /// Makes a segment, if there is none with its key; as it was, if it is restored.
    #[expect(clippy::too_many_arguments)]
    pub(super) fn create(
        this: &Arc<Self>,
        caller: &impl Caller,
        limits: &Limits,
        context: &Context<'_>,
        wanted: &Wanted,
        key: Option<Hash>,
        new_id: impl FnOnce() -> NewId,
        mut restored: Option<Restored>,
    ) -> Result<Id> {
        // All that is made here is older than the lock, and so dropped after it where it was made
        // in vain.
        let mut provision = this.provide(caller, limits, context, wanted)?;
        let mut room = match key {
            Some(_) => this.table.room_for_key(this.most(limits))?,
            None => Room::NONE,
        };
        let (uid, gid) = (caller.euid(), cred::egid());
        let ownership = permission::Ownership {
            uid,
            gid,
            cuid: uid,
            cgid: gid,
            mode: wanted.mode,
        };
        let mut record = None;
        let (creator, made_by, is_open) = match restored.take() {
            None => {
                let creator = Creators::add_segment(context.creators, this.namespace)?;
                (Some(creator), Recorded::current(), false)
            }
            Some(restored) => {
                record = restored.record;
                (None, restored.made_by, record.is_none())
            }
        };
        if let Some(record) = &mut record {
            record.lock(limits::pages(wanted.size).ok_or(EINVAL)?)?;
        }
        let segment = Segment::new(NewSegment {
            home: this.clone(),
            creator,
            made_by,
            is_open,
            ownership,
            key: wanted.key,
            size: wanted.size,
            is_huge: wanted.huge.is_some(),
            no_reserve: wanted.no_reserve,
            commit: provision.commit,
            pages: provision.pages.take(),
        });
        let mut segment = UniqueArc::pin_init(Shared::new(segment), GFP_KERNEL_ACCOUNT)?;

        let mut table = this.table.lock();
        if let Some(found) = this.existing(caller, wanted, key) {
            return found;
        }
        this.room(&table, limits, wanted)?;
        let id_layout = this.id_layout;
        let new_id = new_id();
        let index = match new_id {
            NewId::Exactly(id) => {
                let index = id_layout.index(id);
                let reserved = table.reserve_from(index, index);
                reserved.map_err(|e| if e == ENOSPC { EEXIST } else { e })?
            }
            NewId::From(id) => {
                table.reserve_from(id_layout.index(id), id_layout.max_segments() - 1)?
            }
            NewId::Next => {
                let last_index = id_layout.last_index(table.in_use);
                table.reserve(last_index)?
            }
        };
        // The lock may have been given up for a moment.
        let checked = match this.existing(caller, wanted, key) {
            Some(found) => Err(found),
            None => this
                .room(&table, limits, wanted)
                .and_then(|pages| table.keep_module().map(|()| pages))
                .map_err(Err),
        };
        let pages = match checked {
            Ok(pages) => pages,
            Err(answer) => {
                table.release(index);
                return answer;
            }
        };
        let id = match new_id {
            NewId::From(id) | NewId::Exactly(id) => Cycle::asked_for(id_layout, id, index),
            NewId::Next => table.cycle.next(id_layout, index),
        };
        segment.as_mut().value_mut().set_id(id);
        if let Some(record) = &mut record {
            segment.lock().restore(record);
        }
        table.publish(index, segment, key, &mut room);
        table.in_use += 1;
        table.created = table.created.wrapping_add(1);
        table.total_pages += pages;
        if let Some(share) = provision.share.take() {
            share.keep();
        }
        events::create(|| {
            let (namespace, size) = (this.namespace.inode(), wanted.size as u64);
            (namespace, id.number(), bits(wanted.key), size, wanted.mode)
        });
        Ok(id)
    }
}
