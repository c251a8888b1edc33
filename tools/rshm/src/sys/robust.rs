// SPDX-License-Identifier: MIT OR Apache-2.0

//! The list by which the kernel finds the mutexes of a thread that dies.
//!
//! Each thread has one, for all that it has locked: `Documentation/locking/robust-futex-ABI.rst` of
//! the kernel. Its head belongs to the C library, whose robust mutexes are in it too. It can have
//! both, as the ABI means it to, since both keep these rules:
//!
//! - From the link to the word of the mutex it is the same distance, [`OFFSET`].
//! - The C library adds its mutexes at the front. It changes the links of what is before the
//!   removed mutex, and of what comes after it the pointer back alone, which is 8 bytes before the
//!   link, and which nobody reads here.
//! - Ours are the end of the list. (So the one program, or library, that has this crate is the only
//!   one besides the C library that uses the list.)
//!
//! The links are in shared memory, where others may write whatever they like. So ours are never read
//! here: what this process has locked is noted in memory of its own. (The C library does follow
//! those of its own mutexes. That is why theirs, `pthread_mutex_t`, are not what
//! [`sync::Mutex`](crate::sync::Mutex) is made of: whoever can write to the segment could make this
//! process write anywhere.) Only the kernel follows them, when the thread is dead: a process that has
//! written nonsense there can keep it from finding the mutexes, and nothing more.
//!
//! Between the store that unlocks a mutex and the one that clears `pending`, the kernel may look at
//! a mutex that is another thread's already ("Robust release is racy" in that page). There it must not
//! find memory that has become something else meanwhile: whoever unlocks has a reference to the mutex,
//! so it is mapped until `pending` is cleared.

use std::{
    cell::RefCell,
    io,
    ops::Range,
    ptr,
    sync::{
        atomic::{
            compiler_fence, AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        },
        Mutex, Once, PoisonError,
    },
};

/// How far a mutex's word is from its link, in bytes: as in glibc's `pthread_mutex_t`.
pub(crate) const OFFSET: isize = -32;

/// In a link: the mutex is one that inherits priorities.
const INHERITS: usize = 1;

/// So many mutexes of a thread the kernel looks at, the C library's and ours: `ROBUST_LIST_LIMIT`.
pub(crate) const LIMIT: usize = 2048;

/// `struct robust_list_head`.
#[repr(C)]
struct Head {
    first: AtomicUsize,
    offset: isize,
    pending: AtomicUsize,
}

/// What a thread has locked. Others may ask, before they unmap memory.
///
/// It is never freed, but the next thread takes what one that has ended has left.
struct Held {
    in_use: AtomicBool,
    /// [`FORKS`] of the process that its threads are of. A child has copies of its parent's, which it
    /// leaves alone: somebody may have had `links` when it was forked off.
    forks: u32,
    /// Addresses of links, in the order in which they were locked: which is from the end of the list
    /// to its front.
    links: Mutex<Vec<usize>>,
    others: AtomicPtr<Held>,
}

/// All of them: the newest one, which leads to the others.
static ALL: AtomicPtr<Held> = AtomicPtr::new(ptr::null_mut());

/// How often this process has been forked off. A child has its parent's memory, but is another
/// thread, and has locked nothing.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// This thread's list.
struct List {
    head: *const Head,
    thread: u32,
    forks: u32,
    held: &'static Held,
}

thread_local! {
    static LIST: RefCell<Option<List>> = const { RefCell::new(None) };
}

/// By whom something was locked: what a guard needs for unlocking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    thread: u32,
    forks: u32,
}

fn all() -> impl Iterator<Item = &'static Held> {
    let mut next = ALL.load(Acquire);
    std::iter::from_fn(move || {
        // SAFETY: What is there is never freed.
        let held = unsafe { next.as_ref() }?;
        next = held.others.load(Acquire);
        Some(held)
    })
}

/// Whether this process has locked any mutex in a range of addresses.
pub(crate) fn has_any(range: Range<usize>) -> bool {
    let forks = FORKS.load(Relaxed);
    all()
        .filter(|held| held.forks == forks)
        .any(|held| held.lock().iter().any(|link| range.contains(link)))
}

