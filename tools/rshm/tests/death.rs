// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes that are killed in the middle: what the others see of it.

mod common;

use common::{sleep_for_ever, sleeps, until, Child};
use rshm::{
    sync::{Condvar, Mutex, RwLock, Semaphore},
    Memory, ReadWrite, Shared,
};
use std::{
    io,
    mem::{forget, MaybeUninit},
    ops::Deref,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

#[derive(Shared)]
#[repr(C)]
struct Table {
    mutexes: [Mutex; 4],
    lock: RwLock,
    changed: Condvar,
    steps: AtomicU32,
    permits: Semaphore,
    unused: AtomicU32,
    data: [AtomicU64; 2],
}

fn memory() -> Box<dyn Deref<Target = Memory<ReadWrite>>> {
    common::memory(size_of::<Table>())
}

fn table(memory: &Memory<ReadWrite>) -> &Table {
    memory.view(0).unwrap()
}

#[test]
fn the_next_is_told_and_has_the_mutex() {
    let memory = memory();
    let table = table(&memory);
    let mutex = &table.mutexes[0];
    let owner = Child::new(|| {
        let _guard = mutex.lock().unwrap();
        table.data[0].store(1, SeqCst);
        table.steps.store(1, SeqCst);
        sleep_for_ever();
    });
    until(|| table.steps.load(SeqCst) == 1);
    assert!(mutex.is_locked());
    assert!(mutex.try_lock().is_none());
    // One waits already when it happens.
    let waiting = Child::new(|| {
        table.steps.store(2, SeqCst);
        let mut guard = mutex.lock().unwrap_err().into_guard();
        table.data[1].store(table.data[0].load(SeqCst), SeqCst);
        guard.mark_consistent();
    });
    until(|| table.steps.load(SeqCst) == 2 && sleeps(&waiting));
    owner.kill();
    waiting.join();
    assert_eq!(table.data[1].load(SeqCst), 1);
    drop(mutex.lock().unwrap());
}

#[test]
fn each_is_told_until_somebody_says_that_all_is_well() {
    let memory = memory();
    let table = table(&memory);
    let mutex = &table.mutexes[0];
    Child::new(|| forget(mutex.lock())).join();
    for _ in 0..2 {
        let died = mutex.try_lock().unwrap().unwrap_err();
        assert!(mutex.is_locked());
        assert_eq!(rshm::Error::from(died).errno(), Some(libc::EOWNERDEAD));
    }
    let died = mutex.lock_for(Duration::ZERO).unwrap().unwrap_err();
    died.into_guard().mark_consistent();
    drop(mutex.lock().unwrap());
}

/// What has been unlocked is not taken for what the dead one had, in whichever order it was.
#[test]
fn what_it_had_and_no_more() {
    let memory = memory();
    let table = table(&memory);
    for free in 0..4 {
        let owner = Child::new(|| {
            let mut guards: Vec<_> = table
                .mutexes
                .iter()
                .map(|mutex| mutex.lock().unwrap())
                .collect();
            drop(guards.remove(free));
            table.steps.store(1, SeqCst);
            sleep_for_ever();
        });
        until(|| table.steps.swap(0, SeqCst) == 1);
        owner.kill();
        for (index, mutex) in table.mutexes.iter().enumerate() {
            match mutex.try_lock().unwrap() {
                Ok(_) => assert_eq!(index, free),
                Err(died) => {
                    assert_ne!(index, free);
                    died.into_guard().mark_consistent();
                }
            }
        }
    }
}

/// The kernel looks at so many: it finds all of them, and nobody gets one that it would not find.
#[test]
fn no_more_than_the_kernel_finds() {
    #[derive(Shared)]
    #[repr(C)]
    struct Many([Mutex; 2049]);
    let memory = common::memory(size_of::<Many>());
    let Many(mutexes) = memory.view(0).unwrap();
    Child::new(|| {
        let (last, others) = mutexes.split_last().unwrap();
        for mutex in others {
            forget(mutex.lock().unwrap());
        }
        let refused = std::panic::catch_unwind(|| last.try_lock().is_some());
        assert!(refused.is_err());
    })
    .join();
    let (last, others) = mutexes.split_last().unwrap();
    assert!(last.lock().is_ok());
    assert!(others.iter().all(|mutex| mutex.lock().is_err()));
}

/// A mutex of the C library's, which is in the list too.
struct Foreign(*mut libc::pthread_mutex_t);

impl Foreign {
    fn new(memory: &Memory<ReadWrite>, offset: usize) -> Self {
        let mutex: *mut libc::pthread_mutex_t = memory.as_mut_ptr().wrapping_add(offset).cast();
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: This is memory for a mutex, and for its attributes.
        unsafe {
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            let attributes = attributes.assume_init_mut();
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST);
            assert_eq!(libc::pthread_mutex_init(mutex, attributes), 0);
        }
        Self(mutex)
    }

    fn lock(&self) {
        // SAFETY: It is a mutex.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0) }, 0);
    }

    fn try_lock(&self) -> i32 {
        // SAFETY: It is a mutex.
        unsafe { libc::pthread_mutex_trylock(self.0) }
    }

    fn unlock(&self) {
        // SAFETY: It is a mutex.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0) }, 0);
    }
}

