// SPDX-License-Identifier: GPL-2.0

//! A segment as what a descriptor refers to.
//!
//! There is one [`Descriptor`] for each file that `RUST_SHM_IOC_FD` has made, and for what was opened
//! by its path in `/proc`. It keeps the segment, and its namespace, as an attach does. Who has it needs
//! no id, no key and no permission: that was asked when it was made.

use super::{
    state::{
        Life,
        Watch, //
    },
    Pinned,
    Segment,
    Shared, //
};
use crate::shm::{
    rules::{
        permission::{
            Gid,
            Uid, //
        },
        uapi, //
    },
    sys::{
        fs::{
            descriptor::{
                DescribedObject,
                DescriptorFile,
                Events,
                SealRequests, //
            },
            file::NewMapping,
            mapping::{
                Access,
                Change,
                MappedObject, //
            },
            shmem_file::ShmemRef, //
        },
        sync::poll_queue::PollQueue, //
    }, //
};
use core::ops::Range;
use kernel::{
    new_mutex,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// A counted descriptor of a segment.
struct Descriptor {
    segment: Arc<Shared>,
    watch: Arc<Watch>,
    pages: ShmemRef,
    access: Access,
}

/// The seals that a segment always has: its size stays, and no descriptor is a program.
const ALWAYS: u32 = uapi::SEAL_SHRINK | uapi::SEAL_GROW | uapi::SEAL_EXEC;

/// The seals that can be added.
const KNOWN: u32 = ALWAYS | uapi::SEAL_SEAL | uapi::SEAL_WRITE | uapi::SEAL_FUTURE_WRITE;

impl Pinned<'_> {
    /// A file for a descriptor.
    pub(crate) fn descriptor(&self, access: Access) -> Result<DescriptorFile> {
        const REQUESTS: &SealRequests = &SealRequests {
            add: uapi::FD_ADD_SEALS,
            get: uapi::FD_GET_SEALS,
        };

        let segment = self.segment;
        let pages = segment.pages_to_map()?;
        let new = Arc::pin_init(
            pin_init!(Watch {
                queue <- PollQueue::new(c"rust_shm::Watch::queue", static_lock_class!()),
                sealing <- new_mutex!((), "rust_shm::Watch::sealing"),
                seals: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let watch = {
            let mut state = segment.state.lock();
            state.descriptors += 1;
            state.watch.get_or_insert_with(|| new.clone()).clone()
        };
        let descriptor = Descriptor {
            segment: segment.clone(),
            watch,
            pages,
            access,
        };
        let descriptor = Arc::new(descriptor, GFP_KERNEL_ACCOUNT)?;
        DescriptorFile::new(
            descriptor,
            fmt!("SYSV{:08x}", segment.first_key.0),
            REQUESTS,
        )
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let closed = self.segment.state.lock().close();
        closed.finish(&self.segment);
    }
}

impl DescribedObject for Descriptor {
    fn pages(&self) -> &ShmemRef {
        &self.pages
    }

    fn access(&self) -> Access {
        self.access
    }

    fn number(&self) -> u32 {
        self.segment.id.number()
    }

    fn owner(&self) -> (Uid, Gid, u32) {
        let ownership = &self.segment.state.lock().ownership;
        (ownership.uid, ownership.gid, ownership.mode)
    }

    fn map(&self, access: Access, to: NewMapping<'_>) -> Result {
        to.map(&Segment::attach_file(&self.segment, access)?)
    }

    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    fn alignment(&self) -> usize {
        self.segment.alignment()
    }

    fn write(&self, change: &mut dyn Change) -> Result<isize> {
        MappedObject::write(&*self.segment, change)
    }

    fn punch(&self, bytes: Range<usize>) -> Range<usize> {
        MappedObject::punch(&*self.segment, self.pages.view(), bytes)
    }

    fn queue(&self) -> &PollQueue {
        &self.watch.queue
    }

    fn events(&self) -> Events {
        let state = self.segment.state.lock();
        Events {
            attached: state.attaches != 0,
            removed: state.life != Life::Live,
        }
    }

    fn seals(&self) -> u32 {
        ALWAYS | self.watch.seals.load(Relaxed)
    }

    /// As `memfd_add_seals()`. `EINVAL` for an unknown seal; `EPERM` after F_SEAL_SEAL; `EBUSY` for
    /// F_SEAL_WRITE where somebody may write.
    fn seal(&self, seals: u32) -> Result {
        if seals & !KNOWN != 0 {
            return Err(EINVAL);
        }
        let _sealing = self.watch.sealing.lock();
        let before = self.watch.seals.load(Relaxed);
        if before & uapi::SEAL_SEAL != 0 {
            return Err(EPERM);
        }
        let added = seals & !ALWAYS & !before;
        {
            let state = self.segment.state.lock();
            if added & uapi::SEAL_WRITE != 0 && state.writers != 0 {
                return Err(EBUSY);
            }
            self.watch.seals.store(before | added, Relaxed);
        }
        // Nobody begins to write from here on.
        let sealed = self.pages.view().seal(added & !uapi::SEAL_SEAL);
        if sealed.is_err() {
            let _state = self.segment.state.lock();
            self.watch.seals.store(before, Relaxed);
        }
        sealed
    }
}
