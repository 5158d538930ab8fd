// SPDX-License-Identifier: Apache-2.0
// OBJ_GET_INFO_BY_FD, *_GET_NEXT_ID, *_GET_FD_BY_ID.
//
// Variable-length parts follow the kernel's rule: the caller gives room (a count) and an address; the true count is
// always returned, and as much as fits is written.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "device/program_build.hpp"
#include "device/state.hpp"

namespace xnic::device {
namespace {

namespace ebpf = arch::ebpf;

// The caller's info structure: a copy of its known part, written back at the end.
template <class Info>
int read_info(const Command& command, Info& info) {
  const auto& attr = command.attr.info;
  if (attr.info_len > sizeof info)
    if (int error = command.caller.check_zero(attr.info + sizeof info, attr.info_len - sizeof info)) return error;
  std::memset(&info, 0, sizeof info);
  return command.caller.read(attr.info, &info, std::min<size_t>(attr.info_len, sizeof info));
}

template <class Info>
int write_info(const Command& command, const Info& info) {
  uint32_t bytes = std::min<uint32_t>(command.attr.info.info_len, sizeof info);
  if (int error = command.caller.write(command.attr.info.info, &info, bytes)) return error;
  return command.put(offsetof(union bpf_attr, info.info_len), bytes);
}

// Writes what fits of `count` records; `room` becomes the true count.
int write_records(const Command& command, uint64_t address, const void* records, uint32_t& room, uint32_t count,
                  size_t record_bytes) {
  uint32_t written = address ? std::min(room, count) : 0;
  room = count;
  return written == 0 ? 0 : command.caller.write(address, records, written * record_bytes);
}

// Instructions as BPF_PROG_LOAD took them, with map ids in place of descriptors (kernel bpf_insn_prepare_dump). The
// card runs the program as it is: there is no rewritten form.
std::vector<ebpf::RawInsn> instructions_for_dump(const ProgramObject& object) {
  auto insns = object.loaded.program->raw;
  for (size_t slot = 0; slot + 1 < insns.size(); ++slot) {
    if (insns[slot].opcode != 0x18) continue;
    bool map = insns[slot].src_reg == BPF_PSEUDO_MAP_IDX;
    if (map || insns[slot].src_reg == BPF_PSEUDO_MAP_IDX_VALUE) {
      insns[slot].imm = static_cast<int32_t>(object.loaded.map_ids[static_cast<uint32_t>(insns[slot].imm)]);
      insns[slot].src_reg = map ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE;
    }
    ++slot;
  }
  return insns;
}

std::vector<uint32_t> map_ids(ProgramObject& object) {
  auto ids = object.loaded.map_ids;
  std::lock_guard lock(object.maps_mutex);
  for (const auto& map : object.bound_maps) ids.push_back(map->id);
  return ids;
}

int program_tables(const Command& command, ProgramObject& object, bpf_prog_info& info) {
  const auto& program = *object.loaded.program;
  auto insns = instructions_for_dump(object);
  uint32_t insn_bytes = static_cast<uint32_t>(insns.size() * sizeof insns[0]);
  if (int error = write_records(command, info.xlated_prog_insns, insns.data(), info.xlated_prog_len, insn_bytes, 1))
    return error;
  auto ids = map_ids(object);
  if (int error = write_records(command, info.map_ids, ids.data(), info.nr_map_ids, static_cast<uint32_t>(ids.size()),
                                sizeof ids[0]))
    return error;
  // One tag per subprogram; the kernel's are over each subprogram's own instructions, the first being the program's.
  std::vector<std::array<uint8_t, 8>> tags;
  for (const auto& subprogram : program.subprograms)
    tags.push_back(subprogram.first == 0 && program.subprograms.size() == 1
                       ? object.tag
                       : program_tag({program.raw.begin() + subprogram.first, program.raw.begin() + subprogram.end}));
  if (int error = write_records(command, info.prog_tags, tags.data(), info.nr_prog_tags,
                                static_cast<uint32_t>(tags.size()), sizeof tags[0]))
    return error;
  if (!program.btf) {
    info.nr_func_info = info.nr_line_info = 0;
    return 0;
  }
  const auto& tables = *program.btf;
  auto count = [](const std::vector<uint8_t>& table, uint32_t rec) {
    return table.empty() ? 0 : static_cast<uint32_t>(table.size() / rec);
  };
  uint32_t functions = count(tables.func_info, tables.func_info_rec_size);
  uint32_t lines = count(tables.line_info, tables.line_info_rec_size);
  if (functions) info.func_info_rec_size = tables.func_info_rec_size;
  if (lines) info.line_info_rec_size = tables.line_info_rec_size;
  if (int error = write_records(command, info.func_info, tables.func_info.data(), info.nr_func_info, functions,
                                tables.func_info_rec_size))
    return error;
  return write_records(command, info.line_info, tables.line_info.data(), info.nr_line_info, lines,
                       tables.line_info_rec_size);
}

// Which network namespace the port of a bound object is in: the daemon's own.
template <class Info>
void put_namespace(Info& info) {
  struct stat status;
  if (info.ifindex == 0 || stat("/proc/self/ns/net", &status) != 0) return;
  info.netns_dev = status.st_dev;
  info.netns_ino = status.st_ino;
}

int program_info(const Command& command, ProgramObject& object) {
  bpf_prog_info info;
  if (int error = read_info(command, info)) return error;
  if (int error = program_tables(command, object, info)) return error;
  const auto& program = *object.loaded.program;
  info.type = object.type;
  info.id = object.id;
  std::copy(object.tag.begin(), object.tag.end(), info.tag);
  info.load_time = object.load_time_ns;
  info.created_by_uid = object.uid;
  std::memset(info.name, 0, sizeof info.name);
  program.name.copy(info.name, sizeof info.name - 1);
  info.ifindex = object.ifindex;
  put_namespace(info);
  info.gpl_compatible = program.gpl_compatible;
  info.btf_id = object.btf ? object.btf->id : 0;
  info.verified_insns = static_cast<uint32_t>(object.loaded.facts->visited_insns);
  // No host code yet: nothing jited.
  info.jited_prog_len = info.nr_jited_ksyms = info.nr_jited_func_lens = info.nr_jited_line_info = 0;
  {
    std::lock_guard lock(object.engine_mutex);
    info.run_cnt = object.run_count;
    info.run_time_ns = object.run_ns;
  }
  return write_info(command, info);
}

int map_info(const Command& command, const MapObject& object) {
  bpf_map_info info;
  if (int error = read_info(command, info)) return error;
  const auto& spec = object.map->spec();
  std::memset(&info, 0, sizeof info);
  info.type = spec.type;
  info.id = object.id;
  info.key_size = spec.key_size;
  info.value_size = spec.value_size;
  info.max_entries = spec.max_entries;
  info.map_flags = spec.flags;
  info.map_extra = spec.map_extra;
  info.ifindex = object.ifindex;
  put_namespace(info);
  spec.name.copy(info.name, sizeof info.name - 1);
  if (object.btf) {
    info.btf_id = object.btf->id;
    info.btf_key_type_id = spec.btf_key_type_id;
    info.btf_value_type_id = spec.btf_value_type_id;
  }
  return write_info(command, info);
}

int btf_info(const Command& command, const BtfObject& object) {
  bpf_btf_info info;
  if (int error = read_info(command, info)) return error;
  auto blob = object.btf->blob();
  uint32_t room = info.btf_size;
  if (info.btf)
    if (int error = command.caller.write_some(info.btf, blob.data(), blob.size(), room)) return error;
  info.btf_size = static_cast<uint32_t>(blob.size());
  info.id = object.id;
  if ((info.name != 0) != (info.name_len != 0)) return -EINVAL;
  if (info.name) {
    char end = 0;  // BTF from programs has no name
    if (int error = command.caller.write(info.name, &end, 1)) return error;
  }
  info.name_len = 0;
  info.kernel_btf = 0;
  return write_info(command, info);
}

int link_info(const Command& command, const LinkObject& object) {
  bpf_link_info info;
  if (int error = read_info(command, info)) return error;
  auto view = command.state.ports.view(object);
  std::memset(&info, 0, sizeof info);
  info.type = BPF_LINK_TYPE_XDP;
  info.id = object.id;
  info.prog_id = view.program_id;
  info.xdp.ifindex = view.ifindex;
  return write_info(command, info);
}

}  // namespace

long object_info(Command& command) {
  if (!command.clean_after(XNIC_ATTR_END(info.info))) return -EINVAL;
  FileIdentity identity;
  if (command.caller.identify(static_cast<int>(command.attr.info.bpf_fd), identity) != 0) return -EBADFD;
  auto object = command.state.objects.find(identity);
  if (!object) return -EINVAL;
  switch (object->kind) {
    case ObjectKind::kProgram:
      return program_info(command, static_cast<ProgramObject&>(*object));
    case ObjectKind::kMap:
      return map_info(command, static_cast<MapObject&>(*object));
    case ObjectKind::kBtf:
      return btf_info(command, static_cast<BtfObject&>(*object));
    case ObjectKind::kLink:
      return link_info(command, static_cast<LinkObject&>(*object));
    case ObjectKind::kPerfBuffer:
      return -EINVAL;
  }
  return -EINVAL;
}

long object_next_id(Command& command, ObjectKind kind) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(next_id)) || attr.start_id >= INT32_MAX) return -EINVAL;
  uint32_t next = command.state.objects.next_id(kind, attr.start_id);
  if (next == 0) return -ENOENT;
  return command.put(offsetof(union bpf_attr, next_id), next);
}

