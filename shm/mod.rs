// SPDX-License-Identifier: GPL-2.0

//! The map of the module: five floors, a folder each. A file uses its own floor and those below it.
//!
//! [`call`]: the interfaces. Decodes a request, calls a function of a floor below, encodes the
//! result.
//! - `device.rs`: the misc device: ioctls and `read(2)`
//! - `calls.rs`: the calls themselves, also for the system calls of a namespace that is served
//! - `attach.rs`: maps a segment (`do_shmat()`), or makes a descriptor of it
//! - `detach.rs`: unmaps an attach (`ksys_shmdt()`)
//! - `restore.rs`: decodes what a segment was, for RUST_SHM_IOC_RESTORE
//! - `table.rs`: the text of `read(2)`, as `/proc/sysvipc/shm`
//! - `report.rs`: the segments of all namespaces, in debugfs
//!
//! [`registry`]: the segments of an IPC namespace.
//! - `mod.rs`: lookup by id, IPC_SET, IPC_RMID, totals
//! - `create.rs`: lookup by key, creation (`ipcget()`, `newseg()`)
//! - `restore.rs`: creation of a segment as it was
//! - `orphans.rs`: removal when the creator leaves (`kernel.shm_rmid_forced`)
//! - `namespace.rs`: the registries of all namespaces
//! - `commit.rs`: commit accounting for small segments
//! - `settings.rs`: module parameters and machine-wide sysctls
//!
//! [`segment`]: one segment.
//! - `mod.rs`: creation, attaches in progress, SHM_LOCK
//! - `state.rs`: the state under its spinlock: life cycle, attach count, owner, files
//! - `stat.rs`: IPC_STAT
//! - `restore.rs`: what is restored of it
//! - `creator.rs`: the thread that created it
//! - `memory.rs`: its pages: mounts, large folios, SHM_HUGETLB
//! - `mapping.rs`: the callbacks of its mappings: mmap, fork, munmap, fault
//! - `descriptor.rs`: its descriptors: files that can be mapped, read, polled, sealed, and passed on
//!
//! [`sys`]: the kernel as safe functions, in the drawers `mm/`, `fs/`, `task/` and `sync/`. Only
//! this floor has `unsafe`. Its `mod.rs` lists the files.
//!
//! [`rules`]: pure functions on plain values, tested on the host. All floors use them.
//! - `id.rs`, `limits.rs`, `permission.rs`, `address.rs`: rules of `ipc/util.c` and `ipc/shm.c`
//! - `restore.rs`: what a segment can be restored as
//! - `pool.rs`: a counter of pages taken from chunks
//! - `command_line.rs`: the kernel's command line
//! - `uapi.rs`: ioctl numbers and structures
//!
//! # Ownership
//!
//! - The module owns `Namespaces`, which owns the `Registry` of each namespace until that ends. An
//!   open device holds a reference to both.
//! - A `Registry` owns its `Segment`s until they are removed and nobody is attached. So does each
//!   attach: the VMA holds an `AttachFile`, which holds the segment.
//! - A `Segment` owns its `ShmemFile`, which has the pages. It also holds its registry, and a spare
//!   `AttachFile`, which holds the segment; `State::end()` breaks these two cycles.
//! - A `Descriptor` holds its segment, and belongs to an inode of the module's filesystem.
//! - A namespace that is served has a `Served`, which holds the registry and `Namespaces`: `served.c` owns
//!   it, and frees it when no call is in it any more.
//! - A registry with segments, attach files, open devices, a `Served`, and the filesystem of descriptors
//!   while it is mounted, each hold a reference to the module.
//!
//! # Lock order
//!
//! 1. The mutex of `Orphans`, that of an open device's `Cursor`, and that of seals, `Watch::sealing`.
//!    None is taken with another lock held. User memory is not accessed under them, nor under the spinlocks.
//! 2. The turn of an address space (`MmTurns`): detach. Its spinlock is a leaf.
//! 3. `i_rwsem` of a segment's inode: `write(2)`, `fallocate(2)` and MADV_REMOVE, within shmem; seals.
//! 4. `mmap_lock`, or the lock of a VMA: all callbacks of mappings.
//! 5. A slot of the `OnceTable` in `memory.rs`: a fault that allocates a folio.
//! 6. The folio lock, then the locks of the page cache. No lock below is taken under them.
//! 7. The spinlock of a registry's table (`IdTable`).
//! 8. The spinlock of a segment's `State`.
//! 9. The locks of those who poll a descriptor (`PollQueue`).
//!
//! The raw spinlocks of `Namespaces`, `Creators` and `Registry::node` are leaves: kprobe handlers take
//! them, too, and at most queue a work item under them.

pub(crate) mod call;
pub(crate) mod registry;
pub(crate) mod rules;
pub(crate) mod segment;
pub(crate) mod sys;
