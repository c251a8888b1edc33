// SPDX-License-Identifier: MIT OR Apache-2.0

//! What failed, of what, why, and what to do about it.

use crate::{ring::RingError, Key};
use std::{fmt, io, path::PathBuf};

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `open(2)` of the device.
    Open,
    /// `ftok(3)`.
    Ftok,
    /// Asking for the module's revision.
    Version,
    /// Making a segment.
    Create,
    /// Finding a segment by key.
    Find,
    /// Attaching.
    Attach,
    /// Detaching.
    Detach,
    /// Asking about a segment.
    Stat,
    /// Changing owner, group or mode.
    Set,
    /// Removing.
    Remove,
    /// Locking in memory.
    Lock,
    /// Unlocking.
    Unlock,
    /// Asking for the limits.
    Limits,
    /// Asking for what is in use.
    Usage,
    /// Bringing pages in.
    Populate,
    /// `mmap(2)` of memory without a segment.
    Map,
    /// Making a descriptor of a segment, or taking one for it.
    Descriptor,
    /// Sealing.
    Seal,
    /// Making a segment as it was.
    Restore,
    /// `madvise(2)`.
    Advise,
    /// Asking for a NUMA policy, or setting one.
    Policy,
    /// Asking whether the system calls are served.
    Serves,
    /// Serving them.
    Serve,
    /// Serving them no longer.
    EndServing,
}

impl Call {
    const fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ftok => "make a key of",
            Self::Version => "ask for the revision of",
            Self::Create => "create",
            Self::Find => "find",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Stat => "ask about",
            Self::Set => "change",
            Self::Remove => "remove",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Limits => "ask for the limits of",
            Self::Usage => "ask for the usage of",
            Self::Populate => "populate",
            Self::Map => "map",
            Self::Descriptor => "use a descriptor of",
            Self::Seal => "seal",
            Self::Restore => "restore",
            Self::Advise => "advise the kernel of",
            Self::Policy => "ask for or set the NUMA policy of",
            Self::Serves => "ask for the system calls of",
            Self::Serve => "serve the system calls of",
            Self::EndServing => "stop serving the system calls of",
        }
    }
}

/// What it was called for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A segment by its id.
    Id(i32),
    /// A segment by its key.
    Key(Key),
    /// A file.
    Path(PathBuf),
    /// The IPC namespace of this process.
    Namespace,
    /// Memory that is mapped here.
    Memory,
    /// What a descriptor is of.
    Descriptor(i32),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "segment {id}"),
            Self::Key(key) if key.is_private() => f.write_str("a private segment"),
            Self::Key(key) => write!(f, "the segment with key {key}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Namespace => f.write_str("this IPC namespace"),
            Self::Memory => f.write_str("memory"),
            Self::Descriptor(fd) => write!(f, "descriptor {fd}"),
        }
    }
}

