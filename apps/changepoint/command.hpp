// SPDX-License-Identifier: Apache-2.0
// The commands of xnic-changepoint: their options, and exit codes as those of xnic.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "changepoint/series.hpp"
#include "changepoint/wire.hpp"

namespace xnic::apps::changepoint {

enum ExitCode : int {
  kExitOk = 0,
  kExitNo = 1,           // a decision is wrong, or missing
  kExitBadInput = 2,     // wrong use, or a file that isn't what it should be
  kExitUnsupported = 3,  // valid, but not supported or over a limit
  kExitIo = 4,           // the operating system refused
};
// Prints "xnic-changepoint: error: …"; the exit code for the kind of error.
int report(const base::Error& error);

struct SendOptions {
  std::string input;
  SeriesOptions series;
  Form form = Form::kFixed;
  std::string capture;    // file, "-": standard output; or
  std::string interface;  // name
  double rate = 0;        // packets per second; 0: as fast as it goes (captures: a million a second)
  uint64_t repeat = 1;
};
int send(const SendOptions& options);

struct RecvOptions {
  std::string capture;
  std::string interface;
  Form form = Form::kFixed;
  double timeout_s = 5;  // interfaces: without a packet for so long, the sender has ended
  std::string csv;       // a row for each decision
  std::string samples;   // the sent series, for double precision of what fixed-point packets have cut off
  SeriesOptions series;
  bool json = false;
};
int recv(const RecvOptions& options);

struct MeasureOptions {
  std::string input;
  SeriesOptions series;
  Form form = Form::kFixed;
  bool veth = false;
  double rate = 1e6;         // packets per second into the card
  uint64_t packets = 10000;  // a variant, with --veth
  std::string csv;           // a row for each packet
  bool json = false;
};
int measure(const MeasureOptions& options);

struct PlotOptions {
  std::string input;
  SeriesOptions series;
  std::string decisions;  // CSV of recv; empty: decide here, as the card does
  std::string svg;        // file; empty: the terminal
  uint32_t columns = 100;
  uint32_t lines = 20;
};
int plot(const PlotOptions& options);

struct TuneOptions {
  std::string input;
  SeriesOptions series;
  std::vector<double> epsilons = {0.02, 0.05, 0.1, 0.2, 0.5};
  std::vector<uint32_t> windows = {4, 8, 16, 32};
  uint64_t scale = 16384;
  bool csv = false;
  bool json = false;
};
int tune(const TuneOptions& options);

}  // namespace xnic::apps::changepoint
