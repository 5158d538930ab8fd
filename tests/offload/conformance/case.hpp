// SPDX-License-Identifier: Apache-2.0
// What a case is written with: a transcript, connections to the peer, and bounded waits. A case names each call it
// makes and writes down what came back; it never writes what may differ between two correct runs (descriptor numbers,
// ports, times), and it waits for a state (await, await_bytes) instead of for a time.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <vector>

#include "peer.hpp"

namespace xnic::conformance {

// How a socket's addresses are written: IPv4, IPv6, or an IPv6 socket that speaks to an IPv4 address.
enum class Family { kV4, kV6, kMapped };
inline constexpr Family kFamilies[] = {Family::kV4, Family::kV6, Family::kMapped};
const char* name(Family family);
int domain(Family family);       // of the case's socket
int peer_domain(Family family);  // of the peer's

// An address and its length, as the socket calls want it.
struct Address {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  uint16_t port() const { return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port); }
};

// A connection: the case's descriptor and the peer's slot.
struct Connection {
  int fd = -1;
  int slot = -1;
};

class Case {
 public:
  Case(int control, Addresses addresses) : peer(control), addresses_(std::move(addresses)) {}

  // One line of the transcript. A single write(2), so that lines of several processes don't mix.
  void note(const char* format, ...) __attribute__((format(printf, 2, 3)));
  // "what = value" or "what = -1 ERRNO"; gives the value back. The value is a call that has just been made.
  long ret(const char* what, long value);
  // The same for a call that gives a descriptor: its number is not written.
  int fd(const char* what, int value);
  // The same for a call that received bytes.
  long data(const char* what, long value, const void* bytes);

  // Sockets. The address of the host or the peer in a family's form.
  Address host(Family family, uint16_t port) const;
  Address there(Family family, uint16_t port) const;
  int listener(Family family, int backlog, uint16_t& port);  // bound to the host's address
  Connection active(Family family = Family::kV4);            // the case connects
  Connection passive(Family family = Family::kV4);           // the peer connects, the case accepts

  // Writes whose address it is ("host", "peer", "any") and its form, but no port.
  void address(const char* what, long value, const Address& address);

  // Waits, without a word in the transcript, until the socket has one of the events or so many bytes to read; 3 s at
  // most.
  void await(int fd, short events);
  void await_bytes(int fd, int count);
  void settle(unsigned milliseconds = 15);  // for what must not happen

  // poll() of one descriptor with every event asked for; the events' names.
  void poll(const char* what, int fd, int timeout_ms = 0);
  void nonblocking(int fd);
  int option(const char* what, int fd, int level, int name);  // an int option, written down

  Peer peer;

 private:
  Addresses addresses_;
};

std::string poll_names(unsigned events);
std::string epoll_names(unsigned events);

struct Entry {
  std::string name;
  std::function<void(Case&)> run;
};

class Suite {
 public:
  void add(std::string name, std::function<void(Case&)> run) { entries_.push_back({std::move(name), std::move(run)}); }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

// One function a file of cases.
void add_states(Suite& suite);
void add_receive(Suite& suite);
void add_send(Suite& suite);
void add_vectors(Suite& suite);
void add_epoll(Suite& suite);
void add_poll(Suite& suite);
void add_blocking(Suite& suite);
void add_options(Suite& suite);
void add_descriptors(Suite& suite);
void add_processes(Suite& suite);
void add_listen(Suite& suite);
void add_connect(Suite& suite);
void add_close(Suite& suite);
void add_urgent(Suite& suite);
void add_threads(Suite& suite);
// What a program started by a case does (main's `--child ROLE FD`).
int run_child(const std::string& role, int fd);

}  // namespace xnic::conformance
