// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rings between processes, which are killed too.

mod common;

use common::{sleeps, until, Child};
use rshm::{
    ring::{self, Consumer, Producer, Queue, RingError},
    Error, Memory, ReadWrite,
};
use std::{
    mem::forget,
    ops::Deref,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

const CAPACITY: u32 = 16;
/// Where tests have numbers of their own.
const NUMBERS: usize = 8192;

/// Three numbers, of which the third says whether they belong together.
type Item = [u64; 3];

fn item(number: u64) -> Item {
    [number, !number, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)]
}

fn memory() -> Box<dyn Deref<Target = Memory<ReadWrite>>> {
    assert!(ring::size::<Item>(CAPACITY) < NUMBERS);
    common::memory(3 * 4096)
}

fn producer(memory: &Memory<ReadWrite>) -> Producer<'_, Item> {
    Producer::join(memory, 0, CAPACITY).unwrap()
}

fn consumer(memory: &Memory<ReadWrite>) -> Consumer<'_, Item> {
    Consumer::join(memory, 0, CAPACITY).unwrap()
}

fn queue(memory: &Memory<ReadWrite>) -> Queue<'_, Item> {
    Queue::join(memory, 0, CAPACITY).unwrap()
}

fn numbers(memory: &Memory<ReadWrite>) -> &[AtomicU64] {
    memory.atomics(NUMBERS, 4).unwrap()
}

#[test]
fn all_comes_through_in_order() {
    const COUNT: u64 = 20_000;
    let memory = memory();
    let child = Child::new(|| {
        let mut producer = producer(&memory);
        (0..COUNT).for_each(|number| producer.push(item(number)).unwrap());
    });
    let mut consumer = consumer(&memory);
    for number in 0..COUNT {
        assert_eq!(consumer.pop(), Ok(item(number)));
    }
    assert_eq!(consumer.pop(), Err(RingError::Closed));
    child.join();
    // The next one opens it again.
    producer(&memory).try_push(item(1)).unwrap();
    assert_eq!(consumer.pop(), Ok(item(1)));
}

#[test]
fn a_producer_that_is_killed() {
    let memory = memory();
    let [progress, joined, ..] = numbers(&memory) else {
        unreachable!()
    };
    let mut consumer = consumer(&memory);
    let mut next = 0;
    for _ in 0..20 {
        let child = Child::new(|| {
            let mut producer = producer(&memory);
            joined.store(1, SeqCst);
            for number in progress.load(SeqCst).. {
                producer.push(item(number)).unwrap();
                progress.store(number + 1, SeqCst);
            }
        });
        // Until then it is the last one that there is news of.
        until(|| joined.swap(0, SeqCst) == 1);
        for _ in 0..50 {
            assert_eq!(consumer.pop(), Ok(item(next)));
            next += 1;
        }
        child.kill();
        // What it has put in, and then the news. One may be in that it has not noted.
        let result = loop {
            match consumer.pop() {
                Ok(read) => assert_eq!(read, item(next)),
                Err(error) => break error,
            }
            next += 1;
        };
        assert_eq!(result, RingError::PeerDied);
        assert!(next - progress.swap(next, SeqCst) <= 1);
    }
}

#[test]
fn who_waits_for_a_producer_is_told_of_its_death() {
    let memory = memory();
    let child = Child::new(|| {
        let mut producer = producer(&memory);
        producer.push(item(0)).unwrap();
        common::sleep_for_ever();
    });
    let mut consumer = consumer(&memory);
    assert_eq!(consumer.pop(), Ok(item(0)));
    let soon = Duration::from_millis(30);
    let start = Instant::now();
    assert_eq!(consumer.pop_for(soon), Err(RingError::Empty));
    assert!(start.elapsed() >= soon);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(soon);
            child.kill();
        });
        assert_eq!(consumer.pop(), Err(RingError::PeerDied));
    });
}

#[test]
fn a_consumer_that_is_killed() {
    let memory = memory();
    let joined = &numbers(&memory)[0];
    let child = Child::new(|| {
        let mut consumer = consumer(&memory);
        assert_eq!(consumer.pop(), Ok(item(0)));
        common::sleep_for_ever();
    });
    let mut producer = producer(&memory);
    (0..=u64::from(CAPACITY)).for_each(|number| producer.push(item(number)).unwrap());
    assert_eq!(producer.try_push(item(17)), Err(RingError::Full));
    assert_eq!(
        producer.push_for(item(17), Duration::from_millis(5)),
        Err(RingError::Full)
    );
    child.kill();
    assert_eq!(producer.push(item(17)), Err(RingError::PeerDied));
    // Another one goes on.
    let child = Child::new(|| {
        let mut consumer = consumer(&memory);
        joined.store(1, SeqCst);
        for number in 1..=17 {
            assert_eq!(consumer.pop(), Ok(item(number)));
        }
    });
    until(|| joined.load(SeqCst) == 1);
    producer.push(item(17)).unwrap();
    child.join();
    // It has left, as one does.
    (0..u64::from(CAPACITY)).for_each(|number| producer.push(item(number)).unwrap());
    assert_eq!(producer.push(item(0)), Err(RingError::Closed));
}

