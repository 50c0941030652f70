# shellcheck shell=sh disable=SC2034,SC2154 # who sources this sets folder, and ends with failed
# How suites of checks tell what passed; sourced, not run.

failed=0

# check NAME COMMAND...: one line on how it went.
check() {
    name=$1
    shift
    if "$@" > "$folder/log" 2>&1; then
        echo "passed $name"
    else
        mv "$folder/log" "$folder/$(echo "$name" | tr -c 'a-z0-9\n' -).log"
        echo "FAILED $name (its output: $folder/$(echo "$name" | tr -c 'a-z0-9\n' -).log)"
        failed=1
    fi
}

skip() {
    echo "skipped $1: $2"
}

installed() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" > /dev/null || { skip "$1" "not installed"; return 1; }
}

# pattern FILE: 256 MiB of data and holes.
pattern() {
    python3 - "$1" << 'END'
import os, random, sys
source = random.Random(7)
with open(sys.argv[1], "wb") as file:
    for _ in range(300):
        file.seek(source.randrange((256 << 20) - (1 << 20)))
        file.write(source.randbytes(source.randrange(1, 200000)))
    file.truncate(256 << 20)
END
}
