// SPDX-License-Identifier: MIT OR Apache-2.0

//! System V shared memory of the `rust_shm` module, for safe Rust.
//!
//! The module's device `/dev/rust_shm` has an ioctl for each of `shmget`, `shmat`, `shmdt` and
//! `shmctl`. Here they are types:
//!
//! - [`Device`]: the open device. Makes and finds segments, lists them, tells limits.
//! - [`Segment`]: a segment by its id. Attach, ask about, change, lock, remove it.
//! - [`Attachment`]: a segment in this process's memory, detached when dropped. Dereferences to
//!   [`Memory`], which reads and writes it.
//! - [`Descriptor`]: a segment as a descriptor, for processes that do not share the IPC namespace.
//! - [`Shared`](trait@Shared): structures of atomics that live in the segment; [`Memory::view`] refers to one.
//! - [`sync`]: a mutex and other locks that live in the segment, and survive the death of who has
//!   them.
//! - [`ring`]: hands values from process to process.
//!
//! ```no_run
//! use rshm::{Device, Key};
//!
//! # fn main() -> rshm::Result<()> {
//! let device = Device::open()?;
//! let segment = device.segment(1 << 20).key(Key::new(0x5275)).mode(0o600).create()?;
//! let memory = segment.attach()?;
//! memory.write_at(0, 42_u64)?;
//! assert_eq!(memory.read_at::<u64>(0)?, 42);
//! segment.remove()?; // it goes when `memory` is dropped
//! # Ok(())
//! # }
//! ```
//!
//! # Why there is no `&[T]`
//!
//! Other processes write to the memory whenever they like. A Rust reference says that nobody
//! does: a `&[u8]` whose bytes change under it is undefined behaviour, even if each byte is a
//! valid `u8` all the time, for the compiler may read it twice and rely on getting the same. So
//! [`Memory`] hands out what stays true:
//!
//! - Copies: [`read_at`](Memory::read_at), [`write_at`](Memory::write_at) and their like. A copy
//!   is made by instructions that the compiler does not look into, and is then ours. While
//!   others write, its bytes may be of different moments. A value of 1, 2, 4 or 8 bytes that is
//!   aligned is copied in one piece.
//! - Atomics: [`atomics`](Memory::atomics) gives `&[AtomicU32]` and its like, which are made for
//!   being changed by others. Each place has one width: what was given as `AtomicU16` is refused as
//!   `AtomicU8` or `AtomicU64` as long as the mapping lives, for Rust leaves it undefined what such
//!   do to each other at the same time. This is by mapping. Other processes, and other attaches of
//!   the segment in this one, have the bytes at other addresses, which Rust's rules take for other
//!   memory: they should use the same widths, but nobody checks that.
//! - [`as_slice`](Memory::as_slice) and [`as_mut_slice`](Memory::as_mut_slice), which are
//!   `unsafe`: the caller promises that nobody writes meanwhile.
//!
//! Types are restricted to such as have no invalid values and no padding ([`bytemuck`]'s
//! [`AnyBitPattern`](bytemuck::AnyBitPattern) and [`NoUninit`](bytemuck::NoUninit)), since what
//! another process has written may be anything. Do not put pointers there: each process has the
//! memory at another address.
//!
//! The memory may run out: a touch of a page for which there is none is the signal `SIGBUS`, as
//! with any shared memory. [`Memory::populate`] brings the pages in beforehand, and returns an
//! error instead.
//!
//! # Without the device
//!
//! [`Anonymous`] is memory of the same kind that no device is needed for: for tests.
//!
//! ```
//! use rshm::Anonymous;
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! # fn main() -> rshm::Result<()> {
//! let memory = Anonymous::new(4096)?;
//! memory.write_slice_at(16, &[1_u32, 2, 3])?;
//! let counters = memory.atomics::<AtomicU32>(16, 3)?;
//! counters[2].fetch_add(1, Ordering::Relaxed);
//! assert_eq!(memory.read_vec_at::<u32>(16, 3)?, [1, 2, 4]);
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]
#![warn(missing_docs)]
#![warn(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use
)]

// Its program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// What derive(Shared) writes names the crate.
extern crate self as rshm;

mod descriptor;
mod device;
mod error;
mod key;
pub mod ring;
mod segment;
pub mod sync;
// All that is unsafe.
#[allow(unsafe_code)]
mod sys;
mod widths;

pub use descriptor::{Descriptor, Mapping, State};
pub use device::{Abilities, Builder, Device, Limits, Usage};
pub use error::{Call, Error, Result, Target};
pub use key::{Key, ParseKeyError};
pub use rshm_derive::Shared;
pub use rust_shm_abi as abi;
pub use segment::{Attachment, Info, Ownership, Segment};
pub use sys::{
    memory::{Access, Anonymous, Atomic, Memory, ReadOnly, ReadWrite},
    policy::Policy,
    shared::Shared,
};
