// SPDX-License-Identifier: GPL-2.0

//! A sequence of operations, in both worlds.

use crate::backend::{IPC_INFO, SHM_INFO, SHM_STAT, SHM_STAT_ANY};
use crate::call::{ids_in_table, Access, Call, Kind, Payload, Reply, Request, INDEX};
use crate::compare::{describe, Clock, Comparison, Difference, STEP_SECONDS};
use crate::layout::{ARENA, ARENA_SLOT, HUGE, PAGE, TASK_SIZE};
use crate::machine::{Group, Swap};
use crate::op::{Action, IdRef, MoveTo, Op, Part, Place};
use crate::rules::Applied;
use crate::sys;
use crate::world::{Outcome, World, ONLOOKER, SLOTS};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// What sequences have in common.
pub struct Stage {
    /// `/dev/rust_shm`.
    pub device: i32,
    /// What the built-in is compared with.
    pub with: Kind,
    /// In some runs.
    pub swap: Option<Swap>,
    /// Of the two worlds, where there is swap.
    pub groups: Option<[Group; 2]>,
    /// The time of the next step, where the clock is ours.
    pub clock: Option<i64>,
    pub applied: Applied,
    /// How many steps were done, in all sequences.
    pub steps: u64,
    /// How often a limit was lifted as a process did not go on.
    pub lifted: u64,
    /// Which calls were done.
    pub calls: BTreeMap<&'static str, Done>,
}

impl Stage {
    /// Whether there is swap from now on.
    pub fn swap(&mut self, wanted: bool) -> Result<(), String> {
        (self.swap, self.groups) = (None, None);
        if wanted {
            self.swap = Some(Swap::on()?);
            self.groups = Some([Group::new("first")?, Group::new("second")?]);
        }
        Ok(())
    }
}

/// How often a call was done, in both worlds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub well: u64,
    pub badly: u64,
    /// Until both worlds had answered.
    pub time: Duration,
}

/// Two worlds that differ.
#[derive(Clone, Debug)]
pub struct Failure {
    pub differences: Vec<Difference>,
}

impl Failure {
    fn of(what: &str, builtin: impl std::fmt::Debug, module: impl std::fmt::Debug) -> Self {
        let difference = Difference {
            what: what.to_string(),
            builtin: format!("{builtin:?}"),
            module: format!("{module:?}"),
        };
        Self {
            differences: vec![difference],
        }
    }
}

/// A mapping of a segment.
#[derive(Clone, Copy, Debug)]
struct Attach {
    start: u64,
    end: u64,
    offset: u64,
    /// Of the segment, in whatever namespace that is.
    id: i32,
    /// On the built-in it is of huge pages.
    huge: bool,
}

/// What is known of the two worlds, which is the same.
struct Model {
    /// The ids that were given out, the last one last.
    ids: Vec<i32>,
    /// The size of a segment of an IPC namespace.
    sizes: HashMap<(u32, i32), u64>,
    /// Those with SHM_HUGETLB.
    huge: HashSet<(u32, i32)>,
    /// Those with SHM_LOCK.
    locked: HashSet<(u32, i32)>,
    /// Those whose file was made longer.
    longer: HashSet<(u32, i32)>,
    attaches: [Vec<Attach>; SLOTS],
    /// The IPC namespace of each process.
    namespaces: [u32; SLOTS],
    last_namespace: u32,
    /// How many more huge pages the built-in's pool has at least.
    pool: u64,
}

impl Model {
    /// The segments that a namespace's table does not have are gone: their ids may be given out again.
    fn forget(&mut self, namespace: u32, table: &str) {
        let ids: HashSet<i32> = ids_in_table(table).collect();
        let is_left = |(of, id): &(u32, i32)| *of != namespace || ids.contains(id);
        self.sizes.retain(|key, _| is_left(key));
        self.huge.retain(is_left);
        self.locked.retain(is_left);
        self.longer.retain(is_left);
    }
}

pub struct Run<'a> {
    stage: &'a mut Stage,
    /// The built-in's, the module's.
    worlds: [World; 2],
    model: Model,
    clock: Clock,
    /// What was done, a line for each call of an operation.
    pub trace: Vec<String>,
    /// What is done now belongs to the comparison.
    quiet: bool,
    steps: u32,
}

/// How many huge pages the built-in has for SHM_HUGETLB (`vm.nr_hugepages`).
pub const POOL: u64 = 64;
/// How many workers there are at first.
const WORKERS: usize = 3;
/// All address spaces are looked at so often.
const LOOK_AROUND: u32 = 20;
/// And all segments are read so often: that brings back what was swapped out.
const READ_ALL: u32 = 60;
/// How far beyond the end of a segment its file is used, in bytes.
pub const BEYOND: u64 = 64 * PAGE;

fn page_up(bytes: u64) -> Option<u64> {
    Some(bytes.checked_add(PAGE - 1)? / PAGE * PAGE)
}

