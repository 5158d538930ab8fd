// SPDX-License-Identifier: Apache-2.0
// One sample a packet: the packet of docs/changepoint.md, and what the card must answer, computed the plain way, from
// the samples themselves.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace xnic::apps::changepoint {

// The programs' enums (programs/include/changepoint_stream.h).
enum class StreamTag : uint64_t {
  kOpen,
  kSplit,
  kNoSplit,
  kTaken,
  kRefused,
  kLate,
  kDuplicate,
  kForeign,
  kNoRoom,
};
struct StreamCounts {
  uint64_t taken = 0, missing = 0, reordered = 0, late = 0, duplicates = 0, refused = 0, foreign = 0, no_room = 0,
           restarts = 0, decisions = 0, splits = 0, untold = 0;
  StreamCounts& operator+=(const StreamCounts& other);
  bool operator==(const StreamCounts&) const = default;
};
inline constexpr uint32_t kStreamLimit = 1u << 27;

struct StreamPacket {
  uint32_t address = 0xc0a80001;  // IPv4 source, host order
  uint32_t stream = 0;
  uint32_t sequence = 0;
  uint32_t sample = 0;
};
struct StreamAnswer {
  StreamTag tag = StreamTag::kOpen;
  uint32_t far = 0;  // this and what follows: 0 without a decision
  uint64_t mean = 0;
  uint64_t variance = 0;
  bool operator==(const StreamAnswer&) const = default;
};

inline constexpr size_t kStreamFrameBytes = 90;
using StreamFrame = std::array<uint8_t, kStreamFrameBytes>;
StreamFrame make_stream_frame(const StreamPacket& packet);
// Pre: kStreamFrameBytes bytes that make_stream_frame() made and a card answered.
StreamAnswer stream_answer(base::Bytes frame);

enum class StreamKind : uint8_t { kSums, kSampling };  // changepoint_stream, changepoint_sample

struct StreamParameters {
  StreamKind kind = StreamKind::kSums;
  uint32_t step = 128;        // kSampling: 128
  uint32_t window_steps = 4;  // kSampling: 4
  uint64_t epsilon = 1638;
  uint32_t seed = 1;  // kSampling
};

// One stream. Keeps every sample since the window began, and every sequence number.
class OfflineStream {
 public:
  OfflineStream(const StreamParameters& parameters, uint32_t stream);
  StreamAnswer take(uint32_t sequence, uint32_t sample);
  const StreamCounts& counts() const { return counts_; }

 private:
  bool arrive(uint32_t sequence, StreamTag& tag);
  StreamAnswer by_sums() const;
  StreamAnswer by_sampling();

  StreamParameters parameters_;
  uint32_t random_;
  std::vector<uint32_t> samples_;
  uint64_t gone_ = 0;       // samples that have left the window since it began
  std::vector<bool> seen_;  // from first_
  uint32_t first_ = 0;
  uint32_t next_ = 0;
  StreamCounts counts_;
};

}  // namespace xnic::apps::changepoint
