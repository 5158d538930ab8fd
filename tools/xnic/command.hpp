// SPDX-License-Identifier: Apache-2.0
// What the commands of xnic share: their options, exit codes and the way errors are told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace xnic::tools {

// Exit codes, documented in `xnic --help`.
enum ExitCode : int {
  kExitOk = 0,
  kExitNo = 1,           // the answer is no: packets differ, program rejected
  kExitBadInput = 2,     // wrong use, or a file that isn't what it should be
  kExitUnsupported = 3,  // valid, but not supported or over a limit
  kExitIo = 4,           // the operating system refused
};

// Prints "xnic: error: …" to standard error; the exit code for the kind of error.
int report(const base::Error& error);

struct RunOptions {
  std::vector<std::string> programs;
  std::string program_name;
  std::vector<std::string> inputs;
  std::vector<std::string> engines = {"interp"};
  std::string compare;
  std::string output;
  std::vector<std::string> maps;  // NAME=FILE.json
  bool dump_maps = false;
  uint32_t ingress_ifindex = 1;
  uint32_t rx_queue = 0;
  uint64_t repeat = 1;
  uint64_t limit = 0;  // 0: none
  bool json = false;
  std::vector<std::string> card;  // KEY=VALUE of the hxdp card
  std::string image;              // of the hxdp card; empty: compile
  std::vector<std::string> nfp;   // KEY=VALUE of the nfp card
  std::string rate;               // of the packets that the card is offered; empty: back to back
  uint32_t trace_cycles = 0;      // packets
};
int run(const RunOptions& options);

struct CheckOptions {
  std::vector<std::string> objects;
  std::string program_name;
  bool log = false;
  bool json = false;
  std::string target;    // "nfp": would that card take the program?; empty: the verifier alone
  std::string board;     // of the nfp target; empty: any
  std::string firmware;  // of the nfp target; empty: each
  uint32_t mtu = 1500;   // of the port, for the nfp target
};
int check(const CheckOptions& options);

struct DisasmOptions {
  std::string object;
  std::string program_name;
  std::string target;  // "nfp": `object` is a file of that card's words; empty: an eBPF object
};
int disasm(const DisasmOptions& options);

struct CompileOptions {
  std::string object;
  std::string program_name;
  std::string target = "hxdp";
  std::string output;  // image file; empty: none
  bool listing = false;
  bool json = false;
  std::string schedule = "heuristic";  // or exact
  uint64_t schedule_nodes = 100'000;   // of an exact search, for each region and number of rows
  std::string prove = "off";           // off, regions, full
  std::vector<std::string> card;
  std::string firmware = "ebpf";     // of the nfp target
  uint32_t mtu = 1500;               // of the port, for the nfp target
  std::vector<std::string> nfp_off;  // passes that the nfp target leaves out
};
int compile(const CompileOptions& options);
// compile_nfp.cpp: the same for the nfp target, and the words of such a file as text.
base::Result<int> compile_for_nfp(const CompileOptions& options);
base::Result<int> disassemble_nfp(const std::string& path);

struct ExplainOptions {
  std::string object;
  std::string program_name;
  std::string target = "hxdp";
  std::string input;
  std::vector<std::string> maps;
  bool json = false;
  std::vector<std::string> card;
};
int explain(const ExplainOptions& options);

struct SweepOptions {
  std::string object;
  std::string program_name;
  std::string input;
  std::vector<std::string> maps;
  uint64_t repeat = 1;
  std::vector<uint32_t> lanes = {1, 2, 4, 8};
  std::vector<uint32_t> cores = {1, 2, 4};
  std::vector<uint32_t> frame_bytes = {32};
  std::vector<double> clock_mhz = {156.25};
  bool csv = false;
  std::vector<std::string> card;
};
int sweep(const SweepOptions& options);

struct GenOptions {
  std::string output = "-";
  uint64_t count = 1000;
  uint32_t flows = 100;
  std::string sizes = "60";
  std::string protocols = "udp";
  uint32_t vlan_tags = 0;
  uint32_t malformed_percent = 0;
  uint64_t seed = 1;
  double rate_pps = 1e6;
};
int gen(const GenOptions& options);

}  // namespace xnic::tools
