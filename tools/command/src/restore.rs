// SPDX-License-Identifier: GPL-2.0-only

//! `rshm restore`.
//!
//! A file is read twice: nothing is made before all of it is found to be good. A pipe is read once, and what was made is
//! removed where its end is not good. Until then, segments are open: nobody else may use them.

use crate::{
    archive::{self, Contents, Reader, Record, Saved},
    cli::Restore,
    output::{complain, reason, stdout, Failure, Result},
    save::{on_interrupt, progress, workers},
};
use indicatif::ProgressBar;
use rshm::{abi, Attachment, Device, Key, Segment};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, Write},
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc, Mutex, MutexGuard, PoisonError,
    },
    thread,
};

pub fn run(device: &Device, restore: &Restore) -> Result {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format_args!(
            "{}: {error}; nothing is restored",
            restore.file.display()
        ))
    };
    let mut file: Box<dyn Read> = Box::new(io::stdin().lock());
    let mut known = None;
    if restore.file != Path::new("-") {
        let open = File::open(&restore.file).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, mut regular) = open.map_err(|error| failed(&reason(&error)))?;
        if metadata.is_file() {
            known = Some(check(&regular).map_err(|error| failed(&error))?);
            regular.rewind()?;
        }
        file = Box::new(regular);
    }
    if restore.dry_run {
        let (segments, _) = match known {
            Some(known) => known,
            None => check(file).map_err(|error| failed(&error))?,
        };
        refuse_what_is_taken(device, &segments, restore.new_ids)
            .map_err(|error| failed(&error.message))?;
        return print(segments.iter().map(|segment| (segment.fields.id, None)));
    }
    let target = Target {
        device: device.clone(),
        new_ids: restore.new_ids,
        made: Arc::default(),
    };
    let made = target.made.clone();
    on_interrupt(move || undo(&made))?;
    let bar = progress(known.map(|(_, bytes)| bytes));
    let ids = target
        .restore(file, &bar)
        .inspect_err(|_| undo(&target.made));
    let ids = ids.map_err(|error| failed(&error.message))?;
    bar.finish_and_clear();
    // From here on they stay, whatever happens to the output.
    lock(&target.made).clear();
    print(
        ids.into_iter()
            .map(|(old, new)| (old, restore.new_ids.then_some(new))),
    )
}

fn print(ids: impl Iterator<Item = (i32, Option<i32>)>) -> Result {
    let mut out = stdout();
    for id in ids {
        match id {
            (old, None) => writeln!(out, "{old}")?,
            (old, Some(new)) => writeln!(out, "{old}\t{new}")?,
        }
    }
    Ok(out.flush()?)
}

