// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for CRIU: descriptors of /dev/rust_shm, which the libraries open. See Documentation/checkpoint.md.
 *
 *	cc -shared -fPIC -O2 -o rust_shm_plugin.so rust_shm_plugin.c
 *
 * What is here of CRIU's interface (criu-plugin.h, version 0.2) is what this needs: Debian does not package that header.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DEVICE "/dev/rust_shm"

enum { DUMP_EXT_FILE = 2, RESTORE_EXT_FILE, HOOKS };

/* CRIU looks for this, by name. */
struct plugin {
	const char *name;
	int (*init)(int stage);
	void (*exit)(int stage, int status);
	unsigned int version, hooks;
	void *hook[HOOKS];
};

/* Which open file of the device it is does not matter: a call is made for whoever makes it. So nothing is saved of it. */
static int dump_file(int fd, int id)
{
	struct stat file, device;

	(void)id;
	if (fstat(fd, &file) || !S_ISCHR(file.st_mode) || stat(DEVICE, &device) || file.st_rdev != device.st_rdev)
		return -ENOTSUP;
	return 0;
}

static int restore_file(int id)
{
	(void)id;
	return open(DEVICE, O_RDWR | O_CLOEXEC);
}

struct plugin CR_PLUGIN_DESC = {
	.name = "rust_shm",
	.version = 2 << 8,
	.hooks = HOOKS,
	.hook = { [DUMP_EXT_FILE] = dump_file, [RESTORE_EXT_FILE] = restore_file },
};
