// SPDX-License-Identifier: GPL-2.0

//! The descriptor of the device. There is one for the process, opened when the library is loaded,
//! or with the first call if that failed. It is never closed, but programs close it: a daemon that
//! closes all descriptors knows nothing of it. Then its number may become somebody else's.
//!
//! So nothing is taken for granted of the number that is remembered. Before each call it is looked
//! whether that descriptor is the device, by its device number; if not, the number is forgotten, and
//! the device opened again. The number itself is not closed: it is not ours any more. Which open file
//! of the device it is does not matter, as it carries the calls for whoever makes them.
//!
//! Another thread may put another file there between that look and the ioctl. The ioctl then fails on
//! that file, without effect: its number means something on this device only. What failed is
//! repeated if, looked at again, the descriptor is not the device.
//!
//! Opening the device for each call would be simpler. But it cannot be opened after `chroot`, or when
//! all descriptors are in use, and to open it takes a lock that is one for all of the machine
//! (`misc_open()`), and a close.
//!
//! The child of a `vfork` shares this memory, but has descriptors of its own; so may a thread
//! (`unshare(CLONE_FILES)`). Whoever does not find the device where the others have it opens it, at a number of its own.

use crate::sys::{self, Errno, Plain, Result};
use core::ffi::{c_int, CStr};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use rust_shm_abi::{Version, ABI_VERSION, IOC_VERSION};

/// [`rust_shm_abi::DEVICE`].
const PATH: &CStr = c"/dev/rust_shm";

/// Programs count with the low descriptors: that the next one opened is the lowest that is free, or
/// that 0, 1 and 2 are the standard ones. The usual limit is 1024.
const LOWEST: c_int = 500;
/// Where the limit is lower: no standard one, at least.
const LOWEST_OF_ALL: c_int = 3;

/// How often a descriptor may be taken away from under a call before the call fails.
const ATTEMPTS: u32 = 16;

/// Where it was last.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);
/// The number of the device that it was.
static NUMBER: AtomicU64 = AtomicU64::new(0);

fn is_device(fd: c_int) -> bool {
    fd >= 0 && sys::character_device(fd) == Some(NUMBER.load(Ordering::Acquire))
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
    let mut version = Version::default();
    match sys::character_device(fd) {
        Some(number)
            if sys::ioctl(fd, IOC_VERSION, &mut version).is_ok() && version.abi >= ABI_VERSION =>
        {
            NUMBER.store(number, Ordering::Release);
            Ok(fd)
        }
        _ => {
            sys::close(fd);
            Err(Errno::NOSYS)
        }
    }
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
    let known = DESCRIPTOR.load(Ordering::Acquire);
    if is_device(known) {
        return Ok(known);
    }
    let new = open_high()?;
    match DESCRIPTOR.compare_exchange(known, new, Ordering::AcqRel, Ordering::Acquire) {
        Err(other) if other != new && is_device(other) => {
            // Another thread was faster.
            if is_device(new) {
                sys::close(new);
            }
            Ok(other)
        }
        Err(_) => {
            // It was a process with this memory and other descriptors.
            DESCRIPTOR.store(new, Ordering::Release);
            Ok(new)
        }
        Ok(_) => Ok(new),
    }
}

/// An ioctl on the device.
pub(crate) fn call<T: Plain>(request: u32, argument: &mut T) -> Result<usize> {
    let mut attempts = 0;
    loop {
        let fd = descriptor()?;
        match sys::ioctl(fd, request, argument) {
            Err(error) if attempts < ATTEMPTS && (error == Errno::BADF || !is_device(fd)) => {
                // Not ours any more, or opened by somebody in a way that does not do (O_PATH).
                let _ = DESCRIPTOR.compare_exchange(fd, -1, Ordering::AcqRel, Ordering::Relaxed);
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
