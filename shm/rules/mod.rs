// SPDX-License-Identifier: GPL-2.0

//! Pure functions on plain values, also tested on the host, and the ABI. See the map in [`shm`].
//!
//! [`shm`]: super

pub(crate) mod address;
pub(crate) mod command_line;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod permission;
pub(crate) mod pool;
pub(crate) mod restore;
pub(crate) mod uapi;
