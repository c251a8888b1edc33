// SPDX-License-Identifier: GPL-2.0

//! The pages of a segment: where they come from, and how large they are.
//!
//! They are in a file of shmem ([`ShmemFile`]), which the segment owns, and shmem serves the faults.
//! What is ours is done before: where nothing is at the place of a fault, the largest folio that
//! fits is put there, cleared once ([`prepare_fault()`]). And SHM_HUGETLB is a promise: all of the
//! segment is there from the beginning, in huge pages ([`fill()`]).

use crate::shm::{
    rules::limits,
    sys::{
        fs::{
            fault::Fault,
            mount::TmpfsMount,
            parameter::{
                parameter,
                Setting, //
            },
            shmem::Shmem,
            shmem_file, //
        },
        mm::{
            folio::{
                self,
                LockedFolio,
                LARGE_FOLIOS,
                PMD_ORDER, //
            },
            lent::LentMm, //
        },
        sync::{
            once::OnceTable,
            queue::OwnedQueue, //
        },
        task::thread::{
            self,
            Client, //
        }, //
    }, //
};
use core::{
    ffi::CStr,
    ops::Range, //
};
use kernel::{
    fmt,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Completion, //
    }, //
};

/// Which folios of more than one page are made: tmpfs's mount option `huge=`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Huge {
    /// None.
    Never,
    /// Those that lie in the segment.
    WithinSize,
    /// The largest, also over the end of the segment.
    Always,
}

impl Huge {
    const ALL: [Self; 3] = [Self::Never, Self::WithinSize, Self::Always];

    fn name(self) -> &'static CStr {
        match self {
            Self::Never => c"never",
            Self::WithinSize => c"within_size",
            Self::Always => c"always",
        }
    }
}

impl Setting for Huge {
    fn parse(text: &str) -> Result<Self> {
        let named = |huge: &Self| huge.name().to_bytes() == text.as_bytes();
        Self::ALL.into_iter().find(named).ok_or(EINVAL)
    }

    fn into_word(self) -> u64 {
        self as u64
    }

    fn from_word(word: u64) -> Self {
        let is = |huge: &Self| huge.into_word() == word;
        Self::ALL.into_iter().find(is).unwrap_or(Self::WithinSize)
    }
}

impl fmt::Display for Huge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().to_str().unwrap_or_default())
    }
}

parameter! {
    /// What the pages are made of, of segments whose file is made from now on.
    static HUGE: Huge = Huge::WithinSize, "huge", 0o644,
        "Large folios: always, within_size, never (within_size)";
}

/// The filesystem of [`Huge::Always`].
static ALWAYS: Atomic<usize> = Atomic::new(0);

/// The mounts that files of segments are on: one for each value of `huge`.
pub(crate) struct Mounts([TmpfsMount; Huge::ALL.len()]);

impl Mounts {
    /// Makes them.
    pub(crate) fn new() -> Result<Self> {
        let [never, within_size, always] = Huge::ALL.map(|huge| TmpfsMount::new(huge.name()));
        let always = always?;
        ALWAYS.store(always.filesystem(), Relaxed);
        Ok(Self([never?, within_size?, always]))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[TmpfsMount] {
        &self.0
    }

    /// The one for files of huge pages.
    pub(crate) fn huge(&self) -> &TmpfsMount {
        let [_, within_size, _] = &self.0;
        within_size
    }

    /// The one for other new files.
    pub(crate) fn current(&self) -> &TmpfsMount {
        let [never, within_size, always] = &self.0;
        match HUGE.value() {
            Huge::WithinSize if LARGE_FOLIOS => within_size,
            Huge::Always if LARGE_FOLIOS => always,
            _ => never,
        }
    }
}

/// What is being placed at this moment: of those who come to a block at the same time, one allocates
/// and clears a folio.
static PLACING: OnceTable = OnceTable::new();

/// Puts a folio at the place of a fault, where nothing is, and returns it. If that fails, shmem's own fault
/// says why.
pub(crate) fn prepare_fault(fault: &Fault<'_>, is_huge: bool) -> Option<LockedFolio> {
    let pages = fault.pages();
    let index = fault.index();
    let is_there = || pages.has(index);
    // What shmem does better, as it knows the mapping: a fault waits for a hole that is punched
    // there; a page is charged to the memory cgroup of the mapping, not of the caller.
    if is_there() || pages.is_changing() || fault.is_remote() {
        return None;
    }
    if !is_huge && (fault.wants_small() || may_leave_mapping(fault)) {
        return None;
    }
    let order = if is_huge || LARGE_FOLIOS {
        PMD_ORDER
    } else {
        0
    };
    // The second time, somebody else has placed a folio in the same block, but not here.
    for _ in 0..2 {
        if let Some(_turn) = PLACING.begin(pages.address().wrapping_add(index >> order)) {
            return pages.place(index).ok();
        }
        if is_there() {
            break;
        }
    }
    None
}

/// Whether a folio for the fault must not reach over the ends of the mapping, and may: shmem's own
/// fault keeps it within. Where mbind(2) was called, it has split the mapping between two NUMA
/// policies. And by [`Huge::Always`], a folio may reach over the end of the segment, and be seen there
/// when the mapping is made longer.
fn may_leave_mapping(fault: &Fault<'_>) -> bool {
    let pages = fault.pages();
    let is_always = pages.filesystem() == ALWAYS.load(Relaxed);
    if !is_always && !pages.has_policy() {
        return false;
    }
    let (mapped, block) = (fault.mapped(), 1 << PMD_ORDER);
    let first = fault.index() & !(block - 1);
    let mut end = first + block;
    if !is_always {
        end = end.min(pages.size().div_ceil(PAGE_SIZE));
    }
    first < mapped.start || end > mapped.end
}

/// The size of a huge page, in bytes.
pub(crate) const HUGE_BYTES: usize = PAGE_SIZE << PMD_ORDER;

/// Whether there are huge pages of a size given by its logarithm, 0 for the usual one.
pub(crate) fn has_huge_pages(size_log: u32) -> bool {
    PMD_ORDER != 0 && (size_log == 0 || size_log == HUGE_BYTES.ilog2())
}

/// How many bytes a segment of `size` bytes takes in huge pages; `None` if that is too much for a
/// file.
pub(crate) fn in_huge_pages(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(HUGE_BYTES)
        .filter(|bytes| limits::file_fits(*bytes).is_ok())
}

/// How many bytes are in huge pages: folios that a PMD can map. They are counted, which takes time
/// in proportion to what is resident: the kernel splits such folios without telling.
pub(crate) fn huge_bytes(pages: Shmem<'_>) -> usize {
    let mut count = 0;
    if PMD_ORDER != 0 {
        pages.each_folio(|order| count += usize::from(order == PMD_ORDER));
    }
    count * HUGE_BYTES
}

/// Frees the huge pages in a range of bytes, but for those of which only a part is in it: that part
/// is cleared. As `hugetlbfs_punch_hole()`. Returns the range that is left to free.
pub(crate) fn punch_huge(pages: Shmem<'_>, bytes: Range<usize>) -> Range<usize> {
    let end = bytes.end.min(pages.size());
    let whole = bytes.start.next_multiple_of(HUGE_BYTES)..end / HUGE_BYTES * HUGE_BYTES;
    pages.isolate_poisoned(whole.start >> PAGE_SHIFT..whole.end >> PAGE_SHIFT);
    if whole.is_empty() {
        pages.clear(bytes.start..end);
        return 0..0;
    }
    pages.clear(bytes.start..whole.start);
    pages.clear(whole.end..end);
    whole
}

/// Huge pages that are being placed, all of them, by several tasks.
#[pin_data]
struct Filling {
    file: shmem_file::ShmemRef,
    client: Client,
    blocks: usize,
    /// The next that nobody has begun.
    next: Atomic<usize>,
    failed: Atomic<u32>,
    /// How many tasks are at it.
    tasks: Atomic<i32>,
    #[pin]
    done: Completion,
}

impl Filling {
    /// So many huge pages are worth another task.
    const WORTH_A_TASK: usize = (64_usize << 20).div_ceil(HUGE_BYTES);

