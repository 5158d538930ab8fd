// SPDX-License-Identifier: Apache-2.0
// Sequence numbers are compared by their difference, modulo 2^32; a window is far below half of that.
#include "transport/link/messenger.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace xnic::transport::link {

using message::FrameHeader;
using message::kFrameHeaderBytes;
using message::kMessageHeaderBytes;
using message::MessageHeader;
using message::Type;

namespace {

constexpr uint64_t kFirstWaitNs = 4'000'000;  // without progress, before frames are sent again
constexpr uint64_t kLongestWaitNs = 64'000'000;
constexpr uint64_t kBetweenGapsNs = 200'000;  // one loss is reported by every frame behind it
constexpr uint32_t kPollsBeforeAck = 64;
constexpr uint32_t kPollsBetweenLooks = 32;  // at the clock

}  // namespace

Messenger::Messenger(std::unique_ptr<Link> link, uint32_t session, const base::Clock& clock)
    : link_(std::move(link)),
      clock_(clock),
      session_(session),
      lossless_(link_->lossless()),
      frame_bytes_(std::min(link_->max_frame_bytes(), message::kMaxFrameBytes)),
      window_(link_->window()),
      peer_limit_(window_),
      wait_ns_(kFirstWaitNs) {
  CHECK(frame_bytes_ >= 1500);
  if (!lossless_) {
    slots_.resize(size_t{window_} * frame_bytes_);
    slot_sizes_.resize(window_);
  }
}

// ---- sending

bool Messenger::open_frame() {
  if (lossless_) {
    frame_ = link_->next_frame();
  } else {
    const bool may =
        next_sequence_ - first_unacked_ < window_ && static_cast<int32_t>(peer_limit_ - next_sequence_) > 0;
    frame_ = may ? slots_.data() + size_t{next_sequence_ % window_} * frame_bytes_ : nullptr;
  }
  used_ = kFrameHeaderBytes;
  return frame_ != nullptr;
}

void Messenger::fill_link_fields(FrameHeader& header, uint8_t flags) const {
  header.flags = flags;
  header.session = session_;
  header.ack = processed_;
  header.credit = static_cast<uint16_t>(std::min<uint32_t>(window_, 0xffff));
}

void Messenger::close_frame() {
  if (frame_ == nullptr || used_ == kFrameHeaderBytes) return;
  FrameHeader header;
  fill_link_fields(header, 0);
  header.sequence = next_sequence_;
  header.size = static_cast<uint16_t>(used_ - kFrameHeaderBytes);
  std::memcpy(frame_, &header, sizeof header);
  if (lossless_) {
    link_->submit(used_);
    acked_ = processed_;
    ++counters_.frames_sent;
  } else {
    const uint32_t size = std::max(used_, message::kMinFrameBytes);
    std::memset(frame_ + used_, 0, size - used_);
    slot_sizes_[next_sequence_ % window_] = size;
    if (first_unacked_ == next_sequence_) progress_ns_ = clock_.monotonic_ns();
  }
  ++next_sequence_;
  frame_ = nullptr;
  used_ = kFrameHeaderBytes;
  if (!lossless_) transmit();
}

// Gives kept frames to the link, as far as it has room.
void Messenger::transmit() {
  while (next_to_send_ != next_sequence_) {
    uint8_t* to = link_->next_frame();
    if (to == nullptr) return;
    const uint32_t slot = next_to_send_ % window_;
    const uint32_t size = slot_sizes_[slot];
    uint8_t* kept = slots_.data() + size_t{slot} * frame_bytes_;
    FrameHeader header;
    std::memcpy(&header, kept, sizeof header);
    fill_link_fields(header, message::kChecked | (gap_ ? message::kGap : 0));
    header.checksum = 0;
    std::memcpy(kept, &header, sizeof header);
    header.checksum = message::frame_checksum({kept, size});
    std::memcpy(to, kept, size);
    std::memcpy(to, &header, sizeof header);
    link_->submit(size);
    acked_ = processed_;
    gap_ = repeat_ack_ = false;
    ++counters_.frames_sent;
    if (static_cast<int32_t>(sent_highest_ - next_to_send_) > 0)
      ++counters_.frames_resent;
    else
      sent_highest_ = next_to_send_ + 1;
    ++next_to_send_;
  }
}

