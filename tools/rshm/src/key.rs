// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys: the numbers by which processes that know nothing of each other find a segment.

use crate::{Call, Error, Result, Target};
use std::{fmt, os::unix::fs::MetadataExt, path::Path, str::FromStr};

/// A segment's key, or [`Key::PRIVATE`].
///
/// It is shown as in `/proc/sysvipc/shm` and `ipcs`, and read from decimal, hexadecimal (`0x`) or
/// octal (`0`):
///
/// ```
/// use rshm::Key;
///
/// let key: Key = "0x5275".parse()?;
/// assert_eq!(key, Key::new(21109));
/// assert_eq!(key.to_string(), "0x00005275");
/// assert_eq!("-1".parse::<Key>()?, "0xffffffff".parse()?);
/// # Ok::<(), rshm::ParseKeyError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(i32);

impl Key {
    /// No key: each segment that is made with it is a new one, which only its id finds.
    pub const PRIVATE: Self = Self(rust_shm_abi::IPC_PRIVATE);

    /// A key by its number.
    #[must_use]
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Whether this is [`Key::PRIVATE`].
    #[must_use]
    pub const fn is_private(self) -> bool {
        self.0 == Self::PRIVATE.0
    }

    /// The key that `ftok(3)` makes of a file that exists, and a project's number that is not 0.
    ///
    /// It is made of the low bits of inode and device number: two files may have the same key, and
    /// a file that is made anew has another.
    ///
    /// ```
    /// use rshm::Key;
    ///
    /// assert_eq!(Key::from_path("/", b'a')?, Key::from_path("/.", b'a')?);
    /// assert_ne!(Key::from_path("/", b'a')?, Key::from_path("/", b'b')?);
    /// # Ok::<(), rshm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `stat(2)` has: `ENOENT` if there is no such file.
    pub fn from_path(path: impl AsRef<Path>, project: u8) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::metadata(path)
            .map_err(|error| Error::new(Call::Ftok, Target::Path(path.into()), &error))?;
        let (inode, device) = (file.ino() as u32 & 0xffff, file.dev() as u32 & 0xff);
        let number = inode | (device << 16) | (u32::from(project) << 24);
        Ok(Self(number as i32))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The text is no [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is a number of 32 bits: decimal, hexadecimal with 0x, or octal with 0")]
#[non_exhaustive]
pub struct ParseKeyError;

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseKeyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, radix) =
            if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
                (hex, 16)
            } else if digits.len() > 1 && digits.starts_with('0') {
                (&digits[1..], 8)
            } else {
                (digits, 10)
            };
        // from_str_radix() takes signs.
        if !digits.starts_with(|first: char| first.is_digit(radix)) {
            return Err(ParseKeyError);
        }
        let number = i64::from_str_radix(digits, radix).map_err(|_| ParseKeyError)?;
        let number = if negative { -number } else { number };
        i32::try_from(number)
            .or_else(|_| u32::try_from(number).map(|number| number as i32))
            .map(Self)
            .map_err(|_| ParseKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::CString;

    #[test]
    fn what_is_no_key() {
        for text in [
            "",
            "-",
            "x",
            "0x",
            "0x+1",
            "--1",
            "+1",
            "08",
            "4294967296",
            "-2147483649",
            "0x100000000",
            "1 ",
        ] {
            assert_eq!(text.parse::<Key>(), Err(ParseKeyError), "{text:?}");
        }
    }

    #[test]
    fn from_path_is_ftok() {
        for (path, project) in [("/", 1), ("/proc", 255), ("/dev/null", b'R')] {
            let c_path = CString::new(path).unwrap();
            assert_eq!(
                Key::from_path(path, project).unwrap().number(),
                crate::sys::ftok(&c_path, project)
            );
        }
        let error = Key::from_path("/nowhere/at/all", 1).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT));
    }

    proptest! {
        #[test]
        fn every_key_is_read_back(number: i32) {
            let key = Key::new(number);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
            prop_assert_eq!(number.to_string().parse(), Ok(key));
            prop_assert_eq!(format!("0{number:o}").parse(), Ok(key));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Key>();
        }
    }
}
