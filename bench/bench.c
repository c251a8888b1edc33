// SPDX-License-Identifier: GPL-2.0
/*
 * The same work on the kernel's own System V shared memory and on /dev/rust_shm, side by side, and the bare limit where there is one.
 * For first touches the built-in is measured three times: as the distribution has it, with shmem_enabled=within_size for all sizes of
 * folios, and with SHM_HUGETLB and a pool of huge pages. These settings are made for each measurement and restored after it.
 *
 * Every measurement is made by a process of its own, forked for it: it opens the device, makes what it needs, measures, and removes what
 * it made. For basic rows that is in an IPC namespace of its own, for what a call costs depends on the ids beside its own. Rounds are
 * interleaved (builtin, rust_shm, limit, builtin, ...), so that what else the machine does falls on all alike; the median of the rounds
 * counts, and beside its ratio stands that of the best rounds. A call that fails ends the whole with a message.
 *
 * Under -icount the clock of the guest counts instructions: a nanosecond is one. Addresses are not randomized, for what an attach and its
 * faults cost depends on its neighbours and on its alignment.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/rust_shm.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define KIB (1UL << 10)
#define MIB (1UL << 20)
#define SMALL_SIZE (64 * KIB)
/* Where segments smaller than 2 MiB are touched: aligned, as large folios need it, and beside a page that keeps the page table. */
#define TOUCH_AT ((char *)(1UL << 46))
#define OTHER_KEYS 1000
#define IDLE_SEGMENTS 10000
#define MAX_ROUNDS 99
#define MAX_PROCESSES 8
#define PRESSURE_SEGMENTS 8

/* A number of the device's type that no revision has: ENOTTY, and nothing done. */
#define NULL_IOCTL _IO(RUST_SHM_IOC_TYPE, 0xff)

enum side {
	BUILTIN,
	RUST,
	LIMIT,
	TUNED,
	HUGETLB,
	SIDES,
};

static const char *const side_names[SIDES] = { "builtin", "rust_shm", "limit", "tuned", "hugetlb" };

struct row;

/* What a row works on: a segment, or a file for the limit, and where it is attached for as long as the measurement lasts, if it is. */
struct subject {
	const struct row *row;
	enum side side;
	int id;
	char *address;
};

struct row {
	const char *group, *name, *title;
	/* What one of it is measured in, and how many of these make one of the unit that run() returns. */
	const char *unit;
	double scale;
	/* Does the work count times and returns what it measured: seconds for all of it, kB, or bytes. */
	double (*run)(const struct row *row, enum side side, unsigned long count);
	/* What run_repeat() and the processes of group "scale" repeat. NULL there: all processes touch the segment. */
	void (*once)(const struct subject *on);
	size_t size;
	/* How many bytes from the start are touched. */
	size_t touched;
	/* How far before TOUCH_AT it is attached to be touched. */
	size_t before;
	int key;
	int attach_flags;
	/* Another attach exists meanwhile, and has touched its bytes. */
	bool beside;
	/* All processes of group "scale" work on one segment. */
	bool shared;
	/* How often it is done; 0: as often as fills the time. */
	unsigned long count;
	/* One bit for each side that is measured. */
	unsigned int sides;
	/* At most this ratio to the built-in; 0: none. */
	double aim;
	/* At most so much by instructions; 0: none. */
	double most;
};

static unsigned int rounds = 5, long_rounds;
static unsigned int milliseconds = 400;
static size_t page;
static bool json, instructions;
static const char *separator = "";

/* Of this process; forked ones open their own. */
static int device = -1;

__attribute__((noreturn, format(printf, 1, 2)))
static void die(const char *format, ...)
{
	int saved = errno;
	va_list args;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(saved));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	if (clock_gettime(CLOCK_MONOTONIC, &time))
		die("clock_gettime");
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void sleep_ms(long ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&time, &time))
		if (errno != EINTR)
			die("nanosleep");
}

static void open_device(void)
{
	device = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("%s", RUST_SHM_DEVICE);
}

/*
 * The calls, by raw system calls and raw ioctls: no library is measured. None of them comes back when it fails.
 */

static int shm_get(enum side side, int key, size_t size, int flags)
{
	struct rust_shm_get get = { .key = key, .flags = (unsigned int)flags, .size = size };
	int id;

	if (side == RUST)
		id = ioctl(device, RUST_SHM_IOC_GET, &get);
	else
		id = (int)syscall(SYS_shmget, key, size, side == HUGETLB ? flags | SHM_HUGETLB : flags);
	if (id < 0)
		die("%s: get of key 0x%x, %zu bytes, flags 0%o", side_names[side], key, size, flags);
	return id;
}

static void *shm_attach(enum side side, int id, void *at, int flags)
{
	struct rust_shm_attach attach = { .id = id, .flags = (unsigned int)flags, .addr = (uintptr_t)at };
	long address = -1;

	if (side != RUST)
		address = syscall(SYS_shmat, id, at, flags);
	else if (!ioctl(device, RUST_SHM_IOC_ATTACH, &attach))
		address = (long)attach.addr;
	if (address == -1)
		die("%s: attach of id %d", side_names[side], id);
	return (void *)address;
}

static void shm_detach(enum side side, void *address)
{
	struct rust_shm_detach detach = { .addr = (uintptr_t)address };

	if (side == RUST ? ioctl(device, RUST_SHM_IOC_DETACH, &detach) : syscall(SYS_shmdt, address))
		die("%s: detach at %p", side_names[side], address);
}

static void shm_remove(enum side side, int id)
{
	struct rust_shm_ctl ctl = { .id = id, .cmd = RUST_SHM_IPC_RMID };

	if (side == RUST ? ioctl(device, RUST_SHM_IOC_CTL, &ctl) : syscall(SYS_shmctl, id, IPC_RMID, NULL))
		die("%s: remove of id %d", side_names[side], id);
}

/* Returns the size, as a sign that the answer has been written. */
static size_t shm_stat(enum side side, int id)
{
	struct rust_shm_stat stat;
	struct rust_shm_ctl ctl = {
		.id = id,
		.cmd = RUST_SHM_IPC_STAT,
		.arg = (uintptr_t)&stat,
		.arg_size = sizeof(stat),
	};
	struct shmid_ds ds;

	if (side == RUST ? ioctl(device, RUST_SHM_IOC_CTL, &ctl) : syscall(SYS_shmctl, id, IPC_STAT, &ds))
		die("%s: IPC_STAT of id %d", side_names[side], id);
	return side == RUST ? stat.segsz : ds.shm_segsz;
}

static void null_ioctl(void)
{
	if (ioctl(device, NULL_IOCTL, NULL) != -1 || errno != ENOTTY)
		die("an unknown ioctl did not fail with ENOTTY");
}

/* What a limit is measured on: pages with nothing around them. */
static int limit_file(size_t size)
{
	int file = memfd_create("bench", MFD_CLOEXEC);

	if (file < 0 || ftruncate(file, (off_t)size))
		die("memfd_create");
	return file;
}

