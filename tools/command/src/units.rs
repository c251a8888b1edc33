// SPDX-License-Identifier: GPL-2.0-only

//! Sizes, modes and times, as they are typed and shown.

use std::time::{SystemTime, UNIX_EPOCH};

const SUFFIXES: &str = "KMGTPE";

/// 4096, 64K, 2M, 1.5G: bytes. As for coreutils and util-linux, K and KiB are 1024, and KB is 1000.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} is not a size: use bytes, or a number with K, M, G or T (64K)");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = text[digits.len()..].to_ascii_uppercase();
    let (suffix, base) = match (suffix.strip_suffix("IB"), suffix.strip_suffix('B')) {
        (Some(suffix), _) => (suffix, 1024_u64),
        (None, Some(suffix)) => (suffix, 1000),
        (None, None) => (&*suffix, 1024),
    };
    let power = match suffix {
        "" => 0,
        _ => match SUFFIXES.find(suffix) {
            Some(place) if suffix.len() == 1 => place as u32 + 1,
            _ => return Err(wrong()),
        },
    };
    let large = || format!("{text:?} does not fit in 64 bits");
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    if whole.is_empty()
        || part.is_empty()
        || !(whole.to_owned() + part)
            .bytes()
            .all(|c| c.is_ascii_digit())
    {
        return Err(wrong());
    }
    let unit = base.pow(power);
    let whole = whole
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(large)?;
    // As many digits as may make a difference.
    let part = format!("0.{part}").parse::<f64>().map_err(|_| wrong())? * unit as f64;
    if part.fract() != 0.0 && power == 0 {
        return Err(wrong());
    }
    whole.checked_add(part as u64).ok_or_else(large)
}

/// The largest that the kernel has for a limit: SHMMAX and SHMALL of <linux/shm.h>.
const UNLIMITED: u64 = u64::MAX - (1 << 24);

/// As [`parse_size`], or "unlimited".
pub fn parse_limit(text: &str) -> Result<u64, String> {
    if text == "unlimited" {
        Ok(UNLIMITED)
    } else {
        parse_size(text)
    }
}

/// Pages: a number of them, or a size with a suffix, or "unlimited".
pub fn parse_pages(text: &str) -> Result<u64, String> {
    let page = procfs::page_size();
    let number = parse_limit(text)?;
    if !text.ends_with(|c: char| c.is_ascii_alphabetic()) || text == "unlimited" {
        Ok(number)
    } else if number % page == 0 {
        Ok(number / page)
    } else {
        Err(format!(
            "{text:?} is not a whole number of pages of {page} bytes"
        ))
    }
}

/// A limit that may be none.
pub fn limit(value: u64, show: impl FnOnce(u64) -> String) -> String {
    if value >= UNLIMITED {
        "unlimited".into()
    } else {
        show(value)
    }
}

/// Nine bits, octal.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o777 && !text.starts_with('+'))
        .ok_or_else(|| format!("{text:?} is not a mode: use three octal digits (0640)"))
}

/// What ftok(3) takes.
pub fn parse_project(text: &str) -> Result<u8, String> {
    match (text.parse::<u8>(), text.as_bytes()) {
        (Ok(number), _) if number > 0 => Ok(number),
        (Err(_), [byte]) => Ok(*byte),
        _ => Err("a project is a number from 1 to 255, or a character".into()),
    }
}

/// A time to wait.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.01..=86400.0).contains(seconds))
        .ok_or_else(|| "use seconds from 0.01 to 86400".into())
}

/// A time that has passed, in seconds: 90s, 30m, 12h, 7d, 2w.
pub fn parse_age(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, _)) => text.split_at(at),
        None => (text, text),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        "w" => 7 * 86400,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|_| seconds != 0)
        .and_then(|number| number.checked_mul(seconds))
        .ok_or_else(|| "use a number with s, m, h, d or w (12h)".into())
}

/// A size for people: three digits, as 64K, 1.5G.
pub fn human(bytes: u64) -> String {
    let mut unit = 0;
    let mut shown = bytes as f64;
    // What would be shown as 1024 of a unit is 1 of the next.
    while shown >= 1023.5 && unit < SUFFIXES.len() {
        shown /= 1024.0;
        unit += 1;
    }
    let suffix = if unit == 0 {
        "B"
    } else {
        &SUFFIXES[unit - 1..unit]
    };
    if shown.fract() == 0.0 || shown >= 99.95 {
        format!("{shown:.0}{suffix}")
    } else {
        format!("{shown:.1}{suffix}").replace(".0", "")
    }
}

