// SPDX-License-Identifier: Apache-2.0
// What can be asked of a card and an interface: capabilities, addresses, statistics, versions. And programmed I/O,
// whose regions are memory of the process: the card reads them where it runs.
#include <etherfabric/capabilities.h>
#include <etherfabric/pd.h>
#include <sched.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

constexpr unsigned kPioBytes = 2048;

struct Capability {
  const char* name;
  long value;  // -1: the card does not have it
};

// By number. Sizes of rings are bit masks of what they can be.
constexpr std::array<Capability, EF_VI_CAP_MAX> kCapabilities = {{
    {"PIO", 1},
    {"PIO buffer size", kPioBytes},
    {"PIO buffer count", kMaxInterfaces},
    {"multicast loopback", 1},
    {"multicast replication", 1},
    {"receive time stamps", 1},
    {"transmit time stamps", 1},
    {"packed stream", 1},
    {"packed stream buffer sizes, KiB", 64 | 1024},
    {"virtual ports", -1},
    {"physical addressing", 1},
    {"buffer addressing", 1},
    {"multicast filter chaining", 1},
    {"filters on foreign MAC addresses", 1},
    {"filter: UDP local", 1},
    {"filter: TCP local", 1},
    {"filter: UDP full", 1},
    {"filter: TCP full", 1},
    {"filter: IP with VLAN", 1},
    {"filter: UDP over IPv6 local", 1},
    {"filter: TCP over IPv6 local", 1},
    {"filter: UDP over IPv6 full", 1},
    {"filter: TCP over IPv6 full", 1},
    {"filter: IPv6 with VLAN", 1},
    {"filter: MAC", 1},
    {"filter: MAC with VLAN", 1},
    {"filter: all unicast", 1},
    {"filter: all multicast", 1},
    {"filter: unicast mismatch", 1},
    {"filter: multicast mismatch", 1},
    {"filter: receive sniff", 1},
    {"filter: transmit sniff", 1},
    {"filter: IPv4 protocol", 1},
    {"filter: EtherType", 1},
    {"receive ring sizes", 512 | 1024 | 2048 | 4096},
    {"transmit ring sizes", 512 | 1024 | 2048},
    {"event queue sizes", 512 | 1024 | 2048 | 4096 | 8192 | 16384 | 32768},
    {"no receive prefix", 1},
    {"transmit push always", 1},
    {"pacing", -1},
    {"receive event merging", 1},
    {"transmit alternatives", 1},
    {"transmit alternatives: FIFOs", 32},
    {"transmit alternatives: buffers", 2048},
    {"receive firmware variant", 0},
    {"transmit firmware variant", 0},
    {"CTPIO", 1},
    {"transmit alternatives: bytes of a buffer", 512},
    {"receive event merging is forced", 0},
    {"smallest page of buffers", kPageBytes},
    {"CTPIO only", -1},
    {"shared receive queues", -1},
    {"filter: destination queue", 1},
    {"filter: MAC and IPv4 protocol", 1},
    {"receive polling", -1},
    {"receiving by reference", -1},
    {"extra datapaths", 0},
    {"filter id of received packets", 1},
}};

int capability(unsigned cap, unsigned long* value) {
  cap &= ~EF_VI_CAP_F_ALL;
  if (cap >= kCapabilities.size()) return -ENOSYS;
  *value = kCapabilities[cap].value < 0 ? 0 : static_cast<unsigned long>(kCapabilities[cap].value);
  return kCapabilities[cap].value < 0 ? -EOPNOTSUPP : 0;
}

}  // namespace
}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

int ef_vi_capabilities_get(ef_driver_handle dh, int ifindex, ef_vi_capability cap, unsigned long* value) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  Request request;
  request.ask = Ask::kFindPort;
  request.a = static_cast<uint32_t>(ifindex);
  Reply reply;
  if (const int error = handle->connection().ask(request, reply); error != 0) return error;
  return capability(cap, value);
}

int ef_pd_capabilities_get(ef_driver_handle dh, ef_pd*, ef_driver_handle, ef_vi_capability cap, unsigned long* value) {
  return find_handle(dh) == nullptr ? -EBADF : capability(cap, value);
}

int ef_vi_capabilities_get_from_pd_flags(ef_driver_handle dh, int ifindex, int, ef_vi_capability cap,
                                         unsigned long* value) {
  return ef_vi_capabilities_get(dh, ifindex, cap, value);
}

int ef_vi_capabilities_max(void) { return EF_VI_CAP_MAX - 1; }

const char* ef_vi_capabilities_name(ef_vi_capability cap) {
  const unsigned number = cap & ~EF_VI_CAP_F_ALL;
  return number < kCapabilities.size() ? kCapabilities[number].name : nullptr;
}

const char* ef_vi_version_str(void) { return "xnic " XNIC_VERSION; }
const char* ef_vi_driver_interface_str(void) { return "xnic card 1"; }