#[test]
fn beside_robust_mutexes_of_the_c_library() {
    let memory = memory();
    let table = table(&memory);
    let other = common::memory(4096);
    let foreign: Vec<_> = (0..4)
        .map(|index| Foreign::new(&other, index * 64))
        .collect();
    let owner = Child::new(|| {
        foreign[0].lock();
        let first = table.mutexes[0].lock();
        foreign[1].lock();
        let _second = table.mutexes[1].lock();
        foreign[2].lock();
        let third = table.mutexes[2].lock();
        foreign[3].lock();
        foreign[1].unlock();
        drop(first);
        foreign[3].unlock();
        foreign[0].unlock();
        drop(third);
        table.steps.store(1, SeqCst);
        sleep_for_ever();
    });
    until(|| table.steps.load(SeqCst) == 1);
    owner.kill();
    let died: Vec<_> = table
        .mutexes
        .iter()
        .map(|mutex| mutex.lock().is_err())
        .collect();
    assert_eq!(died, [false, true, false, false]);
    let died: Vec<_> = foreign.iter().map(Foreign::try_lock).collect();
    assert_eq!(died, [0, 0, libc::EOWNERDEAD, 0]);
}

#[test]
fn a_child_has_not_what_its_parent_has() {
    let memory = memory();
    let table = table(&memory);
    let [first, second, ..] = &table.mutexes;
    let guard = first.lock().unwrap();
    let child = Child::new(|| {
        // SAFETY: This is the child's copy.
        drop(unsafe { std::ptr::read(&guard) });
        assert!(first.try_lock().is_none());
        // It is another thread than its parent's, and the kernel knows it by its own number.
        forget(second.lock());
    });
    child.join();
    assert!(first.is_locked());
    assert!(second.lock().is_err());
}

#[test]
fn a_thread_that_ends_with_a_forgotten_guard() {
    let memory = memory();
    let mutex = &table(&memory).mutexes[0];
    std::thread::scope(|scope| {
        scope.spawn(|| forget(mutex.lock().unwrap()));
    });
    until(|| !mutex.is_locked());
    assert!(mutex.lock().is_err());
}

