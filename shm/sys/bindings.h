/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for rust_shm: see Kbuild and shm/sys/bindgen_parameters.
 */
#include <linux/types.h>
#include <linux/falloc.h>
#include <linux/fs_context.h>
#include <linux/ipc_namespace.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/proc_fs.h>
#include <linux/pseudo_fs.h>
#include <linux/shm.h>
#include <linux/shmem_fs.h>
#include <linux/splice.h>
#include <linux/task_work.h>
#include <linux/xarray.h>

#include <uapi/rust_shm.h>

#include "events.h"
#include "helpers.h"
#include "served.h"

/* Function-like macros are beyond bindgen. */
const __u32 RUST_SHM_HEADER_IOC_VERSION = RUST_SHM_IOC_VERSION;
const __u32 RUST_SHM_HEADER_IOC_GET = RUST_SHM_IOC_GET;
const __u32 RUST_SHM_HEADER_IOC_ATTACH = RUST_SHM_IOC_ATTACH;
const __u32 RUST_SHM_HEADER_IOC_DETACH = RUST_SHM_IOC_DETACH;
const __u32 RUST_SHM_HEADER_IOC_CTL = RUST_SHM_IOC_CTL;
const __u32 RUST_SHM_HEADER_IOC_FD = RUST_SHM_IOC_FD;
const __u32 RUST_SHM_HEADER_FD_ADD_SEALS = RUST_SHM_FD_ADD_SEALS;
const __u32 RUST_SHM_HEADER_FD_GET_SEALS = RUST_SHM_FD_GET_SEALS;
const __u32 RUST_SHM_HEADER_IOC_RESTORE = RUST_SHM_IOC_RESTORE;
const __u32 RUST_SHM_HEADER_IOC_SERVE = RUST_SHM_IOC_SERVE;
const __u32 RUST_SHM_HEADER_CAN_SERVE = RUST_SHM_CAN_SERVE;

/* Constants that are made of casts, or that the kernel's bindings leave out. */
const gfp_t RUST_SHM_GFP_PROMISED = GFP_HIGHUSER_MOVABLE | __GFP_COMP | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
const gfp_t RUST_SHM_GFP_NO_OOM = __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
const gfp_t RUST_SHM_XA_FLAGS = XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT;
const unsigned short RUST_SHM_MPOL_PREFERRED_MANY = MPOL_PREFERRED_MANY;
const unsigned int RUST_SHM_SB_KERNMOUNT = SB_KERNMOUNT;
const unsigned int RUST_SHM_SB_I_NOEXEC = SB_I_NOEXEC;
const fmode_t RUST_SHM_FMODE_SEEKABLE = FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
const fmode_t RUST_SHM_FMODE_CAN_READ_WRITE = FMODE_CAN_READ | FMODE_CAN_WRITE;
const fmode_t RUST_SHM_FMODE_WRITE = FMODE_WRITE;
const int RUST_SHM_IOCB_APPEND = IOCB_APPEND;
const unsigned long RUST_SHM_SHMEM_F_LOCKED = SHMEM_F_LOCKED;
const unsigned int RUST_SHM_PMD_SHIFT = PMD_SHIFT;
const unsigned long RUST_SHM_SHMLBA = SHMLBA;
#ifdef COMPAT_SHMLBA
const unsigned long RUST_SHM_COMPAT_SHMLBA = COMPAT_SHMLBA;
#else
const unsigned long RUST_SHM_COMPAT_SHMLBA = SHMLBA;
#endif

/* Fields of structures that bindgen cannot lay out. */
const size_t RUST_SHM_OFFSET_NS_ID = offsetof(struct ipc_namespace, ns.ns_id);
const size_t RUST_SHM_OFFSET_NS_INUM = offsetof(struct ipc_namespace, ns.inum);
const size_t RUST_SHM_OFFSET_NS_REF = offsetof(struct ipc_namespace, ns.__ns_ref);
const size_t RUST_SHM_OFFSET_USER_NS_UCOUNTS = offsetof(struct user_namespace, ucounts);
const size_t RUST_SHM_OFFSET_USER_NS_RLIMIT_MAX = offsetof(struct user_namespace, rlimit_max);
const __u64 RUST_SHM_NS_LAST_INIT_ID = NS_LAST_INIT_ID;
const size_t RUST_SHM_OFFSET_FS_CONTEXT_IFLAGS = offsetof(struct fs_context, s_iflags);
const size_t RUST_SHM_OFFSET_SHMEM_FLAGS = offsetof(struct shmem_inode_info, flags);
const size_t RUST_SHM_OFFSET_SHMEM_SWAPPED = offsetof(struct shmem_inode_info, swapped);
#ifdef CONFIG_NUMA
const size_t RUST_SHM_OFFSET_SHMEM_POLICY = offsetof(struct shmem_inode_info, policy.root.rb_node);
#else
const size_t RUST_SHM_OFFSET_SHMEM_POLICY = 0;
#endif
const size_t RUST_SHM_OFFSET_SHMEM_INODE = offsetof(struct shmem_inode_info, vfs_inode);

