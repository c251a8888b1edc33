// SPDX-License-Identifier: GPL-2.0

//! A program: calls of up to four threads, as text, and how one is drawn and changed.
//!
//!     # program 17        begins one; what follows the number is a comment
//!     repeat 2
//!     0 get id0 fd0 buf 0x0 0x3b0 0x200000      thread 0: result, then arguments
//!     sync                                      all wait here for each other
//!     1 touch at0+0x1000 0x1000 0x1 0x1000
//!
//! Threads 0 and 1 are those of one process, 2 and 3 of another. `id0`, `at0` and `fd0` are results of earlier calls of whatever thread;
//! `fd0` is the device, `buf` a buffer of the thread's own: two pages, a read-only page, and one that is not mapped.

use crate::calls::{self, Kind, CALLS};
use crate::shared::{ACTORS, BARRIERS, SLOTS};
use std::fmt;

/// Steps of a program that is drawn or changed at most, and of several that run as one; how often it runs; and barriers in a run.
const MAX_LENGTH: usize = 40;
pub const MAX_BATCH: usize = 16;
const MAX_STEPS: usize = MAX_BATCH * MAX_LENGTH;
const MAX_REPEAT: u64 = 8;
const MAX_SYNCS: usize = BARRIERS / MAX_REPEAT as usize;

/// xorshift64*
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 32) as usize) % limit
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    Number(u64),
    Id(u8),
    At(u8, u64),
    File(u8),
    Buffer(u64),
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Id(slot) => write!(f, "id{slot}"),
            Self::File(slot) => write!(f, "fd{slot}"),
            Self::At(slot, 0) => write!(f, "at{slot}"),
            Self::At(slot, offset) => write!(f, "at{slot}+{offset:#x}"),
            Self::Buffer(0) => write!(f, "buf"),
            Self::Buffer(offset) => write!(f, "buf+{offset:#x}"),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

impl Arg {
    fn parse(text: &str) -> Option<Self> {
        let slot = |text: &str| text.parse().ok().filter(|slot| usize::from(*slot) < SLOTS);
        let (base, offset) = match text.split_once('+') {
            Some((base, offset)) => (base, number(offset)?),
            None => (text, 0),
        };
        Some(if let Some(rest) = base.strip_prefix("id") {
            Self::Id(slot(rest)?)
        } else if let Some(rest) = base.strip_prefix("fd") {
            Self::File(slot(rest)?)
        } else if let Some(rest) = base.strip_prefix("at") {
            Self::At(slot(rest)?, offset)
        } else if base == "buf" {
            Self::Buffer(offset)
        } else {
            Self::Number(number(base)?)
        })
    }

