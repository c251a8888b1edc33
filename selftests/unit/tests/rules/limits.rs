// SPDX-License-Identifier: GPL-2.0

//! `shm/limits.rs` against `newseg()` in `ipc/shm.c`, and `__shmem_file_setup()` in `mm/shmem.c`, which it calls.

use proptest::prelude::*;

use crate::limits::{file_fits, pages, LimitError, Limits, PAGE_BYTES, SHMMIN};
use crate::{config, edges, number, Errno, PAGE_SHIFT, PAGE_SIZE};

const MAX_LFS_FILESIZE: i64 = i64::MAX;

/// The fields of `struct ipc_namespace`.
#[derive(Clone, Copy, Debug)]
struct Namespace {
    shm_ctlmax: u64,
    shm_ctlall: u64,
    shm_tot: u64,
}

/// `size_t numpages = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;`
fn numpages(size: u64) -> u64 {
    size.wrapping_add(PAGE_SIZE).wrapping_sub(1) >> PAGE_SHIFT
}

/// `numpages << PAGE_SHIFT < size`
fn numpages_overflowed(size: u64) -> bool {
    numpages(size) << PAGE_SHIFT < size
}

fn newseg(ns: &Namespace, size: u64) -> Result<u64, Errno> {
    let numpages = numpages(size);
    if size < 1 || size > ns.shm_ctlmax {
        return Err(Errno::Einval);
    }
    if numpages_overflowed(size) {
        return Err(Errno::Enospc);
    }
    if ns.shm_tot.wrapping_add(numpages) < ns.shm_tot
        || ns.shm_tot.wrapping_add(numpages) > ns.shm_ctlall
    {
        return Err(Errno::Enospc);
    }
    shmem_file_setup(size as i64)?;
    Ok(numpages)
}

// As the C has it.
#[allow(clippy::absurd_extreme_comparisons, clippy::manual_range_contains)]
fn shmem_file_setup(size: i64) -> Result<(), Errno> {
    if size < 0 || size > MAX_LFS_FILESIZE {
        return Err(Errno::Einval);
    }
    Ok(())
}

/// What `newseg()` and `shmem_file_setup()` ask of a size.
fn fit_file(limits: &Limits, size: usize, total: usize) -> Result<usize, LimitError> {
    let pages = limits.fit(size, total)?;
    file_fits(size)?;
    Ok(pages)
}

fn fit(ns: &Namespace, shmmni: u32, size: u64) -> Result<u64, Errno> {
    let limits = Limits {
        shmmax: ns.shm_ctlmax as usize,
        shmall: ns.shm_ctlall as usize,
        shmmni,
    };
    match fit_file(&limits, size as usize, ns.shm_tot as usize) {
        Ok(pages) => Ok(pages as u64),
        Err(LimitError::Size) => Err(Errno::Einval),
        Err(LimitError::Full) => Err(Errno::Enospc),
    }
}

const NO_LIMITS: Limits = Limits {
    shmmax: usize::MAX,
    shmall: usize::MAX,
    shmmni: 4096,
};

