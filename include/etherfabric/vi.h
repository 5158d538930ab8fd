/* SPDX-License-Identifier: Apache-2.0 */
/* Making virtual interfaces and sets of them, filters, statistics. */
#ifndef __EFAB_VI_H__
#define __EFAB_VI_H__

#include <etherfabric/ef_vi.h>

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ef_pd;
struct in6_addr;

/* Capacities: 0 none; -1 the default (EF_VI_EVQ_SIZE, EF_VI_RXQ_SIZE, EF_VI_TXQ_SIZE of the environment, else 512, and
 * events enough for both rings); else rounded up to a power of two: rings 512 to 4096 (receiving), 512 to 2048
 * (sending), events 512 to 32768. `evq_opt` is given when and only when `evq_capacity` is 0: its queue is used.
 * The queue's label (0 or more) that events will have as q_id; -EINVAL; -EBUSY: the event queue serves EF_VI_MAX_QS
 * already; -EOPNOTSUPP: flags that exclude each other, or that this card does not have; -ENOSPC: the card is full. */
extern int ef_vi_alloc_from_pd(ef_vi* vi, ef_driver_handle vi_dh, struct ef_pd* pd, ef_driver_handle pd_dh,
                               int evq_capacity, int rxq_capacity, int txq_capacity, ef_vi* evq_opt,
                               ef_driver_handle evq_dh, enum ef_vi_flags flags);
/* Its filters go with it. -EBUSY: other interfaces still use its event queue. */
extern int ef_vi_free(ef_vi* vi, ef_driver_handle nic);

/* -EINVAL: no EF_VI_TX_ALT, or a count or a space that cannot be; -EALREADY; -EBUSY: not as many, or not as much. */
extern int ef_vi_transmit_alt_alloc(struct ef_vi* vi, ef_driver_handle vi_dh, int num_alts, size_t buf_space);
extern int ef_vi_transmit_alt_free(struct ef_vi* vi, ef_driver_handle vi_dh);
/* Bytes that could be allocated; -EINVAL: no EF_VI_TX_ALT. */
extern int ef_vi_transmit_alt_query_buffering(struct ef_vi* vi, int ifindex, ef_driver_handle vi_dh, int n_alts);

/* After it no posted buffer is written any more. */
extern int ef_vi_flush(ef_vi* vi, ef_driver_handle nic);
/* -EOPNOTSUPP. */
extern int ef_vi_pace(ef_vi* vi, ef_driver_handle nic, int val);
/* Longest frame, headers counted, no FCS; 0 on error. */
extern unsigned ef_vi_mtu(ef_vi* vi, ef_driver_handle vi_dh);
extern int ef_vi_get_mac(ef_vi* vi, ef_driver_handle vi_dh, void* mac_out);
/* An event of one's own for the queue of the interface with this resource id. -EINVAL: more than 16 bits, or no such
 * queue of this handle. */
extern int ef_eventq_put(unsigned resource_id, ef_driver_handle evq_dh, unsigned ev_bits);

typedef struct {
  unsigned vis_res_id;
  struct ef_pd* vis_pd;
} ef_vi_set;

/* A set of `n_vis` interfaces (1 to 32), over which its filters spread packets by the hash of their flow. */
extern int ef_vi_set_alloc_from_pd(ef_vi_set* vi_set, ef_driver_handle vi_set_dh, struct ef_pd* pd,
                                   ef_driver_handle pd_dh, int n_vis);
extern int ef_vi_set_free(ef_vi_set* vi_set, ef_driver_handle vi_set_dh);
/* `index_in_vi_set` -1: any that is free. -EBUSY: taken, or all are; -EINVAL: no such place. Else as
 * ef_vi_alloc_from_pd. */
extern int ef_vi_alloc_from_set(ef_vi* vi, ef_driver_handle vi_dh, ef_vi_set* vi_set, ef_driver_handle vi_set_dh,
                                int index_in_vi_set, int evq_capacity, int rxq_capacity, int txq_capacity,
                                ef_vi* evq_opt, ef_driver_handle evq_dh, enum ef_vi_flags flags);

/* Makes the driver handle readable, once, when an event lies beyond `current_ptr`: now or later. */
extern int ef_vi_prime(ef_vi* vi, ef_driver_handle dh, unsigned current_ptr);

/* ---- filters ---- */

enum ef_filter_flags {
  EF_FILTER_FLAG_NONE = 0x0,
  EF_FILTER_FLAG_MCAST_LOOP_RECEIVE = 0x2,
  EF_FILTER_FLAG_EXCLUSIVE_RXQ = 0x4,
  EF_FILTER_FLAG_SHARED_RXQ = 0x8,
  EF_FILTER_FLAG_REQUEST_WAKEUPS = 0x10,
};

typedef struct ef_filter_spec {
  unsigned type;
  unsigned flags;
  unsigned data[12];
} ef_filter_spec;

