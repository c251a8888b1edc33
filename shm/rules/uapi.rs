// SPDX-License-Identifier: GPL-2.0

//! The ioctl numbers and structures of `include/uapi/rust_shm.h`, which documents them.
//!
//! `shm/sys/header.rs` checks numbers, sizes and offsets against the header at build time.

use crate::shm::sys::compat::plain;
use kernel::ioctl::{
    _IO,
    _IOR,
    _IOW,
    _IOWR, //
};

/// Calls the macro `$then` with all numbers: name, value, name in the header.
macro_rules! numbers {
    ($then:ident) => {
        $then! {
            TYPE = 0xd5, RUST_SHM_IOC_TYPE;
            ABI_VERSION = 4, RUST_SHM_ABI_VERSION;
            IOC_VERSION = _IOR::<Version>(TYPE, 0), RUST_SHM_HEADER_IOC_VERSION;
            IOC_GET = _IOW::<Get>(TYPE, 1), RUST_SHM_HEADER_IOC_GET;
            IOC_ATTACH = _IOWR::<Attach>(TYPE, 2), RUST_SHM_HEADER_IOC_ATTACH;
            IOC_DETACH = _IOW::<Detach>(TYPE, 3), RUST_SHM_HEADER_IOC_DETACH;
            IOC_CTL = _IOW::<Ctl>(TYPE, 4), RUST_SHM_HEADER_IOC_CTL;
            IOC_SERVE = _IOW::<Serve>(TYPE, 5), RUST_SHM_HEADER_IOC_SERVE;
            IOC_FD = _IOW::<Fd>(TYPE, 6), RUST_SHM_HEADER_IOC_FD;
            IOC_RESTORE = _IOW::<Restore>(TYPE, 7), RUST_SHM_HEADER_IOC_RESTORE;
            // Flags of `Get`.
            IPC_CREAT = 0o1000, RUST_SHM_IPC_CREAT;
            IPC_EXCL = 0o2000, RUST_SHM_IPC_EXCL;
            SHM_HUGETLB = 0o4000, RUST_SHM_HUGETLB;
            SHM_NORESERVE = 0o10000, RUST_SHM_NORESERVE;
            // The binary logarithm of the huge page size in the flags of `Get`.
            SHM_HUGE_SHIFT = 26, RUST_SHM_HUGE_SHIFT;
            SHM_HUGE_MASK = 0x3f, RUST_SHM_HUGE_MASK;
            // Flags of `Attach`.
            SHM_RDONLY = 0o10000, RUST_SHM_RDONLY;
            SHM_RND = 0o20000, RUST_SHM_RND;
            SHM_REMAP = 0o40000, RUST_SHM_REMAP;
            SHM_EXEC = 0o100000, RUST_SHM_EXEC;
            // Commands of `Ctl`.
            IPC_RMID = 0, RUST_SHM_IPC_RMID;
            IPC_SET = 1, RUST_SHM_IPC_SET;
            IPC_STAT = 2, RUST_SHM_IPC_STAT;
            IPC_INFO = 3, RUST_SHM_IPC_INFO;
            SHM_LOCK = 11, RUST_SHM_LOCK;
            SHM_UNLOCK = 12, RUST_SHM_UNLOCK;
            SHM_STAT = 13, RUST_SHM_STAT;
            SHM_INFO = 14, RUST_SHM_INFO;
            SHM_STAT_ANY = 15, RUST_SHM_STAT_ANY;
            // Bit of `Ctl::flags`.
            CTL_HUGE = 1, RUST_SHM_CTL_HUGE;
            // Flags of `Restore`.
            RESTORE_OPEN = 1, RUST_SHM_RESTORE_OPEN;
            RESTORE_CLOSE = 2, RUST_SHM_RESTORE_CLOSE;
            // Bits of `Stat::mode`.
            SHM_DEST = 0o1000, RUST_SHM_MODE_DEST;
            SHM_LOCKED = 0o2000, RUST_SHM_MODE_LOCKED;
            // Bits of `Version::features`; all fit here.
            FEATURE_SERVE = 1, RUST_SHM_FEATURE_SERVE;
            FEATURE_FD = 2, RUST_SHM_FEATURE_FD;
            FEATURE_RESTORE = 4, RUST_SHM_FEATURE_RESTORE;
            // Flags of `Fd`.
            FD_RDWR = 2, RUST_SHM_FD_RDWR;
            FD_CLOEXEC = 0o2000000, RUST_SHM_FD_CLOEXEC;
            // What a descriptor takes.
            FD_ADD_SEALS = _IO(TYPE, 0x20), RUST_SHM_HEADER_FD_ADD_SEALS;
            FD_GET_SEALS = _IO(TYPE, 0x21), RUST_SHM_HEADER_FD_GET_SEALS;
            FD_MAGIC = 0x72735f66, RUST_SHM_FD_MAGIC;
            // Seals, as of memfd_create(2).
            SEAL_SEAL = 0x1, F_SEAL_SEAL;
            SEAL_SHRINK = 0x2, F_SEAL_SHRINK;
            SEAL_GROW = 0x4, F_SEAL_GROW;
            SEAL_WRITE = 0x8, F_SEAL_WRITE;
            SEAL_FUTURE_WRITE = 0x10, F_SEAL_FUTURE_WRITE;
            SEAL_EXEC = 0x20, F_SEAL_EXEC;
            // Values of `Serve::op`.
            SERVE_ASK = 0, RUST_SHM_SERVE_ASK;
            SERVE_ON = 1, RUST_SHM_SERVE_ON;
            SERVE_OFF = 2, RUST_SHM_SERVE_OFF;
        }
    };
}
pub(crate) use numbers;

