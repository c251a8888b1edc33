/* SPDX-License-Identifier: GPL-2.0 */
/* Loads and unloads the module, and tells what uses it. Must be root; RUST_SHM_KO names its file. */
#ifndef RUST_SHM_SELFTESTS_MODULE_H
#define RUST_SHM_SELFTESTS_MODULE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm_backend.h"

static inline int module_load_with(const char *parameters)
{
	const char *path = getenv("RUST_SHM_KO");
	int fd, result, saved;

	if (!path) {
		errno = ENOENT;
		return -1;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = syscall(SYS_finit_module, fd, parameters, 0);
	saved = errno;
	close(fd);
	errno = saved;
	return result;
}

static inline int module_load(void)
{
	return module_load_with("");
}

static inline int module_unload(void)
{
	return syscall(SYS_delete_module, "rust_shm", O_NONBLOCK);
}

/* References to the module; -1 when it is not loaded. */
static inline int module_references(void)
{
	FILE *file = fopen("/sys/module/rust_shm/refcnt", "re");
	int references = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%d", &references) != 1)
		references = -1;
	fclose(file);
	return references;
}

/* Unloads it within two seconds (more where things are slow): what is freed by RCU or a work item may hold it for a moment. */
static inline int module_unload_soon(void)
{
	int i;

	for (i = 0; i < 200 * (int)shm_slow(); i++) {
		if (!module_unload())
			return 0;
		if (errno != EWOULDBLOCK)
			return -1;
		usleep(10000);
	}
	errno = ETIMEDOUT;
	return -1;
}

static inline int module_settles(int references)
{
	int i;

	for (i = 0; i < 200 * (int)shm_slow() && module_references() != references; i++)
		usleep(10000);
	return module_references();
}

/* The backend keeps a descriptor, which is a use of the module. */
static inline void close_device(void)
{
	close(shm_rust_fd());
	shm_rust_use_fd(-1);
}

/* devtmpfs works in its own time. */
static inline bool device_appears(struct stat *st)
{
	int i;

	for (i = 0; i < 200; i++) {
		if (!stat(RUST_SHM_DEVICE, st))
			return true;
		usleep(10000);
	}
	return false;
}

#endif /* RUST_SHM_SELFTESTS_MODULE_H */
