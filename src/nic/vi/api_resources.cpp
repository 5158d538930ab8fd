// SPDX-License-Identifier: Apache-2.0
// Handles, protection domains, registered memory, virtual interfaces and sets: everything that is made by asking the
// service.
#include <etherfabric/memreg.h>
#include <etherfabric/pd.h>
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

constexpr uint32_t kNoId = 0xffffffff;
constexpr uint32_t kDefaultDiscards = EF_VI_DISCARD_RX_L4_CSUM_ERR | EF_VI_DISCARD_RX_L3_CSUM_ERR |
                                      EF_VI_DISCARD_RX_ETH_FCS_ERR | EF_VI_DISCARD_RX_ETH_LEN_ERR;
// Of the cards that programs were written for, so that they find room in buffers of 2048 bytes.
constexpr uint32_t kReceiveBufferBytes = 1792;

int ask(Handle& handle, const Request& request, uint32_t& number) {
  Reply reply;
  const int error = handle.connection().ask(request, reply);
  number = reply.a;
  return error;
}

ef_pd_flags flags_of_environment(ef_pd_flags flags) {
  const char* const text = std::getenv("EF_VI_PD_FLAGS");
  if (text == nullptr) return flags;
  static constexpr std::pair<std::string_view, unsigned> kNames[] = {{"vf", EF_PD_VF},
                                                                     {"phys", EF_PD_PHYS_MODE},
                                                                     {"default", EF_PD_DEFAULT},
                                                                     {"mcast_loop", EF_PD_MCAST_LOOP},
                                                                     {"express", EF_PD_EXPRESS}};
  unsigned named = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find(','), rest.size());
    for (const auto& [name, bit] : kNames)
      if (rest.substr(0, end) == name) named |= bit;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return named != 0 ? static_cast<ef_pd_flags>(named) : flags;
}

int make_domain(ef_pd* pd, ef_driver_handle dh, const char* name, int ifindex, ef_pd_flags flags) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  flags = flags_of_environment(flags);
  if ((flags & EF_PD_VF) != 0) return -ENODEV;
  Request find;
  find.ask = Ask::kFindPort;
  if (name != nullptr) {
    if (std::strlen(name) >= sizeof find.name) return -ENODEV;
    std::strcpy(find.name, name);
  } else {
    find.a = static_cast<uint32_t>(ifindex);
  }
  Request make;
  make.ask = Ask::kMakeDomain;
  make.b = (flags & EF_PD_MCAST_LOOP) != 0 ? 1 : 0;
  if (const int error = ask(*handle, find, make.a); error != 0) return error;
  *pd = {};
  if (const int error = ask(*handle, make, pd->pd_resource_id); error != 0) return error;
  pd->pd_flags = flags;
  pd->pd_intf_name = strdup(handle->card().header().ports[make.a].name);
  pd->pd_cluster_sock = -1;
  return 0;
}

// A capacity as the program gave it, in entries. -1: the default; -EINVAL: more than there can be.
int entries_of(int capacity, const char* variable, int otherwise, uint32_t least, uint32_t most) {
  if (capacity < 0) {
    const char* const text = std::getenv(variable);
    capacity = text != nullptr ? std::atoi(text) : otherwise;
  }
  if (capacity <= 0) return 0;
  if (static_cast<uint32_t>(capacity) > most) return -EINVAL;
  return static_cast<int>(std::max(least, std::bit_ceil(static_cast<uint32_t>(capacity))));
}

struct Sizes {
  int events, rx, tx;
};

int sizes_of(int evq_capacity, int rxq_capacity, int txq_capacity, const ef_vi* evq_opt, uint64_t flags, Sizes& out) {
  if ((evq_capacity == 0) != (evq_opt != nullptr)) return -EINVAL;
  out.rx = entries_of(rxq_capacity, "EF_VI_RXQ_SIZE", 512, 512, 4096);
  out.tx = entries_of(txq_capacity, "EF_VI_TXQ_SIZE", 512, 512, 2048);
  if (out.rx < 0 || out.tx < 0) return -EINVAL;
  const bool more = (flags & (EF_VI_TX_TIMESTAMPS | EF_VI_TX_ALT)) != 0;
  int wanted = out.rx + (more ? 3 : 1) * out.tx;
  if ((flags & EF_VI_RX_PACKED_STREAM) != 0) wanted = 32768;
  out.events = evq_capacity == 0 ? 0 : entries_of(evq_capacity, "EF_VI_EVQ_SIZE", std::max(wanted, 512), 512, 32768);
  return out.events < 0 ? -EINVAL : 0;
}

