// SPDX-License-Identifier: GPL-2.0

//! `shm/id.rs` against `ipc_idr_alloc()` in `ipc/util.c` and the macros in `ipc/util.h`, for both ways to number.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use proptest::prelude::*;

use crate::config;
use crate::id::{Cycle, Id, IdLayout, Key};

const RADIX_TREE_MAP_SIZE: i32 = 64;

/// The variables of `ipc/ipc_sysctl.c`, and the id_layout that is held against them.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    id_layout: IdLayout,
    ipc_mni: i32,
    ipc_mni_shift: i32,
    ipc_min_cycle: i32,
}

/// As they are at first: IPCMNI, IPCMNI_SHIFT, RADIX_TREE_MAP_SIZE.
const USUAL: Kernel = Kernel {
    id_layout: IdLayout::DEFAULT,
    ipc_mni: 1 << 15,
    ipc_mni_shift: 15,
    ipc_min_cycle: RADIX_TREE_MAP_SIZE,
};

/// As `ipc_mni_extend()` sets them: IPCMNI_EXTEND, IPCMNI_EXTEND_SHIFT, IPCMNI_EXTEND_MIN_CYCLE.
const EXTENDED: Kernel = Kernel {
    id_layout: IdLayout::EXTENDED,
    ipc_mni: 1 << 24,
    ipc_mni_shift: 24,
    ipc_min_cycle: RADIX_TREE_MAP_SIZE * RADIX_TREE_MAP_SIZE,
};

const KERNELS: [Kernel; 2] = [USUAL, EXTENDED];

impl Kernel {
    fn ipcid_to_idx(self, id: i32) -> i32 {
        id & ((1 << self.ipc_mni_shift) - 1)
    }

    fn ipcid_to_seqx(self, id: i32) -> i32 {
        id >> self.ipc_mni_shift
    }

    fn ipcid_seq_max(self) -> i32 {
        i32::MAX >> self.ipc_mni_shift
    }

    /// `max_idx` of `ipc_idr_alloc()`: one more than the highest.
    fn max_idx(self, in_use: i32) -> i32 {
        let max_idx = (in_use * 3 / 2).max(self.ipc_min_cycle);
        max_idx.min(self.ipc_mni)
    }
}

/// `struct ipc_ids`
#[derive(Clone, Debug)]
struct IpcIds {
    kernel: Kernel,
    in_use: i32,
    seq: u16,
    last_idx: i32,
    /// `idr_next` and what the idr holds: the id at each index.
    idr_next: i32,
    idr: BTreeMap<i32, i32>,
}

impl IpcIds {
    fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            in_use: 0,
            seq: 0,
            last_idx: -1,
            idr_next: 0,
            idr: BTreeMap::new(),
        }
    }

    /// `idr_alloc_cyclic(&ids->ipcs_idr, NULL, 0, max_idx, GFP_NOWAIT)`
    fn idr_alloc_cyclic(&mut self, max_idx: i32) -> Option<i32> {
        let free = |from: i32| (from..max_idx).find(|idx| !self.idr.contains_key(idx));
        let idx = free(self.idr_next).or_else(|| free(0))?;
        self.idr_next = idx + 1;
        Some(idx)
    }

    /// What `ipc_idr_alloc()` does with the index that it got.
    fn sequence_and_id(&mut self, idx: i32) -> i32 {
        if idx <= self.last_idx {
            self.seq = self.seq.wrapping_add(1);
            if i32::from(self.seq) >= self.kernel.ipcid_seq_max() {
                self.seq = 0;
            }
        }
        self.last_idx = idx;
        (i32::from(self.seq) << self.kernel.ipc_mni_shift) + idx
    }

    /// `ipc_addid()`
    fn add(&mut self) -> Option<i32> {
        if self.in_use >= self.kernel.ipc_mni {
            return None;
        }
        let idx = self.idr_alloc_cyclic(self.kernel.max_idx(self.in_use))?;
        let id = self.sequence_and_id(idx);
        self.idr.insert(idx, id);
        self.in_use += 1;
        Some(id)
    }

    /// `idr_alloc(&ids->ipcs_idr, new, min, ipc_mni, GFP_NOWAIT)`: the cycle goes on where it was.
    fn idr_alloc(&self, min: i32) -> Option<i32> {
        (min..self.kernel.ipc_mni).find(|idx| !self.idr.contains_key(idx))
    }

    /// `ipc_addid()` where `kernel.shm_next_id` was set.
    fn add_next(&mut self, next_id: i32) -> Option<i32> {
        if self.in_use >= self.kernel.ipc_mni {
            return None;
        }
        let seq = self.kernel.ipcid_to_seqx(next_id);
        let idx = self.idr_alloc(self.kernel.ipcid_to_idx(next_id))?;
        let id = (seq << self.kernel.ipc_mni_shift) + idx;
        self.idr.insert(idx, id);
        self.in_use += 1;
        Some(id)
    }

    /// `ipc_rmid()`
    fn remove(&mut self, id: i32) {
        assert_eq!(self.idr.remove(&self.kernel.ipcid_to_idx(id)), Some(id));
        self.in_use -= 1;
    }
}