/// Why something did not work. Shown in one line; what to do about it is told by
/// [`hint`](Error::hint), or at once by [`with_hint`](Error::with_hint).
///
/// ```
/// use rshm::Device;
///
/// let error = Device::open_path("/nowhere/rust_shm").unwrap_err();
/// assert_eq!(error.errno_name(), Some("ENOENT"));
/// assert_eq!(
///     error.to_string(),
///     "cannot open /nowhere/rust_shm: No such file or directory (ENOENT)"
/// );
/// assert!(error.hint().unwrap().starts_with("load the module"));
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel said no.
    #[error("cannot {} {target}: {}", call.verb(), Reason(*errno))]
    #[non_exhaustive]
    Refused {
        /// What was called.
        call: Call,
        /// For what.
        target: Target,
        /// The kernel's code, as in `libc`.
        errno: i32,
    },
    /// More was asked for than is mapped.
    #[error("{size} bytes at offset {offset} are not within the {length} bytes that are mapped")]
    #[non_exhaustive]
    OutOfRange {
        /// Where, in bytes from the start.
        offset: usize,
        /// How much, in bytes.
        size: usize,
        /// How much there is.
        length: usize,
    },
    /// A reference was asked for to a place that its type may not be at.
    #[error("offset {offset} is no multiple of {align}")]
    #[non_exhaustive]
    Misaligned {
        /// Where, in bytes from the start.
        offset: usize,
        /// What the type asks for.
        align: usize,
    },
    /// Atomics of one width were asked for where this mapping has given out those of another.
    #[error("atomics of {width} bytes at offset {offset} would overlap those of {other_width} bytes at offset {other_offset}")]
    #[non_exhaustive]
    MixedWidths {
        /// Where they were asked for, in bytes from the start.
        offset: usize,
        /// How many bytes each would have.
        width: usize,
        /// Where one of the others is.
        other_offset: usize,
        /// How many bytes it has.
        other_width: usize,
    },
    /// A lock was taken whose owner has died: see [`OwnerDied`](crate::sync::OwnerDied).
    #[error("the owner of the lock has died, and what it guards may be half changed")]
    OwnerDied,
    /// Another thread has this end of the ring.
    #[error("another has this end of the ring, and lives")]
    EndTaken,
    /// There is another ring already.
    #[error("there is a ring of {other_capacity} items of {other_item} bytes, not of {capacity} of {item}")]
    #[non_exhaustive]
    OtherRing {
        /// Size of an item, in bytes.
        item: usize,
        /// How many it is to have room for.
        capacity: u32,
        /// Size of an item of the ring that is there, in bytes.
        other_item: usize,
        /// How many it has room for.
        other_capacity: u32,
    },
    /// There is no such ring.
    #[error("a ring cannot have {capacity} items of {item} bytes")]
    #[non_exhaustive]
    NoRing {
        /// Size of an item, in bytes.
        item: usize,
        /// How many it was to have room for.
        capacity: u32,
    },
    /// A ring has not done it.
    #[error(transparent)]
    Ring(#[from] RingError),
}

impl Error {
    pub(crate) fn new(call: Call, target: Target, error: &io::Error) -> Self {
        Self::refused(call, target, error.raw_os_error().unwrap_or(libc::EIO))
    }

    pub(crate) fn refused(call: Call, target: Target, errno: i32) -> Self {
        Self::Refused {
            call,
            target,
            errno,
        }
    }

