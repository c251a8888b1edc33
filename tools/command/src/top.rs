// SPDX-License-Identifier: GPL-2.0

//! `rshm top`: the table of `ls` again and again, and how fast things change.

use crate::{
    cli::Top,
    list::Column,
    output::{for_people, stdout, Failure, Result, Table},
    units,
};
use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{poll, read, Event, KeyCode, KeyEventKind, KeyModifiers},
    execute, queue,
    style::{Attribute, Print, SetAttribute},
    terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
};
use rshm::{Device, Info};
use std::{
    collections::HashMap,
    fs,
    io::{self, IsTerminal, Write},
    os::unix::fs::MetadataExt,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

/// What root may know besides.
const SEGMENTS: &str = "/sys/kernel/debug/rust_shm/segments";

const COLUMNS: [Column; 8] = [
    Column::Id,
    Column::Key,
    Column::Owner,
    Column::Size,
    Column::Resident,
    Column::Huge,
    Column::Swap,
    Column::Attached,
];

/// Keys change what is sorted by.
const SORTS: [(char, Column); 6] = [
    ('i', Column::Id),
    ('s', Column::Size),
    ('r', Column::Resident),
    ('h', Column::Huge),
    ('w', Column::Swap),
    ('a', Column::Attached),
];

/// Attaches and detaches of a segment since it was made. They wrap.
type Counts = HashMap<i32, (u32, u32)>;

/// What there was at a moment.
struct Look {
    at: Instant,
    infos: Vec<Info>,
    counts: Option<Counts>,
}

impl Look {
    fn take(device: &Device) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            infos: device.list_with_huge(|_| true)?,
            counts: counts(),
        })
    }

    fn resident(&self) -> u64 {
        self.infos.iter().map(Info::resident).sum()
    }
}

fn counts() -> Option<Counts> {
    let namespace = fs::metadata("/proc/self/ns/ipc").map_or(0, |file| file.ino());
    parse_counts(&fs::read_to_string(SEGMENTS).ok()?, namespace)
}

/// Of our namespace. Columns are found by name: there may be more some day.
fn parse_counts(text: &str, namespace: u64) -> Option<Counts> {
    let mut lines = text.lines();
    let headings: Vec<_> = lines.next()?.split_whitespace().collect();
    let place = |name| headings.iter().position(|&heading| heading == name);
    let [in_namespace, id, attaches, detaches] = [
        place("namespace")?,
        place("shmid")?,
        place("attaches")?,
        place("detaches")?,
    ];
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        (number(in_namespace)? == namespace).then(|| {
            Some((
                number(id)?.try_into().ok()?,
                (number(attaches)? as u32, number(detaches)? as u32),
            ))
        })?
    };
    Some(lines.filter_map(line).collect())
}

/// Per second, with one digit.
fn rate(change: f64, seconds: f64) -> String {
    format!("{:.1}", change / seconds.max(0.001))
}

fn rate_of_bytes(before: u64, now: u64, seconds: f64, bytes: bool) -> String {
    let change = now.abs_diff(before) as f64 / seconds.max(0.001);
    let sign = if now < before { "-" } else { "" };
    format!("{sign}{}", units::size(change as u64, bytes))
}

/// The lines: two of sums, an empty one, the table.
fn lines(
    device: &Device,
    before: Option<&Look>,
    now: &Look,
    sort: Column,
    bytes: bool,
    people: bool,
) -> Result<Vec<String>> {
    let (limits, usage) = (device.limits()?, device.usage()?);
    let old: HashMap<i32, &Info> = before
        .iter()
        .flat_map(|before| &before.infos)
        .map(|info| (info.id(), info))
        .collect();
    let seconds = before.map(|before| now.at.duration_since(before.at).as_secs_f64());

    let attached: u64 = now.infos.iter().map(Info::attaches).sum();
    let mut all = vec![format!(
        "segments {} of {}, {} attached, {} resident",
        usage.segments,
        limits.shmmni,
        attached,
        units::size(now.resident(), bytes),
    )];
    all.push(match (before, seconds) {
        (Some(before), Some(seconds)) => {
            let made = now
                .infos
                .iter()
                .filter(|info| !old.contains_key(&info.id()))
                .count();
            let gone = before.infos.len() + made - now.infos.len();
            format!(
                "per second: {} made, {} gone, {} resident",
                rate(made as f64, seconds),
                rate(gone as f64, seconds),
                rate_of_bytes(before.resident(), now.resident(), seconds, bytes),
            )
        }
        _ => "per second: -".into(),
    });
    all.push(String::new());

    let rates = ["RESIDENT/s", "ATTACH/s", "DETACH/s"].map(|name| (name.to_owned(), true));
    let mut table = Table::new(
        COLUMNS
            .iter()
            .map(|column| column.heading())
            .chain(rates)
            .chain([Column::Command.heading()]),
    );
    let mut infos = now.infos.clone();
    sort.sort(&mut infos);
    if sort != Column::Id {
        infos.reverse();
    }
    for info in &infos {
        let mut row: Vec<_> = COLUMNS
            .iter()
            .map(|column| column.text(info, bytes))
            .collect();
        let old = old.get(&info.id()).zip(seconds);
        row.push(old.map_or(String::new(), |(old, seconds)| {
            rate_of_bytes(old.resident(), info.resident(), seconds, bytes)
        }));
        let change = |side: fn(&(u32, u32)) -> u32| {
            let count = |look: &Look| Some(side(look.counts.as_ref()?.get(&info.id())?));
            let change = count(now)?.wrapping_sub(count(before?)?);
            Some(rate(change.into(), seconds?))
        };
        row.push(change(|counts| counts.0).unwrap_or_default());
        row.push(change(|counts| counts.1).unwrap_or_default());
        row.push(Column::Command.text(info, bytes));
        table.row(row);
    }
    all.extend(table.lines(people, true));
    Ok(all)
}

