// SPDX-License-Identifier: GPL-2.0

//! The text that `read(2)` on the device returns: the segments of the caller's namespace, formatted
//! as `/proc/sysvipc/shm`.

use crate::shm::{
    registry::Registry,
    rules::uapi,
    segment::state::Home,
    sys::task::{
        cred::Credentials,
        ipc_ns::CurrentIpcNamespace,
        ipc_ns::NamespaceId, //
    }, //
};
use core::fmt::{
    self,
    Write, //
};

/// The header line of `shm_init()` for 64-bit kernels.
const HEADER: &str = concat!(
    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime",
    "                   rss                  swap\n"
);

/// The maximum length of a line: sixteen numbers of at most 20 digits, with a sign and a space.
const LINE_BYTES: usize = 16 * 22;

/// A line of text, or the rest of one.
#[derive(Clone)]
pub(crate) struct Line {
    text: [u8; LINE_BYTES],
    first: usize,
    length: usize,
}

impl Line {
    const EMPTY: Self = Self {
        text: [0; LINE_BYTES],
        first: 0,
        length: 0,
    };

    /// Returns the text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.get(self.first..self.length).unwrap_or(&[])
    }

    /// Adds spaces, and a number, flush right in so many columns; `None` if there is no room.
    /// ([`core::fmt`] takes four times as long: it writes each space by itself.)
    fn add<const RADIX: u64>(&mut self, spaces: usize, number: i64, columns: usize) -> Option<()> {
        let mut text = [b' '; 24];
        let mut places = text.iter_mut().rev();
        let mut rest = number.unsigned_abs();
        loop {
            // CAST: A digit.
            *places.next()? = b'0' + (rest % RADIX) as u8;
            rest /= RADIX;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            *places.next()? = b'-';
        }
        let first = places.len().min(text.len().saturating_sub(columns));
        let first = first.checked_sub(spaces)?;
        let text = text.get(first..)?;
        let end = self.length + text.len();
        self.text.get_mut(self.length..end)?.copy_from_slice(text);
        self.length = end;
        Some(())
    }

    /// Returns the line without its first bytes.
    fn skip(&self, first: usize) -> Self {
        Self {
            first,
            ..self.clone()
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.length + s.len();
        let room = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The read position of an open file. Each line is formatted when it is read, so memory usage does
/// not depend on the length of the table. As with `/proc/sysvipc/shm`, the table may change between
/// reads.
pub(crate) struct Cursor {
    /// The namespace whose table was read last.
    of: Option<NamespaceId>,
    /// The position of `line` in the text.
    start: i64,
    line: Line,
    /// The index from which the segment of the next line is searched.
    next_index: u32,
}

impl Cursor {
    /// Creates a cursor at the start.
    pub(crate) fn new() -> Self {
        let mut cursor = Self {
            of: None,
            start: 0,
            line: Line::EMPTY,
            next_index: 0,
        };
        cursor.rewind();
        cursor
    }

    fn rewind(&mut self) {
        self.start = 0;
        self.next_index = 0;
        self.line.length = 0;
        // This cannot fail: the header is shorter than `LINE_BYTES`.
        let _ = self.line.write_str(HEADER);
    }

    /// Advances to the next line; returns `false` if there is none.
    fn advance(&mut self, registry: &Registry, viewer: &Credentials<'_>) -> bool {
        // Permissions are not checked, as in /proc/sysvipc/shm.
        let anybody = None::<&CurrentIpcNamespace<'_>>;
        let mut stat = uapi::Stat::default();
        let found = registry.walk(self.next_index, |index, segment| {
            // One that is removed meanwhile is left out.
            segment.stat(anybody, viewer, &mut stat).ok()?;
            Some((index, segment.id().number()))
        });
        let Some((index, id)) = found else {
            return false;
        };
        self.next_index = index + 1;
        self.start += self.line.length as i64;
        self.line.length = 0;
        // This cannot fail: a row is at most `LINE_BYTES` long.
        let _ = write_row(&mut self.line, id, &stat);
        true
    }

    /// Returns the text from `position` to the end of the line; `None` at the end of the table.
    pub(crate) fn text_at(
        &mut self,
        registry: &Registry,
        viewer: &Credentials<'_>,
        position: i64,
    ) -> Option<Line> {
        // A reader in another namespace must not see lines of the previous one.
        let of = Some(registry.namespace());
        if position < self.start || position == 0 || self.of != of {
            self.rewind();
            self.of = of;
        }
        loop {
            let skip = usize::try_from(position - self.start).ok()?;
            if skip < self.line.length {
                return Some(self.line.skip(skip));
            }
            if !self.advance(registry, viewer) {
                return None;
            }
        }
    }
}

/// Writes the line of a segment, as `sysvipc_shm_proc_show()`; `None` if there is no room for it.
fn write_row(to: &mut Line, id: u32, stat: &uapi::Stat) -> Option<()> {
    // CAST: Sizes are those of files, which are signed.
    to.add::<10>(0, stat.key.into(), 10)?;
    to.add::<10>(1, id.into(), 10)?;
    to.add::<8>(2, stat.mode.into(), 4)?;
    to.add::<10>(1, stat.segsz as i64, 21)?;
    to.add::<10>(1, stat.cpid.into(), 5)?;
    to.add::<10>(1, stat.lpid.into(), 5)?;
    to.add::<10>(2, stat.nattch as i64, 5)?;
    for id in [stat.uid, stat.gid, stat.cuid, stat.cgid] {
        to.add::<10>(1, id.into(), 5)?;
    }
    for time in [stat.atime, stat.dtime, stat.ctime] {
        to.add::<10>(1, time, 10)?;
    }
    for bytes in [stat.rss, stat.swap] {
        to.add::<10>(1, bytes as i64, 21)?;
    }
    to.write_str("\n").ok()
}