    /// The kernel's code, if it was the kernel that said no; and `EOWNERDEAD`.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::OwnerDied => Some(libc::EOWNERDEAD),
            _ => None,
        }
    }

    /// Its name, as `EACCES`.
    #[must_use]
    pub fn errno_name(&self) -> Option<&'static str> {
        self.errno().and_then(name_of)
    }

    /// The error and the [`hint`](Error::hint), in one line.
    ///
    /// ```
    /// let error = rshm::Device::open_path("/nowhere").unwrap_err();
    /// assert_eq!(
    ///     error.with_hint().to_string(),
    ///     "cannot open /nowhere: No such file or directory (ENOENT): load the module (modprobe \
    ///      rust_shm, or insmod rust_shm.ko); rshm doctor says more"
    /// );
    /// ```
    #[must_use]
    pub fn with_hint(&self) -> impl fmt::Display + '_ {
        WithHint(self)
    }

    /// Whether there is no device of the module's, or one of a module that is too old.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                call: Call::Open,
                errno: libc::ENOENT
                    | libc::ENOTDIR
                    | libc::ELOOP
                    | libc::ENXIO
                    | libc::ENODEV
                    | libc::ENOTTY,
                ..
            }
        )
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let (call, errno, target) = match self {
            Self::Refused {
                call,
                errno,
                target,
            } => (call, errno, target),
            Self::OutOfRange { .. } => return Some("use a smaller offset, or a larger segment"),
            Self::Misaligned { .. } => return Some("choose an offset that is one"),
            Self::MixedWidths { .. } => return Some("use one width for a place"),
            Self::OwnerDied => return Some("put it right, and mark it consistent"),
            Self::EndTaken => {
                return Some("wait until he has left, or use a queue, which has room for many")
            }
            Self::OtherRing { .. } => return Some("say the same as those who have joined it"),
            Self::NoRing { .. } => {
                return Some("choose a power of two, and a type of 1 byte to 4 GiB")
            }
            Self::Ring(_) => return None,
        };
        let private = matches!(target, Target::Key(key) if key.is_private());
        Some(match (call, *errno) {
            (Call::Open, libc::ENOENT | libc::ENXIO | libc::ENODEV) => {
                "load the module (modprobe rust_shm, or insmod rust_shm.ko); rshm doctor says more"
            }
            (Call::Open, libc::EACCES | libc::EPERM) => {
                "the device's mode does not let you: be root, or see \"Who may use it\" in Documentation/install.md"
            }
            (Call::Descriptor, libc::ENOTTY) if matches!(target, Target::Descriptor(_)) => {
                "it is of no segment of rust_shm"
            }
            (Call::Descriptor, libc::EACCES) if matches!(target, Target::Descriptor(_)) => {
                "it is for reading only: use from_fd_read_only()"
            }
            (Call::Attach | Call::Descriptor, libc::EPERM) => "the segment is sealed: nobody can write to it any more",
            (Call::Seal, libc::EBUSY) => "somebody has it attached for writing: detach it first",
            (Call::Seal, libc::EPERM) => "it is sealed against further seals, or the descriptor is for reading only",
            (_, libc::ENOTTY) => "this is not the device, or the module is older than this program: load the newest",
            (Call::Ftok, libc::ENOENT) => "ftok needs a file that exists",
            (Call::Create, libc::EEXIST) => "find it by its key, or remove it, or choose another key",
            (Call::Create, libc::EINVAL) if private => "the size must be from 1 to shmmax: see rshm limits",
            (Call::Create, libc::EINVAL) => {
                "the size must be from 1 to shmmax (rshm limits), and not above that of a segment which has the key already"
            }
            (Call::Create, libc::ENOSPC) => {
                "shmmni segments exist, or shmall pages: remove some (rshm ls, rshm rm), or raise the limit (rshm limits)"
            }
            (Call::Create, libc::EPERM) => {
                "huge pages are for root (CAP_IPC_LOCK) and the group vm.hugetlb_shm_group"
            }
            (Call::Create, libc::ENOMEM) => {
                "there is not as much memory: ask for less, or with noreserve (and huge pages: without huge)"
            }
            (Call::Create, libc::EACCES) => "its mode does not let you: ask its owner (rshm ls)",
            (Call::Find, libc::ENOENT) => "create it first; each IPC namespace has its own segments",
            (Call::Attach | Call::Stat | Call::Descriptor, libc::EACCES) => "its mode does not let you: ask its owner for rshm chmod",
            (Call::Attach, libc::ENOMEM) => "no address space is left: detach something, or see ulimit -v",
            (
                Call::Attach
                | Call::Stat
                | Call::Set
                | Call::Remove
                | Call::Lock
                | Call::Unlock
                | Call::Descriptor,
                libc::EINVAL | libc::EIDRM,
            ) => "there is no such segment (any more) in this IPC namespace: rshm ls lists them",
            (Call::Set | Call::Remove, libc::EPERM) => "only its owner, its creator and root may: use sudo",
            (Call::Lock | Call::Unlock, libc::EPERM) => {
                "only its owner, its creator and root may, with a ulimit -l above 0"
            }
            (Call::Lock, libc::ENOMEM) => "it is larger than what you may lock: raise ulimit -l, or be root",
            (Call::Restore, libc::EPERM) => {
                "this takes root, or CAP_CHECKPOINT_RESTORE; huge pages are for root (CAP_IPC_LOCK) and the group vm.hugetlb_shm_group"
            }
            (Call::Restore, libc::EEXIST) => "a segment has its key, or the index of its id: remove that (rshm ls, rshm rm)",
            (Call::Restore, libc::EINVAL) => {
                "it is larger than shmmax (rshm limits), or a user or group of it is not known in this user namespace"
            }
            (Call::Restore, libc::ENOSPC) => {
                "shmmni segments exist, or shmall pages: remove some (rshm ls, rshm rm), or raise the limit (rshm limits)"
            }
            (Call::Restore, libc::ENOMEM) => {
                "there is not as much memory, or it is locked and larger than what you may lock (ulimit -l)"
            }
            (Call::Serve | Call::EndServing, libc::EPERM) => {
                "it takes root of the user namespace that owns it: use sudo, or unshare --user --map-current-user --keep-caps --ipc; where the module's parameter unprivileged_serve is 0, it takes sudo"
            }
            (Call::Serve, libc::EBUSY) => "the kernel's own has segments in it: ipcs -m lists them, ipcrm removes them",
            (Call::EndServing, libc::EBUSY) => "the module has segments in it: rshm ls lists them, rshm rm removes them",
            (Call::Serve, libc::EOPNOTSUPP) => {
                "the module cannot do that on this kernel, or not at present: see dmesg, and Documentation/system-calls.md"
            }
            (Call::Populate, libc::ENOMEM | libc::EFAULT) => "there is not as much memory",
            _ => return None,
        })
    }
}