void Messenger::send_again() {
  next_to_send_ = first_unacked_;
  transmit();
  counters_.doorbells += link_->flush();
}

void Messenger::send_ack() {
  uint8_t* to = link_->next_frame();
  if (to == nullptr) return;  // a later look does it
  FrameHeader header;
  fill_link_fields(header, message::kChecked | message::kAckOnly | (gap_ ? message::kGap : 0));
  header.sequence = next_sequence_;
  std::memset(to, 0, message::kMinFrameBytes);
  std::memcpy(to, &header, sizeof header);
  header.checksum = message::frame_checksum({to, message::kMinFrameBytes});
  std::memcpy(to, &header, sizeof header);
  link_->submit(message::kMinFrameBytes);
  counters_.doorbells += link_->flush();
  acked_ = processed_;
  gap_ = repeat_ack_ = false;
  ++counters_.acks_sent;
}

uint32_t Messenger::room(uint32_t wanted, uint32_t least) {
  if (!queue_.empty()) {
    drain_queue();
    if (!queue_.empty()) return 0;
  }
  if (frame_ == nullptr && !open_frame()) return 0;
  uint32_t left = frame_bytes_ - used_;
  if (left < kMessageHeaderBytes + least) {
    close_frame();
    if (!open_frame()) return 0;
    left = frame_bytes_ - used_;
  }
  return std::min(wanted, left - kMessageHeaderBytes);
}

void Messenger::put(Type type, uint32_t id, uint32_t size, uint8_t flags) {
  const MessageHeader header{type, flags, static_cast<uint16_t>(size), id};
  std::memcpy(frame_ + used_, &header, sizeof header);
  used_ += kMessageHeaderBytes + size;
  ++counters_.messages_sent;
}

// Pre: the queue is empty, or this is its first.
bool Messenger::put_control(Type type, uint8_t flags, uint32_t id, base::Bytes body) {
  const auto size = static_cast<uint32_t>(body.size());
  if (frame_ == nullptr && !open_frame()) return false;
  if (frame_bytes_ - used_ < kMessageHeaderBytes + size) {
    close_frame();
    if (!open_frame()) return false;
  }
  const MessageHeader header{type, flags, static_cast<uint16_t>(size), id};
  std::memcpy(frame_ + used_, &header, sizeof header);
  if (size != 0) std::memcpy(frame_ + used_ + kMessageHeaderBytes, body.data(), size);
  used_ += kMessageHeaderBytes + size;
  ++counters_.messages_sent;
  return true;
}

void Messenger::drain_queue() {
  while (!queue_.empty()) {
    const Waiting& first = queue_.front();
    if (!put_control(first.header.type, first.header.flags, first.header.id, first.body)) return;
    queue_.pop_front();
  }
}

void Messenger::send(Type type, uint32_t id, base::Bytes body) {
  CHECK(body.size() <= message::kMaxControlBytes);
  const size_t piece_bytes = frame_bytes_ - kFrameHeaderBytes - kMessageHeaderBytes;
  drain_queue();
  do {
    const base::Bytes piece = body.first(std::min(body.size(), piece_bytes));
    body = body.subspan(piece.size());
    const uint8_t flags = body.empty() ? 0 : message::kContinues;
    if (!queue_.empty() || !put_control(type, flags, id, piece))
      queue_.push_back({{type, flags, 0, id}, {piece.begin(), piece.end()}});
  } while (!body.empty());
}

void Messenger::flush() {
  drain_queue();
  close_frame();
  if (!lossless_ && next_to_send_ != next_sequence_) transmit();
  counters_.doorbells += link_->flush();
}

// ---- receiving

bool Messenger::in_order(const FrameHeader& header) {
  if (header.sequence == expected_) {
    ++expected_;
    return true;
  }
  if (lossless_) {
    broken_ = true;
  } else if (static_cast<int32_t>(header.sequence - expected_) < 0) {
    repeat_ack_ = true;  // our acknowledgement was lost
  } else {
    gap_ = true;
  }
  return false;
}

