// SPDX-License-Identifier: GPL-2.0

//! Processes, by /proc.

use std::fs;

/// The name of a process that runs.
pub fn command(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}
