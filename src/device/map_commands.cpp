// SPDX-License-Identifier: Apache-2.0
// Maps: MAP_CREATE, single elements, FREEZE. Checks and their order follow kernel/bpf/syscall.c; what a map type itself
// demands is checked by exec/maps. Values that stand for objects (programs, inner maps) are descriptors on the way in
// and ids on the way out; both are translated here.
#include <cctype>
#include <cerrno>

#include "arch/ebpf/map_types.hpp"
#include "device/state.hpp"
#include "exec/maps/ringbuf.hpp"

namespace xnic::device {
namespace {

using arch::ebpf::MapSpec;
using arch::ebpf::MapType;
using exec::maps::Reference;
namespace ebpf = arch::ebpf;

bool is_map_of_maps(MapType type) { return type == ebpf::kMapArrayOfMaps || type == ebpf::kMapHashOfMaps; }
bool is_devmap(MapType type) { return type == ebpf::kMapDevmap || type == ebpf::kMapDevmapHash; }
bool is_of_sockets(MapType type) { return type == ebpf::kMapSockmap || type == ebpf::kMapSockhash; }
bool is_lifo_or_fifo(MapType type) { return type == ebpf::kMapQueue || type == ebpf::kMapStack; }
bool is_hash(MapType type) {
  return type == ebpf::kMapHash || type == ebpf::kMapPercpuHash || type == ebpf::kMapLruHash ||
         type == ebpf::kMapLruPercpuHash;
}

// Byte offset of the member of struct type `name` in a struct, -1 when there is none.
int32_t find_field(const Btf& btf, uint32_t struct_id, std::string_view name) {
  uint32_t id = btf.skip_modifiers(struct_id);
  if (btf.kind(id) != BTF_KIND_STRUCT) return -1;
  for (size_t i = 0; i < btf.vlen(id); ++i) {
    uint32_t member = btf.skip_modifiers(btf.members(id)[i].type);
    if (btf.kind(member) == BTF_KIND_STRUCT && btf.name(member) == name)
      return static_cast<int32_t>(btf.member_place(id, i).bit_offset / 8);
  }
  return -1;
}

// The types of key and value must have the sizes of key and value (kernel map_check_btf).
int check_map_btf(Command& command, MapSpec& spec, std::shared_ptr<BtfObject>& btf) {
  const auto& attr = command.attr;
  if (attr.btf_vmlinux_value_type_id != 0) return -EINVAL;  // struct_ops only
  if (attr.btf_key_type_id && !attr.btf_value_type_id) return -EINVAL;
  if (!attr.btf_value_type_id && !attr.btf_key_type_id) return 0;
  if (int error = command.object(static_cast<int>(attr.btf_fd), ObjectKind::kBtf, btf)) return error;
  const Btf& types = *btf->btf;
  if (!types.has(attr.btf_key_type_id) || !types.has(attr.btf_value_type_id)) return -EINVAL;
  if (attr.btf_key_type_id && types.size_of(attr.btf_key_type_id) != spec.key_size) return -EINVAL;
  if (types.size_of(attr.btf_value_type_id) != spec.value_size) return -EINVAL;
  spec.btf_key_type_id = attr.btf_key_type_id;
  spec.btf_value_type_id = attr.btf_value_type_id;
  spec.spin_lock_offset = find_field(types, spec.btf_value_type_id, "bpf_spin_lock");
  spec.timer_offset = find_field(types, spec.btf_value_type_id, "bpf_timer");
  auto bytes = std::make_shared<std::vector<uint8_t>>(types.blob().begin(), types.blob().end());
  spec.btf = std::move(bytes);
  return 0;
}

// Access of the handle that MAP_CREATE gives, from BPF_F_RDONLY and BPF_F_WRONLY.
int handle_access(uint32_t flags, Access& access) {
  bool read_only = flags & BPF_F_RDONLY;
  bool write_only = flags & BPF_F_WRONLY;
  if (read_only && write_only) return -EINVAL;
  access = read_only ? Access::kReadOnly : write_only ? Access::kWriteOnly : Access::kReadWrite;
  return 0;
}

int fill_spec(Command& command, MapSpec& spec) {
  const auto& attr = command.attr;
  spec.type = attr.map_type;
  spec.key_size = attr.key_size;
  spec.value_size = attr.value_size;
  spec.max_entries = attr.max_entries;
  spec.flags = attr.map_flags;
  spec.map_extra = attr.map_extra;
  if (attr.map_extra != 0 && spec.type != ebpf::kMapBloomFilter) return -EINVAL;
  if (!ebpf::find_map_type(spec.type)) return -EINVAL;
  if (int error = check_object_name(attr.map_name, sizeof attr.map_name, spec.name)) return error;
  if (!is_map_of_maps(spec.type)) return 0;
  std::shared_ptr<MapObject> inner;
  if (int error = command.map(static_cast<int>(attr.inner_map_fd), inner)) return error;
  if (inner->map->spec().inner) return -EINVAL;  // one level only
  spec.inner = std::make_shared<MapSpec>(inner->map->spec());
  return 0;
}

}  // namespace

int check_object_name(const char* name, size_t room, std::string& to) {
  size_t length = strnlen(name, room);
  if (length == room) return -EINVAL;
  for (size_t i = 0; i < length; ++i)
    if (!std::isalnum(static_cast<unsigned char>(name[i])) && name[i] != '_' && name[i] != '.') return -EINVAL;
  for (size_t i = length; i < room; ++i)
    if (name[i] != 0) return -EINVAL;
  to.assign(name, length);
  return 0;
}

long map_create(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(map_extra))) return -EINVAL;
  MapSpec spec;
  Access access = Access::kReadWrite;
  auto object = std::make_shared<MapObject>();
  object->uid = command.caller.uid();
  if (int error = fill_spec(command, spec)) return error;
  if (int error = handle_access(attr.map_flags, access)) return error;
  if (attr.map_ifindex != 0 && !command.state.ports.exists(attr.map_ifindex)) return -EINVAL;
  if (int error = check_map_btf(command, spec, object->btf)) return error;
  if (int error = command.state.objects.make_handle(*object, "xnic-map")) return error;

  exec::maps::MapOptions options;
  options.cpus = command.state.cpus;
  bool shares_storage = (spec.flags & BPF_F_MMAPABLE) || spec.type == ebpf::kMapRingbuf;
  if (shares_storage) options.storage_fd = object->handle.own_fd();
  int error = 0;
  object->map = exec::maps::Map::create(spec, options, error);
  if (!object->map) return error;
  if (spec.type == ebpf::kMapRingbuf)
    static_cast<exec::maps::RingbufMap&>(*object->map).set_wakeup([wakeup = object->wakeup] { wakeup->signal(); });
  object->handle.seal_size();
  object->ifindex = attr.map_ifindex;
  object->id = command.state.objects.allocate_id(ObjectKind::kMap);
  int fd = command.state.objects.publish(object, access);
  return fd < 0 ? fd : command.caller.give(fd);
}