int check_flags(uint64_t flags, const ef_pd& pd) {
  if ((flags & EF_VI_TX_ALT) != 0 && (flags & EF_VI_TX_TIMESTAMPS) != 0) return -EOPNOTSUPP;
  if ((flags & EF_VI_RX_PACKED_STREAM) != 0 && (flags & EF_VI_RX_EVENT_MERGE) != 0) return -EOPNOTSUPP;
  if ((flags & EF_VI_RX_PACKED_STREAM) != 0 && (pd.pd_flags & EF_PD_RX_PACKED_STREAM) == 0) return -EINVAL;
  constexpr uint64_t kMissing = EF_VI_ISCSI_RX_HDIG | EF_VI_ISCSI_TX_HDIG | EF_VI_ISCSI_RX_DDIG | EF_VI_ISCSI_TX_DDIG |
                                EF_VI_TX_FILTER_IP | EF_VI_TX_FILTER_MAC | EF_VI_TX_FILTER_MASK_3 | EF_VI_ENABLE_TPH |
                                EF_VI_TPH_TAG_MODE;
  return (flags & kMissing) != 0 ? -EOPNOTSUPP : 0;
}

// A place among the queues that an event queue serves; -1: it is full.
int free_label(const ef_vi& evq) {
  for (int label = 0; label < EF_VI_MAX_QS; ++label)
    if (evq.vi_qs[label] == nullptr) return label;
  return -1;
}

void describe(ef_vi& vi, VirtualInterface& it, const Sizes& sizes, uint64_t flags) {
  const Interface& shared = *it.shared;
  vi = {};
  vi.inited = 1;
  vi.xnic = &it;
  vi.vi_resource_id = it.number;
  vi.vi_i = shared.queue;
  vi.abs_idx = shared.queue;
  vi.rx_buffer_len = kReceiveBufferBytes;
  vi.rx_prefix_len = shared.prefix_bytes;
  vi.rx_pkt_len_offset = kPrefixLengthAt;
  vi.rx_pkt_len_mask = 0xffff;
  vi.rx_discard_mask = kDefaultDiscards;
  vi.ts_format = TS_FORMAT_SECONDS_QTR_NANOSECONDS;
  vi.vi_is_packed_stream = (flags & EF_VI_RX_PACKED_STREAM) != 0;
  vi.vi_is_normal = (flags & (EF_VI_RX_PACKED_STREAM | EF_VI_RX_EVENT_MERGE)) == 0;
  vi.vi_ps_buf_size = (flags & EF_VI_RX_PS_BUF_SIZE_64K) != 0 ? 64u << 10 : 1u << 20;
  vi.timer_quantum_ns = 0;
  vi.tx_push_thresh = (flags & EF_VI_TX_PUSH_DISABLE) != 0 ? 0 : (flags & EF_VI_TX_PUSH_ALWAYS) != 0 ? ~0u : 16;
  vi.vi_flags = static_cast<enum ef_vi_flags>(flags);
  vi.vi_out_flags = static_cast<ef_vi_out_flags>(
      (flags & (EF_VI_RX_TIMESTAMPS | EF_VI_TX_TIMESTAMPS)) != 0 ? EF_VI_OUT_CLOCK_SYNC_STATUS : 0);
  vi.vi_stats = &it.stats;
  vi.ep_state = &it.state;
  vi.nic_type = {EF_VI_ARCH_EF10, 'A', 2, 0};
  if (sizes.events != 0) {
    vi.evq_base = reinterpret_cast<char*>(it.card.events(shared));
    vi.evq_mask = static_cast<unsigned>(sizes.events) * 8 - 1;
    vi.evq_phase_bits = 1;
  }
  if (sizes.rx != 0) {
    it.rx_ids.assign(static_cast<size_t>(sizes.rx), kNoId);
    vi.vi_rxq = {static_cast<uint32_t>(sizes.rx) - 1, it.card.rx_ring(shared), it.rx_ids.data()};
  }
  if (sizes.tx != 0) {
    it.tx_ids.assign(static_cast<size_t>(sizes.tx), kNoId);
    it.tx.slots.resize(static_cast<size_t>(sizes.tx));
    vi.vi_txq = {static_cast<uint32_t>(sizes.tx) - 1, 0, it.tx.slots.data(), it.tx_ids.data()};
  }
  set_receive_ops(vi);
  set_transmit_ops(vi);
  set_event_ops(vi);
}

