// SPDX-License-Identifier: GPL-2.0-only

//! What is printed: a table for people, or lines for programs; and failures.

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};
use std::{
    fmt,
    io::{self, BufRead, IsTerminal, Write},
};

/// Why a command ends, and with which status.
#[derive(Debug)]
pub struct Failure {
    pub status: u8,
    /// Empty where all has been said.
    pub message: String,
}

pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(status: u8, message: impl fmt::Display) -> Self {
        Self {
            status,
            message: message.to_string(),
        }
    }

    /// Something failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(1, message)
    }

    /// It was not asked for rightly.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(2, message)
    }
}

impl From<rshm::Error> for Failure {
    fn from(error: rshm::Error) -> Self {
        Self::failed(error.with_hint())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever reads this wants no more: `rshm ls | head -n 1`.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(0, "");
        }
        Self::failed(reason(&error))
    }
}

/// Standard output, whose errors say what they are about.
pub struct Stdout(io::StdoutLock<'static>);

pub fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

fn about_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write: {}", reason(&error)))
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(about_stdout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(about_stdout)
    }
}

/// So many of them.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Asks a question that is answered by yes or no. Where there is nobody to ask, it fails, and says what it would do and what to add.
pub fn ask(question: &str, would: &str, add: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format_args!(
            "this would {would}, and there is no terminal to ask on: add {add}"
        )));
    }
    let mut out = io::stderr();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| {
        Failure::failed(format_args!("cannot read the answer: {}", reason(&error)))
    })?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Says something that is wrong but does not end the command.
pub fn complain(message: impl fmt::Display) {
    // There is nobody to tell if this fails.
    let _ = writeln!(io::stderr(), "rshm: {message}");
}

/// What an error of the system is, without its number.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" (os error").unwrap_or(text.len()));
    text
}

/// Whether standard output is for people.
pub fn for_people() -> bool {
    io::stdout().is_terminal()
}

/// What a word is shown in, where there are colours.
pub const PLAIN: Style = Style::new();
pub const BOLD: Style = Style::new().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();

/// Text in a style, where standard output takes it: by --color, NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM.
pub fn styled(style: Style, text: &str) -> String {
    match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => text.into(),
        _ => format!("{style}{text}{style:#}"),
    }
}

/// What a terminal would obey, or a line or column would end at, is replaced.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On the right.
    Number,
    /// Of no use in part.
    Word,
    /// May be cut where the terminal is narrow.
    Text,
}

/// Rows and columns.
pub struct Table {
    headings: Vec<String>,
    kinds: Vec<Kind>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headings: impl IntoIterator<Item = (String, Kind)>) -> Self {
        let (headings, kinds) = headings.into_iter().unzip();
        Self {
            headings,
            kinds,
            rows: Vec::new(),
        }
    }

    /// An empty cell is a hyphen, so that each line has as many words.
    pub fn row(&mut self, row: Vec<String>) {
        let shown = |cell: String| match cell.is_empty() {
            true => "-".into(),
            false => printable(&cell),
        };
        self.rows.push(row.into_iter().map(shown).collect());
    }

    fn all(&self, headings: bool) -> impl Iterator<Item = &Vec<String>> {
        let first = headings.then_some(&self.headings);
        first.into_iter().chain(&self.rows)
    }

    /// The lines for programs, with tabs between the columns.
    fn for_programs(&self, headings: bool) -> Vec<String> {
        self.all(headings).map(|row| row.join("\t")).collect()
    }

    /// The lines for people, aligned, in a terminal of that width if it is known.
    fn aligned(&self, headings: bool, width: Option<u16>) -> Vec<String> {
        /// As much of a text is left.
        const LEAST: u16 = 6;
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_truncation_indicator("…");
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        for row in self.all(headings) {
            let mut row = comfy_table::Row::from(row);
            row.max_height(1);
            table.add_row(row);
        }
        let widths = table.column_max_content_widths();
        let last = self.kinds.len().saturating_sub(1);
        for (column, kind) in table.column_iter_mut().zip(&self.kinds) {
            let gap = if column.index < last { 2 } else { 0 };
            column.set_padding((0, gap));
            match kind {
                Kind::Number => column.set_cell_alignment(CellAlignment::Right),
                _ => column.set_cell_alignment(CellAlignment::Left),
            };
            column.set_constraint(match kind {
                Kind::Text => ColumnConstraint::LowerBoundary(Width::Fixed(
                    widths[column.index].min(LEAST) + gap,
                )),
                _ => ColumnConstraint::ContentWidth,
            });
        }
        let lines = table.lines();
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    pub fn print(&self, headings: bool) -> io::Result<()> {
        let mut out = stdout();
        let lines = if for_people() {
            let width = terminal_size::terminal_size_of(io::stdout());
            self.aligned(headings, width.map(|(width, _)| width.0))
        } else {
            self.for_programs(headings)
        };
        for (number, line) in lines.iter().enumerate() {
            let style = if headings && number == 0 { BOLD } else { PLAIN };
            writeln!(out, "{}", styled(style, line))?;
        }
        out.flush()
    }
}

