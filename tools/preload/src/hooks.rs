// SPDX-License-Identifier: MIT OR Apache-2.0

//! C functions that the library to preload has besides, for programs that are not made for it: those that open
//! files, so that `ipcs` and others find the device's table, and `chroot`. Each goes on to the next library's.

#![allow(unsafe_code)]

use crate::export::answer;
use crate::sys::{self, Errno, Next, Result};
use crate::{calls, device, files};
use core::ffi::{c_char, c_int, c_void, CStr};
use core::mem::transmute;
use core::ptr;

/// `open` of libc.
type Open = unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
/// `openat` of libc.
type OpenAt = unsafe extern "C" fn(c_int, *const c_char, c_int, ...) -> c_int;
/// `__open_2` of libc: `open` without a mode, in a program that is compiled with `_FORTIFY_SOURCE`.
type Open2 = unsafe extern "C" fn(*const c_char, c_int) -> c_int;
/// `__openat_2` of libc, likewise.
type OpenAt2 = unsafe extern "C" fn(c_int, *const c_char, c_int) -> c_int;
/// `fopen` of libc.
type Fopen = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut libc::FILE;

/// A descriptor that libc has returned, or `errno`.
fn from_libc(fd: c_int) -> Result<c_int> {
    if fd < 0 {
        Err(Errno::get())
    } else {
        Ok(fd)
    }
}

fn answer_open(result: Result<c_int>) -> c_int {
    answer(result.map(|fd| fd as usize))
}

/// The path that the kernel has found something by, or nothing. Of any other it is not known whether
/// it can be read: that may be the error.
fn path_of<'a>(path: *const c_char, kernels: &Result<c_int>) -> Option<&'a CStr> {
    match kernels {
        // SAFETY: The kernel has just read it, to its NUL. It stays for as long as the function that
        // it was given to runs, as the program calls it with it.
        Ok(_) | Err(Errno(libc::ENOENT)) => Some(unsafe { CStr::from_ptr(path) }),
        Err(_) => None,
    }
}

/// The functions that open a file: each is passed on to the next library's of the same name.
///
/// In C, `open` and `openat` take their mode as a variable argument. Here it is a usual one: on x86,
/// as on other machines where both are passed in the same places (and Apple's are the exception), that
/// makes no difference to the caller. A caller that gives none leaves what is in that place, a register
/// or the word above the others on the stack, which is always there: it is passed on unseen, and
/// without O_CREAT or O_TMPFILE nobody looks at it.
///
/// Before the constructor here, the next function is not known, and a signal handler may not look it
/// up: then it is the kernel itself that opens the file.
macro_rules! opening {
    ($($name:ident($($argument:ident: $argument_type:ty),*): $type:ty, $next:ident,
        $path:ident, $flags:ident, by the kernel: $directory:expr, $kernels_flags:expr, $mode:expr;)*) => {
        $(
            static $next: Next = Next::new(
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!(),
                },
            );

            #[no_mangle]
            extern "C" fn $name($($argument: $argument_type),*) -> c_int {
                let next = $next.address();
                let kernels = if next.is_null() {
                    // SAFETY: The path is what the program gave.
                    unsafe { sys::openat($directory, $path, $kernels_flags, $mode) }
                } else {
                    // SAFETY: libc's function of this name has this type; and any library that is
                    // put before libc, as this one is, must have it too.
                    let next = unsafe { transmute::<*mut c_void, $type>(next) };
                    // SAFETY: The arguments are what the program gave.
                    from_libc(unsafe { next($($argument),*) })
                };
                answer_open(match path_of($path, &kernels) {
                    Some(path) => files::opened(path, $flags, kernels),
                    None => kernels,
                })
            }
        )*

        fn look_up_openers() {
            $($next.look_up();)*
        }
    };
}

