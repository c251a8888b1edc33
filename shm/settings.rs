// SPDX-License-Identifier: GPL-2.0

//! What the administrator has set for the whole machine, beside the sysctls of a namespace.
//!
//! There is one [`Settings`], made when the module is loaded. Sysctls are read when they are asked
//! about, from `/proc`; only rare calls ask.

use super::{
    id::Numbering,
    permission::Gid,
    sys::proc::{
        Proc,
        ProcFile, //
    }, //
};
use kernel::prelude::*;

/// Longer than any command line of the kernel.
const COMMAND_LINE_BYTES: usize = 4096;

/// `OVERCOMMIT_NEVER` of `vm.overcommit_memory`.
const OVERCOMMIT_NEVER: u32 = 2;

/// The settings.
pub(crate) struct Settings {
    numbering: Numbering,
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
        let numbering = match open(c"cmdline") {
            Some(file) if says_extend(file.read(&mut room)?) => Numbering::EXTENDED,
            _ => Numbering::USUAL,
        };
        Ok(Self {
            numbering,
            overcommit_memory: open(c"sys/vm/overcommit_memory"),
            hugetlb_shm_group: open(c"sys/vm/hugetlb_shm_group"),
            _proc: proc,
        })
    }

    /// How ids are made up.
    pub(crate) fn numbering(&self) -> Numbering {
        self.numbering
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

/// Whether a command line has the parameter `ipcmni_extend`, which is for the kernel if it stands
/// before `--`.
fn says_extend(command_line: &[u8]) -> bool {
    command_line
        .split(u8::is_ascii_whitespace)
        .take_while(|word| *word != b"--")
        .any(|word| word == b"ipcmni_extend" || word.starts_with(b"ipcmni_extend="))
}
