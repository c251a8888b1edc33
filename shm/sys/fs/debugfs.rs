// SPDX-License-Identifier: GPL-2.0

//! A debugfs directory with text files.
//!
//! Files of [`kernel::debugfs`] have no owner: an open file would not keep the module, whose code
//! it runs, loaded.

use crate::shm::sys::compat::{
    this_module,
    CStrExt as _, //
};
use core::{
    ffi::CStr,
    ptr, //
};
use kernel::{
    bindings,
    fmt::{
        self,
        Write, //
    },
    prelude::*, //
};

/// A file with a text about a `T`.
pub(crate) trait SeqShow<T> {
    /// The name of the file.
    const NAME: &'static CStr;

    /// Writes the text. May sleep. Called again with a larger buffer if it was too small.
    fn show(of: &T, to: &mut SeqFile<'_>) -> fmt::Result;
}

/// A `struct seq_file`.
///
/// # Invariants
///
/// `0` is valid, and its `show` operation is running.
pub(crate) struct SeqFile<'a>(&'a mut bindings::seq_file);

impl SeqFile<'_> {
    /// Returns whether the buffer is full, so that further writes are lost
    /// (`seq_has_overflowed()`).
    pub(crate) fn is_full(&self) -> bool {
        self.0.count == self.0.size
    }
}

impl Write for SeqFile<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: By the type invariant; pointer and length are those of the text.
        unsafe { bindings::seq_write(self.0, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}

/// A directory, removed with its files when this is dropped.
///
/// # Invariants
///
/// `entry` is a debugfs directory, or an error pointer, which debugfs functions accept. `data` is
/// the private data of its files.
#[pin_data(PinnedDrop)]
pub(crate) struct Directory<T: Send + Sync + 'static> {
    entry: *mut bindings::dentry,
    data: T,
}

// SAFETY: Any task may remove the directory; `T` is `Send`.
unsafe impl<T: Send + Sync> Send for Directory<T> {}
// SAFETY: A shared reference gives access to `T` only, which is `Sync`.
unsafe impl<T: Send + Sync> Sync for Directory<T> {}

impl<T: Send + Sync> Directory<T> {
    /// Creates an empty directory. Does nothing if debugfs is unavailable.
    pub(crate) fn new(name: &'static CStr, data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            data,
            // SAFETY: The name is a string.
            entry: unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) },
        })
    }

    /// Adds a file that only root can read.
    pub(crate) fn add<V: SeqShow<T>>(self: Pin<&mut Self>) {
        let this = self.as_ref().get_ref();
        // SAFETY: By the type invariant. The data is pinned, and outlives the files, which `drop()`
        // removes; an open file holds a reference to the module, and so keeps this alive.
        unsafe {
            bindings::debugfs_create_file_full(
                V::NAME.as_char_ptr(),
                0o400,
                this.entry,
                (&raw const this.data).cast_mut().cast(),
                ptr::null(),
                &Operations::<T, V>::TABLE,
            )
        };
    }
}

#[pinned_drop]
impl<T: Send + Sync> PinnedDrop for Directory<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant.
        unsafe { bindings::debugfs_remove(self.entry) };
    }
}

struct Operations<T, V>(core::marker::PhantomData<(T, V)>);

impl<T: Send + Sync + 'static, V: SeqShow<T>> Operations<T, V> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS with an inode that [`Directory::add`] created, and a file being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By this function's requirement.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Called by `seq_read()` with a file that `open()` opened.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _data: *mut c_void) -> c_int {
        // SAFETY: By this function's requirement `seq` is valid and not shared, and its private
        // data is that of `Directory::add()`: a `T` that outlives the open file.
        let (of, seq) = unsafe { (&*(*seq).private.cast_const().cast::<T>(), &mut *seq) };
        // INVARIANT: This is the `show` operation.
        match V::show(of, &mut SeqFile(seq)) {
            Ok(()) => 0,
            Err(_) => EIO.to_errno(),
        }
    }
}
