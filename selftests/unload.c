// SPDX-License-Identifier: GPL-2.0
/*
 * Unload: the module goes when nothing of it is in use, stays when anything is, and comes again. RUST_SHM_KO names its file.
 *
 * delete_module(2) with O_NONBLOCK says EWOULDBLOCK for a module that is in use; rmmod(8) turns that into "Module is in use".
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <time.h>

#include "module.h"
#include "shm_backend.h"
#include "vma.h"

#define SIZE (64 * KIB)

FIXTURE(unload) {
	int id;
};

FIXTURE_SETUP(unload)
{
	ASSERT_NE(NULL, getenv("RUST_SHM_KO"))
		TH_LOG("RUST_SHM_KO does not say where the module is");
	SHM_ENTER(&shm_rust);
	close_device();
	ASSERT_EQ(0, module_settles(0))
		TH_LOG("somebody uses the module already");
}

/* In the parent, so that it is loaded again also after a test that crashed, when all the test had is closed and unmapped. */
FIXTURE_TEARDOWN_PARENT(unload)
{
	struct stat st;

	if (module_references() < 0)
		EXPECT_EQ(0, module_load());
	EXPECT_TRUE(device_appears(&st));
}

#define EXPECT_BUSY() EXPECT_ERRNO(EWOULDBLOCK, module_unload())

TEST_F(unload, idle_it_goes_and_comes)
{
	struct stat st;

	ASSERT_EQ(0, module_unload());
	EXPECT_EQ(-1, module_references());
	EXPECT_ERRNO(ENOENT, stat(RUST_SHM_DEVICE, &st));
	EXPECT_ERRNO(ENOENT, module_unload());
	ASSERT_EQ(0, module_load());
	ASSERT_TRUE(device_appears(&st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0666, st.st_mode & 07777);
	EXPECT_EQ(0, module_references());
	self->id = shm_rust.get(SHM_KEY, SIZE, IPC_CREAT | 0600);
	EXPECT_LE(0, self->id);
	EXPECT_EQ(0, shm_rust.rmid(self->id));
}

#define EVENTS "/sys/kernel/tracing/events/rust_shm"

/* Whoever listens to the tracepoints does not keep it, and listens to nothing afterwards. */
TEST_F(unload, with_its_events_on)
{
	struct stat st;

	if (stat("/sys/kernel/tracing/events", &st))
		ASSERT_EQ(0, mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL));
	ASSERT_EQ(0, shm_write_file(EVENTS "/enable", "1"));
	self->id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
	EXPECT_LE(0, self->id);
	EXPECT_EQ(0, shm_rust.rmid(self->id));
	close_device();
	ASSERT_EQ(0, module_unload_soon());
	EXPECT_ERRNO(ENOENT, stat(EVENTS, &st));
	ASSERT_EQ(0, module_load());
	ASSERT_TRUE(device_appears(&st));
	EXPECT_EQ(0, stat(EVENTS "/rust_shm_fault/format", &st));
	self->id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
	EXPECT_EQ(0, shm_rust.rmid(self->id));
	close_device();
}

TEST_F(unload, twice_loaded_is_eexist)
{
	EXPECT_ERRNO(EEXIST, module_load());
	EXPECT_EQ(0, module_references());
}

TEST_F(unload, limits_may_be_given_when_it_is_loaded)
{
	struct rust_shm_limits limits;
	struct stat st;

	ASSERT_EQ(0, module_unload());
	EXPECT_ERRNO(EINVAL, module_load_with("shmmni=-1"));
	EXPECT_ERRNO(EINVAL, module_load_with("shmmni"));
	EXPECT_ERRNO(EINVAL, module_load_with("shmmni=16777217"));
	EXPECT_ERRNO(EINVAL, module_load_with("shmmax=18446744073709551616"));
	ASSERT_EQ(0, module_load_with("shmmni=3 shmall=5 shmmax=0x1234"));
	ASSERT_TRUE(device_appears(&st));
	ASSERT_EQ(0, shm_rust.ipc_info(&limits));
	EXPECT_EQ(shm_limits_are_parameters(), limits.shmmni == 3);
	EXPECT_EQ(shm_limits_are_parameters(), limits.shmall == 5);
	EXPECT_EQ(shm_limits_are_parameters(), limits.shmmax == 0x1234);
	close_device();
	ASSERT_EQ(0, module_settles(0));
	ASSERT_EQ(0, module_unload_soon());
}

