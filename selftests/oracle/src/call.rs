// SPDX-License-Identifier: GPL-2.0

//! What the controller tells a worker to do, and what the worker tells of it.

use crate::sys::{Answer, Signal};
use serde::{Deserialize, Serialize};

/// What does the shared memory of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Builtin,
    Module,
    /// The module, by system calls in namespaces that it serves.
    Served,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Builtin, Self::Module, Self::Served];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Builtin => "built-in",
            Kind::Module => "rust_shm",
            Kind::Served => "served",
        }
    }
}

/// Where the structure of a shmctl is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pointer {
    Good,
    Null,
    Unmapped,
    ReadOnly,
    /// The first bytes are mapped, the rest is not.
    Edge,
    Kernel,
}

/// What IPC_SET is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOwner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Read,
    /// The same byte everywhere.
    Write(u8),
    /// fallocate(2), in this mode.
    Allocate(i32),
}

/// A call, with nothing left to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    Get {
        key: i32,
        size: u64,
        flags: i32,
    },
    Attach {
        id: i32,
        address: u64,
        flags: i32,
    },
    Detach {
        address: u64,
    },
    Ctl {
        id: i32,
        command: i32,
        pointer: Pointer,
        new: NewOwner,
    },
    Table {
        chunk: u32,
    },
    Load {
        address: u64,
    },
    Store {
        address: u64,
        value: u8,
    },
    Run {
        address: u64,
    },
    ReadOther {
        pid: i32,
        address: u64,
    },
    Fork {
        slot: usize,
    },
    Exec,
    Exit,
    Unmap {
        address: u64,
        length: u64,
    },
    Protect {
        address: u64,
        length: u64,
        protection: i32,
    },
    Remap {
        old: u64,
        old_length: u64,
        new_length: u64,
        flags: i32,
        new: u64,
    },
    Advise {
        address: u64,
        length: u64,
        advice: i32,
    },
    Lock {
        address: u64,
        length: u64,
        flags: i32,
    },
    Unlock {
        address: u64,
        length: u64,
    },
    Sync {
        address: u64,
        length: u64,
        flags: i32,
    },
    RemapPages {
        address: u64,
        length: u64,
        page: u64,
    },
    Bind {
        address: u64,
        length: u64,
        mode: i32,
        nodes: u64,
        flags: u32,
    },
    MovePages {
        address: u64,
        count: usize,
        node: i32,
    },
    /// process_madvise(2) on another worker.
    AdviseOther {
        slot: usize,
        pid: i32,
        address: u64,
        length: u64,
        advice: i32,
    },
    /// get_mempolicy(2).
    Policy {
        address: u64,
    },
    /// Of the file that is mapped from `start` to `end`, by `/proc/self/map_files`.
    File {
        start: u64,
        end: u64,
        access: Access,
        offset: u64,
        length: u64,
    },
    /// Makes a segment and removes it, so often; or makes so many, and removes them all.
    Churn {
        count: u16,
        at_once: bool,
    },
    /// Makes a segment, goes to a new IPC namespace, makes one there and attaches it, and leaves that namespace, which ends.
    Wander {
        address: u64,
    },
    /// Goes to a new IPC namespace, back to make a segment, and to the new one again.
    Visit,
    /// What only a caller of the module's ioctls can do wrong.
    Strange {
        case: u8,
    },
    MapAnonymous {
        address: u64,
        length: u64,
        protection: i32,
    },
    Credentials {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
        capabilities: u64,
    },
    Unshare {
        flags: i32,
    },
    /// Nothing: only the address space is looked at.
    Look,
    Sysctl {
        name: String,
        value: String,
    },
    /// All that a privileged onlooker sees.
    Observe {
        /// Whether indices that the table does not have are asked for too.
        every_index: bool,
    },
    /// What a segment holds, by a mapping of the process with this number, for a privileged onlooker. Nothing is allocated for that.
    Contents {
        outer_pid: i32,
        start: u64,
        end: u64,
    },
    /// Whether what the module tells root in debugfs agrees with its table.
    Report,
}

/// What a worker is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub call: Call,
    /// Whether to look at the address space afterwards.
    pub maps: bool,
}

/// A `struct shmid_ds` or `struct rust_shm_stat`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
    pub cpid: i32,
    pub lpid: i32,
    pub segsz: u64,
    pub nattch: u64,
    pub atime: i64,
    pub dtime: i64,
    pub ctime: i64,
    pub seq: u32,
}

/// What a call gives beside its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    None,
    Stat(Stat),
    /// shmmax, shmmin, shmmni, shmseg, shmall.
    Limits([u64; 5]),
    /// used_ids, shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes.
    Usage([u64; 6]),
    Text(String),
    /// For each page the node that it is on, or a negative errno.
    Nodes(Vec<i32>),
    /// The pages that are not all zero, and a checksum of each.
    Contents(Vec<(u64, u32)>),
    Observation(Box<Observation>),
}

/// What a privileged onlooker sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub table: String,
    pub limits: (Answer, Payload),
    pub usage: (Answer, Payload),
    /// SHM_STAT_ANY of indices, without those that are not in use.
    pub stats: Vec<(Answer, Payload)>,
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub answer: Answer,
    pub payload: Payload,
    pub signals: Vec<Signal>,
    /// `/proc/self/maps`, and of each attach some lines of `/proc/self/smaps`.
    pub maps: Option<String>,
}

/// The first thing that a new process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its number where it lives.
    pub pid: i32,
    /// Its number where the controller lives.
    pub outer_pid: i32,
}

/// The part of an id that is the index in its namespace's table (IPCMNI_SHIFT).
pub const INDEX: i32 = 0x7fff;

/// The ids in a table such as `/proc/sysvipc/shm`.
pub fn ids_in_table(table: &str) -> impl Iterator<Item = i32> + '_ {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| row.split_ascii_whitespace().nth(1)?.parse().ok())
}
