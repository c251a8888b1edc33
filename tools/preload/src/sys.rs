// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the rest of the library asks of the system: system calls, `errno`, libc's next function of
//! a name, and memory that a caller points to and that may not be there.
//!
//! System calls are instructions, not calls of libc's functions: no other library that is preloaded comes
//! between, `errno` stays as it is, and they are no cancellation points, as `shmget` is none (`open` and
//! `close` are).

#![allow(unsafe_code)]

use core::ffi::{c_char, c_int, c_void, CStr};
use core::mem::{size_of, MaybeUninit};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use syscalls::Sysno;

/// A number of `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

pub(crate) type Result<T> = core::result::Result<T, Errno>;

impl Errno {
    pub(crate) const ACCES: Self = Self(libc::EACCES);
    pub(crate) const BADF: Self = Self(libc::EBADF);
    pub(crate) const FAULT: Self = Self(libc::EFAULT);
    pub(crate) const INTR: Self = Self(libc::EINTR);
    pub(crate) const INVAL: Self = Self(libc::EINVAL);
    pub(crate) const MFILE: Self = Self(libc::EMFILE);
    pub(crate) const NOENT: Self = Self(libc::ENOENT);
    pub(crate) const NOTTY: Self = Self(libc::ENOTTY);
    pub(crate) const NOSYS: Self = Self(libc::ENOSYS);

    /// What `errno` is now.
    pub(crate) fn get() -> Self {
        // SAFETY: libc returns the address of the calling thread's `errno`, which is always valid.
        Self(unsafe { *libc::__errno_location() })
    }

    /// Lets `errno` be this.
    pub(crate) fn set(self) {
        // SAFETY: As in `get()`; and no other thread has this one's `errno`.
        unsafe { *libc::__errno_location() = self.0 }
    }
}

/// A system call, which leaves `errno` alone.
///
/// # Safety
///
/// As the system call says of its arguments.
unsafe fn syscall(number: Sysno, arguments: [usize; 4]) -> Result<usize> {
    let [a, b, c, d] = arguments;
    // SAFETY: The caller answers for the arguments. What the system call does not take, the kernel does not
    // look at.
    let result = unsafe { syscalls::raw::syscall4(number, a, b, c, d) };
    // The kernel's `IS_ERR_VALUE()`.
    match result.wrapping_neg() {
        error @ 1..=4095 => Err(Errno(error as c_int)),
        _ => Ok(result),
    }
}

/// What the command of `shmctl` takes to have the new structures: `IPC_64` on 32-bit arm. The calls of other
/// 32-bit programs are the ones of Linux 5.1, which have no other structures, as those of 64-bit programs.
pub(crate) const STRUCTURES: c_int = if cfg!(target_arch = "arm") { 0x100 } else { 0 };

/// One of the kernel's own calls.
pub(crate) fn builtin(number: Sysno, arguments: [usize; 3]) -> Result<usize> {
    let [a, b, c] = arguments;
    // SAFETY: The kernel checks every pointer that these calls are given. What they map or unmap is
    // the wish of the program, which called the function of that name.
    unsafe { syscall(number, [a, b, c, 0]) }
}

