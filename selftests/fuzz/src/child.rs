// SPDX-License-Identifier: GPL-2.0

//! The processes that run a program: the first is init of a PID namespace, in an IPC namespace of its own, so all ends with it.
//!
//! A program may unmap or overwrite what these processes stand on. They die of it, and nobody else does.

use crate::calls::{Kind, Run, CALLS};
use crate::kcov::Kcov;
use crate::program::{Arg, Program, Step};
use crate::shared::{Shared, Worker, ACTORS, BARRIERS};
use crate::sys;
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const BUFFER_PAGES: usize = 4;
const PAGE: usize = if option_env!("RUST_SHM_16K_PAGES").is_some() { 16384 } else { 4096 };
/// Each actor's buffer is this far from the one before.
const BUFFERS: usize = 0x1800_0000_0000;
const BUFFER_DISTANCE: usize = 0x10_0000;
/// How long an actor waits for the others.
const MEETING: Duration = Duration::from_millis(3);
/// Touches in a call.
const TOUCHES: u64 = 1024;

/// What a worker gives to all its programs.
pub struct Context {
    pub shared: &'static Shared,
    pub me: &'static Worker,
    /// One for each actor, or none at all.
    pub kcov: Vec<Kcov>,
    /// Files of the memory cgroup: max, high, reclaim, swap.max.
    pub cgroup: Option<[CString; 4]>,
    pub swap: Option<CString>,
    /// An IPC namespace that outlives programs.
    pub namespace: i64,
}

/// A thread that runs its calls of a program.
pub struct Actor<'a> {
    context: &'a Context,
    number: usize,
    kcov: Option<Kcov>,
    /// In a forked child: how many calls it has left, and how many forks it is away.
    left: Option<u64>,
    depth: u32,
    ended: bool,
    /// /proc/thread-self/fail-nth, and what is written there before the next call.
    fail_file: i64,
    fail: u64,
    pipe: [i32; 2],
    text: Vec<u8>,
}

/// What does nothing is also a process: `fuzz --idle`.
pub fn idle() -> ! {
    loop {
        // SAFETY: Waits for children; that there are none ends the loop.
        if unsafe { libc::wait(std::ptr::null_mut()) } < 0 {
            std::process::exit(0);
        }
    }
}

/// Adds the time since then.
pub fn spend(to: &AtomicU64, since: Instant) {
    to.fetch_add(since.elapsed().as_micros() as u64, Relaxed);
}

pub fn run(program: &Program, context: &Context, since: Instant) -> ! {
    // SAFETY: All of these change this process alone, and the handler does nothing that a signal must not do.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        // Core files would count as left over.
        libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGUSR1] {
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
    // A process that is init of its namespace survives an abort. It is a mistake of ours, or the program has taken away what we stand on.
    let panics = &context.shared.panics;
    std::panic::set_hook(Box::new(|_| {
        panics.fetch_add(1, Relaxed);
        // SAFETY: Ends the process.
        unsafe { libc::_exit(1) }
    }));
    // A program may come upon the numbers of files that are open.
    let null = sys::open(c"/dev/null", libc::O_RDWR);
    for fd in 0..3 {
        sys::call(libc::SYS_dup3, &[null as u64, fd, 0]);
    }
    sys::close_low();
    let mut used = [false; ACTORS];
    program.calls().for_each(|(actor, ..)| used[usize::from(actor)] = true);
    for actor in 0..ACTORS {
        let at = BUFFERS + actor * BUFFER_DISTANCE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let _ = sys::map(at, 2 * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1);
        let _ = sys::map(at + 2 * PAGE, PAGE, libc::PROT_READ, flags, -1);
    }
    let device = sys::open(c"/dev/rust_shm", libc::O_RDWR);
    context.me.files[0].store(device, Relaxed);
    let others = used[2] || used[3];
    let actors = if others && sys::call(libc::SYS_clone, &FORK) == 0 { [2, 3] } else { [0, 1] };
    context.me.processes[actors[0] / 2].store(std::process::id(), Relaxed);
    let count = used.iter().filter(|used| **used).count() as u32;
    if actors[0] == 0 {
        spend(&context.shared.started, since);
    }
    std::thread::scope(|scope| {
        let mut second = Actor::new(context, actors[1]);
        let mut first = Actor::new(context, actors[0]);
        if used[actors[1]] {
            scope.spawn(move || second.run(program, count));
        }
        // Below what is mapped by now, so that nothing of ours is next to where the kernel attaches.
        let guard = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        sys::call(libc::SYS_mmap, &[0, 1 << 28, 0, guard as u64, u64::MAX, 0]);
        if used[actors[0]] {
            first.run(program, count);
        }
    });
    idle()
}

