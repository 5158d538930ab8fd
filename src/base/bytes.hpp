// SPDX-License-Identifier: Apache-2.0
// Unaligned loads and stores in a stated byte order, and the span type for raw bytes.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>

namespace xnic::base {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

template <std::unsigned_integral T>
constexpr T byte_swap(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

// Loads a T at `at` in host byte order; `at` needs no alignment.
template <std::integral T>
T load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <std::integral T>
void store(void* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

template <std::unsigned_integral T>
constexpr T from_be(T value) {
  return std::endian::native == std::endian::little ? byte_swap(value) : value;
}
template <std::unsigned_integral T>
constexpr T from_le(T value) {
  return std::endian::native == std::endian::little ? value : byte_swap(value);
}

// Big-endian (network order) and little-endian forms; the conversion is its own inverse.
template <std::unsigned_integral T>
T load_be(const void* at) {
  return from_be(load<T>(at));
}
template <std::unsigned_integral T>
void store_be(void* at, T value) {
  store(at, from_be(value));
}
template <std::unsigned_integral T>
T load_le(const void* at) {
  return from_le(load<T>(at));
}
template <std::unsigned_integral T>
void store_le(void* at, T value) {
  store(at, from_le(value));
}

}  // namespace xnic::base
