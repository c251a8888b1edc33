// SPDX-License-Identifier: GPL-2.0-only

//! The file of `rshm save`: Documentation/checkpoint.md describes each byte.
//!
//! [`Writer`] and [`Reader`] work on streams. Nothing that a reader returns has come from a record whose checksum is wrong,
//! and [`Record::End`] is returned only if no record is missing.

use rshm::{abi, Policy};
use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
};
use twox_hash::XxHash3_64;

/// The first bytes. No text has them, and what changes the ends of lines destroys them.
const MAGIC: [u8; 8] = *b"\x89RSHM\r\n\x1a";
/// The version that is written, and the latest that is read.
const VERSION: u32 = 1;
/// The most bytes of contents in a record.
pub const BLOCK: u64 = 2 << 20;
/// The most bytes of a record between its head and its checksum.
const MOST: u64 = 4 << 20;

const SEGMENT: u32 = 1;
const CONTENTS: u32 = 2;
const END: u32 = 3;

/// What is wrong with a file.
#[derive(Debug)]
pub enum Error {
    Io(io::Error),
    Foreign,
    Newer(u32),
    Truncated,
    /// Somewhere in what begins at this byte.
    Damaged(u64),
    /// All checksums are right, and it makes no sense.
    Senseless(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => f.write_str(&crate::output::reason(error)),
            Self::Foreign => f.write_str("this is no file of rshm save"),
            Self::Newer(version) => write!(
                f,
                "it has version {version} of the format, and this rshm knows {VERSION}: use a newer one"
            ),
            Self::Truncated => f.write_str("it ends too early: a part is missing; use another copy"),
            Self::Damaged(at) => write!(f, "it is damaged, at byte {at} or after it: use another copy"),
            Self::Senseless(why) => write!(f, "it cannot be restored: {why}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

pub type Result<T = ()> = std::result::Result<T, Error>;

/// A segment without its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub fields: abi::Restore,
    /// How many bytes an attach maps.
    pub mapped: u64,
    /// How many attaches there were.
    pub attaches: u64,
    /// The NUMA policies that are not the default: from, to, in bytes.
    pub policies: Vec<(u64, u64, Policy)>,
}

/// A range of a segment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// What is in some extents of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Which of the [`Saved`].
    pub segment: u32,
    pub extents: Vec<Extent>,
    is_compressed: bool,
    bytes: Vec<u8>,
}

impl Contents {
    /// `data` is that of all extents, one after the other. It is compressed if that makes it smaller.
    pub fn new(segment: u32, extents: Vec<Extent>, data: Vec<u8>) -> Self {
        let (is_compressed, bytes) = match zstd::bulk::compress(&data, 1) {
            Ok(compressed) if compressed.len() < data.len() => (true, compressed),
            _ => (false, data),
        };
        Self {
            segment,
            extents,
            is_compressed,
            bytes,
        }
    }

    /// How many bytes the extents have.
    pub fn length(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }

    /// The data of all extents, one after the other.
    pub fn data(&self) -> Result<Vec<u8>> {
        let length = self.length() as usize;
        let data = if self.is_compressed {
            zstd::bulk::decompress(&self.bytes, length)
                .map_err(|_| Error::Senseless("contents cannot be decompressed"))?
        } else {
            self.bytes.clone()
        };
        if data.len() != length {
            return Err(Error::Senseless(
                "contents have not the length they should have",
            ));
        }
        Ok(data)
    }
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Segment(Saved),
    Contents(Contents),
    End,
}

/// The numbers of a record, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    fn i32(&mut self) -> Option<i32> {
        self.u32().map(|number| number as i32)
    }

    fn i64(&mut self) -> Option<i64> {
        self.u64().map(|number| number as i64)
    }
}

impl Saved {
    fn encode(&self) -> Vec<u8> {
        let f = &self.fields;
        let mut to = Vec::new();
        for number in [f.id, f.key] {
            to.extend(number.to_le_bytes());
        }
        to.extend(f.size.to_le_bytes());
        for number in [f.flags, f.mode, f.uid, f.gid, f.cuid, f.cgid] {
            to.extend(number.to_le_bytes());
        }
        for number in [f.cpid, f.lpid] {
            to.extend(number.to_le_bytes());
        }
        for number in [f.atime, f.dtime, f.ctime] {
            to.extend(number.to_le_bytes());
        }
        for number in [self.mapped, self.attaches, self.policies.len() as u64] {
            to.extend(number.to_le_bytes());
        }
        for (start, end, policy) in &self.policies {
            to.extend(start.to_le_bytes());
            to.extend(end.to_le_bytes());
            to.extend(policy.mode.to_le_bytes());
            to.extend((policy.nodes.len() as u32).to_le_bytes());
            for word in &policy.nodes {
                to.extend(word.to_le_bytes());
            }
        }
        to
    }

