// SPDX-License-Identifier: Apache-2.0
#include "device/native_cache.hpp"

#include <cpuid.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace xnic::device {
namespace {

namespace fs = std::filesystem;
using arch::native::Digest;
using arch::native::Digester;
using arch::native::Image;
using arch::native::Request;

// What the CPU can do; code for another one may not run here.
void add_cpu(Digester& digester) {
  for (const unsigned leaf : {0u, 1u, 7u, 0x80000001u}) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid_count(leaf, 0, &a, &b, &c, &d);
    if (leaf == 1) b = 0, c &= ~(1u << 27);  // number of this core; the system's use of AVX is asked for below
    digester.words(a, b, c, d);
  }
  digester.word(static_cast<uint64_t>(__builtin_cpu_supports("avx") != 0));
  digester.word(static_cast<uint64_t>(__builtin_cpu_supports("avx512f") != 0));
}

void add_range(Digester& digester, const arch::ebpf::Range& range) {
  digester.words(range.bits.value, range.bits.mask, range.smin, range.smax, range.umin, range.umax);
}

void add_facts(Digester& digester, const arch::ebpf::Facts& facts) {
  using arch::ebpf::RegType;
  for (const arch::ebpf::InsnFacts& insn : facts.insns) {
    digester.word(insn.reached);
    if (!insn.reached) continue;
    digester.words(insn.packet_bytes, insn.packet_meta_bytes, insn.upper_live);
    for (const arch::ebpf::RegFact& reg : insn.regs) {
      digester.word(static_cast<uint64_t>(reg.type) | uint64_t{reg.maybe_null} << 8 | uint64_t{reg.map} << 32);
      if (reg.type == RegType::kUnset) continue;
      digester.word(uint64_t{reg.frame} << 32 | reg.mem_size);
      add_range(digester, reg.range);
    }
  }
  for (const uint32_t bytes : facts.stack_bytes) digester.word(bytes);
  digester.word(facts.may_change_packet);
}

void add_map(Digester& digester, const arch::native::MapUse& use) {
  digester.words(use.special.size(), use.fixed_values, use.one_value);
  for (const auto& [helper, special] : use.special) {
    digester.words(helper, special.arguments, special.known.size());
    digester.text(special.function);
    for (const arch::native::Known& known : special.known) digester.words(known.kind, known.value);
  }
  digester.bytes(use.frozen);
}

bool ours_alone(const struct stat& info) { return info.st_uid == geteuid() && (info.st_mode & 022) == 0; }

// Makes the folder and those above it; false when it is not ours alone.
bool make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(fs::path(folder).parent_path(), error);
  mkdir(folder.c_str(), 0700);
  struct stat info;
  return lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && ours_alone(info);
}

struct File {
  explicit File(int descriptor) : fd(descriptor) {}
  ~File() {
    if (fd >= 0) close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd;
};

constexpr off_t kMostFileBytes = 64 << 20;

}  // namespace

Digest digest_of(const Request& request) {
  Digester digester;
  digester.text(native_version());
  digester.word(arch::native::kImageVersion);
  add_cpu(digester);
  const auto& raw = request.program->raw;
  digester.bytes({reinterpret_cast<const uint8_t*>(raw.data()), raw.size() * sizeof(raw[0])});
  for (const arch::ebpf::Subprogram& sub : request.program->subprograms) digester.words(sub.first, sub.end);
  digester.word(request.facts != nullptr);
  if (request.facts != nullptr) add_facts(digester, *request.facts);
  digester.word(request.maps.size());
  for (const arch::native::MapUse& use : request.maps) add_map(digester, use);
  for (const arch::native::PacketField& field : request.packet) digester.words(field.offset, field.bytes);
  digester.bytes(request.runtime);
  digester.word(request.function_tag);
  digester.word(request.flat.has_value());
  for (const auto& flat : request.flat.value_or(std::vector<Request::Flat>()))
    digester.words(flat.helper, flat.ends_when_zero);
  digester.words(request.stopped.offset, request.stopped.bytes);
  return digester.finish();
}

NativeCache::NativeCache(std::string folder) {
  if (!folder.empty() && make_folder(folder)) folder_ = std::move(folder);
}

NativeCache NativeCache::from_environment() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text == nullptr ? "" : text);
  };
  const std::string own = value("XNIC_CACHE");
  if (own == "off") return NativeCache("");
  if (!own.empty()) return NativeCache(own);
  if (const std::string cache = value("XDG_CACHE_HOME"); cache.starts_with('/')) return NativeCache(cache + "/xnic");
  if (const std::string home = value("HOME"); home.starts_with('/')) return NativeCache(home + "/.cache/xnic");
  return NativeCache("");
}

std::string NativeCache::path_of(const Digest& digest) const {
  return fmt::format("{}/{:016x}{:016x}.native", folder_, digest[0], digest[1]);
}

std::optional<Image> NativeCache::find(const Digest& digest) const {
  if (folder_.empty()) return std::nullopt;
  const File file(open(path_of(digest).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info;
  if (file.fd < 0 || fstat(file.fd, &info) != 0 || !S_ISREG(info.st_mode) || !ours_alone(info)) return std::nullopt;
  if (info.st_size < off_t{sizeof digest} || info.st_size > kMostFileBytes) return std::nullopt;
  std::vector<uint8_t> bytes(static_cast<size_t>(info.st_size));
  if (read(file.fd, bytes.data(), bytes.size()) != info.st_size) return std::nullopt;
  // The name is in the file too, so that a file under a wrong name is none.
  if (std::memcmp(bytes.data(), digest.data(), sizeof digest) != 0) return std::nullopt;
  auto image = arch::native::decode(base::Bytes(bytes).subspan(sizeof digest));
  if (!image) return std::nullopt;
  return std::move(*image);
}

void NativeCache::store(const Digest& digest, const Image& image) const {
  if (folder_.empty()) return;
  std::vector<uint8_t> bytes(sizeof digest);
  std::memcpy(bytes.data(), digest.data(), sizeof digest);
  const std::vector<uint8_t> stored = arch::native::encode(image);
  bytes.insert(bytes.end(), stored.begin(), stored.end());
  std::string name = folder_ + "/.new-XXXXXX";
  const File file(mkostemp(name.data(), O_CLOEXEC));
  if (file.fd < 0) return;
  const bool whole = write(file.fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (!whole || rename(name.c_str(), path_of(digest).c_str()) != 0) unlink(name.c_str());
  constexpr uint64_t kSomeTimes = 32;
  if (digest[0] % kSomeTimes == 0) prune();
}

// Removes the files that were written longest ago until the rest fits. Others may remove at the same time.
void NativeCache::prune() const {
  struct Entry {
    fs::file_time_type written;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const uint64_t bytes = entry.file_size(error);
    if (error) continue;
    entries.push_back({entry.last_write_time(error), bytes, entry.path()});
    total += bytes;
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.written < b.written; });
  for (const Entry& entry : entries) {
    if (total <= kMostBytes) return;
    fs::remove(entry.path, error);
    total -= entry.bytes;
  }
}

}  // namespace xnic::device
