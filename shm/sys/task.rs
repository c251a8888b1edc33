// SPDX-License-Identifier: GPL-2.0

//! The calling task.

use kernel::{
    bindings,
    current, //
};

/// Whether it is to die (`fatal_signal_pending()`, which is inline).
pub(crate) fn is_killed() -> bool {
    let task = current!();
    if !task.signal_pending() {
        return false;
    }
    // SAFETY: `current` is valid. The word is read once, as `__fatal_signal_pending()` does.
    let pending = unsafe { (&raw const (*task.as_ptr()).pending.signal.sig[0]).read_volatile() };
    // As `sigmask()`.
    pending >> (bindings::SIGKILL - 1) & 1 != 0
}
