// SPDX-License-Identifier: Apache-2.0
// What the kernel would print of an object in /proc/PID/fdinfo/FD behind the lines of every file (kernel/bpf/syscall.c
// bpf_map_show_fdinfo, bpf_prog_show_fdinfo, bpf_link_show_fdinfo, net/core/dev.c bpf_xdp_link_show_fdinfo), and what
// else other processes ask of an object by its descriptor.
#include <fmt/format.h>

#include <cerrno>

#include "arch/ebpf/map_types.hpp"
#include "device/state.hpp"

namespace xnic::device {
namespace {

// The kernel's estimate of what a map locks: its elements, the overhead of each left out.
uint64_t memory_bytes(const MapObject& object) {
  const auto& spec = object.map->spec();
  const uint64_t element = (spec.key_size + 7u) / 8 * 8 + object.map->host_value_bytes();
  return element * spec.max_entries;
}

std::string map_lines(const MapObject& object) {
  const auto& spec = object.map->spec();
  std::string lines = fmt::format(
      "map_type:\t{}\nkey_size:\t{}\nvalue_size:\t{}\nmax_entries:\t{}\nmap_flags:\t{:#x}\n"
      "map_extra:\t{:#x}\nmemlock:\t{}\nmap_id:\t{}\nfrozen:\t{}\n",
      spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.map_extra, memory_bytes(object),
      object.id, object.map->frozen() ? 1 : 0);
  if (spec.type == arch::ebpf::kMapProgArray && object.map->entries() > 0)
    lines += fmt::format("owner_prog_type:\t{}\nowner_jited:\t1\n", static_cast<int>(BPF_PROG_TYPE_XDP));
  return lines;
}

std::string tag_text(const ProgramObject& object) {
  std::string text;
  for (const uint8_t byte : object.tag) text += fmt::format("{:02x}", byte);
  return text;
}

std::string program_lines(ProgramObject& object) {
  std::lock_guard lock(object.engine_mutex);
  const size_t bytes = object.loaded.program->raw.size() * sizeof(arch::ebpf::RawInsn);
  return fmt::format(
      "prog_type:\t{}\nprog_jited:\t0\nprog_tag:\t{}\nmemlock:\t{}\nprog_id:\t{}\nrun_time_ns:\t{}\nrun_cnt:\t{}\n"
      "recursion_misses:\t0\nverified_insns:\t{}\n",
      object.type, tag_text(object), (bytes + 4095) / 4096 * 4096, object.id, object.run_ns, object.run_count,
      object.loaded.facts->visited_insns);
}

std::string link_lines(const Device::State& state, const LinkObject& link) {
  const auto view = state.ports.view(link);
  return fmt::format("link_type:\txdp\nlink_id:\t{}\nprog_id:\t{}\nifindex:\t{}\n", link.id, view.program_id,
                     view.ifindex);
}

}  // namespace

std::string Device::fdinfo(const FileIdentity& identity) const {
  const auto object = state_->objects.find(identity);
  if (!object) return {};
  switch (object->kind) {
    case ObjectKind::kProgram:
      return program_lines(static_cast<ProgramObject&>(*object));
    case ObjectKind::kMap:
      return map_lines(static_cast<const MapObject&>(*object));
    case ObjectKind::kBtf:
      return fmt::format("btf_id:\t{}\n", object->id);
    case ObjectKind::kLink:
      return link_lines(*state_, static_cast<const LinkObject&>(*object));
    case ObjectKind::kPerfBuffer:
      return {};
  }
  return {};
}

ElementSizes Device::element_sizes(const FileIdentity& identity) const {
  const auto object = state_->objects.find(identity);
  if (!object || object->kind != ObjectKind::kMap) return {};
  const auto& map = *static_cast<const MapObject&>(*object).map;
  return {map.spec().key_size, static_cast<uint32_t>(map.host_value_bytes())};
}

}  // namespace xnic::device
