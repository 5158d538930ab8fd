// SPDX-License-Identifier: Apache-2.0
// Any bytes as a capture. What is read is also written and read again, which must give the same frames.
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "base/check.hpp"
#include "exec/packet/packet.hpp"
#include "nic/port/pcap.hpp"
#include "targets.hpp"

namespace xnic::tests::fuzz {
namespace {

// A file without a place on a disk.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("capture", MFD_CLOEXEC)) { CHECK(fd_ >= 0); }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  void fill(base::Bytes bytes) { CHECK(write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())); }

 private:
  int fd_;
};

struct Kept {
  std::vector<uint8_t> bytes;
  uint64_t timestamp_ns;
  bool operator==(const Kept&) const = default;
};

// The frames up to the end or the first error; nothing when the file is no capture.
std::vector<Kept> read_frames(const std::string& path, bool must_be_good) {
  std::vector<Kept> frames;
  auto reader = nic::port::PcapReader::open(path);
  if (!reader) {
    CHECK(!must_be_good && !reader.error().message().empty());
    return frames;
  }
  for (;;) {
    const auto frame = reader->next();
    CHECK(frame || !must_be_good);
    if (!frame || !*frame) return frames;
    frames.push_back({{(*frame)->bytes.begin(), (*frame)->bytes.end()}, (*frame)->timestamp_ns});
  }
}

}  // namespace

void fuzz_pcap(base::Bytes input) {
  MemoryFile capture;
  capture.fill(input);
  const std::vector<Kept> frames = read_frames(capture.path(), false);
  exec::packet::Packet packet;
  MemoryFile copy;
  auto writer = nic::port::PcapngWriter::create(copy.path());
  CHECK(writer);
  for (const Kept& frame : frames) {
    if (frame.bytes.size() >= exec::packet::kMinFrameBytes) {
      packet.assign(frame.bytes);
      CHECK(packet.bytes() == frame.bytes);
    }
    CHECK(writer->write(frame.bytes, frame.timestamp_ns, 2, "pass"));
  }
  CHECK(writer->close());
  CHECK(read_frames(copy.path(), true) == frames);
}

}  // namespace xnic::tests::fuzz
