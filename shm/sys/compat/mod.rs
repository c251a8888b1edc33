// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernels that the module is built for, so that no other file has to ask.
//!
//! A difference that C hides, as the place of a field or the number behind a name, is no difference
//! here: `bindings.h` takes it from the headers, `compat.h` what they lack. `Kbuild` says with
//! `LACKS_...` what the kernel does not have that Linux 7.2 has. A file here stands in for it: with
//! the interface of the later kernel, as far as it is used.

#[cfg(LACKS_ATOMIC_POINTERS)]
mod atomic_ptr;
#[cfg(LACKS_CSTR_EXT)]
mod cstr;
#[cfg(LACKS_INIT_MACROS)]
mod init;
#[cfg(LACKS_SET_ONCE)]
mod set_once;
#[cfg(LACKS_ZEROCOPY)]
mod zerocopy;

use crate::shm::sys::bindings;
use kernel::{
    prelude::*,
    sync::atomic::Full, //
};

#[cfg(LACKS_ATOMIC_POINTERS)]
pub(crate) use self::atomic_ptr::AtomicPtr;
#[cfg(LACKS_CSTR_EXT)]
pub(crate) use self::cstr::CStrExt;
#[cfg(LACKS_INIT_MACROS)]
pub(crate) use self::init::{
    made,
    new_spinlock_of,
    try_pin_init, //
};
#[cfg(LACKS_SET_ONCE)]
pub(crate) use self::set_once::SetOnce;
#[cfg(LACKS_ZEROCOPY)]
pub(crate) use self::zerocopy::{
    plain,
    FromBytes,
    Immutable,
    IntoBytes, //
};
#[cfg(not(LACKS_ZEROCOPY))]
pub(crate) use ::zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};
#[cfg(not(LACKS_CSTR_EXT))]
pub(crate) use kernel::str::CStrExt;
#[cfg(not(LACKS_SET_ONCE))]
pub(crate) use kernel::sync::SetOnce;
#[cfg(not(LACKS_INIT_MACROS))]
pub(crate) use kernel::{
    new_spinlock as new_spinlock_of,
    try_pin_init, //
};

/// A pointer that is read and written whole.
#[cfg(not(LACKS_ATOMIC_POINTERS))]
pub(crate) type AtomicPtr<T> = kernel::sync::atomic::Atomic<*const T>;

/// Defines a structure that is [`FromBytes`], [`IntoBytes`] and [`Immutable`].
#[cfg(not(LACKS_ZEROCOPY))]
macro_rules! plain {
    ($($structure:tt)*) => {
        #[derive(
            ::zerocopy_derive::FromBytes,
            ::zerocopy_derive::IntoBytes,
            ::zerocopy_derive::Immutable,
        )]
        $($structure)*
    };
}
#[cfg(not(LACKS_ZEROCOPY))]
pub(crate) use plain;

/// The flags of a file of shmem.
#[cfg(not(LACKS_VMA_FLAGS))]
type ShmemFlags = bindings::vma_flags_t;
#[cfg(LACKS_VMA_FLAGS)]
type ShmemFlags = c_ulong;

/// Those of one that commits its size, or what is touched of it (`VM_NORESERVE`).
pub(crate) fn shmem_flags(no_reserve: bool) -> ShmemFlags {
    let mut flags = ShmemFlags::default();
    if no_reserve {
        #[cfg(not(LACKS_VMA_FLAGS))]
        let word = &mut flags.__vma_flags[0];
        #[cfg(LACKS_VMA_FLAGS)]
        let word = &mut flags;
        *word = kernel::mm::virt::flags::NORESERVE;
    }
    flags
}

/// The number of an inode: of 64 bits, or a word.
pub(crate) fn inode_number<T: TryFrom<u32> + Default>(number: u32) -> T {
    T::try_from(number).unwrap_or_default()
}

/// Maps a file of shmem, as `mmap_region()` does: by `mmap_prepare()`, or by `mmap()`.
///
/// # Safety
///
/// `vma` must be one that is being made, and `file` one of shmem, which is held.
pub(crate) unsafe fn map_shmem(
    file: *mut bindings::file,
    vma: *mut bindings::vm_area_struct,
) -> Result {
    #[cfg(not(LACKS_MMAP_PREPARE))]
    // SAFETY: By this function's requirements.
    return kernel::error::to_result(unsafe { bindings::compat_vma_mmap(file, vma) });
    #[cfg(LACKS_MMAP_PREPARE)]
    // SAFETY: By this function's requirements; a file has operations.
    return kernel::error::to_result(unsafe { ((*(*file).f_op).mmap.ok_or(ENODEV)?)(file, vma) });
}

/// Finds a place for a mapping of a file in the caller's address space, as other files have it.
///
/// # Safety
///
/// Called by mm for a file that its caller holds.
pub(crate) unsafe fn unmapped_area(
    file: *mut bindings::file,
    length: c_ulong,
    flags: c_ulong,
) -> c_ulong {
    // SAFETY: By this function's requirement; `current` holds its address space.
    unsafe {
        bindings::mm_get_unmapped_area(
            #[cfg(LACKS_AREA_OF_CURRENT)]
            (*bindings::get_current()).mm,
            file,
            0,
            length,
            0,
            flags,
        )
    }
}

/// Whether references to the namespace with this number are counted: to all, or not to the first.
#[cfg_attr(not(CONFIG_IPC_NS), allow(dead_code))]
pub(crate) fn is_counted(number: u64) -> bool {
    cfg!(LACKS_INIT_NS_ID) || number > bindings::RUST_SHM_NS_LAST_INIT_ID
}

/// Returns `THIS_MODULE`. The kernel crate has moved its own.
pub(crate) const fn this_module() -> *mut bindings::module {
    &raw mut bindings::__this_module
}

/// A full memory barrier between CPUs. The one of 7.2's kernel crate takes no ordering.
pub(crate) fn smp_mb(_: Full) {
    // SAFETY: Always safe to call.
    unsafe { bindings::smp_mb() };
}

/// Returns `EIDRM`, which the prelude has since 7.3.
pub(crate) fn eidrm() -> Error {
    Error::from_errno(-(bindings::EIDRM as c_int))
}

/// Returns `EOPNOTSUPP`, which the prelude has since 7.3.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}
