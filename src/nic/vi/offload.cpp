// SPDX-License-Identifier: Apache-2.0
// RFC 1071: the sum may be taken in any byte order and in wide words, as long as all carries are added in the end.
#include "nic/vi/offload.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::nic::vi {
namespace {

constexpr uint8_t kTcp = 6, kUdp = 17;

// Bytes [from, to) of the frame.
uint64_t add_range(uint64_t sum, const Frame& frame, uint32_t from, uint32_t to) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < frame.count && at < to; ++i) {
    const Piece& piece = frame.pieces[i];
    const uint32_t begin = std::max(from, at), end = std::min(to, at + piece.bytes);
    if (begin < end) sum = add_bytes(sum, piece.data + (begin - at), end - begin, ((begin - from) & 1) != 0);
    at += piece.bytes;
  }
  return sum;
}

// Where the transport header ends as the IP header says, or 0 when that lies outside the frame.
uint32_t transport_end(const uint8_t* head, const datapath::Headers& headers, uint32_t size) {
  const uint8_t* ip = head + headers.network_at;
  const uint32_t end = headers.version == 4 ? headers.network_at + uint32_t{base::load_be<uint16_t>(ip + 2)}
                                            : headers.network_at + 40u + base::load_be<uint16_t>(ip + 4);
  const uint32_t least = headers.transport_at + (headers.protocol == kTcp ? 20u : 8u);
  return end <= size && end >= least ? end : 0;
}

uint64_t pseudo_header(const uint8_t* head, const datapath::Headers& headers, uint32_t length) {
  const uint8_t* ip = head + headers.network_at;
  const uint64_t sum = headers.version == 4 ? add_bytes(0, ip + 12, 8, false) : add_bytes(0, ip + 8, 32, false);
  const uint8_t rest[4] = {static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), 0, headers.protocol};
  return add_bytes(sum, rest, 4, false);
}

uint32_t ip_header_bytes(const uint8_t* head, const datapath::Headers& headers) {
  return (head[headers.network_at] & 15u) * 4;
}

uint32_t field_at(const datapath::Headers& headers) {
  return headers.transport_at + (headers.protocol == kTcp ? 16u : 6u);
}

// Makes the first bytes of the frame a piece of its own, which is a copy.
void split_head(Frame& frame, uint32_t head_bytes, PatchedHead& head) {
  Piece& first = frame.pieces[0];
  if (first.bytes >= head_bytes) {
    std::memcpy(head.bytes.data(), first.data, head_bytes);
    const Piece rest = {first.data + head_bytes, first.bytes - head_bytes};
    first = {head.bytes.data(), head_bytes};
    if (rest.bytes == 0) return;
    std::copy_backward(&frame.pieces[1], &frame.pieces[frame.count], &frame.pieces[frame.count + 1]);
    frame.pieces[1] = rest;
    ++frame.count;
    return;
  }
  const Frame whole = frame;
  frame.count = frame.bytes = 0;
  frame.add(head.bytes.data(), head_bytes);
  uint32_t copied = 0;
  for (uint32_t i = 0; i < whole.count; ++i) {
    const Piece& piece = whole.pieces[i];
    const uint32_t part = std::min(piece.bytes, head_bytes - copied);
    if (part != 0) std::memcpy(&head.bytes[copied], piece.data, part);
    copied += part;
    if (part != piece.bytes) frame.add(piece.data + part, piece.bytes - part);
  }
}

}  // namespace

uint64_t add_bytes(uint64_t sum, const uint8_t* bytes, size_t size, bool odd) {
  uint64_t mine = 0;
  size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + at, 8);
    mine += (word & 0xffffffff) + (word >> 32);
  }
  for (; at + 2 <= size; at += 2) {
    uint16_t word;
    std::memcpy(&word, bytes + at, 2);
    mine += word;
  }
  if (at < size) mine += bytes[at];  // as if a zero followed; little-endian
  if (!odd) return sum + mine;
  // Bytes at odd places count in the other half of their word.
  const uint16_t folded = static_cast<uint16_t>(~fold(mine));
  return sum + static_cast<uint16_t>(folded << 8 | folded >> 8);
}

uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

void fill_checksums(Frame& frame, const datapath::Headers& headers, bool ip, bool transport, PatchedHead& head) {
  if (headers.version == 0) return;
  const bool fills_ip = ip && headers.version == 4;
  const bool fills_transport = transport && headers.ports;
  if (!fills_ip && !fills_transport) return;
  const uint32_t head_bytes = std::min(frame.bytes, PatchedHead::kBytes);
  split_head(frame, head_bytes, head);
  uint8_t* const bytes = head.bytes.data();
  const uint32_t header = ip_header_bytes(bytes, headers);
  if (fills_ip && headers.network_at + header <= head_bytes) {
    std::memset(bytes + headers.network_at + 10, 0, 2);
    const uint16_t sum = fold(add_bytes(0, bytes + headers.network_at, header, false));
    std::memcpy(bytes + headers.network_at + 10, &sum, 2);
  }
  if (!fills_transport) return;
  const uint32_t end = transport_end(bytes, headers, frame.bytes);
  const uint32_t field = field_at(headers);
  if (end == 0 || field + 2 > head_bytes) return;
  std::memset(bytes + field, 0, 2);
  const uint64_t sum = pseudo_header(bytes, headers, end - headers.transport_at);
  uint16_t value = fold(add_range(sum, frame, headers.transport_at, end));
  if (value == 0 && headers.protocol == kUdp) value = 0xffff;
  std::memcpy(bytes + field, &value, 2);
}

void check_checksums(Frame& frame, const datapath::Headers& headers) {
  if (headers.version == 0) return;
  alignas(16) std::array<uint8_t, PatchedHead::kBytes> copy;
  const uint8_t* head = frame.pieces[0].data;
  if (frame.pieces[0].bytes < std::min<uint32_t>(frame.bytes, PatchedHead::kBytes)) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < frame.count && at < copy.size(); ++i) {
      const uint32_t part = std::min<uint32_t>(frame.pieces[i].bytes, static_cast<uint32_t>(copy.size()) - at);
      std::memcpy(&copy[at], frame.pieces[i].data, part);
      at += part;
    }
    head = copy.data();
  }
  if (headers.version == 4 && fold(add_bytes(0, head + headers.network_at, ip_header_bytes(head, headers), false)) != 0)
    frame.faults |= kFaultL3;
  if (!headers.ports) return;
  const uint32_t end = transport_end(head, headers, frame.bytes);
  const uint32_t field = field_at(headers);
  if (end == 0) {
    frame.faults |= kFaultL4;
    return;
  }
  if (headers.version == 4 && headers.protocol == kUdp && head[field] == 0 && head[field + 1] == 0) return;
  const uint64_t sum = pseudo_header(head, headers, end - headers.transport_at);
  if (fold(add_range(sum, frame, headers.transport_at, end)) != 0) frame.faults |= kFaultL4;
}

}  // namespace xnic::nic::vi
