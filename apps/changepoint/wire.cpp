// SPDX-License-Identifier: Apache-2.0
// Addresses are fixed: the sender is 192.168.0.1, the destination is everybody.
#include "changepoint/wire.hpp"

#include <bit>

#include "base/check.hpp"
#include "wire/headers.hpp"

namespace xnic::apps::changepoint {
namespace {

constexpr size_t kHeadOffset = 42;
constexpr size_t kSamplesOffset = 58;
constexpr size_t kNumberOffset = kFrameBytes - 16;
constexpr size_t kCountOffset = kFrameBytes - 8;

}  // namespace

std::vector<uint8_t> make_frame(Form form, const Windows& windows) {
  CHECK(windows.samples.size() == kSamples);
  std::vector<uint8_t> frame(kFrameBytes);
  uint8_t* at = frame.data();
  base::store_le<uint64_t>(at + kHeadOffset, kMagic);
  base::store_le<uint64_t>(at + kTagOffset, windows.tag);
  for (size_t i = 0; i < kSamples; ++i) {
    uint8_t* place = at + kSamplesOffset + i * sample_bytes(form);
    const double sample = windows.samples[i];
    if (form == Form::kFixed)
      base::store_le<uint32_t>(place, static_cast<uint32_t>(to_fixed(sample, kDeployed.scale)));
    else
      base::store_le<uint64_t>(place, std::bit_cast<uint64_t>(sample));
  }
  base::store_le<uint64_t>(at + kNumberOffset, windows.number);
  base::store_le<uint64_t>(at + kCountOffset, windows.count);
  const base::MutableBytes bytes(frame);
  constexpr wire::Mac kEverybody = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  wire::Ethernet{kEverybody, {2, 0, 0, 0, 0, 1}, wire::kEtherTypeIpv4}.emit(bytes);
  constexpr size_t kIp = wire::Ethernet::kBytes;
  wire::Ipv4{.total_bytes = kFrameBytes - kIp, .protocol = wire::kUdp, .source = 0xc0a80001, .destination = 0xffffffff}
      .emit(bytes.subspan(kIp));
  // The card changes the tag and no checksum, so the datagram goes without one (RFC 768: zero).
  constexpr size_t kUdp = kIp + wire::Ipv4::kBytes;
  base::store_be<uint16_t>(at + kUdp, kPort);
  base::store_be<uint16_t>(at + kUdp + 2, kPort);
  base::store_be<uint16_t>(at + kUdp + 4, kFrameBytes - kUdp);
  return frame;
}

std::optional<Windows> parse_frame(Form form, base::Bytes frame) {
  if (frame.size() < kFrameBytes || base::load_le<uint64_t>(frame.data() + kHeadOffset) != kMagic) return std::nullopt;
  Windows windows;
  windows.tag = base::load_le<uint64_t>(frame.data() + kTagOffset);
  windows.number = base::load_le<uint64_t>(frame.data() + kNumberOffset);
  windows.count = base::load_le<uint64_t>(frame.data() + kCountOffset);
  for (size_t i = 0; i < kSamples; ++i) {
    const uint8_t* place = frame.data() + kSamplesOffset + i * sample_bytes(form);
    if (form == Form::kFixed)
      windows.samples.push_back(base::load_le<uint32_t>(place) / static_cast<double>(kDeployed.scale));
    else
      windows.samples.push_back(std::bit_cast<double>(base::load_le<uint64_t>(place)));
  }
  return windows;
}

}  // namespace xnic::apps::changepoint
