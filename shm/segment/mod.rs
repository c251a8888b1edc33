// SPDX-License-Identifier: GPL-2.0

//! One segment: its life, its attach count, times, process ids and owner.
//!
//! There is one [`Segment`] for each id, made by `get` and owned by the registry's table until it
//! is removed; then by what still has it mapped, through its inode. Its changing parts are a
//! [`State`] behind a spinlock of its own, which is taken inside the lock of the registry's table,
//! never around it.

pub(crate) mod creator;
pub(crate) mod memory;
pub(crate) mod policy;

use crate::shm::{
    registry::Registry,
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
            Uid, //
            PERMISSION_BITS,
        },
        uapi, //
    },
    segment::{
        creator::{
            Made,
            Moment, //
        },
        memory::Memory, //
    },
    sys::{
        fs::{
            file::{
                Access,
                BackingFile,
                Ownerless, //
            },
            mount::MountRef, //
        },
        mm::{
            commit::Commitment,
            folio::PMD_ORDER,
            memlock::LockedPages, //
        },
        sync::{
            module_ref::ModuleRef,
            published::Published, //
        },
        task::{
            cred::{
                self,
                Credentials, //
            },
            ipc_ns::{
                self,
                CurrentIpcNamespace,
                IpcNamespace, //
            },
            pid::{
                self,
                Pid, //
            },
            time, //
        }, //
    }, //
};
use kernel::{
    new_spinlock,
    page::PAGE_SIZE,
    pr_warn_once,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// A segment as everything but its table sees it: counted, and found under RCU.
pub(crate) type Shared = Published<Segment>;

/// Where in its life a segment is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// In the table, until it is removed.
    Live,
    /// Removed while somebody was attached (SHM_DEST): in the table, without a key, until the last
    /// detach.
    Doomed,
    /// Out of the table. What is left of it is nobody's but a call's that was under way.
    Gone,
}

/// What of a segment changes.
pub(crate) struct State {
    /// Where in its life it is.
    pub(crate) life: Life,
    /// Its key, or [`Key::PRIVATE`].
    pub(crate) key: Key,
    /// Whose it is, and what others may.
    pub(crate) ownership: Ownership,
    /// How many mappings there are, and attaches under way. While this is not 0, the segment is not
    /// [`Life::Gone`].
    attaches: usize,
    /// How many mappings there have been.
    attaches_ever: u32,
    attached: i64,
    detached: i64,
    changed: i64,
    last_user: Option<Pid>,
    /// Who made it, for `kernel.shm_rmid_forced`; until [`Life::Gone`].
    made: Option<Made>,
    /// Set while it is locked in memory (SHM_LOCK): who pays for that.
    locked: Option<KBox<LockedPages>>,
    /// Its namespace, while somebody is attached: as on the built-in, it does not end before that.
    namespace: Option<IpcNamespace>,
    /// Its inode, since the first attach, or, with SHM_HUGETLB, from the beginning. The inode owns
    /// the segment in turn: that circle ends with [`Life::Gone`].
    backing: Option<BackingFile<Shared>>,
    /// Whose table it is in, until [`Life::Gone`].
    registry: Option<Arc<Registry>>,
    /// Keeps the module loaded, until [`Life::Gone`].
    module: Option<ModuleRef>,
    /// What it commits the kernel to, if that is not from the pool of the registry; until
    /// [`Life::Gone`].
    commitment: Option<Commitment>,
}

/// What a segment held that goes away with it; to be dropped without a lock held.
pub(crate) struct Remains {
    _backing: Option<BackingFile<Shared>>,
    _registry: Option<Arc<Registry>>,
    _made: Option<Made>,
    _locked: Option<KBox<LockedPages>>,
    _namespace: Option<IpcNamespace>,
    _commitment: Option<Commitment>,
    _module: Option<ModuleRef>,
}

