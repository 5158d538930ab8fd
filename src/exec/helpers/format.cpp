// SPDX-License-Identifier: Apache-2.0
#include "exec/helpers/format.hpp"

#include <fmt/core.h>

#include <cctype>
#include <cstring>

#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

// One conversion, "%-08llx" for example, taken apart.
struct Conversion {
  bool left = false;
  bool plus = false;
  bool space = false;
  bool zeros = false;
  unsigned width = 0;
  unsigned longs = 0;
  char kind = 0;
  std::string_view extension;  // the letters after %p
};

// Takes a conversion off the front of `rest` (behind the '%'). False when it is none.
bool take(std::string_view& rest, Conversion& conversion) {
  const auto next = [&] {
    const char c = rest.empty() ? '\0' : rest.front();
    if (!rest.empty()) rest.remove_prefix(1);
    return c;
  };
  char c = next();
  for (;; c = next()) {
    if (c == '-')
      conversion.left = true;
    else if (c == '+')
      conversion.plus = true;
    else if (c == ' ')
      conversion.space = true;
    else if (c == '0')
      conversion.zeros = true;
    else
      break;
  }
  for (; std::isdigit(static_cast<unsigned char>(c)) != 0; c = next()) {
    if (conversion.width > 1000) return false;
    conversion.width = conversion.width * 10 + static_cast<unsigned>(c - '0');
  }
  for (; c == 'l' && conversion.longs < 2; c = next()) ++conversion.longs;
  conversion.kind = c;
  if (c != 'p') return c != '\0';
  size_t letters = 0;
  for (std::string_view known : {"I4", "i4", "I6", "i6", "ks", "us", "x", "K", "B", "s", "S"}) {
    if (rest.substr(0, known.size()) == known) {
      letters = known.size();
      break;
    }
  }
  conversion.extension = rest.substr(0, letters);
  rest.remove_prefix(letters);
  return true;
}

void pad(const Conversion& c, std::string_view sign, std::string_view text, std::string& out) {
  const size_t length = sign.size() + text.size();
  const size_t missing = c.width > length ? c.width - length : 0;
  const bool zeros = c.zeros && !c.left && c.kind != 's' && c.kind != 'c';
  if (!c.left && !zeros) out.append(missing, ' ');
  out += sign;
  if (zeros) out.append(missing, '0');
  out += text;
  if (c.left) out.append(missing, ' ');
}

std::string number_text(uint64_t value, char kind) {
  if (kind == 'x' || kind == 'p') return fmt::format("{:x}", value);
  return kind == 'X' ? fmt::format("{:X}", value) : fmt::format("{}", value);
}

void number(const Conversion& c, uint64_t argument, std::string& out) {
  if (c.kind != 'd' && c.kind != 'i') {
    pad(c, "", number_text(c.longs == 0 ? static_cast<uint32_t>(argument) : argument, c.kind), out);
    return;
  }
  const int64_t value = c.longs == 0 ? static_cast<int32_t>(argument) : static_cast<int64_t>(argument);
  const uint64_t magnitude = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const std::string_view sign = value < 0 ? "-" : c.plus ? "+" : c.space ? " " : "";
  pad(c, sign, number_text(magnitude, c.kind), out);
}

int string(HelperContext& ctx, const Conversion& c, uint64_t argument, std::string& out) {
  constexpr uint64_t kLongest = 511;
  const int64_t length = string_length(ctx, argument, kLongest);
  if (length < 0) {
    pad(c, "", "", out);  // the kernel prints nothing for a string it cannot read
    return 0;
  }
  pad(c, "", std::string_view(pointer<const char>(argument), static_cast<size_t>(length)), out);
  return 0;
}

// %pI4 and relatives: the argument points to the address in network order.
int internet(HelperContext& ctx, const Conversion& c, uint64_t argument, std::string& out) {
  const bool six = c.extension[1] == '6';
  uint8_t bytes[16] = {};
  if (readable(ctx, argument, six ? 16 : 4)) std::memcpy(bytes, pointer<const void>(argument), six ? 16 : 4);
  std::string text;
  if (!six) {
    text = fmt::format("{}.{}.{}.{}", bytes[0], bytes[1], bytes[2], bytes[3]);
    if (c.extension[0] == 'i') text = fmt::format("{:03}.{:03}.{:03}.{:03}", bytes[0], bytes[1], bytes[2], bytes[3]);
  } else {
    for (int i = 0; i < 16; ++i) {
      if (i % 2 == 0 && i != 0 && c.extension[0] == 'I') text += ':';
      text += "0123456789abcdef"[bytes[i] >> 4];
      text += "0123456789abcdef"[bytes[i] & 15];
    }
  }
  pad(c, "", text, out);
  return 0;
}

int convert(HelperContext& ctx, const Conversion& c, uint64_t argument, std::string& out) {
  switch (c.kind) {
    case 'c':
      if (c.longs != 0) return -EINVAL;
      pad(c, "", std::string(1, static_cast<char>(argument)), out);
      return 0;
    case 's':
      return c.longs != 0 ? -EINVAL : string(ctx, c, argument, out);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
      number(c, argument, out);
      return 0;
    case 'p':
      if (c.longs != 0) return -EINVAL;
      if (c.extension == "ks" || c.extension == "us") return string(ctx, c, argument, out);
      if (!c.extension.empty() && (c.extension[0] == 'I' || c.extension[0] == 'i'))
        return internet(ctx, c, argument, out);
      pad(c, "", number_text(argument, c.kind), out);
      return 0;
    default:
      return -EINVAL;
  }
}

bool inside(uint64_t at, uint64_t bytes, uint64_t first, uint64_t size) {
  return at >= first && bytes <= size && at - first <= size - bytes;
}

}  // namespace

int format(HelperContext& ctx, std::string_view pattern, std::span<const uint64_t> arguments, std::string& out) {
  size_t used = 0;
  while (!pattern.empty()) {
    const char c = pattern.front();
    pattern.remove_prefix(1);
    if (static_cast<unsigned char>(c) >= 0x80) return -EINVAL;
    if (c != '%') {
      out += c;
      continue;
    }
    if (pattern.substr(0, 1) == "%") {
      out += '%';
      pattern.remove_prefix(1);
      continue;
    }
    Conversion conversion;
    if (!take(pattern, conversion) || used >= arguments.size()) return -EINVAL;
    if (const int error = convert(ctx, conversion, arguments[used++], out); error != 0) return error;
  }
  return 0;
}

bool readable(HelperContext& ctx, uint64_t at, uint64_t bytes) {
  const packet::Packet& packet = *ctx.packet;
  if (inside(at, bytes, address(packet.data_meta), static_cast<uint64_t>(packet.data_end - packet.data_meta)))
    return true;
  for (const LentMemory& memory : ctx.lent) {
    if (inside(at, bytes, memory.address, memory.bytes)) return true;
  }
  if (ctx.stack_bytes != 0 && inside(at, bytes, ctx.stack, ctx.stack_bytes)) return true;
  for (const auto& map : ctx.program->maps) {
    if (map->owns(pointer<const void>(at), bytes)) return true;
  }
  for (const auto& map : ctx.held_maps) {
    if (map->owns(pointer<const void>(at), bytes)) return true;
  }
  return false;
}

int64_t string_length(HelperContext& ctx, uint64_t at, uint64_t limit) {
  for (uint64_t length = 0; length < limit; ++length) {
    if (!readable(ctx, at + length, 1)) return -EFAULT;
    if (*pointer<const char>(at + length) == '\0') return static_cast<int64_t>(length);
  }
  return static_cast<int64_t>(limit);
}

}  // namespace xnic::exec::helpers
