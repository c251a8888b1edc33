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
    process,
};

const OWN: &str = "/proc/self/ns/ipc";

/// What the module knows of them, for root.
const USED: &str = "/sys/kernel/debug/rust_shm/namespaces";

/// The one that this process is in. `None` on a kernel without namespaces.
pub fn own() -> Option<u64> {
    Some(fs::metadata(OWN).ok()?.ino())
}

/// Files to enter namespaces by: of the processes that can be seen from here.
fn processes() -> io::Result<impl Iterator<Item = (u64, PathBuf)>> {
    Ok(fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| numbered(entry.path().join("ns/ipc"))))
}

fn numbered(path: PathBuf) -> Option<(u64, PathBuf)> {
    Some((fs::metadata(&path).ok()?.ino(), path))
}

/// Those that such a process is in, or that are mounted.
fn all() -> io::Result<BTreeMap<u64, PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // ID PARENT DEVICE ROOT PLACE ...
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(3);
        words.next()?.strip_prefix("ipc:[")?;
        numbered(PathBuf::from(words.next()?))
    });
    Ok(mounted.chain(processes()?).collect())
}

/// The container whose processes are in an IPC namespace, if an engine that is known has made it: by the control group
/// of one of them.
pub fn container(number: u64) -> Option<String> {
    // This process may just be there to look.
    let own = format!("/proc/{}", process::id());
    let of = |(_, path): (u64, PathBuf)| {
        let groups = fs::read_to_string(path.parent()?.parent()?.join("cgroup")).ok()?;
        groups.lines().find_map(container_of)
    };
    processes()
        .ok()?
        .filter(|(found, path)| *found == number && !path.starts_with(&own))
        .find_map(of)
}

/// What a line of `/proc/PID/cgroup` says: the innermost part of the path that an engine names.
fn container_of(group: &str) -> Option<String> {
    let named = |part: &str| {
        // Docker, Podman, CRI-O and containerd have 64 hex digits, and show twelve. Without systemd they are a directory of their own.
        let name = part.strip_suffix(".scope").unwrap_or(part);
        let (engine, id) = name.rsplit_once('-').unwrap_or(("", name));
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let engine = match engine {
                "libpod" => "podman",
                "cri-containerd" => "containerd",
                other => other,
            };
            let separator = if engine.is_empty() { "" } else { ":" };
            return Some(format!("{engine}{separator}{}", &id[..12]));
        }
        // LXC, and what systemd-machined has: systemd-nspawn, libvirt.
        let plain = part
            .strip_prefix("lxc.payload.")
            .map(|name| ("lxc", name))
            .or_else(|| {
                Some((
                    "machine",
                    part.strip_prefix("machine-")?.strip_suffix(".scope")?,
                ))
            })
            .or_else(|| {
                Some((
                    "machine",
                    part.strip_prefix("systemd-nspawn@")?
                        .strip_suffix(".service")?,
                ))
            })?;
        Some(format!("{}:{}", plain.0, plain.1.replace(r"\x2d", "-")))
    };
    group.splitn(3, ':').nth(2)?.rsplit('/').find_map(named)
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
    fn containers() {
        let id = "0123456789abcdef".repeat(4);
        for (group, name) in [
            (
                format!("0::/system.slice/docker-{id}.scope"),
                "docker:0123456789ab",
            ),
            (
                format!("0::/machine.slice/libpod-{id}.scope/container"),
                "podman:0123456789ab",
            ),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
                "containerd:0123456789ab",
            ),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/crio-{id}.scope"),
                "crio:0123456789ab",
            ),
            (format!("12:memory:/docker/{id}"), "0123456789ab"),
            (
                String::from("0::/lxc.payload.web/system.slice/cron.service"),
                "lxc:web",
            ),
            (
                String::from(r"0::/machine.slice/machine-my\x2dbox.scope/payload"),
                "machine:my-box",
            ),
            (
                String::from("0::/machine.slice/systemd-nspawn@box.service/payload"),
                "machine:box",
            ),
        ] {
            assert_eq!(container_of(&group).as_deref(), Some(name), "{group}");
        }
        for group in [
            "",
            "0::/",
            "0::/user.slice/user-0.slice/session-1.scope",
            "0::/system.slice/docker.service",
        ] {
            assert_eq!(container_of(group), None, "{group}");
        }
    }

    #[test]
    fn those_without_a_process() {
        let text = " namespace segments pages\n 4026531839 2 4\n 4026532000 0 0\n 4026532001 1 1\n";
        assert_eq!(without(text, |number| number == 4026531839), 1);
        assert_eq!(without("", |_| true), 0);
    }
}
