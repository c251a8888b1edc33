// SPDX-License-Identifier: MIT OR Apache-2.0

//! `librust_shm_preload.so`: libc's `shmget`, `shmat`, `shmdt` and `shmctl` over the ioctls of
//! `/dev/rust_shm`, put before libc by `LD_PRELOAD`; and `librust_shm.so` (`tools/link`), to be linked
//! (`-lrust_shm`): the four functions alone, without the feature `hooks`.
//!
//! | file | what |
//! |---|---|
//! | `export.rs` | the four C functions |
//! | `calls.rs` | what they do |
//! | `hooks.rs` | what the library to preload takes over besides: `open` and its kin, `chroot` |
//! | `files.rs` | `/proc/sysvipc/shm` and the limits in `/proc/sys/kernel`, for who opens them |
//! | `device.rs` | the descriptor of the device |
//! | `layout.rs` | libc's structures, 64-bit and 32-bit, and what they are in the module's |
//! | `sys.rs` | system calls, `errno`, memory that may not be there |
//!
//! A program's signal handler may call any of the four at any moment, in any thread, in the child
//! of a `vfork`, before `main` and before this library's constructor. So nothing here allocates,
//! takes a lock, or has a state that is ever half-way: what is remembered is in a few atomics, each
//! of which is right whatever the others are. It takes no `std`, which also keeps it to a few pages,
//! and lets it be built where Debian has no `std`, for i386.
//!
//! A thread that is cancelled in libc's `open` unwinds its stack through the function here that has
//! called it: there are tables for that (`.cargo/config.toml`), and those functions have nothing to
//! drop.
//!
//! `unsafe` is in `sys.rs`, `export.rs` and `hooks.rs`, and in `layout.rs` to say that structures have no padding.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]
// In the test program there are no C functions: it would open its own files by them.
#![cfg_attr(any(test, not(feature = "hooks")), allow(dead_code))]

mod calls;
mod device;
#[cfg(not(test))]
mod export;
mod files;
#[cfg(all(feature = "hooks", not(test)))]
mod hooks;
mod layout;
mod sys;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::abort()
}