/* No P: its license is GPL-compatible. */
TEST_F(unload, taints_only_as_out_of_tree)
{
	FILE *file = fopen("/sys/module/rust_shm/taint", "re");
	char taint[32] = "";

	ASSERT_NE(NULL, file);
	ASSERT_NE(NULL, fgets(taint, sizeof(taint), file));
	fclose(file);
	EXPECT_EQ(NULL, strchr(taint, 'P'));
	EXPECT_NE(NULL, strchr(taint, 'O'));
}

TEST_F(unload, open_device_keeps_it)
{
	int fd = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC), second;

	ASSERT_LE(0, fd);
	EXPECT_EQ(1, module_references());
	EXPECT_BUSY();
	second = dup(fd);
	close(fd);
	EXPECT_BUSY();
	close(second);
	EXPECT_EQ(0, module_unload_soon());
}

TEST_F(unload, segment_keeps_it_and_its_data)
{
	char *addr;
	int i;

	self->id = shm_rust.get(SHM_KEY, SIZE, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);
	addr = shm_rust.attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, SIZE, 1);
	ASSERT_EQ(0, shm_rust.detach(addr));
	close_device();
	for (i = 0; i < 10; i++)
		EXPECT_BUSY();
	ASSERT_EQ(self->id, shm_rust.get(SHM_KEY, 0, 0));
	addr = shm_rust.attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_TRUE(pattern_stands(addr, SIZE, 1));
	ASSERT_EQ(0, shm_rust.detach(addr));
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	close_device();
	EXPECT_EQ(0, module_unload_soon());
}

/* A segment that was never attached has no pages and no file, and is a segment all the same. */
TEST_F(unload, untouched_segment_keeps_it)
{
	self->id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
	ASSERT_LE(0, self->id);
	close_device();
	EXPECT_BUSY();
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	close_device();
	EXPECT_EQ(0, module_unload_soon());
}

TEST_F(unload, each_of_many_segments_keeps_it)
{
	int id[50], i;

	for (i = 0; i < 50; i++) {
		id[i] = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
		ASSERT_LE(0, id[i]);
	}
	for (i = 0; i < 50; i++) {
		close_device();
		EXPECT_BUSY();
		ASSERT_EQ(0, shm_rust.rmid(id[i]));
	}
	close_device();
	EXPECT_EQ(0, module_unload_soon());
}

TEST_F(unload, attach_of_a_removed_segment_keeps_it)
{
	char *addr;

	self->id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
	addr = shm_rust.attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, SIZE, 2);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	close_device();
	EXPECT_BUSY();
	EXPECT_TRUE(pattern_stands(addr, SIZE, 2));
	ASSERT_EQ(0, munmap(addr, SIZE - page_size()));
	EXPECT_BUSY();
	/* The last page, without the device. */
	ASSERT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, module_unload_soon());
}

TEST_F(unload, attach_in_another_process_keeps_it)
{
	struct gate gate;
	pid_t child;

	ASSERT_EQ(0, gate_make(&gate));
	SHM_FORK(child) {
		int id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
		char *addr = shm_rust.attach(id, NULL, 0);

		if (addr == SHM_FAILED || shm_rust.rmid(id))
			_exit(1);
		memset(addr, 1, SIZE);
		close_device();
		gate_open(&gate);
		for (;;)
			pause();
	}
	gate_wait(&gate);
	EXPECT_BUSY();
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	EXPECT_EQ(0, module_unload_soon());
}

