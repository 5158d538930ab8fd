// SPDX-License-Identifier: Apache-2.0
// What a device consists of, and what one bpf(2) command works on. Internal to this folder.
#pragma once

#include <linux/bpf.h>

#include <cstring>
#include <string>
#include <type_traits>

#include "base/clock.hpp"
#include "device/caller.hpp"
#include "device/device.hpp"
#include "device/objects.hpp"
#include "device/pin.hpp"
#include "device/ports.hpp"

namespace xnic::device {

struct Device::State {
  uint32_t cpus = 1;
  base::SystemClock system_clock;
  const base::Clock* clock = &system_clock;
  std::string test_run_engine;
  uint64_t random_state = 1;
  std::mutex random_mutex;
  // Destroyed from the last: pins let go first, and links detach from ports that still exist.
  PortTable ports;
  ObjectTable objects;
  PinTable pins;
};

// Errors of the kernel that user space has no name for.
inline constexpr int kErrnoNotSupported = 524;  // ENOTSUPP

// One command: a copy of the caller's attributes (zero behind what the caller gave), and where results go.
class Command {
 public:
  Command(Device::State& device_state, const Caller& from, uint64_t user_attr, uint32_t user_size)
      : state(device_state), caller(from), user_attr_(user_attr), user_size_(user_size) {
    std::memset(&attr, 0, sizeof attr);
  }

  Device::State& state;
  const Caller& caller;
  union bpf_attr attr;

  // True if the caller set nothing behind the last field that the command knows (kernel/bpf/syscall.c CHECK_ATTR).
  bool clean_after(size_t end) const {
    const auto* bytes = reinterpret_cast<const char*>(&attr);
    for (size_t i = end; i < sizeof attr; ++i)
      if (bytes[i] != 0) return false;
    return true;
  }
  uint32_t user_size() const { return user_size_; }

  // Stores a result field at `offset` of the caller's attributes; callers with older, shorter attributes do not get it.
  template <class T>
  int put(size_t offset, const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (offset + sizeof value > user_size_) return 0;
    return caller.write(user_attr_ + offset, &value, sizeof value);
  }

  // The object behind a descriptor: -EBADF when it is no descriptor of this card, -EINVAL when of another kind.
  template <class T>
  int object(int fd, ObjectKind kind, std::shared_ptr<T>& object, FileIdentity* identity = nullptr) const {
    FileIdentity found;
    if (int error = caller.identify(fd, found)) return error;
    auto any = state.objects.find(found);
    if (!any) return -EINVAL;
    if (any->kind != kind) return -EINVAL;
    if (identity) *identity = found;
    object = std::static_pointer_cast<T>(std::move(any));
    return 0;
  }
  int map(int fd, std::shared_ptr<MapObject>& found, FileIdentity* identity = nullptr) const {
    return object(fd, ObjectKind::kMap, found, identity);
  }
  int program(int fd, std::shared_ptr<ProgramObject>& found) const { return object(fd, ObjectKind::kProgram, found); }

 private:
  uint64_t user_attr_;
  uint32_t user_size_;
};

#define XNIC_ATTR_END(field) (offsetof(union bpf_attr, field) + sizeof(std::declval<union bpf_attr>().field))

// The commands. Each returns what bpf(2) returns, with -errno for -1.
long map_create(Command& command);
long map_lookup(Command& command);
long map_update(Command& command);
long map_delete(Command& command);
long map_next_key(Command& command);
long map_lookup_and_delete(Command& command);
long map_freeze(Command& command);
long map_lookup_batch(Command& command, bool erase);
long map_update_batch(Command& command);
long map_delete_batch(Command& command);
long program_load(Command& command);
long program_bind_map(Command& command);
long program_test_run(Command& command);
long btf_load(Command& command);
long object_info(Command& command);
long object_next_id(Command& command, ObjectKind kind);
long object_fd_by_id(Command& command, ObjectKind kind);
long object_pin(Command& command);
long object_get(Command& command);
long link_create(Command& command);
long link_update(Command& command);
long link_detach(Command& command);

// Update of one element, shared by the single and the batched command. Buffers are key_size and host_value_bytes;
// descriptors in `value` are replaced by what the map wants to see.
int copy_element_in(const Command& command, const MapObject& map, const void* key, void* value, uint64_t flags);

// Object names (kernel/bpf/syscall.c bpf_obj_name_cpy): NUL-terminated, letters, digits, '_' and '.'. 0 or -EINVAL.
int check_object_name(const char* name, size_t room, std::string& to);

}  // namespace xnic::device
