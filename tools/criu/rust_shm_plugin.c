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
#include <unistd.h>

#define DEVICE "/dev/rust_shm"
#define LOG_ERROR 1

enum { DUMP_EXT_FILE = 2, RESTORE_EXT_FILE, HOOKS };

/* CRIU looks for this, by name. */
struct plugin {
	const char *name;
	int (*init)(int stage);
	void (*exit)(int stage, int status);
	unsigned int version, hooks;
	void *hook[HOOKS];
};

int criu_get_image_dir(void);
void print_on_level(unsigned int level, const char *format, ...);

/*
 * Which open file of the device it is does not matter: a call is made for whoever makes it. So nothing is saved of it. Without the
 * script, CRIU would ask the kernel's own for segments, and find none.
 */
static int dump_file(int fd, int id)
{
	struct stat file, device;

	(void)id;
	if (fstat(fd, &file) || !S_ISCHR(file.st_mode) || stat(DEVICE, &device) || file.st_rdev != device.st_rdev)
		return -ENOTSUP;
	if (!faccessat(criu_get_image_dir(), "rust_shm", F_OK, 0))
		return 0;
	print_on_level(LOG_ERROR, "Error (rust_shm): %s is open: --action-script tools/criu/serve is needed\n", DEVICE);
	return -1;
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
