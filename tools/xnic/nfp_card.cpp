// SPDX-License-Identifier: Apache-2.0
// --nfp KEY=VALUE, and the counters of the card's model.
#include "xnic/nfp_card.hpp"

#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "arch/nfp/card.hpp"

namespace xnic::tools {
namespace {

using base::ErrorKind;
using base::make_error;
using exec::sim::nfp::CardTiming;
using exec::sim::nfp::CoreCounters;

struct Key {
  const char* name;
  const char* what;
  uint32_t CardTiming::* place;
};
constexpr Key kKeys[] = {
#define XNIC_NFP_KEY(name, value, what) {#name, what, &CardTiming::name},
    XNIC_NFP_TIMING(XNIC_NFP_KEY)
#undef XNIC_NFP_KEY
};

std::string keys() {
  std::string names = "board, firmware, off";
  for (const Key& key : kKeys) names += std::string(", ") + key.name;
  return names;
}

base::Result<void> set_number(const std::string& setting, const std::string& name, const std::string& value,
                              CardTiming& timing) {
  for (const Key& key : kKeys) {
    if (name != key.name) continue;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), timing.*key.place);
    if (error != std::errc() || end != value.data() + value.size() || value.empty())
      return make_error(ErrorKind::kBadInput, "--nfp " + setting, "needs a number");
    return {};
  }
  return make_error(ErrorKind::kBadInput, "--nfp " + setting, "no such setting; there are {}", keys());
}

// A share of all cycles of the cores, in percent.
double share(const CoreCounters& counters, uint64_t cycles, uint64_t all) {
  return counters.cycles == 0 ? 0 : 100.0 * static_cast<double>(cycles) / static_cast<double>(all);
}

double per_packet(const CoreCounters& counters, uint64_t cycles) {
  return counters.packets == 0 ? 0 : static_cast<double>(cycles) / static_cast<double>(counters.packets);
}

struct Shares {
  double issue;     // of the cores
  double occupied;  // of the threads
};
Shares shares_of(const CoreCounters& counters, const CardTiming& timing) {
  const uint64_t cores = uint64_t{timing.islands} * timing.cores;
  return {share(counters, counters.issued, counters.cycles * cores),
          share(counters, counters.thread_cycles, counters.cycles * cores * timing.threads)};
}

}  // namespace

base::Result<NfpSettings> parse_nfp(const std::vector<std::string>& list) {
  NfpSettings settings;
  for (const std::string& setting : list) {
    const size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    if (name == "board") {
      const arch::nfp::Board* board = arch::nfp::find_board(value);
      if (board == nullptr) return make_error(ErrorKind::kBadInput, "--nfp " + setting, "no such board");
      settings.timing.clock_mhz = board->clock_mhz, settings.timing.wire_gbps = board->wire_gbps;
    } else if (name == "firmware") {
      settings.compile.firmware = arch::nfp::find_firmware(value);
      if (settings.compile.firmware == nullptr)
        return make_error(ErrorKind::kBadInput, "--nfp " + setting, "no such firmware");
    } else if (name == "off") {
      const auto pass = compile::target::nfp::find_pass(value);
      if (!pass) return make_error(ErrorKind::kBadInput, "--nfp " + setting, "no such pass");
      settings.compile.passes.put(*pass, false);
    } else {
      XNIC_TRY(set_number(setting, name, value, settings.timing));
    }
  }
  const CardTiming& timing = settings.timing;
  for (const uint32_t count : {timing.clock_mhz, timing.wire_gbps, timing.host_gbps, timing.islands, timing.cores,
                               timing.threads, timing.buffers, timing.ingress_queue})
    if (count == 0 || count > 100'000)
      return make_error(ErrorKind::kBadInput, "--nfp", "a card needs clock, ports, cores, threads and buffers");
  return settings;
}

std::string nfp_help() {
  std::string text = "Settings of the nfp card, KEY=VALUE: board, firmware, off (a compiler pass to leave out)";
  for (const Key& key : kKeys) text += std::string(", ") + key.name + " (" + key.what + ")";
  return text;
}

std::string nfp_lines(const exec::sim::nfp::Nfp& engine) {
  const CoreCounters counters = engine.core_counters();
  const Shares shares = shares_of(counters, engine.timing());
  std::string text = fmt::format(
      "  cores issue {:.1f} % of their cycles, {:.0f} a packet; threads have a packet {:.1f} % of the time\n"
      "  a packet waits {:.0f} cycles for a core",
      shares.issue, per_packet(counters, counters.issued), shares.occupied, per_packet(counters, counters.core_waits));
  for (size_t i = 0; i < std::size(counters.waits); ++i)
    text += fmt::format(", {:.0f} {}", per_packet(counters, counters.waits[i]), exec::sim::nfp::kMemoryNames[i]);
  return text + fmt::format(
                    "; {} locks tried again\n  at most {} packets waited for an earlier one; the wire waited "
                    "{:.1f} % of the time\n",
                    counters.lock_retries, counters.reorder_depth,
                    share(counters, counters.wire_waits, counters.cycles));
}

nlohmann::ordered_json nfp_json(const exec::sim::nfp::Nfp& engine) {
  const CoreCounters counters = engine.core_counters();
  nlohmann::ordered_json waits;
  for (size_t i = 0; i < std::size(counters.waits); ++i)
    waits[exec::sim::nfp::kMemoryNames[i]] = per_packet(counters, counters.waits[i]);
  waits["core"] = per_packet(counters, counters.core_waits);
  const Shares shares = shares_of(counters, engine.timing());
  return {{"issued_per_packet", per_packet(counters, counters.issued)},
          {"issue_percent", shares.issue},
          {"occupied_percent", shares.occupied},
          {"waits_per_packet", waits},
          {"lock_retries", counters.lock_retries},
          {"reorder_depth", counters.reorder_depth},
          {"wire_waits_percent", share(counters, counters.wire_waits, counters.cycles)}};
}

}  // namespace xnic::tools
