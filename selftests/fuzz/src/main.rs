// SPDX-License-Identifier: GPL-2.0

//! Runs programs of calls on `/dev/rust_shm` and on its mappings, by up to four threads each. Where the kernel has KCOV, programs that
//! reach something new in the module are kept, and changed further.
//!
//!     fuzz                          runs the corpus once, and says what came of it as TAP
//!     fuzz --seconds N              changes the programs of the corpus, for so long
//!     fuzz --replay FILE [--times N]     runs the programs of FILE, in each worker
//!         [--directory DIR]         there is `corpus`, which is read and written, and `run-N`: what worker N ran last
//!         [--places N]              how many there are in the module
//!         [--seed N]
//!
//! It takes root, and a guest: programs change settings of the machine.

mod calls;
mod child;
mod kcov;
mod machine;
mod program;
mod shared;
mod sys;
mod worker;

use machine::{Held, Log, Machine};
use program::Program;
use shared::{Shared, WORKERS};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use worker::{Job, Worker};

/// What can fail in this process and the workers, and ends the run.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const CORPUS: &str = include_str!("../corpus");
/// Between two lines that say how far it is, and two looks whether something is left over.
const PROGRESS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Options {
    seconds: Option<u64>,
    replay: Option<String>,
    times: Option<u64>,
    directory: Option<PathBuf>,
    places: Option<u64>,
    seed: Option<u64>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Fallible<Self> {
        let mut options = Self::default();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name}: of what value?"))?;
            let number = || value.parse().map(Some).map_err(|_| format!("{name} {value}: not a number"));
            match &name[..] {
                "--seconds" => options.seconds = number()?,
                "--replay" => options.replay = Some(value),
                "--times" => options.times = number()?,
                "--directory" => options.directory = Some(value.into()),
                "--places" => options.places = number()?,
                "--seed" => options.seed = number()?,
                _ => return Err(format!("{name}: there is no such option").into()),
            }
        }
        Ok(options)
    }

    fn is_test(&self) -> bool {
        self.seconds.is_none() && self.replay.is_none()
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--idle") {
        child::idle();
    }
    let result = Options::parse(std::env::args().skip(1)).and_then(|options| Run::new(options)?.run());
    match result {
        Ok(true) => {}
        Ok(false) => std::process::exit(1),
        Err(error) => {
            eprintln!("fuzz: {error}");
            std::process::exit(2);
        }
    }
}

struct Run {
    options: Options,
    job: Job,
    machine: Machine,
    log: Log,
    before: Held,
    start: Instant,
    pids: [i32; WORKERS],
    lives: u64,
    /// What went wrong.
    failed: Vec<String>,
}

impl Run {
    fn new(options: Options) -> Fallible<Self> {
        let mut programs = match &options.replay {
            Some(path) => Program::parse_all(&fs::read_to_string(path)?)?,
            None => Program::parse_all(CORPUS)?,
        };
        if let (Some(directory), None) = (&options.directory, &options.replay) {
            if let Ok(text) = fs::read_to_string(directory.join("corpus")) {
                programs.extend(Program::parse_all(&text)?);
            }
        }
        if programs.is_empty() {
            return Err("there are no programs".into());
        }
        if options.seconds.is_some() {
            // So that of two that reach the same, the shorter one is kept.
            programs.sort_by_key(|program| (program.steps.len(), program.repeat));
            programs.dedup();
        }
        // A namespace without a segment: what others have in ours is not looked at.
        if sys::call(libc::SYS_unshare, &[libc::CLONE_NEWIPC as u64]) < 0 {
            return Err("unshare: it takes root".into());
        }
        fs::metadata(rust_shm_abi::DEVICE).map_err(|error| format!("{}: {error}", rust_shm_abi::DEVICE))?;
        let corpus = PathBuf::from(format!("/tmp/fuzz-{}", std::process::id()));
        fs::write(&corpus, "")?;
        let machine = Machine::new();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let slow = std::env::var("RUST_SHM_SLOW").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let job = Job {
            shared: Shared::new()?,
            programs,
            times: if options.seconds.is_some() { None } else { Some(options.times.unwrap_or(1)) },
            workers: cpus.min(WORKERS),
            seed: options.seed.unwrap_or(1),
            limit: Duration::from_millis(1000 + 1000 * slow),
            patience: Duration::from_secs(60 * slow),
            directory: options.directory.clone(),
            corpus,
            swap: machine.swap(),
        };
        Ok(Self {
            options,
            job,
            machine,
            log: Log::new()?,
            before: Held::now(),
            start: Instant::now(),
            pids: [0; WORKERS],
            lives: 0,
            failed: Vec::new(),
        })
    }