/// A cycle and the reference: new, or just before the sequence numbers begin anew.
fn start(kernel: Kernel, late: bool) -> (Cycle, IpcIds) {
    static LATE: [OnceLock<(Cycle, IpcIds)>; 2] = [OnceLock::new(), OnceLock::new()];
    if !late {
        return (Cycle::new(), IpcIds::new(kernel));
    }
    LATE[usize::from(kernel.id_layout == IdLayout::EXTENDED)]
        .get_or_init(|| {
            let (mut cycle, mut ids) = start(kernel, false);
            for _ in 0..kernel.ipcid_seq_max() - 5 {
                cycle.next(kernel.id_layout, 0);
                ids.sequence_and_id(0);
            }
            (cycle, ids)
        })
        .clone()
}

fn split_is_composed(kernel: Kernel, index: u32, sequence: u32) {
    let id_layout = kernel.id_layout;
    let id = id_layout.compose(index, sequence);
    assert_eq!(
        (id_layout.index(id), id_layout.sequence(id)),
        (index, sequence)
    );
    let number = i32::try_from(id.number()).expect("an id is not negative for a program");
    assert_eq!(
        number,
        ((sequence as i32) << kernel.ipc_mni_shift) + index as i32
    );
    assert_eq!(Id::from_user(number), Some(id));
}

#[test]
fn the_numbers_are_the_kernels() {
    for kernel in KERNELS {
        assert_eq!(kernel.id_layout.max_segments() as i32, kernel.ipc_mni);
    }
    assert_eq!(IdLayout::DEFAULT.max_segments(), 32_768);
    assert_eq!(IdLayout::EXTENDED.max_segments(), 16_777_216);
    assert_eq!(IdLayout::DEFAULT.last_index(0), 63);
    assert_eq!(IdLayout::EXTENDED.last_index(0), 4095);
    assert_eq!(Key::PRIVATE, Key(0));
    assert_eq!(Id::from_user(0), Some(Id::NONE));
}

#[test]
fn split_gives_what_was_composed_for_all_indices_and_for_all_sequences() {
    for kernel in KERNELS {
        let (indices, sequences) = (kernel.ipc_mni as u32, kernel.ipcid_seq_max() as u32);
        for index in 0..indices {
            split_is_composed(kernel, index, sequences - 1 - index % sequences);
        }
        for sequence in 0..sequences {
            for index in [0, 1, indices / 2, indices - 1] {
                split_is_composed(kernel, index, sequence);
            }
        }
    }
}

#[test]
fn an_id_is_read_as_it_was_numbered() {
    let id = Id::from_user(0x0123_4567).expect("it is not negative");
    assert_eq!(IdLayout::DEFAULT.index(id), 0x4567);
    assert_eq!(IdLayout::DEFAULT.sequence(id), 0x0123_4567 >> 15);
    assert_eq!(IdLayout::EXTENDED.index(id), 0x23_4567);
    assert_eq!(IdLayout::EXTENDED.sequence(id), 0x01);
}

