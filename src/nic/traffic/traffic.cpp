// SPDX-License-Identifier: Apache-2.0
// A frame is built from the outside in: Ethernet, VLAN tags, network header, transport header; the rest is a counting
// payload. Headers that do not fit the requested size make the frame longer. Addresses: 10.0.0.0/16 to 10.1.0.0/16, or
// fd00:0::/64 to fd00:1::/64, by flow number.
#include "nic/traffic/traffic.hpp"

#include <algorithm>
#include <charconv>

#include "base/check.hpp"
#include "wire/headers.hpp"

namespace xnic::nic::traffic {

using base::ErrorKind;
using base::make_error;
using base::MutableBytes;
using base::Result;

namespace {

constexpr std::pair<std::string_view, Protocol> kProtocolNames[] = {
    {"udp", Protocol::kUdp},   {"tcp", Protocol::kTcp},     {"icmp", Protocol::kIcmp}, {"udp6", Protocol::kUdp6},
    {"tcp6", Protocol::kTcp6}, {"icmp6", Protocol::kIcmp6}, {"arp", Protocol::kArp},   {"other", Protocol::kOther},
};
constexpr wire::Mac kSourceMac = {0x02, 0, 0, 0, 0, 1};
constexpr wire::Mac kDestinationMac = {0x02, 0, 0, 0, 0, 2};
constexpr uint16_t kLocalExperimentalEtherType = 0x88b5;

Result<uint32_t> parse_size(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || end != text.end() || value < kMinFrameBytes || value > kMaxFrameBytes) {
    return make_error(ErrorKind::kBadInput, "frame size", "'{}' is not a number of bytes from {} to {}", text,
                      kMinFrameBytes, kMaxFrameBytes);
  }
  return value;
}

uint32_t flow_port(uint32_t flow) { return 1024 + flow % 60000; }

struct Headers {
  uint16_t ether_type;
  size_t network_bytes;    // 0 for frames without IP
  size_t transport_bytes;  // of ARP: its whole message
};

Headers headers_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::kUdp:
      return {wire::kEtherTypeIpv4, wire::Ipv4::kBytes, wire::Udp::kBytes};
    case Protocol::kTcp:
      return {wire::kEtherTypeIpv4, wire::Ipv4::kBytes, wire::Tcp::kBytes};
    case Protocol::kIcmp:
      return {wire::kEtherTypeIpv4, wire::Ipv4::kBytes, wire::Icmp::kBytes};
    case Protocol::kUdp6:
      return {wire::kEtherTypeIpv6, wire::Ipv6::kBytes, wire::Udp::kBytes};
    case Protocol::kTcp6:
      return {wire::kEtherTypeIpv6, wire::Ipv6::kBytes, wire::Tcp::kBytes};
    case Protocol::kIcmp6:
      return {wire::kEtherTypeIpv6, wire::Ipv6::kBytes, wire::Icmp::kBytes};
    case Protocol::kArp:
      return {wire::kEtherTypeArp, 0, wire::Arp::kBytes};
    case Protocol::kOther:
      return {kLocalExperimentalEtherType, 0, 0};
  }
  CHECK(false);
}

bool is_tcp(Protocol protocol) { return protocol == Protocol::kTcp || protocol == Protocol::kTcp6; }

uint8_t ip_protocol(Protocol protocol) {
  if (is_tcp(protocol)) return wire::kTcp;
  if (protocol == Protocol::kUdp || protocol == Protocol::kUdp6) return wire::kUdp;
  return protocol == Protocol::kIcmp ? wire::kIcmp : wire::kIcmpv6;
}

// Emits the network header at the front of `packet`; returns the sum of its pseudo header.
uint32_t emit_network(MutableBytes packet, Protocol protocol, uint32_t flow, size_t network_bytes) {
  const auto payload_bytes = static_cast<uint32_t>(packet.size() - network_bytes);
  if (network_bytes == wire::Ipv4::kBytes) {
    wire::Ipv4 ip{.total_bytes = static_cast<uint16_t>(packet.size()),
                  .identification = static_cast<uint16_t>(flow),
                  .protocol = ip_protocol(protocol),
                  .source = 0x0a000000u + (flow & 0xffff),
                  .destination = 0x0a010000u + (flow * 7 & 0xffff)};
    ip.emit(packet);
    return protocol == Protocol::kIcmp ? 0 : ip.pseudo_header_sum(payload_bytes);
  }
  wire::Ipv6 ip{.flow_label = flow & 0xfffff,
                .payload_bytes = static_cast<uint16_t>(payload_bytes),
                .next_header = ip_protocol(protocol)};
  ip.source[0] = ip.destination[0] = 0xfd;
  ip.destination[3] = 1;
  base::store_be(&ip.source[12], flow);
  base::store_be(&ip.destination[12], flow * 7);
  ip.emit(packet);
  return ip.pseudo_header_sum(ip.next_header, payload_bytes);
}

}  // namespace

Result<Sizes> parse_sizes(std::string_view text) {
  if (text == "imix") return Sizes{.imix = true};
  const size_t dash = text.find('-');
  Sizes sizes;
  XNIC_ASSIGN(sizes.min_bytes, parse_size(text.substr(0, dash)));
  sizes.max_bytes = sizes.min_bytes;
  if (dash != std::string_view::npos) {
    XNIC_ASSIGN(sizes.max_bytes, parse_size(text.substr(dash + 1)));
  }
  if (sizes.max_bytes < sizes.min_bytes) {
    return make_error(ErrorKind::kBadInput, "frame size", "the range '{}' is upside down", text);
  }
  return sizes;
}