void Messenger::take_ack(const FrameHeader& header) {
  const uint32_t newly = header.ack - first_unacked_;
  if (newly > next_sequence_ - first_unacked_) return;  // of the past, or a lie: neither moves anything
  peer_limit_ = header.ack + std::min<uint32_t>(header.credit, window_);
  if (newly != 0) {
    first_unacked_ = header.ack;
    if (static_cast<int32_t>(next_to_send_ - first_unacked_) < 0) next_to_send_ = first_unacked_;
    progress_ns_ = clock_.monotonic_ns();
    wait_ns_ = kFirstWaitNs;
  }
  if ((header.flags & message::kGap) != 0 && first_unacked_ != next_sequence_) {
    const uint64_t now_ns = clock_.monotonic_ns();
    if (now_ns - gap_ns_ < kBetweenGapsNs) return;
    gap_ns_ = now_ns;
    send_again();
  }
}

// The next frame with messages into reader_; false: there is none.
bool Messenger::next_frame() {
  for (;;) {
    const base::Bytes frame = link_->receive();
    if (frame.empty()) return false;
    const auto header = message::decode_frame(frame);
    const bool good =
        header && header->session == session_ &&
        (lossless_ || ((header->flags & message::kChecked) != 0 && message::frame_checksum(frame) == header->checksum));
    if (!good) {
      ++counters_.frames_dropped;
      if (lossless_) broken_ = true;
      if (broken_) return false;
      continue;
    }
    if (!lossless_) take_ack(*header);
    if ((header->flags & message::kAckOnly) != 0) continue;
    if (!in_order(*header)) {
      ++counters_.frames_dropped;
      if (broken_) return false;
      continue;
    }
    ++counters_.frames_received;
    reader_ = message::Reader(frame.subspan(kFrameHeaderBytes, header->size));
    if (!reader_.done()) return true;
    ++processed_;
  }
}

// One more piece of a message; false: it does not fit the last.
bool Messenger::assemble(const MessageHeader& header, base::Bytes body) {
  // Data is cut by the stream itself; its receivers keep pointers into frames until release().
  if (header.type == Type::kData || header.type == Type::kUrgent) broken_ = true;
  if (assembling_.flags == 0) {
    assembly_.clear();
    assembling_ = header;
  } else if (header.type != assembling_.type || header.id != assembling_.id) {
    broken_ = true;
  }
  if (assembly_.size() + body.size() > message::kMaxControlBytes) broken_ = true;
  if (broken_) return false;
  assembly_.insert(assembly_.end(), body.begin(), body.end());
  assembling_.flags = header.flags & message::kContinues;
  return true;
}

void Messenger::release() {
  // A frame that is not finished stays, and with it, since frames go back in order, all that were received.
  if (reader_.done()) link_->release();
}

// Acknowledgements and repair, after each poll of a link that may lose.
void Messenger::look_after() {
  const uint32_t waiting = processed_ - acked_;
  if (waiting == 0)
    empty_polls_ = 0;
  else
    ++empty_polls_;
  if (gap_ || repeat_ack_ || waiting >= window_ / 4 || empty_polls_ >= kPollsBeforeAck) {
    send_ack();
    empty_polls_ = 0;
  }
  if (next_to_send_ != next_sequence_) {
    transmit();
    counters_.doorbells += link_->flush();
  }
  if (first_unacked_ == next_sequence_ || ++looks_ % kPollsBetweenLooks != 0) return;
  const uint64_t now_ns = clock_.monotonic_ns();
  if (now_ns - progress_ns_ < wait_ns_) return;
  progress_ns_ = now_ns;
  wait_ns_ = std::min(2 * wait_ns_, kLongestWaitNs);
  send_again();
}

// ---- sleeping

bool Messenger::prepare_sleep() {
  flush();
  if (processed_ != acked_ && !lossless_) send_ack();
  // Without room there is no bell that would tell of some: stay awake until the queue is gone.
  return queue_.empty() && (lossless_ || next_to_send_ == next_sequence_) && reader_.done() && link_->prepare_sleep();
}

int Messenger::sleep_limit_ms() const {
  if (lossless_ || first_unacked_ == next_sequence_) return -1;
  const uint64_t since_ns = clock_.monotonic_ns() - progress_ns_;
  return since_ns >= wait_ns_ ? 0 : static_cast<int>((wait_ns_ - since_ns) / 1'000'000 + 1);
}

}  // namespace xnic::transport::link
