// SPDX-License-Identifier: Apache-2.0
// --card KEY=VALUE: one table of keys, which both parser and help read.
#include "xnic/card.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "arch/hxdp/codec.hpp"
#include "base/file.hpp"

namespace xnic::tools {
namespace {

using base::ErrorKind;
using base::make_error;

struct Key {
  const char* name;
  const char* what;
  uint32_t* (*place)(CardSettings&);
};

const Key kKeys[] = {
    {"lanes", "1-8", [](CardSettings& s) { return &s.compile.parameters.lanes; }},
    {"rows", "instruction memory", [](CardSettings& s) { return &s.compile.parameters.rows; }},
    {"frame_bytes", "data bus", [](CardSettings& s) { return &s.compile.parameters.frame_bytes; }},
    {"cores", "1-64", [](CardSettings& s) { return &s.compile.parameters.cores; }},
    {"branch_cycles", "bubble behind a taken branch", [](CardSettings& s) { return &s.card.timing.branch_cycles; }},
    {"start_cycles", "reset between packets", [](CardSettings& s) { return &s.card.timing.start_cycles; }},
    {"map_memory_cycles", "external map memory; 0: on chip",
     [](CardSettings& s) { return &s.card.timing.map_memory_cycles; }},
    {"queue_frames", "input queue per core", [](CardSettings& s) { return &s.card.timing.queue_frames; }},
    {"packet_buffers", "per core", [](CardSettings& s) { return &s.card.timing.packet_buffers; }},
};

std::string keys() {
  std::string names;
  for (const Key& key : kKeys) names += std::string(key.name) + ", ";
  return names + "clock_mhz, forwarding, dispatch, off";
}

base::Result<void> set_word(const std::string& setting, const std::string& key, const std::string& value,
                            CardSettings& settings) {
  using arch::hxdp::Forwarding;
  using exec::sim::hxdp::Dispatch;
  if (key == "forwarding" && (value == "full" || value == "lane")) {
    settings.compile.parameters.forwarding = value == "full" ? Forwarding::kFull : Forwarding::kLane;
  } else if (key == "dispatch" && (value == "flow" || value == "round-robin")) {
    settings.card.dispatch = value == "flow" ? Dispatch::kFlow : Dispatch::kRoundRobin;
  } else if (key == "off") {
    settings.compile.off.push_back(value);
  } else if (key == "clock_mhz") {
    char* end = nullptr;
    const double mhz = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !(mhz > 0 && mhz < 1e6))
      return make_error(ErrorKind::kBadInput, "--card " + setting, "the clock is a number of MHz");
    settings.compile.parameters.clock_hz = static_cast<uint64_t>(mhz * 1e6 + 0.5);
  } else {
    return make_error(ErrorKind::kBadInput, "--card " + setting, "no such setting; there are {}", keys());
  }
  return {};
}

}  // namespace

base::Result<CardSettings> parse_card(const std::vector<std::string>& list) {
  CardSettings settings;
  for (const std::string& setting : list) {
    const size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    uint32_t* number = nullptr;
    for (const Key& key : kKeys) {
      if (name == key.name) number = key.place(settings);
    }
    if (number == nullptr) {
      XNIC_TRY(set_word(setting, name, value, settings));
      continue;
    }
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (error != std::errc() || end != value.data() + value.size() || value.empty())
      return make_error(ErrorKind::kBadInput, "--card " + setting, "needs a number");
  }
  if (settings.card.timing.packet_buffers == 0)
    return make_error(ErrorKind::kBadInput, "--card packet_buffers=0", "a core needs a buffer");
  XNIC_TRY(arch::hxdp::validate(settings.compile.parameters));
  return settings;
}

base::Result<void> check_beside_image(const std::vector<std::string>& list) {
  constexpr std::string_view kFree[] = {"branch_cycles", "start_cycles",   "map_memory_cycles",
                                        "queue_frames",  "packet_buffers", "dispatch"};
  for (const std::string& setting : list) {
    if (std::ranges::find(kFree, std::string_view(setting).substr(0, setting.find('='))) == std::end(kFree))
      return make_error(ErrorKind::kBadInput, "--card " + setting,
                        "is fixed in the image: compile it with this setting");
  }
  return {};
}

base::Result<arch::hxdp::Image> read_image(const std::string& path) {
  XNIC_ASSIGN(const std::vector<uint8_t> bytes, base::read_file(path));
  auto image = arch::hxdp::from_bytes(bytes);
  if (!image) return make_error(image.error().kind, path, "{}", image.error().message());
  return image;
}

device::DeviceOptions device_options(uint32_t cores) {
  const long processors = sysconf(_SC_NPROCESSORS_CONF);
  return {.cpus = std::max(cores, processors < 1 ? 1u : static_cast<uint32_t>(processors))};
}

std::string card_help() {
  std::string text = "Settings of the hxdp card, KEY=VALUE:";
  for (const Key& key : kKeys) text += std::string(" ") + key.name + " (" + key.what + "),";
  return text + " clock_mhz, forwarding (full, lane), dispatch (flow, round-robin), off (a compiler pass to leave out)";
}

}  // namespace xnic::tools
