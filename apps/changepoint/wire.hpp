// SPDX-License-Identifier: Apache-2.0
// The packets of docs/changepoint.md. All fields are little-endian and not aligned.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "changepoint/decision.hpp"

namespace xnic::apps::changepoint {

inline constexpr uint64_t kMagic = 0x216C7174786A7A21;
inline constexpr size_t kFrameBytes = 314;
inline constexpr size_t kTagOffset = 50;
inline constexpr uint16_t kPort = 6666;

enum class Form : uint8_t { kFixed, kDouble };
constexpr size_t sample_bytes(Form form) { return form == Form::kFixed ? 4 : 8; }

// Two windows, and where they stand in the series. Number and count fill the last 16 bytes of the payload, which the
// card does not look at; with them a receiver knows what it missed.
struct Windows {
  uint64_t tag = 0;
  uint64_t number = 0;  // of the decision, from 0
  uint64_t count = 0;   // of decisions in the series
  std::vector<double> samples;
};

// The frame of 314 bytes. Pre: 16 samples in range.
std::vector<uint8_t> make_frame(Form form, const Windows& windows);
// What the frame says, or nothing when it is none of ours. Fixed-point samples come back divided by 16384.
std::optional<Windows> parse_frame(Form form, base::Bytes frame);

}  // namespace xnic::apps::changepoint
