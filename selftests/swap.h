/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Swap on zram, and pages to put there, for tests of reclaim. Must be root, in a guest.
 */
#ifndef RUST_SHM_SELFTESTS_SWAP_H
#define RUST_SHM_SELFTESTS_SWAP_H

#include <sys/swap.h>

#include "cgroup.h"
#include "proc.h"
#include "shm_backend.h"
#include "vma.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/* The zram device added by swap_on(), or -1. */
static int swap_zram = -1;

static inline const char *swap_device(void)
{
	static char path[32];

	snprintf(path, sizeof(path), "/dev/zram%d", swap_zram);
	return path;
}

/* Adds a zram device of this size and enables swap on it. Returns 0 or -1. */
static inline int swap_on(size_t bytes)
{
	static const char magic[] = "SWAPSPACE2";
	/* One page: what mkswap(8) writes. */
	union {
		struct {
			char boot[1024];
			uint32_t version, last_page, bad_pages;
		};
		char bytes[64 * KIB];
	} header = { .version = 1, .last_page = bytes / page_size() - 1 };
	char path[64], text[32];
	ssize_t written;
	int fd;

	if (access("/sys/class/zram-control", F_OK) && system("modprobe zram"))
		return -1;
	swap_zram = number_at("/sys/class/zram-control/hot_add", NULL);
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", swap_zram);
	snprintf(text, sizeof(text), "%zu", bytes);
	if (swap_zram < 0 || shm_write_file(path, text))
		return -1;
	fd = open(swap_device(), O_WRONLY | O_CLOEXEC);
	memcpy(header.bytes + page_size() - strlen(magic), magic, strlen(magic));
	written = write(fd, &header, page_size());
	close(fd);
	return written == (ssize_t)page_size() ? swapon(swap_device(), 0) : -1;
}

/* Disables swap on the device and removes it. What is swapped must fit into memory. Returns 0 or -1. */
static inline int swap_off(void)
{
	char text[16];
	int result;

	if (swap_zram < 0)
		return 0;
	result = swapoff(swap_device());
	snprintf(text, sizeof(text), "%d", swap_zram);
	swap_zram = -1;
	return shm_write_file("/sys/class/zram-control/hot_remove", text) || result ? -1 : 0;
}

/* The columns rss and swap of the table, or -1. */
static inline long in_memory(const struct shm_backend *shm, int id)
{
	struct shm_row row;

	return shm_table_row(shm, id, &row, NULL, 0) ? -1 : (long)row.rss;
}

static inline long swapped(const struct shm_backend *shm, int id)
{
	struct shm_row row;

	return shm_table_row(shm, id, &row, NULL, 0) ? -1 : (long)row.swap;
}

/*
 * Swaps all of it out and returns how much is. MADV_PAGEOUT cannot isolate pages in the LRU batches of other CPUs, which drop_caches drains.
 */
static inline long swap_out(const struct shm_backend *shm, int id, char *addr, size_t size)
{
	int tries;

	for (tries = 0; tries < 20 && swapped(shm, id) < (long)size; tries++) {
		if (tries && shm_write_file("/proc/sys/vm/drop_caches", "1"))
			return -1;
		if (madvise(addr, size, MADV_PAGEOUT))
			return -1;
	}
	return swapped(shm, id);
}

/* A page unlike any other that zram can compress: this many random bytes, repeated. */
#define TEXTURE 64

static inline void texture(uint64_t *words, uint64_t number)
{
	size_t i;

	number = (number + 1) * 0x9e3779b97f4a7c15u;
	for (i = 0; i < TEXTURE / sizeof(*words); i++) {
		number ^= number << 13;
		number ^= number >> 7;
		number ^= number << 17;
		words[i] = number;
	}
}

/* Fills memory with such pages, numbered from first, and checks them. */
static inline void pages_fill(char *addr, size_t size, uint64_t first)
{
	uint64_t words[TEXTURE / sizeof(uint64_t)];
	size_t offset;

	for (offset = 0; offset < size; offset += TEXTURE) {
		if (offset % page_size() == 0)
			texture(words, first++);
		memcpy(addr + offset, words, TEXTURE);
	}
}

static inline bool pages_stand(const char *addr, size_t size, uint64_t first)
{
	uint64_t words[TEXTURE / sizeof(uint64_t)];
	size_t offset;

	for (offset = 0; offset < size; offset += TEXTURE) {
		if (offset % page_size() == 0)
			texture(words, first++);
		if (memcmp(addr + offset, words, TEXTURE))
			return false;
	}
	return true;
}

#endif /* RUST_SHM_SELFTESTS_SWAP_H */
