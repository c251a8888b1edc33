// SPDX-License-Identifier: GPL-2.0

//! Detach: what is left of an attach is unmapped. As `ksys_shmdt()`.
//!
//! The built-in holds the lock of the address space throughout, but a module cannot unmap under it.
//! So each piece is found with the lock held, and unmapped without; and there is one detach at a time
//! in an address space: of two threads that detach the same attach, the slower could otherwise unmap
//! what a third has mapped there meanwhile.

use crate::shm::{
    rules::limits,
    segment::Shared,
    sys::{
        fs::mount::TmpfsMount,
        mm::{
            turns::MmTurns,
            vma, //
        }, //
    }, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// Unmaps all that is left of an attach at `address`. `EINVAL` if nothing is; `EINTR` for a task that
/// is killed, and `ENOMEM`, where a part may be unmapped.
pub(crate) fn detach(mounts: &[TmpfsMount], turns: &MmTurns, address: usize) -> Result {
    if address % PAGE_SIZE != 0 {
        return Err(EINVAL);
    }
    let _turn = turns.take()?;
    let first = vma::find_fragment::<Shared>(mounts, address, address, None)?.ok_or(EINVAL)?;
    let mut end = first.range.end;
    unmap(first.range)?;
    let rest = vma::Rest {
        file: &first.file,
        size: limits::pages(first.file.size()).ok_or(EINVAL)? * PAGE_SIZE,
    };
    // No part of the attach is further than this.
    while end - address < rest.size {
        let Some(fragment) = vma::find_fragment(mounts, address, end, Some(&rest))? else {
            break;
        };
        end = fragment.range.end;
        unmap(fragment.range)?;
    }
    Ok(())
}

/// Unmaps a fragment. One that is sealed stays, and that is no error, as `ksys_shmdt()` has it; but a
/// task that is killed goes no further, nor does one for which there is no memory: it may try again.
fn unmap(range: Range<usize>) -> Result {
    match vma::unmap(range) {
        Err(e) if e == EINTR || e == ENOMEM => Err(e),
        _ => Ok(()),
    }
}