/// Plain memory: of whole numbers alone, without a hole.
///
/// # Safety
///
/// Any bytes are a valid value of the type, and no byte of a value is padding.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: The crate asserts of its structures that there are fields of whole numbers and no holes.
unsafe impl Plain for rust_shm_abi::Version {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Get {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Attach {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Detach {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Ctl {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Fd {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Stat {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Limits {}
// SAFETY: As above.
unsafe impl Plain for rust_shm_abi::Usage {}

/// An ioctl on the device. The module reads and writes `argument`, and what [`Ctl::arg`] in it
/// points to.
///
/// [`Ctl::arg`]: rust_shm_abi::Ctl::arg
pub(crate) fn ioctl<T: Plain>(fd: c_int, request: u32, argument: &mut T) -> Result<usize> {
    const {
        assert!(size_of::<T>() < 1 << 14, "it fits into an ioctl's number");
    }
    if (request >> 16) as usize & 0x3fff != size_of::<T>() {
        return Err(Errno::INVAL);
    }
    // SAFETY: The kernel reads or writes as many bytes as the number says, which is the size of
    // `argument`, and any bytes are a valid one. Pointers in it the kernel checks.
    unsafe {
        syscall(
            Sysno::ioctl,
            [
                fd as usize,
                request as usize,
                ptr::from_mut(argument) as usize,
                0,
            ],
        )
    }
}

/// A pointer for [`rust_shm_abi::Ctl::arg`].
pub(crate) fn address_of<T: Plain>(value: &mut T) -> u64 {
    ptr::from_mut(value) as usize as u64
}

pub(crate) fn open(path: &CStr, flags: c_int) -> Result<c_int> {
    // SAFETY: The path ends with a NUL, and the kernel only reads it.
    let fd = unsafe {
        syscall(
            Sysno::openat,
            [
                libc::AT_FDCWD as usize,
                path.as_ptr() as usize,
                flags as usize,
                0,
            ],
        )
    }?;
    Ok(fd as c_int)
}

/// Closes a descriptor that the caller knows to be its own.
pub(crate) fn close(fd: c_int) {
    // SAFETY: It is the caller's, says the caller.
    let _ = unsafe { syscall(Sysno::close, [fd as usize, 0, 0, 0]) };
}

/// The same file by the lowest descriptor that is free from `lowest` up, which `exec` closes.
pub(crate) fn duplicate(fd: c_int, lowest: c_int) -> Result<c_int> {
    // SAFETY: No pointer is passed, and no other descriptor changes.
    let new = unsafe {
        syscall(
            #[cfg(target_pointer_width = "32")]
            Sysno::fcntl64,
            #[cfg(target_pointer_width = "64")]
            Sysno::fcntl,
            [
                fd as usize,
                libc::F_DUPFD_CLOEXEC as usize,
                lowest as usize,
                0,
            ],
        )
    }?;
    Ok(new as c_int)
}

/// The number of the character device that a descriptor is, or `None` if it is anything else.
pub(crate) fn character_device(fd: c_int) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: The kernel writes a structure of this layout: `stat64` is the kernel's own for these
    // two system calls.
    unsafe {
        syscall(
            #[cfg(target_pointer_width = "32")]
            Sysno::fstat64,
            #[cfg(target_pointer_width = "64")]
            Sysno::fstat,
            [fd as usize, stat.as_mut_ptr() as usize, 0, 0],
        )
    }
    .ok()?;
    // SAFETY: It is of whole numbers alone, so it was valid when it was zero, and still is.
    let stat = unsafe { stat.assume_init() };
    (stat.st_mode & libc::S_IFMT == libc::S_IFCHR).then_some(stat.st_rdev)
}

/// An unnamed file with this text, to be read from its beginning.
pub(crate) fn file_with(name: &CStr, text: &[u8], close_on_exec: bool) -> Result<c_int> {
    let flags = if close_on_exec {
        libc::MFD_CLOEXEC as usize
    } else {
        0
    };
    // SAFETY: The name ends with a NUL, and the kernel only reads it.
    let fd = unsafe { syscall(Sysno::memfd_create, [name.as_ptr() as usize, flags, 0, 0]) }?;
    let fd = fd as c_int;
    // SAFETY: The kernel reads as many bytes as the text has.
    let written = unsafe {
        syscall(
            Sysno::write,
            [fd as usize, text.as_ptr() as usize, text.len(), 0],
        )
    };
    // SAFETY: No pointer is passed. The descriptor is one of this function's own.
    let begin = unsafe { syscall(Sysno::lseek, [fd as usize, 0, 0, 0]) };
    let written = begin.and(written);
    match written {
        Ok(length) if length == text.len() => Ok(fd),
        _ => {
            close(fd);
            Err(Errno(libc::ENOMEM))
        }
    }
}

/// Memory that a caller of libc's functions points to. It may be read-only, or not there at all: that
/// is `EFAULT`, as it is from a system call, and no SIGSEGV.
///
/// The kernel is asked whether it can be read or written, and then it is. `rt_sigprocmask` is a
/// system call that does nothing else, and one that every sandbox allows, as a program cannot do
/// without (only that a null pointer means something else to it); `process_vm_readv` is not (`SystemCallFilter=@system-service` of systemd does not have
/// it). Where another thread takes the memory away between the two, the SIGSEGV is that of a program
/// which frees what it is using.
#[derive(Clone, Copy)]
pub(crate) struct UserMemory(pub(crate) usize);

/// As many bytes as the kernel's `sigset_t` has.
const PROBE: usize = 8;

impl UserMemory {
    /// Whether the eight bytes here can be read.
    fn can_be_read(self) -> bool {
        // SAFETY: The kernel only reads there, and checks the address. It does nothing further, as
        // there is no such way to change the mask: that is EINVAL, which comes after EFAULT.
        let result = unsafe { syscall(Sysno::rt_sigprocmask, [usize::MAX, self.0, 0, PROBE]) };
        self.0 != 0 && result != Err(Errno::FAULT)
    }

