// SPDX-License-Identifier: GPL-2.0-only
/*
 * tools/preload: libc's shmget(), shmat(), shmdt() and shmctl() over the device, wherever a program may call them, and what may become
 * of the library's descriptor. The program starts itself again with the library before libc; the system calls are forbidden then.
 *
 * That the answers are those of the built-in is for the other programs to show: see preloaded_programs in scripts/build.sh.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#include "shm_backend.h"

/* Where the library puts its descriptor. */
#define LOWEST 500

/* What the loader has for $PLATFORM. */
#if defined(__x86_64__) || defined(__i386__)
#define PLATFORM_64 "x86_64"
#define PLATFORM_32 "i686"
#else
#define PLATFORM_64 "aarch64"
#define PLATFORM_32 "v8l"
#endif
/* A compiler for programs like this one. */
#if defined(__x86_64__)
#define COMPILER "cc -m64"
#elif defined(__i386__)
#define COMPILER "cc -m32"
#elif defined(__arm__)
#define COMPILER "arm-linux-gnueabihf-gcc"
#else
#define COMPILER "cc"
#endif
#define LIBRARY_OF(platform) "rust_shm/" platform "/librust_shm_preload.so"

#ifdef __LP64__
#define LIBRARY LIBRARY_OF(PLATFORM_64)
#define LINKED "/"
#else
#define LIBRARY LIBRARY_OF(PLATFORM_32)
#define LINKED "/lib32/"
#endif

#define TABLE "/proc/sysvipc/shm"

/* What the program does instead of its tests, in a process of its own: see role(). */
#define ROLE "PRELOAD_ROLE"

static char directory[PATH_MAX];	/* of the libraries */
static char library[PATH_MAX + 32];	/* this program's own */
static char self_path[PATH_MAX];

static int count_device_descriptors(void)
{
	struct stat device, stat;
	int fd, count = 0;

	if (lstat(RUST_SHM_DEVICE, &device))
		return -1;
	for (fd = 0; fd < 1024; fd++)
		count += !fstat(fd, &stat) && S_ISCHR(stat.st_mode) && stat.st_rdev == device.st_rdev;
	return count;
}

/* The library's descriptor, or -1. */
static int library_fd(void)
{
	struct stat device, stat;
	int fd;

	if (lstat(RUST_SHM_DEVICE, &device))
		return -1;
	for (fd = LOWEST; fd < 1024; fd++) {
		if (!fstat(fd, &stat) && S_ISCHR(stat.st_mode) && stat.st_rdev == device.st_rdev)
			return fd;
	}
	return -1;
}

/* One round of all four. Async-signal-safe. 0, or the line that went wrong. */
static int round_of_calls(void)
{
	struct shmid_ds ds;
	int id = shmget(IPC_PRIVATE, 4096, 0600);
	char *at;

	if (id < 0)
		return __LINE__;
	at = shmat(id, NULL, 0);
	if (at == SHM_FAILED)
		return __LINE__;
	*at = 'x';
	if (shmctl(id, IPC_RMID, NULL))
		return __LINE__;
	if (shmctl(id, IPC_STAT, &ds) || ds.shm_nattch != 1 || ds.shm_segsz != 4096)
		return __LINE__;
	if (shmdt(at))
		return __LINE__;
	return shmctl(id, IPC_STAT, &ds) == -1 && errno == EINVAL ? 0 : __LINE__;
}

/* Where a program comes first: before the constructors of all libraries. */
static int early_result = -1, early_descriptors;
static char early_line[64];

static void early(int argc, char **argv, char **envp)
{
	int fd;

	(void)argc, (void)argv;
	/* Not even getenv() works here. */
	while (*envp && strcmp(*envp, ROLE "=early"))
		envp++;
	if (!*envp)
		return;
	early_descriptors = count_device_descriptors();
	early_result = round_of_calls();
	fd = open(TABLE, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, early_line, sizeof(early_line) - 1) < 0)
		early_result = __LINE__;
	close(fd);
}
__attribute__((section(".preinit_array"), used)) static void (*early_pointer)(int, char **, char **) = early;

typedef int (*get_function)(key_t key, size_t size, int flags);

static int load_by_hand(void)
{
	get_function get;
	void *handle;
	int id, pass;

	for (pass = 0; pass < 2; pass++) {
		handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
		if (!handle)
			return fprintf(stderr, "# %s\n", dlerror()), 1;
		get = (get_function)dlsym(handle, "shmget");
		if (!get)
			return 2;
		id = get(SHM_KEY, 4096, pass ? 0 : IPC_CREAT | 0600);
		if (id < 0)
			return errno == ENOSYS ? 38 : 3;
		if (dlclose(handle))
			return 4;
		if (count_device_descriptors() != 1)
			return 5;
	}
	return 0;
}

/* Where the device is while it is away. */
#define HIDDEN "/dev/hidden"

/* What was the built-in's before the device came stays so, also where this is another process. */
static int still_builtin(int id)
{
	struct shmid_ds ds, builtin;

	if (shmctl(id, IPC_STAT, &ds) || ds.shm_segsz != 4097 || shmget(SHM_KEY, 0, 0) != id)
		return __LINE__;
	return shm_builtin.ctl(id, IPC_STAT, &builtin) || builtin.shm_segsz != 4097 ? __LINE__ : 0;
}

