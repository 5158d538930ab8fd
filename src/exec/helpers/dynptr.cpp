// SPDX-License-Identifier: Apache-2.0
// Dynptrs over map values (kernel/bpf/helpers.c): memory whose size is known only at run time, with checked accesses.
#include "exec/helpers/dynptr.hpp"

#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {

uint64_t dynptr_from_mem(HelperContext&, uint64_t data, uint64_t bytes, uint64_t flags, uint64_t dynptr, uint64_t) {
  const uint32_t size = static_cast<uint32_t>(bytes);
  Dynptr{}.put(dynptr);
  if (size > kMaxDynptrBytes) return fail(E2BIG);
  if (flags != 0) return fail(EINVAL);
  Dynptr{data, size, 0}.put(dynptr);
  return 0;
}

uint64_t dynptr_read(HelperContext&, uint64_t to, uint64_t bytes, uint64_t dynptr, uint64_t offset, uint64_t flags) {
  const Dynptr source = Dynptr::at(dynptr);
  const uint32_t count = static_cast<uint32_t>(bytes);
  const uint32_t from = static_cast<uint32_t>(offset);
  if (source.data == 0 || flags != 0) return fail(EINVAL);
  if (!source.holds(from, count)) return fail(E2BIG);
  std::memmove(pointer<void>(to), pointer<const void>(source.data + from), count);
  return 0;
}

uint64_t dynptr_write(HelperContext&, uint64_t dynptr, uint64_t offset, uint64_t from, uint64_t bytes, uint64_t flags) {
  const Dynptr target = Dynptr::at(dynptr);
  const uint32_t count = static_cast<uint32_t>(bytes);
  const uint32_t at = static_cast<uint32_t>(offset);
  if (target.data == 0 || target.read_only != 0) return fail(EINVAL);
  if (!target.holds(at, count)) return fail(E2BIG);
  if (flags != 0) return fail(EINVAL);
  std::memmove(pointer<void>(target.data + at), pointer<const void>(from), count);
  return 0;
}

// A slice is plain memory to the program until the dynptr ends.
uint64_t dynptr_data(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t bytes, uint64_t, uint64_t) {
  const Dynptr source = Dynptr::at(dynptr);
  const uint32_t count = static_cast<uint32_t>(bytes);
  const uint32_t from = static_cast<uint32_t>(offset);
  if (source.data == 0 || source.read_only != 0 || !source.holds(from, count)) return 0;
  ctx.lend(source.data + from, count);
  return source.data + from;
}

}  // namespace xnic::exec::helpers
