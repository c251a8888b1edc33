// SPDX-License-Identifier: GPL-2.0

//! The kernel, as functions: the only place with `unsafe`.
//!
//! Calls are raw system calls, for a C library may check arguments on its own and the kernel's answer is wanted. Some of them change
//! the caller's address space wherever they are told to. What keeps that sound is the layout in [`crate::layout`]: the controller names
//! only addresses there, where this program has nothing of its own, and addresses that no program can have.

use libc::{c_int, c_long, c_void};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// What a call returns, or its errno.
pub type Answer = Result<i64, i32>;

/// The errno of the call before.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn answer(result: c_long) -> Answer {
    if result == -1 {
        Err(errno())
    } else {
        Ok(result)
    }
}

macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        // SAFETY: A raw system call; see the top of this file for those that change the address space. Pointers are to live values of the
        // type that the call takes, or addresses of the layout, which the kernel checks.
        answer(unsafe { libc::syscall($number $(, $argument)*) })
    };
}

pub fn shmget(key: i32, size: u64, flags: i32) -> Answer {
    call!(libc::SYS_shmget, key, size, flags)
}

pub fn shmat(id: i32, address: u64, flags: i32) -> Answer {
    call!(libc::SYS_shmat, id, address, flags)
}

pub fn shmdt(address: u64) -> Answer {
    call!(libc::SYS_shmdt, address)
}

pub fn shmctl(id: i32, command: i32, argument: u64) -> Answer {
    call!(libc::SYS_shmctl, id, command, argument)
}

pub fn ioctl(fd: c_int, request: u32, argument: u64) -> Answer {
    call!(libc::SYS_ioctl, fd, request, argument)
}

/// An ioctl with a structure that may be written.
pub fn ioctl_with<T>(fd: c_int, request: u32, argument: &mut T) -> Answer {
    ioctl(fd, request, std::ptr::from_mut(argument) as u64)
}

/// Copies a plain structure to an address of the layout.
pub fn put<T: Copy>(address: u64, value: &T) {
    // SAFETY: The caller names its own buffer of the layout, which is mapped, writable and large enough.
    unsafe { std::ptr::write(address as *mut T, *value) }
}

/// Copies a plain structure from an address of the layout.
///
/// # Safety
///
/// Any bytes are a `T`.
unsafe fn take<T: Copy>(address: u64) -> T {
    // SAFETY: The caller names its own buffer of the layout, which is mapped and large enough; and any bytes are a `T`.
    unsafe { std::ptr::read(address as *const T) }
}

/// The kernel's `struct shmid64_ds`, which glibc's is on 64-bit machines.
pub fn take_shmid_ds(address: u64) -> libc::shmid_ds {
    // SAFETY: It consists of numbers.
    unsafe { take(address) }
}

/// `struct rust_shm_stat`.
pub fn take_module_stat(address: u64) -> rust_shm_abi::Stat {
    // SAFETY: It consists of numbers.
    unsafe { take(address) }
}

/// A structure of 64-bit numbers.
pub fn take_numbers<const N: usize>(address: u64) -> [u64; N] {
    // SAFETY: They are numbers.
    unsafe { take(address) }
}

/// Maps anonymous memory at an address of the layout.
pub fn map_anonymous(address: u64, length: u64, protection: c_int) -> Answer {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    call!(libc::SYS_mmap, address, length, protection, flags, -1, 0)
}

pub fn munmap(address: u64, length: u64) -> Answer {
    call!(libc::SYS_munmap, address, length)
}

pub fn mprotect(address: u64, length: u64, protection: c_int) -> Answer {
    call!(libc::SYS_mprotect, address, length, protection)
}

pub fn mremap(old: u64, old_length: u64, new_length: u64, flags: c_int, new: u64) -> Answer {
    call!(libc::SYS_mremap, old, old_length, new_length, flags, new)
}

pub fn madvise(address: u64, length: u64, advice: c_int) -> Answer {
    call!(libc::SYS_madvise, address, length, advice)
}

/// process_madvise(2).
pub fn advise_other(pid: i32, address: u64, length: u64, advice: c_int) -> Answer {
    let pidfd = pidfd_open(pid)? as c_int;
    let range = libc::iovec {
        iov_base: address as *mut c_void,
        iov_len: length as usize,
    };
    let range = &raw const range;
    let answer = call!(libc::SYS_process_madvise, pidfd, range, 1, advice, 0);
    close(pidfd);
    answer
}

