// SPDX-License-Identifier: GPL-2.0

//! The differences that are on purpose, each with its reason. The list in the README is made from this file (`oracle --rules`), and what
//! is not in it is a failure: the comparison asks here before it lets a difference pass.

use crate::call::Call;
use crate::layout::{HUGE, PAGE};
use crate::op::{IPC_CREAT, IPC_EXCL};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    UnknownFlags,
    Sysctls,
    Apart,
    Security,
    Piecemeal,
    NoSwap,
    LateCommit,
    HugeAtOnce,
    HugeMapping,
    FilePages,
    LargestBlock,
    AlignedAttach,
    DeviceNumber,
    LateInode,
    Orphans,
    LastRemap,
    Unload,
}

/// How the tester treats a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It comes across it; a function of this file knows it.
    Here,
    /// It does not look there, for this reason.
    No(&'static str),
}

pub struct Rule {
    pub name: Name,
    /// Under which of the README's headings.
    pub heading: &'static str,
    /// What the README says of it.
    pub text: &'static str,
    pub seen: Seen,
}

const fn rule(name: Name, heading: &'static str, seen: Seen, text: &'static str) -> Rule {
    Rule {
        name,
        heading,
        text,
        seen,
    }
}

pub const RULES: &[Rule] = &[
    rule(
        Name::UnknownFlags,
        "Calls",
        Seen::Here,
        "Unknown flags of get, attach, detach, ctl are EINVAL. `shmget` and `shmat` ignore them.",
    ),
    rule(
        Name::Sysctls,
        "Calls",
        Seen::No("the two worlds have an IPC namespace each"),
        "`kernel.shmmax`, `shmall` and `shmmni` hold here too, but count the built-in's segments and the module's apart.",
    ),
    rule(
        Name::Apart,
        "Calls",
        Seen::No("the two worlds have an IPC namespace each"),
        "The built-in and the module do not see each other's segments. `ipcs` and `/proc/sysvipc/shm` do not list the module's.",
    ),
    rule(
        Name::Security,
        "Calls",
        Seen::No("the guest has no policy, and its audit log is not read"),
        "Security modules' hooks for shared memory (`security_shm_*`) and audit's IPC records are not to be had by a module, and are not \
         called. The hook for mappings (`security_mmap_file`) is.",
    ),
    rule(
        Name::Piecemeal,
        "Calls",
        Seen::No("the workers have one thread each"),
        "Detach unmaps an attach piece by piece. Another thread that unmaps and maps in that range meanwhile may come between. A signal \
         that comes while another thread detaches is EINTR.",
    ),
    rule(
        Name::NoSwap,
        "Memory",
        Seen::No("the guest has no swap"),
        "Nothing is swapped or reclaimed: pages stay in memory until the segment goes or `MADV_REMOVE` frees them. `MADV_PAGEOUT` and \
         `MADV_COLD` free nothing, and the `swap` column of the table is 0.",
    ),
    rule(
        Name::LateCommit,
        "Memory",
        Seen::No("Committed_AS is of the whole machine; selftests/commit.c looks at it"),
        "With `SHM_NORESERVE` a touch commits nothing. Memory is committed in steps of up to 1 MiB for all small segments of a namespace.",
    ),
    rule(
        Name::HugeAtOnce,
        "Memory",
        Seen::Here,
        "`SHM_HUGETLB` has one size, 2 MiB, and takes no pages from the pool (`vm.nr_hugepages`), but allocates them at get: so `rss` has \
         them from then on, and `smaps` shows them as pages of a file, without `ht` and `de`. Beyond 2^63 bytes it is ENOMEM.",
    ),
    rule(
        Name::HugeMapping,
        "Memory",
        Seen::Here,
        "On an attach of a `SHM_HUGETLB` segment, `mremap`, `madvise`, `mlock` and `mbind` are as on any other, but EINVAL where they would \
         cut it within 2 MiB.",
    ),
    rule(
        Name::FilePages,
        "Memory",
        Seen::No("such counters are of the whole machine, or of a process whose other pages change them"),
        "Pages count as those of a file: `RssFile`, `Cached`, `Unevictable` and `FilePmdMapped`, and `file` in memory cgroups, where the \
         built-in's are `RssShmem`, `Shmem` and `ShmemPmdMapped`, and `shmem`.",
    ),
    rule(
        Name::LargestBlock,
        "Memory",
        Seen::Here,
        "The first touch brings in the largest aligned block that fits into the segment, up to 2 MiB, if memory has it in one piece. So \
         one byte may take 2 MiB (and `mbind` with `MPOL_MF_STRICT` find more pages). The module's parameter `huge` decides that (`never`, \
         `within_size`, `always`, as tmpfs's mount option), and `/sys/kernel/mm/transparent_hugepage/shmem_enabled` has no say.",
    ),
    rule(
        Name::AlignedAttach,
        "Memory",
        Seen::Here,
        "The address that the kernel chooses for an attach of 2 MiB or more is a multiple of 2 MiB, for a 64-bit program.",
    ),
    rule(
        Name::DeviceNumber,
        "Memory",
        Seen::Here,
        "`/proc/PID/maps` shows another device number; name and inode are those of the built-in. `map_files` entries cannot be read or \
         written, and `fallocate` on one beyond the end is EPERM. `MADV_COLLAPSE` of small pages is EAGAIN.",
    ),
    rule(
        Name::LateInode,
        "Memory",
        Seen::No("neither memory nor files run out"),
        "The inode and file of a segment are made by its first attach, without `SHM_HUGETLB`: ENOMEM and ENFILE for them come there.",
    ),
    rule(
        Name::Orphans,
        "Life",
        Seen::No("after each step there is a call in every namespace; selftests/forced.c looks in between"),
        "With `kernel.shm_rmid_forced`, segments of a creator that exits in another IPC namespace go with the next call in theirs.",
    ),
    rule(
        Name::LastRemap,
        "Life",
        Seen::Here,
        "Attaches keep an IPC namespace that has ended, files do not: so `remap_file_pages` of the last attach from one may be EINVAL.",
    ),
    rule(
        Name::Unload,
        "Life",
        Seen::No("the built-in is no module; selftests/unload.c looks at it"),
        "While a segment exists, attached or not, the module cannot be unloaded (EBUSY).",
    ),
];