static void limit_map(int file, size_t size)
{
	void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	if (address == MAP_FAILED || munmap(address, size))
		die("mmap and munmap of a memfd");
}

/* One byte of every page, or of every so many-th page. */
static void touch(void *address, size_t size, size_t step)
{
	volatile char *at = address;
	size_t offset;

	for (offset = 0; offset < size; offset += step)
		at[offset] = 1;
}

/* Reports wrong data as an error of its own. */
__attribute__((noreturn))
static void wrong(enum side side, const char *what)
{
	errno = EPROTO;
	die("%s: %s", side_names[side], what);
}

/* A number, mostly in kB, from a file of /proc that has lines such as "VmPTE:  36 kB". */
static double proc_kb(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	unsigned long value = 0;
	bool found = false;
	char line[256];

	if (!file)
		die("%s", path);
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, name, strlen(name)) && line[strlen(name)] == ':' &&
			sscanf(line + strlen(name) + 1, "%lu", &value) == 1;
	fclose(file);
	if (!found) {
		errno = ENOENT;
		die("%s: no %s", path, name);
	}
	return (double)value;
}

static void write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		die("%s: write of %s", path, text);
	close(file);
}

/* Returns whether the process did its work; false only where it may be killed. */
static bool ended_well(pid_t pid, bool may_be_killed)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (!status)
		return true;
	if (WIFSIGNALED(status)) {
		if (may_be_killed)
			return false;
		fprintf(stderr, "bench: a measuring process was killed by signal %d\n", WTERMSIG(status));
	}
	exit(1);
}

static void wait_for(pid_t pid)
{
	ended_well(pid, false);
}

/*
 * Settings of the machine that a side needs.
 */

static struct {
	char path[96], text[32];
} saved[24];
static unsigned int saved_count;

/* Also at exit. Called without settings to restore, it does nothing. */
static void restore(void)
{
	while (saved_count) {
		saved_count--;
		write_text(saved[saved_count].path, saved[saved_count].text);
	}
}

/* Remembers a setting, a text or the one in brackets of several, and changes it. */
static void set(const char *path, const char *text)
{
	FILE *file = fopen(path, "re");
	char line[128], *word;

	if (!file || !fgets(line, sizeof(line), file))
		die("%s", path);
	fclose(file);
	word = strchr(line, '[');
	word = word ? word + 1 : line;
	word[strcspn(word, "]\n")] = 0;
	if (saved_count == ARRAY_SIZE(saved) || strlen(path) >= sizeof(saved->path) || strlen(word) >= sizeof(saved->text)) {
		errno = E2BIG;
		die("%s", path);
	}
	strcpy(saved[saved_count].path, path);
	strcpy(saved[saved_count++].text, word);
	write_text(path, text);
}

static void tune(const struct row *row, enum side side)
{
	size_t huge = (size_t)proc_kb("/proc/meminfo", "Hugepagesize") * KIB, pages = (row->size + huge - 1) / huge, n;
	glob_t files;
	char text[24];

	if (side == TUNED) {
		errno = ENOENT;
		if (glob("/sys/kernel/mm/transparent_hugepage/{,hugepages-*/}shmem_enabled", GLOB_BRACE, NULL, &files) ||
		    files.gl_pathc < 2)
			die("shmem_enabled");
		for (n = 0; n < files.gl_pathc; n++)
			set(files.gl_pathv[n], "within_size");
		globfree(&files);
	} else if (side == HUGETLB) {
		snprintf(text, sizeof(text), "%zu", pages);
		set("/proc/sys/vm/nr_hugepages", text);
		errno = ENOMEM;
		if (proc_kb("/proc/meminfo", "HugePages_Free") < (double)pages)
			die("a pool of %zu huge pages", pages);
	}
}

/*
 * The rows.
 */

static int new_segment(const struct row *row, enum side side)
{
	return side == LIMIT ? limit_file(row->size) : shm_get(side, IPC_PRIVATE, row->size, 0600);
}

static void free_segment(enum side side, int id)
{
	if (side == LIMIT)
		close(id);
	else
		shm_remove(side, id);
}

static void *attach_to_touch(const struct row *row, enum side side, int id)
{
	return shm_attach(side, id, side == HUGETLB || row->size >= 2 * MIB ? NULL : TOUCH_AT - row->before, 0);
}

static void create_once(const struct subject *on)
{
	if (on->side == LIMIT) {
		null_ioctl();
		null_ioctl();
	} else {
		shm_remove(on->side, shm_get(on->side, on->row->key, on->row->size, IPC_CREAT | 0600));
	}
}

static void attach_once(const struct subject *on)
{
	if (on->side == LIMIT)
		limit_map(on->id, on->row->size);
	else
		shm_detach(on->side, shm_attach(on->side, on->id, NULL, on->row->attach_flags));
}

static void stat_once(const struct subject *on)
{
	if (on->side == LIMIT)
		null_ioctl();
	else if (shm_stat(on->side, on->id) != on->row->size)
		wrong(on->side, "IPC_STAT says a wrong size");
}

static void find_once(const struct subject *on)
{
	if (on->side == LIMIT)
		null_ioctl();
	else if (shm_get(on->side, on->row->key, on->row->size, 0600) != on->id)
		wrong(on->side, "the wrong segment was found");
}

static void life_once(const struct subject *on)
{
	int id = new_segment(on->row, on->side);
	void *address = attach_to_touch(on->row, on->side, id);

	touch(address, on->row->touched, page);
	shm_detach(on->side, address);
	free_segment(on->side, id);
}

static void fork_once(const struct subject *on)
{
	pid_t pid = fork();
	size_t offset;

	if (pid < 0)
		die("fork");
	if (!pid) {
		for (offset = 0; offset < on->row->touched; offset += page)
			if (((volatile char *)on->address)[offset] != 1)
				wrong(on->side, "the child reads wrong data");
		_exit(0);
	}
	wait_for(pid);
}

static double run_repeat(const struct row *row, enum side side, unsigned long count)
{
	struct subject on = { .row = row, .side = side };
	double start, elapsed;
	unsigned int n;

	/* Of the 64 indices that new segments have in turn, half are above this one's. To remove the highest costs the built-in more. */
	for (n = 0; n < 32; n++)
		free_segment(side, new_segment(row, side));
	on.id = new_segment(row, side);
	if (row->beside) {
		on.address = shm_attach(side, on.id, NULL, 0);
		touch(on.address, row->touched, page);
	}
	start = now();
	while (count--)
		row->once(&on);
	elapsed = now() - start;
	if (row->beside)
		shm_detach(side, on.address);
	free_segment(side, on.id);
	return elapsed;
}

/* Keys that do not follow each other. */
static int nth_key(unsigned int n)
{
	return (int)(0x52000000 + n * 7919);
}

