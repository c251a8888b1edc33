// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once: many processes do all there is to do, at random, to few segments and keys; then everything is counted, removed,
 * and looked for.
 *
 *	STRESS_SECONDS=10	how long on the module, and longer on a slow machine, until each thing that is tried has worked or had its
 *				turns. From 60 on the built-in has a third of it, which says whether this program is right; below, two
 *				seconds.
 *	STRESS_PROCESSES=16	how many processes
 *	STRESS_SEED=n		a number that decides what is done; only the scheduler comes on top
 *	STRESS_HANG=60		how long a process may do the same thing, in seconds, before it counts as hung; by default times RUST_SHM_SLOW
 *
 * What is done is the list `ops`. Each of them counts how often it worked, how often it was refused for a reason that is allowed, and
 * everything else is a failure, as is a thing that never worked. The processes are killed and started anew all the time. What is
 * written to a segment says which segment and page it belongs to, so that pages that were lost or mixed up are seen.
 *
 * needs: parallel
 */
#include "kselftest_harness.h"

#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "module.h"
#include "shm_backend.h"
#include "vma.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE 4096UL
#define KEYS 8
#define NAMESPACES 2	/* that live as long as the test; others come and go */
#define SEGMENTS 64	/* in each of them, by kernel.shmmni */
#define SLOTS 12	/* attaches that a process keeps */
#define LANES 4		/* places of its address space where it attaches by address */
#define LANE (8 * MIB)
#define WORKERS_MAX 64
#define CELLS 4		/* places in a page where something is written */
#define TURNS 20000	/* of all processes: with so many each thing comes to its turn */

/*
 * A segment of an odd size may have holes punched into it. What is written to any other stays: it must be read again.
 * So the size is known by everybody who sees the segment.
 */
static const size_t sizes[KEYS] = {
	PAGE, 3 * PAGE + 1, 100, 2 * MIB, 2 * MIB + PAGE + 1, 64 * KIB, 4 * MIB, 600 * KIB + 1,
};

/* What a process keeps of an attach. */
struct slot {
	char *addr;	/* NULL: none */
	size_t size;
	int id;
	uint32_t tag;
	int lane;	/* or -1 */
	bool readonly;
	bool torn;	/* parts are unmapped or protected: an access may fail, and so may a detach */
	uint32_t written[8];	/* 1 + a page of this segment that was written */
};

enum op {
	CREATE, FIND, ATTACH, ATTACH_READONLY, ATTACH_AT, ATTACH_REMAP, DETACH, TOUCH, VERIFY, RMID, SET, STAT, STAT_INDEX, STAT_ANY, SHM_INFO_OP,
	IPC_INFO_OP, TABLE, LOCK, UNLOCK, MPROTECT, MUNMAP, MREMAP_MOVE, MREMAP_DUP, REMOVE_PAGES, DONTNEED, HUGEPAGE, NOHUGEPAGE, ADVICE,
	MBIND, MLOCK, THREADS, DETACH_RACE, FORK, FORK_EXIT, FORK_KILL, VFORK_EXEC, FORK_EXEC, NAMESPACE, NAMESPACE_FORCED,
	NAMESPACE_LIMITS, EXIT, KILL, MOVE_MEMORY, OPS,
};

/* What all processes see. */
struct shared {
	bool stop, go_home;
	unsigned int spawned;
	unsigned int turns;	/* of all processes, since the start of the run */
	struct {
		pid_t pid;
		unsigned int progress;	/* grows with each thing that is done */
		int doing;
		bool ready;
	} worker[WORKERS_MAX];
	unsigned int worked[OPS], refused[OPS];
	int ids[NAMESPACES][SEGMENTS];
	unsigned int next_id[NAMESPACES];
	unsigned int failures;
	char failure[20][200];
};

static struct shared *shared;
static const struct shm_backend *shm;
static int namespace_fd[NAMESPACES];
static unsigned int namespaces = NAMESPACES;	/* one where the kernel has but one */

/* This process. */
static unsigned int me, group;
static int *ids;
static int private_ids[SEGMENTS];	/* in a namespace of its own */
static unsigned int private_next;
static struct slot slots[SLOTS];
static char *arena;
static __thread uint64_t random_state;
static __thread sigjmp_buf escape;

static uint32_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

static uint32_t pick(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 20) % below;
}

static void seed_with(uint64_t seed)
{
	random_state = ((uint64_t)mix(seed) << 32 | mix(seed + 1)) | 1;
}

__attribute__((format(printf, 1, 2))) static void failure(const char *format, ...)
{
	unsigned int n = __atomic_fetch_add(&shared->failures, 1, __ATOMIC_SEQ_CST);
	va_list args;

	if (n >= ARRAY_SIZE(shared->failure))
		return;
	va_start(args, format);
	vsnprintf(shared->failure[n], sizeof(shared->failure[n]), format, args);
	va_end(args);
}

static void moved_on(void)
{
	__atomic_fetch_add(&shared->worker[me].progress, 1, __ATOMIC_RELAXED);
}

static bool stopping(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST);
}

/* Whether a call worked; when it did not, whether it had one of these reasons (a list that ends with 0). */
static int answer(const char *what, bool good, ...)
{
	int saved = errno, allowed;
	va_list args;

	if (good)
		return 1;
	va_start(args, good);
	while ((allowed = va_arg(args, int)))
		if (saved == allowed)
			break;
	va_end(args);
	if (!allowed)
		failure("%s: %s", what, strerror(saved));
	return 0;
}

/*
 * Segments. Ids are not used again as long as this runs: a sequence number takes ages to go round. So an id, and the namespace that it is
 * in, say which segment it is.
 */

static void remember(int id)
{
	unsigned int n = ids == private_ids ? private_next++ : __atomic_fetch_add(&shared->next_id[group], 1, __ATOMIC_RELAXED);

	__atomic_store_n(&ids[n % SEGMENTS], id, __ATOMIC_RELAXED);
}

static int some_id(void)
{
	return __atomic_load_n(&ids[pick(SEGMENTS)], __ATOMIC_RELAXED);
}

static size_t pages_of(const struct slot *slot)
{
	return (slot->size + PAGE - 1) / PAGE;
}

static bool may_have_holes(const struct slot *slot)
{
	return slot->size & 1;
}

static struct slot *some_slot_with(bool (*good)(const struct slot *slot))
{
	unsigned int from = pick(SLOTS), i;

	for (i = 0; i < SLOTS; i++) {
		struct slot *slot = &slots[(from + i) % SLOTS];

		if (slot->addr && good(slot))
			return slot;
	}
	return NULL;
}

static bool is_any(const struct slot *slot)
{
	return slot;
}

static bool is_whole(const struct slot *slot)
{
	return !slot->torn;
}

static bool is_aside(const struct slot *slot)
{
	return slot->lane < 0;
}

static bool is_whole_and_aside(const struct slot *slot)
{
	return !slot->torn && slot->lane < 0;
}

static bool may_be_punched(const struct slot *slot)
{
	return !slot->torn && !slot->readonly && may_have_holes(slot);
}

static struct slot *some_slot(void)
{
	return some_slot_with(is_any);
}

static struct slot *free_slot(void)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (!slots[i].addr)
			return &slots[i];
	return NULL;
}

