// SPDX-License-Identifier: GPL-2.0

//! Where an attach goes: the address rules of `do_shmat()`.
//!
//! Plain code on plain values, so that it is tested on the host too.

use super::limits::PAGE_BYTES;

/// Where in an address space to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Where there is room.
    Anywhere,
    /// Here, if nothing is mapped here.
    Fixed(usize),
    /// Here, whatever is mapped here.
    Replace(usize),
}

/// The address is no place to attach at: `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAddress;

impl Placement {
    /// From the address and the flags of an attach. SHMLBA is the page size.
    pub(crate) fn new(address: usize, round: bool, replace: bool) -> Result<Self, BadAddress> {
        if address == 0 {
            return if replace {
                Err(BadAddress)
            } else {
                Ok(Self::Anywhere)
            };
        }
        let rounded = address & !(PAGE_BYTES - 1);
        if address != rounded && !round {
            return Err(BadAddress);
        }
        match (rounded, replace) {
            (0, true) => Err(BadAddress),
            // As `do_shmat()`: it looks for what is mapped only at an address that is not 0, and
            // maps at this one without asking. Few may: mmap_min_addr has a say.
            (0, false) => Ok(Self::Replace(0)),
            (_, true) => Ok(Self::Replace(rounded)),
            (_, false) => Ok(Self::Fixed(rounded)),
        }
    }

    /// Whether it leaves the address to the kernel, or has one that is a multiple of `bytes`.
    pub(crate) fn is_aligned(self, bytes: usize) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Fixed(address) | Self::Replace(address) => address % bytes == 0,
        }
    }
}

/// The range of `size` bytes at `address`; `BadAddress` where it does not fit the numbers.
pub(crate) fn range(address: usize, size: usize) -> Result<core::ops::Range<usize>, BadAddress> {
    let end = address.checked_add(size).ok_or(BadAddress)?;
    Ok(address..end)
}
