// SPDX-License-Identifier: GPL-2.0

//! The kernel's command line, parsed as `parse_args()` and `next_arg()` do for early parameters.

/// A command line.
pub(crate) struct CommandLine<'a>(&'a [u8]);

impl<'a> CommandLine<'a> {
    /// Takes the content of `/proc/cmdline`, which ends with an added newline.
    pub(crate) fn from_proc(text: &'a [u8]) -> Self {
        Self(text.strip_suffix(b"\n").unwrap_or(text))
    }

    /// Returns whether the parameter `name` is set, with or without a value. Arguments after `--`
    /// are for init.
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
    /// Returns whether this is `--`, after which no argument is for the kernel.
    fn is_separator(&self) -> bool {
        self.name == b"--" && !self.has_value
    }

    /// Compares the name as `parameq()`: a dash equals an underscore.
    fn is_named(&self, name: &[u8]) -> bool {
        let underscored = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
        self.name
            .iter()
            .map(underscored)
            .eq(name.iter().map(underscored))
    }
}

/// The arguments of the rest of a command line.
struct Arguments<'a>(&'a [u8]);

impl<'a> Iterator for Arguments<'a> {
    type Item = Argument<'a>;

    fn next(&mut self) -> Option<Argument<'a>> {
        let start = self.0.iter().position(|&byte| !is_space(byte))?;
        let rest = self.0.get(start..)?;
        // Spaces in quotes do not end an argument. A leading quote is not part of the name, others
        // are.
        let quoted = rest.strip_prefix(b"\"");
        let mut in_quotes = quoted.is_some();
        let mut parts = quoted.unwrap_or(rest).splitn(2, |&byte| {
            in_quotes ^= byte == b'"';
            !in_quotes && is_space(byte)
        });
        let word = parts.next()?;
        self.0 = parts.next().unwrap_or_default();
        // A name has at least one byte, even if that is `=`.
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

/// As the kernel's `isspace()`, which classifies Latin-1 characters.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}
