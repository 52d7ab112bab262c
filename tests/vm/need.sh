# shellcheck shell=sh
# To be sourced: `need COMMAND PACKAGES` adds Debian's packages to $packages where there is no such
# command.
packages=
need() {
    command -v "$1" >/dev/null || packages="$packages $2"
}
