// SPDX-License-Identifier: Apache-2.0
// The host's network as helpers see it: interfaces, routes and neighbours (bpf_fib_lookup, bpf_check_mtu).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "exec/engine.hpp"

namespace xnic::exec {

// An IPv4 (first 4 bytes) or IPv6 address in network order.
using NetworkAddress = std::array<uint8_t, 16>;

struct NetworkInterface {
  uint32_t ifindex = 0;
  std::array<uint8_t, 6> mac{};
  uint32_t mtu = 1500;  // bytes, without the link header
  uint32_t link_header_bytes = 14;
  bool forwarding4 = false;  // net.ipv4.conf.IF.forwarding
  bool forwarding6 = false;
  std::optional<NetworkAddress> address4;  // source when the route names none
  std::optional<NetworkAddress> address6;
};

enum class RouteKind : uint8_t { kUnicast, kLocal, kBlackhole, kUnreachable, kProhibit };

struct Route {
  bool six = false;
  NetworkAddress prefix{};
  uint8_t prefix_bits = 0;
  RouteKind kind = RouteKind::kUnicast;
  uint32_t table = 254;  // RT_TABLE_MAIN
  uint32_t ifindex = 0;  // out
  uint32_t metric = 0;
  uint32_t mtu = 0;  // 0: the interface's
  std::optional<NetworkAddress> gateway;
  bool gateway_six = false;  // an IPv4 route may go through an IPv6 gateway
  std::optional<NetworkAddress> source;
};

struct Neighbour {
  uint32_t ifindex = 0;
  bool six = false;
  NetworkAddress address{};
  std::array<uint8_t, 6> mac{};
};

class HostNetwork {
 public:
  std::vector<NetworkInterface> interfaces;
  std::vector<Route> routes;
  std::vector<Neighbour> neighbours;

  // What a run without a network sees: lo, ifindex 1, mtu 65536, forwarding off; no routes.
  static const HostNetwork& loopback();

  // Null when absent.
  const NetworkInterface* interface(uint32_t ifindex) const;
  const Neighbour* neighbour(uint32_t ifindex, bool six, const NetworkAddress& address) const;
  // Longest prefix in the table (0: main), lowest metric among equals. Null: no route.
  const Route* route(bool six, const NetworkAddress& destination, uint32_t table) const;
};

}  // namespace xnic::exec