/// Whether this thread has locked the mutex that the link belongs to.
pub(crate) fn has(link: &AtomicU64) -> bool {
    let link = ptr::from_ref(link) as usize;
    with_list(|list| list.held.lock().contains(&link))
}

/// Whether this is the thread that has locked it.
pub(crate) fn is_owner(owner: Owner) -> bool {
    LIST.try_with(|_| ()).is_ok() && with_list(|list| list.owner() == owner)
}

/// Runs `lock`, which is told this thread's number, and puts it into the mutex's word. From before
/// that on until it is unlocked the kernel knows that this thread may have the mutex. Returns what
/// `lock` does: `None` if the mutex is not locked.
///
/// # Panics
///
/// If this thread has as many as the kernel looks at.
pub(crate) fn lock<R>(link: &AtomicU64, lock: impl FnOnce(u32) -> Option<R>) -> Option<(R, Owner)> {
    let (head, owner, has_room) = with_list(|list| (list.head, list.owner(), list.has_room()));
    assert!(
        has_room,
        "this thread has {LIMIT} robust mutexes: the kernel would not find another one"
    );
    // SAFETY: It is this thread's.
    let head = unsafe { &*head };
    let address = ptr::from_ref(link) as usize;
    head.pending.store(address, Relaxed);
    // What comes next has to come next for the kernel, which looks when this thread has stopped.
    compiler_fence(SeqCst);
    let result = lock(owner.thread);
    if result.is_some() {
        with_list(|list| list.add(link, address));
    }
    compiler_fence(SeqCst);
    head.pending.store(0, Relaxed);
    result.map(|result| (result, owner))
}

/// Runs `unlock`, which is told this thread's number, which it takes out of the mutex's word. Not in
/// the child of a process that has locked it; nor at the very end of a thread, when the kernel is
/// about to do that.
pub(crate) fn unlock(link: &AtomicU64, owner: Owner, unlock: impl FnOnce(u32)) {
    let address = ptr::from_ref(link) as usize;
    if !is_owner(owner) {
        return;
    }
    let head = with_list(|list| list.head);
    // SAFETY: It is this thread's.
    let head = unsafe { &*head };
    head.pending.store(address, Relaxed);
    compiler_fence(SeqCst);
    with_list(|list| list.remove(address));
    compiler_fence(SeqCst);
    unlock(owner.thread);
    compiler_fence(SeqCst);
    head.pending.store(0, Relaxed);
}

fn with_list<R>(f: impl FnOnce(&List) -> R) -> R {
    LIST.with_borrow_mut(|list| {
        if list
            .as_ref()
            .is_none_or(|list| list.forks != FORKS.load(Relaxed))
        {
            *list = Some(List::new());
        }
        f(list
            .as_ref()
            .unwrap_or_else(|| unreachable!("it was just made")))
    })
}

impl Held {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One for a new thread.
    fn new() -> &'static Self {
        let forks = FORKS.load(Relaxed);
        let free = |held: &&Self| {
            let taken = || held.in_use.compare_exchange(false, true, AcqRel, Relaxed);
            held.forks == forks && taken().is_ok()
        };
        if let Some(held) = all().find(free) {
            return held;
        }
        let held: &Self = Box::leak(Box::new(Self {
            in_use: AtomicBool::new(true),
            forks,
            links: Mutex::default(),
            others: AtomicPtr::default(),
        }));
        let mut newest = ALL.load(Relaxed);
        loop {
            held.others.store(newest, Relaxed);
            match ALL.compare_exchange(newest, ptr::from_ref(held).cast_mut(), Release, Relaxed) {
                Ok(_) => return held,
                Err(now) => newest = now,
            }
        }
    }
}

extern "C" fn forked() {
    FORKS.fetch_add(1, Relaxed);
}

impl List {
    fn new() -> Self {
        static NOTICE_FORKS: Once = Once::new();
        NOTICE_FORKS.call_once(|| {
            // SAFETY: `forked()` may run in any child. It fails only for want of memory.
            let result = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
            assert_eq!(result, 0, "no memory");
        });
        let head = match Self::head_of_thread() {
            Ok(head) => head,
            Err(error) => panic!("the kernel has no list of robust futexes: {error}"),
        };
        Self {
            head,
            thread: rustix::thread::gettid().as_raw_nonzero().get() as u32,
            forks: FORKS.load(Relaxed),
            held: Held::new(),
        }
    }

