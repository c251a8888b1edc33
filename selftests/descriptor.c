// SPDX-License-Identifier: GPL-2.0
/*
 * A segment as a descriptor (RUST_SHM_IOC_FD): who gets one, what it can do, and how long the segment lives by it.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "cgroup.h"
#include "proc.h"
#include "shm_backend.h"
#include "swap.h"
#include "user.h"
#include "vma.h"

#define PAGES 4
#define ODD 100		/* The size is that much less than whole pages. */
#define SHARED (PROT_READ | PROT_WRITE), MAP_SHARED
#define RACE_SECONDS (2.0 * shm_slow())

/* What a segment always has. */
#define ALWAYS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_EXEC)

static int fd_of(int id, unsigned int flags)
{
	struct rust_shm_fd argument = { .id = id, .flags = flags };

	return shm_rust_ioctl(RUST_SHM_IOC_FD, &argument);
}

static long nattch(int id)
{
	return shm_nattch(&shm_rust, id);
}

static bool is_gone(int id)
{
	struct rust_shm_stat stat;

	return shm_rust.stat(id, &stat) && errno == EINVAL;
}

/* Closing and unmapping may be completed a moment later. */
static bool goes(int id)
{
	int i;

	for (i = 0; i < 500 * (int)shm_slow() && !is_gone(id); i++)
		usleep(10000);
	return is_gone(id);
}

/* Opens a descriptor of a process, or of the caller (0), again. */
static int reopen(pid_t pid, int fd, int flags)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	else
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

static int send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

static int receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* What poll(2) says now, or within so many milliseconds, of these events. */
static int events_within(int fd, int events, int milliseconds)
{
	struct pollfd wanted = { .fd = fd, .events = events };

	return poll(&wanted, 1, milliseconds) < 0 ? -1 : wanted.revents;
}

static int events_of(int fd)
{
	return events_within(fd, POLLIN | POLLPRI | POLLOUT, 0);
}

FIXTURE(descriptor)
{
	size_t page;
	size_t size;	/* of the segment; not whole pages */
	size_t mapped;	/* that, in whole pages */
	int id;		/* SHM_KEY, 0600 */
	int fd;		/* of it, for reading and writing */
	int reader;	/* of it, for reading only */
};

FIXTURE_SETUP(descriptor)
{
	SHM_ENTER(&shm_rust);
	self->page = page_size();
	self->mapped = PAGES * self->page;
	self->size = self->mapped - ODD;
	self->id = shm_rust.get(SHM_KEY, self->size, IPC_CREAT | 0600);
	ASSERT_LE(0, self->id);
	self->fd = fd_of(self->id, O_RDWR | RUST_SHM_FD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->reader = fd_of(self->id, O_RDONLY);
	ASSERT_LE(0, self->reader);
}

FIXTURE_TEARDOWN(descriptor)
{
	SHM_LEAVE(&shm_rust);
}

/* Who gets one. */

TEST_F(descriptor, wrong_arguments_are_einval)
{
	unsigned int bit;

	EXPECT_ERRNO(EINVAL, fd_of(-1, O_RDWR));
	EXPECT_ERRNO(EINVAL, fd_of(self->id + 1, O_RDWR));
	for (bit = 0; bit < 32; bit++) {
		if (!((1U << bit) & (RUST_SHM_FD_RDWR | RUST_SHM_FD_CLOEXEC)))
			EXPECT_ERRNO(EINVAL, fd_of(self->id, 1U << bit));
	}
	EXPECT_EQ(RUST_SHM_FD_RDWR, O_RDWR);
	EXPECT_EQ(RUST_SHM_FD_CLOEXEC, O_CLOEXEC);
}

TEST_F(descriptor, permission_is_asked_as_at_attach)
{
	SHM_CHILD {
		become(_metadata, 1000, 1000, 0);
		EXPECT_ERRNO(EACCES, fd_of(self->id, O_RDONLY));
		EXPECT_ERRNO(EACCES, fd_of(self->id, O_RDWR));
		/* Before the descriptor's: as do_shmat(). */
		EXPECT_ERRNO(EINVAL, fd_of(self->id + 1, O_RDWR));
	}
	ASSERT_EQ(0, shm_rust.set(self->id, 0, 0, 0604));
	SHM_CHILD {
		become(_metadata, 1000, 1000, 0);
		EXPECT_LE(0, fd_of(self->id, O_RDONLY));
		EXPECT_ERRNO(EACCES, fd_of(self->id, O_RDWR));
	}
	SHM_CHILD {
		become_with(_metadata, 1000, 1000, CAPABILITY(CAP_IPC_OWNER));
		EXPECT_LE(0, fd_of(self->id, O_RDWR));
	}
}

/* A mark of inotify goes with the last path, as that of an unlinked file, while it holds the inode: the filesystem goes then. */
TEST_F(descriptor, a_watch_does_not_keep_it)
{
	int fd, watch, mark, round;
	char path[64];

	/* The other descriptors are on the same filesystem. */
	close(self->fd);
	close(self->reader);
	for (round = 0; round < 4; round++) {
		fd = fd_of(self->id, O_RDWR);
		watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		ASSERT_LE(0, fd);
		ASSERT_LE(0, watch);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		EXPECT_EQ(0, access(path, R_OK | W_OK));
		mark = inotify_add_watch(watch, path, IN_ALL_EVENTS);
		ASSERT_LE(0, mark);
		if (round & 1)
			EXPECT_EQ(0, close(fd));
		if (round == 2)
			EXPECT_EQ(0, inotify_rm_watch(watch, mark));
		if (round == 3)
			EXPECT_ERRNO(EINVAL, inotify_rm_watch(watch, mark));
		EXPECT_EQ(0, close(watch));
		if (!(round & 1))
			EXPECT_EQ(0, close(fd));
	}
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_TRUE(goes(self->id));
}

TEST_F(descriptor, too_many_are_emfile)
{
	struct rlimit limit = { 8, 8 };
	struct rust_shm_stat stat;
	int fd, last = -1;

	SHM_CHILD {
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		while ((fd = fd_of(self->id, O_RDWR)) >= 0)
			last = fd;
		EXPECT_EQ(EMFILE, errno);
		EXPECT_GT(8, last);
	}
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0, stat.nattch);
	close(self->fd);
	close(self->reader);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_TRUE(goes(self->id))
		TH_LOG("a call that failed has left something behind");
}

