// SPDX-License-Identifier: Apache-2.0
// Maps are created empty, then programs are loaded with their descriptors, then contents are copied: a program array
// may refer to the program that uses it. Frozen maps are filled and frozen first, since the kernel's verifier reads
// constants from them.
#include "exec/kernel/objects.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

namespace xnic::exec::kernel {
namespace {

using arch::ebpf::MapSpec;
using arch::ebpf::Program;
using arch::ebpf::RawInsn;

constexpr uint8_t kLoadWide = 0x18;  // BPF_LD | BPF_IMM | BPF_DW

// Names that BPF_MAP_CREATE and BPF_PROG_LOAD take: letters, digits, '_' and '.'.
void copy_name(char (&to)[BPF_OBJ_NAME_LEN], const std::string& name) {
  const size_t length = std::min(name.size(), sizeof to - 1);
  std::transform(name.begin(), name.begin() + length, to,
                 [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' ? char(c) : '_'; });
}

// Types for which the kernel refuses BTF key and value types.
bool takes_btf(const MapSpec& spec) {
  switch (spec.type) {
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapArray:
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapPercpuArray:
    case arch::ebpf::kMapLruHash:
    case arch::ebpf::kMapLruPercpuHash:
    case arch::ebpf::kMapLpmTrie:
      return spec.btf != nullptr && spec.btf_value_type_id != 0;
    default:
      return false;
  }
}

// The tail of the verifier's log: its last line is the statistics, the reason stands before it.
std::string last_lines(const std::string& log) {
  constexpr size_t kKeptBytes = 600;
  return log.size() <= kKeptBytes ? log : log.substr(log.size() - kKeptBytes);
}

int load_btf(base::Bytes blob) {
  union bpf_attr attr{};
  attr.btf = attr_pointer(blob.data());
  attr.btf_size = static_cast<uint32_t>(blob.size());
  return static_cast<int>(bpf_call(BPF_BTF_LOAD, attr));
}

}  // namespace

int Objects::btf(const std::shared_ptr<const std::vector<uint8_t>>& blob) {
  const auto found = btf_.find(blob.get());
  if (found != btf_.end()) return found->second.get();
  return btf_.emplace(blob.get(), Fd(std::max(load_btf(*blob), -1))).first->second.get();
}

int Objects::btf(const arch::ebpf::ProgramBtf& tables) {
  const auto found = btf_.find(&tables);
  if (found != btf_.end()) return found->second.get();
  return btf_.emplace(&tables, Fd(std::max(load_btf(tables.btf), -1))).first->second.get();
}

base::Result<Fd> Objects::create_map(const MapSpec& spec) {
  // Access flags bind the descriptor, and this engine reads and writes all.
  uint32_t unwanted = arch::ebpf::kRdonly | arch::ebpf::kWronly;
  // Devmaps have this flag of themselves; nobody may ask for it.
  if (spec.type == arch::ebpf::kMapDevmap || spec.type == arch::ebpf::kMapDevmapHash)
    unwanted |= arch::ebpf::kRdonlyProg;
  union bpf_attr attr{};
  attr.map_type = spec.type;
  attr.key_size = spec.key_size;
  attr.value_size = spec.value_size;
  attr.max_entries = spec.max_entries;
  attr.map_flags = spec.flags & ~unwanted;
  attr.map_extra = spec.map_extra;
  copy_name(attr.map_name, spec.name);
  Fd inner;
  if (spec.inner) {
    XNIC_ASSIGN(inner, create_map(*spec.inner));
    attr.inner_map_fd = static_cast<uint32_t>(inner.get());
  }
  if (takes_btf(spec) && btf(spec.btf) >= 0) {
    attr.btf_fd = static_cast<uint32_t>(btf(spec.btf));
    attr.btf_key_type_id = spec.btf_key_type_id;
    attr.btf_value_type_id = spec.btf_value_type_id;
  }
  const long fd = bpf_call(BPF_MAP_CREATE, attr);
  if (fd < 0) return kernel_error("map " + spec.name, "the kernel did not create it", fd);
  return Fd(static_cast<int>(fd));
}

base::Result<Objects::KernelMap*> Objects::map(const std::shared_ptr<maps::Map>& map) {
  if (const auto found = map_of_.find(map.get()); found != map_of_.end()) return found->second;
  XNIC_ASSIGN(Fd fd, create_map(map->spec()));
  maps_.push_back(std::make_unique<KernelMap>(KernelMap{map, std::move(fd), false, {}}));
  KernelMap* made = maps_.back().get();
  map_of_[map.get()] = made;
  if (map->frozen()) XNIC_TRY(seal(*made));
  return made;
}

base::Result<void> Objects::seal(KernelMap& map) {
  XNIC_TRY(push_contents(*this, map));
  union bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map.fd.get());
  if (const long error = bpf_call(BPF_MAP_FREEZE, attr); error < 0)
    return kernel_error("map " + map.map->spec().name, "the kernel did not freeze it", error);
  map.sealed = true;
  return {};
}

base::Result<int> Objects::program(const std::shared_ptr<const LoadedProgram>& program) {
  if (const auto found = programs_.find(program.get()); found != programs_.end()) return found->second.get();
  XNIC_ASSIGN(Fd fd, load_program(*program));
  keep_.push_back(program);
  return programs_.emplace(program.get(), std::move(fd)).first->second.get();
}

base::Result<Fd> Objects::load_program(const LoadedProgram& loaded) {
  const Program& program = *loaded.program;
  const std::string where = "program " + program.name;
  std::vector<RawInsn> insns = program.raw;
  for (size_t slot = 0; slot + 1 < insns.size(); ++slot) {
    if (insns[slot].opcode != kLoadWide) continue;
    RawInsn& insn = insns[slot++];
    const bool by_value = insn.src_reg == BPF_PSEUDO_MAP_VALUE || insn.src_reg == BPF_PSEUDO_MAP_IDX_VALUE;
    if (!by_value && insn.src_reg != BPF_PSEUDO_MAP_FD && insn.src_reg != BPF_PSEUDO_MAP_IDX) continue;
    if (static_cast<uint32_t>(insn.imm) >= loaded.maps.size())
      return base::make_error(base::ErrorKind::kBadInput, where, "insn {} refers to map {}, there are {}", slot - 1,
                              insn.imm, loaded.maps.size());
    XNIC_ASSIGN(const KernelMap* used, map(loaded.maps[static_cast<uint32_t>(insn.imm)]));
    insn.imm = used->fd.get();
    insn.src_reg = by_value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
  }

  union bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = attr_pointer(insns.data());
  attr.insn_cnt = static_cast<uint32_t>(insns.size());
  const char* license = program.gpl_compatible ? "GPL" : "Apache-2.0";
  attr.license = attr_pointer(license);
  attr.expected_attach_type = program.expected_attach_type;
  attr.prog_flags = program.load_flags;
  copy_name(attr.prog_name, program.name);
  if (program.btf && btf(*program.btf) >= 0) {
    const arch::ebpf::ProgramBtf& tables = *program.btf;
    attr.prog_btf_fd = static_cast<uint32_t>(btf(tables));
    if (tables.func_info_rec_size != 0) {
      attr.func_info = attr_pointer(tables.func_info.data());
      attr.func_info_rec_size = tables.func_info_rec_size;
      attr.func_info_cnt = static_cast<uint32_t>(tables.func_info.size() / tables.func_info_rec_size);
    }
    if (tables.line_info_rec_size != 0) {
      attr.line_info = attr_pointer(tables.line_info.data());
      attr.line_info_rec_size = tables.line_info_rec_size;
      attr.line_info_cnt = static_cast<uint32_t>(tables.line_info.size() / tables.line_info_rec_size);
    }
  }
  const long fd = bpf_call(BPF_PROG_LOAD, attr);
  if (fd >= 0) return Fd(static_cast<int>(fd));
  std::string log(size_t{1} << 20, '\0');  // the second attempt is for the reason alone
  attr.log_buf = attr_pointer(log.data());
  attr.log_size = static_cast<uint32_t>(log.size());
  attr.log_level = 1;
  if (const long again = bpf_call(BPF_PROG_LOAD, attr); again >= 0) return Fd(static_cast<int>(again));
  log.resize(std::strlen(log.c_str()));
  return kernel_error(where, "the kernel refused the program" + (log.empty() ? "" : ": " + last_lines(log)), fd);
}

base::Result<void> Objects::push() {
  // By position: the vector grows while maps refer to new ones.
  for (size_t i = 0; i < maps_.size(); ++i)
    if (!maps_[i]->sealed) XNIC_TRY(push_contents(*this, *maps_[i]));
  return {};
}

base::Result<void> Objects::pull() {
  for (const auto& map : maps_)
    if (!map->sealed && !map->map->frozen()) XNIC_TRY(pull_contents(*map));
  return {};
}

}  // namespace xnic::exec::kernel
