// SPDX-License-Identifier: GPL-2.0

//! `shm/id.rs` against `ipc_idr_alloc()` in `ipc/util.c` and the macros in `ipc/util.h`.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use proptest::prelude::*;

use crate::config;
use crate::id::{Cycle, Id, Key, INDEX_BITS, MAX_SEGMENTS};

const IPCMNI_SHIFT: i32 = 15;
const IPC_MNI: i32 = 1 << IPCMNI_SHIFT;
/// RADIX_TREE_MAP_SIZE
const IPC_MIN_CYCLE: i32 = 64;

fn ipcid_to_idx(id: i32) -> i32 {
    id & ((1 << IPCMNI_SHIFT) - 1)
}

fn ipcid_to_seqx(id: i32) -> i32 {
    id >> IPCMNI_SHIFT
}

fn ipcid_seq_max() -> i32 {
    i32::MAX >> IPCMNI_SHIFT
}

/// `struct ipc_ids`
#[derive(Clone, Debug)]
struct IpcIds {
    in_use: i32,
    seq: u16,
    last_idx: i32,
    /// `idr_next` and what the idr holds: the id at each index.
    idr_next: i32,
    idr: BTreeMap<i32, i32>,
}

impl IpcIds {
    fn new() -> Self {
        Self {
            in_use: 0,
            seq: 0,
            last_idx: -1,
            idr_next: 0,
            idr: BTreeMap::new(),
        }
    }

    /// `max_idx` of `ipc_idr_alloc()`: one more than the highest.
    fn max_idx(in_use: i32) -> i32 {
        let max_idx = (in_use * 3 / 2).max(IPC_MIN_CYCLE);
        max_idx.min(IPC_MNI)
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
            if i32::from(self.seq) >= ipcid_seq_max() {
                self.seq = 0;
            }
        }
        self.last_idx = idx;
        (i32::from(self.seq) << IPCMNI_SHIFT) + idx
    }

    /// `ipc_addid()`
    fn add(&mut self) -> Option<i32> {
        if self.in_use >= IPC_MNI {
            return None;
        }
        let idx = self.idr_alloc_cyclic(Self::max_idx(self.in_use))?;
        let id = self.sequence_and_id(idx);
        self.idr.insert(idx, id);
        self.in_use += 1;
        Some(id)
    }

    /// `ipc_rmid()`
    fn remove(&mut self, id: i32) {
        assert_eq!(self.idr.remove(&ipcid_to_idx(id)), Some(id));
        self.in_use -= 1;
    }
}

/// A cycle and the reference, just before the sequence numbers begin anew.
fn near_wrap() -> (Cycle, IpcIds) {
    static STATE: OnceLock<(Cycle, IpcIds)> = OnceLock::new();
    STATE
        .get_or_init(|| {
            let (mut cycle, mut ids) = (Cycle::new(), IpcIds::new());
            for _ in 0..65530 {
                cycle.next(0);
                ids.sequence_and_id(0);
            }
            (cycle, ids)
        })
        .clone()
}

fn split_is_composed(index: u32, sequence: u32) {
    let id = Id::compose(index, sequence);
    assert_eq!((id.index(), id.sequence()), (index, sequence));
    let number = i32::try_from(id.number()).expect("an id is not negative for a program");
    assert_eq!(number, ((sequence as i32) << IPCMNI_SHIFT) + index as i32);
    assert_eq!(Id::from_user(number), Some(id));
    assert_eq!(Id::compose(id.index(), id.sequence()), id);
}

#[test]
fn the_numbers_are_the_kernels() {
    assert_eq!(INDEX_BITS as i32, IPCMNI_SHIFT);
    assert_eq!(MAX_SEGMENTS as i32, IPC_MNI);
    assert_eq!(Key::PRIVATE, Key(0));
}

#[test]
fn split_gives_what_was_composed_for_all_indices_and_for_all_sequences() {
    let (indices, sequences) = (IPC_MNI as u32, ipcid_seq_max() as u32);
    for index in 0..indices {
        for sequence in [0, 1, sequences / 2, sequences - 1] {
            split_is_composed(index, sequence);
        }
    }
    for sequence in 0..sequences {
        for index in [0, 1, indices / 2, indices - 1] {
            split_is_composed(index, sequence);
        }
    }
}

#[test]
fn from_user_refuses_negatives() {
    for id in [i32::MIN, i32::MIN + 1, -IPC_MNI, -2, -1] {
        assert_eq!(Id::from_user(id), None, "{id}");
    }
    for id in [0, 1, IPC_MNI - 1, IPC_MNI, i32::MAX] {
        assert_eq!(Id::from_user(id).map(Id::number), Some(id as u32), "{id}");
    }
}

