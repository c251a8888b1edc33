// SPDX-License-Identifier: GPL-2.0

//! The interfaces of the module. See the map in [`shm`].
//!
//! [`shm`]: super

pub(crate) mod attach;
pub(crate) mod calls;
pub(crate) mod detach;
pub(crate) mod device;
#[cfg(CONFIG_DEBUG_FS)]
pub(crate) mod report;
mod restore;
pub(crate) mod table;
