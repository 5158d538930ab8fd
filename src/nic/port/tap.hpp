// SPDX-License-Identifier: Apache-2.0
// TAP port: a network interface of this machine whose other end is the card. What the host sends at it the card
// receives; what the card transmits the host's network stack receives.
#pragma once

#include <memory>
#include <string>

#include "base/clock.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::port {

// Makes the interface `interface` in the calling thread's network namespace, with info's MTU and queues, and brings it
// up; it goes with the port, or with the process. A persistent TAP interface of that name is used as it is and stays.
// info's MAC address is the card's; the host's end has one of its own. Needs CAP_NET_ADMIN to open, none later. `clock`
// outlives the port. Frames that the host cannot hand over are in its own count (`ip -s link`, TX dropped).
// Errors: kBadInput (name, MTU or number of queues), kIo (no rights, the name is taken, no /dev/net/tun).
base::Result<std::unique_ptr<Port>> open_tap(Info info, const std::string& interface, const base::Clock& clock);

}  // namespace xnic::nic::port
