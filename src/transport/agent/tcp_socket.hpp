// SPDX-License-Identifier: Apache-2.0
// A real TCP socket of the agent, and who among the sessions knows it by which id.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "transport/link/attach.hpp"
#include "transport/message/protocol.hpp"

namespace xnic::transport::agent {

using link::Fd;

struct Session;

// What an epoll event is about.
struct Source {
  enum class Kind : uint8_t { kStop, kListener, kGuest, kSession, kBell, kSocket };
  explicit Source(Kind kind) : kind(kind) {}
  const Kind kind;
};

// One id of one session.
struct Reference {
  Session* session = nullptr;
  uint32_t id = 0;
  friend bool operator==(const Reference&, const Reference&) = default;
};

struct TcpSocket;

// What only listeners have.
struct Acceptor {
  struct Member {  // a session that takes connections
    Session* session;
    uint32_t id;                // of the listener in that session
    std::deque<uint32_t> free;  // ids for connections to come
  };
  std::vector<Member> members;
  size_t next = 0;                   // whose turn it is
  std::vector<TcpSocket*> returned;  // accepted for a session that ended before it took them
  int backlog = 0;
};

struct TcpSocket : Source {
  TcpSocket() : Source(Kind::kSocket) {}

  Fd fd;
  int domain = 0;
  message::SocketState state = message::kStateFresh;
  std::vector<Reference> references;
  uint32_t exports = 0;  // tokens that stand for it

  Reference owner;                 // reads and writes the connection; no session: nobody does
  std::deque<Reference> claimers;  // who wants to
  bool revoking = false;           // the owner was asked to give it up

  // To the peer.
  uint32_t host_credit = 0;      // what the owner may still send
  uint32_t credit_due = 0;       // what has gone to TCP since the owner last got credit
  std::vector<uint8_t> to_peer;  // what TCP did not take yet, from to_peer_begin on
  size_t to_peer_begin = 0;
  bool shut_write_due = false;  // once to_peer is empty
  int send_error = 0;

  // To the host.
  uint32_t read_credit = 0;     // what the owner can still take
  std::vector<uint8_t> unread;  // what the last owner gave back
  bool readable = false;        // TCP has something, or its end
  bool hung_up = false;         // an end or an error was signalled: read until it is found
  bool told_end = false;
  bool mark_due = false;  // the urgent mark is still ahead
  bool listed = false;    // in the list of sockets with work

  bool watched = false;  // in the epoll set
  int linger_s = -1;
  uint64_t end_by_ns = 0;  // closing: not 0
  Reference closer;        // who waits for the end of a lingering close
  uint32_t close_tag = 0;

  Reference queued_for;           // accepted, and not yet taken by the program: the listener's reference
  TcpSocket* listener = nullptr;  // that it was accepted from, while queued
  std::unique_ptr<Acceptor> acceptor;

  size_t waiting_bytes() const { return to_peer.size() - to_peer_begin; }
};

}  // namespace xnic::transport::agent
