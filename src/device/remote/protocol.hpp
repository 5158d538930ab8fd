// SPDX-License-Identifier: Apache-2.0
// What a process and the daemon say to each other about bpf(2), over a Unix socket of whole messages (SOCK_SEQPACKET).
// Freestanding: the preload library includes it, too.
//
// A conversation begins with kCall (bpf) or kQuestion (everything else) from the client. The daemon may then ask for
// memory (kRead), for a descriptor (kDescriptor), or have memory written (kWrite), each answered by kAnswer, and ends
// the conversation with kResult. Between conversations a connection has no state but tokens, so either side may close
// it; the client connects anew.
//
// A token stands for a descriptor that the client has shown on this connection: a cheap way to name it again. Who once
// held a handle may use it as long as the connection lives.
//
// Both sides run on one machine: numbers are in its byte order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xnic::device::remote {

inline constexpr const char* kSocketSuffix = ".bpf";  // behind the path of the control socket
// No message is longer; longer pieces of memory go in several.
inline constexpr uint32_t kMaxPiece = 64 << 10;
inline constexpr uint32_t kMaxMessage = kMaxPiece + (4 << 10);

enum class Kind : uint32_t {
  kCall = 1,    // value: command; address: of bpf_attr; attr_bytes; descriptor, token: the one the command is about
  kQuestion,    // value: a Question
  kRead,        // address; value: bytes
  kWrite,       // pieces
  kDescriptor,  // descriptor
  kAnswer,      // value: 0 or -errno; bytes, or a descriptor in the message's ancillary data
  kResult,      // value: what the system call returns, or -errno; pieces to write; a new descriptor in ancillary data
};

// Questions beside bpf(2). Texts are not NUL-terminated.
enum class Question : int64_t {
  kPins = 1,  // text: path of a folder -> NUL-terminated paths of the pins below it
  kUnpin,     // text: path
  kFdinfo,    // the descriptor in ancillary data -> text as in /proc/PID/fdinfo/FD, from the object's lines on
  kWakeup,    // a ring or perf buffer's descriptor in ancillary data -> an eventfd that is signalled when data comes
  kNetlink,   // address: inode of the client's network namespace; a rtnetlink message -> messages to be received
  kPorts,     // address: as kNetlink -> PortRecords
  kPerfOpen,  // a descriptor of a new perf buffer
  kPerfSize,  // address: its data pages, a power of two; the perf buffer's descriptor in ancillary data; then it can be
              // mapped
};

struct Header {
  Kind kind{};
  uint32_t size = 0;  // bytes behind the header
  int64_t value = 0;
  uint64_t address = 0;
  uint32_t attr_bytes = 0;
  int32_t descriptor = -1;
  uint32_t token = 0;  // kResult: the token of `descriptor` from now on
  // kResult: sizes of key and value when `descriptor` is a map, so that the next call can bring them along.
  uint32_t key_bytes = 0;
  uint32_t value_bytes = 0;
  uint32_t gives = 0;  // kResult: a descriptor came along and its number is the result
};
static_assert(sizeof(Header) == 48);

// A port as an interface of the client.
struct PortRecord {
  uint32_t ifindex = 0;
  uint32_t is_interface = 0;  // the kernel has an interface of this index, which the port takes
  uint32_t program_id = 0;    // 0: none
  uint32_t mtu = 0;
  uint8_t mac[6] = {};
  uint8_t up = 0;
  uint8_t unused = 0;
  char name[16] = {};
};

// A piece of the client's memory: this, then `bytes` bytes, padded to 8.
struct Piece {
  uint64_t address = 0;
  uint64_t bytes = 0;
};
constexpr size_t padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

}  // namespace xnic::device::remote
