// SPDX-License-Identifier: GPL-2.0

//! System calls that do not allocate, as a program under test may have taken any memory away.

use std::ffi::CStr;

const KEPT: u64 = 500;

/// The result of a system call, or its error as a negative number.
pub fn call(number: i64, args: &[u64]) -> i64 {
    let at = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: What the calls of a program do to the process is what is tested. Those of ours get memory that is ours.
    let result = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if result == -1 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        result
    }
}

pub fn open(path: &CStr, flags: i32) -> i64 {
    call(libc::SYS_openat, &[libc::AT_FDCWD as u64, path.as_ptr() as u64, flags as u64, 0o600])
}

/// Gives an open file a number that programs do not come upon, and that `close_low()` leaves.
pub fn keep(fd: i64) -> i64 {
    let kept = call(libc::SYS_fcntl, &[fd as u64, libc::F_DUPFD as u64, KEPT]);
    close(fd);
    kept
}

pub fn close_low() {
    call(libc::SYS_close_range, &[3, KEPT - 1, 0]);
}

pub fn close(fd: i64) {
    call(libc::SYS_close, &[fd as u64]);
}

/// Writes bytes to a file.
pub fn write_file(path: &CStr, text: &[u8]) -> i64 {
    let fd = open(path, libc::O_WRONLY);
    if fd < 0 {
        return fd;
    }
    let result = call(libc::SYS_write, &[fd as u64, text.as_ptr() as u64, text.len() as u64]);
    close(fd);
    result
}

/// A number as text, without allocating.
pub fn digits(mut number: u64, space: &mut [u8; 20]) -> &[u8] {
    let mut at = space.len();
    loop {
        at -= 1;
        space[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &space[at..];
        }
    }
}

/// Maps shared memory at an address.
pub fn map_shared(address: usize, bytes: usize) -> Result<(), String> {
    map(address, bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)
}

pub fn map(address: usize, bytes: usize, protection: i32, flags: i32, fd: i64) -> Result<(), String> {
    let flags = (flags | libc::MAP_FIXED_NOREPLACE) as u64;
    match call(libc::SYS_mmap, &[address as u64, bytes as u64, protection as u64, flags, fd as u64, 0]) {
        error if error < 0 => Err(format!("mmap at {address:#x}: errno {}", -error)),
        _ => Ok(()),
    }
}

/// Copies between this process and itself, so that a bad address is an error. Returns whether all was copied.
pub fn copy(number: i64, remote: u64, local: *const u8, bytes: usize) -> bool {
    copy_with(number, u64::from(std::process::id()), remote, local as u64, bytes as u64) == bytes as i64
}

/// `process_vm_readv()` or `process_vm_writev()` with one piece.
pub fn copy_with(number: i64, pid: u64, remote: u64, local: u64, bytes: u64) -> i64 {
    let (local, remote) = ([local, bytes], [remote, bytes]);
    call(number, &[pid, local.as_ptr() as u64, 1, remote.as_ptr() as u64, 1, 0])
}