/* Makes a segment without the device, then the device comes. */
static int decides_once(void)
{
	int id = shmget(SHM_KEY, 4097, IPC_CREAT | 0600), result;
	char text[16];
	pid_t pid;

	if (id < 0 || rename(HIDDEN, RUST_SHM_DEVICE) || access(RUST_SHM_DEVICE, R_OK | W_OK))
		return 1;
	if (still_builtin(id))
		return 2;
	closefrom(3);
	if (chroot("/") || still_builtin(id))
		return 3;
	pid = fork();
	if (!pid)
		_exit(still_builtin(id));
	if (shm_wait(pid))
		return 4;
	/* As a shell, which has a copy of its environment. */
	snprintf(text, sizeof(text), "%d", id);
	pid = fork();
	if (!pid) {
		setenv("PRELOAD_ID", text, 1);
		setenv(ROLE, "finds", 1);
		execl("/bin/sh", "sh", "-c", "true; \"$0\"", self_path, NULL);
		_exit(97);
	}
	result = shm_wait(pid);
	if (result)
		return result;
	return shmctl(id, IPC_RMID, NULL) || shm_builtin.get(SHM_KEY, 0, 0) != -1 ? 5 : 0;
}

/* The other way round: the device goes. */
static int stays_with_the_device(void)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600);
	pid_t pid;

	if (id < 0 || rename(RUST_SHM_DEVICE, HIDDEN))
		return 1;
	closefrom(3);
	if (shmctl(id, IPC_RMID, NULL) != -1 || errno != ENOSYS)
		return 2;
	pid = fork();
	if (!pid) {
		setenv(ROLE, "calls", 1);
		execl(self_path, self_path, NULL);
		_exit(97);
	}
	/* Its calls fail. */
	return shm_wait(pid) == 1 ? 0 : 3;
}

/* 0, or what went wrong. */
static int role(const char *name)
{
	if (!strcmp(name, "once"))
		return decides_once();
	if (!strcmp(name, "finds"))
		return still_builtin(atoi(getenv("PRELOAD_ID"))) ? 6 : 0;
	if (!strcmp(name, "device goes"))
		return stays_with_the_device();
	if (!strcmp(name, "early")) {
		if (early_descriptors)
			return 100;
		return early_result ? early_result : strstr(early_line, "shmid") ? 0 : 101;
	}
	if (!strcmp(name, "dlopen"))
		return load_by_hand();
	if (!strcmp(name, "calls"))
		return round_of_calls() ? 1 : 0;
	/* Whether what libc's name makes is the built-in's. */
	if (!strcmp(name, "fallback")) {
		int id = shmget(SHM_KEY, 4096, IPC_CREAT | 0600), result;
		struct shmid_ds ds;
		struct shm_row row;
		void *at;

		if (id < 0)
			return errno == ENOSYS ? 38 : 1;
		result = id == shm_builtin.get(SHM_KEY, 0, 0) ? 0 : 2;
		if (access(TABLE, R_OK) || shm_table_row(&shm_builtin, id, &row, NULL, 0) || row.id != id)
			result = 5;
		at = shmat(id, NULL, 0);
		if (at == SHM_FAILED || shmctl(id, IPC_STAT, &ds) || ds.shm_segsz != 4096 || ds.shm_nattch != 1 || shmdt(at))
			result = 3;
		return shmctl(id, IPC_RMID, NULL) ? 4 : result;
	}
	return 99;
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
	const char *name = getenv(ROLE);
	char *slash;
	ssize_t length;

	(void)argc, (void)envp;
	length = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
	if (length < 0)
		_exit(1);
	if (!getenv("PRELOAD_DIRECTORY")) {
		strcpy(directory, self_path);
		slash = strrchr(directory, '/');
		strcpy(slash, "/../tools");
	} else {
		strcpy(directory, getenv("PRELOAD_DIRECTORY"));
	}
	snprintf(library, sizeof(library), "%s/%s", directory, LIBRARY);
	if (name)
		_exit(role(name));
	if (!getenv("LD_PRELOAD")) {
		setenv("LD_PRELOAD", library, 1);
		execv(self_path, argv);
		_exit(1);
	}
}

/* The program in another role; its exit status. A library to preload, a variable to set to 1, and whom to become may be given. */
static int as(const char *name, const char *preload, const char *variable, uid_t uid, const char *program)
{
	pid_t pid = fork();

	if (!pid) {
		setenv(ROLE, name, 1);
		setenv("PRELOAD_DIRECTORY", directory, 1);
		if (preload)
			setenv("LD_PRELOAD", preload, 1);
		else
			unsetenv("LD_PRELOAD");
		if (variable)
			setenv(variable, "1", 1);
		if (uid && setresuid(uid, uid, uid))
			_exit(98);
		execl(program, program, NULL);
		_exit(97);
	}
	return shm_wait(pid);
}

FIXTURE(preload)
{
	size_t page;
};

FIXTURE_SETUP(preload)
{
	self->page = shm_page_size();
	SHM_ENTER(&shm_rust);
	ASSERT_EQ(0, access(library, R_OK))
		TH_LOG("%s is missing: make tools", library);
	/* Mounts made here are nobody else's. */
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

FIXTURE_TEARDOWN(preload)
{
	SHM_LEAVE(&shm_rust);
}

/* The four functions must not get to the kernel's own. */
#define FORBID() ASSERT_EQ(0, shm_forbid_builtin())

/* From now on there is no such file as the device here, and no descriptor of it. */
#define TAKE_DEVICE_AWAY() do { \
	ASSERT_EQ(0, mount("tmpfs", "/dev", "tmpfs", 0, NULL)); \
	shm_rust_use_fd(-1); \
	ASSERT_EQ(0, close_range(3, ~0U, 0)); \
} while (0)

TEST_F(preload, the_system_calls_are_forbidden)
{
	pid_t pid;

	FORBID();
	pid = fork();
	if (!pid) {
		shm_builtin.get(IPC_PRIVATE, 4096, 0600);
		_exit(0);
	}
	EXPECT_EQ(256 + SIGSYS, shm_wait(pid));
	EXPECT_EQ(0, round_of_calls());
}

