#!/usr/bin/env bash
# Waves of simultaneous requests for one template, the way a cache stampede begins, and a report of what they cost.
# `./loadtest.sh --help` says the rest. Needs bash and curl.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'HELP'
usage: ./loadtest.sh [OPTIONS] [URL]

Sends waves of simultaneous requests for one template, between them requests
spread over all templates, and reports what that cost the database.
URL is the service, http://127.0.0.1:8080 unless given.

  --waves N        how many waves                                  [25]
  --concurrency N  requests of one wave, all at once, up to 300   [200]
  --spread N       requests spread over all ids before each wave  [100]
  --ids N          ids go from 1 to N                             [100]
  --pause SECONDS  from one wave to the next                         [1]
  --seed N         the ids of the waves; the same seed, the same ids
  --metrics URL    where the counters are            [the service's /metrics]
                   again for each further replica behind a load balancer

  --compare [URL]  send the same to the unprotected service at URL first, and
                   show both         [http://127.0.0.1:8081]
                   Each of its waves is for an id that nobody has asked for
                   yet, so that every one of them is a stampede.
  --outage         take Redis away for the middle third of the waves, and
                   show before, during and after
  --outage-command COMMAND   what takes it away  [docker compose pause redis]
  --restore-command COMMAND  what brings it back [docker compose unpause redis]

  --json           the report in JSON, on standard output; the rest on
                   standard error
  --help           this text

Exit status: 0 when every request was answered with 200, 1 when one was not or
nothing answers, 2 when the options make no sense.

A pause before a second run lets the cache expire: what is cached is not
asked for, and the report shows that as well.
HELP
}

fail() { # fail STATUS MESSAGE...
    local status=$1
    shift
    printf 'loadtest.sh: %s\n' "$@" >&2
    exit "$status"
}

misused() { fail 2 "$1" 'See ./loadtest.sh --help'; }

# ---- options -------------------------------------------------------------------------------------------------------

url=http://127.0.0.1:8080
waves=25 concurrency=200 spread=100 ids=100 pause=1 seed=$$
mode=plain json=false given=
unprotected=http://127.0.0.1:8081
outage_command='docker compose pause redis'
restore_command='docker compose unpause redis'
metrics_urls=

number() { # number OPTION VALUE LEAST MOST
    case $2 in
    '' | *[!0-9]* | ????????*) misused "$1 needs a number from $3 to $4, not '$2'" ;;
    esac
    if ((10#$2 < $3 || 10#$2 > $4)); then misused "$1 needs a number from $3 to $4, not '$2'"; fi
    value=$((10#$2))
}

address() { # address OPTION VALUE
    case $2 in
    http://?* | https://?*) value=${2%/} ;;
    *) misused "$1 needs an address like http://127.0.0.1:8080, not '$2'" ;;
    esac
    case $2 in
    *[\"\\[:space:]]*) misused "$1: no quotes, backslashes or blanks in an address" ;;
    esac
}

choose() { # choose MODE
    if [ "$mode" != plain ] && [ "$mode" != "$1" ]; then misused '--compare and --outage are two different tests'; fi
    mode=$1
}

while (($#)); do
    option=$1
    shift
    case $option in
    --*=*) # --waves=3 is --waves 3
        set -- "${option#*=}" "$@"
        option=${option%%=*}
        ;;
    esac
    case $option in
    --waves | --concurrency | --spread | --ids | --pause | --seed | --metrics | --outage-command | --restore-command)
        if ! (($#)); then misused "$option needs a value"; fi
        argument=$1
        shift
        ;;
    esac
    case $option in
    --waves) number "$option" "$argument" 1 10000 && waves=$value ;;
    --concurrency) number "$option" "$argument" 1 300 && concurrency=$value ;;
    --spread) number "$option" "$argument" 0 10000 && spread=$value ;;
    --ids) number "$option" "$argument" 1 1000000 && ids=$value ;;
    --seed) number "$option" "$argument" 0 9999999 && seed=$value ;;
    --pause)
        case $argument in
        '' | . | *[!0-9.]* | *.*.*) misused "--pause needs seconds, like 0.5, not '$argument'" ;;
        esac
        pause=$argument
        ;;
    --metrics) address "$option" "$argument" && metrics_urls="$metrics_urls $value" ;;
    --compare)
        choose compare
        case ${1:-} in
        http://* | https://*)
            address "$option" "$1" && unprotected=$value
            shift
            ;;
        esac
        ;;
    --outage) choose outage ;;
    --outage-command) choose outage && outage_command=$argument ;;
    --restore-command) choose outage && restore_command=$argument ;;
    --json) json=true ;;
    --help | -h)
        usage
        exit 0
        ;;
    -*) misused "there is no option $option" ;;
    *)
        if [ -n "$given" ]; then misused "one address at most: '$given' and '$option'"; fi
        address 'the service' "$option"
        given=$option url=$value
        ;;
    esac
