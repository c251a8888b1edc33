// SPDX-License-Identifier: GPL-2.0

//! Work that several tasks come to at the same moment, and that one of them does for all.
//!
//! It saves work, and guards nothing: two may do it where the table is too small to tell.

use crate::shm::sys::compat::smp_mb;
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    }, //
};

/// How many of such works [`OnceTable`] knows at a time.
const SLOTS: usize = 64;

/// A wait ends after so many milliseconds: somebody else's work may have taken the slot.
const LONG_ENOUGH: u32 = 100;

/// The bit of a slot that is waited for.
const BUSY: usize = 1;

/// What is being done at this moment, by a number for each.
///
/// # Invariants
///
/// A slot is 0, or a number with [`BUSY`], and then a [`Turn`] has it.
pub(crate) struct OnceTable([Slot; SLOTS]);

/// Each on a cache line of its own: those who do different work do not meet.
#[repr(align(64))]
struct Slot(Atomic<usize>);

/// The caller's turn to do the work. It ends when this is dropped.
///
/// # Invariants
///
/// The slot, if there is one, is this one's.
pub(crate) struct Turn<'a>(Option<&'a Atomic<usize>>);

impl OnceTable {
    /// Nothing is being done.
    pub(crate) const fn new() -> Self {
        // INVARIANT: All slots are 0.
        Self([const { Slot(Atomic::new(0)) }; SLOTS])
    }

    /// Begins the work with this number. `None` if somebody else was doing it: the caller has waited
    /// for the end of that, or long enough, or is killed.
    pub(crate) fn begin(&self, number: usize) -> Option<Turn<'_>> {
        /// An odd number that spreads: 2^64 / the golden ratio.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let word = (number as u64).wrapping_mul(SPREAD);
        // CAST: The upper bits say which slot; the number stays unique with its lowest bit given up.
        let Slot(slot) = self.0.get((word >> 58) as usize)?;
        let busy = word as usize | BUSY;
        match slot.cmpxchg(0, busy, Acquire) {
            // INVARIANT: The slot was free.
            Ok(_) => Some(Turn(Some(slot))),
            Err(other) if other != busy => Some(Turn(None)),
            Err(_) => {
                // SAFETY: The word is valid for as long as the table. `bit_wait_timeout()` is for
                // such a wait.
                unsafe {
                    bindings::out_of_line_wait_on_bit_timeout(
                        ptr::from_ref(slot).cast_mut().cast(),
                        BUSY.trailing_zeros() as c_int,
                        Some(bindings::bit_wait_timeout),
                        bindings::TASK_KILLABLE,
                        kernel::time::msecs_to_jiffies(LONG_ENOUGH),
                    )
                };
                None
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(slot) = self.0 else {
            return;
        };
        // INVARIANT: The turn that has the slot ends.
        slot.store(0, Release);
        // The store comes before the look for those who wait: as `clear_and_wake_up_bit()`.
        smp_mb(Full);
        // SAFETY: The word is valid for as long as the table.
        unsafe {
            bindings::wake_up_bit(
                ptr::from_ref(slot).cast_mut().cast(),
                BUSY.trailing_zeros() as c_int,
            )
        };
    }
}