/// Reads all of a file; the segments, and how many bytes of contents there are.
fn check(file: impl Read) -> archive::Result<(Vec<Saved>, u64)> {
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file))?;
    let (mut segments, mut bytes) = (Vec::new(), 0);
    loop {
        match reader.record()? {
            Record::Segment(segment) => segments.push(segment),
            Record::Contents(contents) => bytes += contents.length(),
            Record::End => return Ok((segments, bytes)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what was made.
fn undo(made: &Mutex<Vec<Segment>>) {
    for segment in lock(made).drain(..) {
        if let Err(error) = segment.remove() {
            complain(error.with_hint());
        }
    }
}

/// Says all that is in the way, not only the first.
fn refuse_what_is_taken(device: &Device, segments: &[Saved], new_ids: bool) -> Result {
    let mut taken = Vec::new();
    let all = device.list()?;
    for segment in segments {
        let id = segment.fields.id;
        // The segment at the same index, whatever its sequence number.
        if let (false, Some(other)) = (new_ids, device.info_at(id)?) {
            taken.push(if other.id() == id {
                format!("there is a segment {id}")
            } else {
                format!(
                    "the place of segment {id} is taken by segment {}",
                    other.id()
                )
            });
        }
        let key = Key::new(segment.fields.key);
        let mut others = all
            .iter()
            .filter(|other| !key.is_private() && other.key() == key);
        if let Some(other) = others.next() {
            taken.push(format!("segment {} has the key {key}", other.id()));
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    let more = taken.len().saturating_sub(3);
    taken.truncate(3);
    let more = match more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let hint = if new_ids {
        "rshm rm removes it"
    } else {
        "rshm rm removes it, --new-ids takes other ids"
    };
    Err(Failure::failed(format_args!(
        "{}{more}: {hint}",
        taken.join(", ")
    )))
}

/// A segment of the file, and the one that is made of it.
struct Open {
    saved: Saved,
    segment: Segment,
    /// For blocks of which all is there, and for others.
    attached: Mutex<Option<Arc<[Attachment; 2]>>>,
}

impl Open {
    /// Its memory; attached when this is called first.
    fn memory(&self) -> Result<Arc<[Attachment; 2]>> {
        let mut attached = lock(&self.attached);
        if let Some(memory) = &*attached {
            return Ok(memory.clone());
        }
        let memory = [self.segment.attach()?, self.segment.attach()?];
        let [large, small] = &memory;
        small.prefer_small_pages()?;
        for (start, end, policy) in &self.saved.policies {
            // Another machine may have other nodes.
            if let Err(error) = large.set_policy(*start as usize, (end - start) as usize, policy) {
                let id = self.segment.id();
                complain(format_args!(
                    "segment {id} keeps the default policy: {error}"
                ));
                break;
            }
        }
        Ok(attached.insert(Arc::new(memory)).clone())
    }

    fn detach(&self) {
        lock(&self.attached).take();
    }

    fn write(&self, contents: &Contents) -> Result {
        let data = contents.data().map_err(Failure::failed)?;
        let memory = self.memory()?;
        let [large, small] = &*memory;
        let mut rest = data.as_slice();
        for extent in &contents.extents {
            let (offset, length) = (extent.offset as usize, extent.length as usize);
            let (part, others) = rest.split_at(length);
            // A large folio where there was one; beside less, holes stay holes.
            let is_whole = extent.length == archive::BLOCK && extent.offset % archive::BLOCK == 0;
            let memory = if is_whole { large } else { small };
            // Without this, a lack of memory would end us by SIGBUS.
            memory.populate(offset, length)?;
            memory.write_slice_at(offset, part)?;
            rest = others;
        }
        Ok(())
    }
}

/// What is restored into.
struct Target {
    device: Device,
    new_ids: bool,
    /// What must be removed if something fails.
    made: Arc<Mutex<Vec<Segment>>>,
}

impl Target {
    /// Restores all; the old and the new ids.
    fn restore(&self, file: impl Read, bar: &ProgressBar) -> Result<Vec<(i32, i32)>> {
        let file = BufReader::with_capacity(1 << 20, file);
        let mut reader = Reader::new(file).map_err(Failure::failed)?;
        let mut segments = Vec::new();
        let first = loop {
            match reader.record().map_err(Failure::failed)? {
                Record::Segment(segment) => segments.push(segment),
                other => break other,
            }
        };
        refuse_what_is_taken(&self.device, &segments, self.new_ids)?;
        let mut open = Vec::new();
        for saved in segments {
            open.push(self.open(saved)?);
        }
        fill(&mut reader, first, &open, bar)?;
        for open in &open {
            // Where there were no contents, the policies are not set yet.
            if !open.saved.policies.is_empty() {
                open.memory()?;
            }
            open.detach();
            self.device.restore(&abi::Restore {
                id: open.segment.id(),
                flags: abi::RESTORE_CLOSE,
                ..open.saved.fields
            })?;
        }
        let ids = open.iter();
        Ok(ids
            .map(|open| (open.saved.fields.id, open.segment.id()))
            .collect())
    }

    fn open(&self, saved: Saved) -> Result<Open> {
        let fields = saved.fields;
        let segment = self.device.restore(&abi::Restore {
            id: if self.new_ids { -1 } else { fields.id },
            flags: fields.flags | abi::RESTORE_OPEN,
            ..fields
        })?;
        lock(&self.made).push(segment.clone());
        Ok(Open {
            saved,
            segment,
            attached: Mutex::default(),
        })
    }
}

/// Writes all contents, of which `first` is the first record.
fn fill(reader: &mut Reader<impl Read>, first: Record, open: &[Open], bar: &ProgressBar) -> Result {
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let (sender, receiver) = mpsc::sync_channel::<Contents>(workers());
    let receiver = Mutex::new(receiver);
    let work = || loop {
        let next = lock(&receiver).recv();
        let Ok(contents) = next else {
            break;
        };
        // What is left is taken out, so that nobody waits for room.
        if stop.load(Ordering::Relaxed) {
            continue;
        }
        // The reader has seen that there is such a segment.
        let Some(of) = open.get(contents.segment as usize) else {
            continue;
        };
        match of.write(&contents) {
            Ok(()) => bar.inc(contents.length()),
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                lock(&failure).get_or_insert(error);
            }
        }
    };
    let read = thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(work);
        }
        let mut record = first;
        let mut last = 0;
        // A reader gives no segments after contents.
        while let Record::Contents(contents) = record {
            // Of the others, nothing follows: mappings less. (If it does, they are mapped anew.)
            if contents.segment != last {
                open[last as usize].detach();
                last = contents.segment;
            }
            // Those who receive do so until this is dropped.
            let _ = sender.send(contents);
            if stop.load(Ordering::Relaxed) {
                break;
            }
            record = match reader.record() {
                Ok(record) => record,
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    drop(sender);
                    return Err(Failure::failed(error));
                }
            };
        }
        drop(sender);
        Ok(())
    });
    let failure = lock(&failure).take();
    match failure {
        Some(error) => Err(error),
        None => read,
    }
}