impl<'a> Run<'a> {
    pub fn new(stage: &'a mut Stage) -> Result<Self, String> {
        stage.applied.reclaim = false;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let world = |index: usize, kind| {
            let group = stage.groups.as_ref().map(|groups| &groups[index]);
            if let Some(group) = group {
                group.squeeze(None)?;
            }
            World::new(kind, stage.device, index % processors, group)
        };
        let worlds = [world(0, Kind::Builtin)?, world(1, stage.with)?];
        let clock = match stage.clock {
            Some(start) => Clock::Own { start },
            None => Clock::Foreign,
        };
        let mut run = Self {
            stage,
            worlds,
            model: Model {
                ids: Vec::new(),
                sizes: HashMap::new(),
                huge: HashSet::new(),
                locked: HashSet::new(),
                longer: HashSet::new(),
                attaches: Default::default(),
                namespaces: [0; SLOTS],
                last_namespace: 0,
                pool: POOL,
            },
            clock,
            trace: Vec::new(),
            quiet: true,
            steps: 0,
        };
        for slot in 1..=WORKERS {
            let call = Call::Fork { slot };
            let [builtin, module] = run.both(ONLOOKER, &call, false);
            if builtin.ok().is_none() || module.ok().is_none() {
                return Err("the first workers cannot be forked".to_string());
            }
        }
        run.quiet = false;
        Ok(run)
    }

    /// Does a call in both worlds.
    fn both(&mut self, slot: usize, call: &Call, maps: bool) -> [Outcome; 2] {
        let request = Request {
            call: call.clone(),
            maps,
        };
        for world in &mut self.worlds {
            world.ask(slot, &request);
        }
        [0, 1].map(|world| self.wait_reply(world, slot, &request))
    }

    /// Where more is unevictable than memory.high, a huge page may be swapped out again before its process gets to use it. Then the limit is
    /// lifted: who does not go on without it is stuck.
    fn wait_reply(&mut self, world: usize, slot: usize, request: &Request) -> Outcome {
        let outcome = self.worlds[world].wait_reply(slot, request);
        let Some(groups) = &self.stage.groups else {
            return outcome;
        };
        if outcome != Outcome::Stuck || !self.stage.applied.reclaim {
            return outcome;
        }
        self.stage.lifted += 1;
        let _ = groups[world].squeeze(None);
        self.worlds[world].wait_reply(slot, request)
    }

    fn one(&mut self, world: usize, slot: usize, call: &Call, maps: bool) -> Outcome {
        let request = Request {
            call: call.clone(),
            maps,
        };
        self.worlds[world].ask(slot, &request);
        self.wait_reply(world, slot, &request)
    }

    fn alive(&self, slot: usize) -> bool {
        self.worlds[0].processes[slot].is_some()
    }

    /// The so many-th worker of those that there are.
    fn living(&self, nth: u8) -> Option<usize> {
        let living: Vec<usize> = (1..SLOTS).filter(|slot| self.alive(*slot)).collect();
        living.get(usize::from(nth) % living.len().max(1)).copied()
    }

    fn free_slot(&self) -> Option<usize> {
        (1..SLOTS).find(|slot| !self.alive(*slot))
    }

    /// Compares, and remembers what both say.
    fn check(&mut self, slot: usize, call: &Call, outcomes: &[Outcome; 2]) -> Result<(), Failure> {
        let mut comparison = Comparison {
            clock: self.clock,
            huge: &self.model.huge,
            namespace: self.model.namespaces[slot],
            applied: &mut self.stage.applied,
            differences: Vec::new(),
        };
        comparison.outcomes("result", &outcomes[0], &outcomes[1]);
        let differences = comparison.differences;
        if !self.quiet {
            let says =
                |outcome: &Outcome| outcome.answer().map_or(format!("{outcome:?}"), describe);
            let (builtin, module) = (says(&outcomes[0]), says(&outcomes[1]));
            let both = if builtin == module {
                builtin
            } else {
                format!("{builtin} | {module}")
            };
            self.trace.push(format!(
                "{:3} worker {slot}: {call:?} -> {both}",
                self.steps
            ));
        }
        if !differences.is_empty() {
            return Err(Failure { differences });
        }
        let done = self.stage.calls.entry(name_of(call)).or_default();
        if outcomes[0].ok().is_some() {
            done.well += 1;
        } else {
            done.badly += 1;
        }
        if let Outcome::Reply(Reply {
            maps: Some(maps), ..
        }) = &outcomes[0]
        {
            self.model.attaches[slot] = attaches(maps);
        }
        if let Outcome::Reply(Reply {
            payload: Payload::Observation(seen),
            ..
        }) = &outcomes[0]
        {
            self.model.forget(self.model.namespaces[slot], &seen.table);
        }
        if let (Call::Ctl { id, command, .. }, Some(_)) = (call, outcomes[0].ok()) {
            let key = (self.model.namespaces[slot], *id);
            match *command {
                libc::SHM_LOCK => self.model.locked.insert(key),
                libc::SHM_UNLOCK => self.model.locked.remove(&key),
                _ => false,
            };
        }
        if let Call::File {
            start,
            access: Access::Allocate(_) | Access::Write(_),
            ..
        } = call
        {
            let id = self.model.attaches[slot]
                .iter()
                .find(|attach| attach.start == *start)
                .map(|attach| attach.id);
            self.model.longer.extend(id.map(|id| (0, id)));
        }
        if let (Call::Get { size, flags, .. }, Some(id)) = (call, outcomes[0].ok()) {
            let id = id as i32;
            let key = (self.model.namespaces[slot], id);
            if flags & libc::SHM_HUGETLB != 0 {
                self.model.pool -= huge_pages(*size);
                // One that was found may be without.
                if !self.model.sizes.contains_key(&key) {
                    self.model.huge.insert(key);
                }
            }
            self.model.ids.retain(|other| *other != id);
            self.model.ids.push(id);
            // One that was found may be larger than what was asked for.
            self.model.sizes.entry(key).or_insert(*size);
        }
        Ok(())
    }

