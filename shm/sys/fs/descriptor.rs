// SPDX-License-Identifier: GPL-2.0

//! A file for a descriptor of user space: it can be read, written, mapped, polled and passed on.
//!
//! Each has an inode of its own, on a filesystem of the module's own. So one that was opened for
//! reading stays so, also when it is opened again through `/proc/PID/fd`; nobody can change size or
//! mode of the shmem inode with the pages; and whatever has a path to it (`O_PATH`) keeps the
//! filesystem, and so the module, until it is gone.
//!
//! Operations that need the pages do them on the shmem file. A mapping gets an
//! [`AttachFile`] in place of this file, and is an attach like any other.

#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
use super::mapping::find_area;
use super::{
    descriptor_fs::Node,
    file::NewMapping,
    mapping::{
        Access,
        Change,
        PUNCH_HOLE, //
    },
    shmem_file::ShmemRef, //
};
use crate::shm::{
    rules::permission::{
        Gid,
        Uid, //
    },
    sys::{
        bindings,
        compat::{
            eopnotsupp,
            this_module, //
        },
        sync::{
            module_ref::ModuleRef,
            poll_queue::PollQueue, //
        }, //
    }, //
};
use core::ops::Range;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    fmt,
    fs::{
        file::FileDescriptorReservation,
        File, //
    },
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

#[cfg(doc)]
use super::file::AttachFile;

/// What a [`DescriptorFile`] is of. It is dropped when nothing refers to the file's inode any more.
pub(crate) trait DescribedObject: Send + Sync {
    /// The file with its pages. Its size is that of the descriptor's file.
    fn pages(&self) -> &ShmemRef;

    /// What the file may be opened for.
    fn access(&self) -> Access;

    /// The inode's number.
    fn number(&self) -> u32;

    /// Owner, group and permission bits, for `fstat(2)`.
    fn owner(&self) -> (Uid, Gid, u32);

    /// Maps it, by a file with this access. Called with the lock of the address space held for
    /// writing.
    fn map(&self, access: Access, to: NewMapping<'_>) -> Result;

    /// What the address of a mapping should be a multiple of, in bytes: a page or more.
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    fn alignment(&self) -> usize;

    /// Makes a change. `EPERM` if that is sealed.
    fn write(&self, change: &mut dyn Change) -> Result<isize>;

    /// Prepares that shmem frees a range of bytes, and returns what of it shmem is to free.
    fn punch(&self, bytes: Range<usize>) -> Range<usize>;

    /// Where it tells of events.
    fn queue(&self) -> &PollQueue;

    /// What [`queue()`](Self::queue) has told of.
    fn events(&self) -> Events;

    /// Which seals it has (`F_SEAL_*`).
    fn seals(&self) -> u32;

    /// Adds seals.
    fn seal(&self, seals: u32) -> Result;
}

/// What `poll(2)` tells of a descriptor.
pub(crate) struct Events {
    /// Somebody has it attached: POLLIN. Nobody has: POLLPRI.
    pub(crate) attached: bool,
    /// It is removed: POLLHUP.
    pub(crate) removed: bool,
}

/// The `ioctl(2)` requests of a descriptor.
pub(crate) struct SealRequests {
    /// Adds the seals that the argument has.
    pub(crate) add: u32,
    /// Returns the seals.
    pub(crate) get: u32,
}

/// A new file for a descriptor, which no descriptor has yet.
pub(crate) struct DescriptorFile(ARef<File>);

const FILE_OPS: bindings::file_operations = bindings::file_operations {
    owner: this_module(),
    llseek: Some(llseek),
    read_iter: Some(read_iter),
    write_iter: Some(write_iter),
    splice_read: Some(splice_read),
    splice_write: Some(bindings::iter_file_splice_write),
    poll: Some(poll),
    unlocked_ioctl: Some(ioctl),
    #[cfg(CONFIG_COMPAT)]
    compat_ioctl: Some(ioctl),
    mmap: Some(mmap),
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    get_unmapped_area: Some(get_unmapped_area),
    fallocate: Some(fallocate),
    fsync: Some(bindings::noop_fsync),
    ..pin_init::zeroed()
};

impl DescriptorFile {
    /// A file of `object`, open for all that it allows, with a name as `/proc/PID/fd` shows it.
    pub(crate) fn new(
        object: Arc<dyn DescribedObject>,
        name: fmt::Arguments<'_>,
        requests: &'static SealRequests,
    ) -> Result<Self> {
        let name = CString::try_from_fmt(name)?;
        let flags = object.access().flags() | bindings::O_LARGEFILE;
        let module_ref = ModuleRef::get()?;
        let node = Node::new(object, requests)?;
        // SAFETY: These are the operations of such a file.
        let file = unsafe { node.into_file(&name, flags, &FILE_OPS) }?;
        // `fput()` drops it.
        module_ref.into_raw();
        // SAFETY: The file is new: nobody else knows it. As `memfd_alloc_file()`.
        unsafe { (*file.as_ptr()).f_mode |= bindings::RUST_SHM_FMODE_SEEKABLE };
        Ok(Self(file))
    }

