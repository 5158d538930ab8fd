// SPDX-License-Identifier: Apache-2.0
// The printf dialect of bpf_trace_printk and bpf_snprintf (kernel/bpf/helpers.c, bpf_bprintf_prepare; lib/vsprintf.c).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "exec/helpers/helper_context.hpp"

namespace xnic::exec::helpers {

// Formats into `out` (appended). Understands %% %c %s %d %i %u %x %X with l, ll, field width and the flags 0 - + space;
// %p %px %pK; %pI4 %pi4 %pI6 %pi6. Strings (%s, %pks) are read from memory that the card owns. Returns 0, or -EINVAL
// for another conversion or when arguments are too few.
int format(HelperContext& ctx, std::string_view pattern, std::span<const uint64_t> arguments, std::string& out);

// Length of the NUL-terminated string at `at`, at most `limit`; -EFAULT when it leaves the memory that the card owns.
int64_t string_length(HelperContext& ctx, uint64_t at, uint64_t limit);

// True if [at, at + bytes) is memory of the card that programs may read: packet, map values, lent memory, stack.
bool readable(HelperContext& ctx, uint64_t at, uint64_t bytes);

}  // namespace xnic::exec::helpers
