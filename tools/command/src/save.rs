// SPDX-License-Identifier: GPL-2.0-only

//! `rshm save`.

use crate::{
    archive::{Contents, Extent, Saved, Writer, BLOCK},
    cli::Save,
    output::{complain, reason, Failure, Result},
};
use indicatif::{ProgressBar, ProgressStyle};
use nix::{
    errno::Errno,
    unistd::{lseek, Whence},
};
use rshm::{Device, Info, Memory, Policy, ReadOnly, Segment};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{FileExt, FileTypeExt},
    },
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc, Mutex, PoisonError,
    },
    thread,
};
use tempfile::NamedTempFile;

pub fn run(device: &Device, save: &Save) -> Result {
    let segments: Vec<Segment> = if save.all {
        let all = device.list()?;
        all.iter()
            .map(|info| device.segment_by_id(info.id()))
            .collect()
    } else {
        save.ids
            .iter()
            .map(|id| device.segment_by_id(*id))
            .collect()
    };
    let mut sources = Vec::new();
    for segment in segments {
        sources.push(Source::new(segment)?);
    }
    write_to(&save.file, |to| write(&sources, to))?;
    for source in &sources {
        // One that is removed meanwhile was attached, or is of no interest any more.
        let attaches = source.segment.stat().map_or(0, |info| info.attaches());
        if source.saved.attaches > 0 || attaches > 0 {
            complain(format_args!(
                "segment {} was attached: of what was written to it meanwhile, a part may be saved",
                source.segment.id()
            ));
        }
    }
    Ok(())
}

/// A segment that is to be saved.
struct Source {
    segment: Segment,
    saved: Saved,
    /// About how many bytes of it there are.
    bytes: u64,
}

impl Source {
    fn new(segment: Segment) -> Result<Self> {
        // Before the attach, which changes times and process ids.
        let info = segment.stat()?;
        refuse_if_it_goes(&info)?;
        let memory = segment.attach_read_only()?;
        let saved = Saved {
            fields: info.as_restore(),
            mapped: memory.len() as u64,
            attaches: info.attaches(),
            policies: policies(&memory, info.is_hugetlb())?,
        };
        let bytes = info.resident() + info.swap();
        Ok(Self {
            segment,
            saved,
            bytes,
        })
    }

    /// Its pages as a file, in which holes can be told from zeros, and are not filled by reading.
    fn open(&self) -> io::Result<File> {
        let descriptor = self.segment.clone().into_fd_read_only();
        Ok(File::from(OwnedFd::from(
            descriptor.map_err(io::Error::other)?,
        )))
    }
}

/// Our detach would be the end of some that nobody else has attached.
fn refuse_if_it_goes(info: &Info) -> Result {
    let id = info.id();
    let forced = || {
        let text = fs::read_to_string("/proc/sys/kernel/shm_rmid_forced");
        text.is_ok_and(|text| text.trim() != "0")
    };
    let why = match info.attaches() {
        0 if info.is_removed() => format!(
            "it was restored as a removed one: rshm rm {id}, or let the program attach it first"
        ),
        0 if forced() => "kernel.shm_rmid_forced is set: set it to 0 meanwhile (sysctl)".into(),
        _ => return Ok(()),
    };
    Err(Failure::failed(format_args!(
        "saving segment {id} would end it, as {why}"
    )))
}

/// The NUMA policies of ranges, where they are not the default.
fn policies(memory: &Memory<ReadOnly>, is_huge: bool) -> Result<Vec<(u64, u64, Policy)>> {
    let mut policies: Vec<(u64, u64, Policy)> = Vec::new();
    // A huge page is of one policy.
    let page = if is_huge { BLOCK as usize } else { page_size() };
    for start in (0..memory.len()).step_by(page) {
        let policy = match memory.policy_at(start) {
            Err(error) if error.errno_name() == Some("ENOSYS") => break,
            policy => policy?,
        };
        if policy == Policy::default() {
            continue;
        }
        let (start, end) = (start as u64, memory.len().min(start + page) as u64);
        match policies.last_mut() {
            Some((_, last, same)) if *last == start && *same == policy => *last = end,
            _ => policies.push((start, end, policy)),
        }
    }
    Ok(policies)
}

fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(4096)
}

/// A part of a segment that a thread reads and compresses.
struct Work {
    segment: u32,
    file: Arc<File>,
    extents: Vec<Extent>,
}

impl Work {
    fn contents(self) -> io::Result<Contents> {
        let length: u64 = self.extents.iter().map(|extent| extent.length).sum();
        let mut data = vec![0; length as usize];
        let mut rest = data.as_mut_slice();
        for extent in &self.extents {
            let (part, others) = rest.split_at_mut(extent.length as usize);
            self.file.read_exact_at(part, extent.offset)?;
            rest = others;
        }
        Ok(Contents::new(self.segment, self.extents, data))
    }
}

