// SPDX-License-Identifier: GPL-2.0

//! What all processes of a run share: counters, coverage, and for each worker what its program has got so far.
//!
//! It lies at an address of its own, far from where the kernel and the programs map anything. A program may still hit it by chance, so
//! nothing but counts and bits rests on it.

use crate::sys;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

const ADDRESS: usize = 0x2000_0000_0000;
pub const WORKERS: usize = 8;
/// Threads that a program may have: two in each of two processes.
pub const ACTORS: usize = 4;
/// Slots of a program for ids, addresses and open files.
pub const SLOTS: usize = 8;
/// Barriers in a run of a program.
pub const BARRIERS: usize = 512;
pub const MAX_CALLS: usize = 128;
const BITS: usize = 1 << 20;

/// A set of small numbers.
pub struct Bits([AtomicU64; BITS / 64]);

impl Bits {
    pub fn set(&self, bit: usize) {
        let bit = bit % BITS;
        let (word, mask) = (&self.0[bit / 64], 1 << (bit % 64));
        if word.load(Relaxed) & mask == 0 {
            word.fetch_or(mask, Relaxed);
        }
    }

    pub fn has(&self, bit: usize) -> bool {
        self.0[bit / 64].load(Relaxed) & (1 << (bit % 64)) != 0
    }

    pub fn clear(&self) {
        for word in &self.0 {
            if word.load(Relaxed) != 0 {
                word.store(0, Relaxed);
            }
        }
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.load(Relaxed).count_ones()).sum()
    }

    pub fn list(&self) -> Vec<usize> {
        (0..BITS).filter(|bit| self.has(*bit)).collect()
    }

    /// Adds all that is in `other`, and returns what was not here.
    pub fn add(&self, other: &Bits) -> Vec<usize> {
        let mut new = Vec::new();
        for (i, (ours, theirs)) in self.0.iter().zip(&other.0).enumerate() {
            let theirs = theirs.load(Relaxed);
            if theirs & !ours.load(Relaxed) != 0 {
                let fresh = theirs & !ours.fetch_or(theirs, Relaxed);
                new.extend((0..64).filter(|bit| fresh & (1 << bit) != 0).map(|bit| i * 64 + bit));
            }
        }
        new
    }
}

/// Code of the module that was reached: places, and pairs of places one after the other.
pub struct Coverage {
    pub places: Bits,
    pub pairs: Bits,
}

pub struct Worker {
    pub covered: Coverage,
    pub ids: [AtomicI64; SLOTS],
    pub addresses: [AtomicI64; SLOTS],
    pub files: [AtomicI64; SLOTS],
    pub threads: [AtomicU32; ACTORS],
    pub processes: [AtomicU32; 2],
    pub arrived: [AtomicU32; BARRIERS],
    /// Actors that have come to their end.
    pub gone: AtomicU32,
    /// Whether the program has changed the limits of its memory cgroup.
    pub limits_changed: AtomicU32,
    /// Whether the worker waits, as `Shared::pause` asks for.
    pub paused: AtomicU32,
}

pub struct Shared {
    pub stop: AtomicU32,
    pub pause: AtomicU32,
    /// Workers that have run the programs that were given.
    pub ready: AtomicU32,
    pub executions: AtomicU64,
    pub timeouts: AtomicU64,
    /// Processes of programs that have panicked.
    pub panics: AtomicU64,
    pub injected: AtomicU64,
    /// Calls that were made and that succeeded, by `calls::CALLS`.
    pub made: [AtomicU64; MAX_CALLS],
    pub succeeded: [AtomicU64; MAX_CALLS],
    /// What they took, in microseconds; and the same of what is no call.
    pub spent: [AtomicU64; MAX_CALLS],
    pub waited: AtomicU64,
    pub started: AtomicU64,
    pub ran: AtomicU64,
    /// Programs in the corpus.
    pub entries: AtomicU32,
    pub covered: Coverage,
    pub workers: [Worker; WORKERS],
}

impl Shared {
    pub fn new() -> Result<&'static Self, String> {
        sys::map_shared(ADDRESS, size_of::<Self>())?;
        // All of it is there from now on: it does not count as left over.
        sys::call(libc::SYS_madvise, &[ADDRESS as u64, size_of::<Self>() as u64, libc::MADV_POPULATE_WRITE as u64]);
        // SAFETY: It was just mapped, stays so, is full of zeros, and all of it is atomics.
        Ok(unsafe { &*(ADDRESS as *const Self) })
    }

    /// Where the time goes: the most first, as shares of what all programs took. Calls of several threads go on at the same time.
    pub fn times(&self, names: impl Iterator<Item = &'static str>) -> String {
        let others = [("(start of a program)", &self.started), ("(sync)", &self.waited)];
        let mut all: Vec<_> = names.zip(&self.spent).chain(others).map(|(name, spent)| (spent.load(Relaxed), name)).collect();
        all.sort_by(|a, b| b.cmp(a));
        let ran = self.ran.load(Relaxed).max(1);
        let shares = all.iter().take(12).map(|(spent, name)| format!("{name} {}%", spent * 100 / ran));
        shares.collect::<Vec<_>>().join(", ")
    }

    pub fn calls(&self) -> u64 {
        self.made.iter().map(|made| made.load(Relaxed)).sum()
    }
}
