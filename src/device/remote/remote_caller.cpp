// SPDX-License-Identifier: Apache-2.0
// Memory and descriptors of another process, by asking it.
//
// Writes are kept in order until the result, or until a message is full, or until something is read that did not come
// along (it may be what was just written). A write that fails at the client makes the whole command -EFAULT there; when
// the failure comes with the result, the client closes what it was given, as if the command had failed first.
#include "device/remote/remote_caller.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xnic::device::remote {

RemoteCaller::RemoteCaller(Channel& channel, std::vector<FileIdentity>& tokens, const Header& call, base::Bytes pieces,
                           exec::kernel::Fd descriptor, Peer peer)
    : channel_(channel), tokens_(tokens), call_(call), peer_(peer) {
  while (pieces.size() >= sizeof(Piece)) {
    Piece piece;
    std::memcpy(&piece, pieces.data(), sizeof piece);
    pieces = pieces.subspan(sizeof piece);
    if (piece.bytes > pieces.size()) break;
    known_.push_back({piece.address, {pieces.begin(), pieces.begin() + static_cast<ptrdiff_t>(piece.bytes)}});
    pieces = pieces.subspan(std::min(pieces.size(), padded(piece.bytes)));
  }
  if (call_.token != 0 && call_.token <= tokens_.size()) {
    primary_ = tokens_[call_.token - 1];
    primary_known_ = true;
  } else if (descriptor.get() >= 0) {
    primary_known_ = LocalCaller().identify(descriptor.get(), primary_) == 0;
  }
}

bool RemoteCaller::ask(const Header& question, base::Bytes bytes, Message& answer) const {
  if (broken_) return false;
  broken_ = !channel_.send(question, bytes) || !channel_.receive(answer) || answer.header.kind != Kind::kAnswer;
  return !broken_;
}

bool RemoteCaller::flush() const {
  if (writes_.empty()) return true;
  Header question;
  question.kind = Kind::kWrite;
  Message answer;
  const bool written = ask(question, writes_, answer) && answer.header.value == 0;
  writes_.clear();
  return written;
}

bool RemoteCaller::take_known(uint64_t address, void* to, size_t bytes) const {
  const auto take = [&](const Span& span) {
    if (address < span.address || address - span.address > span.bytes.size()) return false;
    const size_t offset = address - span.address;
    if (bytes > span.bytes.size() - offset) return false;
    std::memcpy(to, span.bytes.data() + offset, bytes);
    return true;
  };
  return std::ranges::any_of(known_, take) ||
         std::ranges::any_of(expected_, [&](const Expected& expected) { return take(expected.ahead); });
}

// Pre: bytes <= kMaxPiece.
int RemoteCaller::fetch(uint64_t address, void* to, size_t bytes) const {
  Header question;
  question.kind = Kind::kRead;
  question.address = address;
  question.value = static_cast<int64_t>(bytes);
  Message answer;
  if (!ask(question, {}, answer)) return -EFAULT;
  if (answer.header.value != 0) return -EFAULT;
  if (answer.bytes.size() != bytes) {
    broken_ = true;
    return -EFAULT;
  }
  std::memcpy(to, answer.bytes.data(), bytes);
  return 0;
}

// A piece of what will be read next. False when not all of that piece is there: then only what is asked for is read.
bool RemoteCaller::fetch_ahead(uint64_t address, void* to, size_t bytes) const {
  for (Expected& expected : expected_) {
    const Piece& range = expected.range;
    if (address < range.address || address - range.address >= range.bytes) continue;
    const uint64_t left = range.bytes - (address - range.address);
    std::vector<uint8_t> piece(std::min<uint64_t>(left, kMaxPiece));
    if (piece.size() < bytes || fetch(address, piece.data(), piece.size()) != 0) return false;
    std::memcpy(to, piece.data(), bytes);
    expected.ahead = {address, std::move(piece)};
    return true;
  }
  return false;
}

int RemoteCaller::read(uint64_t address, void* to, size_t bytes) const {
  if (bytes == 0 || take_known(address, to, bytes)) return 0;
  if (!flush()) return -EFAULT;
  if (fetch_ahead(address, to, bytes)) return 0;
  auto* out = static_cast<uint8_t*>(to);
  for (size_t done = 0; done < bytes;) {
    const size_t piece = std::min<size_t>(bytes - done, kMaxPiece);
    if (int error = fetch(address + done, out + done, piece)) return error;
    done += piece;
  }
  return 0;
}

int RemoteCaller::write(uint64_t address, const void* from, size_t bytes) const {
  const auto* in = static_cast<const uint8_t*>(from);
  while (bytes > 0) {
    if (writes_.size() + sizeof(Piece) + 8 > kMaxPiece && !flush()) return -EFAULT;
    const size_t piece = std::min(bytes, kMaxPiece - writes_.size() - sizeof(Piece));
    const Piece head{address, piece};
    const size_t at = writes_.size();
    writes_.resize(at + sizeof head + padded(piece));
    std::memcpy(writes_.data() + at, &head, sizeof head);
    std::memcpy(writes_.data() + at + sizeof head, in, piece);
    in += piece;
    address += piece;
    bytes -= piece;
  }
  return 0;
}

void RemoteCaller::expect(uint64_t address, uint64_t bytes) const { expected_.push_back({.range = {address, bytes}}); }

int RemoteCaller::identify(int fd, FileIdentity& identity) const {
  if (fd == call_.descriptor && primary_known_) {
    identity = primary_;
    return 0;
  }
  if (const auto known = identities_.find(fd); known != identities_.end()) {
    identity = known->second;
    return 0;
  }
  Header question;
  question.kind = Kind::kDescriptor;
  question.descriptor = fd;
  Message answer;
  if (!flush() || !ask(question, {}, answer) || answer.descriptor.get() < 0) return -EBADF;
  if (int error = LocalCaller().identify(answer.descriptor.get(), identity)) return error;
  identities_[fd] = identity;
  return 0;
}

// The number is the client's to choose, when it gets the result.
int RemoteCaller::give(int fd) const {
  given_ = exec::kernel::Fd(fd);
  return 0;
}

uint32_t RemoteCaller::token() {
  constexpr size_t kMaxTokens = 1024;
  if (!primary_known_ || call_.token != 0) return call_.token;
  if (tokens_.size() >= kMaxTokens) return 0;
  tokens_.push_back(primary_);
  return static_cast<uint32_t>(tokens_.size());
}

bool RemoteCaller::finish(long result, const Header& hints) {
  if (broken_) return false;
  Header header = hints;
  header.kind = Kind::kResult;
  header.value = result;
  header.descriptor = call_.descriptor;
  header.gives = result >= 0 && given_.get() >= 0 ? 1 : 0;
  return channel_.send(header, writes_, header.gives != 0 ? given_.get() : -1);
}

}  // namespace xnic::device::remote
