/* SPDX-License-Identifier: GPL-2.0 */
/* Settings that a test changes and restores: one-line files in sysfs and procfs. */
#ifndef RUST_SHM_SELFTESTS_SETTING_H
#define RUST_SHM_SELFTESTS_SETTING_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shm_backend.h"

/* The setting of huge pages for segments. Both backends accept never, within_size and always. */
static inline const char *huge_setting(const struct shm_backend *shm)
{
	return shm == &shm_rust ? SHM_PARAMETERS "/huge" : "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
}

/* Reads a file's text without its newline; of several choices, the one in brackets. */
static inline bool read_setting(const char *path, char *value, size_t size)
{
	char text[256], *open, *close;
	FILE *file = fopen(path, "re");
	bool got;

	if (!file)
		return false;
	got = fgets(text, sizeof(text), file);
	fclose(file);
	if (!got)
		return false;
	text[strcspn(text, "\n")] = '\0';
	open = strchr(text, '[');
	close = strchr(text, ']');
	if (open && close)
		*close = '\0';
	if (open && close)
		memmove(text, open + 1, strlen(open + 1) + 1);
	if (strlen(text) >= size)
		return false;
	strcpy(value, text);
	return true;
}

/* A changed setting and its previous value. */
struct setting {
	const char *path;
	char old[64];
};

/* Saves the current value and writes another one. Returns 0 or -1. */
static inline int setting_change(struct setting *setting, const char *path, const char *value)
{
	setting->path = path;
	return read_setting(path, setting->old, sizeof(setting->old)) ? shm_write_file(path, value) : -1;
}

/* The same for huge pages. Without them, the kernel has no setting for the built-in, and nothing is changed. */
static inline int huge_change(struct setting *setting, const struct shm_backend *shm, const char *value)
{
	return shm_has_huge() || shm == &shm_rust ? setting_change(setting, huge_setting(shm), value) : 0;
}

static inline void setting_restore(const struct setting *setting)
{
	if (setting->path)
		shm_write_file(setting->path, setting->old);
}

#endif /* RUST_SHM_SELFTESTS_SETTING_H */