    /// The call without flags that the module does not know, if it has any.
    fn without_unknown_flags(&mut self, call: &Call) -> Option<Call> {
        let module = self.stage.with == Kind::Module;
        module.then(|| self.stage.applied.unknown_flags(call))?
    }

    /// Does a call in both worlds, and compares.
    fn done(&mut self, slot: usize, call: &Call, maps: bool) -> Result<[Outcome; 2], Failure> {
        let since = Instant::now();
        let outcomes = if let Some(known) = self.without_unknown_flags(call) {
            let builtin = self.one(0, slot, call, maps);
            let refused = self.one(1, slot, call, maps);
            if refused.answer() != Some(Err(libc::EINVAL)) {
                [builtin, refused]
            } else {
                let module = self.one(1, slot, &known, maps);
                [builtin, module]
            }
        } else {
            self.both(slot, call, maps)
        };
        self.stage.calls.entry(name_of(call)).or_default().time += since.elapsed();
        self.check(slot, call, &outcomes)?;
        Ok(outcomes)
    }

    /// An attach where the kernel chooses, and may choose differently: the same address is used from then on.
    fn attach_aligned(&mut self, slot: usize, call: &Call, size: u64) -> Result<(), Failure> {
        if let Some(known) = self.without_unknown_flags(call) {
            let refused = self.one(1, slot, call, false);
            if refused.answer() != Some(Err(libc::EINVAL)) {
                return Err(Failure::of("unknown flags", "refused", refused.answer()));
            }
            return self.attach_aligned(slot, &known, size);
        }
        let [builtin, module] = self.both(slot, call, false);
        let (Some(left), Some(right)) = (builtin.ok(), module.ok()) else {
            return self.check(slot, call, &[builtin, module]);
        };
        if left == right || !self.stage.applied.aligned_attach(right as u64, size) {
            return self.check(slot, call, &[builtin, module]);
        }
        for (world, address) in [(0, left), (1, right)] {
            let address = address as u64;
            self.one(world, slot, &Call::Detach { address }, false);
        }
        let Call::Attach { id, flags, .. } = *call else {
            return Ok(());
        };
        let again = Call::Attach {
            id,
            address: right as u64,
            flags,
        };
        self.done(slot, &again, true).map(|_| ())
    }

    /// Does an operation. False if it has no meaning now: then nothing was done.
    pub fn step(&mut self, op: &Op) -> Result<bool, Failure> {
        let who = self.living(op.who);
        let slot = match (who, &op.action) {
            (_, Action::Spawn) | (None, Action::Fork) => ONLOOKER,
            (Some(slot), _) => slot,
            (None, _) => return Ok(false),
        };
        if let Action::Squeeze { .. } | Action::Reclaim { .. } | Action::SwapAgain = op.action {
            return self.change_machine(&op.action);
        }
        // The huge page that it makes of zeros is dirty, and is swapped out; one that is there already is clean, and is freed.
        if matches!(op.action, Action::Advise { advice, .. } | Action::AdviseOther { advice, .. } if advice == libc::MADV_COLLAPSE)
            && !self.stage.applied.small_pages
        {
            self.stage.applied.reclaim = self.stage.swap.is_some();
        }
        let Some(call) = self.call(slot, &op.action) else {
            return Ok(false);
        };
        let at_home = self.model.namespaces[slot] == 0;
        let applied = &mut self.stage.applied;
        if applied.huge_size(&call)
            || applied.strict_bind(&call)
            || applied.last_remap(&call, at_home)
            || self.is_of_huge(slot, &call)
            || self.is_beyond(&call)
        {
            return Ok(false);
        }
        self.begin();
        if call == Call::Exit {
            for world in &mut self.worlds {
                world
                    .kill_dependents(slot)
                    .map_err(|error| Failure::of("processes", error, ""))?;
            }
        }
        match (&op.action, &call) {
            (Action::Kill, _) => {
                let ends = [self.worlds[0].kill(slot), self.worlds[1].kill(slot)];
                self.check(slot, &Call::Exit, &ends)?;
            }
            (_, Call::Attach { id, address: 0, .. }) => {
                let size = self.size(slot, *id).unwrap_or(0);
                if size > HUGE - PAGE {
                    self.attach_aligned(slot, &call, size)?;
                } else {
                    self.done(slot, &call, true)?;
                }
            }
            (_, Call::Fork { slot: new }) => {
                let [builtin, _] = self.done(slot, &call, false)?;
                if builtin.ok().is_some() {
                    self.model.namespaces[*new] = self.model.namespaces[slot];
                    self.look(*new)?;
                }
            }
            (_, Call::Exec) => {
                self.done(slot, &call, false)?;
                if self.alive(slot) {
                    self.look(slot)?;
                }
            }
            (_, Call::Wander { .. } | Call::Visit) => {
                let [builtin, _] = self.done(slot, &call, looks(&call))?;
                if builtin.ok().is_some() {
                    self.entered(slot, libc::CLONE_NEWIPC)?;
                }
            }
            (_, Call::Unshare { flags }) => {
                let [builtin, _] = self.done(slot, &call, false)?;
                if builtin.ok().is_some() {
                    self.entered(slot, *flags)?;
                }
            }
            _ if self.stage.applied.says_what_is_mapped(&call) => {
                self.both(slot, &call, false);
                self.look(slot)?;
            }
            _ => {
                self.done(slot, &call, looks(&call))?;
            }
        }
        self.end(slot)?;
        Ok(true)
    }

