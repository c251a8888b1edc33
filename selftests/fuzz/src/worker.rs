// SPDX-License-Identifier: GPL-2.0

//! A worker: a process that runs one program after the other, each in a child, and keeps those that reach something new.

use crate::child::{self, Context};
use crate::kcov::{Kcov, Text};
use crate::machine::{self, Cgroup};
use crate::program::{Program, Rng, MAX_BATCH};
use crate::shared::{Coverage, Shared, ACTORS};
use crate::{sys, Fallible};
use rust_shm_abi as abi;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The programs that ran last are kept in a file, each in so many bytes, so that they outlive the kernel.
const RING: u64 = 32;
const RING_BYTES: usize = 1 << 16;

/// How often a program runs to be made shorter.
const MOST_TRIMS: usize = 60;

/// libc's is too narrow.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// What is the same for all workers of a run.
pub struct Job {
    pub shared: &'static Shared,
    pub programs: Vec<Program>,
    /// How often the programs run as they are; `None`: changed, for ever.
    pub times: Option<u64>,
    pub workers: usize,
    pub seed: u64,
    /// How long a program may take, and how long it may take to be killed.
    pub limit: Duration,
    pub patience: Duration,
    /// Where the last programs are kept.
    pub directory: Option<PathBuf>,
    /// All programs of the corpus, as they are found.
    pub corpus: PathBuf,
    pub swap: Option<CString>,
}

pub struct Worker<'a> {
    job: &'a Job,
    context: Context,
    cgroup: Option<Cgroup>,
    ring: Option<File>,
    count: u64,
    rng: Rng,
    programs: Vec<Program>,
    corpus: File,
    read: u64,
}

#[derive(Default)]
struct New {
    places: Vec<usize>,
    pairs: Vec<usize>,
}

impl New {
    fn is_in(&self, covered: &Coverage) -> bool {
        self.places.iter().all(|place| covered.places.has(*place)) && self.pairs.iter().all(|pair| covered.pairs.has(*pair))
    }

    fn is_empty(&self) -> bool {
        self.places.is_empty() && self.pairs.is_empty()
    }
}

impl<'a> Worker<'a> {
    pub fn new(job: &'a Job, number: usize, life: u64) -> Fallible<Self> {
        if let error @ ..0 = sys::call(libc::SYS_unshare, &[libc::CLONE_NEWIPC as u64]) {
            return Err(format!("unshare: errno {}", -error).into());
        }
        let namespace = sys::keep(sys::open(c"/proc/self/ns/ipc", libc::O_RDONLY));
        let mut kcov = Vec::new();
        if let Some(text) = Text::of_module() {
            for actor in 0..ACTORS {
                kcov.extend(Kcov::new(actor, text)?);
            }
        }
        let cgroup = Cgroup::new(&format!("fuzz-{number}"));
        let ring = job.directory.as_ref().map(|directory| File::create(directory.join(format!("run-{number}")))).transpose()?;
        Ok(Self {
            job,
            context: Context {
                shared: job.shared,
                me: &job.shared.workers[number],
                kcov,
                cgroup: cgroup.as_ref().map(Cgroup::files),
                swap: job.swap.clone(),
                namespace,
            },
            cgroup,
            ring,
            count: 0,
            rng: Rng::new(job.seed + number as u64 + life * 1000),
            programs: Vec::new(),
            corpus: OpenOptions::new().read(true).append(true).open(&job.corpus)?,
            read: 0,
        })
    }

