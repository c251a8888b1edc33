// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints: what happens to segments is seen in tracefs, with the fields that `events.h` names.
 */
#include "kselftest_harness.h"
#include "shm_backend.h"
#include "vma.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TRACEFS "/sys/kernel/tracing"
#define SIZE (8 * MIB)

FIXTURE(events) {
	size_t page;
	unsigned int ns;
	char dir[128];
	char text[65536];
};

static int write_in(const char *dir, const char *name, const char *format, ...)
{
	char path[256], text[128];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return shm_write_file(path, text);
}

/* An instance of its own sees this process and its children only, whatever other tests do. */
FIXTURE_SETUP(events)
{
	struct stat st;

	SHM_ENTER(&shm_rust);
	self->page = shm_page_size();
	if (stat(TRACEFS "/instances", &st))
		ASSERT_EQ(0, mount("tracefs", TRACEFS, "tracefs", 0, NULL));
	/* A kernel without IPC namespaces shows 0. */
	self->ns = stat("/proc/self/ns/ipc", &st) ? 0 : st.st_ino;
	snprintf(self->dir, sizeof(self->dir), TRACEFS "/instances/rust_shm-%d", getpid());
	ASSERT_EQ(0, mkdir(self->dir, 0700));
	ASSERT_EQ(0, write_in(self->dir, "set_event_pid", "%d", getpid()));
	ASSERT_EQ(0, write_in(self->dir, "options/event-fork", "1"));
	ASSERT_EQ(0, write_in(self->dir, "events/rust_shm/enable", "1"));
}

FIXTURE_TEARDOWN(events)
{
	EXPECT_EQ(0, write_in(self->dir, "events/rust_shm/enable", "0"));
	EXPECT_EQ(0, rmdir(self->dir));
	SHM_LEAVE(&shm_rust);
}

/* What was seen since the last call: "create ns=1 id=0 ...\n", one after the other. */
static const char *seen(struct _test_data_events *self)
{
	char path[256], line[512];
	size_t length = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/trace", self->dir);
	file = fopen(path, "re");
	self->text[0] = 0;
	while (file && fgets(line, sizeof(line), file)) {
		char *event = line[0] == '#' ? NULL : strstr(line, "rust_shm_");
		char *colon = event ? strstr(event, ": ") : NULL;

		if (!colon)
			continue;
		/* The name of this program ends with none of these. */
		*colon = 0;
		length += snprintf(self->text + length, sizeof(self->text) - length, "%s %s", event + strlen("rust_shm_"), colon + 2);
		if (length >= sizeof(self->text))
			break;
	}
	if (file)
		fclose(file);
	/* This clears it. */
	close(open(path, O_WRONLY | O_TRUNC | O_CLOEXEC));
	return self->text;
}

#define EXPECT_SEEN(...) do { \
	char expected_[4096]; \
	snprintf(expected_, sizeof(expected_), __VA_ARGS__); \
	EXPECT_STREQ(expected_, seen(self)); \
} while (0)