    /// A step begins.
    fn begin(&mut self) {
        if let Some(now) = &mut self.stage.clock {
            *now += STEP_SECONDS;
            let _ = sys::set_clock(*now);
        }
        self.steps += 1;
        self.stage.steps += 1;
    }

    /// Compares what a step of a process has left.
    fn end(&mut self, slot: usize) -> Result<(), Failure> {
        self.compare_living()?;
        let around = self.steps % LOOK_AROUND == 0;
        self.observe(slot, around)?;
        if around {
            self.quiet(|run| run.done(ONLOOKER, &Call::Report, false))?;
            for other in 1..SLOTS {
                if self.alive(other) {
                    self.look(other)?;
                }
            }
        }
        if self.steps % READ_ALL == 0 {
            self.contents()?;
        }
        Ok(())
    }

    /// Does what an operation says to the machine, for both worlds. False if that has no meaning without swap.
    fn change_machine(&mut self, action: &Action) -> Result<bool, Failure> {
        let (Some(swap), Some(groups)) = (&self.stage.swap, &self.stage.groups) else {
            return Ok(false);
        };
        let done = match action {
            Action::Squeeze { high } => {
                self.stage.applied.reclaim = true;
                let shift = if self.stage.applied.small_pages {
                    18
                } else {
                    20
                };
                let high = high.map(|high| high << shift);
                groups.iter().try_for_each(|group| group.squeeze(high))
            }
            Action::Reclaim { bytes } => {
                self.stage.applied.reclaim = true;
                groups.iter().for_each(|group| group.reclaim(*bytes));
                Ok(())
            }
            _ => swap.again().map_err(|error| format!("errno {error}")),
        };
        self.begin();
        self.trace
            .push(format!("{:3} {action:?} -> {done:?}", self.steps));
        done.map_err(|error| Failure::of("the machine", error, ""))?;
        self.end(ONLOOKER)?;
        Ok(true)
    }

