// SPDX-License-Identifier: MIT OR Apache-2.0

//! Segments, what is known of them, and attaches.

use crate::{
    sys::{
        self,
        memory::{Access, ReadOnly, ReadWrite},
    },
    Call, Device, Error, Key, Memory, Result, Target,
};
use rust_shm_abi as abi;
use std::{
    fmt,
    ops::Deref,
    os::fd::AsFd,
    time::{Duration, SystemTime},
};

/// A segment, by its id. Dropping this does not remove it: [`remove`](Segment::remove) does.
#[derive(Clone, Debug)]
pub struct Segment {
    device: Device,
    id: i32,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    id: i32,
    raw: abi::Stat,
    has_huge: bool,
}

/// What [`Segment::set`] sets: all that `IPC_SET` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Who sets it names all.
pub struct Ownership {
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Nine permission bits.
    pub mode: u32,
}

impl Segment {
    pub(crate) fn new(device: Device, id: i32) -> Self {
        Self { device, id }
    }

    /// Its id: what other processes of the IPC namespace may attach it by.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The device by which it was found.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn error(&self, call: Call) -> impl FnOnce(std::io::Error) -> Error {
        let id = self.id;
        move |error| Error::new(call, Target::Id(id), &error)
    }

    /// Maps it for reading and writing, where the kernel likes.
    ///
    /// # Errors
    ///
    /// `EACCES` if its mode does not let this user write.
    /// `EINVAL` or `EIDRM` if there is no such segment (any more).
    /// `ENOMEM` if no address space is left.
    pub fn attach(&self) -> Result<Attachment<ReadWrite>> {
        self.attach_as()
    }

    /// Maps it for reading only, where the kernel likes.
    ///
    /// # Errors
    ///
    /// As [`attach`](Segment::attach); `EACCES` if its mode does not let this user read.
    pub fn attach_read_only(&self) -> Result<Attachment<ReadOnly>> {
        self.attach_as()
    }

    fn attach_as<A: Access>(&self) -> Result<Attachment<A>> {
        let memory = sys::attach(self.device.as_fd(), self.id).map_err(self.error(Call::Attach))?;
        Ok(Attachment {
            memory,
            segment: self.clone(),
        })
    }

    /// What is known of it. Needs read permission; [`Device::list`] does not.
    ///
    /// # Errors
    ///
    /// `EACCES` if its mode does not let this user read.
    /// `EINVAL` or `EIDRM` if there is no such segment (any more).
    pub fn stat(&self) -> Result<Info> {
        self.stat_with(0)
    }

    /// As [`stat`](Segment::stat), with [`Info::huge`]. The module looks at every folio that the
    /// segment has in memory: this takes longer, the larger it is.
    ///
    /// # Errors
    ///
    /// As [`stat`](Segment::stat).
    pub fn stat_with_huge(&self) -> Result<Info> {
        self.stat_with(abi::CTL_HUGE)
    }

    fn stat_with(&self, flags: u32) -> Result<Info> {
        sys::stat(self.device.as_fd(), self.id, abi::IPC_STAT, flags)
            .map(|(_, stat)| Info::new(self.id, stat, flags))
            .map_err(self.error(Call::Stat))
    }

    /// Sets owner, group and mode.
    ///
    /// # Errors
    ///
    /// `EPERM` for all but its owner, its creator and root.
    /// `EINVAL` or `EIDRM` if there is no such segment (any more).
    pub fn set(&self, to: Ownership) -> Result<()> {
        sys::set(
            self.device.as_fd(),
            self.id,
            to.uid,
            to.gid,
            to.mode & 0o777,
        )
        .map_err(self.error(Call::Set))
    }

    /// Removes it: its key is free at once, and the segment goes with its last detach.
    ///
    /// # Errors
    ///
    /// As [`set`](Segment::set).
    pub fn remove(&self) -> Result<()> {
        sys::control(self.device.as_fd(), self.id, abi::IPC_RMID).map_err(self.error(Call::Remove))
    }

    /// Keeps its pages in memory: those that are there, and those that are touched later. Counts as
    /// locked memory of this user.
    ///
    /// # Errors
    ///
    /// `EPERM` for all but its owner, its creator and root, and if nothing may be locked. `ENOMEM` if that is more than
    /// may be locked.
    /// `EINVAL` or `EIDRM` if there is no such segment (any more).
    pub fn lock(&self) -> Result<()> {
        sys::control(self.device.as_fd(), self.id, abi::LOCK).map_err(self.error(Call::Lock))
    }

    /// Undoes [`lock`](Segment::lock): its pages may be swapped out again.
    ///
    /// # Errors
    ///
    /// As [`lock`](Segment::lock).
    pub fn unlock(&self) -> Result<()> {
        sys::control(self.device.as_fd(), self.id, abi::UNLOCK).map_err(self.error(Call::Unlock))
    }
}

impl Info {
    /// What a call with these flags has filled.
    pub(crate) fn new(id: i32, raw: abi::Stat, flags: u32) -> Self {
        Self {
            id,
            raw,
            has_huge: flags & abi::CTL_HUGE != 0,
        }
    }

