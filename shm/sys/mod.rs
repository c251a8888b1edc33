// SPDX-License-Identifier: GPL-2.0

//! The only place with `unsafe`: thin safe wrappers over the kernel's C functions, one kernel noun
//! a file.
//!
//! Nothing here knows what a segment is. What a wrapper needs from its user comes in as a type
//! parameter with a trait, and a type's `# Invariants` say what its `unsafe` blocks rest on.
//!
//! | file | noun |
//! |---|---|
//! | `cred.rs` | user and group ids of the caller, and their translation between user namespaces |
//! | `pid.rs` | a counted `struct pid` |
//! | `ipc_ns.rs` | the caller's IPC namespace: its number, its limits, capabilities over it |
//! | `kprobe.rs` | kprobes that tell of what a module has no hook for |
//! | `commit.rs` | memory that is promised in advance |
//! | `memlock.rs` | memory that a user has locked |
//! | `debugfs.rs` | a directory in debugfs |
//! | `proc.rs` | files of `/proc` |
//! | `queue.rs` | a workqueue that is drained when it is dropped |
//! | `module_ref.rs` | a counted reference to this module |
//! | `rcu_arc.rs` | a counted object that readers may find under RCU |
//! | `id_table.rs` | an XArray of those, with a lock that also guards its owner's state |
//! | `mount.rs` | the module's own pseudo filesystem |
//! | `file.rs` | an inode and file on it, that own an object and map its pages |
//! | `folio.rs` | the page cache of such an inode, and a page fault in it |
//! | `policy.rs` | a counted NUMA policy that mappings share |
//! | `lazy.rs` | a box that is made when it is first needed |
//! | `parameter.rs` | a parameter of the module in sysfs |
//! | `user.rs` | structures from and to user space |
//! | `vma.rs` | the caller's address space: map, unmap, find what is mapped |
//! | `misc.rs` | a misc device with a mode and a context |
//! | `thread.rs` | which thread is calling |
//! | `time.rs` | the clock |
//! | `header.rs` | checks of the structures against `include/uapi/rust_shm.h` |

#![allow(unsafe_code)]

pub(crate) mod fs;
mod header;
pub(crate) mod mm;
pub(crate) mod sync;
pub(crate) mod task;

/// What [`kernel::bindings`] lacks, made by bindgen from the headers of the kernel that is built
/// for: see `Kbuild`.
#[allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
pub(crate) mod bindings {
    use kernel::{
        bindings::*,
        ffi, //
    };

    include!(env!("RUST_SHM_BINDINGS"));
}
