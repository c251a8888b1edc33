// SPDX-License-Identifier: GPL-2.0-only

//! `rshm ls`, and the columns that others show too.

use crate::{
    cli::{Filter, Ls},
    names,
    output::{for_people, print_json, Failure, Kind, Result, Table},
    processes, units,
};
use clap::ValueEnum;
use rshm::{Device, Info};
use serde_json::{json, Map, Value};
use std::time::SystemTime;

/// A column of `ls` and `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// Number by which it is attached
    Id,
    /// Key by which it is found
    Key,
    /// User that owns it
    Owner,
    /// Group that owns it
    Group,
    /// User that made it
    Creator,
    /// Group of the user that made it
    Cgroup,
    /// Permission bits, octal
    Mode,
    /// The same, as ls -l shows them
    Perms,
    /// Size, as asked for
    Size,
    /// How much of it is in memory
    Resident,
    /// How much of that is in pages of 2 MiB (asked for only where it is shown)
    Huge,
    /// How much of it is swapped out
    Swap,
    /// How many attaches there are
    Attached,
    /// Whether it is locked, or removed and waits for its last detach
    Status,
    /// Process that made it
    Cpid,
    /// Process that attached or detached last
    Lpid,
    /// Name of the process that made it, if it still runs (after a change of the segment, that of the process with its number)
    Command,
    /// Last attach
    Atime,
    /// Last detach
    Dtime,
    /// Creation, or last change
    Ctime,
}

use Column::*;

const USUAL: [Column; 10] = [
    Id, Key, Owner, Mode, Size, Resident, Huge, Swap, Attached, Status,
];

impl Column {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn heading(self) -> (String, Kind) {
        let kind = match self {
            Id | Size | Resident | Huge | Swap | Attached | Cpid | Lpid => Kind::Number,
            Owner | Group | Creator | Cgroup | Status | Command => Kind::Text,
            Key | Mode | Perms | Atime | Dtime | Ctime => Kind::Word,
        };
        (self.name().to_uppercase(), kind)
    }

    pub fn value(self, info: &Info) -> Value {
        let raw = info.raw();
        match self {
            Id => json!(info.id()),
            Key => json!(info.key().to_string()),
            Owner => json!(names::user(raw.uid)),
            Group => json!(names::group(raw.gid)),
            Creator => json!(names::user(raw.cuid)),
            Cgroup => json!(names::group(raw.cgid)),
            Mode => json!(format!("{:04o}", info.ownership().mode)),
            Perms => json!(units::symbolic_mode(info.ownership().mode)),
            Size => json!(info.size()),
            Resident => json!(info.resident()),
            Huge => json!(info.huge()),
            Swap => json!(info.swap()),
            Attached => json!(info.attaches()),
            Status => json!(status(info)),
            Cpid => json!(info.creator_pid()),
            Lpid => json!(info.last_pid()),
            Command => json!(info
                .creator_pid()
                .zip(units::seconds(info.changed()))
                .and_then(|(pid, made)| processes::command_then(pid, made))),
            Atime => json!(units::seconds(info.attached())),
            Dtime => json!(units::seconds(info.detached())),
            Ctime => json!(units::seconds(info.changed())),
        }
    }

    /// The cell of a table.
    pub fn text(self, info: &Info, bytes: bool) -> String {
        match self {
            Size => units::size(info.size(), bytes),
            Resident => units::size(info.resident(), bytes),
            Huge => info
                .huge()
                .map_or(String::new(), |huge| units::size(huge, bytes)),
            Swap => units::size(info.swap(), bytes),
            Atime => units::local(info.attached()).unwrap_or_default(),
            Dtime => units::local(info.detached()).unwrap_or_default(),
            Ctime => units::local(info.changed()).unwrap_or_default(),
            _ => match self.value(info) {
                Value::String(text) => text,
                Value::Null => String::new(),
                Value::Array(all) => all
                    .iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(","),
                other => other.to_string(),
            },
        }
    }

    /// What to sort by: numbers as numbers, the rest as text.
    pub fn key(self, info: &Info) -> (i64, String) {
        match self.value(info) {
            Value::Number(number) => (number.as_i64().unwrap_or(i64::MAX), String::new()),
            Value::Null => (-1, String::new()),
            other => (0, other.to_string()),
        }
    }
}

/// What there is to say besides.
pub fn status(info: &Info) -> Vec<&'static str> {
    let mut words = Vec::new();
    if info.is_removed() {
        words.push("removed");
    }
    if info.is_locked() {
        words.push("locked");
    }
    words
}