pub fn mlock2(address: u64, length: u64, flags: c_int) -> Answer {
    call!(libc::SYS_mlock2, address, length, flags)
}

pub fn munlock(address: u64, length: u64) -> Answer {
    call!(libc::SYS_munlock, address, length)
}

pub fn msync(address: u64, length: u64, flags: c_int) -> Answer {
    call!(libc::SYS_msync, address, length, flags)
}

pub fn remap_file_pages(address: u64, length: u64, page: u64) -> Answer {
    call!(libc::SYS_remap_file_pages, address, length, 0, page, 0)
}

/// mbind(2) with a set of nodes; MPOL_DEFAULT and MPOL_LOCAL take none.
pub fn mbind(address: u64, length: u64, mode: c_int, nodes: u64, flags: u32) -> Answer {
    let nodes = if mode == libc::MPOL_DEFAULT || mode == libc::MPOL_LOCAL {
        0
    } else {
        nodes
    };
    call!(
        libc::SYS_mbind,
        address,
        length,
        mode,
        &raw const nodes,
        64,
        flags
    )
}

/// move_pages(2) of the caller's pages that begin at an address, to a node, or nowhere if that is negative. Where each is then comes too.
pub fn move_pages(address: u64, count: usize, node: c_int) -> (Answer, Vec<c_int>) {
    const MPOL_MF_MOVE: c_int = 2;
    let pages: Vec<u64> = (0..count as u64)
        .map(|page| address + page * crate::layout::PAGE)
        .collect();
    let nodes = vec![node; count];
    // What the kernel does not write is no node and no errno.
    let mut status = vec![c_int::MIN; count];
    let nodes = if node < 0 {
        std::ptr::null()
    } else {
        nodes.as_ptr()
    };
    let answer = call!(
        libc::SYS_move_pages,
        0,
        count,
        pages.as_ptr(),
        nodes,
        status.as_mut_ptr(),
        MPOL_MF_MOVE
    );
    (answer, status)
}

/// The policy that holds at an address.
pub fn get_mempolicy(address: u64) -> Answer {
    const MPOL_F_ADDR: c_int = 2;
    let mut mode: c_int = -1;
    let mut nodes = [0 as libc::c_ulong; 16];
    call!(
        libc::SYS_get_mempolicy,
        &raw mut mode,
        nodes.as_mut_ptr(),
        1024,
        address,
        MPOL_F_ADDR
    )?;
    Ok((i64::from(mode) << 8) | nodes[0] as i64)
}

/// Reads a byte of another process.
pub fn read_other(pid: i32, address: u64) -> Answer {
    let mut byte = 0u8;
    let local = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let remote = libc::iovec {
        iov_base: address as *mut c_void,
        iov_len: 1,
    };
    call!(
        libc::SYS_process_vm_readv,
        pid,
        &raw const local,
        1,
        &raw const remote,
        1,
        0
    )?;
    Ok(byte.into())
}

/// Forks, in new namespaces where `namespaces` says so. 0 in the child. There is one thread in this program.
pub fn fork(namespaces: c_int) -> Answer {
    call!(libc::SYS_clone, namespaces | libc::SIGCHLD, 0, 0, 0, 0)
}

/// Runs this program anew in this process; returns only where that fails.
pub fn exec_self(arguments: &[String]) -> i32 {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new("/proc/self/exe")
        .args(arguments)
        .exec();
    error.raw_os_error().unwrap_or(0)
}

pub fn exit(status: c_int) -> ! {
    // SAFETY: Ends the process.
    unsafe { libc::_exit(status) }
}

pub fn getpid() -> i32 {
    // SAFETY: Returns a number.
    unsafe { libc::getpid() }
}

pub fn kill(pid: i32, signal: c_int) -> Answer {
    call!(libc::SYS_kill, pid, signal)
}

/// Reaps a child.
pub fn wait(pid: i32) -> Answer {
    call!(libc::SYS_wait4, pid, 0, 0, 0)
}

pub fn unshare(flags: c_int) -> Answer {
    call!(libc::SYS_unshare, flags)
}