unsigned ef_vi_mtu(ef_vi* vi, ef_driver_handle dh) { return find_handle(dh) == nullptr ? 0 : of(vi).port->mtu + 14; }

int ef_vi_get_mac(ef_vi* vi, ef_driver_handle dh, void* mac_out) {
  if (find_handle(dh) == nullptr) return -EBADF;
  std::memcpy(mac_out, of(vi).port->mac, 6);
  return 0;
}

int ef_vi_flush(ef_vi* vi, ef_driver_handle dh) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  VirtualInterface& it = of(vi);
  if (!it.rx_ids.empty()) it.state.rxq.added = it.state.rxq.posted = handle->delivery().take_back(it.number);
  return 0;
}

int ef_vi_pace(ef_vi*, ef_driver_handle, int) { return -EOPNOTSUPP; }

int ef_vi_stats_query_layout(ef_vi*, const ef_vi_stats_layout** const layout_out) {
  static constexpr std::pair<const char*, size_t> kFields[] = {{"RX CRC errors", offsetof(Statistics, crc_errors)},
                                                               {"RX trunc errors", offsetof(Statistics, truncated)},
                                                               {"RX no desc errors", offsetof(Statistics, no_buffer)},
                                                               {"RX abort errors", offsetof(Statistics, aborted)}};
  constexpr int kCount = static_cast<int>(std::size(kFields));
  static const ef_vi_stats_layout* const layout = [] {
    auto* const made = static_cast<ef_vi_stats_layout*>(
        std::calloc(1, sizeof(ef_vi_stats_layout) + kCount * sizeof(ef_vi_stats_field_layout)));
    made->evsl_data_size = sizeof(Statistics);
    made->evsl_fields_num = kCount;
    for (int i = 0; i < kCount; ++i)
      made->evsl_fields[i] = {const_cast<char*>(kFields[i].first), static_cast<int>(kFields[i].second), 4};
    return made;
  }();
  *layout_out = layout;
  return 0;
}

int ef_vi_stats_query(ef_vi* vi, ef_driver_handle dh, void* data, int do_reset) {
  if (find_handle(dh) == nullptr) return -EBADF;
  Interface& shared = *of(vi).shared;
  const Statistics now = {shared.crc_errors.load(), shared.truncated.load(), shared.no_buffer.load(),
                          shared.aborted.load()};
  Statistics& base = of(vi).statistics_base;
  const Statistics since = {now.crc_errors - base.crc_errors, now.truncated - base.truncated,
                            now.no_buffer - base.no_buffer, now.aborted - base.aborted};
  std::memcpy(data, &since, sizeof since);
  if (do_reset != 0) base = now;
  return 0;
}

int ef_pio_alloc(ef_pio* pio, ef_driver_handle pio_dh, ef_pd*, unsigned len_hint, ef_driver_handle) {
  if (find_handle(pio_dh) == nullptr) return -EBADF;
  if (len_hint == 0) return -EINVAL;
  *pio = {};
  pio->pio_len = std::min(len_hint, kPioBytes);
  pio->pio_buffer = static_cast<uint8_t*>(std::aligned_alloc(64, kPioBytes));
  if (pio->pio_buffer == nullptr) return -ENOMEM;
  std::memset(pio->pio_buffer, 0, kPioBytes);
  return 0;
}

int ef_pio_free(ef_pio* pio, ef_driver_handle) {
  if (pio->pio_io != nullptr) return -EBUSY;
  std::free(pio->pio_buffer);
  pio->pio_buffer = nullptr;
  return 0;
}

// pio_io says whether the region is linked: it is the buffer then.
int ef_pio_link_vi(ef_pio* pio, ef_driver_handle, ef_vi* vi, ef_driver_handle) {
  if (vi->linked_pio != nullptr || pio->pio_io != nullptr) return -EBUSY;
  vi->linked_pio = pio;
  pio->pio_io = pio->pio_buffer;
  return 0;
}

int ef_pio_unlink_vi(ef_pio* pio, ef_driver_handle, ef_vi* vi, ef_driver_handle) {
  if (vi->linked_pio != pio) return -EINVAL;
  vi->linked_pio = nullptr;
  pio->pio_io = nullptr;
  return 0;
}

int ef_vi_get_pio_size(ef_vi* vi) {
  return vi->linked_pio == nullptr ? -EINVAL : static_cast<int>(vi->linked_pio->pio_len);
}

int ef_pio_memcpy(ef_vi* vi, const void* base, int offset, int len) {
  const ef_pio* const pio = vi->linked_pio;
  if (pio == nullptr || offset < 0 || len < 0 ||
      static_cast<unsigned>(offset) + static_cast<unsigned>(len) > pio->pio_len)
    return -EINVAL;
  std::memcpy(pio->pio_buffer + offset, base, static_cast<size_t>(len));
  return 0;
}
