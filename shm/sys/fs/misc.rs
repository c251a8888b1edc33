// SPDX-License-Identifier: GPL-2.0

//! A misc device with a mode and a context.
//!
//! [`kernel::miscdevice`] gives neither: the node would be for root alone, and a file that is
//! opened could reach nothing of the module but statics.

use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    fs::{
        File,
        Kiocb, //
    },
    iov::IovIterDest,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*,
    types::Opaque,
    uaccess::UserPtr, //
};

/// An open file of the device.
pub(crate) trait DeviceFile: Send + Sync + Sized + 'static {
    /// What the device has for all its files.
    type Context: Send + Sync + 'static;

    /// The device is opened.
    fn open(context: &Self::Context) -> impl PinInit<Self, Error>;

    /// `ioctl(2)`, by 64-bit and 32-bit programs alike.
    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<isize>;

    /// `read(2)` at a position, which moves on.
    fn read(&self, position: &mut i64, to: &mut IovIterDest<'_>) -> Result<usize>;
}

/// The device. It is taken away when this is dropped.
///
/// # Invariants
///
/// `misc` is registered with the operations of [`Opened<D>`], and the first field of a pinned `Self`.
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

// SAFETY: A misc device may be taken away from another thread than the one that registered it; the
// context is `Send`.
unsafe impl<D: DeviceFile> Send for Device<D> {}
// SAFETY: A shared reference gives access to the context alone, which is `Sync`.
unsafe impl<D: DeviceFile> Sync for Device<D> {}

impl<D: DeviceFile> Device<D> {
    /// Makes the device `/dev/NAME`, with permission bits `mode`.
    pub(crate) fn new(
        name: &'static CStr,
        mode: u16,
        context: D::Context,
    ) -> impl PinInit<Self, Error> {
        let template = MiscDeviceOptions { name }.into_raw::<Opened<D>>();
        try_pin_init!(Self {
            // First: the device may be opened as soon as it is registered.
            context,
            _files: PhantomData,
            operations <- Opaque::ffi_init(|slot: *mut bindings::file_operations| {
                // SAFETY: `into_raw()` points `fops` at operations that live as long as the module.
                let mut operations = unsafe { *template.fops };
                operations.llseek = Some(bindings::default_llseek);
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(operations) };
            }),
            misc <- Opaque::try_ffi_init(|slot: *mut bindings::miscdevice| {
                let mut misc = template;
                misc.mode = mode;
                misc.fops = operations.get();
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(misc) };
                // SAFETY: The device is filled in, and pinned until `drop()` takes it away.
                to_result(unsafe { bindings::misc_register(slot) })
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

/// A [`DeviceFile`], as [`kernel::miscdevice`] wants it. It is private: nothing but a [`Device<D>`]
/// is registered with it.
#[repr(transparent)]
#[pin_data]
struct Opened<D: DeviceFile> {
    #[pin]
    file: D,
}

#[vtable]
impl<D: DeviceFile> MiscDevice for Opened<D> {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        // SAFETY: Only a `Device<D>` is registered with this type, whose first field `misc` then
        // is. It is not dropped while `misc_open()` runs.
        let device = unsafe { &*misc.as_raw().cast_const().cast::<Device<D>>() };
        KBox::try_pin_init(
            try_pin_init!(Self {
                file <- D::open(&device.context),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn ioctl(this: Pin<&Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        this.get_ref().file.ioctl(cmd, UserPtr::from_addr(arg))
    }

    fn read_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let this = kiocb.file();
        this.get_ref().file.read(kiocb.ki_pos_mut(), iov)
    }
}