    fn run(mut self) -> Fallible<bool> {
        if self.options.is_test() {
            println!("TAP version 13\n1..4");
        }
        for number in 0..self.job.workers {
            self.spawn(number, 0);
        }
        let (mut said, mut looked) = (Instant::now(), Instant::now());
        let end = self.options.seconds.map(Duration::from_secs);
        while self.workers() > 0 {
            std::thread::sleep(Duration::from_millis(200));
            self.look_at_log();
            if end.is_some_and(|end| self.start.elapsed() >= end) || !self.failed.is_empty() {
                self.job.shared.stop.store(1, Relaxed);
            }
            if said.elapsed() >= PROGRESS && !self.options.is_test() {
                said = Instant::now();
                self.progress();
                self.save()?;
            }
            if looked.elapsed() >= LOOK {
                self.look_for_rest();
                looked = Instant::now();
            }
        }
        let rest = self.is_let_go(0);
        self.look_at_log();
        let result = if self.options.is_test() { self.report(rest) } else { self.finish(rest)? };
        let _ = fs::remove_file(&self.job.corpus);
        for number in 0..self.job.workers {
            let _ = fs::remove_dir(format!("/sys/fs/cgroup/fuzz-{number}"));
        }
        drop(self.machine);
        Ok(result)
    }

