// SPDX-License-Identifier: MIT OR Apache-2.0

//! A segment as a descriptor, which can be handed to anybody.

use crate::{
    sys::{
        descriptor as sys,
        memory::{Access, ReadOnly, ReadWrite},
    },
    Call, Error, Memory, Result, Segment, Target,
};
use rust_shm_abi as abi;
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fs::{fcntl_getfl, fstat, fstatfs, OFlags},
    io::Errno,
    param::page_size,
};
use std::{
    fmt, io,
    marker::PhantomData,
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// A descriptor of a segment.
///
/// Who has it needs no key, no id, no permission, and not the segment's IPC namespace: send it over
/// a Unix socket (`SCM_RIGHTS`), or let a child inherit it. It keeps the segment, as an attach does,
/// until it is closed.
///
/// ```no_run
/// # use rshm::{Descriptor, Device, ReadOnly, Segment};
/// # fn send(_: &Descriptor<ReadOnly>) {}
/// # fn receive() -> std::os::fd::OwnedFd { unimplemented!() }
/// // One process:
/// let segment = Device::open()?.segment(1 << 20).create()?;
/// let memory = segment.attach()?;
/// let descriptor = segment.into_fd_read_only()?;
/// send(&descriptor);
/// // The other:
/// let memory = Segment::from_fd_read_only(receive())?.map()?;
/// println!("{}", memory.read_at::<u64>(0)?);
/// # Ok::<(), rshm::Error>(())
/// ```
pub struct Descriptor<A: Access = ReadWrite> {
    fd: OwnedFd,
    access: PhantomData<A>,
}

/// What a [`Descriptor`] tells of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Somebody has it attached.
    pub attached: bool,
    /// It is removed.
    pub removed: bool,
}

impl Segment {
    /// A descriptor of it, for reading and writing, which `exec` closes. Needs the permissions that
    /// [`attach`](Segment::attach) needs. The segment stays, as when this is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`attach`](Segment::attach) for permission and a segment that is gone; `EMFILE`, `ENFILE`.
    pub fn into_fd(self) -> Result<Descriptor<ReadWrite>> {
        self.descriptor()
    }

    /// The same, for reading only: whoever gets it cannot write to the segment by any way.
    ///
    /// # Errors
    ///
    /// As [`into_fd`](Segment::into_fd).
    pub fn into_fd_read_only(self) -> Result<Descriptor<ReadOnly>> {
        self.descriptor()
    }

    fn descriptor<A: Access>(&self) -> Result<Descriptor<A>> {
        let fd = sys::open(self.device().as_fd(), self.id(), A::WRITES)
            .map_err(|error| Error::new(Call::Descriptor, Target::Id(self.id()), &error))?;
        Ok(Descriptor {
            fd,
            access: PhantomData,
        })
    }

    /// What somebody else has made by [`into_fd`](Segment::into_fd). `ENOTTY` for a descriptor of
    /// something else, `EACCES` for one that is for reading only.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn from_fd(fd: OwnedFd) -> Result<Descriptor<ReadWrite>> {
        Descriptor::new(fd)
    }

    /// The same; one for writing is welcome, too.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for a descriptor of something else.
    pub fn from_fd_read_only(fd: OwnedFd) -> Result<Descriptor<ReadOnly>> {
        Descriptor::new(fd)
    }
}

impl<A: Access> Descriptor<A> {
    fn new(fd: OwnedFd) -> Result<Self> {
        let failed = Self::error_of(Call::Descriptor, fd.as_raw_fd());
        let is_ours = fstatfs(&fd).map(|of| of.f_type as u32 == abi::FD_MAGIC);
        let writes = fcntl_getfl(&fd).map(|flags| flags & OFlags::RWMODE == OFlags::RDWR);
        match (is_ours, writes) {
            (Ok(true), Ok(writes)) if writes || !A::WRITES => Ok(Self {
                fd,
                access: PhantomData,
            }),
            (Ok(true), Ok(_)) => Err(failed(Errno::ACCESS)),
            (Err(errno), _) | (_, Err(errno)) => Err(failed(errno)),
            _ => Err(failed(Errno::NOTTY)),
        }
    }

    fn error_of(call: Call, fd: i32) -> impl Fn(Errno) -> Error {
        move |errno| Error::refused(call, Target::Descriptor(fd), errno.raw_os_error())
    }

    fn error(&self, call: Call) -> impl Fn(Errno) -> Error {
        Self::error_of(call, self.fd.as_raw_fd())
    }

    fn io_error(&self, call: Call) -> impl FnOnce(io::Error) -> Error {
        let fd = self.fd.as_raw_fd();
        move |error| Error::new(call, Target::Descriptor(fd), &error)
    }