/// The rules at work.
#[derive(Default)]
pub struct Applied {
    /// How often each was needed.
    pub times: BTreeMap<Name, usize>,
    /// The module was told to use small pages (`huge=never`): then `LargestBlock` is no excuse.
    pub small_pages: bool,
}

impl Applied {
    fn note(&mut self, name: Name) {
        *self.times.entry(name).or_default() += 1;
    }

    /// `UnknownFlags`: the call without its unknown flags, if it has any. The module must say EINVAL to the one, and do the other.
    pub fn unknown_flags(&mut self, call: &Call) -> Option<Call> {
        const GET: i32 = 0o777 | IPC_CREAT | IPC_EXCL | libc::SHM_NORESERVE | libc::SHM_HUGETLB;
        // What size the huge pages have.
        const SIZE: i32 = -1 << 26;
        const ATTACH: i32 = libc::SHM_RDONLY | libc::SHM_RND | libc::SHM_REMAP | libc::SHM_EXEC;
        let known = match *call {
            Call::Get { key, size, flags } => {
                let known = if flags & libc::SHM_HUGETLB == 0 {
                    GET
                } else {
                    GET | SIZE
                };
                if flags & !known == 0 {
                    return None;
                }
                Call::Get {
                    key,
                    size,
                    flags: flags & known,
                }
            }
            Call::Attach { id, address, flags } if flags & !ATTACH != 0 => Call::Attach {
                id,
                address,
                flags: flags & ATTACH,
            },
            _ => return None,
        };
        self.note(Name::UnknownFlags);
        Some(known)
    }

    /// `LargestBlock`: whether a segment, or all of them, of `bytes` may have `module` bytes in memory where the built-in has `builtin`.
    pub fn largest_block(&mut self, builtin: u64, module: u64, bytes: u64) -> bool {
        let all = bytes.div_ceil(PAGE).saturating_mul(PAGE);
        let allowed = !self.small_pages && builtin < module && module <= all;
        if allowed {
            self.note(Name::LargestBlock);
        }
        allowed
    }

    /// `HugeAtOnce`: the same for a segment with SHM_HUGETLB.
    pub fn huge_at_once(&mut self, builtin: u64, module: u64, bytes: u64) -> bool {
        let allowed = builtin < module && module <= bytes.div_ceil(HUGE).saturating_mul(HUGE);
        if allowed {
            self.note(Name::HugeAtOnce);
        }
        allowed
    }