/// setns(2).
pub fn enter(namespace: c_int, kind: c_int) -> Answer {
    call!(libc::SYS_setns, namespace, kind)
}

pub fn set_groups(groups: &[u32]) -> Answer {
    call!(libc::SYS_setgroups, groups.len(), groups.as_ptr())
}

pub fn set_effective_gid(gid: u32) -> Answer {
    call!(libc::SYS_setresgid, -1, gid, -1)
}

pub fn set_effective_uid(uid: u32) -> Answer {
    call!(libc::SYS_setresuid, -1, uid, -1)
}

/// Sets the effective capabilities to those of `wanted` that are permitted.
pub fn set_capabilities(wanted: u64) -> Answer {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    // Effective, permitted, inheritable; the low 32 bits and the high ones.
    let mut data = [[0u32; 3]; 2];
    call!(libc::SYS_capget, &raw const header, data.as_mut_ptr())?;
    data[0][0] = data[0][1] & wanted as u32;
    data[1][0] = data[1][1] & (wanted >> 32) as u32;
    call!(libc::SYS_capset, &raw const header, data.as_ptr())
}

/// The pid namespace of a process and those around it, up to ours.
pub fn pid_namespaces(pid: i32) -> std::io::Result<Vec<u64>> {
    use std::os::{fd::FromRawFd, unix::fs::MetadataExt};
    const NS_GET_PARENT: u64 = 0xb702;
    let mut namespace = std::fs::File::open(format!("/proc/{pid}/ns/pid"))?;
    let mut all = Vec::new();
    loop {
        all.push(namespace.metadata()?.ino());
        // SAFETY: Makes a descriptor, which is the file's alone.
        let fd = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&namespace), NS_GET_PARENT) };
        if fd < 0 {
            return Ok(all);
        }
        // SAFETY: As above.
        namespace = unsafe { std::fs::File::from_raw_fd(fd) };
    }
}

/// From now on a change of uid leaves the capabilities alone.
pub fn keep_capabilities() -> Answer {
    const SECBIT_NO_SETUID_FIXUP: c_long = 1 << 2;
    call!(
        libc::SYS_prctl,
        libc::PR_SET_SECUREBITS,
        SECBIT_NO_SETUID_FIXUP,
        0,
        0,
        0
    )
}

/// Dies with its parent.
pub fn die_with_parent() -> Answer {
    call!(
        libc::SYS_prctl,
        libc::PR_SET_PDEATHSIG,
        libc::SIGKILL,
        0,
        0,
        0
    )
}

/// Others of the same user may look at it, whatever its credentials were.
pub fn set_dumpable() -> Answer {
    call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)
}

/// Makes address spaces the same each time this program is run; true if that was not so yet.
pub fn same_layout() -> bool {
    // SAFETY: Asks, and sets a flag.
    unsafe {
        let now = libc::personality(0xffff_ffff);
        libc::personality((now | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong);
        now & libc::ADDR_NO_RANDOMIZE == 0
    }
}

/// Memory may be locked without a limit. What a user has locked on the built-in and on the module is one sum, so with a limit the two
/// worlds would be in each other's way; selftests/lock.c looks at that.
pub fn unlimited_memlock() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: Reads a structure that is there.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
}

/// The heap stays where it is, and nothing of it is mapped elsewhere.
pub fn steady_heap() {
    // SAFETY: Sets numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, c_int::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, 1 << 20);
    }
}

pub fn pidfd_open(pid: i32) -> Answer {
    call!(libc::SYS_pidfd_open, pid, 0)
}

/// Two ends of a channel that keeps messages apart.
pub fn channel() -> Result<(c_int, c_int), i32> {
    let mut ends = [0; 2];
    call!(
        libc::SYS_socketpair,
        libc::AF_UNIX,
        libc::SOCK_SEQPACKET,
        0,
        ends.as_mut_ptr()
    )?;
    Ok((ends[0], ends[1]))
}

pub fn send(fd: c_int, message: &[u8]) -> Answer {
    call!(
        libc::SYS_sendto,
        fd,
        message.as_ptr(),
        message.len(),
        libc::MSG_NOSIGNAL,
        0,
        0
    )
}

