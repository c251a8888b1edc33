// SPDX-License-Identifier: GPL-2.0

//! A process of a world: does what it is told, and tells what came of it.

use crate::backend::{backend, Backend, IPC_INFO, SHM_INFO, SHM_STAT_ANY};
use crate::call::{
    ids_in_table, Access, Call, Hello, Kind, NewOwner, Observation, Payload, Pointer, Reply,
    Request, INDEX,
};
use crate::layout::{BUFFER, PAGE};
use crate::sys::{self, Answer};

/// The largest message.
pub const MESSAGE: usize = 128 << 10;

/// What the processes of a world have in common.
#[derive(Clone)]
pub struct Setting {
    pub kind: Kind,
    /// `/dev/rust_shm`.
    pub device: i32,
    /// For each slot, the worker's end of its channel.
    pub channels: Vec<i32>,
}

impl Setting {
    /// As arguments of a program.
    fn to_arguments(&self, slot: usize) -> Vec<String> {
        let mut all = vec![
            "--worker".to_string(),
            self.kind.name().to_string(),
            slot.to_string(),
            self.device.to_string(),
        ];
        all.extend(self.channels.iter().map(i32::to_string));
        all
    }

    /// The setting and the slot in arguments after `--worker`.
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<(Self, usize)> {
        let name = arguments.next()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
        let slot = arguments.next()?.parse().ok()?;
        let device = arguments.next()?.parse().ok()?;
        let channels = arguments
            .map(|fd| fd.parse())
            .collect::<Result<_, _>>()
            .ok()?;
        let setting = Self {
            kind,
            device,
            channels,
        };
        Some((setting, slot))
    }
}

/// What this program does with the arguments after `--worker`.
pub fn continue_after_exec(arguments: impl Iterator<Item = String>) -> ! {
    let Some((setting, slot)) = Setting::from_arguments(arguments) else {
        sys::exit(2);
    };
    prepare();
    serve(&setting, slot)
}

/// Makes the address space what [`crate::layout`] says. Processes that are forked inherit that.
pub fn prepare() {
    sys::steady_heap();
    sys::catch_signals();
    let _ = sys::map_anonymous(BUFFER, 2 * PAGE, libc::PROT_READ | libc::PROT_WRITE);
    let _ = sys::mprotect(BUFFER + PAGE, PAGE, libc::PROT_READ);
}

/// Serves the controller as the process of a slot.
pub fn serve(setting: &Setting, mut slot: usize) -> ! {
    let backend = backend(setting.kind, setting.device);
    let mut room = vec![0; MESSAGE];
    let mut text = Vec::with_capacity(MESSAGE);
    hello(setting, slot);
    loop {
        let length = sys::receive(setting.channels[slot], &mut room).unwrap_or(0);
        let Ok(request) = postcard::from_bytes::<Request>(&room[..length]) else {
            sys::exit(1);
        };
        let (answer, payload) = match request.call {
            Call::Fork { slot: new } => match sys::fork(0) {
                Ok(0) => {
                    slot = new;
                    hello(setting, slot);
                    continue;
                }
                answer => (answer, Payload::None),
            },
            Call::Exec => {
                let error = sys::exec_self(&setting.to_arguments(slot));
                (Err(error), Payload::None)
            }
            Call::Exit => sys::exit(0),
            call => perform(backend.as_ref(), call),
        };
        // Before anything else touches memory.
        let signals = sys::signals();
        let maps = request.maps.then(|| maps(&mut text));
        let reply = Reply {
            answer,
            payload,
            signals,
            maps,
        };
        send(setting.channels[slot], &reply);
    }
}

fn send(channel: i32, message: &impl serde::Serialize) {
    let sent = postcard::to_stdvec(message).map(|bytes| sys::send(channel, &bytes));
    if !matches!(sent, Ok(Ok(_))) {
        sys::exit(1);
    }
}

fn hello(setting: &Setting, slot: usize) {
    let outer = std::fs::read_link("/proc/self").ok();
    let hello = Hello {
        pid: sys::getpid(),
        outer_pid: outer
            .and_then(|link| link.to_str()?.parse().ok())
            .unwrap_or(0),
    };
    send(setting.channels[slot], &hello);
}

