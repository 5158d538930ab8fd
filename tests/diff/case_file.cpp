// SPDX-License-Identifier: Apache-2.0
// Reading and writing of case files.
#include "case_file.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "arch/ebpf/codec.hpp"
#include "compare.hpp"

namespace xnic::tests {
namespace {

using namespace arch::ebpf;  // NOLINT: cases are made of instructions

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) bytes.push_back(uint8_t(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace

std::shared_ptr<const Program> from_raw(const Program& like, std::vector<RawInsn> raw) {
  auto program = std::make_shared<Program>(like);
  program->insns.clear();
  program->subprograms.clear();
  const auto maps = MapIndex(program->maps.size());
  const auto resolve = [maps](MapReference reference) -> base::Result<MapIndex> {
    if (MapIndex(reference.value) < maps) return MapIndex(reference.value);
    return base::make_error(base::ErrorKind::kBadInput, "", "there is no map {}", reference.value);
  };
  program->raw = std::move(raw);
  auto decoded = decode(program->raw, resolve);
  if (!decoded) return program;
  program->insns = std::move(*decoded);
  std::set<Slot> first = {0};
  for (const Instruction& insn : program->insns) {
    if (const auto* call = std::get_if<CallLocal>(&insn)) first.insert(call->target);
    if (const auto* load = std::get_if<LoadFunction>(&insn)) first.insert(load->target);
  }
  for (auto at = first.begin(); at != first.end(); ++at) {
    const Slot end = std::next(at) == first.end() ? Slot(program->insns.size()) : *std::next(at);
    program->subprograms.push_back({*at, end, fmt::format("f{}", program->subprograms.size()), false});
  }
  return program;
}

std::string to_text(const Case& value) {
  const Program& program = *value.program;
  std::string text = fmt::format("flags {}\nseed {}\n", program.load_flags, value.contents_seed);
  for (const MapSpec& map : program.maps)
    text += fmt::format("map {} {} {} {} {}\n", map.type, map.key_size, map.value_size, map.max_entries, map.flags);
  for (const RawInsn& insn : program.raw) {
    uint8_t bytes[sizeof insn];
    std::memcpy(bytes, &insn, sizeof insn);
    text += "insn " + hex(bytes) + "\n";
  }
  if (program.btf) text += "btf " + hex(program.btf->btf) + "\nfunc_info " + hex(program.btf->func_info) + "\n";
  for (const RandomPacket& packet : value.packets)
    text += "packet " + (packet.metadata.empty() ? "-" : hex(packet.metadata)) + " " + hex(packet.frame) + "\n";
  return text;
}

base::Result<Case> read_case(const std::string& path) {
  std::ifstream file(path);
  if (!file) return base::make_error(base::ErrorKind::kIo, path, "cannot be read");
  Program program;
  program.name = "case";
  program.expected_attach_type = 37;  // BPF_XDP
  program.gpl_compatible = true;
  std::vector<RawInsn> raw;
  auto btf = std::make_shared<ProgramBtf>();
  btf->func_info_rec_size = 8;
  Case value;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, first, second;
    words >> kind;
    if (kind.empty() || kind[0] == '#') continue;
    if (kind == "map") {
      MapSpec map;
      words >> map.type >> map.key_size >> map.value_size >> map.max_entries >> map.flags;
      map.name = fmt::format("m{}", program.maps.size());
      program.maps.push_back(map);
      continue;
    }
    words >> first >> second;
    if (kind == "flags") {
      program.load_flags = uint32_t(std::stoul(first));
    } else if (kind == "seed") {
      value.contents_seed = std::stoull(first);
    } else if (kind == "insn") {
      std::vector<uint8_t> bytes = from_hex(first);
      bytes.resize(sizeof(RawInsn));
      std::memcpy(&raw.emplace_back(), bytes.data(), sizeof(RawInsn));
    } else if (kind == "btf") {
      btf->btf = from_hex(first);
    } else if (kind == "func_info") {
      btf->func_info = from_hex(first);
    } else if (kind == "packet") {
      value.packets.push_back({from_hex(second), first == "-" ? std::vector<uint8_t>{} : from_hex(first)});
    } else {
      return base::make_error(base::ErrorKind::kBadInput, path, "unknown line \"{}\"", line);
    }
  }
  if (!btf->btf.empty()) program.btf = btf;
  value.program = from_raw(program, std::move(raw));
  return value;
}

}  // namespace xnic::tests
