// SPDX-License-Identifier: GPL-2.0

//! What the two worlds say, side by side.

use crate::call::{Observation, Payload, Stat};
use crate::layout::{HUGE, PAGE};
use crate::rules::Applied;
use crate::run::BEYOND;
use crate::sys::Answer;
use crate::world::Outcome;
use std::collections::HashSet;
use std::fmt::Debug;

/// What one says and the other does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    pub builtin: String,
    pub module: String,
}

/// How the times of a sequence are told apart.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The clock is ours: each step has seconds of its own, and times are numbers of steps.
    Own { start: i64 },
    /// A second may begin between the two worlds' calls.
    Foreign,
}

/// How many seconds a step has.
pub const STEP_SECONDS: i64 = 8;

/// A comparison of what a call has given.
pub struct Comparison<'a> {
    pub clock: Clock,
    /// The segments with SHM_HUGETLB: the IPC namespace, and the id in it.
    pub huge: &'a HashSet<(u32, i32)>,
    /// The IPC namespace that was looked at.
    pub namespace: u32,
    pub applied: &'a mut Applied,
    pub differences: Vec<Difference>,
}

impl Comparison<'_> {
    fn note(&mut self, what: &str, builtin: impl ToString, module: impl ToString) {
        self.differences.push(Difference {
            what: what.to_string(),
            builtin: builtin.to_string(),
            module: module.to_string(),
        });
    }

    fn same<T: PartialEq + Debug>(&mut self, what: &str, builtin: &T, module: &T) {
        if builtin != module {
            self.note(what, format!("{builtin:?}"), format!("{module:?}"));
        }
    }

    fn times(&mut self, what: &str, builtin: i64, module: i64) {
        match self.clock {
            Clock::Own { start } => {
                let step = |time: i64| {
                    if time == 0 {
                        None
                    } else {
                        Some((time - start).div_euclid(STEP_SECONDS))
                    }
                };
                self.same(what, &step(builtin), &step(module));
            }
            Clock::Foreign => {
                if (builtin == 0) != (module == 0) || builtin.abs_diff(module) > 1 {
                    self.note(what, builtin, module);
                }
            }
        }
    }

    /// The bytes in memory and the bytes swapped out, of a segment or of all that a namespace has.
    ///
    /// Both are compared exactly where pages are small and nothing but MADV_PAGEOUT reclaims: what that takes follows from the mappings,
    /// as a world's processes are on one processor, whose lists of new pages the call empties first. Where a folio may be larger, it goes as
    /// a whole or not at all; and what reclaim takes by itself is its choice, with pages of zeros that nobody wrote freed, not swapped out.
    fn memory(&mut self, what: &str, builtin: [u64; 2], module: [u64; 2], size: u64, huge: bool) {
        let [left, right] = [builtin, module].map(|[rss, swap]| rss.saturating_add(swap));
        // A huge page of a small segment, beyond its end: the built-in itself has more.
        let size = if left > size {
            left.saturating_add(BEYOND)
        } else {
            size
        };
        let allowed = builtin == module
            || huge && self.applied.huge_at_once(left, right, size)
            || self.applied.largest_block(left, right, size)
            || self.applied.reclaimed(left, right, size);
        if !allowed {
            self.note(
                &format!("{what}: rss, swap"),
                format!("{builtin:?}"),
                format!("{module:?}"),
            );
        }
    }

    /// What came of a call.
    pub fn outcomes(&mut self, what: &str, builtin: &Outcome, module: &Outcome) {
        let (Outcome::Reply(left), Outcome::Reply(right)) = (builtin, module) else {
            if builtin != module || *builtin == Outcome::Stuck {
                let short = |outcome: &Outcome| match outcome {
                    Outcome::Reply(reply) => describe(reply.answer),
                    other => format!("{other:?}"),
                };
                self.note(what, short(builtin), short(module));
            }
            return;
        };
        if left.answer != right.answer {
            self.note(what, describe(left.answer), describe(right.answer));
        }
        self.same(&format!("{what}: signals"), &left.signals, &right.signals);
        self.payloads(what, &left.payload, &right.payload);
        if let (Some(left), Some(right)) = (&left.maps, &right.maps) {
            self.maps(left, right);
        }
    }

    fn payloads(&mut self, what: &str, builtin: &Payload, module: &Payload) {
        match (builtin, module) {
            (Payload::Stat(left), Payload::Stat(right)) => self.stats(what, left, right),
            (Payload::Usage(left), Payload::Usage(right)) => self.usages(what, left, right),
            (Payload::Text(left), Payload::Text(right)) => self.tables(left, right),
            (Payload::Observation(left), Payload::Observation(right)) => {
                self.observations(left, right)
            }
            _ => self.same(what, builtin, module),
        }
    }

    fn stats(&mut self, what: &str, builtin: &Stat, module: &Stat) {
        self.times(&format!("{what}: atime"), builtin.atime, module.atime);
        self.times(&format!("{what}: dtime"), builtin.dtime, module.dtime);
        self.times(&format!("{what}: ctime"), builtin.ctime, module.ctime);
        let timeless = |stat: &Stat| Stat {
            atime: 0,
            dtime: 0,
            ctime: 0,
            ..stat.clone()
        };
        self.same(what, &timeless(builtin), &timeless(module));
    }

    fn usages(&mut self, what: &str, builtin: &[u64; 6], module: &[u64; 6]) {
        // A limit may be as large as the numbers are.
        let bytes = |pages: u64| pages.saturating_mul(PAGE);
        let huge = self
            .huge
            .iter()
            .filter(|(namespace, _)| *namespace == self.namespace)
            .count() as u64;
        let beyond = builtin[0].saturating_mul(BEYOND);
        let most = bytes(builtin[1])
            .saturating_add(huge * HUGE)
            .saturating_add(beyond);
        let [left, right] = [builtin, module].map(|usage| [bytes(usage[2]), bytes(usage[3])]);
        self.memory(what, left, right, most, huge > 0);
        let rest = |usage: &[u64; 6]| [usage[0], usage[1], usage[4], usage[5]];
        self.same(what, &rest(builtin), &rest(module));
    }

    /// `/proc/sysvipc/shm`.
    fn tables(&mut self, builtin: &str, module: &str) {
        let (left, right): (Vec<_>, Vec<_>) = (builtin.lines().collect(), module.lines().collect());
        if left.len() != right.len() || left.first() != right.first() {
            return self.note("table", builtin, module);
        }
        for (left, right) in left.iter().zip(&right).skip(1) {
            self.rows(left, right);
        }
    }

    fn rows(&mut self, builtin: &str, module: &str) {
        const COLUMNS: [&str; 16] = [
            "key", "shmid", "perms", "size", "cpid", "lpid", "nattch", "uid", "gid", "cuid",
            "cgid", "atime", "dtime", "ctime", "rss", "swap",
        ];
        let (left, right) = (cells(builtin), cells(module));
        if left.len() != COLUMNS.len() || right.len() != COLUMNS.len() {
            return self.note("table row", builtin, module);
        }
        let number = |cell: &(usize, &str)| cell.1.parse::<i64>().unwrap_or(-1);
        let size = number(&left[3]) as u64;
        let huge = self
            .huge
            .contains(&(self.namespace, number(&left[1]) as i32));
        for (column, (left, right)) in COLUMNS.iter().zip(left.iter().zip(&right)) {
            let what = format!(
                "table of {}: {column}",
                builtin.get(11..21).unwrap_or("?").trim()
            );
            match *column {
                // Where a number ends is what its width is; it says so for those that may differ too.
                _ if left.0 != right.0 => self.note(&what, builtin, module),
                "atime" | "dtime" | "ctime" => self.times(&what, number(left), number(right)),
                "rss" | "swap" => {}
                _ if left.1 != right.1 => self.note(&what, left.1, right.1),
                _ => {}
            }
        }
        let [left, right] =
            [&left, &right].map(|row| [14, 15].map(|column| number(&row[column]) as u64));
        let what = format!("table of {}", number(&cells(builtin)[1]));
        self.memory(&what, left, right, size.saturating_add(BEYOND), huge);
    }

    fn observations(&mut self, builtin: &Observation, module: &Observation) {
        self.tables(&builtin.table, &module.table);
        for (what, left, right) in [
            ("IPC_INFO", &builtin.limits, &module.limits),
            ("SHM_INFO", &builtin.usage, &module.usage),
        ] {
            self.same(what, &left.0, &right.0);
            self.payloads(what, &left.1, &right.1);
        }
        if builtin.stats.len() != module.stats.len() {
            self.note(
                "how many SHM_STAT_ANY finds",
                builtin.stats.len(),
                module.stats.len(),
            );
        }
        for (left, right) in builtin.stats.iter().zip(&module.stats) {
            let what = format!("SHM_STAT_ANY of {}", describe(left.0));
            self.same(&what, &left.0, &right.0);
            self.payloads(&what, &left.1, &right.1);
        }
    }

    /// `/proc/self/maps` and the rest that [`crate::worker`] keeps of smaps.
    fn maps(&mut self, builtin: &str, module: &str) {
        let (left, right): (Vec<_>, Vec<_>) = (builtin.lines().collect(), module.lines().collect());
        let mut same = left.len() == right.len();
        let mut huge = false;
        for (left, right) in left.iter().zip(&right) {
            if !left.starts_with(|first: char| first.is_ascii_uppercase()) {
                huge = self.is_huge(left);
            }
            same &= left == right
                || self.device_differs(left, right)
                || huge && self.applied.huge_in_smaps(left, right);
        }
        if !same {
            // Only what differs, for a reader.
            let only = |these: &[&str], those: &[&str]| {
                let mut kept: Vec<String> = Vec::new();
                for (index, line) in these.iter().enumerate() {
                    if those.get(index) != Some(line) {
                        kept.push(format!("\n#       {line}"));
                    }
                }
                kept.concat()
            };
            self.note("maps", only(&left, &right), only(&right, &left));
        }
    }

    /// Whether a line of maps is an attach of a segment with SHM_HUGETLB.
    fn is_huge(&self, line: &str) -> bool {
        let fields = fields(line);
        let is_attach = fields.get(5).is_some_and(|name| name.starts_with("/SYSV"));
        let id = fields.get(4).and_then(|inode| inode.parse().ok());
        // The process may have gone to another namespace since.
        is_attach && self.huge.iter().any(|(_, huge)| Some(*huge) == id)
    }

    /// Whether two lines of maps are the same but for a device number that may differ.
    fn device_differs(&mut self, builtin: &str, module: &str) -> bool {
        let (left, right) = (fields(builtin), fields(module));
        left.len() == right.len()
            && left.len() > 5
            && left
                .iter()
                .zip(&right)
                .enumerate()
                .all(|(index, (left, right))| index == 3 || left == right)
            && self.applied.device_number(left[5])
    }
}

