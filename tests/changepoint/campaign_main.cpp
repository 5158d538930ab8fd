// SPDX-License-Identifier: Apache-2.0
// changepoint_campaign: the campaign of the tests at any length. Exit code 1 when an answer differs.
#include <CLI/CLI.hpp>
#include <chrono>

#include "campaign.hpp"
#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"

using namespace xnic::apps::changepoint;

int main(int argc, char** argv) {
  CLI::App app{"Many streams through the card, every answer compared with the plain computation"};
  Campaign c;
  c.streams = 10000;
  bool sampling = false;
  app.add_option("OBJECT.o", c.object, "changepoint_stream.bpf.o, or changepoint_sample.bpf.o with --sampling")
      ->required();
  app.add_flag("--sampling", sampling, "The object draws samples from its window");
  app.add_option("--engine", c.engine, "interp, native, hxdp, kernel")->capture_default_str();
  app.add_option("--queues", c.queues, "Queues, a thread each")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--streams", c.streams, "Streams")->capture_default_str();
  app.add_option("--samples", c.samples, "Samples of each")->capture_default_str();
  app.add_option("--loss", c.loss_per_mille, "Per mille of packets lost")->check(CLI::Range(0, 1000));
  app.add_option("--reorder", c.reorder_per_mille, "Per mille delayed a little")->check(CLI::Range(0, 1000));
  app.add_option("--late", c.late_per_mille, "Per mille delayed too long")->check(CLI::Range(0, 1000));
  app.add_option("--duplicates", c.duplicate_per_mille, "Per mille sent twice")->check(CLI::Range(0, 1000));
  app.add_option("--seed", c.seed, "Other series, other losses")->capture_default_str();
  app.add_option("--cores", c.cores, "Cores of the hXDP card; packets go to them by flow")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  if (sampling) c.parameters.kind = StreamKind::kSampling;
  xnic::compile::HxdpOptions hxdp;
  hxdp.parameters.cores = c.cores;
  xnic::device::install_hxdp(hxdp);
  xnic::device::install_native();
  const auto start = std::chrono::steady_clock::now();
  const CampaignResult r = run_campaign(c);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!r.error.empty()) {
    std::fprintf(stderr, "changepoint_campaign: %s\n", r.error.c_str());
    return 1;
  }
  const auto u = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%u streams of %u samples on %s, %u queues: %llu packets in %.1f s, %llu lost on the way\n", c.streams,
              c.samples, c.engine.c_str(), c.queues, u(r.sent), seconds, u(r.lost));
  std::printf(
      "card: %llu taken, %llu missing, %llu reordered, %llu late, %llu duplicates; %llu decisions, %llu splits\n",
      u(r.card.taken), u(r.card.missing), u(r.card.reordered), u(r.card.late), u(r.card.duplicates),
      u(r.card.decisions), u(r.card.splits));
  std::printf("ring buffer: %llu results, %llu wrong, %llu found no room\n", u(r.results), u(r.wrong_results),
              u(r.card.untold));
  std::printf("%llu answers compared, %llu different; counters %s\n", u(r.sent), u(r.different),
              r.card == r.plain ? "equal" : "different");
  if (!r.first_difference.empty()) std::printf("%s\n", r.first_difference.c_str());
  return r.different == 0 && r.wrong_results == 0 && r.card == r.plain ? 0 : 1;
}
