// SPDX-License-Identifier: Apache-2.0
// The daemon's end of one connection: messages of protocol.hpp with at most one descriptor, or two in a result, and the
// time that the other side is given for its part of a conversation.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "device/remote/protocol.hpp"
#include "exec/kernel/bpf_call.hpp"

namespace xnic::device::remote {

inline constexpr int kPatienceSeconds = 10;  // for an answer, and for room to send

// Who is at the other end.
struct Peer {
  pid_t pid = 0;
  uint32_t uid = 0;
  bool read_only = true;
};

struct Message {
  Header header;
  std::vector<uint8_t> bytes;
  exec::kernel::Fd descriptor{};
};

class Channel {
 public:
  explicit Channel(exec::kernel::Fd socket);
  int fd() const { return socket_.get(); }
  // False: the other side is gone, breaks the protocol, or takes too long. header.size is filled in; a descriptor of -1
  // is none.
  bool send(Header header, base::Bytes bytes, int descriptor = -1, int second_descriptor = -1);
  bool receive(Message& message);

 private:
  exec::kernel::Fd socket_;
};

}  // namespace xnic::device::remote
