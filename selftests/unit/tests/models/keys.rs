// SPDX-License-Identifier: GPL-2.0

//! Who finds an object by its key finds all of it, whatever moves meanwhile; with the lock held, nothing is missed.

use crate::shm::sys::sync::id_table::{IdTable, RcuObject};
use kernel::{prelude::*, sync::Arc};
use loom::{
    cell::UnsafeCell,
    thread::{spawn, JoinHandle},
};

/// An object: its key, and what its maker has written to it.
struct Named {
    key: u32,
    contents: UnsafeCell<u32>,
}

// SAFETY: All threads of a model run in one of the host's. loom finds accesses that nothing keeps apart.
unsafe impl Send for Named {}
// SAFETY: As above.
unsafe impl Sync for Named {}

type Table = IdTable<Named, ()>;

fn add(table: &Table, key: u32) -> Arc<RcuObject<Named>> {
    let contents = UnsafeCell::new(0);
    contents.with_mut(|_| ());
    table.add(key, Named { key, contents })
}

/// Whether a key is found; the contents are read.
fn finds(table: &Table, key: u32) -> bool {
    let found = table.with_key(key, |object| {
        (object.key == key).then(|| object.contents.with(|_| ()))
    });
    found.is_some()
}

/// The same, as a caller does who must know.
fn finds_for_sure(table: &Table, key: u32) -> bool {
    finds(table, key) || {
        let _locked = table.lock();
        finds(table, key)
    }
}

fn new_table() -> Arc<Table> {
    Arc::new(Table::new(()), GFP_KERNEL).unwrap()
}

/// All of them are in the first chain of the first array; [`C`] and [`D`] come into the second of the next.
const A: u32 = 1;
const B: u32 = 2;
const C: u32 = 0x4000_0001;
const D: u32 = 0x4000_0002;

/// Starts a reader. loom compares with the last access of a word only: the reader must not be the first that comes to it.
fn spawn_reader(table: &Arc<Table>, read: fn(&Table)) -> JoinHandle<()> {
    let table = table.clone();
    spawn(move || read(&table))
}

/// An object comes.
pub(super) fn come() {
    let table = new_table();
    let reader = spawn_reader(&table, |table| {
        finds(table, A);
    });
    let _object = add(&table, A);
    assert!(finds(&table, A), "missed, though nothing moves");
    reader.join().unwrap();
}

/// Another one is before it in the chain, and goes.
pub(super) fn come_and_go() {
    let table = new_table();
    let reader = spawn_reader(&table, |table| {
        finds(table, A);
    });
    let (_a, b) = (add(&table, A), add(&table, B));
    table.lock().remove(&b);
    // Again, as a segment that is removed and then destroyed.
    table.lock().remove(&b);
    assert!(finds(&table, A), "missed, though nothing moves");
    assert!(!finds(&table, B), "found, though it was taken out");
    reader.join().unwrap();
}

/// Their chain is divided.
pub(super) fn are_divided() {
    let table = new_table();
    let _first = add(&table, D);
    let reader = spawn_reader(&table, |table| {
        finds(table, C);
        assert!(finds_for_sure(table, D), "missed, with the lock held");
    });
    let _others = (add(&table, C), add(&table, A));
    for key in [A, C, D] {
        assert!(finds(&table, key), "missed, though nothing moves");
    }
    assert!(!finds(&table, B), "found, though it never came");
    reader.join().unwrap();
}
