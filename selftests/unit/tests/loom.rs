// SPDX-License-Identifier: GPL-2.0

//! What in the module rests on atomics, in every order of its threads that the memory model allows.
//!
//! The files of the module are compiled as they are, on a crate `kernel` whose atomics, locks and waits are
//! [loom](https://docs.rs/loom)'s. A model is
//! a function of `models/` that ends with assertions. [`models_hold()`] explores all; [`each_site_is_needed()`] weakens
//! one [`Site`] after another, and some model must find it; [`each_ordering_is_met()`] looks for those of no model.

// Of a file that is included, a model may use a part.
#![allow(dead_code)]
// As the kernel: clippy 1.85 wants parentheses around shifts, later versions do not.
#![allow(clippy::precedence)]

// The kernel has it by this name.
extern crate pinned_init as pin_init;

use kernel::model::{explore, Site};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::Command,
    sync::OnceLock,
};

/// The module's tree: what has no body is its own file.
#[path = "../../../shm"]
mod shm {
    pub(crate) mod rules {
        pub(crate) mod limits;
    }

    pub(crate) mod sys {
        pub(crate) mod compat {
            pub(crate) use kernel::sync::{barrier::smp_mb, SetOnce};
            pub(crate) type AtomicPtr<T> = kernel::sync::atomic::Atomic<*const T>;
        }

        pub(crate) mod sync {
            #[path = "../../../selftests/unit/tests/stand_ins/id_table.rs"]
            pub(crate) mod id_table;
            mod key_table;
            pub(crate) mod once;
            pub(crate) mod raw_spinlock;
            #[path = "../../../selftests/unit/tests/stand_ins/rcu_arc.rs"]
            mod rcu_arc;
            pub(crate) use crate::stand_ins::{queue, task::module_ref};
        }

        pub(crate) mod mm {
            pub(crate) mod turns;
            pub(crate) use crate::stand_ins::mm::*;
        }

        pub(crate) use crate::stand_ins::{fs, task};
    }

    pub(crate) mod segment {
        pub(crate) mod creator;
        pub(crate) mod memory;
        pub(crate) use crate::stand_ins::segment::*;
    }

    pub(crate) mod registry {
        pub(crate) mod namespace;
        mod orphans;

        use super::{
            segment::{creator::CreatorRef, memory::Mounts, state::State, Segment},
            sys::task::ipc_ns::NamespaceId,
        };
        use kernel::{
            prelude::*,
            sync::{atomic::Relaxed, Arc, Guard, Lock},
        };
        use std::cell::OnceCell;

        pub(crate) mod settings {
            pub(crate) struct Settings;

            pub(crate) struct IdLayout;

            impl Settings {
                pub(crate) fn id_layout(&self) -> IdLayout {
                    IdLayout
                }
            }
        }

        /// The registry of a namespace with one segment.
        #[pin_data]
        pub(crate) struct Registry {
            table: Lock<()>,
            pub(crate) segment: OnceCell<Arc<Segment>>,
            #[pin]
            orphans: orphans::Orphans,
        }

        impl Registry {
            pub(crate) fn new(
                _mounts: Arc<Mounts>,
                _id: NamespaceId,
                _layout: settings::IdLayout,
            ) -> impl PinInit<Self> {
                pin_init!(Self {
                    table: Lock::new(()),
                    segment: OnceCell::new(),
                    orphans <- orphans::Orphans::new(),
                })
            }

            pub(crate) fn add(&self, creator: CreatorRef) {
                let segment = Arc::new(Segment::new(creator), GFP_KERNEL).unwrap();
                assert!(self.segment.set(segment).is_ok());
            }

            pub(crate) fn first_from(&self, index: u32) -> Option<(u32, Arc<Segment>)> {
                let segment = self
                    .segment
                    .get()
                    .filter(|segment| index == 0 && !segment.is_gone());
                segment.map(|segment| (0, segment.clone()))
            }

            /// As IPC_RMID.
            pub(crate) fn remove(&self, segment: &Segment) {
                let mut table = self.table.lock();
                let state = segment.lock();
                let removed = state
                    .creator
                    .is_some()
                    .then(|| self.take_out(&mut table, segment, state));
                drop(table);
                drop(removed);
            }

            fn take_out(
                &self,
                _table: &mut Guard<'_, ()>,
                segment: &Segment,
                mut state: Guard<'_, State>,
            ) -> Option<CreatorRef> {
                segment.is_gone.store(true, Relaxed);
                state.creator.take()
            }
        }
    }
}

/// For what else these files use: as little as they need.
mod stand_ins {
    pub(crate) mod fs;
    pub(crate) mod mm;
    pub(crate) mod queue;
    pub(crate) mod segment;
    pub(crate) mod task;
}

mod models {
    mod creators;
    mod keys;
    mod memory;
    mod orphans;
    mod turns;