/* Each key in its turn, so that no place in a tree or a chain is preferred. */
static double run_find(const struct row *row, enum side side, unsigned long count)
{
	int ids[OTHER_KEYS + 1];
	double start, elapsed;
	unsigned int n;

	for (n = 0; side != LIMIT && n < ARRAY_SIZE(ids); n++)
		ids[n] = shm_get(side, nth_key(n), row->size, IPC_CREAT | IPC_EXCL | 0600);
	n = 0;
	start = now();
	while (count--) {
		if (side == LIMIT)
			null_ioctl();
		else if (shm_get(side, nth_key(n), row->size, 0600) != ids[n])
			wrong(side, "the wrong segment was found");
		if (++n == ARRAY_SIZE(ids))
			n = 0;
	}
	elapsed = now() - start;
	for (n = 0; side != LIMIT && n < ARRAY_SIZE(ids); n++)
		shm_remove(side, ids[n]);
	return elapsed;
}

static void serve(bool on)
{
	struct rust_shm_serve arg = { .op = on ? RUST_SHM_SERVE_ON : RUST_SHM_SERVE_OFF };

	if (ioctl(device, RUST_SHM_IOC_SERVE, &arg) != on)
		die("RUST_SHM_IOC_SERVE");
}

/* The built-in's find, while the module serves another namespace (rust_shm), or none. */
static double run_elsewhere(const struct row *row, enum side side, unsigned long count)
{
	int ready[2], done[2];
	double elapsed;
	pid_t pid = -1;
	char byte = 0;

	if (side == RUST) {
		if (pipe(ready) || pipe(done))
			die("pipe");
		pid = fork();
		if (!pid) {
			close(done[1]);
			if (unshare(CLONE_NEWIPC))
				die("unshare");
			serve(true);
			if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1))
				die("pipe");
			serve(false);
			_exit(0);
		}
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			die("it is not served");
	}
	elapsed = run_find(row, BUILTIN, count);
	if (side == RUST) {
		close(done[1]);
		waitpid(pid, NULL, 0);
	}
	return elapsed;
}

/* Find by the system call, of the built-in or of the module, which serves this namespace. */
static double run_served(const struct row *row, enum side side, unsigned long count)
{
	double elapsed;

	if (side == RUST)
		serve(true);
	elapsed = run_find(row, BUILTIN, count);
	if (side == RUST)
		serve(false);
	return elapsed;
}