/* Fills in a slot for an attach that was just made. It is attached, so it can be asked. */
static bool attached(struct slot *slot, char *addr, int id, bool readonly, int lane)
{
	struct rust_shm_stat stat;
	unsigned int i;

	if (shm->stat(id, &stat)) {
		failure("stat of %d, which is attached: %s", id, strerror(errno));
		return false;
	}
	for (i = 0; i < KEYS && sizes[i] != stat.segsz; i++)
		;
	if (i == KEYS || !stat.nattch) {
		failure("segment %d is attached, and has size %llu and %llu attaches", id, (unsigned long long)stat.segsz,
			(unsigned long long)stat.nattch);
		return false;
	}
	*slot = (struct slot) {
		.addr = addr, .size = stat.segsz, .id = id, .tag = mix((uint64_t)id << 8 | group), .lane = lane, .readonly = readonly,
	};
	return true;
}

/* Nothing may be mapped in a lane by accident: the next attach with SHM_REMAP would throw it out. */
static bool reserve(char *addr, size_t size)
{
	return mmap(addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == addr;
}

/* What is left of its lane. */
static bool reserve_around(const struct slot *slot)
{
	char *lane = arena + slot->lane * LANE, *end = slot->addr + pages_of(slot) * PAGE;

	if ((slot->addr == lane || reserve(lane, slot->addr - lane)) && reserve(end, lane + LANE - end))
		return true;
	failure("cannot reserve a lane: %s", strerror(errno));
	return false;
}

static int let_go(struct slot *slot)
{
	int worked = answer("detach", !shm->detach(slot->addr), slot->torn ? EINVAL : 0, 0);

	if (slot->lane >= 0 && !reserve(arena + slot->lane * LANE, LANE))
		failure("cannot reserve a lane: %s", strerror(errno));
	slot->addr = NULL;
	return worked;
}

/*
 * Memory. What is written to a cell is never 0; what was punched is.
 */

static void on_fault(int sig)
{
	siglongjmp(escape, sig);
}

static volatile uint32_t *cell_of(const struct slot *slot, uint32_t page, uint32_t cell)
{
	size_t at = page * PAGE + cell * (PAGE / CELLS) + (cell ? 4 * (slot->tag % 200) : 0);

	return (volatile uint32_t *)(uintptr_t)(slot->addr + at);
}

static uint32_t content(const struct slot *slot, uint32_t page, uint32_t cell)
{
	return mix((uint64_t)slot->tag << 32 | page << 4 | cell) | 1;
}

/* 0, or the signal that the access raised. */
static int load(volatile uint32_t *cell, uint32_t *value)
{
	int sig = sigsetjmp(escape, 0);

	if (!sig)
		*value = *cell;
	return sig;
}

static int store(volatile uint32_t *cell, uint32_t value)
{
	int sig = sigsetjmp(escape, 0);

	if (!sig)
		*cell = value;
	return sig;
}

static void faulted(const struct slot *slot, const char *what, uint32_t page, int sig)
{
	if (sig == SIGSEGV && slot->torn)
		return;
	failure("%s of page %u of segment %d (%zu bytes at %p%s%s): signal %d", what, page, slot->id, slot->size, slot->addr,
		slot->readonly ? ", read-only" : "", slot->torn ? ", torn" : "", sig);
}

/* Says what is in the segment, and what is mapped here: whether pages are mixed up, or mappings. */
static void wrong_content(const struct slot *slot, uint32_t page, uint32_t cell, uint32_t value)
{
	char *fresh = shm->attach(slot->id, NULL, SHM_RDONLY);
	volatile uint32_t *there = cell_of(slot, page, cell);
	uint32_t now_here = 0, now_there = 0;
	struct vma vma = {};

	load(there, &now_here);
	if (fresh != SHM_FAILED) {
		load((volatile uint32_t *)(uintptr_t)(fresh + ((char *)(uintptr_t)there - slot->addr)), &now_there);
		shm->detach(fresh);
	}
	vma_at((char *)(uintptr_t)there, &vma);
	failure("segment %d (%zu bytes, namespace %u), page %u, cell %u: %08x, not %08x; now %08x, in a new attach %08x; mapped is %.16s %lu",
		slot->id, slot->size, group, page, cell, value, content(slot, page, cell), now_here, now_there, vma.name, vma.inode);
}

static bool check_page(const struct slot *slot, uint32_t page, bool must_be_there)
{
	uint32_t cell, value;
	int sig;

	for (cell = 0; cell < CELLS; cell++) {
		sig = load(cell_of(slot, page, cell), &value);
		if (sig) {
			faulted(slot, "read", page, sig);
			return false;
		}
		if (value == content(slot, page, cell) || (!value && !must_be_there))
			continue;
		wrong_content(slot, page, cell, value);
		return false;
	}
	return true;
}

static bool write_page(struct slot *slot, uint32_t page)
{
	uint32_t cell;
	int sig;

	for (cell = 0; cell < CELLS; cell++) {
		sig = store(cell_of(slot, page, cell), content(slot, page, cell));
		if (sig) {
			faulted(slot, "write", page, sig);
			return false;
		}
	}
	slot->written[pick(ARRAY_SIZE(slot->written))] = page + 1;
	return true;
}

static bool verify(const struct slot *slot)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(slot->written); i++)
		if (slot->written[i] && !check_page(slot, slot->written[i] - 1, !may_have_holes(slot)))
			return false;
	return true;
}

static bool touch(struct slot *slot, unsigned int count)
{
	while (count--) {
		uint32_t page = pick(pages_of(slot));

		if (!check_page(slot, page, false))
			return false;
		if (!slot->readonly && !write_page(slot, page))
			return false;
	}
	return true;
}

/* Some whole pages of an attach. */
static void some_part(const struct slot *slot, char **addr, size_t *size)
{
	uint32_t first = pick(pages_of(slot));

	*addr = slot->addr + first * PAGE;
	*size = (1 + pick(pages_of(slot) - first)) * PAGE;
}

/*
 * What is done: 1 when it worked, 0 when it was refused, -1 when there was nothing to do it to.
 */

static int do_create(void)
{
	unsigned int i = pick(KEYS);
	int id = shm->get(pick(3) ? SHM_KEY + (int)i : IPC_PRIVATE, sizes[i], IPC_CREAT | (pick(2) ? IPC_EXCL : 0) | 0600);

	if (id >= 0)
		remember(id);
	return answer("create", id >= 0, EEXIST, ENOSPC, 0);
}

static int do_find(void)
{
	unsigned int i = pick(KEYS);
	int id = shm->get(SHM_KEY + i, pick(2) ? 0 : sizes[i], pick(2) ? 0 : 0600);
	struct rust_shm_stat stat;

	if (id >= 0) {
		remember(id);
		/* It may be removed meanwhile, and nothing else. */
		if (!shm->stat(id, &stat)) {
			if (stat.segsz != sizes[i] || (stat.key != SHM_KEY + (int)i && stat.key != IPC_PRIVATE))
				failure("key %u finds segment %d, which has key %d and size %llu", i, id, stat.key,
					(unsigned long long)stat.segsz);
		} else {
			answer("stat of what was found", false, EINVAL, EIDRM, 0);
		}
	}
	return answer("find", id >= 0, ENOENT, 0);
}

