// SPDX-License-Identifier: GPL-2.0-only

//! `rshm top`: the table of `ls` again and again, and how fast things change.
//!
//! [`Look`] is what there was at a moment, [`rows`] compares two of them. [`batch`] prints them; [`live`] has a
//! terminal, on which [`App`] draws.

use crate::{
    cli::Top,
    list::{self, Column},
    names, namespaces,
    output::{self, count, for_people, printable, reason, stdout, Failure, Kind, Result},
    processes, show, units,
};
use clap::{builder::PossibleValue, ValueEnum};
use ratatui_core::{
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    terminal::{Frame, Terminal, TerminalOptions, Viewport},
    text::Line,
    widgets::Widget,
};
use ratatui_crossterm::{
    crossterm::{
        cursor::Show,
        event::{poll, read, Event, KeyCode, KeyEventKind, KeyModifiers},
        execute,
        terminal::{self, EnterAlternateScreen, LeaveAlternateScreen},
    },
    CrosstermBackend,
};
use ratatui_widgets::{
    block::Block,
    borders::Borders,
    paragraph::Paragraph,
    sparkline::Sparkline,
    table::{Row as TableRow, Table, TableState},
};
use rshm::{Device, Info, Limits};
use serde_json::{json, Value};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs,
    io::{self, IsTerminal, Write},
    mem, panic,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc, LazyLock,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

/// What root may know besides.
const SEGMENTS: &str = "/sys/kernel/debug/rust_shm/segments";

/// Columns of `ls`, and rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Column(Column),
    ResidentRate,
    AttachRate,
    DetachRate,
}

use Field::{AttachRate, DetachRate, ResidentRate};

/// What is shown.
const FIELDS: [Field; 12] = [
    Field::Column(Column::Id),
    Field::Column(Column::Key),
    Field::Column(Column::Owner),
    Field::Column(Column::Size),
    Field::Column(Column::Resident),
    Field::Column(Column::Huge),
    Field::Column(Column::Swap),
    Field::Column(Column::Attached),
    ResidentRate,
    AttachRate,
    DetachRate,
    Field::Column(Column::Command),
];

/// Keys change what is sorted by.
const SORTS: [(char, Field); 6] = [
    ('i', Field::Column(Column::Id)),
    ('s', Field::Column(Column::Size)),
    ('r', Field::Column(Column::Resident)),
    ('h', Field::Column(Column::Huge)),
    ('w', Field::Column(Column::Swap)),
    ('a', Field::Column(Column::Attached)),
];

/// What a narrow terminal does without, in this order.
const EXPENDABLE: [Field; 10] = [
    Field::Column(Column::Key),
    Field::Column(Column::Swap),
    Field::Column(Column::Command),
    Field::Column(Column::Owner),
    DetachRate,
    AttachRate,
    Field::Column(Column::Huge),
    ResidentRate,
    Field::Column(Column::Attached),
    Field::Column(Column::Resident),
];

const KEYS: [&str; 8] = [
    "Up, Down, Page Up, Page Down, Home, End   choose a segment",
    "Enter   details of the segment, and the processes that have it attached",
    "<, >    sort by the column on the left or on the right",
    "i s r h w a   sort by id, size, resident, huge, swap, attached",
    "R       reverse the order",
    "b       sizes in bytes",
    "?       this list",
    "q, Esc  quit",
];

impl Field {
    fn heading(self) -> (String, Kind) {
        match self {
            Field::Column(column) => column.heading(),
            _ => (self.name().to_uppercase().replace("/S", "/s"), Kind::Number),
        }
    }

    fn name(self) -> String {
        match self {
            Field::Column(column) => column.name(),
            ResidentRate => "resident/s".into(),
            AttachRate => "attach/s".into(),
            DetachRate => "detach/s".into(),
        }
    }