void prepare_sending(VirtualInterface& it) {
  const uint32_t port = it.shared->port;
  it.tx.delivery = it.handle->delivery();
  if (it.port->peer != kNone) it.tx.wire = std::make_unique<Steering>(it.card, it.port->peer, Face::kWire);
  it.tx.outgoing = std::make_unique<Steering>(it.card, port, Face::kOutgoing);
  if (it.card.header().domains[it.shared->domain].multicast_loop != 0)
    it.tx.loopback = std::make_unique<Steering>(it.card, port, Face::kLoopback);
}

int make_interface(ef_vi* vi, ef_driver_handle vi_dh, const ef_pd* pd, uint32_t set, int index, int evq_capacity,
                   int rxq_capacity, int txq_capacity, ef_vi* evq_opt, uint64_t flags) {
  const auto handle = find_handle(vi_dh);
  if (handle == nullptr) return -EBADF;
  if (const char* const extra = std::getenv("EF_VI_EXTRA_VI_FLAGS"); extra != nullptr)
    flags |= std::strtoull(extra, nullptr, 0);
  if (const int error = check_flags(flags, *pd); error != 0) return error;
  Sizes sizes{};
  if (const int error = sizes_of(evq_capacity, rxq_capacity, txq_capacity, evq_opt, flags, sizes); error != 0)
    return error;
  const int label = evq_opt != nullptr ? free_label(*evq_opt) : 0;
  if (label < 0) return -EBUSY;
  const bool prefix = (flags & (EF_VI_RX_EVENT_MERGE | EF_VI_RX_TIMESTAMPS | EF_VI_RX_FILTER_ID)) != 0 &&
                      (flags & EF_VI_RX_PACKED_STREAM) == 0;
  Request request;
  request.ask = Ask::kMakeInterface;
  MakeInterface& make = request.interface;
  make.domain = pd->pd_resource_id;
  make.event_queue = evq_opt != nullptr ? evq_opt->vi_resource_id : kNone;
  make.label = static_cast<uint32_t>(label);
  make.event_entries = static_cast<uint32_t>(sizes.events);
  make.rx_entries = static_cast<uint32_t>(sizes.rx);
  make.prefix_bytes = prefix ? kPrefixBytes : 0;
  make.set = set;
  make.index = index < 0 ? kNone : static_cast<uint32_t>(index);
  make.discard_mask = kDefaultDiscards;
  make.flags = flags;
  uint32_t number;
  if (const int error = ask(*handle, request, number); error != 0) return error;

  auto it = std::make_unique<VirtualInterface>();
  it->handle = handle;
  it->vi = vi;
  it->number = number;
  it->card = handle->card();
  it->shared = &it->card.header().interfaces[number];
  it->port = &it->card.header().ports[it->shared->port];
  describe(*vi, *it, sizes, flags);
  vi->dh = vi_dh;
  it->queue_vi = evq_opt != nullptr ? evq_opt : vi;
  it->queue_vi->vi_qs[label] = vi;
  it->queue_vi->vi_qs_n = std::max(it->queue_vi->vi_qs_n, label + 1);
  if (sizes.tx != 0) prepare_sending(*it);
  if (sizes.events != 0) handle->add(it.get());
  it.release();  // ef_vi_free's
  return label;
}

}  // namespace

VirtualInterface::~VirtualInterface() { handle->remove(this); }

}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

int ef_driver_open(ef_driver_handle* handle_out) { return open_handle(handle_out); }
int ef_driver_close(ef_driver_handle handle) { return close_handle(handle); }

int ef_pd_alloc(ef_pd* pd, ef_driver_handle pd_dh, int ifindex, ef_pd_flags flags) {
  return make_domain(pd, pd_dh, nullptr, ifindex, flags);
}

int ef_pd_alloc_by_name(ef_pd* pd, ef_driver_handle pd_dh, const char* name, ef_pd_flags flags) {
  return make_domain(pd, pd_dh, name, 0, flags);
}

int ef_pd_alloc_with_vport(ef_pd*, ef_driver_handle, const char*, ef_pd_flags, int) { return -EOPNOTSUPP; }

const char* ef_pd_interface_name(ef_pd* pd) { return pd->pd_intf_name; }

