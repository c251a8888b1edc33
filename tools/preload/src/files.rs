// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files of `/proc` that tell of shared memory, for a program that opens them to read:
//!
//! - `/proc/sysvipc/shm`: the device's own table, which has the same columns.
//! - `/proc/sys/kernel/shmmax`, `shmall`, `shmmni`: where the kernel has them, they hold for the module
//!   too. Where it does not, being one without System V shared memory, the module's limits.
//!
//! They are known by just these paths. Whatever else is opened is the kernel's. Without a device there is no
//! such table, as the calls are ENOSYS: the kernel's would tell of segments that the program cannot reach.
//!
//! The kernel is asked first, always: it has then read the path, so that this can be looked at
//! here, and a program that opens other files pays for nothing.

use crate::sys::{self, Errno, Result};
use crate::{calls, device};
use core::ffi::{c_int, CStr};
use rust_shm_abi::Limits;

const TABLE: &CStr = c"/proc/sysvipc/shm";

/// A path, and which of the limits is there.
type Limit = (&'static CStr, fn(&Limits) -> u64);

const LIMITS: [Limit; 3] = [
    (c"/proc/sys/kernel/shmmax", |limits| limits.shmmax),
    (c"/proc/sys/kernel/shmall", |limits| limits.shmall),
    (c"/proc/sys/kernel/shmmni", |limits| limits.shmmni),
];

/// Whoever opens a file like this does not just want to read it.
const NOT_TO_READ: c_int =
    libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_DIRECTORY | libc::O_PATH;

/// What a program gets that has opened `path` with these flags, where `kernels` is the descriptor that
/// it got, or `ENOENT`.
pub(crate) fn opened(path: &CStr, flags: c_int, kernels: Result<c_int>) -> Result<c_int> {
    let close = || {
        if let Ok(fd) = kernels {
            sys::close(fd);
        }
    };
    instead(path, flags, kernels.is_err(), close).unwrap_or(kernels)
}

/// Opens what a program gets instead of the kernel's file, if anything. Before that it lets the
/// kernel's go: the program is to get the lowest descriptor, and it may be the last.
pub(crate) fn instead(
    path: &CStr,
    flags: c_int,
    is_missing: bool,
    let_go: impl FnOnce(),
) -> Option<Result<c_int>> {
    if flags & NOT_TO_READ != libc::O_RDONLY {
        return None;
    }
    if path == TABLE {
        if calls::are_builtin() == Ok(true) {
            return None;
        }
        let_go();
        let table = device::open(libc::O_RDONLY | flags & (libc::O_CLOEXEC | libc::O_NONBLOCK));
        return Some(table.map_err(|error| match error {
            Errno::NOSYS => Errno::NOENT,
            error => error,
        }));
    }
    if !is_missing {
        return None;
    }
    let (name, limit) = LIMITS.iter().find(|(name, _)| path == *name)?;
    if calls::are_builtin() == Ok(true) {
        return None;
    }
    let mut text = [0; 21];
    let text = line(limit(&calls::limits().ok()?), &mut text);
    Some(sys::file_with(name, text, flags & libc::O_CLOEXEC != 0))
}

/// The number in digits, and a newline, at the end of `text`.
fn line(mut number: u64, text: &mut [u8; 21]) -> &[u8] {
    let mut begin = text.len();
    let mut put = |byte| {
        begin -= 1;
        text[begin] = byte;
    };
    put(b'\n');
    loop {
        put(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    &text[begin..]
}

/// The flags of `open` for a mode of `fopen`, if that is to read alone.
pub(crate) fn flags_of_mode(mode: &CStr) -> Option<c_int> {
    let (first, rest) = mode.to_bytes().split_first()?;
    // What follows a comma is a character set.
    let rest = rest.split(|byte| *byte == b',').next()?;
    if *first != b'r' || rest.contains(&b'+') {
        return None;
    }
    Some(if rest.contains(&b'e') {
        libc::O_CLOEXEC
    } else {
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_all_digits() {
        for number in [0, 1, 9, 10, 4096, u64::MAX - (1 << 24), u64::MAX] {
            let text = line(number, &mut [0; 21]).to_vec();
            assert_eq!(String::from_utf8(text).unwrap(), format!("{number}\n"));
        }
    }

    #[test]
    fn modes_to_read() {
        for (mode, flags) in [
            (c"r", 0),
            (c"rb", 0),
            (c"re", libc::O_CLOEXEC),
            (c"rbme", libc::O_CLOEXEC),
        ] {
            assert_eq!(flags_of_mode(mode), Some(flags));
        }
        assert_eq!(flags_of_mode(c"r,ccs=e+"), Some(0));
        for mode in [c"", c"r+", c"rb+", c"w", c"a", c"e"] {
            assert_eq!(flags_of_mode(mode), None);
        }
    }
}
