// SPDX-License-Identifier: Apache-2.0
// What a network card does to frames beside the program: checksums and VLAN tags. All work in place, on packets with
// fragments too, and allocate nothing.
#pragma once

#include <cstdint>
#include <optional>

#include "nic/datapath/headers.hpp"

namespace xnic::nic::datapath {

enum class ChecksumState : uint8_t {
  kNone,  // nothing to check: no IP, a fragment, a UDP packet without a sum
  kGood,
  kBad,
};
// The sums of the IPv4 header (RFC 791) and of TCP and UDP (RFC 9293, RFC 768, RFC 8200 8.1). Lengths are those of the
// IP header; a header that claims more than there is is bad.
ChecksumState check_checksums(const exec::packet::Packet& packet);
// Fills the same sums in. Fragments get the IPv4 header's only; what is cut off is left alone.
void fill_checksums(exec::packet::Packet& packet);

// Puts an 802.1Q tag with this id (priority 0) in front of the EtherType. False when there is no headroom.
bool insert_vlan(exec::packet::Packet& packet, uint16_t id);
// Takes the outer tag off when its id is `id`; any id when that is kNoVlan. False when there is no such tag.
bool strip_vlan(exec::packet::Packet& packet, uint16_t id);

}  // namespace xnic::nic::datapath
