// SPDX-License-Identifier: Apache-2.0
#include "common.h"

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace efvi {

int must(int result, const char* what) {
  if (result >= 0) return result;
  fmt::print(stderr, "cannot {}: {}\n", what, std::strerror(-result));
  std::exit(1);
}

Interface::Interface(const std::string& port, uint64_t flags, uint32_t receive_buffers, uint32_t transmit_buffers)
    : receive_buffers_(receive_buffers) {
  must(ef_driver_open(&handle_), "open a card (is one served? see xnic-efvi)");
  must(ef_pd_alloc_by_name(&domain_, handle_, port.c_str(), EF_PD_DEFAULT), "make a domain on this port");
  must(ef_vi_alloc_from_pd(&vi_, handle_, &domain_, handle_, -1, receive_buffers != 0 ? -1 : 0,
                           transmit_buffers != 0 ? -1 : 0, nullptr, -1, static_cast<enum ef_vi_flags>(flags)),
       "make a virtual interface");
  bytes_ = (receive_buffers + size_t{transmit_buffers}) * kBufferBytes;
  memory_ = static_cast<uint8_t*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  must(ef_memreg_alloc(&registered_, handle_, &domain_, handle_, memory_, bytes_), "register memory");
  for (uint32_t i = 0; i < receive_buffers; ++i) post(i);
  if (receive_buffers != 0) ef_vi_receive_push(&vi_);
}

ef_addr Interface::register_memory_of(Interface& other) {
  ef_memreg registered;
  must(ef_memreg_alloc(&registered, handle_, &domain_, handle_, other.memory_, other.bytes_), "register memory");
  return ef_memreg_dma_addr(&registered, 0);
}

void Interface::take_udp(uint32_t address, uint16_t port) {
  ef_filter_spec spec;
  ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
  must(ef_filter_spec_set_ip4_local(&spec, IPPROTO_UDP, htonl(address), htons(port)), "set a filter");
  must(ef_vi_filter_add(&vi_, handle_, &spec, nullptr), "add a filter (does another program take these packets?)");
}

void Interface::take_all() {
  for (const auto set : {ef_filter_spec_set_unicast_all, ef_filter_spec_set_multicast_all}) {
    ef_filter_spec spec;
    ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
    must(set(&spec), "set a filter");
    must(ef_vi_filter_add(&vi_, handle_, &spec, nullptr), "add a filter (does another program take these packets?)");
  }
}

uint32_t Interface::reap(const ef_event& event) {
  ef_request_id ids[EF_VI_TRANSMIT_BATCH];
  if (EF_EVENT_TYPE(event) == EF_EVENT_TYPE_TX)
    return static_cast<uint32_t>(ef_vi_transmit_unbundle(&vi_, &event, ids));
  if (EF_EVENT_TYPE(event) == EF_EVENT_TYPE_TX_ERROR) must(-EIO, "send: the card refused a frame");
  return 0;
}

std::vector<uint8_t> Interface::mac() {
  std::vector<uint8_t> address(6);
  must(ef_vi_get_mac(&vi_, handle_, address.data()), "read the MAC address");
  return address;
}

void write_headers(uint8_t* frame, const std::vector<uint8_t>& source, uint32_t from, uint32_t to, uint16_t port,
                   uint32_t payload_bytes) {
  std::memset(frame, 0xff, 6);  // whoever takes the flow gets it
  std::copy(source.begin(), source.end(), frame + 6);
  frame[12] = 0x08, frame[13] = 0x00;
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(static_cast<uint16_t>(28 + payload_bytes));
  ip.saddr = htonl(from);
  ip.daddr = htonl(to);
  ip.check = static_cast<uint16_t>(ef_ip_checksum(&ip));
  udphdr udp{};
  udp.source = udp.dest = htons(port);
  udp.len = htons(static_cast<uint16_t>(8 + payload_bytes));
  const iovec payload = {frame + kHeaderBytes, payload_bytes};
  udp.check = static_cast<uint16_t>(ef_udp_checksum(&ip, &udp, &payload, 1));
  std::memcpy(frame + 14, &ip, sizeof ip);
  std::memcpy(frame + 34, &udp, sizeof udp);
}

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void Histogram::print(const char* what) {
  if (values_.empty()) return;
  std::sort(values_.begin(), values_.end());
  const auto at = [&](double part) {
    return values_[static_cast<size_t>(part * static_cast<double>(values_.size() - 1))];
  };
  fmt::print("{}: {} samples, ns: least {}, median {}, p99 {}, greatest {}\n", what, values_.size(), values_.front(),
             at(0.5), at(0.99), values_.back());
}

}  // namespace efvi
