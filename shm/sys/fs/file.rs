// SPDX-License-Identifier: GPL-2.0

//! A file for an attach: maps the pages of an object, and tells the object what happens to its
//! mappings.
//!
//! As in `ipc/shm.c`, it is one more `struct file` of an inode of shmem, with operations of its own:
//! they do what is theirs, and leave the rest to shmem's. The chain of ownership is: VMA, attach file,
//! object, [`ShmemFile`](super::shmem_file::ShmemFile). The kernel keeps the first two.

#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
use super::mapping::find_area;
use super::{
    fault::Fault,
    mapping::{
        Access,
        MappedObject,
        Use,
        PUNCH_HOLE, //
    },
    mount::TmpfsMount,
    opened,
    shmem::Shmem,
    shmem_file::ShmemRef, //
};
use crate::shm::sys::{
    bindings,
    compat::{
        eopnotsupp,
        map_shmem,
        this_module,
        AtomicPtr, //
    },
    sync::module_ref::ModuleRef, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    fs::File,
    mm::virt::flags,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// A counted file that maps an object of type `T`. It may be dropped in any context: the last count
/// goes when the task returns to user space, or by a work item.
///
/// # Invariants
///
/// The file is one that [`AttachFile::open()`] has made.
pub(crate) struct AttachFile<T: MappedObject> {
    file: ARef<File>,
    _owns: PhantomData<Arc<T>>,
}

/// The operations that shmem gives to a mapping of an unlinked file: one table for all of them. Set
/// by the first mapping; a VMA with [`AttachFile::VM_OPS`] was made after that.
static SHMEM_VM_OPS: AtomicPtr<bindings::vm_operations_struct> = AtomicPtr::new(ptr::null());

/// shmem's operations of a mapping, for a caller that has a VMA with [`AttachFile::VM_OPS`].
fn shmem_vm_ops() -> &'static bindings::vm_operations_struct {
    const NONE: &bindings::vm_operations_struct = &pin_init::zeroed();
    // SAFETY: What is stored is null, or a table that the kernel never frees.
    unsafe { SHMEM_VM_OPS.load(Relaxed).as_ref() }.unwrap_or(NONE)
}

impl<T: MappedObject> AttachFile<T> {
    const FILE_OPS: bindings::file_operations = bindings::file_operations {
        owner: this_module(),
        release: Some(Self::release),
        fsync: Some(bindings::noop_fsync),
        mmap: Some(Self::mmap),
        fallocate: Some(Self::fallocate),
        #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
        get_unmapped_area: Some(Self::get_unmapped_area),
        ..pin_init::zeroed()
    };

