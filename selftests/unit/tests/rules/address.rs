// SPDX-License-Identifier: GPL-2.0

//! `shm/address.rs` against `do_shmat()` in `ipc/shm.c`.

use proptest::prelude::*;

use crate::address::{range, BadAddress, Placement};
use crate::{config, edges, number, Errno, PAGE_SIZE};

const SHMLBA: u64 = PAGE_SIZE;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const MAP_FIXED: u32 = 0x10;

/// Where `do_shmat()` calls `do_mmap()`: the address, and the flags beside MAP_SHARED.
fn do_shmat_address(mut addr: u64, shmflg: u32) -> Result<(u64, u32), Errno> {
    let mut flags = 0;
    if addr != 0 {
        if addr & (SHMLBA - 1) != 0 {
            if shmflg & SHM_RND != 0 {
                addr &= !(SHMLBA - 1);
                if addr == 0 && shmflg & SHM_REMAP != 0 {
                    return Err(Errno::Einval);
                }
            } else if addr & (PAGE_SIZE - 1) != 0 {
                return Err(Errno::Einval);
            }
        }
        flags |= MAP_FIXED;
    } else if shmflg & SHM_REMAP != 0 {
        return Err(Errno::Einval);
    }
    Ok((addr, flags))
}

/// `do_shmat()`'s look at where the attach ends, for `if (addr && !(shmflg & SHM_REMAP))`.
fn do_shmat_range(addr: u64, size: u64) -> Result<(u64, u64), Errno> {
    if addr.wrapping_add(size) < addr {
        return Err(Errno::Einval);
    }
    Ok((addr, addr.wrapping_add(size)))
}

/// The same as a [`Placement`]: it looks for what is mapped there `if (addr && !(shmflg & SHM_REMAP))`.
fn reference(address: u64, round: bool, replace: bool) -> Result<Placement, BadAddress> {
    let shmflg = if round { SHM_RND } else { 0 } | if replace { SHM_REMAP } else { 0 };
    match do_shmat_address(address, shmflg) {
        Err(_) => Err(BadAddress),
        Ok((_, 0)) => Ok(Placement::Anywhere),
        Ok((address, _)) if replace || address == 0 => Ok(Placement::Replace(address as usize)),
        Ok((address, _)) => Ok(Placement::Fixed(address as usize)),
    }
}

fn agree(address: u64) {
    for (round, replace) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_eq!(
            Placement::new(address as usize, round, replace),
            reference(address, round, replace),
            "at {address:#x}, round {round}, replace {replace}"
        );
    }
}

#[test]
fn placement_is_do_shmats_in_the_first_and_last_pages_and_at_all_edges() {
    (0..=3 * PAGE_SIZE).for_each(agree);
    (u64::MAX - 3 * PAGE_SIZE..=u64::MAX).for_each(agree);
    edges().into_iter().for_each(agree);
}

#[test]
fn no_address_is_anywhere_and_cannot_be_replaced() {
    for round in [false, true] {
        assert_eq!(Placement::new(0, round, false), Ok(Placement::Anywhere));
        assert_eq!(Placement::new(0, round, true), Err(BadAddress));
    }
}

#[test]
fn an_address_in_the_first_page_rounds_to_zero_whatever_is_there_and_is_refused_to_replace() {
    for address in [1, 2, 4095] {
        assert_eq!(
            Placement::new(address, true, false),
            Ok(Placement::Replace(0))
        );
        assert_eq!(Placement::new(address, true, true), Err(BadAddress));
        assert_eq!(Placement::new(address, false, false), Err(BadAddress));
        assert_eq!(Placement::new(address, false, true), Err(BadAddress));
    }
}

#[test]
fn rounding_goes_down() {
    assert_eq!(
        Placement::new(0x12fff, true, false),
        Ok(Placement::Fixed(0x12000))
    );
    assert_eq!(
        Placement::new(0x12fff, true, true),
        Ok(Placement::Replace(0x12000))
    );
    assert_eq!(
        Placement::new(0x12000, true, false),
        Ok(Placement::Fixed(0x12000))
    );
    assert_eq!(
        Placement::new(0x12000, false, true),
        Ok(Placement::Replace(0x12000))
    );
    assert_eq!(Placement::new(0x12001, false, false), Err(BadAddress));
    let top = (u64::MAX - (PAGE_SIZE - 1)) as usize;
    assert_eq!(
        Placement::new(usize::MAX, true, false),
        Ok(Placement::Fixed(top))
    );
}

#[test]
fn range_is_do_shmats_at_all_edges() {
    for address in edges() {
        for size in edges() {
            let expected = do_shmat_range(address, size)
                .map(|(start, end)| start as usize..end as usize)
                .map_err(|_| BadAddress);
            assert_eq!(
                range(address as usize, size as usize),
                expected,
                "{size:#x} at {address:#x}"
            );
        }
    }
}

#[test]
fn range_may_end_at_the_last_number_and_no_further() {
    assert_eq!(
        range(usize::MAX - 4096, 4096),
        Ok(usize::MAX - 4096..usize::MAX)
    );
    assert_eq!(range(usize::MAX - 4095, 4096), Err(BadAddress));
    assert_eq!(range(0, usize::MAX), Ok(0..usize::MAX));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn placement_is_do_shmats(address in number(), round: bool, replace: bool) {
        prop_assert_eq!(Placement::new(address as usize, round, replace), reference(address, round, replace));
    }

    #[test]
    fn a_place_is_the_page_of_the_address(address in number(), round: bool, replace: bool) {
        let address = address as usize;
        if let Ok(Placement::Fixed(place) | Placement::Replace(place)) = Placement::new(address, round, replace) {
            prop_assert_eq!(place % 4096, 0);
            prop_assert!(place <= address && address - place < 4096);
            prop_assert!(round || place == address);
        }
    }

    #[test]
    fn range_is_do_shmats(address in number(), size in number()) {
        let expected = do_shmat_range(address, size).map(|(start, end)| start as usize..end as usize).map_err(|_| BadAddress);
        prop_assert_eq!(range(address as usize, size as usize), expected);
    }
}
