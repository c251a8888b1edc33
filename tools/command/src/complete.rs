// SPDX-License-Identifier: GPL-2.0-only

//! What a shell offers where a value is to be typed: what there is now. The shell asks rshm itself, by an
//! environment variable; `rshm completions` prints what makes it ask.

use crate::{list::Column, units};
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use rshm::{Device, Info};
use std::{collections::BTreeSet, env, ffi::OsStr, fs, os::unix::fs::PermissionsExt};

/// By which the shell asks.
pub const VARIABLE: &str = "RSHM_COMPLETE";

fn infos() -> Vec<Info> {
    Device::open()
        .and_then(|device| device.list())
        .unwrap_or_default()
}

fn described(value: String, info: &Info) -> CompletionCandidate {
    let size = units::human(info.size());
    let owner = crate::names::user(info.raw().uid);
    CompletionCandidate::new(value).help(Some(format!("{size}, owner {owner}").into()))
}

/// Segments by their ids.
pub fn ids() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = infos();
        all.iter()
            .map(|info| described(info.id().to_string(), info))
            .collect()
    })
}

/// Segments by their keys.
pub fn keys() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = infos();
        let keys = all.iter().filter(|info| !info.key().is_private());
        keys.map(|info| described(info.key().to_string(), info))
            .collect()
    })
}

/// The users that this machine has itself.
pub fn users() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = |line: &str| line.split(':').next().map(CompletionCandidate::new);
        all.lines().filter_map(name).collect()
    })
}

/// Columns with commas between.
pub fn columns() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let current = current.to_str().unwrap_or_default();
        let at = current.rfind([',', '+']).map_or(0, |at| at + 1);
        let (before, begun) = current.split_at(at);
        <Column as clap::ValueEnum>::value_variants()
            .iter()
            .map(|column| column.name())
            .chain(["all".into()])
            .filter(|name| name.starts_with(begun))
            .map(|name| CompletionCandidate::new(format!("{before}{name}")))
            .collect()
    })
}

/// A program to be run, and then files.
pub fn command() -> ArgValueCompleter {
    ArgValueCompleter::new(Command)
}

struct Command;

impl ValueCompleter for Command {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        self.complete_at(0, current)
    }

    fn complete_at(&self, index: usize, current: &OsStr) -> Vec<CompletionCandidate> {
        let text = current.to_str().unwrap_or_default();
        if index > 0 || text.contains('/') {
            return PathCompleter::any().complete(current);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let programs: BTreeSet<String> = env::split_paths(&path)
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let file = name
                    .starts_with(text)
                    .then(|| fs::metadata(entry.path()).ok())??;
                (file.is_file() && file.permissions().mode() & 0o111 != 0).then_some(name)
            })
            .collect();
        programs.into_iter().map(CompletionCandidate::new).collect()
    }
}
