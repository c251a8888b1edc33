/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * librust_shm - shmget(2), shmat(2), shmdt(2) and shmctl(2) over /dev/rust_shm
 *
 * The four functions have the names, the structures and the errors of libc's <sys/shm.h>, which is
 * all that a program needs to include. What this header has is what else there is to know.
 *
 * Link with -lrust_shm (pkg-config --libs librust_shm), or let the dynamic linker put them before libc,
 * for programs that are there already, by LD_PRELOAD=.../librust_shm_preload.so:
 *
 *	rshm run -- program
 *
 * The library has a 64-bit and a 32-bit form. It does not go with programs that are linked
 * statically, or that make the system calls themselves.
 *
 * Any thread may call the functions at any time; also a signal handler, the child of a vfork, and a
 * constructor that runs before the library's own.
 *
 * What the module does differently is in Documentation/differences.md, but unknown flags are
 * ignored here, as by the system calls. Errors that the system calls do not have:
 *
 *	ENOSYS		There is no device, or what is there is none of a module that has what this
 *			library needs. It is what a kernel without System V shared memory says.
 *	EACCES		The device may not be opened by the caller.
 *	EMFILE, ENFILE	The device could not be opened, as there is no descriptor left.
 *
 * The device is opened by the first call, by a descriptor of 500 or more (where RLIMIT_NOFILE is lower: 3 or
 * more) that exec closes. If that fails, and when a program has closed it, the next call opens it. The
 * preloaded library also opens it before the program changes its root directory by chroot(2). Other programs
 * that do that make a call before, or have the device in there; so do those that close descriptors that
 * they do not know.
 *
 * With the preloaded library, a program that opens one of these files only to read it, by open, openat
 * or fopen and this very path, gets
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
 *	RUST_SHM_FALLBACK=1	Where there is no device, make the kernel's own system calls.
 *
 * That is decided once, when the library is loaded, for the process and for the programs that it starts: an
 * id of one kind is none of the other. Whichever it is, a device that comes or goes later changes nothing. The
 * library changes the variable accordingly: 0 is the device, 2 the kernel's own calls.
 */
#ifndef _LIBRUST_SHM_H
#define _LIBRUST_SHM_H

#include <sys/shm.h>

/** RUST_SHM_FALLBACK - the environment variable's name. */
#define RUST_SHM_FALLBACK "RUST_SHM_FALLBACK"

#endif /* _LIBRUST_SHM_H */