/// The arguments of `clone(2)` for what `fork(2)` does, which arm64 has not.
const FORK: [u64; 5] = [libc::SIGCHLD as u64, 0, 0, 0, 0];

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".globl fuzz_touch",
    "fuzz_touch:",
    "cbnz w1, 2f",
    "ldrb w1, [x0]",
    "b 3f",
    "2: ldxrb w1, [x0]",
    "add w1, w1, #1",
    "stxrb w2, w1, [x0]",
    "cbnz w2, 2b",
    "3: mov x0, #0",
    "ret",
    ".globl fuzz_touch_end",
    "fuzz_touch_end:",
    "mov x0, #-14",
    "ret",
);
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl fuzz_touch",
    "fuzz_touch:",
    "test esi, esi",
    "jnz 2f",
    "mov al, byte ptr [rdi]",
    "jmp 3f",
    "2: lock add byte ptr [rdi], 1",
    "3: xor eax, eax",
    "ret",
    ".globl fuzz_touch_end",
    "fuzz_touch_end:",
    "mov rax, -14",
    "ret",
);

extern "C" {
    fn fuzz_touch(address: u64, write: u64) -> i64;
    fn fuzz_touch_end();
}

/// A touch that fails returns; what else fails ends the process.
extern "C" fn on_fault(signal: i32, _: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    if signal == libc::SIGUSR1 {
        return;
    }
    // SAFETY: The kernel gives the handler the context that it returns to.
    #[cfg(target_arch = "aarch64")]
    let at = unsafe { &mut (*context).uc_mcontext.pc };
    // SAFETY: As above.
    #[cfg(target_arch = "x86_64")]
    let at = unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize] };
    let (start, end) = (fuzz_touch as *const () as _, fuzz_touch_end as *const () as _);
    if (start..end).contains(at) {
        *at = end;
    } else {
        // SAFETY: Ends the process.
        unsafe { libc::_exit(1) }
    }
}

impl<'a> Actor<'a> {
    fn new(context: &'a Context, number: usize) -> Self {
        Self {
            context,
            number,
            kcov: context.kcov.get(number).copied(),
            left: None,
            depth: 0,
            ended: false,
            fail_file: -1,
            fail: 0,
            pipe: [-1; 2],
            text: vec![0; 1 << 16],
        }
    }

