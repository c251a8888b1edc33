/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * librust_shm - shmget(2), shmat(2), shmdt(2) and shmctl(2) over /dev/rust_shm
 *
 * The four functions have the names, structures and errors of libc's <sys/shm.h>. A program needs to include only that. This
 * header describes the differences, and rust_shm_fd(), which libc has not.
 *
 * Link with -lrust_shm (pkg-config --libs librust_shm). For existing programs, preload the library with
 * LD_PRELOAD=.../librust_shm_preload.so:
 *
 *	rshm run -- program
 *
 * The library has a 64-bit and a 32-bit form. It has no effect on programs that are linked statically or make the system calls
 * themselves.
 *
 * Any thread may call the functions at any time; also a signal handler, the child of a vfork, and a
 * constructor that runs before the library's own.
 *
 * Documentation/differences.md lists what the module does differently; but unknown flags are ignored here, as by the system calls.
 * Errors that the system calls do not have:
 *
 *	ENOSYS		The device does not exist, or its module lacks what this library needs. A kernel without System V shared
 *			memory returns the same.
 *	EACCES		The caller may not open the device.
 *	EMFILE, ENFILE	No descriptor is left to open the device.
 *
 * The device is opened by the first call, by a descriptor of 500 or more (where RLIMIT_NOFILE is lower: 3 or
 * more) that exec closes. If that fails, and when a program has closed it, the next call opens it. The
 * preloaded library also opens it before the program changes its root directory by chroot(2). A program that is linked with the
 * library must make a call before chroot(2), or have the device in the new root.
 *
 * With the preloaded library, a program that opens one of these files only to read it, by open, openat
 * or fopen and exactly this path, gets
 *
 *	/proc/sysvipc/shm			the device's table, in the same columns
 *	/proc/sys/kernel/shm{max,all,mni}	the module's limits, where the kernel has no such file
 *
 * so that ipcs(1), lsipc(1), ipcmk(1) and ipcrm(1) show and change what is on the device. Without
 * the device the first is ENOENT; with RUST_SHM_FALLBACK it is the kernel's.
 *
 * Environment, read when the library is loaded; ignored in programs that run with more rights than
 * their caller (set-user-ID; secure_getenv(3)):
 *
 *	RUST_SHM_FALLBACK=1	If the device does not exist, make the kernel's system calls.
 *
 * The library decides once, when it is loaded, for the process and the programs that it starts, because ids of the two kinds are
 * unrelated. A device that appears or disappears later changes nothing. The library sets the variable accordingly: 0 is the device,
 * 2 the kernel's system calls.
 */
#ifndef _LIBRUST_SHM_H
#define _LIBRUST_SHM_H

#include <sys/shm.h>

/** RUST_SHM_FALLBACK - the environment variable's name. */
#define RUST_SHM_FALLBACK "RUST_SHM_FALLBACK"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * rust_shm_fd - a descriptor of a segment
 * @id: the segment, as shmget() returned it.
 * @flags: O_RDONLY or O_RDWR, and O_CLOEXEC, of <fcntl.h>.
 *
 * mmap() of the descriptor is an attach. It can be sent to another user, IPC namespace or container by SCM_RIGHTS, and keeps the segment
 * until it is closed. <linux/rust_shm.h> describes at struct rust_shm_fd what it can do. Any thread and signal handler may call it.
 *
 * Return: the descriptor; or -1, with errno: EINVAL, EACCES, EIDRM, ENFILE, EMFILE and ENOMEM as described there; ENOSYS as for the other
 * functions, and where the kernel's own shared memory is used (RUST_SHM_FALLBACK).
 */
int rust_shm_fd(int id, int flags);

#ifdef __cplusplus
}
#endif

#endif /* _LIBRUST_SHM_H */