    fn text(self, row: &Row, bytes: bool) -> String {
        let rate = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!("{rate:.1}"));
        match self {
            Field::Column(column) => column.text(&row.info, bytes),
            ResidentRate => row
                .resident
                .map_or(String::new(), |rate| rate_of_bytes(rate, bytes)),
            AttachRate => rate(row.attaches),
            DetachRate => rate(row.detaches),
        }
    }

    /// Numbers and times from the largest on, ids and text from the first on.
    fn sort(self, rows: &mut [Row], reverse: bool) {
        let rate = |rate: Option<f64>| {
            (
                rate.map_or(i64::MIN, |rate| (rate * 1000.0) as i64),
                String::new(),
            )
        };
        rows.sort_by_cached_key(|row| match self {
            Field::Column(column) => column.key(&row.info),
            ResidentRate => rate(row.resident),
            AttachRate => rate(row.attaches),
            DetachRate => rate(row.detaches),
        });
        if self.descends() != reverse {
            rows.reverse();
        }
    }

    fn descends(self) -> bool {
        use Column::*;
        match self {
            Field::Column(column) => matches!(
                column,
                Size | Resident | Huge | Swap | Attached | Atime | Dtime | Ctime
            ),
            _ => true,
        }
    }
}

static ALL_FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let columns = Column::value_variants();
    let columns = columns.iter().map(|&column| Field::Column(column));
    columns
        .chain([ResidentRate, AttachRate, DetachRate])
        .collect()
});

impl ValueEnum for Field {
    fn value_variants<'a>() -> &'a [Self] {
        &ALL_FIELDS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Field::Column(column) => column.to_possible_value(),
            ResidentRate => {
                Some(PossibleValue::new("resident/s").help("Growth of resident memory per second"))
            }
            AttachRate => {
                Some(PossibleValue::new("attach/s").help("Attaches per second (root only)"))
            }
            DetachRate => {
                Some(PossibleValue::new("detach/s").help("Detaches per second (root only)"))
            }
        }
    }
}

/// Attaches and detaches of a segment since it was made. They wrap.
type Counts = HashMap<i32, (u32, u32)>;

/// What there was at a moment.
struct Look {
    at: Instant,
    infos: Vec<Info>,
    counts: Option<Counts>,
    limits: Limits,
}

impl Look {
    fn take(device: &Device) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            infos: device.list_with_huge(|_| true)?,
            counts: counts(),
            limits: device.limits()?,
        })
    }

    fn resident(&self) -> u64 {
        self.infos.iter().map(Info::resident).sum()
    }
}

