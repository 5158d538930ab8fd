// SPDX-License-Identifier: Apache-2.0
// The card's objects and the table that gives them ids and handles.
//
// Ownership: programs hold their maps and BTF, maps their BTF, links their program; pins and handles hold any of them.
// `exec` sees an object's content through a shared_ptr that shares ownership with the object itself (program_ref,
// map_ref), so an engine or a map that refers to a program keeps the object, its id and its handle alive too.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "device/btf.hpp"
#include "device/caller.hpp"
#include "device/handle.hpp"
#include "exec/engine.hpp"

namespace xnic::device {

enum class ObjectKind : uint8_t { kProgram, kMap, kBtf, kLink, kPerfBuffer };
inline constexpr int kObjectKinds = 5;

struct DeviceObject {
  explicit DeviceObject(ObjectKind object_kind) : kind(object_kind) {}
  virtual ~DeviceObject() = default;
  const ObjectKind kind;
  uint32_t id = 0;
  uint32_t uid = 0;   // of the user who made it
  uint32_t pins = 0;  // guarded by the table's lock
  Handle handle;
};

struct BtfObject final : DeviceObject {
  BtfObject() : DeviceObject(ObjectKind::kBtf) {}
  std::shared_ptr<const Btf> btf;
};

// Wakes the processes that wait for data of a ring buffer: an eventfd, made when the first one asks for it.
class Wakeup {
 public:
  ~Wakeup();
  // The eventfd, still owned by this, or -errno.
  int descriptor();
  // Any thread; does not block.
  void signal() const;

 private:
  std::atomic<int> fd_{-1};
};

struct MapObject final : DeviceObject {
  MapObject() : DeviceObject(ObjectKind::kMap) {}
  const std::shared_ptr<Wakeup> wakeup = std::make_shared<Wakeup>();  // ring buffers
  std::shared_ptr<exec::maps::Map> map;
  std::shared_ptr<BtfObject> btf;
  uint32_t ifindex = 0;
  // Where batched reads of hash maps go on: token -> last key (map_batch.cpp). Guarded by cursor_mutex.
  std::mutex cursor_mutex;
  uint32_t last_token = 0;
  std::map<uint32_t, std::vector<uint8_t>> cursors;
};

// What a perf event array's entries refer to: made without a size, which the first mapping tells.
struct PerfBufferObject final : DeviceObject {
  PerfBufferObject() : DeviceObject(ObjectKind::kPerfBuffer) {}
  const std::shared_ptr<Wakeup> wakeup = std::make_shared<Wakeup>();
  std::mutex mutex;
  uint32_t data_pages = 0;
  std::shared_ptr<exec::maps::EventSink> sink;  // null until it has a size
};

struct ProgramObject final : DeviceObject {
  ProgramObject() : DeviceObject(ObjectKind::kProgram) {}
  uint32_t type = 0;  // enum bpf_prog_type
  exec::LoadedProgram loaded;
  std::shared_ptr<BtfObject> btf;
  std::array<uint8_t, 8> tag{};
  uint64_t load_time_ns = 0;
  uint32_t ifindex = 0;     // bound to this port; 0: to none
  bool bound_only = false;  // BPF_F_XDP_DEV_BOUND_ONLY: bound, but not to be offloaded
  // BPF_PROG_BIND_MAP adds maps after the load; guarded by maps_mutex. The loaded ones are in loaded.maps.
  std::mutex maps_mutex;
  std::vector<std::shared_ptr<MapObject>> bound_maps;
  // The engine of BPF_PROG_TEST_RUN, made at the first one; guarded by engine_mutex.
  std::mutex engine_mutex;
  std::unique_ptr<exec::Engine> engine;
  uint64_t run_count = 0;
  uint64_t run_ns = 0;
};

// The object's content for exec; shares ownership with the object.
inline std::shared_ptr<const exec::LoadedProgram> program_ref(const std::shared_ptr<ProgramObject>& object) {
  return {object, &object->loaded};
}
inline std::shared_ptr<exec::maps::Map> map_ref(const std::shared_ptr<MapObject>& object) {
  return {object, object->map.get()};
}

// Thread-safe. Objects are destroyed outside the table's lock.
class ObjectTable {
 public:
  uint32_t allocate_id(ObjectKind kind);
  // Makes the memfd of a new object; sweeps once when the process has run out of descriptors. 0 or -errno.
  int make_handle(DeviceObject& object, const char* name);
  // Enters the object and opens a handle on it: the descriptor, or -errno (then the object is not entered).
  // Pre: id and handle are set.
  int publish(const std::shared_ptr<DeviceObject>& object, Access access);
  // Opens another handle on an object of the table.
  int open(const std::shared_ptr<DeviceObject>& object, Access access);

  std::shared_ptr<DeviceObject> find(const FileIdentity& identity) const;
  std::shared_ptr<DeviceObject> find(ObjectKind kind, uint32_t id) const;
  // Smallest id above `after`, 0 when there is none. Sweeps first.
  uint32_t next_id(ObjectKind kind, uint32_t after);

  // A pin counts as a user of the object, as an open handle does.
  void add_pin(const std::shared_ptr<DeviceObject>& object);
  void drop_pin(const std::shared_ptr<DeviceObject>& object);

  // Lets go of the objects whose handles are all closed; those that nothing else holds are destroyed.
  void sweep();

 private:
  struct Entry {
    std::weak_ptr<DeviceObject> object;
    std::shared_ptr<DeviceObject> held;  // while a handle may be open
  };
  void user_gone(DeviceObject& object) const;
  bool sweep_once();

  mutable std::mutex mutex_;
  std::array<std::map<uint32_t, Entry>, kObjectKinds> entries_;
  std::array<uint32_t, kObjectKinds> last_id_{};
  std::unordered_map<ino_t, std::weak_ptr<DeviceObject>> by_inode_;
  uint32_t published_since_sweep_ = 0;
  uint32_t left_by_sweep_ = 0;  // objects that the last sweep found in use
};

}  // namespace xnic::device