    /// Compares what the segments hold that somebody is attached to.
    pub fn contents(&mut self) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        for slot in 1..SLOTS {
            for attach in self.model.attaches[slot].clone() {
                if !self.alive(slot) || !seen.insert((self.model.namespaces[slot], attach.id)) {
                    continue;
                }
                let calls = [0, 1].map(|world| Call::Contents {
                    outer_pid: self.worlds[world].processes[slot]
                        .map_or(0, |process| process.hello.outer_pid),
                    start: attach.start,
                    end: attach.end,
                });
                let outcomes = [0, 1].map(|world| self.one(world, ONLOOKER, &calls[world], false));
                self.quiet(|run| run.check(ONLOOKER, &calls[0], &outcomes).map(|()| outcomes))?;
            }
        }
        Ok(())
    }

    fn look(&mut self, slot: usize) -> Result<(), Failure> {
        self.quiet(|run| run.done(slot, &Call::Look, true))
    }

    /// What an onlooker sees, and the worker itself where that is another namespace.
    fn observe(&mut self, slot: usize, every_index: bool) -> Result<(), Failure> {
        let call = Call::Observe { every_index };
        self.quiet(|run| run.done(ONLOOKER, &call, false))?;
        if slot != ONLOOKER && self.alive(slot) && self.model.namespaces[slot] != 0 {
            self.quiet(|run| run.done(slot, &call, false))?;
        }
        Ok(())
    }

    /// Without a line for the reader.
    fn quiet(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<[Outcome; 2], Failure>,
    ) -> Result<(), Failure> {
        self.quiet = true;
        let result = f(self);
        self.quiet = false;
        result.map(|_| ())
    }

    fn compare_living(&mut self) -> Result<(), Failure> {
        let living = |world: &World| {
            world
                .processes
                .map(|process| process.map(|process| process.hello.pid))
        };
        let (builtin, module) = (living(&self.worlds[0]), living(&self.worlds[1]));
        if builtin != module {
            return Err(Failure::of("processes", builtin, module));
        }
        Ok(())
    }

    /// A process has entered new namespaces.
    fn entered(&mut self, slot: usize, flags: i32) -> Result<(), Failure> {
        if flags & libc::CLONE_NEWIPC != 0 {
            self.model.last_namespace += 1;
            self.model.namespaces[slot] = self.model.last_namespace;
        }
        if flags & libc::CLONE_NEWUSER == 0 {
            return Ok(());
        }
        // Those that are drawn, one of them by another number, and one not at all. In a namespace within such a one that does not work.
        let map = |world: &World| {
            let pid = world.processes[slot].map_or(0, |process| process.hello.outer_pid);
            ["uid_map", "gid_map"].map(|file| {
                let written = std::fs::write(
                    format!("/proc/{pid}/{file}"),
                    "0 1000 1\n1001 1001 1\n2000 0 1\n",
                );
                written.map_err(|error| error.raw_os_error())
            })
        };
        let (builtin, module) = (map(&self.worlds[0]), map(&self.worlds[1]));
        if builtin != module {
            return Err(Failure::of("user and group map", builtin, module));
        }
        Ok(())
    }

    /// The size of a segment, if it is known.
    fn size(&self, slot: usize, id: i32) -> Option<u64> {
        self.model
            .sizes
            .get(&(self.model.namespaces[slot], id))
            .copied()
    }

    fn id(&self, id: &IdRef) -> i32 {
        let last = |nth: u8| {
            let ids = &self.model.ids;
            let nth = usize::from(nth) % ids.len().max(1);
            ids.iter().rev().nth(nth).copied().unwrap_or(0)
        };
        match id {
            IdRef::Last(nth) => last(*nth),
            IdRef::OtherSequence(nth) => last(*nth).wrapping_add(INDEX + 1) & i32::MAX,
            IdRef::Index(nth) => last(*nth) & INDEX,
            IdRef::Raw(id) => *id,
        }
    }

    fn attach(&self, slot: usize, nth: u8) -> Option<Attach> {
        let attaches = &self.model.attaches[slot];
        attaches
            .get(usize::from(nth) % attaches.len().max(1))
            .copied()
    }

    fn address(&self, slot: usize, place: &Place) -> Option<u64> {
        let at =
            |start: u64, pages: u16, bytes: u16| start + u64::from(pages) * PAGE + u64::from(bytes);
        Some(match *place {
            Place::Null => 0,
            Place::Attach { nth, pages, bytes } => at(self.attach(slot, nth)?.start, pages, bytes),
            Place::Arena { slot, pages, bytes } => at(arena(slot), pages, bytes),
            Place::Raw(address) => address,
        })
    }

    /// A part of an attach, as an address and a length.
    fn part(&self, slot: usize, part: &Part) -> Option<(u64, u64)> {
        let attach = self.attach(slot, part.nth)?;
        let all = attach.end - attach.start;
        let first = if part.whole {
            0
        } else {
            u64::from(part.first) * PAGE % all
        };
        // Some calls bring in all of it, and some segments have more than there is memory.
        let wanted = if part.whole {
            all.min(8 * ARENA_SLOT)
        } else {
            u64::from(part.pages) * PAGE
        };
        // Beyond the end may be this program itself, but not in the arena.
        let length = if in_arena(attach.start, 1) {
            wanted
        } else {
            wanted.min(all - first)
        };
        Some((attach.start + first, length))
    }

    /// Whether a call is about a mapping of huge pages, which is the rule `HugeAtOnce`.
    fn is_of_huge(&mut self, slot: usize, call: &Call) -> bool {
        let ranges = changes(call);
        let slot = match call {
            Call::AdviseOther { slot, .. } => *slot,
            _ => slot,
        };
        let found = self.model.attaches[slot]
            .iter()
            .filter(|attach| attach.huge)
            .any(|attach| {
                let touches = |(start, end): &(u64, u64)| {
                    *start < attach.end && attach.start < (*end).max(start.saturating_add(1))
                };
                ranges.iter().any(touches)
            });
        found && self.stage.applied.huge_mapping()
    }

    /// Whether a call touches what a block may cover beyond the end of a file that was made longer, which is the rule `LargestBlock`.
    fn is_beyond(&mut self, call: &Call) -> bool {
        let (address, length) = match *call {
            Call::Load { address }
            | Call::Store { address, .. }
            | Call::Run { address }
            | Call::ReadOther { address, .. } => (address, 1),
            Call::Lock {
                address, length, ..
            } => (address, length),
            Call::Advise {
                address,
                length,
                advice: libc::MADV_POPULATE_READ | libc::MADV_POPULATE_WRITE,
            } => (address, length),
            _ => return false,
        };
        let end = address.saturating_add(length);
        let found = self.model.attaches.iter().flatten().any(|attach| {
            let key = (0, attach.id);
            let size = self.model.sizes.get(&key).and_then(|size| page_up(*size));
            let beyond = attach.start + size.unwrap_or(0).saturating_sub(attach.offset);
            self.model.longer.contains(&key) && address < attach.end && beyond < end
        });
        found && self.stage.applied.block_beyond_the_end()
    }

    /// The call that an action is now; none if it has no meaning now.
    fn call(&self, slot: usize, action: &Action) -> Option<Call> {
        Some(match action {
            // The built-in's pool is no difference to look for: it is not emptied.
            Action::Get { size, flags, .. }
                if flags & libc::SHM_HUGETLB != 0 && huge_pages(*size) > self.model.pool =>
            {
                return None
            }
            Action::Get { key, size, flags } => Call::Get {
                key: [0, 0x1234, 0x5678, i32::MIN][usize::from(*key) % 4],
                size: *size,
                flags: *flags,
            },
            Action::Attach { id, at, flags } => {
                let (id, address) = (self.id(id), self.address(slot, at)?);
                let mut flags = *flags;
                let length = self.size(slot, id).and_then(page_up).unwrap_or(ARENA_SLOT);
                if !self.may_replace(slot, address, length) {
                    flags &= !libc::SHM_REMAP;
                }
                Call::Attach { id, address, flags }
            }
            Action::Detach { at } => {
                let address = match at {
                    Place::Attach {
                        nth,
                        pages: 0,
                        bytes: 0,
                    } => {
                        let attach = self.attach(slot, *nth)?;
                        attach.start.wrapping_sub(attach.offset)
                    }
                    _ => self.address(slot, at)?,
                };
                Call::Detach { address }
            }
            Action::Ctl {
                id,
                command,
                pointer,
                new,
            } => Call::Ctl {
                id: self.id(id),
                command: *command,
                pointer: *pointer,
                new: *new,
            },
            Action::Table { chunk } => Call::Table { chunk: *chunk },
            Action::Load { at } => Call::Load {
                address: self.touched(slot, at)?,
            },
            Action::Store { at, value } => Call::Store {
                address: self.touched(slot, at)?,
                value: *value,
            },
            Action::Run { at } => Call::Run {
                address: self.touched(slot, at)?,
            },
            Action::ReadOther { whose, at } => {
                let other = self.living(*whose)?;
                Call::ReadOther {
                    pid: self.worlds[0].processes[other]?.hello.pid,
                    address: self.address(other, at)?,
                }
            }
            Action::Fork | Action::Spawn => Call::Fork {
                slot: self.free_slot()?,
            },
            Action::Exec => Call::Exec,
            Action::Exit | Action::Kill => Call::Exit,
            Action::Unmap { part } => {
                let (address, length) = self.part(slot, part)?;
                Call::Unmap { address, length }
            }
            Action::Protect { part, protection } => {
                let (address, length) = self.part(slot, part)?;
                Call::Protect {
                    address,
                    length,
                    protection: *protection,
                }
            }
            Action::Remap {
                part,
                new_pages,
                to,
                dont_unmap,
            } => {
                let (old, old_length) = self.part(slot, part)?;
                let new_length = if *dont_unmap {
                    old_length
                } else {
                    u64::from(*new_pages) * PAGE
                };
                let keep = if *dont_unmap {
                    libc::MREMAP_DONTUNMAP
                } else {
                    0
                };
                let (flags, new) = match to {
                    MoveTo::Stay => (0, 0),
                    // Where the kernel chooses, the two may choose differently: that is looked at with attaches.
                    MoveTo::Anywhere if new_length < HUGE => (libc::MREMAP_MAYMOVE, 0),
                    MoveTo::Anywhere => (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, arena(0)),
                    MoveTo::Arena { slot, pages } => (
                        libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                        arena(*slot) + u64::from(*pages) * PAGE,
                    ),
                };
                Call::Remap {
                    old,
                    old_length,
                    new_length,
                    flags: flags | keep,
                    new,
                }
            }
            Action::Advise { part, advice } => {
                let (address, length) = self.part(slot, part)?;
                Call::Advise {
                    address,
                    length,
                    advice: *advice,
                }
            }
            Action::Lock { part, flags } => {
                let (address, length) = self.part(slot, part)?;
                Call::Lock {
                    address,
                    length,
                    flags: *flags,
                }
            }
            Action::Unlock { part } => {
                let (address, length) = self.part(slot, part)?;
                Call::Unlock { address, length }
            }
            Action::Sync { part, flags } => {
                let (address, length) = self.part(slot, part)?;
                Call::Sync {
                    address,
                    length,
                    flags: *flags,
                }
            }
            Action::RemapPages { part, page } => {
                let (address, length) = self.part(slot, part)?;
                Call::RemapPages {
                    address,
                    length,
                    page: (*page).into(),
                }
            }
            Action::Bind {
                part,
                mode,
                nodes,
                flags,
            } => {
                let (address, length) = self.part(slot, part)?;
                Call::Bind {
                    address,
                    length,
                    mode: *mode,
                    nodes: *nodes,
                    flags: *flags,
                }
            }
            Action::MovePages { part, node } => {
                let (address, length) = self.part(slot, part)?;
                Call::MovePages {
                    address,
                    count: length.div_ceil(PAGE).min(32) as usize,
                    node: *node,
                }
            }
            Action::AdviseOther {
                whose,
                part,
                advice,
            } => {
                let other = self.living(*whose)?;
                let (address, length) = self.part(other, part)?;
                Call::AdviseOther {
                    slot: other,
                    pid: self.worlds[0].processes[other]?.hello.pid,
                    address,
                    length,
                    advice: *advice,
                }
            }
            Action::Policy { at } => Call::Policy {
                address: self.touched(slot, at)?,
            },
            Action::File { part, access } => {
                let attach = self.attach(slot, part.nth)?;
                // Whose size is known.
                let size = self.size(slot, attach.id)?;
                let home = self.model.namespaces[slot] == 0;
                let offset = attach.offset + u64::from(part.first) * PAGE;
                let most = match access {
                    Access::Allocate(_) => u64::MAX,
                    // As long as there are few pages that are not zero, all of them are read after some steps.
                    Access::Read | Access::Write(_) => 16 * PAGE,
                };
                let length = u64::from(part.pages) * PAGE;
                // The built-in takes the size of the file for what it has counted as locked, and warns where it has grown since.
                let locked = self.model.locked.contains(&(0, attach.id));
                let beyond = if locked { 0 } else { BEYOND };
                let room = size.checked_add(beyond)?.checked_sub(offset)?;
                home.then_some(Call::File {
                    start: attach.start,
                    end: attach.end,
                    access: *access,
                    offset,
                    length: length.min(room).min(most),
                })?
            }
            // change_machine() does them.
            Action::Squeeze { .. } | Action::Reclaim { .. } | Action::SwapAgain => return None,
            Action::Churn { count, at_once } => Call::Churn {
                count: *count,
                at_once: *at_once,
            },
            Action::Visit => Call::Visit,
            Action::Wander { slot: at } => Call::Wander {
                address: arena(*at),
            },
            Action::Strange { case } => Call::Strange { case: *case },
            Action::MapAnonymous {
                slot,
                first,
                pages,
                protection,
            } => Call::MapAnonymous {
                address: arena(*slot) + u64::from(*first) * PAGE,
                length: u64::from(*pages) * PAGE,
                protection: *protection,
            },
            Action::Credentials {
                uid,
                gid,
                groups,
                capabilities,
            } => Call::Credentials {
                uid: *uid,
                gid: *gid,
                groups: groups.clone(),
                capabilities: *capabilities,
            },
            Action::Unshare { flags } => Call::Unshare { flags: *flags },
            Action::Sysctl { name, value } => Call::Sysctl {
                name: name.to_string(),
                value: value.to_string(),
            },
        })
    }

    /// An address to touch: in an attach, or in the arena.
    fn touched(&self, slot: usize, place: &Place) -> Option<u64> {
        let address = self.address(slot, place)?;
        let inside = self.model.attaches[slot]
            .iter()
            .any(|attach| (attach.start..attach.end).contains(&address));
        if inside || in_arena(address, 1) {
            return Some(address);
        }
        // Beyond the end of an attach elsewhere: back into it.
        let Place::Attach { nth, .. } = place else {
            return None;
        };
        let attach = self.attach(slot, *nth)?;
        Some(attach.start + (address - attach.start) % (attach.end - attach.start))
    }

    /// Whether what is mapped there may go: it is not this program itself.
    fn may_replace(&self, slot: usize, address: u64, length: u64) -> bool {
        let start = address / PAGE * PAGE;
        let Some(end) = start.checked_add(length) else {
            return true;
        };
        let inside = |attach: &Attach| attach.start <= start && end <= attach.end;
        end <= ARENA_SLOT * 4
            || in_arena(start, length)
            || start >= TASK_SIZE
            || length > TASK_SIZE
            || self.model.attaches[slot].iter().any(inside)
    }
}