fn counts() -> Option<Counts> {
    parse_counts(
        &fs::read_to_string(SEGMENTS).ok()?,
        namespaces::own().unwrap_or(0),
    )
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

/// A segment, and what changes of it per second.
struct Row {
    info: Info,
    /// In bytes.
    resident: Option<f64>,
    attaches: Option<f64>,
    detaches: Option<f64>,
}

fn rate_of_bytes(rate: f64, bytes: bool) -> String {
    let sign = if rate <= -1.0 { "-" } else { "" };
    format!("{sign}{}", units::size(rate.abs() as u64, bytes))
}

fn seconds(before: &Look, now: &Look) -> f64 {
    now.at.duration_since(before.at).as_secs_f64().max(0.001)
}

fn rows(before: Option<&Look>, now: &Look) -> Vec<Row> {
    let old: HashMap<i32, &Info> = before
        .iter()
        .flat_map(|before| &before.infos)
        .map(|info| (info.id(), info))
        .collect();
    let row = |info: &Info| {
        let seconds = before.map(|before| seconds(before, now));
        let change = |side: fn(&(u32, u32)) -> u32| {
            let count = |look: &Look| Some(side(look.counts.as_ref()?.get(&info.id())?));
            let change = count(now)?.wrapping_sub(count(before?)?);
            Some(f64::from(change) / seconds?)
        };
        Row {
            info: *info,
            resident: old
                .get(&info.id())
                .zip(seconds)
                .map(|(old, seconds)| (info.resident() as f64 - old.resident() as f64) / seconds),
            attaches: change(|counts| counts.0),
            detaches: change(|counts| counts.1),
        }
    };
    now.infos.iter().map(row).collect()
}

/// The sum of rates. That of none is 0: by itself it would be -0.0, and shown as that.
fn total(rates: impl Iterator<Item = f64>) -> f64 {
    rates.sum::<f64>() + 0.0
}

/// Two lines about all segments.
fn sums(before: Option<&Look>, now: &Look, rows: &[Row], bytes: bool) -> [String; 2] {
    let attached: u64 = now.infos.iter().map(Info::attaches).sum();
    let sums = format!(
        "segments {} of {}, {} attached, {} resident",
        now.infos.len(),
        now.limits.shmmni,
        attached,
        units::size(now.resident(), bytes),
    );
    let Some(before) = before else {
        return [sums, "per second: -".into()];
    };
    let seconds = seconds(before, now);
    let known: HashSet<i32> = before.infos.iter().map(Info::id).collect();
    let created = now
        .infos
        .iter()
        .filter(|info| !known.contains(&info.id()))
        .count();
    let removed = before.infos.len() + created - now.infos.len();
    let mut rates = format!(
        "per second: {:.1} created, {:.1} removed, {} resident",
        created as f64 / seconds,
        removed as f64 / seconds,
        rate_of_bytes(
            (now.resident() as f64 - before.resident() as f64) / seconds,
            bytes
        ),
    );
    if now.counts.is_some() {
        let sum = |of: fn(&Row) -> Option<f64>| total(rows.iter().filter_map(of));
        rates += &format!(
            ", {:.1} attaches, {:.1} detaches",
            sum(|row| row.attaches),
            sum(|row| row.detaches)
        );
    }
    [sums, rates]
}

pub fn run(device: &Device, top: &Top) -> Result {
    let delay = Duration::from_secs_f64(top.delay);
    if top.batch || top.json || !for_people() || !io::stdin().is_terminal() {
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
        let mut rows = rows(before.as_ref(), &now);
        let sums = sums(before.as_ref(), &now, &rows, bytes);
        top.sort.sort(&mut rows, top.reverse);
        let mut out = stdout();
        if top.json {
            let segments: Vec<Value> = rows.iter().map(object).collect();
            let time = units::seconds(Some(SystemTime::now()));
            output::print_json_line(json!({ "time": time, "segments": segments }))?;
        } else {
            let mut table = output::Table::new(FIELDS.map(Field::heading));
            for row in &rows {
                table.row(FIELDS.map(|field| field.text(row, bytes)).into());
            }
            if before.is_some() {
                writeln!(out)?;
            }
            writeln!(out, "{}\n{}\n", sums[0], sums[1])?;
            out.flush()?;
            table.print(true)?;
        }
        before = Some(now);
        rest = rest.map(|rest| rest - 1);
    }
    Ok(())
}

/// As that of `ls`, with the rates.
fn object(row: &Row) -> Value {
    let columns = FIELDS.iter().filter_map(|field| match field {
        Field::Column(column) => Some(*column),
        _ => None,
    });
    let mut object = list::object(&row.info, &columns.collect::<Vec<_>>());
    for (name, rate) in [
        ("resident_per_second", row.resident),
        ("attaches_per_second", row.attaches),
        ("detaches_per_second", row.detaches),
    ] {
        object.insert(
            name.into(),
            json!(rate.map(|rate| (rate * 10.0).round() / 10.0)),
        );
    }
    Value::Object(object)
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
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }

    /// ratatui's own does not show the cursor again.
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

/// What is below the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pane {
    None,
    Segment,
    Keys,
}

/// What is shown of a segment's memory over time: of so many looks.
const HISTORY: usize = 120;

/// What is looked at, and how.
struct App {
    now: Look,
    before: Option<Look>,
    /// Of each look, the oldest first, what was resident.
    history: VecDeque<HashMap<i32, u64>>,
    rows: Vec<Row>,
    sort: Field,
    reverse: bool,
    bytes: bool,
    pane: Pane,
    table: TableState,
    /// How many rows fit.
    page: usize,
    /// Who has the chosen segment attached: as lines.
    attached: Vec<String>,
}

impl App {
    fn new(now: Look, top: &Top) -> Self {
        let mut app = Self {
            now,
            before: None,
            history: VecDeque::new(),
            rows: Vec::new(),
            sort: top.sort,
            reverse: top.reverse,
            bytes: top.bytes,
            pane: Pane::None,
            table: TableState::new().with_selected(0),
            page: 0,
            attached: Vec::new(),
        };
        app.look();
        app
    }

