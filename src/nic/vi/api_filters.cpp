// SPDX-License-Identifier: Apache-2.0
// Filter specifications. The setters gather parts in ef_filter_spec (which parts: its `type`), adding a filter makes a
// Filter of them if they go together.
#include <netinet/in.h>

#include <cstring>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

// Parts of a specification, the bits of ef_filter_spec.type.
enum Part : unsigned {
  kIp4 = 1 << 0,
  kIp6 = 1 << 1,
  kFull = 1 << 2,  // with kIp4 or kIp6
  kVlan = 1 << 3,
  kMacAddress = 1 << 4,
  kEtherTypePart = 1 << 5,
  kIpProtocolPart = 1 << 6,
  kDestination = 1 << 7,
  kUnicast = 1 << 8,
  kMulticast = 1 << 9,
  kUnicastMis = 1 << 10,
  kMulticastMis = 1 << 11,
  kPortSniff = 1 << 12,
  kSendSniff = 1 << 13,
  kBlock = 1 << 14,
  kBlockUnicast = 1 << 15,
  kBlockMulticast = 1 << 16,
};
constexpr unsigned kAlone = kPortSniff | kSendSniff | kBlock | kBlockUnicast | kBlockMulticast;

// Where the parts lie in ef_filter_spec.data.
struct Data {
  uint8_t local[16], remote[16];
  uint16_t local_port, remote_port;
  uint16_t vlan;
  uint16_t queue;
  uint16_t ether_type;
  uint8_t mac[6];  // of IP filters: nothing
};
static_assert(sizeof(Data) <= sizeof(ef_filter_spec::data));

Data read(const ef_filter_spec& spec) {
  Data data;
  std::memcpy(&data, spec.data, sizeof data);
  return data;
}

// Adds a part when the specification holds none but `allowed`.
template <class Write>
int add_part(ef_filter_spec* spec, unsigned part, unsigned allowed, Write write) {
  if ((spec->type & ~allowed) != 0) return -EPROTONOSUPPORT;
  Data data = read(*spec);
  write(data);
  std::memcpy(spec->data, &data, sizeof data);
  spec->type |= part;
  return 0;
}
int add_part(ef_filter_spec* spec, unsigned part, unsigned allowed) {
  return add_part(spec, part, allowed, [](Data&) {});
}

int set_ip(ef_filter_spec* spec, unsigned part, int protocol, const void* local, int local_port, const void* remote,
           int remote_port) {
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return -EPROTONOSUPPORT;
  const size_t bytes = (part & kIp4) != 0 ? 4 : 16;
  static constexpr uint8_t kZero[16] = {};
  // A full filter without a remote address is a local one.
  if (remote != nullptr && std::memcmp(remote, kZero, bytes) != 0) part |= kFull;
  return add_part(spec, part, kVlan | kDestination, [&](Data& data) {
    std::memcpy(data.local, local, bytes);
    if ((part & kFull) != 0) std::memcpy(data.remote, remote, bytes);
    data.local_port = static_cast<uint16_t>(local_port);
    data.remote_port = (part & kFull) != 0 ? static_cast<uint16_t>(remote_port) : 0;
    data.mac[0] = static_cast<uint8_t>(protocol);
  });
}

