// SPDX-License-Identifier: Apache-2.0
// `xnic check` and `xnic disasm`: what the card makes of an object without running it; with --target, what another card
// would.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "arch/ebpf/print.hpp"
#include "device/object.hpp"
#include "xnic/command.hpp"
#include "xnic/offload.hpp"

namespace xnic::tools {
namespace {

using device::ProgramReport;
using nlohmann::ordered_json;

constexpr std::string_view rejection_kind(compile::verify::Rejection::Kind kind) {
  using Kind = compile::verify::Rejection::Kind;
  switch (kind) {
    case Kind::kMemory:
      return "memory";
    case Kind::kType:
      return "type";
    case Kind::kTermination:
      return "termination";
    case Kind::kStructure:
      return "structure";
    case Kind::kReference:
      return "reference";
    case Kind::kUnsupported:
      return "unsupported";
    case Kind::kLimit:
      return "limit";
  }
  return "";
}

ordered_json to_json(const std::string& object, const ProgramReport& report) {
  ordered_json json = {
      {"object", object}, {"program", report.name}, {"section", report.section}, {"accepted", report.accepted}};
  if (report.program != nullptr) json["instructions"] = report.program->insns.size();
  if (report.facts != nullptr) {
    json["visited"] = report.facts->visited_insns;
    json["stack_bytes"] = report.facts->max_stack_bytes;
  }
  if (report.error) json["error"] = report.error->message();
  if (report.rejection) {
    json["rejection"] = {{"kind", rejection_kind(report.rejection->kind)},
                         {"instruction", report.rejection->slot},
                         {"errno", report.rejection->error},
                         {"reason", report.rejection->reason},
                         {"advice", report.rejection->advice},
                         {"source", report.rejection->source},
                         {"state", report.rejection->state}};
  }
  return json;
}

void print(const ProgramReport& report, bool log) {
  const bool colour = isatty(STDOUT_FILENO) != 0;
  const char* const green = colour ? "\033[32m" : "";
  const char* const red = colour ? "\033[31m" : "";
  const char* const plain = colour ? "\033[0m" : "";
  if (report.accepted) {
    fmt::print("{}accepted{}  {} ({}): {} instructions, {} visited, {} bytes of stack\n", green, plain, report.name,
               report.section, report.program->insns.size(), report.facts->visited_insns,
               report.facts->max_stack_bytes);
  } else {
    fmt::print("{}rejected{}  {} ({})\n  {}\n", red, plain, report.name, report.section, report.error->message());
  }
  if (log && !report.log.empty()) fmt::print("{}\n", report.log);
}

// What the card that was asked for says of an accepted program; false when no firmware that was asked for takes it.
bool check_offload(const CheckOptions& options, const ProgramReport& report, ordered_json* json) {
  const auto answers = offload_answers(options, *report.program, *report.facts);
  if (json == nullptr) {
    print(answers);
  } else {
    for (const OffloadAnswer& answer : answers) (*json)["nfp"].push_back(to_json(answer));
  }
  return std::any_of(answers.begin(), answers.end(),
                     [](const OffloadAnswer& answer) { return answer.refusals.empty(); });
}

base::Result<int> check_all(const CheckOptions& options) {
  device::Device device;
  ordered_json list = ordered_json::array();
  bool rejected = false;
  for (const std::string& object : options.objects) {
    device::LoadOptions load;
    load.program = options.program_name;
    load.verifier_log = options.log;
    XNIC_ASSIGN(const auto reports, device::Object::check(device, object, load));
    if (!options.json) fmt::print("{}\n", object);
    for (const ProgramReport& report : reports) {
      rejected = rejected || !report.accepted;
      if (options.json) {
        list.push_back(to_json(object, report));
      } else {
        print(report, options.log);
      }
      if (report.accepted && !options.target.empty())
        rejected = !check_offload(options, report, options.json ? &list.back() : nullptr) || rejected;
    }
  }
  if (options.json) fmt::print("{}\n", list.dump(2));
  return rejected ? kExitNo : kExitOk;
}

base::Result<int> disassemble(const DisasmOptions& options) {
  device::Device device;
  device::LoadOptions load;
  load.program = options.program_name;
  XNIC_ASSIGN(const auto reports, device::Object::check(device, options.object, load));
  for (const ProgramReport& report : reports) {
    // A program that the verifier rejects can be read all the same; one that can't be decoded cannot.
    if (report.program == nullptr) return base::Unexpected(*report.error);
    fmt::print("{} ({}):\n{}\n", report.name, report.section, arch::ebpf::listing(*report.program));
  }
  return kExitOk;
}

}  // namespace

int check(const CheckOptions& options) {
  auto result = check_all(options);
  return result ? *result : report(result.error());
}

int disasm(const DisasmOptions& options) {
  auto result = options.target == "nfp" ? disassemble_nfp(options.object) : disassemble(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
