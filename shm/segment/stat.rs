// SPDX-License-Identifier: GPL-2.0

//! What a segment tells of itself.

use super::{
    state,
    Segment, //
};
use crate::shm::{
    rules::{
        id::Key,
        permission,
        uapi, //
    },
    sys::{
        compat::eidrm,
        fs::shmem_file::ShmemRef,
        mm::folio::PMD_ORDER,
        task::{
            cred::Credentials,
            pid::Recorded, //
        }, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// What root sees of a segment.
pub(crate) struct Usage {
    /// Where in its life it is.
    pub(crate) life: state::Life,
    /// Its key.
    pub(crate) key: Key,
    /// The nine permission bits, SHM_DEST and SHM_LOCKED.
    pub(crate) mode: u32,
    /// Its owner.
    pub(crate) owner: permission::Uid,
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
    /// Writes its state as `viewer` sees it to `stat` (IPC_STAT), all but `seq` and `huge`. `EACCES` for
    /// a caller that may not read it; without one, any may (SHM_STAT_ANY). `EIDRM` if it is gone.
    pub(crate) fn stat(
        &self,
        caller: Option<&impl permission::Caller>,
        viewer: &Credentials<'_>,
        stat: &mut uapi::Stat,
    ) -> Result {
        let state = self.state.lock();
        let may_read = |caller| state.ownership.allows(caller, permission::Request::READ);
        if !caller.is_none_or(may_read) {
            return Err(EACCES);
        }
        if state.life == state::Life::Gone {
            return Err(eidrm());
        }
        let ownership = &state.ownership;
        stat.key = state.key.0;
        stat.uid = viewer.uid_to_user(ownership.uid);
        stat.gid = viewer.gid_to_user(ownership.gid);
        stat.cuid = if ownership.cuid == ownership.uid {
            stat.uid
        } else {
            viewer.uid_to_user(ownership.cuid)
        };
        stat.cgid = if ownership.cgid == ownership.gid {
            stat.gid
        } else {
            viewer.gid_to_user(ownership.cgid)
        };
        stat.mode = state.mode();
        stat.cpid = self.made_by.as_ref().map_or(0, Recorded::number);
        stat.lpid = state.last_user.as_ref().map_or(0, Recorded::number);
        stat.segsz = self.size as u64;
        stat.nattch = state.attaches as u64;
        stat.atime = state.attached;
        stat.dtime = state.detached;
        stat.ctime = state.changed;
        let (rss, swap) = state.rss_and_swap();
        stat.rss = (rss * PAGE_SIZE) as u64;
        stat.swap = (swap * PAGE_SIZE) as u64;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        stat.flags =
            flag(self.is_huge, uapi::SHM_HUGETLB) | flag(self.no_reserve, uapi::SHM_NORESERVE);
        Ok(())
    }

    /// Its pages, where they are to be counted: not under a lock.
    pub(crate) fn to_count(&self) -> Option<ShmemRef> {
        let state = self.state.lock();
        state.pages.as_ref().map(|pages| pages.get())
    }

    /// What root sees of it.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.state.lock();
        let (resident_pages, swapped_pages) = state.rss_and_swap();
        Usage {
            life: state.life,
            key: state.key,
            mode: state.mode(),
            owner: state.ownership.uid,
            attaches: state.attaches,
            attaches_ever: state.attaches_ever,
            resident_pages,
            swapped_pages,
            pages: state.pages.as_ref().map(|pages| pages.get()),
        }
    }

    /// How many pages it has in memory, and in swap (`shm_add_rss_swap()`).
    pub(crate) fn rss_and_swap(&self) -> (usize, usize) {
        self.state.lock().rss_and_swap()
    }
}
