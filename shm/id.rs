// SPDX-License-Identifier: GPL-2.0

//! Keys and ids, and how an id is made.
//!
//! An id is an index into the table and a sequence number, as `ipc/util.c` makes them: an id that
//! was removed is not soon given to another segment. Plain code on plain values, so that it is
//! tested on the host too.

/// What programs agree on to find a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) i32);

impl Key {
    /// The key that finds no segment.
    pub(crate) const PRIVATE: Self = Self(0);
}

/// How many bits of an id are the index (`IPCMNI_SHIFT`).
pub(crate) const INDEX_BITS: u32 = 15;

/// How many segments a namespace can have at most (`IPCMNI`), whatever `kernel.shmmni` says.
pub(crate) const MAX_SEGMENTS: u32 = 1 << INDEX_BITS;

/// How many sequence numbers there are (`ipcid_seq_max()`).
const SEQUENCES: u32 = i32::MAX as u32 >> INDEX_BITS;

/// At least so many indices are gone through before one is used again (`ipc_min_cycle`).
const MIN_CYCLE: u32 = 64;

/// The id of a segment: not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

impl Id {
    /// The id that a program gave; `None` if it cannot be one.
    pub(crate) fn from_user(id: i32) -> Option<Self> {
        u32::try_from(id).ok().map(Self)
    }

    /// The id of the segment at `index` that was made with `sequence`.
    pub(crate) fn compose(index: u32, sequence: u32) -> Self {
        Self(sequence << INDEX_BITS | index)
    }

    /// Where in the table the segment is.
    pub(crate) fn index(self) -> u32 {
        self.0 & (MAX_SEGMENTS - 1)
    }

    /// The sequence number.
    pub(crate) fn sequence(self) -> u32 {
        self.0 >> INDEX_BITS
    }

    /// As a program sees it.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Which index and sequence number come next in a namespace, as `ipc_idr_alloc()`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    last: Option<u32>,
    sequence: u32,
}

impl Cycle {
    /// Nothing was given out yet.
    pub(crate) const fn new() -> Self {
        Self {
            last: None,
            sequence: 0,
        }
    }

    /// The highest index that may be given out when `in_use` are.
    pub(crate) fn last_index(in_use: u32) -> u32 {
        (in_use.saturating_mul(3) / 2).clamp(MIN_CYCLE, MAX_SEGMENTS) - 1
    }

    /// The id for a segment at `index`. The sequence number goes up each time the indices have gone
    /// round.
    pub(crate) fn next(&mut self, index: u32) -> Id {
        if self.last.is_some_and(|last| index <= last) {
            self.sequence += 1;
            if self.sequence >= SEQUENCES {
                self.sequence = 0;
            }
        }
        self.last = Some(index);
        Id::compose(index, self.sequence)
    }
}
