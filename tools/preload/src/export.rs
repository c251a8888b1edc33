// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C functions, with libc's signatures: what is said of them is said by their manual pages; and
//! `rust_shm_fd`, which libc has not. These, and
//! in the library to preload those of `hooks.rs`, are the only names that are exported, without versions, so
//! that they stand for any that a program asks for.

#![allow(unsafe_code)]

use crate::calls;
use crate::sys::Result;
use core::ffi::{c_int, c_void};

/// -1, with `errno`, for an error.
pub(crate) fn answer(result: Result<usize>) -> c_int {
    match result {
        Ok(value) => value as c_int,
        Err(error) => {
            error.set();
            -1
        }
    }
}

#[no_mangle]
extern "C" fn shmget(key: c_int, size: usize, flags: c_int) -> c_int {
    answer(calls::get(key, size, flags))
}

#[no_mangle]
extern "C" fn shmat(id: c_int, address: *const c_void, flags: c_int) -> *mut c_void {
    match calls::attach(id, address as usize, flags) {
        Ok(address) => address as *mut c_void,
        Err(error) => {
            error.set();
            usize::MAX as *mut c_void
        }
    }
}

#[no_mangle]
extern "C" fn shmdt(address: *const c_void) -> c_int {
    answer(calls::detach(address as usize))
}

#[no_mangle]
extern "C" fn shmctl(id: c_int, command: c_int, to: *mut c_void) -> c_int {
    answer(calls::control(id, command, to as usize))
}

/// See `librust_shm.h`.
#[no_mangle]
extern "C" fn rust_shm_fd(id: c_int, flags: c_int) -> c_int {
    answer(calls::descriptor(id, flags))
}

/// What `shmctl` is in a 32-bit program that has 64-bit times: the same, see `layout.rs`.
#[cfg(target_pointer_width = "32")]
#[no_mangle]
extern "C" fn __shmctl64(id: c_int, command: c_int, to: *mut c_void) -> c_int {
    answer(calls::control(id, command, to as usize))
}

/// Runs when the library is loaded: before `main`, and before most other constructors.
extern "C" fn load() {
    #[cfg(feature = "hooks")]
    crate::hooks::look_up();
    calls::decide();
}

// SAFETY: libc calls each function in this section once, with arguments that this one does not take.
#[used]
#[link_section = ".init_array"]
static LOAD: extern "C" fn() = load;
