// SPDX-License-Identifier: GPL-2.0

//! The module's own pseudo filesystem.
//!
//! There is one mount of it, made when the module is loaded, seen by nobody. The inodes of segments
//! that have been attached live on it. It goes away with the module, after the last file, inode and
//! [`MountRef`] are gone.

use crate::shm::sys::{
    bindings::{
        init_pseudo,
        RUST_SHM_OFFSET_S_IFLAGS,
        RUST_SHM_SIZE_S_IFLAGS, //
    },
    fs::file::MappedObject,
    sync::module_ref::ModuleRef, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    str::CStr,
    sync::{
        rcu,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

/// `s_magic` of the filesystem: "rshm".
const MAGIC: usize = 0x7273686d;

/// The mount, whose inodes own objects of type `T`.
///
/// # Invariants
///
/// - `mnt` is a kernel mount of `fs_type`, and this owns its first reference.
/// - The `i_private` of an inode on it is null, or comes from [`ForeignOwnable::into_foreign`] of
///   an `Arc<T>` that the inode owns, together with a reference to the module.
#[pin_data(PinnedDrop)]
pub(crate) struct Mount<T: MappedObject> {
    #[pin]
    fs_type: Opaque<bindings::file_system_type>,
    mnt: NonNull<bindings::vfsmount>,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: Mounts may be used and unmounted from any task.
unsafe impl<T: MappedObject> Send for Mount<T> {}
// SAFETY: Mounts do their own locking.
unsafe impl<T: MappedObject> Sync for Mount<T> {}

impl<T: MappedObject> Mount<T> {
    const SUPER_OPS: bindings::super_operations = bindings::super_operations {
        statfs: Some(bindings::simple_statfs),
        evict_inode: Some(Self::evict_inode),
        ..pin_init::zeroed()
    };

    /// Makes the filesystem and mounts it.
    pub(crate) fn new(name: &'static CStr) -> impl PinInit<Self, Error> {
        let init = move |slot: *mut Self| {
            // SAFETY: `slot` is valid for writes.
            let fs_type = Opaque::cast_into(unsafe { &raw const (*slot).fs_type });
            let value = bindings::file_system_type {
                name: name.as_char_ptr(),
                init_fs_context: Some(Self::init_fs_context),
                kill_sb: Some(bindings::kill_anon_super),
                // No owner: the mount would keep the module loaded for ever. `drop()` waits
                // instead.
                ..pin_init::zeroed()
            };
            // SAFETY: As above.
            unsafe { fs_type.write(value) };
            // SAFETY: `fs_type` is filled in, and pinned until `drop()` has unmounted it.
            let mnt = from_err_ptr(unsafe { bindings::kern_mount(fs_type) })?;
            // SAFETY: As above. `kern_mount()` returns no null.
            // INVARIANT: The mount was just made, and has no inode with an `i_private`.
            unsafe {
                (&raw mut (*slot).mnt).write(NonNull::new_unchecked(mnt));
                (&raw mut (*slot)._owns).write(PhantomData);
            }
            Ok(())
        };
        // SAFETY: On success all fields are initialised; on failure none needs a drop.
        unsafe { pin_init::pin_init_from_closure(init) }
    }

    /// Takes a reference.
    pub(crate) fn get(&self) -> MountRef<T> {
        // SAFETY: By the type invariant the mount is valid.
        unsafe { bindings::mntget(self.mnt.as_ptr()) };
        // INVARIANT: The reference was just taken, on a mount with these invariants.
        MountRef {
            mnt: self.mnt,
            _owns: PhantomData,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with a context that is being set up.
    unsafe extern "C" fn init_fs_context(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: By this function's requirement.
        let ctx = unsafe { init_pseudo(fc, MAGIC) };
        if ctx.is_null() {
            return ENOMEM.to_errno();
        }
        // SAFETY: `init_pseudo()` returned a valid context, and filled `fc` in.
        unsafe {
            (*ctx).ops = &Self::SUPER_OPS;
            // Attaches may be executable, as on the built-in: SHM_EXEC, and mprotect(2) later.
            const { assert!(RUST_SHM_SIZE_S_IFLAGS == size_of::<c_uint>()) };
            *fc.byte_add(RUST_SHM_OFFSET_S_IFLAGS).cast::<c_uint>() &= !bindings::SB_I_NOEXEC;
        }
        0
    }

    /// # Safety
    ///
    /// Called by the VFS with an inode of this filesystem that nobody refers to any more.
    unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
        // SAFETY: By this function's requirement, and the type invariant.
        unsafe {
            bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
            bindings::clear_inode(inode);
            if let Some(object) = Arc::<T>::try_from_foreign((*inode).i_private) {
                object.evicted();
                drop(object);
                // What is left to run of this is waited for by `drop()` below: the mount is busy
                // until the inode is gone.
                drop(ModuleRef::from_raw());
            }
        }
    }
}

#[pinned_drop]
impl<T: MappedObject> PinnedDrop for Mount<T> {
    fn drop(self: Pin<&mut Self>) {
        let mnt = self.mnt.as_ptr();
        // `evict_inode()` and `__fput()` drop a reference to the module before they drop those to
        // the mount: so the module's exit can get here meanwhile. What they need of this module
        // must stay until they are done. `may_umount()` is true when nobody has the mount but its
        // owner and its caller: that is why one more reference is taken.
        //
        // SAFETY: By the type invariant the mount is valid, and its first reference ours, to be
        // given up by `kern_unmount()`.
        unsafe {
            bindings::mntget(mnt);
            while bindings::may_umount(mnt) == 0 {
                fsleep(Delta::from_millis(1));
            }
            bindings::mntput(mnt);
            bindings::kern_unmount(mnt);
        }
        // Objects that were withdrawn may be on their way through `call_rcu()`, whose callback is
        // here.
        rcu::rcu_barrier();
    }
}

/// A reference to the [`Mount`], which waits for it.
///
/// # Invariants
///
/// Holds a reference to a mount with the invariants of [`Mount<T>`].
pub(crate) struct MountRef<T: MappedObject> {
    mnt: NonNull<bindings::vfsmount>,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: As for `Mount`; references may be dropped anywhere.
unsafe impl<T: MappedObject> Send for MountRef<T> {}
// SAFETY: As for `Mount`.
unsafe impl<T: MappedObject> Sync for MountRef<T> {}

impl<T: MappedObject> MountRef<T> {
    /// The mount, for C functions.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut bindings::vfsmount {
        self.mnt.as_ptr()
    }

    /// Its superblock.
    pub(in crate::shm::sys) fn superblock(&self) -> *mut bindings::super_block {
        // SAFETY: By the type invariant the mount is valid; its superblock never changes.
        unsafe { (*self.mnt.as_ptr()).mnt_sb }
    }
}

impl<T: MappedObject> Clone for MountRef<T> {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant the mount is valid.
        unsafe { bindings::mntget(self.mnt.as_ptr()) };
        // INVARIANT: The reference was just taken.
        Self {
            mnt: self.mnt,
            _owns: PhantomData,
        }
    }
}

impl<T: MappedObject> Drop for MountRef<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours. It is not the last, which `Mount`
        // has: so this does not sleep.
        unsafe { bindings::mntput(self.mnt.as_ptr()) };
    }
}