long object_fd_by_id(Command& command, ObjectKind kind) {
  const auto& attr = command.attr;
  // Only maps take flags: the access of the new handle.
  uint32_t known = kind == ObjectKind::kMap ? BPF_F_RDONLY | BPF_F_WRONLY : 0;
  if (!command.clean_after(XNIC_ATTR_END(open_flags)) || (attr.open_flags & ~known)) return -EINVAL;
  // For maps and BTF the kernel does not look at next_id.
  if (attr.next_id != 0 && (kind == ObjectKind::kProgram || kind == ObjectKind::kLink)) return -EINVAL;
  if (known != 0 && (attr.open_flags & known) == known) return -EINVAL;
  auto object = command.state.objects.find(kind, attr.start_id);
  if (!object) return -ENOENT;
  Access access = kind == ObjectKind::kBtf || (attr.open_flags & BPF_F_RDONLY) ? Access::kReadOnly
                  : (attr.open_flags & BPF_F_WRONLY)                           ? Access::kWriteOnly
                                                                               : Access::kReadWrite;
  if (kind == ObjectKind::kMap && command.caller.read_only()) {
    if (access == Access::kWriteOnly) return -EPERM;
    access = Access::kReadOnly;
  }
  int fd = command.state.objects.open(object, access);
  return fd < 0 ? fd : command.caller.give(fd);
}

}  // namespace xnic::device