#[test]
fn from_user_refuses_negatives() {
    for id in [i32::MIN, i32::MIN + 1, -(1 << 24), -(1 << 15), -2, -1] {
        assert_eq!(Id::from_user(id), None, "{id}");
    }
    for id in [0, 1, (1 << 15) - 1, 1 << 15, 1 << 24, i32::MAX] {
        assert_eq!(Id::from_user(id).map(Id::number), Some(id as u32), "{id}");
    }
}

#[test]
fn the_first_ids_count_up_from_zero() {
    for (id_layout, cycle_length, step) in [
        (IdLayout::DEFAULT, 64, 1 << 15),
        (IdLayout::EXTENDED, 4096, 1 << 24),
    ] {
        let mut cycle = Cycle::new();
        for index in 0..cycle_length {
            assert_eq!(cycle.next(id_layout, index).number(), index);
        }
        assert_eq!(cycle.next(id_layout, 0).number(), step);
        assert_eq!(cycle.next(id_layout, 1).number(), step | 1);
    }
}

#[test]
fn a_stale_id_returns_only_when_the_sequence_wraps() {
    for (kernel, sequences) in [(USUAL, 65535), (EXTENDED, 127)] {
        let id_layout = kernel.id_layout;
        for index in [0, 1, 63, 4095, id_layout.max_segments() - 1] {
            let mut cycle = Cycle::new();
            let mut seen = HashSet::new();
            let first = cycle.next(id_layout, index);
            seen.insert(first.number());
            let mut last = first;
            for _ in 1..kernel.ipcid_seq_max() {
                let next = cycle.next(id_layout, index);
                assert_ne!(next, last);
                assert_eq!(id_layout.index(next), index);
                assert!(seen.insert(next.number()), "{next:?} was there before");
                last = next;
            }
            assert_eq!(seen.len(), sequences);
            assert_eq!(cycle.next(id_layout, index), first);
        }
    }
}

#[test]
fn the_sequence_wraps_as_ipc_idr_allocs() {
    for kernel in KERNELS {
        let (mut cycle, mut ids) = start(kernel, false);
        for round in 0..3 * kernel.ipcid_seq_max() {
            let index = round % 3 / 2; // Stays at 0, goes to 1, comes back.
            assert_eq!(
                cycle.next(kernel.id_layout, index as u32).number() as i32,
                ids.sequence_and_id(index)
            );
        }
    }
}

#[test]
fn last_index_is_ipc_idr_allocs_for_all_counts() {
    for kernel in KERNELS {
        for in_use in 0..=kernel.ipc_mni {
            assert_eq!(
                kernel.id_layout.last_index(in_use as u32) as i32,
                kernel.max_idx(in_use) - 1,
                "{in_use} in use"
            );
        }
    }
}

#[test]
fn last_index_is_bounded_and_leaves_room() {
    for kernel in KERNELS {
        let max_segments = kernel.ipc_mni as u32;
        for in_use in 0..=max_segments + 2 {
            let last = kernel.id_layout.last_index(in_use);
            assert!(
                (kernel.ipc_min_cycle as u32 - 1..max_segments).contains(&last),
                "{last} with {in_use} in use"
            );
            assert!(
                last >= in_use || in_use >= max_segments,
                "{last} with {in_use} in use"
            );
        }
        for in_use in [
            u32::MAX / 3,
            u32::MAX / 3 + 1,
            u32::MAX / 2,
            u32::MAX - 1,
            u32::MAX,
        ] {
            assert_eq!(kernel.id_layout.last_index(in_use), max_segments - 1);
        }
    }
}

fn kernel() -> impl Strategy<Value = Kernel> {
    prop::sample::select(&KERNELS)
}

