/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * rust_shm - System V shared memory through /dev/rust_shm
 *
 * Open the device, then use the ioctls below where shmget(2), shmat(2), shmdt(2) and
 * shmctl(2) would be used. The descriptor only carries the calls: it holds no segment and no
 * attach, may be closed at any time, and acts for whoever calls, in the IPC namespace of the
 * caller (not of whoever opened it).
 *
 * Every structure has fixed-width fields, no padding holes and the same layout for 32-bit and
 * 64-bit programs. The size of a structure is part of its ioctl number: a structure that grows
 * gets a new number, and the old number goes on working. Unknown flags, and reserved fields that
 * are not zero, are EINVAL, so that they can get a meaning later.
 *
 * All ioctls fail with ENOTTY for an unknown number or size, and with EFAULT when the structure
 * cannot be read (or, where a result travels in it, written: then nothing has been done).
 *
 * Where behaviour is not described here it is that of the system call of the same name on Linux
 * (ipc/shm.c); Documentation/differences.md lists the differences that are on purpose.
 */
#ifndef _UAPI_RUST_SHM_H
#define _UAPI_RUST_SHM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/** RUST_SHM_DEVICE - where the device is found, unless udev was told otherwise. */
#define RUST_SHM_DEVICE "/dev/rust_shm"

/** RUST_SHM_IOC_TYPE - the type byte of every ioctl number below. */
#define RUST_SHM_IOC_TYPE 0xD5

/**
 * RUST_SHM_ABI_VERSION - the revision of this header; see struct rust_shm_version.
 * Revision 2 adds SHM_HUGETLB, SHM_NORESERVE, SHM_LOCK and SHM_UNLOCK; 3 adds RUST_SHM_CTL_HUGE and
 * rust_shm_stat.swap; 4 adds RUST_SHM_IOC_SERVE, RUST_SHM_IOC_FD,
 * RUST_SHM_IOC_RESTORE and rust_shm_stat.flags.
 */
#define RUST_SHM_ABI_VERSION 4

/*
 * The numbers of <sys/ipc.h> and <sys/shm.h> under names of our own, so that this header can be
 * included with or without those two.
 */

/** RUST_SHM_IPC_PRIVATE - as a key: always make a new segment, which no key finds. */
#define RUST_SHM_IPC_PRIVATE 0

/*
 * Flags of struct rust_shm_get. The low nine bits are the permission bits of the new segment, as
 * in open(2).
 */
#define RUST_SHM_IPC_CREAT 0x00000200U	/* 01000: make the segment if no segment has the key */
#define RUST_SHM_IPC_EXCL 0x00000400U	/* 02000: with CREAT: EEXIST if a segment has the key */
#define RUST_SHM_HUGETLB 0x00000800U	/* 04000: of huge pages, all allocated by this call */
#define RUST_SHM_NORESERVE 0x00001000U	/* 010000: commit memory at the touch, not here */

/*
 * With RUST_SHM_HUGETLB: the logarithm of the size of a huge page in six bits, or 0 for the usual
 * size. There is one size: 2 MiB.
 */
#define RUST_SHM_HUGE_SHIFT 26
#define RUST_SHM_HUGE_MASK 0x3fU
#define RUST_SHM_HUGE_2MB (21U << RUST_SHM_HUGE_SHIFT)

/* Flags of struct rust_shm_attach. */
#define RUST_SHM_RDONLY 0x00001000U	/* 010000: attach for reading only */
#define RUST_SHM_RND 0x00002000U	/* 020000: round addr down to SHMLBA (the page size) */
#define RUST_SHM_REMAP 0x00004000U	/* 040000: replace what is mapped at addr */
#define RUST_SHM_EXEC 0x00008000U	/* 0100000: map executable */

/* Commands of struct rust_shm_ctl. */
#define RUST_SHM_IPC_RMID 0U	/* remove it when nobody is attached; its key is free at once */
#define RUST_SHM_IPC_SET 1U	/* set uid, gid and nine bits of mode from a struct rust_shm_stat */
#define RUST_SHM_IPC_STAT 2U	/* fill a struct rust_shm_stat; needs read permission */
#define RUST_SHM_IPC_INFO 3U	/* fill a struct rust_shm_limits; any id from 0 up will do */
#define RUST_SHM_LOCK 11U	/* keep its pages in memory; counts as locked memory of the caller */
#define RUST_SHM_UNLOCK 12U	/* let its pages be swapped out again */
#define RUST_SHM_STAT 13U	/* as IPC_STAT, but id is an index into the table */
#define RUST_SHM_INFO 14U	/* fill a struct rust_shm_usage; any id from 0 up will do */
#define RUST_SHM_STAT_ANY 15U	/* as SHM_STAT, without the check for read permission */

