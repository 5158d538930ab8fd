// SPDX-License-Identifier: Apache-2.0
// OBJ_PIN and OBJ_GET. Paths are made canonical as text ("//", "." and ".." resolved), so that one object has one name;
// no file system is asked, since the card's namespace is its own.
#include "device/pin.hpp"

#include <limits.h>

#include <cerrno>
#include <filesystem>

#include "device/state.hpp"

namespace xnic::device {
namespace {

std::string canonical(const std::string& path) { return std::filesystem::path(path).lexically_normal().string(); }

int read_path(Command& command, std::string& path) {
  if (int error = command.caller.read_string(command.attr.pathname, PATH_MAX, path)) return error;
  return path.empty() ? -ENOENT : 0;
}

}  // namespace

int PinTable::pin(ObjectTable& objects, const std::string& path, std::shared_ptr<DeviceObject> object) {
  std::lock_guard lock(mutex_);
  auto [entry, added] = pins_.emplace(canonical(path), object);
  if (!added) return -EEXIST;
  objects.add_pin(entry->second);
  return 0;
}

std::shared_ptr<DeviceObject> PinTable::get(const std::string& path) const {
  std::lock_guard lock(mutex_);
  auto entry = pins_.find(canonical(path));
  return entry == pins_.end() ? nullptr : entry->second;
}

int PinTable::unpin(ObjectTable& objects, const std::string& path) {
  std::shared_ptr<DeviceObject> object;
  {
    std::lock_guard lock(mutex_);
    auto entry = pins_.find(canonical(path));
    if (entry == pins_.end()) return -ENOENT;
    object = std::move(entry->second);
    pins_.erase(entry);
  }
  objects.drop_pin(object);
  return 0;
}

std::vector<std::string> PinTable::paths() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, object] : pins_) paths.push_back(path);
  return paths;
}

long object_pin(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(XNIC_ATTR_END(file_flags)) || attr.file_flags != 0) return -EINVAL;
  FileIdentity identity;
  if (command.caller.identify(static_cast<int>(attr.bpf_fd), identity) != 0) return -EINVAL;
  auto object = command.state.objects.find(identity);
  if (!object || object->kind == ObjectKind::kBtf || object->kind == ObjectKind::kPerfBuffer) return -EINVAL;
  std::string path;
  if (int error = read_path(command, path)) return error;
  return command.state.pins.pin(command.state.objects, path, std::move(object));
}

long object_get(Command& command) {
  const auto& attr = command.attr;
  constexpr uint32_t kKnown = BPF_F_RDONLY | BPF_F_WRONLY;
  if (!command.clean_after(XNIC_ATTR_END(file_flags)) || attr.bpf_fd != 0 || (attr.file_flags & ~kKnown))
    return -EINVAL;
  if ((attr.file_flags & kKnown) == kKnown) return -EINVAL;
  std::string path;
  if (int error = read_path(command, path)) return error;
  auto object = command.state.pins.get(path);
  if (!object) return -ENOENT;
  Access access = attr.file_flags & BPF_F_RDONLY   ? Access::kReadOnly
                  : attr.file_flags & BPF_F_WRONLY ? Access::kWriteOnly
                                                   : Access::kReadWrite;
  if (object->kind == ObjectKind::kMap && command.caller.read_only()) {
    if (access == Access::kWriteOnly) return -EPERM;
    access = Access::kReadOnly;
  }
  if (object->kind != ObjectKind::kMap && access != Access::kReadWrite) return -EINVAL;
  int fd = command.state.objects.open(object, access);
  return fd < 0 ? fd : command.caller.give(fd);
}

}  // namespace xnic::device