TEST_F(descriptor, flags_are_those_of_open)
{
	EXPECT_EQ(O_RDWR, fcntl(self->fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(O_RDONLY, fcntl(self->reader, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->fd, F_GETFD));
	EXPECT_EQ(0, fcntl(self->reader, F_GETFD));
}

/* A mapping is an attach. */

TEST_F(descriptor, a_mapping_is_an_attach)
{
	struct rust_shm_stat stat;
	time_t before = time(NULL);
	char *addr;

	EXPECT_EQ(0, nattch(self->id));
	addr = mmap(NULL, self->mapped, SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(1, stat.nattch);
	EXPECT_LE(before, stat.atime);
	EXPECT_EQ(getpid(), stat.lpid);
	EXPECT_EQ(0, stat.dtime);
	strcpy(addr, "shared");
	SHM_CHILD {
		char *other = shm_rust.attach(self->id, NULL, 0);

		ASSERT_NE(SHM_FAILED, other);
		EXPECT_EQ(0, strcmp(other, "shared"));
		EXPECT_EQ(3, nattch(self->id));
	}
	EXPECT_EQ(1, nattch(self->id));
	ASSERT_EQ(0, munmap(addr, self->mapped));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0, stat.nattch);
	EXPECT_LE(before, stat.dtime);
}

TEST_F(descriptor, detach_and_the_descriptors_end)
{
	char *addr = mmap(NULL, self->mapped, SHARED, self->fd, 0);
	char *tail = mmap(NULL, self->page, SHARED, self->fd, self->page);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_NE(MAP_FAILED, tail);
	close(self->fd);
	strcpy(addr + self->page, "here");
	EXPECT_EQ(0, strcmp(tail, "here"));
	EXPECT_EQ(2, nattch(self->id));
	EXPECT_ERRNO(EINVAL, shm_rust.detach(tail));
	EXPECT_EQ(0, shm_rust.detach(addr));
	EXPECT_FALSE(vma_mapped(addr));
	EXPECT_EQ(1, nattch(self->id));
}

TEST_F(descriptor, parts_copies_and_moves_count)
{
	char *addr = mmap(NULL, self->mapped, SHARED, self->fd, 0), *moved;
	int out[2];
	char byte;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, munmap(addr + self->page, self->page));
	EXPECT_EQ(2, nattch(self->id));
	moved = mremap(addr + 2 * self->page, 2 * self->page, 2 * self->page, MREMAP_MAYMOVE | MREMAP_FIXED, vma_hole(MIB));
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_EQ(2, nattch(self->id));
	moved[0] = 'x';
	ASSERT_EQ(1, pread(self->fd, &byte, 1, 2 * self->page));
	EXPECT_EQ('x', byte);
	ASSERT_EQ(0, pipe(out));
	SHM_FORK(pid) {
		close(out[1]);
		_exit(read(out[0], &byte, 1));
	}
	EXPECT_EQ(4, nattch(self->id));
	close(out[1]);
	EXPECT_EQ(0, shm_wait(pid));
	EXPECT_EQ(2, nattch(self->id));
	/* execve(2) unmaps. */
	ASSERT_EQ(0, pipe(out));
	SHM_FORK(pid) {
		dup2(out[0], 0);
		close(out[0]);
		close(out[1]);
		execl("/bin/sh", "sh", "-c", "read x; exit 0", NULL);
		_exit(1);
	}
	for (int i = 0; i < 1000 && nattch(self->id) != 2; i++)
		usleep(10000);
	EXPECT_EQ(2, nattch(self->id));
	close(out[1]);
	EXPECT_EQ(0, shm_wait(pid));
}

TEST_F(descriptor, the_end_is_sigbus)
{
	char *addr = mmap(NULL, 2 * self->mapped, SHARED, self->fd, 0);
	char *beyond = mmap(NULL, self->page, SHARED, self->fd, 64 * self->mapped);

	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_NE(MAP_FAILED, beyond);
	EXPECT_EQ(2, nattch(self->id));
	EXPECT_EQ(0, write_signal(addr + self->mapped - 1));
	EXPECT_EQ(SIGBUS, read_signal(addr + self->mapped));
	EXPECT_EQ(SIGBUS, write_signal(addr + 2 * self->mapped - 1));
	EXPECT_EQ(SIGBUS, read_signal(beyond));
}

TEST_F(descriptor, kinds_of_mappings)
{
	char byte = 's', *addr;

	EXPECT_ERRNO(EINVAL, mmap(NULL, self->mapped, SHARED, self->fd, 1));
	EXPECT_ERRNO(EOPNOTSUPP, mmap(NULL, self->mapped, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, self->fd, 0));
	addr = mmap(NULL, self->mapped, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	addr[0] = byte;
	/* A private one has pages of its own where it has written. */
	addr = mmap(NULL, self->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->reader, 0);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(2, nattch(self->id));
	EXPECT_EQ('s', addr[0]);
	addr[0] = 'p';
	ASSERT_EQ(1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ('s', byte);
	EXPECT_EQ('p', addr[0]);
	EXPECT_ERRNO(EPERM, mmap(NULL, self->mapped, PROT_READ | PROT_EXEC, MAP_SHARED, self->fd, 0));
	EXPECT_ERRNO(EACCES, mprotect(addr, self->page, PROT_READ | PROT_EXEC));
	EXPECT_EQ(2, nattch(self->id));
}

TEST_F(descriptor, remap_file_pages_keeps_the_count)
{
	char *addr = mmap(NULL, self->mapped, SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, addr);
	addr[2 * self->page] = 'x';
	ASSERT_EQ(0, syscall(SYS_remap_file_pages, addr, self->page, 0, 2, 0));
	EXPECT_EQ('x', addr[0]);
	EXPECT_EQ(2, nattch(self->id));
	ASSERT_EQ(0, munmap(addr, self->mapped));
	EXPECT_EQ(0, nattch(self->id));
}

TEST_F(descriptor, one_for_reading_never_writes)
{
	char *addr, byte = 'x';

	EXPECT_ERRNO(EACCES, mmap(NULL, self->mapped, SHARED, self->reader, 0));
	addr = mmap(NULL, self->mapped, PROT_READ, MAP_SHARED, self->reader, 0);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_ERRNO(EACCES, mprotect(addr, self->mapped, PROT_READ | PROT_WRITE));
	EXPECT_ERRNO(EBADF, pwrite(self->reader, &byte, 1, 0));
	EXPECT_ERRNO(EBADF, fallocate(self->reader, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, self->page));
	EXPECT_ERRNO(EINVAL, ftruncate(self->reader, 0));
	EXPECT_ERRNO(EPERM, ioctl(self->reader, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	/* Nor by the way of the mapping: root sees the file of shmem there, as on the built-in. */
	EXPECT_EQ(1, nattch(self->id));
}

/* Opened again. */

TEST_F(descriptor, opened_again_it_gains_nothing)
{
	int fd, path;

	/* Root, with all capabilities. */
	EXPECT_ERRNO(EACCES, reopen(0, self->reader, O_RDWR));
	EXPECT_ERRNO(EACCES, reopen(0, self->reader, O_WRONLY));
	EXPECT_ERRNO(EACCES, reopen(getpid(), self->reader, O_RDWR));
	fd = reopen(0, self->reader, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_ERRNO(EACCES, reopen(0, fd, O_RDWR));
	EXPECT_ERRNO(EACCES, mmap(NULL, self->mapped, SHARED, fd, 0));
	path = reopen(0, self->reader, O_PATH);
	ASSERT_LE(0, path);
	EXPECT_ERRNO(EACCES, reopen(0, path, O_RDWR));
	EXPECT_LE(0, reopen(0, path, O_RDONLY));
	EXPECT_ERRNO(EPERM, reopen(0, self->fd, O_RDWR | O_TRUNC));
	/* By one for writing, for reading alone: that cannot write. */
	fd = reopen(0, self->fd, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_ERRNO(EACCES, mmap(NULL, self->mapped, SHARED, fd, 0));
	EXPECT_ERRNO(EBADF, pwrite(fd, "x", 1, 0));
}

TEST_F(descriptor, a_mapping_of_one_opened_again_counts)
{
	int out[2], in[2], fd;
	char byte = 0, *addr;
	pid_t pid;

	addr = mmap(NULL, self->mapped, SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, pipe(out));
	ASSERT_EQ(0, pipe(in));
	SHM_FORK(pid) {
		fd = reopen(getppid(), self->fd, O_RDWR);
		munmap(addr, self->mapped);
		close(self->fd);
		close(self->reader);
		addr = mmap(NULL, self->mapped, SHARED, fd, 0);
		if (addr == MAP_FAILED)
			_exit(2);
		strcpy(addr, "child");
		if (write(out[1], &byte, 1) != 1 || read(in[0], &byte, 1) != 1)
			_exit(3);
		_exit(0);
	}
	ASSERT_EQ(1, read(out[0], &byte, 1));
	EXPECT_EQ(2, nattch(self->id));
	EXPECT_EQ(0, strcmp(addr, "child"));
	/* The child's keeps the segment alone. */
	munmap(addr, self->mapped);
	close(self->fd);
	close(self->reader);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_EQ(1, nattch(self->id));
	ASSERT_EQ(1, write(in[1], &byte, 1));
	EXPECT_EQ(0, shm_wait(pid));
	EXPECT_TRUE(goes(self->id));
}

TEST_F(descriptor, is_no_program)
{
	char path[64], *arguments[] = { "x", NULL };

	ASSERT_EQ(0, shm_rust.set(self->id, 0, 0, 0777));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	ASSERT_LT(0, pwrite(self->fd, "#!/bin/true\n", 12, 0));
	EXPECT_ERRNO(EACCES, execve(path, arguments, environ));
	EXPECT_ERRNO(EACCES, syscall(SYS_execveat, self->fd, "", arguments, environ, AT_EMPTY_PATH));
	EXPECT_ERRNO(EACCES, access(path, X_OK));
}

/* What it tells. */

TEST_F(descriptor, stat_tells_the_segment)
{
	char path[64], name[64] = "", byte = 'x';
	struct statfs filesystem;
	struct stat stat;

	ASSERT_EQ(0, fstat(self->fd, &stat));
	EXPECT_TRUE(S_ISREG(stat.st_mode));
	EXPECT_EQ(0600, stat.st_mode & 07777);
	EXPECT_EQ(self->size, stat.st_size);
	EXPECT_EQ(self->id, stat.st_ino);
	EXPECT_EQ(0, stat.st_uid);
	EXPECT_EQ(0, stat.st_blocks);
	ASSERT_EQ(1, pwrite(self->fd, &byte, 1, self->page));
	ASSERT_EQ(0, shm_rust.set(self->id, 1234, 5678, 0640));
	ASSERT_EQ(0, fstat(self->reader, &stat));
	EXPECT_LT(0, stat.st_blocks);
	EXPECT_EQ(1234, stat.st_uid);
	EXPECT_EQ(5678, stat.st_gid);
	EXPECT_EQ(0640, stat.st_mode & 07777);
	ASSERT_EQ(0, fstatfs(self->fd, &filesystem));
	EXPECT_EQ(RUST_SHM_FD_MAGIC, (unsigned int)filesystem.f_type);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	ASSERT_LT(0, readlink(path, name, sizeof(name) - 1));
	EXPECT_EQ(0, strcmp("/SYSV52534d31 (deleted)", name))
		TH_LOG("it is called %s", name);
}

TEST_F(descriptor, cannot_be_changed_as_a_file)
{
	struct timeval times[2] = { { 1, 0 }, { 1, 0 } };
	struct stat stat;

	EXPECT_ERRNO(EPERM, fchmod(self->fd, 0777));
	EXPECT_ERRNO(EPERM, fchown(self->fd, 1, 1));
	EXPECT_ERRNO(EPERM, ftruncate(self->fd, 0));
	EXPECT_ERRNO(EPERM, ftruncate(self->fd, 2 * self->mapped));
	EXPECT_ERRNO(EPERM, futimes(self->fd, times));
	ASSERT_EQ(0, fstat(self->fd, &stat));
	EXPECT_EQ(self->size, stat.st_size);
	EXPECT_EQ(0600, stat.st_mode & 07777);
}

TEST_F(descriptor, unknown_requests_are_enotty)
{
	struct rust_shm_get get = { .size = 1 };
	int left = -1;

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, RUST_SHM_IOC_GET, &get));
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IO(RUST_SHM_IOC_TYPE, 0x22), 0));
	EXPECT_EQ(0, ioctl(self->fd, FIONREAD, &left));
	EXPECT_EQ((int)self->size, left);
	/* And of the device. */
	EXPECT_ERRNO(ENOTTY, shm_rust_ioctl(RUST_SHM_FD_GET_SEALS, NULL));
}

/* Reading and writing. */

TEST_F(descriptor, reads_and_writes_up_to_the_end)
{
	char *text = malloc(2 * self->mapped), *addr = shm_rust.attach(self->id, NULL, 0);

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(NULL, text);
	pattern_fill(text, self->mapped, 3);
	EXPECT_EQ(self->page, pwrite(self->fd, text, self->page, 7));
	EXPECT_EQ(0, memcmp(addr + 7, text, self->page));
	EXPECT_EQ(0, addr[6]);
	pattern_fill(addr, self->size, 5);
	EXPECT_EQ(self->size, pread(self->reader, text, 2 * self->mapped, 0));
	EXPECT_TRUE(pattern_stands(text, self->size, 5));
	EXPECT_EQ(0, pread(self->fd, text, 1, self->size));
	EXPECT_EQ(0, pread(self->fd, text, 1, 1L << 30));
	EXPECT_EQ(10, pwrite(self->fd, text, self->page, self->size - 10));
	EXPECT_ERRNO(EFBIG, pwrite(self->fd, text, 1, self->size));
	EXPECT_ERRNO(EFBIG, pwrite(self->fd, text, 1, 1L << 30));
	EXPECT_EQ(0, pwrite(self->fd, text, 0, self->size));
	/* By the position. */
	EXPECT_EQ(5, lseek(self->fd, 5, SEEK_SET));
	EXPECT_EQ(3, write(self->fd, "abc", 3));
	EXPECT_EQ(8, lseek(self->fd, 0, SEEK_CUR));
	EXPECT_EQ(0, memcmp(addr + 5, "abc", 3));
	EXPECT_EQ(self->size, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(0, read(self->fd, text, 1));
	EXPECT_ERRNO(EINVAL, lseek(self->fd, -1, SEEK_SET));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_APPEND));
	ASSERT_EQ(0, lseek(self->fd, 0, SEEK_SET));
	EXPECT_ERRNO(EFBIG, write(self->fd, "abc", 3));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, 0));
	EXPECT_EQ(0, fsync(self->fd));
	free(text);
}