TEST_F(preload, segments_are_the_devices)
{
	struct rust_shm_stat stat;
	struct shmid_ds ds;
	char *at;
	int id;

	FORBID();
	errno = 1234;
	id = shmget(SHM_KEY, 4096, IPC_CREAT | 0640);
	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(SHM_KEY, stat.key);
	at = shmat(id, NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, at);
	EXPECT_EQ(1, shm_nattch(&shm_rust, id));
	ASSERT_EQ(0, shmctl(id, IPC_STAT, &ds));
	EXPECT_EQ(0640, ds.shm_perm.mode);
	EXPECT_EQ(1, ds.shm_nattch);
	EXPECT_EQ(getpid(), ds.shm_lpid);
	EXPECT_EQ(0, shmdt(at));
	EXPECT_EQ(0, shmctl(id, IPC_RMID, NULL));
	EXPECT_EQ(1234, errno)
		TH_LOG("a call that does not fail leaves errno alone");
}

TEST_F(preload, the_descriptor_is_out_of_the_way)
{
	int fd, low;

	/* A program that makes no call has none, also if it has other files. */
	ASSERT_EQ(-1, library_fd());
	low = open("/dev/null", O_RDONLY);
	ASSERT_EQ(-1, library_fd());
	ASSERT_EQ(0, round_of_calls());
	fd = library_fd();
	ASSERT_LE(LOWEST, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(1, count_device_descriptors() - (fcntl(shm_rust_fd(), F_GETFD) >= 0));
	EXPECT_GT(LOWEST, low);
	close(low);

	/* Not even where it is opened anew and there is room below: who closes its standard streams opens them again. */
	SHM_CHILD {
		ASSERT_EQ(0, close_range(0, ~0U, 0));
		if (round_of_calls() || open("/dev/null", O_RDWR) != 0)
			_exit(1);
	}
}

TEST_F(preload, flags_that_nobody_knows_are_ignored)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600 | 1 << 20 | SHM_HUGE_2MB);
	void *at;

	FORBID();
	ASSERT_LE(0, id);
	at = shmat(id, NULL, 1 << 20 | 0777);
	ASSERT_NE(SHM_FAILED, at);
	EXPECT_EQ(0, shmdt(at));
}

/*
 * Descriptors.
 */

TEST_F(preload, a_daemon_closes_all_descriptors)
{
	FORBID();
	ASSERT_EQ(0, round_of_calls());
	ASSERT_LE(0, library_fd());
	closefrom(3);
	ASSERT_EQ(-1, library_fd());
	EXPECT_EQ(0, round_of_calls());
	EXPECT_LE(LOWEST, library_fd());
	ASSERT_EQ(0, close_range(3, ~0U, 0));
	EXPECT_EQ(0, round_of_calls());
	EXPECT_EQ(1, count_device_descriptors());
	EXPECT_EQ(0, close(library_fd()));
	EXPECT_EQ(0, round_of_calls());
}

TEST_F(preload, a_descriptor_that_is_somebody_elses_is_left_alone)
{
	/* The last two are the device, but do not do or are not ours. */
	const char *const paths[] = { "/dev/null", "/dev/zero", "/proc/self/status", "/", RUST_SHM_DEVICE, RUST_SHM_DEVICE };
	const int flags[] = { O_RDWR, O_RDONLY, O_RDONLY, O_RDONLY, O_RDONLY | O_PATH, O_RDONLY };
	struct stat before, after;
	unsigned int i;
	int fd, other;

	FORBID();
	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		ASSERT_EQ(0, round_of_calls());
		closefrom(3);
		other = open(paths[i], flags[i]);
		ASSERT_LE(0, other);
		ASSERT_EQ(LOWEST, dup2(other, LOWEST));
		ASSERT_EQ(0, close(other));
		ASSERT_EQ(0, fstat(LOWEST, &before));
		EXPECT_EQ(0, round_of_calls())
			TH_LOG("%s, %#o: %s", paths[i], flags[i], strerror(errno));
		ASSERT_EQ(0, fstat(LOWEST, &after));
		EXPECT_EQ(before.st_dev, after.st_dev);
		EXPECT_EQ(before.st_ino, after.st_ino);
		fd = fcntl(LOWEST, F_GETFL);
		EXPECT_EQ(flags[i] & (O_ACCMODE | O_PATH), fd & (O_ACCMODE | O_PATH));
	}
}

TEST_F(preload, after_chroot)
{
	char path[] = "/tmp/preload-XXXXXX";

	FORBID();
	ASSERT_NE(NULL, mkdtemp(path));
	ASSERT_EQ(0, chroot(path));
	ASSERT_EQ(0, chdir("/"));
	EXPECT_EQ(0, round_of_calls());
	/* Without the descriptor there is no way to the device. */
	closefrom(3);
	EXPECT_ERRNO(ENOSYS, shmget(IPC_PRIVATE, 4096, 0600));
}

TEST_F(preload, when_descriptors_run_out)
{
	struct rlimit limit = { 64, 64 };
	int fd, last = -1;

	FORBID();
	ASSERT_EQ(0, round_of_calls());
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	ASSERT_EQ(EMFILE, errno);
	EXPECT_EQ(0, round_of_calls());
	/* The one that was opened in time is closed: the error says what is missing. */
	ASSERT_EQ(0, close_range(LOWEST, ~0U, 0));
	EXPECT_ERRNO(EMFILE, shmget(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(EMFILE, shmat(0, NULL, 0));
	EXPECT_ERRNO(EMFILE, shmdt(NULL));
	/* One is enough; it has no place above the limit. */
	ASSERT_EQ(0, close(last));
	EXPECT_EQ(0, round_of_calls());
	EXPECT_EQ(0, round_of_calls());
}

/*
 * Threads, processes, signals.
 */

#define THREADS 4
static atomic_int stop, wrong, wrong_errno;

static void *calls_without_end(void *arg)
{
	int line;

	while (!atomic_load(&stop)) {
		line = round_of_calls();
		if (line) {
			atomic_store(&wrong_errno, errno);
			atomic_store(&wrong, line);
		}
	}
	return arg;
}

static void *some_calls(void *arg)
{
	long i;

	for (i = 0; i < 50; i++) {
		if (round_of_calls())
			return (void *)1;
	}
	return arg;
}

/* Others take the library's descriptor away, and put another file there, whenever they like. */
TEST_F(preload, threads_while_the_descriptor_is_taken_away)
{
	pthread_t threads[THREADS];
	struct stat null, stat;
	int i, other;

	FORBID();
	other = open("/dev/null", O_RDONLY);
	ASSERT_EQ(0, fstat(other, &null));
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, calls_without_end, NULL));
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, close_range(LOWEST, ~0U, 0));
		/* EBUSY: just now the library has got this number, but the file is not there yet. */
		while (dup2(other, LOWEST) < 0)
			ASSERT_EQ(EBUSY, errno);
		sched_yield();
		ASSERT_EQ(0, fstat(LOWEST, &stat))
			TH_LOG("the library closed it");
		ASSERT_EQ(null.st_rdev, stat.st_rdev);
	}
	atomic_store(&stop, 1);
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(0, wrong)
		TH_LOG("line %d: %s", wrong, strerror(wrong_errno));
	EXPECT_EQ(0, shm_count(&shm_rust));
}

