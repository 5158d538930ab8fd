// SPDX-License-Identifier: Apache-2.0
// Code: an image in executable memory.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "arch/native/image.hpp"
#include "exec/native/run.hpp"

namespace xnic::exec::native {

// The address of a symbol; nothing: it is not known.
using Resolve = std::function<std::optional<uint64_t>(const arch::native::Symbol&)>;

// Memory is written first and made executable after, never both at once.
class Code {
 public:
  // Pre: `image` was compiled here or decoded (its offsets lie inside the blob). Errors: kBadInput for a symbol that
  // nobody knows, kIo when the system gives no memory.
  static base::Result<std::unique_ptr<Code>> make(const arch::native::Image& image, const Resolve& resolve);
  ~Code();
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  ProgramEntry program() const { return reinterpret_cast<ProgramEntry>(memory_ + program_); }
  BatchEntry batch() const { return reinterpret_cast<BatchEntry>(memory_ + batch_); }
  // The subprogram that starts at `slot`, or null when it is no callback.
  CallbackEntry callback(uint32_t slot) const;
  size_t bytes() const { return bytes_; }

 private:
  Code() = default;
  uint8_t* memory_ = nullptr;
  size_t bytes_ = 0;
  uint32_t program_ = 0;
  uint32_t batch_ = 0;
  std::vector<arch::native::Callback> callbacks_;  // by slot
};

}  // namespace xnic::exec::native