static int attach_somewhere(bool readonly)
{
	struct slot *slot = free_slot();
	int id = some_id();
	char *addr;

	if (!slot)
		return -1;
	addr = shm->attach(id, NULL, (readonly ? SHM_RDONLY : 0) | (pick(8) ? 0 : SHM_EXEC));
	if (addr == SHM_FAILED)
		return answer("attach", false, EINVAL, EIDRM, 0);
	if (!attached(slot, addr, id, readonly, -1))
		return 0;
	touch(slot, 2);
	return 1;
}

static int do_attach(void)
{
	return attach_somewhere(false);
}

static int do_attach_readonly(void)
{
	return attach_somewhere(true);
}

static int attach_in_a_lane(bool remap)
{
	int lane = pick(LANES), id = some_id(), flags = remap ? SHM_REMAP : 0;
	char *place = arena + lane * LANE + (pick(2) ? 0 : pick(100) * PAGE), *addr;
	struct slot *slot = NULL;
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (slots[i].addr && slots[i].lane == lane)
			slot = &slots[i];
	if (!slot)
		slot = free_slot();
	if (!slot)
		return -1;
	if (!remap && pick(4)) {
		/* What is mapped there is in the way. */
		addr = shm->attach(id, place, 0);
		if (addr != SHM_FAILED) {
			failure("attach at %p, where something is mapped, gives %p", place, addr);
			return 0;
		}
		answer("attach at an address", false, EINVAL, EIDRM, 0);
	}
	/* The lane's segment goes, or is replaced. */
	if (!remap || slot->addr)
		munmap(arena + lane * LANE, LANE);
	slot->addr = NULL;
	if (remap && !reserve(arena + lane * LANE, LANE))
		failure("cannot reserve a lane: %s", strerror(errno));
	if (pick(2)) {
		place += 1 + pick(PAGE - 1);
		flags |= SHM_RND;
	}
	addr = shm->attach(id, place, flags);
	if (addr == SHM_FAILED) {
		answer("attach in a lane", false, EINVAL, EIDRM, 0);
		if (!reserve(arena + lane * LANE, LANE))
			failure("cannot reserve a lane: %s", strerror(errno));
		return 0;
	}
	if (addr != (char *)((uintptr_t)place & ~(PAGE - 1)))
		failure("attach at %p gives %p", place, addr);
	if (!attached(slot, addr, id, false, lane) || !reserve_around(slot))
		return 0;
	touch(slot, 2);
	return 1;
}

static int do_attach_at(void)
{
	return attach_in_a_lane(false);
}

/* Over an attach that is there, or over what reserves the lane. */
static int do_attach_remap(void)
{
	struct slot *slot = some_slot();
	int id = some_id();
	char *addr;

	if (!slot || slot->lane < 0 || slot->torn)
		return attach_in_a_lane(true);
	addr = shm->attach(id, slot->addr, SHM_REMAP);
	if (addr == SHM_FAILED) {
		/* What was there may be gone. */
		slot->torn = true;
		return answer("attach over another", false, EINVAL, EIDRM, 0);
	}
	if (addr != slot->addr)
		failure("attach over %p gives %p", slot->addr, addr);
	/* What sticks out of the one that was there is of no use to us. */
	if (!attached(slot, addr, id, false, slot->lane) || !reserve_around(slot))
		return 0;
	touch(slot, 2);
	return 1;
}

static int do_detach(void)
{
	struct slot *slot = some_slot();

	return slot ? let_go(slot) : -1;
}

static int do_touch(void)
{
	struct slot *slot = some_slot();
	uint32_t value;

	if (!slot)
		return -1;
	/* Nobody writes to a read-only attach, not even after asking for it. */
	if (slot->readonly && !slot->torn && !pick(8)) {
		if (!store(cell_of(slot, 0, 0), content(slot, 0, 0)))
			failure("a read-only attach was written to");
		if (!mprotect(slot->addr, PAGE, PROT_READ | PROT_WRITE))
			failure("a read-only attach was made writable");
	}
	/* The rest of the last page is there, too; who knows what is in it. */
	if (!slot->torn && load((volatile uint32_t *)(uintptr_t)(slot->addr + pages_of(slot) * PAGE - 4), &value))
		failure("the last word of segment %d cannot be read", slot->id);
	return touch(slot, 1 + pick(16));
}

static int do_verify(void)
{
	struct slot *slot = some_slot();

	if (!slot)
		return -1;
	if (!slot->torn && !pick(4)) {
		uint32_t page;

		for (page = 0; page < pages_of(slot); page++)
			if (!check_page(slot, page, false))
				return 0;
	}
	return verify(slot);
}

static int do_rmid(void)
{
	return answer("RMID", !shm->rmid(some_id()), EINVAL, 0);
}

static int do_set(void)
{
	return answer("IPC_SET", !shm->set(some_id(), pick(3), pick(3), 0600 | pick(0200)), EINVAL, 0);
}

static void plausible(const struct rust_shm_stat *stat)
{
	unsigned int i;

	for (i = 0; i < KEYS && sizes[i] != stat->segsz; i++)
		;
	if (i == KEYS || stat->rss > (stat->segsz + PAGE - 1) / PAGE * PAGE || stat->huge > stat->rss ||
	    ((stat->mode & SHM_DEST) && stat->key))
		failure("a segment has size %llu, rss %llu, huge %llu, mode %o, key %x", (unsigned long long)stat->segsz,
			(unsigned long long)stat->rss, (unsigned long long)stat->huge, stat->mode, stat->key);
}

static int do_stat(void)
{
	struct rust_shm_stat stat;
	bool good = !shm->stat(some_id(), &stat);

	if (good)
		plausible(&stat);
	return answer("IPC_STAT", good, EINVAL, EIDRM, 0);
}

/* Any, or that of a segment that somebody has had: the lower bits of its id. */
static int some_index(void)
{
	return pick(2) ? pick(2 * SEGMENTS) : some_id() & 0x7fff;
}

static int do_stat_index(void)
{
	struct rust_shm_stat stat;
	int id = shm->stat_index(some_index(), &stat);

	if (id >= 0) {
		plausible(&stat);
		/* Its maker may be dead, and everybody else have forgotten it: then nobody would remove it. */
		remember(id);
	}
	return answer("SHM_STAT", id >= 0, EINVAL, EIDRM, 0);
}

static int do_stat_any(void)
{
	struct rust_shm_stat stat;
	bool good = shm->stat_any(some_index(), &stat) >= 0;

	if (good)
		plausible(&stat);
	return answer("SHM_STAT_ANY", good, EINVAL, EIDRM, 0);
}

static int do_shm_info(void)
{
	struct rust_shm_usage usage;
	bool good = shm->shm_info(&usage) >= 0;

	if (good && (usage.used_ids > SEGMENTS || usage.shm_rss > usage.shm_tot + SEGMENTS * 4 * MIB / PAGE))
		failure("SHM_INFO: %u ids, %llu pages, %llu resident", usage.used_ids, (unsigned long long)usage.shm_tot,
			(unsigned long long)usage.shm_rss);
	return answer("SHM_INFO", good, 0);
}

static int do_ipc_info(void)
{
	struct rust_shm_limits limits;

	return answer("IPC_INFO", shm->ipc_info(&limits) >= 0, 0);
}