namespace {

// What an element command works on, checked.
struct Element {
  std::shared_ptr<MapObject> object;
  std::vector<uint8_t> key;
  exec::maps::Map* map = nullptr;
  const MapSpec* spec = nullptr;
  // Null for maps without keys.
  void* key_pointer() { return key.empty() ? nullptr : key.data(); }
};

enum Need : int { kRead = 1, kWrite = 2 };

int open_element(Command& command, int need, Element& element) {
  FileIdentity identity;
  if (int error = command.map(static_cast<int>(command.attr.map_fd), element.object, &identity)) return error;
  if ((need & kRead) && !identity.readable) return -EPERM;
  if ((need & kWrite) && (!identity.writable || element.object->map->frozen())) return -EPERM;
  element.map = element.object->map.get();
  element.spec = &element.map->spec();
  return 0;
}

// Maps without keys (queue, stack, bloom filter) take none.
int read_key(const Command& command, Element& element) {
  element.key.resize(element.spec->key_size);
  if (element.key.empty()) return command.attr.key ? -EINVAL : 0;
  return command.caller.read(command.attr.key, element.key.data(), element.key.size());
}

int check_lock_flag(const Element& element, uint64_t flags) {
  return (flags & BPF_F_LOCK) && element.spec->spin_lock_offset < 0 ? -EINVAL : 0;
}

}  // namespace

namespace {

// The program behind a descriptor in a map value; `attach_type` is what its map runs.
int program_in_value(const Command& command, const void* fd, uint32_t attach_type, Reference& reference) {
  std::shared_ptr<ProgramObject> program;
  if (int error = command.program(base::load<int32_t>(fd), program)) return error;
  if (program->type != BPF_PROG_TYPE_XDP) return -EINVAL;
  if (attach_type != BPF_XDP && program->loaded.program->expected_attach_type != attach_type) return -EINVAL;
  reference.program = program_ref(program);
  return 0;
}

}  // namespace

