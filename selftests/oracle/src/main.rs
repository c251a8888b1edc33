// SPDX-License-Identifier: GPL-2.0

//! Draws random sequences of operations, runs each on the kernel's own System V shared memory and on `/dev/rust_shm`, and compares after
//! every step. Says what came of it as KTAP.
//!
//!     oracle [--seeds "1 2 3"] [--steps N] [--shrink SECONDS]     N steps for each seed
//!     oracle --with served ...       system calls on both sides: in namespaces that the module serves, and in others
//!     oracle --with built-in ...     the built-in on both sides: what differs then is a mistake of the tester
//!     oracle --rules     the differences that are on purpose, as Documentation/differences.md has them
//!
//! Odd seeds have small pages; of four one after the other, the second and the third have swap and memory cgroups. For two nodes of memory:
//! `make oracle APPEND=numa=fake=2`.
//!
//! It takes root. Where it is `qemu/guest` that runs it, the clock is moved on with each step, so that times are compared exactly, and is
//! set right in the end.

mod backend;
mod call;
mod compare;
mod layout;
mod machine;
mod op;
mod rules;
mod run;
mod strange;
mod sys;
mod worker;
mod world;

use call::Kind;
use machine::Changed;
use op::Op;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use run::{Failure, Run, Stage};
use std::cell::RefCell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How long a sequence may be, in operations.
const SEQUENCE: usize = 240;
/// How long shrinking may take, in seconds.
const SHRINK_SECONDS: u32 = 100;
/// How many steps there are between two lines that say how far it is.
const PROGRESS: u64 = 5000;

/// What pages the module uses.
const HUGE: &str = "/sys/module/rust_shm/parameters/huge";

/// How much a fault maps of what is in memory.
const FAULT_AROUND: &str = "/sys/kernel/debug/fault_around_bytes";

/// What the module tells root.
const DEBUGFS: &str = "/sys/kernel/debug/rust_shm";

/// Parameters of the module, with values that they take, and some that they do not.
const PARAMETERS: &[(&str, &[&str], &[&str])] = &[
    (
        "huge",
        &["always", "never", "within_size"],
        &["advise", "", "ALWAYS"],
    ),
    (
        "shmmax",
        &["1", "18446744073709551615", "18446744073692774399"],
        &["x", "-1", "18446744073709551616", ""],
    ),
    (
        "shmmni",
        &["0", "16777216", "4096"],
        &["16777217", "4096 1"],
    ),
    ("unprivileged_serve", &["0", "1"], &["2", ""]),
];

/// Each takes what it should, and says what it has taken. The last value is the one that it has otherwise.
fn parameters() -> Result<(), String> {
    let device_mode = std::fs::read_to_string("/sys/module/rust_shm/parameters/device_mode");
    if device_mode.ok().as_deref() != Some("0666\n") {
        return Err("device_mode is not 0666".to_string());
    }
    for (name, good, bad) in PARAMETERS {
        let path = format!("/sys/module/rust_shm/parameters/{name}");
        let now = || {
            std::fs::read_to_string(&path).map_or_else(|e| e.to_string(), |s| s.trim().to_string())
        };
        for value in *good {
            std::fs::write(&path, value).map_err(|error| format!("{name}={value}: {error}"))?;
            if now() != *value {
                return Err(format!("{name}={value}: it is {}", now()));
            }
        }
        let before = now();
        for value in *bad {
            // Nothing is written where there is nothing to write.
            let result = std::fs::write(&path, format!("{value}\n"));
            if result.is_ok() || now() != before {
                return Err(format!("{name}={value}: {result:?}, it is {}", now()));
            }
        }
    }
    Ok(())
}

struct Options {
    seeds: Vec<u64>,
    steps: u64,
    shrink_seconds: u32,
    /// What the built-in is compared with.
    with: Kind,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seeds: vec![1, 2, 3, 4],
            steps: 600,
            shrink_seconds: SHRINK_SECONDS,
            with: Kind::Module,
        };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or("an argument has no value")?;
            let number = |text: &str| text.parse().map_err(|_| format!("{text}: not a number"));
            match argument.as_str() {
                "--seeds" => {
                    options.seeds = value
                        .split([' ', ','])
                        .filter(|text| !text.is_empty())
                        .map(number)
                        .collect::<Result<_, _>>()?
                }
                "--steps" => options.steps = number(&value)?,
                "--with" => {
                    options.with = Kind::ALL
                        .into_iter()
                        .find(|kind| kind.name() == value)
                        .ok_or(format!("{value}: no such shared memory"))?
                }
                "--shrink" => options.shrink_seconds = number(&value)? as u32,
                _ => return Err(format!("{argument}: no such argument")),
            }
        }
        Ok(options)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("--worker") => worker::continue_after_exec(arguments.skip(1)),
        Some("--rules") => return print!("{}", rules::list()),
        _ => {}
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    if sys::same_layout() {
        let all: Vec<String> = std::env::args().skip(1).collect();
        let error = sys::exec_self(&all);
        eprintln!("exec: errno {error}");
        std::process::exit(2);
    }
    sys::unlimited_memlock();
    worker::prepare();
    std::process::exit(if test(&options) { 0 } else { 1 });
}

