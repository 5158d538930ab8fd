// SPDX-License-Identifier: Apache-2.0
// Any bytes as the frames of a TCP offload's link. The first byte chooses: bit 0 a lossless link or one that is
// repaired, bit 1 whole frames, or messages that the target puts into good frames, so that what lies behind the header
// is reached. Then frames, each with two bytes of length before it.
#include <algorithm>
#include <vector>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "targets.hpp"
#include "transport/link/messenger.hpp"

namespace xnic::tests::fuzz {
namespace {

namespace link = transport::link;
namespace message = transport::message;

constexpr uint32_t kSession = 1, kFrameBytes = 2048;

// Gives the frames out, one after the other, and takes any.
class ReplayLink final : public link::Link {
 public:
  ReplayLink(std::vector<std::vector<uint8_t>> frames, bool lossless)
      : frames_(std::move(frames)), lossless_(lossless), out_(kFrameBytes) {}
  uint32_t max_frame_bytes() const override { return kFrameBytes; }
  bool lossless() const override { return lossless_; }
  uint32_t window() const override { return 16; }
  uint8_t* next_frame() override { return out_.data(); }
  void submit(uint32_t size) override { CHECK(size >= message::kFrameHeaderBytes && size <= kFrameBytes); }
  uint32_t flush() override { return 0; }
  base::Bytes receive() override { return next_ < frames_.size() ? base::Bytes(frames_[next_++]) : base::Bytes(); }
  void release() override {}
  int wait_fd() const override { return -1; }
  bool prepare_sleep() override { return next_ == frames_.size(); }
  void woken() override {}
  bool down() override { return false; }

 private:
  std::vector<std::vector<uint8_t>> frames_;
  size_t next_ = 0;
  const bool lossless_;
  std::vector<uint8_t> out_;
};

std::vector<uint8_t> good_frame(base::Bytes messages, uint32_t sequence) {
  message::FrameHeader header;
  header.flags = message::kChecked;
  header.session = kSession;
  header.sequence = sequence;
  header.size = static_cast<uint16_t>(messages.size());
  std::vector<uint8_t> frame(sizeof header + messages.size());
  std::memcpy(frame.data(), &header, sizeof header);
  if (!messages.empty()) std::memcpy(frame.data() + sizeof header, messages.data(), messages.size());
  header.checksum = message::frame_checksum(frame);
  std::memcpy(frame.data(), &header, sizeof header);
  return frame;
}

}  // namespace

void fuzz_link(base::Bytes input) {
  if (input.empty()) return;
  const bool lossless = (input[0] & 1) != 0, wrapped = (input[0] & 2) != 0;
  std::vector<std::vector<uint8_t>> frames;
  uint64_t bytes = 0;
  for (input = input.subspan(1); input.size() >= 2;) {
    const size_t size = std::min<size_t>(base::load_le<uint16_t>(input.data()), input.size() - 2);
    const base::Bytes part = input.subspan(2, size);
    bytes += size;
    frames.push_back(wrapped ? good_frame(part, static_cast<uint32_t>(frames.size()))
                             : std::vector<uint8_t>(part.begin(), part.end()));
    input = input.subspan(2 + size);
  }
  const base::ManualClock clock;
  link::Messenger messenger(std::make_unique<ReplayLink>(std::move(frames), lossless), kSession, clock);
  uint64_t seen = 0, sum = 0;
  for (bool again = true; again;) {
    const uint32_t taken = messenger.poll([&](const message::MessageHeader& header, base::Bytes body) {
      CHECK(body.size() <= message::kMaxControlBytes);
      for (const uint8_t byte : body) sum += byte;
      if (message::decode<message::AcceptedBody>(body)) CHECK(body.size() >= sizeof(message::AcceptedBody));
      seen += message::kMessageHeaderBytes + body.size();
      messenger.send(message::Type::kReply, header.id, body);
      return true;
    });
    messenger.release();
    messenger.flush();
    again = taken != 0 && !messenger.down();
  }
  CHECK(seen <= bytes && sum <= seen * 255);  // no message comes from nowhere
}

}  // namespace xnic::tests::fuzz