    /// A segment of another source, as `/proc/sysvipc/shm`. What is in huge pages is not known.
    #[must_use]
    pub fn from_raw(id: i32, raw: abi::Stat) -> Self {
        Self::new(id, raw, 0)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The structure as the module fills it.
    #[must_use]
    pub fn raw(&self) -> &abi::Stat {
        &self.raw
    }

    /// What [`Device::restore`] makes it of, all but its contents and NUMA policies.
    #[must_use]
    pub fn as_restore(&self) -> abi::Restore {
        let raw = &self.raw;
        abi::Restore {
            id: self.id,
            key: raw.key,
            size: raw.segsz,
            flags: raw.flags,
            mode: raw.mode,
            uid: raw.uid,
            gid: raw.gid,
            cuid: raw.cuid,
            cgid: raw.cgid,
            cpid: raw.cpid,
            lpid: raw.lpid,
            atime: raw.atime,
            dtime: raw.dtime,
            ctime: raw.ctime,
        }
    }

    /// Its key; [`Key::PRIVATE`] once removed.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(self.raw.key)
    }

    /// Owner, group and permission bits.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        Ownership {
            uid: self.raw.uid,
            gid: self.raw.gid,
            mode: self.raw.mode & 0o777,
        }
    }

    /// Who made it: user and group id.
    #[must_use]
    pub fn creator(&self) -> (u32, u32) {
        (self.raw.cuid, self.raw.cgid)
    }

    /// The process that made it; `None` if this process's pid namespace does not know it.
    #[must_use]
    pub fn creator_pid(&self) -> Option<u32> {
        u32::try_from(self.raw.cpid).ok().filter(|&pid| pid > 0)
    }

    /// The process that attached or detached last, likewise.
    #[must_use]
    pub fn last_pid(&self) -> Option<u32> {
        u32::try_from(self.raw.lpid).ok().filter(|&pid| pid > 0)
    }

    /// Its size in bytes, as asked for.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.raw.segsz
    }

    /// How much memory holds its pages now, in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.raw.rss
    }

    /// How much of that is in folios of 2 MiB, in bytes; `None` unless this is from
    /// [`Segment::stat_with_huge`] or [`Device::list_with_huge`].
    #[must_use]
    pub fn huge(&self) -> Option<u64> {
        self.has_huge.then_some(self.raw.huge)
    }

    /// How much of it is swapped out, in bytes.
    #[must_use]
    pub fn swap(&self) -> u64 {
        self.raw.swap
    }

    /// How many attaches there are.
    #[must_use]
    pub fn attaches(&self) -> u64 {
        self.raw.nattch
    }

    /// Whether it is removed, and goes with its last detach.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.raw.mode & abi::MODE_DEST != 0
    }

    /// Whether it is [locked](Segment::lock).
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw.mode & abi::MODE_LOCKED != 0
    }

    /// Whether it was made of huge pages ([`Builder::huge`](crate::Builder::huge)).
    #[must_use]
    pub fn is_hugetlb(&self) -> bool {
        self.raw.flags & abi::HUGETLB != 0
    }

    /// Whether it was made to commit memory when it is touched
    /// ([`Builder::no_reserve`](crate::Builder::no_reserve)).
    #[must_use]
    pub fn is_no_reserve(&self) -> bool {
        self.raw.flags & abi::NORESERVE != 0
    }

    /// When it was attached last.
    #[must_use]
    pub fn attached(&self) -> Option<SystemTime> {
        time(self.raw.atime)
    }

    /// When it was detached last.
    #[must_use]
    pub fn detached(&self) -> Option<SystemTime> {
        time(self.raw.dtime)
    }

    /// When it was made, or [`set`](Segment::set) last.
    #[must_use]
    pub fn changed(&self) -> Option<SystemTime> {
        time(self.raw.ctime)
    }
}

/// 0 is never.
fn time(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// A segment in the memory of this process; detached when dropped.
///
/// What can be done with the memory is described at [`Memory`].
pub struct Attachment<A: Access = ReadWrite> {
    memory: Memory<A>,
    segment: Segment,
}

impl<A: Access> Attachment<A> {
    /// The segment.
    #[must_use]
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Detaches it, as dropping it does, and says whether that worked. Where it did not, it is
    /// tried once more.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not mapped any more. `ENOMEM` if the kernel has no memory for it. `EBUSY` if the guard of a
    /// [`Mutex`](crate::sync::Mutex) in it was forgotten.
    pub fn detach(mut self) -> Result<()> {
        let id = self.segment.id;
        self.detach_once()
            .map_err(|error| Error::new(Call::Detach, Target::Id(id), &error))
    }

    fn detach_once(&mut self) -> std::io::Result<()> {
        sys::detach(self.segment.device.as_fd(), &mut self.memory)
    }
}

impl<A: Access> Drop for Attachment<A> {
    fn drop(&mut self) {
        // It fails where somebody has unmapped the memory: then there is nothing to do. And where
        // the kernel has no memory for it: then this stays attached until the process ends.
        let _ = self.detach_once();
    }
}

impl<A: Access> Deref for Attachment<A> {
    type Target = Memory<A>;

    fn deref(&self) -> &Memory<A> {
        &self.memory
    }
}

impl<A: Access> fmt::Debug for Attachment<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("id", &self.segment.id)
            .field("memory", &self.memory)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_is_known_only_where_it_was_asked_for() {
        let raw = abi::Stat {
            huge: 2 << 20,
            swap: 4096,
            ..abi::Stat::default()
        };
        let info = Info::new(1, raw, abi::CTL_HUGE);
        assert_eq!((info.huge(), info.swap()), (Some(2 << 20), 4096));
        assert_eq!(Info::new(1, raw, 0).huge(), None);
    }
}
