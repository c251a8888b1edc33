// SPDX-License-Identifier: GPL-2.0

//! What a task does itself, before it returns to user space or ends (`task_work_add()`).
//!
//! It is asked for in atomic context, where memory can be neither allocated nor freed on
//! `CONFIG_PREEMPT_RT`. So the room for it is part of an object that is there already, [`WithWork`].

#[cfg(CONFIG_SYSVIPC)]
pub(crate) use self::work::*;
use crate::shm::sys::{
    bindings,
    sync::module_ref::ModuleRef, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ops::Deref, //
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic,
    types::Opaque, //
};

/// A value with room for one work, which is used once. Used as `Arc<WithWork<T>>`.
///
/// # Invariants
///
/// Only the task that has set `is_used` uses `head` and `added`: until [`before_return`] has returned,
/// and in the work.
#[cfg_attr(not(CONFIG_SYSVIPC), allow(dead_code))]
#[repr(C)]
pub(crate) struct WithWork<T> {
    head: Opaque<bindings::callback_head>,
    added: UnsafeCell<MaybeUninit<Added>>,
    is_used: Atomic<u32>,
    value: T,
}

/// What a work has besides.
#[cfg_attr(not(CONFIG_SYSVIPC), allow(dead_code))]
struct Added {
    /// Of [`Arc::into_raw`](kernel::sync::Arc::into_raw).
    target: *const c_void,
    module: ModuleRef,
}

// SAFETY: By the type invariant one task uses `head` and `added`, whichever has made the object.
unsafe impl<T: Send> Send for WithWork<T> {}
// SAFETY: As above; a shared reference gives access to `value`, and to `is_used`, which is atomic.
unsafe impl<T: Sync> Sync for WithWork<T> {}

impl<T> WithWork<T> {
    /// Creates an object.
    pub(crate) fn new(value: T) -> Self {
        // INVARIANT: Nobody has set `is_used`.
        Self {
            head: Opaque::uninit(),
            added: UnsafeCell::new(MaybeUninit::uninit()),
            is_used: Atomic::new(0),
            value,
        }
    }
}

impl<T> Deref for WithWork<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(CONFIG_SYSVIPC)]
mod work {
    use super::*;
    use kernel::{
        error::to_result,
        sync::{
            atomic::Relaxed,
            Arc, //
        }, //
    };

    /// What a task does before it returns.
    pub(crate) trait BeforeReturn: Send + Sync + 'static {
        /// Called by the task. May sleep.
        fn before_return(&self);
    }

    /// Has the calling task call `target` before it returns to user space, or after it left its namespaces
    /// when it exits. Neither sleeps, nor allocates or frees memory. Fails if `room` is used already, or if
    /// the task is past that.
    pub(crate) fn before_return<T, U>(
        room: &Arc<WithWork<T>>,
        target: &Arc<U>,
        module: ModuleRef,
    ) -> Result
    where
        T: Send + Sync + 'static,
        U: BeforeReturn,
    {
        if room.is_used.xchg(1, Relaxed) != 0 {
            return Err(EBUSY);
        }
        // SAFETY: By the type invariant.
        let added = unsafe { &mut *room.added.get() };
        added.write(Added {
            target: Arc::into_raw(target.clone()).cast(),
            module,
        });
        // A reference for the work.
        let head = WithWork::<T>::head_of(room.clone());
        // SAFETY: By the type invariant. `current` is valid, and the head is until `run()` drops the
        // reference.
        let result = to_result(unsafe {
            (*head).func = Some(run::<T, U>);
            bindings::task_work_add(
                bindings::get_current(),
                head,
                bindings::task_work_notify_mode_TWA_RESUME,
            )
        });
        if result.is_err() {
            // SAFETY: It was not added, so `run()` is not called.
            drop(unsafe { take_back::<T, U>(head) });
        }
        result
    }

    impl<T> WithWork<T> {
        fn head_of(this: Arc<Self>) -> *mut bindings::callback_head {
            // The first field.
            Arc::into_raw(this).cast_mut().cast()
        }
    }

    /// Returns what the work has. It is dropped in this order: without the last, the module may go.
    ///
    /// # Safety
    ///
    /// To be called once for a work, with what it was added with, of the same `T` and `U`.
    unsafe fn take_back<T, U>(
        head: *mut bindings::callback_head,
    ) -> (Arc<WithWork<T>>, Arc<U>, ModuleRef) {
        // SAFETY: By this function's requirement, it is that of `head_of()`, `added` was written, and `target`
        // is from `Arc::into_raw()`.
        unsafe {
            let room = Arc::from_raw(head.cast_const().cast::<WithWork<T>>());
            let added = (*room.added.get()).assume_init_read();
            (room, Arc::from_raw(added.target.cast::<U>()), added.module)
        }
    }

    /// # Safety
    ///
    /// Called once for a work that was added, with its head, by the task.
    unsafe extern "C" fn run<T, U: BeforeReturn>(head: *mut bindings::callback_head) {
        // SAFETY: By this function's requirement.
        let work = unsafe { take_back::<T, U>(head) };
        work.1.before_return();
    }

    /// Keeps the code while a task is in the last instructions of work for it: dropping it waits for
    /// that.
    pub(crate) struct TaskWork;

    impl Drop for TaskWork {
        fn drop(&mut self) {
            // SAFETY: May sleep. A task in the code of the module, preempted or not, holds it up.
            unsafe { bindings::synchronize_rcu_tasks() };
        }
    }
}
