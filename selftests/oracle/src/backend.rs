// SPDX-License-Identifier: GPL-2.0

//! The two implementations of shared memory behind one interface.

use crate::call::{Kind, NewOwner, Payload, Pointer, Stat};
use crate::layout::{BUFFER, BUFFER_NONE, BUFFER_READ_ONLY, PAGE};
use crate::strange;
use crate::sys::{self, Answer};
use rust_shm_abi as abi;
use rust_shm_abi::{IOC_ATTACH, IOC_CTL, IOC_DETACH, IOC_GET, IOC_SERVE};

/// System V shared memory.
pub trait Backend {
    fn get(&self, key: i32, size: u64, flags: i32) -> Answer;
    /// The address.
    fn attach(&self, id: i32, address: u64, flags: i32) -> Answer;
    fn detach(&self, address: u64) -> Answer;
    fn ctl(&self, id: i32, command: i32, pointer: Pointer, new: &NewOwner) -> (Answer, Payload);
    /// Its table as this process sees it, read in pieces.
    fn table(&self, chunk: usize) -> Result<String, i32>;
    /// A call with a mistake in it that the system calls leave no room for; the built-in says what the header says.
    fn strange(&self, case: u8) -> Answer;
    /// unshare(2).
    fn unshare(&self, flags: i32) -> Answer {
        sys::unshare(flags)
    }
    /// [`AGREES`], or in what the module's files in debugfs do not agree with its table.
    fn report(&self) -> Result<String, i32>;
}

/// What [`Backend::report`] says when all is well.
const AGREES: &str = "agrees";

pub fn backend(kind: Kind, device: i32) -> Box<dyn Backend> {
    match kind {
        Kind::Builtin => Box::new(Builtin),
        Kind::Module => Box::new(Module { device }),
        Kind::Served => Box::new(Served(Module { device })),
    }
}

/// Has the system calls of this namespace served.
pub fn serve_system_calls(device: i32) -> Answer {
    let op = abi::SERVE_ON;
    sys::ioctl_with(device, IOC_SERVE, &mut abi::Serve { op, flags: 0 })
}

/// The address that a pointer is; a structure begins there.
fn at(pointer: Pointer) -> u64 {
    match pointer {
        Pointer::Good => BUFFER,
        Pointer::Null => 0,
        Pointer::Unmapped => BUFFER_NONE,
        Pointer::ReadOnly => BUFFER_READ_ONLY,
        Pointer::Edge => BUFFER_NONE - 8,
        Pointer::Kernel => 0xffff_8880_0000_0000,
    }
}

/// Whether the command writes what it knows to the pointer, and that can be read there.
fn answered(answer: Answer, pointer: Pointer) -> bool {
    answer.is_ok() && pointer == Pointer::Good
}

struct Builtin;

impl Backend for Builtin {
    fn get(&self, key: i32, size: u64, flags: i32) -> Answer {
        sys::shmget(key, size, flags)
    }

    fn attach(&self, id: i32, address: u64, flags: i32) -> Answer {
        sys::shmat(id, address, flags)
    }

    fn detach(&self, address: u64) -> Answer {
        sys::shmdt(address)
    }

    fn ctl(&self, id: i32, command: i32, pointer: Pointer, new: &NewOwner) -> (Answer, Payload) {
        sys::put(BUFFER, &[0u8; PAGE as usize]);
        if command == libc::IPC_SET {
            let mut ds = sys::take_shmid_ds(BUFFER);
            (ds.shm_perm.uid, ds.shm_perm.gid) = (new.uid, new.gid);
            ds.shm_perm.mode = new.mode as _;
            sys::put(BUFFER, &ds);
        }
        let answer = sys::shmctl(id, command, at(pointer));
        let payload = match command {
            _ if !answered(answer, pointer) => Payload::None,
            libc::IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
                let ds = sys::take_shmid_ds(BUFFER);
                Payload::Stat(Stat {
                    key: ds.shm_perm.__key,
                    uid: ds.shm_perm.uid,
                    gid: ds.shm_perm.gid,
                    cuid: ds.shm_perm.cuid,
                    cgid: ds.shm_perm.cgid,
                    mode: ds.shm_perm.mode.into(),
                    cpid: ds.shm_cpid,
                    lpid: ds.shm_lpid,
                    segsz: ds.shm_segsz as u64,
                    nattch: ds.shm_nattch,
                    atime: ds.shm_atime,
                    dtime: ds.shm_dtime,
                    ctime: ds.shm_ctime,
                    seq: ds.shm_perm.__seq.into(),
                })
            }
            IPC_INFO => Payload::Limits(sys::take_numbers(BUFFER)),
            SHM_INFO => {
                let mut numbers: [u64; 6] = sys::take_numbers(BUFFER);
                // An int, and padding.
                numbers[0] &= 0xffff_ffff;
                Payload::Usage(numbers)
            }
            _ => Payload::None,
        };
        (answer, payload)
    }

    fn table(&self, chunk: usize) -> Result<String, i32> {
        let fd = sys::open(c"/proc/sysvipc/shm", libc::O_RDONLY)? as i32;
        let text = read_all(chunk, |room, _| sys::read(fd, room));
        sys::close(fd);
        text
    }

    fn strange(&self, case: u8) -> Answer {
        strange::CASES[usize::from(case)].expected
    }

    fn report(&self) -> Result<String, i32> {
        Ok(AGREES.to_string())
    }
}

