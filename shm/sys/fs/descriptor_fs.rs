// SPDX-License-Identifier: GPL-2.0

//! The filesystem of descriptors' files: an inode for each, and a mount while there is an inode.

use super::{
    descriptor::{
        DescribedObject,
        SealRequests, //
    },
    mapping::Access,
    opened, //
};
use crate::shm::{
    rules::uapi,
    sys::{
        bindings,
        compat::{
            self,
            this_module, //
        }, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ptr, //
};
use kernel::{
    error::to_result,
    fs::File,
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::ForeignOwnable, //
};

/// The filesystem, and where it is mounted while there is a [`MountPin`].
struct Filesystem {
    kind: UnsafeCell<bindings::file_system_type>,
    mount: UnsafeCell<*mut bindings::vfsmount>,
    pins: UnsafeCell<c_int>,
}

// SAFETY: Only the kernel writes to it, under locks of its own.
unsafe impl Sync for Filesystem {}

static FILESYSTEM: Filesystem = Filesystem {
    kind: UnsafeCell::new(bindings::file_system_type {
        owner: this_module(),
        name: c"rust_shm".to_bytes_with_nul().as_ptr(),
        init_fs_context: Some(init_filesystem),
        kill_sb: Some(bindings::kill_anon_super),
        ..pin_init::zeroed()
    }),
    mount: UnsafeCell::new(ptr::null_mut()),
    pins: UnsafeCell::new(0),
};

const SUPER_OPS: bindings::super_operations = bindings::super_operations {
    statfs: Some(bindings::simple_statfs),
    evict_inode: Some(evict_inode),
    ..pin_init::zeroed()
};

const INODE_OPS: bindings::inode_operations = bindings::inode_operations {
    getattr: Some(getattr),
    setattr: Some(setattr),
    permission: Some(permission),
    ..pin_init::zeroed()
};

/// Keeps the filesystem mounted.
///
/// # Invariants
///
/// Owns one of `FILESYSTEM.pins`.
struct MountPin(());

impl MountPin {
    /// Mounts the filesystem, if it is not.
    fn new() -> Result<Self> {
        // SAFETY: The three are as the function has left them; it has a lock for them.
        to_result(unsafe {
            bindings::simple_pin_fs(
                FILESYSTEM.kind.get(),
                FILESYSTEM.mount.get(),
                FILESYSTEM.pins.get(),
            )
        })?;
        // INVARIANT: The function has counted it.
        Ok(Self(()))
    }

    /// The mount.
    fn mount(&self) -> *mut bindings::vfsmount {
        // SAFETY: By the type invariant it is mounted: nobody changes the word.
        unsafe { FILESYSTEM.mount.get().read_volatile() }
    }
}

impl Drop for MountPin {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; otherwise as in `new()`.
        unsafe { bindings::simple_release_fs(FILESYSTEM.mount.get(), FILESYSTEM.pins.get()) };
    }
}

/// What an inode owns: its `i_private`. The object goes before the filesystem may.
pub(super) struct Node {
    pub(super) object: Arc<dyn DescribedObject>,
    pub(super) requests: &'static SealRequests,
    pin: MountPin,
    // Dropped after the pin: so it, and not the pin, unmounts the filesystem. An inode is evicted in
    // places where that would wait for their caller: by inotify's last mark, or by drop_caches. The last
    // reference to a file goes when the task returns to user space, or by a work item.
    _anchor: ARef<File>,
}

