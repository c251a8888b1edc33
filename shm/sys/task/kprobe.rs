// SPDX-License-Identifier: GPL-2.0

//! Kprobes on kernel functions that have no notifier for modules:
//!
//! - `shm_exit_ns()` runs once for every IPC namespace, when no task can enter it any more and
//!   before it is freed. Without SYSVIPC, `mq_clear_sbinfo()` is probed instead.
//! - `shm_destroy_orphaned()` runs when 1 is written to `kernel.shm_rmid_forced`.
//! - `exit_shm()` runs in every task that exits, or leaves its IPC namespace by `unshare(2)`.

use crate::shm::sys::{
    bindings,
    compat::CStrExt as _,
    task::ipc_ns::{
        self,
        NamespaceId, //
    }, //
};
use core::{
    ffi::CStr,
    marker::PhantomData, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

// A kprobe on ftrace runs its handler with preemption disabled, where raw spinlocks may be taken. A
// breakpoint on x86 runs it in NMI context, where they may not. On arm64, which has no kprobes on
// ftrace, it runs with all interrupts masked: nobody who holds such a lock can be interrupted by it.
#[cfg(all(CONFIG_ARM64, not(CONFIG_KPROBES)))]
compile_error!("rust_shm needs a kernel with CONFIG_KPROBES=y");
#[cfg(all(CONFIG_X86_64, not(CONFIG_KPROBES_ON_FTRACE)))]
compile_error!("rust_shm needs a kernel with CONFIG_KPROBES_ON_FTRACE=y");
#[cfg(not(CONFIG_PREEMPTION))]
compile_error!("rust_shm needs a kernel with CONFIG_PREEMPTION=y: it has no cond_resched()");
#[cfg(CONFIG_LTO_CLANG_FULL)]
compile_error!("rust_shm does not support CONFIG_LTO_CLANG_FULL=y: what it probes is inlined");

/// A probed kernel function, and how its entry is reported to a `T`.
///
/// # Safety
///
/// `notify()` must be sound to call with the first argument of `FUNCTION`, on entry to it.
pub(crate) unsafe trait Event<T> {
    /// The name of the function.
    const FUNCTION: &'static CStr;

    /// Notifies `target`. Called in atomic context: must not sleep, nor allocate or free memory on
    /// `CONFIG_PREEMPT_RT`, where the allocator's locks sleep.
    ///
    /// # Safety
    ///
    /// `argument` must be the first argument of the function, on entry to it.
    unsafe fn notify(target: &T, argument: *const c_void);
}

/// The end of an IPC namespace.
#[cfg(CONFIG_IPC_NS)]
pub(crate) struct NamespaceEnd;

/// The target of [`NamespaceEnd`].
#[cfg(CONFIG_IPC_NS)]
pub(crate) trait OnNamespaceEnd {
    /// Called when a namespace ends. Must not sleep.
    fn namespace_ended(&self, id: NamespaceId);
}

#[cfg(CONFIG_IPC_NS)]
// SAFETY: Both functions have one argument, a `struct ipc_namespace *`, and return before the
// namespace is freed.
unsafe impl<T: OnNamespaceEnd> Event<T> for NamespaceEnd {
    #[cfg(CONFIG_SYSVIPC)]
    const FUNCTION: &'static CStr = c"shm_exit_ns";
    /// Without SYSVIPC, `shm_exit_ns()` is an empty inline function. IPC namespaces exist because
    /// of POSIX_MQUEUE then, and `put_ipc_ns()` calls this function for the last reference, holding
    /// the spinlock `mq_lock`. No other user of that lock takes a lock of this module.
    #[cfg(not(CONFIG_SYSVIPC))]
    const FUNCTION: &'static CStr = c"mq_clear_sbinfo";

    unsafe fn notify(target: &T, argument: *const c_void) {
        // SAFETY: By this function's requirement it is a namespace, valid during the call.
        target.namespace_ended(unsafe { ipc_ns::id_of(argument.cast()) });
    }
}

/// `kernel.shm_rmid_forced` of a namespace is being set to 1.
#[cfg(CONFIG_SYSVIPC)]
pub(crate) struct RmidForced;

/// The target of [`RmidForced`].
#[cfg(CONFIG_SYSVIPC)]
pub(crate) trait OnRmidForced {
    /// Called when the sysctl of a namespace is set. Must not sleep.
    fn rmid_forced(&self, id: NamespaceId);
}

#[cfg(CONFIG_SYSVIPC)]
// SAFETY: `shm_destroy_orphaned(struct ipc_namespace *)` is called while a sysctl of the namespace
// is being written, for which `retire_ipc_sysctls()` waits before the namespace is freed.
unsafe impl<T: OnRmidForced> Event<T> for RmidForced {
    const FUNCTION: &'static CStr = c"shm_destroy_orphaned";

    unsafe fn notify(target: &T, argument: *const c_void) {
        // SAFETY: By this function's requirement it is a namespace, valid during the call.
        target.rmid_forced(unsafe { ipc_ns::id_of(argument.cast()) });
    }
}

/// A thread exits, or leaves its IPC namespace.
#[cfg(CONFIG_SYSVIPC)]
pub(crate) struct CreatorLeaves;

/// The target of [`CreatorLeaves`].
#[cfg(CONFIG_SYSVIPC)]
pub(crate) trait OnCreatorLeaves {
    /// Called by the thread in question. Must not sleep.
    fn creator_leaves(&self);
}

#[cfg(CONFIG_SYSVIPC)]
// SAFETY: `exit_shm(struct task_struct *)` is called with `current`; the argument is not used.
unsafe impl<T: OnCreatorLeaves> Event<T> for CreatorLeaves {
    const FUNCTION: &'static CStr = c"exit_shm";

    unsafe fn notify(target: &T, _argument: *const c_void) {
        target.creator_leaves();
    }
}

/// A registered kprobe with its target. Dropping it unregisters the kprobe and waits for running
/// handlers.
///
/// # Invariants
///
/// `probe` is registered on the function of `P`, and the first field of a pinned `Self`.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Kprobe<P: Event<T>, T: Send + Sync> {
    #[pin]
    probe: Opaque<bindings::kprobe>,
    target: T,
    _event: PhantomData<P>,
}