/// An answer with nothing beside.
fn plain(answer: Answer) -> (Answer, Payload) {
    (answer, Payload::None)
}

/// Does a call that leaves the process where it is.
fn perform(backend: &dyn Backend, call: Call) -> (Answer, Payload) {
    match call {
        Call::Get { key, size, flags } => plain(backend.get(key, size, flags)),
        Call::Attach { id, address, flags } => plain(backend.attach(id, address, flags)),
        Call::Detach { address } => plain(backend.detach(address)),
        Call::Ctl {
            id,
            command,
            pointer,
            new,
        } => backend.ctl(id, command, pointer, &new),
        Call::Table { chunk } => match backend.table(chunk as usize) {
            Ok(text) => (Ok(0), Payload::Text(text)),
            Err(error) => plain(Err(error)),
        },
        Call::Load { address } => plain(sys::load(address)),
        Call::Store { address, value } => plain(sys::store(address, value)),
        Call::Run { address } => plain(sys::run(address)),
        Call::ReadOther { pid, address } => plain(sys::read_other(pid, address)),
        Call::Unmap { address, length } => plain(sys::munmap(address, length)),
        Call::Protect {
            address,
            length,
            protection,
        } => plain(sys::mprotect(address, length, protection)),
        Call::Remap {
            old,
            old_length,
            new_length,
            flags,
            new,
        } => plain(sys::mremap(old, old_length, new_length, flags, new)),
        Call::Advise {
            address,
            length,
            advice,
        } => plain(sys::madvise(address, length, advice)),
        Call::Lock {
            address,
            length,
            flags,
        } => plain(sys::mlock2(address, length, flags)),
        Call::Unlock { address, length } => plain(sys::munlock(address, length)),
        Call::Sync {
            address,
            length,
            flags,
        } => plain(sys::msync(address, length, flags)),
        Call::RemapPages {
            address,
            length,
            page,
        } => plain(sys::remap_file_pages(address, length, page)),
        Call::Bind {
            address,
            length,
            mode,
            nodes,
            flags,
        } => plain(sys::mbind(address, length, mode, nodes, flags)),
        Call::MovePages {
            address,
            count,
            node,
        } => {
            let (answer, status) = sys::move_pages(address, count, node);
            (answer, Payload::Nodes(status))
        }
        Call::AdviseOther {
            slot: _,
            pid,
            address,
            length,
            advice,
        } => plain(sys::advise_other(pid, address, length, advice)),
        Call::Policy { address } => plain(sys::get_mempolicy(address)),
        Call::File {
            start,
            end,
            access,
            offset,
            length,
        } => plain(file(start..end, access, offset, length)),
        Call::Contents {
            outer_pid,
            start,
            end,
        } => match contents(outer_pid, start..end) {
            Ok(pages) => (Ok(0), Payload::Contents(pages)),
            Err(error) => plain(Err(error)),
        },
        Call::Churn { count, at_once } => plain(churn(backend, count, at_once)),
        Call::Visit => plain(visit(backend)),
        Call::Wander { address } => plain(wander(backend, address)),
        Call::Strange { case } => plain(backend.strange(case)),
        Call::Report => match backend.report() {
            Ok(text) => (Ok(0), Payload::Text(text)),
            Err(error) => plain(Err(error)),
        },
        Call::MapAnonymous {
            address,
            length,
            protection,
        } => plain(sys::map_anonymous(address, length, protection)),
        Call::Credentials {
            uid,
            gid,
            groups,
            capabilities,
        } => plain(change_credentials(uid, gid, &groups, capabilities)),
        Call::Unshare { flags } => plain(backend.unshare(flags)),
        Call::Look => plain(Ok(0)),
        Call::Sysctl { name, value } => plain(write_sysctl(&name, &value)),
        Call::Observe { every_index } => match observe(backend, every_index) {
            Ok(observation) => (Ok(0), Payload::Observation(Box::new(observation))),
            Err(error) => plain(Err(error)),
        },
        // serve() has done them.
        Call::Fork { .. } | Call::Exec | Call::Exit => plain(Err(libc::ENOSYS)),
    }
}

