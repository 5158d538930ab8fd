// SPDX-License-Identifier: Apache-2.0
#include "vi_fixture.hpp"

#include "base/bytes.hpp"
#include "wire/checksum.hpp"

namespace xnic::nic::vi {

Bytes make_frame(const FrameSpec& spec) {
  Bytes frame(14 + (spec.vlan >= 0 ? 4 : 0) + 28 + spec.payload);
  uint8_t* at = frame.data();
  std::memcpy(at, spec.destination.data(), 6);
  const uint8_t source[6] = {2, 0, 0, 0, 0, 1};
  std::memcpy(at + 6, source, 6);
  at += 12;
  if (spec.vlan >= 0) {
    base::store_be<uint16_t>(at, 0x8100);
    base::store_be<uint16_t>(at + 2, static_cast<uint16_t>(spec.vlan));
    at += 4;
  }
  base::store_be<uint16_t>(at, 0x0800);
  uint8_t* const ip = at + 2;
  uint8_t* const udp = ip + 20;
  ip[0] = 0x45;
  base::store_be<uint16_t>(ip + 2, static_cast<uint16_t>(28 + spec.payload));
  ip[8] = 64;
  ip[9] = IPPROTO_UDP;
  base::store_be<uint32_t>(ip + 12, spec.from);
  base::store_be<uint32_t>(ip + 16, spec.to);
  base::store_be<uint16_t>(ip + 10, wire::checksum({ip, 20}));
  base::store_be<uint16_t>(udp, spec.from_port);
  base::store_be<uint16_t>(udp + 2, spec.to_port);
  base::store_be<uint16_t>(udp + 4, static_cast<uint16_t>(8 + spec.payload));
  for (size_t i = 0; i < spec.payload; ++i) udp[8 + i] = static_cast<uint8_t>(spec.seed + i);
  uint32_t sum = wire::checksum_add(0, {ip + 12, 8}) + IPPROTO_UDP + static_cast<uint32_t>(8 + spec.payload);
  sum = wire::checksum_add(sum, {udp, 8 + spec.payload});
  base::store_be<uint16_t>(udp + 6, wire::checksum_finish(sum));
  return frame;
}

Endpoint::Endpoint(const std::string& port, const Options& options) : receive_buffers(options.receive_buffers) {
  own_handle_ = options.handle < 0;
  dh = options.handle;
  if (own_handle_) {
    EXPECT_EQ(ef_driver_open(&dh), 0);
  }
  EXPECT_EQ(ef_pd_alloc_by_name(&pd, dh, port.c_str(), static_cast<ef_pd_flags>(options.pd_flags)), 0);
  label = ef_vi_alloc_from_pd(&vi, dh, &pd, dh, options.event_queue != nullptr ? 0 : options.evq, options.rxq,
                              options.txq, options.event_queue, dh, static_cast<enum ef_vi_flags>(options.flags));
  EXPECT_GE(label, 0);
  bytes_ = (options.receive_buffers + options.transmit_buffers) * kBufferBytes;
  memory = static_cast<uint8_t*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  EXPECT_EQ(ef_memreg_alloc(&memreg, dh, &pd, dh, memory, bytes_), 0);
  for (size_t i = 0; options.rxq != 0 && options.post && i < receive_buffers; ++i) EXPECT_EQ(post(i), 0);
}

Endpoint::~Endpoint() {
  if (vi.inited != 0) {
    EXPECT_EQ(ef_vi_free(&vi, dh), 0);
  }
  EXPECT_EQ(ef_memreg_free(&memreg, dh), 0);
  EXPECT_EQ(ef_pd_free(&pd, dh), 0);
  if (own_handle_) {
    EXPECT_EQ(ef_driver_close(dh), 0);
  }
  munmap(memory, bytes_);
}

int Endpoint::send(const Bytes& frame, size_t buffer) {
  std::memcpy(transmit_buffer(buffer), frame.data(), frame.size());
  return ef_vi_transmit(&vi, transmit_address(buffer), static_cast<int>(frame.size()), static_cast<int>(buffer));
}

int Endpoint::add(const std::function<int(ef_filter_spec*)>& set, unsigned flags, ef_filter_cookie* cookie) {
  ef_filter_spec spec;
  ef_filter_spec_init(&spec, static_cast<ef_filter_flags>(flags));
  const int error = set(&spec);
  return error != 0 ? error : ef_vi_filter_add(&vi, dh, &spec, cookie);
}

int Endpoint::take_flow(uint32_t to, uint16_t port) {
  return add(
      [&](ef_filter_spec* spec) { return ef_filter_spec_set_ip4_local(spec, IPPROTO_UDP, htonl(to), htons(port)); });
}

std::vector<ef_event> Endpoint::poll(int room) {
  std::vector<ef_event> events(static_cast<size_t>(room));
  const int count = ef_eventq_poll(&vi, events.data(), room);
  events.resize(static_cast<size_t>(count));
  return events;
}

std::vector<Bytes> Endpoint::receive() {
  std::vector<Bytes> frames;
  for (std::vector<ef_event> events = poll(); !events.empty(); events = poll()) {
    for (const ef_event& event : events) {
      if (EF_EVENT_TYPE(event) != EF_EVENT_TYPE_RX) continue;
      const auto prefix = static_cast<size_t>(ef_vi_receive_prefix_len(&vi));
      const size_t id = EF_EVENT_RX_RQ_ID(event);
      frames.emplace_back(receive_buffer(id) + prefix, receive_buffer(id) + EF_EVENT_RX_BYTES(event));
      EXPECT_EQ(post(id), 0);
    }
  }
  return frames;
}

void ViTest::start() {
  options_.socket = socket_;
  options_.ports = {{.name = "left", .peer = "right", .ifindex = 71}, {.name = "right", .peer = "left", .ifindex = 72}};
  auto service = CardService::start(options_);
  ASSERT_TRUE(service) << service.error().message();
  service_ = std::move(*service);
  setenv("XNIC_CARD", socket_.c_str(), 1);
}

}  // namespace xnic::nic::vi