#[test]
fn the_first_ids_count_up_from_zero() {
    let mut cycle = Cycle::new();
    for index in 0..64 {
        assert_eq!(cycle.next(index).number(), index);
    }
    assert_eq!(cycle.next(0).number(), 1 << 15);
    assert_eq!(cycle.next(1).number(), 1 << 15 | 1);
}

#[test]
fn a_stale_id_returns_only_when_the_sequence_wraps() {
    for index in [0, 1, 63, MAX_SEGMENTS - 1] {
        let mut cycle = Cycle::new();
        let mut seen = HashSet::new();
        let first = cycle.next(index);
        seen.insert(first.number());
        let mut last = first;
        for _ in 1..ipcid_seq_max() {
            let next = cycle.next(index);
            assert_ne!(next, last);
            assert_eq!(next.index(), index);
            assert!(seen.insert(next.number()), "{next:?} was there before");
            last = next;
        }
        assert_eq!(seen.len(), 65535);
        assert_eq!(cycle.next(index), first);
    }
}

#[test]
fn the_sequence_wraps_as_ipc_idr_allocs() {
    let (mut cycle, mut ids) = (Cycle::new(), IpcIds::new());
    for round in 0..3 * ipcid_seq_max() {
        let index = round % 3 / 2; // Stays at 0, goes to 1, comes back.
        assert_eq!(
            cycle.next(index as u32).number() as i32,
            ids.sequence_and_id(index)
        );
    }
}

#[test]
fn last_index_is_ipc_idr_allocs_for_all_counts() {
    for in_use in 0..=IPC_MNI {
        assert_eq!(
            Cycle::last_index(in_use as u32) as i32,
            IpcIds::max_idx(in_use) - 1,
            "{in_use} in use"
        );
    }
}

#[test]
fn last_index_is_bounded_and_leaves_room() {
    for in_use in 0..=MAX_SEGMENTS + 2 {
        let last = Cycle::last_index(in_use);
        assert!(
            (63..MAX_SEGMENTS).contains(&last),
            "{last} with {in_use} in use"
        );
        assert!(
            last >= in_use || in_use >= MAX_SEGMENTS,
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
        assert_eq!(Cycle::last_index(in_use), MAX_SEGMENTS - 1);
    }
}

/// Few, so that the cycle goes round; near both ends; or any.
fn index() -> impl Strategy<Value = i32> {
    prop_oneof![0..4, IPC_MNI - 3..IPC_MNI, 0..IPC_MNI]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn split_gives_what_was_composed(index in 0..IPC_MNI as u32, sequence in 0..ipcid_seq_max() as u32) {
        split_is_composed(index, sequence);
    }

    #[test]
    fn split_is_ipcid_to_idx_and_ipcid_to_seqx(number: i32) {
        let split = Id::from_user(number).map(|id| (id.index() as i32, id.sequence() as i32));
        prop_assert_eq!(split, (number >= 0).then(|| (ipcid_to_idx(number), ipcid_to_seqx(number))));
    }

    #[test]
    fn next_is_ipc_idr_allocs(late: bool, indices in prop::collection::vec(index(), 0..64)) {
        let (mut cycle, mut ids) = if late { near_wrap() } else { (Cycle::new(), IpcIds::new()) };
        for index in indices {
            prop_assert_eq!(cycle.next(index as u32).number() as i32, ids.sequence_and_id(index));
        }
    }

    #[test]
    fn no_id_returns_before_the_sequence_wraps(indices in prop::collection::vec(index(), 0..64)) {
        let mut cycle = Cycle::new();
        let mut seen = HashSet::new();
        for index in indices {
            prop_assert!(seen.insert(cycle.next(index as u32).number()));
        }
    }

    /// Segments come (`None`) and go: with an index no higher than `last_index()`, all ids are those of `ipc_addid()`.
    #[test]
    fn ids_are_ipc_addids(late: bool, script in prop::collection::vec(prop::option::weighted(0.35, any::<prop::sample::Index>()), 0..300)) {
        let (mut cycle, mut ids) = if late { near_wrap() } else { (Cycle::new(), IpcIds::new()) };
        let mut indices = ids.clone(); // Our own table: only its choice of an index is used.
        let mut live = Vec::new();
        for step in script {
            match step {
                Some(which) if !live.is_empty() => {
                    let id = live.swap_remove(which.index(live.len()));
                    ids.remove(id);
                    indices.remove(id);
                }
                _ => {
                    let last_index = Cycle::last_index(live.len() as u32) as i32;
                    let index = indices.idr_alloc_cyclic(last_index + 1).expect("there is room");
                    let id = cycle.next(index as u32).number() as i32;
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
