// SPDX-License-Identifier: Apache-2.0
// What the library knows of a descriptor. Every offloaded socket owns a real descriptor of the kernel: a TCP socket
// that is never connected. So its number is nobody else's, and what belongs to the descriptor or to the open file
// (close-on-exec, O_NONBLOCK, dup, fork, fstat, SCM_RIGHTS) the kernel does.
//
// A File stands for an open file in this process: several descriptors may name it. The table from descriptors to Files
// is read without a lock; Files are used again but never given back to the allocator, so that a reader that comes late
// finds a File, and the host library's ids tell whether it is still the one it was (they are reused late).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "transport/host/stack.hpp"

namespace xnic::transport::preload {

struct Watch;
struct EpollSet;
struct Sleeper;

enum class Kind : uint8_t {
  kUnused,
  kFresh,      // a TCP socket of the kernel that may yet be offloaded: before bind, listen and connect
  kOffloaded,  // `id` names the socket
  kEpoll,
  kInternal,  // the library's own: programs cannot close it
};

struct SetOption {
  int level, name;
  std::vector<char> value;
};

struct File {
  std::atomic<Kind> kind = Kind::kUnused;
  std::atomic<bool> nonblocking = false;  // as last seen; another process may have changed it
  std::atomic<bool> bound = false;        // by bind(), and neither listening nor connected
  std::atomic<host::SocketId> id = host::kNoSocket;
  std::atomic<int> low_water = 1;  // SO_RCVLOWAT
  std::atomic<int> descriptors = 0;
  int domain = 0;
  std::vector<SetOption> options;  // set while fresh, to be set again at the agent
  // Under the watch lock:
  std::vector<Watch*> watches;
  std::vector<Sleeper*> sleepers;
  EpollSet* set = nullptr;  // kEpoll
};

class FileTable {
 public:
  FileTable();
  File* find(int fd) const {
    return static_cast<unsigned>(fd) < kSlots ? slots_[fd].load(std::memory_order_acquire) : nullptr;
  }
  // A File of its own for `fd`, in place of what the slot had (which the kernel has closed).
  File* make(int fd, Kind kind);
  void put(int fd, File* file);  // another descriptor of it
  // The slot is empty then. Returns the File when `fd` was its last descriptor in this process.
  File* take(int fd);
  void give_back(File* file);  // that take() has returned, when nothing points to it any more
  void mark_internal(int fd);
  int highest() const { return highest_.load(std::memory_order_relaxed); }

  static constexpr unsigned kSlots = 1 << 20;

 private:
  std::atomic<File*>* slots_;  // mapped: pages that nobody used cost nothing
  std::atomic<int> highest_ = -1;
  std::mutex mutex_;
  std::vector<File*> unused_;
  File internal_;
};

}  // namespace xnic::transport::preload