    pub fn work(&mut self, number: usize, life: u64) -> Fallible<()> {
        // A worker that follows one that was lost does not begin anew.
        let given = if life == 0 { &self.job.programs[..] } else { &[] };
        for _ in 0..self.job.times.unwrap_or(1) {
            for (i, program) in given.iter().enumerate() {
                // To repeat what was found takes all of it, side by side.
                if self.job.times.unwrap_or(1) > 1 || i % self.job.workers == number {
                    self.try_program(program.clone(), false)?;
                }
                if self.stops() {
                    return Ok(());
                }
            }
        }
        self.job.shared.ready.fetch_add(1, Relaxed);
        while self.job.times.is_none() && !self.stops() {
            self.import()?;
            let mut program = self.draw();
            // To begin and end the processes of a program takes longer than its calls. So most of them run several, and the later ones
            // meet what the earlier ones have left.
            for _ in 1..self.rng.pick(&[1, 4, MAX_BATCH]) {
                let next = self.draw();
                program.append(next);
            }
            self.try_program(program, true)?;
        }
        self.clean();
        Ok(())
    }

    /// A program of the corpus, changed; or a new one.
    fn draw(&mut self) -> Program {
        let pool = if self.guided() { &self.programs } else { &self.job.programs };
        let mut program = if pool.is_empty() || self.rng.one_in(5) {
            Program::draw(&mut self.rng)
        } else {
            // The newer ones more often.
            let at = self.rng.below(pool.len()).max(self.rng.below(pool.len()));
            pool[at].clone()
        };
        let other = (!pool.is_empty()).then(|| &pool[self.rng.below(pool.len())]);
        program.mutate(other, &mut self.rng);
        program
    }

    /// Whether the kernel tells what programs reach.
    pub fn is_guided() -> bool {
        Path::new("/sys/kernel/debug/kcov").exists()
    }

    fn guided(&self) -> bool {
        !self.context.kcov.is_empty()
    }

