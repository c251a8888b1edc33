// SPDX-License-Identifier: GPL-2.0

//! Compile-time checks that fields of the kernel's structures are where C has them.
//!
//! bindgen cannot lay out all of C: what follows a `struct ns_common` of 7.2, in which it misses an
//! alignment, is elsewhere. It says nothing of that, as the kernel has it make no checks. What fails
//! here is to be taken by its offset, as `RUST_SHM_OFFSET_...` in `bindings.h`.

use super::bindings;

macro_rules! fields {
    ($($type:ident { $($field:ident),* })*) => {
        kernel::macros::paste! {
            const _: () = {
                $($(assert!(
                    core::mem::offset_of!(bindings::$type, $field)
                        == bindings::[<RUST_SHM_AT_ $type _ $field>] as usize
                );)*)*
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
    vm_area_struct { vm_mm, vm_ops, vm_pgoff, vm_file }
    inode { i_mode, i_flags, i_op, i_sb, i_mapping, i_ino, i_size, i_data, i_private }
    file { f_mode, f_op, f_mapping, private_data, f_inode, f_flags, f_cred, f_ref }
    kiocb { ki_filp, ki_pos, ki_flags }
    address_space { i_pages, nrpages }
    vfsmount { mnt_root, mnt_sb }
    pid { count }
    seq_file { private }
    kprobe { symbol_name, pre_handler }
    pseudo_fs_context { ops }
}
