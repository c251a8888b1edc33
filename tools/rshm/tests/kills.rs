// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes that are killed anywhere in locking and unlocking: nobody waits for ever, the next one
//! is told just then when one had the lock, and what the lock guards is whole or known not to be.

mod common;

use common::{sleeps, until, Child};
use rshm::{
    sync::{LockResult, Mutex, RwLock},
    Memory, ReadWrite, Shared,
};
use std::{
    cell::Cell,
    mem::offset_of,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant, SystemTime},
};

/// What a lock guards: it is whole when all are the same.
type Numbers = [AtomicU64; 16];

#[derive(Shared)]
#[repr(C)]
struct Table {
    mutex: Mutex,
    lock: RwLock,
    guarded: Numbers,
    written: Numbers,
    /// How often somebody was told that an owner had died.
    told: AtomicU32,
    unused: AtomicU32,
}

fn table(memory: &Memory<ReadWrite>) -> &Table {
    memory.view(0).unwrap()
}

/// Numbers by chance (xorshift), which are told where a test fails.
struct Random(Cell<u64>);

impl Random {
    fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let seed =
            std::env::var("RSHM_SEED").map_or(now.as_nanos() as u64, |seed| seed.parse().unwrap());
        println!("RSHM_SEED={seed}");
        Self(Cell::new(seed | 1))
    }

    fn below(&self, end: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % end.max(1)
    }
}

impl Table {
    /// Takes what was locked: if the last one died with it, says so, and puts the numbers right.
    fn enter<G>(&self, result: LockResult<G>, numbers: &Numbers, mark: impl FnOnce(&mut G)) -> G {
        result.map_or_else(
            |died| {
                self.told.fetch_add(1, SeqCst);
                let mut guard = died.into_guard();
                let first = numbers[0].load(SeqCst);
                numbers
                    .iter()
                    .for_each(|number| number.store(first, SeqCst));
                mark(&mut guard);
                guard
            },
            |guard| {
                assert!(are_whole(numbers), "half done, and nobody was told");
                guard
            },
        )
    }

    fn mutex(&self) {
        let guard = self.enter(self.mutex.lock(), &self.guarded, |guard| {
            guard.mark_consistent()
        });
        count(&self.guarded);
        drop(guard);
    }

    fn impatient(&self) {
        if let Some(result) = self.mutex.lock_for(Duration::from_micros(50)) {
            let guard = self.enter(result, &self.guarded, |guard| guard.mark_consistent());
            count(&self.guarded);
            drop(guard);
        }
    }

    fn write(&self) {
        let guard = self.enter(self.lock.write(), &self.written, |guard| {
            guard.mark_consistent()
        });
        (0..20).for_each(|_| count(&self.written));
        drop(guard);
    }

    fn read(&self) {
        match self.lock.read() {
            Ok(_guard) => assert!(are_whole(&self.written), "half done, and nobody was told"),
            // Only a writer can put it right.
            Err(died) => drop(died),
        }
    }

    /// Nobody has a lock: what the dead had is free, and the numbers are put right.
    fn is_whole(&self) {
        let guard = self.mutex.try_lock().expect("somebody has the mutex");
        drop(self.enter(guard, &self.guarded, |guard| guard.mark_consistent()));
        let guard = self.lock.try_write().expect("somebody has the lock");
        drop(self.enter(guard, &self.written, |guard| guard.mark_consistent()));
    }
}

fn are_whole(numbers: &Numbers) -> bool {
    let first = numbers[0].load(SeqCst);
    numbers.iter().all(|number| number.load(SeqCst) == first)
}

fn count(numbers: &Numbers) {
    for number in numbers {
        number.store(number.load(SeqCst) + 1, SeqCst);
    }
}

/// A child that is about to call `run`, one instruction after the other.
fn stepped(memory: &Memory<ReadWrite>, run: fn(&Table)) -> Child {
    let table = table(memory);
    let child = Child::new(|| {
        // What is done only once is done.
        run(table);
        write_over_links(memory);
        // SAFETY: The parent goes on with it.
        unsafe {
            assert_eq!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0), 0);
            libc::raise(libc::SIGSTOP);
        }
        run(table);
        // SAFETY: As above.
        unsafe { libc::raise(libc::SIGSTOP) };
    });
    assert_eq!(child.stopped(), libc::SIGSTOP);
    child
}

