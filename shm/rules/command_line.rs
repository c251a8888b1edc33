// SPDX-License-Identifier: GPL-2.0

//! The kernel's command line: which parameters it has.
//!
//! It is read as `parse_args()` and `next_arg()` do for parameters that are looked at early in the
//! boot. Plain code on plain values, so that it is tested on the host too.

/// A command line.
pub(crate) struct CommandLine<'a>(&'a [u8]);

impl<'a> CommandLine<'a> {
    /// From what `/proc/cmdline` says, which ends with a newline of its own.
    pub(crate) fn from_proc(text: &'a [u8]) -> Self {
        Self(text.strip_suffix(b"\n").unwrap_or(text))
    }

    /// Whether the kernel has the parameter `name`, with a value or without. What stands after `--`
    /// is for the first process.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        Arguments(self.0)
            .take_while(|argument| !argument.is_separator())
            .any(|argument| argument.is_named(name))
    }
}

/// One argument of a command line.
struct Argument<'a> {
    name: &'a [u8],
    has_value: bool,
}

impl Argument<'_> {
    /// Whether it is `--`: what follows is not for the kernel.
    fn is_separator(&self) -> bool {
        self.name == b"--" && !self.has_value
    }

    /// Whether that is its name, as `parameq()`: a dash is an underscore.
    fn is_named(&self, name: &[u8]) -> bool {
        let underscored = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
        self.name
            .iter()
            .map(underscored)
            .eq(name.iter().map(underscored))
    }
}

/// What is left of a command line.
struct Arguments<'a>(&'a [u8]);

impl<'a> Iterator for Arguments<'a> {
    type Item = Argument<'a>;

    fn next(&mut self) -> Option<Argument<'a>> {
        let start = self.0.iter().position(|&byte| !is_space(byte))?;
        let rest = self.0.get(start..)?;
        // Space does not end what is in quotes. A first quote is no part of the name, others are.
        let quoted = rest.strip_prefix(b"\"");
        let mut in_quotes = quoted.is_some();
        let mut parts = quoted.unwrap_or(rest).splitn(2, |&byte| {
            in_quotes ^= byte == b'"';
            !in_quotes && is_space(byte)
        });
        let word = parts.next()?;
        self.0 = parts.next().unwrap_or_default();
        // A name has a byte at least, be it `=`.
        if let Some(more) = word.iter().skip(1).position(|&byte| byte == b'=') {
            return Some(Argument {
                name: word.get(..=more)?,
                has_value: true,
            });
        }
        let name = match quoted {
            Some(_) => word.strip_suffix(b"\"").unwrap_or(word),
            None => word,
        };
        Some(Argument {
            name,
            has_value: false,
        })
    }
}

/// As `isspace()` in the kernel, whose characters are those of Latin-1.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}