/* And so does a path to one, which is no open file of the module's. */
TEST_F(unload, descriptor_keeps_it)
{
	struct rust_shm_fd argument = { .flags = RUST_SHM_FD_RDWR };
	char name[64], byte = 'x';
	int fd, path;

	argument.id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
	fd = shm_rust_ioctl(RUST_SHM_IOC_FD, &argument);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pwrite(fd, &byte, 1, SIZE - 1));
	ASSERT_EQ(0, shm_rust.rmid(argument.id));
	close_device();
	EXPECT_BUSY();
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	path = open(name, O_PATH | O_CLOEXEC);
	ASSERT_LE(0, path);
	close(fd);
	usleep(100000);
	EXPECT_BUSY();
	snprintf(name, sizeof(name), "/proc/self/fd/%d", path);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(1, pread(fd, &byte, 1, SIZE - 1));
	EXPECT_EQ('x', byte);
	close(path);
	EXPECT_BUSY();
	close(fd);
	EXPECT_EQ(0, module_unload_soon());
}

/* RCU frees segments, and each holds the module until it is freed: the module goes only after that, while it is asked to all the time. */
TEST_F_TIMEOUT(unload, while_rcu_frees_segments, 60)
{
	struct stat st;
	int round, i;

	for (round = 0; round < 5; round++) {
		for (i = 0; i < 4000; i++) {
			self->id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
			ASSERT_LE(0, self->id);
			ASSERT_EQ(0, shm_rust.rmid(self->id));
		}
		close_device();
		for (i = 0; module_unload(); i++)
			ASSERT_TRUE(errno == EWOULDBLOCK && i < 10000000);
		ASSERT_EQ(0, module_load());
		ASSERT_TRUE(device_appears(&st));
	}
}

/* A namespace that ends takes its segments along, and with them its hold on the module. */
TEST_F(unload, segments_of_an_ended_namespace_let_it_go)
{
	SHM_NEEDS_NAMESPACE("ipc");
	SHM_IN_CHILD({
		char *addr;
		int id, i;

		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		for (i = 0; i < 10; i++) {
			id = shm_rust.get(SHM_KEY + i, SIZE, IPC_CREAT | 0600);
			ASSERT_LE(0, id);
			addr = shm_rust.attach(id, NULL, 0);
			ASSERT_NE(SHM_FAILED, addr);
			memset(addr, 1, SIZE);
			if (i & 1)
				ASSERT_EQ(0, shm_rust.detach(addr));
		}
		close_device();
		EXPECT_BUSY();
	});
	EXPECT_EQ(0, module_unload_soon());
}

/* An attach outlives its namespace, and the module stays for it. */
TEST_F(unload, attach_from_an_ended_namespace_keeps_it)
{
	char *addr;
	int id;

	SHM_NEEDS_NAMESPACE("ipc");
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
	addr = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, SIZE, 3);
	ASSERT_EQ(0, unshare(CLONE_NEWIPC));
	close_device();
	/* The namespace ends in its own time. */
	usleep(500000);
	EXPECT_BUSY();
	EXPECT_TRUE(pattern_stands(addr, SIZE, 3));
	EXPECT_EQ(0, write_signal(addr));
	ASSERT_EQ(0, munmap(addr, SIZE));
	EXPECT_EQ(0, module_unload_soon());
}

/* A namespace that has only looked holds nothing; and it can start anew with the module that comes next. */
TEST_F(unload, namespace_without_segments_does_not_keep_it)
{
	int i, id;

	for (i = 0; i < 3; i++) {
		struct stat st;

		id = shm_rust.get(SHM_KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600);
		ASSERT_LE(0, id);
		ASSERT_EQ(1, shm_count(&shm_rust));
		ASSERT_EQ(0, shm_rust.rmid(id));
		close_device();
		ASSERT_EQ(0, module_unload_soon());
		ASSERT_EQ(0, module_load());
		ASSERT_TRUE(device_appears(&st));
		ASSERT_EQ(0, shm_count(&shm_rust));
	}
}

