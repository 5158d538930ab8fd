// SPDX-License-Identifier: Apache-2.0
// Object table. Lifetime by reference counts; the count of handles is asked from the kernel by a lease (handle.cpp).
//
// Invariants: an entry's `held` is set from the moment a handle is opened until a sweep finds that none is left; both
// happen under the lock, so a sweep cannot miss a handle that is just being given out. Dropped references leave the
// lock first: their destructors close descriptors, unmap storage and detach links.
// Sweeps happen when ids are looked at, and every so many new objects, so that churn costs amortised one fcntl each.
#include "device/objects.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "arch/ebpf/map_types.hpp"
#include "base/bytes.hpp"

namespace xnic::device {
namespace {

constexpr uint32_t kSweepEvery = 64;

}  // namespace

Wakeup::~Wakeup() {
  if (fd_ >= 0) close(fd_);
}

int Wakeup::descriptor() {
  if (fd_ >= 0) return fd_;
  const int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (made < 0) return -errno;
  int none = -1;
  if (!fd_.compare_exchange_strong(none, made)) close(made);
  return fd_;
}

void Wakeup::signal() const {
  if (const int fd = fd_; fd >= 0) eventfd_write(fd, 1);
}

uint32_t ObjectTable::allocate_id(ObjectKind kind) {
  std::lock_guard lock(mutex_);
  return ++last_id_[static_cast<size_t>(kind)];
}

int ObjectTable::make_handle(DeviceObject& object, const char* name) {
  int error = 0;
  object.handle = Handle::create(name, error);
  if (error == -EMFILE || error == -ENFILE) {
    sweep();
    object.handle = Handle::create(name, error);
  }
  return error;
}

int ObjectTable::publish(const std::shared_ptr<DeviceObject>& object, Access access) {
  bool sweep_now = false;
  int fd;
  {
    std::lock_guard lock(mutex_);
    fd = object->handle.open(access);
    if (fd < 0) return fd;
    auto& table = entries_[static_cast<size_t>(object->kind)];
    table[object->id] = {object, object};
    by_inode_[object->handle.inode()] = object;
    if (++published_since_sweep_ >= std::max(kSweepEvery, left_by_sweep_)) {
      published_since_sweep_ = 0;
      sweep_now = true;
    }
  }
  if (sweep_now) sweep();
  return fd;
}

int ObjectTable::open(const std::shared_ptr<DeviceObject>& object, Access access) {
  std::lock_guard lock(mutex_);
  int fd = object->handle.open(access);
  if (fd >= 0) entries_[static_cast<size_t>(object->kind)][object->id] = {object, object};
  return fd;
}

std::shared_ptr<DeviceObject> ObjectTable::find(const FileIdentity& identity) const {
  std::lock_guard lock(mutex_);
  auto entry = by_inode_.find(identity.inode);
  if (entry == by_inode_.end()) return nullptr;
  auto object = entry->second.lock();
  return object && object->handle.device() == identity.device ? object : nullptr;
}

std::shared_ptr<DeviceObject> ObjectTable::find(ObjectKind kind, uint32_t id) const {
  std::lock_guard lock(mutex_);
  const auto& table = entries_[static_cast<size_t>(kind)];
  auto entry = table.find(id);
  return entry == table.end() ? nullptr : entry->second.object.lock();
}

uint32_t ObjectTable::next_id(ObjectKind kind, uint32_t after) {
  sweep();
  std::lock_guard lock(mutex_);
  const auto& table = entries_[static_cast<size_t>(kind)];
  for (auto entry = table.upper_bound(after); entry != table.end(); ++entry)
    if (!entry->second.object.expired()) return entry->first;
  return 0;
}

void ObjectTable::add_pin(const std::shared_ptr<DeviceObject>& object) {
  std::lock_guard lock(mutex_);
  ++object->pins;
}

void ObjectTable::drop_pin(const std::shared_ptr<DeviceObject>& object) {
  bool last;
  {
    std::lock_guard lock(mutex_);
    --object->pins;
    last = object->pins == 0 && !entries_[static_cast<size_t>(object->kind)][object->id].held;
  }
  if (last) user_gone(*object);
}

// A program array whose users are gone lets its programs go, as the kernel's map_release_uref does; otherwise a program
// that tail-calls through an array it is itself in would never be freed.
void ObjectTable::user_gone(DeviceObject& object) const {
  if (object.kind != ObjectKind::kMap) return;
  auto& map = *static_cast<MapObject&>(object).map;
  if (map.spec().type != arch::ebpf::kMapProgArray) return;
  for (uint32_t key = 0; key < map.spec().max_entries; ++key) map.host_erase(&key);
}

// One pass; true when it let go of something (which may have held something else).
bool ObjectTable::sweep_once() {
  std::vector<std::shared_ptr<DeviceObject>> dropped;
  std::vector<DeviceObject*> without_users;
  {
    std::lock_guard lock(mutex_);
    for (auto& table : entries_) {
      for (auto entry = table.begin(); entry != table.end();) {
        auto& held = entry->second.held;
        if (held && !held->handle.is_held()) {
          if (held->pins == 0) without_users.push_back(held.get());
          dropped.push_back(std::move(held));
        }
        entry = !entry->second.held && entry->second.object.expired() ? table.erase(entry) : std::next(entry);
      }
    }
    std::erase_if(by_inode_, [](const auto& item) { return item.second.expired(); });
    left_by_sweep_ = static_cast<uint32_t>(by_inode_.size() - dropped.size());
  }
  for (DeviceObject* object : without_users) user_gone(*object);
  return !dropped.empty();
}

void ObjectTable::sweep() {
  while (sweep_once()) {
  }
}

}  // namespace xnic::device
