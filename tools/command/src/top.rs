// SPDX-License-Identifier: GPL-2.0-only

//! `rshm top`: the table of `ls` again and again, and how fast things change.

use crate::{
    cli::Top,
    list::Column,
    output::{count, for_people, reason, stdout, Failure, Result, Table},
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
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use std::{
    collections::HashMap,
    fs,
    io::{self, IsTerminal, Write},
    mem,
    os::unix::fs::MetadataExt,
    panic,
    sync::{
        atomic::{AtomicUsize, Ordering},
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

/// What a narrow terminal does without, in this order.
const EXPENDABLE: [&str; 10] = [
    "KEY",
    "SWAP",
    "COMMAND",
    "OWNER",
    "DETACH/s",
    "ATTACH/s",
    "HUGE",
    "RESIDENT/s",
    "ATTACHED",
    "RESIDENT",
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

/// Two lines of sums, and the table.
fn view(
    device: &Device,
    before: Option<&Look>,
    now: &Look,
    sort: Column,
    bytes: bool,
) -> Result<([String; 2], Table)> {
    let (limits, usage) = (device.limits()?, device.usage()?);
    let old: HashMap<i32, &Info> = before
        .iter()
        .flat_map(|before| &before.infos)
        .map(|info| (info.id(), info))
        .collect();
    let seconds = before.map(|before| now.at.duration_since(before.at).as_secs_f64());

    let attached: u64 = now.infos.iter().map(Info::attaches).sum();
    let sums = format!(
        "segments {} of {}, {} attached, {} resident",
        usage.segments,
        limits.shmmni,
        attached,
        units::size(now.resident(), bytes),
    );
    let rates = match (before, seconds) {
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
    };

    let headings = ["RESIDENT/s", "ATTACH/s", "DETACH/s"].map(|name| (name.to_owned(), true));
    let mut table = Table::new(
        COLUMNS
            .iter()
            .map(|column| column.heading())
            .chain(headings)
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
    Ok(([sums, rates], table))
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
        let (sums, table) = view(device, before.as_ref(), &now, top.sort, bytes)?;
        writeln!(out, "{}\n{}\n", sums[0], sums[1])?;
        for line in table.lines(for_people(), true) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        before = Some(now);
        rest = rest.map(|rest| rest - 1);
    }
    Ok(())
}

/// What is wrong with the terminal.
fn terminal_failed(error: io::Error) -> Failure {
    Failure::failed(format_args!("the terminal: {}", reason(&error)))
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

    fn leave() {
        // There is nothing to do if the terminal is gone.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        Self::leave();
    }
}

/// Does this before a panic says what it has to say: with `panic = "abort"` nothing is dropped.
fn before_a_panic(first: impl Fn() + Send + Sync + 'static) {
    let then = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        first();
        then(info);
    }));
}

/// What is looked at, and how.
struct State {
    sort: Column,
    /// The first row that is shown.
    first: usize,
    /// How many fit.
    page: usize,
}

fn live(device: &Device, top: &Top, delay: Duration) -> Result {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP, SIGTSTP] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
    }
    before_a_panic(Screen::leave);
    let mut screen = Screen::enter().map_err(terminal_failed)?;
    let mut state = State {
        sort: top.sort,
        first: 0,
        page: 0,
    };
    let mut rest = top.iterations;
    let mut before = None;
    let mut now = Look::take(device)?;
    loop {
        let (sums, table) = view(device, before.as_ref(), &now, state.sort, top.bytes)?;
        draw(&sums, table, now.infos.len(), &mut state).map_err(terminal_failed)?;
        match key(now.at + delay, &signal).map_err(terminal_failed)? {
            Key::Quit => break,
            Key::Sort(column) => state.sort = column,
            Key::Scroll(rows) => state.first = state.first.saturating_add_signed(rows),
            Key::Page(pages) => {
                let rows = pages.saturating_mul(state.page.max(1) as isize);
                state.first = state.first.saturating_add_signed(rows);
            }
            Key::Redraw => {}
            Key::Signal(SIGTSTP) => {
                drop(screen);
                // Goes on when the shell says so.
                signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
                screen = Screen::enter().map_err(terminal_failed)?;
            }
            Key::Signal(number) => {
                drop(screen);
                signal_hook::low_level::emulate_default_handler(number)?;
                return Err(Failure::new(1, ""));
            }
            Key::None => {
                rest = rest.map(|rest| rest - 1);
                if rest == Some(0) {
                    break;
                }
                before = Some(mem::replace(&mut now, Look::take(device)?));
            }
        }
    }
    Ok(())
}

