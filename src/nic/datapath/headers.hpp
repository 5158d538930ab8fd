// SPDX-License-Identifier: Apache-2.0
// Where a frame's headers are: what filters, the flow hash and checksums look at. Reads the linear part only.
#pragma once

#include <cstdint>

#include "exec/packet/packet.hpp"

namespace xnic::nic::datapath {

inline constexpr uint16_t kNoVlan = 0xffff;

struct Headers {
  uint16_t ether_type = 0;    // behind the VLAN tags, host order
  uint16_t vlan = kNoVlan;    // id of the outer tag
  uint16_t network_at = 0;    // offset of the IP header in the frame
  uint16_t transport_at = 0;  // offset of what IP carries; 0: none, or not the first fragment, or cut off
  uint8_t version = 0;        // 4, 6; 0: no IP, or a header that is cut off or lies about its length
  uint8_t protocol = 0;       // of the transport header, behind IPv6 extension headers
  bool fragment = false;      // one of several
  bool ports = false;         // TCP or UDP, whole (no fragment), the four bytes of the ports are there
};

// Never reads outside the frame. No allocation; a few nanoseconds.
Headers read_headers(base::Bytes frame);
// Of the packet's linear part.
inline Headers read_headers(const exec::packet::Packet& packet) {
  return read_headers(base::Bytes(packet.data, static_cast<size_t>(packet.data_end - packet.data)));
}

}  // namespace xnic::nic::datapath
