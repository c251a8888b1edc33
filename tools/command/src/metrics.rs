// SPDX-License-Identifier: GPL-2.0-only

//! `rshm metrics`: numbers for Prometheus, in its text format.

use crate::{
    names,
    output::{stdout, Result},
};
use rshm::{Device, Info};
use std::{collections::BTreeMap, fmt::Write as _, io::Write};

/// What is summed up over the segments of an owner.
#[derive(Default)]
struct Sum {
    segments: u64,
    attaches: u64,
    size: u64,
    resident: u64,
    swap: u64,
    unattached: u64,
    removed: u64,
}

impl Sum {
    fn add(&mut self, info: &Info) {
        self.segments += 1;
        self.attaches += info.attaches();
        self.size += info.size();
        self.resident += info.resident();
        self.swap += info.swap();
        self.unattached += u64::from(info.attaches() == 0);
        self.removed += u64::from(info.is_removed());
    }
}

/// A gauge: its name without the prefix, what it is, and its value.
type Gauge = (&'static str, &'static str, fn(&Sum) -> u64);

const GAUGES: [Gauge; 7] = [
    ("segments", "Number of segments.", |sum| sum.segments),
    ("attaches", "Number of attaches.", |sum| sum.attaches),
    ("size_bytes", "Size of the segments.", |sum| sum.size),
    (
        "resident_bytes",
        "Memory of the segments that is resident.",
        |sum| sum.resident,
    ),
    (
        "swapped_bytes",
        "Memory of the segments that is swapped out.",
        |sum| sum.swap,
    ),
    (
        "unattached_segments",
        "Number of segments that are not attached.",
        |sum| sum.unattached,
    ),
    (
        "removed_segments",
        "Number of segments that are removed and still attached.",
        |sum| sum.removed,
    ),
];

/// A value of a label: a backslash, a quote and a line's end are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn text(infos: &[Info], limits: &rshm::Limits) -> String {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for info in infos {
        sums.entry(names::user(info.raw().uid))
            .or_default()
            .add(info);
    }
    let mut text = String::new();
    let head = |text: &mut String, name: &str, help: &str| {
        let _ = writeln!(
            text,
            "# HELP rust_shm_{name} {help}\n# TYPE rust_shm_{name} gauge"
        );
    };
    for (name, help, value) in GAUGES {
        head(&mut text, name, help);
        for (owner, sum) in &sums {
            let _ = writeln!(
                text,
                "rust_shm_{name}{{owner=\"{}\"}} {}",
                label(owner),
                value(sum)
            );
        }
    }
    let limits = [
        (
            "limit_segments",
            "Maximum number of segments (shmmni).",
            limits.shmmni,
        ),
        (
            "limit_size_bytes",
            "Maximum size of a segment (shmmax).",
            limits.shmmax,
        ),
        (
            "limit_pages",
            "Maximum number of pages of all segments (shmall).",
            limits.shmall,
        ),
    ];
    for (name, help, value) in limits {
        head(&mut text, name, help);
        let _ = writeln!(text, "rust_shm_{name} {value}");
    }
    text
}

pub fn run(device: &Device) -> Result {
    let text = text(&device.list()?, &device.limits()?);
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }
}