/* Flags of struct rust_shm_ctl, with IPC_STAT, RUST_SHM_STAT and RUST_SHM_STAT_ANY. */
#define RUST_SHM_CTL_HUGE 0x00000001U	/* fill rust_shm_stat.huge: looks at every folio in memory */

/* Flags of struct rust_shm_restore, beside RUST_SHM_HUGETLB, RUST_SHM_HUGE_2MB and RUST_SHM_NORESERVE. */
#define RUST_SHM_RESTORE_OPEN 0x00000001U	/* make it, for its contents to be written */
#define RUST_SHM_RESTORE_CLOSE 0x00000002U	/* they are: set the rest */

/* Bits of rust_shm_stat.mode above the nine permission bits. */
#define RUST_SHM_MODE_DEST 0x00000200U	/* 01000: removed; goes away with the last detach */
#define RUST_SHM_MODE_LOCKED 0x00000400U	/* 02000: locked in memory by RUST_SHM_LOCK */

/* Bits of rust_shm_version.features. */
#define RUST_SHM_FEATURE_SERVE 0x0000000000000001ULL	/* RUST_SHM_IOC_SERVE works on this kernel */
#define RUST_SHM_FEATURE_FD 0x0000000000000002ULL	/* RUST_SHM_IOC_FD */
#define RUST_SHM_FEATURE_RESTORE 0x0000000000000004ULL	/* RUST_SHM_IOC_RESTORE */

/**
 * struct rust_shm_version - what RUST_SHM_IOC_VERSION answers
 * @abi: RUST_SHM_ABI_VERSION of the loaded module; 32 bits. Grows by one with every addition to
 *         this header.
 * @reserved: zero.
 * @features: a bit for each optional ability of the module, RUST_SHM_FEATURE_*; 64 bits.
 */
struct rust_shm_version {
	__u32 abi;
	__u32 reserved;
	__u64 features;
};

/**
 * struct rust_shm_get - find or make a segment, as shmget(2)
 * @key: in: IPC_PRIVATE, or the key the segment is known by in the caller's IPC namespace;
 *         signed, 32 bits.
 * @flags: in: permission bits | RUST_SHM_IPC_CREAT | RUST_SHM_IPC_EXCL | RUST_SHM_HUGETLB |
 *         RUST_SHM_HUGE_2MB | RUST_SHM_NORESERVE; 32 bits.
 * @size: in: size in bytes, 64 bits; rounded up to whole pages when memory is laid out, reported
 *         back unrounded. May be 0 to find a segment.
 *
 * The ioctl returns the segment's id, a number from 0 up. Memory is allocated when it is touched,
 * but the whole size is committed here (Committed_AS in /proc/meminfo). With RUST_SHM_NORESERVE,
 * and unless vm.overcommit_memory is 2, each touch commits what it allocates; where that cannot be
 * committed, the touch gets SIGBUS. Pages can be swapped out.
 *
 * With RUST_SHM_HUGETLB, and without RUST_SHM_NORESERVE, all huge pages that the size takes are
 * allocated here. They do not come from the pool (vm.nr_hugepages), and are never swapped out or
 * split: MADV_REMOVE frees those that lie in its range whole, and zeroes its part of the others.
 *
 * Errors, in the order of ipcget() and newseg():
 *   ENOENT  no segment has the key, and IPC_CREAT is not given
 *   EEXIST  a segment has the key, and IPC_CREAT | IPC_EXCL is given
 *   EINVAL  a segment has the key and is smaller than size; or, for a new one, size is 0 or above
 *           kernel.shmmax; or there are no huge pages of the size; or an unknown flag
 *   EACCES  a segment has the key, and its mode does not allow what the permission bits ask for
 *   ENOSPC  kernel.shmmni segments exist, or kernel.shmall pages would be exceeded
 *   ENFILE  fs.file-max: a segment of 1 MiB or more, or with RUST_SHM_HUGETLB, is an open file
 *   EPERM   RUST_SHM_HUGETLB by a caller without CAP_IPC_LOCK that is not in the group
 *           vm.hugetlb_shm_group
 *   ENOMEM  the kernel has no memory for the segment's record; or the size cannot be committed
 *           (vm.overcommit_memory); or there are not as many huge pages
 *   EINTR   the caller is killed while huge pages are allocated
 */
