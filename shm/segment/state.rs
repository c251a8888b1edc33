// SPDX-License-Identifier: GPL-2.0

//! What of a segment changes, behind its spinlock.

use super::{
    creator,
    memory::Mounts,
    Segment,
    Shared, //
};
use crate::shm::{
    rules::{
        id,
        permission::Ownership,
        uapi, //
    },
    sys::{
        fs::{
            file::AttachFile,
            mapping::Use,
            shmem_file::ShmemFile, //
        },
        mm::memlock::LockedPages,
        sync::poll_queue::PollQueue,
        task::{
            ipc_ns::{
                IpcNamespace,
                NamespaceId, //
            },
            pid,
            time, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// What a segment needs of the table it is in.
pub(crate) trait Home: Send + Sync {
    /// Takes the segment out, if it is to be destroyed and still not held. May sleep.
    fn reap(&self, segment: &Segment);

    /// The number of the namespace.
    fn namespace(&self) -> NamespaceId;

    /// Where the files of segments are.
    fn mounts(&self) -> &Mounts;
}

/// Where in its life a segment is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// In the table, until it is removed.
    Live,
    /// Marked destroyed (SHM_DEST), as it was removed while held: in the table, without a key, until
    /// the last detach, and the last descriptor is closed.
    Destroyed,
    /// Out of the table. Only calls that were under way have it still.
    Gone,
}

/// What the descriptors of a segment have in common.
#[pin_data]
pub(super) struct Watch {
    /// Those who poll them.
    #[pin]
    pub(super) queue: PollQueue,
    /// Held while seals are added.
    #[pin]
    pub(super) sealing: Mutex<()>,
    /// The seals (`F_SEAL_*`) that have been added. Written with [`State`] locked.
    pub(super) seals: Atomic<u32>,
}

/// What of a segment changes.
pub(crate) struct State {
    /// Where in its life it is.
    pub(crate) life: Life,
    /// Its key, or [`id::Key::PRIVATE`].
    pub(crate) key: id::Key,
    /// Whether it is being restored, and not complete: nothing but IPC_RMID removes it.
    pub(crate) is_open: bool,
    /// Its owner and mode.
    pub(crate) ownership: Ownership,
    /// How many mappings there are, and attaches under way. While this or `descriptors` is not 0, the
    /// segment is not [`Life::Gone`].
    pub(super) attaches: usize,
    /// How many mappings there have been.
    pub(super) attaches_ever: u32,
    /// How many files for descriptors there are. They keep the segment as attaches do.
    pub(super) descriptors: u32,
    /// How many mappings can write, or be made to, and writes by descriptors under way.
    pub(super) writers: usize,
    /// Where those who poll its descriptors wait; made with the first.
    pub(super) watch: Option<Arc<Watch>>,
    pub(super) attached: i64,
    pub(super) detached: i64,
    pub(super) changed: i64,
    pub(super) last_user: Option<pid::Recorded>,
    /// Who made it, for `kernel.shm_rmid_forced`: nobody, if it is restored. Until [`Life::Gone`], as all below.
    pub(super) creator: Option<creator::CreatorRef>,
    /// Set while it is locked in memory (SHM_LOCK): whose limit it counts against.
    pub(super) locked: Option<KBox<LockedPages>>,
    /// Its namespace, while anybody holds it: as on the built-in, that does not end before.
    pub(super) namespace: Option<IpcNamespace>,
    /// Its pages: made by the first attach, or by get where it is large or of huge pages.
    pub(super) pages: Option<ShmemFile>,
    /// The file that was opened last for an attach, kept for a later one. It holds the segment in
    /// turn; that circle ends with [`Life::Gone`].
    pub(super) spare: Option<AttachFile<Shared>>,
    /// The table it is in.
    pub(super) home: Option<Arc<dyn Home>>,
}

/// What a segment held that goes with it; to be dropped without a lock held.
pub(crate) struct Released {
    spare: Option<AttachFile<Shared>>,
    pages: Option<ShmemFile>,
    _home: Option<Arc<dyn Home>>,
    _creator: Option<creator::CreatorRef>,
    _locked: Option<KBox<LockedPages>>,
    _namespace: Option<IpcNamespace>,
}

impl Drop for Released {
    fn drop(&mut self) {
        if let Some(pages) = self.pages.take() {
            pages.close(usize::from(self.spare.is_some()));
        }
    }
}

/// What must be done after a detach, without a lock held.
pub(super) enum Detached {
    Nothing,
    /// It was the last: the namespace may end now.
    Idle(IpcNamespace),
    /// It was the last, and the segment must be destroyed.
    Last(Arc<dyn Home>),
}

impl Detached {
    pub(super) fn finish(self, segment: &Segment) {
        match self {
            Self::Nothing => {}
            Self::Idle(namespace) => drop(namespace),
            Self::Last(home) => home.reap(segment),
        }
    }
}

impl State {
    /// The permission bits, SHM_DEST and SHM_LOCKED.
    pub(super) fn mode(&self) -> u32 {
        let destroyed = if self.life == Life::Destroyed {
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

    /// Counts a mapping.
    pub(super) fn attach(&mut self, use_of: Use) {
        self.attached = time::now();
        pid::update(&mut self.last_user);
        // The call that makes a mapping may count already.
        if self.attaches <= 1 {
            self.wake();
        }
        self.attaches += 1;
        self.attaches_ever = self.attaches_ever.wrapping_add(1);
        self.writers += usize::from(use_of.may_write());
    }

    /// Makes those who poll a descriptor look again.
    pub(super) fn wake(&self) {
        if let Some(watch) = &self.watch {
            watch.queue.wake();
        }
    }

    /// Whether nobody begins to write any more.
    pub(super) fn is_sealed(&self) -> bool {
        const SEALS: u32 = uapi::SEAL_WRITE | uapi::SEAL_FUTURE_WRITE;

        let watch = self.watch.as_ref();
        watch.is_some_and(|watch| watch.seals.load(Relaxed) & SEALS != 0)
    }

    /// Marks it destroyed (SHM_DEST): it goes with its last attach or descriptor.
    pub(crate) fn mark_destroyed(&mut self) {
        self.key = id::Key::PRIVATE;
        self.life = Life::Destroyed;
        self.wake();
    }

    /// Decrements the attach count, and returns what must be done once the lock is released.
    pub(super) fn detach(&mut self) -> Detached {
        // Every mapping that goes was counted. Should that ever not hold, a segment is left over,
        // and the machine goes on.
        if self.attaches == 0 {
            static WARNED: Atomic<u32> = Atomic::new(0);
            if WARNED.xchg(1, Relaxed) == 0 {
                pr_warn!("WARNING: a segment was detached more often than attached\n");
            }
            return Detached::Nothing;
        }
        self.attaches -= 1;
        if self.attaches == 0 {
            self.wake();
        }
        self.released()
    }

    /// Decrements the number of descriptors, and returns what must be done once the lock is released.
    pub(super) fn close(&mut self) -> Detached {
        self.descriptors -= 1;
        self.released()
    }

    /// What must be done after a count went down.
    fn released(&mut self) -> Detached {
        if self.may_destroy() {
            self.home.clone().map_or(Detached::Nothing, Detached::Last)
        } else {
            self.release_namespace()
                .map_or(Detached::Nothing, Detached::Idle)
        }
    }

    /// The reference to the namespace, if nobody holds the segment; to be dropped without a lock held.
    pub(crate) fn release_namespace(&mut self) -> Option<IpcNamespace> {
        if self.is_held() {
            None
        } else {
            self.namespace.take()
        }
    }

    /// Whether its creator had left at a moment.
    pub(crate) fn is_orphan(&self, at: creator::Moment) -> bool {
        let creator = self.creator.as_ref();
        creator.is_some_and(|creator| creator.is_orphan(at))
    }

    /// Whether anybody is attached, or has a descriptor.
    pub(crate) fn is_held(&self) -> bool {
        self.attaches != 0 || self.descriptors != 0
    }

    /// Whether the segment must be destroyed: nobody holds it, and it is marked destroyed or
    /// `kernel.shm_rmid_forced` is set (`shm_may_destroy()`).
    pub(crate) fn may_destroy(&self) -> bool {
        !self.is_held()
            && match self.life {
                // The last detach keeps the namespace reference until this check is done.
                Life::Live => {
                    let namespace = self.namespace.as_ref();
                    !self.is_open && namespace.is_some_and(IpcNamespace::rmid_forced)
                }
                Life::Destroyed => true,
                Life::Gone => false,
            }
    }

    /// Ends its life.
    pub(crate) fn end(&mut self) -> Released {
        self.life = Life::Gone;
        if let (Some(pages), Some(_)) = (&self.pages, &self.locked) {
            pages.view().set_locked(false);
        }
        Released {
            spare: self.spare.take(),
            pages: self.pages.take(),
            _home: self.home.take(),
            _creator: self.creator.take(),
            _locked: self.locked.take(),
            _namespace: self.namespace.take(),
        }
    }

    /// How many pages are in memory, and in swap (`shm_add_rss_swap()`).
    pub(super) fn rss_and_swap(&self) -> (usize, usize) {
        self.pages.as_ref().map_or((0, 0), |pages| {
            let pages = pages.view();
            (pages.resident_pages(), pages.swapped_pages())
        })
    }
}
