// SPDX-License-Identifier: Apache-2.0
// Prog array and maps of maps; see reference_maps.hpp.
#include "exec/maps/reference_maps.hpp"

#include "exec/engine.hpp"
#include "exec/maps/array.hpp"
#include "exec/maps/checks.hpp"
#include "exec/maps/hash.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

namespace {

constexpr uint32_t kXdpHasFrags = 1u << 5;  // BPF_F_XDP_HAS_FRAGS of BPF_PROG_LOAD

// Look-ups of these maps take no flag: kLock needs a lock in the value.
int check_lookup_flags(uint64_t flags) { return flags != 0 ? -EINVAL : 0; }

bool is_map_of_maps(uint32_t type) { return type == arch::ebpf::kMapArrayOfMaps || type == arch::ebpf::kMapHashOfMaps; }

// Flags that belong to the map: the host's access rights belong to its descriptor, and a devmap is always read-only for
// programs, whether its creator said so or not.
uint32_t permanent_flags(const MapSpec& spec) {
  uint32_t flags = spec.flags & ~(uint32_t{arch::ebpf::kRdonly} | arch::ebpf::kWronly);
  bool devmap = spec.type == arch::ebpf::kMapDevmap || spec.type == arch::ebpf::kMapDevmapHash;
  return devmap ? flags | arch::ebpf::kRdonlyProg : flags;
}

template <class T>
uint64_t count_present(const SharedSlots<T>& slots, uint32_t max_entries) {
  uint64_t count = 0;
  for (uint32_t index = 0; index < max_entries; ++index) count += slots.present(index) ? 1 : 0;
  return count;
}

template <class T>
int erase_slot(SharedSlots<T>& slots, const void* key, uint32_t max_entries) {
  uint32_t index = base::load<uint32_t>(key);
  if (index >= max_entries) return -E2BIG;
  return slots.exchange(index, nullptr) != nullptr ? 0 : -ENOENT;
}

}  // namespace

int check_reference_array_spec(const MapSpec& spec) {
  if (spec.value_size != 4) return -EINVAL;
  if ((spec.flags & (arch::ebpf::kRdonlyProg | arch::ebpf::kWronlyProg)) != 0) return -EINVAL;
  return check_array_spec(spec);
}

int check_inner_template(const MapSpec* inner) {
  if (inner == nullptr) return -EBADF;
  if (is_map_of_maps(inner->type)) return -EINVAL;
  bool unfit = inner->type == arch::ebpf::kMapProgArray || inner->type == arch::ebpf::kMapCgroupStorage ||
               inner->type == arch::ebpf::kMapPercpuCgroupStorage || inner->type == arch::ebpf::kMapStructOps;
  return unfit ? -kErrNotSupported : 0;
}

bool fits_template(const MapSpec& wanted, const MapSpec& map) {
  if (wanted.type != map.type || wanted.key_size != map.key_size || wanted.value_size != map.value_size) return false;
  if (permanent_flags(wanted) != permanent_flags(map)) return false;
  if (wanted.spin_lock_offset != map.spin_lock_offset || wanted.timer_offset != map.timer_offset) return false;
  bool sized = wanted.type == arch::ebpf::kMapXskmap ||
               (wanted.type == arch::ebpf::kMapArray && (wanted.flags & arch::ebpf::kInnerMap) == 0);
  return !sized || wanted.max_entries == map.max_entries;
}

int check_reference_array_update(const Map& map, const void* key, uint64_t flags) {
  if (map.frozen()) return -EPERM;
  if (flags != kAny) return -EINVAL;
  return base::load<uint32_t>(key) >= map.spec().max_entries ? -E2BIG : 0;
}

std::shared_ptr<Map> ProgArrayMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_reference_array_spec(spec)) != 0) return nullptr;
  std::shared_ptr<ProgArrayMap> map(new ProgArrayMap(spec, options));
  if (map->slots_.allocate(spec.max_entries)) return map;
  error = -ENOMEM;
  return nullptr;
}

std::shared_ptr<const LoadedProgram> ProgArrayMap::program(uint32_t index) {
  return index < spec_.max_entries ? slots_.get(index) : nullptr;
}

int ProgArrayMap::host_lookup(const void* key, void* value, uint64_t flags) {
  if (int error = check_lookup_flags(flags)) return error;
  auto found = program(base::load<uint32_t>(key));
  if (found == nullptr) return -ENOENT;
  base::store<uint32_t>(value, found->id);
  return 0;
}

int ProgArrayMap::host_update(const void* key, const void*, uint64_t flags) {
  int error = check_reference_array_update(*this, key, flags);
  return error != 0 ? error : -EBADF;
}

