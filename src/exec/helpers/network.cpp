// SPDX-License-Identifier: Apache-2.0
// Helpers that ask the host's network (net/core/filter.c: bpf_xdp_check_mtu, bpf_ipv4_fib_lookup, bpf_ipv6_fib_lookup)
// and the socket look-ups. The card terminates no connections, so a socket look-up finds nothing.
#include <linux/bpf.h>
#include <sys/socket.h>

#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/helpers/host_network.hpp"

namespace xnic::exec::helpers {
namespace {

// Flags of bpf_fib_lookup, of which older headers know only the first two.
enum FibFlag : uint32_t { kDirect = 1, kOutput = 2, kSkipNeighbour = 4, kTableId = 8, kSource = 16, kMark = 32 };
constexpr uint32_t kAllFibFlags = 63;
// Results of bpf_fib_lookup.
enum FibResult : int {
  kSuccess,
  kBlackhole,
  kUnreachable,
  kProhibit,
  kNotForwarded,
  kForwardingDisabled,
  kUnsupportedTunnel,
  kNoNeighbour,
  kFragmentationNeeded,
  kNoSourceAddress
};

const HostNetwork& network_of(const HelperContext& ctx) {
  return ctx.run->network != nullptr ? *ctx.run->network : HostNetwork::loopback();
}

NetworkAddress address_at(const void* bytes, bool six) {
  NetworkAddress address{};
  std::memcpy(address.data(), bytes, six ? 16 : 4);
  return address;
}

// Link-local, multicast and loopback addresses are never forwarded (kernel rt6_need_strict).
bool is_confined(const NetworkAddress& address) {
  static constexpr NetworkAddress kLoopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return address[0] == 0xff || (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) || address == kLoopback;
}

int refusal(const Route* route) {
  if (route == nullptr) return kNotForwarded;
  switch (route->kind) {
    case RouteKind::kUnicast:
      return kSuccess;
    case RouteKind::kLocal:
      return kNotForwarded;
    case RouteKind::kBlackhole:
      return kBlackhole;
    case RouteKind::kUnreachable:
      return kUnreachable;
    case RouteKind::kProhibit:
      return kProhibit;
  }
  return kNotForwarded;
}

// The table id shares its place with the VLAN fields, which older headers name alone.
uint32_t take_table_id(bpf_fib_lookup& params) {
  const uint32_t table = base::load<uint32_t>(&params.h_vlan_proto);
  base::store<uint32_t>(&params.h_vlan_proto, 0);
  return table;
}

int fill_source(const Route& route, const NetworkInterface& out, bool six, bpf_fib_lookup& params) {
  const std::optional<NetworkAddress>& own = six ? out.address6 : out.address4;
  const std::optional<NetworkAddress>& source = route.source ? route.source : own;
  if (!source) {
    if (six) return kNoSourceAddress;
    params.ipv4_src = 0;
    return kSuccess;
  }
  std::memcpy(six ? static_cast<void*>(params.ipv6_src) : &params.ipv4_src, source->data(), six ? 16 : 4);
  return kSuccess;
}

int fill_neighbour(const HostNetwork& network, const NetworkInterface& out, bool six, bpf_fib_lookup& params) {
  const void* hop = six ? static_cast<const void*>(params.ipv6_dst) : &params.ipv4_dst;
  const Neighbour* neighbour = network.neighbour(out.ifindex, six, address_at(hop, six));
  if (neighbour == nullptr) return kNoNeighbour;
  std::memcpy(params.dmac, neighbour->mac.data(), 6);
  std::memcpy(params.smac, out.mac.data(), 6);
  return kSuccess;
}

int lookup(const HostNetwork& network, bool six, uint32_t flags, bpf_fib_lookup& params) {
  const NetworkAddress destination =
      address_at(six ? static_cast<const void*>(params.ipv6_dst) : &params.ipv4_dst, six);
  if (six && (is_confined(destination) || is_confined(address_at(params.ipv6_src, true)))) return kNotForwarded;
  const NetworkInterface* in = network.interface(params.ifindex);
  if (in == nullptr) return -ENODEV;
  if (!(six ? in->forwarding6 : in->forwarding4)) return kForwardingDisabled;

  const uint32_t table = (flags & kDirect) != 0 && (flags & kTableId) != 0 ? take_table_id(params) : 0;
  const Route* route = network.route(six, destination, table);
  if (const int result = refusal(route); result != kSuccess) return result;
  const NetworkInterface* out = network.interface(route->ifindex);
  if (out == nullptr) return kNotForwarded;

  const uint32_t mtu = route->mtu != 0 ? route->mtu : out->mtu;
  if (params.tot_len > mtu) {
    params.mtu_result = static_cast<uint16_t>(mtu);
    return kFragmentationNeeded;
  }
  params.rt_metric = route->metric;
  params.ifindex = out->ifindex;
  if ((flags & kSource) != 0) {
    if (const int result = fill_source(*route, *out, six, params); result != kSuccess) return result;
  }
  bool hop_six = six;
  if (route->gateway) {
    hop_six = six || route->gateway_six;
    if (hop_six && !six) params.family = AF_INET6;
    std::memcpy(hop_six ? static_cast<void*>(params.ipv6_dst) : &params.ipv4_dst, route->gateway->data(),
                hop_six ? 16 : 4);
  }
  if ((flags & kSkipNeighbour) == 0) {
    if (const int result = fill_neighbour(network, *out, hop_six, params); result != kSuccess) return result;
  }
  params.h_vlan_TCI = 0;
  params.h_vlan_proto = 0;
  params.mtu_result = static_cast<uint16_t>(mtu);
  return kSuccess;
}

}  // namespace

uint64_t fib_lookup(HelperContext& ctx, uint64_t, uint64_t params, uint64_t bytes, uint64_t flag_bits, uint64_t) {
  const uint32_t flags = static_cast<uint32_t>(flag_bits);
  if (static_cast<int32_t>(bytes) < static_cast<int32_t>(sizeof(bpf_fib_lookup))) return fail(EINVAL);
  if ((flags & ~kAllFibFlags) != 0) return fail(EINVAL);
  bpf_fib_lookup copy;
  std::memcpy(&copy, pointer<const void>(params), sizeof copy);
  if (copy.family != AF_INET && copy.family != AF_INET6) return fail(EAFNOSUPPORT);
  const int result = lookup(network_of(ctx), copy.family == AF_INET6, flags, copy);
  std::memcpy(pointer<void>(params), &copy, sizeof copy);
  return integer(result);
}

uint64_t check_mtu(HelperContext& ctx, uint64_t, uint64_t ifindex, uint64_t mtu_length, uint64_t difference,
                   uint64_t flags) {
  if (flags != 0) return fail(EINVAL);
  const uint32_t wanted =
      static_cast<uint32_t>(ifindex) == 0 ? ctx.packet->ingress_ifindex : static_cast<uint32_t>(ifindex);
  const NetworkInterface* out = network_of(ctx).interface(wanted);
  if (out == nullptr) return fail(ENODEV);
  // Lengths are the kernel's ints, with the link header; fragments are not counted.
  const uint32_t given = base::load<uint32_t>(pointer<void>(mtu_length));
  uint32_t length =
      given != 0 ? given + out->link_header_bytes : static_cast<uint32_t>(ctx.packet->data_end - ctx.packet->data);
  length += static_cast<uint32_t>(difference);
  base::store<uint32_t>(pointer<void>(mtu_length), out->mtu);
  const bool too_long = static_cast<int32_t>(length) > static_cast<int32_t>(out->mtu + out->link_header_bytes);
  return too_long ? BPF_MTU_CHK_RET_FRAG_NEEDED : BPF_MTU_CHK_RET_SUCCESS;
}

uint64_t sk_lookup_tcp(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return 0; }
uint64_t sk_lookup_udp(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return 0; }
uint64_t skc_lookup_tcp(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return 0; }

// The look-ups above never give a socket, so the helpers below are only reached with one that does not exist.
uint64_t sk_release(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return 0; }
uint64_t tcp_check_syncookie(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return fail(EINVAL); }
uint64_t tcp_gen_syncookie(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return fail(EINVAL); }

}  // namespace xnic::exec::helpers
