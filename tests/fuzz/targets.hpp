// SPDX-License-Identifier: Apache-2.0
// The fuzz targets. Each takes any bytes and returns; a failed check of its own aborts the process.
#pragma once

#include <string_view>

#include "base/bytes.hpp"

namespace xnic::tests::fuzz {

// An object file through pre-pass, libbpf, door and verifier, on a fresh card; the maps of a loaded one are printed.
void fuzz_elf(base::Bytes input);
// A program of program_input.hpp: decoded, verified.
void fuzz_verifier(base::Bytes input);
// The same, and run on packets in the interpreter's checked mode when the verifier accepts it.
void fuzz_interp(base::Bytes input);
// A capture; its frames, written as pcapng, must be read back the same.
void fuzz_pcap(base::Bytes input);

// A client of the bpf(2) socket: messages of any content; the card must answer or let go of the client.
void fuzz_door(base::Bytes input);

// The frames of a TCP offload's link (how the bytes become frames: fuzz_link.cpp).
void fuzz_link(base::Bytes input);

struct Target {
  std::string_view name;
  void (*run)(base::Bytes input);
};
inline constexpr Target kTargets[] = {{"door", fuzz_door},     {"elf", fuzz_elf},   {"verifier", fuzz_verifier},
                                      {"interp", fuzz_interp}, {"pcap", fuzz_pcap}, {"link", fuzz_link}};

}  // namespace xnic::tests::fuzz
