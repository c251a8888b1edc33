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
        if !replace {
            // Rounded down to 0 it is still a fixed place: mmap_min_addr has a say there.
            Ok(Self::Fixed(rounded))
        } else if rounded == 0 {
            Err(BadAddress)
        } else {
            Ok(Self::Replace(rounded))
        }
    }
}

/// The range of `size` bytes at `address`; `BadAddress` where it does not fit the numbers.
pub(crate) fn range(address: usize, size: usize) -> Result<core::ops::Range<usize>, BadAddress> {
    let end = address.checked_add(size).ok_or(BadAddress)?;
    Ok(address..end)
}
