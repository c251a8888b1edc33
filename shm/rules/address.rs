// SPDX-License-Identifier: GPL-2.0

//! The address of an attach: the rules of `do_shmat()`.

use super::limits::PAGE_BYTES;

/// Where in an address space a segment is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// At an address that the kernel chooses.
    Anywhere,
    /// At this address, which must be unmapped.
    Fixed(usize),
    /// At this address, replacing existing mappings.
    Replace(usize),
}

/// The address is invalid: `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAddress;

impl Placement {
    /// Converts the address and the flags SHM_RND, which rounds down to a multiple of `shmlba`, and
    /// SHM_REMAP.
    pub(crate) fn new(
        address: usize,
        shmlba: usize,
        round: bool,
        replace: bool,
    ) -> Result<Self, BadAddress> {
        if address == 0 {
            return if replace {
                Err(BadAddress)
            } else {
                Ok(Self::Anywhere)
            };
        }
        let unit = if round { shmlba } else { PAGE_BYTES };
        let rounded = address & !(unit - 1);
        if address != rounded && !round {
            return Err(BadAddress);
        }
        match (rounded, replace) {
            (0, true) => Err(BadAddress),
            // As `do_shmat()`, which looks for existing mappings only if the address is not 0.
            // `mmap_min_addr` still applies.
            (0, false) => Ok(Self::Replace(0)),
            (_, true) => Ok(Self::Replace(rounded)),
            (_, false) => Ok(Self::Fixed(rounded)),
        }
    }

    /// Returns whether the kernel chooses the address, or it is a multiple of `bytes`.
    pub(crate) fn is_aligned(self, bytes: usize) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Fixed(address) | Self::Replace(address) => address % bytes == 0,
        }
    }
}

/// Returns the range of `size` bytes at `address`; `BadAddress` if its end overflows.
pub(crate) fn range(address: usize, size: usize) -> Result<core::ops::Range<usize>, BadAddress> {
    let end = address.checked_add(size).ok_or(BadAddress)?;
    Ok(address..end)
}
