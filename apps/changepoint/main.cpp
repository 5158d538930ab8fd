// SPDX-License-Identifier: Apache-2.0
// The command line of xnic-changepoint. Parsing only; the jobs are in the files of their names.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "changepoint/command.hpp"

namespace xnic::apps::changepoint {

namespace {

void add_series(CLI::App* command, SeriesOptions& options) {
  command->add_option("--column", options.column, "Column with the samples, by number from 1 or by name")
      ->capture_default_str();
  command->add_flag("--header", options.header, "The first row is a head (a column by name implies it)");
  command->add_option("--separator", options.separator, "Between columns")->capture_default_str();
  command->add_flag("--skip-blank", options.skip_blank, "Leave blank rows out and count them; else they are errors");
}

void add_input(CLI::App* command, std::string& input, SeriesOptions& series) {
  command->add_option("SERIES", input, "CSV file with samples in [0, 65536); - is standard input")->required();
  add_series(command, series);
}

void add_form(CLI::App* command, Form& form) {
  const std::map<std::string, Form> names{{"fixed", Form::kFixed}, {"double", Form::kDouble}};
  command->add_option("--form", form, "Samples in the packets: fixed or double (default fixed)")
      ->transform(CLI::CheckedTransformer(names, CLI::ignore_case).description("{double,fixed}"));
}

void add_traffic(CLI::App& app, SendOptions& send, RecvOptions& recv) {
  CLI::App* command = app.add_subcommand("send", "Send a series as packets, one for each decision");
  add_input(command, send.input, send.series);
  add_form(command, send.form);
  command->add_option("--out", send.capture, "Into a capture (pcapng); - is standard output");
  command->add_option("--interface", send.interface, "Onto an interface, also one end of a veth pair (needs root)");
  command->add_option("--rate", send.rate, "Packets per second; default: as fast as it goes, a capture 1000000")
      ->check(CLI::PositiveNumber);
  command->add_option("--repeat", send.repeat, "Send the series this many times")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->footer(
      "Example, through the card:\n"
      "  xnic-changepoint send prices.csv --column close --out sent.pcapng\n"
      "  xnic run build/release/programs/changepoint_fixed.bpf.o --engine hxdp --in sent.pcapng --out decided.pcapng\n"
      "  xnic-changepoint recv --in decided.pcapng");

  command = app.add_subcommand("recv", "Check the card's decisions, count agreement, splits and losses");
  command->add_option("--in", recv.capture, "From a capture; - is standard input");
  command->add_option("--interface", recv.interface, "From an interface (needs root)");
  add_form(command, recv.form);
  command->add_option("--timeout", recv.timeout_s, "Seconds without a frame after which an interface is done")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--csv", recv.csv, "Write number, tag, fixed-point and double decision of each packet");
  command->add_option("--series", recv.samples,
                      "The series that was sent: double precision from it, not from what fixed-point packets hold");
  add_series(command, recv.series);
  command->add_flag("--json", recv.json, "Machine-readable output");
  command->footer(
      "Example:\n  xnic-changepoint recv --in decided.pcapng --series prices.csv --column close --csv decisions.csv");
}

void add_others(CLI::App& app, MeasureOptions& measure, PlotOptions& plot, TuneOptions& tune) {
  CLI::App* command = app.add_subcommand("measure", "Measure the latency of decisions");
  add_input(command, measure.input, measure.series);
  add_form(command, measure.form);
  command->add_flag("--veth", measure.veth,
                    "Through a veth pair of the live kernel, with and without the program (needs root), instead of in "
                    "the hXDP card");
  command->add_option("--rate", measure.rate, "Into the card: packets per second")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1.4e7));
  command->add_option("--packets", measure.packets, "Through veth: packets of each variant")
      ->capture_default_str()
      ->check(CLI::Range(100, 100000000));
  command->add_option("--csv", measure.csv, "Write the latency of each packet");
  command->add_flag("--json", measure.json, "Machine-readable output");
  command->footer("Example:\n  xnic-changepoint measure prices.csv --form double");

  command = app.add_subcommand("plot", "Draw the series with its splits");
  add_input(command, plot.input, plot.series);
  command->add_option("--decisions", plot.decisions, "The card's decisions (recv --csv); default: decide here");
  command->add_option("--svg", plot.svg, "Into an SVG file instead of the terminal");
  command->add_option("--columns", plot.columns, "Of the terminal")->capture_default_str()->check(CLI::Range(10, 1000));
  command->add_option("--lines", plot.lines, "Of the terminal")->capture_default_str()->check(CLI::Range(2, 200));
  command->footer("Example:\n  xnic-changepoint plot prices.csv --decisions decisions.csv --svg prices.svg");

  command = app.add_subcommand("tune", "Try epsilons and windows: splits, and agreement of fixed point with double");
  add_input(command, tune.input, tune.series);
  command->add_option("--epsilon", tune.epsilons, "Epsilons")->delimiter(',')->capture_default_str();
  command->add_option("--window", tune.windows, "Windows, in samples")->delimiter(',')->capture_default_str();
  command->add_option("--scale", tune.scale, "Units to 1 in fixed point")
      ->capture_default_str()
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 32));
  command->add_flag("--csv", tune.csv, "Comma-separated values");
  command->add_flag("--json", tune.json, "Machine-readable output");
  command->footer("Example:\n  xnic-changepoint tune prices.csv --epsilon 0.05,0.1 --window 8,16 --csv");
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"xnic-changepoint: change points of a series, decided in the card (docs/changepoint.md)"};
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 a decision is wrong or missing; 2 wrong use or bad input; 3 unsupported or over a limit; "
      "4 I/O error.");
  SendOptions send_options;
  RecvOptions recv_options;
  MeasureOptions measure_options;
  PlotOptions plot_options;
  TuneOptions tune_options;
  add_traffic(app, send_options, recv_options);
  add_others(app, measure_options, plot_options, tune_options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  if (app.got_subcommand("send")) return send(send_options);
  if (app.got_subcommand("recv")) return recv(recv_options);
  if (app.got_subcommand("measure")) return measure(measure_options);
  if (app.got_subcommand("plot")) return plot(plot_options);
  return tune(tune_options);
}

}  // namespace
}  // namespace xnic::apps::changepoint

int main(int argc, char** argv) { return xnic::apps::changepoint::parse_and_run(argc, argv); }