    fn chosen(&self) -> Option<&Info> {
        Some(&self.rows.get(self.table.selected()?)?.info)
    }

    /// Takes in what there is now.
    fn look(&mut self) {
        let resident = |info: &Info| (info.id(), info.resident());
        self.history
            .push_back(self.now.infos.iter().map(resident).collect());
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        self.arrange();
    }

    fn next(&mut self, now: Look) {
        self.before = Some(mem::replace(&mut self.now, now));
        self.look();
    }

    /// Sorts. The segment that was chosen stays so, and if it is gone, the place.
    fn arrange(&mut self) {
        let chosen = self.chosen().map(Info::id);
        self.rows = rows(self.before.as_ref(), &self.now);
        self.sort.sort(&mut self.rows, self.reverse);
        let place = self
            .rows
            .iter()
            .position(|row| Some(row.info.id()) == chosen);
        // The first stays on top until another is chosen.
        if self.table.selected() != Some(0) {
            self.choose(place.unwrap_or(self.table.selected().unwrap_or(0)));
        }
        self.look_for_processes();
    }

    fn choose(&mut self, place: usize) {
        self.table
            .select(Some(place.min(self.rows.len().saturating_sub(1))));
    }

    fn look_for_processes(&mut self) {
        self.attached.clear();
        let Some(id) = self
            .chosen()
            .map(Info::id)
            .filter(|_| self.pane == Pane::Segment)
        else {
            return;
        };
        let report = processes::attached(&HashSet::from([id])).unwrap_or_default();
        for process in report.attached.get(&id).into_iter().flatten() {
            self.attached.push(format!(
                "{:>8}  {:<10} {:<16} {:<2}  {:>6} mapped{}",
                process.pid,
                process.user.map_or(String::new(), names::user),
                printable(&process.command),
                if process.writes { "rw" } else { "r" },
                units::size(process.mapped, self.bytes),
                process
                    .memory
                    .as_ref()
                    .map_or(String::new(), |memory| format!(
                        ", RSS {}, PSS {}",
                        units::size(memory.resident, self.bytes),
                        units::size(memory.proportional, self.bytes)
                    )),
            ));
        }
        if self.attached.is_empty() {
            self.attached
                .push("no visible process has it attached".into());
        }
    }

    /// Sorts by a column that is so far from this one.
    fn sort_beside(&mut self, step: isize) {
        let at = FIELDS.iter().position(|field| *field == self.sort);
        let at = at.map_or(0, |at| at.saturating_add_signed(step).min(FIELDS.len() - 1));
        self.sort = FIELDS[at];
        self.arrange();
    }

    fn press(&mut self, key: KeyCode) {
        let at = self.table.selected().unwrap_or(0);
        match key {
            KeyCode::Up => self.choose(at.saturating_sub(1)),
            KeyCode::Down => self.choose(at + 1),
            KeyCode::PageUp => self.choose(at.saturating_sub(self.page.max(1))),
            KeyCode::PageDown | KeyCode::Char(' ') => self.choose(at + self.page.max(1)),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Enter => self.toggle(Pane::Segment),
            KeyCode::Char('?') => self.toggle(Pane::Keys),
            KeyCode::Char('<') => self.sort_beside(-1),
            KeyCode::Char('>') => self.sort_beside(1),
            KeyCode::Char('R') => {
                self.reverse = !self.reverse;
                self.arrange();
            }
            KeyCode::Char('b') => self.bytes = !self.bytes,
            KeyCode::Char(c) => {
                if let Some(&(_, field)) = SORTS.iter().find(|(key, _)| *key == c) {
                    self.sort = field;
                    self.reverse = false;
                    self.arrange();
                }
            }
            _ => {}
        }
        self.look_for_processes();
    }

    fn toggle(&mut self, pane: Pane) {
        self.pane = if self.pane == pane { Pane::None } else { pane };
    }

