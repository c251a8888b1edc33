// SPDX-License-Identifier: GPL-2.0

//! Error codes.

use core::convert::Infallible;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// As in `include/uapi/asm-generic/errno-base.h` and `include/linux/errno.h`.
pub mod code {
    use super::Error;

    pub const EINTR: Error = Error(4);
    pub const ENOMEM: Error = Error(12);
    pub const EINVAL: Error = Error(22);
    pub const ERESTARTNOINTR: Error = Error(513);
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
