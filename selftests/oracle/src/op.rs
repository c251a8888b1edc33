// SPDX-License-Identifier: GPL-2.0

//! What is drawn. An operation names workers, segments and attaches by small numbers, so that it keeps its meaning when the sequence
//! around it shrinks: "the second attach that the first worker has". [`crate::run`] makes a [`crate::call::Call`] of it.

use crate::backend::{IPC_INFO, SHM_INFO, SHM_STAT, SHM_STAT_ANY};
use crate::call::{Access, NewOwner, Pointer};
use crate::layout::PAGE;
use crate::strange;
use proptest::prelude::*;
use proptest::sample::select;

/// A segment.
#[derive(Clone, Debug)]
pub enum IdRef {
    /// The so many-th id from the last that was given out, also where it is removed.
    Last(u8),
    /// The same with another sequence number.
    OtherSequence(u8),
    /// Its index.
    Index(u8),
    Raw(i32),
}

/// An address.
#[derive(Clone, Debug)]
pub enum Place {
    Null,
    /// In the so many-th attach of the worker, so many pages and bytes from where it begins.
    Attach {
        nth: u8,
        pages: u16,
        bytes: u16,
    },
    /// In the arena.
    Arena {
        slot: u8,
        pages: u16,
        bytes: u16,
    },
    Raw(u64),
}

/// Part of an attach: the so many-th that the worker has, from a page on, so many pages.
#[derive(Clone, Debug)]
pub struct Part {
    pub nth: u8,
    pub first: u16,
    pub pages: u16,
    /// As much as there is, whatever `pages` says.
    pub whole: bool,
}

/// Where mremap(2) may move to.
#[derive(Clone, Debug)]
pub enum MoveTo {
    Stay,
    Anywhere,
    Arena { slot: u8, pages: u16 },
}

#[derive(Clone, Debug)]
pub enum Action {
    Get {
        key: u8,
        size: u64,
        flags: i32,
    },
    Attach {
        id: IdRef,
        at: Place,
        flags: i32,
    },
    Detach {
        at: Place,
    },
    Ctl {
        id: IdRef,
        command: i32,
        pointer: Pointer,
        new: NewOwner,
    },
    Table {
        chunk: u32,
    },
    Load {
        at: Place,
    },
    Store {
        at: Place,
        value: u8,
    },
    Run {
        at: Place,
    },
    ReadOther {
        whose: u8,
        at: Place,
    },
    Fork,
    Spawn,
    Exec,
    Exit,
    Kill,
    Unmap {
        part: Part,
    },
    Protect {
        part: Part,
        protection: i32,
    },
    Remap {
        part: Part,
        new_pages: u16,
        to: MoveTo,
        dont_unmap: bool,
    },
    Advise {
        part: Part,
        advice: i32,
    },
    Lock {
        part: Part,
        flags: i32,
    },
    Unlock {
        part: Part,
    },
    Sync {
        part: Part,
        flags: i32,
    },
    RemapPages {
        part: Part,
        page: u16,
    },
    Bind {
        part: Part,
        mode: i32,
        nodes: u64,
        flags: u32,
    },
    MovePages {
        part: Part,
        node: i32,
    },
    AdviseOther {
        whose: u8,
        part: Part,
        advice: i32,
    },
    Policy {
        at: Place,
    },
    File {
        part: Part,
        access: Access,
    },
    /// Sets how many MiB each world may use before the kernel reclaims (`memory.high`), a quarter of that where pages are small.
    Squeeze {
        high: Option<u64>,
    },
    /// Has the kernel reclaim so many bytes of each world (`memory.reclaim`), or what it can.
    Reclaim {
        bytes: u64,
    },
    /// Turns swap off, and on again.
    SwapAgain,
    Churn {
        count: u16,
        at_once: bool,
    },
    Wander {
        slot: u8,
    },
    Visit,
    Strange {
        case: u8,
    },
    MapAnonymous {
        slot: u8,
        first: u16,
        pages: u16,
        protection: i32,
    },
    Credentials {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
        capabilities: u64,
    },
    Unshare {
        flags: i32,
    },
    Sysctl {
        name: &'static str,
        value: &'static str,
    },
}

/// An action by the so many-th living worker.
#[derive(Clone, Debug)]
pub struct Op {
    pub who: u8,
    pub action: Action,
}

