// SPDX-License-Identifier: Apache-2.0
// What clients ask the service over its Unix socket (SOCK_SEQPACKET): one Request, one Reply, at most one descriptor
// with either. Both sides run on one machine; a version that differs is refused at kHello.
#pragma once

#include <cstdint>

#include "nic/vi/card_memory.hpp"

namespace xnic::nic::vi {

inline constexpr const char* kDefaultSocket = "/run/xnic/efvi.sock";

enum class Ask : uint32_t {
  kHello,          // a: kCardVersion; with the event descriptor that wakes the handle. Reply: a: client; with the memfd
  kFindPort,       // name, or a: ifindex. Reply: a: port
  kMakeDomain,     // a: port, b: multicast loop. Reply: a: domain
  kFreeDomain,     // a: domain
  kTakeMemory,     // size: bytes, offset: where they are in the program. Reply: offset, equal modulo 2 MiB. It is given
                   // back with kGiveMemory or when the client goes
  kGiveMemory,     // offset
  kGrant,          // a: domain, offset, size
  kMakeInterface,  // see MakeInterface. Reply: a: interface
  kFreeInterface,  // a: interface
  kMakeSet,        // a: domain, b: members. Reply: a: set
  kFreeSet,        // a: set
  kAddFilter,      // filter (interface or set names who; queue kNone: the interface's own). Reply: a: id
  kDropFilter,     // a: interface or kNone, b: set or kNone, c: id
  kQueryFilter,    // as kDropFilter. Reply: filter
  kBell,           // a: interface that has an event queue. Reply: with the descriptor that wakes its owner
  kKernelSide,     // a: port. Reply: with a descriptor; a frame written is received by the kernel
};

struct MakeInterface {
  uint32_t domain = kNone;
  uint32_t event_queue = kNone;  // interface whose event queue it uses; kNone: its own
  uint32_t label = 0;
  uint32_t event_entries = 0, rx_entries = 0;
  uint32_t prefix_bytes = 0;
  uint32_t set = kNone, index = kNone;  // index kNone: any
  uint32_t discard_mask = 0;
  uint64_t flags = 0;
};

struct Request {
  Ask ask = Ask::kHello;
  uint32_t a = 0, b = 0, c = 0;
  uint64_t offset = 0, size = 0;
  char name[32] = {};
  MakeInterface interface{};
  Filter filter{};
};

struct Reply {
  int32_t error = 0;  // a negative errno
  uint32_t a = 0;
  uint64_t offset = 0;
  Filter filter{};
};

}  // namespace xnic::nic::vi
