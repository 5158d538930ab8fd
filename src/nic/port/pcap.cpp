// SPDX-License-Identifier: Apache-2.0
// Reading goes through libpcap at nanosecond precision, which knows both file formats. Writing emits three kinds of
// pcapng blocks: section header, interface description (Ethernet, nanoseconds) and enhanced packets, all in host byte
// order as the format allows.
#include "nic/port/pcap.hpp"

#include <pcap/pcap.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace xnic::nic::port {

using base::Error;
using base::ErrorKind;
using base::make_error;
using base::Result;

struct PcapReader::State {
  pcap_t* capture = nullptr;
  std::string path;
  uint64_t packets = 0;  // handed out so far
  ~State() {
    if (capture != nullptr) pcap_close(capture);
  }
};

PcapReader::PcapReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
PcapReader::PcapReader(PcapReader&&) noexcept = default;
PcapReader& PcapReader::operator=(PcapReader&&) noexcept = default;
PcapReader::~PcapReader() = default;

Result<PcapReader> PcapReader::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->path = path == "-" ? "standard input" : path;
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) return make_error(ErrorKind::kIo, state->path, "cannot open: {}", std::strerror(errno));
  char message[PCAP_ERRBUF_SIZE] = "";
  // On success libpcap owns the stream and closes it with the capture (never stdin).
  state->capture = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, message);
  if (state->capture == nullptr) {
    if (file != stdin) std::fclose(file);
    return make_error(ErrorKind::kBadInput, state->path, "not a usable capture (pcap or pcapng): {}", message);
  }
  if (const int link = pcap_datalink(state->capture); link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    return make_error(ErrorKind::kBadInput, state->path,
                      "link type is {} ({}), but the card takes Ethernet frames only",
                      name != nullptr ? name : "unknown", link);
  }
  return PcapReader(std::move(state));
}

Result<std::optional<Frame>> PcapReader::next() {
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  const int result = pcap_next_ex(state_->capture, &header, &bytes);
  if (result == PCAP_ERROR_BREAK) return std::nullopt;
  if (result != 1) {
    return make_error(ErrorKind::kBadInput, state_->path, "packet {}: {}", state_->packets + 1,
                      pcap_geterr(state_->capture));
  }
  ++state_->packets;
  // With nanosecond precision libpcap puts nanoseconds into tv_usec.
  const uint64_t timestamp_ns =
      static_cast<uint64_t>(header->ts.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(header->ts.tv_usec);
  return Frame{base::Bytes(bytes, header->caplen), header->len, timestamp_ns};
}

namespace {

class Block {
 public:
  explicit Block(uint32_t type) {
    u32(type);
    u32(0);  // length, set in finish()
  }
  void u16(uint16_t value) { append(&value, sizeof value); }
  void u32(uint32_t value) { append(&value, sizeof value); }
  void bytes(const void* at, size_t size) {
    append(at, size);
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
  }
  void option(uint16_t code, const void* at, size_t size) {
    u16(code);
    u16(static_cast<uint16_t>(size));
    bytes(at, size);
  }
  base::Bytes finish() {
    const auto total = static_cast<uint32_t>(bytes_.size() + 4);
    u32(total);
    base::store(&bytes_[4], total);
    return bytes_;
  }

 private:
  void append(const void* at, size_t size) {
    const auto* from = static_cast<const uint8_t*>(at);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  std::vector<uint8_t> bytes_;
};

constexpr uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint32_t kInterfaceDescription = 1;
constexpr uint32_t kEnhancedPacket = 6;
constexpr uint16_t kOptionEnd = 0;
constexpr uint16_t kOptionComment = 1;
constexpr uint16_t kOptionTimestampResolution = 9;
constexpr uint16_t kOptionVerdict = 7;
constexpr uint8_t kVerdictXdp = 2;

}  // namespace

PcapngWriter::PcapngWriter(PcapngWriter&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)), path_(std::move(other.path_)) {}
PcapngWriter& PcapngWriter::operator=(PcapngWriter&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(path_, other.path_);
  return *this;
}
PcapngWriter::~PcapngWriter() {
  if (file_ != nullptr && file_ != stdout) std::fclose(file_);
}

Result<void> PcapngWriter::put(base::Bytes bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size()) return {};
  return make_error(ErrorKind::kIo, path_, "cannot write: {}", std::strerror(errno));
}

Result<PcapngWriter> PcapngWriter::create(const std::string& path) {
  std::FILE* file = path == "-" ? stdout : std::fopen(path.c_str(), "wb");
  if (file == nullptr) return make_error(ErrorKind::kIo, path, "cannot create: {}", std::strerror(errno));
  PcapngWriter writer(file, path);
  Block section(kSectionHeader);
  section.u32(kByteOrderMagic);
  section.u16(1);  // version 1.0
  section.u16(0);
  section.u32(0xffffffff);  // section length not given
  section.u32(0xffffffff);
  XNIC_TRY(writer.put(section.finish()));
  Block interface(kInterfaceDescription);
  interface.u16(DLT_EN10MB);
  interface.u16(0);
  interface.u32(0);  // no limit on the captured length
  const uint8_t nanoseconds = 9;
  interface.option(kOptionTimestampResolution, &nanoseconds, 1);
  interface.option(kOptionEnd, nullptr, 0);
  XNIC_TRY(writer.put(interface.finish()));
  return writer;
}

Result<void> PcapngWriter::write(base::Bytes frame, uint64_t timestamp_ns, std::optional<uint64_t> verdict,
                                 std::string_view comment) {
  Block packet(kEnhancedPacket);
  packet.u32(0);  // interface
  packet.u32(static_cast<uint32_t>(timestamp_ns >> 32));
  packet.u32(static_cast<uint32_t>(timestamp_ns));
  packet.u32(static_cast<uint32_t>(frame.size()));
  packet.u32(static_cast<uint32_t>(frame.size()));
  packet.bytes(frame.data(), frame.size());
  if (verdict) {
    uint8_t option[9] = {kVerdictXdp};
    base::store(&option[1], *verdict);
    packet.option(kOptionVerdict, option, sizeof option);
  }
  if (!comment.empty()) packet.option(kOptionComment, comment.data(), comment.size());
  packet.option(kOptionEnd, nullptr, 0);
  return put(packet.finish());
}

Result<void> PcapngWriter::close() {
  const bool flushed = std::fflush(file_) == 0;
  const int flush_error = errno;
  const bool closed = file_ == stdout || std::fclose(file_) == 0;
  const int error = flushed ? errno : flush_error;
  file_ = nullptr;
  if (flushed && closed) return {};
  return make_error(ErrorKind::kIo, path_, "cannot write: {}", std::strerror(error));
}

}  // namespace xnic::nic::port