// The filter that the parts make. -EINVAL: none.
int make_filter(const ef_filter_spec& spec, Filter& filter) {
  const Data data = read(spec);
  const unsigned parts = spec.type & ~unsigned{kVlan | kDestination};
  const bool vlan = (spec.type & kVlan) != 0;
  filter = {};
  if (vlan) filter.vlan = data.vlan;
  filter.queue = (spec.type & kDestination) != 0 ? data.queue : kNone;
  filter.loopback = (spec.flags & EF_FILTER_FLAG_MCAST_LOOP_RECEIVE) != 0;
  filter.exclusive = (spec.flags & EF_FILTER_FLAG_EXCLUSIVE_RXQ) != 0;
  const bool shared = (spec.flags & EF_FILTER_FLAG_SHARED_RXQ) != 0;
  if (filter.exclusive && shared) return -EINVAL;
  const unsigned mac_parts = parts & ~unsigned{kMacAddress};
  if ((parts & (kIp4 | kIp6)) != 0) {
    filter.kind = (parts & kFull) != 0 ? FilterKind::kIpFull : FilterKind::kIpLocal;
    filter.version = (parts & kIp4) != 0 ? 4 : 6;
    filter.ip_protocol = data.mac[0];
    std::memcpy(filter.local.data(), data.local, 16);
    std::memcpy(filter.remote.data(), data.remote, 16);
    filter.local_port = data.local_port;
    filter.remote_port = data.remote_port;
    return 0;
  }
  if ((parts & kMacAddress) != 0 || mac_parts == kEtherTypePart || mac_parts == kIpProtocolPart) {
    if (mac_parts != 0 && mac_parts != kEtherTypePart && mac_parts != kIpProtocolPart) return -EINVAL;
    filter.kind = (parts & kMacAddress) != 0 ? FilterKind::kMac : FilterKind::kProtocol;
    if ((parts & kMacAddress) != 0) std::memcpy(filter.mac.data(), data.mac, 6);
    if (mac_parts == kEtherTypePart) filter.ether_type = ntohs(data.ether_type);
    if (mac_parts == kIpProtocolPart) filter.ip_protocol = static_cast<uint8_t>(data.ether_type);
    return 0;
  }
  switch (parts) {
    case kUnicast:
      filter.kind = FilterKind::kUnicastAll;
      return vlan ? -EINVAL : 0;
    case kMulticast:
      filter.kind = FilterKind::kMulticastAll;
      return vlan ? -EINVAL : 0;
    case kUnicastMis:
      filter.kind = FilterKind::kUnicastMismatch;
      return 0;
    case kMulticastMis:
      filter.kind = FilterKind::kMulticastMismatch;
      return 0;
    case kPortSniff:
      filter.kind = FilterKind::kSniff;
      filter.promiscuous = data.local[0] != 0;
      return 0;
    case kSendSniff:
      filter.kind = FilterKind::kTransmitSniff;
      return 0;
    case kBlock:
      filter.kind = FilterKind::kBlockKernel;
      return 0;
    case kBlockUnicast:
      filter.kind = FilterKind::kBlockKernelUnicast;
      return 0;
    case kBlockMulticast:
      filter.kind = FilterKind::kBlockKernelMulticast;
      return 0;
    default:
      return -EINVAL;
  }
}

int add_filter(ef_driver_handle dh, uint32_t interface, uint32_t set, const ef_filter_spec* spec,
               ef_filter_cookie* cookie) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  Request request;
  request.ask = Ask::kAddFilter;
  if (const int error = make_filter(*spec, request.filter); error != 0) return error;
  request.filter.interface = interface;
  request.filter.set = set;
  Reply reply;
  const int error = handle->connection().ask(request, reply);
  if (error == 0 && cookie != nullptr) *cookie = {static_cast<int>(reply.a), static_cast<int>(spec->type)};
  return error;
}

int ask_filter(ef_driver_handle dh, Ask what, uint32_t interface, uint32_t set, const ef_filter_cookie* cookie,
               Reply& reply) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  Request request;
  request.ask = what;
  request.a = interface;
  request.b = set;
  request.c = static_cast<uint32_t>(cookie->filter_id);
  return handle->connection().ask(request, reply);
}

}  // namespace
}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

void ef_filter_spec_init(ef_filter_spec* spec, ef_filter_flags flags) {
  *spec = {};
  spec->flags = flags;
}

int ef_filter_spec_set_ip4_local(ef_filter_spec* spec, int protocol, unsigned host_be32, int port_be16) {
  return set_ip(spec, kIp4, protocol, &host_be32, port_be16, nullptr, 0);
}

int ef_filter_spec_set_ip4_full(ef_filter_spec* spec, int protocol, unsigned host_be32, int port_be16,
                                unsigned rhost_be32, int rport_be16) {
  return set_ip(spec, kIp4, protocol, &host_be32, port_be16, &rhost_be32, rport_be16);
}

int ef_filter_spec_set_ip6_local(ef_filter_spec* spec, int protocol, const in6_addr* host, int port_be16) {
  return set_ip(spec, kIp6, protocol, host, port_be16, nullptr, 0);
}

int ef_filter_spec_set_ip6_full(ef_filter_spec* spec, int protocol, const in6_addr* host, int port_be16,
                                const in6_addr* rhost, int rport_be16) {
  return set_ip(spec, kIp6, protocol, host, port_be16, rhost, rport_be16);
}

int ef_filter_spec_set_vlan(ef_filter_spec* spec, int vlan_id) {
  if (vlan_id < 0 || vlan_id > 4095) return -EINVAL;
  return add_part(spec, kVlan,
                  kIp4 | kIp6 | kFull | kUnicastMis | kMulticastMis | kIpProtocolPart | kEtherTypePart | kDestination,
                  [&](Data& data) { data.vlan = static_cast<uint16_t>(vlan_id); });
}

int ef_filter_spec_set_eth_local(ef_filter_spec* spec, int vlan_id, const void* mac) {
  if (vlan_id != EF_FILTER_VLAN_ID_ANY && (vlan_id < 0 || vlan_id > 4095)) return -EINVAL;
  const unsigned part = kMacAddress | (vlan_id != EF_FILTER_VLAN_ID_ANY ? kVlan : 0u);
  return add_part(spec, part, kIpProtocolPart | kEtherTypePart | kDestination, [&](Data& data) {
    std::memcpy(data.mac, mac, 6);
    if (vlan_id != EF_FILTER_VLAN_ID_ANY) data.vlan = static_cast<uint16_t>(vlan_id);
  });
}