/// Changes the effective ids, and with them those that files are opened with. The saved ids stay, so that it can be done again.
fn change_credentials(uid: u32, gid: u32, groups: &[u32], capabilities: u64) -> Answer {
    let _ = sys::set_capabilities(u64::MAX);
    let _ = sys::keep_capabilities();
    sys::set_groups(groups)?;
    sys::set_effective_gid(gid)?;
    sys::set_effective_uid(uid)?;
    // A process that changed its ids would be closed to itself in /proc.
    let _ = sys::set_dumpable();
    sys::set_capabilities(capabilities)
}

/// The file of a mapping.
fn open_mapped(process: &str, mapping: std::ops::Range<u64>, flags: i32) -> Result<i32, i32> {
    let (start, end) = (mapping.start, mapping.end);
    let path = format!("/proc/{process}/map_files/{start:x}-{end:x}");
    let path = std::ffi::CString::new(path).map_err(|_| libc::EINVAL)?;
    Ok(sys::open(&path, flags)? as i32)
}

/// How many bytes were written, or were read and their checksum.
fn file(mapping: std::ops::Range<u64>, access: Access, offset: u64, length: u64) -> Answer {
    let flags = if access == Access::Read {
        libc::O_RDONLY
    } else {
        libc::O_RDWR
    };
    let fd = open_mapped("self", mapping, flags)?;
    let answer = match access {
        Access::Read => {
            let mut room = vec![0; length as usize];
            sys::read_at(fd, &mut room, offset)
                .map(|read| (read << 32) | i64::from(checksum(&room[..read as usize])))
        }
        Access::Write(value) => sys::write_at(fd, &vec![value; length as usize], offset),
        Access::Allocate(mode) => sys::fallocate(fd, mode, offset, length),
    };
    sys::close(fd);
    answer
}

/// Of bytes, wherever they are (FNV-1a).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// What [`Payload::Contents`] says of a segment. Its holes are passed over, for some are larger than all memory.
fn contents(outer_pid: i32, mapping: std::ops::Range<u64>) -> Result<Vec<(u64, u32)>, i32> {
    const MOST: usize = 4000;
    let fd = open_mapped(&outer_pid.to_string(), mapping, libc::O_RDONLY)?;
    let mut pages = Vec::new();
    let mut room = [0; PAGE as usize];
    let mut next = 0;
    let result = loop {
        let data = match sys::seek(fd, next, libc::SEEK_DATA) {
            Ok(data) => data as u64,
            Err(libc::ENXIO) => break Ok(pages),
            Err(error) => break Err(error),
        };
        next = sys::seek(fd, data, libc::SEEK_HOLE).unwrap_or(0) as u64;
        if next <= data || pages.len() > MOST {
            break Err(libc::EOVERFLOW);
        }
        for page in data / PAGE..next.div_ceil(PAGE) {
            let read = sys::read_at(fd, &mut room, page * PAGE).unwrap_or(0) as usize;
            if room[..read].iter().any(|byte| *byte != 0) {
                pages.push((page, checksum(&room[..read])));
            }
        }
    };
    sys::close(fd);
    result
}

/// The last id.
fn churn(backend: &dyn Backend, count: u16, at_once: bool) -> Answer {
    // Together these are more than what the module commits in one step.
    const SIZE: u64 = 15 * PAGE;
    let nobody = NewOwner {
        uid: 0,
        gid: 0,
        mode: 0,
    };
    let get = || backend.get(libc::IPC_PRIVATE, SIZE, 0o600);
    let remove = |id: i64| {
        backend
            .ctl(id as i32, libc::IPC_RMID, Pointer::Null, &nobody)
            .0
    };
    if at_once {
        let made: Vec<Answer> = (0..count).map(|_| get()).collect();
        for id in made.iter().flatten() {
            remove(*id)?;
        }
        return made.last().copied().unwrap_or(Ok(0));
    }
    let mut last = 0;
    for _ in 0..count {
        last = get()?;
        remove(last)?;
    }
    Ok(last)
}

