// SPDX-License-Identifier: GPL-2.0

//! The differences that are on purpose, each with its reason. The list in Documentation/differences.md is made from this file
//! (`oracle --rules`), and what is not in it is a failure: the comparison asks here before it lets a difference pass.

use crate::call::Call;
use crate::layout::{HUGE, PAGE};
use crate::op::{IPC_CREAT, IPC_EXCL};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    UnknownFlags,
    Apart,
    Security,
    Piecemeal,
    LargestBlock,
    FaultAround,
    AlignedAttach,
    HugeAtOnce,
    Late,
    DeviceNumber,
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
    /// Under which heading of Documentation/differences.md.
    pub heading: &'static str,
    /// What that page says of it.
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
        "Unknown flags of get, attach, detach and ctl are EINVAL, so that they can get a meaning later. `shmget` and `shmat` ignore them.",
    ),
    rule(
        Name::Apart,
        "Calls",
        Seen::No("the two worlds have an IPC namespace each"),
        "A module has no access to the kernel's own table. So `ipcs` and `/proc/sysvipc/shm` do not list the module's segments, and \
         `kernel.shmmax`, `shmall` and `shmmni` limit the built-in's and the module's segments separately.",
    ),
    rule(
        Name::Security,
        "Calls",
        Seen::No("the guest has no policy, and its audit log is not read"),
        "The `security_shm_*` hooks and audit's IPC records are not exported to modules, so they are not called. `security_mmap_file` \
         is called.",
    ),
    rule(
        Name::Piecemeal,
        "Calls",
        Seen::No("the workers have one thread each, and memory enough"),
        "Detach unmaps an attach piece by piece, as `do_munmap()` is not exported. Another thread that unmaps and maps in that range \
         may come between. If the kernel has no memory to unmap, detach fails with ENOMEM, where `shmdt` returns 0.",
    ),
    rule(
        Name::LargestBlock,
        "Memory",
        Seen::Here,
        "The first touch brings in the largest aligned block that fits into the segment, up to 2 MiB, if memory has it in one piece. \
         This takes more memory and less time. The block is swapped and moved as one (if it was only read, it is freed, and \
         `MADV_COLLAPSE` finds nothing to bring back), and lies on one NUMA node: where `mbind` gives its parts different nodes, the \
         policy of the first page holds for attaches on which `mbind` was not called. A block that root allocates beyond the end \
         (`/proc/PID/map_files`), or `huge=always` makes there, is mapped as a whole, as in tmpfs: where `mremap` has made a mapping \
         longer, a page of it that lies beyond the end is zeros, not SIGBUS. The parameter `huge` (`never`, `within_size`, \
         `always`, as tmpfs's mount option) decides for segments that get their file from then on: at the first attach, or at get \
         from 1 MiB on. Of `/sys/kernel/mm/transparent_hugepage/shmem_enabled`, `deny` and `force` hold. \
         With pages of 16 KiB or more, the first touch brings in one page.",
    ),
    rule(
        Name::FaultAround,
        "Memory",
        Seen::No("with small pages it is turned off, with larger ones more may be in memory and mapped anyway"),
        "A fault also maps what is in memory around it, as for files. This saves faults, and adds to the `RssShmem` of a process. \
         `MADV_PAGEOUT` leaves more pages in memory, as it passes over those that several processes have mapped.",
    ),
    rule(
        Name::AlignedAttach,
        "Memory",
        Seen::Here,
        "Where the kernel chooses the address, it attaches 2 MiB or more at a multiple of 2 MiB, so that a huge page is mapped as \
         one.",
    ),
    rule(
        Name::HugeAtOnce,
        "Memory",
        Seen::Here,
        "`SHM_HUGETLB` has one size, that of a PMD (2 MiB, or 32 MiB with pages of 16 KiB), and needs no pool (`vm.nr_hugepages`): get \
         allocates the pages, and `rss` counts them from then on. They are shmem's: `smaps` shows no `ht` and `de`; `mremap`, `madvise`, \
         `mlock` and `mbind` work as on other attaches, but are EINVAL where they would cut a page. Beyond 2^63 bytes get is ENOMEM. A kernel without `CONFIG_TRANSPARENT_HUGEPAGE`, \
         as one with `CONFIG_PREEMPT_RT`, has no such pages, and get is EINVAL.",
    ),
    rule(
        Name::Late,
        "Memory",
        Seen::No("neither memory nor files run out; selftests/commit.c looks at Committed_AS"),
        "Create is fast because it leaves work for later: the first attach makes inode and file (and may fail with ENOMEM or ENFILE), \
         and the small segments of a namespace commit memory together, in steps of up to 1 MiB. If the kernel has no memory for an \
         inode, get fails with ENOMEM, not ENOSPC.",
    ),
    rule(
        Name::DeviceNumber,
        "Memory",
        Seen::Here,
        "`/proc/PID/maps` shows the device number of the module's own mount; name and inode are those of the built-in. `stat(2)` of \
         `/proc/PID/map_files` tells that of ordinary shared memory, also with SHM_HUGETLB.",
    ),
    rule(
        Name::Orphans,
        "Life",
        Seen::No("after each step there is a call in every namespace; selftests/forced.c looks in between"),
        "With `kernel.shm_rmid_forced`, the segments of a creator that exits in another IPC namespace are removed by the next call in \
         their own: a probe notices the exit, and a probe may not sleep.",
    ),
    rule(
        Name::LastRemap,
        "Life",
        Seen::Here,
        "A segment keeps its file, so a file cannot keep the IPC namespace: `remap_file_pages` of the last attach from one that has ended \
         may be EINVAL.",
    ),
    rule(
        Name::Unload,
        "Life",
        Seen::No("the built-in is no module; selftests/unload.c looks at it"),
        "A segment needs the module's code: while one exists, attached or not, the module cannot be unloaded (EBUSY).",
    ),
];