    const VM_OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::vm_open),
        close: Some(Self::vm_close),
        may_split: Some(Self::vm_may_split),
        fault: Some(Self::vm_fault),
        map_pages: Some(bindings::filemap_map_pages),
        #[cfg(CONFIG_NUMA)]
        set_policy: Some(Self::vm_set_policy),
        #[cfg(CONFIG_NUMA)]
        get_policy: Some(Self::vm_get_policy),
        ..pin_init::zeroed()
    };

    /// Opens a file for an attach of `object`, whose pages are in `pages`.
    pub(crate) fn open(pages: &ShmemRef, access: Access, object: Arc<T>) -> Result<Self> {
        let flags = access.flags() | bindings::O_LARGEFILE;
        let module_ref = ModuleRef::get()?;
        // SAFETY: `pages` has a valid file, which holds its path; `current` holds its credentials.
        let file = unsafe {
            opened(bindings::dentry_open(
                &raw const (*pages.as_ptr()).__bindgen_anon_1.f_path,
                flags as c_int,
                (*bindings::get_current()).cred,
            ))
        }?;
        // SAFETY: The file is new: nobody else knows it. Its operations were shmem's, which is no
        // module; `fput()` drops the reference to this one.
        unsafe {
            (*file.as_ptr()).f_op = &Self::FILE_OPS;
            // Those read and write; who asks for a build ID tries it.
            (*file.as_ptr()).f_mode &= !bindings::RUST_SHM_FMODE_CAN_READ_WRITE;
            (*file.as_ptr()).private_data = object.into_foreign().cast();
        }
        module_ref.into_raw();
        // INVARIANT: The file is new.
        Ok(Self {
            file,
            _owns: PhantomData,
        })
    }

    /// Another reference, for a new attach, provided that this is the only one, and that
    /// [`AttachFile::open()`] would open the same: a file with this access and the credentials that
    /// the caller has now. Must be called with a lock held under which alone this reference is
    /// cloned: then nobody else can get one.
    pub(crate) fn reuse(&self, access: Access) -> Option<Self> {
        let file = self.file.as_ptr();
        // SAFETY: By the type invariant the file is valid, and holds its credentials; `current`
        // holds its own. Those pointers are compared, not used. The count is read once: 0 stands for
        // one reference (`file_ref_read()`).
        let same = unsafe {
            (&raw const (*file).f_ref.refcnt.counter).read_volatile() == 0
                && (*file).f_flags & bindings::O_ACCMODE == access.flags()
                && ptr::eq((*file).f_cred, (*bindings::get_current()).cred)
        };
        same.then(|| self.clone())
    }

    /// The size of the file in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: By the type invariant the file holds its inode, which is shmem's.
        unsafe { Shmem::from_raw((*self.file.as_ptr()).f_inode) }.size()
    }

    /// The file, for C functions.
    pub(in crate::shm::sys) fn as_ptr(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// Takes a reference to `file`, if it is one for attaches on one of these mounts.
    ///
    /// # Safety
    ///
    /// `file` must be null or point to a file that somebody holds for as long as this runs.
    pub(in crate::shm::sys) unsafe fn from_raw(
        file: *mut bindings::file,
        mounts: &[TmpfsMount],
    ) -> Option<Self> {
        if file.is_null() {
            return None;
        }
        // SAFETY: By this function's requirement. shmem has no use for `private_data`.
        let (filesystem, data) =
            unsafe { ((*(*file).f_inode).i_sb as usize, (*file).private_data) };
        if data.is_null() || !mounts.iter().any(|mount| mount.filesystem() == filesystem) {
            return None;
        }
        // INVARIANT: Only `open()` marks a file on such a mount.
        Some(Self {
            // SAFETY: By this function's requirement, and as in `open()`.
            file: unsafe { File::from_raw_file(file) }.into(),
            _owns: PhantomData,
        })
    }

    /// The object of a file.
    ///
    /// # Safety
    ///
    /// `file` must have `FILE_OPS`, and be held for the lifetime that is chosen.
    unsafe fn object<'a>(file: *const bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: By this function's requirement `private_data` came from `into_foreign()`, and is
        // the file's until it is released.
        unsafe { Arc::<T>::borrow((*file).private_data.cast()) }
    }

    /// The object of a mapping.
    ///
    /// # Safety
    ///
    /// `vma` must have `VM_OPS`, and be locked for the lifetime that is chosen.
    unsafe fn object_of<'a>(vma: *const bindings::vm_area_struct) -> ArcBorrow<'a, T> {
        // SAFETY: `mmap()` alone gives a VMA these operations, on a file with `FILE_OPS`, and the
        // VMA holds it.
        unsafe { Self::object((*vma).vm_file) }
    }

    /// What a mapping can do.
    ///
    /// # Safety
    ///
    /// `vma` must be valid, and its flags must stay.
    unsafe fn use_of(vma: *const bindings::vm_area_struct) -> Use {
        // SAFETY: By this function's requirement.
        Use::of(unsafe { (*vma).__bindgen_anon_2.vm_flags })
    }

    /// # Safety
    ///
    /// Called by the VFS with a file that has `FILE_OPS`, and that nobody has any more.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By this function's requirement; the reference that `open()` gave to the file. The
        // file's own reference to the module is dropped after this.
        drop(unsafe { Arc::<T>::from_foreign((*file).private_data.cast()) });
        0
    }

    /// As `shm_mmap()`.
    ///
    /// # Safety
    ///
    /// Called by mm with a file that has `FILE_OPS`, and a VMA that is being made for it.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By this function's requirement; the caller holds the file.
            let object = unsafe { Self::object(file) };
            // SAFETY: The VMA is being made: nobody else knows it.
            let vm_flags = unsafe { &mut (*vma).__bindgen_anon_2.vm_flags };
            let wanted = Use::of(*vm_flags);
            let mut use_of = wanted;
            let pages = object.mapped(&mut use_of)?;
            if use_of != wanted {
                *vm_flags &= !flags::MAYWRITE;
            }
            let made = (|| {
                // SAFETY: The VMA is being made: nobody else knows it.
                let first = unsafe { (*vma).vm_pgoff };
                // As `hugetlbfs_file_mmap()`: remap_file_pages(2) may ask for part of a huge page.
                if first % (object.alignment() / PAGE_SIZE) != 0 {
                    return Err(EINVAL);
                }
                // SAFETY: The file is shmem's own; the VMA is being made.
                unsafe { map_shmem(pages.as_ptr(), vma) }
            })();
            if let Err(e) = made {
                T::closed(object, use_of);
                return Err(e);
            }
            // SAFETY: The VMA is being made: nobody else knows it. What is stored is a table of
            // shmem's, which is no module.
            unsafe {
                SHMEM_VM_OPS.store((*vma).vm_ops, Relaxed);
                (*vma).vm_ops = &Self::VM_OPS;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by mm with a file that has `FILE_OPS`, which its caller holds.
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    unsafe extern "C" fn get_unmapped_area(
        file: *mut bindings::file,
        address: c_ulong,
        length: c_ulong,
        offset: c_ulong,
        flags: c_ulong,
    ) -> c_ulong {
        // SAFETY: By this function's requirement.
        unsafe {
            let alignment = Self::object(file).alignment();
            find_area(file, alignment, address, length, offset, flags)
        }
    }

    /// # Safety
    ///
    /// Called by mm with a VMA that has `VM_OPS`, and the lock of its address space held for
    /// writing.
    unsafe extern "C" fn vm_open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By this function's requirement.
        unsafe { Self::object_of(vma).opened(Self::use_of(vma)) };
    }

    /// # Safety
    ///
    /// As for `vm_open()`.
    unsafe extern "C" fn vm_close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By this function's requirement. The VMA drops its file only after this.
        unsafe { T::closed(Self::object_of(vma), Self::use_of(vma)) };
    }

    /// A mapping of an object that was promised large folios is not cut within one.
    ///
    /// # Safety
    ///
    /// Called by mm with a VMA that has `VM_OPS`, locked, and where it is to be split.
    unsafe extern "C" fn vm_may_split(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
    ) -> c_int {
        // SAFETY: By this function's requirement.
        if address % unsafe { Self::object_of(vma) }.alignment() == 0 {
            0
        } else {
            EINVAL.to_errno()
        }
    }

    /// # Safety
    ///
    /// Called by mm with a fault in a VMA that has `VM_OPS`, locked for reading.
    unsafe extern "C" fn vm_fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: By this function's requirement.
        unsafe {
            Self::object_of((*vmf).__bindgen_anon_1.vma).fault(&Fault::from_raw(vmf));
        }
        match shmem_vm_ops().fault {
            // SAFETY: By this function's requirement. The VMA is of an inode of shmem.
            Some(fault) => unsafe { fault(vmf) },
            None => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
        }
    }

    /// # Safety
    ///
    /// Called by mm with a VMA that has `VM_OPS`, and the lock of its address space held for
    /// writing.
    #[cfg(CONFIG_NUMA)]
    unsafe extern "C" fn vm_set_policy(
        vma: *mut bindings::vm_area_struct,
        policy: *mut kernel::bindings::mempolicy,
    ) -> c_int {
        match shmem_vm_ops().set_policy {
            // SAFETY: By this function's requirement. The VMA is of an inode of shmem.
            Some(set) => unsafe { set(vma, policy) },
            None => 0,
        }
    }

    /// # Safety
    ///
    /// Called by mm with a VMA that has `VM_OPS`, locked, and an address in it.
    #[cfg(CONFIG_NUMA)]
    unsafe extern "C" fn vm_get_policy(
        vma: *mut bindings::vm_area_struct,
        address: usize,
        interleave: *mut c_ulong,
    ) -> *mut kernel::bindings::mempolicy {
        match shmem_vm_ops().get_policy {
            // SAFETY: By this function's requirement. The VMA is of an inode of shmem.
            Some(get) => unsafe { get(vma, address, interleave) },
            None => ptr::null_mut(),
        }
    }

    /// MADV_REMOVE. Nothing else comes to an attach file: who opens one by `/proc/PID/map_files` gets
    /// one of shmem's.
    ///
    /// # Safety
    ///
    /// Called by the VFS with a file that has `FILE_OPS`, which its caller holds.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        offset: bindings::loff_t,
        length: bindings::loff_t,
    ) -> c_long {
        from_result(|| {
            // SAFETY: By this function's requirement; the file holds its inode, which is shmem's, and
            // that has a table of operations.
            let (object, pages, shmem) = unsafe {
                let inode = (*file).f_inode;
                let shmem = (*(*inode).__bindgen_anon_3.i_fop).fallocate;
                (Self::object(file), Shmem::from_raw(inode), shmem)
            };
            // CAST: Flags.
            let shmem = shmem
                .filter(|_| mode as u32 == PUNCH_HOLE)
                .ok_or_else(eopnotsupp)?;
            let start = usize::try_from(offset).map_err(|_| EINVAL)?;
            let length = usize::try_from(length).map_err(|_| EINVAL)?;
            let bytes = start..start.checked_add(length).ok_or(EINVAL)?;
            object.write(&mut || {
                let bytes = object.punch(pages, bytes.clone());
                if !bytes.is_empty() {
                    // SAFETY: As above. shmem looks at the inode of the file alone.
                    // CAST: No more than what was given; 0 or an errno.
                    to_result(unsafe {
                        shmem(file, mode, bytes.start as i64, bytes.len() as i64) as c_int
                    })?;
                }
                Ok(0)
            })?;
            Ok(0)
        })
    }
}

/// A mapping that is being made, of a file that only stands for an object.
///
/// # Invariants
///
/// It is a VMA that an `mmap` operation of a file has been called with, and that operation is
/// running.
pub(crate) struct NewMapping<'a>(*mut bindings::vm_area_struct, PhantomData<&'a ()>);

impl NewMapping<'_> {
    /// # Safety
    ///
    /// `vma` must be as the type invariant says.
    pub(super) unsafe fn from_raw(vma: *mut bindings::vm_area_struct) -> Self {
        // INVARIANT: By this function's requirement.
        Self(vma, PhantomData)
    }

    /// Makes it a mapping of `file` instead.
    pub(crate) fn map<T: MappedObject>(self, file: &AttachFile<T>) -> Result {
        // SAFETY: By the type invariant the VMA is being made, and has a file, whose reference is
        // dropped; it takes one to the new file. That has `FILE_OPS`.
        unsafe {
            bindings::vma_set_file(self.0, file.as_ptr());
            to_result(AttachFile::<T>::mmap(file.as_ptr(), self.0))
        }
    }
}

impl<T: MappedObject> Clone for AttachFile<T> {
    fn clone(&self) -> Self {
        Self {
            file: self.file.clone(),
            _owns: PhantomData,
        }
    }
}
