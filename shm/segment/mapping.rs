// SPDX-License-Identifier: GPL-2.0

//! A segment as what its attaches map: how mappings count, and what happens at a fault.

use super::{
    memory,
    state::Life,
    Segment,
    Shared, //
};
use crate::shm::sys::{
    events,
    fs::{
        fault::Fault,
        mapping::{
            Change,
            MappedObject,
            Use, //
        },
        shmem::Shmem,
        shmem_file::ShmemRef, //
    },
    task::{
        ipc_ns,
        pid,
        time, //
    }, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::ArcBorrow, //
};

impl MappedObject for Shared {
    /// As `__shm_open()` in `shm_mmap()`: remap_file_pages(2) may map the file of a segment that is
    /// gone, which is `EINVAL`.
    fn mapped(&self, use_of: &mut Use) -> Result<ShmemRef> {
        let mut state = self.state.lock();
        if state.life == Life::Gone {
            return Err(EINVAL);
        }
        if use_of.may_write() && state.is_sealed() {
            // As `memfd_check_seals_mmap()`.
            if *use_of == Use::Write {
                return Err(EPERM);
            }
            *use_of = Use::Read;
        }
        let pages = state.pages.as_ref().ok_or(EINVAL)?.get();
        // There, where the old mapping was the only one, it has let the namespace go.
        if state.namespace.is_none() {
            state.namespace = state
                .home
                .as_ref()
                .and_then(|home| ipc_ns::get_current_if(home.namespace()));
        }
        state.attach(*use_of);
        events::attach(|| (self.namespace, self.id.number(), state.attaches as u64));
        Ok(pages)
    }

    fn opened(&self, use_of: Use) {
        let mut state = self.state.lock();
        state.attach(use_of);
        events::attach(|| (self.namespace, self.id.number(), state.attaches as u64));
    }

    fn closed(this: ArcBorrow<'_, Self>, use_of: Use) {
        let segment: &Segment = &this;
        let mut state = segment.state.lock();
        state.detached = time::now();
        pid::update(&mut state.last_user);
        state.writers -= usize::from(use_of.may_write());
        let detached = state.detach();
        events::detach(|| {
            let attaches = state.attaches as u64;
            (segment.namespace, segment.id.number(), attaches)
        });
        drop(state);
        detached.finish(segment);
    }

    fn alignment(&self) -> usize {
        if self.is_huge {
            memory::HUGE_BYTES
        } else {
            PAGE_SIZE
        }
    }

    fn fault(&self, fault: &Fault<'_>) {
        let placed = memory::prepare_fault(fault, self.is_huge);
        events::fault(|| {
            // CAST: An order is small.
            let order = placed.as_ref().map_or(-1, |folio| folio.order() as i32);
            (
                self.namespace,
                self.id.number(),
                fault.index() as u64,
                order,
            )
        });
    }

    fn write(&self, change: &mut dyn Change) -> Result<isize> {
        {
            let mut state = self.state.lock();
            if state.is_sealed() {
                return Err(EPERM);
            }
            state.writers += 1;
        }
        let done = change.make();
        self.state.lock().writers -= 1;
        done
    }

    fn punch(&self, pages: Shmem<'_>, bytes: Range<usize>) -> Range<usize> {
        if self.is_huge {
            memory::punch_huge(pages, bytes)
        } else {
            bytes
        }
    }
}
