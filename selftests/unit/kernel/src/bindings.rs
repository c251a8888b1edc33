// SPDX-License-Identifier: GPL-2.0

//! `kernel/sched/wait_bit.c`, as far as it decides about who sees what.

use crate::{model, sync::atomic::Atomic};
use core::ffi::{c_int, c_long, c_void};
use loom::sync::atomic::{
    fence,
    Ordering::{Acquire, Relaxed, SeqCst},
};

pub const TASK_KILLABLE: u32 = 0x102;

/// A secret.
#[allow(non_camel_case_types)]
pub struct hsiphash_key_t {
    pub key: [usize; 2],
}

/// A part of one.
///
/// # Safety
///
/// None.
pub unsafe fn get_random_u64() -> u64 {
    0
}

/// The key itself is its hash, so that a model can choose.
///
/// # Safety
///
/// None.
pub unsafe fn hsiphash_1u32(key: u32, _secret: *const hsiphash_key_t) -> u32 {
    key
}

/// An action of a wait; only named.
///
/// # Safety
///
/// None.
pub unsafe extern "C" fn bit_wait_timeout(_key: *mut c_void, _mode: c_int) -> c_int {
    0
}

/// Waits until the bit is 0; there is no timeout, so a wake-up that is lost is a deadlock.
///
/// # Safety
///
/// `word` must point to an `Atomic<usize>`.
pub unsafe fn out_of_line_wait_on_bit_timeout(
    word: *mut c_void,
    bit: c_int,
    _action: Option<unsafe extern "C" fn(*mut c_void, c_int) -> c_int>,
    _mode: u32,
    _timeout: usize,
) -> c_long {
    // SAFETY: By this function's requirement.
    let word = unsafe { &*word.cast::<Atomic<usize>>() };
    let queue = model::wait_queue();
    loop {
        // As `prepare_to_wait()`, which ends with `set_current_state()`.
        let before = *queue.wakeups.lock().unwrap();
        queue.active.store(true, Relaxed);
        fence(SeqCst);
        if word.word().load(Acquire) & (1 << bit) == 0 {
            break;
        }
        let mut wakeups = queue.wakeups.lock().unwrap();
        while *wakeups == before {
            wakeups = queue.woken.wait(wakeups).unwrap();
        }
    }
    0
}

/// As `__wake_up_bit()`: looks for those who wait without a lock.
///
/// # Safety
///
/// None.
pub unsafe fn wake_up_bit(_word: *mut c_void, _bit: c_int) {
    let queue = model::wait_queue();
    if queue.active.load(Relaxed) {
        *queue.wakeups.lock().unwrap() += 1;
        queue.woken.notify_all();
    }
}