/* Whatever was done, and whatever failed: when it is over, nothing is held. */
TEST_F(unload, every_activity_gives_its_references_back)
{
	char *hole = vma_hole(4 * MIB), *addr;
	int round, id;

	for (round = 0; round < 20; round++) {
		id = shm_rust.get(SHM_KEY, SIZE, IPC_CREAT | 0600);
		ASSERT_LE(0, id);
		EXPECT_ERRNO(EEXIST, shm_rust.get(SHM_KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600));
		EXPECT_ERRNO(EINVAL, shm_rust.get(SHM_KEY, 2 * SIZE, 0));
		EXPECT_ERRNO(EINVAL, shm_rust.get(IPC_PRIVATE, 0, 0600));
		EXPECT_ERRNO(ENOENT, shm_rust.get(SHM_KEY + 1, 0, 0));
		addr = shm_rust.attach(id, hole, 0);
		ASSERT_EQ(hole, addr);
		EXPECT_ERRNO(EINVAL, shm_rust.attach(id, hole, 0));
		EXPECT_ERRNO(EINVAL, shm_rust.attach(id, hole + 1, 0));
		EXPECT_ERRNO(ENOMEM, shm_rust.attach(id, (void *)BEYOND_USER, 0));
		EXPECT_ERRNO(EINVAL, shm_rust.detach(hole + page_size()));
		memset(addr, 1, SIZE);
		ASSERT_EQ(0, mprotect(addr + page_size(), page_size(), PROT_READ));
		ASSERT_EQ(0, munmap(addr + 3 * page_size(), page_size()));
		ASSERT_NE(MAP_FAILED, mremap(addr, 0, page_size(), MREMAP_MAYMOVE));
		ASSERT_NE(SHM_FAILED, shm_rust.attach(id, NULL, SHM_RDONLY));
		SHM_IN_CHILD({
			ASSERT_EQ(0, shm_rust.detach(addr));
			ASSERT_NE(SHM_FAILED, shm_rust.attach(id, addr, SHM_REMAP));
		});
		ASSERT_EQ(0, shm_rust.rmid(id));
		/* All that is left of it goes with this process's part: one by one. */
		SHM_IN_CHILD({
			int own = shm_rust.get(IPC_PRIVATE, SIZE, 0600);

			ASSERT_NE(SHM_FAILED, shm_rust.attach(own, NULL, 0));
			ASSERT_EQ(0, shm_rust.rmid(own));
		});
		ASSERT_EQ(0, shm_rust.detach(addr));
		SHM_IN_CHILD(execl("/bin/true", "true", (char *)NULL));
		shm_remove_all(&shm_rust);
	}
	/* The attaches left over are unmapped by the exit of a child that took them all; ours go here. */
	while (shm_count(&shm_rust) > 0) {
		FILE *maps = fopen("/proc/self/maps", "re");
		char line[512];
		struct vma vma;
		int found = 0;

		ASSERT_NE(NULL, maps);
		while (!found && fgets(line, sizeof(line), maps))
			found = vma_parse(line, &vma) && strstr(vma.name, "/SYSV");
		fclose(maps);
		ASSERT_TRUE(found)
			TH_LOG("segments are left, but no attaches");
		ASSERT_EQ(0, munmap((void *)vma.start, vma.end - vma.start));
	}
	close_device();
	EXPECT_EQ(0, module_settles(0));
	EXPECT_EQ(0, module_unload());
}

/* A page that a pipe holds is memory like any other once the segment is gone, and the module too. */
TEST_F(unload, pages_in_a_pipe_outlive_it)
{
	size_t size = 4 * page_size();
	struct iovec iov;
	char *addr, out[16384];
	int pipefd[2], id;

	ASSERT_LE(size, sizeof(out));
	ASSERT_EQ(0, pipe(pipefd));
	id = shm_rust.get(IPC_PRIVATE, size, 0600);
	addr = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	pattern_fill(addr, size, 4);
	iov = (struct iovec) { addr, size };
	ASSERT_EQ((ssize_t)size, vmsplice(pipefd[1], &iov, 1, 0));
	ASSERT_EQ(0, shm_rust.rmid(id));
	ASSERT_EQ(0, shm_rust.detach(addr));
	close_device();
	ASSERT_EQ(0, module_unload_soon());
	ASSERT_EQ((ssize_t)size, read(pipefd[0], out, size));
	EXPECT_TRUE(pattern_stands(out, size, 4));
}

