// SPDX-License-Identifier: Apache-2.0
// bpf_timer. A timer is a record in HelperState under the handle that its field in the map value holds; the engine asks
// for due timers when time passes. A field that no longer holds its handle (element deleted or reused) ends the timer.
#include <atomic>
#include <ctime>

#include "arch/ebpf/map_types.hpp"
#include "base/bytes.hpp"
#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {

namespace {

// Where the key of the element lies is the map's secret; keys are tried until one leads to the value. Timers are rare.
bool find_key(maps::Map& map, uint64_t value, uint32_t cpu, std::vector<uint8_t>& key) {
  const uint32_t key_size = map.spec().key_size;
  key.assign(key_size, 0);
  std::vector<uint8_t> previous;
  while (map.host_next_key(previous.empty() ? nullptr : previous.data(), key.data()) == 0) {
    if (address(map.lookup(key.data(), cpu)) == value) return true;
    previous = key;
  }
  return false;
}

}  // namespace

std::optional<DueTimer> HelperState::take_due(const RunContext& context) {
  const uint64_t now = now_ns(&context);
  for (;;) {
    auto first = timers.end();
    for (auto it = timers.begin(); it != timers.end(); ++it) {
      if (it->second.armed && it->second.due_ns <= now &&
          (first == timers.end() || it->second.due_ns < first->second.due_ns))
        first = it;
    }
    if (first == timers.end()) return std::nullopt;
    Timer& timer = first->second;
    timer.armed = false;
    const uint64_t value = timer.address - static_cast<uint64_t>(timer.map->spec().timer_offset);
    if (base::load<uint64_t>(pointer<void>(timer.address)) != first->first ||
        !find_key(*timer.map, value, context.cpu, due_key)) {
      timers.erase(first);
      continue;
    }
    if (timer.program == nullptr) continue;
    running_timer = first->first;
    return DueTimer{timer.program, timer.callback, address(timer.map), address(due_key.data()), due_key.size(), value};
  }
}

namespace {

// Handles are unique in the process, since engines with a state each may share a map.
uint64_t next_handle() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

Timer* timer_at(HelperContext& ctx, uint64_t field, uint64_t* handle = nullptr) {
  const uint64_t value = base::load<uint64_t>(pointer<void>(field));
  if (handle != nullptr) *handle = value;
  const auto found = value == 0 ? ctx.state->timers.end() : ctx.state->timers.find(value);
  return found != ctx.state->timers.end() && found->second.address == field ? &found->second : nullptr;
}

}  // namespace

// Every clock that a timer may name is the run's one clock.
uint64_t timer_init(HelperContext& ctx, uint64_t field, uint64_t map, uint64_t flags, uint64_t, uint64_t) {
  if (flags != CLOCK_MONOTONIC && flags != CLOCK_REALTIME && flags != CLOCK_BOOTTIME) return fail(EINVAL);
  if (timer_at(ctx, field) != nullptr) return fail(EBUSY);
  const uint64_t handle = next_handle();
  Timer timer;
  timer.address = field;
  timer.map = &map_of(map);
  ctx.state->timers.emplace(handle, timer);
  base::store(pointer<void>(field), handle);
  return 0;
}

uint64_t timer_set_callback(HelperContext& ctx, uint64_t field, uint64_t callback, uint64_t, uint64_t, uint64_t) {
  Timer* timer = timer_at(ctx, field);
  if (timer == nullptr) return fail(EINVAL);
  timer->program = ctx.program;
  timer->callback = callback;
  return 0;
}

uint64_t timer_start(HelperContext& ctx, uint64_t field, uint64_t ns, uint64_t flags, uint64_t, uint64_t) {
  constexpr uint64_t kAbsolute = 1;
  constexpr uint64_t kPinned = 2;
  if ((flags & ~(kAbsolute | kPinned)) != 0) return fail(EINVAL);
  Timer* timer = timer_at(ctx, field);
  if (timer == nullptr || timer->program == nullptr) return fail(EINVAL);
  timer->armed = true;
  timer->due_ns = (flags & kAbsolute) != 0 ? ns : now_ns(ctx.run) + ns;
  return 0;
}

// 1 if the timer was armed. The callback is forgotten, as the kernel drops its program.
uint64_t timer_cancel(HelperContext& ctx, uint64_t field, uint64_t, uint64_t, uint64_t, uint64_t) {
  uint64_t handle = 0;
  Timer* timer = timer_at(ctx, field, &handle);
  if (timer == nullptr) return fail(EINVAL);
  if (handle == ctx.state->running_timer) return fail(EDEADLK);
  const bool armed = timer->armed;
  timer->armed = false;
  timer->program = nullptr;
  return armed ? 1 : 0;
}

}  // namespace xnic::exec::helpers
