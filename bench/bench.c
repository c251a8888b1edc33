// SPDX-License-Identifier: GPL-2.0
/*
 * The same work on the kernel's own System V shared memory and on /dev/rust_shm, side by side, and the bare limit where there is one.
 *
 * Every measurement is made by a process of its own, forked for it: it opens the device, makes what it needs, measures, and removes what
 * it made. Rounds are interleaved (builtin, rust_shm, limit, builtin, ...), so that what else the machine does falls on all alike; the
 * median of the rounds counts, and beside its ratio stands that of the best rounds. All of it happens in an IPC namespace of its own. A
 * call that fails ends the whole with a message.
 *
 * Under -icount the clock of the guest counts instructions: a nanosecond is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
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
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/rust_shm.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define SMALL_SIZE (64UL << 10)
#define LARGE_SIZE (256UL << 20)
#define OTHER_KEYS 1000
#define IDLE_SEGMENTS 10000
#define MAX_ROUNDS 99
#define MAX_PROCESSES 8

/* A number of the device's type that no revision has: ENOTTY, and nothing done. */
#define NULL_IOCTL _IO(RUST_SHM_IOC_TYPE, 0xff)

enum side {
	BUILTIN,
	RUST,
	LIMIT,
	SIDES,
};

static const char *const side_names[SIDES] = { "builtin", "rust_shm", "limit" };

static unsigned int rounds = 5;
static unsigned int milliseconds = 400;
static size_t page;

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

	if (side == BUILTIN)
		id = (int)syscall(SYS_shmget, key, size, flags);
	else
		id = ioctl(device, RUST_SHM_IOC_GET, &get);
	if (id < 0)
		die("%s: get of key 0x%x, %zu bytes, flags 0%o", side_names[side], key, size, flags);
	return id;
}

static void *shm_attach(enum side side, int id)
{
	struct rust_shm_attach attach = { .id = id };
	long address;

	if (side == BUILTIN) {
		address = syscall(SYS_shmat, id, NULL, 0);
		if (address == -1)
			die("builtin: attach of id %d", id);
		return (void *)address;
	}
	if (ioctl(device, RUST_SHM_IOC_ATTACH, &attach))
		die("rust_shm: attach of id %d", id);
	return (void *)(uintptr_t)attach.addr;
}

static void shm_detach(enum side side, void *address)
{
	struct rust_shm_detach detach = { .addr = (uintptr_t)address };

	if (side == BUILTIN ? syscall(SYS_shmdt, address) : ioctl(device, RUST_SHM_IOC_DETACH, &detach))
		die("%s: detach at %p", side_names[side], address);
}

