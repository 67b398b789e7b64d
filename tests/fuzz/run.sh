#!/bin/sh
# Fuzzes every target for an equal share of SECONDS (default 60) with libFuzzer, on stable Rust. The seeds are in
# corpus/, what is found beyond them in the build folder. Fails if an input fails, and says where that input is.
set -eu

seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
build=${CARGO_TARGET_DIR:-$here/../../target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
targets="unit_file glob name template resource routes proxy_protocol http1"

# The same counters that cargo-fuzz asks for with `--sanitizer none`; they need no nightly compiler.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
RUSTFLAGS="$flags" cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" \
    --target "$host" --target-dir "$build"

share=$((seconds / 8))
[ "$share" -gt 0 ] || share=1
for target in $targets; do
    mkdir -p "$build/corpus/$target" "$build/failures"
    echo "fuzzing $target for $share s"
    if ! "$build/$host/release/$target" -max_total_time="$share" -timeout=10 -rss_limit_mb=1024 -max_len=8192 \
        -print_final_stats=1 -verbosity=0 -dict="$here/$target.dict" -artifact_prefix="$build/failures/$target-" \
        "$build/corpus/$target" "$here/corpus/$target" >"$build/$target.log" 2>&1; then
        cat "$build/$target.log"
        echo "$target failed; the input is in $build/failures" >&2
        exit 1
    fi
    grep '^stat::' "$build/$target.log"
done
