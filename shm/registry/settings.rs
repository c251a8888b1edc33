// SPDX-License-Identifier: GPL-2.0

//! What the administrator has set for the whole machine, beside the sysctls of a namespace.
//!
//! There is one [`Settings`], made when the module is loaded. Sysctls are read when they are asked
//! about, from `/proc`; only rare calls ask. The limits of a namespace are parameters of the module
//! where the kernel has no sysctls for them; the defaults are those of the sysctls.

use crate::shm::{
    rules::{
        command_line::CommandLine,
        id::IdLayout,
        limits::Limits,
        permission::{
            Gid,
            PERMISSION_BITS, //
        }, //
    },
    sys::fs::{
        parameter::{
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
    prelude::*,
    str::parse_int::ParseInt, //
};

/// A number that is not larger than `MAX`.
#[derive(Clone, Copy)]
struct UpTo<const MAX: u64>(u64);

impl<const MAX: u64> Setting for UpTo<MAX> {
    fn parse(text: &str) -> Result<Self> {
        let number = u64::from_str(text.as_bytes().as_ref())?;
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

/// Permission bits.
#[derive(Clone, Copy)]
struct Mode(u16);

impl Setting for Mode {
    fn parse(text: &str) -> Result<Self> {
        let bits = u16::from_str(text.as_bytes().as_ref())?;
        if u32::from(bits) & !PERMISSION_BITS != 0 {
            return Err(EINVAL);
        }
        Ok(Self(bits))
    }

    fn into_word(self) -> u64 {
        self.0.into()
    }

    fn from_word(word: u64) -> Self {
        // CAST: It was made from as many bits.
        Self(word as u16)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

parameter! {
    /// The largest segment.
    static SHMMAX: UpTo<{ u64::MAX }> = u64::MAX - (1 << 24), "shmmax", 0o644,
        "Largest segment in bytes (2^64-2^24-1); where there is a sysctl kernel.shmmax, that holds";
}

parameter! {
    /// All segments together.
    static SHMALL: UpTo<{ u64::MAX }> = u64::MAX - (1 << 24), "shmall", 0o644,
        "All segments of an IPC namespace in pages (2^64-2^24-1); where there is a sysctl kernel.shmall, that holds";
}

parameter! {
    /// How many segments.
    static SHMMNI: UpTo<{ 1 << 24 }> = 4096, "shmmni", 0o644,
        "Number of segments in an IPC namespace (4096); where there is a sysctl kernel.shmmni, that holds";
}

parameter! {
    /// Who may open the device.
    static DEVICE_MODE: Mode = 0o666, "device_mode", 0o444,
        "Permission bits of /dev/rust_shm (0666)";
}

/// The permission bits of the device.
pub(crate) fn device_mode() -> u16 {
    DEVICE_MODE.value().0
}

/// The limits of a namespace that has no sysctls for them.
pub(crate) fn limits() -> Limits {
    // CAST: A `usize` has 64 bits here, and the last is at most 1 << 24.
    Limits {
        shmmax: SHMMAX.value().0 as usize,
        shmall: SHMALL.value().0 as usize,
        shmmni: SHMMNI.value().0 as u32,
    }
}

/// Longer than any command line of the kernel.
const COMMAND_LINE_BYTES: usize = 4096;

/// `OVERCOMMIT_NEVER` of `vm.overcommit_memory`.
const OVERCOMMIT_NEVER: u32 = 2;

/// The settings.
pub(crate) struct Settings {
    id_layout: IdLayout,
    overcommit_memory: Option<ProcFile>,
    hugetlb_shm_group: Option<ProcFile>,
    // After the files, which are on it.
    _proc: Option<Proc>,
}

impl Settings {
    /// Reads the kernel's command line, and opens the sysctls. A kernel without them has the
    /// strictest values.
    pub(crate) fn new() -> Result<Self> {
        let proc = Proc::mount().ok();
        let open = |path| proc.as_ref().and_then(|proc| proc.open(path).ok());
        let mut room = KVec::from_elem(0, COMMAND_LINE_BYTES, GFP_KERNEL)?;
        let id_layout = match open(c"cmdline") {
            Some(file) => {
                IdLayout::from_command_line(&CommandLine::from_proc(file.read(&mut room)?))
            }
            None => IdLayout::DEFAULT,
        };
        Ok(Self {
            id_layout,
            overcommit_memory: open(c"sys/vm/overcommit_memory"),
            hugetlb_shm_group: open(c"sys/vm/hugetlb_shm_group"),
            _proc: proc,
        })
    }

    /// How ids are made up.
    pub(crate) fn id_layout(&self) -> IdLayout {
        self.id_layout
    }

    /// Whether memory may not be promised that there is not: then SHM_NORESERVE has no say.
    pub(crate) fn overcommit_never(&self) -> bool {
        let mode = self.overcommit_memory.as_ref().map(ProcFile::number);
        !matches!(mode, Some(Ok(mode)) if mode != OVERCOMMIT_NEVER)
    }

    /// The group that may have huge pages (`vm.hugetlb_shm_group`).
    pub(crate) fn hugetlb_shm_group(&self) -> Option<Gid> {
        let group = self.hugetlb_shm_group.as_ref()?.number();
        group.ok().map(Gid)
    }
}