/* Where fields are, and sizes, for shm/sys/layout.rs. */
#define FIELD(type, field) const size_t RUST_SHM_AT_##type##_##field = offsetof(struct type, field)
#define SIZE(type) const size_t RUST_SHM_SIZE_##type = sizeof(struct type)
FIELD(task_struct, signal);
FIELD(task_struct, cred);
FIELD(task_struct, mm);
FIELD(task_struct, nsproxy);
FIELD(task_struct, alloc_lock);
FIELD(task_struct, pending);
FIELD(signal_struct, rlim);
FIELD(signal_struct, pids);
FIELD(cred, euid);
FIELD(cred, user_ns);
FIELD(cred, ucounts);
FIELD(ucounts, ns);
FIELD(ucounts, rlimit);
FIELD(nsproxy, ipc_ns);
FIELD(ipc_namespace, ids);
FIELD(ipc_namespace, shm_ctlmax);
FIELD(ipc_namespace, shm_ctlall);
FIELD(ipc_namespace, shm_ctlmni);
FIELD(ipc_namespace, shm_rmid_forced);
FIELD(ipc_namespace, user_ns);
FIELD(vm_area_struct, vm_mm);
FIELD(vm_area_struct, vm_ops);
FIELD(vm_area_struct, vm_pgoff);
FIELD(vm_area_struct, vm_file);
FIELD(vm_area_struct, vm_start);
FIELD(vm_area_struct, vm_end);
FIELD(vm_area_struct, vm_flags);
FIELD(inode, i_mode);
FIELD(inode, i_flags);
FIELD(inode, i_op);
FIELD(inode, i_sb);
FIELD(inode, i_mapping);
FIELD(inode, i_ino);
FIELD(inode, i_size);
FIELD(inode, i_data);
FIELD(inode, i_private);
FIELD(inode, i_fop);
FIELD(file, f_mode);
FIELD(file, f_op);
FIELD(file, f_mapping);
FIELD(file, private_data);
FIELD(file, f_inode);
FIELD(file, f_flags);
FIELD(file, f_cred);
FIELD(file, f_ref);
FIELD(file, f_path);
FIELD(kiocb, ki_filp);
FIELD(kiocb, ki_pos);
FIELD(kiocb, ki_flags);
FIELD(address_space, i_pages);
FIELD(address_space, nrpages);
FIELD(address_space, flags);
FIELD(address_space, gfp_mask);
FIELD(vfsmount, mnt_root);
FIELD(vfsmount, mnt_sb);
FIELD(pid, count);
FIELD(seq_file, private);
FIELD(kprobe, symbol_name);
FIELD(kprobe, pre_handler);
FIELD(pseudo_fs_context, ops);
FIELD(vm_fault, vma);
FIELD(vm_fault, pgoff);
FIELD(mm_struct, mmap_lock);
FIELD(mm_struct, mm_users);
FIELD(mm_struct, flags);
FIELD(dentry, d_inode);
FIELD(dentry, d_lockref);
FIELD(lockref, count);
FIELD(folio, index);
FIELD(folio, flags);
FIELD(folio, _refcount);
FIELD(page, flags);
FIELD(callback_head, func);
FIELD(kstat, size);
FIELD(kstat, blocks);
FIELD(kstat, atime);
FIELD(kstat, mtime);
FIELD(kstat, ctime);
FIELD(kstat, uid);
FIELD(kstat, gid);
FIELD(kstat, mode);
SIZE(kprobe);
SIZE(callback_head);
SIZE(ipc_ids);
SIZE(file_system_type);
SIZE(super_operations);
SIZE(inode_operations);
SIZE(file_operations);
SIZE(vm_operations_struct);
SIZE(proc_ops);
SIZE(kernel_param);
SIZE(kernel_param_ops);
SIZE(qstr);
SIZE(path);
SIZE(miscdevice);
SIZE(wait_queue_head);
SIZE(xarray);
SIZE(xa_state);
SIZE(xa_limit);
SIZE(kstat);
#ifdef CONFIG_NUMA
FIELD(task_struct, mempolicy);
FIELD(task_struct, mems_allowed);
FIELD(mempolicy, mode);
FIELD(mempolicy, home_node);
FIELD(mempolicy, nodes);
SIZE(mempolicy);
#endif
#ifdef CONFIG_CHECKPOINT_RESTORE
FIELD(ipc_ids, next_id);
#endif