done

if [ "$mode" = outage ] && ((waves < 3)); then misused '--outage needs three waves at least: before, during, after'; fi
if [ "$mode" = compare ] && ((waves >= ids)); then
    misused "--compare asks for a new id with every wave: $waves waves need more than $waves --ids"
fi
if [ "$mode" = compare ] && [ -n "$metrics_urls" ]; then misused '--compare reads the counters of the two services itself'; fi
metrics_urls=${metrics_urls:-$url/metrics}

command -v curl >/dev/null || fail 1 'needs curl, and there is none in the PATH'

# ---- the parts -----------------------------------------------------------------------------------------------------

scratch=$(mktemp -d)
away=false

restore() {
    if ! $away; then return 0; fi
    away=false
    sh -c "$restore_command" >"$scratch/command" 2>&1 || {
        cat "$scratch/command" >&2
        printf 'loadtest.sh: this did not bring Redis back: %s\n' "$restore_command" >&2
        return 1
    }
}

leave() {
    local status=$?
    restore || status=1
    rm -rf "$scratch"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { if $json; then printf '%s\n' "$*" >&2; else printf '%s\n' "$*"; fi; }

# No settings of the user's, and no proxy to this machine itself.
request() { curl -q --silent --show-error --no-progress-meter --noproxy 127.0.0.1,localhost,::1 --connect-timeout 5 --max-time 30 "$@"; }

# Asks for every id on standard input at the same time; adds a line "status seconds" for each to FILE.
send() { # send URL FILE
    while read -r id; do
        printf 'url = "%s/template-details?id=%s"\noutput = "/dev/null"\n' "$1" "$id"
    done >"$scratch/requests"
    if [ ! -s "$scratch/requests" ]; then return 0; fi
    # Its exit status says no more than the lines do.
    request --parallel --parallel-immediate --parallel-max 300 \
        --config "$scratch/requests" --write-out '%{http_code} %{time_total}\n' >"$scratch/sent" 2>>"$scratch/errors" || true
    # 000 stands for no answer, and so does a line that is missing.
    awk -v wanted=$(($(wc -l <"$scratch/requests") / 2)) \
        'NF == 2 { print; lines++ } END { while (lines++ < wanted) print "000 0" }' "$scratch/sent" >>"$2"
}

# One line per counter, "name value", summed over its labels and over the replicas at URLS.
count() { # count FILE URLS...
    local file=$1 address
    shift
    for address; do
        request --fail "$address" || fail 1 "no counters at $address" 'Is this the service, and is it running?'
    done >"$scratch/exposition"
    awk '/^#/ { next }
        { name = $1; sub(/[{].*/, "", name) }
        name == "template_responses_total" && $1 ~ /source="(local|stale)"/ { sum["copies"] += $2 }
        name ~ /^(cache_hits|cache_misses|db_hits|singleflight_shared|template_responses)_total$/ { sum[name] += $2 }
        END { for (name in sum) printf "%s %.0f\n", name, sum[name] }' "$scratch/exposition" >"$file"
    grep -q '^db_hits_total ' "$file" ||
        fail 1 "the counters of this service are not at $address" 'Is something else listening there?'
}

# What the part called NAME cost, from its answers and the counters around it, as lines "key value"; "-" is unknown.
summarise() { # summarise NAME
    local answers=$scratch/$1.answers
    touch "$answers"
    awk '{ print $2 }' "$answers" | sort -n >"$scratch/times"
    {
        awk '{ print "answer", $1 }' "$answers"
        awk '{ print "time", $1 }' "$scratch/times"
        sed 's/^/before /' "$scratch/$1.before"
        sed 's/^/after /' "$scratch/$1.after"
    } | awk '
        function percentile(p,   rank) {
            if (!n) return "-"
            rank = int(n * p / 100); if (rank < n * p / 100) rank++
            return sprintf("%.1f", time[rank] * 1000)
        }
        function share(part, all) { return all > 0 ? sprintf("%.2f", 100 * part / all) : "-" }
        $1 == "answer" { requests++; if ($2 != "200") { errors++ } }
        $1 == "time" { time[++n] = $2 }
        $1 == "before" { grew[$2] -= $3 }
        $1 == "after" { grew[$2] += $3 }
        END {
            queries = grew["db_hits_total"] + 0
            print "requests", requests + 0
            print "errors", errors + 0
            print "success_percent", share(requests - errors, requests)
            print "p50_ms", percentile(50)
            print "p95_ms", percentile(95)
            print "p99_ms", percentile(99)
            print "hit_percent", share(grew["cache_hits_total"], grew["cache_hits_total"] + grew["cache_misses_total"])
            print "copies", grew["copies"] + 0
            print "queries", queries
            print "shared", grew["singleflight_shared_total"] + 0
            print "requests_per_query", (queries > 0 ? sprintf("%.1f", requests / queries) : "-")
            print "counted", grew["template_responses_total"] + 0
        }' >"$scratch/$1.summary"
}

of() { awk -v key="$2" '$1 == key { print $2 }' "$scratch/$1.summary"; } # of NAME KEY

# ---- the ids -------------------------------------------------------------------------------------------------------

# One line per round: the id of its wave, and those of its spread. The plain test draws the waves' ids at random, and its
# spread goes round all ids. The comparison's waves are all for different ids, and its spread goes round those that no
# wave is still to come for: so every wave meets an empty cache.
plan() {
    awk -v waves="$waves" -v ids="$ids" -v spread="$spread" -v seed="$seed" -v mode="$mode" '
        BEGIN {
            srand(seed)
            for (i = 1; i <= ids; i++) order[i] = i
            for (i = ids; i > 1; i--) { j = 1 + int(rand() * i); t = order[i]; order[i] = order[j]; order[j] = t }
            for (wave = 1; wave <= waves; wave++) {
                id = mode == "compare" ? order[wave] : 1 + int(rand() * ids)
                line = id
                for (k = 1; k <= spread; k++) {
                    do { at = at % ids + 1 } while (mode == "compare" && at >= wave && at <= waves)
                    line = line " " order[at]
                }
                print line
            }
        }'
}

repeated() { # repeated ID: the ids of a wave
    local left=$concurrency
    while ((left--)); do echo "$1"; done
}

# ---- the test ------------------------------------------------------------------------------------------------------

progress_head() {
    say "$(printf '%-19s %8s %8s %10s %8s %8s %13s' '' spread queries 'wave for' 'at once' queries 'p95 of wave')"
}

# One round, counted to NAME, with a line of progress.
round() { # round NAME URL WAVE ID SPREAD_IDS METRICS_URLS...
    local name=$1 target=$2 wave=$3 id=$4 spread_ids=$5 part failed
    shift 5
    rm -f "$scratch"/spread.* "$scratch"/wave.*
    count "$scratch/spread.before" "$@"
    # shellcheck disable=SC2086 # one word for each id
    if [ -n "$spread_ids" ]; then printf '%s\n' $spread_ids | send "$target" "$scratch/spread.answers"; fi
    count "$scratch/wave.before" "$@"
    cp "$scratch/wave.before" "$scratch/spread.after"
    repeated "$id" | send "$target" "$scratch/wave.answers"
    count "$scratch/wave.after" "$@"
    for part in spread wave; do
        summarise $part
        cat "$scratch/$part.answers" >>"$scratch/$name.answers"
    done
    failed=$(($(of spread errors) + $(of wave errors)))
    say "$(printf '%-11s %7s %8d %8d %10s %8d %8d %10s ms%s' "$name" "$wave/$waves" "$spread" "$(of spread queries)" \
        "id $id" "$concurrency" "$(of wave queries)" "$(of wave p95_ms)" \
        "$(if ((failed)); then printf '\n  %d failed' "$failed"; fi)")"
}

reach() { # reach URL
    local status
    status=$(request --output /dev/null --write-out '%{http_code}' "$1/healthz" 2>"$scratch/errors") || true
    if [ "$status" != 200 ]; then
        if [ "$status" = 000 ]; then
            sed 's/^/  /' "$scratch/errors" >&2
            fail 1 "nothing answers at $1" "$2"
        fi
        fail 1 "what answers at $1 is not healthy: /healthz says $status" "$2"
    fi
}

start_it='Start it with: docker compose up --build -d    (or: cargo run --release)'
reach "$url" "$start_it"
case $mode in
compare)
    reach "$unprotected" 'Start it with: docker compose --profile compare up --build -d'
    parts='unprotected protected'
    ;;
outage) parts='before during after' ;;
*) parts=run ;;
esac