TEST_F(preload, threads)
{
	pthread_t threads[THREADS];
	void *result;
	int i;

	FORBID();
	closefrom(3);	/* all of them find that it must be opened */
	for (i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, some_calls, NULL));
	for (i = 0; i < THREADS; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &result));
		EXPECT_EQ(NULL, result);
	}
	EXPECT_EQ(1, count_device_descriptors());
}

static atomic_int cleaned_up;

static void clean_up(int *unused)
{
	(void)unused;
	atomic_store(&cleaned_up, 1);
}

static void *opens_by_descriptor(void *path)
{
	int guard __attribute__((cleanup(clean_up), unused)) = 0;
	long fd = open(path, O_RDONLY);

	return (void *)fd;
}

static void *opens_by_stream(void *path)
{
	int guard __attribute__((cleanup(clean_up), unused)) = 0;

	return fopen(path, "r");
}

/* It unwinds the stack, through the library's own open() and fopen(). This program is compiled with -fexceptions for that. */
TEST_F(preload, a_thread_that_is_cancelled_cleans_up)
{
	void *(*const openers[])(void *) = { opens_by_descriptor, opens_by_stream };
	char path[] = "/tmp/preload.XXXXXX";
	pthread_t thread;
	unsigned int i;
	void *result;

	ASSERT_NE(NULL, mkdtemp(path));
	ASSERT_EQ(0, rmdir(path));
	/* Nobody ever opens the other end. */
	ASSERT_EQ(0, mkfifo(path, 0600));
	for (i = 0; i < 2; i++) {
		atomic_store(&cleaned_up, 0);
		ASSERT_EQ(0, pthread_create(&thread, NULL, openers[i], path));
		usleep(10000);
		ASSERT_EQ(0, pthread_cancel(thread));
		ASSERT_EQ(0, pthread_join(thread, &result));
		EXPECT_EQ(PTHREAD_CANCELED, result);
		EXPECT_EQ(1, cleaned_up)
			TH_LOG("function %u", i);
	}
	EXPECT_EQ(0, unlink(path));
}

TEST_F(preload, fork_and_exec)
{
	FORBID();
	SHM_CHILD {
		EXPECT_EQ(0, round_of_calls());
		closefrom(3);
		EXPECT_EQ(0, round_of_calls());
	}
	EXPECT_EQ(0, round_of_calls());
	EXPECT_EQ(0, as("calls", library, NULL, 0, self_path));
}

TEST_F(preload, vfork)
{
	pid_t pid;
	int i;

	FORBID();
	for (i = 0; i < 3; i++) {
		if (i == 1)
			closefrom(3);
		pid = vfork();
		if (!pid) {
			/* It has this memory, but descriptors of its own, where this number is another. */
			if (i == 2) {
				close_range(3, ~0U, 0);
				dup2(1, LOWEST);
			}
			_exit(round_of_calls() ? 1 : 0);
		}
		EXPECT_EQ(0, shm_wait(pid));
		EXPECT_EQ(0, round_of_calls());
	}
	EXPECT_EQ(1, count_device_descriptors());
}

static atomic_int handled;

static void handler(int number)
{
	int before = errno;

	(void)number;
	/* Now and then the descriptor is gone, just where the call that is interrupted may be using it. */
	if (atomic_fetch_add(&handled, 1) % 8 == 0)
		close_range(LOWEST, ~0U, 0);
	errno = 1234;
	if (round_of_calls() || errno != EINVAL)
		atomic_store(&wrong, __LINE__);
	errno = before;
}

TEST_F(preload, signal_handlers)
{
	/* Longer than what the handler does. */
	const suseconds_t interval = 3000 * (suseconds_t)shm_slow();
	struct itimerval timer = { { 0, interval }, { 0, interval } };
	/* Without SA_RESTART: a call that a signal interrupts would say so. */
	struct sigaction action = { .sa_handler = handler };
	int line, rounds = 0;

	FORBID();
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	while (atomic_load(&handled) < 100 && rounds++ < 100000) {
		line = round_of_calls();
		ASSERT_EQ(0, line)
			TH_LOG("line %d: %s", line, strerror(errno));
	}
	timer = (struct itimerval) { 0 };
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &timer, NULL));
	EXPECT_LE(100, handled);
	EXPECT_EQ(0, wrong);
}

/* Another library that is preloaded may have functions of libc's too: those by which the library could make its system calls. */
TEST_F(preload, no_library_comes_between)
{
	char both[2 * PATH_MAX];

	unsetenv("LD_PRELOAD");
	ASSERT_EQ(0, system("printf '#include <stdlib.h>\\nlong syscall(void) { abort(); }\\nint ioctl(void) { abort(); }\\n' | "
			    COMPILER " -x c -fno-builtin -shared -fPIC -o /tmp/preload-between.so -"));
	FORBID();
	snprintf(both, sizeof(both), "/tmp/preload-between.so:%s", library);
	EXPECT_EQ(0, as("calls", both, NULL, 0, self_path));
	unlink("/tmp/preload-between.so");
}

