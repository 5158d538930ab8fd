// SPDX-License-Identifier: Apache-2.0
// `xnic compile`, `explain` and `sweep`: what they print, what they write, what they refuse.
#include <gtest/gtest.h>

#include <algorithm>

#include "process.hpp"

namespace xnic::tests::cli {
namespace {

size_t lines(const std::string& text) { return size_t(std::count(text.begin(), text.end(), '\n')); }
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Compile, PrintsASummaryAndAListingWithSourceLines) {
  const Finished plain = run({"compile", object("maps")});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(lines(plain.out), 1u) << plain.out;
  EXPECT_TRUE(has(plain.out, " rows of 4 lanes, ")) << plain.out;
  const Finished listed = run({"compile", object("maps"), "--listing"});
  EXPECT_GT(lines(listed.out), 3u);
  EXPECT_TRUE(has(listed.out, "   0 | ")) << listed.out;
  EXPECT_TRUE(has(listed.out, "call map_lookup_elem(map ")) << listed.out;
  EXPECT_TRUE(has(listed.out, "bpf_map_lookup_elem(&")) << "the C line: " << listed.out;
}

TEST(Compile, LanesAndPassesAreSettingsOfTheCard) {
  const Finished one = run({"compile", object("maps"), "--card", "lanes=1"});
  EXPECT_TRUE(has(one.out, " rows of 1 lanes, ")) << one.out;
  const Finished bad = run({"compile", object("maps"), "--card", "off=no-such-pass"});
  EXPECT_NE(bad.exit_code, 0);
  EXPECT_TRUE(has(bad.err, "no pass \"no-such-pass\"")) << bad.err;
}

TEST(Compile, WritesAnImageThatIsTheSameEachTime) {
  const std::string a = scratch("a.hxdp"), b = scratch("b.hxdp");
  EXPECT_EQ(run({"compile", object("maps"), "-o", a}).exit_code, 0);
  EXPECT_EQ(run({"compile", object("maps"), "--out", b}).exit_code, 0);
  const std::string image = read_file(a);
  EXPECT_EQ(image.substr(0, 8), "XNICHXDP");
  EXPECT_EQ(image, read_file(b));
}

TEST(Compile, TooFewRowsNameTheParameter) {
  const Finished finished = run({"compile", object("maps"), "--card", "rows=2"});
  EXPECT_NE(finished.exit_code, 0);
  EXPECT_TRUE(has(finished.err, "the instruction memory has 2 (parameter rows=")) << finished.err;
  EXPECT_TRUE(finished.out.empty()) << finished.out;
}

TEST(Compile, AnImageHoldsOneProgram) {
  const Finished finished = run({"compile", object("two_programs"), "-o", scratch("two.hxdp")});
  EXPECT_NE(finished.exit_code, 0);
  EXPECT_TRUE(has(finished.err, "--program")) << finished.err;
}

TEST(Explain, SaysWhereCyclesGoAndWhatWouldHelp) {
  const Finished finished = run({"explain", object("maps"), "--in", trace()});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  for (const char* part : {"Bound by ", "Cycles of a core, by cause, per packet:", "rows (one cycle each)",
                           "Lanes in use, by row run:", "Why rows follow each other:", "Rows that cost most",
                           "What would help (measured with the change made):", "twice the lanes"})
    EXPECT_TRUE(has(finished.out, part)) << part << " in " << finished.out;
}

TEST(Explain, NeedsPackets) {
  const Finished none = run({"explain", object("maps"), "--in", scratch("missing.pcap")});
  EXPECT_NE(none.exit_code, 0);
  EXPECT_TRUE(has(none.err, "missing.pcap")) << none.err;
}

TEST(Sweep, GivesOneLineForEachCard) {
  const Finished finished =
      run({"sweep", object("maps"), "--in", trace(), "--lanes", "1,4", "--cores", "1,2", "--csv"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_EQ(lines(finished.out), 5u) << finished.out;
  EXPECT_TRUE(finished.out.starts_with("lanes,cores,frame_bytes,clock_mhz,rows,")) << finished.out;
  EXPECT_TRUE(has(finished.out, "\n4,2,32,")) << finished.out;
}

}  // namespace
}  // namespace xnic::tests::cli
