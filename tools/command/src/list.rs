// SPDX-License-Identifier: GPL-2.0-only

//! `rshm ls`, and the columns that others show too.

use crate::{
    cli::{Filter, Ls},
    names, namespaces,
    output::{for_people, print_json, reason, stdout, Failure, Kind, Result, Table},
    processes, units,
};
use clap::ValueEnum;
use rshm::{abi::Stat, Device, Info};
use serde_json::{json, Map, Value};
use std::{
    collections::HashMap,
    fs,
    io::Write,
    rc::Rc,
    thread,
    time::{Duration, SystemTime},
};

/// A column of `ls` and `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// Id
    Id,
    /// Key
    Key,
    /// Owner
    Owner,
    /// Group of the owner
    Group,
    /// User that created it
    Creator,
    /// Group of the user that created it
    Cgroup,
    /// Permission bits, octal
    Mode,
    /// Permission bits, as ls -l shows them
    Perms,
    /// Size
    Size,
    /// Part that is in memory
    Resident,
    /// Part that is in pages of 2 MiB (takes time with large segments)
    Huge,
    /// Part that is swapped out
    Swap,
    /// Number of attaches
    Attached,
    /// locked; removed: until the last detach; hugetlb, noreserve: how it was created
    Status,
    /// Process that created it
    Cpid,
    /// Process that attached or detached last
    Lpid,
    /// Name of the process that created it, if it still runs (if the segment was changed since, of any process with that number)
    Command,
    /// Last attach
    Atime,
    /// Last detach
    Dtime,
    /// Creation or last change
    Ctime,
    /// IPC namespace, as lsns -t ipc shows it
    Namespace,
    /// Container that the namespace is of, by its control group
    Container,
    /// module or kernel
    From,
}

use Column::*;

/// What [`Column::From`] says.
const MODULE: &str = "module";
const KERNEL: &str = "kernel";

const USUAL: [Column; 10] = [
    Id, Key, Owner, Mode, Size, Resident, Huge, Swap, Attached, Status,
];

impl Column {
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn heading(self) -> (String, Kind) {
        let kind = match self {
            Id | Size | Resident | Huge | Swap | Attached | Cpid | Lpid | Namespace => Kind::Number,
            Owner | Group | Creator | Cgroup | Status | Command | Container => Kind::Text,
            Key | Mode | Perms | Atime | Dtime | Ctime | From => Kind::Word,
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
            Namespace => json!(namespaces::own()),
            Container => json!(namespaces::own().and_then(namespaces::container)),
            From => json!(MODULE),
        }
    }

    /// Of the columns that are times.
    pub fn time(self, info: &Info) -> Option<SystemTime> {
        match self {
            Atime => info.attached(),
            Dtime => info.detached(),
            Ctime => info.changed(),
            _ => None,
        }
    }

