# Runs one server in FOLDER for the test process that holds the other end of stdin, and obeys its orders. Whatever ends
# that process closes stdin: then the server ends too and FOLDER goes away.
#
# usage: guardian.sh FOLDER LAST_SIGNAL COMMAND...
folder=$1 last=$2
shift 2

"$@" </dev/null 2>&1 &
server=$!

# Only the server keeps stdout, so its reader sees the end when the last of the server's processes is gone.
exec 3>&2 >/dev/null 2>&1

# The kernel hangs up on an orphaned group that has stopped members: a frozen server whose test process died.
trap '' HUP INT TERM

# Of all its threads: any of them may have started a child.
children() { cat "/proc/$server/task/"*/children || pgrep -P "$server"; }

# Repeated, because a signal may arrive while the command still ignores it.
end() {
    while [ "$server" ] && kill -"$last" "$server"; do
        kill -CONT "$server" $(children)
        sleep 0.02
    done
    server=
}

while read -r order; do
    case $order in
    # The parent first: once it stands still, its children are all there are. A second pass meets a fork under way.
    freeze) for _ in 1 2; do kill -STOP "$server" && kill -STOP $(children); done ;;
    thaw) kill -CONT "$server" $(children) ;;
    stop) end ;;
    # The parent gets LAST_SIGNAL here as well: a PostgreSQL that is killed outright leaves shared memory behind.
    kill) kill -STOP "$server" && kill -KILL $(children); end ;;
    leave) exit ;;
    esac
    echo done >&3
done

# A server that may be killed outright takes all below it along: a browser outlives its driver, and its parts outlive it
# and write their caches.
below() { for child in $(cat "/proc/$1/task/"*/children); do echo "$child" && below "$child"; done; }
if [ "$last" = KILL ]; then kill -STOP "$server" && kill -KILL $(below "$server"); fi
end
# Repeated, because what was killed may still write while it ends.
tries=0
until rm -rf "$folder" || [ $((tries += 1)) -gt 250 ]; do sleep 0.02; done
