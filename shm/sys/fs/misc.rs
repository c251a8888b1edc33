// SPDX-License-Identifier: GPL-2.0

//! A misc device with a mode and a context.
//!
//! [`kernel::miscdevice`] has neither: the node would be accessible to root only, and an open file
//! could reach only statics of the module.

use crate::shm::sys::{
    bindings,
    compat::{
        this_module,
        CStrExt as _, //
    }, //
};
use core::{
    ffi::CStr,
    marker::PhantomData, //
};
use kernel::{
    c_str,
    error::to_result,
    fs::{
        File,
        Kiocb, //
    },
    iov::IovIterDest,
    miscdevice,
    prelude::*,
    types::Opaque,
    uaccess::UserPtr, //
};

/// What kind of program makes a system call.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// A program of the kernel's own word size.
    Native,
    /// A 32-bit program on a 64-bit kernel.
    #[cfg(CONFIG_COMPAT)]
    Compat,
}

impl Program {
    /// What SHM_RND rounds addresses to: `SHMLBA`, or `COMPAT_SHMLBA`.
    pub(crate) fn shmlba(self) -> usize {
        match self {
            Self::Native => bindings::RUST_SHM_SHMLBA,
            #[cfg(CONFIG_COMPAT)]
            Self::Compat => bindings::RUST_SHM_COMPAT_SHMLBA,
        }
    }
}

/// An open file of the device.
pub(crate) trait DeviceFile: Send + Sync + Sized + 'static {
    /// The data that all open files of the device share.
    type Context: Send + Sync + 'static;

    /// `open(2)`.
    fn open(context: &Self::Context) -> impl PinInit<Self, Error>;

    /// `ioctl(2)`, from a 64-bit or a 32-bit program.
    fn ioctl(&self, program: Program, cmd: u32, arg: UserPtr) -> Result<isize>;

    /// `read(2)` at `position`, which is advanced.
    fn read(&self, position: &mut i64, to: &mut IovIterDest<'_>) -> Result<usize>;
}

/// A misc device, deregistered when this is dropped.
///
/// # Invariants
///
/// `misc` is registered with the operations of [`Opened<D>`]; it is the first field of a pinned
/// `Self`.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Device<D: DeviceFile> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    #[pin]
    operations: Opaque<bindings::file_operations>,
    context: D::Context,
    _files: PhantomData<D>,
}

// SAFETY: A misc device may be deregistered by any task; the context is `Send`.
unsafe impl<D: DeviceFile> Send for Device<D> {}
// SAFETY: A shared reference gives access to the context only, which is `Sync`.
unsafe impl<D: DeviceFile> Sync for Device<D> {}

impl<D: DeviceFile> Device<D> {
    /// Registers the device `/dev/NAME` with permission bits `mode`.
    pub(crate) fn new(
        name: &'static CStr,
        mode: u16,
        context: D::Context,
    ) -> impl PinInit<Self, Error> {
        let template = miscdevice::MiscDeviceOptions { name: c_str!("") }.into_raw::<Opened<D>>();
        try_pin_init!(Self {
            // Initialised first: the device may be opened as soon as it is registered.
            context,
            _files: PhantomData,
            operations <- Opaque::ffi_init(|slot: *mut bindings::file_operations| {
                // SAFETY: `into_raw()` points `fops` at operations that live as long as the module.
                // `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::file_operations {
                        // An open file holds the module. The table of the kernel crate has none up to 7.2.
                        owner: this_module(),
                        llseek: Some(bindings::default_llseek),
                        ..*template.fops
                    })
                };
            }),
            misc <- Opaque::try_ffi_init(|slot: *mut bindings::miscdevice| {
                let mut misc = template;
                misc.name = name.as_char_ptr();
                misc.mode = mode;
                misc.fops = operations.get();
                // SAFETY: `slot` is valid for writes, and pinned until `drop()` deregisters the device.
                to_result(unsafe {
                    slot.write(misc);
                    bindings::misc_register(slot)
                })
            }),
        })
    }
}

#[pinned_drop]
impl<D: DeviceFile> PinnedDrop for Device<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the device is registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

/// A [`DeviceFile`] as a [`MiscDevice`]. It is private: only a [`Device<D>`] is registered with it.
#[repr(transparent)]
#[pin_data]
struct Opened<D: DeviceFile> {
    #[pin]
    file: D,
}

#[vtable]
impl<D: DeviceFile> miscdevice::MiscDevice for Opened<D> {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, misc: &miscdevice::MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        // SAFETY: Only a `Device<D>` is registered with this type, so `misc` is its first field. It
        // is not dropped while `misc_open()` runs.
        let device = unsafe { &*misc.as_raw().cast_const().cast::<Device<D>>() };
        KBox::try_pin_init(
            try_pin_init!(Self {
                file <- D::open(&device.context),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn ioctl(this: Pin<&Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let arg = UserPtr::from_addr(arg);
        this.get_ref().file.ioctl(Program::Native, cmd, arg)
    }

    #[cfg(CONFIG_COMPAT)]
    fn compat_ioctl(this: Pin<&Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        // As `compat_ptr()` of x86 and arm64.
        let arg = UserPtr::from_addr(arg);
        this.get_ref().file.ioctl(Program::Compat, cmd, arg)
    }

    fn read_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let this = kiocb.file();
        this.get_ref().file.read(kiocb.ki_pos_mut(), iov)
    }
}
