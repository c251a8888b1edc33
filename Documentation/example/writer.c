// SPDX-License-Identifier: MIT
/*
 * writer TEXT: makes a segment, puts a text into it, waits until a reader has answered, and exits. The segment stays: only reader -r
 * removes it.
 */
#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "mailbox.h"

#define PATIENCE 60	/* seconds */

/* What makes a mutex and a condition variable work between processes. */
static void prepare(struct mailbox *box)
{
	pthread_mutexattr_t mutex_attr;
	pthread_condattr_t cond_attr;

	check(pthread_mutexattr_init(&mutex_attr), "pthread_mutexattr_init");
	check(pthread_mutexattr_setpshared(&mutex_attr, PTHREAD_PROCESS_SHARED), "pthread_mutexattr_setpshared");
	check(pthread_mutex_init(&box->lock, &mutex_attr), "pthread_mutex_init");
	check(pthread_condattr_init(&cond_attr), "pthread_condattr_init");
	check(pthread_condattr_setpshared(&cond_attr, PTHREAD_PROCESS_SHARED), "pthread_condattr_setpshared");
	check(pthread_cond_init(&box->changed, &cond_attr), "pthread_cond_init");
}

int main(int argc, char **argv)
{
	struct rust_shm_get get = {
		.key = MAILBOX_KEY,
		.size = MAILBOX_SIZE,
		.flags = RUST_SHM_IPC_CREAT | RUST_SHM_IPC_EXCL | 0600,
	};
	struct rust_shm_detach detach = { 0 };
	struct timespec deadline;
	struct mailbox *box;
	int dev, id, error = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: writer TEXT\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* EEXIST: somebody has made it before. ENOSPC: kernel.shmmni or kernel.shmall is reached. EINVAL: larger than kernel.shmmax. */
	dev = mailbox_device();
	id = ioctl(dev, RUST_SHM_IOC_GET, &get);
	if (id < 0)
		fail("cannot make the segment", errno);
	box = mailbox_attach(dev, id);

	/* A new segment is all zeros. A reader may have found it already: ready is set last, and seen only with what is before it. */
	prepare(box);
	snprintf(box->text, sizeof(box->text), "%s", argv[1]);
	__atomic_store_n(&box->ready, 1, __ATOMIC_RELEASE);
	printf("wrote \"%s\", waiting for an answer\n", box->text);

	if (clock_gettime(CLOCK_REALTIME, &deadline) < 0)
		fail("clock_gettime", errno);
	deadline.tv_sec += PATIENCE;
	check(pthread_mutex_lock(&box->lock), "pthread_mutex_lock");
	while (!box->answer && !error)
		error = pthread_cond_timedwait(&box->changed, &box->lock, &deadline);
	if (!error)
		printf("process %d answered\n", box->answer);
	check(pthread_mutex_unlock(&box->lock), "pthread_mutex_unlock");
	check(error, "no answer");

	/* EINVAL: nothing is attached there. Exit would detach too. */
	detach.addr = (uintptr_t)box;
	if (ioctl(dev, RUST_SHM_IOC_DETACH, &detach) < 0)
		fail("cannot detach the segment", errno);
	return 0;
}
