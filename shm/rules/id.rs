// SPDX-License-Identifier: GPL-2.0

//! Keys and ids, and how an id is made.
//!
//! An id is an index into the table and a sequence number, as `ipc/util.c` makes them: an id that
//! was removed is not soon given to another segment. Plain code on plain values, so that it is
//! tested on the host too.

use super::command_line::CommandLine;

/// What programs agree on to find a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) i32);

impl Key {
    /// The key that finds no segment.
    pub(crate) const PRIVATE: Self = Self(0);
}

/// How ids are made up in this kernel: as usual, or with the boot parameter `ipcmni_extend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdLayout {
    /// How many bits of an id are the index (`ipcmni_seq_shift()`).
    index_bits: u32,
    /// At least so many indices are gone through before one is used again (`ipc_min_cycle`).
    min_cycle: u32,
}

impl IdLayout {
    /// 32,768 segments (`IPCMNI_SHIFT`).
    pub(crate) const DEFAULT: Self = Self {
        index_bits: 15,
        min_cycle: 64,
    };

    /// 16 million segments, with few sequence numbers (`IPCMNI_EXTEND_SHIFT`).
    pub(crate) const EXTENDED: Self = Self {
        index_bits: 24,
        min_cycle: 64 * 64,
    };

    /// That of a kernel which was booted so. Any value of the parameter sets it, even 0.
    pub(crate) fn from_command_line(command_line: &CommandLine<'_>) -> Self {
        if command_line.has(b"ipcmni_extend") {
            Self::EXTENDED
        } else {
            Self::DEFAULT
        }
    }

    /// How many segments a namespace can have at most (`ipc_mni`), whatever `kernel.shmmni` says.
    pub(crate) fn max_segments(self) -> u32 {
        1 << self.index_bits
    }

    /// How many sequence numbers there are (`ipcid_seq_max()`).
    fn sequences(self) -> u32 {
        i32::MAX as u32 >> self.index_bits
    }

    /// The id of the segment at `index` that was made with `sequence`.
    pub(crate) fn compose(self, index: u32, sequence: u32) -> Id {
        Id(sequence << self.index_bits | index)
    }

    /// Where in the table the segment is.
    pub(crate) fn index(self, id: Id) -> u32 {
        id.0 & (self.max_segments() - 1)
    }

    /// The sequence number.
    pub(crate) fn sequence(self, id: Id) -> u32 {
        id.0 >> self.index_bits
    }

    /// The highest index that may be given out when `in_use` are.
    pub(crate) fn last_index(self, in_use: u32) -> u32 {
        (in_use.saturating_mul(3) / 2).clamp(self.min_cycle, self.max_segments()) - 1
    }
}

/// The id of a segment: not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

impl Id {
    /// That of a segment which has none yet.
    pub(crate) const NONE: Self = Self(0);

    /// The id that a program gave; `None` if it cannot be one.
    pub(crate) fn from_user(id: i32) -> Option<Self> {
        u32::try_from(id).ok().map(Self)
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

    /// The id for a segment at `index` where somebody has asked for `wanted`, and that index or the
    /// next free one is taken: this is not part of the cycle.
    pub(crate) fn asked_for(id_layout: IdLayout, wanted: Id, index: u32) -> Id {
        id_layout.compose(index, id_layout.sequence(wanted))
    }

    /// The id for a segment at `index`. The sequence number goes up each time the indices have gone
    /// round.
    pub(crate) fn next(&mut self, id_layout: IdLayout, index: u32) -> Id {
        if self.last.is_some_and(|last| index <= last) {
            self.sequence += 1;
            if self.sequence >= id_layout.sequences() {
                self.sequence = 0;
            }
        }
        self.last = Some(index);
        id_layout.compose(index, self.sequence)
    }
}
