#!/bin/sh
# The commands of the README, and what CI runs, in a bare Debian; `make bare` runs it.
#
#   tests/bare/run.sh [STEP...]    invoke, test, ci (default: invoke test)
#
# In: root's rights, debootstrap, the network; the committed tree. In a root folder with Debian's
# minimal system, git and make, an ordinary user calls `make invoke`. What is missing must be told as
# one command; that command is carried out, and then `make invoke` and `make test` have to succeed.
# `ci` runs .ci/run as well, as root. Out: the steps, one line each with its time and download, and
# what they print into BARE_LOG (target/bare.log). It takes about 5 minutes on two cores, with `ci`
# about 20.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)"

say() { printf 'bare: %s\n' "$*"; }
skip() {
    echo "skipped: the commands of the README in a bare Debian: $1"
    exit 0
}

[ "$(id -u)" -eq 0 ] || skip "a chroot needs root"
command -v debootstrap >/dev/null || skip "needs debootstrap; run: apt-get install debootstrap"
[ -e .git ] || skip "there is no repository to clone"
unshare --mount --pid --fork true 2>/dev/null || skip "namespaces are not allowed here"

[ "$#" -gt 0 ] || set -- invoke test
mkdir -p target
log=$(realpath "${BARE_LOG:-target/bare.log}")
: >"$log"
scratch=$(mktemp -d)
root=$scratch/root
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

# --- The machine -----------------------------------------------------------------------------

began=$(date +%s)
# report TEXT: a step is done; how long it took is added.
report() {
    now=$(date +%s)
    say "$1: $((now - began)) s${2:+, $2}"
    began=$now
}

suite=bookworm
say "making the root folder"
if ! debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$root" \
    >>"$log" 2>&1; then
    skip "debootstrap failed: $(tail -n 1 "$log")"
fi
# A machine that was installed has the security updates, too. Their mirror is named as the first one.
mirror=$(sed -n "s/^deb \([^ ]*\) $suite main.*/\1/p" "$root/etc/apt/sources.list" | head -n 1)
echo "deb $mirror-security $suite-security main" >>"$root/etc/apt/sources.list"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The network of this machine may need settings of its own.
for file in /etc/apt/apt.conf.d/*proxy* /etc/pip.conf; do
    [ ! -e "$file" ] || cp "$file" "$root$file"
done
report "a bare Debian ($suite)" "$(du -sm "$root" | cut -f 1) MB"

# as USER COMMAND: in the machine, in its checkout. Its processes are gone when it ends.
as() {
    # shellcheck disable=SC2016 # The inner shell expands it.
    unshare --mount --pid --fork --kill-child /bin/sh -euc '
        root=$1 user=$2
        # A mount of its own: tests make namespaces, which the kernel allows at the root of a mount.
        mount --bind "$root" "$root"
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        exec chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
            TERM=dumb /bin/sh -c "
                exec setpriv --reuid=$user --regid=$user --init-groups \
                    env USER=$user LOGNAME=$user HOME=\$(getent passwd $user | cut -d: -f6) /bin/sh -c \"\$1\"" sh "$3"' \
        bare "$root" "$1" "$2"
}

chroot "$root" useradd --create-home dev
git -c safe.directory='*' clone --quiet --no-hardlinks . "$scratch/tree"
home=$(chroot "$root" getent passwd dev | cut -d: -f6)
mv "$scratch/tree" "$root$home/tree"
chroot "$root" chown -R dev:dev "$home/tree"

# try USER COMMAND: what it prints goes into the log; the status is kept in $status.
try() {
    printf '\n=== %s: %s\n' "$1" "$2" >>"$log"
    status=0
    as "$1" "cd '$home/tree' && $2" >"$scratch/said" 2>&1 || status=$?
    cat "$scratch/said" >>"$log"
}

broken=
failed() {
    say "FAILED: $1; see $log"
    tail -n "${2:-15}" "$scratch/said" | sed 's/^/    /'
    broken=1
}

# --- The steps -------------------------------------------------------------------------------

for step in "$@"; do
    case $step in
    invoke)
        # All three name the same one command, and nothing is built before.
        line=
        for target in "" test invoke; do
            try dev "make $target"
            [ "$status" -ne 0 ] || failed "make $target needs nothing?"
            named=$(grep -E "^(su -c|sudo) " "$scratch/said" || true)
            [ -n "$named" ] || failed "make $target names no command"
            [ "${line:-$named}" = "$named" ] || failed "make $target names another command"
            line=$named
        done
        report "what is missing is named" "$line"
        # Nobody is there to be asked for a password.
        command=$(printf '%s\n' "$line" | sed "s/^su -c '\(.*\)'.*/\1/")
        try root "export DEBIAN_FRONTEND=noninteractive; $command"
        if [ "$status" -ne 0 ] &&
            grep -Eq 'Failed to fetch|Unable to connect|Could not resolve' "$scratch/said"; then
            skip "its packages cannot be fetched here; see $log"
        fi
        [ "$status" -eq 0 ] || { failed "that command" && continue; }
        report "that command" "$(grep -o 'Need to get .* of archives' "$scratch/said")"
        try dev "make invoke"
        { [ "$status" -eq 0 ] && grep -q '"Hello' "$scratch/said"; } || failed "make invoke"
        report "make invoke"
        try dev "make -s invoke"
        report "make invoke again"
        ;;
    test)
        try dev "make test"
        [ "$status" -eq 0 ] || failed "make test" 40
        report "make test" "$(grep '^tests: ' "$scratch/said")"
        ;;
    ci)
        chroot "$root" chown -R root:root "$home/tree"
        try root "ZEROSTRAP_BARE=0 .ci/run"
        [ "$status" -eq 0 ] || failed ".ci/run" 40
        report ".ci/run" "$(grep '^tests: ' "$scratch/said")"
        ;;
    *) failed "there is no step $step" ;;
    esac
done
[ -z "$broken" ]