static int do_table(void)
{
	char line[512];
	int rows = 0, last = -1, id;
	FILE *file = fopen(shm->table, "re");

	if (!file)
		return answer("opening the table", false, 0);
	if (!fgets(line, sizeof(line), file)) {
		failure("the table has no header");
	} else {
		while (fgets(line, sizeof(line), file)) {
			if (sscanf(line, "%*d %d", &id) != 1)
				failure("a row of the table: %.80s", line);
			else if (id == last)
				failure("segment %d is in the table twice", id);
			last = id;
			rows++;
		}
	}
	fclose(file);
	return rows > 0;
}

static int do_lock(void)
{
	return answer("SHM_LOCK", !shm->ctl(some_id(), SHM_LOCK, NULL), EINVAL, EIDRM, 0);
}

static int do_unlock(void)
{
	return answer("SHM_UNLOCK", !shm->ctl(some_id(), SHM_UNLOCK, NULL), EINVAL, EIDRM, 0);
}

static int do_mprotect(void)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };
	struct slot *slot = some_slot_with(is_whole);
	char *addr;
	size_t size;

	/* Not one with parts unmapped: what reserves their place would become readable, and be taken for the segment. */
	if (!slot)
		return -1;
	if (pick(2)) {
		/* There and back: nothing is lost by it. */
		some_part(slot, &addr, &size);
		if (mprotect(addr, size, prots[pick(2)]))
			return answer("mprotect", false, 0);
		return answer("mprotect back", !mprotect(addr, size, PROT_READ | (slot->readonly ? 0 : PROT_WRITE)), 0);
	}
	some_part(slot, &addr, &size);
	slot->torn = true;
	return answer("mprotect", !mprotect(addr, size, prots[pick(slot->readonly ? 2 : 3)]), ENOMEM, 0);
}

static int do_munmap(void)
{
	struct slot *slot = some_slot_with(is_aside);
	char *addr;
	size_t size;

	/* In a lane SHM_REMAP does the same. */
	if (!slot)
		return -1;
	some_part(slot, &addr, &size);
	if (munmap(addr, size))
		return answer("munmap", false, 0);
	slot->torn = true;
	/* What is mapped there next would be taken for a part of it. */
	if (!reserve(addr, size))
		failure("cannot reserve a part: %s", strerror(errno));
	return 1;
}

static int do_mremap_move(void)
{
	struct slot *slot = some_slot_with(is_whole_and_aside);
	size_t size;
	char *addr;

	if (!slot)
		return -1;
	size = pages_of(slot) * PAGE;
	/* Two megabytes more for another alignment. */
	addr = mmap(NULL, size + 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (addr == MAP_FAILED)
		return answer("mmap", false, 0);
	munmap(addr, size + 2 * MIB);
	addr += pick(2) ? 0 : pick(512) * PAGE;
	addr = mremap(slot->addr, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr);
	if (addr == MAP_FAILED) {
		/* mlock or mbind of a part has made several mappings of it, and who knows how many of them have moved. */
		answer("mremap", false, EFAULT, 0);
		shm->detach(slot->addr);
		slot->addr = NULL;
		return 0;
	}
	slot->addr = addr;
	return verify(slot);
}

static int do_mremap_dup(void)
{
	struct slot *slot = some_slot_with(is_whole), *other = free_slot();
	char *addr;

	if (!slot || !other)
		return -1;
	addr = mremap(slot->addr, 0, pages_of(slot) * PAGE, MREMAP_MAYMOVE);
	/* mlock and mbind of a part have made several mappings of it. */
	if (addr == MAP_FAILED)
		return answer("mremap of nothing", false, EFAULT, 0);
	*other = *slot;
	other->addr = addr;
	other->lane = -1;
	return verify(other);
}

static int advise(int advice)
{
	struct slot *slot = some_slot_with(is_whole);
	char *addr;
	size_t size;

	if (!slot)
		return -1;
	some_part(slot, &addr, &size);
	/* A part may be locked, or not writable. */
	return answer("madvise", !madvise(addr, size, advice), EINVAL, EACCES, EFAULT, 0) && verify(slot);
}

static int do_remove_pages(void)
{
	struct slot *slot = some_slot_with(may_be_punched);
	char *addr;
	size_t size;

	if (!slot)
		return -1;
	some_part(slot, &addr, &size);
	return answer("MADV_REMOVE", !madvise(addr, size, MADV_REMOVE), EINVAL, 0) && verify(slot);
}

static int do_dontneed(void)
{
	return advise(MADV_DONTNEED);
}

static int do_hugepage(void)
{
	return advise(MADV_HUGEPAGE);
}

static int do_nohugepage(void)
{
	return advise(MADV_NOHUGEPAGE);
}

static int do_advice(void)
{
	static const int advice[] = { MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTDUMP,
				      MADV_DODUMP, MADV_RANDOM, MADV_NORMAL };

	return advise(advice[pick(ARRAY_SIZE(advice))]);
}

static int do_mbind(void)
{
	static const int modes[] = { MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE };
	struct slot *slot = some_slot_with(is_whole);
	unsigned long nodes[2] = { 1, 0 };
	int mode = modes[pick(ARRAY_SIZE(modes))];
	char *addr;
	size_t size;

	if (!slot)
		return -1;
	some_part(slot, &addr, &size);
	if (mode == MPOL_DEFAULT)
		nodes[0] = 0;
	/* EIO: a page that was to be moved was in use. */
	return answer("mbind", !syscall(SYS_mbind, addr, size, mode, nodes, 33, pick(2) ? MPOL_MF_MOVE : 0), EIO, 0) && verify(slot);
}

static int do_mlock(void)
{
	struct slot *slot = some_slot_with(is_whole);
	char *addr;
	size_t size;

	if (!slot)
		return -1;
	some_part(slot, &addr, &size);
	if (pick(3))
		return answer("munlock", !munlock(addr, size), 0);
	return answer("mlock", !mlock(addr, size), EAGAIN, 0) && verify(slot);
}

/* Threads of one address space, each with attaches of its own. */
static void *thread_attaches(void *arg)
{
	struct slot mine[3] = {};
	unsigned int i, round;
	char *addr;
	int id;

	seed_with((uintptr_t)arg);
	for (round = 0; round < 10 && !stopping(); round++) {
		struct slot *slot = &mine[pick(ARRAY_SIZE(mine))];

		if (slot->addr) {
			touch(slot, 2);
			answer("detach in a thread", !shm->detach(slot->addr), 0);
			slot->addr = NULL;
			continue;
		}
		id = some_id();
		addr = shm->attach(id, NULL, 0);
		if (addr == SHM_FAILED)
			answer("attach in a thread", false, EINVAL, EIDRM, 0);
		else if (attached(slot, addr, id, false, -1))
			touch(slot, 2);
	}
	for (i = 0; i < ARRAY_SIZE(mine); i++) {
		if (mine[i].addr) {
			verify(&mine[i]);
			answer("detach in a thread", !shm->detach(mine[i].addr), 0);
		}
	}
	return NULL;
}

static int do_threads(void)
{
	unsigned int count = 2 + pick(3), i;
	pthread_t threads[4];

	for (i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, thread_attaches, (void *)(uintptr_t)pick(1 << 30))) {
			failure("no thread to be had");
			break;
		}
	}
	while (i)
		pthread_join(threads[--i], NULL);
	return 1;
}

static void *thread_detaches(void *arg)
{
	return (void *)(intptr_t)shm->detach(arg);
}

