/* SPDX-License-Identifier: GPL-2.0 */
/* A cgroup for a test, a child of the root cgroup, with the memory controller. Must be root, in a guest. */
#ifndef RUST_SHM_SELFTESTS_CGROUP_H
#define RUST_SHM_SELFTESTS_CGROUP_H

#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"
#include "shm_backend.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

struct cgroup {
	char path[64];
};

/* The path of one of its files, until the next call. */
static inline const char *cgroup_file(const struct cgroup *cgroup, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", cgroup->path, name);
	return path;
}

static inline int cgroup_write(const struct cgroup *cgroup, const char *name, const char *text)
{
	return shm_write_file(cgroup_file(cgroup, name), text);
}

/* The number in a file, or that of a line in it (number_at()). */
static inline long cgroup_read(const struct cgroup *cgroup, const char *name, const char *field)
{
	return number_at(cgroup_file(cgroup, name), field);
}

/* Creates one with this memory.max, unless that is 0, and unlimited swap. Returns 0, or -1 with errno. */
static inline int cgroup_make(struct cgroup *cgroup, size_t max)
{
	char text[32];

	if (access(CGROUP_ROOT "/cgroup.controllers", F_OK) && mount("cgroup2", CGROUP_ROOT, "cgroup2", 0, NULL))
		return -1;
	snprintf(cgroup->path, sizeof(cgroup->path), CGROUP_ROOT "/rust_shm.%d", getpid());
	if (shm_write_file(CGROUP_ROOT "/cgroup.subtree_control", "+memory") || mkdir(cgroup->path, 0755))
		return -1;
	snprintf(text, sizeof(text), "%zu", max);
	return max ? cgroup_write(cgroup, "memory.max", text) : 0;
}

/* This process enters it. */
static inline int cgroup_enter(const struct cgroup *cgroup)
{
	return cgroup_write(cgroup, "cgroup.procs", "0");
}

/* Removes the cgroup within two seconds: its processes have ended, but may not have left it yet. Returns 0 or -1. */
static inline int cgroup_remove(const struct cgroup *cgroup)
{
	int i;

	for (i = 0; i < 200; i++) {
		if (!rmdir(cgroup->path))
			return 0;
		usleep(10000);
	}
	return -1;
}

#endif /* RUST_SHM_SELFTESTS_CGROUP_H */
