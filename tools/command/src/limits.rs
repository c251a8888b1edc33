// SPDX-License-Identifier: GPL-2.0-only

//! `rshm limits`.

use crate::{
    cli::Limits,
    output::{for_people, print_json, reason, Failure, Kind, Result, Table},
    units,
};
use rshm::Device;
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where a limit is set: a sysctl of the IPC namespace, or on kernels without, a parameter.
fn place(name: &str) -> PathBuf {
    let sysctl = Path::new("/proc/sys/kernel").join(name);
    if sysctl.exists() {
        sysctl
    } else {
        Path::new("/sys/module/rust_shm/parameters").join(name)
    }
}

fn set(name: &str, value: u64) -> Result {
    let place = place(name);
    fs::write(&place, format!("{value}\n")).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ": needs root: use sudo"
            }
            io::ErrorKind::NotFound => ": load the module first",
            io::ErrorKind::InvalidInput => ": the kernel refuses this value",
            _ => "",
        };
        let text = reason(&error);
        Failure::failed(format_args!(
            "cannot set {name} to {value}: {}: {text}{hint}",
            place.display()
        ))
    })
}

pub fn run(device: &Device, limits: &Limits) -> Result {
    let wanted = [
        ("shmmax", limits.shmmax),
        ("shmall", limits.shmall),
        ("shmmni", limits.shmmni),
    ];
    let old = device.limits()?;
    let old = [old.shmmax, old.shmall, old.shmmni];
    for (number, (name, value)) in wanted.iter().enumerate() {
        if let Some(value) = value {
            if let Err(failure) = set(name, *value) {
                // All or none.
                for ((name, value), old) in wanted[..number].iter().zip(old) {
                    if value.is_some() {
                        set(name, old)?;
                    }
                }
                return Err(failure);
            }
        }
    }
    if wanted.iter().any(|(_, value)| value.is_some()) && !limits.json {
        return Ok(());
    }

    let (now, usage) = (device.limits()?, device.usage()?);
    if limits.json {
        return print_json(json!({
            "shmmax": now.shmmax, "shmmin": now.shmmin, "shmall": now.shmall, "shmmni": now.shmmni,
            "segments": usage.segments, "pages": usage.pages, "resident_pages": usage.resident_pages,
            "swapped_pages": usage.swapped_pages,
        }));
    }
    let bytes = limits.bytes || !for_people();
    let headings = [
        ("LIMIT", Kind::Word),
        ("VALUE", Kind::Number),
        ("USED", Kind::Number),
        ("MEANING", Kind::Text),
    ];
    let mut table = Table::new(headings.map(|(name, kind)| (name.to_owned(), kind)));
    let mut row = |name: &str, value: String, used: String, meaning: &str| {
        table.row(vec![name.into(), value, used, meaning.into()]);
    };
    row(
        "shmmax",
        units::limit(now.shmmax, |value| units::size(value, bytes)),
        String::new(),
        "largest segment, in bytes",
    );
    row(
        "shmall",
        units::limit(now.shmall, |value| value.to_string()),
        usage.pages.to_string(),
        "all segments together, in pages",
    );
    row(
        "shmmni",
        now.shmmni.to_string(),
        usage.segments.to_string(),
        "number of segments",
    );
    row(
        "shmmin",
        units::size(now.shmmin, bytes),
        String::new(),
        "smallest segment, in bytes",
    );
    Ok(table.print(true)?)
}