opening! {
    open(path: *const c_char, flags: c_int, mode: u32): Open, OPEN,
        path, flags, by the kernel: libc::AT_FDCWD, flags, mode;
    open64(path: *const c_char, flags: c_int, mode: u32): Open, OPEN64,
        path, flags, by the kernel: libc::AT_FDCWD, flags | libc::O_LARGEFILE, mode;
    openat(directory: c_int, path: *const c_char, flags: c_int, mode: u32): OpenAt, OPENAT,
        path, flags, by the kernel: directory, flags, mode;
    openat64(directory: c_int, path: *const c_char, flags: c_int, mode: u32): OpenAt, OPENAT64,
        path, flags, by the kernel: directory, flags | libc::O_LARGEFILE, mode;
    __open_2(path: *const c_char, flags: c_int): Open2, OPEN_2,
        path, flags, by the kernel: libc::AT_FDCWD, flags, 0;
    __open64_2(path: *const c_char, flags: c_int): Open2, OPEN64_2,
        path, flags, by the kernel: libc::AT_FDCWD, flags | libc::O_LARGEFILE, 0;
    __openat_2(directory: c_int, path: *const c_char, flags: c_int): OpenAt2, OPENAT_2,
        path, flags, by the kernel: directory, flags, 0;
    __openat64_2(directory: c_int, path: *const c_char, flags: c_int): OpenAt2, OPENAT64_2,
        path, flags, by the kernel: directory, flags | libc::O_LARGEFILE, 0;
}

/// `fopen` may not be called by a signal handler, so it may look the next one up.
fn fopen_by(next: &Next, path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    if next.address().is_null() {
        next.look_up();
    }
    let address = next.address();
    if address.is_null() {
        Errno::NOSYS.set();
        return ptr::null_mut();
    }
    // SAFETY: As for the functions above.
    let next = unsafe { transmute::<*mut c_void, Fopen>(address) };
    // SAFETY: The arguments are what the program gave.
    let kernels = unsafe { next(path, mode) };
    let result = if kernels.is_null() {
        from_libc(-1)
    } else {
        Ok(0)
    };
    let Some(path) = path_of(path, &result) else {
        return kernels;
    };
    // SAFETY: libc has just read it.
    let Some(flags) = files::flags_of_mode(unsafe { CStr::from_ptr(mode) }) else {
        return kernels;
    };
    let close = || {
        if !kernels.is_null() {
            // SAFETY: It was opened just now, and nobody else has it.
            unsafe { libc::fclose(kernels) };
        }
    };
    let Some(instead) = files::instead(path, flags, kernels.is_null(), close) else {
        return kernels;
    };
    match instead {
        Ok(fd) => {
            // SAFETY: The descriptor has just been opened, and the mode is the program's.
            let file = unsafe { libc::fdopen(fd, mode) };
            if file.is_null() {
                let error = Errno::get();
                sys::close(fd);
                error.set();
            }
            file
        }
        Err(error) => {
            error.set();
            ptr::null_mut()
        }
    }
}

static FOPEN: Next = Next::new(c"fopen");
static FOPEN64: Next = Next::new(c"fopen64");

#[no_mangle]
extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    fopen_by(&FOPEN, path, mode)
}

#[no_mangle]
extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut libc::FILE {
    fopen_by(&FOPEN64, path, mode)
}

/// `chroot` of libc.
type Chroot = unsafe extern "C" fn(*const c_char) -> c_int;
static CHROOT: Next = Next::new(c"chroot");

/// Opens the device before it, as there may be no way to it from there.
#[no_mangle]
extern "C" fn chroot(path: *const c_char) -> c_int {
    if calls::are_builtin() == Ok(false) {
        let _ = device::descriptor();
    }
    if CHROOT.address().is_null() {
        CHROOT.look_up();
    }
    let next = CHROOT.address();
    if next.is_null() {
        return answer(Err(Errno::NOSYS));
    }
    // SAFETY: As for the functions above.
    let next = unsafe { transmute::<*mut c_void, Chroot>(next) };
    // SAFETY: The argument is what the program gave.
    unsafe { next(path) }
}

/// Looks all of them up, when the library is loaded.
pub(crate) fn look_up() {
    look_up_openers();
    for next in [&FOPEN, &FOPEN64, &CHROOT] {
        next.look_up();
    }
}
