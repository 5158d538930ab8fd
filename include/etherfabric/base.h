/* SPDX-License-Identifier: Apache-2.0 */
/* Handles to the card, and what everything else needs. docs/ef_vi.md says what the card does with each call. */
#ifndef __EFAB_BASE_H__
#define __EFAB_BASE_H__

#include <etherfabric/ef_vi.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* DMA addresses are given out by pages of this size. */
#define EF_VI_NIC_PAGE_SHIFT 12
#define EF_VI_NIC_PAGE_SIZE (1 << EF_VI_NIC_PAGE_SHIFT)

#define EF_ADDR_FMT "%" PRIx64
#define EF_INVALID_ADDR ((ef_addr) - 1)

/* Connects to the card at the socket named by XNIC_CARD, or else /run/xnic/efvi.sock. The handle is a file descriptor
 * that poll, select and epoll can wait for; close it with ef_driver_close only.
 * -ENOENT: no card is served there; -ENODEV: the card does not answer; another negative errno. */
extern int ef_driver_open(ef_driver_handle* handle_out);

/* Gives back everything that was made with the handle. Memory that was registered stays valid. -EBADF: no handle. */
extern int ef_driver_close(ef_driver_handle handle);

/* Sleeps until an event lies beyond `current_ptr` (ef_eventq_current), or for `timeout` (NULL or zero: for ever).
 * 0; -ETIMEDOUT; -EBUSY: another thread waits on this queue; -EINTR. It may return 0 too early. */
extern int ef_eventq_wait(ef_vi* vi, ef_driver_handle vi_dh, unsigned current_ptr, const struct timeval* timeout);

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_BASE_H__ */
