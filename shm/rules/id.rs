// SPDX-License-Identifier: GPL-2.0

//! Keys and ids.
//!
//! As in `ipc/util.c`, an id consists of an index into the table and a sequence number, so that the
//! id of a removed segment is not reused soon.

use super::command_line::CommandLine;

/// The key by which programs find a segment (`key_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) i32);

impl Key {
    /// IPC_PRIVATE: always creates a segment, never finds one.
    pub(crate) const PRIVATE: Self = Self(0);
}

/// How the bits of an id are divided; depends on the boot parameter `ipcmni_extend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdLayout {
    /// The number of index bits (`ipcmni_seq_shift()`).
    index_bits: u32,
    /// The minimum number of indices before they wrap (`ipc_min_cycle`).
    min_cycle: u32,
}

impl IdLayout {
    /// At most 32,768 segments (`IPCMNI_SHIFT`).
    pub(crate) const DEFAULT: Self = Self {
        index_bits: 15,
        min_cycle: 64,
    };

    /// At most 16 million segments (`IPCMNI_EXTEND_SHIFT`).
    pub(crate) const EXTENDED: Self = Self {
        index_bits: 24,
        min_cycle: 64 * 64,
    };

    /// Returns the layout for a command line. Any value of `ipcmni_extend` extends it, even 0.
    pub(crate) fn from_command_line(command_line: &CommandLine<'_>) -> Self {
        if command_line.has(b"ipcmni_extend") {
            Self::EXTENDED
        } else {
            Self::DEFAULT
        }
    }

    /// Returns the maximum number of segments in a namespace (`ipc_mni`), regardless of
    /// `kernel.shmmni`.
    pub(crate) fn max_segments(self) -> u32 {
        1 << self.index_bits
    }

    /// Returns the number of sequence numbers (`ipcid_seq_max()`).
    fn sequences(self) -> u32 {
        i32::MAX as u32 >> self.index_bits
    }

    /// Composes an id from an index and a sequence number.
    pub(crate) fn compose(self, index: u32, sequence: u32) -> Id {
        Id(sequence << self.index_bits | index)
    }

    /// Returns the index of an id.
    pub(crate) fn index(self, id: Id) -> u32 {
        id.0 & (self.max_segments() - 1)
    }

    /// Returns the sequence number of an id.
    pub(crate) fn sequence(self, id: Id) -> u32 {
        id.0 >> self.index_bits
    }

    /// Returns the highest index that may be allocated while `in_use` are in use.
    pub(crate) fn last_index(self, in_use: u32) -> u32 {
        (in_use.saturating_mul(3) / 2).clamp(self.min_cycle, self.max_segments()) - 1
    }
}

/// The id of a segment. Never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

impl Id {
    /// Placeholder for a segment that has no id yet.
    pub(crate) const NONE: Self = Self(0);

    /// Converts a number from user space; `None` if it is negative.
    pub(crate) fn from_user(id: i32) -> Option<Self> {
        u32::try_from(id).ok().map(Self)
    }

    /// Returns the number that user space sees.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// The state of cyclic id allocation in a namespace, as in `ipc_idr_alloc()`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    last: Option<u32>,
    sequence: u32,
}

impl Cycle {
    /// Creates the state of a namespace without ids.
    pub(crate) const fn new() -> Self {
        Self {
            last: None,
            sequence: 0,
        }
    }

    /// Returns the id of a segment at `index`, if `kernel.shm_next_id` asked for `wanted`. The
    /// cyclic allocation is unaffected.
    pub(crate) fn asked_for(id_layout: IdLayout, wanted: Id, index: u32) -> Id {
        id_layout.compose(index, id_layout.sequence(wanted))
    }

    /// Returns the id of a new segment at `index`. The sequence number is incremented whenever the
    /// indices wrap.
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