pub fn run(device: &Device, top: &Top) -> Result {
    let delay = Duration::from_secs_f64(top.delay);
    if top.batch || !for_people() || !io::stdin().is_terminal() {
        batch(device, top, delay)
    } else {
        live(device, top, delay)
    }
}

fn batch(device: &Device, top: &Top, delay: Duration) -> Result {
    let bytes = top.bytes || !for_people();
    let mut before = None;
    let mut rest = top.iterations;
    while rest != Some(0) {
        if before.is_some() {
            thread::sleep(delay);
        }
        let now = Look::take(device)?;
        let mut out = stdout();
        if before.is_some() {
            writeln!(out)?;
        }
        for line in lines(device, before.as_ref(), &now, top.sort, bytes, for_people())? {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        before = Some(now);
        rest = rest.map(|rest| rest - 1);
    }
    Ok(())
}

/// The terminal is as it was when this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nothing to do if the terminal is gone.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn live(device: &Device, top: &Top, delay: Duration) -> Result {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let screen = Screen::enter()?;
    let mut sort = top.sort;
    let mut rest = top.iterations;
    let mut before = None;
    loop {
        let now = Look::take(device)?;
        let text = lines(device, before.as_ref(), &now, sort, top.bytes, true)?;
        draw(&text)?;
        before = Some(now);
        rest = rest.map(|rest| rest - 1);
        if rest == Some(0) {
            break;
        }
        let until = Instant::now() + delay;
        match keys(until, &ended)? {
            Key::Quit => break,
            Key::Sort(column) => sort = column,
            Key::None => {}
        }
    }
    drop(screen);
    if ended.load(Ordering::Relaxed) {
        return Err(Failure::new(1, ""));
    }
    Ok(())
}

enum Key {
    Quit,
    Sort(Column),
    None,
}

fn keys(until: Instant, ended: &AtomicBool) -> io::Result<Key> {
    /// How late a signal may be noticed.
    const PATIENCE: Duration = Duration::from_millis(200);
    loop {
        if ended.load(Ordering::Relaxed) {
            return Ok(Key::Quit);
        }
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(Key::None);
        }
        if !poll(rest.min(PATIENCE))? {
            continue;
        }
        match read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(Key::Quit),
                KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(Key::Quit)
                }
                KeyCode::Char(c) => {
                    if let Some(&(_, column)) = SORTS.iter().find(|(key, _)| *key == c) {
                        return Ok(Key::Sort(column));
                    }
                }
                _ => {}
            },
            Event::Resize(..) => return Ok(Key::None),
            _ => {}
        }
    }
}

/// What does not fit is cut off.
fn draw(text: &[String]) -> io::Result<()> {
    // Some terminals do not say.
    let (width, height) = match terminal::size()? {
        (0, _) | (_, 0) => (80, 24),
        size => size,
    };
    let mut out = io::stdout().lock();
    queue!(out, MoveTo(0, 0))?;
    let last = "q quits; sort by: i id, s size, r resident, h huge, w swap, a attached".to_owned();
    let room = usize::from(height.saturating_sub(1));
    for number in 0..room {
        let line: String = text
            .get(number)
            .map_or("", String::as_str)
            .chars()
            .take(width.into())
            .collect();
        let attribute = if number == 3 {
            Attribute::Reverse
        } else {
            Attribute::Reset
        };
        queue!(
            out,
            MoveTo(0, number as u16),
            SetAttribute(attribute),
            Print(line),
            SetAttribute(Attribute::Reset),
            Clear(ClearType::UntilNewLine)
        )?;
    }
    let last: String = last
        .chars()
        .take(usize::from(width).saturating_sub(1))
        .collect();
    queue!(
        out,
        MoveTo(0, height.saturating_sub(1)),
        Print(last),
        Clear(ClearType::UntilNewLine)
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_sees() {
        let text = " namespace      shmid        key   attaches   detaches   o0\n\
                    4026531839  7 0x00000000  12 5 0\n\
                    4026531839  8 0x00000000  4294967295 5 0\n\
                    4026531900  7 0x00000000  1 1 0\n\
                    4026531839  x\n";
        let counts = parse_counts(text, 4026531839).unwrap();
        assert_eq!(counts, HashMap::from([(7, (12, 5)), (8, (u32::MAX, 5))]));
        assert_eq!(parse_counts("", 1), None);
        assert_eq!(parse_counts("namespace shmid\n", 1), None);
    }

    #[test]
    fn rates() {
        assert_eq!(rate(3.0, 2.0), "1.5");
        assert_eq!(rate_of_bytes(0, 4096, 2.0, false), "2K");
        assert_eq!(rate_of_bytes(4096, 0, 2.0, true), "-2048");
        assert_eq!(rate_of_bytes(5, 5, 0.0, true), "0");
    }
}