/* Two threads detach the same: one of them has done it. */
static int do_detach_race(void)
{
	struct slot *slot = some_slot_with(is_whole_and_aside);
	void *other = (void *)-1;
	pthread_t thread;
	int mine;

	if (!slot)
		return -1;
	if (pthread_create(&thread, NULL, thread_detaches, slot->addr)) {
		failure("no thread to be had");
		return 0;
	}
	mine = shm->detach(slot->addr);
	pthread_join(thread, &other);
	slot->addr = NULL;
	if ((mine == 0) == (other == NULL))
		failure("of two threads that detach the same, %s succeeded", mine ? "none" : "both");
	return 1;
}

/* Children. None outlives its parent, and every end is looked at. */
static pid_t child_begin(void)
{
	uint32_t seed = pick(1U << 31);
	pid_t pid = fork();

	if (pid < 0)
		failure("fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		seed_with(seed);
	}
	return pid;
}

static int child_end(const char *what, pid_t pid, bool may_be_killed)
{
	int status = shm_wait(pid);

	if (status && !(may_be_killed && status == 256 + SIGKILL))
		failure("%s: the child ended with %d", what, status);
	return status >= 0;
}

/* What parent and child have in common stays when the child takes part of it away for itself. */
static void in_a_child(unsigned int rounds)
{
	static int (*const things[])(void) = { do_detach, do_touch, do_verify, do_attach, do_munmap, do_mprotect, do_mremap_move,
					       do_attach_remap, do_rmid, do_create };

	while (rounds-- && !stopping()) {
		things[pick(ARRAY_SIZE(things))]();
		moved_on();
	}
}

static int do_fork(void)
{
	unsigned int i;
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		in_a_child(1 + pick(6));
		for (i = 0; i < SLOTS; i++)
			if (slots[i].addr && pick(2))
				let_go(&slots[i]);
		_exit(0);
	}
	if (pick(2))
		do_touch();
	return child_end("fork", pid, false);
}

/* With whatever it is attached to. */
static int do_fork_exit(void)
{
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		in_a_child(pick(4));
		_exit(0);
	}
	return child_end("exit", pid, false);
}

static int do_fork_kill(void)
{
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		/* Whoever is to kill it may be killed first. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == shared->worker[me].pid) {
			in_a_child(1000);
			usleep(1000);
		}
		_exit(0);
	}
	usleep(pick(3000));
	kill(pid, SIGKILL);
	return child_end("kill", pid, true);
}

static int do_vfork_exec(void)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	return pid < 0 ? answer("vfork", false, 0) : child_end("vfork and exec", pid, false);
}

static int do_fork_exec(void)
{
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	return child_end("exec", pid, false);
}

static int go_to(unsigned int namespace)
{
	return namespaces > 1 ? setns(namespace_fd[namespace], CLONE_NEWIPC) : 0;
}

/* In a child: a namespace of its own, which ends with it. What it inherits stays attached to the old one. */
static bool enter_own_namespace(void)
{
	if (unshare(CLONE_NEWIPC)) {
		failure("unshare: %s", strerror(errno));
		return false;
	}
	group = 1000 + pick(1000000);
	ids = private_ids;
	memset(private_ids, 0, sizeof(private_ids));
	return true;
}

static int do_namespace(void)
{
	bool killed = !pick(3);
	unsigned int i;
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		/* Slots of the old namespace know their tag; only what is new belongs to the new one. */
		if (!enter_own_namespace())
			_exit(1);
		for (i = 0; i < 4; i++)
			do_create();
		in_a_child(2 + pick(10));
		do_shm_info();
		if (pick(2))
			do_table();
		if (killed)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	return child_end("namespace", pid, killed);
}

/* kernel.shm_rmid_forced: what nobody is attached to goes with its creator, or when the setting is made. */
static int do_namespace_forced(void)
{
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		struct rust_shm_stat stat;
		int pipefd[2], before, id = -1;
		bool gone;
		pid_t creator;

		if (!enter_own_namespace())
			_exit(1);
		if (pipe(pipefd))
			_exit(2);
		before = pick(2);
		if (before && shm_sysctl_write("shm_rmid_forced", 1))
			_exit(3);
		creator = fork();
		if (creator < 0)
			_exit(4);
		if (!creator) {
			id = shm->get(pick(2) ? SHM_KEY : IPC_PRIVATE, sizes[pick(KEYS)], IPC_CREAT | 0600);
			if (id >= 0 && pick(2)) {
				char *addr = shm->attach(id, NULL, 0);

				if (addr == SHM_FAILED)
					_exit(1);
				addr[0] = 1;
			}
			_exit(write(pipefd[1], &id, sizeof(id)) != sizeof(id));
		}
		if (shm_wait(creator) || read(pipefd[0], &id, sizeof(id)) != sizeof(id) || id < 0)
			_exit(5);
		if (!before && shm_sysctl_write("shm_rmid_forced", 1))
			_exit(6);
		gone = shm->stat(id, &stat) < 0 && (errno == EINVAL || errno == EIDRM);
		if (pick(2) && shm_sysctl_write("shm_rmid_forced", 0))
			_exit(7);
		_exit(gone ? 0 : 42);
	}
	switch (shm_wait(pid)) {
	case 0:
		return 1;
	case 42:
		return 0;
	default:
		failure("a child with shm_rmid_forced did not do well");
		return 0;
	}
}

/* kernel.shmmni and kernel.shmall, changed while segments are made. */
static int do_namespace_limits(void)
{
	pid_t pid = child_begin();

	if (pid < 0)
		return 0;
	if (!pid) {
		int i;

		if (!enter_own_namespace() || shm_sysctl_write("shmmni", 2))
			_exit(1);
		for (i = 0; i < 2; i++)
			if (shm->get(IPC_PRIVATE, PAGE, 0600) < 0)
				_exit(2);
		if (shm->get(IPC_PRIVATE, PAGE, 0600) >= 0 || errno != ENOSPC)
			_exit(3);
		if (shm_sysctl_write("shmmni", 100) || shm_sysctl_write("shmall", 4))
			_exit(4);
		if (shm->get(IPC_PRIVATE, 3 * PAGE, 0600) >= 0 || errno != ENOSPC)
			_exit(5);
		if (shm->get(IPC_PRIVATE, 2 * PAGE, 0600) < 0)
			_exit(6);
		if (shm_sysctl_write("shmall", 1 << 20))
			_exit(7);
		in_a_child(4);
		_exit(0);
	}
	return child_end("limits", pid, false);
}

static int do_exit(void)
{
	__atomic_fetch_add(&shared->worked[EXIT], 1, __ATOMIC_RELAXED);
	_exit(0);
}