pub const IPC_CREAT: i32 = libc::IPC_CREAT;
pub const IPC_EXCL: i32 = libc::IPC_EXCL;

/// How many pages the arena's slots are used for.
const REACH: u16 = 1300;

fn size() -> impl Strategy<Value = u64> {
    let hostile = vec![
        u64::MAX,
        u64::MAX - PAGE,
        u64::MAX - (1 << 24),
        1 << 63,
        (1 << 63) - 1,
        (1 << 63) - PAGE,
        1 << 46,
    ];
    prop_oneof![
        6 => select(vec![1, PAGE, 2 * PAGE, 3 * PAGE, PAGE - 1, PAGE + 1, 5 * PAGE, 16 * PAGE, 17 * PAGE]),
        2 => select(vec![0, (2 << 20) - PAGE, 2 << 20, (2 << 20) + 1, 5 << 20]),
        1 => select(hostile),
    ]
}

fn mode() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => select(vec![0o600, 0o666, 0o777, 0o644, 0o640, 0o660, 0o400, 0o000, 0o070, 0o007, 0o200, 0o444]),
        1 => 0..0o1000i32,
    ]
}

/// SHM_HUGETLB, alone, and with sizes that there are and are not; nothing where the module has no such pages.
fn huge_flags() -> &'static [i32] {
    if std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        HUGE_FLAGS
    } else {
        &[0]
    }
}

const HUGE_FLAGS: &[i32] = &[
    libc::SHM_HUGETLB,
    libc::SHM_HUGETLB,
    libc::SHM_HUGETLB | (21 << 26),
    libc::SHM_HUGETLB | (12 << 26),
    libc::SHM_HUGETLB | (31 << 26),
    libc::SHM_HUGETLB | (-1 << 26),
];

fn get_flags() -> impl Strategy<Value = i32> {
    let creation = prop_oneof![
        6 => Just(IPC_CREAT), 2 => Just(0), 2 => Just(IPC_CREAT | IPC_EXCL), 1 => Just(IPC_EXCL)
    ];
    let unknown = prop_oneof![
        40 => Just(0), 1 => select(vec![1 << 13, 1 << 20, 1 << 26, 21 << 26, i32::MIN])
    ];
    let reserve = prop_oneof![9 => Just(0), 1 => Just(libc::SHM_NORESERVE)];
    let huge = prop_oneof![10 => Just(0), 1 => select(huge_flags())];
    (creation, mode(), reserve, huge, unknown).prop_map(
        |(creation, mode, reserve, huge, unknown)| creation | mode | reserve | huge | unknown,
    )
}

fn attach_flags() -> impl Strategy<Value = i32> {
    let known = prop_oneof![
        6 => Just(0),
        6 => (0..16i32).prop_map(|bits| bits << 12),
    ];
    let unknown =
        prop_oneof![60 => Just(0), 1 => select(vec![1, 0o600, 1 << 16, 1 << 20, i32::MIN])];
    (known, unknown).prop_map(|(known, unknown)| known | unknown)
}

fn id() -> impl Strategy<Value = IdRef> {
    prop_oneof![
        20 => (0..3u8).prop_map(IdRef::Last),
        8 => (0..12u8).prop_map(IdRef::Last),
        1 => (0..4u8).prop_map(IdRef::OtherSequence),
        1 => (0..4u8).prop_map(IdRef::Index),
        1 => select(vec![0, -1, i32::MIN, i32::MAX, 32767, 32768, 1 << 24]).prop_map(IdRef::Raw),
    ]
}

/// For statistics by index too.
fn index() -> impl Strategy<Value = IdRef> {
    prop_oneof![3 => id(), 3 => (0..6u8).prop_map(IdRef::Index), 1 => (0..80i32).prop_map(IdRef::Raw)]
}

fn pages() -> impl Strategy<Value = u16> {
    prop_oneof![6 => 0..4u16, 2 => 0..20u16, 1 => 0..REACH, 1 => select(vec![511, 512, 513])]
}

fn bytes() -> impl Strategy<Value = u16> {
    prop_oneof![8 => Just(0u16), 2 => select(vec![1u16, 8, 2048, 4095])]
}

