// SPDX-License-Identifier: GPL-2.0
/*
 * Macros that have no helper in rust/helpers.
 */
#include "helpers.h"

unsigned long rust_shm_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}