TEST_F(descriptor, finds_data_and_holes)
{
	char *addr = shm_rust.attach(self->id, NULL, 0);
	struct rust_shm_stat stat;
	char byte;

	ASSERT_NE(SHM_FAILED, addr);
	shm_small_pages(addr, self->mapped);
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_HOLE));
	EXPECT_ERRNO(ENXIO, lseek(self->fd, 0, SEEK_DATA));
	addr[2 * self->page] = 'x';
	EXPECT_EQ(2 * self->page, lseek(self->reader, 0, SEEK_DATA));
	EXPECT_EQ(3 * self->page, lseek(self->reader, 2 * self->page, SEEK_HOLE));
	EXPECT_EQ(3 * self->page, lseek(self->reader, 0, SEEK_CUR));
	EXPECT_ERRNO(ENXIO, lseek(self->fd, self->size, SEEK_DATA));
	/* A hole that is read stays one. */
	ASSERT_EQ(1, pread(self->fd, &byte, 1, 0));
	EXPECT_EQ(0, byte);
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(self->page, stat.rss);
}

TEST_F(descriptor, splice_sendfile_copy_file_range)
{
	int other_id = shm_rust.get(IPC_PRIVATE, MIB * 2, 0600), other, out[2];
	loff_t from = 0, to = 10;
	char text[32] = "";

	other = fd_of(other_id, O_RDWR);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, pipe(out));
	ASSERT_EQ(12, pwrite(self->fd, "hello, world", 12, 0));
	EXPECT_EQ(12, splice(self->reader, &from, out[1], NULL, 12, 0));
	EXPECT_EQ(12, splice(out[0], NULL, other, &to, 12, 0));
	EXPECT_EQ(12, pread(other, text, 12, 10));
	EXPECT_EQ(0, strcmp(text, "hello, world"));
	EXPECT_EQ(self->size, splice(self->reader, &(loff_t){ 0 }, out[1], NULL, 2 * self->mapped, 0));
	EXPECT_EQ(12, read(out[0], text, 12));
	/* Another one: of another size, and so of a file that was made at another time. */
	from = 7;
	to = MIB;
	EXPECT_EQ(5, copy_file_range(self->reader, &from, other, &to, 5, 0));
	EXPECT_EQ(5, pread(other, text, 5, MIB));
	EXPECT_EQ(0, memcmp(text, "world", 5));
	from = 0;
	EXPECT_EQ(self->size, copy_file_range(self->reader, &from, other, &to, 2 * self->mapped, 0));
	EXPECT_ERRNO(EBADF, copy_file_range(self->fd, NULL, self->reader, NULL, 5, 0));
	close(out[0]);
	close(out[1]);
	ASSERT_EQ(0, pipe(out));
	EXPECT_EQ(5, sendfile(out[1], self->reader, &(off_t){ 7 }, 5));
	EXPECT_EQ(5, read(out[0], text, 5));
	EXPECT_EQ(0, memcmp(text, "world", 5));
}

