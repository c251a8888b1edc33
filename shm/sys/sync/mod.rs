// SPDX-License-Identifier: GPL-2.0

//! Objects that are shared: reference counts, RCU, work items.

pub(crate) mod id_table;
mod key_table;
pub(crate) mod module_ref;
pub(crate) mod once;
pub(crate) mod poll_queue;
pub(crate) mod queue;
pub(crate) mod raw_spinlock;
pub(crate) mod rcu_arc;