/// The length of a message, whose bytes are in `room` now.
pub fn receive(fd: c_int, room: &mut [u8]) -> Result<usize, i32> {
    loop {
        match call!(
            libc::SYS_recvfrom,
            fd,
            room.as_mut_ptr(),
            room.len(),
            0,
            0,
            0
        ) {
            Err(libc::EINTR) => {}
            other => return other.map(|length| length as usize),
        }
    }
}

/// Waits until one of the descriptors has something to say, and tells which have; none after `milliseconds`.
pub fn wait_for<const N: usize>(fds: [c_int; N], milliseconds: c_int) -> [bool; N] {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: The array is ours, and has so many.
    unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, milliseconds) };
    polled.map(|entry| entry.revents != 0)
}

pub fn close(fd: c_int) {
    let _ = call!(libc::SYS_close, fd);
}

/// Opens a file for reading, also in programs that this one becomes.
pub fn open(path: &std::ffi::CStr, flags: c_int) -> Answer {
    call!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0)
}

pub fn read(fd: c_int, room: &mut [u8]) -> Answer {
    call!(libc::SYS_read, fd, room.as_mut_ptr(), room.len())
}

/// Reads to the end of a vector, into what room it has left; how much.
pub fn read_more(fd: c_int, room: &mut Vec<u8>) -> usize {
    let spare = room.spare_capacity_mut();
    let (at, length) = (spare.as_mut_ptr(), spare.len());
    let read = call!(libc::SYS_read, fd, at, length).unwrap_or(0) as usize;
    // SAFETY: The kernel has written so many bytes, and no more than fit.
    unsafe { room.set_len(room.len() + read) };
    read
}

pub fn read_at(fd: c_int, room: &mut [u8], offset: u64) -> Answer {
    call!(libc::SYS_pread64, fd, room.as_mut_ptr(), room.len(), offset)
}

/// To an address of the layout.
pub fn read_to(fd: c_int, address: u64, length: u64) -> Answer {
    call!(libc::SYS_read, fd, address, length)
}

pub fn write_at(fd: c_int, bytes: &[u8], offset: u64) -> Answer {
    let (at, length) = (bytes.as_ptr(), bytes.len());
    call!(libc::SYS_pwrite64, fd, at, length, offset)
}

/// lseek(2).
pub fn seek(fd: c_int, offset: u64, whence: c_int) -> Answer {
    call!(libc::SYS_lseek, fd, offset, whence)
}

pub fn write(fd: c_int, bytes: &[u8]) -> Answer {
    call!(libc::SYS_write, fd, bytes.as_ptr(), bytes.len())
}

pub fn fallocate(fd: c_int, mode: c_int, offset: u64, length: u64) -> Answer {
    call!(libc::SYS_fallocate, fd, mode, offset, length)
}

/// Makes debugfs be where it usually is.
pub fn mount_debugfs() -> Answer {
    let (name, at) = (c"debugfs".as_ptr(), c"/sys/kernel/debug".as_ptr());
    call!(libc::SYS_mount, name, at, name, 0, 0)
}

pub fn swap_on(device: &std::ffi::CStr) -> Answer {
    call!(libc::SYS_swapon, device.as_ptr(), 0)
}

pub fn swap_off(device: &std::ffi::CStr) -> Answer {
    call!(libc::SYS_swapoff, device.as_ptr())
}

/// The caller, and what it forks, runs on one processor.
pub fn stay_on(processor: usize) -> Answer {
    let set = 1u64 << processor;
    call!(
        libc::SYS_sched_setaffinity,
        0,
        size_of_val(&set),
        &raw const set
    )
}

pub fn set_clock(seconds: i64) -> Answer {
    let time = libc::timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    call!(
        libc::SYS_clock_settime,
        libc::CLOCK_REALTIME,
        &raw const time
    )
}

/// A signal that a touch of memory gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    pub number: i32,
    pub code: i32,
    pub address: u64,
}

static COUNT: AtomicUsize = AtomicUsize::new(0);
static NUMBER: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicU64 = AtomicU64::new(0);
/// Where `oracle_run` goes, while it is under way.
static RUNNING: AtomicU64 = AtomicU64::new(0);

