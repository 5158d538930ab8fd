// SPDX-License-Identifier: Apache-2.0
// Copies map contents between our maps and the kernel's.
//
// Element maps (arrays, hashes, tries) are read whole into a table of keys and values and written from it, by the batch
// commands where the kernel has them. Values of per-CPU maps are copies side by side; the kernel has one for each
// possible CPU, ours for as many as its options say, and the common ones are copied. Queues and stacks can only be read
// by emptying them, so they are emptied and refilled.
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "exec/kernel/objects.hpp"

namespace xnic::exec::kernel {
namespace {

using KernelMap = Objects::KernelMap;

constexpr long kNotSupported = -524;  // the kernel's internal ENOTSUPP, which batch commands let through
constexpr uint32_t kBatch = 4096;

uint32_t kernel_cpus() {
  static const int count = libbpf_num_possible_cpus();
  return static_cast<uint32_t>(std::max(count, 1));
}

uint32_t kernel_value_bytes(const maps::Map& map) {
  const uint32_t size = map.spec().value_size;
  return arch::ebpf::is_percpu(map.spec().type) ? (size + 7) / 8 * 8 * kernel_cpus() : size;
}

// Keys and values, one after the other, in the sizes given.
struct Table {
  uint32_t key_bytes;
  uint32_t value_bytes;
  std::vector<uint8_t> keys;
  std::vector<uint8_t> values;

