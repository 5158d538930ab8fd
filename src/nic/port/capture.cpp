// SPDX-License-Identifier: Apache-2.0
// A frame is due at a time that follows from the pace and the frame's number (its stamp) alone, never from when the one
// before was taken: a late worker catches up and the rate holds on average. A capture that is read several times
// follows on itself: the first frame of a turn is due with the last one of the turn before.
#include "nic/port/capture.hpp"

#include <cmath>
#include <ctime>
#include <mutex>
#include <optional>
#include <vector>

#include "nic/port/pcap.hpp"

namespace xnic::nic::port {

using base::ErrorKind;
using base::make_error;
using exec::packet::Packet;
using Pace = CaptureOptions::Pace;

namespace {

constexpr size_t kLongestBytes = 65536 + 22;

// The frames of a capture, in turn, once or several times.
class Source {
 public:
  // Errors: as PcapReader's; and a capture without frames that is to be read for ever.
  static base::Result<Source> open(const CaptureOptions& options) {
    Source source;
    source.turns_left_ = options.loops == 0 ? UINT64_MAX : options.loops;
    XNIC_ASSIGN(PcapReader reader, PcapReader::open(options.read_path));
    source.reader_.emplace(std::move(reader));
    if (options.loops != 1) XNIC_TRY(source.hold());
    return source;
  }
  // The frame whose turn it is, until advance(); nothing at the end. Errors: kBadInput.
  base::Result<std::optional<Frame>> front() {
    if (!reader_) {
      if (turns_left_ == 0) return std::nullopt;
      const Held& held = held_[next_];
      const base::Bytes bytes(bytes_.data() + held.offset, held.size);
      return Frame{bytes, held.size, held.timestamp_ns};
    }
    if (!front_ && !ended_) {
      XNIC_ASSIGN(front_, reader_->next());
      ended_ = !front_.has_value();
    }
    return front_;
  }
  // Pre: front() gave a frame. True when the next one begins another turn.
  bool advance() {
    front_.reset();
    if (reader_ || ++next_ < held_.size()) return false;
    next_ = 0;
    --turns_left_;
    return true;
  }

 private:
  struct Held {
    size_t offset;
    uint32_t size;
    uint64_t timestamp_ns;
  };
  base::Result<void> hold() {
    for (;;) {
      XNIC_ASSIGN(const std::optional<Frame> frame, reader_->next());
      if (!frame) break;
      held_.push_back({bytes_.size(), static_cast<uint32_t>(frame->bytes.size()), frame->timestamp_ns});
      bytes_.insert(bytes_.end(), frame->bytes.begin(), frame->bytes.end());
    }
    reader_.reset();
    if (held_.empty()) turns_left_ = 0;
    return {};
  }
  std::optional<PcapReader> reader_;  // while frames come from the file
  std::optional<Frame> front_;
  bool ended_ = false;
  std::vector<Held> held_;
  std::vector<uint8_t> bytes_;
  size_t next_ = 0;
  uint64_t turns_left_ = 1;
};

class CapturePort final : public Port {
 public:
  CapturePort(Info info, const CaptureOptions& options, const base::Clock& clock)
      : info_(std::move(info)), options_(options), clock_(clock), scratch_(kLongestBytes) {}
  base::Result<void> open();

  const Info& info() const override { return info_; }
  const Counters& counters(uint32_t) const override { return counters_; }
  uint32_t receive(uint32_t, std::span<Packet> packets, frame::Pool& pool) override;
  uint32_t transmit(uint32_t, std::span<Packet* const> packets, frame::Pool& pool) override;
  void flush(uint32_t) override {}
  void reap(uint32_t, frame::Pool&) override {}
  int wait_fd(uint32_t) const override { return -1; }
  bool prepare_sleep(uint32_t) override { return true; }
  void woken(uint32_t) override {}
  void close(uint32_t, frame::Pool&) override;
  base::Result<void> status() const override;
  bool finished() const override { return finished_; }

 private:
  uint64_t due_ns(const Frame& frame);
  void failed(base::Error error);
  bool write(const Packet& packet);

