// SPDX-License-Identifier: Apache-2.0
// etherfabric/checksum.h: RFC 791, 768, 793, 4443, with the pseudo headers of RFC 793 and 8200.
#include <etherfabric/checksum.h>
#include <netinet/ip6.h>
#include <sys/socket.h>

#include <cstring>

#include "nic/vi/offload.hpp"

namespace xnic::nic::vi {
namespace {

constexpr size_t kUdpBytes = 8;
constexpr uint8_t kTcp = 6, kUdp = 17, kIcmpv6 = 58;

const uint8_t* bytes_of(const void* header) { return static_cast<const uint8_t*>(header); }

uint64_t add_length_and_protocol(uint64_t sum, size_t length, uint8_t protocol) {
  const uint8_t words[6] = {
      0,       static_cast<uint8_t>(length >> 16), static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), 0,
      protocol};
  return add_bytes(sum, words, 6, false);
}

// A transport header of `header_bytes` with its field (at `field`) as zero, and what follows.
uint32_t transport(int af, const void* ip, const void* header, size_t header_bytes, size_t field, uint8_t protocol,
                   const iovec* iov, int iovlen) {
  size_t length = header_bytes;
  for (int i = 0; i < iovlen; ++i) length += iov[i].iov_len;
  uint64_t sum = af == AF_INET ? add_bytes(0, bytes_of(ip) + 12, 8, false) : add_bytes(0, bytes_of(ip) + 8, 32, false);
  sum = add_length_and_protocol(sum, length, protocol);
  sum = add_bytes(sum, bytes_of(header), field, false);
  sum = add_bytes(sum, bytes_of(header) + field + 2, header_bytes - field - 2, false);
  bool odd = (header_bytes & 1) != 0;
  for (int i = 0; i < iovlen; ++i) {
    sum = add_bytes(sum, static_cast<const uint8_t*>(iov[i].iov_base), iov[i].iov_len, odd);
    odd ^= (iov[i].iov_len & 1) != 0;
  }
  return fold(sum);
}

size_t tcp_bytes(const tcphdr* tcp) { return static_cast<size_t>(bytes_of(tcp)[12] >> 4) * 4; }

uint16_t field_of(const void* header, size_t at) {
  uint16_t value;
  std::memcpy(&value, bytes_of(header) + at, 2);
  return value;
}

}  // namespace
}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

uint32_t ef_ip_checksum(const iphdr* ip) {
  const uint8_t* const bytes = bytes_of(ip);
  const size_t size = (bytes[0] & 15u) * 4;
  return fold(add_bytes(add_bytes(0, bytes, 10, false), bytes + 12, size - 12, false));
}

uint32_t ef_udp_checksum_ipx(int af, const void* ipx, const udphdr* udp, const iovec* iov, int iovlen) {
  const uint32_t sum = transport(af, ipx, udp, kUdpBytes, 6, kUdp, iov, iovlen);
  return sum == 0 ? 0xffff : sum;
}
uint32_t ef_udp_checksum(const iphdr* ip, const udphdr* udp, const iovec* iov, int iovlen) {
  return ef_udp_checksum_ipx(AF_INET, ip, udp, iov, iovlen);
}
uint32_t ef_udp_checksum_ip6(const ipv6hdr* ip6, const udphdr* udp, const iovec* iov, int iovlen) {
  return ef_udp_checksum_ipx(AF_INET6, ip6, udp, iov, iovlen);
}

uint32_t ef_tcp_checksum_ipx(int af, const void* ipx, const tcphdr* tcp, const iovec* iov, int iovlen) {
  return transport(af, ipx, tcp, tcp_bytes(tcp), 16, kTcp, iov, iovlen);
}
uint32_t ef_tcp_checksum(const iphdr* ip, const tcphdr* tcp, const iovec* iov, int iovlen) {
  return ef_tcp_checksum_ipx(AF_INET, ip, tcp, iov, iovlen);
}
uint32_t ef_tcp_checksum_ip6(const ipv6hdr* ip6, const tcphdr* tcp, const iovec* iov, int iovlen) {
  return ef_tcp_checksum_ipx(AF_INET6, ip6, tcp, iov, iovlen);
}

// The header is the four bytes of type, code and checksum; all else counts as what follows.
uint32_t ef_icmpv6_checksum(const ipv6hdr* ip6, const void* icmp, const iovec* iov, int iovlen) {
  return transport(AF_INET6, ip6, icmp, 4, 2, kIcmpv6, iov, iovlen);
}

bool ef_ip_checksum_is_correct(const iphdr* ip) { return field_of(ip, 10) == ef_ip_checksum(ip); }

bool ef_udp_checksum_ipx_is_correct(int af, const void* ipx, const udphdr* udp, const iovec* iov, int iovlen) {
  const uint16_t field = field_of(udp, 6);
  if (field == 0) return af == AF_INET;
  return field == ef_udp_checksum_ipx(af, ipx, udp, iov, iovlen);
}
bool ef_udp_checksum_is_correct(const iphdr* ip, const udphdr* udp, const iovec* iov, int iovlen) {
  return ef_udp_checksum_ipx_is_correct(AF_INET, ip, udp, iov, iovlen);
}
bool ef_udp_checksum_ip6_is_correct(const ipv6hdr* ip6, const udphdr* udp, const iovec* iov, int iovlen) {
  return ef_udp_checksum_ipx_is_correct(AF_INET6, ip6, udp, iov, iovlen);
}

bool ef_tcp_checksum_ipx_is_correct(int af, const void* ipx, const tcphdr* tcp, const iovec* iov, int iovlen) {
  return field_of(tcp, 16) == ef_tcp_checksum_ipx(af, ipx, tcp, iov, iovlen);
}
bool ef_tcp_checksum_is_correct(const iphdr* ip, const tcphdr* tcp, const iovec* iov, int iovlen) {
  return ef_tcp_checksum_ipx_is_correct(AF_INET, ip, tcp, iov, iovlen);
}
bool ef_tcp_checksum_ip6_is_correct(const ipv6hdr* ip6, const tcphdr* tcp, const iovec* iov, int iovlen) {
  return ef_tcp_checksum_ipx_is_correct(AF_INET6, ip6, tcp, iov, iovlen);
}
