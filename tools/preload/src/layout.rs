// SPDX-License-Identifier: MIT OR Apache-2.0

//! libc's structures for `shmctl`, in 64-bit and in 32-bit programs, and how the module's become
//! them: as the kernel does it for its own (`ipc/shm.c`), for 32-bit programs by `compat_shmctl`.
//!
//! libc's are the kernel's: `struct shmid64_ds` and its kin. A 32-bit program may have times of 32
//! bits or of 64 (`_TIME_BITS`), and those are then two structures to libc. On a little-endian
//! machine they are one: the second half of a time is behind the first.

#![allow(unsafe_code)]

use crate::sys::Plain;
use rust_shm_abi::{Limits, Stat, Usage};

/// The names of the structures for programs of this library's own width.
#[cfg(target_pointer_width = "32")]
pub(crate) use narrow as native;
#[cfg(target_pointer_width = "64")]
pub(crate) use wide as native;

/// A time in a 32-bit program, which may see but the first half.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Halves {
    pub(crate) low: u32,
    pub(crate) high: u32,
}

impl From<i64> for Halves {
    fn from(seconds: i64) -> Self {
        // The kernel's `lower_32_bits()` and `upper_32_bits()`.
        Self {
            low: seconds as u32,
            high: (seconds as u64 >> 32) as u32,
        }
    }
}

