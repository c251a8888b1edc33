// SPDX-License-Identifier: GPL-2.0

//! An inode and file on the module's filesystem, that own an object and map its pages.
//!
//! The chain of ownership is: VMA -> file -> inode -> object. The kernel keeps the first three;
//! this file adds the last, and turns what the kernel calls on a file or a VMA into calls on the
//! object.

use crate::shm::sys::bindings::{
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    RUST_SHM_ATTR_SIZE, //
};
use crate::shm::sys::{
    fs::mount::MountRef,
    mm::{
        folio::{
            Fault,
            FaultError,
            PageCache, //
        },
        policy::SharedPolicy, //
    },
    sync::module_ref::ModuleRef, //
};
use crate::LocalModule;
use core::{
    marker::PhantomData,
    ops::{
        Range,
        RangeInclusive, //
    },
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        from_result, //
    },
    fmt,
    module::this_module,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            self,
            Acquire,
            Release, //
        },
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// What an inode owns.
///
/// `mapped`, `opened` and `closed` are called with the lock of the address space held for writing.
pub(crate) trait MappedObject: Send + Sync + Sized + 'static {
    /// It is mapped into an address space. An error refuses that.
    fn mapped(&self) -> Result;

    /// A mapping has been copied or split: there is one more.
    fn opened(&self);

    /// There is one mapping less.
    fn closed(this: ArcBorrow<'_, Self>);

    /// What the address of a mapping should be a multiple of, in bytes: a page or more.
    fn alignment(&self) -> usize;

    /// A page is wanted that is not mapped.
    fn fault(&self, fault: Fault<'_>) -> Result<(), FaultError>;

    /// A range of bytes is to read as zeros, and its whole pages to be freed.
    fn punch(&self, cache: PageCache<'_>, range: Range<usize>);

    /// The pages of a range of bytes are to be brought in.
    fn reserve(&self, cache: PageCache<'_>, range: Range<usize>) -> Result;

    /// The page at `index` is spoilt by the hardware, and about to be taken out.
    fn poisoned(&self, index: usize) -> Result;

    /// A range of pages is to have this NUMA policy, or none of its own.
    fn set_policy(&self, pages: RangeInclusive<usize>, policy: Option<SharedPolicy>) -> Result;

    /// The NUMA policy of a page. Called with spinlocks held.
    fn policy(&self, page: usize) -> Option<SharedPolicy>;

    /// The inode goes, and has no pages any more.
    fn evicted(&self);
}

/// What a file may be mapped for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading. `mprotect(2)` cannot add writing.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// A counted file, of an inode that owns an object of type `T`.
///
/// # Invariants
///
/// Holds one count of an open file on a [`Mount<T>`](crate::shm::sys::fs::mount::Mount), whose inode's
/// `i_private` is not null.
pub(crate) struct BackingFile<T: MappedObject> {
    file: NonNull<bindings::file>,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: Files are counted atomically, and may be put from any context.
unsafe impl<T: MappedObject> Send for BackingFile<T> {}
// SAFETY: A shared reference gives access to what does its own locking.
unsafe impl<T: MappedObject> Sync for BackingFile<T> {}

impl<T: MappedObject> BackingFile<T> {
    /// Of a file that is mapped by attaches: its mappings count.
    const FILE_OPS: bindings::file_operations = bindings::file_operations {
        mmap: Some(Self::mmap),
        ..Self::RAW_FILE_OPS
    };

    /// Of a file that somebody opens through `/proc/PID/map_files`: its mappings do not count, as
    /// those of the tmpfs file below a segment of the built-in.
    const RAW_FILE_OPS: bindings::file_operations = bindings::file_operations {
        owner: this_module::<LocalModule>().as_ptr(),
        llseek: Some(bindings::noop_llseek),
        fsync: Some(bindings::noop_fsync),
        mmap: Some(Self::raw_mmap),
        fallocate: Some(Self::fallocate),
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(Self::get_unmapped_area),
        ..pin_init::zeroed()
    };

    const VM_OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::vm_open),
        close: Some(Self::vm_close),
        ..Self::RAW_VM_OPS
    };

    const RAW_VM_OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        may_split: Some(Self::vm_may_split),
        fault: Some(Self::vm_fault),
        map_pages: Some(bindings::filemap_map_pages),
        #[cfg(CONFIG_NUMA)]
        set_policy: Some(Self::vm_set_policy),
        #[cfg(CONFIG_NUMA)]
        get_policy: Some(Self::vm_get_policy),
        ..pin_init::zeroed()
    };

    const ADDRESS_SPACE_OPS: bindings::address_space_operations =
        bindings::address_space_operations {
            error_remove_folio: Some(Self::error_remove_folio),
            ..PageCache::ADDRESS_SPACE_OPS
        };

    const INODE_OPS: bindings::inode_operations = bindings::inode_operations {
        setattr: Some(Self::setattr),
        ..pin_init::zeroed()
    };

    /// Makes a file one for attaches.
    ///
    /// # Safety
    ///
    /// `file` must be an open file of an inode that `Ownerless::new()` made, known to nobody else,
    /// and its count the caller's. Where the inode owns nothing yet, what is returned must stay in
    /// an [`Ownerless`].
    unsafe fn adopt(file: *mut bindings::file) -> Self {
        // SAFETY: By this function's requirement. The old operations have the same owner as the
        // new.
        unsafe {
            (*file).f_op = &Self::FILE_OPS;
            // The mark by which `from_raw()` knows it.
            (*file).private_data = (*file).f_inode.cast();
        }
        Self {
            // SAFETY: By this function's requirement it is not null.
            // INVARIANT: By this function's requirement, also for what is in an `Ownerless`.
            file: unsafe { NonNull::new_unchecked(file) },
            _owns: PhantomData,
        }
    }

    /// Opens the inode once more: another `struct file`, as each attach has its own on the built-in
    /// (`alloc_file_clone()`).
    pub(crate) fn reopen(&self, access: Access) -> Result<Self> {
        let flags = match access {
            Access::ReadOnly => bindings::O_RDONLY,
            Access::ReadWrite => bindings::O_RDWR,
        } | bindings::O_LARGEFILE;
        // SAFETY: By the type invariant the file is valid, and holds its path; `current` holds its
        // credentials.
        let file = from_err_ptr(unsafe {
            bindings::dentry_open(
                &raw const (*self.file.as_ptr()).__bindgen_anon_1.f_path,
                flags as c_int,
                (*bindings::get_current()).cred,
            )
        })?;
        // SAFETY: The file is new, its count ours, and its inode that of `self`.
        Ok(unsafe { Self::adopt(file) })
    }

    /// Whether it was opened with the credentials that the caller has now.
    pub(crate) fn has_current_credentials(&self) -> bool {
        // SAFETY: By the type invariant the file is valid, and holds its credentials; `current`
        // holds its own. The pointers are compared, not used.
        unsafe {
            ptr::eq(
                (*self.file.as_ptr()).f_cred,
                (*bindings::get_current()).cred,
            )
        }
    }

    /// The pages.
    pub(crate) fn page_cache(&self) -> PageCache<'_> {
        // SAFETY: By the type invariant.
        unsafe { Self::page_cache_of(self.file.as_ptr()) }
    }

    /// The file, for C functions.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// Takes a reference to `file`, if it is one for attaches on the filesystem of `mount`.
    ///
    /// # Safety
    ///
    /// `file` must be null or point to a file that somebody holds for as long as this runs.
    pub(in crate::shm::sys) unsafe fn from_raw(
        file: *mut bindings::file,
        mount: &MountRef<T>,
    ) -> Option<Self> {
        let file = NonNull::new(file)?;
        // SAFETY: By this function's requirement. The superblock is compared, not used.
        let (superblock, mark) = unsafe {
            let file = file.as_ptr();
            ((*(*file).f_inode).i_sb, (*file).private_data)
        };
        if superblock != mount.superblock() || mark.is_null() {
            return None;
        }
        // SAFETY: By this function's requirement the count is not zero.
        unsafe { bindings::get_file(file.as_ptr()) };
        // INVARIANT: The count was just taken. Only `adopt()` marks a file on this filesystem.
        Some(Self {
            file,
            _owns: PhantomData,
        })
    }

    /// The size of the inode in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: By the type invariant the file and its inode are valid; the size never changes.
        let size = unsafe { (*(*self.file.as_ptr()).f_inode).i_size };
        // CAST: `Ownerless::new()` made it from a `usize`.
        size as usize
    }

    /// The object that the inode of a file owns.
    ///
    /// # Safety
    ///
    /// `file` must be held for the lifetime that is chosen, and be as the type invariant says.
    unsafe fn object<'a>(file: *const bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: By this function's requirement, `i_private` came from `into_foreign()` and is the
        // inode's until it is evicted, and the file holds the inode.
        unsafe { Arc::<T>::borrow((*(*file).f_inode).i_private) }
    }

    /// The pages of the inode of a file.
    ///
    /// # Safety
    ///
    /// As for [`object()`](Self::object).
    unsafe fn page_cache_of<'a>(file: *const bindings::file) -> PageCache<'a> {
        // SAFETY: By this function's requirement; `Ownerless::new()` set the mapping up by
        // `PageCache::init()`.
        unsafe { PageCache::from_raw((*file).f_mapping) }
    }

    /// # Safety
    ///
    /// Called by mm with a file that has `FILE_OPS`, and a VMA that is being made for it.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        from_result(|| {
            // SAFETY: The file is held by the caller, and files with `FILE_OPS` are as the type
            // invariant says.
            let object = unsafe { Self::object(file) };
            object.mapped()?;
            // SAFETY: The VMA is being made: nobody else knows it.
            let first = unsafe { (*vma).vm_pgoff };
            // As `hugetlbfs_file_mmap()`: remap_file_pages(2) may ask for part of a huge page. It
            // counts as an attach and a detach, as in `shm_mmap()`.
            if first % (object.alignment() / PAGE_SIZE) != 0 {
                T::closed(object);
                return Err(EINVAL);
            }
            // SAFETY: The VMA is being made: nobody else knows it.
            unsafe { (*vma).vm_ops = &Self::VM_OPS };
            Ok(0)
        })
    }

    /// Finds a place for a mapping where folios that a PMD maps can be mapped by one. The usual
    /// function does not do that for a 32-bit program, nor where there is little room: for an object
    /// that was promised such folios it is done here.
    ///
    /// # Safety
    ///
    /// Called by mm with a file that has `RAW_FILE_OPS` or more, which its caller holds.
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    unsafe extern "C" fn get_unmapped_area(
        file: *mut bindings::file,
        address: c_ulong,
        length: c_ulong,
        offset: c_ulong,
        flags: c_ulong,
    ) -> c_ulong {
        // SAFETY: By this function's requirement.
        let alignment = unsafe { Self::object(file) }.alignment();
        let wanted = length.checked_add(alignment - PAGE_SIZE);
        match wanted {
            Some(wanted) if alignment > PAGE_SIZE && address == 0 && offset == 0 => {
                // SAFETY: By this function's requirement.
                let found = unsafe { bindings::mm_get_unmapped_area(file, 0, wanted, 0, flags) };
                // As `IS_ERR_VALUE()`: an address is a multiple of a page, an error is not.
                if found % PAGE_SIZE == 0 {
                    found.next_multiple_of(alignment)
                } else {
                    found
                }
            }
            // SAFETY: By this function's requirement.
            _ => unsafe { bindings::thp_get_unmapped_area(file, address, length, offset, flags) },
        }
    }

    /// # Safety
    ///
    /// As for `mmap()`, with a file that has `RAW_FILE_OPS`.
    unsafe extern "C" fn raw_mmap(
        _file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: The VMA is being made: nobody else knows it.
        unsafe { (*vma).vm_ops = &Self::RAW_VM_OPS };
        0
    }

    /// The size of a segment is for good; the rest is nobody's business.
    ///
    /// # Safety
    ///
    /// Called by the VFS with an inode that has `INODE_OPS`, locked, and a change that is wanted.
    unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attributes: *mut bindings::iattr,
    ) -> c_int {
        // SAFETY: By this function's requirement. As `d_inode()`, which is inline.
        unsafe {
            let wanted = &mut *attributes;
            if wanted.ia_valid & RUST_SHM_ATTR_SIZE != 0 {
                if wanted.ia_size != (*(*dentry).d_inode).i_size {
                    return EINVAL.to_errno();
                }
                wanted.ia_valid &= !RUST_SHM_ATTR_SIZE;
            }
            bindings::simple_setattr(idmap, dentry, attributes)
        }
    }

    /// # Safety
    ///
    /// Called by mm with a VMA that has `VM_OPS`, and the lock of its address space held for
    /// writing.
    unsafe extern "C" fn vm_open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: `mmap()` alone gives a VMA these operations, on a file as the type invariant
        // says; the VMA holds it.
        unsafe { Self::object((*vma).vm_file) }.opened();
    }

    /// # Safety
    ///
    /// As for `vm_open()`.
    unsafe extern "C" fn vm_close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: As in `vm_open()`. The VMA drops the file only after this.
        T::closed(unsafe { Self::object((*vma).vm_file) });
    }

    /// A mapping of an object that was promised large folios is not cut within one.
    ///
    /// # Safety
    ///
    /// Called by mm with a VMA that has `RAW_VM_OPS` or more, locked, and where it is to be split.
    unsafe extern "C" fn vm_may_split(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
    ) -> c_int {
        // SAFETY: `mmap()` and `raw_mmap()` alone give a VMA these operations, and the VMA holds its
        // file. That is as the type invariant says, or was opened through such a one's mapping in
        // `/proc/PID/map_files`, so that their inode owns an object.
        let alignment = unsafe { Self::object((*vma).vm_file) }.alignment();
        if address % alignment == 0 {
            0
        } else {
            EINVAL.to_errno()
        }
    }

    /// # Safety
    ///
    /// Called by mm with a fault in a VMA that has `RAW_VM_OPS` or more, locked for reading.
    unsafe extern "C" fn vm_fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As in `vm_may_split()`. The VMA is locked, and so keeps its file.
        let (object, fault) = unsafe {
            let file = (*(*vmf).__bindgen_anon_1.vma).vm_file;
            let cache = Self::page_cache_of(file);
            (Self::object(file), Fault::from_raw(vmf, cache))
        };
        match object.fault(fault) {
            Ok(()) => bindings::vm_fault_reason_VM_FAULT_LOCKED,
            Err(FaultError::BeyondEnd) => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
            Err(FaultError::OutOfMemory) => bindings::vm_fault_reason_VM_FAULT_OOM,
            Err(FaultError::Poisoned) => bindings::vm_fault_reason_VM_FAULT_HWPOISON,
            // It does not live to see this signal.
            Err(FaultError::Killed) => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    /// # Safety
    ///
    /// Called by mm with a VMA that has `RAW_VM_OPS` or more, and the lock of its address space
    /// held for writing. `policy` is null, or one that has just been made.
    #[cfg(CONFIG_NUMA)]
    unsafe extern "C" fn vm_set_policy(
        vma: *mut bindings::vm_area_struct,
        policy: *mut bindings::mempolicy,
    ) -> c_int {
        from_result(|| {
            let policy = NonNull::new(policy)
                // SAFETY: By this function's requirement nobody else has the policy yet.
                .map(|policy| unsafe { SharedPolicy::copy_of(policy) })
                .transpose()?;
            // SAFETY: As in `vm_may_split()`. The VMA is locked.
            let (object, pages) = unsafe {
                let bounds = (*vma).__bindgen_anon_1.__bindgen_anon_1;
                let count = (bounds.vm_end - bounds.vm_start) >> PAGE_SHIFT;
                let first = (*vma).vm_pgoff;
                (Self::object((*vma).vm_file), first..=first + (count - 1))
            };
            object.set_policy(pages, policy)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by mm with a VMA that has `RAW_VM_OPS` or more, locked, and an address in it. The
    /// count of what is returned is the caller's.
    #[cfg(CONFIG_NUMA)]
    unsafe extern "C" fn vm_get_policy(
        vma: *mut bindings::vm_area_struct,
        address: usize,
        interleave: *mut c_ulong,
    ) -> *mut bindings::mempolicy {
        // SAFETY: As in `vm_may_split()`. The last line is `linear_page_index()`, which is inline.
        let (object, page) = unsafe {
            let file = (*vma).vm_file;
            // As `shmem_get_policy()`: segments begin on different nodes.
            // CAST: `give()` made it from a `u32`.
            *interleave = (*(*file).f_inode).i_ino as usize;
            let start = (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start;
            let page = (*vma).vm_pgoff + ((address - start) >> PAGE_SHIFT);
            (Self::object(file), page)
        };
        object
            .policy(page)
            .map_or(ptr::null_mut(), SharedPolicy::into_raw)
    }

    /// A page is spoilt, and was unmapped by memory-failure.c. It is taken out, and the object
    /// remembers that it was there: nobody may find zeros in place of what they have written.
    ///
    /// # Safety
    ///
    /// Called by mm with a folio of a page cache that `Ownerless::new()` has set up, locked.
    unsafe extern "C" fn error_remove_folio(
        mapping: *mut bindings::address_space,
        folio: *mut bindings::folio,
    ) -> c_int {
        // SAFETY: By this function's requirement. While the folio is locked and in the cache, the
        // inode is not evicted, and has its object.
        unsafe {
            // The other half is in `give()`: who comes by a page may come before that.
            let private = atomic::atomic_load(&raw mut (*(*mapping).host).i_private, Acquire);
            // That of an `Ownerless`, which nobody has written to.
            if private.is_null() {
                return EBUSY.to_errno();
            }
            let object = Arc::<T>::borrow(private);
            let index = (*folio)
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_2
                .index;
            // One that could not be split stays, and knows which of its pages is spoilt.
            if bindings::xa_get_order(&raw mut (*mapping).i_pages, index) != 0 {
                return EBUSY.to_errno();
            }
            match object.poisoned(index) {
                Ok(()) => bindings::generic_error_remove_folio(mapping, folio),
                Err(e) => e.to_errno(),
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS with a file that has `RAW_FILE_OPS` or more, which its caller holds.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        offset: bindings::loff_t,
        length: bindings::loff_t,
    ) -> c_long {
        const PUNCH: u32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

        from_result(|| {
            let start = usize::try_from(offset).map_err(|_| EINVAL)?;
            let length = usize::try_from(length).map_err(|_| EINVAL)?;
            let end = start.checked_add(length).ok_or(EINVAL)?;
            // SAFETY: By this function's requirement.
            let (object, cache) = unsafe { (Self::object(file), Self::page_cache_of(file)) };
            // SAFETY: As above.
            let _lock = unsafe { InodeLock::new((*file).f_inode) };
            // CAST: Flags.
            match mode as u32 {
                PUNCH => object.punch(cache, start..end),
                0 | FALLOC_FL_KEEP_SIZE => object.reserve(cache, start..end)?,
                _ => return Err(EOPNOTSUPP),
            }
            Ok(0)
        })
    }
}

/// The file of an inode that owns no object yet. Nobody else has it, and it is not mapped; only
/// memory-failure.c may come to the inode, by a page.
///
/// # Invariants
///
/// As those of [`BackingFile`], but that the inode's `i_private` is null.
pub(crate) struct Ownerless<T: MappedObject>(BackingFile<T>);

impl<T: MappedObject> Ownerless<T> {
    /// Makes an inode of `size` bytes, and a file for reading and writing on it, with a name as
    /// `/proc/PID/maps` shows it. No page is allocated.
    pub(crate) fn new(mount: &MountRef<T>, name: fmt::Arguments<'_>, size: usize) -> Result<Self> {
        let name = CString::try_from_fmt(name)?;
        let size = i64::try_from(size).map_err(|_| EINVAL)?;
        // For `fput()`, which drops a reference to the owner of the file's operations that
        // `alloc_file_pseudo()` does not take.
        let module_ref = ModuleRef::get()?;
        // SAFETY: The superblock is that of a mount that we hold.
        let inode = unsafe { bindings::new_inode(mount.superblock()) };
        if inode.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The inode is new: nobody else knows it.
        unsafe {
            (*inode).i_mode = (bindings::S_IFREG | 0o777) as u16;
            // As `shmem_kernel_file_setup()`: security modules judge the calls, not the inode.
            (*inode).i_flags |= bindings::S_PRIVATE;
            (*inode).i_size = size;
            (*inode).i_op = &BackingFile::<T>::INODE_OPS;
            (*inode).__bindgen_anon_3.i_fop = &BackingFile::<T>::RAW_FILE_OPS;
        }
        // SAFETY: As above. It has no name anywhere; and so a core dump has its pages as it has
        // those of the built-in, as shared memory without a file.
        unsafe { bindings::clear_nlink(inode) };
        // SAFETY: As above.
        unsafe { PageCache::init((*inode).i_mapping, &BackingFile::<T>::ADDRESS_SPACE_OPS) };
        // SAFETY: The inode is valid, and its reference goes to the file on success.
        let file = from_err_ptr(unsafe {
            bindings::alloc_file_pseudo(
                inode,
                mount.as_ptr(),
                name.as_char_ptr(),
                (bindings::O_RDWR | bindings::O_LARGEFILE) as c_int,
                &BackingFile::<T>::FILE_OPS,
            )
        })
        .inspect_err(|_| {
            // SAFETY: The file was not made, so the inode's reference is still ours.
            unsafe { bindings::iput(inode) };
        })?;
        module_ref.into_raw();
        // SAFETY: The file is new, and its count ours.
        // INVARIANT: The inode owns nothing.
        Ok(Self(unsafe { BackingFile::adopt(file) }))
    }

    /// Makes the inode own `object`, and gives it its number. `module` is a reference for the inode
    /// itself, which can outlive its files where somebody has opened it with O_PATH.
    pub(crate) fn give(self, ino: u32, object: Arc<T>, module: ModuleRef) -> BackingFile<T> {
        // SAFETY: By the type invariant the inode is valid, and it owns nothing yet. Nobody else
        // has its file, and `error_remove_folio()` reads no more of it than `i_private`, as an atomic.
        // INVARIANT: The count of `object` goes to the inode, and the reference to the module.
        unsafe {
            let inode = (*self.0.file.as_ptr()).f_inode;
            (*inode).i_ino = ino.into();
            atomic::atomic_store(&raw mut (*inode).i_private, object.into_foreign(), Release);
        }
        module.into_raw();
        self.0
    }

    /// The pages.
    pub(crate) fn page_cache(&self) -> PageCache<'_> {
        self.0.page_cache()
    }

    /// The size of the inode in bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.size()
    }
}

/// The lock of an inode: two that reserve do not undo each other's work.
///
/// # Invariants
///
/// Holds the `i_rwsem` of a valid inode for writing.
struct InodeLock(*mut bindings::inode);

impl InodeLock {
    /// Takes it.
    ///
    /// # Safety
    ///
    /// The inode must be valid for as long as the lock is held.
    unsafe fn new(inode: *mut bindings::inode) -> Self {
        // SAFETY: By this function's requirement. As `inode_lock()`, which is inline.
        unsafe { bindings::down_write(&raw mut (*inode).i_rwsem) };
        // INVARIANT: The lock was just taken.
        Self(inode)
    }
}

impl Drop for InodeLock {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::up_write(&raw mut (*self.0).i_rwsem) };
    }
}

impl<T: MappedObject> Clone for BackingFile<T> {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant the file is valid.
        unsafe { bindings::get_file(self.file.as_ptr()) };
        // INVARIANT: The count was just taken.
        Self {
            file: self.file,
            _owns: PhantomData,
        }
    }
}

impl<T: MappedObject> PartialEq for BackingFile<T> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.file.as_ptr(), other.file.as_ptr())
    }
}

impl<T: MappedObject> Drop for BackingFile<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the count is ours. The last one is dropped when the task
        // returns to user space, or by a work item: so this may be called from any context.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