enum Key {
    Quit,
    Sort(Column),
    Scroll(isize),
    Page(isize),
    Redraw,
    Signal(i32),
    /// It is time for the next look.
    None,
}

fn key(until: Instant, signal: &AtomicUsize) -> io::Result<Key> {
    /// How late a signal may be noticed.
    const PATIENCE: Duration = Duration::from_millis(200);
    loop {
        match signal.swap(0, Ordering::Relaxed) {
            0 => {}
            number => return Ok(Key::Signal(number as i32)),
        }
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(Key::None);
        }
        if !poll(rest.min(PATIENCE))? {
            continue;
        }
        let key = match read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => key,
            Event::Resize(..) => return Ok(Key::Redraw),
            _ => continue,
        };
        return Ok(match key.code {
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
            KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Key::Signal(SIGTSTP)
            }
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Up => Key::Scroll(-1),
            KeyCode::Down => Key::Scroll(1),
            KeyCode::PageUp => Key::Page(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => Key::Page(1),
            KeyCode::Home => Key::Scroll(isize::MIN),
            KeyCode::End => Key::Scroll(isize::MAX),
            KeyCode::Char(c) => match SORTS.iter().find(|(key, _)| *key == c) {
                Some(&(_, column)) => Key::Sort(column),
                None => continue,
            },
            _ => continue,
        });
    }
}

/// Columns that do not fit are left out, and the last line says so of them and of rows.
fn draw(sums: &[String], mut table: Table, rows: usize, state: &mut State) -> io::Result<()> {
    // Some terminals do not say.
    let (width, height) = match terminal::size()? {
        (0, _) | (_, 0) => (80, 24),
        size => size,
    };
    let (sorted, _) = state.sort.heading();
    table.mark(&sorted);
    let hidden = table.fit(width.into(), &EXPENDABLE);
    let lines = table.lines(true, true);
    let mut text: Vec<&str> = sums.iter().map(String::as_str).collect();
    text.push("");
    text.push(&lines[0]);
    let heading = text.len() - 1;
    // Below them there is one line more.
    state.page = usize::from(height).saturating_sub(text.len() + 1);
    state.first = state.first.min(rows.saturating_sub(state.page));
    let last = rows.min(state.first + state.page);
    text.extend(lines[1..][state.first..last].iter().map(String::as_str));

    let mut status = String::from("q quits");
    if last - state.first < rows {
        status += &format!("; rows {}-{last} of {rows}: arrows scroll", state.first + 1);
    }
    if hidden > 0 {
        status += &format!("; {} hidden", count(hidden as u64, "column", "columns"));
    }
    status += "; sort by: i id, s size, r resident, h huge, w swap, a attached";

    let cut = |line: &str, width: u16| line.chars().take(width.into()).collect::<String>();
    let mut out = io::stdout().lock();
    for number in 0..height.saturating_sub(1) {
        let line = text.get(usize::from(number)).copied().unwrap_or_default();
        let attribute = if usize::from(number) == heading {
            Attribute::Reverse
        } else {
            Attribute::Reset
        };
        queue!(
            out,
            MoveTo(0, number),
            SetAttribute(attribute),
            Print(cut(line, width)),
            SetAttribute(Attribute::Reset),
            Clear(ClearType::UntilNewLine)
        )?;
    }
    queue!(
        out,
        MoveTo(0, height.saturating_sub(1)),
        Print(cut(&status, width.saturating_sub(1))),
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
    fn a_panic_leaves_the_terminal_first() {
        static LEFT: AtomicUsize = AtomicUsize::new(0);
        before_a_panic(|| {
            LEFT.fetch_add(1, Ordering::Relaxed);
        });
        assert!(thread::spawn(|| panic!("on purpose")).join().is_err());
        assert!(LEFT.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn rates() {
        assert_eq!(rate(3.0, 2.0), "1.5");
        assert_eq!(rate_of_bytes(0, 4096, 2.0, false), "2K");
        assert_eq!(rate_of_bytes(4096, 0, 2.0, true), "-2048");
        assert_eq!(rate_of_bytes(5, 5, 0.0, true), "0");
    }
}
