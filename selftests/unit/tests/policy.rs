// SPDX-License-Identifier: GPL-2.0

//! The module's pure policy, on the host.
//!
//! Each room is held against a transcription of the C that it follows (Linux 7.3), on all values where they can
//! be counted, and on values near the edges where they cannot. `PROPTEST_CASES=100000 cargo test` looks longer.

#![forbid(unsafe_code)]
// As the kernel: clippy 1.85 wants parentheses around shifts, later versions do not.
#![allow(clippy::precedence)]

#[path = "../../../shm/rules/address.rs"]
mod address;
#[path = "../../../shm/rules/command_line.rs"]
mod command_line;
#[path = "../../../shm/rules/id.rs"]
mod id;
#[path = "../../../shm/rules/limits.rs"]
mod limits;
#[path = "../../../shm/rules/permission.rs"]
mod permission;
#[path = "../../../shm/rules/pool.rs"]
mod pool;
#[path = "../../../shm/rules/restore.rs"]
mod restore;

mod rules {
    mod address;
    mod command_line;
    mod id;
    mod limits;
    mod permission;
    mod pool;
    mod restore;
}

/// The errors that the C gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errno {
    Einval,
    Enospc,
}

/// `PAGE_SHIFT`, `PAGE_SIZE` and `SHMLBA` of the reference.
const PAGE_SHIFT: u32 = 12;
const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

// The reference counts in `unsigned long`, which is as wide as a pointer.
const _: () = assert!(usize::BITS == u64::BITS);

/// No file for failures: the checkout is not ours to write to, and the report has the smallest failing values.
fn config() -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    proptest::test_runner::Config {
        cases: default.cases.max(2048),
        failure_persistence: None,
        ..default
    }
}

/// The numbers around which sizes and addresses go wrong.
const CORNERS: [u64; 12] = [
    0,
    PAGE_SIZE,
    2 * PAGE_SIZE,
    1 << 21,
    1 << 32,
    u64::MAX >> PAGE_SHIFT,
    1 << (64 - PAGE_SHIFT),
    1 << 62,
    1 << 63,
    (1 << 63) - PAGE_SIZE,
    u64::MAX - PAGE_SIZE,
    u64::MAX - 2 * PAGE_SIZE,
];

/// Each corner, its two neighbours, and so for the other side of zero.
fn edges() -> Vec<u64> {
    let mut edges: Vec<u64> = CORNERS
        .iter()
        .flat_map(|corner| [-1, 0, 1].map(|step| corner.wrapping_add_signed(step)))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Any number, most often one near a corner or of few bits.
fn number() -> impl proptest::strategy::Strategy<Value = u64> {
    use proptest::prelude::*;
    prop_oneof![
        4 => (proptest::sample::select(CORNERS.to_vec()), -3i64..=3).prop_map(|(corner, step)| corner.wrapping_add_signed(step)),
        2 => (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift),
        1 => (0..64 * PAGE_SIZE).boxed(),
        1 => any::<u64>(),
    ]
}
