// SPDX-License-Identifier: Apache-2.0
// Builds a Program: map references become indexes into the list of the maps used, every target of a local call or of a
// callback reference starts a subprogram, and func_info and line_info (checked as kernel/bpf/verifier.c check_btf_info
// does) give names and source lines.
#include "device/program_build.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "arch/ebpf/codec.hpp"
#include "arch/ebpf/helpers.hpp"
#include "device/kernel_functions.hpp"

namespace xnic::device {
namespace {

namespace ebpf = arch::ebpf;
using arch::ebpf::MapIndex;
using arch::ebpf::Slot;

constexpr uint32_t kMaxMapsPerProgram = 64;  // kernel MAX_USED_MAPS

// Turns references into indexes. A descriptor used twice, or two descriptors of one map, give one index.
class MapCollector {
 public:
  MapCollector(const Command& command, std::vector<std::shared_ptr<MapObject>>& maps)
      : command_(command), maps_(maps) {}

  base::Result<MapIndex> resolve(ebpf::MapReference reference) {
    int32_t fd = reference.value;
    if (reference.is_index) {
      if (!command_.attr.fd_array) return fail(EPROTO, "fd_idx without fd_array is invalid");
      uint64_t at = command_.attr.fd_array + uint64_t{static_cast<uint32_t>(reference.value)} * sizeof fd;
      if (command_.caller.read(at, &fd, sizeof fd)) return fail(EFAULT, "fd_array is not readable");
    }
    std::shared_ptr<MapObject> map;
    if (int error = command_.map(fd, map))
      return fail(-error, fmt::format("fd {} is not pointing to valid bpf_map", fd));
    for (size_t i = 0; i < maps_.size(); ++i)
      if (maps_[i] == map) return static_cast<MapIndex>(i);
    if (maps_.size() == kMaxMapsPerProgram)
      return fail(E2BIG,
                  fmt::format("The total number of maps per program has reached the limit of {}", kMaxMapsPerProgram));
    maps_.push_back(std::move(map));
    return static_cast<MapIndex>(maps_.size() - 1);
  }
  int error() const { return error_; }

