// SPDX-License-Identifier: GPL-2.0

//! KCOV: which places of the module's code a thread runs through.

use crate::shared::Coverage;
use crate::sys;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many places the kernel notes between two looks.
const WORDS: usize = 1 << 14;
const ADDRESS: usize = 0x2100_0000_0000;
const INIT_TRACE: u64 = 0x8008_6301;
const ENABLE: u64 = 0x6364;

/// Where the module's code is.
#[derive(Clone, Copy)]
pub struct Text {
    start: u64,
    bytes: u64,
}

impl Text {
    /// What the kernel tells root.
    pub fn of_module() -> Option<Self> {
        let modules = fs::read_to_string("/proc/modules").ok()?;
        let line = modules.lines().find(|line| line.starts_with("rust_shm "))?;
        let mut words = line.split(' ');
        let bytes = words.nth(1)?.parse().ok()?;
        let start = words.find_map(|word| word.strip_prefix("0x"))?;
        let start = u64::from_str_radix(start, 16).ok()?;
        (start != 0).then_some(Self { start, bytes })
    }
}

/// One thread's buffer. The worker makes it, and a thread of its child uses it.
#[derive(Clone, Copy)]
pub struct Kcov {
    fd: i64,
    area: &'static [AtomicU64],
    text: Text,
}

impl Kcov {
    /// `None` where the kernel has none.
    pub fn new(number: usize, text: Text) -> Result<Option<Self>, String> {
        let fd = sys::open(c"/sys/kernel/debug/kcov", libc::O_RDWR);
        if fd == -i64::from(libc::ENOENT) {
            return Ok(None);
        }
        let result = sys::call(libc::SYS_ioctl, &[fd as u64, INIT_TRACE, WORDS as u64]);
        if fd < 0 || result < 0 {
            return Err(format!("KCOV: errno {} {}", -fd, -result));
        }
        let fd = sys::keep(fd);
        let address = ADDRESS + number * WORDS * 16;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        sys::map(address, WORDS * 8, protection, flags, fd)?;
        // SAFETY: Mapped, and for good; the kernel writes to it, so they are atomics.
        let area = unsafe { std::slice::from_raw_parts(address as *const AtomicU64, WORDS) };
        Ok(Some(Self { fd, area, text }))
    }

    /// From here on, for the calling thread.
    pub fn enable(&self) {
        self.area[0].store(0, Relaxed);
        sys::call(libc::SYS_ioctl, &[self.fd as u64, ENABLE, 0]);
    }

    /// Adds what was noted since the last time.
    pub fn collect(&self, covered: &Coverage) {
        let noted = (self.area[0].load(Relaxed) as usize).min(WORDS - 1);
        let mut last = 0;
        for place in &self.area[1..=noted] {
            let place = place.load(Relaxed).wrapping_sub(self.text.start);
            if place >= self.text.bytes {
                continue;
            }
            covered.places.set(place as usize);
            covered.pairs.set(((last * 0x9e37) ^ place) as usize);
            last = place;
        }
        self.area[0].store(0, Relaxed);
    }
}
