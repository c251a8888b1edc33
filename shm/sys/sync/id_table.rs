// SPDX-License-Identifier: GPL-2.0

//! An XArray of [`RcuObject`]s whose lock also protects a state of its owner.
//!
//! Lookups take no lock. A [`Guard`] holds the spinlock of the array; it can change the array, and
//! gives access to the state `S`.

pub(crate) use super::key_table::{
    Hash,
    Room, //
};
use crate::shm::sys::{
    bindings,
    sync::{
        key_table::{
            KeyTable,
            Link, //
        },
        rcu_arc::{
            RcuArc,
            RcuDeferred,
            RcuObject, //
        }, //
    }, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc,
        ArcBorrow,
        UniqueArc, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// As `xa_mk_internal()`.
const fn internal(entry: usize) -> usize {
    entry << 2 | 2
}

/// As in `include/linux/xarray.h`: a search that has not begun.
const XAS_RESTART: *mut bindings::xa_node = ptr::without_provenance_mut(3);

/// `XA_RETRY_ENTRY`.
const RETRY_ENTRY: usize = internal(256);
/// `XA_ZERO_ENTRY`.
const ZERO_ENTRY: usize = internal(257);

/// The table.
///
/// # Invariants
///
/// - Every present entry of `xa` is a pointer from [`Arc::into_raw`] whose count the table owns;
///   no object is in two tables, or twice in one. (A reserved entry is not present.)
/// - `state` and `next` are accessed with the lock of `xa` held.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(crate) struct IdTable<T: Send + Sync, S> {
    keys: KeyTable<T>,
    #[pin]
    xa: Opaque<bindings::xarray>,
    next: UnsafeCell<u32>,
    state: UnsafeCell<S>,
    _owns: PhantomData<RcuArc<T>>,
}

// SAFETY: The objects are `Send + Sync`, those that `keys` points to as well, and the state moves with
// the table.
unsafe impl<T: Send + Sync, S: Send> Send for IdTable<T, S> {}
// SAFETY: The objects are shared as `Arc`s are, and `keys` has atomics that point to them; only the
// thread that holds the lock uses the state.
unsafe impl<T: Send + Sync, S: Send> Sync for IdTable<T, S> {}

impl<T: Send + Sync, S> IdTable<T, S> {
    /// Creates an empty table.
    pub(crate) fn new(state: S) -> impl PinInit<Self> {
        pin_init!(Self {
            // Without XA_FLAGS_ACCOUNT, no cgroup pays for a node that is allocated with the lock held.
            //
            // SAFETY: `xa` is valid for writes while the closure runs.
            xa <- Opaque::ffi_init(|xa| unsafe {
                bindings::xa_init_flags(xa, bindings::RUST_SHM_XA_FLAGS)
            }),
            next: UnsafeCell::new(0),
            state: UnsafeCell::new(state),
            keys: KeyTable::new(),
            _owns: PhantomData,
        })
    }