fn fields(line: &str) -> Vec<&str> {
    line.split_ascii_whitespace().collect()
}

/// The cells of a line, and where each ends.
fn cells(line: &str) -> Vec<(usize, &str)> {
    let start = line.as_ptr() as usize;
    fields(line)
        .into_iter()
        .map(|cell| (cell.as_ptr() as usize - start + cell.len(), cell))
        .collect()
}

/// An answer as a person would say it.
pub fn describe(answer: Answer) -> String {
    match answer {
        Ok(value) if value > 0xffff_ffff => format!("{value:#x}"),
        Ok(value) => value.to_string(),
        Err(0) => "a signal".to_string(),
        Err(error) => {
            let text = std::io::Error::from_raw_os_error(error).to_string();
            format!("-1, {text}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(clock: Clock, compare: impl FnOnce(&mut Comparison<'_>)) -> Vec<String> {
        let mut applied = Applied::default();
        let mut comparison = Comparison {
            clock,
            huge: &HashSet::from([(0, 7)]),
            namespace: 0,
            applied: &mut applied,
            differences: Vec::new(),
        };
        compare(&mut comparison);
        comparison
            .differences
            .into_iter()
            .map(|difference| difference.what)
            .collect()
    }

    #[test]
    fn times_of_the_same_step_are_the_same() {
        let own = Clock::Own { start: 1000 };
        assert!(differences(own, |c| c.times("t", 1000, 1001)).is_empty());
        assert_eq!(differences(own, |c| c.times("t", 1000, 1008)), ["t"]);
        assert_eq!(differences(own, |c| c.times("t", 0, 1000)), ["t"]);
        assert!(differences(Clock::Foreign, |c| c.times("t", 5, 6)).is_empty());
        assert_eq!(differences(Clock::Foreign, |c| c.times("t", 0, 1)), ["t"]);
    }

    #[test]
    fn only_an_attach_may_have_another_device() {
        let line =
            |device: &str, name: &str| format!("1000-2000 rw-s 00000000 {device} 0 {name}\n");
        let maps = |name: &str| {
            differences(Clock::Foreign, |c| {
                c.maps(&line("00:01", name), &line("00:2a", name))
            })
        };
        assert!(maps("/SYSV00000000 (deleted)").is_empty());
        assert_eq!(maps("/dev/zero"), ["maps"]);
    }

    #[test]
    fn only_segments_of_huge_pages_may_have_other_page_sizes() {
        let maps = |id: u32, size: &str| {
            format!("1000-2000 rw-s 00000000 00:01 {id} /SYSV00000000 (deleted)\nKernelPageSize: {size} kB\n")
        };
        let of = |id| {
            differences(Clock::Foreign, |c| {
                c.maps(&maps(id, "2048"), &maps(id, "4"))
            })
        };
        assert!(of(7).is_empty());
        assert_eq!(of(8), ["maps"]);
    }

    #[test]
    fn a_cell_that_moved_is_a_difference() {
        let row = "         0          0   600                  4096     2     0      0     0     0     0     0          0          0          0                     0                     0";
        assert!(differences(Clock::Foreign, |c| c.rows(row, row)).is_empty());
        let moved = row.replacen("   600", "  0600", 1);
        assert_eq!(
            differences(Clock::Foreign, |c| c.rows(row, &moved)).len(),
            1
        );
        let wider = row.replacen("600 ", "600  ", 1);
        assert!(!differences(Clock::Foreign, |c| c.rows(row, &wider)).is_empty());
    }
}
