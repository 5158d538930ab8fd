// SPDX-License-Identifier: Apache-2.0
// `xnic run`: every program over every capture, then one table or one JSON document.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "device/nfp_images.hpp"
#include "xnic/card.hpp"
#include "xnic/command.hpp"
#include "xnic/job.hpp"
#include "xnic/nfp_card.hpp"
#include "xnic/traffic.hpp"

namespace xnic::tools {
namespace {

// Time inside the engine: the host's, or the card's where the engine is a model.
double run_ns(const exec::EngineCounters& counters) {
  if (!counters.modelled) return static_cast<double>(counters.run_ns);
  return static_cast<double>(counters.modelled->cycles) * 1e9 / static_cast<double>(counters.modelled->clock_hz);
}

double ns_per_packet(const exec::EngineCounters& counters) {
  return counters.packets == 0 ? 0 : run_ns(counters) / static_cast<double>(counters.packets);
}

double packets_per_second(const exec::EngineCounters& counters) {
  return run_ns(counters) == 0 ? 0 : static_cast<double>(counters.packets) * 1e9 / run_ns(counters);
}

double cycles_per_packet(const exec::EngineCounters& counters) {
  return counters.packets == 0 ? 0
                               : static_cast<double>(counters.modelled->cycles) / static_cast<double>(counters.packets);
}

double latency_ns(const exec::ModelledTime& time, uint64_t cycles) {
  return static_cast<double>(cycles) * 1e9 / static_cast<double>(time.clock_hz);
}

// The card's figures, a line for each engine that is a model.
std::string card_lines(const JobResult& result) {
  std::string text;
  for (const EngineResult& engine : result.engines) {
    if (!engine.counters.modelled) continue;
    const exec::ModelledTime& time = *engine.counters.modelled;
    text += fmt::format(
        "{} on {}: {} at {:.2f} MHz, {} {}: {:.2f} cycles/packet, {:.2f} Mpps, latency p50 {:.0f} ns, p99 {:.0f} "
        "ns\n",
        result.program, result.trace, engine.engine, static_cast<double>(time.clock_hz) / 1e6, time.rows,
        engine.engine == "nfp" ? "instructions" : "rows", cycles_per_packet(engine.counters),
        packets_per_second(engine.counters) / 1e6, latency_ns(time, time.latency_p50_cycles),
        latency_ns(time, time.latency_p99_cycles));
    text += engine.card_text;
    if (time.faults != 0) text += fmt::format("{}: {} packets aborted by the card\n", engine.engine, time.faults);
  }
  return text;
}

// What a person wants to know beyond the table: differences and frames that were treated specially.
std::string remarks(const JobResult& result) {
  std::string text;
  for (const std::string& difference : result.differences)
    text += fmt::format("DIFFERENT {} on {}: {}\n", result.program, result.trace, difference);
  if (result.skipped_short != 0) {
    text += fmt::format("{}: {} frames of less than {} bytes were skipped\n", result.trace, result.skipped_short,
                        exec::packet::kMinFrameBytes);
  }
  if (result.cut_by_capture != 0) {
    text += fmt::format("{}: {} frames were cut by the capture's snap length and ran as captured\n", result.trace,
                        result.cut_by_capture);
  }
  return text;
}

// The job with what --rate and --trace-cycles show of the card.
base::Result<JobResult> run_on_card(device::Device& device, const std::string& program, const std::string& trace,
                                    const RunOptions& options, std::optional<nic::port::PcapngWriter>& output,
                                    nlohmann::ordered_json* maps, bool* is_sustained = nullptr) {
  std::string text;
  auto json = std::make_shared<nlohmann::ordered_json>(nlohmann::ordered_json::object());
  std::string nfp_text;
  auto nfp_counters = std::make_shared<nlohmann::ordered_json>(nlohmann::ordered_json::object());
  const auto inspect = [&](Session& session) {
    if (session.engine().name() == "nfp") {
      const auto& engine = static_cast<const exec::sim::nfp::Nfp&>(session.engine());
      nfp_text = nfp_lines(engine);
      *nfp_counters = nfp_json(engine);
    }
    if (session.engine().name() != "hxdp") return;
    const auto& engine = static_cast<const exec::sim::hxdp::Hxdp&>(session.engine());
    if (!options.rate.empty()) {
      text += traffic_line(engine) + "\n";
      (*json)["traffic"] = traffic_json(engine);
      if (is_sustained != nullptr) *is_sustained = sustained(engine.card()->counters().traffic);
    }
    if (options.trace_cycles != 0) {
      text += cycle_table(engine);
      (*json)["cycles"] = cycle_json(engine);
    }
  };
  XNIC_ASSIGN(JobResult result, run_job(device, program, trace, options, output, maps, inspect));
  for (EngineResult& engine : result.engines) {
    if (engine.engine == "hxdp") engine.card_text = text, engine.card_json = json;
    if (engine.engine == "nfp") engine.card_text = nfp_text, engine.card_json = nfp_counters;
  }
  return result;
}

// Fewer would not fill a queue that is too slow.
constexpr uint64_t kSearchPackets = 1000;

// Engines "hxdp" from now on: of the image file, if there is one, else compiled.
void install_card(const std::optional<arch::hxdp::Image>& image, const CardSettings& settings) {
  if (image) {
    device::install_hxdp_image(*image, settings.card);
  } else {
    device::install_hxdp(settings.compile, settings.card);
  }
}

// The highest rate on the wire that the card sustains, to a thousandth of it. Every trial has a card and maps of its
// own.
base::Result<uint64_t> search_rate(device::Device& device, const std::string& program, const std::string& trace,
                                   const RunOptions& options, const std::optional<arch::hxdp::Image>& image,
                                   CardSettings settings) {
  // Above what the port's bus takes in: short frames have 24 bytes on the wire that it does not see.
  uint64_t too_high = settings.compile.parameters.clock_hz * settings.compile.parameters.frame_bytes * 8 * 4;
  uint64_t good = 0;
  std::optional<nic::port::PcapngWriter> no_output;
  RunOptions quiet = options;
  quiet.json = true;
  quiet.trace_cycles = 0;
  while (too_high - good > too_high / 1000 + 1) {
    settings.card.traffic = {exec::sim::hxdp::Traffic::Kind::kBits, good + (too_high - good) / 2};
    install_card(image, settings);
    bool is_good = false;
    XNIC_ASSIGN(const JobResult trial, run_on_card(device, program, trace, quiet, no_output, nullptr, &is_good));
    if (trial.engines[0].counters.packets < kSearchPackets)
      return base::make_error(base::ErrorKind::kBadInput, "--rate max", "needs {} packets, {} has {}: see --repeat",
                              kSearchPackets, trace, trial.engines[0].counters.packets);
    (is_good ? good : too_high) = settings.card.traffic.rate;
  }
  return good;
}

base::Result<void> check_card_options(const RunOptions& options, const Rate& rate, const CardSettings& settings) {
  const bool only_card = options.engines == std::vector<std::string>{"hxdp"} && options.compare.empty();
  if (!options.rate.empty() && !only_card)
    return base::make_error(base::ErrorKind::kBadInput, "--rate", "needs --engine hxdp alone: others lose no packets");
  if (rate.traffic.kind == exec::sim::hxdp::Traffic::Kind::kTimestamps && options.repeat > 1)
    return base::make_error(base::ErrorKind::kBadInput, "--rate trace", "a capture's time does not repeat");
  if (rate.search && options.inputs == std::vector<std::string>{"-"})
    return base::make_error(base::ErrorKind::kBadInput, "--rate max", "needs a file: it is read many times");
  const bool has_card = std::ranges::find(options.engines, "hxdp") != options.engines.end();
  if (!options.image.empty() && (!has_card || options.programs.size() != 1))
    return base::make_error(base::ErrorKind::kBadInput, "--image", "needs --engine hxdp and one program");
  if (options.trace_cycles != 0 && (!has_card || settings.compile.parameters.cores != 1))
    return base::make_error(base::ErrorKind::kBadInput, "--trace-cycles", "needs --engine hxdp with one core");
  return {};
}

base::Result<int> run_all(const RunOptions& options) {
  XNIC_ASSIGN(CardSettings settings, parse_card(options.card));
  std::optional<arch::hxdp::Image> image;
  if (!options.image.empty()) {
    XNIC_TRY(check_beside_image(options.card));
    XNIC_ASSIGN(image, read_image(options.image));
    settings.compile.parameters = image->parameters;
  }
  device::Device device(device_options(settings.compile.parameters.cores));
  device::install_device(&device);
  Rate rate;
  if (!options.rate.empty()) {
    XNIC_ASSIGN(rate, parse_rate(options.rate));
  }
  XNIC_TRY(check_card_options(options, rate, settings));
  settings.card.traffic = rate.traffic;
  settings.card.trace_packets = options.trace_cycles;
  install_card(image, settings);
  device::install_native();
  XNIC_ASSIGN(const NfpSettings nfp, parse_nfp(options.nfp));
  device::install_nfp(nfp.compile, nfp.timing);
  std::optional<nic::port::PcapngWriter> output;
  if (!options.output.empty()) {
    XNIC_ASSIGN(output, nic::port::PcapngWriter::create(options.output));
  }
  std::vector<JobResult> results;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  nlohmann::ordered_json dumps = nlohmann::ordered_json::array();
  for (const std::string& program : options.programs) {
    for (const std::string& trace : options.inputs) {
      if (rate.search) {
        XNIC_ASSIGN(settings.card.traffic.rate, search_rate(device, program, trace, options, image, settings));
        if (settings.card.traffic.rate == 0)
          return base::make_error(base::ErrorKind::kBadInput, "--rate max",
                                  "every rate loses packets: a packet is longer than the queue");
        install_card(image, settings);
      }
      nlohmann::ordered_json maps;
      XNIC_ASSIGN(JobResult result,
                  run_on_card(device, program, trace, options, output, options.dump_maps ? &maps : nullptr));
      json.push_back(result_json(result));
      if (options.dump_maps && options.json) json.back()["maps"] = maps;
      if (options.dump_maps && !options.json)
        dumps.push_back({{"program", result.program}, {"trace", result.trace}, {"maps", maps}});
      results.push_back(std::move(result));
    }
  }
  if (output) XNIC_TRY(output->close());
  // The capture has standard output to itself when it goes there.
  std::FILE* to = options.output == "-" ? stderr : stdout;
  if (options.json) {
    fmt::print(to, "{}\n", (json.size() == 1 ? json[0] : json).dump(2));
  } else {
    for (const auto& dump : dumps) fmt::print(to, "{}\n", dump.dump(2));
    fmt::print(to, "{}", result_table(results));
  }
  bool different = false;
  for (const JobResult& result : results)
    different = different || result.packets_different + result.maps_different != 0;
  return different ? kExitNo : kExitOk;
}

}  // namespace

std::string result_table(const std::vector<JobResult>& results) {
  size_t program_width = 7;
  size_t trace_width = 5;
  for (const JobResult& result : results) {
    program_width = std::max(program_width, result.program.size());
    trace_width = std::max(trace_width, result.trace.size());
  }
  std::string text = fmt::format("{:<{}}  {:<{}}  {:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12}\n",
                                 "program", program_width, "trace", trace_width, "engine", "packets", "aborted", "drop",
                                 "pass", "tx", "redirect", "ns/packet", "packets/s");
  uint64_t compared = 0;
  uint64_t different = 0;
  uint64_t maps_different = 0;
  std::string notes;
  for (const JobResult& result : results) {
    for (const EngineResult& engine : result.engines) {
      const exec::EngineCounters& counters = engine.counters;
      text += fmt::format("{:<{}}  {:<{}}  {:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10.1f} {:>12.0f}\n",
                          result.program, program_width, result.trace, trace_width, engine.engine, counters.packets,
                          counters.actions[0], counters.actions[1], counters.actions[2], counters.actions[3],
                          counters.actions[4], ns_per_packet(counters), packets_per_second(counters));
    }
    compared += result.packets_compared;
    different += result.packets_different;
    maps_different += result.maps_different;
    notes += card_lines(result) + remarks(result);
  }
  text += notes;
  if (!results.empty() && !results.front().reference.empty()) {
    text += fmt::format("{} packets compared, {} different", compared, different);
    text += maps_different == 0 ? "; all maps equal\n" : fmt::format("; {} maps different\n", maps_different);
  }
  return text;
}

nlohmann::ordered_json result_json(const JobResult& result) {
  nlohmann::ordered_json engines = nlohmann::ordered_json::array();
  for (const EngineResult& engine : result.engines) {
    nlohmann::ordered_json verdicts;
    for (uint32_t action = 0; action <= arch::ebpf::kXdpRedirect; ++action) {
      verdicts[std::string(arch::ebpf::action_name(action))] = engine.counters.actions[action];
    }
    engines.push_back({{"engine", engine.engine},
                       {"packets", engine.counters.packets},
                       {"bytes", engine.counters.bytes},
                       {"verdicts", verdicts},
                       {"ns_per_packet", ns_per_packet(engine.counters)},
                       {"packets_per_second", packets_per_second(engine.counters)}});
    if (!engine.counters.modelled) continue;
    const exec::ModelledTime& time = *engine.counters.modelled;
    engines.back()["card"] = {{"clock_hz", time.clock_hz},
                              {"rows", time.rows},
                              {"cycles_per_packet", cycles_per_packet(engine.counters)},
                              {"mpps", packets_per_second(engine.counters) / 1e6},
                              {"latency_p50_ns", latency_ns(time, time.latency_p50_cycles)},
                              {"latency_p99_ns", latency_ns(time, time.latency_p99_cycles)},
                              {"faults", time.faults}};
    if (engine.card_json != nullptr) engines.back()["card"].update(*engine.card_json);
  }
  nlohmann::ordered_json json = {{"program", result.program}, {"trace", result.trace}, {"engines", engines}};
  if (!result.reference.empty()) {
    json["compare"] = {{"reference", result.reference},
                       {"packets", result.packets_compared},
                       {"different", result.packets_different},
                       {"maps_different", result.maps_different},
                       {"differences", result.differences}};
  }
  if (result.skipped_short != 0) json["skipped_short"] = result.skipped_short;
  if (result.cut_by_capture != 0) json["cut_by_capture"] = result.cut_by_capture;
  return json;
}

int run(const RunOptions& options) {
  auto result = run_all(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
