# The shell's side: source the script once, then run its function for each event, in a subshell.
# Runs in bash and in POSIX shells. Arguments: the script, the function, and the descriptors of the
# log and of the context.
#
# Standard input brings one line for each event, standard output takes its status back. What an
# event needs is opened from the bootstrap's own descriptors, so no other descriptor is inherited,
# by the function or by what it starts. `command` keeps functions of the script out of our way.
_zs_script=$1 _zs_function=$2 _zs_fd=/proc/$PPID/fd _zs_log=$3 _zs_context=$4
set --
set -eu
[ -z "${BASH_VERSION-}" ] || set -o pipefail
. "$_zs_script" </dev/null >"$_zs_fd/$_zs_log" 2>&1
_zs_status=$?
# The script's own choice, for its function; here a failed event must not end the shell.
case $- in *e*) _zs_errexit=-e ;; *) _zs_errexit=+e ;; esac
command set +e
[ "$_zs_status" -eq 0 ] || exit "$_zs_status"
# A builtin of the name is not meant: eval would run what the event says.
_zs_has() {
  if [ -n "${BASH_VERSION-}" ]; then command declare -F "$1" >/dev/null; return; fi
  case $(LC_ALL=C command -V "$1" 2>/dev/null) in "$1 is a function" | "$1 is a shell function") ;; *) return 1 ;; esac
}
_zs_has "$_zs_function" || { command echo missing && exit 1; }
# Words at line ends alone, and no file names made of them: a value is not looked into.
_zs_export() {
  command local - IFS='
'
  command set -f
  command set -- $(<"$_zs_fd/$_zs_context")
  [ "$#" -eq 0 ] || command export "$@"
}
command echo ready
while IFS=' ' command read -r _zs_verb _zs_in _zs_out; do
  case $_zs_verb in
    event) (
      # A line of the context is NAME=value. Only bash reads files by itself: in other shells
      # "$(<file)" is empty.
      if [ -n "${BASH_VERSION-}" ]; then
        _zs_export
        command set "$_zs_errexit"
        "$_zs_function" "$(<"$_zs_fd/$_zs_in")"
      else
        while IFS= command read -r _zs_pair; do command export "$_zs_pair"; done <"$_zs_fd/$_zs_context"
        command set "$_zs_errexit"
        "$_zs_function" "$(command cat <"$_zs_fd/$_zs_in")"
      fi
    ) <"$_zs_fd/$_zs_in" >"$_zs_fd/$_zs_out" ;;
    # A hook runs in this shell itself, if the script has it. Its output is log.
    hook) ! _zs_has "$_zs_in" || "$_zs_in" </dev/null >&2 ;;
  esac
  command echo "$?"
done
