/* SPDX-License-Identifier: Apache-2.0 */
/* Events of virtual interfaces. Included by ef_vi.h; programs need not name it. */
#ifndef __EFAB_EF_EVENT_H__
#define __EFAB_EF_EVENT_H__

/* Chosen by the user when a buffer is posted or sent, returned unchanged. 0xffffffff is not allowed. */
typedef int ef_request_id;
#define EF_REQUEST_ID_MASK 0xffffffff

typedef union {
  struct {
    unsigned type : 16;
  } generic;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned rq_id : 32;
    unsigned len : 16;
    unsigned flags : 16;
    unsigned ofs : 16;
  } rx;
  struct { /* begins as rx does */
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned rq_id : 32;
    unsigned len : 16;
    unsigned flags : 16;
    unsigned subtype : 16;
  } rx_discard;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned flags : 4;
    unsigned __reserved : 4;
    unsigned desc_id : 16;
    unsigned deferred_evs : 16;
  } tx;
  struct { /* begins as tx does */
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned flags : 4;
    unsigned __reserved : 4;
    unsigned desc_id : 16;
    unsigned deferred_evs : 16;
    unsigned subtype : 16;
  } tx_error;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned flags : 4;
    unsigned ts_nsec_frac : 4; /* sixteenths of a nanosecond */
    unsigned rq_id : 32;
    unsigned ts_sec : 32;
    unsigned ts_nsec : 30;
    unsigned ts_flags : 2;
  } tx_timestamp;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned alt_id : 16;
  } tx_alt;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
  } rx_no_desc_trunc;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned flags : 16;
    unsigned n_pkts : 16;
    unsigned ps_flags : 8;
  } rx_packed_stream;
  struct {
    unsigned type : 16;
    unsigned data;
  } sw;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned n_descs : 16;
    unsigned flags : 16;
  } rx_multi;
  struct { /* begins as rx_multi does */
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned n_descs : 16;
    unsigned flags : 16;
    unsigned subtype : 16;
  } rx_multi_discard;
  struct {
    unsigned type : 16;
    unsigned q_id : 8;
    unsigned __reserved : 8;
    unsigned n_pkts : 16;
    unsigned flags : 16;
  } rx_multi_pkts;
  struct {
    unsigned type : 16;
    unsigned len : 16;
    unsigned pkt_id : 32;
    unsigned q_id : 8;
    unsigned filter_id : 16;
    unsigned user : 8;
  } rx_ref;
  struct { /* begins as rx_ref does */
    unsigned type : 16;
    unsigned len : 16;
    unsigned pkt_id : 32;
    unsigned q_id : 8;
    unsigned filter_id : 16;
    unsigned user : 8;
    unsigned flags : 16;
  } rx_ref_discard;
} ef_event;

#define EF_EVENT_TYPE(e) ((e).generic.type)

enum {
  EF_EVENT_TYPE_RX = 0,
  EF_EVENT_TYPE_TX = 1,
  EF_EVENT_TYPE_RX_DISCARD = 2,
  EF_EVENT_TYPE_TX_ERROR = 3,
  EF_EVENT_TYPE_RX_NO_DESC_TRUNC = 4,
  EF_EVENT_TYPE_SW = 5,
  EF_EVENT_TYPE_OFLOW = 6,
  EF_EVENT_TYPE_TX_WITH_TIMESTAMP = 7,
  EF_EVENT_TYPE_RX_PACKED_STREAM = 8,
  EF_EVENT_TYPE_RX_MULTI = 9,
  EF_EVENT_TYPE_TX_ALT = 10,
  EF_EVENT_TYPE_RX_MULTI_DISCARD = 11,
  EF_EVENT_TYPE_RESET = 12,
  EF_EVENT_TYPE_RX_MULTI_PKTS = 13,
  EF_EVENT_TYPE_RX_REF = 14,
  EF_EVENT_TYPE_RX_REF_DISCARD = 15,
};

#define EF_EVENT_RX_BYTES(e) ((e).rx.len)
#define EF_EVENT_RX_Q_ID(e) ((e).rx.q_id)
#define EF_EVENT_RX_RQ_ID(e) ((e).rx.rq_id)
#define EF_EVENT_RX_CONT(e) ((e).rx.flags & EF_EVENT_FLAG_CONT)
#define EF_EVENT_RX_SOP(e) ((e).rx.flags & EF_EVENT_FLAG_SOP)
#define EF_EVENT_RX_PS_NEXT_BUFFER(e) ((e).rx_packed_stream.flags & EF_EVENT_FLAG_PS_NEXT_BUFFER)
#define EF_EVENT_RX_ISCSI_OKAY(e) ((e).rx.flags & EF_EVENT_FLAG_ISCSI_OK)

