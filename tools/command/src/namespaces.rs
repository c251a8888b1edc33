// SPDX-License-Identifier: GPL-2.0-only

//! IPC namespaces, each by its number: the inode number of `/proc/PID/ns/ipc`, as lsns(8) and readlink(1) print it.

use crate::output::{complain, count, reason, Failure, Result};
use nix::{
    sched::{setns, CloneFlags},
    unistd::Uid,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const OWN: &str = "/proc/self/ns/ipc";

/// What the module knows of them, for root.
const USED: &str = "/sys/kernel/debug/rust_shm/namespaces";

/// The one that this process is in. `None` on a kernel without namespaces.
pub fn own() -> Option<u64> {
    Some(fs::metadata(OWN).ok()?.ino())
}

/// Those that a process is in that can be seen from here, or that are mounted, each with a file to enter it by.
fn all() -> io::Result<BTreeMap<u64, PathBuf>> {
    let processes = fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .map(|entry| entry.path().join("ns/ipc"));
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // ID PARENT DEVICE ROOT PLACE ...
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(3);
        words.next()?.strip_prefix("ipc:[")?;
        Some(PathBuf::from(words.next()?))
    });
    let number = |path: PathBuf| Some((fs::metadata(&path).ok()?.ino(), path));
    Ok(mounted.chain(processes).filter_map(number).collect())
}

fn cannot_look(error: io::Error) -> Failure {
    Failure::failed(format_args!(
        "cannot list the IPC namespaces: {}",
        reason(&error)
    ))
}

fn enter_by(number: u64, path: &Path) -> Result {
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "cannot enter the IPC namespace {number}: {}{}",
            reason(&error),
            if Uid::effective().is_root() {
                ""
            } else {
                ": use sudo"
            }
        ))
    };
    let file = File::open(path).map_err(failed)?;
    setns(file, CloneFlags::CLONE_NEWIPC).map_err(|error| failed(error.into()))
}

/// Makes this process one of that namespace.
pub fn enter(number: u64) -> Result {
    if own() == Some(number) {
        return Ok(());
    }
    match all().map_err(cannot_look)?.get(&number) {
        Some(path) => enter_by(number, path),
        None => Err(Failure::failed(format_args!(
            "no IPC namespace {number} is visible here: lsns -t ipc lists them{}",
            if Uid::effective().is_root() {
                ""
            } else {
                " (use sudo)"
            }
        ))),
    }
}

/// Does this in each of them, for root, and returns to where it was. A kernel without namespaces has one, without a number.
pub fn each(mut f: impl FnMut(Option<u64>) -> Result) -> Result {
    if !Uid::effective().is_root() {
        return Err(Failure::failed(
            "only root can list all IPC namespaces: use sudo",
        ));
    }
    if own().is_none() {
        return f(None);
    }
    let home = File::open(OWN).map_err(cannot_look)?;
    let all = all().map_err(cannot_look)?;
    for (&number, path) in &all {
        match enter_by(number, path) {
            Ok(()) => f(Some(number))?,
            // Its last process has ended.
            Err(_) if !path.exists() => {}
            Err(failure) => return Err(failure),
        }
    }
    setns(home, CloneFlags::CLONE_NEWIPC).map_err(|error| cannot_look(error.into()))?;
    let left = fs::read_to_string(USED)
        .map_or(0, |text| without(&text, |number| all.contains_key(&number)));
    if left > 0 {
        complain(format_args!(
            "{} without a process: {USED} has it",
            count(
                left,
                "IPC namespace has segments",
                "IPC namespaces have segments"
            )
        ));
    }
    Ok(())
}

/// How many have segments and are not known.
fn without(used: &str, known: impl Fn(u64) -> bool) -> u64 {
    let line = |line: &str| -> Option<bool> {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (number, segments) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(segments > 0 && !known(number))
    };
    used.lines().filter_map(line).filter(|left| *left).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_one_of_them() {
        let own = own().unwrap();
        assert!(all().unwrap().contains_key(&own));
        assert!(enter(own).is_ok() && enter(1).is_err());
    }

    #[test]
    fn those_without_a_process() {
        let text = " namespace segments pages\n 4026531839 2 4\n 4026532000 0 0\n 4026532001 1 1\n";
        assert_eq!(without(text, |number| number == 4026531839), 1);
        assert_eq!(without("", |_| true), 0);
    }
}
