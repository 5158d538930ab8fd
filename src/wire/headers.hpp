// SPDX-License-Identifier: Apache-2.0
// Protocol headers as plain values in host byte order. `parse` returns nothing when the buffer is too short or the
// header is not of that protocol; `emit` writes kBytes (or header_bytes()) at the start of a buffer that must be large
// enough (CHECK).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"

namespace xnic::wire {

using Mac = std::array<uint8_t, 6>;
using Ipv4Address = uint32_t;
using Ipv6Address = std::array<uint8_t, 16>;

enum EtherType : uint16_t {
  kEtherTypeIpv4 = 0x0800,
  kEtherTypeArp = 0x0806,
  kEtherTypeVlan = 0x8100,  // IEEE 802.1Q
  kEtherTypeIpv6 = 0x86dd,
  kEtherTypeQinq = 0x88a8,  // IEEE 802.1ad
};
enum IpProtocol : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58 };

struct Ethernet {
  static constexpr size_t kBytes = 14;
  Mac destination{};
  Mac source{};
  uint16_t ether_type = 0;
  static std::optional<Ethernet> parse(base::Bytes bytes);
  void emit(base::MutableBytes bytes) const;
};

// The four bytes after an EtherType of kEtherTypeVlan or kEtherTypeQinq.
struct Vlan {
  static constexpr size_t kBytes = 4;
  uint16_t tci = 0;  // priority (3 bits), drop eligible (1), id (12)
  uint16_t ether_type = 0;
  static std::optional<Vlan> parse(base::Bytes bytes);
  void emit(base::MutableBytes bytes) const;
};

// ARP for Ethernet and IPv4, RFC 826.
struct Arp {
  static constexpr size_t kBytes = 28;
  uint16_t operation = 1;  // 1 request, 2 reply
  Mac sender_mac{};
  Ipv4Address sender_ip = 0;
  Mac target_mac{};
  Ipv4Address target_ip = 0;
  static std::optional<Arp> parse(base::Bytes bytes);
  void emit(base::MutableBytes bytes) const;
};

// RFC 791. Options are kept out of this type; header_bytes says where the payload starts.
struct Ipv4 {
  static constexpr size_t kBytes = 20;
  uint8_t header_bytes = kBytes;
  uint8_t tos = 0;
  uint16_t total_bytes = 0;
  uint16_t identification = 0;
  uint16_t fragment = 0;  // flags (3 bits) and offset (13)
  uint8_t ttl = 64;
  uint8_t protocol = 0;
  Ipv4Address source = 0;
  Ipv4Address destination = 0;
  static std::optional<Ipv4> parse(base::Bytes bytes);  // also refuses a wrong header checksum
  void emit(base::MutableBytes bytes) const;            // fills in the checksum; options, if any, must be in place
  uint32_t pseudo_header_sum(uint32_t payload_bytes) const;
};

// RFC 8200, fixed header.
struct Ipv6 {
  static constexpr size_t kBytes = 40;
  uint8_t traffic_class = 0;
  uint32_t flow_label = 0;
  uint16_t payload_bytes = 0;
  uint8_t next_header = 0;
  uint8_t hop_limit = 64;
  Ipv6Address source{};
  Ipv6Address destination{};
  static std::optional<Ipv6> parse(base::Bytes bytes);
  void emit(base::MutableBytes bytes) const;
  uint32_t pseudo_header_sum(uint8_t protocol, uint32_t payload_bytes) const;
};

// RFC 768. The checksum covers pseudo header, header and payload: emit takes the sum of the pseudo header.
struct Udp {
  static constexpr size_t kBytes = 8;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint16_t length_bytes = 0;  // header and payload
  static std::optional<Udp> parse(base::Bytes bytes);
  // `datagram` is header and payload, the payload in place.
  void emit(base::MutableBytes datagram, uint32_t pseudo_header_sum) const;
};

// RFC 9293, fixed header.
struct Tcp {
  static constexpr size_t kBytes = 20;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
  uint8_t header_bytes = kBytes;
  uint8_t flags = 0;  // FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32
  uint16_t window = 65535;
  static std::optional<Tcp> parse(base::Bytes bytes);
  void emit(base::MutableBytes segment, uint32_t pseudo_header_sum) const;
};

// RFC 792 / RFC 4443, the first eight bytes. pseudo_header_sum is 0 for ICMPv4.
struct Icmp {
  static constexpr size_t kBytes = 8;
  uint8_t type = 8;
  uint8_t code = 0;
  uint32_t rest = 0;  // identifier and sequence number of an echo
  static std::optional<Icmp> parse(base::Bytes bytes);
  void emit(base::MutableBytes message, uint32_t pseudo_header_sum) const;
};

}  // namespace xnic::wire