/// A kernel, and indices: few, so that the cycle goes round; near both ends; or any.
fn indices() -> impl Strategy<Value = (Kernel, Vec<i32>)> {
    kernel().prop_flat_map(|kernel| {
        let mni = kernel.ipc_mni;
        let index = prop_oneof![0..4, mni - 3..mni, 0..mni];
        (Just(kernel), prop::collection::vec(index, 0..64))
    })
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    /// With an id that was asked for.
    AddNext(i32),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    // Few indices, so that they are taken, and the last ones, so that none is left.
    let next_id = prop_oneof![0..4, i32::MAX - 2..=i32::MAX, 0..=i32::MAX];
    prop_oneof![
        11 => Just(Step::Add),
        2 => next_id.prop_map(Step::AddNext),
        7 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

#[test]
fn an_id_that_is_asked_for_keeps_its_sequence_whatever_the_index() {
    for kernel in KERNELS {
        let id_layout = kernel.id_layout;
        let wanted = id_layout.compose(5, 7);
        assert_eq!(Cycle::asked_for(id_layout, wanted, 5), wanted);
        assert_eq!(
            Cycle::asked_for(id_layout, wanted, 6),
            id_layout.compose(6, 7)
        );
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn split_gives_what_was_composed(kernel in kernel(), number in 0..i32::MAX) {
        split_is_composed(kernel, kernel.ipcid_to_idx(number) as u32, kernel.ipcid_to_seqx(number) as u32);
    }

    #[test]
    fn split_is_ipcid_to_idx_and_ipcid_to_seqx(kernel in kernel(), number: i32) {
        let id_layout = kernel.id_layout;
        let split = Id::from_user(number).map(|id| (id_layout.index(id) as i32, id_layout.sequence(id) as i32));
        prop_assert_eq!(split, (number >= 0).then(|| (kernel.ipcid_to_idx(number), kernel.ipcid_to_seqx(number))));
    }

    #[test]
    fn next_is_ipc_idr_allocs(late: bool, (kernel, indices) in indices()) {
        let (mut cycle, mut ids) = start(kernel, late);
        for index in indices {
            prop_assert_eq!(cycle.next(kernel.id_layout, index as u32).number() as i32, ids.sequence_and_id(index));
        }
    }

    #[test]
    fn no_id_returns_before_the_sequence_wraps((kernel, indices) in indices()) {
        let mut cycle = Cycle::new();
        let mut seen = HashSet::new();
        for index in indices {
            prop_assert!(seen.insert(cycle.next(kernel.id_layout, index as u32).number()));
        }
    }

    /// Segments come and go: with an index no higher than `last_index()`, all ids are those of `ipc_addid()`, and where one is asked for
    /// too. Some have come and gone before, so that the shortest cycle is soon at its end.
    #[test]
    fn ids_are_ipc_addids(
        kernel in kernel(),
        late: bool,
        to_the_end in 1i32..=64,
        script in prop::collection::vec(step(), 0..300),
    ) {
        let id_layout = kernel.id_layout;
        let (mut cycle, mut ids) = start(kernel, late);
        let before = kernel.ipc_min_cycle - to_the_end;
        prop_assert_eq!(cycle.next(id_layout, before as u32).number() as i32, ids.sequence_and_id(before));
        ids.idr_next = before + 1;
        let mut indices = ids.clone(); // Our own table: only its choice of an index is used.
        let mut live = Vec::new();
        for step in script {
            match step {
                Step::AddNext(next_id) => {
                    let wanted = Id::from_user(next_id).expect("it is not negative");
                    let index = indices.idr_alloc(id_layout.index(wanted) as i32);
                    let id = index.map(|index| Cycle::asked_for(id_layout, wanted, index as u32).number() as i32);
                    prop_assert_eq!(id, ids.add_next(next_id));
                    if let (Some(index), Some(id)) = (index, id) {
                        indices.idr.insert(index, id);
                        indices.in_use += 1;
                        live.push(id);
                    }
                }
                Step::Remove(which) if !live.is_empty() => {
                    let id = live.swap_remove(which.index(live.len()));
                    ids.remove(id);
                    indices.remove(id);
                }
                _ => {
                    let last_index = id_layout.last_index(live.len() as u32) as i32;
                    let index = indices.idr_alloc_cyclic(last_index + 1).expect("there is room");
                    let id = cycle.next(id_layout, index as u32).number() as i32;
                    prop_assert_eq!(Some(id), ids.add());
                    prop_assert!(!live.contains(&id));
                    indices.idr.insert(index, id);
                    indices.in_use += 1;
                    live.push(id);
                }
            }
        }
    }
}
