// SPDX-License-Identifier: GPL-2.0

//! The system calls of the IPC namespaces that the module serves: `served.c` probes them.
//!
//! A namespace that is served has an object of a type with [`SystemCalls`], which the calls of its
//! processes use.

use crate::shm::{
    rules::uapi,
    sys::{
        bindings as c,
        fs::misc::Program,
        sync::module_ref::ModuleRef,
        task::ipc_ns::{
            IpcNamespace,
            NamespaceId, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::Opaque, //
};

/// Whether the module can serve system calls on this kernel.
pub(crate) const CAN_SERVE: bool = c::RUST_SHM_HEADER_CAN_SERVE != 0;

/// The answer to a call that belongs to the kernel's own function, as the namespace is not served any
/// more.
pub(crate) const PASS: Error = ENOIOCTLCMD;

/// The system calls in a namespace, with the arguments of the kernel's functions. Called by a task in
/// it. Any may return [`PASS`].
pub(crate) trait SystemCalls: Send + Sync + 'static {
    /// `shmget(2)`: returns an id.
    fn get(&self, key: i32, size: usize, flags: i32) -> Result<isize>;
    /// `shmat(2)`: returns the address.
    fn attach(&self, id: i32, at: usize, flags: i32, program: Program) -> Result<usize>;
    /// `shmdt(2)`.
    fn detach(&self, at: usize) -> Result;
    /// IPC_STAT, SHM_STAT, SHM_STAT_ANY: returns what `shmctl(2)` returns.
    fn stat(&self, id: i32, cmd: u32, stat: &mut uapi::Stat) -> Result<isize>;
    /// IPC_SET.
    fn set(&self, id: i32, new: &uapi::Stat) -> Result;
    /// IPC_RMID, SHM_LOCK, SHM_UNLOCK.
    fn control(&self, id: i32, cmd: u32) -> Result;
    /// IPC_INFO: returns the highest index in use.
    fn limits(&self) -> Result<(uapi::Limits, u32)>;
    /// SHM_INFO: returns the highest index in use.
    fn usage(&self) -> Result<(uapi::Usage, u32)>;
}

/// What `served.c` has for a namespace.
///
/// # Invariants
///
/// `head` has [`Self::CALLS`]. From [`serve`] until `served.c` frees it, the value is only shared.
#[repr(C)]
struct Served<T> {
    head: Opaque<c::rust_shm_served>,
    calls: T,
    // Dropped last: without it, the module may go.
    _module: ModuleRef,
}

impl<T: SystemCalls> Served<T> {
    const CALLS: &'static c::rust_shm_calls = &c::rust_shm_calls {
        get: Some(Self::get),
        attach: Some(Self::attach),
        detach: Some(Self::detach),
        stat: Some(Self::stat),
        set: Some(Self::set),
        control: Some(Self::control),
        limits: Some(Self::limits),
        usage: Some(Self::usage),
        free: Some(Self::free),
    };

    /// # Safety
    ///
    /// `served` must be the head of a `Self` that is not freed before `'a` ends.
    unsafe fn calls<'a>(served: *const c::rust_shm_served) -> &'a T {
        // SAFETY: By this function's requirement; the head is the first field.
        unsafe { &(*served.cast::<Self>()).calls }
    }

    /// # Safety
    ///
    /// Called by `served.c` in a call that found `served`.
    unsafe extern "C" fn get(
        served: *const c::rust_shm_served,
        key: c_int,
        size: usize,
        flags: c_int,
    ) -> c_long {
        // SAFETY: By this function's requirement: it is not freed during a call.
        from_result(|| unsafe { Self::calls(served) }.get(key, size, flags))
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; `address` is valid for writes.
    unsafe extern "C" fn attach(
        served: *const c::rust_shm_served,
        id: c_int,
        at: usize,
        flags: c_int,
        compat: bool,
        address: *mut usize,
    ) -> c_long {
        let program = if compat {
            Program::Compat
        } else {
            Program::Native
        };
        from_result(|| {
            // SAFETY: As in `get()`; `address` by this function's requirement.
            unsafe { address.write(Self::calls(served).attach(id, at, flags, program)?) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::get`].
    unsafe extern "C" fn detach(served: *const c::rust_shm_served, at: usize) -> c_long {
        // SAFETY: As in `get()`.
        from_result(|| unsafe { Self::calls(served) }.detach(at).map(|()| 0))
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; `stat` is valid for writes.
    unsafe extern "C" fn stat(
        served: *const c::rust_shm_served,
        id: c_int,
        cmd: c_int,
        stat: *mut c::rust_shm_stat,
    ) -> c_long {
        from_result(|| {
            let mut answer = uapi::Stat::default();
            // CAST: A command is not negative.
            // SAFETY: As in `get()`.
            let result = unsafe { Self::calls(served) }.stat(id, cmd as u32, &mut answer)?;
            // SAFETY: By this function's requirement; `header.rs` checks that the types are the same.
            unsafe { stat.cast::<uapi::Stat>().write(answer) };
            Ok(result)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; `new` is valid, too.
    unsafe extern "C" fn set(
        served: *const c::rust_shm_served,
        id: c_int,
        new: *const c::rust_shm_stat,
    ) -> c_long {
        // SAFETY: As in `get()`, and by this function's requirement; `header.rs` checks that the types are
        // the same.
        from_result(|| unsafe { Self::calls(served).set(id, &*new.cast()) }.map(|()| 0))
    }

    /// # Safety
    ///
    /// As for [`Self::get`].
    unsafe extern "C" fn control(
        served: *const c::rust_shm_served,
        id: c_int,
        cmd: c_int,
    ) -> c_long {
        from_result(|| {
            // SAFETY: As in `get()`.
            let calls: &T = unsafe { Self::calls(served) };
            // CAST: A command is not negative.
            calls.control(id, cmd as u32).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; `limits` is valid for writes.
    unsafe extern "C" fn limits(
        served: *const c::rust_shm_served,
        limits: *mut c::rust_shm_limits,
    ) -> c_long {
        from_result(|| {
            // SAFETY: As in `get()`.
            let (answer, highest) = unsafe { Self::calls(served) }.limits()?;
            // SAFETY: By this function's requirement; `header.rs` checks that the types are the same.
            unsafe { limits.cast::<uapi::Limits>().write(answer) };
            Ok(highest as isize)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; `usage` is valid for writes.
    unsafe extern "C" fn usage(
        served: *const c::rust_shm_served,
        usage: *mut c::rust_shm_usage,
    ) -> c_long {
        from_result(|| {
            // SAFETY: As in `get()`.
            let (answer, highest) = unsafe { Self::calls(served) }.usage()?;
            // SAFETY: By this function's requirement; `header.rs` checks that the types are the same.
            unsafe { usage.cast::<uapi::Usage>().write(answer) };
            Ok(highest as isize)
        })
    }

    /// # Safety
    ///
    /// Called once by `served.c` with what [`serve`] gave it, when nobody else has it any more.
    unsafe extern "C" fn free(served: *mut c::rust_shm_served) {
        // SAFETY: By this function's requirement it is ours again.
        drop(unsafe { KBox::from_raw(served.cast::<Self>()) });
    }
}

/// Serves a namespace with `calls` from now on; does nothing if it is served. `EBUSY` if the built-in has
/// segments in it; `EOPNOTSUPP` on a kernel where the system calls cannot be probed; `EINTR` for a caller
/// that is killed. The module stays loaded until that ends.
pub(crate) fn serve<T: SystemCalls>(namespace: &IpcNamespace, calls: T) -> Result {
    // INVARIANT: The head has `CALLS`.
    let served = KBox::new(
        Served {
            head: Opaque::new(c::rust_shm_served {
                calls: Served::<T>::CALLS,
                ..Default::default()
            }),
            calls,
            _module: ModuleRef::get()?,
        },
        GFP_KERNEL_ACCOUNT,
    )?;
    // SAFETY: A reference keeps the namespace, with its number. `served` is valid until `free()`, which is
    // called once for it, also after an error.
    let result = to_result(unsafe {
        c::rust_shm_serve(
            namespace.as_ptr(),
            namespace.id().number(),
            KBox::into_raw(served).cast::<c::rust_shm_served>(),
        )
    });
    match result {
        Err(e) if e == EEXIST => Ok(()),
        result => result,
    }
}

/// Returns whether a namespace is served.
pub(crate) fn serves(id: NamespaceId) -> bool {
    // SAFETY: Always safe to call.
    unsafe { c::rust_shm_serves(id.number()) }
}

/// Serves a namespace no longer: returns what it had, if it was served. Does not sleep.
pub(crate) fn end(id: NamespaceId) -> Option<Ended> {
    // SAFETY: Always safe to call.
    let served = NonNull::new(unsafe { c::rust_shm_end_serving(id.number()) })?;
    // INVARIANT: It was just taken away.
    Some(Ended(served))
}

/// What a namespace had that is not served any more. Dropping it, which may sleep, has it freed as soon
/// as no call is in it, and removes the probes with the last one.
///
/// # Invariants
///
/// `served.c` does not find it any more, and nobody else has taken it.
pub(crate) struct Ended(NonNull<c::rust_shm_served>);

// SAFETY: Any task may have it freed.
unsafe impl Send for Ended {}

impl Ended {
    /// Drops it, and waits for up to a second until it is freed: the module can be unloaded then.
    pub(crate) fn wait(self) {
        drop(self);
        // SAFETY: May sleep, as the drop does.
        unsafe { c::rust_shm_wait_for_calls() };
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { c::rust_shm_free_served(self.0.as_ptr()) };
    }
}

/// Keeps the code while a task is in the last instructions of a call: dropping it waits for that.
pub(crate) struct Calls;

impl Drop for Calls {
    fn drop(&mut self) {
        // SAFETY: May sleep. No namespace is served: each would hold a reference to the module.
        unsafe { c::rust_shm_end_calls() };
    }
}
