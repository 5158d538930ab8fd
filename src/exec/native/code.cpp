// SPDX-License-Identifier: Apache-2.0
#include "exec/native/code.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xnic::exec::native {

using base::ErrorKind;
using base::make_error;

base::Result<std::unique_ptr<Code>> Code::make(const arch::native::Image& image, const Resolve& resolve) {
  std::vector<uint64_t> addresses;
  addresses.reserve(image.symbols.size());
  std::unique_ptr<Code> code(new Code());
  code->bytes_ = (image.blob.size() + 4095) / 4096 * 4096;
  void* memory = mmap(nullptr, code->bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return make_error(ErrorKind::kIo, "native", "no memory for code: {}", std::strerror(errno));
  code->memory_ = static_cast<uint8_t*>(memory);
  for (const arch::native::Symbol& symbol : image.symbols) {
    const auto address = symbol.kind == arch::native::Symbol::Kind::kImage
                             ? std::optional(reinterpret_cast<uint64_t>(memory))
                             : resolve(symbol);
    if (!address) {
      return make_error(ErrorKind::kBadInput, "native", "the code wants {} {} {}, which this engine does not have",
                        static_cast<int>(symbol.kind), symbol.index, symbol.name);
    }
    addresses.push_back(*address);
  }
  std::memcpy(memory, image.blob.data(), image.blob.size());
  for (const arch::native::Fixup& fixup : image.fixups)
    base::store(code->memory_ + fixup.offset, addresses[fixup.symbol] + static_cast<uint64_t>(fixup.addend));
  if (mprotect(memory, code->bytes_, PROT_READ | PROT_EXEC) != 0)
    return make_error(ErrorKind::kIo, "native", "memory cannot be made executable: {}", std::strerror(errno));
  code->program_ = image.program;
  code->batch_ = image.batch;
  code->callbacks_ = image.callbacks;
  return code;
}

Code::~Code() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

CallbackEntry Code::callback(uint32_t slot) const {
  const auto at = std::lower_bound(callbacks_.begin(), callbacks_.end(), slot,
                                   [](const arch::native::Callback& c, uint32_t s) { return c.slot < s; });
  if (at == callbacks_.end() || at->slot != slot) return nullptr;
  return reinterpret_cast<CallbackEntry>(memory_ + at->offset);
}

}  // namespace xnic::exec::native
