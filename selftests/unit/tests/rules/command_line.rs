// SPDX-License-Identifier: GPL-2.0

//! `shm/command_line.rs` against `parse_args()` in `kernel/params.c`, `next_arg()` in `lib/cmdline.c` and `do_early_param()` in
//! `init/main.c`.

use proptest::prelude::*;

use crate::command_line::CommandLine;
use crate::config;
use crate::id::IdLayout;

/// `_S` in the table of `lib/ctype.c`.
fn isspace(c: u8) -> bool {
    [9, 10, 11, 12, 13, 32, 160].contains(&c)
}

/// `skip_spaces()`, on a place in `line`.
fn skip_spaces(line: &[u8], mut at: usize) -> usize {
    while isspace(line[at]) {
        at += 1;
    }
    at
}

/// `next_arg()`: where the next one begins, and where `param` and `val` do. It writes NUL bytes into `line`.
fn next_arg(line: &mut [u8], mut args: usize) -> (usize, usize, Option<usize>) {
    let mut equals = 0;
    let mut in_quote = false;
    let mut quoted = false;
    if line[args] == b'"' {
        args += 1;
        in_quote = true;
        quoted = true;
    }
    let mut i = 0;
    while line[args + i] != 0 {
        if isspace(line[args + i]) && !in_quote {
            break;
        }
        if equals == 0 && line[args + i] == b'=' {
            equals = i;
        }
        if line[args + i] == b'"' {
            in_quote = !in_quote;
        }
        i += 1;
    }
    let param = args;
    let mut val = None;
    if equals != 0 {
        line[args + equals] = 0;
        let mut at = args + equals + 1;
        if line[at] == b'"' {
            at += 1;
            if line[args + i - 1] == b'"' {
                line[args + i - 1] = 0;
            }
        }
        val = Some(at);
    }
    if quoted && i > 0 && line[args + i - 1] == b'"' {
        line[args + i - 1] = 0;
    }
    if line[args + i] != 0 {
        line[args + i] = 0;
        args += i + 1;
    } else {
        args += i;
    }
    (skip_spaces(line, args), param, val)
}

/// The C string at a place in `line`, with its NUL.
fn string(line: &[u8], at: usize) -> &[u8] {
    let len = line[at..].iter().position(|&c| c == 0).expect("a NUL");
    &line[at..=at + len]
}

fn dash2underscore(c: u8) -> u8 {
    if c == b'-' {
        return b'_';
    }
    c
}

/// `parameq(a, b)`: all of `a` with its NUL.
fn parameq(a: &[u8], b: &[u8]) -> bool {
    for i in 0..a.len() {
        if dash2underscore(a[i]) != dash2underscore(b[i]) {
            return false;
        }
    }
    true
}

/// `parse_args("early options", ...)`, whether `do_early_param()` calls the function of `name` (which ends with NUL).
fn parse_early_options(cmdline: &[u8], name: &[u8]) -> bool {
    let mut line = cmdline.to_vec();
    line.push(0);
    let mut called = false;
    let mut args = skip_spaces(&line, 0);
    while line[args] != 0 {
        let (rest, param, val) = next_arg(&mut line, args);
        args = rest;
        if val.is_none() && string(&line, param) == b"--\0" {
            break;
        }
        called |= parameq(string(&line, param), name);
    }
    called
}

/// As `cmdline_proc_show()`.
fn proc_cmdline(cmdline: &[u8]) -> Vec<u8> {
    [cmdline, b"\n"].concat()
}

fn has(cmdline: &[u8]) -> bool {
    CommandLine::from_proc(&proc_cmdline(cmdline)).has(b"ipcmni_extend")
}

fn agree(cmdline: &[u8]) {
    assert_eq!(
        has(cmdline),
        parse_early_options(cmdline, b"ipcmni_extend\0"),
        "\"{}\"",
        cmdline.escape_ascii()
    );
}

/// What matters to the kernel, in a line or a name.
const PIECES: [&[u8]; 11] = [
    b"ipcmni_extend",
    b"ipcmni-extend",
    b"--",
    b"\"",
    b"=",
    b" ",
    b"\n",
    b"\x0b",
    b"\xa0",
    b"-",
    b"1",
];

