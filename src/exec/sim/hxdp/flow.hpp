// SPDX-License-Identifier: Apache-2.0
// The dispatcher's hash.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace xnic::exec::sim::hxdp {

// Equal for frames of one flow: IPv4 and IPv6 addresses, protocol and, for unfragmented TCP and UDP, ports, behind up
// to two VLAN tags; other frames: MAC addresses and EtherType. FNV-1a over those bytes, mixed at the end.
uint64_t flow_hash(base::Bytes frame);

}  // namespace xnic::exec::sim::hxdp