/// Lets it do a number of instructions: `false` if `run` is over.
fn steps(child: &Child, count: u64) -> bool {
    (0..count).all(|_| {
        // SAFETY: It is our child, and it stands still.
        assert_eq!(
            unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child.pid(), 0, 0) },
            0
        );
        child.stopped() == libc::SIGTRAP
    })
}

/// Kills `run` after about so many of its instructions, or after each one where `RSHM_EACH` is set.
/// `has` says whether a process has what the next one is to be told of, and `next` is told.
fn at_any_instruction(
    rounds: u64,
    run: fn(&Table),
    has: impl Fn(&Memory<ReadWrite>, u32) -> bool,
    next: fn(&Table),
) {
    let memory = common::memory(size_of::<Table>());
    let (table, random) = (table(&memory), Random::new());
    let whole = stepped(&memory, run);
    let length = (0..).take_while(|_| steps(&whole, 1)).count() as u64;
    whole.kill();
    table.is_whole();
    let stride = match std::env::var_os("RSHM_EACH") {
        Some(_) => 1,
        None => length.div_ceil(rounds),
    };
    let ends = (random.below(stride)..length).step_by(stride as usize);
    // The next one comes only then; or it waits already, or has been there before.
    for (begin, end) in ends.flat_map(|end| [(end, end), (random.below(end + 1), end)]) {
        table.told.store(0, SeqCst);
        let child = stepped(&memory, run);
        // Either may be over sooner than alone.
        let goes_on = steps(&child, begin);
        let waiting = Child::new(|| next(table));
        until(|| sleeps(&waiting) || waiting.has_ended());
        let _ = goes_on && steps(&child, end - begin);
        let had = has(&memory, child.pid() as u32);
        child.kill();
        waiting.join();
        table.is_whole();
        let told = table.told.load(SeqCst);
        assert_eq!(
            told,
            had.into(),
            "{begin} to {end} of {length} instructions"
        );
    }
}

/// What is there of the last one is of no use to the next one.
fn write_over_links(memory: &Memory<ReadWrite>) {
    let lock = offset_of!(Table, lock) + RwLock::SIZE - RwLock::READERS * Mutex::SIZE;
    let mutexes = (0..RwLock::READERS).map(|index| lock + index * Mutex::SIZE);
    for mutex in mutexes.chain([offset_of!(Table, mutex)]) {
        memory.fill(mutex + 4, Mutex::SIZE - 4, 0x41).unwrap();
    }
}

fn owns(memory: &Memory<ReadWrite>, process: u32) -> bool {
    let word: u32 = memory.read_at(offset_of!(Table, mutex)).unwrap();
    word & 0x3fff_ffff == process
}

#[test]
fn anywhere_in_a_mutex() {
    at_any_instruction(100, Table::mutex, owns, Table::mutex);
}

#[test]
fn anywhere_in_a_mutex_for_a_time() {
    at_any_instruction(50, Table::impatient, owns, Table::mutex);
}

#[test]
fn anywhere_in_a_writer() {
    let writing = |memory: &Memory<ReadWrite>, _| {
        memory.read_at::<u32>(offset_of!(Table, lock)).unwrap() != 0
    };
    at_any_instruction(25, Table::write, writing, Table::write);
}

#[test]
fn anywhere_in_a_reader() {
    at_any_instruction(30, Table::read, |_, _| false, Table::write);
}

/// Several at once, and any of them.
#[test]
fn at_any_time() {
    const WORKERS: usize = 4;
    let memory = common::memory(size_of::<Table>());
    let (table, random) = (table(&memory), Random::new());
    let start = || -> Vec<_> {
        let work = |seed| {
            let random = Random(Cell::new(seed | 1));
            for _ in 0..30 {
                match random.below(4) {
                    0 => table.mutex(),
                    1 => table.impatient(),
                    2 => table.write(),
                    _ => table.read(),
                }
            }
        };
        (0..WORKERS)
            .map(|_| random.below(u64::MAX))
            .map(|seed| Child::new(|| work(seed)))
            .collect()
    };
    let before = Instant::now();
    start().into_iter().for_each(Child::join);
    let time = before.elapsed().as_micros() as u64;
    for _ in 0..150 {
        let mut workers = start();
        for _ in 0..1 + random.below(2) {
            std::thread::sleep(Duration::from_micros(random.below(time)));
            workers
                .swap_remove(random.below(workers.len() as u64) as usize)
                .kill();
        }
        workers.into_iter().for_each(Child::join);
        table.is_whole();
    }
}