#[test]
fn a_line_is_parse_args_for_all_short_lines() {
    fn extend(line: &mut Vec<u8>, left: usize) {
        agree(line);
        if left > 0 {
            for piece in PIECES {
                let len = line.len();
                line.extend_from_slice(piece);
                extend(line, left - 1);
                line.truncate(len);
            }
        }
    }
    extend(&mut Vec::new(), 5);
}

/// The expected values are what the kernel does, by reading it: they are held against the transcription too.
#[test]
fn these_have_the_parameter() {
    for line in [
        &b"ipcmni_extend"[..],
        b"ipcmni_extend=1",
        b"ipcmni_extend=0",
        b"ipcmni_extend=",
        b"ipcmni_extend=\"a b\"",
        b"ipcmni-extend",
        b"\"ipcmni_extend\"",
        b"\"ipcmni_extend=a -- b\"",
        b"\"ipcmni_extend",
        b"  quiet\tipcmni_extend\n-- single",
        b"a\x0bipcmni_extend",
        b"a\xa0ipcmni_extend\xa0b",
        b"--=1 ipcmni_extend",
        b"--x ipcmni_extend",
        b"a=\"b -- c\" ipcmni_extend",
        b"a=\"b\"\"c\" ipcmni_extend",
        b"quiet ipcmni_extend -- ipcmni_extend",
    ] {
        assert!(has(line), "\"{}\"", line.escape_ascii());
        agree(line);
    }
}

#[test]
fn these_have_not() {
    for line in [
        &b""[..],
        b" ",
        b"\"",
        b"\"\"",
        b"=",
        b"ipcmni_extended",
        b"ipcmni_exten",
        b"xipcmni_extend",
        b"ipcmni_extend.x=1",
        b"IPCMNI_EXTEND",
        b"=ipcmni_extend",
        b"=ipcmni_extend=1",
        b"ipcmni_extend\"",
        b"\"ipcmni_extend\"=1",
        b"\"\"ipcmni_extend",
        b"a=\"ipcmni_extend\"",
        b"a=\"b ipcmni_extend c\"",
        b"a=\"b ipcmni_extend",
        b"a\" ipcmni_extend",
        b"-- ipcmni_extend",
        b"\"--\" ipcmni_extend",
        b"quiet --\tipcmni_extend=1",
        b"a\x1cipcmni_extend",
        b"a\xc2\x85ipcmni_extend",
    ] {
        assert!(!has(line), "\"{}\"", line.escape_ascii());
        agree(line);
    }
}

/// Only the newline that is proc's own is no part of the line: it would be part of a name whose quote is open.
#[test]
fn the_last_newline_is_procs() {
    assert!(CommandLine::from_proc(b"\"ipcmni_extend\n").has(b"ipcmni_extend"));
    assert!(!CommandLine::from_proc(b"\"ipcmni_extend\n\n").has(b"ipcmni_extend"));
    assert!(CommandLine::from_proc(b"ipcmni_extend").has(b"ipcmni_extend"));
    assert!(!CommandLine::from_proc(b"").has(b"ipcmni_extend"));
    agree(b"\"ipcmni_extend\n");
}

#[test]
fn the_id_layout_follows_the_parameter() {
    let of = |text| IdLayout::from_command_line(&CommandLine::from_proc(text));
    assert_eq!(of(b"quiet ipcmni_extend\n"), IdLayout::EXTENDED);
    assert_eq!(of(b"ipcmni-extend=0 quiet\n"), IdLayout::EXTENDED);
    assert_eq!(of(b"quiet -- ipcmni_extend\n"), IdLayout::DEFAULT);
    assert_eq!(of(b"quiet\n"), IdLayout::DEFAULT);
}

/// A line without NUL: most often of pieces that matter, with any byte now and then.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES.to_vec()).prop_map(<[u8]>::to_vec),
        1 => (1u8..).prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A name of a parameter: short, so that lines have it by chance.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"ab-_\"=\xa0".to_vec()), 1..4)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_line_is_parse_args(line in line()) {
        agree(&line);
    }

    /// Any name, and it is in the line: at the beginning of a piece, at least.
    #[test]
    fn a_line_is_parse_args_for_all_names(before in line(), name in name(), after in line()) {
        let cmdline = [&before[..], &name, &after].concat();
        let c_name = [&name[..], b"\0"].concat();
        prop_assert_eq!(CommandLine::from_proc(&proc_cmdline(&cmdline)).has(&name), parse_early_options(&cmdline, &c_name));
    }
}