/// A structure of `shmctl(2)`, in full.
macro_rules! structure {
    ($(#[$doc:meta])* $name:ident, $size:literal: { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct $name { $(pub(crate) $field: $type,)* }
        const _: () = assert!(size_of::<$name>() == $size && 0 $(+ size_of::<$type>())* == $size);
        // SAFETY: Its fields are whole numbers, and its size is the sum of theirs: there is no
        // padding.
        unsafe impl Plain for $name {}
    };
}

/// The structures for a width of programs. `$word` is C's `unsigned long`; `$holes` is how many
/// `u32` are there only for the next field's alignment; `$largest` is what shmmax is cut to.
macro_rules! layout {
    ($word:ident, $time:ident, holes: $holes:literal, largest: $largest:expr,
     sizes: $permission:literal $segment:literal $information:literal $use:literal) => {
        use super::*;

        structure! {
            /// `struct ipc_perm`.
            Permission, $permission: {
                key: i32,
                uid: u32,
                gid: u32,
                cuid: u32,
                cgid: u32,
                mode: u32,
                seq: u16,
                padding: u16,
                hole: [u32; $holes],
                reserved: [$word; 2],
            }
        }

        structure! {
            /// `struct shmid_ds`.
            Segment, $segment: {
                permission: Permission,
                segsz: $word,
                atime: $time,
                dtime: $time,
                ctime: $time,
                cpid: i32,
                lpid: i32,
                nattch: $word,
                reserved: [$word; 2],
            }
        }

        structure! {
            /// `struct shminfo`.
            Information, $information: {
                shmmax: $word,
                shmmin: $word,
                shmmni: $word,
                shmseg: $word,
                shmall: $word,
                reserved: [$word; 4],
            }
        }

        structure! {
            /// `struct shm_info`.
            Use, $use: {
                used_ids: u32,
                hole: [u32; $holes],
                shm_tot: $word,
                shm_rss: $word,
                shm_swp: $word,
                swap_attempts: $word,
                swap_successes: $word,
            }
        }

        impl From<&Stat> for Permission {
            fn from(stat: &Stat) -> Self {
                Self {
                    key: stat.key,
                    uid: stat.uid,
                    gid: stat.gid,
                    cuid: stat.cuid,
                    cgid: stat.cgid,
                    mode: stat.mode,
                    // The kernel's field has 16 bits too.
                    seq: stat.seq as u16,
                    ..Self::default()
                }
            }
        }

        #[cfg_attr(not(test), allow(dead_code))]
        impl Permission {
            /// What IPC_SET sets.
            pub(crate) fn to_stat(self) -> Stat {
                Stat {
                    uid: self.uid,
                    gid: self.gid,
                    mode: self.mode,
                    ..Stat::default()
                }
            }
        }

        impl From<&Stat> for Segment {
            fn from(stat: &Stat) -> Self {
                Self {
                    permission: stat.into(),
                    segsz: stat.segsz as $word,
                    atime: stat.atime.into(),
                    dtime: stat.dtime.into(),
                    ctime: stat.ctime.into(),
                    cpid: stat.cpid,
                    lpid: stat.lpid,
                    nattch: stat.nattch as $word,
                    ..Self::default()
                }
            }
        }

        impl From<&Limits> for Information {
            fn from(limits: &Limits) -> Self {
                Self {
                    shmmax: limits.shmmax.min($largest) as $word,
                    shmmin: limits.shmmin as $word,
                    shmmni: limits.shmmni as $word,
                    shmseg: limits.shmseg as $word,
                    shmall: limits.shmall as $word,
                    ..Self::default()
                }
            }
        }

        impl From<&Usage> for Use {
            fn from(usage: &Usage) -> Self {
                Self {
                    used_ids: usage.used_ids,
                    shm_tot: usage.shm_tot as $word,
                    shm_rss: usage.shm_rss as $word,
                    shm_swp: usage.shm_swp as $word,
                    swap_attempts: usage.swap_attempts as $word,
                    swap_successes: usage.swap_successes as $word,
                    ..Self::default()
                }
            }
        }
    };
}

/// In 64-bit programs.
#[cfg_attr(target_pointer_width = "32", allow(dead_code))]
pub(crate) mod wide {
    layout!(u64, i64, holes: 1, largest: u64::MAX, sizes: 48 112 72 48);

    /// What IPC_SET reads.
    pub(crate) type Wanted = Segment;

    impl Segment {
        pub(crate) fn wanted(&self) -> &Permission {
            &self.permission
        }
    }
}

/// In 32-bit programs. What does not fit loses its upper half, as in `copy_compat_shmid_to_user()`
/// and `put_compat_shm_info()`; `shmmax` alone is cut to the largest that fits.
#[cfg_attr(target_pointer_width = "64", allow(dead_code))]
pub(crate) mod narrow {
    layout!(u32, Halves, holes: 0, largest: i32::MAX as u64, sizes: 36 84 36 24);

    /// What IPC_SET reads: `get_compat_ipc64_perm()` reads no more.
    pub(crate) type Wanted = Permission;

    impl Permission {
        pub(crate) fn wanted(&self) -> &Self {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two fields alike, and more in each than a 32-bit program can see.
    const STAT: Stat = Stat {
        key: -2,
        uid: 0xffff_fffe,
        gid: 3,
        cuid: 4,
        cgid: 5,
        mode: 0o3641,
        cpid: 7,
        lpid: 8,
        segsz: 0x9_8000_0001,
        nattch: 0xa_0000_000b,
        atime: 0x1_8000_0002,
        dtime: -1,
        ctime: 0x2_0000_0003,
        rss: 12,
        huge: 13,
        seq: 0x1_ffff,
        reserved: 0,
        swap: 14,
        flags: 15,
        reserved2: 0,
    };

    /// libc's own structure has each field where ours has it.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn wide_is_libcs() {
        use core::mem::{align_of, offset_of};
        assert_eq!(size_of::<wide::Segment>(), size_of::<libc::shmid_ds>());
        assert_eq!(align_of::<wide::Segment>(), align_of::<libc::shmid_ds>());
        macro_rules! same {
            ($($ours:ident $libcs:ident),*) => {
                $(assert_eq!(offset_of!(wide::Segment, $ours), offset_of!(libc::shmid_ds, $libcs));)*
            };
        }
        same!(permission shm_perm, segsz shm_segsz, atime shm_atime, dtime shm_dtime, ctime shm_ctime,
            cpid shm_cpid, lpid shm_lpid, nattch shm_nattch);
        macro_rules! same {
            ($($ours:ident $libcs:ident),*) => {
                $(assert_eq!(offset_of!(wide::Permission, $ours), offset_of!(libc::ipc_perm, $libcs));)*
            };
        }
        same!(key __key, uid uid, gid gid, cuid cuid, cgid cgid, mode mode, seq __seq);
    }

    #[test]
    fn wide_has_all() {
        let segment = wide::Segment::from(&STAT);
        assert_eq!(segment.permission.key, -2);
        assert_eq!(segment.permission.uid, 0xffff_fffe);
        assert_eq!(segment.permission.gid, 3);
        assert_eq!(segment.permission.cuid, 4);
        assert_eq!(segment.permission.cgid, 5);
        assert_eq!(segment.permission.mode, 0o3641);
        assert_eq!(segment.permission.seq, 0xffff);
        assert_eq!(segment.segsz, 0x9_8000_0001);
        assert_eq!(segment.nattch, 0xa_0000_000b);
        assert_eq!(segment.atime, 0x1_8000_0002);
        assert_eq!(segment.dtime, -1);
        assert_eq!(segment.ctime, 0x2_0000_0003);
        assert_eq!((segment.cpid, segment.lpid), (7, 8));
    }

    #[test]
    fn narrow_has_lower_halves() {
        let segment = narrow::Segment::from(&STAT);
        assert_eq!(segment.permission.key, -2);
        assert_eq!(segment.permission.uid, 0xffff_fffe);
        assert_eq!(segment.permission.cgid, 5);
        assert_eq!(segment.permission.mode, 0o3641);
        assert_eq!(segment.segsz, 0x8000_0001);
        assert_eq!(segment.nattch, 0xb);
        assert_eq!((segment.atime.low, segment.atime.high), (0x8000_0002, 1));
        assert_eq!(
            (segment.dtime.low, segment.dtime.high),
            (u32::MAX, u32::MAX)
        );
        assert_eq!((segment.cpid, segment.lpid), (7, 8));
    }

    /// Where `struct __shmid64_ds` of a 32-bit program has its 64-bit times.
    #[test]
    fn narrow_is_right_for_both_kinds_of_time() {
        use core::mem::offset_of;
        assert_eq!(offset_of!(narrow::Segment, atime), 40);
        assert_eq!(offset_of!(narrow::Segment, dtime), 48);
        assert_eq!(offset_of!(narrow::Segment, ctime), 56);
        assert_eq!(offset_of!(narrow::Segment, cpid), 64);
        assert_eq!(offset_of!(Halves, high), 4);
    }

    #[test]
    fn limits_fit() {
        let mut limits = Limits {
            shmmax: u64::MAX - (1 << 24),
            shmmin: 1,
            shmmni: 4096,
            shmseg: 4096,
            shmall: u64::MAX - (1 << 24),
        };
        assert_eq!(wide::Information::from(&limits).shmmax, limits.shmmax);
        let narrow = narrow::Information::from(&limits);
        assert_eq!(narrow.shmmax, i32::MAX as u32);
        assert_eq!(
            (narrow.shmmin, narrow.shmmni, narrow.shmseg),
            (1, 4096, 4096)
        );
        assert_eq!(narrow.shmall, u32::MAX - (1 << 24));
        limits.shmmax = 0x7fff_fffe;
        assert_eq!(narrow::Information::from(&limits).shmmax, 0x7fff_fffe);
    }

    #[test]
    fn usage_fits() {
        let usage = Usage {
            used_ids: 3,
            shm_tot: 0x1_0000_0002,
            shm_rss: 4,
            shm_swp: 0x1_0000_0005,
            ..Usage::default()
        };
        let narrow = narrow::Use::from(&usage);
        assert_eq!((narrow.used_ids, narrow.shm_tot), (3, 2));
        assert_eq!((narrow.shm_rss, narrow.shm_swp), (4, 5));
        let wide = wide::Use::from(&usage);
        assert_eq!((wide.used_ids, wide.shm_tot), (3, 0x1_0000_0002));
        assert_eq!((wide.shm_rss, wide.shm_swp), (4, 0x1_0000_0005));
    }

    #[test]
    fn what_is_set() {
        let wanted = Stat {
            uid: STAT.uid,
            gid: STAT.gid,
            mode: STAT.mode,
            ..Stat::default()
        };
        assert_eq!(wide::Permission::from(&STAT).to_stat(), wanted);
        assert_eq!(narrow::Permission::from(&STAT).to_stat(), wanted);
    }
}
