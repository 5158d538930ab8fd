// SPDX-License-Identifier: Apache-2.0
// IEEE 802.1Q/802.1ad tags, RFC 791, RFC 8200. At most two tags and eight extension headers are followed: what lies
// deeper counts as unknown, so that a hostile frame costs no more than a plain one.
#include "nic/datapath/headers.hpp"

#include "base/bytes.hpp"
#include "wire/headers.hpp"

namespace xnic::nic::datapath {
namespace {

constexpr uint32_t kMaxTags = 2;
constexpr uint32_t kMaxExtensions = 8;
enum Ipv6Extension : uint8_t { kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60 };

void read_ipv4(const uint8_t* frame, uint32_t size, Headers& headers) {
  const uint8_t* ip = frame + headers.network_at;
  const uint32_t left = size - headers.network_at;
  if (left < wire::Ipv4::kBytes || ip[0] >> 4 != 4) return;
  const uint32_t header_bytes = (ip[0] & 15u) * 4;
  if (header_bytes < wire::Ipv4::kBytes || header_bytes > left) return;
  const uint16_t fragment = base::load_be<uint16_t>(ip + 6);
  headers.version = 4;
  headers.protocol = ip[9];
  headers.fragment = (fragment & 0x3fff) != 0;  // more fragments, or an offset
  if ((fragment & 0x1fff) == 0) headers.transport_at = static_cast<uint16_t>(headers.network_at + header_bytes);
}

void read_ipv6(const uint8_t* frame, uint32_t size, Headers& headers) {
  const uint8_t* ip = frame + headers.network_at;
  if (size - headers.network_at < wire::Ipv6::kBytes || ip[0] >> 4 != 6) return;
  headers.version = 6;
  headers.protocol = ip[6];
  uint32_t at = headers.network_at + wire::Ipv6::kBytes;
  for (uint32_t i = 0; i < kMaxExtensions; ++i) {
    const uint8_t next = headers.protocol;
    const bool fragment = next == kFragment;
    if (!fragment && next != kHopByHop && next != kRouting && next != kDestinationOptions) {
      headers.transport_at = static_cast<uint16_t>(at);
      return;
    }
    if (at + 8 > size) return;
    headers.protocol = frame[at];
    if (fragment) {
      const uint16_t word = base::load_be<uint16_t>(frame + at + 2);
      headers.fragment |= (word & 0xfff9) != 0;
      if ((word & 0xfff8) != 0) return;
      at += 8;
    } else {
      at += (frame[at + 1] + 1u) * 8;
    }
    if (at > size) return;
  }
}

}  // namespace

Headers read_headers(base::Bytes bytes) {
  Headers headers;
  const uint8_t* frame = bytes.data();
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  if (size < wire::Ethernet::kBytes) return headers;
  uint32_t at = wire::Ethernet::kBytes;
  headers.ether_type = base::load_be<uint16_t>(frame + 12);
  for (uint32_t tag = 0; tag < kMaxTags; ++tag) {
    if (headers.ether_type != wire::kEtherTypeVlan && headers.ether_type != wire::kEtherTypeQinq) break;
    if (at + wire::Vlan::kBytes > size) return headers;
    if (tag == 0) headers.vlan = base::load_be<uint16_t>(frame + at) & 0xfff;
    headers.ether_type = base::load_be<uint16_t>(frame + at + 2);
    at += wire::Vlan::kBytes;
  }
  headers.network_at = static_cast<uint16_t>(at);
  if (headers.ether_type == wire::kEtherTypeIpv4) read_ipv4(frame, size, headers);
  if (headers.ether_type == wire::kEtherTypeIpv6) read_ipv6(frame, size, headers);
  const bool tcp_or_udp = headers.protocol == wire::kTcp || headers.protocol == wire::kUdp;
  headers.ports = tcp_or_udp && !headers.fragment && headers.transport_at != 0 && headers.transport_at + 4u <= size;
  return headers;
}

}  // namespace xnic::nic::datapath