    /// Gives it a descriptor of the calling process, which `execve(2)` closes or not, and returns
    /// that. `EMFILE` if there are too many.
    pub(crate) fn install(self, close_on_exec: bool) -> Result<u32> {
        let flags = if close_on_exec {
            bindings::O_CLOEXEC
        } else {
            0
        };
        let reserved = FileDescriptorReservation::get_unused_fd_flags(flags)?;
        let descriptor = reserved.reserved_fd();
        reserved.fd_install(self.0);
        Ok(descriptor)
    }
}

/// # Safety
///
/// Called by the VFS or mm with a file that has `FILE_OPS`, and that its caller holds.
unsafe extern "C" fn llseek(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: By this function's requirement; the object holds the shmem file, whose position nobody
    // uses.
    unsafe {
        let node = Node::of(file);
        // CAST: A small number.
        if !matches!(whence as u32, bindings::SEEK_DATA | bindings::SEEK_HOLE) {
            // CAST: A size is not negative.
            let size = node.size() as i64;
            return bindings::generic_file_llseek_size(file, offset, whence, i64::MAX, size);
        }
        let base = node.base();
        match (*(*base).f_op)
            .llseek
            .map(|seek| seek(base, offset, whence))
        {
            Some(found) if found >= 0 => bindings::vfs_setpos(file, found, i64::MAX),
            Some(error) => error,
            None => EINVAL.to_errno().into(),
        }
    }
}

/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn read_iter(kiocb: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> isize {
    // SAFETY: As for `llseek()`; the caller has the kiocb for itself.
    unsafe {
        let node = Node::of((*kiocb).ki_filp);
        bindings::vfs_iter_read(node.base(), to, &raw mut (*kiocb).ki_pos, 0)
    }
}

/// Writes up to the end of the file: it does not grow, which is `EFBIG`.
///
/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn write_iter(
    kiocb: *mut bindings::kiocb,
    from: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: As for `read_iter()`.
    unsafe {
        let node = Node::of((*kiocb).ki_filp);
        let size = node.size();
        if (*kiocb).ki_flags & bindings::RUST_SHM_IOCB_APPEND != 0 {
            // CAST: A size is not negative.
            (*kiocb).ki_pos = size as i64;
        }
        let left = usize::try_from((*kiocb).ki_pos).map_or(0, |at| size.saturating_sub(at));
        if bindings::rust_shm_iter_limit(from, left) == 0 {
            return 0;
        }
        if left == 0 {
            return EFBIG.to_errno() as isize;
        }
        let mut write = || {
            let position = &raw mut (*kiocb).ki_pos;
            Ok(bindings::vfs_iter_write(node.base(), from, position, 0))
        };
        node.object
            .write(&mut write)
            .unwrap_or_else(|e| e.to_errno() as isize)
    }
}

/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn splice_read(
    file: *mut bindings::file,
    position: *mut bindings::loff_t,
    pipe: *mut bindings::pipe_inode_info,
    length: usize,
    flags: c_uint,
) -> isize {
    // SAFETY: As for `llseek()`.
    unsafe { bindings::vfs_splice_read(Node::of(file).base(), position, pipe, length, flags) }
}

/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: As for `llseek()`; the file keeps the object, and that its queue. It is no
    // `fdget_pos()` that matters here.
    let events = unsafe {
        let node = Node::of(file);
        node.object.queue().add(File::from_raw_file(file), table);
        node.object.events()
    };
    // As any file without a `poll` operation.
    let mut mask = bindings::POLLOUT | bindings::POLLWRNORM;
    mask |= if events.attached {
        bindings::POLLIN | bindings::POLLRDNORM
    } else {
        bindings::POLLPRI
    };
    if events.removed {
        mask |= bindings::POLLHUP;
    }
    mask
}

/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn ioctl(
    file: *mut bindings::file,
    request: c_uint,
    argument: c_ulong,
) -> c_long {
    // SAFETY: As for `llseek()`.
    let (node, mode) = unsafe { (Node::of(file), (*file).f_mode) };
    let done = match request {
        request if request == node.requests.get => Ok(node.object.seals() as c_long),
        request if request == node.requests.add => {
            if mode & bindings::RUST_SHM_FMODE_WRITE == 0 {
                Err(EPERM)
            } else {
                u32::try_from(argument)
                    .map_err(|_| EINVAL)
                    .and_then(|seals| node.object.seal(seals))
                    .map(|()| 0)
            }
        }
        _ => Err(ENOTTY),
    };
    done.unwrap_or_else(|e| e.to_errno() as c_long)
}

/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn mmap(file: *mut bindings::file, vma: *mut bindings::vm_area_struct) -> c_int {
    from_result(|| {
        // SAFETY: Called by mm with a file that has `FILE_OPS`, and a VMA that is being made for it.
        unsafe {
            let access = if (*file).f_mode & bindings::RUST_SHM_FMODE_WRITE != 0 {
                Access::ReadWrite
            } else {
                Access::ReadOnly
            };
            Node::of(file)
                .object
                .map(access, NewMapping::from_raw(vma))?;
        }
        Ok(0)
    })
}

/// # Safety
///
/// As for `llseek()`.
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
unsafe extern "C" fn get_unmapped_area(
    file: *mut bindings::file,
    address: c_ulong,
    length: c_ulong,
    offset: c_ulong,
    flags: c_ulong,
) -> c_ulong {
    // SAFETY: Called by mm with a file that has `FILE_OPS`, which its caller holds.
    unsafe {
        let alignment = Node::of(file).object.alignment();
        find_area(file, alignment, address, length, offset, flags)
    }
}

/// Allocates pages within the size, or frees them: as shmem, with a size that is sealed.
///
/// # Safety
///
/// As for `llseek()`.
unsafe extern "C" fn fallocate(
    file: *mut bindings::file,
    mode: c_int,
    offset: bindings::loff_t,
    length: bindings::loff_t,
) -> c_long {
    from_result(|| {
        // SAFETY: As for `llseek()`.
        let node = unsafe { Node::of(file) };
        let start = usize::try_from(offset).map_err(|_| EINVAL)?;
        let length = usize::try_from(length).map_err(|_| EINVAL)?;
        let bytes = start..start.checked_add(length).ok_or(EFBIG)?;
        // CAST: Flags.
        let punch = match mode as u32 {
            PUNCH_HOLE => true,
            0 | bindings::FALLOC_FL_KEEP_SIZE => false,
            _ => return Err(eopnotsupp()),
        };
        if !punch && bytes.end > node.size() {
            return Err(EFBIG);
        }
        let mut change = || {
            let bytes = if punch {
                node.object.punch(bytes.clone())
            } else {
                bytes.clone()
            };
            if !bytes.is_empty() {
                // SAFETY: The object holds the shmem file.
                // CAST: No more than what was given.
                to_result(unsafe {
                    bindings::vfs_fallocate(
                        node.base(),
                        mode,
                        bytes.start as i64,
                        bytes.len() as i64,
                    )
                })?;
            }
            Ok(0)
        };
        node.object.write(&mut change)?;
        Ok(0)
    })
}