/// Runs the seeds; whether there was no difference.
fn test(options: &Options) -> bool {
    println!("KTAP version 1\n1..{}", options.seeds.len());
    let device = match sys::open(c"/dev/rust_shm", libc::O_RDWR) {
        Ok(device) => device as i32,
        Err(error) => {
            println!("Bail out! /dev/rust_shm: errno {error}");
            return false;
        }
    };
    if sys::shmctl(-1, libc::IPC_RMID, 0) == Err(libc::ENOSYS) {
        for (index, seed) in options.seeds.iter().enumerate() {
            println!("ok {} oracle seed {seed} # SKIP this kernel has no System V shared memory of its own", index + 1);
        }
        return true;
    }
    if !std::path::Path::new(DEBUGFS).exists() {
        let _ = sys::mount_debugfs();
    }
    if let Err(wrong) = parameters() {
        println!("Bail out! a parameter of the module: {wrong}");
        return false;
    }
    // Huge pages for the built-in.
    let pool = Changed::to("/proc/sys/vm/nr_hugepages", &run::POOL.to_string());
    // Only where nobody else lives by it.
    let own_clock = std::path::Path::new("/run/vm/env").exists();
    let (since, started) = (Instant::now(), seconds_now());
    let mut stage = Stage {
        device,
        with: options.with,
        swap: None,
        groups: None,
        clock: own_clock.then_some(started + compare::STEP_SECONDS),
        applied: rules::Applied::default(),
        steps: 0,
        lifted: 0,
        calls: Default::default(),
    };
    let swapped = machine::swapped_out();
    let mut good = true;
    for (index, seed) in options.seeds.iter().enumerate() {
        // With small pages `rss` is compared exactly. What is mapped too: the built-in maps nothing around a fault.
        let small = [(HUGE, "never"), (FAULT_AROUND, "4096")];
        let small = small.map(|(path, text)| (seed % 2 == 1).then(|| Changed::to(path, text)));
        if let Some(Err(error)) = small.iter().flatten().find(|changed| changed.is_err()) {
            println!("Bail out! {error}");
            return false;
        }
        stage.applied.small_pages = seed % 2 == 1;
        if let Err(error) = stage.swap(matches!(seed % 4, 2 | 3)) {
            println!("Bail out! swap: {error}");
            return false;
        }
        let before = (stage.steps, Instant::now());
        let found = seed_run(&mut stage, *seed, options);
        let result = if found { "not ok" } else { "ok" };
        let took = before.1.elapsed().as_secs_f64();
        println!(
            "{result} {} oracle seed {seed}: {} steps in {took:.1} s",
            index + 1,
            stage.steps - before.0
        );
        good &= !found;
    }
    drop(pool);
    let _ = stage.swap(false);
    if own_clock {
        let _ = sys::set_clock(started + since.elapsed().as_secs() as i64);
    }
    for (name, done) in &stage.calls {
        let (well, badly, time) = (done.well, done.badly, done.time.as_millis());
        println!("# {name}: {well} went well, {badly} did not, in {time} ms");
    }
    let swapped = machine::swapped_out() - swapped;
    println!(
        "# {swapped} pages were swapped out, {} limits lifted",
        stage.lifted
    );
    for rule in rules::RULES {
        match rule.seen {
            rules::Seen::Here => {
                let times = stage.applied.times.get(&rule.name).copied().unwrap_or(0);
                println!("# rule {:?}: {times} times", rule.name);
            }
            rules::Seen::No(reason) => {
                println!("# rule {:?} is not looked at: {reason}", rule.name)
            }
        }
    }
    good
}

fn seconds_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs() as i64)
}