    /// `None` if it is not as long as it should be.
    fn decode(from: &[u8]) -> Option<Self> {
        let mut from = Fields(from);
        let fields = abi::Restore {
            id: from.i32()?,
            key: from.i32()?,
            size: from.u64()?,
            flags: from.u32()?,
            mode: from.u32()?,
            uid: from.u32()?,
            gid: from.u32()?,
            cuid: from.u32()?,
            cgid: from.u32()?,
            cpid: from.i32()?,
            lpid: from.i32()?,
            atime: from.i64()?,
            dtime: from.i64()?,
            ctime: from.i64()?,
        };
        let (mapped, attaches, count) = (from.u64()?, from.u64()?, from.u64()?);
        let mut policies = Vec::new();
        for _ in 0..count {
            let (start, end) = (from.u64()?, from.u64()?);
            let (mode, words) = (from.u32()?, from.u32()?);
            let mut nodes = Vec::new();
            for _ in 0..words {
                nodes.push(from.u64()?);
            }
            policies.push((start, end, Policy { mode, nodes }));
        }
        from.0.is_empty().then_some(Self {
            fields,
            mapped,
            attaches,
            policies,
        })
    }
}

impl Contents {
    fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(16 * (self.extents.len() + 1) + self.bytes.len());
        for number in [
            self.segment,
            self.is_compressed.into(),
            self.extents.len() as u32,
            0,
        ] {
            to.extend(number.to_le_bytes());
        }
        for extent in &self.extents {
            to.extend(extent.offset.to_le_bytes());
            to.extend(extent.length.to_le_bytes());
        }
        to.extend(&self.bytes);
        to
    }

    fn decode(from: &[u8]) -> Option<Self> {
        let mut from = Fields(from);
        let (segment, coding) = (from.u32()?, from.u32()?);
        let (count, reserved) = (from.u32()?, from.u32()?);
        if coding > 1 || reserved != 0 {
            return None;
        }
        let mut extents = Vec::new();
        for _ in 0..count {
            let (offset, length) = (from.u64()?, from.u64()?);
            extents.push(Extent { offset, length });
        }
        Some(Self {
            segment,
            extents,
            is_compressed: coding == 1,
            bytes: from.0.to_vec(),
        })
    }
}

/// Writes a file.
pub struct Writer<W> {
    to: W,
    number: u32,
    /// Of the checksums of all records.
    sum: XxHash3_64,
}

impl<W: Write> Writer<W> {
    pub fn new(mut to: W) -> io::Result<Self> {
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend(0_u32.to_le_bytes());
        head.extend(XxHash3_64::oneshot(&head).to_le_bytes());
        to.write_all(&head)?;
        Ok(Self {
            to,
            number: 0,
            sum: XxHash3_64::with_seed(0),
        })
    }

    fn record(&mut self, kind: u32, payload: &[u8]) -> io::Result<()> {
        let mut head = kind.to_le_bytes().to_vec();
        head.extend(self.number.to_le_bytes());
        head.extend((payload.len() as u64).to_le_bytes());
        let sum = checksum(&head, payload);
        self.to.write_all(&head)?;
        self.to.write_all(payload)?;
        self.to.write_all(&sum.to_le_bytes())?;
        self.number = self.number.wrapping_add(1);
        add(&mut self.sum, sum);
        Ok(())
    }

    /// All of them come before the first contents.
    pub fn segment(&mut self, segment: &Saved) -> io::Result<()> {
        let payload = segment.encode();
        if payload.len() as u64 > MOST {
            return Err(io::Error::other("it has too many NUMA policies"));
        }
        self.record(SEGMENT, &payload)
    }