/// All that a file says, in pieces of at most `chunk` bytes.
pub fn read_all(
    chunk: usize,
    mut read: impl FnMut(&mut [u8], u64) -> Answer,
) -> Result<String, i32> {
    let mut text = Vec::with_capacity(1 << 14);
    let mut room = vec![0; chunk.max(1)];
    loop {
        let length = read(&mut room, text.len() as u64)? as usize;
        if length == 0 {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        text.extend_from_slice(&room[..length]);
    }
}

// Commands of shmctl(2) that not every C library names; the module has the same numbers.
pub const IPC_INFO: i32 = abi::IPC_INFO as i32;
pub const SHM_STAT: i32 = abi::STAT as i32;
pub const SHM_INFO: i32 = abi::INFO as i32;
pub const SHM_STAT_ANY: i32 = abi::STAT_ANY as i32;

/// The module, by the numbers of `include/uapi/rust_shm.h`.
struct Module {
    device: i32,
}

impl Backend for Module {
    fn get(&self, key: i32, size: u64, flags: i32) -> Answer {
        let flags = flags as u32;
        sys::ioctl_with(self.device, IOC_GET, &mut abi::Get { key, flags, size })
    }

    fn attach(&self, id: i32, address: u64, flags: i32) -> Answer {
        let mut attach = abi::Attach {
            id,
            flags: flags as u32,
            addr: address,
            length: 0,
        };
        sys::ioctl_with(self.device, IOC_ATTACH, &mut attach)?;
        Ok(attach.addr as i64)
    }

    fn detach(&self, address: u64) -> Answer {
        let mut detach = abi::Detach {
            addr: address,
            flags: 0,
            reserved: 0,
        };
        sys::ioctl_with(self.device, IOC_DETACH, &mut detach)
    }

    fn ctl(&self, id: i32, command: i32, pointer: Pointer, new: &NewOwner) -> (Answer, Payload) {
        sys::put(BUFFER, &[0u8; PAGE as usize]);
        let arg_size = match command {
            libc::IPC_SET => {
                let stat = abi::Stat {
                    uid: new.uid,
                    gid: new.gid,
                    mode: new.mode,
                    ..abi::Stat::default()
                };
                sys::put(BUFFER, &stat);
                size_of::<abi::Stat>()
            }
            libc::IPC_STAT | SHM_STAT | SHM_STAT_ANY => size_of::<abi::Stat>(),
            IPC_INFO => size_of::<abi::Limits>(),
            SHM_INFO => size_of::<abi::Usage>(),
            _ => 0,
        };
        let mut ctl = abi::Ctl {
            id,
            cmd: command as u32,
            arg: at(pointer),
            arg_size: arg_size as u32,
            flags: 0,
        };
        let answer = sys::ioctl_with(self.device, IOC_CTL, &mut ctl);
        let payload = match command {
            _ if !answered(answer, pointer) => Payload::None,
            libc::IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
                let stat = sys::take_module_stat(BUFFER);
                Payload::Stat(Stat {
                    key: stat.key,
                    uid: stat.uid,
                    gid: stat.gid,
                    cuid: stat.cuid,
                    cgid: stat.cgid,
                    mode: stat.mode,
                    cpid: stat.cpid,
                    lpid: stat.lpid,
                    segsz: stat.segsz,
                    nattch: stat.nattch,
                    atime: stat.atime,
                    dtime: stat.dtime,
                    ctime: stat.ctime,
                    seq: stat.seq,
                })
            }
            IPC_INFO => Payload::Limits(sys::take_numbers(BUFFER)),
            SHM_INFO => Payload::Usage(sys::take_numbers(BUFFER)),
            _ => Payload::None,
        };
        (answer, payload)
    }

    fn table(&self, chunk: usize) -> Result<String, i32> {
        // Both ways to read: from a place on, and one piece after the other.
        if chunk % 2 == 0 {
            return read_all(chunk, |room, offset| {
                sys::read_at(self.device, room, offset)
            });
        }
        let fd = sys::open(c"/dev/rust_shm", libc::O_RDONLY)? as i32;
        let text = read_all(chunk, |room, _| sys::read(fd, room));
        sys::close(fd);
        text
    }

    fn strange(&self, case: u8) -> Answer {
        strange::CASES[usize::from(case)].done(self.device)
    }

    fn report(&self) -> Result<String, i32> {
        let namespace = std::fs::read_link("/proc/self/ns/ipc").map_err(error_of)?;
        let namespace = namespace.to_string_lossy();
        let namespace = namespace.trim_matches(|byte: char| !byte.is_ascii_digit());
        let lines = |file| -> Result<Vec<Vec<String>>, i32> {
            let text = std::fs::read_to_string(format!("/sys/kernel/debug/rust_shm/{file}"));
            let words = |line: &str| line.split_ascii_whitespace().map(String::from).collect();
            let all = text.map_err(error_of)?;
            let of_ours = |line: &Vec<String>| line.first().is_some_and(|first| first == namespace);
            Ok(all.lines().map(words).filter(of_ours).collect())
        };
        // The kernel may swap out a page between the table and the files, for a memory cgroup that is above memory.high; not each time.
        let mut said = None;
        for _ in 0..5 {
            let table = self.table(PAGE as usize)?;
            said = disagreement(&table, &lines("segments")?, &lines("namespaces")?);
            if said.is_none() {
                break;
            }
        }
        Ok(said.unwrap_or_else(|| AGREES.to_string()))
    }
}

