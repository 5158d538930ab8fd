/* SPDX-License-Identifier: Apache-2.0 */
/* Packed stream: the card lays packets one behind the other into large buffers, each behind a head of its own. */
#ifndef __EFAB_PACKEDSTREAM_H__
#define __EFAB_PACKEDSTREAM_H__

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint16_t ps_next_offset;     /* from this head to the next */
  uint8_t ps_pkt_start_offset; /* from this head to the packet */
  uint8_t ps_flags;            /* EF_VI_PS_FLAG_* */
  uint16_t ps_cap_len;         /* bytes that are here */
  uint16_t ps_orig_len;        /* bytes of the frame */
  uint32_t ps_ts_sec;
  uint32_t ps_ts_nsec;
} ef_packed_stream_packet;

#define EF_VI_PS_FLAG_CLOCK_SET 0x1
#define EF_VI_PS_FLAG_CLOCK_IN_SYNC 0x2
#define EF_VI_PS_FLAG_BAD_FCS 0x4
#define EF_VI_PS_FLAG_BAD_L4_CSUM 0x8
#define EF_VI_PS_FLAG_BAD_L3_CSUM 0x10
#define EF_VI_PS_FLAG_BAD_IP_CSUM (EF_VI_PS_FLAG_BAD_L4_CSUM | EF_VI_PS_FLAG_BAD_L3_CSUM)

typedef struct {
  int psp_buffer_size;
  int psp_buffer_align;
  int psp_start_offset; /* of the first head in a buffer */
  int psp_max_usable_buffers;
} ef_packed_stream_params;

/* -EINVAL: the interface is not in packed-stream mode. */
extern int ef_vi_packed_stream_get_params(ef_vi* vi, ef_packed_stream_params* psp_out);

/* Pre: for an event with EF_EVENT_RX_PS_NEXT_BUFFER, *pkt_iter is ef_packed_stream_packet_first() of the next buffer
 * posted; else what the last call left. Post: *pkt_iter is where the next packet will be. */
extern int ef_vi_packed_stream_unbundle(ef_vi* vi, const ef_event* ev, ef_packed_stream_packet** pkt_iter,
                                        int* n_pkts_out, int* n_bytes_out);

static inline ef_packed_stream_packet* ef_packed_stream_packet_first(void* start_of_buffer, int psp_start_offset) {
  return (ef_packed_stream_packet*)((uint8_t*)start_of_buffer + psp_start_offset);
}

static inline ef_packed_stream_packet* ef_packed_stream_packet_next(ef_packed_stream_packet* ps_pkt) {
  return (ef_packed_stream_packet*)((uint8_t*)ps_pkt + ps_pkt->ps_next_offset);
}

static inline void* ef_packed_stream_packet_payload(ef_packed_stream_packet* ps_pkt) {
  return (uint8_t*)ps_pkt + ps_pkt->ps_pkt_start_offset;
}

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_PACKEDSTREAM_H__ */