const MPOL_MF_STRICT: u32 = 1;
const MPOL_MF_MOVE: u32 = 2;

/// What so many bytes are in pages of a size.
fn whole(bytes: u64, page: u64) -> u64 {
    bytes.div_ceil(page).saturating_mul(page)
}

/// The rules at work.
#[derive(Default)]
pub struct Applied {
    /// How often each was needed.
    pub times: BTreeMap<Name, usize>,
    /// The module was told to use small pages (`huge=never`): then `LargestBlock` is no excuse.
    pub small_pages: bool,
    /// The kernel was made to reclaim what it chooses.
    pub reclaim: bool,
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

    /// `LargestBlock`: whether a segment, or all of them, of `bytes` may have `module` bytes in memory or swapped out where the built-in
    /// has `builtin`.
    pub fn largest_block(&mut self, builtin: u64, module: u64, bytes: u64) -> bool {
        let allowed = !self.small_pages && builtin <= module && module <= whole(bytes, PAGE);
        if allowed {
            self.note(Name::LargestBlock);
        }
        allowed
    }

    /// The same after reclaim, on which the two need not agree: no rule, but no difference either.
    pub fn reclaimed(&self, builtin: u64, module: u64, bytes: u64) -> bool {
        self.reclaim && builtin.max(module) <= whole(bytes, PAGE)
    }

    /// `HugeAtOnce`: the same for a segment with SHM_HUGETLB.
    pub fn huge_at_once(&mut self, builtin: u64, module: u64, bytes: u64) -> bool {
        let allowed = builtin < module && module <= whole(bytes, HUGE);
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

    /// `LargestBlock`, or reclaim: a call that says which pages are mapped, and on which node, is not compared.
    pub fn says_what_is_mapped(&mut self, call: &Call) -> bool {
        let varies = self.reclaim || !self.small_pages;
        let found = match call {
            Call::Bind { flags, .. } => varies && flags & MPOL_MF_STRICT != 0,
            Call::MovePages { .. } => varies,
            // EINVAL where nothing is in memory or swap.
            Call::Advise { advice, .. } | Call::AdviseOther { advice, .. } => {
                self.reclaim && *advice == libc::MADV_COLLAPSE
            }
            _ => false,
        };
        if found && !self.small_pages {
            self.note(Name::LargestBlock);
        }
        found
    }

    /// `LargestBlock`: a touch beyond the end of a file that was made longer is not made, as the page may be part of a block.
    pub fn block_beyond_the_end(&mut self) -> bool {
        if !self.small_pages {
            self.note(Name::LargestBlock);
        }
        !self.small_pages
    }

    /// The same, where the call does nothing but fail by it: it is not made.
    pub fn strict_bind(&mut self, call: &Call) -> bool {
        let found = matches!(*call, Call::Bind { flags, .. } if flags & MPOL_MF_MOVE == 0);
        found && self.says_what_is_mapped(call)
    }

    /// `LastRemap`: by a process that has left its namespace, it is not made.
    pub fn last_remap(&mut self, call: &Call, at_home: bool) -> bool {
        let found = matches!(call, Call::RemapPages { .. }) && !at_home;
        if found {
            self.note(Name::LastRemap);
        }
        found
    }

    /// `HugeAtOnce`: a call on such an attach is not made: what it leaves behind would differ.
    pub fn huge_mapping(&mut self) -> bool {
        self.note(Name::HugeAtOnce);
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
        let allowed = whole(bytes, PAGE) >= HUGE && module % HUGE == 0;
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

/// The list in Documentation/differences.md.
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
            text.push_str(&format!("## {heading}\n\n"));
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
        assert!(applied.largest_block(8192, 8192, 5000));
        assert!(!applied.largest_block(0, 12288, 5000));
        assert!(!applied.largest_block(8192, 4096, 5000));
        applied.small_pages = true;
        assert!(!applied.largest_block(0, 8192, 5000));
        assert!(!applied.reclaimed(8192, 0, 5000));
        applied.reclaim = true;
        assert!(applied.reclaimed(8192, 0, 5000));
        assert!(!applied.reclaimed(0, 12288, 5000));
    }

    #[test]
    fn lines_are_no_longer_than_the_readme_has_them() {
        assert!(list().lines().all(|line| line.chars().count() <= 130));
    }
}
