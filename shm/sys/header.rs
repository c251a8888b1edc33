// SPDX-License-Identifier: GPL-2.0

//! Compile-time checks that [`uapi`](crate::shm::rules::uapi) matches the C header.

use super::bindings as c;
use crate::shm::rules::uapi::*;

macro_rules! check {
    ($($(#[$doc:meta])* $name:ident = $c_name:ident { $($field:ident: $type:ty,)* })*) => {
        const _: () = {
            use core::mem::{align_of, offset_of, size_of};
            $(
                assert!(size_of::<$name>() == size_of::<c::$c_name>());
                assert!(align_of::<$name>() == align_of::<c::$c_name>());
                $(assert!(offset_of!($name, $field) == offset_of!(c::$c_name, $field));)*
            )*
        };
    };
}
structures!(check);

const _: () = {
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
