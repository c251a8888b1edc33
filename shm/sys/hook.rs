// SPDX-License-Identifier: GPL-2.0

//! A kprobe that tells of an IPC namespace that ends.
//!
//! `shm_exit_ns()` runs once for every namespace, when nobody can enter it any more and before it
//! is freed. It is not a hook that modules are meant to have, so a probe is put on it. There is one
//! in the system, made when the module is loaded.

use super::{
    bindings::{
        kprobe,
        register_kprobe,
        unregister_kprobe, //
    },
    ipc_ns::{
        self,
        NamespaceId, //
    }, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

// Through ftrace, the handler runs with preemption disabled, where it may take a spinlock. Through
// a breakpoint it would be an NMI on x86, where it may not.
#[cfg(all(CONFIG_X86_64, not(CONFIG_KPROBES_ON_FTRACE)))]
compile_error!("rust_shm needs a kernel with CONFIG_KPROBES_ON_FTRACE=y");
#[cfg(CONFIG_PREEMPT_RT)]
compile_error!(
    "rust_shm does not support CONFIG_PREEMPT_RT=y: its spinlocks would sleep in a probe"
);

/// Who is told.
pub(crate) trait OnNamespaceEnd: Send + Sync {
    /// The namespace ends. Called in atomic context: it may not sleep.
    fn namespace_ended(&self, id: NamespaceId);
}

/// The probe. It is taken away when this is dropped; no call is under way after that.
///
/// # Invariants
///
/// `probe` is registered, and the first field of a pinned `Self`.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct NamespaceEndHook<T: OnNamespaceEnd> {
    #[pin]
    probe: Opaque<kprobe>,
    target: T,
}

// SAFETY: A kprobe may be unregistered from another thread than it was registered from; `T` is
// `Send`.
unsafe impl<T: OnNamespaceEnd> Send for NamespaceEndHook<T> {}
// SAFETY: There is nothing to call on a shared reference but `T`, which is `Sync`.
unsafe impl<T: OnNamespaceEnd> Sync for NamespaceEndHook<T> {}

impl<T: OnNamespaceEnd> NamespaceEndHook<T> {
    /// Starts to tell `target`. Fails with `ENOENT` on a kernel without `shm_exit_ns()`.
    pub(crate) fn new(target: T) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            target,
            // `target` is first here: it must be there when the probe first fires.
            probe <- Opaque::try_ffi_init(|slot: *mut kprobe| {
                // SAFETY: `slot` is valid for writes, and a kprobe is plain data that is all zeros
                // at first.
                unsafe { slot.write_bytes(0, 1) };
                // SAFETY: `slot` was just made valid.
                unsafe {
                    (*slot).symbol_name = c"shm_exit_ns".as_char_ptr();
                    (*slot).pre_handler = Some(Self::hit);
                }
                // SAFETY: The probe is filled in, and pinned until `drop()` takes it away.
                to_result(unsafe { register_kprobe(slot) })
            }),
        })
    }

    /// # Safety
    ///
    /// Called by a registered probe of a `Self` on `shm_exit_ns()`, on entry to that function.
    unsafe extern "C" fn hit(probe: *mut kprobe, regs: *mut bindings::pt_regs) -> c_int {
        // SAFETY: By the type invariant, the probe is the first field of a pinned `Self`, which is
        // not dropped before `unregister_kprobe()` has waited for this call.
        let this = unsafe { &*probe.cast::<Self>() };
        // SAFETY: `regs` are those on entry to `shm_exit_ns(struct ipc_namespace *)`, which frees
        // nothing of the namespace itself.
        let id = unsafe { ipc_ns::id_of(first_argument(regs).cast()) };
        this.target.namespace_ended(id);
        0
    }
}

/// The first argument of a function, on entry to it (`regs_get_kernel_argument()`, which is
/// inline).
///
/// # Safety
///
/// `regs` must be valid.
unsafe fn first_argument(regs: *const bindings::pt_regs) -> *const c_void {
    #[cfg(CONFIG_X86_64)]
    // SAFETY: By this function's requirement.
    let argument = unsafe { (*regs).di };
    #[cfg(CONFIG_ARM64)]
    // SAFETY: By this function's requirement.
    let argument = unsafe { (*regs).__bindgen_anon_1.__bindgen_anon_1.regs[0] };
    argument as *const c_void
}

#[pinned_drop]
impl<T: OnNamespaceEnd> PinnedDrop for NamespaceEndHook<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the probe is registered. This waits until no handler runs.
        unsafe { unregister_kprobe(self.probe.get()) };
    }
}
