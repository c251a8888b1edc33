// SPDX-License-Identifier: GPL-2.0

//! A spinlock that a kprobe handler may take.
//!
//! With `CONFIG_PREEMPT_RT` a [`SpinLock`](kernel::sync::SpinLock) sleeps, and a handler must not:
//! there this is a `raw_spinlock_t`, elsewhere the same as `SpinLock`. While it is held on
//! `CONFIG_PREEMPT_RT`, memory can be neither allocated nor freed, and no other kind of lock taken.

#[cfg(not(CONFIG_PREEMPT_RT))]
pub(crate) use kernel::{
    new_spinlock as new_raw_spinlock,
    sync::SpinLock as RawSpinLock, //
};

#[cfg(CONFIG_PREEMPT_RT)]
pub(crate) use self::rt::{
    new_raw_spinlock,
    RawSpinLock, //
};

#[cfg(CONFIG_PREEMPT_RT)]
mod rt {
    use kernel::{
        bindings,
        prelude::*,
        sync::lock::{
            Backend,
            Lock, //
        }, //
    };

    /// A `raw_spinlock_t` and what it guards.
    pub(crate) type RawSpinLock<T> = Lock<T, RawSpinLockBackend>;

    /// Creates an initialiser of a [`RawSpinLock`], as [`kernel::new_spinlock!`].
    macro_rules! new_raw_spinlock {
        ($value:expr, $name:literal) => {
            $crate::shm::sys::sync::raw_spinlock::RawSpinLock::new(
                $value,
                ::kernel::optional_name!($name),
                ::kernel::static_lock_class!(),
            )
        };
    }
    pub(crate) use new_raw_spinlock;

    /// The operations of `raw_spinlock_t`.
    pub(crate) struct RawSpinLockBackend;

    // SAFETY: `raw_spinlock_t` excludes, from `lock()` or a successful `try_lock()` to `unlock()`.
    unsafe impl Backend for RawSpinLockBackend {
        type State = bindings::raw_spinlock_t;
        type GuardState = ();

        #[cfg(CONFIG_DEBUG_SPINLOCK)]
        unsafe fn init(
            ptr: *mut Self::State,
            name: *const c_char,
            key: *mut bindings::lock_class_key,
        ) {
            // SAFETY: By this function's requirements.
            unsafe {
                bindings::__raw_spin_lock_init(
                    ptr,
                    name,
                    key,
                    bindings::lockdep_wait_type_LD_WAIT_SPIN as c_short,
                )
            };
        }

        #[cfg(not(CONFIG_DEBUG_SPINLOCK))]
        unsafe fn init(
            ptr: *mut Self::State,
            _name: *const c_char,
            _key: *mut bindings::lock_class_key,
        ) {
            // As `__RAW_SPIN_LOCK_UNLOCKED`: all zeros.
            //
            // SAFETY: By this function's requirements.
            unsafe { ptr.write_bytes(0, 1) };
        }

        unsafe fn lock(ptr: *mut Self::State) {
            // SAFETY: By this function's requirement the lock is initialised.
            unsafe { bindings::_raw_spin_lock(ptr) };
        }

        unsafe fn try_lock(ptr: *mut Self::State) -> Option<()> {
            // SAFETY: By this function's requirement the lock is initialised.
            (unsafe { bindings::_raw_spin_trylock(ptr) } != 0).then_some(())
        }

        unsafe fn unlock(ptr: *mut Self::State, _guard_state: &()) {
            // SAFETY: By this function's requirement the caller has the lock.
            unsafe { bindings::_raw_spin_unlock(ptr) };
        }

        // Not used: the kernel's function for it is inline.
        unsafe fn assert_is_held(_ptr: *mut Self::State) {}
    }
}
