// SPDX-License-Identifier: Apache-2.0
// Targets of bpf_redirect_map; see redirect_maps.hpp. A slot is written as one 64-bit word, so that a program never
// sees the interface of one value with the program of another.
#include "exec/maps/redirect_maps.hpp"

#include <linux/bpf.h>

#include "exec/engine.hpp"
#include "exec/maps/array.hpp"
#include "exec/maps/checks.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

namespace {

constexpr uint32_t kMaxQueueSize = 16384;
constexpr uint32_t kMaxCpus = 8192;  // largest NR_CPUS that distribution kernels are built with

// struct bpf_devmap_val and struct bpf_cpumap_val: target, then the program's descriptor, which short values lack.
struct TargetValue {
  uint32_t target = 0;
  int32_t program_fd = 0;
};

TargetValue read_value(const void* value, uint32_t value_size) {
  TargetValue result;
  result.target = base::load<uint32_t>(value);
  if (value_size >= 8) result.program_fd = base::load<int32_t>(static_cast<const uint8_t*>(value) + 4);
  return result;
}

// The slot's bytes are the value's: target first.
uint64_t pack(uint32_t target, uint32_t second) {
  uint32_t words[2] = {target, second};
  return base::load<uint64_t>(words);
}
uint32_t first_word(uint64_t slot) {
  uint32_t words[2];
  base::store<uint64_t>(words, slot);
  return words[0];
}
uint32_t second_word(uint64_t slot) {
  uint32_t words[2];
  base::store<uint64_t>(words, slot);
  return words[1];
}

int check_redirect_spec(const MapSpec& spec) {
  uint32_t allowed = arch::ebpf::kNumaNode;
  if (spec.type != arch::ebpf::kMapCpumap) allowed |= arch::ebpf::kRdonly | arch::ebpf::kWronly;
  bool value_ok = spec.value_size == 4 || (spec.value_size == 8 && spec.type != arch::ebpf::kMapXskmap);
  if (spec.max_entries == 0 || spec.key_size != 4 || !value_ok || (spec.flags & ~allowed) != 0) return -EINVAL;
  if (spec.type == arch::ebpf::kMapDevmapHash && spec.max_entries > (uint32_t{1} << 31)) return -EINVAL;
  if (spec.type == arch::ebpf::kMapCpumap && spec.max_entries > kMaxCpus) return -E2BIG;
  return 0;
}

// Programs may look at devmap values but not change them.
MapSpec read_only_for_programs(MapSpec spec) {
  if (spec.type == arch::ebpf::kMapDevmap || spec.type == arch::ebpf::kMapDevmapHash)
    spec.flags |= arch::ebpf::kRdonlyProg;
  return spec;
}

uint32_t id_of(const std::shared_ptr<const LoadedProgram>& program) { return program == nullptr ? 0 : program->id; }

// An entry's program must have been loaded for that kind of entry, and a descriptor must have been resolved.
int check_entry_program(const TargetValue& value, const std::shared_ptr<const LoadedProgram>& program,
                        uint32_t attach_type) {
  if (value.program_fd <= 0) return 0;
  if (program == nullptr || program->program->expected_attach_type != attach_type) return -EINVAL;
  return 0;
}

}  // namespace

std::shared_ptr<const LoadedProgram> EntryPrograms::get(uint32_t key) const {
  std::lock_guard lock(mutex_);
  auto found = programs_.find(key);
  return found == programs_.end() ? nullptr : found->second;
}

void EntryPrograms::set(uint32_t key, std::shared_ptr<const LoadedProgram> program) {
  std::lock_guard lock(mutex_);
  if (program == nullptr)
    programs_.erase(key);
  else
    programs_[key] = std::move(program);
}

std::shared_ptr<Map> RedirectArrayMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_redirect_spec(spec)) != 0) return nullptr;
  std::shared_ptr<RedirectArrayMap> map(new RedirectArrayMap(read_only_for_programs(spec), options));
  if (map->memory_.allocate(uint64_t{spec.max_entries} * 8)) return map;
  error = -ENOMEM;
  return nullptr;
}

bool RedirectArrayMap::present(uint64_t slot) const {
  return spec_.type == arch::ebpf::kMapXskmap ? second_word(slot) != 0 : first_word(slot) != 0;
}

void* RedirectArrayMap::lookup(const void* key, uint32_t) {
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries) return nullptr;
  uint64_t* at = slot(index);
  return present(__atomic_load_n(at, __ATOMIC_RELAXED)) ? at : nullptr;
}

std::shared_ptr<const LoadedProgram> RedirectArrayMap::program(uint32_t index) {
  if (index >= spec_.max_entries || spec_.type == arch::ebpf::kMapXskmap) return nullptr;
  if (second_word(__atomic_load_n(slot(index), __ATOMIC_RELAXED)) == 0) return nullptr;
  return programs_.get(index);
}

int RedirectArrayMap::erase(const void* key) {
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries) return -EINVAL;
  std::lock_guard lock(writers_);
  __atomic_store_n(slot(index), uint64_t{0}, __ATOMIC_RELAXED);
  programs_.set(index, nullptr);
  return 0;
}

bool RedirectArrayMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = memory_.offset_of(address);
  return offset < uint64_t{spec_.max_entries} * 8 && offset % 8 + bytes <= spec_.value_size;
}