  const Info info_;
  const CaptureOptions options_;
  const base::Clock& clock_;
  std::optional<Source> source_;
  std::optional<PcapngWriter> writer_;
  std::vector<uint8_t> scratch_;
  uint64_t epoch_ns_ = 0;  // what makes the clock's time one since 1970
  // The pace: a turn began at turn_ns_ with a frame of the stamp first_stamp_ns_.
  std::optional<uint64_t> start_ns_;
  uint64_t taken_ = 0, turn_ns_ = 0, last_due_ns_ = 0;
  std::optional<uint64_t> first_stamp_ns_;
  Counters counters_;
  std::atomic<bool> finished_{false};
  mutable std::mutex mutex_;
  std::optional<base::Error> error_;
};

base::Result<void> CapturePort::open() {
  if (!options_.read_path.empty()) {
    XNIC_ASSIGN(Source source, Source::open(options_));
    source_.emplace(std::move(source));
  }
  if (!options_.write_path.empty()) {
    XNIC_ASSIGN(PcapngWriter writer, PcapngWriter::create(options_.write_path));
    writer_.emplace(std::move(writer));
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  epoch_ns_ =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec) - clock_.monotonic_ns();
  finished_ = !source_;
  return {};
}

void CapturePort::failed(base::Error error) {
  std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

base::Result<void> CapturePort::status() const {
  std::lock_guard lock(mutex_);
  if (error_) return base::Unexpected(*error_);
  return {};
}

uint64_t CapturePort::due_ns(const Frame& frame) {
  if (options_.pace == Pace::kRate)
    return *start_ns_ + static_cast<uint64_t>(static_cast<double>(taken_) * 1e9 / options_.frames_per_second);
  if (!first_stamp_ns_) first_stamp_ns_ = frame.timestamp_ns;
  // Stamps may step back (captures of several interfaces): such a frame is due at once.
  const uint64_t since = frame.timestamp_ns > *first_stamp_ns_ ? frame.timestamp_ns - *first_stamp_ns_ : 0;
  return turn_ns_ + since;
}

uint32_t CapturePort::receive(uint32_t, std::span<Packet> packets, frame::Pool& pool) {
  if (finished_) return 0;
  const uint64_t now_ns = clock_.monotonic_ns();
  if (!start_ns_) start_ns_ = turn_ns_ = last_due_ns_ = now_ns;
  uint32_t done = 0;
  uint64_t bytes = 0;
  while (done < packets.size() && !pool.empty()) {
    auto front = source_->front();
    if (!front) failed(std::move(front.error()));
    if (!front || !*front) {
      finished_ = true;
      break;
    }
    const Frame& frame = **front;
    if (options_.pace != Pace::kNone) {
      const uint64_t due = due_ns(frame);
      if (due > now_ns) break;
      last_due_ns_ = std::max(last_due_ns_, due);
    }
    if (frame.bytes.size() < exec::packet::kMinFrameBytes || frame.bytes.size() > kLongestBytes) {
      count(counters_.drop_bad, 1);
    } else {
      Packet& packet = packets[done++];
      packet.bind(pool.get(), exec::packet::kHeadroomBytes, 0);
      packet.fill(frame.bytes);
      packet.ingress_ifindex = info_.ifindex;
      packet.rx_queue = 0;
      packet.egress_ifindex = 0;
      packet.arrival_ns = now_ns;
      bytes += frame.bytes.size();
    }
    ++taken_;
    if (source_->advance()) {
      turn_ns_ = last_due_ns_;
      first_stamp_ns_.reset();
    }
  }
  count(counters_.received, done);
  count(counters_.received_bytes, bytes);
  return done;
}

bool CapturePort::write(const Packet& packet) {
  base::Bytes bytes(packet.data, static_cast<size_t>(packet.data_end - packet.data));
  if (!packet.fragments.empty()) {
    scratch_.assign(bytes.begin(), bytes.end());
    for (const Packet::Fragment& fragment : packet.fragments) {
      const uint8_t* begin = fragment.buffer.get() + fragment.offset;
      scratch_.insert(scratch_.end(), begin, begin + fragment.size);
    }
    bytes = scratch_;
  }
  auto written = writer_->write(bytes, clock_.monotonic_ns() + epoch_ns_, std::nullopt, "");
  if (written) return true;
  failed(std::move(written.error()));
  writer_.reset();
  return false;
}

uint32_t CapturePort::transmit(uint32_t, std::span<Packet* const> packets, frame::Pool& pool) {
  for (Packet* packet : packets) {
    const uint32_t size = packet->size();
    if (writer_ && write(*packet)) {
      count(counters_.transmitted, 1);
      count(counters_.transmitted_bytes, size);
    } else {
      count(counters_.drop_down, 1);
    }
    pool.put(packet->unbind());
  }
  return static_cast<uint32_t>(packets.size());
}

void CapturePort::close(uint32_t, frame::Pool&) {
  finished_ = true;
  source_.reset();
  if (!writer_) return;
  if (auto closed = writer_->close(); !closed) failed(std::move(closed.error()));
  writer_.reset();
}

}  // namespace

base::Result<std::unique_ptr<Port>> open_capture(Info info, const CaptureOptions& options, const base::Clock& clock) {
  if (info.queues != 1) return make_error(ErrorKind::kBadInput, info.name, "a capture port has one queue");
  if (options.loops != 1 && options.read_path == "-")
    return make_error(ErrorKind::kBadInput, info.name, "standard input can be read once only");
  if (options.pace == Pace::kRate && !(std::isfinite(options.frames_per_second) && options.frames_per_second > 0))
    return make_error(ErrorKind::kBadInput, info.name, "a rate of {} frames a second cannot be kept",
                      options.frames_per_second);
  info.kind = "pcap";
  info.detail = fmt::format("{} > {}", options.read_path.empty() ? "nothing" : options.read_path,
                            options.write_path.empty() ? "nothing" : options.write_path);
  auto port = std::make_unique<CapturePort>(std::move(info), options, clock);
  XNIC_TRY(port->open());
  return port;
}

}  // namespace xnic::nic::port
