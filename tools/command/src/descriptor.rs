// SPDX-License-Identifier: GPL-2.0-only

//! `rshm fd`.

use crate::{
    cli::Fd,
    output::{Failure, Result},
    run::{execute, OURS},
};
use rshm::{Device, Error};
use std::{os::fd::OwnedFd, process::Command};

/// Becomes the program, with the segment as its standard input.
pub fn run(device: &Device, fd: &Fd) -> Result {
    let segment = device.segment_by_id(fd.id);
    let failed = |error: Error| Failure::new(OURS, error.with_hint());
    let descriptor: OwnedFd = if fd.write {
        segment.into_fd().map_err(failed)?.into()
    } else {
        segment.into_fd_read_only().map_err(failed)?.into()
    };
    match fd.program.as_slice() {
        [program, arguments @ ..] => {
            execute(Command::new(program).args(arguments).stdin(descriptor))
        }
        [] => Err(Failure::usage("which program?")),
    }
}