struct rust_shm_get {
	__s32 key;
	__u32 flags;
	__u64 size;
};

/**
 * struct rust_shm_attach - map a segment into the caller's address space, as shmat(2)
 * @id: in: the segment; signed, 32 bits.
 * @flags: in: RUST_SHM_RDONLY | RUST_SHM_RND | RUST_SHM_REMAP | RUST_SHM_EXEC; 32 bits.
 * @addr: in: where to map, in bytes, or 0 to let the kernel choose; out: where it was mapped; 64
 *         bits.
 * @length: out: how much was mapped, in bytes, a whole number of pages; in: ignored; 64 bits.
 *
 * The ioctl returns 0.
 *
 * Errors, in the order of do_shmat():
 *   EINVAL  id is negative; addr is not a multiple of the page size and RUST_SHM_RND is not
 *           given; addr is 0 with RUST_SHM_REMAP; an unknown flag; no such segment (or not any
 *           more); something is mapped at addr and RUST_SHM_REMAP is not given; addr is no
 *           multiple of 2 MiB, and the segment is one with RUST_SHM_HUGETLB
 *   EIDRM   the segment is removed by somebody else at this very moment
 *   EACCES  the segment's mode does not allow it
 *   ENFILE  fs.file-max: each attach is an open file of the kernel's
 *   EPERM   addr is below vm.mmap_min_addr
 *   EAGAIN  all memory is locked (mlockall(2), MCL_FUTURE), and this would be more than
 *           RLIMIT_MEMLOCK
 *   ENOMEM  no address space or no memory is left
 *   EFAULT  the structure cannot be written: the segment is not attached
 */
struct rust_shm_attach {
	__s32 id;
	__u32 flags;
	__u64 addr;
	__u64 length;
};

/**
 * struct rust_shm_detach - unmap an attached segment, as shmdt(2)
 * @addr: in: the address that the attach gave, in bytes; 64 bits.
 * @flags: in: zero; 32 bits.
 * @reserved: in: zero.
 *
 * Everything that is left of the attach made at @addr goes, also where munmap(2) or mprotect(2)
 * have broken it into pieces.
 * The ioctl returns 0.
 *
 * Errors:
 *   EINVAL  nothing is attached at addr, or flags or reserved are not zero
 *   EINTR   the caller is killed
 *   ENOMEM  the kernel has no memory for the call itself: what is left of the attach goes with the
 *           next one
 */