TEST_F(preload, before_all_constructors)
{
	FORBID();
	EXPECT_EQ(0, as("early", library, NULL, 0, self_path));
}

TEST_F(preload, loaded_later)
{
	FORBID();
	EXPECT_EQ(0, as("dlopen", NULL, NULL, 0, self_path));
}

/*
 * Without the device.
 */

TEST_F(preload, no_device_is_enosys)
{
	const int commands[] = { IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO, SHM_LOCK, SHM_UNLOCK, SHM_STAT, SHM_INFO, SHM_STAT_ANY, 77 };
	struct shmid_ds ds;
	unsigned int i;

	FORBID();
	TAKE_DEVICE_AWAY();
	EXPECT_ERRNO(ENOSYS, shmget(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(ENOSYS, shmat(0, NULL, 0));
	EXPECT_ERRNO(ENOSYS, shmdt(NULL));
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		EXPECT_ERRNO(ENOSYS, shmctl(0, commands[i], &ds));
		EXPECT_ERRNO(ENOSYS, shmctl(-1, commands[i], NULL));
	}

	/* What is there instead is no device of ours. */
	ASSERT_LE(0, close(open(RUST_SHM_DEVICE, O_CREAT | O_WRONLY, 0666)));
	EXPECT_ERRNO(ENOSYS, shmget(IPC_PRIVATE, 4096, 0600));
	ASSERT_EQ(0, unlink(RUST_SHM_DEVICE));
	ASSERT_EQ(0, mknod(RUST_SHM_DEVICE, S_IFCHR | 0666, makedev(1, 3)));
	EXPECT_ERRNO(ENOSYS, shmget(IPC_PRIVATE, 4096, 0600));
	ASSERT_EQ(0, unlink(RUST_SHM_DEVICE));
	ASSERT_EQ(0, mkfifo(RUST_SHM_DEVICE, 0666));
	EXPECT_ERRNO(ENOSYS, shmget(IPC_PRIVATE, 4096, 0600));
}

TEST_F(preload, a_device_that_comes_later)
{
	struct stat device;

	FORBID();
	ASSERT_EQ(0, stat(RUST_SHM_DEVICE, &device));
	TAKE_DEVICE_AWAY();
	EXPECT_ERRNO(ENOSYS, shmget(IPC_PRIVATE, 4096, 0600));
	ASSERT_EQ(0, mknod(RUST_SHM_DEVICE, S_IFCHR | 0600, device.st_rdev));
	EXPECT_EQ(0, round_of_calls());
	/* Whoever may not open it, but did before. */
	ASSERT_EQ(0, seteuid(1000));
	EXPECT_EQ(0, round_of_calls());
	closefrom(3);
	EXPECT_ERRNO(EACCES, shmget(IPC_PRIVATE, 4096, 0600));
	EXPECT_ERRNO(EACCES, open(TABLE, O_RDONLY));
	ASSERT_EQ(0, seteuid(0));
}

TEST_F(preload, fallback_to_the_builtin)
{
	int expected = shm_builtin.missing() ? ENOSYS : 0;

	/* Not where there is a device, ... */
	EXPECT_EQ(0, as("calls", library, "RUST_SHM_FALLBACK", 0, self_path));
	TAKE_DEVICE_AWAY();
	/* ... and not without being told. */
	EXPECT_EQ(ENOSYS, as("fallback", library, NULL, 0, self_path));
	EXPECT_EQ(expected, as("fallback", library, "RUST_SHM_FALLBACK", 0, self_path));
}

/* An id of one kind is none of the other. */
TEST_F(preload, fallback_is_decided_once)
{
	struct rust_shm_stat stat;
	struct stat device;
	int id;

	if (shm_builtin.missing())
		SKIP(return, "there is nothing to fall back to");
	ASSERT_EQ(0, lstat(RUST_SHM_DEVICE, &device));
	/* The first of each kind has the same id. */
	id = shm_rust.get(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, id);
	TAKE_DEVICE_AWAY();
	ASSERT_EQ(0, mknod(HIDDEN, S_IFCHR | 0666, device.st_rdev));
	EXPECT_EQ(0, as("once", library, "RUST_SHM_FALLBACK", 0, self_path));
	EXPECT_EQ(0, access(RUST_SHM_DEVICE, R_OK));
	EXPECT_EQ(0, shm_rust.stat(id, &stat))
		TH_LOG("the device's segment was removed");
	EXPECT_EQ(0, as("device goes", library, "RUST_SHM_FALLBACK", 0, self_path));
	EXPECT_EQ(0, shm_count(&shm_builtin));
}

TEST_F(preload, no_fallback_with_more_rights_than_the_caller)
{
	char command[PATH_MAX + 64];

	ASSERT_EQ(0, mount("tmpfs", "/mnt", "tmpfs", 0, NULL));
	snprintf(command, sizeof(command), "cp %s /mnt/program && chmod 4755 /mnt/program", self_path);
	unsetenv("LD_PRELOAD");
	ASSERT_EQ(0, system(command));
	TAKE_DEVICE_AWAY();
	EXPECT_EQ(shm_builtin.missing() ? 38 : 5, as("dlopen", NULL, "RUST_SHM_FALLBACK", 0, self_path))
		TH_LOG("without a device there is no descriptor of it, but a segment");
	EXPECT_EQ(38, as("dlopen", NULL, "RUST_SHM_FALLBACK", 1000, "/mnt/program"));
	SHM_LEAVE(&shm_builtin);
}

/*
 * Pointers and structures.
 */

TEST_F(preload, bad_pointers_are_efault)
{
	const int out[] = { IPC_STAT, SHM_STAT, SHM_STAT_ANY, IPC_INFO, SHM_INFO };
	char *pages = mmap(NULL, 3 * self->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *read_only = pages, *gone = pages + 2 * self->page, *volatile nothing = NULL;
	void *bad[] = { NULL, (void *)1, (void *)-1, (void *)-8, (void *)BEYOND_USER, gone, gone - 8, gone - 20 };
	struct shm_info info;
	int id, by[] = { -1, -1, -1, 0, 0 };	/* what each is asked for: an id, an index, nothing */
	unsigned int i, j;

	FORBID();
	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, mprotect(read_only, self->page, PROT_READ));
	ASSERT_EQ(0, munmap(gone, self->page));
	id = shmget(IPC_PRIVATE, 4096, 0600);
	ASSERT_LE(0, id);
	by[0] = id;
	by[1] = by[2] = shmctl(0, SHM_INFO, (void *)&info);
	ASSERT_LE(0, by[1]);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		for (j = 0; j < sizeof(out) / sizeof(*out); j++) {
			EXPECT_ERRNO(EFAULT, shmctl(by[j], out[j], bad[i]));
			EXPECT_ERRNO(EINVAL, shmctl(-1, out[j], bad[i]));
		}
		EXPECT_ERRNO(EFAULT, shmctl(id, IPC_SET, bad[i]));
		/* It is read before the segment is looked for. */
		EXPECT_ERRNO(EFAULT, shmctl(4711, IPC_SET, bad[i]));
		EXPECT_ERRNO(EINVAL, shmctl(-1, IPC_SET, bad[i]));
		EXPECT_ERRNO(EINVAL, shmctl(4711, IPC_STAT, bad[i]));
		/* And one that nobody needs. */
		EXPECT_EQ(0, shmctl(id, SHM_UNLOCK, bad[i]));
	}
	for (j = 0; j < sizeof(out) / sizeof(*out); j++)
		EXPECT_ERRNO(EFAULT, shmctl(by[j], out[j], (void *)read_only));
	EXPECT_EQ(0, shmctl(id, IPC_SET, (void *)read_only));
	/* What ends with its page is all there; it need not be aligned. */
	EXPECT_EQ(0, shmctl(id, IPC_STAT, (void *)(gone - sizeof(struct shmid_ds))));
	EXPECT_EQ(0, shmctl(id, IPC_STAT, (void *)(gone - sizeof(struct shmid_ds) - 3)));

	EXPECT_ERRNO(EFAULT, open(nothing, O_RDONLY));
	EXPECT_ERRNO(EFAULT, open((char *)1, O_RDONLY));
	EXPECT_ERRNO(EFAULT, openat(AT_FDCWD, (char *)BEYOND_USER, O_RDONLY));
	EXPECT_EQ(NULL, fopen((char *)1, "r"));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_ERRNO(EINVAL, shmat(id, (void *)-1, 0));
}