/* The privileged may open the file behind an attach by /proc: as long as it is open, its code must stay. */
TEST_F(unload, open_file_in_debugfs_keeps_it)
{
	static const char *const names[] = { "/sys/kernel/debug/rust_shm/segments", "/sys/kernel/debug/rust_shm/namespaces" };
	char text[64];
	unsigned int i;
	int fd;

	if (access(names[0], R_OK))
		ASSERT_EQ(0, mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL));
	close_device();
	for (i = 0; i < 2; i++) {
		fd = open(names[i], O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		EXPECT_LT(0, read(fd, text, sizeof(text)));
		EXPECT_BUSY();
		EXPECT_EQ(0, lseek(fd, 0, SEEK_SET));
		EXPECT_LT(0, read(fd, text, sizeof(text)));
		close(fd);
	}
	EXPECT_EQ(0, module_unload_soon());
	EXPECT_EQ(-1, access(names[0], F_OK));
}

/* What root has of a segment by map_files is shmem's, and needs neither the segment nor the module: for small ones and large ones. */
TEST_F(unload, files_opened_by_proc_outlive_it)
{
	const size_t sizes[] = { SIZE, 2 * 1024 * 1024 };
	char path[96], byte, *addr, *raw[2];
	int id, fd[2], known[2];
	struct stat before[2], after;
	size_t i;

	for (i = 0; i < 2; i++) {
		id = shm_rust.get(IPC_PRIVATE, sizes[i], 0600);
		addr = shm_rust.attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		addr[0] = 'p';
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)addr, (unsigned long)addr + sizes[i]);
		fd[i] = open(path, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd[i]);
		known[i] = open(path, O_PATH | O_CLOEXEC);
		ASSERT_LE(0, known[i]);
		ASSERT_EQ(0, fstat(known[i], &before[i]));
		raw[i] = mmap(NULL, sizes[i], PROT_READ | PROT_WRITE, MAP_SHARED, fd[i], 0);
		ASSERT_NE(MAP_FAILED, raw[i]);
		ASSERT_EQ(0, shm_rust.rmid(id));
		ASSERT_EQ(0, shm_rust.detach(addr));
	}
	close_device();
	EXPECT_EQ(0, module_unload_soon());
	for (i = 0; i < 2; i++) {
		EXPECT_EQ('p', raw[i][0]);
		EXPECT_EQ(0, raw[i][sizes[i] - 1]);
		raw[i][sizes[i] / 2] = 'q';
		EXPECT_EQ(1, pread(fd[i], &byte, 1, sizes[i] / 2));
		EXPECT_EQ('q', byte);
		/* stat(2) was the module's. */
		ASSERT_EQ(0, fstat(fd[i], &after));
		EXPECT_EQ(before[i].st_ino, after.st_ino);
		ASSERT_EQ(0, fstat(known[i], &after));
		EXPECT_EQ(before[i].st_ino, after.st_ino);
		EXPECT_NE(before[i].st_dev, after.st_dev);
		EXPECT_EQ(0, close(known[i]));
		EXPECT_EQ(0, munmap(raw[i], sizes[i]));
		EXPECT_EQ(0, close(fd[i]));
	}
}

/* What others look at. */
struct looked_at {
	char path[96];
	_Atomic int round;	/* -1 is the end */
	_Atomic int opened;	/* by so many of them */
	_Atomic long by_path, by_file;
};

/* Calls stat(2) without end for an attach, and for the file that it has opened there, until there is another. */
static _Noreturn void look(struct looked_at *at)
{
	struct stat st;
	int round, fd;

	while ((round = at->round) >= 0) {
		if (!round)
			continue;
		fd = open(at->path, O_PATH | O_CLOEXEC);
		if (fd < 0)
			_exit(1);
		at->opened++;
		while (at->round == round) {
			at->by_path += !stat(at->path, &st);
			if (fstat(fd, &st))
				_exit(2);
			at->by_file++;
		}
		close(fd);
	}
	_exit(0);
}

