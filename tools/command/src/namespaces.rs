// SPDX-License-Identifier: GPL-2.0-only

//! IPC namespaces: those of processes, by /proc, as `lsns(8)` finds them. One that only an open file keeps is not seen.

use crate::{
    output::{reason, Failure, Result},
    processes,
};
use nix::{
    sched::{setns, CloneFlags},
    unistd::Uid,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    panic, thread,
};

/// An IPC namespace.
pub struct Namespace {
    /// Its number, as `lsns(8)` and `/proc/PID/ns/ipc` have it.
    pub number: u64,
    /// The process in it that has the lowest number.
    pub pid: u32,
    file: File,
}

impl Namespace {
    /// Those of all processes, by number. Fails for who may not enter them.
    pub fn all() -> Result<Vec<Self>> {
        if !Uid::effective().is_root() {
            return Err(Failure::failed(
                "only root sees the segments of other namespaces",
            ));
        }
        let mut all = BTreeMap::new();
        let failed = |error: io::Error| Failure::failed(format_args!("/proc: {}", reason(&error)));
        for entry in fs::read_dir("/proc").map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // One that has ended meanwhile has none.
            let Ok(file) = File::open(format!("/proc/{pid}/ns/ipc")) else {
                continue;
            };
            let Ok(number) = file.metadata().map(|of| of.ino()) else {
                continue;
            };
            let namespace = all.entry(number).or_insert(Self { number, pid, file });
            namespace.pid = namespace.pid.min(pid);
        }
        Ok(all.into_values().collect())
    }

    /// The one with a number.
    pub fn find(number: u64) -> Result<Self> {
        let found = Self::all()?.into_iter().find(|of| of.number == number);
        found.ok_or_else(|| {
            Failure::failed(format_args!(
                "no process has the IPC namespace {number}: lsns -t ipc lists them"
            ))
        })
    }

    /// Number and name of that process.
    pub fn process(&self) -> String {
        format!(
            "{} {}",
            self.pid,
            processes::command(self.pid).unwrap_or_default()
        )
    }

    /// Brings the calling thread into it.
    pub fn enter(&self) -> Result {
        setns(&self.file, CloneFlags::CLONE_NEWIPC).map_err(|error| {
            Failure::failed(format_args!(
                "the IPC namespace {}: {}",
                self.number,
                error.desc()
            ))
        })
    }

    /// Does something in it, by a thread that is there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                self.enter()?;
                work()
            });
            there
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
    }
}
