#!/usr/bin/env bash
# Sends waves of simultaneous requests for one template, as a cache stampede begins, and reports what they cost the database.
# `./loadtest.sh --help` says the rest. Needs bash and curl.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'HELP'
usage: ./loadtest.sh [OPTIONS] [URL]

Sends waves of simultaneous requests for one template, and before each wave
requests spread over all templates. Reports what that cost the database.
URL is the service, http://127.0.0.1:8080 unless given.

  --waves N        how many waves                                  [25]
  --concurrency N  requests of one wave, all at once, up to 300   [200]
  --spread N       requests spread over all ids before each wave  [100]
  --ids N          ids go from 1 to N                             [100]
  --pause SECONDS  from the end of a wave to the next               [1]
  --metrics URL    where the counters are            [the service's /metrics]
                   again for each further replica behind a load balancer
  --compare [URL]  send the same requests to the unprotected service at URL
                   too, and show both            [http://127.0.0.1:8081]
                   No wave's id has been asked for before, so that every wave
                   is a stampede.
  --help           this text

Exit status: 0 when every request was answered with 200, 1 when one was not or
nothing answers, 2 when the options make no sense.
HELP
}

fail() { # fail STATUS MESSAGE...
    local status=$1
    shift
    printf 'loadtest.sh: %s\n' "$1" >&2
    printf '  %s\n' "${@:2}" >&2
    exit "$status"
}
misused() { fail 2 "$1" 'See ./loadtest.sh --help.'; }

# ---- options -------------------------------------------------------------------------------------------------------

url='' unprotected='' metrics=()
waves=25 concurrency=200 spread=100 ids=100 pause=1

number() { # number OPTION VALUE LEAST MOST: sets the variable that is named like the option
    if ! [[ $2 =~ ^[0-9]{1,7}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        misused "$1 needs a number from $3 to $4, not '$2'"
    fi
    printf -v "${1#--}" %d "$((10#$2))"
}
address() { # address TEXT
    # No quotes, backslashes or blanks: the address becomes part of curl's configuration.
    if ! [[ $1 =~ ^https?://[^[:space:]\"\\]+$ ]]; then misused "'$1' is no address like http://127.0.0.1:8080"; fi
}

while (($#)); do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac # --waves=3 is --waves 3
    case $1 in
    --help | -h) usage && exit 0 ;;
    --waves) number "$1" "${2:-}" 1 10000 && shift ;;
    --concurrency) number "$1" "${2:-}" 1 300 && shift ;;
    --spread) number "$1" "${2:-}" 0 10000 && shift ;;
    --ids) number "$1" "${2:-}" 1 10000 && shift ;;
    --pause) number "$1" "${2:-}" 0 3600 && shift ;;
    --metrics) address "${2:-}" && metrics+=("$2") && shift ;;
    --compare)
        unprotected=http://127.0.0.1:8081
        if [[ ${2:-} == http*://* ]]; then address "$2" && unprotected=${2%/} && shift; fi
        ;;
    -*) misused "there is no option $1" ;;
    *)
        [ -z "$url" ] || misused "one address at most: '$url' and '$1'"
        address "$1" && url=${1%/}
        ;;
    esac
    shift
