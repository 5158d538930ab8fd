// SPDX-License-Identifier: Apache-2.0
// How a host process comes to its link: one question and one answer on a Unix socket (SOCK_SEQPACKET), which then
// stands for the process's life: its end is the end of the session. File permissions say who may attach.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "exec/kernel/bpf_call.hpp"

namespace xnic::transport::link {

using exec::kernel::Fd;

inline constexpr uint32_t kAttachMagic = 0x54434f58;  // "XOCT"
inline constexpr uint32_t kAttachVersion = 1;

enum class Purpose : uint32_t {
  kMemory = 1,  // a session over a memory link
  kXdp,         // a session over XDP sockets on the agent's interface
  kStatistics,  // no session: the answer is followed by the agent's statistics, then the end
};

struct Request {
  uint32_t magic = kAttachMagic;
  uint32_t version = kAttachVersion;
  Purpose purpose = Purpose::kMemory;
  uint32_t inherit_session = 0;  // not 0: the new session gets a reference to every socket of this one ...
  uint64_t inherit_secret = 0;   // ... whose answer had this secret
};

struct Answer {
  uint32_t magic = kAttachMagic;
  uint32_t version = kAttachVersion;
  char refusal[120] = "";  // why there is no session; empty when there is one
  uint32_t session = 0;
  uint32_t reserved = 0;
  uint64_t secret = 0;
};

struct Attachment {
  Fd connection;
  Answer answer;
  std::vector<Fd> fds;  // kMemory: the memfd and the doorbell
};

// The process's side. Waits at most two seconds. Errors: kIo (nobody there), kLimit (refused), kBadInput (no agent).
base::Result<Attachment> attach(const std::string& path, const Request& request);

// The agent's side. Never waits.
// The request that has come: true; nothing yet: false; not a request, or the end: an error.
base::Result<bool> receive_request(const Fd& connection, Request& request);
// False: nobody is there any more.
bool send_answer(const Fd& connection, const Answer& answer, const std::vector<int>& fds);
bool refuse(const Fd& connection, const std::string& why);
// True when the other side has closed the connection, or said something, which it has no reason to.
bool has_left(const Fd& connection);

}  // namespace xnic::transport::link
