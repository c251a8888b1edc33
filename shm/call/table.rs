// SPDX-License-Identifier: GPL-2.0

//! The text that `read(2)` on the device gives: the caller's namespace, in the columns of
//! `/proc/sysvipc/shm`.

use crate::shm::{
    registry::Registry,
    rules::uapi,
    segment::state::Home,
    sys::task::{
        cred::Credentials,
        ipc_ns::NamespaceId, //
    }, //
};
use core::fmt::{
    self,
    Write, //
};

/// As `shm_init()` in `ipc/shm.c` has it for 64-bit kernels.
const HEADER: &str = concat!(
    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime",
    "                   rss                  swap\n"
);

/// No line is longer: sixteen numbers of at most 20 digits, with a sign and a blank.
const LINE_BYTES: usize = 16 * 22;

/// A line of text, or the end of one, in room of its own.
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

    /// The text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.get(self.first..self.length).unwrap_or(&[])
    }

    /// The same without its first bytes.
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

/// How far an open file has been read. A line is made when it is wanted, so that a table of any
/// length takes little memory; between two reads the table may change, as it may with
/// `/proc/sysvipc/shm`.
pub(crate) struct Cursor {
    /// Whose table it is, if any of it has been read.
    of: Option<NamespaceId>,
    /// Where in the text `line` begins.
    start: i64,
    line: Line,
    /// The index of the segment that the next line is for, or of one after it.
    next_index: u32,
}

impl Cursor {
    /// At the beginning.
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
        // The header is shorter than a line may be.
        let _ = self.line.write_str(HEADER);
    }

    /// Goes to the next line; false if there is none.
    fn advance(&mut self, registry: &Registry, viewer: &Credentials<'_>) -> bool {
        loop {
            let Some((index, segment)) = registry.first_from(self.next_index) else {
                return false;
            };
            self.next_index = index + 1;
            // One that was removed meanwhile has no line. All may be seen, as in /proc/sysvipc/shm.
            let mut stat = uapi::Stat::default();
            if segment.stat_any(viewer, &mut stat).is_err() {
                continue;
            }
            self.start += self.line.length as i64;
            self.line.length = 0;
            // A line has room for the largest numbers.
            let _ = write_row(&mut self.line, segment.id().number(), &stat);
            return true;
        }
    }

    /// The text at `position`, up to the end of its line; `None` at the end of the table.
    pub(crate) fn text_at(
        &mut self,
        registry: &Registry,
        viewer: &Credentials<'_>,
        position: i64,
    ) -> Option<Line> {
        // A reader of another namespace is shown nothing that was made for the last one.
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

/// As `sysvipc_shm_proc_show()`.
fn write_row(to: &mut impl Write, id: u32, stat: &uapi::Stat) -> fmt::Result {
    writeln!(
        to,
        "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}",
        stat.key,
        id,
        stat.mode,
        stat.segsz,
        stat.cpid,
        stat.lpid,
        stat.nattch,
        stat.uid,
        stat.gid,
        stat.cuid,
        stat.cgid,
        stat.atime,
        stat.dtime,
        stat.ctime,
        stat.rss,
        stat.swap,
    )
}
