// SPDX-License-Identifier: MIT OR Apache-2.0

//! The device: what there is before there is a segment.

use crate::{segment::Info, sys, Call, Error, Key, Result, Segment, Target};
use rust_shm_abi as abi;
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

/// The open device.
///
/// It only carries the calls, which act for whoever makes them, in their IPC namespace: it holds
/// no segment and no attach. A clone is the same descriptor.
#[derive(Clone, Debug)]
pub struct Device(Arc<Open>);

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
}

/// What revision of the interface the module speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// The revision: this crate knows [`abi::ABI_VERSION`].
    pub revision: u32,
    /// A bit for each optional ability.
    pub features: u64,
}

/// Limits of an IPC namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest segment, in bytes.
    pub shmmax: u64,
    /// Smallest segment, in bytes.
    pub shmmin: u64,
    /// How many segments there may be.
    pub shmmni: u64,
    /// How much all segments together may take, in pages.
    pub shmall: u64,
}

/// What an IPC namespace uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// How many segments there are.
    pub segments: u32,
    /// The highest index in use: see [`Device::info_at`].
    pub highest_index: i32,
    /// Size of all segments, in pages.
    pub pages: u64,
    /// How much of it is in memory, in pages.
    pub resident_pages: u64,
    /// How much of it is swapped out, in pages.
    pub swapped_pages: u64,
}

impl Device {
    /// Opens `/dev/rust_shm`.
    ///
    /// # Errors
    ///
    /// `ENOENT` or `ENXIO` if the module is not loaded, `EACCES` if the device's mode does not let this user,
    /// `ENOTTY` as [`open_path`](Device::open_path). [`Error::hint`] says what to do.
    pub fn open() -> Result<Self> {
        Self::open_path(abi::DEVICE)
    }

