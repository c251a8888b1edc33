// SPDX-License-Identifier: MIT OR Apache-2.0

//! Descriptors of segments: the calls.
//!
//! What `map()` relies on is that the file's size stays. Its callers have seen that the descriptor is
//! on the module's filesystem, whose files nobody can truncate.

use super::{
    ioctl,
    memory::{Access, Memory},
};
use rust_shm_abi as abi;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
};

pub(crate) fn open(device: BorrowedFd<'_>, id: i32, writes: bool) -> io::Result<OwnedFd> {
    let mut request = abi::Fd {
        id,
        flags: abi::FD_CLOEXEC | if writes { abi::FD_RDWR } else { 0 },
    };
    // SAFETY: The kernel reads an `Fd`.
    let fd = unsafe { ioctl(device, abi::IOC_FD, &mut request) }?;
    // SAFETY: The descriptor is new: nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Maps the first `length` bytes, whole pages.
pub(crate) fn map<A: Access>(fd: BorrowedFd<'_>, length: usize) -> io::Result<Memory<A>> {
    let protection = libc::PROT_READ | if A::WRITES { libc::PROT_WRITE } else { 0 };
    // SAFETY: This maps where nothing is mapped.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            protection,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start =
        NonNull::new(start.cast()).expect("the kernel maps nothing at address 0 unless asked to");
    // SAFETY: It was just mapped, in whole pages, as `A` says, and is ours until `unmap()`. No
    // mapping is longer than `isize::MAX`.
    Ok(unsafe { Memory::new(start, length) })
}

/// Unmaps memory that [`map`] has given, and leaves memory of no bytes.
pub(crate) fn unmap<A: Access>(memory: &mut Memory<A>) {
    if !memory.is_empty() {
        // SAFETY: We have mapped this, and nothing refers to it any more: references borrow the
        // `Memory`, which is ours alone here.
        unsafe { libc::munmap(memory.as_ptr().cast_mut().cast(), memory.len()) };
        *memory = Memory::empty();
    }
}

pub(crate) fn add_seals(fd: BorrowedFd<'_>, seals: u32) -> io::Result<()> {
    // The argument is a number; the kernel looks at no memory.
    // SAFETY: As it says.
    unsafe { ioctl(fd, abi::FD_ADD_SEALS, seals as usize as *mut u8) }.map(drop)
}

pub(crate) fn seals(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: As above.
    unsafe { ioctl(fd, abi::FD_GET_SEALS, ptr::null_mut::<u8>()) }.map(|seals| seals as u32)
}