    /// Takes the spinlock of the table.
    pub(crate) fn lock(&self) -> Guard<'_, T, S> {
        // SAFETY: `xa` is initialised.
        unsafe { bindings::xa_lock(self.xa.get()) };
        Guard {
            table: self,
            _not_send: NotThreadSafe,
        }
    }

    /// Calls `f` with the object at `index`, under RCU: `f` must not sleep.
    pub(crate) fn with<R>(&self, index: u32, f: impl FnOnce(&T) -> R) -> Option<R> {
        let rcu = rcu::read_lock();
        self.load(index, &rcu).map(|object| f(&object))
    }

    /// Hashes a key.
    pub(crate) fn hash(&self, key: u32) -> Hash {
        self.keys.hash(key)
    }

    /// Calls `f` with objects, those that have a key with this hash among them, until it answers; under
    /// RCU: `f` must not sleep. May miss an object, unless the lock is held.
    pub(crate) fn with_key<R>(&self, hash: Hash, f: impl FnMut(&T) -> Option<R>) -> Option<R> {
        self.keys.search(hash, f)
    }

    /// Allocates what [`publish()`](Guard::publish) needs for an object with a key, where there may be
    /// `most` objects. `ENOMEM`.
    pub(crate) fn room_for_key(&self, most: u32) -> Result<Room<T>> {
        self.keys.room(most)
    }

    /// Returns the object at `index`. As `xa_load()`, which would nest another critical section.
    fn load<'a>(&'a self, index: u32, rcu: &'a rcu::Guard) -> Option<ArcBorrow<'a, RcuObject<T>>> {
        let mut state = self.start(index);
        loop {
            // SAFETY: `xa` is initialised; the search is under RCU.
            let entry = unsafe { bindings::xas_load(&mut state) };
            match entry as usize {
                // The tree has changed concurrently.
                RETRY_ENTRY => state.xa_node = XAS_RESTART,
                // Reserved.
                0 | ZERO_ENTRY => return None,
                // SAFETY: It was just loaded, in the critical section of `rcu`.
                _ => return Some(unsafe { Self::borrow(entry, rcu) }),
            }
        }
    }

    /// The object of a present entry.
    ///
    /// # Safety
    ///
    /// The entry must have been loaded in the critical section of the guard.
    unsafe fn borrow(entry: *mut c_void, _rcu: &rcu::Guard) -> ArcBorrow<'_, RcuObject<T>> {
        // SAFETY: By the type invariant it is from `Arc::into_raw()`, and the table owned a reference
        // when it was loaded; `RcuDeferred` keeps that for a grace period after removal.
        unsafe { ArcBorrow::from_raw(entry.cast_const().cast()) }
    }

    /// A search that starts at `index`.
    fn start(&self, index: u32) -> bindings::xa_state {
        bindings::xa_state {
            xa: self.xa.get(),
            xa_index: index as usize,
            xa_node: XAS_RESTART,
            ..pin_init::zeroed()
        }
    }

    /// Calls `f` with each object from `index` to `last` and its index, until it answers; under RCU: `f`
    /// must not sleep.
    pub(crate) fn walk<R>(
        &self,
        index: u32,
        last: u32,
        mut f: impl FnMut(u32, ArcBorrow<'_, RcuObject<T>>) -> Option<R>,
    ) -> Option<R> {
        let rcu = rcu::read_lock();
        let mut state = self.start(index);
        loop {
            // SAFETY: `xa` is initialised; the search is under RCU.
            let entry = unsafe { bindings::xas_find(&mut state, last as usize) };
            match entry as usize {
                RETRY_ENTRY => state.xa_node = XAS_RESTART,
                ZERO_ENTRY => {}
                0 => return None,
                _ => {
                    // SAFETY: It was just loaded, in the critical section of `rcu`.
                    let object = unsafe { Self::borrow(entry, &rcu) };
                    // CAST: It is at most `last`.
                    if let Some(answer) = f(state.xa_index as u32, object) {
                        return Some(answer);
                    }
                }
            }
        }
    }

    /// Returns a reference to the object at `index`.
    pub(crate) fn get(&self, index: u32) -> Option<RcuArc<T>> {
        self.load(index, &rcu::read_lock()).map(Arc::from)
    }

    /// Returns the first object at `index` or above, with its index.
    pub(crate) fn first_from(&self, index: u32) -> Option<(u32, RcuArc<T>)> {
        self.walk(index, u32::MAX, |index, object| {
            Some((index, object.into()))
        })
    }
}

#[pinned_drop]
impl<T: Send + Sync, S> PinnedDrop for IdTable<T, S> {
    fn drop(self: Pin<&mut Self>) {
        let mut index = 0;
        while let Some((at, object)) = self.first_from(index) {
            drop(object);
            let deferred = self.lock().remove(at);
            drop(deferred);
            index = at;
        }
        // SAFETY: `xa` is initialised, and no longer shared.
        unsafe { bindings::xa_destroy(self.xa.get()) };
    }
}

/// A locked table.
///
/// # Invariants
///
/// The lock of the table is held.
pub(crate) struct Guard<'a, T: Send + Sync, S> {
    table: &'a IdTable<T, S>,
    _not_send: NotThreadSafe,
}

