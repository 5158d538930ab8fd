/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that the card may read and write. */
#ifndef __EFAB_MEMREG_H__
#define __EFAB_MEMREG_H__

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ef_pd;

typedef struct ef_memreg {
  unsigned mr_resource_id;
  ef_addr* mr_dma_addrs; /* one for each page */
} ef_memreg;

/* Registers the memory with the domain. Its contents and address stay; its pages become shared with the card, so nobody
 * may write to them while the call runs, and a fork shares them. Pages count whole, though `len_bytes` may be less.
 * -EINVAL: `p_mem` is not at a page, or the length is 0; -EFAULT: not all of it is mapped, readable and writable;
 * -EOPNOTSUPP: it is shared memory already, of somebody else; -ENOMEM, -ENOSPC: the card's memory or table is full. */
extern int ef_memreg_alloc(ef_memreg* mr, ef_driver_handle mr_dh, struct ef_pd* pd, ef_driver_handle pd_dh, void* p_mem,
                           size_t len_bytes);

/* Frees the table of addresses. The card may reach the memory until the domain is freed. */
extern int ef_memreg_free(ef_memreg* mr, ef_driver_handle mr_dh);

/* Pre: `offset` lies in the memory. */
ef_vi_inline ef_addr ef_memreg_dma_addr(ef_memreg* mr, size_t offset) {
  return mr->mr_dma_addrs[offset >> EF_VI_NIC_PAGE_SHIFT] + (offset & (EF_VI_NIC_PAGE_SIZE - 1));
}

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_MEMREG_H__ */
