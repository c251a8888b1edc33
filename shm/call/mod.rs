// SPDX-License-Identifier: GPL-2.0

//! How the module is called, and how it is looked at. See the map in [`shm`](crate::shm).

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod device;
#[cfg(CONFIG_DEBUG_FS)]
pub(crate) mod report;
pub(crate) mod table;
