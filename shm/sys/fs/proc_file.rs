// SPDX-License-Identifier: GPL-2.0

//! `/proc/sysvipc/shm`, on a kernel that has none: reads as the device does.

use super::misc::DeviceFile;
use crate::shm::sys::{
    bindings,
    compat::CStrExt as _, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::from_result,
    iov::IovIterDest,
    prelude::*, //
};

/// The directory with the file, removed when this is dropped.
///
/// # Invariants
///
/// `directory` is an entry of procfs with a file whose data is `context`; or null, where there is no
/// memory for it, or there is one already.
#[pin_data(PinnedDrop)]
pub(crate) struct SysvipcShm<D: DeviceFile> {
    directory: *mut bindings::proc_dir_entry,
    context: D::Context,
    _files: PhantomData<D>,
}

// SAFETY: Any task may remove an entry; the context is `Send`.
unsafe impl<D: DeviceFile> Send for SysvipcShm<D> {}
// SAFETY: A shared reference gives access to the context only, which is `Sync`.
unsafe impl<D: DeviceFile> Sync for SysvipcShm<D> {}

impl<D: DeviceFile> SysvipcShm<D> {
    const OPERATIONS: bindings::proc_ops = bindings::proc_ops {
        proc_open: Some(Self::open),
        proc_read_iter: Some(Self::read),
        proc_lseek: Some(bindings::default_llseek),
        proc_release: Some(Self::release),
        // SAFETY: Numbers and optional functions: all zeros are none.
        ..unsafe { core::mem::zeroed() }
    };

    /// Makes the file. That it cannot be made is no error: the device has the same text.
    pub(crate) fn new(context: D::Context) -> impl PinInit<Self> {
        // SAFETY: The name is a string.
        let directory = unsafe { bindings::proc_mkdir(c"sysvipc".as_char_ptr(), ptr::null_mut()) };
        pin_init!(&this in Self {
            context,
            _files: PhantomData,
            directory: {
                if !directory.is_null() {
                    // SAFETY: The directory is there until `drop()`. So is the context, which is pinned and
                    // was initialised before: `proc_remove()` waits for the operations of open files, and
                    // releases these. A null result leaves the directory empty.
                    unsafe {
                        bindings::proc_create_data(
                            c"shm".as_char_ptr(),
                            0o444,
                            directory,
                            &raw const *Self::operations(),
                            (&raw mut (*this.as_ptr()).context).cast(),
                        )
                    };
                }
                directory
            },
        })
    }

    fn operations() -> &'static bindings::proc_ops {
        &const { Self::OPERATIONS }
    }

    /// # Safety
    ///
    /// Called by procfs with the inode of the file, and a file being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: By the type invariant the data is the context (`pde_data()`).
            let context = unsafe { &*(*inode).i_private.cast_const().cast::<D::Context>() };
            let opened = KBox::pin_init(D::open(context), GFP_KERNEL_ACCOUNT)?;
            // SAFETY: The file is not open yet. The value is not moved: `release()` makes the same box of it.
            unsafe {
                (*file).private_data = KBox::into_raw(Pin::into_inner_unchecked(opened)).cast()
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by procfs with a file that `open()` opened, for a read to `iov`.
    unsafe extern "C" fn read(kiocb: *mut bindings::kiocb, iov: *mut bindings::iov_iter) -> isize {
        // SAFETY: By this function's requirement. An open file is only shared, and a read has its
        // `kiocb` and `iov` for itself.
        let (opened, position, iov) = unsafe {
            (
                &*(*(*kiocb).ki_filp).private_data.cast_const().cast::<D>(),
                &mut (*kiocb).ki_pos,
                IovIterDest::from_raw(iov),
            )
        };
        // CAST: It is not more than a read takes.
        from_result(|| opened.read(position, iov).map(|count| count as isize))
    }

    /// # Safety
    ///
    /// Called by procfs once for a file that `open()` opened.
    unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By this function's requirement it is ours again.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw((*file).private_data.cast::<D>())) });
        0
    }
}

#[pinned_drop]
impl<D: DeviceFile> PinnedDrop for SysvipcShm<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant; null is accepted. The file goes with the directory.
        unsafe { bindings::proc_remove(self.directory) };
    }
}
