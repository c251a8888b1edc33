// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes for tests.

#![allow(dead_code)]

use std::{
    io,
    mem::forget,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

/// How long what is to happen may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

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

    fn wait(&self) -> i32 {
        let mut status = 0;
        // SAFETY: It is our child, which nobody else waits for.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        status
    }

    /// Waits until it has ended, well.
    pub fn join(self) {
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

/// Whether a thread sleeps in the kernel.
pub fn sleeps(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0)).unwrap();
    stat.rsplit(')').next().unwrap().trim().starts_with('S')
}
