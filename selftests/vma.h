/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel says about the mappings of a process (maps, smaps), and what an access to them does.
 *
 * Shared by the selftests that look at attaches from the outside. Nothing here knows about segments.
 */
#ifndef RUST_SHM_SELFTESTS_VMA_H
#define RUST_SHM_SELFTESTS_VMA_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proc.h"
#include "shm_backend.h"

#define KIB 1024UL
#define MIB (1024UL * 1024UL)

/* What SHM_RND rounds down to (SHMLBA); for a 32-bit program on arm64 that is COMPAT_SHMLBA. */
static inline size_t shmlba(void)
{
#ifdef __arm__
	return 4 * shm_page_size();
#else
	return shm_page_size();
#endif
}

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* One line of /proc/PID/maps. */
struct vma {
	unsigned long start;
	unsigned long end;
	unsigned long offset;
	unsigned long inode;
	char perms[5];
	char name[256];
};

static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static inline char *at(const void *addr, size_t offset)
{
	return (char *)(uintptr_t)addr + offset;
}

static inline bool vma_parse(const char *line, struct vma *vma)
{
	int name = 0;
	size_t len;

	memset(vma, 0, sizeof(*vma));
	if (sscanf(line, "%lx-%lx %4s %lx %*x:%*x %lu %n", &vma->start, &vma->end, vma->perms, &vma->offset, &vma->inode, &name) < 5)
		return false;
	snprintf(vma->name, sizeof(vma->name), "%s", name ? line + name : "");
	len = strlen(vma->name);
	if (len && vma->name[len - 1] == '\n')
		vma->name[len - 1] = '\0';
	return true;
}

/* Walks the mappings that touch [from, to); fills the first one, and says how many there are. pid 0 is the caller. */
static inline int vma_walk(pid_t pid, const void *from, const void *to, struct vma *first)
{
	char path[64], line[512];
	struct vma vma;
	int count = 0;
	FILE *maps;

	snprintf(path, sizeof(path), pid ? "/proc/%d/maps" : "/proc/self/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return -1;
	while (fgets(line, sizeof(line), maps)) {
		if (!vma_parse(line, &vma))
			continue;
		if (vma.start >= (unsigned long)to || vma.end <= (unsigned long)from)
			continue;
		if (!count++ && first)
			*first = vma;
	}
	fclose(maps);
	return count;
}

/* The mapping that holds addr. */
static inline bool vma_at(const void *addr, struct vma *vma)
{
	return vma_walk(0, addr, at(addr, 1), vma) == 1;
}

static inline bool vma_mapped(const void *addr)
{
	struct vma vma;

	return vma_at(addr, &vma);
}

/* How many mappings lie in [addr, addr + size). */
static inline int vma_count(const void *addr, size_t size)
{
	return vma_walk(0, addr, at(addr, size), NULL);
}

/* Copies what follows "field:" in the smaps entry of the mapping that starts at addr. */
static inline bool vma_smaps(const void *addr, const char *field, char *value, size_t size)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool inside = false, found = false;
	size_t len = strlen(field);
	char line[512];
	struct vma vma;

	if (!smaps)
		return false;
	while (!found && fgets(line, sizeof(line), smaps)) {
		if (vma_parse(line, &vma)) {
			inside = vma.start == (unsigned long)addr;
		} else if (inside && !strncmp(line, field, len) && line[len] == ':') {
			snprintf(value, size, "%s", line + len + 1 + strspn(line + len + 1, " "));
			value[strcspn(value, "\n")] = '\0';
			found = true;
		}
	}
	fclose(smaps);
	return found;
}

/* A field of smaps that is given in kB, in bytes; -1 if it is not there. */
static inline long vma_smaps_bytes(const void *addr, const char *field)
{
	char value[128];

	if (!vma_smaps(addr, field, value, sizeof(value)))
		return -1;
	return atol(value) * 1024;
}

/* How much of the mapping that starts at addr is mapped by PMDs. */
static inline long pmd_mapped(const void *addr)
{
	return vma_smaps_bytes(addr, "ShmemPmdMapped");
}

/* An address range, aligned to 2 MiB, in which nothing is mapped, with 2 MiB of nothing on both sides. */
static inline void *vma_hole(size_t size)
{
	size_t room = size + 3 * HUGE_SIZE;
	void *base = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	munmap(base, room);
	return (void *)(((uintptr_t)base + 2 * HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
}

static sigjmp_buf access_escape;

static inline void access_failed(int sig)
{
	siglongjmp(access_escape, sig);
}

/* Runs one access to addr and says which signal it raised: 0, SIGSEGV or SIGBUS. */
static inline int access_signal(volatile char *addr, void (*access)(volatile char *))
{
	struct sigaction sa = { .sa_handler = access_failed }, segv, bus;
	volatile int sig;

	sigaction(SIGSEGV, &sa, &segv);
	sigaction(SIGBUS, &sa, &bus);
	sig = sigsetjmp(access_escape, 1);
	if (!sig)
		access(addr);
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static inline void access_read(volatile char *addr)
{
	(void)*addr;
}

static inline void access_store(volatile char *addr)
{
	*addr = 1;
}

/* Puts a function at addr that does nothing but return. */
static inline void put_return(char *addr)
{
#if defined(__x86_64__) || defined(__i386__)
	const unsigned char code[] = { 0xc3 };			/* ret */
#elif defined(__aarch64__)
	const unsigned char code[] = { 0xc0, 0x03, 0x5f, 0xd6 };	/* ret */
#elif defined(__arm__)
	const unsigned char code[] = { 0x1e, 0xff, 0x2f, 0xe1 };	/* bx lr */
#else
#error "which instruction returns?"
#endif
	memcpy(addr, code, sizeof(code));
	__builtin___clear_cache(addr, addr + sizeof(code));
}

/* Runs what stands at addr. */
static inline void access_call(volatile char *addr)
{
	((void (*)(void))(uintptr_t)addr)();
}

static inline int read_signal(const void *addr)
{
	return access_signal((volatile char *)(uintptr_t)addr, access_read);
}

static inline int write_signal(const void *addr)
{
	return access_signal((volatile char *)(uintptr_t)addr, access_store);
}

/* A pipe used as a gate between processes: open it once, from any of them. */
struct gate {
	int fd[2];
};

static inline int gate_make(struct gate *gate)
{
	return pipe(gate->fd);
}

static inline void gate_close(struct gate *gate)
{
	close(gate->fd[0]);
	close(gate->fd[1]);
}

static inline void gate_open(struct gate *gate)
{
	if (write(gate->fd[1], "x", 1) != 1)
		abort();
}

static inline void gate_wait(struct gate *gate)
{
	char token;

	while (read(gate->fd[0], &token, 1) != 1)
		if (errno != EINTR)
			abort();
}

/* Fills memory with a pattern of its own for each page and seed, and says whether it still stands there. */
static inline void pattern_fill(void *addr, size_t size, unsigned int seed)
{
	uint32_t *word = addr;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		word[i] = (uint32_t)(i * 2654435761u) ^ seed;
}

static inline bool pattern_stands(const void *addr, size_t size, unsigned int seed)
{
	const uint32_t *word = addr;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		if (word[i] != ((uint32_t)(i * 2654435761u) ^ seed))
			return false;
	return true;
}

#endif /* RUST_SHM_SELFTESTS_VMA_H */
