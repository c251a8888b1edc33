// SPDX-License-Identifier: GPL-2.0

//! The keys of an [`IdTable`](super::id_table::IdTable): a hash table that readers search under RCU.
//!
//! Chains of objects, in arrays of 2^n chains. When there are more objects than chains, each object
//! that comes divides one chain of the last array into two of the next, so that no call divides
//! them all. A reader that meets such a chain may miss an object that has moved; what it finds is
//! right. With the lock of the table held nothing moves, and nothing is missed.

use super::{
    id_table::Guard,
    rcu_arc::RcuObject, //
};
use crate::shm::sys::compat::{
    AtomicPtr,
    SetOnce, //
};
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        rcu, //
    }, //
};

/// The first array has 2^6 chains; in a test, which knows no more than it needs, 2.
const FIRST_BITS: u32 = if cfg!(test) { 1 } else { 6 };
/// The last has as many as there may be ids: 2^24.
const ARRAYS: usize = 19;

/// The first `bits` bits.
fn first_bits(hash: Hash, bits: u32) -> u32 {
    hash.0.wrapping_shr(u32::BITS.wrapping_sub(bits))
}

/// The first object of a chain, or the next one; or null.
type Next<T> = AtomicPtr<RcuObject<T>>;

/// The hash of a key, for the table that made it.
#[derive(Clone, Copy)]
pub(crate) struct Hash(u32);

/// What an object in a [`KeyTable`] has for it.
pub(super) struct Link<T> {
    /// The hash of its key, if it has one.
    hash: Option<Hash>,
    next: Next<T>,
}

impl<T> Link<T> {
    /// That of an object which is in no chain yet, or never.
    pub(super) const fn new(hash: Option<Hash>) -> Self {
        Self {
            hash,
            next: Next::new(ptr::null()),
        }
    }
}

/// The chains. What readers read comes first: what is behind this is written when a segment is made.
///
/// # Invariants
///
/// - Only a caller that holds the lock of the table around this changes anything.
/// - An object is in the chain that its hash says, or in none; and whoever takes it out keeps it valid for
///   a grace period, by [`RcuDeferred`](super::rcu_arc::RcuDeferred).
#[repr(C)]
pub(super) struct KeyTable<T> {
    /// How many chains there are: those of an array, and one more for each that has been divided.
    /// Who reads an old value looks into a chain that is empty, or not there yet, and misses.
    chains: Atomic<u32>,
    /// Unknown to users, who could choose keys for one chain otherwise.
    secret: bindings::hsiphash_key_t,
    /// Each is allocated before its first chain is used.
    arrays: [SetOnce<KVVec<Next<T>>>; ARRAYS],
    objects: Atomic<u32>,
}

impl<T: Send + Sync> KeyTable<T> {
    /// Without keys, and without memory.
    pub(super) fn new() -> Self {
        Self {
            arrays: [const { SetOnce::new() }; ARRAYS],
            chains: Atomic::new(0),
            objects: Atomic::new(0),
            secret: bindings::hsiphash_key_t {
                // CAST: As wide as a word.
                key: [(); 2].map(|()| {
                    // SAFETY: It may be called anywhere.
                    unsafe { bindings::get_random_u64() as usize }
                }),
            },
        }
    }

    /// The hash of a key. One that is linear, as multiply-shift, lets who has found three keys of a chain,
    /// by the time that a call takes, find thousands.
    pub(super) fn hash(&self, key: u32) -> Hash {
        // SAFETY: The secret is valid.
        Hash(unsafe { bindings::hsiphash_1u32(key, &self.secret) })
    }

    /// The array of 2^`bits` chains.
    fn array(&self, bits: u32) -> Option<&SetOnce<KVVec<Next<T>>>> {
        self.arrays.get(bits.wrapping_sub(FIRST_BITS) as usize)
    }

    /// The chain of a hash in that array, if it is there.
    fn chain_of(&self, bits: u32, hash: Hash) -> Option<&Next<T>> {
        let array = self.array(bits)?.as_ref()?;
        array.get(first_bits(hash, bits) as usize)
    }

    /// The chain of a hash; `None` if there are no chains.
    fn chain(&self, hash: Hash) -> Option<&Next<T>> {
        let chains = self.chains.load(Relaxed);
        let bits = chains.checked_ilog2()?;
        // The highest bit, which stands for the chains of an array, falls away.
        let divided = first_bits(hash, bits) < chains ^ 1 << bits;
        self.chain_of(bits + u32::from(divided), hash)
    }

    /// What a chain goes on with: `next` is its first, or that of an object which was reached in it in
    /// this critical section.
    fn load<'a>(next: &'a Next<T>, _rcu: &'a rcu::Guard) -> Option<&'a RcuObject<T>> {
        // SAFETY: It was in a chain during this critical section, so it is valid until the end of that
        // by the type invariant.
        unsafe { next.load(Acquire).as_ref() }
    }

