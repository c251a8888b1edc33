/* SPDX-License-Identifier: MIT */
/*
 * What writer.c and reader.c agree on: the key, what lies in the segment, and how they call the module.
 *
 * Nothing in the segment may be a pointer: each process has it at another address.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rust_shm.h>

#define MAILBOX_KEY 0x5275		/* any number but 0, which is IPC_PRIVATE; ftok(3) makes one from a path */
#define MAILBOX_SIZE (4UL << 20)	/* bytes; memory is allocated when it is touched */

struct mailbox {
	int ready;			/* not 0 once lock and changed can be used */
	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t changed;		/* answer has been set */
	int answer;			/* process id of the last reader, 0 if nobody has read yet */
	char text[256];
};

/* Says what failed and why, and ends the program. */
static inline void fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(error));
	exit(1);
}

/* For the functions of pthread.h, which return their error. */
static inline void check(int error, const char *what)
{
	if (error)
		fail(what, error);
}

/* Any process may open the device. The descriptor only carries the calls: closing it detaches nothing. */
static inline int mailbox_device(void)
{
	int dev = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC);

	if (dev < 0)
		fail(errno == ENOENT ? RUST_SHM_DEVICE " (is the module loaded?)" : RUST_SHM_DEVICE, errno);
	return dev;
}

/* Maps the segment somewhere, for reading and writing. EACCES: its mode is not for us. EINVAL, EIDRM: it has been removed meanwhile. */
static inline struct mailbox *mailbox_attach(int dev, int id)
{
	struct rust_shm_attach attach = { .id = id };

	if (ioctl(dev, RUST_SHM_IOC_ATTACH, &attach) < 0)
		fail("cannot attach the segment", errno);
	printf("attached segment %d, %lu KiB, at %#lx\n", id, (unsigned long)attach.length >> 10, (unsigned long)attach.addr);
	return (struct mailbox *)(uintptr_t)attach.addr;
}

#endif