TEST_F(descriptor, fallocate_stays_within_the_size)
{
	char *addr = shm_rust.attach(self->id, NULL, 0);
	struct rust_shm_stat stat;

	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_EQ(0, fallocate(self->fd, 0, 0, 2 * self->page));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_LE(2 * self->page, stat.rss);
	EXPECT_ERRNO(EFBIG, fallocate(self->fd, 0, 0, self->mapped));
	EXPECT_ERRNO(EFBIG, fallocate(self->fd, FALLOC_FL_KEEP_SIZE, self->size, 1));
	EXPECT_ERRNO(EOPNOTSUPP, fallocate(self->fd, FALLOC_FL_ZERO_RANGE, 0, self->page));
	EXPECT_ERRNO(EOPNOTSUPP, fallocate(self->fd, FALLOC_FL_COLLAPSE_RANGE, 0, self->page));
	EXPECT_ERRNO(EOPNOTSUPP, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE, 0, self->page));
	pattern_fill(addr, self->size, 1);
	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 2 * self->page));
	EXPECT_TRUE(pattern_stands(addr, 10, 1));
	EXPECT_EQ(0, addr[10]);
	EXPECT_EQ(0, addr[2 * self->page + 9]);
	EXPECT_NE(0, memcmp(addr + 2 * self->page + 10, "\0\0\0\0\0\0\0", 8));
	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1L << 30));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(0, stat.rss);
	EXPECT_EQ(0, addr[self->size - 1]);
}

/* Events. */

TEST_F(descriptor, poll_tells_of_attaches_and_removal)
{
	char *first, *second;

	EXPECT_EQ(POLLPRI | POLLOUT, events_of(self->fd));
	first = shm_rust.attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, first);
	EXPECT_EQ(POLLIN | POLLOUT, events_of(self->reader));
	second = mmap(NULL, self->mapped, PROT_READ, MAP_SHARED, self->reader, 0);
	ASSERT_NE(MAP_FAILED, second);
	ASSERT_EQ(0, shm_rust.detach(first));
	EXPECT_EQ(POLLIN | POLLOUT, events_of(self->fd));
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_EQ(POLLIN | POLLOUT | POLLHUP, events_of(self->fd));
	ASSERT_EQ(0, munmap(second, self->mapped));
	EXPECT_EQ(POLLPRI | POLLOUT | POLLHUP, events_of(self->fd));
}

/* Does one thing when a byte comes. */
static pid_t later(struct __test_metadata *_metadata, int go[2], int (*act)(int), int id)
{
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		/* The parent waits by then. */
		usleep(100000);
		_exit(act(id) ? 2 : read(go[0], &byte, 1));
	}
	close(go[0]);
	return pid;
}

static int attaches(int id)
{
	return shm_rust.attach(id, NULL, 0) == SHM_FAILED;
}

static int removes(int id)
{
	return shm_rust.rmid(id);
}