  size_t count() const { return keys.size() / key_bytes; }
  uint8_t* key(size_t i) { return keys.data() + i * key_bytes; }
  uint8_t* value(size_t i) { return values.data() + i * value_bytes; }
  void add(const void* key, const void* value) {
    keys.insert(keys.end(), static_cast<const uint8_t*>(key), static_cast<const uint8_t*>(key) + key_bytes);
    values.insert(values.end(), static_cast<const uint8_t*>(value), static_cast<const uint8_t*>(value) + value_bytes);
  }
  // Entries whose values are all zeroes go.
  void drop_zeroes() {
    size_t kept = 0;
    for (size_t i = 0; i < count(); ++i) {
      if (std::all_of(value(i), value(i) + value_bytes, [](uint8_t byte) { return byte == 0; })) continue;
      std::memmove(key(kept), key(i), key_bytes);
      std::memmove(value(kept), value(i), value_bytes);
      ++kept;
    }
    keys.resize(kept * key_bytes);
    values.resize(kept * value_bytes);
  }
  // The same with values of another size: cut, or filled with zeroes.
  void resize_values(uint32_t bytes) {
    if (bytes == value_bytes) return;
    std::vector<uint8_t> resized(count() * bytes);
    for (size_t i = 0; i < count(); ++i)
      std::memcpy(resized.data() + i * bytes, value(i), std::min(bytes, value_bytes));
    values = std::move(resized);
    value_bytes = bytes;
  }
};

std::string place(const KernelMap& map) { return "map " + map.map->spec().name; }

long element(int command, const KernelMap& map, const void* key, const void* value, uint64_t flags = 0) {
  union bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map.fd.get());
  attr.key = attr_pointer(key);
  attr.value = attr_pointer(value);  // also next_key
  attr.flags = flags;
  return bpf_call(command, attr);
}

std::string hex(const uint8_t* bytes, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

base::Result<void> write_one(const KernelMap& map, const uint8_t* key, const void* value) {
  if (const long error = element(BPF_MAP_UPDATE_ELEM, map, key, value); error < 0)
    return kernel_error(place(map), "the kernel did not take the entry with key " + hex(key, map.map->spec().key_size),
                        error);
  return {};
}

// --- Element maps ---

bool is_array(const KernelMap& map) {
  return map.map->spec().type == arch::ebpf::kMapArray || map.map->spec().type == arch::ebpf::kMapPercpuArray;
}

// Removes all entries of a map that has deletable ones.
base::Result<void> clear(const KernelMap& map) {
  std::vector<uint8_t> key(map.map->spec().key_size);
  for (;;) {
    long error = element(BPF_MAP_GET_NEXT_KEY, map, nullptr, key.data());
    if (error == -ENOENT) return {};
    if (error == 0) error = element(BPF_MAP_DELETE_ELEM, map, key.data(), nullptr);
    if (error < 0 && error != -ENOENT) return kernel_error(place(map), "the kernel did not clear it", error);
  }
}

base::Result<void> write_all(const KernelMap& map, Table& table) {
  size_t done = 0;
  while (done < table.count()) {
    union bpf_attr attr{};
    attr.batch.map_fd = static_cast<uint32_t>(map.fd.get());
    attr.batch.keys = attr_pointer(table.key(done));
    attr.batch.values = attr_pointer(table.value(done));
    attr.batch.count = static_cast<uint32_t>(std::min<size_t>(table.count() - done, kBatch));
    const uint32_t wanted = attr.batch.count;
    const long error = bpf_call(BPF_MAP_UPDATE_BATCH, attr);
    if (error == -EINVAL || error == kNotSupported || error == -EOPNOTSUPP) break;
    if (error < 0)
      return kernel_error(place(map),
                          "the kernel did not take the entry with key " +
                              hex(table.key(done + std::min(attr.batch.count, wanted - 1)), table.key_bytes),
                          error);
    done += wanted;
  }
  for (; done < table.count(); ++done) XNIC_TRY(write_one(map, table.key(done), table.value(done)));
  return {};
}

base::Result<Table> read_by_key(const KernelMap& map) {
  Table table{map.map->spec().key_size, kernel_value_bytes(*map.map), {}, {}};
  std::vector<uint8_t> key(table.key_bytes);
  std::vector<uint8_t> next(table.key_bytes);
  std::vector<uint8_t> value(table.value_bytes);
  const uint8_t* after = nullptr;
  for (;;) {
    long error = element(BPF_MAP_GET_NEXT_KEY, map, after, next.data());
    if (error == -ENOENT) return table;
    key = next;
    after = key.data();
    if (error == 0) error = element(BPF_MAP_LOOKUP_ELEM, map, key.data(), value.data());
    if (error == 0) table.add(key.data(), value.data());
    if (error < 0 && error != -ENOENT) return kernel_error(place(map), "the kernel did not read it", error);
  }
}

// Falls back to single reads where the kernel has no batch command.
base::Result<Table> read_all(const KernelMap& map) {
  Table table{map.map->spec().key_size, kernel_value_bytes(*map.map), {}, {}};
  std::vector<uint8_t> position(std::max<uint32_t>(table.key_bytes, 4));
  uint32_t room = kBatch;
  for (bool first = true;;) {
    std::vector<uint8_t> keys(size_t{room} * table.key_bytes);
    std::vector<uint8_t> values(size_t{room} * table.value_bytes);
    union bpf_attr attr{};
    attr.batch.map_fd = static_cast<uint32_t>(map.fd.get());
    attr.batch.in_batch = first ? 0 : attr_pointer(position.data());
    attr.batch.out_batch = attr_pointer(position.data());
    attr.batch.keys = attr_pointer(keys.data());
    attr.batch.values = attr_pointer(values.data());
    attr.batch.count = room;
    const long error = bpf_call(BPF_MAP_LOOKUP_BATCH, attr);
    if (error == -ENOSPC && attr.batch.count == 0) {  // a bucket that holds more
      room *= 2;
      continue;
    }
    if (first && (error == -EINVAL || error == kNotSupported || error == -EOPNOTSUPP)) return read_by_key(map);
    if (error < 0 && error != -ENOENT && error != -ENOSPC)
      return kernel_error(place(map), "the kernel did not read it", error);
    for (uint32_t i = 0; i < attr.batch.count; ++i)
      table.add(keys.data() + size_t{i} * table.key_bytes, values.data() + size_t{i} * table.value_bytes);
    if (error == -ENOENT) return table;
    first = false;
  }
}

Table our_contents(maps::Map& map) {
  Table table{map.spec().key_size, map.host_value_bytes(), {}, {}};
  std::vector<uint8_t> key(table.key_bytes);
  std::vector<uint8_t> next(table.key_bytes);
  std::vector<uint8_t> value(table.value_bytes);
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (map.host_lookup(key.data(), value.data(), 0) == 0) table.add(key.data(), value.data());
  }
  return table;
}

base::Result<void> push_elements(KernelMap& map) {
  if (!is_array(map)) XNIC_TRY(clear(map));
  Table table = our_contents(*map.map);
  // The kernel makes arrays of zeroes, and large ones are mostly that.
  if (is_array(map) && !map.pushed) table.drop_zeroes();
  table.resize_values(kernel_value_bytes(*map.map));
  XNIC_TRY(write_all(map, table));
  map.pushed = true;
  return {};
}

base::Result<void> pull_elements(const KernelMap& map) {
  XNIC_ASSIGN(Table theirs, read_all(map));
  theirs.resize_values(map.map->host_value_bytes());
  if (!is_array(map)) {
    Table ours = our_contents(*map.map);
    for (size_t i = 0; i < ours.count(); ++i) map.map->host_erase(ours.key(i));
  }
  for (size_t i = 0; i < theirs.count(); ++i) {
    const int error = map.map->host_update(theirs.key(i), theirs.value(i), maps::kAny);
    if (error < 0)
      return kernel_error(place(map), "our map did not take the entry with key " + hex(theirs.key(i), theirs.key_bytes),
                          error);
  }
  return {};
}

// --- Maps whose values refer to other objects: they change from the host's side only, and are never pulled. ---

base::Result<void> push_programs(Objects& objects, const KernelMap& map) {
  for (uint32_t index = 0; index < map.map->spec().max_entries; ++index) {
    const auto target = map.map->program(index);
    if (!target) {
      element(BPF_MAP_DELETE_ELEM, map, &index, nullptr);  // -ENOENT when there was none
      continue;
    }
    XNIC_ASSIGN(const int fd, objects.program(target));
    XNIC_TRY(write_one(map, reinterpret_cast<const uint8_t*>(&index), &fd));
  }
  return {};
}

base::Result<void> push_inner_maps(Objects& objects, const KernelMap& map) {
  XNIC_TRY(map.map->spec().type == arch::ebpf::kMapHashOfMaps ? clear(map) : base::Result<void>{});
  const uint32_t key_bytes = map.map->spec().key_size;
  std::vector<uint8_t> key(key_bytes);
  std::vector<uint8_t> next(key_bytes);
  for (const uint8_t* after = nullptr; map.map->host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    const auto inner = map.map->inner(key.data());
    if (!inner) continue;
    XNIC_ASSIGN(const KernelMap* made, objects.map(inner));
    const int fd = made->fd.get();
    XNIC_TRY(write_one(map, key.data(), &fd));
  }
  return {};
}

// Devmaps and cpumaps: the first word is the interface or the queue size. A program that runs on the entry is left out:
// a test run redirects nothing.
base::Result<void> push_targets(const KernelMap& map) {
  const bool hash = map.map->spec().type == arch::ebpf::kMapDevmapHash;
  XNIC_TRY(hash ? clear(map) : base::Result<void>{});
  Table table = our_contents(*map.map);
  for (size_t i = 0; i < table.count(); ++i) {
    uint32_t value[2] = {base::load<uint32_t>(table.value(i)), ~uint32_t{0}};
    if (value[0] == 0) {
      element(BPF_MAP_DELETE_ELEM, map, table.key(i), nullptr);
      continue;
    }
    XNIC_TRY(write_one(map, table.key(i), value));
  }
  return {};
}

// A software event per CPU, if our map has entries at all; output to it then succeeds and is read by nobody.
base::Result<void> push_events(KernelMap& map) {
  if (map.map->entries() == 0) return {};
  const uint32_t count = std::min(map.map->spec().max_entries, kernel_cpus());
  for (uint32_t cpu = static_cast<uint32_t>(map.events.size()); cpu < count; ++cpu) {
    struct perf_event_attr event{};
    event.type = PERF_TYPE_SOFTWARE;
    event.size = sizeof event;
    event.config = PERF_COUNT_SW_BPF_OUTPUT;
    event.sample_type = PERF_SAMPLE_RAW;
    const long fd =
        kernel_call(SYS_perf_event_open, static_cast<long>(attr_pointer(&event)), -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) return kernel_error(place(map), "no software event for the CPU", fd);
    map.events.emplace_back(static_cast<int>(fd));
    const int value = static_cast<int>(fd);
    XNIC_TRY(write_one(map, reinterpret_cast<const uint8_t*>(&cpu), &value));
  }
  return {};
}

// --- Queues and stacks ---

std::vector<std::vector<uint8_t>> drain_kernel(const KernelMap& map) {
  std::vector<std::vector<uint8_t>> values;
  std::vector<uint8_t> value(map.map->spec().value_size);
  while (element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, map, nullptr, value.data()) == 0) values.push_back(value);
  return values;
}