/* A structure that no 32-bit program can see all of. */
TEST_F(preload, large_numbers)
{
	struct rust_shm_get get = { .key = SHM_KEY, .flags = RUST_SHM_IPC_CREAT | RUST_SHM_NORESERVE | 0600, .size = 0x140003000ULL };
	int id = shm_rust_ioctl(RUST_SHM_IOC_GET, &get);
	struct rust_shm_stat stat;
	struct shmid_ds ds;
	struct shm_info info;
	struct shminfo limits;

	FORBID();
	ASSERT_LE(0, id);
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	memset(&ds, 0xff, sizeof(ds));
	ASSERT_EQ(0, shmctl(id, IPC_STAT, &ds));
	EXPECT_EQ((size_t)get.size, ds.shm_segsz);
	EXPECT_EQ(stat.ctime, (int64_t)ds.shm_ctime);
	EXPECT_EQ(0, (int64_t)ds.shm_atime);
	ASSERT_LE(0, shmctl(0, SHM_INFO, (void *)&info));
	EXPECT_EQ(1, info.used_ids);
	EXPECT_EQ(0x140003, info.shm_tot);
	ASSERT_LE(0, shmctl(0, IPC_INFO, (void *)&limits));
	EXPECT_EQ(4096, limits.shmmni);
	EXPECT_EQ(sizeof(long) == 4 ? INT_MAX : (unsigned long)shm_sysctl_read("shmmax"), limits.shmmax);
	EXPECT_EQ((unsigned long)shm_sysctl_read("shmall"), limits.shmall);
#ifndef __LP64__
	/* This program has 64-bit times, and so another function. That of the others sees the first half of each. */
	int (*older)(int, int, void *) = (int (*)(int, int, void *))dlsym(RTLD_DEFAULT, "shmctl");
	struct { struct ipc_perm perm; uint32_t segsz, atime, atime_high, dtime, dtime_high, ctime, ctime_high; int cpid; char rest[64]; } old;

	ASSERT_NE(NULL, dlsym(RTLD_DEFAULT, "__shmctl64"));
	ASSERT_NE(NULL, older);
	ASSERT_EQ(0, older(id, IPC_STAT, &old));
	EXPECT_EQ((uint32_t)get.size, old.segsz);
	EXPECT_EQ((uint32_t)stat.ctime, old.ctime);
	EXPECT_EQ(0, old.ctime_high);
	EXPECT_EQ(stat.cpid, old.cpid);
#endif
}

/*
 * Files in /proc.
 */

int __open_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