/// The text of a code, and its name.
struct Reason(i32);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from_raw_os_error(self.0).to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        match name_of(self.0) {
            Some(name) => write!(f, "{text} ({name})"),
            None => write!(f, "{text} (errno {})", self.0),
        }
    }
}

struct WithHint<'error>(&'error Error);

impl fmt::Display for WithHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        self.0.hint().map_or(Ok(()), |hint| write!(f, ": {hint}"))
    }
}

/// For functions that return [`io::Result`]: of the kind that the code has, and with the same text.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Ring(RingError::Empty | RingError::Full) => io::ErrorKind::WouldBlock,
            Error::Ring(RingError::Closed | RingError::PeerDied) => io::ErrorKind::BrokenPipe,
            Error::Ring(RingError::Corrupt) => io::ErrorKind::InvalidData,
            Error::EndTaken => io::ErrorKind::ResourceBusy,
            _ => error.errno().map_or(io::ErrorKind::InvalidInput, |errno| {
                Self::from_raw_os_error(errno).kind()
            }),
        };
        Self::new(kind, error)
    }
}

fn name_of(errno: i32) -> Option<&'static str> {
    macro_rules! names {
        ($($name:ident)*) => {
            match errno {
                $(libc::$name => Some(stringify!($name)),)*
                _ => None,
            }
        };
    }
    names!(E2BIG EACCES EAGAIN EBUSY EEXIST EFAULT EIDRM EINTR EINVAL EIO EISDIR ELOOP EMFILE ENAMETOOLONG
        ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOSYS ENOTDIR ENOTTY ENXIO EOPNOTSUPP EOWNERDEAD EPERM EROFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_that_says_it_all() {
        let error = Error::refused(Call::Attach, Target::Id(7), libc::EACCES);
        let text = "cannot attach segment 7: Permission denied (EACCES)";
        assert_eq!(error.to_string(), text);
        assert_eq!(
            error.with_hint().to_string(),
            format!("{text}: its mode does not let you: ask its owner for rshm chmod")
        );
        let error = Error::refused(Call::Create, Target::Key(Key::new(18)), libc::EEXIST);
        let text = "cannot create the segment with key 0x00000012: File exists (EEXIST)";
        assert_eq!(error.to_string(), text);
        let error = Error::refused(Call::Detach, Target::Id(7), 9999);
        assert!(error.to_string().ends_with("(errno 9999)"), "{error}");
        assert_eq!(error.to_string(), error.with_hint().to_string());
    }

    #[test]
    fn as_an_error_of_io() {
        let kind = |error: Error| io::Error::from(error).kind();
        let error = Error::refused(Call::Attach, Target::Id(7), libc::EACCES);
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), text);
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        assert_eq!(inner.and_then(Error::errno), Some(libc::EACCES));
        assert_eq!(
            kind(Error::Misaligned {
                offset: 1,
                align: 2
            }),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(kind(RingError::Full.into()), io::ErrorKind::WouldBlock);
    }
}