    /// Whether they can be written. They are overwritten.
    fn can_be_written(self) -> bool {
        // SAFETY: The kernel checks the address, and writes there what the caller's mask is. The
        // caller is about to overwrite these bytes, as its own caller wants.
        let result = unsafe {
            syscall(
                Sysno::rt_sigprocmask,
                [libc::SIG_BLOCK as usize, 0, self.0, PROBE],
            )
        };
        self.0 != 0 && result != Err(Errno::FAULT)
    }

    /// The last eight bytes of a `T` that is here. A `T` is smaller than a page: it is all there if
    /// its first and its last bytes are.
    fn end<T>(self) -> Self {
        const { assert!(size_of::<T>() >= PROBE && size_of::<T>() < 4096) }
        Self(self.0.wrapping_add(size_of::<T>() - PROBE))
    }

    pub(crate) fn read<T: Plain>(self) -> Result<T> {
        if !self.can_be_read() || !self.end::<T>().can_be_read() {
            return Err(Errno::FAULT);
        }
        // SAFETY: The kernel could read it just now. Any bytes are a valid `T`, and it need not be
        // aligned.
        Ok(unsafe { ptr::read_unaligned(self.0 as *const T) })
    }

    pub(crate) fn write<T: Plain>(self, value: T) -> Result<()> {
        if !self.can_be_written() || !self.end::<T>().can_be_written() {
            return Err(Errno::FAULT);
        }
        // SAFETY: The kernel could write it just now, and it is what our caller's caller gave for
        // the answer. It need not be aligned.
        unsafe { ptr::write_unaligned(self.0 as *mut T, value) };
        Ok(())
    }
}

extern "C" {
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

fn environment_value(name: &CStr) -> *const c_char {
    // SAFETY: libc looks through the environment. That is safe in a constructor; another thread that
    // changes the environment at the same moment is wrong about it anyhow.
    unsafe { secure_getenv(name.as_ptr()) }
}

/// The value of an environment variable, if it is one byte, in a program that runs with no more rights
/// than whoever set it.
pub(crate) fn environment(name: &CStr) -> Option<u8> {
    let value = environment_value(name);
    if value.is_null() {
        return None;
    }
    // SAFETY: It ends with a NUL, and stays as it is while nobody changes the environment.
    match unsafe { CStr::from_ptr(value) }.to_bytes() {
        [byte] => Some(*byte),
        _ => Some(0),
    }
}

/// Changes a variable's value of one byte where the kernel has put it: a shell, or whoever else copies the
/// environment, finds it changed. A value that the program has set stays.
pub(crate) fn change_environment(name: &CStr, byte: u8) {
    let value = environment_value(name).cast_mut();
    // SAFETY: libc reads what the kernel has passed to the program.
    let (begin, end) = unsafe {
        (
            libc::getauxval(libc::AT_RANDOM) as usize,
            libc::getauxval(libc::AT_EXECFN) as usize,
        )
    };
    if environment(name).is_some_and(|old| old != 0)
        && (value as usize) > begin
        && (value as usize) < end
    {
        // SAFETY: It is between those two, on the first thread's stack, where the kernel puts the
        // arguments and the environment; it has a byte besides its NUL.
        unsafe { AtomicU8::from_ptr(value.cast()).store(byte, Ordering::Relaxed) };
    }
}

/// The function of a name in the libraries that come after this one.
pub(crate) struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Looks it up, which no signal handler may do: libc takes a lock.
    pub(crate) fn look_up(&self) {
        // SAFETY: The name ends with a NUL.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(address, Ordering::Release);
    }

    /// Its address, or null while it has not been looked up, or where there is none.
    pub(crate) fn address(&self) -> *mut c_void {
        self.address.load(Ordering::Acquire)
    }
}

/// `openat`, by the kernel itself.
///
/// # Safety
///
/// `path` is what a program gave to a function of libc's that opens files.
pub(crate) unsafe fn openat(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: u32,
) -> Result<c_int> {
    // SAFETY: The kernel checks the pointer.
    let fd = unsafe {
        syscall(
            Sysno::openat,
            [
                directory as usize,
                path as usize,
                flags as usize,
                mode as usize,
            ],
        )
    }?;
    Ok(fd as c_int)
}

#[cfg(not(test))]
pub(crate) fn abort() -> ! {
    // SAFETY: It takes nothing, and does not come back.
    unsafe { libc::abort() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that is there, and the end of it behind which nothing is.
    fn page(protection: c_int) -> usize {
        // SAFETY: Memory of its own, in an address space that has room; the second page goes again.
        unsafe {
            let at = libc::mmap(
                ptr::null_mut(),
                8192,
                protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::munmap(at.byte_add(4096), 4096), 0);
            at as usize
        }
    }

    #[test]
    fn memory_that_is_not_there_is_efault() {
        type Value = rust_shm_abi::Get;
        let value = Value {
            key: 1,
            flags: 2,
            size: 3,
        };
        let at = page(libc::PROT_READ | libc::PROT_WRITE);
        let fits = at + 4096 - size_of::<Value>();
        assert_eq!(UserMemory(fits).write(value), Ok(()));
        assert_eq!(UserMemory(fits).read(), Ok(value));
        for bad in [
            0,
            1,
            fits + 1,
            fits + 8,
            at + 4096,
            at - 1 + 4096,
            usize::MAX,
            usize::MAX - 12,
        ] {
            assert_eq!(UserMemory(bad).write(value), Err(Errno::FAULT), "{bad:#x}");
            assert_eq!(
                UserMemory(bad).read::<Value>(),
                Err(Errno::FAULT),
                "{bad:#x}"
            );
        }
        let read_only = page(libc::PROT_READ);
        assert_eq!(UserMemory(read_only).write(value), Err(Errno::FAULT));
        assert_eq!(UserMemory(read_only).read(), Ok(Value::default()));
        let nothing = page(libc::PROT_NONE);
        assert_eq!(UserMemory(nothing).write(value), Err(Errno::FAULT));
        assert_eq!(UserMemory(nothing).read::<Value>(), Err(Errno::FAULT));
    }

    #[test]
    fn errno_is_left_alone() {
        Errno(1234).set();
        assert_eq!(open(c"/there/is/no/such/file", 0), Err(Errno(libc::ENOENT)));
        assert_eq!(Errno::get(), Errno(1234));
    }

    #[test]
    fn a_file_with_a_text() {
        use std::io::Read;
        use std::os::fd::FromRawFd;
        let fd = file_with(c"text", b"4096\n", true).unwrap();
        assert_eq!(character_device(fd), None);
        // SAFETY: It has just been made, and nobody else knows it.
        let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "4096\n");
    }
}
