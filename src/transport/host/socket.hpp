// SPDX-License-Identifier: Apache-2.0
// A socket of the host library, and the table that finds it by its id.
#pragma once

#include <poll.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "transport/host/receive_buffer.hpp"
#include "transport/host/stack.hpp"
#include "transport/message/protocol.hpp"

namespace xnic::transport::host {

enum class State : uint8_t {
  kFree,
  kReserved,  // its id was given to the agent for a connection to come
  kFresh,     // no connection yet, or none any more by shutdown
  kListening,
  kConnecting,
  kConnected,
  kDead,  // the connection is over by a reset or a failed connect
};

// What only some sockets have.
struct Extra {
  std::deque<SocketId> accepted;  // connections for the program to take
  uint32_t reserved = 0;          // ids that the agent has for connections to come
  int32_t backlog = 0;
  // What a new agent has to be told about a socket without a connection.
  struct Told {
    message::Type type;
    std::vector<uint8_t> body;  // with tag 0: no answer wanted
  };
  std::vector<Told> told;
  timeval receive_timeout{}, send_timeout{};
};

struct Socket {
  static constexpr uint32_t kNoMark = 0xffffffff;

  State state = State::kFree;
  bool owner = true;                             // this process reads and writes the connection
  bool claimed = false;                          // and has asked for it
  bool queued = false;                           // accepted by the agent, not yet by the program
  bool connect_told = false;                     // a connect() has returned 0 or EISCONN since the connection stands
  bool end = false;                              // the peer sends no more
  bool receive_shut = false, send_shut = false;  // by shutdown()
  bool wants_link = false;                       // a send found no room in the link
  bool wants_credit = false;                     // a send found too little credit, or poll did
  bool shared = false;                           // another process may have a reference
  bool urgent_pending = false, has_urgent = false, inline_urgent = false;
  uint8_t urgent = 0;
  uint16_t domain = 0;
  uint16_t generation = 0;  // of the id
  int error = 0;            // SO_ERROR
  int linger_s = -1;        // -1: off
  uint32_t low_water = 1;   // SO_RCVLOWAT
  uint32_t send_credit = 0;
  uint32_t read_since = 0;  // bytes read that the agent was not told of
  uint32_t mark = kNoMark;  // bytes before the urgent mark
  ReceiveBuffer received;
  SocketId listener = kNoSocket;  // that a reserved id is for
  void* cookie = nullptr;
  std::unique_ptr<Extra> extra;
  message::Address local, peer;

  Extra& more() {
    if (!extra) extra = std::make_unique<Extra>();
    return *extra;
  }
  bool live() const { return state != State::kFree && state != State::kReserved; }
};

// Ids: 20 bits of index, 12 of generation.
class SocketTable {
 public:
  static constexpr uint32_t kIndexBits = 20;
  static constexpr uint32_t kMask = (1u << kIndexBits) - 1;

  // Null for an id that is not, or no longer, in use.
  Socket* find(SocketId id) {
    const uint32_t index = id & kMask;
    if (index >= sockets_.size()) return nullptr;
    Socket& socket = *sockets_[index];
    return socket.generation == id >> kIndexBits && socket.state != State::kFree ? &socket : nullptr;
  }
  // A new one in `state`; null when there are `limit` already.
  Socket* make(State state, SocketId& id, uint32_t limit) {
    if (used_ >= limit) return nullptr;
    uint32_t index;
    // The longest unused first, so that an id comes back late.
    if (free_.size() > kFreeKept || (!free_.empty() && sockets_.size() > kMask)) {
      index = free_.front();
      free_.pop_front();
    } else {
      index = static_cast<uint32_t>(sockets_.size());
      if (index > kMask) return nullptr;
      sockets_.push_back(std::make_unique<Socket>());
    }
    ++used_;
    Socket& socket = *sockets_[index];
    socket.state = state;
    id = index | static_cast<uint32_t>(socket.generation) << kIndexBits;
    return &socket;
  }
  void free(SocketId id, ChunkPool& pool) {
    Socket& socket = *sockets_[id & kMask];
    socket.received.clear(pool);
    const auto generation = static_cast<uint16_t>((socket.generation + 1) & 0xfff);
    socket = Socket();
    socket.generation = generation;
    free_.push_back(id & kMask);
    --used_;
  }
  // Calls each(id, socket) for all in use; it may free the one that it is called with.
  template <class Each>
  void for_each(Each&& each) {
    for (uint32_t index = 0; index < sockets_.size(); ++index) {
      Socket& socket = *sockets_[index];
      if (socket.state != State::kFree) each(index | static_cast<uint32_t>(socket.generation) << kIndexBits, socket);
    }
  }

 private:
  static constexpr size_t kFreeKept = 256;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::deque<uint32_t> free_;
  uint32_t used_ = 0;
};

}  // namespace xnic::transport::host