TEST_F(descriptor, who_polls_is_woken)
{
	int go[2], long_enough = 20000 * shm_slow(), waited;
	pid_t pid;

	pid = later(_metadata, go, attaches, self->id);
	ASSERT_EQ(1, write(go[1], "", 1));
	EXPECT_EQ(POLLIN, events_within(self->fd, POLLIN, long_enough));
	/* The call itself counts until it ends, as in do_shmat(). */
	for (waited = 0; nattch(self->id) > 1 && waited < long_enough; waited += 10)
		usleep(10000);
	EXPECT_EQ(1, nattch(self->id));
	/* It ends, and with it its attach. */
	close(go[1]);
	EXPECT_EQ(POLLPRI, events_within(self->fd, POLLPRI, long_enough));
	EXPECT_EQ(0, shm_wait(pid));
	pid = later(_metadata, go, removes, self->id);
	ASSERT_EQ(1, write(go[1], "", 1));
	EXPECT_EQ(POLLHUP, events_within(self->fd, 0, long_enough));
	close(go[1]);
	EXPECT_EQ(0, shm_wait(pid));
}

TEST_F(descriptor, epoll_is_told_each_time)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLPRI | EPOLLET }, got;
	int epoll = epoll_create1(EPOLL_CLOEXEC), i;
	char *addr;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event));
	ASSERT_EQ(1, epoll_wait(epoll, &got, 1, 0));
	EXPECT_EQ(EPOLLPRI, got.events);
	for (i = 0; i < 3; i++) {
		addr = shm_rust.attach(self->id, NULL, 0);
		ASSERT_NE(SHM_FAILED, addr);
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, 0));
		EXPECT_EQ(EPOLLIN, got.events);
		ASSERT_EQ(0, epoll_wait(epoll, &got, 1, 0));
		ASSERT_EQ(0, shm_rust.detach(addr));
		ASSERT_EQ(1, epoll_wait(epoll, &got, 1, 0));
		EXPECT_EQ(EPOLLPRI, got.events);
	}
	/* Closed while it is waited for. */
	close(self->fd);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_EQ(0, epoll_wait(epoll, &got, 1, 0));
}

/* How long the segment lives. */

TEST_F(descriptor, keeps_a_removed_segment)
{
	struct rust_shm_stat stat;
	char text[8] = "", *addr;

	ASSERT_EQ(8, pwrite(self->fd, "content", 8, 0));
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(RUST_SHM_MODE_DEST, stat.mode & RUST_SHM_MODE_DEST);
	EXPECT_EQ(0, stat.key);
	EXPECT_EQ(0, stat.nattch);
	EXPECT_ERRNO(ENOENT, shm_rust.get(SHM_KEY, 0, 0));
	EXPECT_EQ(8, pread(self->reader, text, 8, 0));
	EXPECT_EQ(0, strcmp(text, "content"));
	/* As while it is attached, an attach by its id still works; and the last detach does not end it. */
	addr = shm_rust.attach(self->id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	EXPECT_EQ(0, strcmp(addr, "content"));
	ASSERT_EQ(0, shm_rust.detach(addr));
	addr = mmap(NULL, self->mapped, SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(0, strcmp(addr, "content"));
	EXPECT_EQ(1, nattch(self->id));
	close(self->fd);
	close(self->reader);
	EXPECT_FALSE(is_gone(self->id));
	ASSERT_EQ(0, munmap(addr, self->mapped));
	EXPECT_TRUE(goes(self->id));
}

TEST_F(descriptor, a_path_or_a_message_keeps_it)
{
	int path = reopen(0, self->fd, O_PATH), sockets[2], fd;

	ASSERT_LE(0, path);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	ASSERT_EQ(0, send_fd(sockets[0], self->reader));
	close(self->fd);
	close(self->reader);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	fd = reopen(0, path, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(1, pwrite(fd, "x", 1, 0));
	close(fd);
	close(path);
	EXPECT_FALSE(is_gone(self->id));
	fd = receive_fd(sockets[1]);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_TRUE(goes(self->id));
}

TEST_F(descriptor, sockets_that_hold_each_other_are_collected)
{
	int i, first[2], second[2];

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, first));
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, second));
		/* Each end waits in the queue of the other, with the descriptor beside it. */
		ASSERT_EQ(0, send_fd(first[0], self->fd));
		ASSERT_EQ(0, send_fd(first[0], second[0]));
		ASSERT_EQ(0, send_fd(first[0], second[1]));
		ASSERT_EQ(0, send_fd(second[0], self->reader));
		ASSERT_EQ(0, send_fd(second[0], first[0]));
		ASSERT_EQ(0, send_fd(second[0], first[1]));
		close(first[0]);
		close(first[1]);
		close(second[0]);
		close(second[1]);
	}
	close(self->fd);
	close(self->reader);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	/* The collector runs when a socket is closed. */
	for (i = 0; i < 500 * (int)shm_slow() && !is_gone(self->id); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, first));
		ASSERT_EQ(0, send_fd(first[0], first[1]));
		close(first[0]);
		close(first[1]);
		usleep(10000);
	}
	EXPECT_TRUE(is_gone(self->id));
}

TEST_F(descriptor, an_orphan_is_kept)
{
	int sockets[2], fd, id;

	if (shm_limits_are_parameters())
		SKIP(return, "this kernel has no kernel.shm_rmid_forced");
	ASSERT_EQ(0, shm_sysctl_write("shm_rmid_forced", 1));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	SHM_CHILD {
		id = shm_rust.get(SHM_KEY + 1, self->size, IPC_CREAT | 0600);
		fd = fd_of(id, O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_EQ(2, pwrite(fd, "x", 2, 0));
		ASSERT_EQ(0, send_fd(sockets[0], fd));
		ASSERT_EQ(sizeof(id), write(sockets[0], &id, sizeof(id)));
	}
	fd = receive_fd(sockets[1]);
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(id), read(sockets[1], &id, sizeof(id)));
	EXPECT_FALSE(is_gone(id));
	EXPECT_EQ(id, shm_rust.get(SHM_KEY + 1, 0, 0));
	close(fd);
	EXPECT_TRUE(goes(id));
}

TEST_F(descriptor, other_users_and_namespaces_can_use_it)
{
	int sockets[2], fd;
	char text[16] = "", *addr;

	SHM_NEEDS_NAMESPACE("ipc");
	SHM_NEEDS_NAMESPACE("user");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	ASSERT_EQ(6, pwrite(self->fd, "hello", 6, 0));
	ASSERT_EQ(0, send_fd(sockets[0], self->reader));
	ASSERT_EQ(0, send_fd(sockets[0], self->fd));
	close(self->fd);
	close(self->reader);
	SHM_CHILD {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC | CLONE_NEWNET));
		enter_user_namespace(_metadata);
		become(_metadata, 5, 5, 0);
		fd = receive_fd(sockets[1]);
		ASSERT_LE(0, fd);
		addr = mmap(NULL, self->mapped, PROT_READ, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, addr);
		EXPECT_EQ(0, strcmp(addr, "hello"));
		EXPECT_ERRNO(EACCES, mprotect(addr, self->page, PROT_READ | PROT_WRITE));
		EXPECT_ERRNO(EACCES, reopen(0, fd, O_RDWR));
		EXPECT_LE(0, reopen(0, fd, O_RDONLY));
		fd = receive_fd(sockets[1]);
		ASSERT_LE(0, fd);
		/* The id says nothing here. */
		EXPECT_ERRNO(EINVAL, fd_of(self->id, O_RDONLY));
		EXPECT_EQ(4, pwrite(fd, "bye", 4, 0));
		fd = reopen(0, fd, O_RDWR);
		ASSERT_LE(0, fd);
		addr = mmap(NULL, self->mapped, SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, addr);
		strcpy(addr + self->page, "there");
	}
	EXPECT_EQ(0, nattch(self->id));
	fd = fd_of(self->id, O_RDONLY);
	EXPECT_EQ(6, pread(fd, text, 6, self->page));
	EXPECT_EQ(0, strcmp(text, "there"));
	EXPECT_EQ(4, pread(fd, text, 4, 0));
	EXPECT_EQ(0, strcmp(text, "bye"));
}