// The first instruction of each is the one that may fault; then the handler goes on at oracle_failed, which returns to the caller of the
// function, for nothing is on the stack yet.
#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    "oracle_load:",
    "ldrb w0, [x0]",
    "ret",
    "oracle_store:",
    "strb w1, [x0]",
    "mov w0, #0",
    "ret",
    "oracle_run:",
    "mov x1, x0",
    "mov w0, #0",
    "br x1",
    "oracle_failed:",
    "mov w0, #-1",
    "ret",
);
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    "oracle_load:",
    "movzx eax, byte ptr [rdi]",
    "ret",
    "oracle_store:",
    "mov byte ptr [rdi], sil",
    "xor eax, eax",
    "ret",
    "oracle_run:",
    "xor eax, eax",
    "jmp rdi",
    "oracle_failed:",
    "mov eax, -1",
    "ret",
);

extern "C" {
    fn oracle_load(address: u64) -> i32;
    fn oracle_store(address: u64, value: u8) -> i32;
    fn oracle_run(address: u64) -> i32;
    fn oracle_failed();
}

extern "C" fn on_signal(number: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: The kernel gives both, for this call.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    #[cfg(target_arch = "aarch64")]
    let at = &mut context.uc_mcontext.pc;
    #[cfg(target_arch = "x86_64")]
    let at = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let rip = *at as u64;
    COUNT.fetch_add(1, Ordering::Relaxed);
    NUMBER.store(number, Ordering::Relaxed);
    CODE.store(info.si_code, Ordering::Relaxed);
    if rip == oracle_load as usize as u64
        || rip == oracle_store as usize as u64
        || rip == RUNNING.load(Ordering::Relaxed)
    {
        // SAFETY: It is a signal of a fault.
        ADDRESS.store(unsafe { info.si_addr() } as u64, Ordering::Relaxed);
        *at = oracle_failed as usize as _;
    } else if number == libc::SIGSEGV || number == libc::SIGBUS {
        // A mistake in this program: it happens again, and ends the process.
        // SAFETY: Sets the default.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// Catches what touches of memory give. Children are not waited for.
pub fn catch_signals() {
    // SAFETY: All fields are numbers, pointers that may be null, or sets.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as usize;
    action.sa_flags = libc::SA_SIGINFO;
    for number in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGHUP,
        libc::SIGUSR1,
    ] {
        // SAFETY: The handler touches atomics, and the context that it is given.
        unsafe { libc::sigaction(number, &action, std::ptr::null_mut()) };
    }
    // SAFETY: Sets a disposition.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// The signals since the last call: the last of them, once for each.
pub fn signals() -> Vec<Signal> {
    let signal = Signal {
        number: NUMBER.load(Ordering::Relaxed),
        code: CODE.load(Ordering::Relaxed),
        address: ADDRESS.load(Ordering::Relaxed),
    };
    ADDRESS.store(0, Ordering::Relaxed);
    vec![signal; COUNT.swap(0, Ordering::Relaxed)]
}

fn touched(result: i32) -> Answer {
    if result == -1 {
        Err(0)
    } else {
        Ok(result.into())
    }
}

/// Reads a byte; `Err(0)` where that gives a signal.
pub fn load(address: u64) -> Answer {
    // SAFETY: Reads a byte that no Rust value is made of, or faults, which is caught.
    touched(unsafe { oracle_load(address) })
}

/// Writes a byte; `Err(0)` where that gives a signal.
pub fn store(address: u64, value: u8) -> Answer {
    // SAFETY: Writes a byte at an address of the layout that no Rust value has, or faults, which is caught.
    touched(unsafe { oracle_store(address, value) })
}

/// Runs the instruction at an address, which must be a `ret`; `Err(0)` where that gives a signal.
pub fn run(address: u64) -> Answer {
    const RET: &[u8] = if cfg!(target_arch = "aarch64") {
        &[0xc0, 0x03, 0x5f, 0xd6]
    } else {
        &[0xc3]
    };
    for (at, byte) in (address..).zip(RET) {
        if load(at)? != i64::from(*byte) {
            return Err(libc::ENOEXEC);
        }
    }
    RUNNING.store(address, Ordering::Relaxed);
    // SAFETY: A `ret` returns here; a fault at it is caught.
    let result = unsafe { oracle_run(address) };
    RUNNING.store(0, Ordering::Relaxed);
    touched(result)
}