/// The id, or a negative errno; an error if it did not get away.
fn visit(backend: &dyn Backend) -> Answer {
    let namespace = || sys::open(c"/proc/self/ns/ipc", libc::O_RDONLY);
    let home = namespace()? as i32;
    let gone = backend.unshare(libc::CLONE_NEWIPC);
    if gone.is_ok() {
        let away = namespace()? as i32;
        // Where there is no way back, it is away all the same.
        let id = sys::enter(home, libc::CLONE_NEWIPC).and_then(|_| {
            let id = backend.get(libc::IPC_PRIVATE, 2, 0o600);
            sys::enter(away, libc::CLONE_NEWIPC).and(id)
        });
        sys::close(away);
        sys::close(home);
        return Ok(id.unwrap_or_else(|error| (-error).into()));
    }
    sys::close(home);
    gone
}

/// The address of the attach, or a negative errno; an error if it did not get away.
fn wander(backend: &dyn Backend, address: u64) -> Answer {
    let before = backend.get(libc::IPC_PRIVATE, 1, 0o600);
    backend.unshare(libc::CLONE_NEWIPC)?;
    let id = backend.get(libc::IPC_PRIVATE, 3 * PAGE, 0o600);
    let attached = id.and_then(|id| backend.attach(id as i32, address, 0));
    backend.unshare(libc::CLONE_NEWIPC)?;
    Ok(before.and(attached).unwrap_or_else(|error| (-error).into()))
}

fn write_sysctl(name: &str, value: &str) -> Answer {
    let path = std::ffi::CString::new(format!("/proc/sys/{name}")).map_err(|_| libc::EINVAL)?;
    let fd = sys::open(&path, libc::O_WRONLY)? as i32;
    let answer = sys::write(fd, value.as_bytes());
    sys::close(fd);
    answer
}

fn observe(backend: &dyn Backend, every_index: bool) -> Result<Observation, i32> {
    let nobody = NewOwner {
        uid: 0,
        gid: 0,
        mode: 0,
    };
    let ctl = |id, command| backend.ctl(id, command, Pointer::Good, &nobody);
    let usage = ctl(0, SHM_INFO);
    let highest = usage.0.unwrap_or(0) as i32;
    let table = backend.table(PAGE as usize)?;
    let indices: Vec<i32> = if every_index {
        (0..=highest).collect()
    } else {
        // Those in use are few, and where many were created they lie far apart.
        ids_in_table(&table).map(|id| id & INDEX).collect()
    };
    Ok(Observation {
        limits: ctl(0, IPC_INFO),
        usage,
        stats: indices
            .into_iter()
            .map(|index| ctl(index, SHM_STAT_ANY))
            .filter(|(answer, _)| *answer != Err(libc::EINVAL))
            .collect(),
        table,
    })
}

/// The address space, without what this program needs a changing amount of.
///
/// Most time goes here, so that `smaps` is read only where there is an attach, and no memory is cleared.
fn maps(room: &mut Vec<u8>) -> String {
    if read_file(c"/proc/self/maps", room) && holds(room, ATTACH) {
        read_file(c"/proc/self/smaps", room);
    }
    let mut kept = String::with_capacity(4096);
    let mut attach = false;
    for line in room.split(|byte| *byte == b'\n') {
        let keep = match line.first() {
            None => false,
            Some(first) if first.is_ascii_uppercase() => {
                attach
                    && [&b"VmFlags:"[..], b"KernelPageSize:", b"MMUPageSize:"]
                        .iter()
                        .any(|field| line.starts_with(field))
            }
            Some(_) => {
                attach = holds(line, ATTACH);
                !line.ends_with(b" [heap]") && !line.ends_with(b" [stack]")
            }
        };
        if keep {
            kept.push_str(&String::from_utf8_lossy(line));
            kept.push('\n');
        }
    }
    kept
}

/// What the name of an attach begins with.
const ATTACH: &[u8] = b" /SYSV";

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Reads a file into memory that is there; false if it cannot be opened.
fn read_file(path: &std::ffi::CStr, room: &mut Vec<u8>) -> bool {
    room.clear();
    let Ok(fd) = sys::open(path, libc::O_RDONLY) else {
        return false;
    };
    while sys::read_more(fd as i32, room) > 0 {}
    sys::close(fd as i32);
    true
}
