// SPDX-License-Identifier: GPL-2.0-only

//! Processes, by /proc: their names, and which segments they have attached.
//!
//! An attach is a line of `/proc/PID/maps` with the name `/SYSVkkkkkkkk (deleted)` and the segment's
//! id as inode number. The built-in's look the same but for the number of the device. Its segments
//! are files on the kernel's own mounts of tmpfs and hugetlbfs, and so are those of
//! `memfd_create(2)`, which show the numbers of these devices. The module has mounts of its own: one
//! for each value of its parameter `huge`. So the attaches on all other devices are the module's.
//!
//! Ids are those of an IPC namespace, and all namespaces have the one device: so a process of
//! another namespace most likely has another segment of the same id.

use nix::{
    libc,
    sys::{
        memfd::{memfd_create, MFdFlags},
        stat::{fstat, major, minor},
    },
};
use procfs::process::Process;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::PathBuf,
};

/// The name of a process that runs.
pub fn command(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// When a process began, in seconds since 1970, to a second or two.
fn began(pid: u32) -> Option<u64> {
    let ticks = Process::new(pid.try_into().ok()?)
        .ok()?
        .stat()
        .ok()?
        .starttime;
    Some(procfs::boot_time_secs().ok()? + ticks / procfs::ticks_per_second())
}

/// The name of the process that made something at that time, if it still runs. A younger process has only
/// been given the same number.
pub fn command_then(pid: u32, made: u64) -> Option<String> {
    (began(pid)? <= made).then(|| command(pid))?
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
    /// As whom it acts.
    pub user: Option<u32>,
    /// `None` if the kernel does not say, as when it has ended meanwhile.
    pub memory: Option<Memory>,
}

/// What of a segment a process has in its page tables, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub resident: u64,
    /// The same, each page divided by how many have it mapped.
    pub proportional: u64,
    /// What of it is mapped by 2 MiB.
    pub huge: u64,
    /// What of the part that is mapped is swapped out.
    pub swap: u64,
    /// On which nodes the pages are.
    pub nodes: BTreeMap<u32, u64>,
}

impl Memory {
    /// Of each segment, by the texts of `/proc/PID/smaps` and `numa_maps`; the latter is empty on a kernel without NUMA.
    fn parse(smaps: &str, numa_maps: &str, takes: impl Fn(&Mapping) -> bool) -> HashMap<i32, Self> {
        let mut all: HashMap<i32, Self> = HashMap::new();
        let mut places = HashMap::new();
        let mut current = None;
        for line in smaps.lines() {
            if !line.starts_with(|c: char| c.is_ascii_uppercase()) {
                current = Mapping::parse(line)
                    .filter(&takes)
                    .map(|mapping| mapping.id);
                if let (Some(id), Some((start, _))) = (current, line.split_once('-')) {
                    places.insert(start, id);
                    all.entry(id).or_default();
                }
                continue;
            }
            let Some(memory) = current.and_then(|id| all.get_mut(&id)) else {
                continue;
            };
            let field = || {
                let (name, value) = line.split_once(':')?;
                Some((
                    name,
                    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024,
                ))
            };
            match field() {
                Some(("Rss", bytes)) => memory.resident += bytes,
                Some(("Pss", bytes)) => memory.proportional += bytes,
                Some(("ShmemPmdMapped", bytes)) => memory.huge += bytes,
                Some(("Swap", bytes)) => memory.swap += bytes,
                _ => {}
            }
        }
        for line in numa_maps.lines() {
            let mut words = line.split_ascii_whitespace();
            let id = words.next().and_then(|start| places.get(start));
            let Some(memory) = id.and_then(|id| all.get_mut(id)) else {
                continue;
            };
            let numbers = || words.clone().filter_map(|word| word.split_once('='));
            let number = |text: &str| text.parse::<u64>().ok();
            let page = numbers()
                .find(|(name, _)| *name == "kernelpagesize_kB")
                .and_then(|(_, size)| number(size));
            for (name, pages) in numbers() {
                let node = name.strip_prefix('N').and_then(|node| node.parse().ok());
                if let (Some(node), Some(pages), Some(page)) = (node, number(pages), page) {
                    *memory.nodes.entry(node).or_default() += pages * page * 1024;
                }
            }
        }
        all
    }
}

/// The effective user of a process.
fn user(pid: u32) -> Option<u32> {
    let process = Process::new(pid.try_into().ok()?).ok()?;
    Some(process.status().ok()?.euid)
}

/// Who has which segments attached.
#[derive(Debug, Default)]
pub struct Report {
    pub attached: HashMap<i32, Vec<Attached>>,
    /// In processes of other IPC namespaces, how many mappings there are of a segment of such an id.
    pub elsewhere: HashMap<i32, u64>,
    /// How many processes could not be looked at.
    pub denied: u64,
    /// Why the kernel's own devices are not known, if they are not.
    pub unknown: Option<String>,
}

/// A line of maps that is an attach, of the module or the built-in.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'line> {
    bytes: u64,
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
        if key.len() != 8
            || !key.bytes().all(|c| c.is_ascii_hexdigit())
            || words.next() != Some("(deleted)")
        {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        Some(Self {
            bytes: u64::from_str_radix(end, 16)
                .ok()?
                .checked_sub(u64::from_str_radix(start, 16).ok()?)?,
            writes: access.as_bytes().get(1) == Some(&b'w'),
            device,
            id: inode.parse().ok()?,
        })
    }
}