fn hostile_address() -> impl Strategy<Value = u64> {
    use crate::layout::{BUFFER, TASK_SIZE};
    select(vec![
        1,
        PAGE - 1,
        PAGE,
        65536 - PAGE,
        65536,
        BUFFER,
        TASK_SIZE - PAGE,
        TASK_SIZE,
        TASK_SIZE + PAGE,
        TASK_SIZE - 1,
        1 << 47,
        1 << 56,
        1 << 63,
        0xffff_8880_0000_0000,
        0xffff_ffff_ff60_0000,
        u64::MAX,
        u64::MAX - 4095,
        u64::MAX - 8191,
    ])
}

fn in_arena() -> impl Strategy<Value = Place> {
    (0..6u8, pages(), bytes()).prop_map(|(slot, pages, bytes)| Place::Arena { slot, pages, bytes })
}

fn in_attach() -> impl Strategy<Value = Place> {
    (0..5u8, pages(), bytes()).prop_map(|(nth, pages, bytes)| Place::Attach { nth, pages, bytes })
}

/// Where to attach.
fn attach_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        8 => Just(Place::Null), 6 => in_arena(), 3 => in_attach(), 1 => hostile_address().prop_map(Place::Raw)
    ]
}

/// What to detach.
fn detach_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        16 => (0..5u8).prop_map(|nth| Place::Attach { nth, pages: 0, bytes: 0 }),
        2 => in_attach(),
        1 => in_arena(),
        1 => Just(Place::Null),
        1 => hostile_address().prop_map(Place::Raw),
    ]
}

/// What to touch.
fn touch_place() -> impl Strategy<Value = Place> {
    let any_byte = (0..5u8, pages(), 0..4096u16).prop_map(|(nth, pages, bytes)| Place::Attach {
        nth,
        pages,
        bytes,
    });
    prop_oneof![12 => any_byte, 1 => in_arena()]
}

fn part() -> impl Strategy<Value = Part> {
    (0..5u8, pages(), pages(), any::<bool>()).prop_map(|(nth, first, pages, whole)| Part {
        nth,
        first,
        pages,
        whole,
    })
}

fn command() -> impl Strategy<Value = i32> {
    prop_oneof![
        2 => select(vec![libc::SHM_LOCK, libc::SHM_UNLOCK]),
        4 => select(vec![libc::IPC_STAT, SHM_STAT, SHM_STAT_ANY]),
        3 => Just(libc::IPC_SET),
        2 => Just(libc::IPC_RMID),
        1 => select(vec![IPC_INFO, SHM_INFO]),
        1 => select(vec![4, 10, 16, 256, 258, -1, i32::MIN, i32::MAX]),
    ]
}

fn pointer() -> impl Strategy<Value = Pointer> {
    use Pointer::*;
    prop_oneof![12 => Just(Good), 1 => select(vec![Null, Unmapped, ReadOnly, Edge, Kernel])]
}

fn user() -> impl Strategy<Value = u32> {
    prop_oneof![6 => select(vec![0u32, 1000, 1001, 1002]), 1 => select(vec![65534, u32::MAX, u32::MAX - 1])]
}

fn new_owner() -> impl Strategy<Value = NewOwner> {
    let mode = prop_oneof![6 => mode().prop_map(|mode| mode as u32), 1 => any::<u32>()];
    (user(), user(), mode).prop_map(|(uid, gid, mode)| NewOwner { uid, gid, mode })
}

fn capabilities() -> impl Strategy<Value = u64> {
    const OF_INTEREST: [u64; 5] = [1 << 14, 1 << 15, 1 << 21, 1 << 17, 0];
    prop_oneof![
        3 => Just(0), 2 => Just(u64::MAX), 4 => select(&OF_INTEREST[..]),
        1 => (select(&OF_INTEREST[..]), select(&OF_INTEREST[..])).prop_map(|(a, b)| a | b)
    ]
}

fn credentials() -> impl Strategy<Value = Action> {
    let id = || select(vec![0u32, 1000, 1001, 1002]);
    (
        id(),
        id(),
        prop::collection::vec(id(), 0..3),
        capabilities(),
    )
        .prop_map(|(uid, gid, groups, capabilities)| Action::Credentials {
            uid,
            gid,
            groups,
            capabilities,
        })
}

