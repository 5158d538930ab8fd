// SPDX-License-Identifier: Apache-2.0
// Nothing here is incremental: each decision looks at all samples of its window and its step again.
#include "changepoint/stream.hpp"

#include <algorithm>
#include <set>
#include <span>

#include "base/check.hpp"
#include "wire/headers.hpp"

namespace xnic::apps::changepoint {
namespace {

constexpr uint64_t kStreamMagic = 0x216D616572747321;
constexpr size_t kHead = 42;
constexpr uint32_t kRestart = 65536;
constexpr uint32_t kHistory = 64;
constexpr uint32_t kDraws = 64;
constexpr uint32_t kDrawn = 128;
constexpr uint16_t kFirstPort = 20000;

using Wide = unsigned __int128;

uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

struct Moments {
  uint64_t mean;
  uint64_t variance;
};
// Rounded down, both.
template <class T>
Moments moments(std::span<const T> values) {
  Wide sum = 0;
  Wide squares = 0;
  for (T value : values) sum += value, squares += Wide(value) * value;
  const Wide mean = sum / values.size();
  return {static_cast<uint64_t>(mean), static_cast<uint64_t>(squares / values.size() - mean * mean)};
}

}  // namespace

StreamCounts& StreamCounts::operator+=(const StreamCounts& other) {
  taken += other.taken, missing += other.missing, reordered += other.reordered, late += other.late;
  duplicates += other.duplicates, refused += other.refused, foreign += other.foreign, no_room += other.no_room;
  restarts += other.restarts, decisions += other.decisions, splits += other.splits, untold += other.untold;
  return *this;
}

StreamFrame make_stream_frame(const StreamPacket& packet) {
  StreamFrame frame{};
  const base::MutableBytes bytes(frame);
  constexpr size_t kIp = wire::Ethernet::kBytes;
  constexpr size_t kUdp = kIp + wire::Ipv4::kBytes;
  wire::Ethernet{{2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 1}, wire::kEtherTypeIpv4}.emit(bytes);
  wire::Ipv4 ip;
  ip.total_bytes = kStreamFrameBytes - kIp;
  ip.protocol = wire::kUdp;
  ip.source = packet.address;
  ip.destination = 0xc0a800fe;
  ip.emit(bytes.subspan(kIp));
  // A port of its own spreads the streams over the queues; the datagram has no checksum, for the card changes it.
  base::store_be<uint16_t>(&frame[kUdp], static_cast<uint16_t>(kFirstPort + packet.stream % 40000));
  base::store_be<uint16_t>(&frame[kUdp + 2], 6667);
  base::store_be<uint16_t>(&frame[kUdp + 4], kStreamFrameBytes - kUdp);
  base::store_le<uint64_t>(&frame[kHead], kStreamMagic);
  base::store_le<uint32_t>(&frame[kHead + 16], packet.stream);
  base::store_le<uint32_t>(&frame[kHead + 20], packet.sequence);
  base::store_le<uint32_t>(&frame[kHead + 24], packet.sample);
  return frame;
}

StreamAnswer stream_answer(base::Bytes frame) {
  CHECK(frame.size() >= kStreamFrameBytes);
  const uint8_t* at = frame.data() + kHead;
  return {static_cast<StreamTag>(base::load_le<uint64_t>(at + 8)), base::load_le<uint32_t>(at + 28),
          base::load_le<uint64_t>(at + 32), base::load_le<uint64_t>(at + 40)};
}

OfflineStream::OfflineStream(const StreamParameters& parameters, uint32_t stream)
    : parameters_(parameters), random_(parameters.seed + stream) {}

// Whether the sample is used; sets the tag when it is not.
bool OfflineStream::arrive(uint32_t sequence, StreamTag& tag) {
  const auto ahead = static_cast<int32_t>(sequence - next_);
  if (ahead >= static_cast<int32_t>(kRestart) || ahead < -static_cast<int32_t>(kRestart)) {
    ++counts_.restarts;
    samples_.clear();
    gone_ = 0;
    seen_.clear();
    first_ = sequence;
    next_ = sequence;
  } else if (ahead > 0) {
    counts_.missing += static_cast<uint32_t>(ahead);
  } else if (ahead < 0) {
    const auto age = static_cast<uint32_t>(-1 - ahead);
    if (age >= kHistory) {
      ++counts_.late;
      tag = StreamTag::kLate;
      return false;
    }
    const int64_t at = static_cast<int32_t>(sequence - first_);
    if (at >= 0 && seen_.at(static_cast<size_t>(at))) {
      ++counts_.duplicates;
      tag = StreamTag::kDuplicate;
      return false;
    }
    ++counts_.reordered;
    // A sender that began anew may be overtaken by its own first packet.
    if (at < 0) seen_.insert(seen_.begin(), static_cast<size_t>(-at), false), first_ = sequence;
  }
  const size_t at = sequence - first_;
  if (seen_.size() <= at) seen_.resize(at + 1);
  seen_[at] = true;
  next_ = first_ + static_cast<uint32_t>(seen_.size());
  ++counts_.taken;
  return true;
}

StreamAnswer OfflineStream::take(uint32_t sequence, uint32_t sample) {
  StreamAnswer answer{.tag = StreamTag::kTaken};
  if (sample >= kStreamLimit) {
    ++counts_.refused;
    return {.tag = StreamTag::kRefused};
  }
  if (!arrive(sequence, answer.tag)) return answer;
  samples_.push_back(sample);
  const size_t window = size_t(parameters_.step) * parameters_.window_steps;
  if (samples_.size() % parameters_.step != 0 || samples_.size() <= window) return answer;
  answer = parameters_.kind == StreamKind::kSums ? by_sums() : by_sampling();
  ++counts_.decisions;
  if (answer.tag == StreamTag::kSplit) {
    ++counts_.splits;
    samples_.erase(samples_.begin(), samples_.end() - parameters_.step);
    gone_ = 0;
  } else {
    gone_ += parameters_.step;
    samples_.erase(samples_.begin(), samples_.end() - static_cast<ptrdiff_t>(window));
  }
  return answer;
}

// The window is all but the last step.
StreamAnswer OfflineStream::by_sums() const {
  const std::span<const uint32_t> all(samples_);
  const auto tested = all.last(parameters_.step);
  const auto window = all.first(all.size() - parameters_.step);
  CHECK(window.size() == size_t(parameters_.step) * parameters_.window_steps);
  const Moments m = moments(window);
  uint32_t far = 0;
  for (uint32_t sample : tested) far += distance(sample, m.mean) >= parameters_.epsilon;
  const Wide bound = Wide(m.variance) * tested.size();
  const bool split = Wide(far) * parameters_.epsilon * parameters_.epsilon > bound;
  return {split ? StreamTag::kSplit : StreamTag::kNoSplit, far, m.mean, m.variance};
}

StreamAnswer OfflineStream::by_sampling() {
  const std::span<const uint32_t> all(samples_);
  const auto window = all.first(all.size() - parameters_.step);
  const auto size = static_cast<uint32_t>(window.size());
  std::vector<uint64_t> means;
  for (uint32_t i = 0; i < kDraws; ++i) {
    random_ = random_ * 1664525 + 1013904223;
    const uint32_t multiplier = (random_ >> 8 & (size - 4)) | 1;
    const uint32_t increment = random_ >> 17 | 1;
    uint32_t place = random_ >> 23;
    std::set<uint32_t> drawn;
    uint64_t sum = 0;
    for (uint32_t k = 0; k < kDrawn; ++k) {
      place = (place * multiplier + increment) % size;
      CHECK(drawn.insert(place).second);  // without replacement
      // The card's window is a ring: sample n since the window began lies at place n modulo its size.
      sum += window[(place + size - gone_ % size) % size];
    }
    means.push_back(sum / kDrawn);
  }
  const Moments m = moments(std::span<const uint64_t>(means));
  const uint64_t mean = moments(all.last(parameters_.step)).mean;
  const bool far = distance(mean, m.mean) >= parameters_.epsilon;
  const bool split = far && m.variance < parameters_.epsilon * parameters_.epsilon;
  return {split ? StreamTag::kSplit : StreamTag::kNoSplit, far, m.mean, m.variance};
}

}  // namespace xnic::apps::changepoint
