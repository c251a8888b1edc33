// SPDX-License-Identifier: GPL-2.0-only

//! `rshm create`.

use crate::{
    cli::Create,
    output::{stdout, Failure, Result},
};
use indicatif::{ProgressBar, ProgressStyle};
use rshm::{Device, Key, Segment};
use std::io::Write;

/// So much at a time is brought in, and then shown.
const STEP: usize = 32 << 20;

pub fn run(device: &Device, create: &Create) -> Result {
    let key = match (&create.path, create.key) {
        (Some(path), _) => Key::from_path(path, create.project)?,
        (None, key) => key.unwrap_or(Key::PRIVATE),
    };
    let segment = device
        .segment(create.size)
        .key(key)
        .mode(create.mode)
        .huge(create.huge)
        .exclusive(create.exclusive)
        .no_reserve(create.noreserve)
        .create()?;
    if create.populate {
        populate(&segment).map_err(|error| {
            Failure::failed(format_args!(
                "{}; segment {} stays: rshm rm {1}",
                error.with_hint(),
                segment.id()
            ))
        })?;
    }
    let mut out = stdout();
    writeln!(out, "{}", segment.id())?;
    Ok(out.flush()?)
}

fn populate(segment: &Segment) -> rshm::Result<()> {
    let memory = segment.attach()?;
    // On no terminal it draws nothing.
    let bar = ProgressBar::new(memory.len() as u64).with_style(
        ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    for offset in (0..memory.len()).step_by(STEP) {
        let size = STEP.min(memory.len() - offset);
        memory.populate(offset, size)?;
        bar.inc(size as u64);
    }
    bar.finish_and_clear();
    Ok(())
}
