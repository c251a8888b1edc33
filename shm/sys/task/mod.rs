// SPDX-License-Identifier: GPL-2.0

//! The calling task, and events of tasks and namespaces.

pub(crate) mod cred;
pub(crate) mod ipc_ns;
#[cfg(any(CONFIG_IPC_NS, CONFIG_SYSVIPC))]
pub(crate) mod kprobe;
pub(crate) mod pid;
pub(crate) mod task_work;
pub(crate) mod thread;
pub(crate) mod time;
