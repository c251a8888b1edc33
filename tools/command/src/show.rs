// SPDX-License-Identifier: GPL-2.0-only

//! `rshm show`.

use crate::{
    cli::Show,
    list::{self, Column},
    names,
    output::{
        complain, count, for_people, print_json, stdout, styled, Failure, Kind, Result, Table, BOLD,
    },
    processes::{self, Attached, Memory, Report},
    units,
};
use clap::ValueEnum;
use nix::unistd::Uid;
use rshm::{Device, Info};
use serde_json::{json, Value};
use std::{collections::HashSet, io::Write, iter};

pub fn run(device: &Device, show: &Show) -> Result {
    let has_key = |info: &Info| {
        show.key
            .is_some_and(|key| !key.is_private() && info.key() == key)
    };
    let all = device.list_with_huge(|info| show.ids.contains(&info.id()) || has_key(info))?;
    let mut ids = show.ids.clone();
    let mut failed = false;
    if let Some(key) = show.key {
        match all.iter().find(|info| has_key(info)) {
            Some(info) => ids.push(info.id()),
            None => {
                return Err(Failure::failed(format_args!(
                    "there is no segment with key {key}: rshm ls lists the segments"
                )))
            }
        }
    }
    let mut infos = Vec::new();
    for id in ids {
        match all.iter().find(|info| info.id() == id) {
            Some(info) => infos.push(info),
            None => {
                complain(format_args!(
                    "there is no segment {id}: rshm ls lists the segments"
                ));
                failed = true;
            }
        }
    }
    let wanted: HashSet<i32> = infos.iter().map(|info| info.id()).collect();
    let report = processes::attached(&wanted)
        .map_err(|error| Failure::failed(format_args!("cannot read /proc: {error}")))?;

    if show.json {
        let segments: Vec<Value> = infos.iter().map(|info| object(info, &report)).collect();
        print_json(json!({ "segments": segments, "processes_not_seen": report.denied }))?;
    } else {
        for (number, info) in infos.iter().enumerate() {
            if number > 0 {
                writeln!(stdout())?;
            }
            describe(info, &report, show.bytes || !for_people())?;
        }
    }
    if let Some(why) = &report.unknown {
        complain(format_args!(
            "cannot tell attaches of the module from the kernel's own, so none are shown: {why}"
        ));
        failed = true;
    }
    if report.denied > 0 && !show.json {
        complain(format_args!(
            "{} cannot be read{}",
            count(report.denied, "process", "processes"),
            if Uid::effective().is_root() {
                ""
            } else {
                ": run rshm as root to see all"
            }
        ));
    }
    if failed {
        return Err(Failure::new(1, ""));
    }
    Ok(())
}

fn attached<'report>(info: &Info, report: &'report Report) -> &'report [Attached] {
    report.attached.get(&info.id()).map_or(&[], Vec::as_slice)
}

fn object(info: &Info, report: &Report) -> Value {
    let mut object = list::object(info, Column::value_variants());
    let processes = attached(info, report).iter().map(|process| {
        json!({
            "pid": process.pid,
            "command": process.command,
            "mappings": process.mappings,
            "mapped": process.mapped,
            "writes": process.writes,
            "user": process.user.map(names::user),
            "uid": process.user,
            "resident": memory(process, |memory| memory.resident),
            "proportional": memory(process, |memory| memory.proportional),
            "huge": memory(process, |memory| memory.huge),
            "swap": memory(process, |memory| memory.swap),
            "nodes": process.memory.iter().flat_map(|memory| &memory.nodes).map(|(node, bytes)| {
                json!({ "node": node, "bytes": bytes })
            }).collect::<Vec<_>>(),
        })
    });
    object.insert("processes".into(), processes.collect());
    object.insert(
        "elsewhere".into(),
        json!(report.elsewhere.get(&info.id()).copied().unwrap_or(0)),
    );
    Value::Object(object)
}