/// A size as it is wanted.
pub fn size(bytes: u64, exact: bool) -> String {
    if exact {
        bytes.to_string()
    } else {
        human(bytes)
    }
}

/// Seconds since 1970.
pub fn seconds(time: Option<SystemTime>) -> Option<u64> {
    Some(time?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// Local time, as 2026-05-01T12:00:00+02:00.
pub fn local(time: Option<SystemTime>) -> Option<String> {
    let stamp = jiff::Timestamp::try_from(time?).ok()?;
    Some(
        stamp
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%dT%H:%M:%S%:z")
            .to_string(),
    )
}

/// How long ago, as 5m ago: in the largest unit that fits.
pub fn ago(time: Option<SystemTime>) -> Option<String> {
    let seconds = time?.elapsed().unwrap_or_default().as_secs();
    Some(match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86400),
    })
}

/// Nine bits as in ls(1), of which the x are none.
pub fn symbolic_mode(mode: u32) -> String {
    (0..9)
        .rev()
        .map(|bit| {
            if mode & (1 << bit) == 0 {
                '-'
            } else {
                ['x', 'w', 'r'][bit % 3]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65536),
            ("64k", 65536),
            ("64KiB", 65536),
            ("64KB", 64000),
            ("64kB", 64000),
            ("1.5MB", 1_500_000),
            ("2MiB", 2 << 20),
            ("1EB", 1_000_000_000_000_000_000),
            ("10B", 10),
            ("2M", 2 << 20),
            ("1.5G", 3 << 29),
            ("15E", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.",
            ".5K",
            "1.5",
            "1KK",
            "1 K",
            "1X",
            "0x10",
            "16E",
            "18446744073709551616",
            "1iB2",
            "1KM",
            "é",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(parse_limit("unlimited"), Ok(18446744073692774399));
        for (text, pages) in [
            ("1000", 1000),
            ("1G", 1 << 18),
            ("8KiB", 2),
            ("4096KB", 1000),
            ("4096B", 1),
            ("unlimited", 18446744073692774399),
        ] {
            assert_eq!(parse_pages(text), Ok(pages), "{text}");
        }
        for text in ["1K", "4097B", "lots"] {
            assert!(parse_pages(text).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_and_projects() {
        assert_eq!(parse_mode("0640"), Ok(0o640));
        assert_eq!(parse_mode("7"), Ok(7));
        for text in ["", "8", "1000", "+7", "-1", "u+r"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
        assert_eq!(symbolic_mode(0o640), "rw-r-----");
        assert_eq!(parse_project("7"), Ok(7));
        assert_eq!(parse_project("R"), Ok(b'R'));
        assert!(parse_project("0").is_err());
        assert!(parse_project("256").is_err());
        assert!(parse_project("").is_err());
    }

    #[test]
    fn times_that_have_passed() {
        for (seconds, text) in [
            (0, "0s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (7199, "1h ago"),
            (86400 * 800, "800d ago"),
        ] {
            let time = SystemTime::now() - Duration::from_secs(seconds);
            assert_eq!(ago(Some(time)).as_deref(), Some(text));
        }
        let later = SystemTime::now() + Duration::from_secs(5);
        assert_eq!(ago(Some(later)).as_deref(), Some("0s ago"));
        assert_eq!(ago(None), None);
    }

    #[test]
    fn sizes_for_people() {
        for (size, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (1536, "1.5K"),
            (1025, "1K"),
            (100 * 1024 + 512, "100K"),
            (1024 * 1024 - 1, "1M"),
            (2 << 20, "2M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human(size), text, "{size}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse_size(&text), parse_mode(&text), parse_project(&text), parse_seconds(&text));
        }

        #[test]
        fn a_size_is_read_back(size: u64) {
            prop_assert_eq!(parse_size(&size.to_string()), Ok(size));
        }

        /// What is shown to people is right to 5 per cent, and short.
        #[test]
        fn people_are_not_deceived(size in 1_u64..1 << 60) {
            let text = human(size);
            prop_assert!(text.len() <= 5, "{}", text);
            let back = parse_size(&text).unwrap() as f64;
            prop_assert!((back / size as f64 - 1.0).abs() < 0.06, "{}", text);
        }
    }
}
