// SPDX-License-Identifier: Apache-2.0
// The library's one object: the table of files, the policy, and the attachment to the agent, which is made when the
// first socket is to be offloaded. Without an agent every socket stays with the kernel.
//
// Locks, in this order: the host library's own, then watch_lock(). So nothing calls the host library with watch_lock()
// held.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "transport/host/stack.hpp"
#include "transport/preload/file.hpp"
#include "transport/preload/policy.hpp"

namespace xnic::transport::preload {

class Library final : public host::Observer {
 public:
  FileTable files;
  Policy policy;

  // Null: no agent is there. Tried again at most every kBetweenTriesMs.
  host::Stack* attach();
  // Null before the first successful attach().
  host::Stack* stack() const { return stack_.load(std::memory_order_acquire); }
  bool enabled() const { return enabled_; }
  uint32_t spin_us() const { return spin_us_; }
  std::mutex& watch_lock() { return watch_lock_; }

  void on_events(host::SocketId socket, void* cookie, uint32_t events) override;

  // While sockets are shared with another process, that process may ask for one at any time; so a thread answers when
  // the program does not call us.
  void attend();

  // For pthread_atfork.
  void before_fork();
  void after_fork_in_parent();
  void after_fork_in_child();

 private:
  friend void start_library();
  Library();

  bool enabled_ = false;  // XNIC_OFFLOAD_SOCKET is set
  std::string path_;
  uint32_t spin_us_ = 20;
  std::atomic<host::Stack*> stack_ = nullptr;
  std::mutex attach_lock_;
  uint64_t next_try_ms_ = 0;
  std::mutex watch_lock_;
  std::atomic<bool> attended_ = false;
};

// Made by this library's constructor, never destroyed: programs use sockets in exit handlers. Other constructors, and
// allocators at their first use, call us before it: then library_ready() is false, and every call is libc's.
void start_library();
inline std::atomic<Library*> the_library = nullptr;
inline bool library_ready() { return the_library.load(std::memory_order_acquire) != nullptr; }
inline Library& library() { return *the_library.load(std::memory_order_acquire); }

// ---- files.cpp: what happens to a File as a whole

// The file of an offloaded socket; null for all else, and inside the library.
File* offloaded(int fd);
File* fresh(int fd);
// A new TCP socket of the kernel, that may be offloaded later.
void note_fresh(int fd, int domain, bool nonblocking);
// Decides for the agent: true when the socket is offloaded now. False: it is the kernel's for good.
bool offload(int fd, File& file);
void leave_to_kernel(File& file);
// From the agent to a descriptor: of accept(), and of sockets that came from other processes. -1 and errno.
int descriptor_for(host::SocketId id, int domain, int flags);
void adopt_as(int fd, host::SocketId id, int domain);
// `fd` is not this file's any more.
void forget(int fd);
bool nonblocking_now(int fd, File& file);  // asks the kernel

// ---- passing.cpp: sockets that go to other processes

// Puts a token into the descriptor, by which its next process finds the socket. False: it is not offloaded any more.
bool mark_for_passing(int fd, File& file);
// Takes the socket that a descriptor from another process stands for, if it does.
void adopt_if_ours(int fd);
// The same for a file that this process has given away and, after all, keeps.
void readopt(int fd, File& file);

}  // namespace xnic::transport::preload
