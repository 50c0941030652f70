#!/bin/sh
# Checks the model with SPIN, and that SPIN finds every deliberate mistake. README.md says what and in which bounds.
#   check.sh             every mistake, and the small bound, exhaustively
#   check.sh --large     the small bound with one fault more, exhaustively, then a larger one by hashing (a few minutes)
#   check.sh --trace X   the shortest story SPIN has for mistake X, step by step
# Needs spin and gcc. Exit status: 0 all as it must be, 1 not, 2 wrong arguments or a missing program.
set -eu

here=$(dirname "$(readlink -f "$0")")
mistakes="RELEASE_BEFORE_COMMIT COMMIT_BEFORE_COMPLETE COMMIT_UNCHECKED SKIP_SEAL WRITE_EARLY MARK_LATE FOLD_EARLY \
TAKEOVER_WITHOUT_CAS KEEP_ON_TAKEOVER SOLO_WITHOUT_CAS IO_UNCHECKED FLUSH_EARLY POWER_AS_KILL NO_ROLL_BACK \
FORGET_LAST_CHANGE GIVE_UP_TAKEOVER"

for program in spin gcc; do
    command -v $program > /dev/null || {
        echo "check.sh: $program is missing; install Debian's package $program" >&2
        exit 2
    }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# build NAME MODEL-SWITCHES COMPILER-SWITCHES: the verifier $work/NAME/pan
build() {
    mkdir "$1"
    # shellcheck disable=SC2086 # switches are words
    (cd "$1" && cp "$here/protocol.pml" . && spin $2 -a protocol.pml > spin.log \
        && gcc -w -DSAFETY -DMEMLIM=4000 $3 -o pan pan.c) || {
        cat "$1/spin.log" >&2
        echo "FAIL $1: the model cannot be built" >&2
        exit 1
    }
}

# verify NAME MODEL-SWITCHES COMPILER-SWITCHES PAN-SWITCHES: no violation in the whole of it
verify() {
    build "$1" "$2" "$3"
    # shellcheck disable=SC2086
    (cd "$1" && ./pan -m1000000 $4 > pan.log 2>&1) || true
    log=$1/pan.log
    if ! grep -q 'errors: 0' "$log" || grep -qE 'Search not completed|too small|reached -DMEMLIM|out of memory' "$log"; then
        cat "$log" >&2
        [ ! -e "$1/protocol.pml.trail" ] || story "$1" "$2" >&2
        echo "FAIL $1 ($2)" >&2
        exit 1
    fi
    awk -v name="$1" -v switches="$2" '/states, stored/ { states = $1 } /elapsed time/ { seconds = $4 } /total actual/ { mebibytes = $1 }
        END { printf "ok   %s (%s): %s states, %s s, %d MiB\n", name, switches, states, seconds, mebibytes }' "$log"
}

# find MISTAKE: the violation must be there
find_mistake() {
    build "$1" "-D$1" "-O0 -DCOLLAPSE -DVECTORSZ=512"
    (cd "$1" && ./pan -m100000 > pan.log 2>&1) || true
    if ! grep -q 'assertion violated' "$1/pan.log" || ! [ -e "$1/protocol.pml.trail" ]; then
        cat "$1/pan.log" >&2
        echo "FAIL $1: SPIN does not find this mistake" >&2
        exit 1
    fi
    echo "ok   $1 is found: $(sed -n 's/^pan:1: \(assertion violated.*\) (at depth.*/\1/p' "$1/pan.log" | cut -c 1-100)"
}

# story NAME MODEL-SWITCHES: the first line of each step of the trail
story() {
    # shellcheck disable=SC2086
    (cd "$1" && spin $2 -t -p protocol.pml | awk 'NR == FNR { line[FNR] = $0; next }
        match($0, /^ *[0-9]+:[ \t]+proc +[0-9]+ \([^)]*\) [^:]*:[0-9]+ /) {
            split($0, word, ":"); step = word[1] + 0
            if (step == last) next
            last = step
            match($0, /\([^:]*:/); who = substr($0, RSTART + 1, RLENGTH - 2)
            match($0, /protocol\.pml:[0-9]+/); at = substr($0, RSTART + 13, RLENGTH - 13) + 0
            if (who != "" && who !~ /init/) printf "%4d %-8s %s\n", step, who, line[at]
        }' protocol.pml -)
}

case ${1:-} in
'')
    for mistake in $mistakes; do
        find_mistake "$mistake"
    done
    verify small "" "-O2 -DCOLLAPSE -DVECTORSZ=512" "-w24"
    ;;
--large)
    verify three-faults "-DFAULTS=3" "-O2 -DCOLLAPSE -DVECTORSZ=512" "-w26"
    verify large "-DEPOCHS=3 -DSTEPS=3 -DGENERATIONS=7" "-O2 -DBITSTATE -DVECTORSZ=512" "-w34 -k3"
    ;;
--trace)
    build "${2:?the name of a mistake}" "-D$2" "-O2 -DCOLLAPSE -DVECTORSZ=512 -DREACH"
    (cd "$2" && ./pan -m200 -i -w24 > pan.log 2>&1) || true
    story "$2" "-D$2"
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$here/check.sh" >&2
    exit 2
    ;;
esac