int ef_filter_spec_set_eth_type(ef_filter_spec* spec, uint16_t ether_type_be16) {
  return add_part(spec, kEtherTypePart, kVlan | kMacAddress | kDestination,
                  [&](Data& data) { data.ether_type = ether_type_be16; });
}

int ef_filter_spec_set_ip_proto(ef_filter_spec* spec, uint8_t ip_proto) {
  return add_part(spec, kIpProtocolPart, kVlan | kMacAddress | kDestination,
                  [&](Data& data) { data.ether_type = ip_proto; });
}

int ef_filter_spec_set_unicast_all(ef_filter_spec* spec) { return add_part(spec, kUnicast, kVlan | kDestination); }
int ef_filter_spec_set_multicast_all(ef_filter_spec* spec) { return add_part(spec, kMulticast, kVlan | kDestination); }
int ef_filter_spec_set_unicast_mismatch(ef_filter_spec* spec) {
  return add_part(spec, kUnicastMis, kVlan | kDestination);
}
int ef_filter_spec_set_multicast_mismatch(ef_filter_spec* spec) {
  return add_part(spec, kMulticastMis, kVlan | kDestination);
}

int ef_filter_spec_set_port_sniff(ef_filter_spec* spec, int promiscuous) {
  return add_part(spec, kPortSniff, 0, [&](Data& data) { data.local[0] = promiscuous != 0; });
}
int ef_filter_spec_set_tx_port_sniff(ef_filter_spec* spec) { return add_part(spec, kSendSniff, 0); }
int ef_filter_spec_set_block_kernel(ef_filter_spec* spec) { return add_part(spec, kBlock, 0); }
int ef_filter_spec_set_block_kernel_unicast(ef_filter_spec* spec) { return add_part(spec, kBlockUnicast, 0); }
int ef_filter_spec_set_block_kernel_multicast(ef_filter_spec* spec) { return add_part(spec, kBlockMulticast, 0); }

int ef_filter_spec_set_dest(ef_filter_spec* spec, int dest, unsigned flags) {
  if (flags != 0 || dest < 0 || dest > 65535 || (dest == 0 && (spec->flags & EF_FILTER_FLAG_EXCLUSIVE_RXQ) != 0))
    return -EINVAL;
  return add_part(spec, kDestination, ~kAlone, [&](Data& data) { data.queue = static_cast<uint16_t>(dest); });
}

int ef_filter_spec_set_user_mark(ef_filter_spec*, uint32_t, int) { return -EOPNOTSUPP; }
int ef_filter_spec_set_user_flag(ef_filter_spec*, uint8_t, int) { return -EOPNOTSUPP; }

int ef_vi_filter_add(ef_vi* vi, ef_driver_handle vi_dh, const ef_filter_spec* spec, ef_filter_cookie* cookie) {
  return add_filter(vi_dh, vi->vi_resource_id, kNone, spec, cookie);
}

int ef_vi_filter_del(ef_vi* vi, ef_driver_handle vi_dh, ef_filter_cookie* cookie) {
  Reply reply;
  return ask_filter(vi_dh, Ask::kDropFilter, vi->vi_resource_id, kNone, cookie, reply);
}

int ef_vi_set_filter_add(ef_vi_set* set, ef_driver_handle set_dh, const ef_filter_spec* spec,
                         ef_filter_cookie* cookie) {
  return add_filter(set_dh, kNone, set->vis_res_id, spec, cookie);
}

int ef_vi_set_filter_del(ef_vi_set* set, ef_driver_handle set_dh, ef_filter_cookie* cookie) {
  Reply reply;
  return ask_filter(set_dh, Ask::kDropFilter, kNone, set->vis_res_id, cookie, reply);
}

int ef_vi_filter_query(ef_vi* vi, ef_driver_handle vi_dh, const ef_filter_cookie* cookie, ef_filter_info* info,
                       size_t size) {
  if (size != sizeof *info) return -EINVAL;
  Reply reply;
  const int error = ask_filter(vi_dh, Ask::kQueryFilter, vi->vi_resource_id, kNone, cookie, reply);
  if (error != 0) return error == -ENOENT ? -EINVAL : error;
  *info = {};
  const FilterKind kind = reply.filter.kind;
  // What only copies or blocks has no place in the table of filters, and no queue.
  if (kind >= FilterKind::kSniff) return 0;
  info->valid_fields = EF_FILTER_FIELD_ID | EF_FILTER_FIELD_QUEUE;
  info->filter_id = static_cast<int>(reply.filter.id);
  info->q_id = static_cast<int>(reply.filter.queue);
  info->flags = reply.filter.exclusive ? EF_FILTER_IS_EXCLUSIVE : 0;
  return 0;
}