    /// The cell of a table. What is exact has bytes, and times in full.
    pub fn text(self, info: &Info, exact: bool) -> String {
        match self {
            Key if info.key().is_private() => String::new(),
            Size => units::size(info.size(), exact),
            Resident => units::size(info.resident(), exact),
            Huge => info
                .huge()
                .map_or(String::new(), |huge| units::size(huge, exact)),
            Swap => units::size(info.swap(), exact),
            Atime | Dtime | Ctime => {
                let shown = if exact { units::local } else { units::ago };
                shown(self.time(info)).unwrap_or_default()
            }
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

    /// What to sort by.
    pub fn key(self, info: &Info) -> (i64, String) {
        key(self.value(info))
    }
}

/// To sort values: numbers as numbers, the rest as text.
fn key(value: Value) -> (i64, String) {
    match value {
        Value::Number(number) => (number.as_i64().unwrap_or(i64::MAX), String::new()),
        Value::Null => (-1, String::new()),
        other => (0, other.to_string()),
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
    if info.is_hugetlb() {
        words.push("hugetlb");
    }
    if info.is_no_reserve() {
        words.push("noreserve");
    }
    words
}

/// The columns that -o asks for.
fn columns(usual: Vec<Column>, wanted: Option<&str>) -> Result<Vec<Column>> {
    let Some(wanted) = wanted else {
        return Ok(usual);
    };
    let (mut columns, names) = match wanted.strip_prefix('+') {
        Some(more) => (usual, more),
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
                "unknown column {name:?}: use {}, or all",
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

/// A segment, and where it is.
struct Found {
    info: Info,
    namespace: Option<u64>,
    container: Option<Rc<str>>,
    builtin: bool,
}

impl Found {
    fn value(&self, column: Column) -> Value {
        match column {
            Namespace => json!(self.namespace),
            Container => json!(self.container.as_deref()),
            From if self.builtin => json!(KERNEL),
            _ => column.value(&self.info),
        }
    }

    fn text(&self, column: Column, exact: bool) -> String {
        match self.value(column) {
            Value::Number(number) if column == Namespace => number.to_string(),
            Value::String(text) if matches!(column, From | Container) => text,
            Value::Null if column == Container => String::new(),
            _ => column.text(&self.info, exact),
        }
    }

    fn object(&self, columns: &[Column]) -> Value {
        let mut object = object(&self.info, columns);
        for column in [Namespace, Container, From] {
            if columns.contains(&column) {
                object.insert(column.name(), self.value(column));
            }
        }
        Value::Object(object)
    }
}

/// The kernel's own segments, of the IPC namespace that this process is in.
fn builtin() -> Result<Vec<Info>> {
    const TABLE: &str = "/proc/sysvipc/shm";
    let text = fs::read_to_string(TABLE).map_err(|error| {
        Failure::failed(format_args!(
            "cannot list the kernel's own segments: {TABLE}: {}",
            reason(&error)
        ))
    })?;
    parse_builtin(&text)
        .ok_or_else(|| Failure::failed(format_args!("{TABLE} has an unknown format")))
}

/// Columns are found by name.
fn parse_builtin(text: &str) -> Option<Vec<Info>> {
    let mut lines = text.lines();
    let headings: Vec<_> = lines.next()?.split_whitespace().collect();
    let line = |line: &str| {
        let words: HashMap<_, _> = headings
            .iter()
            .copied()
            .zip(line.split_whitespace())
            .collect();
        let number = |name: &str| words.get(name)?.parse::<i64>().ok();
        let narrow = |name: &str| u32::try_from(number(name)?).ok();
        let size = |name: &str| u64::try_from(number(name)?).ok();
        let stat = Stat {
            key: number("key")? as i32,
            uid: narrow("uid")?,
            gid: narrow("gid")?,
            cuid: narrow("cuid")?,
            cgid: narrow("cgid")?,
            mode: u32::from_str_radix(words.get("perms")?, 8).ok()?,
            cpid: number("cpid")? as i32,
            lpid: number("lpid")? as i32,
            segsz: size("size")?,
            nattch: size("nattch")?,
            atime: number("atime")?,
            dtime: number("dtime")?,
            ctime: number("ctime")?,
            rss: size("rss")?,
            swap: size("swap")?,
            ..Stat::default()
        };
        Some(Info::from_raw(number("shmid")?.try_into().ok()?, stat))
    };
    lines.map(line).collect()
}

/// What `ls` is asked for, in the IPC namespace that this process is in.
fn find(
    device: &Device,
    ls: &Ls,
    columns: &[Column],
    namespace: Option<u64>,
) -> Result<Vec<Found>> {
    let wanted = |column| columns.contains(&column) || ls.sort == Some(column);
    let ours = if wanted(Huge) {
        device.list_with_huge(|info| ls.takes(info))?
    } else {
        device.list()?
    };
    let container: Option<Rc<str>> = namespace
        .filter(|_| wanted(Container))
        .and_then(namespaces::container)
        .map(Rc::from);
    let found = |builtin| {
        let container = &container;
        move |info| Found {
            info,
            namespace,
            container: container.clone(),
            builtin,
        }
    };
    let mut all: Vec<_> = ours.into_iter().map(found(false)).collect();
    if ls.builtin {
        all.extend(builtin()?.into_iter().map(found(true)));
    }
    all.retain(|found| ls.takes(&found.info));
    Ok(all)
}

pub fn run(open: impl FnOnce() -> rshm::Result<Device>, ls: &Ls) -> Result {
    let mut usual = USUAL.to_vec();
    if ls.builtin {
        usual.insert(0, From);
    }
    if ls.all_namespaces {
        usual.splice(0..0, [Namespace, Container]);
    }
    let columns = columns(usual, ls.output.as_deref())?;
    let device = open()?;
    loop {
        look(&device, ls, &columns)?;
        let Some(seconds) = ls.watch else {
            return Ok(());
        };
        thread::sleep(Duration::from_secs_f64(seconds));
    }
}

fn look(device: &Device, ls: &Ls, columns: &[Column]) -> Result {
    let mut all = Vec::new();
    if ls.all_namespaces {
        namespaces::each(|number| {
            all.extend(find(device, ls, columns, number)?);
            Ok(())
        })?;
    } else {
        all = find(device, ls, columns, namespaces::own())?;
    }
    if let Some(column) = ls.sort {
        all.sort_by_cached_key(|found| key(found.value(column)));
    }
    if ls.reverse {
        all.reverse();
    }
    if ls.watch.is_some() && for_people() {
        // From the top of an empty screen.
        write!(stdout(), "\x1b[H\x1b[2J")?;
    }
    if ls.json {
        let segments: Vec<_> = all.iter().map(|found| found.object(columns)).collect();
        print_json(json!({ "segments": segments }))?;
    } else {
        let mut table = Table::new(columns.iter().map(|column| column.heading()));
        let exact = ls.bytes || !for_people();
        for found in &all {
            let cells = columns.iter().map(|column| found.text(*column, exact));
            table.row(cells.collect());
        }
        table.print(!ls.noheadings)?;
    }
    // Whoever names a segment wants to know that it is not there.
    let mut missing = ls
        .ids
        .iter()
        .filter(|&&id| !all.iter().any(|found| found.info.id() == id));
    match missing.next() {
        Some(id) => Err(Failure::failed(format_args!(
            "there is no segment {id}, or the filters exclude it"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_chosen() {
        let columns = |wanted| columns(USUAL.to_vec(), wanted);
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
    #[test]
    fn the_kernels_own() {
        let text = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
                    -1          5  1644               2097152   10    11      3  1000   100  1001   101 1700000000          0 1700000001               4096                 8192\n";
        let [info] = parse_builtin(text).unwrap()[..] else {
            panic!("one line is one segment");
        };
        assert_eq!(
            (info.id(), info.size(), info.resident(), info.swap()),
            (5, 2 << 20, 4096, 8192)
        );
        assert!(info.is_removed() && !info.is_locked() && info.huge().is_none());
        assert_eq!(
            (info.key().to_string().as_str(), info.attaches()),
            ("0xffffffff", 3)
        );
        assert_eq!(
            (info.raw().cuid, info.raw().gid, info.ownership().mode),
            (1001, 100, 0o644)
        );
        assert_eq!(
            parse_builtin(text.lines().next().unwrap()).unwrap().len(),
            0
        );
        assert!(parse_builtin("").is_none() && parse_builtin("key\n5\n").is_none());
    }
}
