// SPDX-License-Identifier: GPL-2.0

//! Compile-time checks that [`uapi`](crate::shm::rules::uapi) matches the C header.

use super::bindings as c;
use crate::shm::rules::uapi::*;

macro_rules! check {
    ($($name:ident = $c_name:ident { $($field:ident: $type:ty,)* })*) => {
        const _: () = {
            use core::mem::{align_of, offset_of, size_of};
            $(
                assert!(size_of::<$name>() == size_of::<c::$c_name>());
                assert!(align_of::<$name>() == align_of::<c::$c_name>());
                $(assert!(offset_of!($name, $field) == offset_of!(c::$c_name, $field));)*
            )*
        };
    };
    ($($name:ident = $value:expr, $c_name:ident;)*) => {
        const _: () = {
            $(assert!($name == c::$c_name);)*
        };
    };
}
numbers!(check);
structures!(check);
