// SPDX-License-Identifier: Apache-2.0
// Capture files as ports: read pcap and pcapng, write pcapng.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::nic::port {

struct Frame {
  base::Bytes bytes;          // valid until the next call to next()
  uint32_t wire_bytes = 0;    // length on the wire; larger than bytes.size() when the capture cut the frame
  uint64_t timestamp_ns = 0;  // since 1970
};

// Reads a capture of Ethernet frames. Move-only.
class PcapReader {
 public:
  // `path` "-": standard input. Errors: kIo (cannot open), kBadInput (empty, not a capture, link type not Ethernet).
  static base::Result<PcapReader> open(const std::string& path);
  // The next frame, or nothing at the end of the file. Errors: kBadInput naming the number of the packet that is cut
  // off.
  base::Result<std::optional<Frame>> next();
  PcapReader(PcapReader&&) noexcept;
  PcapReader& operator=(PcapReader&&) noexcept;
  ~PcapReader();

 private:
  struct State;
  explicit PcapReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Writes pcapng with one Ethernet interface (draft-ietf-opsawg-pcapng). libpcap writes no pcapng, and classic pcap has
// no place for a verdict; the format's epb_verdict option (type 2: Linux eBPF XDP) does, and Wireshark shows it.
class PcapngWriter {
 public:
  // `path` "-": standard output. Errors: kIo.
  static base::Result<PcapngWriter> create(const std::string& path);
  // Appends a frame with its XDP verdict, if it has one, and a comment (empty: none). Errors: kIo (disk full, …); the
  // file is then incomplete.
  base::Result<void> write(base::Bytes frame, uint64_t timestamp_ns, std::optional<uint64_t> verdict,
                           std::string_view comment);
  // Flushes; must be called, and checked, for the file to be complete. Errors: kIo.
  base::Result<void> close();
  PcapngWriter(PcapngWriter&&) noexcept;
  PcapngWriter& operator=(PcapngWriter&&) noexcept;
  ~PcapngWriter();

 private:
  PcapngWriter(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
  base::Result<void> put(base::Bytes bytes);
  std::FILE* file_;  // owned unless it is stdout
  std::string path_;
};

}  // namespace xnic::nic::port
