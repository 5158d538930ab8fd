// SPDX-License-Identifier: Apache-2.0
// corpus_kernel_verdicts [FOLDER]: asks the live kernel about every program that FOLDER/index.json lists and writes
// FOLDER/kernel.json (formats: tests/corpus/README.md). Each program is asked about on its own, so the order does not
// matter.
#include <bpf/bpf.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "corpus/kernel_verdicts/ask.hpp"

namespace {

using nlohmann::json;
using xnic::corpus::Answer;

constexpr size_t kProgressEvery = 200;

// The smallest XDP program there is: `return XDP_PASS`. If the kernel refuses this one, no verdict would mean anything.
bool kernel_takes_programs() {
  const bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
                           {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, 2, nullptr) >= 0;
}

json entry_of(const std::string& object, const std::string& program, const Answer& answer) {
  json entry = {{"object", object},        {"program", program},
                {"status", answer.status}, {"accepted", answer.status == "accepted"},
                {"errno", answer.error},   {"log_tail", answer.log_tail}};
  if (answer.status == "accepted") {
    entry["verified_insns"] = answer.verified_insns;
    entry["map_types"] = answer.map_types;
  }
  return entry;
}

json ask_all(const std::string& folder, const json& index, std::map<std::string, size_t>& by_status) {
  json entries = json::array();
  for (const auto& object : index) {
    const auto file = object.at("object").get<std::string>();
    for (const auto& program : object.at("programs")) {
      const auto name = program.at("name").get<std::string>();
      const Answer answer = xnic::corpus::ask_kernel(folder + "/" + file, name);
      ++by_status[answer.status];
      entries.push_back(entry_of(file, name, answer));
      if (entries.size() % kProgressEvery == 0) fprintf(stderr, "corpus: %zu programs asked about\n", entries.size());
    }
  }
  return entries;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "build/corpus";
  std::ifstream file(folder + "/index.json");
  const json index = json::parse(file, nullptr, false);
  if (!index.is_array()) {
    fprintf(stderr, "corpus: %s/index.json is missing or not JSON; run tests/corpus/build.sh first\n", folder.c_str());
    return 1;
  }
  if (!kernel_takes_programs()) {
    fprintf(stderr, "corpus: the kernel refuses the simplest XDP program (%s); run as root\n", strerror(errno));
    return 1;
  }
  std::map<std::string, size_t> by_status;
  const json entries = ask_all(folder, index, by_status);
  std::ofstream out(folder + "/kernel.json");
  out << entries.dump(1, ' ', true) << "\n";
  out.close();
  if (!out) {
    fprintf(stderr, "corpus: cannot write %s/kernel.json\n", folder.c_str());
    return 1;
  }
  utsname system = {};
  uname(&system);
  printf("corpus: %zu programs asked of Linux %s:", entries.size(), system.release);
  for (const auto& [status, count] : by_status) printf(" %s %zu", status.c_str(), count);
  printf("\n");
  return 0;
}
