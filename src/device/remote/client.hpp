// SPDX-License-Identifier: Apache-2.0
// The client's end of a conversation (protocol.hpp). Freestanding: no exceptions, no allocation, nothing of the C++
// library, so that the preload library can have it in any process.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/remote/protocol.hpp"

namespace xnic::device::remote {

// The process that bpf(2) is answered for: this one, or one that is supervised.
class Process {
 public:
  // 0 or -EFAULT.
  virtual int read(uint64_t address, void* to, size_t bytes) = 0;
  virtual int write(uint64_t address, const void* from, size_t bytes) = 0;
  // A descriptor of ours for the process's `fd`, or -EBADF; `release` when it has been sent.
  virtual int borrow(int fd) = 0;
  virtual void release(int fd) = 0;
  // Takes a descriptor of ours over: its number in the process, or -errno.
  virtual int install(int fd) = 0;

 protected:
  ~Process() = default;
};

// What a call is about, as far as the client knows.
struct Call {
  int command = 0;
  uint64_t attr = 0;
  uint32_t size = 0;
  const void* attr_copy = nullptr;  // the attributes, or null: they are read from the process
  uint32_t copied = 0;              // bytes there
  int descriptor = -1;              // the one that the command is about; -1: none
  uint32_t token = 0;               // 0: the descriptor itself is sent
  uint32_t piece_count = 0;
  Piece pieces[3];  // memory that the command will read
};
// What is to be remembered of the descriptor.
struct Hints {
  uint32_t token = 0, key_bytes = 0, value_bytes = 0;
};

class Client {
 public:
  // The message buffer is in here (68 KiB): not for the stack of a small thread.
  Client() = default;
  // A connection to `path`, close-on-exec, or -errno. The socket is the caller's to keep and close.
  static int connect(const char* path);

  // One bpf(2) over `socket`: the result or -errno. `broken`: the connection ended before the daemon answered or in the
  // middle; the result is then -ECONNRESET.
  long bpf(int socket, Process& process, const Call& call, Hints& hints, bool& broken);

  // One question. The answer's bytes are in bytes(), its descriptors in `descriptors` (-1: none), if not null.
  long ask(int socket, Process& process, Question question, uint64_t address, const void* text, size_t size, int shown,
           int descriptors[2], bool& broken);
  // Whether the daemon may have seen the last call or question: if not, it can be repeated on another connection.
  bool sent() const { return sent_; }
  const uint8_t* bytes() const { return data_; }
  size_t size() const { return header_.size; }

 private:
  bool send(int socket, Header header, const void* bytes, size_t size, int descriptor);
  bool receive(int socket, int descriptors[2]);
  bool answer(int socket, Process& process);
  int write_pieces(Process& process) const;
  size_t collect(Process& process, const Call& call);

  bool sent_ = false;
  Header header_;
  alignas(8) uint8_t data_[kMaxMessage];
};

}  // namespace xnic::device::remote