fn advice() -> impl Strategy<Value = i32> {
    use libc::{
        MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED,
        MADV_DONTNEED_LOCKED, MADV_FREE, MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_MERGEABLE,
        MADV_NOHUGEPAGE, MADV_NORMAL, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_RANDOM,
        MADV_REMOVE, MADV_SEQUENTIAL, MADV_UNMERGEABLE, MADV_WILLNEED, MADV_WIPEONFORK,
    };
    let any = select(vec![
        MADV_NORMAL,
        MADV_RANDOM,
        MADV_SEQUENTIAL,
        MADV_WILLNEED,
        MADV_DONTNEED,
        MADV_REMOVE,
        MADV_DONTFORK,
        MADV_DOFORK,
        MADV_DONTDUMP,
        MADV_DODUMP,
        MADV_WIPEONFORK,
        MADV_KEEPONFORK,
        MADV_COLD,
        MADV_FREE,
        MADV_POPULATE_READ,
        MADV_POPULATE_WRITE,
        MADV_DONTNEED_LOCKED,
        MADV_HUGEPAGE,
        MADV_NOHUGEPAGE,
        MADV_MERGEABLE,
        MADV_UNMERGEABLE,
    ]);
    prop_oneof![2 => any, 1 => advice_to_others()]
}

/// What process_madvise(2) can advise too: most of it is reclaim.
fn advice_to_others() -> impl Strategy<Value = i32> {
    use libc::{MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED};
    select(vec![
        MADV_PAGEOUT,
        MADV_PAGEOUT,
        MADV_PAGEOUT,
        MADV_COLLAPSE,
        MADV_COLD,
        MADV_WILLNEED,
    ])
}

fn sysctl() -> impl Strategy<Value = Action> {
    let max = select(vec![
        "18446744073692774399",
        "4096",
        "4095",
        "0",
        "65536",
        "2097152",
        "-1",
        "x",
    ]);
    let all = select(vec!["18446744073692774399", "0", "1", "20", "600", "5000"]);
    let count = select(vec!["4096", "0", "1", "3", "6", "32768", "32769", "-1"]);
    prop_oneof![
        1 => max.prop_map(|value| Action::Sysctl { name: "kernel/shmmax", value }),
        1 => all.prop_map(|value| Action::Sysctl { name: "kernel/shmall", value }),
        1 => count.prop_map(|value| Action::Sysctl { name: "kernel/shmmni", value }),
        1 => select(vec!["-1", "0", "5", "32768", "32769", "65541", "2147483647"])
            .prop_map(|value| Action::Sysctl { name: "kernel/shm_next_id", value }),
        2 => select(vec!["1", "0", "2"]).prop_map(|value| Action::Sysctl { name: "kernel/shm_rmid_forced", value }),
    ]
}

/// Holes, zeros, memory in advance, and what files of memory do not have.
fn fallocate_mode() -> impl Strategy<Value = i32> {
    use libc::{
        FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE,
    };
    prop_oneof![
        8 => select(vec![0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE]),
        1 => select(vec![FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE, 1 << 20]),
    ]
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        1 => Just(Access::Read),
        1 => any::<u8>().prop_map(Access::Write),
        2 => fallocate_mode().prop_map(Access::Allocate),
    ]
}

/// What the tester itself does to the machine. It is rare: some comparisons are less strict from then on.
fn machine() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => select(vec![Some(6), Some(12), None]).prop_map(|high| Action::Squeeze { high }),
        1 => select(vec![PAGE, 1 << 20, 64 << 20]).prop_map(|bytes| Action::Reclaim { bytes }),
        1 => Just(Action::SwapAgain),
    ]
}

