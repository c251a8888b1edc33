// SPDX-License-Identifier: GPL-2.0

//! Rules on plain values, without the kernel: tested on the host too. See the map in
//! [`shm`](crate::shm).

pub(crate) mod address;
pub(crate) mod command_line;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod permission;
pub(crate) mod pool;
pub(crate) mod uapi;
