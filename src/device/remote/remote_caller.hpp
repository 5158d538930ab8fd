// SPDX-License-Identifier: Apache-2.0
// A process at the other end of a socket, as bpf(2) commands see it (caller.hpp). Reads are served from what came with
// the call, else asked for; writes are kept and go with the result, so that a usual command is one message each way.
#pragma once

#include <map>
#include <vector>

#include "device/caller.hpp"
#include "device/remote/channel.hpp"

namespace xnic::device::remote {

class RemoteCaller final : public Caller {
 public:
  // `tokens` are those of the connection. Pre: `channel` and `tokens` outlive this.
  RemoteCaller(Channel& channel, std::vector<FileIdentity>& tokens, const Header& call, base::Bytes pieces,
               exec::kernel::Fd descriptor, Peer peer);

  int read(uint64_t address, void* to, size_t bytes) const override;
  int write(uint64_t address, const void* from, size_t bytes) const override;
  int identify(int fd, FileIdentity& identity) const override;
  int give(int fd) const override;
  void expect(uint64_t address, uint64_t bytes) const override;
  bool read_only() const override { return peer_.read_only; }
  uint32_t uid() const override { return peer_.uid; }

  // Ends the conversation: what was written and given, and the result. False: the client is gone.
  bool finish(long result, const Header& hints);
  // Of the descriptor that the call is about; null when it came to nothing.
  const FileIdentity* primary() const { return primary_known_ ? &primary_ : nullptr; }
  uint32_t token();

 private:
  bool ask(const Header& question, base::Bytes bytes, Message& answer) const;
  bool flush() const;
  bool take_known(uint64_t address, void* to, size_t bytes) const;
  bool fetch_ahead(uint64_t address, void* to, size_t bytes) const;
  int fetch(uint64_t address, void* to, size_t bytes) const;

  Channel& channel_;
  std::vector<FileIdentity>& tokens_;
  const Header call_;
  const Peer peer_;
  struct Span {
    uint64_t address;
    std::vector<uint8_t> bytes;
  };
  mutable std::vector<Span> known_;  // what the client's memory held
  struct Expected {
    Piece range;
    Span ahead{};  // the piece of it that was read last
  };
  mutable std::vector<Expected> expected_;
  mutable std::vector<uint8_t> writes_;
  mutable std::map<int, FileIdentity> identities_;
  FileIdentity primary_;
  bool primary_known_ = false;
  mutable exec::kernel::Fd given_;
  mutable bool broken_ = false;
};

}  // namespace xnic::device::remote