    /// Takes part until there is nothing left to begin.
    fn help(&self) {
        while self.failed.load(Relaxed) == 0 {
            let block = self.next.fetch_add(1, Relaxed);
            if block >= self.blocks {
                break;
            }
            let (pages, index) = (self.file.view(), block << PMD_ORDER);
            if !pages.has(index) && pages.place_huge(index).is_err() || self.client.is_killed() {
                self.failed.store(1, Relaxed);
            }
        }
    }

    /// The calling task takes part no more.
    fn leave(&self) {
        if self.tasks.fetch_add(-1, Full) == 1 {
            self.done.complete_all();
        }
    }
}

/// Fills an empty file with huge pages, all of it; `ENOMEM` if there are not enough. A task that is
/// killed goes no further. Work items of `queue` take part where there is much to clear: on behalf of
/// the caller, whose memory cgroup pays.
pub(crate) fn fill(file: &shmem_file::ShmemFile, queue: &OwnedQueue) -> Result {
    let pages = file.view().size() >> PAGE_SHIFT;
    // What cannot be is not begun: it would take the memory from everybody else.
    if pages > folio::all_pages() {
        return Err(ENOMEM);
    }
    let is_short = || pages > folio::available_pages();
    if is_short() {
        folio::drain_cpus();
        if is_short() {
            return Err(ENOMEM);
        }
    }
    file.view().forbid_oom(true);
    let mm = LentMm::of_current();
    let mut filled = place_all(file, queue, mm.as_ref(), false);
    if filled == Err(ENOMEM) {
        folio::drain_cpus();
        filled = place_all(file, queue, mm.as_ref(), mm.is_some());
    }
    file.view().forbid_oom(false);
    filled
}

/// Places what is missing: from the nodes that the tasks run on, or, by one work item, from any.
fn place_all(
    file: &shmem_file::ShmemFile,
    queue: &OwnedQueue,
    mm: Option<&LentMm>,
    from_any_node: bool,
) -> Result {
    let blocks = file.view().size() >> PAGE_SHIFT >> PMD_ORDER;
    let filling = Arc::pin_init(
        pin_init!(Filling {
            file: file.get(),
            client: Client::current(),
            blocks,
            next: Atomic::new(0),
            failed: Atomic::new(0),
            tasks: Atomic::new(1),
            done <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let helpers = if from_any_node {
        1
    } else {
        (blocks / Filling::WORTH_A_TASK)
            .min(thread::online_cpus())
            .saturating_sub(1)
    };
    if let Some(mm) = mm {
        for _ in 0..helpers {
            let (mm, helped) = (mm.clone(), filling.clone());
            filling.tasks.fetch_add(1, Relaxed);
            let helper = move || {
                mm.with(from_any_node, || helped.help());
                // The caller, who waits, lets its address space go last.
                drop(mm);
                helped.leave();
            };
            if queue.try_spawn(GFP_KERNEL, helper).is_err() {
                filling.tasks.fetch_add(-1, Relaxed);
                break;
            }
        }
    }
    if !from_any_node {
        filling.help();
    }
    filling.leave();
    filling.done.wait_for_completion();
    if filling.client.is_killed() {
        Err(EINTR)
    } else if filling.failed.load(Relaxed) != 0 || filling.next.load(Relaxed) < blocks {
        Err(ENOMEM)
    } else {
        Ok(())
    }
}
