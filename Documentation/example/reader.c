// SPDX-License-Identifier: MIT
/*
 * reader [-r]: finds the writer's segment by its key, prints the text that is in it, and answers. With -r it removes the segment then.
 */
#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "mailbox.h"

int main(int argc, char **argv)
{
	const struct timespec millisecond = { .tv_nsec = 1000000 };
	/* Without IPC_CREAT: find it. A size of 0 takes any; this one asks for at least so much, and is EINVAL if there is less. */
	struct rust_shm_get get = { .key = MAILBOX_KEY, .size = sizeof(struct mailbox) };
	struct rust_shm_ctl remove = { .cmd = RUST_SHM_IPC_RMID };
	int dev, id, tries = 0, last = argc == 2 && !strcmp(argv[1], "-r");
	struct mailbox *box;

	if (argc > 2 || (argc == 2 && !last)) {
		fprintf(stderr, "usage: reader [-r]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);

	/* ENOENT: no segment has this key in our IPC namespace. */
	dev = mailbox_device();
	id = ioctl(dev, RUST_SHM_IOC_GET, &get);
	if (id < 0)
		fail("cannot find the segment", errno);
	box = mailbox_attach(dev, id);

	while (!__atomic_load_n(&box->ready, __ATOMIC_ACQUIRE)) {
		if (++tries == 10000)
			fail("the writer has not finished the segment", ETIMEDOUT);
		nanosleep(&millisecond, NULL);
	}
	check(pthread_mutex_lock(&box->lock), "pthread_mutex_lock");
	printf("read \"%s\"\n", box->text);
	box->answer = getpid();
	check(pthread_cond_signal(&box->changed), "pthread_cond_signal");
	check(pthread_mutex_unlock(&box->lock), "pthread_mutex_unlock");

	/*
	 * The key is free at once; the memory goes with the last detach, which is our exit. EPERM: the segment is another user's.
	 */
	remove.id = id;
	if (last) {
		if (ioctl(dev, RUST_SHM_IOC_CTL, &remove) < 0)
			fail("cannot remove the segment", errno);
		printf("removed segment %d\n", id);
	}
	return 0;
}
