// SPDX-License-Identifier: GPL-2.0

//! The debugfs files `rust_shm/namespaces` and `rust_shm/segments`, which list all IPC namespaces.
//!
//! - `namespaces`: a line for each namespace that has used the device, with the inode number of
//!   `/proc/PID/ns/ipc`.
//! - `segments`: a line for each segment. Column `oN` is the number of folios of order N.
//!
//! User ids are those of the initial user namespace, sizes are in bytes. Columns may be added at
//! the end.

use crate::shm::{
    registry::{
        namespace::Namespaces,
        Registry, //
    },
    segment::state::{
        Home,
        Life, //
    },
    sys::{
        fs::debugfs::{
            Directory,
            SeqFile,
            SeqShow, //
        },
        mm::folio::PMD_ORDER,
        task::thread, //
    }, //
};
use core::ffi::CStr;
use kernel::{
    fmt::{
        self,
        Write, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// The files, removed when this is dropped.
pub(crate) type Report = Directory<Arc<Namespaces>>;

struct NamespaceList;
struct SegmentList;

/// Creates the files.
pub(crate) fn new(namespaces: Arc<Namespaces>) -> impl PinInit<Report> {
    Directory::new(c"rust_shm", namespaces).pin_chain(|mut directory| {
        directory.as_mut().add::<NamespaceList>();
        directory.as_mut().add::<SegmentList>();
        Ok(())
    })
}

impl SeqShow<Arc<Namespaces>> for NamespaceList {
    const NAME: &'static CStr = c"namespaces";

    fn show(of: &Arc<Namespaces>, to: &mut SeqFile<'_>) -> fmt::Result {
        show_namespaces(of, to)
    }
}

impl SeqShow<Arc<Namespaces>> for SegmentList {
    const NAME: &'static CStr = c"segments";

    fn show(of: &Arc<Namespaces>, to: &mut SeqFile<'_>) -> fmt::Result {
        show_segments(of, to)
    }
}

fn show_namespaces(namespaces: &Arc<Namespaces>, to: &mut SeqFile<'_>) -> fmt::Result {
    to.write_str(" namespace   segments                pages    created    removed\n")?;
    each_registry(namespaces, |registry| {
        let totals = registry.totals();
        writeln!(
            to,
            "{:10} {:10} {:20} {:10} {:10}",
            registry.namespace().inode(),
            totals.in_use,
            totals.total_pages,
            totals.created,
            totals.created.wrapping_sub(totals.in_use),
        )
    })
}

fn show_segments(namespaces: &Arc<Namespaces>, to: &mut SeqFile<'_>) -> fmt::Result {
    to.write_str(
        " namespace      shmid        key                 size  mode        uid     nattch",
    )?;
    to.write_str("    attaches   detaches                  rss")?;
    for order in 0..=PMD_ORDER {
        write!(to, "{:>5}{order}", "o")?;
    }
    to.write_str("                 swap\n")?;
    each_registry(namespaces, |registry| {
        let mut index = 0;
        while let Some((at, segment)) = registry.first_from(index) {
            index = at + 1;
            let usage = segment.usage();
            if usage.life == Life::Gone {
                continue;
            }
            write!(
                to,
                "{:10} {:10} {:#010x} {:20} {:5o} {:10} {:10} {:11} {:10} {:20}",
                registry.namespace().inode(),
                segment.id().number(),
                usage.key.0,
                segment.size(),
                usage.mode,
                usage.owner.0,
                usage.attaches,
                usage.attaches_ever,
                usage.attaches_ever.wrapping_sub(usage.attaches as u32),
                usage.resident_pages * PAGE_SIZE,
            )?;
            for count in usage.folios() {
                write!(to, "{count:6}")?;
            }
            writeln!(to, " {:20}", usage.swapped_pages * PAGE_SIZE)?;
            if to.is_full() || thread::fatal_signal_pending() {
                break;
            }
        }
        Ok(())
    })
}

fn each_registry(
    namespaces: &Namespaces,
    mut f: impl FnMut(&Registry) -> fmt::Result,
) -> fmt::Result {
    let mut last = None;
    while let Some(registry) = namespaces.first_after(last) {
        last = Some(registry.namespace());
        f(&registry)?;
    }
    Ok(())
}