/// Runs sequences until there were so many steps; whether a difference was found.
fn seed_run(stage: &mut Stage, seed: u64, options: &Options) -> bool {
    let steps = options.steps;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        max_shrink_time: options.shrink_seconds.saturating_mul(1000),
        max_shrink_iters: u32::MAX,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let sequences = proptest::collection::vec(op::op(stage.swap.is_some()), 1..=SEQUENCE);
    let start = stage.steps;
    let mut said = start;
    while stage.steps - start < steps {
        let left = (steps - (stage.steps - start)) as usize;
        let tree = match sequences.new_tree(&mut runner) {
            Ok(tree) => tree,
            Err(reason) => {
                println!("# drawing: {reason}");
                return true;
            }
        };
        let shared = RefCell::new((&mut *stage, Outcome::default()));
        let result = runner.run_one(tree, |mut ops: Vec<Op>| {
            ops.truncate(left);
            let (stage, failed) = &mut *shared.borrow_mut();
            if is_known(&failed.done, &ops) {
                return Err(TestCaseError::fail(DIFFER));
            }
            match sequence(stage, &ops) {
                Ok(Outcome { failure: None, .. }) => Ok(()),
                Ok(outcome) => {
                    if failed.failure.is_none() {
                        println!(
                            "# seed {seed}: they differ after {} steps",
                            stage.steps - start
                        );
                    }
                    *failed = outcome;
                    Err(TestCaseError::fail(DIFFER))
                }
                Err(error) => Err(TestCaseError::fail(error)),
            }
        });
        let (stage, failed) = shared.into_inner();
        match result {
            Ok(_) => {}
            Err(TestError::Fail(reason, _)) => {
                println!("# seed {seed}: {reason}");
                report(&failed);
                return true;
            }
            Err(TestError::Abort(reason)) => {
                println!("# seed {seed}: {reason}");
                return true;
            }
        }
        if stage.steps - said >= PROGRESS {
            said = stage.steps;
            println!("# seed {seed}: {} steps", stage.steps - start);
        }
    }
    false
}

const DIFFER: &str = "the two differ";

/// An operation that was done, up to a difference.
struct Done {
    op: String,
    /// It had no meaning then, and nothing was done.
    idle: bool,
}

/// What came of a sequence.
#[derive(Default)]
struct Outcome {
    failure: Option<Failure>,
    done: Vec<Done>,
    /// For a reader.
    trace: Vec<String>,
}

/// Whether a sequence begins with what has led to a difference before, or is that without what was idle in it. Then it need not be run
/// again, which makes shrinking much faster.
fn is_known(failed: &[Done], ops: &[Op]) -> bool {
    let mut ops = ops.iter().map(|op| format!("{op:?}")).peekable();
    !failed.is_empty()
        && failed
            .iter()
            .all(|done| ops.next_if(|op| *op == done.op).is_some() || done.idle)
}

/// Runs a sequence in new worlds.
fn sequence(stage: &mut Stage, ops: &[Op]) -> Result<Outcome, String> {
    let mut run = Run::new(stage)?;
    let mut outcome = Outcome::default();
    for op in ops {
        let result = run.step(op);
        outcome.done.push(Done {
            op: format!("{op:?}"),
            idle: matches!(result, Ok(false)),
        });
        if let Err(failure) = result {
            outcome.failure = Some(failure);
            break;
        }
    }
    if outcome.failure.is_none() {
        outcome.failure = run.contents().err();
    }
    outcome.trace = std::mem::take(&mut run.trace);
    Ok(outcome)
}

/// Shows the shortest sequence that has led to a difference.
fn report(failed: &Outcome) {
    println!("# the shortest sequence found:");
    for line in &failed.trace {
        println!("#   {line}");
    }
    for difference in failed
        .failure
        .iter()
        .flat_map(|failure| &failure.differences)
    {
        println!("# {}:", difference.what);
        println!("#   {}: {}", call::Kind::Builtin.name(), difference.builtin);
        println!("#   {}: {}", call::Kind::Module.name(), difference.module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use op::Action;

    #[test]
    fn what_is_known_is_not_run_again() {
        let op = |who| Op {
            who,
            action: Action::Spawn,
        };
        let done = |who, idle| Done {
            op: format!("{:?}", op(who)),
            idle,
        };
        let failed = [done(1, false), done(2, true), done(3, false)];
        assert!(is_known(&failed, &[op(1), op(2), op(3)]));
        assert!(is_known(&failed, &[op(1), op(3)]));
        assert!(is_known(&failed, &[op(1), op(2), op(3), op(4)]));
        assert!(!is_known(&failed, &[op(2), op(3)]));
        assert!(!is_known(&failed, &[op(1), op(2)]));
        assert!(!is_known(&[], &[op(1)]));
    }
}
