// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes for tests.

#![allow(dead_code)]

use rshm::{Anonymous, Device, Memory, ReadWrite};
use std::{
    io,
    mem::forget,
    ops::Deref,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

/// How long what is to happen may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Memory for children too: a segment of the module's where `RSHM_TEST_DEVICE` is set, as in a guest.
pub fn memory(size: usize) -> Box<dyn Deref<Target = Memory<ReadWrite>>> {
    if std::env::var_os("RSHM_TEST_DEVICE").is_none() {
        return Box::new(Anonymous::new(size).unwrap());
    }
    let segment = Device::open()
        .unwrap()
        .segment(size as u64)
        .create()
        .unwrap();
    let memory = segment.attach().unwrap();
    segment.remove().unwrap();
    Box::new(memory)
}

/// A process that is forked off. It is killed when it is dropped.
pub struct Child(libc::pid_t);

impl Child {
    pub fn new(run: impl FnOnce()) -> Self {
        // SAFETY: The child uses what this thread has, and ends below.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "{}", io::Error::last_os_error());
        if pid == 0 {
            let result = std::panic::catch_unwind(AssertUnwindSafe(run));
            // SAFETY: This ends the process, without what the parent would do at its end.
            unsafe { libc::_exit(result.is_err().into()) };
        }
        Self(pid)
    }

    pub fn pid(&self) -> libc::pid_t {
        self.0
    }

    fn wait(&self) -> i32 {
        let mut status = 0;
        // SAFETY: It is our child, which nobody else waits for.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        status
    }

    /// Waits until it stands still for `ptrace(2)`, and says by which signal.
    pub fn stopped(&self) -> i32 {
        let status = self.wait();
        assert!(libc::WIFSTOPPED(status), "it has ended: {status:#x}");
        libc::WSTOPSIG(status)
    }

    /// Whether it has ended, and has not been waited for.
    pub fn has_ended(&self) -> bool {
        state(self) == 'Z'
    }

    /// Waits until it has ended, well.
    pub fn join(self) {
        until(|| self.has_ended());
        let status = self.wait();
        forget(self);
        assert_eq!(status, 0);
    }

    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: It is our child, which nobody has waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        self.wait();
    }
}

pub fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn sleep_for_ever() {
    loop {
        std::thread::sleep(PATIENCE);
    }
}

/// Whether it sleeps in the kernel.
pub fn sleeps(child: &Child) -> bool {
    state(child) == 'S'
}

fn state(child: &Child) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0)).unwrap();
    let state = stat.rsplit(')').next().unwrap().trim().chars().next();
    state.unwrap()
}
