// SPDX-License-Identifier: GPL-2.0-only

//! `rshm ls`, and the columns that others show too.

use crate::{
    cli::{Filter, Ls},
    names,
    output::{for_people, print_json, Failure, Result, Table},
    processes, units,
};
use clap::ValueEnum;
use rshm::{Device, Info};
use serde_json::{json, Map, Value};

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

    pub fn heading(self) -> (String, bool) {
        let right = matches!(
            self,
            Id | Size | Resident | Huge | Swap | Attached | Cpid | Lpid
        );
        (self.name().to_uppercase(), right)
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

    /// Puts numbers in order as numbers, the rest as text.
    pub fn sort(self, infos: &mut [Info]) {
        infos.sort_by_cached_key(|info| match self.value(info) {
            Value::Number(number) => (number.as_i64().unwrap_or(i64::MAX), String::new()),
            Value::Null => (-1, String::new()),
            other => (0, other.to_string()),
        });
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
        self.owner.is_some() || self.unattached
    }

    pub fn takes(&self, info: &Info) -> bool {
        self.owner.is_none_or(|owner| info.raw().uid == owner)
            && (!self.unattached || info.attaches() == 0)
    }
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
        column.sort(&mut infos);
    }
    if ls.reverse {
        infos.reverse();
    }
    if ls.json {
        let object = |info: &Info| {
            columns
                .iter()
                .map(|column| (column.name(), column.value(info)))
                .collect::<Map<_, _>>()
        };
        print_json(&json!({ "segments": infos.iter().map(object).collect::<Vec<_>>() }))?;
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
