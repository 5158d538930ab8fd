// SPDX-License-Identifier: Apache-2.0
// programs/digits.bpf.c on an engine.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device/object.hpp"
#include "digits/network.hpp"
#include "exec/engine.hpp"

namespace xnic::apps::digits {

class DigitsCard {
 public:
  // Errors: of loader and engine; kUnsupported when there is no engine of that name.
  static base::Result<DigitsCard> open(const std::string& path, const std::string& engine);
  // Writes the set of weights that is not in use, then switches to it; packets may run meanwhile. Pre: no packet is
  // still running that began before the last switch. Errors: kIo.
  base::Result<void> use(const FixedWeights& weights);
  // Errors: of the engine; kBadInput when a packet came back unread.
  base::Result<std::vector<Reading>> read(std::span<const Image> images);
  const exec::Engine& engine() const { return *engine_; }

 private:
  DigitsCard() = default;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<device::Object> object_;
  std::unique_ptr<exec::Engine> engine_;
  std::unique_ptr<base::SystemClock> clock_;
  std::vector<exec::packet::Packet> packets_;
  uint64_t random_state_ = 1;
  uint32_t active_ = 0;
};

// The frame: 42 bytes of headers, magic, tag, image, room for digit and scores.
inline constexpr size_t kDigitsFrameBytes = 170;
std::vector<uint8_t> make_digits_frame(const Image& image);

}  // namespace xnic::apps::digits