TEST_F(preload, the_table)
{
	int id = shmget(SHM_KEY, 12345, IPC_CREAT | 0600);
	char text[1024], expected[1024];
	FILE *files[4];
	unsigned int i;
	ssize_t length, read_length;
	int fd;

	FORBID();
	ASSERT_LE(0, id);
	fd = open(RUST_SHM_DEVICE, O_RDONLY);
	length = read(fd, expected, sizeof(expected));
	ASSERT_LT(0, length);
	close(fd);
	int fds[] = {
		open(TABLE, O_RDONLY), open64(TABLE, O_RDONLY | O_CLOEXEC), openat(AT_FDCWD, TABLE, O_RDONLY),
		openat64(-1, TABLE, O_RDONLY | O_NONBLOCK), __open_2(TABLE, O_RDONLY), __open64_2(TABLE, O_RDONLY),
		__openat_2(AT_FDCWD, TABLE, O_RDONLY), __openat64_2(AT_FDCWD, TABLE, O_RDONLY),
	};
	for (i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		ASSERT_LE(0, fds[i]);
		read_length = read(fds[i], text, sizeof(text));
		EXPECT_EQ(length, read_length);
		EXPECT_EQ(0, memcmp(text, expected, length))
			TH_LOG("function %u", i);
	}
	EXPECT_EQ(0, fcntl(fds[0], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fds[1], F_GETFD));
	files[0] = fopen(TABLE, "r");
	files[1] = fopen64(TABLE, "re");
	files[2] = ((FILE *(*)(const char *, const char *))dlsym(RTLD_DEFAULT, "fopen"))(TABLE, "rb");
	files[3] = fopen(TABLE, "rm");
	for (i = 0; i < 4; i++) {
		ASSERT_NE(NULL, files[i]);
		EXPECT_EQ((size_t)length, fread(text, 1, sizeof(text), files[i]));
		EXPECT_EQ(0, memcmp(text, expected, length));
	}
	EXPECT_EQ(0, fcntl(fileno(files[0]), F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fileno(files[1]), F_GETFD));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, fclose(files[i]));
	closefrom(3);
	EXPECT_EQ(0, count_device_descriptors())
		TH_LOG("nothing was opened twice");
}

/* As open(2) promises, also where there is but one. */
TEST_F(preload, the_table_takes_the_lowest_descriptor)
{
	struct rlimit limit = { 64, 64 };
	int fd, last = -1;
	FILE *file;

	FORBID();
	ASSERT_EQ(0, close(0));
	EXPECT_EQ(0, open(TABLE, O_RDONLY));
	ASSERT_EQ(0, close(0));
	file = fopen(TABLE, "r");
	ASSERT_NE(NULL, file);
	EXPECT_EQ(0, fileno(file));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		last = fd;
	ASSERT_EQ(EMFILE, errno);
	EXPECT_ERRNO(EMFILE, open(TABLE, O_RDONLY));
	ASSERT_EQ(0, close(last));
	EXPECT_EQ(last, open(TABLE, O_RDONLY));
	ASSERT_EQ(0, close(last));
	file = fopen(TABLE, "r");
	ASSERT_NE(NULL, file);
	EXPECT_EQ(last, fileno(file));
}

TEST_F(preload, other_files_are_the_kernels)
{
	int fd, directory_fd = open("/proc", O_RDONLY | O_DIRECTORY);
	char text[256] = "";
	struct stat stat;
	FILE *file;

	FORBID();
	EXPECT_ERRNO(ENOENT, open("/proc/sysvipc/shm ", O_RDONLY));
	EXPECT_ERRNO(ENOENT, openat(directory_fd, "there/is/none", O_RDONLY));
	fd = openat(directory_fd, "self/comm", O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_LT(0, read(fd, text, sizeof(text)));
	/* The mode is passed on. */
	umask(0);
	ASSERT_LE(0, close(open("/tmp/preload-mode", O_CREAT | O_WRONLY | O_TRUNC, 0751)));
	ASSERT_EQ(0, lstat("/tmp/preload-mode", &stat));
	EXPECT_EQ(0751, stat.st_mode & 07777);
	ASSERT_LE(0, close(openat(AT_FDCWD, "/tmp/preload-mode2", O_CREAT | O_WRONLY | O_TRUNC, 0642)));
	ASSERT_EQ(0, lstat("/tmp/preload-mode2", &stat));
	EXPECT_EQ(0642, stat.st_mode & 07777);
	file = fopen("/tmp/preload-mode", "w+");
	ASSERT_NE(NULL, file);
	EXPECT_LT(0, fprintf(file, "text"));
	EXPECT_EQ(0, fclose(file));
	EXPECT_EQ(NULL, fopen("/there/is/none", "r"));
	EXPECT_EQ(ENOENT, errno);
	unlink("/tmp/preload-mode");
	unlink("/tmp/preload-mode2");
}

/* What ipcs lists, ipcrm can remove. */
TEST_F(preload, without_the_device_there_is_no_table)
{
	FORBID();
	TAKE_DEVICE_AWAY();
	EXPECT_ERRNO(ENOENT, open(TABLE, O_RDONLY));
	EXPECT_EQ(NULL, fopen(TABLE, "r"));
	EXPECT_EQ(ENOENT, errno);
}

/* On a kernel that has no such files; or here, where they are hidden. */
TEST_F(preload, limits_where_the_kernel_has_none)
{
	static const char *const names[] = { "shmmax", "shmall", "shmmni" };
	unsigned long long expected[3];
	char path[64], text[64];
	unsigned int i;
	FILE *file;
	int fd;

	FORBID();
	for (i = 0; i < 3; i++)
		expected[i] = shm_sysctl_read(names[i]);
	ASSERT_EQ(0, mount("tmpfs", "/proc/sys/kernel", "tmpfs", 0, NULL));
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/sys/kernel/%s", names[i]);
		file = fopen(path, "re");
		ASSERT_NE(NULL, file);
		ASSERT_NE(NULL, fgets(text, sizeof(text), file));
		EXPECT_EQ(expected[i], strtoull(text, NULL, 10));
		EXPECT_EQ('\n', text[strlen(text) - 1]);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fileno(file), F_GETFD));
		EXPECT_EQ(0, fclose(file));
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		EXPECT_EQ((ssize_t)strlen(text), read(fd, text, sizeof(text)));
		EXPECT_EQ(0, close(fd));
		EXPECT_ERRNO(ENOENT, open(path, O_WRONLY));
	}
	EXPECT_ERRNO(ENOENT, open("/proc/sys/kernel/shm_next_id", O_RDONLY));
}