done
url=${url:-http://127.0.0.1:8080}
if [ "$unprotected" ] && ((waves >= ids)); then misused "--compare needs more --ids than waves ($waves)"; fi
if [ "$unprotected" ] && ((${#metrics[@]})); then misused '--compare reads the counters of the two services itself'; fi
((${#metrics[@]})) || metrics=("$url/metrics")

# ---- asking and counting -------------------------------------------------------------------------------------------

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# curl without the user's settings, and without a proxy to this machine itself.
request() { curl -q --silent --show-error --no-progress-meter --noproxy 127.0.0.1,localhost,::1 --connect-timeout 5 --max-time 30 "$@"; }

# Asks for all IDS at the same time. Writes a line "status seconds" for each to FILE; 000 stands for no answer.
send() { # send URL FILE IDS...
    local to=$1 file=$2
    shift 2
    (($#)) || return 0
    printf "url = \"$to/template-details?id=%s\"\noutput = \"/dev/null\"\n" "$@" |
        request --parallel --parallel-immediate --parallel-max 300 --config - \
            --write-out '%{http_code} %{time_total}\n' >"$scratch/sent" 2>>"$scratch/errors" || true # the lines say it
    awk -v wanted=$# 'NF == 2 { print; n++ } END { while (n++ < wanted) print "000 0" }' "$scratch/sent" >>"$file"
}

# The counters of the service, summed over its replicas: answers, queries, hits, misses, shared, copies.
counters() { # counters METRICS_URL...
    request --fail --fail-early "$@" | awk '
        { name = $1; sub(/[{].*/, "", name); sum[name] += $2 }
        $1 ~ /^template_responses_total.*source="(local|stale)"/ { copies += $2 }
        END {
            if (!("db_hits_total" in sum)) exit 1
            printf "%d %d %d %d %d %d\n", sum["template_responses_total"], sum["db_hits_total"], sum["cache_hits_total"],
                sum["cache_misses_total"], sum["singleflight_shared_total"], copies
        }' || fail 1 "no counters of the service at $*" \
        'Start it: docker compose up --build -d    (or: cargo run --release)'
}

percentile() { # percentile P FILE: in milliseconds
    sort -n -k 2 "$2" | awk -v p="$1" '{ time[NR] = $2 }
        END { rank = int(NR * p / 100); if (rank < NR * p / 100) rank++; printf "%.1f", time[rank] * 1000 }'
}

# One round: the spread requests, then the wave, with the counters before, between and after. Shows one line.
round() { # round NAME URL ID SPREAD_IDS METRICS_URL...
    local name=$1 to=$2 id=$3 spread_ids=$4 before between after failed
    shift 4
    : >"$scratch/spread" && : >"$scratch/wave"
    before=$(counters "$@")
    # shellcheck disable=SC2086 # one word for each id
    send "$to" "$scratch/spread" $spread_ids
    between=$(counters "$@")
    # shellcheck disable=SC2046
    send "$to" "$scratch/wave" $(for ((i = 0; i < concurrency; i++)); do echo "$id"; done)
    after=$(counters "$@")
    cat "$scratch/spread" "$scratch/wave" >>"$scratch/$name.answers"
    echo "$before $after" >>"$scratch/$name.counters"
    failed=$(awk '$1 != 200' "$scratch/spread" "$scratch/wave" | wc -l)
    # Queries are the second counter, copies the sixth.
    awk -v name="$name" -v wave="$wave/$waves" -v spread="$spread" -v id="$id" -v concurrency="$concurrency" \
        -v failed="$failed" -v p95="$(percentile 95 "$scratch/wave")" '
        { printf "%-11s %7s %8d %8d %8d %8d %7d %7d %6d\n", name, wave, spread, $8 - $2, id, $14 - $8, $18 - $6, failed, p95 }
    ' <<<"$before $between $after"
    if (($(cut -d ' ' -f 2 <<<"$between") == $(cut -d ' ' -f 2 <<<"$after"))); then warm=$((warm + 1)); fi
}

# ---- the test ------------------------------------------------------------------------------------------------------

# The ids in random order. Wave number n is for order[n]; the spread requests go round all of them.
order=() at=0 warm=0
for ((i = 0; i < ids; i++)); do
    j=$((RANDOM % (i + 1)))
    order[i]=${order[j]:-}
    order[j]=$((i + 1))
done

echo "$waves waves of $concurrency simultaneous requests for one id, after $spread spread over $ids ids"
printf '%-11s %7s %8s %8s %8s %8s %7s %7s %6s\n' '' wave spread queries 'wave id' queries copies errors 'p95 ms'
for ((wave = 1; wave <= waves; wave++)); do
    ((wave == 1)) || sleep "$pause"
    spread_ids=
    for ((k = 0; k < spread; k++)); do
        # In a comparison, an id that a wave is still to come for is left out.
        while at=$(((at + 1) % ids)) && [ "$unprotected" ] && ((at >= wave - 1 && at < waves)); do :; done
        spread_ids+=" ${order[at]}"
    done
    id=${order[(wave - 1) % ids]}
    if [ "$unprotected" ]; then
        round unprotected "$unprotected" "$id" "$spread_ids" "$unprotected/metrics"
        round protected "$url" "$id" "$spread_ids" "${metrics[@]}"
    else
        round service "$url" "$id" "$spread_ids" "${metrics[@]}"
    fi
done

# ---- the report ----------------------------------------------------------------------------------------------------

names=(service)
if [ "$unprotected" ]; then names=(unprotected protected); fi
for name in "${names[@]}"; do
    {
        awk '{ for (i = 1; i <= 6; i++) grew[i] += $(i + 6) - $i }
            END { for (i = 1; i <= 6; i++) print grew[i] }' "$scratch/$name.counters"
        awk '{ n++ } $1 != 200 { failed++ } $1 == "000" { silent++ } END { print n, failed + 0, silent + 0 }' "$scratch/$name.answers"
        for p in 50 95 99; do percentile $p "$scratch/$name.answers" && echo; done
    } | tr '\n' ' ' >"$scratch/$name.summary"
done
for name in "${names[@]}"; do cat "$scratch/$name.summary" && echo; done | awk -v names="${names[*]}" '
    function row(label, form, column) {
        line = sprintf("  %-19s", label)
        for (i = 1; i <= NR; i++) line = line sprintf(" %14s", column[i] == "" ? "-" : sprintf(form, column[i]))
        print line
    }
    {
        answers[NR] = $1; queries[NR] = $2; shared[NR] = $5; copies[NR] = $6; requests[NR] = $7; errors[NR] = $8; silent[NR] = $9
        p50[NR] = $10; p95[NR] = $11; p99[NR] = $12
        if ($3 + $4) hit_rate[NR] = 100 * $3 / ($3 + $4)
        if ($2) per_query[NR] = $7 / $2
    }
    END {
        split(names, name, " ")
        print ""
        row("", "%s", name)
        row("requests", "%d", requests); row("errors", "%d", errors)
        row("database queries", "%d", queries); row("requests per query", "%.1f", per_query)
        row("shared a load", "%d", shared); row("from own copies", "%d", copies); row("cache hit rate", "%.2f %%", hit_rate)
        row("p50", "%.1f ms", p50); row("p95", "%.1f ms", p95); row("p99", "%.1f ms", p99)
        print "\nTimes are those of curl, its own work on this machine included. Each wave waits"
        print "for the one before (a closed loop), so a slow service is asked less often."
        print "Compare the queries; the times only with runs on the same idle machine."
        for (i = 1; i <= NR; i++) {
            others = answers[i] - requests[i] + silent[i]
            if (others > 0) print "Note: " name[i] " counted " others " requests of others as well."
            if (others < 0) print "Note: " -others " requests are missing from the counters of " name[i] ".\n" \
                "Was it restarted? Behind a load balancer, name each replica: --metrics."
        }
    }'
if [ "$unprotected" ] && ((warm)); then
    echo "Note: $warm waves met a template that was cached already. Wait 30 seconds, until the"
    echo 'cache has expired, before you compare again.'
fi

cat "$scratch"/*.answers | awk '$1 != 200 { seen[$1 == "000" ? "no answer" : "status " $1]++; failed++ }
    END { for (what in seen) print "  " seen[what] " x " what; exit failed > 0 }' >&2 || {
    grep '^curl:' "$scratch/errors" | sort | uniq -c | sort -rn | head -n 3 >&2 || true
    fail 1 'not every request was answered with 200' 'What failed, and how often, is listed above.'
}
