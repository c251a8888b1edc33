// SPDX-License-Identifier: GPL-2.0

//! Machine-wide settings: module parameters, sysctls, and the kernel's command line.
//!
//! There is one [`Settings`], created when the module is loaded. Sysctls are read from procfs on
//! demand, by rare calls only. On a kernel without sysctls for the limits of a namespace, the
//! limits are module parameters, with the same defaults.

use crate::shm::{
    rules::{
        command_line::CommandLine,
        id::IdLayout,
        limits::Limits,
        permission, //
    },
    sys::fs::{
        parameter::{
            self,
            parameter,
            Setting, //
        },
        proc::{
            Proc,
            ProcFile, //
        }, //
    }, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// A number up to `MAX`.
#[derive(Clone, Copy)]
struct UpTo<const MAX: u64>(u64);

impl<const MAX: u64> Setting for UpTo<MAX> {
    fn parse(text: &str) -> Result<Self> {
        let number = parameter::number(text)?;
        if number > MAX {
            return Err(EINVAL);
        }
        Ok(Self(number))
    }

    fn into_word(self) -> u64 {
        self.0
    }

    fn from_word(word: u64) -> Self {
        Self(word)
    }
}

impl<const MAX: u64> fmt::Display for UpTo<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Permission bits of a file.
#[derive(Clone, Copy)]
struct Mode(u16);

impl Setting for Mode {
    fn parse(text: &str) -> Result<Self> {
        let bits = u16::try_from(parameter::number(text)?).map_err(|_| EINVAL)?;
        if u32::from(bits) & !permission::PERMISSION_BITS != 0 {
            return Err(EINVAL);
        }
        Ok(Self(bits))
    }

    fn into_word(self) -> u64 {
        self.0.into()
    }

    fn from_word(word: u64) -> Self {
        // CAST: `into_word()` had a `u16`.
        Self(word as u16)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

parameter! {
    /// `shmmax`.
    static SHMMAX: UpTo<{ u64::MAX }> = u64::MAX - (1 << 24), "shmmax", 0o644,
        "Largest segment in bytes (2^64-2^24-1); where there is a sysctl kernel.shmmax, that holds";
}

parameter! {
    /// `shmall`.
    static SHMALL: UpTo<{ u64::MAX }> = u64::MAX - (1 << 24), "shmall", 0o644,
        "All segments of an IPC namespace in pages (2^64-2^24-1); where there is a sysctl kernel.shmall, that holds";
}

parameter! {
    /// `shmmni`.
    static SHMMNI: UpTo<{ 1 << 24 }> = 4096, "shmmni", 0o644,
        "Number of segments in an IPC namespace (4096); where there is a sysctl kernel.shmmni, that holds";
}

parameter! {
    /// Whether the first IPC namespace is served from the start.
    static SERVE: UpTo<1> = 0, "serve", 0o444,
        "1: shmget(2), shmat(2), shmdt(2), shmctl(2) of the first IPC namespace are the module's (0)";
}

/// Returns whether the first IPC namespace is to be served.
pub(crate) fn serve() -> bool {
    SERVE.value().0 != 0
}

parameter! {
    /// Whether the administrator of an IPC namespace may serve it who is none of the machine.
    static UNPRIVILEGED_SERVE: UpTo<1> = 1, "unprivileged_serve", 0o644,
        "0: only CAP_SYS_ADMIN of the machine makes system calls the module's, not that of another user namespace (1)";
}

/// Returns whether CAP_SYS_ADMIN in the user namespace of an IPC namespace is enough to serve it.
pub(crate) fn unprivileged_serve() -> bool {
    UNPRIVILEGED_SERVE.value().0 != 0
}

parameter! {
    /// Permission bits of the device.
    static DEVICE_MODE: Mode = 0o666, "device_mode", 0o444,
        "Permission bits of /dev/rust_shm (0666)";
}

/// Returns the permission bits of the device.
pub(crate) fn device_mode() -> u16 {
    DEVICE_MODE.value().0
}

/// Returns the limits of a namespace without sysctls for them.
pub(crate) fn limits() -> Limits {
    // CAST: A `usize` has 64 bits here, and the last is at most 1 << 24.
    Limits {
        shmmax: SHMMAX.value().0 as usize,
        shmall: SHMALL.value().0 as usize,
        shmmni: SHMMNI.value().0 as u32,
    }
}

/// The size of a buffer for the kernel's command line: more than any `COMMAND_LINE_SIZE`.
const COMMAND_LINE_BYTES: usize = 4096;

/// `OVERCOMMIT_NEVER` of `vm.overcommit_memory`.
const OVERCOMMIT_NEVER: u32 = 2;

/// The settings.
pub(crate) struct Settings {
    id_layout: IdLayout,
    overcommit_memory: Option<ProcFile>,
    hugetlb_shm_group: Option<ProcFile>,
    // Dropped after the files, which are on it.
    _proc: Option<Proc>,
}

impl Settings {
    /// Reads the kernel's command line, and opens the sysctls. On a kernel without them, they count
    /// as their strictest values.
    pub(crate) fn new() -> Result<Self> {
        let proc = if_there(Proc::mount())?;
        let open = |path| match &proc {
            Some(proc) => if_there(proc.open(path)),
            None => Ok(None),
        };
        let mut room = KVec::from_elem(0, COMMAND_LINE_BYTES, GFP_KERNEL)?;
        let id_layout = match open(c"cmdline")? {
            Some(file) => {
                IdLayout::from_command_line(&CommandLine::from_proc(file.read(&mut room)?))
            }
            None => IdLayout::DEFAULT,
        };
        Ok(Self {
            id_layout,
            overcommit_memory: open(c"sys/vm/overcommit_memory")?,
            hugetlb_shm_group: open(c"sys/vm/hugetlb_shm_group")?,
            _proc: proc,
        })
    }

    /// Returns the layout of ids.
    pub(crate) fn id_layout(&self) -> IdLayout {
        self.id_layout
    }

    /// Returns whether `vm.overcommit_memory` is `OVERCOMMIT_NEVER`, so that SHM_NORESERVE has no
    /// effect.
    pub(crate) fn overcommit_never(&self) -> Result<bool> {
        let mode = number(self.overcommit_memory.as_ref())?;
        Ok(mode.is_none_or(|mode| mode == OVERCOMMIT_NEVER))
    }

    /// Returns the group that may use SHM_HUGETLB (`vm.hugetlb_shm_group`).
    pub(crate) fn hugetlb_shm_group(&self) -> Result<Option<permission::Gid>> {
        Ok(number(self.hugetlb_shm_group.as_ref())?.map(permission::Gid))
    }
}

/// The number in a sysctl, if there is one.
fn number(file: Option<&ProcFile>) -> Result<Option<u32>> {
    file.map_or(Ok(None), |file| if_there(file.number()))
}

/// What is missing on a kernel without it (`ENODEV`, `ENOENT`) is `None`, and so is what a security
/// module keeps from the caller (`EACCES`, `EPERM`).
fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(e) if [ENODEV, ENOENT, EACCES, EPERM].contains(&e) => Ok(None),
        result => result.map(Some),
    }
}
