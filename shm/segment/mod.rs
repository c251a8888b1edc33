// SPDX-License-Identifier: GPL-2.0

//! One segment: its life, its attach count, times, process ids, owner and pages.
//!
//! There is one [`Segment`] for each id, made by `get`. The table it is in owns it until it is
//! removed; then each of its attaches does, through its file. What changes of it is a [`State`]
//! behind a spinlock of its own, which is taken inside the lock of the table, never around it.

pub(crate) mod creator;
pub(crate) mod descriptor;
mod mapping;
pub(crate) mod memory;
pub(crate) mod restore;
pub(crate) mod stat;
pub(crate) mod state;

use self::{
    creator::CreatorRef,
    state::{
        Home,
        Life,
        State, //
    }, //
};
use crate::shm::{
    rules::{
        id::{
            Id,
            Key, //
        },
        limits,
        permission::{
            Caller,
            Ownership,
            Request,
            PERMISSION_BITS, //
        },
        uapi, //
    },
    sys::{
        compat::{
            eidrm,
            new_spinlock_of, //
        },
        fs::{
            file::AttachFile,
            mapping::Access,
            mount::TmpfsMount,
            shmem_file::{
                Commit,
                ShmemFile,
                ShmemRef, //
            }, //
        },
        mm::memlock::LockedPages,
        sync::rcu_arc::RcuObject,
        task::{
            cred,
            ipc_ns::CurrentIpcNamespace,
            pid::Recorded,
            time, //
        }, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// A segment as everything but its table sees it: counted, and found under RCU.
pub(crate) type Shared = RcuObject<Segment>;

/// A segment.
#[pin_data]
pub(crate) struct Segment {
    /// Its [`Id`], once it has one: before the table shows it to anybody.
    id: Id,
    /// Of which IPC namespace, as others see it.
    namespace: u32,
    size: usize,
    /// The key that it was made with: its files have it in their names, also when it is removed.
    first_key: Key,
    /// Who made it, as others see it.
    made_by: Option<Recorded>,
    is_huge: bool,
    /// Whether it was made with SHM_NORESERVE.
    no_reserve: bool,
    commit: Commit,
    #[pin]
    state: SpinLock<State>,
}

/// What a new segment is made of.
pub(crate) struct NewSegment {
    /// The table it will be in.
    pub(crate) home: Arc<dyn Home>,
    /// Who makes it, for `kernel.shm_rmid_forced`.
    pub(crate) creator: Option<CreatorRef>,
    /// Who makes it, as others see it.
    pub(crate) made_by: Option<Recorded>,
    /// Whether it is being restored.
    pub(crate) is_open: bool,
    /// Its owner, and the nine permission bits.
    pub(crate) ownership: Ownership,
    /// Its key.
    pub(crate) key: Key,
    /// Its size in bytes, as asked for.
    pub(crate) size: usize,
    /// Whether it is of huge pages (SHM_HUGETLB).
    pub(crate) is_huge: bool,
    /// Whether it was asked for with SHM_NORESERVE.
    pub(crate) no_reserve: bool,
    /// What its file commits, or will when it is made.
    pub(crate) commit: Commit,
    /// Its pages, where they are made before the first attach.
    pub(crate) pages: Option<ShmemFile>,
}

/// A counted attach that is under way: the segment does not go meanwhile.
pub(crate) struct Pinned<'a> {
    segment: &'a Arc<Shared>,
}

/// Makes the file of a segment that is made with a key; its name is that of the built-in's.
pub(crate) fn new_file(
    mount: &TmpfsMount,
    key: Key,
    bytes: usize,
    commit: Commit,
) -> Result<ShmemFile> {
    ShmemFile::new(mount, fmt!("SYSV{:08x}", key.0), bytes, commit)
}

impl Segment {
    /// A new segment.
    pub(crate) fn new(new: NewSegment) -> impl PinInit<Self> {
        let namespace = new.home.namespace().inode();
        // In place: a move of the whole state costs more than to make it.
        let state = init!(State {
            life: Life::Live,
            key: new.key,
            is_open: new.is_open,
            ownership: new.ownership,
            attaches: 0,
            attaches_ever: 0,
            descriptors: 0,
            writers: 0,
            watch: None,
            attached: 0,
            detached: 0,
            changed: time::now(),
            last_user: None,
            creator: new.creator,
            locked: None,
            namespace: None,
            pages: new.pages,
            spare: None,
            home: Some(new.home),
        });
        pin_init!(Self {
            id: Id::NONE,
            namespace,
            size: new.size,
            first_key: new.key,
            made_by: new.made_by,
            is_huge: new.is_huge,
            no_reserve: new.no_reserve,
            commit: new.commit,
            state <- new_spinlock_of!(state, "rust_shm::Segment::state"),
        })
    }

    /// Gives it its id, before anybody else knows it.
    pub(crate) fn set_id(self: Pin<&mut Self>, id: Id) {
        let this = self.project();
        *this.id = id;
        // Others have no file yet.
        if *this.is_huge || *this.commit == Commit::WholeSize {
            if let Some(pages) = &this.state.lock().pages {
                pages.set_number(id.number());
            }
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// The key that it was made with.
    pub(crate) fn first_key(&self) -> Key {
        self.first_key
    }

    /// Its size in bytes, as asked for.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Its size in pages, as limits count it.
    pub(crate) fn pages(&self) -> usize {
        limits::pages(self.size).unwrap_or(0)
    }

    /// How many bytes an attach maps: whole pages.
    pub(crate) fn mapped_bytes(&self) -> usize {
        if self.is_huge {
            // Else it would not have been made.
            memory::in_huge_pages(self.size).unwrap_or(0)
        } else {
            self.pages() * PAGE_SIZE
        }
    }

    /// Whether it is of huge pages (SHM_HUGETLB).
    pub(crate) fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// Whether what it commits is from the pool of its namespace.
    pub(crate) fn is_pooled(&self) -> bool {
        self.commit == Commit::ByOwner && !self.is_huge
    }

    /// What changes, locked.
    pub(crate) fn lock(&self) -> impl core::ops::DerefMut<Target = State> + use<'_> {
        self.state.lock()
    }

    /// Begins an attach: permission before removal, as `do_shmat()`.
    pub(crate) fn pin<'a>(
        this: &'a Arc<Shared>,
        caller: &impl Caller,
        request: Request,
        namespace: &CurrentIpcNamespace<'_>,
    ) -> Result<Pinned<'a>> {
        let mut state = this.state.lock();
        if !state.ownership.allows(caller, request) {
            return Err(EACCES);
        }
        if state.life == Life::Gone {
            return Err(eidrm());
        }
        if state.attaches == 0 {
            // Two attaches at the same moment would each leave it to the other.
            state.wake();
        }
        state.attaches += 1;
        if state.namespace.is_none() {
            state.namespace = namespace.get();
        }
        Ok(Pinned { segment: this })
    }

    /// Sets owner and mode (IPC_SET). `EINVAL` if it is gone, as a
    /// look-up under the lock of the table has it (`shmctl_down()`); `EPERM` for a caller that may
    /// not.
    pub(crate) fn set(&self, caller: &impl Caller, new: &uapi::Stat) -> Result {
        let mut state = self.state.lock();
        if state.life == Life::Gone {
            return Err(EINVAL);
        }
        if !state.ownership.allows_control(caller) {
            return Err(EPERM);
        }
        let uid = cred::uid_from_user(new.uid)?;
        let gid = cred::gid_from_user(new.gid)?;
        state.ownership.uid = uid;
        state.ownership.gid = gid;
        state.ownership.mode = new.mode & PERMISSION_BITS;
        state.changed = time::now();
        Ok(())
    }

    /// Locks it in memory, or unlocks it (SHM_LOCK, SHM_UNLOCK). As `shmctl_do_lock()` and
    /// `shmem_lock()`. `EIDRM` if it is gone; `EPERM`; `ENOMEM` where the limit of the caller's user
    /// allows no more.
    pub(crate) fn lock_in_memory(&self, caller: &impl Caller, lock: bool) -> Result {
        // Allocated before the lock is taken.
        let room = lock
            .then(|| KBox::<LockedPages>::new_uninit(GFP_KERNEL_ACCOUNT))
            .transpose()?;
        let mut state = self.state.lock();
        if state.life == Life::Gone {
            return Err(eidrm());
        }
        let ownership = &state.ownership;
        let allowed = if lock {
            ownership.allows_lock(caller)
        } else {
            ownership.allows_unlock(caller)
        };
        if !allowed {
            return Err(EPERM);
        }
        // Huge pages are always locked.
        if self.is_huge || lock == state.locked.is_some() {
            return Ok(());
        }
        if let Some(room) = room {
            state.lock_in_memory(room.write(LockedPages::new(self.pages())?));
            return Ok(());
        }
        let locked = state.locked.take();
        let pages = state.pages.as_ref().map(|pages| {
            pages.view().set_locked(false);
            pages.get()
        });
        drop(state);
        drop(locked);
        if let Some(pages) = pages {
            pages.view().rescue();
        }
        Ok(())
    }

    /// The file with its pages, made when there is none yet. To be called while the segment is
    /// pinned, and so not gone.
    fn pages_to_map(&self) -> Result<ShmemRef> {
        let home = {
            let state = self.state.lock();
            if let Some(pages) = &state.pages {
                return Ok(pages.get());
            }
            state.home.clone().ok_or_else(eidrm)?
        };
        let mount = home.mounts().current();
        let new = new_file(mount, self.first_key, self.size, self.commit)?;
        new.set_number(self.id.number());
        let mut state = self.state.lock();
        // Somebody may have been faster. Then `new` is dropped, after the lock.
        if let Some(pages) = &state.pages {
            return Ok(pages.get());
        }
        if state.locked.is_some() {
            new.view().set_locked(true);
        }
        let pages = new.get();
        state.pages = Some(new);
        Ok(pages)
    }
}

impl Pinned<'_> {
    /// A file to map, made when the segment has none yet.
    pub(crate) fn file(&self, access: Access) -> Result<AttachFile<Shared>> {
        Segment::attach_file(self.segment, access)
    }
}

impl Segment {
    /// A file to map. To be called while the segment is held, and so not gone.
    ///
    /// No two attaches that exist at the same time have the same file, as on the built-in:
    /// neighbours do not merge, and a detach knows its own. The segment keeps the file that was
    /// opened last, and gives it to a later attach if it is in no use by then, and the access and
    /// the caller's credentials are the same: security modules may judge a mapping by its file.
    fn attach_file(segment: &Arc<Shared>, access: Access) -> Result<AttachFile<Shared>> {
        let spare = |state: &State| state.spare.as_ref()?.reuse(access);
        if let Some(file) = spare(&segment.state.lock()) {
            return Ok(file);
        }
        let pages = segment.pages_to_map()?;
        let file = AttachFile::open(&pages, access, segment.clone())?;
        let old = segment.state.lock().spare.replace(file.clone());
        drop(old);
        Ok(file)
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let mut state = self.segment.state.lock();
        let detached = state.detach();
        drop(state);
        detached.finish(self.segment);
    }
}