    fn draw(&mut self, frame: &mut Frame) {
        let area = frame.area();
        let height = match self.pane {
            Pane::None => 0,
            Pane::Keys => KEYS.len() as u16 + 1,
            Pane::Segment => 6 + self.attached.len() as u16,
        };
        let [top, table, pane, status] = area.layout(&Layout::vertical([
            Constraint::Length(3),
            Constraint::Min(2),
            Constraint::Length(height.min(area.height / 2)),
            Constraint::Length(1),
        ]));
        let sums = sums(self.before.as_ref(), &self.now, &self.rows, self.bytes);
        frame.render_widget(Paragraph::new(sums.map(Line::from).to_vec()), top);
        let hidden = self.draw_table(frame, table);
        match self.pane {
            Pane::None => {}
            Pane::Keys => frame.render_widget(
                Paragraph::new(KEYS.map(Line::from).to_vec()).block(titled("keys ".into())),
                pane,
            ),
            Pane::Segment => self.draw_segment(frame, pane),
        }

        let rows = self.rows.len();
        let first = self.table.offset();
        let last = rows.min(first + self.page);
        let mut text = String::new();
        if last - first.min(last) < rows {
            text += &format!("rows {}-{last} of {rows}; ", first + 1);
        }
        if hidden > 0 {
            text += &format!("{} hidden; ", count(hidden, "column", "columns"));
        }
        text += "q quits, ? shows keys";
        frame.render_widget(Line::styled(text, Modifier::DIM), status);
    }

    /// Returns how many columns are left out for want of width.
    fn draw_table(&mut self, frame: &mut Frame, area: Rect) -> u64 {
        const GAP: u16 = 2;
        let mark = if self.sort.descends() != self.reverse {
            '▼'
        } else {
            '▲'
        };
        let cells = |field: Field| -> Vec<String> {
            let (mut heading, _) = field.heading();
            if field == self.sort {
                heading.push(mark);
            }
            let shown = |row: &Row| match field.text(row, self.bytes) {
                text if text.is_empty() => "-".into(),
                text => printable(&text),
            };
            [heading]
                .into_iter()
                .chain(self.rows.iter().map(shown))
                .collect()
        };
        let wide = |cells: &Vec<String>| {
            let wide = cells.iter().map(|cell| Line::raw(cell.as_str()).width());
            wide.max().unwrap_or(0) as u16
        };
        let mut columns: Vec<(Field, u16, Vec<String>)> = FIELDS
            .map(|field| {
                let cells = cells(field);
                (field, wide(&cells), cells)
            })
            .into();
        for field in EXPENDABLE {
            let sum: u16 = columns.iter().map(|(_, wide, _)| wide + GAP).sum();
            if sum <= area.width + GAP {
                break;
            }
            columns.retain(|(column, ..)| *column != field);
        }
        let hidden = FIELDS.len() - columns.len();
        let line = |number: usize| {
            TableRow::new(columns.iter().map(|(field, _, cells)| {
                let line = Line::raw(cells[number].clone());
                if field.heading().1 == Kind::Number {
                    line.right_aligned()
                } else {
                    line
                }
            }))
        };
        let table = Table::new(
            (1..=self.rows.len()).map(line),
            columns.iter().map(|(_, wide, _)| Constraint::Length(*wide)),
        )
        .column_spacing(GAP)
        .header(line(0).style(Modifier::BOLD | Modifier::UNDERLINED))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        self.page = usize::from(area.height).saturating_sub(1);
        frame.render_stateful_widget(table, area, &mut self.table);
        hidden as u64
    }