    /// Opens the device where udev was told to put it.
    ///
    /// # Errors
    ///
    /// As [`open`](Device::open). `ENOTTY` for a file that is not the module's device, or is the
    /// device of a module that is older than this crate.
    pub fn open_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        match Self::open_file(&path) {
            Ok(file) => Ok(Self(Arc::new(Open { file, path }))),
            Err(error) => Err(Error::new(Call::Open, Target::Path(path), &error)),
        }
    }

    /// What is called for the device later believes what it answers: so this sees to it that it
    /// is the module's.
    fn open_file(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path)?;
        let speaks_our_language =
            || sys::version(file.as_fd()).is_ok_and(|version| version.speaks_ours());
        if file.metadata()?.file_type().is_char_device() && speaks_our_language() {
            Ok(file)
        } else {
            Err(io::Error::from_raw_os_error(libc::ENOTTY))
        }
    }

    /// Begins a new segment of `size` bytes.
    pub fn segment(&self, size: u64) -> Builder<'_> {
        Builder {
            device: self,
            key: Key::PRIVATE,
            size,
            mode: 0o600,
            flags: abi::IPC_CREAT,
        }
    }

    /// Finds the segment that has the key.
    ///
    /// # Errors
    ///
    /// `ENOENT` if no segment of this IPC namespace has the key, or it is [`Key::PRIVATE`]; `EACCES` if its mode does
    /// not let this user find it.
    pub fn find(&self, key: Key) -> Result<Segment> {
        if key.is_private() {
            // The kernel would make a new one, or complain of its size.
            return Err(Error::refused(Call::Find, Target::Key(key), libc::ENOENT));
        }
        self.get(Call::Find, key, 0, 0)
    }

    /// Makes a segment as it was: see `struct rust_shm_restore` in the header. With
    /// [`abi::RESTORE_OPEN`] it is the caller's, for its contents to be written, until this is called
    /// again with [`abi::RESTORE_CLOSE`] and the id. [`Info::as_restore`] is what to save.
    ///
    /// Takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN over the IPC namespace.
    ///
    /// # Errors
    ///
    /// Those of the header: `EPERM`, `EEXIST` where its key or the index of its id is taken, `EINVAL`, `ENOSPC`, `ENOMEM`.
    pub fn restore(&self, segment: &abi::Restore) -> Result<Segment> {
        let target = match segment.id {
            -1 => Target::Key(Key::new(segment.key)),
            id => Target::Id(id),
        };
        sys::restore(self.as_fd(), segment)
            .map(|id| self.segment_by_id(id))
            .map_err(|error| Error::new(Call::Restore, target, &error))
    }

    /// The segment with an id that is known. Whether there is one will turn out when it is used.
    #[must_use]
    pub fn segment_by_id(&self, id: i32) -> Segment {
        Segment::new(self.clone(), id)
    }

    fn get(&self, call: Call, key: Key, size: u64, flags: u32) -> Result<Segment> {
        let request = abi::Get {
            key: key.number(),
            flags,
            size,
        };
        sys::get(self.as_fd(), &request)
            .map(|id| self.segment_by_id(id))
            .map_err(|error| Error::new(call, Target::Key(key), &error))
    }

    /// All segments of the IPC namespace, by index, also those that one may not read.
    ///
    /// Segments come and go while they are looked at, one after the other.
    ///
    /// # Errors
    ///
    /// Only where the device is not the module's any more.
    pub fn list(&self) -> Result<Vec<Info>> {
        let highest = self.usage()?.highest_index;
        let mut all = Vec::new();
        for index in 0..=highest {
            all.extend(self.info_at(index)?);
        }
        Ok(all)
    }

    /// As [`list`](Device::list), but only the segments that are `wanted`, with [`Info::huge`]. The
    /// module looks at every folio that these have in memory, and at none of the others'.
    ///
    /// # Errors
    ///
    /// As [`list`](Device::list).
    pub fn list_with_huge(&self, wanted: impl Fn(&Info) -> bool) -> Result<Vec<Info>> {
        let highest = self.usage()?.highest_index;
        let mut all = Vec::new();
        for index in 0..=highest {
            if self.info_at(index)?.is_some_and(|info| wanted(&info)) {
                // Another segment may be there by now.
                all.extend(self.info_with(index, abi::CTL_HUGE)?.filter(&wanted));
            }
        }
        Ok(all)
    }

    /// The segment at an index of the table, or `None`. Any user may ask.
    ///
    /// # Errors
    ///
    /// As [`list`](Device::list). An index without a segment is no error.
    pub fn info_at(&self, index: i32) -> Result<Option<Info>> {
        self.info_with(index, 0)
    }

    fn info_with(&self, index: i32, flags: u32) -> Result<Option<Info>> {
        match sys::stat(self.as_fd(), index, abi::STAT_ANY, flags) {
            Ok((id, stat)) => Ok(Some(Info::new(id, stat, flags))),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIDRM)) => {
                Ok(None)
            }
            Err(error) => Err(Error::new(Call::Stat, Target::Namespace, &error)),
        }
    }

    /// Limits of the IPC namespace.
    ///
    /// # Errors
    ///
    /// As [`list`](Device::list).
    pub fn limits(&self) -> Result<Limits> {
        let limits = sys::limits(self.as_fd())
            .map_err(|error| Error::new(Call::Limits, Target::Namespace, &error))?;
        Ok(Limits {
            shmmax: limits.shmmax,
            shmmin: limits.shmmin,
            shmmni: limits.shmmni,
            shmall: limits.shmall,
        })
    }

    /// What the IPC namespace uses now.
    ///
    /// # Errors
    ///
    /// As [`list`](Device::list).
    pub fn usage(&self) -> Result<Usage> {
        let (highest_index, usage) = sys::usage(self.as_fd())
            .map_err(|error| Error::new(Call::Usage, Target::Namespace, &error))?;
        Ok(Usage {
            segments: usage.used_ids,
            highest_index,
            pages: usage.shm_tot,
            resident_pages: usage.shm_rss,
            swapped_pages: usage.shm_swp,
        })
    }

    /// Whether `shmget(2)`, `shmat(2)`, `shmdt(2)` and `shmctl(2)` of all processes in the IPC namespace
    /// are the module's.
    ///
    /// # Errors
    ///
    /// `ENOTTY` from a module that is older than this.
    pub fn serves_system_calls(&self) -> Result<bool> {
        self.serve(abi::SERVE_ASK)
    }

    /// Makes these system calls the module's (`true`), or the kernel's (`false`).
    ///
    /// `EPERM` without `CAP_SYS_ADMIN` over the IPC namespace; `EBUSY` while whoever has had them has
    /// segments; `EOPNOTSUPP` where the module cannot do that.
    ///
    /// # Errors
    ///
    /// See above.
    pub fn serve_system_calls(&self, on: bool) -> Result<()> {
        let op = if on { abi::SERVE_ON } else { abi::SERVE_OFF };
        self.serve(op).map(drop)
    }

    fn serve(&self, op: u32) -> Result<bool> {
        sys::serve(self.as_fd(), op).map_err(|error| {
            let call = match op {
                abi::SERVE_ON => Call::Serve,
                abi::SERVE_OFF => Call::EndServing,
                _ => Call::Serves,
            };
            Error::new(call, Target::Namespace, &error)
        })
    }

    /// Which revision of the interface the module speaks.
    ///
    /// # Errors
    ///
    /// As [`list`](Device::list).
    pub fn abilities(&self) -> Result<Abilities> {
        let version = sys::version(self.as_fd()).map_err(|error| {
            Error::new(Call::Version, Target::Path(self.0.path.clone()), &error)
        })?;
        Ok(Abilities {
            revision: version.abi,
            features: version.features,
        })
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

/// A segment that is about to be made: see [`Device::segment`].
///
/// ```no_run
/// # use rshm::{Device, Key};
/// let device = Device::open()?;
/// let segment = device
///     .segment(64 << 20)
///     .key(Key::from_path("/etc/hostname", b'R')?)
///     .mode(0o660)
///     .exclusive(true)
///     .create()?;
/// println!("segment {}", segment.id());
/// # Ok::<(), rshm::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is made before create()"]
pub struct Builder<'device> {
    device: &'device Device,
    key: Key,
    size: u64,
    mode: u32,
    flags: u32,
}

