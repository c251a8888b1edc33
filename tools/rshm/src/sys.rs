// SPDX-License-Identifier: MIT OR Apache-2.0

//! All that is `unsafe`: the calls, here, and memory that others write to, in [`memory`].
//!
//! What the calls rely on is that the descriptor is the module's device, which does what
//! `include/uapi/rust_shm.h` says. [`Device::open_path`](crate::Device::open_path) has seen a
//! character device that answers [`abi::IOC_VERSION`] as the module does. This leaves trust in the
//! kernel, and in root, who alone can load a driver (or run one, by CUSE) that answers so and does
//! something else later. Before that answer it is [`version`] alone that is called: a driver that
//! does not know the number leaves its argument alone, and the number says how much there is.

pub(crate) mod descriptor;
pub(crate) mod memory;
pub(crate) mod policy;
pub(crate) mod robust;
pub(crate) mod shared;

use memory::{Access, Memory};
use rust_shm_abi as abi;
use std::{
    io,
    mem::size_of_val,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
};

/// # Safety
///
/// `argument` is valid for what `number` makes the kernel read and write.
unsafe fn ioctl<T>(device: BorrowedFd<'_>, number: u32, argument: *mut T) -> io::Result<i32> {
    // SAFETY: By this function's requirement. The descriptor is open, as it is borrowed.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), number as _, argument) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub(crate) fn version(device: BorrowedFd<'_>) -> io::Result<abi::Version> {
    let mut version = abi::Version::default();
    // SAFETY: The module writes a `Version`, and another driver no more bytes: their count is in the
    // number. Any bytes are a `Version`.
    unsafe { ioctl(device, abi::IOC_VERSION, &mut version) }?;
    Ok(version)
}

pub(crate) fn get(device: BorrowedFd<'_>, request: &abi::Get) -> io::Result<i32> {
    let mut request = *request;
    // SAFETY: The kernel reads a `Get`.
    unsafe { ioctl(device, abi::IOC_GET, &mut request) }
}

pub(crate) fn restore(device: BorrowedFd<'_>, request: &abi::Restore) -> io::Result<i32> {
    let mut request = *request;
    // SAFETY: The kernel reads a `Restore`.
    unsafe { ioctl(device, abi::IOC_RESTORE, &mut request) }
}

/// # Safety
///
/// `command` makes the kernel read or write no structure but a `T`, of which it is told the size.
/// If it writes one, any bytes are a `T`.
unsafe fn ctl<T>(
    device: BorrowedFd<'_>,
    id: i32,
    command: u32,
    argument: &mut T,
    flags: u32,
) -> io::Result<i32> {
    let mut request = abi::Ctl {
        id,
        cmd: command,
        arg: argument as *mut T as usize as u64,
        arg_size: size_of_val(argument) as u32,
        flags,
    };
    // SAFETY: The kernel reads a `Ctl`; and reads or writes no more than `arg_size` bytes at `arg`,
    // which are the `T` that `argument` borrows.
    unsafe { ioctl(device, abi::IOC_CTL, &mut request) }
}

/// A command without a structure.
pub(crate) fn control(device: BorrowedFd<'_>, id: i32, command: u32) -> io::Result<()> {
    // SAFETY: Whatever the command is, the kernel has a structure of no bytes to write to.
    unsafe { ctl(device, id, command, &mut (), 0) }.map(drop)
}

/// The commands that fill a [`abi::Stat`]; returns what the call returns, too. The flags are 0 or
/// [`abi::CTL_HUGE`].
pub(crate) fn stat(
    device: BorrowedFd<'_>,
    id: i32,
    command: u32,
    flags: u32,
) -> io::Result<(i32, abi::Stat)> {
    let mut stat = abi::Stat::default();
    // SAFETY: The kernel writes a `Stat`, and any bytes are one.
    let result = unsafe { ctl(device, id, command, &mut stat, flags) }?;
    Ok((result, stat))
}

pub(crate) fn set(
    device: BorrowedFd<'_>,
    id: i32,
    uid: u32,
    gid: u32,
    mode: u32,
) -> io::Result<()> {
    let mut stat = abi::Stat {
        uid,
        gid,
        mode,
        ..abi::Stat::default()
    };
    // SAFETY: The kernel reads a `Stat`.
    unsafe { ctl(device, id, abi::IPC_SET, &mut stat, 0) }.map(drop)
}

pub(crate) fn limits(device: BorrowedFd<'_>) -> io::Result<abi::Limits> {
    let mut limits = abi::Limits::default();
    // SAFETY: The kernel writes a `Limits`, and any bytes are one.
    unsafe { ctl(device, 0, abi::IPC_INFO, &mut limits, 0) }?;
    Ok(limits)
}

/// The highest index in use, and the usage.
pub(crate) fn usage(device: BorrowedFd<'_>) -> io::Result<(i32, abi::Usage)> {
    let mut usage = abi::Usage::default();
    // SAFETY: The kernel writes a `Usage`, and any bytes are one.
    let highest = unsafe { ctl(device, 0, abi::INFO, &mut usage, 0) }?;
    Ok((highest, usage))
}