int ProgArrayMap::host_update_reference(const void* key, Reference reference, const void*, uint64_t flags) {
  if (int error = check_reference_array_update(*this, key, flags)) return error;
  if (reference.program == nullptr) return -EBADF;
  int has_frags = (reference.program->program->load_flags & kXdpHasFrags) != 0 ? 1 : 0;
  int owner = -1;
  if (!owner_has_frags_.compare_exchange_strong(owner, has_frags) && owner != has_frags) return -EINVAL;
  slots_.exchange(base::load<uint32_t>(key), std::move(reference.program));
  return 0;
}

int ProgArrayMap::erase(const void* key) { return erase_slot(slots_, key, spec_.max_entries); }

int ProgArrayMap::host_next_key(const void* key, void* next_key) {
  return next_array_index(key, next_key, spec_.max_entries);
}

uint64_t ProgArrayMap::entries() const { return count_present(slots_, spec_.max_entries); }

std::shared_ptr<Map> ArrayOfMapsMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_reference_array_spec(spec)) != 0) return nullptr;
  if ((error = check_inner_template(spec.inner.get())) != 0) return nullptr;
  std::shared_ptr<ArrayOfMapsMap> map(new ArrayOfMapsMap(spec, options));
  if (map->slots_.allocate(spec.max_entries) && map->ids_.allocate(uint64_t{spec.max_entries} * 4)) return map;
  error = -ENOMEM;
  return nullptr;
}

std::shared_ptr<Map> ArrayOfMapsMap::inner(const void* key) {
  uint32_t index = base::load<uint32_t>(key);
  return index < spec_.max_entries ? slots_.get(index) : nullptr;
}

int ArrayOfMapsMap::host_lookup(const void* key, void* value, uint64_t flags) {
  if (int error = check_lookup_flags(flags)) return error;
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries || !slots_.present(index)) return -ENOENT;
  load_bytes(value, ids_.data() + uint64_t{index} * 4, 4);
  return 0;
}

int ArrayOfMapsMap::host_update(const void* key, const void*, uint64_t flags) {
  int error = check_reference_array_update(*this, key, flags);
  return error != 0 ? error : -EBADF;
}

int ArrayOfMapsMap::host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) {
  if (int error = check_reference_array_update(*this, key, flags)) return error;
  if (reference.map == nullptr) return -EBADF;
  if (!fits_template(*spec_.inner, reference.map->spec())) return -EINVAL;
  uint32_t index = base::load<uint32_t>(key);
  store_bytes(ids_.data() + uint64_t{index} * 4, value, 4);
  slots_.exchange(index, std::move(reference.map));
  return 0;
}

int ArrayOfMapsMap::erase(const void* key) { return erase_slot(slots_, key, spec_.max_entries); }

int ArrayOfMapsMap::host_next_key(const void* key, void* next_key) {
  return next_array_index(key, next_key, spec_.max_entries);
}

uint64_t ArrayOfMapsMap::entries() const { return count_present(slots_, spec_.max_entries); }

std::shared_ptr<Map> HashOfMapsMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  error = spec.value_size != 4 ? -EINVAL : check_hash_spec(spec);
  if (error == 0) error = check_inner_template(spec.inner.get());
  if (error != 0) return nullptr;
  std::shared_ptr<HashOfMapsMap> map(new HashOfMapsMap(spec, options));
  error = map->table_.allocate(spec.key_size, 4, spec.max_entries, options.seed);
  if (error == 0 && !map->slots_.allocate(map->table_.slots())) error = -ENOMEM;
  return error == 0 ? map : nullptr;
}

std::shared_ptr<Map> HashOfMapsMap::inner(const void* key) {
  HashTable::Element* element = table_.find(key);
  return element == nullptr ? nullptr : slots_.get(element->index);
}

int HashOfMapsMap::host_lookup(const void* key, void* value, uint64_t flags) {
  if (int error = check_lookup_flags(flags)) return error;
  HashTable::Element* element = table_.find(key);
  if (element == nullptr) return -ENOENT;
  load_bytes(value, table_.value(element), 4);
  return 0;
}

int HashOfMapsMap::host_update(const void*, const void*, uint64_t) { return frozen() ? -EPERM : -EBADF; }

int HashOfMapsMap::host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) {
  if (frozen()) return -EPERM;
  if (reference.map == nullptr) return -EBADF;
  if (!fits_template(*spec_.inner, reference.map->spec()) || flags > kExist) return -EINVAL;
  std::shared_ptr<Map> old;  // dropped after the bucket's lock
  return table_.update(
      key, flags, true,
      [&](HashTable::Element* element, HashTable::Place) {
        store_bytes(table_.value(element), value, 4);
        old = slots_.exchange(element->index, std::move(reference.map));
      },
      [] { return false; });
}

int HashOfMapsMap::erase(const void* key) {
  std::shared_ptr<Map> old;
  return table_.erase(key, [&](HashTable::Element* element) { old = slots_.exchange(element->index, nullptr); });
}

int HashOfMapsMap::host_next_key(const void* key, void* next_key) { return table_.next_key(key, next_key); }

}  // namespace xnic::exec::maps