/* How often each comes, relative to the others; those without a function are done by the parent. A new one is a line here and above. */
static const struct {
	const char *name;
	int (*function)(void);
	unsigned int weight;
} ops[OPS] = {
	[CREATE] = { "create", do_create, 30 },
	[FIND] = { "find", do_find, 20 },
	[ATTACH] = { "attach", do_attach, 40 },
	[ATTACH_READONLY] = { "attach read-only", do_attach_readonly, 10 },
	[ATTACH_AT] = { "attach at an address", do_attach_at, 8 },
	[ATTACH_REMAP] = { "attach with SHM_REMAP", do_attach_remap, 8 },
	[DETACH] = { "detach", do_detach, 60 },
	[TOUCH] = { "touch", do_touch, 60 },
	[VERIFY] = { "verify", do_verify, 40 },
	[RMID] = { "IPC_RMID", do_rmid, 20 },
	[SET] = { "IPC_SET", do_set, 10 },
	[STAT] = { "IPC_STAT", do_stat, 10 },
	[STAT_INDEX] = { "SHM_STAT", do_stat_index, 10 },
	[STAT_ANY] = { "SHM_STAT_ANY", do_stat_any, 10 },
	[SHM_INFO_OP] = { "SHM_INFO", do_shm_info, 10 },
	[IPC_INFO_OP] = { "IPC_INFO", do_ipc_info, 4 },
	[TABLE] = { "table", do_table, 6 },
	[LOCK] = { "SHM_LOCK", do_lock, 6 },
	[UNLOCK] = { "SHM_UNLOCK", do_unlock, 6 },
	[MPROTECT] = { "mprotect", do_mprotect, 8 },
	[MUNMAP] = { "munmap of a part", do_munmap, 8 },
	[MREMAP_MOVE] = { "mremap to elsewhere", do_mremap_move, 6 },
	[MREMAP_DUP] = { "mremap to twice", do_mremap_dup, 4 },
	[REMOVE_PAGES] = { "MADV_REMOVE", do_remove_pages, 10 },
	[DONTNEED] = { "MADV_DONTNEED", do_dontneed, 6 },
	[HUGEPAGE] = { "MADV_HUGEPAGE", do_hugepage, 4 },
	[NOHUGEPAGE] = { "MADV_NOHUGEPAGE", do_nohugepage, 4 },
	[ADVICE] = { "other advice", do_advice, 6 },
	[MBIND] = { "mbind", do_mbind, 6 },
	[MLOCK] = { "mlock, munlock", do_mlock, 6 },
	[THREADS] = { "threads", do_threads, 4 },
	[DETACH_RACE] = { "detach by two", do_detach_race, 4 },
	[FORK] = { "fork", do_fork, 4 },
	[FORK_EXIT] = { "fork, exit attached", do_fork_exit, 4 },
	[FORK_KILL] = { "fork, kill -9", do_fork_kill, 4 },
	[VFORK_EXEC] = { "vfork, exec", do_vfork_exec, 2 },
	[FORK_EXEC] = { "fork, exec", do_fork_exec, 2 },
	[NAMESPACE] = { "namespace that ends", do_namespace, 4 },
	[NAMESPACE_FORCED] = { "shm_rmid_forced", do_namespace_forced, 3 },
	[NAMESPACE_LIMITS] = { "shmmni, shmall", do_namespace_limits, 3 },
	[EXIT] = { "exit of a process", do_exit, 2 },
	[KILL] = { "kill -9 of a process", NULL, 0 },
	[MOVE_MEMORY] = { "drop_caches, compact", NULL, 0 },
};

/* A kernel without IPC namespaces ends none; one without SYSVIPC has no sysctls for it, and no limits for each namespace. */
static bool is_left_out(enum op op)
{
	if (op == HUGEPAGE || op == NOHUGEPAGE)
		return !shm_has_huge();
	if (op == MBIND)
		return !shm_has_numa();
	if (op == NAMESPACE)
		return namespaces == 1;
	return (op == NAMESPACE_FORCED || op == NAMESPACE_LIMITS) && shm_limits_are_parameters();
}

static enum op some_op(void)
{
	unsigned int sum = 0, at, i;

	/* In a short run too, everything is to have its turn. */
	if (!pick(8)) {
		i = pick(OPS);
		if (ops[i].function && !is_left_out(i) && !__atomic_load_n(&shared->worked[i], __ATOMIC_RELAXED))
			return i;
	}
	for (i = 0; i < OPS; i++)
		sum += ops[i].weight;
	at = pick(sum);
	for (i = 0; at >= ops[i].weight; i++)
		at -= ops[i].weight;
	return i;
}

/* One of the processes. When it is over it keeps what it has, for the count. */
static void work(unsigned int number, uint64_t seed)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	unsigned int tries;
	int result;
	enum op op;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	me = number;
	seed_with(seed);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	group = number % 4 ? 0 : namespaces - 1;
	ids = shared->ids[group];
	if (group && go_to(group)) {
		failure("setns: %s", strerror(errno));
		_exit(1);
	}
	if (shm == &shm_rust)
		shm_rust_use_fd(-1);
	arena = mmap(NULL, LANES * LANE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED || shm->missing()) {
		failure("a process could not begin");
		_exit(1);
	}
	while (!stopping()) {
		op = some_op();
		if (is_left_out(op))
			continue;
		shared->worker[me].doing = op;
		result = ops[op].function();
		__atomic_fetch_add(&shared->turns, 1, __ATOMIC_RELAXED);
		if (result >= 0)
			__atomic_fetch_add(result ? &shared->worked[op] : &shared->refused[op], 1, __ATOMIC_RELAXED);
		moved_on();
	}
	/* Also when there was no time for anything else. Where all ids are others', there may be none that it may attach to. */
	shared->worker[me].doing = ATTACH;
	do_create();
	for (tries = 0; tries < 1000 && slots[0].addr == NULL && slots[1].addr == NULL; tries++) {
		do_create();
		do_attach();
		moved_on();
	}
	for (result = 0; result < SLOTS; result++)
		if (slots[result].addr && !slots[result].torn)
			verify(&slots[result]);
	__atomic_store_n(&shared->worker[me].ready, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&shared->go_home, __ATOMIC_SEQ_CST)) {
		usleep(20000);
		moved_on();
	}
	_exit(0);
}

/*
 * The parent.
 */

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoul(text, NULL, 0) : otherwise;
}

static void show_file(pid_t pid, const char *name)
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strcmp(name, "status") || !strncmp(line, "State", 5) || !strncmp(line, "PPid", 4) || !strncmp(line, "Name", 4))
			printf("#   %d %s: %s", pid, name, line);
	if (file)
		fclose(file);
}

/* Calls f for each process, with its number. */
static void each_process(void (*f)(pid_t pid, void *arg), void *arg)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	while (proc && (entry = readdir(proc)))
		if (atoi(entry->d_name) > 0)
			f(atoi(entry->d_name), arg);
	if (proc)
		closedir(proc);
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512], *after;
	FILE *file;
	pid_t parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (file) {
		if (fgets(text, sizeof(text), file) && (after = strrchr(text, ')')))
			sscanf(after + 1, " %*c %d", &parent);
		fclose(file);
	}
	return parent;
}

static bool descends_from(pid_t pid, pid_t ancestor)
{
	while (pid > 1 && pid != ancestor)
		pid = parent_of(pid);
	return pid == ancestor;
}

static void show_if_related(pid_t pid, void *arg)
{
	struct dirent *entry;
	char path[64];
	DIR *tasks;

	if (!descends_from(pid, *(pid_t *)arg))
		return;
	show_file(pid, "status");
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks)))
		if (atoi(entry->d_name) > 0)
			show_file(atoi(entry->d_name), "stack");
	if (tasks)
		closedir(tasks);
}

/* Counts the children of this process. */
static void count_child(pid_t pid, void *arg)
{
	if (parent_of(pid) == getpid())
		++*(unsigned int *)arg;
}

struct watch {
	unsigned int progress[WORKERS_MAX];
	double since[WORKERS_MAX];
};

