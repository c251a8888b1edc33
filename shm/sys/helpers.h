/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_SHM_HELPERS_H
#define RUST_SHM_HELPERS_H

#include <linux/mm.h>

unsigned long rust_shm_page_to_pfn(const struct page *page);

#endif