#[test]
fn fit_is_newsegs_at_all_edges() {
    // All sizes and totals; for each, the limits around what they need, and a few others.
    let edges = edges();
    for &size in &edges {
        for &shm_tot in &edges {
            let sum = shm_tot.wrapping_add(numpages(size));
            for shm_ctlmax in [
                0,
                1,
                size.wrapping_sub(1),
                size,
                size.wrapping_add(1),
                i64::MAX as u64,
                u64::MAX - (1 << 24),
                u64::MAX,
            ] {
                for shm_ctlall in [
                    0,
                    1,
                    sum.wrapping_sub(1),
                    sum,
                    sum.wrapping_add(1),
                    shm_tot,
                    u64::MAX - (1 << 24),
                    u64::MAX,
                ] {
                    let ns = Namespace {
                        shm_ctlmax,
                        shm_ctlall,
                        shm_tot,
                    };
                    assert_eq!(
                        fit(&ns, 4096, size),
                        newseg(&ns, size),
                        "{size:#x} bytes in {ns:#x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn pages_is_none_where_newsegs_arithmetic_overflows_at_all_edges() {
    for size in edges() {
        let expected = (!numpages_overflowed(size)).then(|| numpages(size) as usize);
        assert_eq!(pages(size as usize), expected, "{size:#x} bytes");
    }
}

#[test]
fn pages_are_rounded_up() {
    assert_eq!(PAGE_BYTES, 4096);
    assert_eq!(pages(0), Some(0));
    assert_eq!(pages(1), Some(1));
    assert_eq!(pages(4095), Some(1));
    assert_eq!(pages(4096), Some(1));
    assert_eq!(pages(4097), Some(2));
    // The last size that can be rounded up, and the first that cannot.
    assert_eq!(pages(usize::MAX - 4095), Some(usize::MAX >> 12));
    assert_eq!(pages(usize::MAX - 4094), None);
    assert_eq!(pages(usize::MAX), None);
}

#[test]
fn size_is_between_shmmin_and_shmmax() {
    assert_eq!(SHMMIN, 1);
    let limits = Limits {
        shmmax: 10_000,
        ..NO_LIMITS
    };
    assert_eq!(fit_file(&limits, 0, 0), Err(LimitError::Size));
    assert_eq!(fit_file(&limits, SHMMIN, 0), Ok(1));
    assert_eq!(fit_file(&limits, 10_000, 0), Ok(3));
    assert_eq!(fit_file(&limits, 10_001, 0), Err(LimitError::Size));
    let nothing = Limits {
        shmmax: 0,
        ..limits
    };
    assert_eq!(fit_file(&nothing, 1, 0), Err(LimitError::Size));
}

#[test]
fn all_together_take_no_more_than_shmall() {
    let limits = Limits {
        shmall: 10,
        ..NO_LIMITS
    };
    assert_eq!(fit_file(&limits, 4096, 9), Ok(1));
    assert_eq!(fit_file(&limits, 4097, 9), Err(LimitError::Full));
    assert_eq!(fit_file(&limits, 1, 10), Err(LimitError::Full));
    // The limit may have been lowered below what there is.
    assert_eq!(fit_file(&limits, 1, 11), Err(LimitError::Full));
    assert_eq!(fit_file(&NO_LIMITS, 4096, usize::MAX - 1), Ok(1));
    assert_eq!(
        fit_file(&NO_LIMITS, 4096, usize::MAX),
        Err(LimitError::Full)
    );
}

#[test]
fn a_bad_size_is_told_before_a_lack_of_room() {
    let full = Limits {
        shmmax: 4096,
        shmall: 0,
        shmmni: 0,
    };
    assert_eq!(fit_file(&full, 0, 0), Err(LimitError::Size));
    assert_eq!(fit_file(&full, 4097, 0), Err(LimitError::Size));
    assert_eq!(fit_file(&full, 4096, 0), Err(LimitError::Full));
}

#[test]
fn a_file_is_no_larger_than_a_signed_offset_and_room_is_asked_first() {
    let largest = isize::MAX as usize;
    assert_eq!(fit_file(&NO_LIMITS, largest, 0), Ok(1 << 51));
    assert_eq!(fit_file(&NO_LIMITS, largest + 1, 0), Err(LimitError::Size));
    let little = Limits {
        shmall: 1,
        ..NO_LIMITS
    };
    assert_eq!(fit_file(&little, largest + 1, 0), Err(LimitError::Full));
    assert_eq!(fit_file(&NO_LIMITS, usize::MAX, 0), Err(LimitError::Full));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fit_is_newsegs(size in number(), shm_tot in number(), shm_ctlmax in number(), shm_ctlall in number(), shmmni: u32) {
        let ns = Namespace { shm_ctlmax, shm_ctlall, shm_tot };
        prop_assert_eq!(fit(&ns, shmmni, size), newseg(&ns, size));
    }

    #[test]
    fn fit_is_newsegs_where_there_is_little_room(size in 0..9 * PAGE_SIZE, shm_tot in 0u64..9, shm_ctlmax in 0..9 * PAGE_SIZE,
            shm_ctlall in 0u64..16, shmmni: u32) {
        let ns = Namespace { shm_ctlmax, shm_ctlall, shm_tot };
        prop_assert_eq!(fit(&ns, shmmni, size), newseg(&ns, size));
    }

    #[test]
    fn pages_is_none_where_newsegs_arithmetic_overflows(size in number()) {
        let expected = (!numpages_overflowed(size)).then(|| numpages(size) as usize);
        prop_assert_eq!(pages(size as usize), expected);
    }
}