    /// The segment's id, which means something in its own IPC namespace.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn id(&self) -> Result<i32> {
        let stat = fstat(&self.fd).map_err(self.error(Call::Stat))?;
        Ok(stat.st_ino as i32)
    }

    /// The segment's size in bytes.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn size(&self) -> Result<u64> {
        let stat = fstat(&self.fd).map_err(self.error(Call::Stat))?;
        Ok(stat.st_size as u64)
    }

    /// Maps it, which is an attach like any other.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where there is no room for it; `EPERM` if it is sealed against writing and this is for writing.
    pub fn map(&self) -> Result<Mapping<A>> {
        let size = usize::try_from(self.size()?)
            .ok()
            .and_then(|size| size.checked_next_multiple_of(page_size()))
            .ok_or(Errno::NOMEM)
            .map_err(self.error(Call::Attach))?;
        let memory = sys::map(self.fd.as_fd(), size).map_err(self.io_error(Call::Attach))?;
        Ok(Mapping(memory))
    }

    /// The segment's seals: `libc::F_SEAL_*`. It always has those of the size.
    ///
    /// # Errors
    ///
    /// None that a descriptor of a segment has.
    pub fn seals(&self) -> Result<u32> {
        sys::seals(self.fd.as_fd()).map_err(self.io_error(Call::Seal))
    }

    /// Whether it is attached, and whether it is removed.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`: no memory.
    pub fn state(&self) -> Result<State> {
        let found = self.poll(PollFlags::IN | PollFlags::PRI, Some(Duration::ZERO))?;
        Ok(State {
            attached: found.contains(PollFlags::IN),
            removed: found.contains(PollFlags::HUP),
        })
    }

    /// Waits until somebody has the segment attached, or nobody has. `false` when the time is over,
    /// or the segment is removed, before that.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`: no memory.
    pub fn wait_until(&self, attached: bool, timeout: Option<Duration>) -> Result<bool> {
        let wanted = if attached {
            PollFlags::IN
        } else {
            PollFlags::PRI
        };
        Ok(self.poll(wanted, timeout)?.contains(wanted))
    }

    /// Waits until the segment is removed. `false` when the time is over before that.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`: no memory.
    pub fn wait_until_removed(&self, timeout: Option<Duration>) -> Result<bool> {
        Ok(self
            .poll(PollFlags::empty(), timeout)?
            .contains(PollFlags::HUP))
    }

    fn poll(&self, wanted: PollFlags, timeout: Option<Duration>) -> Result<PollFlags> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(&self.fd, wanted)];
            match poll(&mut fds, left.as_ref()) {
                Ok(_) => return Ok(fds[0].revents()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.error(Call::Stat)(errno)),
            }
        }
    }
}

impl Descriptor<ReadWrite> {
    /// Adds seals, `libc::F_SEAL_*`. After `F_SEAL_WRITE` nobody can write to the segment any more;
    /// `EBUSY` while somebody has it attached for writing.
    ///
    /// # Errors
    ///
    /// `EBUSY` as above; `EPERM` if `F_SEAL_SEAL` is set; `EINVAL` for what is no seal.
    pub fn add_seals(&self, seals: u32) -> Result<()> {
        sys::add_seals(self.fd.as_fd(), seals).map_err(self.io_error(Call::Seal))
    }
}

impl<A: Access> AsFd for Descriptor<A> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<A: Access> From<Descriptor<A>> for OwnedFd {
    fn from(descriptor: Descriptor<A>) -> Self {
        descriptor.fd
    }
}

impl<A: Access> fmt::Debug for Descriptor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptor({})", self.fd.as_raw_fd())
    }
}

/// A segment that is mapped by a [`Descriptor`]; unmapped when dropped.
///
/// What can be done with the memory is described at [`Memory`].
pub struct Mapping<A: Access = ReadWrite>(Memory<A>);

impl<A: Access> Drop for Mapping<A> {
    fn drop(&mut self) {
        sys::unmap(&mut self.0);
    }
}

impl<A: Access> Deref for Mapping<A> {
    type Target = Memory<A>;

    fn deref(&self) -> &Memory<A> {
        &self.0
    }
}

impl<A: Access> fmt::Debug for Mapping<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn no_other_file_is_taken_for_a_segment() {
        for path in ["/dev/null", "/proc/self/comm", "/dev/zero"] {
            let fd = File::options().read(true).write(true).open(path).unwrap();
            let error = Segment::from_fd(fd.into()).unwrap_err();
            assert_eq!(error.errno_name(), Some("ENOTTY"), "{error}");
        }
    }
}