static void shm_remove(enum side side, int id)
{
	struct rust_shm_ctl ctl = { .id = id, .cmd = RUST_SHM_IPC_RMID };

	if (side == BUILTIN ? syscall(SYS_shmctl, id, IPC_RMID, NULL) : ioctl(device, RUST_SHM_IOC_CTL, &ctl))
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

	if (side == BUILTIN) {
		if (syscall(SYS_shmctl, id, IPC_STAT, &ds))
			die("builtin: IPC_STAT of id %d", id);
		return ds.shm_segsz;
	}
	if (ioctl(device, RUST_SHM_IOC_CTL, &ctl))
		die("rust_shm: IPC_STAT of id %d", id);
	return stat.segsz;
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

static void touch(void *address, size_t size)
{
	volatile char *at = address;
	size_t offset;

	for (offset = 0; offset < size; offset += page)
		at[offset] = 1;
}

/* A number in kB from a file of /proc that has lines such as "VmPTE:  36 kB". */
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

/*
 * The rows. Each function does its work count times on one side, and returns what it measured: seconds for all of it, kB, or bytes.
 */

static int small_new(enum side side)
{
	return side == LIMIT ? limit_file(SMALL_SIZE) : shm_get(side, IPC_PRIVATE, SMALL_SIZE, 0600);
}

static void small_free(enum side side, int id)
{
	if (side == LIMIT)
		close(id);
	else
		shm_remove(side, id);
}

static void create_once(enum side side, int id)
{
	(void)id;
	if (side == LIMIT) {
		null_ioctl();
		null_ioctl();
	} else {
		shm_remove(side, shm_get(side, IPC_PRIVATE, SMALL_SIZE, 0600));
	}
}

static void attach_once(enum side side, int id)
{
	if (side == LIMIT)
		limit_map(id, SMALL_SIZE);
	else
		shm_detach(side, shm_attach(side, id));
}

static void stat_once(enum side side, int id)
{
	if (side == LIMIT) {
		null_ioctl();
	} else if (shm_stat(side, id) != SMALL_SIZE) {
		errno = EPROTO;
		die("%s: IPC_STAT says a wrong size", side_names[side]);
	}
}

static double repeat(void (*once)(enum side side, int id), enum side side, unsigned long count)
{
	int id = small_new(side);
	double start, elapsed;

	start = now();
	while (count--)
		once(side, id);
	elapsed = now() - start;
	small_free(side, id);
	return elapsed;
}

static double run_create(enum side side, unsigned long count)
{
	return repeat(create_once, side, count);
}

static double run_attach(enum side side, unsigned long count)
{
	return repeat(attach_once, side, count);
}

static double run_stat(enum side side, unsigned long count)
{
	return repeat(stat_once, side, count);
}

/* Keys that do not follow each other. */
static int nth_key(unsigned int n)
{
	return (int)(0x52000000 + n * 7919);
}

/* Each key in its turn, so that no place in a tree or a chain is preferred. */
static double run_find(enum side side, unsigned long count)
{
	int ids[OTHER_KEYS + 1];
	double start, elapsed;
	unsigned int n;

	for (n = 0; side != LIMIT && n < ARRAY_SIZE(ids); n++)
		ids[n] = shm_get(side, nth_key(n), SMALL_SIZE, IPC_CREAT | IPC_EXCL | 0600);
	n = 0;
	start = now();
	while (count--) {
		if (side == LIMIT) {
			null_ioctl();
		} else if (shm_get(side, nth_key(n), SMALL_SIZE, 0600) != ids[n]) {
			errno = EPROTO;
			die("%s: the wrong segment was found", side_names[side]);
		}
		if (++n == ARRAY_SIZE(ids))
			n = 0;
	}
	elapsed = now() - start;
	for (n = 0; side != LIMIT && n < ARRAY_SIZE(ids); n++)
		shm_remove(side, ids[n]);
	return elapsed;
}

static double run_touch(enum side side, unsigned long count)
{
	double total = 0, start;
	void *address;
	int id = -1;

	while (count--) {
		if (side == LIMIT) {
			address = mmap(NULL, LARGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (address == MAP_FAILED)
				die("mmap of anonymous memory");
			if (madvise(address, LARGE_SIZE, MADV_HUGEPAGE))
				die("madvise(MADV_HUGEPAGE)");
		} else {
			id = shm_get(side, IPC_PRIVATE, LARGE_SIZE, 0600);
			address = shm_attach(side, id);
		}
		start = now();
		touch(address, LARGE_SIZE);
		total += now() - start;
		if (side == LIMIT) {
			munmap(address, LARGE_SIZE);
		} else {
			shm_detach(side, address);
			shm_remove(side, id);
		}
	}
	return total;
}

/* A segment that has all its pages, attached again; what touching them there takes, in seconds and in kB of page tables. */
static void second_touch(enum side side, double *seconds, double *kb)
{
	int id = shm_get(side, IPC_PRIVATE, LARGE_SIZE, 0600);
	void *first = shm_attach(side, id), *second;
	double tables, start;

	touch(first, LARGE_SIZE);
	second = shm_attach(side, id);
	tables = proc_kb("/proc/self/status", "VmPTE");
	start = now();
	touch(second, LARGE_SIZE);
	*seconds = now() - start;
	*kb = proc_kb("/proc/self/status", "VmPTE") - tables;
	shm_detach(side, first);
	shm_detach(side, second);
	shm_remove(side, id);
}

static double run_touch2(enum side side, unsigned long count)
{
	double total = 0, seconds, kb;

	while (count--) {
		second_touch(side, &seconds, &kb);
		total += seconds;
	}
	return total;
}

static double run_vmpte(enum side side, unsigned long count)
{
	double seconds, kb;

	(void)count;
	second_touch(side, &seconds, &kb);
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

static double run_idle(enum side side, unsigned long count)
{
	static int ids[IDLE_SEGMENTS];
	double before = slab_bytes(), after;
	unsigned int n;

	(void)count;
	for (n = 0; n < IDLE_SEGMENTS; n++)
		ids[n] = shm_get(side, IPC_PRIVATE, SMALL_SIZE, 0600);
	after = slab_bytes();
	for (n = 0; n < IDLE_SEGMENTS; n++)
		shm_remove(side, ids[n]);
	return (after - before) / IDLE_SEGMENTS;
}

struct row {
	const char *name;
	const char *title;
	/* What one of it is measured in, and how many of these make one of the unit that run() returns. */
	const char *unit;
	double scale;
	double (*run)(enum side side, unsigned long count);
	/* Done often enough to fill the time, or once. */
	bool repeat;
	bool limit;
	/* At most this ratio to the built-in; 0: none. */
	double aim;
};

static const struct row rows[] = {
	{ "create", "create + remove, 64 KiB", "us", 1e6, run_create, true, true, 0.5 },
	{ "attach", "attach + detach, 64 KiB", "us", 1e6, run_attach, true, true, 0.8 },
	{ "stat", "IPC_STAT", "us", 1e6, run_stat, true, true, 1.5 },
	{ "find", "find by key, among 1001", "us", 1e6, run_find, true, true, 1.5 },
	{ "touch", "first touch, 256 MiB", "ms", 1e3, run_touch, false, true, 0.35 },
	{ "touch2", "touch, second attach, 256 MiB", "ms", 1e3, run_touch2, false, false, 0.1 },
	{ "vmpte", "VmPTE growth by that", "kB", 1, run_vmpte, false, false, 0.1 },
	{ "idle", "slab of an idle segment", "byte", 1, run_idle, false, false, 0 },
};

struct scale_row {
	const char *name;
	const char *title;
	void (*once)(enum side side, int id);
};

static const struct scale_row scale_rows[] = {
	{ "scale-attach", "attach + detach", attach_once },
	{ "scale-create", "create + remove", create_once },
};

static const unsigned int processes[] = { 1, 2, 4, MAX_PROCESSES };

/*
 * Measuring.
 */

/* Shared with the processes that measure. */
struct results {
	double value;
	atomic_uint ready;
	atomic_bool go, stop;
	struct {
		/* A cache line each: one writes, all read go and stop. */
		_Alignas(128) unsigned long operations;
	} process[MAX_PROCESSES];
};

static struct results *results;

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status) {
		if (WIFSIGNALED(status))
			fprintf(stderr, "bench: a measuring process was killed by signal %d\n", WTERMSIG(status));
		exit(1);
	}
}

static pid_t spawn(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		open_device();
	return pid;
}

static double measure(const struct row *row, enum side side, unsigned long count)
{
	pid_t pid = spawn();

	if (!pid) {
		results->value = row->run(side, count);
		_exit(0);
	}
	wait_for(pid);
	return results->value;
}

/* How often to do it, to fill the time. */
static unsigned long calibrate(const struct row *row, enum side side)
{
	double wanted = milliseconds / 1e3, took;
	unsigned long count = 16;

	if (!row->repeat)
		return 1;
	while ((took = measure(row, side, count)) < wanted / 16)
		count *= 2;
	count = (unsigned long)((double)count * wanted / took);
	return count ? count : 1;
}

/* From when it is told to until it is told otherwise. */
static void work(const struct scale_row *row, enum side side, unsigned int process)
{
	unsigned long operations = 0;
	int id = small_new(side);

	/* The first of everything, before the start. */
	row->once(side, id);
	atomic_fetch_add(&results->ready, 1);
	while (!atomic_load_explicit(&results->go, memory_order_acquire))
		sched_yield();
	while (!atomic_load_explicit(&results->stop, memory_order_relaxed)) {
		row->once(side, id);
		operations++;
	}
	results->process[process].operations = operations;
	small_free(side, id);
}

/* Operations a second, by all processes together. */
static double measure_scale(const struct scale_row *row, enum side side, unsigned int count)
{
	pid_t pids[MAX_PROCESSES];
	double start, elapsed, total = 0;
	unsigned int n;

	memset(results, 0, sizeof(*results));
	for (n = 0; n < count; n++) {
		pids[n] = spawn();
		if (!pids[n]) {
			work(row, side, n);
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
	sleep_ms(milliseconds);
	atomic_store(&results->stop, true);
	elapsed = now() - start;
	for (n = 0; n < count; n++)
		wait_for(pids[n]);
	for (n = 0; n < count; n++)
		total += (double)results->process[n].operations;
	return total / elapsed;
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

static bool json;
static const char *separator = "";

static void print_number(double value, int width)
{
	printf(" %*.*f", width, value < 100 ? 2 : value < 1000 ? 1 : 0, value);
}

static void print_values(const char *name, const double *values)
{
	unsigned int n;

	printf(", \"%s\": {\"median\": %.6g, \"rounds\": [", name, median(values));
	for (n = 0; n < rounds; n++)
		printf("%s%.6g", n ? ", " : "", values[n]);
	printf("]}");
}

static void report(const struct row *row, double values[SIDES][MAX_ROUNDS])
{
	double builtin = median(values[BUILTIN]), rust = median(values[RUST]);
	double ratio = builtin > 0 ? rust / builtin : 0;
	double best_ratio = best(values[BUILTIN]) > 0 ? best(values[RUST]) / best(values[BUILTIN]) : 0;
	double limit = row->limit ? median(values[LIMIT]) : 0;
	bool met = ratio <= row->aim;

	if (json) {
		printf("%s\n    {\"name\": \"%s\", \"title\": \"%s\", \"unit\": \"%s\"", separator, row->name, row->title, row->unit);
		print_values("builtin", values[BUILTIN]);
		print_values("rust_shm", values[RUST]);
		if (row->limit)
			print_values("limit", values[LIMIT]);
		printf(", \"ratio\": %.3f, \"best_ratio\": %.3f", ratio, best_ratio);
		if (row->limit)
			printf(", \"limit_ratio\": %.3f", builtin > 0 ? limit / builtin : 0);
		if (row->aim > 0)
			printf(", \"aim\": %g, \"met\": %s", row->aim, met ? "true" : "false");
		printf("}");
		separator = ",";
		return;
	}
	printf("%-30s %-4s", row->title, row->unit);
	print_number(builtin, 9);
	print_number(rust, 9);
	if (row->limit)
		print_number(limit, 9);
	else
		printf(" %9s", "-");
	printf(" %9.2f %9.2f", ratio, best_ratio);
	if (row->limit)
		printf(" %9.2f", builtin > 0 ? limit / builtin : 0);
	else
		printf(" %9s", "-");
	if (row->aim > 0)
		printf("  <= %-5g %s", row->aim, met ? "met" : "MISSED");
	else
		printf("  %-8s", "-");
	printf("\n");
	fflush(stdout);
}

static void bench_row(const struct row *row)
{
	double values[SIDES][MAX_ROUNDS];
	unsigned long counts[SIDES];
	unsigned int round, side, sides = row->limit ? SIDES : LIMIT;

	for (side = 0; side < sides; side++)
		counts[side] = calibrate(row, side);
	for (round = 0; round < rounds; round++)
		for (side = 0; side < sides; side++)
			values[side][round] = measure(row, side, counts[side]) * row->scale / (double)counts[side];
	report(row, values);
}

static void bench_scale(const struct scale_row *row)
{
	static double values[ARRAY_SIZE(processes)][SIDES][MAX_ROUNDS];
	double at[ARRAY_SIZE(processes)][SIDES];
	unsigned int n, round, side;

	for (round = 0; round < rounds; round++)
		for (n = 0; n < ARRAY_SIZE(processes); n++)
			for (side = 0; side < SIDES; side++)
				values[n][side][round] = measure_scale(row, side, processes[n]) / 1e3;

	for (n = 0; n < ARRAY_SIZE(processes); n++) {
		for (side = 0; side < SIDES; side++)
			at[n][side] = median(values[n][side]);
		if (json) {
			printf("%s\n    {\"name\": \"%s\", \"title\": \"%s\", \"unit\": \"1000/s\", \"processes\": %u", separator, row->name,
			       row->title, processes[n]);
			for (side = 0; side < SIDES; side++)
				print_values(side_names[side], values[n][side]);
			printf(", \"to_two\": %.3f}", n ? at[n][RUST] / at[1][RUST] : 0);
			separator = ",";
			continue;
		}
		printf("%-18s %9u", row->title, processes[n]);
		for (side = 0; side < SIDES; side++)
			print_number(at[n][side], 9);
		printf(" %9.2f", at[n][RUST] / at[n][BUILTIN]);
		if (processes[n] == MAX_PROCESSES) {
			/* Of 2 processes: 8 % less is within what the rounds differ by. */
			for (side = 0; side < SIDES; side++)
				printf(" %9.2f", at[n][side] / at[1][side]);
			printf("  >= 1     %s", at[n][RUST] / at[1][RUST] >= 0.92 ? "met" : "MISSED");
		}
		printf("\n");
	}
	fflush(stdout);
}

static void list(FILE *to)
{
	size_t n;

	for (n = 0; n < ARRAY_SIZE(rows); n++)
		fprintf(to, "  %-13s %s\n", rows[n].name, rows[n].title);
	for (n = 0; n < ARRAY_SIZE(scale_rows); n++)
		fprintf(to, "  %-13s %s, by 1, 2, 4 and 8 processes\n", scale_rows[n].name, scale_rows[n].title);
}

static void usage(FILE *to, int status)
{
	fprintf(to, "bench [--rounds=5] [--ms=400] [--json] [row...|basic|scale]\n"
		"  --rounds      how often each row is measured; the median counts\n"
		"  --ms          how long a measurement of a short operation takes, about\n"
		"  --json        one JSON object instead of tables\n"
		"Rows (basic: all above scale-attach; without a name: all):\n");
	list(to);
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
static bool wanted(char **names, const char *name, const char *group)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name) || !strcmp(*names, group))
			return true;
	return false;
}

static bool known(const char *name)
{
	size_t n;

	for (n = 0; n < ARRAY_SIZE(rows); n++)
		if (!strcmp(name, rows[n].name))
			return true;
	for (n = 0; n < ARRAY_SIZE(scale_rows); n++)
		if (!strcmp(name, scale_rows[n].name))
			return true;
	return !strcmp(name, "basic") || !strcmp(name, "scale");
}

static void prepare(void)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	open_device();
	null_ioctl();
	close(device);
	if (unshare(CLONE_NEWIPC))
		die("a new IPC namespace (this takes root)");
	errno = 0;
	if (syscall(SYS_shmctl, -1, IPC_RMID, NULL) < 0 && errno == ENOSYS)
		die("there is nothing to compare with: this kernel is built without CONFIG_SYSVIPC");
	write_text("/proc/sys/kernel/shmmni", "32768");
	results = mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		die("mmap");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "ms", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct utsname uts;
	bool any = false;
	char **names;
	size_t n;
	int option;

	while ((option = getopt_long(argc, argv, "r:m:jh", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			rounds = number(optarg, MAX_ROUNDS);
			break;
		case 'm':
			milliseconds = number(optarg, 60000);
			break;
		case 'j':
			json = true;
			break;
		default:
			usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : 2);
		}
	}
	names = argv + optind;
	for (n = 0; names[n]; n++) {
		if (!known(names[n])) {
			fprintf(stderr, "bench: there is no row %s\n", names[n]);
			usage(stderr, 2);
		}
	}

	prepare();
	uname(&uts);
	if (json)
		printf("{\"kernel\": \"%s\", \"cpus\": %ld, \"rounds\": %u, \"rows\": [", uts.release, sysconf(_SC_NPROCESSORS_ONLN), rounds);
	else
		printf("Linux %s, %ld CPUs, median of %u rounds\n", uts.release, sysconf(_SC_NPROCESSORS_ONLN), rounds);

	for (n = 0; n < ARRAY_SIZE(rows); n++) {
		if (!wanted(names, rows[n].name, "basic"))
			continue;
		if (!any && !json)
			printf("\n%-30s %-4s %9s %9s %9s %9s %9s %9s  %s\n", "", "unit", "builtin", "rust_shm", "limit", "ratio", "of best",
			       "limit's", "aim");
		any = true;
		bench_row(&rows[n]);
	}
	any = false;
	for (n = 0; n < ARRAY_SIZE(scale_rows); n++) {
		if (!wanted(names, scale_rows[n].name, "scale"))
			continue;
		if (!any && !json) {
			if (sysconf(_SC_NPROCESSORS_ONLN) < MAX_PROCESSES)
				printf("\n(fewer CPUs than processes: this says little)");
			printf("\n%-18s %9s %9s %9s %9s %9s %29s\n", "", "", "1000/s", "", "", "", "8 processes to 2");
			printf("%-18s %9s %9s %9s %9s %9s %9s %9s %9s  %s\n", "", "processes", "builtin", "rust_shm", "limit", "ratio", "builtin",
			       "rust_shm", "limit", "aim");
		}
		any = true;
		bench_scale(&scale_rows[n]);
	}
	if (json)
		printf("\n]}\n");
	return 0;
}