fn memory() -> impl Strategy<Value = Action> {
    let protection = || 0..8i32;
    let to = prop_oneof![
        2 => Just(MoveTo::Stay),
        2 => Just(MoveTo::Anywhere),
        2 => (0..6u8, pages()).prop_map(|(slot, pages)| MoveTo::Arena { slot, pages }),
    ];
    prop_oneof![
        4 => part().prop_map(|part| Action::Unmap { part }),
        4 => (part(), protection()).prop_map(|(part, protection)| Action::Protect { part, protection }),
        4 => (part(), pages(), to, prop::bool::weighted(0.1)).prop_map(|(part, new_pages, to, dont_unmap)| {
            Action::Remap { part, new_pages, to, dont_unmap }
        }),
        6 => (part(), advice()).prop_map(|(part, advice)| Action::Advise { part, advice }),
        2 => (part(), 0..2i32).prop_map(|(part, flags)| Action::Lock { part, flags }),
        1 => part().prop_map(|part| Action::Unlock { part }),
        2 => (part(), 0..7i32, select(vec![1u64, 1, 2, 3]), select(vec![0u32, 1, 2, 3, 3, 8])).prop_map(|(part, mode, nodes, flags)| {
            Action::Bind { part, mode, nodes, flags }
        }),
        2 => (part(), -1..3i32).prop_map(|(part, node)| Action::MovePages { part, node }),
        2 => (0..5u8, part(), advice_to_others()).prop_map(|(whose, part, advice)| Action::AdviseOther { whose, part, advice }),
        2 => in_attach().prop_map(|at| Action::Policy { at }),
        1 => (part(), 0..8i32).prop_map(|(part, flags)| Action::Sync { part, flags }),
        1 => (part(), pages()).prop_map(|(part, page)| Action::RemapPages { part, page }),
        4 => (part(), access()).prop_map(|(part, access)| Action::File { part, access }),
        2 => (0..6u8, pages(), 1..4u16, protection()).prop_map(|(slot, first, pages, protection)| {
            Action::MapAnonymous { slot, first, pages, protection }
        }),
    ]
}

fn life() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Fork),
        2 => Just(Action::Spawn),
        1 => Just(Action::Exec),
        2 => Just(Action::Exit),
        1 => Just(Action::Kill),
    ]
}

fn unshare() -> impl Strategy<Value = Action> {
    use libc::{CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWUSER};
    select(vec![
        CLONE_NEWIPC,
        CLONE_NEWPID,
        CLONE_NEWUSER,
        CLONE_NEWUSER | CLONE_NEWIPC,
        CLONE_NEWUSER | CLONE_NEWPID,
    ])
    .prop_map(|flags| Action::Unshare { flags })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        18 => (0..4u8, size(), get_flags()).prop_map(|(key, size, flags)| Action::Get { key, size, flags }),
        24 => (id(), attach_place(), attach_flags()).prop_map(|(id, at, flags)| Action::Attach { id, at, flags }),
        10 => detach_place().prop_map(|at| Action::Detach { at }),
        16 => (command(), id(), index(), pointer(), new_owner()).prop_map(|(command, id, index, pointer, new)| {
            let id = if [SHM_STAT, SHM_STAT_ANY].contains(&command) { index } else { id };
            Action::Ctl { id, command, pointer, new }
        }),
        2 => prop_oneof![1..200u32, Just(4096)].prop_map(|chunk| Action::Table { chunk }),
        8 => touch_place().prop_map(|at| Action::Load { at }),
        8 => (touch_place(), any::<u8>()).prop_map(|(at, value)| Action::Store { at, value }),
        2 => touch_place().prop_map(|at| Action::Run { at }),
        2 => (0..5u8, touch_place()).prop_map(|(whose, at)| Action::ReadOther { whose, at }),
        24 => memory(),
        8 => life(),
        8 => credentials(),
        2 => unshare(),
        2 => sysctl(),
        1 => (1..100u16, any::<bool>()).prop_map(|(count, at_once)| Action::Churn { count, at_once }),
        1 => machine(),
        1 => Just(Action::Visit),
        1 => (0..6u8).prop_map(|slot| Action::Wander { slot }),
        1 => (0..strange::CASES.len() as u8).prop_map(|case| Action::Strange { case }),
    ]
}

/// An operation. Where there is swap, more of them are about memory.
pub fn op(swap: bool) -> impl Strategy<Value = Op> {
    let reclaim = (part(), advice_to_others()).prop_map(|(part, advice)| Action::Advise {
        part: Part {
            whole: true,
            ..part
        },
        advice,
    });
    let swap = u32::from(swap);
    let action = prop_oneof![
        9 => action(),
        2 * swap => memory(),
        2 * swap => (touch_place(), any::<u8>()).prop_map(|(at, value)| Action::Store { at, value }),
        2 * swap => touch_place().prop_map(|at| Action::Load { at }),
        swap => reclaim,
    ];
    (0..4u8, action).prop_map(|(who, action)| Op { who, action })
}
