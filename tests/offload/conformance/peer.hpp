// SPDX-License-Identifier: Apache-2.0
// The other end of every connection that a case makes: a process of its own, always on kernel sockets, that does what
// it is told over a UNIX socket and answers when it is done. So a case knows that bytes, FINs and resets have left the
// peer before it looks for them, and the transcript holds what the peer saw too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace xnic::conformance {

// Where the peer listens and where the case's own sockets bind. One host may play both parts.
struct Addresses {
  std::string host4 = "127.0.0.1", host6 = "::1", peer4 = "127.0.0.1", peer6 = "::1";
};

// The addresses in the environment (XNIC_CONFORMANCE_{HOST4,HOST6,PEER4,PEER6}); loopback where it says nothing.
Addresses addresses_of_environment();

// The byte at a position of the endless test pattern; any loss, repetition or swap shows.
uint8_t pattern(uint64_t position);
// What a transcript says of received bytes: the text when short, else length and digest.
std::string describe(const void* bytes, size_t length);

// Serves orders on `control` until it is closed; for the peer's own process. Never returns.
[[noreturn]] void serve_peer(int control, const Addresses& addresses);

// The case's view of the peer. Slots number the peer's connections.
class Peer {
 public:
  explicit Peer(int control) : control_(control) {}

  // Listens on the peer's address of that family; the port in host byte order.
  uint16_t listen(int family, int backlog = 8);
  int accept();                                        // slot of the next connection
  int connect(int family, uint16_t port);              // to the host's address
  std::string try_connect(int family, uint16_t port);  // the same, for the transcript: "ok" or the error's name
  void send(int slot, std::string_view text);
  void send_pattern(int slot, size_t count, size_t from = 0);
  void urgent(int slot, char byte);
  // Reads until `count` bytes, the end or an error; for the transcript.
  std::string receive(int slot, size_t count);
  std::string drain(int slot);  // reads to the end, or to an error; says so when the bytes are the test pattern
  std::string urgent_received(int slot);
  std::string result();  // of the last order that was given with later(), when it is done
  void shutdown(int slot, int how);
  void close(int slot);
  void reset(int slot);  // closes with a RST
  void set_option(int slot, int level, int name, int value);
  int option(int slot, int level, int name);
  uint16_t remote_port(int slot);  // of the other end
  void close_listener();
  // The next order starts after so many milliseconds, and the call for it returns at once with nothing.
  Peer& later(uint32_t milliseconds) {
    delay_ms_ = milliseconds;
    return *this;
  }
  int control() const { return control_; }

 private:
  struct Answer ask(struct Order order, std::string_view text = {});

  int control_;
  uint32_t delay_ms_ = 0;
};

}  // namespace xnic::conformance
