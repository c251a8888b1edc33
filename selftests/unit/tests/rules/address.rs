// SPDX-License-Identifier: GPL-2.0

//! `shm/address.rs` against `do_shmat()` in `ipc/shm.c` and `hugetlb_get_unmapped_area()` in `fs/hugetlbfs/inode.c`.

use proptest::prelude::*;

use crate::address::{range, BadAddress, Placement};
use crate::{config, edges, number, Errno, PAGE_SIZE};

/// SHMLBA, and COMPAT_SHMLBA of arm64.
const SHMLBAS: [u64; 2] = [PAGE_SIZE, 4 * PAGE_SIZE];
const SHMLBA: usize = PAGE_SIZE as usize;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const MAP_FIXED: u32 = 0x10;

/// Where `do_shmat()` calls `do_mmap()`: the address, and the flags beside MAP_SHARED.
fn do_shmat_address(mut addr: u64, shmflg: u32, shmlba: u64) -> Result<(u64, u32), Errno> {
    let mut flags = 0;
    if addr != 0 {
        if addr & (shmlba - 1) != 0 {
            if shmflg & SHM_RND != 0 {
                addr &= !(shmlba - 1);
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

/// What `hugetlb_get_unmapped_area()` says to an address and the flags of `do_mmap()`.
fn hugetlb_address(addr: u64, flags: u32, huge_page_size: u64) -> Result<(), Errno> {
    let huge_page_mask = !(huge_page_size - 1);
    if flags & MAP_FIXED != 0 && addr & !huge_page_mask != 0 {
        return Err(Errno::Einval);
    }
    Ok(())
}

/// The same as a [`Placement`]: it looks for what is mapped there `if (addr && !(shmflg & SHM_REMAP))`.
fn reference(
    address: u64,
    shmlba: u64,
    round: bool,
    replace: bool,
) -> Result<Placement, BadAddress> {
    let shmflg = if round { SHM_RND } else { 0 } | if replace { SHM_REMAP } else { 0 };
    match do_shmat_address(address, shmflg, shmlba) {
        Err(_) => Err(BadAddress),
        Ok((_, 0)) => Ok(Placement::Anywhere),
        Ok((address, _)) if replace || address == 0 => Ok(Placement::Replace(address as usize)),
        Ok((address, _)) => Ok(Placement::Fixed(address as usize)),
    }
}

fn agree(address: u64) {
    for (round, replace) in [(false, false), (false, true), (true, false), (true, true)] {
        for shmlba in SHMLBAS {
            assert_eq!(
                Placement::new(address as usize, shmlba as usize, round, replace),
                reference(address, shmlba, round, replace),
                "at {address:#x}, SHMLBA {shmlba}, round {round}, replace {replace}"
            );
        }
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
        assert_eq!(
            Placement::new(0, SHMLBA, round, false),
            Ok(Placement::Anywhere)
        );
        assert_eq!(Placement::new(0, SHMLBA, round, true), Err(BadAddress));
    }
}

#[test]
fn an_address_in_the_first_page_rounds_to_zero_whatever_is_there_and_is_refused_to_replace() {
    for address in [1, 2, 4095] {
        assert_eq!(
            Placement::new(address, SHMLBA, true, false),
            Ok(Placement::Replace(0))
        );
        assert_eq!(Placement::new(address, SHMLBA, true, true), Err(BadAddress));
        assert_eq!(
            Placement::new(address, SHMLBA, false, false),
            Err(BadAddress)
        );
        assert_eq!(
            Placement::new(address, SHMLBA, false, true),
            Err(BadAddress)
        );
    }
}

#[test]
fn rounding_goes_down() {
    assert_eq!(
        Placement::new(0x13fff, 4 * SHMLBA, true, false),
        Ok(Placement::Fixed(0x10000))
    );
    assert_eq!(
        Placement::new(0x12fff, SHMLBA, true, false),
        Ok(Placement::Fixed(0x12000))
    );
    assert_eq!(
        Placement::new(0x12fff, SHMLBA, true, true),
        Ok(Placement::Replace(0x12000))
    );
    assert_eq!(
        Placement::new(0x12000, SHMLBA, true, false),
        Ok(Placement::Fixed(0x12000))
    );
    assert_eq!(
        Placement::new(0x12000, SHMLBA, false, true),
        Ok(Placement::Replace(0x12000))
    );
    assert_eq!(
        Placement::new(0x12001, SHMLBA, false, false),
        Err(BadAddress)
    );
    let top = (u64::MAX - (PAGE_SIZE - 1)) as usize;
    assert_eq!(
        Placement::new(usize::MAX, SHMLBA, true, false),
        Ok(Placement::Fixed(top))
    );
}

/// Huge pages of all sizes that an architecture has, and the smallest.
const PAGE_SIZES: [u64; 5] = [PAGE_SIZE, 1 << 16, 1 << 21, 1 << 30, 1 << 34];

/// The address of an attach to huge pages, from the call to the check; what [`Placement`] refuses is not asked about.
fn alignment_agrees(address: u64, round: bool, replace: bool) {
    let shmflg = if round { SHM_RND } else { 0 } | if replace { SHM_REMAP } else { 0 };
    let Ok(placement) = Placement::new(address as usize, SHMLBA, round, replace) else {
        assert!(do_shmat_address(address, shmflg, PAGE_SIZE).is_err());
        return;
    };
    let (addr, flags) = do_shmat_address(address, shmflg, PAGE_SIZE).expect("as the placement");
    for size in PAGE_SIZES {
        assert_eq!(
            placement.is_aligned(size as usize),
            hugetlb_address(addr, flags, size).is_ok(),
            "{placement:?} for pages of {size:#x}"
        );
    }
}

#[test]
fn is_aligned_is_hugetlbs_at_all_edges() {
    let near = PAGE_SIZES
        .into_iter()
        .flat_map(|size| [size - PAGE_SIZE, size, size + PAGE_SIZE, 3 * size]);
    for address in edges().into_iter().chain(near) {
        for (round, replace) in [(false, false), (false, true), (true, false), (true, true)] {
            alignment_agrees(address, round, replace);
        }
    }
}

#[test]
fn an_address_of_ones_own_is_to_be_that_of_a_huge_page() {
    let huge = 1 << 21;
    assert!(Placement::Anywhere.is_aligned(huge));
    for placement in [Placement::Fixed, Placement::Replace] {
        assert!(placement(0).is_aligned(huge));
        assert!(placement(huge).is_aligned(huge));
        assert!(placement(3 * huge).is_aligned(huge));
        assert!(!placement(4096).is_aligned(huge));
        assert!(!placement(huge / 2).is_aligned(huge));
        assert!(!placement(huge - 4096).is_aligned(huge));
        assert!(!placement(huge + 4096).is_aligned(huge));
    }
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
        for shmlba in SHMLBAS {
            prop_assert_eq!(
                Placement::new(address as usize, shmlba as usize, round, replace),
                reference(address, shmlba, round, replace)
            );
        }
    }

    #[test]
    fn a_place_is_the_page_of_the_address(address in number(), round: bool, replace: bool) {
        let address = address as usize;
        if let Ok(Placement::Fixed(place) | Placement::Replace(place)) = Placement::new(address, SHMLBA, round, replace) {
            prop_assert_eq!(place % 4096, 0);
            prop_assert!(place <= address && address - place < 4096);
            prop_assert!(round || place == address);
        }
    }

    #[test]
    fn is_aligned_is_hugetlbs(address in number(), aligned in 0u32..40, round: bool, replace: bool) {
        alignment_agrees(address >> aligned << aligned, round, replace);
    }

    #[test]
    fn range_is_do_shmats(address in number(), size in number()) {
        let expected = do_shmat_range(address, size).map(|(start, end)| start as usize..end as usize).map_err(|_| BadAddress);
        prop_assert_eq!(range(address as usize, size as usize), expected);
    }
}
