// SPDX-License-Identifier: Apache-2.0
// One job of `xnic run`: one program, one capture, some engines side by side.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "device/object.hpp"
#include "exec/engine.hpp"
#include "nic/port/pcap.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {

struct EngineResult {
  std::string engine;
  exec::EngineCounters counters;
  // Of the hxdp card, when asked for: text for people, members for the JSON.
  std::string card_text{};
  std::shared_ptr<nlohmann::ordered_json> card_json{};
};

struct JobResult {
  std::string program;  // "file.o:function"
  std::string trace;
  std::vector<EngineResult> engines;
  std::string reference;          // engine compared with; empty: none
  uint64_t packets_compared = 0;  // times the engines that were compared
  uint64_t packets_different = 0;
  uint64_t maps_different = 0;
  uint64_t skipped_short = 0;            // frames below 14 bytes: no Ethernet header, the kernel refuses them too
  uint64_t cut_by_capture = 0;           // frames that the capture holds only in part; they run as captured
  std::vector<std::string> differences;  // the first few, both sides
};

// An engine with an object, and so maps, of its own.
class Session {
 public:
  static base::Result<Session> open(device::Device& device, const std::string& object, const std::string& engine,
                                    const RunOptions& options);
  const std::string& program_name() const { return program_name_; }
  const device::Object& object() const { return object_; }
  exec::Engine& engine() { return *engine_; }
  // Runs the first `count` packets; their bytes and `verdicts` are then the program's.
  base::Result<void> run(size_t count);

  std::vector<exec::packet::Packet> packets;
  std::vector<exec::Verdict> verdicts;

 private:
  Session(device::Object object, std::unique_ptr<exec::Engine> engine);
  device::Object object_;
  std::unique_ptr<exec::Engine> engine_;
  std::string program_name_;
  uint64_t random_state_ = 1;
  std::unique_ptr<base::SystemClock> clock_;
};

// Compares what two sessions did; differences are described in words.
// Packets [0, count): verdict and bytes. Appends to result.
void compare_packets(const Session& reference, const Session& session, const std::string& names, size_t count,
                     uint64_t first_packet, JobResult& result);
// Every map that can be walked, whatever the order of its elements. Errors: kIo of the kernel's maps.
base::Result<void> compare_maps(Session& reference, Session& session, const std::string& names, JobResult& result);

// `inspect` sees each session when all packets are through.
base::Result<JobResult> run_job(device::Device& device, const std::string& object, const std::string& trace,
                                const RunOptions& options, std::optional<nic::port::PcapngWriter>& output,
                                nlohmann::ordered_json* map_dump, const std::function<void(Session&)>& inspect = {});

// The table for people, and the documented JSON for machines.
std::string result_table(const std::vector<JobResult>& results);
nlohmann::ordered_json result_json(const JobResult& result);

}  // namespace xnic::tools
