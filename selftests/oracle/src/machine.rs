// SPDX-License-Identifier: GPL-2.0

//! What the tester changes about the machine: swap, and a memory cgroup for each world.

use crate::sys;
use std::ffi::CString;
use std::fs;

const ZRAM: &str = "/sys/class/zram-control";
const CGROUPS: &str = "/sys/fs/cgroup";
/// How much can be swapped out, in bytes.
const SWAP_BYTES: u64 = 512 << 20;
const PAGE: usize = crate::layout::PAGE as usize;

fn write(path: &str, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}

/// Swap in compressed memory, until this is dropped.
pub struct Swap {
    number: String,
    device: CString,
}

impl Swap {
    pub fn on() -> Result<Self, String> {
        // Where it is built in, there is no such module.
        let _ = std::process::Command::new("modprobe").arg("zram").status();
        let number = fs::read_to_string(format!("{ZRAM}/hot_add"))
            .map_err(|error| format!("a new zram device: {error}"))?;
        let number = number.trim().to_string();
        let path = format!("/dev/zram{number}");
        write(
            &format!("/sys/block/zram{number}/disksize"),
            &SWAP_BYTES.to_string(),
        )?;
        // union swap_header: the version, the last page, and no bad ones.
        let mut header = vec![0u8; PAGE];
        let last = SWAP_BYTES / PAGE as u64 - 1;
        header[1024..1032].copy_from_slice(&(1 | (last << 32)).to_le_bytes());
        header[PAGE - 10..].copy_from_slice(b"SWAPSPACE2");
        fs::write(&path, header).map_err(|error| format!("{path}: {error}"))?;
        let device = CString::new(path).map_err(|error| error.to_string())?;
        sys::swap_on(&device).map_err(|error| format!("swapon: errno {error}"))?;
        Ok(Self { number, device })
    }

    /// Brings everything back into memory. Then it may go out again.
    pub fn again(&self) -> Result<(), i32> {
        sys::swap_off(&self.device)?;
        sys::swap_on(&self.device).map(|_| ())
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let _ = sys::swap_off(&self.device);
        let _ = fs::write(format!("/sys/block/zram{}/reset", self.number), "1");
        let _ = fs::write(format!("{ZRAM}/hot_remove"), &self.number);
    }
}

/// A file that says something else until this is dropped.
pub struct Changed {
    path: &'static str,
    before: String,
}

impl Changed {
    pub fn to(path: &'static str, text: &str) -> Result<Self, String> {
        let before = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        write(path, text)?;
        Ok(Self { path, before })
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let _ = fs::write(self.path, &self.before);
    }
}

/// How many pages went out to swap since the machine was started.
pub fn swapped_out() -> u64 {
    let counts = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = counts
        .lines()
        .find_map(|line| line.strip_prefix("pswpout "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// A memory cgroup, until this is dropped.
pub struct Group(String);

impl Group {
    pub fn new(name: &str) -> Result<Self, String> {
        let path = format!("{CGROUPS}/oracle-{name}-{}", std::process::id());
        write(&format!("{CGROUPS}/cgroup.subtree_control"), "+memory")?;
        fs::create_dir(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self(path))
    }

    /// The caller enters it.
    pub fn enter(&self) -> Result<(), String> {
        write(&format!("{}/cgroup.procs", self.0), "0")
    }

    /// From so many bytes on the kernel reclaims. `memory.max` would have it kill, and which process is its choice.
    pub fn squeeze(&self, high: Option<u64>) -> Result<(), String> {
        let high = high.map_or("max".to_string(), |bytes| bytes.to_string());
        write(&format!("{}/memory.high", self.0), &high)
    }

    /// The kernel reclaims so many bytes, or what it can.
    pub fn reclaim(&self, bytes: u64) {
        let _ = write(&format!("{}/memory.reclaim", self.0), &bytes.to_string());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
