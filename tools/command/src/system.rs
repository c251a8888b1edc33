// SPDX-License-Identifier: GPL-2.0-only

//! `rshm system` and `rshm run --system`: System V shared memory by the system calls themselves, which
//! the module serves in an IPC namespace.

use crate::{
    cli::Switch,
    output::{complain, reason, stdout, Failure, Result},
};
use nix::{
    errno::Errno,
    mount::{mount, MsFlags},
    sched::{unshare, CloneFlags},
};
use rshm::Device;
use std::{
    io::{Error, Write},
    path::Path,
};

/// The kernel's own table. On a kernel without System V shared memory the module makes it.
const TABLE: &str = "/proc/sysvipc/shm";
/// There is none of messages then.
const KERNELS: &str = "/proc/sysvipc/msg";

pub fn run(device: &Device, switch: Switch) -> Result {
    match switch {
        Switch::Status => {
            let on = device.serves_system_calls()?;
            let mut out = stdout();
            writeln!(out, "{}", if on { "on" } else { "off" })?;
            out.flush()?;
        }
        Switch::On => device.serve_system_calls(true)?,
        Switch::Off => device.serve_system_calls(false)?,
    }
    Ok(())
}

/// Makes the system calls of this process the module's: in this IPC namespace, or in a new one.
pub fn prepare(device: &Path, here: bool) -> Result {
    if !here {
        unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWNS).map_err(|errno| {
            let hint = match errno {
                Errno::EPERM => ": be root, or go through unshare --user --map-current-user --keep-caps rshm run --system -- ...",
                Errno::EINVAL => ": the kernel has no IPC namespaces; rshm run --system --here, and rshm system on, are for all its programs",
                _ => "",
            };
            Failure::failed(format_args!("a new IPC namespace: {}{hint}", said(errno)))
        })?;
        if let Err(errno) = show_table(device) {
            complain(format_args!(
                "{TABLE} shows the kernel's own segments: {}",
                said(errno)
            ));
        }
    }
    Ok(Device::open_path(device)?.serve_system_calls(true)?)
}

/// The device reads as the table does: it takes the table's place, for this process and those that it
/// starts. What is mounted outside later appears here, too.
fn show_table(device: &Path) -> nix::Result<()> {
    const NONE: Option<&str> = None;
    if !Path::new(KERNELS).exists() {
        return Ok(());
    }
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
    mount(Some(device), TABLE, NONE, MsFlags::MS_BIND, NONE)
}

fn said(errno: Errno) -> String {
    reason(&Error::from(errno))
}