/* stat(2) of the files that map_files leads to is the module's code while it is there. */
TEST_F_TIMEOUT(unload, while_others_look_at_map_files, 120)
{
	struct looked_at *at = mmap(NULL, shm_page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t lookers[2] = {};
	long looks = 0;
	struct stat st;
	int round, id;
	char *addr;
	size_t i;

	ASSERT_NE(MAP_FAILED, at);
	/* They have neither the attach nor the device, which would keep the module. */
	for (i = 0; i < 2; i++)
		SHM_FORK(lookers[i])
			look(at);
	for (round = 1; round <= 20; round++) {
		id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
		addr = shm_rust.attach(id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		snprintf(at->path, sizeof(at->path), "/proc/%d/map_files/%lx-%lx", getpid(), (unsigned long)addr, (unsigned long)addr + SIZE);
		at->opened = 0;
		at->round = round;
		while (at->opened < 2)
			for (i = 0; i < 2; i++)
				ASSERT_EQ(0, waitpid(lookers[i], NULL, WNOHANG));
		ASSERT_EQ(0, shm_rust.rmid(id));
		ASSERT_EQ(0, shm_rust.detach(addr));
		close_device();
		looks -= at->by_file;
		ASSERT_EQ(0, module_unload_soon());
		looks += at->by_file;
		ASSERT_EQ(0, module_load());
		ASSERT_TRUE(device_appears(&st));
	}
	at->round = -1;
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, shm_wait(lookers[i]));
	TH_LOG("%ld looks by the path, %ld at open files while the module went", at->by_path, looks);
	EXPECT_LT(0, at->by_path);
	EXPECT_LT(0, looks);
}

/* 100 times in a row, while another process opens the device whenever it is there and works on it. */
/* A hundred times, or thirty on a machine that others use, which takes longer. */
TEST_F_TIMEOUT(unload, a_hundred_times_under_load, 280)
{
	double end = shm_now() + 120;
	int unloaded = 0, busy = 0;
	struct stat st;
	pid_t child;

	SHM_FORK(child) {
		for (;;) {
			int fd = open(RUST_SHM_DEVICE, O_RDWR | O_CLOEXEC), id;
			char *addr;

			if (fd < 0)
				continue;
			shm_rust_use_fd(fd);
			id = shm_rust.get(IPC_PRIVATE, SIZE, 0600);
			if (id < 0)
				_exit(1);
			addr = shm_rust.attach(id, NULL, 0);
			if (addr == SHM_FAILED)
				_exit(2);
			if (addr[0])
				_exit(3);
			addr[0] = 1;
			if (shm_rust.rmid(id) || shm_rust.detach(addr))
				_exit(4);
			shm_rust_use_fd(-1);
			close(fd);
			usleep(500);
		}
	}
	while (unloaded < (shm_now() < end ? 100 : 30)) {
		ASSERT_EQ(0, waitpid(child, NULL, WNOHANG))
			TH_LOG("the other process has failed, after %d times", unloaded);
		if (module_unload()) {
			ASSERT_EQ(EWOULDBLOCK, errno);
			busy++;
			usleep(100);
			continue;
		}
		unloaded++;
		ASSERT_EQ(0, module_load());
		if (!(unloaded % 10))
			ASSERT_TRUE(device_appears(&st));
		/* Let it get in between. */
		usleep(2000);
	}
	TH_LOG("unloaded %d times, busy %d times", unloaded, busy);
	ASSERT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(256 + SIGKILL, shm_wait(child));
	/* It may have died between making its segment and removing it. */
	EXPECT_GE(1, shm_remove_all(&shm_rust));
	close_device();
	EXPECT_EQ(0, module_settles(0));
	EXPECT_EQ(0, module_unload_soon());
}

/* System calls that the module serves keep it. */

#define SERVE_OR_SKIP() do { \
	if (!shm_can_serve()) \
		SKIP(return, "the module serves no system calls on this kernel"); \
	ASSERT_EQ(1, shm_serve(RUST_SHM_SERVE_ON)); \
} while (0)

