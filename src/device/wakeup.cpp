// SPDX-License-Identifier: Apache-2.0
// Ring and perf buffers, as other processes read them: their size, and being told of data.
#include <bit>
#include <cerrno>

#include "arch/ebpf/map_types.hpp"
#include "device/state.hpp"
#include "exec/maps/perf_event_array.hpp"

namespace xnic::device {
namespace {

constexpr uint64_t kMaxDataPages = 1u << 14;  // 64 MiB

// A perf ring whose reader is told of each sample.
class SignalledRing final : public exec::maps::EventSink {
 public:
  SignalledRing(std::shared_ptr<exec::maps::PerfRing> ring, std::shared_ptr<Wakeup> wakeup)
      : ring_(std::move(ring)), wakeup_(std::move(wakeup)) {}
  int write(base::Bytes head, base::Bytes tail) override {
    const int result = ring_->write(head, tail);
    wakeup_->signal();
    return result;
  }

 private:
  const std::shared_ptr<exec::maps::PerfRing> ring_;
  const std::shared_ptr<Wakeup> wakeup_;
};

}  // namespace

int Device::open_perf_buffer(uint32_t uid) {
  auto object = std::make_shared<PerfBufferObject>();
  object->uid = uid;
  if (int error = state_->objects.make_handle(*object, "xnic-perf")) return error;
  object->id = state_->objects.allocate_id(ObjectKind::kPerfBuffer);
  return state_->objects.publish(object, Access::kReadWrite);
}

int Device::size_perf_buffer(const FileIdentity& identity, uint64_t data_pages) {
  const auto object = state_->objects.find(identity);
  if (!object || object->kind != ObjectKind::kPerfBuffer) return -EBADF;
  auto& buffer = static_cast<PerfBufferObject&>(*object);
  std::lock_guard lock(buffer.mutex);
  if (buffer.sink) return buffer.data_pages == data_pages ? 0 : -EINVAL;
  if (data_pages > kMaxDataPages || !std::has_single_bit(data_pages)) return -EINVAL;
  auto ring = exec::maps::PerfRing::make(static_cast<uint32_t>(data_pages), buffer.handle.own_fd());
  if (!ring) return -ENOMEM;
  buffer.handle.seal_size();
  buffer.data_pages = static_cast<uint32_t>(data_pages);
  buffer.sink = std::make_shared<SignalledRing>(std::move(ring), buffer.wakeup);
  return 0;
}

int Device::wakeup(const FileIdentity& identity) const {
  const auto object = state_->objects.find(identity);
  if (!object) return -EBADF;
  Wakeup* wakeup = nullptr;
  if (object->kind == ObjectKind::kPerfBuffer) wakeup = static_cast<PerfBufferObject&>(*object).wakeup.get();
  if (object->kind == ObjectKind::kMap) {
    auto& map = static_cast<MapObject&>(*object);
    if (map.map->spec().type == arch::ebpf::kMapRingbuf) wakeup = map.wakeup.get();
  }
  if (wakeup == nullptr) return -EPERM;  // as epoll_ctl says of what cannot be waited for
  const int fd = wakeup->descriptor();
  wakeup->signal();  // there may be data already: who waits looks once
  return fd;
}

}  // namespace xnic::device