/// A segment.
#[pin_data]
pub(crate) struct Segment {
    /// Its [`Id`], once it has one: before the table shows it to anybody.
    id: Id,
    size: usize,
    /// The key that it was made with: its files have it in their names, also when it is removed.
    first_key: Key,
    /// Who made it, as others see it.
    made_by: Option<Pid>,
    memory: Memory,
    is_huge: bool,
    is_pooled: bool,
    #[pin]
    state: SpinLock<State>,
}

/// What a new segment is made of.
pub(crate) struct Plan {
    /// Whose table it will be in.
    pub(crate) registry: Arc<Registry>,
    /// Who makes it.
    pub(crate) made: Made,
    /// The caller's effective user id.
    pub(crate) uid: Uid,
    /// Its key.
    pub(crate) key: Key,
    /// Its size in bytes, as asked for.
    pub(crate) size: usize,
    /// With SHM_HUGETLB: its size in bytes, in whole huge pages.
    pub(crate) huge: Option<usize>,
    /// The nine permission bits.
    pub(crate) mode: u32,
    /// Whether what it commits is from the pool of the registry.
    pub(crate) is_pooled: bool,
    /// What it commits otherwise.
    pub(crate) commitment: Option<Commitment>,
    /// A reference to the module.
    pub(crate) module: ModuleRef,
}

/// A counted attach that is under way. It keeps the segment from going away.
pub(crate) struct Pinned<'a> {
    segment: &'a Arc<Shared>,
    sole: bool,
}

impl Segment {
    /// A new segment of the caller's.
    pub(crate) fn new(plan: Plan) -> impl PinInit<Self> {
        let gid = cred::egid();
        let state = State {
            life: Life::Live,
            key: plan.key,
            ownership: Ownership {
                uid: plan.uid,
                gid,
                cuid: plan.uid,
                cgid: gid,
                mode: plan.mode & PERMISSION_BITS,
            },
            attaches: 0,
            attaches_ever: 0,
            attached: 0,
            detached: 0,
            changed: time::now(),
            last_user: None,
            made: Some(plan.made),
            locked: None,
            namespace: None,
            backing: None,
            registry: Some(plan.registry),
            module: Some(plan.module),
            commitment: plan.commitment,
        };
        pin_init!(Self {
            memory: Memory::new(plan.huge.unwrap_or(plan.size)),
            id: Id::NONE,
            size: plan.size,
            first_key: plan.key,
            made_by: Pid::current(),
            is_huge: plan.huge.is_some(),
            is_pooled: plan.is_pooled,
            state <- new_spinlock!(state, "rust_shm::Segment::state"),
        })
    }

    /// Gives it its id.
    pub(crate) fn set_id(self: Pin<&mut Self>, id: Id) {
        *self.project().id = id;
    }

    /// Its id.
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Its size in bytes, as asked for.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Its size in pages, as limits count it.
    pub(crate) fn pages(&self) -> usize {
        limits::pages(self.size).unwrap_or(0)
    }

    /// Whether it was made of huge pages (SHM_HUGETLB).
    pub(crate) fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// Whether what it commits is from the pool of its registry.
    pub(crate) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Takes its inode, which was made before it.
    pub(crate) fn provide(&self, backing: BackingFile<Shared>) {
        self.state.lock().backing = Some(backing);
    }