say "$waves waves of $concurrency simultaneous requests for one id, after $spread spread over $ids ids"
: >"$scratch/errors"
plan >"$scratch/plan"
if [ "$mode" = compare ]; then
    count "$scratch/unprotected.before" "$unprotected/metrics"
    count "$scratch/protected.before" "$url/metrics"
fi

progress_head
third=$((waves / 3))
part=run
wave=0 warm=0
while read -r id spread_ids; do
    wave=$((wave + 1))
    wait
    if ((wave < waves)); then sleep "$pause" & fi
    case $mode in
    compare)
        round unprotected "$unprotected" $wave "$id" "$spread_ids" "$unprotected/metrics"
        if [ "$(of wave queries)" = 0 ]; then warm=$((warm + 1)); fi
        round protected "$url" $wave "$id" "$spread_ids" "$url/metrics"
        if [ "$(of wave queries)" = 0 ]; then warm=$((warm + 1)); fi
        continue
        ;;
    outage)
        before=$part
        if ((wave <= third)); then part=before; elif ((wave <= waves - third)); then part=during; else part=after; fi
        if [ "$part" != "$before" ]; then
            # shellcheck disable=SC2086 # one word for each address
            if ((wave > 1)); then count "$scratch/$before.after" $metrics_urls; fi
            case $part in
            during)
                say "-- taking Redis away: $outage_command"
                away=true
                sh -c "$outage_command" >"$scratch/command" 2>&1 </dev/null || {
                    cat "$scratch/command" >&2
                    fail 1 "this did not take Redis away: $outage_command"
                }
                ;;
            after)
                say "-- bringing Redis back: $restore_command"
                restore || exit 1
                ;;
            esac
        fi
        ;;
    esac
    # shellcheck disable=SC2086
    if [ ! -e "$scratch/$part.before" ]; then count "$scratch/$part.before" $metrics_urls; fi
    # shellcheck disable=SC2086
    round $part "$url" $wave "$id" "$spread_ids" $metrics_urls
