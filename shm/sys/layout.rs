// SPDX-License-Identifier: GPL-2.0

//! Compile-time checks that fields of the kernel's structures are where C has them, and that those
//! that the module makes are as large as in C.
//!
//! bindgen cannot lay out all of C: of the union in `struct ns_common` of 7.2 it leaves out a member
//! without a name (`struct ns_tree;`), so what follows is elsewhere. It says nothing of that, as the
//! kernel has it make no checks. A field that fails here is to be taken by its offset, as
//! `RUST_SHM_OFFSET_...` in `bindings.h`.

use super::bindings;
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::macros::paste;

/// The name that C has for a field, and the path to it where bindgen has made names between.
macro_rules! fields {
    ($($type:ident { $($field:ident $(: $first:ident $(. $rest:ident)*)?),* })*) => {
        paste! {
            const _: () = {
                $($(assert!(
                    fields!(@offset $type $field $($first $($rest)*)?)
                        == bindings::[<RUST_SHM_AT_ $type _ $field>] as usize
                );)*)*
            };
        }
    };
    (@offset $type:ident $field:ident) => { offset_of!(bindings::$type, $field) };
    (@offset $type:ident $field:ident $($path:ident)+) => { offset_of!(bindings::$type, $($path).+) };
}

macro_rules! sizes {
    ($($type:ident)*) => {
        paste! {
            const _: () = {
                $(assert!(
                    size_of::<bindings::$type>() == bindings::[<RUST_SHM_SIZE_ $type>] as usize
                );)*
            };
        }
    };
}

fields! {
    task_struct { signal, cred, mm, nsproxy, alloc_lock, pending }
    signal_struct { rlim, pids }
    cred { euid, user_ns, ucounts }
    ucounts { ns, rlimit }
    nsproxy { ipc_ns }
    ipc_namespace { ids, shm_ctlmax, shm_ctlall, shm_ctlmni, shm_rmid_forced, user_ns }
    vm_area_struct { vm_mm, vm_ops, vm_pgoff, vm_file, vm_start: __bindgen_anon_1.__bindgen_anon_1.vm_start, vm_end: __bindgen_anon_1.__bindgen_anon_1.vm_end, vm_flags: __bindgen_anon_2.vm_flags }
    inode { i_mode, i_flags, i_op, i_sb, i_mapping, i_ino, i_size, i_data, i_private, i_fop: __bindgen_anon_3.i_fop }
    file { f_mode, f_op, f_mapping, private_data, f_inode, f_flags, f_cred, f_ref, f_path: __bindgen_anon_1.f_path }
    kiocb { ki_filp, ki_pos, ki_flags }
    address_space { i_pages, nrpages, flags, gfp_mask }
    vfsmount { mnt_root, mnt_sb }
    pid { count }
    seq_file { private }
    kprobe { symbol_name, pre_handler }
    pseudo_fs_context { ops }
    vm_fault { vma: __bindgen_anon_1.vma, pgoff: __bindgen_anon_1.pgoff }
    mm_struct { mmap_lock: __bindgen_anon_1.mmap_lock, mm_users: __bindgen_anon_1.mm_users, flags: __bindgen_anon_1.flags }
    dentry { d_inode, d_lockref }
    lockref { count: __bindgen_anon_1.__bindgen_anon_1.count }
    folio { index: __bindgen_anon_1.__bindgen_anon_1.__bindgen_anon_2.index, flags: __bindgen_anon_1.__bindgen_anon_1.flags, _refcount: __bindgen_anon_1.__bindgen_anon_1._refcount }
    page { flags }
    callback_head { func }
    kstat { size, blocks, atime, mtime, ctime, uid, gid, mode }
}

sizes! {
    kprobe callback_head ipc_ids file_system_type super_operations
    inode_operations file_operations vm_operations_struct proc_ops kernel_param
    kernel_param_ops qstr path miscdevice wait_queue_head
    xarray xa_state xa_limit kstat
}

#[cfg(CONFIG_NUMA)]
fields! {
    task_struct { mempolicy, mems_allowed }
    mempolicy { mode, home_node, nodes }
}

#[cfg(CONFIG_NUMA)]
sizes! { mempolicy }

#[cfg(CONFIG_CHECKPOINT_RESTORE)]
fields! { ipc_ids { next_id } }
