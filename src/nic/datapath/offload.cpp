// SPDX-License-Identifier: Apache-2.0
// The Internet checksum over a packet that may lie in several pieces: a piece of odd length shifts the bytes of the
// next one by half a word, which is a byte swap of its sum (RFC 1071, 2(B)).
#include "nic/datapath/offload.hpp"

#include <algorithm>
#include <cstring>

#include "base/bytes.hpp"
#include "wire/headers.hpp"

namespace xnic::nic::datapath {
namespace {

using exec::packet::Packet;

// Sum of the native 16-bit words of one piece, folded to 16 bits; the ones' complement sum does not mind byte order.
uint32_t sum_piece(const uint8_t* bytes, size_t size) {
  uint64_t sum = 0;
  size_t i = 0;
  for (; i + 4 <= size; i += 4) sum += base::load<uint32_t>(bytes + i);
  uint32_t rest = 0;
  if (i != size) std::memcpy(&rest, bytes + i, size - i);
  sum += rest;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

// The folded sum of `size` bytes from `at` on, in native words; nothing when the packet has fewer.
std::optional<uint32_t> sum_range(const Packet& packet, uint32_t at, uint32_t size) {
  uint32_t sum = 0;
  bool odd = false;
  const auto add = [&](const uint8_t* piece, uint32_t bytes) {
    const uint32_t skipped = std::min(at, bytes);
    at -= skipped;
    const uint32_t taken = std::min(size, bytes - skipped);
    size -= taken;
    uint32_t part = sum_piece(piece + skipped, taken);
    if (odd) part = base::byte_swap(static_cast<uint16_t>(part));
    sum += part;
    odd ^= (taken & 1) != 0;
  };
  add(packet.data, static_cast<uint32_t>(packet.data_end - packet.data));
  for (const Packet::Fragment& fragment : packet.fragments) add(fragment.buffer.get() + fragment.offset, fragment.size);
  if (size != 0) return std::nullopt;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

// Where the sum of TCP or UDP is, and what it covers.
struct Transport {
  uint32_t at;         // of the header in the frame
  uint32_t bytes;      // header and payload
  uint32_t sum_at;     // of the sum in the frame
  uint32_t pseudo;     // sum of the pseudo header, in native words
  bool may_be_absent;  // UDP over IPv4: zero says that there is no sum
};

std::optional<Transport> transport_of(const Packet& packet, const Headers& headers) {
  if (!headers.ports) return std::nullopt;
  const uint8_t* ip = packet.data + headers.network_at;
  const uint32_t network_bytes =
      headers.version == 4 ? base::load_be<uint16_t>(ip + 2) : wire::Ipv6::kBytes + base::load_be<uint16_t>(ip + 4);
  const uint32_t header_bytes = headers.transport_at - headers.network_at;
  const bool tcp = headers.protocol == wire::kTcp;
  if (network_bytes < header_bytes + (tcp ? wire::Tcp::kBytes : wire::Udp::kBytes)) return std::nullopt;
  Transport transport{};
  transport.at = headers.transport_at;
  transport.bytes = network_bytes - header_bytes;
  transport.sum_at = transport.at + (tcp ? 16 : 6);
  transport.may_be_absent = !tcp && headers.version == 4;
  if (packet.data + transport.sum_at + 2 > packet.data_end) return std::nullopt;
  const uint32_t addresses = headers.version == 4 ? sum_piece(ip + 12, 8) : sum_piece(ip + 8, 32);
  const uint32_t length = transport.bytes;
  transport.pseudo = addresses + base::from_be(static_cast<uint16_t>(headers.protocol)) +
                     base::from_be(static_cast<uint16_t>(length)) + base::from_be(static_cast<uint16_t>(length >> 16));
  return transport;
}

uint16_t fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t ipv4_header_bytes(const Packet& packet, const Headers& headers) {
  return (packet.data[headers.network_at] & 15u) * 4;
}

}  // namespace

ChecksumState check_checksums(const Packet& packet) {
  const Headers headers = read_headers(packet);
  if (headers.version == 0) return ChecksumState::kNone;
  if (headers.version == 4) {
    const uint32_t bytes = ipv4_header_bytes(packet, headers);
    if (sum_piece(packet.data + headers.network_at, bytes) != 0xffff) return ChecksumState::kBad;
  }
  const std::optional<Transport> transport = transport_of(packet, headers);
  if (!transport) return ChecksumState::kNone;
  const uint16_t there = base::load<uint16_t>(packet.data + transport->sum_at);
  if (there == 0 && transport->may_be_absent) return ChecksumState::kNone;
  const std::optional<uint32_t> sum = sum_range(packet, transport->at, transport->bytes);
  if (!sum) return ChecksumState::kBad;
  return fold(*sum + transport->pseudo) == 0xffff ? ChecksumState::kGood : ChecksumState::kBad;
}

void fill_checksums(Packet& packet) {
  const Headers headers = read_headers(packet);
  if (headers.version == 0) return;
  if (headers.version == 4) {
    uint8_t* ip = packet.data + headers.network_at;
    base::store<uint16_t>(ip + 10, 0);
    base::store(ip + 10, static_cast<uint16_t>(~sum_piece(ip, ipv4_header_bytes(packet, headers))));
  }
  const std::optional<Transport> transport = transport_of(packet, headers);
  if (!transport) return;
  uint8_t* at = packet.data + transport->sum_at;
  const uint16_t before = base::load<uint16_t>(at);
  base::store<uint16_t>(at, 0);
  const std::optional<uint32_t> sum = sum_range(packet, transport->at, transport->bytes);
  if (!sum) {
    base::store(at, before);
    return;
  }
  uint16_t filled = static_cast<uint16_t>(~fold(*sum + transport->pseudo));
  if (filled == 0 && headers.protocol == wire::kUdp) filled = 0xffff;  // zero says: no sum
  base::store(at, filled);
}

bool insert_vlan(Packet& packet, uint16_t id) {
  constexpr uint32_t kTag = wire::Vlan::kBytes;
  if (packet.data < packet.frame() + exec::packet::kFrameHeaderBytes + kTag) return false;
  std::memmove(packet.data - kTag, packet.data, 12);  // the addresses move down, the tag comes in behind them
  packet.data -= kTag;
  packet.data_meta = packet.data;  // metadata is the program's, and its way ends here
  base::store_be<uint16_t>(packet.data + 12, wire::kEtherTypeVlan);
  base::store_be<uint16_t>(packet.data + 14, id & 0xfff);
  return true;
}

bool strip_vlan(Packet& packet, uint16_t id) {
  constexpr uint32_t kTag = wire::Vlan::kBytes;
  if (packet.data_end - packet.data < static_cast<ptrdiff_t>(wire::Ethernet::kBytes + kTag)) return false;
  const uint16_t type = base::load_be<uint16_t>(packet.data + 12);
  if (type != wire::kEtherTypeVlan && type != wire::kEtherTypeQinq) return false;
  if (id != kNoVlan && (base::load_be<uint16_t>(packet.data + 14) & 0xfff) != id) return false;
  std::memmove(packet.data + kTag, packet.data, 12);
  packet.data += kTag;
  packet.data_meta = packet.data;
  return true;
}

}  // namespace xnic::nic::datapath