/// Switches the system calls, or asks. Returns whether they are served.
pub(crate) fn serve(device: BorrowedFd<'_>, op: u32) -> io::Result<bool> {
    let mut request = abi::Serve { op, flags: 0 };
    // SAFETY: The kernel reads a `Serve`.
    unsafe { ioctl(device, abi::IOC_SERVE, &mut request) }.map(|on| on != 0)
}

pub(crate) fn attach<A: Access>(device: BorrowedFd<'_>, id: i32) -> io::Result<Memory<A>> {
    let mut request = abi::Attach {
        id,
        flags: if A::WRITES { 0 } else { abi::RDONLY },
        ..abi::Attach::default()
    };
    // SAFETY: The kernel reads and writes an `Attach`. With the address 0, and without
    // `RUST_SHM_REMAP`, it maps nothing where something is mapped already.
    unsafe { ioctl(device, abi::IOC_ATTACH, &mut request) }?;
    let start = NonNull::new(request.addr as usize as *mut u8)
        .expect("the kernel maps nothing at address 0 unless asked to");
    // SAFETY: The module, whose answer this is (see above), has just mapped it, in whole pages, as
    // `A` says, and it is ours until `detach()`. No mapping is longer than `isize::MAX`.
    Ok(unsafe { Memory::new(start, request.length as usize) })
}

/// Detaches memory that [`attach`] has given, and leaves memory of no bytes, unless it stays there.
pub(crate) fn detach<A: Access>(device: BorrowedFd<'_>, memory: &mut Memory<A>) -> io::Result<()> {
    let mut request = abi::Detach {
        addr: memory.as_ptr() as usize as u64,
        ..abi::Detach::default()
    };
    detach_by(memory, || {
        // SAFETY: The kernel reads a `Detach`. What it unmaps is what `attach()` has mapped:
        // `detach_by()` calls this only as long as that is there. Nothing refers to it: references
        // borrow the `Memory`, which is ours alone here.
        unsafe { ioctl(device, abi::IOC_DETACH, &mut request) }.map(drop)
    })
}

/// Detaches memory by a call, which is made again when a signal has interrupted it.
///
/// `EBUSY` if a forgotten guard has a mutex in it locked: the kernel's list leads there.
///
/// After an error but `EINVAL` the memory is still there: the module unmaps nothing before it has
/// all that it needs. After `EINVAL` there is nothing of the module's at the address any more.
fn detach_by<A: Access>(
    memory: &mut Memory<A>,
    mut call: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    if memory.is_empty() {
        return Ok(());
    }
    if memory.is_locked() {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let result = loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => break result,
        }
    };
    let gone = match &result {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == Some(libc::EINVAL),
    };
    if gone {
        *memory = Memory::empty();
    }
    result
}

/// `ftok(3)`, which [`Key::from_path`](crate::Key::from_path) has to agree with.
#[cfg(test)]
pub(crate) fn ftok(path: &std::ffi::CStr, project: u8) -> i32 {
    // SAFETY: `path` is a string.
    unsafe { libc::ftok(path.as_ptr(), project.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memory::{Anonymous, ReadWrite};

    /// Detaches by calls that fail with these codes, and then one that does not. Gives the result,
    /// how many calls there were, and whether the memory is there still.
    fn detach_failing(errors: &[i32]) -> (Option<i32>, usize, bool) {
        let anonymous = Anonymous::new(4096).unwrap();
        let start = NonNull::new(anonymous.as_mut_ptr()).unwrap();
        // SAFETY: This is mapped for longer than `memory` lives.
        let mut memory: Memory<ReadWrite> = unsafe { Memory::new(start, anonymous.len()) };
        let mut calls = 0;
        let result = detach_by(&mut memory, || {
            calls += 1;
            let error = errors.get(calls - 1);
            error.map_or(Ok(()), |&errno| Err(io::Error::from_raw_os_error(errno)))
        });
        let errno = result.err().and_then(|error| error.raw_os_error());
        (errno, calls, !memory.is_empty())
    }

    #[test]
    fn detach_is_repeated_until_it_is_done() {
        assert_eq!(detach_failing(&[]), (None, 1, false));
        assert_eq!(detach_failing(&[libc::EINTR; 3]), (None, 4, false));
        // Nothing is there any more.
        let gone = (Some(libc::EINVAL), 2, false);
        assert_eq!(detach_failing(&[libc::EINTR, libc::EINVAL]), gone);
        // It is: who detaches it again can succeed.
        let stays = (Some(libc::ENOMEM), 1, true);
        assert_eq!(detach_failing(&[libc::ENOMEM]), stays);
        let none = detach_by(&mut Memory::<ReadWrite>::empty(), || {
            unreachable!("there is nothing to detach")
        });
        assert!(none.is_ok());
    }
}