std::vector<std::vector<uint8_t>> drain_ours(maps::Map& map) {
  std::vector<std::vector<uint8_t>> values;
  std::vector<uint8_t> value(map.spec().value_size);
  while (map.pop(value.data()) == 0) values.push_back(value);
  return values;
}

// In the order in which pushing them again gives the same map.
void order_for_pushing(const KernelMap& map, std::vector<std::vector<uint8_t>>& values) {
  if (map.map->spec().type == arch::ebpf::kMapStack) std::reverse(values.begin(), values.end());
}

base::Result<void> refill(const KernelMap& map, const std::vector<std::vector<uint8_t>>& values) {
  for (const auto& value : values) {
    if (const int error = map.map->push(value.data(), maps::kAny); error < 0)
      return kernel_error(place(map), "our map did not take a value", error);
    if (const long error = element(BPF_MAP_UPDATE_ELEM, map, nullptr, value.data()); error < 0)
      return kernel_error(place(map), "the kernel did not take a value", error);
  }
  return {};
}

base::Result<void> push_queue(const KernelMap& map) {
  drain_kernel(map);
  auto values = drain_ours(*map.map);
  order_for_pushing(map, values);
  return refill(map, values);
}

base::Result<void> pull_queue(const KernelMap& map) {
  drain_ours(*map.map);
  auto values = drain_kernel(map);
  order_for_pushing(map, values);
  return refill(map, values);
}

}  // namespace