impl Builder<'_> {
    fn flag(mut self, flag: u32, on: bool) -> Self {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
        self
    }

    /// The key that others find it by. Without, it is private.
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Its nine permission bits, as of a file. Without, `0o600`. Further bits are ignored.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// Of huge pages of 2 MiB, all allocated by [`create`](Builder::create). They are never swapped out.
    pub fn huge(self, on: bool) -> Self {
        self.flag(abi::HUGETLB, on)
    }

    /// `EEXIST` if a segment has the key, instead of returning that.
    pub fn exclusive(self, on: bool) -> Self {
        self.flag(abi::IPC_EXCL, on)
    }

    /// Commit memory (and allocate huge pages) when it is touched, not now.
    pub fn no_reserve(self, on: bool) -> Self {
        self.flag(abi::NORESERVE, on)
    }

    /// Makes it, or finds the one that has the key.
    ///
    /// # Errors
    ///
    /// `EEXIST` if [`exclusive`](Builder::exclusive) and a segment has the key. `EINVAL` if the size is 0 or above
    /// `shmmax`, or the segment that has the key is smaller. `EACCES` if that one's mode does not let this user find it.
    /// `ENOSPC` above `shmmni` or `shmall`. `ENOMEM` where memory cannot be committed, or there are no huge pages. `EPERM`
    /// for huge pages without the right to them.
    pub fn create(&self) -> Result<Segment> {
        self.device
            .get(Call::Create, self.key, self.size, self.flags | self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_file_is_taken_for_the_device() {
        // A device that does not know the call, and a file that is no device.
        for path in ["/dev/null", "/proc/self/comm"] {
            let error = Device::open_path(path).unwrap_err();
            assert_eq!(error.errno_name(), Some("ENOTTY"), "{error}");
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("cannot open {path}: ")),
                "{error}"
            );
        }
    }
}