/* The touch alone, each time of a new segment. */
static double run_touch(const struct row *row, enum side side, unsigned long count)
{
	double total = 0, start;
	void *address;
	int id = -1;

	while (count--) {
		if (side == LIMIT) {
			address = mmap(NULL, row->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (address == MAP_FAILED)
				die("mmap of anonymous memory");
			if (madvise(address, row->size, MADV_HUGEPAGE))
				die("madvise(MADV_HUGEPAGE)");
		} else {
			id = new_segment(row, side);
			address = attach_to_touch(row, side, id);
		}
		start = now();
		touch(address, row->touched, page);
		total += now() - start;
		if (side == LIMIT) {
			munmap(address, row->size);
		} else {
			shm_detach(side, address);
			shm_remove(side, id);
		}
	}
	return total;
}

/* A segment that has all its pages, attached again; what touching them there takes, in seconds and in kB of page tables. */
static void second_touch(const struct row *row, enum side side, double *seconds, double *kb)
{
	int id = new_segment(row, side);
	void *first = shm_attach(side, id, NULL, 0), *second;
	double tables, start;

	touch(first, row->size, page);
	second = shm_attach(side, id, NULL, 0);
	tables = proc_kb("/proc/self/status", "VmPTE");
	start = now();
	touch(second, row->size, page);
	*seconds = now() - start;
	*kb = proc_kb("/proc/self/status", "VmPTE") - tables;
	shm_detach(side, first);
	shm_detach(side, second);
	shm_remove(side, id);
}

static double run_touch2(const struct row *row, enum side side, unsigned long count)
{
	double total = 0, seconds, kb;

	while (count--) {
		second_touch(row, side, &seconds, &kb);
		total += seconds;
	}
	return total;
}

static double run_vmpte(const struct row *row, enum side side, unsigned long count)
{
	double seconds, kb;

	(void)count;
	second_touch(row, side, &seconds, &kb);
	return kb;
}

/* Slab in bytes, after all that was freed is free and all counters are added up. */
static double slab_bytes(void)
{
	sleep_ms(300);
	/* Dentries and inodes that nobody uses. */
	write_text("/proc/sys/vm/drop_caches", "2");
	sleep_ms(100);
	write_text("/proc/sys/vm/stat_refresh", "1");
	return proc_kb("/proc/meminfo", "Slab") * 1024;
}

static double run_idle(const struct row *row, enum side side, unsigned long count)
{
	static int ids[IDLE_SEGMENTS];
	double before = slab_bytes(), after;
	unsigned int n;

	(void)count;
	for (n = 0; n < IDLE_SEGMENTS; n++)
		ids[n] = new_segment(row, side);
	after = slab_bytes();
	for (n = 0; n < IDLE_SEGMENTS; n++)
		shm_remove(side, ids[n]);
	return (after - before) / IDLE_SEGMENTS;
}

static void *thread_ends(void *unused)
{
	return unused;
}

/* Threads that start and end, and never use shared memory. On the side of the built-in the module is not loaded: see tune(). */
static double run_threads(const struct row *row, enum side side, unsigned long count)
{
	double start = now();
	pthread_t thread;

	(void)row;
	(void)side;
	while (count--)
		if ((errno = pthread_create(&thread, NULL, thread_ends, NULL)) || (errno = pthread_join(thread, NULL)))
			die("pthread_create");
	return now() - start;
}

/* A word of the pattern: random in a quarter of each page, so that a compressing swap device has some work and some success. */
static uint64_t pattern(size_t word)
{
	return word % 512 < 128 ? (word + 1) * 0x9e3779b97f4a7c15 : word / 512 + 1;
}

/*
 * Fills more segments than there is memory for, and reads them back. The OOM killer takes this process first, and the segments, which are
 * removed already, go with it: so all other processes survive that.
 */
static double run_pressure(const struct row *row, enum side side, unsigned long count)
{
	double start, needed = (double)row->size * PRESSURE_SEGMENTS / KIB;
	size_t words = row->size / sizeof(uint64_t), word;
	uint64_t *segments[PRESSURE_SEGMENTS];
	unsigned int n;
	int id;

	(void)count;
	errno = ENOSPC;
	if (proc_kb("/proc/meminfo", "MemTotal") > needed || proc_kb("/proc/meminfo", "SwapFree") < needed)
		die("%s takes a machine of 1 GiB with 1.5 GiB of swap, which bench/run has", row->name);
	write_text("/proc/self/oom_score_adj", "1000");
	start = now();
	for (n = 0; n < PRESSURE_SEGMENTS; n++) {
		id = new_segment(row, side);
		segments[n] = shm_attach(side, id, NULL, 0);
		shm_remove(side, id);
		for (word = 0; word < words; word++)
			segments[n][word] = pattern(n * words + word);
	}
	for (n = 0; n < PRESSURE_SEGMENTS; n++)
		for (word = 0; word < words; word++)
			if (segments[n][word] != pattern(n * words + word))
				wrong(side, "what was filled in reads back wrong");
	return now() - start;
}

#define PAIR (1 << BUILTIN | 1 << RUST)
#define WITH_LIMIT (PAIR | 1 << LIMIT)
#define WITH_TUNED (PAIR | 1 << TUNED | 1 << HUGETLB)
#define ALL (WITH_LIMIT | WITH_TUNED)

#define BASIC(called, text) .group = "basic", .name = called, .title = text
#define SCALE(called, text) .group = "scale", .name = called, .title = text
#define US .unit = "us", .scale = 1e6
#define MS .unit = "ms", .scale = 1e3
#define KILO .unit = "1000/s", .scale = 1e-3
/* A row that repeats its work on one segment, and two on new ones each time. */
#define REPEAT(work, bytes) US, .run = run_repeat, .once = work, .size = bytes
#define LIFE(bytes, some) REPEAT(life_once, bytes), .touched = some
#define TOUCH(bytes, some) .run = run_touch, .size = bytes, .touched = some

static const struct row rows[] = {
	{ BASIC("create", "create + remove, 64 KiB"), REPEAT(create_once, SMALL_SIZE), .sides = WITH_LIMIT, .aim = 0.5, .most = 4.5 },
	{ BASIC("create-key", "create + remove, with a key"), REPEAT(create_once, SMALL_SIZE), .key = 0x52000000, .sides = PAIR, .most = 6 },
	{ BASIC("attach", "attach + detach, 64 KiB"), REPEAT(attach_once, SMALL_SIZE), .sides = WITH_LIMIT, .aim = 0.8, .most = 13.5 },
	{ BASIC("attach-beside", "the same, beside another attach"), REPEAT(attach_once, SMALL_SIZE), .beside = true, .sides = PAIR, .most = 14.3 },
	{ BASIC("attach-ro", "attach + detach, read-only"), REPEAT(attach_once, SMALL_SIZE), .attach_flags = SHM_RDONLY, .sides = PAIR, .most = 14.3 },
	{ BASIC("attach-ro-beside", "read-only, beside another attach"), REPEAT(attach_once, SMALL_SIZE), .attach_flags = SHM_RDONLY,
	  .beside = true, .sides = PAIR, .most = 14.3 },
	{ BASIC("stat", "IPC_STAT"), REPEAT(stat_once, SMALL_SIZE), .sides = WITH_LIMIT, .aim = 1.5, .most = 1.25 },
	{ BASIC("stat-full", "IPC_STAT, 1 GiB in memory"), REPEAT(stat_once, 1024 * MIB), .touched = 1024 * MIB, .beside = true,
	  .count = 5000, .sides = PAIR, .aim = 1.5 },
	{ BASIC("find", "find by key, among 1001"), US, .run = run_find, .size = SMALL_SIZE, .sides = WITH_LIMIT, .aim = 1.5, .most = 0.9 },
	{ BASIC("find-served", "find by key, by the served system call"), US, .run = run_served, .size = SMALL_SIZE, .sides = PAIR },
	{ BASIC("find-elsewhere", "find by key, while another namespace is served"), US, .run = run_elsewhere, .size = SMALL_SIZE, .sides = PAIR },
	{ BASIC("life-4k", "whole life, 4 KiB"), LIFE(4 * KIB, 4 * KIB), .sides = PAIR },
	{ BASIC("life-64k", "whole life, 64 KiB"), LIFE(64 * KIB, 64 * KIB), .sides = PAIR, .aim = 0.38 },
	{ BASIC("life-1m", "whole life, 1 MiB"), LIFE(MIB, MIB), .sides = PAIR, .aim = 0.42 },
	{ BASIC("life-16m", "whole life, 16 MiB"), LIFE(16 * MIB, 16 * MIB), .sides = PAIR },
	{ BASIC("life-one", "whole life, one page of 64 KiB"), LIFE(64 * KIB, 1), .sides = PAIR, .aim = 1.5 },
	{ BASIC("touch-one", "first touch, one page of 64 KiB"), US, TOUCH(64 * KIB, 1), .sides = PAIR },
	{ BASIC("touch-4k", "first touch, 4 KiB"), US, TOUCH(4 * KIB, 4 * KIB), .sides = PAIR },
	{ BASIC("touch-64k", "first touch, 64 KiB"), US, TOUCH(64 * KIB, 64 * KIB), .sides = WITH_TUNED, .aim = 0.35 },
	{ BASIC("touch-1m", "first touch, 1 MiB"), US, TOUCH(MIB, MIB), .sides = WITH_TUNED, .aim = 0.3 },
	{ BASIC("touch-across", "the same across 2 MiB"), US, TOUCH(MIB, MIB), .before = MIB / 2, .sides = PAIR | 1 << TUNED, .aim = 0.48 },
	{ BASIC("touch-2m", "first touch, 2 MiB"), US, TOUCH(2 * MIB, 2 * MIB), .sides = ALL, .aim = 0.3 },
	{ BASIC("touch", "first touch, 256 MiB"), MS, TOUCH(256 * MIB, 256 * MIB), .count = 1, .sides = ALL, .aim = 0.29 },
	{ BASIC("touch2", "touch, second attach, 256 MiB"), MS, .run = run_touch2, .size = 256 * MIB, .count = 1, .sides = PAIR,
	  .aim = 0.05 },
	{ BASIC("vmpte", "VmPTE growth by that"), .unit = "kB", .scale = 1, .run = run_vmpte, .size = 256 * MIB, .count = 1, .sides = PAIR,
	  .aim = 0.1 },
	{ BASIC("fork", "fork, child reads 256 MiB"), MS, .run = run_repeat, .once = fork_once, .size = 256 * MIB, .touched = 256 * MIB,
	  .beside = true, .count = 4, .sides = PAIR },
	{ BASIC("threads", "thread that starts and ends"), US, .run = run_threads, .sides = PAIR },
	{ BASIC("idle", "slab of an idle segment"), .unit = "byte", .scale = 1, .run = run_idle, .size = SMALL_SIZE, .count = 1,
	  .sides = PAIR },
	{ SCALE("scale-attach", "attach + detach"), KILO, .once = attach_once, .size = SMALL_SIZE, .sides = WITH_LIMIT },
	{ SCALE("scale-create", "create + remove"), KILO, .once = create_once, .size = SMALL_SIZE, .sides = WITH_LIMIT },
	{ SCALE("scale-attach-one", "attach + detach, all of one"), KILO, .once = attach_once, .size = SMALL_SIZE, .shared = true,
	  .sides = PAIR },
	{ SCALE("scale-stat", "IPC_STAT, all of one"), KILO, .once = stat_once, .size = SMALL_SIZE, .shared = true, .sides = WITH_LIMIT },
	{ SCALE("scale-find", "find, all by one key"), KILO, .once = find_once, .size = SMALL_SIZE, .key = 0x52000000, .shared = true,
	  .sides = WITH_LIMIT },
	{ SCALE("scale-touch", "first touch of one, 64 MiB"), MS, .size = 64 * MIB, .shared = true, .sides = PAIR },
	{ .group = "pressure", .name = "pressure", .title = "fill and read back 1000 MiB", .unit = "s", .scale = 1, .run = run_pressure,
	  .size = 125 * MIB, .count = 1, .sides = PAIR, .aim = 0.5 },
};

static const unsigned int processes[] = { 1, 2, 4, MAX_PROCESSES };

/*
 * Measuring.
 */

#define MANY_VALUES 7

/* Shared with the processes that measure. */
struct results {
	double value;
	double many[MANY_VALUES];
	atomic_uint ready;
	atomic_bool go, stop;
	struct {
		/* A cache line each: one writes, all read go and stop. */
		_Alignas(128) double result;
	} process[MAX_PROCESSES];
};

static struct results *results;

static pid_t spawn(bool with_device)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid && with_device)
		open_device();
	return pid;
}