struct rust_shm_detach {
	__u64 addr;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct rust_shm_ctl - ask about, change or remove a segment, as shmctl(2)
 * @id: in: the segment, or an index for RUST_SHM_STAT and RUST_SHM_STAT_ANY; signed, 32 bits.
 * @cmd: in: one of the commands above; 32 bits.
 * @arg: in: a pointer to the command's structure, zero-extended to 64 bits; ignored by IPC_RMID,
 *            RUST_SHM_LOCK and RUST_SHM_UNLOCK.
 * @arg_size: in: size of that structure in bytes, as the caller's header knows it; 32 bits.
 *            Ignored likewise. A larger size than the module knows is filled up with zeros (or,
 *            for IPC_SET, must hold zeros there: E2BIG). A smaller size gets that many bytes, down
 *            to the size in revision 1, 96 bytes for struct rust_shm_stat; below that is EINVAL.
 * @flags: in: RUST_SHM_CTL_HUGE with IPC_STAT, RUST_SHM_STAT or RUST_SHM_STAT_ANY, else zero; 32
 *            bits.
 *
 * RUST_SHM_LOCK keeps the pages that are in memory, and those touched later, unevictable: they are
 * not swapped out. Pages in swap stay there until they are touched. After RUST_SHM_UNLOCK all may
 * be swapped out again, except huge pages of RUST_SHM_HUGETLB.
 *
 * The ioctl returns what shmctl(2) returns: the id for RUST_SHM_STAT and RUST_SHM_STAT_ANY, the
 * highest index in use for IPC_INFO and RUST_SHM_INFO, otherwise 0.
 *
 * Errors:
 *   EINVAL  id is negative (whatever cmd is), cmd is unknown, arg_size is too small, flags has a
 *           bit that is unknown or not for cmd, no such segment (or not any more); for IPC_SET also
 *           a uid or gid that the caller's user namespace does not know, or reserved that is not
 *           zero
 *   EIDRM   the segment is removed by somebody else at this very moment (not for IPC_SET, IPC_RMID)
 *   EACCES  IPC_STAT or RUST_SHM_STAT without read permission
 *   EPERM   IPC_SET or IPC_RMID by a caller that is neither owner nor creator, and has no
 *           CAP_SYS_ADMIN in the user namespace that owns the IPC namespace; RUST_SHM_LOCK or
 *           RUST_SHM_UNLOCK by one without CAP_IPC_LOCK there, that is neither owner nor creator,
 *           or (to lock) has an RLIMIT_MEMLOCK of 0
 *   ENOMEM  RUST_SHM_LOCK: the caller's locked memory would be more than RLIMIT_MEMLOCK, or the
 *           kernel has no memory for the call itself
 *   E2BIG   arg_size is larger than a page
 *   EFAULT  arg cannot be read or written
 */
struct rust_shm_ctl {
	__s32 id;
	__u32 cmd;
	__u64 arg;
	__u32 arg_size;
	__u32 flags;
};

/**
 * struct rust_shm_stat - one segment, as struct shmid64_ds
 * @key: the key, or 0 (IPC_PRIVATE) once removed; signed, 32 bits.
 * @uid: owner's user id, as the caller's user namespace sees it; 32 bits. Read by IPC_SET.
 * @gid: owner's group id, likewise. Read by IPC_SET.
 * @cuid: creator's user id, likewise.
 * @cgid: creator's group id, likewise.
 * @mode: nine permission bits | RUST_SHM_MODE_*; 32 bits. IPC_SET reads the nine.
 * @cpid: process that made the segment, as the caller's pid namespace sees it, or 0; signed, 32
 *         bits.
 * @lpid: process that attached or detached last, likewise.
 * @segsz: size in bytes as asked for, not rounded; 64 bits.
 * @nattch: number of attaches now; 64 bits.
 * @atime: last attach, in seconds since 1970, or 0; signed, 64 bits.
 * @dtime: last detach, likewise.
 * @ctime: creation or last IPC_SET, likewise.
 * @rss: memory that holds the segment's pages now, in bytes; 64 bits. An addition to shmid64_ds.
 * @huge: with RUST_SHM_CTL_HUGE, how much of @rss is in folios of 2 MiB, in bytes; otherwise 0; 64
 *         bits. An addition to shmid64_ds.
 * @seq: the sequence number in the id, as ipc_perm.__seq; 32 bits.
 * @reserved: zero.
 * @swap: how much of the segment is swapped out, in bytes; 64 bits. An addition to shmid64_ds;
 *         revisions 1 and 2 end before it.
 * @flags: how it was made: RUST_SHM_HUGETLB, RUST_SHM_NORESERVE; 32 bits. Ignored by IPC_SET. An
 *         addition to shmid64_ds; revision 3 ends before it.
 * @reserved2: zero.
 */
struct rust_shm_stat {
	__s32 key;
	__u32 uid;
	__u32 gid;
	__u32 cuid;
	__u32 cgid;
	__u32 mode;
	__s32 cpid;
	__s32 lpid;
	__u64 segsz;
	__u64 nattch;
	__s64 atime;
	__s64 dtime;
	__s64 ctime;
	__u64 rss;
	__u64 huge;
	__u32 seq;
	__u32 reserved;
	__u64 swap;
	__u32 flags;
	__u32 reserved2;
};

/**
 * struct rust_shm_limits - limits of the caller's IPC namespace, as struct shminfo64; 64 bits
 * @shmmax: largest segment, in bytes (kernel.shmmax).
 * @shmmin: smallest segment, in bytes: 1.
 * @shmmni: how many segments there may be (kernel.shmmni).
 * @shmseg: how many attaches a process may have: as shmmni, not enforced, as on Linux.
 * @shmall: how much all segments together may take, in pages (kernel.shmall).
 */
struct rust_shm_limits {
	__u64 shmmax;
	__u64 shmmin;
	__u64 shmmni;
	__u64 shmseg;
	__u64 shmall;
};

/**
 * struct rust_shm_usage - what the caller's IPC namespace uses now, as struct shm_info
 * @used_ids: how many segments there are; 32 bits.
 * @reserved: zero.
 * @shm_tot: size of all segments, in pages; 64 bits.
 * @shm_rss: how much of it is in memory, in pages; 64 bits.
 * @shm_swp: how much of it is swapped out, in pages; 64 bits.
 * @swap_attempts: 0, as on Linux since 2.4.
 * @swap_successes: 0, as on Linux since 2.4.
 */
struct rust_shm_usage {
	__u32 used_ids;
	__u32 reserved;
	__u64 shm_tot;
	__u64 shm_rss;
	__u64 shm_swp;
	__u64 swap_attempts;
	__u64 swap_successes;
};

/* Values of rust_shm_serve.op. */
#define RUST_SHM_SERVE_ASK 0U	/* only tell whether it is on */
#define RUST_SHM_SERVE_ON 1U	/* the system calls are the module's from now on */
#define RUST_SHM_SERVE_OFF 2U	/* they are the kernel's again */

/**
 * struct rust_shm_serve - the system calls themselves, in the caller's IPC namespace
 * @op: in: RUST_SHM_SERVE_*; 32 bits.
 * @flags: in: zero; 32 bits.
 *
 * Where it is on, shmget(2), shmat(2), shmdt(2) and shmctl(2) of all processes in the namespace are
 * the module's, however a program is linked; also those of 32-bit programs, and by ipc(2). They have
 * the segments that the ioctls have. It is off at first, and ends with the namespace. The module
 * cannot be unloaded while it is on somewhere, or while a call is in it.
 *
 * The ioctl returns 1 if it is on when the ioctl is done, 0 if it is off. To switch on what is on,
 * or off what is off, is no error.
 *
 * Errors:
 *   EINVAL  op or flags is unknown
 *   EPERM   ON or OFF by a caller without CAP_SYS_ADMIN in the user namespace that owns the IPC
 *           namespace; ON by one without it in the first user namespace, where the module's
 *           parameter unprivileged_serve is 0
 *   EBUSY   ON: the kernel's own has segments in the namespace; OFF: the module has
 *   EOPNOTSUPP  ON: the module cannot probe system calls on this kernel or architecture (no
 *           RUST_SHM_FEATURE_SERVE), or at present (kernel.ftrace_enabled is 0, or they are
 *           live-patched): the kernel's log says what
 *   ENOMEM  the kernel has no memory for it
 */
struct rust_shm_serve {
	__u32 op;
	__u32 flags;
};

/*
 * Flags of struct rust_shm_fd: O_RDWR and O_CLOEXEC of most architectures. Without RUST_SHM_FD_RDWR,
 * the descriptor is for reading only, as with O_RDONLY.
 */
#define RUST_SHM_FD_RDWR 0x00000002U
#define RUST_SHM_FD_CLOEXEC 0x00080000U

/** RUST_SHM_FD_MAGIC - statfs.f_type of a descriptor of a segment, as fstatfs(2) tells it. */
#define RUST_SHM_FD_MAGIC 0x72735f66U

/**
 * struct rust_shm_fd - a descriptor of a segment
 * @id: in: the segment; signed, 32 bits.
 * @flags: in: RUST_SHM_FD_RDWR | RUST_SHM_FD_CLOEXEC; 32 bits.
 *
 * The ioctl returns a new descriptor. Permission is asked here, as for an attach, and not again:
 * whoever gets the descriptor, by fork(2), SCM_RIGHTS or pidfd_getfd(2), can use it, whatever its
 * user, and its IPC namespace. It keeps the segment as an attach does, also when it is removed.
 *
 * mmap(2) of it is an attach: it counts in rust_shm_stat.nattch, and RUST_SHM_IOC_DETACH unmaps it if
 * it begins at offset 0. read(2), write(2), lseek(2) with SEEK_DATA and SEEK_HOLE, splice(2),
 * copy_file_range(2) and fallocate(2) work as on a memfd whose size is sealed: what goes beyond the
 * end is EFBIG. fstat(2) tells size, owner, permission bits, and the id as st_ino. It is never
 * executable. One for reading cannot be opened for writing again, through /proc/PID/fd.
 *
 * poll(2): POLLIN while the segment is attached, POLLPRI while it is not; POLLHUP once it is
 * removed; POLLOUT always.
 *
 * Errors, in the order of do_shmat():
 *   EINVAL  id is negative; an unknown flag; no such segment (or not any more)
 *   EACCES  the segment's mode does not allow it
 *   EIDRM   the segment is removed by somebody else at this very moment
 *   ENFILE  fs.file-max
 *   ENOMEM  no memory is left
 *   EMFILE  the caller has RLIMIT_NOFILE descriptors
 */
struct rust_shm_fd {
	__s32 id;
	__u32 flags;
};

/**
 * struct rust_shm_restore - make a segment as it was when it was saved
 * @id: in: the id that it is to have, or -1 for the next free one; signed, 32 bits.
 * @key: in: its key, or IPC_PRIVATE; signed, 32 bits.
 * @size: in: as struct rust_shm_get has it; 64 bits.
 * @flags: in: RUST_SHM_HUGETLB | RUST_SHM_HUGE_2MB | RUST_SHM_NORESERVE, as struct rust_shm_get has
 *         them, and RUST_SHM_RESTORE_OPEN or RUST_SHM_RESTORE_CLOSE; 32 bits.
 * @mode: in: nine permission bits | RUST_SHM_MODE_DEST | RUST_SHM_MODE_LOCKED; 32 bits.
 * @uid: in: owner's user id, as the caller's user namespace sees it; 32 bits.
 * @gid: in: owner's group id, likewise.
 * @cuid: in: creator's user id, likewise.
 * @cgid: in: creator's group id, likewise.
 * @cpid: in: process that made the segment, as the caller's pid namespace sees it, or 0; signed, 32
 *         bits. It need not exist: then the number is seen in this pid namespace alone.
 * @lpid: in: process that attached or detached last, likewise.
 * @atime: in: last attach, in seconds since 1970, or 0; signed, 64 bits.
 * @dtime: in: last detach, likewise.
 * @ctime: in: creation or last IPC_SET, likewise.
 *
 * The ioctl returns the id. What it sets, the other calls cannot set, or set to the caller and the
 * present time. The limits, commit accounting and permission for huge pages are those of
 * RUST_SHM_IOC_GET. The segment has no creator for kernel.shm_rmid_forced: it is no orphan.
 *
 * An attach changes times and process ids. So a segment with contents takes two calls. With
 * RUST_SHM_RESTORE_OPEN the segment is made, as the caller's own: uid, gid, cuid and cgid are the
 * caller's, the mode is 0600. Nobody else finds contents that are not complete, and
 * kernel.shm_rmid_forced does not remove it. Then the caller writes the contents and detaches.
 * With RUST_SHM_RESTORE_CLOSE all fields are set but id, key, size, cpid and the flags of
 * RUST_SHM_IOC_GET, which the first call has set.
 *
 * RUST_SHM_MODE_DEST: the segment goes with the next detach that leaves it unattached. @key is
 * IPC_PRIVATE then. RUST_SHM_MODE_LOCKED counts against RLIMIT_MEMLOCK of the caller.
 *
 * Errors; nothing is changed then:
 *   EPERM   a caller without CAP_CHECKPOINT_RESTORE and CAP_SYS_ADMIN in the user namespace that
 *           owns the IPC namespace
 *   EINVAL  an unknown flag or bit of mode; RUST_SHM_RESTORE_OPEN with RUST_SHM_RESTORE_CLOSE; id
 *           is below -1, or with RUST_SHM_RESTORE_CLOSE below 0; a pid or a time is negative;
 *           RUST_SHM_MODE_DEST with a key; RUST_SHM_MODE_LOCKED with RUST_SHM_HUGETLB, which is
 *           never swapped out; a uid or gid that the caller's user namespace does not know; as
 *           RUST_SHM_IOC_GET; with RUST_SHM_RESTORE_CLOSE, no such segment, or not one that is open
 *   EPERM   RUST_SHM_RESTORE_CLOSE by a caller that is neither owner nor creator, and has no
 *           CAP_SYS_ADMIN there; RUST_SHM_HUGETLB as RUST_SHM_IOC_GET
 *   EEXIST  a segment has the key; or one has the index of the id (its lower 15 bits; 24 if the
 *           kernel was booted with ipcmni_extend)
 *   ENOSPC, ENFILE, ENOMEM, EINTR
 *           as RUST_SHM_IOC_GET; ENOMEM also as RUST_SHM_LOCK
 */
struct rust_shm_restore {
	__s32 id;
	__s32 key;
	__u64 size;
	__u32 flags;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 cuid;
	__u32 cgid;
	__s32 cpid;
	__s32 lpid;
	__s64 atime;
	__s64 dtime;
	__s64 ctime;
};

/** RUST_SHM_IOC_VERSION - which revision of this header the module speaks. Returns 0. */
#define RUST_SHM_IOC_VERSION _IOR(RUST_SHM_IOC_TYPE, 0x00, struct rust_shm_version)

/** RUST_SHM_IOC_GET - see struct rust_shm_get. Returns an id. */
#define RUST_SHM_IOC_GET _IOW(RUST_SHM_IOC_TYPE, 0x01, struct rust_shm_get)

/** RUST_SHM_IOC_ATTACH - see struct rust_shm_attach. Returns 0. */
#define RUST_SHM_IOC_ATTACH _IOWR(RUST_SHM_IOC_TYPE, 0x02, struct rust_shm_attach)

/** RUST_SHM_IOC_DETACH - see struct rust_shm_detach. Returns 0. */
#define RUST_SHM_IOC_DETACH _IOW(RUST_SHM_IOC_TYPE, 0x03, struct rust_shm_detach)

/** RUST_SHM_IOC_CTL - see struct rust_shm_ctl. Returns what shmctl(2) returns. */
#define RUST_SHM_IOC_CTL _IOW(RUST_SHM_IOC_TYPE, 0x04, struct rust_shm_ctl)

/** RUST_SHM_IOC_SERVE - see struct rust_shm_serve. Returns 1 or 0. */
#define RUST_SHM_IOC_SERVE _IOW(RUST_SHM_IOC_TYPE, 0x05, struct rust_shm_serve)

/** RUST_SHM_IOC_FD - see struct rust_shm_fd. Returns a descriptor. */
#define RUST_SHM_IOC_FD _IOW(RUST_SHM_IOC_TYPE, 0x06, struct rust_shm_fd)

/**
 * RUST_SHM_FD_ADD_SEALS - on a descriptor of a segment: add seals to the segment, as F_ADD_SEALS of
 * fcntl(2), which takes memfds alone. The argument is F_SEAL_* of <linux/fcntl.h>. A segment always
 * has F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_EXEC. Returns 0.
 *
 * After F_SEAL_WRITE, nobody can write to the segment any more, by whatever way: an attach that is
 * not read-only fails with EPERM. After F_SEAL_FUTURE_WRITE, who has it mapped writable still can.
 *
 * Errors, as of F_ADD_SEALS:
 *   EPERM   the descriptor is for reading only; or the segment has F_SEAL_SEAL
 *   EINVAL  an unknown seal
 *   EBUSY   F_SEAL_WRITE: somebody has the segment mapped writable, is writing to it, or has its
 *           pages pinned
 */
#define RUST_SHM_FD_ADD_SEALS _IO(RUST_SHM_IOC_TYPE, 0x20)

/** RUST_SHM_FD_GET_SEALS - on a descriptor of a segment: returns its seals, as F_GET_SEALS. */
#define RUST_SHM_FD_GET_SEALS _IO(RUST_SHM_IOC_TYPE, 0x21)

/** RUST_SHM_IOC_RESTORE - see struct rust_shm_restore. Returns an id. */
#define RUST_SHM_IOC_RESTORE _IOW(RUST_SHM_IOC_TYPE, 0x07, struct rust_shm_restore)

/*
 * The layout that the module was built with. Both sides refuse to build where they differ.
 */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define _RUST_SHM_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define _RUST_SHM_ASSERT(condition) _Static_assert(condition, #condition)
#else
#define _RUST_SHM_PASTE(a, b) a##b
#define _RUST_SHM_NAME(line) _RUST_SHM_PASTE(_rust_shm_assert_, line)
#define _RUST_SHM_ASSERT(condition) \
	typedef char _RUST_SHM_NAME(__LINE__)[(condition) ? 1 : -1]
#endif
#define _RUST_SHM_SIZE(type, size) _RUST_SHM_ASSERT(sizeof(struct type) == (size))
#define _RUST_SHM_AT(type, field, at) \
	_RUST_SHM_ASSERT(__builtin_offsetof(struct type, field) == (at))

_RUST_SHM_AT(rust_shm_version, abi, 0);
_RUST_SHM_AT(rust_shm_version, reserved, 4);
_RUST_SHM_AT(rust_shm_version, features, 8);
_RUST_SHM_SIZE(rust_shm_version, 16);

_RUST_SHM_AT(rust_shm_get, key, 0);
_RUST_SHM_AT(rust_shm_get, flags, 4);
_RUST_SHM_AT(rust_shm_get, size, 8);
_RUST_SHM_SIZE(rust_shm_get, 16);

_RUST_SHM_AT(rust_shm_attach, id, 0);
_RUST_SHM_AT(rust_shm_attach, flags, 4);
_RUST_SHM_AT(rust_shm_attach, addr, 8);
_RUST_SHM_AT(rust_shm_attach, length, 16);
_RUST_SHM_SIZE(rust_shm_attach, 24);

_RUST_SHM_AT(rust_shm_detach, addr, 0);
_RUST_SHM_AT(rust_shm_detach, flags, 8);
_RUST_SHM_AT(rust_shm_detach, reserved, 12);
_RUST_SHM_SIZE(rust_shm_detach, 16);

_RUST_SHM_AT(rust_shm_ctl, id, 0);
_RUST_SHM_AT(rust_shm_ctl, cmd, 4);
_RUST_SHM_AT(rust_shm_ctl, arg, 8);
_RUST_SHM_AT(rust_shm_ctl, arg_size, 16);
_RUST_SHM_AT(rust_shm_ctl, flags, 20);
_RUST_SHM_SIZE(rust_shm_ctl, 24);

_RUST_SHM_AT(rust_shm_fd, id, 0);
_RUST_SHM_AT(rust_shm_fd, flags, 4);
_RUST_SHM_SIZE(rust_shm_fd, 8);

_RUST_SHM_AT(rust_shm_stat, key, 0);
_RUST_SHM_AT(rust_shm_stat, uid, 4);
_RUST_SHM_AT(rust_shm_stat, gid, 8);
_RUST_SHM_AT(rust_shm_stat, cuid, 12);
_RUST_SHM_AT(rust_shm_stat, cgid, 16);
_RUST_SHM_AT(rust_shm_stat, mode, 20);
_RUST_SHM_AT(rust_shm_stat, cpid, 24);
_RUST_SHM_AT(rust_shm_stat, lpid, 28);
_RUST_SHM_AT(rust_shm_stat, segsz, 32);
_RUST_SHM_AT(rust_shm_stat, nattch, 40);
_RUST_SHM_AT(rust_shm_stat, atime, 48);
_RUST_SHM_AT(rust_shm_stat, dtime, 56);
_RUST_SHM_AT(rust_shm_stat, ctime, 64);
_RUST_SHM_AT(rust_shm_stat, rss, 72);
_RUST_SHM_AT(rust_shm_stat, huge, 80);
_RUST_SHM_AT(rust_shm_stat, seq, 88);
_RUST_SHM_AT(rust_shm_stat, reserved, 92);
_RUST_SHM_AT(rust_shm_stat, swap, 96);
_RUST_SHM_AT(rust_shm_stat, flags, 104);
_RUST_SHM_AT(rust_shm_stat, reserved2, 108);
_RUST_SHM_SIZE(rust_shm_stat, 112);

_RUST_SHM_AT(rust_shm_limits, shmmax, 0);
_RUST_SHM_AT(rust_shm_limits, shmmin, 8);
_RUST_SHM_AT(rust_shm_limits, shmmni, 16);
_RUST_SHM_AT(rust_shm_limits, shmseg, 24);
_RUST_SHM_AT(rust_shm_limits, shmall, 32);
_RUST_SHM_SIZE(rust_shm_limits, 40);

_RUST_SHM_AT(rust_shm_usage, used_ids, 0);
_RUST_SHM_AT(rust_shm_usage, reserved, 4);
_RUST_SHM_AT(rust_shm_usage, shm_tot, 8);
_RUST_SHM_AT(rust_shm_usage, shm_rss, 16);
_RUST_SHM_AT(rust_shm_usage, shm_swp, 24);
_RUST_SHM_AT(rust_shm_usage, swap_attempts, 32);
_RUST_SHM_AT(rust_shm_usage, swap_successes, 40);
_RUST_SHM_SIZE(rust_shm_usage, 48);

_RUST_SHM_AT(rust_shm_restore, id, 0);
_RUST_SHM_AT(rust_shm_restore, key, 4);
_RUST_SHM_AT(rust_shm_restore, size, 8);
_RUST_SHM_AT(rust_shm_restore, flags, 16);
_RUST_SHM_AT(rust_shm_restore, mode, 20);
_RUST_SHM_AT(rust_shm_restore, uid, 24);
_RUST_SHM_AT(rust_shm_restore, gid, 28);
_RUST_SHM_AT(rust_shm_restore, cuid, 32);
_RUST_SHM_AT(rust_shm_restore, cgid, 36);
_RUST_SHM_AT(rust_shm_restore, cpid, 40);
_RUST_SHM_AT(rust_shm_restore, lpid, 44);
_RUST_SHM_AT(rust_shm_restore, atime, 48);
_RUST_SHM_AT(rust_shm_restore, dtime, 56);
_RUST_SHM_AT(rust_shm_restore, ctime, 64);
_RUST_SHM_SIZE(rust_shm_restore, 72);

_RUST_SHM_AT(rust_shm_serve, op, 0);
_RUST_SHM_AT(rust_shm_serve, flags, 4);
_RUST_SHM_SIZE(rust_shm_serve, 8);

#endif /* _UAPI_RUST_SHM_H */
