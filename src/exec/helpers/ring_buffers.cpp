// SPDX-License-Identifier: Apache-2.0
// Helpers on ring buffers and user ring buffers (kernel/bpf/ringbuf.c). A reservation is lent to the program until it
// is submitted or discarded.
#include "exec/maps/ringbuf.hpp"

#include "exec/helpers/call.hpp"
#include "exec/helpers/dynptr.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint64_t kWakeupFlags = maps::RingbufMap::kNoWakeup | maps::RingbufMap::kForceWakeup;
constexpr int kMaxDrainedSamples = 128 * 1024;  // kernel BPF_MAX_USER_RINGBUF_SAMPLES

maps::RingbufMap& ring(uint64_t map) { return static_cast<maps::RingbufMap&>(map_of(map)); }

void commit(HelperContext& ctx, uint64_t sample, uint64_t flags, bool discard) {
  maps::RingbufMap* owner = maps::RingbufMap::of_sample(pointer<void>(sample));
  if (owner == nullptr) return;
  ctx.take_back(sample, 1);
  owner->commit(pointer<void>(sample), flags, discard);
}

void commit_dynptr(HelperContext& ctx, uint64_t at, uint64_t flags, bool discard) {
  const Dynptr dynptr = Dynptr::at(at);
  Dynptr{}.put(at);
  if (dynptr.data == 0) return;
  ctx.take_back(dynptr.data, dynptr.size);
  commit(ctx, dynptr.data, flags, discard);
}

// The callback's result, or -errno of the ring.
int64_t drain_one(HelperContext& ctx, maps::RingbufMap& from, uint64_t callback, uint64_t data) {
  void* sample = nullptr;
  uint32_t bytes = 0;
  if (const int error = from.next_user_sample(&sample, &bytes); error != 0) return error;
  Dynptr dynptr{address(sample), bytes, 0};
  ctx.lend(address(&dynptr), sizeof dynptr);
  const int64_t result = static_cast<int64_t>(ctx.invoke(ctx, callback, address(&dynptr), data, 0, 0, 0));
  ctx.take_back(address(&dynptr), sizeof dynptr);
  ctx.take_back(address(sample), bytes);
  from.release_user_sample(bytes);
  return result != 0 ? 1 : 0;
}

}  // namespace

uint64_t ringbuf_output(HelperContext&, uint64_t map, uint64_t data, uint64_t bytes, uint64_t flags, uint64_t) {
  return integer(ring(map).output(pointer<const void>(data), bytes, flags));
}

uint64_t ringbuf_reserve(HelperContext& ctx, uint64_t map, uint64_t bytes, uint64_t flags, uint64_t, uint64_t) {
  if (flags != 0) return 0;
  const uint64_t sample = address(ring(map).reserve(bytes));
  if (sample != 0) ctx.lend(sample, bytes);
  return sample;
}

uint64_t ringbuf_submit(HelperContext& ctx, uint64_t sample, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  commit(ctx, sample, flags, false);
  return 0;
}

uint64_t ringbuf_discard(HelperContext& ctx, uint64_t sample, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  commit(ctx, sample, flags, true);
  return 0;
}

uint64_t ringbuf_query(HelperContext&, uint64_t map, uint64_t flag, uint64_t, uint64_t, uint64_t) {
  return ring(map).query(flag);
}

uint64_t ringbuf_reserve_dynptr(HelperContext&, uint64_t map, uint64_t bytes, uint64_t flags, uint64_t dynptr,
                                uint64_t) {
  const uint32_t size = static_cast<uint32_t>(bytes);
  Dynptr{}.put(dynptr);
  if (flags != 0) return fail(EINVAL);
  if (size > kMaxDynptrBytes) return fail(E2BIG);
  const uint64_t sample = address(ring(map).reserve(size));
  if (sample == 0) return fail(EINVAL);
  Dynptr{sample, size, 0}.put(dynptr);
  return 0;
}

uint64_t ringbuf_submit_dynptr(HelperContext& ctx, uint64_t dynptr, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  commit_dynptr(ctx, dynptr, flags, false);
  return 0;
}

uint64_t ringbuf_discard_dynptr(HelperContext& ctx, uint64_t dynptr, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  commit_dynptr(ctx, dynptr, flags, true);
  return 0;
}

// The number of samples taken, the one whose callback asked to stop included; samples the host discarded do not count.
uint64_t user_ringbuf_drain(HelperContext& ctx, uint64_t map, uint64_t callback, uint64_t data, uint64_t flags,
                            uint64_t) {
  if ((flags & ~kWakeupFlags) != 0) return fail(EINVAL);
  maps::RingbufMap& from = ring(map);
  if (!from.begin_drain()) return fail(EBUSY);
  int64_t taken = 0;
  int64_t result = 0;
  for (int seen = 0; seen < kMaxDrainedSamples && result == 0 && !ctx.stopped; ++seen) {
    result = drain_one(ctx, from, callback, data);
    if (result >= 0) ++taken;
    if (result == -EAGAIN) result = 0;
  }
  from.end_drain();
  return result >= 0 || result == -ENODATA ? integer(taken) : integer(result);
}

}  // namespace xnic::exec::helpers