/* More than so many are refused, unless the kernel was booted with ipcmni_extend. */
static const char *most_segments = "32768";

static void new_namespace(void)
{
	if (unshare(CLONE_NEWIPC))
		die("a new IPC namespace (this takes root)");
	write_text("/proc/sys/kernel/shmmni", most_segments);
}

/* The module goes and comes again; RUST_SHM_KO is its file. */
static void load_module(bool wanted)
{
	const char *path = getenv("RUST_SHM_KO");
	int file;

	errno = EINVAL;
	if (!path)
		die("RUST_SHM_KO does not say where the module is");
	if (!wanted) {
		close(device);
		if (syscall(SYS_delete_module, "rust_shm", 0))
			die("rust_shm cannot be unloaded");
		return;
	}
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || syscall(SYS_finit_module, file, "", 0))
		die("%s", path);
	close(file);
	open_device();
}

/* INFINITY where the process was killed. */
static double measure(const struct row *row, enum side side, unsigned long count)
{
	bool without_module = row->run == run_threads && side == BUILTIN, well;
	pid_t pid;

	tune(row, side);
	if (without_module)
		load_module(false);
	pid = spawn(!without_module);
	if (!pid) {
		new_namespace();
		results->value = row->run(row, side, count);
		_exit(0);
	}
	well = ended_well(pid, row->run == run_pressure);
	if (without_module)
		load_module(true);
	restore();
	return well ? results->value : INFINITY;
}

/* How often to do it, to fill the time. */
static unsigned long calibrate(const struct row *row, enum side side)
{
	double wanted = milliseconds / 1e3, took;
	unsigned long count = 1;

	if (row->count)
		return row->count;
	while ((took = measure(row, side, count)) < wanted / 16)
		count *= 2;
	count = (unsigned long)((double)count * wanted / took);
	return count ? count : 1;
}

/* One process of several: does its work from when it is told to until it is told otherwise, or touches its share of one segment. */
static void work(const struct subject *segment, unsigned int process, unsigned int count)
{
	struct subject on = *segment;
	double *result = &results->process[process].result;
	unsigned long operations = 0;

	if (on.row->once) {
		if (!on.row->shared)
			on.id = new_segment(on.row, on.side);
		/* The first of everything, before the start. */
		on.row->once(&on);
	} else {
		on.address = shm_attach(on.side, on.id, NULL, 0);
	}
	atomic_fetch_add(&results->ready, 1);
	while (!atomic_load_explicit(&results->go, memory_order_acquire))
		sched_yield();
	if (on.row->once) {
		while (!atomic_load_explicit(&results->stop, memory_order_relaxed)) {
			on.row->once(&on);
			operations++;
		}
		*result = (double)operations;
		if (!on.row->shared)
			free_segment(on.side, on.id);
	} else {
		/* Every so many-th page, so that all touch every block. */
		touch(on.address + process * page, on.row->size - process * page, count * page);
		*result = now();
	}
}

/* Operations a second by all processes together, or seconds until all pages are touched. */
static double measure_scale(const struct row *row, enum side side, unsigned int count)
{
	struct subject segment = { .row = row, .side = side, .id = -1 };
	double start, elapsed, total = 0, last = 0;
	pid_t pids[MAX_PROCESSES];
	unsigned int n;

	memset(results, 0, sizeof(*results));
	if (row->shared && row->key && side != LIMIT)
		segment.id = shm_get(side, row->key, row->size, IPC_CREAT | IPC_EXCL | 0600);
	else if (row->shared)
		segment.id = new_segment(row, side);
	for (n = 0; n < count; n++) {
		pids[n] = spawn(true);
		if (!pids[n]) {
			work(&segment, n, count);
			_exit(0);
		}
	}
	while (atomic_load(&results->ready) < count) {
		/* One that has ended already has failed. */
		if (waitpid(-1, NULL, WNOHANG)) {
			atomic_store(&results->stop, true);
			atomic_store(&results->go, true);
			exit(1);
		}
		sleep_ms(1);
	}
	atomic_store(&results->go, true);
	start = now();
	if (row->once)
		sleep_ms(milliseconds);
	atomic_store(&results->stop, true);
	elapsed = now() - start;
	for (n = 0; n < count; n++) {
		wait_for(pids[n]);
		total += results->process[n].result;
		last = fmax(last, results->process[n].result);
	}
	if (row->shared)
		free_segment(side, segment.id);
	return row->once ? total / elapsed : last - start;
}

/*
 * What calls cost by the number of segments and of attaches there are.
 */

static const unsigned int numbers[] = { 1000, 30000, 300000, 1000000 };

enum { MANY_CREATE, MANY_FIND, MANY_STAT, MANY_REMOVE, MANY_INFO, MANY_TABLE, MANY_SLAB, MANY };

static const struct {
	const char *name, *title, *unit;
	double scale;
	/* At most this ratio of what the module takes with the most to what it takes with the fewest; 0: none. */
	double growth;
} many_rows[MANY] = {
	[MANY_CREATE] = { "many-create", "create, with a key", "us", 1e6, 1.2 },
	[MANY_FIND] = { "many-find", "find by key", "us", 1e6, 1.2 },
	[MANY_STAT] = { "many-stat", "IPC_STAT", "us", 1e6, 1.2 },
	[MANY_REMOVE] = { "many-remove", "remove", "us", 1e6, 1.2 },
	[MANY_INFO] = { "many-info", "SHM_INFO, for each segment", "us", 1e6, 0 },
	[MANY_TABLE] = { "many-table", "text table, for each segment", "us", 1e6, 0 },
	[MANY_SLAB] = { "many-slab", "slab of a segment with a key", "byte", 1, 0 },
};