// SAFETY: A kprobe may be unregistered from another thread than it was registered from; `T` is
// `Send`.
unsafe impl<P: Event<T>, T: Send + Sync> Send for Kprobe<P, T> {}
// SAFETY: A kprobe does its own locking, and `T` is `Sync`.
unsafe impl<P: Event<T>, T: Send + Sync> Sync for Kprobe<P, T> {}

impl<P: Event<T>, T: Send + Sync> Kprobe<P, T> {
    /// Registers the kprobe. `ENOENT` on a kernel without the function.
    pub(crate) fn new(target: T) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            target,
            _event: PhantomData,
            // `target` is initialised first: the handler may run as soon as the probe is
            // registered.
            probe <- Opaque::try_ffi_init(|slot: *mut bindings::kprobe| {
                // SAFETY: `slot` is valid for writes, and pinned until `drop()` unregisters the probe,
                // which is plain data that is all zeros at first.
                to_result(unsafe {
                    slot.write_bytes(0, 1);
                    (*slot).symbol_name = P::FUNCTION.as_char_ptr();
                    (*slot).pre_handler = Some(Self::hit);
                    bindings::register_kprobe(slot)
                })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by a registered probe of a `Self`, on entry to the function.
    unsafe extern "C" fn hit(probe: *mut bindings::kprobe, regs: *mut bindings::pt_regs) -> c_int {
        // SAFETY: By the type invariant, the probe is the first field of a pinned `Self`, which is
        // not dropped before `unregister_kprobe()` has waited for this call. `regs` are those on entry
        // to the function.
        unsafe { P::notify(&(*probe.cast::<Self>()).target, first_argument(regs)) };
        0
    }
}

/// Returns the first argument of a function, on entry to it (`regs_get_kernel_argument()`).
///
/// # Safety
///
/// `regs` must be valid.
unsafe fn first_argument(regs: *const bindings::pt_regs) -> *const c_void {
    // SAFETY: By this function's requirement.
    unsafe {
        #[cfg(CONFIG_X86_64)]
        let argument = (*regs).di;
        #[cfg(CONFIG_ARM64)]
        let argument = (*regs).__bindgen_anon_1.__bindgen_anon_1.regs[0];
        argument as *const c_void
    }
}

#[pinned_drop]
impl<P: Event<T>, T: Send + Sync> PinnedDrop for Kprobe<P, T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the probe is registered. This waits until no handler runs.
        unsafe { bindings::unregister_kprobe(self.probe.get()) };
    }
}
