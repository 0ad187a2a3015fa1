#!/bin/sh
# Puts OpenAI batch lines on a queue and prints the team's next results, one for each line:
#   examples/clients/kcat.sh TEAM FEATURE JOBS.jsonl >RESULTS.jsonl
set -eu
team=$1 feature=$2 jobs=$3
set -- -b "$OFFPEAK_BROKERS" # or, with passwords or certificates: set -- -F client.properties

kcat "$@" -P -X enable.idempotence=true -X max.in.flight=1 -t "offpeak.jobs.$team.$feature" <"$jobs"

# a group of its own goes on where it stopped; it sees the results of all queues of the team
kcat "$@" -q -c "$(wc -l <"$jobs")" -X auto.offset.reset=earliest \
    -X isolation.level=read_committed -G "offpeak.$team.kcat" "offpeak.results.$team"
