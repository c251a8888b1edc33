// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the tracepoints, for events.rs: that takes C.
 */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "events.h"
