// SPDX-License-Identifier: MIT OR Apache-2.0

//! `include/uapi/rust_shm.h` in Rust: the structures, flags and ioctl numbers of `/dev/rust_shm`.
//!
//! The header describes every field, its width and unit, and every error. The names here are its
//! names, without the prefix: [`Stat`] is `struct rust_shm_stat`, [`IOC_CTL`] is
//! `RUST_SHM_IOC_CTL`. Nothing here calls anything.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use core::mem::{offset_of, size_of};

/// Where the device is found, unless udev was told otherwise.
pub const DEVICE: &str = "/dev/rust_shm";
/// The revision of the header that this crate follows.
pub const ABI_VERSION: u32 = 4;

/// As a key: always make a new segment, which no key finds.
pub const IPC_PRIVATE: i32 = 0;

/// [`Get::flags`]: make the segment if no segment has the key.
pub const IPC_CREAT: u32 = 0o1000;
/// [`Get::flags`]: with [`IPC_CREAT`]: `EEXIST` if a segment has the key.
pub const IPC_EXCL: u32 = 0o2000;
/// [`Get::flags`]: of huge pages, all allocated by this call.
pub const HUGETLB: u32 = 0o4000;
/// [`Get::flags`]: commit memory at the touch, not at the call.
pub const NORESERVE: u32 = 0o10000;
/// [`Get::flags`], with [`HUGETLB`]: the logarithm of a huge page's size is this far to the left.
pub const HUGE_SHIFT: u32 = 26;
/// [`Get::flags`], with [`HUGETLB`]: the bits that it has, before they are shifted there.
pub const HUGE_MASK: u32 = 0x3f;
/// [`Get::flags`], with [`HUGETLB`]: huge pages of 2 MiB, the only size there is.
pub const HUGE_2MB: u32 = 21 << HUGE_SHIFT;

/// [`Attach::flags`]: attach for reading only.
pub const RDONLY: u32 = 0o10000;
/// [`Attach::flags`]: round the address down to a whole page.
pub const RND: u32 = 0o20000;
/// [`Attach::flags`]: replace what is mapped at the address.
pub const REMAP: u32 = 0o40000;
/// [`Attach::flags`]: map executable.
pub const EXEC: u32 = 0o100000;

/// [`Ctl::cmd`]: remove it when nobody is attached; its key is free at once.
pub const IPC_RMID: u32 = 0;
/// [`Ctl::cmd`]: set uid, gid and nine bits of mode from a [`Stat`].
pub const IPC_SET: u32 = 1;
/// [`Ctl::cmd`]: fill a [`Stat`].
pub const IPC_STAT: u32 = 2;
/// [`Ctl::cmd`]: fill a [`Limits`].
pub const IPC_INFO: u32 = 3;
/// [`Ctl::cmd`]: keep its pages in memory; counts as locked memory of the caller.
pub const LOCK: u32 = 11;
/// [`Ctl::cmd`]: let its pages be swapped out again.
pub const UNLOCK: u32 = 12;
/// [`Ctl::cmd`]: as [`IPC_STAT`], of the segment at an index.
pub const STAT: u32 = 13;
/// [`Ctl::cmd`]: fill a [`Usage`].
pub const INFO: u32 = 14;
/// [`Ctl::cmd`]: as [`STAT`], without the check for read permission.
pub const STAT_ANY: u32 = 15;

/// [`Ctl::flags`], with [`IPC_STAT`], [`STAT`] and [`STAT_ANY`]: fill [`Stat::huge`], which looks at
/// every folio in memory.
pub const CTL_HUGE: u32 = 1;

/// [`Restore::flags`]: make the segment, for its contents to be written.
pub const RESTORE_OPEN: u32 = 1;
/// [`Restore::flags`]: they are: set the rest.
pub const RESTORE_CLOSE: u32 = 2;

/// [`Stat::mode`]: removed; goes away with the last detach.
pub const MODE_DEST: u32 = 0o1000;
/// [`Stat::mode`]: locked in memory by [`LOCK`].
pub const MODE_LOCKED: u32 = 0o2000;

/// [`Version::features`]: [`IOC_SERVE`] works on this kernel.
pub const FEATURE_SERVE: u64 = 1;
/// [`Version::features`]: there is [`IOC_FD`].
pub const FEATURE_FD: u64 = 2;
/// [`Version::features`]: [`IOC_RESTORE`].
pub const FEATURE_RESTORE: u64 = 4;

