// SPDX-License-Identifier: GPL-2.0

//! A world: an IPC namespace and a pid namespace of its own, and the processes in it.
//!
//! Both worlds begin alike, and are told the same. So ids, process numbers and addresses are compared as they are.

use crate::backend;
use crate::call::{Call, Hello, Kind, Payload, Reply, Request};
use crate::machine::Group;
use crate::sys::{self, Answer};
use crate::worker::{self, Setting, MESSAGE};

/// How many processes there can be. The first is the onlooker, which makes the others where none is left to fork them.
pub const SLOTS: usize = 6;
pub const ONLOOKER: usize = 0;

/// How long a call may take, in milliseconds.
const PATIENCE: i32 = 20_000;

/// A process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub hello: Hello,
    /// Tells when it has ended.
    pidfd: i32,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Reply(Reply),
    /// The process has ended.
    Ended,
    /// Nothing came.
    Stuck,
}

impl Outcome {
    /// The answer, if it was one that says that all went well.
    pub fn ok(&self) -> Option<i64> {
        self.answer()?.ok()
    }

    pub fn answer(&self) -> Option<Answer> {
        match self {
            Outcome::Reply(reply) => Some(reply.answer),
            _ => None,
        }
    }
}

pub struct World {
    init: i32,
    /// For each slot: the controller's end.
    channels: Vec<i32>,
    worker_channels: Vec<i32>,
    pub processes: [Option<Process>; SLOTS],
    room: Vec<u8>,
}

impl World {
    /// Makes one, with nobody but the onlooker in it, on a processor and in a cgroup of its own.
    pub fn new(
        kind: Kind,
        device: i32,
        processor: usize,
        group: Option<&Group>,
    ) -> Result<Self, String> {
        let mut channels = Vec::new();
        let mut worker_channels = Vec::new();
        for _ in 0..SLOTS {
            let (ours, theirs) = sys::channel().map_err(|e| format!("socketpair: errno {e}"))?;
            channels.push(ours);
            worker_channels.push(theirs);
        }
        let setting = Setting {
            kind,
            device,
            channels: worker_channels.clone(),
        };
        let init = sys::fork(libc::CLONE_NEWPID | libc::CLONE_NEWIPC)
            .map_err(|e| format!("new namespaces: errno {e}"))? as i32;
        if init == 0 {
            let _ = sys::die_with_parent();
            if sys::stay_on(processor).is_err() || group.is_some_and(|group| group.enter().is_err())
            {
                sys::exit(1);
            }
            if kind == Kind::Served && backend::serve_system_calls(device) != Ok(1) {
                sys::exit(1);
            }
            worker::serve(&setting, ONLOOKER);
        }
        let mut world = Self {
            init,
            channels,
            worker_channels,
            processes: [None; SLOTS],
            room: vec![0; MESSAGE],
        };
        world.expect_hello(ONLOOKER)?;
        Ok(world)
    }

    /// Sends a request.
    pub fn ask(&mut self, slot: usize, request: &Request) {
        // A process that has ended does not take it, which wait_reply() sees.
        if let Ok(bytes) = postcard::to_stdvec(request) {
            let _ = sys::send(self.channels[slot], &bytes);
        }
    }

    /// What came of it.
    pub fn wait_reply(&mut self, slot: usize, request: &Request) -> Outcome {
        let Some(process) = self.processes[slot] else {
            return Outcome::Ended;
        };
        let [replied, ended] = sys::wait_for([self.channels[slot], process.pidfd], PATIENCE);
        if replied && request.call == Call::Exec {
            // Either that it did not work, or the new program says hello.
            return match self.receive::<Reply>(slot) {
                Some(reply) => Outcome::Reply(reply),
                None => Outcome::Reply(Reply {
                    answer: Ok(0),
                    payload: Payload::None,
                    signals: Vec::new(),
                    maps: None,
                }),
            };
        }
        if replied {
            let Some(reply) = self.receive::<Reply>(slot) else {
                return Outcome::Stuck;
            };
            if let (Call::Fork { slot }, Ok(_)) = (&request.call, reply.answer) {
                if self.expect_hello(*slot).is_err() {
                    return Outcome::Stuck;
                }
            }
            return Outcome::Reply(reply);
        }
        if ended {
            self.forget_ended();
            return Outcome::Ended;
        }
        Outcome::Stuck
    }

    fn receive<T: for<'a> serde::Deserialize<'a>>(&mut self, slot: usize) -> Option<T> {
        let length = sys::receive(self.channels[slot], &mut self.room).ok()?;
        let (value, rest) = postcard::take_from_bytes(&self.room[..length]).ok()?;
        rest.is_empty().then_some(value)
    }

    /// A new process is in a slot.
    fn expect_hello(&mut self, slot: usize) -> Result<(), String> {
        let [replied] = sys::wait_for([self.channels[slot]], PATIENCE);
        let hello = if replied {
            self.receive::<Hello>(slot)
        } else {
            None
        };
        let hello = hello.ok_or("a new process says nothing")?;
        let pidfd =
            sys::pidfd_open(hello.outer_pid).map_err(|e| format!("pidfd_open: errno {e}"))?;
        self.processes[slot] = Some(Process {
            hello,
            pidfd: pidfd as i32,
        });
        Ok(())
    }

    /// Kills a process, and waits until it is gone.
    pub fn kill(&mut self, slot: usize) -> Outcome {
        if let Some(process) = self.processes[slot] {
            let _ = sys::kill(process.hello.outer_pid, libc::SIGKILL);
            let [ended] = sys::wait_for([process.pidfd], PATIENCE);
            if !ended {
                return Outcome::Stuck;
            }
        }
        self.forget_ended();
        Outcome::Ended
    }

    /// Kills, one after the other, those that end with a process because it is the first of their pid namespace. They would end at the same
    /// time, and which of them detaches last would be chance.
    pub fn kill_dependents(&mut self, slot: usize) -> Result<(), String> {
        let Some(first) = self.processes[slot].filter(|process| process.hello.pid == 1) else {
            return Ok(());
        };
        let namespaces = |process: Process| {
            sys::pid_namespaces(process.hello.outer_pid).map_err(|e| format!("pid namespace: {e}"))
        };
        let own = namespaces(first)?;
        for other in (0..SLOTS).filter(|other| *other != slot) {
            if let Some(process) = self.processes[other] {
                if namespaces(process)?.contains(&own[0]) {
                    self.kill_dependents(other)?;
                    if !matches!(self.kill(other), Outcome::Ended) {
                        return Err("a process does not end".into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Those that ended are no more. With the first of a pid namespace all in it end.
    fn forget_ended(&mut self) {
        for entry in &mut self.processes {
            if let Some(process) = entry {
                if sys::wait_for([process.pidfd], 0) == [true] {
                    sys::close(process.pidfd);
                    *entry = None;
                }
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = sys::kill(self.init, libc::SIGKILL);
        let _ = sys::wait(self.init);
        for fd in self.channels.iter().chain(&self.worker_channels) {
            sys::close(*fd);
        }
        for process in self.processes.iter().flatten() {
            sys::close(process.pidfd);
        }
    }
}