 private:
  base::Unexpected fail(int error, const std::string& text) {
    error_ = error;
    return base::make_error(base::ErrorKind::kBadInput, "", "{}", text);
  }
  const Command& command_;
  std::vector<std::shared_ptr<MapObject>>& maps_;
  int error_ = EINVAL;
};

std::vector<ebpf::Subprogram> find_subprograms(const std::vector<ebpf::Instruction>& insns) {
  std::set<Slot> starts = {0};
  for (const auto& insn : insns) {
    if (const auto* call = std::get_if<ebpf::CallLocal>(&insn)) starts.insert(call->target);
    if (const auto* function = std::get_if<ebpf::LoadFunction>(&insn)) starts.insert(function->target);
  }
  std::vector<ebpf::Subprogram> subprograms;
  for (Slot start : starts) {
    if (!subprograms.empty()) subprograms.back().end = start;
    subprograms.push_back({start, static_cast<Slot>(insns.size()), "", false});
  }
  for (size_t i = 1; i < subprograms.size(); ++i) subprograms[i].name = fmt::format("sub_{}", subprograms[i].first);
  return subprograms;
}

// Record `index` of a table whose records are `rec_size` bytes, as a T (its known part).
template <class T>
T record(const std::vector<uint8_t>& table, uint32_t rec_size, size_t index) {
  T value;
  std::memcpy(&value, table.data() + index * rec_size, sizeof value);
  return value;
}

bool name_functions(const LoadInput& input, std::vector<ebpf::Subprogram>& subprograms, LoadFailure& failure) {
  const auto& tables = input.tables;
  if (tables.func_info.empty()) return true;
  const Btf& btf = *input.btf->btf;
  size_t count = tables.func_info.size() / tables.func_info_rec_size;
  auto fail = [&](const std::string& text) {
    failure = {EINVAL, text};
    return false;
  };
  if (count != subprograms.size()) return fail("number of funcs in func_info doesn't match number of subprogs");
  for (size_t i = 0; i < count; ++i) {
    auto info = record<bpf_func_info>(tables.func_info, tables.func_info_rec_size, i);
    if (info.insn_off != subprograms[i].first)
      return fail("func_info BTF section doesn't match subprog layout in BPF program");
    if (!btf.has(info.type_id) || btf.kind(info.type_id) != BTF_KIND_FUNC)
      return fail(fmt::format("invalid type id {} in func info", info.type_id));
    subprograms[i].name = btf.name(info.type_id);
    subprograms[i].is_global = btf.vlen(info.type_id) == BTF_FUNC_GLOBAL;
  }
  return true;
}

bool read_lines(const LoadInput& input, ebpf::Program& program, LoadFailure& failure) {
  const auto& tables = input.tables;
  if (tables.line_info.empty()) return true;
  const Btf& btf = *input.btf->btf;
  size_t count = tables.line_info.size() / tables.line_info_rec_size;
  auto fail = [&](const std::string& text) {
    failure = {EINVAL, text};
    return false;
  };
  std::set<Slot> with_line;
  for (size_t i = 0; i < count; ++i) {
    auto info = record<bpf_line_info>(tables.line_info, tables.line_info_rec_size, i);
    if (info.insn_off >= program.insns.size() || (i > 0 && info.insn_off <= program.lines.back().slot))
      return fail(fmt::format("Invalid line_info[{}].insn_off:{}", i, info.insn_off));
    if (std::holds_alternative<ebpf::WideTail>(program.insns[info.insn_off]))
      return fail(fmt::format("Invalid insn code at line_info[{}].insn_off", i));
    if (!btf.has_string(info.file_name_off) || !btf.has_string(info.line_off))
      return fail(fmt::format("Invalid line_info[{}].line_off or .file_name_off", i));
    with_line.insert(info.insn_off);
    program.lines.push_back({info.insn_off, BPF_LINE_INFO_LINE_NUM(info.line_col),
                             BPF_LINE_INFO_LINE_COL(info.line_col), std::string(btf.string(info.file_name_off)),
                             std::string(btf.string(info.line_off))});
  }
  for (size_t i = 0; i < program.subprograms.size(); ++i)
    if (!with_line.contains(program.subprograms[i].first))
      return fail(fmt::format("missing bpf_line_info for func#{}", i));
  return true;
}

// Calls of kernel functions that the card has become calls of their numbers; `raw` keeps the kernel's form. Others
// stop the load with their name: nothing behind here could say it.
bool name_kernel_functions(ebpf::Program& program, LoadFailure& failure) {
  for (size_t slot = 0; slot < program.insns.size(); ++slot) {
    const auto* call = std::get_if<ebpf::CallKernel>(&program.insns[slot]);
    if (!call) continue;
    const std::string name = call->btf_fd_index == 0 ? kernel_function_name(call->btf_id) : std::string();
    if (const auto* function = ebpf::find_kernel_function(name)) {
      program.insns[slot] = ebpf::CallHelper{function->id};
    } else if (!name.empty()) {
      failure = {EINVAL, fmt::format("insn {}: calling kernel function {} is not supported", slot, name)};
      return false;
    }
  }
  return true;
}

}  // namespace

bool is_gpl_compatible(const std::string& license) {
  static constexpr std::string_view kCompatible[] = {"GPL",          "GPL v2",       "GPL and additional rights",
                                                     "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};
  return std::find(std::begin(kCompatible), std::end(kCompatible), license) != std::end(kCompatible);
}

std::shared_ptr<ebpf::Program> build_program(const Command& command, LoadInput& input,
                                             std::vector<std::shared_ptr<MapObject>>& maps, LoadFailure& failure) {
  auto program = std::make_shared<ebpf::Program>();
  MapCollector collector(command, maps);
  auto insns = ebpf::decode(input.insns, [&](ebpf::MapReference reference) { return collector.resolve(reference); });
  if (!insns) {
    failure = {collector.error(), insns.error().message()};
    return nullptr;
  }
  program->name = input.name;
  program->insns = std::move(*insns);
  program->raw = input.insns;
  for (size_t slot = 0; slot < program->insns.size(); ++slot) {
    if (const auto* load = std::get_if<ebpf::LoadMap>(&program->insns[slot])) {
      program->raw[slot].imm = static_cast<int32_t>(load->map);
      program->raw[slot].src_reg = BPF_PSEUDO_MAP_IDX;
    }
    if (const auto* load = std::get_if<ebpf::LoadMapValue>(&program->insns[slot])) {
      program->raw[slot].imm = static_cast<int32_t>(load->map);
      program->raw[slot].src_reg = BPF_PSEUDO_MAP_IDX_VALUE;
    }
  }
  if (!name_kernel_functions(*program, failure)) return nullptr;
  for (const auto& map : maps) program->maps.push_back(map->map->spec());
  program->subprograms = find_subprograms(program->insns);
  program->subprograms[0].name = input.name.empty() ? "main" : input.name;
  if (!name_functions(input, program->subprograms, failure) || !read_lines(input, *program, failure)) return nullptr;
  program->expected_attach_type = command.attr.expected_attach_type;
  program->load_flags = command.attr.prog_flags;
  program->gpl_compatible = is_gpl_compatible(input.license);
  if (input.btf) program->btf = std::make_shared<const ebpf::ProgramBtf>(std::move(input.tables));
  return program;
}

}  // namespace xnic::device