/* Whether the kernel has System V shared memory of its own. */
static bool has_builtin(void)
{
	errno = 0;
	return syscall(SYS_shmctl, -1, IPC_RMID, NULL) == -1 && errno != ENOSYS;
}

TEST_F(unload, served_it_stays)
{
	struct stat st;

	SERVE_OR_SKIP();
	close_device();
	EXPECT_ERRNO(EWOULDBLOCK, module_unload());
	EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	close_device();
	/* At once. */
	ASSERT_EQ(0, module_unload_soon());
	if (has_builtin())
		EXPECT_ERRNO(ENOENT, syscall(SYS_shmget, SHM_KEY, 0, 0));
	ASSERT_EQ(0, module_load());
	ASSERT_TRUE(device_appears(&st));
}

/* A system call that sleeps in the module: its structure is in a page that comes when userfaultfd(2) says so. */
static void *call_with(void *page)
{
	long result = syscall(SYS_shmctl, 0, IPC_SET, page);

	return (void *)(result < 0 ? (long)errno : 0);
}

/* That page, and a thread whose call sleeps for it. */
struct sleeper {
	struct uffdio_register area;
	struct pollfd fault;
	pthread_t thread;
	char *page;
};

/* Returns -1 with errno: ENOSYS on a kernel without userfaultfd. */
static int sleeper_page(struct sleeper *sleeper)
{
	struct uffdio_api api = { .api = UFFD_API };

	sleeper->fault = (struct pollfd) { .fd = syscall(SYS_userfaultfd, O_CLOEXEC), .events = POLLIN };
	if (sleeper->fault.fd < 0 || ioctl(sleeper->fault.fd, UFFDIO_API, &api))
		return -1;
	sleeper->page = mmap(NULL, shm_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sleeper->page == MAP_FAILED)
		return -1;
	sleeper->area = (struct uffdio_register) {
		.range = { (uintptr_t)sleeper->page, shm_page_size() }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	return ioctl(sleeper->fault.fd, UFFDIO_REGISTER, &sleeper->area);
}

static bool sleeper_sleeps(struct sleeper *sleeper)
{
	struct uffd_msg message;

	return poll(&sleeper->fault, 1, 5000 * (int)shm_slow()) == 1 && read(sleeper->fault.fd, &message, sizeof(message)) == sizeof(message);
}

/* The page comes. Returns the error of the call, 0 if it has none, -1 if it cannot be told. */
static long sleeper_ends(struct sleeper *sleeper)
{
	struct uffdio_zeropage zero = { .range = sleeper->area.range };
	void *result;

	if (ioctl(sleeper->fault.fd, UFFDIO_ZEROPAGE, &zero) || pthread_join(sleeper->thread, &result))
		return -1;
	return (long)result;
}

TEST_F(unload, served_it_stays_while_a_call_sleeps)
{
	struct sleeper sleeper;
	struct stat st;

	SERVE_OR_SKIP();
	if (sleeper_page(&sleeper) && errno == ENOSYS)
		SKIP(return, "this kernel has no userfaultfd");
	ASSERT_EQ(0, pthread_create(&sleeper.thread, NULL, call_with, sleeper.page));
	ASSERT_TRUE(sleeper_sleeps(&sleeper));
	ASSERT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	close_device();
	EXPECT_ERRNO(EWOULDBLOCK, module_unload());
	EXPECT_EQ(EINVAL, sleeper_ends(&sleeper));
	ASSERT_EQ(0, module_unload_soon());
	ASSERT_EQ(0, module_load());
	ASSERT_TRUE(device_appears(&st));
}

/*
 * A call that comes while serving is switched on waits; as the built-in has a segment, that fails, and the call goes on to the built-in.
 * There it sleeps, as long as its user wants. Who unloads the module gets an answer all the same.
 */
TEST_F(unload, is_not_held_up_by_a_call_that_was_passed_on)
{
	struct sleeper sleepers[12];
	struct stat st;
	pid_t child;
	int i, id, status = -1;

	if (!shm_can_serve() || !has_builtin())
		SKIP(return, "the module serves no system calls, or there is no built-in");
	for (i = 0; i < (int)ARRAY_SIZE(sleepers); i++)
		if (sleeper_page(&sleepers[i])) {
			ASSERT_EQ(ENOSYS, errno);
			SKIP(return, "this kernel has no userfaultfd");
		}
	id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);
	ASSERT_EQ(0, id);
	child = fork();
	if (!child) {
		for (;;)
			if (shm_serve(RUST_SHM_SERVE_ON) != -1 || errno != EBUSY)
				_exit(1);
	}
	ASSERT_LT(0, child);
	/* Most of the time it is being switched on; some come in between. */
	for (i = 0; i < (int)ARRAY_SIZE(sleepers); i++) {
		usleep(30000);
		ASSERT_EQ(0, pthread_create(&sleepers[i].thread, NULL, call_with, sleepers[i].page));
	}
	for (i = 0; i < (int)ARRAY_SIZE(sleepers); i++)
		ASSERT_TRUE(sleeper_sleeps(&sleepers[i]));
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	close_device();

	child = fork();
	if (!child)
		_exit(module_unload() ? errno : 0);
	ASSERT_LT(0, child);
	for (i = 0; i < 200 * (int)shm_slow() && !waitpid(child, &status, WNOHANG); i++)
		usleep(50000);
	EXPECT_LT(i, 200 * (int)shm_slow())
		TH_LOG("nobody can unload it, and who tries cannot be killed");
	if (i == 200 * (int)shm_slow())
		status = -1;
	for (i = 0; i < (int)ARRAY_SIZE(sleepers); i++)
		EXPECT_EQ(0, sleeper_ends(&sleepers[i]));
	if (status == -1)
		ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(status == 0 || status == EWOULDBLOCK << 8)
		TH_LOG("status %x", status);
	EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
	if (status)
		ASSERT_EQ(0, module_unload_soon());
	ASSERT_EQ(0, module_load());
	ASSERT_TRUE(device_appears(&st));
}