/// The module, by the system calls: what they have no room for, and the table, are the device's.
struct Served(Module);

impl Backend for Served {
    fn get(&self, key: i32, size: u64, flags: i32) -> Answer {
        Builtin.get(key, size, flags)
    }

    fn attach(&self, id: i32, address: u64, flags: i32) -> Answer {
        Builtin.attach(id, address, flags)
    }

    fn detach(&self, address: u64) -> Answer {
        Builtin.detach(address)
    }

    fn ctl(&self, id: i32, command: i32, pointer: Pointer, new: &NewOwner) -> (Answer, Payload) {
        Builtin.ctl(id, command, pointer, new)
    }

    fn table(&self, chunk: usize) -> Result<String, i32> {
        self.0.table(chunk)
    }

    fn strange(&self, case: u8) -> Answer {
        self.0.strange(case)
    }

    fn unshare(&self, flags: i32) -> Answer {
        let answer = self.0.unshare(flags)?;
        if flags & libc::CLONE_NEWIPC != 0 {
            // Who may make one may have it served.
            serve_system_calls(self.0.device)?;
        }
        Ok(answer)
    }

    fn report(&self) -> Result<String, i32> {
        self.0.report()
    }
}

fn error_of(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// In what the two files in debugfs and the table do not agree; they are about one namespace, in words.
fn disagreement(
    table: &str,
    segments: &[Vec<String>],
    namespaces: &[Vec<String>],
) -> Option<String> {
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|row| row.split_ascii_whitespace().collect())
        .collect();
    let number = |word: &str| word.parse::<u64>().unwrap_or(u64::MAX);
    let mut pages = 0;
    if rows.len() != segments.len() {
        return Some(format!("{} segments, {} rows", segments.len(), rows.len()));
    }
    for (row, line) in rows.iter().zip(segments) {
        // The table: key shmid perms size cpid lpid nattch uid ... rss swap.
        // The file: namespace shmid key size mode uid nattch attaches detaches rss o0 o1 ... swap.
        let (Ok(key), Some(hex)) = (row[0].parse::<i32>(), line[2].strip_prefix("0x")) else {
            return Some(format!("{row:?}, {line:?}"));
        };
        let same = [(1, 1), (3, 3), (2, 4), (7, 5), (6, 6), (14, 9)]
            .iter()
            .all(|(here, there)| row[*here] == line[*there]);
        let Some((swap, orders)) = line[10..].split_last() else {
            return Some(format!("{row:?}, {line:?}"));
        };
        let folios: u64 = orders
            .iter()
            .enumerate()
            .map(|(order, count)| number(count) << order)
            .sum();
        let ever = number(&line[7]).wrapping_sub(number(&line[8]));
        if !same
            || row[15] != swap
            || u32::from_str_radix(hex, 16) != Ok(key as u32)
            || folios * PAGE != number(&line[9])
            || ever != number(&line[6])
        {
            return Some(format!("{row:?}, {line:?}"));
        }
        pages += number(row[3]).div_ceil(PAGE);
    }
    // namespace segments pages created removed
    match namespaces {
        // One in which no call was ever made.
        [] if rows.is_empty() => None,
        [line]
            if number(&line[1]) == rows.len() as u64
                && number(&line[2]) == pages
                && number(&line[3]).wrapping_sub(number(&line[4])) == rows.len() as u64 =>
        {
            None
        }
        _ => Some(format!(
            "{namespaces:?}, {} rows, {pages} pages",
            rows.len()
        )),
    }
}