TEST_F(events, a_life)
{
	char *addr;
	int id, status;
	pid_t pid;

	id = shm_rust.get(SHM_KEY, 3 * self->page + 1, IPC_CREAT | 0640);
	ASSERT_LE(0, id);
	EXPECT_SEEN("create ns=%u id=%d key=0x%08x size=%zu mode=0640\n", self->ns, id, SHM_KEY, 3 * self->page + 1);
	/* Finding it is no event. */
	EXPECT_EQ(id, shm_rust.get(SHM_KEY, 0, 0));
	EXPECT_SEEN("%s", "");
	addr = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	/* The call itself counts as one. */
	EXPECT_SEEN("attach ns=%u id=%d attaches=2\n", self->ns, id);
	pid = fork();
	if (pid == 0)
		_exit(0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_SEEN("attach ns=%u id=%d attaches=2\ndetach ns=%u id=%d attaches=1\n", self->ns, id, self->ns, id);
	EXPECT_EQ(0, shm_rust.rmid(id));
	/* It is there until the last detach. */
	EXPECT_SEEN("%s", "");
	EXPECT_EQ(0, shm_rust.detach(addr));
	EXPECT_SEEN("detach ns=%u id=%d attaches=0\nremove ns=%u id=%d size=%zu\n", self->ns, id, self->ns, id, 3 * self->page + 1);
}

TEST_F(events, what_fails_is_none)
{
	EXPECT_ERRNO(EINVAL, shm_rust.get(IPC_PRIVATE, 0, 0600));
	EXPECT_ERRNO(ENOENT, shm_rust.get(SHM_KEY, 1, 0));
	EXPECT_ERRNO(EINVAL, shm_rust.rmid(12345));
	EXPECT_ERRNO(EINVAL, shm_rust.detach((void *)(4 * self->page)));
	EXPECT_SEEN("%s", "");
}

/* The order of the folio that a fault puts there; -1 where another process has done that. */
TEST_F(events, faults)
{
	int id = shm_rust.get(IPC_PRIVATE, SIZE, 0600), small, order, status;
	unsigned long page;
	volatile char *addr;
	char *other;
	pid_t pid;

	addr = shm_rust.attach(id, NULL, 0);
	ASSERT_NE(SHM_FAILED, addr);
	small = shm_rust.get(IPC_PRIVATE, self->page, 0600);
	other = shm_rust.attach(small, NULL, 0);
	ASSERT_NE(SHM_FAILED, other);
	seen(self);

	addr[2 * MIB + self->page] = 1;
	ASSERT_EQ(2, sscanf(seen(self), "fault ns=%*u id=%*u page=%lu order=%d", &page, &order))
		TH_LOG("%s", self->text);
	EXPECT_EQ(2 * MIB / self->page + 1, page);
	if (shm_has_large()) {
		/* Not if memory is in small pieces. */
		EXPECT_LT(0, order);
		EXPECT_GE(9, order);
	} else {
		EXPECT_EQ(0, order);
	}
	/* And no second. */
	EXPECT_EQ(strlen(self->text) - 1, strcspn(self->text, "\n"));
	/* It is mapped. */
	addr[2 * MIB + self->page] = 2;
	EXPECT_SEEN("%s", "");
	other[0] = 1;
	EXPECT_SEEN("fault ns=%u id=%d page=0 order=0\n", self->ns, small);
	pid = fork();
	if (pid == 0) {
		other[0] = 2;
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_NE(NULL, strstr(seen(self), "fault "));
	EXPECT_NE(NULL, strstr(self->text, "page=0 order=-1\n"))
		TH_LOG("%s", self->text);
	EXPECT_EQ(0, shm_rust.rmid(id));
	EXPECT_EQ(0, shm_rust.rmid(small));
}

/* As bpftrace(8) and perf(1) have it. */
TEST_F(events, filters)
{
	int first = shm_rust.get(IPC_PRIVATE, 1, 0600), second = shm_rust.get(IPC_PRIVATE, 2, 0600);
	void *addr;

	ASSERT_EQ(0, write_in(self->dir, "events/rust_shm/rust_shm_attach/filter", "id == %d", second));
	seen(self);
	addr = shm_rust.attach(first, NULL, 0);
	EXPECT_EQ(0, shm_rust.detach(addr));
	EXPECT_SEEN("detach ns=%u id=%d attaches=0\n", self->ns, first);
	addr = shm_rust.attach(second, NULL, 0);
	EXPECT_EQ(0, shm_rust.detach(addr));
	EXPECT_SEEN("attach ns=%u id=%d attaches=2\ndetach ns=%u id=%d attaches=0\n", self->ns, second, self->ns, second);
	ASSERT_EQ(0, write_in(self->dir, "events/rust_shm/rust_shm_attach/filter", "0"));
	EXPECT_EQ(0, shm_rust.rmid(first));
	EXPECT_EQ(0, shm_rust.rmid(second));
}

TEST_HARNESS_MAIN
