// SPDX-License-Identifier: Apache-2.0
// changepoint_stream or changepoint_sample on engines of our own, a queue each; all share the program's maps.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "changepoint/stream.hpp"
#include "device/object.hpp"
#include "exec/engine.hpp"

namespace xnic::apps::changepoint {

// A decision as the host reads it from the ring buffer.
struct StreamResult {
  uint32_t address;  // host order
  uint32_t stream;
  uint32_t sequence;
  StreamAnswer answer;
};

class StreamCard {
 public:
  // Loads the object with these parameters. Errors: of loader and engine; kUnsupported for an engine with maps of its
  // own (kernel) when there is more than one queue. `cores`: of an hXDP card, which has one queue here.
  static base::Result<StreamCard> open(const std::string& path, const std::string& engine,
                                       const StreamParameters& parameters, uint32_t queues, uint32_t cores = 1);
  // Runs packets that came through a queue; `answers` has one for each. Different queues may run at the same time.
  base::Result<void> run(uint32_t queue, std::span<const StreamPacket> packets, std::vector<StreamAnswer>& answers);
  // Over all processors. Not while packets run. Errors: kIo (kernel).
  base::Result<StreamCounts> counts();
  // Takes what the ring buffer holds, oldest first. One caller at a time.
  void drain(const std::function<void(const StreamResult&)>& take);
  const exec::Engine& engine(uint32_t queue) const { return *queues_[queue].engine; }
  uint32_t queues() const { return static_cast<uint32_t>(queues_.size()); }

 private:
  struct Queue {
    std::unique_ptr<exec::Engine> engine;
    std::vector<exec::packet::Packet> packets;
    std::vector<exec::Verdict> verdicts;
    uint64_t random_state = 1;
  };
  StreamCard() = default;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<device::Object> object_;
  std::unique_ptr<base::SystemClock> clock_;
  std::vector<Queue> queues_;
};

}  // namespace xnic::apps::changepoint