int ef_pd_free(ef_pd* pd, ef_driver_handle pd_dh) {
  const auto handle = find_handle(pd_dh);
  if (handle == nullptr) return -EBADF;
  Request request;
  request.ask = Ask::kFreeDomain;
  request.a = pd->pd_resource_id;
  uint32_t unused;
  const int error = ask(*handle, request, unused);
  if (error != 0) return error;
  std::free(pd->pd_intf_name);
  pd->pd_intf_name = nullptr;
  return 0;
}

int ef_memreg_alloc(ef_memreg* mr, ef_driver_handle, ef_pd* pd, ef_driver_handle pd_dh, void* p_mem, size_t len_bytes) {
  const auto handle = find_handle(pd_dh);
  if (handle == nullptr) return -EBADF;
  if (reinterpret_cast<uintptr_t>(p_mem) % kPageBytes != 0 || len_bytes == 0) return -EINVAL;
  const size_t bytes = (len_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  std::vector<uint64_t> addresses;
  const int error = register_memory(*handle, pd->pd_resource_id, static_cast<uint8_t*>(p_mem), bytes, addresses);
  if (error != 0) return error;
  mr->mr_resource_id = pd->pd_resource_id;
  mr->mr_dma_addrs = static_cast<ef_addr*>(std::malloc(addresses.size() * sizeof(ef_addr)));
  if (mr->mr_dma_addrs == nullptr) return -ENOMEM;
  std::ranges::copy(addresses, mr->mr_dma_addrs);
  return 0;
}

int ef_memreg_free(ef_memreg* mr, ef_driver_handle) {
  std::free(mr->mr_dma_addrs);
  mr->mr_dma_addrs = nullptr;
  return 0;
}

int ef_vi_alloc_from_pd(ef_vi* vi, ef_driver_handle vi_dh, ef_pd* pd, ef_driver_handle, int evq_capacity,
                        int rxq_capacity, int txq_capacity, ef_vi* evq_opt, ef_driver_handle, enum ef_vi_flags flags) {
  return make_interface(vi, vi_dh, pd, kNone, -1, evq_capacity, rxq_capacity, txq_capacity, evq_opt, flags);
}

int ef_vi_alloc_from_set(ef_vi* vi, ef_driver_handle vi_dh, ef_vi_set* vi_set, ef_driver_handle, int index_in_vi_set,
                         int evq_capacity, int rxq_capacity, int txq_capacity, ef_vi* evq_opt, ef_driver_handle,
                         enum ef_vi_flags flags) {
  if (index_in_vi_set < -1) return -EINVAL;
  return make_interface(vi, vi_dh, vi_set->vis_pd, vi_set->vis_res_id, index_in_vi_set, evq_capacity, rxq_capacity,
                        txq_capacity, evq_opt, flags);
}

int ef_vi_free(ef_vi* vi, ef_driver_handle nic) {
  const auto handle = find_handle(nic);
  if (handle == nullptr) return -EBADF;
  VirtualInterface* const it = &of(vi);
  for (int label = 0; label < vi->vi_qs_n; ++label)
    if (vi->vi_qs[label] != nullptr && vi->vi_qs[label] != vi) return -EBUSY;
  Request request;
  request.ask = Ask::kFreeInterface;
  request.a = it->number;
  uint32_t unused;
  // Of whatever handle: the connection that made it knows it.
  if (const int error = ask(*it->handle, request, unused); error != 0) return error;
  for (ef_vi*& queue : it->queue_vi->vi_qs)
    if (queue == vi) queue = nullptr;
  delete it;
  vi->inited = 0;
  vi->xnic = nullptr;
  return 0;
}

int ef_vi_set_alloc_from_pd(ef_vi_set* vi_set, ef_driver_handle vi_set_dh, ef_pd* pd, ef_driver_handle, int n_vis) {
  const auto handle = find_handle(vi_set_dh);
  if (handle == nullptr) return -EBADF;
  if (n_vis < 1 || n_vis > static_cast<int>(kMaxSetMembers)) return -EINVAL;
  Request request;
  request.ask = Ask::kMakeSet;
  request.a = pd->pd_resource_id;
  request.b = static_cast<uint32_t>(n_vis);
  vi_set->vis_pd = pd;
  return ask(*handle, request, vi_set->vis_res_id);
}

int ef_vi_set_free(ef_vi_set* vi_set, ef_driver_handle vi_set_dh) {
  const auto handle = find_handle(vi_set_dh);
  if (handle == nullptr) return -EBADF;
  Request request;
  request.ask = Ask::kFreeSet;
  request.a = vi_set->vis_res_id;
  uint32_t unused;
  return ask(*handle, request, unused);
}
