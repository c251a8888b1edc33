// SPDX-License-Identifier: GPL-2.0

//! Where things are in the address space of each process that takes part. The two worlds have the same.

/// A page, in bytes: that of the kernel that this is built for.
pub const PAGE: u64 = if option_env!("RUST_SHM_16K_PAGES").is_some() {
    16384
} else {
    4096
};
/// A huge page, in bytes: a page of page table entries.
pub const HUGE: u64 = PAGE / 8 * PAGE;

/// Three pages: one to write to, one to read only, and one where nothing is mapped.
pub const BUFFER: u64 = 0x0f00_0000_0000;
pub const BUFFER_READ_ONLY: u64 = BUFFER + PAGE;
pub const BUFFER_NONE: u64 = BUFFER + 2 * PAGE;

/// From here on is nothing but what the calls map. Slots of 8 MiB.
pub const ARENA: u64 = 0x1000_0000_0000;
pub const ARENA_SLOT: u64 = 8 << 20;

/// Where a program's own addresses end.
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