/* Returns the number of segments it speaks of, and their pages. */
static unsigned int shm_info(enum side side, unsigned long *pages)
{
	struct rust_shm_usage usage;
	struct rust_shm_ctl ctl = { .cmd = RUST_SHM_INFO, .arg = (uintptr_t)&usage, .arg_size = sizeof(usage) };
	struct shm_info info;

	if (side == RUST ? ioctl(device, RUST_SHM_IOC_CTL, &ctl) < 0 : syscall(SYS_shmctl, 0, SHM_INFO, &info) < 0)
		die("%s: SHM_INFO", side_names[side]);
	*pages = side == RUST ? usage.shm_tot : info.shm_tot;
	return side == RUST ? usage.used_ids : (unsigned int)info.used_ids;
}

/* Returns how many lines the table has. */
static unsigned int read_table(enum side side)
{
	static char text[1 << 16];
	const char *path = side == RUST ? RUST_SHM_DEVICE : "/proc/sysvipc/shm";
	int file = open(path, O_RDONLY | O_CLOEXEC);
	unsigned int lines = 0;
	ssize_t got;

	if (file < 0)
		die("%s", path);
	while ((got = read(file, text, sizeof(text))) > 0)
		for (; got; got--)
			lines += text[got - 1] == '\n';
	if (got)
		die("%s", path);
	close(file);
	return lines;
}

/* The segments that single calls are made to: all over the table. */
#define PICKED 2000

