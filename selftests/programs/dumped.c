// SPDX-License-Identifier: GPL-2.0-only
/*
 * What selftests/programs/criu dumps and restores: a parent and its child, which have segments attached.
 *
 *	dumped REPORT		begins; looks at all of it once a signal SIGUSR1 comes, and writes what is wrong to REPORT, or "ok"
 *
 * It calls the C library's functions. It opens no file but REPORT, and that one only to write to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIB (1 << 20)

/* How a segment is made, attached, and known. */
static struct segment {
	key_t key;
	size_t size, step;	/* a byte is written every so many: what is between is a hole */
	int flags, id;
	unsigned int mode;
	unsigned char *memory;
} segments[] = {
	{ .key = 0x43524955, .size = 12345, .step = 1, .mode = 0640 },
	{ .key = IPC_PRIVATE, .size = 4 * MIB, .step = MIB, .mode = 0600 },
	{ .key = IPC_PRIVATE, .size = 65536, .step = 4096, .mode = 0666, .flags = SHM_RDONLY },
	{ .key = 0x43524956, .size = 8192, .step = 1, .mode = 0600 },
};

/* In the second segment, which both processes write to. */
struct shared {
	unsigned char first;
	volatile unsigned int asked, answered;
};

static struct shared *shared;
static const char *report;
static volatile sig_atomic_t wanted;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned char byte_at(const struct segment *segment, size_t at)
{
	return (segment - segments) * 53 + at / segment->step * 7 + 1;
}

static void make(struct segment *segment)
{
	size_t at;

	segment->id = shmget(segment->key, segment->size, IPC_CREAT | IPC_EXCL | segment->mode);
	if (segment->id < 0)
		die("shmget");
	segment->memory = shmat(segment->id, NULL, 0);
	if (segment->memory == (void *)-1)
		die("shmat");
	for (at = 0; at < segment->size; at += segment->step)
		segment->memory[at] = byte_at(segment, at);
	if (!(segment->flags & SHM_RDONLY))
		return;
	shmdt(segment->memory);
	segment->memory = shmat(segment->id, NULL, SHM_RDONLY);
	if (segment->memory == (void *)-1)
		die("shmat");
}

static FILE *out;
static bool bad;

static void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(out, format, args);
	va_end(args);
	bad = true;
}

static void look_at(const struct segment *segment)
{
	int number = segment - segments, id = segment->id;
	unsigned char *again;
	struct shmid_ds ds;
	size_t at;

	if (shmctl(id, IPC_STAT, &ds)) {
		wrong("segment %d, id %d: IPC_STAT: %s\n", number, id, strerror(errno));
		return;
	}
	if (ds.shm_segsz != segment->size || ds.shm_perm.__key != segment->key || (ds.shm_perm.mode & 0777) != segment->mode)
		wrong("segment %d: size %zu, key %x, mode %o\n", number, ds.shm_segsz, ds.shm_perm.__key, ds.shm_perm.mode);
	if (ds.shm_nattch != 2)
		wrong("segment %d: %lu attaches\n", number, (unsigned long)ds.shm_nattch);
	if (segment->key != IPC_PRIVATE && shmget(segment->key, 0, 0) != id)
		wrong("segment %d: its key is that of %d\n", number, shmget(segment->key, 0, 0));
	for (at = 0; at < segment->size; at += segment->step) {
		if (segment->memory[at] != byte_at(segment, at)) {
			wrong("segment %d: byte %zu is %d\n", number, at, segment->memory[at]);
			break;
		}
	}
	if (!mprotect(segment->memory, 1, PROT_READ | PROT_WRITE) != !(segment->flags & SHM_RDONLY))
		wrong("segment %d: mprotect: %s\n", number, strerror(errno));
	/* What is mapped is the segment, and no copy. */
	again = shmat(id, NULL, 0);
	if (again == (void *)-1) {
		wrong("segment %d: shmat: %s\n", number, strerror(errno));
		return;
	}
	again[segment->size - 1] ^= 0x55;
	if (again[segment->size - 1] != segment->memory[segment->size - 1])
		wrong("segment %d: another attach is of another memory\n", number);
	again[segment->size - 1] ^= 0x55;
	if (shmdt(again))
		wrong("segment %d: shmdt: %s\n", number, strerror(errno));
}

/* The child answers what it is asked in the shared segment. */
static void ask_the_child(void)
{
	unsigned int i;

	shared->asked++;
	for (i = 0; i < 1000 && shared->answered != shared->asked; i++)
		usleep(10000);
	if (shared->answered != shared->asked)
		wrong("the child has not answered: %u of %u\n", shared->answered, shared->asked);
}

static void look(void)
{
	unsigned int i;

	bad = false;
	out = fopen(report, "we");
	if (!out)
		exit(1);
	for (i = 0; i < ARRAY_SIZE(segments); i++)
		look_at(&segments[i]);
	ask_the_child();
	if (!bad)
		fputs("ok\n", out);
	fclose(out);
}

static void want(int number)
{
	wanted = number;
}

int main(int argc, char **argv)
{
	sigset_t mask, old;
	unsigned int i;
	pid_t child;

	if (argc != 2)
		return 2;
	report = argv[1];
	signal(SIGUSR1, want);
	/* Ids that are not the first ones. */
	for (i = 0; i < 3; i++)
		shmctl(shmget(IPC_PRIVATE, 1, 0600), IPC_RMID, NULL);
	for (i = 0; i < ARRAY_SIZE(segments); i++)
		make(&segments[i]);
	shared = (struct shared *)segments[1].memory;
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			shared->answered = shared->asked;
			usleep(10000);
		}
	}
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, &old);
	for (;;) {
		while (!wanted)
			sigsuspend(&old);
		wanted = 0;
		look();
	}
}