    fn run(&mut self, program: &Program, actors: u32) {
        let thread = sys::call(libc::SYS_gettid, &[]);
        self.context.me.threads[self.number].store(thread as u32, Relaxed);
        self.open_fail_file();
        if let Some(kcov) = &self.kcov {
            kcov.enable();
        }
        let mut barrier = 0;
        'all: for _ in 0..program.repeat {
            for step in &program.steps {
                match step {
                    _ if self.ended => break 'all,
                    Step::Sync => {
                        self.wait(barrier % BARRIERS, actors);
                        barrier += 1;
                    }
                    Step::Call(actor, call, args) if usize::from(*actor) == self.number => {
                        self.step(*call, args);
                    }
                    Step::Call(..) => {}
                }
            }
        }
        if self.left.is_some() {
            self.end();
        }
        self.context.me.gone.fetch_add(1, Relaxed);
    }

    /// Ends the thread.
    pub fn leave(&mut self) -> i64 {
        self.ended = true;
        0
    }

    fn end(&self) -> ! {
        // SAFETY: Ends the process.
        unsafe { libc::_exit(0) }
    }

    /// Waits for the other actors, but not for long: they may have died, or do something that takes long.
    fn wait(&self, barrier: usize, actors: u32) {
        if self.left.is_some() {
            return;
        }
        let since = Instant::now();
        let (arrived, gone) = (&self.context.me.arrived[barrier], &self.context.me.gone);
        arrived.fetch_add(1, Relaxed);
        while arrived.load(Relaxed) + gone.load(Relaxed) < actors && since.elapsed() < MEETING {
            sys::call(libc::SYS_sched_yield, &[]);
        }
        spend(&self.context.shared.waited, since);
    }

    fn step(&mut self, call: usize, args: &[Arg]) {
        match &mut self.left {
            Some(0) => self.end(),
            Some(left) => *left -= 1,
            None => {}
        }
        let (shared, me, call_of) = (self.context.shared, self.context.me, &CALLS[call]);
        let mut values = [0; 10];
        for (value, arg) in values.iter_mut().zip(args) {
            *value = match *arg {
                Arg::Number(number) => number,
                Arg::Id(slot) => me.ids[usize::from(slot)].load(Relaxed) as u64,
                Arg::File(slot) => self.file(slot.into()),
                Arg::At(slot, offset) => (me.addresses[usize::from(slot)].load(Relaxed) as u64).wrapping_add(offset),
                Arg::Buffer(offset) => self.buffer().wrapping_add(offset),
            };
        }
        let slots = match call_of.kinds.first() {
            Some(Kind::NewId) => Some(&me.ids),
            Some(Kind::NewAt) => Some(&me.addresses),
            Some(Kind::NewFile) => Some(&me.files),
            _ => None,
        };
        let values = &values[usize::from(slots.is_some())..args.len()];
        shared.made[call].fetch_add(1, Relaxed);
        let since = Instant::now();
        let result = match call_of.run {
            Run::Plain(number) => self.call(number, values),
            Run::By(run) => run(self, values),
        };
        spend(&shared.spent[call], since);
        if result >= 0 {
            shared.succeeded[call].fetch_add(1, Relaxed);
            if let (Some(slots), Some(Arg::Id(slot) | Arg::At(slot, _) | Arg::File(slot))) = (slots, args.first()) {
                slots[usize::from(*slot)].store(result, Relaxed);
            }
        }
        if let Some(kcov) = &self.kcov {
            kcov.collect(&me.covered);
        }
    }

    /// The system call that is tested: where `fail` was called before, an allocation of it fails.
    pub fn call(&mut self, number: i64, args: &[u64]) -> i64 {
        let fail = std::mem::take(&mut self.fail);
        if fail == 0 {
            return sys::call(number, args);
        }
        self.arm(fail);
        let result = sys::call(number, args);
        let mut left = [b'0'; 1];
        let read = [self.fail_file as u64, left.as_mut_ptr() as u64, 1, 0];
        if sys::call(libc::SYS_pread64, &read) == 1 && left == *b"0" {
            self.context.shared.injected.fetch_add(1, Relaxed);
        }
        self.arm(0);
        result
    }

    fn open_fail_file(&mut self) {
        self.fail_file = sys::open(c"/proc/thread-self/fail-nth", libc::O_RDWR);
    }

    fn arm(&self, nth: u64) {
        let mut space = [0; 20];
        let text = sys::digits(nth, &mut space);
        let write = [self.fail_file as u64, text.as_ptr() as u64, text.len() as u64, 0];
        sys::call(libc::SYS_pwrite64, &write);
    }

    pub fn fail_next(&mut self, nth: u64) -> i64 {
        if self.fail_file < 0 {
            return self.fail_file;
        }
        self.fail = nth % 1000;
        0
    }

    pub fn buffer(&self) -> u64 {
        (BUFFERS + self.number * BUFFER_DISTANCE) as u64
    }

    pub fn file(&self, slot: usize) -> u64 {
        self.context.me.files[slot].load(Relaxed) as u64
    }

    /// Writes a structure where it may not be possible.
    pub fn put<T>(&self, at: u64, value: &T) {
        let from = &raw const *value as *const u8;
        sys::copy(libc::SYS_process_vm_writev, at, from, size_of::<T>());
    }

    pub fn word_at(&self, at: u64) -> u64 {
        let mut word = u64::MAX;
        sys::copy(libc::SYS_process_vm_readv, at, &raw mut word as *const u8, 8);
        word
    }

    pub fn open(&mut self, path: &CStr, flags: u64) -> i64 {
        let path = path.as_ptr() as u64;
        self.call(libc::SYS_openat, &[libc::AT_FDCWD as u64, path, flags & !0o100])
    }

    pub fn write(&self, path: &CStr, text: &[u8]) -> i64 {
        sys::write_file(path, text)
    }

    pub fn write_number(&self, path: &CStr, number: u64) -> i64 {
        self.write(path, sys::digits(number, &mut [0; 20]))
    }

    /// Opens the file that is mapped at an address.
    pub fn open_map_file(&mut self, address: u64, flags: u64) -> i64 {
        let maps = sys::open(c"/proc/self/maps", libc::O_RDONLY);
        let (at, len) = (self.text.as_mut_ptr() as u64, self.text.len() as u64);
        let got = sys::call(libc::SYS_read, &[maps as u64, at, len]).max(0) as usize;
        sys::close(maps);
        let hex = |text: &[u8]| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
        for line in self.text[..got].split(|byte| *byte == b'\n') {
            let range = line.split(|byte| *byte == b' ').next().unwrap_or(line);
            let Some(dash) = range.iter().position(|byte| *byte == b'-') else {
                continue;
            };
            if let (Some(start), Some(end)) = (hex(&range[..dash]), hex(&range[dash + 1..])) {
                if (start..end).contains(&address) {
                    let mut path = [0; 80];
                    let prefix = b"/proc/self/map_files/";
                    path[..prefix.len()].copy_from_slice(prefix);
                    path[prefix.len()..prefix.len() + range.len()].copy_from_slice(range);
                    let Ok(path) = CStr::from_bytes_until_nul(&path) else { break };
                    return self.open(path, flags);
                }
            }
        }
        -i64::from(libc::ENOENT)
    }

    pub fn touch(&mut self, address: u64, bytes: u64, write: u64, stride: u64) -> i64 {
        if self.fail != 0 {
            let fail = std::mem::take(&mut self.fail);
            self.arm(fail);
        }
        let mut result = 0;
        let stride = stride.max(1);
        for i in 0..(bytes / stride).clamp(1, TOUCHES) {
            // SAFETY: Writes to memory of this process, as the program says; a bad address is an error.
            result |= unsafe { fuzz_touch(address.wrapping_add(i.wrapping_mul(stride)), write) };
            if result != 0 {
                break;
            }
        }
        result
    }

    /// Copies from or to a process of the program: which, its address, ours, and how much.
    pub fn copy(&self, number: i64, v: &[u64]) -> i64 {
        let pid = self.context.me.processes[v[0] as usize % 2].load(Relaxed);
        sys::copy_with(number, pid.into(), v[1], v[2], v[3])
    }

    /// Keeps pages referenced by a pipe.
    pub fn pin(&mut self, address: u64, bytes: u64) -> i64 {
        if self.pipe[0] < 0 {
            let pipe = self.pipe.as_mut_ptr() as u64;
            sys::call(libc::SYS_pipe2, &[pipe, libc::O_NONBLOCK as u64]);
        }
        let piece = [address, bytes];
        let write = [self.pipe[1] as u64, piece.as_ptr() as u64, 1, libc::SPLICE_F_NONBLOCK.into()];
        self.call(libc::SYS_vmsplice, &write)
    }

    pub fn unpin(&mut self) -> i64 {
        let (at, len) = (self.text.as_mut_ptr() as u64, self.text.len() as u64);
        self.call(libc::SYS_read, &[self.pipe[0] as u64, at, len])
    }

    /// A child that exits at once, touches what is attached, goes on with some calls, executes a program, leaves the IPC namespace,
    /// or stays for a while.
    pub fn fork(&mut self, mode: u64, calls: u64) -> i64 {
        if self.depth >= 2 {
            return -i64::from(libc::EAGAIN);
        }
        let child = self.call(libc::SYS_clone, &FORK);
        if child != 0 {
            return child;
        }
        self.kcov = None;
        self.depth += 1;
        self.left = Some(if mode == 2 { calls } else { 0 });
        match mode {
            1 => {
                for address in &self.context.me.addresses {
                    let address = address.load(Relaxed) as u64;
                    if address != 0 {
                        self.touch(address, 1, 1, 1);
                    }
                }
            }
            2 => self.open_fail_file(),
            3 => drop(self.exec()),
            4 => drop(self.call(libc::SYS_unshare, &[libc::CLONE_NEWIPC as u64])),
            5 => drop(self.sleep(2000)),
            _ => {}
        }
        0
    }

    pub fn exec(&mut self) -> i64 {
        let args = [c"fuzz".as_ptr(), c"--idle".as_ptr(), std::ptr::null()];
        let none = [std::ptr::null::<u8>()];
        let path = c"/proc/self/exe".as_ptr() as u64;
        self.call(libc::SYS_execve, &[path, args.as_ptr() as u64, none.as_ptr() as u64])
    }

    pub fn signal(&mut self, to: u64) -> i64 {
        let to = to as usize % ACTORS;
        let process = self.context.me.processes[to / 2].load(Relaxed);
        let thread = self.context.me.threads[to].load(Relaxed);
        self.call(libc::SYS_tgkill, &[process.into(), thread.into(), libc::SIGUSR1 as u64])
    }

    pub fn sleep(&self, us: u64) -> i64 {
        let time = [0, us.min(10_000) * 1000];
        sys::call(libc::SYS_nanosleep, &[time.as_ptr() as u64, 0])
    }

    pub fn open_namespace(&mut self, which: u64) -> i64 {
        match which {
            0 => self.open(c"/proc/self/ns/ipc", 0),
            _ => self.call(libc::SYS_dup, &[self.context.namespace as u64]),
        }
    }

    pub fn limit_cgroup(&self, which: u64, bytes: u64) -> i64 {
        let Some(files) = &self.context.cgroup else {
            return -i64::from(libc::ENOENT);
        };
        self.context.me.limits_changed.store(1, Relaxed);
        self.write_number(&files[which as usize % files.len()], bytes)
    }

    pub fn swap(&mut self, on: bool) -> i64 {
        let Some(device) = &self.context.swap else {
            return -i64::from(libc::ENOENT);
        };
        let number = if on { libc::SYS_swapon } else { libc::SYS_swapoff };
        self.call(number, &[device.as_ptr() as u64, 0])
    }
}
