// SPDX-License-Identifier: Apache-2.0
// xnic-bpf-plugin: one program, one run, for the public bpf_conformance runner. The runner's contract: the program
// comes as hex bytes on stdin (with --elf, an object file), memory as a hex argument; r1 points to the memory and r2 is
// its length; r0 goes to stdout in hex with exit code 0, a refusal to stderr with another code. Helper 5 is «unwind»:
// it returns r1, and the program ends when that is 0.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "arch/ebpf/codec.hpp"
#include "device/native_images.hpp"
#include "exec/engine.hpp"
#include "exec/interp/flat.hpp"
#include "exec/native/flat.hpp"
#include "xnic-bpf-plugin/elf_program.hpp"
#include "xnic-bpf-plugin/xdp_run.hpp"

namespace xnic::bpf_plugin {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;

uint64_t unwind(exec::helpers::HelperContext&, uint64_t value, uint64_t, uint64_t, uint64_t, uint64_t) { return value; }

// These run programs as they are, which no verifier would take: on flat memory, with helper 5 and callx. The others run
// them as an XDP program would (xdp_run.hpp).
bool is_flat(std::string_view engine) { return engine == "interp" || engine == "native"; }

// Bytes from hex digits; blanks may stand between bytes.
Result<std::vector<uint8_t>> parse_hex(std::string_view what, std::string_view text) {
  std::vector<uint8_t> bytes;
  int high = -1;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c))) {
      if (high >= 0) return make_error(ErrorKind::kBadInput, std::string(what), "a byte has two hex digits");
      continue;
    }
    if (!std::isxdigit(static_cast<unsigned char>(c))) {
      return make_error(ErrorKind::kBadInput, std::string(what), "'{}' is not a hex digit", c);
    }
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  if (high >= 0) return make_error(ErrorKind::kBadInput, std::string(what), "a byte has two hex digits");
  return bytes;
}

Result<std::vector<arch::ebpf::RawInsn>> program_from(std::string_view text, bool elf) {
  XNIC_ASSIGN(const auto bytes, parse_hex("program", text));
  if (elf) return program_in_elf(bytes);
  if (bytes.size() % sizeof(arch::ebpf::RawInsn) != 0) {
    return make_error(ErrorKind::kBadInput, "program", "has {} bytes, not a multiple of 8", bytes.size());
  }
  std::vector<arch::ebpf::RawInsn> program(bytes.size() / sizeof(arch::ebpf::RawInsn));
  if (!bytes.empty()) std::memcpy(program.data(), bytes.data(), bytes.size());
  return program;
}

Result<uint64_t> execute(const std::string& engine, const std::string& memory_text, const std::string& text, bool elf) {
  XNIC_ASSIGN(auto memory, parse_hex("memory", memory_text));
  XNIC_ASSIGN(const auto raw, program_from(text, elf));
  if (!is_flat(engine)) {
    return run_as_xdp(engine, raw, memory_text.empty() ? std::nullopt : std::optional(memory));
  }
  auto no_maps = [](arch::ebpf::MapReference) -> Result<arch::ebpf::MapIndex> {
    return make_error(ErrorKind::kUnsupported, "", "there are no maps here");
  };
  XNIC_ASSIGN(const auto insns, arch::ebpf::decode(raw, no_maps));
  const exec::interp::ExtraHelpers extra = {{5, {unwind, true}}};
  if (engine == "native") return exec::native::run_flat(insns, memory, extra);
  return exec::interp::run_flat(insns, memory, extra);
}

}  // namespace
}  // namespace xnic::bpf_plugin

int main(int argc, char** argv) {
  using namespace xnic::bpf_plugin;
  xnic::device::install_native();
  CLI::App app{"Runs one eBPF program for the bpf_conformance runner: hex on stdin, r0 in hex on stdout."};
  std::string memory;
  std::string engine = "interp";
  bool elf = false;
  std::vector<std::string> names;
  for (const auto name : xnic::exec::engine_names()) names.emplace_back(name);
  app.add_option("memory", memory, "Memory that r1 points to, in hex; blanks may stand between bytes");
  app.add_option("--engine", engine, "Engine to run on")->check(CLI::IsMember(names))->capture_default_str();
  app.add_flag("--elf", elf, "stdin is an ELF object whose function main is the program");
  // The runner hands over its plugin options as one argument, empty if there are none.
  std::vector<char*> arguments{argv, argv + argc};
  std::erase_if(arguments, [](const char* argument) { return *argument == 0; });
  CLI11_PARSE(app, static_cast<int>(arguments.size()), arguments.data());

  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const auto r0 = execute(engine, memory, text, elf);
  if (!r0) {
    fmt::print(stderr, "{}\n", r0.error().message());
    return 1;
  }
  fmt::print("{:x}\n", *r0);
  return 0;
}