/// Calls the macro `$then` with all structures.
macro_rules! structures {
    ($then:ident) => {
        $then! {
            Version = rust_shm_version {
                abi: u32,
                reserved: u32,
                features: u64,
            }
            Get = rust_shm_get {
                key: i32,
                flags: u32,
                size: u64,
            }
            Attach = rust_shm_attach {
                id: i32,
                flags: u32,
                addr: u64,
                length: u64,
            }
            Detach = rust_shm_detach {
                addr: u64,
                flags: u32,
                reserved: u32,
            }
            Ctl = rust_shm_ctl {
                id: i32,
                cmd: u32,
                arg: u64,
                arg_size: u32,
                flags: u32,
            }
            Fd = rust_shm_fd {
                id: i32,
                flags: u32,
            }
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
                flags: u32,
                reserved2: u32,
            }
            Limits = rust_shm_limits {
                shmmax: u64,
                shmmin: u64,
                shmmni: u64,
                shmseg: u64,
                shmall: u64,
            }
            Usage = rust_shm_usage {
                used_ids: u32,
                reserved: u32,
                shm_tot: u64,
                shm_rss: u64,
                shm_swp: u64,
                swap_attempts: u64,
                swap_successes: u64,
            }
            Restore = rust_shm_restore {
                id: i32,
                key: i32,
                size: u64,
                flags: u32,
                mode: u32,
                uid: u32,
                gid: u32,
                cuid: u32,
                cgid: u32,
                cpid: i32,
                lpid: i32,
                atime: i64,
                dtime: i64,
                ctime: i64,
            }
            Serve = rust_shm_serve {
                op: u32,
                flags: u32,
            }
        }
    };
}
pub(crate) use structures;

macro_rules! define {
    ($($name:ident = $c_name:ident { $($field:ident: $type:ty,)* })*) => {
        $(plain! {
            #[doc = stringify!($c_name)]
            #[repr(C)]
            #[derive(Default)]
            pub(crate) struct $name {
                $(#[allow(missing_docs)] pub(crate) $field: $type,)*
            }
        })*
    };
    ($($name:ident = $value:expr, $c_name:ident;)*) => {
        $(
            #[doc = stringify!($c_name)]
            pub(crate) const $name: u32 = $value;
        )*
    };
}
numbers!(define);
structures!(define);
