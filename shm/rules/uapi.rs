// SPDX-License-Identifier: GPL-2.0

//! The ioctl numbers and structures of `include/uapi/rust_shm.h`, which documents them.
//!
//! `shm/sys/header.rs` checks numbers, sizes and offsets against the header at build time.

use kernel::{
    ioctl::{
        _IOR,
        _IOW,
        _IOWR, //
    },
    prelude::*, //
};

/// The type byte of the ioctl numbers.
pub(crate) const TYPE: u32 = 0xd5;

/// The revision of the header.
pub(crate) const ABI_VERSION: u32 = 3;

/// Returns the revision.
pub(crate) const IOC_VERSION: u32 = _IOR::<Version>(TYPE, 0);
/// As `shmget(2)`.
pub(crate) const IOC_GET: u32 = _IOW::<Get>(TYPE, 1);
/// As `shmat(2)`.
pub(crate) const IOC_ATTACH: u32 = _IOWR::<Attach>(TYPE, 2);
/// As `shmdt(2)`.
pub(crate) const IOC_DETACH: u32 = _IOW::<Detach>(TYPE, 3);
/// As `shmctl(2)`.
pub(crate) const IOC_CTL: u32 = _IOW::<Ctl>(TYPE, 4);

/// Flag of [`Get`].
pub(crate) const IPC_CREAT: u32 = 0o1000;
/// Flag of [`Get`].
pub(crate) const IPC_EXCL: u32 = 0o2000;

/// Flag of [`Get`].
pub(crate) const SHM_HUGETLB: u32 = 0o4000;
/// Flag of [`Get`].
pub(crate) const SHM_NORESERVE: u32 = 0o10000;
/// Shift of the binary logarithm of the huge page size in the flags of [`Get`].
pub(crate) const SHM_HUGE_SHIFT: u32 = 26;
/// Mask of that logarithm.
pub(crate) const SHM_HUGE_MASK: u32 = 0x3f;

/// Flag of [`Attach`].
pub(crate) const SHM_RDONLY: u32 = 0o10000;
/// Flag of [`Attach`].
pub(crate) const SHM_RND: u32 = 0o20000;
/// Flag of [`Attach`].
pub(crate) const SHM_REMAP: u32 = 0o40000;
/// Flag of [`Attach`].
pub(crate) const SHM_EXEC: u32 = 0o100000;

/// Command of [`Ctl`].
pub(crate) const IPC_RMID: u32 = 0;
/// Command of [`Ctl`].
pub(crate) const IPC_SET: u32 = 1;
/// Command of [`Ctl`].
pub(crate) const IPC_STAT: u32 = 2;
/// Command of [`Ctl`].
pub(crate) const IPC_INFO: u32 = 3;
/// Command of [`Ctl`].
pub(crate) const SHM_LOCK: u32 = 11;
/// Command of [`Ctl`].
pub(crate) const SHM_UNLOCK: u32 = 12;
/// Command of [`Ctl`].
pub(crate) const SHM_STAT: u32 = 13;
/// Command of [`Ctl`].
pub(crate) const SHM_INFO: u32 = 14;
/// Command of [`Ctl`].
pub(crate) const SHM_STAT_ANY: u32 = 15;

/// Bit of [`Ctl::flags`].
pub(crate) const CTL_HUGE: u32 = 1;

/// Bit of [`Stat::mode`].
pub(crate) const SHM_DEST: u32 = 0o1000;
/// Bit of [`Stat::mode`].
pub(crate) const SHM_LOCKED: u32 = 0o2000;

/// Calls the macro `$then` with all structures.
macro_rules! structures {
    ($then:ident) => {
        $then! {
            /// `struct rust_shm_version`
            Version = rust_shm_version {
                abi: u32,
                reserved: u32,
                features: u64,
            }
            /// `struct rust_shm_get`
            Get = rust_shm_get {
                key: i32,
                flags: u32,
                size: u64,
            }
            /// `struct rust_shm_attach`
            Attach = rust_shm_attach {
                id: i32,
                flags: u32,
                addr: u64,
                length: u64,
            }
            /// `struct rust_shm_detach`
            Detach = rust_shm_detach {
                addr: u64,
                flags: u32,
                reserved: u32,
            }
            /// `struct rust_shm_ctl`
            Ctl = rust_shm_ctl {
                id: i32,
                cmd: u32,
                arg: u64,
                arg_size: u32,
                flags: u32,
            }
            /// `struct rust_shm_stat`
            Stat = rust_shm_stat {
                key: i32,
                uid: u32,
                gid: u32,
                cuid: u32,
                cgid: u32,
                mode: u32,
                cpid: i32,
                lpid: i32,
                segsz: u64,
                nattch: u64,
                atime: i64,
                dtime: i64,
                ctime: i64,
                rss: u64,
                huge: u64,
                seq: u32,
                reserved: u32,
                swap: u64,
            }
            /// `struct rust_shm_limits`
            Limits = rust_shm_limits {
                shmmax: u64,
                shmmin: u64,
                shmmni: u64,
                shmseg: u64,
                shmall: u64,
            }
            /// `struct rust_shm_usage`
            Usage = rust_shm_usage {
                used_ids: u32,
                reserved: u32,
                shm_tot: u64,
                shm_rss: u64,
                shm_swp: u64,
                swap_attempts: u64,
                swap_successes: u64,
            }
        }
    };
}
pub(crate) use structures;

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident = $c_name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Default, FromBytes, IntoBytes, zerocopy_derive::Immutable)]
            pub(crate) struct $name {
                $(#[allow(missing_docs)] pub(crate) $field: $type,)*
            }
        )*
    };
}
structures!(define);