/// The version of what is printed as JSON: Documentation/command.md says what may change within one.
const JSON_VERSION: u32 = 1;

/// JSON, as all commands print it: an object, with its version.
pub fn print_json(mut value: serde_json::Value) -> Result {
    value["version"] = JSON_VERSION.into();
    let mut out = stdout();
    writeln!(out, "{value:#}")?;
    Ok(out.flush()?)
}

/// The same in one line, of which more follow.
pub fn print_json_line(mut value: serde_json::Value) -> Result {
    value["version"] = JSON_VERSION.into();
    let mut out = stdout();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let missing = std::fs::read("/nowhere").unwrap_err();
        assert_eq!(reason(&missing), "No such file or directory");
        assert_eq!(reason(&io::Error::other("empty")), "empty");
        // Only what is about writing says so.
        assert_eq!(Failure::from(missing).message, "No such file or directory");
        let full = about_stdout(io::Error::from_raw_os_error(28));
        assert_eq!(
            Failure::from(full).message,
            "cannot write: No space left on device"
        );
        let ended = about_stdout(io::ErrorKind::BrokenPipe.into());
        assert_eq!(Failure::from(ended).status, 0);
    }

    #[test]
    fn tables() {
        let mut table = Table::new([
            ("ID".into(), Kind::Number),
            ("OWNER".into(), Kind::Text),
            ("N".into(), Kind::Number),
        ]);
        table.row(vec!["5".into(), "root\x1b[2J".into(), String::new()]);
        table.row(vec!["100".into(), "ärger".into(), "1".into()]);
        assert_eq!(
            table.aligned(true, None),
            [" ID  OWNER     N", "  5  root?[2J  -", "100  ärger     1"]
        );
        assert_eq!(
            table.for_programs(false),
            ["5\troot?[2J\t-", "100\tärger\t1"]
        );
        assert_eq!(table.for_programs(true)[0], "ID\tOWNER\tN");
        // Where it is narrow, text is cut, but nothing else, and not all of it.
        assert_eq!(table.aligned(true, Some(16)), table.aligned(true, None));
        assert_eq!(
            table.aligned(true, Some(3)),
            [" ID  OWNER   N", "  5  root?…  -", "100  ärger   1"]
        );
        table.row(vec![
            "6".into(),
            "a-long-name-of-somebody".into(),
            "2".into(),
        ]);
        assert_eq!(table.aligned(false, Some(20))[2], "  6  a-long-name…  2");
        table.rows.pop();
        // Some letters are two columns wide.
        table.row(vec!["7".into(), "日本".into(), "2".into()]);
        assert_eq!(table.aligned(false, None)[2], "  7  日本      2");
        assert_eq!(
            Table::new([("ID".into(), Kind::Number)]).aligned(true, Some(9)),
            ["ID"]
        );
    }
}