    /// What is explored.
    pub(crate) const ALL: &[(&str, fn())] = &[
        ("creators::come_and_go", creators::come_and_go),
        ("keys::come", keys::come),
        ("keys::come_and_go", keys::come_and_go),
        ("keys::are_divided", keys::are_divided),
        ("memory::faults_of_a_block", memory::faults_of_a_block),
        ("memory::a_helper_fails", memory::a_helper_fails),
        ("orphans::first_calls", orphans::first_calls),
        ("orphans::exit_and_removal", orphans::exit_and_removal),
        ("orphans::exit_and_calls", orphans::exit_and_calls),
        ("orphans::exit_and_work_item", orphans::exit_and_work_item),
        (
            "orphans::exit_elsewhere_and_calls",
            orphans::exit_elsewhere_and_calls,
        ),
        ("orphans::exit_and_sysctl", orphans::exit_and_sysctl),
        ("turns::one_at_a_time", turns::one_at_a_time),
    ];
}

/// Says to a process which model it explores, and what it weakens.
const MODEL: &str = "RUST_SHM_MODEL";
const WEAK: &str = "RUST_SHM_WEAK";

/// The sites of the module that a model met, or what the process said as it failed.
type Outcome = Result<Vec<Site>, String>;

/// Explores a model in a process of its own.
fn in_process(model: &str, weak: &Site) -> Outcome {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "models_hold", "--nocapture"])
        .env(MODEL, model)
        .env(WEAK, weak)
        .env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!error.contains("exceeded"), "{model} is too large: {error}");
        return Err(error.into());
    }
    let output = String::from_utf8_lossy(&output.stdout);
    let met = output.lines().filter_map(|line| line.strip_prefix("met "));
    Ok(met
        .filter(|site| site.contains("/shm/") && !site.contains("stand_ins"))
        .map(Site::from)
        .collect())
}

#[test]
fn models_hold() {
    if let Ok(name) = env::var(MODEL) {
        let (_, model) = models::ALL.iter().find(|model| model.0 == name).unwrap();
        println!();
        for site in explore(*model, env::var(WEAK).unwrap()) {
            println!("met {site}");
        }
        return;
    }
    let failed = outcomes()
        .iter()
        .filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?)));
    let failed: Vec<_> = failed
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What comes of each model.
fn outcomes() -> &'static [(&'static str, Outcome)] {
    static ONCE: OnceLock<Vec<(&str, Outcome)>> = OnceLock::new();
    ONCE.get_or_init(|| {
        models::ALL
            .iter()
            .map(|(name, _)| (*name, in_process(name, &"none".into())))
            .collect()
    })
}

/// The sites that models meet, and those models.
fn met() -> BTreeMap<&'static Site, Vec<&'static str>> {
    let mut met: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, outcome) in outcomes() {
        for site in outcome.iter().flatten() {
            met.entry(site).or_default().push(*name);
        }
    }
    met
}

/// `cargo test --test loom -- --nocapture` prints which model finds it when a site does not do what it says.
#[test]
fn each_site_is_needed() {
    let mut needless = Vec::new();
    for (site, models) in met() {
        let failure = |name: &&str| Some((name.to_string(), in_process(name, site).err()?));
        match models.iter().find_map(failure) {
            Some((name, error)) => {
                let mut lines = error
                    .lines()
                    .skip_while(|line| !line.contains("panicked at"));
                println!("{site}: {name}: {}", lines.nth(1).unwrap_or("aborted"));
            }
            None => needless.push(site),
        }
    }
    assert!(needless.is_empty(), "may be weakened: {needless:?}");
}

/// An ordering somewhere in the module that no model meets would not be noticed. `compat/` is left out: it stands in
/// for the kernel crate, as the models' own `kernel` does.
#[test]
fn each_ordering_is_met() {
    let met: BTreeSet<_> = met().into_keys().map(|site| line_of(site)).collect();
    let mut unmet = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shm")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() {
                if !path.ends_with("compat") {
                    folders.push(path);
                }
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let ordered = text
                .lines()
                .enumerate()
                .filter(|(_, line)| has_ordering(line));
            unmet.extend(
                ordered
                    .map(|(index, _)| line_of(&format!("{}:{}", path.display(), index + 1)))
                    .filter(|line| !met.contains(line)),
            );
        }
    }
    assert!(unmet.is_empty(), "no model meets {unmet:?}");
}

/// FILE:LINE of a path that may have more at both ends.
fn line_of(place: &str) -> String {
    let place = place.rsplit("/shm/").next().unwrap_or(place);
    place.split(':').take(2).collect::<Vec<_>>().join(":")
}

/// Whether a line of source asks for an ordering.
fn has_ordering(line: &str) -> bool {
    const OPERATIONS: [&str; 7] = ["load(", "store(", "xchg(", "add(", "sub(", "and(", "smp_"];
    const ORDERINGS: [&str; 3] = ["Acquire)", "Release)", "Full)"];
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    has(&OPERATIONS) && has(&ORDERINGS) && !line.contains(" fn ")
}