static void run_many(enum side side, unsigned int count, double *values)
{
	int *ids = mmap(NULL, count * sizeof(*ids), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	unsigned int n, at, picked = count < PICKED ? count : PICKED;
	double start, slab = slab_bytes();
	unsigned long pages;

	if (ids == MAP_FAILED)
		die("mmap");
	/* The last of them alone are measured. */
	start = now();
	for (n = 0; n < count; n++) {
		if (n == count - picked)
			start = now();
		ids[n] = shm_get(side, nth_key(n), page, IPC_CREAT | IPC_EXCL | 0600);
	}
	values[MANY_CREATE] = (now() - start) / picked;
	values[MANY_SLAB] = (slab_bytes() - slab) / count;
	start = now();
	for (n = at = 0; n < picked; n++, at = (at + 7919) % count)
		if (shm_get(side, nth_key(at), page, 0600) != ids[at])
			wrong(side, "the wrong segment was found");
	values[MANY_FIND] = (now() - start) / picked;
	start = now();
	for (n = at = 0; n < picked; n++, at = (at + 7919) % count)
		if (shm_stat(side, ids[at]) != page)
			wrong(side, "IPC_STAT says a wrong size");
	values[MANY_STAT] = (now() - start) / picked;
	start = now();
	if (shm_info(side, &pages) != count || pages != count)
		wrong(side, "SHM_INFO says other numbers");
	values[MANY_INFO] = (now() - start) / count;
	start = now();
	if (read_table(side) != count + 1)
		wrong(side, "the table has another number of lines");
	values[MANY_TABLE] = (now() - start) / count;
	start = now();
	for (n = at = 0; n < picked; n++, at = (at + 7919) % count) {
		shm_remove(side, ids[at]);
		ids[at] = -1;
	}
	values[MANY_REMOVE] = (now() - start) / picked;
	for (n = 0; n < count; n++)
		if (ids[n] >= 0)
			shm_remove(side, ids[n]);
	if (shm_info(side, &pages) || pages)
		wrong(side, "SHM_INFO says that something is left");
}

#define ATTACHES 10000

enum { OF_ONE_ATTACH, OF_ONE_DETACH, OF_ONE_EXIT, OF_EACH_ATTACH, OF_EACH_DETACH, OF_EACH_EXIT, ATTACHED };

static const struct {
	const char *name, *title;
} attached_rows[ATTACHED] = {
	[OF_ONE_ATTACH] = { "attaches-attach", "10,000 attaches of one: attach" },
	[OF_ONE_DETACH] = { "attaches-detach", "10,000 attaches of one: detach" },
	[OF_ONE_EXIT] = { "attaches-exit", "10,000 attaches of one: exit" },
	[OF_EACH_ATTACH] = { "attaches-each-attach", "10,000 attached: attach" },
	[OF_EACH_DETACH] = { "attaches-each-detach", "10,000 attached: detach" },
	[OF_EACH_EXIT] = { "attaches-each-exit", "10,000 attached: exit" },
};

/* What one of them takes, of one segment or of as many: until the last there is, from the last that there is, and by an exit with all. */
static void run_attaches(enum side side, unsigned int segments, double *values)
{
	static void *at[ATTACHES];
	static int ids[ATTACHES];
	int told[2], end[2];
	unsigned int n;
	double start;
	pid_t pid;
	char byte;

	for (n = 0; n < segments; n++)
		ids[n] = shm_get(side, IPC_PRIVATE, page, 0600);
	start = now();
	for (n = 0; n < ATTACHES; n++)
		at[n] = shm_attach(side, ids[n % segments], NULL, 0);
	values[0] = (now() - start) / ATTACHES;
	start = now();
	/* Not in the order in which they came. */
	for (n = 0; n < ATTACHES; n++)
		shm_detach(side, at[n * 7919 % ATTACHES]);
	values[1] = (now() - start) / ATTACHES;
	if (pipe(told) || pipe(end))
		die("pipe");
	pid = spawn(true);
	if (!pid) {
		close(end[1]);
		for (n = 0; n < ATTACHES; n++)
			shm_attach(side, ids[n % segments], NULL, 0);
		_exit(write(told[1], "", 1) != 1 || read(end[0], &byte, 1));
	}
	if (read(told[0], &byte, 1) != 1)
		die("read of a pipe");
	start = now();
	close(end[1]);
	wait_for(pid);
	values[2] = (now() - start) / ATTACHES;
	for (n = 0; n < segments; n++)
		shm_remove(side, ids[n]);
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median(const double *values)
{
	double sorted[MAX_ROUNDS];

	memcpy(sorted, values, rounds * sizeof(*values));
	qsort(sorted, rounds, sizeof(*sorted), compare);
	return rounds % 2 ? sorted[rounds / 2] : (sorted[rounds / 2 - 1] + sorted[rounds / 2]) / 2;
}

/* The best round: what a busy host disturbs least. */
static double best(const double *values)
{
	double least = values[0];
	unsigned int n;

	for (n = 1; n < rounds; n++)
		if (values[n] < least)
			least = values[n];
	return least;
}

/*
 * Saying it.
 */

static void print_number(double value, int width)
{
	if (isfinite(value))
		printf(" %*.*f", width, value < 100 ? 2 : value < 1000 ? 1 : 0, value);
	else
		printf(" %*s", width, isinf(value) ? "killed" : "-");
}

static bool has_side(const struct row *row, unsigned int side)
{
	return row->sides & 1U << side;
}

/* JSON knows no infinite number. */
static void json_number(const char *before, double value)
{
	if (isfinite(value))
		printf("%s%.6g", before, value);
	else
		printf("%snull", before);
}

static void json_row(const struct row *row, double values[SIDES][MAX_ROUNDS])
{
	unsigned int side, n;

	printf("%s\n    {\"name\": \"%s\", \"title\": \"%s\", \"unit\": \"%s\"", separator, row->name, row->title, row->unit);
	for (side = 0; side < SIDES; side++) {
		if (!has_side(row, side))
			continue;
		printf(", \"%s\"", side_names[side]);
		json_number(": {\"median\": ", median(values[side]));
		for (n = 0; n < rounds; n++)
			json_number(n ? ", " : ", \"rounds\": [", values[side][n]);
		printf("]}");
	}
	separator = ",";
}

static void report(const struct row *row, double values[SIDES][MAX_ROUNDS])
{
	double at[SIDES], ratios[SIDES], best_ratio = best(values[RUST]) / best(values[BUILTIN]);
	unsigned int side;
	bool met;

	for (side = 0; side < SIDES; side++) {
		at[side] = has_side(row, side) ? median(values[side]) : NAN;
		ratios[side] = at[side] / at[BUILTIN];
	}
	met = ratios[RUST] <= row->aim;
	if (json) {
		json_row(row, values);
		json_number(", \"ratio\": ", ratios[RUST]);
		json_number(", \"best_ratio\": ", best_ratio);
		for (side = LIMIT; side < SIDES; side++) {
			if (!has_side(row, side))
				continue;
			printf(", \"%s_ratio\"", side_names[side]);
			json_number(": ", ratios[side]);
		}
		if (row->aim > 0)
			printf(", \"aim\": %g, \"met\": %s", row->aim, met ? "true" : "false");
		printf("}");
		return;
	}
	printf("%-32s %-4s", row->title, row->unit);
	for (side = 0; side < SIDES; side++)
		print_number(at[side], 9);
	print_number(ratios[RUST], 9);
	print_number(best_ratio, 9);
	print_number(ratios[LIMIT], 9);
	if (row->aim > 0)
		printf("  <= %-5g %s", row->aim, met ? "met" : "MISSED");
	if (instructions && row->most > 0)
		printf("  %g %s: %s", row->most, row->unit, at[RUST] <= row->most ? "met" : "MISSED");
	printf("\n");
	fflush(stdout);
}

static void bench_row(const struct row *row)
{
	double values[SIDES][MAX_ROUNDS];
	unsigned long counts[SIDES];
	unsigned int round, side, short_rounds = rounds;

	if (row->count)
		rounds = long_rounds;
	for (side = 0; side < SIDES; side++)
		counts[side] = has_side(row, side) ? calibrate(row, side) : 0;
	for (round = 0; round < rounds; round++)
		for (side = 0; side < SIDES; side++)
			if (has_side(row, side))
				values[side][round] = measure(row, side, counts[side]) * row->scale / (double)counts[side];
	report(row, values);
	rounds = short_rounds;
}

static void bench_scale(const struct row *row)
{
	static double values[ARRAY_SIZE(processes)][SIDES][MAX_ROUNDS];
	double at[ARRAY_SIZE(processes)][SIDES];
	unsigned int n, round, side;

	for (round = 0; round < rounds; round++)
		for (n = 0; n < ARRAY_SIZE(processes); n++)
			for (side = 0; side <= LIMIT; side++)
				if (has_side(row, side))
					values[n][side][round] = measure_scale(row, side, processes[n]) * row->scale;

	for (n = 0; n < ARRAY_SIZE(processes); n++) {
		for (side = 0; side <= LIMIT; side++)
			at[n][side] = has_side(row, side) ? median(values[n][side]) : NAN;
		if (json) {
			json_row(row, values[n]);
			printf(", \"processes\": %u, \"ratio\": %.3f, \"to_two\": %.3f}", processes[n], at[n][RUST] / at[n][BUILTIN],
			       n ? at[n][RUST] / at[1][RUST] : 0);
			continue;
		}
		printf("%-26s %6s %9u", row->title, row->unit, processes[n]);
		for (side = 0; side <= LIMIT; side++)
			print_number(at[n][side], 9);
		print_number(at[n][RUST] / at[n][BUILTIN], 9);
		for (side = 0; processes[n] == MAX_PROCESSES && side <= LIMIT; side++)
			print_number(at[n][side] / at[1][side], 9);
		/* Of 2 processes: 8 % less is within what the rounds differ by. */
		if (processes[n] == MAX_PROCESSES && !row->shared)
			printf("  >= 1     %s", at[n][RUST] / at[1][RUST] >= 0.92 ? "met" : "MISSED");
		printf("\n");
	}
	fflush(stdout);
}

static void many_header(void)
{
	printf("\n%-32s %-4s %9s %9s %9s %9s\n", "", "unit", "there are", side_names[BUILTIN], side_names[RUST], "ratio");
}

static void many_row(const char *name, const char *title, const char *unit, unsigned int count, const double at[RUST + 1], double growth)
{
	if (json) {
		printf("%s\n    {\"name\": \"%s\", \"title\": \"%s\", \"unit\": \"%s\", \"number\": %u", separator, name, title, unit, count);
		json_number(", \"builtin\": ", at[BUILTIN]);
		json_number(", \"rust_shm\": ", at[RUST]);
		printf("}");
		separator = ",";
		return;
	}
	printf("%-32s %-4s %9u", title, unit, count);
	print_number(at[BUILTIN], 9);
	print_number(at[RUST], 9);
	print_number(at[RUST] / at[BUILTIN], 9);
	printf("  <= 1     %s", at[RUST] <= at[BUILTIN] * 1.005 ? "met" : "MISSED");
	if (growth > 0)
		printf("; %.2f of fewest, <= 1.2 %s", growth, growth <= 1.2 ? "met" : "MISSED");
	printf("\n");
	fflush(stdout);
}

/* In a namespace and a process of its own, once: it takes long. */
static void measure_many(enum side side, unsigned int count, double *values)
{
	pid_t pid = spawn(true);

	if (!pid) {
		new_namespace();
		if (count) {
			run_many(side, count, results->many);
		} else {
			run_attaches(side, 1, results->many);
			run_attaches(side, ATTACHES, results->many + OF_EACH_ATTACH);
		}
		_exit(0);
	}
	wait_for(pid);
	memcpy(values, results->many, sizeof(results->many));
}

static void bench_many(void)
{
	double values[ARRAY_SIZE(numbers)][RUST + 1][MANY], at[RUST + 1];
	unsigned int n, row, side, most;

	for (most = 0; most < ARRAY_SIZE(numbers) && numbers[most] <= (unsigned int)atoi(most_segments); most++)
		for (side = BUILTIN; side <= RUST; side++)
			measure_many(side, numbers[most], values[most][side]);
	if (!json)
		many_header();
	for (row = 0; row < MANY; row++) {
		for (n = 0; n < most; n++) {
			for (side = BUILTIN; side <= RUST; side++)
				at[side] = values[n][side][row] * many_rows[row].scale;
			many_row(many_rows[row].name, many_rows[row].title, many_rows[row].unit, numbers[n], at,
				 n && n == most - 1 && many_rows[row].growth > 0 ? values[n][RUST][row] / values[0][RUST][row] : 0);
		}
	}
	for (side = BUILTIN; side <= RUST; side++)
		measure_many(side, 0, values[0][side]);
	for (row = 0; row < ATTACHED; row++) {
		for (side = BUILTIN; side <= RUST; side++)
			at[side] = values[0][side][row] * 1e6;
		many_row(attached_rows[row].name, attached_rows[row].title, "us", ATTACHES, at, 0);
	}
}

/* What stands above the rows of a group. */
static void print_header(bool scale)
{
	if (!scale) {
		printf("\n%-32s %-4s %9s %9s %9s %9s %9s %9s %9s %9s  %s\n", "", "unit", side_names[BUILTIN], side_names[RUST],
		       side_names[LIMIT], side_names[TUNED], side_names[HUGETLB], "ratio", "of best", "limit's", "aim");
		return;
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < MAX_PROCESSES)
		printf("\n(fewer CPUs than processes: this says little)");
	printf("\n%-26s %6s %9s %9s %9s %9s %9s %29s\n", "", "", "", "", "", "", "", "8 processes to 2");
	printf("%-26s %6s %9s %9s %9s %9s %9s %9s %9s %9s  %s\n", "", "unit", "processes", "builtin", "rust_shm", "limit", "ratio",
	       "builtin", "rust_shm", "limit", "aim");
}

static bool is_scale(const struct row *row)
{
	return !strcmp(row->group, "scale");
}

static void usage(FILE *to, int status)
{
	size_t n;

	fprintf(to, "bench [--rounds=5] [--long=n] [--ms=400] [--json] [row...|basic|scale|pressure|many]\n"
		"  --rounds      how often each row is measured; the median counts\n"
		"  --long=n      the same for rows whose work is not repeated to fill the time; default: as --rounds\n"
		"  --ms          how long a measurement of a short operation takes, about\n"
		"  --json        one JSON object instead of tables\n"
		"  --instructions  the clock counts them: calls have goals then\n"
		"  --profile=s   repeats a row for ever on one side (builtin, rust_shm, limit): make profile\n"
		"Without a row: all of basic and scale. Rows:\n");
	for (n = 0; n < ARRAY_SIZE(rows); n++)
		fprintf(to, "  %-9s %-17s %s%s\n", rows[n].group, rows[n].name, rows[n].title,
			is_scale(&rows[n]) ? ", by 1, 2, 4 and 8 processes" : "");
	fprintf(to, "  many      calls, by how many segments and attaches there are; more than 32768 where the kernel has ipcmni_extend\n");
	exit(status);
}

static unsigned int number(const char *text, unsigned int most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || end == text || !value || value > most)
		usage(stderr, 2);
	return (unsigned int)value;
}

/* Whether a row is asked for by its name or its group's. */
static bool wanted(const struct row *row, char **names)
{
	if (!*names)
		return strcmp(row->group, "pressure");
	for (; *names; names++)
		if (!strcmp(*names, row->name) || !strcmp(*names, row->group))
			return true;
	return false;
}

static bool known(const char *name)
{
	char *names[] = { (char *)name, NULL };
	size_t n;

	for (n = 0; n < ARRAY_SIZE(rows); n++)
		if (wanted(&rows[n], names))
			return true;
	return false;
}

static bool extended(void)
{
	FILE *file = fopen("/proc/cmdline", "re");
	char line[4096] = "";

	if (!file || !fgets(line, sizeof(line), file))
		die("/proc/cmdline");
	fclose(file);
	return strstr(line, "ipcmni_extend");
}

static void prepare(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	if (mmap(TOUCH_AT + MIB, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE,
		 -1, 0) == MAP_FAILED)
		die("mmap");
	open_device();
	null_ioctl();
	if (extended())
		most_segments = "16777216";
	new_namespace();
	errno = 0;
	if (syscall(SYS_shmctl, -1, IPC_RMID, NULL) < 0 && errno == ENOSYS)
		die("there is nothing to compare with: this kernel is built without CONFIG_SYSVIPC");
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		die("mmap");
	if (atexit(restore))
		die("atexit");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "long", required_argument, NULL, 'l' },
		{ "ms", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "instructions", no_argument, NULL, 'i' },
		{ "profile", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum side profiled = SIDES;
	const char *header = "";
	struct utsname uts;
	bool many = false;
	char **names;
	size_t n;
	int option;

	/* Not at each exec other addresses. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE) && personality(ADDR_NO_RANDOMIZE) != -1)
		execv("/proc/self/exe", argv);

	while ((option = getopt_long(argc, argv, "r:l:m:jip:h", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			rounds = number(optarg, MAX_ROUNDS);
			break;
		case 'l':
			long_rounds = number(optarg, MAX_ROUNDS);
			break;
		case 'm':
			milliseconds = number(optarg, 60000);
			break;
		case 'j':
			json = true;
			break;
		case 'i':
			instructions = true;
			break;
		case 'p':
			for (profiled = 0; profiled < SIDES && strcmp(side_names[profiled], optarg); profiled++)
				;
			if (profiled == SIDES)
				usage(stderr, 2);
			break;
		default:
			usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : 2);
		}
	}
	if (!long_rounds)
		long_rounds = rounds;
	names = argv + optind;
	for (n = 0; names[n]; n++) {
		if (!strcmp(names[n], "many")) {
			many = true;
		} else if (!known(names[n])) {
			fprintf(stderr, "bench: there is no row %s\n", names[n]);
			usage(stderr, 2);
		}
	}

	prepare();
	for (n = 0; profiled != SIDES && n < ARRAY_SIZE(rows); n++)
		if (!is_scale(&rows[n]) && wanted(&rows[n], names))
			measure(&rows[n], profiled, ULONG_MAX);
	uname(&uts);
	if (json)
		printf("{\"kernel\": \"%s\", \"cpus\": %ld, \"rounds\": %u, \"rows\": [", uts.release,
		       sysconf(_SC_NPROCESSORS_ONLN), rounds);
	else
		printf("Linux %s, %ld CPUs, median of %u rounds\n", uts.release, sysconf(_SC_NPROCESSORS_ONLN), rounds);

	for (n = 0; n < ARRAY_SIZE(rows); n++) {
		if (!wanted(&rows[n], names))
			continue;
		if (!json && strcmp(header, rows[n].group))
			print_header(is_scale(&rows[n]));
		header = rows[n].group;
		if (is_scale(&rows[n]))
			bench_scale(&rows[n]);
		else
			bench_row(&rows[n]);
	}
	if (many)
		bench_many();
	if (json)
		printf("\n]}\n");
	return 0;
}