/* Whether all of them have moved on within the time allowed; else shows where they are. */
static bool all_move(struct watch *watch, unsigned int workers, double limit)
{
	bool good = true;
	unsigned int i;

	for (i = 0; i < workers; i++) {
		unsigned int progress = __atomic_load_n(&shared->worker[i].progress, __ATOMIC_RELAXED);

		if (progress != watch->progress[i] || !watch->since[i]) {
			watch->progress[i] = progress;
			watch->since[i] = shm_now();
		} else if (shm_now() - watch->since[i] > limit) {
			failure("process %d hangs in \"%s\"", shared->worker[i].pid, ops[shared->worker[i].doing].name);
			show_if_related(shared->worker[i].pid, &shared->worker[i].pid);
			each_process(show_if_related, &shared->worker[i].pid);
			good = false;
		}
	}
	return good;
}

static void spawn(unsigned int i, uint64_t seed)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		work(i, seed + 1000003ULL * shared->spawned);
	if (pid < 0)
		failure("fork: %s", strerror(errno));
	shared->spawned++;
	shared->worker[i].pid = pid;
}

/* Collects who has ended, and starts processes anew. */
static void collect(unsigned int workers, uint64_t seed, bool again)
{
	unsigned int i;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!(WIFEXITED(status) && !WEXITSTATUS(status)) && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
		    !(WIFEXITED(status) && WEXITSTATUS(status) == 42))
			failure("a process ended with status %x", status);
		for (i = 0; i < workers; i++)
			if (pid == shared->worker[i].pid && again)
				spawn(i, seed);
	}
}

struct attaches {
	unsigned int namespace;
	char link[64];
	struct { int id; unsigned int count; } segment[4 * SEGMENTS];
	unsigned int segments;
};

static void count_attaches(pid_t pid, void *arg)
{
	struct attaches *attaches = arg;
	char path[64], link[64] = "", line[512];
	struct vma vma;
	unsigned int i;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", pid);
	if (namespaces > 1 && (readlink(path, link, sizeof(link) - 1) < 0 || strcmp(link, attaches->link)))
		return;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (!vma_parse(line, &vma) || strncmp(vma.name, "/SYSV", 5))
			continue;
		for (i = 0; i < attaches->segments && attaches->segment[i].id != (int)vma.inode; i++)
			;
		if (i == ARRAY_SIZE(attaches->segment)) {
			failure("more segments are attached than there can be");
			break;
		}
		if (i == attaches->segments)
			attaches->segment[attaches->segments++].id = vma.inode;
		attaches->segment[i].count++;
	}
	if (maps)
		fclose(maps);
}

/*
 * Nothing moves now but khugepaged, which may fill a block of 2 MiB. What the table, the totals and /proc say of a namespace must be the
 * same.
 */
static void count_all(unsigned int namespace)
{
	struct attaches attaches = { .namespace = namespace };
	struct rust_shm_usage usage, after;
	struct rust_shm_stat stat;
	unsigned long long pages = 0, resident = 0, mapped = 0;
	unsigned int i, segments = 0;
	struct shm_row row;
	int highest, index, id;

	if (namespaces > 1 && readlink("/proc/self/ns/ipc", attaches.link, sizeof(attaches.link) - 1) < 0)
		failure("readlink: %s", strerror(errno));
	each_process(count_attaches, &attaches);
	highest = shm->shm_info(&usage);
	if (highest < 0)
		failure("SHM_INFO: %s", strerror(errno));
	for (index = 0; index <= highest; index++) {
		id = shm->stat_any(index, &stat);
		if (id < 0)
			continue;
		segments++;
		pages += (stat.segsz + PAGE - 1) / PAGE;
		resident += stat.rss / PAGE;
		for (i = 0; i < attaches.segments && attaches.segment[i].id != id; i++)
			;
		if (stat.nattch != (i < attaches.segments ? attaches.segment[i].count : 0))
			failure("segment %d has %llu attaches, /proc/*/maps has %u", id, (unsigned long long)stat.nattch,
				i < attaches.segments ? attaches.segment[i].count : 0);
		if (i < attaches.segments) {
			mapped += attaches.segment[i].count;
			attaches.segment[i].count = 0;
		}
		if ((stat.mode & SHM_DEST) && !stat.nattch)
			failure("segment %d is removed, not attached, and still there", id);
		if (shm_table_row(shm, id, &row, NULL, 0))
			failure("segment %d is not in the table", id);
		else if (row.nattch != stat.nattch || row.size != stat.segsz || row.rss != stat.rss || row.key != stat.key)
			failure("segment %d: the table and SHM_STAT_ANY differ", id);
	}
	for (i = 0; i < attaches.segments; i++)
		if (attaches.segment[i].count)
			failure("segment %d is mapped, and there is no such segment", attaches.segment[i].id);
	if (shm->shm_info(&after) < 0)
		failure("SHM_INFO: %s", strerror(errno));
	if (segments != usage.used_ids || pages != usage.shm_tot || resident < usage.shm_rss || resident > after.shm_rss)
		failure("SHM_INFO says %u segments, %llu pages, %llu resident; the table %u, %llu, %llu", usage.used_ids,
			(unsigned long long)usage.shm_tot, (unsigned long long)usage.shm_rss, segments, pages, resident);
	if (!mapped)
		failure("nothing is attached in namespace %u: there was nothing to count", namespace);
	printf("# namespace %u: %u segments, %llu pages, %llu resident, %llu attaches\n", namespace, segments, pages, resident, mapped);
}

/* What the machine has in use. */
struct use {
	long free, slab, mlocked, unevictable, page_tables, shmem;	/* bytes */
	int references;	/* to the module */
};

/* Free pages that processors keep for themselves, which MemFree lacks. */
static long bytes_kept_by_processors(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long pages, sum = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " count: %ld", &pages) == 1)
			sum += pages;
	if (file)
		fclose(file);
	return sum * (long)shm_page_size();
}

static void measure(struct use *use)
{
	glob_t caches;
	size_t i;

	shm_write_file("/proc/sys/vm/drop_caches", "3");
	/* What KASAN keeps of freed objects goes, too. */
	if (!glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches)) {
		for (i = 0; i < caches.gl_pathc; i++)
			shm_write_file(caches.gl_pathv[i], "1");
		globfree(&caches);
	}
	/* Counters of the processors are added up. */
	shm_write_file("/proc/sys/vm/stat_refresh", "1");
	use->free = meminfo("MemFree") + bytes_kept_by_processors();
	use->slab = meminfo("Slab");
	use->mlocked = meminfo("Mlocked");
	use->unevictable = meminfo("Unevictable");
	use->page_tables = meminfo("PageTables");
	use->shmem = meminfo("Shmem");
	use->references = module_references();
}

/* What is more than before, and more than the kernel keeps in its own caches at any time: a word for it, or NULL. */
static const char *too_much(const struct use *before, const struct use *after)
{
	return before->free - after->free > (long)(6 * MIB) ? "free memory" :
	       after->slab - before->slab > (long)(8 * MIB) ? "Slab" :
	       after->mlocked - before->mlocked > (long)(64 * KIB) ? "Mlocked" :
	       after->unevictable - before->unevictable > (long)(256 * KIB) ? "Unevictable" :
	       after->page_tables - before->page_tables > (long)(2 * MIB) ? "PageTables" :
	       after->shmem - before->shmem > (long)(256 * KIB) ? "Shmem" :
	       after->references != before->references ? "the module's references" : NULL;
}