    /// Calls `f` with objects, among which are those with a key of this hash that it does not miss, until
    /// it answers.
    pub(super) fn search<R>(&self, hash: Hash, mut f: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let rcu = rcu::read_lock();
        let mut next = self.chain(hash)?;
        loop {
            let object = Self::load(next, &rcu)?;
            if let Some(answer) = f(object) {
                return Some(answer);
            }
            next = &object.link().next;
        }
    }

    /// Allocates the array that the next object may need, where there may be `most`; before the lock is
    /// taken. `ENOMEM` where there is none yet; without a further one, chains are longer.
    pub(super) fn room(&self, most: u32) -> Result<Room<T>> {
        let chains = self.chains.load(Relaxed);
        let bits = match chains.checked_ilog2() {
            None => FIRST_BITS,
            Some(bits) if chains < most && self.objects.load(Relaxed) >= chains => bits + 1,
            Some(_) => return Ok(Room(None)),
        };
        if self
            .array(bits)
            .is_none_or(|array| array.as_ref().is_some())
        {
            return Ok(Room(None));
        }
        match KVVec::with_capacity(1 << bits, GFP_KERNEL_ACCOUNT | __GFP_NOWARN) {
            Ok(mut array) => {
                while array.push_within_capacity(Next::new(ptr::null())).is_ok() {}
                Ok(Room(Some((bits, array))))
            }
            Err(_) if chains != 0 => Ok(Room(None)),
            Err(_) => Err(ENOMEM),
        }
    }

    /// Divides the next chain that is to be divided, if there is an array for that. Must be called with
    /// the lock held.
    fn divide(&self) {
        let chains = self.chains.load(Relaxed);
        let Some(bits) = chains.checked_ilog2() else {
            return;
        };
        let old = self.array(bits).and_then(SetOnce::as_ref);
        let old = old.and_then(|array| array.get((chains ^ 1 << bits) as usize));
        let (Some(old), Some(_)) = (old, self.array(bits + 1).and_then(SetOnce::as_ref)) else {
            return;
        };
        let rcu = rcu::read_lock();
        let mut first = Self::load(old, &rcu);
        old.store(ptr::null(), Relaxed);
        self.chains.store(chains + 1, Relaxed);
        while let Some(object) = first {
            let link = object.link();
            first = Self::load(&link.next, &rcu);
            if let Some(new) = link.hash.and_then(|hash| self.chain_of(bits + 1, hash)) {
                // A reader that stands here goes on in the new chain, which ends, too.
                link.next.store(new.load(Relaxed), Release);
                new.store(object, Release);
            }
        }
    }
}

/// Chains for a [`KeyTable`]; not to be dropped with a lock held.
pub(crate) struct Room<T>(Option<(u32, KVVec<Next<T>>)>);

impl<T> Room<T> {
    /// For an object without a key.
    pub(crate) const NONE: Self = Self(None);
}

impl<T: Send + Sync, S> Guard<'_, T, S> {
    /// Puts an object that the table is about to own into the chain of its key.
    pub(super) fn insert_key(&mut self, object: &RcuObject<T>, room: &mut Room<T>) {
        let keys = self.keys();
        let link = object.link();
        let Some(hash) = link.hash else {
            return;
        };
        if let Some((bits, new)) = room.0.take() {
            match keys.array(bits) {
                Some(array) if array.as_ref().is_none() => {
                    array.populate(new);
                }
                // Somebody else was faster.
                _ => room.0 = Some((bits, new)),
            }
        }
        if keys.chains.load(Relaxed) == 0 {
            keys.chains.store(1 << FIRST_BITS, Relaxed);
        }
        let Some(chain) = keys.chain(hash) else {
            return;
        };
        link.next.store(chain.load(Relaxed), Relaxed);
        chain.store(object, Release);
        let objects = keys.objects.load(Relaxed) + 1;
        keys.objects.store(objects, Relaxed);
        if objects > keys.chains.load(Relaxed) {
            keys.divide();
        }
    }

    /// Takes an object out of its chain, if it is in one.
    pub(super) fn remove_key(&mut self, object: &RcuObject<T>) {
        let keys = self.keys();
        let rcu = rcu::read_lock();
        let Some(mut next) = object.link().hash.and_then(|hash| keys.chain(hash)) else {
            return;
        };
        while let Some(found) = KeyTable::load(next, &rcu) {
            let link = found.link();
            if ptr::eq(found, object) {
                next.store(link.next.load(Relaxed), Release);
                keys.objects.store(keys.objects.load(Relaxed) - 1, Relaxed);
                return;
            }
            next = &link.next;
        }
    }
}
