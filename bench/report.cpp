// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <fmt/core.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

namespace xnic::bench {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

// The behaviour case on each program's main path.
const std::map<std::string, std::string> kMainCase = {
    {"adjust_tail", "1514 bytes are answered"},
    {"changepoint_double", "stock prices"},
    {"changepoint_fixed", "stock prices"},
    {"changepoint_sample", "a double"},
    {"changepoint_stream", "a double"},
    {"digits", "random weights"},
    {"drop", "drops a datagram"},
    {"katran_lb", "a known TCP connection stays with its real"},
    {"katran_min", "a known flow goes to its real"},
    {"nat44", "UDP: a known flow keeps its port"},
    {"parser_v6_qinq", "QinQ"},
    {"pass", "passes a datagram unchanged"},
    {"rate_limiter", "the largest burst"},
    {"redirect", "sends to interface 1 by default"},
    {"redirect_map", "swaps, counts and redirects"},
    {"router_ipv4", "through a gateway"},
    {"rxq_info", "swaps MAC addresses when asked"},
    {"simple_firewall", "UDP from the LAN counts on its flow"},
    {"syncookie", "MSS 1460"},
    {"tx", "returns a datagram with swapped MAC addresses"},
    {"tx_ip_tunnel", "IPv4 UDP is encapsulated"},
    {"xdp1", "IPv4 UDP"},
    {"xdp2", "IPv4 UDP"},
};

std::string cell(const ordered_json& row, const Column& column) {
  const auto found = row.find(column.key);
  const int width = std::max(column.width, static_cast<int>(column.key.size()));
  if (found == row.end() || found->is_null()) return fmt::format("{:>{}}", "-", width);
  if (found->is_boolean()) return fmt::format("{:<{}}", found->get<bool>() ? "yes" : "no", width);
  if (found->is_string()) return fmt::format("{:<{}}", found->get<std::string>(), width);
  const std::string number =
      found->is_number_float() ? fmt::format("{:.{}f}", found->get<double>(), column.digits) : found->dump();
  return fmt::format("{:>{}}", number + column.unit, width);
}

std::string trimmed(std::string line) {
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

Report::Report(std::vector<Column> columns)
    : columns_(std::move(columns)), rows_(std::make_unique<ordered_json>(ordered_json::array())) {}
Report::~Report() = default;

void Report::print_head() const {
  std::string line;
  for (const Column& column : columns_)
    line += fmt::format("{:<{}}  ", column.key, std::max(column.width, static_cast<int>(column.key.size())));
  fmt::print("{}\n", trimmed(std::move(line)));
}

void Report::add(ordered_json row) {
  std::string line;
  for (const Column& column : columns_) line += cell(row, column) + "  ";
  fmt::print("{}\n", trimmed(std::move(line)));
  std::fflush(stdout);
  for (auto& member : row) {
    if (member.is_number_float()) member = std::round(member.get<double>() * 1e4) / 1e4;
  }
  rows_->push_back(std::move(row));
}

const ordered_json& Report::rows() const { return *rows_; }

Result<void> Report::write(const fs::path& path) const {
  std::error_code ignored;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), ignored);
  std::ofstream file(path);
  file << rows_->dump(2) << '\n';
  file.close();
  if (!file) return make_error(ErrorKind::kIo, path.string(), "cannot be written");
  return {};
}

std::string machine_state() {
  utsname system{};
  uname(&system);
  std::string model = "unknown CPU", line;
  std::ifstream cpus("/proc/cpuinfo");
  while (std::getline(cpus, line))
    if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
  double load[1] = {};
  getloadavg(load, 1);
  return fmt::format("{} x {}, Linux {}, load {:.1f}", sysconf(_SC_NPROCESSORS_ONLN), model, system.release, load[0]);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void pin_to_cpu(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
}

Result<std::string> main_case_name(const std::string& program) {
  const auto named = kMainCase.find(program);
  if (named == kMainCase.end())
    return make_error(ErrorKind::kBadInput, program, "has no main case yet: name one in bench/report.cpp");
  return named->second;
}

Result<ordered_json> read_case(const fs::path& cases, const std::string& program, const std::string& name) {
  std::ifstream in(cases / (program + ".json"));
  const ordered_json document = ordered_json::parse(in, nullptr, false);
  if (document.is_discarded()) return make_error(ErrorKind::kIo, program, "its cases cannot be read");
  for (const auto& test : document["cases"])
    if (test["name"] == name) return test;
  return make_error(ErrorKind::kBadInput, program, "has no case '{}'", name);
}

Result<ordered_json> main_case(const fs::path& cases, const std::string& program) {
  XNIC_ASSIGN(const std::string name, main_case_name(program));
  return read_case(cases, program, name);
}

std::vector<std::string> programs_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(".bpf.o")) names.push_back(file.substr(0, file.size() - 6));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace xnic::bench
