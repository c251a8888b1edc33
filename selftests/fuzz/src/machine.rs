// SPDX-License-Identifier: GPL-2.0

//! The machine: what a run changes of it and puts back, and how it shows that something is wrong.

use crate::calls::TUNABLES;
use crate::{sys, Fallible};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

const ZRAM: &str = "/sys/class/zram-control";
const SWAP_BYTES: u64 = 256 << 20;
/// What a program may take, in memory and in swap.
const CGROUP_BYTES: u64 = 160 << 20;
const CGROUP_SWAP_BYTES: u64 = 64 << 20;

/// Settings that a run makes for itself: no stack trace for each failure that it injects or each process that it kills.
const SETTINGS: &[(&CStr, &str)] = &[
    (c"/proc/sys/debug/exception-trace", "0"),
    (c"/proc/sys/vm/oom_dump_tasks", "0"),
    (c"/sys/kernel/debug/failslab/verbose", "0"),
    (c"/sys/kernel/debug/failslab/ignore-gfp-wait", "N"),
    (c"/sys/kernel/debug/fail_page_alloc/verbose", "0"),
    (c"/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N"),
    (c"/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N"),
    (c"/sys/kernel/debug/fail_page_alloc/min-order", "0"),
    (c"/sys/kernel/debug/fail_usercopy/verbose", "0"),
];

/// As it was before, once this is dropped.
pub struct Machine {
    saved: Vec<(&'static CStr, String)>,
    zram: Option<String>,
}

fn read(path: &CStr) -> Option<String> {
    let text = fs::read_to_string(path.to_str().ok()?).ok()?;
    // "[never] always": the one that holds.
    let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    Some(chosen.unwrap_or(text.trim()).to_string())
}

impl Machine {
    pub fn new() -> Self {
        let paths = TUNABLES.iter().map(|(path, _)| *path).chain(SETTINGS.iter().map(|(path, _)| *path));
        let saved = paths.filter_map(|path| Some((path, read(path)?))).collect();
        for (path, text) in SETTINGS {
            sys::write_file(path, text.as_bytes());
        }
        Self { saved, zram: zram() }
    }

    pub fn swap(&self) -> Option<CString> {
        CString::new(format!("/dev/zram{}", self.zram.as_ref()?)).ok()
    }
}

/// Swap in compressed memory, where that can be had. Returns the device's number.
fn zram() -> Option<String> {
    let _ = std::process::Command::new("modprobe").arg("zram").status();
    let number = fs::read_to_string(format!("{ZRAM}/hot_add")).ok()?.trim().to_string();
    fs::write(format!("/sys/block/zram{number}/disksize"), SWAP_BYTES.to_string()).ok()?;
    let path = format!("/dev/zram{number}");
    std::process::Command::new("mkswap").args(["-q", &path]).status().ok()?;
    let path = CString::new(path).ok()?;
    (sys::call(libc::SYS_swapon, &[path.as_ptr() as u64, 0]) == 0).then_some(number)
}

impl Drop for Machine {
    fn drop(&mut self) {
        for (path, text) in &self.saved {
            sys::write_file(path, text.as_bytes());
        }
        if let (Some(device), Some(number)) = (self.swap(), &self.zram) {
            sys::call(libc::SYS_swapoff, &[device.as_ptr() as u64]);
            let _ = fs::write(format!("/sys/block/zram{number}/reset"), "1");
            let _ = fs::write(format!("{ZRAM}/hot_remove"), number);
        }
    }
}

/// A memory cgroup for the programs of a worker.
pub struct Cgroup {
    path: String,
    fd: i32,
}

impl Cgroup {
    /// `None` where there are none.
    pub fn new(name: &str) -> Option<Self> {
        let path = format!("/sys/fs/cgroup/{name}");
        let _ = fs::create_dir(&path);
        fs::metadata(format!("{path}/memory.max")).ok()?;
        let fd = File::open(&path).ok()?.into_raw_fd();
        let cgroup = Self { path, fd };
        cgroup.reset();
        Some(cgroup)
    }

    pub fn fd(&self) -> u64 {
        self.fd as u64
    }

    /// What a program may write.
    pub fn files(&self) -> [CString; 4] {
        ["max", "high", "reclaim", "swap.max"].map(|name| CString::new(format!("{}/memory.{name}", self.path)).unwrap_or_default())
    }

    pub fn reset(&self) {
        let limits = [("max", CGROUP_BYTES), ("high", CGROUP_BYTES), ("swap.max", CGROUP_SWAP_BYTES)];
        for (name, bytes) in limits {
            let _ = fs::write(format!("{}/memory.{name}", self.path), bytes.to_string());
        }
    }
}

/// Waits until a process ends. Returns whether it did.
pub fn ends(pidfd: i32, limit: Duration) -> bool {
    let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: One structure, which is ours.
    unsafe { libc::poll(&mut poll, 1, limit.as_millis() as i32) == 1 }
}

/// Has the kernel say what its blocked tasks do.
pub fn show_tasks() {
    sys::write_file(c"/proc/sysrq-trigger", b"w");
}

/// What the module holds: references to it, namespaces, and shared memory in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    references: i64,
    namespaces: usize,
    shmem: i64,
}

impl Held {
    pub fn now() -> Self {
        let number = |text: String| text.trim().parse().unwrap_or(-1);
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let shmem = meminfo.lines().find_map(|line| line.strip_prefix("Shmem:")?.trim().strip_suffix(" kB"));
        let namespaces = fs::read_to_string("/sys/kernel/debug/rust_shm/namespaces").unwrap_or_default();
        Self {
            references: fs::read_to_string("/sys/module/rust_shm/refcnt").map_or(-1, number),
            namespaces: namespaces.lines().count(),
            shmem: shmem.map_or(-1, |text| number(text.to_string())) >> 10,
        }
    }

    /// Waits until it is `before` again, but for what workers keep; RCU and work items may take a while.
    pub fn is_again(before: Self, workers: usize, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let now = Self::now();
            if now.references == before.references && now.namespaces <= before.namespaces + workers && now.shmem <= before.shmem + 8 {
                return Ok(());
            }
            if start.elapsed() > patience {
                return Err(format!("{now:?}, and before {before:?}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The kernel's log, from now on.
pub struct Log {
    file: File,
    seen: HashSet<String>,
}

const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "Oops",
    "general protection",
    "Kernel panic",
    "deadlock",
    "lockdep",
    "stall",
    "blocked for more",
    "UBSAN",
    "KASAN",
    "new suspected memory leaks",
    "refcount_t",
    "list_add corruption",
    "list_del corruption",
    "scheduling while atomic",
    "sleeping function",
    "rust_kernel: panicked",
];

impl Log {
    pub fn new() -> Fallible<Self> {
        let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        // SAFETY: Moves to the end.
        unsafe { libc::lseek(std::os::fd::AsRawFd::as_raw_fd(&file), 0, libc::SEEK_END) };
        Ok(Self { file, seen: HashSet::new() })
    }

    /// What it has complained of since the last time.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&record[..bytes]);
                    let text = text.split_once(';').map_or(&*text, |(_, text)| text).trim();
                    // A line of a stack trace may have a function such as lockdep_hardirqs_on_prepare().
                    let is_frame = text.trim_start_matches("? ").split(' ').next().is_some_and(|word| word.contains("+0x"));
                    if !text.contains("BUG: KCSAN")
                        && !is_frame
                        && COMPLAINTS.iter().any(|complaint| text.contains(complaint))
                        && self.seen.insert(text.to_string())
                    {
                        found.push(text.to_string());
                    }
                }
                // Records that were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return found,
            }
        }
    }
}
