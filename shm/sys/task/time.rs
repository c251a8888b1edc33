// SPDX-License-Identifier: GPL-2.0

//! Wall-clock time.

use kernel::bindings;

/// Returns the seconds since 1970 (`ktime_get_real_seconds()`).
pub(crate) fn now() -> i64 {
    // SAFETY: May be called from any context.
    unsafe { bindings::ktime_get_real_seconds() }
}