TEST_F(descriptor, the_end_of_its_namespace_is_not_its_own)
{
	int sockets[2], fd;
	char text[8] = "", *addr;

	SHM_NEEDS_NAMESPACE("ipc");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	SHM_CHILD {
		int id;

		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		id = shm_rust.get(SHM_KEY, self->size, IPC_CREAT | 0600);
		fd = fd_of(id, O_RDWR);
		ASSERT_EQ(6, pwrite(fd, "alive", 6, 0));
		ASSERT_EQ(0, send_fd(sockets[0], fd));
		/* And a device that stays open, with the registry in it. */
		ASSERT_EQ(0, send_fd(sockets[0], shm_rust_fd()));
	}
	fd = receive_fd(sockets[1]);
	ASSERT_LE(0, fd);
	usleep(300000);
	EXPECT_EQ(6, pread(fd, text, 6, 0));
	EXPECT_EQ(0, strcmp(text, "alive"));
	addr = mmap(NULL, self->mapped, SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(0, strcmp(addr, "alive"));
	EXPECT_EQ(POLLIN | POLLOUT, events_of(fd));
	close(fd);
	EXPECT_EQ(0, strcmp(addr, "alive"));
	ASSERT_EQ(0, shm_rust.detach(addr));
}

/* Seals. */

TEST_F(descriptor, seals_begin_with_the_size)
{
	EXPECT_EQ(ALWAYS, ioctl(self->reader, RUST_SHM_FD_GET_SEALS, 0));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, 0x8000));
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	EXPECT_EQ(ALWAYS, ioctl(self->fd, RUST_SHM_FD_GET_SEALS, 0));
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_SEAL));
	EXPECT_EQ(ALWAYS | F_SEAL_SEAL, ioctl(self->reader, RUST_SHM_FD_GET_SEALS, 0));
	EXPECT_ERRNO(EPERM, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, 0));
	/* fcntl(2) takes memfds alone. */
	EXPECT_ERRNO(EINVAL, fcntl(self->fd, F_GET_SEALS));
	EXPECT_ERRNO(EINVAL, fcntl(self->fd, F_ADD_SEALS, F_SEAL_WRITE));
}

TEST_F(descriptor, seal_write_waits_for_writers)
{
	char *addr = shm_rust.attach(self->id, NULL, 0), *other;
	int fd = fd_of(self->id, O_RDWR), byte;

	ASSERT_NE(SHM_FAILED, addr);
	strcpy(addr, "sealed");
	EXPECT_ERRNO(EBUSY, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	ASSERT_EQ(0, shm_rust.detach(addr));
	/* One that mprotect(2) can make writable; and two copies of it. */
	addr = mmap(NULL, self->mapped, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	ASSERT_EQ(0, munmap(addr + self->page, self->page));
	EXPECT_ERRNO(EBUSY, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	ASSERT_EQ(0, munmap(addr, self->page));
	EXPECT_ERRNO(EBUSY, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	ASSERT_EQ(0, munmap(addr + 2 * self->page, 2 * self->page));
	/* Others do not matter. */
	addr = shm_rust.attach(self->id, NULL, SHM_RDONLY);
	other = mmap(NULL, self->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, 0);
	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(ALWAYS | F_SEAL_WRITE, ioctl(self->reader, RUST_SHM_FD_GET_SEALS, 0));
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	/* From here on nobody writes. */
	EXPECT_ERRNO(EPERM, pwrite(self->fd, "x", 1, 0));
	EXPECT_ERRNO(EPERM, mmap(NULL, self->mapped, SHARED, fd, 0));
	EXPECT_ERRNO(EPERM, shm_rust.attach(self->id, NULL, 0));
	EXPECT_ERRNO(EPERM, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, self->page));
	EXPECT_ERRNO(EACCES, mprotect(addr, self->page, PROT_READ | PROT_WRITE));
	other[0] = 'p';
	EXPECT_EQ(0, strcmp(addr, "sealed"));
	other = mmap(NULL, self->mapped, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_ERRNO(EACCES, mprotect(other, self->page, PROT_READ | PROT_WRITE));
	other = mmap(NULL, self->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, other);
	other[0] = 'p';
	EXPECT_EQ('s', addr[0]);
	ASSERT_EQ(1, pread(fd, &byte, 1, 0));
}

/* Each mapping of a page is a reference to it, as each pin is many. */
TEST_F(descriptor, seal_write_does_not_take_mappings_for_pins)
{
	char *addr;
	int i;

	ASSERT_EQ(1, pwrite(self->fd, "x", 1, 0));
	for (i = 0; i < 1100; i++) {
		addr = mmap(NULL, self->page, PROT_READ, MAP_SHARED | MAP_POPULATE, self->reader, 0);
		ASSERT_NE(MAP_FAILED, addr);
		ASSERT_EQ('x', *addr);
	}
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
}

TEST_F(descriptor, seal_future_write_leaves_who_has_it)
{
	char *addr = shm_rust.attach(self->id, NULL, 0);

	ASSERT_NE(SHM_FAILED, addr);
	ASSERT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	strcpy(addr, "mine");
	EXPECT_ERRNO(EPERM, pwrite(self->fd, "x", 1, 0));
	EXPECT_ERRNO(EPERM, mmap(NULL, self->mapped, SHARED, self->fd, 0));
	EXPECT_ERRNO(EPERM, shm_rust.attach(self->id, NULL, 0));
	EXPECT_ERRNO(EPERM, madvise(addr, self->page, MADV_REMOVE));
	EXPECT_EQ(0, strcmp(addr, "mine"));
	EXPECT_ERRNO(EBUSY, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	ASSERT_EQ(0, shm_rust.detach(addr));
	EXPECT_EQ(0, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
}

/* The kernel writes to what is registered with io_uring, without a mapping. */
TEST_F(descriptor, seal_write_waits_for_pinned_pages)
{
	struct io_uring_params parameters = { 0 };
	struct iovec buffer;
	char *addr = mmap(NULL, self->mapped, SHARED, self->fd, 0);
	int ring = syscall(SYS_io_uring_setup, 1, &parameters), i;

	if (ring < 0)
		SKIP(return, "io_uring cannot be used: %s", strerror(errno));
	ASSERT_NE(MAP_FAILED, addr);
	memset(addr, 1, self->page);
	buffer = (struct iovec){ addr, self->page };
	ASSERT_EQ(0, syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1));
	ASSERT_EQ(0, munmap(addr, self->mapped));
	EXPECT_ERRNO(EBUSY, ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	/* Which leaves nothing behind. */
	EXPECT_EQ(ALWAYS, ioctl(self->fd, RUST_SHM_FD_GET_SEALS, 0));
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, 0));
	close(ring);
	for (i = 0; i < 500 * (int)shm_slow() && ioctl(self->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE); i++)
		usleep(10000);
	EXPECT_EQ(ALWAYS | F_SEAL_WRITE, ioctl(self->fd, RUST_SHM_FD_GET_SEALS, 0));
}

/* Memory. */

TEST_F(descriptor, reads_what_is_swapped_out)
{
	char *addr = mmap(NULL, self->mapped, SHARED, self->fd, 0), *text = malloc(self->size);

	ASSERT_EQ(0, swap_on(16 * MIB));
	ASSERT_NE(MAP_FAILED, addr);
	pattern_fill(addr, self->size, 9);
	EXPECT_LT(0, swap_out(&shm_rust, self->id, addr, self->mapped));
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_DATA));
	EXPECT_EQ(self->size, pread(self->reader, text, self->size, 0));
	EXPECT_TRUE(pattern_stands(text, self->size, 9));
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, 0));
	EXPECT_EQ('x', addr[0]);
	munmap(addr, self->mapped);
	ASSERT_EQ(0, swap_off());
	free(text);
}