/// How many huge pages a size takes; none if no segment can have it.
fn huge_pages(size: u64) -> u64 {
    if size > 1 << 62 {
        0
    } else {
        size.div_ceil(HUGE)
    }
}

fn arena(slot: u8) -> u64 {
    ARENA + u64::from(slot) * ARENA_SLOT
}

fn in_arena(address: u64, length: u64) -> bool {
    let all = ARENA..ARENA + 16 * ARENA_SLOT;
    all.contains(&address) && length <= all.end - address
}

/// Whether a call may change the address space.
fn looks(call: &Call) -> bool {
    matches!(
        call,
        Call::Attach { .. }
            | Call::Detach { .. }
            | Call::Unmap { .. }
            | Call::Protect { .. }
            | Call::Remap { .. }
            | Call::Advise { .. }
            | Call::Lock { .. }
            | Call::Unlock { .. }
            | Call::RemapPages { .. }
            | Call::Bind { .. }
            | Call::MovePages { .. }
            | Call::File { .. }
            | Call::Wander { .. }
            | Call::MapAnonymous { .. }
    )
}

fn name_of(call: &Call) -> &'static str {
    match call {
        Call::Get { .. } => "get",
        Call::Attach { .. } => "attach",
        Call::Detach { .. } => "detach",
        Call::Ctl { command, .. } => match *command {
            libc::IPC_RMID => "IPC_RMID",
            libc::IPC_SET => "IPC_SET",
            libc::IPC_STAT => "IPC_STAT",
            SHM_STAT => "SHM_STAT",
            SHM_STAT_ANY => "SHM_STAT_ANY",
            IPC_INFO => "IPC_INFO",
            SHM_INFO => "SHM_INFO",
            _ => "ctl",
        },
        Call::Table { .. } => "table",
        Call::Load { .. } => "load",
        Call::Store { .. } => "store",
        Call::Run { .. } => "run",
        Call::ReadOther { .. } => "process_vm_readv",
        Call::Fork { .. } => "fork",
        Call::Exec => "exec",
        Call::Exit => "exit",
        Call::Unmap { .. } => "munmap",
        Call::Protect { .. } => "mprotect",
        Call::Remap { .. } => "mremap",
        Call::Advise { .. } => "madvise",
        Call::Lock { .. } => "mlock2",
        Call::Unlock { .. } => "munlock",
        Call::Sync { .. } => "msync",
        Call::RemapPages { .. } => "remap_file_pages",
        Call::Bind { .. } => "mbind",
        Call::Policy { .. } => "get_mempolicy",
        Call::MapAnonymous { .. } => "mmap",
        Call::MovePages { .. } => "move_pages",
        Call::AdviseOther { .. } => "process_madvise",
        Call::File { access, .. } => match access {
            Access::Read => "read of the file",
            Access::Write(_) => "write to the file",
            Access::Allocate(_) => "fallocate",
        },
        Call::Contents { .. } => "contents",
        Call::Churn { .. } => "create and remove",
        Call::Wander { .. } => "wander",
        Call::Visit => "visit",
        Call::Strange { .. } => "strange ioctl",
        Call::Report => "report",
        Call::Credentials { .. } => "credentials",
        Call::Unshare { .. } => "unshare",
        Call::Sysctl { .. } => "sysctl",
        Call::Look => "look",
        Call::Observe { .. } => "observe",
    }
}