/// How much of a segment is where, in so many letters, and what they mean.
pub fn bar(info: &Info, width: u64) -> String {
    let (resident, swap) = (info.resident(), info.swap());
    let all = info.size().max(resident + swap).max(1);
    let mut bar = String::new();
    for (letter, end) in [
        ('#', info.huge().unwrap_or(0)),
        ('=', resident),
        ('~', resident + swap),
        ('.', all),
    ] {
        // Of what there is at all, a letter is shown if there is room.
        let end = (u128::from(end) * u128::from(width)).div_ceil(u128::from(all)) as usize;
        bar.extend(iter::repeat_n(letter, end.saturating_sub(bar.len())));
    }
    format!("[{bar}] # huge  = small  ~ swapped  . untouched")
}

fn memory(process: &Attached, of: fn(&Memory) -> u64) -> Option<u64> {
    process.memory.as_ref().map(of)
}

fn describe(info: &Info, report: &Report, bytes: bool) -> Result {
    let mut out = stdout();
    for column in Column::value_variants() {
        let mut text = column.text(info, bytes);
        if let (false, Some(time)) = (bytes, units::local(column.time(info))) {
            text = format!("{time} ({text})");
        }
        let text = if text.is_empty() { "-" } else { &text };
        writeln!(
            out,
            "{} {}",
            styled(BOLD, &format!("{:<9}", column.name())),
            crate::output::printable(text)
        )?;
        if *column == Column::Swap && for_people() {
            writeln!(out, "          {}", bar(info, 24))?;
        }
    }
    drop(out);

    let processes = attached(info, report);
    if !processes.is_empty() {
        let headings = [
            ("PID", Kind::Number),
            ("USER", Kind::Text),
            ("COMMAND", Kind::Text),
            ("ACCESS", Kind::Word),
            ("MAPPINGS", Kind::Number),
            ("MAPPED", Kind::Number),
            ("RSS", Kind::Number),
            ("PSS", Kind::Number),
            ("HUGE", Kind::Number),
            ("SWAP", Kind::Number),
            ("NODES", Kind::Word),
        ];
        let mut table = Table::new(headings.map(|(name, kind)| (name.to_owned(), kind)));
        for process in processes {
            let size = |of: fn(&Memory) -> u64| {
                memory(process, of).map_or(String::new(), |size| units::size(size, bytes))
            };
            let nodes = process.memory.iter().flat_map(|memory| &memory.nodes);
            let nodes = nodes.map(|(node, size)| format!("{node}:{}", units::size(*size, bytes)));
            table.row(vec![
                process.pid.to_string(),
                process.user.map_or(String::new(), names::user),
                process.command.clone(),
                if process.writes { "rw" } else { "r" }.into(),
                process.mappings.to_string(),
                units::size(process.mapped, bytes),
                size(|memory| memory.resident),
                size(|memory| memory.proportional),
                size(|memory| memory.huge),
                size(|memory| memory.swap),
                nodes.collect::<Vec<_>>().join(","),
            ]);
        }
        writeln!(stdout())?;
        table.print(true)?;
    }
    // For people: who is not there.
    let seen: u64 = processes.iter().map(|process| process.mappings).sum();
    if seen < info.attaches() {
        complain(format_args!(
            "segment {}: {seen} of {} are shown; the others belong to processes that are not visible here",
            info.id(),
            count(info.attaches(), "attach", "attaches")
        ));
    }
    if let Some(number) = report.elsewhere.get(&info.id()) {
        complain(format_args!(
            "segment {}: {} with this id in other IPC namespaces, most likely of other segments",
            info.id(),
            count(*number, "mapping", "mappings")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rshm::abi::Stat;

    #[test]
    fn a_bar_shows_what_is_where() {
        let bar = |segsz, rss, swap| {
            let stat = Stat {
                segsz,
                rss,
                swap,
                ..Stat::default()
            };
            bar(&Info::from_raw(0, stat), 8)
                .split(']')
                .next()
                .map(str::to_owned)
                .unwrap()
        };
        assert_eq!(bar(8 << 20, 4 << 20, 2 << 20), "[====~~..");
        assert_eq!(bar(8 << 20, 4096, 0), "[=.......");
        assert_eq!(bar(1, 4096, 0), "[========");
        assert_eq!(bar(u64::MAX / 2, 0, 0), "[........");
    }
}