/// The kernel's list of this thread leads to the mutex. If that were unmapped, the next one that is
/// locked would be linked to something else.
#[test]
fn memory_of_a_forgotten_guard_stays() {
    let memory = memory();
    forget(table(&memory).mutexes[0].lock().unwrap());
    let (start, length) = (memory.as_mut_ptr(), memory.len());
    drop(memory);
    // SAFETY: This changes nothing.
    let result = unsafe { libc::madvise(start.cast(), length, libc::MADV_NORMAL) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let memory = self::memory();
    drop(table(&memory).mutexes[0].lock().unwrap());
}

/// Another process may write anything to where the links are: nothing here follows them.
#[test]
fn nonsense_in_the_links() {
    let memory = memory();
    let table = table(&memory);
    let guards: Vec<_> = table.mutexes.iter().map(Mutex::lock).collect();
    for index in 0..4 {
        memory
            .fill(index * Mutex::SIZE + 4, Mutex::SIZE - 4, 0x41)
            .unwrap();
    }
    drop(guards);
    Child::new(|| forget(table.mutexes[1].lock())).join();
    assert!(table.mutexes[1].lock().is_err());
    for mutex in [0, 2, 3].map(|index| &table.mutexes[index]) {
        drop(mutex.lock().unwrap());
    }
}

#[test]
fn who_waits_for_a_change_is_told() {
    let memory = memory();
    let table = table(&memory);
    let mutex = &table.mutexes[0];
    let guard = mutex.lock().unwrap();
    let other = Child::new(|| {
        let _guard = mutex.lock().unwrap();
        table.steps.store(1, SeqCst);
        table.changed.notify_all();
        sleep_for_ever();
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Whoever waits has the mutex again only when the other one is dead.
            until(|| table.steps.load(SeqCst) == 1);
            std::thread::sleep(Duration::from_millis(20));
            other.kill();
        });
        assert!(table.changed.wait(guard).is_err());
    });
}

#[test]
fn a_reader_leaves_nothing_behind_and_a_writer_is_told_of() {
    let memory = memory();
    let table = table(&memory);
    let hold = |write: bool| {
        let child = Child::new(|| {
            let _read = (!write).then(|| table.lock.read().unwrap());
            let _write = write.then(|| table.lock.write().unwrap());
            table.steps.store(1, SeqCst);
            sleep_for_ever();
        });
        until(|| table.steps.swap(0, SeqCst) == 1);
        assert!(table.lock.try_write().is_none());
        child
    };
    hold(false).kill();
    drop(table.lock.write().unwrap());
    drop(table.lock.read().unwrap());

    // Somebody waits when it happens.
    let writer = hold(true);
    let waiting = Child::new(|| {
        table.steps.store(1, SeqCst);
        assert!(table.lock.read().is_err());
    });
    until(|| table.steps.load(SeqCst) == 1 && sleeps(&waiting));
    writer.kill();
    waiting.join();
    // Who cannot put it right leaves it so.
    assert!(table.lock.read().is_err());
    assert!(table.lock.write().is_err());
    let mut guard = table.lock.write().unwrap_err().into_guard();
    guard.mark_consistent();
    drop(guard);
    drop(table.lock.read().unwrap());
    drop(table.lock.write().unwrap());
}

#[test]
fn a_child_does_not_end_what_its_parent_writes() {
    let memory = memory();
    let table = table(&memory);
    let guard = table.lock.write().unwrap();
    let child = Child::new(|| {
        // SAFETY: This is the child's copy.
        drop(unsafe { std::ptr::read(&guard) });
        assert!(table.lock.try_read().is_none());
    });
    child.join();
    assert!(table.lock.try_read().is_none());
}

#[test]
fn permits_are_lost_and_nothing_else() {
    let memory = memory();
    let table = table(&memory);
    table.permits.add(1);
    let owner = Child::new(|| {
        let _permit = table.permits.acquire();
        table.steps.store(1, SeqCst);
        sleep_for_ever();
    });
    until(|| table.steps.load(SeqCst) == 1);
    let waiting = Child::new(|| {
        table.steps.store(2, SeqCst);
        let _permit = table.permits.acquire();
        sleep_for_ever();
    });
    until(|| table.steps.load(SeqCst) == 2 && sleeps(&waiting));
    waiting.kill();
    owner.kill();
    assert!(table.permits.try_acquire().is_none());
    table.permits.add(1);
    assert!(table.permits.try_acquire().is_some());
}

/// Woken, and killed before it can take what it was woken for: the other one does not sleep on.
#[test]
fn a_wake_up_that_has_died_is_made_up_for() {
    let memory = memory();
    let table = table(&memory);
    let wait = || {
        let child = Child::new(|| drop(table.permits.acquire()));
        until(|| sleeps(&child));
        child
    };
    let (first, second) = (wait(), wait());
    // The permit is there, and nobody was told.
    let number: &AtomicU32 = memory.atomic(std::mem::offset_of!(Table, permits)).unwrap();
    number.store(1, SeqCst);
    first.join();
    second.join();
}