/// Where files of the kernel's own shared memory are, as `major:minor`.
fn kernels_devices() -> nix::Result<HashSet<String>> {
    let device = |flags| {
        // Where vm.memfd_noexec is 2, no others are made.
        let flags = flags | libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL;
        let file = memfd_create("", MFdFlags::from_bits_retain(flags))?;
        let device = fstat(&file)?.st_dev;
        Ok(format!("{:02x}:{:02x}", major(device), minor(device)))
    };
    let mut all = HashSet::from([device(0)?]);
    // A mount of hugetlbfs for each size; none on a kernel without.
    for size in fs::read_dir("/sys/kernel/mm/hugepages")
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = size.file_name();
        let kilobytes = name.to_str().and_then(|name| {
            name.strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse::<u64>()
                .ok()
        });
        if let Some(log) = kilobytes.and_then(u64::checked_ilog2) {
            all.extend(device(
                libc::MFD_HUGETLB | ((log + 10) << libc::MFD_HUGE_SHIFT),
            ));
        }
    }
    Ok(all)
}

fn namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/ipc")).ok()
}

/// Who has these segments attached, of the processes that can be seen.
pub fn attached(ids: &HashSet<i32>) -> io::Result<Report> {
    let mut report = Report::default();
    let kernels = match kernels_devices() {
        Ok(kernels) => kernels,
        Err(error) => {
            report.unknown = Some(format!("memfd_create: {}", error.desc()));
            return Ok(report);
        }
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
        let mut in_it = HashSet::new();
        for mapping in maps
            .lines()
            .filter_map(Mapping::parse)
            .filter(|mapping| ids.contains(&mapping.id) && !kernels.contains(mapping.device))
        {
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
                    user: user(pid),
                    memory: None,
                });
                in_it.insert(mapping.id);
            }
            if let Some(last) = all.last_mut() {
                last.mappings += 1;
                last.mapped += mapping.bytes;
                last.writes |= mapping.writes;
            }
        }
        if in_it.is_empty() {
            continue;
        }
        // This takes longer, so it is only for those that have one.
        let file = |name| {
            let text = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        };
        let takes =
            |mapping: &Mapping| in_it.contains(&mapping.id) && !kernels.contains(mapping.device);
        for (id, memory) in Memory::parse(&file("smaps"), &file("numa_maps"), takes) {
            if let Some(last) = report.attached.get_mut(&id).and_then(|all| all.last_mut()) {
                last.memory = Some(memory);
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
                bytes: 2 << 20,
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
            "7f12-7f13 rw-s 00000000 00:2a 5 /SYSV00001234",
            "7f13-7f12 rw-s 00000000 00:2a 5 /SYSV00001234 (deleted)",
            "7f12-7f13 rw-s 00000000 00:2a 99999999999 /SYSV00001234 (deleted)",
        ] {
            assert_eq!(Mapping::parse(other), None, "{other}");
        }
    }

    #[test]
    fn memory_of_each_segment() {
        let smaps = "7f1200000000-7f1200200000 rw-s 00000000 00:2a 5  /SYSV00001234 (deleted)\n\
                     Size: 2048 kB\nRss:  2048 kB\nPss:    1024 kB\nPss_Dirty: 7 kB\nShmemPmdMapped:  2048 kB\nSwap: 0 kB\nVmFlags: rd\n\
                     7f1300000000-7f1300002000 rw-p 00000000 00:00 0 \nRss: 8 kB\nPss: 8 kB\n\
                     7f1400000000-7f1400002000 r--s 00000000 00:2a 5  /SYSV00001234 (deleted)\nRss: 4 kB\nPss: 1 kB\nSwap: 4 kB\nTHPeligible: 0\n\
                     7f1500000000-7f1500002000 r--s 00000000 00:2a 6  /SYSV00000000 (deleted)\nRss: 0 kB\n\
                     7f1600000000-7f1600002000 r--s 00000000 00:01 7  /SYSV00000000 (deleted)\nRss: 4 kB\n";
        let numa = "7f1200000000 default file=/SYSV00001234\\040(deleted) dirty=512 mapmax=2 N0=500 N1=12 kernelpagesize_kB=4\n\
                    7f1300000000 default anon=2 dirty=2 N0=2 kernelpagesize_kB=4\n\
                    7f1400000000 default file=/SYSV00001234\\040(deleted) N1=1 kernelpagesize_kB=4\n";
        let all = Memory::parse(smaps, numa, |mapping| mapping.device == "00:2a");
        let first = Memory {
            resident: 2052 << 10,
            proportional: 1025 << 10,
            huge: 2 << 20,
            swap: 4096,
            nodes: BTreeMap::from([(0, 500 << 12), (1, 13 << 12)]),
        };
        assert_eq!(all, HashMap::from([(5, first), (6, Memory::default())]));
        assert!(Memory::parse("", "", |_| true).is_empty());
    }

    #[test]
    fn shared_memory_is_on_a_device_of_the_kernels() {
        let kernels = kernels_devices().unwrap();
        let memory = rshm::Anonymous::new(4096).unwrap();
        let start = format!("{:x}-", memory.as_ptr() as usize);
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.starts_with(&start)).unwrap();
        let device = line.split_ascii_whitespace().nth(3).unwrap();
        assert!(kernels.contains(device), "{kernels:?} {line}");
    }

    #[test]
    fn names() {
        assert!(command(std::process::id()).is_some_and(|name| !name.is_empty()));
        assert_eq!(command(u32::MAX), None);
        let own = std::process::id();
        let now = crate::units::seconds(Some(std::time::SystemTime::now())).unwrap();
        assert!(began(own).is_some_and(|began| began <= now && began + 3600 > now));
        assert_eq!(command_then(own, now), command(own));
        assert_eq!(command_then(own, now - 3600), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*", id: u32) {
            let _ = Mapping::parse(&line);
            let _ = Mapping::parse(&format!("1-2 {line} 00:01 {id} /SYSV00000000 (deleted)"));
        }
    }
}
