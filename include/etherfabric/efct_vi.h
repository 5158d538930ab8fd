/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving by reference into buffers that the card owns. The card always receives into posted buffers
 * (EF_VI_CAP_RX_REF says so): no RX_REF event is ever raised, and these find nothing. */
#ifndef __EFAB_EFCT_VI_H__
#define __EFAB_EFCT_VI_H__

#include <etherfabric/ef_vi.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EFCT_FUTURE_VALID_BYTES 62

/* NULL. */
extern const void* efct_vi_rxpkt_get(struct ef_vi* vi, uint32_t pkt_id);
extern void efct_vi_rxpkt_release(struct ef_vi* vi, uint32_t pkt_id);
/* NULL. */
extern const void* efct_vi_rx_future_peek(struct ef_vi* vi);
/* -EOPNOTSUPP. */
extern int efct_vi_rx_future_poll(ef_vi* vi, ef_event* evs, int evs_len);

extern void efct_vi_start_transmit_warm(ef_vi* vi);
extern void efct_vi_stop_transmit_warm(ef_vi* vi);

__attribute__((deprecated("use ef_vi_receive_get_precise_timestamp"))) ef_vi_inline int efct_vi_rxpkt_get_timestamp(
    struct ef_vi* vi, uint32_t pkt_id, ef_timespec* ts_out, unsigned* flags_out) {
  ef_precisetime ts;
  int rc = ef_vi_receive_get_precise_timestamp(vi, efct_vi_rxpkt_get(vi, pkt_id), &ts);
  ts_out->tv_sec = (time_t)ts.tv_sec;
  ts_out->tv_nsec = (long)ts.tv_nsec;
  *flags_out = ts.tv_flags;
  return rc;
}

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_EFCT_VI_H__ */