    pub fn contents(&mut self, contents: &Contents) -> io::Result<()> {
        self.record(CONTENTS, &contents.encode())
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<W> {
        let sum = self.sum.finish_64();
        self.record(END, &sum.to_le_bytes())?;
        self.to.flush()?;
        Ok(self.to)
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u64 {
    let mut sum = XxHash3_64::with_seed(0);
    std::hash::Hasher::write(&mut sum, head);
    std::hash::Hasher::write(&mut sum, payload);
    sum.finish_64()
}

fn add(sum: &mut XxHash3_64, number: u64) {
    std::hash::Hasher::write(sum, &number.to_le_bytes());
}

trait Finish {
    fn finish_64(&self) -> u64;
}

impl Finish for XxHash3_64 {
    fn finish_64(&self) -> u64 {
        std::hash::Hasher::finish(self)
    }
}

/// Reads a file.
pub struct Reader<R> {
    from: R,
    /// How many bytes were read.
    at: u64,
    number: u32,
    sum: XxHash3_64,
    /// How many bytes an attach of each segment maps.
    mapped: Vec<u64>,
    has_contents: bool,
}

impl<R: Read> Reader<R> {
    pub fn new(mut from: R) -> Result<Self> {
        let mut head = [0; 24];
        let length = fill(&mut from, &mut head)?;
        if length < MAGIC.len() || !head.starts_with(&MAGIC) {
            return Err(Error::Foreign);
        }
        if length < head.len() {
            return Err(Error::Truncated);
        }
        let mut fields = Fields(&head[8..]);
        let (version, reserved, sum) = (fields.u32(), fields.u32(), fields.u64());
        if sum != Some(XxHash3_64::oneshot(&head[..16])) {
            return Err(Error::Damaged(0));
        }
        match version {
            Some(VERSION) if reserved == Some(0) => {}
            Some(newer) if newer > VERSION => return Err(Error::Newer(newer)),
            _ => return Err(Error::Senseless("its version is unknown")),
        }
        Ok(Self {
            from,
            at: 24,
            number: 0,
            sum: XxHash3_64::with_seed(0),
            mapped: Vec::new(),
            has_contents: false,
        })
    }

    /// The next record. Must not be called after [`Record::End`].
    pub fn record(&mut self) -> Result<Record> {
        let start = self.at;
        let damaged = || Error::Damaged(start);
        let mut head = [0; 16];
        self.from.read_exact(&mut head)?;
        let mut fields = Fields(&head);
        let (kind, number) = (fields.u32(), fields.u32());
        let length = fields.u64().filter(|length| *length <= MOST);
        let length = length.ok_or_else(damaged)?;
        let mut payload = vec![0; length as usize + 8];
        self.from.read_exact(&mut payload)?;
        self.at += (head.len() + payload.len()) as u64;
        let (payload, sum) = payload.split_last_chunk().ok_or_else(damaged)?;
        let sum = u64::from_le_bytes(*sum);
        if sum != checksum(&head, payload) || number != Some(self.number) {
            return Err(damaged());
        }
        self.number = self.number.wrapping_add(1);
        let record = match kind {
            Some(SEGMENT) => Saved::decode(payload).map(Record::Segment),
            Some(CONTENTS) => Contents::decode(payload).map(Record::Contents),
            Some(END) => {
                if payload != self.sum.finish_64().to_le_bytes() {
                    return Err(damaged());
                }
                Some(Record::End)
            }
            _ => None,
        };
        add(&mut self.sum, sum);
        let record = record.ok_or(Error::Senseless("it has a record that is not known"))?;
        self.check(&record)?;
        Ok(record)
    }

    /// Whether a record makes sense after those before it.
    fn check(&mut self, record: &Record) -> Result {
        match record {
            Record::Segment(segment) => {
                let is_within =
                    |(start, end, _): &(u64, u64, Policy)| start < end && *end <= segment.mapped;
                if self.has_contents {
                    return Err(Error::Senseless("a segment follows contents"));
                }
                if segment.fields.size > segment.mapped
                    || usize::try_from(segment.mapped).is_err()
                    || !segment.policies.iter().all(is_within)
                {
                    return Err(Error::Senseless("a segment has sizes that cannot be"));
                }
                self.mapped.push(segment.mapped);
            }
            Record::Contents(contents) => {
                self.has_contents = true;
                let mapped = self.mapped.get(contents.segment as usize);
                let mapped = mapped.ok_or(Error::Senseless("contents are of no segment"))?;
                let mut length = 0;
                for extent in &contents.extents {
                    let end = extent.offset.checked_add(extent.length);
                    if extent.length > BLOCK || end.is_none_or(|end| end > *mapped) {
                        return Err(Error::Senseless("contents do not fit their segment"));
                    }
                    length += extent.length;
                }
                if length > BLOCK {
                    return Err(Error::Senseless("contents are too long"));
                }
            }
            Record::End => {
                if fill(&mut self.from, &mut [0])? > 0 {
                    return Err(Error::Senseless("something follows its end"));
                }
            }
        }
        Ok(())
    }
}

/// Reads as much as there is room for, or there is.
fn fill(from: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < room.len() {
        match from.read(&mut room[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: i32, mapped: u64) -> Saved {
        Saved {
            fields: abi::Restore {
                id,
                key: -5,
                size: mapped - 1,
                flags: abi::NORESERVE,
                mode: 0o640 | abi::MODE_LOCKED,
                uid: 1,
                gid: 2,
                cuid: 3,
                cgid: 4,
                cpid: 5,
                lpid: 6,
                atime: 7,
                dtime: 8,
                ctime: i64::MAX,
            },
            mapped,
            attaches: 9,
            policies: vec![(
                4096,
                8192,
                Policy {
                    mode: 2,
                    nodes: vec![0, 5],
                },
            )],
        }
    }

    fn contents(segment: u32, offset: u64, data: &[u8]) -> Contents {
        let length = data.len() as u64;
        Contents::new(segment, vec![Extent { offset, length }], data.to_vec())
    }

    /// One with all kinds of records: two segments; contents that compress, some that do not, of several extents.
    fn records() -> Vec<Record> {
        let noise: Vec<u8> = (0..64_u64)
            .flat_map(|number| XxHash3_64::oneshot(&number.to_le_bytes()).to_le_bytes())
            .collect();
        let two = [(0, 100), (4096, 28)].map(|(offset, length)| Extent { offset, length });
        vec![
            Record::Segment(segment(3, 8192)),
            Record::Segment(segment(32771, 1 << 20)),
            Record::Contents(contents(0, 4096, &[7; 4096])),
            Record::Contents(contents(1, 512, &noise)),
            Record::Contents(Contents::new(1, two.to_vec(), vec![1; 128])),
            Record::End,
        ]
    }

    fn write(records: &[Record]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for record in records {
            match record {
                Record::Segment(segment) => writer.segment(segment).unwrap(),
                Record::Contents(contents) => writer.contents(contents).unwrap(),
                Record::End => {}
            }
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>> {
        let mut reader = Reader::new(bytes)?;
        let mut records = Vec::new();
        loop {
            records.push(reader.record()?);
            if records.last() == Some(&Record::End) {
                return Ok(records);
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let records = records();
        assert_eq!(read(&write(&records)).unwrap(), records);
        let nothing = [Record::End];
        assert_eq!(read(&write(&nothing)).unwrap(), nothing);
        let Record::Contents(compressed) = &records[2] else {
            unreachable!()
        };
        assert!(compressed.is_compressed && compressed.bytes.len() < 100);
        assert_eq!(compressed.data().unwrap(), [7; 4096]);
        let Record::Contents(plain) = &records[3] else {
            unreachable!()
        };
        assert!(!plain.is_compressed);
        assert_eq!(plain.data().unwrap().len(), 512);
    }

    /// The bytes themselves: another program can rely on Documentation/checkpoint.md.
    #[test]
    fn the_format_is_as_published() {
        let bytes = write(&[Record::Segment(segment(3, 8192)), Record::End]);
        assert_eq!(bytes[..8], *b"\x89RSHM\r\n\x1a");
        assert_eq!(bytes[8..16], [1, 0, 0, 0, 0, 0, 0, 0]);
        // The reference implementation's sum of these 16 bytes.
        assert_eq!(
            bytes[16..24],
            XxHash3_64::oneshot(&bytes[..16]).to_le_bytes()
        );
        // A segment, the first record, of 136 bytes.
        let length = 72 + 24 + 24 + 16;
        assert_eq!(
            bytes[24..40],
            [1, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[40..48], [3, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff]);
        assert_eq!(bytes[48..56], 8191_u64.to_le_bytes());
        let end = 40 + usize::from(length);
        let sum = &bytes[end..end + 8];
        assert_eq!(sum, XxHash3_64::oneshot(&bytes[24..end]).to_le_bytes());
        assert_eq!(
            bytes[end + 8..end + 24],
            [3, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            bytes[end + 24..end + 32],
            XxHash3_64::oneshot(sum).to_le_bytes()
        );
        assert_eq!(bytes.len(), end + 40);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = write(&records());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(read(&damaged).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn every_end_that_is_too_early_is_noticed() {
        let bytes = write(&records());
        for length in 0..bytes.len() {
            match read(&bytes[..length]) {
                Err(Error::Foreign) => assert!(length < MAGIC.len(), "{length} bytes"),
                Err(Error::Truncated) => {}
                other => panic!("{length} bytes: {other:?}"),
            }
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(matches!(read(&longer), Err(Error::Senseless(_))));
    }

    /// Records whose checksums are right, but that are left out, repeated or in another order.
    #[test]
    fn records_are_all_there_once_and_in_order() {
        let bytes = write(&records());
        // Where each begins.
        let mut starts = vec![24];
        while *starts.last().unwrap() < bytes.len() {
            let at = starts.last().unwrap();
            let length = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
            starts.push(at + 24 + length as usize);
        }
        let parts: Vec<&[u8]> = starts.windows(2).map(|at| &bytes[at[0]..at[1]]).collect();
        assert_eq!(parts.len(), 6);
        let whole = |parts: &[&[u8]]| [&bytes[..24], &parts.concat()].concat();
        assert!(read(&whole(&parts)).is_ok());
        for number in 0..parts.len() {
            let mut others = parts.clone();
            others.remove(number);
            assert!(read(&whole(&others)).is_err(), "without {number}");
            others = parts.clone();
            others.insert(number, parts[number]);
            assert!(read(&whole(&others)).is_err(), "twice {number}");
            for other in number + 1..parts.len() {
                others = parts.clone();
                others.swap(number, other);
                assert!(read(&whole(&others)).is_err(), "{number} and {other}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_said_to_be_one() {
        for version in [0, 2, u32::MAX] {
            let mut bytes = write(&records());
            bytes[8..12].copy_from_slice(&u32::to_le_bytes(version));
            assert!(matches!(read(&bytes), Err(Error::Damaged(0))));
            let sum = XxHash3_64::oneshot(&bytes[..16]);
            bytes[16..24].copy_from_slice(&sum.to_le_bytes());
            match read(&bytes).unwrap_err() {
                Error::Newer(newer) => assert!(newer == version && version > 1),
                Error::Senseless(_) => assert_eq!(version, 0),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_though_its_checksums_are_right() {
        let good = || Record::Segment(segment(1, 8192));
        let senseless = |records: &[Record]| {
            let result = read(&write(records));
            assert!(matches!(result, Err(Error::Senseless(_))), "{result:?}");
        };
        let too_large = Saved {
            mapped: 8000,
            ..segment(1, 8192)
        };
        senseless(&[Record::Segment(too_large)]);
        let mut beyond = segment(1, 8192);
        beyond.policies[0].1 = 8193;
        senseless(&[Record::Segment(beyond)]);
        senseless(&[Record::Contents(contents(0, 0, &[1]))]);
        senseless(&[good(), Record::Contents(contents(1, 0, &[1]))]);
        senseless(&[good(), Record::Contents(contents(0, 8192, &[1]))]);
        senseless(&[good(), Record::Contents(contents(0, u64::MAX, &[1]))]);
        senseless(&[good(), Record::Contents(contents(0, 0, &[1])), good()]);
        // Contents that are not what their extents say.
        let mut short = contents(0, 0, &[1; 100]);
        for is_compressed in [false, true] {
            short.is_compressed = is_compressed;
            short.bytes.truncate(5);
            assert!(short.data().is_err());
        }
        let mut long = contents(0, 0, &[1; 100]);
        long.extents[0].length = 99;
        assert!(long.data().is_err());
    }

    /// Bytes at random, and a good file with random changes of several bytes: an error, or the same records.
    #[test]
    fn random_bytes_do_no_harm() {
        let good = write(&records());
        let mut number = 0_u64;
        let mut random = |below: usize| {
            number += 1;
            (XxHash3_64::oneshot(&number.to_le_bytes()) % below as u64) as usize
        };
        for round in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..1 + random(8) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, random(256) as u8),
                    _ => {
                        bytes.remove(at);
                        bytes.push(0);
                    }
                }
            }
            if let Ok(records) = read(&bytes) {
                assert_eq!(bytes, good, "round {round}");
                assert_eq!(records, self::records());
            }
        }
    }
}
