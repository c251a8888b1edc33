// SPDX-License-Identifier: GPL-2.0

//! A file on shmem: it has the pages of an object, and frees them when it goes.

use super::{
    mount::{
        self,
        TmpfsMount, //
    },
    opened,
    shmem::Shmem, //
};
use crate::shm::sys::{
    bindings,
    compat::{
        inode_number,
        shmem_flags, //
    },
    mm::commit::Commitment, //
};
use kernel::{
    fmt,
    fs::File,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    str::CString,
    sync::aref::ARef, //
};

/// What a file commits the kernel to, in `Committed_AS` and against the commit limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Its whole size, from the beginning.
    WholeSize,
    /// What is touched of it, as it is touched (`VM_NORESERVE`).
    Touched,
    /// Nothing: its owner has committed the size in another way.
    ByOwner,
}

/// A file on shmem, and the object's pages with it. Its owner makes it; it frees the pages when it is
/// dropped and nobody has it mapped.
///
/// # Invariants
///
/// The file is one that `shmem_file_setup_with_mnt()` has made.
pub(crate) struct ShmemFile {
    file: ShmemRef,
    /// The pages of its size where its owner has committed them, or 0.
    by_owner: usize,
}

impl ShmemFile {
    /// Makes a file of `size` bytes, with a name as `/proc/PID/maps` shows it. No page is allocated.
    /// `ENOMEM` also where the kernel does not commit so much; `EINVAL` for more bytes than a file
    /// can have.
    pub(crate) fn new(
        mount: &TmpfsMount,
        name: fmt::Arguments<'_>,
        size: usize,
        commit: Commit,
    ) -> Result<Self> {
        let name = CString::try_from_fmt(name)?;
        let size = i64::try_from(size).map_err(|_| EINVAL)?;
        let flags = shmem_flags(commit == Commit::Touched);
        // A file that is made without a size commits nothing, neither now nor when it is touched.
        let counted = if commit == Commit::ByOwner { 0 } else { size };
        // SAFETY: The mount is valid, and the name a string, which is copied.
        let file = unsafe {
            let (mount, name) = (mount.as_ptr(), name.as_char_ptr());
            opened(bindings::shmem_file_setup_with_mnt(
                mount, name, counted, flags,
            ))
        }
        .map_err(mount::shmem_error)?;
        // SAFETY: The file and its inode are new: nobody else knows them. As
        // `shmem_kernel_file_setup()`, security modules judge the calls, not the inode.
        unsafe {
            let inode = (*file.as_ptr()).f_inode;
            (*inode).i_flags |= bindings::S_PRIVATE;
            (*inode).i_size = size;
            bindings::rust_shm_stat_as_builtin(inode);
        }
        // INVARIANT: The file was just made.
        Ok(Self {
            file: ShmemRef(file),
            by_owner: if commit == Commit::ByOwner {
                // CAST: It was made from a `usize`.
                (size as usize).div_ceil(PAGE_SIZE)
            } else {
                0
            },
        })
    }

    /// Gives the inode a number. To be called before anybody else knows the file.
    pub(crate) fn set_number(&self, number: u32) {
        // SAFETY: By the type invariant the inode is valid; a word is written once.
        unsafe { (*(*self.file.as_ptr()).f_inode).i_ino = inode_number(number) };
    }

    /// Makes the pages unevictable for good, and of one size: a folio of `PMD_ORDER` is not split. To be
    /// called before there is a page, and before anybody else knows the file.
    pub(crate) fn promise_huge(&self) {
        self.view().promise_huge();
    }

    /// The pages.
    pub(crate) fn view(&self) -> Shmem<'_> {
        self.file.view()
    }

    /// A reference to the file.
    pub(crate) fn get(&self) -> ShmemRef {
        self.file.clone()
    }

    /// Drops it, when so many attach files of its are known.
    pub(crate) fn close(mut self, attach_files: usize) {
        let view = self.view();
        if view.is_promised() {
            view.isolate_poisoned(0..view.size() >> PAGE_SHIFT);
        }
        self.keep_commitment(attach_files);
        self.by_owner = 0;
    }

    /// When the inode goes, shmem gives its size back to the commit limit. Makes that come to nothing
    /// where the owner has committed it.
    fn keep_commitment(&self, attach_files: usize) {
        let commit = |pages: usize| {
            let commitment = Commitment::new(pages * PAGE_SIZE);
            commitment.map(Commitment::leak).is_ok()
        };
        // SAFETY: By the type invariant the file holds its dentry; the word is read once.
        let references = unsafe {
            let dentry = (*self.file.as_ptr()).__bindgen_anon_1.f_path.dentry;
            (&raw const (*dentry).d_lockref.__bindgen_anon_1.__bindgen_anon_1.count).read_volatile()
        };
        // Somebody else may have it open: root, by `/proc/PID/map_files`; or an attach file is just
        // being closed. It keeps its size, which is committed now.
        let known = i32::try_from(attach_files).unwrap_or(0) + 1;
        if self.by_owner == 0 || (references > known && commit(self.by_owner)) {
            return;
        }
        // Root may also have changed the size, and shmem has counted that.
        let pages = self.view().size().div_ceil(PAGE_SIZE);
        if pages < self.by_owner {
            commit(self.by_owner - pages);
        }
        // CAST: It is no more than the size was.
        let size = (pages.saturating_sub(self.by_owner) * PAGE_SIZE) as i64;
        // SAFETY: By the type invariant the inode is valid; the word is written once.
        unsafe { (&raw mut (*(*self.file.as_ptr()).f_inode).i_size).write_volatile(size) };
    }
}

impl Drop for ShmemFile {
    fn drop(&mut self) {
        self.keep_commitment(0);
    }
}

/// A counted reference to a [`ShmemFile`]'s file. It may be dropped in any context: the last one goes
/// when the task returns to user space, or by a work item.
///
/// # Invariants
///
/// The file is one that `shmem_file_setup_with_mnt()` has made.
#[derive(Clone)]
pub(crate) struct ShmemRef(ARef<File>);

impl ShmemRef {
    /// The file, for C functions.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut bindings::file {
        self.0.as_ptr()
    }

    /// The pages.
    pub(crate) fn view(&self) -> Shmem<'_> {
        // SAFETY: By the type invariant the file holds its inode, which is shmem's.
        unsafe { Shmem::from_raw((*self.as_ptr()).f_inode) }
    }
}