int RedirectArrayMap::host_lookup(const void* key, void* value, uint64_t flags) {
  if (flags != 0) return -EINVAL;
  if (spec_.type == arch::ebpf::kMapXskmap) return -EOPNOTSUPP;  // a socket has no number to show
  uint32_t index = base::load<uint32_t>(key);
  uint64_t now = index < spec_.max_entries ? __atomic_load_n(slot(index), __ATOMIC_RELAXED) : 0;
  if (!present(now)) return -ENOENT;
  std::memcpy(value, &now, spec_.value_size);
  return 0;
}

int RedirectArrayMap::host_update(const void* key, const void* value, uint64_t flags) {
  return host_update_reference(key, {}, value, flags);
}

int RedirectArrayMap::host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) {
  if (frozen()) return -EPERM;
  uint32_t index = base::load<uint32_t>(key);
  TargetValue wanted = read_value(value, spec_.value_size);
  if (flags > kExist) return -EINVAL;
  if (index >= spec_.max_entries) return -E2BIG;
  if (spec_.type == arch::ebpf::kMapXskmap) return update_socket(index, wanted.target, flags);
  if (flags == kNoExist) return -EEXIST;
  if (wanted.program_fd <= 0) reference.program = nullptr;
  if (spec_.type == arch::ebpf::kMapDevmap) {
    if (wanted.target == 0 && wanted.program_fd > 0) return -EINVAL;
    if (int error = check_entry_program(wanted, reference.program, BPF_XDP_DEVMAP)) return error;
  } else {
    if (wanted.target > kMaxQueueSize) return -EOVERFLOW;
    if (index >= options_.cpus) return -ENODEV;
    // The kernel turns every failure of an entry's construction into -ENOMEM, a wrong program included.
    if (wanted.target != 0 && check_entry_program(wanted, reference.program, BPF_XDP_CPUMAP) != 0) return -ENOMEM;
    if (wanted.target == 0) reference.program = nullptr;
  }
  return update_target(index, wanted.target, std::move(reference.program));
}

int RedirectArrayMap::update_target(uint32_t index, uint32_t target, std::shared_ptr<const LoadedProgram> program) {
  std::lock_guard lock(writers_);
  uint64_t word = pack(target, id_of(program));
  programs_.set(index, std::move(program));  // before the slot names it
  __atomic_store_n(slot(index), word, __ATOMIC_RELEASE);
  return 0;
}

int RedirectArrayMap::update_socket(uint32_t index, uint32_t socket, uint64_t flags) {
  std::lock_guard lock(writers_);
  uint64_t old = __atomic_load_n(slot(index), __ATOMIC_RELAXED);
  if (present(old) && first_word(old) == socket) return 0;
  if (present(old) && flags == kNoExist) return -EEXIST;
  if (!present(old) && flags == kExist) return -ENOENT;
  __atomic_store_n(slot(index), pack(socket, 1), __ATOMIC_RELEASE);
  return 0;
}

int RedirectArrayMap::host_next_key(const void* key, void* next_key) {
  return next_array_index(key, next_key, spec_.max_entries);
}

uint64_t RedirectArrayMap::entries() const {
  uint64_t count = 0;
  for (uint32_t index = 0; index < spec_.max_entries; ++index)
    count += present(__atomic_load_n(slot(index), __ATOMIC_RELAXED)) ? 1 : 0;
  return count;
}

std::shared_ptr<Map> DevmapHashMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_redirect_spec(spec)) != 0) return nullptr;
  std::shared_ptr<DevmapHashMap> map(new DevmapHashMap(read_only_for_programs(spec), options));
  error = map->table_.allocate(4, 8, spec.max_entries, options.seed);
  return error == 0 ? map : nullptr;
}

void* DevmapHashMap::lookup(const void* key, uint32_t) {
  HashTable::Element* element = table_.find(key);
  return element == nullptr ? nullptr : table_.value(element);
}

std::shared_ptr<const LoadedProgram> DevmapHashMap::program(uint32_t key) { return programs_.get(key); }

int DevmapHashMap::erase(const void* key) {
  std::lock_guard lock(writers_);
  programs_.set(base::load<uint32_t>(key), nullptr);
  return table_.erase(key, [](HashTable::Element*) {});
}

bool DevmapHashMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = 0;
  if (table_.element_of(address, offset) == nullptr) return false;
  return offset >= table_.value_offset() && offset - table_.value_offset() + bytes <= spec_.value_size;
}

int DevmapHashMap::host_update(const void* key, const void* value, uint64_t flags) {
  return host_update_reference(key, {}, value, flags);
}

int DevmapHashMap::host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) {
  if (frozen()) return -EPERM;
  TargetValue wanted = read_value(value, spec_.value_size);
  if (flags > kExist || wanted.target == 0) return -EINVAL;
  if (wanted.program_fd <= 0) reference.program = nullptr;
  std::lock_guard lock(writers_);
  if (flags == kNoExist && table_.find(key) != nullptr) return -EEXIST;
  if (int error = check_entry_program(wanted, reference.program, BPF_XDP_DEVMAP)) return error;
  uint32_t words[2] = {wanted.target, id_of(reference.program)};
  // The kernel does not insist on the key for BPF_EXIST here, so the flag is not passed on.
  int error = table_.update(
      key, kAny, true,
      [&](HashTable::Element* element, HashTable::Place) { store_bytes(table_.value(element), words, sizeof words); },
      [] { return false; });
  if (error == 0) programs_.set(base::load<uint32_t>(key), std::move(reference.program));
  return error;
}

int DevmapHashMap::host_next_key(const void* key, void* next_key) { return table_.next_key(key, next_key); }

}  // namespace xnic::exec::maps