    /// `HugeAtOnce`: a get that the built-in grants as it takes the size for a negative one is not made.
    pub fn huge_size(&mut self, call: &Call) -> bool {
        let flags = libc::SHM_HUGETLB | libc::SHM_NORESERVE;
        let found = matches!(*call, Call::Get { size, flags: of, .. } if of & flags == flags && size > i64::MAX as u64 - HUGE);
        if found {
            self.note(Name::HugeAtOnce);
        }
        found
    }

    /// `LargestBlock`: a strict mbind depends on what is mapped, so it is not made.
    pub fn strict_bind(&mut self, call: &Call) -> bool {
        const MPOL_MF_STRICT: u32 = 1;
        let found = matches!(*call, Call::Bind { flags, .. } if flags & MPOL_MF_STRICT != 0 && !self.small_pages);
        if found {
            self.note(Name::LargestBlock);
        }
        found
    }

    /// `LastRemap`: by a process that has left its namespace, it is not made.
    pub fn last_remap(&mut self, call: &Call, at_home: bool) -> bool {
        let found = matches!(call, Call::RemapPages { .. }) && !at_home;
        if found {
            self.note(Name::LastRemap);
        }
        found
    }

    /// `HugeMapping`: a call on such an attach is not made: what it leaves behind would differ.
    pub fn huge_mapping(&mut self) -> bool {
        self.note(Name::HugeMapping);
        true
    }

    /// `HugeAtOnce`: whether two lines of smaps may be what they are for a segment with SHM_HUGETLB.
    pub fn huge_in_smaps(&mut self, builtin: &str, module: &str) -> bool {
        let words = |line: &str| -> Vec<String> {
            line.split_ascii_whitespace().map(str::to_string).collect()
        };
        let (mut left, right) = (words(builtin), words(module));
        let allowed = match left.first().map(String::as_str) {
            Some("KernelPageSize:" | "MMUPageSize:") => {
                left[1..] == ["2048", "kB"] && right[1..] == ["4", "kB"]
            }
            Some("VmFlags:") => {
                left.retain(|flag| flag != "ht" && flag != "de");
                left == right
            }
            _ => false,
        };
        if allowed {
            self.note(Name::HugeAtOnce);
        }
        allowed
    }

    /// `AlignedAttach`: whether the module may choose another address for an attach of `bytes`.
    pub fn aligned_attach(&mut self, module: u64, bytes: u64) -> bool {
        let allowed = bytes.div_ceil(PAGE).saturating_mul(PAGE) >= HUGE && module % HUGE == 0;
        if allowed {
            self.note(Name::AlignedAttach);
        }
        allowed
    }

    /// `DeviceNumber`: whether that of an attach may be another one.
    pub fn device_number(&mut self, name: &str) -> bool {
        let allowed = name.starts_with("/SYSV");
        if allowed {
            self.note(Name::DeviceNumber);
        }
        allowed
    }
}

/// The README's list.
pub fn list() -> String {
    const WIDTH: usize = 130;
    let mut text = String::new();
    let mut heading = "";
    for rule in RULES {
        if rule.heading != heading {
            if !heading.is_empty() {
                text.push('\n');
            }
            heading = rule.heading;
            text.push_str(heading);
            text.push('\n');
        }
        let mut line = String::from("-");
        for word in rule.text.split(' ') {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                text.push_str(&line);
                text.push('\n');
                line = String::from(" ");
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_rule() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(
                RULES[index + 1..]
                    .iter()
                    .all(|other| other.name != rule.name),
                "{:?}",
                rule.name
            );
        }
    }

    #[test]
    fn known_flags_are_no_exception() {
        let mut applied = Applied::default();
        let get = |flags| Call::Get {
            key: 0,
            size: 1,
            flags,
        };
        assert_eq!(applied.unknown_flags(&get(0o3777)), None);
        assert_eq!(
            applied.unknown_flags(&get((1 << 20) | 0o600)),
            Some(get(0o600))
        );
    }

    #[test]
    fn memory_may_be_more_but_no_more_than_there_is() {
        let mut applied = Applied::default();
        assert!(applied.largest_block(0, 8192, 5000));
        assert!(!applied.largest_block(0, 12288, 5000));
        assert!(!applied.largest_block(8192, 4096, 5000));
        applied.small_pages = true;
        assert!(!applied.largest_block(0, 8192, 5000));
    }

    #[test]
    fn lines_are_no_longer_than_the_readme_has_them() {
        assert!(list().lines().all(|line| line.chars().count() <= 130));
    }
}