enum {
  EF_FILTER_VLAN_ID_ANY = -1,
};

typedef struct ef_filter_cookie {
  int filter_id;
  int filter_type;
} ef_filter_cookie;

/* Bits of ef_filter_info.valid_fields. */
enum ef_filter_info_fields {
  EF_FILTER_FIELD_ID = 0x1,
  EF_FILTER_FIELD_QUEUE = 0x2,
};
#define EF_FILTER_IS_EXCLUSIVE 0x4

typedef struct ef_filter_info {
  uint64_t valid_fields;
  int filter_id;
  int q_id;
  int flags;
  int __reserved;
} ef_filter_info;

/* The setters return 0, or -EPROTONOSUPPORT when the specification holds something that does not go together with the
 * new part, or -EINVAL. Addresses and ports are big-endian. */
extern void ef_filter_spec_init(ef_filter_spec* filter_spec, enum ef_filter_flags flags);
extern int ef_filter_spec_set_ip4_local(ef_filter_spec* filter_spec, int protocol, unsigned host_be32, int port_be16);
extern int ef_filter_spec_set_ip4_full(ef_filter_spec* filter_spec, int protocol, unsigned host_be32, int port_be16,
                                       unsigned rhost_be32, int rport_be16);
extern int ef_filter_spec_set_ip6_local(ef_filter_spec* filter_spec, int protocol, const struct in6_addr* host,
                                        int port_be16);
extern int ef_filter_spec_set_ip6_full(ef_filter_spec* filter_spec, int protocol, const struct in6_addr* host,
                                       int port_be16, const struct in6_addr* rhost, int rport_be16);
extern int ef_filter_spec_set_vlan(ef_filter_spec* filter_spec, int vlan_id);
extern int ef_filter_spec_set_eth_local(ef_filter_spec* filter_spec, int vlan_id, const void* mac);
extern int ef_filter_spec_set_unicast_all(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_multicast_all(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_unicast_mismatch(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_multicast_mismatch(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_port_sniff(ef_filter_spec* filter_spec, int promiscuous);
extern int ef_filter_spec_set_tx_port_sniff(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_block_kernel(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_block_kernel_multicast(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_block_kernel_unicast(ef_filter_spec* filter_spec);
extern int ef_filter_spec_set_eth_type(ef_filter_spec* filter_spec, uint16_t ether_type_be16);
extern int ef_filter_spec_set_ip_proto(ef_filter_spec* filter_spec, uint8_t ip_proto);
/* The receive queue of the port that the packets take, 0 to 65535. */
extern int ef_filter_spec_set_dest(ef_filter_spec* filter_spec, int dest, unsigned flags);
/* -EOPNOTSUPP. */
extern int ef_filter_spec_set_user_mark(ef_filter_spec* filter_spec, uint32_t user_mark, int bitwise_or);
extern int ef_filter_spec_set_user_flag(ef_filter_spec* filter_spec, uint8_t user_flag, int bitwise_or);

/* -EINVAL: the parts make no filter; -EEXIST: another interface takes the same unicast packets; -EBUSY: the receive
 * queue is somebody else's; -ENOSPC: the port's table is full. `filter_cookie_out` may be NULL. */
extern int ef_vi_filter_add(ef_vi* vi, ef_driver_handle vi_dh, const ef_filter_spec* filter_spec,
                            ef_filter_cookie* filter_cookie_out);
/* -ENOENT: no such filter of this interface. */
extern int ef_vi_filter_del(ef_vi* vi, ef_driver_handle vi_dh, ef_filter_cookie* filter_cookie);
/* -EINVAL: `filter_info_size` is not sizeof(ef_filter_info), or no such filter. */
extern int ef_vi_filter_query(ef_vi* vi, ef_driver_handle vi_dh, const ef_filter_cookie* filter_cookie,
                              ef_filter_info* filter_info, size_t filter_info_size);
extern int ef_vi_set_filter_add(ef_vi_set* vi_set, ef_driver_handle vi_set_dh, const ef_filter_spec* filter_spec,
                                ef_filter_cookie* filter_cookie_out);
extern int ef_vi_set_filter_del(ef_vi_set* vi_set, ef_driver_handle vi_set_dh, ef_filter_cookie* filter_cookie);

/* ---- statistics ---- */

typedef struct {
  char* evsfl_name;
  int evsfl_offset;
  int evsfl_size;
} ef_vi_stats_field_layout;

typedef struct {
  int evsl_data_size;
  int evsl_fields_num;
  __extension__ ef_vi_stats_field_layout evsl_fields[];
} ef_vi_stats_layout;

extern int ef_vi_stats_query_layout(ef_vi* vi, const ef_vi_stats_layout** const layout_out);
/* `data`: evsl_data_size bytes. */
extern int ef_vi_stats_query(ef_vi* vi, ef_driver_handle vi_dh, void* data, int do_reset);

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_VI_H__ */