/// The columns that -o asks for.
fn columns(wanted: Option<&str>) -> Result<Vec<Column>> {
    let Some(wanted) = wanted else {
        return Ok(USUAL.to_vec());
    };
    let (mut columns, names) = match wanted.strip_prefix('+') {
        Some(more) => (USUAL.to_vec(), more),
        None => (Vec::new(), wanted),
    };
    for name in names.split(',') {
        if name.eq_ignore_ascii_case("all") {
            columns.extend(Column::value_variants());
            continue;
        }
        columns.push(Column::from_str(name.trim(), true).map_err(|_| {
            let all: Vec<_> = Column::value_variants()
                .iter()
                .map(|column| column.name())
                .collect();
            Failure::usage(format_args!(
                "there is no column {name:?}: choose of {}, or all",
                all.join(", ")
            ))
        })?);
    }
    Ok(columns)
}

impl Filter {
    pub fn is_any(&self) -> bool {
        self.owner.is_some()
            || self.group.is_some()
            || self.unattached
            || self.orphans
            || self.older.is_some()
    }

    pub fn takes(&self, info: &Info) -> bool {
        self.owner.is_none_or(|owner| info.raw().uid == owner)
            && self.group.is_none_or(|group| info.raw().gid == group)
            && (!(self.unattached || self.orphans) || info.attaches() == 0)
            && (!self.orphans || !maker_lives(info))
            && self
                .older
                .is_none_or(|age| idle_since(info) <= now().saturating_sub(age))
    }
}

/// Whether the process that made it runs. Where its number says nothing here, as in another PID namespace, it is taken to run.
fn maker_lives(info: &Info) -> bool {
    let made = units::seconds(info.changed());
    match info.creator_pid().zip(made) {
        Some((pid, made)) => processes::command_then(pid, made).is_some(),
        None => true,
    }
}

/// When it was attached, detached or changed last, in seconds since 1970.
fn idle_since(info: &Info) -> u64 {
    let times = [info.attached(), info.detached(), info.changed()];
    times
        .into_iter()
        .filter_map(units::seconds)
        .max()
        .unwrap_or(0)
}

fn now() -> u64 {
    units::seconds(Some(SystemTime::now())).unwrap_or(0)
}

/// The object of a segment in JSON: columns, and for each name of a user or group the number.
pub fn object(info: &Info, columns: &[Column]) -> Map<String, Value> {
    let mut object: Map<_, _> = columns
        .iter()
        .map(|column| (column.name(), column.value(info)))
        .collect();
    let raw = info.raw();
    for (column, name, id) in [
        (Owner, "uid", raw.uid),
        (Group, "gid", raw.gid),
        (Creator, "cuid", raw.cuid),
        (Cgroup, "cgid", raw.cgid),
    ] {
        if columns.contains(&column) {
            object.insert(name.into(), json!(id));
        }
    }
    object
}

impl Ls {
    fn takes(&self, info: &Info) -> bool {
        self.filter.takes(info)
            && (self.ids.is_empty() || self.ids.contains(&info.id()))
            && self
                .creator
                .is_none_or(|creator| info.raw().cuid == creator)
            && (!self.attached || info.attaches() > 0)
            && (!self.removed || info.is_removed())
            && self.key.is_none_or(|key| info.key() == key)
    }
}

pub fn run(open: impl FnOnce() -> rshm::Result<Device>, ls: &Ls) -> Result {
    let columns = columns(ls.output.as_deref())?;
    let device = open()?;
    let mut infos = if columns.contains(&Huge) || ls.sort == Some(Huge) {
        device.list_with_huge(|info| ls.takes(info))?
    } else {
        let mut infos = device.list()?;
        infos.retain(|info| ls.takes(info));
        infos
    };
    if let Some(column) = ls.sort {
        infos.sort_by_cached_key(|info| column.key(info));
    }
    if ls.reverse {
        infos.reverse();
    }
    if ls.json {
        let segments: Vec<_> = infos.iter().map(|info| object(info, &columns)).collect();
        print_json(json!({ "segments": segments }))?;
    } else {
        let mut table = Table::new(columns.iter().map(|column| column.heading()));
        let bytes = ls.bytes || !for_people();
        for info in &infos {
            table.row(
                columns
                    .iter()
                    .map(|column| column.text(info, bytes))
                    .collect(),
            );
        }
        table.print(!ls.noheadings)?;
    }
    // Whoever names a segment wants to know that it is not there.
    let mut missing = ls
        .ids
        .iter()
        .filter(|&&id| !infos.iter().any(|info| info.id() == id));
    match missing.next() {
        Some(id) => Err(Failure::failed(format_args!(
            "there is no segment {id}, or the filters leave it out"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_chosen() {
        assert_eq!(columns(None).unwrap(), USUAL);
        assert_eq!(columns(Some("id,CPID")).unwrap(), [Id, Cpid]);
        assert_eq!(columns(Some("+atime")).unwrap()[USUAL.len()..], [Atime]);
        assert_eq!(
            columns(Some("all")).unwrap().len(),
            Column::value_variants().len()
        );
        for wrong in ["", "id,", "+", "nothing", "id key"] {
            assert_eq!(columns(Some(wrong)).unwrap_err().status, 2, "{wrong:?}");
        }
    }
}
