// SPDX-License-Identifier: Apache-2.0
// The service's books, and what it does for each request. Used by one thread.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "exec/kernel/bpf_call.hpp"
#include "nic/vi/delivery.hpp"
#include "nic/vi/protocol.hpp"
#include "nic/vi/service/pages.hpp"

namespace xnic::nic::vi {

using exec::kernel::Fd;

struct Client {
  uint32_t number = 0;
  int pid = 0;
  Fd socket, bell;
  struct Memory {
    uint64_t begin, bytes;
  };
  std::vector<Memory> memory;
};

class State {
 public:
  // `memory`: the memfd, kCardBytes long.
  State(CardView card, int memory);

  // The new connection. Null: there are too many.
  Client* add_client(Fd socket, int pid);
  // Everything that it made goes; what it held, others may have.
  void drop_client(Client& client);
  std::list<Client>& clients() { return clients_; }
  Client* find_client(uint32_t number);

  // `fd_in`: the descriptor that came with the request. `fd_out`: one to send back, not given away.
  Reply answer(Client& client, const Request& request, Fd fd_in, int& fd_out);

  // Wakes the owner of the interface's event queue.
  void ring(uint32_t interface);
  // Descriptors of the ports' kernel sides; -1: none.
  std::vector<int> kernel_sides = std::vector<int>(kMaxPorts, -1);
  // Reads anew which groups the kernel listens to, for ports where it matters.
  void refresh_groups();
  Delivery delivery();
  uint64_t pages_in_use() const { return pages_.in_use(); }

 private:
  struct Rings {
    uint64_t begin = 0, bytes = 0;
  };
  int make_domain(const Client& client, const Request& request, Reply& reply);
  int free_domain(const Client& client, uint32_t number);
  int take_memory(Client& client, const Request& request, Reply& reply);
  int give_memory(Client& client, uint64_t begin);
  int grant(const Client& client, const Request& request);
  int make_interface(const Client& client, const MakeInterface& make, Reply& reply);
  int free_interface(const Client& client, uint32_t number);
  int make_set(const Client& client, const Request& request, Reply& reply);
  int free_set(const Client& client, uint32_t number);
  int add_filter(const Client& client, Filter filter, Reply& reply);
  int drop_filter(const Client& client, const Request& request);
  int query_filter(const Request& request, Reply& reply) const;
  void drop_filters(const std::function<bool(const Filter&)>& which);
  void publish(uint32_t port);
  void release(uint64_t begin, uint64_t bytes);
  uint32_t find_port(const Request& request) const;
  bool owns(const Client& client, uint32_t interface) const;

  CardView card_;
  const int memory_;
  Pages pages_;
  std::list<Client> clients_;
  std::vector<uint32_t> domain_owner_, set_owner_, set_domain_;
  std::vector<Rings> rings_;
  std::vector<std::vector<Filter>> filters_;  // of each port
};

}  // namespace xnic::nic::vi
