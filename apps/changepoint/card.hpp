// SPDX-License-Identifier: Apache-2.0
// A program of programs/ on one engine, for frames that are handed over in lists.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/object.hpp"
#include "exec/engine.hpp"

namespace xnic::apps::changepoint {

using Frames = std::vector<std::vector<uint8_t>>;

// Where the build puts the objects, seen from this program: ../programs beside bin/.
std::string program_path(const std::string& program);

class Card {
 public:
  // Loads NAME.bpf.o at `path` into a card of its own, for the engine of this name. Errors: of the loader and the
  // engine; kUnsupported when there is no engine of that name.
  static base::Result<Card> open(const std::string& path, const std::string& engine);
  // Runs the program on each frame, in order; the frames and `verdicts` are then the program's.
  base::Result<void> run(Frames& frames, std::vector<exec::Verdict>& verdicts);
  const exec::Engine& engine() const { return *engine_; }
  const device::Object& object() const { return *object_; }

 private:
  Card() = default;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<device::Object> object_;
  std::unique_ptr<exec::Engine> engine_;
  std::vector<exec::packet::Packet> packets_;
  std::unique_ptr<base::SystemClock> clock_;
  uint64_t random_state_ = 1;
};

}  // namespace xnic::apps::changepoint
