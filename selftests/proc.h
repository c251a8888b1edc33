/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers that the kernel gives as text: /proc/meminfo, /proc/PID/status, /proc/vmstat, files of sysfs and of cgroups. */
#ifndef RUST_SHM_SELFTESTS_PROC_H
#define RUST_SHM_SELFTESTS_PROC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "Field:   1234 kB" of /proc/meminfo or /proc/PID/status, in bytes, which may be more than a long of 32 bits holds; -1 if it is not there. */
static inline int64_t proc_bytes(const char *path, const char *field)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(field);
	int64_t bytes = -1;
	char line[256];

	if (!file)
		return -1;
	while (bytes < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, field, len) && line[len] == ':')
			bytes = strtoll(line + len + 1, NULL, 10) * 1024;
	fclose(file);
	return bytes;
}

static inline int64_t meminfo(const char *field)
{
	return proc_bytes("/proc/meminfo", field);
}

/* The number in a file, or the one on the line that starts with "name "; -1 if there is none. */
static inline long number_at(const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	size_t len = name ? strlen(name) : 0;
	char line[256];
	long number = -1;

	if (!file)
		return -1;
	while (number < 0 && fgets(line, sizeof(line), file))
		if (!name || (!strncmp(line, name, len) && line[len] == ' '))
			number = atol(line + len);
	fclose(file);
	return number;
}

static inline long vmstat(const char *name)
{
	return number_at("/proc/vmstat", name);
}

#endif /* RUST_SHM_SELFTESTS_PROC_H */