#[test]
fn one_at_each_end_and_all_of_one_mind() {
    let memory = memory();
    let first = producer(&memory);
    let child = Child::new(|| {
        let error = Producer::<Item>::join(&memory, 0, CAPACITY).unwrap_err();
        assert!(matches!(error, Error::EndTaken), "{error}");
        consumer(&memory);
    });
    child.join();
    drop(first);
    drop(producer(&memory));
    let other = |capacity| Consumer::<Item>::join(&memory, 0, capacity).unwrap_err();
    assert!(matches!(
        other(32),
        Error::OtherRing {
            other_capacity: CAPACITY,
            ..
        }
    ));
    assert!(matches!(other(24), Error::NoRing { capacity: 24, .. }));
    assert!(matches!(other(0), Error::NoRing { .. }));
    let error = Consumer::<u64>::join(&memory, 0, CAPACITY).unwrap_err();
    assert!(
        matches!(error, Error::OtherRing { other_item: 24, .. }),
        "{error}"
    );
    let error = Consumer::<Item>::join(&memory, 4096, 1 << 20).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    assert!(
        Consumer::<Item>::join(&memory, 4, CAPACITY).is_err(),
        "not aligned"
    );
}

/// Whatever others write there, nothing but the ring breaks.
#[test]
fn nonsense() {
    let memory = memory();
    drop((producer(&memory), consumer(&memory)));
    for offset in (8..256).step_by(4) {
        let before: u32 = memory.read_at(offset).unwrap();
        memory.write_at(offset, 0x7fff_fff0_u32).unwrap();
        if let Ok(mut producer) = Producer::<Item>::join(&memory, 0, CAPACITY) {
            let _ = producer.push_for(item(0), Duration::ZERO);
        }
        if let Ok(mut consumer) = Consumer::<Item>::join(&memory, 0, CAPACITY) {
            let _ = consumer.pop_for(Duration::ZERO);
        }
        memory.write_at(offset, before).unwrap();
    }
    memory.fill(0, NUMBERS, 0).unwrap();
    let mut consumer = consumer(&memory);
    memory.fill(8, 248, 0x22).unwrap();
    assert!(matches!(
        consumer.try_pop(),
        Ok(_) | Err(RingError::Empty | RingError::Corrupt)
    ));
}

#[test]
fn many_at_both_ends() {
    const EACH: u64 = 3000;
    let memory = memory();
    let [sum, count, ..] = numbers(&memory) else {
        unreachable!()
    };
    let producers: Vec<_> = (0..3)
        .map(|_| {
            Child::new(|| {
                let queue = queue(&memory);
                (0..EACH).for_each(|number| queue.push(item(number)).unwrap());
            })
        })
        .collect();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            Child::new(|| loop {
                match queue(&memory).pop() {
                    Ok(read) => {
                        assert_eq!(read, item(read[0]));
                        sum.fetch_add(read[0], SeqCst);
                        count.fetch_add(1, SeqCst);
                    }
                    Err(error) => break assert_eq!(error, RingError::Closed),
                }
            })
        })
        .collect();
    producers.into_iter().for_each(Child::join);
    queue(&memory).close();
    consumers.into_iter().for_each(Child::join);
    assert_eq!(queue(&memory).push(item(0)), Err(RingError::Closed));
    assert_eq!(count.load(SeqCst), 3 * EACH);
    assert_eq!(sum.load(SeqCst), 3 * EACH * (EACH - 1) / 2);
}

/// However many are killed, whenever: what comes out is whole, in each one's order, and the others
/// go on.
#[test]
fn a_queue_whose_users_are_killed() {
    let memory = memory();
    let progress = &numbers(&memory)[0];
    let queue = queue(&memory);
    let mut last = None;
    for round in 0..20 {
        let producer = Child::new(|| {
            for number in progress.load(SeqCst).. {
                queue.push(item(number)).unwrap();
                progress.store(number + 1, SeqCst);
            }
        });
        let consumer = Child::new(|| loop {
            queue.pop().unwrap();
        });
        std::thread::sleep(Duration::from_millis(5 + round));
        // With the mutex, or at any other place.
        consumer.kill();
        producer.kill();
        loop {
            match queue.pop_for(Duration::ZERO) {
                Ok(read) => {
                    assert_eq!(read, item(read[0]));
                    assert!(last < Some(read[0]));
                    last = Some(read[0]);
                }
                Err(error) => break assert_eq!(error, RingError::Empty),
            }
        }
        assert!(last.is_none_or(|last| last <= progress.load(SeqCst)));
        // One may be in that it has not noted.
        progress.fetch_add(1, SeqCst);
    }
    assert!(queue.is_empty());
}

/// Who has put something in, and dies before he says so.
#[test]
fn nobody_sleeps_on_what_there_is() {
    let memory = memory();
    let waiting = Child::new(|| {
        queue(&memory).pop().unwrap();
    });
    until(|| sleeps(&waiting));
    let child = Child::new(|| {
        // The queue's mutex, and its count of what was put in.
        let mutex: &rshm::sync::Mutex = memory.view(8).unwrap();
        let guard = mutex.lock();
        memory.atomic::<AtomicU32>(48).unwrap().fetch_add(1, SeqCst);
        forget(guard);
    });
    child.join();
    waiting.join();
}