    fn draw_segment(&self, frame: &mut Frame, area: Rect) {
        let Some(info) = self.chosen() else {
            return frame.render_widget(titled("no segment ".into()), area);
        };
        let column = |column: Column| {
            let text = printable(&column.text(info, self.bytes));
            if text.is_empty() {
                "-".into()
            } else {
                text
            }
        };
        let title = format!(
            "segment {}: key {}, owner {}, group {}, mode {}, status {} ",
            info.id(),
            column(Column::Key),
            column(Column::Owner),
            column(Column::Group),
            column(Column::Mode),
            column(Column::Status),
        );
        let block = titled(title);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let [text, spark, who] = inner.layout(&Layout::vertical([
            Constraint::Length(4),
            Constraint::Length(1),
            Constraint::Min(0),
        ]));
        let lines = [
            format!(
                "{} resident, {} huge, {} swapped, of {}",
                column(Column::Resident),
                column(Column::Huge),
                column(Column::Swap),
                column(Column::Size)
            ),
            show::bar(info, 36),
            format!(
                "created by {}, last used by {}",
                column(Column::Cpid),
                column(Column::Lpid)
            ),
            format!(
                "attached {}, detached {}",
                column(Column::Atime),
                column(Column::Dtime)
            ),
        ];
        frame.render_widget(Paragraph::new(lines.map(Line::from).to_vec()), text);
        let [about, spark] = spark.layout(&Layout::horizontal([
            Constraint::Length(10),
            Constraint::Min(0),
        ]));
        Line::raw("resident ").render(about, frame.buffer_mut());
        let resident: Vec<u64> = self
            .history
            .iter()
            .skip(self.history.len().saturating_sub(spark.width.into()))
            .map(|look| look.get(&info.id()).copied().unwrap_or(0))
            .collect();
        frame.render_widget(Sparkline::default().data(&resident).max(info.size()), spark);
        let lines = self.attached.iter().map(|line| Line::raw(line.as_str()));
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), who);
    }
}

fn titled(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

fn live(device: &Device, top: &Top, delay: Duration) -> Result {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
    }
    before_a_panic(Screen::leave);
    let mut app = App::new(Look::take(device)?, top);
    let mut rest = top.iterations;
    let mut terminal = Terminal::with_options(
        CrosstermBackend::new(io::stdout()),
        TerminalOptions {
            // Some terminals do not say.
            viewport: match terminal::size().map_err(terminal_failed)? {
                (0, _) | (_, 0) => Viewport::Fixed(Rect::new(0, 0, 80, 24)),
                _ => Viewport::Fullscreen,
            },
        },
    )
    .map_err(terminal_failed)?;
    let screen = Screen::enter().map_err(terminal_failed)?;
    loop {
        terminal
            .draw(|frame| app.draw(frame))
            .map_err(terminal_failed)?;
        match event(app.now.at + delay, &signal).map_err(terminal_failed)? {
            What::Quit => break,
            What::Key(key) => app.press(key),
            What::Resize => {}
            What::Signal(SIGCONT) => {
                // After SIGSTOP nothing has left it, and the shell has changed its mode.
                terminal::disable_raw_mode().map_err(terminal_failed)?;
                mem::forget(Screen::enter().map_err(terminal_failed)?);
                terminal.clear().map_err(terminal_failed)?;
            }
            What::Signal(number) => {
                Screen::leave();
                signal_hook::low_level::emulate_default_handler(number)?;
            }
            What::Time => {
                rest = rest.map(|rest| rest - 1);
                if rest == Some(0) {
                    break;
                }
                app.next(Look::take(device)?);
            }
        }
    }
    drop(screen);
    Ok(())
}

enum What {
    Quit,
    Key(KeyCode),
    Resize,
    Signal(i32),
    /// It is time for the next look.
    Time,
}

fn event(until: Instant, signal: &AtomicUsize) -> io::Result<What> {
    /// How late a signal may be noticed.
    const PATIENCE: Duration = Duration::from_millis(200);
    loop {
        match signal.swap(0, Ordering::Relaxed) {
            0 => {}
            number => return Ok(What::Signal(number as i32)),
        }
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(What::Time);
        }
        if !poll(rest.min(PATIENCE))? {
            continue;
        }
        let key = match read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => key,
            Event::Resize(..) => return Ok(What::Resize),
            _ => continue,
        };
        return Ok(match key.code {
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => What::Quit,
            KeyCode::Char('z') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                What::Signal(SIGTSTP)
            }
            KeyCode::Char('q') | KeyCode::Esc => What::Quit,
            code => What::Key(code),
        });
    }
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
        assert_eq!(rate_of_bytes(2048.0, false), "2K");
        assert_eq!(rate_of_bytes(-2048.0, true), "-2048");
        assert_eq!(rate_of_bytes(-0.4, true), "0");
        assert_eq!(format!("{:.1}", total([1.5, 2.0].into_iter())), "3.5");
        assert_eq!(format!("{:.1}", total([].into_iter())), "0.0");
    }
}