/// [`Fd::flags`]: for reading and writing, not reading alone.
pub const FD_RDWR: u32 = 0x2;
/// [`Fd::flags`]: `execve(2)` closes it.
pub const FD_CLOEXEC: u32 = 0x80000;
/// What `fstatfs(2)` says that a descriptor of a segment is on.
pub const FD_MAGIC: u32 = 0x7273_5f66;

/// [`Serve::op`]: only tell whether it is on.
pub const SERVE_ASK: u32 = 0;
/// [`Serve::op`]: the system calls are the module's from now on.
pub const SERVE_ON: u32 = 1;
/// [`Serve::op`]: they are the kernel's again.
pub const SERVE_OFF: u32 = 2;

/// Writes the structures, and asserts that they have just the layout that the header asserts:
/// field after field without a hole.
macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident, $size:literal: { $($(#[$field_doc:meta])* $field:ident: $type:ty, $at:literal;)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(offset_of!($name, $field) == $at);)*
        };
    )*};
}

structures! {
    /// What [`IOC_VERSION`] answers.
    Version, 16: {
        /// The module's [`ABI_VERSION`].
        abi: u32, 0;
        /// Zero.
        reserved: u32, 4;
        /// A bit for each optional ability: [`FEATURE_SERVE`], [`FEATURE_FD`], [`FEATURE_RESTORE`].
        features: u64, 8;
    }
    /// Find or make a segment.
    Get, 16: {
        /// [`IPC_PRIVATE`], or the key that the segment is known by.
        key: i32, 0;
        /// Permission bits and flags.
        flags: u32, 4;
        /// In bytes.
        size: u64, 8;
    }
    /// Map a segment.
    Attach, 24: {
        /// The segment.
        id: i32, 0;
        /// Flags.
        flags: u32, 4;
        /// In: where to map, or 0. Out: where it was mapped.
        addr: u64, 8;
        /// Out: how much was mapped, in bytes.
        length: u64, 16;
    }
    /// Unmap an attached segment.
    Detach, 16: {
        /// The address that the attach gave.
        addr: u64, 0;
        /// Zero.
        flags: u32, 8;
        /// Zero.
        reserved: u32, 12;
    }
    /// Ask about, change or remove a segment.
    Ctl, 24: {
        /// The segment, or an index for [`STAT`] and [`STAT_ANY`].
        id: i32, 0;
        /// The command.
        cmd: u32, 4;
        /// A pointer to the command's structure.
        arg: u64, 8;
        /// The size of that structure, in bytes.
        arg_size: u32, 16;
        /// [`CTL_HUGE`], or zero.
        flags: u32, 20;
    }
    /// Make a descriptor of a segment.
    Fd, 8: {
        /// The segment.
        id: i32, 0;
        /// [`FD_RDWR`], [`FD_CLOEXEC`].
        flags: u32, 4;
    }
    /// One segment, as `struct shmid64_ds`.
    Stat, 112: {
        /// The key, or 0 once removed.
        key: i32, 0;
        /// Owner's user id.
        uid: u32, 4;
        /// Owner's group id.
        gid: u32, 8;
        /// Creator's user id.
        cuid: u32, 12;
        /// Creator's group id.
        cgid: u32, 16;
        /// Nine permission bits, [`MODE_DEST`], [`MODE_LOCKED`].
        mode: u32, 20;
        /// The process that made the segment.
        cpid: i32, 24;
        /// The process that attached or detached last.
        lpid: i32, 28;
        /// Size in bytes as asked for.
        segsz: u64, 32;
        /// Number of attaches now.
        nattch: u64, 40;
        /// Last attach, in seconds since 1970, or 0.
        atime: i64, 48;
        /// Last detach, likewise.
        dtime: i64, 56;
        /// Creation or last change, likewise.
        ctime: i64, 64;
        /// Memory that holds the segment's pages now, in bytes.
        rss: u64, 72;
        /// With [`CTL_HUGE`], how much of `rss` is in folios of 2 MiB, in bytes; otherwise 0.
        huge: u64, 80;
        /// The sequence number in the id.
        seq: u32, 88;
        /// Zero.
        reserved: u32, 92;
        /// How much of the segment is swapped out, in bytes.
        swap: u64, 96;
        /// How it was made: [`HUGETLB`], [`NORESERVE`].
        flags: u32, 104;
        /// Zero.
        reserved2: u32, 108;
    }
    /// Limits of the caller's IPC namespace, as `struct shminfo64`.
    Limits, 40: {
        /// Largest segment, in bytes.
        shmmax: u64, 0;
        /// Smallest segment, in bytes: 1.
        shmmin: u64, 8;
        /// How many segments there may be.
        shmmni: u64, 16;
        /// As `shmmni`.
        shmseg: u64, 24;
        /// How much all segments may take, in pages.
        shmall: u64, 32;
    }
    /// What the caller's IPC namespace uses now, as `struct shm_info`.
    Usage, 48: {
        /// How many segments there are.
        used_ids: u32, 0;
        /// Zero.
        reserved: u32, 4;
        /// Size of all segments, in pages.
        shm_tot: u64, 8;
        /// How much of it is in memory, in pages.
        shm_rss: u64, 16;
        /// How much of it is swapped out, in pages.
        shm_swp: u64, 24;
        /// 0.
        swap_attempts: u64, 32;
        /// 0.
        swap_successes: u64, 40;
    }
    /// Make a segment as it was when it was saved.
    Restore, 72: {
        /// Its id, or -1 for the next free one.
        id: i32, 0;
        /// Its key, or [`IPC_PRIVATE`].
        key: i32, 4;
        /// In bytes.
        size: u64, 8;
        /// [`HUGETLB`], [`HUGE_2MB`], [`NORESERVE`], and [`RESTORE_OPEN`] or [`RESTORE_CLOSE`].
        flags: u32, 16;
        /// Nine permission bits, [`MODE_DEST`], [`MODE_LOCKED`].
        mode: u32, 20;
        /// Owner's user id.
        uid: u32, 24;
        /// Owner's group id.
        gid: u32, 28;
        /// Creator's user id.
        cuid: u32, 32;
        /// Creator's group id.
        cgid: u32, 36;
        /// The process that made it, or 0.
        cpid: i32, 40;
        /// The process that attached or detached last, or 0.
        lpid: i32, 44;
        /// Last attach, in seconds since 1970, or 0.
        atime: i64, 48;
        /// Last detach, likewise.
        dtime: i64, 56;
        /// Creation or last change, likewise.
        ctime: i64, 64;
    }
    /// The system calls themselves, in the caller's IPC namespace.
    Serve, 8: {
        /// What to do.
        op: u32, 0;
        /// Zero.
        flags: u32, 4;
    }
}

