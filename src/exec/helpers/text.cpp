// SPDX-License-Identifier: Apache-2.0
// Helpers on text: numbers from strings, comparison, formatted output (kernel/bpf/helpers.c, kernel/trace/bpf_trace.c).
#include <algorithm>
#include <cctype>
#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/helpers/format.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint64_t kLongestNumber = 63;  // characters that the kernel looks at behind blanks and sign
constexpr size_t kLongestTrace = 1023;   // BPF_TRACE_PRINTK buffer, without the NUL
constexpr uint64_t kMaxArguments = 12;   // MAX_BPRINTF_VARARGS

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

struct Number {
  uint64_t magnitude = 0;
  bool negative = false;
};

// Characters consumed, or -errno.
int64_t parse(std::string_view text, uint64_t flags, Number& number) {
  unsigned base = static_cast<unsigned>(flags & 0x1f);
  if (text.empty() || (flags & ~uint64_t{0x1f}) != 0 || (base != 0 && base != 8 && base != 10 && base != 16))
    return -EINVAL;
  size_t at = 0;
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) ++at;
  number.negative = at < text.size() && text[at] == '-';
  if (number.negative) ++at;
  if (at == text.size()) return -EINVAL;
  std::string_view rest = text.substr(at, kLongestNumber);
  rest = rest.substr(0, rest.find('\0'));
  const bool hex = rest.size() > 1 && rest[0] == '0' && (rest[1] == 'x' || rest[1] == 'X');
  if (base == 0) {
    base = 10;
    if (!rest.empty() && rest[0] == '0') base = hex && rest.size() > 2 && digit_value(rest[2]) < 16 ? 16 : 8;
  }
  if (base == 16 && hex) {
    at += 2;
    rest.remove_prefix(2);
  }
  size_t digits = 0;
  bool overflow = false;
  for (; digits < rest.size() && digit_value(rest[digits]) < static_cast<int>(base); ++digits) {
    uint64_t scaled = 0;
    overflow |= __builtin_mul_overflow(number.magnitude, uint64_t{base}, &scaled);
    overflow |= __builtin_add_overflow(scaled, static_cast<uint64_t>(digit_value(rest[digits])), &number.magnitude);
  }
  if (overflow) return -ERANGE;
  if (digits == 0) return -EINVAL;
  return static_cast<int64_t>(at + digits);
}

std::string_view text_at(uint64_t at, uint64_t bytes) { return {pointer<const char>(at), static_cast<size_t>(bytes)}; }

// Formats a trace line; the length without the NUL, as the kernel returns it, or -errno.
int64_t trace(HelperContext& ctx, std::string_view pattern, std::span<const uint64_t> arguments) {
  if (pattern.empty() || pattern.back() != '\0') return -EINVAL;
  pattern = pattern.substr(0, pattern.find('\0'));
  std::string line;
  if (const int error = format(ctx, pattern, arguments, line); error != 0) return error;
  line.resize(std::min(line.size(), kLongestTrace));
  const int64_t length = static_cast<int64_t>(line.size());
  ctx.state->trace += line;
  if (line.empty() || line.back() != '\n') ctx.state->trace += '\n';
  return length;
}

// The u64 array of arguments of trace_vprintk and snprintf. False when the kernel refuses it.
bool take_arguments(uint64_t data, uint32_t bytes, std::vector<uint64_t>& arguments) {
  if (bytes % 8 != 0 || bytes / 8 > kMaxArguments || (bytes != 0 && data == 0)) return false;
  arguments.resize(bytes / 8);
  if (bytes != 0) std::memcpy(arguments.data(), pointer<const void>(data), bytes);
  return true;
}

}  // namespace

uint64_t strtol(HelperContext&, uint64_t text, uint64_t bytes, uint64_t flags, uint64_t result, uint64_t) {
  Number number;
  base::store<int64_t>(pointer<void>(result), 0);
  const int64_t consumed = parse(text_at(text, bytes), flags, number);
  if (consumed < 0) return integer(consumed);
  constexpr uint64_t kSmallest = uint64_t{1} << 63;
  if (number.magnitude > (number.negative ? kSmallest : kSmallest - 1)) return fail(ERANGE);
  const uint64_t value = number.negative ? uint64_t{0} - number.magnitude : number.magnitude;
  base::store<uint64_t>(pointer<void>(result), value);
  return integer(consumed);
}

uint64_t strtoul(HelperContext&, uint64_t text, uint64_t bytes, uint64_t flags, uint64_t result, uint64_t) {
  Number number;
  base::store<uint64_t>(pointer<void>(result), 0);
  const int64_t consumed = parse(text_at(text, bytes), flags, number);
  if (consumed < 0) return integer(consumed);
  if (number.negative) return fail(EINVAL);
  base::store<uint64_t>(pointer<void>(result), number.magnitude);
  return integer(consumed);
}

uint64_t strncmp(HelperContext&, uint64_t text, uint64_t bytes, uint64_t constant, uint64_t, uint64_t) {
  const auto* a = pointer<const unsigned char>(text);
  const auto* b = pointer<const unsigned char>(constant);
  for (uint32_t left = static_cast<uint32_t>(bytes); left != 0; --left, ++a, ++b) {
    if (*a != *b) return integer(*a < *b ? -1 : 1);
    if (*a == '\0') break;
  }
  return 0;
}

uint64_t trace_printk(HelperContext& ctx, uint64_t pattern, uint64_t bytes, uint64_t a, uint64_t b, uint64_t c) {
  const uint64_t arguments[] = {a, b, c};
  return integer(trace(ctx, text_at(pattern, static_cast<uint32_t>(bytes)), arguments));
}

uint64_t trace_vprintk(HelperContext& ctx, uint64_t pattern, uint64_t bytes, uint64_t data, uint64_t data_bytes,
                       uint64_t) {
  std::vector<uint64_t> arguments;
  if (!take_arguments(data, static_cast<uint32_t>(data_bytes), arguments)) return fail(EINVAL);
  return integer(trace(ctx, text_at(pattern, static_cast<uint32_t>(bytes)), arguments));
}

// Returns the length the whole text needs, with the NUL; writes what fits.
uint64_t snprintf(HelperContext& ctx, uint64_t buffer, uint64_t room, uint64_t pattern, uint64_t data,
                  uint64_t data_bytes) {
  std::vector<uint64_t> arguments;
  if (!take_arguments(data, static_cast<uint32_t>(data_bytes), arguments)) return fail(EINVAL);
  std::string text;
  const int error = format(ctx, pointer<const char>(pattern), arguments, text);
  if (error != 0) return integer(error);
  const uint32_t bytes = static_cast<uint32_t>(room);
  if (bytes != 0) {
    const size_t copied = std::min<size_t>(text.size(), bytes - 1);
    std::memcpy(pointer<char>(buffer), text.data(), copied);
    pointer<char>(buffer)[copied] = '\0';
  }
  return text.size() + 1;
}

}  // namespace xnic::exec::helpers
