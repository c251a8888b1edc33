// SPDX-License-Identifier: GPL-2.0-only

//! `rshm cat`, `rshm dump` and `rshm write`: what is in a segment.

use crate::{
    cli::{Part, WriteTo},
    output::{stdout, Failure, Result},
};
use rshm::{Device, Segment};
use std::io::{self, ErrorKind, Read, Write};

/// So much is copied at a time.
const STEP: usize = 1 << 20;
/// Bytes in a line of a dump.
const LINE: usize = 16;

/// Calls `f` with the bytes of the part, piece by piece, and where each begins.
fn read(device: &Device, part: &Part, mut f: impl FnMut(usize, &[u8]) -> io::Result<()>) -> Result {
    let segment = device.segment_by_id(part.id);
    let size = size(&segment)?;
    let start = offset(part.offset, size)?;
    let end = part.length.map_or(size, |length| {
        size.min(start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)))
    });
    let memory = segment.attach_read_only()?;
    for at in (start..end).step_by(STEP) {
        f(at, &memory.read_vec_at::<u8>(at, STEP.min(end - at))?)?;
    }
    Ok(())
}

/// The size that was asked for: the rest of the last page is nobody's.
fn size(segment: &Segment) -> Result<usize> {
    usize::try_from(segment.stat()?.size()).map_err(Failure::failed)
}

fn offset(wanted: u64, size: usize) -> Result<usize> {
    match usize::try_from(wanted) {
        Ok(offset) if offset <= size => Ok(offset),
        _ => Err(Failure::failed(format_args!(
            "the segment ends at {size}, before {wanted}"
        ))),
    }
}

pub fn cat(device: &Device, part: &Part) -> Result {
    let mut out = stdout();
    read(device, part, |_, bytes| out.write_all(bytes))?;
    Ok(out.flush()?)
}

pub fn dump(device: &Device, part: &Part) -> Result {
    let mut out = stdout();
    let mut last: Vec<u8> = Vec::new();
    let (mut repeats, mut end) = (false, 0);
    read(device, part, |at, bytes| {
        end = at + bytes.len();
        for (number, line) in bytes.chunks(LINE).enumerate() {
            // As hexdump(1): lines like the one before are a star.
            if line == last {
                if !repeats {
                    writeln!(out, "*")?;
                }
                repeats = true;
                continue;
            }
            repeats = false;
            last = line.to_vec();
            writeln!(out, "{}", dump_line(at + number * LINE, line))?;
        }
        Ok(())
    })?;
    writeln!(out, "{end:08x}")?;
    Ok(out.flush()?)
}

/// As `hexdump -C`.
fn dump_line(at: usize, bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| {
        let words = bytes.iter().map(|byte| format!(" {byte:02x}"));
        words.collect::<Vec<_>>().concat()
    };
    let (left, right) = bytes.split_at(bytes.len().min(LINE / 2));
    let text: String = bytes
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        })
        .collect();
    format!("{at:08x} {:<24} {:<24}  |{text}|", hex(left), hex(right))
}

/// Standard input into a segment. What does not fit is an error, after what does.
pub fn write(device: &Device, to: &WriteTo) -> Result {
    let segment = device.segment_by_id(to.id);
    let size = size(&segment)?;
    let mut at = offset(to.offset, size)?;
    let memory = segment.attach()?;
    let mut input = io::stdin().lock();
    let mut room = vec![0; STEP];
    loop {
        let count = match input.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let fits = count.min(size - at);
        memory.write_slice_at(at, &room[..fits])?;
        at += fits;
        if fits < count {
            return Err(Failure::failed(format_args!(
                "the input is longer than the segment, which ends at {size}"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_hexdump() {
        assert_eq!(
            dump_line(0x20, b"abcdefgh\0\xff~\nABCD"),
            "00000020  61 62 63 64 65 66 67 68  00 ff 7e 0a 41 42 43 44  |abcdefgh..~.ABCD|"
        );
        assert_eq!(
            dump_line(0, b"abc"),
            "00000000  61 62 63                                          |abc|"
        );
    }

    #[test]
    fn offsets_are_in_the_segment() {
        assert_eq!(offset(5, 5).unwrap(), 5);
        assert!(offset(6, 5).is_err());
    }
}