    /// Another value near this one.
    fn tweak(self, rng: &mut Rng) -> Self {
        let by = |value: u64, rng: &mut Rng| match rng.below(6) {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            2 => value ^ (1 << rng.below(64)),
            3 => value.wrapping_add(0x1000),
            4 => value.wrapping_add(0x20_0000),
            _ => value ^ (1 << rng.below(16)),
        };
        match self {
            Self::Number(value) => Self::Number(by(value, rng)),
            Self::At(slot, offset) => Self::At(slot, by(offset, rng)),
            Self::Buffer(offset) => Self::Buffer(by(offset, rng)),
            Self::Id(_) => Self::Id(rng.below(SLOTS) as u8),
            Self::File(_) => Self::File(rng.below(SLOTS) as u8),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Sync,
    /// Who calls, the index in `CALLS`, and the arguments.
    Call(u8, usize, Vec<Arg>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub repeat: u64,
    pub steps: Vec<Step>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "repeat {}", self.repeat)?;
        for step in &self.steps {
            match step {
                Step::Sync => writeln!(f, "sync")?,
                Step::Call(actor, call, args) => {
                    write!(f, "{actor} {}", CALLS[*call].name)?;
                    for arg in args {
                        write!(f, " {arg}")?;
                    }
                    writeln!(f)?;
                }
            }
        }
        Ok(())
    }
}

impl Program {
    /// All programs of a text, in the order of their numbers.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut programs: Vec<(u64, Self)> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            let bad = || format!("line {}: {line}", i + 1);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                ["#", "program", count, ..] => programs.push((count.parse().map_err(|_| bad())?, Self { repeat: 1, steps: Vec::new() })),
                [first, ..] if first.starts_with('#') => {}
                [first, ref rest @ ..] => {
                    let program = &mut programs.last_mut().ok_or_else(bad)?.1;
                    match (first, rest) {
                        ("repeat", [count]) => {
                            program.repeat = count.parse().map_err(|_| bad())?;
                        }
                        ("sync", []) => program.steps.push(Step::Sync),
                        (actor, [name, args @ ..]) => {
                            let actor = actor.parse().map_err(|_| bad())?;
                            let call = calls::by_name(name).ok_or_else(bad)?;
                            let args: Option<Vec<_>> = args.iter().map(|text| Arg::parse(text)).collect();
                            let args = args.ok_or_else(bad)?;
                            if usize::from(actor) >= ACTORS || args.len() != CALLS[call].kinds.len() {
                                return Err(bad());
                            }
                            program.steps.push(Step::Call(actor, call, args));
                        }
                        _ => return Err(bad()),
                    }
                }
            }
        }
        programs.sort_by_key(|(count, _)| *count);
        let mut programs: Vec<_> = programs.into_iter().map(|(_, program)| program).collect();
        programs.iter_mut().for_each(|program| program.fit(MAX_STEPS));
        Ok(programs)
    }

    /// Keeps to the limits.
    fn fit(&mut self, steps: usize) {
        self.repeat = self.repeat.clamp(1, MAX_REPEAT);
        self.steps.truncate(steps);
        let mut syncs = 0;
        self.steps.retain(|step| {
            syncs += usize::from(*step == Step::Sync);
            *step != Step::Sync || syncs <= MAX_SYNCS
        });
    }

    /// Draws a new one: a beginning that makes segments and attaches them, then anything.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut steps = Vec::new();
        let actors = rng.pick(&[1, 2, 2, 3, 4]);
        for slot in 0..rng.below(3) {
            let (id, at) = (Arg::Id(slot as u8), Arg::At(slot as u8, 0));
            for (name, results) in [("get", &[id][..]), ("attach", &[at]), ("touch", &[at])] {
                let call = calls::by_name(name).unwrap_or(0);
                let mut args = draw_args(call, rng);
                args[..1].copy_from_slice(results);
                if name == "attach" {
                    args[3] = id;
                }
                steps.push(Step::Call(0, call, args));
            }
        }
        if rng.one_in(2) {
            steps.push(Step::Sync);
        }
        for _ in 0..rng.below(MAX_LENGTH - 12) + 2 {
            steps.push(draw_step(actors, rng));
        }
        let mut program = Self { repeat: rng.pick(&[1, 1, 1, 2, 4, MAX_REPEAT]), steps };
        program.fit(MAX_LENGTH);
        program
    }

    /// Changes it; `other` gives steps to take over.
    pub fn mutate(&mut self, other: Option<&Self>, rng: &mut Rng) {
        for _ in 0..rng.pick(&[1, 1, 2, 3, 6]) {
            let at = rng.below(self.steps.len() + 1);
            match rng.below(16) {
                0..=3 => self.steps.insert(at, draw_step(ACTORS, rng)),
                4 if at < self.steps.len() => {
                    self.steps.remove(at);
                }
                5 if at < self.steps.len() => self.steps.insert(at, self.steps[at].clone()),
                6 if at < self.steps.len() => {
                    let to = rng.below(self.steps.len());
                    self.steps.swap(at, to);
                }
                7 => self.repeat = rng.pick(&[1, 2, 4, MAX_REPEAT]),
                8 => {
                    if let Some(Step::Call(actor, ..)) = self.steps.get_mut(at) {
                        *actor = rng.below(ACTORS) as u8;
                    }
                }
                9 => {
                    if let Some(other) = other {
                        let from = rng.below(other.steps.len() + 1);
                        let taken = other.steps[from..].iter().take(rng.below(12) + 1).cloned();
                        self.steps.splice(at..at, taken);
                    }
                }
                10 => {
                    let call = calls::by_name("fail").unwrap_or(0);
                    if let Some(Step::Call(actor, ..)) = self.steps.get(at) {
                        let step = Step::Call(*actor, call, draw_args(call, rng));
                        self.steps.insert(at, step);
                    }
                }
                _ => {
                    if let Some(Step::Call(_, call, args)) = self.steps.get_mut(at) {
                        if args.is_empty() {
                            continue;
                        }
                        let i = rng.below(args.len());
                        args[i] = match rng.below(8) {
                            0..=4 => CALLS[*call].kinds[i].draw(rng),
                            5 | 6 => args[i].tweak(rng),
                            _ => Kind::Any.draw(rng),
                        };
                    }
                }
            }
        }
        self.fit(MAX_LENGTH);
    }

    /// Goes on with the steps of another, as often as of the one that runs more often.
    pub fn append(&mut self, other: Self) {
        self.repeat = self.repeat.max(other.repeat);
        self.steps.extend(other.steps);
        self.fit(MAX_STEPS);
    }

    pub fn calls(&self) -> impl Iterator<Item = (u8, usize, &[Arg])> {
        self.steps.iter().filter_map(|step| match step {
            Step::Call(actor, call, args) => Some((*actor, *call, &args[..])),
            Step::Sync => None,
        })
    }
}

