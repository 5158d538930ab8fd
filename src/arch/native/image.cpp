// SPDX-License-Identifier: Apache-2.0
// Stored form: magic, version, 16 bytes of checksum over what follows, then counts and tables in host order (an image
// is for one machine). decode() checks lengths before it reads, and every offset and index, so that a file that
// somebody changed gives an error and never a wild write.
#include "arch/native/image.hpp"

#include <type_traits>

#include "arch/native/digest.hpp"

namespace xnic::arch::native {
namespace {

using base::ErrorKind;
using base::make_error;

constexpr uint64_t kMagic = 0x0065646f63696e78;  // "xnicode"
constexpr size_t kHeaderBytes = 8 + 8 + sizeof(Digest);
constexpr uint32_t kMaxBlobBytes = 1u << 30;

class Writer {
 public:
  template <class T>
  void put(T value) {
    static_assert(std::is_integral_v<T>);
    append(&value, sizeof value);
  }
  void put_bytes(const void* at, size_t count) {
    put(static_cast<uint32_t>(count));
    append(at, count);
  }
  void append(const void* at, size_t count) {
    const size_t before = bytes.size();
    bytes.resize(before + count);
    if (count != 0) std::memcpy(bytes.data() + before, at, count);
  }
  std::vector<uint8_t> bytes;
};

class Reader {
 public:
  explicit Reader(base::Bytes bytes) : left_(bytes) {}
  template <class T>
  bool get(T& value) {
    if (left_.size() < sizeof value) return false;
    value = base::load<T>(left_.data());
    left_ = left_.subspan(sizeof value);
    return true;
  }
  bool get_bytes(base::Bytes& bytes) {
    uint32_t count = 0;
    if (!get(count) || left_.size() < count) return false;
    bytes = left_.first(count);
    left_ = left_.subspan(count);
    return true;
  }
  // A count of records that take at least `least` bytes each.
  bool get_count(uint32_t& count, size_t least) { return get(count) && count <= left_.size() / least; }
  bool empty() const { return left_.empty(); }

 private:
  base::Bytes left_;
};

bool get_symbol(Reader& in, Symbol& symbol) {
  uint8_t kind = 0;
  base::Bytes name;
  if (!in.get(kind) || kind > static_cast<uint8_t>(Symbol::Kind::kRuntime)) return false;
  symbol.kind = static_cast<Symbol::Kind>(kind);
  if (!in.get(symbol.index) || !in.get(symbol.part) || !in.get_bytes(name)) return false;
  symbol.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  return true;
}

bool get_tables(Reader& in, Image& image) {
  uint32_t count = 0;
  if (!in.get_count(count, 13)) return false;
  image.symbols.resize(count);
  for (Symbol& symbol : image.symbols)
    if (!get_symbol(in, symbol)) return false;
  if (!in.get_count(count, 16)) return false;
  image.fixups.resize(count);
  for (Fixup& fixup : image.fixups) {
    if (!in.get(fixup.offset) || !in.get(fixup.symbol) || !in.get(fixup.addend)) return false;
    if (image.blob.size() < 8 || fixup.offset > image.blob.size() - 8 || fixup.symbol >= image.symbols.size())
      return false;
  }
  if (!in.get_count(count, 8)) return false;
  image.callbacks.resize(count);
  for (Callback& callback : image.callbacks) {
    if (!in.get(callback.slot) || !in.get(callback.offset) || callback.offset >= image.blob.size()) return false;
  }
  return true;
}

}  // namespace

std::vector<uint8_t> encode(const Image& image) {
  Writer body;
  body.put(image.program);
  body.put(image.batch);
  body.put_bytes(image.blob.data(), image.blob.size());
  body.put(static_cast<uint32_t>(image.symbols.size()));
  for (const Symbol& symbol : image.symbols) {
    body.put(static_cast<uint8_t>(symbol.kind));
    body.put(symbol.index);
    body.put(symbol.part);
    body.put_bytes(symbol.name.data(), symbol.name.size());
  }
  body.put(static_cast<uint32_t>(image.fixups.size()));
  for (const Fixup& fixup : image.fixups) {
    body.put(fixup.offset);
    body.put(fixup.symbol);
    body.put(fixup.addend);
  }
  body.put(static_cast<uint32_t>(image.callbacks.size()));
  for (const Callback& callback : image.callbacks) {
    body.put(callback.slot);
    body.put(callback.offset);
  }
  const Digest digest = digest_of(body.bytes);
  Writer out;
  out.put(kMagic);
  out.put(uint64_t{kImageVersion});
  out.put(digest[0]);
  out.put(digest[1]);
  out.append(body.bytes.data(), body.bytes.size());
  return std::move(out.bytes);
}

base::Result<Image> decode(base::Bytes stored) {
  Reader header(stored);
  uint64_t magic = 0, version = 0;
  Digest digest{};
  if (!header.get(magic) || !header.get(version) || !header.get(digest[0]) || !header.get(digest[1]) ||
      magic != kMagic || version != kImageVersion)
    return make_error(ErrorKind::kBadInput, "stored image", "is none of this version");
  const base::Bytes rest = stored.subspan(kHeaderBytes);
  if (digest_of(rest) != digest) return make_error(ErrorKind::kBadInput, "stored image", "is damaged");
  Reader in(rest);
  Image image;
  base::Bytes blob;
  bool good = in.get(image.program) && in.get(image.batch) && in.get_bytes(blob) && blob.size() <= kMaxBlobBytes &&
              image.program < blob.size() && image.batch < blob.size();
  if (good) {
    image.blob.assign(blob.begin(), blob.end());
    good = get_tables(in, image) && in.empty();
  }
  if (!good) return make_error(ErrorKind::kBadInput, "stored image", "has tables that do not fit together");
  return image;
}

}  // namespace xnic::arch::native
