// SPDX-License-Identifier: GPL-2.0-only

//! `rshm rm`.

use crate::{
    cli::Rm,
    names,
    output::{self, complain, count, stdout, Failure, Result},
    units,
};
use indicatif::ProgressBar;
use rshm::{Device, Info};
use std::io::{self, IsTerminal, Write};

/// Of as many, a bar is worth while.
const MANY: usize = 1000;

pub fn run(open: impl FnOnce() -> rshm::Result<Device>, rm: &Rm) -> Result {
    let by_filter = rm.all || rm.filter.is_any();
    if rm.ids.is_empty() && rm.key.is_empty() && !by_filter {
        return Err(Failure::usage(
            "which segments? give ids, --key, --owner, --unattached or --all (see rshm rm --help)",
        ));
    }
    if by_filter && !(rm.ids.is_empty() && rm.key.is_empty()) {
        return Err(Failure::usage(
            "give ids and keys, or --owner, --unattached, --all, not both",
        ));
    }

    let device = open()?;
    let infos = device.list()?;
    let mut chosen: Vec<Info> = Vec::new();
    let mut failed = false;
    let mut choose = |what: String, takes: &dyn Fn(&Info) -> bool| {
        let before = chosen.len();
        for info in infos.iter().filter(|info| takes(info)) {
            if !chosen.iter().any(|other| other.id() == info.id()) {
                chosen.push(*info);
            } else {
                return;
            }
        }
        if chosen.len() == before {
            complain(format_args!("{what}: rshm ls lists the segments"));
            failed = true;
        }
    };
    for &id in &rm.ids {
        choose(format!("there is no segment {id}"), &|info| info.id() == id);
    }
    for &key in &rm.key {
        if key.is_private() {
            return Err(Failure::usage("private segments have no key: give ids"));
        }
        choose(format!("there is no segment with key {key}"), &|info| {
            info.key() == key
        });
    }
    if by_filter {
        // What is removed already goes with its last detach; but a restored one that nobody has attached.
        let is_left = |info: &&Info| !info.is_removed() || info.attaches() == 0;
        chosen.extend(
            infos
                .iter()
                .filter(is_left)
                .filter(|info| rm.filter.takes(info)),
        );
    }

    if rm.dry_run {
        let mut out = stdout();
        for info in &chosen {
            writeln!(out, "{}", describe(info))?;
        }
        out.flush()?;
    } else if !by_filter || chosen.is_empty() || rm.yes || ask(&chosen)? {
        let bar = if chosen.len() < MANY {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(chosen.len() as u64)
        };
        for info in &chosen {
            match device.segment_by_id(info.id()).remove() {
                Ok(()) => {}
                // Somebody else was faster: it is gone, as was wanted.
                Err(error)
                    if by_filter && matches!(error.errno_name(), Some("EINVAL" | "EIDRM")) => {}
                Err(error) => {
                    bar.suspend(|| complain(error.with_hint()));
                    failed = true;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
    } else {
        return Err(Failure::failed("nothing was removed"));
    }
    if failed {
        return Err(Failure::new(1, ""));
    }
    Ok(())
}

fn describe(info: &Info) -> String {
    let (size, owner) = (units::human(info.size()), names::user(info.raw().uid));
    let attaches = info.attaches();
    let key = match info.key() {
        key if key.is_private() => "no key".into(),
        key => format!("key {key}"),
    };
    format!(
        "{} ({key}, {size}, owner {owner}, {attaches} attached)",
        info.id()
    )
}

fn segments(chosen: &[Info]) -> String {
    count(chosen.len() as u64, "segment", "segments")
}

fn ask(chosen: &[Info]) -> Result<bool> {
    let mut out = io::stderr();
    if io::stdin().is_terminal() {
        for info in chosen.iter().take(10) {
            writeln!(out, "{}", describe(info))?;
        }
        if chosen.len() > 10 {
            writeln!(out, "... and {} more", chosen.len() - 10)?;
        }
    }
    let segments = segments(chosen);
    output::ask(
        &format!("Remove {segments}?"),
        &format!("remove {segments}"),
        "--yes, or --dry-run to see which",
    )
}
