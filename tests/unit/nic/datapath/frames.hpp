// SPDX-License-Identifier: Apache-2.0
// Frames for the tests of the datapath, in the words of a person.
#pragma once

#include <arpa/inet.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "exec/packet/packet.hpp"
#include "wire/headers.hpp"

namespace xnic::nic::datapath {

using Frame = std::vector<uint8_t>;

inline exec::packet::Packet packet_of(const Frame& frame) {
  exec::packet::Packet packet;
  packet.assign(frame);
  return packet;
}

inline std::array<uint8_t, 16> address_of(const std::string& text) {
  std::array<uint8_t, 16> bytes{};
  inet_pton(text.find(':') == std::string::npos ? AF_INET : AF_INET6, text.c_str(), bytes.data());
  return bytes;
}

// An Ethernet frame with IPv4 or IPv6 and TCP, UDP or something else; all checksums right. `payload` bytes count up.
inline Frame ip_frame(const std::string& source, const std::string& destination, uint8_t protocol, uint16_t source_port,
                      uint16_t destination_port, size_t payload = 6) {
  const bool six = source.find(':') != std::string::npos;
  const size_t header = six ? 40 : 20;
  const size_t transport = protocol == wire::kTcp ? 20 : 8;
  Frame frame(14 + header + transport + payload);
  const base::MutableBytes bytes(frame);
  for (size_t i = 0; i < payload; ++i) frame[14 + header + transport + i] = static_cast<uint8_t>(i + 1);
  wire::Ethernet ethernet;
  ethernet.destination = {2, 0, 0, 0, 0, 2};
  ethernet.source = {2, 0, 0, 0, 0, 1};
  ethernet.ether_type = six ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4;
  ethernet.emit(bytes);
  const auto length = static_cast<uint32_t>(transport + payload);
  uint32_t pseudo = 0;
  if (six) {
    wire::Ipv6 ip;
    ip.payload_bytes = static_cast<uint16_t>(length);
    ip.next_header = protocol;
    ip.source = address_of(source);
    ip.destination = address_of(destination);
    ip.emit(bytes.subspan(14));
    pseudo = ip.pseudo_header_sum(protocol, length);
  } else {
    wire::Ipv4 ip;
    ip.total_bytes = static_cast<uint16_t>(header + length);
    ip.protocol = protocol;
    ip.source = base::load_be<uint32_t>(address_of(source).data());
    ip.destination = base::load_be<uint32_t>(address_of(destination).data());
    ip.emit(bytes.subspan(14));
    pseudo = ip.pseudo_header_sum(length);
  }
  const base::MutableBytes rest = bytes.subspan(14 + header);
  if (protocol == wire::kTcp) {
    wire::Tcp tcp;
    tcp.source_port = source_port;
    tcp.destination_port = destination_port;
    tcp.emit(rest, pseudo);
  } else if (protocol == wire::kUdp) {
    wire::Udp udp;
    udp.source_port = source_port;
    udp.destination_port = destination_port;
    udp.length_bytes = static_cast<uint16_t>(length);
    udp.emit(rest, pseudo);
  }
  return frame;
}

inline Frame with_vlan(Frame frame, uint16_t id) {
  const uint8_t tag[4] = {0x81, 0x00, static_cast<uint8_t>(id >> 8), static_cast<uint8_t>(id)};
  frame.insert(frame.begin() + 12, tag, tag + 4);
  return frame;
}

}  // namespace xnic::nic::datapath