done <"$scratch/plan"

if [ "$mode" = compare ]; then
    count "$scratch/unprotected.after" "$unprotected/metrics"
    count "$scratch/protected.after" "$url/metrics"
else
    # shellcheck disable=SC2086
    count "$scratch/$part.after" $metrics_urls
fi

# ---- the report ----------------------------------------------------------------------------------------------------

failed=0
for part in $parts; do
    summarise "$part"
    failed=$((failed + $(of "$part" errors)))
done

row() { # row LABEL KEY UNIT
    local cell part
    printf '  %-20s' "$1"
    for part in $parts; do
        cell=$(of "$part" "$2")
        if [ "$cell" = - ]; then printf ' %14s' -; else printf ' %14s' "$(grouped "$cell")$3"; fi
    done
    if [ "$mode" = compare ]; then printf ' %12s' "$(ratio "$2")"; fi
    printf '\n'
}

# How many times the protected service's figure the unprotected one's is.
ratio() { # ratio KEY
    case $1 in
    *_percent) return 0 ;;
    esac
    awk -v a="$(of unprotected "$1")" -v b="$(of protected "$1")" \
        'BEGIN { if (a + 0 > 0 && b + 0 > 0) printf "%.2f", a / b; else print "-" }'
}

grouped() { # 7500 -> 7,500
    awk -v n="$1" 'BEGIN {
        split(n, part, "."); digits = part[1]; out = ""
        while (length(digits) > 3) { out = "," substr(digits, length(digits) - 2) out; digits = substr(digits, 1, length(digits) - 3) }
        printf "%s%s%s", digits, out, part[2] == "" ? "" : "." part[2]
    }'
}

