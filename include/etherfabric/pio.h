/* SPDX-License-Identifier: Apache-2.0 */
/* Programmed I/O: frames that wait in the card's own memory to be sent from there. */
#ifndef __EFAB_PIO_H__
#define __EFAB_PIO_H__

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EF_VI_CONFIG_PIO 1

typedef struct ef_pio {
  uint8_t* pio_buffer;
  uint8_t* pio_io;
  unsigned pio_resource_id;
  unsigned pio_len;
} ef_pio;

struct ef_pd;
struct ef_vi;

/* A region of `len_hint` bytes, 2048 at most (also for a hint of -1). -EINVAL: a hint of 0; -ENOMEM. */
extern int ef_pio_alloc(ef_pio* pio, ef_driver_handle pio_dh, struct ef_pd* pd, unsigned len_hint,
                        ef_driver_handle pd_dh);
/* Bytes of the region linked with the interface; -EINVAL: none is. */
extern int ef_vi_get_pio_size(struct ef_vi* vi);
/* -EBUSY: still linked. */
extern int ef_pio_free(ef_pio* pio, ef_driver_handle pio_dh);
/* One region for each interface, one interface for each region. -EBUSY: one of them is linked already. */
extern int ef_pio_link_vi(ef_pio* pio, ef_driver_handle pio_dh, struct ef_vi* vi, ef_driver_handle vi_dh);
/* -EINVAL: not linked with each other. */
extern int ef_pio_unlink_vi(ef_pio* pio, ef_driver_handle pio_dh, struct ef_vi* vi, ef_driver_handle vi_dh);
/* Copies into the region. -EINVAL: none is linked, or it would not fit. */
extern int ef_pio_memcpy(struct ef_vi* vi, const void* base, int offset, int len);

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_PIO_H__ */
