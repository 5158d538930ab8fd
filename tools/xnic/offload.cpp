// SPDX-License-Identifier: Apache-2.0
#include "xnic/offload.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

namespace xnic::tools {

using compile::target::nfp::kNoSlot;
using compile::target::nfp::Refusal;
using nlohmann::ordered_json;

std::vector<OffloadAnswer> offload_answers(const CheckOptions& options, const arch::ebpf::Program& program,
                                           const arch::ebpf::Facts& facts) {
  std::vector<OffloadAnswer> answers;
  for (const arch::nfp::Firmware& firmware : arch::nfp::firmwares()) {
    if (!options.firmware.empty() && options.firmware != firmware.name) continue;
    answers.push_back({options.board.empty() ? nullptr : arch::nfp::find_board(options.board), &firmware,
                       compile::target::nfp::check_offload(program, facts, {&firmware, options.mtu})});
  }
  return answers;
}

namespace {

bool same(const Refusal& a, const Refusal& b) {
  return a.rule == b.rule && a.slot == b.slot && a.message == b.message && a.source == b.source;
}

void print(const Refusal& refusal, const std::string& only) {
  const std::string where = refusal.slot == kNoSlot ? "" : fmt::format("insn {}: ", refusal.slot);
  fmt::print("    {:<12}  [nfp] {}{} ({}){}\n", stage_name(refusal.stage), where, refusal.message,
             strerrorname_np(refusal.error), only);
  if (!refusal.source.empty()) fmt::print("    {:<12}  {}\n", "", refusal.source);
  fmt::print("    {:<12}  {}\n", "", refusal.advice);
}

}  // namespace

void print(std::span<const OffloadAnswer> answers) {
  const bool colour = isatty(STDOUT_FILENO) != 0;
  const char* const green = colour ? "\033[32m" : "";
  const char* const red = colour ? "\033[31m" : "";
  const char* const plain = colour ? "\033[0m" : "";
  for (const OffloadAnswer& answer : answers) {
    const std::string board = answer.board ? fmt::format("{} at {} MHz", answer.board->product, answer.board->clock_mhz)
                                           : std::string("any NFP-4000 board");
    const std::string firmware = fmt::format("{} ({})", answer.firmware->name, answer.firmware->description);
    if (answer.refusals.empty())
      fmt::print("  {}taken{}    {}, firmware {}\n", green, plain, board, firmware);
    else
      fmt::print("  {}refused{}  {}, firmware {}: {} reason{}\n", red, plain, board, firmware, answer.refusals.size(),
                 answer.refusals.size() == 1 ? "" : "s");
  }
  // A reason that several firmwares give is printed once.
  for (size_t i = 0; i < answers.size(); ++i) {
    for (const Refusal& refusal : answers[i].refusals) {
      const auto gives = [&](const OffloadAnswer& answer) {
        return std::any_of(answer.refusals.begin(), answer.refusals.end(),
                           [&](const Refusal& other) { return same(refusal, other); });
      };
      if (std::any_of(answers.begin(), answers.begin() + static_cast<std::ptrdiff_t>(i), gives)) continue;
      const bool all = std::all_of(answers.begin(), answers.end(), gives);
      print(refusal, all ? "" : fmt::format(", firmware {}", answers[i].firmware->name));
    }
  }
}

ordered_json to_json(const OffloadAnswer& answer) {
  ordered_json refusals = ordered_json::array();
  for (const Refusal& refusal : answer.refusals) {
    ordered_json entry = {{"rule", rule_name(refusal.rule)}, {"stage", stage_name(refusal.stage)}};
    if (refusal.slot != kNoSlot) entry["instruction"] = refusal.slot;
    entry["errno"] = refusal.error;
    entry["message"] = refusal.message;
    entry["advice"] = refusal.advice;
    entry["source"] = refusal.source;
    refusals.push_back(std::move(entry));
  }
  ordered_json json = {{"firmware", answer.firmware->name}, {"taken", answer.refusals.empty()}};
  if (answer.board != nullptr) {
    json["board"] = answer.board->name;
    json["clock_mhz"] = answer.board->clock_mhz;
  }
  json["refusals"] = std::move(refusals);
  return json;
}

}  // namespace xnic::tools
