// SPDX-License-Identifier: Apache-2.0
// parse and emit are inverses on the fields of the types; offsets are those of the RFCs named in headers.hpp.
#include "wire/headers.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "wire/checksum.hpp"

namespace xnic::wire {

using base::Bytes;
using base::load_be;
using base::MutableBytes;
using base::store_be;

namespace {

template <size_t N>
std::array<uint8_t, N> copy_in(const uint8_t* at) {
  std::array<uint8_t, N> out;
  std::copy_n(at, N, out.begin());
  return out;
}

// Writes the checksum of `message` at `field`; 0 becomes 0xffff where the protocol reserves 0 for "none" (UDP).
void put_checksum(MutableBytes message, size_t field, uint32_t pseudo_header_sum, bool zero_means_none) {
  store_be<uint16_t>(&message[field], 0);
  uint16_t value = checksum_finish(checksum_add(pseudo_header_sum, message));
  if (value == 0 && zero_means_none) value = 0xffff;
  store_be<uint16_t>(&message[field], value);
}

}  // namespace

std::optional<Ethernet> Ethernet::parse(Bytes bytes) {
  if (bytes.size() < kBytes) return std::nullopt;
  return Ethernet{copy_in<6>(&bytes[0]), copy_in<6>(&bytes[6]), load_be<uint16_t>(&bytes[12])};
}

void Ethernet::emit(MutableBytes bytes) const {
  CHECK(bytes.size() >= kBytes);
  std::copy(destination.begin(), destination.end(), &bytes[0]);
  std::copy(source.begin(), source.end(), &bytes[6]);
  store_be(&bytes[12], ether_type);
}

std::optional<Vlan> Vlan::parse(Bytes bytes) {
  if (bytes.size() < kBytes) return std::nullopt;
  return Vlan{load_be<uint16_t>(&bytes[0]), load_be<uint16_t>(&bytes[2])};
}

void Vlan::emit(MutableBytes bytes) const {
  CHECK(bytes.size() >= kBytes);
  store_be(&bytes[0], tci);
  store_be(&bytes[2], ether_type);
}

std::optional<Arp> Arp::parse(Bytes bytes) {
  if (bytes.size() < kBytes || load_be<uint64_t>(&bytes[0]) >> 16 != 0x000108000604) return std::nullopt;
  return Arp{load_be<uint16_t>(&bytes[6]), copy_in<6>(&bytes[8]), load_be<uint32_t>(&bytes[14]), copy_in<6>(&bytes[18]),
             load_be<uint32_t>(&bytes[24])};
}

void Arp::emit(MutableBytes bytes) const {
  CHECK(bytes.size() >= kBytes);
  store_be<uint64_t>(&bytes[0], uint64_t{0x000108000604} << 16 | operation);
  std::copy(sender_mac.begin(), sender_mac.end(), &bytes[8]);
  store_be(&bytes[14], sender_ip);
  std::copy(target_mac.begin(), target_mac.end(), &bytes[18]);
  store_be(&bytes[24], target_ip);
}

std::optional<Ipv4> Ipv4::parse(Bytes bytes) {
  if (bytes.size() < kBytes || bytes[0] >> 4 != 4) return std::nullopt;
  const auto header_bytes = static_cast<uint8_t>((bytes[0] & 15) * 4);
  if (header_bytes < kBytes || header_bytes > bytes.size() || checksum(bytes.first(header_bytes)) != 0)
    return std::nullopt;
  Ipv4 ip{
      header_bytes, bytes[1], load_be<uint16_t>(&bytes[2]),  load_be<uint16_t>(&bytes[4]), load_be<uint16_t>(&bytes[6]),
      bytes[8],     bytes[9], load_be<uint32_t>(&bytes[12]), load_be<uint32_t>(&bytes[16])};
  if (ip.total_bytes < header_bytes) return std::nullopt;
  return ip;
}

void Ipv4::emit(MutableBytes bytes) const {
  CHECK(header_bytes >= kBytes);
  CHECK(header_bytes % 4 == 0);
  CHECK(bytes.size() >= header_bytes);
  bytes[0] = static_cast<uint8_t>(0x40 | header_bytes / 4);
  bytes[1] = tos;
  store_be(&bytes[2], total_bytes);
  store_be(&bytes[4], identification);
  store_be(&bytes[6], fragment);
  bytes[8] = ttl;
  bytes[9] = protocol;
  store_be(&bytes[12], source);
  store_be(&bytes[16], destination);
  put_checksum(bytes.first(header_bytes), 10, 0, false);
}

uint32_t Ipv4::pseudo_header_sum(uint32_t payload_bytes) const {
  return (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) + protocol + payload_bytes;
}

std::optional<Ipv6> Ipv6::parse(Bytes bytes) {
  if (bytes.size() < kBytes || bytes[0] >> 4 != 6) return std::nullopt;
  const uint32_t first = load_be<uint32_t>(&bytes[0]);
  return Ipv6{static_cast<uint8_t>(first >> 20),
              first & 0xfffff,
              load_be<uint16_t>(&bytes[4]),
              bytes[6],
              bytes[7],
              copy_in<16>(&bytes[8]),
              copy_in<16>(&bytes[24])};
}

void Ipv6::emit(MutableBytes bytes) const {
  CHECK(bytes.size() >= kBytes);
  CHECK(flow_label <= 0xfffff);
  store_be(&bytes[0], 6u << 28 | uint32_t{traffic_class} << 20 | flow_label);
  store_be(&bytes[4], payload_bytes);
  bytes[6] = next_header;
  bytes[7] = hop_limit;
  std::copy(source.begin(), source.end(), &bytes[8]);
  std::copy(destination.begin(), destination.end(), &bytes[24]);
}

uint32_t Ipv6::pseudo_header_sum(uint8_t protocol, uint32_t payload_bytes) const {
  return checksum_add(checksum_add(protocol + payload_bytes, source), destination);
}

std::optional<Udp> Udp::parse(Bytes bytes) {
  if (bytes.size() < kBytes) return std::nullopt;
  Udp udp{load_be<uint16_t>(&bytes[0]), load_be<uint16_t>(&bytes[2]), load_be<uint16_t>(&bytes[4])};
  if (udp.length_bytes < kBytes || udp.length_bytes > bytes.size()) return std::nullopt;
  return udp;
}

void Udp::emit(MutableBytes datagram, uint32_t pseudo_header_sum) const {
  CHECK(datagram.size() >= kBytes);
  store_be(&datagram[0], source_port);
  store_be(&datagram[2], destination_port);
  store_be(&datagram[4], length_bytes);
  put_checksum(datagram, 6, pseudo_header_sum, true);
}

std::optional<Tcp> Tcp::parse(Bytes bytes) {
  if (bytes.size() < kBytes) return std::nullopt;
  Tcp tcp{load_be<uint16_t>(&bytes[0]),
          load_be<uint16_t>(&bytes[2]),
          load_be<uint32_t>(&bytes[4]),
          load_be<uint32_t>(&bytes[8]),
          static_cast<uint8_t>(bytes[12] >> 4 << 2),
          bytes[13],
          load_be<uint16_t>(&bytes[14])};
  if (tcp.header_bytes < kBytes || tcp.header_bytes > bytes.size()) return std::nullopt;
  return tcp;
}

void Tcp::emit(MutableBytes segment, uint32_t pseudo_header_sum) const {
  CHECK(segment.size() >= kBytes);
  store_be(&segment[0], source_port);
  store_be(&segment[2], destination_port);
  store_be(&segment[4], sequence);
  store_be(&segment[8], acknowledgment);
  segment[12] = static_cast<uint8_t>(header_bytes / 4 << 4);
  segment[13] = flags;
  store_be(&segment[14], window);
  store_be<uint16_t>(&segment[18], 0);
  put_checksum(segment, 16, pseudo_header_sum, false);
}

std::optional<Icmp> Icmp::parse(Bytes bytes) {
  if (bytes.size() < kBytes) return std::nullopt;
  return Icmp{bytes[0], bytes[1], load_be<uint32_t>(&bytes[4])};
}

void Icmp::emit(MutableBytes message, uint32_t pseudo_header_sum) const {
  CHECK(message.size() >= kBytes);
  message[0] = type;
  message[1] = code;
  store_be(&message[4], rest);
  put_checksum(message, 2, pseudo_header_sum, false);
}

}  // namespace xnic::wire
