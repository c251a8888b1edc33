// SPDX-License-Identifier: GPL-2.0

//! What a task does itself, before it returns to user space or ends (`task_work_add()`).

use crate::shm::sys::{
    bindings,
    sync::module_ref::ModuleRef, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

#[repr(C)]
struct Work<F> {
    head: bindings::callback_head,
    f: F,
    module: ModuleRef,
}

/// Calls `f` in the calling task before it returns to user space, or after it left its namespaces
/// when it exits. Does not sleep; `f` may. Fails if there is no memory, the task is past that, or the
/// module is being unloaded; `f` is dropped then.
pub(crate) fn before_return<F: FnOnce() + 'static>(f: F) -> Result {
    let work = Work {
        head: bindings::callback_head {
            next: core::ptr::null_mut(),
            func: Some(run::<F>),
        },
        f,
        module: ModuleRef::get()?,
    };
    let work = KBox::into_raw(KBox::new(work, GFP_ATOMIC)?);
    // SAFETY: `current` is valid. The work is valid until `run()` frees it.
    let added = to_result(unsafe {
        bindings::task_work_add(
            bindings::get_current(),
            &raw mut (*work).head,
            bindings::task_work_notify_mode_TWA_RESUME,
        )
    });
    if added.is_err() {
        // SAFETY: It was not added, so it is still ours.
        drop(unsafe { KBox::from_raw(work) });
    }
    added
}

/// # Safety
///
/// To be called once, with the first field of a `Work<F>` from `KBox::into_raw()`.
unsafe extern "C" fn run<F: FnOnce()>(head: *mut bindings::callback_head) {
    // SAFETY: By this function's requirement; the struct is `repr(C)`.
    let work = KBox::into_inner(unsafe { KBox::from_raw(head.cast::<Work<F>>()) });
    (work.f)();
    drop(work.module);
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
