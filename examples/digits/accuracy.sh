#!/bin/sh
# Prints how many predictions of the digits job are right.
#
#   accuracy.sh RESULT
#
# RESULT is the concatenated predictions.csv of all shards, or a folder in which
# it lies. A line is "true digit,predicted digit"; line n is image n of digits.bin.
# The second line printed is about the images that training never saw: when all
# 1,797 are there, those after the first 1,437 (see train.py).
set -eu
if [ $# -ne 1 ]; then
    echo "usage: accuracy.sh RESULT (predictions.csv, or the folder that holds it)" >&2
    exit 2
fi
result=$1
if [ -d "$result" ]; then
    found=$(find "$result" -type f -name predictions.csv | LC_ALL=C sort)
    if [ -z "$found" ]; then
        echo "accuracy.sh: no predictions.csv in $result" >&2
        exit 1
    fi
    # A result that was not merged has one file a shard, in folders that sort.
    result=$(mktemp)
    trap 'rm -f "$result"' EXIT
    echo "$found" | while IFS= read -r file; do cat "$file"; done >"$result"
elif [ ! -r "$result" ]; then
    echo "accuracy.sh: cannot read $result" >&2
    exit 1
fi
LC_ALL=C awk -F, '
    !/^[0-9],[0-9]$/ {
        printf "accuracy.sh: line %d is not \"digit,digit\": %s\n", NR, $0 > "/dev/stderr"
        failed = 1
        exit 1
    }
    { right += $1 == $2 }
    NR > 1437 { held_out++; held_out_right += $1 == $2 }
    END {
        if (failed) exit 1
        if (NR == 0) { print "accuracy.sh: the result is empty" > "/dev/stderr"; exit 1 }
        printf "accuracy %.4f (%d of %d)\n", right / NR, right, NR
        if (NR == 1797) printf "held out %.4f (%d of %d)\n", held_out_right / held_out, held_out_right, held_out
    }' "$result"