    /// Its pages.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
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
            return Err(EIDRM);
        }
        let sole = state.attaches == 0;
        state.attaches += 1;
        if state.namespace.is_none() {
            state.namespace = namespace.get();
        }
        Ok(Pinned {
            segment: this,
            sole,
        })
    }

    /// A mapping is made.
    pub(crate) fn mapped(&self) -> Result {
        let mut state = self.state.lock();
        // As `__shm_open()`: an old file may be mapped again by remap_file_pages(2).
        if state.life == Life::Gone {
            return Err(EINVAL);
        }
        // So there, where the old mapping was the only one, and is gone already.
        if state.namespace.is_none() {
            state.namespace = state
                .registry
                .as_ref()
                .and_then(|registry| ipc_ns::get_current_if(registry.namespace()));
        }
        state.attach();
        Ok(())
    }

    /// A mapping is copied or split.
    pub(crate) fn opened(&self) {
        self.state.lock().attach();
    }

    /// A mapping is gone.
    pub(crate) fn closed(&self) {
        let mut state = self.state.lock();
        state.detached = time::now();
        pid::update(&mut state.last_user);
        let last = state.detach();
        drop(state);
        last.finish(self);
    }

    /// Sets owner and mode (IPC_SET), and returns what they are now; `EINVAL` if it is gone, as
    /// who looks it up under the lock of the table has it (`shmctl_down()`); `EPERM` for who may
    /// not.
    pub(crate) fn set(&self, caller: &impl Caller, new: &uapi::Stat) -> Result<(Key, Ownership)> {
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
        Ok((state.key, state.ownership))
    }

    /// Locks it in memory, or unlocks it. Its pages stay in memory anyhow: what there is to it is
    /// who may, and who pays. As `shmctl_do_lock()`.
    pub(crate) fn lock_in_memory(&self, caller: &impl Caller, lock: bool) -> Result {
        // Memory for it is to be had before the lock.
        let room = lock
            .then(|| KBox::<LockedPages>::new_uninit(GFP_KERNEL_ACCOUNT))
            .transpose()?;
        let mut state = self.state.lock();
        if state.life == Life::Gone {
            return Err(EIDRM);
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
        if self.is_huge {
            return Ok(());
        }
        match room {
            None => {
                let locked = state.locked.take();
                drop(state);
                drop(locked);
            }
            Some(room) if state.locked.is_none() => {
                state.locked = Some(room.write(LockedPages::new(self.pages())?));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Its state as the caller sees it (IPC_STAT); `EACCES` for who may not read it, `EIDRM` if it
    /// is gone.
    pub(crate) fn stat(
        &self,
        caller: &impl Caller,
        viewer: &Credentials<'_>,
    ) -> Result<Description> {
        let state = self.state.lock();
        if !state.ownership.allows(caller, Request::READ) {
            return Err(EACCES);
        }
        self.describe(&state, viewer)
    }

    /// The same, for anybody (SHM_STAT_ANY).
    pub(crate) fn stat_any(&self, viewer: &Credentials<'_>) -> Result<Description> {
        self.describe(&self.state.lock(), viewer)
    }

    fn describe(&self, state: &State, viewer: &Credentials<'_>) -> Result<Description> {
        if state.life == Life::Gone {
            return Err(EIDRM);
        }
        let sequence = state
            .registry
            .as_ref()
            .map_or(0, |registry| registry.numbering().sequence(self.id));
        let ownership = &state.ownership;
        let uid = viewer.uid_to_user(ownership.uid);
        let gid = viewer.gid_to_user(ownership.gid);
        let resident_pages = state.resident_pages();
        let stat = uapi::Stat {
            key: state.key.0,
            uid,
            gid,
            cuid: if ownership.cuid == ownership.uid {
                uid
            } else {
                viewer.uid_to_user(ownership.cuid)
            },
            cgid: if ownership.cgid == ownership.gid {
                gid
            } else {
                viewer.gid_to_user(ownership.cgid)
            },
            mode: state.mode(),
            cpid: self.made_by.as_ref().map_or(0, Pid::number),
            lpid: state.last_user.as_ref().map_or(0, Pid::number),
            segsz: self.size as u64,
            nattch: state.attaches as u64,
            atime: state.attached,
            dtime: state.detached,
            ctime: state.changed,
            rss: resident_pages as u64 * PAGE_SIZE as u64,
            huge: 0,
            seq: sequence,
            reserved: 0,
        };
        let backing = state.backing.as_ref();
        Ok(Description {
            stat,
            backing: backing
                .filter(|_| memory::may_be_huge(resident_pages))
                .cloned(),
        })
    }

    /// What root sees of it.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.state.lock();
        Usage {
            life: state.life,
            key: state.key,
            mode: state.mode(),
            owner: state.ownership.uid,
            attaches: state.attaches,
            attaches_ever: state.attaches_ever,
            resident_bytes: state.resident_pages() * PAGE_SIZE,
            backing: state.backing.clone(),
        }
    }

    /// How many pages it has in memory.
    pub(crate) fn resident_pages(&self) -> usize {
        self.state.lock().resident_pages()
    }
}

/// The state of a segment at one moment.
pub(crate) struct Description {
    stat: uapi::Stat,
    /// Where huge pages are still to be counted.
    backing: Option<BackingFile<Shared>>,
}

/// What root sees of a segment.
pub(crate) struct Usage {
    /// Where in its life it is.
    pub(crate) life: Life,
    /// Its key.
    pub(crate) key: Key,
    /// The nine permission bits, SHM_DEST and SHM_LOCKED.
    pub(crate) mode: u32,
    /// Its owner.
    pub(crate) owner: Uid,
    /// How many mappings there are.
    pub(crate) attaches: usize,
    /// How many there have been; it begins anew after 32 bits.
    pub(crate) attaches_ever: u32,
    /// How much is in memory.
    pub(crate) resident_bytes: usize,
    backing: Option<BackingFile<Shared>>,
}

impl Usage {
    /// How many folios it has of each order. They are counted: not to be called with a lock held.
    pub(crate) fn folios(&self) -> [usize; Self::ORDERS] {
        let mut counts = [0; Self::ORDERS];
        if let Some(file) = &self.backing {
            file.page_cache().each_folio(0, |order| {
                if let Some(count) = counts.get_mut(order as usize) {
                    *count += 1;
                }
            });
        }
        counts
    }

    /// How many orders there are.
    const ORDERS: usize = PMD_ORDER as usize + 1;
}

impl Description {
    /// All but the huge pages.
    pub(crate) fn without_huge(self) -> uapi::Stat {
        self.stat
    }

    /// All. Counts the huge pages: not to be called with a lock held.
    pub(crate) fn into_stat(self) -> uapi::Stat {
        let huge = self
            .backing
            .map_or(0, |file| memory::huge_bytes(file.page_cache()));
        uapi::Stat {
            huge: huge as u64,
            ..self.stat
        }
    }
}

/// What is to be done without a lock after a detach.
enum Detached {
    Nothing,
    /// It was the last: the namespace may end now.
    Idle(IpcNamespace),
    /// It was the last, and the segment is to go.
    Over(Arc<Registry>),
}

impl Detached {
    fn finish(self, segment: &Segment) {
        match self {
            Self::Nothing => {}
            Self::Idle(namespace) => drop(namespace),
            Self::Over(registry) => registry.reap(segment),
        }
    }
}

impl State {
    /// The permission bits, and what it is beside.
    fn mode(&self) -> u32 {
        let destroyed = if self.life == Life::Doomed {
            uapi::SHM_DEST
        } else {
            0
        };
        let locked = if self.locked.is_some() {
            uapi::SHM_LOCKED
        } else {
            0
        };
        self.ownership.mode | destroyed | locked
    }

    fn attach(&mut self) {
        self.attached = time::now();
        pid::update(&mut self.last_user);
        self.attaches += 1;
        self.attaches_ever = self.attaches_ever.wrapping_add(1);
    }

    /// One attach less.
    fn detach(&mut self) -> Detached {
        // A mapping that was counted is one less now. Should that ever not hold, what is left is a
        // segment too many, and not a machine that has stopped.
        if self.attaches == 0 {
            pr_warn_once!("WARNING: a segment was detached more often than attached\n");
            return Detached::Nothing;
        }
        self.attaches -= 1;
        if self.is_over() {
            self.registry
                .clone()
                .map_or(Detached::Nothing, Detached::Over)
        } else {
            self.let_namespace_go()
                .map_or(Detached::Nothing, Detached::Idle)
        }
    }

    /// The reference to the namespace, if nobody is attached any more; to be dropped without a lock
    /// held.
    pub(crate) fn let_namespace_go(&mut self) -> Option<IpcNamespace> {
        if self.is_attached() {
            None
        } else {
            self.namespace.take()
        }
    }

    /// Whether its creator had left at a moment.
    pub(crate) fn is_orphan(&self, at: Moment) -> bool {
        self.made.as_ref().is_some_and(|made| made.is_orphan(at))
    }

    /// Whether somebody is attached.
    pub(crate) fn is_attached(&self) -> bool {
        self.attaches != 0
    }

    /// Whether it is removed, or `kernel.shm_rmid_forced` says that it is, and nobody is attached any
    /// more: then it is to go (`shm_may_destroy()`).
    pub(crate) fn is_over(&self) -> bool {
        !self.is_attached()
            && match self.life {
                // Who has just detached has left the reference to the namespace.
                Life::Live => self
                    .namespace
                    .as_ref()
                    .is_some_and(IpcNamespace::removal_forced),
                Life::Doomed => true,
                Life::Gone => false,
            }
    }

    /// Ends its life.
    pub(crate) fn end(&mut self) -> Remains {
        self.life = Life::Gone;
        Remains {
            _backing: self.backing.take(),
            _registry: self.registry.take(),
            _made: self.made.take(),
            _locked: self.locked.take(),
            _namespace: self.namespace.take(),
            _commitment: self.commitment.take(),
            _module: self.module.take(),
        }
    }

    fn resident_pages(&self) -> usize {
        self.backing
            .as_ref()
            .map_or(0, |file| file.page_cache().resident_pages())
    }
}

/// A file of `bytes` for a segment that is made with a key; its name is that of the built-in's.
pub(crate) fn new_file(
    mount: &MountRef<Shared>,
    key: Key,
    bytes: usize,
) -> Result<Ownerless<Shared>> {
    Ownerless::new(mount, fmt!("SYSV{:08x}", key.0), bytes)
}

impl Pinned<'_> {
    /// A file to map, made when the segment has none yet.
    ///
    /// No two attaches that exist at the same time have the same file, as on the built-in:
    /// neighbours do not merge, and a detach knows its own. A first attach takes the segment's
    /// file itself, which saves opening another, if that has the caller's credentials: security
    /// modules may judge a mapping by those of its file.
    pub(crate) fn file(&self, access: Access) -> Result<BackingFile<Shared>> {
        let backing = self.backing()?;
        if self.sole && access == Access::ReadWrite && backing.has_current_credentials() {
            Ok(backing)
        } else {
            backing.reopen(access)
        }
    }

    fn backing(&self) -> Result<BackingFile<Shared>> {
        let segment = self.segment;
        let registry = {
            let state = segment.state.lock();
            if let Some(file) = &state.backing {
                return Ok(file.clone());
            }
            // It is pinned, and so not gone.
            state.registry.clone().ok_or(EIDRM)?
        };
        let bytes = if segment.is_huge {
            segment.memory.bytes()
        } else {
            segment.size
        };
        let new = new_file(registry.mount(), segment.first_key, bytes)?;
        let module = ModuleRef::get()?;
        let mut state = segment.state.lock();
        // Somebody may have been faster. Then `new` is dropped, after the lock: its inode never
        // owned the segment, whose pages do not end with it.
        if let Some(file) = &state.backing {
            return Ok(file.clone());
        }
        let file = new.give(segment.id().number(), segment.clone(), module);
        state.backing = Some(file.clone());
        Ok(file)
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        let mut state = self.segment.state.lock();
        let last = state.detach();
        drop(state);
        last.finish(self.segment);
    }
}