int copy_element_in(const Command& command, const MapObject& map, const void* key, void* value, uint64_t flags) {
  const MapSpec& spec = map.map->spec();
  auto* bytes = static_cast<uint8_t*>(value);
  Reference reference;
  if (is_map_of_maps(spec.type)) {
    std::shared_ptr<MapObject> inner;
    if (int error = command.map(base::load<int32_t>(bytes), inner)) return error;
    reference.map = map_ref(inner);
    base::store<uint32_t>(bytes, inner->id);
  } else if (spec.type == ebpf::kMapProgArray) {
    if (int error = program_in_value(command, bytes, BPF_XDP, reference)) return error;
  } else if (spec.type == ebpf::kMapPerfEventArray) {
    std::shared_ptr<PerfBufferObject> buffer;
    const int fd = base::load<int32_t>(bytes);
    if (int error = command.object(fd, ObjectKind::kPerfBuffer, buffer)) return error;
    std::lock_guard lock(buffer->mutex);
    if (!buffer->sink) return -EINVAL;  // nobody could read it
    reference.events = buffer->sink;
  } else if ((is_devmap(spec.type) || spec.type == ebpf::kMapCpumap) && spec.value_size >= 8 &&
             base::load<int32_t>(bytes + 4) > 0) {
    // struct bpf_devmap_val and bpf_cpumap_val: a number, then the descriptor of a program.
    uint32_t attach_type = is_devmap(spec.type) ? BPF_XDP_DEVMAP : BPF_XDP_CPUMAP;
    if (int error = program_in_value(command, bytes + 4, attach_type, reference)) return error;
  } else {
    FileIdentity file;
    const int error = map.map->host_update(key, value, flags);
    // No socket fits into these maps; a descriptor that is none at all is told apart.
    if (is_of_sockets(spec.type) && error == -EOPNOTSUPP)
      if (int bad = command.caller.identify(base::load<int32_t>(bytes), file)) return bad;
    return error;
  }
  return map.map->host_update_reference(key, std::move(reference), value, flags);
}

long map_lookup(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(flags)) || (attr.flags & ~uint64_t{BPF_F_LOCK})) return -EINVAL;
  Element element;
  if (int error = open_element(command, kRead, element)) return error;
  if (int error = check_lock_flag(element, attr.flags)) return error;
  if (int error = read_key(command, element)) return error;
  std::vector<uint8_t> value(element.map->host_value_bytes());
  // A bloom filter is asked whether it has this value.
  if (element.spec->type == ebpf::kMapBloomFilter)
    if (int error = command.caller.read(attr.value, value.data(), value.size())) return error;
  if (int error = element.map->host_lookup(element.key_pointer(), value.data(), attr.flags)) return error;
  return command.caller.write(attr.value, value.data(), value.size());
}

long map_update(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(flags))) return -EINVAL;
  Element element;
  if (int error = open_element(command, kWrite, element)) return error;
  if (int error = check_lock_flag(element, attr.flags)) return error;
  if (int error = read_key(command, element)) return error;
  std::vector<uint8_t> value(element.map->host_value_bytes());
  if (int error = command.caller.read(attr.value, value.data(), value.size())) return error;
  return copy_element_in(command, *element.object, element.key_pointer(), value.data(), attr.flags);
}

long map_delete(Command& command) {
  if (!command.clean_after(XNIC_ATTR_END(key))) return -EINVAL;
  Element element;
  if (int error = open_element(command, kWrite, element)) return error;
  if (int error = read_key(command, element)) return error;
  return element.map->host_erase(element.key_pointer());
}

long map_next_key(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(next_key))) return -EINVAL;
  Element element;
  if (int error = open_element(command, kRead, element)) return error;
  if (attr.key)
    if (int error = read_key(command, element)) return error;
  std::vector<uint8_t> next(element.spec->key_size);
  if (int error = element.map->host_next_key(attr.key ? element.key_pointer() : nullptr, next.data())) return error;
  return command.caller.write(attr.next_key, next.data(), next.size());
}

long map_lookup_and_delete(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(flags)) || (attr.flags & ~uint64_t{BPF_F_LOCK})) return -EINVAL;
  Element element;
  if (int error = open_element(command, kRead | kWrite, element)) return error;
  if (attr.flags && is_lifo_or_fifo(element.spec->type)) return -EINVAL;
  if (int error = check_lock_flag(element, attr.flags)) return error;
  if (int error = read_key(command, element)) return error;
  if (!is_lifo_or_fifo(element.spec->type) && !is_hash(element.spec->type)) return -kErrnoNotSupported;
  std::vector<uint8_t> value(element.map->host_value_bytes());
  if (int error = element.map->host_lookup_and_delete(element.key_pointer(), value.data(), attr.flags)) return error;
  return command.caller.write(attr.value, value.data(), value.size());
}

long map_freeze(Command& command) {
  if (!command.clean_after(XNIC_ATTR_END(map_fd))) return -EINVAL;
  std::shared_ptr<MapObject> object;
  FileIdentity identity;
  if (int error = command.map(static_cast<int>(command.attr.map_fd), object, &identity)) return error;
  if (object->map->spec().timer_offset >= 0) return -kErrnoNotSupported;
  if (!identity.writable || object->map->frozen()) return -EPERM;
  if (int error = object->map->freeze()) return error;
  if (object->map->spec().flags & BPF_F_MMAPABLE) object->handle.seal_writes();
  return 0;
}

}  // namespace xnic::device
