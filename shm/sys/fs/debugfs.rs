// SPDX-License-Identifier: GPL-2.0

//! A directory in debugfs, with files that are texts.
//!
//! [`kernel::debugfs`] makes files that belong to no module: one that is open when this one is
//! unloaded would be closed by code that is gone.

use crate::LocalModule;
use core::ptr;
use kernel::{
    bindings,
    fmt::{
        self,
        Write, //
    },
    module::this_module,
    prelude::*,
    str::CStr, //
};

/// A file: what it shows of a `T`.
pub(crate) trait SeqShow<T> {
    /// Its name.
    const NAME: &'static CStr;

    /// Its text. May sleep. It is asked for once more, with more room, where it was too long.
    fn show(of: &T, to: &mut SeqFile<'_>) -> fmt::Result;
}

/// Where a text goes.
///
/// # Invariants
///
/// `0` is a valid `struct seq_file`, which is being filled.
pub(crate) struct SeqFile<'a>(&'a mut bindings::seq_file);

impl SeqFile<'_> {
    /// Whether there is no room any more: what is written now is lost.
    pub(crate) fn is_full(&self) -> bool {
        // As `seq_has_overflowed()`, which is inline.
        self.0.count == self.0.size
    }
}

impl Write for SeqFile<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: By the type invariant; the text is as long as is said.
        unsafe { bindings::seq_write(self.0, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}

/// The directory. It is taken away when this is dropped, and its files with it.
///
/// # Invariants
///
/// `entry` is a directory of debugfs, or an error that debugfs functions take for one. Its files
/// have `data` as their private data.
#[pin_data(PinnedDrop)]
pub(crate) struct Directory<T: Send + Sync + 'static> {
    entry: *mut bindings::dentry,
    data: T,
}

// SAFETY: Directories may be taken away by any task; `T` is `Send`.
unsafe impl<T: Send + Sync> Send for Directory<T> {}
// SAFETY: A shared reference gives access to nothing but `T`, which is `Sync`.
unsafe impl<T: Send + Sync> Sync for Directory<T> {}

impl<T: Send + Sync> Directory<T> {
    /// Makes a directory without files, for root alone. Without debugfs nothing is made.
    pub(crate) fn new(name: &'static CStr, data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            data,
            // SAFETY: The name is a string.
            entry: unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) },
        })
    }

    /// Adds a file.
    pub(crate) fn add<V: SeqShow<T>>(self: Pin<&mut Self>) {
        let this = self.as_ref().get_ref();
        // SAFETY: By the type invariant. The data is pinned, and stays until `drop()` has taken the
        // files away; an open file holds the module, which holds this.
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
        owner: this_module::<LocalModule>().as_ptr(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by the VFS with an inode that [`Directory::add`] has made, and a file being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By this function's requirement.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Called by `seq_read()` with a file that `open()` has opened.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _data: *mut c_void) -> c_int {
        // SAFETY: By this function's requirement it is valid and nobody else's, and its private
        // data are those of `Directory::add()`: a `T` that stays while the file is open.
        let (of, seq) = unsafe { (&*(*seq).private.cast_const().cast::<T>(), &mut *seq) };
        // INVARIANT: `seq` is being filled.
        match V::show(of, &mut SeqFile(seq)) {
            Ok(()) => 0,
            Err(_) => EIO.to_errno(),
        }
    }
}
