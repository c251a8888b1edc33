// SPDX-License-Identifier: GPL-2.0

//! The ioctl numbers and structures, byte for byte those of `include/uapi/rust_shm.h`.
//!
//! The header says what they mean. Sizes, offsets and numbers are checked against it when the
//! module is built: see the end.

use kernel::{
    ioctl::{
        _IOR,
        _IOW,
        _IOWR, //
    },
    prelude::*, //
};

/// The type byte of the ioctl numbers.
const TYPE: u32 = 0xd5;

/// The revision of the header.
pub(crate) const ABI_VERSION: u32 = 3;

/// Which revision this is.
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
/// Where in the flags of [`Get`] the logarithm of a size of huge pages is.
pub(crate) const SHM_HUGE_SHIFT: u32 = 26;
/// How large that may be.
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

macro_rules! uapi_structs {
    ($($(#[$doc:meta])* $name:ident = $c_name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Default, FromBytes, IntoBytes, zerocopy_derive::Immutable)]
            pub(crate) struct $name {
                $(#[allow(missing_docs)] pub(crate) $field: $type,)*
            }

            const _: () = {
                use crate::shm::sys::bindings::$c_name;
                use core::mem::{align_of, offset_of, size_of};
                assert!(size_of::<$name>() == size_of::<$c_name>());
                assert!(align_of::<$name>() == align_of::<$c_name>());
                $(assert!(offset_of!($name, $field) == offset_of!($c_name, $field));)*
            };
        )*
    };
}

uapi_structs! {
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

// The header's numbers, as the C compiler's front end has them.
const _: () = {
    use crate::shm::sys::bindings as c;
    assert!(TYPE == c::RUST_SHM_IOC_TYPE);
    assert!(ABI_VERSION == c::RUST_SHM_ABI_VERSION);
    assert!(IOC_VERSION == c::RUST_SHM_HEADER_IOC_VERSION);
    assert!(IOC_GET == c::RUST_SHM_HEADER_IOC_GET);
    assert!(IOC_ATTACH == c::RUST_SHM_HEADER_IOC_ATTACH);
    assert!(IOC_DETACH == c::RUST_SHM_HEADER_IOC_DETACH);
    assert!(IOC_CTL == c::RUST_SHM_HEADER_IOC_CTL);
    assert!(IPC_CREAT == c::RUST_SHM_IPC_CREAT);
    assert!(IPC_EXCL == c::RUST_SHM_IPC_EXCL);
    assert!(SHM_RDONLY == c::RUST_SHM_RDONLY);
    assert!(SHM_RND == c::RUST_SHM_RND);
    assert!(SHM_REMAP == c::RUST_SHM_REMAP);
    assert!(SHM_EXEC == c::RUST_SHM_EXEC);
    assert!(IPC_RMID == c::RUST_SHM_IPC_RMID);
    assert!(IPC_SET == c::RUST_SHM_IPC_SET);
    assert!(IPC_STAT == c::RUST_SHM_IPC_STAT);
    assert!(IPC_INFO == c::RUST_SHM_IPC_INFO);
    assert!(SHM_STAT == c::RUST_SHM_STAT);
    assert!(SHM_INFO == c::RUST_SHM_INFO);
    assert!(SHM_STAT_ANY == c::RUST_SHM_STAT_ANY);
    assert!(CTL_HUGE == c::RUST_SHM_CTL_HUGE);
    assert!(SHM_DEST == c::RUST_SHM_MODE_DEST);
    assert!(SHM_LOCKED == c::RUST_SHM_MODE_LOCKED);
    assert!(SHM_HUGETLB == c::RUST_SHM_HUGETLB);
    assert!(SHM_NORESERVE == c::RUST_SHM_NORESERVE);
    assert!(SHM_HUGE_SHIFT == c::RUST_SHM_HUGE_SHIFT);
    assert!(SHM_HUGE_MASK == c::RUST_SHM_HUGE_MASK);
    assert!(SHM_LOCK == c::RUST_SHM_LOCK);
    assert!(SHM_UNLOCK == c::RUST_SHM_UNLOCK);
};