/* As what is touched by an attach is. */
TEST_F(descriptor, who_writes_is_charged)
{
	int id = shm_rust.get(IPC_PRIVATE, 8 * MIB, 0600), fd = fd_of(id, O_RDWR);
	struct cgroup group;
	long charged;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, cgroup_make(&group, 0))
		TH_LOG("no cgroup: %s", strerror(errno));
	SHM_CHILD {
		char *text = calloc(1, MIB);
		int i;

		ASSERT_NE(NULL, text);
		ASSERT_EQ(0, cgroup_enter(&group));
		for (i = 0; i < 8; i++)
			ASSERT_EQ(MIB, pwrite(fd, text, MIB, i * MIB));
	}
	charged = cgroup_read(&group, "memory.stat", "shmem");
	EXPECT_LE((long)(8 * MIB), charged);
	EXPECT_GT((long)(9 * MIB), charged);
	/* Holes are not allocated by who reads them, and given back by who makes them. */
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8 * MIB));
	EXPECT_EQ(0, shm_rss(&shm_rust, id));
	EXPECT_EQ(0, cgroup_remove(&group));
}

TEST_F(descriptor, of_huge_pages)
{
	int id, fd, hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct rust_shm_stat stat;
	struct stat file;
	char *addr, byte = 0;

	SHM_NEEDS_HUGE();
	id = shm_rust.get(IPC_PRIVATE, HUGE_SIZE + 1, SHM_HUGETLB | 0600);
	if (id < 0 && errno == ENOMEM)
		SKIP(return, "there are no huge pages");
	ASSERT_LE(0, id);
	fd = fd_of(id, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &file));
	EXPECT_EQ(2 * HUGE_SIZE, file.st_size)
		TH_LOG("as much as an attach maps");
	addr = mmap(NULL, 2 * HUGE_SIZE, SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, addr);
	EXPECT_EQ(0, (uintptr_t)addr % HUGE_SIZE);
	EXPECT_ERRNO(EINVAL, mmap(NULL, HUGE_SIZE, SHARED, fd, self->page));
	EXPECT_EQ(5, pwrite(fd, "hello", 5, HUGE_SIZE - 2));
	EXPECT_EQ(0, memcmp(addr + HUGE_SIZE - 2, "hello", 5));
	/* Part of one is cleared, a whole one is freed. */
	EXPECT_EQ(0, fallocate(fd, hole, HUGE_SIZE - self->page, self->page));
	EXPECT_EQ(0, addr[HUGE_SIZE - 1]);
	EXPECT_EQ('l', addr[HUGE_SIZE]);
	ASSERT_EQ(0, shm_rust_stat_huge(id, &stat));
	EXPECT_EQ(2 * HUGE_SIZE, stat.huge);
	EXPECT_EQ(0, fallocate(fd, hole, HUGE_SIZE, HUGE_SIZE));
	ASSERT_EQ(0, shm_rust_stat_huge(id, &stat));
	EXPECT_EQ(HUGE_SIZE, stat.huge);
	EXPECT_EQ(1, pread(fd, &byte, 1, HUGE_SIZE));
	EXPECT_EQ(0, byte);
	ASSERT_EQ(0, munmap(addr, 2 * HUGE_SIZE));
	ASSERT_EQ(0, ioctl(fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_ERRNO(EPERM, fallocate(fd, hole, 0, self->page));
	EXPECT_EQ(1, pread(fd, &byte, 1, HUGE_SIZE - 2 - self->page));
}

TEST_F(descriptor, locked_in_memory)
{
	struct rust_shm_stat stat;

	ASSERT_EQ(0, shm_rust.ctl(self->id, SHM_LOCK, NULL));
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, 0));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(RUST_SHM_MODE_LOCKED, stat.mode & RUST_SHM_MODE_LOCKED);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	ASSERT_EQ(0, shm_rust.stat(self->id, &stat));
	EXPECT_EQ(RUST_SHM_MODE_LOCKED, stat.mode & RUST_SHM_MODE_LOCKED);
	close(self->fd);
	close(self->reader);
	EXPECT_TRUE(goes(self->id));
}

/* Races: what is seen is one of the two orders, and nothing is left. */

struct race {
	size_t page, size;
	int id, fd;
	volatile bool over;
	volatile unsigned long wrong, done;
};

static void *maps(void *data)
{
	struct race *race = data;

	while (!race->over) {
		char *addr = mmap(NULL, race->size, SHARED, race->fd, 0);

		if (addr == MAP_FAILED) {
			race->wrong++;
			continue;
		}
		*(volatile char *)addr = 1;
		munmap(addr, race->size);
		race->done++;
	}
	return NULL;
}

static void *attaches_and_detaches(void *data)
{
	struct race *race = data;

	while (!race->over) {
		char *addr = shm_rust.attach(race->id, NULL, 0);

		if (addr != SHM_FAILED)
			shm_rust.detach(addr);
		else if (errno != EINVAL && errno != EIDRM)
			race->wrong++;
	}
	return NULL;
}

