// SPDX-License-Identifier: Apache-2.0
// A process's connections to the card. A driver handle is an event descriptor, which the program may wait for; behind
// it stand a connection to the service and the card's memory.
#pragma once

#include <etherfabric/ef_vi.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nic/vi/card_memory.hpp"
#include "nic/vi/delivery.hpp"
#include "nic/vi/protocol.hpp"

namespace xnic::nic::vi {

struct VirtualInterface;

// The card's memory in this process: mapped once, however many handles there are.
struct CardMapping {
  ~CardMapping();
  CardView card;
  size_t bytes = 0;
};

// A connection to the service. Threads: any.
class Connection {
 public:
  ~Connection() { shut(); }
  // As if the process had gone, for the service: it takes back all that was made here. The memory stays mapped.
  void shut();
  // 0 or a negative errno: what connect(2) says; -ENODEV when the service does not speak this version.
  int open(const std::string& path, int event_fd);
  // One question and its answer. `fd_out`: the descriptor that came with the answer, -1 when none; closed when null.
  // The service's error, or -ENODEV when it has gone.
  int ask(const Request& request, Reply& reply, int* fd_out = nullptr);
  bool lives();
  uint32_t client() const { return client_; }
  CardView card() const { return mapping_->card; }
  int memory_fd() const { return memory_fd_; }

 private:
  int exchange(const Request& request, int fd_in, Reply& reply, int* fd_out);
  std::mutex mutex_;
  int fd_ = -1;
  uint32_t client_ = 0;
  int memory_fd_ = -1;
  std::shared_ptr<CardMapping> mapping_;
};

// What ef_driver_open made. Lives until it is closed and the last user lets go.
class Handle {
 public:
  explicit Handle(int event_fd) : event_fd_(event_fd) {}
  ~Handle();
  int open();
  void shut();
  Connection& connection() { return connection_; }
  const std::string& path() const { return path_; }  // of the service's socket
  CardView card() const { return connection_.card(); }
  // Wakes whoever waits for another's event queue: the descriptor is asked for once.
  void ring(uint32_t interface);
  // A descriptor of the kernel's side of a port; -1: there is none.
  int kernel_side(uint32_t port);
  Delivery delivery();

  // The interfaces whose event queue wakes this handle.
  void add(VirtualInterface* interface);
  void remove(VirtualInterface* interface);
  // Asks to be woken for an event behind event number `current` of the interface's own event queue.
  void prime(VirtualInterface& interface, uint32_t current);

 private:
  int event_fd_;
  std::string path_;
  Connection connection_;
  std::mutex mutex_;
  std::vector<VirtualInterface*> interfaces_;
  std::vector<int> bells_ = std::vector<int>(kMaxInterfaces, -1);
  std::vector<uint32_t> bell_generations_ = std::vector<uint32_t>(kMaxInterfaces, 0);
  std::vector<int> kernel_sides_ = std::vector<int>(kMaxPorts, -1);
};

// Null: no handle of ours.
std::shared_ptr<Handle> find_handle(ef_driver_handle dh);
int open_handle(ef_driver_handle* out);
int close_handle(ef_driver_handle dh);

// memory.cpp: makes [begin, begin + bytes) memory of the card, contents and addresses kept, as far as it is not so yet,
// and lets `domain` reach it. `begin` and `bytes` are whole pages. `addresses` gets the card's address of each page.
// A negative errno: as ef_memreg_alloc says.
int register_memory(Handle& handle, uint32_t domain, uint8_t* begin, size_t bytes, std::vector<uint64_t>& addresses);

}  // namespace xnic::nic::vi
