/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual interface: an event queue, a ring to send from and a ring to receive into. Source-compatible with the
 * ef_vi interface of network cards that have it; docs/ef_vi.md has every call, what this card does with it, and where
 * it differs. Results are 0 or more, or a negative errno. One thread at a time uses a virtual interface. */
#ifndef __EFAB_EF_VI_H__
#define __EFAB_EF_VI_H__

#include <stdint.h>
#ifndef __STDC_FORMAT_MACROS
#define __STDC_FORMAT_MACROS
#endif
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <etherfabric/ef_event.h>

#define EF_VI_ALIGN(x) __attribute__((aligned(x)))
#define ef_vi_inline static inline
#define ef_vi_pure __attribute__((pure))
#define ef_vi_cold __attribute__((cold))
#define ef_vi_noinline __attribute__((noinline))

/* Buffers that begin at a multiple of this are received into fastest. */
#define EF_VI_DMA_ALIGN 64

#ifdef __cplusplus
extern "C" {
#endif

typedef int ef_driver_handle;
typedef uint32_t ef_eventq_ptr;
typedef uint64_t ef_addr;
typedef char* ef_vi_ioaddr_t;
typedef uint64_t ef_addrspace;
#define EF_ADDRSPACE_LOCAL ((uint64_t)-1)

struct ef_vi;
struct ef_pio;
struct ef_filter_spec;
struct ef_filter_cookie;

#define EF_VI_MAX_QS 32
#define EF_VI_EVENT_POLL_MIN_EVS 2
#define EF_VI_MAX_EFCT_RXQS 8

/* ---- buffers and time ---- */

typedef struct {
  ef_addr iov_base EF_VI_ALIGN(8);
  unsigned iov_len;
} ef_iovec;

#define EF_RIOV_FLAG_TRANSLATE_ADDR 0x1

typedef struct {
  ef_addr iov_base EF_VI_ALIGN(8);
  unsigned iov_len;
  uint32_t flags;
  ef_addrspace addrspace;
} ef_remote_iovec;

#define ef_timespec struct timespec

typedef struct {
  uint64_t tv_sec;
  uint32_t tv_nsec;
  uint16_t tv_nsec_frac; /* in units of 2^-16 ns */
  uint16_t tv_flags;     /* EF_VI_SYNC_FLAG_* */
} ef_precisetime;

/* ---- flags ---- */

/* 64 bits wide, which the last value sees to. */
__extension__ enum ef_vi_flags {
  EF_VI_FLAGS_DEFAULT = 0x0,
  EF_VI_ISCSI_RX_HDIG = 0x2,
  EF_VI_ISCSI_TX_HDIG = 0x4,
  EF_VI_ISCSI_RX_DDIG = 0x8,
  EF_VI_ISCSI_TX_DDIG = 0x10,
  EF_VI_TX_PHYS_ADDR = 0x20,
  EF_VI_RX_PHYS_ADDR = 0x40,
  EF_VI_TX_IP_CSUM_DIS = 0x80,
  EF_VI_TX_TCPUDP_CSUM_DIS = 0x100,
  EF_VI_TX_TCPUDP_ONLY = 0x200,
  EF_VI_TX_FILTER_IP = 0x400,
  EF_VI_TX_FILTER_MAC = 0x800,
  EF_VI_TX_FILTER_MASK_1 = 0x1000,
  EF_VI_TX_FILTER_MASK_2 = 0x2000,
  EF_VI_TX_FILTER_MASK_3 = (0x1000 | 0x2000),
  EF_VI_TX_PUSH_DISABLE = 0x4000,
  EF_VI_TX_PUSH_ALWAYS = 0x8000,
  EF_VI_RX_TIMESTAMPS = 0x10000,
  EF_VI_TX_TIMESTAMPS = 0x20000,
  EF_VI_RX_PACKED_STREAM = 0x80000,
  EF_VI_RX_PS_BUF_SIZE_64K = 0x100000,
  EF_VI_RX_EVENT_MERGE = 0x200000,
  EF_VI_TX_ALT = 0x400000,
  EF_VI_ENABLE_EV_TIMER = 0x800000,
  EF_VI_TX_CTPIO = 0x1000000,
  EF_VI_TX_CTPIO_NO_POISON = 0x2000000,
  EF_VI_RX_ZEROCOPY = 0x4000000,
  EF_VI_ALLOW_MEMCPY = 0x8000000,
  EF_VI_EFCT_UNIQUEUE = 0x10000000,
  EF_VI_RX_EXCLUSIVE = 0x20000000,
  EF_VI_ENABLE_TPH = 0x40000000,
  EF_VI_TPH_TAG_MODE = 0x80000000,
  EF_VI_RX_FILTER_ID = 0x100000000,
};

enum ef_vi_out_flags {
  EF_VI_OUT_CLOCK_SYNC_STATUS = 0x1,
};

/* Which errors of a received frame make it a discard; of the others nothing is said. */
enum ef_vi_rx_discard_err_flags {
  EF_VI_DISCARD_RX_L4_CSUM_ERR = 0x1,
  EF_VI_DISCARD_RX_L3_CSUM_ERR = 0x2,
  EF_VI_DISCARD_RX_ETH_FCS_ERR = 0x4,
  EF_VI_DISCARD_RX_ETH_LEN_ERR = 0x8,
  EF_VI_DISCARD_RX_TOBE_DISC = 0x10,
  EF_VI_DISCARD_RX_INNER_L4_CSUM_ERR = 0x20,
  EF_VI_DISCARD_RX_INNER_L3_CSUM_ERR = 0x40,
  EF_VI_DISCARD_RX_L2_CLASS_OTHER = 0x80,
  EF_VI_DISCARD_RX_L3_CLASS_OTHER = 0x100,
  EF_VI_DISCARD_RX_L4_CLASS_OTHER = 0x200,
};

enum ef_timestamp_format {
  TS_FORMAT_SECONDS_27FRACTION = 0,
  TS_FORMAT_SECONDS_QTR_NANOSECONDS = 1,
};

enum ef_vi_arch {
  EF_VI_ARCH_FALCON,
  EF_VI_ARCH_EF10,
  EF_VI_ARCH_EF100,
  EF_VI_ARCH_EFCT,
  EF_VI_ARCH_AF_XDP,
};

/* ---- the interface itself: of the library, except what docs/ef_vi.md names ---- */

typedef struct {
  uint32_t previous;
  uint32_t added;
  uint32_t removed;
  uint32_t ct_added;
  uint32_t ct_removed;
  uint32_t ts_nsec;
} ef_vi_txq_state;

typedef struct {
  uint32_t posted;
  uint32_t added;
  uint32_t removed;
  uint32_t in_jumbo;
  uint32_t bytes_acc;
  uint16_t last_desc_i;
  uint16_t rx_ps_credit_avail;
} ef_vi_rxq_state;

typedef struct {
  ef_eventq_ptr evq_ptr; /* bytes of events taken since the beginning */
  int32_t evq_clear_stride;
  uint32_t sync_flags;
} ef_eventq_state;

typedef struct {
  uint32_t mask;
  uint32_t ct_fifo_bytes;
  void* descriptors;
  uint32_t* ids;
} ef_vi_txq;

typedef struct {
  uint32_t mask;
  void* descriptors;
  uint32_t* ids;
} ef_vi_rxq;

typedef struct {
  ef_eventq_state evq;
  ef_vi_txq_state txq;
  ef_vi_rxq_state rxq;
} ef_vi_state;

typedef struct {
  uint32_t rx_ev_lost;
  uint32_t rx_ev_bad_desc_i;
  uint32_t rx_ev_bad_q_label;
  uint32_t evq_gap;
} ef_vi_stats;

struct ef_vi_nic_type {
  unsigned char arch;
  char variant;
  unsigned char revision;
  unsigned char nic_flags;
};

struct ef_vi_transmit_alt_overhead {
  uint32_t pre_round;
  uint32_t mask;
  uint32_t post_round;
};

enum ef_vi_tx_extra_flags {
  EF_VI_TX_EXTRA_MARK = 0x1,
  EF_VI_TX_EXTRA_INGRESS_MPORT = 0x2,
  EF_VI_TX_EXTRA_EGRESS_MPORT = 0x4,
  EF_VI_TX_EXTRA_CAPSULE_METADATA = 0x8,
};

struct ef_vi_tx_extra {
  enum ef_vi_tx_extra_flags flags;
  uint32_t mark;
  uint16_t ingress_mport;
  uint16_t egress_mport;
};

/* What start_transmit_warm keeps for stop_transmit_warm. */
typedef struct {
  unsigned removed;
  char* vi_ctpio_mmap_ptr;
} ef_vi_tx_warm_state;

typedef struct ef_vi {
  unsigned inited;
  unsigned vi_resource_id;
  unsigned vi_i;
  unsigned abs_idx;
  ef_driver_handle dh;

  unsigned rx_buffer_len;
  unsigned rx_prefix_len;
  uint64_t rx_discard_mask;
  unsigned rx_pkt_len_offset;
  unsigned rx_pkt_len_mask;
  int rx_ts_correction;
  int tx_ts_correction_ns;
  enum ef_timestamp_format ts_format;
  char* vi_ctpio_mmap_ptr;
  int vi_clustered;
  int vi_is_packed_stream;
  int vi_is_normal;
  unsigned vi_ps_buf_size;

  struct ef_pio* linked_pio;
  char* evq_base;
  unsigned evq_mask;
  int evq_phase_bits;
  unsigned timer_quantum_ns;
  unsigned tx_push_thresh;

  ef_vi_txq vi_txq;
  ef_vi_rxq vi_rxq;
  ef_vi_state* ep_state;
  enum ef_vi_flags vi_flags;
  enum ef_vi_out_flags vi_out_flags;
  ef_vi_stats* vi_stats;

  struct ef_vi* vi_qs[EF_VI_MAX_QS];
  int vi_qs_n;
  unsigned tx_alt_num;
  struct ef_vi_nic_type nic_type;

  void* xnic; /* what else the library knows of this interface */

  struct ops {
    int (*transmit)(struct ef_vi*, ef_addr base, int len, ef_request_id);
    int (*transmitv)(struct ef_vi*, const ef_iovec*, int iov_len, ef_request_id);
    int (*transmitv_init)(struct ef_vi*, const ef_iovec*, int iov_len, ef_request_id);
    void (*transmit_push)(struct ef_vi*);
    int (*transmit_pio)(struct ef_vi*, int offset, int len, ef_request_id dma_id);
    int (*transmit_copy_pio)(struct ef_vi*, int pio_offset, const void* src_buf, int len, ef_request_id dma_id);
    void (*transmit_pio_warm)(struct ef_vi*);
    void (*transmit_copy_pio_warm)(struct ef_vi*, int pio_offset, const void* src_buf, int len);
    void (*transmitv_ctpio)(struct ef_vi*, size_t frame_len, const struct iovec* iov, int iov_len, unsigned threshold);
    void (*transmitv_ctpio_copy)(struct ef_vi*, size_t frame_len, const struct iovec* iov, int iov_len,
                                 unsigned threshold, void* fallback);
    int (*transmit_alt_select)(struct ef_vi*, unsigned alt_id);
    int (*transmit_alt_select_default)(struct ef_vi*);
    int (*transmit_alt_stop)(struct ef_vi*, unsigned alt_id);
    int (*transmit_alt_go)(struct ef_vi*, unsigned alt_id);
    int (*receive_set_discards)(struct ef_vi*, unsigned discard_err_flags);
    uint64_t (*receive_get_discards)(struct ef_vi*);
    int (*transmit_alt_discard)(struct ef_vi*, unsigned alt_id);
    int (*receive_init)(struct ef_vi*, ef_addr, ef_request_id);
    void (*receive_push)(struct ef_vi*);
    int (*eventq_poll)(struct ef_vi*, ef_event*, int evs_len);
    void (*eventq_prime)(struct ef_vi*);
    void (*eventq_timer_prime)(struct ef_vi*, unsigned v);
    void (*eventq_timer_run)(struct ef_vi*, unsigned v);
    void (*eventq_timer_clear)(struct ef_vi*);
    void (*eventq_timer_zero)(struct ef_vi*);
    int (*transmit_ctpio_fallback)(struct ef_vi*, ef_addr dma_addr, size_t len, ef_request_id dma_id);
    int (*transmitv_ctpio_fallback)(struct ef_vi*, const ef_iovec* dma_iov, int dma_iov_len, ef_request_id dma_id);
    void (*start_transmit_warm)(struct ef_vi*, ef_vi_tx_warm_state* saved_state, char* warm_ctpio_mmap_ptr);
    void (*stop_transmit_warm)(struct ef_vi*, ef_vi_tx_warm_state* saved_state);
    int (*receive_poll)(struct ef_vi*, ef_event*, int evs_len);
    int (*future_eventq_poll)(struct ef_vi*, ef_event*, int evs_len);
    int (*eventq_has_event)(const struct ef_vi*);
    int (*eventq_has_many_events)(const struct ef_vi*, int n_events);
    int (*receive_get_timestamp)(struct ef_vi*, const void* pkt, ef_precisetime* ts_out);
    int (*receive_get_filter_id)(struct ef_vi*, const ef_event* event, const void* pkt);
  } ops;
} ef_vi;

ef_vi_inline unsigned ef_vi_resource_id(ef_vi* vi) { return vi->vi_resource_id; }
ef_vi_inline enum ef_vi_flags ef_vi_flags(ef_vi* vi) { return vi->vi_flags; }
ef_vi_inline unsigned ef_vi_instance(ef_vi* vi) { return vi->vi_i; }
extern const char* ef_vi_version_str(void);
extern const char* ef_vi_driver_interface_str(void);

/* ---- receiving ---- */

/* Bytes before the frame in its first buffer. */
ef_vi_inline int ef_vi_receive_prefix_len(const ef_vi* vi) { return (int)vi->rx_prefix_len; }
/* The card writes at most this many bytes into a buffer, the prefix among them. */
ef_vi_inline int ef_vi_receive_buffer_len(const ef_vi* vi) { return (int)vi->rx_buffer_len; }
/* Counts for buffers that are posted from now on. */
ef_vi_inline void ef_vi_receive_set_buffer_len(ef_vi* vi, unsigned buf_len) { vi->rx_buffer_len = buf_len; }

ef_vi_inline int ef_vi_receive_fill_level(const ef_vi* vi) {
  return (int)(vi->ep_state->rxq.added - vi->ep_state->rxq.removed);
}
ef_vi_inline int ef_vi_receive_capacity(const ef_vi* vi) { return (int)vi->vi_rxq.mask; }
ef_vi_inline int ef_vi_receive_space(const ef_vi* vi) {
  return ef_vi_receive_capacity(vi) - ef_vi_receive_fill_level(vi);
}

/* -EAGAIN: the ring is full; -EINVAL: packed stream, and `addr` is not aligned to the size of its buffers. */
#define ef_vi_receive_init(vi, addr, dma_id) (vi)->ops.receive_init((vi), (addr), (dma_id))
/* Gives all buffers to the card that were initialised. */
#define ef_vi_receive_push(vi) (vi)->ops.receive_push((vi))
extern int ef_vi_receive_post(ef_vi* vi, ef_addr addr, ef_request_id dma_id);

/* `pkt`: where the prefix begins. -ENODATA: the frame has no time stamp (and *ts_out is zero). */
#define ef_vi_receive_get_precise_timestamp(vi, pkt, ts_out) (vi)->ops.receive_get_timestamp((vi), (pkt), (ts_out))
extern int ef_vi_receive_get_timestamp(ef_vi* vi, const void* pkt, ef_timespec* ts_out);
extern int ef_vi_receive_get_timestamp_with_sync_flags(ef_vi* vi, const void* pkt, ef_timespec* ts_out,
                                                       unsigned* flags_out);
/* Length of the whole frame without the prefix. -EINVAL: the interface has no prefix, so no length in it. */
extern int ef_vi_receive_get_bytes(ef_vi* vi, const void* pkt, uint16_t* bytes_out);
/* -EINVAL: no such data on this card. */
extern int ef_vi_receive_get_user_data(ef_vi* vi, const void* pkt, uint32_t* user_mark, uint8_t* user_flag);
/* Id of the filter that matched; -ENODATA: none did; -EINVAL: the interface lacks EF_VI_RX_FILTER_ID. */
#define ef_vi_receive_get_filter_id(vi, event, pkt) (vi)->ops.receive_get_filter_id((vi), (event), (pkt))

#define EF_VI_RECEIVE_BATCH 15
/* `ids`: EF_VI_RECEIVE_BATCH of them. How many buffers the event stands for; their ring entries become free. */
extern int ef_vi_receive_unbundle(ef_vi* ep, const ef_event* event, ef_request_id* ids);
extern ef_request_id ef_vi_rxq_next_desc_id(ef_vi* vi);

#define ef_vi_receive_set_discards(vi, discard_err_flags) (vi)->ops.receive_set_discards((vi), (discard_err_flags))
#define ef_vi_receive_get_discards(vi) (vi)->ops.receive_get_discards((vi))
/* -EINVAL: only the event tells. */
extern int ef_vi_receive_get_discard_flags(ef_vi* vi, const void* pkt, unsigned* discard_flags);
ef_vi_inline unsigned ef_vi_get_rx_discard_subtype_from_flags(unsigned flags) {
  if (flags & EF_VI_DISCARD_RX_ETH_FCS_ERR) return EF_EVENT_RX_DISCARD_CRC_BAD;
  if (flags & EF_VI_DISCARD_RX_ETH_LEN_ERR) return EF_EVENT_RX_DISCARD_TRUNC;
  if (flags & (EF_VI_DISCARD_RX_L3_CSUM_ERR | EF_VI_DISCARD_RX_L4_CSUM_ERR)) return EF_EVENT_RX_DISCARD_CSUM_BAD;
  if (flags & (EF_VI_DISCARD_RX_INNER_L3_CSUM_ERR | EF_VI_DISCARD_RX_INNER_L4_CSUM_ERR))
    return EF_EVENT_RX_DISCARD_INNER_CSUM_BAD;
  return EF_EVENT_RX_DISCARD_OTHER;
}

/* ---- sending ---- */

ef_vi_inline int ef_vi_transmit_fill_level(const ef_vi* vi) {
  return (int)(vi->ep_state->txq.added - vi->ep_state->txq.removed);
}
ef_vi_inline int ef_vi_transmit_capacity(const ef_vi* vi) { return (int)vi->vi_txq.mask; }
ef_vi_inline int ef_vi_transmit_space(const ef_vi* vi) {
  return ef_vi_transmit_capacity(vi) - ef_vi_transmit_fill_level(vi);
}
/* The card has no FIFO that could be full. */
ef_vi_inline int ef_vi_transmit_space_bytes(const ef_vi* vi) {
  (void)vi;
  return INT_MAX;
}
ef_vi_inline int ef_vi_transmit_fill_level_bytes(const ef_vi* vi) {
  return (int)(vi->ep_state->txq.ct_added - vi->ep_state->txq.ct_removed);
}

/* -EAGAIN: the ring is full. Nothing is sent before the push. */
extern int ef_vi_transmit_init(ef_vi* vi, ef_addr addr, int bytes, ef_request_id dma_id);
#define ef_vi_transmitv_init(vi, iov, iov_len, dma_id) (vi)->ops.transmitv_init((vi), (iov), (iov_len), (dma_id))
/* -EINVAL: not on this card. */
extern int ef_vi_transmitv_init_extra(ef_vi* vi, const struct ef_vi_tx_extra* extra, const ef_remote_iovec* iov,
                                      int iov_len, ef_request_id dma_id);
#define ef_vi_transmit_push(vi) (vi)->ops.transmit_push((vi))
#define ef_vi_transmit(vi, base, len, dma_id) (vi)->ops.transmit((vi), (base), (len), (dma_id))
#define ef_vi_transmitv(vi, iov, iov_len, dma_id) (vi)->ops.transmitv((vi), (iov), (iov_len), (dma_id))
#define ef_vi_transmit_pio(vi, offset, len, dma_id) (vi)->ops.transmit_pio((vi), (offset), (len), (dma_id))
#define ef_vi_transmit_copy_pio(vi, pio_offset, src_buf, len, dma_id) \
  (vi)->ops.transmit_copy_pio((vi), (pio_offset), (src_buf), (len), (dma_id))
#define ef_vi_transmit_pio_warm(vi) (vi)->ops.transmit_pio_warm((vi))
#define ef_vi_transmit_copy_pio_warm(vi, pio_offset, src_buf, len) \
  (vi)->ops.transmit_copy_pio_warm((vi), (pio_offset), (src_buf), (len))
/* Forgets what was initialised and not pushed. */
extern void ef_vi_transmit_init_undo(ef_vi* vi);

#define EF_VI_TRANSMIT_BATCH 64
/* `ids`: EF_VI_TRANSMIT_BATCH of them, in the order of sending. */
extern int ef_vi_transmit_unbundle(ef_vi* ep, const ef_event* event, ef_request_id* ids);

/* After EF_EVENT_TYPE_TX_ERROR: empties the ring and lets it send again. */
extern int __ef_vi_reinit_txq_post_error(ef_vi* vi);
#define ef_vi_reinit_txq_post_error(vi) __ef_vi_reinit_txq_post_error((vi))
/* Before that: runs the statement behind it for each frame that was not sent, with its id in `id`. */
#define ef_vi_for_each_tx_error_failed_transmit(vi, i, id)                                                    \
  for ((i) = (vi)->ep_state->txq.removed; (i) != (vi)->ep_state->txq.added; ++(i))                            \
    if (((id) = (vi)->vi_txq.ids[(i) & (vi)->vi_txq.mask]), (uint32_t)(id) == (uint32_t)EF_REQUEST_ID_MASK) { \
    } else

extern unsigned ef_vi_transmit_alt_num_ids(ef_vi* vi);
#define ef_vi_transmit_alt_select(vi, alt_id) (vi)->ops.transmit_alt_select((vi), (alt_id))
#define ef_vi_transmit_alt_select_normal(vi) (vi)->ops.transmit_alt_select_default((vi))
#define ef_vi_transmit_alt_stop(vi, alt_id) (vi)->ops.transmit_alt_stop((vi), (alt_id))
#define ef_vi_transmit_alt_go(vi, alt_id) (vi)->ops.transmit_alt_go((vi), (alt_id))
#define ef_vi_transmit_alt_discard(vi, alt_id) (vi)->ops.transmit_alt_discard((vi), (alt_id))
/* -EINVAL: the interface has no alternatives. */
extern int ef_vi_transmit_alt_query_overhead(ef_vi* vi, struct ef_vi_transmit_alt_overhead* params);
/* Bytes of buffer that a frame takes. */
ef_vi_inline ef_vi_pure uint32_t ef_vi_transmit_alt_usage(const struct ef_vi_transmit_alt_overhead* params,
                                                          uint32_t pkt_len) {
  return ((pkt_len + params->pre_round) & params->mask) + params->post_round;
}

extern void ef_vi_set_tx_push_threshold(ef_vi* vi, unsigned threshold);

#define ef_vi_transmitv_ctpio(vi, frame_len, frame_iov, frame_iov_len, ct_threshold) \
  (vi)->ops.transmitv_ctpio((vi), (frame_len), (frame_iov), (frame_iov_len), (ct_threshold))
#define ef_vi_transmitv_ctpio_copy(vi, frame_len, frame_iov, frame_iov_len, ct_threshold, fallback) \
  (vi)->ops.transmitv_ctpio_copy((vi), (frame_len), (frame_iov), (frame_iov_len), (ct_threshold), (fallback))
ef_vi_inline void ef_vi_transmit_ctpio(ef_vi* vi, const void* frame_buf, size_t frame_len, unsigned ct_threshold) {
  struct iovec iov;
  iov.iov_base = (void*)frame_buf;
  iov.iov_len = frame_len;
  ef_vi_transmitv_ctpio(vi, frame_len, &iov, 1, ct_threshold);
}
#define ef_vi_transmit_ctpio_fallback(vi, dma_addr, len, dma_id) \
  (vi)->ops.transmit_ctpio_fallback((vi), (dma_addr), (len), (dma_id))
#define ef_vi_transmitv_ctpio_fallback(vi, dma_iov, dma_iov_len, dma_id) \
  (vi)->ops.transmitv_ctpio_fallback((vi), (dma_iov), (dma_iov_len), (dma_id))
/* No cut-through at any length. */
#define EF_VI_CTPIO_CT_THRESHOLD_SNF 0xffff

/* Between the two, sends go through the whole path, return -EAGAIN and reach nobody. */
#define ef_vi_start_transmit_warm(vi, saved_state, warm_ctpio_mmap_ptr) \
  (vi)->ops.start_transmit_warm((vi), (saved_state), (warm_ctpio_mmap_ptr))
#define ef_vi_stop_transmit_warm(vi, saved_state) (vi)->ops.stop_transmit_warm((vi), (saved_state))

/* ---- event queues ---- */

#define ef_eventq_has_event(vi) (vi)->ops.eventq_has_event((vi))
/* More than `n_events` wait. */
#define ef_eventq_has_many_events(vi, n_events) (vi)->ops.eventq_has_many_events((vi), (n_events))
#define ef_eventq_check_event(vi, look_ahead) ef_eventq_has_many_events((vi), (look_ahead))
#define ef_eventq_check_event_phase_bit(vi, look_ahead) ef_eventq_has_many_events((vi), (look_ahead))
#define efxdp_ef_eventq_check_event(vi, look_ahead) ef_eventq_has_many_events((vi), (look_ahead))
#define efct_ef_eventq_check_event(vi) ef_eventq_has_event((vi))

#define ef_eventq_prime(vi) (vi)->ops.eventq_prime((vi))
/* Number of events put into `evs`; `evs_len` is EF_VI_EVENT_POLL_MIN_EVS or more. */
#define ef_eventq_poll(evq, evs, evs_len) (evq)->ops.eventq_poll((evq), (evs), (evs_len))
/* -EOPNOTSUPP: see EF_VI_CAP_RX_POLL. */
#define ef_receive_poll(vi, evs, evs_len) (vi)->ops.receive_poll((vi), (evs), (evs_len))
#define ef_future_eventq_poll(vi, evs, evs_len) (vi)->ops.future_eventq_poll((vi), (evs), (evs_len))

extern int ef_eventq_capacity(ef_vi* vi);
ef_vi_inline unsigned ef_eventq_current(ef_vi* evq) { return (unsigned)evq->ep_state->evq.evq_ptr; }

/* ---- layout of the prefix ---- */

enum ef_vi_layout_type {
  EF_VI_LAYOUT_FRAME,
  EF_VI_LAYOUT_MINOR_TICKS,   /* 32 bits: quarters of a nanosecond in the second */
  EF_VI_LAYOUT_PACKET_LENGTH, /* 16 bits, without the prefix */
  EF_VI_LAYOUT_COMPAT_TS,
  EF_VI_LAYOUT_FILTER_ID, /* 16 bits; 0xffff: none */
};

typedef struct {
  enum ef_vi_layout_type evle_type;
  int evle_offset; /* from where the prefix begins */
  const char* evle_description;
} ef_vi_layout_entry;

/* The first entry is the frame. */
extern int ef_vi_receive_query_layout(ef_vi* vi, const ef_vi_layout_entry** const layout_out, int* layout_len_out);

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_EF_VI_H__ */