static void *polls(void *data)
{
	struct race *race = data;
	int epoll = epoll_create1(0), fd;
	struct epoll_event event = { .events = EPOLLIN | EPOLLPRI }, got;

	while (!race->over) {
		int events = events_within(race->fd, POLLIN | POLLPRI, 1);

		if (!(events & (POLLIN | POLLPRI)) || (events & POLLIN && events & POLLPRI))
			race->wrong++;
		/* One that goes while it is in an epoll set. */
		fd = reopen(0, race->fd, O_RDONLY);
		if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) || epoll_wait(epoll, &got, 1, 0) != 1)
			race->wrong++;
		close(fd);
	}
	close(epoll);
	return NULL;
}

static void *opens(void *data)
{
	struct race *race = data;

	while (!race->over) {
		int fd = fd_of(race->id, O_RDWR);

		if (fd < 0) {
			if (errno != EINVAL && errno != EIDRM)
				race->wrong++;
			continue;
		}
		if (pwrite(fd, "x", 1, 0) != 1)
			race->wrong++;
		close(fd);
	}
	return NULL;
}

/* Pages are as they were written, or zero; never in between. */
static void *reads(void *data)
{
	struct race *race = data;
	char *text = malloc(race->page);
	size_t i, n;

	while (!race->over) {
		for (n = 0; n < race->size / race->page; n++) {
			if (pread(race->fd, text, race->page, n * race->page) != (ssize_t)race->page)
				race->wrong++;
			for (i = 1; i < race->page; i++) {
				if (text[i] && text[i] != 7) {
					race->wrong++;
					break;
				}
			}
		}
		race->done++;
	}
	free(text);
	return NULL;
}

static void *punches(void *data)
{
	struct race *race = data;
	char *text = malloc(race->page);

	memset(text, 7, race->page);
	while (!race->over) {
		if (pwrite(race->fd, text, race->page, race->page) != (ssize_t)race->page)
			race->wrong++;
		if (fallocate(race->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, race->size))
			race->wrong++;
	}
	free(text);
	return NULL;
}

static void *seals(void *data)
{
	struct race *race = data;

	/* In vain for as long as somebody maps it. */
	while (!race->over)
		if (!ioctl(race->fd, RUST_SHM_FD_ADD_SEALS, F_SEAL_WRITE) || errno != EBUSY)
			race->done++;
	return NULL;
}

static void race(struct __test_metadata *_metadata, struct race *race, void *(*const threads[])(void *))
{
	pthread_t thread[8];
	int i, count;

	for (count = 0; threads[count]; count++)
		ASSERT_EQ(0, pthread_create(&thread[count], NULL, threads[count], race));
	usleep(1e6 * RACE_SECONDS);
	race->over = true;
	for (i = 0; i < count; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	EXPECT_EQ(0, race->wrong);
}

TEST_F(descriptor, race_of_all_calls)
{
	struct race shared = { .page = self->page, .size = self->mapped, .id = self->id, .fd = self->fd };

	race(_metadata, &shared, (void *(*const[])(void *)){ maps, maps, attaches_and_detaches, polls, opens, NULL });
	EXPECT_LT(0, shared.done);
	EXPECT_EQ(0, nattch(self->id));
}

TEST_F(descriptor, race_with_removal)
{
	double end = shm_now() + RACE_SECONDS;
	int rounds;

	for (rounds = 0; shm_now() < end; rounds++) {
		int id = shm_rust.get(IPC_PRIVATE, self->size, 0600), fd = fd_of(id, O_RDWR);
		struct race shared = { .page = self->page, .size = self->mapped, .id = id, .fd = fd };
		void *(*const threads[])(void *) = { attaches_and_detaches, opens, polls };
		pthread_t thread[3];
		int i;

		ASSERT_LE(0, fd);
		for (i = 0; i < 3; i++)
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, threads[i], &shared));
		usleep(1000);
		ASSERT_EQ(0, shm_rust.rmid(id));
		usleep(1000);
		shared.over = true;
		for (i = 0; i < 3; i++)
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(0, shared.wrong);
		EXPECT_EQ(POLLHUP, events_of(fd) & POLLHUP);
		close(fd);
		ASSERT_TRUE(goes(id));
	}
	EXPECT_LT(0, rounds);
}

TEST_F(descriptor, race_of_reads_and_holes)
{
	struct race shared = { .page = self->page, .size = (PAGES - 1) * self->page, .id = self->id, .fd = self->fd };

	race(_metadata, &shared, (void *(*const[])(void *)){ punches, punches, reads, reads, NULL });
	EXPECT_LT(0, shared.done);
}

/* One that seals and those that map: a mapping that was made can write, and then there is no seal. */
TEST_F(descriptor, race_of_seals_and_mappings)
{
	double end = shm_now() + RACE_SECONDS;
	int rounds, sealed = 0;

	for (rounds = 0; shm_now() < end; rounds++) {
		int id = shm_rust.get(IPC_PRIVATE, self->size, 0600), fd = fd_of(id, O_RDWR);
		struct race shared = { .page = self->page, .size = self->mapped, .id = id, .fd = fd };
		pthread_t thread;
		char *addr;

		ASSERT_LE(0, fd);
		ASSERT_EQ(0, pthread_create(&thread, NULL, seals, &shared));
		addr = mmap(NULL, self->mapped, SHARED, fd, 0);
		if (addr != MAP_FAILED) {
			EXPECT_EQ(ALWAYS, ioctl(fd, RUST_SHM_FD_GET_SEALS, 0));
			ASSERT_EQ(0, munmap(addr, self->mapped));
		} else {
			EXPECT_EQ(EPERM, errno);
			sealed++;
		}
		while (!shared.done)
			sched_yield();
		shared.over = true;
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_ERRNO(EPERM, pwrite(fd, "x", 1, 0));
		close(fd);
		ASSERT_EQ(0, shm_rust.rmid(id));
	}
	TH_LOG("%d rounds, in %d of them the seal was first", rounds, sealed);
}

/* Who frees caches holds inodes for a moment, and may be the last, with the list of the filesystem's inodes in its hands. */
TEST_F(descriptor, race_of_closing_and_drop_caches)
{
	int caches = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC), status, fd;
	double end = shm_now() + RACE_SECONDS;
	long rounds = 0;
	pid_t child;

	ASSERT_LE(0, caches);
	close(self->fd);
	close(self->reader);
	child = fork();
	if (!child) {
		while (shm_now() < end && pwrite(caches, "1", 1, 0) == 1)
			;
		_exit(shm_now() < end);
	}
	for (; shm_now() < end; rounds++) {
		fd = fd_of(self->id, O_RDWR);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, close(fd));
	}
	TH_LOG("%ld rounds", rounds);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, shm_rust.rmid(self->id));
	EXPECT_TRUE(goes(self->id));
}

TEST_HARNESS_MAIN
