// SPDX-License-Identifier: GPL-2.0

//! Processes, by /proc: their names, and which segments they have attached.
//!
//! An attach is a line of `/proc/PID/maps` with the name `/SYSVkkkkkkkk` and the segment's id as
//! inode number. The built-in's look the same but for the number of the device, which the kernel
//! gives out when the module is loaded, and tells nobody. There are two ways to know it:
//!
//! - The filesystem of what is mapped has the type [`MAGIC`], and `/proc/PID/map_files/` leads
//!   there. This touches nothing, but only root may follow.
//! - Attach a segment of one's own, and see. It is private, and goes at once.
//!
//! Ids are those of an IPC namespace, and all namespaces have the one device: so a process of
//! another namespace most likely has another segment of the same id.

use nix::sys::statfs::{statfs, FsType};
use rshm::Device;
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::PathBuf,
};

/// The type of the module's filesystem, as statfs(2) tells it: "rshm".
const MAGIC: FsType = FsType(0x7273686d);

/// The name of a process that runs.
pub fn command(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// A process that has a segment attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub pid: u32,
    pub command: String,
    /// How many mappings: an attach may be in pieces, or made more than once.
    pub mappings: u64,
    /// How much is mapped, in bytes.
    pub mapped: u64,
    /// Whether one of them may be written to.
    pub writes: bool,
}

/// Who has which segments attached.
#[derive(Debug, Default)]
pub struct Report {
    pub attached: HashMap<i32, Vec<Attached>>,
    /// In processes of other IPC namespaces, how many mappings there are of a segment of such an id.
    pub elsewhere: HashMap<i32, u64>,
    /// How many processes could not be looked at.
    pub denied: u64,
    /// Why the device's number is not known, if it is not, but is needed.
    pub unknown: Option<String>,
}

/// A line of maps that is an attach, of the module or the built-in.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'line> {
    start: u64,
    end: u64,
    writes: bool,
    /// As `major:minor`.
    device: &'line str,
    id: i32,
}

impl<'line> Mapping<'line> {
    fn parse(line: &'line str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (range, access, _, device, inode, name) = (
            words.next()?,
            words.next()?,
            words.next()?,
            words.next()?,
            words.next()?,
            words.next()?,
        );
        let key = name.strip_prefix("/SYSV")?;
        if key.len() != 8 || !key.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            writes: access.as_bytes().get(1) == Some(&b'w'),
            device,
            id: inode.parse().ok()?,
        })
    }
}

/// Which devices are the module's.
struct Devices<'device> {
    module: &'device Device,
    known: HashMap<String, bool>,
    /// What a segment of one's own has shown.
    own: Option<Result<String, String>>,
}

impl Devices<'_> {
    fn is_module(&mut self, pid: u32, mapping: &Mapping<'_>) -> Result<bool, String> {
        if let Some(&is) = self.known.get(mapping.device) {
            return Ok(is);
        }
        let link = format!(
            "/proc/{pid}/map_files/{:x}-{:x}",
            mapping.start, mapping.end
        );
        let is = match statfs(link.as_str()) {
            Ok(filesystem) => filesystem.filesystem_type() == MAGIC,
            Err(_) => {
                let module = self.module;
                self.own.get_or_insert_with(|| own_device(module)).clone()? == mapping.device
            }
        };
        self.known.insert(mapping.device.to_owned(), is);
        Ok(is)
    }
}

/// The number of the device, by a segment of our own.
fn own_device(device: &Device) -> Result<String, String> {
    let probe = || {
        let segment = device.segment(1).no_reserve(true).create()?;
        let memory = segment.attach_read_only();
        segment.remove()?;
        Ok::<_, rshm::Error>((segment.id(), memory?))
    };
    let (id, memory) = probe().map_err(|error| error.to_string())?;
    let maps = fs::read_to_string("/proc/self/maps")
        .map_err(|error| format!("/proc/self/maps: {error}"))?;
    maps.lines()
        .filter_map(Mapping::parse)
        .find(|mapping| mapping.start == memory.as_ptr() as u64 && mapping.id == id)
        .map(|mapping| mapping.device.to_owned())
        .ok_or_else(|| "/proc/self/maps does not show an attach".into())
}

fn namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/ipc")).ok()
}

/// Who has these segments attached, of the processes that can be seen.
pub fn attached(device: &Device, ids: &HashSet<i32>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut devices = Devices {
        module: device,
        known: HashMap::new(),
        own: None,
    };
    let ours = namespace("self");
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let maps = match fs::read(format!("/proc/{pid}/maps")) {
            Ok(maps) => maps,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                report.denied += 1;
                continue;
            }
            // It has ended meanwhile.
            Err(_) => continue,
        };
        // What another process has mapped may have any name.
        let maps = String::from_utf8_lossy(&maps);
        let mut elsewhere = None;
        for mapping in maps
            .lines()
            .filter_map(Mapping::parse)
            .filter(|mapping| ids.contains(&mapping.id))
        {
            match devices.is_module(pid, &mapping) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(why) => {
                    report.unknown = Some(why);
                    continue;
                }
            }
            if *elsewhere.get_or_insert_with(|| namespace(&pid.to_string()) != ours) {
                *report.elsewhere.entry(mapping.id).or_default() += 1;
                continue;
            }
            let all = report.attached.entry(mapping.id).or_default();
            if all.last().is_none_or(|last| last.pid != pid) {
                all.push(Attached {
                    pid,
                    command: command(pid).unwrap_or_default(),
                    mappings: 0,
                    mapped: 0,
                    writes: false,
                });
            }
            if let Some(last) = all.last_mut() {
                last.mappings += 1;
                last.mapped += mapping.end.saturating_sub(mapping.start);
                last.writes |= mapping.writes;
            }
        }
    }
    for all in report.attached.values_mut() {
        all.sort_by_key(|attached| attached.pid);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_maps() {
        let line = "7f1200000000-7f1200200000 rw-s 00000000 00:2a 32769                      /SYSV00001234 (deleted)";
        assert_eq!(
            Mapping::parse(line),
            Some(Mapping {
                start: 0x7f1200000000,
                end: 0x7f1200200000,
                writes: true,
                device: "00:2a",
                id: 32769
            })
        );
        assert!(
            !Mapping::parse(&line.replace("rw-s", "r--s"))
                .unwrap()
                .writes
        );
        for other in [
            "",
            "7f12-7f13 rw-s 00000000 00:2a 5",
            "7f12-7f13 rw-s 00000000 00:2a 5 /SYSV0000123 (deleted)",
            "7f12-7f13 rw-s 00000000 00:2a 5 /SYSV0000123x",
            "7f12-7f13 rw-s 00000000 00:2a 5 /tmp/SYSV00001234",
            "7f12-7f13 rw-s 00000000 00:2a 99999999999 /SYSV00001234",
        ] {
            assert_eq!(Mapping::parse(other), None, "{other}");
        }
    }

    #[test]
    fn names() {
        assert!(command(std::process::id()).is_some_and(|name| !name.is_empty()));
        assert_eq!(command(u32::MAX), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*", id: u32) {
            let _ = Mapping::parse(&line);
            let _ = Mapping::parse(&format!("1-2 {line} 00:01 {id} /SYSV00000000"));
        }
    }
}
