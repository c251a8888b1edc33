/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: what happens to segments. ns is the number of the segment's IPC namespace, as lsns(8) has it, and id that
 * of ipcs(1) there.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rust_shm

#if !defined(RUST_SHM_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define RUST_SHM_EVENTS_H

#include <linux/tracepoint.h>

/* A segment was made. */
TRACE_EVENT(rust_shm_create,
	TP_PROTO(u32 ns, u32 id, u32 key, u64 size, u32 mode),
	TP_ARGS(ns, id, key, size, mode),
	TP_STRUCT__entry(
		__field(u32, ns)
		__field(u32, id)
		__field(u32, key)
		__field(u64, size)
		__field(u32, mode)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->id = id;
		__entry->key = key;
		__entry->size = size;
		__entry->mode = mode;
	),
	TP_printk("ns=%u id=%u key=0x%08x size=%llu mode=0%o",
		  __entry->ns, __entry->id, __entry->key, __entry->size, __entry->mode)
);

/* A segment was removed for good: its id is free, and so is its memory. */
TRACE_EVENT(rust_shm_remove,
	TP_PROTO(u32 ns, u32 id, u64 size),
	TP_ARGS(ns, id, size),
	TP_STRUCT__entry(
		__field(u32, ns)
		__field(u32, id)
		__field(u64, size)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->id = id;
		__entry->size = size;
	),
	TP_printk("ns=%u id=%u size=%llu", __entry->ns, __entry->id, __entry->size)
);

DECLARE_EVENT_CLASS(rust_shm_attaches,
	TP_PROTO(u32 ns, u32 id, u64 attaches),
	TP_ARGS(ns, id, attaches),
	TP_STRUCT__entry(
		__field(u32, ns)
		__field(u32, id)
		__field(u64, attaches)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->id = id;
		__entry->attaches = attaches;
	),
	TP_printk("ns=%u id=%u attaches=%llu", __entry->ns, __entry->id, __entry->attaches)
);

/* One attach more, by attach, fork(2), or a mapping that was split; attaches: how many there are, with those under way. */
DEFINE_EVENT(rust_shm_attaches, rust_shm_attach, TP_PROTO(u32 ns, u32 id, u64 attaches), TP_ARGS(ns, id, attaches));

/* One less, by detach, munmap(2), execve(2), exit(2). */
DEFINE_EVENT(rust_shm_attaches, rust_shm_detach, TP_PROTO(u32 ns, u32 id, u64 attaches), TP_ARGS(ns, id, attaches));

/*
 * A page fault. order: of the folio that was put there, of 2^order pages; -1 where that is left to the kernel's own fault:
 * something is there, or in swap; a small page is wanted (MADV_NOHUGEPAGE); there is no memory.
 */
TRACE_EVENT(rust_shm_fault,
	TP_PROTO(u32 ns, u32 id, u64 page, int order),
	TP_ARGS(ns, id, page, order),
	TP_STRUCT__entry(
		__field(u32, ns)
		__field(u32, id)
		__field(u64, page)
		__field(int, order)
	),
	TP_fast_assign(
		__entry->ns = ns;
		__entry->id = id;
		__entry->page = page;
		__entry->order = order;
	),
	TP_printk("ns=%u id=%u page=%llu order=%d", __entry->ns, __entry->id, __entry->page, __entry->order)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE events
#include <trace/define_trace.h>