table() {
    local part
    printf '\n  %-20s' ''
    for part in $parts; do printf ' %14s' "$part"; done
    if [ "$mode" = compare ]; then printf ' %12s' ratio; fi
    printf '\n'
    row requests requests ''
    row errors errors ''
    row 'success rate' success_percent ' %'
    row p50 p50_ms ' ms'
    row p95 p95_ms ' ms'
    row p99 p99_ms ' ms'
    row 'hit rate' hit_percent ' %'
    if [ "$mode" = outage ]; then row 'from own copies' copies ''; fi
    row 'database queries' queries ''
    row shared shared ''
    row 'requests per query' requests_per_query ''
    printf '\n'
}

report_json() {
    local part comma=
    printf '{"url":"%s","waves":%d,"concurrency":%d,"spread":%d,"ids":%d,"seed":%d,"parts":{' \
        "$url" "$waves" "$concurrency" "$spread" "$ids" "$seed"
    for part in $parts; do
        printf '%s"%s":{' "$comma" "$part"
        awk '{ printf "%s\"%s\":%s", (NR > 1 ? "," : ""), $1, ($2 == "-" ? "null" : $2) }' "$scratch/$part.summary"
        printf '}'
        comma=,
    done
    printf '}}\n'
}

if $json; then report_json; else table; fi

# Counters that do not add up were not of this run alone, or not all of it.
for part in $parts; do
    difference=$(($(of "$part" counted) - $(of "$part" requests) + $(awk '$1 == "000"' "$scratch/$part.answers" | wc -l)))
    if ((difference > 0)); then
        say "Note: $difference requests of others were counted as well ($part)."
    elif ((difference < 0)); then
        say "Note: $((-difference)) requests are missing from the counters ($part). Was the service"
        say "restarted? With several replicas, name each one's counters with --metrics."
    fi
done

# The comparison is of stampedes, and a wave that met a cached template was none.
if [ "$mode" = compare ] && ((warm)); then
    say "Note: $warm waves met a template that was cached already, from before this run."
    say 'Wait for the TTL to pass (30 s) before comparing again.'
fi

if ((failed)); then
    for part in $parts; do cat "$scratch/$part.answers"; done | awk '
        $1 != "200" { seen[$1]++ }
        END { for (status in seen) print seen[status], "x", (status == "000" ? "no answer" : "status " status) }
    ' | sort -rn | sed 's/^/  /' >&2
    grep '^curl:' "$scratch/errors" | sort | uniq -c | head -n 5 | sed 's/^ */  /' >&2 || true
    fail 1 "$failed requests failed"
fi
