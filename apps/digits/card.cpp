// SPDX-License-Identifier: Apache-2.0
#include "digits/card.hpp"

#include <algorithm>
#include <cstring>

#include "base/check.hpp"
#include "wire/headers.hpp"

namespace xnic::apps::digits {
namespace {

constexpr size_t kBatch = 64;
constexpr uint64_t kMagic = 0x2173746967696421;
constexpr size_t kHead = 42, kTag = kHead + 8, kImage = kHead + 16, kDigit = kImage + 64, kScores = kDigit + 4;

}  // namespace

std::vector<uint8_t> make_digits_frame(const Image& image) {
  std::vector<uint8_t> frame(kDigitsFrameBytes);
  const base::MutableBytes bytes(frame);
  constexpr size_t kIp = wire::Ethernet::kBytes;
  constexpr size_t kUdp = kIp + wire::Ipv4::kBytes;
  wire::Ethernet{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}, wire::kEtherTypeIpv4}.emit(bytes);
  wire::Ipv4 ip;
  ip.total_bytes = kDigitsFrameBytes - kIp;
  ip.protocol = wire::kUdp;
  ip.source = 0xc0a80001;
  ip.destination = 0xc0a800fe;
  ip.emit(bytes.subspan(kIp));
  base::store_be<uint16_t>(&frame[kUdp], 6668);
  base::store_be<uint16_t>(&frame[kUdp + 2], 6668);
  base::store_be<uint16_t>(&frame[kUdp + 4], kDigitsFrameBytes - kUdp);
  base::store_le<uint64_t>(&frame[kHead], kMagic);
  std::copy(image.begin(), image.end(), frame.begin() + kImage);
  return frame;
}

base::Result<DigitsCard> DigitsCard::open(const std::string& path, const std::string& engine) {
  DigitsCard card;
  card.device_ = std::make_unique<device::Device>();
  XNIC_ASSIGN(device::Object object, device::Object::load(*card.device_, path));
  card.object_ = std::make_unique<device::Object>(std::move(object));
  card.engine_ = exec::make_engine(engine);
  if (card.engine_ == nullptr)
    return base::make_error(base::ErrorKind::kUnsupported, engine, "no such engine in this build");
  XNIC_TRY(card.engine_->load(card.object_->programs().at(0).loaded));
  card.clock_ = std::make_unique<base::SystemClock>();
  card.packets_.resize(kBatch);
  return card;
}

base::Result<void> DigitsCard::use(const FixedWeights& weights) {
  XNIC_TRY(check_range(weights));
  const device::ObjectMap* sets = object_->find_map("weights");
  const device::ObjectMap* active = object_->find_map("active");
  CHECK(sets != nullptr && active != nullptr);
  if (sets->map->spec().value_size != sizeof weights)
    return base::make_error(base::ErrorKind::kBadInput, "weights", "the program has other sizes");
  const uint32_t other = 1 - active_;
  const uint32_t zero = 0;
  if (sets->map->host_update(&other, &weights, 0) != 0 || active->map->host_update(&zero, &other, 0) != 0)
    return base::make_error(base::ErrorKind::kIo, "weights", "cannot be written");
  active_ = other;
  return engine_->push_maps();
}

base::Result<std::vector<Reading>> DigitsCard::read(std::span<const Image> images) {
  std::vector<Reading> readings;
  std::vector<exec::Verdict> verdicts(kBatch);
  exec::RunContext context;
  context.clock = clock_.get();
  context.random_state = &random_state_;
  for (size_t first = 0; first < images.size(); first += kBatch) {
    const size_t count = std::min(kBatch, images.size() - first);
    for (size_t i = 0; i < count; ++i) packets_[i].assign(make_digits_frame(images[first + i]));
    XNIC_TRY(engine_->run(std::span(packets_).first(count), std::span(verdicts).first(count), context));
    for (size_t i = 0; i < count; ++i) {
      const uint8_t* at = packets_[i].data;
      if (base::load_le<uint64_t>(at + kTag) != 1)
        return base::make_error(base::ErrorKind::kBadInput, std::string(engine_->name()), "image {} came back unread",
                                first + i);
      Reading& reading = readings.emplace_back();
      reading.digit = base::load_le<uint32_t>(at + kDigit);
      std::memcpy(reading.scores.data(), at + kScores, sizeof reading.scores);
    }
  }
  return readings;
}

}  // namespace xnic::apps::digits
