// SPDX-License-Identifier: MIT OR Apache-2.0

//! The descriptor of the device. There is one for the process, opened with the first call, or before a
//! `chroot`: a program that makes no call is nobody who keeps the module from being unloaded. It is never
//! closed, but programs close it: a daemon that closes all descriptors knows nothing of it. Then its number
//! may become somebody else's.
//!
//! So nothing is taken for granted of the number that is remembered. Before each call it is looked
//! whether that descriptor is the device, by its device number; if not, the number is forgotten, and
//! the device opened again. The number itself is not closed: it is not ours any more. Which open file
//! of the device it is does not matter, as it carries the calls for whoever makes them.
//!
//! Another thread may put another file there between that look and the ioctl. The ioctl then fails on
//! that file, without effect: its number means something on this device only. So what may have failed
//! like that is repeated; and nothing is lost by repeating what the device itself has refused.
//!
//! What this library closes is what it has opened a moment ago: the number that the device had before
//! it was moved out of the way, and one that another thread turns out to have opened as well. That
//! too is looked at before. A thread that puts a file at a number that it has not been given, just
//! between the two, loses it, as it may with any library that opens files.
//!
//! Opening the device for each call would be simpler. But it cannot be opened after `chroot`, or when
//! all descriptors are in use, and to open it takes a lock that is one for all of the machine
//! (`misc_open()`), and a close.
//!
//! The child of a `vfork` shares this memory, but has descriptors of its own; so may a thread
//! (`unshare(CLONE_FILES)`). Whoever does not find the device where the others have it opens it, at a number of its own.

use crate::sys::{self, Errno, Plain, Result};
use core::ffi::{c_int, CStr};
use core::sync::atomic::{AtomicU64, Ordering};
use rust_shm_abi::{Version, IOC_VERSION};

/// [`rust_shm_abi::DEVICE`].
const PATH: &CStr = c"/dev/rust_shm";

/// Programs count with the low descriptors: that the next one opened is the lowest that is free, or
/// that 0, 1 and 2 are the standard ones. The usual limit is 1024.
const LOWEST: c_int = 500;
/// Where the limit is lower: no standard one, at least.
const LOWEST_OF_ALL: c_int = 3;

/// How often a descriptor may be taken away from under a call before the call fails. A thread that
/// closes it without end is faster than one that opens it, and sixteen times in a row do happen. There
/// is an end, as some other device might answer just so.
const ATTEMPTS: u32 = 1000;

/// Where it was last: the number, and above it how often that has been said. So who finds a number
/// stale does not take for stale what another thread has put at the same number meanwhile.
static LAST: AtomicU64 = AtomicU64::new(Place::NOWHERE.0);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u64);

impl Place {
    const NOWHERE: Self = Self(u32::MAX as u64);

    fn last() -> Self {
        Self(LAST.load(Ordering::Acquire))
    }

    fn descriptor(self) -> c_int {
        self.0 as u32 as c_int
    }

    /// Says that it is there now, or what has been said instead since this was the last.
    fn replace(self, fd: c_int) -> core::result::Result<(), Self> {
        let next = ((self.0 >> 32).wrapping_add(1) << 32) | u64::from(fd as u32);
        LAST.compare_exchange(self.0, next, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Self)
    }
}

/// The number of the device that it was.
static NUMBER: AtomicU64 = AtomicU64::new(0);

fn is_device(fd: c_int) -> bool {
    fd >= 0 && sys::character_device(fd) == Some(NUMBER.load(Ordering::Acquire))
}

/// Whether this is a module that has what this library needs.
fn speaks_our_language(fd: c_int) -> bool {
    let mut version = Version::default();
    sys::ioctl(fd, IOC_VERSION, &mut version).is_ok() && version.speaks_ours()
}

/// Opens the device. `ENOSYS` where there is none, or one that is none of ours, or one of a module
/// that is older than this library; `EACCES` where the caller may not; otherwise as `open`.
pub(crate) fn open(flags: c_int) -> Result<c_int> {
    let fd = loop {
        match sys::open(PATH, flags | libc::O_NOCTTY) {
            Err(Errno::INTR) => continue,
            Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENXIO | libc::ENODEV)) => {
                return Err(Errno::NOSYS)
            }
            Err(Errno(libc::EPERM)) => return Err(Errno::ACCES),
            result => break result?,
        }
    };
    match sys::character_device(fd) {
        Some(number) if speaks_our_language(fd) => {
            NUMBER.store(number, Ordering::Release);
            Ok(fd)
        }
        _ => {
            sys::close(fd);
            Err(Errno::NOSYS)
        }
    }
}

/// Whether it can be opened.
pub(crate) fn probe() -> Result<()> {
    open(libc::O_RDWR | libc::O_CLOEXEC).map(sys::close)
}

/// Opens it for the process, out of the way.
fn open_high() -> Result<c_int> {
    let fd = open(libc::O_RDWR | libc::O_CLOEXEC)?;
    match sys::duplicate(fd, LOWEST).or_else(|_| {
        // There is no such number, or none is free.
        if fd >= LOWEST_OF_ALL {
            Ok(fd)
        } else {
            sys::duplicate(fd, LOWEST_OF_ALL)
        }
    }) {
        Ok(new) if new == fd => Ok(fd),
        new => {
            // It was opened a moment ago. Still, another thread may be closing all there is.
            if is_device(fd) {
                sys::close(fd);
            }
            new.map_err(|_| Errno::MFILE)
        }
    }
}

/// The descriptor, which has just been the device.
pub(crate) fn descriptor() -> Result<c_int> {
    let mut last = Place::last();
    if is_device(last.descriptor()) {
        return Ok(last.descriptor());
    }
    // It is where it was put first, if that number was another process's, with this memory.
    if is_device(LOWEST) && speaks_our_language(LOWEST) {
        let _ = last.replace(LOWEST);
        return Ok(LOWEST);
    }
    let new = open_high()?;
    while let Err(other) = last.replace(new) {
        if other.descriptor() != new && is_device(other.descriptor()) {
            // Another thread was faster.
            if is_device(new) {
                sys::close(new);
            }
            return Ok(other.descriptor());
        }
        last = other;
    }
    Ok(new)
}

/// Whether this error of an ioctl need not be the device's: by now the descriptor may be the device
/// again, which another thread has opened, and that this has happened shows in the place that was the
/// last before the call. The device itself never says `EBADF` or `ENOTTY`.
fn may_be_another_files(error: Errno, fd: c_int, before: Place) -> bool {
    matches!(error, Errno::BADF | Errno::NOTTY) || Place::last() != before || !is_device(fd)
}

/// An ioctl on the device.
pub(crate) fn call<T: Plain>(request: u32, argument: &mut T) -> Result<usize> {
    let mut attempts = 0;
    loop {
        let last = Place::last();
        let fd = descriptor()?;
        match sys::ioctl(fd, request, argument) {
            Err(error) if attempts < ATTEMPTS && may_be_another_files(error, fd, last) => {
                // It may be one of the device still, but opened by somebody in a way that does not
                // do (O_PATH).
                if error == Errno::BADF && last.descriptor() == fd {
                    let _ = last.replace(-1);
                }
                attempts += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_path_of_the_abi() {
        assert_eq!(PATH.to_str(), Ok(rust_shm_abi::DEVICE));
    }
}