impl<T: Send + Sync, S> Guard<'_, T, S> {
    /// Reserves the next free index after the previous one, at most `last`, as
    /// `idr_alloc_cyclic()`. `ENOSPC`, `ENOMEM`.
    ///
    /// May release the lock, allocate memory, sleep, and take the lock again: the caller must
    /// repeat its checks.
    pub(crate) fn reserve(&mut self, last: u32) -> Result<u32> {
        // SAFETY: By the type invariant the lock is held, and nobody else refers to it.
        let next = unsafe { &mut *self.table.next.get() };
        Self::reserve_from_next(&self.table.xa, 0, last, next)
    }

    /// Reserves the first free index from `first` to `last`, as `idr_alloc()`. Otherwise as
    /// [`reserve()`](Self::reserve).
    pub(crate) fn reserve_from(&mut self, first: u32, last: u32) -> Result<u32> {
        let mut next = first;
        Self::reserve_from_next(&self.table.xa, first, last, &mut next)
    }

    /// Reserves the first free index from `next` to `last`, or else from `first`. To be called with the
    /// lock held.
    fn reserve_from_next(
        xa: &Opaque<bindings::xarray>,
        first: u32,
        last: u32,
        next: &mut u32,
    ) -> Result<u32> {
        let mut index = 0;
        let limit = bindings::xa_limit {
            min: first,
            max: last,
        };
        // SAFETY: Both callers have a guard: by its invariant the lock is held. A null entry reserves the
        // index.
        let ret = unsafe {
            bindings::__xa_alloc_cyclic(
                xa.get(),
                &mut index,
                ptr::null_mut(),
                limit,
                next,
                bindings::GFP_KERNEL_ACCOUNT,
            )
        };
        match ret {
            // 1: the index wrapped.
            0 | 1 => Ok(index),
            e if e == EBUSY.to_errno() => Err(ENOSPC),
            e => Err(Error::from_errno(e)),
        }
    }

    /// Stores an object at a reserved index, where readers can find it, also by its key if it has one.
    pub(crate) fn publish(
        &mut self,
        index: u32,
        mut object: Pin<UniqueArc<RcuObject<T>>>,
        key: Option<Hash>,
        room: &mut Room<T>,
    ) {
        object.as_mut().set_link(Link::new(key));
        let object = Arc::from(object);
        let entry = Arc::into_raw(object.clone());
        // This cannot fail: the index is reserved, so no memory is allocated.
        //
        // SAFETY: By the type invariant the lock is held.
        // INVARIANT: The object was unique, so in no table. The table takes over the reference.
        unsafe {
            bindings::__xa_store(
                self.table.xa.get(),
                index as usize,
                entry.cast_mut().cast(),
                bindings::GFP_NOWAIT,
            )
        };
        // Who finds it by its key finds it by its index, too.
        self.insert_key(&object, room);
    }

    /// Lets the object at `index` be found by its index only.
    pub(crate) fn forget_key(&mut self, index: u32) {
        if let Some(object) = self.table.get(index) {
            self.remove_key(&object);
        }
    }

    /// Its keys.
    pub(super) fn keys(&self) -> &KeyTable<T> {
        &self.table.keys
    }

    /// Releases a reserved index.
    pub(crate) fn release(&mut self, index: u32) {
        // A reserved entry owns nothing.
        self.erase(index);
    }

    fn erase(&mut self, index: u32) -> *mut c_void {
        // SAFETY: By the type invariant the lock is held.
        unsafe { bindings::__xa_erase(self.table.xa.get(), index as usize) }
    }

    /// Removes the object at `index`. The result should be dropped after the lock is released.
    pub(crate) fn remove(&mut self, index: u32) -> Option<RcuDeferred<T>> {
        let entry = self.erase(index);
        if entry.is_null() {
            return None;
        }
        // SAFETY: By the table's invariant the entry owned a reference, which is now ours. An object is
        // published only while it is unique, so not while a deferred drop is pending: it was in this
        // table only, once, and has no other `RcuDeferred`.
        let deferred = unsafe { RcuDeferred::new(Arc::from_raw(entry.cast_const().cast())) };
        self.remove_key(deferred.object());
        Some(deferred)
    }

    /// Returns the highest index in use up to `last`, by binary search, as `ipc_search_maxidx()`.
    pub(crate) fn highest(&self, last: u32) -> Option<u32> {
        let (mut found, mut low, mut high) = (None, 0, last);
        while low <= high {
            let middle = low + (high - low) / 2;
            match self.table.walk(middle, high, |index, _| Some(index)) {
                Some(at) => {
                    found = Some(at);
                    low = at + 1;
                }
                None if middle == 0 => break,
                None => high = middle - 1,
            }
        }
        found
    }
}

impl<T: Send + Sync, S> Deref for Guard<'_, T, S> {
    type Target = S;

    fn deref(&self) -> &S {
        // SAFETY: By the type invariant the lock is held.
        unsafe { &*self.table.state.get() }
    }
}

impl<T: Send + Sync, S> DerefMut for Guard<'_, T, S> {
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: By the type invariant the lock is held, and `self` is borrowed mutably.
        unsafe { &mut *self.table.state.get() }
    }
}

impl<T: Send + Sync, S> Drop for Guard<'_, T, S> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held.
        unsafe { bindings::xa_unlock(self.table.xa.get()) };
    }
}