base::Result<void> push_contents(Objects& objects, KernelMap& map) {
  switch (map.map->spec().type) {
    case arch::ebpf::kMapArray:
    case arch::ebpf::kMapPercpuArray:
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapLruHash:
    case arch::ebpf::kMapLruPercpuHash:
    case arch::ebpf::kMapLpmTrie:
      return push_elements(map);
    case arch::ebpf::kMapProgArray:
      return push_programs(objects, map);
    case arch::ebpf::kMapArrayOfMaps:
    case arch::ebpf::kMapHashOfMaps:
      return push_inner_maps(objects, map);
    case arch::ebpf::kMapDevmap:
    case arch::ebpf::kMapDevmapHash:
    case arch::ebpf::kMapCpumap:
      return push_targets(map);
    case arch::ebpf::kMapPerfEventArray:
      return push_events(map);
    case arch::ebpf::kMapQueue:
    case arch::ebpf::kMapStack:
      return push_queue(map);
    default:
      return {};  // ring buffers, bloom filters, stack traces, AF_XDP maps: kernel.hpp says so
  }
}

base::Result<void> pull_contents(KernelMap& map) {
  switch (map.map->spec().type) {
    case arch::ebpf::kMapArray:
    case arch::ebpf::kMapPercpuArray:
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapLruHash:
    case arch::ebpf::kMapLruPercpuHash:
    case arch::ebpf::kMapLpmTrie:
      return pull_elements(map);
    case arch::ebpf::kMapQueue:
    case arch::ebpf::kMapStack:
      return pull_queue(map);
    default:
      return {};
  }
}

}  // namespace xnic::exec::kernel