impl Node {
    /// What a new inode is to own. The filesystem is mounted while it lives.
    pub(super) fn new(
        object: Arc<dyn DescribedObject>,
        requests: &'static SealRequests,
    ) -> Result<KBox<Self>> {
        let pin = MountPin::new()?;
        // SAFETY: The mount is valid, and has a root; `current` holds its credentials. The file
        // takes references of its own.
        let anchor = unsafe {
            let root = bindings::path {
                mnt: pin.mount(),
                dentry: (*pin.mount()).mnt_root,
            };
            opened(bindings::dentry_open(
                &root,
                bindings::O_PATH as c_int,
                (*bindings::get_current()).cred,
            ))
        }?;
        Ok(KBox::new(
            Self {
                object,
                requests,
                pin,
                _anchor: anchor,
            },
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// Makes an inode that owns this, and a file of it with a name as `/proc/PID/fd` shows it.
    ///
    /// # Safety
    ///
    /// `file_ops` must be those of a regular file that owns nothing but its inode.
    pub(super) unsafe fn into_file(
        self: KBox<Self>,
        name: &CString,
        flags: u32,
        file_ops: &'static bindings::file_operations,
    ) -> Result<ARef<File>> {
        // It stays mounted as long as the inode lives.
        let mount = self.pin.mount();
        // SAFETY: The filesystem is mounted.
        let inode = unsafe { bindings::new_inode((*mount).mnt_sb) };
        if inode.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The inode is new: nobody else looks at it. Who goes through the list of the filesystem
        // (drop_caches) only holds it, and not longer than this does. Its pages are never used.
        unsafe {
            // CAST: A size is not negative.
            (*inode).i_size = self.size() as i64;
            (*inode).i_ino = compat::inode_number(self.object.number());
            (*inode).i_mode = match self.object.access() {
                Access::ReadOnly => bindings::S_IFREG | 0o444,
                Access::ReadWrite => bindings::S_IFREG | 0o666,
            } as u16;
            // As the built-in's segments, and other inodes without a path.
            (*inode).i_flags |= bindings::S_PRIVATE;
            bindings::clear_nlink(inode);
            (*inode).i_op = &INODE_OPS;
            (*inode).__bindgen_anon_3.i_fop = file_ops;
            (*inode).i_private = self.into_foreign().cast();
        }
        // SAFETY: Inode and mount are valid, and the name a string, which is copied. If that
        // succeeds, the inode is the file's; otherwise it is still ours.
        unsafe {
            opened(bindings::alloc_file_pseudo(
                inode,
                mount,
                name.as_char_ptr(),
                flags as c_int,
                file_ops,
            ))
            .inspect_err(|_| bindings::iput(inode))
        }
    }

    /// That of a file.
    ///
    /// # Safety
    ///
    /// `file` must be one that [`into_file()`](Self::into_file) has made, or another of its inode, and
    /// be held for the lifetime that is chosen.
    pub(super) unsafe fn of<'a>(file: *const bindings::file) -> &'a Self {
        // SAFETY: By this function's requirement; the file holds its inode.
        unsafe { Self::of_inode((*file).f_inode) }
    }

    /// That of an inode.
    ///
    /// # Safety
    ///
    /// `inode` must be one that [`into_file()`](Self::into_file) has made, and be held for the lifetime that is
    /// chosen.
    unsafe fn of_inode<'a>(inode: *const bindings::inode) -> &'a Self {
        // SAFETY: By this function's requirement. It is dropped when nobody holds the inode.
        unsafe { &*(*inode).i_private.cast_const().cast() }
    }

    /// The shmem file, for C functions.
    pub(super) fn base(&self) -> *mut bindings::file {
        self.object.pages().as_ptr()
    }

    /// The size of the file in bytes.
    pub(super) fn size(&self) -> usize {
        self.object.pages().view().size()
    }
}

/// # Safety
///
/// Called by the VFS to set up a mount.
unsafe extern "C" fn init_filesystem(context: *mut bindings::fs_context) -> c_int {
    // SAFETY: By this function's requirement.
    unsafe {
        // CAST: To a longer integer.
        let pseudo = bindings::init_pseudo(context, uapi::FD_MAGIC as usize);
        if pseudo.is_null() {
            return ENOMEM.to_errno();
        }
        (*pseudo).ops = &SUPER_OPS;
        // Of 6.18, `init_pseudo()` does not say that no file there can be executed.
        *context
            .byte_add(bindings::RUST_SHM_OFFSET_FS_CONTEXT_IFLAGS)
            .cast::<c_uint>() |= bindings::RUST_SHM_SB_I_NOEXEC;
    }
    0
}

/// # Safety
///
/// Called by the VFS with an inode of the filesystem that nobody has any more.
unsafe extern "C" fn evict_inode(inode: *mut bindings::inode) {
    // SAFETY: By this function's requirement; `i_private` is null for the root of the filesystem, or
    // as `Node::into_file()` has set it.
    unsafe {
        bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
        bindings::clear_inode(inode);
        if !(*inode).i_private.is_null() {
            drop(KBox::<Node>::from_foreign((*inode).i_private.cast()));
        }
    }
}

/// Reading is allowed to whoever has come to the inode, and writing where it was opened for that: no
/// capability adds it.
///
/// # Safety
///
/// Called by the VFS with an inode that [`Node::into_file()`] has made.
unsafe extern "C" fn permission(
    _idmap: *mut bindings::mnt_idmap,
    inode: *mut bindings::inode,
    mask: c_int,
) -> c_int {
    // SAFETY: By this function's requirement; nobody changes the mode.
    let writable = unsafe { (*inode).i_mode } & 0o222 != 0;
    // CAST: Flags.
    let mask = mask as u32;
    if mask & bindings::MAY_EXEC != 0 || (mask & bindings::MAY_WRITE != 0 && !writable) {
        return EACCES.to_errno();
    }
    0
}

/// Size, owner and mode are the object's.
///
/// # Safety
///
/// Called by the VFS.
unsafe extern "C" fn setattr(
    _idmap: *mut bindings::mnt_idmap,
    _dentry: *mut bindings::dentry,
    _attributes: *mut bindings::iattr,
) -> c_int {
    EPERM.to_errno()
}

/// # Safety
///
/// Called by the VFS with a path to an inode that [`Node::into_file()`] has made.
unsafe extern "C" fn getattr(
    idmap: *mut bindings::mnt_idmap,
    path: *const bindings::path,
    stat: *mut bindings::kstat,
    wanted: u32,
    flags: c_uint,
) -> c_int {
    // SAFETY: By this function's requirement: the path holds the inode, and the object its file.
    unsafe {
        let inode = (*(*path).dentry).d_inode;
        let node = Node::of_inode(inode);
        let error = bindings::vfs_getattr_nosec(
            &raw const (*node.base()).__bindgen_anon_1.f_path,
            stat,
            wanted,
            flags,
        );
        if error != 0 {
            return error;
        }
        // Size, blocks and times are those of the pages.
        let pages = *stat;
        bindings::generic_fillattr(idmap, wanted, inode, stat);
        let (uid, gid, mode) = node.object.owner();
        (*stat).size = pages.size;
        (*stat).blocks = pages.blocks;
        (*stat).atime = pages.atime;
        (*stat).mtime = pages.mtime;
        (*stat).ctime = pages.ctime;
        (*stat).uid.val = uid.0;
        (*stat).gid.val = gid.0;
        (*stat).mode = (bindings::S_IFREG | mode) as u16;
        0
    }
}