#define EF_EVENT_FLAG_SOP 0x1
#define EF_EVENT_FLAG_CONT 0x2
#define EF_EVENT_FLAG_ISCSI_OK 0x4
#define EF_EVENT_FLAG_MULTICAST 0x8
#define EF_EVENT_FLAG_PS_NEXT_BUFFER 0x10
#define EF_EVENT_FLAG_CTPIO 0x1 /* of TX events */

#define EF_EVENT_TX_Q_ID(e) ((e).tx.q_id)
#define EF_EVENT_TX_CTPIO(e) ((e).tx.flags & EF_EVENT_FLAG_CTPIO)

#define EF_EVENT_RX_DISCARD_Q_ID(e) ((e).rx_discard.q_id)
#define EF_EVENT_RX_DISCARD_RQ_ID(e) ((e).rx_discard.rq_id)
#define EF_EVENT_RX_DISCARD_CONT(e) ((e).rx_discard.flags & EF_EVENT_FLAG_CONT)
#define EF_EVENT_RX_DISCARD_SOP(e) ((e).rx_discard.flags & EF_EVENT_FLAG_SOP)
#define EF_EVENT_RX_DISCARD_TYPE(e) ((e).rx_discard.subtype)
#define EF_EVENT_RX_DISCARD_BYTES(e) ((e).rx_discard.len)

#define EF_EVENT_RX_MULTI_Q_ID(e) ((e).rx_multi.q_id)
#define EF_EVENT_RX_MULTI_CONT(e) ((e).rx_multi.flags & EF_EVENT_FLAG_CONT)
#define EF_EVENT_RX_MULTI_SOP(e) ((e).rx_multi.flags & EF_EVENT_FLAG_SOP)
#define EF_EVENT_RX_MULTI_DISCARD_TYPE(e) ((e).rx_multi_discard.subtype)

enum {
  EF_EVENT_RX_DISCARD_CSUM_BAD = 0,
  EF_EVENT_RX_DISCARD_MCAST_MISMATCH = 1,
  EF_EVENT_RX_DISCARD_CRC_BAD = 2,
  EF_EVENT_RX_DISCARD_TRUNC = 3,
  EF_EVENT_RX_DISCARD_RIGHTS = 4,
  EF_EVENT_RX_DISCARD_EV_ERROR = 5,
  EF_EVENT_RX_DISCARD_OTHER = 6,
  EF_EVENT_RX_DISCARD_INNER_CSUM_BAD = 7,
  EF_EVENT_RX_DISCARD_MAX,
};

#define EF_EVENT_TX_ERROR_Q_ID(e) ((e).tx_error.q_id)
#define EF_EVENT_TX_ERROR_TYPE(e) ((e).tx_error.subtype)

enum {
  EF_EVENT_TX_ERROR_RIGHTS = 0,
  EF_EVENT_TX_ERROR_OFLOW = 1,
  EF_EVENT_TX_ERROR_2BIG = 2,
  EF_EVENT_TX_ERROR_BUS = 3,
};

#define EF_VI_SYNC_FLAG_CLOCK_SET 1
#define EF_VI_SYNC_FLAG_CLOCK_IN_SYNC 2

#define EF_EVENT_TX_WITH_TIMESTAMP_Q_ID(e) ((e).tx_timestamp.q_id)
#define EF_EVENT_TX_WITH_TIMESTAMP_RQ_ID(e) ((e).tx_timestamp.rq_id)
#define EF_EVENT_TX_WITH_TIMESTAMP_SEC(e) ((e).tx_timestamp.ts_sec)
#define EF_EVENT_TX_WITH_TIMESTAMP_NSEC(e) ((e).tx_timestamp.ts_nsec)
#define EF_EVENT_TX_WITH_TIMESTAMP_NSEC_FRAC16(e) ((e).tx_timestamp.ts_nsec_frac << 12)
#define EF_EVENT_TX_WITH_TIMESTAMP_SYNC_MASK (EF_VI_SYNC_FLAG_CLOCK_SET | EF_VI_SYNC_FLAG_CLOCK_IN_SYNC)
#define EF_EVENT_TX_WITH_TIMESTAMP_SYNC_FLAGS(e) ((e).tx_timestamp.ts_flags)

#define EF_EVENT_TX_ALT_Q_ID(e) ((e).tx_alt.q_id)
#define EF_EVENT_TX_ALT_ALT_ID(e) ((e).tx_alt.alt_id)

#define EF_EVENT_RX_NO_DESC_TRUNC_Q_ID(e) ((e).rx_no_desc_trunc.q_id)

#define EF_EVENT_SW_DATA_MASK 0xffff
#define EF_EVENT_SW_DATA(e) ((e).sw.data)

#define EF_EVENT_FMT "[ev:%x]"
#define EF_EVENT_PRI_ARG(e) (unsigned)(e).generic.type

#endif /* __EFAB_EF_EVENT_H__ */
