// SPDX-License-Identifier: GPL-2.0

//! Files, and what the module shows as files.

#[cfg(CONFIG_DEBUG_FS)]
pub(crate) mod debugfs;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod misc;
pub(crate) mod mount;
pub(crate) mod parameter;
pub(crate) mod proc;
pub(crate) mod shmem;
pub(crate) mod shmem_file;