/*
 * Programs.
 */

/* What a command prints, with the library for 64-bit programs before its libc; its exit status. */
static int output(char *text, size_t size, const char *format, ...)
{
	char command[2 * PATH_MAX + 256];
	va_list arguments;
	size_t length;
	FILE *pipe;

	length = snprintf(command, sizeof(command), "unset LD_PRELOAD; LD_PRELOAD=%s/%s; export LD_PRELOAD; ", directory,
			  LIBRARY_OF(PLATFORM_64));
	va_start(arguments, format);
	vsnprintf(command + length, sizeof(command) - length, format, arguments);
	va_end(arguments);
	/* The shell is a 64-bit program, and this one's library not for it. */
	setenv("LD_PRELOAD", "", 1);
	pipe = popen(command, "r");
	if (!pipe)
		return -1;
	length = fread(text, 1, size - 1, pipe);
	text[length] = 0;
	return pclose(pipe);
}

TEST_F(preload, util_linux)
{
	char text[8192], expected[64];
	struct rust_shm_stat stat;
	int id, other;

	FORBID();
	ASSERT_EQ(0, output(text, sizeof(text), "ipcmk -M 12288 -p 0640"));
	ASSERT_EQ(1, sscanf(text, "Shared memory id: %d", &id))
		TH_LOG("%s", text);
	ASSERT_EQ(0, shm_rust.stat(id, &stat));
	EXPECT_EQ(12288, stat.segsz);
	EXPECT_EQ(0640, stat.mode);

	ASSERT_EQ(0, output(text, sizeof(text), "ipcs -m"));
	snprintf(expected, sizeof(expected), "0x%08x %d ", stat.key, id);
	EXPECT_NE(NULL, strstr(text, expected))
		TH_LOG("%s", text);
	EXPECT_NE(NULL, strstr(text, "12288"));

	ASSERT_EQ(0, output(text, sizeof(text), "ipcs -m -i %d", id));
	EXPECT_NE(NULL, strstr(text, "bytes=12288"))
		TH_LOG("%s", text);

	ASSERT_EQ(0, output(text, sizeof(text), "ipcs -um"));
	EXPECT_NE(NULL, strstr(text, "segments allocated 1\npages allocated 3\n"))
		TH_LOG("%s", text);

	ASSERT_EQ(0, output(text, sizeof(text), "ipcs -lm"));
	EXPECT_NE(NULL, strstr(text, "max number of segments = 4096"))
		TH_LOG("%s", text);

	ASSERT_EQ(0, output(text, sizeof(text), "lsipc -m -b -r -o KEY,ID,PERMS,SIZE,NATTCH --noheadings"));
	snprintf(expected, sizeof(expected), "0x%08x %d rw-r----- 12288 0", stat.key, id);
	EXPECT_NE(NULL, strstr(text, expected))
		TH_LOG("%s", text);

	ASSERT_EQ(0, output(text, sizeof(text), "ipcrm -m %d", id));
	EXPECT_ERRNO(EINVAL, shm_rust.stat(id, &stat));
	other = shmget(SHM_KEY, 4096, IPC_CREAT | 0600);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, output(text, sizeof(text), "ipcrm -M %d", SHM_KEY));
	EXPECT_EQ(0, shm_count(&shm_rust));
	ASSERT_LE(0, shmget(IPC_PRIVATE, 4096, 0600));
	ASSERT_LE(0, shmget(IPC_PRIVATE, 4096, 0600));
	ASSERT_EQ(0, output(text, sizeof(text), "ipcrm --all=shm"));
	EXPECT_EQ(0, shm_count(&shm_rust));
}

/* A program that is linked with the library for that, as pkg-config says. It has its five functions, and leaves the program's others alone. */
TEST_F(preload, linked)
{
	char command[3 * PATH_MAX], libraries[PATH_MAX + 8], names[256], *at;
	FILE *pipe;

	snprintf(libraries, sizeof(libraries), "%s" LINKED, directory);
	unsetenv("LD_PRELOAD");
	snprintf(command, sizeof(command), "printf '%s' | %s -x c -o /tmp/preload-linked - -L%s -lrust_shm && LD_LIBRARY_PATH=%s /tmp/preload-linked",
		 "#include <fcntl.h>\\n#include <sys/shm.h>\\n#include <unistd.h>\\nint rust_shm_fd(int id, int flags);\\n"
		 "int main(void) { int id = shmget(0x11223344, 4096, IPC_CREAT | 0600), fd = rust_shm_fd(id, O_RDWR | O_CLOEXEC);\\n"
		 "return id < 0 || rust_shm_fd(id, O_WRONLY) >= 0 || write(fd, \"linked\", 6) != 6; }\\n",
		 COMPILER, libraries, libraries);
	ASSERT_EQ(0, shm_count(&shm_rust));
	EXPECT_EQ(0, system(command));
	EXPECT_EQ(1, shm_count(&shm_rust));
	at = shm_rust.attach(shm_rust.get(0x11223344, 0, 0), NULL, SHM_RDONLY);
	ASSERT_NE(SHM_FAILED, at);
	EXPECT_EQ(0, memcmp(at, "linked", 6));
	unlink("/tmp/preload-linked");
	snprintf(command, sizeof(command), "nm -D --defined-only %slibrust_shm.so | awk '{ print $3 }' | grep -vx __shmctl64 | paste -sd ' '", libraries);
	pipe = popen(command, "r");
	ASSERT_NE(NULL, pipe);
	ASSERT_NE(NULL, fgets(names, sizeof(names), pipe));
	EXPECT_EQ(0, pclose(pipe));
	EXPECT_STREQ("rust_shm_fd shmat shmctl shmdt shmget\n", names);
}

TEST_HARNESS_MAIN