fn draw_args(call: usize, rng: &mut Rng) -> Vec<Arg> {
    CALLS[call].kinds.iter().map(|kind| kind.draw(rng)).collect()
}

fn draw_step(actors: usize, rng: &mut Rng) -> Step {
    if rng.one_in(16) {
        return Step::Sync;
    }
    let call = calls::draw(rng);
    Step::Call(rng.below(actors) as u8, call, draw_args(call, rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_and_changed_can_be_read_again() {
        let mut rng = Rng::new(7);
        let mut text = String::new();
        let mut all = Vec::new();
        for i in 0..2000 {
            let mut program = Program::draw(&mut rng);
            program.mutate(all.last(), &mut rng);
            text += &format!("# program {i}\n{program}");
            all.push(program);
        }
        assert_eq!(Program::parse_all(&text), Ok(all));
    }

    #[test]
    fn every_call_is_drawn() {
        let mut rng = Rng::new(1);
        let mut seen = vec![0; CALLS.len()];
        for _ in 0..5000 {
            for (_, call, _) in Program::draw(&mut rng).calls() {
                seen[call] += 1;
            }
        }
        for (call, seen) in CALLS.iter().zip(seen) {
            assert!(seen > 0, "{}", call.name);
            assert_eq!(CALLS.iter().filter(|other| other.name == call.name).count(), 1);
        }
    }

    #[test]
    fn bad_text_says_where() {
        for bad in ["0 get", "# program x", "# program 1\n0 nothing", "# program 1\n9 munlockall"] {
            assert!(Program::parse_all(bad).is_err_and(|error| error.starts_with("line ")), "{bad}");
        }
    }

    #[test]
    fn the_corpus_can_be_read() {
        let programs = Program::parse_all(crate::CORPUS).unwrap();
        assert!(programs.len() >= 10);
        assert!(crate::CORPUS.len() < 300_000);
    }

    /// What a header or a description calls `RUST_SHM_...`, but for what is no number that a call takes.
    fn names(text: &str) -> std::collections::BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let none = ["DEVICE", "IOC_TYPE", "ABI_VERSION", "IPC_PRIVATE", "HUGE_SHIFT", "HUGE_MASK", "MODE_", "SERVE_", "FD_MAGIC"];
        words
            .filter(|word| word.strip_prefix("RUST_SHM_").is_some_and(|name| !none.contains(&name) && !name.starts_with("FEATURE_")))
            .collect()
    }

    #[test]
    fn the_description_for_syzkaller_has_what_the_header_has() {
        assert_eq!(names(include_str!("../rust_shm.txt")), names(include_str!("../../../include/uapi/rust_shm.h")));
    }
}
