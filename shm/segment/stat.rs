// SPDX-License-Identifier: GPL-2.0

//! What a segment tells of itself.

use super::{
    memory,
    state::{
        Life,
        State, //
    },
    Segment, //
};
use crate::shm::{
    rules::{
        id::Key,
        permission::{
            Caller,
            Request,
            Uid, //
        },
        uapi, //
    },
    sys::{
        fs::shmem::ShmemRef,
        mm::folio::PMD_ORDER,
        task::{
            cred::Credentials,
            pid::Pid, //
        }, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// The state of a segment at one moment.
pub(crate) struct StatSnapshot {
    /// All but the huge pages.
    pub(crate) stat: uapi::Stat,
    /// Where huge pages are still to be counted.
    pages: Option<ShmemRef>,
}

impl StatSnapshot {
    /// Counts the huge pages, if that was asked for: must not be called with a lock held.
    pub(crate) fn into_stat(self) -> uapi::Stat {
        let huge = self
            .pages
            .map_or(0, |pages| memory::huge_bytes(pages.view()));
        uapi::Stat {
            huge: huge as u64,
            ..self.stat
        }
    }
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
    /// How many pages are in memory.
    pub(crate) resident_pages: usize,
    /// How many pages are swapped out.
    pub(crate) swapped_pages: usize,
    pages: Option<ShmemRef>,
}

impl Usage {
    /// How many orders of folios there are.
    const ORDERS: usize = PMD_ORDER as usize + 1;

    /// How many folios of each order are in memory. They are counted: must not be called with a lock
    /// held.
    pub(crate) fn folios(&self) -> [usize; Self::ORDERS] {
        let mut counts = [0; Self::ORDERS];
        if let Some(pages) = &self.pages {
            pages.view().each_folio(|order| {
                if let Some(count) = counts.get_mut(order as usize) {
                    *count += 1;
                }
            });
        }
        counts
    }
}

impl Segment {
    /// Its state as the caller sees it (IPC_STAT); `EACCES` for a caller that may not read it,
    /// `EIDRM` if it is gone.
    pub(crate) fn stat(
        &self,
        caller: &impl Caller,
        viewer: &Credentials<'_>,
        count_huge: bool,
    ) -> Result<StatSnapshot> {
        let state = self.state.lock();
        if !state.ownership.allows(caller, Request::READ) {
            return Err(EACCES);
        }
        self.snapshot(&state, viewer, count_huge)
    }

    /// The same, for any caller (SHM_STAT_ANY).
    pub(crate) fn stat_any(
        &self,
        viewer: &Credentials<'_>,
        count_huge: bool,
    ) -> Result<StatSnapshot> {
        self.snapshot(&self.state.lock(), viewer, count_huge)
    }

    fn snapshot(
        &self,
        state: &State,
        viewer: &Credentials<'_>,
        count_huge: bool,
    ) -> Result<StatSnapshot> {
        if state.life == Life::Gone {
            return Err(EIDRM);
        }
        let home = state.home.as_ref();
        let ownership = &state.ownership;
        let uid = viewer.uid_to_user(ownership.uid);
        let gid = viewer.gid_to_user(ownership.gid);
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
            rss: (state.resident_pages() * PAGE_SIZE) as u64,
            huge: 0,
            seq: home.map_or(0, |home| home.sequence(self.id)),
            reserved: 0,
            swap: (state.swapped_pages() * PAGE_SIZE) as u64,
        };
        let pages = state.pages.as_ref().filter(|_| count_huge);
        Ok(StatSnapshot {
            stat,
            pages: pages.map(|pages| pages.get()),
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
            resident_pages: state.resident_pages(),
            swapped_pages: state.swapped_pages(),
            pages: state.pages.as_ref().map(|pages| pages.get()),
        }
    }

    /// How many pages it has in memory, and in swap (`shm_add_rss_swap()`).
    pub(crate) fn rss_and_swap(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.resident_pages(), state.swapped_pages())
    }
}