    fn spawn(&mut self, number: usize, life: u64) {
        // SAFETY: This process has no other threads.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: Changes this process alone.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let result = Worker::new(&self.job, number, life).and_then(|mut worker| worker.work(number, life));
            let code = match result {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("fuzz: worker {number}: {error}");
                    3
                }
            };
            // SAFETY: What the parent has to put back, it puts back.
            unsafe { libc::_exit(code) };
        }
        self.pids[number] = pid;
    }

    /// How many are at work. One that was lost is followed by another.
    fn workers(&mut self) -> usize {
        for number in 0..self.job.workers {
            let mut status = 0;
            // SAFETY: A child of ours.
            if self.pids[number] <= 0 || unsafe { libc::waitpid(self.pids[number], &mut status, libc::WNOHANG) } <= 0 {
                continue;
            }
            self.pids[number] = 0;
            if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
                continue;
            }
            self.lives += 1;
            if libc::WIFEXITED(status) || self.lives > 100 {
                self.failed.push(format!("worker {number} ended with status {status:#x}"));
            } else {
                self.spawn(number, self.lives);
            }
        }
        self.pids.iter().filter(|pid| **pid > 0).count()
    }

    fn look_at_log(&mut self) {
        let complaints = self.log.complaints();
        self.failed.extend(complaints.into_iter().map(|text| format!("the kernel: {text}")));
    }

    fn is_let_go(&self, workers: usize) -> Result<(), String> {
        Held::is_again(self.before, workers, self.job.patience / 3)
    }

    /// Has the workers wait, and looks whether something is left over.
    fn look_for_rest(&mut self) {
        let shared = self.job.shared;
        shared.pause.store(1, Relaxed);
        let start = Instant::now();
        let waits = || shared.workers[..self.job.workers].iter().all(|worker| worker.paused.load(Relaxed) != 0);
        while !waits() && start.elapsed() < self.job.patience * 2 {
            std::thread::sleep(Duration::from_millis(20));
        }
        // A worker may have been lost meanwhile: there is a next time.
        if waits() {
            if let Err(error) = self.is_let_go(self.job.workers) {
                self.failed.push(format!("left over: {error}"));
            }
        }
        shared.pause.store(0, Relaxed);
    }

    fn progress(&self) {
        let shared = self.job.shared;
        let (seconds, programs) = (self.start.elapsed().as_secs(), shared.executions.load(Relaxed));
        let places = match (Worker::is_guided(), self.options.places) {
            (false, _) => "no KCOV".to_string(),
            (true, Some(all)) => format!("{} of {all} places", shared.covered.places.count()),
            (true, None) => format!("{} places", shared.covered.places.count()),
        };
        println!(
            "fuzz: {seconds} s: {programs} programs ({}/s), {} calls, {places}, {} pairs, corpus {}, {} too long, {} panicked, {} failures injected",
            programs / seconds.max(1),
            shared.calls(),
            shared.covered.pairs.count(),
            shared.entries.load(Relaxed),
            shared.timeouts.load(Relaxed),
            shared.panics.load(Relaxed),
            shared.injected.load(Relaxed),
        );
    }

    /// The corpus, once that of before has run; and the places reached, from the start of the module's code.
    fn save(&self) -> Fallible<()> {
        let shared = self.job.shared;
        let ready = shared.ready.load(Relaxed) as usize >= self.job.workers && Worker::is_guided() && self.job.times.is_none();
        let Some(directory) = self.options.directory.as_ref().filter(|_| ready) else {
            return Ok(());
        };
        let places: Vec<_> = shared.covered.places.list().iter().map(|place| format!("{place:#x}\n")).collect();
        fs::copy(&self.job.corpus, directory.join("corpus"))?;
        Ok(fs::write(directory.join("places"), places.concat())?)
    }

    /// The end of a run that is not a test.
    fn finish(&mut self, rest: Result<(), String>) -> Fallible<bool> {
        self.progress();
        self.save()?;
        if let Err(error) = rest {
            self.failed.push(format!("left over: {error}"));
        }
        let shared = self.job.shared;
        let never = |count: &[std::sync::atomic::AtomicU64]| -> Vec<&str> {
            let calls = calls::CALLS.iter().zip(count);
            calls.filter(|(_, count)| count.load(Relaxed) == 0).map(|(call, _)| call.name).collect()
        };
        println!("fuzz: time: {}", shared.times(calls::CALLS.iter().map(|call| call.name)));
        println!("fuzz: never succeeded: {}", never(&shared.succeeded).join(" "));
        for error in &self.failed {
            println!("fuzz: FAILED: {error}");
        }
        Ok(self.failed.is_empty())
    }

    fn report(&self, rest: Result<(), String>) -> bool {
        let shared = self.job.shared;
        let say = |number: usize, what: &str, errors: Vec<String>| {
            errors.iter().for_each(|error| println!("# {error}"));
            println!("{}ok {number} {what}", if errors.is_empty() { "" } else { "not " });
            errors.is_empty()
        };
        println!("# {} programs, {} calls", shared.executions.load(Relaxed), shared.calls());
        let count = |name| calls::by_name(name).map_or(0, |call| shared.succeeded[call].load(Relaxed));
        let each = [
            ["get", "attach_anywhere", "touch", "detach", "remove", "fork"],
            ["fd", "seal", "pwrite", "serve", "shmat", "shmdt"],
            ["restore", "restore_close", "shmget", "shmctl", "dup", "mmap"],
        ];
        let missing = each.into_iter().flatten().filter(|name| count(name) == 0);
        let missing = missing.map(|name| format!("no {name} has succeeded")).collect();
        let (kernel, mut own): (Vec<_>, Vec<_>) = self.failed.iter().cloned().partition(|error| error.starts_with("the kernel"));
        let (ran, all) = (shared.executions.load(Relaxed), self.job.programs.len() as u64 * self.job.times.unwrap_or(1));
        if ran < all {
            own.push(format!("{ran} of {all} programs ran"));
        }
        if shared.panics.load(Relaxed) > 0 {
            own.push("the fuzzer has panicked in a program".to_string());
        }
        let mut ok = say(1, "the programs of the corpus run", own);
        ok &= say(2, "the calls that they are for succeed", missing);
        ok &= say(3, "the kernel does not complain", kernel);
        ok & say(4, "nothing of them is left over", rest.err().into_iter().collect())
    }
}