/// What there is to do, found as it is asked for: extents that are no holes, cut at multiples of [`BLOCK`].
struct Scan<'a> {
    sources: std::iter::Enumerate<std::slice::Iter<'a, Source>>,
    now: Option<Now>,
}

/// The segment that is looked at.
struct Now {
    segment: u32,
    file: Arc<File>,
    at: u64,
    /// Where the data that was found ends.
    end: u64,
}

impl Now {
    fn extent(&mut self) -> io::Result<Option<Extent>> {
        if self.at >= self.end {
            let seek = |at: u64, to| match lseek(&*self.file, at as i64, to) {
                Ok(found) => Ok(Some(found as u64)),
                // Nothing but a hole is left.
                Err(Errno::ENXIO) => Ok(None),
                Err(error) => Err(io::Error::from(error)),
            };
            let Some(start) = seek(self.at, Whence::SeekData)? else {
                return Ok(None);
            };
            let Some(end) = seek(start, Whence::SeekHole)? else {
                return Ok(None);
            };
            (self.at, self.end) = (start, end);
        }
        let offset = self.at;
        self.at = self.end.min((offset / BLOCK + 1) * BLOCK);
        let length = self.at - offset;
        Ok(Some(Extent { offset, length }))
    }
}

impl Scan<'_> {
    fn next(&mut self) -> io::Result<Option<Work>> {
        loop {
            let now = match &mut self.now {
                Some(now) => now,
                none => {
                    let Some((number, source)) = self.sources.next() else {
                        return Ok(None);
                    };
                    none.insert(Now {
                        segment: number as u32,
                        file: Arc::new(source.open()?),
                        at: 0,
                        end: 0,
                    })
                }
            };
            let mut work = Work {
                segment: now.segment,
                file: now.file.clone(),
                extents: Vec::new(),
            };
            let mut length = 0;
            let mut is_last = false;
            while length < BLOCK {
                let before = (now.at, now.end);
                let Some(extent) = now.extent()? else {
                    is_last = true;
                    break;
                };
                if length + extent.length > BLOCK {
                    (now.at, now.end) = before;
                    break;
                }
                length += extent.length;
                work.extents.push(extent);
            }
            if is_last {
                self.now = None;
            }
            if !work.extents.is_empty() {
                return Ok(Some(work));
            }
        }
    }
}

/// The bar of bytes that are saved or restored. On no terminal it draws nothing.
pub fn progress(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes} {binary_bytes_per_sec}",
        ),
    };
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub fn workers() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(16))
}

fn write(sources: &[Source], to: &mut dyn Write) -> io::Result<()> {
    let mut writer = Writer::new(to)?;
    for source in sources {
        writer.segment(&source.saved)?;
    }
    let bar = progress(Some(sources.iter().map(|source| source.bytes).sum()));
    let scan = Mutex::new(Scan {
        sources: sources.iter().enumerate(),
        now: None,
    });
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::sync_channel::<io::Result<Contents>>(workers());
    let work = |sender: mpsc::SyncSender<io::Result<Contents>>| {
        while !stop.load(Ordering::Relaxed) {
            let next = scan.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(work) = next.transpose() else {
                break;
            };
            // The receiver has gone with an error.
            if sender.send(work.and_then(Work::contents)).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers() {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        let written = (|| {
            for contents in &receiver {
                let contents = contents?;
                writer.contents(&contents)?;
                bar.inc(contents.length());
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        drop(receiver);
        written
    })
    .and_then(|()| writer.finish().map(drop))
    .inspect(|()| bar.finish_and_clear())
}

/// Calls a function when the user interrupts the command, and ends it.
pub fn on_interrupt(undo: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(number) = signals.forever().next() {
            undo();
            std::process::exit(128 + number);
        }
    });
    Ok(())
}

/// Writes a file, which appears when it is complete; or standard output, a pipe, a device.
fn write_to(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result {
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "cannot save to {}: {}",
            path.display(),
            reason(&error)
        ))
    };
    if path == Path::new("-") {
        if io::stdout().is_terminal() {
            return Err(Failure::usage(
                "standard output is a terminal: name a file, or a pipe",
            ));
        }
        return write(&mut io::stdout().lock()).map_err(failed);
    }
    if let Ok(metadata) = fs::metadata(path) {
        let kind = metadata.file_type();
        if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
            let mut file = File::options().write(true).open(path).map_err(failed)?;
            return write(&mut file).map_err(failed);
        }
    }
    // What a link leads to is replaced, not the link.
    let path: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    // Of mode 0600: what was in the segments is not everybody's.
    let new = NamedTempFile::new_in(directory).map_err(failed)?;
    let unfinished = new.path().to_path_buf();
    on_interrupt(move || drop(fs::remove_file(unfinished))).map_err(failed)?;
    let mut buffer = BufWriter::with_capacity(1 << 20, new);
    write(&mut buffer).map_err(failed)?;
    let new = buffer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}