    /// The head that the kernel knows. If it knows none, as in a thread that the C library has not
    /// made, it gets one.
    fn head_of_thread() -> io::Result<*const Head> {
        let mut head: *const Head = ptr::null();
        let mut size = 0_usize;
        // SAFETY: The kernel writes a pointer and a number.
        let result =
            unsafe { libc::syscall(libc::SYS_get_robust_list, 0_usize, &mut head, &mut size) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        if head.is_null() {
            let new = Box::leak(Box::new(Head {
                first: AtomicUsize::new(0),
                offset: OFFSET,
                pending: AtomicUsize::new(0),
            }));
            *new.first.get_mut() = ptr::from_ref(new) as usize;
            head = new;
            // SAFETY: It is such a head, and stays there.
            let result =
                unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<Head>()) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: That is what is there: the kernel takes no other size. It stays as long as the
        // thread does.
        let offset = unsafe { (*head).offset };
        assert_eq!(
            offset, OFFSET,
            "this C library has robust mutexes of another layout"
        );
        Ok(head)
    }

    fn owner(&self) -> Owner {
        Owner {
            thread: self.thread,
            forks: self.forks,
        }
    }

    fn add(&self, link: &AtomicU64, address: usize) {
        let mut held = self.held.lock();
        let next = held.last().copied().unwrap_or(self.head as usize);
        link.store(next as u64, Relaxed);
        compiler_fence(SeqCst);
        if let Some(before) = self.link_to(next) {
            before.store(address, Relaxed);
        }
        held.push(address);
    }

    fn remove(&self, address: usize) {
        let mut held = self.held.lock();
        let Some(index) = held.iter().rposition(|&link| link == address) else {
            return;
        };
        let next = if index == 0 {
            self.head as usize
        } else {
            held[index - 1]
        };
        let before = match held.get(index + 1) {
            // SAFETY: What is locked stays mapped (`has_any()`), and this is a link.
            Some(&link) => Some(unsafe { AtomicUsize::from_ptr(link as *mut usize) }),
            None => self.link_to(address),
        };
        if let Some(before) = before {
            before.store(next, Relaxed);
        }
        held.remove(index);
    }

    /// The link that leads to the first of ours, or to the end: the head's, or the last one of the C
    /// library's mutexes.
    fn link_to(&self, address: usize) -> Option<&AtomicUsize> {
        self.links().find(|link| target(link) == address)
    }

    /// Whether the kernel would find another one.
    fn has_room(&self) -> bool {
        let held = self.held.lock();
        let end = held.last().copied().unwrap_or(self.head as usize);
        let foreign = self.links().take_while(|link| target(link) != end);
        foreign.count() + held.len() < LIMIT
    }

    /// The head's link, and those of the C library's mutexes. What comes after them is ours: nobody
    /// may go on to there.
    fn links(&self) -> impl Iterator<Item = &AtomicUsize> {
        // SAFETY: The head of this thread.
        let first = unsafe { &(*self.head).first };
        // SAFETY: By the rules above this is a mutex of the C library, which this thread has locked:
        // so the C library relies on its being there, too. Or it is the first of ours, which is
        // there, or the head.
        let next = |link: &&AtomicUsize| {
            Some(unsafe { AtomicUsize::from_ptr(target(link) as *mut usize) })
        };
        std::iter::successors(Some(first), next).take(LIMIT)
    }
}

/// Where a link leads to.
fn target(link: &AtomicUsize) -> usize {
    link.load(Relaxed) & !INHERITS
}

impl Drop for List {
    fn drop(&mut self) {
        // What is still locked is so by forgotten guards, which the kernel is about to find: that
        // memory stays mapped. A child leaves its parent's as it is.
        if self.forks == FORKS.load(Relaxed) && self.held.lock().is_empty() {
            self.held.in_use.store(false, Release);
        }
    }
}