Result<std::vector<Protocol>> parse_protocols(std::string_view text) {
  std::vector<Protocol> protocols;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view name = text.substr(at, end - at);
    const auto* known = std::find_if(std::begin(kProtocolNames), std::end(kProtocolNames),
                                     [&](const auto& entry) { return entry.first == name; });
    if (known == std::end(kProtocolNames)) {
      return make_error(ErrorKind::kBadInput, "protocols",
                        "'{}' is none of udp, tcp, icmp, udp6, tcp6, icmp6, arp, other", name);
    }
    protocols.push_back(known->second);
    at = end + 1;
  }
  return protocols;
}

Generator::Generator(const Options& options) : options_(options), rng_(options.seed) {
  CHECK(!options_.protocols.empty());
  CHECK(options_.flows > 0);
  for (auto& sent : tcp_sent_) sent.resize(options_.flows);
}

void Generator::next(std::vector<uint8_t>& frame) {
  const Protocol protocol = options_.protocols[rng_.below(options_.protocols.size())];
  const auto flow = static_cast<uint32_t>(rng_.below(options_.flows));
  uint32_t bytes = 0;
  if (options_.sizes.imix) {
    const uint64_t draw = rng_.below(12);
    bytes = draw < 7 ? 60 : draw < 11 ? 590 : 1514;
  } else {
    bytes = static_cast<uint32_t>(rng_.range(options_.sizes.min_bytes, options_.sizes.max_bytes));
  }
  build(frame, protocol, flow, bytes);
  if (rng_.chance(options_.malformed_percent, 100)) damage(frame);
}

void Generator::build(std::vector<uint8_t>& frame, Protocol protocol, uint32_t flow, uint32_t bytes) {
  const Headers headers = headers_of(protocol);
  const size_t network = wire::Ethernet::kBytes + options_.vlan_tags * wire::Vlan::kBytes;
  const size_t transport = network + headers.network_bytes;
  const size_t payload = transport + headers.transport_bytes;
  frame.assign(std::max<size_t>(bytes, payload), 0);
  for (size_t i = payload; i < frame.size(); ++i) frame[i] = static_cast<uint8_t>(i - payload);

  const MutableBytes all(frame);
  const uint16_t inner = headers.ether_type;
  const uint16_t outer = options_.vlan_tags == 0   ? inner
                         : options_.vlan_tags == 1 ? uint16_t{wire::kEtherTypeVlan}
                                                   : uint16_t{wire::kEtherTypeQinq};
  wire::Ethernet{kDestinationMac, kSourceMac, outer}.emit(all);
  for (uint32_t tag = 0; tag < options_.vlan_tags; ++tag) {
    const bool last = tag + 1 == options_.vlan_tags;
    wire::Vlan{static_cast<uint16_t>(1 + flow % 4000), last ? inner : uint16_t{wire::kEtherTypeVlan}}.emit(
        all.subspan(wire::Ethernet::kBytes + tag * wire::Vlan::kBytes));
  }
  if (protocol == Protocol::kArp) {
    wire::Arp{1, kSourceMac, 0x0a000000u + (flow & 0xffff), {}, 0x0a010000u}.emit(all.subspan(network));
  }
  if (headers.network_bytes == 0) return;
  const uint32_t pseudo = emit_network(all.subspan(network), protocol, flow, headers.network_bytes);
  const MutableBytes segment = all.subspan(transport);
  const auto port = static_cast<uint16_t>(flow_port(flow));
  if (is_tcp(protocol)) {
    uint32_t& sent = tcp_sent_[protocol == Protocol::kTcp6][flow];
    const uint8_t flags = sent == 0 ? 0x02 : 0x18;
    wire::Tcp{.source_port = port,
              .destination_port = 80,
              .sequence = 1000 + sent++,
              .acknowledgment = flags == 0x02 ? 0u : 1u,
              .flags = flags}
        .emit(segment, pseudo);
  } else if (protocol == Protocol::kUdp || protocol == Protocol::kUdp6) {
    wire::Udp{port, 53, static_cast<uint16_t>(segment.size())}.emit(segment, pseudo);
  } else {
    wire::Icmp{.type = static_cast<uint8_t>(protocol == Protocol::kIcmp ? 8 : 128), .rest = flow}.emit(segment, pseudo);
  }
}

void Generator::damage(std::vector<uint8_t>& frame) {
  switch (rng_.below(4)) {
    case 0:
      frame.resize(rng_.range(kMinFrameBytes, frame.size()));
      break;  // cut anywhere
    case 1:
      frame[rng_.below(frame.size())] ^= static_cast<uint8_t>(1u << rng_.below(8));
      break;
    case 2: {  // a header byte with any value: version, header length, total length, next protocol, …
      const size_t at = rng_.range(12, std::min<size_t>(frame.size() - 1, 60));
      frame[std::min(at, frame.size() - 1)] = static_cast<uint8_t>(rng_.next());
      break;
    }
    default: {  // trailing bytes that no header accounts for
      const size_t extra = rng_.range(1, 64);
      frame.resize(std::min<size_t>(frame.size() + extra, kMaxFrameBytes), 0xee);
    }
  }
}

}  // namespace xnic::nic::traffic