/// The mappings of segments in what a worker says of its address space.
fn attaches(maps: &str) -> Vec<Attach> {
    let parse = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let offset = fields.nth(1)?;
        let id = fields.nth(1)?.parse().ok()?;
        fields.next()?.starts_with("/SYSV").then_some(())?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        Some(Attach {
            start: number(start)?,
            end: number(end)?,
            offset: number(offset)?,
            id,
            huge: false,
        })
    };
    let mut found: Vec<Attach> = Vec::new();
    for line in maps.lines() {
        if let Some(attach) = parse(line) {
            found.push(attach);
        } else if line.starts_with("KernelPageSize:") && line.ends_with(" 2048 kB") {
            // Only of attaches there are such lines.
            if let Some(last) = found.last_mut() {
                last.huge = true;
            }
        }
    }
    found
}

/// What a call that differs for huge pages is about: where it begins and ends.
fn changes(call: &Call) -> Vec<(u64, u64)> {
    let range = |start: u64, length: u64| {
        (
            start,
            start.saturating_add(length.div_ceil(PAGE).saturating_mul(PAGE)),
        )
    };
    match *call {
        Call::Advise {
            address, length, ..
        }
        | Call::Lock {
            address, length, ..
        }
        | Call::Bind {
            address, length, ..
        }
        | Call::AdviseOther {
            address, length, ..
        } => vec![range(address, length)],
        Call::MovePages { address, count, .. } => vec![range(address, count as u64 * PAGE)],
        Call::File {
            access: Access::Read,
            ..
        } => Vec::new(),
        Call::File { start, end, .. } => vec![(start, end)],
        Call::Remap {
            old,
            old_length,
            new_length,
            new,
            ..
        } => vec![
            range(old, old_length),
            range(old, new_length),
            range(new, new_length),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_attaches() {
        let maps = "10000-20000 rw-p 00000000 00:00 0 \n\
                    30000-32000 rw-s 00001000 00:01 7 /SYSV00000000 (deleted)\n\
                    VmFlags: rd wr\n";
        let [attach] = attaches(maps)[..] else {
            panic!("there is one");
        };
        assert_eq!(
            (attach.start, attach.end, attach.offset, attach.id),
            (0x30000, 0x32000, 0x1000, 7)
        );
    }
}