    fn stops(&self) -> bool {
        if self.job.shared.pause.load(Relaxed) != 0 {
            self.clean();
            self.context.me.paused.store(1, Relaxed);
            while self.job.shared.pause.load(Relaxed) != 0 && self.job.shared.stop.load(Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.context.me.paused.store(0, Relaxed);
        }
        self.job.shared.stop.load(Relaxed) != 0
    }

    /// Runs it, and keeps it if it reaches something that nothing has reached; made as short as it can be with `trim`.
    fn try_program(&mut self, mut program: Program, trim: bool) -> Fallible<()> {
        let in_time = self.run(&program)?;
        let all = &self.job.shared.covered;
        let covered = &self.context.me.covered;
        let new = New { places: all.places.add(&covered.places), pairs: all.pairs.add(&covered.pairs) };
        if new.is_empty() || !in_time || self.job.times.is_some() {
            return Ok(());
        }
        let mut again = !trim || self.reaches(&program, &new)?;
        if again && trim {
            // Half of its steps, a quarter, ... at a time, as long as it is worth it.
            let mut runs = 0..MOST_TRIMS;
            let mut size = program.steps.len().next_power_of_two();
            while size > 1 {
                size /= 2;
                let mut end = program.steps.len();
                while end > 0 {
                    let start = end.saturating_sub(size);
                    let mut shorter = program.clone();
                    shorter.steps.drain(start..end);
                    if self.job.shared.stop.load(Relaxed) == 0 && runs.next().is_some() && self.reaches(&shorter, &new)? {
                        program = shorter;
                    }
                    end = start;
                }
            }
            if program.repeat > 1 {
                let once = Program { repeat: 1, ..program.clone() };
                if self.reaches(&once, &new)? {
                    program = once;
                }
            }
        } else if !again {
            // Only by chance. A place is worth it.
            again = !new.places.is_empty();
        }
        if again {
            let number = self.job.shared.entries.fetch_add(1, Relaxed);
            let (places, pairs) = (new.places.len(), new.pairs.len());
            let text = format!("# program {number} new: {places} places, {pairs} pairs\n{program}\n");
            self.corpus.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn reaches(&mut self, program: &Program, new: &New) -> Fallible<bool> {
        Ok(self.run(program)? && new.is_in(&self.context.me.covered))
    }

    /// Takes over what workers have found.
    fn import(&mut self) -> Fallible<()> {
        if self.programs.len() == self.job.shared.entries.load(Relaxed) as usize {
            return Ok(());
        }
        let mut text = String::new();
        self.corpus.seek(SeekFrom::Start(self.read))?;
        self.corpus.read_to_string(&mut text)?;
        // One may not be written to its end.
        let whole = text.rfind("\n\n").map_or(0, |end| end + 2);
        self.read += whole as u64;
        self.programs.extend(Program::parse_all(&text[..whole])?);
        Ok(())
    }

    /// Runs it. Returns whether it ended in time.
    fn run(&mut self, program: &Program) -> Fallible<bool> {
        let (shared, me) = (self.context.shared, self.context.me);
        let slots = me.ids.iter().chain(&me.addresses).chain(&me.files);
        slots.for_each(|slot| slot.store(0, Relaxed));
        me.files.iter().for_each(|file| file.store(-1, Relaxed));
        me.arrived.iter().chain([&me.gone]).for_each(|count| count.store(0, Relaxed));
        if me.limits_changed.swap(0, Relaxed) != 0 {
            self.cgroup.iter().for_each(Cgroup::reset);
        }
        if self.guided() {
            me.covered.places.clear();
            me.covered.pairs.clear();
        }
        if let Some(ring) = &self.ring {
            let mut text = format!("# program {}\n{program}", self.count).into_bytes();
            text.resize(RING_BYTES, b'\n');
            ring.write_all_at(&text, self.count % RING * RING_BYTES as u64)?;
        }
        self.count += 1;
        let mut pidfd = -1i32;
        let flags = (libc::CLONE_NEWIPC | libc::CLONE_NEWPID | libc::CLONE_PIDFD) as u64;
        let (into, cgroup) = match &self.cgroup {
            Some(cgroup) => (CLONE_INTO_CGROUP, cgroup.fd()),
            None => (0, 0),
        };
        // struct clone_args
        let args = [flags | into, &raw mut pidfd as u64, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, 0, 0, cgroup];
        let since = Instant::now();
        let child = sys::call(libc::SYS_clone3, &[args.as_ptr() as u64, size_of_val(&args) as u64]);
        if child == 0 {
            child::run(program, &self.context, since);
        }
        if child < 0 {
            return Err(format!("clone3: errno {}", -child).into());
        }
        shared.executions.fetch_add(1, Relaxed);
        let in_time = machine::ends(pidfd, self.job.limit);
        let ended = in_time || {
            shared.timeouts.fetch_add(1, Relaxed);
            sys::call(libc::SYS_kill, &[child as u64, libc::SIGKILL as u64]);
            machine::ends(pidfd, self.job.patience)
        };
        if !ended {
            machine::show_tasks();
            let count = self.count - 1;
            return Err(format!("program {count} cannot be killed: pid {child}").into());
        }
        // SAFETY: It has ended, and is ours.
        unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) };
        sys::close(pidfd.into());
        child::spend(&shared.ran, since);
        Ok(in_time)
    }

    /// Removes all segments of the namespace that outlives programs.
    fn clean(&self) {
        let device = sys::open(c"/dev/rust_shm", libc::O_RDWR) as u64;
        let ctl = |id: i64, cmd: u32| {
            let mut stat = abi::Stat::default();
            let arg_size = if cmd == abi::INFO { size_of::<abi::Usage>() } else { size_of::<abi::Stat>() } as u32;
            let arg = abi::Ctl { id: id as i32, cmd, arg: &raw mut stat as u64, arg_size, flags: 0 };
            sys::call(libc::SYS_ioctl, &[device, abi::IOC_CTL.into(), &raw const arg as u64])
        };
        for index in 0..=ctl(0, abi::INFO) {
            let id = ctl(index, abi::STAT_ANY);
            if id >= 0 {
                ctl(id, abi::IPC_RMID);
            }
        }
        sys::close(device as i64);
    }
}
