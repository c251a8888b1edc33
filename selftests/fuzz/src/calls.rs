// SPDX-License-Identifier: GPL-2.0

//! The calls that a program can make, and what their arguments are drawn from.

use crate::child::{Actor, BUFFER_PAGES};
use crate::program::{Arg, Rng};
use crate::shared::SLOTS;
use rust_shm_abi as abi;
use std::ffi::{CStr, CString};
use Kind::*;

/// What an argument is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A slot for the result: of an id, an address, an open file. Only as the first.
    NewId,
    NewAt,
    NewFile,
    Id,
    /// The device, mostly; another open file, mostly.
    Dev,
    File,
    /// Where a structure lies, or is to be written.
    Where,
    /// An address for memory calls and attach.
    Addr,
    Len,
    Size,
    /// One of these; some of these bits; a number below this.
    Pick(&'static [u64]),
    Flags(&'static [u64]),
    Below(u64),
    Any,
}

/// Where programs map by themselves.
const PLAYGROUND: u64 = 0x1000_0000_0000;
const STRANGE: &[u64] = &[
    0,
    1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    1 << 62,
    1 << 63,
    u64::MAX,
    u64::MAX - 0xfff,
    0x7fff_ffff_f000,
    0xffff_8880_0000_1000,
    0xffff_ffff_8100_0000,
];
const LENGTHS: &[u64] = &[
    0x1000, 0x1000, 0x1000, 0x2000, 0x1_0000, 0x1_0000, 0x10_0000, 0x1f_f000, 0x20_0000, 0x20_0000, 0x20_1000, 0x40_0000, 0x80_0000, 0, 1,
];
const SIZES: &[u64] =
    &[1, 0x1000, 0x1000, 0x1001, 0x1_0000, 0xf_f000, 0x10_0000, 0x1f_f000, 0x20_0000, 0x20_0000, 0x20_1000, 0x40_0000, 0x60_1000, 0];

impl Kind {
    pub fn draw(self, rng: &mut Rng) -> Arg {
        use Arg::{Buffer, Number};
        let slot = |rng: &mut Rng| (rng.below(SLOTS) & rng.below(SLOTS)) as u8;
        let at = |rng: &mut Rng| Arg::At(slot(rng), rng.pick(&[0, 0, 0, 0x1000, 0x1_f000, 0x10_0000, 0x1f_f000, 0x20_0000]));
        let strange = |rng: &mut Rng| match rng.below(3) {
            0 => Number(rng.next() >> rng.below(64)),
            _ => Number(rng.pick(STRANGE)),
        };
        match self {
            NewId => Arg::Id(slot(rng)),
            NewAt => Arg::At(slot(rng), 0),
            NewFile => Arg::File(1 + rng.below(SLOTS - 1) as u8),
            _ if rng.one_in(40) => strange(rng),
            Id => Arg::Id(slot(rng)),
            Dev if !rng.one_in(16) => Arg::File(0),
            Dev => Arg::File(slot(rng)),
            File => Arg::File(rng.below(SLOTS) as u8),
            Where => match rng.below(24) {
                0 => Buffer(rng.pick(&[0xff8, 0x1ff0, 0x2000, 0x2ff8, 0x3000])),
                1 => at(rng),
                2 => Buffer(rng.below(BUFFER_PAGES * 0x1000) as u64),
                _ => Buffer(0),
            },
            Addr => match rng.below(8) {
                0 => Number(PLAYGROUND + rng.below(64) as u64 * 0x20_0000),
                1 => Number(PLAYGROUND + rng.below(1 << 15) as u64 * 0x1000),
                2 => Buffer(0),
                _ => at(rng),
            },
            Len => Number(rng.pick(LENGTHS)),
            Size => Number(rng.pick(SIZES)),
            Pick(from) => Number(rng.pick(from)),
            Flags(from) => {
                let mask = rng.next() & rng.next();
                let chosen = from.iter().enumerate().filter(|(i, _)| (mask >> (i + 8)) & 1 != 0);
                Number(chosen.fold(from[0], |all, (_, bit)| all | bit))
            }
            Below(limit) => Number(rng.below(limit as usize) as u64),
            Any => match rng.below(6) {
                0 => Arg::Id(slot(rng)),
                1 => at(rng),
                2 => Arg::File(slot(rng)),
                3 => Buffer(rng.below(0x4000) as u64),
                _ => strange(rng),
            },
        }
    }
}

pub enum Run {
    /// A system call with these very arguments.
    Plain(i64),
    By(fn(&mut Actor, &[u64]) -> i64),
}

pub struct Call {
    pub name: &'static str,
    pub kinds: &'static [Kind],
    weight: u8,
    pub run: Run,
}

const fn plain(name: &'static str, weight: u8, number: i64, kinds: &'static [Kind]) -> Call {
    Call { name, kinds, weight, run: Run::Plain(number) }
}

const fn by(name: &'static str, weight: u8, kinds: &'static [Kind], run: fn(&mut Actor, &[u64]) -> i64) -> Call {
    Call { name, kinds, weight, run: Run::By(run) }
}

pub fn by_name(name: &str) -> Option<usize> {
    CALLS.iter().position(|call| call.name == name)
}

pub fn draw(rng: &mut Rng) -> usize {
    let all: usize = CALLS.iter().map(|call| usize::from(call.weight)).sum();
    let mut left = rng.below(all);
    CALLS
        .iter()
        .position(|call| {
            let weight = usize::from(call.weight);
            let here = left < weight;
            left = left.wrapping_sub(weight);
            here
        })
        .unwrap_or(0)
}

const GET: Kind = Flags(&[0o600, 0o1000, 0o1000, 0o2000, 0o4000, 0o10000, 0o44, 21 << 26, 30 << 26, 0o100]);
const KEY: Kind = Pick(&[0, 0, 0, 0x77, 0x78, 0x79, 0x8000_0001]);
const ATTACH: Kind = Flags(&[0, 0o10000, 0o20000, 0o40000, 0o100000]);
const COMMAND: Kind = Pick(&[0, 0, 1, 2, 2, 3, 11, 11, 12, 12, 13, 13, 14, 15, 15, 4, 16]);
const STRUCTURE: Kind = Pick(&[112, 112, 104, 96, 40, 48, 48, 128, 4096, 95, 4097, 0, 160]);
const RESTORE: Kind = Flags(&[0, 1, 1, 2, 0o4000, 0o10000, 21 << 26, 4]);
const SAVED_MODE: Kind = Pick(&[0o600, 0o666, 0, 0o1600, 0o2600, 0o3600, 0o4600]);
const PROTECTION: Kind = Flags(&[1, 2, 4, 0x0100_0000, 0x0200_0000]);
const SET: &[Kind] = &[
    Dev,
    Where,
    Id,
    Where,
    STRUCTURE,
    Pick(&[0, 1000]),
    Pick(&[0, 1000, u64::MAX]),
    Pick(&[0o600, 0, 0o777, 0o444]),
    Flags(&[0, 0, 0, 1]),
];
const IOCTL: Kind = Pick(&[
    0x8010_d500,
    0x4010_d501,
    0xc018_d502,
    0x4010_d503,
    0x4018_d504,
    0x4018_d505,
    0x4008_d505,
    0x4008_d506,
    0x4048_d507,
    0xd500,
    0xd520,
    0xd521,
    0x5401,
    0x5421,
]);
const OPEN: Kind = Pick(&[2, 2, 0, 1, 0x8_0000, 0x4000, 0x20_0000]);
const MODE: Kind = Pick(&[0, 1, 2, 3, 4, 5, 6, 0x8002, 0x4003, 0x2003]);
/// All but those that poison pages: NORMAL to DONTNEED, FREE, REMOVE, DONTFORK to NOHUGEPAGE, DONTDUMP to COLLAPSE, and guards.
const ADVICE: Kind =
    Pick(&[0, 1, 2, 3, 4, 8, 9, 9, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 21, 22, 23, 24, 25, 25, 102, 103]);

/// In /proc and debugfs.
const FILES: &[&CStr] = &[
    c"/proc/self/maps",
    c"/proc/self/smaps",
    c"/proc/self/numa_maps",
    c"/proc/self/pagemap",
    c"/proc/self/smaps_rollup",
    c"/proc/self/mem",
    c"/proc/self/clear_refs",
    c"/sys/kernel/debug/rust_shm/segments",
    c"/sys/kernel/debug/rust_shm/namespaces",
    c"/dev/zero",
    c"/proc/sysvipc/shm",
];

/// Of an IPC namespace.
const SYSCTLS: &[&CStr] = &[
    c"/proc/sys/kernel/shm_rmid_forced",
    c"/proc/sys/kernel/shmmni",
    c"/proc/sys/kernel/shmmax",
    c"/proc/sys/kernel/shmall",
    c"/proc/sys/kernel/shm_next_id",
];

/// Of the whole machine: what can be written, and what a run writes in the end.
pub const TUNABLES: &[(&CStr, &[&str])] = &[
    (c"/sys/module/rust_shm/parameters/huge", &["within_size", "never", "always", "what"]),
    (c"/sys/kernel/mm/transparent_hugepage/shmem_enabled", &["never", "deny", "force", "always", "within_size", "advise"]),
    (c"/proc/sys/vm/overcommit_memory", &["0", "1"]),
    (c"/proc/sys/vm/drop_caches", &["1", "2", "3"]),
    (c"/proc/sys/vm/compact_memory", &["1"]),
    (c"/sys/kernel/debug/fault_around_bytes", &["65536", "4096", "2097152"]),
    (c"/proc/sys/vm/hugetlb_shm_group", &["0", "1000"]),
];

fn ioctl(actor: &mut Actor, fd: u64, command: u32, at: u64) -> i64 {
    actor.call(libc::SYS_ioctl, &[fd, command.into(), at])
}

pub const CALLS: &[Call] = &[
    // The device.
    by("open", 4, &[NewFile, OPEN], |a, v| a.open(c"/dev/rust_shm", v[0])),
    by("version", 2, &[Dev, Where], |a, v| ioctl(a, v[0], abi::IOC_VERSION, v[1])),
    by("get", 30, &[NewId, Dev, Where, KEY, GET, Size], |a, v| {
        a.put(v[1], &abi::Get { key: v[2] as i32, flags: v[3] as u32, size: v[4] });
        ioctl(a, v[0], abi::IOC_GET, v[1])
    }),
    by("attach", 40, &[NewAt, Dev, Where, Id, ATTACH, Addr], |a, v| attach(a, v[0], v[1], v[2], v[3], v[4])),
    by("attach_anywhere", 30, &[NewAt, Id], |a, v| attach(a, a.file(0), a.buffer(), v[0], 0, 0)),
    by("detach", 30, &[Dev, Where, Addr, Flags(&[0, 0, 1]), Flags(&[0, 0, 0, 1])], |a, v| {
        a.put(v[1], &abi::Detach { addr: v[2], flags: v[3] as u32, reserved: v[4] as u32 });
        ioctl(a, v[0], abi::IOC_DETACH, v[1])
    }),
    by("ctl", 40, &[Dev, Where, Id, COMMAND, Where, STRUCTURE, Pick(&[0, 0, 0, 1, 1, 2])], |a, v| {
        let [id, cmd, arg, size, flags] = [v[2], v[3], v[4], v[5], v[6]];
        ctl(a, v[0], v[1], id as i32, cmd as u32, arg, size as u32, flags as u32)
    }),
    by("remove", 14, &[Id], |a, v| {
        let (fd, at) = (a.file(0), a.buffer());
        ctl(a, fd, at, v[0] as i32, abi::IPC_RMID, 0, 0, 0)
    }),
    by("set", 8, SET, |a, v| {
        let new = abi::Stat { uid: v[5] as u32, gid: v[6] as u32, mode: v[7] as u32, reserved: v[8] as u32, ..Default::default() };
        a.put(v[3], &new);
        ctl(a, v[0], v[1], v[2] as i32, abi::IPC_SET, v[3], v[4] as u32, 0)
    }),
    by(
        "restore",
        10,
        &[NewId, Dev, Where, Pick(&[u64::MAX, 0, 1, 5, 0x8005, 0x7fff_ffff]), KEY, Size, RESTORE, SAVED_MODE, Pick(&[0, 0, 1000])],
        |a, v| restore(a, v[0], v[1], [v[2], v[3], v[4], v[5], v[6], v[7]]),
    ),
    by("restore_close", 8, &[Dev, Where, Id, SAVED_MODE, Pick(&[0, 0, 1000])], |a, v| {
        restore(a, v[0], v[1], [v[2], 0, 0, abi::RESTORE_CLOSE.into(), v[3], v[4]])
    }),
    by("ioctl", 8, &[Dev, IOCTL, Where, Any, Any, Any, Any], |a, v| {
        a.put(v[2], &[v[3], v[4], v[5], v[6]]);
        a.call(libc::SYS_ioctl, &v[..3])
    }),
    by("fd", 20, &[NewFile, Dev, Where, Id, Flags(&[2, 2, 2, 0x8_0000, 1])], |a, v| {
        a.put(v[1], &abi::Fd { id: v[2] as i32, flags: v[3] as u32 });
        ioctl(a, v[0], abi::IOC_FD, v[1])
    }),
    plain("seal", 4, libc::SYS_ioctl, &[File, Pick(&[0xd520, 0xd520, 0xd521]), Flags(&[0, 1, 2, 4, 8, 8, 16, 32, 64])]),
    by("reopen", 8, &[NewFile, File, OPEN], |a, v| match CString::new(format!("/proc/self/fd/{}", v[0] as i32)) {
        Ok(path) => a.open(&path, v[1]),
        Err(_) => -i64::from(libc::EINVAL),
    }),
    // The system calls: the module's where it serves the namespace.
    by("serve", 6, &[Dev, Where, Below(4), Flags(&[0, 0, 0, 1])], |a, v| {
        a.put(v[1], &abi::Serve { op: v[2] as u32, flags: v[3] as u32 });
        ioctl(a, v[0], abi::IOC_SERVE, v[1])
    }),
    plain("shmget", 8, libc::SYS_shmget, &[NewId, KEY, Size, GET]),
    plain("shmat", 12, libc::SYS_shmat, &[NewAt, Id, Addr, ATTACH]),
    plain("shmdt", 8, libc::SYS_shmdt, &[Addr]),
    plain("shmctl", 10, libc::SYS_shmctl, &[Id, COMMAND, Where]),
    // Files.
    plain("close", 4, libc::SYS_close, &[File]),
    plain("dup", 2, libc::SYS_dup, &[NewFile, File]),
    plain("read", 6, libc::SYS_read, &[Dev, Where, Len]),
    plain("pread", 6, libc::SYS_pread64, &[File, Where, Len, Addr]),
    plain("pwrite", 6, libc::SYS_pwrite64, &[File, Where, Len, Addr]),
    plain("lseek", 4, libc::SYS_lseek, &[Dev, Len, Below(5)]),
    plain("fallocate", 10, libc::SYS_fallocate, &[File, Flags(&[0, 1, 1, 2, 2, 8, 16, 32, 64]), Len, Len]),
    plain("ftruncate", 6, libc::SYS_ftruncate, &[File, Size]),
    plain("fsync", 1, libc::SYS_fsync, &[File]),
    plain("fadvise", 2, libc::SYS_fadvise64, &[File, Len, Len, Below(6)]),
    plain("seek", 3, libc::SYS_lseek, &[File, Len, Below(5)]),
    plain("copy_file_range", 3, libc::SYS_copy_file_range, &[File, Pick(&[0]), File, Pick(&[0]), Len, Pick(&[0])]),
    by("poll", 3, &[File, Flags(&[1, 2, 4, 0x10])], |a, v| {
        let mut wanted = libc::pollfd { fd: v[0] as i32, events: v[1] as i16, revents: 0 };
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        a.call(libc::SYS_ppoll, &[&raw mut wanted as u64, 1, &raw const at_once as u64, 0, 0])
    }),
    plain("fstat", 2, libc::SYS_fstat, &[File, Where]),
    plain("sendfile", 2, libc::SYS_sendfile, &[File, File, Where, Len]),
    by("map_files", 10, &[NewFile, Addr, OPEN], |a, v| a.open_map_file(v[0], v[1])),
    by("file", 8, &[NewFile, Below(FILES.len() as u64), OPEN], |a, v| match FILES.get(v[0] as usize) {
        Some(path) => a.open(path, v[1]),
        None => -i64::from(libc::EINVAL),
    }),
    by("clear_refs", 2, &[Below(7)], |a, v| a.write_number(c"/proc/self/clear_refs", v[0])),
    // Memory.
    by("touch", 50, &[Addr, Len, Below(2), Pick(&[0x1000, 0x1000, 0x1_0000, 0x20_0000])], |a, v| a.touch(v[0], v[1], v[2] & 1, v[3])),
    plain(
        "mmap",
        12,
        libc::SYS_mmap,
        &[NewAt, Addr, Len, PROTECTION, Flags(&[1, 2, 0x10, 0x20, 0x20, 0x2000, 0x8000, 0x10_0000]), File, Len],
    ),
    plain("munmap", 16, libc::SYS_munmap, &[Addr, Len]),
    plain("mremap", 16, libc::SYS_mremap, &[NewAt, Addr, Len, Len, Flags(&[0, 1, 1, 2, 4]), Addr]),
    plain("remap_file_pages", 8, libc::SYS_remap_file_pages, &[Addr, Len, Pick(&[0]), Below(1024), Pick(&[0, 0x1_0000])]),
    plain("mprotect", 12, libc::SYS_mprotect, &[Addr, Len, PROTECTION]),
    plain("madvise", 40, libc::SYS_madvise, &[Addr, Len, ADVICE]),
    plain("mlock", 6, libc::SYS_mlock2, &[Addr, Len, Below(2)]),
    plain("munlock", 4, libc::SYS_munlock, &[Addr, Len]),
    plain("mlockall", 2, libc::SYS_mlockall, &[Flags(&[0, 1, 2, 4])]),
    plain("munlockall", 2, libc::SYS_munlockall, &[]),
    plain("msync", 2, libc::SYS_msync, &[Addr, Len, Flags(&[0, 1, 2, 4])]),
    plain("mincore", 3, libc::SYS_mincore, &[Addr, Len, Where]),
    plain("mseal", 1, libc::SYS_mseal, &[Addr, Len, Pick(&[0])]),
    by("mbind", 8, &[Addr, Len, MODE, Below(4), Flags(&[0, 1, 2, 4])], |a, v| {
        let mask = v[3];
        a.call(libc::SYS_mbind, &[v[0], v[1], v[2], &raw const mask as u64, 64, v[4]])
    }),
    by("set_mempolicy", 4, &[MODE, Below(4)], |a, v| {
        let mask = v[1];
        a.call(libc::SYS_set_mempolicy, &[v[0], &raw const mask as u64, 64])
    }),
    by("get_mempolicy", 4, &[Addr, Flags(&[0, 1, 2, 4])], |a, v| {
        let (mut mode, mut mask) = (0u64, [0u64; 16]);
        let (mode, mask) = (&raw mut mode as u64, &raw mut mask as u64);
        a.call(libc::SYS_get_mempolicy, &[mode, mask, 1024, v[0], v[1]])
    }),
    by("move_page", 4, &[Addr, Below(3), Pick(&[2, 4])], |a, v| {
        let (page, node, mut status) = (v[0], v[1] as i32, 0i32);
        let (page, node, status) = (&raw const page as u64, &raw const node as u64, &raw mut status as u64);
        a.call(libc::SYS_move_pages, &[0, 1, page, node, status, v[2]])
    }),
    by("vm_read", 6, &[Below(2), Addr, Where, Len], |a, v| a.copy(libc::SYS_process_vm_readv, v)),
    by("vm_write", 6, &[Below(2), Addr, Where, Len], |a, v| a.copy(libc::SYS_process_vm_writev, v)),
    by("pin", 4, &[Addr, Len], |a, v| a.pin(v[0], v[1])),
    by("unpin", 3, &[], |a, _| a.unpin()),
    // userfaultfd
    plain("userfaultfd", 3, libc::SYS_userfaultfd, &[NewFile, Pick(&[0x80800, 1, 0x800])]),
    by("uffd_api", 3, &[File, Pick(&[0, 0xb000, 1 << 5, u64::MAX])], |a, v| uffd(a, v[0], 0xc018_aa3f, [0xaa, v[1], 0, 0, 0])),
    by("uffd_register", 5, &[File, Addr, Len, Flags(&[0, 1, 2, 4])], |a, v| uffd(a, v[0], 0xc020_aa00, [v[1], v[2], v[3], 0, 0])),
    by("uffd_zero", 2, &[File, Addr, Len], |a, v| uffd(a, v[0], 0xc020_aa04, [v[1], v[2], 0, 0, 0])),
    by("uffd_copy", 2, &[File, Addr, Addr, Len], |a, v| uffd(a, v[0], 0xc028_aa03, [v[1], v[2], v[3], 0, 0])),
    by("uffd_protect", 3, &[File, Addr, Len, Below(3)], |a, v| uffd(a, v[0], 0xc018_aa06, [v[1], v[2], v[3], 0, 0])),
    // Processes, namespaces, limits.
    by("fork", 12, &[Below(6), Below(8)], |a, v| a.fork(v[0], v[1])),
    by("exec", 1, &[], |a, _| a.exec()),
    by("exit", 1, &[], |a, _| a.leave()),
    by("signal", 6, &[Below(4)], |a, v| a.signal(v[0])),
    by("sleep", 4, &[Pick(&[0, 50, 500, 2000])], |a, v| a.sleep(v[0])),
    plain("unshare", 3, libc::SYS_unshare, &[Pick(&[0x0800_0000, 0x0800_0000, 0x1000_0000, 0x1800_0000, 0x400, 0x200])]),
    by("namespace", 3, &[NewFile, Below(2)], |a, v| a.open_namespace(v[0])),
    plain("setns", 4, libc::SYS_setns, &[File, Pick(&[0x0800_0000, 0])]),
    plain("setuid", 2, libc::SYS_setresuid, &[Pick(&[0, 1000, 0xffff_ffff]), Pick(&[0, 1000]), Pick(&[0, 1000])]),
    plain("thp_disable", 2, libc::SYS_prctl, &[Pick(&[41]), Below(2), Pick(&[0]), Pick(&[0]), Pick(&[0])]),
    by("limit", 3, &[Pick(&[1, 7, 8, 9]), Pick(&[0, 0x1000, 0x10_0000, 64, u64::MAX])], |a, v| {
        let limit = [v[1], v[1]];
        a.call(libc::SYS_prlimit64, &[0, v[0], limit.as_ptr() as u64, 0])
    }),
    by("sysctl", 6, &[Below(SYSCTLS.len() as u64), Pick(&[0, 0, 1, 1, 4, 64, 4096, 0x20_0000, 1 << 40])], |a, v| {
        match SYSCTLS.get(v[0] as usize) {
            Some(path) => a.write_number(path, v[1]),
            None => -i64::from(libc::EINVAL),
        }
    }),
    by("tune", 3, &[Below(TUNABLES.len() as u64), Below(6)], |a, v| match TUNABLES.get(v[0] as usize) {
        Some((path, texts)) => a.write(path, texts[v[1] as usize % texts.len()].as_bytes()),
        None => -i64::from(libc::EINVAL),
    }),
    by("memcg", 6, &[Below(4), Pick(&[0, 0x1_0000, 0x10_0000, 0x40_0000, 0x100_0000])], |a, v| a.limit_cgroup(v[0], v[1])),
    by("swap", 1, &[Below(2)], |a, v| a.swap(v[0] != 0)),
    by("fail", 6, &[Below(40)], |a, v| a.fail_next(v[0])),
];

fn attach(actor: &mut Actor, fd: u64, at: u64, id: u64, flags: u64, addr: u64) -> i64 {
    let (id, flags) = (id as i32, flags as u32);
    actor.put(at, &abi::Attach { id, flags, addr, length: 0 });
    match ioctl(actor, fd, abi::IOC_ATTACH, at) {
        0 => actor.word_at(at + 8) as i64,
        error => error,
    }
}

fn restore(actor: &mut Actor, fd: u64, at: u64, [id, key, size, flags, mode, number]: [u64; 6]) -> i64 {
    let (uid, pid, time) = (number as u32, number as i32, number as i64);
    actor.put(
        at,
        &abi::Restore {
            id: id as i32,
            key: key as i32,
            size,
            flags: flags as u32,
            mode: mode as u32,
            uid,
            gid: uid,
            cuid: uid,
            cgid: uid,
            cpid: pid,
            lpid: pid,
            atime: time,
            dtime: time,
            ctime: time,
        },
    );
    ioctl(actor, fd, abi::IOC_RESTORE, at)
}

#[allow(clippy::too_many_arguments)]
fn ctl(actor: &mut Actor, fd: u64, at: u64, id: i32, cmd: u32, arg: u64, arg_size: u32, flags: u32) -> i64 {
    actor.put(at, &abi::Ctl { id, cmd, arg, arg_size, flags });
    ioctl(actor, fd, abi::IOC_CTL, at)
}

fn uffd(actor: &mut Actor, fd: u64, command: u64, mut words: [u64; 5]) -> i64 {
    actor.call(libc::SYS_ioctl, &[fd, command, words.as_mut_ptr() as u64])
}
