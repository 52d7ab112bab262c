#!/bin/sh
# The commands of the README, and what CI runs, in a bare Debian; `make bare` runs it.
#
#   tests/bare/run.sh [STEP...]    invoke, test, ci (default: invoke test)
#
# In: root's rights, debootstrap, the network; the committed tree. In a root folder with Debian's
# minimal system, git and make, an ordinary user calls `make invoke`. What is missing must be told as
# one command; that command is carried out, and then `make invoke` and `make test` have to succeed.
# `ci` runs .ci/run as well, as root. Out: the steps, one line each with its time and download, and
# what they print into BARE_LOG (target/bare.log). It takes about 10 minutes, with `ci` twice that.
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
# since: how long it took since the last time it was asked.
since() {
    now=$(date +%s)
    echo "$((now - began)) s"
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
for file in /etc/apt/apt.conf.d/*proxy*; do
    [ ! -e "$file" ] || cp "$file" "$root/etc/apt/apt.conf.d/"
done
say "a bare Debian ($suite): $(since), $(du -sm "$root" | cut -f 1) MB"

# as USER COMMAND: in the machine, in its checkout. Its processes are gone when it ends.
as() {
    # shellcheck disable=SC2016 # The inner shell expands it.
    unshare --mount --pid --fork --kill-child /bin/sh -euc '
        root=$1 user=$2
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        exec chroot "$root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
            TERM=dumb /bin/sh -c "
                exec setpriv --reuid=$user --regid=$user --init-groups \
                    env HOME=\$(getent passwd $user | cut -d: -f6) /bin/sh -c \"\$1\"" sh "$3"' \
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
        # Each try may name one more command, and one is enough.
        try dev "make invoke"
        [ "$status" -ne 0 ] || { failed "a machine without a compiler needs nothing?" && continue; }
        line=$(grep -E "^(su -c|sudo) " "$scratch/said" | tail -n 1)
        [ -n "$line" ] || { failed "make invoke names no command" && continue; }
        say "make invoke names what is missing: $(since)"
        say "    $line"
        # Nobody is there to be asked for a password.
        command=$(printf '%s\n' "$line" | sed "s/^su -c '\(.*\)'.*/\1/")
        try root "export DEBIAN_FRONTEND=noninteractive; $command"
        [ "$status" -eq 0 ] || { failed "that command" && continue; }
        say "that command: $(since), $(grep -o 'Need to get .* of archives' "$scratch/said")"
        try dev "make invoke"
        { [ "$status" -eq 0 ] && grep -q '"Hello' "$scratch/said"; } || failed "make invoke"
        say "make invoke: $(since)"
        try dev "make -s invoke"
        say "make invoke again: $(since)"
        ;;
    test)
        try dev "make test"
        [ "$status" -eq 0 ] || failed "make test" 40
        say "make test: $(since), $(tail -n 1 "$scratch/said")"
        ;;
    ci)
        chroot "$root" chown -R root:root "$home/tree"
        try root ".ci/run"
        [ "$status" -eq 0 ] || failed ".ci/run" 40
        say ".ci/run: $(since), $(tail -n 1 "$scratch/said")"
        ;;
    *) failed "there is no step $step" ;;
    esac
done
[ -z "$broken" ]
