// SPDX-License-Identifier: GPL-2.0-only

//! What is printed: a table for people, or lines for programs; and failures.

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
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
        Self::failed(error)
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

fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    for_people() && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[derive(Clone, Copy)]
pub enum Style {
    Plain,
    Bold,
    Good,
    Doubtful,
    Bad,
}

/// Text in a colour, where there are colours.
pub fn styled(style: Style, text: &str) -> String {
    let code = match style {
        Style::Bold => "1",
        Style::Good => "32",
        Style::Doubtful => "33",
        Style::Bad => "31",
        Style::Plain => return text.into(),
    };
    if colours() {
        format!("\x1b[{code}m{text}\x1b[m")
    } else {
        text.into()
    }
}

/// What a terminal would obey, or a line or column would end at, is replaced.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// How wide each column is.
fn widths<'row>(columns: usize, rows: impl Iterator<Item = &'row Vec<String>>) -> Vec<usize> {
    let mut widths = vec![1; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

/// Rows and columns.
pub struct Table {
    headings: Vec<String>,
    /// Numbers are on the right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headings: impl IntoIterator<Item = (String, bool)>) -> Self {
        let (headings, right) = headings.into_iter().unzip();
        Self {
            headings,
            right,
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, row: Vec<String>) {
        self.rows
            .push(row.iter().map(|cell| printable(cell)).collect());
    }

    /// The lines: aligned for people, otherwise with tabs between the columns. An empty cell is a
    /// hyphen, so that each line has as many words.
    pub fn lines(&self, for_people: bool, headings: bool) -> Vec<String> {
        let shown = |cell: &String| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell.clone()
            }
        };
        let first = headings.then_some(&self.headings);
        let all = || first.into_iter().chain(&self.rows);
        if !for_people {
            return all()
                .map(|row| row.iter().map(shown).collect::<Vec<_>>().join("\t"))
                .collect();
        }
        let widths = widths(self.headings.len(), all());
        let line = |row: &Vec<String>| {
            let cells = row
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(|((cell, &width), right)| {
                    let cell = shown(cell);
                    if *right {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        all().map(line).collect()
    }

    pub fn print(&self, headings: bool) -> io::Result<()> {
        let mut out = stdout();
        for (number, line) in self.lines(for_people(), headings).iter().enumerate() {
            let style = if headings && number == 0 {
                Style::Bold
            } else {
                Style::Plain
            };
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
            ("ID".into(), true),
            ("OWNER".into(), false),
            ("N".into(), true),
        ]);
        table.row(vec!["5".into(), "root\x1b[2J".into(), String::new()]);
        table.row(vec!["100".into(), "ärger".into(), "1".into()]);
        assert_eq!(
            table.lines(true, true),
            [" ID  OWNER     N", "  5  root?[2J  -", "100  ärger     1"]
        );
        assert_eq!(
            table.lines(false, false),
            ["5\troot?[2J\t-", "100\tärger\t1"]
        );
        assert_eq!(table.lines(false, true)[0], "ID\tOWNER\tN");
    }
}