impl Version {
    /// Whether the module has all that this crate has numbers for: later revisions have what is in
    /// earlier ones.
    pub const fn speaks_ours(&self) -> bool {
        self.abi >= ABI_VERSION
    }
}

const READ: u32 = 2;
const WRITE: u32 = 1;

/// `_IOC()` of `<linux/ioctl.h>`, for x86 as for most others.
const fn ioc<T>(direction: u32, number: u32) -> u32 {
    (direction << 30) | ((size_of::<T>() as u32) << 16) | (0xd5 << 8) | number
}

/// Which revision of the header the module speaks: a [`Version`]. Returns 0.
pub const IOC_VERSION: u32 = ioc::<Version>(READ, 0);
/// See [`Get`]. Returns an id.
pub const IOC_GET: u32 = ioc::<Get>(WRITE, 1);
/// See [`Attach`]. Returns 0.
pub const IOC_ATTACH: u32 = ioc::<Attach>(READ | WRITE, 2);
/// See [`Detach`]. Returns 0.
pub const IOC_DETACH: u32 = ioc::<Detach>(WRITE, 3);
/// See [`Ctl`]. Returns what `shmctl(2)` returns.
pub const IOC_CTL: u32 = ioc::<Ctl>(WRITE, 4);
/// See [`Fd`]. Returns a descriptor.
pub const IOC_FD: u32 = ioc::<Fd>(WRITE, 6);

/// On a descriptor of a segment: adds the seals that the argument has (`F_SEAL_*`). Returns 0.
pub const FD_ADD_SEALS: u32 = ioc::<()>(0, 0x20);
/// On a descriptor of a segment: returns its seals.
pub const FD_GET_SEALS: u32 = ioc::<()>(0, 0x21);
/// See [`Restore`]. Returns an id.
pub const IOC_RESTORE: u32 = ioc::<Restore>(WRITE, 7);
/// See [`Serve`]. Returns 1 if it is on then, 0 if it is off.
pub const IOC_SERVE: u32 = ioc::<Serve>(WRITE, 5);
