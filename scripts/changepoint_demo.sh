#!/bin/sh
# The stock series through the card. usage: changepoint_demo.sh BIN_DIR PROGRAMS_DIR OUT_DIR
set -e
bin=$1 programs=$2 out=$3
series=apps/changepoint/data/stock_000001SZ.txt
mkdir -p "$out"
for form in fixed double; do
  echo "== changepoint_$form: send, through the hXDP card, receive"
  "$bin/xnic-changepoint" send $series --skip-blank --form $form --out "$out/$form-sent.pcapng"
  "$bin/xnic" run "$programs/changepoint_$form.bpf.o" --engine hxdp --in "$out/$form-sent.pcapng" \
    --out "$out/$form-decided.pcapng"
  "$bin/xnic-changepoint" recv --form $form --in "$out/$form-decided.pcapng" --series $series --skip-blank \
    --csv "$out/$form.csv"
  "$bin/xnic-changepoint" measure $series --skip-blank --form $form
  echo
done
cmp "$out/fixed.csv" "$out/double.csv" && echo "both forms: the same 3239 decisions"
echo
"$bin/xnic-changepoint" plot $series --skip-blank --decisions "$out/fixed.csv"
"$bin/xnic-changepoint" plot $series --skip-blank --decisions "$out/fixed.csv" --svg "$out/stock.svg"
echo "picture: $out/stock.svg; decisions: $out/fixed.csv"
