#!/bin/sh
# Makes all that a release consists of, in dist/release; `make release` runs it.
#
# In: a committed tree and a toolchain for both architectures. Out: for each architecture the
# bootstrap, its recipe, a layer, an example function as a zip, SBOMs in both formats, the command
# `zerostrap` with all that it needs; the source, the VEX document, a statement of how it was built,
# and SHA256SUMS over all of it.
# The same commit and toolchain give the same bytes. Nothing is signed or sent: docs/releasing.md.
set -eu

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)"

say() { printf 'release: %s\n' "$*" >&2; }
refuse() {
    say "$*"
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ -e .git ] || refuse "this is not a repository, and a release is of a commit"
[ -z "$(git status --porcelain)" ] || refuse "the tree differs from its commit: git status"
grep -q "^## $version" CHANGELOG.md || refuse "CHANGELOG.md has no heading for $version"

# Built beside, and put in its place when all of it is there.
out=dist/release
part=dist/.release
rm -rf "$part"
mkdir -p "$part"
trap 'rm -rf "$part"' EXIT
trap 'exit 1' HUP INT TERM

umask 022
case $(uname -m) in
aarch64) here=arm64 ;;
*) here=$(uname -m) ;;
esac
for arch in x86_64 arm64; do
    deploy/build.sh "$arch"
done
for arch in x86_64 arm64; do
    cp "dist/$arch/bootstrap" "$part/bootstrap-$arch"
    cp "dist/$arch/recipe" "$part/recipe-$arch"
    python3 deploy/pack.py layer --bootstrap "dist/$arch/bootstrap" --stored \
        --out "$part/layer-$arch.zip" >/dev/null
    python3 deploy/pack.py zip --bootstrap "dist/$arch/bootstrap" --arch "$arch" --stored \
        --task examples/hello --handler function.handler \
        --check-with "dist/$here/bootstrap" --out "$part/hello-$arch.zip" >/dev/null
    for artefact in "dist/$arch/bootstrap" "$part/layer-$arch.zip" "$part/hello-$arch.zip"; do
        python3 deploy/sbom.py --arch "$arch" --artefact "$artefact" --out "$part" >/dev/null
    done
done
for arch in x86_64 arm64; do
    name=zerostrap-$version-linux-$arch
    deploy/install.sh "$part/.$arch/$name" "$arch" >/dev/null
    cp LICENSE README.md "$part/.$arch/$name/"
    # Names in order, one date, one owner: the same bytes anywhere.
    tar --create --format=ustar --sort=name --mtime=@315532800 --owner=0 --group=0 \
        --numeric-owner --mode=u=rwX,go=rX --directory "$part/.$arch" "$name" |
        gzip -n >"$part/$name.tar.gz"
    rm -rf "$part/.$arch"
done
git archive --prefix="zerostrap-$version/" HEAD | gzip -n >"$part/zerostrap-$version.tar.gz"
cp deploy/vex/*.json "$part/"
python3 deploy/provenance.py "$part" >"$part/provenance.intoto.json.new"
mv "$part/provenance.intoto.json.new" "$part/provenance.intoto.json"
(cd "$part" && sha256sum -- * >../.release.sums && mv ../.release.sums SHA256SUMS)

rm -rf "$out"
mv "$part" "$out"
say "$out, version $version, commit $(git rev-parse HEAD)"
cat "$out/SHA256SUMS"