/* Loads it with serve=1. */
TEST_F(unload, served_from_the_start)
{
	int first = open("/proc/1/ns/ipc", O_RDONLY | O_CLOEXEC), id;
	struct stat st;

	SERVE_OR_SKIP();
	ASSERT_LE(0, first);
	ASSERT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
	close_device();
	ASSERT_EQ(0, module_unload_soon());
	EXPECT_ERRNO(EINVAL, module_load_with("serve=2"));
	SHM_CHILD {
		ASSERT_EQ(0, setns(first, CLONE_NEWIPC));
		if (has_builtin()) {
			id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);
			ASSERT_LE(0, id);
			/* Who has opened the device meanwhile may go on: it is loaded, and nothing is served. */
			EXPECT_EQ(0, module_load_with("serve=1"));
			ASSERT_TRUE(device_appears(&st));
			EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
			close_device();
			EXPECT_EQ(0, module_unload_soon());
			EXPECT_EQ(0, syscall(SYS_shmctl, id, IPC_RMID, NULL));
		}
		/* It is the first namespace, whoever loads the module. */
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, module_load_with("serve=1"));
		ASSERT_TRUE(device_appears(&st));
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_ASK));
		ASSERT_EQ(0, setns(first, CLONE_NEWIPC));
		EXPECT_EQ(1, shm_serve(RUST_SHM_SERVE_ASK));
		id = syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600);
		EXPECT_LE(0, id);
		EXPECT_EQ(1, shm_count(&shm_rust));
		EXPECT_EQ(0, shm_rust.rmid(id));
		EXPECT_EQ(0, shm_serve(RUST_SHM_SERVE_OFF));
		close_device();
		EXPECT_EQ(0, module_unload_soon());
	}
	ASSERT_EQ(0, module_load());
	ASSERT_TRUE(device_appears(&st));
}

TEST_HARNESS_MAIN
