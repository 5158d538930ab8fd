// SPDX-License-Identifier: Apache-2.0
// Session: from a message to the command or answer. A client that breaks the protocol is let go of.
#include "device/remote/session.hpp"

#include <cerrno>

#include "device/remote/remote_caller.hpp"

namespace xnic::device::remote {

Session::Session(Device& device, Network& network, Channel channel, Peer peer)
    : device_(device), network_(network), channel_(std::move(channel)), peer_(peer) {}

bool Session::serve_one() {
  if (!channel_.receive(message_)) return false;
  switch (message_.header.kind) {
    case Kind::kCall:
      return call(message_);
    case Kind::kQuestion:
      return question(message_);
    default:
      return false;
  }
}

bool Session::call(Message& message) {
  const Header header = message.header;
  RemoteCaller caller(channel_, tokens_, header, message.bytes, std::move(message.descriptor), peer_);
  const long result = device_.bpf(caller, static_cast<int>(header.value), header.address, header.attr_bytes);
  Header hints;
  if (const FileIdentity* identity = caller.primary()) {
    const auto sizes = device_.element_sizes(*identity);
    hints.key_bytes = sizes.key;
    hints.value_bytes = sizes.value;
    hints.token = caller.token();
  }
  return caller.finish(result, hints);
}

bool Session::reply(int64_t value, base::Bytes bytes, int descriptor, int second_descriptor) {
  Header header;
  header.kind = Kind::kResult;
  header.value = value;
  header.gives = descriptor >= 0 ? 1 : 0;
  return channel_.send(header, bytes, descriptor, second_descriptor);
}

// As many as fit in a message; the value is how many there are.
bool Session::pins(const std::string& folder) {
  std::vector<uint8_t> text;
  const std::string prefix = folder.ends_with('/') ? folder : folder + "/";
  int64_t count = 0;
  for (const std::string& path : device_.pins()) {
    if (!path.starts_with(prefix) && path != folder) continue;
    ++count;
    if (text.size() + path.size() + 1 > kMaxPiece) continue;
    text.insert(text.end(), path.begin(), path.end());
    text.push_back(0);
  }
  return reply(count, text);
}

bool Session::question(Message& message) {
  const std::string text(message.bytes.begin(), message.bytes.end());
  FileIdentity identity;
  const bool shown = message.descriptor.get() >= 0 && LocalCaller().identify(message.descriptor.get(), identity) == 0;
  switch (static_cast<Question>(message.header.value)) {
    case Question::kPins:
      return pins(text);
    case Question::kUnpin:
      if (peer_.read_only) return reply(-EPERM, {});
      return reply(device_.unpin(text) ? 0 : -ENOENT, {});
    case Question::kFdinfo: {
      const std::string lines = shown ? device_.fdinfo(identity) : "";
      if (lines.empty()) return reply(-EBADF, {});
      return reply(0, {reinterpret_cast<const uint8_t*>(lines.data()), lines.size()});
    }
    case Question::kWakeup: {
      const int wakeup = shown ? device_.wakeup(identity) : -EBADF;
      return wakeup < 0 ? reply(wakeup, {}) : reply(0, {}, wakeup);
    }
    case Question::kPerfOpen: {
      const exec::kernel::Fd fd(peer_.read_only ? -EPERM : device_.open_perf_buffer(peer_.uid));
      return reply(fd.get() < 0 ? fd.get() : 0, {}, fd.get());
    }
    case Question::kPerfSize:
      return reply(shown && !peer_.read_only ? device_.size_perf_buffer(identity, message.header.address) : -EBADF, {});
    case Question::kNetlink: {
      const RemoteCaller caller(channel_, tokens_, message.header, {}, exec::kernel::Fd(), peer_);
      return reply(0, network_.netlink(caller, message.bytes, message.header.address));
    }
    case Question::kPorts: {
      const std::vector<PortRecord> records = network_.ports(message.header.address);
      const auto* bytes = reinterpret_cast<const uint8_t*>(records.data());
      return reply(static_cast<int64_t>(records.size()), {bytes, records.size() * sizeof records[0]});
    }
  }
  return reply(-EOPNOTSUPP, {});
}

}  // namespace xnic::device::remote