static void show_use(const char *when, const struct use *use)
{
	printf("# %s: free %ld kB, Slab %ld kB, Mlocked %ld kB, Unevictable %ld kB, PageTables %ld kB, Shmem %ld kB, references %d\n",
	       when, use->free / 1024, use->slab / 1024, use->mlocked / 1024, use->unevictable / 1024, use->page_tables / 1024,
	       use->shmem / 1024, use->references);
}

FIXTURE(stress) {
	const struct shm_backend *shm;
};

SHM_BOTH(stress)

FIXTURE_SETUP(stress)
{
	int i;

	self->shm = shm = variant->shm;
	SHM_ENTER(self->shm);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	/* The test is in the first namespace. */
	if (access("/proc/self/ns/ipc", F_OK)) {
		namespaces = 1;
		ASSERT_EQ(0, shm_sysctl_write("shmmni", SEGMENTS));
		return;
	}
	for (i = NAMESPACES - 1; i >= 0; i--) {
		ASSERT_EQ(0, unshare(CLONE_NEWIPC));
		ASSERT_EQ(0, shm_sysctl_write("shmmni", SEGMENTS));
		namespace_fd[i] = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, namespace_fd[i]);
	}
}

FIXTURE_TEARDOWN(stress)
{
	SHM_LEAVE(self->shm);
}

/* Whether there is something that has not worked yet, and was not often refused either. */
static bool something_is_left(void)
{
	unsigned int i;

	for (i = 0; i < OPS; i++)
		if (!is_left_out(i) && !__atomic_load_n(&shared->worked[i], __ATOMIC_RELAXED) && __atomic_load_n(&shared->refused[i], __ATOMIC_RELAXED) < 20)
			return true;
	return false;
}

/* One run, from the first process to the last one's end. false if somebody hangs: then nothing more can be said. */
static bool run(double seconds, unsigned int workers, uint64_t seed, double limit)
{
	double end = shm_now() + seconds, next_kill = 0, next_move = 0;
	struct watch watch = {};
	unsigned int i, children;

	shared->stop = shared->go_home = false;
	shared->turns = 0;
	for (i = 0; i < workers; i++) {
		shared->worker[i].ready = false;
		spawn(i, seed);
	}
	while ((shm_now() < end || (something_is_left() && __atomic_load_n(&shared->turns, __ATOMIC_RELAXED) < TURNS)) &&
	       shared->failures < ARRAY_SIZE(shared->failure)) {
		usleep(10000);
		collect(workers, seed, true);
		if (!all_move(&watch, workers, limit))
			return false;
		if (shm_now() > next_kill) {
			if (!kill(shared->worker[pick(workers)].pid, SIGKILL))
				shared->worked[KILL]++;
			next_kill = shm_now() + (0.05 + pick(100) / 1000.0) * shm_slow();
		}
		if (shm_now() > next_move) {
			if (!shm_write_file("/proc/sys/vm/drop_caches", "3") && !shm_write_file("/proc/sys/vm/compact_memory", "1"))
				shared->worked[MOVE_MEMORY]++;
			next_move = shm_now() + 1.5 * shm_slow();
		}
	}
	__atomic_store_n(&shared->stop, true, __ATOMIC_SEQ_CST);
	/* All that is left are the processes themselves, and they rest. */
	for (;;) {
		collect(workers, seed, true);
		for (i = 0; i < workers && shared->worker[i].ready; i++)
			;
		children = 0;
		each_process(count_child, &children);
		if (i == workers && children == workers)
			break;
		if (!all_move(&watch, workers, limit))
			return false;
		usleep(20000);
	}
	for (i = 0; i < namespaces; i++) {
		if (go_to(i))
			failure("setns: %s", strerror(errno));
		else
			count_all(i);
	}
	__atomic_store_n(&shared->go_home, true, __ATOMIC_SEQ_CST);
	for (i = 0, end = shm_now() + limit; i < workers; i++) {
		while (waitpid(shared->worker[i].pid, NULL, WNOHANG) == 0) {
			if (shm_now() > end) {
				failure("process %d does not end", shared->worker[i].pid);
				show_if_related(shared->worker[i].pid, &shared->worker[i].pid);
				return false;
			}
			usleep(10000);
		}
	}
	for (i = 0; i < namespaces; i++) {
		struct rust_shm_usage usage;
		char line[512];
		FILE *file;

		if (go_to(i)) {
			failure("setns: %s", strerror(errno));
			continue;
		}
		shm_remove_all(shm);
		if (shm->shm_info(&usage) || usage.used_ids || usage.shm_tot || usage.shm_rss)
			failure("after all were removed SHM_INFO says %u segments, %llu pages, %llu resident", usage.used_ids,
				(unsigned long long)usage.shm_tot, (unsigned long long)usage.shm_rss);
		file = fopen(shm->table, "re");
		if (!file || !fgets(line, sizeof(line), file) || fgets(line, sizeof(line), file))
			failure("after all were removed the table is not empty");
		if (file)
			fclose(file);
	}
	if (go_to(0))
		failure("setns: %s", strerror(errno));
	return true;
}

TEST_F_TIMEOUT(stress, everything_at_once, 3600)
{
	unsigned long workers = setting("STRESS_PROCESSES", 16), hang = setting("STRESS_HANG", 60 * shm_slow()), seconds = setting("STRESS_SECONDS", 10);
	uint64_t seed = setting("STRESS_SEED", (unsigned long)time(NULL));
	struct use before, after;
	const char *more = NULL;
	bool ended;
	unsigned int i;

	ASSERT_GE(WORKERS_MAX, workers);
	if (self->shm == &shm_builtin)
		seconds = seconds < 60 ? 2 : seconds / 3;
	seed_with(seed);
	TH_LOG("STRESS_SEED=%llu STRESS_PROCESSES=%lu STRESS_SECONDS=%lu", (unsigned long long)seed, workers, seconds);

	/* What the kernel makes on first use, and keeps, is no leak. */
	ended = run(1, workers, seed ^ 0x5a5a, hang);
	/* With PREEMPT_RT, namespaces of before take long to end. */
	module_settles(self->shm == &shm_rust);	/* the open device */
	measure(&before);
	if (ended)
		ended = run(seconds, workers, seed, hang);
	else
		TH_LOG("somebody hangs");

	for (i = 0; i < OPS; i++) {
		if (is_left_out(i)) {
			printf("# %-22s is left out: this kernel has nothing for it\n", ops[i].name);
			continue;
		}
		printf("# %-22s worked %8u, refused %8u\n", ops[i].name, shared->worked[i], shared->refused[i]);
		EXPECT_LT(0, shared->worked[i])
			TH_LOG("%s never worked", ops[i].name);
	}
	for (i = 0; i < shared->failures && i < ARRAY_SIZE(shared->failure); i++)
		TH_LOG("%s", shared->failure[i]);
	EXPECT_EQ(0, shared->failures);
	ASSERT_TRUE(ended);

	/* RCU and work items take their time. */
	for (i = 0; i < 20 * shm_slow(); i++) {
		measure(&after);
		more = too_much(&before, &after);
		if (!more)
			break;
		usleep(500000);
	}
	show_use("before", &before);
	show_use("after", &after);
	EXPECT_EQ(NULL, more)
		TH_LOG("%s is not back where it was", more);
}

TEST_HARNESS_MAIN
