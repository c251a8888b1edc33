// SPDX-License-Identifier: GPL-2.0

//! The clock.

use kernel::bindings;

/// Seconds since 1970, as the times of a segment are kept (`ktime_get_real_seconds()`).
pub(crate) fn now() -> i64 {
    // SAFETY: May be called from any context.
    unsafe { bindings::ktime_get_real_seconds() }
}
